//! Iterating over an index: at once (`IndexRange`), or step by step while the index may change in
//! between (`IndexIterator`).
//!
//! An iterator over an ordered index remembers the tuple it returned last, and holds a reference
//! to it. As long as the index is unchanged it goes on from its position; else it looks the
//! position up again: behind the remembered tuple, whether that is still there or not. Over a hash
//! index it takes the tuples of one segment at a time; when the index changes, it looks each of
//! those up before returning it.
//!
//! # Invariants
//! A tuple that is in the index from the first step to the last is returned once, with the
//! contents it has then. One that is inserted meanwhile may be.

use smallvec::SmallVec;

use super::hash::{Hash, Identity};
use super::index::{Index, Kind, hold};
use super::iterator_type::IteratorType;
use super::order::{Key, TupleIdentity, TupleOrder};
use super::tree::{Order, Range, Tree, Walk};
use crate::tuple::{Tuple, TuplePtr};

/// A key that an iterator keeps.
#[derive(Clone, Default)]
struct OwnedKey {
    parts: SmallVec<[u8; 24]>,
    part_count: usize,
}

impl OwnedKey {
    fn new(key: Option<Key<'_>>) -> OwnedKey {
        key.map_or_else(OwnedKey::default, |key| OwnedKey {
            parts: SmallVec::from_slice(key.parts),
            part_count: key.part_count,
        })
    }

    fn get(&self) -> Option<Key<'_>> {
        Key::new(&self.parts, self.part_count)
    }
}

/// An iterator that outlives changes of its index.
pub struct IndexIterator {
    iterator: IteratorType,
    key: OwnedKey,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "nearly all are the large one, and a box costs more")]
enum State {
    Tree(TreeState),
    Hash(HashState),
    Done,
}

struct TreeState {
    walk: Walk<TuplePtr>,
    key_hint: u64,
    after: Option<OwnedKey>,
    offset: u64,
    last: Option<Tuple>,
}

#[derive(Default)]
struct HashState {
    /// What is left of the segment, in reverse.
    pending: Vec<Tuple>,
    /// Where the next segment begins.
    next: Option<u64>,
    version: (u64, u64),
    offset: u64,
    last: Option<Tuple>,
}

impl IndexIterator {
    /// An iterator over the index for the type and key, without the tuples up to `after` and
    /// `offset` more. Nothing is looked up before the first step. A hash index knows `Eq`, `All`
    /// and `Gt`, and no `after`.
    pub fn new(
        index: &Index,
        iterator: IteratorType,
        key: Option<Key<'_>>,
        after: Option<Key<'_>>,
        offset: u64,
    ) -> IndexIterator {
        let state = match &index.kind {
            Kind::Tree(tree) => State::Tree(TreeState {
                walk: Walk::nowhere(),
                key_hint: key.map_or(0, |key| tree.order().key_hint(key)),
                after: after.map(|after| OwnedKey::new(Some(after))),
                offset,
                last: None,
            }),
            Kind::Hash(hash) => {
                let mut state = HashState { offset, ..HashState::default() };
                state.start(hash, iterator, key);
                State::Hash(state)
            }
        };
        IndexIterator { iterator, key: OwnedKey::new(key), state }
    }

    /// The next tuple. The index must be the one that the iterator was made for; once `None` was
    /// returned, it is returned ever after.
    #[inline]
    pub fn next(&mut self, index: &Index) -> Option<&Tuple> {
        let found = match (&mut self.state, &index.kind) {
            (State::Tree(state), Kind::Tree(tree)) => state.next(tree, self.iterator, &self.key),
            (State::Hash(state), Kind::Hash(hash)) => state.next(hash),
            _ => None,
        };
        if found.is_none() {
            self.state = State::Done;
        }
        match &self.state {
            State::Tree(state) => state.last.as_ref(),
            State::Hash(state) => state.last.as_ref(),
            State::Done => None,
        }
    }
}

