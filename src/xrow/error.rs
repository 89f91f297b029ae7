//! Errors as MessagePack: the `MP_ERROR` extension and the body of an error response.
//!
//! # Layout
//! `{0: [{0: type, 2: line, 1: file, 3: message, 4: errno, 5: code, 6: {name: value}}, ...]}`; the
//! first of the array is the error, each next one the cause of the one before it. The type and
//! message of a custom error travel as type `CustomError` with the field `custom_type`.
//!
//! # Yields
//! never

use crate::base::error::{Builder, Type, Value};
use crate::base::{Error, Result};
use crate::value::msgpack as mp;

use super::invalid_msgpack;
use super::iproto::{key, kind};

const STACK: u64 = 0;

const TYPE: u64 = 0;
const FILE: u64 = 1;
const LINE: u64 = 2;
const MESSAGE: u64 = 3;
const ERRNO: u64 = 4;
const CODE: u64 = 5;
const FIELDS: u64 = 6;

const CUSTOM_TYPE: &str = "custom_type";

/// Most errors of one chain that are read; a longer chain is cut.
const CAUSE_COUNT_MAX: u32 = 1000;

/// Types that have no variant of their own in `base`.
const OTHER_TYPES: [&str; 7] = [
    "XlogGapError",
    "SwimError",
    "CryptoError",
    "SSLError",
    "FileFormatError",
    "EncodeError",
    "DecodeError",
];

/// Appends an error as a MessagePack extension.
pub fn encode(error: &Error, out: &mut Vec<u8>) {
    let mut payload = Vec::with_capacity(256);
    encode_payload(error, &mut payload);
    mp::write_ext(out, mp::EXT_ERROR, &payload);
}

/// Appends the payload of the extension.
pub fn encode_payload(error: &Error, out: &mut Vec<u8>) {
    let mut stack = vec![error.clone()];
    let mut next = error.cause();
    while let Some(cause) = next {
        next = cause.cause();
        stack.push(cause);
    }
    mp::write_map_len(out, 1);
    mp::write_uint(out, STACK);
    mp::write_array_len(out, stack.len() as u32);
    for error in &stack {
        encode_one(error, out);
    }
}

/// Appends the body of an error response: the message for old clients, the whole for new ones.
pub fn encode_body(error: &Error, out: &mut Vec<u8>) {
    mp::write_map_len(out, 2);
    mp::write_uint(out, u64::from(key::ERROR_24));
    mp::write_str(out, error.message().as_bytes());
    mp::write_uint(out, u64::from(key::ERROR));
    encode_payload(error, out);
}

fn encode_one(error: &Error, out: &mut Vec<u8>) {
    let is_custom = error.kind() == Type::Custom;
    let has_custom_type = error.fields().iter().any(|(name, _)| name == CUSTOM_TYPE);
    let adds_custom_type = is_custom && !has_custom_type;
    let field_count = error.fields().len() as u32 + u32::from(adds_custom_type);
    mp::write_map_len(out, 6 + u32::from(field_count > 0));
    let mut text = |key: u64, text: &str| {
        mp::write_uint(out, key);
        mp::write_str(out, text.as_bytes());
    };
    text(TYPE, error.kind().name());
    mp::write_uint(out, LINE);
    mp::write_uint(out, u64::from(error.line()));
    mp::write_uint(out, FILE);
    mp::write_str(out, error.file().as_bytes());
    mp::write_uint(out, MESSAGE);
    mp::write_str(out, error.message().as_bytes());
    mp::write_uint(out, ERRNO);
    mp::write_uint(out, error.errno().unsigned_abs().into());
    mp::write_uint(out, CODE);
    mp::write_uint(out, u64::from(error.code()));
    if field_count == 0 {
        return;
    }
    mp::write_uint(out, FIELDS);
    mp::write_map_len(out, field_count);
    if adds_custom_type {
        mp::write_str(out, CUSTOM_TYPE.as_bytes());
        mp::write_str(out, error.type_name().as_bytes());
    }
    for (name, value) in error.fields() {
        mp::write_str(out, name.as_bytes());
        encode_value(value, out);
    }
}

fn encode_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => mp::write_str(out, text.as_bytes()),
        Value::Integer(number) => mp::write_int(out, *number),
        Value::Unsigned(number) => mp::write_uint(out, *number),
        Value::Double(number) => mp::write_f64(out, *number),
        Value::Boolean(flag) => mp::write_bool(out, *flag),
        Value::MessagePack(bytes) => out.extend_from_slice(bytes),
    }
}

