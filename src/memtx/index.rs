//! An index of a space, ordered or hashed: what `db` works with.
//!
//! The primary index of a space owns its tuples: it holds one counted reference to each. The
//! other indexes of the space hold bare pointers, so a tuple must enter the primary index first
//! and leave it last, or be held by the caller in between.
//!
//! # Invariants
//! - A tuple stands in a secondary index only while somebody holds a reference to it: the primary
//!   index, or the statement that is changing the space.
//! - While any read view is open, a tuple that leaves a primary index is kept by the reclaimer.
//! - A refused change leaves the index as it was.
//!
//! # Yields
//! Never.
//!
//! # Not here
//! Checking keys against the definition, errors with names of spaces and indexes: `db`.

use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;

use super::hash::{Hash, HashView};
use super::iterator::IndexRange;
use super::iterator_type::IteratorType;
use super::order::{Key, TupleIdentity, TupleOrder};
use super::reclaim::{Dead, Reclaimer, ViewToken};
use super::tree::{TOGETHER_MAX, Tree, TreeBuild, TreeView};
use crate::base::Error;
use crate::tuple::{KeyDef, RawTuple, Tuple, TuplePtr, arena};

/// Room that a change asks for before it begins: more than it takes to split or copy one node on
/// each level of any tree, or to split a segment of a hash.
const ROOM_FOR_CHANGE: usize = 128 * 1024;

/// How a new tuple may meet one with the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DupMode {
    /// There must be none (but for the old tuple of the statement).
    Insert,
    /// There must be one: the old tuple.
    Replace,
    /// There may be one.
    ReplaceOrInsert,
}

/// Why an index refused a change.
#[derive(Debug)]
pub enum Refusal {
    /// The index has this other tuple with the same key (`ER_TUPLE_FOUND`).
    Duplicate(Tuple),
    /// An update would change the primary key (`ER_CANT_UPDATE_PRIMARY_KEY`).
    PrimaryKeyChange,
    /// `memtx.memory` is exhausted.
    Memory(Error),
}

/// What an index is for.
#[derive(Clone)]
pub struct IndexOptions {
    /// The parts of the user's definition.
    pub key_def: Rc<KeyDef>,
    /// The parts with those of the primary key after them, under which no two tuples are equal
    /// but those which may not both be in the index.
    pub cmp_def: Rc<KeyDef>,
    /// Whether this is the primary index, which owns the tuples of the space.
    pub is_primary: bool,
}

pub(super) enum Kind {
    Tree(Tree<TupleOrder>),
    Hash(Hash<TupleIdentity>),
}

/// An index.
pub struct Index {
    pub(super) kind: Kind,
    options: IndexOptions,
    reclaimer: Rc<Reclaimer>,
    build: Option<TreeBuild<TupleOrder>>,
}

/// The tuples of an index at one moment. May be sent to another thread, which reads their bytes.
pub enum IndexView {
    /// Of an ordered index: in order.
    Tree(TreeView<TuplePtr>),
    /// Of a hash index.
    Hash(HashView<TuplePtr>),
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Index({} tuples, {:?})", self.len(), self.options.key_def)
    }
}

impl Index {
    /// An empty ordered index. All indexes of a database share a reclaimer.
    pub fn new_tree(options: IndexOptions, reclaimer: Rc<Reclaimer>) -> Index {
        let order = TupleOrder::new(Rc::clone(&options.cmp_def));
        let tree = Tree::new(order, Rc::clone(&reclaimer), options.is_primary);
        Index { kind: Kind::Tree(tree), options, reclaimer, build: None }
    }

    /// An empty hash index, which must be unique and without nullable parts.
    pub fn new_hash(options: IndexOptions, reclaimer: Rc<Reclaimer>) -> Index {
        let identity = TupleIdentity::new(Rc::clone(&options.key_def));
        let hash = Hash::new(identity, Rc::clone(&reclaimer), options.is_primary);
        Index { kind: Kind::Hash(hash), options, reclaimer, build: None }
    }

