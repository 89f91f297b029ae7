//! The types a field or key part can be declared with, and which values each admits.

use super::item::{self, EXT_DATETIME, EXT_DECIMAL, EXT_INTERVAL, EXT_UUID, Kind};

/// A declared type; the order is Tarantool's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FieldType {
    /// Any value, nil included.
    Any,
    /// An integer that is not negative.
    Unsigned,
    /// A string.
    String,
    /// An integer, a float or a decimal.
    Number,
    /// A float or an integer.
    Double,
    /// An integer.
    Integer,
    /// true or false
    Boolean,
    /// Binary data.
    Varbinary,
    /// Any value that has an order.
    Scalar,
    /// A decimal.
    Decimal,
    /// A uuid.
    Uuid,
    /// A datetime.
    Datetime,
    /// An interval.
    Interval,
    /// An array.
    Array,
    /// A map.
    Map,
    /// An integer of 8 bits.
    Int8,
    /// An unsigned integer of 8 bits.
    Uint8,
    /// An integer of 16 bits.
    Int16,
    /// An unsigned integer of 16 bits.
    Uint16,
    /// An integer of 32 bits.
    Int32,
    /// An unsigned integer of 32 bits.
    Uint32,
    /// An integer of 64 bits.
    Int64,
    /// An unsigned integer of 64 bits.
    Uint64,
    /// A float written with 32 bits.
    Float32,
    /// A float written with 64 bits.
    Float64,
    /// A decimal of 9 digits.
    Decimal32,
    /// A decimal of 18 digits.
    Decimal64,
    /// A decimal of 38 digits.
    Decimal128,
    /// A decimal of 76 digits.
    Decimal256,
}

use FieldType::{
    Any, Array, Boolean, Datetime, Decimal, Decimal32, Decimal64, Decimal128, Decimal256, Double,
    Float32, Float64, Int8, Int16, Int32, Int64, Integer, Interval, Map, Number, Scalar, String,
    Uint8, Uint16, Uint32, Uint64, Unsigned, Uuid, Varbinary,
};

const ALL: [FieldType; 29] = [
    Any, Unsigned, String, Number, Double, Integer, Boolean, Varbinary, Scalar, Decimal, Uuid,
    Datetime, Interval, Array, Map, Int8, Uint8, Int16, Uint16, Int32, Uint32, Int64, Uint64,
    Float32, Float64, Decimal32, Decimal64, Decimal128, Decimal256,
];

impl FieldType {
    /// The name in schemas and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Any => "any",
            Unsigned => "unsigned",
            String => "string",
            Number => "number",
            Double => "double",
            Integer => "integer",
            Boolean => "boolean",
            Varbinary => "varbinary",
            Scalar => "scalar",
            Decimal => "decimal",
            Uuid => "uuid",
            Datetime => "datetime",
            Interval => "interval",
            Array => "array",
            Map => "map",
            Int8 => "int8",
            Uint8 => "uint8",
            Int16 => "int16",
            Uint16 => "uint16",
            Int32 => "int32",
            Uint32 => "uint32",
            Int64 => "int64",
            Uint64 => "uint64",
            Float32 => "float32",
            Float64 => "float64",
            Decimal32 => "decimal32",
            Decimal64 => "decimal64",
            Decimal128 => "decimal128",
            Decimal256 => "decimal256",
        }
    }

    /// The type with this name. `num`, `str` and `*` are the names of Tarantool 1.6.
    pub fn by_name(name: &str) -> Option<FieldType> {
        if let Some(found) = ALL.into_iter().find(|known| known.name() == name) {
            return Some(found);
        }
        if name.eq_ignore_ascii_case("num") {
            return Some(Unsigned);
        }
        if name.eq_ignore_ascii_case("str") {
            return Some(String);
        }
        (name == "*").then_some(Any)
    }

    /// Whether the item at the start of `data` is of this type, nil admitted if `nullable`.
    /// Ranges of sized integers are a separate question: [`FieldType::range`].
    #[inline]
    pub fn admits(self, data: &[u8], nullable: bool) -> bool {
        let kind = item::kind(data);
        if kind != Kind::Ext {
            let mask = self.kinds() | (u32::from(nullable) << Kind::Nil as u32);
            return mask & (1 << kind as u32) != 0;
        }
        match item::extension(data) {
            Some((kind @ 0..=31, _)) => self.extensions() & (1 << kind) != 0,
            _ => false,
        }
    }

    /// Whether every value of `other` is a value of this type. `scale` and `other_scale` are
    /// those of fixed-point decimals.
    pub fn contains(self, scale: i64, other: FieldType, other_scale: i64) -> bool {
        let (mine, others) = if other.kinds() == 0 {
            (self.extensions(), other.extensions())
        } else {
            (self.kinds(), other.kinds())
        };
        if mine & others != others {
            return false;
        }
        if let Some((min, max)) = self.range() {
            return match other.range() {
                Some((other_min, other_max)) => min <= other_min && max >= other_max,
                // uint64 is another name of unsigned.
                None => self == Uint64 && other == Unsigned,
            };
        }
        if let Some(precision) = self.precision() {
            return match other.precision() {
                Some(other_precision) => precision >= other_precision && scale == other_scale,
                None => false,
            };
        }
        true
    }

    /// Smallest and greatest value of a sized integer type.
    pub const fn range(self) -> Option<(i64, u64)> {
        Some(match self {
            Int8 => (i8::MIN as i64, i8::MAX as u64),
            Uint8 => (0, u8::MAX as u64),
            Int16 => (i16::MIN as i64, i16::MAX as u64),
            Uint16 => (0, u16::MAX as u64),
            Int32 => (i32::MIN as i64, i32::MAX as u64),
            Uint32 => (0, u32::MAX as u64),
            Int64 => (i64::MIN, i64::MAX as u64),
            Uint64 => (0, u64::MAX),
            _ => return None,
        })
    }

    /// Digits of a fixed-point decimal type.
    pub const fn precision(self) -> Option<u32> {
        Some(match self {
            Decimal32 => 9,
            Decimal64 => 18,
            Decimal128 => 38,
            Decimal256 => 76,
            _ => return None,
        })
    }

    /// Whether an index can be made over fields of this type.
    pub const fn is_comparable(self) -> bool {
        !matches!(self, Any | Interval | Array | Map)
    }

    /// Bit set of the [`Kind`]s that are values of this type.
    #[inline]
    const fn kinds(self) -> u32 {
        KINDS[self as usize]
    }

    /// Bit set of the extension types whose values are values of this type.
    #[inline]
    const fn extensions(self) -> u32 {
        EXTENSIONS[self as usize]
    }
}

