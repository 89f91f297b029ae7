//! Has the system provide memory before it is needed.
//!
//! The first write to a huge page makes the system clear it: a fifth of a millisecond on bare metal,
//! several milliseconds on virtual machines whose host provides it in small pages. On the tx thread
//! every client would wait for that, so a thread of its own does it, by a write of its own:
//! `MADV_POPULATE_WRITE` would hold the lock that the tx thread's next `mmap` needs.
//!
//! # Invariants
//! - The byte that is written is nobody else's, and never fails anyone: at worst the page is
//!   cleared when it is used.
//!
//! # Yields
//! never; [`ahead`] does not block either

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

/// Pages that may wait; with more the tx thread is faster than the system, and clears its own.
const QUEUE_SIZE: usize = 16;

/// Has the page provided in which this byte lies. False: too many wait already.
///
/// # Safety
/// The byte stays mapped for as long as the process runs, and nothing else reads or writes it.
pub(super) unsafe fn ahead(byte: *mut u8) -> bool {
    static QUEUE: OnceLock<Option<SyncSender<usize>>> = OnceLock::new();
    match QUEUE.get_or_init(start) {
        Some(queue) => queue.try_send(byte.expose_provenance()).is_ok(),
        None => false,
    }
}

fn start() -> Option<SyncSender<usize>> {
    let (sender, receiver) = sync_channel::<usize>(QUEUE_SIZE);
    let work = move || {
        for address in receiver {
            let byte = std::ptr::with_exposed_provenance_mut::<u8>(address);
            // SAFETY: promised by the caller of `ahead`.
            unsafe { AtomicU8::from_ptr(byte) }.store(0, Ordering::Relaxed);
        }
    };
    std::thread::Builder::new().name("prefault".to_owned()).spawn(work).ok().map(|_| sender)
}
