//! Listening sockets.
//!
//! # Yields
//! never

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Clients that may wait to be accepted; the kernel has a bound of its own. The standard library
/// leaves room for 128, and each of those that come then tries again a second later.
const BACKLOG: i32 = 4096;

/// Listens at a TCP address.
pub(super) fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}
