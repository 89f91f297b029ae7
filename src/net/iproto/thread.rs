//! A thread that reads, frames and writes for connections, so that tx need not.
//!
//! tx accepts a socket and gives it to a thread. The thread cuts complete packets off what comes
//! and hands them over; what tx wants written comes back the same way. Both directions are queues
//! that are emptied at once: what gathers while the other side is at work costs one wake-up.
//!
//! # Invariants
//! - A connection's socket is touched by one thread only; its packets and replies keep their order.
//! - No more is read while tx has `Flow::INPUT_SIZE_MAX` bytes of a connection to work on.
//!
//! # Yields
//! never: no fiber runs here

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use rustls::ServerConfig;
use socket2::Socket;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::connection::READ_STEP_MAX;
use super::frame;
use crate::base::limits::TLS_HANDSHAKE_WAIT_MAX;
use crate::net::Stream;
use crate::net::resp::buffer;

/// What tx asks of a thread.
pub(super) enum Command {
    Open(Box<Open>),
    /// Bytes to write.
    Write(u64, Vec<u8>),
    /// tx has taken what it was given: more may be read.
    Resume(u64),
    /// Close it when all is written.
    Finish(u64),
    Close(u64),
}

/// A connection that a thread shall serve.
pub(super) struct Open {
    pub id: u64,
    pub socket: Socket,
    pub tls: Option<Arc<ServerConfig>>,
    pub peer: String,
    pub flow: Arc<Flow>,
}

/// What a thread tells tx.
pub(super) enum Event {
    /// Hands are shaken, where that is done: for TLS.
    Ready(u64),
    /// Complete packets.
    Packets(u64, Vec<u8>),
    /// What is no packet: nothing more is read.
    Broken(u64, Vec<u8>),
    /// Of what waited to be written, less is left.
    Written(u64),
    /// Nothing more will come.
    End(u64),
    /// It is over, in both directions.
    Failed(u64),
}

impl Event {
    /// The connection.
    pub fn id(&self) -> u64 {
        match self {
            Event::Packets(id, _) | Event::Broken(id, _) => *id,
            Event::Ready(id) | Event::Written(id) | Event::End(id) | Event::Failed(id) => *id,
        }
    }
}

/// Bytes of a connection on their way, counted by both sides.
#[derive(Default)]
pub(super) struct Flow {
    /// Given to tx, and not yet taken.
    input: AtomicUsize,
    /// Whether the thread has stopped reading for that.
    is_stalled: AtomicBool,
    /// Given to the thread, and not yet written.
    output: AtomicUsize,
    /// Whether tx waits until less of that is left.
    is_awaited: AtomicBool,
}

impl Flow {
    const INPUT_SIZE_MAX: usize = 64 * 1024;

    /// tx takes bytes; whether the thread is to be told. Called on tx.
    pub fn take_input(&self, size: usize) -> bool {
        self.input.fetch_sub(size, Ordering::SeqCst);
        self.is_stalled.swap(false, Ordering::SeqCst)
    }

    /// Whether there is room for more input. Called on the thread, which is told when there is
    /// after a no.
    fn has_room(&self) -> bool {
        if self.input.load(Ordering::SeqCst) < Flow::INPUT_SIZE_MAX {
            return true;
        }
        self.is_stalled.store(true, Ordering::SeqCst);
        // tx may have taken it meanwhile, and not have seen that.
        self.input.load(Ordering::SeqCst) < Flow::INPUT_SIZE_MAX
    }

    /// tx gives bytes to write.
    pub fn add_output(&self, size: usize) {
        self.output.fetch_add(size, Ordering::SeqCst);
    }

    /// Bytes that are not written yet.
    pub fn output(&self) -> usize {
        self.output.load(Ordering::SeqCst)
    }

    /// tx wants to know when less is left.
    pub fn await_output(&self) {
        self.is_awaited.store(true, Ordering::SeqCst);
    }

    /// Bytes were written, or never will be; whether tx waits for that.
    fn written(&self, size: usize) -> bool {
        self.output.fetch_sub(size, Ordering::SeqCst);
        self.is_awaited.swap(false, Ordering::SeqCst)
    }
}

/// Things on their way to another thread.
pub(super) struct Queue<T> {
    items: Mutex<Vec<T>>,
    filled: Notify,
}

impl<T> Queue<T> {
    pub fn new() -> Queue<T> {
        Queue { items: Mutex::new(Vec::new()), filled: Notify::new() }
    }

