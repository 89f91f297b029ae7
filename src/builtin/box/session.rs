//! Native half of `box.session`: who a fiber works for.
//!
//! A session is made for each connection and each console, and on demand for any other fiber that
//! asks: then it is a "background" one of the administrator that ends with the fiber. As in
//! Tarantool, a new fiber does not inherit the session of the one that made it.
//!
//! The user of a session is who authenticated; the effective user, kept by `db` for each fiber,
//! differs inside `box.session.su(user, function)` and functions that run as their owner.
//!
//! # Yields
//! the functions `run_*`, when a trigger does

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use super::space::{database, id};
use crate::base::error::{Error, Result};
use crate::base::error_code::ER_CREDS_MISMATCH;
use crate::client_error;
use crate::db::Database;
use crate::db::access::{effective_user, set_effective_user};
use crate::db::authentication::{self, Proof, check_session};
use crate::db::session_setting::{self, SessionSettings};
use crate::fiber;
use crate::lua::{self, Context, Kind, Module, Reference};

/// User id of the administrator.
const ADMIN: u32 = 1;

/// What a session serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// A fiber of the program itself.
    Background,
    /// A connection that speaks iproto.
    Binary,
    /// A text console over a socket.
    Console,
    /// The interactive console.
    Repl,
    /// A connection that speaks the Redis protocol.
    Resp,
    /// The stream of changes from a master.
    Applier,
}

impl SessionKind {
    /// What `box.session.type()` returns.
    pub fn name(self) -> &'static str {
        match self {
            SessionKind::Background => "background",
            SessionKind::Binary => "binary",
            SessionKind::Console => "console",
            SessionKind::Repl => "repl",
            SessionKind::Resp => "resp",
            SessionKind::Applier => "applier",
        }
    }

    fn by_name(name: &[u8]) -> SessionKind {
        match name {
            b"binary" => SessionKind::Binary,
            b"repl" => SessionKind::Repl,
            b"background" => SessionKind::Background,
            _ => SessionKind::Console,
        }
    }
}

