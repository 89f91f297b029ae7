//! Starting the database from `box.cfg`, and changing its options while it runs.
//!
//! # Yields
//! `configure`: recovery reads files

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::host::LuaHost;
use super::space::database;
use crate::base::error::{Error, Result};
use crate::builtin::process;
use crate::client_error;
use crate::db::authentication::Method;
use crate::db::security::{self, Policy};
use crate::db::{Database, Isolation, Options, WalMode};
use crate::lua::{Context, Kind, Module};
use crate::value::uuid::Uuid;

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("configure", lua_configure)
        .function("configure_set", lua_configure_set)
        .function("configure_security", lua_configure_security)
        .function("change_directory", lua_change_directory)
        .function("configure_process", lua_configure_process)
}

fn text(cx: Context<'_>, name: &str) -> Option<String> {
    cx.raw_get_field(1, name);
    let text = cx.text(-1).map(str::to_owned);
    cx.pop(1);
    text
}

fn number(cx: Context<'_>, name: &str) -> Option<f64> {
    cx.raw_get_field(1, name);
    let number = cx.number(-1);
    cx.pop(1);
    number
}

fn flag(cx: Context<'_>, name: &str) -> bool {
    cx.raw_get_field(1, name);
    let flag = cx.boolean(-1);
    cx.pop(1);
    flag
}

fn uuid(name: &str, text: Option<String>) -> Result<Option<Uuid>> {
    let Some(text) = text else { return Ok(None) };
    Uuid::parse(text.as_bytes())
        .map(Some)
        .ok_or_else(|| client_error!(ER_CFG, name, "invalid UUID"))
}

/// Seconds; zero is never, and so is what no clock can hold.
fn interval(seconds: f64) -> Duration {
    if seconds > 0.0 && seconds < 3_153_600_000.0 {
        Duration::from_secs_f64(seconds)
    } else {
        Duration::ZERO
    }
}

fn wal_mode(name: &str) -> Result<WalMode> {
    match name {
        "none" => Ok(WalMode::None),
        "write" => Ok(WalMode::Write),
        "fsync" => Ok(WalMode::Fsync),
        other => Err(client_error!(ER_CFG, "wal_mode", other)),
    }
}

/// The options in the Lua table at 1, which has every default filled in.
fn options(cx: Context<'_>) -> Result<Options> {
    let defaults = Options::default();
    let size = |name, default: usize| number(cx, name).map_or(default, |size| size as usize);
    Ok(Options {
        memtx_dir: text(cx, "memtx_dir").map_or(defaults.memtx_dir.clone(), PathBuf::from),
        wal_dir: text(cx, "wal_dir").map_or(defaults.wal_dir.clone(), PathBuf::from),
        memory: size("memtx_memory", defaults.memory),
        max_tuple_size: size("memtx_max_tuple_size", defaults.max_tuple_size),
        wal_mode: wal_mode(&text(cx, "wal_mode").unwrap_or_else(|| "write".to_owned()))?,
        wal_max_size: number(cx, "wal_max_size").map_or(defaults.wal_max_size, |size| size as u64),
        wal_queue_max_size: number(cx, "wal_queue_max_size")
            .map_or(defaults.wal_queue_max_size, |size| size as u64),
        force_recovery: flag(cx, "force_recovery"),
        read_only: flag(cx, "read_only"),
        checkpoint_interval: interval(number(cx, "checkpoint_interval").unwrap_or(0.0)),
        checkpoint_count: size("checkpoint_count", defaults.checkpoint_count),
        checkpoint_wal_threshold: number(cx, "checkpoint_wal_threshold")
            .map_or(defaults.checkpoint_wal_threshold, |size| size as u64),
        snap_io_rate_limit: rate(number(cx, "snap_io_rate_limit")),
        transaction_timeout: timeout(number(cx, "txn_timeout")),
        instance_uuid: uuid("instance_uuid", text(cx, "instance_uuid"))?,
        replicaset_uuid: uuid("replicaset_uuid", text(cx, "replicaset_uuid"))?,
        instance_name: text(cx, "instance_name"),
        replicaset_name: text(cx, "replicaset_name"),
        cluster_name: text(cx, "cluster_name"),
        vinyl_dir: text(cx, "vinyl_dir").map_or(defaults.vinyl_dir.clone(), PathBuf::from),
        vinyl_memory: size("vinyl_memory", defaults.vinyl_memory as usize) as u64,
        vinyl_cache: size("vinyl_cache", defaults.vinyl_cache as usize) as u64,
        vinyl_read_threads: size("vinyl_read_threads", defaults.vinyl_read_threads),
        vinyl_write_threads: size("vinyl_write_threads", defaults.vinyl_write_threads),
        vinyl_timeout: interval(number(cx, "vinyl_timeout").unwrap_or(60.0)),
        vinyl_max_tuple_size: size("vinyl_max_tuple_size", defaults.vinyl_max_tuple_size),
        isolation: isolation(text(cx, "txn_isolation").as_deref()),
        ..defaults
    })
}

