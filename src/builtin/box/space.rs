//! Data operations of spaces and indexes, for Lua.
//!
//! Tuples, keys and operations come as Lua values and are encoded once; a result goes back as the
//! kept result tuple (`tuple::set_result`) or, for `select`, as an array of addresses, of which
//! the Lua half makes values before anything else runs.
//!
//! # Yields
//! the changes, when they commit and when triggers do

use std::cell::RefCell;

use super::argument::encode_array;
use super::tuple::set_result;
use crate::base::error::{Error, Result};
use crate::client_error;
use crate::db::{After, Database, SelectOptions};
use crate::fiber;
use crate::lua::{self, Context, Module};
use crate::memtx::IteratorType;
use crate::tuple::{RawTuple, Tuple, arena};

thread_local! {
    /// The tuples of the last `select`, until the next.
    static SELECTED: RefCell<Vec<Tuple>> = const { RefCell::new(Vec::new()) };
}

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("get", lua_get)
        .function("select", lua_select)
        .function("iterate", lua_iterate)
        .function("insert", lua_insert)
        .function("replace", lua_replace)
        .function("update", lua_update)
        .function("upsert", lua_upsert)
        .function("delete", lua_delete)
        .function("count", lua_count)
        .function("check_key", lua_check_key)
        .function("len", lua_len)
        .function("min", lua_min)
        .function("max", lua_max)
        .function("random", lua_random)
        .function("bsize", lua_bsize)
        .function("tuple_position", lua_tuple_position)
        .function("schema_version", lua_schema_version)
}

/// The database, or "Please call box.cfg{} first".
pub(super) fn database() -> Result<&'static Database> {
    Database::find().ok_or_else(|| client_error!(ER_UNCONFIGURED))
}

/// The id at `index`.
pub(super) fn id(cx: Context<'_>, index: i32) -> Result<u32> {
    cx.integer(index)
        .and_then(|id| u32::try_from(id).ok())
        .ok_or_else(|| Error::illegal_params("space and index ids are unsigned integers"))
}

/// Iterator types by number, as in `box.index`.
const ITERATORS: [IteratorType; 9] = [
    IteratorType::Eq,
    IteratorType::Req,
    IteratorType::All,
    IteratorType::Lt,
    IteratorType::Le,
    IteratorType::Ge,
    IteratorType::Gt,
    IteratorType::Np,
    IteratorType::Pp,
];

/// The iterator type at `index`, given as its number.
fn iterator_type(cx: Context<'_>, index: i32) -> Result<IteratorType> {
    let number = cx.opt_integer(index, 0)?;
    usize::try_from(number)
        .ok()
        .and_then(|number| ITERATORS.get(number).copied())
        .ok_or_else(|| Error::illegal_params("Invalid iterator type"))
}

/// `get(space id, index id, key)`
fn lua_get(cx: Context<'_>) -> Result<usize> {
    fiber::check_slice()?;
    let key = encode_array(cx, 3)?;
    set_result(database()?.get(id(cx, 1)?, id(cx, 2)?, &key)?);
    Ok(0)
}

/// `select(space id, index id, iterator, key, offset, limit, after, fetch position)`: the address
/// of an array of tuples, their count, and the position.
fn lua_select(cx: Context<'_>) -> Result<usize> {
    fiber::check_slice()?;
    let key = encode_array(cx, 4)?;
    let number = |index, default| {
        let number = cx.opt_number(index, default)?;
        Ok::<u64, Error>(if number < 0.0 { 0 } else { number as u64 })
    };
    let position = cx.bytes(7);
    let tuple =
        if position.is_none() && !cx.is_null(7) { Some(encode_array(cx, 7)?) } else { None };
    let after = match (position, &tuple) {
        (Some(position), _) => After::Position(position),
        (None, Some(tuple)) => After::Tuple(tuple),
        (None, None) => After::Start,
    };
    let options = SelectOptions {
        iterator: iterator_type(cx, 3)?,
        offset: number(5, 0.0)?,
        limit: number(6, f64::from(u32::MAX))?,
        after,
        fetch_position: cx.boolean(8),
    };
    let selection = database()?.select(id(cx, 1)?, id(cx, 2)?, &key, &options)?;
    let count = selection.tuples.len();
    let old = SELECTED.replace(selection.tuples);
    drop(old);
    // A `Tuple` is one address (`repr(transparent)`).
    let start = SELECTED.with_borrow(|tuples| tuples.as_ptr().cast::<*const RawTuple>());
    cx.push_pointer(start.cast_mut().cast());
    cx.push_integer(count as i64);
    match selection.position {
        Some(position) => cx.push_bytes(position),
        None => cx.push_nil(),
    }
    Ok(3)
}

/// `iterate(space id, index id, iterator, key, after)`: the address of an iterator that the
/// caller must free.
fn lua_iterate(cx: Context<'_>) -> Result<usize> {
    let key = encode_array(cx, 4)?;
    let position = cx.bytes(5);
    let tuple =
        if position.is_none() && !cx.is_null(5) { Some(encode_array(cx, 5)?) } else { None };
    let after = match (position, &tuple) {
        (Some(position), _) => After::Position(position),
        (None, Some(tuple)) => After::Tuple(tuple),
        (None, None) => After::Start,
    };
    let kind = iterator_type(cx, 3)?;
    let iterator = database()?.iterate(
        id(cx, 1)?,
        id(cx, 2)?,
        &key,
        &SelectOptions { iterator: kind, after, ..SelectOptions::default() },
    )?;
    cx.push_pointer(Box::into_raw(Box::new(iterator)).cast());
    Ok(1)
}

