//! RESP, the Redis protocol: the codec of both versions, and the server around it.
//!
//! A client sends commands as RESP2 arrays of bulk strings (or as a line of words, for people
//! with `nc`), whatever version was negotiated with `HELLO`; only replies differ by version. So
//! [`request::Parser`] reads one grammar and [`reply`] writes two.
//!
//! ```text
//! socket -> input buffer -> Parser: ranges of arguments -> handler -> reply -> output buffer
//! ```
//!
//! # Why not the crate redis-protocol
//! Its decoder makes an owned frame tree for each command: one vector for the array and one
//! reference-counted slice for each argument. Here an argument is a pair of offsets into the
//! input buffer in a vector that is reused, because its next station copies the bytes anyway
//! (they become a Lua string). Measured by `benches/resp.rs` on a 2-core machine, per request in a
//! pipeline of 16:
//!
//! | | here | crate, ranges | crate, owned |
//! |---|---|---|---|
//! | read GET | 75 ns | 260 ns | 530 ns |
//! | read SET, 32-byte value | 85 ns | 250 ns | 520 ns |
//! | write a 32-byte value | 25 ns | | 170 ns |
//!
//! The crate is the reference in the property tests of both halves.
//!
//! # Yields
//! The codec never; a connection while it reads, writes and waits for the log.

pub(in crate::net) mod buffer;
pub mod connection;
pub mod reply;
pub mod request;
pub mod server;
mod window;
mod words;

pub use connection::{Connection, Handler, ReplyMode, Written};
pub use server::{Limits, Server, Service};
pub use window::Request;
