//! Where tuples and the nodes of indexes are allocated, and how much of it there may be.
//!
//! Tuples of spaces are charged to `memtx.memory`; running out is an error of the statement that
//! asked, and everything already stored stays. Runtime tuples (those that belong to no space) are
//! counted but not limited.
//!
//! # Invariants
//! Every allocation is freed on the thread that made it, with the size it was made with.

mod prefault;
mod slab;

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};

use crate::base::{Error, Result, error_code};

/// Default of `memtx.memory`, in bytes.
pub const MEMORY_DEFAULT: usize = 256 * 1024 * 1024;
/// Default of `memtx.max_tuple_size`, in bytes.
pub const TUPLE_SIZE_MAX_DEFAULT: usize = 1024 * 1024;

/// What a tuple is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// `memtx.memory`
    Memtx,
    /// Nothing: the tuple belongs to no space.
    Runtime,
}

/// How the arena stands.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// The limit, `memtx.memory`.
    pub quota_size: usize,
    /// Bytes of space tuples, of indexes and of what else is charged to the limit.
    pub memtx_used: usize,
    /// Bytes of those that are not tuples.
    pub index_used: usize,
    /// Count of space tuples.
    pub memtx_count: usize,
    /// Bytes of runtime tuples.
    pub runtime_used: usize,
    /// Bytes of the slabs in which small tuples are, used or not.
    pub slab_size: usize,
    /// Bytes of tuples too large for slabs.
    pub large_size: usize,
}

/// The slabs of one size of pieces.
pub use slab::Class;

thread_local! {
    static RECLAIM: Cell<Option<fn() -> bool>> = const { Cell::new(None) };
    static LIMIT: Cell<usize> = const { Cell::new(MEMORY_DEFAULT) };
    static TUPLE_SIZE_MAX: Cell<usize> = const { Cell::new(TUPLE_SIZE_MAX_DEFAULT) };
    static USED: Cell<usize> = const { Cell::new(0) };
    static CHARGED: Cell<usize> = const { Cell::new(0) };
    static LARGE: Cell<usize> = const { Cell::new(0) };
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static RUNTIME_USED: Cell<usize> = const { Cell::new(0) };
    static SLABS: RefCell<slab::Slabs> = const { RefCell::new(slab::Slabs::new()) };
    static EXTENTS: RefCell<slab::Slabs> = const { RefCell::new(slab::Slabs::new()) };
}

/// Where indexes allocate: an allocator of this thread that keeps huge pages ready. What it gives
/// out is not charged; see [`charge`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Extents;

impl Extents {
    /// A read view is about to make indexes copy what they write to: has memory provided for that.
    pub fn expect_copies(self, size: usize) {
        EXTENTS.with_borrow_mut(|extents| extents.provide(size));
    }
}

// SAFETY: a piece is at least as large as asked for, stays where it is until it is freed, and is
// aligned as asked for, because a size that is a multiple of an alignment of up to
// `PIECE_ALIGN_MAX` has such pieces.
unsafe impl Allocator for Extents {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let size = layout.pad_to_align().size();
        if size == 0 {
            return Ok(NonNull::slice_from_raw_parts(layout.dangling_ptr(), 0));
        }
        let piece = if is_extent(layout) {
            EXTENTS.with_borrow_mut(|extents| extents.allocate(size))
        } else {
            // SAFETY: the size is not zero.
            NonNull::new(unsafe { std::alloc::alloc(layout) })
        };
        piece.map(|piece| NonNull::slice_from_raw_parts(piece, layout.size())).ok_or(AllocError)
    }

    unsafe fn deallocate(&self, piece: NonNull<u8>, layout: Layout) {
        if layout.size() == 0 {
            return;
        }
        // SAFETY: the caller gives back what `allocate` gave for this layout, which decided alike.
        unsafe {
            if is_extent(layout) {
                EXTENTS.with_borrow_mut(|extents| extents.free(piece));
            } else {
                std::alloc::dealloc(piece.as_ptr(), layout);
            }
        }
    }
}

fn is_extent(layout: Layout) -> bool {
    layout.align() <= slab::PIECE_ALIGN_MAX && layout.pad_to_align().size() <= slab::SIZE_MAX
}

/// Sets `memtx.memory` of this thread's arena.
pub fn set_limit(bytes: usize) {
    LIMIT.set(bytes);
}

/// Sets what is asked for room before memory is said to have run out: it frees some of what waits to
/// be freed, and says whether more waits.
pub fn set_reclaim(reclaim: fn() -> bool) {
    RECLAIM.set(Some(reclaim));
}

/// Has memory freed until `bytes` fit below the limit; whether they do.
#[cold]
fn make_room(bytes: usize) -> bool {
    let fits = || USED.get().saturating_add(bytes) <= LIMIT.get();
    while !fits() && RECLAIM.get().is_some_and(|reclaim| reclaim()) {}
    fits()
}

/// Sets `memtx.max_tuple_size` of this thread's arena.
pub fn set_tuple_size_max(bytes: usize) {
    TUPLE_SIZE_MAX.set(bytes);
}

