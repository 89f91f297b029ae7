//! Lua threads of fibers: every fiber that runs Lua has a `lua_State` of its own.
//!
//! A dead fiber's thread is reused for the next one, except when it overflowed its stack: then
//! LuaJIT's frames on it are in an unknown state and it is left to the collector.
//!
//! # Invariants
//! - A thread is anchored in the registry for as long as a fiber or the pool has it.
//!
//! # Yields
//! `enter` and the entry functions, when the Lua code does

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mlua::ffi;

use super::context::{Context, Reference};
use super::{memory, vm};
use crate::base::error::{Builder, Error, Result, Type};
use crate::fiber::{self, Fiber};

/// Most unused threads kept.
const POOL_MAX: usize = 256;

struct Thread {
    state: *mut ffi::lua_State,
    anchor: Reference,
}

thread_local! {
    static POOL: RefCell<Vec<Thread>> = const { RefCell::new(Vec::new()) };
}

/// What a fiber that runs Lua keeps: its thread and how its function ended.
#[derive(Default)]
pub struct LuaFiber {
    thread: RefCell<Option<Thread>>,
    /// Set when the function has ended; results are on the thread's stack then.
    outcome: RefCell<Option<Result<i32, Reference>>>,
    /// `fiber.storage`.
    pub storage: Cell<Option<i32>>,
    /// Whether an uncaught error was logged or handed to a joiner.
    reported: Cell<bool>,
}

impl Drop for LuaFiber {
    fn drop(&mut self) {
        let main = vm::main();
        if let Some(Err(value)) = self.outcome.take() {
            main.release(value);
        }
        if let Some(storage) = self.storage.take() {
            main.release(Reference::from_raw(storage));
        }
        if let Some(thread) = self.thread.take() {
            give_back(thread);
        }
    }
}

fn take() -> Result<Thread> {
    if let Some(thread) = POOL.with_borrow_mut(Vec::pop) {
        return Ok(thread);
    }
    let main = vm::main();
    // SAFETY: the main thread is live; running out of memory raises through this frame, which
    // holds nothing.
    let state = unsafe { ffi::lua_newthread(main.state()) };
    Ok(Thread { state, anchor: main.reference() })
}

fn give_back(thread: Thread) {
    // At the end of the OS thread the pool may be gone before the last fiber.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        // SAFETY: the thread is anchored and nothing runs on it.
        let usable = unsafe { ffi::lua_status(thread.state) } == ffi::LUA_OK;
        if usable && pool.len() < POOL_MAX {
            // SAFETY: as above.
            unsafe { ffi::lua_settop(thread.state, 0) };
            pool.push(thread);
        } else {
            vm::main().release(thread.anchor);
        }
    });
}

/// Makes a fiber that calls the function below its `argument_count` arguments on top of the
/// stack of `cx`, and pops them. It starts on the next turn of the loop.
pub fn spawn(cx: Context<'_>, argument_count: i32, name: &str) -> Result<Fiber> {
    let lua = prepare(cx, argument_count)?;
    let fiber = fiber::spawn(name, {
        let lua = lua.clone();
        move || run(&lua, argument_count)
    });
    fiber.set_local(lua);
    Ok(fiber)
}

/// As [`spawn`], but the fiber runs at once until its first switch. Yields.
pub fn start(cx: Context<'_>, argument_count: i32, name: &str) -> Result<Fiber> {
    let lua = prepare(cx, argument_count)?;
    Ok(fiber::start(name, move || {
        fiber::current().set_local(lua.clone());
        run(&lua, argument_count);
    }))
}

fn prepare(cx: Context<'_>, argument_count: i32) -> Result<Rc<LuaFiber>> {
    let thread = take()?;
    // SAFETY: both threads are live and of the same VM; the values are on top of `cx`.
    unsafe {
        if ffi::lua_checkstack(thread.state, argument_count + 8) == 0 {
            give_back(thread);
            return Err(Error::new(Type::Luajit, "stack overflow"));
        }
        ffi::lua_xmove(cx.state(), thread.state, argument_count + 1);
    }
    let lua = Rc::new(LuaFiber::default());
    lua.thread.replace(Some(thread));
    Ok(lua)
}

fn run(lua: &Rc<LuaFiber>, argument_count: i32) {
    let state = lua.thread.borrow().as_ref().map(|thread| thread.state);
    let Some(state) = state else { return };
    fiber::current().set_host_state(state.cast());
    // SAFETY: the thread is this fiber's own, anchored by `lua`.
    let cx: Context<'_> = unsafe { Context::new(state) };
    super::module::push_function(cx, on_error);
    cx.insert(1);
    // SAFETY: function and arguments were moved there by `prepare`, above the handler.
    let status = unsafe { ffi::lua_pcall(state, argument_count, ffi::LUA_MULTRET, 1) };
    cx.remove(1);
    if memory::take_starved() {
        vm::collect_garbage(cx);
    }
    let fiber = fiber::current();
    let outcome = if status == ffi::LUA_OK {
        Ok(cx.top())
    } else {
        let cancelled = cx.error(-1).is_some_and(|error| error.kind() == Type::FiberIsCancelled);
        if !fiber.is_joinable() && !cancelled {
            let text = cx.to_text(-1).unwrap_or_default();
            let trace = fiber.find_local::<Traceback>();
            let trace = trace.map(|trace| trace.0.borrow().clone()).unwrap_or_default();
            tracing::error!(fiber = fiber.name(), "uncaught error: {text}\n{trace}");
            lua.reported.set(true);
        }
        Err(cx.reference())
    };
    lua.outcome.replace(Some(outcome));
}

