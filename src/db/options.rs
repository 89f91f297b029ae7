//! The options of the database, as `box.cfg` and the configuration set them.
//!
//! # Yields
//! never

use std::path::PathBuf;
use std::time::Duration;

use crate::tuple::arena;
use crate::value::uuid::Uuid;

use super::transaction::Isolation;

/// The folder in `vinyl_dir` that the tables are in: the directory may be that of the log.
const VINYL_FOLDER: &str = "vinyl";

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalMode {
    /// At once; there is no log.
    None,
    /// When the system has its rows: survives a crash of the process.
    Write,
    /// When the medium has its rows: survives a crash of the machine.
    Fsync,
}

/// The options; the defaults are Tarantool's.
#[derive(Clone, Debug)]
pub struct Options {
    /// `work_dir`, that the other directories are relative to.
    pub work_dir: Option<PathBuf>,
    /// Where snapshots are.
    pub memtx_dir: PathBuf,
    /// Where the log is.
    pub wal_dir: PathBuf,
    /// `memtx_memory`, in bytes.
    pub memory: usize,
    /// `memtx_max_tuple_size`, in bytes.
    pub max_tuple_size: usize,
    /// `wal_mode`.
    pub wal_mode: WalMode,
    /// `wal_max_size`: a log file is closed when it is larger, in bytes.
    pub wal_max_size: u64,
    /// `wal_queue_max_size`: writers wait when more is unwritten, in bytes.
    pub wal_queue_max_size: u64,
    /// `vinyl_dir`, where tables on disk are.
    pub vinyl_dir: PathBuf,
    /// `vinyl_memory`, in bytes.
    pub vinyl_memory: u64,
    /// `vinyl_cache`, in bytes.
    pub vinyl_cache: u64,
    /// `vinyl_read_threads`
    pub vinyl_read_threads: usize,
    /// `vinyl_write_threads`
    pub vinyl_write_threads: usize,
    /// `vinyl_timeout`: how long a transaction waits for room.
    pub vinyl_timeout: Duration,
    /// `vinyl_max_tuple_size`, in bytes.
    pub vinyl_max_tuple_size: usize,
    /// `txn_isolation`: what transactions see that name no level.
    pub isolation: Isolation,
    /// `wal_dir_rescan_delay` and the like do not exist here: directories are read once.
    pub force_recovery: bool,
    /// `read_only`.
    pub read_only: bool,
    /// `checkpoint_interval`; zero: never by time.
    pub checkpoint_interval: Duration,
    /// `checkpoint_count`: how many snapshots are kept.
    pub checkpoint_count: usize,
    /// `checkpoint_wal_threshold`, in bytes.
    pub checkpoint_wal_threshold: u64,
    /// `snap_io_rate_limit`, in bytes per second.
    pub snap_io_rate_limit: Option<u64>,
    /// `txn_timeout`; `None`: never.
    pub transaction_timeout: Option<Duration>,
    /// `instance_uuid`; `None`: whatever the directory has, or a new one.
    pub instance_uuid: Option<Uuid>,
    /// `replicaset_uuid`.
    pub replicaset_uuid: Option<Uuid>,
    /// `instance_name`.
    pub instance_name: Option<String>,
    /// `replicaset_name`.
    pub replicaset_name: Option<String>,
    /// `cluster_name`.
    pub cluster_name: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            work_dir: None,
            memtx_dir: PathBuf::from("."),
            wal_dir: PathBuf::from("."),
            memory: arena::MEMORY_DEFAULT,
            max_tuple_size: arena::TUPLE_SIZE_MAX_DEFAULT,
            wal_mode: WalMode::Write,
            wal_max_size: 256 << 20,
            wal_queue_max_size: 16 << 20,
            vinyl_dir: PathBuf::from("."),
            vinyl_memory: 128 << 20,
            vinyl_cache: 128 << 20,
            vinyl_read_threads: 1,
            vinyl_write_threads: 4,
            vinyl_timeout: Duration::from_secs(60),
            vinyl_max_tuple_size: 1 << 20,
            isolation: Isolation::BestEffort,
            force_recovery: false,
            read_only: false,
            checkpoint_interval: Duration::from_secs(3600),
            checkpoint_count: 2,
            checkpoint_wal_threshold: 1_000_000_000_000_000_000,
            snap_io_rate_limit: None,
            transaction_timeout: None,
            instance_uuid: None,
            replicaset_uuid: None,
            instance_name: None,
            replicaset_name: None,
            cluster_name: None,
        }
    }
}

impl Options {
    /// A directory of the options, relative to `work_dir`.
    fn resolve(&self, directory: &PathBuf) -> PathBuf {
        self.work_dir.as_ref().map_or_else(|| directory.clone(), |work| work.join(directory))
    }

    /// Where snapshots are.
    pub fn snapshot_directory(&self) -> PathBuf {
        self.resolve(&self.memtx_dir)
    }

    /// What the engine on disk takes.
    pub(crate) fn vinyl_options(&self) -> crate::vinyl::Options {
        crate::vinyl::Options {
            dir: self.resolve(&self.vinyl_dir).join(VINYL_FOLDER),
            memory: self.vinyl_memory,
            cache: self.vinyl_cache,
            read_threads: self.vinyl_read_threads,
            write_threads: self.vinyl_write_threads,
        }
    }

    /// Where the log is.
    pub fn log_directory(&self) -> PathBuf {
        self.resolve(&self.wal_dir)
    }
}
