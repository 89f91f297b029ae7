//! A directory of log or snapshot files: what is there, what recovery needs, what can go.
//!
//! A file is named by the signature of the vclock that it starts with, so the names tell the
//! order; the vclocks themselves stand in the headers.
//!
//! # Invariants
//! - `files` is ordered by signature, and each vclock is after the one before it
//!
//! # Yields
//! never; blocks on the disk

use std::cmp::Ordering;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::format::{FileType, IN_PROGRESS_SUFFIX, xlog_error};
use super::reader::Reader;
use crate::base::error::{Builder, Type};
use crate::base::error_code::ER_XLOG_GAP;
use crate::base::{Error, Result};
use crate::client_error;
use crate::value::uuid::Uuid;
use crate::xrow::Vclock;

/// The files of one type in a directory.
pub struct Directory {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file_type: FileType,
    /// Files of other instances are refused; nil: not known yet, any goes.
    instance_uuid: Uuid,
    files: Vec<Vclock>,
}

impl Directory {
    /// Log files. Nothing is read before [`Directory::scan`].
    pub fn logs(disk: Arc<dyn Disk>, path: &Path, instance_uuid: Uuid) -> Directory {
        Directory::new(disk, path, FileType::Xlog, instance_uuid)
    }

    /// Snapshots. Nothing is read before [`Directory::scan`].
    pub fn snapshots(disk: Arc<dyn Disk>, path: &Path, instance_uuid: Uuid) -> Directory {
        Directory::new(disk, path, FileType::Snap, instance_uuid)
    }

    fn new(
        disk: Arc<dyn Disk>,
        path: &Path,
        file_type: FileType,
        instance_uuid: Uuid,
    ) -> Directory {
        Directory { disk, path: path.to_owned(), file_type, instance_uuid, files: Vec::new() }
    }

    /// Accept only files of this instance from now on.
    pub fn set_instance_uuid(&mut self, instance_uuid: Uuid) {
        self.instance_uuid = instance_uuid;
    }

    /// The disk.
    pub fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file with this signature is or would be.
    pub fn path_of(&self, signature: i64) -> PathBuf {
        self.path.join(format!("{signature:020}{}", self.file_type.extension()))
    }

    /// Vclocks of the files, oldest first.
    pub fn files(&self) -> &[Vclock] {
        &self.files
    }

    /// Vclock of the newest file.
    pub fn newest(&self) -> Option<&Vclock> {
        self.files.last()
    }

