//! Counters behind `box.stat()`.
//!
//! # Yields
//! never

use std::cell::Cell;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Operation {
    /// Deletions.
    Delete,
    /// Calls of procedures.
    Call,
    /// Selections.
    Select,
    /// Requests that change nothing.
    Nop,
    /// Replacements.
    Replace,
    /// Transactions begun.
    Begin,
    /// Insertions.
    Insert,
    /// Transactions rolled back.
    Rollback,
    /// SQL requests.
    Execute,
    /// SQL statements prepared.
    Prepare,
    /// Updates.
    Update,
    /// Authentications.
    Auth,
    /// Evaluations.
    Eval,
    /// Updates or insertions.
    Upsert,
    /// Transactions committed.
    Commit,
    /// Errors raised.
    Error,
}

/// All operations with the names `box.stat()` gives them.
pub const OPERATIONS: [(Operation, &str); 16] = [
    (Operation::Delete, "DELETE"),
    (Operation::Call, "CALL"),
    (Operation::Select, "SELECT"),
    (Operation::Nop, "NOP"),
    (Operation::Replace, "REPLACE"),
    (Operation::Begin, "BEGIN"),
    (Operation::Insert, "INSERT"),
    (Operation::Rollback, "ROLLBACK"),
    (Operation::Execute, "EXECUTE"),
    (Operation::Prepare, "PREPARE"),
    (Operation::Update, "UPDATE"),
    (Operation::Auth, "AUTH"),
    (Operation::Eval, "EVAL"),
    (Operation::Upsert, "UPSERT"),
    (Operation::Commit, "COMMIT"),
    (Operation::Error, "ERROR"),
];

impl Operation {
    /// The method of a space that does this, as messages spell it.
    pub(crate) fn method(self) -> String {
        let name = OPERATIONS[self as usize].1;
        format!("{}()", name.to_ascii_lowercase())
    }
}

const COUNT: usize = OPERATIONS.len();
/// Requests per second are averaged over this many seconds.
const WINDOW_S: usize = 5;
/// Samples kept: one more than the window has seconds, for both its ends.
const SAMPLE_COUNT: usize = WINDOW_S + 1;

/// The counters.
pub struct Statistics {
    totals: [Cell<u64>; COUNT],
    /// Totals at the end of each of the last seconds.
    past: [[Cell<u64>; COUNT]; SAMPLE_COUNT],
    ticks: Cell<usize>,
}

impl Default for Statistics {
    fn default() -> Statistics {
        Statistics { totals: Default::default(), past: Default::default(), ticks: Cell::new(0) }
    }
}

impl Statistics {
    /// Counts one.
    #[inline]
    pub fn count(&self, operation: Operation) {
        let total = &self.totals[operation as usize];
        total.set(total.get() + 1);
    }

    /// How many there were.
    pub fn total(&self, operation: Operation) -> u64 {
        self.totals[operation as usize].get()
    }

    /// How many there were per second, averaged over the last seconds.
    pub fn per_second(&self, operation: Operation) -> u64 {
        let index = operation as usize;
        let ticks = self.ticks.get();
        let seconds = ticks.clamp(1, WINDOW_S);
        let oldest = self.past[ticks % SAMPLE_COUNT][index].get();
        let base = if ticks < SAMPLE_COUNT { 0 } else { oldest };
        (self.totals[index].get() - base) / seconds as u64
    }

    /// Notes that a second has passed.
    pub fn tick(&self) {
        let slot = &self.past[self.ticks.get() % SAMPLE_COUNT];
        for (past, total) in slot.iter().zip(&self.totals) {
            past.set(total.get());
        }
        self.ticks.set(self.ticks.get() + 1);
    }

    /// Starts over (`box.stat.reset`).
    pub fn reset(&self) {
        self.totals.iter().for_each(|total| total.set(0));
        self.past.iter().flatten().for_each(|past| past.set(0));
        self.ticks.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_the_average_of_the_last_seconds() {
        let statistics = Statistics::default();
        for _ in 0..WINDOW_S + 3 {
            (0..10).for_each(|_| statistics.count(Operation::Select));
            statistics.tick();
        }
        assert_eq!(statistics.total(Operation::Select), 80);
        assert_eq!(statistics.per_second(Operation::Select), 10);
        statistics.reset();
        assert_eq!(statistics.per_second(Operation::Select), 0);
    }
}
