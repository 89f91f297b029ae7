//! Replay: applies the rows of log files.
//!
//! The log tells what has happened, so most of what a statement does is not done again. A row of a
//! data space goes straight into the primary index: no transaction, no statement kept, nothing
//! encoded. The tuple is checked against the format and keys for duplicates as ever. Rows of
//! system spaces, whose handlers make the schema, and of spaces with triggers are executed, and so
//! is everything behind them in their transaction.
//!
//! # Invariants
//! - A transaction is applied wholly or not at all. Without `force_recovery` an error ends the
//!   start, so only with it is kept what taking back needs.
//!
//! # Yields
//! as triggers do
//!
//! # Not here
//! Secondary indexes: they are built when all rows are in.

use std::rc::Rc;

use crate::base::error::{Error, Result, Type};
use crate::base::limits::REPLICA_COUNT_MAX;
use crate::tuple::Tuple;
use crate::wal::Reader;
use crate::wal::reader::Transaction;
use crate::xrow::iproto::kind;
use crate::xrow::{Request, Row, Vclock, tuple_alone};

use super::database::Database;
use super::index::Mode;
use super::recovery::Progress;
use super::session::BeginOptions;
use super::space::Space;
use super::space_definition::Engine;
use super::statistics::Operation;
use super::system_space;
use super::transaction::Place;

/// A change to take back: the space, what went and what came.
type Undo = (Rc<Space>, Option<Tuple>, Option<Tuple>);

/// Applies rows of log files in order.
pub(super) struct Replay<'d> {
    db: &'d Database,
    force_recovery: bool,
    /// The space of the row before this one, unless its rows must be executed.
    target: Option<Target>,
    /// Changes of the current transaction, kept with `force_recovery`.
    undo: Vec<Undo>,
    progress: Progress,
}

struct Target {
    space_id: u32,
    space: Rc<Space>,
    /// A sequence has to be moved.
    is_filled: bool,
}

