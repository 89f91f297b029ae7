//! Fibers that run pieces of work. One that has nothing more to do waits for the next piece for a
//! while, as making a fiber costs more than most requests do.
//!
//! # Invariants
//! - Without connections no fiber waits, so that a program without any can end.
//! - A fiber that somebody cancelled or wants to join takes no other piece.
//! - Each has its `Idle` as a local, by which it is found.
//!
//! # Yields
//! `start`

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::base::limits::IPROTO_IDLE_FIBER_COUNT_MAX;
use crate::fiber::{self, Fiber};

const NAME: &str = "iproto";

type Job = Box<dyn FnOnce()>;

/// A fiber that waits, and what it shall do next.
struct Idle {
    fiber: Fiber,
    job: Cell<Option<Job>>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Workers {
    idle: RefCell<Vec<Rc<Idle>>>,
    /// Whether fibers may wait.
    is_open: Cell<bool>,
}

impl Workers {
    /// Has a fiber run this, at once until its first switch. Yields.
    pub fn start(self: &Rc<Self>, job: impl FnOnce() + 'static) {
        let idle = self.idle.borrow_mut().pop();
        match idle {
            Some(idle) => {
                idle.job.set(Some(Box::new(job)));
                fiber::switch_to(&idle.fiber);
            }
            None => {
                let workers = self.clone();
                fiber::start(NAME, move || workers.run(Box::new(job)));
            }
        }
    }

    /// Lets fibers wait from now on.
    pub fn open(&self) {
        self.is_open.set(true);
    }

    /// Ends those that wait, and the others when they are done.
    pub fn close(&self) {
        self.is_open.set(false);
        self.idle.take().iter().for_each(|idle| idle.fiber.wakeup());
    }

    /// Asks what runs to end.
    pub fn cancel(&self) {
        self.close();
        self.all().iter().for_each(Fiber::cancel);
    }

    /// How many fibers have become the server's own: they asked for the end of the process, and wait
    /// for it.
    pub fn exiting_count(&self) -> usize {
        self.all().iter().filter(|fiber| fiber.is_system()).count()
    }

    fn all(&self) -> Vec<Fiber> {
        let mut fibers = fiber::all();
        fibers.retain(|fiber| fiber.find_local::<Idle>().is_some());
        fibers
    }

    fn run(&self, first: Job) {
        let own = Rc::new(Idle { fiber: fiber::current(), job: Cell::new(Some(first)) });
        own.fiber.set_local(own.clone());
        while let Some(job) = own.job.take() {
            job();
            let is_lasting = !own.fiber.is_cancelled() && !own.fiber.is_joinable();
            let has_room = self.idle.borrow().len() < IPROTO_IDLE_FIBER_COUNT_MAX;
            if is_lasting && has_room && self.is_open.get() {
                own.fiber.set_name(NAME);
                self.idle.borrow_mut().push(own.clone());
                self.wait(&own);
            }
        }
    }

    /// Waits for a job, or until there will be none.
    fn wait(&self, own: &Rc<Idle>) {
        loop {
            fiber::suspend();
            let job = own.job.take();
            let is_over = own.fiber.is_cancelled() || !self.is_open.get();
            if job.is_some() || is_over {
                own.job.set(job);
                return self.idle.borrow_mut().retain(|idle| !Rc::ptr_eq(idle, own));
            }
        }
    }
}