    /// The parts of the user's definition.
    pub fn key_def(&self) -> &Rc<KeyDef> {
        &self.options.key_def
    }

    /// The parts that order the tuples.
    pub fn cmp_def(&self) -> &Rc<KeyDef> {
        &self.options.cmp_def
    }

    /// Whether the index owns its tuples.
    pub fn is_primary(&self) -> bool {
        self.options.is_primary
    }

    /// Whether the index is ordered.
    pub fn is_ordered(&self) -> bool {
        matches!(self.kind, Kind::Tree(_))
    }

    /// Give the index other definitions under which its tuples stand as they do, such as after a
    /// part became nullable.
    pub fn set_definitions(&mut self, key_def: Rc<KeyDef>, cmp_def: Rc<KeyDef>) {
        match &mut self.kind {
            Kind::Tree(tree) => tree.set_order(TupleOrder::new(Rc::clone(&cmp_def))),
            Kind::Hash(hash) => hash.set_identity(TupleIdentity::new(Rc::clone(&key_def))),
        }
        self.options.key_def = key_def;
        self.options.cmp_def = cmp_def;
    }

    /// Put `new` in place of `old`; either may be absent. Returns the tuple that left the index,
    /// which is `old` or one with `new`'s key. `old`, if given, must be in the index, unless the
    /// index leaves it out for its nils.
    pub fn replace(
        &mut self,
        old: Option<&Tuple>,
        new: Option<&Tuple>,
        mode: DupMode,
    ) -> Result<Option<Tuple>, Refusal> {
        if new.is_some() && !arena::has_room(ROOM_FOR_CHANGE) {
            let error = Error::out_of_memory(ROOM_FOR_CHANGE, "memtx extents", "index");
            return Err(Refusal::Memory(error));
        }
        self.change(old, new, mode)
    }

    /// Take back a change: `displaced` is what `replace` returned for `inserted`. Does not fail,
    /// whatever the memory.
    pub fn restore(&mut self, inserted: Option<&Tuple>, displaced: Option<&Tuple>) {
        let done = self.change(inserted, displaced, DupMode::ReplaceOrInsert);
        assert!(done.is_ok(), "a change that was possible can be taken back");
    }

    fn change(
        &mut self,
        old: Option<&Tuple>,
        new: Option<&Tuple>,
        mode: DupMode,
    ) -> Result<Option<Tuple>, Refusal> {
        if let Some(new) = new.filter(|new| !self.options.key_def.is_excluded(new))
            && let Some(displaced) = self.insert(old, new, mode)?
        {
            return Ok(Some(displaced));
        }
        match old.filter(|old| !self.options.key_def.is_excluded(old)) {
            Some(old) => Ok(self.remove(old).or_else(|| Some(old.clone()))),
            None => Ok(old.cloned()),
        }
    }

    /// Insert, and return the tuple displaced by that alone.
    fn insert(
        &mut self,
        old: Option<&Tuple>,
        new: &Tuple,
        mode: DupMode,
    ) -> Result<Option<Tuple>, Refusal> {
        let old = old.map(Tuple::as_ptr);
        let decide = |duplicate: Option<TuplePtr>| match duplicate {
            None if mode == DupMode::Replace => Err(Refusal::PrimaryKeyChange),
            Some(duplicate)
                if Some(duplicate) != old && (old.is_some() || mode == DupMode::Insert) =>
            {
                Err(Refusal::Duplicate(hold(duplicate)))
            }
            _ => Ok(()),
        };
        let displaced = match &mut self.kind {
            Kind::Tree(tree) => tree.insert_if(new.as_ptr(), decide)?,
            Kind::Hash(hash) => hash.insert_if(new.as_ptr(), decide)?,
        };
        if self.options.is_primary {
            // The reference of the index; given back by `leave` or when the index is cleared.
            new.clone().into_ptr();
        }
        Ok(displaced.map(|displaced| self.leave(displaced)))
    }

