//! Starting: a new data directory, or the content of an old one.
//!
//! Recovery reads the newest snapshot and then the log after it. Rows of system spaces are
//! executed one by one and so make the schema; rows of other spaces in a snapshot come in the
//! order of their primary key and go straight into it. Secondary indexes are built at the end,
//! from all tuples at once.
//!
//! # Invariants
//! - Nothing is written to the directory before its content is in memory.
//!
//! # Yields
//! `open`

use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use crate::base::error::{Error, Result};
use crate::client_error;
use crate::fiber;
use crate::tuple::Tuple;
use crate::value::uuid::Uuid;
use crate::wal::{
    Directory, DirectoryLock, Disk, FileType, Journal, MemoryJournal, Meta, OsDisk, Reader, Writer,
    snapshot,
};
use crate::xrow::iproto::kind;
use crate::xrow::{Request, Row, Vclock, tuple_alone};

use super::checkpoint;
use super::database::{Database, Phase};
use super::index::{Index, ReplaceError, reclaimer};
use super::options::{Options, WalMode};
use super::replay::Replay;
use super::space::Space;
use super::system_space;
use super::transaction::Place;
use super::trigger::Step;

/// How often progress is shown, in rows.
const PROGRESS_ROWS: u64 = 1_000_000;

/// Shows how far reading has come.
#[derive(Default)]
pub(super) struct Progress {
    count: u64,
}

impl Progress {
    /// So many rows more.
    #[inline]
    pub fn advance(&mut self, count: u64) {
        let before = self.count / PROGRESS_ROWS;
        self.count += count;
        if self.count / PROGRESS_ROWS != before {
            tracing::info!("{:.1}M rows processed", self.count as f64 / 1e6);
        }
    }
}

/// The space whose rows are being read from a snapshot.
struct Loading {
    space: Rc<Space>,
    primary: Rc<Index>,
}

impl Database {
    /// Starts the database on its directories: bootstraps a new one or recovers what is there,
    /// then opens the log. Called once, on a database that was just created. Yields.
    pub fn open(&self) -> Result<()> {
        self.open_on(OsDisk::shared())
    }

    /// [`Database::open`] on a disk of the caller's.
    pub fn open_on(&self, disk: std::sync::Arc<dyn Disk>) -> Result<()> {
        let options = self.options();
        let log_path = options.log_directory();
        *self.directory_lock.borrow_mut() = Some(DirectoryLock::take(&log_path)?);
        let snapshot_path = options.snapshot_directory();
        disk.create_directory(&snapshot_path).map_err(|error| {
            Error::system(&format!("can't create directory '{}'", snapshot_path.display()), &error)
        })?;
        let nil = Uuid::default();
        let mut snapshots = Directory::snapshots(disk.clone(), &snapshot_path, nil);
        snapshots.scan(options.force_recovery)?;
        let mut logs = Directory::logs(disk.clone(), &log_path, nil);
        logs.scan(options.force_recovery)?;
        snapshots.remove_in_progress()?;
        logs.remove_in_progress()?;
        let vclock = match snapshots.newest().copied() {
            Some(newest) => self.recover(&snapshots, &mut logs, &newest)?,
            None if logs.files().is_empty() => {
                self.bootstrap(&disk, &mut snapshots)?;
                Vclock::new()
            }
            None => return Err(client_error!(ER_MISSING_SNAPSHOT)),
        };
        snapshots.set_instance_uuid(self.instance().uuid);
        self.start_journal(&disk, vclock)?;
        self.set_phase(Phase::Running);
        self.start_checkpoints(disk, snapshots);
        self.start_ticks();
        self.host().starting(Step::Synchronized);
        self.set_configured();
        Ok(())
    }

    fn bootstrap(&self, disk: &std::sync::Arc<dyn Disk>, snapshots: &mut Directory) -> Result<()> {
        tracing::info!("bootstrapping an empty data directory");
        self.set_phase(Phase::Bootstrap);
        self.bootstrap_content()?;
        let instance = self.instance();
        let vclock = Vclock::new();
        let meta = Meta::new(FileType::Snap, instance.uuid, vclock, None);
        let path = snapshots.path_of(0);
        let source = Box::new(checkpoint::Source::new(self));
        snapshot::write(disk.clone(), &path, meta, 0, source, &AtomicBool::new(false))?;
        snapshots.add(vclock);
        for step in [Step::SnapshotRecovered, Step::LogRecovered, Step::IndexesBuilt] {
            self.host().starting(step);
        }
        tracing::info!("instance uuid {}", instance.uuid);
        tracing::info!("replicaset uuid {}", self.instance().replicaset_uuid);
        Ok(())
    }

