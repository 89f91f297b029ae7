//! What the configuration says of the process: its pid file, its title, its user, the background.
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::ffi::CString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use super::{background, logging, world};
use crate::base::error::{Error, Result};
use crate::builtin::process::{self as wanted, Options};
use crate::config::Configuration;

/// Set in a process that was started in the background, which must not go there again.
pub const BACKGROUND_MARK: &str = "LYCOSA_IN_BACKGROUND";
thread_local! {
    /// The pid file that a script asked for; it is removed when the thread that runs Lua ends.
    static PID_FILE: RefCell<Option<PidFile>> = const { RefCell::new(None) };
}

/// How many open files the kernel's table has room for from the start; 8 bytes each.
const OPEN_FILES_EXPECTED: i32 = 16 * 1024 - 1;

/// Longest title that Linux keeps, in bytes.
const TITLE_SIZE_MAX: usize = 15;

/// The pid file of this process; it is removed with this value.
pub struct PidFile(PathBuf);

impl Drop for PidFile {
    fn drop(&mut self) {
        // Whoever looks finds a process that is gone, which does no harm.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether this process is to start the instance in the background, and end.
pub fn goes_to_background(configuration: &Configuration) -> bool {
    configuration.flag("process.background") == Some(true)
        && std::env::var_os(BACKGROUND_MARK).is_none()
}

/// Has `box.cfg` of a script apply what it says of the process.
pub fn serve_box_cfg() {
    wanted::set(Rc::new(Script));
}

/// Removes the pid file of a script.
pub fn remove_pid_file() {
    PID_FILE.take();
}

/// What `box.cfg` is connected to.
struct Script;

impl wanted::Process for Script {
    fn configure(&self, options: &Options) -> Result<()> {
        if let Some(user) = &options.username {
            check_user(user)?;
        }
        if options.background {
            go_to_background(options)?;
        }
        if options.coredump {
            allow_core_files();
        }
        let path = options.pid_file.as_ref().map(here);
        let is_written = |path: &PathBuf| {
            // The configuration has seen to its own before Lua started.
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.trim().parse() == Ok(std::process::id())
        };
        if let Some(path) = path.filter(|path| !is_written(path)) {
            check_not_running(&path)?;
            PID_FILE.set(Some(write_pid_file(&path)?));
        }
        Ok(())
    }
}

/// A path of the working directory, which is the instance's by now.
fn here(file: &String) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| PathBuf::from(file))
}

/// Starts the same command anew without the terminal, and ends this process.
///
/// A fork would take one thread along and leave the others behind; so the script runs again up to
/// its `box.cfg`, which finds the mark and goes on.
fn go_to_background(options: &Options) -> Result<()> {
    if std::env::var_os(BACKGROUND_MARK).is_some() {
        return Ok(());
    }
    for (name, value) in [("log", &options.log), ("pid_file", &options.pid_file)] {
        if value.is_none() {
            return Err(Error::illegal_params(format!(
                "'background' requires '{name}' configuration option to be set"
            )));
        }
    }
    if let Some(file) = &options.pid_file {
        check_not_running(&here(file))?;
    }
    let failed = |error: &std::io::Error| Error::system("cannot go to the background", error);
    let program = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command
        .args(arguments)
        .env(BACKGROUND_MARK, "1")
        .current_dir(world::absolute("."))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| failed(&error))?;
    logging::flush();
    std::process::exit(0)
}

/// Refuses a pid file whose process lives and is not this one.
fn check_not_running(path: &Path) -> Result<()> {
    let pid = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<i32>().ok());
    match pid.filter(|pid| background::is_running(*pid)) {
        Some(pid) if pid.unsigned_abs() != std::process::id() => {
            Err(Error::illegal_params(format!("the daemon is already running: PID {pid}")))
        }
        _ => Ok(()),
    }
}

/// Lifts the limit of the size of core files, as far as the system lets us.
fn allow_core_files() {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a valid limit; and a flag of the process.
    let failed = unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const unlimited) != 0
            || libc::prctl(libc::PR_SET_DUMPABLE, 1) != 0
    };
    if failed {
        tracing::error!("can't allow core files: {}", std::io::Error::last_os_error());
    }
}

/// Lets the process open as many files, and so serve as many clients, as the system allows it to:
/// many systems give a new process 1024, and a limit up to which it may help itself.
pub fn allow_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Without it there are fewer clients, which is said when one too many comes.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    // The kernel's table of open files doubles when it is full, and a process with threads waits
    // many milliseconds for that (`synchronize_rcu`): have it large while there is one thread.
    if let Ok(file) = std::fs::File::open("/dev/null") {
        let _ = rustix::io::fcntl_dupfd_cloexec(&file, OPEN_FILES_EXPECTED);
    }
}

/// Applies what is applied before anything else starts.
pub fn apply(configuration: &Configuration) -> Result<Option<PidFile>> {
    if let Some(user) = configuration.text("process.username") {
        check_user(user)?;
    }
    if let Some(title) = configuration.text("process.title") {
        set_title(title);
    }
    let folder = Path::new(configuration.text("process.work_dir").unwrap_or(""));
    match configuration.text("process.pid_file") {
        Some(file) if !file.is_empty() => {
            write_pid_file(&world::absolute(folder.join(file))).map(Some)
        }
        _ => Ok(None),
    }
}

fn write_pid_file(path: &Path) -> Result<PidFile> {
    let failed = |error: &std::io::Error| {
        Error::system(&format!("can't write pid file: {}", path.display()), error)
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    std::fs::write(path, format!("{}\n", std::process::id())).map_err(|error| failed(&error))?;
    Ok(PidFile(path.to_path_buf()))
}

/// The process runs as whoever started it: anything else is refused, not ignored.
fn check_user(user: &str) -> Result<()> {
    let name = CString::new(user)
        .map_err(|_| Error::illegal_params("process.username: a user name has no zero byte"))?;
    // SAFETY: a valid C string; the entry is read at once, on the only thread that asks.
    let entry = unsafe { libc::getpwnam(name.as_ptr()) };
    // SAFETY: `getpwnam` gives null or a valid entry.
    let is_ours = !entry.is_null() && unsafe { (*entry).pw_uid == libc::geteuid() };
    if is_ours {
        return Ok(());
    }
    Err(Error::illegal_params(format!(
        "process.username: the process does not change its user; start it as {user} (su, or \
         User= of systemd)"
    )))
}

/// What `ps -o comm` shows, as far as Linux keeps it.
fn set_title(title: &str) {
    let mut end = title.len().min(TITLE_SIZE_MAX);
    while !title.is_char_boundary(end) {
        end -= 1;
    }
    if let Ok(title) = CString::new(&title[..end]) {
        // SAFETY: a valid C string of at most 16 bytes with its zero.
        unsafe { libc::prctl(libc::PR_SET_NAME, title.as_ptr()) };
    }
}
