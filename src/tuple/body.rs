//! The tuple itself: its memory image and the counted pointer to it.
//!
//! # Layout
//! ```text
//! offset  size  what
//!      0     4  low 24 bits: references; high 8 bits: count of offset slots
//!      4     2  format id
//!      6     2  size of the MessagePack, or 0xffff: a u32 with the size follows the header
//!     [8     4  size of the MessagePack, if it did not fit above]
//!      …   4*n  offset slots: where each indexed field starts, from the start of the
//!               MessagePack; 0: the field is absent
//!      …     …  MessagePack array
//! ```
//! Nothing in it is a pointer: a byte-for-byte copy elsewhere is a tuple too, only that nobody
//! counts its references.
//!
//! # Invariants
//! - The MessagePack is one whole, well-formed array that fills the rest of the allocation.
//! - A count that reaches its maximum stays there: the tuple becomes immortal, never dangling.
//! - Everything but the count is written once, before the tuple can be seen by others.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use smallvec::SmallVec;

use super::arena::{self, Account};
use super::format::{Format, NO_SLOT};
use super::item;
use super::json_path::{Path, Token};
use crate::base::Result;

/// The memory image of a tuple, seen through a reference; never held by value.
#[repr(C)]
pub struct RawTuple {
    /// Only the owner's thread writes, by a plain load and store; it is atomic because the thread of
    /// a read view finds the count of slots in it meanwhile.
    refs_and_slots: AtomicU32,
    format_id: u16,
    size: u16,
}

/// A counted pointer to a tuple. As large as a pointer; cloning counts, without atomics.
#[repr(transparent)]
pub struct Tuple(NonNull<RawTuple>);

/// A pointer to a tuple that is not counted, for indexes: whoever stores it owns one reference
/// by hand ([`Tuple::into_ptr`], [`TuplePtr::into_tuple`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct TuplePtr(NonNull<RawTuple>);

/// Value of the short size that announces the long one.
const SIZE_IS_LONG: u16 = u16::MAX;
const HEADER_SIZE: usize = size_of::<RawTuple>();
const REFS_MASK: u32 = 0x00ff_ffff;
const SLOTS_SHIFT: u32 = 24;

const _: () = assert!(HEADER_SIZE == 8 && size_of::<Tuple>() == size_of::<usize>());

impl Tuple {
    /// A tuple of these bytes, one MessagePack array, checked against the format.
    pub fn new(format: &Format, data: &[u8]) -> Result<Tuple> {
        let mut offsets = SmallVec::<[u32; 8]>::from_elem(0, usize::from(format.slot_count()));
        format.validate_into(data, &mut offsets)?;
        Tuple::build(format, data, &offsets)
    }

    /// A tuple that belongs to no space: any well-formed MessagePack array.
    pub fn new_runtime(data: &[u8]) -> Result<Tuple> {
        Tuple::new(Format::runtime(), data)
    }

    /// Lays out a tuple of validated bytes.
    fn build(format: &Format, data: &[u8], offsets: &[u32]) -> Result<Tuple> {
        let long = data.len() >= usize::from(SIZE_IS_LONG);
        let head = HEADER_SIZE + if long { 4 } else { 0 };
        let data_offset = head + 4 * offsets.len();
        let room = arena::allocate(data_offset + data.len(), account(format.id()))?;
        let raw = room.cast::<RawTuple>();
        // SAFETY: the room is that large, aligned to 8 and ours alone; each write is inside it.
        unsafe {
            raw.write(RawTuple {
                refs_and_slots: AtomicU32::new(1 | (offsets.len() as u32) << SLOTS_SHIFT),
                format_id: format.id(),
                size: if long { SIZE_IS_LONG } else { data.len() as u16 },
            });
            if long {
                room.add(HEADER_SIZE).cast::<u32>().write(data.len() as u32);
            }
            let slots = room.add(head).cast::<u32>();
            slots.copy_from_nonoverlapping(NonNull::from(offsets).cast(), offsets.len());
            let bytes = room.add(data_offset);
            bytes.copy_from_nonoverlapping(NonNull::from(data).cast(), data.len());
        }
        Ok(Tuple(raw))
    }

    /// Gives the reference away as a pointer that is not counted.
    pub fn into_ptr(self) -> TuplePtr {
        let pointer = TuplePtr(self.0);
        std::mem::forget(self);
        pointer
    }

    /// The pointer, the reference staying here.
    #[inline]
    pub fn as_ptr(&self) -> TuplePtr {
        TuplePtr(self.0)
    }
}

impl Clone for Tuple {
    #[inline]
    fn clone(&self) -> Tuple {
        self.retain();
        Tuple(self.0)
    }
}

impl Drop for Tuple {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this reference is counted and goes away now.
        unsafe { release(self.0) }
    }
}

impl Deref for Tuple {
    type Target = RawTuple;

