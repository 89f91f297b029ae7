//! A transaction: the statements of one fiber that take effect together or not at all.
//!
//! Statements change the indexes at once and leave their old and new tuple here, so that rolling
//! back is putting the old tuples back, newest statement first. Committing hands the rows to the
//! journal ([`commit`](super::commit)).
//!
//! # Invariants
//! - No borrow of the state is held while a handler or a trigger runs: those re-enter.
//! - Rollback never fails and never yields.
//!
//! # Yields
//! never; a yield of the owner's fiber aborts it, unless it is one of vinyl

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use crate::base::error::{Error, Result};
use crate::base::limits::SUB_STATEMENT_DEPTH_MAX;
use crate::client_error;
use crate::tuple::Tuple;
use crate::vinyl::{self, Visibility};
use crate::xrow::Request;

use super::database::{Database, Phase};
use super::space::Space;
use super::space_definition::Engine;

/// Something to do when a statement or transaction is decided.
pub(crate) type Effect = Box<dyn FnOnce(&Database)>;

/// A handler set by the application with `box.on_commit` or `box.on_rollback`.
pub type Handler = Box<dyn FnOnce(&TransactionEvent)>;

/// What handlers of a transaction see of it.
pub struct TransactionEvent {
    /// Space id, old tuple and new tuple of each statement, in order.
    pub statements: Vec<(u32, Option<Tuple>, Option<Tuple>)>,
}

/// Why a transaction cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abort {
    /// The fiber yielded.
    Yield,
    /// It took longer than its timeout.
    Timeout,
    /// Another has committed what it contradicts.
    Conflict,
}

/// Isolation levels of `box.begin`. Without the MVCC engine all behave the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Isolation {
    /// The configured default.
    #[default]
    Default,
    /// Sees what is committed but not yet durable.
    ReadCommitted,
    /// Sees what is durable.
    ReadConfirmed,
    /// Decides by whether it writes.
    BestEffort,
    /// One order of all.
    Linearizable,
}

/// One change of one tuple.
pub(crate) struct Statement {
    /// The version of the space it was made in.
    pub space: Rc<Space>,
    /// Request type, as logged.
    pub kind: u16,
    /// The tuple that went.
    pub old: Option<Tuple>,
    /// The tuple that came.
    pub new: Option<Tuple>,
    /// What the transaction had written to vinyl before.
    pub mark: usize,
    /// The body of its row in the transaction's buffer; empty: not logged.
    pub row: std::ops::Range<usize>,
    /// Whether the row stays on this instance (replication group 1).
    pub is_local: bool,
    /// What DDL wants done with the outcome.
    pub effects: Option<Box<Effects>>,
}

/// What DDL wants done with the outcome of a statement.
#[derive(Default)]
pub(crate) struct Effects {
    pub on_commit: Vec<Effect>,
    pub on_rollback: Vec<Effect>,
}

/// A named point to roll back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Savepoint {
    transaction_id: u64,
    number: u64,
    depth: usize,
}

#[derive(Default)]
struct State {
    statements: Vec<Statement>,
    /// Encoded row bodies, one after the other.
    bodies: Vec<u8>,
    /// Number of the savepoint and the count of statements at that time.
    savepoints: Vec<(u64, usize)>,
    on_commit: Vec<Handler>,
    on_rollback: Vec<Handler>,
    decided: Option<Decided>,
}

impl State {
    fn has_handlers(&self) -> bool {
        !self.on_commit.is_empty() || !self.on_rollback.is_empty()
    }
}

/// Handlers of an outcome and what they are shown.
pub(crate) type Decided = (Vec<Handler>, TransactionEvent);

/// A transaction.
#[derive(Default)]
pub struct Transaction {
    id: Cell<u64>,
    state: RefCell<State>,
    depth: Cell<usize>,
    abort: Cell<Option<Abort>>,
    deadline: Cell<Option<Instant>>,
    isolation: Cell<Isolation>,
    savepoint_count: Cell<u64>,
    is_synchronous: Cell<bool>,
    is_awaited: Cell<bool>,
    /// Whether it is not aborted when its fiber yields.
    survives_yields: Cell<bool>,
    /// The engine of its statements.
    engine: Cell<Option<Engine>>,
    /// Its part in vinyl.
    vinyl: RefCell<Option<Rc<vinyl::Transaction>>>,
    /// Where its last rows stand in the log, once it was submitted.
    place: Cell<Place>,
}

/// Where the last rows of a transaction stand in the log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// Replica id and LSN of the last replicated row and of the last local one.
    pub rows: [(u32, i64); 2],
    /// Signature of the vclock with them.
    pub signature: i64,
}

