//! A fiber as others see it: identity, state, locals, cancellation, joining.
//!
//! # Invariants
//! - `queued` is true exactly while the fiber stands in the ready queue.
//! - A dead fiber's coroutine is gone and its stack is back in the pool.
//!
//! # Yields
//! `join`, `join_until`

use std::any::{Any, TypeId};
use std::cell::{Cell, OnceCell, RefCell, UnsafeCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corosensei::{Coroutine, Yielder};

use super::cond::Cond;
use super::scheduler::{self, SCHEDULER};
use super::stack::Stack;
use super::waker::Wake;
use crate::base::clock::{self, Clock};

pub(super) type Routine = Coroutine<(), (), (), Stack>;
pub(super) type Entry = Box<dyn FnOnce()>;

/// What a fiber is doing, in Tarantool's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is the one that runs.
    Running,
    /// It waits, or stands in the ready queue.
    Suspended,
    /// It has ended.
    Dead,
}

impl Status {
    /// The word `fiber.status()` returns.
    pub fn name(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Suspended => "suspended",
            Status::Dead => "dead",
        }
    }
}

/// Values of upper layers that live with a fiber, one per type.
#[derive(Default)]
pub struct Locals(Vec<(TypeId, Rc<dyn Any>)>);

/// A counted handle of a fiber.
#[derive(Clone)]
pub struct Fiber(pub(super) Rc<Body>);

pub(super) struct Body {
    pub(super) id: u64,
    pub(super) name: RefCell<String>,
    pub(super) status: Cell<Status>,
    pub(super) queued: Cell<bool>,
    pub(super) cancelled: Cell<bool>,
    pub(super) cancellable: Cell<bool>,
    pub(super) joinable: Cell<bool>,
    pub(super) system: Cell<bool>,
    pub(super) switches: Cell<u64>,
    pub(super) run_time: Cell<Duration>,
    pub(super) entry: Cell<Option<Entry>>,
    /// Touched only by the scheduler, never while the fiber itself runs on it.
    pub(super) routine: UnsafeCell<Option<Routine>>,
    pub(super) yielder: Cell<*const Yielder<(), ()>>,
    pub(super) stack_start: Cell<usize>,
    pub(super) wake: OnceCell<Arc<Wake>>,
    pub(super) timer: Cell<u64>,
    pub(super) overflowed: Cell<bool>,
    pub(super) finished: Cond,
    pub(super) locals: RefCell<Locals>,
    /// A word for the layer above (the Lua thread of this fiber); read on every border crossing.
    pub(super) host_state: Cell<*mut ()>,
}

impl Fiber {
    pub(super) fn new(id: u64, name: &str, entry: Entry) -> Fiber {
        Fiber(Rc::new(Body {
            id,
            name: RefCell::new(name.to_owned()),
            status: Cell::new(Status::Suspended),
            queued: Cell::new(false),
            cancelled: Cell::new(false),
            cancellable: Cell::new(true),
            joinable: Cell::new(false),
            system: Cell::new(false),
            switches: Cell::new(0),
            run_time: Cell::new(Duration::ZERO),
            entry: Cell::new(Some(entry)),
            routine: UnsafeCell::new(None),
            yielder: Cell::new(std::ptr::null()),
            stack_start: Cell::new(0),
            wake: OnceCell::new(),
            timer: Cell::new(0),
            overflowed: Cell::new(false),
            finished: Cond::new(),
            locals: RefCell::default(),
            host_state: Cell::new(std::ptr::null_mut()),
        }))
    }

