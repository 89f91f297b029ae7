//! Numbers across their encodings: integers, floats, decimals.
//!
//! Tarantool compares numbers by value whatever their encoding. Integers and floats compare
//! exactly; a float meets a decimal as the decimal of its 15 significant digits, so that 0.1 finds
//! `decimal.new('0.1')`. NaN is below everything.
//!
//! # Invariants
//! Equal numbers hash equally. Because of those 15 digits the hash looks at no more of them.

use std::cmp::Ordering;
use std::hash::Hasher;

use super::decimal::Decimal;
use super::msgpack::{Kind, Reader};

/// Integers below this have at most [`HASH_DIGITS`] digits.
const HASH_INTEGER_MAX: u128 = 10u128.pow(HASH_DIGITS);
/// Significant digits that a double surely has (C's `DBL_DIG`).
const HASH_DIGITS: u32 = 15;

/// A number of any encoding.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// An integer from `i64::MIN` to `u64::MAX`.
    Integer(i128),
    /// A float of either width.
    Float(f64),
    /// A decimal.
    Decimal(Decimal),
}

impl Number {
    /// Reads the next value if it is a number.
    #[inline]
    pub fn read(reader: &mut Reader<'_>) -> Option<Number> {
        match reader.kind()? {
            Kind::Uint | Kind::Int => reader.read_integer().map(Number::Integer),
            Kind::Float | Kind::Double => reader.read_f64().map(Number::Float),
            Kind::Ext => Decimal::read(reader).map(Number::Decimal),
            _ => None,
        }
    }

    /// Order by value.
    pub fn compare(&self, other: &Number) -> Ordering {
        match (*self, *other) {
            (Number::Integer(a), Number::Integer(b)) => a.cmp(&b),
            (Number::Float(a), Number::Float(b)) => compare_floats(a, b),
            (Number::Float(a), Number::Integer(b)) => compare_float_integer(a, b),
            (Number::Integer(a), Number::Float(b)) => compare_float_integer(b, a).reverse(),
            (Number::Decimal(a), Number::Decimal(b)) => a.compare(&b),
            (Number::Decimal(a), Number::Integer(b)) => a.compare(&integer_decimal(b)),
            (Number::Integer(a), Number::Decimal(b)) => integer_decimal(a).compare(&b),
            (Number::Decimal(a), Number::Float(b)) => compare_decimal_float(&a, b),
            (Number::Float(a), Number::Decimal(b)) => compare_decimal_float(&b, a).reverse(),
        }
    }

    /// Hashes consistently with [`Number::compare`].
    pub fn hash_value<H: Hasher>(&self, state: &mut H) {
        match *self {
            Number::Integer(value) => hash_scaled(value < 0, value.unsigned_abs(), 0, state),
            Number::Float(value) if value.fract() == 0.0 && value.abs() < 1e38 => {
                // Exact: 1e38 fits 128 bits.
                hash_scaled(value < 0.0, value.abs() as u128, 0, state);
            }
            Number::Float(value) => match Decimal::from_f64(value) {
                Some(decimal) => Number::Decimal(decimal).hash_value(state),
                None if value.is_nan() => state.write_u8(0),
                None => state.write_u8(if value > 0.0 { 2 } else { 1 }),
            },
            Number::Decimal(value) => {
                let (negative, coefficient, exponent) = value.to_parts();
                hash_scaled(negative, coefficient, exponent, state);
            }
        }
    }
}

fn integer_decimal(value: i128) -> Decimal {
    Decimal::from_i128(value).expect("an integer of 64 bits fits 38 digits")
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    /// Set in quiet NaNs, which Tarantool sorts above signalling ones.
    const QUIET: u64 = 0x8_0000_0000_0000;
    match a.partial_cmp(&b) {
        Some(ordering) => ordering,
        None if a.is_nan() && b.is_nan() => (a.to_bits() & QUIET).cmp(&(b.to_bits() & QUIET)),
        None => b.is_nan().cmp(&a.is_nan()),
    }
}

/// `value` is an integer of 64 bits, signed or not.
fn compare_float_integer(float: f64, value: i128) -> Ordering {
    const TWO_POW_64: f64 = 18446744073709551616.0;
    if float.is_nan() {
        return Ordering::Less;
    }
    if float.abs() >= TWO_POW_64 {
        return if float > 0.0 { Ordering::Greater } else { Ordering::Less };
    }
    let whole = float.trunc();
    let fraction = float - whole;
    (whole as i128).cmp(&value).then_with(|| compare_floats(fraction, 0.0))
}

fn compare_decimal_float(decimal: &Decimal, float: f64) -> Ordering {
    match Decimal::from_f64(float) {
        Some(other) => decimal.compare(&other),
        None if float.is_nan() || float < 0.0 => Ordering::Greater,
        None => Ordering::Less,
    }
}

/// Hashes `±coefficient * 10^exponent`, rounded to 15 significant digits as `%.15g` rounds.
fn hash_scaled<H: Hasher>(negative: bool, coefficient: u128, exponent: i32, state: &mut H) {
    let (mut coefficient, mut exponent) = (coefficient, exponent);
    if coefficient >= HASH_INTEGER_MAX {
        let excess = coefficient.ilog10() + 1 - HASH_DIGITS;
        let power = 10u128.pow(excess);
        let (quotient, remainder) = (coefficient / power, coefficient % power);
        // Half to even, which is how C and we print a double that lies just between.
        let up = remainder > power / 2 || (remainder == power / 2 && quotient % 2 == 1);
        coefficient = quotient + up as u128;
        exponent = exponent.saturating_add(excess as i32);
    }
    if coefficient == 0 {
        return state.write_u64(0);
    }
    while coefficient % 10 == 0 {
        coefficient /= 10;
        exponent += 1;
    }
    if (0..HASH_DIGITS as i32).contains(&exponent) {
        let whole = coefficient * 10u128.pow(exponent as u32);
        if whole < HASH_INTEGER_MAX {
            coefficient = whole;
            exponent = 0;
        }
    }
    let signed = if negative { -(coefficient as i64) } else { coefficient as i64 };
    state.write_i64(signed);
    if exponent != 0 {
        state.write_i32(exponent);
    }
}

