//! The engine: who is in a transaction, and the way of changes from a transaction to the store.
//!
//! A transaction that is to be committed is prepared: those whose reads it overwrites go to a read
//! view or are aborted, and its changes enter the overlays. When the log has its rows, it is committed:
//! the changes are submitted to the store, which applies them in the background. When the store shows
//! them to all, they leave the overlays. A read view gets a snapshot of its own as soon as the store has
//! exactly what it shows, so a long one does not keep the overlays. A transaction that the log lost is taken out of the overlays,
//! and who has read what it wrote is aborted.
//!
//! # Invariants
//! - Transactions are committed in the order of preparation, and those that are lost are the newest.
//! - What a pinned snapshot does not surely show is in the overlays.
//!
//! # Yields
//! `open`; the others never

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};

use super::index::Index;
use super::store::{Mark, Snapshot, Store};
use super::transaction::{Transaction, Visibility};
use super::{Bytes, Options, Position, Write};
use crate::base::Result;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.set(self.0.get() + count);
    }

    /// What it is.
    pub fn get(&self) -> u64 {
        self.0.get()
    }

    /// Starts over.
    pub fn reset(&self) {
        self.0.set(0);
    }
}

/// Counters of the engine, for `box.stat.vinyl()`.
#[derive(Debug, Default)]
pub struct Activity {
    /// Transactions committed.
    pub commits: Counter,
    /// Transactions rolled back.
    pub rollbacks: Counter,
    /// Transactions aborted by others.
    pub conflicts: Counter,
}

impl Activity {
    /// Starts over.
    pub fn reset(&self) {
        self.commits.reset();
        self.rollbacks.reset();
        self.conflicts.reset();
    }
}

/// What transactions and their reads take now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Transactions under way.
    pub transactions: u64,
    /// Of them, those in a read view.
    pub read_views: u64,
    /// Intervals in read sets.
    pub reads: u64,
    /// Changes in the overlays.
    pub changes: u64,
}

/// One state of the past.
pub(super) struct ReadView {
    snapshot: RefCell<Snapshot>,
    /// It shows everything prepared up to here.
    pub upto: u64,
    /// As long as the snapshot may not show all of that, the overlays do.
    pin: RefCell<Option<Pin>>,
    /// What is to become the snapshot, when it is made.
    mark: RefCell<Option<Rc<Mark>>>,
}

impl ReadView {
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// Whether the snapshot shows the view's state without the overlays.
    pub fn is_exact(&self) -> bool {
        self.pin.borrow().is_none()
    }

    /// What is to become its snapshot, if that is on the way.
    pub fn mark(&self) -> Option<Rc<Mark>> {
        self.mark.borrow().clone()
    }

    /// Takes the snapshot that was wanted, if it is made: the overlays need not be kept any more.
    fn settle(&self) {
        let made = self.mark.borrow().as_ref().and_then(|mark| mark.snapshot());
        if let Some(snapshot) = made {
            *self.snapshot.borrow_mut() = snapshot;
            self.mark.take();
            self.pin.take();
        }
    }
}

/// Keeps the overlays as they are for a snapshot.
pub(super) struct Pin {
    engine: Rc<Engine>,
    sequence: u64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.engine.pins.borrow_mut();
        if let Some(count) = pins.get_mut(&self.sequence) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.sequence);
            }
        }
    }
}

/// A change in the overlays.
struct Prepared {
    number: u64,
    index: Rc<Index>,
    key: Bytes,
}

/// The engine.
pub struct Engine {
    store: Store,
    next_id: Cell<u64>,
    /// Number of the transaction prepared last.
    prepared: Cell<u64>,
    /// Everything prepared up to here is in the log.
    confirmed: Cell<u64>,
    active: RefCell<BTreeMap<u64, Weak<Transaction>>>,
    history: RefCell<VecDeque<Prepared>>,
    /// Numbers of committed transactions whose changes are in the overlays, and what the store
    /// calls them.
    submitted: RefCell<VecDeque<(u64, u64)>>,
    pins: RefCell<BTreeMap<u64, usize>>,
    /// Read views whose snapshots may not show all that they should.
    views: RefCell<Vec<Weak<ReadView>>>,
    /// The overlays have nothing any more of what was submitted up to here.
    floor: Cell<u64>,
    activity: Activity,
}