    fn remove(&mut self, old: &Tuple) -> Option<Tuple> {
        let removed = match &mut self.kind {
            Kind::Tree(tree) => tree.remove(old.as_ptr()),
            Kind::Hash(hash) => hash.remove(old.as_ptr()),
        };
        removed.map(|removed| self.leave(removed))
    }

    /// The tuple has left the index: take the reference of the index, and keep the tuple for the
    /// views that are open.
    fn leave(&self, displaced: TuplePtr) -> Tuple {
        if !self.options.is_primary {
            return hold(displaced);
        }
        // SAFETY: a primary index gave a reference away for each of its tuples (`insert`,
        // `build_next`), and this one has just left it.
        let tuple = unsafe { displaced.into_tuple() };
        if self.reclaimer.any_open() {
            let object = tuple.clone().into_ptr();
            let object = NonNull::from(tuple_of(&object)).cast();
            self.reclaimer.retire(Dead { created: 0, object, free: release_tuple });
        }
        tuple
    }

    /// The tuple with the key, which must be whole.
    #[inline]
    pub fn get(&self, key: Key<'_>) -> Option<Tuple> {
        self.find(key).map(hold)
    }

    /// Whether this very tuple is in the index.
    pub fn holds(&self, tuple: &Tuple) -> bool {
        if self.options.key_def.is_excluded(tuple) {
            return false;
        }
        let found = match &self.kind {
            Kind::Tree(tree) => tree.get_item(tuple.as_ptr()),
            Kind::Hash(hash) => hash.get_item(tuple.as_ptr()),
        };
        found == Some(tuple.as_ptr())
    }

    /// As `get`, for a caller that does not keep the tuple.
    #[inline]
    pub fn get_ref(&self, key: Key<'_>) -> Option<&RawTuple> {
        // SAFETY: the tuple is in the index, which cannot change while it is borrowed.
        self.find(key).map(|found| unsafe { found.as_ref() })
    }

    /// As `get`, without counting: the pointer is good until the space changes.
    #[inline]
    pub fn find(&self, key: Key<'_>) -> Option<TuplePtr> {
        match &self.kind {
            Kind::Tree(tree) => tree.get(key),
            Kind::Hash(hash) => hash.get(key),
        }
    }

    /// Ask the cache for what a look-up of a key of one part will need first. For batches: call it
    /// for all keys, then [`Index::prefetch_tuples`] for all places that it returned, then look the
    /// keys up. Any bytes are a key here: the worst is that nothing is gained.
    #[inline]
    pub fn prefetch(&self, key: &[u8]) -> Option<u64> {
        let key_def = &self.options.key_def;
        if !matches!(key_def.parts(), [part] if part.kind.admits(key, false)) {
            return None;
        }
        match &self.kind {
            Kind::Tree(tree) => {
                tree.prefetch(Key { parts: key, part_count: 1 });
                None
            }
            Kind::Hash(hash) => {
                let place = key_def.key_hash(key);
                hash.prefetch_place(place);
                Some(place)
            }
        }
    }

    /// Ask the cache for the tuples at a place that [`Index::prefetch`] returned.
    #[inline]
    pub fn prefetch_tuples(&self, place: u64) {
        if let Kind::Hash(hash) = &self.kind {
            hash.prefetch_items(place);
        }
    }

