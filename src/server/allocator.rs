//! Keeps the allocator's housekeeping off tx.
//!
//! mimalloc has whoever allocates do the housekeeping now and then: every so often it walks all pages of
//! the thread for what other threads have freed, and pages that were free for a second are given back to
//! the kernel. With gigabytes that takes a thread tens of milliseconds, and the thread is mostly tx. What
//! other threads free is found without that walk too, when its page is allocated from; memory is given
//! back by a thread of its own.
//!
//! # Yields
//! never

use std::ffi::c_long;
use std::thread;
use std::time::Duration;

use libmimalloc_sys::{mi_collect, mi_option_get, mi_option_set, mi_option_t};

/// How often memory is given back to the kernel.
const PERIOD: Duration = Duration::from_secs(10);

/// An option by its place in `mi_option_t` of mimalloc 3, for which the crate has no name.
struct Setting {
    option: mi_option_t,
    /// What it says by default: anything else was set by the user, or is another option.
    default: c_long,
    value: c_long,
}

/// Milliseconds until a free page may be given back by whoever allocates or frees: a day.
const PURGE_DELAY: Setting = Setting { option: 15, default: 1000, value: 86_400_000 };
/// Allocations, of those that find no free block at hand, from one walk to the next: the most.
const GENERIC_COLLECT: Setting = Setting { option: 34, default: 10_000, value: 1_000_000 };

impl Setting {
    /// Whether it says now what it is to say.
    fn apply(&self) -> bool {
        // SAFETY: reads and writes a number under an index that mimalloc checks.
        unsafe {
            if mi_option_get(self.option) != self.default {
                return false;
            }
            mi_option_set(self.option, self.value);
        }
        true
    }
}

/// Sets mimalloc up. Must be called before other threads are started.
pub fn start() {
    if !GENERIC_COLLECT.apply() || !PURGE_DELAY.apply() {
        return;
    }
    let keep = || {
        loop {
            thread::sleep(PERIOD);
            // SAFETY: frees only what is free, of this thread and of the arenas.
            unsafe { mi_collect(true) };
        }
    };
    // Without the thread memory stays with the process, which is no reason not to start.
    if let Err(error) = thread::Builder::new().name("allocator".to_owned()).spawn(keep) {
        tracing::warn!("failed to start a thread: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_mimalloc_are_where_they_are_thought_to_be() {
        assert!(GENERIC_COLLECT.apply());
        assert!(PURGE_DELAY.apply());
    }
}
