//! An index on disk as transactions see it: a generation of the store, and above it the overlay of
//! changes that are prepared and that not every reader finds in the store yet.
//!
//! A primary index keeps rows, which are the tuples' MessagePack. The others keep the key that the
//! tuple has in the primary index. Their rows may be stale: a change that did not know the old
//! tuple leaves its row behind. So whoever reads one looks the tuple up and compares.
//!
//! # Invariants
//! - The versions of a key stand in the order in which their transactions were prepared.
//! - A version leaves the overlay when the store shows it to every reader there is, or when the log
//!   lost its transaction.
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Bytes, Change, Generation, Range};
use crate::tuple::KeyDef;

/// What one transaction did to a key.
struct Version {
    /// The number of its preparation.
    prepared: u64,
    change: Change,
}

/// What the overlay knows of a key.
pub(super) struct Found {
    /// The newest change that the reader may see.
    pub change: Option<Change>,
    /// The oldest one that it may not.
    pub hidden: Option<u64>,
}

/// Counters of an index, for `index:stat()`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Lookups and scans.
    pub lookups: Cell<u64>,
    /// Rows that were returned.
    pub rows: Cell<u64>,
    /// Their bytes.
    pub bytes: Cell<u64>,
    /// Rows that were written by committed transactions.
    pub written_rows: Cell<u64>,
    /// Their bytes.
    pub written_bytes: Cell<u64>,
    /// Rows that turned out to be stale.
    pub skipped: Cell<u64>,
}

impl Counters {
    /// Starts over.
    pub fn reset(&self) {
        let Counters { lookups, rows, bytes, written_rows, written_bytes, skipped } = self;
        for counter in [lookups, rows, bytes, written_rows, written_bytes, skipped] {
            counter.set(0);
        }
    }
}

/// An index.
pub struct Index {
    generation: Arc<Generation>,
    /// The parts that order it, those of the primary key included.
    def: Rc<KeyDef>,
    overlay: RefCell<BTreeMap<Bytes, SmallVec<[Version; 1]>>>,
    counters: Counters,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Index {
    /// The index that this generation keeps, ordered by `def`.
    pub fn new(generation: Arc<Generation>, def: Rc<KeyDef>) -> Index {
        let counters = Counters::default();
        Index { generation, def, overlay: RefCell::default(), counters }
    }

    /// Where the store keeps it.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// The parts that order it.
    pub fn def(&self) -> &Rc<KeyDef> {
        &self.def
    }

    /// What was done with it.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// About how many rows there are: versions of a row that were not merged yet count each.
    pub fn len(&self) -> u64 {
        self.generation.row_count() + self.overlay.borrow().len() as u64
    }

    /// Whether there is surely nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys have changes that the store may not show yet, and their bytes.
    pub fn overlay_size(&self) -> (u64, u64) {
        let overlay = self.overlay.borrow();
        let row = |change: &Change| match change {
            Change::Put(row) => row.len(),
            Change::Delete => 0,
            Change::Upsert { tuple, operations } => tuple.len() + operations.len(),
        };
        let bytes = overlay.iter().map(|(key, versions)| {
            key.len() + versions.iter().map(|version| row(&version.change)).sum::<usize>()
        });
        (overlay.len() as u64, bytes.sum::<usize>() as u64)
    }

    /// Adds what the transaction prepared last did to a key.
    pub(super) fn prepare(&self, key: &Bytes, prepared: u64, change: Change) {
        let mut overlay = self.overlay.borrow_mut();
        overlay.entry(key.clone()).or_default().push(Version { prepared, change });
    }

    /// Takes back what the transaction prepared last did to a key.
    pub(super) fn take_back(&self, key: &Bytes, prepared: u64) {
        let mut overlay = self.overlay.borrow_mut();
        let Some(versions) = overlay.get_mut(key) else { return };
        versions.retain(|version| version.prepared != prepared);
        if versions.is_empty() {
            overlay.remove(key);
        }
    }

    /// Forgets the versions of a key up to this one: the store has them.
    pub(super) fn forget(&self, key: &Bytes, upto: u64) {
        let mut overlay = self.overlay.borrow_mut();
        let Some(versions) = overlay.get_mut(key) else { return };
        versions.retain(|version| version.prepared > upto);
        if versions.is_empty() {
            overlay.remove(key);
        }
    }

    /// What a reader that sees everything prepared up to `upto` finds.
    pub(super) fn find(&self, key: &[u8], upto: u64) -> Found {
        let overlay = self.overlay.borrow();
        overlay.get(key).map_or(Found { change: None, hidden: None }, |found| visible(found, upto))
    }

    /// The first key of the range, in its direction, with a change that such a reader sees; and the
    /// oldest change before it that the reader does not.
    pub(super) fn first(
        &self,
        range: &Range,
        is_reverse: bool,
        upto: u64,
    ) -> (Option<(Bytes, Change)>, Option<u64>) {
        let overlay = self.overlay.borrow();
        if overlay.is_empty() || range.is_empty() {
            return (None, None);
        }
        let mut walk = overlay.range::<[u8], _>(bounds(range));
        let mut hidden = None;
        while let Some((key, versions)) = if is_reverse { walk.next_back() } else { walk.next() } {
            let found = visible(versions, upto);
            hidden = least(hidden, found.hidden);
            if let Some(change) = found.change {
                return (Some((key.clone(), change)), hidden);
            }
        }
        (None, hidden)
    }
}

fn visible(versions: &[Version], upto: u64) -> Found {
    let change = versions.iter().rev().find(|version| version.prepared <= upto);
    let hidden = versions.iter().find(|version| version.prepared > upto);
    Found {
        change: change.map(|version| version.change.clone()),
        hidden: hidden.map(|version| version.prepared),
    }
}

fn least(left: Option<u64>, right: Option<u64>) -> Option<u64> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (left, right) => left.or(right),
    }
}

/// The range as what maps take.
pub(super) fn bounds(range: &Range) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (range.start.as_ref().map(|key| &**key), range.end.as_ref().map(|key| &**key))
}
