//! Writes a snapshot: all data at one moment, as `INSERT` rows in blocks.
//!
//! Whoever owns the data gives rows out of a read view; they are encoded straight into the block.
//! The file has its final name only when it is complete and on the medium, so a crash leaves the
//! one before in force.
//!
//! # Invariants
//! - a file without the suffix of incomplete files is whole
//!
//! # Yields
//! never; blocks, so it runs on the thread `snapshot`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::disk::Disk;
use super::file::{LogFile, system};
use super::format::{BLOCK_SIZE, BlockEncoder, Meta};
use crate::base::clock;
use crate::base::error::Type;
use crate::base::error_injection::ERRINJ_SNAP_WRITE;
use crate::base::{Error, Result};
use crate::xrow::iproto::kind;
use crate::xrow::{Header, Row, encode_snapshot_body};

/// Data this large is written back to the medium at once, so that the last sync is short and the
/// page cache keeps what the program reads.
const WRITE_BACK_SIZE: u64 = 16 << 20;

/// Where the rows come from. Runs on the thread `snapshot`.
pub trait RowSource: Send {
    /// Adds the next row; false when there is none left.
    fn next_row(&mut self, rows: &mut Rows<'_>) -> Result<bool>;
}

/// Takes the rows of a snapshot.
pub struct Rows<'a> {
    block: &'a mut Vec<u8>,
    count: &'a mut i64,
    timestamp: f64,
}

impl Rows<'_> {
    /// Adds a tuple of a space.
    pub fn tuple(&mut self, space_id: u32, group_id: u32, tuple: &[u8]) {
        self.header(Header { group_id, ..Header::new(kind::INSERT) });
        encode_snapshot_body(space_id, tuple, self.block);
    }

    /// Adds any row, such as the state of elections.
    pub fn row(&mut self, row: &Row<'_>) {
        self.header(row.header);
        self.block.extend_from_slice(row.body);
    }

    /// Rows of a snapshot are numbered from 0.
    fn header(&mut self, header: Header) {
        let header = Header { lsn: *self.count, tsn: 0, timestamp: self.timestamp, ..header };
        header.encode(0, self.block);
        *self.count += 1;
    }
}

/// A snapshot that is being written.
pub struct Snapshot {
    file: LogFile,
    encoder: BlockEncoder,
    rows: Vec<u8>,
    blocks: Vec<u8>,
    count: i64,
    timestamp: f64,
    /// Bytes a second, 0: as fast as possible.
    rate_limit: u64,
    started: Instant,
    first_offset: u64,
    written_back: u64,
}

