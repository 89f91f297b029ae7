//! The time of the loop: read once between two switches, when somebody asks, so that a fiber sees
//! the same time until it yields, and asking often costs little.
//!
//! # Yields
//! never

use std::cell::Cell;
use std::time::Duration;

use crate::base::clock::{self, Clock};

thread_local! {
    static IS_KNOWN: Cell<bool> = const { Cell::new(false) };
    static REALTIME: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static MONOTONIC: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Has the clocks be read anew: another fiber runs.
pub(super) fn forget() {
    IS_KNOWN.set(false);
}

fn update() {
    if !IS_KNOWN.replace(true) {
        REALTIME.set(clock::read(Clock::Realtime));
        MONOTONIC.set(clock::read(Clock::Monotonic));
    }
}

/// Time since the epoch.
pub fn realtime() -> Duration {
    update();
    REALTIME.get()
}

/// Time on the monotonic clock.
pub fn monotonic() -> Duration {
    update();
    MONOTONIC.get()
}
