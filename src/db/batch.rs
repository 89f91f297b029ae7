//! Batches: one wait for the log for a whole pipeline of requests (decision D10).
//!
//! While a [`Batch`] is open, transactions of its fiber commit by submitting their rows; nobody
//! waits. At the end of the pipeline [`Batch::wait_durable`] waits once. A reply may go out only
//! after that, and a request whose rows were lost gets the error instead of its reply.
//!
//! # Yields
//! `wait_durable`

use std::cell::{Cell, RefCell};
use std::ops::Range;

use crate::base::error::Error;
use crate::fiber;
use crate::wal::Ticket;

use super::context;
use super::database::Database;

/// How the statements of a fiber commit.
#[derive(Default)]
pub(crate) struct BatchState {
    is_open: Cell<bool>,
    last: RefCell<Option<Ticket>>,
}

impl BatchState {
    /// Whether commits do not wait.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.is_open.get()
    }

    /// Notes a submitted transaction.
    pub fn note(&self, ticket: Ticket) {
        let old = self.last.replace(Some(ticket));
        drop(old);
    }
}

/// An open batch of the fiber that opened it.
pub struct Batch {
    context: std::rc::Rc<context::Context>,
}

/// What was lost of a batch.
pub struct BatchOutcome {
    losses: Vec<(u64, u64, Error)>,
}

/// Starts a batch in this fiber; batches do not nest.
pub fn open() -> Batch {
    let context = context::current();
    assert!(!context.batch.is_open.replace(true), "batches do not nest");
    Database::current().commits().batch_opened();
    Batch { context }
}

impl Batch {
    /// The journal position of the newest transaction of this batch. A request's transactions
    /// are those between the marks before and after it.
    pub fn mark(&self) -> u64 {
        self.context.batch.last.borrow().as_ref().map_or(0, Ticket::position)
    }

    /// Waits until everything this batch has submitted is durable or lost. Yields.
    pub fn wait_durable(&self) -> BatchOutcome {
        let db = Database::current();
        let last = self.context.batch.last.take();
        if let Some(ticket) = last {
            // The outcome of each transaction is told by the losses below.
            let _ = fiber::wait(ticket);
        }
        BatchOutcome { losses: db.commits().losses() }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let forgotten = self.context.batch.last.take();
        drop(forgotten);
        self.context.batch.is_open.set(false);
        Database::current().commits().batch_closed();
    }
}

impl BatchOutcome {
    /// Whether nothing was lost.
    pub fn is_durable(&self) -> bool {
        self.losses.is_empty()
    }

    /// Why a transaction after the first and up to the second mark was lost, if one was.
    pub fn error(&self, marks: Range<u64>) -> Option<Error> {
        let lost = self.losses.iter().find(|(from, upto, _)| {
            *from <= marks.end && marks.start < *upto && marks.start < marks.end
        });
        lost.map(|(_, _, error)| error.clone())
    }
}
