//! Replies to `net.box`, from the packet received last to Lua values.
//!
//! # Yields
//! never

use super::transport;
use crate::base::error::{Error, Result};
use crate::builtin::r#box::argument::encode_array;
use crate::builtin::r#box::trigger::push_tuple;
use crate::builtin::r#box::tuple_extension;
use crate::builtin::serializer;
use crate::lua::{Context, Module};
use crate::tuple::{FieldDef, Format, FormatDef, Tuple};
use crate::value::mp::Reader;
use crate::xrow::iproto::key;
use crate::xrow::{Row, error};

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("read_error", lua_net_box_read_error)
        .function("read_values", lua_net_box_read_values)
        .function("read_tuples", lua_net_box_read_tuples)
        .function("read_bytes", lua_net_box_read_bytes)
        .function("read_first_bytes", lua_net_box_read_first_bytes)
        .function("decode_with_formats", lua_net_box_decode_with_formats)
        .function("read_id", lua_net_box_read_id)
        .function("read_event", lua_net_box_read_event)
        .function("format", lua_net_box_format)
}

/// Calls `read` with the packet received last.
fn with_row<T>(cx: Context<'_>, read: impl FnOnce(Row<'_>) -> Result<T>) -> Result<T> {
    let transport = transport(cx)?.clone();
    // Taken out while it is read: what is read makes Lua values, and those may call us.
    let packet = transport.packet.take();
    let result = Row::decode_exact(&packet).and_then(read);
    transport.packet.replace(packet);
    result
}

/// The value of a key in a body.
fn find(body: &[u8], name: u8) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    for _ in 0..reader.read_map_len()? {
        let (found, value) = (reader.skip()?, reader.skip()?);
        if Reader::new(found).read_uint() == Some(u64::from(name)) {
            return Some(value);
        }
    }
    None
}

/// The items of `DATA`, and how many.
fn data<'a>(row: &Row<'a>) -> (Reader<'a>, u32) {
    let mut reader = Reader::new(find(row.body, key::DATA).unwrap_or(&[0x90]));
    let count = reader.read_array_len().unwrap_or(0);
    (reader, count)
}

/// `read_error(transport)`: the error that the packet tells of.
fn lua_net_box_read_error(cx: Context<'_>) -> Result<usize> {
    let error = with_row(cx, |row| Ok(error::decode_body(row.header.kind, row.body)))?;
    cx.push_error(error);
    Ok(1)
}

/// `read_values(transport)`: a table of the items, and how many there are.
fn lua_net_box_read_values(cx: Context<'_>) -> Result<usize> {
    with_row(cx, |row| {
        let (mut reader, count) = data(&row);
        cx.new_table(count.min(1 << 16) as usize, 0);
        let config = serializer::msgpack_config();
        tuple_extension::with_formats(find(row.body, key::TUPLE_FORMATS), || {
            for number in 1..=count.cast_signed() {
                serializer::push_next(cx, &mut reader, &config)?;
                cx.raw_set_index(-2, number);
            }
            Ok::<_, Error>(())
        })?;
        if config.decode_save_metatables {
            serializer::push_array_hint(cx);
            cx.set_metatable(-2);
        }
        cx.push_integer(i64::from(count));
        Ok(2)
    })
}

/// `read_tuples(transport, format)`: a table of tuples, how many, and the position or nil.
fn lua_net_box_read_tuples(cx: Context<'_>) -> Result<usize> {
    let format = match cx.integer(2).and_then(|id| u16::try_from(id).ok()) {
        Some(id) => Format::by_id(id),
        None => Format::runtime(),
    };
    with_row(cx, |row| {
        let (mut reader, count) = data(&row);
        cx.new_table(count.min(1 << 16) as usize, 0);
        tuple_extension::with_formats(find(row.body, key::TUPLE_FORMATS), || {
            for number in 1..=count.cast_signed() {
                let tuple = match reader.read_ext() {
                    Some((_, payload)) => tuple_extension::read(payload)?,
                    None => {
                        let bytes = reader.skip().unwrap_or(&[0x90]);
                        Tuple::new(format, bytes).or_else(|_| Tuple::new_runtime(bytes))?
                    }
                };
                push_tuple(cx, Some(&tuple));
                cx.raw_set_index(-2, number);
            }
            Ok::<_, Error>(())
        })?;
        cx.push_integer(i64::from(count));
        match find(row.body, key::POSITION).and_then(|value| Reader::new(value).read_str()) {
            Some(position) => cx.push_bytes(position),
            None => cx.push_nil(),
        }
        Ok(3)
    })
}

