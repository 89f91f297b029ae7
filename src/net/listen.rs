//! Listening sockets, and what every accepted one needs, whatever its protocol.
//!
//! # Yields
//! `accept`

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::fiber;

/// Pause after an accept that failed (no descriptors left), so that the loop does not spin.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Seconds of silence after which the kernel asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(300);

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

/// Waits for a connection and starts to serve it; an error of either is logged, and followed by a
/// pause. False: the fiber is cancelled. Yields.
pub(super) fn accept<T>(
    next: impl Future<Output = io::Result<T>>,
    start: impl FnOnce(T) -> io::Result<()>,
) -> bool {
    let Ok(accepted) = fiber::wait_or_cancel(next) else { return false };
    let Err(error) = accepted.and_then(start) else { return true };
    tracing::warn!("accepting a connection: {error}");
    fiber::sleep(ACCEPT_PAUSE).is_ok()
}

/// Sets the options of a connection's socket.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