impl Place {
    /// Notes a row.
    pub fn note(&mut self, replica_id: u32, lsn: i64) {
        self.rows[usize::from(replica_id == 0)] = (replica_id, lsn);
    }
}

impl Transaction {
    /// Its number; `box.txn_id()`.
    pub fn id(&self) -> u64 {
        self.id.get()
    }

    /// Bytes that its statements take, the tuples aside.
    pub(crate) fn size(&self) -> usize {
        let state = self.state.borrow();
        state.statements.len() * size_of::<Statement>() + state.bodies.len()
    }

    /// Its isolation level.
    pub fn isolation(&self) -> Isolation {
        self.isolation.get()
    }

    /// Sets its isolation level, possible until the first statement.
    pub fn set_isolation(&self, isolation: Isolation) -> Result<()> {
        if !self.state.borrow().statements.is_empty() {
            return Err(client_error!(ER_ACTIVE_TRANSACTION));
        }
        self.isolation.set(isolation);
        Ok(())
    }

    /// Sets when it is aborted unless it has ended.
    pub fn set_deadline(&self, deadline: Option<Instant>) -> Result<()> {
        if deadline.is_some() && self.deadline.get().is_some() {
            return Err(client_error!(ER_ACTIVE_TIMER));
        }
        self.deadline.set(deadline);
        Ok(())
    }

    /// Marks it as one that waits for a quorum of replicas.
    pub fn set_synchronous(&self, synchronous: bool) {
        self.is_synchronous.set(synchronous);
    }

    /// Whether it waits for a quorum of replicas.
    pub fn is_synchronous(&self) -> bool {
        self.is_synchronous.get()
    }

    /// Whether it has changed nothing.
    pub fn is_empty(&self) -> bool {
        self.state.borrow().statements.is_empty()
    }

    /// Calls `handler` when it has committed.
    pub fn on_commit(&self, handler: Handler) {
        self.state.borrow_mut().on_commit.push(handler);
    }

    /// Calls `handler` when it has been rolled back.
    pub fn on_rollback(&self, handler: Handler) {
        self.state.borrow_mut().on_rollback.push(handler);
    }

    /// Whether the application set handlers.
    pub(crate) fn has_handlers(&self) -> bool {
        self.state.borrow().has_handlers()
    }

    /// Starts over as a new transaction, keeping its buffers.
    pub(crate) fn renew(&self, id: u64) {
        debug_assert!(self.is_empty(), "only a decided transaction is used again");
        self.id.set(id);
        self.depth.set(0);
        self.abort.set(None);
        self.deadline.set(None);
        self.isolation.set(Isolation::Default);
        self.savepoint_count.set(0);
        // Savepoints from before its first change have outlived the rollback.
        self.state.borrow_mut().savepoints.clear();
        self.is_synchronous.set(false);
        self.is_awaited.set(false);
        self.engine.set(None);
        self.place.set(Place::default());
    }

    /// Refuses to go on when it was aborted or is out of time.
    #[inline]
    pub(crate) fn check(&self, db: &Database) -> Result<()> {
        let is_in_memory = self.engine.get() != Some(Engine::Vinyl);
        if self.abort.get().is_none() && self.deadline.get().is_none() && is_in_memory {
            return Ok(());
        }
        self.check_slow(db)
    }

    #[cold]
    fn check_slow(&self, db: &Database) -> Result<()> {
        let is_late = self.deadline.get().is_some_and(|deadline| Instant::now() >= deadline);
        if self.abort.get().is_none() && is_late {
            self.rollback_to(db, 0);
            self.abort.set(Some(Abort::Timeout));
        }
        if self.abort.get().is_none() && self.vinyl().is_some_and(|vinyl| vinyl.is_aborted()) {
            self.rollback_to(db, 0);
            self.abort.set(Some(Abort::Conflict));
        }
        match self.abort.get() {
            None => Ok(()),
            Some(Abort::Yield) => Err(client_error!(ER_TRANSACTION_YIELD)),
            Some(Abort::Timeout) => Err(client_error!(ER_TRANSACTION_TIMEOUT)),
            Some(Abort::Conflict) => Err(client_error!(ER_TRANSACTION_CONFLICT)),
        }
    }

    /// Whether it was taken back and can only be ended.
    pub fn is_aborted(&self) -> bool {
        self.abort.get().is_some()
    }

    /// Whether the statement under way is the first one.
    pub(crate) fn is_first_statement(&self) -> bool {
        self.depth.get() == 1 && self.state.borrow().statements.len() == 1
    }

    /// Has it survive yields of its fiber, or not any more.
    pub(crate) fn set_surviving_yields(&self, survives: bool) {
        self.survives_yields.set(survives);
    }

