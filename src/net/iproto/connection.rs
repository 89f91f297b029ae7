//! One client: reads its packets, has them executed, and writes what comes of them.
//!
//! The connection's own fiber, the reader, waits for bytes, cuts complete packets off and starts
//! the fibers that run them. Replies are put into the output by whoever has them and written by
//! the first that finds nobody writing.
//!
//! # Invariants
//! - At most one fiber writes to the socket, and only the reader reads.
//! - While more than `IPROTO_OUTPUT_SIZE_MAX` bytes wait to be written, no work is begun.
//! - A connection that waits for a request holds no buffer.
//!
//! # Yields
//! `serve`, `flush` and `wait_drained`

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use super::frame;
use super::remote::{Input, Remote};
use super::reply::{self, Meta};
use super::server::{Client, Shared};
use super::thread::Event;
use super::work::{Stage, Work};
use crate::base::error::Error;
use crate::base::limits::IPROTO_OUTPUT_SIZE_MAX;
use crate::base::rate_limit::RateLimit;
use crate::fiber::{self, Cond, Fiber};
use crate::net::Stream;
use crate::net::listen;
use crate::net::resp::buffer;

thread_local! {
    static FAILURES: RateLimit = RateLimit::default();
}

/// A large packet's memory is taken in steps that double, from here on, so that announcing a
/// large one costs the announcer as much as us.
pub(super) const READ_STEP_MAX: usize = 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// When what waits to be written is written.
    Soon,
    /// At the next step.
    Now,
}

/// Where the socket is served.
pub(super) enum Socket {
    /// On tx.
    Own(Stream),
    /// By a thread.
    Remote(Remote),
}

/// A connection as others see it.
pub struct Connection {
    /// Its number; never reused.
    pub id: u64,
    /// Where the client is.
    pub peer: String,
    /// When it connected.
    pub since: Instant,
    socket: Socket,
    server: Rc<Shared>,
    out: RefCell<Vec<u8>>,
    is_writing: Cell<bool>,
    /// Broadcast when the output was written.
    drained: Cond,
    closing: Cell<Closing>,
    /// The fibers that wait for the socket.
    reader: RefCell<Option<Fiber>>,
    writer: RefCell<Option<Fiber>>,
    /// Pieces of work under way.
    work_count: Cell<usize>,
    /// Broadcast when one has ended.
    idle: Cond,
}

impl Connection {
    pub(super) fn new(id: u64, socket: Socket, peer: String, server: Rc<Shared>) -> Connection {
        Connection {
            id,
            peer,
            since: Instant::now(),
            socket,
            server,
            out: RefCell::default(),
            is_writing: Cell::new(false),
            drained: Cond::new(),
            closing: Cell::new(Closing::No),
            reader: RefCell::default(),
            writer: RefCell::default(),
            work_count: Cell::new(0),
            idle: Cond::new(),
        }
    }

    /// The descriptor's number.
    pub fn descriptor(&self) -> i32 {
        match &self.socket {
            Socket::Own(stream) => stream.descriptor(),
            Socket::Remote(remote) => remote.descriptor(),
        }
    }

    /// Whether it is neither closed nor about to be.
    pub fn is_open(&self) -> bool {
        self.closing.get() == Closing::No
    }

    /// Whether requests are being executed.
    pub fn is_busy(&self) -> bool {
        self.work_count.get() > 0
    }

    /// Reads no more, and closes it when what waits is written.
    pub fn close_after_output(&self) {
        if self.is_open() {
            self.closing.set(Closing::Soon);
            self.wake();
        }
    }

    /// Closes it. Requests that are being executed end first; their replies go nowhere.
    pub fn close(&self) {
        if self.closing.replace(Closing::Now) != Closing::Now {
            match &self.socket {
                // At once: requests under way keep the socket itself for a while.
                Socket::Own(stream) => stream.shutdown(),
                Socket::Remote(remote) => remote.close(),
            }
        }
        self.wake();
    }

    fn wake(&self) {
        for fiber in [&self.reader, &self.writer] {
            if let Some(fiber) = &*fiber.borrow() {
                fiber.wakeup();
            }
        }
        if let Socket::Remote(remote) = &self.socket {
            remote.wake();
        }
        self.drained.broadcast();
        self.idle.broadcast();
    }

    /// Notes what the thread of the socket tells.
    pub(super) fn note(&self, event: Event) {
        let Socket::Remote(remote) = &self.socket else { return };
        match &event {
            Event::Packets(_, bytes) => self.server.counters.add_input(bytes.len()),
            Event::Failed(_) => self.close(),
            _ => {}
        }
        if remote.note(event) {
            self.drained.broadcast();
        }
    }

