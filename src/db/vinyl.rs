//! The engine vinyl in the database: opened when the first space needs it, told how transactions
//! end, asked for tuples.
//!
//! # Invariants
//! - A transaction is committed to vinyl after the log has it, in the order of the log.
//!
//! # Yields
//! `open_vinyl` unless told not to, `prepare_vinyl` while the quota is used up, reads as `vinyl::Reader` does

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::base::error::Result;
use crate::client_error;
use crate::fiber;
use crate::memtx::{IteratorType, Key};
use crate::tuple::{Format, KeyDef, Tuple};
use crate::vinyl::{self, Engine, Position, Range, Reader, key};
use crate::xrow::Vclock;

use super::context;
use super::database::{Database, Phase, loading_error};
use super::index_definition::IndexDefinition;
use super::options::WalMode;
use super::transaction::{Place, Transaction};

/// What the database keeps for the engine.
#[derive(Default)]
pub(crate) struct Slot {
    engine: RefCell<Option<Rc<Engine>>>,
    is_opening: Cell<bool>,
    opened: fiber::Cond,
    /// Transactions that wait for room.
    pub waiting: Cell<u64>,
    /// Where the row that recovery executes stands in the log.
    recovery: Cell<Place>,
    /// Where the transaction that is being decided stands in the log.
    deciding: Cell<Place>,
}

impl Database {
    /// The engine, if a space has needed it.
    #[inline]
    pub(crate) fn find_vinyl(&self) -> Option<Rc<Engine>> {
        self.vinyl.engine.borrow().clone()
    }

    /// The engine, which was opened when the first index was made.
    pub(crate) fn vinyl(&self) -> Result<Rc<Engine>> {
        self.find_vinyl().ok_or_else(loading_error)
    }

    /// The engine, opened if it is not. Yields, or has tx wait: that is once in the life of an instance
    /// whose first space on disk is made in the middle of a transaction.
    pub(crate) fn open_vinyl(&self, yields: bool) -> Result<Rc<Engine>> {
        while self.vinyl.is_opening.get() {
            if !yields {
                return Err(loading_error());
            }
            self.vinyl.opened.wait();
        }
        if let Some(engine) = self.find_vinyl() {
            return Ok(engine);
        }
        self.vinyl.is_opening.set(true);
        let options = self.options();
        let opened = Engine::open(&options.vinyl_options(), yields);
        self.vinyl.is_opening.set(false);
        self.vinyl.opened.broadcast();
        let engine = opened?;
        *self.vinyl.engine.borrow_mut() = Some(engine.clone());
        Ok(engine)
    }

    /// Lets go of the engine: everything that was submitted is applied.
    pub(crate) fn close_vinyl(&self) {
        let engine = self.vinyl.engine.borrow_mut().take();
        drop(engine);
    }

    /// Says where the row that recovery executes next stands.
    pub(crate) fn set_recovery_place(&self, place: Place) {
        self.vinyl.recovery.set(place);
    }

    /// Where the row that recovery executes stands.
    pub(crate) fn recovery_place(&self) -> Place {
        self.vinyl.recovery.get()
    }

    /// Where the transaction stands whose outcome is being followed.
    pub(crate) fn deciding(&self) -> Place {
        self.vinyl.deciding.get()
    }

    pub(crate) fn set_deciding(&self, place: Place) {
        self.vinyl.deciding.set(place);
    }

    /// Refuses changes when there is no log to recover them from.
    fn check_log(&self, what: &str) -> Result<()> {
        if self.phase() == Phase::Running && self.wal_mode() == WalMode::None {
            let details = format!("{what} if wal_mode = 'none'");
            return Err(client_error!(ER_UNSUPPORTED, "Vinyl", details));
        }
        Ok(())
    }

    /// An index on disk of this definition: a new tree, or while recovering the one that it had at
    /// this place of the log. Never yields.
    pub(crate) fn make_vinyl_index(&self, definition: &IndexDefinition) -> Result<vinyl::Index> {
        self.check_log("DDL")?;
        let engine = self.vinyl()?;
        let store = engine.store();
        let (space_id, id) = (definition.space_id, definition.id);
        let signature = self.recovery_place().signature;
        let found = match self.phase() {
            Phase::InitialRecovery => {
                self.check_vinyl_vclock(&engine, signature)?;
                let found = store.find(space_id, id, signature);
                if found.is_none() && !self.options().force_recovery {
                    let details = format!("LSM tree {space_id}/{id} not found");
                    return Err(client_error!(ER_INVALID_VYLOG_FILE, details));
                }
                found
            }
            Phase::FinalRecovery => store
                .find(space_id, id, signature)
                .filter(|found| found.created() == Some(signature)),
            _ => None,
        };
        let generation = match found {
            Some(found) => {
                found.set_options(&definition.vinyl);
                found
            }
            None => store.create(space_id, id, &definition.vinyl)?,
        };
        Ok(vinyl::Index::new(generation, definition.cmp_def.clone()))
    }