/// Before a change that needs about `size` bytes: when memory runs out, tuples that only Lua's
/// garbage still holds are let go. To Lua they are small, so by itself it collects them late.
fn make_room(cx: Context<'_>, size: usize) {
    const ROOM_FOR_INDEXES: usize = 1024 * 1024;
    if !arena::has_room(size + ROOM_FOR_INDEXES) {
        let before = arena::stat();
        lua::collect_garbage_seldom(cx, || {
            before.memtx_used.saturating_sub(arena::stat().memtx_used) > before.quota_size / 8
        });
    }
}

/// `insert(space id, tuple)`
fn lua_insert(cx: Context<'_>) -> Result<usize> {
    fiber::check_slice()?;
    let tuple = encode_array(cx, 2)?;
    make_room(cx, tuple.len());
    set_result(database()?.insert(id(cx, 1)?, &tuple)?);
    Ok(0)
}

/// `replace(space id, tuple)`
fn lua_replace(cx: Context<'_>) -> Result<usize> {
    fiber::check_slice()?;
    let tuple = encode_array(cx, 2)?;
    make_room(cx, tuple.len());
    set_result(database()?.replace(id(cx, 1)?, &tuple)?);
    Ok(0)
}

/// `update(space id, index id, key, operations)`
fn lua_update(cx: Context<'_>) -> Result<usize> {
    fiber::check_slice()?;
    let key = encode_array(cx, 3)?;
    let operations = encode_array(cx, 4)?;
    make_room(cx, operations.len());
    set_result(database()?.update(id(cx, 1)?, id(cx, 2)?, &key, &operations, 1)?);
    Ok(0)
}

/// `upsert(space id, tuple, operations)`
fn lua_upsert(cx: Context<'_>) -> Result<usize> {
    fiber::check_slice()?;
    let tuple = encode_array(cx, 2)?;
    let operations = encode_array(cx, 3)?;
    make_room(cx, tuple.len());
    database()?.upsert(id(cx, 1)?, &tuple, &operations, 1)?;
    Ok(0)
}

/// `delete(space id, index id, key)`
fn lua_delete(cx: Context<'_>) -> Result<usize> {
    fiber::check_slice()?;
    let key = encode_array(cx, 3)?;
    set_result(database()?.delete(id(cx, 1)?, id(cx, 2)?, &key)?);
    Ok(0)
}

/// `count(space id, index id, iterator, key)`
fn lua_count(cx: Context<'_>) -> Result<usize> {
    fiber::check_slice()?;
    let key = encode_array(cx, 4)?;
    let kind = iterator_type(cx, 3)?;
    cx.push_uint64(database()?.count(id(cx, 1)?, id(cx, 2)?, &key, kind)?);
    Ok(1)
}

/// `check_key(space id, index id, key)`
fn lua_check_key(cx: Context<'_>) -> Result<usize> {
    let key = encode_array(cx, 3)?;
    database()?.check_key(id(cx, 1)?, id(cx, 2)?, &key)?;
    Ok(0)
}

/// `len(space id, index id)`
fn lua_len(cx: Context<'_>) -> Result<usize> {
    cx.push_uint64(database()?.len(id(cx, 1)?, id(cx, 2)?)?);
    Ok(1)
}

/// `min(space id, index id, key)`
fn lua_min(cx: Context<'_>) -> Result<usize> {
    let key = encode_array(cx, 3)?;
    set_result(database()?.min(id(cx, 1)?, id(cx, 2)?, &key)?);
    Ok(0)
}

/// `max(space id, index id, key)`
fn lua_max(cx: Context<'_>) -> Result<usize> {
    let key = encode_array(cx, 3)?;
    set_result(database()?.max(id(cx, 1)?, id(cx, 2)?, &key)?);
    Ok(0)
}

/// `random(space id, index id, seed)`
fn lua_random(cx: Context<'_>) -> Result<usize> {
    let seed = cx.check_number(3)? as i64;
    set_result(database()?.random(id(cx, 1)?, id(cx, 2)?, seed.cast_unsigned())?);
    Ok(0)
}

/// `bsize(space id[, index id])`: bytes of the tuples, or of an index.
fn lua_bsize(cx: Context<'_>) -> Result<usize> {
    let space = database()?.schema().find(id(cx, 1)?)?;
    let bytes = if cx.is_null(2) { space.bsize() } else { space.find_index(id(cx, 2)?)?.bsize() };
    cx.push_uint64(bytes as u64);
    Ok(1)
}

/// `tuple_position(space id, index id, tuple)`
fn lua_tuple_position(cx: Context<'_>) -> Result<usize> {
    let tuple = encode_array(cx, 3)?;
    cx.push_bytes(database()?.tuple_position(id(cx, 1)?, id(cx, 2)?, &tuple)?);
    Ok(1)
}

fn lua_schema_version(cx: Context<'_>) -> Result<usize> {
    cx.push_uint64(Database::find().map_or(0, |database| database.schema().version()));
    Ok(1)
}