    /// Counts a request.
    #[inline]
    pub fn count_request(&self) {
        self.server.counters.add_request();
    }

    /// Counts a stream that was made, or with `false` one that ended.
    pub fn count_stream(&self, is_new: bool) {
        self.server.counters.count_stream(is_new);
    }

    /// Counts a request that waits for others of its stream, or with `false` one that waited.
    pub fn count_queued(&self, is_new: bool) {
        self.server.counters.count_queued(is_new);
    }

    /// Adds bytes to the output. To be written, they need [`Connection::flush`].
    pub fn push(&self, bytes: &[u8]) {
        if self.closing.get() != Closing::Now {
            self.out.borrow_mut().extend_from_slice(bytes);
        }
    }

    /// An empty buffer to fill for [`Connection::push_all`].
    pub fn buffer(&self) -> Vec<u8> {
        buffer::take()
    }

    /// As [`Connection::push`], of a whole buffer.
    pub fn push_all(&self, bytes: Vec<u8>) {
        let mut out = self.out.borrow_mut();
        if self.closing.get() == Closing::Now {
            return;
        }
        if out.is_empty() {
            let old = std::mem::replace(&mut *out, bytes);
            drop(out);
            buffer::give_back(old);
        } else {
            out.extend_from_slice(&bytes);
            drop(out);
            buffer::give_back(bytes);
        }
    }

    /// Writes the output, unless another fiber does. Yields while the client does not take it.
    pub fn flush(&self) {
        let stream = match &self.socket {
            Socket::Own(stream) => stream,
            Socket::Remote(remote) => {
                let bytes = self.out.take();
                if !bytes.is_empty() && self.closing.get() != Closing::Now {
                    self.server.counters.add_output(bytes.len());
                    remote.write(bytes);
                }
                return;
            }
        };
        if self.is_writing.replace(true) {
            return;
        }
        loop {
            let bytes = self.out.take();
            if bytes.is_empty() || self.closing.get() == Closing::Now {
                break;
            }
            if let Err(error) = self.write(stream, &bytes) {
                tracing::debug!(client = %self.peer, "writing: {error}");
                self.close();
            }
            buffer::give_back(bytes);
        }
        self.is_writing.set(false);
        self.drained.broadcast();
    }

    fn write(&self, stream: &Stream, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let size = fiber::wait(std::future::poll_fn(|cx| {
                if self.closing.get() == Closing::Now {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
                let result = stream.poll_write(cx, &bytes[done..]);
                if result.is_pending() && self.writer.borrow().is_none() {
                    self.writer.replace(Some(fiber::current()));
                }
                result
            }));
            self.writer.replace(None);
            done += size?;
        }
        self.server.counters.add_output(done);
        Ok(())
    }

    /// Whether so much waits to be written that no more should be made.
    pub fn is_full(&self) -> bool {
        let given = match &self.socket {
            Socket::Own(_) => 0,
            Socket::Remote(remote) => remote.output(),
        };
        self.out.borrow().len() + given > IPROTO_OUTPUT_SIZE_MAX
    }

    /// Waits until the client has taken enough of what waits for it. Yields.
    pub fn wait_drained(&self) {
        while self.is_full() && self.closing.get() != Closing::Now {
            self.flush();
            if let Socket::Remote(remote) = &self.socket {
                remote.await_output();
            }
            if self.is_full() && self.closing.get() != Closing::Now {
                self.drained.wait();
            }
        }
    }

    /// Agrees on keys with the client, if the socket is to be encrypted; whether that went well.
    /// Yields.
    pub(super) fn shake_hands(&self) -> bool {
        match &self.socket {
            Socket::Own(stream) => {
                stream.is_plain() || listen::shake_hands(stream.handshake(), &self.peer)
            }
            Socket::Remote(remote) => remote.wait_ready(|| self.is_open()),
        }
    }

    /// Serves it until either side closes. Called on a fiber of its own.
    pub(super) fn serve(self: &Rc<Self>, client: &Rc<dyn Client>) {
        self.reader.replace(Some(fiber::current()));
        match &self.socket {
            Socket::Own(stream) => self.serve_own(stream, client),
            Socket::Remote(remote) => self.serve_remote(remote, client),
        }
        self.reader.replace(None);
        if self.closing.get() == Closing::Soon {
            self.finish();
        }
        self.close();
    }

