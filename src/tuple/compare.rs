//! Order and hash of values by their declared type, and of tuples and keys by their parts.
//!
//! The order is Tarantool's: nil is less than everything; numbers of all encodings compare by
//! value; in a scalar field values of different classes compare by class.

mod scalar;

use std::cmp::Ordering;
use std::hash::{BuildHasher, Hash, Hasher};

use super::body::RawTuple;
use super::field_type::FieldType;
use super::item::{self, Kind};
use super::key_def::{KeyDef, Part, SortOrder};
use crate::value::order;

pub use scalar::{compare_values, fits_fixed_point};

/// How a key definition compares, chosen once when it is made. The common simple keys have their
/// own way without a loop over parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    /// One ascending unsigned part, the first field.
    Unsigned,
    /// One descending unsigned part, the first field.
    UnsignedDescending,
    /// One ascending string part without collation, the first field.
    String,
    /// The first fields in order, none nullable: both tuples are walked once.
    Sequential,
    /// Anything.
    Generic,
}

impl Strategy {
    pub(super) fn choose(parts: &[Part], is_sequential: bool) -> Strategy {
        let is_nullable = parts.iter().any(Part::is_nullable);
        if !is_sequential || is_nullable {
            return Strategy::Generic;
        }
        match parts {
            [part] if is_unsigned(part.kind) => match part.order {
                SortOrder::Ascending => Strategy::Unsigned,
                SortOrder::Descending => Strategy::UnsignedDescending,
            },
            [part] if part.order == SortOrder::Descending => Strategy::Sequential,
            [part] if part.kind == FieldType::String && part.collator.is_none() => Strategy::String,
            _ => Strategy::Sequential,
        }
    }

    #[inline]
    pub(super) fn is_hint_exact(self) -> bool {
        self == Strategy::Unsigned || self == Strategy::UnsignedDescending
    }

    #[inline]
    pub(super) fn compare(self, def: &KeyDef, left: &RawTuple, right: &RawTuple) -> Ordering {
        match self {
            Strategy::Unsigned => unsigned(first(left), first(right)),
            Strategy::UnsignedDescending => unsigned(first(right), first(left)),
            Strategy::String => string(first(left), first(right)),
            Strategy::Sequential => keys(def.parts(), first(left), first(right), def.part_count()),
            Strategy::Generic => tuples(def, left, right),
        }
    }

    #[inline]
    pub(super) fn hash(self, def: &KeyDef, tuple: &RawTuple) -> u64 {
        match self {
            Strategy::Unsigned | Strategy::UnsignedDescending => hash_unsigned(first(tuple)),
            Strategy::String => hash_string(first(tuple)),
            Strategy::Sequential | Strategy::Generic => {
                let parts = def.parts()[..def.unique_part_count()].iter();
                hash(parts.map(|part| (part, part.value(tuple))))
            }
        }
    }

    #[inline]
    pub(super) fn key_hash(self, def: &KeyDef, key: &[u8]) -> u64 {
        match self {
            Strategy::Unsigned | Strategy::UnsignedDescending => hash_unsigned(key),
            Strategy::String => hash_string(key),
            Strategy::Sequential | Strategy::Generic => {
                let mut rest = key;
                hash(def.parts()[..def.unique_part_count()].iter().map(|part| {
                    let value = rest;
                    rest = skip(rest);
                    (part, Some(value))
                }))
            }
        }
    }

    #[inline]
    pub(super) fn compare_with_key(
        self,
        def: &KeyDef,
        tuple: &RawTuple,
        key: &[u8],
        part_count: usize,
    ) -> Ordering {
        if part_count == 0 {
            return Ordering::Equal;
        }
        match self {
            Strategy::Unsigned => unsigned(first(tuple), key),
            Strategy::UnsignedDescending => unsigned(key, first(tuple)),
            Strategy::String => string(first(tuple), key),
            Strategy::Sequential => keys(def.parts(), first(tuple), key, part_count),
            Strategy::Generic => tuple_with_key(def, tuple, key, part_count),
        }
    }
}

/// Hash of the values of parts. Values that compare equal hash equal.
fn hash<'a>(values: impl Iterator<Item = (&'a Part, Option<&'a [u8]>)>) -> u64 {
    let mut hasher = HASH_STATE.build_hasher();
    for (part, value) in values {
        let value = value.unwrap_or(&[item::NIL]);
        match item::string(value) {
            Some(text) if part.collator.is_none() => text.hash(&mut hasher),
            _ => order::hash(value, part.collator, &mut hasher),
        }
    }
    hasher.finish()
}

