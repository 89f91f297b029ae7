//! MessagePack: a zero-copy walker, a validator for untrusted bytes, writers and a text form.
//!
//! [`check`] is the gate: bytes from a socket, a file or a user pass it once and are trusted from
//! then on. Behind the gate [`Reader`] and [`skip`] still never read out of bounds (they return
//! `None`), so a bug shows as an error and not as memory corruption.
//!
//! # Invariants
//! - Writers use the shortest form, as Tarantool does: what is equal is encoded equally. A float
//!   stays the width it was written in.
//! - [`check`] bounds nesting by `limits::NESTING_MAX`, so code behind it may recurse.

mod check;
mod item;
mod reader;
mod text;
mod write;

pub use check::{Flaw, Malformed, check, check_exact, check_inner, fuzz};
pub use item::{Kind, skip, skip_many};
pub use reader::Reader;
pub use text::{text, write_text};
pub use write::{
    write_array_len, write_bin, write_bin_len, write_bool, write_ext, write_ext_header, write_f32,
    write_f64, write_int, write_map_len, write_nil, write_str, write_str_len, write_uint,
};

/// Extension type of decimals.
pub const EXT_DECIMAL: i8 = 1;
/// Extension type of UUIDs.
pub const EXT_UUID: i8 = 2;
/// Extension type of errors.
pub const EXT_ERROR: i8 = 3;
/// Extension type of datetimes.
pub const EXT_DATETIME: i8 = 4;
/// Extension type of compressed fields.
pub const EXT_COMPRESSION: i8 = 5;
/// Extension type of datetime intervals.
pub const EXT_INTERVAL: i8 = 6;
/// Extension type of tuples that carry their format.
pub const EXT_TUPLE: i8 = 7;
/// Extension type of Arrow record batches.
pub const EXT_ARROW: i8 = 8;
