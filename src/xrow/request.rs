//! Bodies of requests that read or change data: `SELECT`, `INSERT`, `REPLACE`, `UPDATE`, `DELETE`,
//! `UPSERT`, `NOP`, `INSERT_ARROW`, `DELETE_RANGE`.
//!
//! # Yields
//! never

use crate::base::Result;
use crate::client_error;
use crate::value::msgpack as mp;

use super::iproto::{key, kind};
use super::{Header, Row, invalid_msgpack};

/// A request. Slices are MessagePack values inside the packet that was decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Request<'a> {
    /// See [`kind`].
    pub kind: u16,
    /// The space.
    pub space_id: u32,
    /// The index that the key belongs to.
    pub index_id: u32,
    /// Tuples to skip.
    pub offset: u32,
    /// Most tuples to return.
    pub limit: u32,
    /// The iterator type.
    pub iterator: u32,
    /// Number of a tuple's first field in `ops`: 1 for Lua, 0 for C.
    pub index_base: u32,
    /// Whether the reply shall tell where the selection ended.
    pub fetch_position: bool,
    /// An array of key parts.
    pub key: Option<&'a [u8]>,
    /// The tuple; for `UPDATE` the operations.
    pub tuple: Option<&'a [u8]>,
    /// Operations of `UPSERT`.
    pub ops: Option<&'a [u8]>,
    /// Metadata kept with the tuple.
    pub tuple_meta: Option<&'a [u8]>,
    /// The tuple before the change.
    pub old_tuple: Option<&'a [u8]>,
    /// The tuple after the change.
    pub new_tuple: Option<&'a [u8]>,
    /// Where an earlier selection ended (the bytes of the string).
    pub after_position: Option<&'a [u8]>,
    /// The tuple where an earlier selection ended.
    pub after_tuple: Option<&'a [u8]>,
    /// The space by name.
    pub space_name: Option<&'a [u8]>,
    /// The index by name.
    pub index_name: Option<&'a [u8]>,
    /// Data in Arrow format (the payload of the extension).
    pub arrow: Option<&'a [u8]>,
    /// First key of a range.
    pub begin_key: Option<&'a [u8]>,
    /// Key after a range.
    pub end_key: Option<&'a [u8]>,
}

/// Space id and tuple of a body, checked to be well formed, that has these two and nothing else, in
/// this order: as are nearly all in logs and snapshots.
#[inline]
pub fn tuple_alone(body: &[u8]) -> Option<(u32, &[u8])> {
    const HEAD: [u8; 2] = [0x82, key::SPACE_ID];
    let mut reader = mp::Reader::new(body.strip_prefix(&HEAD)?);
    let space_id = u32::try_from(reader.read_uint()?).ok()?;
    let (&[key], tuple) = reader.rest().split_first_chunk()?;
    let is_tuple = key == key::TUPLE && mp::Kind::of(*tuple.first()?) == mp::Kind::Array;
    is_tuple.then_some((space_id, tuple))
}

/// Keys that a request of this type must carry, in the order in which they are missed.
fn mandatory(request_type: u16) -> &'static [u8] {
    match request_type {
        kind::SELECT => &[key::SPACE_ID, key::LIMIT, key::KEY],
        kind::INSERT | kind::REPLACE => &[key::SPACE_ID, key::TUPLE],
        kind::UPDATE => &[key::SPACE_ID, key::KEY, key::TUPLE],
        kind::DELETE => &[key::SPACE_ID, key::KEY],
        kind::UPSERT => &[key::SPACE_ID, key::TUPLE, key::OPS],
        kind::INSERT_ARROW => &[key::SPACE_ID, key::ARROW],
        kind::DELETE_RANGE => &[key::SPACE_ID, key::BEGIN_KEY, key::END_KEY],
        _ => &[],
    }
}

