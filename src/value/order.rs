//! The order, hash and 64-bit hints of encoded values: what indexes compare by.
//!
//! A field of type `scalar` sorts by class first (see [`Class`]) and within a class by value;
//! the other field types are one class each, so the same functions serve them all.
//!
//! # Layout
//! A hint is the class in the upper 4 bits and 60 bits that sort as the value does, as far as they
//! go: hint(a) < hint(b) implies a < b. Hints of one field are comparable whichever type its index
//! has. The exception is the one of comparison itself: a double that only its 15 digits make equal
//! to a decimal (0.9999999999999999 and 1) keeps its own hint, as in Tarantool.

use std::cmp::Ordering;
use std::hash::Hasher;

use super::collation::Collation;
use super::datetime::Datetime;
use super::msgpack::{EXT_DATETIME, EXT_DECIMAL, EXT_INTERVAL, EXT_UUID, Kind, Reader};
use super::number::Number;
use super::uuid::Uuid;

/// The class of a value; values of different classes compare by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// `nil`, or an absent field.
    Nil,
    /// Booleans.
    Bool,
    /// Integers, floats and decimals.
    Number,
    /// Strings.
    Str,
    /// Binary data.
    Bin,
    /// UUIDs.
    Uuid,
    /// Datetimes.
    Datetime,
    /// Datetime intervals, which have no order in Tarantool; here they sort by their bytes.
    Interval,
    /// Arrays; by their bytes, too.
    Array,
    /// Maps; by their bytes, too.
    Map,
    /// Everything else; by its bytes, too.
    Other,
}

/// Class of the value at the start of `data`.
#[inline]
pub fn class(data: &[u8]) -> Class {
    let reader = Reader::new(data);
    match reader.kind() {
        None | Some(Kind::Nil) => Class::Nil,
        Some(Kind::Bool) => Class::Bool,
        Some(Kind::Uint | Kind::Int | Kind::Float | Kind::Double) => Class::Number,
        Some(Kind::Str) => Class::Str,
        Some(Kind::Bin) => Class::Bin,
        Some(Kind::Array) => Class::Array,
        Some(Kind::Map) => Class::Map,
        Some(Kind::Ext) => match reader.ext_type() {
            Some(EXT_DECIMAL) => Class::Number,
            Some(EXT_UUID) => Class::Uuid,
            Some(EXT_DATETIME) => Class::Datetime,
            Some(EXT_INTERVAL) => Class::Interval,
            _ => Class::Other,
        },
    }
}

/// Compares two encoded numbers by value.
#[inline]
pub fn compare_number(a: &[u8], b: &[u8]) -> Ordering {
    // Most keys are unsigned integers.
    let (mut left, mut right) = (Reader::new(a), Reader::new(b));
    if let (Some(left), Some(right)) = (left.read_uint(), right.read_uint()) {
        return left.cmp(&right);
    }
    match (Number::read(&mut Reader::new(a)), Number::read(&mut Reader::new(b))) {
        (Some(left), Some(right)) => left.compare(&right),
        _ => compare_raw(a, b),
    }
}

/// Compares two encoded values, strings by `collation` if there is one.
pub fn compare(a: &[u8], b: &[u8], collation: Option<&Collation>) -> Ordering {
    let (left, right) = (class(a), class(b));
    if left != right {
        return left.cmp(&right);
    }
    match left {
        Class::Nil => Ordering::Equal,
        Class::Bool => Reader::new(a).read_bool().cmp(&Reader::new(b).read_bool()),
        Class::Number => compare_number(a, b),
        Class::Str => {
            let a = Reader::new(a).read_str().unwrap_or_default();
            let b = Reader::new(b).read_str().unwrap_or_default();
            collation.map_or_else(|| a.cmp(b), |collation| collation.compare(a, b))
        }
        Class::Bin => Reader::new(a).read_bin().cmp(&Reader::new(b).read_bin()),
        Class::Uuid => Uuid::read(&mut Reader::new(a)).cmp(&Uuid::read(&mut Reader::new(b))),
        Class::Datetime => {
            Datetime::read(&mut Reader::new(a)).cmp(&Datetime::read(&mut Reader::new(b)))
        }
        Class::Interval | Class::Array | Class::Map | Class::Other => compare_raw(a, b),
    }
}

