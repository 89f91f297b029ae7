//! Committing: from a transaction's rows to the journal and back.
//!
//! A committed transaction is submitted and stands in a queue until the journal tells how it
//! ended. What it changed is visible meanwhile, as in Tarantool's memtx. When the journal loses
//! entries, they and everything after them are undone, newest first, before any fiber learns of it.
//!
//! Of a transaction of one change only the change stands there, and the transaction is used again at
//! once: hundreds may wait for one write, and their buffers would not fit into the cache.
//!
//! # Invariants
//! - Positions in the queue ascend.
//! - A transaction in the queue belongs to no fiber.
//!
//! # Yields
//! `commit*`, outside of a batch

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use smallvec::SmallVec;

use crate::base::error::{Error, Result};
use crate::fiber;
use crate::wal::{Completion, Ticket};
use crate::xrow::iproto::flag;
use crate::xrow::{Header, Row};

use super::context::Context;
use super::database::Database;
use super::space_definition::GROUP_LOCAL;
use super::statistics::Operation;
use super::transaction::{Decided, Place, Statement, Transaction};

/// Transactions that are submitted and not decided.
#[derive(Default)]
pub(crate) struct Commits {
    queue: Queue,
    open_batches: Cell<usize>,
    /// What was lost while a batch was open.
    losses: RefCell<Vec<(u64, u64, Error)>>,
    /// How often entries of the journal were lost.
    lost_count: Cell<u64>,
    /// Signalled when entries of the journal were written or lost.
    decided: fiber::Cond,
}

impl Commits {
    pub fn batch_opened(&self) {
        self.open_batches.set(self.open_batches.get() + 1);
    }

    pub fn batch_closed(&self) {
        self.open_batches.set(self.open_batches.get() - 1);
        if self.open_batches.get() == 0 {
            self.losses.borrow_mut().clear();
        }
    }

    pub fn losses(&self) -> Vec<(u64, u64, Error)> {
        self.losses.borrow().clone()
    }

    /// Position in the journal of the transaction submitted last, 0 when all are decided.
    pub fn last_position(&self) -> u64 {
        self.queue.borrow().back().map_or(0, |(position, _)| *position)
    }

    /// Whether transactions up to this position wait for the journal.
    pub fn is_pending(&self, upto: u64) -> bool {
        self.queue.borrow().front().is_some_and(|(position, _)| *position <= upto)
    }

    /// How often entries of the journal were lost.
    pub fn lost_count(&self) -> u64 {
        self.lost_count.get()
    }

    /// Waits until the journal has decided something. Yields.
    pub fn wait_for_decision(&self) {
        self.decided.wait();
    }

    /// Bytes that the statements of each waiting transaction take.
    pub fn sizes(&self) -> Vec<usize> {
        self.queue.borrow().iter().map(|(_, pending)| pending.size()).collect()
    }

    /// How many wait for the journal.
    pub fn count(&self) -> usize {
        self.queue.borrow().len()
    }
}

/// The database's ear at the journal.
pub(crate) struct JournalListener;

impl Completion for JournalListener {
    fn written(&self, upto: u64) {
        let db = Database::current();
        while let Some(pending) = pop_front(&db.commits().queue, upto) {
            if let Pending::Transaction(transaction) = pending {
                db.finish_commit(transaction);
            }
        }
        db.commits().decided.broadcast();
    }

    fn lost(&self, from: u64, upto: u64, error: &Error) {
        let db = Database::current();
        while let Some(pending) = pop_back(&db.commits().queue, from) {
            db.finish_rollback(pending.into_transaction(db));
        }
        if db.commits().open_batches.get() > 0 {
            db.commits().losses.borrow_mut().push((from, upto, error.clone()));
        }
        db.commits().lost_count.set(db.commits().lost_count.get() + 1);
        db.commits().decided.broadcast();
    }

    fn checkpoint_wanted(&self) {
        Database::current().request_checkpoint();
    }
}

/// Positions in the journal and what waits for them.
type Queue = RefCell<VecDeque<(u64, Pending)>>;

/// What waits for the journal.
enum Pending {
    /// The change of a transaction of one change in memory, with nobody to tell.
    Statement(Statement),
    Transaction(Rc<Transaction>),
}

impl Pending {
    fn size(&self) -> usize {
        match self {
            Pending::Statement(statement) => size_of_val(statement),
            Pending::Transaction(transaction) => transaction.size(),
        }
    }

    fn into_transaction(self, db: &Database) -> Rc<Transaction> {
        match self {
            Pending::Statement(statement) => {
                let transaction = db.new_transaction();
                transaction.push(statement);
                transaction
            }
            Pending::Transaction(transaction) => transaction,
        }
    }
}

fn pop_front(queue: &Queue, upto: u64) -> Option<Pending> {
    let mut queue = queue.borrow_mut();
    let is_decided = queue.front().is_some_and(|(position, _)| *position <= upto);
    if is_decided { queue.pop_front().map(|(_, pending)| pending) } else { None }
}

fn pop_back(queue: &Queue, from: u64) -> Option<Pending> {
    let mut queue = queue.borrow_mut();
    let is_lost = queue.back().is_some_and(|(position, _)| *position >= from);
    if is_lost { queue.pop_back().map(|(_, pending)| pending) } else { None }
}

