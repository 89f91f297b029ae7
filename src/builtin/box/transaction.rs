//! Transactions for Lua: begin, commit, rollback, savepoints, handlers.
//!
//! # Yields
//! commit

use std::rc::Rc;
use std::time::Duration;

use super::space::database;
use super::trigger::{LuaFunction, push_tuple};
use crate::base::error::{Error, Result};
use crate::client_error;
use crate::db::{BeginOptions, Database, Handler, Isolation, Savepoint};
use crate::lua::{self, Context, Kind, Module, userdata};

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("begin", lua_begin)
        .function("commit", lua_commit)
        .function("rollback", lua_rollback)
        .function("savepoint", lua_savepoint)
        .function("rollback_to_savepoint", lua_rollback_to_savepoint)
        .function("is_in_txn", lua_is_in_txn)
        .function("txn_id", lua_txn_id)
        .function("txn_isolation", lua_txn_isolation)
        .function("on_commit", lua_on_commit)
        .function("on_rollback", lua_on_rollback)
        .function("set_savepoint_metatable", lua_set_savepoint_metatable)
}

/// Isolation levels by number, as in `box.txn_isolation_level`.
const ISOLATION_LEVELS: [Isolation; 5] = [
    Isolation::Default,
    Isolation::ReadCommitted,
    Isolation::ReadConfirmed,
    Isolation::BestEffort,
    Isolation::Linearizable,
];

/// `begin(timeout, isolation number, is_sync)`
fn lua_begin(cx: Context<'_>) -> Result<usize> {
    let timeout = match cx.number(1) {
        Some(seconds) if seconds > 0.0 => {
            // Longer than a century is for ever.
            (seconds < 3_153_600_000.0).then(|| Duration::from_secs_f64(seconds))
        }
        Some(_) => return Err(Error::illegal_params("timeout must be a number greater than 0")),
        None => None,
    };
    let level = usize::try_from(cx.opt_integer(2, 0)?).unwrap_or(usize::MAX);
    let isolation = ISOLATION_LEVELS.get(level).copied().ok_or_else(|| {
        Error::illegal_params(
            "txn_isolation must be one of box.txn_isolation_level (keys or values)",
        )
    })?;
    database()?.begin(BeginOptions { timeout, isolation, is_synchronous: cx.boolean(3) })?;
    Ok(0)
}

fn lua_commit(_: Context<'_>) -> Result<usize> {
    database()?.commit()?;
    Ok(0)
}

fn lua_rollback(_: Context<'_>) -> Result<usize> {
    database()?.rollback()?;
    Ok(0)
}

fn lua_set_savepoint_metatable(cx: Context<'_>) -> Result<usize> {
    cx.set_top(1);
    userdata::set_metatable::<Savepoint>(cx);
    Ok(0)
}

fn lua_savepoint(cx: Context<'_>) -> Result<usize> {
    userdata::push(cx, database()?.savepoint()?);
    Ok(1)
}

fn lua_rollback_to_savepoint(cx: Context<'_>) -> Result<usize> {
    let savepoint = userdata::check::<Savepoint>(cx, 1, || {
        Error::illegal_params("Usage: box.rollback_to_savepoint(savepoint)")
    })?;
    if database()?.transaction().is_none() {
        return Err(client_error!(ER_NO_TRANSACTION));
    }
    database()?.rollback_to_savepoint(*savepoint)?;
    Ok(0)
}

fn lua_is_in_txn(cx: Context<'_>) -> Result<usize> {
    cx.push_boolean(Database::find().is_some_and(Database::is_in_transaction));
    Ok(1)
}

fn lua_txn_id(cx: Context<'_>) -> Result<usize> {
    match Database::find().and_then(Database::transaction) {
        Some(transaction) => cx.push_uint64(transaction.id()),
        None => cx.push_nil(),
    }
    Ok(1)
}

fn lua_txn_isolation(cx: Context<'_>) -> Result<usize> {
    match Database::find().and_then(Database::transaction) {
        Some(transaction) => {
            let level = transaction.isolation();
            let number = ISOLATION_LEVELS.iter().position(|known| *known == level);
            cx.push_integer(number.unwrap_or(0) as i64);
        }
        None => cx.push_nil(),
    }
    Ok(1)
}

/// A handler that calls a Lua function with an iterator factory over the statements: the array
/// of {space id, old, new}.
fn handler(cx: Context<'_>, usage: &str) -> Result<Handler> {
    if cx.kind(1) != Kind::Function {
        return Err(Error::illegal_params(usage));
    }
    cx.push_value(1);
    let function = Rc::new(LuaFunction::take(cx));
    Ok(Box::new(move |event| {
        lua::enter(|cx| {
            function.push(cx);
            cx.new_table(event.statements.len(), 0);
            for (number, (space_id, old, new)) in (1..).zip(&event.statements) {
                cx.new_table(3, 0);
                cx.push_integer(i64::from(*space_id));
                cx.raw_set_index(-2, 1);
                for (slot, tuple) in [(2, old), (3, new)] {
                    push_tuple(cx, tuple.as_ref());
                    cx.raw_set_index(-2, slot);
                }
                cx.raw_set_index(-2, number);
            }
            if let Err(error) = cx.call(1, 0) {
                tracing::error!("a transaction handler failed: {error}");
            }
        });
    }))
}

fn lua_on_commit(cx: Context<'_>) -> Result<usize> {
    let handler = handler(cx, "Usage: box.on_commit(function)")?;
    database()?.on_commit(handler)?;
    Ok(0)
}

fn lua_on_rollback(cx: Context<'_>) -> Result<usize> {
    let handler = handler(cx, "Usage: box.on_rollback(function)")?;
    database()?.on_rollback(handler)?;
    Ok(0)
}
