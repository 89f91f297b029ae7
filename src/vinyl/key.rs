//! Keys as bytes: two keys of an index compare as their encodings do by `memcmp`.
//!
//! An LSM tree knows only bytes, so the order of `tuple::compare` (types, mixed numbers,
//! collations, nil, descending parts) is put into them when a key is made. An index is keyed by its
//! full definition, the primary key's parts included, so that no two tuples have one key; requests
//! bring the first parts only, and [`Range`] says which full keys they mean.
//!
//! # Invariants
//! - No encoded part is the beginning of another one's, but for the definition's last part. So the
//!   keys that begin with a shorter key's bytes are those whose first parts are equal to it.
//! - Values that compare as equal (1 and 1.0, "a" and "A" in a collation without case) have the same
//!   bytes.
//! - A decimal meets a double at the double's 15 digits, as in memtx. That relation is no order (two
//!   doubles may be equal to one decimal); here the decimal is equal to the nearest double only.
//!
//! # Layout
//! A part that may be nil begins with 0 for nil and 1 for a value. All bytes of a descending part
//! are inverted. Then, by type:
//!
//! | type | bytes |
//! |---|---|
//! | integers | 0x80 + size, the size's bytes, big endian; for negative ones all inverted |
//! | numbers | the nearest double in an order of unsigned integers, then how the number relates to it |
//! | string, varbinary | the bytes (the collation's sort key), 0 as 0 0xff, then 0 1; as they are at the end |
//! | boolean | 0, 1 |
//! | uuid | its 16 bytes |
//! | datetime | 8 bytes of seconds, 4 of nanoseconds |
//! | scalar | the class, then the value as above |
//!
//! # Yields
//! never

use std::ops::Bound;

use super::Bytes;
use crate::base::Result;
use crate::client_error;
use crate::tuple::item;
use crate::tuple::{FieldType, KeyDef, Part, RawTuple, SortOrder};
use crate::value::collation::Collation;
use crate::value::datetime::Datetime;
use crate::value::decimal::Decimal;
use crate::value::msgpack::Reader;
use crate::value::number::Number;
use crate::value::order::{Class, class};
use crate::value::uuid::Uuid;

/// Longest key that a tree takes, in bytes.
pub const SIZE_MAX: usize = u16::MAX as usize;

/// `ER_UNSUPPORTED` for a key that no tree takes: what is written has to be asked first.
pub fn check_size(key: &[u8]) -> Result<()> {
    if key.len() > SIZE_MAX {
        return Err(client_error!(ER_UNSUPPORTED, "Vinyl", "keys longer than 65535 bytes"));
    }
    Ok(())
}

/// The key of a tuple, all parts of the definition.
pub fn of_tuple(def: &KeyDef, tuple: &RawTuple) -> Bytes {
    encode(def, def.part_count(), |part| part.value(tuple))
}

/// [`of_tuple`] for a tuple that is only bytes, a MessagePack array.
pub fn of_data(def: &KeyDef, data: &[u8]) -> Bytes {
    encode(def, def.part_count(), |part| part.value_in(data))
}

/// The bytes of a key of `part_count` parts, written one after another. With fewer parts than the
/// definition has it is where the keys with these parts begin.
pub fn of_parts(def: &KeyDef, key: &[u8], part_count: usize) -> Bytes {
    let mut rest = key;
    encode(def, part_count, |_| {
        let value = rest;
        rest = item::size(rest).and_then(|size| rest.get(size..)).unwrap_or(&[]);
        Some(value)
    })
}

/// Which full keys of an index a request means, in ascending order of bytes.
#[derive(Clone, Debug)]
pub struct Range {
    /// The lowest.
    pub start: Bound<Bytes>,
    /// The highest.
    pub end: Bound<Bytes>,
}

impl Range {
    /// All keys.
    pub const ALL: Range = Range { start: Bound::Unbounded, end: Bound::Unbounded };

    /// One full key.
    pub(super) fn one(key: &Bytes) -> Range {
        Range { start: Bound::Included(key.clone()), end: Bound::Included(key.clone()) }
    }

