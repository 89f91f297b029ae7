//! Reading: single keys and ranges, from the transaction's own writes, the overlay and the store.
//!
//! What the store shows is read at a snapshot, which may take a while; what happened since stands in
//! the overlay. Both are put together without a yield after the rows have come, so a read is of the
//! moment when it returns, and it is noted in the read set at that moment.
//!
//! A snapshot surely shows what was submitted before, but may show more. That does not matter for a change
//! that says what the row is. Where the overlay has upserts, the row is read at a snapshot that the
//! writer makes for it, of which is known exactly what it shows.
//!
//! # Invariants
//! - Between putting together and noting nothing yields.
//! - Rows kept for the next step are thrown away when the overlay has lost something that their
//!   snapshot may not show.
//!
//! # Yields
//! `Reader::get`, `Cursor::next_row`, `Tuples::next_tuple` when the rows are not in memory

use std::collections::VecDeque;
use std::ops::Bound;
use std::rc::Rc;
use std::time::Instant;

use super::engine::Engine;
use super::index::{Found, Index};
use super::store::Row;
use super::transaction::{Transaction, Visibility};
use super::{Bytes, Change, Range, key};
use crate::base::Result;

/// Rows of the first look at the store, and of a later one.
const ROW_COUNT_FIRST: usize = 16;
const ROW_COUNT_MAX: usize = 256;

/// Who reads: a transaction, or nobody for a single lookup.
#[derive(Clone)]
pub struct Reader {
    engine: Rc<Engine>,
    transaction: Option<Rc<Transaction>>,
    sees_prepared: bool,
}

impl Reader {
    /// A transaction.
    pub fn of(transaction: &Rc<Transaction>) -> Reader {
        Reader {
            engine: transaction.engine().clone(),
            transaction: Some(transaction.clone()),
            sees_prepared: false,
        }
    }

    /// A lookup of its own, which sees also what waits for the log, or does not.
    pub fn alone(engine: &Rc<Engine>, sees_prepared: bool) -> Reader {
        Reader { engine: engine.clone(), transaction: None, sees_prepared }
    }

    /// The same, but with several reads that belong together.
    fn with_transaction(mut self) -> Reader {
        if self.transaction.is_none() {
            let visibility =
                if self.sees_prepared { Visibility::Prepared } else { Visibility::Confirmed };
            self.transaction = Some(self.engine.begin(visibility));
        }
        self
    }

    fn check(&self) -> Result<()> {
        self.transaction.as_ref().map_or(Ok(()), |transaction| transaction.check())
    }

    /// It sees what was prepared up to here.
    fn upto(&self) -> u64 {
        let Some(transaction) = &self.transaction else {
            return if self.sees_prepared { u64::MAX } else { self.engine.confirmed() };
        };
        match transaction.view() {
            Some(view) => view.upto,
            None if transaction.sees_prepared() => u64::MAX,
            None => self.engine.confirmed(),
        }
    }

    /// It has passed over a change that it may not see: from now on it sees the state before.
    fn pass_over(&self, hidden: Option<u64>) {
        if let (Some(hidden), Some(transaction)) = (hidden, &self.transaction)
            && transaction.view().is_none()
        {
            self.engine.send_to_view(transaction, hidden - 1);
        }
    }

    fn note_key(&self, index: &Index, key: &[u8]) {
        if let Some(transaction) = &self.transaction {
            transaction.note_key(index, key);
        }
    }

    /// What the overlay knows of a key beside a row of the store that has everything up to `base`.
    fn look_up(&self, index: &Index, key: &[u8], base: u64) -> Option<Change> {
        let Found { change, hidden } = index.find(key, base, self.upto());
        self.pass_over(hidden);
        change
    }

    /// What the reader's own transaction did to a key.
    fn own(&self, index: &Index, key: &[u8]) -> Option<Change> {
        self.transaction.as_ref().and_then(|one| one.written(index, key))
    }

    /// The row of a key. Yields.
    pub fn get(&self, index: &Index, key: &Bytes) -> Result<Option<Bytes>> {
        self.check()?;
        let counters = index.counters();
        counters.lookups.set(counters.lookups.get() + 1);
        match self.own(index, key) {
            None => self.get_committed(index, key),
            Some(Change::Upsert(own)) => Ok(own.apply(self.get_committed(index, key)?, false)),
            Some(change) => Ok(row_of(change)),
        }
    }

