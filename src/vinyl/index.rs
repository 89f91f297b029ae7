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

use super::{Bytes, Change, Generation, Latency, Range, Resolve};
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
    /// How long reads took that went to the disk.
    pub latency: Latency,
}

impl Counters {
    /// Starts over.
    pub fn reset(&self) {
        let Counters { lookups, rows, bytes, written_rows, written_bytes, skipped, latency } = self;
        latency.reset();
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
    /// Bytes of its changes, and of the key for each.
    overlay_bytes: Cell<u64>,
    counters: Counters,
    /// How upserts become rows, by what `db` distinguishes there.
    resolve: RefCell<Option<((u16, u32), Resolve)>>,
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
        let (overlay, resolve) = (RefCell::default(), RefCell::default());
        Index { generation, def, overlay, overlay_bytes: Cell::new(0), counters, resolve }
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

    /// How upserts with this id of a format and base of numbers become rows; made if that is not the last
    /// one that was asked for.
    pub fn resolve(&self, by: (u16, u32), make: impl FnOnce() -> Resolve) -> Resolve {
        let mut known = self.resolve.borrow_mut();
        match &*known {
            Some((known_by, resolve)) if *known_by == by => resolve.clone(),
            _ => known.insert((by, make())).1.clone(),
        }
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
        (self.overlay.borrow().len() as u64, self.overlay_bytes.get())
    }

    fn account(&self, key: &[u8], come: Option<&Change>, gone: Option<&Change>) {
        let size = |change: Option<&Change>| change.map_or(0, |it| (key.len() + it.size()) as u64);
        self.overlay_bytes.set(self.overlay_bytes.get() + size(come) - size(gone));
    }

    /// Whether there are no changes of a key.
    pub(super) fn is_settled(&self, key: &[u8]) -> bool {
        !self.overlay.borrow().contains_key(key)
    }

    /// Adds what the transaction prepared last did to a key.
    pub(super) fn prepare(&self, key: &Bytes, prepared: u64, change: Change) {
        self.account(key, Some(&change), None);
        let mut overlay = self.overlay.borrow_mut();
        overlay.entry(key.clone()).or_default().push(Version { prepared, change });
    }

    /// Takes back what the transaction prepared last did to a key.
    pub(super) fn take_back(&self, key: &Bytes, prepared: u64) {
        let mut overlay = self.overlay.borrow_mut();
        let Some(versions) = overlay.get_mut(key) else { return };
        while versions.last().is_some_and(|version| version.prepared == prepared) {
            let gone = versions.pop();
            self.account(key, None, gone.as_ref().map(|version| &version.change));
        }
        if versions.is_empty() {
            overlay.remove(key);
        }
    }

    /// Forgets the versions of a key up to this one: the store has them.
    pub(super) fn forget(&self, key: &Bytes, upto: u64) {
        let mut overlay = self.overlay.borrow_mut();
        let Some(versions) = overlay.get_mut(key) else { return };
        let known = versions.partition_point(|version| version.prepared <= upto);
        // Not one by one: a key may have thousands.
        if known * 2 < versions.len() {
            return;
        }
        for version in versions.drain(..known) {
            self.account(key, None, Some(&version.change));
        }
        if versions.is_empty() {
            overlay.remove(key);
        }
    }

    /// What a reader that sees everything prepared up to `upto` finds beside a row of the store that has
    /// everything up to `base`; 0: what the row has does not matter, save for upserts.
    pub(super) fn find(&self, key: &[u8], base: u64, upto: u64) -> Found {
        let overlay = self.overlay.borrow();
        let found = overlay.get(key).map(|versions| visible(versions, base, upto));
        found.unwrap_or(Found { change: None, hidden: None })
    }

    /// Keeps the row that such a reader has found out, in the place of the upsert that made it.
    pub(super) fn keep(&self, key: &[u8], upto: u64, row: &Bytes) {
        let mut overlay = self.overlay.borrow_mut();
        let Some(versions) = overlay.get_mut(key) else { return };
        let newest = versions.iter_mut().rev().find(|version| version.prepared <= upto);
        if let Some(Version { change: change @ Change::Upsert(_), .. }) = newest {
            let kept = Change::Put(row.clone());
            self.account(key, Some(&kept), Some(change));
            *change = kept;
        }
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
            let found = visible(versions, 0, upto);
            hidden = least(hidden, found.hidden);
            if let Some(change) = found.change {
                return (Some((key.clone(), change)), hidden);
            }
        }
        (None, hidden)
    }
}

fn visible(versions: &[Version], base: u64, upto: u64) -> Found {
    let (seen, hidden) = versions.split_at(versions.partition_point(|it| it.prepared <= upto));
    let mut change: Option<Change> = None;
    for version in seen.iter().rev().take_while(|version| version.prepared > base) {
        change = Some(match change {
            Some(Change::Upsert(later)) => later.after(&version.change, false),
            _ => version.change.clone(),
        });
        if !matches!(change, Some(Change::Upsert(_))) {
            break;
        }
    }
    Found { change, hidden: hidden.first().map(|version| version.prepared) }
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