fn compare_raw(a: &[u8], b: &[u8]) -> Ordering {
    Reader::new(a).skip().cmp(&Reader::new(b).skip())
}

/// Hashes the value at the start of `data` consistently with [`compare`]: 1, 1.0 and the decimal 1
/// hash alike.
pub fn hash<H: Hasher>(data: &[u8], collation: Option<&Collation>, state: &mut H) {
    let mut reader = Reader::new(data);
    let class = class(data);
    match class {
        Class::Number => match Number::read(&mut reader) {
            Some(number) => number.hash_value(state),
            None => state.write_u8(class as u8),
        },
        Class::Str => {
            let text = reader.read_str().unwrap_or_default();
            match collation {
                Some(collation) => collation.hash(text, state),
                None => state.write(text),
            }
            // Ends the string, so that ("a", "bc") and ("ab", "c") differ.
            state.write_u8(0xff);
        }
        Class::Datetime => match Datetime::read(&mut reader) {
            Some(datetime) => datetime.hash_moment(state),
            None => state.write_u8(class as u8),
        },
        Class::Nil => state.write_u8(0xc0),
        _ => state.write(reader.skip().unwrap_or_default()),
    }
}

/// What a hint is when there is nothing to say; it sorts with no other and means "compare".
pub const HINT_NONE: u64 = u64::MAX;

const HINT_VALUE_BITS: u32 = 60;
const HINT_VALUE_MAX: u64 = (1 << HINT_VALUE_BITS) - 1;
/// Whole bytes of a string that fit.
const HINT_BYTES: usize = 7;

/// Hint of the value at the start of `data`, or [`HINT_NONE`] for a class without order.
pub fn hint(data: &[u8], collation: Option<&Collation>) -> u64 {
    let mut reader = Reader::new(data);
    let class = class(data);
    let value = match class {
        Class::Nil => Some(0),
        Class::Bool => reader.read_bool().map(u64::from),
        Class::Number => Number::read(&mut reader).map(|number| number_hint(&number)),
        Class::Str => reader.read_str().map(|text| match collation {
            Some(collation) if !collation.is_binary() => {
                let mut key = Vec::with_capacity(2 * text.len() + 8);
                collation.sort_key(text, &mut key);
                bytes_hint(&key)
            }
            _ => bytes_hint(text),
        }),
        Class::Bin => reader.read_bin().map(bytes_hint),
        Class::Uuid => Uuid::read(&mut reader).map(|Uuid(bytes)| {
            let [a, b, c, d, e, f, g, h, ..] = bytes;
            u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> (64 - HINT_VALUE_BITS)
        }),
        Class::Datetime => Datetime::read(&mut reader).map(|datetime| datetime_hint(&datetime)),
        Class::Interval | Class::Array | Class::Map | Class::Other => None,
    };
    value.map_or(HINT_NONE, |value| (class as u64) << HINT_VALUE_BITS | value)
}

/// The nearest double's sign, exponent and first 44 bits of fraction, in an order of unsigned
/// integers. Rounding to a double keeps the order, and equal numbers of all encodings round alike.
/// The last bits are cut because a double and a decimal count as equal when 15 digits agree.
fn number_hint(number: &Number) -> u64 {
    const CUT_BITS: u32 = 8;
    let nearest = match *number {
        Number::Integer(value) => value as f64,
        Number::Float(value) if value.is_nan() => return 0,
        // Adding zero makes the negative zero positive.
        Number::Float(value) => value + 0.0,
        Number::Decimal(value) => value.to_f64() + 0.0,
    };
    let bits = nearest.to_bits();
    let ordered = if nearest.is_sign_negative() { !bits } else { bits | 1 << 63 };
    ordered >> CUT_BITS
}

fn bytes_hint(bytes: &[u8]) -> u64 {
    let mut head = [0; 8];
    let size = bytes.len().min(HINT_BYTES);
    head[..size].copy_from_slice(&bytes[..size]);
    u64::from_be_bytes(head) >> 8
}

/// 36 bits of seconds (years -208 to 6325 around 1970's half), 24 bits of nanoseconds.
fn datetime_hint(datetime: &Datetime) -> u64 {
    const SECOND_BITS: u32 = 36;
    const NANOSECOND_BITS: u32 = HINT_VALUE_BITS - SECOND_BITS;
    const SECONDS_MIN: i64 = -(1 << (SECOND_BITS - 1));
    let seconds = datetime.epoch as i64 - SECONDS_MIN;
    if seconds < 0 {
        return 0;
    }
    if seconds >> SECOND_BITS != 0 {
        return HINT_VALUE_MAX;
    }
    let nanoseconds = datetime.nanosecond.max(0) as u64 >> (32 - NANOSECOND_BITS);
    (seconds as u64) << NANOSECOND_BITS | nanoseconds
}

