//! Generations: the trees that an index had, each with its time of life.
//!
//! # Invariants
//! - A generation is created by the first LSN of its index that it serves, and dropped by the one
//!   that it does not serve any more. Without the former it is being built, and recovery forgets it.
//! - Its tree is made by the writer, before the first change of it: until then nobody finds rows there.
//! - The files are deleted when it was dropped before the oldest state that recovery may begin with,
//!   and off tx.
//!
//! # Layout
//! A record of the tree `meta`: the key is `g` and the number, big endian; the value the space's id,
//! the index's id, the LSNs of creation and drop (-1 where there is none), little endian.
//!
//! # Yields
//! never

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fjall::{AbstractTree, Keyspace};

use super::options::{IndexOptions, Merging};
use super::traffic::{Inventory, Traffic};

/// First byte of a generation's key in `meta`.
pub(super) const RECORD_PREFIX: u8 = b'g';

const NONE: i64 = -1;

/// One tree of an index.
pub struct Generation {
    pub(super) number: u64,
    space_id: u32,
    index_id: u32,
    created: AtomicI64,
    dropped: AtomicI64,
    merging: Mutex<Merging>,
    keyspace: Mutex<Option<Keyspace>>,
    accounts: Mutex<Accounts>,
}

#[derive(Default)]
struct Accounts {
    inventory: Inventory,
    traffic: Traffic,
}

impl Generation {
    pub(super) fn new(number: u64, space_id: u32, index_id: u32) -> Generation {
        Generation {
            number,
            space_id,
            index_id,
            created: AtomicI64::new(NONE),
            dropped: AtomicI64::new(NONE),
            merging: Mutex::new(IndexOptions::default().merging()),
            keyspace: Mutex::default(),
            accounts: Mutex::default(),
        }
    }

    /// The number, unique in the store.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The space's id.
    pub fn space_id(&self) -> u32 {
        self.space_id
    }

    /// The index's id.
    pub fn index_id(&self) -> u32 {
        self.index_id
    }

    /// The LSN that created it.
    pub fn created(&self) -> Option<i64> {
        Some(self.created.load(Ordering::Relaxed)).filter(|&lsn| lsn != NONE)
    }

    /// The LSN that dropped it.
    pub fn dropped(&self) -> Option<i64> {
        Some(self.dropped.load(Ordering::Relaxed)).filter(|&lsn| lsn != NONE)
    }

    /// About how many rows there are: versions that were not merged yet count each.
    pub fn row_count(&self) -> u64 {
        self.tree().map_or(0, |tree| tree.approximate_len() as u64)
    }

    /// Bytes of what was written and is not in files yet, as far as it is the newest.
    pub fn memory_size(&self) -> u64 {
        self.tree().map_or(0, |tree| tree.tree.active_memtable().size())
    }

    /// Bytes that indexes of blocks, and filters, have in memory.
    pub fn pinned_sizes(&self) -> (u64, u64) {
        let of = |tree: Keyspace| {
            let tree = &tree.tree;
            (tree.pinned_block_index_size() as u64, tree.pinned_filter_size() as u64)
        };
        self.tree().map_or((0, 0), of)
    }

    /// Bytes of its files.
    pub fn disk_size(&self) -> u64 {
        self.tree().map_or(0, |tree| tree.disk_space())
    }

    /// What was written and merged since it was opened, or since [`Generation::reset_traffic`].
    pub fn traffic(&self) -> Traffic {
        self.lock_accounts().traffic
    }

    /// Starts counting over.
    pub fn reset_traffic(&self) {
        self.lock_accounts().traffic = Traffic::default();
    }

    /// Counts what was written and merged since the last look; returns it.
    pub(super) fn count(&self, tree: &Keyspace) -> Traffic {
        let mut accounts = self.lock_accounts();
        let traffic = accounts.inventory.look(tree);
        accounts.traffic += traffic;
        traffic
    }

    /// Counts this.
    pub(super) fn note(&self, traffic: Traffic) {
        self.lock_accounts().traffic += traffic;
    }

    fn lock_accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree, once it is made and until the store is closed.
    pub(super) fn tree(&self) -> Option<Keyspace> {
        self.keyspace.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives it its tree, or takes it away: as long as somebody has one, the store's files are locked.
    pub(super) fn set_tree(&self, tree: Option<Keyspace>) {
        let old = {
            let mut keyspace = self.keyspace.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *keyspace, tree)
        };
        drop(old);
    }

    pub(super) fn merging(&self) -> Merging {
        *self.merging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has its tables merged as these options say from now on; the other ones are those that it was
    /// made with.
    pub fn set_options(&self, options: &IndexOptions) {
        *self.merging.lock().unwrap_or_else(PoisonError::into_inner) = options.merging();
    }

    /// The name of the tree.
    pub(super) fn name(&self) -> String {
        keyspace_name(self.space_id, self.index_id, self.number)
    }

    pub(super) fn set_created(&self, lsn: i64) {
        self.created.store(lsn, Ordering::Relaxed);
    }

    pub(super) fn set_dropped(&self, lsn: i64) {
        self.dropped.store(lsn, Ordering::Relaxed);
    }

    /// Whether it served its index at that LSN.
    pub(super) fn is_alive_at(&self, lsn: i64) -> bool {
        self.created().is_some_and(|created| created <= lsn)
            && self.dropped().is_none_or(|dropped| lsn < dropped)
    }

    pub(super) fn record_key(&self) -> [u8; 9] {
        record_key(self.number)
    }

    pub(super) fn encode(&self) -> [u8; 24] {
        let mut record = [0; 24];
        record[..4].copy_from_slice(&self.space_id.to_le_bytes());
        record[4..8].copy_from_slice(&self.index_id.to_le_bytes());
        record[8..16].copy_from_slice(&self.created.load(Ordering::Relaxed).to_le_bytes());
        record[16..].copy_from_slice(&self.dropped.load(Ordering::Relaxed).to_le_bytes());
        record
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("number", &self.number)
            .field("space_id", &self.space_id)
            .field("index_id", &self.index_id)
            .field("created", &self.created())
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

/// What `meta` says of a generation.
pub(super) struct Record {
    pub number: u64,
    pub space_id: u32,
    pub index_id: u32,
    pub created: Option<i64>,
    pub dropped: Option<i64>,
}

impl Record {
    pub fn decode(key: &[u8], value: &[u8]) -> Option<Record> {
        let (&RECORD_PREFIX, number) = key.split_first()? else { return None };
        let (space_id, rest) = value.split_first_chunk()?;
        let (index_id, rest) = rest.split_first_chunk()?;
        let (created, dropped) = rest.split_first_chunk()?;
        let lsn = |bytes| Some(i64::from_le_bytes(bytes)).filter(|&lsn| lsn != NONE);
        Some(Record {
            number: u64::from_be_bytes(number.try_into().ok()?),
            space_id: u32::from_le_bytes(*space_id),
            index_id: u32::from_le_bytes(*index_id),
            created: lsn(*created),
            dropped: lsn(dropped.try_into().ok()?),
        })
    }

    /// The name of the generation's keyspace.
    pub fn name(&self) -> String {
        keyspace_name(self.space_id, self.index_id, self.number)
    }
}

pub(super) fn record_key(number: u64) -> [u8; 9] {
    let mut key = [RECORD_PREFIX; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn keyspace_name(space_id: u32, index_id: u32, number: u64) -> String {
    format!("{space_id}.{index_id}.{number}")
}
