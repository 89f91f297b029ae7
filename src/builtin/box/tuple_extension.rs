//! Tuples on the wire with their formats: the extension `MP_TUPLE` and the key `TUPLE_FORMATS`.
//!
//! # Layout
//! The payload of the extension is the id of a format and the array of fields. Ids are the
//! sender's; the same packet tells what they mean: `{id: [{name: , type: , ...}, ...], ...}`.
//!
//! What is written and read goes through the serializers, which know no packets. So while one is
//! written its fiber collects here the formats that it needs, and while one is read the formats
//! that it told of stand here.
//!
//! # Yields
//! [`collect`], when the work does

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::trigger::push_tuple;
use crate::base::error::Result;
use crate::fiber;
use crate::lua::Context;
use crate::tuple::{FieldDef, Format, FormatDef, RawTuple, Tuple};
use crate::value::mp::{self, Reader};

/// What the formats of a packet mean here, by their ids there.
type Formats = HashMap<u64, &'static Format>;

thread_local! {
    /// Ids of the formats that were written, by fiber; a fiber that is not here writes plain arrays.
    static COLLECTED: RefCell<HashMap<u64, Vec<u16>>> = RefCell::default();
    /// Whether there is any.
    static IS_COLLECTING: Cell<bool> = const { Cell::new(false) };
    static KNOWN: RefCell<Option<Formats>> = const { RefCell::new(None) };
}

/// Runs `work`, during which this fiber writes tuples as extensions. Returns the formats it used.
pub(super) fn collect<T>(work: impl FnOnce() -> T) -> (T, Vec<u16>) {
    let id = fiber::current().id();
    COLLECTED.with_borrow_mut(|collected| collected.insert(id, Vec::new()));
    IS_COLLECTING.set(true);
    let result = work();
    let formats = COLLECTED.with_borrow_mut(|collected| {
        let formats = collected.remove(&id);
        IS_COLLECTING.set(!collected.is_empty());
        formats
    });
    (result, formats.unwrap_or_default())
}

/// Writes a tuple that stands in Lua: as an extension while this fiber collects.
#[inline]
pub(super) fn write(tuple: &RawTuple, out: &mut Vec<u8>) {
    if IS_COLLECTING.get() {
        return write_slow(tuple, out);
    }
    out.extend_from_slice(tuple.data());
}

#[cold]
fn write_slow(tuple: &RawTuple, out: &mut Vec<u8>) {
    let id = fiber::current().id();
    COLLECTED.with_borrow_mut(|collected| match collected.get_mut(&id) {
        Some(formats) => write_extension(tuple, formats, out),
        None => out.extend_from_slice(tuple.data()),
    });
}

/// Writes a tuple as an extension and notes its format.
pub(super) fn write_extension(tuple: &RawTuple, formats: &mut Vec<u16>, out: &mut Vec<u8>) {
    let id = tuple.format_id();
    if !formats.contains(&id) {
        formats.push(id);
    }
    let id_size = if id < 0x80 { 1 } else { 2 + usize::from(id > 0xff) };
    let size = u32::try_from(id_size + tuple.data().len()).unwrap_or(u32::MAX);
    mp::write_ext_header(out, mp::EXT_TUPLE, size);
    mp::write_uint(out, u64::from(id));
    out.extend_from_slice(tuple.data());
}

/// Writes what the formats mean.
pub(super) fn write_formats(formats: &[u16], out: &mut Vec<u8>) {
    mp::write_map_len(out, formats.len() as u32);
    for id in formats {
        mp::write_uint(out, u64::from(*id));
        let fields = Format::by_id(*id).shown().fields();
        mp::write_array_len(out, fields.len() as u32);
        for field in fields {
            mp::write_map_len(out, 2 + u32::from(field.is_nullable));
            mp::write_str(out, b"name");
            mp::write_str(out, field.name.as_bytes());
            mp::write_str(out, b"type");
            mp::write_str(out, field.kind.name().as_bytes());
            if field.is_nullable {
                mp::write_str(out, b"is_nullable");
                mp::write_bool(out, true);
            }
        }
    }
}

