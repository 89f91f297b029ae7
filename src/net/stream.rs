//! A socket of a connection: TCP or Unix, plain or TLS, read by one fiber and written by another.
//!
//! TLS is a session between the socket and its user: [`Stream::handshake`] makes it, and from then
//! on what is read and written is plain text. A plain socket shakes hands at once.
//!
//! # Invariants
//! - After less was read or written than there was room for, the socket is not ready: the next try
//!   costs no call of the system that fails.
//! - Bytes given to `poll_write` are given again until it is ready: a session that has taken them
//!   says so only when the socket has, too.
//!
//! # Yields
//! never; the polls tell when to wait

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::address::{self, Address};
use super::listen;

/// A connected socket.
pub struct Stream {
    socket: AsyncFd<Socket>,
    tls: Option<Box<Tls>>,
}

/// The TLS session of a socket.
struct Tls {
    session: RefCell<rustls::Connection>,
    /// Bytes that the session has taken of a write that is not done.
    taken: Cell<usize>,
}

/// The socket as the session reads and writes it.
struct Raw<'a> {
    socket: &'a Socket,
    /// Whether it took or gave less than it could have.
    is_short: bool,
}

impl Read for Raw<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let size = (&mut &*self.socket).read(bytes)?;
        self.is_short = size > 0 && size < bytes.len();
        Ok(size)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = send(self.socket, bytes)?;
        self.is_short = size < bytes.len();
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Without a signal when the peer is gone.
fn send(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    socket.send_with_flags(bytes, libc::MSG_NOSIGNAL)
}

