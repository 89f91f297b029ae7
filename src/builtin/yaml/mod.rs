//! The native half of `yaml`, on the C library's translation `unsafe-libyaml`: the same emitter
//! and parser as Tarantool's, so the same texts.
//!
//! # Yields
//! when a `__serialize` function does

mod byte_escape;
mod decode;
mod encode;
mod libyaml;
mod stand_in;

use std::cell::Cell;

use crate::base::error::Result;
use crate::builtin::serializer::{self, Config, Instance, failure};
use crate::lua::{Context, Kind, Module, push_function};

thread_local! {
    static PRETTY_MULTILINE: Cell<bool> = const { Cell::new(true) };
    static BINARY_AS_STRING: Cell<bool> = const { Cell::new(false) };
}

/// Pushes `new` and the switches of old behaviour.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("new", lua_yaml_new)
        .function("set_pretty_multiline", lua_yaml_set_pretty_multiline)
        .function("set_binary_as_string", lua_yaml_set_binary_as_string);
    Ok(())
}

fn lua_yaml_new(cx: Context<'_>) -> Result<usize> {
    Instance::new(cx, Config::DEFAULT)
        .function("encode", lua_yaml_encode)
        .function("decode", lua_yaml_decode)
        .finish();
    push_function(cx, lua_yaml_new);
    cx.raw_set_field(-2, "new");
    Ok(1)
}

fn lua_yaml_set_pretty_multiline(cx: Context<'_>) -> Result<usize> {
    PRETTY_MULTILINE.set(cx.boolean(1));
    Ok(0)
}

fn lua_yaml_set_binary_as_string(cx: Context<'_>) -> Result<usize> {
    BINARY_AS_STRING.set(cx.boolean(1));
    Ok(0)
}

/// A global tag for the document.
struct Tag<'a> {
    handle: &'a [u8],
    prefix: &'a [u8],
}

fn tag_option<'a>(cx: Context<'a>) -> Option<Option<Tag<'a>>> {
    if cx.is_nil(2) {
        return Some(None);
    } else if cx.kind(2) != Kind::Table {
        return None;
    }
    let field = |name| {
        cx.raw_get_field(2, name);
        (cx.kind(-1) == Kind::Nil, cx.bytes(-1))
    };
    match (field("tag_prefix"), field("tag_handle")) {
        ((true, _), (true, _)) => Some(None),
        ((_, Some(prefix)), (_, Some(handle))) => Some(Some(Tag { handle, prefix })),
        _ => None,
    }
}

/// `encode(value[, {tag_prefix = , tag_handle = }])`: the text, or nil and a problem.
fn lua_yaml_encode(cx: Context<'_>) -> Result<usize> {
    const USAGE: &str = "Usage: encode(object, {tag_prefix = <string>, tag_handle = <string>})";
    let tag = tag_option(cx).filter(|_| cx.top() >= 1).ok_or_else(|| failure(USAGE))?;
    let config = serializer::config(cx);
    match encode::encode(cx, 1, &config, tag)? {
        Ok(text) => {
            cx.push_bytes(text);
            Ok(1)
        }
        Err(problem) => {
            cx.push_nil();
            cx.push_bytes(problem);
            Ok(2)
        }
    }
}

/// `decode(text[, {tag_only = true}])`: the values of all documents, or the handle and prefix of
/// the first one's tag.
fn lua_yaml_decode(cx: Context<'_>) -> Result<usize> {
    const USAGE: &str = "Usage: yaml.decode(document, [{tag_only = boolean}])";
    let text = cx.bytes(1).ok_or_else(|| failure(USAGE))?;
    let mut is_tag_only = false;
    if !cx.is_nil(2) {
        if cx.kind(2) != Kind::Table {
            return Err(failure(USAGE));
        }
        cx.raw_get_field(2, "tag_only");
        is_tag_only = cx.boolean(-1);
        cx.pop(1);
    }
    let config = serializer::config(cx);
    if is_tag_only { decode::push_tag(cx, text) } else { decode::push_documents(cx, text, &config) }
}
