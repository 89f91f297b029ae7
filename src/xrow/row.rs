//! The row header: what a row is, which instance made it, its place in the order of changes.
//!
//! # Layout
//! A MessagePack map with the keys of [`super::iproto::key`], then the body (another map, may be
//! missing). A transaction of one row carries neither `TSN` nor the commit flag; in a longer one
//! every row carries `TSN` as the distance from its own LSN back to the transaction's id, and the
//! last row the commit flag.
//!
//! # Yields
//! never

use crate::base::{Error, Result};
use crate::value::msgpack as mp;

use super::invalid_msgpack;
use super::iproto::{self, flag, key, kind};

/// The header of a row or packet. Zero means absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Header {
    /// Request type, see [`iproto::kind`]; for responses 0 or `ERROR | code`.
    pub kind: u32,
    /// The instance that made the change.
    pub replica_id: u32,
    /// [`iproto::GROUP_LOCAL`] for changes of local spaces.
    pub group_id: u32,
    /// [`iproto::flag`] bits; `COMMIT` marks the last row of a transaction.
    pub flags: u8,
    /// Number of the change among those of its instance.
    pub lsn: i64,
    /// Id of the transaction: the LSN of its first row.
    pub tsn: i64,
    /// When the change was made, seconds since the epoch.
    pub timestamp: f64,
    /// Request id of the wire.
    pub sync: u64,
    /// Version of the schema that the client or server knew.
    pub schema_version: u64,
    /// Interactive transaction that the request belongs to.
    pub stream_id: u64,
}

impl Header {
    /// A header with this request type.
    pub fn new(kind: u16) -> Header {
        Header { kind: u32::from(kind), ..Header::default() }
    }

    /// Whether this row ends its transaction.
    #[inline]
    pub fn is_commit(&self) -> bool {
        self.flags & flag::COMMIT != 0
    }

    /// The request type if it is one, not an error response.
    pub fn request_type(&self) -> Option<u16> {
        u16::try_from(self.kind).ok()
    }

    /// Appends the header as a log row or packet carries it. `sync` is written unless 0.
    pub fn encode(&self, sync: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(0x80);
        let mut map = MapWriter { out, count: 0 };
        map.uint(key::REQUEST_TYPE, u64::from(self.kind));
        map.uint_unless_0(key::SYNC, sync);
        map.uint_unless_0(key::REPLICA_ID, u64::from(self.replica_id));
        map.uint_unless_0(key::GROUP_ID, u64::from(self.group_id));
        map.uint_unless_0(key::LSN, self.lsn as u64);
        if self.timestamp != 0.0 {
            map.out.push(key::TIMESTAMP);
            mp::write_f64(map.out, self.timestamp);
            map.count += 1;
        }
        let mut flags = self.flags & !flag::COMMIT;
        if self.tsn != 0 {
            // A transaction of one row goes without both keys, which saves space in the log.
            if self.tsn != self.lsn || !self.is_commit() {
                map.uint(key::TSN, self.lsn.wrapping_sub(self.tsn) as u64);
            }
            if self.tsn != self.lsn && self.is_commit() {
                flags |= flag::COMMIT;
            }
        }
        map.uint_unless_0(key::STREAM_ID, self.stream_id);
        map.uint_unless_0(key::FLAGS, u64::from(flags));
        // At most 9 keys, so the map header is one byte.
        let count = map.count;
        out[start] = 0x80 | count;
    }

    /// Reads a header at the start of untrusted bytes. `None` when it is not one.
    pub(super) fn decode(reader: &mut mp::Reader<'_>) -> Option<Header> {
        let mut header = Header::default();
        let mut tsn = None;
        for _ in 0..reader.read_map_len()? {
            let key = reader.read_uint()?;
            let first = *reader.rest().first()?;
            if !key::expected(key).accepts(first) {
                return None;
            }
            let Ok(key) = u8::try_from(key) else {
                reader.skip()?;
                continue;
            };
            match key {
                key::REQUEST_TYPE => header.kind = reader.read_uint()? as u32,
                key::SYNC => header.sync = reader.read_uint()?,
                key::REPLICA_ID => header.replica_id = reader.read_uint()? as u32,
                key::GROUP_ID => header.group_id = reader.read_uint()? as u32,
                key::LSN => header.lsn = reader.read_uint()? as i64,
                key::TIMESTAMP => header.timestamp = reader.read_f64()?,
                key::SCHEMA_VERSION => header.schema_version = reader.read_uint()?,
                key::TSN => tsn = Some(reader.read_uint()? as i64),
                key::FLAGS => header.flags = reader.read_uint()? as u8,
                key::STREAM_ID => header.stream_id = reader.read_uint()?,
                _ => {
                    reader.skip()?;
                }
            }
        }
        if tsn.is_none() {
            header.flags |= flag::COMMIT;
        }
        header.tsn = header.lsn.wrapping_sub(tsn.unwrap_or(0));
        Some(header)
    }
}

struct MapWriter<'a> {
    out: &'a mut Vec<u8>,
    count: u8,
}

impl MapWriter<'_> {
    #[inline]
    fn uint(&mut self, key: u8, value: u64) {
        self.out.push(key);
        mp::write_uint(self.out, value);
        self.count += 1;
    }

    #[inline]
    fn uint_unless_0(&mut self, key: u8, value: u64) {
        if value != 0 {
            self.uint(key, value);
        }
    }
}