#[cfg(test)]
mod tests {
    use super::super::decimal::Decimal;
    use super::super::msgpack::*;
    use super::*;
    use proptest::prelude::*;
    use std::hash::DefaultHasher;

    fn values() -> Vec<Vec<u8>> {
        let mut values = vec![vec![0xc0], vec![0xc2], vec![0xc3]];
        let mut add = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            values.push(out);
        };
        for number in [f64::NAN, f64::NEG_INFINITY, -1e30] {
            add(&|out| write_f64(out, number));
        }
        add(&|out| write_int(out, i64::MIN));
        add(&|out| write_int(out, -5));
        add(&|out| Decimal::parse(b"-4.5").unwrap().write(out));
        add(&|out| write_f32(out, 0.5));
        add(&|out| write_uint(out, 3));
        add(&|out| write_uint(out, u64::MAX));
        add(&|out| Decimal::parse(b"1E+30").unwrap().write(out));
        for text in ["", "a", "abcdefgh", "abcdefgi", "b"] {
            add(&|out| write_str(out, text.as_bytes()));
        }
        add(&|out| write_bin(out, b"a"));
        add(&|out| Uuid::NIL.write(out));
        add(&|out| Uuid([9; 16]).write(out));
        for epoch in [-1e13, 0.0, 1e13] {
            add(&|out| Datetime { epoch, ..Datetime::default() }.write(out));
        }
        values
    }

    #[test]
    fn classes_and_values_sort_as_tarantool_sorts_scalars() {
        let values = values();
        for (index, a) in values.iter().enumerate() {
            for (other, b) in values.iter().enumerate() {
                assert_eq!(compare(a, b, None), index.cmp(&other), "{} {}", text(a), text(b));
                assert!(hint(a, None) <= hint(b, None) || index > other);
            }
        }
    }

    #[test]
    fn equal_keys_hash_alike() {
        let mut one = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        write_uint(&mut one[0], 1);
        write_f64(&mut one[1], 1.0);
        write_f32(&mut one[2], 1.0);
        Decimal::parse(b"1.000").unwrap().write(&mut one[3]);
        let hashes = one.each_ref().map(|data| {
            let mut state = DefaultHasher::new();
            hash(data, None, &mut state);
            (state.finish(), hint(data, None))
        });
        assert!(hashes.iter().all(|pair| *pair == hashes[0]));
    }

    #[test]
    fn collated_strings_hash_and_hint_by_their_sort_key() {
        let collation = Collation::builtin(super::super::collation::UNICODE_CI_ID);
        let encode = |text: &str| {
            let mut out = Vec::new();
            write_str(&mut out, text.as_bytes());
            out
        };
        let (a, b) = (encode("Straße"), encode("STRASSE"));
        assert!(compare(&a, &b, collation).is_eq());
        let hashed = |data: &[u8]| {
            let mut state = DefaultHasher::new();
            hash(data, collation, &mut state);
            state.finish()
        };
        assert_eq!(hashed(&a), hashed(&b));
        assert_eq!(hint(&a, collation), hint(&b, collation));
        assert!(hint(&encode("a"), collation) < hint(&encode("B"), collation));
    }

    proptest! {
        #[test]
        fn hints_agree_with_order(a: f64, b: i64, c in "\\PC{0,9}", d in "\\PC{0,9}") {
            let mut values = vec![Vec::new(); 5];
            write_f64(&mut values[0], a);
            write_int(&mut values[1], b);
            write_f64(&mut values[2], b as f64);
            write_str(&mut values[3], c.as_bytes());
            write_str(&mut values[4], d.as_bytes());
            for id in [None, Some(1), Some(2)] {
                let collation = id.and_then(Collation::builtin);
                for a in &values {
                    for b in &values {
                        let (left, right) = (hint(a, collation), hint(b, collation));
                        if left != right {
                            prop_assert_eq!(left.cmp(&right), compare(a, b, collation));
                        }
                    }
                }
            }
        }
    }
}
