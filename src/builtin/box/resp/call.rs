//! The hot path: a request in, a call of its Lua handler, its reply out.
//!
//! For the life of a connection its Lua thread keeps, at fixed places of its stack, the client
//! table, the tables of handlers, and the names of the last few commands as Lua strings. So a
//! call costs one table look-up by an interned string and one string per argument; nothing is
//! allocated in Rust. A handler with a variant for lent arguments (`resp.lend`) costs not even the
//! strings: the connection has a few values that point into the request while the variant runs.
//!
//! Handlers are called protected, so a request that fails is answered and the next one goes on.
//! The whole connection runs inside one more protected call: what can still raise there is the
//! Lua heap's limit, while arguments are pushed; then the connection is closed.
//!
//! # Yields
//! when a handler does

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use super::{Handlers, encode};
use crate::base::clock::{self, Clock};
use crate::base::error::{Error, Result, Type};
use crate::base::error_code::{ER_MEMORY_ISSUE, ER_READONLY};
use crate::base::rate_limit::RateLimit;
use crate::builtin::r#box::session::{self, SessionKind};
use crate::db::batch::{self, Batch};
use crate::db::{Database, GUEST};
use crate::lua::{self, Context, Kind, Reference, userdata};
use crate::net::Stream;
use crate::net::resp::reply::Writer;
use crate::net::resp::{Connection, Handler, Request, Service, Written};
use crate::value::mp;
use mlua::ffi;

/// Places on the stack of a connection's thread, above the pointer to its [`Run`].
mod slot {
    pub const CLIENT: i32 = 2;
    pub const ON_ERROR: i32 = 3;
    pub const COMMANDS: i32 = 4;
    pub const LISTS: i32 = 5;
    pub const ARITIES: i32 = 6;
    pub const UNKNOWN: i32 = 7;
    pub const SLOW: i32 = 8;
    pub const NAMES: i32 = 9;
    /// The handlers of the names that have a variant, nil for others.
    pub const LENDERS: i32 = NAMES + super::NAME_COUNT as i32;
    /// Their variants.
    pub const VARIANTS: i32 = LENDERS + super::NAME_COUNT as i32;
    pub const LENT: i32 = VARIANTS + super::NAME_COUNT as i32;
    pub const LAST: i32 = LENT + super::LENT_COUNT_MAX as i32 - 1;
}

/// How many names of commands a connection remembers.
const NAME_COUNT: usize = 8;
/// Longest name that is remembered.
const NAME_SIZE_MAX: usize = 16;
/// Most arguments that are lent.
pub(super) const LENT_COUNT_MAX: usize = 4;
/// Most arguments that are passed as such; LuaJIT's limit for one call is 8000.
const ARGUMENT_COUNT_MAX: usize = 5000;
/// Under this threshold requests are timed exactly, else with the kernel's coarse clock, which
/// is good for a few milliseconds and costs a tenth.
const EXACT_THRESHOLD_US: i64 = 10_000;

/// Serves connections with the handlers of one server.
pub(super) struct LuaService {
    pub(super) handlers: Rc<Handlers>,
}

/// Bytes that a handler may look at while it runs; `struct lycosa_lent` of `lent.lua`.
#[repr(C)]
struct Lent {
    data: *const u8,
    size: usize,
}

thread_local! {
    /// Of handlers `{variant, argument count}`, and the type of lent arguments.
    static LENDING: RefCell<Option<(Reference, Reference)>> = const { RefCell::new(None) };
    static CLIENT_METATABLE: RefCell<Option<Reference>> = const { RefCell::new(None) };
    /// Of the messages about handlers that failed.
    static FAILURES: RateLimit = RateLimit::default();
}

/// `set_client_metatable(table)`
pub(super) fn lua_resp_set_client_metatable(cx: Context<'_>) -> Result<usize> {
    cx.set_top(1);
    CLIENT_METATABLE.set(Some(cx.reference()));
    Ok(0)
}

