//! `CALL`, `CALL_16` and `EVAL`: from the arguments in the packet to a Lua function and back.
//!
//! A function is one of `_func`, or else a global by its path: `a.b.c`, `a.b:method`, `a[1]`,
//! `a["x"]`. Everything that may raise runs in one protected call.
//!
//! # Yields
//! `run`, when the function does; `encode`, when a `__serialize` function does

use std::cell::{OnceCell, RefCell};
use std::collections::HashSet;

use super::client::{Client, feature};
use super::packet;
use crate::base::error::Result;
use crate::builtin::r#box::space::database;
use crate::builtin::r#box::tuple::LuaTuple;
use crate::builtin::r#box::tuple_extension;
use crate::builtin::serializer::{self, Config, Field};
use crate::client_error;
use crate::db::{Database, access};
use crate::lua::{self, Context, Kind, Module, Reference};
use crate::net::iproto::reply::{self, Meta};
use crate::value::mp::{self, Reader};
use crate::xrow::Row;
use crate::xrow::iproto::{key, kind};

/// What separates the words of a path of globals.
const DELIMITERS: &[u8] = b".:[";

thread_local! {
    /// Names of the globals that came with the program.
    static BUILTINS: RefCell<HashSet<Vec<u8>>> = RefCell::default();
    /// `lua_iproto_run`, made once: each function made is work for the collector.
    static RUN: OnceCell<Reference> = const { OnceCell::new() };
}

/// A call as its packet describes it.
struct Call<'a> {
    /// The function, or the expression.
    text: &'a [u8],
    is_eval: bool,
    /// Arguments, and how many.
    arguments: Reader<'a>,
    count: u32,
    /// What the formats of tuples among them are.
    formats: Option<&'a [u8]>,
}

