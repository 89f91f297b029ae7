//! The journal on disk: group commit on the thread `wal`.
//!
//! The tx thread encodes rows straight into the batch that waits for the thread. The thread takes
//! the whole batch, whatever has gathered in it while the batch before was being written, makes
//! blocks of it, writes (and syncs) once, and wakes the tx thread once.
//!
//! Two wake-ups cost more than writing a few rows. So when the thread sleeps, the batch is small
//! and `wal.mode` is `write`, [`Journal::flush`] writes it on tx, at the end of a turn of the run
//! loop ([`Writer::defer_flush`]). Such a write goes to the page cache; the system may still hold
//! it up when the disk is far behind. The first time that happens the thread takes over for a
//! while, so tx is held up for one write in a second at most.
//!
//! ```text
//!   tx: submit ─ encode ─> inbox.batch ── swap ──> blocks ─> write ─> fdatasync
//!        ^                                                      |
//!        └───── collect <── waker, once a batch ──── outbox <───┘
//! ```
//!
//! # Invariants
//! - LSNs are given on tx at submission; the order of the batch is the order of LSNs
//! - a batch is written as a whole or not at all: on failure the file is cut back to its start
//! - tx writes only while the thread sleeps and nothing else is asked of it
//! - from a failure until tx has undone the lost entries nothing is taken (`rolling_back`), so
//!   that no entry reaches the file which has seen changes that do not exist
//! - steady state allocates nothing: two batches change places
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::directory::Directory;
use super::disk::Disk;
use super::format::BLOCK_SIZE;
use super::journal::{Completion, Journal, Room, Source, Ticket, Tickets, assign};
use super::thread::{self, Log};
use crate::base::clock::{self, Clock};
use crate::base::{Error, Result};
use crate::client_error;
use crate::value::uuid::Uuid;
use crate::xrow::{Row, Vclock};

/// When an entry counts as written (`wal.mode`; without a log there is no writer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// When the system has it: survives a crash of the process.
    Write,
    /// When the medium has it: survives a crash of the machine.
    Fsync,
}

/// How a [`Writer`] works.
#[derive(Clone)]
pub struct Options {
    /// Where the files are (`wal.dir`).
    pub directory: PathBuf,
    /// When an entry counts as written.
    pub mode: Mode,
    /// A file this large is closed and the next one started (`wal.max_size`).
    pub max_size: u64,
    /// Most bytes of entries that wait (`wal.queue_max_size`).
    pub queue_max_size: u64,
    /// Growth of the log that asks for a checkpoint (`snapshot.by.wal_size`).
    pub checkpoint_threshold: u64,
    /// The instance, for file headers.
    pub instance_uuid: Uuid,
    /// Its number in the replica set, for rows; 0 before it is known.
    pub instance_id: u32,
    /// What recovery ended with: the next file begins here.
    pub vclock: Vclock,
}

/// Entries that are written together.
#[derive(Default)]
pub(super) struct Batch {
    /// Encoded rows of all entries.
    pub rows: Vec<u8>,
    /// Where each entry ends in `rows`.
    pub ends: Vec<usize>,
    /// Position of the last entry.
    pub last: u64,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn clear(&mut self) {
        self.rows.clear();
        self.ends.clear();
        // One huge transaction must not keep its memory for ever.
        self.rows.shrink_to(8 << 20);
    }

    /// The position of the entry with this index.
    pub fn position(&self, index: usize) -> u64 {
        self.last + 1 + index as u64 - self.ends.len() as u64
    }

