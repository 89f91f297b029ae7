//! Native half of `box.error`: making errors, the last error of a fiber, error injections.
//!
//! The Lua half checks arguments and formats messages; what it makes here is the same error that
//! Rust code returns.
//!
//! # Yields
//! never

use crate::base::error::{Builder, Result, Type, Value};
use crate::base::error_code::CODES;
use crate::base::error_injection::{self, INJECTIONS};
use crate::builtin::serializer;
use crate::lua::{self, Context, Kind, Module};
use crate::value::msgpack::EXT_ERROR;
use crate::xrow;

/// Adds the natives, and has error objects travel whole in MessagePack.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    serializer::register_error(xrow::error::encode);
    serializer::register_ext(EXT_ERROR, |cx, payload| {
        cx.push_error(xrow::error::decode(payload)?);
        Ok(())
    });
    module
        .function("error_code_table", lua_error_code_table)
        .function("error_create", lua_error_create)
        .function("error_is", lua_error_is)
        .function("error_last", lua_error_last)
        .function("error_set_last", lua_error_set_last)
        .function("error_set_place", lua_error_set_place)
        .function("error_injection_set", lua_error_injection_set)
        .function("error_injection_get", lua_error_injection_get)
        .function("error_injection_names", lua_error_injection_names)
}

/// `error_code_table()`: number to `{name, format, fields}`.
fn lua_error_code_table(cx: Context<'_>) -> Result<usize> {
    cx.new_table(CODES.len(), 0);
    for code in CODES {
        cx.new_table(0, 3);
        cx.push_bytes(code.name.strip_prefix("ER_").unwrap_or(code.name));
        cx.raw_set_field(-2, "name");
        cx.push_bytes(code.format);
        cx.raw_set_field(-2, "format");
        cx.new_table(code.fields.len(), 0);
        for (number, field) in (1..).zip(code.fields) {
            cx.push_bytes(field);
            cx.raw_set_index(-2, number);
        }
        cx.raw_set_field(-2, "fields");
        cx.raw_set_index(-2, i32::try_from(code.number).expect("codes are small numbers"));
    }
    Ok(1)
}

/// `error_create(code, custom type or nil, message, file, line, cause or nil, payload)`. The payload is
/// an array of `{name, value, is MessagePack}`.
fn lua_error_create(cx: Context<'_>) -> Result<usize> {
    let text = |index| cx.check_bytes(index).map(|bytes| String::from_utf8_lossy(bytes));
    let custom_type = cx.opt_bytes(2)?.map(|name| String::from_utf8_lossy(name).into_owned());
    let kind = if custom_type.is_some() { Type::Custom } else { Type::Client };
    let mut builder = Builder::new(kind, text(3)?.into_owned())
        .code(u32::try_from(cx.check_integer(1)?).unwrap_or(0))
        .place(&text(4)?, u32::try_from(cx.check_integer(5)?).unwrap_or(0))
        .fields(read_payload(cx, 7));
    if let Some(name) = custom_type {
        builder = builder.custom_type(name);
    }
    let error = builder.build();
    if let Some(cause) = cx.error(6) {
        error.set_cause(Some(cause))?;
    }
    cx.push_error(error);
    Ok(1)
}

fn read_payload(cx: Context<'_>, table: i32) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    for number in 1..=i32::try_from(cx.raw_len(table)).unwrap_or(0) {
        let top = cx.top();
        cx.raw_get_index(table, number);
        let entry = cx.top();
        for part in 1..=3 {
            cx.raw_get_index(entry, part);
        }
        let (name, value, is_encoded) = (entry + 1, entry + 2, cx.boolean(entry + 3));
        if let (Some(name), Some(value)) = (cx.bytes(name), read_value(cx, value, is_encoded)) {
            fields.push((String::from_utf8_lossy(name).into_owned(), value));
        }
        cx.set_top(top);
    }
    fields
}

fn read_value(cx: Context<'_>, index: i32, is_encoded: bool) -> Option<Value> {
    Some(match cx.kind(index) {
        Kind::Boolean => Value::Boolean(cx.boolean(index)),
        Kind::String if is_encoded => Value::MessagePack(cx.bytes(index)?.to_vec()),
        Kind::String => Value::String(String::from_utf8_lossy(cx.bytes(index)?).into_owned()),
        Kind::Number | Kind::Cdata => match cx.integer(index) {
            Some(number) if number >= 0 => Value::Unsigned(number.unsigned_abs()),
            Some(number) => Value::Integer(number),
            None => match cx.cdata(index) {
                Some(cdata) => Value::Unsigned(cdata.unsigned()?),
                None => Value::Double(cx.number(index)?),
            },
        },
        _ => return None,
    })
}

fn lua_error_is(cx: Context<'_>) -> Result<usize> {
    cx.push_boolean(cx.top() >= 1 && cx.error(1).is_some());
    Ok(1)
}

fn lua_error_last(cx: Context<'_>) -> Result<usize> {
    match lua::last_error() {
        Some(error) => cx.push_error(error),
        None => cx.push_nil(),
    }
    Ok(1)
}

/// `error_set_last(error or nil)`.
fn lua_error_set_last(cx: Context<'_>) -> Result<usize> {
    lua::set_last_error(cx.error(1));
    Ok(0)
}

/// `error_set_place(error, file, line)`.
fn lua_error_set_place(cx: Context<'_>) -> Result<usize> {
    if let Some(error) = cx.error(1) {
        let line = u32::try_from(cx.check_integer(3)?).unwrap_or(0);
        error.set_place(&String::from_utf8_lossy(cx.check_bytes(2)?), line);
    }
    Ok(0)
}

fn find_injection(cx: Context<'_>) -> Result<Option<&'static error_injection::Injection>> {
    Ok(error_injection::find(cx.check_text(1)?))
}

/// `error_injection_set(name, value)`: true strikes at once, a number after so many calls, anything else
/// is off. Returns whether there is such an injection.
fn lua_error_injection_set(cx: Context<'_>) -> Result<usize> {
    let injection = find_injection(cx)?;
    if let Some(injection) = injection {
        match cx.integer(2).map(u32::try_from) {
            Some(Ok(passes)) => injection.set(passes),
            None if cx.boolean(2) => injection.set(0),
            _ => injection.clear(),
        }
    }
    cx.push_boolean(injection.is_some());
    Ok(1)
}

/// `error_injection_get(name)`: whether it is on, nil when there is none of that name.
fn lua_error_injection_get(cx: Context<'_>) -> Result<usize> {
    match find_injection(cx)? {
        Some(injection) => cx.push_boolean(injection.is_set()),
        None => cx.push_nil(),
    }
    Ok(1)
}

fn lua_error_injection_names(cx: Context<'_>) -> Result<usize> {
    cx.new_table(INJECTIONS.len(), 0);
    for (number, injection) in (1..).zip(INJECTIONS) {
        cx.push_bytes(injection.name);
        cx.raw_set_index(-2, number);
    }
    Ok(1)
}
