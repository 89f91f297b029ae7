//! The thread that applies what tx submitted, in order, in batches.
//!
//! tx appends to a queue and goes on. The thread takes all there is, and while there is work it looks
//! again after a nap instead of being woken: a wake-up costs tx more than the submission itself, and
//! larger batches cost fjall less. It goes to sleep when nothing came for a while.
//!
//! # Invariants
//! - Submissions are applied whole and in order; a batch ends between two of them.
//! - A batch carries the vclock that is complete with it.
//! - After a failure nothing more is applied; the queue is thrown away.
//!
//! # Yields
//! never; blocks, also when compaction falls behind

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use fjall::{AbstractTree, Database, Keyspace, PersistMode};
use tokio::sync::watch;

use super::error::failed;
use super::generation::Generation;
use super::merger::Merges;
use super::options::IndexOptions;
use super::store::give_way;
use super::traffic::Traffic;
use super::{Bytes, Upsert};
use crate::base::{Error, Result};
use crate::client_error;
use crate::xrow::Vclock;

/// How far the thread gives way to tx.
const NICE: i32 = 5;
/// How long the thread naps between two looks at the queue.
const NAP: Duration = Duration::from_millis(1);
/// Naps without work after which it goes to sleep.
const NAP_COUNT_MAX: u32 = 100;
/// How long it naps while somebody still reads what was deleted, or tables are being merged.
const UPKEEP_NAP: Duration = Duration::from_secs(1);
/// Changes of a batch.
const BATCH_COUNT_MAX: usize = 4096;
/// Bytes of changes after which the sizes of memory tables are looked at, if the quota is not small.
const ROTATION_CHECK_SIZE: u64 = 1024 * 1024;
/// Unmerged tables of a tree above which changes wait; fjall stalls at 20.
const RUN_COUNT_MAX: usize = 16;
/// How long they wait before they look again.
const COMPACTION_NAP: Duration = Duration::from_millis(5);
/// Tables of memory of a tree that are being written.
const SEALED_COUNT_MAX: usize = 2;
/// Memory of a change in the queue and in a table of memory, beside its bytes.
const CHANGE_OVERHEAD: u64 = 64;

/// Key of the vclock in `meta`.
pub(super) const VCLOCK_KEY: &[u8] = b"vclock";

/// What is done to one key.
#[derive(Clone, Debug)]
pub enum Change {
    /// The row is this.
    Put(Bytes),
    /// There is no row.
    Delete,
    /// The row is what these make of it.
    Upsert(Upsert),
}

impl Change {
    /// Bytes that it brings.
    pub fn size(&self) -> usize {
        match self {
            Change::Put(row) => row.len(),
            Change::Delete => 0,
            Change::Upsert(upsert) => upsert.size(),
        }
    }
}

/// A change of one key of a tree.
#[derive(Clone, Debug)]
pub struct Write {
    /// The tree.
    pub generation: Arc<Generation>,
    /// The key.
    pub key: Bytes,
    /// What is done to it.
    pub change: Change,
}

impl Write {
    fn size(&self) -> u64 {
        CHANGE_OVERHEAD + (self.key.len() + self.change.size()) as u64
    }
}

/// Where in the log a submission stands.
#[derive(Clone, Copy, Debug)]
pub enum Position {
    /// Not in the log: rows of an index that is being built, and what nobody sees.
    None,
    /// Its last rows, each with the number of its replica and its LSN: one that is replicated and one that
    /// is local. LSN 0: there is none.
    Rows([(u32, i64); 2]),
}

pub(super) enum Command {
    /// The tree of a generation is to be made.
    Create {
        generation: Arc<Generation>,
        options: IndexOptions,
    },
    Apply {
        position: Position,
        writes: Vec<Write>,
    },
    /// Everything up to here is known to be applied.
    Advance(Box<Vclock>),
    /// A snapshot is wanted of what is submitted up to here, and nothing else.
    Mark(Arc<OnceLock<fjall::Snapshot>>),
    /// Somebody waits for the quota: tables of memory are to be written out if that helps.
    Relieve,
    /// A generation's record, as it is now.
    Record {
        key: [u8; 9],
        record: Option<[u8; 24]>,
    },
}

#[derive(Default)]
struct Queue {
    commands: Vec<(u64, Command)>,
    is_asleep: bool,
    is_closed: bool,
}

