//! Wakers: how a future, on whatever thread it completes, makes its fiber ready.
//!
//! A waker carries the fiber's id, not the fiber: on the tx thread the fiber is found and queued
//! at once, from another thread the id is posted and the run loop woken.
//!
//! # Invariants
//! - Posting after the run loop has gone is harmless.
//!
//! # Yields
//! never

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake as TaskWake, Waker};

use super::handle::Fiber;
use super::scheduler;

/// Ids posted by other threads, and the run loop to wake for them.
#[derive(Default)]
pub(super) struct Remote {
    state: Mutex<RemoteState>,
}

#[derive(Default)]
struct RemoteState {
    ids: Vec<u64>,
    run_loop: Option<Waker>,
}

impl Remote {
    fn lock(&self) -> std::sync::MutexGuard<'_, RemoteState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, id: u64) {
        let run_loop = {
            let mut state = self.lock();
            state.ids.push(id);
            if state.ids.len() > 1 {
                return; // The first post has woken the run loop already.
            }
            state.run_loop.clone()
        };
        if let Some(run_loop) = run_loop {
            run_loop.wake();
        }
    }

    /// Takes the posted ids, leaving the (emptied) buffer of the caller in their place.
    pub(super) fn take(&self, ids: &mut Vec<u64>) {
        std::mem::swap(&mut self.lock().ids, ids);
    }

    /// Notes whom to wake.
    pub(super) fn set_run_loop(&self, waker: &Waker) {
        let mut state = self.lock();
        match &mut state.run_loop {
            Some(known) => known.clone_from(waker),
            slot => *slot = Some(waker.clone()),
        }
    }
}

/// The waker of one fiber.
pub(super) struct Wake {
    id: u64,
    thread: std::thread::ThreadId,
    remote: Arc<Remote>,
}

impl TaskWake for Wake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if std::thread::current().id() == self.thread {
            scheduler::make_ready_by_id(self.id);
        } else {
            self.remote.post(self.id);
        }
    }
}

/// The waker of this fiber; made once.
pub(super) fn of(fiber: &Fiber, remote: &Arc<Remote>) -> Waker {
    let wake = fiber.0.wake.get_or_init(|| {
        Arc::new(Wake {
            id: fiber.id(),
            thread: std::thread::current().id(),
            remote: remote.clone(),
        })
    });
    Waker::from(wake.clone())
}
