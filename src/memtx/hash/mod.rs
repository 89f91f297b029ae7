//! The unordered index: extendible hashing over segments that are hashbrown tables.
//!
//! One large table would stop the tx thread while it grows and could not be shared with a view but
//! as a whole. Here a directory leads from the first bits of a hash to a segment of at most 896
//! tuples. A full segment splits in two; the directory doubles when a segment would need more
//! bits than it has. A segment that a view may reach is copied before it is written, as nodes of
//! a tree are. A row takes between 10 and 21 bytes, 14 on average.
//!
//! # Invariants
//! - Segments of depth `d` hold exactly the elements whose hashes begin with their `d` bits, and
//!   fill `2^(directory depth - d)` neighbouring slots of the directory.
//! - A segment never grows by itself: room is made before an insertion, so that the size charged
//!   to `memtx.memory` is known.
//!
//! # Yields
//! Never.

mod segment;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering as AtomicOrdering};

use segment::{SEGMENT_CAPACITY, SegmentPtr, inner_hash};

use super::reclaim::{Reclaimer, ViewToken};
use crate::tuple::arena::prefetch;

/// Most bits of the directory: far more rows than memory holds, and buckets of a segment go by
/// other bits.
const DEPTH_MAX: u32 = 22;

/// The bits of a hash that `collect_in_order` tells places apart by.
const PLACE_MASK: u64 = !0x7ff;

/// When elements of a hash are the same.
pub trait Identity {
    /// A handle of one word.
    type Item: Copy;
    /// A whole key.
    type Key<'k>: Copy;

    /// The hash of an element.
    fn hash(&self, item: Self::Item) -> u64;
    /// The hash of a key, the same as that of an element with that key.
    fn key_hash(&self, key: Self::Key<'_>) -> u64;
    /// Whether the elements have the same key.
    fn is_equal(&self, a: Self::Item, b: Self::Item) -> bool;
    /// Whether the element has that key.
    fn is_equal_to_key(&self, item: Self::Item, key: Self::Key<'_>) -> bool;
    /// Ask the cache for what the handle points to.
    fn prefetch(item: Self::Item);
    /// Let go of the reference that an owning hash holds to the element.
    ///
    /// # Safety
    /// The hash held a reference, and does not use the element afterwards.
    unsafe fn release(item: Self::Item);
}

/// The hash. See the module for its shape.
pub struct Hash<I: Identity> {
    identity: I,
    /// `2^depth` slots.
    directory: Vec<SegmentPtr<I::Item>>,
    depth: u32,
    len: u64,
    size_bytes: usize,
    /// Tells this hash from any other.
    id: u64,
    version: u64,
    reclaimer: Rc<Reclaimer>,
    /// Segments of this epoch and before may be reached by a view; 0 without views.
    shared_epoch: u64,
    /// Whether the hash holds a reference to each element, which `clear` lets go of.
    owns: bool,
}

impl<I: Identity> Hash<I> {
    /// An empty hash; for `owns` see `Tree::new`.
    pub fn new(identity: I, reclaimer: Rc<Reclaimer>, owns: bool) -> Hash<I> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let mut hash = Hash {
            identity,
            directory: Vec::new(),
            depth: 0,
            len: 0,
            size_bytes: 0,
            id: NEXT_ID.fetch_add(1, AtomicOrdering::Relaxed),
            version: 0,
            reclaimer,
            shared_epoch: 0,
            owns,
        };
        let segment = hash.alloc(0, 0);
        hash.directory.push(segment);
        hash
    }

    /// When elements are the same.
    pub fn identity(&self) -> &I {
        &self.identity
    }

    /// Change what the identity refers to. The elements must be told apart as before.
    pub fn set_identity(&mut self, identity: I) {
        self.identity = identity;
    }

    /// Elements in the hash.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the hash has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes taken by the table; not what only views reach.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes + self.directory.capacity() * size_of::<SegmentPtr<I::Item>>()
    }

    /// Identity and version: elements stand where they stood while these are the same.
    pub fn version(&self) -> (u64, u64) {
        (self.id, self.version)
    }

    /// The element with the key.
    #[inline]
    pub fn get(&self, key: I::Key<'_>) -> Option<I::Item> {
        let hash = self.identity.key_hash(key);
        let table = &self.segment(hash).get().table;
        table.find(inner_hash(hash), |&item| self.identity.is_equal_to_key(item, key)).copied()
    }

