//! What one Lua value is to a serializer.
//!
//! # Yields
//! when a `__serialize` function does

use crate::base::error::{Error, Result, Type};
use crate::lua::{Cdata, Context, Kind};

use super::Config;
use super::hooks;

/// LuaJIT's fixed numbers of the C types that are plain values (`CTID_*`).
mod ids {
    pub const BOOL: u16 = 3;
    pub const CCHAR: u16 = 4;
    pub const INT8: u16 = 5;
    pub const UINT8: u16 = 6;
    pub const INT16: u16 = 7;
    pub const UINT16: u16 = 8;
    pub const INT32: u16 = 9;
    pub const UINT32: u16 = 10;
    pub const INT64: u16 = 11;
    pub const UINT64: u16 = 12;
    pub const FLOAT: u16 = 15;
    pub const DOUBLE: u16 = 16;
    pub const P_VOID: u16 = 19;
    pub const P_CVOID: u16 = 20;
    /// The last type that LuaJIT declares itself.
    pub const LAST_BUILTIN: u16 = 24;
}

/// A classified value. Strings are of the value on the stack, which must stay there.
#[derive(Clone, Copy)]
pub enum Field<'a> {
    /// nil, or a null pointer.
    Nil,
    /// A boolean.
    Boolean(bool),
    /// A whole number from 0 on.
    Unsigned(u64),
    /// A negative whole number.
    Integer(i64),
    /// A C `float`.
    Float(f32),
    /// Any other number.
    Double(f64),
    /// A string.
    String(&'a [u8]),
    /// A table, as an array.
    Array {
        /// How many items.
        size: u32,
        /// Shown on one line by YAML.
        is_compact: bool,
    },
    /// A table, as a map.
    Map {
        /// How many pairs.
        size: u32,
        /// Shown on one line by YAML.
        is_compact: bool,
    },
    /// A cdata whose type has a codec.
    Cdata(Cdata<'a>),
    /// An error object.
    Error,
}

/// An error of a serializer: a plain message.
pub fn failure(message: impl Into<String>) -> Error {
    Error::new(Type::Luajit, message.into())
}

/// The error of nesting beyond `encode_max_depth`.
pub fn too_deep(level: u32) -> Error {
    failure(format!("Too high nest level - {}", level + 1))
}

/// Classifies a number that Lua holds as a double.
pub(super) fn number_field(value: f64, config: &Config) -> Result<Field<'static>> {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    const TWO_64: f64 = 18_446_744_073_709_551_616.0;
    if value.is_finite() && value.fract() != 0.0 {
        Ok(Field::Double(value))
    } else if (0.0..TWO_64).contains(&value) {
        Ok(Field::Unsigned(value as u64))
    } else if (-TWO_63..0.0).contains(&value) {
        Ok(Field::Integer(value as i64))
    } else {
        check_finite(value, config, Field::Double(value))
    }
}

fn check_finite<'a>(value: f64, config: &Config, field: Field<'a>) -> Result<Field<'a>> {
    if value.is_finite() || config.encode_invalid_numbers {
        Ok(field)
    } else if config.encode_invalid_as_nil {
        Ok(Field::Nil)
    } else {
        Err(failure("number must not be NaN or Inf"))
    }
}

fn integer_field(value: i64) -> Field<'static> {
    match u64::try_from(value) {
        Ok(value) => Field::Unsigned(value),
        Err(_) => Field::Integer(value),
    }
}

