//! Lua to MessagePack.
//!
//! This runs for each tuple that Lua writes, so it walks tables with the raw Lua API and once: an
//! array is written under the length that `#` gives while its keys come as 1, 2, 3 …; a table
//! whose first key is no index is written as a map under a header that is patched at the end.
//! Whatever else a table turns out to be, the output is cut back and the slow rules decide.
//!
//! # Yields
//! when a `__serialize` function does

use mlua::ffi;

use crate::base::error::Result;
use crate::lua::{Context, Kind};
use crate::value::msgpack as mp;

use super::field::{self, Field, Hint};
use super::{Config, hooks};

/// Appends the value at `index` as MessagePack. The stack stays as it was.
pub fn encode(cx: Context<'_>, index: i32, out: &mut Vec<u8>, config: &Config) -> Result<()> {
    let index = cx.absolute(index);
    let encoder = Encoder { cx, config };
    match cx.kind(index) {
        // These may be replaced in their slot, which is then one of ours.
        Kind::Table | Kind::Cdata | Kind::Userdata => {
            cx.reserve(2)?;
            cx.push_value(index);
            let slot = cx.top();
            let result = encoder.value(slot, 0, out);
            cx.set_top(slot - 1);
            result
        }
        _ => encoder.value(index, 0, out),
    }
}

#[derive(Clone, Copy)]
struct Encoder<'a, 'b> {
    cx: Context<'a>,
    config: &'b Config,
}

/// Calls the Lua API on the encoder's thread.
macro_rules! api {
    ($call:expr) => {{
        // SAFETY: the context's thread runs this call; `table` reserved the stack.
        unsafe { $call }
    }};
}

