//! Order and hash of two values.

use std::cmp::Ordering;
use std::hash::Hasher;

use crate::tuple::field_type::FieldType;
use crate::tuple::item::{self, EXT_DATETIME, EXT_DECIMAL, EXT_INTERVAL, EXT_UUID, Kind};
use crate::tuple::key_def::Part;
use crate::value::decimal::Decimal;

/// Classes of values in the order in which a scalar index sorts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// nil
    Nil,
    /// A boolean.
    Boolean,
    /// An integer, a float or a decimal.
    Number,
    /// A string.
    String,
    /// Binary data.
    Binary,
    /// A uuid.
    Uuid,
    /// A datetime.
    Datetime,
    /// An interval; it has no order.
    Interval,
    /// An array; it has no order.
    Array,
    /// A map; it has no order.
    Map,
    /// Any other extension; it has no order.
    Unknown,
}

/// The class of the value at the start of `data`.
#[inline]
pub fn class_of(data: &[u8]) -> Class {
    match item::kind(data) {
        Kind::Nil => Class::Nil,
        Kind::Bool => Class::Boolean,
        Kind::Uint | Kind::Int | Kind::Float | Kind::Double => Class::Number,
        Kind::Str => Class::String,
        Kind::Bin => Class::Binary,
        Kind::Array => Class::Array,
        Kind::Map => Class::Map,
        Kind::Ext => match item::extension(data) {
            Some((EXT_DECIMAL, _)) => Class::Number,
            Some((EXT_UUID, _)) => Class::Uuid,
            Some((EXT_DATETIME, _)) => Class::Datetime,
            Some((EXT_INTERVAL, _)) => Class::Interval,
            _ => Class::Unknown,
        },
    }
}

/// Order of two values of this part's type, neither nil, with whatever follows behind them.
#[inline]
pub fn compare_values(part: &Part, left: &[u8], right: &[u8]) -> Ordering {
    use FieldType::{
        Boolean, Datetime, Int8, Int16, Int32, Int64, Integer, Scalar, String, Uint8, Uint16,
        Uint32, Uint64, Unsigned, Uuid, Varbinary,
    };
    match part.kind {
        Unsigned | Uint8 | Uint16 | Uint32 | Uint64 => item::uint(left).cmp(&item::uint(right)),
        Integer | Int8 | Int16 | Int32 | Int64 => compare_integers(left, right),
        String => compare_strings(part, left, right),
        Boolean => item::boolean(left).cmp(&item::boolean(right)),
        Varbinary => item::binary(left).cmp(&item::binary(right)),
        Uuid => compare_payloads(left, right),
        Datetime => datetime(left).cmp(&datetime(right)),
        Scalar => compare_scalars(part, left, right),
        // Numbers of all encodings; any other type has no order and makes no key part.
        _ => compare_numbers(left, right),
    }
}

/// Feeds a value of this part to a hash; values that compare equal feed the same.
pub(super) fn hash_value(hasher: &mut impl Hasher, part: &Part, value: &[u8]) {
    match class_of(value) {
        Class::Number => hash_number(hasher, value),
        Class::String => {
            let text = item::string(value).unwrap_or(&[]);
            match part.collator {
                Some(collator) => collator.hash(text, hasher),
                None => hasher.write(text),
            }
        }
        Class::Datetime => {
            let (seconds, nanoseconds) = datetime(value);
            hasher.write_i64(seconds);
            hasher.write_i32(nanoseconds);
        }
        class => {
            hasher.write_u8(class as u8);
            hasher.write(item::size(value).and_then(|size| value.get(..size)).unwrap_or(&[]));
        }
    }
}

/// A prefix of the order of numbers, or of datetimes: greater values never have smaller prefixes.
pub fn number_prefix(value: &[u8]) -> u64 {
    let number = match class_of(value) {
        Class::Datetime => return datetime_prefix(value),
        _ => number(value),
    };
    let whole = match number {
        Number::Integer(number) => number,
        Number::Float(number) => whole_part(number),
        Number::Decimal(number) => number.to_i128().unwrap_or(match number.is_negative() {
            true => i128::MIN,
            false => i128::MAX,
        }),
    };
    const MIDDLE: i128 = 1 << 63;
    whole.saturating_add(MIDDLE).clamp(0, i128::from(u64::MAX)) as u64
}

