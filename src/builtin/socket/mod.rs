//! The native half of `socket`: system calls on descriptors that never block, and waiting.
//!
//! A call that fails returns nil and sets `errno`; the Lua half decides whether to wait and repeat.
//!
//! # Yields
//! `iowait`, `getaddrinfo`, `close`

mod address;
mod constants;
mod wait;

use std::io;
use std::os::fd::{BorrowedFd, IntoRawFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use self::address::Hints;
use super::errno;
use super::serializer::failure;
use crate::base::error::Result;
use crate::fiber;
use crate::lua::{Context, Kind, Module};

/// The timeout when none is given.
const TIMEOUT_INFINITY_S: f64 = 500.0 * 365.0 * 86400.0;

/// Pushes the functions and constants.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("socket", lua_socket_socket)
        .function("socketpair", lua_socket_socketpair)
        .function("close", lua_socket_close)
        .function("connect", lua_socket_connect)
        .function("bind", lua_socket_bind)
        .function("listen", lua_socket_listen)
        .function("accept", lua_socket_accept)
        .function("shutdown", lua_socket_shutdown)
        .function("nonblock", lua_socket_nonblock)
        .function("read", lua_socket_read)
        .function("write", lua_socket_write)
        .function("recv", lua_socket_recv)
        .function("recvfrom", lua_socket_recvfrom)
        .function("recv_size", lua_socket_recv_size)
        .function("send", lua_socket_send)
        .function("sendto", lua_socket_sendto)
        .function("setsockopt", lua_socket_setsockopt)
        .function("getsockopt", lua_socket_getsockopt)
        .function("linger", lua_socket_linger)
        .function("name", lua_socket_name)
        .function("peer", lua_socket_peer)
        .function("iowait", lua_socket_iowait)
        .function("getaddrinfo", lua_socket_getaddrinfo)
        .function("getprotobyname", lua_socket_getprotobyname);
    constants::add(cx);
    Ok(())
}

/// What `push` makes of the result, or nil with `errno` set.
fn push_result<T>(cx: Context<'_>, result: io::Result<T>, push: impl FnOnce(T)) -> Result<usize> {
    match result {
        Ok(value) => push(value),
        Err(error) => {
            cx.push_nil();
            // Last, because pushing may call the system.
            errno::set_from(&error);
        }
    }
    Ok(1)
}

fn push_done(cx: Context<'_>, result: io::Result<()>) -> Result<usize> {
    push_result(cx, result, |()| cx.push_boolean(true))
}

fn fd_argument(cx: Context<'_>) -> Result<RawFd> {
    let fd = RawFd::try_from(cx.check_integer(1)?).unwrap_or(-1);
    if fd < 0 { Err(cx.bad_argument(1, "not a descriptor")) } else { Ok(fd) }
}

