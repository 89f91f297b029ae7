//! The run loop and the switch.
//!
//! `run` drives a tokio current-thread runtime whose root future resumes ready fibers. It stays
//! in the loop for a bounded number of switches, then lets tokio look at sockets, so neither
//! starves the other.
//!
//! # Invariants
//! - `CURRENT` is the fiber whose stack runs, and is empty while the loop itself runs.
//! - Hooks of upper layers run on the stack of the fiber that yields, before the switch.
//!
//! # Yields
//! `suspend`, `yield_now`, `wait`, `wait_or_cancel`

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::handle::{Entry, Fiber, Status};
use super::ready::Ready;
use super::stack::{self, Pool};
use super::timer::Timers;
use super::waker::{self, Remote};
use super::{cancelled_error, now, overflow, slice, test_cancel_first};
use crate::base::clock::{self, Clock};
use crate::base::error::Result;

/// Fibers resumed in a row before sockets are looked at again.
const SWITCHES_PER_TURN: usize = 256;
/// How long a turn may take, as far as fibers yield: sockets are looked at in between.
const TURN_MAX: Duration = Duration::from_micros(500);
/// After how many switches the clock is asked for that, unless the last turn took too long.
const SWITCHES_PER_CHECK: usize = 4;

/// The first id; Tarantool reserves the ids up to 100 for its own.
const FIRST_ID: u64 = 101;

pub(super) struct Scheduler {
    switches_per_check: Cell<usize>,
    ready: RefCell<Ready>,
    fibers: RefCell<HashMap<u64, Fiber, ahash::RandomState>>,
    next_id: Cell<u64>,
    switches: Cell<u64>,
    stopping: Cell<bool>,
    measuring: Cell<bool>,
    forbidden: Cell<u32>,
    /// Whether the loop is at work; it then looks at the queue by itself before it returns.
    turning: Cell<bool>,
    root: RefCell<Option<Waker>>,
    pub(super) timers: Timers,
    pub(super) remote: Arc<Remote>,
    stacks: Pool,
    yield_hooks: RefCell<Vec<fn(&Fiber)>>,
    idle_hook: RefCell<Option<Rc<dyn Fn()>>>,
    overflow_hook: Cell<Option<fn(&Fiber)>>,
    end_hook: Cell<Option<fn()>>,
}

thread_local! {
    pub(super) static SCHEDULER: Scheduler = Scheduler {
        switches_per_check: Cell::new(SWITCHES_PER_CHECK),
        ready: RefCell::default(),
        fibers: RefCell::default(),
        next_id: Cell::new(FIRST_ID),
        switches: Cell::new(0),
        stopping: Cell::new(false),
        measuring: Cell::new(false),
        forbidden: Cell::new(0),
        turning: Cell::new(false),
        root: RefCell::new(None),
        timers: Timers::default(),
        remote: Arc::default(),
        stacks: Pool::default(),
        yield_hooks: RefCell::default(),
        idle_hook: RefCell::default(),
        overflow_hook: Cell::new(None),
        end_hook: Cell::new(None),
    };
    static CURRENT: RefCell<Option<Fiber>> = const { RefCell::new(None) };
}

/// The fiber that runs. Panics outside fibers, where nothing that needs one may be called.
pub fn current() -> Fiber {
    CURRENT.with_borrow(|current| current.clone()).expect("called inside a fiber")
}

/// Whether the caller runs in a fiber.
pub fn in_fiber() -> bool {
    CURRENT.with_borrow(Option::is_some)
}

/// The fiber with this id, if it lives.
pub fn find(id: u64) -> Option<Fiber> {
    SCHEDULER.with(|scheduler| scheduler.fibers.borrow().get(&id).cloned())
}

/// All living fibers, by id.
pub fn all() -> Vec<Fiber> {
    let mut fibers: Vec<Fiber> =
        SCHEDULER.with(|scheduler| scheduler.fibers.borrow().values().cloned().collect());
    fibers.sort_by_key(Fiber::id);
    fibers
}

/// How many fibers live.
pub fn live_count() -> usize {
    SCHEDULER.with(|scheduler| scheduler.fibers.borrow().len())
}

/// Switches since the start: two equal readings prove that nothing else ran in between.
pub fn switch_count() -> u64 {
    SCHEDULER.with(|scheduler| scheduler.switches.get())
}

/// Makes a fiber that starts on the next turn of the loop.
pub fn spawn(name: &str, entry: impl FnOnce() + 'static) -> Fiber {
    let fiber = SCHEDULER.with(|scheduler| scheduler.add(name, Box::new(entry)));
    make_ready(&fiber);
    fiber
}

