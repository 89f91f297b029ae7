//! What the configuration says of the process: its pid file, its title, its user, the background.
//!
//! # Yields
//! never

use std::ffi::CString;
use std::path::{Path, PathBuf};

use super::world;
use crate::base::error::{Error, Result};
use crate::config::Configuration;

/// Set in a process that was started in the background, which must not go there again.
pub const BACKGROUND_MARK: &str = "LYCOSA_IN_BACKGROUND";
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
