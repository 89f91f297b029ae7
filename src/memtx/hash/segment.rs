//! One segment of a hash: a hashbrown table of bounded size.

use std::mem::size_of;
use std::ptr::NonNull;

use hashbrown::HashTable;

use super::Identity;
use crate::memtx::reclaim::Dead;
use crate::tuple::arena::{self, Extents};

/// Most elements of a segment: seven eighths of 1024 buckets, hashbrown's largest load.
pub(super) const SEGMENT_CAPACITY: usize = 896;

/// The elements whose hashes begin with the same bits.
pub(super) struct Segment<T> {
    /// The epoch of the reclaimer in which the segment was made.
    pub(super) epoch: u64,
    /// How many leading bits of the hash the elements have in common.
    pub(super) depth: u32,
    pub(super) table: HashTable<T, Extents>,
}

/// The directory goes by the leading bits of a hash, and hashbrown takes its tags from there as
/// well as its buckets from the trailing ones: turn the halves around, so that tags tell elements
/// of a segment apart.
pub(super) fn inner_hash(hash: u64) -> u64 {
    hash.rotate_left(32)
}

/// A segment on the heap; freed by hand, because views may hold it.
pub(super) struct SegmentPtr<T>(NonNull<Segment<T>>);

impl<T> Clone for SegmentPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SegmentPtr<T> {}

impl<T> PartialEq for SegmentPtr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: Copy> SegmentPtr<T> {
    /// A segment with room for `capacity` elements.
    pub(super) fn alloc(epoch: u64, depth: u32, capacity: usize) -> SegmentPtr<T> {
        Self::adopt(Segment { epoch, depth, table: HashTable::with_capacity_in(capacity, Extents) })
    }

    fn adopt(segment: Segment<T>) -> SegmentPtr<T> {
        arena::charge_always(segment.size_bytes());
        SegmentPtr(NonNull::from(Box::leak(Box::new(segment))))
    }

    /// A copy of the segment for writing, made in the epoch.
    pub(super) fn duplicate(self, epoch: u64) -> SegmentPtr<T> {
        let segment = self.get();
        Self::adopt(Segment { epoch, depth: segment.depth, table: segment.table.clone() })
    }

    pub(super) fn get<'a>(self) -> &'a Segment<T> {
        // SAFETY: a segment lives until `free`, which is called once, by the hash or by the
        // reclaimer, after the last hash and view let go of it. It is written on the tx thread,
        // while no view reaches it and no other reference is held.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn get_mut<'a>(mut self) -> &'a mut Segment<T> {
        // SAFETY: as in `get`; the caller holds the hash mutably and owns the segment.
        unsafe { self.0.as_mut() }
    }

    /// Free the segment.
    ///
    /// # Safety
    /// Nothing may use the segment afterwards.
    pub(super) unsafe fn free(self) {
        // SAFETY: it came from a box in `adopt`, and the caller gives it up.
        let segment = unsafe { Box::from_raw(self.0.as_ptr()) };
        arena::discharge(segment.size_bytes());
    }

    /// The segment for the reclaimer.
    pub(super) fn dead(self) -> Dead {
        Dead { created: self.get().epoch, object: self.0.cast(), free: free_segment::<T> }
    }

    /// The segment for the reclaimer, the references to its elements included.
    pub(super) fn dead_with_items<I: Identity<Item = T>>(self) -> Dead {
        // A new segment may hold elements that an older view reaches through an older one.
        Dead { created: 0, object: self.0.cast(), free: free_segment_and_items::<I> }
    }
}

impl<T> Segment<T> {
    /// Bytes taken.
    pub(super) fn size_bytes(&self) -> usize {
        size_of::<Segment<T>>() + self.table.allocation_size()
    }
}

/// # Safety
/// The object is a segment that nothing uses any more.
unsafe fn free_segment<T: Copy>(object: NonNull<u8>) {
    // SAFETY: passed on from the caller.
    unsafe { SegmentPtr::<T>(object.cast()).free() }
}

/// # Safety
/// The object is a segment of an owning hash; nothing uses it or reaches its elements through it.
unsafe fn free_segment_and_items<I: Identity>(object: NonNull<u8>) {
    let segment = SegmentPtr::<I::Item>(object.cast());
    for &item in segment.get().table.iter() {
        // SAFETY: an owning hash holds a reference to each of its elements.
        unsafe { I::release(item) }
    }
    // SAFETY: passed on from the caller.
    unsafe { segment.free() }
}
