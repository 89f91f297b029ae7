//! What goes from memory into tables, and from tables into others.
//!
//! fjall counts none of that, so the tables are looked at before and after each merge. One that is gone
//! went into a merge. One that is new was written from memory if it is on the newest level or if none is
//! gone: fjall moves those down that it need not merge. Any other new one was made by a merge.
//!
//! # Yields
//! never

use std::collections::HashMap;
use std::ops::AddAssign;
use std::time::Duration;

use fjall::{AbstractTree, Keyspace};

/// Content of tables; bytes are those after packing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Versions of rows.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Blocks of rows.
    pub pages: u64,
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.pages += other.pages;
    }
}

/// What was written and merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Tables of memory that were handed over to be written.
    pub dump_count: u64,
    /// Their bytes.
    pub dump_input: u64,
    /// The tables that were made of them.
    pub dump_output: Amount,
    /// Merges.
    pub merge_count: u64,
    /// How long they took, all together.
    pub merge_time: Duration,
    /// The tables that were merged.
    pub merge_input: Amount,
    /// Those that were made of them.
    pub merge_output: Amount,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Traffic) {
        self.dump_count += other.dump_count;
        self.dump_input += other.dump_input;
        self.dump_output += other.dump_output;
        self.merge_count += other.merge_count;
        self.merge_time += other.merge_time;
        self.merge_input += other.merge_input;
        self.merge_output += other.merge_output;
    }
}

/// The tables of a tree, as they were seen last.
#[derive(Default)]
pub(super) struct Inventory {
    /// By their numbers; none: they were never looked at.
    tables: Option<HashMap<u64, Amount>>,
}

impl Inventory {
    /// Looks at the tables of now. Returns what was written and merged since.
    pub fn look(&mut self, tree: &Keyspace) -> Traffic {
        let mut traffic = Traffic::default();
        let mut found = HashMap::new();
        let version = tree.tree.current_version();
        for (number, level) in version.iter_levels().enumerate() {
            for table in level.iter().flat_map(|run| run.iter()) {
                let amount = Amount {
                    rows: table.metadata.item_count,
                    bytes: table.metadata.file_size,
                    pages: table.metadata.data_block_count,
                };
                found.insert(table.id(), amount);
                let known = self.tables.as_mut().map(|known| known.remove(&table.id()));
                match known {
                    Some(None) if number == 0 => traffic.dump_output += amount,
                    Some(None) => traffic.merge_output += amount,
                    Some(Some(_)) | None => {}
                }
            }
        }
        let gone = self.tables.replace(found);
        gone.into_iter().flatten().for_each(|(_, amount)| traffic.merge_input += amount);
        if traffic.merge_input == Amount::default() {
            traffic.dump_output += std::mem::take(&mut traffic.merge_output);
        }
        traffic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_what_changed_between_two_looks() {
        let folder = tempfile::tempdir().unwrap();
        let database = fjall::Database::builder(&folder).open().unwrap();
        let tree = database
            .keyspace("tree", || {
                let never = fjall::compaction::Leveled::default().with_l0_threshold(255);
                fjall::KeyspaceCreateOptions::default()
                    .compaction_strategy(std::sync::Arc::new(never))
            })
            .unwrap();
        let mut inventory = Inventory::default();
        let write = |value: &str| {
            (0..100).for_each(|key: u32| tree.insert(key.to_be_bytes(), value).unwrap());
            tree.rotate_memtable_and_wait().unwrap();
        };
        write("a");
        assert_eq!(inventory.look(&tree), Traffic::default(), "what was there before counts not");
        write("b");
        let written = inventory.look(&tree);
        assert_eq!((written.dump_output.rows, written.merge_output.rows), (100, 0));
        assert!(written.dump_output.bytes > 0 && written.dump_output.pages > 0);
        assert_eq!(inventory.look(&tree), Traffic::default());
        tree.major_compact().unwrap();
        let merged = inventory.look(&tree);
        assert_eq!(merged.dump_output, Amount::default());
        assert_eq!(merged.merge_input.rows, 200);
        assert!(merged.merge_output.rows >= 100 && merged.merge_output.bytes > 0);
    }
}
