//! JSON as Tarantool's module `json` reads and writes it.
//!
//! [`parse`] drives a [`Visitor`], so that the same parser builds Lua tables and MessagePack; the
//! writers append to a buffer while the caller walks its own values.
//!
//! # Not here
//! The options of the module and the mapping of values: those belong to whoever drives this.

mod parse;
mod write;

pub use parse::{Failure, MessagePack, Options, Visitor, fuzz, parse, to_msgpack};
pub use write::{write_number, write_string};

/// Default of `encode_max_depth` and `decode_max_depth`.
pub const DEPTH_MAX: usize = 128;
/// Default and highest `encode_number_precision`, in significant digits.
pub const NUMBER_PRECISION_MAX: usize = 14;
