//! What `box.info`, `box.slab` and the like show, as plain values.
//!
//! # Yields
//! never

use crate::tuple::arena;
use crate::xrow::Vclock;

use super::database::{Database, Instance, Phase};

/// What `box.info` shows of the database.
#[derive(Clone, Debug)]
pub struct Info {
    /// Who this instance is.
    pub instance: Instance,
    /// What is known and written.
    pub vclock: Vclock,
    /// LSN of this instance.
    pub lsn: i64,
    /// Sum of the vclock's components.
    pub signature: i64,
    /// `running`, `loading` or `orphan`.
    pub status: &'static str,
    /// Whether changes are refused.
    pub is_read_only: bool,
    /// Why they are: `config` or `loading`.
    pub read_only_reason: Option<&'static str>,
    /// Version of the schema in memory.
    pub schema_version: u64,
    /// Transactions that wait for the log.
    pub committing_count: usize,
    /// Bytes that wait for the log.
    pub journal_queue_size: u64,
    /// Bytes of log since the last checkpoint.
    pub log_size: u64,
}

/// Memory of tuples and indexes, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct MemoryInfo {
    /// `memtx.memory`.
    pub quota_size: usize,
    /// Charged to it.
    pub quota_used: usize,
    /// Of that, tuples.
    pub items_used: usize,
    /// Of that, indexes.
    pub index_used: usize,
}

impl Database {
    /// What `box.info` shows.
    pub fn info(&self) -> Info {
        let instance = self.instance();
        let is_loading = self.phase() != Phase::Running;
        let vclock = match is_loading {
            true => Vclock::new(),
            false => self.journal().written_vclock(),
        };
        let is_read_only = is_loading || self.is_read_only();
        let writer = self.writer();
        Info {
            lsn: vclock.get(instance.id),
            signature: vclock.signature(),
            vclock,
            instance,
            status: if is_loading { "loading" } else { "running" },
            is_read_only,
            read_only_reason: match (is_loading, is_read_only) {
                (true, _) => Some("loading"),
                (false, true) => Some("config"),
                (false, false) => None,
            },
            schema_version: self.schema().version(),
            committing_count: self.commits().count(),
            journal_queue_size: writer.as_ref().map_or(0, |writer| writer.queue_size()),
            log_size: writer.map_or(0, |writer| writer.log_size()),
        }
    }

    /// What `box.slab.info` shows.
    pub fn memory_info(&self) -> MemoryInfo {
        let stat = arena::stat();
        MemoryInfo {
            quota_size: stat.quota_size,
            quota_used: stat.memtx_used,
            items_used: stat.memtx_used.saturating_sub(stat.index_used),
            index_used: stat.index_used,
        }
    }
}