/// Whether a value of a fixed-point decimal type has no more digits than the type; true for other
/// types.
pub fn fits_fixed_point(kind: FieldType, scale: i64, value: &[u8]) -> bool {
    let Some(precision) = kind.precision() else { return true };
    let Some((EXT_DECIMAL, payload)) = item::extension(value) else { return true };
    let Some(number) = Decimal::unpack(payload) else { return false };
    let Some(scaled) = number.rescale(scale) else { return false };
    scaled.compare(&number) == Ordering::Equal && scaled.precision() <= precision
}

/// A number of any encoding.
enum Number {
    Integer(i128),
    Float(f64),
    Decimal(Decimal),
}

#[inline]
fn number(value: &[u8]) -> Number {
    if let Some(number) = item::uint(value) {
        return Number::Integer(i128::from(number));
    }
    if let Some(number) = item::int(value) {
        return Number::Integer(i128::from(number));
    }
    if let Some(number) = item::double(value) {
        return Number::Float(number);
    }
    let payload = item::extension(value).map_or(&[][..], |(_, payload)| payload);
    Number::Decimal(Decimal::unpack(payload).unwrap_or_else(Decimal::zero))
}

#[inline]
fn compare_integers(left: &[u8], right: &[u8]) -> Ordering {
    match (item::uint(left), item::uint(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (None, None) => item::int(left).cmp(&item::int(right)),
        // One is written as signed; it may still not be negative.
        (left_uint, right_uint) => {
            let wide = |uint: Option<u64>, data| match uint {
                Some(number) => i128::from(number),
                None => i128::from(item::int(data).unwrap_or(0)),
            };
            wide(left_uint, left).cmp(&wide(right_uint, right))
        }
    }
}

#[inline]
fn compare_strings(part: &Part, left: &[u8], right: &[u8]) -> Ordering {
    let (left, right) = (item::string(left), item::string(right));
    match (part.collator, left, right) {
        (Some(collator), Some(left), Some(right)) => collator.compare(left, right),
        _ => left.cmp(&right),
    }
}

fn compare_scalars(part: &Part, left: &[u8], right: &[u8]) -> Ordering {
    let class = class_of(left);
    class.cmp(&class_of(right)).then_with(|| match class {
        Class::Boolean => item::boolean(left).cmp(&item::boolean(right)),
        Class::Number => compare_numbers(left, right),
        Class::String => compare_strings(part, left, right),
        Class::Binary => item::binary(left).cmp(&item::binary(right)),
        Class::Uuid => compare_payloads(left, right),
        Class::Datetime => datetime(left).cmp(&datetime(right)),
        Class::Nil | Class::Interval | Class::Array | Class::Map | Class::Unknown => {
            Ordering::Equal
        }
    })
}

/// Order of two numbers by value, whatever their encodings. NaN is the least number.
pub fn compare_numbers(left: &[u8], right: &[u8]) -> Ordering {
    use Number::{Decimal, Float, Integer};
    match (number(left), number(right)) {
        (Integer(left), Integer(right)) => left.cmp(&right),
        (Float(left), Float(right)) => compare_floats(left, right),
        (Float(left), Integer(right)) => compare_float_with_integer(left, right),
        (Integer(left), Float(right)) => compare_float_with_integer(right, left).reverse(),
        (Decimal(left), Decimal(right)) => left.compare(&right),
        (Decimal(left), Integer(right)) => compare_decimal_with_integer(&left, right),
        (Integer(left), Decimal(right)) => compare_decimal_with_integer(&right, left).reverse(),
        (Decimal(left), Float(right)) => compare_decimal_with_float(&left, right),
        (Float(left), Decimal(right)) => compare_decimal_with_float(&right, left).reverse(),
    }
}

fn compare_floats(left: f64, right: f64) -> Ordering {
    // The most significant bit of the fraction tells quiet NaNs from signaling ones.
    const QUIET: u64 = 1 << 51;
    left.partial_cmp(&right).unwrap_or_else(|| match (left.is_nan(), right.is_nan()) {
        (true, true) => (left.to_bits() & QUIET).cmp(&(right.to_bits() & QUIET)),
        (left_is_nan, right_is_nan) => right_is_nan.cmp(&left_is_nan),
    })
}

fn compare_float_with_integer(left: f64, right: i128) -> Ordering {
    if left.is_nan() {
        return Ordering::Less;
    }
    // The cast saturates far outside of what an encoded integer can be.
    let whole = left.trunc();
    (whole as i128).cmp(&right).then_with(|| compare_floats(left, whole))
}

fn compare_decimal_with_integer(left: &Decimal, right: i128) -> Ordering {
    match Decimal::from_i128(right) {
        Some(right) => left.compare(&right),
        None => Ordering::Equal,
    }
}

fn compare_decimal_with_float(left: &Decimal, right: f64) -> Ordering {
    match decimal_of_float(right) {
        Some(right) => left.compare(&right),
        None if right.is_nan() || right < 0.0 => Ordering::Greater,
        None => Ordering::Less,
    }
}

/// From here on floats have no 15 digits of precision below the point.
const FLOAT_WHOLE_MIN: f64 = 1e15;

/// The decimal that a float is compared as; `None` for NaN and what is out of range.
///
/// Small floats stand for their 15 significant digits, so that 0.1 equals the decimal 0.1. Large
/// ones are exact: rounding would make one float equal to integers that differ, and an index
/// would have no order.
fn decimal_of_float(value: f64) -> Option<Decimal> {
    if value.abs() < FLOAT_WHOLE_MIN || !value.is_finite() {
        return Decimal::from_f64(value);
    }
    if value.abs() >= 1e38 {
        return None;
    }
    Decimal::parse(format!("{value:.3}").as_bytes())
}

/// The whole part of a float as [`decimal_of_float`] sees it, saturated; the least for NaN.
fn whole_part(value: f64) -> i128 {
    if value.is_nan() {
        return i128::MIN;
    }
    let whole = value.trunc();
    let missing = 1.0 - (value - whole).abs();
    if value.abs() < FLOAT_WHOLE_MIN && missing <= 1e-14 * value.abs() {
        // So close to the next integer that 15 digits may round to it.
        return decimal_of_float(value).and_then(|value| value.to_i128()).unwrap_or(whole as i128);
    }
    whole as i128
}

fn hash_number(hasher: &mut impl Hasher, value: &[u8]) {
    let decimal = match number(value) {
        Number::Integer(number) => return hasher.write_i128(number),
        Number::Float(number) => {
            let whole = number.trunc();
            if whole == number && whole.abs() < 1e38 {
                return hasher.write_i128(whole as i128);
            }
            match decimal_of_float(number) {
                Some(decimal) => decimal,
                // All NaNs may be equal to a look-up; infinities have one encoding of each width.
                None if number.is_nan() => return hasher.write_u8(0),
                None => return hasher.write_u64(number.to_bits()),
            }
        }
        Number::Decimal(number) => number,
    };
    let (is_negative, coefficient, exponent) = decimal.trim().to_parts();
    match decimal.to_i128() {
        Some(whole) if exponent >= 0 || coefficient == 0 => hasher.write_i128(whole),
        _ => {
            hasher.write_u8(u8::from(is_negative));
            hasher.write_u128(coefficient);
            hasher.write_i32(exponent);
        }
    }
}

/// Seconds and nanoseconds of a datetime; its offset does not count.
fn datetime(value: &[u8]) -> (i64, i32) {
    let payload = item::extension(value).map_or(&[][..], |(_, payload)| payload);
    let seconds = payload.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
    let nanoseconds = payload.get(8..12).and_then(|bytes| bytes.try_into().ok());
    (seconds, nanoseconds.map_or(0, i32::from_le_bytes))
}

/// 36 bits of seconds (years -208 to 6325), then the high bits of the nanoseconds.
fn datetime_prefix(value: &[u8]) -> u64 {
    const SECONDS_BITS: u32 = 36;
    let (seconds, nanoseconds) = datetime(value);
    let middle = 1i64 << (SECONDS_BITS - 1);
    match seconds.checked_add(middle) {
        Some(shifted) if shifted < 0 => 0,
        Some(shifted) if shifted < 2 * middle => {
            let fraction = u64::from(nanoseconds.clamp(0, 999_999_999).unsigned_abs()) >> 4;
            (shifted as u64) << (64 - SECONDS_BITS) | fraction
        }
        Some(_) => u64::MAX,
        None => u64::MAX,
    }
}

#[inline]
fn compare_payloads(left: &[u8], right: &[u8]) -> Ordering {
    let payload = |data| item::extension(data).map(|(_, payload)| payload);
    payload(left).cmp(&payload(right))
}
