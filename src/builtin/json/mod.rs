//! The native half of `json`.
//!
//! # Yields
//! when a `__serialize` function does

mod decode;
mod encode;

use std::cell::Cell;

use crate::base::error::Result;
use crate::builtin::msgpack::with_buffer;
use crate::builtin::serializer::{self, Config, Instance};
use crate::lua::{Context, Module, push_function};

thread_local! {
    static ESCAPE_SLASH: Cell<bool> = const { Cell::new(false) };
}

/// Pushes `new` and the switch of the old way to write slashes.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("new", lua_json_new)
        .function("set_escape_slash", lua_json_set_escape_slash);
    Ok(())
}

fn lua_json_new(cx: Context<'_>) -> Result<usize> {
    Instance::new(cx, Config::DEFAULT)
        .function("encode", lua_json_encode)
        .function("decode", lua_json_decode)
        .finish();
    push_function(cx, lua_json_new);
    cx.raw_set_field(-2, "new");
    Ok(1)
}

fn lua_json_set_escape_slash(cx: Context<'_>) -> Result<usize> {
    ESCAPE_SLASH.set(cx.boolean(1));
    Ok(0)
}

fn check_argument_count(cx: Context<'_>) -> Result<()> {
    if (1..=2).contains(&cx.top()) {
        return Ok(());
    }
    Err(cx.bad_argument(1, "expected 1 or 2 arguments"))
}

/// `encode(value[, options])`: the text.
fn lua_json_encode(cx: Context<'_>) -> Result<usize> {
    check_argument_count(cx)?;
    let config = serializer::call_config(cx, 2)?;
    let key_order = serializer::key_order(cx, 2);
    with_buffer(|buffer| {
        encode::append(cx, 1, &config, key_order, ESCAPE_SLASH.get(), buffer)?;
        cx.push_bytes(&*buffer);
        Ok(1)
    })
}

/// `decode(text[, options])`: the value.
fn lua_json_decode(cx: Context<'_>) -> Result<usize> {
    check_argument_count(cx)?;
    let config = serializer::call_config(cx, 2)?;
    let text = cx.check_bytes(1)?;
    decode::push(cx, text, &config)?;
    Ok(1)
}
