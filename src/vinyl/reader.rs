//! The threads that read the disk for fibers.
//!
//! # Invariants
//! - A job runs once, in no order; the threads end when the pool is dropped and its jobs are done.
//!
//! # Yields
//! `Readers::run`

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::base::{Error, Result};
use crate::fiber;

type Job = Box<dyn FnOnce() + Send>;

pub(super) struct Readers {
    jobs: Sender<Job>,
}

impl Readers {
    pub fn new(count: usize) -> Result<Readers> {
        let (jobs, receiver) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..count.max(1) {
            let receiver = receiver.clone();
            thread::Builder::new()
                .name("vinyl.reader".to_owned())
                .spawn(move || work(&receiver))
                .map_err(|error| Error::system("failed to start a thread", &error))?;
        }
        Ok(Readers { jobs })
    }

    /// Runs `job` on a thread of the pool and waits for what it returns. Yields.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let job: Job = Box::new(move || drop(sender.send(job())));
        self.jobs.send(job).expect("the readers live as long as the pool");
        fiber::wait(receiver).expect("a reader does not panic")
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}