    /// Reads names and headers anew. With `force_recovery` damaged files are left out with a
    /// message in the log, else they are an error. A missing directory has no files.
    pub fn scan(&mut self, force_recovery: bool) -> Result<()> {
        let names = match self.disk.list(&self.path) {
            Ok(names) => names,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let what = format!("error reading directory '{}'", self.path.display());
                return Err(Error::system(&what, &error));
            }
        };
        let mut signatures: Vec<i64> =
            names.iter().filter_map(|name| self.signature_of(name)).collect();
        signatures.sort_unstable();
        let known = std::mem::take(&mut self.files);
        for signature in signatures {
            let found = known.iter().find(|vclock| vclock.signature() == signature);
            let vclock = found.map_or_else(|| self.read_vclock(signature), |known| Ok(*known));
            match vclock.and_then(|vclock| self.check_order(vclock)) {
                Ok(vclock) => self.files.push(vclock),
                Err(error) if force_recovery => tracing::error!("{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn signature_of(&self, name: &str) -> Option<i64> {
        let (stem, extension) = name.split_at(name.find('.')?);
        if extension != self.file_type.extension() {
            return None;
        }
        let signature = stem.parse().ok().filter(|signature| *signature >= 0);
        if signature.is_none() {
            tracing::warn!("can't parse `{name}', skipping");
        }
        signature
    }

    fn read_vclock(&self, signature: i64) -> Result<Vclock> {
        Ok(self.open(signature)?.meta().start())
    }

    /// Later files must know everything that earlier ones know.
    fn check_order(&self, vclock: Vclock) -> Result<Vclock> {
        match self.files.last() {
            Some(last) if last.compare(&vclock) != Some(Ordering::Less) => {
                let path = self.path_of(vclock.signature());
                Err(xlog_error(&format!("{}: invalid xlog order", path.display())))
            }
            _ => Ok(vclock),
        }
    }

    /// Opens the file with this signature for reading and checks that its header agrees.
    pub fn open(&self, signature: i64) -> Result<Reader> {
        let path = self.path_of(signature);
        self.check_header(Reader::open_on(&*self.disk, &path)?, signature)
    }

    /// [`Directory::open`] with a thread that reads and decompresses ahead: for recovery.
    pub fn open_ahead(&self, signature: i64, force_recovery: bool) -> Result<Reader> {
        let path = self.path_of(signature);
        let mut reader = self.check_header(Reader::open_on(&*self.disk, &path)?, signature)?;
        reader.set_force_recovery(force_recovery);
        reader.read_ahead()?;
        Ok(reader)
    }

    fn check_header(&self, reader: Reader, signature: i64) -> Result<Reader> {
        let meta = reader.meta();
        let path = self.path_of(signature);
        if meta.file_type != self.file_type.name() {
            return Err(client_error!(ER_INVALID_XLOG_TYPE, self.file_type.name(), meta.file_type));
        }
        if !self.instance_uuid.is_nil() && self.instance_uuid != meta.instance_uuid {
            return Err(xlog_error(&format!("{}: invalid instance UUID", path.display())));
        }
        if meta.start().signature() != signature {
            return Err(xlog_error(&format!("{}: signature check failed", path.display())));
        }
        Ok(reader)
    }

    /// Log files that hold changes after `vclock`, oldest first: the file that was current then
    /// and all later ones. An error when the oldest needed change is in none of them.
    pub fn files_after(&self, vclock: &Vclock) -> Result<&[Vclock]> {
        let start = self.files.iter().rposition(|file| file.is_before_or_equal(vclock));
        match (start, self.files.first()) {
            (Some(start), _) => Ok(&self.files[start..]),
            (None, None) => Ok(&[]),
            (None, Some(first)) => Err(gap_error(vclock, first)),
        }
    }

    /// Notes a file that was made.
    pub fn add(&mut self, vclock: Vclock) {
        if self.files.last() != Some(&vclock) {
            self.files.push(vclock);
        }
    }

    /// Removes the files that hold nothing newer than `signature`; returns which.
    pub fn collect_garbage(&mut self, signature: i64) -> Result<Vec<PathBuf>> {
        let keep = match self.file_type {
            // The file that was current at the signature has what comes after it.
            FileType::Xlog => {
                self.files.iter().rposition(|file| file.signature() <= signature).unwrap_or(0)
            }
            FileType::Snap => {
                self.files.iter().take_while(|file| file.signature() < signature).count()
            }
        };
        let mut removed = Vec::new();
        for _ in 0..keep {
            let path = self.path_of(self.files[0].signature());
            match self.disk.remove(&path) {
                Ok(()) => tracing::info!("removed {}", path.display()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let what = format!("failed to unlink file '{}'", path.display());
                    return Err(Error::system(&what, &error));
                }
            }
            self.files.remove(0);
            removed.push(path);
        }
        Ok(removed)
    }

    /// Removes what a crash left half made.
    pub fn remove_in_progress(&self) -> Result<()> {
        let suffix = format!("{}{IN_PROGRESS_SUFFIX}", self.file_type.extension());
        for name in self.disk.list(&self.path).unwrap_or_default() {
            if name.ends_with(&suffix) {
                let path = self.path.join(name);
                let what = format!("failed to unlink file '{}'", path.display());
                self.disk.remove(&path).map_err(|error| Error::system(&what, &error))?;
                tracing::info!("removed {}", path.display());
            }
        }
        Ok(())
    }
}

/// The error when changes between two points are in no file.
pub fn gap_error(from: &Vclock, to: &Vclock) -> Error {
    let message = format!(
        "Missing .xlog file between LSN {} {from} and {} {to}",
        from.signature(),
        to.signature()
    );
    Builder::new(Type::Other("XlogGapError"), message)
        .code(ER_XLOG_GAP.number)
        .place(file!(), line!())
        .build()
}

/// Held while a process uses a directory; a second process gets an error.
#[derive(Debug)]
pub struct DirectoryLock(
    #[expect(dead_code, reason = "closing the file gives the lock back")] File,
);

impl DirectoryLock {
    /// Takes the lock, making the directory if needed. `Ok(None)` when another process has it.
    pub fn try_take(path: &Path) -> Result<Option<DirectoryLock>> {
        let failed = |error: &std::io::Error| {
            Error::system(&format!("Can't lock WAL directory {}", path.display()), error)
        };
        std::fs::create_dir_all(path).map_err(|error| failed(&error))?;
        let file = File::open(path).map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(DirectoryLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(&error)),
        }
    }

    /// Takes the lock or says who is in the way.
    pub fn take(path: &Path) -> Result<DirectoryLock> {
        let lock = DirectoryLock::try_take(path)?;
        lock.ok_or_else(|| client_error!(ER_ALREADY_RUNNING, path.display().to_string()))
    }
}