/// Classifies a cdata of LuaJIT's own types; `None`: it is another type.
pub(super) fn plain_cdata_field(
    cdata: Cdata<'_>,
    config: &Config,
) -> Result<Option<Field<'static>>> {
    // SAFETY: each arm reads what its type holds.
    let field = unsafe {
        match cdata.type_id() {
            ids::BOOL => Field::Boolean(cdata.read::<u8>() != 0),
            ids::CCHAR | ids::INT8 => integer_field(i64::from(cdata.read::<i8>())),
            ids::UINT8 => Field::Unsigned(u64::from(cdata.read::<u8>())),
            ids::INT16 => integer_field(i64::from(cdata.read::<i16>())),
            ids::UINT16 => Field::Unsigned(u64::from(cdata.read::<u16>())),
            ids::INT32 => integer_field(i64::from(cdata.read::<i32>())),
            ids::UINT32 => Field::Unsigned(u64::from(cdata.read::<u32>())),
            ids::INT64 => integer_field(cdata.read::<i64>()),
            ids::UINT64 => Field::Unsigned(cdata.read::<u64>()),
            ids::FLOAT => {
                let value = cdata.read::<f32>();
                check_finite(f64::from(value), config, Field::Float(value))?
            }
            ids::DOUBLE => {
                let value = cdata.read::<f64>();
                check_finite(value, config, Field::Double(value))?
            }
            ids::P_VOID | ids::P_CVOID if cdata.read::<*const ()>().is_null() => Field::Nil,
            _ => return Ok(None),
        }
    };
    Ok(Some(field))
}

/// How often a value may be replaced by what its `__serialize` returns. Tarantool goes on until its
/// stack ends.
const REPLACEMENT_COUNT_MAX: u32 = 100;

/// Classifies the value at `index`, a slot of the caller's: a value with a `__serialize` function
/// is replaced there by what that returns.
pub fn inspect<'a>(cx: Context<'a>, index: i32, config: &Config) -> Result<Field<'a>> {
    inspect_again(cx, index, config, 0)
}

/// Classifies a value that has come in place of another so many times.
fn inspect_again<'a>(
    cx: Context<'a>,
    index: i32,
    config: &Config,
    times: u32,
) -> Result<Field<'a>> {
    if times > REPLACEMENT_COUNT_MAX {
        return Err(failure("__serialize returns values with __serialize without end"));
    }
    let index = cx.absolute(index);
    cx.reserve(8)?;
    match cx.kind(index) {
        Kind::Nil | Kind::None => Ok(Field::Nil),
        Kind::Boolean => Ok(Field::Boolean(cx.boolean(index))),
        Kind::Number => number_field(cx.number(index).unwrap_or_default(), config),
        Kind::String => Ok(Field::String(cx.bytes(index).unwrap_or_default())),
        Kind::Table => inspect_table(cx, index, config, times),
        Kind::Cdata => {
            let cdata = cx.cdata(index).expect("the kind was checked");
            if let Some(field) = plain_cdata_field(cdata, config)? {
                Ok(field)
            } else if hooks::codec(cdata.type_id()).is_some_and(|codec| codec.text.is_some()) {
                Ok(Field::Cdata(cdata))
            } else {
                inspect_object(cx, index, config, times)
            }
        }
        Kind::LightUserdata | Kind::Userdata if cx.userdata(index).is_null() => Ok(Field::Nil),
        _ => inspect_object(cx, index, config, times),
    }
}

/// A value without a form of its own: asks its `__serialize`, then `tostring`.
pub(super) fn inspect_object<'a>(
    cx: Context<'a>,
    index: i32,
    config: &Config,
    times: u32,
) -> Result<Field<'a>> {
    if cx.error(index).is_some() {
        return Ok(Field::Error);
    }
    if config.encode_load_metatables && has_methods(cx, index) {
        // Cdata are asked by indexing, userdata through their metatable.
        let is_userdata = cx.kind(index) == Kind::Userdata;
        if !is_userdata {
            hooks::push_serialize_method(cx, index)?;
        } else if !cx.meta_field(index, "__serialize") {
            cx.push_nil();
        }
        match cx.kind(-1) {
            Kind::Nil => cx.pop(1),
            Kind::Function => {
                cx.push_value(index);
                cx.call(1, 1)?;
                cx.replace(index);
                return inspect_again(cx, index, config, times + 1);
            }
            _ => return Err(failure("invalid __serialize value")),
        }
    }
    if config.encode_use_tostring {
        let text = cx.to_text(index)?;
        cx.push_bytes(text);
        cx.replace(index);
        return inspect_again(cx, index, config, times + 1);
    }
    if config.encode_invalid_as_nil {
        return Ok(Field::Nil);
    }
    Err(failure(format!("unsupported Lua type '{}'", cx.kind(index).name())))
}

