//! Native half of `net.box`: the socket of a client, its packets out and in.
//!
//! A transport is a connected socket. Lua numbers the requests, has them written (`encode`) and
//! reads packets one by one: `receive` waits for the next and says what it is; what is in it is
//! then asked for (`decode`). States, futures and the schema are the Lua half's.
//!
//! # Invariants
//! - One fiber receives. Requests are written by whoever has one and finds nobody writing.
//! - A packet was checked to be well-formed before anything of it is looked at.
//!
//! # Yields
//! `connect` and `receive`; the fibers that write

mod decode;
mod encode;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::fd::FromRawFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::iproto::check_descriptor;
use super::tls;
use crate::base::error::{Builder, Error, Result, Type};
use crate::base::error_code::ER_NO_CONNECTION;
use crate::db::authentication::{Method, SALT_SIZE};
use crate::fiber::{self, Fiber};
use crate::lua::{Context, Kind, Module, userdata};
use crate::net::Stream;
use crate::net::address::{self, Address};
use crate::net::iproto::frame::{self, Frame};
use crate::net::iproto::greeting::{self, Greeting};
use crate::net::tls::failure_of;
use crate::xrow::{Header, Row};

/// Read at once.
const READ_SIZE: usize = 16 * 1024;
/// A large packet's memory is taken in steps that double.
const READ_STEP_MAX: usize = 1024 * 1024;

/// A connected socket.
struct Transport {
    /// Until it is closed: the descriptor must not wait for the collector.
    stream: RefCell<Option<Rc<Stream>>>,
    salt: [u8; SALT_SIZE],
    out: RefCell<Vec<u8>>,
    is_writing: Cell<bool>,
    is_closed: Cell<bool>,
    fibers: RefCell<Vec<Fiber>>,
    input: RefCell<Vec<u8>>,
    /// The packet received last.
    packet: RefCell<Vec<u8>>,
}

type LuaTransport = Rc<Transport>;

/// Pushes the table of native functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    cx.new_table(0, 1);
    userdata::set_metatable::<LuaTransport>(cx);
    let module = Module::new(cx)
        .function("connect", lua_net_box_connect)
        .function("adopt", lua_net_box_adopt)
        .function("timed_out", lua_net_box_timed_out)
        .function("check_auth_type", lua_net_box_check_auth_type)
        .function("close", lua_net_box_close)
        .function("receive", lua_net_box_receive)
        .function("fail", lua_net_box_fail);
    let _ = decode::add(encode::add(module));
    Ok(())
}

fn transport<'a>(cx: Context<'a>) -> Result<&'a LuaTransport> {
    userdata::check(cx, 1, || Error::illegal_params("net.box: a transport is expected"))
}

/// `ER_NO_CONNECTION` for this reason.
fn no_connection(reason: impl Into<String>) -> Error {
    Builder::new(Type::Client, reason.into()).code(ER_NO_CONNECTION.number).build()
}

/// `fail(reason)`: the error object of a connection that is none.
fn lua_net_box_fail(cx: Context<'_>) -> Result<usize> {
    cx.push_error(no_connection(cx.check_text(1)?));
    Ok(1)
}

/// `timed_out()`: the error of a request that took too long.
fn lua_net_box_timed_out(cx: Context<'_>) -> Result<usize> {
    cx.push_error(Error::new(Type::TimedOut, "timed out"));
    Ok(1)
}

/// `connect(path or host, port or nil, seconds, TLS parameters)`: a transport and what its greeting says:
/// protocol, instance UUID, version.
fn lua_net_box_connect(cx: Context<'_>) -> Result<usize> {
    let host = cx.check_text(1)?.to_owned();
    let port = cx.integer(2).and_then(|port| u16::try_from(port).ok());
    let timeout = Duration::try_from_secs_f64(cx.opt_number(3, 10.0)?).unwrap_or(Duration::MAX);
    let address = match port {
        None => Address::Unix(PathBuf::from(&host)),
        Some(port) => Address::Tcp(resolve(host, port)?),
    };
    let tls = tls::client(tls::settings(cx, 4)?)?;
    let connect = async {
        let connected = tokio::time::timeout(timeout, Stream::connect(&address, tls)).await;
        connected.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
    };
    let stream = fiber::wait_or_cancel(connect)?
        .map_err(|error| lost(&format!("connect to {address}"), &error))?;
    greet(cx, stream, timeout)
}

/// What a failure of the socket, or of its encryption, means for the connection.
fn lost(what: &str, error: &std::io::Error) -> Error {
    if let Some(error) = failure_of(error) {
        return error;
    }
    let cause = Error::system(what, error);
    no_connection(cause.message().to_owned()).caused_by(cause)
}

fn resolve(host: String, port: u16) -> Result<SocketAddr> {
    address::resolve(host, port).map_err(|error| lost("getaddrinfo", &error))
}

/// `check_auth_type(name)`: refuses a method that is not known.
fn lua_net_box_check_auth_type(cx: Context<'_>) -> Result<usize> {
    Method::by_name(cx.check_bytes(1)?)?;
    Ok(0)
}

/// `adopt(descriptor, seconds)`: a transport over a socket that is connected already.
fn lua_net_box_adopt(cx: Context<'_>) -> Result<usize> {
    let descriptor = i32::try_from(cx.check_integer(1)?)
        .map_err(|_| Error::illegal_params("fd should be a descriptor"))?;
    let timeout = Duration::try_from_secs_f64(cx.opt_number(2, 10.0)?).unwrap_or(Duration::MAX);
    check_descriptor(descriptor).map_err(|error| no_connection(error.message().to_owned()))?;
    // SAFETY: the caller gives the descriptor away, as `net.box.from_fd` says.
    let socket = unsafe { std::os::fd::OwnedFd::from_raw_fd(descriptor) };
    let stream = Stream::adopt(socket).map_err(|error| Error::system("fd", &error))?;
    greet(cx, stream, timeout)
}