/// Sends the Lua value at an index of the stack out of order, as `box.session.push` asks.
pub type Push = Rc<dyn Fn(Context<'_>, i32) -> Result<()>>;

/// A session. It is closed when the last reference goes.
pub struct Session {
    id: u64,
    kind: Cell<SessionKind>,
    fd: Cell<i32>,
    peer: RefCell<Option<String>>,
    user: Cell<u32>,
    push: RefCell<Option<Push>>,
    /// `box.session.storage`.
    storage: RefCell<Option<Reference>>,
    /// `box.session.settings`.
    settings: RefCell<Rc<SessionSettings>>,
}

/// The session of a fiber, and the number of the request that the fiber works on: several fibers
/// may work for one session.
pub struct Current(RefCell<Rc<Session>>, Cell<u64>);

impl Current {
    /// Sets the number of the request that the fiber works on.
    #[inline]
    pub fn set_sync(&self, sync: u64) {
        self.1.set(sync);
    }
}

thread_local! {
    static SESSIONS: RefCell<HashMap<u64, Weak<Session>>> = RefCell::default();
    static LAST_ID: Cell<u64> = const { Cell::new(0) };
    /// For code that runs before the first fiber.
    static OUTSIDE: RefCell<Option<Rc<Session>>> = const { RefCell::new(None) };
    /// `run(event, …)` of the Lua half.
    static RUNNER: RefCell<Option<Rc<Reference>>> = const { RefCell::new(None) };
}

impl Session {
    /// A new session of a user.
    pub fn new(kind: SessionKind, user: u32) -> Rc<Session> {
        let id = LAST_ID.get() + 1;
        LAST_ID.set(id);
        let session = Rc::new(Session {
            id,
            kind: Cell::new(kind),
            fd: Cell::new(-1),
            peer: RefCell::default(),
            user: Cell::new(user),
            push: RefCell::default(),
            storage: RefCell::default(),
            settings: RefCell::default(),
        });
        SESSIONS.with_borrow_mut(|sessions| sessions.insert(id, Rc::downgrade(&session)));
        session
    }

    /// Its number; never reused.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What it serves.
    pub fn kind(&self) -> SessionKind {
        self.kind.get()
    }

    /// Who authenticated.
    pub fn user(&self) -> u32 {
        self.user.get()
    }

    /// Changes the user. The fibers that serve the session call [`Session::enter`] again.
    pub fn set_user(&self, user: u32) {
        self.user.set(user);
    }

    /// Sets `box.session.storage`, a table.
    pub fn set_storage(&self, storage: Reference) {
        self.storage.replace(Some(storage));
    }

    /// Sets the descriptor and the address of the client.
    pub fn set_peer(&self, fd: i32, peer: Option<String>) {
        self.fd.set(fd);
        self.peer.replace(peer);
    }

    /// Sets how `box.session.push` sends.
    pub fn set_push(&self, push: Push) {
        self.push.replace(Some(push));
    }

    /// Makes it the session of the running fiber, which from now on acts for its user.
    pub fn enter(self: &Rc<Session>) -> Rc<Current> {
        set_effective_user(self.user.get());
        session_setting::set_current(self.settings.borrow().clone());
        let make = || Current(RefCell::new(self.clone()), Cell::new(0));
        if !fiber::in_fiber() {
            OUTSIDE.set(Some(self.clone()));
            return Rc::new(make());
        }
        let current = fiber::current().local(make);
        let old = current.0.replace(self.clone());
        drop(old);
        current
    }
}

/// The running fiber works for nobody any more.
pub fn leave() {
    fiber::current().remove_local::<Current>();
}

impl Drop for Session {
    fn drop(&mut self) {
        // At the end of the thread the registry may be gone already.
        let _ = SESSIONS.try_with(|sessions| sessions.borrow_mut().remove(&self.id));
        if let Some(storage) = self.storage.take() {
            lua::with_main(|cx| cx.release(storage));
        }
    }
}

/// The session of the running fiber, made when there is none.
pub fn current() -> Rc<Session> {
    if !fiber::in_fiber() {
        return OUTSIDE.with_borrow_mut(|outside| {
            outside.get_or_insert_with(|| Session::new(SessionKind::Background, ADMIN)).clone()
        });
    }
    let fiber = fiber::current();
    if let Some(current) = fiber.find_local::<Current>() {
        return current.0.borrow().clone();
    }
    let session = Session::new(SessionKind::Background, ADMIN);
    // What the fiber has set before anybody asked for its session.
    session.settings.replace(session_setting::current());
    fiber.set_local(Rc::new(Current(RefCell::new(session.clone()), Cell::new(0))));
    session
}

/// The number of the request that the running fiber works on.
pub fn current_sync() -> u64 {
    if !fiber::in_fiber() {
        return 0;
    }
    fiber::current().find_local::<Current>().map_or(0, |current| current.1.get())
}

/// The session with this id.
pub fn find(id: u64) -> Option<Rc<Session>> {
    SESSIONS.with_borrow(|sessions| sessions.get(&id).and_then(Weak::upgrade))
}

/// Runs the triggers of `box.session.on_connect`; an error refuses the connection.
pub fn run_on_connect() -> Result<()> {
    run_event("on_connect", |_| 0)
}

/// Runs the triggers of `box.session.on_disconnect`. Errors are logged.
pub fn run_on_disconnect() {
    if let Err(error) = run_event("on_disconnect", |_| 0) {
        tracing::error!("box.session.on_disconnect: {error}");
    }
}

/// Runs the triggers of `box.session.on_auth`.
pub fn run_on_auth(user: &str, is_authenticated: bool) -> Result<()> {
    run_event("on_auth", |cx| {
        cx.push_bytes(user);
        cx.push_boolean(is_authenticated);
        2
    })
}

/// Runs the triggers of `box.session.on_access_denied`. Errors are logged.
pub fn run_on_access_denied(access: &str, object_type: &str, object_name: &str) {
    if !fiber::in_fiber() {
        return;
    }
    // Unlike other triggers, these see who was refused.
    let result = run_event_as(effective_user(), "on_access_denied", |cx| {
        [access, object_type, object_name].iter().for_each(|text| cx.push_bytes(text));
        3
    });
    if let Err(error) = result {
        tracing::error!("box.session.on_access_denied: {error}");
    }
}

/// The user with this name makes the running fiber's session its own by a proof, and the triggers
/// of `box.session.on_auth` are told whether it did.
pub fn authenticate(name: &str, proof: Proof<'_>) -> Result<()> {
    let database = database()?;
    match authentication::authenticate(database, name, proof) {
        Ok(user) => {
            run_on_auth(name, true)?;
            let session = current();
            session.set_user(user.definition().uid);
            session.enter();
            Ok(())
        }
        Err(error) => {
            if error.code() == ER_CREDS_MISMATCH.number {
                run_on_auth(name, false)?;
            }
            Err(error)
        }
    }
}

/// Runs the triggers of an event as the administrator, with the arguments that `push` pushes.
fn run_event(event: &str, push: impl FnOnce(Context<'_>) -> i32) -> Result<()> {
    run_event_as(ADMIN, event, push)
}

fn run_event_as(user: u32, event: &str, push: impl FnOnce(Context<'_>) -> i32) -> Result<()> {
    let Some(runner) = RUNNER.with_borrow(Clone::clone) else { return Ok(()) };
    let user = set_effective_user(user);
    let result = lua::enter(|cx| {
        cx.push_reference(&runner);
        cx.push_bytes(event);
        let count = push(cx);
        cx.call(1 + count, 0)
    });
    set_effective_user(user);
    result
}

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("session_create", lua_session_create)
        .function("session_id", lua_session_id)
        .function("session_type", lua_session_type)
        .function("session_sync", lua_session_sync)
        .function("session_uid", lua_session_uid)
        .function("session_euid", lua_session_euid)
        .function("session_user", lua_session_user)
        .function("session_effective_user", lua_session_effective_user)
        .function("session_fd", lua_session_fd)
        .function("session_peer", lua_session_peer)
        .function("session_exists", lua_session_exists)
        .function("session_ids", lua_session_ids)
        .function("session_storage", lua_session_storage)
        .function("session_push", lua_session_push)
        .function("session_find_user", lua_session_find_user)
        .function("session_set_user", lua_session_set_user)
        .function("session_set_effective_user", lua_session_set_effective_user)
        .function("session_set_runner", lua_session_set_runner)
}

/// `session_create(fd, type[, push[, peer]])`: the running fiber gets a session of its own, or the one
/// it has another type. `push` is called with what `box.session.push` sends.
fn lua_session_create(cx: Context<'_>) -> Result<usize> {
    let fd = i32::try_from(cx.opt_integer(1, -1)?).unwrap_or(-1);
    let kind = SessionKind::by_name(cx.opt_bytes(2)?.unwrap_or(b"console"));
    let session = current();
    session.kind.set(kind);
    if fd >= 0 {
        session.set_peer(fd, cx.text(4).map(str::to_owned));
    }
    if cx.kind(3) == Kind::Function {
        cx.push_value(3);
        let push = cx.reference();
        session.set_push(Rc::new(move |cx, index| {
            let index = cx.absolute(index);
            cx.push_reference(&push);
            cx.push_value(index);
            cx.call(1, 0)
        }));
    }
    cx.push_uint64(session.id);
    Ok(1)
}

fn lua_session_id(cx: Context<'_>) -> Result<usize> {
    cx.push_uint64(current().id);
    Ok(1)
}

fn lua_session_type(cx: Context<'_>) -> Result<usize> {
    cx.push_bytes(current().kind().name());
    Ok(1)
}

fn lua_session_sync(cx: Context<'_>) -> Result<usize> {
    cx.push_uint64(current_sync());
    Ok(1)
}

fn lua_session_uid(cx: Context<'_>) -> Result<usize> {
    cx.push_integer(i64::from(current().user()));
    Ok(1)
}

fn lua_session_euid(cx: Context<'_>) -> Result<usize> {
    cx.push_integer(i64::from(effective_user()));
    Ok(1)
}

fn push_user_name(cx: Context<'_>, uid: u32) {
    match Database::find().and_then(|database| database.users().get(uid)) {
        Some(user) => cx.push_bytes(user.name()),
        // Before box.cfg there is nobody else.
        None if uid == ADMIN => cx.push_bytes("admin"),
        None => cx.push_nil(),
    }
}

fn lua_session_user(cx: Context<'_>) -> Result<usize> {
    push_user_name(cx, current().user());
    Ok(1)
}

fn lua_session_effective_user(cx: Context<'_>) -> Result<usize> {
    push_user_name(cx, effective_user());
    Ok(1)
}

/// The session that the first argument names; the fiber's own when there is none.
fn session_at(cx: Context<'_>, function: &str) -> Result<Option<Rc<Session>>> {
    match cx.top() {
        0 => Ok(Some(current())),
        1 => Ok(u64::try_from(cx.check_integer(1)?).ok().and_then(find)),
        _ => Err(Error::illegal_params(format!("session.{function}(sid): bad arguments"))),
    }
}

fn living_session_at(cx: Context<'_>, function: &str) -> Result<Rc<Session>> {
    session_at(cx, function)?.ok_or_else(|| {
        Error::illegal_params(format!("session.{function}(): session does not exist"))
    })
}

fn lua_session_fd(cx: Context<'_>) -> Result<usize> {
    cx.push_integer(i64::from(living_session_at(cx, "fd")?.fd.get()));
    Ok(1)
}

fn lua_session_peer(cx: Context<'_>) -> Result<usize> {
    let peer = living_session_at(cx, "peer")?.peer.borrow().clone();
    match peer {
        Some(peer) => cx.push_bytes(peer),
        None => cx.push_nil(),
    }
    Ok(1)
}

fn lua_session_exists(cx: Context<'_>) -> Result<usize> {
    let exists = session_at(cx, "exists")?.is_some();
    cx.push_boolean(exists);
    Ok(1)
}

/// `session_ids()`: the numbers of all sessions, in order.
fn lua_session_ids(cx: Context<'_>) -> Result<usize> {
    let mut ids: Vec<u64> = SESSIONS.with_borrow(|sessions| sessions.keys().copied().collect());
    ids.sort_unstable();
    cx.new_table(ids.len(), 0);
    for (at, id) in (1..).zip(ids) {
        cx.push_number(id as f64);
        cx.raw_set_index(-2, at);
    }
    Ok(1)
}

/// `session_storage([id])`: a table that lives as long as the session; nil of another session that
/// has none.
fn lua_session_storage(cx: Context<'_>) -> Result<usize> {
    if cx.kind(1) == Kind::Number {
        let session = find(cx.check_integer(1)?.cast_unsigned());
        let storage = session.as_ref().map(|session| session.storage.borrow());
        match storage.as_deref() {
            Some(Some(storage)) => cx.push_reference(storage),
            _ => cx.push_nil(),
        }
        return Ok(1);
    }
    let session = current();
    if session.storage.borrow().is_none() {
        cx.new_table(0, 0);
        let storage = cx.reference();
        session.storage.replace(Some(storage));
    }
    if let Some(storage) = &*session.storage.borrow() {
        cx.push_reference(storage);
    }
    Ok(1)
}

/// `session_push(value)`: true, or nil and an error.
fn lua_session_push(cx: Context<'_>) -> Result<usize> {
    if cx.top() != 1 {
        return Err(Error::illegal_params("Usage: box.session.push(data)"));
    }
    let session = current();
    let push = session.push.borrow().clone();
    let result = match push {
        Some(push) => push(cx, 1),
        None => {
            let session = format!("Session '{}'", session.kind().name());
            Err(client_error!(ER_UNSUPPORTED, session, "push()"))
        }
    };
    match result {
        Ok(()) => {
            cx.push_boolean(true);
            Ok(1)
        }
        Err(error) => {
            lua::set_last_error(Some(error.clone()));
            cx.push_nil();
            cx.push_error(error);
            Ok(2)
        }
    }
}

/// `session_find_user(name or id)`: the id of a user who may open sessions.
fn lua_session_find_user(cx: Context<'_>) -> Result<usize> {
    let users = database()?.users();
    let user = match cx.kind(1) {
        Kind::String => users.find_by_name(cx.check_text(1)?)?,
        _ => users.find(id(cx, 1)?)?,
    };
    if user.definition().is_role {
        return Err(client_error!(ER_NO_SUCH_USER, user.definition().name.as_str()));
    }
    check_session(&user)?;
    cx.push_integer(i64::from(user.definition().uid));
    Ok(1)
}

/// `session_set_user(id)`: the session changes its user.
fn lua_session_set_user(cx: Context<'_>) -> Result<usize> {
    let session = current();
    session.set_user(id(cx, 1)?);
    session.enter();
    Ok(0)
}

/// `session_set_effective_user(id)`: returns who it was.
fn lua_session_set_effective_user(cx: Context<'_>) -> Result<usize> {
    cx.push_integer(i64::from(set_effective_user(id(cx, 1)?)));
    Ok(1)
}

/// `session_set_runner(function)`: what runs the triggers of an event.
fn lua_session_set_runner(cx: Context<'_>) -> Result<usize> {
    cx.set_top(1);
    RUNNER.set(Some(Rc::new(cx.reference())));
    Ok(0)
}
