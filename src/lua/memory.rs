//! The allocator of the Lua heap: a hard limit (`lua.memory`), counted to the byte.
//!
//! Reaching the limit makes LuaJIT raise "not enough memory" in the fiber that allocates. LuaJIT
//! does not collect before it gives up, so `starved` remembers the refusal, and the border
//! collects at the next opportunity.
//!
//! # Yields
//! never

use std::alloc::Layout;
use std::cell::Cell;
use std::ffi::c_void;

/// LuaJIT needs no more, and mimalloc serves it without the detour that 16 would take.
const ALIGNMENT: usize = 8;

/// Tarantool's default for `lua.memory`, in bytes.
const LIMIT_DEFAULT: usize = 2 * 1024 * 1024 * 1024;

thread_local! {
    static USED: Cell<usize> = const { Cell::new(0) };
    static LIMIT: Cell<usize> = const { Cell::new(LIMIT_DEFAULT) };
    static STARVED: Cell<bool> = const { Cell::new(false) };
}

/// Bytes the Lua heap holds, garbage included.
pub fn used_bytes() -> usize {
    USED.get()
}

/// The limit in bytes.
pub fn limit_bytes() -> usize {
    LIMIT.get()
}

/// Sets the limit. One below what is used stops further growth only.
pub fn set_limit_bytes(limit: usize) {
    LIMIT.set(limit);
}

/// Whether an allocation was refused since the last call.
pub(super) fn take_starved() -> bool {
    STARVED.get() && STARVED.replace(false)
}

/// Whether so little is left that garbage should not be let grow.
pub(super) fn is_tight() -> bool {
    USED.get() > LIMIT.get() / 4 * 3
}

/// LuaJIT's allocator function.
///
/// # Safety
/// Called by LuaJIT only, by the rules of `lua_Alloc`.
pub(super) unsafe extern "C" fn allocate(
    _: *mut c_void,
    block: *mut c_void,
    old_size: usize,
    new_size: usize,
) -> *mut c_void {
    let old_size = if block.is_null() { 0 } else { old_size };
    let Ok(old_layout) = Layout::from_size_align(old_size, ALIGNMENT) else {
        return std::ptr::null_mut();
    };
    let used = USED.get() - old_size;
    if new_size == 0 {
        if old_size != 0 {
            // SAFETY: LuaJIT passes the block and size that it got from here.
            unsafe { std::alloc::dealloc(block.cast(), old_layout) };
        }
        USED.set(used);
        return std::ptr::null_mut();
    }
    if new_size > old_size && used.saturating_add(new_size) > LIMIT.get() {
        STARVED.set(true);
        return std::ptr::null_mut();
    }
    let Ok(new_layout) = Layout::from_size_align(new_size, ALIGNMENT) else {
        return std::ptr::null_mut();
    };
    // SAFETY: sizes are not zero, and the block came from here with `old_layout`.
    let result = unsafe {
        if old_size == 0 {
            std::alloc::alloc(new_layout)
        } else {
            std::alloc::realloc(block.cast(), old_layout, new_size)
        }
    };
    if result.is_null() {
        STARVED.set(true);
    } else {
        USED.set(used + new_size);
    }
    result.cast()
}
