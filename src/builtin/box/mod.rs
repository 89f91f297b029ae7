//! The `box` API: what Lua sees of the database.
//!
//! Each piece is a pair: `space.rs` + `space.lua` are data operations, `tuple.rs` + `tuple.lua`
//! tuples, and so on; `init.lua` puts them together as the global `box`. Reads by key go through
//! FFI functions that neither yield nor raise, so that LuaJIT compiles through them: they return
//! the address of a tuple, nothing, or [`fast::SLOW`], which sends the caller to the C function
//! that does the same with errors.
//!
//! # Yields
//! whatever commits, and triggers

mod argument;
mod cfg;
pub mod ctl;
mod error;
mod fast;
mod fast_write;
mod host;
pub(super) mod http_client;
mod info;
mod iproto;
pub(super) mod key_def;
pub(super) mod merger;
pub(super) mod net_box;
pub(super) mod resp;
mod schema;
pub mod session;
mod space;
mod stat;
mod tls;
mod transaction;
mod trigger;
mod tuple;
mod tuple_extension;
pub(super) mod xlog;

use crate::base::error::Result;
use crate::base::version;
use crate::lua::{Context, Module};

/// The Lua halves, which `init.lua` puts together.
const SOURCES: &[(&str, &str)] = &[
    ("backup", include_str!("backup.lua")),
    ("cfg", include_str!("cfg.lua")),
    ("check", include_str!("check.lua")),
    ("ctl", include_str!("ctl.lua")),
    ("error", include_str!("error.lua")),
    ("event", include_str!("event.lua")),
    ("formatted_select", include_str!("formatted_select.lua")),
    ("health", include_str!("health.lua")),
    ("info", include_str!("info.lua")),
    ("iproto", include_str!("iproto.lua")),
    ("iproto/packet", include_str!("iproto/packet.lua")),
    ("lent", include_str!("lent.lua")),
    ("schema", include_str!("schema.lua")),
    ("schema/collation", include_str!("schema/collation.lua")),
    ("schema/format", include_str!("schema/format.lua")),
    ("schema/func", include_str!("schema/func.lua")),
    ("schema/grants", include_str!("schema/grants.lua")),
    ("schema/index", include_str!("schema/index.lua")),
    ("schema/index_parts", include_str!("schema/index_parts.lua")),
    ("schema/object", include_str!("schema/object.lua")),
    ("schema/privilege", include_str!("schema/privilege.lua")),
    ("schema/sequence", include_str!("schema/sequence.lua")),
    ("schema/space", include_str!("schema/space.lua")),
    ("schema/space_sequence", include_str!("schema/space_sequence.lua")),
    ("schema/user", include_str!("schema/user.lua")),
    ("schema/version", include_str!("schema/version.lua")),
    ("session", include_str!("session.lua")),
    ("space", include_str!("space.lua")),
    ("stat", include_str!("stat.lua")),
    ("transaction", include_str!("transaction.lua")),
    ("tuple", include_str!("tuple.lua")),
    ("watch", include_str!("watch.lua")),
];

/// Pushes the table of native functions of the whole `box`.
pub(super) fn open(cx: Context<'_>) -> Result<()> {
    let module = Module::new(cx)
        .text("version", version::TARANTOOL)
        .text("package", version::PACKAGE)
        .text("lycosa_version", version::LYCOSA);
    let module = tuple::add(module);
    let module = fast::add(module);
    let module = fast_write::add(module);
    let module = space::add(module);
    let module = transaction::add(module);
    let module = trigger::add(module);
    let module = host::add(module);
    let module = schema::add(module);
    let module = session::add(module);
    let module = error::add(module);
    let module = info::add(module);
    let module = stat::add(module);
    let module = ctl::add(module);
    let module = iproto::add(module);
    let _ = cfg::add(module);
    cx.new_table(0, SOURCES.len());
    for (name, source) in SOURCES {
        cx.push_bytes(source);
        cx.raw_set_field(-2, name);
    }
    cx.raw_set_field(-2, "sources");
    Ok(())
}