impl Engine {
    /// Opens the store. Yields, unless told to have the thread wait.
    pub fn open(options: &Options, yields: bool) -> Result<Rc<Engine>> {
        Ok(Rc::new(Engine {
            store: Store::open(options, yields)?,
            next_id: Cell::new(1),
            prepared: Cell::new(0),
            confirmed: Cell::new(0),
            active: RefCell::default(),
            history: RefCell::default(),
            submitted: RefCell::default(),
            pins: RefCell::default(),
            views: RefCell::default(),
            floor: Cell::new(0),
            activity: Activity::default(),
        }))
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Counters.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Begins a transaction.
    pub fn begin(self: &Rc<Engine>, visibility: Visibility) -> Rc<Transaction> {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let transaction = Rc::new(Transaction::new(self.clone(), id, visibility));
        self.active.borrow_mut().insert(id, Rc::downgrade(&transaction));
        transaction
    }

    pub(super) fn forget(&self, id: u64) {
        self.active.borrow_mut().remove(&id);
    }

    fn others(&self, than: &Transaction) -> Vec<Rc<Transaction>> {
        let active = self.active.borrow();
        let others = active.values().filter_map(Weak::upgrade);
        others.filter(|other| other.id != than.id && other.is_active()).collect()
    }

    /// Makes the changes of a transaction visible to others, or refuses. After that it is committed
    /// or rolled back.
    pub fn prepare(&self, transaction: &Rc<Transaction>) -> Result<()> {
        transaction.check()?;
        if !transaction.has_changes() {
            return Ok(());
        }
        if transaction.view().is_some() {
            transaction.abort();
            return transaction.check();
        }
        let number = self.prepared.get() + 1;
        for other in self.others(transaction) {
            if other.view().is_none() && other.has_read_writes_of(transaction) {
                if other.has_written() {
                    other.abort();
                } else {
                    self.send_to_view(&other, number - 1);
                }
            }
        }
        self.prepared.set(number);
        let mut history = self.history.borrow_mut();
        transaction.for_each_write(|index, key, change| {
            index.prepare(key, number, change.clone());
            history.push_back(Prepared { number, index: index.clone(), key: key.clone() });
        });
        transaction.set_prepared(number);
        Ok(())
    }

    /// The log has the transaction, at this position: hands its changes to the store.
    pub fn commit(&self, transaction: &Transaction, position: Position) {
        self.activity.commits.add(1);
        if transaction.is_prepared() {
            let number = transaction.prepared.get();
            let mut writes = Vec::new();
            transaction.for_each_write(|index, key, change| {
                let counters = index.counters();
                counters.written_rows.set(counters.written_rows.get() + 1);
                let size = key.len() + change.size();
                counters.written_bytes.set(counters.written_bytes.get() + size as u64);
                let generation = index.generation().clone();
                writes.push(Write { generation, key: key.clone(), change: change.clone() });
            });
            self.confirmed.set(number);
            self.mark_views(number);
            let count = writes.len();
            let sequence = self.store.submit(position, writes);
            self.submitted.borrow_mut().push_back((number, sequence));
            self.trim(count);
        }
        transaction.set_ended();
    }

    /// Takes a transaction back, prepared or not.
    pub fn rollback(&self, transaction: &Transaction) {
        self.activity.rollbacks.add(1);
        if transaction.is_prepared() {
            let number = transaction.prepared.get();
            let mut history = self.history.borrow_mut();
            while history.back().is_some_and(|change| change.number == number) {
                if let Some(change) = history.pop_back() {
                    change.index.take_back(&change.key, number);
                }
            }
            drop(history);
            for other in self.others(transaction) {
                // In a view from after it was prepared its changes were seen, or might have been.
                let has_seen = match other.view() {
                    Some(view) => view.upto >= number,
                    None => other.has_read_writes_of(transaction),
                };
                if has_seen {
                    other.abort();
                }
            }
        }
        transaction.set_ended();
    }

    /// Sends a transaction that only reads to the state with everything prepared up to here.
    pub(super) fn send_to_view(self: &Engine, transaction: &Transaction, upto: u64) {
        let engine = transaction.engine();
        let snapshot = self.store.snapshot();
        let pin = engine.pin(snapshot.sequence());
        let view = Rc::new(ReadView {
            snapshot: RefCell::new(snapshot),
            upto,
            pin: RefCell::new(Some(pin)),
            mark: RefCell::default(),
        });
        self.views.borrow_mut().push(Rc::downgrade(&view));
        transaction.set_view(view);
    }

    /// Before this transaction is submitted, wants a snapshot for the views that do not see it: all
    /// that they do see was submitted.
    fn mark_views(&self, number: u64) {
        if self.views.borrow().is_empty() {
            return;
        }
        let mut mark = None;
        for view in self.views.borrow().iter().filter_map(Weak::upgrade) {
            if view.upto < number && view.mark.borrow().is_none() {
                let mark = mark.get_or_insert_with(|| Rc::new(self.store.mark()));
                *view.mark.borrow_mut() = Some(mark.clone());
            }
        }
    }

    /// Lets go of the overlays for views whose snapshots are made.
    fn settle_views(&self) {
        let mut views = std::mem::take(&mut *self.views.borrow_mut());
        views.retain(|view| {
            view.upgrade().is_some_and(|view| {
                view.settle();
                !view.is_exact()
            })
        });
        self.views.borrow_mut().append(&mut views);
    }

    /// Keeps in the overlays what a snapshot of this sequence number may not show.
    pub(super) fn pin(self: &Rc<Engine>, sequence: u64) -> Pin {
        *self.pins.borrow_mut().entry(sequence).or_default() += 1;
        Pin { engine: self.clone(), sequence }
    }

    /// The store shows everything prepared up to here to new snapshots.
    pub(super) fn applied(&self) -> u64 {
        let applied = self.store.applied();
        let submitted = self.submitted.borrow();
        let unapplied = submitted.iter().find(|(_, sequence)| *sequence > applied);
        unapplied.map_or(self.confirmed(), |(number, _)| number - 1)
    }

    /// Everything prepared up to here is in the log.
    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed.get()
    }

