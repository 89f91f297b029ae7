//! Listens for clients and keeps the list of their connections.
//!
//! Each connection has a fiber, which is handed to the [`Service`].
//!
//! # Invariants
//! - A connection is in the list exactly while its fiber serves it.
//!
//! # Yields
//! The fibers it starts do, and `move_to`; `listen`, `stop` and the rest never

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use super::connection::Connection;
use super::request;
use crate::base::error::{Error, Result};
use crate::fiber::{self, Fiber};
use crate::net::{Address, Stream, listen};

/// How often idle connections are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Bounds of a server; may change while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of each request.
    pub request: request::Limits,
    /// Most connections.
    pub connection_count_max: usize,
    /// A connection that is silent for longer is closed.
    pub idle_timeout: Option<Duration>,
    /// Most bytes of replies that one batch may leave.
    pub output_size_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request: request::Limits::default(),
            connection_count_max: 10_000,
            idle_timeout: None,
            output_size_max: 1024 * 1024 * 1024,
        }
    }
}

/// What a server has done, since it was made.
#[derive(Debug, Default)]
pub struct Counters {
    connections_received: Cell<u64>,
    connections_rejected: Cell<u64>,
    commands: Cell<u64>,
    input_bytes: Cell<u64>,
    output_bytes: Cell<u64>,
}

impl Counters {
    #[inline]
    pub(super) fn add_input(&self, size: usize) {
        self.input_bytes.set(self.input_bytes.get() + size as u64);
    }

    #[inline]
    pub(super) fn add_output(&self, size: usize) {
        self.output_bytes.set(self.output_bytes.get() + size as u64);
    }

    #[inline]
    pub(super) fn add_command(&self) {
        self.commands.set(self.commands.get() + 1);
    }

    /// Name and value of each.
    pub fn list(&self) -> [(&'static str, u64); 5] {
        [
            ("connections_received", self.connections_received.get()),
            ("connections_rejected", self.connections_rejected.get()),
            ("commands_processed", self.commands.get()),
            ("input_bytes", self.input_bytes.get()),
            ("output_bytes", self.output_bytes.get()),
        ]
    }
}

/// Serves connections.
pub trait Service: 'static {
    /// Serves one connection on the fiber that this is called on, until it ends; most likely
    /// with [`Connection::run`].
    fn serve(&self, connection: &Rc<Connection>, stream: &Stream);
}

pub(super) struct Shared {
    pub(super) limits: Cell<Limits>,
    pub(super) counters: Counters,
    connections: RefCell<BTreeMap<u64, Rc<Connection>>>,
    last_id: Cell<u64>,
}

/// A listening server.
pub struct Server {
    shared: Rc<Shared>,
    service: Rc<dyn Service>,
    accepting: RefCell<Accepting>,
    sweep: Fiber,
}

/// A socket that accepts connections until its fiber is cancelled.
struct Accepting {
    place: Rc<listen::Place>,
    fiber: Fiber,
}

impl Server {
    /// Listens on that address.
    pub fn listen(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        service: Rc<dyn Service>,
    ) -> Result<Server> {
        let shared = Rc::new(Shared {
            limits: Cell::default(),
            counters: Counters::default(),
            connections: RefCell::default(),
            last_id: Cell::new(0),
        });
        let accepting = RefCell::new(Accepting::start(address, tls, &shared, &service)?);
        let sweep = fiber::spawn("resp.idle", {
            let shared = shared.clone();
            move || sweep(&shared)
        });
        sweep.set_system();
        Ok(Server { shared, service, accepting, sweep })
    }

    /// Where it listens.
    pub fn address(&self) -> Address {
        self.accepting.borrow().place.address.clone()
    }