    /// Where the entry with this index begins in `rows`.
    pub fn offset(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

/// What tx asks of the thread besides writing.
pub(super) enum Command {
    /// Close the file, so that a checkpoint starts with a new one.
    Rotate(oneshot::Sender<Result<Rotated>>),
    /// A checkpoint that covers this much of the log is complete.
    CommitCheckpoint(u64),
    AbandonCheckpoint,
    /// Remove files that are wholly before this signature.
    CollectGarbage(i64, oneshot::Sender<Result<Vec<PathBuf>>>),
    /// New values of options that can change.
    Configure {
        max_size: u64,
        checkpoint_threshold: u64,
    },
    /// Close the file and end.
    Stop,
}

/// A command, and what was submitted before it.
pub(super) struct Queued {
    pub command: Command,
    /// How many entries of the batch.
    pub after: usize,
    /// What is known with them.
    pub vclock: Vclock,
}

#[derive(Default)]
pub(super) struct Inbox {
    pub batch: Batch,
    /// What is known with everything that was submitted.
    pub vclock: Vclock,
    pub commands: Vec<Queued>,
    pub rolling_back: bool,
    pub is_idle: bool,
}

#[derive(Default)]
pub(super) struct Outbox {
    pub written: u64,
    pub written_bytes: u64,
    pub vclock: Vclock,
    /// First and last position of the batch that failed, and why.
    pub failure: Option<(u64, u64, Error)>,
    pub wants_checkpoint: bool,
    pub waker: Option<Waker>,
}

/// How writing a batch ended.
#[allow(clippy::large_enum_variant, reason = "the common one is large, and is made on the stack")]
pub(super) enum Report {
    /// Everything up to the position `last`, with which `vclock` is known.
    Written { last: u64, bytes: u64, vclock: Vclock, wants_checkpoint: bool },
    /// The entries from `first` to `last`.
    Lost { first: u64, last: u64, error: Error },
}

impl Outbox {
    fn note(&mut self, report: Report) {
        match report {
            Report::Written { last, bytes, vclock, wants_checkpoint } => {
                self.written = last;
                self.written_bytes += bytes;
                self.vclock = vclock;
                self.wants_checkpoint |= wants_checkpoint;
            }
            Report::Lost { first, last, error } => self.failure = Some((first, last, error)),
        }
    }
}

/// What both threads see.
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    work: Condvar,
    outbox: Mutex<Outbox>,
    /// Raised with each change of the outbox, so that tx need not lock it to look.
    news: AtomicBool,
    /// Bytes in the log since the last checkpoint.
    pub log_size: AtomicU64,
}

impl Shared {
    pub fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to do.
    pub fn wait(&self) -> MutexGuard<'_, Inbox> {
        let mut inbox = self.inbox();
        while inbox.batch.is_empty() && inbox.commands.is_empty() {
            inbox.is_idle = true;
            inbox = self.work.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        inbox.is_idle = false;
        inbox
    }

    /// Tells tx, and wakes it.
    pub fn report(&self, report: Report) {
        let waker = self.note(report).waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn note(&self, report: Report) -> MutexGuard<'_, Outbox> {
        let mut outbox = self.outbox();
        outbox.note(report);
        self.news.store(true, Ordering::Release);
        outbox
    }

    fn command(&self, command: Command) {
        let mut inbox = self.inbox();
        let (after, vclock) = (inbox.batch.ends.len(), inbox.vclock);
        inbox.commands.push(Queued { command, after, vclock });
        self.start(inbox);
    }

    fn start(&self, mut inbox: MutexGuard<'_, Inbox>) {
        // The flag is taken back here, so that one sleep costs one wake-up.
        let was_idle = std::mem::take(&mut inbox.is_idle);
        drop(inbox);
        if was_idle {
            self.work.notify_one();
        }
    }
}

/// The end of a file: what a checkpoint begins with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotated {
    /// What is known with everything before.
    pub vclock: Vclock,
    /// Size of the log since the last checkpoint; give it to [`Writer::commit_checkpoint`].
    pub log_size: u64,
}

/// The journal on disk. Belongs to the tx thread.
pub struct Writer {
    tx: Rc<Tx>,
    thread: RefCell<Option<JoinHandle<()>>>,
}

/// The tx side, shared with tickets.
struct Tx {
    shared: Arc<Shared>,
    tickets: Rc<Tickets>,
    instance_id: Cell<u32>,
    written: Cell<Vclock>,
    queued_bytes: Cell<u64>,
    queue_max_size: Cell<u64>,
    /// The file, for what tx writes itself.
    log: Arc<Mutex<Log>>,
    /// Whether something was submitted since the last flush.
    is_unflushed: Cell<bool>,
    /// Whether the owner flushes, and not who waits.
    is_deferred: Cell<bool>,
    /// Until then tx does not write, because a write of its took long.
    slow_until: Cell<Option<Instant>>,
}

/// A write that takes longer has waited for the disk.
const SLOW_WRITE: Duration = Duration::from_millis(1);
/// For so long the thread writes everything then.
const SLOW_PAUSE: Duration = Duration::from_secs(1);