    /// The row of a key without the own changes. Yields.
    fn get_committed(&self, index: &Index, key: &Bytes) -> Result<Option<Bytes>> {
        self.engine.trim(0);
        match self.look_up(index, key, 0) {
            None => {}
            Some(Change::Upsert(_)) => return self.get_upserted(index, key),
            Some(change) => {
                self.note_key(index, key);
                return Ok(row_of(change));
            }
        }
        let store = self.engine.store();
        let view = self.transaction.as_ref().and_then(|one| one.view());
        let snapshot = view.as_ref().map(|view| view.snapshot());
        if let Some(row) = store.get_cached(index.generation(), snapshot.as_ref(), key) {
            self.note_key(index, key);
            return Ok(row);
        }
        let snapshot = snapshot.unwrap_or_else(|| store.snapshot());
        let _pin = self.engine.pin(snapshot.sequence());
        let start = Instant::now();
        let row = store.get(index.generation(), Some(&snapshot), key)?;
        index.counters().latency.add(start.elapsed());
        self.check()?;
        self.settle(index, key, row)
    }

    /// The row of a key, without the own changes, of which the store had `row` at a snapshot that the
    /// overlays go with. Yields if there are upserts.
    fn settle(&self, index: &Index, key: &Bytes, row: Option<Bytes>) -> Result<Option<Bytes>> {
        let found = match self.look_up(index, key, 0) {
            None => row,
            Some(Change::Upsert(_)) => return self.get_upserted(index, key),
            Some(change) => row_of(change),
        };
        self.note_key(index, key);
        Ok(found)
    }

    /// The row of a key that has upserts in the overlay. Yields.
    fn get_upserted(&self, index: &Index, key: &Bytes) -> Result<Option<Bytes>> {
        let (engine, store) = (&self.engine, self.engine.store());
        let view = self.transaction.as_ref().and_then(|one| one.view());
        // What the snapshot shows: up to the view, or what was submitted until now. A view whose mark is not
        // set sees all of that.
        let (snapshot, base) = match &view {
            Some(view) if view.is_exact() => (view.snapshot(), view.upto),
            _ => {
                let known = view.as_ref().and_then(|view| Some((view.mark()?, view.upto)));
                let (mark, base) =
                    known.unwrap_or_else(|| (Rc::new(store.mark()), engine.confirmed()));
                let _pin = engine.pin(mark.sequence());
                // After a failure nothing more is applied, and reads go on.
                let _ = store.wait_applied(mark.sequence());
                mark.snapshot().map_or_else(
                    || (store.snapshot(), engine.applied()),
                    |snapshot| (snapshot, base),
                )
            }
        };
        let _pin = engine.pin(snapshot.sequence());
        let row = store.get(index.generation(), Some(&snapshot), key)?;
        self.check()?;
        let found = match self.look_up(index, key, base) {
            None => row,
            Some(Change::Upsert(upsert)) => {
                let row = upsert.apply(row, false);
                row.iter().for_each(|row| index.keep(key, self.upto(), row));
                row
            }
            Some(change) => row_of(change),
        };
        self.note_key(index, key);
        Ok(found)
    }

    /// Steps through a range, descending if `is_reverse`.
    pub fn scan(self, index: &Rc<Index>, range: Range, is_reverse: bool) -> Cursor {
        let counters = index.counters();
        counters.lookups.set(counters.lookups.get() + 1);
        Cursor {
            reader: self.with_transaction(),
            index: index.clone(),
            range,
            is_reverse,
            rows: VecDeque::new(),
            primary: None,
            primary_rows: VecDeque::new(),
            sequence: 0,
            is_exact: false,
            state: Rows::Unread,
            row_count: ROW_COUNT_FIRST,
        }
    }
}

/// The row after a change that needs none before it.
fn row_of(change: Change) -> Option<Bytes> {
    match change {
        Change::Put(row) => Some(row),
        Change::Delete => None,
        Change::Upsert(upsert) => upsert.apply(None, false),
    }
}

/// How the rows of a cursor relate to its range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// They were not read.
    Unread,
    /// There are more behind them.
    Partial,
    /// There are no others.
    Complete,
}

