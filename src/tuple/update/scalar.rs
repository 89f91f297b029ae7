//! The values that arithmetic, bit and splice operations compute with.

use std::borrow::Cow;

use super::operation::{Operation, Splice};
use crate::base::Result;
use crate::tuple::field_type::FieldType;
use crate::tuple::item::{self, Kind};
use crate::value::decimal::Decimal;
use crate::value::msgpack as mp;

/// A decoded value.
#[derive(Clone, Debug)]
pub(super) enum Scalar<'a> {
    /// An integer from -2^63 to 2^64 - 1.
    Integer(i128),
    /// A 64-bit float.
    Double(f64),
    /// A 32-bit float.
    Float(f32),
    /// A decimal.
    Decimal(Decimal),
    /// A string.
    String(Cow<'a, [u8]>),
    /// Binary data.
    Binary(Cow<'a, [u8]>),
}

const INTEGER_MIN: i128 = i64::MIN as i128;
const INTEGER_MAX: i128 = u64::MAX as i128;

impl<'a> Scalar<'a> {
    /// Reads the value at the start of `data` if operations can compute with it.
    pub fn read(data: &'a [u8]) -> Option<Scalar<'a>> {
        Some(match item::kind(data) {
            Kind::Uint => Scalar::Integer(i128::from(item::uint(data)?)),
            Kind::Int => Scalar::Integer(i128::from(item::int(data)?)),
            Kind::Double => Scalar::Double(item::double(data)?),
            // Exact: it is written with 32 bits.
            Kind::Float => Scalar::Float(item::double(data)? as f32),
            Kind::Str => Scalar::String(Cow::Borrowed(item::string(data)?)),
            Kind::Bin => Scalar::Binary(Cow::Borrowed(item::binary(data)?)),
            Kind::Ext => match item::extension(data)? {
                (item::EXT_DECIMAL, payload) => Scalar::Decimal(Decimal::unpack(payload)?),
                _ => return None,
            },
            Kind::Nil | Kind::Bool | Kind::Array | Kind::Map => return None,
        })
    }

    pub fn is_number(&self) -> bool {
        !matches!(self, Scalar::String(_) | Scalar::Binary(_))
    }

    /// Appends the value as MessagePack. `kind` is the declared type of where it goes: it decides
    /// how wide floats are written.
    pub fn write(&self, out: &mut Vec<u8>, kind: Option<FieldType>) {
        match self {
            Scalar::Integer(number) => match u64::try_from(*number) {
                Ok(number) => mp::write_uint(out, number),
                Err(_) => mp::write_int(out, *number as i64),
            },
            Scalar::Double(number) if kind == Some(FieldType::Float32) => {
                mp::write_f32(out, *number as f32);
            }
            Scalar::Double(number) => mp::write_f64(out, *number),
            Scalar::Float(number)
                if matches!(kind, Some(FieldType::Double | FieldType::Float64)) =>
            {
                mp::write_f64(out, f64::from(*number));
            }
            Scalar::Float(number) => mp::write_f32(out, *number),
            Scalar::Decimal(number) => number.write(out),
            Scalar::String(text) => mp::write_str(out, text),
            Scalar::Binary(bytes) => mp::write_bin(out, bytes),
        }
    }

    /// `self + operand` or `self - operand`, by the operation's code.
    pub fn add(&self, operation: &Operation<'_>, operand: &Scalar<'_>) -> Result<Scalar<'a>> {
        use Scalar::{Decimal as Exact, Integer};
        let is_minus = operation.code == b'-';
        if !self.is_number() {
            return Err(operation.wrong_argument("a number"));
        }
        match (self, operand) {
            (Integer(left), Integer(right)) => {
                let result = if is_minus { left - right } else { left + right };
                if !(INTEGER_MIN..=INTEGER_MAX).contains(&result) {
                    return Err(operation.integer_overflow());
                }
                Ok(Integer(result))
            }
            (Exact(_), _) | (_, Exact(_)) => {
                let convertible = || operation.wrong_argument("a number convertible to decimal");
                let left = self.to_decimal().ok_or_else(convertible)?;
                let right = operand.to_decimal().ok_or_else(convertible)?;
                let result = if is_minus { left.sub(&right) } else { left.add(&right) };
                result.map(Exact).ok_or_else(|| operation.decimal_overflow())
            }
            _ => {
                let (left, right) = (self.to_f64(), operand.to_f64());
                Ok(narrow(if is_minus { left - right } else { left + right }))
            }
        }
    }

    /// `self & operand`, `|` or `^`, by the operation's code.
    pub fn bit(&self, operation: &Operation<'_>, operand: u64) -> Result<Scalar<'a>> {
        let number = match self {
            Scalar::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| operation.wrong_argument("a positive integer"))?;
        let result = match operation.code {
            b'&' => number & operand,
            b'|' => number | operand,
            _ => number ^ operand,
        };
        Ok(Scalar::Integer(i128::from(result)))
    }

    /// Cuts a piece out of a string and puts another in its place.
    pub fn splice(&self, operation: &Operation<'_>, splice: &Splice<'_>) -> Result<Scalar<'a>> {
        let (Scalar::String(old) | Scalar::Binary(old)) = self else {
            return Err(operation.wrong_argument("a string or varbinary"));
        };
        let size = old.len() as i64;
        let offset = match i64::from(splice.offset) {
            offset if offset >= 0 => offset.min(size),
            offset if -offset > size + 1 => return Err(operation.out_of_bound()),
            offset => offset + size + 1,
        };
        let after = size - offset;
        let cut = match i64::from(splice.cut) {
            cut if cut >= 0 => cut.min(after),
            cut => (cut + after).max(0),
        };
        let (start, end) = (offset as usize, (offset + cut) as usize);
        let mut result = Vec::with_capacity(old.len() + splice.paste.len());
        result.extend_from_slice(&old[..start]);
        result.extend_from_slice(splice.paste);
        result.extend_from_slice(&old[end..]);
        Ok(match self {
            Scalar::String(_) => Scalar::String(Cow::Owned(result)),
            _ => Scalar::Binary(Cow::Owned(result)),
        })
    }

    /// The nearest double; decimals and strings never come here.
    fn to_f64(&self) -> f64 {
        match self {
            Scalar::Integer(number) => *number as f64,
            Scalar::Double(number) => *number,
            Scalar::Float(number) => f64::from(*number),
            Scalar::Decimal(number) => number.to_f64(),
            Scalar::String(_) | Scalar::Binary(_) => 0.0,
        }
    }

    fn to_decimal(&self) -> Option<Decimal> {
        match self {
            Scalar::Integer(number) => Decimal::from_i128(*number),
            Scalar::Double(number) => Decimal::from_f64(*number),
            Scalar::Float(number) => Decimal::from_f64(f64::from(*number)),
            Scalar::Decimal(number) => Some(*number),
            Scalar::String(_) | Scalar::Binary(_) => None,
        }
    }
}

/// A result of float arithmetic in the narrowest width that is exact.
fn narrow<'a>(number: f64) -> Scalar<'a> {
    let narrowed = number as f32;
    if narrowed.is_finite() && f64::from(narrowed) == number {
        Scalar::Float(narrowed)
    } else {
        Scalar::Double(number)
    }
}
