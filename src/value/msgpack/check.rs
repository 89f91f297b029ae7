//! Validation of untrusted MessagePack.

use smallvec::SmallVec;

use super::item::item;
use super::{
    EXT_DATETIME, EXT_DECIMAL, EXT_ERROR, EXT_INTERVAL, EXT_TUPLE, EXT_UUID, Reader, text,
};
use crate::base::error::{Builder, Error, Type, Value};
use crate::base::error_code::ER_INVALID_MSGPACK;
use crate::base::limits::NESTING_MAX;
use crate::value::datetime::Datetime;
use crate::value::decimal::Decimal;
use crate::value::interval::Interval;
use crate::value::uuid::Uuid;

/// Deepest nesting of extensions inside extensions (errors and tuples contain MessagePack).
const EXT_NESTING_MAX: usize = 16;

/// What is wrong with a MessagePack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It ends inside a value; so many values are missing or cut.
    Truncated(u64),
    /// The byte 0xc1, which means nothing.
    Illegal,
    /// An extension of this type and size whose payload is not valid.
    Extension(i8, usize, &'static str),
    /// Something follows the value.
    Junk,
    /// It nests deeper than `limits::NESTING_MAX`.
    Nesting,
}

/// A MessagePack that is not valid: what and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub flaw: Flaw,
    /// Offset of the value that is wrong.
    pub offset: usize,
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Error {
        let offset = ("offset".to_owned(), Value::Unsigned(malformed.offset as u64));
        match malformed.flaw {
            Flaw::Truncated(count) => {
                let count = ("trunc_count".to_owned(), Value::Unsigned(count));
                invalid("truncated input", vec![count, offset])
            }
            Flaw::Illegal => invalid("illegal code", vec![offset]),
            Flaw::Junk => invalid("junk after input", vec![offset]),
            Flaw::Nesting => invalid("too much nesting", vec![offset]),
            Flaw::Extension(ext_type, size, what) => {
                let ext_type = ("ext_type".to_owned(), Value::Integer(ext_type as i64));
                let size = ("ext_len".to_owned(), Value::Unsigned(size as u64));
                invalid("invalid extension", vec![ext_type, size, offset])
                    .caused_by(invalid(what, Vec::new()))
            }
        }
    }
}

fn invalid(details: &str, mut fields: Vec<(String, Value)>) -> Error {
    fields.insert(0, ("details".to_owned(), Value::String(details.to_owned())));
    Builder::new(Type::Client, ER_INVALID_MSGPACK.format.replace("%s", details))
        .code(ER_INVALID_MSGPACK.number)
        .fields(fields)
        .place(file!(), line!())
        .build()
}

/// Validates one value at the start of untrusted `data` and returns its size. Never panics.
pub fn check(data: &[u8]) -> Result<usize, Malformed> {
    check_nested(data, 0)
}

/// As [`check`], of a value inside a container.
#[inline]
pub fn check_inner(data: &[u8]) -> Result<usize, Malformed> {
    match data.first().map(|first| usize::from(SCALAR_SIZES[usize::from(*first)])) {
        Some(size @ 1..) if size <= data.len() => Ok(size),
        _ => check_at(data, 0, 1),
    }
}

/// Validates that `data` is one value and nothing else.
pub fn check_exact(data: &[u8]) -> Result<(), Malformed> {
    let size = check(data)?;
    if size != data.len() {
        return Err(Malformed { flaw: Flaw::Junk, offset: size });
    }
    Ok(())
}

fn check_nested(data: &[u8], ext_depth: usize) -> Result<usize, Malformed> {
    check_at(data, ext_depth, 0)
}

/// Validates a value that stands in so many containers.
fn check_at(data: &[u8], ext_depth: usize, depth: usize) -> Result<usize, Malformed> {
    let mut position = 0;
    let mut remaining = 1u64;
    // Values still to come in each container around the current one.
    let mut outer: SmallVec<[u64; 32]> = SmallVec::new();
    loop {
        while remaining == 0 {
            match outer.pop() {
                Some(count) => remaining = count,
                None => return Ok(position),
            }
        }
        // Most values are scalars whose first byte tells their size.
        let known_size = data.get(position).map_or(0, |first| SCALAR_SIZES[usize::from(*first)]);
        if known_size > 0 && position + usize::from(known_size) <= data.len() {
            position += usize::from(known_size);
            remaining -= 1;
            continue;
        }
        let fail = |flaw| Malformed { flaw, offset: position };
        let missing = || fail(Flaw::Truncated(outer.iter().sum::<u64>() + remaining));
        let rest = &data[position..];
        let first = *rest.first().ok_or_else(missing)?;
        if first == 0xc1 {
            return Err(fail(Flaw::Illegal));
        }
        let item = item(rest).ok_or_else(missing)?;
        let size = item.head_size + item.body_size;
        if size > rest.len() {
            return Err(missing());
        }
        if matches!(first, 0xc7..=0xc9 | 0xd4..=0xd8) {
            let ext_type = rest[item.head_size - 1] as i8;
            let payload = &rest[item.head_size..size];
            check_ext(ext_type, payload, ext_depth + 1)
                .map_err(|what| fail(Flaw::Extension(ext_type, payload.len(), what)))?;
        }
        remaining -= 1;
        if item.child_count > 0 {
            if outer.len() + depth >= NESTING_MAX {
                return Err(fail(Flaw::Nesting));
            }
            outer.push(remaining);
            remaining = item.child_count;
        }
        position += size;
    }
}

