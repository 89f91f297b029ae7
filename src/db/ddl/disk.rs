//! Alters a space on disk: checks its tuples against a new format and fills new indexes, a few rows
//! at a time, while others read and write.
//!
//! Transactions that have changed the space are aborted, and those that wait for the log are waited
//! for. From then on every change goes to the new indexes too. So reading once what the log has brings
//! everything that is missing. What is read may be changed meanwhile: then the new index gets a row
//! that is stale, which readers pass over. Uniqueness is looked at when all rows are there.
//!
//! An index that surely has no rows is altered at once, also in the middle of a transaction.
//!
//! # Invariants
//! - A concurrent change never fails because of the alteration: the alteration does.
//! - Rows of the new indexes are in the store before the new version of the space is published.
//!
//! # Yields
//! `alter` of a space with rows

use std::cell::RefCell;
use std::ops::Bound;
use std::rc::Rc;

use crate::base::error::{Error, Result};
use crate::base::limits::DDL_ROWS_PER_STEP;
use crate::client_error;
use crate::tuple::Tuple;
use crate::vinyl::{self, Bytes, Change, Position, Range, Reader, Write, key};

use super::super::index::Index;
use super::super::space::{Observer, Space};
use super::super::space_definition::Engine;
use super::Ddl;
use super::background::look_around;
use crate::db::database::{Database, Phase};

/// Checks the tuples of the old version and fills indexes of the new one. Yields.
pub(super) fn alter(
    ddl: &Ddl<'_>,
    old: &Rc<Space>,
    new: &Rc<Space>,
    to_build: &[Rc<Index>],
    checks_format: bool,
) -> Result<()> {
    let Some(primary) = old.primary() else { return Ok(()) };
    let Some(source) = primary.vinyl() else { return Ok(()) };
    // What recovery found with its rows needs none.
    let is_empty =
        |index: &Rc<Index>| index.vinyl().is_some_and(|it| it.generation().created().is_none());
    let to_build: Vec<_> = to_build.iter().filter(|index| is_empty(index)).cloned().collect();
    let is_running = ddl.db.phase() == Phase::Running;
    if to_build.is_empty() && !(checks_format && is_running) {
        return Ok(());
    }
    let watch = Rc::new(Watch {
        new: new.clone(),
        checks_format: checks_format && is_running,
        failure: RefCell::new(None),
    });
    if !is_running {
        return watch.build(ddl, old, source, &to_build);
    }
    old.set_building(to_build.iter().filter(|index| index.id() != 0).cloned().collect());
    old.set_observer(Some(watch.clone()));
    let result = watch.run(ddl, old, source, &to_build);
    old.set_observer(None);
    old.set_building(Vec::new());
    ddl.transaction.set_surviving_yields(false);
    result.and_then(|()| ddl.transaction.check(ddl.db))
}

/// Has the trees of indexes deleted that were not made in the end.
pub(super) fn abandon(db: &Database, indexes: &[Rc<Index>]) {
    let trees = indexes.iter().filter_map(|index| index.vinyl());
    for tree in trees.map(|index| index.generation()).filter(|tree| tree.created().is_none()) {
        db.abandon_tree(tree.clone());
    }
}

/// Takes the transactions away that have changed the space's indexes and are not prepared.
pub(super) fn abort_writers(db: &Database, space: &Space) {
    let Some(engine) = db.find_vinyl() else { return };
    engine.abort_writers(&|transaction| {
        let mut indexes = space.indexes().iter().filter_map(|index| index.vinyl());
        indexes.any(|index| transaction.has_changed(index))
    });
}

/// Has the fate of trees follow that of the row: those that only the new version has are made, those
/// that only the old one has are dropped.
pub(super) fn follow(ddl: &Ddl<'_>, old: Option<&Rc<Space>>, new: Option<&Rc<Space>>) {
    let any = new.or(old);
    if any.is_none_or(|space| space.definition().engine != Engine::Vinyl) {
        return;
    }
    if let Some(old) = old {
        abort_writers(ddl.db, old);
    }
    let trees = |space: Option<&Rc<Space>>| {
        let indexes = space.map(|space| space.indexes().to_vec()).unwrap_or_default();
        let trees = indexes.iter().filter_map(|index| index.vinyl());
        trees.map(|index| index.generation().clone()).collect::<Vec<_>>()
    };
    let (before, after) = (trees(old), trees(new));
    let only = |of: &[std::sync::Arc<vinyl::Generation>], other: &[_]| -> Vec<_> {
        let is_in = |tree: &std::sync::Arc<vinyl::Generation>| {
            other
                .iter()
                .any(|known: &std::sync::Arc<vinyl::Generation>| known.number() == tree.number())
        };
        of.iter().filter(|tree| !is_in(tree)).cloned().collect()
    };
    let (made, dropped) = (only(&after, &before), only(&before, &after));
    ddl.on_rollback({
        let made = made.clone();
        move |db| {
            let made = made.into_iter().filter(|tree| tree.created().is_none());
            made.for_each(|tree| db.abandon_tree(tree));
        }
    });
    ddl.on_commit(move |db| {
        let Some(engine) = db.find_vinyl() else { return };
        let signature = db.deciding().signature;
        for tree in made.iter().filter(|tree| tree.created().is_none()) {
            engine.store().set_created(tree, signature);
        }
        for tree in dropped.iter().filter(|tree| tree.dropped().is_none()) {
            engine.store().set_dropped(tree, signature);
        }
    });
}

