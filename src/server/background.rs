//! `lycosa start`, `status` and `stop`: instances as processes in the background.
//!
//! An instance is a process `lycosa --name NAME --config FILE` in its own process group, with its
//! output in the log file and its process id in the pid file that the configuration names. A pid
//! file that a crash left behind is recognised, because the process is looked at, too.
//!
//! # Yields
//! never: these subcommands run without a server

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::command_line::Selection;
use super::process;
use super::world::{self, Machine};
use crate::base::limits;
use crate::config::{self, Configuration, Problems};

/// Folder of pid files and sockets, unless the configuration says otherwise.
const RUN_FOLDER: &str = "var/run";
const PID_FILE: &str = "tarantool.pid";
/// How often a process is looked at while waiting for it.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// How much of the end of a log is shown when an instance does not start.
const LOG_TAIL_SIZE: u64 = 2000;

/// An instance with the files that a background process of it has.
struct Background {
    name: String,
    config: Option<String>,
    pid_file: PathBuf,
    log_file: PathBuf,
    console: Option<PathBuf>,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running(i32),
    /// The pid file names a process that is gone: the instance did not end by itself.
    Dead(i32),
    Stopped,
}

/// Starts the chosen instances; those that run already are left alone.
pub fn start(selection: &Selection) -> ExitCode {
    for_each(selection, false, |instance| {
        if let State::Running(pid) = instance.state() {
            println!("{}: runs already, PID {pid}", instance.name);
            return Ok(());
        }
        let child = instance.spawn().map_err(|error| format!("cannot start: {error}"))?;
        let pid = child.id();
        match instance.wait_until_ready(child)? {
            true => println!("{}: started, PID {pid}", instance.name),
            false => println!("{}: still starting, PID {pid}", instance.name),
        }
        Ok(())
    })
}

/// Stops the chosen instances and waits until they have ended.
pub fn stop(selection: &Selection) -> ExitCode {
    for_each(selection, true, |instance| {
        let State::Running(pid) = instance.state() else {
            println!("{}: does not run", instance.name);
            let _ = fs::remove_file(&instance.pid_file);
            return Ok(());
        };
        send(pid, Signal::TERM).map_err(|error| format!("cannot stop PID {pid}: {error}"))?;
        let deadline = Instant::now() + limits::STOP_WAIT_MAX;
        while is_alive(pid) {
            if Instant::now() > deadline {
                let seconds = limits::STOP_WAIT_MAX.as_secs();
                return Err(format!("PID {pid} still runs {seconds} s after SIGTERM"));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        let _ = fs::remove_file(&instance.pid_file);
        println!("{}: stopped", instance.name);
        Ok(())
    })
}

/// Prints a table of the chosen instances. The status of the process is 0 when all run.
pub fn status(selection: &Selection) -> ExitCode {
    let mut rows = vec![["INSTANCE", "STATUS", "PID", "CONSOLE"].map(str::to_owned)];
    let mut all_run = true;
    let code = for_each(selection, true, |instance| {
        let state = instance.state();
        let (word, pid) = match state {
            State::Running(pid) => ("RUNNING", pid.to_string()),
            State::Dead(pid) => ("DEAD", pid.to_string()),
            State::Stopped => ("STOPPED", String::new()),
        };
        all_run &= matches!(state, State::Running(_));
        let console = instance.console.as_deref().map(|path| path.display().to_string());
        rows.push([instance.name.clone(), word.to_owned(), pid, console.unwrap_or_default()]);
        Ok(())
    });
    if rows.len() == 1 {
        return code;
    }
    let mut widths = [0; 4];
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = text.len().max(*width);
        }
    }
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(text, width)| format!("{text:width$}"));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    if code == ExitCode::SUCCESS && !all_run { ExitCode::from(1) } else { code }
}

