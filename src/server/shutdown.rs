//! The end of the process: asked for by `os.exit`, a signal or an error; once, and in order.
//!
//! 1. Clients are told, and `box.ctl.on_shutdown` triggers run, for a bounded time
//!    (`shutdown.lua`).
//! 2. The database writes what was submitted to its log and closes it.
//! 3. The run loop stops, and the log of messages is flushed.
//!
//! # Yields
//! `lua_os_exit` does, and never returns

use std::cell::Cell;
use std::process::ExitCode;

use crate::base::error::Result;
use crate::db::Database;
use crate::fiber;
use crate::lua::{self, Context, Kind};

/// Runs the triggers, each caught by itself, and says when they have had enough time.
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
    fiber::spawn("on_shutdown", || {
        run_triggers();
        close();
    });
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

fn run_triggers() {
    let result = lua::enter(|cx| {
        cx.load(RUN_TRIGGERS.as_bytes(), "@builtin/shutdown.lua")?;
        cx.call(0, 0)
    });
    if let Err(error) = result {
        tracing::error!("on_shutdown triggers failed: {error}");
    }
}

/// `os.exit(status)`
fn lua_os_exit(cx: Context<'_>) -> Result<usize> {
    let status = match cx.kind(1) {
        Kind::Boolean => u8::from(!cx.boolean(1)),
        // As the operating system takes it: the low byte.
        _ => (cx.opt_integer(1, 0)? & 0xff) as u8,
    };
    start(status);
    // The caller must not go on, whoever wakes it.
    loop {
        fiber::suspend();
    }
}
