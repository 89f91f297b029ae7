//! The in-memory engine: ordered and hash indexes over tuples, and their read views.
//!
//! `db` keeps an [`Index`](index::Index) for each index of a memtx space and one
//! [`Reclaimer`](reclaim::Reclaimer) for all of them. A statement replaces a tuple in the primary
//! index first, which owns it, then in the others; a snapshot opens a view, lets the primary
//! indexes join it, and reads them in its own thread while writers go on. `tree` and `hash` know
//! nothing of tuples: `order` tells them how a key definition compares.
//!
//! # Yields
//! Never, and does no I/O.

pub mod hash;
pub mod index;
pub mod iterator;
pub mod iterator_type;
pub mod order;
pub mod reclaim;
#[cfg(test)]
mod tests;
pub mod tree;

pub use index::{DupMode, Index, IndexOptions, IndexView, Refusal};
pub use iterator::{IndexIterator, IndexRange};
pub use iterator_type::IteratorType;
pub use order::Key;
pub use reclaim::{Reclaimer, ViewToken};
