//! The database: spaces, schema, transactions, access, recovery, checkpoints.
//!
//! One [`Database`] per process, owned by the tx thread and reached by [`Database::current`]. It
//! holds small cells, never one big borrow, because triggers re-enter it at any point.
//!
//! # Life of a `replace`
//! 1. `dml`: [`Database::replace`] finds the space, checks access, joins the fiber's transaction
//!    or makes one for the statement, fills in defaults and sequences, makes the tuple in the
//!    space's format, and shows it to `before_replace` triggers.
//! 2. `space`: [`Space::change`] replaces it in the primary index, then in the others; what
//!    cannot go into one leaves all.
//! 3. `transaction`: the old and the new tuple and the log row are noted, for undoing and logging.
//! 4. `ddl`: for a system space, the schema follows the row; then `on_replace` triggers run.
//! 5. `commit`: the rows go to the `wal::Journal`. The fiber waits for the ticket, or, in a
//!    [`batch`], goes on and waits once for all (decision D10).
//!
//! # The interface for the layers above
//! - changes: [`Database::insert`], `replace`, `update`, `upsert`, `delete`, or `execute` with a
//!   decoded `xrow::Request`. Tuples, keys and operations are MessagePack arrays.
//! - reads: [`Database::get`], `select`, `iterate`, `min`, `max`, `count`, `len`, `random`,
//!   `tuple_position`. For reads by FFI that never yield: [`Database::space`], [`Space::index`],
//!   [`Index::find`] with the key's parts (no array header), all without allocation.
//! - transactions: [`Database::begin`], `commit`, `rollback`, `savepoint`,
//!   `rollback_to_savepoint`, `on_commit`, `on_rollback`, `is_in_transaction`.
//! - pipelines: [`batch::open`], `mark`, `wait_durable`.
//! - schema: [`Database::schema`] ([`Schema::space_by_name`], `version`), `users`, `functions`,
//!   `sequences`; DDL is DML on [`system_space`]s. [`Host`] is told what changed.
//! - triggers: [`Space::triggers`], lists of [`ReplaceTrigger`].
//! - the user a fiber acts for: [`access::set_effective_user`].
//!
//! # Yields
//! Commits outside of a batch, whatever triggers do, and statements on spaces of vinyl that read
//! the disk. A yield inside a transaction of memtx takes it back at once: without MVCC it must not
//! show uncommitted data. One of vinyl goes on.
//!
//! # Not here
//! Files and their formats (`wal`), the structures of indexes (`memtx`), Lua (`builtin/box`),
//! functional, multikey, RTREE and BITSET indexes, constraints in SQL.

pub mod access;
pub mod authentication;
mod backup;
pub mod batch;
mod bootstrap;
mod checkpoint;
mod commit;
mod constraint;
mod context;
mod database;
mod ddl;
mod dml;
mod function;
mod index;
mod index_definition;
mod info;
mod iterator;
mod options;
mod point;
mod recovery;
mod replay;
mod row;
mod schema;
pub mod security;
mod sequence;
mod sequence_field;
mod session;
pub mod session_setting;
mod space;
mod space_definition;
mod statistics;
pub mod system_space;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod transaction;
mod trigger;
mod user;
mod view;
mod vinyl;
mod vinyl_figures;
mod vinyl_space;

pub use crate::wal::set_secure_erasing;
pub use backup::Backup;
pub use checkpoint::Checkpoint;
pub use database::{Database, Instance, Phase, Replica};
pub use function::FunctionDefinition;
pub use index::Index;
pub use index_definition::{IndexDefinition, IndexKind};
pub use info::{Info, MemoryInfo};
pub use iterator::{After, Iterator, SelectOptions, Selection};
pub use options::{Options, WalMode};
pub use point::Points;
pub use schema::Schema;
pub use sequence::{Sequence, SequenceDefinition};
pub use session::BeginOptions;
pub use space::{Space, SpaceSequence};
pub use space_definition::{Engine, Persistence, SpaceDefinition, SpaceOptions};
pub use statistics::{OPERATIONS, Operation, Statistics};
pub use transaction::{Handler, Isolation, Savepoint, Transaction, TransactionEvent};
pub use trigger::{Decision, Host, ReplaceEvent, ReplaceTrigger, Step, TriggerList, Triggers};
pub use user::{ADMIN, GUEST, Object, ObjectKind, User, UserDefinition, Users, privilege};
pub use vinyl_figures::Figures;