/// Does something with each chosen instance; one that fails does not keep the others. A lenient
/// choice finds what runs although its configuration is broken by now.
fn for_each(
    selection: &Selection,
    is_lenient: bool,
    mut work: impl FnMut(&Background) -> Result<(), String>,
) -> ExitCode {
    let instances = match chosen(selection, is_lenient) {
        Ok(instances) => instances,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    let mut code = ExitCode::SUCCESS;
    for instance in &instances {
        if let Err(reason) = work(instance) {
            eprintln!("{}: {reason}", instance.name);
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn chosen(selection: &Selection, is_lenient: bool) -> Result<Vec<Background>, Problems> {
    let config = world::config_file(selection.config.as_deref());
    let mut names = selection.names.clone();
    names.extend(selection.name.clone());
    if names.is_empty() {
        names = match world::instance_names(config.as_deref()) {
            Err(problems) if is_lenient => {
                let running = names_of_pid_files();
                if running.is_empty() {
                    return Err(problems);
                }
                running
            }
            names => names?,
        };
    }
    names
        .into_iter()
        .map(|name| {
            let problems = match config::load(&Machine, &name, config.as_deref()) {
                Ok(configuration) => {
                    return Ok(Background::new(name, config.clone(), &configuration));
                }
                Err(problems) => problems,
            };
            let instance = Background::at_default_paths(name);
            if !is_lenient || !instance.pid_file.exists() {
                return Err(problems);
            }
            eprintln!("{problems}");
            Ok(instance)
        })
        .collect()
}

impl Background {
    fn new(name: String, config: Option<String>, configuration: &Configuration) -> Background {
        let folder = Path::new(configuration.text("process.work_dir").unwrap_or(""));
        let file = |option| folder.join(configuration.text(option).unwrap_or(""));
        let has_console = configuration.flag("console.enabled") == Some(true);
        Background {
            pid_file: file("process.pid_file"),
            log_file: file("log.file"),
            console: has_console.then(|| file("console.socket")),
            name,
            config,
        }
    }

    /// Where an instance without settings of its own keeps its files.
    fn at_default_paths(name: String) -> Background {
        let run = Path::new(RUN_FOLDER).join(&name);
        Background {
            pid_file: run.join(PID_FILE),
            log_file: Path::new("var/log").join(&name).join("tarantool.log"),
            console: Some(console_at_default_path(&name)),
            name,
            config: None,
        }
    }

    fn state(&self) -> State {
        let pid = fs::read_to_string(&self.pid_file).ok();
        match pid.and_then(|text| text.trim().parse::<i32>().ok()) {
            Some(pid) if is_running(pid) => State::Running(pid),
            Some(pid) => State::Dead(pid),
            None => State::Stopped,
        }
    }

    /// Starts the process. What it prints goes to the end of its log file.
    fn spawn(&self) -> io::Result<Child> {
        for file in [&self.pid_file, &self.log_file] {
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log_file)?;
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command.arg("--name").arg(&self.name).env(process::BACKGROUND_MARK, "1");
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        // A process group of its own: Ctrl-C in this terminal is not meant for the instance.
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn()?;
        fs::write(&self.pid_file, format!("{}\n", child.id()))?;
        Ok(child)
    }

    /// Waits until the application runs. False when that takes too long; an error, with the end of
    /// the log, when the process ended.
    fn wait_until_ready(&self, mut child: Child) -> Result<bool, String> {
        let deadline = Instant::now() + limits::START_WAIT_MAX;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                let _ = fs::remove_file(&self.pid_file);
                let log = self.log_file.display();
                let tail = tail(&self.log_file).unwrap_or_default();
                return Err(format!("ended at once ({status}); the end of {log}:\n{tail}"));
            }
            let ready = match &self.console {
                Some(socket) => is_socket(socket) && is_ready(socket).unwrap_or(false),
                // Without a console nothing tells; the process lives, which is as much as is known.
                None => return Ok(false),
            };
            if ready {
                return Ok(true);
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        Ok(false)
    }
}

/// The console socket of an instance without settings of its own.
pub(super) fn console_at_default_path(name: &str) -> PathBuf {
    Path::new(RUN_FOLDER).join(name).join("tarantool.control")
}

/// Instances of this folder that have a pid file at its default place.
fn names_of_pid_files() -> Vec<String> {
    let folders = fs::read_dir(RUN_FOLDER).into_iter().flatten().flatten();
    let mut names: Vec<String> = folders
        .filter(|folder| folder.path().join(PID_FILE).exists())
        .filter_map(|folder| folder.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn is_socket(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// Asks the console behind a socket whether the configuration was applied and the application
/// started.
fn is_ready(socket: &Path) -> io::Result<bool> {
    const QUESTION: &[u8] = b"return require('config'):info().status\n";
    const GREETING_SIZE: usize = 128;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.read_exact(&mut [0; GREETING_SIZE])?;
    stream.write_all(QUESTION)?;
    let mut reply = Vec::new();
    let mut byte = [0];
    while !reply.ends_with(b"\n...\n") && stream.read(&mut byte)? > 0 {
        reply.push(byte[0]);
    }
    let reply = String::from_utf8_lossy(&reply);
    Ok(["ready", "check_warnings", "check_errors"].iter().any(|status| reply.contains(status)))
}

fn send(pid: i32, signal: Signal) -> io::Result<()> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill_process(pid, signal)?)
}

/// Whether the process exists and has not ended (a zombie has).
fn is_alive(pid: i32) -> bool {
    let Some(process) = Pid::from_raw(pid) else { return false };
    let exists = match test_kill_process(process) {
        Ok(()) => true,
        Err(error) => error == rustix::io::Errno::PERM,
    };
    // The state is the field after the name, which is in parentheses and may have any letter.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    exists && !matches!(state, Some('Z' | 'X'))
}

/// Whether the process is this program: pids are used again. True where that cannot be known.
fn is_ours(pid: i32) -> bool {
    let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) else { return true };
    let name = program.file_name().and_then(|name| name.to_str()).unwrap_or("");
    name.starts_with("lycosa") || name.starts_with("tarantool")
}

/// Whether a process of this program has this number.
pub(super) fn is_running(pid: i32) -> bool {
    is_alive(pid) && is_ours(pid)
}

/// The last lines of a file.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(LOG_TAIL_SIZE)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn background(folder: &Path) -> Background {
        Background {
            name: "i".into(),
            config: None,
            pid_file: folder.join("i.pid"),
            log_file: folder.join("i.log"),
            console: None,
        }
    }

    #[test]
    fn state_looks_at_the_process_behind_the_pid_file() {
        let folder = tempfile::tempdir().unwrap();
        let instance = background(folder.path());
        assert_eq!(instance.state(), State::Stopped);
        fs::write(&instance.pid_file, "not a number").unwrap();
        assert_eq!(instance.state(), State::Stopped);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        fs::write(&instance.pid_file, format!("{pid}\n")).unwrap();
        assert_eq!(instance.state(), State::Dead(pid));
        let own = i32::try_from(std::process::id()).unwrap();
        fs::write(&instance.pid_file, format!("{own}\n")).unwrap();
        assert_eq!(instance.state(), State::Running(own));
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(is_alive(pid));
        send(pid, Signal::TERM).unwrap();
        // It ends, and stays a zombie until it is waited for below.
        while is_alive(pid) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(!is_alive(pid));
    }

    #[test]
    fn the_tail_of_a_log_is_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        fs::write(&path, format!("{}\nthe end\n", "x".repeat(10_000))).unwrap();
        let tail = tail(&path).unwrap();
        assert!(tail.ends_with("\nthe end") && tail.len() <= 2000);
    }
}