impl Encoder<'_, '_> {
    /// Appends the value at an absolute index.
    fn value(self, index: i32, level: u32, out: &mut Vec<u8>) -> Result<()> {
        let state = self.cx.state();
        match api!(ffi::lua_type(state, index)) {
            ffi::LUA_TNIL => mp::write_nil(out),
            ffi::LUA_TBOOLEAN => mp::write_bool(out, self.cx.boolean(index)),
            ffi::LUA_TNUMBER => return self.number(api!(ffi::lua_tonumber(state, index)), out),
            ffi::LUA_TSTRING => {
                let mut size = 0;
                let start = api!(ffi::lua_tolstring(state, index, &raw mut size));
                // SAFETY: the string is on the stack.
                let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), size) };
                mp::write_str(out, bytes);
            }
            ffi::LUA_TTABLE => return self.table(index, level, out),
            ffi::LUA_TCDATA => return self.cdata(index, level, out),
            _ => return self.other(index, level, out),
        }
        Ok(())
    }

    fn number(self, value: f64, out: &mut Vec<u8>) -> Result<()> {
        let small = value as i64;
        // The common case without a classification: a whole number of at most 53 bits.
        if small as f64 == value && small.unsigned_abs() < 1 << 53 {
            mp::write_int(out, small);
            return Ok(());
        }
        field::number_field(value, self.config).map(|field| write_plain(field, out))
    }

    fn cdata(self, index: i32, level: u32, out: &mut Vec<u8>) -> Result<()> {
        let cdata = self.cx.cdata(index).expect("the kind was checked");
        if let Some(field) = field::plain_cdata_field(cdata, self.config)? {
            write_plain(field, out);
            return Ok(());
        }
        match hooks::codec(cdata.type_id()) {
            Some(codec) => (codec.encode)(self.cx, index, cdata, out, self.config),
            None => self.other(index, level, out),
        }
    }

    /// A value without a form of its own.
    fn other(self, index: i32, level: u32, out: &mut Vec<u8>) -> Result<()> {
        self.cx.reserve(8)?;
        if self.cx.kind(index) == Kind::LightUserdata && self.cx.userdata(index).is_null() {
            mp::write_nil(out);
            return Ok(());
        }
        if let Some(error) = self.cx.error(index) {
            match hooks::error_encoder().filter(|_| self.config.encode_error_as_ext) {
                Some(encode) => encode(&error, out),
                None => mp::write_str(out, error.message().as_bytes()),
            }
            return Ok(());
        }
        match field::inspect_object(self.cx, index, self.config, 0)? {
            Field::Nil => mp::write_nil(out),
            // Its replacement stands in the slot now.
            _ => return self.value(index, level, out),
        }
        Ok(())
    }

    fn table(self, index: i32, level: u32, out: &mut Vec<u8>) -> Result<()> {
        let (cx, state) = (self.cx, self.cx.state());
        cx.reserve(10)?;
        if self.config.encode_load_metatables && api!(ffi::lua_getmetatable(state, index)) != 0 {
            cx.pop(1);
            match field::table_hint(cx, index)? {
                Hint::None => {}
                Hint::Array(_) => {
                    return self.array(index, field::largest_index(cx, index), level, out);
                }
                Hint::Map(_) => return self.map(index, level, out),
                Hint::Replaced => {
                    // That may be replaced in turn; the last replacement stands in the slot then.
                    field::inspect(cx, index, self.config)?;
                    return self.value(index, level, out);
                }
            }
        }
        if level >= self.config.encode_max_depth {
            return self.too_deep(level, out);
        }
        // The pair that `lua_next` pushes stands at these places throughout.
        let key = cx.top() + 1;
        let value = key + 1;
        api!(ffi::lua_pushnil(state));
        if api!(ffi::lua_next(state, index)) == 0 {
            mp::write_array_len(out, 0);
            return Ok(());
        }
        if api!(ffi::lua_type(state, key)) != ffi::LUA_TNUMBER {
            return self.pairs(index, key, level, out);
        }
        let mark = out.len();
        let size = api!(ffi::lua_objlen(state, index));
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        mp::write_array_len(out, size);
        let mut count = 0_u32;
        loop {
            // The first key is a number, and later keys are compared as numbers only if they are.
            let is_next = api!(ffi::lua_tonumber(state, key)) == f64::from(count + 1)
                && (count == 0 || api!(ffi::lua_type(state, key)) == ffi::LUA_TNUMBER);
            if !is_next {
                cx.set_top(key - 1);
                break;
            }
            count += 1;
            self.value(value, level + 1, out)?;
            api!(ffi::lua_settop(state, key));
            if api!(ffi::lua_next(state, index)) == 0 {
                if count == size {
                    return Ok(());
                }
                break;
            }
        }
        out.truncate(mark);
        self.unusual_table(index, level, out)
    }

    /// A table that is neither a sequence nor has a first key that is no index.
    fn unusual_table(self, index: i32, level: u32, out: &mut Vec<u8>) -> Result<()> {
        match field::table_form(self.cx, index, self.config)? {
            (size, true) => self.array(index, size, level, out),
            (_, false) => self.map(index, level, out),
        }
    }

    fn array(self, index: i32, size: u32, level: u32, out: &mut Vec<u8>) -> Result<()> {
        if level >= self.config.encode_max_depth {
            return self.too_deep(level, out);
        }
        mp::write_array_len(out, size);
        for number in 1..=size {
            let number = i32::try_from(number).map_err(|_| field::failure("table overflow"))?;
            self.cx.raw_get_index(index, number);
            let top = self.cx.top();
            self.value(top, level + 1, out)?;
            self.cx.set_top(top - 1);
        }
        Ok(())
    }

    fn map(self, index: i32, level: u32, out: &mut Vec<u8>) -> Result<()> {
        let (cx, state) = (self.cx, self.cx.state());
        if level >= self.config.encode_max_depth {
            return self.too_deep(level, out);
        }
        let key = cx.top() + 1;
        api!(ffi::lua_pushnil(state));
        if api!(ffi::lua_next(state, index)) == 0 {
            mp::write_map_len(out, 0);
            return Ok(());
        }
        self.pairs(index, key, level, out)
    }

    /// A map whose first pair was pushed at `key`.
    fn pairs(self, index: i32, key: i32, level: u32, out: &mut Vec<u8>) -> Result<()> {
        let (cx, state) = (self.cx, self.cx.state());
        let mark = out.len();
        mp::write_map_len(out, 0);
        let mut count = 0_u32;
        loop {
            count += 1;
            match api!(ffi::lua_type(state, key)) {
                ffi::LUA_TSTRING | ffi::LUA_TNUMBER | ffi::LUA_TBOOLEAN => {
                    self.value(key, level + 1, out)?;
                }
                // Only a copy may be replaced: `lua_next` needs the key itself.
                _ => {
                    cx.push_value(key);
                    self.value(key + 2, level + 1, out)?;
                    cx.set_top(key + 1);
                }
            }
            self.value(key + 1, level + 1, out)?;
            api!(ffi::lua_settop(state, key));
            if api!(ffi::lua_next(state, index)) == 0 {
                break;
            }
        }
        patch_map_len(out, mark, count);
        Ok(())
    }

    fn too_deep(self, level: u32, out: &mut Vec<u8>) -> Result<()> {
        if !self.config.encode_deep_as_nil {
            return Err(field::too_deep(level));
        }
        mp::write_nil(out);
        Ok(())
    }
}

/// Replaces the one-byte header of an empty map at `mark` by that of a map of `count` pairs.
fn patch_map_len(out: &mut Vec<u8>, mark: usize, count: u32) {
    if count < 16 {
        out[mark] = 0x80 | count as u8;
        return;
    }
    let mut header = Vec::with_capacity(5);
    mp::write_map_len(&mut header, count);
    out.splice(mark..=mark, header);
}

/// Appends a scalar.
fn write_plain(field: Field<'_>, out: &mut Vec<u8>) {
    match field {
        Field::Boolean(value) => mp::write_bool(out, value),
        Field::Unsigned(value) => mp::write_uint(out, value),
        Field::Integer(value) => mp::write_int(out, value),
        Field::Float(value) => mp::write_f32(out, value),
        Field::Double(value) => mp::write_f64(out, value),
        Field::String(value) => mp::write_str(out, value),
        _ => mp::write_nil(out),
    }
}
