//! Slabs: blocks of equal pieces, from which tuples and the nodes of indexes are allocated.
//!
//! A general allocator rounds small sizes up to 16 bytes; rows are small and many, so here the
//! step is 8. A slab is aligned to its size, which makes the slab of a piece a mask away. Slabs
//! are cut from large mappings that ask for huge pages: look-ups in a large space are cache and
//! TLB misses, and there is no fork that would have to copy such pages. What makes them costly is
//! their first use, so they are provided [ahead](prefault) of it.
//!
//! # Invariants
//! - A piece is in use, or in its slab's list of free pieces, or beyond the slab's `fresh` mark.
//! - A class's list holds exactly its slabs that have room.
//!
//! # Layout
//! ```text
//! mapping: slab, slab, …            SLAB_SIZE each, aligned to SLAB_SIZE
//! slab:    header, piece, piece, …  a free piece starts with the offset of the next free one
//! ```

use std::ptr::{NonNull, null_mut};

use super::prefault;

/// Largest size that comes from slabs; what is larger has room to round.
pub(super) const SIZE_MAX: usize = 10 * 1024;

const SLAB_SIZE: usize = 64 * 1024;
/// Bytes asked from the system at once.
const MAPPING_SIZE: usize = 16 * 1024 * 1024;
/// Size and alignment of the system's huge pages.
const HUGE_PAGE_SIZE: usize = 2 * 1024 * 1024;
/// Empty slabs that keep their memory; those beyond give it back to the system.
const WARM_SLAB_COUNT_MAX: usize = 256;

/// Up to here sizes go in steps of 8, from here on in steps of 64.
const FINE_SIZE_MAX: usize = 1024;
const FINE_CLASS_COUNT: usize = FINE_SIZE_MAX / 8;
const CLASS_COUNT: usize = FINE_CLASS_COUNT + (SIZE_MAX - FINE_SIZE_MAX) / 64;

/// All slabs of a thread.
pub(super) struct Slabs {
    /// Per class: the first of its slabs that have room.
    open: [*mut Slab; CLASS_COUNT],
    /// Empty slabs of no class that keep their memory.
    warm: *mut Slab,
    warm_count: usize,
    /// Empty slabs of no class without memory; their headers are readable all the same.
    cold: *mut Slab,
    /// The part of the last mapping that was not cut into slabs yet.
    uncut: *mut u8,
    uncut_size: usize,
    /// The mapping after that one, null for none yet.
    reserve: *mut u8,
    /// Bytes of the uncut part and of the reserve that were asked to be provided.
    provided_size: usize,
    /// Bytes in slabs that have a class.
    held_size: usize,
    /// Per class: how many slabs it has.
    slab_counts: [u32; CLASS_COUNT],
}

/// The slabs of one size of pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Bytes of a piece.
    pub piece_size: usize,
    /// Pieces in use.
    pub piece_count: usize,
    /// Slabs.
    pub slab_count: usize,
    /// Bytes of a slab.
    pub slab_size: usize,
}

/// What a slab begins with.
#[repr(C)]
struct Slab {
    previous: *mut Slab,
    next: *mut Slab,
    piece_size: u32,
    used_count: u32,
    /// Offset of the first free piece, 0 for none.
    free: u32,
    /// Offset behind which no piece was ever used.
    fresh: u32,
}

/// Where the pieces begin: a line of the cache, so that pieces of whole lines are lines.
const HEADER_SIZE: usize = 64;
/// Offset of a byte that only [`prefault`] touches.
const PREFAULT_OFFSET: usize = HEADER_SIZE - 1;
/// Pieces are aligned to the largest power of two, up to this one, that divides their size.
pub(super) const PIECE_ALIGN_MAX: usize = 64;
const _: () = assert!(size_of::<Slab>() <= PREFAULT_OFFSET && HEADER_SIZE == PIECE_ALIGN_MAX);
const _: () = assert!(SIZE_MAX.is_multiple_of(64));

impl Slabs {
    /// No slabs yet.
    pub(super) const fn new() -> Slabs {
        Slabs {
            open: [null_mut(); CLASS_COUNT],
            warm: null_mut(),
            warm_count: 0,
            cold: null_mut(),
            uncut: null_mut(),
            uncut_size: 0,
            reserve: null_mut(),
            provided_size: 0,
            held_size: 0,
            slab_counts: [0; CLASS_COUNT],
        }
    }

