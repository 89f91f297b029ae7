//! `_sequence`, `_sequence_data`, `_space_sequence`.

use std::rc::Rc;

use crate::base::error::{Error, Result};
use crate::base::error_code::{Code, ER_ALTER_SEQUENCE, ER_CREATE_SEQUENCE};
use crate::client_error;
use crate::tuple::Tuple;

use super::super::access;
use super::super::sequence::{Sequence, SequenceDefinition};
use super::super::space::{Space, SpaceSequence};
use super::super::system_space as id;
use super::super::user::{ObjectKind, privilege};
use super::index::check_sequence_part;
use super::{Ddl, has_grants, has_rows};
use crate::db::row::{Row, check_identifier, cut_name, is_name_too_long};

pub(super) fn on_replace(ddl: &Ddl<'_>) -> Result<()> {
    ddl.db.check_writable()?;
    let sequence_id = Row::new(ddl.any().data()).u32(0)?;
    match (&ddl.old, &ddl.new) {
        (None, Some(row)) => {
            let definition = read(row, &ER_CREATE_SEQUENCE)?;
            check_access(ddl, &definition, None, privilege::CREATE)?;
            ddl.db.sequences().insert(Rc::new(Sequence::new(definition)));
            ddl.on_rollback(move |db| {
                db.sequences().remove(sequence_id);
                db.host().sequence_changed(sequence_id);
            });
        }
        (Some(_), None) => drop_sequence(ddl, sequence_id)?,
        (Some(_), Some(row)) => {
            let definition = read(row, &ER_ALTER_SEQUENCE)?;
            let sequence = ddl.db.sequences().find(sequence_id)?;
            check_access(ddl, &sequence.definition(), Some(sequence_id), privilege::ALTER)?;
            let old = sequence.set_definition(Rc::new(definition));
            ddl.on_rollback(move |db| {
                sequence.set_definition(old);
                db.host().sequence_changed(sequence_id);
            });
        }
        (None, None) => {}
    }
    ddl.db.host().sequence_changed(sequence_id);
    Ok(())
}

fn drop_sequence(ddl: &Ddl<'_>, sequence_id: u32) -> Result<()> {
    let sequence = ddl.db.sequences().find(sequence_id)?;
    let definition = sequence.definition();
    check_access(ddl, &definition, Some(sequence_id), privilege::DROP)?;
    let refuse = |details: &str| Err(client_error!(ER_DROP_SEQUENCE, definition.name, details));
    if has_rows(ddl.db, id::SEQUENCE_DATA, 0, sequence_id) {
        return refuse("the sequence has data");
    }
    if has_rows(ddl.db, id::SPACE_SEQUENCE, 1, sequence_id) {
        return refuse("the sequence is in use");
    }
    if has_grants(ddl.db, "sequence", sequence_id) {
        return refuse("the sequence has grants");
    }
    ddl.db.sequences().remove(sequence_id);
    ddl.on_rollback(move |db| {
        db.sequences().insert(sequence);
        db.host().sequence_changed(sequence_id);
    });
    Ok(())
}

fn check_access(
    ddl: &Ddl<'_>,
    definition: &SequenceDefinition,
    id: Option<u32>,
    access: u32,
) -> Result<()> {
    let (name, owner) = (&definition.name, definition.owner);
    access::check_ddl(ddl.db, name, owner, ObjectKind::Sequence, id, access)
}

fn read(tuple: &Tuple, code: &'static Code) -> Result<SequenceDefinition> {
    let row = Row::new(tuple.data());
    let name = row.str(2)?;
    let refuse =
        |details: &str| Error::client(code, &[&cut_name(name), &details], file!(), line!());
    if is_name_too_long(name) {
        return Err(refuse("sequence name is too long"));
    }
    check_identifier(name)?;
    let definition = SequenceDefinition {
        id: row.u32(0)?,
        owner: row.u32(1)?,
        name: name.to_owned(),
        step: row.i64(3)?,
        min: row.i64(4)?,
        max: row.i64(5)?,
        start: row.i64(6)?,
        cache: row.i64(7)?,
        cycle: row.bool(8)?,
    };
    if definition.step == 0 {
        return Err(refuse("step option must be non-zero"));
    }
    if definition.min > definition.max {
        return Err(refuse("max must be greater than or equal to min"));
    }
    if definition.start < definition.min || definition.start > definition.max {
        return Err(refuse("start must be between min and max"));
    }
    Ok(definition)
}

