//! Listens for clients and keeps the list of their connections.
//!
//! One server has any number of sockets, which come and go with the configuration; connections
//! stay when the socket that accepted them goes, as in Tarantool.
//!
//! # Invariants
//! - A connection is in the list exactly while its fiber serves it.
//!
//! # Yields
//! `listen` and `stop`, and the fibers it starts

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use super::connection::{Connection, Socket};
use super::remote::{Remote, Threads};
use super::thread::{Event, Open};
use super::work::Work;
use super::worker::Workers;
use crate::base::error::{Error, Result};
use crate::base::limits::IPROTO_CONNECTION_COUNT_MAX;
use crate::fiber::{self, Cond, Fiber};
use crate::net::{Address, Stream, address, listen};

/// Serves connections.
pub trait Service: 'static {
    /// Greets a client, on the fiber of the connection. `None`: it is refused, and closed when
    /// what was pushed is written. Yields when a trigger does.
    fn connected(&self, connection: &Rc<Connection>) -> Option<Rc<dyn Client>>;
}

/// Executes the requests of one connection.
pub trait Client {
    /// Executes packets, on a fiber of its own, until [`Work::take`] has no more for this round,
    /// and has their replies written. Yields.
    fn work(&self, connection: &Rc<Connection>, work: &Rc<Work>, round: u64);

    /// The connection is closed; work may still be under way. Yields when a trigger does.
    fn disconnected(&self, connection: &Rc<Connection>);
}

/// Where to listen, and with which TLS.
pub type Endpoint = (Address, Option<Arc<ServerConfig>>);

/// Bounds of the server; may change while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes read at once.
    pub readahead: usize,
    /// Most pieces of work under way.
    pub work_count_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { readahead: 16320, work_count_max: 768 }
    }
}

/// What the server has done and does.
#[derive(Debug, Default)]
pub struct Counters {
    connections: Cell<u64>,
    requests: Cell<u64>,
    input_bytes: Cell<u64>,
    output_bytes: Cell<u64>,
    streams: Cell<(u64, u64)>,
    queued: Cell<(u64, u64)>,
    work: Cell<(u64, u64)>,
}

fn add(cell: &Cell<u64>, count: usize) {
    cell.set(cell.get() + count as u64);
}

/// Counts a thing in total and at present.
fn track(cell: &Cell<(u64, u64)>, is_new: bool) {
    let (total, now) = cell.get();
    cell.set(if is_new { (total + 1, now + 1) } else { (total, now.saturating_sub(1)) });
}

impl Counters {
    pub(super) fn add_input(&self, size: usize) {
        add(&self.input_bytes, size);
    }

    pub(super) fn add_output(&self, size: usize) {
        add(&self.output_bytes, size);
    }

    #[inline]
    pub(super) fn add_request(&self) {
        add(&self.requests, 1);
    }

    pub(super) fn count_stream(&self, is_new: bool) {
        track(&self.streams, is_new);
    }

    pub(super) fn count_queued(&self, is_new: bool) {
        track(&self.queued, is_new);
    }

    /// Bytes received and sent, connections accepted and requests.
    pub fn totals(&self) -> [u64; 4] {
        [
            self.input_bytes.get(),
            self.output_bytes.get(),
            self.connections.get(),
            self.requests.get(),
        ]
    }

    /// In total and now: streams, requests that wait in them, pieces of work under way.
    pub fn tracked(&self) -> [(u64, u64); 3] {
        [self.streams.get(), self.queued.get(), self.work.get()]
    }
}

pub(super) struct Shared {
    pub(super) limits: Cell<Limits>,
    pub(super) counters: Counters,
    /// Broadcast when a piece of work has ended.
    pub(super) room: Cond,
    connections: RefCell<HashMap<u64, Rc<Connection>, ahash::RandomState>>,
    threads: Threads,
    pub(super) workers: Rc<Workers>,
    /// Broadcast when a connection has ended.
    ended: Cond,
    last_id: Cell<u64>,
    is_stopping: Cell<bool>,
}

