//! `_func`: making and dropping functions.

use std::rc::Rc;

use crate::base::error::Result;
use crate::client_error;

use super::super::access;
use super::super::function::FunctionDefinition;
use super::super::space::Space;
use super::super::system_space as id;
use super::super::user::{ObjectKind, privilege};
use super::{Ddl, has_grants, has_rows};
use crate::db::row::Row;

pub(super) fn on_replace(ddl: &Ddl<'_>) -> Result<()> {
    let function_id = Row::new(ddl.any().data()).u32(0)?;
    let functions = ddl.db.functions();
    ddl.db.check_writable()?;
    match (functions.get(function_id), &ddl.new) {
        (None, Some(row)) => {
            let definition = FunctionDefinition::from_tuple(row, ddl.is_unchecked())?;
            let (name, owner) = (definition.name.clone(), definition.owner);
            let kind = ObjectKind::Function;
            access::check_ddl(ddl.db, &name, owner, kind, None, privilege::CREATE)?;
            functions.insert(definition);
            ddl.on_rollback(move |db| {
                db.functions().remove(function_id);
                db.host().function_changed(function_id);
            });
        }
        (Some(old), None) => {
            let kind = ObjectKind::Function;
            let (name, owner) = (&old.name, old.owner);
            access::check_ddl(ddl.db, name, owner, kind, Some(function_id), privilege::DROP)?;
            let refuse = |details: &str| Err(client_error!(ER_DROP_FUNCTION, function_id, details));
            if has_grants(ddl.db, "function", function_id) {
                return refuse("function has grants");
            }
            if has_rows(ddl.db, id::FUNC_INDEX, 1, function_id) {
                return refuse("function has references");
            }
            let calls = |space: &Rc<Space>| {
                space.constraints().is_some_and(|constraints| constraints.calls(function_id))
            };
            if ddl.db.schema().spaces().iter().any(calls) {
                return refuse("function is referenced by constraint");
            }
            let computes = |space: &Rc<Space>| {
                space.format().fields().iter().any(|field| field.default_func == function_id)
            };
            if ddl.db.schema().spaces().iter().any(computes) {
                return refuse("function is referenced by field default value");
            }
            functions.remove(function_id);
            ddl.on_rollback(move |db| {
                db.functions().insert((*old).clone());
                db.host().function_changed(function_id);
            });
        }
        (Some(old), Some(row)) => {
            let new = FunctionDefinition::from_tuple(row, ddl.is_unchecked())?;
            if *old != new && !ddl.is_unchecked() {
                return Err(client_error!(ER_UNSUPPORTED, "function", "alter"));
            }
            functions.insert(new);
            ddl.on_rollback(move |db| db.functions().insert((*old).clone()));
        }
        (None, None) => {}
    }
    ddl.db.host().function_changed(function_id);
    Ok(())
}
