//! Signals of the process.
//!
//! SIGTERM and SIGINT end it in order, SIGUSR1 makes a snapshot, SIGHUP opens the log file again,
//! SIGUSR2 is passed on to watchers, and after SIGCHLD children that have ended are reaped. They are
//! waited for in tasks of the run loop, not in fibers: a program whose last fiber has ended is to end.
//!
//! # Yields
//! never

use tokio::signal::unix::{SignalKind, signal};

use super::{logging, shutdown};
use crate::base::error::Error;
use crate::builtin::popen;
use crate::{fiber, lua};

/// What a signal does.
type Action = fn();

const SIGNALS: [(i32, &str, Action); 5] = [
    (libc::SIGTERM, "Terminated", || shutdown::start(0)),
    (libc::SIGINT, "Interrupt", || shutdown::start(0)),
    (libc::SIGHUP, "Hangup", rotate),
    (libc::SIGUSR1, "User defined signal 1", snapshot),
    (libc::SIGUSR2, "User defined signal 2", || broadcast("box.internal.SIGUSR2")),
];

/// Takes signals from now on. Called in a fiber.
pub fn listen() -> std::io::Result<()> {
    for (number, name, action) in SIGNALS {
        let mut signals = signal(SignalKind::from_raw(number))?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                tracing::info!("got signal #{number} ({name})");
                action();
            }
        });
    }
    let mut ends = signal(SignalKind::child())?;
    tokio::spawn(async move {
        while ends.recv().await.is_some() {
            fiber::spawn("signal.child", reap);
        }
    });
    Ok(())
}

/// Children of `io.popen` are left to `file:close`, which tells how they ended.
fn reap() {
    let has_pipes = lua::enter(|cx| {
        cx.load(b"return require('internal.env').has_pipes()", "=signal")?;
        cx.call(0, 1)?;
        Ok::<_, Error>(cx.boolean(-1))
    });
    match has_pipes {
        Ok(true) => {}
        Ok(false) => popen::reap_strangers(),
        Err(error) => tracing::error!("{error}"),
    }
}

fn rotate() {
    logging::rotate();
    broadcast("box.internal.SIGHUP");
}

fn snapshot() {
    run("signal.snapshot", "if type(box.cfg) == 'table' then box.snapshot() end");
}

/// Tells those who watch a key, if there is a database to watch.
fn broadcast(key: &'static str) {
    // Not `box.broadcast`, which keeps names of the system from programs.
    let code = format!(
        "local watch = rawget(box, 'internal') and box.internal.watch
        if watch then watch.publish('{key}') end"
    );
    run("signal", code);
}

/// Runs a piece of Lua in a fiber of its own.
fn run(name: &str, code: impl Into<String>) {
    let code = code.into();
    fiber::spawn(name, move || {
        let result = lua::enter(|cx| {
            // Without the module `box` there is nothing to do.
            if cx.get_global("box") == lua::Kind::Nil {
                return Ok(());
            }
            cx.load(code.as_bytes(), "=signal")?;
            cx.call(0, 0)
        });
        if let Err(error) = result {
            tracing::error!("{error}");
        }
    });
}
