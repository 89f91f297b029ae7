//! The modules that know the database: `box` and what stands on it.
//!
//! Each is a pair of halves like those of `builtin/`.

pub(super) mod resp;
