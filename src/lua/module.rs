//! Builtin modules: a native half (functions of Rust in a table) and a Lua half.
//!
//! The Lua half is a chunk that gets the native table as its first argument and returns the
//! public module. Modules load on their first `require`.
//!
//! # Yields
//! never

use std::ffi::c_void;

use mlua::ffi;

use super::call::{self, Function};
use super::context::Context;
use crate::base::error::Result;

/// A module that is part of the program.
pub struct Builtin {
    /// What `require` is called with.
    pub name: &'static str,
    /// Pushes the table of native functions, if the module has a native half.
    pub native: Option<fn(Context<'_>) -> Result<()>>,
    /// The Lua half; without one the native table is the module.
    pub source: Option<&'static str>,
}

impl Builtin {
    /// Has `require(self.name)` load this module.
    pub fn register(&'static self, cx: Context<'_>) -> Result<()> {
        cx.get_global("package");
        cx.raw_get_field(-1, "preload");
        cx.push_pointer(std::ptr::from_ref(self).cast_mut().cast());
        // SAFETY: pushing a closure over the one value just pushed.
        unsafe { ffi::lua_pushcclosure(cx.state(), call::wrapper(load), 1) };
        cx.raw_set_field(-2, self.name);
        cx.pop(2);
        Ok(())
    }

    fn load(&self, cx: Context<'_>) -> Result<usize> {
        if let Some(source) = self.source {
            cx.load(source.as_bytes(), &format!("@builtin/{}.lua", self.name))?;
        }
        match self.native {
            Some(native) => native(cx)?,
            None => cx.push_nil(),
        }
        if self.source.is_some() {
            cx.call_through(1, 1);
        }
        Ok(1)
    }
}

fn load(cx: Context<'_>) -> Result<usize> {
    let builtin = cx.userdata(ffi::lua_upvalueindex(1)).cast::<Builtin>();
    // SAFETY: `register` stored the address of a static.
    unsafe { (*builtin).load(cx) }
}

/// A table of native functions under construction; it stays on the stack.
pub struct Module<'a> {
    cx: Context<'a>,
    table: i32,
}

impl<'a> Module<'a> {
    /// Pushes an empty table.
    pub fn new(cx: Context<'a>) -> Module<'a> {
        cx.new_table(0, 16);
        Module { cx, table: cx.top() }
    }

    /// Adds a function.
    pub fn function<F: Function>(self, name: &str, function: F) -> Self {
        push_function(self.cx, function);
        self.cx.raw_set_field(self.table, name);
        self
    }

    /// Adds the address of an `extern "C"` function for FFI, as light userdata: it must neither
    /// yield nor call Lua.
    pub fn pointer(self, name: &str, address: *const c_void) -> Self {
        self.cx.push_pointer(address.cast_mut());
        self.cx.raw_set_field(self.table, name);
        self
    }

    /// Adds a number.
    pub fn number(self, name: &str, value: f64) -> Self {
        self.cx.push_number(value);
        self.cx.raw_set_field(self.table, name);
        self
    }

    /// Adds a string.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.cx.push_bytes(value);
        self.cx.raw_set_field(self.table, name);
        self
    }
}

/// Pushes a Rust function as a Lua function.
pub fn push_function<F: Function>(cx: Context<'_>, function: F) {
    // SAFETY: a C closure without upvalues.
    unsafe { ffi::lua_pushcclosure(cx.state(), call::wrapper(function), 0) };
}

/// Pushes a Rust function bound to the last value, which it takes: see [`Context::bound`].
pub fn push_bound_function<F: Function>(cx: Context<'_>, function: F) {
    // SAFETY: a C closure over the one value on top.
    unsafe { ffi::lua_pushcclosure(cx.state(), call::wrapper(function), 1) };
}
