//! Comparison hints: 64 bits that mostly decide a comparison without touching the tuples.
//!
//! A hint is a prefix, in the part's own order, of the first part of a key. Hints in strict order
//! imply keys in the same order; equal hints imply nothing. Every key has one, so an index orders
//! by (hint, comparison) with plain integer comparisons.
//!
//! # Invariants
//! A hint depends on the part's type: an index whose first part changes type is rebuilt.

use super::field_type::FieldType;
use super::item::{self, Kind};
use super::key_def::{Part, SortOrder};
use crate::value::order;

/// The hint of a value of this part, with whatever follows behind it; nil and absent come first.
#[inline]
pub(super) fn of_part(part: &Part, value: Option<&[u8]>) -> u64 {
    let hint = match value {
        Some(value) if item::kind(value) != Kind::Nil => of_value(part, value),
        _ => 0,
    };
    if part.order == SortOrder::Descending { !hint } else { hint }
}

#[inline]
fn of_value(part: &Part, value: &[u8]) -> u64 {
    use FieldType::{
        Boolean, Int8, Int16, Int32, Int64, Integer, String, Uint8, Uint16, Uint32, Uint64,
        Unsigned, Uuid, Varbinary,
    };
    match part.kind {
        Unsigned | Uint8 | Uint16 | Uint32 | Uint64 => item::uint(value).unwrap_or(0),
        Integer | Int8 | Int16 | Int32 | Int64 => of_integer(value),
        String => of_string(part, item::string(value).unwrap_or(&[])),
        Varbinary => of_bytes(item::binary(value).unwrap_or(&[])),
        Boolean => u64::from(item::boolean(value).unwrap_or(false)),
        Uuid => of_bytes(item::extension(value).map_or(&[], |(_, payload)| payload)),
        // These keep the class in the high bits.
        _ => order::hint(value, part.collator),
    }
}

/// Zero is in the middle; what does not fit is at the ends.
#[inline]
fn of_integer(value: &[u8]) -> u64 {
    const MIDDLE: u64 = 1 << 63;
    match item::uint(value) {
        Some(number) => MIDDLE.saturating_add(number),
        None => MIDDLE.wrapping_add_signed(item::int(value).unwrap_or(0)),
    }
}

#[inline]
fn of_string(part: &Part, text: &[u8]) -> u64 {
    match part.collator {
        None => of_bytes(text),
        Some(collator) => {
            let mut key = Vec::with_capacity(2 * text.len().min(64));
            collator.sort_key(text, &mut key);
            of_bytes(&key)
        }
    }
}

/// The first bytes as a big-endian number: their order is that of the numbers.
#[inline]
fn of_bytes(bytes: &[u8]) -> u64 {
    if let Some(head) = bytes.first_chunk::<8>() {
        return u64::from_be_bytes(*head);
    }
    let mut head = [0; 8];
    head[..bytes.len()].copy_from_slice(bytes);
    u64::from_be_bytes(head)
}
