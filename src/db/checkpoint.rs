//! Checkpoints: snapshots of all data, made while writers go on.
//!
//! At one moment the log is told to begin a new file and every primary index opens a read view;
//! the thread `snapshot` then writes the views out. The snapshot holds exactly what the log holds
//! before the new file, so its name is that file's vclock. When rows that were submitted before
//! that moment turn out to be lost, the views hold what never happened, and the snapshot is
//! given up.
//!
//! # Invariants
//! - One checkpoint at a time.
//! - A failed checkpoint changes nothing: the one before it stays in force.
//!
//! # Yields
//! `checkpoint`

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::client_error;
use crate::fiber;
use crate::memtx::IndexView;
use crate::tuple::arena::Extents;
use crate::wal::snapshot::{self, Rows};
use crate::wal::{Directory, Disk, FileType, Meta, RowSource, Writer};
use crate::xrow::Vclock;

use super::database::Database;
use super::index::reclaimer;
use super::space_definition::Engine;

/// The state of checkpointing.
#[derive(Default)]
pub(crate) struct Checkpoints {
    disk: RefCell<Option<Arc<dyn Disk>>>,
    snapshots: RefCell<Option<Directory>>,
    writer: RefCell<Option<Rc<Writer>>>,
    is_running: Cell<bool>,
    is_wanted: Cell<bool>,
    /// Whether a fiber frees what views and dropped indexes have left.
    is_reclaiming: Cell<bool>,
    changed: fiber::Cond,
    /// Files that someone reads (`box.backup.start`): none is removed meanwhile.
    backup_pins: Cell<usize>,
}

/// A checkpoint that exists, as `box.info.gc()` shows it.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// What it holds.
    pub vclock: Vclock,
    /// Its file.
    pub path: PathBuf,
}

/// Gives out the rows of all spaces at one moment.
pub(crate) struct Source {
    views: std::collections::VecDeque<(u32, u32, IndexView)>,
}

impl Source {
    /// Opens views of all data that a snapshot holds.
    pub fn new(db: &Database) -> Source {
        let reclaimer = reclaimer();
        let token = reclaimer.open();
        let mut views = std::collections::VecDeque::new();
        let mut index_size = 0;
        for space in db.schema().spaces() {
            let definition = space.definition();
            if definition.engine != Engine::Memtx || definition.is_data_temporary() {
                continue;
            }
            if let Some(primary) = space.primary() {
                let group_id = definition.options.group_id;
                index_size += primary.bsize();
                views.push_back((space.id(), group_id, primary.read_view(&token)));
            }
        }
        Extents.expect_copies(index_size);
        Source { views }
    }
}

impl RowSource for Source {
    fn next_row(&mut self, rows: &mut Rows<'_>) -> Result<bool> {
        while let Some((space_id, group_id, view)) = self.views.front_mut() {
            if let Some(data) = view.next_data() {
                rows.tuple(*space_id, *group_id, data);
                return Ok(true);
            }
            self.views.pop_front();
        }
        Ok(false)
    }
}

impl Database {
    /// Writes a snapshot of all data. Yields, and takes back the transaction of this fiber.
    pub fn checkpoint(&self) -> Result<PathBuf> {
        if self.checkpoints.is_running.replace(true) {
            return Err(client_error!(ER_CHECKPOINT_IN_PROGRESS));
        }
        if self.is_in_transaction() {
            // What is not committed must not get into the views.
            fiber::yield_now();
        }
        self.wait_for_alterations();
        let result = self.write_checkpoint();
        self.checkpoints.is_running.set(false);
        self.checkpoints.changed.broadcast();
        if let Err(error) = &result {
            tracing::error!("failed to write a snapshot: {error}");
            if let Some(writer) = self.writer() {
                writer.abandon_checkpoint();
            }
        }
        result
    }

    /// Whether a checkpoint is being made.
    pub fn is_checkpoint_running(&self) -> bool {
        self.checkpoints.is_running.get()
    }

    /// Has a checkpoint made soon.
    pub(crate) fn request_checkpoint(&self) {
        self.checkpoints.is_wanted.set(true);
        self.checkpoints.changed.signal();
    }