/// A descriptor that belongs to a Lua socket, for the time of a call.
fn with_socket<T>(
    cx: Context<'_>,
    work: impl FnOnce(SockRef<'_>) -> io::Result<T>,
) -> Result<io::Result<T>> {
    let fd = fd_argument(cx)?;
    // SAFETY: the Lua socket keeps the descriptor open; nothing yields meanwhile.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(work(SockRef::from(&fd)))
}

fn int_argument(cx: Context<'_>, index: i32) -> Result<i32> {
    i32::try_from(cx.check_integer(index)?)
        .map_err(|_| cx.bad_argument(index, "number out of range"))
}

fn size_argument(cx: Context<'_>, index: i32) -> Result<usize> {
    usize::try_from(cx.check_integer(index)?)
        .map_err(|_| cx.bad_argument(index, "size can not be negative"))
}

fn checked(count: isize) -> io::Result<usize> {
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

fn lua_socket_socket(cx: Context<'_>) -> Result<usize> {
    let domain = Domain::from(int_argument(cx, 1)?);
    let kind = Type::from(int_argument(cx, 2)?);
    let protocol = Protocol::from(int_argument(cx, 3)?);
    let result = Socket::new_raw(domain, kind.nonblocking().cloexec(), Some(protocol));
    push_result(cx, result, |socket| cx.push_integer(i64::from(socket.into_raw_fd())))
}

fn lua_socket_socketpair(cx: Context<'_>) -> Result<usize> {
    let domain = Domain::from(int_argument(cx, 1)?);
    let kind = Type::from(int_argument(cx, 2)?);
    let protocol = Protocol::from(int_argument(cx, 3)?);
    match Socket::pair_raw(domain, kind.nonblocking().cloexec(), Some(protocol)) {
        Ok((first, second)) => {
            cx.push_integer(i64::from(first.into_raw_fd()));
            cx.push_integer(i64::from(second.into_raw_fd()));
            Ok(2)
        }
        Err(error) => push_done(cx, Err(error)),
    }
}

fn lua_socket_close(cx: Context<'_>) -> Result<usize> {
    let fd = fd_argument(cx)?;
    push_done(cx, wait::close(fd))
}

/// `connect(fd, host, port)`: numeric addresses only.
fn lua_socket_connect(cx: Context<'_>) -> Result<usize> {
    let (host, port) = (cx.check_text(2)?, cx.check_text(3)?);
    let result = with_socket(cx, |socket| socket.connect(&address::parse(host, port)?))?;
    push_done(cx, result)
}

fn lua_socket_bind(cx: Context<'_>) -> Result<usize> {
    let (host, port) = (cx.check_text(2)?, cx.check_text(3)?);
    let result = with_socket(cx, |socket| socket.bind(&address::parse(host, port)?))?;
    push_done(cx, result)
}

fn lua_socket_listen(cx: Context<'_>) -> Result<usize> {
    let backlog = int_argument(cx, 2)?;
    let result = with_socket(cx, |socket| socket.listen(backlog))?;
    push_done(cx, result)
}

/// `accept(fd)`: the client's descriptor and address.
fn lua_socket_accept(cx: Context<'_>) -> Result<usize> {
    let result = with_socket(cx, |socket| {
        let (client, from) = socket.accept_raw()?;
        client.set_cloexec(true)?;
        client.set_nonblocking(true)?;
        Ok((client, from))
    })?;
    match result {
        Ok((client, from)) => {
            cx.push_integer(i64::from(client.into_raw_fd()));
            address::push(cx, &from);
            Ok(2)
        }
        Err(error) => push_done(cx, Err(error)),
    }
}

fn lua_socket_shutdown(cx: Context<'_>) -> Result<usize> {
    let how = match int_argument(cx, 2)? {
        0 => std::net::Shutdown::Read,
        1 => std::net::Shutdown::Write,
        _ => std::net::Shutdown::Both,
    };
    let result = with_socket(cx, |socket| socket.shutdown(how))?;
    push_done(cx, result)
}

/// `nonblock(fd[, flag])`: sets the mode, or tells it.
fn lua_socket_nonblock(cx: Context<'_>) -> Result<usize> {
    let wanted = (!cx.is_nil(2)).then(|| cx.boolean(2));
    let result = with_socket(cx, |socket| match wanted {
        Some(wanted) => socket.set_nonblocking(wanted).map(|()| wanted),
        None => socket.nonblocking(),
    })?;
    push_result(cx, result, |is_nonblocking| cx.push_boolean(is_nonblocking))
}

/// `read(fd, size)`: what is there, at most that much; an empty string at the end.
fn lua_socket_read(cx: Context<'_>) -> Result<usize> {
    let (fd, size) = (fd_argument(cx)?, size_argument(cx, 2)?);
    super::msgpack::with_buffer(|buffer| {
        buffer.reserve(size);
        // SAFETY: the buffer has room for `size` bytes.
        let result = checked(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), size) });
        push_result(cx, result, |count| {
            // SAFETY: the call wrote that many bytes.
            unsafe { buffer.set_len(count) };
            cx.push_bytes(&*buffer);
        })
    })
}

/// `write(fd, data[, offset])`: how many bytes from the offset on were taken.
fn lua_socket_write(cx: Context<'_>) -> Result<usize> {
    let (fd, data) = (fd_argument(cx)?, cx.check_bytes(2)?);
    let offset = usize::try_from(cx.opt_integer(3, 0)?).unwrap_or(0).min(data.len());
    let rest = &data[offset..];
    // A closed peer is an error here, not a signal; what is no socket has no such flag.
    // SAFETY: the bytes are valid for the call.
    let sent = unsafe { libc::send(fd, rest.as_ptr().cast(), rest.len(), libc::MSG_NOSIGNAL) };
    let mut result = checked(sent);
    if result.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOTSOCK)) {
        // SAFETY: as above.
        result = checked(unsafe { libc::write(fd, rest.as_ptr().cast(), rest.len()) });
    }
    push_result(cx, result, |count| cx.push_integer(count as i64))
}

/// `recv(fd, size, flags)`.
fn lua_socket_recv(cx: Context<'_>) -> Result<usize> {
    let (fd, size, flags) = (fd_argument(cx)?, size_argument(cx, 2)?, int_argument(cx, 3)?);
    let mut data = vec![0_u8; size];
    // SAFETY: the buffer is writable.
    let result = checked(unsafe { libc::recv(fd, data.as_mut_ptr().cast(), size, flags) });
    push_result(cx, result, |count| cx.push_bytes(&data[..count.min(size)]))
}

