//! Rust values owned by Lua: full userdata with a metatable per Rust type.
//!
//! The value stands in the userdata itself, behind the `TypeId` of its type, by which it is
//! recognised without looking at metatables.
//!
//! # Yields
//! never

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_int;

use mlua::ffi;

use super::context::{Context, Kind};
use crate::base::error::Result;

#[repr(C)]
struct Boxed<T> {
    tag: TypeId,
    /// `None` after the finalizer ran: a finalizer of something else may still see the object.
    value: Option<T>,
}

thread_local! {
    static METATABLES: RefCell<HashMap<TypeId, c_int>> = RefCell::default();
}

/// Takes the table on top of the stack as the metatable of `T`, adding the finalizer.
pub fn set_metatable<T: 'static>(cx: Context<'_>) {
    // SAFETY: a C closure without upvalues.
    unsafe { ffi::lua_pushcclosure(cx.state(), finalize::<T>, 0) };
    cx.raw_set_field(-2, "__gc");
    let reference = cx.reference().into_raw();
    METATABLES.with_borrow_mut(|tables| tables.insert(TypeId::of::<T>(), reference));
}

/// Pushes a value; its metatable was set by [`set_metatable`].
pub fn push<T: 'static>(cx: Context<'_>, value: T) {
    const { assert!(align_of::<Boxed<T>>() <= 16) };
    let metatable = METATABLES.with_borrow(|tables| tables[&TypeId::of::<T>()]);
    // SAFETY: the memory is of the right size, aligned to 16, and filled before anything can see
    // it; Lua does not move it.
    unsafe {
        let memory = ffi::lua_newuserdata(cx.state(), size_of::<Boxed<T>>());
        memory.cast::<Boxed<T>>().write(Boxed { tag: TypeId::of::<T>(), value: Some(value) });
        ffi::lua_rawgeti_(cx.state(), ffi::LUA_REGISTRYINDEX, metatable);
        ffi::lua_setmetatable(cx.state(), -2);
    }
}

/// The value at `index`, if it is a live `T`. It lives as long as it is on the stack.
pub fn get<'a, T: 'static>(cx: Context<'a>, index: i32) -> Option<&'a T> {
    if cx.kind(index) != Kind::Userdata || cx.raw_len(index) != size_of::<Boxed<T>>() {
        return None;
    }
    let memory = cx.userdata(index).cast::<Boxed<T>>();
    // SAFETY: a userdata of this size is readable; the tag tells whether it is ours.
    unsafe {
        if (&raw const (*memory).tag).read_unaligned() != TypeId::of::<T>() {
            return None;
        }
        (*memory).value.as_ref()
    }
}

unsafe extern "C-unwind" fn finalize<T: 'static>(state: *mut ffi::lua_State) -> c_int {
    // SAFETY: Lua calls with the running thread.
    let cx: Context<'_> = unsafe { Context::new(state) };
    if get::<T>(cx, 1).is_some() {
        let memory = cx.userdata(1).cast::<Boxed<T>>();
        // SAFETY: checked by `get`; nobody else looks at the value during a finalizer.
        drop(unsafe { (*memory).value.take() });
    }
    0
}

/// The value at `index`, or `usage` as an error.
pub fn check<'a, T: 'static>(
    cx: Context<'a>,
    index: i32,
    usage: impl FnOnce() -> crate::base::Error,
) -> Result<&'a T> {
    get(cx, index).ok_or_else(usage)
}