/// What became of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// How many rows it has.
    pub row_count: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl Snapshot {
    /// Makes the file, under the suffix of incomplete ones.
    pub fn create(
        disk: Arc<dyn Disk>,
        path: &Path,
        meta: Meta,
        rate_limit: u64,
    ) -> Result<Snapshot> {
        let file = LogFile::create(disk, path, meta)?;
        Ok(Snapshot {
            first_offset: file.offset(),
            written_back: file.offset(),
            file,
            encoder: BlockEncoder::new()?,
            rows: Vec::with_capacity(2 * BLOCK_SIZE),
            blocks: Vec::new(),
            count: 0,
            timestamp: clock::realtime_s(),
            rate_limit,
            started: Instant::now(),
        })
    }

    /// Lets `add` add rows, then writes what fills a block.
    pub fn add<T>(&mut self, add: impl FnOnce(&mut Rows<'_>) -> Result<T>) -> Result<T> {
        let mut rows =
            Rows { block: &mut self.rows, count: &mut self.count, timestamp: self.timestamp };
        let result = add(&mut rows)?;
        if self.rows.len() >= BLOCK_SIZE {
            self.write_block()?;
        }
        Ok(result)
    }

    fn write_block(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        if ERRINJ_SNAP_WRITE.strikes() {
            let error = std::io::Error::from_raw_os_error(libc::EIO);
            return Err(system(
                &format!("failed to write to '{}' file", self.file.path().display()),
                &error,
            ));
        }
        self.blocks.clear();
        self.encoder.encode(&self.rows, &mut self.blocks)?;
        self.file.append(&self.blocks, false)?;
        self.rows.clear();
        if self.file.offset() - self.written_back >= WRITE_BACK_SIZE {
            self.file.write_back(self.written_back)?;
            self.written_back = self.file.offset();
        }
        self.throttle();
        Ok(())
    }

    /// Sleeps as long as the file is ahead of the rate.
    fn throttle(&self) {
        if self.rate_limit == 0 {
            return;
        }
        let size = self.file.offset() - self.first_offset;
        let due = Duration::from_secs_f64(size as f64 / self.rate_limit as f64);
        std::thread::sleep(due.saturating_sub(self.started.elapsed()));
    }

    /// Completes the file: everything is on the medium, then it gets its name.
    pub fn finish(mut self) -> Result<Written> {
        let row_count = self.count as u64;
        let result = self.write_block().and_then(|()| self.file.end());
        let result = result.and_then(|()| self.file.publish(true));
        if let Err(error) = result {
            self.file.discard();
            return Err(error);
        }
        let path = self.file.path().to_owned();
        Ok(Written { path, row_count, size: self.file.offset() })
    }

    /// Gives up and removes the file.
    pub fn discard(self) {
        self.file.discard();
    }
}

/// Writes a snapshot on the thread `snapshot`. The future may be awaited on any executor; setting
/// `cancel` makes it end soon with an error and without a file.
pub fn write_in_thread(
    disk: Arc<dyn Disk>,
    path: PathBuf,
    meta: Meta,
    rate_limit: u64,
    source: Box<dyn RowSource>,
    cancel: Arc<AtomicBool>,
) -> impl Future<Output = Result<Written>> {
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        be_polite();
        // Nobody listens any more when the program ends meanwhile.
        let _ = sender.send(write(disk, &path, meta, rate_limit, source, &cancel));
    };
    let thread = std::thread::Builder::new().name("snapshot".to_owned()).spawn(work);
    async move {
        thread.map_err(|error| Error::system("failed to start the thread 'snapshot'", &error))?;
        let ended = || Err(Error::illegal_params("the thread 'snapshot' has panicked"));
        receiver.await.unwrap_or_else(|_| ended())
    }
}

/// Lets the threads that answer clients go first, by a step that still gives a snapshot a tenth
/// of a processor which is wanted by one of them. Linux keeps this for each thread.
fn be_polite() {
    const STEP: i32 = 10;
    if let Err(error) = rustix::process::nice(STEP) {
        tracing::debug!("the thread 'snapshot' keeps its priority: {error}");
    }
}

/// Writes a whole snapshot on the current thread.
pub fn write(
    disk: Arc<dyn Disk>,
    path: &Path,
    meta: Meta,
    rate_limit: u64,
    mut source: Box<dyn RowSource>,
    cancel: &AtomicBool,
) -> Result<Written> {
    /// Rows between two offers of the processor to threads that wait for it: some 20 µs. Without
    /// them such a thread waits for the end of a time slice, which is milliseconds.
    const ROWS_PER_OFFER: u32 = 64;
    let mut snapshot = Snapshot::create(disk, path, meta, rate_limit)?;
    let mut row_count = 0_u32;
    loop {
        row_count = row_count.wrapping_add(1);
        if row_count.is_multiple_of(ROWS_PER_OFFER) {
            std::thread::yield_now();
        }
        let more = if cancel.load(Ordering::Relaxed) {
            Err(Error::new(Type::FiberIsCancelled, "the snapshot was cancelled"))
        } else {
            snapshot.add(|rows| source.next_row(rows))
        };
        match more {
            Ok(true) => {}
            Ok(false) => return snapshot.finish(),
            Err(error) => {
                snapshot.discard();
                return Err(error);
            }
        }
    }
}
