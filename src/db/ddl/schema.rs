//! `_schema`: the version of the data dictionary, the replica set's identity.

use crate::base::error::Result;
use crate::client_error;
use crate::value::uuid::Uuid;

use super::super::system_space as id;
use super::Ddl;
use crate::db::row::Row;

pub(super) fn on_replace(ddl: &Ddl<'_>) -> Result<()> {
    let row = Row::new(ddl.any().data());
    match row.str(0)? {
        key @ ("cluster" | "replicaset_uuid") => replicaset_uuid(ddl, key),
        "version" => version(ddl),
        key @ ("cluster_name" | "replicaset_name") => name(ddl, key),
        _ => Ok(()),
    }
}

fn replicaset_uuid(ddl: &Ddl<'_>, key: &str) -> Result<()> {
    let Some(new) = &ddl.new else {
        // One of the two keys must stay.
        let other = if key == "cluster" { "replicaset_uuid" } else { "cluster" };
        let mut other_key = Vec::new();
        crate::value::mp::write_str(&mut other_key, other.as_bytes());
        if super::has_key(ddl.db, id::SCHEMA, 0, &other_key, 1) {
            return Ok(());
        }
        return Err(client_error!(ER_REPLICASET_UUID_IS_RO));
    };
    let text = Row::new(new.data()).str(1)?.to_owned();
    let uuid = Uuid::parse(text.as_bytes()).ok_or_else(|| client_error!(ER_INVALID_UUID, text))?;
    let known = ddl.db.instance().replicaset_uuid;
    if !known.is_nil() && known != uuid {
        return Err(client_error!(ER_REPLICASET_UUID_IS_RO));
    }
    ddl.on_commit(move |db| db.update_instance(|instance| instance.replicaset_uuid = uuid));
    Ok(())
}

fn version(ddl: &Ddl<'_>) -> Result<()> {
    let version = match &ddl.new {
        Some(new) => {
            let row = Row::new(new.data());
            let part = |index| row.u32(index);
            match (part(1), part(2)) {
                (Ok(major), Ok(minor)) => [major, minor, part(3).unwrap_or(0)],
                _ => return Err(client_error!(ER_WRONG_DD_VERSION)),
            }
        }
        None => crate::base::version::SCHEMA,
    };
    ddl.on_commit(move |db| db.schema().set_dd_version(version));
    Ok(())
}

fn name(ddl: &Ddl<'_>, key: &str) -> Result<()> {
    let new = match &ddl.new {
        Some(new) => Row::new(new.data()).str(1)?.to_owned(),
        None => String::new(),
    };
    let is_cluster = key == "cluster_name";
    let instance = ddl.db.instance();
    let known = if is_cluster { &instance.cluster_name } else { &instance.replicaset_name };
    if ddl.db.is_configured() && !known.is_empty() && *known != new {
        let what = if is_cluster { "cluster" } else { "replicaset" };
        let details = format!("{what} name change (without 'force_recovery')");
        return Err(client_error!(ER_UNSUPPORTED, "Tarantool", details));
    }
    ddl.on_commit(move |db| {
        db.update_instance(|instance| {
            if is_cluster {
                instance.cluster_name = new;
            } else {
                instance.replicaset_name = new;
            }
        });
    });
    Ok(())
}
