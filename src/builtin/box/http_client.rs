//! The native half of `http.client`: connections, TLS, heads of responses, compression.
//!
//! The protocol itself is the Lua half's. What goes wrong on a connection is returned as nil, a
//! kind ("resolve", "connect", "certificate", "timeout", "io") and a text.
//!
//! # Yields
//! `connect`, `tls_config`, `start_tls`, `read`, `write`

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::base::error::{Error, Result, strerror};
use crate::fiber;
use crate::lua::{Context, Kind, Module, userdata};
use crate::net::tls::{Web, failure_of};
use crate::net::{Address, Stream};

/// How much is read at once.
const READ_SIZE: usize = 16 * 1024;
/// Most headers of a response.
const HEADER_COUNT_MAX: usize = 256;
/// Largest body that is unpacked.
const BODY_SIZE_MAX: usize = 1 << 30;

struct Connection(RefCell<Option<Rc<Stream>>>);

struct Config(Arc<ClientConfig>);

/// Pushes the functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    cx.new_table(0, 1);
    userdata::set_metatable::<Connection>(cx);
    cx.new_table(0, 1);
    userdata::set_metatable::<Config>(cx);
    Module::new(cx)
        .function("connect", lua_http_connect)
        .function("tls_config", lua_http_tls_config)
        .function("start_tls", lua_http_start_tls)
        .function("read", lua_http_read)
        .function("write", lua_http_write)
        .function("close", lua_http_close)
        .function("parse_head", lua_http_parse_head)
        .function("inflate", lua_http_inflate);
    Ok(())
}

/// Why something did not succeed.
struct Problem {
    kind: &'static str,
    text: String,
}

impl Problem {
    fn new(kind: &'static str, error: &io::Error) -> Problem {
        let text = failure_of(error).map_or_else(|| strerror(error), |it| it.message().to_owned());
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let is_certificate = matches!(tls, Some(rustls::Error::InvalidCertificate(_)));
        Problem { kind: if is_certificate { "certificate" } else { kind }, text }
    }

    fn push(self, cx: Context<'_>) -> Result<usize> {
        cx.push_nil();
        cx.push_bytes(self.kind);
        cx.push_bytes(self.text);
        Ok(3)
    }
}

/// Waits at most for the seconds at `index`. A cancelled fiber runs out of time. Yields.
fn wait<T>(
    cx: Context<'_>,
    index: i32,
    kind: &'static str,
    future: impl Future<Output = io::Result<T>>,
) -> Result<std::result::Result<T, Problem>> {
    let seconds = cx.opt_number(index, f64::INFINITY)?;
    let timed_out = || Problem { kind: "timeout", text: "timed out".to_owned() };
    let waited = match Duration::try_from_secs_f64(seconds.max(0.0)) {
        Err(_) => fiber::wait_or_cancel(future).map(Some),
        Ok(timeout) => fiber::wait_or_cancel(tokio::time::timeout(timeout, future)).map(Result::ok),
    };
    Ok(match waited {
        Ok(Some(Ok(value))) => Ok(value),
        Ok(Some(Err(error))) => Err(Problem::new(kind, &error)),
        Ok(None) | Err(_) => Err(timed_out()),
    })
}

/// `connect(host, port, timeout)`, or `connect(path, nil, timeout)` of a Unix socket.
fn lua_http_connect(cx: Context<'_>) -> Result<usize> {
    let host = cx.check_text(1)?.to_owned();
    let addresses = if cx.kind(2) == Kind::Nil {
        vec![Address::Unix(PathBuf::from(host))]
    } else {
        let port = u16::try_from(cx.check_integer(2)?)
            .map_err(|_| Error::illegal_params("a port must be below 65536"))?;
        let found: io::Result<Vec<SocketAddr>> =
            fiber::blocking(move || Ok((host.as_str(), port).to_socket_addrs()?.collect()));
        match found {
            Ok(found) => found.into_iter().map(Address::Tcp).collect(),
            Err(error) => return Problem::new("resolve", &error).push(cx),
        }
    };
    let mut last = Problem { kind: "resolve", text: "the host has no address".to_owned() };
    for address in addresses {
        match wait(cx, 3, "connect", Stream::connect(&address, None))? {
            Ok(stream) => {
                userdata::push(cx, Connection(RefCell::new(Some(Rc::new(stream)))));
                return Ok(1);
            }
            Err(problem) => last = problem,
        }
    }
    last.push(cx)
}