/// `set_lending(variants by handler, type of lent arguments)`
pub(super) fn lua_resp_set_lending(cx: Context<'_>) -> Result<usize> {
    cx.set_top(2);
    let new_lent = cx.reference();
    LENDING.set(Some((cx.reference(), new_lent)));
    Ok(0)
}

/// What a protected run of a connection needs.
struct Run<'a> {
    handlers: &'a Handlers,
    connection: &'a Connection,
    stream: &'a Stream,
}

impl Service for LuaService {
    fn serve(&self, connection: &Rc<Connection>, stream: &Stream) {
        let session = session::Session::new(SessionKind::Resp, GUEST);
        session.set_peer(connection.descriptor, Some(connection.peer.to_string()));
        session.enter();
        if let Err(error) = session::run_on_connect() {
            tracing::debug!(client = %connection.peer, "refused: {error}");
            return;
        }
        lua::enter(|cx| {
            if let Err(error) = make_client(cx, connection) {
                tracing::warn!(client = %connection.peer, "{error}");
                return;
            }
            let client = cx.top();
            if notify(cx, &self.handlers, "connected", client) {
                let mut run_state = Run { handlers: &self.handlers, connection, stream };
                lua::push_function(cx, run);
                cx.push_pointer((&raw mut run_state).cast());
                cx.push_value(client);
                if let Err(error) = cx.call(2, 0) {
                    tracing::warn!(client = %connection.peer, "closed: {error}");
                }
            }
            notify(cx, &self.handlers, "disconnected", client);
        });
        session::run_on_disconnect();
    }
}

/// Pushes the client table.
fn make_client(cx: Context<'_>, connection: &Rc<Connection>) -> Result<()> {
    cx.reserve(64)?;
    cx.new_table(0, 16);
    userdata::push(cx, connection.clone());
    cx.raw_set_field(-2, "connection");
    cx.push_number(connection.id as f64);
    cx.raw_set_field(-2, "id");
    CLIENT_METATABLE.with_borrow(|metatable| match metatable {
        Some(metatable) => cx.push_reference(metatable),
        None => cx.push_nil(),
    });
    cx.set_metatable(-2);
    Ok(())
}

/// Calls one of the handlers that are told about connections. False: it failed.
fn notify(cx: Context<'_>, handlers: &Handlers, name: &str, client: i32) -> bool {
    let top = cx.top();
    if !push_handlers(cx, handlers) {
        return false;
    }
    let mut result = Ok(());
    if cx.raw_get_field(-1, name) == Kind::Function {
        cx.push_value(client);
        result = cx.call(1, 0);
    }
    cx.set_top(top);
    if let Err(error) = &result {
        tracing::error!("the handler `{name}` failed: {error}");
    }
    result.is_ok()
}

/// Pushes the table given to `set_handlers`, if there is one.
fn push_handlers(cx: Context<'_>, handlers: &Handlers) -> bool {
    let table = handlers.table.borrow();
    let Some(table) = &*table else { return false };
    cx.push_reference(table);
    true
}

