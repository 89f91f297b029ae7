//! The write-ahead log and snapshots: Tarantool's `.xlog` and `.snap` files, byte for byte.
//!
//! A change is durable when its row is in the log; a snapshot is a shortcut for the reader. Start
//! reading at [`format`] for the bytes and at [`journal`] for the life of a commit:
//!
//! - [`journal`] what the tx thread sees: submit, go on, learn how it ended
//! - `writer`, `thread` group commit, rotation, garbage collection on the thread `wal`
//! - `file` one file that is being written, and how it is repaired after a failure
//! - [`reader`] rows from a file, torn tails and damage
//! - [`Directory`] which files there are, which recovery needs, which can go
//! - [`snapshot`] a snapshot, on the thread `snapshot`
//! - [`cat`] prints a file for people
//! - [`disk`] the file system as a trait, for tests that break it
//!
//! # What is assumed of the medium
//! - a synced byte stays; after a failed sync nothing is assumed of the page it ends in
//! - renaming is atomic, and durable when the directory is synced
//! - a block that is not synced may be lost, be torn anywhere, or read as zeros at a file's end
//!
//! # Yields
//! never

pub mod cat;
mod directory;
pub mod disk;
mod file;
pub mod format;
pub mod journal;
pub mod reader;
pub mod snapshot;
mod thread;
mod writer;

#[cfg(test)]
pub(crate) mod hostile;
#[cfg(test)]
mod tests;

pub use directory::{Directory, DirectoryLock, gap_error};
pub use disk::{Disk, OsDisk, set_secure_erasing};
pub use format::{FileType, Meta};
pub use journal::{Completion, Journal, MemoryJournal, Room, Ticket};
pub use reader::{Reader, Skipped, fuzz_read};
pub use snapshot::{RowSource, Snapshot};
pub use writer::{Mode, Options, Pump, Rotated, Writer};
