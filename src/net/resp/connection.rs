//! One client: reads its requests, has them executed in batches, writes the replies.
//!
//! A batch is every complete request in what could be read at once. Its replies wait in the output
//! buffer until the log has the batch's changes ([`Handler::settle`], one wait for all) and go out
//! in one write. A client that does not read its replies blocks its own fiber in that write, and
//! so is not read from: that is all the back-pressure there is.
//!
//! # Invariants
//! - No reply is written before the log has what it acknowledges.
//! - A connection that waits for a request holds no buffer.
//!
//! # Yields
//! `run`, while it reads, writes, settles, and when a handler does

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::buffer;
use super::reply::{Version, Writer};
use super::request::{Parser, ProtocolError};
use super::server::Shared;
use super::window::{REQUEST_COUNT_MAX, Request, Window};
use crate::base::clock::{self, Clock};
use crate::base::error::Error;
use crate::fiber::{self, Fiber};
use crate::net::{Stream, listen};

/// Replies of an unfinished batch are written when they are this long.
const FLUSH_SIZE: usize = 256 * 1024;
/// Read at once when nothing larger is expected.
const READ_SIZE: usize = 16 * 1024;
/// A large argument's memory is taken in steps that double, from here on, so that announcing a
/// large one costs the announcer as much as us.
const READ_STEP_MAX: usize = 1024 * 1024;
/// As many bytes of a command's name as `CLIENT LIST` shows.
const NAME_SIZE_MAX: usize = 24;

/// A reply that acknowledges changes.
#[derive(Debug)]
pub struct Written {
    /// Where it stands in the output buffer.
    reply: Range<usize>,
    /// The journal positions between which its changes are.
    pub marks: Range<u64>,
    /// Set by [`Handler::settle`] when they were lost.
    pub error: Option<Error>,
}

/// Executes the requests of one connection.
pub trait Handler {
    /// Executes a request and appends its reply to `out`. May yield.
    fn execute(&mut self, connection: &Connection, request: Request<'_>, out: &mut Vec<u8>);

    /// Says that these requests will be executed soon: the time to ask the cache for what they will
    /// need. Must not yield.
    fn expect<'r>(&mut self, connection: &Connection, requests: impl Iterator<Item = Request<'r>>);

    /// Begins a batch: from here on changes are submitted to the log without waiting for it.
    fn begin(&mut self);

    /// The journal position behind the newest change of this batch.
    fn mark(&self) -> u64;

    /// Ends the batch: waits until the log has its changes, and notes what was lost. Yields.
    fn settle(&mut self, written: &mut [Written]);
}

/// What `CLIENT REPLY` chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// Every request is answered.
    On,
    /// None is.
    Off,
    /// Neither the request that chose this nor the next one is answered.
    Skip,
    /// The next one is not answered.
    SkipNow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// When the replies are written.
    Soon,
    /// At the next step.
    Now,
}

/// Why no other request was put into the window.
enum Found {
    /// It is full.
    All,
    /// The next request is not for a window; it is in the parser and starts here.
    Single(usize),
    /// The next request is not complete.
    End,
    /// The rest cannot be read.
    Error(ProtocolError),
}

/// Finds the requests from `start` on, which is moved behind them.
fn find_requests(
    parser: &mut Parser,
    window: &mut Window,
    input: &[u8],
    start: &mut usize,
) -> Found {
    while !window.is_full() {
        let at = *start;
        match parser.parse(&input[at..]) {
            Ok(Some(size)) => *start += size,
            Ok(None) => return Found::End,
            Err(error) => return Found::Error(error),
        }
        match parser.plain_arguments() {
            Some([]) => {}
            Some(arguments) if Window::takes(arguments.len()) => window.push(arguments, at),
            _ if parser.count() > 0 => return Found::Single(at),
            _ => {}
        }
    }
    Found::All
}

fn coarse_now() -> Duration {
    clock::read(Clock::MonotonicCoarse)
}