/// A walk over the rows of an index.
pub struct Cursor {
    reader: Reader,
    index: Rc<Index>,
    /// What is not passed yet.
    range: Range,
    is_reverse: bool,
    /// The next rows in the store.
    rows: VecDeque<Row>,
    /// Where the tuples are, if their rows are to be read along.
    primary: Option<Rc<Index>>,
    /// For each of the next rows what the primary index has, at the same snapshot.
    primary_rows: VecDeque<Option<Bytes>>,
    /// What their snapshot surely shows.
    sequence: u64,
    /// Whether that is all that the reader sees.
    is_exact: bool,
    state: Rows,
    row_count: usize,
}

impl Cursor {
    /// Says how many rows will be asked for, most likely.
    pub fn expect(&mut self, count: usize) {
        self.row_count = count.clamp(1, ROW_COUNT_MAX);
    }

    /// The next row. Yields.
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        Ok(self.next_pair()?.map(|(row, _)| row))
    }

    /// The next row, and what the primary index had for it when the store was read. Yields.
    fn next_pair(&mut self) -> Result<Option<(Row, Option<Option<Bytes>>)>> {
        loop {
            self.fetch()?;
            if self.range.is_empty() {
                return Ok(None);
            }
            let Some((key, change, along)) = self.step() else { return Ok(None) };
            let row = match change {
                // Passed and noted: what changes it from now on sends this reader to a view from before.
                Change::Upsert(_) => self.reader.get(&self.index, &key)?,
                change => row_of(change),
            };
            if let Some(row) = row {
                let counters = self.index.counters();
                counters.rows.set(counters.rows.get() + 1);
                counters.bytes.set(counters.bytes.get() + (key.len() + row.len()) as u64);
                return Ok(Some(((key, row), along)));
            }
        }
    }

    /// Has rows of the store, or knows that there are none. Yields.
    fn fetch(&mut self) -> Result<()> {
        let engine = self.reader.engine.clone();
        engine.trim(0);
        loop {
            self.reader.check()?;
            if self.state != Rows::Unread && !self.is_exact && self.sequence < engine.floor() {
                self.rows.clear();
                self.primary_rows.clear();
                self.state = Rows::Unread;
            }
            let has_enough = match self.state {
                Rows::Unread => false,
                Rows::Partial => !self.rows.is_empty(),
                Rows::Complete => true,
            };
            if has_enough || self.range.is_empty() {
                return Ok(());
            }
            let view = self.reader.transaction.as_ref().and_then(|one| one.view());
            let snapshot = match &view {
                Some(view) => view.snapshot(),
                None => engine.store().snapshot(),
            };
            let is_exact = view.is_some_and(|view| view.is_exact());
            let _pin = engine.pin(snapshot.sequence());
            let (generation, count) = (self.index.generation(), self.row_count);
            let start = Instant::now();
            let rows = engine.store().scan(
                generation,
                Some(&snapshot),
                &self.range,
                self.is_reverse,
                count,
            )?;
            self.state = if rows.len() < count { Rows::Complete } else { Rows::Partial };
            if let Some(primary) = &self.primary {
                let keys: Vec<Bytes> = rows.iter().map(|(_, key)| key.clone()).collect();
                let found = engine.store().get_many(primary.generation(), Some(&snapshot), &keys);
                self.primary_rows = found?.into();
            }
            self.index.counters().latency.add(start.elapsed());
            self.rows = rows.into();
            self.sequence = snapshot.sequence();
            self.is_exact = is_exact;
            self.row_count = (count * 4).min(ROW_COUNT_MAX);
        }
    }

    /// Passes the next key that has a row or a change, and notes what was read; `None` at the end.
    fn step(&mut self) -> Option<(Bytes, Change, Option<Option<Bytes>>)> {
        let (range, is_reverse) = (&self.range, self.is_reverse);
        let transaction = self.reader.transaction.as_ref();
        let own = transaction.and_then(|one| one.first_written(&self.index, range, is_reverse));
        let (overlaid, hidden) = self.index.first(range, is_reverse, self.reader.upto());
        self.reader.pass_over(hidden);
        let is_before = |left: &Bytes, right: &Bytes| (left < right) != is_reverse && left != right;
        // At the same key the own change counts, then the overlay, then the store.
        let mut found = own;
        if let Some(other) = overlaid
            && found.as_ref().is_none_or(|found| is_before(&other.0, &found.0))
        {
            found = Some(other);
        }
        let mut along = None;
        if let Some((key, _)) = self.rows.front() {
            match &found {
                Some(nearer) if is_before(&nearer.0, key) => {}
                Some(same) if same.0 == *key => {
                    self.rows.pop_front();
                    self.primary_rows.pop_front();
                }
                _ => {
                    found = self.rows.pop_front().map(|(key, row)| (key, Change::Put(row)));
                    along = self.primary_rows.pop_front();
                }
            }
        }
        let passed = found.as_ref().map(|(key, _)| key.clone());
        self.pass(passed);
        found.map(|(key, change)| (key, change, along))
    }

    /// Notes that everything up to this key was read, all of it if there is none.
    fn pass(&mut self, key: Option<Bytes>) {
        let range = std::mem::replace(&mut self.range, nothing());
        let read = match (&key, self.is_reverse) {
            (None, _) => range.clone(),
            (Some(key), false) => {
                Range { start: range.start.clone(), end: Bound::Included(key.clone()) }
            }
            (Some(key), true) => {
                Range { start: Bound::Included(key.clone()), end: range.end.clone() }
            }
        };
        if let Some(transaction) = &self.reader.transaction {
            transaction.note_range(&self.index, &read);
        }
        if let Some(key) = key {
            self.range = if self.is_reverse { range.before(key) } else { range.after(key) };
        }
    }
}

