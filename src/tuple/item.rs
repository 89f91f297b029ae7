//! Reading single MessagePack items of tuples and keys.
//!
//! Comparison, hints and validation look at one item at a time and must not pay for more. All
//! functions are bounds-checked: they are also the first to see bytes from outside, and on a
//! malformed item they answer `None` rather than read past the end.
//!
//! # Not here
//! Writing, deep validation and the extension types: `value`.

pub use crate::value::msgpack::{EXT_DATETIME, EXT_DECIMAL, EXT_INTERVAL, EXT_UUID, Kind};

/// The name that error messages have for values of this kind.
pub const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Nil => "nil",
        Kind::Uint => "unsigned",
        Kind::Int => "integer",
        Kind::Str => "string",
        Kind::Bin => "blob",
        Kind::Array => "array",
        Kind::Map => "map",
        Kind::Bool => "boolean",
        Kind::Float => "float",
        Kind::Double => "double",
        Kind::Ext => "extension",
    }
}

/// The nil item.
pub const NIL: u8 = 0xc0;

/// The class of the item at the start of `data`; an empty slice counts as nil.
#[inline]
pub fn kind(data: &[u8]) -> Kind {
    match data.first() {
        Some(&byte) => Kind::of(byte),
        None => Kind::Nil,
    }
}

/// The value of the unsigned integer at the start of `data`.
#[inline]
pub fn uint(data: &[u8]) -> Option<u64> {
    let first = *data.first()?;
    Some(match first {
        0x00..=0x7f => u64::from(first),
        0xcc => u64::from(*data.get(1)?),
        0xcd => u64::from(u16::from_be_bytes(bytes(data, 1)?)),
        0xce => u64::from(u32::from_be_bytes(bytes(data, 1)?)),
        0xcf => u64::from_be_bytes(bytes(data, 1)?),
        _ => return None,
    })
}

/// The value of the integer written as a signed one at the start of `data`.
#[inline]
pub fn int(data: &[u8]) -> Option<i64> {
    let first = *data.first()?;
    Some(match first {
        0xe0..=0xff => i64::from(first as i8),
        0xd0 => i64::from(*data.get(1)? as i8),
        0xd1 => i64::from(i16::from_be_bytes(bytes(data, 1)?)),
        0xd2 => i64::from(i32::from_be_bytes(bytes(data, 1)?)),
        0xd3 => i64::from_be_bytes(bytes(data, 1)?),
        _ => return None,
    })
}

/// The value of the 32-bit or 64-bit float at the start of `data`.
#[inline]
pub fn double(data: &[u8]) -> Option<f64> {
    match *data.first()? {
        0xca => Some(f64::from(f32::from_be_bytes(bytes(data, 1)?))),
        0xcb => Some(f64::from_be_bytes(bytes(data, 1)?)),
        _ => None,
    }
}

/// The bytes of the string at the start of `data`.
#[inline]
pub fn string(data: &[u8]) -> Option<&[u8]> {
    let first = *data.first()?;
    let (start, len): (usize, usize) = match first {
        0xa0..=0xbf => (1, usize::from(first & 0x1f)),
        0xd9 => (2, usize::from(*data.get(1)?)),
        0xda => (3, usize::from(u16::from_be_bytes(bytes(data, 1)?))),
        0xdb => (5, u32::from_be_bytes(bytes(data, 1)?) as usize),
        _ => return None,
    };
    data.get(start..start.checked_add(len)?)
}

/// The bytes of the binary item at the start of `data`.
#[inline]
pub fn binary(data: &[u8]) -> Option<&[u8]> {
    let (start, len): (usize, usize) = match *data.first()? {
        0xc4 => (2, usize::from(*data.get(1)?)),
        0xc5 => (3, usize::from(u16::from_be_bytes(bytes(data, 1)?))),
        0xc6 => (5, u32::from_be_bytes(bytes(data, 1)?) as usize),
        _ => return None,
    };
    data.get(start..start.checked_add(len)?)
}

/// The boolean at the start of `data`.
#[inline]
pub fn boolean(data: &[u8]) -> Option<bool> {
    match *data.first()? {
        0xc2 => Some(false),
        0xc3 => Some(true),
        _ => None,
    }
}

/// Type and payload of the extension item at the start of `data`.
#[inline]
pub fn extension(data: &[u8]) -> Option<(i8, &[u8])> {
    let (start, len): (usize, usize) = match *data.first()? {
        0xd4 => (2, 1),
        0xd5 => (2, 2),
        0xd6 => (2, 4),
        0xd7 => (2, 8),
        0xd8 => (2, 16),
        0xc7 => (3, usize::from(*data.get(1)?)),
        0xc8 => (4, usize::from(u16::from_be_bytes(bytes(data, 1)?))),
        0xc9 => (6, u32::from_be_bytes(bytes(data, 1)?) as usize),
        _ => return None,
    };
    let kind = *data.get(start - 1)? as i8;
    Some((kind, data.get(start..start.checked_add(len)?)?))
}