/// A connection as others see it.
pub struct Connection {
    /// Its number; never reused.
    pub id: u64,
    /// Where the client is.
    pub peer: SocketAddr,
    /// Where it connected to.
    pub local: SocketAddr,
    /// The descriptor's number, for `CLIENT LIST`.
    pub descriptor: i32,
    /// When it connected.
    pub since: Instant,
    /// The version its replies are written in.
    pub version: Cell<Version>,
    /// Whether its replies are written.
    pub reply_mode: Cell<ReplyMode>,
    /// Whether the larger limits apply to its requests.
    pub authenticated: Cell<bool>,
    /// Whether the handler must ask before it executes; for the handler's own use.
    pub gated: Cell<bool>,
    /// The space in which commands look for their keys; for the handler's own use.
    pub key_space: Cell<Option<u32>>,
    closing: Cell<Closing>,
    /// Whether a batch is being executed.
    busy: Cell<bool>,
    /// When it last sent something, on the coarse clock.
    active_at: Cell<Duration>,
    input_size: Cell<usize>,
    output_size: Cell<usize>,
    command: Cell<([u8; NAME_SIZE_MAX], u8)>,
    fiber: RefCell<Option<Fiber>>,
    server: Rc<Shared>,
}

impl Connection {
    pub(super) fn new(
        id: u64,
        stream: &Stream,
        peer: SocketAddr,
        server: Rc<Shared>,
    ) -> io::Result<Connection> {
        Ok(Connection {
            id,
            peer,
            local: stream.local_address()?,
            descriptor: stream.descriptor(),
            since: Instant::now(),
            version: Cell::new(Version::Resp2),
            reply_mode: Cell::new(ReplyMode::On),
            authenticated: Cell::new(true),
            gated: Cell::new(false),
            key_space: Cell::new(None),
            closing: Cell::new(Closing::No),
            busy: Cell::new(false),
            active_at: Cell::new(coarse_now()),
            input_size: Cell::new(0),
            output_size: Cell::new(0),
            command: Cell::new(([0; NAME_SIZE_MAX], 0)),
            fiber: RefCell::new(None),
            server,
        })
    }

    /// For how long it has sent nothing, to a few milliseconds.
    pub fn idle(&self) -> Duration {
        coarse_now().saturating_sub(self.active_at.get())
    }

    /// Bytes of a request that is not whole yet.
    pub fn input_size(&self) -> usize {
        self.input_size.get()
    }

    /// Bytes of replies that were not written yet.
    pub fn output_size(&self) -> usize {
        self.output_size.get()
    }

    /// Whether a request is being executed.
    pub fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// Whether it is neither closed nor about to be.
    pub fn is_open(&self) -> bool {
        self.closing.get() == Closing::No
    }

    /// Notes the name of the command that is executed, for `CLIENT LIST`.
    #[inline]
    pub fn set_command(&self, name: &[u8]) {
        let mut copy = [0; NAME_SIZE_MAX];
        let size = name.len().min(NAME_SIZE_MAX);
        copy[..size].copy_from_slice(&name[..size]);
        self.command.set((copy, size as u8));
    }

    /// The name of the last command.
    pub fn command(&self) -> String {
        let (bytes, size) = self.command.get();
        String::from_utf8_lossy(&bytes[..usize::from(size)]).into_owned()
    }

    /// Closes it after the replies of the running batch are written.
    pub fn close_after_reply(&self) {
        if self.closing.get() == Closing::No {
            self.closing.set(Closing::Soon);
        }
    }

    /// Closes it. A request that is being executed ends first; its reply is not written.
    pub fn close(&self) {
        self.closing.set(Closing::Now);
        self.wake();
    }

    /// Closes it by a command: of its own, after the reply; of another connection, now.
    pub fn kill(&self) {
        let own = self.fiber.borrow().as_ref().is_some_and(|own| own.same(&fiber::current()));
        if own { self.close_after_reply() } else { self.close() }
    }