    /// The checkpoints that exist, oldest first.
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        let snapshots = self.checkpoints.snapshots.borrow();
        let Some(directory) = &*snapshots else { return Vec::new() };
        let files = directory.files().iter();
        files
            .map(|vclock| Checkpoint {
                vclock: *vclock,
                path: directory.path_of(vclock.signature()),
            })
            .collect()
    }

    /// Keeps all files until [`Database::unpin_files`]; returns the newest snapshot.
    pub fn pin_files(&self) -> Option<Checkpoint> {
        self.checkpoints.backup_pins.set(self.checkpoints.backup_pins.get() + 1);
        self.checkpoints().pop()
    }

    /// Ends what [`Database::pin_files`] began. Yields.
    pub fn unpin_files(&self) -> Result<()> {
        let pins = &self.checkpoints.backup_pins;
        pins.set(pins.get().saturating_sub(1));
        self.collect_files()
    }

    pub(crate) fn set_writer(&self, writer: Rc<Writer>) {
        *self.checkpoints.writer.borrow_mut() = Some(writer);
    }

    /// The writer of the log, unless there is none (`wal_mode = 'none'`).
    pub(crate) fn writer(&self) -> Option<Rc<Writer>> {
        self.checkpoints.writer.borrow().clone()
    }

    /// Takes over the directory and starts making checkpoints by time and by size of the log.
    pub(crate) fn start_checkpoints(&self, disk: Arc<dyn Disk>, snapshots: Directory) {
        *self.checkpoints.disk.borrow_mut() = Some(disk);
        *self.checkpoints.snapshots.borrow_mut() = Some(snapshots);
        fiber::spawn("checkpoint_daemon", || Database::current().run_checkpoint_daemon())
            .set_system();
    }

    /// Has the daemon look at changed options.
    pub(crate) fn checkpoint_options_changed(&self) {
        self.checkpoints.changed.broadcast();
    }

    fn run_checkpoint_daemon(&self) {
        let mut last = std::time::Instant::now();
        while !fiber::current().is_cancelled() {
            let interval = self.options().checkpoint_interval;
            let deadline = if interval.is_zero() { None } else { last.checked_add(interval) };
            let is_due = deadline.is_some_and(|at| at <= std::time::Instant::now());
            if !self.checkpoints.is_wanted.get() && !is_due {
                self.checkpoints.changed.wait_until(deadline);
                continue;
            }
            self.checkpoints.is_wanted.set(false);
            last = std::time::Instant::now();
            let is_new = self.checkpoints().last().is_none_or(|checkpoint| {
                checkpoint.vclock.signature() < self.journal().vclock().signature()
            });
            if is_new {
                // The error was logged.
                let _ = self.checkpoint();
            }
        }
    }

    /// The disk that the data directory is on.
    pub(crate) fn disk(&self) -> Result<Arc<dyn Disk>> {
        let disk = self.checkpoints.disk.borrow().clone();
        disk.ok_or_else(super::database::loading_error)
    }

    fn write_checkpoint(&self) -> Result<PathBuf> {
        let disk = self.disk()?;
        let options = self.options();
        let expected = self.journal().vclock();
        let last = self.commits().last_position();
        // From here to the views nothing may yield: both are of the same moment.
        let rotation = self.writer().map(|writer| writer.rotate());
        let source = Box::new(Source::new(self));
        let mut log_size = None;
        if let Some(rotation) = rotation {
            let rotated = fiber::wait(rotation)?;
            if rotated.vclock != expected {
                return Err(client_error!(ER_WAL_IO));
            }
            log_size = Some(rotated.log_size);
        }
        while self.commits().is_pending(last) {
            self.commits().wait_for_decision();
        }
        self.persist_vinyl(&expected)?;
        let path = self.snapshot_path(&expected);
        let known = self.checkpoints().iter().any(|known| known.vclock == expected);
        // Somebody may have removed the file.
        if known && disk.exists(&path) {
            return Ok(path);
        }
        let meta = Meta::new(FileType::Snap, self.instance().uuid, expected, None);
        let rate = options.snap_io_rate_limit.unwrap_or(0);
        let cancel = Arc::new(AtomicBool::new(false));
        tracing::info!("saving snapshot '{}'", path.display());
        let writing = snapshot::write_in_thread(disk, path, meta, rate, source, cancel);
        let written = fiber::wait(writing)?;
        tracing::info!("done");
        if let Some(directory) = &mut *self.checkpoints.snapshots.borrow_mut() {
            directory.add(expected);
        }
        if let (Some(writer), Some(log_size)) = (self.writer(), log_size) {
            writer.commit_checkpoint(log_size);
        }
        self.start_reclaiming();
        if let Err(error) = self.collect_files() {
            tracing::error!("failed to remove old files: {error}");
        }
        Ok(written.path)
    }

    fn snapshot_path(&self, vclock: &Vclock) -> PathBuf {
        let snapshots = self.checkpoints.snapshots.borrow();
        let directory = snapshots.as_ref().expect("it is set together with the disk");
        directory.path_of(vclock.signature())
    }

    /// Removes snapshots beyond `checkpoint_count` and the log before the oldest that stays.
    pub(crate) fn collect_files(&self) -> Result<()> {
        if self.checkpoints.backup_pins.get() > 0 {
            return Ok(());
        }
        let keep = self.options().checkpoint_count.max(1);
        let files = self.checkpoints();
        let Some(oldest) = files.len().checked_sub(keep).map(|index| &files[index]) else {
            return Ok(());
        };
        let signature = oldest.vclock.signature();
        if let Some(directory) = &mut *self.checkpoints.snapshots.borrow_mut() {
            directory.collect_garbage(signature)?;
        }
        self.collect_vinyl(signature)?;
        match self.writer() {
            Some(writer) => fiber::wait(writer.collect_garbage(signature)).map(drop),
            None => Ok(()),
        }
    }

    /// Frees what the views have kept, a little at a time.
    pub(crate) fn start_reclaiming(&self) {
        // Each costs a miss or two of the cache, and clients wait.
        const OBJECTS_PER_STEP: usize = 100;
        if self.checkpoints.is_reclaiming.replace(true) {
            return;
        }
        fiber::spawn("memtx_gc", || {
            while reclaimer().collect(OBJECTS_PER_STEP) {
                if fiber::sleep(Duration::ZERO).is_err() {
                    break;
                }
            }
            Database::current().checkpoints.is_reclaiming.set(false);
        })
        .set_system();
    }

    /// Stops the log after everything submitted was written.
    pub fn close(&self) {
        if let Some(writer) = self.writer() {
            writer.stop();
        }
        self.close_vinyl();
        self.directory_lock.borrow_mut().take();
    }

    /// Why a checkpoint cannot be made now, if it cannot.
    pub fn checkpoint_obstacle(&self) -> Option<Error> {
        self.checkpoints.is_running.get().then(|| client_error!(ER_CHECKPOINT_IN_PROGRESS))
    }
}
