//! Clocks: wall, monotonic, of the process and of the thread, in seconds and nanoseconds.
//!
//! # Yields
//! never

use std::time::Duration;

/// Which clock to read, with Linux's meaning of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Time since the epoch; may jump.
    Realtime,
    /// Time since boot; never goes back.
    Monotonic,
    /// [`Clock::Realtime`] as of the last tick of the kernel, a few milliseconds ago: reading it
    /// costs a tenth.
    RealtimeCoarse,
    /// [`Clock::Monotonic`] as of the last tick.
    MonotonicCoarse,
    /// Processor time of the process.
    Process,
    /// Processor time of the calling thread.
    Thread,
}

/// The time on that clock.
pub fn read(clock: Clock) -> Duration {
    let id = match clock {
        Clock::Realtime => libc::CLOCK_REALTIME,
        Clock::Monotonic => libc::CLOCK_MONOTONIC,
        Clock::RealtimeCoarse => libc::CLOCK_REALTIME_COARSE,
        Clock::MonotonicCoarse => libc::CLOCK_MONOTONIC_COARSE,
        Clock::Process => libc::CLOCK_PROCESS_CPUTIME_ID,
        Clock::Thread => libc::CLOCK_THREAD_CPUTIME_ID,
    };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill.
    let result = unsafe { libc::clock_gettime(id, &raw mut time) };
    assert_eq!(result, 0, "these clocks exist on every Linux");
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Seconds since the epoch.
pub fn realtime_s() -> f64 {
    read(Clock::Realtime).as_secs_f64()
}

/// Seconds on the monotonic clock.
pub fn monotonic_s() -> f64 {
    read(Clock::Monotonic).as_secs_f64()
}
