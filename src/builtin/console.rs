//! Native half of `console`: its sockets and its terminal.
//!
//! The text protocol is lines one way and texts ended by a marker the other, so a stream here can
//! read up to a delimiter, and no more. `require('socket')` is for programs; a console must work
//! while everything else is in trouble.
//!
//! # Yields
//! accept, connect, read, write and `read_line` do

mod stream;
mod terminal;

use std::rc::Rc;
use std::time::Duration;

use crate::base::error::{Error, Result};
use crate::fiber;
use crate::lua::{Context, Module, userdata};
use stream::{Listener, Stream};

/// Pushes the table of native functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    cx.new_table(0, 1);
    userdata::set_metatable::<Rc<Listener>>(cx);
    cx.new_table(0, 1);
    userdata::set_metatable::<Rc<Stream>>(cx);
    Module::new(cx)
        .function("listen", lua_console_listen)
        .function("accept", lua_console_accept)
        .function("close_listener", lua_console_close_listener)
        .function("listener_address", lua_console_listener_address)
        .function("connect", lua_console_connect)
        .function("read_until", lua_console_read_until)
        .function("read_exact", lua_console_read_exact)
        .function("write", lua_console_write)
        .function("close", lua_console_close)
        .function("fd", lua_console_fd)
        .function("peer", lua_console_peer)
        .function("read_line", terminal::lua_console_read_line)
        .function("load_history", terminal::lua_console_load_history)
        .function("add_history", terminal::lua_console_add_history);
    Ok(())
}

fn listener(cx: Context<'_>) -> Result<Rc<Listener>> {
    userdata::check::<Rc<Listener>>(cx, 1, || Error::illegal_params("a listener is expected"))
        .cloned()
}

fn stream(cx: Context<'_>) -> Result<Rc<Stream>> {
    userdata::check::<Rc<Stream>>(cx, 1, || Error::illegal_params("a stream is expected")).cloned()
}

/// `listen(host, service)`: host `unix/` means the path `service`.
fn lua_console_listen(cx: Context<'_>) -> Result<usize> {
    let (host, service) = (cx.check_text(1)?, cx.check_text(2)?);
    let listener = Listener::bind(host, service).map_err(|error| {
        let what = format!("failed to create server {host}:{service}");
        Error::system(&what, &error)
    })?;
    userdata::push(cx, Rc::new(listener));
    Ok(1)
}

/// The next stream, or nil when the listener was closed.
fn lua_console_accept(cx: Context<'_>) -> Result<usize> {
    let listener = listener(cx)?;
    match listener.accept()? {
        Some(stream) => userdata::push(cx, Rc::new(stream)),
        None => cx.push_nil(),
    }
    Ok(1)
}

fn lua_console_close_listener(cx: Context<'_>) -> Result<usize> {
    listener(cx)?.close();
    Ok(0)
}

/// `listener_address(listener)`: the host, the port and whether it is one of IPv6; nothing of a path.
fn lua_console_listener_address(cx: Context<'_>) -> Result<usize> {
    let Some(address) = listener(cx)?.address() else { return Ok(0) };
    cx.push_bytes(address.ip().to_string());
    cx.push_integer(i64::from(address.port()));
    cx.push_boolean(address.is_ipv6());
    Ok(3)
}

/// `connect(host, service, timeout)`
fn lua_console_connect(cx: Context<'_>) -> Result<usize> {
    let (host, service) = (cx.check_text(1)?.to_owned(), cx.check_text(2)?.to_owned());
    let timeout = Duration::try_from_secs_f64(cx.check_number(3)?).unwrap_or(Duration::MAX);
    let connecting = tokio::time::timeout(timeout, Stream::connect(&host, &service));
    let connected = fiber::wait_or_cancel(connecting)?;
    let stream = connected
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(|error| Error::system(&format!("{host}:{service}"), &error))?;
    userdata::push(cx, Rc::new(stream));
    Ok(1)
}

/// `read_until(stream, delimiter, other)`: up to the first of the delimiters and with it; nil at
/// the end of the stream.
fn lua_console_read_until(cx: Context<'_>) -> Result<usize> {
    let delimiters = [cx.check_bytes(2)?.to_vec(), cx.opt_bytes(3)?.unwrap_or_default().to_vec()];
    push_read(cx, stream(cx)?.read(|buffer| find_first(buffer, &delimiters))?)
}

/// `read_exact(stream, size)`
fn lua_console_read_exact(cx: Context<'_>) -> Result<usize> {
    let size = usize::try_from(cx.check_integer(2)?)
        .map_err(|_| cx.bad_argument(2, "a size is expected"))?;
    push_read(cx, stream(cx)?.read(|buffer| (buffer.len() >= size).then_some(size))?)
}

fn push_read(cx: Context<'_>, bytes: Option<Vec<u8>>) -> Result<usize> {
    match bytes {
        Some(bytes) => cx.push_bytes(bytes),
        None => cx.push_nil(),
    }
    Ok(1)
}

/// The end of the delimiter that ends first.
fn find_first(buffer: &[u8], delimiters: &[Vec<u8>]) -> Option<usize> {
    let ends = delimiters.iter().filter(|delimiter| !delimiter.is_empty());
    ends.filter_map(|delimiter| {
        memchr::memmem::find(buffer, delimiter).map(|start| start + delimiter.len())
    })
    .min()
}

/// `write(stream, text)`: whether the peer took it.
fn lua_console_write(cx: Context<'_>) -> Result<usize> {
    let text = cx.check_bytes(2)?.to_vec();
    let written = stream(cx)?.write(&text)?;
    cx.push_boolean(written);
    Ok(1)
}

fn lua_console_close(cx: Context<'_>) -> Result<usize> {
    stream(cx)?.close();
    Ok(0)
}

/// The number of the descriptor, -1 when it is closed.
fn lua_console_peer(cx: Context<'_>) -> Result<usize> {
    match stream(cx)?.peer() {
        Some(peer) => cx.push_bytes(peer),
        None => cx.push_nil(),
    }
    Ok(1)
}

fn lua_console_fd(cx: Context<'_>) -> Result<usize> {
    cx.push_integer(i64::from(stream(cx)?.descriptor()));
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::find_first;

    #[test]
    fn the_delimiter_that_ends_first_is_found() {
        let delimiters = [b";\n".to_vec(), b";\r".to_vec()];
        assert_eq!(find_first(b"1;\r\n2;\n", &delimiters), Some(3));
        assert_eq!(find_first(b"1\n;", &delimiters), None);
        assert_eq!(find_first(b"1\n", &[b"\n".to_vec(), Vec::new()]), Some(2));
    }
}
