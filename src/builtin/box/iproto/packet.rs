//! Native half of `box.iproto`: the protocol's numbers, packets and greetings, packets to clients,
//! and which requests Lua handlers answer in the place of the server.
//!
//! # Yields
//! `run_override`, when a handler does

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use super::client::{feature, send_to};
use super::request::PROTOCOL_VERSION;
use crate::base::error::{Error, Result};
use crate::builtin::r#box::trigger::LuaFunction;
use crate::lua::{Context, Kind, Module};
use crate::net::iproto::frame::{self, Frame};
use crate::net::iproto::greeting;
use crate::xrow::iproto::{ballot_key, flag, key, kind, metadata_key, raft_key};

/// The number that stands for every type without a handler of its own.
const UNKNOWN: i32 = -1;

thread_local! {
    static OVERRIDDEN: RefCell<HashSet<i32>> = RefCell::default();
    static IS_OVERRIDING: Cell<bool> = const { Cell::new(false) };
    static HAS_TUPLE_EXTENSION: Cell<bool> = const { Cell::new(true) };
    static HANDLER: RefCell<Option<Rc<LuaFunction>>> = const { RefCell::new(None) };
    /// Functions of `box.iproto.export` by name.
    static EXPORTED: RefCell<Option<Rc<LuaFunction>>> = const { RefCell::new(None) };
}

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("iproto_constants", lua_iproto_constants)
        .function("iproto_find_packet", lua_iproto_find_packet)
        .function("iproto_encode_greeting", lua_iproto_encode_greeting)
        .function("iproto_decode_greeting", lua_iproto_decode_greeting)
        .function("iproto_send", lua_iproto_send)
        .function("iproto_set_exported", lua_iproto_set_exported)
        .function("iproto_check_export", lua_iproto_check_export)
        .function("iproto_set_tuple_extension", lua_iproto_set_tuple_extension)
        .function("iproto_set_overridden", lua_iproto_set_overridden)
        .function("iproto_set_override_handler", lua_iproto_set_override_handler)
}

fn set_number(cx: Context<'_>, name: &str, value: i64) {
    cx.push_integer(value);
    cx.raw_set_field(-2, name);
}

/// Sets a table of the numbers below `end` that have a name.
fn set_names(
    cx: Context<'_>,
    field: &str,
    end: u64,
    name_of: fn(u64) -> Option<&'static str>,
    more: &[(&str, i64)],
) {
    cx.new_table(0, 16);
    for number in 0..end {
        if let Some(name) = name_of(number) {
            set_number(cx, name, number.cast_signed());
        }
    }
    more.iter().for_each(|(name, number)| set_number(cx, name, *number));
    cx.raw_set_field(-2, field);
}

/// `iproto_constants()`: a table of tables of numbers by name.
fn lua_iproto_constants(cx: Context<'_>) -> Result<usize> {
    cx.new_table(0, 16);
    set_number(cx, "GREETING_SIZE", greeting::SIZE as i64);
    set_number(cx, "GREETING_PROTOCOL_LEN_MAX", 32);
    set_number(cx, "GREETING_SALT_LEN_MAX", 44);
    set_number(cx, "protocol_version", PROTOCOL_VERSION.cast_signed());
    let flags = [
        ("COMMIT", flag::COMMIT.into()),
        ("WAIT_SYNC", flag::WAIT_SYNC.into()),
        ("WAIT_ACK", flag::WAIT_ACK.into()),
    ];
    set_names(cx, "flag", 0, |_| None, &flags);
    set_names(cx, "key", 0x80, key::name, &[]);
    set_names(cx, "metadata_key", 0x10, metadata_key::name, &[]);
    set_names(cx, "ballot_key", 0x10, ballot_key::name, &[]);
    set_names(cx, "raft_key", 0x10, raft_key::name, &[]);
    let types = [("TYPE_ERROR", i64::from(kind::ERROR)), ("UNKNOWN", i64::from(UNKNOWN))];
    set_names(cx, "type", 0x81, kind::name, &types);
    cx.new_table(feature::ALL.len(), 0);
    for (number, feature) in (1..).zip(feature::ALL) {
        cx.push_integer(i64::from(feature));
        cx.raw_set_index(-2, number);
    }
    cx.raw_set_field(-2, "own_features");
    Ok(1)
}

/// `iproto_find_packet(bytes, offset)`: where the packet behind its length starts and ends; or how
/// many bytes are missing.
fn lua_iproto_find_packet(cx: Context<'_>) -> Result<usize> {
    let bytes = cx.check_bytes(1)?;
    let offset = usize::try_from(cx.check_integer(2)?).unwrap_or(usize::MAX);
    match frame::find(bytes.get(offset..).unwrap_or_default())? {
        Frame::Packet(packet) => {
            cx.push_number((offset + packet.start) as f64);
            cx.push_number((offset + packet.end) as f64);
            Ok(2)
        }
        Frame::Missing(size) => {
            cx.push_number(size as f64);
            Ok(1)
        }
    }
}

