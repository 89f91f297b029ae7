//! The native half of `log`: levels, and the way from a Lua message to `tracing`.
//!
//! What is too detailed for the level is dropped in the Lua half already, before it is formatted.
//! Where messages go is the server's matter: it installs a [`Sink`].
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::base::error::{Error, Result};
use crate::lua::{Context, Module};

/// The level of ordinary messages, `info`.
const LEVEL_DEFAULT: u8 = 5;

/// Read by every thread that logs, written by configuration.
static LEVEL: AtomicU8 = AtomicU8::new(LEVEL_DEFAULT);

/// The level up to which messages are written: 0 fatal, 1 syserror, 2 error, 3 crit, 4 warn,
/// 5 info, 6 verbose, 7 debug.
pub fn level() -> u8 {
    LEVEL.load(Ordering::Relaxed)
}

/// Sets the level.
pub fn set_level(level: u8) {
    LEVEL.store(level, Ordering::Relaxed);
}

/// Levels of modules of the program itself, by dotted name; few, and none as a rule.
static MODULE_LEVELS: RwLock<Vec<(String, u8)>> = RwLock::new(Vec::new());
/// Whether there is any.
static HAS_MODULE_LEVELS: AtomicBool = AtomicBool::new(false);

/// The level of a module of the program (`lycosa::wal::writer`): that of the nearest name above
/// it, where `tarantool` stands for the program too; else the level of everything.
pub fn level_of(path: &str) -> u8 {
    if !HAS_MODULE_LEVELS.load(Ordering::Relaxed) {
        return level();
    }
    let levels = MODULE_LEVELS.read().unwrap_or_else(PoisonError::into_inner);
    let rest = path.split_once("::").map_or("", |(_, rest)| rest).replace("::", ".");
    let reaches = |name: &str| {
        let name = name.strip_prefix("lycosa").or_else(|| name.strip_prefix("tarantool"));
        match name.map(|name| name.strip_prefix('.').unwrap_or(name)) {
            Some("") => Some(0),
            Some(name) if rest == name || rest.starts_with(&format!("{name}.")) => Some(name.len()),
            _ => None,
        }
    };
    let nearest = levels
        .iter()
        .filter_map(|(name, level)| reaches(name).map(|length| (length, *level)))
        .max_by_key(|(length, _)| *length);
    nearest.map_or_else(level, |(_, level)| level)
}

/// Sets the levels of modules; those that are not the program's do not matter here.
fn set_module_levels(levels: Vec<(String, u8)>) {
    HAS_MODULE_LEVELS.store(!levels.is_empty(), Ordering::Relaxed);
    *MODULE_LEVELS.write().unwrap_or_else(PoisonError::into_inner) = levels;
}

/// Where messages go.
pub trait Sink {
    /// Whether `configure` would take this destination, as far as its text tells.
    fn check(&self, destination: Option<&str>) -> Result<()>;
    /// Sends messages to `destination` (a file, `pipe:`, `syslog:`; nothing: standard error).
    fn configure(
        &self,
        destination: Option<&str>,
        nonblock: Option<bool>,
        format: &str,
    ) -> Result<()>;
    /// Opens the file again after it was moved away.
    fn rotate(&self);
    /// The process that a pipe leads to, or 0.
    fn pid(&self) -> u32;
}

thread_local! {
    static SINK: RefCell<Option<Rc<dyn Sink>>> = const { RefCell::new(None) };
}

/// Installs where messages go.
pub fn set_sink(sink: Rc<dyn Sink>) {
    SINK.set(Some(sink));
}

fn sink() -> Option<Rc<dyn Sink>> {
    SINK.with_borrow(Clone::clone)
}

/// Pushes the functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("write", lua_log_write)
        .function("get_level", lua_log_get_level)
        .function("set_level", lua_log_set_level)
        .function("set_module_level", lua_log_set_module_level)
        .function("clear_module_levels", lua_log_clear_module_levels)
        .function("check", lua_log_check)
        .function("configure", lua_log_configure)
        .function("rotate", lua_log_rotate)
        .function("pid", lua_log_pid);
    Ok(())
}

