//! Lua to JSON.
//!
//! # Yields
//! when a `__serialize` function does

use crate::base::error::Result;
use crate::builtin::serializer::{self, Config, Field, failure};
use crate::lua::{Context, Kind};
use crate::value::number;

/// Appends the value at `index` as JSON. Maps begin with the keys of the list at `key_order`, see
/// [`serializer::key_order`].
pub fn append(
    cx: Context<'_>,
    index: i32,
    config: &Config,
    key_order: Option<i32>,
    escape_slash: bool,
    out: &mut Vec<u8>,
) -> Result<()> {
    cx.reserve(2)?;
    cx.push_value(index);
    let slot = cx.top();
    let encoder = Encoder { cx, config, key_order, escape_slash };
    let result = encoder.value(slot, 0, out);
    cx.set_top(slot - 1);
    result
}

#[derive(Clone, Copy)]
struct Encoder<'a, 'b> {
    cx: Context<'a>,
    config: &'b Config,
    /// Stack index of the keys that come first.
    key_order: Option<i32>,
    escape_slash: bool,
}

impl Encoder<'_, '_> {
    fn value(self, slot: i32, depth: u32, out: &mut Vec<u8>) -> Result<()> {
        let cx = self.cx;
        // What needs no inspection.
        match cx.kind(slot) {
            Kind::String => {
                self.string(cx.bytes(slot).unwrap_or_default(), out);
                return Ok(());
            }
            Kind::Table if !self.config.encode_load_metatables || !self.has_metatable(slot) => {
                return self.table(slot, depth, out);
            }
            _ => {}
        }
        match serializer::inspect(cx, slot, self.config)? {
            Field::Nil => out.extend_from_slice(b"null"),
            Field::Boolean(true) => out.extend_from_slice(b"true"),
            Field::Boolean(false) => out.extend_from_slice(b"false"),
            Field::Unsigned(value) => append_integer(value, out),
            Field::Integer(value) => append_integer(value, out),
            Field::Float(value) => self.double(f64::from(value), out),
            Field::Double(value) => self.double(value, out),
            Field::String(value) => self.string(value, out),
            Field::Array { size, .. } => return self.array(slot, size, depth, out),
            Field::Map { .. } => return self.map(slot, depth, out),
            Field::Error => {
                let error = cx.error(slot).expect("the field says that it is one");
                self.string(error.message().as_bytes(), out);
            }
            Field::Cdata(cdata) => {
                let text = serializer::codec(cdata.type_id()).and_then(|codec| codec.text);
                self.string(&text.map(|text| text(cdata)).unwrap_or_default(), out);
            }
        }
        Ok(())
    }

    fn has_metatable(self, slot: i32) -> bool {
        let has = self.cx.metatable(slot);
        if has {
            self.cx.pop(1);
        }
        has
    }