impl Database {
    /// Waits until the journal's queue is below its bound. To be called before the first change of
    /// a transaction. Yields when the log is slower than the writers.
    #[inline]
    pub(crate) fn wait_for_room(&self) {
        if !self.is_logging() {
            return;
        }
        if !self.has_room() && fiber::in_fiber() {
            fiber::wait(self.journal().room());
        }
    }

    /// Whether the journal's queue is below its bound.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        !self.is_logging() || self.journal().has_room()
    }

    /// Commits the transaction of a single statement.
    #[inline]
    pub(crate) fn commit_autocommitted(
        &self,
        context: &Context,
        transaction: Rc<Transaction>,
    ) -> Result<()> {
        self.commit_detached(context, transaction)
    }

    /// Commits a transaction that no fiber holds any more. Yields outside of a batch, or when the
    /// transaction has handlers.
    pub(crate) fn commit_detached(
        &self,
        context: &Context,
        transaction: Rc<Transaction>,
    ) -> Result<()> {
        self.statistics().count(Operation::Commit);
        let prepared = match transaction.vinyl() {
            None => Ok(()),
            Some(vinyl) => self.prepare_vinyl(&vinyl),
        };
        let ticket = match prepared.and_then(|()| self.submit(&transaction)) {
            Ok(Some(ticket)) => ticket,
            Ok(None) => {
                transaction.set_place(self.recovery_place());
                self.finish_commit(transaction);
                return Ok(());
            }
            Err(error) => {
                self.rollback_detached(transaction);
                return Err(error);
            }
        };
        let mut waiting = None;
        let pending = match transaction.take_only_statement() {
            Some(statement) => {
                self.recycle(transaction);
                Pending::Statement(statement)
            }
            None => {
                // Handlers are told before `box.commit` returns, also in a batch.
                if transaction.has_handlers() {
                    transaction.set_awaited();
                    waiting = Some(transaction.clone());
                }
                Pending::Transaction(transaction)
            }
        };
        self.commits().queue.borrow_mut().push_back((ticket.position(), pending));
        if waiting.is_none() && context.batch.is_open() {
            context.batch.note(ticket);
            return Ok(());
        }
        let outcome = fiber::wait(ticket);
        if let Some(transaction) = waiting {
            run_handlers(transaction.take_decided());
            self.recycle(transaction);
        }
        outcome
    }

    /// Hands the rows to the journal; `None` when there is nothing to log.
    fn submit(&self, transaction: &Transaction) -> Result<Option<Ticket>> {
        if !self.is_logging() {
            return Ok(None);
        }
        let journal = self.journal();
        let flags = if transaction.is_synchronous() { flag::WAIT_SYNC | flag::WAIT_ACK } else { 0 };
        transaction.with_rows(|statements, bodies| {
            let mut rows: SmallVec<[Row<'_>; 4]> = SmallVec::new();
            for statement in statements.iter().filter(|one| !one.row.is_empty()) {
                let group_id = if statement.is_local { GROUP_LOCAL } else { 0 };
                let header = Header { group_id, ..Header::new(statement.kind) };
                rows.push(Row { header, body: &bodies[statement.row.clone()] });
            }
            if rows.is_empty() {
                return Ok(None);
            }
            let ticket = journal.submit(&mut rows, flags)?;
            let signature = journal.vclock().signature();
            let mut place = Place { signature, ..Place::default() };
            rows.iter().for_each(|row| place.note(row.header.replica_id, row.header.lsn));
            transaction.set_place(place);
            Ok(Some(ticket))
        })
    }

    /// A transaction has become durable.
    fn finish_commit(&self, transaction: Rc<Transaction>) {
        let handlers = transaction.take_handlers(true);
        self.commit_vinyl(&transaction);
        transaction.finish_commit(self);
        self.dispatch_handlers(transaction, handlers);
    }

    /// Undoes a transaction and runs its handlers here.
    pub(crate) fn rollback_detached(&self, transaction: Rc<Transaction>) {
        self.statistics().count(Operation::Rollback);
        let handlers = transaction.take_handlers(false);
        self.rollback_vinyl(&transaction);
        transaction.rollback_to(self, 0);
        run_handlers(handlers);
        self.recycle(transaction);
    }

    /// The journal has lost a transaction.
    fn finish_rollback(&self, transaction: Rc<Transaction>) {
        self.statistics().count(Operation::Rollback);
        let handlers = transaction.take_handlers(false);
        self.rollback_vinyl(&transaction);
        transaction.rollback_to(self, 0);
        self.dispatch_handlers(transaction, handlers);
    }

    /// Has the application's handlers run: by the fiber that waits, or else by one of their own,
    /// because they may yield and this may not.
    fn dispatch_handlers(&self, transaction: Rc<Transaction>, handlers: Option<Decided>) {
        if transaction.is_awaited() {
            transaction.set_decided(handlers);
            return;
        }
        if handlers.is_some() {
            if fiber::is_running() {
                fiber::spawn("txn_handlers", move || run_handlers(handlers));
            } else {
                run_handlers(handlers);
            }
        }
        self.recycle(transaction);
    }
}

/// Runs handlers, the newest first.
pub(crate) fn run_handlers(handlers: Option<Decided>) {
    let Some((handlers, event)) = handlers else { return };
    for handler in handlers.into_iter().rev() {
        handler(&event);
    }
}
