//! Runs packets: finds out what each asks for, keeps the order of streams, and holds replies back
//! until the log has what they acknowledge.
//!
//! What arrived together is one batch (decision D10): changes are submitted to the log without
//! waiting, and the replies of the whole go out after one wait. A request that may wait for
//! something of its own parks the replies before it (`net::iproto::Work`). Requests for data are
//! read ahead, and those that look rows up by their keys are executed together.
//!
//! # Invariants
//! - A stream runs on one fiber at a time; a packet that finds it busy is queued.
//! - The transaction of a stream is attached to the fiber only while the stream's own requests
//!   run one after the other; before anything else it is detached, which is a yield to it.
//!
//! # Yields
//! `run`

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

use smallvec::SmallVec;

use super::client::{Client, Stream, schema_version};
use super::{call, packet, request};
use crate::base::error::{Error, Result};
use crate::builtin::r#box::session;
use crate::client_error;
use crate::db::batch::{self, Batch, Submitted};
use crate::db::{Database, security};
use crate::fiber;
use crate::lua::{self, LuaFiber, Reference};
use crate::memtx::Key;
use crate::net::iproto::reply::{self, Meta};
use crate::net::iproto::{Connection, Parked, Work};
use crate::xrow::iproto::kind;
use crate::xrow::{Header, Request, Row};

/// Replies of an unfinished batch are written when they are this long.
const FLUSH_SIZE: usize = 256 * 1024;

/// Most packets that are read ahead: more would push each other out of the cache.
const WINDOW_SIZE: usize = 16;

/// What the header of a reply says.
fn meta(sync: u64) -> Meta {
    Meta { sync, schema_version: schema_version() }
}

/// A reply that acknowledges changes.
struct Written {
    reply: Range<usize>,
    sync: u64,
    marks: Range<u64>,
}

/// Replies that wait for the log.
#[derive(Default)]
struct Replies {
    bytes: Vec<u8>,
    written: Vec<Written>,
}

impl Replies {
    /// Waits for the log, replaces the replies whose changes it lost by errors, and hands the
    /// rest to the connection.
    fn settle(mut self, submitted: Submitted, connection: &Connection) {
        let outcome = submitted.wait_durable();
        if !outcome.is_durable() {
            self.correct(|marks| outcome.error(marks));
        }
        connection.push_all(self.bytes);
    }

    fn correct(&mut self, error_of: impl Fn(Range<u64>) -> Option<Error>) {
        let mut corrected = Vec::with_capacity(self.bytes.len());
        let mut copied = 0;
        for written in &self.written {
            let Some(error) = error_of(written.marks.clone()) else { continue };
            corrected.extend_from_slice(&self.bytes[copied..written.reply.start]);
            copied = written.reply.end;
            reply::error(&mut corrected, meta(written.sync), &error);
        }
        corrected.extend_from_slice(&self.bytes[copied..]);
        self.bytes = corrected;
    }
}

/// Runs packets until there are no more for this round, and has their replies written.
pub(super) fn run(client: &Client, connection: &Rc<Connection>, work: &Rc<Work>, round: u64) {
    let current = client.session.enter();
    let mut runner = Runner {
        client,
        connection,
        work,
        round,
        shelf: Rc::new(Shelf {
            batch: batch::open(),
            replies: RefCell::default(),
            is_sent: Cell::new(false),
        }),
        replies: Replies { bytes: connection.buffer(), written: Vec::new() },
        send: None,
        attached: None,
        current,
        window: Vec::new(),
        next: 0,
    };
    // A request that cancelled its fiber must not take the next ones along.
    while !fiber::current().is_cancelled()
        && let Some(packet) = work.take(round)
    {
        runner.run_packet(packet);
        if runner.replies.bytes.len() >= FLUSH_SIZE {
            runner.settle();
            connection.flush();
            // Another fiber, or a thread, may be at it and be slower than we are.
            connection.wait_drained();
        }
    }
    runner.detach();
    work.end_round(round);
    let switches = fiber::switch_count();
    runner.settle();
    if fiber::switch_count() == switches {
        // All that are ready execute first and write then: a client that wakes up to a reply is
        // not put to sleep and woken again for each of its connections.
        fiber::yield_to_ready();
    }
    connection.flush();
    drop(runner);
    // The fiber may work for somebody else next.
    forget_storage();
    lua::set_last_error(None);
    session::leave();
}

