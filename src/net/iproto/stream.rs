//! A socket of a connection: TCP or Unix, read by one fiber and written by another.
//!
//! # Yields
//! never; the polls tell when to wait

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::{Context, Poll, ready};

use tokio::net::{TcpStream, UnixStream};

use super::server::Address;

/// A connected socket.
pub enum Stream {
    /// Of the network.
    Tcp(TcpStream),
    /// Of the machine.
    Unix(UnixStream),
}

impl Stream {
    /// Connects to a server.
    pub async fn connect(address: &Address) -> io::Result<Stream> {
        let stream = match address {
            Address::Tcp(address) => Stream::Tcp(TcpStream::connect(address).await?),
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
        };
        stream.prepare()?;
        Ok(stream)
    }

    /// Takes a socket that is connected already.
    pub fn adopt(socket: OwnedFd) -> io::Result<Stream> {
        let is_unix = socket2::SockRef::from(&socket).local_addr()?.is_unix();
        if is_unix {
            let stream = std::os::unix::net::UnixStream::from(socket);
            stream.set_nonblocking(true)?;
            return Ok(Stream::Unix(UnixStream::from_std(stream)?));
        }
        let stream = std::net::TcpStream::from(socket);
        stream.set_nonblocking(true)?;
        Ok(Stream::Tcp(TcpStream::from_std(stream)?))
    }

    /// Sets what a socket of either side needs.
    pub fn prepare(&self) -> io::Result<()> {
        if let Stream::Tcp(stream) = self {
            crate::net::listen::prepare(stream)?;
        }
        Ok(())
    }

    /// Ends both directions: whoever waits for the socket, and the peer, see its end.
    pub fn shutdown(&self) {
        // A socket whose peer has gone first is at its end already.
        let _ = match self {
            Stream::Tcp(stream) => socket2::SockRef::from(stream).shutdown(Shutdown::Both),
            Stream::Unix(stream) => socket2::SockRef::from(stream).shutdown(Shutdown::Both),
        };
    }

    /// The descriptor's number.
    pub fn descriptor(&self) -> i32 {
        match self {
            Stream::Tcp(stream) => stream.as_raw_fd(),
            Stream::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Ready when there is something to read, the end included.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Appends what is there to `input`, which has room; how many bytes, 0 at the end.
    pub fn poll_read(&self, cx: &mut Context<'_>, input: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            let result = match self {
                Stream::Tcp(stream) => stream.try_read_buf(input),
                Stream::Unix(stream) => stream.try_read_buf(input),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes the start of `bytes`; how many of them.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let result = match self {
                Stream::Tcp(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_write(bytes)
                }
                Stream::Unix(stream) => {
                    ready!(stream.poll_write_ready(cx))?;
                    stream.try_write(bytes)
                }
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}