/// A row: header and encoded body (empty when there is none).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// The header.
    pub header: Header,
    /// A MessagePack map, or nothing.
    pub body: &'a [u8],
}

impl<'a> Row<'a> {
    /// Appends header and body.
    pub fn encode(&self, sync: u64, out: &mut Vec<u8>) {
        self.header.encode(sync, out);
        out.extend_from_slice(self.body);
    }

    /// Reads one row of several at the start of untrusted bytes; returns it with its size.
    pub fn decode(bytes: &'a [u8]) -> Result<(Row<'a>, usize)> {
        // The header is read key by key, so it needs no check of its own.
        let mut reader = mp::Reader::new(bytes);
        let header = Header::decode(&mut reader).ok_or_else(|| invalid_msgpack("packet header"))?;
        let header_size = reader.position();
        let rest = &bytes[header_size..];
        // A NOP has no body, so what follows it is the next row.
        if rest.is_empty() || header.kind == u32::from(kind::NOP) {
            return Ok((Row { header, body: &[] }, header_size));
        }
        let body_size = mp::check(rest).map_err(|_| invalid_msgpack("packet body"))?;
        Ok((Row { header, body: &rest[..body_size] }, header_size + body_size))
    }

    /// As [`Row::decode_exact`]; an error comes with the number of the request, as far as that
    /// could be read, so that it can be answered.
    pub fn decode_packet(bytes: &'a [u8]) -> std::result::Result<Row<'a>, (u64, Error)> {
        Row::decode_exact(bytes).map_err(|error| {
            let header = Header::decode(&mut mp::Reader::new(bytes));
            (header.map_or(0, |header| header.sync), error)
        })
    }

    /// Reads a packet: one row that takes all of the untrusted bytes.
    pub fn decode_exact(bytes: &'a [u8]) -> Result<Row<'a>> {
        let (row, size) = Row::decode(bytes)?;
        if size == bytes.len() {
            return Ok(row);
        }
        let is_nop = row.header.kind == u32::from(kind::NOP);
        Err(invalid_msgpack(if is_nop { "junk after packet body" } else { "packet body" }))
    }
}

/// Appends the body of a snapshot row: a `REPLACE`-like map with the space id in fixed width.
pub(crate) fn encode_snapshot_body(space_id: u32, tuple: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x82, key::SPACE_ID, 0xce]);
    out.extend_from_slice(&space_id.to_be_bytes());
    out.push(key::TUPLE);
    out.extend_from_slice(tuple);
}

const _: () = assert!(iproto::key::CHECKPOINT_LSN < 0x80, "keys are written as one byte");

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(header: Header) -> Header {
        let mut bytes = Vec::new();
        Row { header, body: &[0x80] }.encode(0, &mut bytes);
        let (row, size) = Row::decode(&bytes).unwrap();
        assert_eq!((size, row.body), (bytes.len(), &[0x80][..]));
        row.header
    }

    #[test]
    fn single_row_transaction_has_no_tsn_on_disk() {
        let header = Header {
            kind: 3,
            replica_id: 1,
            lsn: 4,
            tsn: 4,
            flags: flag::COMMIT,
            timestamp: 1.5,
            ..Header::default()
        };
        let mut bytes = Vec::new();
        header.encode(0, &mut bytes);
        assert_eq!(bytes[..8], [0x84, 0, 3, 2, 1, 3, 4, 4]);
        assert_eq!(round_trip(header), header);
    }

    #[test]
    fn rows_of_a_transaction_keep_its_id_and_end() {
        let first = Header { kind: 2, replica_id: 1, lsn: 10, tsn: 10, ..Header::default() };
        let last = Header { lsn: 12, tsn: 10, flags: flag::COMMIT | flag::WAIT_ACK, ..first };
        assert_eq!(round_trip(first), first);
        assert_eq!(round_trip(last), last);
        // A local row in front of the first global one has a transaction id larger than its LSN.
        let local = Header { lsn: 2, tsn: 267, group_id: 1, ..Header::new(3) };
        assert_eq!(round_trip(local), local);
    }

    #[test]
    fn wrong_kind_of_value_is_refused() {
        assert!(Row::decode(&[0x81, 0x00, 0xa1, b'x']).is_err());
        assert!(Row::decode(&[0x81, 0x04, 0x01]).is_err());
        assert!(Row::decode(&[0x90]).is_err());
        assert!(Row::decode(&[]).is_err());
        // An unknown key is skipped.
        let (row, _) = Row::decode(&[0x82, 0xcd, 0x02, 0x9a, 0x01, 0x00, 0x03]).unwrap();
        assert_eq!(row.header.kind, 3);
    }

    #[test]
    fn junk_after_a_packet_is_refused() {
        let error = Row::decode_exact(&[0x81, 0, 12, 0x80]).unwrap_err();
        assert_eq!(error.message(), "Invalid MsgPack - junk after packet body");
        assert!(Row::decode_exact(&[0x81, 0, 3, 0x80, 0x80]).is_err());
        assert!(Row::decode_exact(&[0x81, 0, 3, 0x80]).is_ok());
    }
}
