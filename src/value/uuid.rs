//! UUIDs: text, the packed form of MessagePack extension 2, and Tarantool's byte orders.
//!
//! # Layout
//! A [`Uuid`] is its 16 bytes in network order, which is the packed form and sorts as Tarantool
//! sorts. Tarantool's `struct tt_uuid` keeps the first three fields in host order; that is the form
//! of `uuid:bin('l')`.

use std::fmt;

use super::msgpack::{EXT_UUID, Reader, write_ext};

/// A UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Uuid(pub [u8; 16]);

/// The byte order of a binary form's first three fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// `l`: little endian.
    Little,
    /// `b` or `n`: big endian, the network's.
    Big,
}

impl ByteOrder {
    /// The order that Lua names with this letter; `h` is the host's. `None` for other text.
    pub fn by_name(name: &[u8]) -> Option<ByteOrder> {
        match name {
            b"l" => Some(ByteOrder::Little),
            b"b" | b"n" => Some(ByteOrder::Big),
            b"h" if cfg!(target_endian = "little") => Some(ByteOrder::Little),
            b"h" => Some(ByteOrder::Big),
            _ => None,
        }
    }
}

impl Uuid {
    /// The UUID of zeros.
    pub const NIL: Uuid = Uuid([0; 16]);

    /// A random UUID (version 4).
    pub fn random() -> Uuid {
        Uuid(::uuid::Uuid::new_v4().into_bytes())
    }

    /// Whether it is [`Uuid::NIL`].
    pub fn is_nil(&self) -> bool {
        *self == Uuid::NIL
    }

    /// Parses the 36 characters `8-4-4-4-12` of hexadecimal digits.
    pub fn parse(text: &[u8]) -> Option<Uuid> {
        if text.len() != 36 {
            return None;
        }
        ::uuid::Uuid::try_parse_ascii(text).ok().map(|uuid| Uuid(uuid.into_bytes()))
    }

    /// From 16 bytes in this byte order.
    pub fn from_bytes(bytes: &[u8], order: ByteOrder) -> Option<Uuid> {
        let bytes = bytes.try_into().ok()?;
        Some(match order {
            ByteOrder::Big => Uuid(bytes),
            ByteOrder::Little => Uuid(swap(bytes)),
        })
    }

    /// The 16 bytes in this byte order.
    pub fn to_bytes(self, order: ByteOrder) -> [u8; 16] {
        match order {
            ByteOrder::Big => self.0,
            ByteOrder::Little => swap(self.0),
        }
    }

    /// Decodes the payload of the extension.
    pub fn unpack(payload: &[u8]) -> Option<Uuid> {
        Uuid::from_bytes(payload, ByteOrder::Big)
    }

    /// Appends the UUID as MessagePack.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_ext(out, EXT_UUID, &self.0);
    }

    /// Reads a UUID, leaving the reader in place when the next value is none.
    pub fn read(reader: &mut Reader<'_>) -> Option<Uuid> {
        let mut ahead = *reader;
        let (EXT_UUID, payload) = ahead.read_ext()? else { return None };
        let uuid = Uuid::unpack(payload)?;
        *reader = ahead;
        Some(uuid)
    }
}

/// Turns the fields time_low, time_mid and time_hi_and_version around.
fn swap(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[0..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&::uuid::Uuid::from_bytes(self.0), f)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Fuzz target: text and bytes come back.
pub fn fuzz(data: &[u8]) {
    if let Some(uuid) = Uuid::parse(data) {
        assert_eq!(Uuid::parse(uuid.to_string().as_bytes()), Some(uuid));
    }
    let _ = Uuid::unpack(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "64d22e4d-ac92-4a23-899a-e59f34af5479";

    #[test]
    fn text_and_bytes_come_back_in_each_order() {
        let uuid = Uuid::parse(TEXT.as_bytes()).unwrap();
        assert_eq!(uuid.to_string(), TEXT);
        assert_eq!(uuid.to_bytes(ByteOrder::Big)[..4], [0x64, 0xd2, 0x2e, 0x4d]);
        let little = uuid.to_bytes(ByteOrder::Little);
        assert_eq!(little[..8], [0x4d, 0x2e, 0xd2, 0x64, 0x92, 0xac, 0x23, 0x4a]);
        assert_eq!(Uuid::from_bytes(&little, ByteOrder::Little), Some(uuid));
        let mut out = Vec::new();
        uuid.write(&mut out);
        assert_eq!(out[..2], [0xd8, 2]);
        assert_eq!(Uuid::read(&mut Reader::new(&out)), Some(uuid));
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in ["", "64d22e4dac924a23899ae59f34af5479", "64d22e4d-ac92-4a23-899a-e59f34af547g"]
        {
            assert_eq!(Uuid::parse(text.as_bytes()), None);
            fuzz(text.as_bytes());
        }
        assert!(Uuid::random() != Uuid::random());
        assert!(Uuid::default().is_nil());
    }
}