/// `recv_size(fd)`: the size of the next datagram.
fn lua_socket_recv_size(cx: Context<'_>) -> Result<usize> {
    let fd = fd_argument(cx)?;
    let flags = libc::MSG_TRUNC | libc::MSG_PEEK;
    // SAFETY: no bytes are written to the empty buffer.
    let result = checked(unsafe { libc::recv(fd, std::ptr::null_mut(), 0, flags) });
    push_result(cx, result, |size| cx.push_integer(size as i64))
}

/// `recvfrom(fd, size, flags)`: the datagram and where it came from.
fn lua_socket_recvfrom(cx: Context<'_>) -> Result<usize> {
    let (size, flags) = (size_argument(cx, 2)?, int_argument(cx, 3)?);
    let mut data: Vec<u8> = Vec::with_capacity(size);
    let result =
        with_socket(cx, |socket| socket.recv_from_with_flags(data.spare_capacity_mut(), flags))?;
    match result {
        Ok((count, from)) => {
            // SAFETY: the call wrote that many bytes.
            unsafe { data.set_len(count.min(size)) };
            cx.push_bytes(data);
            address::push(cx, &from);
            Ok(2)
        }
        Err(error) => push_done(cx, Err(error)),
    }
}

/// `send(fd, data, flags)`.
fn lua_socket_send(cx: Context<'_>) -> Result<usize> {
    let (data, flags) = (cx.check_bytes(2)?, int_argument(cx, 3)?);
    let result =
        with_socket(cx, |socket| socket.send_with_flags(data, flags | libc::MSG_NOSIGNAL))?;
    push_result(cx, result, |count| cx.push_integer(count as i64))
}

/// `sendto(fd, host, port, data, flags)`.
fn lua_socket_sendto(cx: Context<'_>) -> Result<usize> {
    let (host, port, data) = (cx.check_text(2)?, cx.check_text(3)?, cx.check_bytes(4)?);
    let flags = int_argument(cx, 5)?;
    let result = with_socket(cx, |socket| {
        let to = address::parse(host, port)?;
        socket.send_to_with_flags(data, &to, flags | libc::MSG_NOSIGNAL)
    })?;
    push_result(cx, result, |count| cx.push_integer(count as i64))
}

/// `setsockopt(fd, level, name, value)`: a number or a string.
fn lua_socket_setsockopt(cx: Context<'_>) -> Result<usize> {
    let (fd, level, name) = (fd_argument(cx)?, int_argument(cx, 2)?, int_argument(cx, 3)?);
    let number;
    let value: &[u8] = match cx.bytes(4) {
        Some(text) => text,
        None => {
            number = int_argument(cx, 4)?.to_ne_bytes();
            &number
        }
    };
    let size = libc::socklen_t::try_from(value.len()).unwrap_or(0);
    // SAFETY: the value is valid for the call.
    let status = unsafe { libc::setsockopt(fd, level, name, value.as_ptr().cast(), size) };
    push_done(cx, checked(status as isize).map(|_| ()))
}

/// `getsockopt(fd, level, name, is_text)`.
fn lua_socket_getsockopt(cx: Context<'_>) -> Result<usize> {
    let (fd, level, name) = (fd_argument(cx)?, int_argument(cx, 2)?, int_argument(cx, 3)?);
    let is_text = cx.boolean(4);
    let mut value = [0_u8; 256];
    let room = if is_text { value.len() } else { size_of::<i32>() };
    let mut size = libc::socklen_t::try_from(room).unwrap_or(0);
    // SAFETY: the buffer has the size that is told.
    let status =
        unsafe { libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), &raw mut size) };
    push_result(cx, checked(status as isize), |_| {
        if is_text {
            cx.push_bytes(&value[..size as usize]);
        } else {
            let number = i32::from_ne_bytes([value[0], value[1], value[2], value[3]]);
            cx.push_integer(i64::from(number));
        }
    })
}

/// `linger(fd[, is_active, timeout])`: sets and returns both, or tells them.
fn lua_socket_linger(cx: Context<'_>) -> Result<usize> {
    let is_query = cx.is_nil(2);
    let wanted = (cx.boolean(2), u64::try_from(cx.opt_integer(3, 0)?).unwrap_or(0));
    let result = with_socket(cx, |socket| {
        if is_query {
            let linger = socket.linger()?;
            return Ok((linger.is_some(), linger.map_or(0, |linger| linger.as_secs())));
        }
        socket.set_linger(wanted.0.then(|| Duration::from_secs(wanted.1)))?;
        Ok(wanted)
    })?;
    match result {
        Ok((is_active, timeout_s)) => {
            cx.push_boolean(is_active);
            cx.push_integer(timeout_s as i64);
            Ok(2)
        }
        Err(error) => push_done(cx, Err(error)),
    }
}