impl Shared {
    /// Whether more work may be begun.
    pub(super) fn has_room(&self) -> bool {
        (self.counters.work.get().1 as usize) < self.limits.get().work_count_max
    }

    fn next_id(&self) -> u64 {
        self.last_id.set(self.last_id.get() + 1);
        self.last_id.get()
    }

    pub(super) fn begin_work(&self) {
        track(&self.counters.work, true);
    }

    pub(super) fn end_work(&self) {
        track(&self.counters.work, false);
        self.room.broadcast();
        if self.is_stopping.get() {
            self.ended.broadcast();
        }
    }
}

struct Listener {
    place: Rc<listen::Place>,
    fiber: Fiber,
}

impl Listener {
    /// Closes the socket. Yields.
    fn close(self) {
        self.fiber.cancel();
        self.fiber.join();
    }
}

/// The server of the binary protocol.
pub struct Server {
    shared: Rc<Shared>,
    service: Rc<dyn Service>,
    listeners: RefCell<Vec<Listener>>,
    thread_count: Cell<usize>,
}

impl Server {
    /// A server that does not listen yet.
    pub fn new(service: Rc<dyn Service>) -> Server {
        let shared = Rc::new(Shared {
            limits: Cell::default(),
            counters: Counters::default(),
            room: Cond::new(),
            connections: RefCell::default(),
            threads: Threads::default(),
            workers: Rc::default(),
            ended: Cond::new(),
            last_id: Cell::new(0),
            is_stopping: Cell::new(false),
        });
        Server { shared, service, listeners: RefCell::default(), thread_count: Cell::new(0) }
    }

    /// Listens at these addresses instead of those before. An error leaves no socket open. Yields.
    pub fn listen(&self, endpoints: Vec<Endpoint>) -> Result<()> {
        self.close_listeners();
        if !endpoints.is_empty() {
            self.start_threads()?;
        }
        let mut listeners = Vec::with_capacity(endpoints.len());
        for (address, tls) in endpoints {
            let socket = match listen::Listener::bind(&address, tls) {
                Ok(socket) => socket,
                Err(error) => {
                    listeners.into_iter().for_each(Listener::close);
                    return Err(Error::system(&format!("can't bind to {address}"), &error));
                }
            };
            let place = socket.place();
            let fiber = fiber::spawn("iproto.accept", {
                let (shared, service) = (self.shared.clone(), self.service.clone());
                move || accept(&shared, &socket, &service)
            });
            fiber.set_system();
            listeners.push(Listener { place, fiber });
        }
        self.listeners.replace(listeners);
        Ok(())
    }

    /// Changes how connections from now on are made at the addresses where it listens, in their
    /// order.
    pub fn set_tls(&self, tls: Vec<Option<Arc<ServerConfig>>>) {
        for (listener, tls) in self.listeners.borrow().iter().zip(tls) {
            listener.place.tls.replace(tls);
        }
    }

    /// Serves a connection that somebody else accepted; returns its number.
    pub fn adopt(&self, socket: OwnedFd) -> io::Result<u64> {
        let stream = Stream::adopt(socket)?;
        let peer = stream.peer();
        let id = self.shared.next_id();
        start(&self.shared, id, Socket::Own(stream), peer, &self.service);
        Ok(id)
    }

    fn close_listeners(&self) {
        let listeners = self.listeners.take();
        listeners.into_iter().for_each(Listener::close);
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<Address> {
        self.listeners.borrow().iter().map(|listener| listener.place.address.clone()).collect()
    }

    /// The bounds.
    pub fn limits(&self) -> Limits {
        self.shared.limits.get()
    }

    /// Has so many threads serve the sockets of connections; 0: tx does. Has an effect before it
    /// first listens, when they start.
    pub fn set_thread_count(&self, count: usize) {
        self.thread_count.set(count);
    }

    fn start_threads(&self) -> Result<()> {
        let shared = Rc::downgrade(&self.shared);
        let receive = move |event: Event| {
            let Some(shared) = shared.upgrade() else { return };
            let connection = shared.connections.borrow().get(&event.id()).cloned();
            if let Some(connection) = connection {
                connection.note(event);
            }
        };
        let readahead = self.limits().readahead;
        let started = self.shared.threads.start(self.thread_count.get(), readahead, receive);
        started.map_err(|error| Error::system("iproto threads", &error))
    }

    /// Changes the bounds, for connections that are open, too.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.limits.set(limits);
        self.shared.threads.set_readahead(limits.readahead);
        self.shared.room.broadcast();
    }