/// Element count and header size of the array at the start of `data`.
#[inline]
pub fn array(data: &[u8]) -> Option<(u32, usize)> {
    let first = *data.first()?;
    match first {
        0x90..=0x9f => Some((u32::from(first & 0x0f), 1)),
        0xdc => Some((u32::from(u16::from_be_bytes(bytes(data, 1)?)), 3)),
        0xdd => Some((u32::from_be_bytes(bytes(data, 1)?), 5)),
        _ => None,
    }
}

/// Pair count and header size of the map at the start of `data`.
#[inline]
pub fn map(data: &[u8]) -> Option<(u32, usize)> {
    let first = *data.first()?;
    match first {
        0x80..=0x8f => Some((u32::from(first & 0x0f), 1)),
        0xde => Some((u32::from(u16::from_be_bytes(bytes(data, 1)?)), 3)),
        0xdf => Some((u32::from_be_bytes(bytes(data, 1)?), 5)),
        _ => None,
    }
}

/// Size of the whole item at the start of `data`, whatever it contains; `None` when it does not
/// end within `data` or is malformed. Not recursive: depth costs nothing.
#[inline]
pub fn size(data: &[u8]) -> Option<usize> {
    // Most items are scalars whose first byte tells their size.
    let plan = PLANS[usize::from(*data.first()?)];
    if plan >= 0 {
        return (plan as usize <= data.len()).then_some(plan as usize);
    }
    size_of_long(data)
}

fn size_of_long(data: &[u8]) -> Option<usize> {
    let (mut at, mut pending) = head(data)?;
    while pending > 0 {
        let (fixed, nested) = head(data.get(at..)?)?;
        at = at.checked_add(fixed)?;
        pending = pending - 1 + nested;
    }
    (at <= data.len()).then_some(at)
}

/// Size without nested items, and the count of nested items, of the item at the start of `data`.
/// The size may reach past the end of `data`.
#[inline]
fn head(data: &[u8]) -> Option<(usize, u64)> {
    let first = *data.first()?;
    let plan = PLANS[first as usize];
    if plan >= 0 {
        return Some((plan as usize, 0));
    }
    Some(match first {
        0x90..=0x9f => (1, u64::from(first & 0x0f)),
        0x80..=0x8f => (1, 2 * u64::from(first & 0x0f)),
        0xdc | 0xdd => array(data).map(|(count, size)| (size, u64::from(count)))?,
        0xde | 0xdf => map(data).map(|(count, size)| (size, 2 * u64::from(count)))?,
        0xd9 | 0xc4 => (2 + usize::from(*data.get(1)?), 0),
        0xda | 0xc5 => (3 + usize::from(u16::from_be_bytes(bytes(data, 1)?)), 0),
        0xdb | 0xc6 => (5 + u32::from_be_bytes(bytes(data, 1)?) as usize, 0),
        0xc7 => (3 + usize::from(*data.get(1)?), 0),
        0xc8 => (4 + usize::from(u16::from_be_bytes(bytes(data, 1)?)), 0),
        0xc9 => (6 + u32::from_be_bytes(bytes(data, 1)?) as usize, 0),
        _ => return None,
    })
}

/// Appends the header of an array.
pub fn write_array(out: &mut Vec<u8>, count: u32) {
    match count {
        0..=15 => out.push(0x90 | count as u8),
        16..=0xffff => {
            out.push(0xdc);
            out.extend_from_slice(&(count as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdd);
            out.extend_from_slice(&count.to_be_bytes());
        }
    }
}

#[inline]
fn bytes<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at + N)?.try_into().ok()
}

/// Whole size of items whose first byte tells it, -1 for the others.
const PLANS: [i8; 256] = {
    let mut plans = [-1i8; 256];
    let mut byte = 0;
    while byte < 256 {
        plans[byte] = match byte {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 | 0x80 | 0x90 => 1,
            0xa0..=0xbf => 1 + (byte as i8 & 0x1f),
            0xcc | 0xd0 => 2,
            0xcd | 0xd1 | 0xd4 => 3,
            0xd5 => 4,
            0xca | 0xce | 0xd2 => 5,
            0xd6 => 6,
            0xcb | 0xcf | 0xd3 => 9,
            0xd7 => 10,
            0xd8 => 18,
            _ => -1,
        };
        byte += 1;
    }
    plans
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_of_nested_items() {
        // [1, {"a": [nil, -1]}, "xyz", 1.5]
        let data = b"\x94\x01\x81\xa1a\x92\xc0\xff\xa3xyz\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00tail";
        assert_eq!(size(data), Some(data.len() - 4));
        for cut in 0..data.len() - 4 {
            assert_eq!(size(&data[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn reserved_byte_is_malformed() {
        assert_eq!(size(&[0xc1]), None);
        assert_eq!(size(&[0x91, 0xc1]), None);
    }

    #[test]
    fn huge_counts_do_not_allocate_or_overflow() {
        assert_eq!(size(&[0xdf, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(size(&[0xdb, 0xff, 0xff, 0xff, 0xff, 1]), None);
    }
}