/// Where a runner puts its replies while it waits for something, for others to send.
struct Shelf {
    batch: Batch,
    replies: RefCell<Replies>,
    /// Whether they were sent.
    is_sent: Cell<bool>,
}

impl Shelf {
    fn send(&self, connection: &Rc<Connection>) {
        let (replies, submitted) = (self.replies.take(), self.batch.take_submitted());
        self.is_sent.set(true);
        if submitted.is_empty() {
            connection.push_all(replies.bytes);
            return connection.flush();
        }
        let connection = connection.clone();
        fiber::spawn("iproto.settle", move || {
            replies.settle(submitted, &connection);
            connection.flush();
        });
    }
}

/// A fiber that runs packets.
struct Runner<'a> {
    client: &'a Client,
    connection: &'a Rc<Connection>,
    work: &'a Rc<Work>,
    round: u64,
    shelf: Rc<Shelf>,
    replies: Replies,
    /// Sends what is on the shelf; made on first use.
    send: Option<Parked>,
    /// The stream whose requests were run last.
    attached: Option<(u64, Rc<Stream>)>,
    /// What the fiber works on.
    current: Rc<session::Current>,
    /// The packets that come next, up to one that is no request for data out of a stream. They
    /// are read ahead, so that the cache can fetch what they need together.
    window: Vec<(Header, Request<'a>)>,
    /// The place in it of the packet to be taken next.
    next: usize,
}

impl<'a> Runner<'a> {
    fn settle(&mut self) {
        self.detach();
        let replies = std::mem::take(&mut self.replies);
        let submitted = self.shelf.batch.take_submitted();
        replies.settle(submitted, self.connection);
    }

    /// The place in the window of the request in a packet that was just taken, if it is one for data
    /// out of a stream.
    #[inline]
    fn read(&mut self, packet: &'a [u8]) -> Option<usize> {
        if self.next == self.window.len() {
            self.window.clear();
            self.next = 0;
            let packets = std::iter::once(packet).chain(self.work.upcoming());
            // At once: what grows by and by is copied each time.
            self.window.reserve(WINDOW_SIZE);
            for packet in packets.take(WINDOW_SIZE) {
                let Some(read) = Request::decode_packet(packet) else { break };
                self.window.push(read);
            }
            if self.window.len() > 1
                && let Some(database) = Database::find()
            {
                database.expect(self.window.iter().map(|(_, request)| request));
            }
        }
        let place = self.next;
        let is_read = place < self.window.len();
        self.next += usize::from(is_read);
        is_read.then_some(place)
    }

    /// Runs one packet, unless its stream is busy.
    fn run_packet(&mut self, packet: &'a [u8]) {
        self.connection.count_request();
        if let Some(place) = self.read(packet)
            && let (header, _) = &self.window[place]
            && !packet::is_overridden(header.kind)
            && !is_outdated(header)
        {
            self.detach();
            return self.run_data(place);
        }
        let row = match Row::decode_packet(packet) {
            Ok(row) => row,
            Err((sync, error)) => return self.fail(sync, &error),
        };
        if let Err(error) = check_stream(&row) {
            return self.fail(row.header.sync, &error);
        }
        let id = row.header.stream_id;
        if self.attached.as_ref().is_some_and(|(attached, _)| *attached != id) {
            self.detach();
        }
        let header = &packet[..packet.len() - row.body.len()];
        if id == 0 {
            return self.execute(&row, header);
        }
        match self.client.stream(id) {
            Ok(stream) if stream.is_busy.get() && self.attached.is_none() => {
                stream.queue.borrow_mut().push_back(packet.to_vec());
                self.connection.count_queued(true);
            }
            Ok(stream) => self.stream_packet(id, &stream, &row, header),
            Err(error) => self.fail(row.header.sync, &error),
        }
    }

    /// Runs a packet of a stream and those that came for it meanwhile.
    fn stream_packet(&mut self, id: u64, stream: &Rc<Stream>, row: &Row<'_>, header: &[u8]) {
        if self.attached.is_none() {
            stream.is_busy.set(true);
            if let (Some(transaction), Some(database)) =
                (stream.transaction.take(), Database::find())
            {
                database.attach_transaction(transaction);
            }
            self.attached = Some((id, stream.clone()));
        }
        self.execute(row, header);
        loop {
            let next = stream.queue.borrow_mut().pop_front();
            let Some(packet) = next else { break };
            self.connection.count_queued(false);
            // It was decoded once before it was queued.
            if let Ok(row) = Row::decode_packet(&packet) {
                self.execute(&row, &packet[..packet.len() - row.body.len()]);
            }
        }
    }

