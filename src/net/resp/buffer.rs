//! Buffers that connections borrow while they have something to read or to write, so that idle
//! ones hold none.
//!
//! # Yields
//! never

use std::cell::RefCell;

/// Most buffers kept.
const COUNT_MAX: usize = 64;
/// Largest buffer kept.
const SIZE_MAX: usize = 256 * 1024;
/// What a new one holds.
const SIZE: usize = 16 * 1024;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub fn take() -> Vec<u8> {
    FREE.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(SIZE))
}

/// Takes a buffer back.
pub fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() < SIZE || buffer.capacity() > SIZE_MAX {
        return;
    }
    buffer.clear();
    // At the end of the thread the pool may be gone first.
    let _ = FREE.try_with(|free| {
        let mut free = free.borrow_mut();
        if free.len() < COUNT_MAX {
            free.push(buffer);
        }
    });
}