    /// The element with the same key as this one.
    #[inline]
    pub fn get_item(&self, item: I::Item) -> Option<I::Item> {
        let hash = self.identity.hash(item);
        let table = &self.segment(hash).get().table;
        table.find(inner_hash(hash), |&other| self.identity.is_equal(other, item)).copied()
    }

    /// Ask the cache for the place of the handles that a look-up of this hash reads.
    #[inline]
    pub fn prefetch_place(&self, hash: u64) {
        let table = &self.segment(hash).get().table;
        let none = table.find(inner_hash(hash), |item| {
            prefetch(std::ptr::from_ref(item).cast());
            false
        });
        debug_assert!(none.is_none());
    }

    /// Ask the cache for the elements that a look-up of this hash compares. It waits for their
    /// handles: ask for the places of several hashes first.
    #[inline]
    pub fn prefetch_items(&self, hash: u64) {
        let table = &self.segment(hash).get().table;
        let none = table.find(inner_hash(hash), |&item| {
            I::prefetch(item);
            false
        });
        debug_assert!(none.is_none());
    }

    /// Put the element into the hash in place of the one with the same key, if there is one,
    /// which is returned. `decide` is told of that one first and may refuse.
    pub fn insert_if<E>(
        &mut self,
        item: I::Item,
        decide: impl FnOnce(Option<I::Item>) -> Result<(), E>,
    ) -> Result<Option<I::Item>, E> {
        let hash = self.identity.hash(item);
        let segment = self.segment(hash);
        let found = {
            let identity = &self.identity;
            let table = &segment.get().table;
            table.find_bucket_index(inner_hash(hash), |&other| identity.is_equal(other, item))
        };
        if let Some(index) = found {
            let old = segment.get().table.get_bucket(index).copied();
            decide(old)?;
            let segment = self.begin_write(hash);
            if let Some(place) = segment.get_mut().table.get_bucket_mut(index) {
                *place = item;
            }
            return Ok(old);
        }
        decide(None)?;
        self.begin_write(hash);
        let segment = self.make_room(hash);
        // The hasher is not called: there is room.
        segment
            .get_mut()
            .table
            .insert_unique(inner_hash(hash), item, |_| unreachable!("room was made"));
        self.len += 1;
        Ok(None)
    }

    /// Put the element into the hash; returns the one with the same key that it displaced.
    pub fn replace(&mut self, item: I::Item) -> Option<I::Item> {
        match self.insert_if(item, |_| Ok::<(), std::convert::Infallible>(())) {
            Ok(old) => old,
            Err(never) => match never {},
        }
    }

    /// Take the element with the same key as this one out of the hash and return it.
    pub fn remove(&mut self, item: I::Item) -> Option<I::Item> {
        let hash = self.identity.hash(item);
        self.get_item(item)?;
        let segment = self.begin_write(hash).get_mut();
        let identity = &self.identity;
        let same = |&other: &I::Item| identity.is_equal(other, item);
        let entry = segment.table.find_entry(inner_hash(hash), same).ok()?;
        let (removed, _) = entry.remove();
        self.len -= 1;
        self.shrink(hash);
        Some(removed)
    }

    /// Take all elements out, and let go of them if the hash owns them.
    pub fn clear(&mut self) {
        self.version += 1;
        self.release_segments();
        (self.depth, self.len, self.size_bytes, self.shared_epoch) = (0, 0, 0, 0);
        let segment = self.alloc(0, 0);
        self.directory = vec![segment];
    }

    /// An element chosen by the number.
    pub fn random(&self, random: u64) -> Option<I::Item> {
        if self.is_empty() {
            return None;
        }
        let slots = self.directory.len() as u64;
        let start = (random % slots) as usize;
        for offset in 0..self.directory.len() {
            let table = &self.directory[(start + offset) % self.directory.len()].get().table;
            if table.is_empty() {
                continue;
            }
            let buckets = table.num_buckets();
            let first = ((random / slots) % buckets as u64) as usize;
            let found = (0..buckets).find_map(|at| table.get_bucket((first + at) % buckets));
            return found.copied();
        }
        None
    }

    /// Walk in pieces: append the elements of the segment at `from`, a beginning of hashes, and
    /// return the beginning of the next segment. A walk that starts at 0 and goes on so until
    /// `None` meets each element once that stays all the while, whatever else changes in between.
    pub fn collect_segment(&self, from: u64, items: &mut Vec<I::Item>) -> Option<u64> {
        let segment = self.segment(from).get();
        let first = self.first_hash(from, segment.depth);
        let all = segment.table.iter().copied();
        if first == from {
            items.extend(all);
        } else {
            // Segments were merged behind a walk: it has been in the lower half.
            items.extend(all.filter(|&item| self.identity.hash(item) >= from));
        }
        if segment.depth == 0 {
            return None;
        }
        first.checked_add(1 << (64 - segment.depth))
    }