impl Writer {
    /// Starts the thread. The first file is made by the first write.
    pub fn start(disk: Arc<dyn Disk>, options: &Options) -> Result<Writer> {
        let shared = Arc::new(Shared {
            inbox: Mutex::new(Inbox { vclock: options.vclock, ..Inbox::default() }),
            work: Condvar::new(),
            outbox: Mutex::new(Outbox { vclock: options.vclock, ..Outbox::default() }),
            news: AtomicBool::new(false),
            log_size: AtomicU64::new(0),
        });
        let directory = Directory::logs(disk, &options.directory, options.instance_uuid);
        let log = Arc::new(Mutex::new(Log::new(shared.clone(), directory, options)?));
        let of_thread = (shared.clone(), log.clone());
        let thread = std::thread::Builder::new()
            .name("wal".to_owned())
            .spawn(move || thread::run(&of_thread.0, &of_thread.1))
            .map_err(|error| Error::system("failed to start the thread 'wal'", &error))?;
        let tx = Tx {
            shared,
            tickets: Rc::default(),
            instance_id: Cell::new(options.instance_id),
            written: Cell::new(options.vclock),
            queued_bytes: Cell::new(0),
            queue_max_size: Cell::new(options.queue_max_size),
            log,
            is_unflushed: Cell::new(false),
            is_deferred: Cell::new(false),
            slow_until: Cell::new(None),
        };
        Ok(Writer { tx: Rc::new(tx), thread: RefCell::new(Some(thread)) })
    }

    /// Changes the id that rows of this instance get (it is known only after bootstrap).
    pub fn set_instance_id(&self, instance_id: u32) {
        self.tx.instance_id.set(instance_id);
    }

    /// From now on whoever waits for an entry does not start the writing of it: the owner calls
    /// [`Journal::flush`] when tx has nothing else to do, and what many fibers have submitted until
    /// then is written at once.
    pub fn defer_flush(&self) {
        self.tx.is_deferred.set(true);
    }

    /// Changes options on the fly.
    pub fn configure(&self, max_size: u64, queue_max_size: u64, checkpoint_threshold: u64) {
        self.tx.queue_max_size.set(queue_max_size);
        self.tx.shared.command(Command::Configure { max_size, checkpoint_threshold });
    }

    /// Bytes written since the last checkpoint.
    pub fn log_size(&self) -> u64 {
        self.tx.shared.log_size.load(Ordering::Relaxed)
    }

    /// Bytes of entries that were submitted and have not ended.
    pub fn queue_size(&self) -> u64 {
        self.tx.queued_bytes.get()
    }

    /// Closes the current file behind everything that was submitted, so that a checkpoint is
    /// exactly what stands before the next one. The future may be awaited on any executor.
    pub fn rotate(&self) -> impl Future<Output = Result<Rotated>> + use<> {
        let (sender, receiver) = oneshot::channel();
        self.tx.shared.command(Command::Rotate(sender));
        async move { receiver.await.unwrap_or_else(|_| Err(stopped())) }
    }

    /// A checkpoint that began with this rotation is complete: its part of the log no longer
    /// counts towards the threshold.
    pub fn commit_checkpoint(&self, log_size: u64) {
        self.tx.shared.command(Command::CommitCheckpoint(log_size));
    }

    /// A checkpoint has failed: another is asked for when the log has grown by the threshold again.
    pub fn abandon_checkpoint(&self) {
        self.tx.shared.command(Command::AbandonCheckpoint);
    }

    /// Removes log files that hold nothing newer than `signature`; returns which. Call it when a
    /// checkpoint with that signature exists and no replica needs older rows.
    pub fn collect_garbage(
        &self,
        signature: i64,
    ) -> impl Future<Output = Result<Vec<PathBuf>>> + use<> {
        let (sender, receiver) = oneshot::channel();
        self.tx.shared.command(Command::CollectGarbage(signature, sender));
        async move { receiver.await.unwrap_or_else(|_| Err(stopped())) }
    }

    /// Resolves never; brings completions to tx whoever waits: for commits that nobody awaits, for
    /// tickets behind one whose fiber was cancelled, for a checkpoint that is due. Run it in a
    /// fiber of its own from the start.
    pub fn pump(&self) -> Pump {
        Pump { tx: self.tx.clone() }
    }

