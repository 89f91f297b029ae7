//! What the tests of this folder share: MessagePack from JSON text.

use serde_json::Value;

use crate::value::decimal::Decimal;
use crate::value::msgpack as mp;

/// MessagePack of JSON text. A string of the form `dec:1.5` is a decimal, `bin:abc` binary data,
/// `f32:1.5` a narrow float.
pub fn msgpack(json: &str) -> Vec<u8> {
    let value: Value = serde_json::from_str(json).expect("tests write valid JSON");
    let mut out = Vec::new();
    write(&mut out, &value);
    out
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => mp::write_nil(out),
        Value::Bool(value) => mp::write_bool(out, *value),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), _, _) => mp::write_uint(out, number),
            (_, Some(number), _) => mp::write_int(out, number),
            (_, _, number) => mp::write_f64(out, number.expect("a JSON number is a double")),
        },
        Value::String(text) => match text.split_once(':') {
            Some(("dec", text)) => Decimal::parse(text.as_bytes()).expect(text).write(out),
            Some(("bin", text)) => mp::write_bin(out, text.as_bytes()),
            Some(("f32", text)) => mp::write_f32(out, text.parse().expect(text)),
            _ => mp::write_str(out, text.as_bytes()),
        },
        Value::Array(values) => {
            mp::write_array_len(out, values.len() as u32);
            values.iter().for_each(|value| write(out, value));
        }
        Value::Object(pairs) => {
            mp::write_map_len(out, pairs.len() as u32);
            for (key, value) in pairs {
                mp::write_str(out, key.as_bytes());
                write(out, value);
            }
        }
    }
}
