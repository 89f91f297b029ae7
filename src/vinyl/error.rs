//! Failures of fjall as errors of the box, naming the place.
//!
//! # Yields
//! never

use std::path::Path;

use crate::base::Error;
use crate::client_error;

/// The error of a failure that happened to the files below `path`.
#[track_caller]
pub(super) fn failed(path: &Path, error: &fjall::Error) -> Error {
    use fjall::{Error as Failure, LsmError};
    let place = path.display();
    let damaged = |what: &str| client_error!(ER_INVALID_RUN_FILE, format!("{place}: {what}"));
    match error {
        Failure::Io(error) | Failure::Storage(LsmError::Io(error)) => {
            Error::system(&format!("{place}: vinyl"), error)
        }
        Failure::Locked => {
            client_error!(ER_ALREADY_RUNNING, place.to_string())
        }
        Failure::Storage(LsmError::ChecksumMismatch { got, expected }) => {
            damaged(&format!("checksum mismatch: expected {expected:?}, got {got:?}"))
        }
        Failure::Storage(LsmError::Unrecoverable) | Failure::Unrecoverable => {
            damaged("some files are missing or damaged")
        }
        Failure::Storage(error) => damaged(&format!("{error:?}")),
        Failure::Poisoned => damaged("a write failed before"),
        error => damaged(&format!("{error:?}")),
    }
}
