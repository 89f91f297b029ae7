//! A condition variable: fibers wait, others signal.
//!
//! # Invariants
//! - First come, first served.
//! - A fiber that left early (timeout, wake-up, cancel) takes itself out of the queue.
//!
//! # Yields
//! `wait`, `wait_until`, `wait_timeout`

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::handle::Fiber;
use super::{scheduler, timer};

/// A queue of waiting fibers.
#[derive(Default)]
pub struct Cond {
    waiting: RefCell<VecDeque<Rc<Ticket>>>,
}

struct Ticket {
    fiber: Fiber,
    signalled: Cell<bool>,
}

impl Cond {
    /// With nobody waiting.
    pub const fn new() -> Cond {
        Cond { waiting: RefCell::new(VecDeque::new()) }
    }

    /// Waits for a signal; false: woken for another reason. Yields.
    pub fn wait(&self) -> bool {
        self.wait_until(None)
    }

    /// Waits for a signal at most that long; false: no signal came. Yields.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    /// Waits for a signal until the deadline; false: no signal came. Yields.
    pub fn wait_until(&self, deadline: Option<Instant>) -> bool {
        let ticket = Rc::new(Ticket { fiber: scheduler::current(), signalled: Cell::new(false) });
        self.waiting.borrow_mut().push_back(ticket.clone());
        timer::suspend_until(deadline);
        if !ticket.signalled.get() {
            self.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &ticket));
        }
        ticket.signalled.get()
    }

    /// Wakes the first that waits.
    pub fn signal(&self) {
        let first = self.waiting.borrow_mut().pop_front();
        if let Some(ticket) = first {
            ticket.signalled.set(true);
            ticket.fiber.wakeup();
        }
    }

    /// Wakes all that wait.
    pub fn broadcast(&self) {
        loop {
            let first = self.waiting.borrow_mut().pop_front();
            let Some(ticket) = first else { break };
            ticket.signalled.set(true);
            ticket.fiber.wakeup();
        }
    }

    /// How many wait.
    pub fn waiting_count(&self) -> usize {
        self.waiting.borrow().len()
    }
}