    #[inline]
    fn deref(&self) -> &RawTuple {
        // SAFETY: a counted reference keeps the tuple alive.
        unsafe { self.0.as_ref() }
    }
}

impl fmt::Debug for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Debug for RawTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tuple(format {}, {:02x?})", self.format_id, self.data())
    }
}

// SAFETY: a pointer is only an address; following it is unsafe and its terms are stated there.
unsafe impl Send for TuplePtr {}

impl fmt::Debug for TuplePtr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TuplePtr({:p})", self.0)
    }
}

impl TuplePtr {
    /// The tuple.
    ///
    /// # Safety
    /// Somebody keeps a counted reference for as long as the result is used. On another thread
    /// than the owner's the result is for reading only: no clone, no count.
    #[inline]
    pub unsafe fn as_ref<'a>(self) -> &'a RawTuple {
        // SAFETY: promised by the caller.
        unsafe { self.0.as_ref() }
    }

    /// Another counted reference.
    ///
    /// # Safety
    /// Somebody keeps a counted reference during the call.
    #[inline]
    pub unsafe fn to_tuple(self) -> Tuple {
        // SAFETY: promised by the caller.
        unsafe { self.0.as_ref() }.retain();
        Tuple(self.0)
    }

    /// Takes back the reference that [`Tuple::into_ptr`] gave away.
    ///
    /// # Safety
    /// It was given away and not taken back yet.
    #[inline]
    pub unsafe fn into_tuple(self) -> Tuple {
        Tuple(self.0)
    }

    /// The address, for foreign owners such as a Lua cdata.
    #[inline]
    pub fn as_raw(self) -> *const RawTuple {
        self.0.as_ptr()
    }

    /// The pointer with this address.
    ///
    /// # Safety
    /// `raw` points at a tuple.
    #[inline]
    pub unsafe fn from_raw(raw: *const RawTuple) -> TuplePtr {
        debug_assert!(!raw.is_null());
        // SAFETY: a tuple's address is not null.
        TuplePtr(unsafe { NonNull::new_unchecked(raw.cast_mut()) })
    }

    /// Asks the processor to load the head of the tuple, which a batch of look-ups reads soon.
    #[inline]
    pub fn prefetch(self) {
        arena::prefetch(self.0.as_ptr().cast());
    }
}

impl RawTuple {
    /// The MessagePack array.
    #[inline]
    pub fn data(&self) -> &[u8] {
        let (head, size) = self.head();
        let start = head + 4 * self.slot_count();
        // SAFETY: the allocation holds `size` bytes from there on (see Layout); they never change.
        unsafe { std::slice::from_raw_parts(self.base().add(start), size) }
    }

    /// Size of the MessagePack, in bytes (`tuple:bsize()`).
    #[inline]
    pub fn bsize(&self) -> usize {
        self.head().1
    }

    /// Size of the whole image: header, offsets and MessagePack.
    #[inline]
    pub fn image_size(&self) -> usize {
        let (head, size) = self.head();
        head + 4 * self.slot_count() + size
    }

    /// The whole image, which copied elsewhere (aligned to 4) is a tuple too.
    pub fn image(&self) -> &[u8] {
        // SAFETY: the allocation is that large; only the count in it changes, and a torn count in
        // a copy means nothing because copies are not counted.
        unsafe { std::slice::from_raw_parts(self.base(), self.image_size()) }
    }