impl TreeState {
    #[inline]
    fn next(
        &mut self,
        tree: &Tree<TupleOrder>,
        iterator: IteratorType,
        key: &OwnedKey,
    ) -> Option<()> {
        if !self.walk.is_current(tree) {
            self.walk = match &self.last {
                Some(last) => tree.walk_after(last.as_ptr(), iterator.is_reverse()),
                None => {
                    let after = self.after.as_ref().and_then(OwnedKey::get);
                    tree.walk(iterator, key.get(), after, self.offset)
                }
            };
        }
        let (hint, item) = self.walk.step(tree)?;
        if matches!(iterator, IteratorType::Eq | IteratorType::Req)
            && let Some(key) = key.get()
            && !tree.is_equal(hint, item, self.key_hint, key)
        {
            return None;
        }
        self.last = Some(hold(item));
        Some(())
    }
}

impl HashState {
    /// Stand before the first tuple.
    fn start(&mut self, hash: &Hash<TupleIdentity>, iterator: IteratorType, key: Option<Key<'_>>) {
        self.version = hash.version();
        let Some(key) = key.filter(|_| iterator != IteratorType::All) else {
            self.next = Some(0);
            return;
        };
        let Some(found) = hash.get(key) else { return };
        if iterator == IteratorType::Eq {
            self.pending.push(hold(found));
            return;
        }
        // Behind the place of the key, in the order in which tuples happen to stand.
        self.next = Some(hash.first_hash_of_segment(hash.identity().key_hash(key)));
        self.collect(hash);
        let place = self.pending.iter().position(|tuple| tuple.as_ptr() == found);
        self.pending.truncate(place.unwrap_or(0));
    }

    fn next(&mut self, hash: &Hash<TupleIdentity>) -> Option<()> {
        loop {
            let Some(tuple) = self.pending.pop() else {
                self.next?;
                self.collect(hash);
                continue;
            };
            let current = match self.version == hash.version() {
                true => Some(tuple),
                false => hash.get_item(tuple.as_ptr()).map(hold),
            };
            let Some(current) = current else { continue };
            if self.offset > 0 {
                self.offset -= 1;
                continue;
            }
            self.last = Some(current);
            return Some(());
        }
    }

    /// Take the tuples of the next segment.
    fn collect(&mut self, hash: &Hash<TupleIdentity>) {
        let Some(from) = self.next else { return };
        let mut items = Vec::new();
        self.next = hash.collect_segment(from, &mut items);
        self.version = hash.version();
        items.iter().for_each(|&item| TupleIdentity::prefetch(item));
        self.pending.extend(items.into_iter().rev().map(hold));
    }
}

/// The tuples of an index for some key, read at once. Yields bare pointers, which are good while
/// the range borrows the index.
pub enum IndexRange<'a, 'k> {
    /// Of an ordered index.
    Tree(Range<'a, 'k, TupleOrder>),
    /// Of a hash index.
    Hash(HashRange<'a>),
}

/// The tuples of a hash index, read at once.
pub struct HashRange<'a> {
    index: &'a Index,
    iterator: IndexIterator,
}

impl<'a, 'k> IndexRange<'a, 'k> {
    pub(super) fn new(
        index: &'a Index,
        iterator: IteratorType,
        key: Option<Key<'k>>,
        after: Option<Key<'_>>,
        offset: u64,
    ) -> IndexRange<'a, 'k> {
        match &index.kind {
            Kind::Tree(tree) => IndexRange::Tree(tree.range(iterator, key, after, offset)),
            Kind::Hash(_) => {
                let iterator = IndexIterator::new(index, iterator, key, after, offset);
                IndexRange::Hash(HashRange { index, iterator })
            }
        }
    }
}

impl Iterator for IndexRange<'_, '_> {
    type Item = TuplePtr;

    #[inline]
    fn next(&mut self) -> Option<TuplePtr> {
        match self {
            IndexRange::Tree(range) => range.next(),
            IndexRange::Hash(range) => range.iterator.next(range.index).map(Tuple::as_ptr),
        }
    }
}
