//! The log on disk: makes blocks of batches, writes, rotates.
//!
//! Whoever is free writes. In general that is the thread `wal`. A small batch that need not be on
//! the medium is written by tx itself while the thread sleeps: handing it over would cost more
//! than the write ([`Log::write_here`]).
//!
//! # Invariants
//! - `vclock` is what is known with everything that was reported as written
//! - a new file begins with exactly that vclock, which is also its name
//!
//! - tx writes only while the thread sleeps, so batches reach the file in the order of LSNs
//!
//! # Yields
//! never; blocks
//!
//! # Not here
//! What is done about a file after a failure: `file`.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::directory::Directory;
use super::file::{LogFile, system};
use super::format::{self, BLOCK_SIZE, BlockEncoder, FileType, MAGIC_END, Meta};
use super::reader::Reader;
use super::writer::{Batch, Command, Mode, Options, Report, Rotated, Shared};
use crate::base::Result;
use crate::base::error_injection::{ERRINJ_WAL_DELAY, ERRINJ_WAL_ROTATE};
use crate::client_error;
use crate::value::uuid::Uuid;
use crate::xrow::Vclock;

pub(super) struct Log {
    shared: Arc<Shared>,
    directory: Directory,
    instance_uuid: Uuid,
    mode: Mode,
    max_size: u64,
    checkpoint_threshold: u64,
    is_checkpoint_wanted: bool,
    /// Size of the log when a checkpoint failed last, since the one before it.
    abandoned_size: u64,
    vclock: Vclock,
    file: Option<LogFile>,
    encoder: BlockEncoder,
    batch: Batch,
    /// Blocks of the batch, ready to write.
    blocks: Vec<u8>,
}

/// Whether large blocks are compressed.
#[derive(Clone, Copy)]
enum Compression {
    On,
    Off,
}

impl Log {
    pub fn new(shared: Arc<Shared>, mut directory: Directory, options: &Options) -> Result<Log> {
        // Only to know the newest file; recovery has complained about damage already.
        directory.scan(true)?;
        Ok(Log {
            shared,
            directory,
            instance_uuid: options.instance_uuid,
            mode: options.mode,
            max_size: options.max_size,
            checkpoint_threshold: options.checkpoint_threshold,
            is_checkpoint_wanted: false,
            abandoned_size: 0,
            vclock: options.vclock,
            file: None,
            encoder: BlockEncoder::new()?,
            batch: Batch::default(),
            blocks: Vec::new(),
        })
    }

    /// Writes a batch on the calling thread, which is tx, if that takes no more than one call of
    /// the system that is not expected to wait: the file is open, has room and is in order. Else
    /// gives the batch back, for the thread. Blocks are not compressed: tx has no time for that.
    pub fn write_here(&mut self, batch: &mut Batch, vclock: Vclock) -> Option<Report> {
        let is_ready = self.file.as_ref().is_some_and(|file| {
            !file.is_broken() && file.offset() < self.max_size && self.mode == Mode::Write
        }) && !ERRINJ_WAL_DELAY.is_set();
        if !is_ready {
            return None;
        }
        std::mem::swap(&mut self.batch, batch);
        let report = self.write_entries(0..self.batch.ends.len(), vclock, Compression::Off);
        self.batch.clear();
        report
    }

    /// Does what tx asked for; false: the end.
    fn execute(&mut self, command: Command) -> bool {
        match command {
            Command::Rotate(reply) => {
                // The checkpoint may have been given up meanwhile.
                let _ = reply.send(self.rotate());
            }
            Command::CommitCheckpoint(size) => {
                self.shared.log_size.fetch_sub(size, Ordering::Relaxed);
                self.is_checkpoint_wanted = false;
                self.abandoned_size = 0;
            }
            Command::AbandonCheckpoint => {
                // Not at once again: what failed, such as a full disk, may last.
                if std::mem::take(&mut self.is_checkpoint_wanted) {
                    self.abandoned_size = self.shared.log_size.load(Ordering::Relaxed);
                }
            }
            Command::CollectGarbage(signature, reply) => {
                let _ = reply.send(self.directory.collect_garbage(signature));
            }
            Command::Configure { max_size, checkpoint_threshold } => {
                self.max_size = max_size;
                self.checkpoint_threshold = checkpoint_threshold;
            }
            Command::Stop => return false,
        }
        true
    }

    /// Writes entries of the batch, with which `vclock` is known.
    fn write_entries(
        &mut self,
        entries: Range<usize>,
        vclock: Vclock,
        compression: Compression,
    ) -> Option<Report> {
        if entries.is_empty() {
            return None;
        }
        let first = self.batch.position(entries.start);
        let last = self.batch.position(entries.end - 1);
        let result = self.try_write_entries(entries.clone(), compression);
        let growth = self.blocks.len() as u64;
        self.blocks.clear();
        self.blocks.shrink_to(8 << 20);
        match result {
            Ok(()) => {
                self.vclock = vclock;
                let size = self.shared.log_size.fetch_add(growth, Ordering::Relaxed) + growth;
                let due_size = self.abandoned_size.saturating_add(self.checkpoint_threshold);
                let is_due = size > due_size && !self.is_checkpoint_wanted;
                self.is_checkpoint_wanted |= is_due;
                let bytes = self.batch.offset(entries.end) - self.batch.offset(entries.start);
                Some(Report::Written {
                    last,
                    bytes: bytes as u64,
                    vclock,
                    wants_checkpoint: is_due,
                })
            }
            Err(error) => {
                tracing::error!("{error}");
                // Entries that came meanwhile are behind the failed ones: lost as well.
                let mut inbox = self.shared.inbox();
                inbox.rolling_back = true;
                inbox.batch.clear();
                inbox.commands.iter_mut().for_each(|queued| queued.after = 0);
                Some(Report::Lost { first, last, error })
            }
        }
    }

