//! What vinyl counts: figures of the engine and of an index, by the names that Tarantool gives them.
//!
//! A name with dots is that of a nested table. What the store has no figure for is not there.
//!
//! # Yields
//! `index_figures`, `compact_index`

use std::rc::Rc;

use crate::base::error::Result;
use crate::memtx::IteratorType;
use crate::vinyl;

use super::access;
use super::database::Database;
use super::user::privilege;

/// Names and figures.
pub type Figures = Vec<(&'static str, f64)>;

fn figures(counts: Vec<(&'static str, u64)>) -> Figures {
    counts.into_iter().map(|(name, count)| (name, count as f64)).collect()
}

impl Database {
    /// What `box.stat.vinyl()` shows, once a space has needed the engine.
    pub fn vinyl_figures(&self) -> Option<Figures> {
        let engine = self.find_vinyl()?;
        let (activity, usage) = (engine.activity(), engine.usage());
        let store = engine.store().statistics();
        let work = engine.store().work();
        let traffic = work.traffic;
        let trees = engine.store().generations();
        let data = trees.iter().map(|tree| tree.disk_size()).sum();
        let pinned: Vec<_> = trees.iter().map(|tree| tree.pinned_sizes()).collect();
        Some(figures(vec![
            ("tx.commit", activity.commits.get()),
            ("tx.rollback", activity.rollbacks.get()),
            ("tx.conflict", activity.conflicts.get()),
            ("tx.transactions", usage.transactions),
            ("tx.statements", usage.changes),
            ("tx.gap_locks", usage.reads),
            ("tx.read_views", usage.read_views),
            ("memory.level0", store.memory_used),
            ("memory.tuple_cache", store.cache_size),
            ("memory.page_index", pinned.iter().map(|(page_index, _)| page_index).sum()),
            ("memory.bloom_filter", pinned.iter().map(|(_, filters)| filters).sum()),
            ("disk.data", data),
            ("scheduler.tasks_inprogress", work.active),
            ("scheduler.tasks_completed", traffic.dump_count + traffic.merge_count),
            ("scheduler.dump_queue", work.waiting_flushes),
            ("scheduler.dump_count", traffic.dump_count),
            ("scheduler.dump_input", traffic.dump_input),
            ("scheduler.dump_output", traffic.dump_output.bytes),
            ("scheduler.compaction_time", traffic.merge_time.as_secs()),
            ("scheduler.compaction_input", traffic.merge_input.bytes),
            ("scheduler.compaction_output", traffic.merge_output.bytes),
            ("regulator.blocked_writers", self.vinyl.waiting.get()),
            ("quota.used", store.memory_used),
            ("quota.limit", store.memory_limit),
        ]))
    }

    /// What `index:stat()` shows; `None` of an index in memory. Yields.
    pub fn index_figures(&self, space_id: u32, index_id: u32) -> Result<Option<Figures>> {
        let Some(index) = self.disk_index(space_id, index_id)? else { return Ok(None) };
        let engine = self.vinyl()?;
        let store = engine.store().measure(index.generation());
        let (changes, change_bytes) = index.overlay_size();
        let counters = index.counters();
        let traffic = index.generation().traffic();
        let mut found = figures(vec![
            ("rows", store.disk_rows + store.memory_rows + changes),
            ("bytes", store.disk_size + store.memory_size + change_bytes),
            ("lookup", counters.lookups.get()),
            ("get.rows", counters.rows.get()),
            ("get.bytes", counters.bytes.get()),
            ("put.rows", counters.written_rows.get()),
            ("put.bytes", counters.written_bytes.get()),
            ("skip.rows", counters.skipped.get()),
            ("txw.rows", changes),
            ("txw.bytes", change_bytes),
            ("memory.rows", store.memory_rows),
            ("memory.bytes", store.memory_size),
            ("disk.rows", store.disk_rows),
            ("disk.bytes", store.disk_size),
            ("disk.pages", store.disk_pages),
            ("disk.index_size", store.page_index_size),
            ("disk.bloom_size", store.filter_size),
            ("disk.statement.deletes", store.disk_tombstones),
            ("disk.dump.count", traffic.dump_count),
            ("disk.dump.input.bytes", traffic.dump_input),
            ("disk.dump.output.rows", traffic.dump_output.rows),
            ("disk.dump.output.bytes", traffic.dump_output.bytes),
            ("disk.dump.output.pages", traffic.dump_output.pages),
            ("disk.compaction.count", traffic.merge_count),
            ("disk.compaction.time", traffic.merge_time.as_secs()),
            ("disk.compaction.input.rows", traffic.merge_input.rows),
            ("disk.compaction.input.bytes", traffic.merge_input.bytes),
            ("disk.compaction.input.pages", traffic.merge_input.pages),
            ("disk.compaction.output.rows", traffic.merge_output.rows),
            ("disk.compaction.output.bytes", traffic.merge_output.bytes),
            ("disk.compaction.output.pages", traffic.merge_output.pages),
            ("range_count", store.table_count),
            ("run_count", store.run_count),
        ]);
        let shares = [
            ("latency.p50", 50),
            ("latency.p75", 75),
            ("latency.p90", 90),
            ("latency.p95", 95),
            ("latency.p99", 99),
        ];
        found.extend(shares.map(|(name, share)| (name, counters.latency.percentile(share))));
        Ok(Some(found))
    }

    /// Merges what an index on disk has; nothing for one in memory. Yields.
    pub fn compact_index(&self, space_id: u32, index_id: u32) -> Result<()> {
        let Some(index) = self.disk_index(space_id, index_id)? else { return Ok(()) };
        if index_id != 0 {
            // Who comes by stale rows has them deleted.
            self.count(space_id, index_id, &[0x90], IteratorType::All)?;
        }
        self.vinyl()?.store().compact(index.generation())
    }

    /// Starts counting over (`box.stat.reset`).
    pub fn reset_statistics(&self) {
        self.statistics().reset();
        if let Some(engine) = self.find_vinyl() {
            engine.activity().reset();
            engine.store().reset_traffic();
        }
        for space in self.schema().spaces() {
            for index in space.indexes().iter().filter_map(|index| index.vinyl()) {
                index.counters().reset();
            }
        }
    }

    fn disk_index(&self, space_id: u32, index_id: u32) -> Result<Option<Rc<vinyl::Index>>> {
        let space = self.schema().find(space_id)?;
        access::check_space(self, &space, privilege::READ)?;
        Ok(space.find_index(index_id)?.vinyl().cloned())
    }
}
