//! `_space`: making, altering and dropping spaces.

use std::rc::Rc;

use crate::base::error::Result;
use crate::base::error_code::{ER_ALTER_SPACE, ER_CREATE_SPACE};
use crate::client_error;
use crate::fiber;

use super::super::access;
use super::super::space::Space;
use super::super::space_definition::{Engine, SpaceDefinition};
use super::super::system_space as id;
use super::super::user::{ObjectKind, privilege};
use super::alter::{self, Plan};
use super::{Ddl, has_grants, has_rows};
use crate::db::row::Row;

pub(super) fn on_replace(ddl: &Ddl<'_>) -> Result<()> {
    let space_id = Row::new(ddl.any().data()).u32(0)?;
    let old_space = ddl.db.schema().space(space_id);
    let code = if ddl.old.is_none() { &ER_CREATE_SPACE } else { &ER_ALTER_SPACE };
    let definition =
        ddl.new.as_ref().map(|new| SpaceDefinition::from_tuple(new, code)).transpose()?;
    match (old_space, definition) {
        (None, Some(definition)) => create(ddl, definition),
        (Some(old), None) => drop_space(ddl, &old),
        (Some(old), Some(definition)) => modify(ddl, &old, definition),
        (None, None) => Ok(()),
    }
}

/// A temporary space leaves no trace in the log; everything else needs a writable instance.
pub(super) fn filter_temporary(ddl: &Ddl<'_>, definition: &SpaceDefinition) -> Result<()> {
    if definition.is_temporary() {
        ddl.mark_temporary();
        return Ok(());
    }
    ddl.db.check_writable()
}

fn create(ddl: &Ddl<'_>, definition: SpaceDefinition) -> Result<()> {
    filter_temporary(ddl, &definition)?;
    let (name, owner) = (definition.name.clone(), definition.owner);
    access::check_ddl(ddl.db, &name, owner, ObjectKind::Space, None, privilege::CREATE)?;
    if definition.engine == Engine::Vinyl {
        open_vinyl(ddl)?;
    }
    let space = Rc::new(Space::new(Rc::new(definition), Vec::new(), None)?);
    ddl.db.verify_constraints(&space)?;
    ddl.db.verify_defaults(&space)?;
    alter::publish(ddl, None, Some(&space));
    Ok(())
}

/// Has the engine open. Yields if that is to be done, and the statement is the first one: then nobody
/// sees of it but the row.
fn open_vinyl(ddl: &Ddl<'_>) -> Result<()> {
    if ddl.db.find_vinyl().is_some() {
        return Ok(());
    }
    let yields = ddl.transaction.is_first_statement() && fiber::in_fiber();
    ddl.transaction.set_surviving_yields(yields);
    let opened = ddl.db.open_vinyl(yields);
    ddl.transaction.set_surviving_yields(false);
    opened?;
    ddl.transaction.check(ddl.db)
}

fn drop_space(ddl: &Ddl<'_>, old: &Rc<Space>) -> Result<()> {
    let definition = old.definition();
    filter_temporary(ddl, definition)?;
    let (name, owner, space_id) = (old.name(), definition.owner, old.id());
    let kind = ObjectKind::Space;
    access::check_ddl(ddl.db, name, owner, kind, Some(space_id), privilege::DROP)?;
    let refuse = |details: &str| Err(client_error!(ER_DROP_SPACE, name, details));
    if !old.indexes().is_empty() {
        return refuse("the space has indexes");
    }
    if has_grants(ddl.db, "space", space_id) {
        return refuse("the space has grants");
    }
    if has_rows(ddl.db, id::TRUNCATE, 0, space_id) {
        return refuse("the space has truncate record");
    }
    if !ddl.is_unchecked() && definition.is_system() {
        return refuse("the space is a system space");
    }
    ddl.db.check_not_referenced(old, true)?;
    alter::publish(ddl, Some(old), None);
    Ok(())
}

fn modify(ddl: &Ddl<'_>, old: &Rc<Space>, new: SpaceDefinition) -> Result<()> {
    let known = old.definition();
    filter_temporary(ddl, known)?;
    let refuse = |details: &str| Err(client_error!(ER_ALTER_SPACE, old.name(), details));
    if known.options.is_view {
        return refuse("view can not be altered");
    }
    let kind = ObjectKind::Space;
    access::check_ddl(ddl.db, &new.name, new.owner, kind, Some(old.id()), privilege::ALTER)?;
    if new.id != old.id() {
        return refuse("space id is immutable");
    }
    if new.engine != known.engine {
        return refuse("can not change space engine");
    }
    if new.options.group_id != known.options.group_id {
        return refuse("replication group is immutable");
    }
    if new.is_temporary() != known.is_temporary() {
        return refuse("temporariness cannot change");
    }
    if new.options.is_view != known.options.is_view {
        return refuse("can not convert a space to a view and vice versa");
    }
    let is_same_persistence = new.is_data_temporary() == known.is_data_temporary();
    if !is_same_persistence && !old.is_empty() {
        return refuse("can not switch temporary flag on a non-empty space");
    }
    let plans = old.indexes().iter().cloned().map(Plan::Keep).collect();
    alter::alter(ddl, old, Rc::new(new), plans)
}
