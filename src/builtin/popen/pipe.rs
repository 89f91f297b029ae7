//! The parent's end of a pipe to a child.
//!
//! # Yields
//! never; `read` and `write` are futures

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::Notify;

use crate::base::error::{Builder, Error, Result, Type, strerror};

enum End {
    Read(Receiver),
    Write(Sender),
}

/// One end; any fiber may use it, and any may close it.
pub(super) struct Pipe {
    end: RefCell<Option<Rc<End>>>,
    closing: Notify,
    is_closed: Cell<bool>,
}

fn closed() -> Error {
    Error::illegal_params("popen: attempt to operate on a closed file descriptor")
}

fn socket_error(what: &str, error: &io::Error) -> Error {
    let message = format!("{what}: {}", strerror(error));
    Builder::new(Type::Socket, message).errno(error.raw_os_error().unwrap_or(0)).build()
}

impl Pipe {
    /// The end that is read from, which does not block.
    pub(super) fn reader(fd: OwnedFd) -> io::Result<Pipe> {
        Ok(Pipe::new(End::Read(Receiver::from_owned_fd(fd)?)))
    }

    /// The end that is written to, which does not block.
    pub(super) fn writer(fd: OwnedFd) -> io::Result<Pipe> {
        Ok(Pipe::new(End::Write(Sender::from_owned_fd(fd)?)))
    }

    fn new(end: End) -> Pipe {
        Pipe {
            end: RefCell::new(Some(Rc::new(end))),
            closing: Notify::new(),
            is_closed: Cell::new(false),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Closes it; who waits for it gets an error.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.end.take();
        self.closing.notify_waiters();
    }

    fn end(&self) -> Result<Rc<End>> {
        self.end.borrow().clone().ok_or_else(closed)
    }

    /// Waits for data, or for the end: 0 bytes.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            let end = self.end()?;
            let End::Read(receiver) = &*end else { return Err(closed()) };
            match receiver.try_read(buffer) {
                Ok(size) => return Ok(size),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(socket_error("read", &error)),
            }
            tokio::select! {
                ready = receiver.readable() => {
                    ready.map_err(|error| socket_error("read", &error))?;
                }
                () = self.closing.notified() => return Err(closed()),
            }
        }
    }

    /// Writes all of it.
    pub(super) async fn write(&self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let end = self.end()?;
            let End::Write(sender) = &*end else { return Err(closed()) };
            match sender.try_write(data) {
                Ok(size) => {
                    data = &data[size..];
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(socket_error("write", &error)),
            }
            tokio::select! {
                ready = sender.writable() => {
                    ready.map_err(|error| socket_error("write", &error))?;
                }
                () = self.closing.notified() => return Err(closed()),
            }
        }
        self.end().map(drop)
    }
}
