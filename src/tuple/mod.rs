//! Tuples and everything that is defined on them: formats, key definitions, comparison, hints,
//! JSON paths and update operations.
//!
//! A tuple is the atom of storage: one allocation holding a small header, the offsets of indexed
//! fields and a MessagePack array. The same bytes are in memory, in the log and on the wire. A
//! statement's way through this folder: [`update`] makes new bytes of old ones, [`Tuple::new`]
//! checks bytes against the space's [`Format`] and allocates, [`KeyDef`] orders tuples in indexes.
//!
//! # Invariants
//! A tuple's bytes are one well-formed MessagePack array; they never change after creation.
//! A format, once made, lives as long as the process.
//!
//! # Yields
//! never
//!
//! # Not here
//! Indexes (`memtx`), spaces and their schema (`db`), the Lua view of a tuple (`builtin/box`).

pub mod arena;
pub mod body;
pub mod collation;
pub mod compare;
pub mod field_type;
pub mod format;
pub mod hint;
pub mod item;
pub mod json_path;
pub mod key_def;
#[cfg(test)]
mod testing;
pub mod update;

pub use body::{RawTuple, Tuple, TuplePtr};
pub use field_type::FieldType;
pub use format::{FieldDef, Format, FormatDef, Lineage};
pub use json_path::{Path, Token};
pub use key_def::{KeyDef, Part, SortOrder};
