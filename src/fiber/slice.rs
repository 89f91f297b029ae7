//! Slices: how long a fiber may run without a switch before it is warned and then stopped.
//!
//! Defaults are Tarantool's: a warning after 0.5 s, the error `FiberSliceIsExceeded` after 1 s,
//! raised by operations that check ([`check_slice`]).
//!
//! # Yields
//! never

use std::cell::Cell;
use std::time::Duration;

use super::scheduler;
use crate::base::error::{Error, Result, Type};

/// A warning time and an error time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slice {
    /// After this a warning is logged, in seconds.
    pub warn_s: f64,
    /// After this checks fail, in seconds.
    pub error_s: f64,
}

const DEFAULT: Slice = Slice { warn_s: 0.5, error_s: 1.0 };

/// Checks between two looks at the clock.
const CHECKS_PER_LOOK: u32 = 32;

struct State {
    /// Set for all fibers by `set_max_slice`.
    default: Cell<Slice>,
    /// What holds for the running fiber.
    current: Cell<Slice>,
    started: Cell<Duration>,
    warned: Cell<bool>,
    countdown: Cell<u32>,
}

thread_local! {
    static STATE: State = const {
        State {
            default: Cell::new(DEFAULT),
            current: Cell::new(DEFAULT),
            started: Cell::new(Duration::ZERO),
            warned: Cell::new(false),
            countdown: Cell::new(CHECKS_PER_LOOK),
        }
    };
}

/// A clock of a few milliseconds' resolution that costs a few nanoseconds.
fn coarse_now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// A fiber starts to run.
pub(super) fn start() {
    STATE.with(|state| {
        state.started.set(Duration::ZERO);
        state.current.set(state.default.get());
        state.warned.set(false);
    });
}

/// Fails when the running fiber has used up its slice. Cheap enough for every engine operation:
/// most calls only count.
#[inline]
pub fn check_slice() -> Result<()> {
    STATE.with(|state| {
        let left = state.countdown.get();
        if left > 0 {
            state.countdown.set(left - 1);
            return Ok(());
        }
        state.countdown.set(CHECKS_PER_LOOK);
        look(state)
    })
}

/// As [`check_slice`], looking at the clock every time.
pub fn check_slice_now() -> Result<()> {
    STATE.with(look)
}

#[cold]
fn look(state: &State) -> Result<()> {
    let now = coarse_now();
    if state.started.get().is_zero() {
        // The slice counts from the first look: a start time per switch would cost every switch.
        state.started.set(now);
        return Ok(());
    }
    let spent_s = now.saturating_sub(state.started.get()).as_secs_f64();
    let slice = state.current.get();
    if spent_s > slice.error_s {
        return Err(Error::new(Type::FiberSliceIsExceeded, "fiber slice is exceeded"));
    }
    if spent_s > slice.warn_s && !state.warned.replace(true) {
        let fiber = if scheduler::in_fiber() { scheduler::current().name() } else { String::new() };
        tracing::warn!("fiber '{fiber}' has not yielded for more than {} seconds", slice.warn_s);
    }
    Ok(())
}

/// Sets the slice of all fibers, the running one included.
pub fn set_max_slice(slice: Slice) {
    STATE.with(|state| {
        state.default.set(slice);
        state.current.set(slice);
    });
}

/// Starts a new slice for the running fiber, until its next switch.
pub fn set_slice(slice: Slice) {
    STATE.with(|state| {
        state.started.set(coarse_now());
        state.warned.set(false);
        state.current.set(slice);
    });
}

/// Adds to the running fiber's slice, until its next switch.
pub fn extend_slice(by: Slice) {
    STATE.with(|state| {
        let current = state.current.get();
        state.current.set(Slice {
            warn_s: current.warn_s + by.warn_s,
            error_s: current.error_s + by.error_s,
        });
    });
}
