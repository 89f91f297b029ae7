//! The values of Tarantool's type system: MessagePack and its extension types, text forms, order
//! and hash.
//!
//! Data is MessagePack everywhere (tuples, log, wire), so everything here works on borrowed bytes:
//! [`msgpack`] walks and writes them, the extension types decode to small `Copy` structures, and
//! comparison reads two encoded values without building anything on the heap.
//!
//! # Yields
//! never

pub mod calendar;
pub mod collation;
pub mod datetime;
pub mod decimal;
pub mod interval;
pub mod iso8601;
pub mod json;
pub mod msgpack;
pub mod number;
pub mod order;
pub mod strftime;
pub mod strptime;
pub mod timezone;
pub mod unicode;
pub mod uuid;

pub use msgpack as mp;
