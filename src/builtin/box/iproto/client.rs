//! A client: its session, what it said it can do, its streams, its events.
//!
//! # Invariants
//! - A client is in the list exactly while its connection is open.
//!
//! # Yields
//! `connect` and `disconnected`, when a trigger does

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::dispatch;
use crate::base::error::{Error, Result};
use crate::base::limits::{IPROTO_STREAM_COUNT_MAX, IPROTO_WATCHED_KEY_COUNT_MAX};
use crate::base::version;
use crate::builtin::r#box::session::{self, Session, SessionKind};
use crate::builtin::digest::fill_random;
use crate::builtin::serializer;
use crate::db::authentication::SALT_SIZE;
use crate::db::{Database, GUEST, Transaction};
use crate::fiber;
use crate::lua::{self, Context, Kind, Module, Reference};
use crate::net::iproto::reply::{self, Meta};
use crate::net::iproto::{self, Connection, Work, greeting};
use crate::xrow::iproto::kind;

thread_local! {
    /// Clients by the id of their session.
    static CLIENTS: RefCell<HashMap<u64, Weak<Client>>> = RefCell::default();
    /// Sessions made for connections that Lua has accepted, by the connection's number.
    static ADOPTED: RefCell<HashMap<u64, Rc<Session>>> = RefCell::default();
    /// `watch(session id, key, sync)`, `unwatch(session id, key)`, `forget(session id)` of the Lua
    /// half.
    static WATCHERS: RefCell<Option<[Rc<Reference>; 3]>> = const { RefCell::new(None) };
}

/// Features of the protocol, by bit, as `ID` tells of them.
pub(super) mod feature {
    /// Streams.
    pub const STREAMS: u8 = 0;
    /// `BEGIN`, `COMMIT`, `ROLLBACK`.
    pub const TRANSACTIONS: u8 = 1;
    /// Errors among the results of calls are extensions.
    pub const ERROR_EXTENSION: u8 = 2;
    /// `WATCH`, `UNWATCH`, `EVENT`.
    pub const WATCHERS: u8 = 3;
    /// `AFTER_POSITION`, `AFTER_TUPLE`, `FETCH_POSITION`.
    pub const PAGINATION: u8 = 4;
    /// `SPACE_NAME`, `INDEX_NAME`.
    pub const SPACE_AND_INDEX_NAMES: u8 = 5;
    /// `WATCH_ONCE`.
    pub const WATCH_ONCE: u8 = 6;
    /// Tuples among the results of requests for data are extensions.
    pub const DML_TUPLE_EXTENSION: u8 = 7;
    /// Tuples among the results of calls are extensions.
    pub const CALL_RET_TUPLE_EXTENSION: u8 = 8;
    /// Tuples among the arguments of calls are extensions.
    pub const CALL_ARG_TUPLE_EXTENSION: u8 = 9;
    /// `IS_SYNC` of transactions.
    pub const IS_SYNC: u8 = 11;

    /// What this server has.
    pub const ALL: [u8; 11] = [
        STREAMS,
        TRANSACTIONS,
        ERROR_EXTENSION,
        WATCHERS,
        PAGINATION,
        SPACE_AND_INDEX_NAMES,
        WATCH_ONCE,
        DML_TUPLE_EXTENSION,
        CALL_RET_TUPLE_EXTENSION,
        CALL_ARG_TUPLE_EXTENSION,
        IS_SYNC,
    ];
}

/// A stream: requests with the same number run one after the other, maybe in a transaction.
#[derive(Default)]
pub(super) struct Stream {
    /// Whether a fiber runs its requests.
    pub is_busy: Cell<bool>,
    /// Packets that wait for that fiber.
    pub queue: RefCell<VecDeque<Vec<u8>>>,
    /// Its transaction between requests.
    pub transaction: RefCell<Option<Rc<Transaction>>>,
}

/// What is kept of a client.
pub(super) struct Client {
    pub session: Rc<Session>,
    /// What the client's passwords are scrambled with.
    pub salt: [u8; SALT_SIZE],
    /// Bits of what it said it can do.
    pub features: Cell<u64>,
    connection: Weak<Connection>,
    streams: RefCell<HashMap<u64, Rc<Stream>>>,
    watched_count: Cell<usize>,
    is_closed: Cell<bool>,
}

/// The version of the schema now.
pub(super) fn schema_version() -> u64 {
    Database::find().map_or(0, |database| database.schema().version())
}

