//! Streams of the text console over TCP and Unix sockets.
//!
//! # Invariants
//! - Of a stream one fiber reads and one writes; any may close it, which ends their waits.
//!
//! # Yields
//! `accept`, `connect`, `read`, `write`

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::base::error::{Error, Result};
use crate::base::limits::CONSOLE_COMMAND_SIZE_MAX;
use crate::fiber;

/// The host of URIs that are paths of sockets.
const UNIX: &str = "unix/";
const READ_SIZE: usize = 16 * 1024;

enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// A listening socket.
pub(super) struct Listener {
    acceptor: RefCell<Option<Rc<Acceptor>>>,
    /// Wakes the fiber in `accept` when the listener is closed.
    waiting: RefCell<Option<fiber::Fiber>>,
}

impl Listener {
    pub(super) fn bind(host: &str, service: &str) -> io::Result<Listener> {
        let acceptor = if host == UNIX {
            Acceptor::Unix(bind_unix(Path::new(service))?, PathBuf::from(service))
        } else {
            let port = service.parse::<u16>().map_err(|_| io::ErrorKind::InvalidInput)?;
            let host = if host == "*" { "0.0.0.0" } else { host };
            let listener = std::net::TcpListener::bind((host, port))?;
            listener.set_nonblocking(true)?;
            Acceptor::Tcp(TcpListener::from_std(listener)?)
        };
        Ok(Listener {
            acceptor: RefCell::new(Some(Rc::new(acceptor))),
            waiting: RefCell::new(None),
        })
    }

    /// The next connection, `None` when the listener was closed. Yields.
    pub(super) fn accept(&self) -> Result<Option<Stream>> {
        let Some(acceptor) = self.acceptor.borrow().clone() else { return Ok(None) };
        self.waiting.replace(Some(fiber::current()));
        let accepted = fiber::wait_or_cancel(std::future::poll_fn(|context| {
            if self.acceptor.borrow().is_none() {
                return std::task::Poll::Ready(None);
            }
            let accepted = match &*acceptor {
                Acceptor::Tcp(listener) => {
                    listener.poll_accept(context).map_ok(|(stream, _)| Socket::Tcp(stream))
                }
                Acceptor::Unix(listener, _) => {
                    listener.poll_accept(context).map_ok(|(stream, _)| Socket::Unix(stream))
                }
            };
            accepted.map(Some)
        }));
        self.waiting.take();
        match accepted? {
            None => Ok(None),
            Some(socket) => {
                let socket = socket.map_err(|error| Error::system("accept", &error))?;
                Ok(Some(Stream::new(socket)))
            }
        }
    }

    /// Where it listens on TCP.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match &**self.acceptor.borrow().as_ref()? {
            Acceptor::Tcp(listener) => listener.local_addr().ok(),
            Acceptor::Unix(..) => None,
        }
    }

    /// Stops listening and takes the path of a Unix socket away.
    pub(super) fn close(&self) {
        if let Some(acceptor) = self.acceptor.take()
            && let Acceptor::Unix(_, path) = &*acceptor
        {
            let _ = std::fs::remove_file(path);
        }
        if let Some(fiber) = self.waiting.take() {
            fiber.wakeup();
        }
    }
}

/// Binds the path. A socket that nobody listens on any more is left over from a crash: it goes.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let refused = std::os::unix::net::UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
            if !refused {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    async fn readable(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.readable().await,
            Socket::Unix(stream) => stream.readable().await,
        }
    }

    async fn writable(&self) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.writable().await,
            Socket::Unix(stream) => stream.writable().await,
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_read(buffer),
            Socket::Unix(stream) => stream.try_read(buffer),
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_write(bytes),
            Socket::Unix(stream) => stream.try_write(bytes),
        }
    }

    fn descriptor(&self) -> i32 {
        match self {
            Socket::Tcp(stream) => stream.as_raw_fd(),
            Socket::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

/// A connection, with what was read of it and not asked for yet.
pub(super) struct Stream {
    socket: RefCell<Option<Rc<Socket>>>,
    buffer: RefCell<Vec<u8>>,
}

impl Stream {
    fn new(socket: Socket) -> Stream {
        Stream { socket: RefCell::new(Some(Rc::new(socket))), buffer: RefCell::default() }
    }

    pub(super) async fn connect(host: &str, service: &str) -> io::Result<Stream> {
        if host == UNIX {
            return UnixStream::connect(service).await.map(Socket::Unix).map(Stream::new);
        }
        let port = service.parse::<u16>().map_err(|_| io::ErrorKind::InvalidInput)?;
        TcpStream::connect((host, port)).await.map(Socket::Tcp).map(Stream::new)
    }

    fn open_socket(&self) -> Option<Rc<Socket>> {
        self.socket.borrow().clone()
    }

    /// Takes the bytes that `size_of` finds to be one piece, reading until it finds one. `None`:
    /// the stream has ended, and what came after the last piece is dropped. Yields.
    pub(super) fn read(&self, size_of: impl Fn(&[u8]) -> Option<usize>) -> Result<Option<Vec<u8>>> {
        loop {
            let size = size_of(&self.buffer.borrow());
            if let Some(size) = size {
                return Ok(Some(self.buffer.borrow_mut().drain(..size).collect()));
            }
            if self.buffer.borrow().len() > CONSOLE_COMMAND_SIZE_MAX {
                return Err(Error::illegal_params("console: the text is too long"));
            }
            let Some(socket) = self.open_socket() else { return Ok(None) };
            let mut piece = [0; READ_SIZE];
            match socket.try_read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(count) => self.buffer.borrow_mut().extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if fiber::wait_or_cancel(socket.readable())?.is_err() {
                        return Ok(None);
                    }
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// Writes everything; false: the peer is gone. Yields.
    pub(super) fn write(&self, mut bytes: &[u8]) -> Result<bool> {
        while !bytes.is_empty() {
            let Some(socket) = self.open_socket() else { return Ok(false) };
            match socket.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if fiber::wait_or_cancel(socket.writable())?.is_err() {
                        return Ok(false);
                    }
                }
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Ends the connection both ways, so that whoever waits for it goes on.
    pub(super) fn close(&self) {
        if let Some(socket) = self.socket.take() {
            // SAFETY: the descriptor is open for as long as `socket` lives.
            let descriptor = unsafe { BorrowedFd::borrow_raw(socket.descriptor()) };
            // A peer that is gone already is what was wanted.
            let _ = socket2::SockRef::from(&descriptor).shutdown(std::net::Shutdown::Both);
        }
    }

    /// Who is at the other end, as `box.session.peer()` tells it.
    pub(super) fn peer(&self) -> Option<String> {
        match &*self.open_socket()? {
            Socket::Tcp(stream) => stream.peer_addr().ok().map(|address| address.to_string()),
            Socket::Unix(_) => Some("unix/:(socket)".to_owned()),
        }
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.open_socket().map_or(-1, |socket| socket.descriptor())
    }
}
