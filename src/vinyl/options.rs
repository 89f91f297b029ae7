//! The options of the store and of one index, and what they mean to fjall.
//!
//! # Yields
//! never

use std::path::PathBuf;
use std::sync::Arc;

use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
    PartitioningPolicy, PinningPolicy,
};
use fjall::{CompressionType, KeyspaceCreateOptions, compaction};

/// Options of the store: the section `vinyl` of the configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the files are.
    pub dir: PathBuf,
    /// Bytes that changes may take in memory until they are in tables.
    pub memory: u64,
    /// Bytes of the cache.
    pub cache: u64,
    /// Threads that read.
    pub read_threads: usize,
    /// Threads that write tables: a quarter of them from memory, the others merge.
    pub write_threads: usize,
}

impl Options {
    /// Tarantool's defaults for a directory.
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        const MIB: u64 = 1024 * 1024;
        Options {
            dir: dir.into(),
            memory: 128 * MIB,
            cache: 128 * MIB,
            read_threads: 1,
            write_threads: 4,
        }
    }

    /// Threads that write tables of memory: as many of all as in Tarantool.
    pub(super) fn dump_threads(&self) -> usize {
        (self.write_threads / 4).max(1)
    }

    /// Threads that merge.
    pub(super) fn merge_threads(&self) -> usize {
        self.write_threads.saturating_sub(self.dump_threads()).max(1)
    }
}

/// Options of an index.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexOptions {
    /// Bytes of a block.
    pub page_size: u64,
    /// Bytes of a table; 0: chosen by the store.
    pub range_size: u64,
    /// Tables of the newest level before they are merged.
    pub run_count_per_level: u32,
    /// How many times a level is larger than the one before.
    pub run_size_ratio: f64,
    /// How often a filter lets a key pass that a table does not have.
    pub bloom_fpr: f64,
}

impl Default for IndexOptions {
    fn default() -> IndexOptions {
        IndexOptions {
            page_size: 8 * 1024,
            range_size: 0,
            run_count_per_level: 2,
            run_size_ratio: 3.5,
            bloom_fpr: 0.05,
        }
    }
}

/// When tables of a tree are merged, and into what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Merging {
    run_count: u8,
    run_size_ratio: f32,
    /// 0: chosen by fjall.
    table_size: u64,
}

impl Merging {
    /// What says which tables are merged next.
    pub(super) fn strategy(&self) -> Arc<compaction::Leveled> {
        self.with_run_count(self.run_count)
    }

    /// The strategy that fjall is told, which has its threads merge nothing: they would begin at more
    /// tables than there ever are.
    fn in_fjall(&self) -> Arc<compaction::Leveled> {
        self.with_run_count(u8::MAX)
    }

    fn with_run_count(&self, run_count: u8) -> Arc<compaction::Leveled> {
        let mut levels = compaction::Leveled::default()
            .with_l0_threshold(run_count)
            .with_level_ratio_policy(vec![self.run_size_ratio]);
        if self.table_size != 0 {
            levels = levels.with_table_target_size(self.table_size);
        }
        Arc::new(levels)
    }
}

impl IndexOptions {
    pub(super) fn merging(&self) -> Merging {
        const RATIO_MIN: f64 = 2.0;
        // What fjall is told is above.
        const RUN_COUNT_MAX: u32 = 254;
        Merging {
            run_count: self.run_count_per_level.clamp(1, RUN_COUNT_MAX) as u8,
            run_size_ratio: self.run_size_ratio.max(RATIO_MIN) as f32,
            table_size: self.range_size,
        }
    }

    pub(super) fn to_fjall(&self) -> KeyspaceCreateOptions {
        const BLOCK_SIZE_MIN: u64 = 1024;
        const BLOCK_SIZE_MAX: u64 = 1024 * 1024;
        let block_size = self.page_size.clamp(BLOCK_SIZE_MIN, BLOCK_SIZE_MAX) as u32;
        let filter = if self.bloom_fpr >= 1.0 {
            FilterPolicyEntry::None
        } else {
            let rate = BloomConstructionPolicy::FalsePositiveRate(self.bloom_fpr as f32);
            FilterPolicyEntry::Bloom(rate)
        };
        KeyspaceCreateOptions::default()
            .data_block_size_policy(BlockSizePolicy::all(block_size))
            .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
            // As in Tarantool they stay in memory, about a thousandth of the data: those of a table are
            // so large that reading them for a row would cost more than the row.
            .index_block_pinning_policy(PinningPolicy::all(true))
            .filter_block_pinning_policy(PinningPolicy::all(true))
            .index_block_partitioning_policy(PartitioningPolicy::all(false))
            .filter_block_partitioning_policy(PartitioningPolicy::all(false))
            .filter_policy(FilterPolicy::all(filter))
            .compaction_strategy(self.merging().in_fjall())
            // The writer decides when a table of memory is full.
            .max_memtable_size(u64::MAX)
            .manual_journal_persist(true)
    }
}
