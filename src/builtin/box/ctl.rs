//! Native half of `box.ctl`, `box.snapshot` and `box.backup`: control of the instance.
//!
//! # Yields
//! whatever waits: `ctl_wait_ro`, `ctl_wait_status`, `ctl_wal_sync`, `snapshot` and the backups

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::info;
use super::space::database;
use crate::base::error::{Error, Result, Type};
use crate::client_error;
use crate::db::{Database, Phase};
use crate::fiber;
use crate::lua::{Context, Module};

thread_local! {
    /// Signalled when the status, the schema or who may write has changed.
    static STATUS_CHANGED: fiber::Cond = const { fiber::Cond::new() };
    /// How often it was.
    static STATUS_VERSION: Cell<u64> = const { Cell::new(0) };
}

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("ctl_is_recovery_finished", lua_ctl_is_recovery_finished)
        .function("ctl_wait_ro", lua_ctl_wait_ro)
        .function("ctl_wait_status", lua_ctl_wait_status)
        .function("ctl_wal_sync", lua_ctl_wal_sync)
        .function("snapshot", lua_snapshot)
        .function("backup_start", lua_backup_start)
        .function("backup_end", lua_backup_end)
}

/// Tells whoever waits that something which `box.info` shows has changed.
pub(super) fn status_changed() {
    STATUS_VERSION.set(STATUS_VERSION.get() + 1);
    STATUS_CHANGED.with(fiber::Cond::broadcast);
}

/// Seconds at `index` as a deadline; absent or endless: none.
fn deadline(cx: Context<'_>, index: i32) -> Result<Option<Instant>> {
    let seconds = cx.opt_number(index, f64::INFINITY)?;
    let timeout = Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    Ok(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
}

fn lua_ctl_is_recovery_finished(cx: Context<'_>) -> Result<usize> {
    cx.push_boolean(Database::find().is_some_and(|db| db.phase() == Phase::Running));
    Ok(1)
}

/// `ctl_wait_ro(is wanted read-only, timeout)`
fn lua_ctl_wait_ro(cx: Context<'_>) -> Result<usize> {
    let wanted = cx.boolean(1);
    let deadline = deadline(cx, 2)?;
    let is_configured = || Database::find().is_some_and(Database::is_configured);
    // An instance is read-only until it is up: who waited for that has seen it pass.
    let passes = wanted && !is_configured();
    let is_reached = || is_configured() && (passes || info::is_ro() == wanted);
    while !is_reached() {
        if deadline.is_some_and(|at| at <= Instant::now()) {
            return Err(Error::new(Type::TimedOut, "timed out"));
        }
        STATUS_CHANGED.with(|changed| changed.wait_until(deadline));
        fiber::test_cancel()?;
    }
    Ok(0)
}

/// `ctl_wait_status(version)`: waits until something has changed since; returns the new version.
fn lua_ctl_wait_status(cx: Context<'_>) -> Result<usize> {
    let known = cx.opt_number(1, -1.0)?;
    while STATUS_VERSION.get() as f64 == known {
        STATUS_CHANGED.with(fiber::Cond::wait);
        fiber::test_cancel()?;
    }
    cx.push_uint64(STATUS_VERSION.get());
    Ok(1)
}

fn lua_ctl_wal_sync(_: Context<'_>) -> Result<usize> {
    database()?.sync_log()?;
    Ok(0)
}

fn lua_snapshot(_: Context<'_>) -> Result<usize> {
    configured()?.checkpoint()?;
    Ok(0)
}

fn configured() -> Result<&'static Database> {
    let database = database()?;
    if database.is_configured() { Ok(database) } else { Err(client_error!(ER_UNCONFIGURED)) }
}

/// `backup_start(how many checkpoints back, vclock of an earlier backup or nil)`: the files, the
/// vclock of their end, and the vclock of the checkpoint or nil.
fn lua_backup_start(cx: Context<'_>) -> Result<usize> {
    let back = usize::try_from(cx.check_integer(1)?).unwrap_or(usize::MAX);
    let since = if cx.is_null(2) {
        None
    } else {
        let vclock = info::read_vclock(cx, 2);
        Some(vclock.ok_or_else(|| Error::illegal_params("invalid from_vclock"))?)
    };
    let backup = configured()?.start_backup(back, since)?;
    cx.new_table(backup.files.len(), 0);
    for (number, path) in (1..).zip(&backup.files) {
        cx.push_bytes(path.as_os_str().as_encoded_bytes());
        cx.raw_set_index(-2, number);
    }
    info::push_vclock(cx, &backup.vclock);
    match &backup.checkpoint {
        Some(vclock) => info::push_vclock(cx, vclock),
        None => cx.push_nil(),
    }
    Ok(3)
}

fn lua_backup_end(_: Context<'_>) -> Result<usize> {
    database()?.end_backup()?;
    Ok(0)
}