/// Greets a client and makes its session; `None` if a trigger refuses it.
pub(super) fn connect(connection: &Rc<Connection>) -> Option<Rc<dyn iproto::Client>> {
    let adopted = ADOPTED.with_borrow_mut(|adopted| adopted.remove(&connection.id));
    let session = adopted.unwrap_or_else(|| Session::new(SessionKind::Binary, GUEST));
    session.set_peer(connection.descriptor(), Some(connection.peer.clone()));
    session.enter();
    let mut salt = [0; greeting::SALT_SIZE];
    if let Err(error) = fill_random(&mut salt) {
        tracing::error!("no salt for a client: {error}");
        return None;
    }
    let uuid = Database::find().map(|database| database.instance().uuid).unwrap_or_default();
    let number = version::TARANTOOL.split('-').next().unwrap_or_default();
    connection.push(&greeting::encode(number, &uuid.to_string(), &STANDARD.encode(salt)));
    let mut own_salt = [0; SALT_SIZE];
    own_salt.copy_from_slice(&salt[..SALT_SIZE]);
    let client = Rc::new(Client {
        session: session.clone(),
        salt: own_salt,
        features: Cell::new(0),
        connection: Rc::downgrade(connection),
        streams: RefCell::default(),
        watched_count: Cell::new(0),
        is_closed: Cell::new(false),
    });
    set_push(&session, connection);
    CLIENTS.with_borrow_mut(|clients| clients.insert(session.id(), Rc::downgrade(&client)));
    if let Err(error) = session::run_on_connect() {
        let mut out = Vec::new();
        reply::error(&mut out, Meta { sync: 0, schema_version: schema_version() }, &error);
        connection.push(&out);
        CLIENTS.with_borrow_mut(|clients| clients.remove(&session.id()));
        return None;
    }
    Some(client)
}

/// Keeps a session for a connection that will be greeted soon.
pub(super) fn keep_session(connection: u64, session: Rc<Session>) {
    ADOPTED.with_borrow_mut(|adopted| adopted.insert(connection, session));
}

/// Lets a session begin and end whose descriptor is no socket.
pub(super) fn begin_and_end(descriptor: i32, session: Rc<Session>) {
    let fiber = fiber::spawn("iproto.connection", move || {
        session.set_peer(descriptor, None);
        session.enter();
        if session::run_on_connect().is_ok() {
            session::run_on_disconnect();
        }
        session::leave();
    });
    fiber.set_system();
}

/// Has `box.session.push` send a chunk with the number of the request that the fiber works on.
fn set_push(session: &Session, connection: &Rc<Connection>) {
    let connection = Rc::downgrade(connection);
    session.set_push(Rc::new(move |cx, index| {
        let Some(connection) = connection.upgrade().filter(|connection| connection.is_open())
        else {
            return Err(crate::client_error!(ER_SESSION_CLOSED));
        };
        let meta = Meta { sync: session::current_sync(), schema_version: schema_version() };
        let mut out = Vec::new();
        let data = reply::begin_data(&mut out, u32::from(kind::CHUNK), meta, 0);
        serializer::encode(cx, index, &mut out, &serializer::msgpack_config())?;
        data.set_count(&mut out, 1);
        data.end(&mut out);
        connection.push(&out);
        // By another fiber: a transaction that pushes must not yield.
        let writer = connection.clone();
        fiber::spawn("iproto.push", move || writer.flush());
        connection.wait_drained();
        Ok(())
    }));
}

impl iproto::Client for Client {
    fn work(&self, connection: &Rc<Connection>, work: &Rc<Work>, round: u64) {
        dispatch::run(self, connection, work, round);
    }

    fn disconnected(&self, connection: &Rc<Connection>) {
        self.is_closed.set(true);
        let id = self.session.id();
        CLIENTS.with_borrow_mut(|clients| clients.remove(&id));
        let streams: Vec<_> = self.streams.borrow_mut().drain().map(|(_, stream)| stream).collect();
        for stream in streams {
            connection.count_stream(false);
            stream.queue.borrow_mut().drain(..).for_each(|_| connection.count_queued(false));
            // A stream that is busy ends its transaction when its request has ended.
            if let Some(transaction) = stream.transaction.take() {
                rollback(transaction);
            }
        }
        if self.watched_count.get() > 0
            && let Err(error) = call_watcher(2, id, None)
        {
            tracing::error!("watchers of a client: {error}");
        }
        session::run_on_disconnect();
    }
}

/// Rolls a transaction back in the running fiber, which has none.
fn rollback(transaction: Rc<Transaction>) {
    let Some(database) = Database::find() else { return };
    database.attach_transaction(transaction);
    if let Err(error) = database.rollback() {
        tracing::error!("rolling back a stream: {error}");
    }
}

impl Client {
    /// Whether the client can do this.
    pub fn has_feature(&self, feature: u8) -> bool {
        self.features.get() & (1 << feature) != 0
    }