    /// Refuses to begin with a checkpoint of which the store has lost something: the log is not read
    /// from further back.
    fn check_vinyl_vclock(&self, engine: &Engine, signature: i64) -> Result<()> {
        let found = engine.store().vclock().signature();
        if found >= signature || self.options().force_recovery {
            return Ok(());
        }
        let dir = self.options().vinyl_options().dir;
        let details = format!(
            "{} is complete up to {found} only, the snapshot stands at {signature}: files are \
             damaged or missing",
            dir.display()
        );
        Err(client_error!(ER_INVALID_VYLOG_FILE, details))
    }

    /// Refuses a store that has more than the log, whose end was lost: what is written next would get the
    /// same places in the log, and recovery would pass it over.
    pub(super) fn check_vinyl_ahead(&self, log: &Vclock) -> Result<()> {
        let Some(engine) = self.find_vinyl() else { return Ok(()) };
        let vclock = engine.store().vclock();
        let Some((replica_id, lsn)) = vclock.iter().find(|&(id, lsn)| lsn > log.get(id)) else {
            return Ok(());
        };
        let dir = self.options().vinyl_options().dir;
        let details = format!(
            "{} has changes up to {replica_id}:{lsn}, the log ends at {replica_id}:{}: its end is lost",
            dir.display(),
            log.get(replica_id)
        );
        let error = client_error!(ER_INVALID_VYLOG_FILE, details);
        if !self.options().force_recovery {
            return Err(error);
        }
        tracing::error!("{error}; ignored by force_recovery");
        Ok(())
    }

    /// Deletes a tree that was not made in the end, by and by.
    pub(crate) fn abandon_tree(&self, tree: Arc<vinyl::Generation>) {
        let Some(engine) = self.find_vinyl() else { return };
        if !fiber::is_running() {
            return;
        }
        fiber::spawn("vinyl_abandon", move || {
            if let Err(error) = engine.store().abort(&tree) {
                tracing::error!("failed to delete a table: {error}");
            }
        })
        // What an end comes before, the next start deletes.
        .set_system();
    }

    /// Whether the store has the changes of this row of the log.
    pub(crate) fn has_vinyl_row(&self, replica_id: u32, lsn: i64) -> bool {
        self.find_vinyl().is_some_and(|engine| lsn <= engine.store().vclock().get(replica_id))
    }

    /// Makes a transaction's changes visible, before it is logged. Yields while there is no room for
    /// them.
    pub(super) fn prepare_vinyl(&self, transaction: &Rc<vinyl::Transaction>) -> Result<()> {
        let engine = self.vinyl()?;
        if transaction.has_changes() {
            self.check_log("DML")?;
            let waiting = &self.vinyl.waiting;
            waiting.set(waiting.get() + 1);
            let has_room = engine.store().wait_room(self.vinyl_timeout());
            waiting.set(waiting.get() - 1);
            has_room?;
        }
        engine.prepare(transaction)
    }

    /// The log has a transaction.
    pub(super) fn commit_vinyl(&self, transaction: &Transaction) {
        let Some(vinyl) = transaction.take_vinyl() else { return };
        let Some(engine) = self.find_vinyl() else { return };
        let Place { rows, .. } = transaction.place();
        let is_logged = rows.iter().any(|(_, lsn)| *lsn != 0);
        let position = if is_logged { Position::Rows(rows) } else { Position::None };
        engine.commit(&vinyl, position);
    }

    /// A transaction is taken back, or the log has lost it.
    pub(super) fn rollback_vinyl(&self, transaction: &Transaction) {
        if let (Some(vinyl), Some(engine)) = (transaction.take_vinyl(), self.find_vinyl()) {
            engine.rollback(&vinyl);
        }
    }