    /// Bytes in slabs that have a class, used or not.
    pub(super) fn held_size(&self) -> usize {
        self.held_size
    }

    /// The classes that have slabs.
    pub(super) fn classes(&self) -> Vec<Class> {
        let counts = self.slab_counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts
            .map(|(class, &slab_count)| {
                let piece_size = size_of_class(class);
                let slab_count = slab_count as usize;
                // Slabs without room are in no list; all of their pieces are in use.
                let mut piece_count = slab_count * ((SLAB_SIZE - HEADER_SIZE) / piece_size);
                let mut slab = self.open[class];
                while !slab.is_null() {
                    // SAFETY: slabs in the list of their class are alive.
                    unsafe {
                        piece_count -= (SLAB_SIZE - HEADER_SIZE) / piece_size;
                        piece_count += (*slab).used_count as usize;
                        slab = (*slab).next;
                    }
                }
                Class { piece_size, piece_count, slab_count, slab_size: SLAB_SIZE }
            })
            .collect()
    }

    /// A piece of at least `size` bytes, at most [`SIZE_MAX`]; `None` when the system has none.
    #[inline]
    pub(super) fn allocate(&mut self, size: usize) -> Option<NonNull<u8>> {
        let class = class_of(size);
        let mut slab = self.open[class];
        if slab.is_null() {
            slab = self.open_slab(class)?;
        }
        // SAFETY: slabs in the list of their class are alive and have room (see Invariants), so
        // the free list's offset or the fresh mark is that of a piece inside the slab.
        unsafe {
            let header = &mut *slab;
            let offset = if header.free != 0 {
                let offset = header.free;
                header.free = slab.cast::<u8>().add(offset as usize).cast::<u32>().read();
                offset
            } else {
                let offset = header.fresh;
                header.fresh += header.piece_size;
                offset
            };
            header.used_count += 1;
            if !header.has_room() {
                self.unlink(class, slab);
            }
            Some(NonNull::new_unchecked(slab.cast::<u8>().add(offset as usize)))
        }
    }

    /// Takes a piece back.
    ///
    /// # Safety
    /// `piece` comes from [`Slabs::allocate`] of the same slabs and is not used any more.
    #[inline]
    pub(super) unsafe fn free(&mut self, piece: NonNull<u8>) {
        let offset = piece.as_ptr().addr() % SLAB_SIZE;
        // SAFETY: the piece lies in a slab, which starts at the last multiple of its size; a piece
        // has at least 8 bytes, and nobody else uses them.
        unsafe {
            let slab = piece.as_ptr().sub(offset).cast::<Slab>();
            let header = &mut *slab;
            let had_room = header.has_room();
            piece.cast::<u32>().write(header.free);
            header.free = offset as u32;
            header.used_count -= 1;
            let class = class_of(header.piece_size as usize);
            if !had_room {
                self.link(class, slab);
            }
            // The last slab of a class stays, so that a lone tuple made and dropped in a loop does
            // not open and close a slab each time.
            if (*slab).used_count == 0 && !(self.open[class] == slab && (*slab).next.is_null()) {
                self.unlink(class, slab);
                self.slab_counts[class] -= 1;
                self.close_slab(slab);
            }
        }
    }

    /// Gives an empty slab to a class.
    #[cold]
    fn open_slab(&mut self, class: usize) -> Option<*mut Slab> {
        let slab = self.take_slab()?;
        // SAFETY: the slab is SLAB_SIZE bytes that nobody uses.
        unsafe {
            slab.write(Slab {
                previous: null_mut(),
                next: null_mut(),
                piece_size: size_of_class(class) as u32,
                used_count: 0,
                free: 0,
                fresh: HEADER_SIZE as u32,
            });
            self.link(class, slab);
        }
        self.held_size += SLAB_SIZE;
        self.slab_counts[class] += 1;
        Some(slab)
    }

    /// Takes an empty slab from its class.
    ///
    /// # Safety
    /// No piece of it is in use, and it is in no list.
    #[cold]
    unsafe fn close_slab(&mut self, slab: *mut Slab) {
        self.held_size -= SLAB_SIZE;
        if self.warm_count < WARM_SLAB_COUNT_MAX {
            // SAFETY: the slab is ours; only its header is written.
            unsafe { (*slab).next = self.warm };
            self.warm = slab;
            self.warm_count += 1;
            return;
        }
        // SAFETY: the slab is a part of our mapping; after this it reads as zeros. Failing to give
        // the memory back harms nobody.
        unsafe {
            libc::madvise(slab.cast(), SLAB_SIZE, libc::MADV_DONTNEED);
            (*slab).next = self.cold;
        }
        self.cold = slab;
    }