impl<'d> Replay<'d> {
    pub fn new(db: &'d Database, force_recovery: bool) -> Replay<'d> {
        let progress = Progress::default();
        Replay { db, force_recovery, target: None, undo: Vec::new(), progress }
    }

    /// Applies the rows of a file that are after `vclock`, and moves it on.
    pub fn apply_file(&mut self, reader: &mut Reader, vclock: &mut Vclock) -> Result<()> {
        while let Some(transaction) = reader.next_transaction()? {
            let result = self.apply(&transaction, vclock);
            if let Err(error) = result {
                if !self.force_recovery {
                    return Err(error);
                }
                tracing::error!("can't apply transaction: {error}; skipped by force_recovery");
            }
            for header in transaction.headers() {
                let id = header.replica_id;
                if header.lsn > vclock.get(id) && id < REPLICA_COUNT_MAX {
                    vclock.set(id, header.lsn);
                }
            }
            self.progress.advance(transaction.count() as u64);
        }
        Ok(())
    }

    fn apply(&mut self, transaction: &Transaction<'_>, vclock: &Vclock) -> Result<()> {
        let last = transaction.headers().last();
        if last.is_some_and(|header| !header.is_commit()) {
            let message = "found a not finished transaction in the log";
            return Err(Error::new(Type::Xlog, message.to_owned()));
        }
        let result = self.apply_rows(transaction, vclock);
        if result.is_err() {
            while let Some((space, old, new)) = self.undo.pop() {
                space.undo(old.as_ref(), new.as_ref());
            }
        }
        self.undo.clear();
        result
    }

    fn apply_rows(&mut self, transaction: &Transaction<'_>, vclock: &Vclock) -> Result<()> {
        // Where the whole transaction stands.
        let mut place = Place::default();
        let mut after = *vclock;
        for header in transaction.headers() {
            let id = header.replica_id;
            if id < REPLICA_COUNT_MAX && header.lsn > after.get(id) {
                after.set(id, header.lsn);
                place.note(id, header.lsn);
            }
        }
        place.signature = after.signature();
        let mut is_begun = false;
        for row in transaction.rows() {
            let id = row.header.replica_id;
            if row.header.lsn <= vclock.get(id) {
                continue;
            }
            if id >= REPLICA_COUNT_MAX {
                let message = format!("invalid replica id {id} in the log");
                return Err(Error::new(Type::Xlog, message));
            }
            if !is_begun && self.apply_directly(&row)? {
                continue;
            }
            let (replica_id, lsn) = (id, row.header.lsn);
            if self.is_on_disk(&row)? && self.db.has_vinyl_row(replica_id, lsn) {
                continue;
            }
            self.db.set_recovery_place(place);
            if !is_begun && transaction.count() > 1 {
                // What it takes is not limited: it has committed once.
                let timeout = Some(std::time::Duration::MAX);
                self.db.begin(BeginOptions { timeout, ..BeginOptions::default() })?;
                is_begun = true;
            }
            self.target = None;
            let request = Request::decode(&row, false)?;
            if let Err(error) = self.db.execute(&request) {
                if is_begun {
                    self.db.rollback()?;
                }
                return Err(error);
            }
        }
        if is_begun { self.db.commit() } else { Ok(()) }
    }

    /// Whether the row is of a space that is not in memory.
    fn is_on_disk(&self, row: &Row<'_>) -> Result<bool> {
        let request = Request::decode(row, false)?;
        let space = self.db.schema().space(request.space_id);
        Ok(space.is_some_and(|space| space.definition().engine == Engine::Vinyl))
    }

    /// Applies a row of a data space; false: it must be executed.
    #[inline]
    fn apply_directly(&mut self, row: &Row<'_>) -> Result<bool> {
        let kind = row.header.request_type().unwrap_or(kind::NOP);
        match kind {
            kind::INSERT | kind::REPLACE => match tuple_alone(row.body) {
                Some((space_id, data)) => self.put(kind, space_id, data),
                None => self.change(&Request::decode(row, false)?),
            },
            kind::UPDATE | kind::DELETE | kind::UPSERT => {
                self.change(&Request::decode(row, false)?)
            }
            // Confirmations, elections and rows without effect.
            _ => Ok(true),
        }
    }

    #[inline]
    fn put(&mut self, kind: u16, space_id: u32, data: &[u8]) -> Result<bool> {
        self.aim_at(space_id)?;
        let Some(target) = &self.target else { return Ok(false) };
        if target.is_filled {
            let request = Request { tuple: Some(data), ..Request::new(kind, space_id) };
            return self.change(&request);
        }
        let new = Tuple::new(target.space.format(), data)?;
        let (mode, operation) = match kind {
            kind::INSERT => (Mode::Insert, Operation::Insert),
            _ => (Mode::ReplaceOrInsert, Operation::Replace),
        };
        self.db.statistics().count(operation);
        let old = target.space.change(None, Some(&new), mode)?;
        if self.force_recovery {
            self.undo.push((target.space.clone(), old, Some(new)));
        }
        Ok(true)
    }

    fn change(&mut self, request: &Request<'_>) -> Result<bool> {
        self.aim_at(request.space_id)?;
        let Some(target) = &self.target else { return Ok(false) };
        let space = target.space.clone();
        if let Some((old, new)) = self.db.change_directly(&space, request)?
            && self.force_recovery
        {
            self.undo.push((space, old, new));
        }
        Ok(true)
    }

    /// Makes the space the target, if its rows are applied directly.
    #[inline]
    fn aim_at(&mut self, space_id: u32) -> Result<()> {
        if self.target.as_ref().is_none_or(|known| known.space_id != space_id) {
            self.target = self.look_up(space_id)?;
        }
        Ok(())
    }

    fn look_up(&self, space_id: u32) -> Result<Option<Target>> {
        if system_space::is_system(space_id) {
            return Ok(None);
        }
        let space = self.db.schema().find(space_id)?;
        let triggers = space.triggers();
        let is_plain = space.definition().engine == Engine::Memtx
            && space.ddl().is_none()
            && triggers.before_replace.is_empty()
            && triggers.on_replace.is_empty();
        let is_filled = space.sequence().is_some();
        Ok(is_plain.then_some(Target { space_id, space, is_filled }))
    }
}