/// `iproto_encode_greeting(version, uuid, salt in base64)`
fn lua_iproto_encode_greeting(cx: Context<'_>) -> Result<usize> {
    let (version, uuid, salt) = (cx.check_text(1)?, cx.check_text(2)?, cx.check_text(3)?);
    cx.push_bytes(greeting::encode(version, uuid, salt));
    Ok(1)
}

/// `iproto_decode_greeting(bytes)`: version, protocol, uuid, salt in base64; nothing if it is none.
fn lua_iproto_decode_greeting(cx: Context<'_>) -> Result<usize> {
    let bytes = cx.check_bytes(1)?.try_into().ok();
    let Some(greeting) = bytes.and_then(greeting::decode) else { return Ok(0) };
    cx.push_bytes(greeting.version);
    cx.push_bytes(greeting.protocol);
    cx.push_bytes(greeting.uuid);
    cx.push_bytes(greeting.salt);
    Ok(4)
}

/// `iproto_send(session id, packet)`
fn lua_iproto_send(cx: Context<'_>) -> Result<usize> {
    let id =
        cx.integer(1).ok_or_else(|| Error::illegal_params("a session is an unsigned integer"))?;
    send_to(id.cast_unsigned(), cx.check_bytes(2)?)?;
    Ok(0)
}

/// `iproto_set_exported(table)`
fn lua_iproto_set_exported(cx: Context<'_>) -> Result<usize> {
    cx.check_kind(1, Kind::Table)?;
    cx.set_top(1);
    EXPORTED.set(Some(Rc::new(LuaFunction::take(cx))));
    Ok(0)
}

/// `iproto_check_export(name, function)`
fn lua_iproto_check_export(cx: Context<'_>) -> Result<usize> {
    let wrong = if cx.kind(1) != Kind::String {
        "function name should be a string"
    } else if cx.kind(2) != Kind::Function {
        "function object should be a function"
    } else {
        return Ok(0);
    };
    Err(Error::illegal_params(wrong))
}

/// `iproto_set_tuple_extension(flag)`: whether calls may have tuples with their formats.
fn lua_iproto_set_tuple_extension(cx: Context<'_>) -> Result<usize> {
    HAS_TUPLE_EXTENSION.set(cx.boolean(1));
    Ok(0)
}

/// Whether the server offers a feature now.
pub(super) fn offers(feature: u8) -> bool {
    let is_of_calls =
        matches!(feature, feature::CALL_RET_TUPLE_EXTENSION | feature::CALL_ARG_TUPLE_EXTENSION);
    !is_of_calls || HAS_TUPLE_EXTENSION.get()
}

/// Puts the function that was exported by the name on the top of the stack in its place; false: there
/// is none, and the name stays.
pub(super) fn push_exported(cx: Context<'_>) -> bool {
    EXPORTED.with_borrow(|exported| {
        let Some(exported) = exported else { return false };
        exported.push(cx);
        cx.push_value(-2);
        cx.raw_get(-2);
        let is_exported = cx.kind(-1) == Kind::Function;
        if is_exported {
            cx.replace(-3);
        }
        cx.pop(if is_exported { 1 } else { 2 });
        is_exported
    })
}

/// `iproto_set_overridden(types)`
fn lua_iproto_set_overridden(cx: Context<'_>) -> Result<usize> {
    cx.check_kind(1, Kind::Table)?;
    let mut types = HashSet::new();
    for number in 1..=cx.raw_len(1) as i32 {
        cx.raw_get_index(1, number);
        types.extend(cx.integer(-1).and_then(|number| i32::try_from(number).ok()));
        cx.pop(1);
    }
    IS_OVERRIDING.set(!types.is_empty());
    OVERRIDDEN.set(types);
    Ok(0)
}

/// `iproto_set_override_handler(function)`
fn lua_iproto_set_override_handler(cx: Context<'_>) -> Result<usize> {
    cx.check_kind(1, Kind::Function)?;
    cx.set_top(1);
    HANDLER.set(Some(Rc::new(LuaFunction::take(cx))));
    Ok(0)
}

/// Whether a Lua handler is asked before requests of this type are executed. Handlers of unknown
/// types are asked for what the server does not know itself.
#[inline]
pub(super) fn is_overridden(request_type: u32) -> bool {
    IS_OVERRIDING.get() && is_overridden_slow(request_type)
}

#[cold]
fn is_overridden_slow(request_type: u32) -> bool {
    let is_known = kind::name(u64::from(request_type)).is_some();
    OVERRIDDEN.with_borrow(|types| {
        types.contains(&(request_type.cast_signed())) || (!is_known && types.contains(&UNKNOWN))
    })
}

/// Whether a Lua handler has answered the request.
pub(super) fn run_override(
    cx: Context<'_>,
    request_type: u32,
    header: &[u8],
    body: &[u8],
) -> Result<bool> {
    let Some(handler) = HANDLER.with_borrow(Clone::clone) else { return Ok(false) };
    handler.push(cx);
    cx.push_integer(i64::from(request_type));
    cx.push_bytes(header);
    cx.push_bytes(if body.is_empty() { &[0x80] } else { body });
    cx.call(3, 1)?;
    let is_answered = cx.boolean(-1);
    cx.pop(1);
    Ok(is_answered)
}
