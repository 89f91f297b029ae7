//! MessagePack as JSON and as Lua tables, in Tarantool's spelling.
//!
//! # Yields
//! never

use std::fmt::Write as _;

use super::Field;
use crate::value::msgpack as mp;
use crate::value::number::format_general;

/// Significant digits of a floating point number (`encode_number_precision`).
const PRECISION: usize = 14;

/// A number as Lua's serializers print it: whole ones without a fraction.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if value.fract() == 0.0 && value >= i64::MIN as f64 && value < u64::MAX as f64 {
        return (value as i128).to_string();
    }
    format_general(value, PRECISION)
}

/// Appends fields as a JSON object.
pub fn json_object(fields: &[Field], out: &mut String) {
    out.push('{');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let _ = write!(out, "\"{}\":", field.name);
        json_value(&mut mp::Reader::new(&field.value), out);
    }
    out.push('}');
}

fn json_value(reader: &mut mp::Reader<'_>, out: &mut String) {
    match reader.kind() {
        Some(mp::Kind::Array) => {
            out.push('[');
            for index in 0..reader.read_array_len().unwrap_or(0) {
                if index > 0 {
                    out.push(',');
                }
                json_value(reader, out);
            }
            out.push(']');
        }
        Some(mp::Kind::Map) => {
            out.push('{');
            for index in 0..reader.read_map_len().unwrap_or(0) {
                if index > 0 {
                    out.push(',');
                }
                let is_text = matches!(reader.kind(), Some(mp::Kind::Str | mp::Kind::Bin));
                let quote = if is_text { "" } else { "\"" };
                out.push_str(quote);
                json_value(reader, out);
                out.push_str(quote);
                out.push(':');
                json_value(reader, out);
            }
            out.push('}');
        }
        Some(mp::Kind::Float | mp::Kind::Double) => {
            let value = reader.read_f64().unwrap_or(0.0);
            out.push_str(&if value.is_nan() { "nan".to_owned() } else { number(value) });
        }
        Some(mp::Kind::Ext) => {
            let text = mp::text(reader.skip().unwrap_or_default());
            let _ = write!(out, "\"{text}\"");
        }
        Some(_) => mp::write_text(out, reader.skip().unwrap_or_default()),
        None => {}
    }
}

/// Appends a value as Lua source.
pub fn lua_value(value: &[u8], out: &mut String) {
    lua(&mut mp::Reader::new(value), out);
}

fn lua(reader: &mut mp::Reader<'_>, out: &mut String) {
    match reader.kind() {
        Some(mp::Kind::Array) => {
            out.push('{');
            for index in 0..reader.read_array_len().unwrap_or(0) {
                let separator = if index > 0 { ", " } else { "" };
                let _ = write!(out, "{separator}[{}] = ", index + 1);
                lua(reader, out);
            }
            out.push('}');
        }
        Some(mp::Kind::Map) => {
            out.push('{');
            for index in 0..reader.read_map_len().unwrap_or(0) {
                out.push_str(if index > 0 { ", [" } else { "[" });
                lua(reader, out);
                out.push_str("] = ");
                lua(reader, out);
            }
            out.push('}');
        }
        Some(mp::Kind::Str | mp::Kind::Bin) => {
            out.push('\'');
            for byte in reader.read_bytes().unwrap_or_default() {
                let _ = write!(out, "\\x{byte:02x}");
            }
            out.push('\'');
        }
        Some(mp::Kind::Uint) => {
            let value = reader.read_uint().unwrap_or(0);
            // A number of Lua is exact up to 10^14; larger ones are 64-bit cdata.
            let suffix = if value >= 100_000_000_000_000 { "ULL" } else { "" };
            let _ = write!(out, "{value}{suffix}");
        }
        Some(mp::Kind::Int) => {
            let value = reader.read_int().unwrap_or(0);
            let suffix = if value <= -100_000_000_000_000 { "LL" } else { "" };
            let _ = write!(out, "{value}{suffix}");
        }
        Some(mp::Kind::Float | mp::Kind::Double) => {
            out.push_str(&format_general(reader.read_f64().unwrap_or(0.0), PRECISION));
        }
        Some(_) => mp::write_text(out, reader.skip().unwrap_or_default()),
        None => {}
    }
}
