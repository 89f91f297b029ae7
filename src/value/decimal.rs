//! Decimals of up to 38 digits, as Tarantool's `decimal`.
//!
//! The arithmetic is decNumber's (crate `dec`), with Tarantool's context: 38 digits, halves round
//! away from zero. An operation whose result is not a finite number returns `None`; the caller
//! words the error.
//!
//! # Layout
//! MessagePack extension 1: the scale (negated exponent) as a MessagePack integer, then packed
//! BCD, two digits a byte, whose last half byte is the sign (0xC plus, 0xD minus).
//! In memory a decimal is decNumber's struct, which Lua declares as the cdata `decimal_t`.

use std::cmp::Ordering;
use std::fmt;

use dec::{Context, Rounding};

use super::msgpack::{EXT_DECIMAL, Reader, write_ext, write_int};
use super::number::format_general;

/// Most significant digits.
pub const DIGITS_MAX: u32 = 38;
/// Largest and, negated, smallest adjusted exponent.
const EXPONENT_MAX: isize = 999_999;
/// 38 digits in units of three.
const UNIT_COUNT: usize = 13;

type Inner = dec::Decimal<UNIT_COUNT>;

/// A finite decimal number. `1.0` and `1.00` are equal but print differently.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Decimal(Inner);

fn context() -> Context<Inner> {
    let mut context = Context::<Inner>::default();
    context.set_precision(DIGITS_MAX as usize).expect("38 digits fit 13 units");
    context.set_max_exponent(EXPONENT_MAX).expect("within decNumber's bounds");
    context.set_min_exponent(-EXPONENT_MAX).expect("within decNumber's bounds");
    context.set_rounding(Rounding::HalfUp);
    context
}

/// The value if the operation succeeded. Lost digits are no failure, a result out of range is.
fn finish(context: &Context<Inner>, value: Inner) -> Option<Decimal> {
    let status = context.status();
    let failed = status.conversion_syntax()
        || status.division_by_zero()
        || status.division_impossible()
        || status.division_undefined()
        || status.insufficient_storage()
        || status.invalid_context()
        || status.invalid_operation()
        || status.overflow();
    (!failed && value.is_finite()).then_some(Decimal(value))
}

fn unary(
    value: &Decimal,
    operation: impl FnOnce(&mut Context<Inner>, &mut Inner),
) -> Option<Decimal> {
    let mut context = context();
    let mut result = value.0;
    operation(&mut context, &mut result);
    finish(&context, result)
}

impl Decimal {
    /// Zero.
    pub fn zero() -> Decimal {
        Decimal(Inner::zero())
    }

    /// Parses text such as `-1.5` or `12e-7`, rounding to 38 digits. `None` for anything else,
    /// `nan` and `inf` included.
    pub fn parse(text: &[u8]) -> Option<Decimal> {
        let mut context = context();
        let value = context.parse(text).ok()?;
        finish(&context, value)
    }

    /// Parses the longest decimal at the start of `text` and returns it with its size.
    pub fn parse_prefix(text: &[u8]) -> Option<(Decimal, usize)> {
        let size = number_prefix_size(text);
        Decimal::parse(&text[..size]).map(|value| (value, size))
    }

    /// The decimal of a float's 15 significant digits, which are all that a double surely has.
    pub fn from_f64(value: f64) -> Option<Decimal> {
        if !value.is_finite() {
            return None;
        }
        Decimal::parse(format_general(value, 15).as_bytes())
    }

    /// The decimal of an integer with at most 38 digits.
    pub fn from_i128(value: i128) -> Option<Decimal> {
        Decimal::from_parts(value < 0, value.unsigned_abs(), 0)
    }

    /// `±coefficient * 10^exponent`, unrounded. `None` with more than 38 digits or out of range.
    pub fn from_parts(negative: bool, coefficient: u128, exponent: i32) -> Option<Decimal> {
        let mut units = [0u16; UNIT_COUNT];
        let mut rest = coefficient;
        for unit in &mut units {
            *unit = (rest % 1000) as u16;
            rest /= 1000;
        }
        let digits = coefficient.checked_ilog10().unwrap_or(0) + 1;
        if digits > DIGITS_MAX {
            return None;
        }
        const SIGN: u8 = 0x80;
        let value = Inner::from_raw_parts(digits, exponent, if negative { SIGN } else { 0 }, units);
        Decimal(value).in_range()
    }

