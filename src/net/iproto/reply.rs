//! Packets that the server sends: replies, errors, chunks, events.
//!
//! # Layout
//! The length and the header have a fixed width, so that a body can be written before its size is
//! known: `ce` length, `83`, `00 ce` type, `01 cf` sync, `05 cf` schema version.
//!
//! # Yields
//! never

use crate::base::error::Error;
use crate::value::mp;
use crate::xrow::error::encode_body;
use crate::xrow::iproto::{key, kind};

/// Bytes of the length.
const LENGTH_SIZE: usize = 5;

/// What the header of a reply says besides its type.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meta {
    /// The number of the request.
    pub sync: u64,
    /// Version of the schema now.
    pub schema_version: u64,
}

/// A packet that is being written.
pub struct Packet {
    start: usize,
}

/// A reply with data that is being written.
pub struct Data {
    packet: Packet,
    count_at: usize,
}

/// Starts a packet of this type; its body follows.
#[inline]
pub fn begin(out: &mut Vec<u8>, kind: u32, meta: Meta) -> Packet {
    let start = out.len();
    let mut head = [0; LENGTH_SIZE + 27];
    head[..8].copy_from_slice(&[0xce, 0, 0, 0, 0, 0x83, key::REQUEST_TYPE, 0xce]);
    head[8..12].copy_from_slice(&kind.to_be_bytes());
    head[12..14].copy_from_slice(&[key::SYNC, 0xcf]);
    head[14..22].copy_from_slice(&meta.sync.to_be_bytes());
    head[22..24].copy_from_slice(&[key::SCHEMA_VERSION, 0xcf]);
    head[24..].copy_from_slice(&meta.schema_version.to_be_bytes());
    out.extend_from_slice(&head);
    Packet { start }
}

impl Packet {
    /// Ends the packet, whose body stands in `out`.
    #[inline]
    pub fn end(self, out: &mut [u8]) {
        let size = u32::try_from(out.len() - self.start - LENGTH_SIZE).unwrap_or(u32::MAX);
        out[self.start + 1..self.start + LENGTH_SIZE].copy_from_slice(&size.to_be_bytes());
    }

    /// Where it starts.
    pub fn start(&self) -> usize {
        self.start
    }
}

/// Starts a reply with `DATA`, an array whose items follow, and `more` other keys.
#[inline]
pub fn begin_data(out: &mut Vec<u8>, kind: u32, meta: Meta, more: u8) -> Data {
    let packet = begin(out, kind, meta);
    out.extend_from_slice(&[0x81 + more, key::DATA, 0xdd, 0, 0, 0, 0]);
    let count_at = out.len() - 4;
    Data { packet, count_at }
}

impl Data {
    /// Says how many items there are; other keys may follow.
    #[inline]
    pub fn set_count(&self, out: &mut [u8], count: u32) {
        out[self.count_at..self.count_at + 4].copy_from_slice(&count.to_be_bytes());
    }

    /// Ends the reply.
    #[inline]
    pub fn end(self, out: &mut [u8]) {
        self.packet.end(out);
    }

    /// Where the reply starts: what was written is taken back by cutting there.
    pub fn start(&self) -> usize {
        self.packet.start
    }
}

/// Writes a reply that says that all went well, and nothing else.
pub fn ok(out: &mut Vec<u8>, meta: Meta) {
    let packet = begin(out, u32::from(kind::OK), meta);
    out.push(0x80);
    packet.end(out);
}

/// Writes an error.
pub fn error(out: &mut Vec<u8>, meta: Meta, error: &Error) {
    let packet = begin(out, kind::ERROR | (error.code() & (kind::ERROR - 1)), meta);
    encode_body(error, out);
    packet.end(out);
}

/// Writes an event of a watched key. `data` is MessagePack, or there is no value.
pub fn event(out: &mut Vec<u8>, sync: u64, name: &[u8], data: Option<&[u8]>) {
    let start = out.len();
    out.extend_from_slice(&[0xce, 0, 0, 0, 0]);
    mp::write_map_len(out, 2);
    out.push(key::REQUEST_TYPE);
    mp::write_uint(out, u64::from(kind::EVENT));
    out.push(key::SYNC);
    mp::write_uint(out, sync);
    mp::write_map_len(out, 1 + u32::from(data.is_some()));
    out.push(key::EVENT_KEY);
    mp::write_str(out, name);
    if let Some(data) = data {
        out.push(key::EVENT_DATA);
        out.extend_from_slice(data);
    }
    Packet { start }.end(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_error;
    use crate::net::iproto::frame::{Frame, find};
    use crate::xrow::Row;

    fn read(out: &[u8]) -> Row<'_> {
        let Frame::Packet(packet) = find(out).unwrap() else { panic!("not a whole packet") };
        assert_eq!(packet.end, out.len());
        Row::decode_exact(&out[packet]).unwrap()
    }

    #[test]
    fn replies_are_packets() {
        let meta = Meta { sync: 7, schema_version: 80 };
        let mut out = Vec::new();
        ok(&mut out, meta);
        let header = read(&out).header;
        assert_eq!((header.kind, header.sync, header.schema_version), (0, 7, 80));
        out.clear();
        let data = begin_data(&mut out, 0, meta, 0);
        out.extend_from_slice(&[1, 2]);
        data.set_count(&mut out, 2);
        data.end(&mut out);
        assert_eq!(read(&out).body, [0x81, 0x30, 0xdd, 0, 0, 0, 2, 1, 2]);
        out.clear();
        error(&mut out, meta, &client_error!(ER_NO_SUCH_SPACE, "x"));
        assert_eq!(read(&out).header.kind, 0x8000 | 36);
        out.clear();
        event(&mut out, 3, b"box.id", None);
        assert_eq!((read(&out).header.kind, read(&out).header.sync), (76, 3));
    }
}
