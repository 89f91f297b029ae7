//! Bounds how often something is said: what a client can cause at will must not fill the disk with
//! log lines.
//!
//! # Invariants
//! - In each interval at most `burst` events pass; the first one after it says how many did not.
//!
//! # Yields
//! never

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::limits::{REPEATED_MESSAGE_COUNT_MAX, REPEATED_MESSAGE_INTERVAL};

/// The events of one place.
#[derive(Debug)]
pub struct RateLimit {
    interval: Duration,
    burst: u64,
    /// When the interval began, and how many events it had.
    current: Cell<Option<(Instant, u64)>>,
}

impl Default for RateLimit {
    fn default() -> RateLimit {
        RateLimit::new(REPEATED_MESSAGE_INTERVAL, REPEATED_MESSAGE_COUNT_MAX)
    }
}

impl RateLimit {
    /// At most `burst` events in each interval.
    pub const fn new(interval: Duration, burst: u64) -> RateLimit {
        RateLimit { interval, burst, current: Cell::new(None) }
    }

    /// Whether an event at that time passes: `None` if not, else how many did not since the last
    /// one that did.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        let (start, count) = self.current.get().unwrap_or((now, 0));
        if now.duration_since(start) >= self.interval {
            self.current.set(Some((now, 1)));
            return Some(count.saturating_sub(self.burst));
        }
        self.current.set(Some((start, count + 1)));
        (count < self.burst).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_often_is_counted() {
        let limit = RateLimit::new(Duration::from_secs(5), 2);
        let start = Instant::now();
        assert_eq!(limit.pass(start), Some(0));
        assert_eq!(limit.pass(start), Some(0));
        assert_eq!(limit.pass(start), None);
        assert_eq!(limit.pass(start + Duration::from_secs(4)), None);
        assert_eq!(limit.pass(start + Duration::from_secs(5)), Some(2));
        assert_eq!(limit.pass(start + Duration::from_secs(5)), Some(0));
        assert_eq!(limit.pass(start + Duration::from_secs(5)), None);
        assert_eq!(limit.pass(start + Duration::from_secs(11)), Some(1));
    }
}