/// Makes a fiber and runs it at once, until its first switch. Yields.
pub fn start(name: &str, entry: impl FnOnce() + 'static) -> Fiber {
    let fiber = SCHEDULER.with(|scheduler| scheduler.add(name, Box::new(entry)));
    switch_to(&fiber);
    fiber
}

/// Runs a fiber that waits at once, until its next switch; if it is ready already, in its turn.
/// Yields.
pub fn switch_to(fiber: &Fiber) {
    if fiber.0.queued.replace(true) {
        return;
    }
    SCHEDULER.with(|scheduler| {
        let mut ready = scheduler.ready.borrow_mut();
        let caller = CURRENT.with_borrow(Clone::clone);
        if let Some(caller) = caller.filter(|caller| !caller.0.queued.replace(true)) {
            ready.push_at_once(caller);
        }
        ready.push_at_once(fiber.clone());
    });
    if in_fiber() {
        // Not a yield of the caller: what it has open (a transaction) stays open, as in Tarantool.
        switch();
    }
}

/// Calls `hook` on the yielding fiber before each switch.
pub fn on_yield(hook: fn(&Fiber)) {
    SCHEDULER.with(|scheduler| scheduler.yield_hooks.borrow_mut().push(hook));
}

/// Calls `hook` on the run loop, outside of fibers, whenever no fiber is ready, and after many
/// switches in a row: the place for work that is cheaper done once for many fibers. What it makes
/// ready runs next. There is one hook, the last one given.
pub fn on_idle(hook: impl Fn() + 'static) {
    SCHEDULER.with(|scheduler| scheduler.idle_hook.replace(Some(Rc::new(hook))));
}

/// Whether the run loop runs, so that a fiber spawned now will.
pub fn is_running() -> bool {
    SCHEDULER.with(|scheduler| scheduler.root.borrow().is_some())
}

/// Calls `hook` when a fiber was ended because its stack overflowed.
pub fn on_overflow(hook: fn(&Fiber)) {
    SCHEDULER.with(|scheduler| scheduler.overflow_hook.set(Some(hook)));
}

/// Switches processor-time accounting per fiber (`fiber.top`) on or off.
pub fn measure(on: bool) {
    SCHEDULER.with(|scheduler| scheduler.measuring.set(on));
}

/// Calls `hook` once, when the last fiber has ended and nobody has called [`stop`]: [`run`] goes on
/// with the fibers that it starts. Called in the loop, not in a fiber.
pub fn on_end(hook: fn()) {
    SCHEDULER.with(|scheduler| scheduler.end_hook.set(Some(hook)));
}

/// While it lives, a switch is a bug that panics.
pub struct NoYield(());

/// Asserts that no switch happens while the result lives.
pub fn no_yield() -> NoYield {
    SCHEDULER.with(|scheduler| scheduler.forbidden.set(scheduler.forbidden.get() + 1));
    NoYield(())
}

impl Drop for NoYield {
    fn drop(&mut self) {
        SCHEDULER.with(|scheduler| scheduler.forbidden.set(scheduler.forbidden.get() - 1));
    }
}

pub(super) fn make_ready(fiber: &Fiber) {
    enqueue(fiber, Ready::push);
}

/// Makes a fiber ready whose deadline has come.
pub(super) fn make_due(fiber: &Fiber) {
    enqueue(fiber, Ready::push_due);
}

fn enqueue(fiber: &Fiber, push: fn(&mut Ready, Fiber)) {
    if fiber.0.status.get() == Status::Dead || fiber.0.queued.replace(true) {
        return;
    }
    SCHEDULER.with(|scheduler| {
        push(&mut scheduler.ready.borrow_mut(), fiber.clone());
        scheduler.wake_root();
    });
}

/// False: no such fiber lives.
pub(super) fn make_ready_by_id(id: u64) -> bool {
    // A waker may be dropped or called while the thread is being torn down.
    let found = SCHEDULER.try_with(|scheduler| scheduler.fibers.borrow().get(&id).cloned());
    let Ok(Some(fiber)) = found else { return false };
    make_ready(&fiber);
    true
}

/// Switches away until someone makes the fiber ready. Yields.
pub fn suspend() {
    CURRENT.with_borrow(|current| {
        let fiber = current.as_ref().expect("called inside a fiber");
        SCHEDULER.with(|scheduler| {
            for hook in scheduler.yield_hooks.borrow().iter() {
                hook(fiber);
            }
        });
    });
    switch();
}

