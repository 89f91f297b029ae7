//! Transactions as sessions control them: begin, commit, rollback, savepoints.
//!
//! # Yields
//! `commit`

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::base::error::Result;
use crate::client_error;

use super::context;
use super::database::Database;
use super::statistics::Operation;
use super::transaction::{Handler, Isolation, Savepoint, Transaction, no_savepoint};

/// What `box.begin` takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct BeginOptions {
    /// When the transaction is aborted unless it has ended; `None`: the configured default.
    pub timeout: Option<Duration>,
    /// The isolation level.
    pub isolation: Isolation,
    /// Whether it waits for a quorum.
    pub is_synchronous: bool,
}

impl Database {
    /// The transaction of this fiber.
    #[inline]
    pub fn transaction(&self) -> Option<Rc<Transaction>> {
        context::current().transaction()
    }

    /// Whether this fiber is in a transaction.
    #[inline]
    pub fn is_in_transaction(&self) -> bool {
        self.transaction().is_some()
    }

    /// Begins a transaction in this fiber.
    pub fn begin(&self, options: BeginOptions) -> Result<()> {
        let context = context::current();
        if context.transaction().is_some() {
            return Err(client_error!(ER_ACTIVE_TRANSACTION));
        }
        self.wait_for_room();
        self.statistics().count(Operation::Begin);
        let transaction = self.new_transaction();
        transaction.set_isolation(options.isolation)?;
        transaction.set_synchronous(options.is_synchronous);
        let timeout = options.timeout.or(self.options().transaction_timeout);
        transaction
            .set_deadline(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))?;
        context.set_transaction(Some(transaction));
        Ok(())
    }

    /// Commits the transaction of this fiber; without one there is nothing to do. Yields outside
    /// of a batch.
    pub fn commit(&self) -> Result<()> {
        let context = context::current();
        let Some(transaction) = context.transaction() else { return Ok(()) };
        if transaction.is_in_statement() {
            return Err(client_error!(ER_COMMIT_IN_SUB_STMT));
        }
        let state = transaction.check(self);
        context.set_transaction(None);
        if let Err(error) = state {
            self.rollback_detached(transaction);
            return Err(error);
        }
        self.commit_detached(&context, transaction)
    }

    /// Rolls back the transaction of this fiber; without one there is nothing to do.
    pub fn rollback(&self) -> Result<()> {
        let context = context::current();
        let Some(transaction) = context.transaction() else { return Ok(()) };
        if transaction.is_in_statement() {
            return Err(client_error!(ER_ROLLBACK_IN_SUB_STMT));
        }
        context.set_transaction(None);
        self.rollback_detached(transaction);
        Ok(())
    }

    /// Makes a savepoint in the transaction of this fiber.
    pub fn savepoint(&self) -> Result<Savepoint> {
        let transaction = self.require_transaction()?;
        transaction.check(self)?;
        Ok(transaction.savepoint())
    }

    /// Rolls back to a savepoint of the transaction of this fiber.
    pub fn rollback_to_savepoint(&self, savepoint: Savepoint) -> Result<()> {
        let transaction = self.require_transaction()?;
        transaction.check(self).map_err(|_| no_savepoint())?;
        transaction.rollback_to_savepoint(self, savepoint)
    }

    /// Calls `handler` when the transaction of this fiber has committed.
    pub fn on_commit(&self, handler: Handler) -> Result<()> {
        self.require_transaction()?.on_commit(handler);
        Ok(())
    }

    /// Calls `handler` when the transaction of this fiber has been rolled back.
    pub fn on_rollback(&self, handler: Handler) -> Result<()> {
        self.require_transaction()?.on_rollback(handler);
        Ok(())
    }

    /// Takes the transaction away from this fiber, for a stream that resumes it in another. That
    /// is a yield: others will run meanwhile.
    pub fn detach_transaction(&self) -> Option<Rc<Transaction>> {
        let context = context::current();
        let transaction = context.transaction()?;
        context.set_transaction(None);
        transaction.abort_by_yield();
        Some(transaction)
    }

    /// Gives this fiber a transaction that was taken from another.
    pub fn attach_transaction(&self, transaction: Rc<Transaction>) {
        context::current().set_transaction(Some(transaction));
    }

    fn require_transaction(&self) -> Result<Rc<Transaction>> {
        self.transaction().ok_or_else(|| client_error!(ER_NO_TRANSACTION))
    }
}