    /// An empty slab: one with memory first, then one without, then a new one.
    fn take_slab(&mut self) -> Option<*mut Slab> {
        for list in [&mut self.warm, &mut self.cold] {
            let slab = *list;
            if !slab.is_null() {
                // SAFETY: slabs in these lists are mapped, and their `next` was written.
                *list = unsafe { (*slab).next };
                self.warm_count = self.warm_count.saturating_sub(1);
                return Some(slab);
            }
        }
        if self.uncut_size < SLAB_SIZE {
            self.uncut = match std::mem::replace(&mut self.reserve, null_mut()) {
                mapping if mapping.is_null() => map()?,
                mapping => mapping,
            };
            self.uncut_size = MAPPING_SIZE;
        }
        if self.uncut_size.is_multiple_of(HUGE_PAGE_SIZE) {
            self.provide(HUGE_PAGE_SIZE);
        }
        let slab = self.uncut.cast::<Slab>();
        // SAFETY: at least a slab of the mapping is left.
        self.uncut = unsafe { self.uncut.add(SLAB_SIZE) };
        self.uncut_size -= SLAB_SIZE;
        self.provided_size = self.provided_size.saturating_sub(SLAB_SIZE);
        Some(slab)
    }

    /// Has whole pages provided behind the one that is being cut, until `size` bytes are; at most
    /// one mapping's.
    pub(super) fn provide(&mut self, size: usize) {
        let current = self.uncut_size % HUGE_PAGE_SIZE;
        // A page that begins right here is used before a thread could provide it.
        let current = if current == 0 { HUGE_PAGE_SIZE.min(self.uncut_size) } else { current };
        let target = current + size.min(MAPPING_SIZE).next_multiple_of(HUGE_PAGE_SIZE);
        let mut done = self.provided_size.max(current);
        while done < target {
            let page = if done < self.uncut_size {
                self.uncut.wrapping_add(done)
            } else {
                if self.reserve.is_null() {
                    // Only addresses, until they are used.
                    let Some(mapping) = map() else { break };
                    self.reserve = mapping;
                }
                self.reserve.wrapping_add(done - self.uncut_size)
            };
            // SAFETY: mappings stay, and each page begins with a slab that leaves this byte alone.
            if !unsafe { prefault::ahead(page.wrapping_add(PREFAULT_OFFSET)) } {
                break;
            }
            done += HUGE_PAGE_SIZE;
        }
        self.provided_size = done;
    }

    /// Puts a slab at the head of its class's list.
    ///
    /// # Safety
    /// It is in no list.
    unsafe fn link(&mut self, class: usize, slab: *mut Slab) {
        let first = self.open[class];
        // SAFETY: slabs of a class are alive as long as they are in its list.
        unsafe {
            (*slab).previous = null_mut();
            (*slab).next = first;
            if !first.is_null() {
                (*first).previous = slab;
            }
        }
        self.open[class] = slab;
    }

    /// Takes a slab out of its class's list.
    ///
    /// # Safety
    /// It is in that list.
    unsafe fn unlink(&mut self, class: usize, slab: *mut Slab) {
        // SAFETY: neighbours in the list are alive.
        unsafe {
            let (previous, next) = ((*slab).previous, (*slab).next);
            if previous.is_null() {
                self.open[class] = next;
            } else {
                (*previous).next = next;
            }
            if !next.is_null() {
                (*next).previous = previous;
            }
        }
    }
}

impl Slab {
    #[inline]
    fn has_room(&self) -> bool {
        self.free != 0 || self.fresh as usize + self.piece_size as usize <= SLAB_SIZE
    }
}

/// The class with the smallest pieces of at least this size.
#[inline]
const fn class_of(size: usize) -> usize {
    debug_assert!(size > 0 && size <= SIZE_MAX);
    if size <= FINE_SIZE_MAX {
        (size - 1) / 8
    } else {
        FINE_CLASS_COUNT + (size - FINE_SIZE_MAX - 1) / 64
    }
}