    fn recover(
        &self,
        snapshots: &Directory,
        logs: &mut Directory,
        newest: &Vclock,
    ) -> Result<Vclock> {
        let options = self.options();
        self.set_phase(Phase::InitialRecovery);
        self.create_stubs()?;
        self.host().starting(Step::SchemaInitialized);
        let mut reader = snapshots.open_ahead(newest.signature(), options.force_recovery)?;
        let uuid = reader.meta().instance_uuid;
        if let Some(expected) = options.instance_uuid
            && expected != uuid
        {
            let (expected, actual) = (expected.to_string(), uuid.to_string());
            return Err(client_error!(ER_INSTANCE_UUID_MISMATCH, expected, actual));
        }
        self.update_instance(|instance| instance.uuid = uuid);
        let signature = newest.signature();
        self.set_recovery_place(Place { signature, ..Place::default() });
        tracing::info!("instance uuid {uuid}");
        tracing::info!("recovering from '{}'", reader.path().display());
        self.load_snapshot(&mut reader, &options)?;
        drop(reader);
        self.host().starting(Step::SnapshotRecovered);
        self.set_phase(Phase::FinalRecovery);
        logs.set_instance_uuid(uuid);
        let mut vclock = *newest;
        let mut replay = Replay::new(self, options.force_recovery);
        for file in logs.files_after(newest)? {
            let mut reader = logs.open_ahead(file.signature(), options.force_recovery)?;
            tracing::info!("recover from '{}'", reader.path().display());
            check_gap(&reader, &vclock, options.force_recovery)?;
            replay.apply_file(&mut reader, &mut vclock)?;
            tell_skipped(&reader);
        }
        self.check_vinyl_ahead(&vclock)?;
        self.host().starting(Step::LogRecovered);
        self.build_secondary_indexes()?;
        self.drop_lost_trees(vclock.signature());
        self.set_recovery_place(Place::default());
        self.host().starting(Step::IndexesBuilt);
        self.identify(&options)?;
        Ok(vclock)
    }

    /// Reads the rows of a snapshot.
    fn load_snapshot(&self, reader: &mut Reader, options: &Options) -> Result<()> {
        let mut loading: Option<Loading> = None;
        let mut progress = Progress::default();
        while let Some(row) = reader.next_row()? {
            if let Err(error) = self.load_row(&row, &mut loading) {
                if !options.force_recovery {
                    return Err(error);
                }
                tracing::error!("can't apply row: {error}; skipped by force_recovery");
            }
            progress.advance(1);
        }
        tell_skipped(reader);
        if !reader.is_closed() && !options.force_recovery {
            let path = reader.path().display().to_string();
            let message = format!("snapshot '{path}' has no EOF marker");
            return Err(Error::new(crate::base::error::Type::Xlog, message));
        }
        if self.schema().space_by_name("_space").is_none_or(|space| space.is_empty()) {
            return Err(client_error!(ER_MISSING_SYSTEM_SPACES));
        }
        finish_loading(&mut loading)
    }

    fn load_row(&self, row: &Row<'_>, loading: &mut Option<Loading>) -> Result<()> {
        if row.header.request_type() != Some(kind::INSERT) {
            // The state of elections and of synchronous replication.
            return Ok(());
        }
        let (space_id, data) = match tuple_alone(row.body) {
            Some(known) => known,
            None => {
                let request = Request::decode(row, false)?;
                (request.space_id, request.tuple.unwrap_or(&[0x90]))
            }
        };
        if system_space::is_system(space_id) {
            finish_loading(loading)?;
            return self.insert(space_id, data).map(drop);
        }
        let is_current = loading.as_ref().is_some_and(|loading| loading.space.id() == space_id);
        if !is_current {
            finish_loading(loading)?;
            *loading = Some(self.begin_loading(space_id)?);
        }
        let Some(loading) = loading else { return Ok(()) };
        let tuple = Tuple::new(loading.space.format(), data)?;
        loading.primary.build_next(&tuple).map_err(|error| explain(&loading.space, error))?;
        loading.space.account(None, Some(&tuple));
        Ok(())
    }

    fn begin_loading(&self, space_id: u32) -> Result<Loading> {
        let space = self.schema().find(space_id)?;
        let primary = space.find_index(0)?.clone();
        if primary.is_empty() {
            primary.begin_build();
        }
        Ok(Loading { space, primary })
    }

    fn build_secondary_indexes(&self) -> Result<()> {
        let mut is_announced = false;
        for space in self.schema().spaces() {
            let Some(primary) = space.primary() else { continue };
            for index in space.indexes().iter().filter(|index| !index.is_built()) {
                if !is_announced && !primary.is_empty() {
                    tracing::info!("building secondary indexes");
                    is_announced = true;
                }
                super::ddl::fill(&space, index, primary)?;
                index.set_built(true);
            }
        }
        Ok(())
    }