/// Reads the payload of the extension from untrusted bytes.
pub fn decode(payload: &[u8]) -> Result<Error> {
    mp::check_exact(payload)?;
    decode_checked(&mut mp::Reader::new(payload))
}

/// Reads the body of an error response whose header type was `kind` (`ERROR | code`). A body that
/// is not one gives a client error with the code and no message, as Tarantool's clients do.
pub fn decode_body(response_kind: u32, body: &[u8]) -> Error {
    let code = response_kind & (kind::ERROR - 1);
    let plain = |message: &str| Builder::new(Type::Client, message.to_owned()).code(code).build();
    let mut message = String::new();
    let mut reader = mp::Reader::new(body);
    for _ in 0..reader.read_map_len().unwrap_or(0) {
        let (Some(key), Some(value)) = (reader.skip(), reader.skip()) else { break };
        let key = mp::Reader::new(key).read_uint();
        let mut value = mp::Reader::new(value);
        if key == Some(u64::from(key::ERROR_24)) {
            let bytes = value.read_str().unwrap_or_default();
            message = String::from_utf8_lossy(bytes).into_owned();
        } else if key == Some(u64::from(key::ERROR)) {
            return decode_checked(&mut value).unwrap_or_else(|_| plain(""));
        }
    }
    plain(&message)
}

fn decode_checked(reader: &mut mp::Reader<'_>) -> Result<Error> {
    let count = reader.read_map_len().ok_or_else(|| must_be("error data", "MP_MAP"))?;
    let mut stack: Vec<Error> = Vec::new();
    for _ in 0..count {
        let key = reader.read_uint().ok_or_else(|| must_be("error data key", "MP_UINT"))?;
        if key != STACK {
            skip(reader)?;
            continue;
        }
        if !stack.is_empty() {
            return Err(invalid_msgpack("duplicate MP_ERROR_STACK key"));
        }
        let count =
            reader.read_array_len().ok_or_else(|| must_be("MP_ERROR_STACK value", "MP_ARRAY"))?;
        for index in 0..count {
            if index < CAUSE_COUNT_MAX {
                stack.push(decode_one(reader)?);
            } else {
                skip(reader)?;
            }
        }
    }
    let mut cause = None;
    while let Some(error) = stack.pop() {
        if let Some(cause) = cause {
            error.set_cause(Some(cause))?;
        }
        cause = Some(error);
    }
    cause.ok_or_else(|| invalid_msgpack("MP_ERROR_STACK is missing"))
}

#[derive(Default)]
struct Parts {
    kind: Option<String>,
    file: Option<String>,
    message: Option<String>,
    line: u64,
    errno: u64,
    code: u64,
    fields: Vec<(String, Value)>,
}

fn decode_one(reader: &mut mp::Reader<'_>) -> Result<Error> {
    let count =
        reader.read_map_len().ok_or_else(|| must_be("MP_ERROR_STACK array entry", "MP_MAP"))?;
    let mut parts = Parts::default();
    for _ in 0..count {
        let key = reader.read_uint().ok_or_else(|| must_be("error field key", "MP_UINT"))?;
        match key {
            TYPE => parts.kind = Some(text(reader, "MP_ERROR_TYPE value")?),
            FILE => parts.file = Some(text(reader, "MP_ERROR_FILE value")?),
            MESSAGE => parts.message = Some(text(reader, "MP_ERROR_MESSAGE value")?),
            LINE => parts.line = number(reader, "MP_ERROR_LINE value")?,
            ERRNO => parts.errno = number(reader, "MP_ERROR_ERRNO value")?,
            CODE => parts.code = number(reader, "MP_ERROR_CODE value")?,
            FIELDS => parts.fields = fields(reader)?,
            _ => skip(reader)?,
        }
    }
    build(parts)
}

fn build(mut parts: Parts) -> Result<Error> {
    let name = parts.kind.ok_or_else(|| invalid_msgpack("MP_ERROR_TYPE is missing"))?;
    let message = parts.message.ok_or_else(|| invalid_msgpack("MP_ERROR_MESSAGE is missing"))?;
    let file = parts.file.ok_or_else(|| invalid_msgpack("MP_ERROR_FILE is missing"))?;
    let kind = match OTHER_TYPES.iter().find(|other| **other == name) {
        Some(other) => Type::Other(other),
        None => Type::by_name(&name),
    };
    let mut builder = Builder::new(kind, message)
        .code(parts.code as u32)
        .errno(parts.errno as i32)
        .place(&file, parts.line as u32);
    if kind == Type::Custom {
        let at = parts.fields.iter().position(|(name, _)| name == CUSTOM_TYPE);
        if let Some((_, Value::String(name))) = at.map(|at| parts.fields.remove(at)) {
            builder = builder.custom_type(name);
        }
    }
    Ok(builder.fields(parts.fields).build())
}