/// C's `%.{digits}g`: so many significant digits, trailing zeros dropped.
pub fn format_general(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let digits = digits.max(1);
    if let Some(short) = format_short(value, digits) {
        return short;
    }
    // `{:e}` rounds correctly to the digits asked for, so its exponent is the one `%g` decides by.
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) =
        scientific.split_once('e').expect("`{:e}` always prints an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent of a double is a small integer");
    if exponent < -4 || exponent >= digits as i32 {
        let mantissa = trim_zeros(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    let fraction = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
    trim_zeros(&format!("{value:.fraction$}")).to_owned()
}

/// The shortest text that reads back as the same number, where that is what `%g` prints: it has
/// no more digits than asked for, and no more than 15, which every double tells apart.
fn format_short(value: f64, digits: usize) -> Option<String> {
    let magnitude = value.abs();
    if digits > 15 || !(1e-4..1e15).contains(&magnitude) {
        return None;
    }
    let mut buffer = ryu::Buffer::new();
    let text = trim_zeros(buffer.format_finite(value));
    let count = text.bytes().filter(u8::is_ascii_digit).count();
    // Zeros in front count too, so this errs on the slow side; and none may stand behind.
    (count <= digits && !text.contains('e') && magnitude < 10f64.powi(digits as i32))
        .then(|| text.to_owned())
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Number {
        Number::Decimal(Decimal::parse(text.as_bytes()).unwrap())
    }

    fn hash(number: Number) -> u64 {
        let mut state = std::hash::DefaultHasher::new();
        number.hash_value(&mut state);
        state.finish()
    }

    #[test]
    fn order_is_exact_across_encodings() {
        let sorted = [
            Number::Float(f64::NAN),
            Number::Float(f64::NEG_INFINITY),
            decimal("-1E+400"),
            Number::Float(-1e300),
            Number::Integer(i64::MIN as i128),
            Number::Float(-0.5),
            Number::Integer(0),
            decimal("1E-400"),
            Number::Float(0.5),
            Number::Integer(9007199254740993),
            Number::Float(9007199254740994.0),
            Number::Integer(u64::MAX as i128),
            Number::Float(18446744073709551616.0),
            Number::Float(f64::INFINITY),
        ];
        for (index, a) in sorted.iter().enumerate() {
            for (other, b) in sorted.iter().enumerate() {
                assert_eq!(a.compare(b), index.cmp(&other), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn equal_numbers_hash_equally() {
        let equal = [
            vec![Number::Integer(1), Number::Float(1.0), decimal("1"), decimal("1.00")],
            vec![Number::Integer(0), Number::Float(-0.0), decimal("0E+5"), decimal("-0.0")],
            vec![Number::Float(0.1), decimal("0.1"), Number::Float(0.1f32 as f64 - 1.490116e-9)],
            vec![Number::Float(1e22), decimal("1E+22")],
            vec![Number::Integer(1 << 63), Number::Float(9223372036854775808.0)],
            vec![Number::Float(1e15), Number::Integer(10i128.pow(15)), decimal("1E+15")],
            vec![Number::Float(1e300), decimal("1E+300")],
        ];
        for class in equal {
            for b in &class[1..] {
                if class[0].compare(b).is_eq() {
                    assert_eq!(hash(class[0]), hash(*b), "{:?} {b:?}", class[0]);
                }
            }
            assert!(class[0].compare(&class[1]).is_eq());
        }
    }

    proptest! {
        #[test]
        fn whatever_compares_equal_hashes_equally(
            integer in any::<i64>(), scale in 0i32..20, float: f64,
        ) {
            let decimal = Decimal::from_parts(
                integer < 0, integer.unsigned_abs() as u128, -scale,
            ).unwrap();
            let numbers = [
                Number::Integer(integer as i128),
                Number::Float(integer as f64),
                Number::Float(decimal.to_f64()),
                Number::Decimal(decimal),
                Number::Decimal(Decimal::from(integer)),
                Number::Float(float),
                Number::Decimal(Decimal::from_f64(decimal.to_f64()).unwrap()),
                Number::Decimal(Decimal::from_f64(integer as f64).unwrap()),
            ];
            for a in numbers {
                for b in numbers {
                    prop_assert_eq!(a.compare(&b), b.compare(&a).reverse());
                    if a.compare(&b).is_eq() {
                        prop_assert_eq!(hash(a), hash(b), "{:?} {:?}", a, b);
                    }
                }
            }
        }

        #[test]
        fn shortest_general_format_parses_back(value: f64) {
            if value.is_finite() {
                let text = format_general(value, 17);
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits());
            }
        }
    }

    #[test]
    fn general_format_matches_c() {
        for (value, digits, expected) in [
            (0.0, 6, "0"),
            (-0.0, 6, "-0"),
            (100000.0, 6, "100000"),
            (1000000.0, 6, "1e+06"),
            (0.0001, 6, "0.0001"),
            (0.00001, 6, "1e-05"),
            (999999.5, 6, "1e+06"),
            (0.1 + 0.2, 14, "0.3"),
            (0.1 + 0.2, 17, "0.30000000000000004"),
            (1e100, 14, "1e+100"),
            (123456789012.5, 14, "123456789012.5"),
            (f64::INFINITY, 14, "inf"),
        ] {
            assert_eq!(format_general(value, digits), expected);
        }
    }
}