    /// Takes back everything because the fiber yields.
    pub(crate) fn abort_by_yield(&self) {
        let is_idle = self.is_empty() && !self.is_in_statement();
        let is_in_vinyl = self.engine.get() == Some(Engine::Vinyl);
        if self.abort.get().is_some() || is_idle || is_in_vinyl || self.survives_yields.get() {
            return;
        }
        let db = Database::current();
        if db.phase() != Phase::Running {
            // Nobody else looks at the data yet.
            return;
        }
        self.rollback_to(db, 0);
        self.abort.set(Some(Abort::Yield));
    }

    /// Whether a statement may use what is in memory.
    #[inline]
    pub fn may_use_memtx(&self, db: &Database) -> bool {
        self.check(db).is_ok() && self.join(db, Engine::Memtx).is_ok()
    }

    /// Joins the engine of a space that a statement reads or writes: one transaction has one.
    #[inline]
    pub(crate) fn join(&self, db: &Database, engine: Engine) -> Result<()> {
        match self.engine.get() {
            Some(known) if known == engine => Ok(()),
            None if engine == Engine::Memtx => {
                self.engine.set(Some(engine));
                Ok(())
            }
            _ => self.join_slow(db, engine),
        }
    }

    #[cold]
    fn join_slow(&self, db: &Database, engine: Engine) -> Result<()> {
        if !matches!(engine, Engine::Memtx | Engine::Vinyl) {
            return Ok(());
        }
        if self.engine.get().is_some() {
            return Err(client_error!(ER_MVCC_UNAVAILABLE, "memtx", "vinyl"));
        }
        let isolation = match self.isolation() {
            Isolation::Default => db.isolation(),
            chosen => chosen,
        };
        let visibility = match isolation {
            Isolation::ReadCommitted => Visibility::Prepared,
            Isolation::ReadConfirmed | Isolation::Linearizable => Visibility::Confirmed,
            Isolation::Default | Isolation::BestEffort => Visibility::BestEffort,
        };
        let visibility = if super::context::current().batch.is_open() {
            Visibility::Prepared
        } else {
            visibility
        };
        let vinyl = db.vinyl()?.begin(visibility);
        *self.vinyl.borrow_mut() = Some(vinyl);
        self.engine.set(Some(engine));
        Ok(())
    }

    /// Its part in vinyl.
    #[inline]
    pub(crate) fn vinyl(&self) -> Option<Rc<vinyl::Transaction>> {
        self.vinyl.borrow().clone()
    }

    /// Takes its part in vinyl out, to be decided.
    pub(crate) fn take_vinyl(&self) -> Option<Rc<vinyl::Transaction>> {
        self.vinyl.borrow_mut().take()
    }

    /// Where its last rows stand in the log.
    pub(crate) fn place(&self) -> Place {
        self.place.get()
    }

    pub(crate) fn set_place(&self, place: Place) {
        self.place.set(place);
    }

    /// Enters a statement, which may be one inside a trigger of another.
    #[inline]
    pub(crate) fn enter(&self) -> Result<usize> {
        let depth = self.depth.get();
        if depth > SUB_STATEMENT_DEPTH_MAX {
            return Err(client_error!(ER_SUB_STMT_MAX));
        }
        self.depth.set(depth + 1);
        Ok(self.state.borrow().statements.len())
    }

    /// Leaves a statement.
    #[inline]
    pub(crate) fn leave(&self) {
        self.depth.set(self.depth.get() - 1);
    }

    /// Whether a statement is under way.
    pub(crate) fn is_in_statement(&self) -> bool {
        self.depth.get() > 0
    }

    /// Notes a change of the indexes.
    #[inline]
    pub(crate) fn push(&self, statement: Statement) -> usize {
        let mut state = self.state.borrow_mut();
        state.statements.push(statement);
        state.statements.len() - 1
    }

    /// Encodes the row of a statement.
    #[inline]
    pub(crate) fn write_row(&self, index: usize, request: &Request<'_>) {
        let state = &mut *self.state.borrow_mut();
        let Some(statement) = state.statements.get_mut(index) else { return };
        let start = state.bodies.len();
        request.encode(&mut state.bodies);
        statement.row = start..state.bodies.len();
        statement.kind = request.kind;
    }

    /// Runs `change` on a statement.
    pub(crate) fn with_statement<T>(
        &self,
        index: usize,
        change: impl FnOnce(&mut Statement) -> T,
    ) -> T {
        change(&mut self.state.borrow_mut().statements[index])
    }

    /// Shows the statements and the bodies of their rows.
    pub(crate) fn with_rows<T>(&self, show: impl FnOnce(&[Statement], &[u8]) -> T) -> T {
        let state = self.state.borrow();
        show(&state.statements, &state.bodies)
    }

