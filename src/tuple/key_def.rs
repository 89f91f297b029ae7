//! Key definitions: which fields of a tuple make a key, in which order, compared how.
//!
//! An index has two: `key_def` as the user defined it, which keys of requests are checked
//! against, and `cmp_def`, the same with the primary key's parts appended ([`KeyDef::merge`]),
//! which orders the tuples so that no two are equal.
//!
//! # Invariants
//! A key definition has at least one part, and each part's type has an order.

mod decode;

use std::cmp::Ordering;

use super::body::RawTuple;
use super::collation;
use super::compare::{self, Strategy};
use super::field_type::FieldType;
use super::format::{COLLATION_NONE, NullableAction};
use super::hint;
use super::item::{self, Kind};
use super::json_path::Path;
use crate::base::Result;
use crate::client_error;
use crate::value::collation::Collation;

/// Which way a part is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SortOrder {
    /// Smallest first.
    #[default]
    Ascending,
    /// Greatest first.
    Descending,
}

/// One part of a key.
#[derive(Clone, Debug)]
pub struct Part {
    /// Number of the field, from 0.
    pub field: u32,
    /// Where inside the field the value is; `None` for the field itself.
    pub path: Option<Path>,
    /// The type of the value.
    pub kind: FieldType,
    /// Digits after the point of a fixed-point decimal type.
    pub scale: i64,
    /// Id of the collation, or [`COLLATION_NONE`].
    pub collation: u32,
    /// What happens if the value is nil or absent; `None` admits it.
    pub nullable_action: NullableAction,
    /// Whether tuples whose value is nil or absent are not in the index at all.
    pub exclude_null: bool,
    /// Which way it is sorted.
    pub order: SortOrder,
    /// The collation, found by the key definition; `None` where strings compare as bytes.
    pub(super) collator: Option<&'static Collation>,
}

/// A key definition.
#[derive(Clone, Debug)]
pub struct KeyDef {
    parts: Box<[Part]>,
    /// Parts that decide whether two tuples without nils are the same to a unique index.
    unique_part_count: usize,
    strategy: Strategy,
    is_nullable: bool,
    has_exclude_null: bool,
    is_sequential: bool,
}

impl Part {
    /// A part that is a whole field which may not be nil.
    pub fn new(field: u32, kind: FieldType) -> Part {
        Part {
            field,
            path: None,
            kind,
            scale: 0,
            collation: COLLATION_NONE,
            nullable_action: NullableAction::Default,
            exclude_null: false,
            order: SortOrder::Ascending,
            collator: None,
        }
    }

    /// The same part, but it may be nil.
    #[must_use]
    pub fn nullable(mut self) -> Part {
        self.nullable_action = NullableAction::None;
        self
    }

    /// Whether it may be nil or absent.
    #[inline]
    pub fn is_nullable(&self) -> bool {
        self.nullable_action == NullableAction::None
    }

    /// The part's value in the tuple, with the rest of the tuple behind it.
    #[inline]
    pub fn value<'a>(&self, tuple: &'a RawTuple) -> Option<&'a [u8]> {
        match &self.path {
            None => tuple.field_and_rest(self.field),
            Some(path) => tuple.field_at_path(self.field, path),
        }
    }

    /// The part's value in a tuple that is only bytes, with the rest behind it.
    pub fn value_in<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        value_in(data, self)
    }

    /// The collation by which strings compare; `None` where they compare as bytes.
    #[inline]
    pub fn collator(&self) -> Option<&'static Collation> {
        self.collator
    }

    /// Whether both are the same place in a tuple.
    fn is_same_place(&self, other: &Part) -> bool {
        self.field == other.field && self.path == other.path
    }
}

impl KeyDef {
    /// A key definition of these parts.
    pub fn new(mut parts: Vec<Part>) -> Result<KeyDef> {
        assert!(!parts.is_empty(), "a key has at least one part");
        for (index, part) in parts.iter_mut().enumerate() {
            part.resolve()
                .map_err(|problem| client_error!(ER_WRONG_INDEX_PARTS, index + 1, problem))?;
        }
        let unique_part_count = parts.len();
        Ok(KeyDef::assemble(parts, unique_part_count))
    }

    fn assemble(parts: Vec<Part>, unique_part_count: usize) -> KeyDef {
        let is_sequential = parts
            .iter()
            .enumerate()
            .all(|(index, part)| part.path.is_none() && part.field as usize == index);
        KeyDef {
            strategy: Strategy::choose(&parts, is_sequential),
            is_nullable: parts.iter().any(Part::is_nullable),
            has_exclude_null: parts.iter().any(|part| part.exclude_null),
            is_sequential,
            parts: parts.into(),
            unique_part_count,
        }
    }

