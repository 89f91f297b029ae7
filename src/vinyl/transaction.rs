//! A transaction: what it wrote and what it read, until it is decided.
//!
//! # Life
//! 1. It reads the newest state and writes for itself; every read is noted in its read set.
//! 2. When another is prepared whose writes meet its reads, what it has seen is past. If it has
//!    written nothing it goes on in a read view, the state before that other one, and never fails.
//!    If it has, it is aborted.
//! 3. It is prepared itself: its writes enter the overlays of the indexes, where others find them.
//! 4. The log has its rows, or has lost them: the engine commits it or rolls it back.
//!
//! So the transactions that commit are serializable in the order of preparation.
//!
//! # Invariants
//! - One in a read view has written nothing.
//! - An aborted one is not written to and not prepared.
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::engine::{Engine, ReadView};
use super::index::{Index, bounds};
use super::read_set::ReadSet;
use super::{Bytes, Change, Range};
use crate::base::Result;
use crate::client_error;

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Aborted,
    Prepared,
    Ended,
}

/// What of others' work a transaction sees beside what the log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Also what waits for the log.
    Prepared,
    /// Only what the log has.
    Confirmed,
    /// As the former once it has written, before that as the latter.
    BestEffort,
}

/// The changes of one index.
struct IndexWrites {
    index: Rc<Index>,
    changes: BTreeMap<Bytes, Change>,
}

/// How a change is taken back.
struct Undo {
    number: u64,
    key: Bytes,
    before: Option<Change>,
}

/// A transaction.
pub struct Transaction {
    engine: Rc<Engine>,
    pub(super) id: u64,
    state: Cell<State>,
    visibility: Cell<Visibility>,
    view: RefCell<Option<Rc<ReadView>>>,
    /// By the numbers of the generations.
    writes: RefCell<BTreeMap<u64, IndexWrites>>,
    undo: RefCell<Vec<Undo>>,
    reads: RefCell<BTreeMap<u64, ReadSet>>,
    /// Whether it has executed a statement that writes, even if that changed nothing here.
    has_written: Cell<bool>,
    pub(super) prepared: Cell<u64>,
}

impl Transaction {
    pub(super) fn new(engine: Rc<Engine>, id: u64, visibility: Visibility) -> Transaction {
        Transaction {
            engine,
            id,
            state: Cell::new(State::Active),
            visibility: Cell::new(visibility),
            view: RefCell::default(),
            writes: RefCell::default(),
            undo: RefCell::default(),
            reads: RefCell::default(),
            has_written: Cell::new(false),
            prepared: Cell::new(0),
        }
    }

    pub(super) fn engine(&self) -> &Rc<Engine> {
        &self.engine
    }

    /// Refuses to go on when a conflict has aborted it.
    pub fn check(&self) -> Result<()> {
        match self.state.get() {
            State::Aborted => Err(client_error!(ER_TRANSACTION_CONFLICT)),
            _ => Ok(()),
        }
    }

    /// Whether a conflict has aborted it.
    pub fn is_aborted(&self) -> bool {
        self.state.get() == State::Aborted
    }

    pub(super) fn is_active(&self) -> bool {
        self.state.get() == State::Active
    }

    pub(super) fn set_prepared(&self, number: u64) {
        self.prepared.set(number);
        self.state.set(State::Prepared);
    }

    pub(super) fn set_ended(&self) {
        self.state.set(State::Ended);
        self.view.take();
        self.reads.take();
    }

    /// Whether it was prepared and is not decided.
    pub fn is_prepared(&self) -> bool {
        self.state.get() == State::Prepared
    }

    /// Aborts it: its next statement, or its commit, fails.
    pub fn abort(&self) {
        if self.is_active() {
            self.state.set(State::Aborted);
            self.engine.activity().conflicts.add(1);
            self.view.take();
            self.reads.take();
        }
    }

    /// To be called when a statement that writes begins.
    pub fn begin_write(&self) -> Result<()> {
        self.check()?;
        if self.view.borrow().is_some() {
            // What it would write from is past.
            self.abort();
            return self.check();
        }
        self.has_written.set(true);
        Ok(())
    }

    /// Whether it has written.
    pub fn has_written(&self) -> bool {
        self.has_written.get()
    }

    /// The read view that it was sent to.
    pub(super) fn view(&self) -> Option<Rc<ReadView>> {
        self.view.borrow().clone()
    }

    pub(super) fn set_view(&self, view: Rc<ReadView>) {
        *self.view.borrow_mut() = Some(view);
        self.reads.take();
    }