    /// Closes it as soon as no request is being executed.
    pub fn close_when_idle(&self) {
        self.close_after_reply();
        self.wake();
    }

    fn wake(&self) {
        // A handler that waits for something of its own must not be disturbed.
        if !self.busy.get()
            && let Some(fiber) = &*self.fiber.borrow()
        {
            fiber.wakeup();
        }
    }

    /// Agrees on keys with the client, if the socket is to be encrypted; whether that went well.
    /// Yields.
    pub(super) fn shake_hands(&self, stream: &Stream) -> bool {
        if stream.is_plain() {
            return true;
        }
        self.fiber.replace(Some(fiber::current()));
        let handshake = std::future::poll_fn(|cx| {
            if self.closing.get() != Closing::No {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            stream.poll_handshake(cx)
        });
        listen::shake_hands(handshake, &self.peer.to_string())
    }

    /// Serves it until either side closes. Called on a fiber of its own, which it is told.
    pub fn run<H: Handler>(&self, stream: &Stream, handler: &mut H) {
        self.fiber.replace(Some(fiber::current()));
        let mut parser = Parser::new(self.server.limits.get().request);
        let mut window = Window::default();
        let mut input = Vec::new();
        let mut written = Vec::new();
        loop {
            match self.read(stream, &mut input, &parser) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::debug!(client = %self.peer, "reading: {error}");
                    break;
                }
            }
            parser.set_authenticated(self.authenticated.get());
            parser.set_limits(self.server.limits.get().request);
            self.busy.set(true);
            let result =
                self.batch(stream, &mut parser, &mut window, &mut input, &mut written, handler);
            self.busy.set(false);
            if let Err(error) = result {
                tracing::debug!(client = %self.peer, "writing: {error}");
                break;
            }
            if self.closing.get() != Closing::No {
                break;
            }
            self.input_size.set(input.len());
            if input.is_empty() {
                buffer::give_back(std::mem::take(&mut input));
                parser.shrink();
                written.shrink_to(REQUEST_COUNT_MAX);
            }
        }
        self.closing.set(Closing::Now);
        self.fiber.replace(None);
    }

    /// Waits for bytes and appends them to `input`. False: there will be no more.
    fn read(&self, stream: &Stream, input: &mut Vec<u8>, parser: &Parser) -> io::Result<bool> {
        fiber::wait(std::future::poll_fn(|cx| {
            if self.closing.get() != Closing::No {
                return Poll::Ready(Ok(()));
            }
            stream.poll_read_ready(cx)
        }))?;
        if self.closing.get() != Closing::No {
            return Ok(false);
        }
        if input.capacity() == 0 {
            *input = buffer::take();
        }
        let missing = parser.size_expected().saturating_sub(input.len());
        input.reserve(missing.clamp(READ_SIZE, READ_STEP_MAX.max(input.len())));
        let size = fiber::wait(std::future::poll_fn(|cx| {
            if self.closing.get() != Closing::No {
                return Poll::Ready(Ok(0));
            }
            stream.poll_read(cx, input)
        }))?;
        self.active_at.set(coarse_now());
        self.server.counters.add_input(size);
        Ok(size > 0)
    }

    /// Executes what is complete in `input`, writes the replies, and leaves the rest.
    fn batch<H: Handler>(
        &self,
        stream: &Stream,
        parser: &mut Parser,
        window: &mut Window,
        input: &mut Vec<u8>,
        written: &mut Vec<Written>,
        handler: &mut H,
    ) -> io::Result<()> {
        let mut out = buffer::take();
        let mut start = 0;
        window.clear();
        let mut found = find_requests(parser, window, input, &mut start);
        handler.expect(self, window.requests(input));
        if window.len() == 1 {
            // The cache has nothing else to do meanwhile, unless others read and find theirs.
            fiber::yield_to_ready();
        }
        handler.begin();
        loop {
            for at in 0..window.len() {
                if self.closing.get() != Closing::No {
                    break;
                }
                self.execute(handler, window.request(at, input), &mut out, written);
                if out.len() >= FLUSH_SIZE {
                    self.settle(handler, &mut out, written);
                    self.write(stream, &mut out)?;
                    handler.begin();
                }
            }
            if self.closing.get() != Closing::No {
                break;
            }
            match found {
                Found::All => {}
                Found::Single(at) => {
                    self.execute(handler, parser.request(&input[at..]), &mut out, written);
                }
                Found::End => break,
                Found::Error(error) => {
                    let text = format!("ERR {error}");
                    Writer::new(&mut out, self.version.get()).error(text.as_bytes());
                    tracing::debug!(client = %self.peer, "{error}");
                    self.close_after_reply();
                    break;
                }
            }
            window.clear();
            found = find_requests(parser, window, input, &mut start);
            handler.expect(self, window.requests(input));
        }
        let switches = fiber::switch_count();
        self.settle(handler, &mut out, written);
        if fiber::switch_count() == switches {
            // All that are ready execute first and write then: a client that wakes up to a reply
            // is not put to sleep and woken again for each of its connections.
            fiber::yield_to_ready();
        }
        self.write(stream, &mut out)?;
        buffer::give_back(out);
        let is_full = input.len() == input.capacity();
        input.drain(..start);
        if is_full {
            // More may be waiting in the socket: let others go first.
            fiber::yield_now();
        }
        Ok(())
    }

    #[inline]
    fn execute<H: Handler>(
        &self,
        handler: &mut H,
        request: Request<'_>,
        out: &mut Vec<u8>,
        written: &mut Vec<Written>,
    ) {
        let before = handler.mark();
        let reply_start = out.len();
        handler.execute(self, request, out);
        self.server.counters.add_command();
        match self.reply_mode.get() {
            ReplyMode::On => {}
            ReplyMode::Off => out.truncate(reply_start),
            ReplyMode::Skip => {
                out.truncate(reply_start);
                self.reply_mode.set(ReplyMode::SkipNow);
            }
            ReplyMode::SkipNow => {
                out.truncate(reply_start);
                self.reply_mode.set(ReplyMode::On);
            }
        }
        let after = handler.mark();
        if after != before {
            let reply = reply_start..out.len();
            written.push(Written { reply, marks: before..after, error: None });
        }
        if out.len() > self.server.limits.get().output_size_max {
            tracing::warn!(client = %self.peer, "closed: its replies exceed the limit");
            self.closing.set(Closing::Now);
        }
    }

    /// Waits for the log, and replaces the replies whose changes it lost by errors.
    fn settle<H: Handler>(&self, handler: &mut H, out: &mut Vec<u8>, written: &mut Vec<Written>) {
        handler.settle(written);
        if written.iter().any(|reply| reply.error.is_some()) {
            let mut corrected = Vec::with_capacity(out.len());
            let mut copied = 0;
            for lost in written.iter() {
                let Some(error) = &lost.error else { continue };
                corrected.extend_from_slice(&out[copied..lost.reply.start]);
                copied = lost.reply.end;
                if !lost.reply.is_empty() {
                    let text = format!("ERR {}", error.message());
                    Writer::new(&mut corrected, self.version.get()).error(text.as_bytes());
                }
            }
            corrected.extend_from_slice(&out[copied..]);
            *out = corrected;
        }
        written.clear();
    }

    /// Writes all of `out` and empties it.
    fn write(&self, stream: &Stream, out: &mut Vec<u8>) -> io::Result<()> {
        let mut done = 0;
        while done < out.len() {
            self.output_size.set(out.len() - done);
            self.busy.set(false);
            let size = fiber::wait(std::future::poll_fn(|cx| {
                if self.closing.get() == Closing::Now {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
                stream.poll_write(cx, &out[done..])
            }))?;
            self.busy.set(true);
            done += size;
        }
        self.output_size.set(0);
        self.server.counters.add_output(done);
        out.clear();
        Ok(())
    }
}