/// Traceback of the last error that passed the fiber's root.
#[derive(Default)]
struct Traceback(RefCell<String>);

/// Runs where the error was raised, so the traceback shows the way there.
fn on_error(cx: Context<'_>) -> Result<usize> {
    let text = cx.traceback("", 1);
    let trace = fiber::current().local(Traceback::default);
    trace.0.replace(text.trim_start_matches('\n').to_owned());
    cx.set_top(1);
    Ok(1)
}

/// Pushes what the dead fiber's function returned or raised: `Ok(count)` results, or `Err` with
/// the raised value pushed.
#[expect(clippy::result_unit_err, reason = "the error is on the Lua stack")]
pub fn take_results(cx: Context<'_>, fiber: &Fiber, lua: &LuaFiber) -> Result<i32, ()> {
    match lua.outcome.take() {
        Some(Ok(count)) => {
            let state = lua.thread.borrow().as_ref().map(|thread| thread.state);
            let Some(state) = state else { return Ok(0) };
            if cx.reserve(count).is_err() {
                return Ok(0);
            }
            // SAFETY: the results are on the dead fiber's thread, which `lua` still anchors.
            unsafe { ffi::lua_xmove(state, cx.state(), count) };
            Ok(count)
        }
        Some(Err(value)) => {
            cx.push_reference(&value);
            cx.release(value);
            Err(())
        }
        None if fiber.overflowed() => {
            cx.push_error(overflow_error());
            Err(())
        }
        None => Ok(0),
    }
}

fn overflow_error() -> Error {
    Builder::new(Type::Luajit, "C stack overflow".to_owned()).code(32).build()
}

/// A fiber ended by a stack overflow: its thread must not be used again.
pub(super) fn on_overflow(fiber: &Fiber) {
    tracing::error!(fiber = fiber.name(), "uncaught error: C stack overflow");
    if let Some(lua) = fiber.find_local::<LuaFiber>() {
        // Neither pooled nor released: LuaJIT must not take half-built frames for dead ones.
        lua.thread.take();
    }
}

/// A Lua function that runs.
pub struct Frame {
    /// The name that its caller knows it by.
    pub name: Option<String>,
    /// The chunk's name: `@` and a file.
    pub source: String,
    /// The line it is in.
    pub line: i32,
}

/// Most frames that [`frames`] returns.
const FRAME_COUNT_MAX: i32 = 64;

/// The Lua functions that a fiber is in, the innermost first. `cx` is where the caller runs.
pub fn frames(cx: Context<'_>, fiber: &Fiber) -> Vec<Frame> {
    let is_current = fiber::in_fiber() && fiber.same(&fiber::current());
    let state = if is_current { cx.state() } else { fiber.host_state().cast::<ffi::lua_State>() };
    let mut frames = Vec::new();
    if state.is_null() || fiber.is_dead() {
        return frames;
    }
    let text = |text: *const std::ffi::c_char| {
        // SAFETY: Lua gives null or a C string that lives as long as the function.
        (!text.is_null())
            .then(|| unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned())
    };
    for level in 0..FRAME_COUNT_MAX {
        // SAFETY: a zeroed lua_Debug is a valid output buffer. The thread is anchored by its
        // fiber, which lives; one that is suspended stands in a call of a C function, where its
        // frames can be read.
        let info = unsafe {
            let mut info: ffi::lua_Debug = std::mem::zeroed();
            if ffi::lua_getstack(state, level, &raw mut info) == 0 {
                break;
            }
            ffi::lua_getinfo(state, c"Sln".as_ptr(), &raw mut info);
            info
        };
        let name = text(info.name);
        // A C function without a name is the root of the fiber or of a call from Rust.
        if name.is_some() || info.currentline >= 0 {
            let source = text(info.source).unwrap_or_default();
            frames.push(Frame { name, source, line: info.currentline });
        }
    }
    frames
}

/// Calls `work` with the Lua thread of the current fiber, made on first use.
pub fn enter<T>(work: impl FnOnce(Context<'_>) -> T) -> T {
    let fiber = fiber::current();
    let mut state = fiber.host_state().cast::<ffi::lua_State>();
    if state.is_null() {
        let lua = fiber.local(LuaFiber::default);
        let thread = take().expect("a Lua thread for a fiber");
        state = thread.state;
        lua.thread.replace(Some(thread));
        fiber.set_host_state(state.cast());
    }
    // SAFETY: the thread is this fiber's own and anchored by its local.
    let cx: Context<'_> = unsafe { Context::new(state) };
    let top = cx.top();
    let result = work(cx);
    cx.set_top(top);
    result
}