    /// Whether it sees what waits for the log.
    pub(super) fn sees_prepared(&self) -> bool {
        match self.visibility.get() {
            Visibility::Prepared => true,
            Visibility::Confirmed => false,
            Visibility::BestEffort => self.has_written(),
        }
    }

    // Writes.

    /// Changes a key.
    pub fn write(&self, index: &Rc<Index>, key: Bytes, change: Change) {
        debug_assert!(self.is_active() && self.has_written());
        let number = index.generation().number();
        let mut writes = self.writes.borrow_mut();
        let writes = writes
            .entry(number)
            .or_insert_with(|| IndexWrites { index: index.clone(), changes: BTreeMap::new() });
        let change = match (change, writes.changes.get(&key)) {
            (Change::Upsert(upsert), Some(before)) => upsert.after(before, true),
            (change, _) => change,
        };
        let before = writes.changes.insert(key.clone(), change);
        self.undo.borrow_mut().push(Undo { number, key, before });
    }

    /// Where it stands, for [`Transaction::rollback_to`].
    pub fn mark(&self) -> usize {
        self.undo.borrow().len()
    }

    /// Takes back what was written since the mark.
    pub fn rollback_to(&self, mark: usize) {
        let mut undo = self.undo.borrow_mut();
        let mut writes = self.writes.borrow_mut();
        while undo.len() > mark {
            let Some(Undo { number, key, before }) = undo.pop() else { break };
            let Some(index) = writes.get_mut(&number) else { continue };
            match before {
                Some(change) => drop(index.changes.insert(key, change)),
                None => drop(index.changes.remove(&key)),
            }
        }
    }

    /// What it did to a key.
    pub fn written(&self, index: &Index, key: &[u8]) -> Option<Change> {
        if !self.has_written() {
            return None;
        }
        self.writes.borrow().get(&index.generation().number())?.changes.get(key).cloned()
    }

    /// The first key of the range, in its direction, that it has changed.
    pub(super) fn first_written(
        &self,
        index: &Index,
        range: &Range,
        is_reverse: bool,
    ) -> Option<(Bytes, Change)> {
        if !self.has_written() || range.is_empty() {
            return None;
        }
        let writes = self.writes.borrow();
        let changes = &writes.get(&index.generation().number())?.changes;
        let mut walk = changes.range::<[u8], _>(bounds(range));
        let found = if is_reverse { walk.next_back() } else { walk.next() };
        found.map(|(key, change)| (key.clone(), change.clone()))
    }

    /// Shows each change.
    pub(super) fn for_each_write(&self, mut show: impl FnMut(&Rc<Index>, &Bytes, &Change)) {
        for writes in self.writes.borrow().values() {
            for (key, change) in &writes.changes {
                show(&writes.index, key, change);
            }
        }
    }

    /// Whether it changes something.
    pub fn has_changes(&self) -> bool {
        self.writes.borrow().values().any(|writes| !writes.changes.is_empty())
    }

    /// Whether it has changed this index.
    pub fn has_changed(&self, index: &Index) -> bool {
        let writes = self.writes.borrow();
        writes.get(&index.generation().number()).is_some_and(|writes| !writes.changes.is_empty())
    }

    // Reads.

    /// Notes that it has read a key.
    pub(super) fn note_key(&self, index: &Index, key: &[u8]) {
        if self.is_active() && self.view.borrow().is_none() {
            self.with_reads(index, |reads| reads.add_key(key));
        }
    }

    /// Notes that it has read a range of keys.
    pub(super) fn note_range(&self, index: &Index, range: &Range) {
        if self.is_active() && self.view.borrow().is_none() {
            let (start, end) = bounds(range);
            self.with_reads(index, |reads| reads.add_range(start, end));
        }
    }

    fn with_reads(&self, index: &Index, change: impl FnOnce(&mut ReadSet)) {
        let mut reads = self.reads.borrow_mut();
        change(reads.entry(index.generation().number()).or_default());
    }

    /// Whether it has read a key that the other one writes.
    pub(super) fn has_read_writes_of(&self, other: &Transaction) -> bool {
        let reads = self.reads.borrow();
        if reads.is_empty() {
            return false;
        }
        other.writes.borrow().iter().any(|(number, writes)| {
            reads
                .get(number)
                .is_some_and(|reads| writes.changes.keys().any(|key| reads.contains(key)))
        })
    }

    /// How many intervals it has read.
    pub(super) fn read_count(&self) -> usize {
        self.reads.borrow().values().map(ReadSet::len).sum()
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.engine.forget(self.id);
    }
}