fn has_methods(cx: Context<'_>, index: i32) -> bool {
    match cx.kind(index) {
        Kind::Cdata => cx.cdata(index).is_some_and(|cdata| cdata.type_id() > ids::LAST_BUILTIN),
        Kind::Userdata => true,
        _ => false,
    }
}

/// What a table's metatable says about its form.
pub(super) enum Hint {
    /// Nothing.
    None,
    /// It is an array; the flag is for one line in YAML.
    Array(bool),
    /// It is a map; the flag is for one line in YAML.
    Map(bool),
    /// The value was replaced by the result of its `__serialize` function.
    Replaced,
}

/// Reads `__serialize` of the table at `index`, which has a metatable.
pub(super) fn table_hint(cx: Context<'_>, index: i32) -> Result<Hint> {
    if !cx.meta_field(index, "__serialize") {
        return Ok(Hint::None);
    }
    if cx.kind(-1) == Kind::Function {
        cx.push_value(index);
        cx.call(1, 1)?;
        cx.replace(index);
        return Ok(Hint::Replaced);
    }
    let hint = match cx.bytes(-1) {
        Some(b"seq") => Hint::Array(true),
        Some(b"array" | b"sequence") => Hint::Array(false),
        Some(b"map") => Hint::Map(true),
        Some(b"mapping") => Hint::Map(false),
        _ => return Err(failure("invalid __serialize value")),
    };
    cx.pop(1);
    Ok(hint)
}

fn inspect_table<'a>(
    cx: Context<'a>,
    index: i32,
    config: &Config,
    times: u32,
) -> Result<Field<'a>> {
    if config.encode_load_metatables {
        match table_hint(cx, index)? {
            Hint::None => {}
            Hint::Array(is_compact) => {
                return Ok(Field::Array { size: largest_index(cx, index), is_compact });
            }
            Hint::Map(is_compact) => {
                return Ok(Field::Map { size: count_pairs(cx, index), is_compact });
            }
            Hint::Replaced => return inspect_again(cx, index, config, times + 1),
        }
    }
    let (size, is_array) = table_form(cx, index, config)?;
    if is_array {
        Ok(Field::Array { size, is_compact: false })
    } else {
        Ok(Field::Map { size, is_compact: false })
    }
}

/// Whether a table is an array, and how many items or pairs it has.
pub(super) fn table_form(cx: Context<'_>, index: i32, config: &Config) -> Result<(u32, bool)> {
    let mut count = 0_u32;
    let mut largest = 0_u32;
    let mut is_array = true;
    cx.push_nil();
    while cx.next(index) {
        count += 1;
        cx.pop(1);
        if is_array {
            match cx.number(-1) {
                Some(key) if key >= 1.0 && key.fract() == 0.0 && key <= f64::from(u32::MAX) => {
                    largest = largest.max(key as u32);
                }
                _ => is_array = false,
            }
        }
    }
    if !is_array {
        return Ok((count, false));
    }
    if config.is_too_sparse(largest, count) {
        if !config.encode_sparse_convert {
            return Err(failure("excessively sparse array"));
        }
        return Ok((count, false));
    }
    Ok((largest, true))
}

pub(super) fn largest_index(cx: Context<'_>, index: i32) -> u32 {
    let mut largest = 0_u32;
    cx.push_nil();
    while cx.next(index) {
        cx.pop(1);
        if let Some(key) = cx.number(-1)
            && key >= 1.0
            && key.fract() == 0.0
            && key <= f64::from(u32::MAX)
        {
            largest = largest.max(key as u32);
        }
    }
    largest
}

pub(super) fn count_pairs(cx: Context<'_>, index: i32) -> u32 {
    let mut count = 0;
    cx.push_nil();
    while cx.next(index) {
        cx.pop(1);
        count += 1;
    }
    count
}
