//! The options of the store and of one index, and what they mean to fjall.
//!
//! # Yields
//! never

use std::path::PathBuf;

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
    /// Threads that write and compact tables.
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

impl IndexOptions {
    pub(super) fn to_fjall(&self) -> KeyspaceCreateOptions {
        const BLOCK_SIZE_MIN: u64 = 1024;
        const BLOCK_SIZE_MAX: u64 = 1024 * 1024;
        const RATIO_MIN: f64 = 2.0;
        let block_size = self.page_size.clamp(BLOCK_SIZE_MIN, BLOCK_SIZE_MAX) as u32;
        let filter = if self.bloom_fpr >= 1.0 {
            FilterPolicyEntry::None
        } else {
            let rate = BloomConstructionPolicy::FalsePositiveRate(self.bloom_fpr as f32);
            FilterPolicyEntry::Bloom(rate)
        };
        let mut levels = compaction::Leveled::default()
            .with_l0_threshold(self.run_count_per_level.clamp(1, u32::from(u8::MAX)) as u8)
            .with_level_ratio_policy(vec![self.run_size_ratio.max(RATIO_MIN) as f32]);
        if self.range_size != 0 {
            levels = levels.with_table_target_size(self.range_size);
        }
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
            .compaction_strategy(std::sync::Arc::new(levels))
            // The writer decides when a table of memory is full.
            .max_memtable_size(u64::MAX)
            .manual_journal_persist(true)
    }
}
