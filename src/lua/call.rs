//! From Lua into Rust: the C function that wraps a Rust function.
//!
//! The wrapper is generic over the Rust function's own (zero-sized) type, so each Rust function
//! gets a C function of its own and no state is looked up per call.
//!
//! # Yields
//! when the Rust function does

use std::ffi::c_int;

use mlua::ffi;

use super::context::Context;
use super::memory;
use crate::base::error::{Error, Result, Type};
use crate::fiber;

/// Stack that a Rust function may count on; with less, the call is refused.
const STACK_RESERVE: usize = 96 * 1024;

/// A Rust function that Lua can call: returns how many results it pushed.
pub trait Function: Fn(Context<'_>) -> Result<usize> + Copy + 'static {}

impl<F: Fn(Context<'_>) -> Result<usize> + Copy + 'static> Function for F {}

/// The C function that calls `F`.
pub(super) fn wrapper<F: Function>(_: F) -> ffi::lua_CFunction {
    const {
        assert!(size_of::<F>() == 0, "only plain functions and closures that capture nothing");
    }
    call::<F>
}

unsafe extern "C-unwind" fn call<F: Function>(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: `F` has no size, so it has exactly one value.
    let function = unsafe { std::mem::zeroed::<F>() };
    // SAFETY: Lua calls with the running thread.
    let cx = unsafe { Context::new(state) };
    if memory::take_starved() {
        super::vm::collect_garbage(cx);
    }
    let result = if fiber::stack_remaining() < STACK_RESERVE {
        Err(Error::new(Type::Luajit, "stack overflow"))
    } else {
        function(cx)
    };
    match result {
        Ok(count) => c_int::try_from(count).unwrap_or(0),
        Err(error) => {
            super::error::push_raised(cx, error);
            // SAFETY: nothing of Rust's is alive any more in this frame.
            unsafe { ffi::lua_error(state) }
        }
    }
}