    /// The parts.
    #[inline]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Count of parts.
    #[inline]
    pub fn part_count(&self) -> usize {
        self.parts.len()
    }

    /// Parts that decide uniqueness where no part is nil.
    #[inline]
    pub fn unique_part_count(&self) -> usize {
        self.unique_part_count
    }

    /// For a unique index's `cmp_def`: only so many parts decide uniqueness where none is nil.
    pub fn set_unique_part_count(&mut self, count: usize) {
        assert!(count <= self.parts.len());
        self.unique_part_count = count;
        if count < self.parts.len() {
            // The short ways compare all parts.
            self.strategy = Strategy::Generic;
        }
    }

    /// Whether some part may be nil.
    pub fn is_nullable(&self) -> bool {
        self.is_nullable
    }

    /// Whether the index leaves out tuples that are nil in some part.
    pub fn has_exclude_null(&self) -> bool {
        self.has_exclude_null
    }

    /// Whether the parts are the tuple's first fields, in order.
    pub fn is_sequential(&self) -> bool {
        self.is_sequential
    }

    /// Whether this tuple is left out of the index, being nil where a part excludes nil.
    pub fn is_excluded(&self, tuple: &RawTuple) -> bool {
        self.has_exclude_null
            && self.parts.iter().any(|part| {
                part.exclude_null
                    && part.value(tuple).is_none_or(|value| item::kind(value) == Kind::Nil)
            })
    }

    /// Whether some part of the tuple's key is nil or absent. Such a key is never a duplicate.
    pub fn has_nil(&self, tuple: &RawTuple) -> bool {
        self.is_nullable
            && self.parts.iter().any(|part| {
                part.is_nullable()
                    && part.value(tuple).is_none_or(|value| item::kind(value) == Kind::Nil)
            })
    }

    /// Order of two tuples. Does not look at hints: the index compares them first.
    #[inline]
    pub fn compare(&self, left: &RawTuple, right: &RawTuple) -> Ordering {
        self.strategy.compare(self, left, right)
    }

    /// Order of a tuple and a key of `part_count` parts, written one after another; the tuple's
    /// parts beyond those do not count.
    #[inline]
    pub fn compare_with_key(&self, tuple: &RawTuple, key: &[u8], part_count: usize) -> Ordering {
        self.strategy.compare_with_key(self, tuple, key, part_count)
    }

    /// Order of two keys, each with its count of parts; the shorter one decides how far.
    pub fn compare_keys(
        &self,
        left: &[u8],
        left_count: usize,
        right: &[u8],
        right_count: usize,
    ) -> Ordering {
        compare::keys(&self.parts, left, right, left_count.min(right_count))
    }

    /// The tuple's hint: hints of two tuples are in the same order as the tuples, or equal.
    #[inline]
    pub fn hint(&self, tuple: &RawTuple) -> u64 {
        let part = &self.parts[0];
        hint::of_part(part, part.value(tuple))
    }

    /// The key's hint, comparable with tuples' hints. The key is not empty: an empty one is equal
    /// to all tuples and needs no comparison.
    #[inline]
    pub fn key_hint(&self, key: &[u8]) -> u64 {
        hint::of_part(&self.parts[0], Some(key))
    }

    /// Whether tuples with equal hints are equal, so that a comparison need not look at them.
    #[inline]
    pub fn is_hint_exact(&self) -> bool {
        self.strategy.is_hint_exact()
    }

    /// Hash of the tuple's key; tuples with equal keys have equal hashes.
    #[inline]
    pub fn hash(&self, tuple: &RawTuple) -> u64 {
        self.strategy.hash(self, tuple)
    }

    /// Hash of a key with all parts, the same as that of a tuple with that key.
    #[inline]
    pub fn key_hash(&self, key: &[u8]) -> u64 {
        self.strategy.key_hash(self, key)
    }

    /// The tuple's key as a MessagePack array; nil stands for absent parts.
    pub fn extract_key(&self, tuple: &RawTuple) -> Vec<u8> {
        let mut key = Vec::with_capacity(16);
        item::write_array(&mut key, self.parts.len() as u32);
        for part in &self.parts {
            append_value(&mut key, part.value(tuple));
        }
        key
    }

    /// [`KeyDef::extract_key`] for a tuple that is only bytes yet.
    pub fn extract_key_from(&self, data: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(16);
        item::write_array(&mut key, self.parts.len() as u32);
        for part in &self.parts {
            append_value(&mut key, value_in(data, part));
        }
        key
    }

    /// Whether a key of `part_count` parts, written one after another, fits: a prefix of this
    /// definition with values of the right types. Returns the key's size.
    pub fn validate_key(&self, key: &[u8], part_count: usize) -> Result<usize> {
        if part_count > self.parts.len() {
            return Err(client_error!(ER_KEY_PART_COUNT, self.parts.len(), part_count));
        }
        self.validate_parts(key, part_count, true)
    }