    fn serve_own(self: &Rc<Self>, stream: &Stream, client: &Rc<dyn Client>) {
        let mut input = Vec::new();
        let mut missing = 1;
        while self.is_open() {
            match self.read(stream, &mut input, missing) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::debug!(client = %self.peer, "reading: {error}");
                    break;
                }
            }
            let may_have_more = input.len() == input.capacity();
            let (end, rest) = frame::complete(&input);
            if end > 0 {
                let tail = frame::cut(&mut input, end, buffer::take);
                self.run(client, Rc::new(Work::new(std::mem::replace(&mut input, tail))));
                if may_have_more {
                    // Let others go first.
                    fiber::yield_now();
                }
            }
            match rest {
                Ok(size) => missing = size,
                Err(error) => {
                    self.refuse(&error);
                    break;
                }
            }
            if input.is_empty() {
                buffer::give_back(std::mem::take(&mut input));
            }
        }
    }

    fn serve_remote(self: &Rc<Self>, remote: &Remote, client: &Rc<dyn Client>) {
        while let Some(input) = remote.next(|| self.is_open()) {
            match input {
                Input::Packets(bytes) => self.run(client, Rc::new(Work::new(bytes))),
                Input::Broken(bytes) => {
                    if let Err(error) = frame::find(&bytes) {
                        self.refuse(&error);
                    }
                    // What was said to it is to arrive.
                    self.close_after_output();
                }
            }
        }
    }

    /// Framing is lost: says so, with what there is to say else, and is done.
    fn refuse(&self, error: &Error) {
        FAILURES.with(|failures| {
            // Anybody can cause it.
            if let Some(more) = failures.pass(Instant::now()) {
                tracing::error!(client = %self.peer, more, "{error}");
            }
        });
        let mut out = Vec::new();
        reply::error(&mut out, Meta::default(), error);
        self.push(&out);
        self.flush();
    }

    /// Lets what is under way end, and writes it.
    fn finish(&self) {
        while self.work_count.get() > 0 && self.closing.get() == Closing::Soon {
            self.idle.wait();
        }
        self.flush();
        if let Socket::Remote(remote) = &self.socket {
            return remote.finish(|| self.closing.get() == Closing::Soon);
        }
        while self.is_writing.get() && self.closing.get() == Closing::Soon {
            self.drained.wait();
        }
    }

    /// Waits for bytes and appends them to `input`. False: there will be no more.
    fn read(&self, stream: &Stream, input: &mut Vec<u8>, missing: usize) -> io::Result<bool> {
        fiber::wait(std::future::poll_fn(|cx| {
            if !self.is_open() {
                return Poll::Ready(Ok(()));
            }
            stream.poll_read_ready(cx)
        }))?;
        if !self.is_open() {
            return Ok(false);
        }
        if input.capacity() == 0 {
            *input = buffer::take();
        }
        let readahead = self.server.limits.get().readahead;
        input.reserve(missing.clamp(readahead, READ_STEP_MAX.max(input.len()).max(readahead)));
        let size = fiber::wait(std::future::poll_fn(|cx| {
            if !self.is_open() {
                return Poll::Ready(Ok(0));
            }
            stream.poll_read(cx, input)
        }))?;
        self.server.counters.add_input(size);
        Ok(size > 0)
    }

    /// Has packets executed; returns when all have begun.
    fn run(self: &Rc<Self>, client: &Rc<dyn Client>, work: Rc<Work>) {
        while work.has_more() && self.closing.get() != Closing::Now {
            if work.stage() == Stage::Running {
                work.changed.wait();
            } else if self.is_full() {
                self.flush();
                self.wait_drained();
            } else if !self.server.has_room() {
                self.server.room.wait();
            } else {
                self.start(client, &work);
            }
            if let Some(parked) = work.take_parked() {
                parked();
            }
        }
    }

    /// Starts a fiber that runs packets, and lets it run until it first waits.
    fn start(self: &Rc<Self>, client: &Rc<dyn Client>, work: &Rc<Work>) {
        let round = work.begin_round();
        let (connection, client, work) = (self.clone(), client.clone(), work.clone());
        self.work_count.set(self.work_count.get() + 1);
        self.server.begin_work();
        self.server.workers.start(move || {
            client.work(&connection, &work, round);
            work.end_round(round);
            connection.work_count.set(connection.work_count.get() - 1);
            connection.idle.broadcast();
            connection.server.end_work();
        });
    }
}
