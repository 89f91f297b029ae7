//! Native half of `key_def`: key definitions of their own, without an index.
//!
//! # Yields
//! when a `__serialize` function of an argument does

use std::cmp::Ordering;
use std::rc::Rc;

use super::argument::{Buffer, encode_array};
use super::host::push_part;
use super::trigger::push_tuple;
use super::tuple::LuaTuple;
use crate::base::error::{Error, Result};
use crate::lua::{Context, Kind, Module, userdata};
use crate::tuple::format::NullableAction;
use crate::tuple::key_def::{Part, SortOrder};
use crate::tuple::{FieldType, KeyDef, Path, Tuple};
use crate::value::collation;
use crate::value::mp::Reader;

/// What Lua holds of a key definition.
type LuaKeyDef = Rc<KeyDef>;

/// Pushes the table of native functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("set_metatable", lua_key_def_set_metatable)
        .function("new", lua_key_def_new)
        .function("is", lua_key_def_is)
        .function("extract_key", lua_key_def_extract_key)
        .function("validate_key", lua_key_def_validate_key)
        .function("validate_full_key", lua_key_def_validate_full_key)
        .function("validate_tuple", lua_key_def_validate_tuple)
        .function("compare", lua_key_def_compare)
        .function("compare_with_key", lua_key_def_compare_with_key)
        .function("compare_keys", lua_key_def_compare_keys)
        .function("merge", lua_key_def_merge)
        .function("totable", lua_key_def_totable);
    Ok(())
}

fn lua_key_def_set_metatable(cx: Context<'_>) -> Result<usize> {
    cx.set_top(1);
    userdata::set_metatable::<LuaKeyDef>(cx);
    Ok(0)
}

/// The definition at `index`, which the Lua half has checked to be one.
fn definition(cx: Context<'_>, index: i32) -> Result<LuaKeyDef> {
    userdata::get::<LuaKeyDef>(cx, index)
        .cloned()
        .ok_or_else(|| Error::illegal_params("a key definition is expected"))
}

/// `is(value)`: whether it is a key definition.
pub(super) fn lua_key_def_is(cx: Context<'_>) -> Result<usize> {
    cx.push_boolean(userdata::get::<LuaKeyDef>(cx, 1).is_some());
    Ok(1)
}

/// `new(parts)`: an array of tables.
fn lua_key_def_new(cx: Context<'_>) -> Result<usize> {
    let count = i32::try_from(cx.raw_len(1)).unwrap_or(i32::MAX);
    if count == 0 {
        return Err(Error::illegal_params(
            "Key definition can only be constructed by using at least 1 key_part",
        ));
    }
    let mut parts = Vec::new();
    for number in 1..=count {
        cx.raw_get_index(1, number);
        cx.check_kind(-1, Kind::Table)?;
        parts.push(read_part(cx)?);
        cx.pop(1);
    }
    userdata::push::<LuaKeyDef>(cx, Rc::new(KeyDef::new(parts)?));
    Ok(1)
}

/// A text option of the part on top of the stack.
fn text_option(cx: Context<'_>, name: &str) -> Option<String> {
    cx.raw_get_field(-1, name);
    let text = cx.bytes(-1).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    cx.pop(1);
    text
}

fn number_option(cx: Context<'_>, name: &str) -> Option<i64> {
    cx.raw_get_field(-1, name);
    let number = cx.integer(-1);
    cx.pop(1);
    number
}

fn flag_option(cx: Context<'_>, name: &str) -> bool {
    cx.raw_get_field(-1, name);
    let flag = !cx.is_null(-1) && cx.boolean(-1);
    cx.pop(1);
    flag
}

/// The part described by the table on top of the stack.
fn read_part(cx: Context<'_>) -> Result<Part> {
    let field = match (number_option(cx, "fieldno"), number_option(cx, "field")) {
        (Some(_), Some(_)) => {
            return Err(Error::illegal_params("Conflicting options: fieldno and field"));
        }
        (Some(field), None) | (None, Some(field)) => field - 1,
        (None, None) => return Err(Error::illegal_params("fieldno or field must not be nil")),
    };
    let field = u32::try_from(field)
        .map_err(|_| Error::illegal_params("field (number) must be one-based"))?;
    cx.raw_get_field(-1, "type");
    // A number is as good as its text, which is no type either.
    let kind = cx.kind(-1);
    if !matches!(kind, Kind::String | Kind::Number) {
        let message = format!("Wrong field type: expected string, got {}", kind.name());
        return Err(Error::illegal_params(message));
    }
    let name = cx.to_text(-1)?;
    cx.pop(1);
    let kind = FieldType::by_name(&name)
        .ok_or_else(|| Error::illegal_params(format!("Unknown field type: {name}")))?;
    let mut part = Part::new(field, kind);
    if kind.precision().is_some() {
        let message = format!("scale is not specified for type {name}");
        part.scale = number_option(cx, "scale").ok_or_else(|| Error::illegal_params(message))?;
    }
    if flag_option(cx, "is_nullable") {
        part.nullable_action = NullableAction::None;
    }
    part.exclude_null = flag_option(cx, "exclude_null");
    if let Some(id) = read_collation(cx)? {
        part.collation = id;
    }
    if let Some(order) = text_option(cx, "sort_order") {
        part.order = SortOrder::by_name(&order)
            .ok_or_else(|| Error::illegal_params(format!("Unknown sort order: \"{order}\"")))?;
    }
    if let Some(path) = text_option(cx, "path") {
        let path =
            Path::parse(path.as_bytes(), 1).map_err(|_| Error::illegal_params("invalid path"))?;
        if path.is_multikey() {
            return Err(Error::illegal_params("multikey path is unsupported"));
        }
        part.path = (!path.tokens().is_empty()).then_some(path);
    }
    Ok(part)
}

