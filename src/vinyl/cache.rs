//! The cache of rows on tx: point reads that need no other thread.
//!
//! It holds what reads found, absence included, and what was submitted. Which row goes when it is
//! full, the algorithm CLOCK says: a hand goes round, takes the mark off rows that were read since it
//! came by last, and evicts those without.
//!
//! # Invariants
//! - An entry is the row after all submitted changes. Each submission goes through [`Cache::put`]
//!   or [`Cache::forget`]; what a read brings enters only if no change of the same key, or of one with
//!   the same low bits of its hash, was submitted that the read may not have seen.
//! - An entry's sequence number is not below that of the newest change of its key: who sees that
//!   much sees this row.
//!
//! # Yields
//! never

use hashbrown::HashTable;

use super::Bytes;

/// Slots that remember the newest change of the keys with these low bits of the hash.
const RECENT_COUNT: usize = 1 << 16;
/// Memory of an entry beside its bytes: the entry, the slot of the table, the headers of bytes.
const ENTRY_OVERHEAD: u64 = 112;

/// Shards of the cache, so that none is large: to make room in a shard for twice as many takes tx no longer than a
/// fraction of a millisecond.
const SHARD_COUNT: usize = 64;

pub(super) struct Cache {
    size_max: u64,
    size: u64,
    shards: Box<[Shard]>,
    /// The shard whose hand moves next.
    turn: usize,
    recent: Box<[u64]>,
    lookups: u64,
    hits: u64,
    hasher: ahash::RandomState,
}

/// The entries whose keys have the same bits of the hash.
#[derive(Default)]
struct Shard {
    entries: Vec<Entry>,
    free: Vec<u32>,
    table: HashTable<u32>,
    hand: usize,
}

struct Entry {
    hash: u64,
    generation: u64,
    key: Bytes,
    /// `None`: there is no such row.
    row: Option<Bytes>,
    sequence: u64,
    is_read: bool,
    is_used: bool,
}

/// The hash of a key, computed once for all that is done with it.
#[derive(Clone, Copy)]
pub(super) struct Hash(u64);