/// Follows the changes of the space.
struct Watch {
    new: Rc<Space>,
    checks_format: bool,
    /// Why a change could not be followed.
    failure: RefCell<Option<Error>>,
}

impl Watch {
    fn run(
        &self,
        ddl: &Ddl<'_>,
        old: &Rc<Space>,
        source: &Rc<vinyl::Index>,
        to_build: &[Rc<Index>],
    ) -> Result<()> {
        abort_writers(ddl.db, old);
        if source.is_empty() {
            return Ok(());
        }
        if !ddl.transaction.is_first_statement() {
            let operation = if to_build.is_empty() { "space format check" } else { "index build" };
            return Err(client_error!(ER_MULTISTATEMENT_TRANSACTION, operation));
        }
        ddl.transaction.set_surviving_yields(true);
        let upto = ddl.db.commits().last_position();
        while ddl.db.commits().is_pending(upto) {
            ddl.db.commits().wait_for_decision();
        }
        let reader = Reader::alone(&ddl.db.vinyl()?, false);
        let is_empty = reader.scan(source, Range::ALL, false).next_row()?.is_none();
        if !is_empty && to_build.iter().any(|index| index.id() == 0) {
            let feature = "rebuilding the primary index of a non-empty space";
            return Err(client_error!(ER_UNSUPPORTED, "Vinyl", feature));
        }
        if !is_empty {
            self.build(ddl, old, source, to_build)?;
        }
        look_around(ddl, old, &self.failure)
    }

    fn build(
        &self,
        ddl: &Ddl<'_>,
        old: &Rc<Space>,
        source: &Rc<vinyl::Index>,
        to_build: &[Rc<Index>],
    ) -> Result<()> {
        let engine = ddl.db.vinyl()?;
        let mut range = Range::ALL;
        let mut last_submitted = 0;
        loop {
            let mut rows = Reader::alone(&engine, false).scan(source, range.clone(), false);
            let mut writes = Vec::new();
            let mut last = None;
            for _ in 0..DDL_ROWS_PER_STEP {
                let Some((primary_key, row)) = rows.next_row()? else { break };
                let tuple = Tuple::new(old.format(), &row)?;
                self.check(&tuple)?;
                for index in to_build {
                    if let Some(write) = row_of(index, &primary_key, &tuple) {
                        key::check_size(&write.key)?;
                        writes.push(write);
                    }
                }
                last = Some(primary_key);
            }
            let Some(last) = last else { break };
            range = Range { start: Bound::Excluded(last), end: Bound::Unbounded };
            if !writes.is_empty() {
                engine.store().wait_room(ddl.db.vinyl_timeout())?;
                last_submitted = engine.store().submit(Position::None, writes);
            }
            if ddl.db.phase() == Phase::Running {
                crate::fiber::test_cancel()?;
                look_around(ddl, old, &self.failure)?;
            }
        }
        engine.store().wait_applied(last_submitted)?;
        for index in to_build.iter().filter(|index| index.definition().is_unique) {
            self.check_unique(ddl, old, source, index)?;
        }
        Ok(())
    }

    /// Refuses an index that two tuples have the same key in.
    fn check_unique(
        &self,
        ddl: &Ddl<'_>,
        old: &Rc<Space>,
        source: &Rc<vinyl::Index>,
        index: &Rc<Index>,
    ) -> Result<()> {
        let Some(structure) = index.vinyl() else { return Ok(()) };
        let key_def = &index.definition().key_def;
        let reader = Reader::alone(&ddl.db.vinyl()?, false);
        let mut tuples = vinyl::Tuples::new(reader, structure, Some(source), Range::ALL, false);
        let mut before: Option<Tuple> = None;
        while let Some(data) = tuples.next_tuple()? {
            let tuple = Tuple::new(self.new.format(), &data)?;
            if let Some(before) = &before
                && !key_def.has_nil(&tuple)
                && key_def.compare(before, &tuple).is_eq()
            {
                return Err(self.new.duplicate(index, before, tuple.data()));
            }
            before = Some(tuple);
            if ddl.db.phase() == Phase::Running {
                look_around(ddl, old, &self.failure)?;
            }
        }
        Ok(())
    }

    fn check(&self, tuple: &Tuple) -> Result<()> {
        // Fields of the new indexes are looked at in any case.
        self.new.format().validate(tuple.data())?;
        if !self.checks_format {
            return Ok(());
        }
        Database::current().check_constraints(&self.new, tuple)
    }
}

/// The row that a tuple has in an index that is not the primary one.
fn row_of(index: &Index, primary_key: &Bytes, tuple: &Tuple) -> Option<Write> {
    let structure = index.vinyl()?;
    if index.definition().key_def.is_excluded(tuple) {
        return None;
    }
    Some(Write {
        generation: structure.generation().clone(),
        key: key::of_tuple(structure.def(), tuple),
        change: Change::Put(primary_key.clone()),
    })
}

impl Observer for Watch {
    fn changed(&self, _: Option<&Tuple>, new: Option<&Tuple>) {
        if let Some(new) = new
            && let Err(error) = self.check(new)
        {
            self.failed(error);
        }
    }

    fn failed(&self, error: Error) {
        self.failure.borrow_mut().get_or_insert(error);
    }
}
