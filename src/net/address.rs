//! Where to listen and to connect.
//!
//! # Yields
//! `resolve`

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use socket2::SockAddr;

use crate::fiber;

/// An address of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address of the network.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix/:{}", path.display()),
        }
    }
}

/// The address of a client as `box.session.peer` shows it.
pub(super) fn show(peer: &SockAddr) -> String {
    peer.as_socket().map_or("unix/:(socket)".to_owned(), |peer| peer.to_string())
}

/// The first address of a host, looked up aside. Yields.
pub fn resolve(host: String, port: u16) -> io::Result<SocketAddr> {
    let found = fiber::blocking(move || (host.as_str(), port).to_socket_addrs());
    found?.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))
}
