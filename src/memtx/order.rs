//! Tuples in indexes: how a key definition orders, hashes and tells them apart.

use std::cmp::Ordering;
use std::rc::Rc;

use super::hash::Identity;
use super::tree::Order;
use super::tree::view::Prefetch;
use crate::tuple::{KeyDef, RawTuple, Tuple, TuplePtr};

/// A key of an index: some parts, written one after another.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// The parts in MessagePack, without an array around them.
    pub parts: &'k [u8],
    /// How many parts there are; at least one.
    pub part_count: usize,
}

impl<'k> Key<'k> {
    /// The key; `None` when it has no parts, as every tuple is equal to that one.
    pub fn new(parts: &'k [u8], part_count: usize) -> Option<Key<'k>> {
        (part_count > 0).then_some(Key { parts, part_count })
    }
}

/// The order of a key definition.
#[derive(Clone)]
pub struct TupleOrder {
    def: Rc<KeyDef>,
    /// Equal hints mean equal keys: no need to look at tuples.
    is_hint_exact: bool,
}

impl TupleOrder {
    /// The order of an index's `cmp_def`.
    pub fn new(def: Rc<KeyDef>) -> TupleOrder {
        let is_hint_exact = def.is_hint_exact();
        TupleOrder { def, is_hint_exact }
    }
}

/// The tuple behind an element of an index.
#[inline(always)]
fn tuple<'a>(item: TuplePtr) -> &'a RawTuple {
    // SAFETY: the primary index of a space holds a counted reference to each tuple that stands in
    // any index of the space, and callers hold those that they search with.
    unsafe { item.as_ref() }
}

impl Order for TupleOrder {
    type Item = TuplePtr;
    type Key<'k> = Key<'k>;

    #[inline]
    fn hint(&self, item: TuplePtr) -> u64 {
        self.def.hint(tuple(item))
    }

    #[inline]
    fn key_hint(&self, key: Key<'_>) -> u64 {
        self.def.key_hint(key.parts)
    }

    #[inline]
    fn compare(&self, a: TuplePtr, b: TuplePtr) -> Ordering {
        if self.is_hint_exact || a == b {
            return Ordering::Equal;
        }
        self.def.compare(tuple(a), tuple(b))
    }

    #[inline]
    fn compare_key(&self, item: TuplePtr, key: Key<'_>) -> Ordering {
        if self.is_hint_exact {
            return Ordering::Equal;
        }
        self.def.compare_with_key(tuple(item), key.parts, key.part_count)
    }

    #[inline]
    fn prefetch(item: TuplePtr) {
        item.prefetch();
    }

    unsafe fn release(item: TuplePtr) {
        // SAFETY: the owning index gave away a reference when it inserted the tuple, and promises
        // to take it back once.
        drop::<Tuple>(unsafe { item.into_tuple() });
    }
}

impl Prefetch for TuplePtr {
    #[inline]
    fn prefetch(self) {
        TuplePtr::prefetch(self);
    }
}

/// When tuples of a hash index are the same.
#[derive(Clone)]
pub struct TupleIdentity {
    def: Rc<KeyDef>,
}

impl TupleIdentity {
    /// By the key definition of the index.
    pub fn new(def: Rc<KeyDef>) -> TupleIdentity {
        TupleIdentity { def }
    }
}

impl Identity for TupleIdentity {
    type Item = TuplePtr;
    type Key<'k> = Key<'k>;

    #[inline]
    fn hash(&self, item: TuplePtr) -> u64 {
        self.def.hash(tuple(item))
    }

    #[inline]
    fn key_hash(&self, key: Key<'_>) -> u64 {
        self.def.key_hash(key.parts)
    }

    #[inline]
    fn is_equal(&self, a: TuplePtr, b: TuplePtr) -> bool {
        a == b || self.def.compare(tuple(a), tuple(b)) == Ordering::Equal
    }

    #[inline]
    fn is_equal_to_key(&self, item: TuplePtr, key: Key<'_>) -> bool {
        self.def.compare_with_key(tuple(item), key.parts, key.part_count) == Ordering::Equal
    }

    #[inline]
    fn prefetch(item: TuplePtr) {
        item.prefetch();
    }

    unsafe fn release(item: TuplePtr) {
        // SAFETY: as in `TupleOrder`.
        drop::<Tuple>(unsafe { item.into_tuple() });
    }
}
