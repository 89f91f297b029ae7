//! Alters a large space while others use it: checks its tuples against a new format and fills new
//! indexes a few at a time, and lets other fibers run in between.
//!
//! Meanwhile every change of the space, and every change that is taken back, is made in the new
//! indexes as well, so that these hold some of the space's tuples, each as it is now. Reading all
//! tuples once adds what is missing; those that are there already are passed over. It needs no
//! order, so a hash primary index serves as well.
//!
//! # Invariants
//! - A concurrent change never fails because of the alteration: the alteration does.
//! - One alteration of a space at a time; no checkpoint sees the row of one under way.
//! - Only the first statement of a transaction yields: there is nothing else that others could
//!   see before it has committed.
//!
//! # Yields
//! `run`

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::base::limits::{DDL_ROWS_AT_ONCE, DDL_ROWS_PER_STEP};
use crate::client_error;
use crate::fiber;
use crate::tuple::Tuple;

use super::super::index::{Index, Mode, ReplaceError};
use super::super::space::{Observer, Space};
use super::super::system_space;
use super::Ddl;
use crate::db::database::{Database, Phase};

/// The right to alter a space.
pub(super) struct Lock<'d> {
    db: &'d Database,
    space: Rc<Space>,
}

impl<'d> Lock<'d> {
    /// Refuses when somebody else has it.
    pub fn take(db: &'d Database, space: &Rc<Space>) -> Result<Lock<'d>> {
        if space.set_altered(true) {
            let details = "the space is already being modified";
            return Err(client_error!(ER_ALTER_SPACE, space.name(), details));
        }
        db.alteration_begun();
        Ok(Lock { db, space: space.clone() })
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        self.space.set_altered(false);
        self.db.alteration_ended();
    }
}

/// Whether altering the space may yield, and is worth it.
pub(super) fn is_possible(ddl: &Ddl<'_>, old: &Space) -> bool {
    old.len() > DDL_ROWS_AT_ONCE
        && ddl.db.phase() == Phase::Running
        && fiber::in_fiber()
        && ddl.transaction.is_first_statement()
        && !system_space::is_system(old.id())
}

/// Checks the tuples against the format of the new version, if asked to, and fills its new
/// indexes. Yields.
pub(super) fn run(
    ddl: &Ddl<'_>,
    old: &Rc<Space>,
    new: &Rc<Space>,
    to_build: &[Rc<Index>],
    checks_format: bool,
) -> Result<()> {
    let Some(primary) = old.primary() else { return Ok(()) };
    let failure = RefCell::new(None);
    let watch =
        Rc::new(Watch { new: new.clone(), indexes: to_build.to_vec(), checks_format, failure });
    old.set_observer(Some(watch.clone()));
    ddl.transaction.set_surviving_yields(true);
    let result = watch.read_all(ddl, old, primary);
    ddl.transaction.set_surviving_yields(false);
    old.set_observer(None);
    result
}

/// Others have run: whether there is still something to go on with. `failure` is why a change could
/// not be followed.
pub(super) fn look_around(
    ddl: &Ddl<'_>,
    old: &Rc<Space>,
    failure: &RefCell<Option<Error>>,
) -> Result<()> {
    ddl.transaction.check(ddl.db)?;
    if let Some(error) = failure.take() {
        return Err(error);
    }
    let current = ddl.db.schema().space(old.id());
    if current.is_none_or(|current| !Rc::ptr_eq(&current, old)) {
        // The version was made by a transaction that the log has lost.
        return Err(client_error!(ER_CASCADE_ROLLBACK));
    }
    Ok(())
}

/// Follows the changes of the space.
struct Watch {
    new: Rc<Space>,
    indexes: Vec<Rc<Index>>,
    checks_format: bool,
    /// Why a change could not be followed.
    failure: RefCell<Option<Error>>,
}

impl Watch {
    fn read_all(&self, ddl: &Ddl<'_>, old: &Rc<Space>, primary: &Index) -> Result<()> {
        let mut steps = old.iterate_all(primary)?;
        let mut count = 0u64;
        while let Some(tuple) = steps.next_tuple()? {
            self.check(&tuple)?;
            for index in &self.indexes {
                match index.replace(None, Some(&tuple), Mode::Insert) {
                    // A change that was followed has brought it already.
                    Err(ReplaceError::Duplicate(known)) if known.as_ptr() == tuple.as_ptr() => {}
                    result => self.explain(index, &tuple, result)?,
                }
            }
            count += 1;
            if count.is_multiple_of(DDL_ROWS_PER_STEP) {
                drop(tuple);
                fiber::sleep(Duration::ZERO)?;
                look_around(ddl, old, &self.failure)?;
            }
        }
        Ok(())
    }

    fn check(&self, tuple: &Tuple) -> Result<()> {
        if !self.checks_format {
            return Ok(());
        }
        self.new.format().validate(tuple.data())?;
        Database::current().check_constraints(&self.new, tuple)
    }

    fn explain(
        &self,
        index: &Index,
        tuple: &Tuple,
        result: Result<Option<Tuple>, ReplaceError>,
    ) -> Result<()> {
        match result {
            Ok(_) => Ok(()),
            Err(ReplaceError::Duplicate(found)) => {
                Err(self.new.duplicate(index, &found, tuple.data()))
            }
            Err(ReplaceError::Other(error)) => Err(error),
            Err(ReplaceError::PrimaryKeyChange) => {
                Err(client_error!(ER_CANT_UPDATE_PRIMARY_KEY, self.new.name()))
            }
        }
    }

    fn follow(&self, old: Option<&Tuple>, new: Option<&Tuple>) -> Result<()> {
        if let Some(new) = new {
            self.check(new)?;
        }
        for index in &self.indexes {
            // What was not read yet is not there, but something with the same key may be.
            let known = old.filter(|old| index.memtx().is_some_and(|store| store.holds(old)));
            let result = index.replace(known, new, Mode::Insert);
            if let Some(tuple) = new.or(old) {
                self.explain(index, tuple, result)?;
            }
        }
        Ok(())
    }
}

impl Observer for Watch {
    fn failed(&self, error: Error) {
        self.failure.borrow_mut().get_or_insert(error);
    }

    fn changed(&self, old: Option<&Tuple>, new: Option<&Tuple>) {
        if self.failure.borrow().is_none()
            && let Err(error) = self.follow(old, new)
        {
            *self.failure.borrow_mut() = Some(error);
        }
    }
}