    /// A table without a metatable, in one walk: as a map if its first key is no number, as an
    /// array as long as its keys come as 1, 2, 3 …; else what was written is cut back and the
    /// table inspected.
    fn table(self, slot: i32, depth: u32, out: &mut Vec<u8>) -> Result<()> {
        let cx = self.cx;
        cx.reserve(8)?;
        if self.is_too_deep(depth)? {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        let mark = out.len();
        let key = cx.top() + 1;
        cx.push_nil();
        if !cx.next(slot) {
            out.extend_from_slice(b"[]");
            return Ok(());
        }
        if cx.kind(key) != Kind::Number {
            return self.pairs(slot, key, depth, out);
        }
        out.push(b'[');
        let mut count = 0_u32;
        while cx.number(key) == Some(f64::from(count + 1)) {
            if count > 0 {
                out.push(b',');
            }
            count += 1;
            self.value(key + 1, depth + 1, out)?;
            cx.set_top(key);
            if !cx.next(slot) {
                out.push(b']');
                return Ok(());
            }
        }
        cx.set_top(key - 1);
        out.truncate(mark);
        match serializer::inspect(cx, slot, self.config)? {
            Field::Array { size, .. } => self.array(slot, size, depth, out),
            _ => self.map(slot, depth, out),
        }
    }

    fn double(self, value: f64, out: &mut Vec<u8>) {
        if value.is_nan() {
            out.extend_from_slice(b"nan");
            return;
        }
        let digits = self.config.encode_number_precision as usize;
        out.extend_from_slice(number::format_general(value, digits).as_bytes());
    }

    /// Whether a table this deep is refused; `Ok(true)`: it is written as null.
    fn is_too_deep(self, depth: u32) -> Result<bool> {
        if depth < self.config.encode_max_depth {
            Ok(false)
        } else if self.config.encode_deep_as_nil {
            Ok(true)
        } else {
            Err(failure("Too high nest level"))
        }
    }

    fn array(self, slot: i32, size: u32, depth: u32, out: &mut Vec<u8>) -> Result<()> {
        if self.is_too_deep(depth)? {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        out.push(b'[');
        for number in 1..=size {
            if number > 1 {
                out.push(b',');
            }
            let number = i32::try_from(number).map_err(|_| failure("table overflow"))?;
            self.cx.raw_get_index(slot, number);
            let top = self.cx.top();
            self.value(top, depth + 1, out)?;
            self.cx.set_top(top - 1);
        }
        out.push(b']');
        Ok(())
    }

    fn map(self, slot: i32, depth: u32, out: &mut Vec<u8>) -> Result<()> {
        let cx = self.cx;
        if self.is_too_deep(depth)? {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        let key = cx.top() + 1;
        cx.push_nil();
        if !cx.next(slot) {
            out.extend_from_slice(b"{}");
            return Ok(());
        }
        self.pairs(slot, key, depth, out)
    }

    /// A map whose first pair was pushed at `key`.
    fn pairs(self, slot: i32, key: i32, depth: u32, out: &mut Vec<u8>) -> Result<()> {
        let cx = self.cx;
        if let Some(order) = self.key_order {
            cx.set_top(key - 1);
            return self.ordered_pairs(slot, order, depth, out);
        }
        out.push(b'{');
        loop {
            self.key(key, out)?;
            out.push(b':');
            self.value(key + 1, depth + 1, out)?;
            cx.set_top(key);
            if !cx.next(slot) {
                break;
            }
            out.push(b',');
        }
        out.push(b'}');
        Ok(())
    }

    /// A map with keys that come first.
    fn ordered_pairs(self, slot: i32, order: i32, depth: u32, out: &mut Vec<u8>) -> Result<()> {
        let cx = self.cx;
        cx.reserve(8)?;
        let key = cx.top() + 1;
        let mut open = b'{';
        let mut pair = |out: &mut Vec<u8>| {
            out.push(std::mem::replace(&mut open, b','));
            self.key(key, out)?;
            out.push(b':');
            self.value(key + 1, depth + 1, out)
        };
        for number in (1..).take(cx.raw_len(order)) {
            cx.raw_get_index(order, number);
            cx.push_value(key);
            cx.raw_get(slot);
            if !cx.is_nil(key + 1) {
                pair(out)?;
            }
            cx.set_top(key - 1);
        }
        cx.push_nil();
        while cx.next(slot) {
            cx.push_value(key);
            cx.raw_get(order);
            // A number is a key of the list's own, and none that comes first.
            let is_written = !cx.is_nil(-1) && cx.kind(key) == Kind::String;
            cx.pop(1);
            if !is_written {
                pair(out)?;
            }
            cx.set_top(key);
        }
        if open == b'{' {
            out.push(open);
        }
        out.push(b'}');
        Ok(())
    }

    fn key(self, index: i32, out: &mut Vec<u8>) -> Result<()> {
        let cx = self.cx;
        if let Some(text) = cx.bytes(index) {
            self.string(text, out);
            return Ok(());
        }
        // Only a copy may be replaced: `next` needs the key itself.
        cx.reserve(2)?;
        let top = cx.top();
        cx.push_value(index);
        let field = match cx.kind(index) {
            Kind::Number | Kind::Cdata => serializer::inspect(cx, top + 1, self.config)?,
            _ => Field::Nil,
        };
        match field {
            Field::Unsigned(value) => {
                out.push(b'"');
                append_integer(value, out);
                out.push(b'"');
            }
            Field::Integer(value) => {
                out.push(b'"');
                append_integer(value, out);
                out.push(b'"');
            }
            Field::String(value) => self.string(value, out),
            _ => return Err(failure("table key must be a number or string")),
        }
        cx.set_top(top);
        Ok(())
    }

    fn string(self, value: &[u8], out: &mut Vec<u8>) {
        out.push(b'"');
        let mut start = 0;
        for (at, &byte) in value.iter().enumerate() {
            let escape = ESCAPES[byte as usize];
            if escape == 0 || escape == b'/' && !self.escape_slash {
                continue;
            }
            out.extend_from_slice(&value[start..at]);
            start = at + 1;
            out.push(b'\\');
            if escape == b'u' {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            } else {
                out.push(escape);
            }
        }
        out.extend_from_slice(&value[start..]);
        out.push(b'"');
    }
}

fn append_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// What follows the backslash for each byte; `u` stands for a four-digit code, 0 for the byte
/// itself.
static ESCAPES: [u8; 256] = escapes();

const fn escapes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 32 {
        table[byte] = b'u';
        byte += 1;
    }
    table[8] = b'b';
    table[9] = b't';
    table[10] = b'n';
    table[12] = b'f';
    table[13] = b'r';
    table[0x7f] = b'u';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table
}
