//! Timers of fibers: a heap of deadlines and one tokio timer for the nearest.
//!
//! A fiber has at most one deadline. Setting a new one, or waking up early, makes the old entry
//! stale by its sequence number; stale entries are skipped when they come up.
//!
//! # Yields
//! `sleep`, `suspend_until`

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use super::handle::Fiber;
use super::scheduler::{self, SCHEDULER};
use crate::base::error::Result;

/// Longest timer that is really set; longer waits are "for ever" in practice.
const WAIT_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[derive(Default)]
pub(super) struct Timers {
    heap: RefCell<BinaryHeap<Reverse<(Instant, u64, u64)>>>,
    sequence: Cell<u64>,
    sleep: RefCell<Option<Pin<Box<tokio::time::Sleep>>>>,
}

impl Timers {
    /// Makes the fiber ready at that time.
    pub(super) fn set(&self, fiber: &Fiber, deadline: Instant) {
        let sequence = self.sequence.get() + 1;
        self.sequence.set(sequence);
        fiber.0.timer.set(sequence);
        let mut heap = self.heap.borrow_mut();
        // Stale entries (waits that ended early) must not outgrow the live ones.
        if heap.len() > 1024 && heap.len() > 4 * scheduler::live_count() {
            heap.retain(|Reverse((_, id, sequence))| {
                scheduler::find(*id).is_some_and(|fiber| fiber.0.timer.get() == *sequence)
            });
        }
        heap.push(Reverse((deadline, fiber.id(), sequence)));
    }

    /// Forgets the fiber's deadline.
    pub(super) fn cancel(&self, fiber: &Fiber) {
        fiber.0.timer.set(0);
    }

    /// Makes the fibers ready whose time has come; true: there were some.
    pub(super) fn fire(&self) -> bool {
        if self.heap.borrow().is_empty() {
            return false;
        }
        let now = Instant::now();
        let mut fired = false;
        loop {
            let fiber = {
                let mut heap = self.heap.borrow_mut();
                let Some(Reverse((deadline, id, sequence))) = heap.peek().copied() else { break };
                let live = scheduler::find(id).filter(|fiber| fiber.0.timer.get() == sequence);
                if live.is_some() && deadline > now {
                    break;
                }
                heap.pop();
                let Some(fiber) = live else { continue };
                fiber
            };
            scheduler::make_due(&fiber);
            fired = true;
        }
        fired
    }

    /// Has tokio poll the run loop again at the nearest deadline.
    pub(super) fn arm(&self, context: &mut Context<'_>) {
        let heap = self.heap.borrow();
        let Some(Reverse((deadline, _, _))) = heap.peek() else { return };
        let deadline = tokio::time::Instant::from_std(*deadline);
        let mut slot = self.sleep.borrow_mut();
        let sleep = slot.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        if sleep.as_mut().poll(context).is_ready() {
            context.waker().wake_by_ref();
        }
    }
}

/// Switches away until made ready or until the deadline. Yields.
pub fn suspend_until(deadline: Option<Instant>) {
    let Some(deadline) = deadline else { return scheduler::suspend() };
    let fiber = scheduler::current();
    SCHEDULER.with(|scheduler| scheduler.timers.set(&fiber, deadline));
    scheduler::suspend();
    SCHEDULER.with(|scheduler| scheduler.timers.cancel(&fiber));
}

/// Sleeps that long, or until woken up. Fails when the fiber is cancelled. Yields, also for zero.
pub fn sleep(duration: Duration) -> Result<()> {
    super::test_cancel_first()?;
    rest(duration);
    super::test_cancel()
}

/// As [`sleep`]; a fiber that was cancelled before sleeps, too. Yields, also for zero.
pub fn rest(duration: Duration) {
    if duration.is_zero() {
        scheduler::yield_now();
    } else {
        suspend_until(Instant::now().checked_add(duration.min(WAIT_MAX)));
    }
}