    /// Finds out who this instance is, and checks it against the options.
    fn identify(&self, options: &Options) -> Result<()> {
        let instance = self.instance();
        if let Some(expected) = options.replicaset_uuid
            && expected != instance.replicaset_uuid
        {
            let (expected, actual) = (expected.to_string(), instance.replicaset_uuid.to_string());
            return Err(client_error!(ER_REPLICASET_UUID_MISMATCH, expected, actual));
        }
        let replicas = self.replicas();
        let own = replicas.iter().find(|replica| replica.uuid == instance.uuid);
        if let Some(own) = own {
            self.update_instance(|instance| {
                instance.id = own.id;
                instance.name.clone_from(&own.name);
            });
        }
        for (expected, actual, code) in [
            (
                &options.instance_name,
                &self.instance().name,
                &crate::base::error_code::ER_INSTANCE_NAME_MISMATCH,
            ),
            (
                &options.replicaset_name,
                &instance.replicaset_name,
                &crate::base::error_code::ER_REPLICASET_NAME_MISMATCH,
            ),
            (
                &options.cluster_name,
                &instance.cluster_name,
                &crate::base::error_code::ER_CLUSTER_NAME_MISMATCH,
            ),
        ] {
            // A directory without names takes those of the configuration when it is upgraded.
            if let Some(expected) = expected
                && !actual.is_empty()
                && expected != actual
                && !options.force_recovery
            {
                return Err(Error::client(code, &[expected, actual], file!(), line!()));
            }
        }
        Ok(())
    }

    fn start_journal(&self, disk: &std::sync::Arc<dyn Disk>, vclock: Vclock) -> Result<()> {
        let options = self.options();
        let instance = self.instance();
        let mode = match options.wal_mode {
            WalMode::None => {
                self.set_journal(Rc::new(MemoryJournal::auto(instance.id, vclock)));
                return Ok(());
            }
            WalMode::Write => crate::wal::Mode::Write,
            WalMode::Fsync => crate::wal::Mode::Fsync,
        };
        let writer = Rc::new(Writer::start(
            disk.clone(),
            &crate::wal::Options {
                directory: options.log_directory(),
                mode,
                max_size: options.wal_max_size,
                queue_max_size: options.wal_queue_max_size,
                checkpoint_threshold: options.checkpoint_wal_threshold,
                instance_uuid: instance.uuid,
                instance_id: instance.id,
                vclock,
            },
        )?);
        let pump = writer.pump();
        let fiber = fiber::spawn("wal_pump", move || match fiber::wait(pump) {});
        fiber.set_system();
        self.set_writer(writer.clone());
        writer.defer_flush();
        let flushed = Rc::downgrade(&writer);
        fiber::on_idle(move || {
            if let Some(writer) = flushed.upgrade() {
                Journal::flush(&*writer);
            }
        });
        self.set_journal(writer);
        Ok(())
    }

    /// Counts seconds for rates, and frees by and by what was dropped at once.
    fn start_ticks(&self) {
        let fiber = fiber::spawn("db_ticks", || {
            while fiber::sleep(std::time::Duration::from_secs(1)).is_ok() {
                let db = Database::current();
                db.statistics().tick();
                if reclaimer().parked_count() > 0 {
                    db.start_reclaiming();
                }
            }
        });
        fiber.set_system();
    }
}

fn finish_loading(loading: &mut Option<Loading>) -> Result<()> {
    match loading.take() {
        Some(Loading { space, primary }) => {
            primary.end_build().map_err(|error| explain(&space, error))
        }
        None => Ok(()),
    }
}

fn explain(space: &Space, error: ReplaceError) -> Error {
    match (error, space.primary()) {
        (ReplaceError::Other(error), _) => error,
        (ReplaceError::Duplicate(found), Some(primary)) => {
            space.duplicate(primary, &found, found.data())
        }
        _ => client_error!(ER_CANT_UPDATE_PRIMARY_KEY, space.name()),
    }
}

/// Says how much of a file `force_recovery` has left out, in sum.
fn tell_skipped(reader: &Reader) {
    let skipped = reader.skipped();
    if skipped.count > 0 {
        let (bytes, places, path) = (skipped.bytes, skipped.count, reader.path().display());
        tracing::warn!("{bytes} bytes at {places} places of '{path}' are lost");
    }
}

/// The file must begin where the one before it ended.
fn check_gap(reader: &Reader, vclock: &Vclock, force_recovery: bool) -> Result<()> {
    let start = reader.meta().start();
    if start.is_before_or_equal(vclock) {
        return Ok(());
    }
    let error = crate::wal::gap_error(vclock, &start);
    if !force_recovery {
        return Err(error);
    }
    tracing::error!("{error}; ignored by force_recovery");
    Ok(())
}