/// Reads what formats mean. Of a field only the name counts: the sender may have types that are
/// not known here. `None` when it is not such a map.
fn read_formats(map: &[u8]) -> Option<Formats> {
    let mut reader = Reader::new(map);
    let mut formats = Formats::new();
    for _ in 0..reader.read_map_len()? {
        let id = reader.read_uint()?;
        let mut fields = Vec::new();
        mp::write_array_len(&mut fields, 0);
        let mut names = Vec::new();
        for _ in 0..reader.read_array_len()? {
            let mut name = None;
            for _ in 0..reader.read_map_len()? {
                let key = reader.read_str()?;
                let value = reader.skip()?;
                if key == b"name" {
                    name = Reader::new(value).read_str();
                }
            }
            names.push(name?);
        }
        if let Some(format) = format_of_names(&names) {
            formats.insert(id, format);
        }
    }
    Some(formats)
}

/// A format that knows the names of its fields and no more.
fn format_of_names(names: &[&[u8]]) -> Option<&'static Format> {
    if names.is_empty() {
        return Some(Format::runtime());
    }
    let mut bytes = Vec::new();
    mp::write_array_len(&mut bytes, names.len() as u32);
    for name in names {
        mp::write_map_len(&mut bytes, 3);
        mp::write_str(&mut bytes, b"name");
        mp::write_str(&mut bytes, name);
        mp::write_str(&mut bytes, b"type");
        mp::write_str(&mut bytes, b"any");
        mp::write_str(&mut bytes, b"is_nullable");
        mp::write_bool(&mut bytes, true);
    }
    let fields = FieldDef::decode_all(&bytes).ok()?;
    Format::new(&FormatDef { fields, field_count: 0 }, &[]).ok()
}

/// Runs `work`, which does not yield, with the formats that a packet tells of.
pub(super) fn with_formats<T>(map: Option<&[u8]>, work: impl FnOnce() -> T) -> T {
    let Some(formats) = map.and_then(read_formats) else { return work() };
    let old = KNOWN.replace(Some(formats));
    let result = work();
    KNOWN.set(old);
    result
}

/// The tuple in the payload of an extension.
pub(super) fn read(payload: &[u8]) -> Result<Tuple> {
    let bad = || crate::client_error!(ER_INVALID_MSGPACK, "cannot unpack tuple");
    let id_size = mp::check(payload).map_err(|_| bad())?;
    mp::check_exact(&payload[id_size..]).map_err(|_| bad())?;
    let mut reader = Reader::new(payload);
    let id = reader.read_uint().ok_or_else(bad)?;
    let data = reader.rest();
    if !super::argument::is_array(data) {
        return Err(bad());
    }
    let format = KNOWN.with_borrow(|known| known.as_ref()?.get(&id).copied());
    let format = format.unwrap_or_else(Format::runtime);
    Tuple::new(format, data).or_else(|_| Tuple::new_runtime(data))
}

/// Pushes the tuple in the payload of an extension.
pub(super) fn push(cx: Context<'_>, payload: &[u8]) -> Result<()> {
    push_tuple(cx, Some(&read(payload)?));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_tuples_are_read_back() {
        let tuple = Tuple::new_runtime(&[0x92, 1, 0xa1, b'x']).unwrap();
        let (mut out, mut formats) = (Vec::new(), Vec::new());
        write_extension(&tuple, &mut formats, &mut out);
        assert_eq!(formats, [Format::RUNTIME_ID]);
        let (kind, payload) = Reader::new(&out).read_ext().unwrap();
        assert_eq!(kind, mp::EXT_TUPLE);
        assert_eq!(read(payload).unwrap().data(), tuple.data());
        assert!(read(&[0x01, 0x05]).is_err());
        assert!(read(&[0x01, 0x92, 0x05]).is_err());
        assert!(read(&[]).is_err());
    }

    #[test]
    fn a_format_gives_its_names_to_the_tuples_of_its_packet() {
        let mut map = Vec::new();
        mp::write_map_len(&mut map, 1);
        mp::write_uint(&mut map, 700);
        mp::write_array_len(&mut map, 1);
        mp::write_map_len(&mut map, 1);
        mp::write_str(&mut map, b"name");
        mp::write_str(&mut map, b"id");
        let payload = [0xcd, 0x02, 0xbc, 0x91, 7];
        let tuple = with_formats(Some(&map), || read(&payload)).unwrap();
        assert_eq!(tuple.format().field_name(0), Some("id"));
        assert_eq!(read(&payload).unwrap().format().field_name(0), None);
    }
}