    /// The stream with this number, made on first use.
    pub fn stream(&self, id: u64) -> Result<Rc<Stream>> {
        let mut streams = self.streams.borrow_mut();
        if let Some(stream) = streams.get(&id) {
            return Ok(stream.clone());
        }
        if streams.len() >= IPROTO_STREAM_COUNT_MAX {
            return Err(Error::illegal_params("too many streams in one connection"));
        }
        let stream = Rc::<Stream>::default();
        streams.insert(id, stream.clone());
        if let Some(connection) = self.connection.upgrade() {
            connection.count_stream(true);
        }
        Ok(stream)
    }

    /// A stream has nothing to do at the moment: without a transaction it is forgotten.
    pub fn release_stream(&self, id: u64, stream: &Stream) {
        if self.is_closed.get() {
            if let Some(transaction) = stream.transaction.take() {
                rollback(transaction);
            }
            return;
        }
        let is_unused = stream.transaction.borrow().is_none() && stream.queue.borrow().is_empty();
        if is_unused
            && self.streams.borrow_mut().remove(&id).is_some()
            && let Some(connection) = self.connection.upgrade()
        {
            connection.count_stream(false);
        }
    }

    /// Watches a key, or acknowledges its last event.
    pub fn watch(&self, name: &[u8], sync: u64) -> Result<()> {
        if self.watched_count.get() >= IPROTO_WATCHED_KEY_COUNT_MAX {
            return Err(Error::illegal_params("too many watched keys in one connection"));
        }
        let is_new = call_watcher(0, self.session.id(), Some((name, sync)))?;
        self.watched_count.set(self.watched_count.get() + usize::from(is_new));
        Ok(())
    }

    /// Watches a key no more.
    pub fn unwatch(&self, name: &[u8]) -> Result<()> {
        let was_watched = call_watcher(1, self.session.id(), Some((name, 0)))?;
        self.watched_count.set(self.watched_count.get() - usize::from(was_watched));
        Ok(())
    }
}

/// Calls one of the functions of the Lua half; its result.
fn call_watcher(function: usize, session: u64, arguments: Option<(&[u8], u64)>) -> Result<bool> {
    let function =
        WATCHERS.with_borrow(|all| all.as_ref().and_then(|all| all.get(function).cloned()));
    let Some(function) = function else { return Ok(false) };
    lua::enter(|cx| {
        cx.push_reference(&function);
        cx.push_number(session as f64);
        let mut count = 1;
        if let Some((name, sync)) = arguments {
            cx.push_bytes(name);
            cx.push_uint64(sync);
            count = 3;
        }
        cx.call(count, 1)?;
        Ok(cx.boolean(-1))
    })
}

/// Sends a packet to the client of a session.
pub(super) fn send_to(id: u64, packet: &[u8]) -> Result<()> {
    let session = session::find(id).ok_or_else(|| crate::client_error!(ER_NO_SUCH_SESSION, id))?;
    if session.kind() != SessionKind::Binary {
        return Err(crate::client_error!(ER_WRONG_SESSION_TYPE, session.kind().name()));
    }
    let client = CLIENTS.with_borrow(|clients| clients.get(&id).and_then(Weak::upgrade));
    let connection = client.and_then(|client| client.connection.upgrade());
    let connection = connection.ok_or_else(|| crate::client_error!(ER_SESSION_CLOSED))?;
    connection.push(packet);
    fiber::spawn("iproto.send", move || connection.flush());
    Ok(())
}

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("iproto_set_watchers", lua_iproto_set_watchers)
        .function("iproto_send_event", lua_iproto_send_event)
}

/// `iproto_set_watchers(watch, unwatch, forget)`
fn lua_iproto_set_watchers(cx: Context<'_>) -> Result<usize> {
    let take = |index| {
        cx.check_kind(index, Kind::Function)?;
        cx.push_value(index);
        Ok::<_, Error>(Rc::new(cx.reference()))
    };
    WATCHERS.set(Some([take(1)?, take(2)?, take(3)?]));
    Ok(0)
}

/// `iproto_send_event(session id, sync, key, data or nil)`: data is MessagePack.
fn lua_iproto_send_event(cx: Context<'_>) -> Result<usize> {
    let id = cx.check_integer(1)?.cast_unsigned();
    let sync = cx.check_integer(2)?.cast_unsigned();
    let client = CLIENTS.with_borrow(|clients| clients.get(&id).and_then(Weak::upgrade));
    if let Some(connection) = client.and_then(|client| client.connection.upgrade()) {
        let mut out = Vec::new();
        reply::event(&mut out, sync, cx.check_bytes(3)?, cx.opt_bytes(4)?);
        connection.push(&out);
        fiber::spawn("iproto.event", move || connection.flush());
    }
    Ok(0)
}