    /// The tuples with these keys, which must be whole: `each` is told of them in order. Cheaper
    /// than as many calls of `find`, as all wait for memory at the same time.
    pub fn find_together(&self, keys: &[Key<'_>], mut each: impl FnMut(Option<&RawTuple>)) {
        for keys in keys.chunks(TOGETHER_MAX) {
            let mut found = [None; TOGETHER_MAX];
            let mut next = found.iter_mut();
            let mut put = |item: Option<TuplePtr>| {
                item.into_iter().for_each(TuplePtr::prefetch);
                if let Some(place) = next.next() {
                    *place = item;
                }
            };
            match &self.kind {
                Kind::Tree(tree) => tree.get_together(keys, put),
                Kind::Hash(hash) => {
                    let def = &self.options.key_def;
                    let hashes = keys.iter().map(|key| def.key_hash(key.parts));
                    hashes.clone().for_each(|hash_of_key| hash.prefetch_place(hash_of_key));
                    hashes.for_each(|hash_of_key| hash.prefetch_items(hash_of_key));
                    keys.iter().for_each(|key| put(hash.get(*key)));
                }
            }
            for item in &found[..keys.len()] {
                // SAFETY: the tuples are in the index, which cannot change while it is borrowed.
                each(item.map(|item| unsafe { item.as_ref() }));
            }
        }
    }

    /// The tuples for the iterator type and key, without those up to `after` and `offset` more,
    /// to be read at once: the index cannot change meanwhile.
    pub fn range<'a, 'k>(
        &'a self,
        iterator: IteratorType,
        key: Option<Key<'k>>,
        after: Option<Key<'_>>,
        offset: u64,
    ) -> IndexRange<'a, 'k> {
        IndexRange::new(self, iterator, key, after, offset)
    }

    /// Walks an unordered index in pieces without state: at least `count` tuples from a place on,
    /// and the next place, a number of at most 53 bits (see [`Hash::collect_in_order`]). The start
    /// is 0, and 0 is the end. `None`: the index is ordered.
    pub fn scan(&self, place: u64, count: usize) -> Option<(Vec<TuplePtr>, u64)> {
        let Kind::Hash(hash) = &self.kind else { return None };
        let mut items = Vec::new();
        let next = hash.collect_in_order(place << 11, count, &mut items);
        Some((items, next.map_or(0, |hash| hash >> 11)))
    }

    /// How many tuples there are for the iterator type and key. Logarithmic in an ordered index.
    pub fn count(&self, iterator: IteratorType, key: Option<Key<'_>>) -> u64 {
        match &self.kind {
            Kind::Tree(tree) => tree.count(iterator, key),
            Kind::Hash(hash) if iterator == IteratorType::All || key.is_none() => hash.len(),
            Kind::Hash(_) => self.range(iterator, key, None, 0).count() as u64,
        }
    }

    /// The first tuple equal to the key, or of all. For ordered indexes.
    pub fn min(&self, key: Option<Key<'_>>) -> Option<Tuple> {
        self.range(IteratorType::Eq, key, None, 0).next().map(hold)
    }

    /// The last tuple equal to the key, or of all. For ordered indexes.
    pub fn max(&self, key: Option<Key<'_>>) -> Option<Tuple> {
        self.range(IteratorType::Req, key, None, 0).next().map(hold)
    }

    /// A tuple chosen by the number.
    pub fn random(&self, random: u64) -> Option<Tuple> {
        let found = match &self.kind {
            Kind::Tree(tree) => tree.random(random),
            Kind::Hash(hash) => hash.random(random),
        };
        found.map(hold)
    }

    /// Tuples before this one in an ordered index.
    pub fn offset_of(&self, tuple: &Tuple) -> Option<u64> {
        match &self.kind {
            Kind::Tree(tree) => Some(tree.rank_of(tuple.as_ptr()).0),
            Kind::Hash(_) => None,
        }
    }

    /// Tuples in the index.
    pub fn len(&self) -> u64 {
        match &self.kind {
            Kind::Tree(tree) => tree.len(),
            Kind::Hash(hash) => hash.len(),
        }
    }

    /// Whether the index has no tuples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes taken by the index itself, without tuples.
    pub fn bsize(&self) -> usize {
        match &self.kind {
            Kind::Tree(tree) => tree.size_bytes(),
            Kind::Hash(hash) => hash.size_bytes(),
        }
    }

    /// Take all tuples out. Memory is freed by and by, see `Reclaimer::collect`. Clear or drop
    /// secondary indexes before the primary one.
    pub fn clear(&mut self) {
        match &mut self.kind {
            Kind::Tree(tree) => tree.clear(),
            Kind::Hash(hash) => hash.clear(),
        }
    }

    /// Begin to fill the empty index at once, with about `count` tuples.
    pub fn begin_build(&mut self, count: usize) {
        assert!(self.is_empty() && self.build.is_none(), "only an empty index is built");
        if self.is_ordered() {
            let mut build = TreeBuild::new();
            build.reserve(count);
            self.build = Some(build);
        }
    }

    /// Add a tuple. An ordered index finds duplicates in `end_build` only.
    pub fn build_next(&mut self, tuple: &Tuple) -> Result<(), Refusal> {
        if !arena::has_room(ROOM_FOR_CHANGE) {
            let error = Error::out_of_memory(ROOM_FOR_CHANGE, "memtx extents", "index");
            return Err(Refusal::Memory(error));
        }
        let Kind::Tree(tree) = &mut self.kind else {
            return self.change(None, Some(tuple), DupMode::Insert).map(drop);
        };
        if self.options.key_def.is_excluded(tuple) {
            return Ok(());
        }
        let build = self.build.as_mut().expect("the build was begun");
        let item = match self.options.is_primary {
            true => tuple.clone().into_ptr(),
            false => tuple.as_ptr(),
        };
        build.push(tree, item);
        Ok(())
    }

    /// The index is complete. When it has duplicates it is left empty, and one is named.
    pub fn end_build(&mut self) -> Result<(), Refusal> {
        let (Kind::Tree(tree), Some(build)) = (&mut self.kind, self.build.take()) else {
            return Ok(());
        };
        build.finish(tree).map_err(|conflict| {
            let duplicate = hold(conflict.old);
            Self::forget(&self.options, conflict.items);
            Refusal::Duplicate(duplicate)
        })
    }

    /// Give up a build.
    pub fn abort_build(&mut self) {
        match (&mut self.kind, self.build.take()) {
            (Kind::Tree(tree), Some(build)) => Self::forget(&self.options, build.abandon(tree)),
            _ => self.clear(),
        }
    }

    /// Let go of the tuples of a build.
    fn forget(options: &IndexOptions, items: Vec<TuplePtr>) {
        if options.is_primary {
            for item in items {
                // SAFETY: `build_next` gave a reference away for each tuple of a primary index.
                drop(unsafe { item.into_tuple() });
            }
        }
    }

    /// Take a view that the token keeps open; the token comes from the reclaimer of the index.
    pub fn read_view(&mut self, token: &ViewToken) -> IndexView {
        match &mut self.kind {
            Kind::Tree(tree) => IndexView::Tree(tree.read_view(token)),
            Kind::Hash(hash) => IndexView::Hash(hash.read_view(token)),
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        if self.build.is_some() {
            self.abort_build();
        }
    }
}

impl IndexView {
    /// Tuples that the view had at first.
    pub fn len(&self) -> u64 {
        match self {
            IndexView::Tree(view) => view.len(),
            IndexView::Hash(view) => view.len(),
        }
    }

    /// Whether the view had no tuples at first.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The MessagePack of the next tuple. In any thread.
    pub fn next_data(&mut self) -> Option<&[u8]> {
        let next = match self {
            IndexView::Tree(view) => view.next(),
            IndexView::Hash(view) => view.next(),
        }?;
        // SAFETY: while a view is open the reclaimer keeps each tuple that it reaches; only the
        // immutable bytes are read.
        Some(unsafe { next.as_ref() }.data())
    }
}

/// A counted reference to a tuple of an index.
#[inline(always)]
pub(super) fn hold(item: TuplePtr) -> Tuple {
    // SAFETY: the tuple is in an index, or was until a moment ago and the statement holds it.
    unsafe { item.to_tuple() }
}

fn tuple_of(item: &TuplePtr) -> &RawTuple {
    // SAFETY: the caller holds a reference, which it is about to park.
    unsafe { item.as_ref() }
}

/// Lets go of a parked tuple, for the reclaimer.
///
/// # Safety
/// The object is a tuple whose reference was given away in `leave`.
unsafe fn release_tuple(object: NonNull<u8>) {
    // SAFETY: passed on from the caller.
    drop(unsafe { TuplePtr::from_raw(object.as_ptr().cast()).into_tuple() });
}
