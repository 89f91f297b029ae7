//! The VM: one per process, opened on the tx thread and never closed.
//!
//! # Yields
//! never

use std::cell::Cell;
use std::time::Instant;

use mlua::ffi;

use super::context::Context;
use super::{cdata, error, memory, thread};
use crate::base::error::{Error, Result};
use crate::fiber;

thread_local! {
    static MAIN: Cell<*mut ffi::lua_State> = const { Cell::new(std::ptr::null_mut()) };
    /// Where LuaJIT keeps its hook mask, whose bit `HOOK_GC` says that a finalizer runs.
    static HOOK_MASK: Cell<*const u8> = const { Cell::new(std::ptr::null()) };
}

/// LuaJIT's pause in percent: collect when the heap has grown to this much of what was live.
const PAUSE_NORMAL: i32 = 200;
/// The pause while little is live. Marking that costs nothing, and garbage that is taken back
/// soon leaves the processor's cache to what is used again: strings above all, which LuaJIT looks
/// up by hash. Measured with GETs in pipelines: a tenth less time than with 200, and than with 105.
const PAUSE_SMALL: i32 = 140;
/// Heaps up to this size are small.
const SMALL_SIZE: usize = 8 * 1024 * 1024;
/// The pause when memory is tight.
const PAUSE_TIGHT: i32 = 110;

/// LuaJIT's optimization `fuse` moves a load from memory into the instruction that uses the value.
/// It looks for stores in between but not for FFI calls, which may store as well: with
/// `local a = f().x; local b = f().x` both may get what the second call has left. What our natives
/// return goes through memory, so the optimization stays off, whatever level is asked for.
const KEEP_LOADS_IN_PLACE: &str = r"
    local opt = jit.opt
    if opt ~= nil then
        local start = opt.start
        function opt.start(...)
            start(...)
            start('-fuse')
        end
        start('-fuse')
    end
";

/// Opens the VM with Lua's own libraries. Once per thread.
pub fn open() -> Result<()> {
    assert!(MAIN.get().is_null(), "the VM is opened once");
    // SAFETY: `allocate` keeps to the contract of an allocator.
    let state = unsafe { ffi::lua_newstate(memory::allocate, std::ptr::null_mut()) };
    if state.is_null() {
        return Err(Error::out_of_memory(memory::limit_bytes(), "lua", "the Lua state"));
    }
    MAIN.set(state);
    let cx = main();
    // SAFETY: LuaJIT's own functions, on a fresh state.
    unsafe {
        ffi::luaL_openlibs(state);
        ffi::lua_gc(state, ffi::LUA_GCSETPAUSE, PAUSE_NORMAL);
    }
    HOOK_MASK.set(find_hook_mask(state));
    cx.load(KEEP_LOADS_IN_PLACE.as_bytes(), "=jit")?;
    cx.call(0, 0)?;
    cdata::prepare(cx)?;
    error::open(cx)?;
    fiber::on_yield(before_switch);
    fiber::on_overflow(thread::on_overflow);
    Ok(())
}

/// The VM's main thread, for set-up and for values that belong to no fiber.
pub(super) fn main() -> Context<'static> {
    let state = MAIN.get();
    assert!(!state.is_null(), "the VM is open");
    // SAFETY: the VM is never closed, and this is its thread.
    unsafe { Context::new(state) }
}

/// Calls `work` with the VM's main thread (set-up before any fiber runs Lua). No yield inside.
pub fn with_main<T>(work: impl FnOnce(Context<'_>) -> T) -> T {
    let cx = main();
    let top = cx.top();
    let result = work(cx);
    cx.set_top(top);
    result
}

/// A full collection.
pub fn collect_garbage(cx: Context<'_>) {
    // SAFETY: the thread is live.
    unsafe { ffi::lua_gc(cx.state(), ffi::LUA_GCCOLLECT, 0) };
}

/// A full collection, unless the last one of this kind was so recent that collecting would take more
/// than a tenth of the time. It is worth that and more when the last one was: then `was_worth` says
/// so, which is asked after each.
pub fn collect_garbage_seldom(cx: Context<'_>, was_worth: impl FnOnce() -> bool) {
    thread_local!(static REST: Cell<Option<Instant>> = const { Cell::new(None) });
    let start = Instant::now();
    if REST.get().is_none_or(|end| start >= end) {
        collect_garbage(cx);
        let end = Instant::now();
        REST.set((!was_worth()).then(|| end + (end - start) * 9));
    }
}

/// Runs before each switch: the last place to see what must not be.
fn before_switch(_: &fiber::Fiber) {
    assert_may_yield();
    let pause = if memory::is_tight() {
        PAUSE_TIGHT
    } else if memory::used_bytes() <= SMALL_SIZE {
        PAUSE_SMALL
    } else {
        PAUSE_NORMAL
    };
    thread_local!(static PAUSE: Cell<i32> = const { Cell::new(PAUSE_NORMAL) });
    if PAUSE.replace(pause) != pause {
        // SAFETY: setting a number in the VM.
        unsafe { ffi::lua_gc(MAIN.get(), ffi::LUA_GCSETPAUSE, pause) };
    }
}

/// LuaJIT's flag in the hook mask while a finalizer runs.
const HOOK_GC: u8 = 0x40;

/// A switch inside `__gc` would let other fibers run in the middle of a collection.
pub(super) fn assert_may_yield() {
    let mask = HOOK_MASK.get();
    // SAFETY: the address lies in LuaJIT's global state, which is never freed.
    let in_finalizer = !mask.is_null() && unsafe { mask.read_volatile() } & HOOK_GC != 0;
    assert!(!in_finalizer, "a fiber switch inside a finalizer (__gc)");
}

/// Finds LuaJIT's hook mask by watching which byte of its global state follows `lua_sethook`.
/// The C API shows the mask without the bit that is needed.
fn find_hook_mask(state: *mut ffi::lua_State) -> *const u8 {
    /// Offset of the pointer to the global state in a `lua_State` (after `GCHeader`, GC64).
    const GLOBAL_OFFSET: usize = 16;
    const SEARCHED: usize = 1024;
    unsafe extern "C-unwind" fn nothing(_: *mut ffi::lua_State, _: *mut ffi::lua_Debug) {}
    // SAFETY: the global state is followed by the JIT state and the dispatch table in one
    // allocation, which together are larger than what is searched.
    unsafe {
        let global = state.byte_add(GLOBAL_OFFSET).cast::<*const u8>().read();
        let bytes = std::slice::from_raw_parts(global, SEARCHED);
        let mut found: Vec<usize> = (0..SEARCHED).collect();
        for mask in [ffi::LUA_MASKCOUNT, ffi::LUA_MASKLINE, ffi::LUA_MASKCALL, 0] {
            ffi::lua_sethook(state, (mask != 0).then_some(nothing), mask, 1_000_000);
            found.retain(|&at| i32::from(std::ptr::read_volatile(&raw const bytes[at])) == mask);
        }
        match found[..] {
            [offset] => global.add(offset),
            // Without it the assertion is skipped; nothing else depends on it.
            _ => std::ptr::null(),
        }
    }
}