/// `write(level, module, message, file, line, is_json)`: one message. The level was checked.
fn lua_log_write(cx: Context<'_>) -> Result<usize> {
    let level = cx.check_integer(1)?;
    let module = String::from_utf8_lossy(cx.opt_bytes(2)?.unwrap_or_default());
    let message = String::from_utf8_lossy(cx.check_bytes(3)?);
    let file = String::from_utf8_lossy(cx.opt_bytes(4)?.unwrap_or_default());
    let line = cx.opt_integer(5, 0)?;
    let is_json = cx.boolean(6);
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: "lua",
                tracing::Level::$level,
                level,
                module = &*module,
                file = &*file,
                line,
                is_json,
                "{message}"
            )
        };
    }
    match level {
        ..=3 => event!(ERROR),
        4 => event!(WARN),
        5 => event!(INFO),
        6 => event!(DEBUG),
        _ => event!(TRACE),
    }
    Ok(0)
}

fn lua_log_get_level(cx: Context<'_>) -> Result<usize> {
    cx.push_integer(i64::from(level()));
    Ok(1)
}

fn lua_log_set_level(cx: Context<'_>) -> Result<usize> {
    set_level(u8::try_from(cx.check_integer(1)?.clamp(0, 7)).unwrap_or(LEVEL_DEFAULT));
    Ok(0)
}

/// `set_module_level(name, level)`: for a module of the program.
fn lua_log_set_module_level(cx: Context<'_>) -> Result<usize> {
    let name = cx.check_text(1)?.to_owned();
    let level = u8::try_from(cx.check_integer(2)?.clamp(0, 7)).unwrap_or(LEVEL_DEFAULT);
    let mut levels = MODULE_LEVELS.read().unwrap_or_else(PoisonError::into_inner).clone();
    levels.push((name, level));
    set_module_levels(levels);
    Ok(0)
}

fn lua_log_clear_module_levels(_: Context<'_>) -> Result<usize> {
    set_module_levels(Vec::new());
    Ok(0)
}

/// `check(destination)`
fn lua_log_check(cx: Context<'_>) -> Result<usize> {
    let destination = cx.opt_bytes(1)?.map(String::from_utf8_lossy);
    if let Some(sink) = sink() {
        sink.check(destination.as_deref())?;
    }
    Ok(0)
}

/// `configure(destination, nonblock, format)`.
fn lua_log_configure(cx: Context<'_>) -> Result<usize> {
    let destination = cx.opt_bytes(1)?.map(String::from_utf8_lossy);
    let nonblock = (!cx.is_null(2)).then(|| cx.boolean(2));
    let format = cx.check_text(3)?;
    match sink() {
        Some(sink) => sink.configure(destination.as_deref(), nonblock, format)?,
        None if destination.is_some() => {
            return Err(Error::illegal_params("this program has no log to configure"));
        }
        None => {}
    }
    Ok(0)
}

fn lua_log_rotate(_: Context<'_>) -> Result<usize> {
    if let Some(sink) = sink() {
        sink.rotate();
    }
    Ok(0)
}

fn lua_log_pid(cx: Context<'_>) -> Result<usize> {
    cx.push_integer(sink().map_or(0, |sink| i64::from(sink.pid())));
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_decides_a_modules_level() {
        set_module_levels(vec![("tarantool".into(), 2), ("lycosa.wal".into(), 7)]);
        assert_eq!(level_of("lycosa::wal::writer"), 7);
        assert_eq!(level_of("lycosa::wallet"), 2);
        assert_eq!(level_of("lycosa"), 2);
        set_module_levels(vec![("app".into(), 7)]);
        assert_eq!(level_of("lycosa::wal"), level());
        set_module_levels(Vec::new());
        assert_eq!(level_of("lycosa::wal"), level());
    }
}
