//! Native half of `box.info`: who this instance is and how it stands.
//!
//! Every function here works before `box.cfg`, as monitoring must.
//!
//! # Yields
//! never

use crate::base::error::{Error, Result};
use crate::db::Database;
use crate::lua::{Context, Module};
use crate::xrow::Vclock;

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("info_instance", lua_info_instance)
        .function("info_status", lua_info_status)
        .function("info_is_ro", lua_info_is_ro)
        .function("info_vclock", lua_info_vclock)
        .function("info_replicas", lua_info_replicas)
        .function("info_checkpoints", lua_info_checkpoints)
        .function("info_dd_version", lua_info_dd_version)
        .function("info_hostname", lua_info_hostname)
}

/// Whether changes are refused, which they are until `box.cfg` has finished.
pub(super) fn is_ro() -> bool {
    !Database::find().is_some_and(|db| db.is_configured() && !db.is_read_only())
}

/// Pushes a vclock: a table of LSN by replica id.
pub(super) fn push_vclock(cx: Context<'_>, vclock: &Vclock) {
    cx.new_table(0, vclock.count() as usize);
    for (replica_id, lsn) in vclock.iter() {
        cx.push_int64(lsn);
        cx.raw_set_index(-2, i32::try_from(replica_id).expect("replica ids are below 32"));
    }
}

/// Reads a vclock from the table at `index`; `None` when it is something else.
pub(super) fn read_vclock(cx: Context<'_>, index: i32) -> Option<Vclock> {
    if cx.kind(index) != crate::lua::Kind::Table {
        return None;
    }
    let index = cx.absolute(index);
    let (mut vclock, mut is_right) = (Vclock::new(), true);
    cx.push_nil();
    while cx.next(index) {
        match (cx.integer(-2), cx.integer(-1)) {
            (Some(id @ 0..32), Some(lsn)) if lsn >= 0 => vclock.set(id as u32, lsn),
            _ => is_right = false,
        }
        cx.pop(1);
    }
    is_right.then_some(vclock)
}

/// `info_instance()`: id, UUID, name, UUID and name of the replica set, name of the cluster. Names
/// that are not set are nil, the id is nil until the instance is registered.
fn lua_info_instance(cx: Context<'_>) -> Result<usize> {
    let instance = Database::find().map(Database::instance).unwrap_or_default();
    let push_name = |name: &str| match name {
        "" => cx.push_nil(),
        name => cx.push_bytes(name),
    };
    match instance.id {
        0 => cx.push_nil(),
        id => cx.push_integer(i64::from(id)),
    }
    cx.push_bytes(instance.uuid.to_string());
    push_name(&instance.name);
    cx.push_bytes(instance.replicaset_uuid.to_string());
    push_name(&instance.replicaset_name);
    push_name(&instance.cluster_name);
    Ok(6)
}

/// The word that Tarantool has for it.
fn status() -> &'static str {
    match Database::find() {
        None => "unconfigured",
        Some(database) if database.is_configured() => database.info().status,
        Some(_) => "loading",
    }
}

fn lua_info_status(cx: Context<'_>) -> Result<usize> {
    cx.push_bytes(status());
    Ok(1)
}

fn lua_info_is_ro(cx: Context<'_>) -> Result<usize> {
    cx.push_boolean(is_ro());
    Ok(1)
}

/// What is known with everything that is written.
fn vclock() -> Vclock {
    Database::find().map_or_else(Vclock::new, |database| database.info().vclock)
}

/// `info_vclock()`: the vclock and its signature.
fn lua_info_vclock(cx: Context<'_>) -> Result<usize> {
    let vclock = vclock();
    push_vclock(cx, &vclock);
    cx.push_int64(vclock.signature());
    Ok(2)
}

/// `info_replicas()`: an array of id, UUID, name or nil, LSN of each registered instance.
fn lua_info_replicas(cx: Context<'_>) -> Result<usize> {
    let replicas = Database::find().map(Database::replicas).unwrap_or_default();
    let vclock = vclock();
    cx.new_table(replicas.len(), 0);
    for (number, replica) in (1..).zip(&replicas) {
        cx.new_table(0, 4);
        cx.push_integer(i64::from(replica.id));
        cx.raw_set_field(-2, "id");
        cx.push_bytes(replica.uuid.to_string());
        cx.raw_set_field(-2, "uuid");
        if !replica.name.is_empty() {
            cx.push_bytes(&replica.name);
            cx.raw_set_field(-2, "name");
        }
        cx.push_int64(vclock.get(replica.id));
        cx.raw_set_field(-2, "lsn");
        cx.raw_set_index(-2, number);
    }
    Ok(1)
}

/// `info_checkpoints()`: the vclocks of the checkpoints that exist, oldest first, each with its
/// signature, and whether one is being made.
fn lua_info_checkpoints(cx: Context<'_>) -> Result<usize> {
    let database = Database::find();
    let checkpoints = database.map(Database::checkpoints).unwrap_or_default();
    cx.new_table(checkpoints.len(), 0);
    for (number, checkpoint) in (1..).zip(&checkpoints) {
        cx.new_table(0, 2);
        push_vclock(cx, &checkpoint.vclock);
        cx.raw_set_field(-2, "vclock");
        cx.push_int64(checkpoint.vclock.signature());
        cx.raw_set_field(-2, "signature");
        cx.raw_set_index(-2, number);
    }
    cx.push_boolean(database.is_some_and(Database::is_checkpoint_running));
    Ok(2)
}

/// `info_dd_version()`: the version of the schema that `_schema` names.
fn lua_info_dd_version(cx: Context<'_>) -> Result<usize> {
    let [major, minor, patch] =
        Database::find().map_or([0; 3], |database| database.schema().dd_version());
    cx.push_bytes(format!("{major}.{minor}.{patch}"));
    Ok(1)
}

fn lua_info_hostname(cx: Context<'_>) -> Result<usize> {
    let name = rustix::system::uname();
    let name = name.nodename().to_str().map_err(|_| Error::illegal_params("hostname"))?;
    cx.push_bytes(name);
    Ok(1)
}