fn switch() {
    let forbidden = SCHEDULER.with(|scheduler| scheduler.forbidden.get());
    assert_eq!(forbidden, 0, "a fiber switch where none may happen");
    let yielder = CURRENT
        .with_borrow(|current| current.as_ref().expect("called inside a fiber").0.yielder.get());
    // SAFETY: the yielder lives on this fiber's stack, below every frame of it.
    unsafe { (*yielder).suspend(()) };
}

/// Lets every other ready fiber run first. Yields.
pub fn yield_now() {
    make_ready(&current());
    suspend();
}

/// Lets the other ready fibers run first, if there are any. Yields then.
pub fn yield_to_ready() {
    let any = SCHEDULER.with(|scheduler| !scheduler.ready.borrow().is_empty());
    if any {
        yield_now();
    }
}

/// Waits for a future. Cancellation does not interrupt it. Yields while it is pending.
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = own_waker();
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => suspend(),
        }
    }
}

/// Waits for a future, or until the fiber is cancelled. Yields while it is pending.
pub fn wait_or_cancel<F: Future>(future: F) -> Result<F::Output> {
    test_cancel_first()?;
    let mut future = pin!(future);
    let waker = own_waker();
    let mut context = Context::from_waker(&waker);
    loop {
        if current().is_cancelled() {
            return Err(cancelled_error());
        }
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return Ok(value),
            Poll::Pending => suspend(),
        }
    }
}

fn own_waker() -> Waker {
    SCHEDULER.with(|scheduler| waker::of(&current(), &scheduler.remote))
}

/// Ends [`run`] after the current turn; fibers that still live are abandoned.
pub fn stop() {
    SCHEDULER.with(|scheduler| {
        scheduler.stopping.set(true);
        scheduler.wake_root();
    });
}

/// Runs `main` in the first fiber and then every other, until [`stop`] is called or the last one
/// has ended. Must be called once per thread.
pub fn run(name: &str, main: impl FnOnce() + 'static) -> std::io::Result<()> {
    overflow::install()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // After each turn the queue of tasks is empty, so tokio goes straight to the sockets.
        .event_interval(2)
        .max_blocking_threads(crate::base::limits::BLOCKING_THREAD_COUNT_MAX)
        .thread_keep_alive(std::time::Duration::from_secs(10))
        .build()?;
    SCHEDULER.with(|scheduler| scheduler.stopping.set(false));
    spawn(name, main);
    // Unconstrained: fairness is kept per fiber here, not by tokio's budget for one task. A task
    // and not the root future: waking a task from its own thread costs no system call.
    let turns = OneThread(tokio::task::coop::unconstrained(std::future::poll_fn(|context| {
        SCHEDULER.with(|scheduler| scheduler.turn(context))
    })));
    runtime.block_on(runtime.spawn(turns)).map_err(std::io::Error::other)?;
    SCHEDULER.with(Scheduler::abandon);
    // Blocking work that still runs must not hold up the exit.
    runtime.shutdown_background();
    Ok(())
}

/// A future of a current-thread runtime.
struct OneThread<F>(F);

// SAFETY: a current-thread runtime polls and drops its tasks on the thread that called `block_on`,
// which is the one that spawned this.
unsafe impl<F> Send for OneThread<F> {}

impl<F: Future> Future for OneThread<F> {
    type Output = F::Output;

    fn poll(self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the field is pinned with its owner and never moved out.
        unsafe { self.map_unchecked_mut(|this| &mut this.0) }.poll(context)
    }
}

impl Scheduler {
    /// Has tokio poll the loop, when it is not at work already.
    fn wake_root(&self) {
        if !self.turning.get()
            && let Some(root) = &*self.root.borrow()
        {
            root.wake_by_ref();
        }
    }

    fn add(&self, name: &str, entry: Entry) -> Fiber {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let fiber = Fiber::new(id, name, entry);
        self.fibers.borrow_mut().insert(id, fiber.clone());
        fiber
    }

    /// One turn of the loop; tokio polls it again whenever something woke it.
    fn turn(&self, context: &mut Context<'_>) -> Poll<()> {
        self.note_root(context.waker());
        self.turning.set(true);
        let result = self.run_ready(context);
        self.turning.set(false);
        result
    }