/// `txn_isolation`
fn isolation(name: Option<&str>) -> Isolation {
    match name {
        Some("read-committed") => Isolation::ReadCommitted,
        Some("read-confirmed") => Isolation::ReadConfirmed,
        _ => Isolation::BestEffort,
    }
}

/// Megabytes per second as bytes per second.
fn rate(megabytes: Option<f64>) -> Option<u64> {
    megabytes.filter(|rate| *rate > 0.0).map(|rate| (rate * 1024.0 * 1024.0) as u64)
}

fn timeout(seconds: Option<f64>) -> Option<Duration> {
    let timeout = interval(seconds?);
    (!timeout.is_zero()).then_some(timeout)
}

/// `configure(options)`: makes the database and recovers or bootstraps it.
fn lua_configure(cx: Context<'_>) -> Result<usize> {
    cx.check_kind(1, Kind::Table)?;
    let options = options(cx)?;
    let database = match Database::find() {
        Some(_) => return Err(client_error!(ER_LOADING)),
        None => Database::create(options),
    };
    // Only what recovery left is shown to Lua, not every step on the way.
    if let Err(error) = database.open() {
        // Half of the data may be there, and there is no way back.
        tracing::error!("can't initialize storage: {error}");
        cx.push_boolean(false);
        return Ok(1);
    }
    database.set_host(Rc::new(LuaHost));
    for space in database.schema().spaces() {
        database.host().space_changed(space.id());
    }
    for sequence in database.sequences().all() {
        database.host().sequence_changed(sequence.definition().id);
    }
    for function in database.functions().all() {
        database.host().function_changed(function.id);
    }
    // Who waits for a state has missed those on the way.
    super::ctl::status_changed();
    cx.push_boolean(true);
    Ok(1)
}

