//! The end of the process: asked for by `os.exit`, a signal or an error; once, and in order.
//!
//! 1. Clients are told, and `box.ctl.on_shutdown` triggers run, for a bounded time; then requests
//!    and fibers are cancelled (`shutdown.lua`). What does not end then makes it a failure.
//! 2. The database writes what was submitted to its log and closes it.
//! 3. The run loop stops, and the log of messages is flushed.
//!
//! # Yields
//! `lua_os_exit` does, and never returns

use std::cell::Cell;
use std::process::ExitCode;
use std::time::Duration;

use super::logging;
use crate::base::error::{Error, Result};
use crate::db::Database;
use crate::fiber;
use crate::lua::{self, Context, Kind, Module};

/// Runs the triggers, each caught by itself, says when they have had enough time, and ends fibers.
const RUN_TRIGGERS: &str = include_str!("shutdown.lua");

thread_local! {
    /// The status of the process, once its end has begun.
    static STATUS: Cell<Option<u8>> = const { Cell::new(None) };
}

/// Begins the end of the process. A second call changes nothing.
pub fn start(status: u8) {
    if STATUS.get().is_some() {
        return;
    }
    STATUS.set(Some(status));
    let fiber = fiber::spawn("on_shutdown", || {
        if let Some(failure) = run_triggers() {
            STATUS.set(Some(1));
            logging::fatal(&failure);
        }
        close();
    });
    fiber.set_system();
}

/// Ends the process after an error: what is in the log stays, triggers do not run.
pub fn abort() {
    if STATUS.get().is_none() {
        STATUS.set(Some(1));
        close();
    }
}

/// The status that was asked for, success when nobody did.
pub fn status() -> ExitCode {
    ExitCode::from(STATUS.get().unwrap_or(0))
}

/// Has `os.exit` end the process in order.
pub fn open(cx: Context<'_>) -> Result<()> {
    cx.get_global("os");
    lua::push_function(cx, lua_os_exit);
    cx.raw_set_field(-2, "exit");
    Ok(())
}

fn close() {
    if let Some(database) = Database::find() {
        database.close();
    }
    crate::builtin::popen::kill_all();
    fiber::stop();
}

/// What has not ended in time.
fn run_triggers() -> Option<String> {
    let result = lua::enter(|cx| {
        cx.load(RUN_TRIGGERS.as_bytes(), "@builtin/shutdown.lua")?;
        Module::new(cx).function("end_clients", lua_end_clients);
        cx.call(1, 1)?;
        Ok(cx.text(-1).map(str::to_owned))
    });
    result.unwrap_or_else(|error: Error| {
        tracing::error!("on_shutdown triggers failed: {error}");
        None
    })
}

/// `end_clients(seconds)`: ends every fiber of the program; whether they ended in time. Yields.
fn lua_end_clients(cx: Context<'_>) -> Result<usize> {
    let timeout = Duration::try_from_secs_f64(cx.check_number(1)?).unwrap_or(Duration::MAX);
    cx.push_boolean(fiber::end_clients(timeout));
    Ok(1)
}

/// `os.exit(status)`
fn lua_os_exit(cx: Context<'_>) -> Result<usize> {
    let status = match cx.kind(1) {
        Kind::Boolean => u8::from(!cx.boolean(1)),
        // As the operating system takes it: the low byte.
        _ => (cx.opt_integer(1, 0)? & 0xff) as u8,
    };
    start(status);
    // The caller must not go on, whoever wakes it, and nobody waits for its end.
    fiber::current().set_system();
    loop {
        fiber::suspend();
    }
}