    /// Writes what was submitted, closes the file, ends the thread.
    pub fn stop(&self) {
        if let Some(thread) = self.thread.borrow_mut().take() {
            self.tx.shared.command(Command::Stop);
            if thread.join().is_err() {
                tracing::error!("the thread 'wal' has panicked");
            }
            self.tx.collect();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn stopped() -> Error {
    client_error!(ER_WAL_IO).caused_by(Error::illegal_params("the log is closed"))
}

impl Journal for Writer {
    fn submit(&self, rows: &mut [Row<'_>], flags: u8) -> Result<Ticket> {
        let tx = &self.tx;
        let now = clock::read(Clock::RealtimeCoarse).as_secs_f64();
        let mut inbox = tx.shared.inbox();
        if inbox.rolling_back {
            return Err(client_error!(ER_CASCADE_ROLLBACK));
        }
        assign(rows, flags, tx.instance_id.get(), now, &mut inbox.vclock)?;
        let batch = &mut inbox.batch;
        let start = batch.rows.len();
        for row in rows.iter() {
            row.encode(0, &mut batch.rows);
        }
        let position = tx.tickets.next();
        batch.ends.push(batch.rows.len());
        batch.last = position;
        let size = (batch.rows.len() - start) as u64;
        let is_large = batch.rows.len() >= BLOCK_SIZE;
        tx.queued_bytes.set(tx.queued_bytes.get() + size);
        tx.is_unflushed.set(true);
        if is_large {
            // Enough for a block: worth waking the thread, which works on it while tx goes on.
            tx.shared.start(inbox);
        }
        Ok(Ticket::new(tx.tickets.clone(), tx.clone(), position))
    }

    fn vclock(&self) -> Vclock {
        self.tx.shared.inbox().vclock
    }

    fn written_vclock(&self) -> Vclock {
        self.tx.written.get()
    }

    fn flush(&self) {
        self.tx.flush_now();
    }

    fn set_completion(&self, completion: Rc<dyn Completion>) {
        self.tx.tickets.set_completion(completion);
    }

    fn has_room(&self) -> bool {
        Source::has_room(&*self.tx)
    }

    fn room(&self) -> Room {
        Room::new(self.tx.tickets.clone(), self.tx.clone())
    }

    fn collect(&self) {
        Source::collect(&*self.tx);
    }
}

impl Tx {
    /// Has what was submitted written, by the thread or here.
    fn flush_now(&self) {
        if !self.is_unflushed.replace(false) {
            return;
        }
        let mut inbox = self.shared.inbox();
        if !inbox.is_idle || inbox.batch.is_empty() {
            // Busy, it looks again before it sleeps.
            return;
        }
        if !self.is_deferred.get() || !inbox.commands.is_empty() || self.tickets.is_notifying() {
            return self.shared.start(inbox);
        }
        let start = Instant::now();
        if self.slow_until.get().is_some_and(|until| start < until) {
            return self.shared.start(inbox);
        }
        let Ok(mut log) = self.log.try_lock() else { return self.shared.start(inbox) };
        let (mut batch, vclock) = (std::mem::take(&mut inbox.batch), inbox.vclock);
        drop(inbox);
        let report = log.write_here(&mut batch, vclock);
        drop(log);
        let mut inbox = self.shared.inbox();
        inbox.batch = batch;
        let Some(report) = report else { return self.shared.start(inbox) };
        drop(inbox);
        let took_long = start.elapsed() > SLOW_WRITE;
        self.slow_until.set(took_long.then(|| start + SLOW_PAUSE));
        drop(self.shared.note(report));
        Source::collect(self);
    }
}

impl Source for Tx {
    fn collect(&self) {
        if self.tickets.is_notifying() || !self.shared.news.swap(false, Ordering::Acquire) {
            return;
        }
        let (written, bytes, vclock, failure, wants_checkpoint) = {
            let mut outbox = self.shared.outbox();
            let bytes = std::mem::take(&mut outbox.written_bytes);
            let wants_checkpoint = std::mem::take(&mut outbox.wants_checkpoint);
            (outbox.written, bytes, outbox.vclock, outbox.failure.take(), wants_checkpoint)
        };
        self.queued_bytes.set(self.queued_bytes.get().saturating_sub(bytes));
        self.written.set(vclock);
        self.tickets.written(written);
        if let Some((first, last, error)) = failure {
            let error = client_error!(ER_WAL_IO).caused_by(error);
            self.shared.inbox().vclock = vclock;
            self.queued_bytes.set(0);
            self.tickets.lost(first, last, &error);
            self.shared.inbox().rolling_back = false;
        }
        if let Some(completion) = self.tickets.completion().filter(|_| wants_checkpoint) {
            completion.checkpoint_wanted();
        }
    }

    fn flush(&self) {
        if !self.is_deferred.get() {
            self.flush_now();
        }
    }

    fn has_room(&self) -> bool {
        self.queued_bytes.get() < self.queue_max_size.get()
    }

    fn listen(&self, waker: &Waker) -> bool {
        self.shared.outbox().waker.get_or_insert_with(|| waker.clone());
        // News that came before the waker was in place has woken nobody.
        !self.shared.news.load(Ordering::Acquire)
    }
}

/// See [`Writer::pump`].
pub struct Pump {
    tx: Rc<Tx>,
}

impl Future for Pump {
    type Output = std::convert::Infallible;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            {
                let mut outbox = self.tx.shared.outbox();
                match &mut outbox.waker {
                    Some(known) => known.clone_from(context.waker()),
                    slot => *slot = Some(context.waker().clone()),
                }
            }
            // News that came before the waker was in place has woken nobody.
            if !self.tx.shared.news.load(Ordering::Acquire) {
                return Poll::Pending;
            }
            self.tx.collect();
        }
    }
}