    /// The format the tuple was made with.
    #[inline]
    pub fn format(&self) -> &'static Format {
        Format::by_id(self.format_id)
    }

    /// The id of the format the tuple was made with.
    #[inline]
    pub fn format_id(&self) -> u16 {
        self.format_id
    }

    /// Counted references.
    pub fn refs(&self) -> u32 {
        self.refs_and_slots.load(Ordering::Relaxed) & REFS_MASK
    }

    /// Count of fields.
    #[inline]
    pub fn field_count(&self) -> u32 {
        item::array(self.data()).map_or(0, |(count, _)| count)
    }

    /// The field with this number from 0: exactly its bytes.
    #[inline]
    pub fn field(&self, number: u32) -> Option<&[u8]> {
        let rest = self.field_and_rest(number)?;
        rest.get(..item::size(rest)?)
    }

    /// The field with this number from 0, and the rest of the tuple behind it: cheaper than
    /// [`RawTuple::field`] when the reader finds the end itself.
    #[inline]
    pub fn field_and_rest(&self, number: u32) -> Option<&[u8]> {
        let data = self.data();
        let (count, mut at) = item::array(data)?;
        if number >= count {
            return None;
        }
        if number == 0 {
            return data.get(at..);
        }
        let mut skip = number;
        if self.slot_count() > 0 {
            // A slot at or before the field saves walking.
            let (slot, field) = self.format().nearest_slot(number);
            if slot != NO_SLOT {
                at = self.slot(slot) as usize;
                skip = number - field;
            }
        }
        for _ in 0..skip {
            at += item::size(data.get(at..)?)?;
        }
        data.get(at..)
    }

    /// The field with this name in the format.
    pub fn field_by_name(&self, name: &str) -> Option<&[u8]> {
        self.field(self.format().shown().field_number(name)?)
    }

    /// What the path leads to inside the field with this number, with the rest behind it.
    #[inline]
    pub fn field_at_path(&self, number: u32, path: &Path) -> Option<&[u8]> {
        if self.slot_count() > 0 {
            let slot = self.format().slot_of_path(number, path);
            if slot != NO_SLOT {
                let offset = self.slot(slot) as usize;
                return if offset == 0 { None } else { self.data().get(offset..) };
            }
        }
        path.follow(self.field_and_rest(number)?)
    }

    /// What a full path from the tuple's root leads to (`tuple["a.b[1]"]`); its first token is a
    /// field's name or number. A whole text that is a field's name wins over its meaning as path.
    pub fn field_by_path(&self, text: &str) -> Option<&[u8]> {
        if let Some(field) = self.field_by_name(text) {
            return Some(field);
        }
        let path = Path::parse(text.as_bytes(), 1).ok()?;
        let (first, rest) = path.tokens().split_first()?;
        let number = match first {
            Token::Index(number) => *number,
            Token::Key(name) => self.format().shown().field_number(name)?,
            Token::Any => return None,
        };
        let found = Path::follow_tokens(rest, self.field_and_rest(number)?)?;
        found.get(..item::size(found)?)
    }

    /// The fields in order, each exactly its bytes.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(self.data())
    }

    /// Offset of the field behind this slot, 0 when it is absent.
    #[inline]
    fn slot(&self, slot: u8) -> u32 {
        assert!(usize::from(slot) < self.slot_count(), "the tuple's format has that slot");
        let (head, _) = self.head();
        // SAFETY: checked just above; slots are aligned to 4 (see Layout).
        unsafe { self.base().add(head).cast::<u32>().add(usize::from(slot)).read() }
    }

    /// Count of offset slots.
    #[inline]
    fn slot_count(&self) -> usize {
        (self.refs_and_slots.load(Ordering::Relaxed) >> SLOTS_SHIFT) as usize
    }

    /// Size of the header and of the MessagePack.
    #[inline]
    fn head(&self) -> (usize, usize) {
        if self.size != SIZE_IS_LONG {
            return (HEADER_SIZE, usize::from(self.size));
        }
        // SAFETY: this size announces a u32 behind the header (see Layout).
        let size = unsafe { self.base().add(HEADER_SIZE).cast::<u32>().read() };
        (HEADER_SIZE + 4, size as usize)
    }

    #[inline]
    fn base(&self) -> *const u8 {
        std::ptr::from_ref(self).cast()
    }

    /// Counts one reference more.
    #[inline]
    fn retain(&self) {
        let word = self.refs_and_slots.load(Ordering::Relaxed);
        debug_assert!(word & REFS_MASK != 0, "a tuple without references is gone");
        if word & REFS_MASK != REFS_MASK {
            self.refs_and_slots.store(word + 1, Ordering::Relaxed);
        }
    }
}

/// The fields of a tuple in order.
#[derive(Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Fields<'a> {
    /// The elements of the MessagePack array at the start of `data`; none if it is no array.
    pub fn new(data: &'a [u8]) -> Fields<'a> {
        match item::array(data) {
            Some((left, head)) => Fields { rest: &data[head..], left },
            None => Fields { rest: &[], left: 0 },
        }
    }

    /// The elements not yet taken, as bytes.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (field, rest) = self.rest.split_at_checked(item::size(self.rest)?)?;
        self.rest = rest;
        Some(field)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left as usize))
    }
}

/// Counts one reference less and frees the tuple with the last one.
///
/// # Safety
/// The caller owns a counted reference and forgets it.
#[inline]
unsafe fn release(pointer: NonNull<RawTuple>) {
    // SAFETY: the caller's reference keeps it alive until here.
    let raw = unsafe { pointer.as_ref() };
    let word = raw.refs_and_slots.load(Ordering::Relaxed);
    let refs = word & REFS_MASK;
    debug_assert!(refs != 0, "released more often than retained");
    if refs == REFS_MASK {
        return;
    }
    if refs > 1 {
        raw.refs_and_slots.store(word - 1, Ordering::Relaxed);
        return;
    }
    let (size, format_id) = (raw.image_size(), raw.format_id);
    // SAFETY: that was the last reference, and `build` allocated with this size and account.
    unsafe { arena::free(pointer.cast(), size, account(format_id)) };
}

#[inline]
fn account(format_id: u16) -> Account {
    if Format::is_memtx(format_id) { Account::Memtx } else { Account::Runtime }
}

#[cfg(test)]
mod tests;
