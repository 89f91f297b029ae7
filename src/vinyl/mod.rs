//! The engine vinyl: tables on disk, and transactions above them.
//!
//! The trees are crate `fjall`'s. One fjall database holds all of an instance; each index has a
//! tree (fjall's word is keyspace) of its own, whose keys are [`key`]'s bytes. What db calls an
//! index may have had several trees in its life: a truncated or rebuilt one begins anew, and
//! recovery may stand at a time before that. So trees are [`Generation`]s of an index, each with
//! the LSNs at which it was created and dropped.
//!
//! ```text
//!   tx thread                               other threads
//!   Store::submit ── queue ───────────────> writer: batches ──> fjall: journal, memory tables
//!   Store::get, scan ── cache, else ──────> readers (vinyl.read_threads)       │ flush: fjall's workers
//!        ^── fiber waits ── answer ───────────┘                      mergers  (write_threads)
//! ```
//!
//! Durability has one source, the log of `wal`. A committed transaction is submitted after the log
//! has it, and tx goes on at once; the writer applies what was submitted, in order, in atomic batches
//! which carry the vclock up to which the trees are complete. What fjall loses in a crash are the
//! newest batches as wholes, and recovery replays the log from that vclock on. [`Store::persist`]
//! makes all batches durable, so that a checkpoint may let older log files go.
//!
//! Above the store stand the overlays ([`Index`]): changes that are committed, or wait for the log, and
//! that the store does not show to everyone yet. A [`Transaction`] has what it wrote and what it read;
//! a [`Reader`] puts its writes, the overlay and the store together; the [`Engine`] decides conflicts
//! and brings changes down. All that is bytes: spaces, formats and the log are `db`'s.
//!
//! # Invariants
//! - fjall shows a prefix of what was submitted, never half of one submission, at any time and after
//!   any crash.
//! - tx never waits for fjall but in a fiber: nothing here does I/O or takes fjall's locks on tx, save
//!   in the functions that say they yield (they do it on other threads).
//! - A row of the cache is the newest submitted one.
//! - A failed write of fjall's is final: the store takes no changes from then on, naming the first
//!   cause. Reads go on. Restarting recovers from the log.
//!
//! # Yields
//! `Store::open`, `abort`, `get`, `get_many`, `scan`, `wait_applied`, `wait_room`, `persist`,
//! `collect_garbage`, `compact`, `measure`; `Engine::open`, `Reader::get`, the steps of `Cursor` and
//! `Tuples`. The others never.
//!
//! # Not here
//! What a statement reads before it writes, and alterations: `db`.

mod cache;
mod cursor;
mod engine;
mod error;
mod generation;
mod index;
pub mod key;
mod latency;
mod merger;
mod options;
mod read_set;
mod reader;
mod store;
#[cfg(test)]
mod tests;
mod traffic;
mod transaction;
mod upsert;
mod writer;

/// Bytes of a key or a row: shared, not copied, between tx, the cache and fjall.
pub use fjall::Slice as Bytes;

pub use cursor::{Cursor, Reader, Tuples};
pub use engine::{Activity, Counter, Engine, Usage};
pub use generation::Generation;
pub use index::{Counters, Index};
pub use key::Range;
pub use latency::Latency;
pub use options::{IndexOptions, Options};
pub use store::{Measure, Row, Snapshot, Statistics, Store, Work};
pub use traffic::{Amount, Traffic};
pub use transaction::{Transaction, Visibility};
pub use upsert::{Resolve, Upsert};
pub use writer::{Change, Position, Write};