impl<'a> Call<'a> {
    fn decode(row: &Row<'a>) -> Result<Call<'a>> {
        let bad = || client_error!(ER_INVALID_MSGPACK, "packet body");
        if row.body.is_empty() {
            return Err(client_error!(ER_INVALID_MSGPACK, "missing request body"));
        }
        let is_eval = row.header.request_type() == Some(kind::EVAL);
        let wanted = if is_eval { key::EXPR } else { key::FUNCTION_NAME };
        let (mut text, mut arguments, mut formats) = (None, Reader::new(&[0x90]), None);
        let mut reader = Reader::new(row.body);
        for _ in 0..reader.read_map_len().ok_or_else(bad)? {
            let name = reader.read_uint().ok_or_else(bad)?;
            let value = reader.skip().ok_or_else(bad)?;
            let is_known = matches!(
                u8::try_from(name),
                Ok(key::EXPR | key::FUNCTION_NAME | key::TUPLE | key::TUPLE_FORMATS)
            );
            if is_known && !key::expected(name).accepts(value.first().copied().unwrap_or(0xc1)) {
                return Err(bad());
            }
            if name == u64::from(wanted) {
                text = Reader::new(value).read_str();
            } else if name == u64::from(key::TUPLE) {
                arguments = Reader::new(value);
            } else if name == u64::from(key::TUPLE_FORMATS) {
                formats = Some(value);
            }
        }
        let missing = || key::name(u64::from(wanted)).unwrap_or("?");
        let text = text.ok_or_else(|| client_error!(ER_MISSING_REQUEST_FIELD, missing()))?;
        let count = arguments.read_array_len().ok_or_else(bad)?;
        Ok(Call { text, is_eval, arguments, count, formats })
    }
}

/// Calls what the packet asks for; its results are pushed.
pub(super) fn run(cx: Context<'_>, row: &Row<'_>) -> Result<()> {
    let call = Call::decode(row)?;
    let base = cx.top();
    cx.reserve(8)?;
    RUN.with(|run| {
        cx.push_reference(run.get_or_init(|| {
            lua::push_function(cx, lua_iproto_run);
            cx.reference()
        }));
    });
    cx.push_pointer((&raw const call).cast_mut().cast());
    cx.call(1, -1)?;
    debug_assert!(cx.top() >= base);
    Ok(())
}

/// The protected part.
fn lua_iproto_run(cx: Context<'_>) -> Result<usize> {
    // SAFETY: `run` passes its own call, which outlives this function.
    let call = unsafe { &*cx.userdata(1).cast::<Call<'_>>() };
    cx.set_top(0);
    let database = database()?;
    if call.is_eval {
        access::check_lua_eval(database)?;
        cx.load(call.text, "=eval")?;
    } else {
        push_function(cx, database, call.text)?;
    }
    let own = cx.top() - 1;
    let mut arguments = call.arguments;
    let count = i32::try_from(call.count).unwrap_or(i32::MAX);
    cx.reserve(count.saturating_add(8))?;
    let config = serializer::msgpack_config();
    tuple_extension::with_formats(call.formats, || {
        (0..count).try_for_each(|_| serializer::push_next(cx, &mut arguments, &config))
    })?;
    cx.call_through(own + count, -1);
    Ok(cx.top() as usize)
}

/// Pushes the function with this name, and the object whose method it is.
fn push_function(cx: Context<'_>, database: &Database, name: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(name);
    if let Some(function) = database.functions().get_by_name(&text) {
        access::check_function(database, &function, || is_builtin(name))?;
        if !function.body.is_empty() || function.is_setuid || function.language != "LUA" {
            for field in ["box", "schema", "func", "call"] {
                match field {
                    "box" => drop(cx.get_global(field)),
                    _ => cx.get_field(-1, field),
                }
            }
            cx.replace(1);
            cx.set_top(1);
            cx.push_bytes(name);
            return Ok(());
        }
    } else {
        access::check_lua_call(database, &text, || is_builtin(name))?;
    }
    cx.push_bytes(name);
    if packet::push_exported(cx) {
        return Ok(());
    }
    if !name.iter().any(|byte| DELIMITERS.contains(byte)) {
        // The name is on the stack still.
        cx.get_global_value();
        if is_callable(cx, -1) {
            return Ok(());
        }
        return Err(client_error!(ER_NO_SUCH_PROC, text.into_owned()));
    }
    cx.pop(1);
    find_global(cx, name).ok_or_else(|| client_error!(ER_NO_SUCH_PROC, text.into_owned()))
}

/// Whether the first word of a path is a global that came with the program.
pub(in crate::builtin::r#box) fn is_builtin(path: &[u8]) -> bool {
    let end = path.iter().position(|byte| b" .:[".contains(byte)).unwrap_or(path.len());
    BUILTINS.with_borrow(|builtins| builtins.contains(&path[..end]))
}

/// Pushes the function that a path of globals leads to, and the object of a method. `None`: it
/// leads nowhere.
fn find_global(cx: Context<'_>, path: &[u8]) -> Option<()> {
    let word_end =
        |path: &[u8]| path.iter().position(|byte| DELIMITERS.contains(byte)).unwrap_or(path.len());
    let end = word_end(path);
    let (word, mut rest) = path.split_at(end);
    push_field(cx, None, word);
    while let Some((&delimiter, tail)) = rest.split_first() {
        if !matches!(cx.kind(-1), Kind::Table | Kind::LightUserdata | Kind::Userdata) {
            return None;
        }
        match delimiter {
            b'.' => {
                let (word, next) = tail.split_at(word_end(tail));
                push_field(cx, Some(-1), word);
                rest = next;
            }
            b':' => {
                push_field(cx, Some(-1), tail);
                // The function first, then the object.
                cx.insert(-2);
                return is_callable(cx, -2).then_some(());
            }
            b'[' => {
                let end = tail.iter().position(|byte| *byte == b']')?;
                push_subscript(cx, &tail[..end])?;
                cx.get_value(-2);
                rest = &tail[end + 1..];
            }
            _ => return None,
        }
        cx.remove(-2);
    }
    is_callable(cx, -1).then_some(())
}

fn is_callable(cx: Context<'_>, index: i32) -> bool {
    matches!(cx.kind(index), Kind::Function | Kind::Table)
}

/// Pushes a field of the value at `index`, or a global.
fn push_field(cx: Context<'_>, index: Option<i32>, name: &[u8]) {
    cx.push_bytes(name);
    match index {
        Some(index) => cx.get_value(index - 1),
        None => cx.get_global_value(),
    }
}

/// Pushes what stands between brackets: a quoted string or a number.
fn push_subscript(cx: Context<'_>, text: &[u8]) -> Option<()> {
    match text {
        [open @ (b'"' | b'\''), inner @ .., close] if open == close => cx.push_bytes(inner),
        _ => cx.push_number(std::str::from_utf8(text).ok()?.trim().parse().ok()?),
    }
    Some(())
}

/// Writes the results that stand above `base`.
pub(super) fn encode(
    cx: Context<'_>,
    base: i32,
    row: &Row<'_>,
    client: &Client,
    meta: Meta,
    out: &mut Vec<u8>,
) -> Result<()> {
    let encode_error_as_ext = client.has_feature(feature::ERROR_EXTENSION);
    let config = Config { encode_error_as_ext, ..serializer::msgpack_config() };
    let is_extended = client.has_feature(feature::CALL_RET_TUPLE_EXTENSION);
    let data = reply::begin_data(out, u32::from(kind::OK), meta, u8::from(is_extended));
    let is_old = row.header.request_type() == Some(kind::CALL_16);
    let mut write = || {
        if is_old {
            return encode_16(cx, base, out, &config);
        }
        for index in base + 1..=cx.top() {
            serializer::encode(cx, index, out, &config)?;
        }
        Ok(cx.top() - base)
    };
    let (count, formats) =
        if is_extended { tuple_extension::collect(write) } else { (write(), Vec::new()) };
    data.set_count(out, count?.cast_unsigned());
    if is_extended {
        out.push(key::TUPLE_FORMATS);
        tuple_extension::write_formats(&formats, out);
    }
    data.end(out);
    Ok(())
}

/// Writes results in the manner of Tarantool 1.6, where each is a tuple; how many.
fn encode_16(cx: Context<'_>, base: i32, out: &mut Vec<u8>, config: &Config) -> Result<i32> {
    let count = cx.top() - base;
    if count != 1 {
        for index in base + 1..=base + count {
            encode_tuple(cx, index, out, config)?;
        }
        return Ok(count);
    }
    let only = base + 1;
    if LuaTuple::get(cx, only).is_some() || array_size(cx, only, config)?.is_none() {
        encode_tuple(cx, only, out, config)?;
        return Ok(1);
    }
    let size = array_size(cx, only, config)?.unwrap_or(0);
    for number in 1..=size {
        cx.raw_get_index(only, number);
        let item = cx.top();
        let is_tuple = LuaTuple::get(cx, item).is_some() || array_size(cx, item, config)?.is_some();
        if number == 1 && !is_tuple {
            // `return {scalar, …}` is one tuple.
            cx.pop(1);
            encode_tuple(cx, only, out, config)?;
            return Ok(1);
        }
        encode_tuple(cx, item, out, config)?;
        cx.set_top(item - 1);
    }
    Ok(size)
}

/// The size of a value that is written as an array.
fn array_size(cx: Context<'_>, index: i32, config: &Config) -> Result<Option<i32>> {
    if cx.kind(index) != Kind::Table {
        return Ok(None);
    }
    cx.push_value(index);
    let field = serializer::inspect(cx, cx.top(), config);
    let size = match field? {
        Field::Array { size, .. } => i32::try_from(size).ok(),
        _ => None,
    };
    cx.pop(1);
    Ok(size)
}

/// Writes a value as a tuple: what is no array is wrapped into one.
fn encode_tuple(cx: Context<'_>, index: i32, out: &mut Vec<u8>, config: &Config) -> Result<()> {
    let is_tuple = LuaTuple::get(cx, index).is_some() || array_size(cx, index, config)?.is_some();
    if !is_tuple {
        mp::write_array_len(out, 1);
    }
    serializer::encode(cx, index, out, config)
}

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("iproto_set_builtins", lua_iproto_set_builtins)
        .function("iproto_find_function", lua_iproto_find_function)
}

/// `iproto_find_function(path)`: the global function, and the object of a method.
fn lua_iproto_find_function(cx: Context<'_>) -> Result<usize> {
    let name = cx.check_bytes(1)?;
    let top = cx.top();
    let text = || String::from_utf8_lossy(name).into_owned();
    find_global(cx, name).ok_or_else(|| client_error!(ER_NO_SUCH_PROC, text()))?;
    Ok((cx.top() - top) as usize)
}

/// `iproto_set_builtins(table)`: the globals that came with the program.
fn lua_iproto_set_builtins(cx: Context<'_>) -> Result<usize> {
    cx.check_kind(1, Kind::Table)?;
    let mut names = HashSet::new();
    cx.push_nil();
    while cx.next(1) {
        cx.pop(1);
        names.extend(cx.bytes(-1).map(<[u8]>::to_vec));
    }
    BUILTINS.set(names);
    Ok(0)
}
