//! Native half of `resp`: the Redis protocol server for Lua handlers.
//!
//! `net::resp` reads requests and writes buffers; here a request becomes a call of the Lua handler
//! that stands under the command's name, and what it returns becomes a reply. `call.rs` is the hot
//! path; this file holds what Lua calls.
//!
//! # Yields
//! The fibers of connections, when handlers do and while they wait for clients and the log

mod call;
mod encode;
mod scan;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::session;
use super::space::database;
use super::stat::Traffic;
use super::tls;
use crate::base::error::{Error, Result};
use crate::base::error_code::{ER_AUTH_DELAY, ER_PASSWORD_EXPIRED};
use crate::db::access::{self, set_effective_user};
use crate::db::authentication::Proof;
use crate::db::security;
use crate::lua::{Context, Kind, Module, Reference, userdata};
use crate::net::address::{self, Address};
use crate::net::resp::reply::Version;
use crate::net::resp::{Connection, Limits, ReplyMode, Server};

/// What the calls of one server share.
pub(super) struct Handlers {
    /// The table given to `set_handlers`.
    table: RefCell<Option<Reference>>,
    /// Grows with each `set_handlers`, so that connections notice.
    version: Cell<u64>,
    /// Microseconds from which a request is slow; negative: none is.
    slow_threshold_us: Cell<i64>,
}

/// A server as Lua holds it.
type LuaServer = Rc<(Server, Rc<Handlers>)>;
/// A connection as Lua holds it.
type LuaConnection = Rc<Connection>;

thread_local! {
    /// Servers live until they are stopped, whatever Lua keeps.
    static SERVERS: RefCell<Vec<LuaServer>> = const { RefCell::new(Vec::new()) };
    /// What servers that are stopped have counted.
    static STOPPED: Cell<Traffic> = const { Cell::new(Traffic::NONE) };
}

/// Pushes the table of native functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    cx.new_table(0, 1);
    userdata::set_metatable::<LuaServer>(cx);
    cx.new_table(0, 1);
    userdata::set_metatable::<LuaConnection>(cx);
    Module::new(cx)
        .function("set_reply", encode::lua_resp_set_reply)
        .number("lent_count_max", call::LENT_COUNT_MAX as f64)
        .function("set_lending", call::lua_resp_set_lending)
        .function("error_text", call::lua_resp_error_text)
        .function("set_client_metatable", call::lua_resp_set_client_metatable)
        .function("listen", lua_resp_listen)
        .function("move_to", lua_resp_move_to)
        .function("set_tls", lua_resp_set_tls)
        .function("set_handlers", lua_resp_set_handlers)
        .function("set_limits", lua_resp_set_limits)
        .function("port", lua_resp_port)
        .function("connection_count", lua_resp_connection_count)
        .function("counters", lua_resp_counters)
        .function("stop", lua_resp_stop)
        .function("set_protocol", lua_resp_set_protocol)
        .function("set_reply_mode", lua_resp_set_reply_mode)
        .function("set_authenticated", lua_resp_set_authenticated)
        .function("set_gated", lua_resp_set_gated)
        .function("set_key_space", lua_resp_set_key_space)
        .function("authenticate", lua_resp_authenticate)
        .function("check_attempt", lua_resp_check_attempt)
        .function("note_attempt", lua_resp_note_attempt)
        .function("set_user", lua_resp_set_user)
        .function("check_eval", lua_resp_check_eval)
        .function("close", lua_resp_close)
        .function("is_connected", lua_resp_is_connected)
        .function("info", lua_resp_info)
        .function("scan", scan::lua_resp_scan);
    Ok(())
}

/// What all servers count, those that are stopped included.
pub(super) fn traffic() -> Traffic {
    let mut traffic = STOPPED.get();
    SERVERS.with_borrow(|servers| servers.iter().for_each(|server| traffic.add(&server.0)));
    traffic
}

fn server(cx: Context<'_>) -> Result<&LuaServer> {
    userdata::check(cx, 1, || Error::illegal_params("resp: a server is expected"))
}

fn connection(cx: Context<'_>) -> Result<&LuaConnection> {
    userdata::check(cx, 1, || Error::illegal_params("resp: a client is expected"))
}

/// The address that two arguments name, a host and a port. Yields while it looks the host up.
fn address(cx: Context<'_>, first: i32) -> Result<SocketAddr> {
    let host = cx.check_text(first)?.to_owned();
    let port = u16::try_from(cx.check_integer(first + 1)?)
        .map_err(|_| Error::illegal_params("resp: a port is a number from 0 to 65535"))?;
    address::resolve(host, port).map_err(|error| Error::system("getaddrinfo", &error))
}