fn read_collation(cx: Context<'_>) -> Result<Option<u32>> {
    let id = number_option(cx, "collation_id");
    let Some(name) = text_option(cx, "collation") else {
        return Ok(id.and_then(|id| u32::try_from(id).ok()));
    };
    if id.is_some() {
        return Err(Error::illegal_params("Conflicting options: collation_id and collation"));
    }
    match collation::definitions().find(|known| known.name == name) {
        Some(known) => Ok(Some(known.id)),
        None => Err(Error::illegal_params(format!("Unknown collation: \"{name}\""))),
    }
}

/// A tuple, or a table as one, that has the parts of the key.
fn tuple_at(cx: Context<'_>, index: i32, definition: &KeyDef) -> Result<Tuple> {
    let tuple = match LuaTuple::get(cx, index) {
        Some(tuple) => Tuple::new_runtime(tuple.data())?,
        None => Tuple::new_runtime(&encode_array(cx, index)?)?,
    };
    definition.validate_tuple(tuple.data())?;
    Ok(tuple)
}

/// A key of some parts: its array, where its parts start and their count.
fn key_at(cx: Context<'_>, index: i32, definition: &KeyDef) -> Result<(Buffer, usize, usize)> {
    let key = encode_array(cx, index)?;
    let mut reader = Reader::new(&key);
    let count = reader.read_array_len().unwrap_or(0) as usize;
    let start = key.len() - reader.rest().len();
    definition.validate_key(&key[start..], count)?;
    Ok((key, start, count))
}

fn push_order(cx: Context<'_>, order: Ordering) -> Result<usize> {
    cx.push_integer(order as i64);
    Ok(1)
}

fn lua_key_def_extract_key(cx: Context<'_>) -> Result<usize> {
    let definition = definition(cx, 1)?;
    let key = definition.extract_key(&*tuple_at(cx, 2, &definition)?);
    let key = Tuple::new_runtime(&key)?;
    drop(definition);
    push_tuple(cx, Some(&key));
    Ok(1)
}

fn lua_key_def_validate_key(cx: Context<'_>) -> Result<usize> {
    key_at(cx, 2, &*definition(cx, 1)?)?;
    Ok(0)
}

fn lua_key_def_validate_full_key(cx: Context<'_>) -> Result<usize> {
    let definition = definition(cx, 1)?;
    let key = encode_array(cx, 2)?;
    let mut reader = Reader::new(&key);
    let count = reader.read_array_len().unwrap_or(0) as usize;
    definition.validate_exact_key(reader.rest(), count, true)?;
    Ok(0)
}

fn lua_key_def_validate_tuple(cx: Context<'_>) -> Result<usize> {
    tuple_at(cx, 2, &*definition(cx, 1)?)?;
    Ok(0)
}

fn lua_key_def_compare(cx: Context<'_>) -> Result<usize> {
    let definition = definition(cx, 1)?;
    let (left, right) = (tuple_at(cx, 2, &definition)?, tuple_at(cx, 3, &definition)?);
    push_order(cx, definition.compare(&left, &right))
}

fn lua_key_def_compare_with_key(cx: Context<'_>) -> Result<usize> {
    let definition = definition(cx, 1)?;
    let tuple = tuple_at(cx, 2, &definition)?;
    let (key, start, count) = key_at(cx, 3, &definition)?;
    push_order(cx, definition.compare_with_key(&tuple, &key[start..], count))
}

fn lua_key_def_compare_keys(cx: Context<'_>) -> Result<usize> {
    let definition = definition(cx, 1)?;
    let (left, left_start, left_count) = key_at(cx, 2, &definition)?;
    let (right, right_start, right_count) = key_at(cx, 3, &definition)?;
    let (left, right) = (&left[left_start..], &right[right_start..]);
    push_order(cx, definition.compare_keys(left, left_count, right, right_count))
}

fn lua_key_def_merge(cx: Context<'_>) -> Result<usize> {
    let merged = definition(cx, 1)?.merge(&*definition(cx, 2)?);
    userdata::push::<LuaKeyDef>(cx, Rc::new(merged));
    Ok(1)
}

/// `totable(definition)`: its parts, as an index shows them.
fn lua_key_def_totable(cx: Context<'_>) -> Result<usize> {
    let definition = definition(cx, 1)?;
    cx.new_table(definition.part_count(), 0);
    for (number, part) in (1..).zip(definition.parts()) {
        push_part(cx, part);
        cx.raw_set_index(-2, number);
    }
    Ok(1)
}
