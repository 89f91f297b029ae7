//! The file system as the log sees it: a small trait, so that tests can put a disk in its place
//! that writes short, fills up, fails to sync or forgets what was not synced.
//!
//! # Yields
//! never; every function may block, so none is called on the tx thread
//!
//! # Not here
//! Retries after short writes and what to do after a failure: `file`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A directory tree with the operations that the log needs.
pub trait Disk: Send + Sync {
    /// Makes a file for writing and reading; fails if it exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for writing and reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading.
    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Makes a directory with its parents, unless it exists.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Names of the entries of a directory.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Gives a file another name in the same directory, replacing what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Whether there is a file of that name.
    fn exists(&self, path: &Path) -> bool;
    /// Makes names that were made, changed or removed in a directory survive a crash.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send {
    /// Writes at an offset; may write less than asked.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize>;
    /// Reads at an offset; may read less than asked, 0 at the end.
    fn read_at(&self, data: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Size in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Cuts or extends the file.
    fn truncate(&self, size: u64) -> io::Result<()>;
    /// Makes the data, and the size, survive a crash.
    fn sync(&self) -> io::Result<()>;
    /// Has the system write this range to the medium and forget that it has read it, where it can.
    /// Says nothing about durability: that takes [`DiskFile::sync`].
    fn write_back(&self, _offset: u64, _size: u64) -> io::Result<()> {
        Ok(())
    }
}

/// Whether files are overwritten before they are removed (`secure_erasing`).
static SECURE_ERASING: AtomicBool = AtomicBool::new(false);

/// Has files overwritten before they are removed, or no more.
pub fn set_secure_erasing(is_on: bool) {
    SECURE_ERASING.store(is_on, Ordering::Relaxed);
}

/// Overwrites a file several times, so that the medium under it has nothing to be read.
fn erase(path: &Path) -> io::Result<()> {
    const PATTERNS: [u8; 3] = [0xff, 0x00, 0xaa];
    const STEP: usize = 64 * 1024;
    let file = OsFile(OpenOptions::new().write(true).open(path)?);
    let size = file.size()?;
    for pattern in PATTERNS {
        let block = vec![pattern; STEP];
        for offset in (0..size).step_by(STEP) {
            let count = (size - offset).min(STEP as u64) as usize;
            write_all_at(&file, &block[..count], offset)?;
        }
        file.sync()?;
    }
    Ok(())
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl OsDisk {
    /// The disk for everyone who does not test.
    pub fn shared() -> Arc<dyn Disk> {
        Arc::new(OsDisk)
    }
}

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o644);
        Ok(Box::new(OsFile(options.open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OsFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OsFile(File::open(path)?)))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        std::fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if SECURE_ERASING.load(Ordering::Relaxed) {
            erase(path)?;
        }
        std::fs::remove_file(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

struct OsFile(File);

impl DiskFile for OsFile {
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(data, offset)
    }

    fn read_at(&self, data: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(data, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        // Also writes the size when it has changed, which is all that reading back needs.
        self.0.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn write_back(&self, offset: u64, size: u64) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        const WHOLE: libc::c_uint = libc::SYNC_FILE_RANGE_WAIT_BEFORE
            | libc::SYNC_FILE_RANGE_WRITE
            | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        let (offset, size) = (offset as libc::off64_t, size as libc::off64_t);
        let descriptor = self.0.as_raw_fd();
        // SAFETY: plain system call on a descriptor that `self` keeps open; it touches no memory.
        if unsafe { libc::sync_file_range(descriptor, offset, size, WHOLE) } != 0 {
            let error = io::Error::last_os_error();
            // Some file systems cannot do it by range; the last sync does it all then.
            return match error.raw_os_error() {
                Some(libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP | libc::ESPIPE) => Ok(()),
                _ => Err(error),
            };
        }
        // SAFETY: as above.
        unsafe { libc::posix_fadvise(descriptor, offset, size, libc::POSIX_FADV_DONTNEED) };
        Ok(())
    }
}

/// Writes all of `data`, going on after short writes and interruptions.
pub(crate) fn write_all_at(file: &dyn DiskFile, mut data: &[u8], offset: u64) -> io::Result<()> {
    let mut offset = offset;
    while !data.is_empty() {
        match file.write_at(data, offset) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
            Ok(written) => {
                data = &data[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until `data` is full or the file ends; returns how much was read.
pub(crate) fn read_full_at(file: &dyn DiskFile, data: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < data.len() {
        match file.read_at(&mut data[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(size) => done += size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
