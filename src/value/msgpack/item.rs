//! The head of one MessagePack item: what it is, how long it is, how many items it contains.

/// What a MessagePack item is. Numbers keep the distinction of Tarantool's `mp_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `nil`.
    Nil,
    /// A non-negative integer.
    Uint,
    /// An integer in a signed form; it may still be non-negative.
    Int,
    /// A string.
    Str,
    /// Binary data.
    Bin,
    /// An array.
    Array,
    /// A map.
    Map,
    /// `true` or `false`.
    Bool,
    /// A 32-bit float.
    Float,
    /// A 64-bit float.
    Double,
    /// An extension, or the one unused first byte 0xc1.
    Ext,
}

impl Kind {
    /// The kind of the item that starts with this byte.
    #[inline]
    pub fn of(first: u8) -> Kind {
        KINDS[first as usize]
    }

    /// Whether it is an integer or a float. Decimals are `Ext`.
    #[inline]
    pub fn is_plain_number(self) -> bool {
        matches!(self, Kind::Uint | Kind::Int | Kind::Float | Kind::Double)
    }
}

/// `Kind` by first byte, because a load is cheaper than the comparisons.
static KINDS: [Kind; 256] = kinds();

const fn kinds() -> [Kind; 256] {
    let mut table = [Kind::Ext; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            0x00..=0x7f | 0xcc..=0xcf => Kind::Uint,
            0x80..=0x8f | 0xde | 0xdf => Kind::Map,
            0x90..=0x9f | 0xdc | 0xdd => Kind::Array,
            0xa0..=0xbf | 0xd9..=0xdb => Kind::Str,
            0xc0 => Kind::Nil,
            0xc2 | 0xc3 => Kind::Bool,
            0xc4..=0xc6 => Kind::Bin,
            0xca => Kind::Float,
            0xcb => Kind::Double,
            0xd0..=0xd3 | 0xe0..=0xff => Kind::Int,
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => Kind::Ext,
        };
        byte += 1;
    }
    table
}

/// Size and content of an item, from its head alone.
#[derive(Clone, Copy)]
pub(super) struct Item {
    /// Bytes up to the payload or the first child.
    pub head_size: usize,
    /// Bytes of payload.
    pub body_size: usize,
    /// Items directly inside: elements, or keys and values.
    pub child_count: u64,
}

const fn leaf(head_size: usize, body_size: usize) -> Option<Item> {
    Some(Item { head_size, body_size, child_count: 0 })
}

const fn node(head_size: usize, child_count: u64) -> Option<Item> {
    Some(Item { head_size, body_size: 0, child_count })
}

/// Reads the head at the start of `data`. `None` when it is cut short or the byte 0xc1. The
/// payload itself may lie beyond the end.
#[inline]
pub(super) fn item(data: &[u8]) -> Option<Item> {
    let first = *data.first()?;
    match first {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => leaf(1, 0),
        0xa0..=0xbf => leaf(1, (first & 0x1f) as usize),
        0x90..=0x9f => node(1, (first & 0x0f) as u64),
        0x80..=0x8f => node(1, 2 * (first & 0x0f) as u64),
        0xcc | 0xd0 => leaf(1, 1),
        0xcd | 0xd1 => leaf(1, 2),
        0xca | 0xce | 0xd2 => leaf(1, 4),
        0xcb | 0xcf | 0xd3 => leaf(1, 8),
        0xc4 | 0xd9 => leaf(2, length_8(data)?),
        0xc5 | 0xda => leaf(3, length_16(data)?),
        0xc6 | 0xdb => leaf(5, length_32(data)?),
        0xdc => node(3, length_16(data)? as u64),
        0xdd => node(5, length_32(data)? as u64),
        0xde => node(3, 2 * length_16(data)? as u64),
        0xdf => node(5, 2 * length_32(data)? as u64),
        0xd4..=0xd8 => leaf(2, 1 << (first - 0xd4)),
        0xc7 => leaf(3, length_8(data)?),
        0xc8 => leaf(4, length_16(data)?),
        0xc9 => leaf(6, length_32(data)?),
        0xc1 => None,
    }
}

#[inline]
fn length_8(data: &[u8]) -> Option<usize> {
    data.get(1).map(|&byte| byte as usize)
}

#[inline]
fn length_16(data: &[u8]) -> Option<usize> {
    let bytes: [u8; 2] = data.get(1..3)?.try_into().ok()?;
    Some(u16::from_be_bytes(bytes) as usize)
}

#[inline]
fn length_32(data: &[u8]) -> Option<usize> {
    let bytes: [u8; 4] = data.get(1..5)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes) as usize)
}

/// Size of the value at the start of trusted `data`, or `None` if it is cut short. Does not look
/// into extensions.
#[inline]
pub fn skip(data: &[u8]) -> Option<usize> {
    skip_many(data, 1)
}

/// Size of the `count` values at the start of trusted `data`.
#[inline]
pub fn skip_many(data: &[u8], count: u64) -> Option<usize> {
    let mut position = 0;
    let mut remaining = count;
    while remaining > 0 {
        let item = item(data.get(position..)?)?;
        remaining = remaining - 1 + item.child_count;
        position += item.head_size + item.body_size;
    }
    (position <= data.len()).then_some(position)
}