/// The seeds are fixed: a hash index iterates in the same order in every run.
const HASH_STATE: ahash::RandomState = ahash::RandomState::with_seeds(13, 17, 19, 23);

/// Hash of one unsigned integer.
#[inline]
fn hash_unsigned(data: &[u8]) -> u64 {
    // Two odd constants without pattern (fractions of e and pi), multiplied and folded: every bit
    // of the number reaches every bit of the hash.
    let number = item::uint(data).unwrap_or(0) ^ 0xb7e1_5162_8aed_2a6b;
    let product = u128::from(number) * 0x243f_6a88_85a3_08d3;
    (product >> 64) as u64 ^ product as u64
}

/// Hash of one string without collation.
#[inline]
fn hash_string(data: &[u8]) -> u64 {
    HASH_STATE.hash_one(item::string(data))
}

/// Order of `count` parts written one after another on both sides.
pub(super) fn keys(parts: &[Part], left: &[u8], right: &[u8], count: usize) -> Ordering {
    let (mut left, mut right) = (left, right);
    for (index, part) in parts.iter().take(count).enumerate() {
        let order = part_values(part, Some(left), Some(right));
        if order != Ordering::Equal || index + 1 == count {
            return order;
        }
        left = skip(left);
        right = skip(right);
    }
    Ordering::Equal
}

/// Order of two values of a part, by its type, collation and sort order; nil and absent values
/// come first.
#[inline]
fn part_values(part: &Part, left: Option<&[u8]>, right: Option<&[u8]>) -> Ordering {
    let order = if part.is_nullable() {
        match (value_or_nil(left), value_or_nil(right)) {
            (Some(left), Some(right)) => compare_values(part, left, right),
            (left, right) => left.is_some().cmp(&right.is_some()),
        }
    } else {
        let (left, right) = (left.unwrap_or(&[]), right.unwrap_or(&[]));
        compare_values(part, left, right)
    };
    if part.order == SortOrder::Descending { order.reverse() } else { order }
}

fn tuples(def: &KeyDef, left: &RawTuple, right: &RawTuple) -> Ordering {
    let (unique, rest) = def.parts().split_at(def.unique_part_count());
    let mut has_nil = false;
    for part in unique {
        let (left, right) = (part.value(left), part.value(right));
        match part_values(part, left, right) {
            Ordering::Equal => {
                has_nil |= part.is_nullable() && value_or_nil(left).is_none();
            }
            order => return order,
        }
    }
    if !has_nil {
        return Ordering::Equal;
    }
    // Keys with nil are never duplicates: the primary key's parts tell them apart.
    for part in rest {
        match part_values(part, part.value(left), part.value(right)) {
            Ordering::Equal => {}
            order => return order,
        }
    }
    Ordering::Equal
}

fn tuple_with_key(def: &KeyDef, tuple: &RawTuple, key: &[u8], part_count: usize) -> Ordering {
    let mut key = key;
    for (index, part) in def.parts().iter().take(part_count).enumerate() {
        let order = part_values(part, part.value(tuple), Some(key));
        if order != Ordering::Equal || index + 1 == part_count {
            return order;
        }
        key = skip(key);
    }
    Ordering::Equal
}

#[inline]
fn unsigned(left: &[u8], right: &[u8]) -> Ordering {
    item::uint(left).cmp(&item::uint(right))
}

#[inline]
fn string(left: &[u8], right: &[u8]) -> Ordering {
    item::string(left).cmp(&item::string(right))
}

const fn is_unsigned(kind: FieldType) -> bool {
    use FieldType::{Uint8, Uint16, Uint32, Uint64, Unsigned};
    matches!(kind, Unsigned | Uint8 | Uint16 | Uint32 | Uint64)
}

/// The tuple from its first field on.
#[inline]
fn first(tuple: &RawTuple) -> &[u8] {
    let data = tuple.data();
    match item::array(data) {
        Some((_, head)) => &data[head..],
        None => &[],
    }
}

#[inline]
fn value_or_nil(value: Option<&[u8]>) -> Option<&[u8]> {
    value.filter(|value| item::kind(value) != Kind::Nil)
}

#[inline]
fn skip(data: &[u8]) -> &[u8] {
    item::size(data).and_then(|size| data.get(size..)).unwrap_or(&[])
}
