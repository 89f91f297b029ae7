//! The store: what tx calls.
//!
//! # Invariants
//! - Sequence numbers of submissions begin with 1 and have no gaps; what is applied is a prefix.
//! - Files are opened, made and deleted on other threads than tx, and so is what drops the last
//!   handle of a tree.
//!
//! # Yields
//! `open`, `abort`, `get`, `get_many`, `scan`, `wait_applied`, `wait_room`, `persist`,
//! `collect_garbage`, `compact`, `measure`

use std::cell::{Cell, RefCell};
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, io};

use fjall::{AbstractTree, Database, KeyspaceCreateOptions, PersistMode, Readable};

use super::cache::{Cache, Hash};
use super::error::{self, failed, failed_read};
use super::generation::{Generation, RECORD_PREFIX, Record};
use super::merger::Mergers;
use super::options::{IndexOptions, Options};
use super::reader::Readers;
use super::traffic::Traffic;
use super::writer::{Command, Position, Shared, VCLOCK_KEY, Write, Writer};
use super::{Bytes, Change, Range, key};
use crate::base::{Error, Result};
use crate::client_error;
use crate::fiber;
use crate::value::msgpack::Reader;
use crate::xrow::Vclock;

/// How long a fiber sleeps between two looks whether there is room for changes.
const ROOM_NAP: Duration = Duration::from_millis(1);

/// What the threads that write tables do.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Merges under way.
    pub active: u64,
    /// Tables of memory that wait to be written.
    pub waiting_flushes: u64,
    /// What was done.
    pub traffic: Traffic,
}

/// How far the threads that write tables of memory give way: who waits for them waits for the quota.
const WORKER_NICE: i32 = 5;

/// A key and its row.
pub type Row = (Bytes, Bytes);

/// All trees at one moment. Cheap; while it lives, the versions of rows that it sees stay on disk.
#[derive(Clone)]
pub struct Snapshot {
    inner: fjall::Snapshot,
    sequence: u64,
}

impl Snapshot {
    /// Everything submitted up to here is in it, and maybe later submissions up to its making.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// Figures of the whole store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    /// Bytes of changes in memory.
    pub memory_used: u64,
    /// Bytes that they may have.
    pub memory_limit: u64,
    /// Bytes of the cache of rows.
    pub cache_size: u64,
    /// Rows of the cache.
    pub cache_count: u64,
    /// Questions to the cache.
    pub cache_lookups: u64,
    /// How many it could answer.
    pub cache_hits: u64,
    /// Point reads that the cache could not answer.
    pub disk_reads: u64,
    /// Submissions that are not applied.
    pub unapplied: u64,
}

/// What a tree takes. Rows count versions and deletions that are not merged yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measure {
    /// Bytes of tables.
    pub disk_size: u64,
    /// Rows of tables.
    pub disk_rows: u64,
    /// Blocks of tables.
    pub disk_pages: u64,
    /// Deletions in tables.
    pub disk_tombstones: u64,
    /// Tables.
    pub table_count: u64,
    /// Runs: sequences of tables without overlaps.
    pub run_count: u64,
    /// Bytes of the table of memory.
    pub memory_size: u64,
    /// Rows in memory.
    pub memory_rows: u64,
    /// Bytes of filters on disk.
    pub filter_size: u64,
    /// Bytes of indexes of blocks that stay in memory.
    pub page_index_size: u64,
}

/// A snapshot that the writer makes when it comes to this place among the submissions.
pub struct Mark {
    sequence: u64,
    snapshot: Arc<OnceLock<fjall::Snapshot>>,
}

impl Mark {
    /// Its place among the submissions: the snapshot is made when this is applied.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The snapshot, once it is made: of everything submitted before, and nothing else.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let inner = self.snapshot.get()?.clone();
        Some(Snapshot { inner, sequence: self.sequence })
    }
}

/// The trees of an instance.
pub struct Store {
    shared: Arc<Shared>,
    readers: Readers,
    writer: Option<JoinHandle<()>>,
    mergers: Option<Mergers>,
    cache: RefCell<Cache>,
    submitted: Cell<u64>,
    disk_reads: Cell<u64>,
    next_number: Cell<u64>,
    vclock: Vclock,
}

