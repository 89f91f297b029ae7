//! Waiting until a descriptor can be read or written.
//!
//! A descriptor is registered with the run loop while fibers wait for it and no longer, because
//! its owner may close it at any other time. Several fibers may wait for one descriptor: they
//! share the registration. Readiness that epoll reported may be stale by the time a fiber looks,
//! so the descriptor itself is asked before anyone is told.
//!
//! # Yields
//! `ready`, and `close` while fibers wait for what is closed

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::base::error::Result;
use crate::fiber;

/// Bit of "can be read".
pub const READ: u32 = 1;
/// Bit of "can be written".
pub const WRITE: u32 = 2;

/// A longer timeout is no timeout.
const TIMEOUT_MAX_S: f64 = 100.0 * 365.0 * 86400.0;

struct Watched {
    fd: AsyncFd<RawFd>,
    closing: Notify,
    is_closing: Cell<bool>,
}

thread_local! {
    static WATCHED: RefCell<HashMap<RawFd, Weak<Watched>>> = RefCell::new(HashMap::new());
}

/// The registration of a descriptor, made if there is none.
fn watch(fd: RawFd) -> io::Result<Rc<Watched>> {
    WATCHED.with_borrow_mut(|all| {
        if let Some(watched) = all.get(&fd).and_then(Weak::upgrade) {
            return Ok(watched);
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        let watched = Rc::new(Watched {
            // SAFETY: `close` waits until nobody has this registration any more, and a socket that
            // is collected has no waiting fiber, so the descriptor is open while it is registered.
            fd: unsafe { AsyncFd::register_with_interest(fd, interest) }?,
            closing: Notify::new(),
            is_closing: Cell::new(false),
        });
        all.retain(|_, watched| watched.strong_count() > 0);
        all.insert(fd, Rc::downgrade(&watched));
        Ok(watched)
    })
}

/// What the descriptor can do right now, of what is wanted. Errors count as both.
fn poll(fd: RawFd, wanted: u32) -> u32 {
    let mut request = libc::pollfd { fd, events: 0, revents: 0 };
    if wanted & READ != 0 {
        request.events |= libc::POLLIN | libc::POLLRDHUP;
    }
    if wanted & WRITE != 0 {
        request.events |= libc::POLLOUT;
    }
    // SAFETY: one valid structure.
    unsafe { libc::poll(&raw mut request, 1, 0) };
    let mut ready = 0;
    let failed = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
    if request.revents & (libc::POLLIN | libc::POLLRDHUP | failed) != 0 {
        ready |= READ;
    }
    if request.revents & (libc::POLLOUT | failed) != 0 {
        ready |= WRITE;
    }
    ready & wanted
}

async fn wait_for(fd: RawFd, wanted: u32) -> u32 {
    // A file, which epoll refuses, is always ready.
    let Ok(watched) = watch(fd) else { return wanted };
    let interest = match wanted {
        READ => Interest::READABLE,
        WRITE => Interest::WRITABLE,
        _ => Interest::READABLE | Interest::WRITABLE,
    };
    while !watched.is_closing.get() {
        let ready = tokio::select! {
            ready = watched.fd.ready(interest) => ready,
            () = watched.closing.notified() => break,
        };
        let Ok(mut guard) = ready else { return wanted };
        let now = poll(fd, wanted);
        if now != 0 {
            return now;
        }
        guard.clear_ready();
    }
    wanted
}

/// Waits until the descriptor can do some of what is wanted; returns what, or 0 after the timeout.
/// An error: the fiber was cancelled.
pub fn ready(fd: RawFd, wanted: u32, timeout_s: f64) -> Result<u32> {
    let now = poll(fd, wanted);
    if now != 0 {
        // Others get their turn even when there is always something to read.
        fiber::yield_now();
        fiber::test_cancel()?;
        return Ok(now);
    }
    if timeout_s.is_nan() || timeout_s > TIMEOUT_MAX_S {
        return fiber::wait_or_cancel(wait_for(fd, wanted));
    }
    let timeout = Duration::from_secs_f64(timeout_s.max(0.0));
    let waited = fiber::wait_or_cancel(tokio::time::timeout(timeout, wait_for(fd, wanted)))?;
    Ok(waited.unwrap_or(0))
}

/// Closes a descriptor; fibers that wait for it are woken and leave first.
pub fn close(fd: RawFd) -> io::Result<()> {
    let watched = WATCHED.with_borrow(|all| all.get(&fd).cloned());
    if let Some(watching) = watched.as_ref().and_then(Weak::upgrade) {
        watching.is_closing.set(true);
        watching.closing.notify_waiters();
        drop(watching);
        while watched.as_ref().is_some_and(|watched| watched.strong_count() > 0) {
            fiber::yield_now();
        }
    }
    // SAFETY: the descriptor belongs to the Lua socket that closes it.
    if unsafe { libc::close(fd) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
