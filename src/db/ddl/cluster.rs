//! `_cluster`: the instances of the replica set.

use crate::base::error::Result;
use crate::base::limits::REPLICA_COUNT_MAX;
use crate::client_error;
use crate::tuple::Tuple;
use crate::value::uuid::Uuid;

use super::super::database::Replica;
use super::Ddl;
use crate::db::row::Row;

pub(super) fn on_replace(ddl: &Ddl<'_>) -> Result<()> {
    ddl.db.check_writable()?;
    let new = ddl.new.as_ref().map(read).transpose()?;
    let old = ddl.old.as_ref().map(read).transpose()?;
    match (old, new) {
        (None, Some(new)) => insert(ddl, new),
        (Some(old), None) => {
            let is_own = old.id == ddl.db.instance().id;
            if is_own && !ddl.is_unchecked() {
                return Err(client_error!(ER_LOCAL_INSTANCE_ID_IS_READ_ONLY, old.id));
            }
            ddl.on_commit(move |db| db.remove_replica(old.id));
            Ok(())
        }
        (Some(old), Some(new)) => update(ddl, old, new),
        (None, None) => Ok(()),
    }
}

fn insert(ddl: &Ddl<'_>, new: Replica) -> Result<()> {
    let replicas = ddl.db.replicas();
    if let Some(known) = replicas.iter().find(|known| known.id == new.id) {
        let details = format!(
            "more than 1 replica with the same ID {}: new uuid - {}, old uuid - {}",
            new.id, new.uuid, known.uuid
        );
        return Err(client_error!(ER_UNSUPPORTED, "Tarantool", details));
    }
    check_name(&replicas, &new)?;
    let id = new.id;
    ddl.db.add_replica(new);
    ddl.on_rollback(move |db| db.remove_replica(id));
    Ok(())
}

fn update(ddl: &Ddl<'_>, old: Replica, new: Replica) -> Result<()> {
    if old.uuid != new.uuid {
        if old.uuid == ddl.db.instance().uuid {
            return Err(client_error!(ER_UNSUPPORTED, "Replica", "own UUID update in _cluster"));
        }
        if old.name.is_empty() {
            return Err(client_error!(ER_UNSUPPORTED, "Replica without a name", "UUID update"));
        }
    }
    if old.name != new.name {
        check_name(&ddl.db.replicas(), &new)?;
    }
    ddl.db.add_replica(new);
    ddl.on_rollback(move |db| db.add_replica(old));
    Ok(())
}

fn check_name(replicas: &[Replica], new: &Replica) -> Result<()> {
    let same =
        |known: &&Replica| !new.name.is_empty() && known.name == new.name && known.id != new.id;
    match replicas.iter().find(same) {
        Some(known) => {
            let uuid = known.uuid.to_string();
            Err(client_error!(ER_INSTANCE_NAME_DUPLICATE, new.name, uuid))
        }
        None => Ok(()),
    }
}

fn read(tuple: &Tuple) -> Result<Replica> {
    let row = Row::new(tuple.data());
    let id = row.u32(0)?;
    if id == 0 {
        return Err(client_error!(ER_REPLICA_ID_IS_RESERVED, id));
    }
    if id >= REPLICA_COUNT_MAX {
        return Err(client_error!(ER_REPLICA_MAX, id));
    }
    let text = row.str(1)?;
    let uuid = Uuid::parse(text.as_bytes())
        .filter(|uuid| !uuid.is_nil())
        .ok_or_else(|| client_error!(ER_INVALID_UUID, text))?;
    let name = match row.get(2) {
        Some(field) if field != [0xc0] => row.str(2)?.to_owned(),
        _ => String::new(),
    };
    Ok(Replica { id, uuid, name })
}