/// `listen(host, port, TLS parameters)`. Yields while it looks the host up and reads files.
fn lua_resp_listen(cx: Context<'_>) -> Result<usize> {
    let address = address(cx, 1)?;
    let tls = tls::server(tls::settings(cx, 3)?)?;
    let handlers = Rc::new(Handlers {
        table: RefCell::new(None),
        version: Cell::new(0),
        slow_threshold_us: Cell::new(-1),
    });
    let service = Rc::new(call::LuaService { handlers: handlers.clone() });
    let server: LuaServer = Rc::new((Server::listen(address, tls, service)?, handlers));
    SERVERS.with_borrow_mut(|servers| servers.push(server.clone()));
    userdata::push(cx, server);
    Ok(1)
}

/// `set_tls(server, TLS parameters)`: reads the files anew. Yields.
fn lua_resp_set_tls(cx: Context<'_>) -> Result<usize> {
    let (server, _) = &**server(cx)?;
    server.set_tls(tls::server(tls::settings(cx, 2)?)?);
    Ok(0)
}

/// `move_to(server, host, port)`. Yields.
fn lua_resp_move_to(cx: Context<'_>) -> Result<usize> {
    let (server, _) = &**server(cx)?;
    server.move_to(address(cx, 2)?)?;
    Ok(0)
}

/// `set_handlers(server, table)`
fn lua_resp_set_handlers(cx: Context<'_>) -> Result<usize> {
    let (_, handlers) = &**server(cx)?;
    cx.check_kind(2, Kind::Table)?;
    cx.push_value(2);
    let new = cx.reference();
    if let Some(old) = handlers.table.replace(Some(new)) {
        cx.release(old);
    }
    handlers.version.set(handlers.version.get() + 1);
    Ok(0)
}

/// `set_limits(server, table)`
fn lua_resp_set_limits(cx: Context<'_>) -> Result<usize> {
    let (server, handlers) = &**server(cx)?;
    cx.check_kind(2, Kind::Table)?;
    let field = |name: &str| {
        cx.raw_get_field(2, name);
        let number = cx.number(-1);
        cx.pop(1);
        number
    };
    let count = |name: &str, current: usize| field(name).map_or(current, |number| number as usize);
    let mut limits: Limits = server.limits();
    let request = &mut limits.request;
    request.argument_count_max = count("argument_count_max", request.argument_count_max);
    request.bulk_size_max = count("bulk_size_max", request.bulk_size_max);
    request.request_size_max = count("request_size_max", request.request_size_max);
    limits.connection_count_max = count("clients_max", limits.connection_count_max);
    limits.output_size_max = count("output_size_max", limits.output_size_max);
    if let Some(seconds) = field("idle_timeout") {
        let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO);
        limits.idle_timeout = (!timeout.is_zero()).then_some(timeout);
    }
    if let Some(microseconds) = field("slow_threshold") {
        handlers.slow_threshold_us.set(microseconds as i64);
    }
    server.set_limits(limits);
    Ok(0)
}

/// `port(server)`
fn lua_resp_port(cx: Context<'_>) -> Result<usize> {
    let (server, _) = &**server(cx)?;
    let port = match server.address() {
        Address::Tcp(address) => address.port(),
        Address::Unix(_) => 0,
    };
    cx.push_integer(i64::from(port));
    Ok(1)
}

/// `connection_count(server)`
fn lua_resp_connection_count(cx: Context<'_>) -> Result<usize> {
    let (server, _) = &**server(cx)?;
    cx.push_number(server.connection_count() as f64);
    Ok(1)
}

/// `counters(server)`
fn lua_resp_counters(cx: Context<'_>) -> Result<usize> {
    let (server, _) = &**server(cx)?;
    let counters = server.counters().list();
    cx.new_table(0, counters.len());
    for (name, value) in counters {
        cx.push_number(value as f64);
        cx.raw_set_field(-2, name);
    }
    Ok(1)
}

/// `stop(server)`
fn lua_resp_stop(cx: Context<'_>) -> Result<usize> {
    let own = server(cx)?;
    own.0.stop();
    if SERVERS.with_borrow(|servers| servers.iter().any(|server| Rc::ptr_eq(server, own))) {
        let mut stopped = STOPPED.get();
        stopped.add(&own.0);
        STOPPED.set(Traffic { connection_count: 0, ..stopped });
    }
    SERVERS.with_borrow_mut(|servers| servers.retain(|server| !Rc::ptr_eq(server, own)));
    Ok(0)
}

/// `set_protocol(connection, 2 | 3)`
fn lua_resp_set_protocol(cx: Context<'_>) -> Result<usize> {
    let version = if cx.check_integer(2)? == 3 { Version::Resp3 } else { Version::Resp2 };
    connection(cx)?.version.set(version);
    Ok(0)
}

