//! Failures of fjall as errors of the box, naming the file where that can be found out.
//!
//! fjall's own threads can say why they stopped only through the facade `log`; after that every call
//! fails as "poisoned". So a listener there passes fjall's complaints on to our log and remembers the
//! last one.
//!
//! # Yields
//! never; [`damaged_file`] reads tables

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fjall::{AbstractTree, Keyspace, LsmError};

use super::{Bytes, Range};
use crate::base::Error;
use crate::client_error;

/// Rows of a table that are read to find out whether it is the damaged one.
const PROBE_COUNT_MAX: usize = 100_000;

static LAST_COMPLAINT: Mutex<Option<String>> = Mutex::new(None);

struct Listener;

/// Has fjall's complaints heard from now on.
pub(super) fn listen() {
    // Only a second call finds a listener, and that is this one.
    if log::set_logger(&Listener).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}

impl log::Log for Listener {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        let target = metadata.target();
        target.starts_with("fjall") || target.starts_with("lsm_tree")
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = record.args().to_string();
        if record.level() == log::Level::Error {
            tracing::error!("vinyl: {message}");
            *LAST_COMPLAINT.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
        } else {
            tracing::warn!("vinyl: {message}");
        }
    }

    fn flush(&self) {}
}

/// The error of a failure that happened to `path` or to files below it.
#[track_caller]
pub(super) fn failed(path: &Path, error: &fjall::Error) -> Error {
    use fjall::Error as Failure;
    let place = path.display();
    let damaged = |what: &str| client_error!(ER_INVALID_RUN_FILE, format!("{place}: {what}"));
    match error {
        Failure::Io(error) | Failure::Storage(LsmError::Io(error)) => {
            Error::system(&format!("{place}: vinyl"), error)
        }
        Failure::Locked => client_error!(ER_ALREADY_RUNNING, place.to_string()),
        Failure::Storage(LsmError::ChecksumMismatch { .. }) => damaged("checksum mismatch"),
        Failure::Storage(LsmError::Unrecoverable) | Failure::Unrecoverable => {
            damaged("some files are missing or damaged")
        }
        Failure::Storage(error) => damaged(&format!("{error:?}")),
        Failure::Poisoned => {
            let complaint = LAST_COMPLAINT.lock().unwrap_or_else(PoisonError::into_inner);
            damaged(complaint.as_deref().unwrap_or("a write failed"))
        }
        error => damaged(&format!("{error:?}")),
    }
}

/// The error of a read of this range of a tree, with the name of the table that is damaged.
pub(super) fn failed_read(keyspace: &Keyspace, range: &Range, error: &fjall::Error) -> Error {
    match error {
        fjall::Error::Storage(LsmError::Io(_)) | fjall::Error::Io(_) => {
            failed(keyspace.path(), error)
        }
        _ => {
            let file = damaged_file(keyspace, range);
            failed(file.as_deref().unwrap_or(keyspace.path()), error)
        }
    }
}

/// The first table that cannot be read in this range.
fn damaged_file(keyspace: &Keyspace, range: &Range) -> Option<PathBuf> {
    let bounds: (Bound<Bytes>, Bound<Bytes>) = (range.start.clone(), range.end.clone());
    let version = keyspace.tree.current_version();
    let mut tables = version.iter_tables();
    let damaged = tables
        .find(|table| table.range(bounds.clone()).take(PROBE_COUNT_MAX).any(|row| row.is_err()));
    damaged.map(|table| table.path.to_path_buf())
}