const KINDS: [u32; ALL.len()] = {
    let mut masks = [0; ALL.len()];
    let mut index = 0;
    while index < ALL.len() {
        masks[index] = kinds(ALL[index]);
        index += 1;
    }
    masks
};

const EXTENSIONS: [u32; ALL.len()] = {
    let mut masks = [0; ALL.len()];
    let mut index = 0;
    while index < ALL.len() {
        masks[index] = extensions(ALL[index]);
        index += 1;
    }
    masks
};

const fn kinds(of: FieldType) -> u32 {
    const UINT: u32 = 1 << Kind::Uint as u32;
    const INTEGER: u32 = UINT | 1 << Kind::Int as u32;
    const NUMBER: u32 = INTEGER | 1 << Kind::Float as u32 | 1 << Kind::Double as u32;
    const STR: u32 = 1 << Kind::Str as u32;
    const BIN: u32 = 1 << Kind::Bin as u32;
    const BOOL: u32 = 1 << Kind::Bool as u32;
    match of {
        Any => u32::MAX,
        Unsigned | Uint8 | Uint16 | Uint32 | Uint64 => UINT,
        Integer | Int8 | Int16 | Int32 | Int64 => INTEGER,
        Number | Double => NUMBER,
        String => STR,
        Boolean => BOOL,
        Varbinary => BIN,
        Scalar => NUMBER | STR | BIN | BOOL,
        Array => 1 << Kind::Array as u32,
        Map => 1 << Kind::Map as u32,
        Float32 => 1 << Kind::Float as u32,
        Float64 => 1 << Kind::Double as u32,
        // Extension types only.
        Decimal | Decimal32 | Decimal64 | Decimal128 | Decimal256 | Uuid | Datetime | Interval => 0,
    }
}

const fn extensions(of: FieldType) -> u32 {
    match of {
        // Extension 0 is no value of anything.
        Any => u32::MAX ^ 1,
        Number | Decimal | Decimal32 | Decimal64 | Decimal128 | Decimal256 => 1 << EXT_DECIMAL,
        Scalar => 1 << EXT_DECIMAL | 1 << EXT_UUID | 1 << EXT_DATETIME,
        Uuid => 1 << EXT_UUID,
        Datetime => 1 << EXT_DATETIME,
        Interval => 1 << EXT_INTERVAL,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_order_is_the_enum_order() {
        for (index, known) in ALL.into_iter().enumerate() {
            assert_eq!(known as usize, index);
            assert_eq!(FieldType::by_name(known.name()), Some(known));
        }
        assert_eq!(FieldType::by_name("STR"), Some(String));
        assert_eq!(FieldType::by_name("nothing"), None);
    }

    #[test]
    fn containment_follows_the_values() {
        let contains = |a: FieldType, b: FieldType| a.contains(0, b, 0);
        assert!(contains(Scalar, Uuid));
        assert!(contains(Number, Decimal));
        assert!(!contains(Double, Decimal));
        assert!(contains(Integer, Uint8));
        assert!(!contains(Uint8, Unsigned));
        assert!(contains(Uint64, Unsigned));
        assert!(contains(Int16, Uint8));
        assert!(!contains(Int8, Uint8));
        assert!(contains(Any, Map));
        assert!(!Decimal64.contains(1, Decimal32, 2));
    }
}