    /// Lets go of the stream whose requests were run.
    fn detach(&mut self) {
        let Some((id, stream)) = self.attached.take() else { return };
        let transaction = Database::find().and_then(Database::detach_transaction);
        stream.transaction.replace(transaction);
        stream.is_busy.set(false);
        self.client.release_stream(id, &stream);
    }

    fn fail(&mut self, sync: u64, error: &Error) {
        tracing::debug!(client = %self.connection.peer, "{error}");
        reply::error(&mut self.replies.bytes, meta(sync), error);
    }

    /// Executes the request for data at this place of the window.
    fn run_data(&mut self, place: usize) {
        let Header { kind, sync, .. } = self.window[place].0;
        let result = match self.check_session(kind) {
            Ok(()) if self.run_points(place) => return,
            Ok(()) => {
                self.current.set_sync(sync);
                let (client, request) = (self.client, self.window[place].1);
                self.answer(sync, |meta, out| request::data(client, request, meta, out))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            self.fail(sync, &error);
        }
    }

    /// Executes the request at this place of the window, which was taken last, and those like it that
    /// follow at once, if they are but look-ups.
    fn run_points(&mut self, first: usize) -> bool {
        let request = &self.window[first].1;
        let Some(database) = Database::find().filter(|_| request::is_point(request)) else {
            return false;
        };
        let Some(points) = database.points(request.space_id) else { return false };
        let mut keys: SmallVec<[Key<'_>; WINDOW_SIZE]> = SmallVec::new();
        let similar = self.window[first..].iter().take_while(|(header, other)| {
            other.space_id == request.space_id && request::is_point(other) && !is_outdated(header)
        });
        keys.extend(similar.map_while(|(_, other)| points.key(other.key?)));
        if keys.is_empty() {
            return false;
        }
        for _ in 1..keys.len() {
            self.work.take(self.round);
            self.connection.count_request();
        }
        self.next = first + keys.len();
        let syncs = self.window[first..].iter().map(|(header, _)| header.sync);
        let mut metas = syncs.map(meta);
        let out = &mut self.replies.bytes;
        points.look_up(database, &keys, |tuple| {
            if let Some(meta) = metas.next() {
                request::point_reply(self.client, tuple, meta, out);
            }
        });
        true
    }

    /// Lets `run` write the reply to a request, and notes what it has changed.
    fn answer(
        &mut self,
        sync: u64,
        run: impl FnOnce(Meta, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let mark = self.shelf.batch.mark();
        let start = self.replies.bytes.len();
        let result = run(meta(sync), &mut self.replies.bytes);
        if result.is_err() {
            self.replies.bytes.truncate(start);
        }
        self.note(start, sync, mark);
        result
    }

    /// Executes a request and writes its reply.
    fn execute(&mut self, row: &Row<'_>, header: &[u8]) {
        let sync = row.header.sync;
        self.current.set_sync(sync);
        if let Err(error) = self.check_session(row.header.kind) {
            return self.fail(sync, &error);
        }
        if packet::is_overridden(row.header.kind) && self.run_override(row, header) {
            return;
        }
        let result = match row.header.request_type() {
            _ if is_outdated(&row.header) => Err(client_error!(
                ER_WRONG_SCHEMA_VERSION,
                row.header.schema_version,
                schema_version()
            )),
            Some(kind::CALL | kind::CALL_16 | kind::EVAL) => return self.call(row),
            Some(_) => {
                let client = self.client;
                self.answer(sync, |meta, out| request::execute(client, row, meta, out))
            }
            None => Err(client_error!(ER_UNKNOWN_REQUEST_TYPE, row.header.kind)),
        };
        if let Err(error) = result {
            self.fail(sync, &error);
        }
    }

    /// Whether a client who did not log in may ask for this.
    fn check_session(&self, request: u32) -> Result<()> {
        match u16::try_from(request).unwrap_or(u16::MAX) {
            kind::AUTH | kind::PING | kind::ID | kind::VOTE | kind::VOTE_DEPRECATED => Ok(()),
            _ => security::check_session(self.client.session.user()),
        }
    }

    /// Notes that the reply from `start` on acknowledges the changes since `mark`.
    fn note(&mut self, start: usize, sync: u64, mark: u64) {
        let marks = mark..self.shelf.batch.mark();
        if marks.end > marks.start {
            let reply = start..self.replies.bytes.len();
            self.replies.written.push(Written { reply, sync, marks });
        }
    }

    /// Runs a request that calls Lua, which may take long: the replies before it do not wait.
    fn call(&mut self, row: &Row<'_>) {
        let sync = row.header.sync;
        let mut mark = self.park();
        let mut lost = false;
        lua::enter(|cx| {
            let top = cx.top();
            let called = call::run(cx, row);
            forget_storage();
            mark = self.unpark(mark);
            let start = self.replies.bytes.len();
            let result = called.and_then(|()| self.end_transaction(row)).and_then(|()| {
                call::encode(cx, top, row, self.client, meta(sync), &mut self.replies.bytes)
            });
            if let Err(error) = result {
                self.replies.bytes.truncate(start);
                lost = self.shelf.batch.mark() > mark;
                self.fail(sync, &error);
            }
            if !lost {
                self.note(start, sync, mark);
            }
        });
    }

    /// Asks a Lua handler to answer. False: the server shall.
    #[cold]
    fn run_override(&mut self, row: &Row<'_>, header: &[u8]) -> bool {
        let mark = self.park();
        let result = lua::enter(|cx| packet::run_override(cx, row.header.kind, header, row.body));
        self.unpark(mark);
        match result.and_then(|is_answered| self.end_transaction(row).map(|()| is_answered)) {
            Ok(is_answered) => is_answered,
            Err(error) => {
                self.fail(row.header.sync, &error);
                true
            }
        }
    }

    /// Parks the replies so far: if this fiber has to wait, the reader of the connection sends
    /// them. Returns how many transactions were submitted before.
    fn park(&mut self) -> u64 {
        let mark = self.shelf.batch.mark();
        self.shelf.replies.replace(std::mem::take(&mut self.replies));
        self.shelf.is_sent.set(false);
        let send = self.send.get_or_insert_with(|| {
            let (shelf, connection) = (self.shelf.clone(), self.connection.clone());
            Rc::new(move || shelf.send(&connection))
        });
        if !self.work.begin_wait(self.round, send) {
            // Nobody else would send them while the call waits.
            send();
        }
        mark
    }

    /// Takes the replies back, unless they were sent; how many transactions of the batch are left
    /// of those submitted before.
    fn unpark(&mut self, mark: u64) -> u64 {
        self.work.end_wait(self.round);
        self.replies = self.shelf.replies.take();
        if self.shelf.is_sent.get() { 0 } else { mark }
    }

    /// A call out of a stream must not leave a transaction behind.
    fn end_transaction(&self, row: &Row<'_>) -> Result<()> {
        let Some(database) = Database::find().filter(|_| row.header.stream_id == 0) else {
            return Ok(());
        };
        if !database.is_in_transaction() {
            return Ok(());
        }
        database.rollback()?;
        Err(client_error!(ER_FUNCTION_TX_ACTIVE))
    }
}

/// The next request finds `fiber.storage` empty, as if its fiber were new.
fn forget_storage() {
    let lua_fiber = fiber::current().find_local::<LuaFiber>();
    if let Some(storage) = lua_fiber.and_then(|lua_fiber| lua_fiber.storage.take()) {
        lua::with_main(|cx| cx.release(Reference::from_raw(storage)));
    }
}

/// Whether the client knows another schema than the one there is.
fn is_outdated(header: &Header) -> bool {
    let known = header.schema_version;
    known != 0 && known != schema_version()
}

/// Refuses what belongs into a stream out of one, and the other way round.
fn check_stream(row: &Row<'_>) -> Result<()> {
    let Some(request_type) = row.header.request_type() else { return Ok(()) };
    let name = || kind::name(u64::from(request_type)).unwrap_or("unknown");
    let is_only_for_streams = matches!(request_type, kind::BEGIN | kind::COMMIT | kind::ROLLBACK);
    let is_not_for_streams =
        request_type == kind::AUTH || (request_type > kind::ROLLBACK && request_type != kind::PING);
    match row.header.stream_id {
        0 if is_only_for_streams => Err(client_error!(ER_UNABLE_TO_PROCESS_OUT_OF_STREAM, name())),
        0 => Ok(()),
        _ if is_not_for_streams => Err(client_error!(ER_UNABLE_TO_PROCESS_IN_STREAM, name())),
        _ => Ok(()),
    }
}