/// `run(session, client)`: the protected part.
fn run(cx: Context<'_>) -> Result<usize> {
    cx.reserve(64)?;
    // SAFETY: `serve` passes its own session, which outlives this call.
    let run_state = unsafe { &*cx.userdata(1).cast::<Run<'_>>() };
    lua::push_function(cx, on_error);
    cx.set_top(slot::LAST);
    let lent = make_lent(cx)?;
    let mut handler = LuaHandler {
        cx,
        handlers: run_state.handlers,
        version: 0,
        names: [Name::EMPTY; NAME_COUNT],
        lent,
        batch: None,
        time_us: 0,
        key: Vec::new(),
        places: Vec::new(),
    };
    run_state.connection.run(run_state.stream, &mut handler);
    Ok(0)
}

/// Pushes one of the values that the Lua half gave to `set_lending` as it was loaded, before there was
/// a server.
fn push_lending(cx: Context<'_>, which: impl Fn(&(Reference, Reference)) -> &Reference) {
    LENDING.with_borrow(|lending| match lending {
        Some(lending) => cx.push_reference(which(lending)),
        None => cx.push_nil(),
    });
}

/// Puts values for lent arguments into their slots; where their bytes are noted.
fn make_lent(cx: Context<'_>) -> Result<[*mut Lent; LENT_COUNT_MAX]> {
    let mut places = [std::ptr::null_mut(); LENT_COUNT_MAX];
    for (place, slot) in places.iter_mut().zip(slot::LENT..) {
        push_lending(cx, |(_, new_lent)| new_lent);
        cx.call(0, 1)?;
        let value = cx.cdata(-1).ok_or_else(|| Error::illegal_params("no cdata was made"))?;
        *place = value.payload().cast_mut().cast();
        cx.replace(slot);
    }
    Ok(places)
}

/// Sees what a handler raised where it was raised: replies pass, everything else is logged.
fn on_error(cx: Context<'_>) -> Result<usize> {
    if !encode::is_reply(cx, 1)
        && let Some(suppressed) = FAILURES.with(|limit| limit.pass(Instant::now()))
    {
        if suppressed > 0 {
            tracing::warn!("{suppressed} messages about failed commands suppressed");
        }
        let text = cx.to_text(1).unwrap_or_default();
        tracing::error!("{}", cx.traceback(&text, 1));
    }
    cx.set_top(1);
    Ok(1)
}

/// What an error that is not a reply is answered: its class, by which clients know what to do, and
/// its text.
fn error_text(error: &Error) -> String {
    let class = match error.code() {
        // Clients look for Redis's words, and the message tells the operator nothing more.
        code if code == ER_MEMORY_ISSUE.number => {
            return "OOM command not allowed when used memory > 'maxmemory'.".into();
        }
        code if code == ER_READONLY.number => "READONLY",
        _ if error.kind() == Type::AccessDenied => "NOPERM",
        _ => "ERR",
    };
    format!("{class} {}", error.message())
}

/// `error_text(error)`: the text of the reply for what a handler raised.
pub(super) fn lua_resp_error_text(cx: Context<'_>) -> Result<usize> {
    let error = cx.to_error(1);
    cx.push_bytes(error_text(&error));
    Ok(1)
}

/// A remembered command.
#[derive(Clone, Copy)]
struct Name {
    /// As it was sent, in whatever case.
    bytes: [u8; NAME_SIZE_MAX],
    size: u8,
    /// The number of arguments it takes as Redis counts, 0 if any.
    arity: i32,
    /// How many arguments a variant takes lent; 0: the handler has none.
    lent_count: u8,
}

impl Name {
    const EMPTY: Name = Name { bytes: [0; NAME_SIZE_MAX], size: 0, arity: 0, lent_count: 0 };

    #[inline]
    fn is(&self, name: &[u8]) -> bool {
        usize::from(self.size) == name.len() && self.bytes[..name.len()] == *name
    }
}

struct LuaHandler<'a> {
    cx: Context<'a>,
    handlers: &'a Handlers,
    /// Of the handlers that stand in the slots.
    version: u64,
    names: [Name; NAME_COUNT],
    /// Inside the values in the slots from [`slot::LENT`] on.
    lent: [*mut Lent; LENT_COUNT_MAX],
    /// Open while a batch is executed.
    batch: Option<Batch>,
    /// The time when the last request ended.
    time_us: i64,
    /// A key that was asked for ahead.
    key: Vec<u8>,
    /// Where the keys of a window are, see [`Handler::expect`].
    places: Vec<u64>,
}