impl Cache {
    pub fn new(size_max: u64) -> Cache {
        Cache {
            size_max,
            size: 0,
            shards: (0..SHARD_COUNT).map(|_| Shard::default()).collect(),
            turn: 0,
            recent: vec![0; RECENT_COUNT].into(),
            lookups: 0,
            hits: 0,
            hasher: ahash::RandomState::new(),
        }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.table.len()).sum()
    }

    pub fn lookups(&self) -> u64 {
        self.lookups
    }

    pub fn hits(&self) -> u64 {
        self.hits
    }

    pub fn set_size_max(&mut self, size_max: u64) {
        self.size_max = size_max;
        self.evict();
    }

    #[inline]
    pub fn hash(&self, generation: u64, key: &[u8]) -> Hash {
        Hash(self.hasher.hash_one((generation, key)))
    }

    /// The row, as who sees all changes up to `sequence` sees it; `None` if that is not known.
    #[inline]
    pub fn get(
        &mut self,
        hash: Hash,
        generation: u64,
        key: &[u8],
        sequence: u64,
    ) -> Option<Option<Bytes>> {
        self.lookups += 1;
        let shard = &mut self.shards[hash.shard()];
        let slot = shard.find(hash, generation, key)?;
        let entry = &mut shard.entries[slot as usize];
        if entry.sequence > sequence {
            return None;
        }
        self.hits += 1;
        entry.is_read = true;
        Some(entry.row.clone())
    }

    /// A change was submitted that makes the row this.
    pub fn put(
        &mut self,
        hash: Hash,
        generation: u64,
        key: &Bytes,
        row: Option<Bytes>,
        sequence: u64,
    ) {
        self.note(hash, sequence);
        self.insert(hash, generation, key, row, sequence);
    }

    /// A change was submitted whose outcome is not known.
    pub fn forget(&mut self, hash: Hash, generation: u64, key: &[u8], sequence: u64) {
        self.note(hash, sequence);
        let shard = &mut self.shards[hash.shard()];
        if let Some(slot) = shard.find(hash, generation, key) {
            self.size -= shard.remove(slot);
        }
    }

    /// A read that saw all changes up to `seen` found this.
    pub fn fill(
        &mut self,
        hash: Hash,
        generation: u64,
        key: &Bytes,
        row: Option<Bytes>,
        seen: u64,
    ) {
        let newest = self.recent[hash.0 as usize % RECENT_COUNT];
        if newest <= seen && self.shards[hash.shard()].find(hash, generation, key).is_none() {
            // A copy: the key may be a piece of a block that would stay in memory with it.
            let key = Bytes::from(&**key);
            self.insert(hash, generation, &key, row, newest);
        }
    }

    fn note(&mut self, hash: Hash, sequence: u64) {
        self.recent[hash.0 as usize % RECENT_COUNT] = sequence;
    }

    fn insert(
        &mut self,
        hash: Hash,
        generation: u64,
        key: &Bytes,
        row: Option<Bytes>,
        sequence: u64,
    ) {
        let shard = &mut self.shards[hash.shard()];
        if let Some(slot) = shard.find(hash, generation, key) {
            let entry = &mut shard.entries[slot as usize];
            self.size -= entry.size();
            entry.row = row;
            entry.sequence = sequence;
            self.size += entry.size();
        } else {
            let entry = Entry {
                hash: hash.0,
                generation,
                key: key.clone(),
                row,
                sequence,
                is_read: false,
                is_used: true,
            };
            if entry.size() > self.size_max {
                return;
            }
            self.size += entry.size();
            shard.insert(entry);
        }
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.size_max {
            self.size -= self.shards[self.turn].turn_hand();
            self.turn = (self.turn + 1) % SHARD_COUNT;
        }
    }
}

impl Hash {
    /// Bits that neither the table of a shard looks at nor the slots of recent changes.
    #[inline]
    fn shard(self) -> usize {
        (self.0 >> 40) as usize % SHARD_COUNT
    }
}

impl Shard {
    #[inline]
    fn find(&self, hash: Hash, generation: u64, key: &[u8]) -> Option<u32> {
        let entries = &self.entries;
        let is_same = |&slot: &u32| {
            let entry = &entries[slot as usize];
            entry.hash == hash.0 && entry.generation == generation && *entry.key == *key
        };
        self.table.find(hash.0, is_same).copied()
    }

    fn insert(&mut self, entry: Entry) {
        let hash = entry.hash;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                slot
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        let entries = &self.entries;
        self.table.insert_unique(hash, slot, |&slot| entries[slot as usize].hash);
    }

    /// Moves the hand to the next entry; the bytes that this gave back.
    fn turn_hand(&mut self) -> u64 {
        if self.hand >= self.entries.len() {
            self.hand = 0;
        }
        let slot = self.hand;
        self.hand += 1;
        let Some(entry) = self.entries.get_mut(slot) else { return 0 };
        if !entry.is_used || std::mem::take(&mut entry.is_read) {
            return 0;
        }
        self.remove(slot as u32)
    }

    /// Empties a slot; the bytes that this gave back.
    fn remove(&mut self, slot: u32) -> u64 {
        let entry = &mut self.entries[slot as usize];
        let size = entry.size();
        entry.is_used = false;
        entry.key = Bytes::empty();
        entry.row = None;
        let hash = entry.hash;
        if let Ok(found) = self.table.find_entry(hash, |&other| other == slot) {
            found.remove();
        }
        self.free.push(slot);
        size
    }
}

impl Entry {
    fn size(&self) -> u64 {
        ENTRY_OVERHEAD + self.key.len() as u64 + self.row.as_ref().map_or(0, |row| row.len() as u64)
    }
}
