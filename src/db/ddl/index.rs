//! `_index`: making, altering and dropping indexes.

use std::rc::Rc;

use crate::base::error::Result;
use crate::client_error;

use super::super::access;
use super::super::index::Index;
use super::super::index_definition::{IndexDefinition, has_same_parts};
use super::super::space::Space;
use super::super::user::{ObjectKind, privilege};
use super::Ddl;
use super::alter::{self, Plan};
use super::space::filter_temporary;
use crate::db::row::Row;

pub(super) fn on_replace(ddl: &Ddl<'_>) -> Result<()> {
    let row = Row::new(ddl.any().data());
    let (space_id, index_id) = (row.u32(0)?, row.u32(1)?);
    let space = ddl.db.schema().find(space_id)?;
    let definition = space.definition();
    filter_temporary(ddl, definition)?;
    if definition.options.is_view {
        return Err(client_error!(ER_ALTER_SPACE, space.name(), "can not add index on a view"));
    }
    let access = match (&ddl.old, &ddl.new) {
        (Some(_), Some(_)) => privilege::ALTER,
        (None, _) => privilege::CREATE,
        (_, None) => privilege::DROP,
    };
    let kind = ObjectKind::Space;
    access::check_ddl(ddl.db, space.name(), definition.owner, kind, Some(space_id), access)?;
    if index_id == 0 && ddl.new.is_none() {
        check_primary_drop(ddl, &space)?;
    }
    if index_id != 0 && space.primary().is_none() {
        let details = "can not add a secondary key before primary";
        return Err(client_error!(ER_ALTER_SPACE, space.name(), details));
    }
    let old_index = space.index(index_id).cloned();
    let plans = match &ddl.new {
        None => keep_others(&space, index_id, None)?,
        Some(row) => {
            let primary = space.primary().map(|primary| primary.definition().key_def.clone());
            let index = IndexDefinition::from_tuple(row, space.definition(), primary.as_deref())?;
            check_sequence(&space, &index)?;
            let rebuilt = changed_primary(&old_index, &index);
            let mut plans = keep_others(&space, index_id, rebuilt.then_some(&index))?;
            plans.push(plan(old_index, index));
            plans
        }
    };
    alter::alter(ddl, &space, space.definition().clone(), plans)
}

fn plan(old: Option<Rc<Index>>, new: IndexDefinition) -> Plan {
    match old {
        Some(old) if old.definition().is_same_order(&new) => Plan::Redefine(old, new),
        _ => Plan::Build(new),
    }
}

/// Whether the definition is of a primary index whose parts change.
fn changed_primary(old: &Option<Rc<Index>>, new: &IndexDefinition) -> bool {
    let same_parts = |old: &Rc<Index>| has_same_parts(&old.definition().key_def, &new.key_def);
    new.id == 0 && old.as_ref().is_some_and(|old| !same_parts(old))
}

/// Plans for the indexes that the row is not about. Over another primary key those that order
/// by it are built again.
fn keep_others(
    space: &Space,
    index_id: u32,
    new_primary: Option<&IndexDefinition>,
) -> Result<Vec<Plan>> {
    let others = space.indexes().iter().filter(|index| index.id() != index_id);
    let plans = others.map(|index| match new_primary {
        Some(primary) => {
            let definition = index.definition().with_primary(&primary.key_def);
            if definition.is_same_order(index.definition()) {
                Plan::Keep(index.clone())
            } else {
                Plan::Build(definition)
            }
        }
        None => Plan::Keep(index.clone()),
    });
    Ok(plans.collect())
}

fn check_primary_drop(ddl: &Ddl<'_>, space: &Rc<Space>) -> Result<()> {
    if !ddl.is_unchecked() && space.definition().is_system() {
        return Err(client_error!(ER_LAST_DROP, space.name()));
    }
    if space.indexes().len() > 1 {
        return Err(alter::refuse_primary_drop(space));
    }
    if space.sequence().is_some() {
        let details = "can not drop primary key while space sequence exists";
        return Err(client_error!(ER_ALTER_SPACE, space.name(), details));
    }
    ddl.db.check_not_referenced(space, false)?;
    // The tuples go with the primary index.
    let bytes = space.bsize();
    space.set_bsize(0);
    let space = space.clone();
    ddl.on_rollback(move |_| space.set_bsize(bytes));
    Ok(())
}

/// A primary index keeps the part that the space's sequence fills.
fn check_sequence(space: &Space, index: &IndexDefinition) -> Result<()> {
    if index.id != 0 {
        return Ok(());
    }
    match space.sequence() {
        Some(sequence) => check_sequence_part(space, index, sequence.field, &sequence.path),
        None => Ok(()),
    }
}

/// Whether a sequence can fill this field: an integer part of the index.
pub(super) fn check_sequence_part(
    space: &Space,
    index: &IndexDefinition,
    field: u32,
    path: &str,
) -> Result<()> {
    use crate::tuple::FieldType;
    let refuse =
        |details: &str| Err(client_error!(ER_MODIFY_INDEX, index.name, space.name(), details));
    let has_path = |part: &crate::tuple::Part| match &part.path {
        None => path.is_empty(),
        Some(own) => crate::tuple::Path::parse(path.as_bytes(), 1).is_ok_and(|other| *own == other),
    };
    let part = index.key_def.parts().iter().find(|part| part.field == field && has_path(part));
    let Some(part) = part else { return refuse("sequence field must be a part of the index") };
    if !matches!(part.kind, FieldType::Unsigned | FieldType::Integer) {
        return refuse("sequence cannot be used with a non-integer key");
    }
    Ok(())
}