/// Size of the pieces of a class.
pub(super) const fn size_of_class(class: usize) -> usize {
    if class < FINE_CLASS_COUNT {
        (class + 1) * 8
    } else {
        FINE_SIZE_MAX + (class - FINE_CLASS_COUNT + 1) * 64
    }
}

/// Bytes that a piece of this size really takes.
#[inline]
pub(super) const fn rounded(size: usize) -> usize {
    if size > SIZE_MAX { size } else { size_of_class(class_of(size)) }
}

/// A mapping of [`MAPPING_SIZE`] bytes, aligned to huge pages, or `None` when there is no memory.
fn map() -> Option<*mut u8> {
    let size = MAPPING_SIZE + HUGE_PAGE_SIZE;
    // SAFETY: a new private mapping touches nothing else; the parts given back are its own ends.
    unsafe {
        let start = libc::mmap(
            null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if start == libc::MAP_FAILED {
            return None;
        }
        let start = start.cast::<u8>();
        let before = start.addr().next_multiple_of(HUGE_PAGE_SIZE) - start.addr();
        let aligned = start.add(before);
        if before > 0 {
            libc::munmap(start.cast(), before);
        }
        let after = HUGE_PAGE_SIZE - before;
        if after > 0 {
            libc::munmap(aligned.add(MAPPING_SIZE).cast(), after);
        }
        #[cfg(target_os = "linux")]
        libc::madvise(aligned.cast(), MAPPING_SIZE, libc::MADV_HUGEPAGE);
        Some(aligned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_fit_their_sizes() {
        for size in 1..=SIZE_MAX {
            let rounded = rounded(size);
            assert!(rounded >= size && rounded < size + 64 && rounded.is_multiple_of(8));
            assert!(size > FINE_SIZE_MAX || rounded < size + 8);
        }
        assert_eq!(class_of(SIZE_MAX), CLASS_COUNT - 1);
    }

    #[test]
    fn empty_slabs_go_to_other_classes() {
        let mut slabs = Slabs::new();
        let count = 3 * SLAB_SIZE / 48;
        let pieces: Vec<_> = (0..count).map(|_| slabs.allocate(48).expect("memory")).collect();
        let held = slabs.held_size();
        assert!(held >= count * 48 && held <= count * 48 + 2 * SLAB_SIZE);
        let class = slabs.classes()[0];
        assert_eq!((class.piece_size, class.piece_count), (48, count));
        assert_eq!(class.slab_count * class.slab_size, held);
        for piece in pieces {
            // SAFETY: each piece is freed once.
            unsafe { slabs.free(piece) };
        }
        assert_eq!(slabs.held_size(), SLAB_SIZE, "the last slab of a class stays");
        assert_eq!((slabs.classes()[0].slab_count, slabs.classes()[0].piece_count), (1, 0));
        let uncut = slabs.uncut_size;
        assert!(slabs.allocate(4000).is_some());
        assert_eq!(slabs.uncut_size, uncut, "an empty slab was taken");
    }

    proptest! {
        #[test]
        fn pieces_never_overlap(
            steps in proptest::collection::vec((any::<bool>(), 1usize..SIZE_MAX, any::<usize>()), 0..400),
        ) {
            let mut slabs = Slabs::new();
            let mut pieces: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
            let check = |(piece, size, mark): (NonNull<u8>, usize, u8)| {
                // SAFETY: the piece is ours until it is freed.
                let bytes = unsafe { std::slice::from_raw_parts(piece.as_ptr(), size) };
                bytes.iter().all(|byte| *byte == mark)
            };
            for (number, (is_free, size, choice)) in steps.into_iter().enumerate() {
                if is_free && !pieces.is_empty() {
                    let piece = pieces.swap_remove(choice % pieces.len());
                    prop_assert!(check(piece));
                    // SAFETY: it was taken out of the list and is freed once.
                    unsafe { slabs.free(piece.0) };
                } else {
                    let piece = slabs.allocate(size).expect("memory");
                    prop_assert_eq!(piece.as_ptr().addr() % 8, 0);
                    // SAFETY: the piece has that many bytes.
                    unsafe { piece.write_bytes(number as u8, size) };
                    pieces.push((piece, size, number as u8));
                }
            }
            prop_assert!(pieces.into_iter().all(check));
        }
    }
}