fn fields(reader: &mut mp::Reader<'_>) -> Result<Vec<(String, Value)>> {
    let count = reader.read_map_len().ok_or_else(|| must_be("MP_ERROR_FIELDS value", "MP_MAP"))?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let name = text(reader, "error payload field name")?;
        let value = reader.skip().ok_or_else(|| invalid_msgpack("error payload field value"))?;
        fields.push((name, decode_value(value)));
    }
    Ok(fields)
}

fn decode_value(bytes: &[u8]) -> Value {
    let mut reader = mp::Reader::new(bytes);
    let decoded = match reader.kind() {
        Some(mp::Kind::Str) => reader.read_utf8().map(|text| Value::String(text.to_owned())),
        Some(mp::Kind::Uint) => reader.read_uint().map(Value::Unsigned),
        Some(mp::Kind::Int) => reader.read_int().map(Value::Integer),
        Some(mp::Kind::Double) => reader.read_f64().map(Value::Double),
        Some(mp::Kind::Bool) => reader.read_bool().map(Value::Boolean),
        _ => None,
    };
    decoded.unwrap_or_else(|| Value::MessagePack(bytes.to_vec()))
}

fn text(reader: &mut mp::Reader<'_>, what: &str) -> Result<String> {
    let bytes = reader.read_str().ok_or_else(|| must_be(what, "MP_STR"))?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

fn number(reader: &mut mp::Reader<'_>, what: &str) -> Result<u64> {
    reader.read_uint().ok_or_else(|| must_be(what, "MP_UINT"))
}

fn skip(reader: &mut mp::Reader<'_>) -> Result<()> {
    reader.skip().map(|_| ()).ok_or_else(|| invalid_msgpack("error data"))
}

fn must_be(what: &str, kind: &str) -> Error {
    invalid_msgpack(&format!("{what} must be {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_error;

    #[test]
    fn error_with_payload_and_causes_is_read_back() {
        let cause = Builder::new(Type::Custom, "deep".into())
            .custom_type("MyType".into())
            .code(7)
            .errno(5)
            .place("init.lua", 12)
            .fields(vec![("weight".into(), Value::Double(0.5))])
            .build();
        let error = client_error!(ER_CREATE_SPACE, "users", "no room").caused_by(cause);
        let mut bytes = Vec::new();
        encode_payload(&error, &mut bytes);
        let decoded = decode(&bytes).unwrap();
        assert_eq!(decoded.message(), error.message());
        assert_eq!((decoded.code(), decoded.line()), (error.code(), error.line()));
        assert_eq!(decoded.fields(), error.fields());
        let cause = decoded.cause().unwrap();
        assert_eq!(
            (cause.type_name(), cause.errno(), cause.file().as_str()),
            ("MyType", 5, "init.lua")
        );
        assert_eq!(cause.fields(), [("weight".to_owned(), Value::Double(0.5))]);
        assert!(cause.cause().is_none());
    }

    #[test]
    fn response_body_is_read_back_also_from_old_servers() {
        let error = client_error!(ER_NO_SUCH_SPACE, "x");
        let mut body = Vec::new();
        encode_body(&error, &mut body);
        let decoded = decode_body(kind::ERROR | error.code(), &body);
        assert_eq!((decoded.code(), decoded.message()), (36, error.message()));
        let old = [0x81, key::ERROR_24, 0xa2, b'h', b'i'];
        let decoded = decode_body(kind::ERROR | 36, &old);
        assert_eq!((decoded.code(), decoded.message()), (36, "hi"));
    }

    #[test]
    fn missing_parts_are_named() {
        let error = decode(&[0x80]).unwrap_err();
        assert_eq!(error.message(), "Invalid MsgPack - MP_ERROR_STACK is missing");
        let error = decode(&[0x81, 0, 0x91, 0x80]).unwrap_err();
        assert_eq!(error.message(), "Invalid MsgPack - MP_ERROR_TYPE is missing");
        let error = decode(&[0x81, 0, 0x91, 0x81, 0, 5]).unwrap_err();
        assert_eq!(error.message(), "Invalid MsgPack - MP_ERROR_TYPE value must be MP_STR");
    }
}