    /// A snapshot that does not show everything submitted up to here is too old to be read with
    /// the overlays of now.
    pub(super) fn floor(&self) -> u64 {
        self.floor.get()
    }

    /// Takes out of the overlays what the store shows to everyone, up to a number of changes. The store
    /// applies many at once, and to forget them all would stop tx for as long; so each commit and each
    /// read takes its part: twice what it has brought, or some.
    pub(super) fn trim(&self, brought: usize) {
        const CHANGES_MIN: usize = 256;
        if self.submitted.borrow().is_empty() {
            return;
        }
        if !self.views.borrow().is_empty() {
            self.settle_views();
        }
        let mut submitted = self.submitted.borrow_mut();
        let pinned = self.pins.borrow().keys().next().copied().unwrap_or(u64::MAX);
        let shown = self.store.applied().min(pinned);
        let mut history = self.history.borrow_mut();
        let mut remaining = brought.saturating_mul(2).max(CHANGES_MIN);
        while let Some((number, sequence)) = submitted.front().copied() {
            if sequence > shown || remaining == 0 {
                break;
            }
            // From the first change on that is forgotten.
            self.floor.set(sequence);
            while remaining > 0 && history.front().is_some_and(|change| change.number <= number) {
                remaining -= 1;
                if let Some(change) = history.pop_front() {
                    change.index.forget(&change.key, number);
                }
            }
            if history.front().is_none_or(|change| change.number > number) {
                submitted.pop_front();
            }
        }
    }

    /// Aborts the transactions that have changed one of these indexes: it is being altered.
    pub fn abort_writers(&self, of: &dyn Fn(&Transaction) -> bool) {
        let active: Vec<_> = self.active.borrow().values().filter_map(Weak::upgrade).collect();
        for transaction in active {
            if transaction.is_active() && of(&transaction) {
                transaction.abort();
            }
        }
    }

    /// What transactions take now.
    pub fn usage(&self) -> Usage {
        let active: Vec<_> = self.active.borrow().values().filter_map(Weak::upgrade).collect();
        Usage {
            transactions: active.iter().filter(|one| one.is_active()).count() as u64,
            read_views: active.iter().filter(|one| one.view().is_some()).count() as u64,
            reads: active.iter().map(|one| one.read_count() as u64).sum(),
            changes: self.history.borrow().len() as u64,
        }
    }
}