    /// Puts all of these in.
    pub fn put(&self, new: &mut Vec<T>) {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = items.is_empty();
        items.append(new);
        drop(items);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Waits until there is something, and takes all of it.
    pub async fn take(&self, taken: &mut Vec<T>) {
        loop {
            std::mem::swap(&mut *self.items.lock().unwrap_or_else(PoisonError::into_inner), taken);
            if !taken.is_empty() {
                return;
            }
            self.filled.notified().await;
        }
    }
}

/// What both sides have of a thread.
pub(super) struct Exchange {
    pub commands: Queue<Command>,
    pub events: Queue<Event>,
    /// Bytes read at once.
    pub readahead: AtomicUsize,
}

/// Events that leave when all that is ready has been looked at.
struct Outbox {
    exchange: Arc<Exchange>,
    events: RefCell<Vec<Event>>,
    sender: RefCell<Option<Waker>>,
}

impl Outbox {
    fn put(&self, event: Event) {
        self.events.borrow_mut().push(event);
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
    }

    async fn run(self: Rc<Self>) {
        loop {
            poll_fn(|cx| {
                if !self.events.borrow().is_empty() {
                    return Poll::Ready(());
                }
                self.sender.replace(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
            self.exchange.events.put(&mut self.events.borrow_mut());
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    WhenWritten,
    Now,
}

/// A connection as its thread knows it.
struct Client {
    id: u64,
    peer: String,
    stream: Stream,
    flow: Arc<Flow>,
    out: RefCell<VecDeque<Vec<u8>>>,
    /// Bytes of the first of them that are written.
    done: Cell<usize>,
    closing: Cell<Closing>,
    /// Whether nothing more is read.
    is_ended: Cell<bool>,
    is_failed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// What was read of a packet, and what is missing of it at least.
struct Input {
    bytes: Vec<u8>,
    missing: usize,
}

impl Client {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn serve(self: Rc<Self>, outbox: Rc<Outbox>) {
        if !self.stream.is_plain() {
            let handshake = tokio::time::timeout(TLS_HANDSHAKE_WAIT_MAX, self.stream.handshake());
            let problem = match handshake.await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(_) => Some(io::ErrorKind::TimedOut.into()),
            };
            if let Some(error) = problem {
                tracing::warn!(client = %self.peer, "Init session error: {error}");
                return outbox.put(Event::Failed(self.id));
            }
            outbox.put(Event::Ready(self.id));
        }
        let mut input = Input { bytes: Vec::new(), missing: 1 };
        poll_fn(|cx| self.poll(cx, &mut input, &outbox)).await;
        self.stream.shutdown();
    }

    /// Writes and reads what can be; ready when the connection is to be closed.
    fn poll(&self, cx: &mut Context<'_>, input: &mut Input, outbox: &Outbox) -> Poll<()> {
        // Whoever changes something wakes the task by this.
        self.waker.replace(Some(cx.waker().clone()));
        self.write(cx, outbox);
        match self.closing.get() {
            Closing::Now => return Poll::Ready(()),
            Closing::WhenWritten if self.out.borrow().is_empty() => return Poll::Ready(()),
            _ => {}
        }
        while !self.is_ended.get() && self.flow.has_room() {
            match self.read(cx, input, outbox) {
                Poll::Pending => break,
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => {
                    self.is_ended.set(true);
                    outbox.put(Event::End(self.id));
                }
                Poll::Ready(Err(error)) => self.fail("reading", &error, outbox),
            }
        }
        if input.bytes.is_empty() {
            buffer::give_back(std::mem::take(&mut input.bytes));
        }
        Poll::Pending
    }

    fn fail(&self, what: &str, error: &io::Error, outbox: &Outbox) {
        tracing::debug!(client = %self.peer, "{what}: {error}");
        self.is_ended.set(true);
        if !self.is_failed.replace(true) {
            outbox.put(Event::Failed(self.id));
        }
        self.drop_output(outbox);
    }

    fn drop_output(&self, outbox: &Outbox) {
        let left: usize = self.out.take().iter().map(Vec::len).sum();
        if left > 0 && self.flow.written(left - self.done.replace(0)) {
            outbox.put(Event::Written(self.id));
        }
    }

    fn write(&self, cx: &mut Context<'_>, outbox: &Outbox) {
        loop {
            let mut out = self.out.borrow_mut();
            let Some(bytes) = out.front() else { return };
            match self.stream.poll_write(cx, &bytes[self.done.get()..]) {
                Poll::Pending => return,
                Poll::Ready(Ok(size)) => {
                    self.done.set(self.done.get() + size);
                    if self.done.get() == bytes.len() {
                        self.done.set(0);
                        out.pop_front().into_iter().for_each(buffer::give_back);
                    }
                    if self.flow.written(size) {
                        outbox.put(Event::Written(self.id));
                    }
                }
                Poll::Ready(Err(error)) => {
                    drop(out);
                    return self.fail("writing", &error, outbox);
                }
            }
        }
    }

    /// Reads once, and hands over what is complete. False: nothing more will come.
    fn read(
        &self,
        cx: &mut Context<'_>,
        input: &mut Input,
        outbox: &Outbox,
    ) -> Poll<io::Result<bool>> {
        std::task::ready!(self.stream.poll_read_ready(cx))?;
        let bytes = &mut input.bytes;
        if bytes.capacity() == 0 {
            *bytes = buffer::take();
        }
        let readahead = outbox.exchange.readahead.load(Ordering::Relaxed);
        let most = READ_STEP_MAX.max(bytes.len()).max(readahead);
        bytes.reserve(input.missing.clamp(readahead, most));
        if std::task::ready!(self.stream.poll_read(cx, bytes))? == 0 {
            return Poll::Ready(Ok(false));
        }
        let (end, rest) = frame::complete(bytes);
        if end > 0 {
            let tail = frame::cut(bytes, end, buffer::take);
            let packets = std::mem::replace(bytes, tail);
            self.flow.input.fetch_add(packets.len(), Ordering::SeqCst);
            outbox.put(Event::Packets(self.id, packets));
        }
        match rest {
            Ok(missing) => input.missing = missing,
            Err(_) => {
                self.is_ended.set(true);
                outbox.put(Event::Broken(self.id, std::mem::take(bytes)));
            }
        }
        Poll::Ready(Ok(true))
    }
}

type Clients = Rc<RefCell<HashMap<u64, Rc<Client>, ahash::RandomState>>>;

/// Begins to serve a connection.
fn open(open: Open, clients: &Clients, outbox: &Rc<Outbox>) {
    let Open { id, socket, tls, peer, flow } = open;
    let stream = match Stream::accepted(socket, tls) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!("accepting a connection: {error}");
            return outbox.put(Event::Failed(id));
        }
    };
    let client = Rc::new(Client {
        id,
        peer,
        stream,
        flow,
        out: RefCell::default(),
        done: Cell::new(0),
        closing: Cell::new(Closing::No),
        is_ended: Cell::new(false),
        is_failed: Cell::new(false),
        waker: RefCell::new(None),
    });
    clients.borrow_mut().insert(id, client.clone());
    let (clients, outbox) = (clients.clone(), outbox.clone());
    tokio::task::spawn_local(async move {
        client.clone().serve(outbox.clone()).await;
        client.drop_output(&outbox);
        clients.borrow_mut().remove(&id);
        outbox.put(Event::End(id));
    });
}

/// The life of a thread.
pub(super) fn run(exchange: &Arc<Exchange>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let outbox = Rc::new(Outbox {
            exchange: exchange.clone(),
            events: RefCell::default(),
            sender: RefCell::default(),
        });
        tokio::task::spawn_local(outbox.clone().run());
        let clients = Clients::default();
        let mut commands = Vec::new();
        loop {
            exchange.commands.take(&mut commands).await;
            for command in commands.drain(..) {
                obey(command, &clients, &outbox);
            }
        }
    })
}

fn obey(command: Command, clients: &Clients, outbox: &Rc<Outbox>) {
    let (id, bytes, closing) = match command {
        Command::Open(new) => return open(*new, clients, outbox),
        Command::Write(id, bytes) => (id, Some(bytes), None),
        Command::Resume(id) => (id, None, None),
        Command::Finish(id) => (id, None, Some(Closing::WhenWritten)),
        Command::Close(id) => (id, None, Some(Closing::Now)),
    };
    // One that has gone may still be spoken of.
    let Some(client) = clients.borrow().get(&id).cloned() else { return };
    if let Some(bytes) = bytes {
        if client.is_failed.get() {
            if client.flow.written(bytes.len()) {
                outbox.put(Event::Written(id));
            }
            return;
        }
        client.out.borrow_mut().push_back(bytes);
    }
    if let Some(closing) = closing
        && client.closing.get() != Closing::Now
    {
        client.closing.set(closing);
    }
    client.wake();
}
