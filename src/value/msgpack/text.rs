//! The text of a MessagePack value as Tarantool's messages show it: JSON with bare extensions.

use std::fmt::Write as _;

use super::{EXT_DATETIME, EXT_DECIMAL, EXT_ERROR, EXT_INTERVAL, EXT_UUID, Kind, Reader};
use crate::value::datetime::Datetime;
use crate::value::decimal::Decimal;
use crate::value::interval::Interval;
use crate::value::uuid::Uuid;

/// Containers nested deeper than this print as `[...]` and `{...}`.
const DEPTH_MAX: usize = 32;

/// The text of the value at the start of `data`: `[1, "a", null]`. Bytes that are not UTF-8 are
/// replaced; a value cut short prints what there is.
pub fn text(data: &[u8]) -> String {
    let mut out = String::new();
    write_text(&mut out, data);
    out
}

/// Appends what [`text`] returns.
pub fn write_text(out: &mut String, data: &[u8]) {
    // A value that is cut short is shown as far as it goes: this is for messages and logs.
    let _ = write_value(out, &mut Reader::new(data), DEPTH_MAX);
}

fn write_value(out: &mut String, reader: &mut Reader<'_>, depth: usize) -> Option<()> {
    match reader.kind()? {
        Kind::Nil => {
            reader.read_nil()?;
            out.push_str("null");
        }
        Kind::Bool => out.push_str(if reader.read_bool()? { "true" } else { "false" }),
        Kind::Uint | Kind::Int => {
            let _ = write!(out, "{}", reader.read_integer()?);
        }
        Kind::Float | Kind::Double => write_general(out, reader.read_f64()?),
        Kind::Str | Kind::Bin => write_string(out, reader.read_bytes()?),
        Kind::Array if depth == 0 => {
            reader.skip()?;
            out.push_str("[...]");
        }
        Kind::Map if depth == 0 => {
            reader.skip()?;
            out.push_str("{...}");
        }
        Kind::Array => {
            out.push('[');
            for index in 0..reader.read_array_len()? {
                if index > 0 {
                    out.push_str(", ");
                }
                write_value(out, reader, depth - 1)?;
            }
            out.push(']');
        }
        Kind::Map => {
            out.push('{');
            for index in 0..reader.read_map_len()? {
                if index > 0 {
                    out.push_str(", ");
                }
                write_value(out, reader, depth - 1)?;
                out.push_str(": ");
                write_value(out, reader, depth - 1)?;
            }
            out.push('}');
        }
        Kind::Ext => {
            let (ext_type, payload) = reader.read_ext()?;
            write_ext(out, ext_type, payload, depth);
        }
    }
    Some(())
}

fn write_ext(out: &mut String, ext_type: i8, payload: &[u8], depth: usize) {
    if ext_type == EXT_ERROR {
        // Printed as far as it goes, like every value.
        let _ = write_error(out, &mut Reader::new(payload), depth);
        return;
    }
    let known = match ext_type {
        EXT_DECIMAL => Decimal::unpack(payload).map(|value| value.to_string()),
        EXT_UUID => Uuid::unpack(payload).map(|value| value.to_string()),
        EXT_DATETIME => Datetime::unpack(payload).map(|value| value.to_string()),
        EXT_INTERVAL => Interval::unpack(payload).map(|value| value.to_string()),
        _ => None,
    };
    match known {
        Some(text) => out.push_str(&text),
        None => {
            let _ = write!(out, "(extension: type {ext_type}, len {})", payload.len());
        }
    }
}

/// An error is `{0: [map, ...]}`, the error and its causes; the keys of each print as names.
fn write_error(out: &mut String, reader: &mut Reader<'_>, depth: usize) -> Option<()> {
    const STACK_KEY: u64 = 0;
    if depth < 2 {
        out.push_str("{...}");
        return Some(());
    }
    out.push('{');
    for index in 0..reader.read_map_len()? {
        if index > 0 {
            out.push_str(", ");
        }
        match reader.read_uint()? {
            STACK_KEY => {
                out.push_str("\"stack\": [");
                for index in 0..reader.read_array_len()? {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    write_error_fields(out, reader, depth - 2)?;
                }
                out.push(']');
            }
            key => {
                let _ = write!(out, "{key}: ");
                write_value(out, reader, depth - 1)?;
            }
        }
    }
    out.push('}');
    Some(())
}

fn write_error_fields(out: &mut String, reader: &mut Reader<'_>, depth: usize) -> Option<()> {
    const NAMES: [&str; 7] = ["type", "file", "line", "message", "errno", "code", "fields"];
    out.push('{');
    for index in 0..reader.read_map_len()? {
        if index > 0 {
            out.push_str(", ");
        }
        let key = reader.read_uint()?;
        let _ = match usize::try_from(key).ok().and_then(|key| NAMES.get(key)) {
            Some(name) => write!(out, "\"{name}\": "),
            None => write!(out, "{key}: "),
        };
        write_value(out, reader, depth)?;
    }
    out.push('}');
    Some(())
}

fn write_string(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in String::from_utf8_lossy(bytes).chars() {
        match chunk {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => {
                let _ = write!(out, "\\u{:04x}", chunk as u32);
            }
            _ => out.push(chunk),
        }
    }
    out.push('"');
}

/// C's `%g`.
fn write_general(out: &mut String, value: f64) {
    out.push_str(&crate::value::number::format_general(value, 6));
}

#[cfg(test)]
mod tests {
    use super::super::*;

    #[test]
    fn prints_like_tarantool() {
        let mut data = Vec::new();
        write_array_len(&mut data, 7);
        write_int(&mut data, -5);
        write_str(&mut data, b"kill \"bill\"\n/");
        write_nil(&mut data);
        write_f64(&mut data, 1152921504606846976.0);
        write_map_len(&mut data, 1);
        write_str(&mut data, b"double");
        write_f32(&mut data, 2.72);
        write_ext(&mut data, 123, b"abc");
        write_bool(&mut data, true);
        assert_eq!(
            text(&data),
            "[-5, \"kill \\\"bill\\\"\\n\\/\", null, 1.15292e+18, {\"double\": 2.72}, \
             (extension: type 123, len 3), true]"
        );
    }

    #[test]
    fn errors_print_with_the_names_of_their_fields() {
        let mut payload = vec![0x81, 0, 0x91];
        write_map_len(&mut payload, 2);
        write_uint(&mut payload, 0);
        write_str(&mut payload, b"ClientError");
        write_uint(&mut payload, 5);
        write_uint(&mut payload, 3);
        let mut data = Vec::new();
        write_ext(&mut data, EXT_ERROR, &payload);
        assert_eq!(text(&data), r#"{"stack": [{"type": "ClientError", "code": 3}]}"#);
    }

    #[test]
    fn deep_values_are_cut() {
        let mut data = vec![0x91; 40];
        data.push(1);
        let expected = "[".repeat(32) + "[...]" + &"]".repeat(32);
        assert_eq!(text(&data), expected);
    }
}
