//! The in-memory engine: ordered and hash indexes over tuples, and their read views.
//!
//! # Yields
//! Never, and does no I/O.

pub mod iterator_type;
pub mod reclaim;
pub mod tree;
