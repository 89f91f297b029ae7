//! MessagePack to Lua.
//!
//! # Yields
//! never

use mlua::ffi;

use crate::base::error::{Error, Result, Type};
use crate::lua::Context;
use crate::value::msgpack::{Kind, Reader};

use super::{Config, field, hooks};

/// Stack slots that one level takes: a table, a key, a value, a metatable.
const ROOM_PER_LEVEL: i32 = 4;

/// Pushes the one value that `data` starts with; returns its size. Input that was not validated
/// may be malformed: that is an error.
pub fn push(cx: Context<'_>, data: &[u8], config: &Config) -> Result<usize> {
    let mut reader = Reader::new(data);
    push_next(cx, &mut reader, config)?;
    Ok(reader.position())
}

/// Pushes the next value of a reader.
pub fn push_next(cx: Context<'_>, reader: &mut Reader<'_>, config: &Config) -> Result<()> {
    let is_table = matches!(reader.kind(), Some(Kind::Array | Kind::Map));
    if !is_table || !config.decode_save_metatables {
        let decoder = Decoder { cx, config, hints: None };
        return decoder.value(reader);
    }
    // The metatables stand below the value while it grows.
    cx.reserve(ROOM_PER_LEVEL)?;
    hooks::push_array_hint(cx);
    hooks::push_map_hint(cx);
    let map_hint = cx.top();
    let decoder = Decoder { cx, config, hints: Some((map_hint - 1, map_hint)) };
    decoder.value(reader)?;
    cx.replace(map_hint - 1);
    cx.set_top(map_hint - 1);
    Ok(())
}

fn truncated() -> Error {
    Error::new(Type::Client, "invalid MsgPack")
}

#[derive(Clone, Copy)]
struct Decoder<'a, 'b> {
    cx: Context<'a>,
    config: &'b Config,
    /// Stack indexes of the metatables of arrays and maps.
    hints: Option<(i32, i32)>,
}

impl Decoder<'_, '_> {
    fn value(self, reader: &mut Reader<'_>) -> Result<()> {
        let cx = self.cx;
        match reader.kind().ok_or_else(truncated)? {
            Kind::Uint => cx.push_uint64(reader.read_uint().ok_or_else(truncated)?),
            Kind::Int => cx.push_int64(reader.read_int().ok_or_else(truncated)?),
            Kind::Str => cx.push_bytes(reader.read_str().ok_or_else(truncated)?),
            Kind::Array => {
                let size = reader.read_array_len().ok_or_else(truncated)?;
                self.array(reader, size)?;
            }
            Kind::Map => {
                let size = reader.read_map_len().ok_or_else(truncated)?;
                self.map(reader, size)?;
            }
            Kind::Bool => cx.push_boolean(reader.read_bool().ok_or_else(truncated)?),
            Kind::Nil => {
                reader.read_nil().ok_or_else(truncated)?;
                cx.push_null();
            }
            Kind::Float => {
                self.double(f64::from(reader.read_f32().ok_or_else(truncated)?))?;
            }
            Kind::Double => self.double(reader.read_f64().ok_or_else(truncated)?)?,
            Kind::Bin => hooks::push_binary(cx, reader.read_bin().ok_or_else(truncated)?)?,
            Kind::Ext => {
                let (ext_type, payload) = reader.read_ext().ok_or_else(truncated)?;
                match hooks::extension(ext_type) {
                    Some(push) => push(cx, payload)?,
                    None => {
                        let message = format!("Unsupported MsgPack extension type: {ext_type}");
                        return Err(field::failure(message));
                    }
                }
            }
        }
        Ok(())
    }

    fn double(self, value: f64) -> Result<()> {
        if !value.is_finite() && !self.config.decode_invalid_numbers {
            return Err(field::failure("number must not be NaN or Inf"));
        }
        self.cx.push_number(value);
        Ok(())
    }

    fn array(self, reader: &mut Reader<'_>, size: u32) -> Result<()> {
        let cx = self.cx;
        cx.reserve(ROOM_PER_LEVEL)?;
        // Each item takes a byte at least, so a header cannot ask for more memory than it brings.
        let room = (size as usize).min(reader.rest().len());
        cx.new_table(room, 0);
        for number in 1..=size {
            self.value(reader)?;
            let number = i32::try_from(number).map_err(|_| field::failure("table overflow"))?;
            // SAFETY: the table is below the item, and the context's thread runs this call.
            unsafe { ffi::lua_rawseti_(cx.state(), -2, number) };
        }
        if let Some((hint, _)) = self.hints {
            cx.push_value(hint);
            cx.set_metatable(-2);
        }
        Ok(())
    }

    fn map(self, reader: &mut Reader<'_>, size: u32) -> Result<()> {
        let cx = self.cx;
        cx.reserve(ROOM_PER_LEVEL)?;
        let room = (size as usize).min(reader.rest().len());
        cx.new_table(0, room);
        for _ in 0..size {
            let may_be_nan = matches!(reader.kind(), Some(Kind::Float | Kind::Double));
            self.value(reader)?;
            // Lua has no NaN keys, which would raise an error here.
            if may_be_nan && cx.number(-1).is_some_and(f64::is_nan) {
                return Err(field::failure("table index is NaN"));
            }
            self.value(reader)?;
            cx.raw_set(-3);
        }
        if let Some((_, hint)) = self.hints {
            cx.push_value(hint);
            cx.set_metatable(-2);
        }
        Ok(())
    }
}
