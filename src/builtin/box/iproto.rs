//! Native half of the binary protocol's server: who connects, and what Lua sets.
//!
//! `net::iproto` reads packets and writes buffers. Here a connection gets its session, `dispatch`
//! runs its packets, `request` executes what concerns data, `call` what concerns Lua; keys that a
//! client watches are followed by the Lua half (`iproto.lua`).
//!
//! # Yields
//! `lua_iproto_stop`; the fibers of connections

mod call;
mod client;
mod dispatch;
mod packet;
mod request;

use std::cell::RefCell;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

pub(super) use self::call::is_builtin;
use super::session::{Session, SessionKind};
use super::space::database;
use super::stat::Traffic;
use super::tls;
use crate::base::error::{Error, Result};
use crate::db::GUEST;
use crate::lua::{Context, Kind, Module};
use crate::net::address::{self, Address};
use crate::net::iproto::{Connection, Endpoint, Limits, Server, Service};

thread_local! {
    static SERVER: RefCell<Option<Rc<Server>>> = const { RefCell::new(None) };
}

struct Binary;

impl Service for Binary {
    fn connected(&self, connection: &Rc<Connection>) -> Option<Rc<dyn crate::net::iproto::Client>> {
        client::connect(connection)
    }
}

/// The server, made on first use; it lives as long as the process.
fn server() -> Rc<Server> {
    SERVER.with_borrow_mut(|server| {
        server.get_or_insert_with(|| Rc::new(Server::new(Rc::new(Binary)))).clone()
    })
}

/// What the server counts.
pub(super) fn traffic() -> Traffic {
    let mut traffic = Traffic::NONE;
    if let Some(server) = SERVER.with_borrow(Clone::clone) {
        let [received, sent, connections, requests] = server.counters().totals();
        traffic = Traffic {
            connection_count: server.connection_count() as u64,
            connections,
            requests,
            received,
            sent,
            tracked: server.counters().tracked(),
        };
    }
    traffic
}

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    packet::add(client::add(call::add(module)))
        .function("iproto_listen", lua_iproto_listen)
        .function("iproto_reload_tls", lua_iproto_reload_tls)
        .function("iproto_adopt", lua_iproto_adopt)
        .function("iproto_addresses", lua_iproto_addresses)
        .function("iproto_configure", lua_iproto_configure)
        .function("iproto_stop", lua_iproto_stop)
}

/// A place to listen at: `{host, port}` or `{path}`, with `params` of TLS. The table is on the top.
/// Yields while it looks hosts up and reads files.
fn endpoint(cx: Context<'_>) -> Result<Endpoint> {
    let top = cx.top();
    cx.raw_get_field(top, "params");
    let tls = tls::server(tls::settings(cx, -1)?)?;
    cx.raw_get_field(top, "path");
    if let Some(path) = cx.text(-1) {
        return Ok((Address::Unix(PathBuf::from(path)), tls));
    }
    cx.raw_get_field(top, "host");
    let host = cx.text(-1).unwrap_or_default().to_owned();
    cx.raw_get_field(top, "port");
    let port = cx.integer(-1).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| Error::illegal_params("a port is a number to 65535"))?;
    let address = address::resolve(host, port);
    Ok((Address::Tcp(address.map_err(|error| Error::system("getaddrinfo", &error))?), tls))
}

/// The places of a list.
fn endpoints(cx: Context<'_>) -> Result<Vec<Endpoint>> {
    cx.check_kind(1, Kind::Table)?;
    let mut endpoints = Vec::new();
    for number in 1..=cx.raw_len(1) as i32 {
        cx.raw_get_index(1, number);
        endpoints.push(endpoint(cx)?);
        cx.set_top(1);
    }
    Ok(endpoints)
}

/// `iproto_listen(list)`: listens at these places. Yields.
fn lua_iproto_listen(cx: Context<'_>) -> Result<usize> {
    let endpoints = endpoints(cx)?;
    server().listen(endpoints)?;
    Ok(0)
}

/// `iproto_reload_tls(list)`: reads the files of the places where it listens anew. Yields.
fn lua_iproto_reload_tls(cx: Context<'_>) -> Result<usize> {
    let endpoints = endpoints(cx)?;
    server().set_tls(endpoints.into_iter().map(|(_, tls)| tls).collect());
    Ok(0)
}

/// Refuses a number that is no open descriptor.
pub(super) fn check_descriptor(descriptor: i32) -> Result<()> {
    // SAFETY: it only asks whether there is such a descriptor.
    if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } < 0 {
        return Err(Error::system("fd", &std::io::Error::last_os_error()));
    }
    Ok(())
}

/// `iproto_adopt(descriptor, user or nil, storage or nil)`: serves a connection that is made
/// already, whose descriptor is the server's from now on; the id of its session.
fn lua_iproto_adopt(cx: Context<'_>) -> Result<usize> {
    let descriptor = i32::try_from(cx.check_integer(1)?)
        .map_err(|_| Error::illegal_params("fd should be a descriptor"))?;
    let database = database()?;
    let user = match cx.opt_bytes(2)? {
        Some(name) => {
            database.users().find_by_name(&String::from_utf8_lossy(name))?.definition().uid
        }
        None => GUEST,
    };
    let session = Session::new(SessionKind::Binary, user);
    if cx.kind(3) == Kind::Table {
        cx.push_value(3);
        session.set_storage(cx.reference());
    }
    cx.push_uint64(session.id());
    // What is no socket is noticed when it is to be read: the session begins, and ends at once.
    let socket = check_descriptor(descriptor).ok().map(|()| {
        // SAFETY: the caller gives the descriptor away, as `box.session.new` says.
        unsafe { OwnedFd::from_raw_fd(descriptor) }
    });
    match socket.and_then(|socket| server().adopt(socket).ok()) {
        Some(id) => client::keep_session(id, session),
        None => client::begin_and_end(descriptor, session),
    }
    Ok(1)
}

/// `iproto_addresses()`: where it listens.
fn lua_iproto_addresses(cx: Context<'_>) -> Result<usize> {
    let addresses = SERVER.with_borrow(Clone::clone).map(|server| server.addresses());
    let addresses = addresses.unwrap_or_default();
    cx.new_table(addresses.len(), 0);
    for (number, address) in (1..).zip(&addresses) {
        cx.push_bytes(address.to_string());
        cx.raw_set_index(-2, number);
    }
    Ok(1)
}

/// `iproto_configure(readahead, net_msg_max, threads)`: the last before the server first listens.
fn lua_iproto_configure(cx: Context<'_>) -> Result<usize> {
    let defaults = Limits::default();
    let read = |index, default: usize| {
        let number = cx.opt_number(index, default as f64)?;
        Ok::<usize, Error>((number as usize).max(1))
    };
    server().set_limits(Limits {
        readahead: read(1, defaults.readahead)?,
        work_count_max: read(2, defaults.work_count_max)?,
    });
    server().set_thread_count(cx.opt_number(3, 0.0)? as usize);
    Ok(0)
}

/// `iproto_stop(patience, timeout)`: stops listening, lets requests end for so many seconds, closes
/// connections and cancels the requests that are left; whether they ended in time. Yields.
fn lua_iproto_stop(cx: Context<'_>) -> Result<usize> {
    let read = |index| {
        let seconds = cx.check_number(index)?;
        Ok::<_, Error>(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    };
    let (patience, timeout) = (read(1)?, read(2)?);
    let server = SERVER.with_borrow(Clone::clone);
    cx.push_boolean(server.is_none_or(|server| server.stop(patience, timeout)));
    Ok(1)
}
