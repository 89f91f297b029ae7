//! Native half of `box.schema`: ids for new objects, sequences, truncation, descriptions of
//! sequences and functions.
//!
//! Definitions are rows of system spaces, which the Lua half writes by the ordinary operations;
//! here is what rows do not do.
//!
//! # Yields
//! what commits: `sequence_next`, `sequence_set`, `sequence_reset`, `truncate`

use super::host::{set_flag, set_number, set_text};
use super::iproto::is_builtin;
use super::space::{database, id};
use super::trigger::push_tuple;
use crate::base::error::{Error, Result, Type};
use crate::base::version;
use crate::builtin::digest::fill_random;
use crate::client_error;
use crate::db::access;
use crate::db::authentication::{Kept, Method, SALT_SIZE};
use crate::db::{FunctionDefinition, SequenceDefinition, privilege, security, system_space};
use crate::lua::{Context, Module};
use crate::tuple::Tuple;
use crate::value::mp;

/// The highest function id.
const FUNCTION_ID_MAX: u32 = 32000;

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("generate_space_id", lua_generate_space_id)
        .function("generate_func_id", lua_generate_func_id)
        .function("sequence_next", lua_sequence_next)
        .function("sequence_current", lua_sequence_current)
        .function("sequence_set", lua_sequence_set)
        .function("sequence_reset", lua_sequence_reset)
        .function("truncate", lua_truncate)
        .function("run_triggers", lua_run_triggers)
        .function("space_tuple", lua_space_tuple)
        .function("prepare_auth", lua_prepare_auth)
        .function("check_password", lua_check_password)
        .function("is_password", lua_is_password)
        .function("func_access", lua_func_access)
        .function("func_body", lua_func_body)
        .function("schema_version_latest", lua_schema_version_latest)
}

/// The id after the greatest one in the range, or the least free one when that is taken.
fn free_id(taken: &[u32], first: u32, end: u32) -> Option<u32> {
    let in_range = || taken.iter().copied().filter(|id| (first..end).contains(id));
    let next = in_range().max().map_or(first, |last| last + 1);
    if next < end { Some(next) } else { (first..end).find(|id| !in_range().any(|it| it == *id)) }
}

/// `generate_space_id(is temporary)`
fn lua_generate_space_id(cx: Context<'_>) -> Result<usize> {
    let taken: Vec<u32> = database()?.schema().spaces().iter().map(|space| space.id()).collect();
    let (first, end) = if cx.boolean(1) {
        (system_space::TEMPORARY_ID_MIN, i32::MAX as u32)
    } else {
        (system_space::SYSTEM_ID_MAX + 1, system_space::TEMPORARY_ID_MIN)
    };
    let id = free_id(&taken, first, end).expect("memory ends before space ids do");
    cx.push_integer(i64::from(id));
    Ok(1)
}

/// `generate_func_id()`: nil when there are too many functions.
fn lua_generate_func_id(cx: Context<'_>) -> Result<usize> {
    let database = database()?;
    // Whoever asks for an id must be able to see which are taken.
    let space = database.schema().find(system_space::FUNC)?;
    access::check_space(database, &space, privilege::READ)?;
    let taken: Vec<u32> = database.functions().all().iter().map(|it| it.id).collect();
    match free_id(&taken, 1, FUNCTION_ID_MAX + 1) {
        Some(id) => cx.push_integer(i64::from(id)),
        None => cx.push_nil(),
    }
    Ok(1)
}

fn lua_sequence_next(cx: Context<'_>) -> Result<usize> {
    cx.push_int64(database()?.sequence_next(id(cx, 1)?)?);
    Ok(1)
}

fn lua_sequence_current(cx: Context<'_>) -> Result<usize> {
    cx.push_int64_cdata(database()?.sequence_current(id(cx, 1)?)?);
    Ok(1)
}

fn lua_sequence_set(cx: Context<'_>) -> Result<usize> {
    let expected = || Error::new(Type::Luajit, "expected int64_t as 2 argument");
    let value = cx.integer(2).ok_or_else(expected)?;
    database()?.sequence_set(id(cx, 1)?, value)?;
    Ok(0)
}

fn lua_sequence_reset(cx: Context<'_>) -> Result<usize> {
    database()?.sequence_reset(id(cx, 1)?)?;
    Ok(0)
}

/// `truncate(space id)`: whoever may write to the space may empty it, which is a row of
/// `_truncate`.
fn lua_truncate(cx: Context<'_>) -> Result<usize> {
    let database = database()?;
    let space = database.schema().find(id(cx, 1)?)?;
    access::check_space(database, &space, privilege::WRITE)?;
    let mut row = Vec::new();
    mp::write_array_len(&mut row, 2);
    mp::write_uint(&mut row, u64::from(space.id()));
    mp::write_uint(&mut row, 1);
    let mut operations = Vec::new();
    mp::write_array_len(&mut operations, 1);
    mp::write_array_len(&mut operations, 3);
    mp::write_str(&mut operations, b"+");
    mp::write_uint(&mut operations, 1);
    mp::write_uint(&mut operations, 1);
    access::as_admin(|| database.upsert(system_space::TRUNCATE, &row, &operations, 0))?;
    Ok(0)
}

/// `run_triggers(space id, whether)`
fn lua_run_triggers(cx: Context<'_>) -> Result<usize> {
    let space = database()?.schema().find(id(cx, 1)?)?;
    space.triggers().set_running(cx.boolean(2));
    Ok(0)
}

