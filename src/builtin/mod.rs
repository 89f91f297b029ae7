//! The modules that Lua code `require`s: each a Rust half and a Lua half, side by side.
//!
//! `fiber.rs` and `fiber.lua` together are `require('fiber')`. A module that needs no database
//! works without `box.cfg`. `builtin/box/` holds those that know spaces and tuples.
//!
//! To add a module: write the two halves (see `lua::Builtin`), add its row to `MODULES`.

mod r#box;
pub mod config;
mod fiber;
mod json;
mod msgpack;
pub mod serializer;

use crate::base::error::Result;
use crate::lua::{Builtin, Context};

macro_rules! modules {
    ($($name:literal: $native:expr, $source:expr;)*) => {
        &[$(Builtin { name: $name, native: $native, source: $source }),*]
    };
}

/// Every module, sorted by name: native half, Lua half.
static MODULES: &[Builtin] = modules! {
    "buffer": None, Some(include_str!("buffer.lua"));
    "checks": None, Some(include_str!("checks.lua"));
    "compat": None, Some(include_str!("compat.lua"));
    "config": Some(config::open), Some(include_str!("config.lua"));
    "csv": None, Some(include_str!("csv.lua"));
    "fiber": Some(fiber::open), Some(include_str!("fiber.lua"));
    "fun": None, Some(include_str!("fun.lua"));
    "help": None, Some(include_str!("help.lua"));
    "internal.argparse": None, Some(include_str!("argparse.lua"));
    "internal.debug": None, Some(include_str!("debug.lua"));
    "internal.env": None, Some(include_str!("env.lua"));
    "internal.string": None, Some(include_str!("string.lua"));
    "internal.table": None, Some(include_str!("table.lua"));
    "internal.trigger": None, Some(include_str!("trigger_list.lua"));
    "internal.tweaks": None, Some(include_str!("tweaks.lua"));
    "json": Some(json::open), Some(include_str!("json.lua"));
    "msgpack": Some(msgpack::open), Some(include_str!("msgpack.lua"));
    "pwd": None, Some(include_str!("pwd.lua"));
    "resp": Some(r#box::resp::open), Some(include_str!("box/resp.lua"));
    "strict": None, Some(include_str!("strict.lua"));
    "tap": None, Some(include_str!("tap.lua"));
    "trigger": None, Some(include_str!("trigger.lua"));
    "ulid": None, Some(include_str!("ulid.lua"));
    "uri": None, Some(include_str!("uri.lua"));
    "version": None, Some(include_str!("version.lua"));
};

/// Modules that change globals, loaded at start in this order.
const LOADED_AT_START: &[&str] =
    &["internal.string", "internal.table", "internal.env", "internal.debug", "checks", "fiber"];

/// Makes every module available to `require` and loads those that belong to the language.
pub fn open(cx: Context<'_>) -> Result<()> {
    serializer::prepare(cx)?;
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