    /// Sign, coefficient and exponent.
    pub fn to_parts(&self) -> (bool, u128, i32) {
        let units = self.0.coefficient_units();
        let coefficient = units.iter().rev().fold(0, |sum, &unit| sum * 1000 + unit as u128);
        (self.0.is_negative(), coefficient, self.0.exponent())
    }

    fn in_range(self) -> Option<Decimal> {
        let digits = self.0.digits() as i64;
        let adjusted = self.0.exponent() as i64 + digits - 1;
        let exponent_max = EXPONENT_MAX as i64;
        let smallest = -exponent_max - DIGITS_MAX as i64 + 1;
        // Below the smallest exponent there is less precision the smaller the number is.
        let fits = adjusted >= -exponent_max
            || (adjusted >= smallest && digits <= adjusted - smallest + 1);
        (digits <= DIGITS_MAX as i64 && adjusted <= exponent_max && fits).then_some(self)
    }

    /// Whether it is below zero. Negative zero is not.
    pub fn is_negative(&self) -> bool {
        self.0.is_negative() && !self.0.is_zero()
    }

    /// Whether it is zero of either sign.
    pub fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// Whether it is written without a fraction (exponent 0).
    pub fn is_int(&self) -> bool {
        self.0.exponent() == 0
    }

    /// Number of digits, leading and trailing zeros of the plain notation included.
    pub fn precision(&self) -> u32 {
        let (digits, exponent) = (self.0.digits(), self.0.exponent());
        if exponent <= 0 { digits.max(exponent.unsigned_abs()) } else { digits + exponent as u32 }
    }

    /// Number of digits after the point.
    pub fn scale(&self) -> u32 {
        self.0.exponent().min(0).unsigned_abs()
    }

    /// The value without its fraction, when it fits.
    pub fn to_i128(&self) -> Option<i128> {
        let (negative, coefficient, exponent) = self.to_parts();
        let magnitude = if coefficient == 0 {
            0
        } else if exponent >= 0 {
            coefficient.checked_mul(10u128.checked_pow(exponent as u32)?)?
        } else {
            // A divisor beyond u128 leaves nothing of 38 digits.
            10u128.checked_pow(exponent.unsigned_abs()).map_or(0, |power| coefficient / power)
        };
        let magnitude = i128::try_from(magnitude).ok()?;
        Some(if negative { -magnitude } else { magnitude })
    }

    /// The value without its fraction as `int64_t`.
    pub fn to_i64(&self) -> Option<i64> {
        self.to_i128()?.try_into().ok()
    }

    /// The value without its fraction as `uint64_t`.
    pub fn to_u64(&self) -> Option<u64> {
        self.to_i128()?.try_into().ok()
    }

    /// The nearest double.
    pub fn to_f64(&self) -> f64 {
        let (negative, coefficient, exponent) = self.to_parts();
        let sign = if negative { "-" } else { "" };
        // The text form is one that the standard library parses with correct rounding.
        format!("{sign}{coefficient}e{exponent}").parse().unwrap_or(f64::NAN)
    }

    /// Rounds to `scale` digits after the point, halves away from zero. `None` if `scale` is out
    /// of range.
    pub fn round(&self, scale: i64) -> Option<Decimal> {
        self.round_to(scale, Rounding::HalfUp)
    }

    /// Cuts off all but `scale` digits after the point.
    pub fn floor(&self, scale: i64) -> Option<Decimal> {
        self.round_to(scale, Rounding::Down)
    }

    fn round_to(&self, scale: i64, rounding: Rounding) -> Option<Decimal> {
        if !(0..=DIGITS_MAX as i64).contains(&scale) {
            return None;
        }
        if scale >= self.scale() as i64 {
            return Some(*self);
        }
        let mut context = context();
        context.set_rounding(rounding);
        let mut result = self.0;
        let exponent = Inner::from(-(scale as i32));
        context.rescale(&mut result, &exponent);
        finish(&context, result)
    }