    /// Keys whose first parts are equal to these.
    pub fn equal(def: &KeyDef, key: &[u8], part_count: usize) -> Range {
        Range {
            start: Range::at_least(def, key, part_count).start,
            end: Range::at_most(def, key, part_count).end,
        }
    }

    /// Keys equal to or behind these parts; all of them for an empty key, as everywhere here.
    pub fn at_least(def: &KeyDef, key: &[u8], part_count: usize) -> Range {
        if part_count == 0 {
            return Range::ALL;
        }
        Range { start: Bound::Included(of_parts(def, key, part_count)), end: Bound::Unbounded }
    }

    /// Keys behind all that are equal to these parts.
    pub fn above(def: &KeyDef, key: &[u8], part_count: usize) -> Range {
        if part_count == 0 {
            return Range::ALL;
        }
        let bytes = of_parts(def, key, part_count);
        if part_count == def.part_count() {
            return Range { start: Bound::Excluded(bytes), end: Bound::Unbounded };
        }
        match successor(&bytes) {
            Some(next) => Range { start: Bound::Included(next), end: Bound::Unbounded },
            // Nothing is behind.
            None => Range { start: Bound::Excluded(bytes.clone()), end: Bound::Excluded(bytes) },
        }
    }

    /// Keys equal to or before these parts.
    pub fn at_most(def: &KeyDef, key: &[u8], part_count: usize) -> Range {
        if part_count == 0 {
            return Range::ALL;
        }
        let bytes = of_parts(def, key, part_count);
        let end = if part_count == def.part_count() {
            Bound::Included(bytes)
        } else {
            successor(&bytes).map_or(Bound::Unbounded, Bound::Excluded)
        };
        Range { start: Bound::Unbounded, end }
    }

    /// Keys before all that are equal to these parts.
    pub fn below(def: &KeyDef, key: &[u8], part_count: usize) -> Range {
        if part_count == 0 {
            return Range::ALL;
        }
        Range { start: Bound::Unbounded, end: Bound::Excluded(of_parts(def, key, part_count)) }
    }

    /// What of the range is behind a full key.
    #[must_use]
    pub fn after(self, key: Bytes) -> Range {
        Range { start: Bound::Excluded(key), end: self.end }
    }

    /// What of the range is before a full key.
    #[must_use]
    pub fn before(self, key: Bytes) -> Range {
        Range { start: self.start, end: Bound::Excluded(key) }
    }

    /// The same keys, as far as a tree has any, by bounds that it takes.
    pub(super) fn shortened(self) -> Range {
        // No key is as long as a bound that is too long, so none is between it and its beginning.
        let is_long = |bytes: &Bytes| bytes.len() > SIZE_MAX;
        let beginning = |bytes: &Bytes| Bytes::from(&bytes[..SIZE_MAX]);
        let start = match self.start {
            Bound::Included(bytes) | Bound::Excluded(bytes) if is_long(&bytes) => {
                Bound::Excluded(beginning(&bytes))
            }
            start => start,
        };
        let end = match self.end {
            Bound::Included(bytes) | Bound::Excluded(bytes) if is_long(&bytes) => {
                Bound::Included(beginning(&bytes))
            }
            end => end,
        };
        Range { start, end }
    }

    /// Whether the key is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        let is_above = match &self.start {
            Bound::Unbounded => true,
            Bound::Included(start) => key >= &**start,
            Bound::Excluded(start) => key > &**start,
        };
        is_above
            && match &self.end {
                Bound::Unbounded => true,
                Bound::Included(end) => key <= &**end,
                Bound::Excluded(end) => key < &**end,
            }
    }

    /// Whether no key can be in the range.
    pub fn is_empty(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Included(start), Bound::Included(end)) => start > end,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (
                Bound::Included(start) | Bound::Excluded(start),
                Bound::Included(end) | Bound::Excluded(end),
            ) => start >= end,
        }
    }
}