/// `memtx.max_tuple_size`
pub fn tuple_size_max() -> usize {
    TUPLE_SIZE_MAX.get()
}

/// How the arena of this thread stands.
pub fn stat() -> Stat {
    Stat {
        quota_size: LIMIT.get(),
        memtx_used: USED.get(),
        index_used: CHARGED.get(),
        memtx_count: COUNT.get(),
        runtime_used: RUNTIME_USED.get(),
        slab_size: SLABS.with_borrow(slab::Slabs::held_size),
        large_size: LARGE.get(),
    }
}

/// The slabs by the size of their pieces, those that exist.
pub fn slab_classes() -> Vec<Class> {
    SLABS.with_borrow(slab::Slabs::classes)
}

/// Charges `bytes` of an index or another structure of memtx to `memtx.memory`.
pub fn charge(bytes: usize, allocator: &str, object: &str) -> Result<()> {
    if !has_room(bytes) {
        return Err(Error::out_of_memory(bytes, allocator, object));
    }
    USED.set(USED.get() + bytes);
    CHARGED.set(CHARGED.get() + bytes);
    Ok(())
}

/// Whether `bytes` more fit below the limit.
#[inline]
pub fn has_room(bytes: usize) -> bool {
    USED.get().saturating_add(bytes) <= LIMIT.get() || make_room(bytes)
}

/// Charges without asking for the limit: for an operation that asked [`has_room`] for its worst
/// case and must not stop midway, and for roll-back, which must not fail.
pub fn charge_always(bytes: usize) {
    USED.set(USED.get().saturating_add(bytes));
    CHARGED.set(CHARGED.get() + bytes);
}

/// Gives back what [`charge`] or [`charge_always`] took.
pub fn discharge(bytes: usize) {
    USED.set(USED.get().saturating_sub(bytes));
    CHARGED.set(CHARGED.get().saturating_sub(bytes));
}

/// Room for a tuple of `size` bytes, aligned to 8.
#[inline]
pub(super) fn allocate(size: usize, account: Account) -> Result<NonNull<u8>> {
    let taken = slab::rounded(size);
    match account {
        Account::Memtx => {
            if size > TUPLE_SIZE_MAX.get() {
                return Err(too_large(size));
            }
            if !has_room(taken) {
                return Err(Error::out_of_memory(size, "slab allocator", "memtx_tuple"));
            }
            let room = take(size)
                .ok_or_else(|| Error::out_of_memory(size, "slab allocator", "memtx_tuple"))?;
            USED.set(USED.get() + taken);
            COUNT.set(COUNT.get() + 1);
            Ok(room)
        }
        Account::Runtime => {
            let room = take(size).ok_or_else(|| Error::out_of_memory(size, "malloc", "tuple"))?;
            RUNTIME_USED.set(RUNTIME_USED.get() + taken);
            Ok(room)
        }
    }
}

/// Gives back the room of a tuple.
///
/// # Safety
/// `room` comes from [`allocate`] on this thread with the same size and account and is not used
/// any more.
#[inline]
pub(super) unsafe fn free(room: NonNull<u8>, size: usize, account: Account) {
    let taken = slab::rounded(size);
    match account {
        Account::Memtx => {
            USED.set(USED.get().saturating_sub(taken));
            COUNT.set(COUNT.get() - 1);
        }
        Account::Runtime => RUNTIME_USED.set(RUNTIME_USED.get() - taken),
    }
    if size <= slab::SIZE_MAX {
        // SAFETY: promised by the caller; `take` took that size from the slabs.
        SLABS.with_borrow_mut(|slabs| unsafe { slabs.free(room) });
    } else {
        LARGE.set(LARGE.get() - layout(size).size());
        // SAFETY: promised by the caller; `take` allocated that size with this layout.
        unsafe { std::alloc::dealloc(room.as_ptr(), layout(size)) };
    }
}

#[inline]
fn take(size: usize) -> Option<NonNull<u8>> {
    if size <= slab::SIZE_MAX {
        return SLABS.with_borrow_mut(|slabs| slabs.allocate(size));
    }
    // SAFETY: the size is not zero.
    let room = NonNull::new(unsafe { std::alloc::alloc(layout(size)) })?;
    LARGE.set(LARGE.get() + layout(size).size());
    Some(room)
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a tuple's size is at most a few gigabytes")
}

#[cold]
fn too_large(size: usize) -> Error {
    crate::client_error!(ER_MEMTX_MAX_TUPLE_SIZE, size, TUPLE_SIZE_MAX.get())
}

/// Whether an error says that memory ran out, which no retry of the statement cures.
pub fn is_out_of_memory(error: &Error) -> bool {
    error.is(&error_code::ER_MEMORY_ISSUE)
}

/// Asks the cache for the line at the address, which may be any.
#[inline(always)]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint to the processor: it neither faults nor changes anything.
    unsafe {
        std::arch::x86_64::_mm_prefetch(address.cast::<i8>(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