fn push_address(
    cx: Context<'_>,
    read: impl FnOnce(&SockRef<'_>) -> io::Result<socket2::SockAddr>,
) -> Result<usize> {
    let result = with_socket(cx, |socket| {
        let kind = socket.r#type()?;
        let protocol = socket.protocol()?.map_or(0, i32::from);
        Ok((read(&socket)?, i32::from(kind), protocol))
    })?;
    push_result(cx, result, |(address, kind, protocol)| {
        address::push(cx, &address);
        if !cx.is_nil(-1) {
            address::push_kind(cx, kind, protocol);
        }
    })
}

fn lua_socket_name(cx: Context<'_>) -> Result<usize> {
    push_address(cx, |socket| socket.local_addr())
}

fn lua_socket_peer(cx: Context<'_>) -> Result<usize> {
    push_address(cx, |socket| socket.peer_addr())
}

/// The bits of "R", "W", "RW" in any case.
fn parse_events(text: &[u8]) -> Option<u32> {
    let mut events = 0;
    for letter in text {
        events |= match letter {
            b'r' | b'R' => wait::READ,
            b'w' | b'W' => wait::WRITE,
            _ => return None,
        };
    }
    (events != 0).then_some(events)
}

/// `iowait(fd, events[, timeout])`: which of the events are there, as they were asked for; without
/// a descriptor it sleeps.
fn lua_socket_iowait(cx: Context<'_>) -> Result<usize> {
    let usage = || failure("Usage: iowait(fd, 1 | 'r' | 2 | 'w' | 3 | 'rw' [, timeout])");
    if cx.top() < 2 {
        return Err(usage());
    }
    let timeout_s = cx.opt_number(3, TIMEOUT_INFINITY_S)?;
    let fd = RawFd::try_from(cx.opt_integer(1, -1)?).unwrap_or(-1);
    if fd < 0 {
        if !cx.is_nil(2) {
            return Err(usage());
        }
        fiber::sleep(Duration::from_secs_f64(timeout_s.clamp(0.0, TIMEOUT_INFINITY_S)))?;
        return Ok(0);
    }
    if cx.kind(2) == Kind::Number {
        let wanted = u32::try_from(cx.check_integer(2)?).unwrap_or(0);
        if !(1..=wait::READ | wait::WRITE).contains(&wanted) {
            return Err(usage());
        }
        cx.push_integer(i64::from(wait::ready(fd, wanted, timeout_s)?));
    } else {
        let wanted = cx.bytes(2).and_then(parse_events).ok_or_else(usage)?;
        let names = ["", "R", "W", "RW"];
        cx.push_bytes(names[wait::ready(fd, wanted, timeout_s)? as usize]);
    }
    Ok(1)
}

fn hint(cx: Context<'_>, name: &str) -> i32 {
    if cx.kind(4) != Kind::Table {
        return 0;
    }
    cx.raw_get_field(4, name);
    let value = cx.integer(-1).and_then(|value| i32::try_from(value).ok()).unwrap_or(0);
    cx.pop(1);
    value
}

/// `getaddrinfo(host, port, timeout, hints)`: an array of addresses, or nil and a problem.
fn lua_socket_getaddrinfo(cx: Context<'_>) -> Result<usize> {
    let (host, port) = (cx.check_text(1)?.to_owned(), cx.check_text(2)?.to_owned());
    let timeout_s = cx.check_number(3)?;
    let hints = Hints {
        family: hint(cx, "family"),
        kind: hint(cx, "type"),
        protocol: hint(cx, "protocol"),
        flags: hint(cx, "flags"),
    };
    let timeout = Duration::from_secs_f64(timeout_s.clamp(0.0, TIMEOUT_INFINITY_S));
    let work = tokio::task::spawn_blocking(move || address::lookup(&host, &port, hints));
    // The look-up itself cannot be stopped: after the timeout its result is dropped.
    let result = fiber::wait_or_cancel(tokio::time::timeout(timeout, work))?;
    let found = match result {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        Err(_) => {
            cx.push_nil();
            cx.push_bytes("timed out");
            errno::set(libc::ETIMEDOUT);
            return Ok(2);
        }
    };
    match found {
        Ok(found) => {
            cx.new_table(found.len(), 0);
            for (number, found) in (1..).zip(&found) {
                address::push(cx, &found.address);
                address::push_kind(cx, found.kind, found.protocol);
                if let Some(name) = &found.canonical_name {
                    cx.push_bytes(name);
                    cx.raw_set_field(-2, "canonname");
                }
                cx.raw_set_index(-2, number);
            }
            Ok(1)
        }
        Err(problem) => {
            cx.push_nil();
            cx.push_bytes(problem);
            errno::set(libc::EIO);
            Ok(2)
        }
    }
}

fn lua_socket_getprotobyname(cx: Context<'_>) -> Result<usize> {
    match address::protocol_number(cx.check_text(1)?) {
        Some(number) => cx.push_integer(i64::from(number)),
        None => cx.push_nil(),
    }
    Ok(1)
}
