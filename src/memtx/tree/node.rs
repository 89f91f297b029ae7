//! Nodes of the tree: their memory, and moving elements inside of them and between them.
//!
//! Hints, tuples, children and counts stand in separate arrays: a search reads hints alone, and
//! only a tie touches a tuple. A leaf takes 1024 bytes and an inner node 4096, because those are
//! size classes of the allocator and nothing is lost to rounding.
//!
//! An inner node keeps for each child the hint and tuple of the smallest element below it, and
//! the number of elements below it, which makes counting and skipping logarithmic.
//!
//! # Invariants
//! A `NodePtr` is private to `memtx::tree`. It is valid from `alloc_*` until `free`, and `free`
//! is called once, by the tree or by the reclaimer, after the last tree and view let go of it.
//! Nodes are written on the tx thread only, and only while no view can reach them (see `view`),
//! so a shared reference handed out here never meets a writer: a mutable one is taken anew for
//! each step and ends with it.

use std::alloc::{Layout, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::{MaybeUninit, size_of};
use std::ptr::{self, NonNull};
use std::slice;

use allocator_api2::alloc::Allocator;

use crate::tuple::arena::{self, Extents};

/// Most elements of a leaf.
pub(super) const LEAF_CAPACITY: usize = 63;
/// Most children of an inner node.
pub(super) const INNER_CAPACITY: usize = 127;

/// What a leaf and an inner node begin with.
#[repr(C)]
pub(super) struct Header {
    /// The epoch of the reclaimer in which the node was made.
    pub(super) epoch: u64,
    len: u32,
    /// 0 is a leaf.
    level: u32,
}

#[repr(C, align(64))]
pub(super) struct Leaf<T> {
    header: Header,
    hints: [u64; LEAF_CAPACITY],
    items: [MaybeUninit<T>; LEAF_CAPACITY],
}

#[repr(C, align(64))]
pub(super) struct Inner<T> {
    header: Header,
    hints: [u64; INNER_CAPACITY],
    items: [MaybeUninit<T>; INNER_CAPACITY],
    children: [MaybeUninit<NodePtr<T>>; INNER_CAPACITY],
    counts: [u64; INNER_CAPACITY],
}

const _: () = assert!(size_of::<Leaf<u64>>() == 1024 && size_of::<Inner<u64>>() == 4096);

/// A child as its parent knows it.
#[derive(Clone, Copy)]
pub(super) struct Child<T> {
    pub(super) hint: u64,
    pub(super) item: T,
    pub(super) node: NodePtr<T>,
    pub(super) count: u64,
}

/// A pointer to a leaf or an inner node; the header tells which.
pub(super) struct NodePtr<T>(NonNull<Header>, PhantomData<*mut T>);

impl<T> Clone for NodePtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for NodePtr<T> {}

impl<T> PartialEq for NodePtr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: Copy> NodePtr<T> {
    /// A new empty node of the level.
    pub(super) fn alloc(level: u32, epoch: u64) -> NodePtr<T> {
        const { assert!(size_of::<T>() == 8, "elements are handles of one word") };
        let room = Self::room(level);
        // SAFETY: the memory was just allocated for a node, which begins with a header. Zeroes are
        // a valid empty node: a length of zero, integer arrays, and arrays that may be
        // uninitialized.
        unsafe {
            room.cast::<u8>().write_bytes(0, Self::size(level));
            room.write(Header { epoch, len: 0, level });
        }
        NodePtr(room, PhantomData)
    }

    /// Memory for a node of the level.
    fn room(level: u32) -> NonNull<Header> {
        let layout = Self::layout(level);
        arena::charge_always(layout.size());
        match Extents.allocate(layout) {
            Ok(room) => room.cast(),
            Err(_) => handle_alloc_error(layout),
        }
    }

    /// A copy of this node for writing, made in the epoch.
    pub(super) fn duplicate(self, epoch: u64) -> NodePtr<T> {
        let copy = NodePtr(Self::room(self.level()), PhantomData);
        // SAFETY: both are allocated with the layout of this level, and do not overlap.
        unsafe {
            ptr::copy_nonoverlapping(
                self.0.as_ptr().cast::<u8>(),
                copy.0.as_ptr().cast::<u8>(),
                Self::layout(self.level()).size(),
            );
            (*copy.0.as_ptr()).epoch = epoch;
        }
        copy
    }

    /// Give the memory of this one node back.
    ///
    /// # Safety
    /// Nothing may use the node afterwards.
    pub(super) unsafe fn free(self) {
        let layout = Self::layout(self.level());
        arena::discharge(layout.size());
        // SAFETY: the node was allocated by `alloc` with this layout; the caller gives it up.
        unsafe { Extents.deallocate(self.0.cast(), layout) }
    }

    /// The node as an untyped pointer, for the reclaimer.
    pub(super) fn into_raw(self) -> NonNull<u8> {
        self.0.cast()
    }

    /// The reverse of `into_raw`.
    pub(super) fn from_raw(raw: NonNull<u8>) -> NodePtr<T> {
        NodePtr(raw.cast(), PhantomData)
    }

    /// Bytes of a node of the level.
    pub(super) fn size(level: u32) -> usize {
        Self::layout(level).size()
    }

    fn layout(level: u32) -> Layout {
        if level == 0 { Layout::new::<Leaf<T>>() } else { Layout::new::<Inner<T>>() }
    }

    fn header(&self) -> &Header {
        // SAFETY: see the invariants of this file.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn epoch(self) -> u64 {
        self.header().epoch
    }

    pub(super) fn level(self) -> u32 {
        self.header().level
    }

    /// Elements of a leaf, children of an inner node.
    pub(super) fn len(self) -> usize {
        self.header().len as usize
    }

    pub(super) fn capacity(self) -> usize {
        if self.level() == 0 { LEAF_CAPACITY } else { INNER_CAPACITY }
    }

    pub(super) fn is_full(self) -> bool {
        self.len() == self.capacity()
    }

    pub(super) fn leaf<'a>(self) -> &'a Leaf<T> {
        debug_assert!(self.level() == 0);
        // SAFETY: level 0 is a leaf; see the invariants of this file.
        unsafe { self.0.cast().as_ref() }
    }

    pub(super) fn inner<'a>(self) -> &'a Inner<T> {
        debug_assert!(self.level() != 0);
        // SAFETY: other levels are inner nodes; see the invariants of this file.
        unsafe { self.0.cast().as_ref() }
    }

    pub(super) fn leaf_mut<'a>(self) -> &'a mut Leaf<T> {
        debug_assert!(self.level() == 0);
        // SAFETY: level 0 is a leaf; the caller holds the tree mutably and no view reaches the
        // node; see the invariants of this file.
        unsafe { self.0.cast().as_mut() }
    }

    pub(super) fn inner_mut<'a>(self) -> &'a mut Inner<T> {
        debug_assert!(self.level() != 0);
        // SAFETY: as in `leaf_mut`.
        unsafe { self.0.cast().as_mut() }
    }

    /// The number of elements in and below the node.
    pub(super) fn total(self) -> u64 {
        match self.level() {
            0 => self.len() as u64,
            _ => self.inner().counts().iter().sum(),
        }
    }

    /// The node as its parent shall know it. The node must not be empty.
    pub(super) fn as_child(self) -> Child<T> {
        let (hint, item) = match self.level() {
            0 => (self.leaf().hints()[0], self.leaf().items()[0]),
            _ => (self.inner().hints()[0], self.inner().items()[0]),
        };
        Child { hint, item, node: self, count: self.total() }
    }

    /// Move the last `count` entries of this node to the front of `right`.
    pub(super) fn move_tail(self, right: NodePtr<T>, count: usize) {
        match self.level() {
            0 => move_tail(self.leaf_mut(), right.leaf_mut(), count),
            _ => move_tail(self.inner_mut(), right.inner_mut(), count),
        }
    }

    /// Move the first `count` entries of this node to the end of `left`.
    pub(super) fn move_head(self, left: NodePtr<T>, count: usize) {
        match self.level() {
            0 => move_head(self.leaf_mut(), left.leaf_mut(), count),
            _ => move_head(self.inner_mut(), left.inner_mut(), count),
        }
    }

    /// Ask the cache for the first lines of the node, all at once: a binary search alone would
    /// wait for memory three or four times in a row.
    #[inline(always)]
    pub(super) fn prefetch_lines(self, lines: usize) {
        for line in 0..lines {
            arena::prefetch(self.0.as_ptr().cast::<u8>().wrapping_add(line * 64));
        }
    }
}

/// What moving entries needs of a leaf and of an inner node alike.
trait Block {
    const CAPACITY: usize;
    fn header(&mut self) -> &mut Header;
    /// Copy entries inside of the block; the ranges may overlap.
    fn copy_within(&mut self, from: usize, to: usize, count: usize);
    /// Copy entries out to another block.
    fn copy_to(&self, from: usize, target: &mut Self, to: usize, count: usize);
}

fn open_gap<B: Block>(block: &mut B, at: usize, count: usize) {
    let len = block.header().len as usize;
    assert!(at <= len && len + count <= B::CAPACITY);
    block.copy_within(at, at + count, len - at);
    block.header().len += count as u32;
}

fn close_gap<B: Block>(block: &mut B, at: usize, count: usize) {
    let len = block.header().len as usize;
    assert!(at + count <= len);
    block.copy_within(at + count, at, len - at - count);
    block.header().len -= count as u32;
}

fn move_tail<B: Block>(left: &mut B, right: &mut B, count: usize) {
    let len = left.header().len as usize;
    assert!(count <= len);
    open_gap(right, 0, count);
    left.copy_to(len - count, right, 0, count);
    left.header().len -= count as u32;
}

fn move_head<B: Block>(right: &mut B, left: &mut B, count: usize) {
    let len = left.header().len as usize;
    open_gap(left, len, count);
    right.copy_to(0, left, len, count);
    close_gap(right, 0, count);
}

impl<T: Copy> Block for Leaf<T> {
    const CAPACITY: usize = LEAF_CAPACITY;

    fn header(&mut self) -> &mut Header {
        &mut self.header
    }

    fn copy_within(&mut self, from: usize, to: usize, count: usize) {
        self.hints.copy_within(from..from + count, to);
        self.items.copy_within(from..from + count, to);
    }

    fn copy_to(&self, from: usize, target: &mut Self, to: usize, count: usize) {
        target.hints[to..to + count].copy_from_slice(&self.hints[from..from + count]);
        target.items[to..to + count].copy_from_slice(&self.items[from..from + count]);
    }
}

impl<T: Copy> Block for Inner<T> {
    const CAPACITY: usize = INNER_CAPACITY;

    fn header(&mut self) -> &mut Header {
        &mut self.header
    }

    fn copy_within(&mut self, from: usize, to: usize, count: usize) {
        self.hints.copy_within(from..from + count, to);
        self.items.copy_within(from..from + count, to);
        self.children.copy_within(from..from + count, to);
        self.counts.copy_within(from..from + count, to);
    }

    fn copy_to(&self, from: usize, target: &mut Self, to: usize, count: usize) {
        let (source, place) = (from..from + count, to..to + count);
        target.hints[place.clone()].copy_from_slice(&self.hints[source.clone()]);
        target.items[place.clone()].copy_from_slice(&self.items[source.clone()]);
        target.children[place.clone()].copy_from_slice(&self.children[source.clone()]);
        target.counts[place].copy_from_slice(&self.counts[source]);
    }
}

/// The first `len` entries of an array whose entries below the node's length are initialized.
#[inline(always)]
fn initialized<V>(array: &[MaybeUninit<V>], len: u32) -> &[V] {
    debug_assert!(len as usize <= array.len());
    // SAFETY: every entry below the length of a node was written when the length grew over it,
    // and the length never exceeds the capacity.
    unsafe { slice::from_raw_parts(array.as_ptr().cast::<V>(), len as usize) }
}

impl<T: Copy> Leaf<T> {
    #[inline(always)]
    pub(super) fn hints(&self) -> &[u64] {
        // SAFETY: the length of a leaf never exceeds its capacity: `open_gap` asserts it.
        unsafe { self.hints.get_unchecked(..self.header.len as usize) }
    }

    #[inline(always)]
    pub(super) fn items(&self) -> &[T] {
        initialized(&self.items, self.header.len)
    }

    pub(super) fn insert(&mut self, at: usize, hint: u64, item: T) {
        open_gap(self, at, 1);
        self.set(at, hint, item);
    }

    /// Add behind the last element.
    pub(super) fn push(&mut self, hint: u64, item: T) {
        let at = self.header.len as usize;
        self.hints[at] = hint;
        self.items[at].write(item);
        self.header.len += 1;
    }

    pub(super) fn set(&mut self, at: usize, hint: u64, item: T) {
        debug_assert!(at < self.header.len as usize);
        self.hints[at] = hint;
        self.items[at].write(item);
    }

    pub(super) fn remove(&mut self, at: usize) {
        close_gap(self, at, 1);
    }
}

impl<T: Copy> Inner<T> {
    #[inline(always)]
    pub(super) fn hints(&self) -> &[u64] {
        // SAFETY: the length of a node never exceeds its capacity: `open_gap` asserts it.
        unsafe { self.hints.get_unchecked(..self.header.len as usize) }
    }

    #[inline(always)]
    pub(super) fn items(&self) -> &[T] {
        initialized(&self.items, self.header.len)
    }

    #[inline(always)]
    pub(super) fn children(&self) -> &[NodePtr<T>] {
        initialized(&self.children, self.header.len)
    }

    pub(super) fn counts(&self) -> &[u64] {
        &self.counts[..self.header.len as usize]
    }

    pub(super) fn counts_mut(&mut self) -> &mut [u64] {
        &mut self.counts[..self.header.len as usize]
    }

    pub(super) fn insert(&mut self, at: usize, child: Child<T>) {
        open_gap(self, at, 1);
        self.set(at, child);
    }

    pub(super) fn set(&mut self, at: usize, child: Child<T>) {
        debug_assert!(at < self.header.len as usize);
        self.hints[at] = child.hint;
        self.items[at].write(child.item);
        self.children[at].write(child.node);
        self.counts[at] = child.count;
    }

    /// Replace the pointer to a child by that to its copy.
    pub(super) fn set_child(&mut self, at: usize, node: NodePtr<T>) {
        self.children[at].write(node);
    }

    /// Replace what is known of the smallest element below a child.
    pub(super) fn set_min(&mut self, at: usize, hint: u64, item: T) {
        self.hints[at] = hint;
        self.items[at].write(item);
    }

    pub(super) fn remove(&mut self, at: usize) {
        close_gap(self, at, 1);
    }
}