/// Reads the greeting and pushes the results of `connect`.
fn greet(cx: Context<'_>, stream: Stream, timeout: Duration) -> Result<usize> {
    let read = async {
        let mut bytes = Vec::with_capacity(greeting::SIZE);
        while bytes.len() < greeting::SIZE {
            let size =
                std::future::poll_fn(|context| stream.poll_read(context, &mut bytes)).await?;
            if size == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
            }
        }
        Ok(bytes)
    };
    let bytes = fiber::wait_or_cancel(tokio::time::timeout(timeout, read))?;
    let mut bytes = match bytes {
        Err(_) => return Err(no_connection("timed out")),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(no_connection("Peer closed"));
        }
        Ok(Err(error)) => return Err(lost("recv", &error)),
        Ok(Ok(bytes)) => bytes,
    };
    let rest = bytes.split_off(greeting::SIZE);
    let known = bytes.as_slice().try_into().ok().and_then(greeting::decode);
    let Some(Greeting { version, protocol, uuid, salt }) = known else {
        return Err(no_connection("Can't decode handshake"));
    };
    let salt = STANDARD.decode(&salt).unwrap_or_default();
    let salt = salt.get(..SALT_SIZE).and_then(|salt| salt.try_into().ok()).unwrap_or_default();
    userdata::push::<LuaTransport>(
        cx,
        Rc::new(Transport {
            stream: RefCell::new(Some(Rc::new(stream))),
            salt,
            out: RefCell::default(),
            is_writing: Cell::new(false),
            is_closed: Cell::new(false),
            fibers: RefCell::default(),
            input: RefCell::new(rest),
            packet: RefCell::default(),
        }),
    );
    cx.push_bytes(protocol);
    cx.push_bytes(uuid);
    cx.push_bytes(version);
    Ok(4)
}

/// `close(transport)`
fn lua_net_box_close(cx: Context<'_>) -> Result<usize> {
    transport(cx)?.close();
    Ok(0)
}

/// `receive(transport)`: type, number and schema version of the next packet. Yields.
fn lua_net_box_receive(cx: Context<'_>) -> Result<usize> {
    let transport = transport(cx)?.clone();
    let header = transport.receive()?;
    cx.push_integer(i64::from(header.kind));
    cx.push_uint64(header.sync);
    cx.push_uint64(header.schema_version);
    Ok(3)
}

impl Transport {
    /// Whether what it sends can be read by others.
    fn is_plain(&self) -> bool {
        self.stream.borrow().as_ref().is_some_and(|stream| stream.is_plain())
    }

    fn close(&self) {
        if self.is_closed.replace(true) {
            return;
        }
        if let Some(stream) = self.stream.take() {
            stream.shutdown();
        }
        self.fibers.borrow().iter().for_each(Fiber::wakeup);
    }

    /// Waits for the next packet and keeps it.
    fn receive(&self) -> Result<Header> {
        loop {
            let missing = {
                let mut input = self.input.borrow_mut();
                match frame::find(&input)? {
                    Frame::Packet(packet) => {
                        let end = packet.end;
                        let mut kept = self.packet.borrow_mut();
                        kept.clear();
                        kept.extend_from_slice(&input[packet]);
                        input.drain(..end);
                        return Ok(Row::decode_exact(&kept)?.header);
                    }
                    Frame::Missing(size) => size,
                }
            };
            self.read(missing)?;
        }
    }

    fn read(&self, missing: usize) -> Result<()> {
        let mut input = self.input.take();
        input.reserve(missing.clamp(READ_SIZE, READ_STEP_MAX.max(input.len())));
        let result = self.wait(|stream, context| stream.poll_read(context, &mut input));
        self.input.replace(input);
        match result? {
            Ok(0) => Err(no_connection("Peer closed")),
            Ok(_) => Ok(()),
            Err(error) => Err(lost("recv", &error)),
        }
    }

    /// Waits for the socket, or until the transport is closed.
    fn wait<T>(
        &self,
        mut poll: impl FnMut(&Stream, &mut std::task::Context<'_>) -> Poll<T>,
    ) -> Result<T> {
        self.fibers.borrow_mut().push(fiber::current());
        let result = fiber::wait_or_cancel(std::future::poll_fn(|context| {
            let stream = self.stream.borrow().clone();
            stream.map_or(Poll::Ready(None), |stream| poll(&stream, context).map(Some))
        }));
        self.fibers.borrow_mut().retain(|other| !other.same(&fiber::current()));
        result?.ok_or_else(|| no_connection("Connection closed"))
    }

    /// Has bytes written.
    fn send(self: &Rc<Self>, bytes: &[u8]) {
        self.out.borrow_mut().extend_from_slice(bytes);
        if !self.is_writing.replace(true) {
            let transport = self.clone();
            // On the next turn: requests that are made until then leave together.
            fiber::spawn("net.box.write", move || transport.write()).set_system();
        }
    }

    fn write(&self) {
        loop {
            let bytes = self.out.take();
            if bytes.is_empty() {
                break;
            }
            let mut done = 0;
            while done < bytes.len() {
                let written =
                    self.wait(|stream, context| stream.poll_write(context, &bytes[done..]));
                match written {
                    Ok(Ok(size)) => done += size,
                    // The fiber that receives finds out, too, and says it.
                    _ => return self.close(),
                }
            }
        }
        self.is_writing.set(false);
    }
}

/// The table at `index`, or nothing for nil.
fn is_given(cx: Context<'_>, index: i32) -> bool {
    !matches!(cx.kind(index), Kind::None | Kind::Nil)
}