    /// Walk in the order of hashes: append elements with hashes from `from` on, at least `count`
    /// unless the end comes first, and return where to go on. Places are the upper 53 bits of
    /// hashes, which a double holds exactly. The walk meets each element once that stays all the
    /// while, whatever else changes, and it needs no state: what `SCAN` promises.
    pub fn collect_in_order(
        &self,
        from: u64,
        count: usize,
        items: &mut Vec<I::Item>,
    ) -> Option<u64> {
        let enough = items.len() + count.max(1);
        let mut from = from;
        loop {
            let mut segment = Vec::new();
            let next = self.collect_segment(from, &mut segment);
            segment.iter().for_each(|&item| I::prefetch(item));
            let hashed = segment.into_iter().map(|item| (self.identity.hash(item), item));
            let mut hashed: Vec<_> = hashed.filter(|&(hash, _)| hash >= from).collect();
            hashed.sort_unstable_by_key(|&(hash, _)| hash);
            let mut last_place = None;
            for (hash, item) in hashed {
                let place = hash & PLACE_MASK;
                if items.len() >= enough && last_place != Some(place) {
                    return Some(place);
                }
                last_place = Some(place);
                items.push(item);
            }
            from = next?;
            if items.len() >= enough {
                return Some(from);
            }
        }
    }

    /// The smallest hash that belongs to the segment of this one.
    pub fn first_hash_of_segment(&self, hash: u64) -> u64 {
        self.first_hash(hash, self.segment(hash).get().depth)
    }

    /// Take a view that the token keeps open. The token must come from the hash's reclaimer.
    pub fn read_view(&mut self, token: &ViewToken) -> HashView<I::Item> {
        self.shared_epoch = self.reclaimer.join(token);
        let mut segments = self.directory.clone();
        segments.dedup();
        let token = token.clone();
        HashView { segments, segment: 0, bucket: 0, len: self.len, _token: token }
    }

    #[inline(always)]
    fn slot(&self, hash: u64) -> usize {
        // Shifting by 64 is not defined: shift twice.
        (hash >> 1 >> (63 - self.depth)) as usize
    }

    #[inline(always)]
    fn segment(&self, hash: u64) -> SegmentPtr<I::Item> {
        self.directory[self.slot(hash)]
    }

    /// The smallest hash that shares its first `depth` bits with this one.
    fn first_hash(&self, hash: u64, depth: u32) -> u64 {
        if depth == 0 { 0 } else { hash >> (64 - depth) << (64 - depth) }
    }

    fn alloc(&mut self, depth: u32, capacity: usize) -> SegmentPtr<I::Item> {
        // What was cleared is freed even if nobody asks.
        self.reclaimer.collect(2);
        let segment = SegmentPtr::alloc(self.reclaimer.epoch(), depth, capacity);
        self.size_bytes += segment.get().size_bytes();
        segment
    }

    /// Let go of a segment that the directory does not lead to any more.
    fn release(&mut self, segment: SegmentPtr<I::Item>) {
        self.size_bytes -= segment.get().size_bytes();
        self.reclaimer.retire_unless_newer(segment.dead(), self.shared_epoch);
    }

    /// Let the slots of this hash's segment lead to another one.
    fn point(&mut self, hash: u64, segment: SegmentPtr<I::Item>) {
        let depth = segment.get().depth;
        let first = self.slot(self.first_hash(hash, depth));
        let count = 1usize << (self.depth - depth);
        self.directory[first..first + count].fill(segment);
    }

    /// Before each change: walks must look again, and a segment of a view must be copied.
    fn begin_write(&mut self, hash: u64) -> SegmentPtr<I::Item> {
        self.version += 1;
        let segment = self.segment(hash);
        if self.shared_epoch == 0 {
            return segment;
        }
        if !self.reclaimer.any_open() {
            self.shared_epoch = 0;
            return segment;
        }
        if segment.get().epoch > self.shared_epoch {
            return segment;
        }
        let copy = segment.duplicate(self.reclaimer.epoch());
        self.size_bytes += copy.get().size_bytes();
        self.point(hash, copy);
        self.release(segment);
        copy
    }

