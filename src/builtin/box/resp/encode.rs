//! Lua values to replies.
//!
//! | Lua | reply |
//! |---|---|
//! | nil, `box.NULL` | null |
//! | boolean | boolean |
//! | number, int64, uint64 | integer if it is whole and fits, else double or big number |
//! | string | bulk string |
//! | `resp.FIELD`, a tuple and the number of a field | bulk string with the field's text |
//! | table with items from 1 on, or empty | array |
//! | other table, or one with `__serialize = 'map'` | map |
//! | a value made by `resp.status` and its like | what it says |
//! | other cdata | what `plain` of the Lua half makes of it |
//!
//! # Yields
//! Only when `tostring` or `totable` of a foreign cdata does

use std::cell::{Cell, RefCell};
use std::ffi::c_void;

use mlua::ffi;

use crate::base::error::Result;
use crate::builtin::r#box::tuple::LuaTuple;
use crate::lua::{Context, Reference};
use crate::net::resp::reply::Writer;
use crate::value::mp;

/// Deepest nesting of a reply; deeper ones (cycles) are an error.
const DEPTH_MAX: u32 = 64;

thread_local! {
    /// Address of the metatable of replies that the Lua half makes.
    static REPLY: Cell<*const c_void> = const { Cell::new(std::ptr::null()) };
    /// Address of `resp.OK`.
    static OK: Cell<*const c_void> = const { Cell::new(std::ptr::null()) };
    /// Address of `resp.FIELD`.
    static FIELD: Cell<*const c_void> = const { Cell::new(std::ptr::null()) };
    /// Makes a plain value of cdata.
    static PLAIN: RefCell<Option<Reference>> = const { RefCell::new(None) };
}

/// `set_reply(metatable, OK, FIELD, plain)`: all of them live for ever.
pub(super) fn lua_resp_set_reply(cx: Context<'_>) -> Result<usize> {
    REPLY.set(cx.pointer(1));
    OK.set(cx.pointer(2));
    FIELD.set(cx.pointer(3));
    cx.set_top(4);
    PLAIN.set(Some(cx.reference()));
    // Addresses do not keep the tables: the registry does.
    (0..3).for_each(|_| {
        let _ = cx.reference().into_raw();
    });
    Ok(0)
}

/// Whether the value is a reply made by the Lua half.
pub(super) fn is_reply(cx: Context<'_>, index: i32) -> bool {
    let found = cx.metatable(index);
    let is_reply = found && cx.pointer(-1) == REPLY.get();
    if found {
        cx.pop(1);
    }
    is_reply
}

/// Writes the field of a tuple, if the three values on top of the stack are `resp.FIELD`, a tuple
/// and the number of a field that is a string. Else leaves the first of them.
#[inline]
pub(super) fn field(cx: Context<'_>, out: &mut Writer<'_>) -> bool {
    let text = (cx.pointer(-3) == FIELD.get()).then(|| field_text(cx)).flatten();
    match text {
        Some(text) => out.bulk(text),
        None => cx.pop(2),
    }
    text.is_some()
}

fn field_text(cx: Context<'_>) -> Option<&[u8]> {
    let index = u32::try_from(cx.integer(-1)?).ok()?.checked_sub(1)?;
    mp::Reader::new(LuaTuple::get(cx, -2)?.field(index)?).read_str()
}

/// Writes the value on top of the stack. `Err` says why it cannot be one; what was written until
/// then must be cut off.
#[inline]
pub(super) fn encode(cx: Context<'_>, out: &mut Writer<'_>) -> Result<(), &'static str> {
    value(cx, out, DEPTH_MAX)
}

#[inline]
fn value(cx: Context<'_>, out: &mut Writer<'_>, depth: u32) -> Result<(), &'static str> {
    let state = cx.state();
    // SAFETY: reading the top of the stack of a running thread.
    match unsafe { ffi::lua_type(state, -1) } {
        ffi::LUA_TSTRING => out.bulk(cx.bytes(-1).unwrap_or_default()),
        ffi::LUA_TTABLE if cx.pointer(-1) == OK.get() => out.status(b"OK"),
        ffi::LUA_TNIL => out.null(),
        // SAFETY: as above.
        ffi::LUA_TNUMBER => number(unsafe { ffi::lua_tonumber(state, -1) }, out),
        ffi::LUA_TBOOLEAN => out.boolean(cx.boolean(-1)),
        ffi::LUA_TTABLE => return table(cx, out, depth),
        ffi::LUA_TCDATA => return cdata(cx, out, depth),
        _ => return Err("the command returned a value that has no reply"),
    }
    Ok(())
}

