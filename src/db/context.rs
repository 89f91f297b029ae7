//! What the database keeps for each fiber: its transaction, its user, its batch.
//!
//! # Invariants
//! A transaction belongs to one fiber at a time; the one that commits lets go of it first.
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::fiber;

use super::batch::BatchState;
use super::session_setting::SessionSettings;
use super::transaction::Transaction;
use super::user::ADMIN;

/// The state of one fiber.
pub(crate) struct Context {
    transaction: RefCell<Option<Rc<Transaction>>>,
    /// Effective user id.
    pub user: Cell<u32>,
    /// How statements of this fiber commit.
    pub batch: BatchState,
    /// The settings of the session that the fiber works for.
    settings: RefCell<Rc<SessionSettings>>,
}

impl Context {
    fn new() -> Context {
        let user = Cell::new(ADMIN);
        Context {
            transaction: RefCell::new(None),
            user,
            batch: BatchState::default(),
            settings: RefCell::default(),
        }
    }

    /// The settings of the session.
    pub fn settings(&self) -> Rc<SessionSettings> {
        self.settings.borrow().clone()
    }

    /// Works for the session with these settings from now on.
    pub fn set_settings(&self, settings: Rc<SessionSettings>) {
        self.settings.replace(settings);
    }

    /// The transaction under way.
    #[inline]
    pub fn transaction(&self) -> Option<Rc<Transaction>> {
        self.transaction.borrow().clone()
    }

    /// Sets or clears the transaction.
    pub fn set_transaction(&self, transaction: Option<Rc<Transaction>>) {
        let old = self.transaction.replace(transaction);
        drop(old);
    }
}

thread_local! {
    /// The context found last, with the switch counter at that time: as long as no switch
    /// happened it is still the running fiber's.
    static LAST: RefCell<Option<(u64, Rc<Context>)>> = const { RefCell::new(None) };
    /// For code that runs before the first fiber.
    static OUTSIDE: Rc<Context> = Rc::new(Context::new());
}

/// The context of the running fiber.
#[inline]
pub(crate) fn current() -> Rc<Context> {
    let switches = fiber::switch_count();
    let known = LAST.with_borrow(|last| match last {
        Some((at, context)) if *at == switches => Some(context.clone()),
        _ => None,
    });
    known.unwrap_or_else(|| find(switches))
}

#[cold]
fn find(switches: u64) -> Rc<Context> {
    if !fiber::in_fiber() {
        return OUTSIDE.with(Rc::clone);
    }
    let context = fiber::current().local(Context::new);
    LAST.set(Some((switches, context.clone())));
    context
}

/// The hook the fiber scheduler calls on the fiber that is about to switch away: data of a
/// transaction that is not committed must not be seen by others, so a switch aborts it.
pub(crate) fn on_yield(_fiber: &fiber::Fiber) {
    let transaction = LAST.with_borrow(|last| match last {
        Some((at, context)) if *at == fiber::switch_count() => context.transaction(),
        _ => None,
    });
    if let Some(transaction) = transaction {
        transaction.abort_by_yield();
    }
}