/// `space_tuple(space id, array)`: the tuple, checked by the space's format.
fn lua_space_tuple(cx: Context<'_>) -> Result<usize> {
    let space = database()?.schema().find(id(cx, 1)?)?;
    let data = super::argument::encode_array(cx, 2)?;
    let tuple = Tuple::new(space.format(), &data)?;
    drop(data);
    push_tuple(cx, Some(&tuple));
    Ok(1)
}

/// `prepare_auth(method, password)`: what `_user` keeps of a password, a text or a list of them.
fn lua_prepare_auth(cx: Context<'_>) -> Result<usize> {
    let method = Method::by_name(cx.check_bytes(1)?)?;
    let mut salt = [0; SALT_SIZE];
    fill_random(&mut salt)?;
    let texts = Kept::new(method, cx.check_bytes(2)?, salt).texts();
    if let [text] = &texts[..] {
        cx.push_bytes(text);
        return Ok(1);
    }
    cx.new_table(texts.len(), 0);
    for (number, text) in (1..).zip(&texts) {
        cx.push_bytes(text);
        cx.raw_set_index(-2, number);
    }
    Ok(1)
}

/// `check_password(password)`: an error when it is too weak.
fn lua_check_password(cx: Context<'_>) -> Result<usize> {
    security::check_password(cx.check_bytes(1)?)?;
    Ok(0)
}

/// `is_password(auth, password)`: whether this is the password that the MessagePack of an `auth`
/// field was made of.
fn lua_is_password(cx: Context<'_>) -> Result<usize> {
    let (auth, password) = (cx.check_bytes(1)?, cx.check_bytes(2)?);
    let kept = Kept::read(auth).ok().flatten();
    cx.push_boolean(kept.is_some_and(|kept| kept.is_password(password)));
    Ok(1)
}

/// `func_access(name)`: the id, the body, whether it is sandboxed, and the owner of a function
/// that runs with its owner's access. An error when the user may not execute it.
fn lua_func_access(cx: Context<'_>) -> Result<usize> {
    let database = database()?;
    let name = cx.check_text(1)?;
    let function = database.functions().get_by_name(name);
    let function = function.ok_or_else(|| client_error!(ER_NO_SUCH_FUNCTION, name))?;
    access::check_function(database, &function, || is_builtin(function.name.as_bytes()))?;
    if function.language != "LUA" {
        return Err(client_error!(ER_UNSUPPORTED, "Lycosa", "functions in C modules"));
    }
    cx.push_integer(i64::from(function.id));
    cx.push_bytes(&function.body);
    cx.push_boolean(function.is_sandboxed);
    match function.is_setuid {
        true => cx.push_integer(i64::from(function.owner)),
        false => cx.push_nil(),
    }
    Ok(4)
}

/// `func_body(id)`: the name, the body, and whether it is sandboxed.
fn lua_func_body(cx: Context<'_>) -> Result<usize> {
    let function = database()?.functions().find(id(cx, 1)?)?;
    cx.push_bytes(&function.name);
    cx.push_bytes(&function.body);
    cx.push_boolean(function.is_sandboxed);
    Ok(3)
}

/// `schema_version_latest()`: the array of the three numbers of this server's system spaces.
fn lua_schema_version_latest(cx: Context<'_>) -> Result<usize> {
    cx.new_table(3, 0);
    for (number, part) in (1..).zip(version::SCHEMA) {
        cx.push_integer(i64::from(part));
        cx.raw_set_index(-2, number);
    }
    Ok(1)
}

fn set_int64(cx: Context<'_>, name: &str, value: i64) {
    cx.push_int64(value);
    cx.raw_set_field(-2, name);
}

/// Pushes a table that says what the sequence is.
pub(super) fn push_sequence(cx: Context<'_>, sequence: &SequenceDefinition) {
    cx.new_table(0, 9);
    set_number(cx, "id", sequence.id);
    set_number(cx, "uid", sequence.owner);
    set_text(cx, "name", &sequence.name);
    set_int64(cx, "step", sequence.step);
    set_int64(cx, "min", sequence.min);
    set_int64(cx, "max", sequence.max);
    set_int64(cx, "start", sequence.start);
    set_int64(cx, "cache", sequence.cache);
    set_flag(cx, "cycle", sequence.cycle);
}

/// Pushes a table that says what the function is.
pub(super) fn push_function(cx: Context<'_>, function: &FunctionDefinition) {
    cx.new_table(0, 12);
    set_number(cx, "id", function.id);
    set_text(cx, "name", &function.name);
    set_flag(cx, "setuid", function.is_setuid);
    set_text(cx, "language", &function.language);
    set_text(cx, "returns", &function.returns);
    set_text(cx, "aggregate", &function.aggregate);
    set_flag(cx, "is_deterministic", function.is_deterministic);
    set_flag(cx, "is_multikey", function.is_multikey);
    set_flag(cx, "takes_raw_args", function.takes_raw_args);
    if !function.body.is_empty() {
        set_text(cx, "body", &function.body);
        set_flag(cx, "is_sandboxed", function.is_sandboxed);
    }
    if !function.comment.is_empty() {
        set_text(cx, "comment", &function.comment);
    }
    cx.new_table(0, 2);
    set_flag(cx, "lua", function.exports_lua);
    set_flag(cx, "sql", function.exports_sql);
    cx.raw_set_field(-2, "exports");
}

#[cfg(test)]
mod tests {
    use super::free_id;

    #[test]
    fn new_id_follows_the_greatest_and_fills_holes_at_the_end() {
        assert_eq!(free_id(&[], 512, 520), Some(512));
        assert_eq!(free_id(&[280, 512, 515], 512, 520), Some(516));
        assert_eq!(free_id(&[512, 514, 519], 512, 520), Some(513));
        assert_eq!(free_id(&[5, 6], 5, 7), None);
    }
}