/// Pushes what the packet tells of formats, or nil.
fn push_formats(cx: Context<'_>, row: &Row<'_>) {
    match find(row.body, key::TUPLE_FORMATS) {
        Some(formats) => cx.push_bytes(formats),
        None => cx.push_nil(),
    }
}

/// `decode_with_formats(formats, bytes, offset)`: the value there, with tuples of these formats, and
/// where the next one starts.
fn lua_net_box_decode_with_formats(cx: Context<'_>) -> Result<usize> {
    let (formats, bytes) = (cx.check_bytes(1)?, cx.check_bytes(2)?);
    let start = usize::try_from(cx.check_integer(3)? - 1).unwrap_or(usize::MAX);
    let mut reader = Reader::new(bytes.get(start..).unwrap_or_default());
    tuple_extension::with_formats(Some(formats), || {
        serializer::push_next(cx, &mut reader, &serializer::msgpack_config())
    })?;
    cx.push_number((start + reader.position() + 1) as f64);
    Ok(2)
}

/// `read_bytes(transport, without header)`: the body, or the array of `DATA` alone and the formats.
fn lua_net_box_read_bytes(cx: Context<'_>) -> Result<usize> {
    let without_header = cx.boolean(2);
    with_row(cx, |row| {
        if without_header {
            cx.push_bytes(find(row.body, key::DATA).unwrap_or(&[0x90]));
            push_formats(cx, &row);
            return Ok(2);
        }
        cx.push_bytes(if row.body.is_empty() { &[0x80] } else { row.body });
        Ok(1)
    })
}

/// `read_first_bytes(transport)`: the first item of `DATA`, or nil; and the formats.
fn lua_net_box_read_first_bytes(cx: Context<'_>) -> Result<usize> {
    with_row(cx, |row| {
        let (mut reader, _) = data(&row);
        match reader.skip() {
            Some(item) => cx.push_bytes(item),
            None => cx.push_nil(),
        }
        push_formats(cx, &row);
        Ok(2)
    })
}

/// `read_id(transport)`: version, array of features, method of authentication or nil.
fn lua_net_box_read_id(cx: Context<'_>) -> Result<usize> {
    with_row(cx, |row| {
        let version = find(row.body, key::VERSION).and_then(|it| Reader::new(it).read_uint());
        cx.push_uint64(version.unwrap_or(0));
        let mut reader = Reader::new(find(row.body, key::FEATURES).unwrap_or(&[0x90]));
        let count = reader.read_array_len().unwrap_or(0);
        cx.new_table(0, 0);
        for number in 1..=count.cast_signed() {
            cx.push_uint64(reader.read_uint().unwrap_or(u64::from(u32::MAX)));
            cx.raw_set_index(-2, number);
        }
        match find(row.body, key::AUTH_TYPE).and_then(|it| Reader::new(it).read_str()) {
            Some(method) => cx.push_bytes(method),
            None => cx.push_nil(),
        }
        Ok(3)
    })
}

/// `read_event(transport)`: key and value, nil for none.
fn lua_net_box_read_event(cx: Context<'_>) -> Result<usize> {
    with_row(cx, |row| {
        let name = find(row.body, key::EVENT_KEY).and_then(|it| Reader::new(it).read_str());
        cx.push_bytes(name.unwrap_or_default());
        match find(row.body, key::EVENT_DATA) {
            Some(value) => drop(serializer::push(cx, value, &serializer::msgpack_config())?),
            None => cx.push_nil(),
        }
        Ok(2)
    })
}

/// `format(fields)`: the number of a format that knows the names of these fields and no more.
fn lua_net_box_format(cx: Context<'_>) -> Result<usize> {
    let bytes = encode_array(cx, 1)?;
    let fields: Vec<FieldDef> = FieldDef::decode_all(&bytes)?;
    let format = Format::new(&FormatDef { fields, field_count: 0 }, &[]);
    let format = format.map_err(|error| Error::illegal_params(error.message()))?;
    cx.push_integer(i64::from(format.id()));
    Ok(1)
}
