//! Makes the next version of a space: keeps, redefines or builds each of its indexes, checks the
//! data against the new format, and puts the version into the schema.
//!
//! # Invariants
//! - The old version and its indexes are untouched, so that rolling back is putting it back.
//!
//! # Yields
//! `alter`, for a large space: see `background`

use std::rc::Rc;

use crate::base::error::Result;
use crate::client_error;
use crate::fiber;

use super::super::index::{BuildError, Index};
use super::super::index_definition::IndexDefinition;
use super::super::space::Space;
use super::super::space_definition::{Engine, SpaceDefinition};
use super::super::system_space;
use super::Ddl;
use super::background::{self, Lock};
use super::disk;
use crate::db::database::Phase;

/// What becomes of an index.
pub(super) enum Plan {
    /// It stays.
    Keep(Rc<Index>),
    /// It stays under another name or options.
    Redefine(Rc<Index>, IndexDefinition),
    /// It is made, and filled from the primary index.
    Build(IndexDefinition),
}

/// Makes the next version of `old` with this definition and these indexes.
pub(super) fn alter(
    ddl: &Ddl<'_>,
    old: &Rc<Space>,
    definition: Rc<SpaceDefinition>,
    plans: Vec<Plan>,
) -> Result<()> {
    let _lock = Lock::take(ddl.db, old)?;
    let mut indexes = Vec::with_capacity(plans.len());
    let mut to_build = Vec::new();
    for plan in plans {
        indexes.push(match plan {
            Plan::Keep(index) => index,
            Plan::Redefine(index, definition) => {
                if let Some(generation) = index.vinyl().map(|index| index.generation().clone()) {
                    let options = definition.vinyl.clone();
                    ddl.on_commit(move |_| generation.set_options(&options));
                }
                Rc::new(index.redefined(definition))
            }
            Plan::Build(index_definition) => {
                let index = Rc::new(Index::new(&definition, index_definition)?);
                to_build.push(index.clone());
                index
            }
        });
    }
    let result = prepare(ddl, old, definition, indexes, &to_build);
    match &result {
        Ok(new) => publish(ddl, Some(old), Some(new)),
        Err(_) => disk::abandon(ddl.db, &to_build),
    }
    result.map(drop)
}

/// The next version of `old`, with its data checked and in the new indexes. Yields as [`alter`].
fn prepare(
    ddl: &Ddl<'_>,
    old: &Rc<Space>,
    definition: Rc<SpaceDefinition>,
    indexes: Vec<Rc<Index>>,
    to_build: &[Rc<Index>],
) -> Result<Rc<Space>> {
    let new = Rc::new(Space::new(definition, indexes, Some(old))?);
    ddl.db.verify_constraints(&new)?;
    ddl.db.verify_defaults(&new)?;
    let checks_format = !is_same_format(old, &new);
    if new.definition().engine == Engine::Vinyl {
        disk::alter(ddl, old, &new, to_build, checks_format)?;
    } else if background::is_possible(ddl, old) && (checks_format || !to_build.is_empty()) {
        background::run(ddl, old, &new, to_build, checks_format)?;
    } else {
        if checks_format {
            check_format(ddl, old, &new)?;
        }
        for index in to_build {
            build(ddl, old, &new, index)?;
        }
    }
    Ok(new)
}

/// Whether every tuple of the old version is valid in the new one.
fn is_same_format(old: &Space, new: &Space) -> bool {
    let is_same =
        std::ptr::eq(old.format(), new.format()) || new.format().can_store_tuples_of(old.format());
    let constraints = new.constraints();
    is_same && constraints.is_none_or(|constraints| constraints.is_implied_by(old.constraints()))
}

/// Checks the tuples against the format they will live in.
fn check_format(ddl: &Ddl<'_>, old: &Space, new: &Space) -> Result<()> {
    let Some(primary) = old.primary() else { return Ok(()) };
    let mut iterator = old.iterate_all(primary)?;
    while let Some(tuple) = iterator.next_tuple()? {
        new.format().validate(tuple.data())?;
        ddl.db.check_constraints(new, &tuple)?;
    }
    Ok(())
}

/// Fills a new index from the old version's primary.
fn build(ddl: &Ddl<'_>, old: &Rc<Space>, new: &Space, index: &Rc<Index>) -> Result<()> {
    let is_deferred =
        ddl.db.phase() == Phase::InitialRecovery || ddl.db.phase() == Phase::FinalRecovery;
    if is_deferred && index.id() != 0 && !system_space::is_system(new.id()) {
        // Recovery builds the secondary indexes at its end, from sorted runs.
        index.set_built(false);
        return Ok(());
    }
    match old.primary() {
        Some(source) if !source.is_empty() => fill(new, index, source),
        _ => Ok(()),
    }
}

/// Fills an empty index of the space with the tuples of another.
pub(in crate::db) fn fill(space: &Space, index: &Index, source: &Index) -> Result<()> {
    index.fill_from(source).map_err(|error| match error {
        BuildError::Duplicate(old, new) => space.duplicate(index, &old, new.data()),
        BuildError::Other(error) => error,
    })
}

/// Puts a version of a space in the place of another, until rolled back.
pub(super) fn publish(ddl: &Ddl<'_>, old: Option<&Rc<Space>>, new: Option<&Rc<Space>>) {
    disk::follow(ddl, old, new);
    let schema = ddl.db.schema();
    schema.replace(old, new);
    schema.bump_version();
    let space_id = new.or(old).map_or(0, |space| space.id());
    let (old, new) = (old.cloned(), new.cloned());
    ddl.on_rollback(move |db| {
        db.schema().replace(new.as_ref(), old.as_ref());
        db.schema().bump_version();
        db.host().space_changed(space_id);
        db.host().status_changed();
    });
    // The structures of indexes that are gone are freed by and by.
    ddl.on_commit(|db| {
        if db.phase() == Phase::Running && fiber::in_fiber() {
            db.start_reclaiming();
        }
    });
    ddl.db.host().space_changed(space_id);
    ddl.db.host().status_changed();
}

/// Empties a space by giving it new, empty indexes.
pub(super) fn truncate(ddl: &Ddl<'_>, old: &Rc<Space>) -> Result<()> {
    ddl.db.check_not_referenced(old, false)?;
    let _lock = Lock::take(ddl.db, old)?;
    let mut indexes = Vec::with_capacity(old.indexes().len());
    for index in old.indexes() {
        let definition = IndexDefinition::clone(index.definition());
        let fresh = Index::new(old.definition(), definition)?;
        fresh.set_built(index.is_built());
        indexes.push(Rc::new(fresh));
    }
    let new = Rc::new(Space::new(old.definition().clone(), indexes, Some(old))?);
    let bytes = old.bsize();
    new.set_bsize(0);
    ddl.on_rollback({
        let old = old.clone();
        move |_| old.set_bsize(bytes)
    });
    publish(ddl, Some(old), Some(&new));
    Ok(())
}

/// `ER_DROP_PRIMARY_KEY`: secondary indexes cannot live without it.
pub(super) fn refuse_primary_drop(space: &Space) -> crate::base::Error {
    client_error!(ER_DROP_PRIMARY_KEY, space.name())
}
