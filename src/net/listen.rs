//! Listening sockets, and what every accepted one needs, whatever its protocol.
//!
//! # Yields
//! `accept` and `shake_hands`

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::address::Address;
use super::stream::{self, Stream};
use crate::fiber;

/// Pause after an accept that failed (no descriptors left), so that the loop does not spin.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Seconds of silence after which the kernel asks whether the peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// Clients that may wait to be accepted; the kernel has a bound of its own. The standard library
/// leaves room for 128, and each of those that come then tries again a second later.
const BACKLOG: i32 = 4096;

/// Where a socket listens, and how it makes connections.
pub(super) struct Place {
    pub address: Address,
    /// Of connections from now on.
    pub tls: RefCell<Option<Arc<ServerConfig>>>,
}

/// A connected socket, the TLS it is to have, and where it comes from.
pub(super) type Accepted = (Socket, Option<Arc<ServerConfig>>, SockAddr);

/// A listening socket. A path is removed when it is dropped.
pub(super) struct Listener {
    socket: AsyncFd<Socket>,
    place: Rc<Place>,
}

impl Listener {
    /// Listens at an address; port 0 is one that the system chooses.
    pub fn bind(address: &Address, tls: Option<Arc<ServerConfig>>) -> io::Result<Listener> {
        let (domain, target) = match address {
            Address::Tcp(tcp) => (Domain::for_address(*tcp), (*tcp).into()),
            Address::Unix(path) => {
                // A file that nobody listens at is left from a process that was killed.
                if path.exists() && UnixStream::connect(path).is_err() {
                    let _ = std::fs::remove_file(path);
                }
                (Domain::UNIX, SockAddr::unix(path)?)
            }
        };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        if domain != Domain::UNIX {
            socket.set_reuse_address(true)?;
        }
        socket.bind(&target)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?.as_socket().map_or(address.clone(), Address::Tcp);
        let place = Rc::new(Place { address, tls: RefCell::new(tls) });
        Ok(Listener { socket: stream::watch(socket)?, place })
    }

    /// Where it listens.
    pub fn place(&self) -> Rc<Place> {
        self.place.clone()
    }

    /// The next connection and where it comes from. Its hands are not shaken yet.
    pub async fn next(&self) -> io::Result<(Stream, SockAddr)> {
        let (socket, tls, peer) = self.next_socket().await?;
        Ok((Stream::accepted(socket, tls)?, peer))
    }

    /// As [`Listener::next`], of what a [`Stream`] is made: on the thread that will use it.
    pub async fn next_socket(&self) -> io::Result<Accepted> {
        loop {
            let mut guard = self.socket.readable().await?;
            match self.socket.get_ref().accept() {
                Ok((socket, peer)) => {
                    return Ok((socket, self.place.tls.borrow().clone(), peer));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.place.address {
            let _ = std::fs::remove_file(path);
        }
    }
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
pub(super) fn prepare(socket: &Socket) -> io::Result<()> {
    if socket.domain()? != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEPALIVE))?;
    }
    Ok(())
}

/// Waits until a future is done, so long at most: whether it was done well. What was wrong is
/// logged. Yields.
pub(super) fn shake_hands(handshake: impl Future<Output = io::Result<()>>, peer: &str) -> bool {
    let handshake = tokio::time::timeout(crate::base::limits::TLS_HANDSHAKE_WAIT_MAX, handshake);
    let error = match fiber::wait(handshake) {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    tracing::warn!(client = %peer, "Init session error: {error}");
    false
}