/// Has the run loop watch a socket.
pub(super) fn watch(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: the socket is the owner of its descriptor, which stays open and the same while it
    // lives.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}

/// What TLS found wrong, as an error of input.
fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Stream {
    fn new(socket: Socket, session: Option<rustls::Connection>) -> io::Result<Stream> {
        socket.set_nonblocking(true)?;
        let tls = session
            .map(|session| Box::new(Tls { session: RefCell::new(session), taken: Cell::new(0) }));
        Ok(Stream { socket: watch(socket)?, tls })
    }

    /// Takes a socket that a listener accepted.
    pub(super) fn accepted(socket: Socket, tls: Option<Arc<ServerConfig>>) -> io::Result<Stream> {
        listen::prepare(&socket)?;
        let session = tls.map(ServerConnection::new).transpose().map_err(broken)?;
        Stream::new(socket, session.map(Into::into))
    }

    /// Connects to a server, and shakes hands.
    pub async fn connect(address: &Address, tls: Option<Arc<ClientConfig>>) -> io::Result<Stream> {
        let (domain, target, name) = match address {
            Address::Tcp(tcp) => (Domain::for_address(*tcp), (*tcp).into(), tcp.ip().into()),
            // Not sent, and not checked.
            Address::Unix(path) => (
                Domain::UNIX,
                SockAddr::unix(path)?,
                ServerName::from(std::net::Ipv4Addr::LOCALHOST),
            ),
        };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        listen::prepare(&socket)?;
        let session =
            tls.map(|tls| ClientConnection::new(tls, name)).transpose().map_err(broken)?;
        let stream = Stream::new(socket, session.map(Into::into))?;
        match stream.socket.get_ref().connect(&target) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
                let _ = stream.socket.writable().await?;
                if let Some(error) = stream.socket.get_ref().take_error()? {
                    return Err(error);
                }
            }
            result => result?,
        }
        stream.handshake().await?;
        Ok(stream)
    }

    /// Makes the plain stream one of TLS, with the server of that name: shake hands next.
    pub fn start_session(
        &mut self,
        tls: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<()> {
        let session = ClientConnection::new(tls, name).map_err(broken)?.into();
        self.tls = Some(Box::new(Tls { session: RefCell::new(session), taken: Cell::new(0) }));
        Ok(())
    }

    /// Takes a socket that is connected already. It stays open if that fails: somebody else may
    /// have it.
    pub fn adopt(socket: OwnedFd) -> io::Result<Stream> {
        let socket = Socket::from(socket);
        let watched = match socket.set_nonblocking(true) {
            // SAFETY: as in `watch`.
            Ok(()) => unsafe { AsyncFd::register(socket) }.map_err(|error| error.into_parts()),
            Err(error) => Err((socket, error)),
        };
        watched.map(|socket| Stream { socket, tls: None }).map_err(|(socket, error)| {
            let _ = socket.into_raw_fd();
            error
        })
    }

    /// Ends both directions: whoever waits for the socket, and the peer, see its end.
    pub fn shutdown(&self) {
        self.say_goodbye();
        // A socket whose peer has gone first is at its end already.
        let _ = self.socket.get_ref().shutdown(Shutdown::Both);
    }

    /// Tells the peer of a session that nothing more will come, if there is room for that.
    fn say_goodbye(&self) {
        if let Some(tls) = &self.tls {
            let mut session = tls.session.borrow_mut();
            session.send_close_notify();
            let _ = session.write_tls(&mut Raw { socket: self.socket.get_ref(), is_short: false });
        }
    }

    /// The descriptor's number.
    pub fn descriptor(&self) -> i32 {
        self.socket.as_raw_fd()
    }

    /// The own address, of a socket of the network.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        let address = self.socket.get_ref().local_addr()?.as_socket();
        address.ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// The address of the other side, as it is shown.
    pub fn peer(&self) -> String {
        self.socket
            .get_ref()
            .peer_addr()
            .map_or_else(|_| String::new(), |peer| address::show(&peer))
    }

    /// Whether bytes are sent as they are.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// Sends what the socket takes at once.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        send(self.socket.get_ref(), bytes)
    }

    /// Agrees with the peer on keys.
    pub async fn handshake(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_handshake(cx)).await
    }

    /// As [`Stream::handshake`].
    pub fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(tls) = &self.tls else { return Poll::Ready(Ok(())) };
        loop {
            ready!(self.poll_flush(cx, tls))?;
            if !tls.session.borrow().is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if !ready!(self.poll_fill(cx, tls))? {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Ready when there is something to read, the end included.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(tls) = &self.tls else {
            return self.socket.poll_read_ready(cx).map_ok(drop);
        };
        loop {
            let state = tls.session.borrow_mut().process_new_packets().map_err(broken)?;
            if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
                return Poll::Ready(Ok(()));
            }
            if !ready!(self.poll_fill(cx, tls))? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Appends what is there to `input`, which has room; how many bytes, 0 at the end.
    pub fn poll_read(&self, cx: &mut Context<'_>, input: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        if let Some(tls) = &self.tls {
            return self.poll_read_session(cx, tls, input);
        }
        loop {
            let mut guard = ready!(self.socket.poll_read_ready(cx))?;
            let room = input.capacity() - input.len();
            let spare = rustix::buffer::spare_capacity(input);
            match rustix::io::read(self.socket.get_ref(), spare).map_err(io::Error::from) {
                Ok(size) => {
                    if size > 0 && size < room {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(size));
                }
                Err(error) => self.try_again(error, &mut guard)?,
            }
        }
    }

    fn poll_read_session(
        &self,
        cx: &mut Context<'_>,
        tls: &Tls,
        input: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut session = tls.session.borrow_mut();
            let mut reader = session.reader();
            match reader.fill_buf() {
                Ok(bytes) => {
                    let size = bytes.len().min((input.capacity() - input.len()).max(1));
                    input.extend_from_slice(&bytes[..size]);
                    reader.consume(size);
                    return Poll::Ready(Ok(size));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The peer left without a word; packets say themselves whether they are whole.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(0));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            drop(session);
            if !ready!(self.poll_fill(cx, tls))? {
                return Poll::Ready(Ok(0));
            }
        }
    }

    /// Writes the start of `bytes`; how many of them.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(tls) = &self.tls {
            if tls.taken.get() == 0 {
                // What the session has of its own first: it takes only so much.
                ready!(self.poll_flush(cx, tls))?;
                tls.taken.set(tls.session.borrow_mut().writer().write(bytes)?);
            }
            ready!(self.poll_flush(cx, tls))?;
            return Poll::Ready(Ok(tls.taken.replace(0)));
        }
        loop {
            let mut guard = ready!(self.socket.poll_write_ready(cx))?;
            match send(self.socket.get_ref(), bytes) {
                Ok(size) => {
                    if size < bytes.len() {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(size));
                }
                Err(error) => self.try_again(error, &mut guard)?,
            }
        }
    }

    /// Gives the session what has come for it. False: nothing will.
    fn poll_fill(&self, cx: &mut Context<'_>, tls: &Tls) -> Poll<io::Result<bool>> {
        loop {
            let mut guard = ready!(self.socket.poll_read_ready(cx))?;
            let mut session = tls.session.borrow_mut();
            let mut raw = Raw { socket: self.socket.get_ref(), is_short: false };
            let size = match session.read_tls(&mut raw) {
                Ok(size) => size,
                Err(error) => {
                    self.try_again(error, &mut guard)?;
                    continue;
                }
            };
            if raw.is_short {
                guard.clear_ready();
            }
            let result = session.process_new_packets().map_err(broken);
            if result.is_err() || !session.is_handshaking() && session.wants_write() {
                // An alert, or what answers a change of keys: what does not fit leaves with the
                // next bytes of ours.
                let _ = session.write_tls(&mut raw);
            }
            result?;
            return Poll::Ready(Ok(size > 0));
        }
    }

    /// Writes what the session has to send.
    fn poll_flush(&self, cx: &mut Context<'_>, tls: &Tls) -> Poll<io::Result<()>> {
        while tls.session.borrow().wants_write() {
            let mut guard = ready!(self.socket.poll_write_ready(cx))?;
            let mut raw = Raw { socket: self.socket.get_ref(), is_short: false };
            match tls.session.borrow_mut().write_tls(&mut raw) {
                Ok(_) if raw.is_short => guard.clear_ready(),
                Ok(_) => {}
                Err(error) => self.try_again(error, &mut guard)?,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether a call that failed may be made again, when the socket is ready.
    fn try_again<T: AsRawFd>(
        &self,
        error: io::Error,
        guard: &mut tokio::io::unix::AsyncFdReadyGuard<'_, T>,
    ) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::WouldBlock => guard.clear_ready(),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.say_goodbye();
    }
}