    /// Rounds or pads to `scale` digits after the point. `None` when that takes over 38 digits.
    pub fn rescale(&self, scale: i64) -> Option<Decimal> {
        if scale < 0 {
            return None;
        }
        if scale <= self.scale() as i64 {
            return self.round(scale);
        }
        let delta = scale + self.0.exponent() as i64;
        if scale > DIGITS_MAX as i64 || self.0.digits() as i64 + delta > DIGITS_MAX as i64 {
            return None;
        }
        unary(self, |context, value| context.rescale(value, &Inner::from(-(scale as i32))))
    }

    /// Without trailing zeros after the point.
    pub fn trim(&self) -> Decimal {
        let mut result = self.0;
        result.trim();
        Decimal(result)
    }

    /// `|self|`.
    pub fn abs(&self) -> Decimal {
        if self.0.is_negative() { self.minus() } else { *self }
    }

    /// `-self`; zero stays positive.
    pub fn minus(&self) -> Decimal {
        let (negative, coefficient, exponent) = self.to_parts();
        Decimal::from_parts(!negative && coefficient != 0, coefficient, exponent)
            .expect("the negation of a decimal in range is in range")
    }

    /// `self + other`.
    pub fn add(&self, other: &Decimal) -> Option<Decimal> {
        unary(self, |context, value| context.add(value, &other.0))
    }

    /// `self - other`.
    pub fn sub(&self, other: &Decimal) -> Option<Decimal> {
        unary(self, |context, value| context.sub(value, &other.0))
    }

    /// `self * other`.
    pub fn mul(&self, other: &Decimal) -> Option<Decimal> {
        unary(self, |context, value| context.mul(value, &other.0))
    }

    /// `self / other`.
    pub fn div(&self, other: &Decimal) -> Option<Decimal> {
        unary(self, |context, value| context.div(value, &other.0))
    }

    /// What remains of `self` after division by `other`, with the sign of `self`.
    pub fn remainder(&self, other: &Decimal) -> Option<Decimal> {
        unary(self, |context, value| context.rem(value, &other.0))
    }

    /// `self` to the power of `other`.
    pub fn pow(&self, other: &Decimal) -> Option<Decimal> {
        unary(self, |context, value| context.pow(value, &other.0))
    }

    /// e to the power of `self`.
    pub fn exp(&self) -> Option<Decimal> {
        unary(self, |context, value| context.exp(value))
    }

    /// Natural logarithm.
    pub fn ln(&self) -> Option<Decimal> {
        let mut context = context();
        // decNumber's series does not end when the result lies below the smallest exponent;
        // for 1 + 1e-37 it is 1e-37, so this bound is enough, and the rounding undoes it.
        context.set_min_exponent(-(DIGITS_MAX as isize)).expect("within decNumber's bounds");
        let mut result = self.0;
        context.ln(&mut result);
        finish(&context, result)?.round(DIGITS_MAX as i64 - 1)
    }

    /// Decimal logarithm.
    pub fn log10(&self) -> Option<Decimal> {
        unary(self, |context, value| context.log10(value))
    }

    /// Square root.
    pub fn sqrt(&self) -> Option<Decimal> {
        unary(self, |context, value| context.sqrt(value))
    }

    /// Order by value: `1.0` equals `1.00`.
    pub fn compare(&self, other: &Decimal) -> Ordering {
        context().partial_cmp(&self.0, &other.0).expect("decimals are finite")
    }

    /// Appends the payload of the extension.
    pub fn pack(&self, out: &mut Vec<u8>) {
        write_int(out, -(self.0.exponent() as i64));
        let (negative, coefficient, _) = self.to_parts();
        let size = self.0.digits() as usize / 2 + 1;
        let start = out.len();
        out.resize(start + size, 0);
        let mut rest = coefficient;
        for (index, byte) in out[start..].iter_mut().rev().enumerate() {
            let mut digit = || {
                let digit = (rest % 10) as u8;
                rest /= 10;
                digit
            };
            let low = match index {
                0 if negative => 0x0d,
                0 => 0x0c,
                _ => digit(),
            };
            *byte = digit() << 4 | low;
        }
    }