/// `set_reply_mode(connection, 'on' | 'off' | 'skip')`
fn lua_resp_set_reply_mode(cx: Context<'_>) -> Result<usize> {
    let mode = match cx.check_bytes(2)? {
        b"on" => ReplyMode::On,
        b"off" => ReplyMode::Off,
        b"skip" => ReplyMode::Skip,
        _ => return Err(Error::illegal_params("resp: a reply mode is on, off or skip")),
    };
    connection(cx)?.reply_mode.set(mode);
    Ok(0)
}

/// `set_authenticated(connection, boolean)`
fn lua_resp_set_authenticated(cx: Context<'_>) -> Result<usize> {
    connection(cx)?.authenticated.set(cx.boolean(2));
    Ok(0)
}

/// `set_key_space(connection, space id)`
fn lua_resp_set_key_space(cx: Context<'_>) -> Result<usize> {
    let space_id = u32::try_from(cx.check_integer(2)?).ok();
    connection(cx)?.key_space.set(space_id);
    Ok(0)
}

/// `set_gated(connection, boolean)`
fn lua_resp_set_gated(cx: Context<'_>) -> Result<usize> {
    connection(cx)?.gated.set(cx.boolean(2));
    Ok(0)
}

/// `authenticate(user, password)`: whether the session of the running connection is that user's
/// now; if not, and not for the password, why. Yields when a trigger does.
fn lua_resp_authenticate(cx: Context<'_>) -> Result<usize> {
    let (user, password) = (cx.check_bytes(1)?, cx.check_bytes(2)?);
    let user = String::from_utf8_lossy(user).into_owned();
    let result = session::authenticate(&user, Proof::Password(password));
    if let Err(error) = &result {
        tracing::debug!("authentication of '{user}': {error}");
    }
    cx.push_boolean(result.is_ok());
    match result {
        Err(error)
            if [ER_AUTH_DELAY.number, ER_PASSWORD_EXPIRED.number].contains(&error.code()) =>
        {
            cx.push_bytes(error.message());
            Ok(2)
        }
        _ => Ok(1),
    }
}

/// `check_attempt(name)`: nil, or why nobody may log in by this name now.
fn lua_resp_check_attempt(cx: Context<'_>) -> Result<usize> {
    match security::check_attempt(cx.check_text(1)?) {
        Ok(()) => cx.push_nil(),
        Err(error) => cx.push_bytes(error.message()),
    }
    Ok(1)
}

/// `note_attempt(name, is right)`: how an attempt to log in by this name ended.
fn lua_resp_note_attempt(cx: Context<'_>) -> Result<usize> {
    security::note_attempt(cx.check_text(1)?, cx.boolean(2));
    Ok(0)
}

/// `set_user(id, effective id)`: whom the session of the running connection belongs to, and with
/// whose rights its commands run.
fn lua_resp_set_user(cx: Context<'_>) -> Result<usize> {
    let session = session::current();
    session.set_user(super::space::id(cx, 1)?);
    session.enter();
    set_effective_user(super::space::id(cx, 2)?);
    Ok(0)
}

/// `check_eval()`: raises unless the user may evaluate Lua, and so do all that the process may.
fn lua_resp_check_eval(_: Context<'_>) -> Result<usize> {
    access::check_lua_eval(database()?)?;
    Ok(0)
}

/// `close(connection)`
fn lua_resp_close(cx: Context<'_>) -> Result<usize> {
    connection(cx)?.kill();
    Ok(0)
}

/// `is_connected(connection)`
fn lua_resp_is_connected(cx: Context<'_>) -> Result<usize> {
    cx.push_boolean(connection(cx)?.is_open());
    Ok(1)
}

/// `info(connection)`
fn lua_resp_info(cx: Context<'_>) -> Result<usize> {
    let connection = connection(cx)?;
    let idle = connection.idle();
    let memory = size_of::<Connection>() + connection.input_size() + connection.output_size();
    cx.new_table(0, 10);
    for (name, value) in [
        ("fd", i64::from(connection.descriptor)),
        ("age", connection.since.elapsed().as_secs().cast_signed()),
        ("idle", idle.as_secs().cast_signed()),
        ("input_size", connection.input_size() as i64),
        ("input_free", 0),
        ("output_size", connection.output_size() as i64),
        ("memory", memory as i64),
    ] {
        cx.push_integer(value);
        cx.raw_set_field(-2, name);
    }
    for (name, value) in [
        ("address", connection.peer.to_string()),
        ("local_address", connection.local.to_string()),
        ("command", connection.command()),
    ] {
        cx.push_bytes(value);
        cx.raw_set_field(-2, name);
    }
    Ok(1)
}
