//! Batches: one wait for the log for a whole pipeline of requests (decision D10).
//!
//! While a [`Batch`] is open, transactions of its fiber commit by submitting their rows; nobody
//! waits. At the end of the pipeline [`Batch::wait_durable`] waits once. A reply may go out only
//! after that, and a request whose rows were lost gets the error instead of its reply. A request
//! that waits for something else must not hold up the replies before it: [`Batch::take_submitted`]
//! lets another fiber wait for those.
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
    /// Where the batch's transactions stand in the journal: those of other fibers stand between.
    positions: RefCell<Vec<u64>>,
}

impl BatchState {
    /// Whether commits do not wait.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.is_open.get()
    }

    /// Notes a submitted transaction.
    pub fn note(&self, ticket: Ticket) {
        self.positions.borrow_mut().push(ticket.position());
        let old = self.last.replace(Some(ticket));
        drop(old);
    }
}

/// An open batch of the fiber that opened it.
pub struct Batch {
    context: std::rc::Rc<context::Context>,
}

/// What a batch has submitted so far, taken out of it so that another fiber can wait for it.
pub struct Submitted {
    last: Option<Ticket>,
    positions: Vec<u64>,
}

/// What was lost of a batch.
pub struct BatchOutcome {
    losses: Vec<(u64, u64, Error)>,
    positions: Vec<u64>,
}

/// Starts a batch in this fiber; batches do not nest.
pub fn open() -> Batch {
    let context = context::current();
    assert!(!context.batch.is_open.replace(true), "batches do not nest");
    Database::current().commits().batch_opened();
    Batch { context }
}

impl Batch {
    /// How many transactions this batch has submitted. A request's transactions are those between
    /// the marks before and after it.
    #[inline]
    pub fn mark(&self) -> u64 {
        self.context.batch.positions.borrow().len() as u64
    }

    /// Waits until everything this batch has submitted is durable or lost. Yields.
    pub fn wait_durable(&self) -> BatchOutcome {
        let db = Database::current();
        let last = self.context.batch.last.take();
        if let Some(ticket) = last {
            // The outcome of each transaction is told by the losses below.
            let _ = fiber::wait(ticket);
        }
        let losses = db.commits().losses();
        let mut submitted = self.context.batch.positions.borrow_mut();
        // Only losses ask for them, and without any the buffer is used again.
        let positions = if losses.is_empty() { Vec::new() } else { submitted.clone() };
        submitted.clear();
        BatchOutcome { losses, positions }
    }
}

impl Batch {
    /// Takes out what was submitted so far; marks start from 0 again.
    pub fn take_submitted(&self) -> Submitted {
        // Losses are remembered as long as a batch is open: this counts as one.
        Database::current().commits().batch_opened();
        Submitted {
            last: self.context.batch.last.take(),
            positions: self.context.batch.positions.take(),
        }
    }
}

impl Submitted {
    /// Whether nothing was submitted.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Waits until all of it is durable or lost. Yields.
    pub fn wait_durable(mut self) -> BatchOutcome {
        if let Some(ticket) = self.last.take() {
            let _ = fiber::wait(ticket);
        }
        let losses = Database::current().commits().losses();
        BatchOutcome { losses, positions: std::mem::take(&mut self.positions) }
    }
}

impl Drop for Submitted {
    fn drop(&mut self) {
        Database::current().commits().batch_closed();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let forgotten = self.context.batch.last.take();
        drop(forgotten);
        self.context.batch.positions.borrow_mut().clear();
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
        let positions = self.positions.get(marks.start as usize..marks.end as usize)?;
        let lost = self.losses.iter().find(|(from, upto, _)| {
            positions.iter().any(|position| (*from..=*upto).contains(position))
        });
        lost.map(|(_, _, error)| error.clone())
    }
}
