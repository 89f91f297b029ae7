//! The native half of `clock`: readers of the four clocks, called through FFI.
//!
//! # Yields
//! never

use std::ffi::c_void;

use crate::base::clock::{Clock, read};
use crate::base::error::Result;
use crate::lua::{Context, Module};

macro_rules! readers {
    ($($seconds:ident, $nanoseconds:ident, $clock:expr;)*) => {
        $(
            extern "C" fn $seconds() -> f64 {
                read($clock).as_secs_f64()
            }

            extern "C" fn $nanoseconds() -> i64 {
                i64::try_from(read($clock).as_nanos()).unwrap_or(i64::MAX)
            }
        )*
    };
}

readers! {
    realtime, realtime64, Clock::Realtime;
    monotonic, monotonic64, Clock::Monotonic;
    process, process64, Clock::Process;
    thread, thread64, Clock::Thread;
}

/// Pushes the addresses of the readers.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .pointer("realtime", realtime as *const c_void)
        .pointer("realtime64", realtime64 as *const c_void)
        .pointer("monotonic", monotonic as *const c_void)
        .pointer("monotonic64", monotonic64 as *const c_void)
        .pointer("proc", process as *const c_void)
        .pointer("proc64", process64 as *const c_void)
        .pointer("thread", thread as *const c_void)
        .pointer("thread64", thread64 as *const c_void);
    Ok(())
}