impl Handler for LuaHandler<'_> {
    #[inline]
    fn execute(&mut self, connection: &Connection, request: Request<'_>, out: &mut Vec<u8>) {
        if self.version != self.handlers.version.get() {
            self.load_handlers();
        }
        let top = self.cx.top();
        let start = out.len();
        let pushed = if connection.gated.get() {
            self.push_gated(connection, request)
        } else {
            self.push_call(connection, request)
        };
        match pushed {
            Ok(count) => self.call(count, connection, out),
            Err(text) => Writer::new(out, connection.version.get()).error(text.as_bytes()),
        }
        self.take_back();
        self.cx.set_top(top);
        if out.len() == start {
            // A reply that could not be written in full; `call` has cut it off.
            Writer::new(out, connection.version.get()).error(b"ERR the reply cannot be written");
        }
        if self.handlers.slow_threshold_us.get() >= 0 {
            self.check_slow(request);
        }
    }

    #[inline]
    fn expect<'r>(&mut self, connection: &Connection, requests: impl Iterator<Item = Request<'r>>) {
        let Some(space_id) = connection.key_space.get() else { return };
        let space = Database::find().and_then(|database| database.space(space_id));
        let primary = space.as_ref().and_then(|space| space.primary());
        let Some(index) = primary.and_then(|primary| primary.memtx()) else { return };
        self.places.clear();
        for request in requests.filter(|request| request.count() > 1) {
            self.key.clear();
            mp::write_str(&mut self.key, request.argument(1));
            self.places.extend(index.prefetch(&self.key));
        }
        self.places.iter().for_each(|&place| index.prefetch_tuples(place));
    }

    fn begin(&mut self) {
        // Without a database nothing is logged, so there is nothing to wait for.
        self.batch = Database::find().map(|_| batch::open());
        if self.handlers.slow_threshold_us.get() >= 0 {
            self.time_us = self.clock_us();
        }
    }

    #[inline]
    fn mark(&self) -> u64 {
        self.batch.as_ref().map_or(0, Batch::mark)
    }

    fn settle(&mut self, written: &mut [Written]) {
        let Some(batch) = self.batch.take() else { return };
        let outcome = batch.wait_durable();
        if !outcome.is_durable() {
            for reply in written {
                reply.error = outcome.error(reply.marks.clone());
            }
        }
    }
}