    /// Marks trees as dropped that recovery has found no index for: the rows that made them were
    /// lost with the end of the log.
    pub(super) fn drop_lost_trees(&self, signature: i64) {
        let Some(engine) = self.find_vinyl() else { return };
        let spaces = self.schema().spaces();
        let known: Vec<u64> = spaces
            .iter()
            .flat_map(|space| space.indexes())
            .filter_map(|index| index.vinyl())
            .map(|index| index.generation().number())
            .collect();
        for tree in engine.store().generations() {
            if tree.dropped().is_none() && !known.contains(&tree.number()) {
                engine.store().set_dropped(&tree, signature);
            }
        }
    }

    /// Deletes the files of indexes that no checkpoint knows. Yields.
    pub(super) fn collect_vinyl(&self, signature: i64) -> Result<()> {
        match self.find_vinyl() {
            Some(engine) => engine.store().collect_garbage(signature),
            None => Ok(()),
        }
    }

    /// Makes durable what stands in the log up to here. Yields.
    pub(super) fn persist_vinyl(&self, vclock: &Vclock) -> Result<()> {
        match self.find_vinyl() {
            Some(engine) => engine.store().persist(vclock),
            None => Ok(()),
        }
    }

    /// Who reads: the transaction of this fiber, or nobody.
    pub(super) fn vinyl_reader(&self) -> Result<Reader> {
        let context = context::current();
        match context.transaction().and_then(|transaction| transaction.vinyl()) {
            Some(transaction) => Ok(Reader::of(&transaction)),
            None => Ok(Reader::alone(&self.vinyl()?, context.batch.is_open())),
        }
    }
}

/// An index of a space on disk, with all that reading it takes.
pub(super) struct Source<'s> {
    pub index: &'s Rc<vinyl::Index>,
    /// `None` for the primary index itself.
    pub primary: Option<&'s Rc<vinyl::Index>>,
    pub format: &'static Format,
}

impl Source<'_> {
    /// The tuple with this key of all parts of a unique index. Yields.
    pub fn get(&self, reader: Reader, parts: &[u8], part_count: usize) -> Result<Option<Tuple>> {
        let def = self.index.def();
        let found = match self.primary {
            None => reader.get(self.index, &key::of_parts(def, parts, part_count))?,
            Some(_) => {
                let mut tuples = self.tuples(reader, Range::equal(def, parts, part_count), false);
                tuples.expect(1);
                tuples.next_tuple()?
            }
        };
        found.map(|data| Tuple::new(self.format, &data)).transpose()
    }

    /// Steps through a range.
    pub fn tuples(&self, reader: Reader, range: Range, is_reverse: bool) -> vinyl::Tuples {
        vinyl::Tuples::new(reader, self.index, self.primary, range, is_reverse)
    }

    /// Steps through what a request means.
    pub fn iterate(
        &self,
        reader: Reader,
        iterator: IteratorType,
        key: Option<Key<'_>>,
        after: Option<Key<'_>>,
    ) -> vinyl::Tuples {
        let def = self.index.def();
        let mut range = range_of(def, iterator, key);
        if let Some(after) = after {
            let after = key::of_parts(def, after.parts, after.part_count);
            let is_inside = range.contains(&after);
            range = match iterator.is_reverse() {
                true if is_inside => range.before(after),
                false if is_inside => range.after(after),
                _ => range,
            };
        }
        self.tuples(reader, range, iterator.is_reverse())
    }
}

/// The keys that a request means.
fn range_of(def: &KeyDef, iterator: IteratorType, key: Option<Key<'_>>) -> Range {
    let Some(Key { parts, part_count }) = key else { return Range::ALL };
    match iterator {
        IteratorType::Eq | IteratorType::Req => Range::equal(def, parts, part_count),
        IteratorType::Ge | IteratorType::All => Range::at_least(def, parts, part_count),
        IteratorType::Gt => Range::above(def, parts, part_count),
        IteratorType::Le => Range::at_most(def, parts, part_count),
        IteratorType::Lt => Range::below(def, parts, part_count),
        _ => unreachable!("only other kinds of indexes know these"),
    }
}

/// A walk over the tuples of an index on disk.
pub(crate) struct DiskSteps {
    pub(super) tuples: vinyl::Tuples,
    pub(super) format: &'static Format,
    pub(super) skip: u64,
}

impl DiskSteps {
    /// The next tuple. Yields.
    pub fn next_tuple(&mut self) -> Result<Option<Tuple>> {
        while self.skip > 0 {
            self.skip -= 1;
            if self.tuples.next_tuple()?.is_none() {
                return Ok(None);
            }
        }
        let found = self.tuples.next_tuple()?;
        found.map(|data| Tuple::new(self.format, &data)).transpose()
    }
}
