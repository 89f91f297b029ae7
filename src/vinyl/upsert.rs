//! Upserts that were not applied yet: nobody has read the row that they are about.
//!
//! They go from the transaction through the overlay to the writer, which knows the row before and makes
//! the row after. Who reads the key earlier does the same for himself.
//!
//! # Invariants
//! - Applying never fails: what cannot be applied leaves the row as it is, and the log tells why, once.
//!
//! # Yields
//! never

use std::fmt;
use std::sync::Arc;

use super::{Bytes, Change};

/// Makes the new row of an upsert: the old row if there is one, tuple, operations, and whether the log
/// is to hear of what cannot be applied. It runs on any thread.
pub type Resolve = Arc<dyn Fn(Option<&[u8]>, &[u8], &[u8], bool) -> Bytes + Send + Sync>;

#[derive(Clone)]
struct Step {
    tuple: Bytes,
    operations: Bytes,
    resolve: Resolve,
}

/// Upserts of one key, in order.
#[derive(Clone)]
pub struct Upsert {
    steps: Vec<Step>,
}

impl Upsert {
    /// An upsert: the row is this tuple, or if there is one, what the operations make of it.
    pub fn new(tuple: Bytes, operations: Bytes, resolve: Resolve) -> Upsert {
        Upsert { steps: vec![Step { tuple, operations, resolve }] }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.steps.len()
    }

    /// Their bytes.
    pub fn size(&self) -> usize {
        self.steps.iter().map(|step| step.tuple.len() + step.operations.len()).sum()
    }

    /// The row after them.
    pub fn apply(&self, row: Option<Bytes>, is_logged: bool) -> Option<Bytes> {
        self.steps.iter().fold(row, |row, step| {
            Some((step.resolve)(row.as_deref(), &step.tuple, &step.operations, is_logged))
        })
    }

    /// What they and an earlier change make together.
    pub fn after(&self, earlier: &Change, is_logged: bool) -> Change {
        match earlier {
            Change::Upsert(earlier) => {
                let steps = earlier.steps.iter().chain(&self.steps).cloned().collect();
                Change::Upsert(Upsert { steps })
            }
            Change::Put(row) => self.made_of(Some(row.clone()), is_logged),
            Change::Delete => self.made_of(None, is_logged),
        }
    }

    fn made_of(&self, row: Option<Bytes>, is_logged: bool) -> Change {
        self.apply(row, is_logged).map_or(Change::Delete, Change::Put)
    }
}

impl fmt::Debug for Upsert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upsert").field("count", &self.count()).finish()
    }
}