/// A range without keys.
fn nothing() -> Range {
    Range { start: Bound::Excluded(Bytes::empty()), end: Bound::Excluded(Bytes::empty()) }
}

/// A walk over the tuples of an index.
pub struct Tuples {
    cursor: Cursor,
    /// Where the tuples are, if not in the index itself.
    primary: Option<Rc<Index>>,
}

impl Tuples {
    /// Steps through a range of an index; `primary` is the primary index, if that is another.
    pub fn new(
        reader: Reader,
        index: &Rc<Index>,
        primary: Option<&Rc<Index>>,
        range: Range,
        is_reverse: bool,
    ) -> Tuples {
        let mut cursor = reader.scan(index, range, is_reverse);
        cursor.primary = primary.cloned();
        Tuples { cursor, primary: primary.cloned() }
    }

    /// Says how many tuples will be asked for, most likely.
    pub fn expect(&mut self, count: usize) {
        self.cursor.expect(count);
    }

    /// The bytes of the next tuple. Yields.
    pub fn next_tuple(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(((key, row), along)) = self.cursor.next_pair()? else { return Ok(None) };
            let Some(primary) = &self.primary else { return Ok(Some(row)) };
            let found = match along {
                Some(tuple) if self.cursor.reader.own(primary, &row).is_none() => {
                    self.cursor.reader.settle(primary, &row, tuple)?
                }
                _ => self.cursor.reader.get(primary, &row)?,
            };
            let index = &self.cursor.index;
            match found {
                Some(tuple) if key::of_data(index.def(), &tuple) == key => return Ok(Some(tuple)),
                _ => {
                    index.counters().skipped.set(index.counters().skipped.get() + 1);
                    self.discard(primary, &key, &row);
                }
            }
        }
    }

    /// Has the row deleted that turned out to be stale, if it is so for everybody who reads the newest state:
    /// nothing has happened to both keys that the snapshot may not show.
    fn discard(&self, primary: &Index, key: &Bytes, primary_key: &Bytes) {
        let Cursor { reader, index, sequence, .. } = &self.cursor;
        let (engine, store) = (&reader.engine, reader.engine.store());
        let is_in_view = reader.transaction.as_ref().is_some_and(|one| one.view().is_some());
        let is_newest = !is_in_view && *sequence >= engine.floor();
        let is_settled = index.is_settled(key) && primary.is_settled(primary_key);
        let is_own = reader.own(index, key).is_some() || reader.own(primary, primary_key).is_some();
        if is_newest && is_settled && !is_own && store.check().is_ok() {
            store.discard(index.generation(), key);
        }
    }
}
