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
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::stat::Traffic;
use crate::base::error::{Error, Result};
use crate::fiber;
use crate::lua::{Context, Kind, Module};
use crate::net::iproto::{Address, Connection, Limits, Server, Service};

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
        .function("iproto_addresses", lua_iproto_addresses)
        .function("iproto_configure", lua_iproto_configure)
        .function("iproto_stop", lua_iproto_stop)
}

/// `iproto_listen(list)`: listens at these places, each a pair of host and port, or a path alone.
/// Yields while it looks hosts up.
fn lua_iproto_listen(cx: Context<'_>) -> Result<usize> {
    cx.check_kind(1, Kind::Table)?;
    let mut addresses = Vec::new();
    for number in 1..=cx.raw_len(1) as i32 {
        cx.raw_get_index(1, number);
        cx.raw_get_field(-1, "path");
        if let Some(path) = cx.text(-1) {
            addresses.push(Address::Unix(PathBuf::from(path)));
            cx.pop(2);
            continue;
        }
        cx.raw_get_field(-2, "host");
        let host = cx.text(-1).unwrap_or_default().to_owned();
        cx.raw_get_field(-3, "port");
        let port = cx.integer(-1).and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or_else(|| Error::illegal_params("a port is a number to 65535"))?;
        cx.pop(4);
        addresses.push(Address::Tcp(resolve(host, port)?));
    }
    server().listen(&addresses)?;
    Ok(0)
}

fn resolve(host: String, port: u16) -> Result<SocketAddr> {
    let found = fiber::blocking(move || (host.as_str(), port).to_socket_addrs());
    found
        .map_err(|error| Error::system("getaddrinfo", &error))?
        .next()
        .ok_or_else(|| Error::illegal_params("the host has no address"))
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

/// `iproto_configure(readahead, net_msg_max)`
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
    Ok(0)
}

/// `iproto_stop(seconds)`: stops listening, lets requests end for so long, closes connections.
fn lua_iproto_stop(cx: Context<'_>) -> Result<usize> {
    let patience = Duration::try_from_secs_f64(cx.opt_number(1, 0.0)?).unwrap_or(Duration::ZERO);
    if let Some(server) = SERVER.with_borrow(Clone::clone) {
        server.stop(patience);
    }
    Ok(0)
}
