//! `_truncate`: emptying spaces.

use crate::base::error::Result;
use crate::client_error;

use super::super::access;
use super::super::user::privilege;
use super::{Ddl, alter};
use crate::db::row::Row;

pub(super) fn on_replace(ddl: &Ddl<'_>) -> Result<()> {
    // A snapshot holds the data as it was after every truncation before it.
    if ddl.is_loading_snapshot() {
        return Ok(());
    }
    let space_id = Row::new(ddl.any().data()).u32(0)?;
    let space = ddl.db.schema().find(space_id)?;
    let definition = space.definition();
    if definition.is_temporary() {
        ddl.mark_temporary();
    }
    if ddl.new.is_none() {
        // The space is being dropped.
        return Ok(());
    }
    let is_local = definition.is_data_temporary() || definition.is_local();
    if !is_local {
        ddl.db.check_writable()?;
    }
    access::check_space(ddl.db, &space, privilege::WRITE)?;
    if definition.is_system() {
        return Err(client_error!(ER_TRUNCATE_SYSTEM_SPACE, space.name()));
    }
    if is_local && !definition.is_temporary() {
        ddl.mark_local();
    }
    alter::truncate(ddl, &space)
}
