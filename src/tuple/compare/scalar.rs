//! Order of two values of a declared type: short ways for the types that most keys have, and the
//! general order of values for the others.

use std::cmp::Ordering;

use crate::tuple::field_type::FieldType;
use crate::tuple::item::{self, EXT_DECIMAL};
use crate::tuple::key_def::Part;
use crate::value::decimal::Decimal;
use crate::value::order;

/// Order of two values of this part's type, neither nil, with whatever follows behind them.
#[inline]
pub fn compare_values(part: &Part, left: &[u8], right: &[u8]) -> Ordering {
    use FieldType::{
        Decimal, Double, Float32, Float64, Int8, Int16, Int32, Int64, Integer, Number, String,
        Uint8, Uint16, Uint32, Uint64, Unsigned,
    };
    match part.kind {
        Unsigned | Uint8 | Uint16 | Uint32 | Uint64 => item::uint(left).cmp(&item::uint(right)),
        Integer | Int8 | Int16 | Int32 | Int64 => compare_integers(left, right),
        String => compare_strings(part, left, right),
        Number | Double | Float32 | Float64 | Decimal => order::compare_number(left, right),
        _ => order::compare(left, right, part.collator),
    }
}

/// Whether a value of a fixed-point decimal type has no more digits than the type; true for other
/// types.
pub fn fits_fixed_point(kind: FieldType, scale: i64, value: &[u8]) -> bool {
    let Some(precision) = kind.precision() else { return true };
    let Some((EXT_DECIMAL, payload)) = item::extension(value) else { return true };
    let Some(number) = Decimal::unpack(payload) else { return false };
    // Trailing zeros need no digits; those that the scale adds do.
    let (_, mut coefficient, exponent) = number.to_parts();
    let mut shift = i64::from(exponent).saturating_add(scale);
    while coefficient % 10 == 0 && coefficient != 0 {
        coefficient /= 10;
        shift = shift.saturating_add(1);
    }
    let digits = coefficient.checked_ilog10().map_or(1, |log| i64::from(log) + 1);
    coefficient == 0 || shift >= 0 && digits.saturating_add(shift) <= i64::from(precision)
}

#[inline]
fn compare_integers(left: &[u8], right: &[u8]) -> Ordering {
    match (item::uint(left), item::uint(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (None, None) => item::int(left).cmp(&item::int(right)),
        _ => order::compare_number(left, right),
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