/// `tls_config({authorities = {path, …}, verify_peer = , verify_host = , key = , certificate = })`
fn lua_http_tls_config(cx: Context<'_>) -> Result<usize> {
    cx.check_kind(1, Kind::Table)?;
    let text = |name| {
        cx.raw_get_field(1, name);
        let text = cx.text(-1).map(str::to_owned);
        cx.pop(1);
        text
    };
    cx.raw_get_field(1, "authorities");
    let authorities = (1..)
        .take(cx.raw_len(-1))
        .filter_map(|number| {
            cx.raw_get_index(-1, number);
            let path = cx.text(-1).map(str::to_owned);
            cx.pop(1);
            path
        })
        .collect();
    cx.pop(1);
    let web = Web {
        authorities,
        verifies_peer: cx.raw_boolean_field(1, "verify_peer"),
        verifies_host: cx.raw_boolean_field(1, "verify_host"),
        key_file: text("key"),
        cert_file: text("certificate"),
    };
    let config = fiber::blocking(move || web.client())?;
    userdata::push(cx, Config(config));
    Ok(1)
}

fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

fn connection(cx: Context<'_>) -> Result<&Connection> {
    userdata::check(cx, 1, || cx.bad_argument(1, "a connection expected"))
}

fn stream(cx: Context<'_>) -> Result<Option<Rc<Stream>>> {
    Ok(connection(cx)?.0.borrow().clone())
}

/// `start_tls(connection, configuration, host, timeout)`: true. Yields.
fn lua_http_start_tls(cx: Context<'_>) -> Result<usize> {
    let config: &Config = userdata::check(cx, 2, || cx.bad_argument(2, "a config expected"))?;
    let name = cx.check_text(3)?.to_owned();
    let Ok(name) = ServerName::try_from(name) else {
        return Problem { kind: "resolve", text: "not a host name".to_owned() }.push(cx);
    };
    let started = match connection(cx)?.0.borrow_mut().as_mut().and_then(Rc::get_mut) {
        Some(stream) => stream.start_session(config.0.clone(), name),
        None => Err(closed()),
    };
    if let Err(error) = started {
        return Problem::new("io", &error).push(cx);
    }
    let Some(stream) = stream(cx)? else { return Problem::new("io", &closed()).push(cx) };
    let shaken = wait(cx, 4, "tls", stream.handshake())?;
    match shaken {
        Ok(()) => {
            cx.push_boolean(true);
            Ok(1)
        }
        Err(problem) => problem.push(cx),
    }
}

/// `read(connection, timeout)`: what has come, empty at the end. Yields.
fn lua_http_read(cx: Context<'_>) -> Result<usize> {
    let Some(stream) = stream(cx)? else { return Problem::new("io", &closed()).push(cx) };
    let mut input = Vec::with_capacity(READ_SIZE);
    let read = wait(cx, 2, "io", std::future::poll_fn(|task| stream.poll_read(task, &mut input)))?;
    match read {
        Ok(_) => {
            cx.push_bytes(input);
            Ok(1)
        }
        Err(problem) => problem.push(cx),
    }
}