    /// The segment of the hash, with room for one element more.
    fn make_room(&mut self, hash: u64) -> SegmentPtr<I::Item> {
        loop {
            let segment = self.segment(hash);
            let table = &segment.get().table;
            if table.len() < table.capacity() {
                return segment;
            }
            if table.len() < SEGMENT_CAPACITY || segment.get().depth == DEPTH_MAX {
                // Double, or sweep out what removals left behind.
                let capacity = (table.len() + table.len() / 4).clamp(3, SEGMENT_CAPACITY);
                self.rebuild(hash, segment, capacity.max(table.len() + 1));
            } else {
                self.split(hash, segment);
            }
        }
    }

    /// Put the elements of a segment into a new one of another capacity.
    fn rebuild(&mut self, hash: u64, segment: SegmentPtr<I::Item>, capacity: usize) {
        let new = self.alloc(segment.get().depth, capacity);
        self.move_items(segment, |_| new);
        self.point(hash, new);
        self.release(segment);
    }

    /// Split a full segment by the next bit of the hashes.
    fn split(&mut self, hash: u64, segment: SegmentPtr<I::Item>) {
        let depth = segment.get().depth + 1;
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|&slot| [slot, slot]).collect();
            self.depth += 1;
        }
        let bit = 1u64 << (64 - depth);
        let items = segment.get().table.iter();
        items.clone().for_each(|&item| I::prefetch(item));
        let ones = items.filter(|&&item| self.identity.hash(item) & bit != 0).count();
        let zeros = segment.get().table.len() - ones;
        let room = |count: usize| (count + count / 8 + 1).min(SEGMENT_CAPACITY);
        let low = self.alloc(depth, room(zeros));
        let high = self.alloc(depth, room(ones));
        self.move_items(segment, |hash| if hash & bit == 0 { low } else { high });
        self.point(hash & !bit, low);
        self.point(hash | bit, high);
        self.release(segment);
    }

    fn move_items(&self, from: SegmentPtr<I::Item>, target: impl Fn(u64) -> SegmentPtr<I::Item>) {
        let items = from.get().table.iter();
        for &item in items.clone() {
            I::prefetch(item);
        }
        for &item in items {
            let hash = self.identity.hash(item);
            let table = &mut target(hash).get_mut().table;
            table.insert_unique(inner_hash(hash), item, |&item| {
                inner_hash(self.identity.hash(item))
            });
        }
    }

    /// After a removal: merge a segment that is nearly empty with its neighbour.
    fn shrink(&mut self, hash: u64) {
        let segment = self.segment(hash);
        let (len, depth) = (segment.get().table.len(), segment.get().depth);
        if len >= SEGMENT_CAPACITY / 8 {
            return;
        }
        if depth == 0 {
            if segment.get().table.capacity() > 4 * len.max(16) {
                self.rebuild(hash, segment, 2 * len);
            }
            return;
        }
        let bit = 1u64 << (64 - depth);
        let neighbour = self.segment(hash ^ bit);
        let total = len + neighbour.get().table.len();
        if neighbour.get().depth != depth || total > SEGMENT_CAPACITY / 2 {
            return;
        }
        let merged = self.alloc(depth - 1, total + total / 8 + 1);
        self.move_items(segment, |_| merged);
        self.move_items(neighbour, |_| merged);
        self.point(hash, merged);
        self.release(segment);
        self.release(neighbour);
    }

    fn release_segments(&mut self) {
        let mut segments = std::mem::take(&mut self.directory);
        segments.dedup();
        for segment in segments {
            self.reclaimer.retire_later(match self.owns {
                true => segment.dead_with_items::<I>(),
                false => segment.dead(),
            });
        }
    }
}

impl<I: Identity> Drop for Hash<I> {
    fn drop(&mut self) {
        self.release_segments();
    }
}

/// The elements of a hash at one moment, in no order. May be sent to another thread.
pub struct HashView<T> {
    segments: Vec<SegmentPtr<T>>,
    segment: usize,
    bucket: usize,
    len: u64,
    /// Declared last: nothing is read once it is dropped.
    _token: ViewToken,
}

// SAFETY: as for a view of a tree: segments that the view reaches are neither written nor freed
// while its token lives.
unsafe impl<T: Send> Send for HashView<T> {}

impl<T> HashView<T> {
    /// Elements that the view had at first.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the view had no elements at first.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T: Copy> Iterator for HashView<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        while let Some(segment) = self.segments.get(self.segment) {
            let table = &segment.get().table;
            while self.bucket < table.num_buckets() {
                self.bucket += 1;
                if let Some(&item) = table.get_bucket(self.bucket - 1) {
                    return Some(item);
                }
            }
            self.segment += 1;
            self.bucket = 0;
        }
        None
    }
}
