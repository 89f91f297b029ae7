//! Faults that tests switch on by name, to see what the rest does when a call fails.
//!
//! One sorted table; a fault is off until a test sets it through `LYCOSA_ERROR_INJECTION`
//! (`NAME` or `NAME=N`, comma separated, N: how many calls pass before the fault) or through
//! [`set`]. A check is one atomic load.
//!
//! # Yields
//! never

use std::sync::atomic::{AtomicI64, Ordering};

/// A fault. Negative: off. Otherwise the number of calls that still pass before it strikes.
#[derive(Debug)]
pub struct Injection {
    /// Name as set by tests.
    pub name: &'static str,
    countdown: AtomicI64,
}

macro_rules! injections {
    ($($name:ident: $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $name: Injection =
                Injection { name: stringify!($name), countdown: AtomicI64::new(-1) };
        )*
        /// All faults, sorted by name.
        pub static INJECTIONS: &[&Injection] = &[$(&$name),*];
    };
}

injections! {
    ERRINJ_SNAP_WRITE: "writing a snapshot fails with EIO";
    ERRINJ_WAL_DELAY: "the thread of the log, which writes all of it then, waits until this is off";
    ERRINJ_WAL_ROTATE: "making the next log file fails with ENOSPC";
    ERRINJ_WAL_SYNC: "fsync of the log fails with EIO";
    ERRINJ_WAL_WRITE: "writing to the log fails with ENOSPC";
    ERRINJ_WAL_WRITE_PARTIAL: "half of a write to the log reaches the file, then it fails with ENOSPC";
}

impl Injection {
    /// Whether the fault strikes now. Once struck it stays until [`Injection::clear`].
    pub fn strikes(&self) -> bool {
        let left = self.countdown.load(Ordering::Relaxed);
        if left < 0 {
            return false;
        }
        if left == 0 {
            return true;
        }
        self.countdown.store(left - 1, Ordering::Relaxed);
        false
    }

    /// Switches the fault on after `passes` further calls.
    pub fn set(&self, passes: u32) {
        self.countdown.store(i64::from(passes), Ordering::Relaxed);
    }

    /// Whether the fault is on, be it that some calls still pass.
    pub fn is_set(&self) -> bool {
        self.countdown.load(Ordering::Relaxed) >= 0
    }

    /// Switches the fault off.
    pub fn clear(&self) {
        self.countdown.store(-1, Ordering::Relaxed);
    }
}

/// The fault with this name.
pub fn find(name: &str) -> Option<&'static Injection> {
    INJECTIONS.iter().copied().find(|injection| injection.name == name)
}

/// Switches on what `LYCOSA_ERROR_INJECTION` names; returns names that do not exist.
pub fn set_from_environment() -> Vec<String> {
    let Ok(list) = std::env::var("LYCOSA_ERROR_INJECTION") else { return Vec::new() };
    let mut unknown = Vec::new();
    for item in list.split(',').filter(|item| !item.is_empty()) {
        let (name, passes) = item.split_once('=').unwrap_or((item, "0"));
        match (find(name), passes.parse()) {
            (Some(injection), Ok(passes)) => injection.set(passes),
            _ => unknown.push(item.to_owned()),
        }
    }
    unknown
}