/// Whole size of numbers, short strings, `nil` and booleans by their first byte; 0 for the rest.
static SCALAR_SIZES: [u8; 256] = {
    let mut sizes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        sizes[byte] = match byte {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 1,
            0xa0..=0xbf => 1 + (byte as u8 & 0x1f),
            0xcc | 0xd0 => 2,
            0xcd | 0xd1 => 3,
            0xca | 0xce | 0xd2 => 5,
            0xcb | 0xcf | 0xd3 => 9,
            _ => 0,
        };
        byte += 1;
    }
    sizes
};

/// Validates the payload of an extension. Types that we do not know pass, as in Tarantool.
fn check_ext(ext_type: i8, payload: &[u8], depth: usize) -> Result<(), &'static str> {
    if depth >= EXT_NESTING_MAX {
        return Err("too much nesting");
    }
    let valid = match ext_type {
        EXT_ERROR => check_error(payload, depth).is_some(),
        EXT_TUPLE => check_tuple(payload, depth).is_some(),
        EXT_DECIMAL => Decimal::unpack(payload).is_some(),
        EXT_UUID => Uuid::unpack(payload).is_some(),
        EXT_DATETIME => Datetime::unpack(payload).is_some(),
        EXT_INTERVAL => Interval::unpack(payload).is_some(),
        _ => return Ok(()),
    };
    if valid {
        return Ok(());
    }
    Err(match ext_type {
        EXT_DECIMAL => "cannot unpack decimal",
        EXT_UUID => "cannot unpack uuid",
        EXT_DATETIME => "cannot unpack datetime",
        EXT_INTERVAL => "cannot unpack interval",
        EXT_ERROR => "cannot unpack error",
        _ => "cannot unpack tuple",
    })
}

/// An error is one map; its keys are the business of whoever decodes it.
fn check_error(payload: &[u8], depth: usize) -> Option<()> {
    Reader::new(payload).read_map_len()?;
    let size = check_nested(payload, depth).ok()?;
    (size == payload.len()).then_some(())
}

/// A tuple is a format id and an array.
fn check_tuple(payload: &[u8], depth: usize) -> Option<()> {
    let mut reader = Reader::new(payload);
    reader.read_uint()?;
    let body = reader.rest();
    Reader::new(body).read_array_len()?;
    let size = check_nested(body, depth).ok()?;
    (size == body.len()).then_some(())
}

/// Fuzz target: whatever passes [`check`] can be skipped to the same place and printed.
pub fn fuzz(data: &[u8]) {
    if let Ok(size) = check(data) {
        assert_eq!(super::skip(data), Some(size));
        let _ = text(&data[..size]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn flaws_are_told_apart() {
        let flaw = |data: &[u8]| check(data).map_err(|malformed| malformed.flaw);
        assert_eq!(flaw(&[]), Err(Flaw::Truncated(1)));
        assert_eq!(flaw(&[0x93, 1]), Err(Flaw::Truncated(2)));
        assert_eq!(flaw(&[0xc1]), Err(Flaw::Illegal));
        assert_eq!(flaw(&[0xdb, 0xff, 0xff, 0xff, 0xff]), Err(Flaw::Truncated(1)));
        assert_eq!(check(&[1, 2]), Ok(1));
        let junk = check_exact(&[1, 2]).unwrap_err();
        assert_eq!(junk, Malformed { flaw: Flaw::Junk, offset: 1 });
        assert_eq!(Error::from(junk).message(), "Invalid MsgPack - junk after input");
    }

    #[test]
    fn nesting_is_bounded() {
        let mut data = vec![0x91; NESTING_MAX];
        data.push(0x90);
        assert_eq!(check(&data), Ok(data.len()));
        assert_eq!(check_inner(&data).unwrap_err().flaw, Flaw::Nesting);
        assert_eq!(check_inner(&data[1..]), Ok(data.len() - 1));
        data.insert(0, 0x91);
        assert_eq!(check(&data).unwrap_err().flaw, Flaw::Nesting);
        assert!(check(&vec![0x91; 1 << 20]).is_err());
    }

    #[test]
    fn tuples_inside_extensions_are_checked() {
        let mut data = Vec::new();
        write_ext(&mut data, EXT_TUPLE, &[0, 0x91, 5]);
        assert_eq!(check(&data), Ok(data.len()));
        data.clear();
        write_ext(&mut data, EXT_TUPLE, &[0, 0x92, 5]);
        let error = Error::from(check(&data).unwrap_err());
        assert_eq!(error.message(), "Invalid MsgPack - invalid extension");
        let cause = error.cause().unwrap();
        assert_eq!(cause.message(), "Invalid MsgPack - cannot unpack tuple");
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&data);
            let _ = skip(&data);
        }
    }
}