/// What tx, the writer and the readers share.
pub(super) struct Shared {
    pub dir: PathBuf,
    pub database: Database,
    pub meta: Keyspace,
    queue: Mutex<Queue>,
    woken: Condvar,
    /// Bytes that are submitted and not applied.
    pub pending: AtomicU64,
    pub applied: AtomicU64,
    pub applied_signal: watch::Sender<u64>,
    pub failure: OnceLock<Error>,
    pub memory: AtomicU64,
    /// Generations whose memory tables may be rotated.
    pub generations: Mutex<HashMap<u64, Arc<Generation>>>,
    pub merges: Merges,
    /// Deleted generations that somebody still reads: tx must not be the last one.
    dying: Mutex<Vec<Arc<Generation>>>,
}

impl Shared {
    pub fn new(dir: &Path, database: Database, meta: Keyspace, memory: u64) -> Shared {
        Shared {
            dir: dir.to_owned(),
            database,
            meta,
            queue: Mutex::default(),
            woken: Condvar::new(),
            pending: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            applied_signal: watch::Sender::new(0),
            failure: OnceLock::new(),
            memory: AtomicU64::new(memory),
            generations: Mutex::default(),
            merges: Merges::default(),
            dying: Mutex::default(),
        }
    }

    pub fn lock_generations(&self) -> MutexGuard<'_, HashMap<u64, Arc<Generation>>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn lock_dying(&self) -> MutexGuard<'_, Vec<Arc<Generation>>> {
        self.dying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of deleted generations that nobody else holds, which deletes their files.
    pub fn bury(&self) {
        let mut dying = std::mem::take(&mut *self.lock_dying());
        if dying.is_empty() {
            return;
        }
        dying.retain(|generation| Arc::strong_count(generation) > 1);
        self.lock_dying().append(&mut dying);
    }

    fn lock_queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of changes in memory: submitted ones and fjall's tables of memory.
    pub fn used(&self) -> u64 {
        self.pending.load(Ordering::Relaxed) + self.database.write_buffer_size()
    }

    /// Appends to the queue.
    pub fn submit(&self, sequence: u64, command: Command) {
        if let Command::Apply { writes, .. } = &command {
            self.pending.fetch_add(writes.iter().map(Write::size).sum(), Ordering::Relaxed);
        }
        let mut queue = self.lock_queue();
        queue.commands.push((sequence, command));
        if std::mem::take(&mut queue.is_asleep) {
            self.woken.notify_one();
        }
    }

    /// Ends the thread, without what is in the queue: the log has it.
    pub fn close(&self) {
        self.lock_queue().is_closed = true;
        self.woken.notify_one();
    }

    /// Has the table of memory of a tree, of this size, written to disk.
    fn rotate(
        &self,
        generation: &Arc<Generation>,
        keyspace: &Keyspace,
        size: u64,
    ) -> fjall::Result<()> {
        if keyspace.rotate_memtable()? {
            self.merges.push(generation);
            let noted = Traffic { dump_count: 1, dump_input: size, ..Traffic::default() };
            self.merges.note(generation, noted);
        }
        Ok(())
    }

    /// Writes the table of memory of a tree to disk; blocks until that is done.
    pub fn flush(&self, generation: &Arc<Generation>, keyspace: &Keyspace) -> fjall::Result<()> {
        self.rotate(generation, keyspace, keyspace.tree.active_memtable().size())?;
        while keyspace.tree.sealed_memtable_count() > 0 {
            // Only to learn of a failure.
            self.database.persist(PersistMode::Buffer)?;
            std::thread::sleep(COMPACTION_NAP);
        }
        Ok(())
    }

    pub fn check(&self) -> Result<()> {
        self.failure.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Remembers the first failure and wakes all that wait.
    pub fn fail(&self, error: Error) {
        let _ = self.failure.set(error);
        self.applied_signal.send_modify(|_| {});
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    vclock: Vclock,
    unchecked: u64,
    /// Old versions of trees that were left by [`Writer::tidy`].
    untidied: usize,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, vclock: Vclock) -> Writer {
        Writer { shared, vclock, unchecked: 0, untidied: 0 }
    }

    /// The thread.
    pub fn run(mut self) {
        let _sentinel = Sentinel(self.shared.clone());
        give_way(NICE);
        let mut commands = Vec::new();
        while self.take(&mut commands) {
            if self.shared.failure.get().is_some() {
                commands.clear();
                continue;
            }
            if let Err(error) = self.apply(&mut commands) {
                self.shared.fail(failed(&self.shared.dir, &error));
            }
        }
    }

    /// Waits for work; false: there will be none.
    fn take(&mut self, commands: &mut Vec<(u64, Command)>) -> bool {
        let shared = self.shared.clone();
        let mut naps = 0;
        loop {
            // Deletes files, and takes locks of fjall's: not while tx may wait for the queue.
            shared.bury();
            let is_idle = naps == NAP_COUNT_MAX;
            let is_untidy = is_idle && self.old_version_count() > self.untidied;
            let has_upkeep = is_untidy || self.is_merging() || !shared.lock_dying().is_empty();
            let mut queue = shared.lock_queue();
            if queue.is_closed {
                return false;
            }
            if !queue.commands.is_empty() {
                std::mem::swap(commands, &mut queue.commands);
                return true;
            }
            let woken = &shared.woken;
            if !is_idle {
                naps += 1;
                drop(woken.wait_timeout(queue, NAP));
            } else if has_upkeep {
                queue.is_asleep = true;
                let woken = woken.wait_timeout(queue, UPKEEP_NAP);
                let (mut queue, wait) = woken.unwrap_or_else(PoisonError::into_inner);
                queue.is_asleep = false;
                drop(queue);
                if wait.timed_out()
                    && is_untidy
                    && !self.is_merging()
                    && let Err(error) = self.tidy()
                {
                    shared.fail(failed(&shared.dir, &error));
                }
            } else {
                queue.is_asleep = true;
                drop(woken.wait(queue));
            }
        }
    }

    /// Whether tables are being written or merged.
    fn is_merging(&self) -> bool {
        self.shared.merges.is_busy() || self.shared.database.outstanding_flushes() > 0
    }

    /// Versions of trees before the newest one. They keep tables that were merged into others.
    fn old_version_count(&self) -> usize {
        let generations = self.shared.lock_generations();
        let trees = generations.values().filter_map(|generation| generation.tree());
        trees.map(|tree| tree.tree.version_free_list_len()).sum()
    }

    /// Has the files deleted of tables that were merged into others. fjall does that when it begins a new
    /// table of memory, so without changes never; a small one serves. What snapshots hold stays.
    fn tidy(&mut self) -> fjall::Result<()> {
        if self.shared.failure.get().is_some() {
            self.untidied = usize::MAX;
            return Ok(());
        }
        // Snapshots of now do not need the versions before the second last change.
        for _ in 0..2 {
            let mut batch = self.shared.database.batch();
            batch.insert(&self.shared.meta, VCLOCK_KEY, self.encoded_vclock());
            batch.commit()?;
        }
        self.shared.meta.rotate_memtable()?;
        self.untidied = self.old_version_count();
        Ok(())
    }

    fn encoded_vclock(&self) -> Vec<u8> {
        let mut vclock = Vec::with_capacity(64);
        self.vclock.encode(&mut vclock);
        vclock
    }

    fn apply(&mut self, commands: &mut Vec<(u64, Command)>) -> fjall::Result<()> {
        let has_upserts = commands.iter().any(|(_, command)| match command {
            Command::Apply { writes, .. } => {
                writes.iter().any(|write| matches!(write.change, Change::Upsert(_)))
            }
            _ => false,
        });
        self.untidied = 0;
        let mut commands = commands.drain(..).peekable();
        while commands.peek().is_some() && !self.shared.lock_queue().is_closed {
            let mut batch = Batch::new(&self.shared.database, has_upserts);
            let mut last = 0;
            let mut mark = None;
            for (sequence, command) in commands.by_ref() {
                last = sequence;
                if let Command::Mark(wanted) = command {
                    mark = Some(wanted);
                    break;
                }
                self.add(&mut batch, command)?;
                if batch.inner.len() >= BATCH_COUNT_MAX {
                    break;
                }
            }
            batch.inner.insert(&self.shared.meta, VCLOCK_KEY, self.encoded_vclock());
            self.wait_compaction(&batch.trees)?;
            batch.inner.commit()?;
            if let Some(mark) = mark {
                let _ = mark.set(self.shared.database.snapshot());
            }
            self.shared.pending.fetch_sub(batch.size, Ordering::Relaxed);
            self.shared.applied.store(last, Ordering::Release);
            if self.shared.applied_signal.receiver_count() > 0 {
                self.shared.applied_signal.send_replace(last);
            }
            self.unchecked = self.unchecked.saturating_add(batch.size);
            let memory = self.shared.memory.load(Ordering::Relaxed);
            if self.unchecked >= ROTATION_CHECK_SIZE.min(memory / 16) {
                self.unchecked = 0;
                self.rotate()?;
            }
        }
        Ok(())
    }

    fn add(&mut self, batch: &mut Batch, command: Command) -> fjall::Result<()> {
        match command {
            Command::Create { generation, options } => {
                let database = &self.shared.database;
                let tree = database.keyspace(&generation.name(), || options.to_fjall())?;
                generation.set_tree(Some(tree));
            }
            Command::Apply { position, writes } => {
                for write in writes {
                    batch.add(write)?;
                }
                if let Position::Rows(rows) = position {
                    for (replica_id, lsn) in rows.into_iter().filter(|(_, lsn)| *lsn != 0) {
                        self.vclock.set(replica_id, lsn);
                    }
                }
            }
            Command::Mark(_) => {}
            Command::Relieve => self.unchecked = u64::MAX,
            Command::Advance(vclock) => self.vclock.max_assign(&vclock),
            Command::Record { key, record: Some(record) } => {
                batch.inner.insert(&self.shared.meta, key, record);
            }
            Command::Record { key, record: None } => batch.inner.remove(&self.shared.meta, key),
        }
        Ok(())
    }

    /// Waits while tables that are not merged yet pile up. fjall would wait itself a little later, but
    /// without an end when its threads have failed.
    fn wait_compaction(&self, trees: &[(u64, Keyspace)]) -> fjall::Result<()> {
        let is_behind = |(_, tree): &(u64, Keyspace)| tree.tree.l0_run_count() >= RUN_COUNT_MAX;
        while trees.iter().any(is_behind) && !self.shared.lock_queue().is_closed {
            // Only to learn of a failure.
            self.shared.database.persist(PersistMode::Buffer)?;
            std::thread::sleep(COMPACTION_NAP);
        }
        Ok(())
    }

    /// Has the largest table of memory written out when all together take a quarter of the quota: the
    /// rest is for those that are being written. While two of a tree are, the next one waits, and fills
    /// the quota if need be: at four fjall stalls, without an end when its threads have failed.
    fn rotate(&self) -> fjall::Result<()> {
        let generations = self.shared.lock_generations();
        let trees: Vec<_> =
            generations.values().filter_map(|it| Some((it.clone(), it.tree()?))).collect();
        drop(generations);
        let size_max = self.shared.memory.load(Ordering::Relaxed) / 4;
        let mut largest = None;
        let (mut total, mut most) = (0, 0);
        for (generation, tree) in &trees {
            if tree.tree.sealed_memtable_count() < SEALED_COUNT_MAX {
                let size = tree.tree.active_memtable().size();
                total += size;
                if size > most {
                    most = size;
                    largest = Some((generation, tree));
                }
            }
        }
        if let Some((generation, tree)) = largest.filter(|_| total > size_max) {
            self.shared.rotate(generation, tree, most)?;
            // In each batch there is something of it: journals would stay for its sake alone.
            self.shared.meta.rotate_memtable()?;
        }
        Ok(())
    }
}

/// Tells those who wait that the thread panicked.
struct Sentinel(Arc<Shared>);

impl Drop for Sentinel {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let message = format!("{}: the writer panicked", self.0.dir.display());
            self.0.fail(client_error!(ER_INVALID_RUN_FILE, message));
        }
    }
}

