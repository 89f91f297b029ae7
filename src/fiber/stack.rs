//! C stacks for fibers: mapped once, guarded by a page that must not be touched, and pooled.
//!
//! A fresh mapping costs about 16 microseconds, a pooled one nothing. Address space is reserved
//! whole, memory is used page by page as the stack grows.
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::num::NonZeroUsize;

use corosensei::stack::{Stack as CoroutineStack, StackPointer};

use crate::base::error::{Error, Result};
use crate::base::limits;

/// Size of the guard below each stack: one access past the end must hit it even when a function
/// has a large frame.
const GUARD_SIZE: usize = 64 * 1024;

/// Upper part of a pooled stack that keeps its pages; the rest is given back to the system.
const KEPT_SIZE: usize = 64 * 1024;

/// One stack; unmapped on drop.
pub(super) struct Stack {
    /// Lowest address, the start of the guard.
    start: NonZeroUsize,
}

impl Stack {
    const MAPPING_SIZE: usize = limits::FIBER_STACK_SIZE + GUARD_SIZE;

    fn map() -> Result<Stack> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice disturbs nothing.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Stack::MAPPING_SIZE,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(Error::out_of_memory(Stack::MAPPING_SIZE, "mmap", "fiber stack"));
        }
        let stack = Stack { start: NonZeroUsize::new(address as usize).expect("mapped") };
        // SAFETY: the range lies inside the mapping just made.
        let protected = unsafe {
            libc::mprotect(
                address.byte_add(GUARD_SIZE),
                limits::FIBER_STACK_SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
            )
        };
        if protected != 0 {
            return Err(Error::out_of_memory(limits::FIBER_STACK_SIZE, "mprotect", "fiber stack"));
        }
        Ok(stack)
    }

    /// Whether the address lies in this stack's guard.
    pub(super) fn guard_contains(start: usize, address: usize) -> bool {
        (start..start + GUARD_SIZE).contains(&address)
    }

    /// Lowest address of the mapping.
    pub(super) fn start(&self) -> usize {
        self.start.get()
    }

    /// Gives the pages that a deep call touched back to the system, keeping the upper ones.
    fn trim(&self) {
        // SAFETY: the range lies inside the stack, which nobody runs on.
        unsafe {
            libc::madvise(
                (self.start.get() + GUARD_SIZE) as *mut libc::c_void,
                limits::FIBER_STACK_SIZE - KEPT_SIZE,
                libc::MADV_DONTNEED,
            );
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no coroutine runs on it any more.
        unsafe { libc::munmap(self.start.get() as *mut libc::c_void, Stack::MAPPING_SIZE) };
    }
}

// SAFETY: the mapping has a guard below the usable part, which is larger than the minimum.
unsafe impl CoroutineStack for Stack {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.start.get() + Stack::MAPPING_SIZE).expect("not null")
    }

    fn limit(&self) -> StackPointer {
        self.start
    }
}

/// Stacks not in use.
#[derive(Default)]
pub(super) struct Pool {
    free: RefCell<Vec<Stack>>,
    returned: std::cell::Cell<usize>,
}

impl Pool {
    /// A stack, from the pool if it has one.
    pub(super) fn take(&self) -> Result<Stack> {
        match self.free.borrow_mut().pop() {
            Some(stack) => Ok(stack),
            None => Stack::map(),
        }
    }

    /// Puts a stack back. Every so many returns one is trimmed, so that a few deep calls do not
    /// keep their memory for ever while short fibers pay no system call.
    pub(super) fn put(&self, stack: Stack) {
        let returned = self.returned.get().wrapping_add(1);
        self.returned.set(returned);
        let mut free = self.free.borrow_mut();
        if free.len() >= limits::FIBER_STACK_POOL_MAX {
            return;
        }
        if returned.is_multiple_of(64) {
            stack.trim();
        }
        free.push(stack);
    }
}

thread_local! {
    /// Lowest usable address of the running fiber's stack, 0 outside fibers.
    static LIMIT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Notes the stack that runs from now on (`None`: the thread's own).
pub(super) fn enter(start: Option<usize>) {
    LIMIT.set(start.map_or(0, |start| start + GUARD_SIZE));
}

/// Bytes left on the running fiber's stack; `usize::MAX` outside fibers.
pub fn remaining() -> usize {
    let here = 0u8;
    match LIMIT.get() {
        0 => usize::MAX,
        limit => (&raw const here as usize).saturating_sub(limit),
    }
}