    fn run_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut ids = Vec::new();
        let start = Instant::now();
        let mut unchecked = 0;
        for switch in 0..SWITCHES_PER_TURN {
            if unchecked >= self.switches_per_check.get() {
                unchecked = 0;
                if start.elapsed() > TURN_MAX {
                    // The fibers of now run long.
                    self.switches_per_check.set(1);
                    break;
                }
                if switch >= SWITCHES_PER_CHECK {
                    self.switches_per_check.set(SWITCHES_PER_CHECK);
                }
            }
            unchecked += 1;
            let next = self.ready.borrow_mut().pop();
            if let Some(fiber) = next {
                self.resume(&fiber);
            } else {
                self.call_idle_hook();
                if !self.ready.borrow().is_empty() {
                    continue;
                }
                self.remote.take(&mut ids);
                if ids.is_empty() && !self.timers.fire() {
                    break;
                }
                ids.drain(..).for_each(|id| {
                    make_ready_by_id(id);
                });
            }
            if self.stopping.get() {
                return Poll::Ready(());
            }
        }
        self.call_idle_hook();
        self.timers.fire();
        self.remote.take(&mut ids);
        ids.drain(..).for_each(|id| {
            make_ready_by_id(id);
        });
        if !self.ready.borrow().is_empty() {
            context.waker().wake_by_ref();
        } else if self.fibers.borrow().values().all(Fiber::is_dead) {
            // What the hook starts runs before the end.
            let Some(hook) = self.end_hook.take() else { return Poll::Ready(()) };
            hook();
            context.waker().wake_by_ref();
        } else {
            self.timers.arm(context);
        }
        Poll::Pending
    }

    fn call_idle_hook(&self) {
        let hook = self.idle_hook.borrow().clone();
        if let Some(hook) = hook {
            hook();
        }
    }

    fn note_root(&self, waker: &Waker) {
        let mut root = self.root.borrow_mut();
        if !root.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *root = Some(waker.clone());
            self.remote.set_run_loop(waker);
        }
    }

    fn resume(&self, fiber: &Fiber) {
        fiber.0.queued.set(false);
        // SAFETY: the routine is touched by the loop only, and the fiber does not run now.
        let slot = unsafe { &mut *fiber.0.routine.get() };
        if slot.is_none() {
            let Some(entry) = fiber.0.entry.take() else { return };
            match self.stacks.take() {
                Ok(stack) => {
                    fiber.0.stack_start.set(stack.start());
                    *slot = Some(routine(stack, fiber, entry));
                }
                Err(error) => {
                    tracing::error!(fiber = fiber.id(), "cannot start a fiber: {error}");
                    self.bury(fiber);
                    return;
                }
            }
        }
        let routine = slot.as_mut().expect("just made");
        self.switches.set(self.switches.get() + 1);
        fiber.0.switches.set(fiber.0.switches.get() + 1);
        fiber.0.status.set(Status::Running);
        CURRENT.set(Some(fiber.clone()));
        stack::enter(Some(fiber.0.stack_start.get()));
        slice::start();
        now::forget();
        overflow::enter(fiber.0.stack_start.get(), routine.trap_handler());
        let since = self.measuring.get().then(|| clock::read(Clock::Monotonic));
        let result = routine.resume(());
        if let Some(since) = since {
            fiber.add_run_time(since);
        }
        let overflowed = overflow::leave();
        stack::enter(None);
        CURRENT.set(None);
        fiber.0.status.set(Status::Suspended);
        if let CoroutineResult::Return(()) = result {
            let routine = slot.take().expect("it has just run");
            self.stacks.put(routine.into_stack());
            if overflowed {
                fiber.0.overflowed.set(true);
                if let Some(hook) = self.overflow_hook.get() {
                    hook(fiber);
                }
            }
            self.bury(fiber);
        }
    }

    fn bury(&self, fiber: &Fiber) {
        fiber.0.status.set(Status::Dead);
        self.timers.cancel(fiber);
        fiber.0.finished.broadcast();
        if !fiber.is_joinable() {
            self.forget(fiber);
        }
    }

    /// Drops what is left of a dead fiber.
    pub(super) fn forget(&self, fiber: &Fiber) {
        self.fibers.borrow_mut().remove(&fiber.id());
        let locals = fiber.0.locals.take();
        drop(locals);
    }

    /// Forgets the fibers that still live: unwinding a stack with Lua frames is not possible, and
    /// the process is about to end.
    fn abandon(&self) {
        self.ready.borrow_mut().clear();
        let fibers: Vec<Fiber> = self.fibers.borrow_mut().drain().map(|(_, fiber)| fiber).collect();
        fibers.into_iter().for_each(std::mem::forget);
        self.root.take();
    }
}

fn routine(stack: super::stack::Stack, fiber: &Fiber, entry: Entry) -> super::handle::Routine {
    let body = std::rc::Rc::downgrade(&fiber.0);
    Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
        if let Some(body) = body.upgrade() {
            body.yielder.set(std::ptr::from_ref(yielder));
        }
        entry();
    })
}