    /// Decodes the payload of the extension; `None` if it is not a decimal in range.
    pub fn unpack(payload: &[u8]) -> Option<Decimal> {
        let mut reader = Reader::new(payload);
        let scale = i32::try_from(reader.read_int()?).ok()?;
        let (&last, digits) = reader.rest().split_last()?;
        // 39 digits fit the memory form, so Tarantool accepts that many bytes.
        if digits.len() >= (UNIT_COUNT * 3).div_ceil(2) {
            return None;
        }
        let negative = match last & 0x0f {
            0x0a | 0x0c | 0x0e | 0x0f => false,
            0x0b | 0x0d => true,
            _ => return None,
        };
        let mut coefficient = 0u128;
        let halves = digits.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
        for digit in halves.chain([last >> 4]) {
            if digit > 9 {
                return None;
            }
            coefficient = coefficient.checked_mul(10)?.checked_add(digit as u128)?;
        }
        Decimal::from_parts(negative, coefficient, scale.checked_neg()?)
    }

    /// Appends the decimal as MessagePack.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(26);
        self.pack(&mut payload);
        write_ext(out, EXT_DECIMAL, &payload);
    }

    /// Reads a decimal, leaving the reader in place when the next value is none.
    pub fn read(reader: &mut Reader<'_>) -> Option<Decimal> {
        let mut ahead = *reader;
        let (EXT_DECIMAL, payload) = ahead.read_ext()? else { return None };
        let value = Decimal::unpack(payload)?;
        *reader = ahead;
        Some(value)
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Decimal {
        Decimal::from_i128(value as i128).expect("19 digits fit 38")
    }
}

impl From<u64> for Decimal {
    fn from(value: u64) -> Decimal {
        Decimal::from_i128(value as i128).expect("20 digits fit 38")
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Decimal) -> bool {
        self.compare(other).is_eq()
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        self.compare(other)
    }
}

/// decNumber's scientific notation: plain unless the exponent is positive or very small.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (negative, coefficient, exponent) = self.to_parts();
        let digits = coefficient.to_string();
        if negative {
            f.write_str("-")?;
        }
        let adjusted = exponent as i64 + digits.len() as i64 - 1;
        if exponent <= 0 && adjusted >= -6 {
            let scale = exponent.unsigned_abs() as usize;
            if scale == 0 {
                return f.write_str(&digits);
            }
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            return write!(f, "{whole}.{fraction}");
        }
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        write!(f, "{first}{point}{rest}E{adjusted:+}")
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Size of `[sign] digits [. digits] [e [sign] digits]` at the start of `text`.
fn number_prefix_size(text: &[u8]) -> usize {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut size = text.first().is_some_and(|byte| matches!(byte, b'+' | b'-')) as usize;
    size += digits(size);
    if text.get(size) == Some(&b'.') {
        size += 1 + digits(size + 1);
    }
    if matches!(text.get(size), Some(b'e' | b'E')) {
        let sign = matches!(text.get(size + 1), Some(b'+' | b'-')) as usize;
        let count = digits(size + 1 + sign);
        if count > 0 {
            size += 1 + sign + count;
        }
    }
    size
}

