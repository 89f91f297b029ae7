//! Checkpoints: snapshots of all data, made while writers go on.

use std::cell::Cell;

use super::database::Database;

/// The state of checkpointing.
#[derive(Default)]
pub(crate) struct Checkpoints {
    is_wanted: Cell<bool>,
}

impl Database {
    /// Has a checkpoint made soon.
    pub(crate) fn request_checkpoint(&self) {
        self.checkpoints.is_wanted.set(true);
    }
}