impl LuaHandler<'_> {
    /// Puts the handlers of the current version into their slots.
    #[cold]
    fn load_handlers(&mut self) {
        let cx = self.cx;
        self.version = self.handlers.version.get();
        self.names = [Name::EMPTY; NAME_COUNT];
        if !push_handlers(cx, self.handlers) {
            return;
        }
        for (name, slot) in [
            ("commands", slot::COMMANDS),
            ("lists", slot::LISTS),
            ("arities", slot::ARITIES),
            ("unknown", slot::UNKNOWN),
            ("slow", slot::SLOW),
        ] {
            cx.raw_get_field(-1, name);
            cx.replace(slot);
        }
        cx.pop(1);
    }

    /// The place of a command's name in capitals among the remembered ones.
    #[inline]
    fn name_index(&mut self, name: &[u8]) -> usize {
        let (first, last) = (name[0], name[name.len() - 1]);
        let index = (usize::from(first) * 3 + usize::from(last) * 5 + name.len()) % NAME_COUNT;
        if !self.names[index].is(name) {
            self.remember(index, name);
        }
        index
    }

    #[cold]
    fn remember(&mut self, index: usize, name: &[u8]) {
        let cx = self.cx;
        let mut known = Name { size: name.len() as u8, ..Name::EMPTY };
        known.bytes[..name.len()].copy_from_slice(name);
        cx.push_bytes(name.to_ascii_uppercase());
        if cx.kind(slot::ARITIES) == Kind::Table {
            cx.push_value(-1);
            cx.raw_get(slot::ARITIES);
            known.arity = cx.integer(-1).unwrap_or(0) as i32;
            cx.pop(1);
        }
        known.lent_count = self.remember_variant(index);
        cx.replace(slot::NAMES + index as i32);
        self.names[index] = known;
    }

    /// Puts the handler whose name is on top of the stack and its variant into their slots; how many
    /// arguments that takes, 0 if there is none.
    fn remember_variant(&self, index: usize) -> u8 {
        let cx = self.cx;
        let top = cx.top();
        cx.push_value(-1);
        cx.raw_get(slot::COMMANDS);
        push_lending(cx, |(variants, _)| variants);
        cx.push_value(-2);
        cx.raw_get(-2);
        let mut count = 0;
        if cx.kind(-1) == Kind::Table {
            cx.raw_get_index(-1, 2);
            count = cx.integer(-1).unwrap_or(0) as u8;
            cx.raw_get_index(-2, 1);
            cx.replace(slot::VARIANTS + index as i32);
            cx.set_top(top + 1);
            cx.replace(slot::LENDERS + index as i32);
        }
        cx.set_top(top);
        count
    }

    /// Pushes the handler of a request and its arguments; how many. `Err` is the reply.
    #[inline]
    fn push_call(&mut self, connection: &Connection, request: Request<'_>) -> Result<i32, String> {
        let cx = self.cx;
        let name = request.argument(0);
        connection.set_command(name);
        if name.is_empty() || name.len() > NAME_SIZE_MAX {
            return self.push_unusual(request);
        }
        let index = self.name_index(name);
        let arity = self.names[index].arity;
        let count = request.count();
        let required = arity.unsigned_abs() as usize;
        if arity != 0 && (count < required || (arity > 0 && count != required)) {
            return Err(wrong_arity(name));
        }
        if count > ARGUMENT_COUNT_MAX {
            return self.push_list(index, request);
        }
        cx.push_value(slot::NAMES + index as i32);
        cx.raw_get(slot::COMMANDS);
        if cx.kind(-1) != Kind::Function {
            cx.pop(1);
            return self.push_unusual(request);
        }
        let lent_count = usize::from(self.names[index].lent_count);
        // The handler may have been exchanged since it was remembered.
        if lent_count == count - 1 && cx.pointer(-1) == cx.pointer(slot::LENDERS + index as i32) {
            cx.push_value(slot::VARIANTS + index as i32);
            cx.push_value(slot::CLIENT);
            self.push_lent(request, lent_count);
            return Ok(count as i32);
        }
        cx.push_value(slot::CLIENT);
        self.push_arguments(request, 1)?;
        Ok(count as i32)
    }

    /// Pushes all arguments, so many, without a copy.
    #[inline]
    fn push_lent(&mut self, request: Request<'_>, count: usize) {
        for (index, &lent) in self.lent[..count].iter().enumerate() {
            let bytes = request.argument(index + 1);
            // SAFETY: the value lives in its slot, and nobody else has this address. The bytes live
            // until the request has been executed, and `take_back` comes before.
            unsafe { lent.write(Lent { data: bytes.as_ptr(), size: bytes.len() }) };
            self.cx.push_value(slot::LENT + index as i32);
        }
    }

    /// Empties what was lent, so that nothing points into the request any more.
    #[inline]
    fn take_back(&mut self) {
        for &lent in &self.lent {
            // SAFETY: as in `push_lent`.
            unsafe { lent.write(Lent { data: std::ptr::null(), size: 0 }) };
        }
    }

    /// Pushes the arguments from an index on.
    #[inline]
    fn push_arguments(&self, request: Request<'_>, from: usize) -> Result<(), String> {
        let count = request.count();
        if count > 16 && (count > ARGUMENT_COUNT_MAX || self.cx.reserve(count as i32 + 8).is_err())
        {
            return Err("ERR too many arguments".to_owned());
        }
        for index in from..count {
            self.cx.push_bytes(request.argument(index));
        }
        Ok(())
    }

    /// A request with more arguments than fit into a call: they are passed as a list.
    #[cold]
    fn push_list(&self, index: usize, request: Request<'_>) -> Result<i32, String> {
        let cx = self.cx;
        if cx.kind(slot::LISTS) == Kind::Table {
            cx.push_value(slot::NAMES + index as i32);
            cx.raw_get(slot::LISTS);
        } else {
            cx.push_nil();
        }
        if cx.kind(-1) != Kind::Function {
            return Err("ERR too many arguments".to_owned());
        }
        cx.push_value(slot::CLIENT);
        self.push_argument_list(request);
        Ok(2)
    }

    /// Pushes a list of the arguments.
    #[cold]
    fn push_argument_list(&self, request: Request<'_>) {
        let cx = self.cx;
        cx.new_table(request.count() - 1, 0);
        for index in 1..request.count() {
            cx.push_bytes(request.argument(index));
            cx.raw_set_index(-2, index as i32);
        }
    }

    /// A name that is in no table, or too long to be remembered.
    #[cold]
    fn push_unusual(&self, request: Request<'_>) -> Result<i32, String> {
        let cx = self.cx;
        let name = request.argument(0);
        cx.push_bytes(name.to_ascii_uppercase());
        cx.raw_get(slot::COMMANDS);
        if cx.kind(-1) == Kind::Function {
            cx.push_value(slot::CLIENT);
            self.push_arguments(request, 1)?;
            return Ok(request.count() as i32);
        }
        cx.pop(1);
        if cx.kind(slot::UNKNOWN) != Kind::Function {
            return Err("ERR unknown command".to_owned());
        }
        cx.push_value(slot::UNKNOWN);
        cx.push_value(slot::CLIENT);
        self.push_arguments(request, 0)?;
        Ok(request.count() as i32 + 1)
    }

    /// The client's gate stands before the handlers.
    #[cold]
    fn push_gated(&self, connection: &Connection, request: Request<'_>) -> Result<i32, String> {
        connection.set_command(request.argument(0));
        let cx = self.cx;
        if request.count() > ARGUMENT_COUNT_MAX {
            cx.raw_get_field(slot::CLIENT, "gate_list");
            if cx.kind(-1) != Kind::Function {
                return Err("ERR too many arguments".to_owned());
            }
            cx.push_value(slot::CLIENT);
            cx.push_bytes(request.argument(0));
            self.push_argument_list(request);
            return Ok(3);
        }
        cx.raw_get_field(slot::CLIENT, "gate");
        cx.push_value(slot::CLIENT);
        self.push_arguments(request, 0)?;
        Ok(request.count() as i32 + 1)
    }

    /// Calls what was pushed and writes the reply.
    #[inline]
    fn call(&mut self, argument_count: i32, connection: &Connection, out: &mut Vec<u8>) {
        let state = self.cx.state();
        // SAFETY: the function and its arguments were pushed; the message handler is in its slot.
        let status = unsafe { ffi::lua_pcall(state, argument_count, 3, slot::ON_ERROR) };
        // Only now: HELLO is answered in the version that it chose.
        let mut writer = Writer::new(out, connection.version.get());
        let is_reply = status == ffi::LUA_OK || encode::is_reply(self.cx, -1);
        if !is_reply {
            let error = self.cx.to_error(-1);
            return writer.error(error_text(&error).as_bytes());
        }
        let start = writer.position();
        if status == ffi::LUA_OK && encode::field(self.cx, &mut writer) {
            return;
        }
        if let Err(text) = encode::encode(self.cx, &mut writer) {
            writer.truncate(start);
            writer.error(format!("ERR {text}").as_bytes());
        }
    }

    fn clock_us(&self) -> i64 {
        let exact = self.handlers.slow_threshold_us.get() < EXACT_THRESHOLD_US;
        let clock = if exact { Clock::Monotonic } else { Clock::MonotonicCoarse };
        clock::read(clock).as_micros() as i64
    }

    /// Reports the request if it took long. One reading of the clock serves as the end of one
    /// request and the start of the next.
    #[inline]
    fn check_slow(&mut self, request: Request<'_>) {
        let now_us = self.clock_us();
        let taken_us = now_us - self.time_us;
        self.time_us = now_us;
        if taken_us >= self.handlers.slow_threshold_us.get() {
            self.report_slow(request, taken_us);
        }
    }

    #[cold]
    fn report_slow(&mut self, request: Request<'_>, taken_us: i64) {
        let cx = self.cx;
        if cx.kind(slot::SLOW) != Kind::Function {
            return;
        }
        let top = cx.top();
        cx.push_value(slot::SLOW);
        cx.push_value(slot::CLIENT);
        cx.push_number(taken_us as f64);
        let count = request.count().min(64);
        if cx.reserve(72).is_ok() {
            for index in 0..count {
                cx.push_bytes(request.argument(index));
            }
            if let Err(error) = cx.call(count as i32 + 2, 0) {
                tracing::error!("the handler `slow` failed: {error}");
            }
        }
        cx.set_top(top);
    }
}

#[cold]
fn wrong_arity(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    format!("ERR wrong number of arguments for '{name}' command")
}