    /// Its number; never reused.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.0.name.borrow().clone()
    }

    /// Renames it.
    pub fn set_name(&self, name: &str) {
        name.clone_into(&mut self.0.name.borrow_mut());
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        self.0.status.get()
    }

    /// Whether it has ended.
    pub fn is_dead(&self) -> bool {
        self.status() == Status::Dead
    }

    /// Whether both handles name the same fiber.
    pub fn same(&self, other: &Fiber) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// How often it was switched to.
    pub fn switch_count(&self) -> u64 {
        self.0.switches.get()
    }

    /// Processor time it used, as far as [`Fiber::measure`] is on.
    pub fn run_time(&self) -> Duration {
        self.0.run_time.get()
    }

    pub(super) fn add_run_time(&self, since: Duration) {
        let spent = clock::read(Clock::Monotonic).saturating_sub(since);
        self.0.run_time.set(self.0.run_time.get() + spent);
    }

    /// Whether it ended because its stack was too small for what it called.
    pub fn overflowed(&self) -> bool {
        self.0.overflowed.get()
    }

    /// Makes it ready, whatever it waits for; that wait then checks its condition again.
    pub fn wakeup(&self) {
        scheduler::make_ready(self);
    }

    /// Asks it to end: every cancellable wait of it fails from now on.
    pub fn cancel(&self) {
        self.0.cancelled.set(true);
        if self.0.cancellable.get() {
            self.wakeup();
        }
    }

    /// Whether [`Fiber::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.get()
    }

    /// Whether `cancel` wakes it. A fiber waiting for the log is not cancellable.
    pub fn set_cancellable(&self, cancellable: bool) -> bool {
        self.0.cancellable.replace(cancellable)
    }

    /// Whether someone will join it.
    pub fn is_joinable(&self) -> bool {
        self.0.joinable.get()
    }

    /// Says whether someone will join it. A joinable fiber that ended stays findable, with its
    /// locals, until this is called with false.
    pub fn set_joinable(&self, joinable: bool) {
        self.0.joinable.set(joinable);
        if !joinable && self.is_dead() {
            SCHEDULER.with(|scheduler| scheduler.forget(self));
        }
    }

    /// Marks it as the server's own, which `fiber.kill` must not end.
    pub fn set_system(&self) {
        self.0.system.set(true);
    }

    /// Whether it is the server's own.
    pub fn is_system(&self) -> bool {
        self.0.system.get()
    }

    /// Waits until it has ended. Yields.
    pub fn join(&self) {
        while !self.is_dead() {
            self.0.finished.wait();
        }
    }

    /// Waits until it has ended or the time has passed; false: it still runs. Yields.
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        let deadline = std::time::Instant::now().checked_add(timeout);
        while !self.is_dead() {
            if deadline.is_some_and(|deadline| std::time::Instant::now() >= deadline) {
                return false;
            }
            self.0.finished.wait_until(deadline);
        }
        true
    }

    /// The local of type `T`, made by `make` on first use.
    pub fn local<T: 'static>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        if let Some(found) = self.find_local::<T>() {
            return found;
        }
        let value = Rc::new(make());
        self.set_local(value.clone());
        value
    }

    /// Sets the local of type `T`, which was not there before.
    pub fn set_local<T: 'static>(&self, value: Rc<T>) {
        self.0.locals.borrow_mut().0.push((TypeId::of::<T>(), value));
    }

    /// The local of type `T`, if it was made.
    pub fn find_local<T: 'static>(&self) -> Option<Rc<T>> {
        let locals = self.0.locals.borrow();
        let (_, value) = locals.0.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.clone().downcast().ok()
    }

    /// Drops the local of type `T`.
    pub fn remove_local<T: 'static>(&self) {
        let mut locals = self.0.locals.borrow_mut();
        let removed = locals.0.iter().position(|(id, _)| *id == TypeId::of::<T>());
        let value = removed.map(|index| locals.0.swap_remove(index));
        drop(locals);
        drop(value);
    }

    /// The word kept for the layer above.
    pub fn host_state(&self) -> *mut () {
        self.0.host_state.get()
    }

    /// Sets the word kept for the layer above.
    pub fn set_host_state(&self, state: *mut ()) {
        self.0.host_state.set(state);
    }
}