    /// What it has done and does.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// How many connections are open.
    pub fn connection_count(&self) -> usize {
        self.shared.connections.borrow().len()
    }

    /// Stops listening, lets the requests under way end for so long, and closes the connections.
    /// Requests that are not done then are cancelled; false: some have not ended in time. Yields.
    pub fn stop(&self, patience: Duration, timeout: Duration) -> bool {
        self.close_listeners();
        let connections =
            || -> Vec<_> { self.shared.connections.borrow().values().cloned().collect() };
        connections().iter().for_each(|connection| connection.close_after_output());
        self.shared.is_stopping.set(true);
        if self.wait_ended(patience) {
            return true;
        }
        connections().iter().for_each(|connection| connection.close());
        self.shared.workers.cancel();
        self.wait_ended(timeout)
    }

    /// Waits until there is neither a connection nor a request; false: not in time.
    fn wait_ended(&self, timeout: Duration) -> bool {
        let deadline = std::time::Instant::now().checked_add(timeout);
        loop {
            // What is under way may have outlived its connection.
            let work_count = self.shared.counters.work.get().1 as usize;
            let left = self.connection_count().max(work_count);
            if left == 0 || left <= self.shared.workers.exiting_count() {
                return true;
            }
            if !self.shared.ended.wait_until(deadline) {
                return false;
            }
        }
    }
}

fn accept(shared: &Rc<Shared>, socket: &listen::Listener, service: &Rc<dyn Service>) {
    loop {
        while shared.connections.borrow().len() >= IPROTO_CONNECTION_COUNT_MAX {
            if fiber::current().is_cancelled() {
                return;
            }
            shared.ended.wait_timeout(listen::ACCEPT_PAUSE);
        }
        if !listen::accept(socket.next_socket(), |accepted| serve(shared, accepted, service)) {
            return;
        }
    }
}

/// Starts serving a socket that was accepted, here or on a thread.
fn serve(
    shared: &Rc<Shared>,
    (socket, tls, peer): listen::Accepted,
    service: &Rc<dyn Service>,
) -> io::Result<()> {
    let peer = address::show(&peer);
    let id = shared.next_id();
    let socket = match shared.threads.pick() {
        None => Socket::Own(Stream::accepted(socket, tls)?),
        Some(thread) => {
            let descriptor = socket.as_raw_fd();
            let flow = Arc::default();
            let open = Open { id, socket, tls, peer: peer.clone(), flow };
            Socket::Remote(Remote::open(thread, descriptor, open))
        }
    };
    start(shared, id, socket, peer, service);
    Ok(())
}

/// Starts serving a connection.
fn start(shared: &Rc<Shared>, id: u64, socket: Socket, peer: String, service: &Rc<dyn Service>) {
    add(&shared.counters.connections, 1);
    let connection = Rc::new(Connection::new(id, socket, peer, shared.clone()));
    shared.connections.borrow_mut().insert(id, connection.clone());
    shared.workers.open();
    let (shared, service) = (shared.clone(), service.clone());
    let fiber = fiber::spawn("iproto.connection", move || {
        if connection.shake_hands() {
            let client = service.connected(&connection);
            connection.flush();
            if let Some(client) = client {
                connection.serve(&client);
                client.disconnected(&connection);
            }
        }
        connection.close();
        let mut connections = shared.connections.borrow_mut();
        connections.remove(&id);
        if connections.is_empty() {
            shared.workers.close();
        }
        drop(connections);
        shared.ended.broadcast();
    });
    fiber.set_system();
}