/// `write(connection, data, timeout)`: true. Yields.
fn lua_http_write(cx: Context<'_>) -> Result<usize> {
    let mut data = cx.check_bytes(2)?;
    let Some(stream) = stream(cx)? else { return Problem::new("io", &closed()).push(cx) };
    let written = wait(cx, 3, "io", async {
        while !data.is_empty() {
            let size = std::future::poll_fn(|task| stream.poll_write(task, data)).await?;
            data = &data[size..];
        }
        Ok(())
    })?;
    match written {
        Ok(()) => {
            cx.push_boolean(true);
            Ok(1)
        }
        Err(problem) => problem.push(cx),
    }
}

/// `close(connection)`
fn lua_http_close(cx: Context<'_>) -> Result<usize> {
    if let Some(stream) = connection(cx)?.0.take() {
        stream.shutdown();
    }
    Ok(0)
}

/// `parse_head(bytes, longest name)`: size of the head, status, major and minor version, reason
/// and headers by their names in lower case, each a string or a list; nothing: it is not whole yet.
fn lua_http_parse_head(cx: Context<'_>) -> Result<usize> {
    let bytes = cx.check_bytes(1)?;
    let name_size_max = usize::try_from(cx.opt_integer(2, i64::MAX)?).unwrap_or(usize::MAX);
    let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let size = match response.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return Ok(0),
        Err(error) => {
            cx.push_boolean(false);
            cx.push_bytes(error.to_string());
            return Ok(2);
        }
    };
    cx.push_integer(size as i64);
    cx.push_integer(i64::from(response.code.unwrap_or(0)));
    cx.push_integer(1);
    cx.push_integer(i64::from(response.version.unwrap_or(1)));
    cx.push_bytes(response.reason.unwrap_or_default());
    cx.new_table(0, response.headers.len());
    for header in response.headers.iter() {
        let mut name = header.name.to_ascii_lowercase();
        name.truncate(name_size_max);
        match cx.raw_get_field(-1, &name) {
            Kind::Nil => {
                cx.pop(1);
                cx.push_bytes(header.value);
                cx.raw_set_field(-2, &name);
            }
            Kind::Table => {
                cx.push_bytes(header.value);
                let count = cx.raw_len(-2) as i32;
                cx.raw_set_index(-2, count + 1);
                cx.pop(1);
            }
            _ => {
                cx.new_table(2, 0);
                cx.insert(-2);
                cx.raw_set_index(-2, 1);
                cx.push_bytes(header.value);
                cx.raw_set_index(-2, 2);
                cx.raw_set_field(-2, &name);
            }
        }
    }
    Ok(6)
}

/// `inflate(data, "gzip" or "deflate")`: what was packed; nil if it is broken.
fn lua_http_inflate(cx: Context<'_>) -> Result<usize> {
    use miniz_oxide::inflate::{decompress_to_vec_with_limit, decompress_to_vec_zlib_with_limit};
    let data = cx.check_bytes(1)?;
    let unpacked = match cx.check_bytes(2)? {
        b"gzip" => gzip_content(data)
            .and_then(|content| decompress_to_vec_with_limit(content, BODY_SIZE_MAX).ok()),
        // Some send it without the header that the standard wants.
        _ => decompress_to_vec_zlib_with_limit(data, BODY_SIZE_MAX)
            .or_else(|_| decompress_to_vec_with_limit(data, BODY_SIZE_MAX))
            .ok(),
    };
    match unpacked {
        Some(unpacked) => cx.push_bytes(unpacked),
        None => cx.push_nil(),
    }
    Ok(1)
}

/// What stands behind the header of a gzip file.
fn gzip_content(data: &[u8]) -> Option<&[u8]> {
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const CHECKSUM: u8 = 2;
    let flags = *data.get(3).filter(|_| data.starts_with(&[0x1f, 0x8b, 8]))?;
    let mut rest = data.get(10..)?;
    if flags & EXTRA != 0 {
        let size = usize::from(u16::from_le_bytes([*rest.first()?, *rest.get(1)?]));
        rest = rest.get(2 + size..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = memchr::memchr(0, rest)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & CHECKSUM != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}