/// What the files say.
struct Opened {
    shared: Arc<Shared>,
    vclock: Vclock,
    next_number: u64,
}

impl Store {
    /// Opens the directory, or makes it. Yields, unless told to have the thread wait.
    pub fn open(options: &Options, yields: bool) -> Result<Store> {
        error::listen();
        let given = options.clone();
        let opening = move || open(&given).map_err(|error| failed(&given.dir, &error));
        let opened = if yields { fiber::blocking(opening) } else { opening() }?;
        let Opened { shared, vclock, next_number } = opened;
        let writer = Writer::new(shared.clone(), vclock);
        let writer = thread::Builder::new()
            .name("vinyl.writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::system("failed to start a thread", &error))?;
        let mergers = Mergers::new(&shared, options.merge_threads())?;
        Ok(Store {
            shared,
            readers: Readers::new(options.read_threads)?,
            writer: Some(writer),
            mergers: Some(mergers),
            cache: RefCell::new(Cache::new(options.cache / 2)),
            submitted: Cell::new(0),
            disk_reads: Cell::new(0),
            next_number: Cell::new(next_number),
            vclock,
        })
    }

    /// Up to where the trees were complete when they were opened: recovery submits what is behind. It
    /// is not behind the newest checkpoint, unless files were damaged or lost.
    pub fn vclock(&self) -> &Vclock {
        &self.vclock
    }

    /// The first failure, if there was one.
    pub fn check(&self) -> Result<()> {
        self.shared.check()
    }

    // Generations.

    /// All generations that have files, by number.
    pub fn generations(&self) -> Vec<Arc<Generation>> {
        let mut all: Vec<_> = self.shared.lock_generations().values().cloned().collect();
        all.sort_by_key(|generation| generation.number);
        all
    }

    /// The generation that served an index at that LSN.
    pub fn find(&self, space_id: u32, index_id: u32, lsn: i64) -> Option<Arc<Generation>> {
        let generations = self.shared.lock_generations();
        let is_wanted = |generation: &&Arc<Generation>| {
            generation.space_id() == space_id
                && generation.index_id() == index_id
                && generation.is_alive_at(lsn)
        };
        generations.values().filter(is_wanted).max_by_key(|found| found.number).cloned()
    }

    /// Has an empty tree made for an index, to be filled and then [`Store::set_created`], or else
    /// [`Store::abort`]ed. If the process ends before, it is forgotten. Never waits: the writer makes it
    /// before it comes to the first change of it.
    pub fn create(
        &self,
        space_id: u32,
        index_id: u32,
        options: &IndexOptions,
    ) -> Result<Arc<Generation>> {
        self.check()?;
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        let generation = Arc::new(Generation::new(number, space_id, index_id));
        generation.set_options(options);
        let (made, options) = (generation.clone(), options.clone());
        self.submit_command(Command::Create { generation: made, options });
        self.shared.lock_generations().insert(number, generation.clone());
        self.record(&generation);
        Ok(generation)
    }

    /// The transaction with this LSN, which makes the index, is in the log; the rows that it begins
    /// with are submitted.
    pub fn set_created(&self, generation: &Generation, lsn: i64) {
        generation.set_created(lsn);
        self.record(generation);
    }

    /// The transaction with this LSN, which drops the index or empties it, is in the log.
    pub fn set_dropped(&self, generation: &Generation, lsn: i64) {
        generation.set_dropped(lsn);
        self.record(generation);
    }

    /// Deletes a generation that was not made in the end. Yields.
    pub fn abort(&self, generation: &Arc<Generation>) -> Result<()> {
        self.delete(vec![generation.clone()])
    }

    /// Deletes the files of generations dropped at or before this LSN: recovery begins with no state
    /// older than that. Yields.
    pub fn collect_garbage(&self, lsn: i64) -> Result<()> {
        let mut garbage = self.generations();
        garbage.retain(|generation| generation.dropped().is_some_and(|dropped| dropped <= lsn));
        if garbage.is_empty() { Ok(()) } else { self.delete(garbage) }
    }

    fn delete(&self, garbage: Vec<Arc<Generation>>) -> Result<()> {
        for generation in &garbage {
            self.shared.lock_generations().remove(&generation.number);
            self.submit_command(Command::Record { key: generation.record_key(), record: None });
        }
        // Nobody writes to them any more once this is applied.
        self.wait_applied(self.submitted.get())?;
        let shared = self.shared.clone();
        fiber::blocking(move || {
            for generation in garbage {
                // What it has in memory counts against the quota until it is written.
                if let Some(tree) = generation.tree() {
                    tree.rotate_memtable()?;
                    shared.database.delete_keyspace(tree)?;
                }
                // The files go with the last handle, and that is not to be tx's.
                shared.lock_dying().push(generation);
            }
            shared.bury();
            Ok(())
        })
        .map_err(|error| self.failed(&error))
    }

    fn record(&self, generation: &Generation) {
        let (key, record) = (generation.record_key(), Some(generation.encode()));
        self.submit_command(Command::Record { key, record });
    }

    // Changes.

    /// Takes over changes that are in the log. They are applied whole, in order of submission.
    /// Returns the sequence number. Never waits; [`Store::wait_room`] does, before.
    pub fn submit(&self, position: Position, mut writes: Vec<Write>) -> u64 {
        let sequence = self.submitted.get() + 1;
        self.submitted.set(sequence);
        let mut cache = self.cache.borrow_mut();
        for write in &mut writes {
            let number = write.generation.number;
            let hash = cache.hash(number, &write.key);
            if let Change::Upsert(upsert) = &write.change
                && let Some(row) = cache.get(hash, number, &write.key, u64::MAX)
            {
                // Then the writer need not read it.
                let row = row.map_or(Change::Delete, Change::Put);
                write.change = upsert.after(&row, true);
            }
            match &write.change {
                Change::Put(row) => {
                    cache.put(hash, number, &write.key, Some(row.clone()), sequence);
                }
                Change::Delete => cache.put(hash, number, &write.key, None, sequence),
                Change::Upsert(_) => cache.forget(hash, number, &write.key, sequence),
            }
        }
        self.shared.submit(sequence, Command::Apply { position, writes });
        sequence
    }

    /// Takes a row out that nobody sees: the newest state has none for this key. Never waits.
    pub(super) fn discard(&self, generation: &Arc<Generation>, key: &Bytes) {
        let sequence = self.submitted.get() + 1;
        let mut cache = self.cache.borrow_mut();
        let hash = cache.hash(generation.number, key);
        cache.forget(hash, generation.number, key, sequence);
        drop(cache);
        let write =
            Write { generation: generation.clone(), key: key.clone(), change: Change::Delete };
        self.submit_command(Command::Apply { position: Position::None, writes: vec![write] });
    }

    fn submit_command(&self, command: Command) -> u64 {
        let sequence = self.submitted.get() + 1;
        self.submitted.set(sequence);
        self.shared.submit(sequence, command);
        sequence
    }

    /// Has the writer make a snapshot of everything that was submitted until now. Never waits.
    pub fn mark(&self) -> Mark {
        let snapshot = Arc::default();
        let sequence = self.submit_command(Command::Mark(Arc::clone(&snapshot)));
        Mark { sequence, snapshot }
    }

    /// The sequence number of the newest submission.
    pub fn submitted(&self) -> u64 {
        self.submitted.get()
    }

    /// The sequence number up to which new snapshots surely show the changes.
    pub fn applied(&self) -> u64 {
        self.shared.applied.load(Ordering::Acquire)
    }

    /// Waits until that submission is applied. Yields.
    pub fn wait_applied(&self, sequence: u64) -> Result<()> {
        let mut signal = self.shared.applied_signal.subscribe();
        fiber::wait(async {
            while self.applied() < sequence {
                self.shared.check()?;
                if signal.changed().await.is_err() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Bytes of changes in memory, and how many there may be.
    pub fn quota(&self) -> (u64, u64) {
        (self.shared.used(), self.shared.memory.load(Ordering::Relaxed))
    }

    /// Waits until the quota has room for changes, `ER_VY_QUOTA_TIMEOUT` if that takes longer than the
    /// timeout. Yields if there is none.
    pub fn wait_room(&self, timeout: Duration) -> Result<()> {
        let mut deadline = None;
        loop {
            self.check()?;
            let (used, limit) = self.quota();
            if used < limit {
                return Ok(());
            }
            let now = Instant::now();
            if deadline.is_none() {
                self.submit_command(Command::Relieve);
            }
            if now >= *deadline.get_or_insert(now + timeout) {
                return Err(client_error!(ER_VY_QUOTA_TIMEOUT));
            }
            fiber::suspend_until(Some(now + ROOM_NAP));
            fiber::test_cancel()?;
        }
    }

    /// Makes everything durable that was submitted until now; `vclock` is known to be complete with
    /// it. Yields.
    pub fn persist(&self, vclock: &Vclock) -> Result<()> {
        let sequence = self.submit_command(Command::Advance(Box::new(*vclock)));
        self.wait_applied(sequence)?;
        let shared = self.shared.clone();
        fiber::blocking(move || shared.database.persist(PersistMode::SyncAll))
            .map_err(|error| self.failed(&error))
    }

    // Reads.

    /// All trees as they are now.
    pub fn snapshot(&self) -> Snapshot {
        let sequence = self.applied();
        Snapshot { inner: self.shared.database.snapshot(), sequence }
    }

    /// The row of a key if the cache knows it: the newest submitted one, or that of the snapshot.
    #[inline]
    pub fn get_cached(
        &self,
        generation: &Generation,
        snapshot: Option<&Snapshot>,
        key: &[u8],
    ) -> Option<Option<Bytes>> {
        let mut cache = self.cache.borrow_mut();
        let hash = cache.hash(generation.number, key);
        let sequence = snapshot.map_or(u64::MAX, |snapshot| snapshot.sequence);
        cache.get(hash, generation.number, key, sequence)
    }

    /// The row of a key: in the snapshot, or what is applied (or even only submitted) when there is
    /// none. Yields unless the cache knows it.
    pub fn get(
        &self,
        generation: &Arc<Generation>,
        snapshot: Option<&Snapshot>,
        key: &Bytes,
    ) -> Result<Option<Bytes>> {
        if let Some(row) = self.get_cached(generation, snapshot, key) {
            return Ok(row);
        }
        let rows = self.read(generation, snapshot, vec![key.clone()])?;
        Ok(rows.into_iter().next().flatten())
    }

    /// [`Store::get`] of several keys, in order, for the price of one wait. Yields unless the cache
    /// knows all.
    pub fn get_many(
        &self,
        generation: &Arc<Generation>,
        snapshot: Option<&Snapshot>,
        keys: &[Bytes],
    ) -> Result<Vec<Option<Bytes>>> {
        let mut rows = Vec::with_capacity(keys.len());
        let mut missing = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let known = self.get_cached(generation, snapshot, key);
            if known.is_none() {
                missing.push(index);
            }
            rows.push(known.flatten());
        }
        if !missing.is_empty() {
            let wanted = missing.iter().map(|&index| keys[index].clone()).collect();
            let found = self.read(generation, snapshot, wanted)?;
            for (index, row) in missing.into_iter().zip(found) {
                rows[index] = row;
            }
        }
        Ok(rows)
    }

    /// At most `limit` rows of a range, descending if `is_reverse`. Without a snapshot, one is made.
    /// A row that is kept for long should be copied: it may hold a whole block in memory. Yields.
    pub fn scan(
        &self,
        generation: &Arc<Generation>,
        snapshot: Option<&Snapshot>,
        range: &Range,
        is_reverse: bool,
        limit: usize,
    ) -> Result<Vec<Row>> {
        if range.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let Some(keyspace) = generation.tree() else { return Ok(Vec::new()) };
        let snapshot = snapshot.cloned().unwrap_or_else(|| self.snapshot());
        let range = range.clone().shortened();
        self.readers.run(move || {
            let bounds: (Bound<Bytes>, Bound<Bytes>) = (range.start.clone(), range.end.clone());
            let found = snapshot.inner.range::<Bytes, _>(&keyspace, bounds);
            let rows: fjall::Result<Vec<Row>> = if is_reverse {
                found.rev().take(limit).map(fjall::Guard::into_inner).collect()
            } else {
                found.take(limit).map(fjall::Guard::into_inner).collect()
            };
            rows.map_err(|error| failed_read(&keyspace, &range, &error))
        })
    }

    fn read(
        &self,
        generation: &Arc<Generation>,
        snapshot: Option<&Snapshot>,
        keys: Vec<Bytes>,
    ) -> Result<Vec<Option<Bytes>>> {
        // Taken here: what is submitted from now on may be seen or not, and is not cached.
        let snapshot = snapshot.cloned().unwrap_or_else(|| self.snapshot());
        let seen = snapshot.sequence;
        let Some(keyspace) = generation.tree() else { return Ok(vec![None; keys.len()]) };
        let (keys, rows) = self.readers.run(move || {
            let read = |key: &Bytes| {
                if key.len() > key::SIZE_MAX {
                    return Ok(None);
                }
                match snapshot.inner.get(&keyspace, key) {
                    // A copy: what fjall returns may keep a whole block in memory.
                    Ok(row) => Ok(row.map(|row| Bytes::from(&*row))),
                    Err(error) => Err(failed_read(&keyspace, &Range::one(key), &error)),
                }
            };
            let rows = keys.iter().map(read).collect::<Result<Vec<_>>>()?;
            Ok((keys, rows))
        })?;
        self.disk_reads.set(self.disk_reads.get() + rows.len() as u64);
        let mut cache = self.cache.borrow_mut();
        for (key, row) in keys.iter().zip(&rows) {
            let hash: Hash = cache.hash(generation.number, key);
            cache.fill(hash, generation.number, key, row.clone(), seen);
        }
        Ok(rows)
    }

    // Upkeep.

    /// Changes the bytes for changes in memory and for the cache.
    pub fn set_limits(&self, memory: u64, cache: u64) {
        self.shared.memory.store(memory, Ordering::Relaxed);
        self.cache.borrow_mut().set_size_max(cache / 2);
    }

    /// Figures of the whole store.
    pub fn statistics(&self) -> Statistics {
        let cache = self.cache.borrow();
        let (memory_used, memory_limit) = self.quota();
        Statistics {
            memory_used,
            memory_limit,
            cache_size: cache.size(),
            cache_count: cache.count() as u64,
            cache_lookups: cache.lookups(),
            cache_hits: cache.hits(),
            disk_reads: self.disk_reads.get(),
            unapplied: self.submitted.get() - self.applied(),
        }
    }

    /// What the threads that write tables do.
    pub fn work(&self) -> Work {
        let (database, merges) = (&self.shared.database, &self.shared.merges);
        Work {
            active: merges.active.load(Ordering::Relaxed),
            waiting_flushes: database.outstanding_flushes() as u64,
            traffic: merges.traffic(),
        }
    }

    /// Counts what is written and merged from now on.
    pub fn reset_traffic(&self) {
        self.shared.merges.reset_traffic();
        self.generations().iter().for_each(|generation| generation.reset_traffic());
    }

    /// What a tree takes on disk and in memory. Yields: other threads may hold the tree.
    pub fn measure(&self, generation: &Arc<Generation>) -> Measure {
        let generation = generation.clone();
        fiber::blocking(move || {
            let Some(keyspace) = generation.tree() else { return Measure::default() };
            let tree = &keyspace.tree;
            let version = tree.current_version();
            let tables = || version.iter_tables();
            let disk_rows: u64 = tables().map(|table| table.metadata.item_count).sum();
            let rows = tree.approximate_len() as u64;
            Measure {
                disk_size: tree.disk_space(),
                disk_rows,
                disk_pages: tables().map(|table| table.metadata.data_block_count).sum(),
                disk_tombstones: tables().map(|table| table.metadata.tombstone_count).sum(),
                table_count: tree.table_count() as u64,
                run_count: version.iter_levels().map(|level| level.run_count() as u64).sum(),
                memory_size: tree.active_memtable().size(),
                memory_rows: rows.saturating_sub(disk_rows),
                filter_size: tree.filter_size(),
                page_index_size: tree.pinned_block_index_size() as u64,
            }
        })
    }

    /// Merges all tables of a tree into one level. Yields until it is done.
    pub fn compact(&self, generation: &Arc<Generation>) -> Result<()> {
        self.wait_applied(self.submitted.get())?;
        let Some(tree) = generation.tree() else { return Ok(()) };
        let (shared, generation) = (self.shared.clone(), generation.clone());
        let compacted = tree.clone();
        fiber::blocking(move || {
            shared.flush(&generation, &compacted)?;
            shared.merges.measure(&generation, &compacted, || compacted.major_compact())
        })
        .map_err(|error| failed(tree.path(), &error))
    }

    fn failed(&self, error: &fjall::Error) -> Error {
        failed(&self.shared.dir, error)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was reported when it happened.
            let _ = writer.join();
        }
        drop(self.mergers.take());
        // Spaces may outlive the store, and with them the indexes that they had.
        self.shared.lock_generations().drain().for_each(|(_, one)| one.set_tree(None));
        self.shared.lock_dying().drain(..).for_each(|one| one.set_tree(None));
    }
}

/// Removes what a process has left that ended while it made the store: without its version, which
/// comes behind the first journal, fjall would make a store, and stumble over that journal.
fn remove_half_made(dir: &Path) -> io::Result<()> {
    let is_made = fs::metadata(dir.join("version")).is_ok_and(|version| version.len() > 0);
    let has_trees =
        fs::read_dir(dir.join("keyspaces")).is_ok_and(|mut trees| trees.next().is_some());
    if is_made || has_trees {
        return Ok(());
    }
    for name in ["0.jnl", "version"] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn open(options: &Options) -> fjall::Result<Opened> {
    remove_half_made(&options.dir)?;
    let builder = Database::builder(&options.dir)
        .cache_size(options.cache / 2)
        .manual_journal_persist(true)
        .max_journaling_size(journal_size(options))
        .worker_threads(options.dump_threads());
    // fjall's threads inherit from the one that opens how far they give way to tx and the readers.
    let opened = thread::scope(|scope| {
        let opening = scope.spawn(|| {
            give_way(WORKER_NICE);
            builder.open()
        });
        opening.join()
    });
    let database = opened.unwrap_or(Err(fjall::Error::Unrecoverable))?;
    let meta = database.keyspace("meta", || {
        KeyspaceCreateOptions::default().max_memtable_size(u64::MAX).manual_journal_persist(true)
    })?;
    let vclock = match meta.get(VCLOCK_KEY)? {
        None => Vclock::new(),
        Some(bytes) => {
            Vclock::decode(&mut Reader::new(&bytes)).map_err(|_| fjall::Error::Unrecoverable)?
        }
    };
    let mut next_number = 1;
    let shared = Shared::new(&options.dir, database, meta, options.memory);
    for guard in shared.meta.prefix([RECORD_PREFIX]) {
        let (key, value) = guard.into_inner()?;
        let record = Record::decode(&key, &value).ok_or(fjall::Error::Unrecoverable)?;
        next_number = next_number.max(record.number + 1);
        if !shared.database.keyspace_exists(&record.name()) {
            // It was being deleted.
            shared.meta.remove(key)?;
            continue;
        }
        let keyspace = shared.database.keyspace(&record.name(), KeyspaceCreateOptions::default)?;
        if record.created.is_none() {
            shared.meta.remove(key)?;
            shared.database.delete_keyspace(keyspace)?;
            continue;
        }
        let generation = Generation::new(record.number, record.space_id, record.index_id);
        generation.set_tree(Some(keyspace));
        record.created.inspect(|&lsn| generation.set_created(lsn));
        record.dropped.inspect(|&lsn| generation.set_dropped(lsn));
        shared.lock_generations().insert(record.number, Arc::new(generation));
    }
    // Trees that were made and of which no record became durable.
    for name in shared.database.list_keyspace_names() {
        let number = name.rsplit('.').next().and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|_| &*name != "meta") else { continue };
        if !shared.lock_generations().contains_key(&number) {
            next_number = next_number.max(number + 1);
            let keyspace = shared.database.keyspace(&name, KeyspaceCreateOptions::default)?;
            shared.database.delete_keyspace(keyspace)?;
        }
    }
    Ok(Opened { shared: Arc::new(shared), vclock, next_number })
}

/// Takes the processor only where others leave it, by so many steps.
pub(super) fn give_way(steps: i32) {
    if let Err(error) = rustix::process::nice(steps) {
        tracing::warn!("vinyl: a thread keeps its priority: {error}");
    }
}

/// Journals hold what is in memory and not in tables, with some room.
fn journal_size(options: &Options) -> u64 {
    const SIZE_MIN: u64 = 128 * 1024 * 1024;
    options.memory.saturating_mul(2).max(SIZE_MIN)
}
