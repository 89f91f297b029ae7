//! The border between Rust and LuaJIT. It knows fibers and errors, and no database.
//!
//! Lua code runs on a `lua_State` thread per fiber. It calls Rust through plain C functions made
//! by [`Module`]: each wraps a Rust `fn(Context) -> Result<usize>`. Because a fiber switches whole
//! C stacks, such a function may yield, call back into Lua and raise from any depth; mlua's own
//! closures keep a "current state" cell that assumes nesting, so mlua serves as the binding
//! (`mlua::ffi`) only. Reads that must be fast go through LuaJIT's FFI instead, as `extern "C"`
//! functions that neither yield nor raise (`Module::pointer`).
//!
//! # Errors
//! `Err` becomes a Lua error (a `struct error` cdata) after every Rust value of the call is gone.
//! A Lua error crosses Rust frames as a foreign exception, which runs destructors. What must not
//! be alive then, and over a switch: a `RefCell` borrow or a lock. A Rust panic inside a call ends
//! the process: it is a bug of ours, and state after it cannot be trusted.
//!
//! # Invariants
//! - A [`Context`] is used only on its thread and inside the call it was given to.
//! - No FFI function yields: compiled traces call them, and a trace must not reach a switch. In a
//!   finalizer (`__gc`) a switch is asserted against (`vm::assert_may_yield`).
//!
//! # Yields
//! Calling into Lua may yield; nothing else here does.

mod call;
mod cdata;
mod context;
mod error;
mod memory;
mod module;
mod thread;
pub mod userdata;
mod vm;

pub use call::Function;
pub use cdata::{Cdata, CtypeId};
pub use context::{Context, Kind, Reference};
pub use error::{last as last_error, open as open_error, set_last as set_last_error};
pub use memory::{limit_bytes, set_limit_bytes, used_bytes};
pub use module::{Builtin, Module, push_bound_function, push_function};
pub use thread::{Frame, LuaFiber, enter, frames, spawn, start, take_results};
pub use vm::{collect_garbage, collect_garbage_seldom, open, with_main};

#[cfg(test)]
mod tests;