fn number(number: f64, out: &mut Writer<'_>) {
    /// Beyond this a double may round to 2^63.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let integer = number as i64;
    if integer as f64 == number && number < LIMIT {
        out.integer(integer);
    } else {
        out.double(number);
    }
}

#[cold]
fn cdata(cx: Context<'_>, out: &mut Writer<'_>, depth: u32) -> Result<(), &'static str> {
    let cdata = cx.cdata(-1).ok_or("not cdata")?;
    if cdata.is_null() {
        out.null();
    } else if let Some(integer) = cdata.integer() {
        out.integer(integer);
    } else if let Some(unsigned) = cdata.unsigned() {
        out.big_number(unsigned.to_string().as_bytes());
    } else if depth == 0 {
        return Err("the reply is nested too deeply");
    } else {
        PLAIN.with_borrow(|plain| match plain {
            Some(plain) => cx.push_reference(plain),
            None => cx.push_nil(),
        });
        cx.push_value(-2);
        cx.call(1, 1).map_err(|_| "the command returned a value that has no reply")?;
        let result = value(cx, out, depth - 1);
        cx.pop(1);
        return result;
    }
    Ok(())
}

/// Whether a metatable asks for a map (`__serialize = 'map'`).
fn is_map_by_metatable(cx: Context<'_>) -> bool {
    if !cx.meta_field(-1, "__serialize") {
        return false;
    }
    let is_map = matches!(cx.bytes(-1), Some(b"map" | b"mapping"));
    cx.pop(1);
    is_map
}

fn table(cx: Context<'_>, out: &mut Writer<'_>, depth: u32) -> Result<(), &'static str> {
    if depth == 0 || cx.reserve(6).is_err() {
        return Err("the reply is nested too deeply");
    }
    if is_reply(cx, -1) {
        return reply(cx, out, depth);
    }
    let count = cx.raw_len(-1);
    if count > 0 {
        out.array(count);
        return items(cx, count, out, depth);
    }
    let mut pairs = 0;
    cx.push_nil();
    while cx.next(-2) {
        cx.pop(1);
        pairs += 1;
    }
    if pairs == 0 && !is_map_by_metatable(cx) {
        out.array(0);
        return Ok(());
    }
    out.map(pairs);
    cx.push_nil();
    while cx.next(-2) {
        cx.push_value(-2);
        let result = value(cx, out, depth - 1);
        cx.pop(1);
        let result = result.and_then(|()| value(cx, out, depth - 1));
        cx.pop(1);
        if result.is_err() {
            cx.pop(1);
            return result;
        }
    }
    Ok(())
}

/// Writes the first items of the table on top.
fn items(
    cx: Context<'_>,
    count: usize,
    out: &mut Writer<'_>,
    depth: u32,
) -> Result<(), &'static str> {
    for index in 1..=count {
        cx.raw_get_index(-1, index as i32);
        let result = value(cx, out, depth - 1);
        cx.pop(1);
        result?;
    }
    Ok(())
}

/// Writes a reply that the Lua half made: {kind, value, format}.
fn reply(cx: Context<'_>, out: &mut Writer<'_>, depth: u32) -> Result<(), &'static str> {
    cx.raw_get_index(-1, 1);
    let kind = cx.integer(-1).unwrap_or(0);
    cx.pop(1);
    cx.raw_get_index(-1, 2);
    let result = payload(cx, kind, out, depth);
    cx.pop(1);
    result
}

fn payload(
    cx: Context<'_>,
    kind: i64,
    out: &mut Writer<'_>,
    depth: u32,
) -> Result<(), &'static str> {
    let text = cx.bytes(-1).unwrap_or_default();
    // Only of lists: asking a number for its length would make it a string.
    let count = if matches!(kind, 4..=6) { cx.raw_len(-1) } else { 0 };
    match kind {
        1 => out.status(text),
        2 => out.error(text),
        3 => out.null_array(),
        4 => {
            out.map(count / 2);
            return items(cx, count / 2 * 2, out, depth);
        }
        5 => {
            out.set(count);
            return items(cx, count, out, depth);
        }
        6 => {
            out.push(count);
            return items(cx, count, out, depth);
        }
        7 => {
            cx.raw_get_index(-2, 3);
            let format = cx.bytes(-1).and_then(|format| format.try_into().ok()).unwrap_or(*b"txt");
            cx.pop(1);
            out.verbatim(format, text);
        }
        8 => out.big_number(text),
        9 => out.double(cx.number(-1).unwrap_or(f64::NAN)),
        10 => return Err("resp.FIELD stands before a tuple and the number of a string field"),
        _ => return Err("the command returned a reply of an unknown kind"),
    }
    Ok(())
}
