//! The modules that Lua code `require`s: each a Rust half and a Lua half, side by side.
//!
//! `fiber.rs` and `fiber.lua` together are `require('fiber')`. A module that needs no database
//! works without `box.cfg`. `builtin/box/` holds those that know spaces and tuples.
//!
//! To add a module: write the two halves (see `lua::Builtin`), add its row to `MODULES`.

pub mod r#box;
mod clock;
pub mod config;
mod console;
mod crypto;
mod datetime;
pub mod decimal;
mod digest;
mod errno;
mod fiber;
mod fio;
mod iconv;
mod json;
pub mod loaders;
pub mod log;
mod msgpack;
pub mod popen;
pub mod process;
pub mod serializer;
mod socket;
mod tarantool;
pub mod title;
mod uri;
mod utf8;
pub mod uuid;
mod varbinary;
mod yaml;

use crate::base::error::Result;
use crate::lua::{Builtin, Context};

macro_rules! modules {
    ($($name:literal: $native:expr, $source:expr;)*) => {
        &[$(Builtin { name: $name, native: $native, source: $source }),*]
    };
}

/// Every module, sorted by name: native half, Lua half.
static MODULES: &[Builtin] = modules! {
    "box": Some(r#box::open), Some(include_str!("box/init.lua"));
    "buffer": None, Some(include_str!("buffer.lua"));
    "checks": None, Some(include_str!("checks.lua"));
    "clock": Some(clock::open), Some(include_str!("clock.lua"));
    "compat": None, Some(include_str!("compat.lua"));
    "config": Some(config::open), Some(include_str!("config.lua"));
    "console": Some(console::open), Some(include_str!("console.lua"));
    "crypto": Some(crypto::open), Some(include_str!("crypto.lua"));
    "csv": None, Some(include_str!("csv.lua"));
    "datetime": Some(datetime::open), Some(include_str!("datetime.lua"));
    "decimal": Some(decimal::open), Some(include_str!("decimal.lua"));
    "digest": Some(digest::open), Some(include_str!("digest.lua"));
    "errno": Some(errno::open), Some(include_str!("errno.lua"));
    "experimental.config.utils.schema": None, Some(include_str!("config_schema.lua"));
    "experimental.connpool": None, Some(include_str!("box/connpool.lua"));
    "fiber": Some(fiber::open), Some(include_str!("fiber.lua"));
    "fio": Some(fio::open), Some(include_str!("fio.lua"));
    "fun": None, Some(include_str!("fun.lua"));
    "help": None, Some(include_str!("help.lua"));
    "http.client": Some(r#box::http_client::open), Some(include_str!("box/http_client.lua"));
    "iconv": Some(iconv::open), Some(include_str!("iconv.lua"));
    "internal.argparse": None, Some(include_str!("argparse.lua"));
    "internal.config_credentials": None, Some(include_str!("config_credentials.lua"));
    "internal.config_metadata": None, Some(include_str!("config_metadata.lua"));
    "internal.config_roles": None, Some(include_str!("config_roles.lua"));
    "internal.config_schema_kinds": Some(config::open_schema), Some(include_str!("config_schema_kinds.lua"));
    "internal.config_schema_variable": None, Some(include_str!("config_schema_variable.lua"));
    "internal.console_output": None, Some(include_str!("console_output.lua"));
    "internal.debug": None, Some(include_str!("debug.lua"));
    "internal.env": None, Some(include_str!("env.lua"));
    "internal.http_content": None, Some(include_str!("box/http_client/content.lua"));
    "internal.loaders": Some(loaders::open), Some(include_str!("loaders.lua"));
    "internal.luasocket": None, Some(include_str!("luasocket.lua"));
    "internal.metrics.collector": None, Some(include_str!("metrics/collector.lua"));
    "internal.metrics.default": None, Some(include_str!("metrics/default.lua"));
    "internal.metrics.quantile": None, Some(include_str!("metrics/quantile.lua"));
    "internal.msgpack_object": Some(msgpack::open_object), Some(include_str!("msgpack_object.lua"));
    "internal.net.replicaset": None, Some(include_str!("box/net_replicaset.lua"));
    "internal.string": None, Some(include_str!("string.lua"));
    "internal.table": None, Some(include_str!("table.lua"));
    "internal.trigger": None, Some(include_str!("trigger_list.lua"));
    "internal.tweaks": None, Some(include_str!("tweaks.lua"));
    "internal.utf8": Some(utf8::open), Some(include_str!("utf8.lua"));
    "json": Some(json::open), Some(include_str!("json.lua"));
    "key_def": Some(r#box::key_def::open), Some(include_str!("box/key_def.lua"));
    "log": Some(log::open), Some(include_str!("log.lua"));
    "merger": Some(r#box::merger::open), Some(include_str!("box/merger.lua"));
    "metrics": None, Some(include_str!("metrics.lua"));
    "metrics.plugins.graphite": None, Some(include_str!("metrics/graphite.lua"));
    "metrics.plugins.json": None, Some(include_str!("metrics/json.lua"));
    "metrics.plugins.prometheus": None, Some(include_str!("metrics/prometheus.lua"));
    "misc": None, Some(include_str!("misc.lua"));
    "msgpack": Some(msgpack::open), Some(include_str!("msgpack.lua"));
    "msgpackffi": None, Some(include_str!("msgpackffi.lua"));
    "internal.net_box_future": None, Some(include_str!("box/net_box/future.lua"));
    "internal.net_box_space": None, Some(include_str!("box/net_box/space.lua"));
    "internal.net_box_transport": Some(r#box::net_box::open), Some(include_str!("box/net_box/transport.lua"));
    "net.box": None, Some(include_str!("box/net_box.lua"));
    "net.replicaset": None, Some("return require('internal.net.replicaset')");
    "pickle": None, Some(include_str!("pickle.lua"));
    "popen": Some(popen::open), Some(include_str!("popen.lua"));
    "pwd": None, Some(include_str!("pwd.lua"));
    "resp": Some(r#box::resp::open), Some(include_str!("box/resp.lua"));
    "socket": Some(socket::open), Some(include_str!("socket.lua"));
    "strict": None, Some(include_str!("strict.lua"));
    "tap": None, Some(include_str!("tap.lua"));
    "tarantool": Some(tarantool::open), Some(include_str!("tarantool.lua"));
    "timezones": None, Some("return require('datetime').TZ");
    "title": Some(title::open), Some(include_str!("title.lua"));
    "trigger": None, Some(include_str!("trigger.lua"));
    "ulid": None, Some(include_str!("ulid.lua"));
    "uri": Some(uri::open), Some(include_str!("uri.lua"));
    "uuid": Some(uuid::open), Some(include_str!("uuid.lua"));
    "varbinary": Some(varbinary::open), Some(include_str!("varbinary.lua"));
    "version": None, Some(include_str!("version.lua"));
    "xlog": Some(r#box::xlog::open), Some(include_str!("box/xlog.lua"));
    "yaml": Some(yaml::open), Some(include_str!("yaml.lua"));
};

/// Modules that change globals, loaded at start in this order.
const LOADED_AT_START: &[&str] = &[
    "internal.string",
    "internal.table",
    "internal.env",
    "internal.debug",
    "internal.loaders",
    "internal.utf8",
    "tarantool",
    "checks",
    "help",
    "misc",
    "fiber",
    "box",
];

/// Makes every module available to `require` and loads those that belong to the language.
pub fn open(cx: Context<'_>) -> Result<()> {
    serializer::prepare(cx)?;
    datetime::register_ext();
    decimal::register_ext();
    uuid::register_ext();
    varbinary::register_binary();
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

/// The Lua half of a module, by the name it is required by.
fn source_of(name: &str) -> Option<&'static str> {
    MODULES.iter().find(|module| module.name == name)?.source
}