/// The least bytes above all that begin with these; `None` when there are none.
fn successor(bytes: &[u8]) -> Option<Bytes> {
    let last = bytes.iter().rposition(|&byte| byte != 0xff)?;
    let mut next = bytes[..=last].to_vec();
    next[last] += 1;
    Some(next.into())
}

fn encode<'a>(
    def: &KeyDef,
    part_count: usize,
    mut value: impl FnMut(&Part) -> Option<&'a [u8]>,
) -> Bytes {
    let mut out = Vec::with_capacity(32);
    for (index, part) in def.parts().iter().take(part_count).enumerate() {
        let value = value(part).unwrap_or(&[item::NIL]);
        encode_part(&mut out, part, value, index + 1 == def.part_count());
    }
    out.into()
}

fn encode_part(out: &mut Vec<u8>, part: &Part, value: &[u8], is_last: bool) {
    let is_descending = part.order == SortOrder::Descending;
    let start = out.len();
    // Inverted bytes of a string need an end to be less than those of a longer one.
    let is_last = is_last && !is_descending;
    let class = class(value);
    if part.is_nullable() {
        out.push(u8::from(class != Class::Nil));
    }
    if !(part.is_nullable() && class == Class::Nil) {
        encode_value(out, part, class, value, is_last);
    }
    if is_descending {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

fn encode_value(out: &mut Vec<u8>, part: &Part, class: Class, value: &[u8], is_last: bool) {
    use FieldType::{
        Any, Int8, Int16, Int32, Int64, Integer, Scalar, Uint8, Uint16, Uint32, Uint64, Unsigned,
    };
    match part.kind {
        Unsigned | Uint8 | Uint16 | Uint32 | Uint64 | Integer | Int8 | Int16 | Int32 | Int64 => {
            encode_integer(out, value);
        }
        Scalar | Any => {
            out.push(class as u8);
            encode_class(out, class, value, part.collator(), is_last);
        }
        _ => encode_class(out, class, value, part.collator(), is_last),
    }
}

fn encode_class(
    out: &mut Vec<u8>,
    class: Class,
    value: &[u8],
    collator: Option<&Collation>,
    is_last: bool,
) {
    let mut reader = Reader::new(value);
    match class {
        Class::Nil => {}
        Class::Bool => out.push(u8::from(item::boolean(value) == Some(true))),
        Class::Number => {
            if let Some(number) = Number::read(&mut reader) {
                encode_number(out, &number);
            }
        }
        Class::Str => {
            let text = item::string(value).unwrap_or_default();
            match collator {
                None => encode_bytes(out, text, is_last),
                Some(collator) => {
                    let mut key = Vec::with_capacity(2 * text.len() + 8);
                    collator.sort_key(text, &mut key);
                    encode_bytes(out, &key, is_last);
                }
            }
        }
        Class::Bin => encode_bytes(out, item::binary(value).unwrap_or_default(), is_last),
        Class::Uuid => {
            let Uuid(bytes) = Uuid::read(&mut reader).unwrap_or_default();
            out.extend_from_slice(&bytes);
        }
        Class::Datetime => {
            let datetime = Datetime::read(&mut reader).unwrap_or_default();
            out.extend_from_slice(&(datetime.epoch as i64 ^ i64::MIN).to_be_bytes());
            out.extend_from_slice(&(datetime.nanosecond ^ i32::MIN).to_be_bytes());
        }
        Class::Interval | Class::Array | Class::Map | Class::Other => {
            encode_bytes(out, reader.skip().unwrap_or_default(), is_last);
        }
    }
}

fn encode_bytes(out: &mut Vec<u8>, bytes: &[u8], is_last: bool) {
    if is_last {
        return out.extend_from_slice(bytes);
    }
    let mut rest = bytes;
    while let Some(zero) = memchr::memchr(0, rest) {
        out.extend_from_slice(&rest[..zero]);
        out.extend_from_slice(&[0, 0xff]);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[0, 1]);
}

fn encode_integer(out: &mut Vec<u8>, value: &[u8]) {
    const MIDDLE: u8 = 0x80;
    let (magnitude, is_negative) = match (item::uint(value), item::int(value)) {
        (Some(number), _) => (number, false),
        (None, Some(number)) if number < 0 => (number.unsigned_abs(), true),
        (None, number) => (number.unwrap_or(0).unsigned_abs(), false),
    };
    let size = 8 - magnitude.leading_zeros() as usize / 8;
    let bytes = magnitude.to_be_bytes();
    let bytes = &bytes[8 - size..];
    if is_negative {
        out.push(MIDDLE - size as u8);
        out.extend(bytes.iter().map(|byte| !byte));
    } else {
        out.push(MIDDLE + size as u8);
        out.extend_from_slice(bytes);
    }
}

/// How a number relates to the double it stands beside.
const BELOW: u8 = 0x7f;
const EQUAL: u8 = 0x80;
const ABOVE: u8 = 0x81;

fn encode_number(out: &mut Vec<u8>, number: &Number) {
    match *number {
        Number::Integer(value) => {
            let nearest = value as f64;
            encode_double(out, nearest);
            match value.cmp(&(nearest as i128)) {
                std::cmp::Ordering::Equal => out.push(EQUAL),
                relation => {
                    out.push(if relation.is_lt() { BELOW } else { ABOVE });
                    encode_decimal(out, value < 0, value.unsigned_abs(), 0);
                }
            }
        }
        Number::Float(value) => {
            encode_double(out, value);
            out.push(EQUAL);
        }
        Number::Decimal(value) => {
            // A decimal beyond the doubles is still below infinity.
            let nearest = value.to_f64().clamp(f64::MIN, f64::MAX);
            encode_double(out, nearest);
            match value.compare(&decimal_of(nearest)) {
                std::cmp::Ordering::Equal => out.push(EQUAL),
                relation => {
                    out.push(if relation.is_lt() { BELOW } else { ABOVE });
                    let (is_negative, coefficient, exponent) = value.to_parts();
                    encode_decimal(out, is_negative, coefficient, exponent);
                }
            }
        }
    }
}

/// The decimal that a double counts as beside decimals: its 15 digits; where integers are as
/// dense as doubles, exactly its value, so that integers fall into place between doubles.
fn decimal_of(value: f64) -> Decimal {
    const INTEGER_END: f64 = 18446744073709551616.0;
    const DIGITS_END: f64 = 1e15;
    let magnitude = value.abs();
    let exact = if magnitude >= INTEGER_END || (magnitude < DIGITS_END && value.fract() != 0.0) {
        None
    } else {
        // From 1e15 on a double has at most three binary digits after the point.
        let thousandths = value.trunc() as i128 * 1000 + (value.fract() * 1000.0) as i128;
        Decimal::from_parts(value < 0.0, thousandths.unsigned_abs(), -3)
    };
    exact.or_else(|| Decimal::from_f64(value)).unwrap_or_else(Decimal::zero)
}

/// NaN first, a quiet one behind a signalling one.
fn encode_double(out: &mut Vec<u8>, value: f64) {
    const QUIET: u64 = 0x8_0000_0000_0000;
    let ordered = if value.is_nan() {
        u64::from(value.to_bits() & QUIET != 0)
    } else {
        // Adding zero makes the negative zero positive.
        let bits = (value + 0.0).to_bits();
        if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
    };
    out.extend_from_slice(&ordered.to_be_bytes());
}

/// Sign, the place of the first digit, then the digits in pairs, each plus one, and a zero.
fn encode_decimal(out: &mut Vec<u8>, is_negative: bool, coefficient: u128, exponent: i32) {
    if coefficient == 0 {
        return out.push(1);
    }
    out.push(if is_negative { 0 } else { 2 });
    let start = out.len();
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(coefficient);
    let place = digits.len() as i32 + exponent;
    out.extend_from_slice(&(place ^ i32::MIN).to_be_bytes());
    let digits = digits.trim_end_matches('0').as_bytes();
    for pair in digits.chunks(2) {
        let low = pair.get(1).map_or(0, |digit| digit - b'0');
        out.push((pair[0] - b'0') * 10 + low + 1);
    }
    out.push(0);
    if is_negative {
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

#[cfg(test)]
mod tests;