/// Fuzz target: what unpacks packs to something that unpacks equal.
pub fn fuzz(data: &[u8]) {
    let _ = Decimal::parse(data);
    if let Some(value) = Decimal::unpack(data) {
        let mut packed = Vec::new();
        value.pack(&mut packed);
        assert!(Decimal::unpack(&packed) == Some(value));
        assert!(Decimal::parse(value.to_string().as_bytes()) == Some(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a decimal"))
    }

    #[test]
    fn text_keeps_scale_and_switches_to_exponents_like_decnumber() {
        for text in ["0", "1.10", "-0.000001", "123456", "1E+5", "1.23E-7", "0.00", "-5"] {
            assert_eq!(decimal(text).to_string(), text);
        }
        let nines = "9".repeat(38);
        assert_eq!(decimal(&nines).to_string(), nines);
        assert_eq!(
            decimal(&"9".repeat(39)).to_string(),
            "1.0000000000000000000000000000000000000E+39"
        );
        for text in ["", "nan", "inf", "-Infinity", "1x", "1e1000000", " 1", "1\0"] {
            assert!(Decimal::parse(text.as_bytes()).is_none(), "{text:?}");
        }
    }

    #[test]
    fn memory_form_is_decnumbers() {
        assert_eq!(size_of::<Decimal>(), 36);
        let (digits, exponent, bits, units) = decimal("-1234.5").0.to_raw_parts();
        assert_eq!((digits, exponent, bits, &units[..2]), (5, -1, 0x80, &[345, 12][..]));
    }

    #[test]
    fn wire_form_is_tarantools() {
        let mut out = Vec::new();
        decimal("-12.34").write(&mut out);
        assert_eq!(out, [0xd6, 0x01, 0x02, 0x01, 0x23, 0x4d]);
        out.clear();
        decimal("1E+3").write(&mut out);
        assert_eq!(out, [0xd5, 0x01, 0xfd, 0x1c]);
        for bad in [&[][..], &[1], &[1, 0x11], &[1, 0xac], &[0xc0, 0x1c], &[0xcf, 0x1c]] {
            assert!(Decimal::unpack(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn arithmetic_rounds_halves_up_and_fails_out_of_range() {
        let text = |value: Option<Decimal>| value.map(|value| value.to_string());
        assert_eq!(text(decimal("1").div(&decimal("3"))), Some(format!("0.{}", "3".repeat(38))));
        assert_eq!(text(decimal("1").div(&decimal("0"))), None);
        assert_eq!(text(decimal("-5").remainder(&decimal("3"))), Some("-2".into()));
        assert_eq!(text(decimal("-1").sqrt()), None);
        assert_eq!(text(decimal("2").pow(&decimal("10"))), Some("1024".into()));
        assert_eq!(text(decimal("100").log10()), Some("2".into()));
        assert_eq!(text(decimal("1").ln()), Some("0".into()));
        assert_eq!(text(decimal("1.45").round(1)), Some("1.5".into()));
        assert_eq!(text(decimal("99.96").round(1)), Some("100.0".into()));
        assert_eq!(text(decimal("-1.55").floor(1)), Some("-1.5".into()));
        assert_eq!(text(decimal("1.5").rescale(3)), Some("1.500".into()));
        assert_eq!(text(decimal("1.5").rescale(38)), None);
        assert_eq!(decimal("1.500").trim().to_string(), "1.5");
        assert_eq!(decimal("-0.5").abs().to_string(), "0.5");
        assert_eq!((decimal("0.001").precision(), decimal("0.001").scale()), (3, 3));
        assert_eq!((decimal("1E+3").precision(), decimal("1E+3").scale()), (4, 0));
    }

    #[test]
    fn conversions_drop_the_fraction() {
        assert_eq!(decimal("-1.9").to_i64(), Some(-1));
        assert_eq!(decimal("18446744073709551615").to_u64(), Some(u64::MAX));
        assert_eq!(decimal("18446744073709551616").to_u64(), None);
        assert_eq!(decimal("1E+100").to_i128(), None);
        assert_eq!(decimal("1E-100").to_i128(), Some(0));
        assert_eq!(Decimal::from_f64(23.42).map(|value| value.to_string()), Some("23.42".into()));
        assert_eq!(Decimal::from_f64(f64::NAN), None);
        assert_eq!(decimal("0.1").to_f64(), 0.1);
    }

    #[test]
    fn prefix_stops_where_the_number_ends() {
        let (value, size) = Decimal::parse_prefix(b"-1.5e3]").unwrap();
        assert_eq!((value, size), (decimal("-1500"), 6));
        assert_eq!(Decimal::parse_prefix(b"1e]").unwrap().1, 1);
        assert!(Decimal::parse_prefix(b"x").is_none());
    }

    proptest! {
        #[test]
        fn packing_round_trips(coefficient in 0u128..10u128.pow(38), exponent in -50i32..50, negative: bool) {
            let value = Decimal::from_parts(negative, coefficient, exponent).unwrap();
            let mut out = Vec::new();
            value.pack(&mut out);
            let back = Decimal::unpack(&out).unwrap();
            prop_assert_eq!(back.to_parts(), value.to_parts());
            prop_assert_eq!(decimal(&value.to_string()).to_parts(), value.to_parts());
        }

        #[test]
        fn display_is_decnumbers(coefficient: u64, exponent in -40i32..40, negative: bool) {
            let value = Decimal::from_parts(negative, coefficient as u128, exponent).unwrap();
            prop_assert_eq!(value.to_string(), value.0.to_string());
        }

        #[test]
        fn random_payloads_never_panic(data in proptest::collection::vec(any::<u8>(), 0..30)) {
            fuzz(&data);
        }
    }
}