impl<'a> Request<'a> {
    /// A request of this type to this space.
    pub fn new(kind: u16, space_id: u32) -> Request<'a> {
        Request { kind, space_id, ..Request::default() }
    }

    /// Reads the body of a row. The body was checked by [`Row::decode`] to be well formed; what
    /// it contains is still untrusted. With `accept_space_name` a name may stand in for the id.
    pub fn decode(row: &Row<'a>, accept_space_name: bool) -> Result<Request<'a>> {
        let bad = || invalid_msgpack("packet body");
        let kind = row.header.request_type().ok_or_else(bad)?;
        let mut request = Request { kind, ..Request::default() };
        let mut seen = 0u64;
        if !row.body.is_empty() {
            let mut reader = mp::Reader::new(row.body);
            request.decode_body(&mut reader, &mut seen, mp::Reader::skip).ok_or_else(bad)?;
        }
        match request.missing(seen, accept_space_name) {
            Some(missing) => {
                let name = key::name(u64::from(missing)).unwrap_or("?");
                Err(client_error!(ER_MISSING_REQUEST_FIELD, name))
            }
            None => Ok(request),
        }
    }

    /// Reads and checks a packet in one pass, if it is a well formed request for data out of a
    /// stream. `None` of any other, such as one that [`Row::decode_packet`] calls invalid.
    #[inline]
    pub fn decode_packet(packet: &'a [u8]) -> Option<(Header, Request<'a>)> {
        // Nearly all begin with their type.
        if let [0x81..=0x8f, key::REQUEST_TYPE, kind @ 0..=0x7f, ..] = packet
            && !kind::is_dml(u16::from(*kind))
        {
            return None;
        }
        let mut reader = mp::Reader::new(packet);
        let header = Header::decode(&mut reader)?;
        let kind = header.request_type().filter(|&kind| kind::is_dml(kind) && kind != kind::NOP)?;
        if header.stream_id != 0 {
            return None;
        }
        let mut request = Request { kind, ..Request::default() };
        let mut seen = 0;
        request.decode_body(&mut reader, &mut seen, mp::Reader::check)?;
        (reader.is_empty() && request.missing(seen, true).is_none()).then_some((header, request))
    }

    /// The first mandatory key that was not seen.
    #[inline]
    fn missing(&self, seen: u64, accept_space_name: bool) -> Option<u8> {
        let is_named = accept_space_name && self.space_name.is_some();
        let seen = seen | u64::from(is_named) << key::SPACE_ID;
        mandatory(self.kind).iter().copied().find(|&key| seen & (1 << key) == 0)
    }

    /// Reads a map; `pass` passes over a value.
    #[inline(always)]
    fn decode_body(
        &mut self,
        reader: &mut mp::Reader<'a>,
        seen: &mut u64,
        pass: impl Fn(&mut mp::Reader<'a>) -> Option<&'a [u8]>,
    ) -> Option<()> {
        for _ in 0..reader.read_map_len()? {
            // Most are numbers, under keys of one byte.
            let first = *reader.rest().first()?;
            if let Some(number) = self.number(first) {
                reader.read_uint()?;
                *number = reader.read_uint()? as u32;
                *seen |= 1 << first;
                continue;
            }
            if reader.kind()? != mp::Kind::Uint {
                pass(reader)?;
                pass(reader)?;
                continue;
            }
            let key = reader.read_uint()?;
            let value = pass(reader)?;
            if !key::expected(key).accepts(*value.first()?) {
                return None;
            }
            if key < 64 {
                *seen |= 1 << key;
            }
            self.set(u8::try_from(key).unwrap_or(u8::MAX), value)?;
        }
        Some(())
    }

    /// What is set by a key whose value is a number.
    #[inline]
    fn number(&mut self, key: u8) -> Option<&mut u32> {
        Some(match key {
            key::SPACE_ID => &mut self.space_id,
            key::INDEX_ID => &mut self.index_id,
            key::OFFSET => &mut self.offset,
            key::LIMIT => &mut self.limit,
            key::ITERATOR => &mut self.iterator,
            key::INDEX_BASE => &mut self.index_base,
            _ => return None,
        })
    }

    fn set(&mut self, key: u8, value: &'a [u8]) -> Option<()> {
        let mut reader = mp::Reader::new(value);
        if let Some(number) = self.number(key) {
            *number = reader.read_uint()? as u32;
            return Some(());
        }
        match key {
            key::FETCH_POSITION => self.fetch_position = reader.read_bool()?,
            key::KEY => self.key = Some(value),
            key::TUPLE => self.tuple = Some(value),
            key::OPS => self.ops = Some(value),
            key::TUPLE_META => self.tuple_meta = Some(value),
            key::OLD_TUPLE => self.old_tuple = Some(value),
            key::NEW_TUPLE => self.new_tuple = Some(value),
            key::AFTER_POSITION => self.after_position = Some(reader.read_str()?),
            key::AFTER_TUPLE => self.after_tuple = Some(value),
            key::SPACE_NAME => self.space_name = Some(reader.read_str()?),
            key::INDEX_NAME => self.index_name = Some(reader.read_str()?),
            key::BEGIN_KEY => self.begin_key = Some(value),
            key::END_KEY => self.end_key = Some(value),
            key::ARROW => {
                let (ext_type, data) = reader.read_ext()?;
                if ext_type != mp::EXT_ARROW {
                    return None;
                }
                self.arrow = Some(data);
            }
            _ => {}
        }
        Some(())
    }

    /// Appends the body as a log row carries it. Appends nothing when nothing is set.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let mut count: u8 = 0;
        out.push(0x80);
        for (key, value) in [
            (key::SPACE_ID, self.space_id),
            (key::INDEX_ID, self.index_id),
            (key::INDEX_BASE, self.index_base),
        ] {
            if value != 0 {
                out.push(key);
                mp::write_uint(out, u64::from(value));
                count += 1;
            }
        }
        for (key, value) in [
            (key::KEY, self.key),
            (key::OPS, self.ops),
            (key::TUPLE_META, self.tuple_meta),
            (key::TUPLE, self.tuple),
            (key::OLD_TUPLE, self.old_tuple),
            (key::NEW_TUPLE, self.new_tuple),
        ] {
            if let Some(value) = value {
                out.push(key);
                out.extend_from_slice(value);
                count += 1;
            }
        }
        if let Some(arrow) = self.arrow {
            out.push(key::ARROW);
            mp::write_ext(out, mp::EXT_ARROW, arrow);
            count += 1;
        }
        for (key, value) in [(key::BEGIN_KEY, self.begin_key), (key::END_KEY, self.end_key)] {
            if let Some(value) = value {
                out.push(key);
                out.extend_from_slice(value);
                count += 1;
            }
        }
        if count == 0 {
            out.truncate(start);
        } else {
            // At most 12 keys, so the map header is always one byte.
            out[start] = 0x80 | count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xrow::Header;

    fn decode(kind: u16, body: &[u8]) -> Result<Request<'_>> {
        Request::decode(&Row { header: Header::new(kind), body }, false)
    }

    #[test]
    fn encoded_request_is_read_back() {
        let request = Request {
            index_base: 1,
            key: Some(&[0x91, 2]),
            ops: Some(&[0x90]),
            tuple: Some(&[0x92, 1, 2]),
            ..Request::new(kind::UPSERT, 512)
        };
        let mut body = Vec::new();
        request.encode(&mut body);
        assert_eq!(decode(kind::UPSERT, &body).unwrap(), request);
        body.clear();
        Request::default().encode(&mut body);
        assert!(body.is_empty());
    }

    #[test]
    fn body_of_a_tuple_alone_is_seen_as_such() {
        let request = Request { tuple: Some(&[0x92, 1, 2]), ..Request::new(kind::REPLACE, 70_000) };
        let mut body = Vec::new();
        request.encode(&mut body);
        assert_eq!(tuple_alone(&body), Some((70_000, &[0x92, 1, 2][..])));
        let with_meta = Request { tuple_meta: Some(&[0x80]), ..request };
        body.clear();
        with_meta.encode(&mut body);
        assert_eq!(tuple_alone(&body), None);
        assert_eq!(tuple_alone(&[0x82, key::SPACE_ID, 1, key::TUPLE, 0x80]), None);
        assert_eq!(tuple_alone(&[]), None);
    }

    #[test]
    fn missing_field_is_named() {
        let error = decode(kind::REPLACE, &[0x81, key::SPACE_ID, 1]).unwrap_err();
        assert_eq!(error.message(), "Missing mandatory field 'TUPLE' in request");
        let error = decode(kind::SELECT, &[]).unwrap_err();
        assert_eq!(error.message(), "Missing mandatory field 'SPACE_ID' in request");
        assert!(decode(kind::NOP, &[]).is_ok());
    }

    #[test]
    fn wrong_kind_of_value_is_refused_and_strange_keys_are_skipped() {
        let error = decode(kind::DELETE, &[0x82, key::SPACE_ID, 1, key::KEY, 5]).unwrap_err();
        assert_eq!(error.message(), "Invalid MsgPack - packet body");
        let body = [0x83, 0xa1, b'x', 1, key::SPACE_ID, 7, key::KEY, 0x90];
        assert_eq!(decode(kind::DELETE, &body).unwrap().space_id, 7);
    }

    #[test]
    fn space_name_stands_in_for_the_id_only_where_accepted() {
        let body = [0x82, key::SPACE_NAME, 0xa1, b's', key::TUPLE, 0x90];
        let row = Row { header: Header::new(kind::INSERT), body: &body };
        assert_eq!(Request::decode(&row, true).unwrap().space_name, Some(&b"s"[..]));
        assert!(Request::decode(&row, false).is_err());
    }
}
