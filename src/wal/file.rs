//! A log or snapshot file that is being written.
//!
//! After a failure nothing is known about the bytes past the last good offset: the file is cut back
//! to it before anything else is written. After a failed sync nothing is known about the state of
//! the last good page on the medium either (the kernel has marked it clean), so that page is
//! written again and synced. Until the repair succeeds every write fails: positions of lost
//! entries are given out again, so their rows must never come back from the file.
//!
//! # Invariants
//! - `offset` is the end of the last block that was reported as written
//! - while `is_broken`, nothing is appended
//!
//! # Yields
//! never; blocks, so it belongs to the `wal` and `snapshot` threads

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, read_full_at, write_all_at};
use super::format::{IN_PROGRESS_SUFFIX, MAGIC_END, Meta};
use crate::base::error_injection::{
    ERRINJ_WAL_DELAY, ERRINJ_WAL_SYNC, ERRINJ_WAL_WRITE, ERRINJ_WAL_WRITE_PARTIAL,
};
use crate::base::{Error, Result};

const PAGE_SIZE: u64 = 4096;

/// A file open for appending.
pub(crate) struct LogFile {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    meta: Meta,
    offset: u64,
    is_broken: bool,
    is_sync_lost: bool,
}

impl LogFile {
    /// Makes a file under its name with the suffix of incomplete files, header written.
    pub fn create(disk: Arc<dyn Disk>, path: &Path, meta: Meta) -> Result<LogFile> {
        if disk.exists(path) {
            let exists = io::Error::from_raw_os_error(libc::EEXIST);
            return Err(system(&format!("file '{}' already exists", path.display()), &exists));
        }
        let in_progress = in_progress_path(path);
        // What a crash left behind under this name was never complete.
        if disk.exists(&in_progress) {
            disk.remove(&in_progress).map_err(|error| cannot("remove", &in_progress, &error))?;
        }
        if let Some(directory) = path.parent() {
            disk.create_directory(directory).map_err(|error| {
                system(&format!("failed to create path '{}'", directory.display()), &error)
            })?;
        }
        let file = disk.create(&in_progress).map_err(|error| {
            system(&format!("failed to create file '{}'", in_progress.display()), &error)
        })?;
        let text = meta.encode();
        if let Err(error) = write_all_at(&*file, text.as_bytes(), 0) {
            drop(file);
            let _ = disk.remove(&in_progress);
            let what = format!("{}: failed to write xlog meta", in_progress.display());
            return Err(system(&what, &error));
        }
        let offset = text.len() as u64;
        let path = in_progress;
        Ok(LogFile { disk, file, path, meta, offset, is_broken: false, is_sync_lost: false })
    }

    /// Goes on with a file whose last complete block ends at `offset`.
    pub fn reopen(disk: Arc<dyn Disk>, path: &Path, meta: Meta, offset: u64) -> Result<LogFile> {
        let file = disk.open(path).map_err(|error| cannot("open", path, &error))?;
        file.truncate(offset).map_err(|error| cannot("truncate", path, &error))?;
        let path = path.to_owned();
        Ok(LogFile { disk, file, path, meta, offset, is_broken: false, is_sync_lost: false })
    }

    /// Gives the file its final name. With `sync`, content and name survive a crash afterwards.
    pub fn publish(&mut self, sync: bool) -> Result<()> {
        let name = self.path.to_string_lossy();
        let Some(name) = name.strip_suffix(IN_PROGRESS_SUFFIX) else { return Ok(()) };
        let path = PathBuf::from(name);
        if sync {
            self.file.sync().map_err(|error| cannot("sync", &self.path, &error))?;
        }
        self.disk
            .rename(&self.path, &path)
            .map_err(|error| cannot("rename", &self.path, &error))?;
        self.path = path;
        if sync {
            self.sync_directory()?;
        }
        Ok(())
    }

    /// Makes the file's name survive a crash.
    pub fn sync_directory(&self) -> Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        self.disk.sync_directory(directory).map_err(|error| cannot("sync", directory, &error))
    }

    /// Where the file is now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its header.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Its size without what is not yet reported as written.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether a failed write must be repaired first.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Appends whole blocks; with `sync` they survive a crash afterwards.
    pub fn append(&mut self, data: &[u8], sync: bool) -> Result<()> {
        if self.is_broken {
            self.repair()?;
        }
        let result = self.write(data).and_then(|()| if sync { self.sync() } else { Ok(()) });
        match result {
            Ok(()) => {
                self.offset += data.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.is_broken = true;
                if let Err(error) = self.repair() {
                    tracing::error!("{error}; the log takes no writes until it can be repaired");
                }
                Err(error)
            }
        }
    }

    fn write(&mut self, data: &[u8]) -> Result<()> {
        while ERRINJ_WAL_DELAY.is_set() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let injected = || io::Error::from_raw_os_error(libc::ENOSPC);
        let result = if ERRINJ_WAL_WRITE.strikes() {
            Err(injected())
        } else if ERRINJ_WAL_WRITE_PARTIAL.strikes() {
            let half = &data[..data.len() / 2];
            write_all_at(&*self.file, half, self.offset).and(Err(injected()))
        } else {
            write_all_at(&*self.file, data, self.offset)
        };
        result.map_err(|error| {
            system(&format!("failed to write to '{}' file", self.path.display()), &error)
        })
    }

    fn sync(&mut self) -> Result<()> {
        let result = if ERRINJ_WAL_SYNC.strikes() {
            Err(io::Error::from_raw_os_error(libc::EIO))
        } else {
            self.file.sync()
        };
        result.map_err(|error| {
            self.is_sync_lost = true;
            cannot("sync", &self.path, &error)
        })
    }

    fn repair(&mut self) -> Result<()> {
        self.file.truncate(self.offset).map_err(|error| cannot("truncate", &self.path, &error))?;
        if self.is_sync_lost {
            let start = self.offset - self.offset % PAGE_SIZE;
            let mut page = vec![0; (self.offset - start) as usize];
            let rewritten = read_full_at(&*self.file, &mut page, start)
                .and_then(|_| write_all_at(&*self.file, &page, start));
            rewritten.map_err(|error| cannot("rewrite", &self.path, &error))?;
            self.sync()?;
            self.is_sync_lost = false;
        }
        self.is_broken = false;
        Ok(())
    }

    /// Has what was appended since `from` written back, and drops it from the page cache. Not a
    /// sync: that has the file system write its journal, on which the log waits as well.
    pub fn write_back(&mut self, from: u64) -> Result<()> {
        let size = self.offset - from;
        self.file.write_back(from, size).map_err(|error| cannot("write back", &self.path, &error))
    }

    /// Writes the end marker.
    pub fn end(&mut self) -> Result<()> {
        self.append(&MAGIC_END, false)
    }

    /// Writes the end marker and closes. The rows are safe whether or not this succeeds.
    pub fn close(mut self, sync: bool) -> Result<()> {
        self.append(&MAGIC_END, sync)
    }

    /// Closes and removes the file.
    pub fn discard(self) {
        drop(self.file);
        if let Err(error) = self.disk.remove(&self.path) {
            tracing::error!("error while removing {}: {error}", self.path.display());
        }
    }
}

/// The name of a file that is not complete.
pub(crate) fn in_progress_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(IN_PROGRESS_SUFFIX);
    PathBuf::from(name)
}

/// "failed to VERB 'PATH' file: reason".
pub(crate) fn cannot(verb: &str, path: &Path, error: &io::Error) -> Error {
    system(&format!("failed to {verb} '{}' file", path.display()), error)
}

pub(crate) fn system(what: &str, error: &io::Error) -> Error {
    Error::system(what, error)
}
