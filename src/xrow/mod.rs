//! Rows: the language that the log, replication and the binary protocol share.
//!
//! A row is a header (what, whose, when) and a body (a MessagePack map). Everything here works on
//! borrowed bytes: decoding a request yields slices into the packet, so a tuple travels from the
//! socket or the log file to the engine without a copy.
//!
//! - [`iproto`] the numbers: request types, keys, flags
//! - [`Vclock`] who knows which changes
//! - [`Header`], [`Row`] the header codec
//! - [`Request`] bodies of data changes and `SELECT`
//! - [`error`] errors as MessagePack
//! - [`synchro`] bodies of elections and of synchronous replication
//!
//! # Invariants
//! - decoders take untrusted bytes: they return an error, never panic, never read past the end
//! - encoders write what Tarantool would write, byte for byte
//!
//! # Yields
//! never
//!
//! # Not here
//! Packets of the wire (length prefix, greeting, replies) are in `net/iproto`.

pub mod error;
pub mod iproto;
mod request;
mod row;
pub mod synchro;
mod vclock;

pub use request::{Request, tuple_alone};
pub(crate) use row::encode_snapshot_body;
pub use row::{Header, Row};
pub use vclock::Vclock;

use crate::base::Error;
use crate::client_error;

/// `ER_INVALID_MSGPACK` with these details.
pub(crate) fn invalid_msgpack(details: &str) -> Error {
    client_error!(ER_INVALID_MSGPACK, details)
}

/// Runs every decoder on untrusted bytes: the entry of the fuzzer.
pub fn fuzz_decode(bytes: &[u8]) {
    if let Ok((row, size)) = Row::decode(bytes) {
        assert!(size <= bytes.len(), "a decoder claims more bytes than there are");
        let _ = Request::decode(&row, true);
        let _ = synchro::Synchro::decode(&row);
        let _ = synchro::Raft::decode(&row);
        let _ = error::decode_body(row.header.kind, row.body);
        let mut again = Vec::new();
        row.encode(0, &mut again);
    }
    let _ = error::decode(bytes);
    let _ = Vclock::decode(&mut crate::value::msgpack::Reader::new(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Vclock::parse(text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decoders_survive_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            super::fuzz_decode(&bytes);
        }

        #[test]
        fn decoders_survive_maps_of_any_bytes(
            size in 0u8..16,
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            bytes.insert(0, 0x80 | size);
            super::fuzz_decode(&bytes);
        }
    }
}