    /// Listens at another address instead; connections stay. It goes on where it is when that
    /// fails. Yields.
    pub fn move_to(&self, address: SocketAddr) -> Result<()> {
        let tls = self.accepting.borrow().place.tls.borrow().clone();
        let start = |address| Accepting::start(address, tls.clone(), &self.shared, &self.service);
        let here = self.accepting.borrow().place.address.clone();
        let accepting = match (start(address), here) {
            // Two addresses of one port may be in each other's way, as 0.0.0.0 and 127.0.0.1 are.
            (Err(error), Address::Tcp(here)) if here.port() == address.port() => {
                let fiber = self.accepting.borrow().fiber.clone();
                fiber.cancel();
                fiber.join();
                start(address).or_else(|_| {
                    self.accepting.replace(start(here)?);
                    Err(error)
                })?
            }
            (accepting, _) => accepting?,
        };
        self.accepting.replace(accepting).fiber.cancel();
        Ok(())
    }

    /// Changes how connections from now on are made.
    pub fn set_tls(&self, tls: Option<Arc<ServerConfig>>) {
        self.accepting.borrow().place.tls.replace(tls);
    }

    /// The bounds.
    pub fn limits(&self) -> Limits {
        self.shared.limits.get()
    }

    /// Changes the bounds, for connections that are open, too.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.limits.set(limits);
    }

    /// What it has done.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// How many connections are open.
    pub fn connection_count(&self) -> usize {
        self.shared.connections.borrow().len()
    }

    /// Stops listening and closes every connection once its running batch is answered.
    pub fn stop(&self) {
        self.accepting.borrow().fiber.cancel();
        self.sweep.cancel();
        let connections: Vec<_> = self.shared.connections.borrow().values().cloned().collect();
        for connection in connections {
            connection.close_when_idle();
        }
    }
}

impl Accepting {
    fn start(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        shared: &Rc<Shared>,
        service: &Rc<dyn Service>,
    ) -> Result<Accepting> {
        let socket = listen::Listener::bind(&Address::Tcp(address), tls);
        let socket = socket.map_err(|error| Error::system("bind", &error))?;
        let place = socket.place();
        let (shared, service) = (shared.clone(), service.clone());
        let fiber = fiber::spawn("resp.accept", move || accept(&shared, &socket, &service));
        fiber.set_system();
        Ok(Accepting { place, fiber })
    }
}

fn accept(shared: &Rc<Shared>, socket: &listen::Listener, service: &Rc<dyn Service>) {
    while listen::accept(socket.next(), |(stream, peer)| match peer.as_socket() {
        Some(peer) => start(shared, stream, peer, service),
        None => Ok(()),
    }) {}
}

/// Starts serving a connection, or refuses it.
fn start(
    shared: &Rc<Shared>,
    stream: Stream,
    peer: SocketAddr,
    service: &Rc<dyn Service>,
) -> io::Result<()> {
    let counters = &shared.counters;
    counters.connections_received.set(counters.connections_received.get() + 1);
    if shared.connections.borrow().len() >= shared.limits.get().connection_count_max {
        counters.connections_rejected.set(counters.connections_rejected.get() + 1);
        // Best effort: a new socket has room for this.
        if stream.is_plain() {
            let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
        }
        return Ok(());
    }
    let id = shared.last_id.get() + 1;
    shared.last_id.set(id);
    let connection = Rc::new(Connection::new(id, &stream, peer, shared.clone())?);
    shared.connections.borrow_mut().insert(id, connection.clone());
    let (shared, service) = (shared.clone(), service.clone());
    let fiber = fiber::spawn("resp", move || {
        if connection.shake_hands(&stream) {
            service.serve(&connection, &stream);
        }
        shared.connections.borrow_mut().remove(&id);
    });
    fiber.set_system();
    Ok(())
}

/// Closes connections that were silent for too long, until cancelled.
fn sweep(shared: &Shared) {
    while fiber::sleep(SWEEP_INTERVAL).is_ok() {
        let Some(timeout) = shared.limits.get().idle_timeout else { continue };
        let connections = shared.connections.borrow();
        let idle = connections
            .values()
            .filter(|connection| !connection.is_busy() && connection.idle() > timeout);
        let idle: Vec<_> = idle.cloned().collect();
        drop(connections);
        for connection in idle {
            tracing::debug!(client = %connection.peer, "closed: idle");
            connection.close();
        }
    }
}