/// `configure_set(name, value)`: changes one option of the running database.
fn lua_configure_set(cx: Context<'_>) -> Result<usize> {
    let name = cx.check_text(1)?;
    let database = database()?;
    let value = cx.number(2);
    let text = || cx.text(2).map(str::to_owned);
    match name {
        "memtx_memory" => {
            let bytes = value.unwrap_or(0.0) as usize;
            if bytes < database.options().memory {
                return Err(client_error!(
                    ER_CFG,
                    "memtx_memory",
                    "cannot decrease memory size at runtime"
                ));
            }
            database.update_options(|options| options.memory = bytes);
        }
        "memtx_max_tuple_size" => {
            database
                .update_options(|options| options.max_tuple_size = value.unwrap_or(0.0) as usize);
        }
        "read_only" => {
            let read_only = cx.boolean(2);
            database.update_options(|options| options.read_only = read_only);
        }
        "checkpoint_interval" => database.update_options(|options| {
            options.checkpoint_interval = interval(value.unwrap_or(0.0));
        }),
        "checkpoint_count" => {
            database
                .update_options(|options| options.checkpoint_count = value.unwrap_or(2.0) as usize);
        }
        "checkpoint_wal_threshold" => database.update_options(|options| {
            options.checkpoint_wal_threshold = value.unwrap_or(1e18) as u64;
        }),
        "wal_queue_max_size" => database.update_options(|options| {
            options.wal_queue_max_size = value.unwrap_or(0.0) as u64;
        }),
        "snap_io_rate_limit" => {
            database.update_options(|options| options.snap_io_rate_limit = rate(value));
        }
        "txn_isolation" => {
            let level = isolation(cx.text(2));
            database.update_options(|options| options.isolation = level);
        }
        "vinyl_memory" => {
            let bytes = value.unwrap_or(0.0) as u64;
            if bytes < database.options().vinyl_memory {
                return Err(client_error!(
                    ER_CFG,
                    "vinyl_memory",
                    "cannot decrease memory size at runtime"
                ));
            }
            database.update_options(|options| options.vinyl_memory = bytes);
        }
        "vinyl_cache" => {
            database.update_options(|options| options.vinyl_cache = value.unwrap_or(0.0) as u64);
        }
        "vinyl_max_tuple_size" => database.update_options(|options| {
            options.vinyl_max_tuple_size = value.unwrap_or(0.0) as usize;
        }),
        "vinyl_timeout" => {
            database.update_options(|options| {
                options.vinyl_timeout = interval(value.unwrap_or(60.0));
            });
        }
        "txn_timeout" => {
            database.update_options(|options| options.transaction_timeout = timeout(value));
        }
        "instance_name" => database.update_options(|options| options.instance_name = text()),
        "replicaset_name" => database.update_options(|options| options.replicaset_name = text()),
        "cluster_name" => database.update_options(|options| options.cluster_name = text()),
        other => return Err(client_error!(ER_RELOAD_CFG, other)),
    }
    Ok(0)
}

/// `configure_security(options)`: what is asked of those who log in, and of files that go.
fn lua_configure_security(cx: Context<'_>) -> Result<usize> {
    cx.check_kind(1, Kind::Table)?;
    let count = |name| number(cx, name).map_or(0, |count| count as u64);
    let auth_type = text(cx, "auth_type").unwrap_or_default();
    security::set_policy(Policy {
        auth_type: Method::find(auth_type.as_bytes())
            .ok_or_else(|| client_error!(ER_CFG, "auth_type", auth_type))?,
        auth_delay: interval(number(cx, "auth_delay").unwrap_or(0.0)),
        auth_retries: count("auth_retries"),
        disable_guest: flag(cx, "disable_guest"),
        password_lifetime_days: count("password_lifetime_days"),
        password_min_length: count("password_min_length") as usize,
        enforce_uppercase: flag(cx, "password_enforce_uppercase"),
        enforce_lowercase: flag(cx, "password_enforce_lowercase"),
        enforce_digits: flag(cx, "password_enforce_digits"),
        enforce_specialchars: flag(cx, "password_enforce_specialchars"),
    });
    crate::db::set_secure_erasing(flag(cx, "secure_erasing"));
    Ok(0)
}

/// `configure_process(options)`: what is about the process rather than the database.
fn lua_configure_process(cx: Context<'_>) -> Result<usize> {
    cx.check_kind(1, Kind::Table)?;
    process::configure(&process::Options {
        pid_file: text(cx, "pid_file"),
        background: flag(cx, "background"),
        log: text(cx, "log"),
        username: text(cx, "username"),
        coredump: flag(cx, "coredump"),
    })?;
    Ok(0)
}

/// `change_directory(path)`: `work_dir` is the directory of everything that follows.
fn lua_change_directory(cx: Context<'_>) -> Result<usize> {
    let path = cx.check_text(1)?;
    std::env::set_current_dir(path)
        .map_err(|error| Error::system(&format!("can't chdir to `{path}'"), &error))?;
    Ok(0)
}
