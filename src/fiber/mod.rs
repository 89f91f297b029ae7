//! Stackful fibers: everything that runs on the tx thread runs in one.
//!
//! A fiber owns a C stack, so it can switch away at any depth: below a Lua `pcall`, a sort
//! comparator, a `require`. The run loop is the root future of a tokio current-thread runtime:
//! it resumes ready fibers one after the other and lets tokio wait for sockets and timers when
//! none is ready. Inside a fiber any future can be awaited by [`wait`], so all of tokio serves Lua.
//!
//! ```text
//!   tokio block_on ── poll ──> scheduler ── resume ──> fiber A (own stack)
//!        ^                        |  ^                   |  wait(future): poll, else suspend
//!        └── wake by fd, timer ───┘  └──── suspend ──────┘
//! ```
//!
//! # Invariants
//! - One thread. A fiber never moves to another; only wakers do, and they carry an id.
//! - A suspended fiber is resumed only from the ready queue, where it stands at most once.
//! - A wake-up may be spurious: whatever waits checks its condition again.
//! - No fiber is destroyed while its stack holds frames; at exit the rest are abandoned.
//!
//! # Yields
//! `suspend`, and so `wait*`, `sleep`, `yield_now`, `Cond::wait*`, `Channel::put/get`, `blocking`,
//! `Fiber::join`, `end_clients`, `test_cancel_first`. Nothing else. [`no_yield`] asserts that a section
//! does not switch.

mod blocking;
mod channel;
mod cond;
mod handle;
pub mod now;
mod overflow;
mod ready;
mod scheduler;
mod slice;
mod stack;
mod timer;
mod waker;

pub use blocking::blocking;
pub use channel::{Channel, ChannelError};
pub use cond::Cond;
pub use handle::{Fiber, Locals, Status};
pub use scheduler::{
    NoYield, all, current, find, in_fiber, is_running, live_count, measure, no_yield, on_end,
    on_idle, on_overflow, on_yield, run, spawn, start, stop, suspend, switch_count, switch_to,
    wait, wait_or_cancel, yield_now, yield_to_ready,
};
pub use slice::{Slice, check_slice, check_slice_now, extend_slice, set_max_slice, set_slice};
pub use stack::remaining as stack_remaining;
pub use timer::{rest, sleep, suspend_until};

use std::time::{Duration, Instant};

use crate::base::error::{Error, Type};

/// The error of a cancelled fiber.
#[track_caller]
pub fn cancelled_error() -> Error {
    Error::new(Type::FiberIsCancelled, "fiber is cancelled")
}

/// `FiberIsCancelled` when the current fiber was cancelled.
pub fn test_cancel() -> Result<(), Error> {
    if current().is_cancelled() { Err(cancelled_error()) } else { Ok(()) }
}

/// As [`test_cancel`], where a wait begins. Yields before it fails: a program that tries again and
/// again must not keep the others from running.
pub fn test_cancel_first() -> Result<(), Error> {
    if !current().is_cancelled() {
        return Ok(());
    }
    yield_now();
    Err(cancelled_error())
}

/// Cancels every fiber that is not the server's own, also those that come meanwhile, and waits until
/// they have ended; false: some have not in time. Yields.
pub fn end_clients(timeout: Duration) -> bool {
    let deadline = Instant::now().checked_add(timeout);
    loop {
        let mut clients = all();
        clients.retain(|fiber| !fiber.is_system() && !fiber.is_dead() && !fiber.same(&current()));
        clients.iter().filter(|fiber| !fiber.is_cancelled()).for_each(Fiber::cancel);
        let Some(first) = clients.first() else { return true };
        let left =
            deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(Instant::now()));
        if !first.join_timeout(left) {
            tracing::error!("fiber {} ({}) does not end", first.id(), first.name());
            return false;
        }
    }
}

#[cfg(test)]
mod tests;