pub(super) fn on_replace_data(ddl: &Ddl<'_>) -> Result<()> {
    let sequence_id = Row::new(ddl.any().data()).u32(0)?;
    let sequence = ddl.db.sequences().find(sequence_id)?;
    match &ddl.new {
        // As in Tarantool, a value taken in a transaction that is rolled back stays taken.
        Some(row) => sequence.set_value(Some(Row::new(row.data()).i64(1)?)),
        None => {
            let old = sequence.value();
            sequence.set_value(None);
            ddl.on_rollback(move |_| sequence.set_value(old));
        }
    }
    Ok(())
}

pub(super) fn on_replace_space_sequence(ddl: &Ddl<'_>) -> Result<()> {
    ddl.db.check_writable()?;
    let row = Row::new(ddl.any().data());
    let (space_id, sequence_id, is_generated) = (row.u32(0)?, row.u32(1)?, row.bool(2)?);
    let space = ddl.db.schema().find(space_id)?;
    if space.definition().is_temporary() {
        return Err(client_error!(ER_UNSUPPORTED, "temporary space", "sequences"));
    }
    let sequence = ddl.db.sequences().find(sequence_id)?;
    if ddl.new.is_some() && ddl.old.is_some() {
        return Err(client_error!(ER_UNSUPPORTED, "space \"_space_sequence\"", "update"));
    }
    check_attach_access(ddl, &space, &sequence, is_generated)?;
    if ddl.new.is_some() {
        let link = read_link(&space, &row, sequence.clone())?;
        if sequence.is_generated() {
            let details = "can not attach generated sequence";
            return Err(client_error!(ER_ALTER_SPACE, space.name(), details));
        }
        sequence.set_generated(is_generated);
        space.set_sequence(Some(link));
        ddl.on_rollback(move |db| {
            sequence.set_generated(false);
            space.set_sequence(None);
            db.host().space_changed(space_id);
        });
    } else {
        let old = space.sequence();
        sequence.set_generated(false);
        space.set_sequence(None);
        ddl.on_rollback(move |db| {
            sequence.set_generated(is_generated);
            space.set_sequence(old);
            db.host().space_changed(space_id);
        });
    }
    ddl.db.host().space_changed(space_id);
    Ok(())
}

fn check_attach_access(
    ddl: &Ddl<'_>,
    space: &Space,
    sequence: &Sequence,
    is_generated: bool,
) -> Result<()> {
    let definition = sequence.definition();
    let id = Some(definition.id);
    if is_generated || ddl.new.is_none() {
        let access = if ddl.new.is_some() { privilege::CREATE } else { privilege::DROP };
        check_access(ddl, &definition, id, access)?;
    } else {
        check_access(ddl, &definition, id, privilege::READ)?;
        check_access(ddl, &definition, id, privilege::WRITE)?;
    }
    let (owner, kind) = (space.definition().owner, ObjectKind::Space);
    access::check_ddl(ddl.db, space.name(), owner, kind, Some(space.id()), privilege::ALTER)
}

/// The field that the sequence fills: the one named, or the first of the primary key.
fn read_link(space: &Space, row: &Row<'_>, sequence: Rc<Sequence>) -> Result<SpaceSequence> {
    let primary = space.find_index(0)?.definition().clone();
    let (field, path) = if row.len() > 3 {
        (row.u32(3)?, row.str(4)?.to_owned())
    } else {
        let first = &primary.key_def.parts()[0];
        (first.field, first.path.as_ref().map(ToString::to_string).unwrap_or_default())
    };
    check_sequence_part(space, &primary, field, &path)?;
    Ok(SpaceSequence { sequence, field, path })
}