    /// Like [`KeyDef::validate_key`] for a look-up of one tuple: all parts, none nil unless
    /// `allow_nil`.
    pub fn validate_exact_key(
        &self,
        key: &[u8],
        part_count: usize,
        allow_nil: bool,
    ) -> Result<usize> {
        if part_count != self.parts.len() {
            return Err(client_error!(ER_EXACT_MATCH, self.parts.len(), part_count));
        }
        self.validate_parts(key, part_count, allow_nil)
    }

    fn validate_parts(&self, key: &[u8], part_count: usize, allow_nil: bool) -> Result<usize> {
        let mut at = 0;
        for (index, part) in self.parts[..part_count].iter().enumerate() {
            let rest = &key[at..];
            let size = item::size(rest).ok_or_else(|| client_error!(ER_INVALID_MSGPACK, "key"))?;
            part.validate(&rest[..size], index, allow_nil && part.is_nullable())?;
            at += size;
        }
        Ok(at)
    }

    /// Whether the tuple's bytes have a valid value for each part, as a space with this key and
    /// no format demands it.
    pub fn validate_tuple(&self, data: &[u8]) -> Result<()> {
        for (index, part) in self.parts.iter().enumerate() {
            match value_in(data, part) {
                Some(value) => part.validate(value, index, part.is_nullable())?,
                None if part.is_nullable() => {}
                None => {
                    let field = (part.field + 1).to_string();
                    return Err(client_error!(ER_FIELD_MISSING, field));
                }
            }
        }
        Ok(())
    }

    /// This definition with those parts of `other` appended that it does not have.
    pub fn merge(&self, other: &KeyDef) -> KeyDef {
        let mut parts = self.parts.to_vec();
        for part in &other.parts {
            // A part at the same place adds nothing, unless ours calls different values equal and
            // the other tells them apart.
            let adds = match self.parts.iter().find(|mine| mine.is_same_place(part)) {
                None => true,
                Some(mine) => Collation::can_merge(mine.collator, part.collator),
            };
            if adds {
                parts.push(part.clone());
            }
        }
        let unique_part_count = parts.len();
        KeyDef::assemble(parts, unique_part_count)
    }

    /// Whether each part of `other` is at the place of some part of this definition.
    pub fn contains(&self, other: &KeyDef) -> bool {
        let has = |part: &Part| self.parts.iter().any(|mine| mine.is_same_place(part));
        other.parts.iter().all(has)
    }
}

impl Part {
    /// Finds the collation and checks that the part can be compared.
    fn resolve(&mut self) -> Result<(), &'static str> {
        if self.path.as_ref().is_some_and(Path::is_multikey) {
            return Err("multikey indexes are not supported yet");
        }
        self.collator = match self.collation {
            COLLATION_NONE => None,
            id => {
                let collation = collation::by_id(id).ok_or("collation not found by id")?;
                (!collation.is_binary()).then_some(collation)
            }
        };
        Ok(())
    }

    fn validate(&self, value: &[u8], index: usize, allow_nil: bool) -> Result<()> {
        if !self.kind.admits(value, allow_nil) {
            return Err(client_error!(ER_KEY_PART_TYPE, index, self.kind.name()));
        }
        if self.kind < FieldType::Int8 || item::kind(value) == Kind::Nil {
            return Ok(());
        }
        if let Some((min, max)) = self.kind.range() {
            let is_inside = match (item::uint(value), item::int(value)) {
                (Some(number), _) => number <= max,
                (None, number) => number.unwrap_or(0) >= min,
            };
            if !is_inside {
                let kind = self.kind.name();
                return Err(client_error!(ER_KEY_PART_VALUE_OUT_OF_RANGE, index, kind));
            }
        }
        if !compare::fits_fixed_point(self.kind, self.scale, value) {
            return Err(client_error!(ER_KEY_PART_IRREPRESENTABLE_VALUE, index));
        }
        Ok(())
    }
}

/// The part's value in a tuple that is only bytes, with the rest behind it.
fn value_in<'a>(data: &'a [u8], part: &Part) -> Option<&'a [u8]> {
    let field = super::json_path::element(data, part.field)?;
    match &part.path {
        None => Some(field),
        Some(path) => path.follow(field),
    }
}

fn append_value(key: &mut Vec<u8>, value: Option<&[u8]>) {
    let exact = value.and_then(|value| value.get(..item::size(value)?));
    key.extend_from_slice(exact.unwrap_or(&[item::NIL]));
}

#[cfg(test)]
mod tests;
