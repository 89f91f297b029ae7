//! How long reads took, as a histogram whose steps grow.
//!
//! # Yields
//! never

use std::cell::Cell;
use std::time::Duration;

/// Steps of each doubling.
const STEPS_PER_DOUBLING: u32 = 4;
/// From a microsecond to a bit more than a minute.
const STEP_COUNT: usize = 26 * STEPS_PER_DOUBLING as usize;

/// A histogram of durations.
#[derive(Debug)]
pub struct Latency {
    counts: [Cell<u64>; STEP_COUNT],
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { counts: [const { Cell::new(0) }; STEP_COUNT] }
    }
}

impl Latency {
    /// Adds one.
    pub fn add(&self, duration: Duration) {
        let microseconds = duration.as_secs_f64() * 1e6;
        let step = (microseconds.max(1.0).log2() * f64::from(STEPS_PER_DOUBLING)) as usize;
        let count = &self.counts[step.min(STEP_COUNT - 1)];
        count.set(count.get() + 1);
    }

    /// The seconds that this share of a hundred did not exceed, about; 0 when there are none.
    pub fn percentile(&self, share: u64) -> f64 {
        let total: u64 = self.counts.iter().map(Cell::get).sum();
        let wanted = (total * share).div_ceil(100);
        let mut passed = 0;
        for (step, count) in self.counts.iter().enumerate() {
            passed += count.get();
            if passed >= wanted && passed > 0 {
                return 2f64.powf((step + 1) as f64 / f64::from(STEPS_PER_DOUBLING)) / 1e6;
            }
        }
        0.0
    }

    /// Starts over.
    pub fn reset(&self) {
        self.counts.iter().for_each(|count| count.set(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_a_little_above_what_was_added() {
        let latency = Latency::default();
        assert_eq!(latency.percentile(99).to_bits(), 0f64.to_bits());
        for microseconds in 1..=1000 {
            latency.add(Duration::from_micros(microseconds));
        }
        for share in [50, 75, 90, 95, 99] {
            let (found, exact) = (latency.percentile(share), share as f64 * 1e-5);
            assert!(found >= exact && found < exact * 1.25, "{share}: {found} for {exact}");
        }
        latency.add(Duration::from_secs(1000));
        assert!(latency.percentile(100) > 60.0);
    }
}