struct Batch {
    inner: fjall::OwnedWriteBatch,
    size: u64,
    /// The trees that it changes, by the numbers of their generations.
    trees: Vec<(u64, Keyspace)>,
    /// Rows that the batch itself makes, for upserts behind them.
    made: Option<HashMap<(u64, Bytes), Option<Bytes>, ahash::RandomState>>,
}

impl Batch {
    fn new(database: &Database, has_upserts: bool) -> Batch {
        Batch {
            inner: database.batch(),
            size: 0,
            trees: Vec::new(),
            made: has_upserts.then(HashMap::default),
        }
    }

    fn add(&mut self, write: Write) -> fjall::Result<()> {
        self.size += write.size();
        let Write { generation, key, change } = write;
        let number = generation.number;
        let known = self.trees.iter().position(|(known, _)| *known == number);
        let position = known.unwrap_or_else(|| {
            let tree = generation.tree().expect("it is made before its first change");
            self.trees.push((number, tree));
            self.trees.len() - 1
        });
        let tree = &self.trees[position].1;
        let row = match change {
            Change::Put(row) => Some(row),
            Change::Delete => None,
            Change::Upsert(upsert) => {
                let place = (generation.number, key.clone());
                let old = match self.made.as_ref().and_then(|made| made.get(&place)) {
                    Some(row) => row.clone(),
                    None => tree.get(&key)?,
                };
                upsert.apply(old, true)
            }
        };
        if let Some(made) = &mut self.made {
            made.insert((generation.number, key.clone()), row.clone());
        }
        // Copies: what tx has allocated is to be free soon, and not with a whole table of memory, all at
        // once and on another thread. tx would gather it in one go, for tens of milliseconds.
        match row {
            Some(row) => self.inner.insert(tree, &*key, &*row),
            None => self.inner.remove(tree, &*key),
        }
        Ok(())
    }
}
