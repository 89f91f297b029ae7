//! The modules that Lua code `require`s: each a Rust half and a Lua half, side by side.
//!
//! `fiber.rs` and `fiber.lua` together are `require('fiber')`. A module that needs no database
//! works without `box.cfg`. `builtin/box/` holds those that know spaces and tuples.
//!
//! To add a module: write the two halves (see `lua::Builtin`), add its row to `MODULES`.

mod fiber;

use crate::base::error::Result;
use crate::lua::{Builtin, Context};

macro_rules! modules {
    ($($name:literal: $native:expr, $source:expr;)*) => {
        &[$(Builtin { name: $name, native: $native, source: $source }),*]
    };
}

/// Every module, sorted by name: native half, Lua half.
static MODULES: &[Builtin] = modules! {
    "fiber": Some(fiber::open), Some(include_str!("fiber.lua"));
};

/// Modules that change globals, loaded at start in this order.
const LOADED_AT_START: &[&str] = &["fiber"];

/// Makes every module available to `require` and loads those that belong to the language.
pub fn open(cx: Context<'_>) -> Result<()> {
    for module in MODULES {
        module.register(cx)?;
    }
    for name in LOADED_AT_START {
        cx.get_global("require");
        cx.push_bytes(name);
        cx.call(1, 0)?;
    }
    Ok(())
}