    /// Takes out its statement, if it is its only one and nothing else of the transaction matters to
    /// the outcome: it is in memory, without handlers and effects. The transaction may be used again.
    pub(crate) fn take_only_statement(&self) -> Option<Statement> {
        let state = &mut *self.state.borrow_mut();
        let [statement] = &state.statements[..] else { return None };
        let is_on_disk = self.engine.get() == Some(Engine::Vinyl);
        if state.has_handlers() || is_on_disk || statement.effects.is_some() {
            return None;
        }
        state.bodies.clear();
        state.statements.pop()
    }

    /// Says that a fiber waits for the outcome and will run the application's handlers.
    pub(crate) fn set_awaited(&self) {
        self.is_awaited.set(true);
    }

    /// Whether a fiber waits for the outcome.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_awaited.get()
    }

    /// Leaves the handlers of the outcome to the fiber that waits.
    pub(crate) fn set_decided(&self, handlers: Option<Decided>) {
        self.state.borrow_mut().decided = handlers;
    }

    /// The handlers of the outcome.
    pub(crate) fn take_decided(&self) -> Option<Decided> {
        self.state.borrow_mut().decided.take()
    }

    /// Takes back the statements from `keep` on, newest first.
    pub(crate) fn rollback_to(&self, db: &Database, keep: usize) {
        loop {
            let mut statement = {
                let mut state = self.state.borrow_mut();
                if state.statements.len() <= keep {
                    break;
                }
                let statement = state.statements.pop().expect("there is one more than to keep");
                if !statement.row.is_empty() {
                    state.bodies.truncate(statement.row.start);
                }
                statement
            };
            for effect in statement.effects.take().into_iter().flat_map(|it| it.on_rollback).rev() {
                effect(db);
            }
            if statement.space.definition().engine == Engine::Vinyl {
                if let Some(vinyl) = self.vinyl() {
                    vinyl.rollback_to(statement.mark);
                }
            } else {
                statement.space.undo(statement.old.as_ref(), statement.new.as_ref());
            }
        }
        let mut state = self.state.borrow_mut();
        let count = state.statements.len();
        state.savepoints.retain(|(_, at)| *at <= count);
    }

    /// Ends it as committed: runs what DDL left to do and forgets the statements.
    pub(crate) fn finish_commit(&self, db: &Database) {
        let mut statements = std::mem::take(&mut self.state.borrow_mut().statements);
        for statement in &mut statements {
            if let Some(effects) = statement.effects.take() {
                db.set_deciding(self.place());
                effects.on_commit.into_iter().for_each(|effect| effect(db));
            }
        }
        statements.clear();
        let mut state = self.state.borrow_mut();
        // Handlers that ran may not have left statements behind: the transaction is decided.
        state.statements = statements;
        state.bodies.clear();
        state.savepoints.clear();
        drop(std::mem::take(&mut state.on_rollback));
    }

    /// Takes the application's handlers for the outcome, with what they are shown. To be called
    /// before the statements are forgotten.
    pub(crate) fn take_handlers(&self, committed: bool) -> Option<Decided> {
        let mut state = self.state.borrow_mut();
        let (kept, dropped) = if committed {
            (std::mem::take(&mut state.on_commit), std::mem::take(&mut state.on_rollback))
        } else {
            (std::mem::take(&mut state.on_rollback), std::mem::take(&mut state.on_commit))
        };
        let event = (!kept.is_empty()).then(|| TransactionEvent {
            statements: state
                .statements
                .iter()
                .map(|one| (one.space.id(), one.old.clone(), one.new.clone()))
                .collect(),
        });
        drop(state);
        drop(dropped);
        event.map(|event| (kept, event))
    }

    /// Makes a savepoint.
    pub(crate) fn savepoint(&self) -> Savepoint {
        let number = self.savepoint_count.get() + 1;
        self.savepoint_count.set(number);
        let mut state = self.state.borrow_mut();
        let count = state.statements.len();
        state.savepoints.push((number, count));
        Savepoint { transaction_id: self.id(), number, depth: self.depth.get() }
    }

    /// Rolls back to a savepoint, which stays valid.
    pub(crate) fn rollback_to_savepoint(&self, db: &Database, savepoint: Savepoint) -> Result<()> {
        let known = self.state.borrow().savepoints.iter().copied().find(|(number, _)| {
            savepoint.transaction_id == self.id()
                && *number == savepoint.number
                && savepoint.depth == self.depth.get()
        });
        let Some((number, keep)) = known else { return Err(no_savepoint()) };
        // Savepoints made after this one are gone, even those at the same count of statements.
        self.state.borrow_mut().savepoints.retain(|(other, _)| *other <= number);
        self.rollback_to(db, keep);
        Ok(())
    }
}

pub(crate) fn no_savepoint() -> Error {
    client_error!(ER_NO_SUCH_SAVEPOINT)
}