    /// Writes the entries of the batch from `written` up to `end`, and tells tx.
    fn advance(&mut self, written: &mut usize, end: usize, vclock: Vclock) {
        let entries = *written..end.max(*written);
        let Some(report) = self.write_entries(entries, vclock, Compression::On) else { return };
        *written = if matches!(report, Report::Lost { .. }) { self.batch.ends.len() } else { end };
        self.shared.report(report);
    }

    fn try_write_entries(&mut self, entries: Range<usize>, compression: Compression) -> Result<()> {
        let mut start = self.batch.offset(entries.start);
        for index in entries.clone() {
            let end = self.batch.ends[index];
            if index + 1 == entries.end || end - start >= BLOCK_SIZE {
                let rows = &self.batch.rows[start..end];
                match compression {
                    Compression::On => self.encoder.encode(rows, &mut self.blocks)?,
                    Compression::Off => format::encode_plain(rows, &mut self.blocks),
                }
                start = end;
            }
        }
        self.open_file()?;
        let file = self.file.as_mut().expect("open_file has opened one");
        file.append(&self.blocks, self.mode == Mode::Fsync)
    }

    /// Makes sure that there is a file to write to, of which this much room is left.
    fn open_file(&mut self) -> Result<()> {
        let is_full = self.file.as_ref().is_some_and(|file| {
            file.offset() >= self.max_size && file.meta().start() != self.vclock
        });
        if is_full {
            self.close_file();
        }
        if self.file.is_some() {
            return Ok(());
        }
        if ERRINJ_WAL_ROTATE.strikes() {
            let full = io::Error::from_raw_os_error(libc::ENOSPC);
            return Err(system("failed to create the next log file", &full));
        }
        let path = self.directory.path_of(self.vclock.signature());
        let file = if self.directory.disk().exists(&path) {
            self.reopen_file(&path)?
        } else {
            let previous = self.directory.newest().copied();
            let meta = Meta::new(FileType::Xlog, self.instance_uuid, self.vclock, previous);
            let mut file = LogFile::create(self.directory.disk(), &path, meta)?;
            if let Err(error) = file.publish(self.mode == Mode::Fsync) {
                file.discard();
                return Err(error);
            }
            self.directory.add(self.vclock);
            file
        };
        self.file = Some(file);
        Ok(())
    }

    /// The last run closed cleanly with an empty file, or died before its first row was whole.
    fn reopen_file(&self, path: &std::path::Path) -> Result<LogFile> {
        let mut reader = Reader::open_on(&*self.directory.disk(), path)?;
        if reader.meta().start() != self.vclock {
            let message = format!("{}: invalid xlog order", path.display());
            return Err(format::xlog_error(&message));
        }
        while reader.next_row()?.is_some() {}
        let marker = if reader.is_closed() { MAGIC_END.len() as u64 } else { 0 };
        let end = reader.offset() - marker;
        LogFile::reopen(self.directory.disk(), path, reader.meta().clone(), end)
    }

    fn close_file(&mut self) {
        if let Some(file) = self.file.take() {
            let path = file.path().to_owned();
            if let Err(error) = file.close(self.mode == Mode::Fsync) {
                // The rows are safe; the reader takes a file without the end marker.
                tracing::error!("{}: cannot close the log file: {error}", path.display());
            }
        }
    }

    fn rotate(&mut self) -> Result<Rotated> {
        if self.shared.inbox().rolling_back {
            return Err(client_error!(ER_CASCADE_ROLLBACK));
        }
        if self.file.as_ref().is_some_and(|file| file.meta().start() != self.vclock) {
            self.close_file();
        }
        let log_size = self.shared.log_size.load(Ordering::Relaxed);
        Ok(Rotated { vclock: self.vclock, log_size })
    }

    /// Leaves an empty file that tells the next run where the log ends, so that a missing last
    /// file is noticed.
    fn stop(&mut self) {
        let rolling_back = self.shared.inbox().rolling_back;
        if self.file.as_ref().is_some_and(|file| file.meta().start() != self.vclock) {
            self.close_file();
        }
        if !rolling_back
            && self.directory.newest() != Some(&self.vclock)
            && let Err(error) = self.open_file()
        {
            tracing::error!("cannot leave an empty log file: {error}");
        }
        self.close_file();
    }
}

/// The thread `wal`.
pub(super) fn run(shared: &Shared, log: &Mutex<Log>) {
    loop {
        let mut inbox = shared.wait();
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut log.batch, &mut inbox.batch);
        let (vclock, commands) = (inbox.vclock, std::mem::take(&mut inbox.commands));
        drop(inbox);
        let mut written = 0;
        for queued in commands {
            // What a command stands behind comes first, and nothing that came after it.
            log.advance(&mut written, queued.after, queued.vclock);
            if !log.execute(queued.command) {
                return log.stop();
            }
        }
        let end = log.batch.ends.len();
        log.advance(&mut written, end, vclock);
        log.batch.clear();
    }
}
