//! The threads that read the disk for fibers.
//!
//! # Invariants
//! - A job runs once, in no order; the threads end when the pool is dropped and its jobs are done.
//!
//! # Yields
//! `Readers::run`

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::base::{Error, Result};
use crate::client_error;
use crate::fiber;

type Job = Box<dyn FnOnce() + Send>;

pub(super) struct Readers {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    woken: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    idle_count: usize,
    is_closed: bool,
}

impl Readers {
    pub fn new(count: usize) -> Result<Readers> {
        let shared = Arc::<Shared>::default();
        for _ in 0..count.max(1) {
            let shared = shared.clone();
            thread::Builder::new()
                .name("vinyl.reader".to_owned())
                .spawn(move || shared.work())
                .map_err(|error| Error::system("failed to start a thread", &error))?;
        }
        Ok(Readers { shared })
    }

    /// Runs `job` on a thread of the pool and waits for what it returns. Yields.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut queue = self.shared.lock();
        queue.jobs.push_back(Box::new(move || drop(sender.send(job()))));
        if queue.idle_count > 0 {
            self.shared.woken.notify_one();
        }
        drop(queue);
        fiber::wait(receiver).unwrap_or_else(|_| {
            Err(client_error!(
                ER_INVALID_RUN_FILE,
                "the reader panicked, its message is in the log"
            ))
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                // What a damaged file does to fjall is not to stop the server; who waits gets an error.
                drop(catch_unwind(AssertUnwindSafe(job)));
                queue = self.lock();
            } else if queue.is_closed {
                return;
            } else {
                queue.idle_count += 1;
                queue = self.woken.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle_count -= 1;
            }
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.woken.notify_all();
    }
}
