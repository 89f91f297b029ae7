//! Socket addresses: between Lua's host and port and the system's structures, and name look-up.
//!
//! # Yields
//! `lookup`

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::ptr;

use socket2::SockAddr;

use super::constants;
use crate::lua::Context;

/// The host that stands for Unix sockets, whose port is a path.
pub const UNIX_HOST: &str = "unix/";

/// The address of a numeric host and port, or of a Unix socket.
pub fn parse(host: &str, port: &str) -> io::Result<SockAddr> {
    if host == UNIX_HOST {
        return SockAddr::unix(port).map_err(|_| io::Error::from_raw_os_error(libc::ENOBUFS));
    }
    let host: IpAddr = host.parse().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // As atoi(3) takes it: what is no number is 0.
    let port = port.parse().unwrap_or(0);
    Ok(SockAddr::from(SocketAddr::new(host, port)))
}

/// Pushes `{family, host, port}`, or nil for an address of another kind.
pub fn push(cx: Context<'_>, address: &SockAddr) {
    let family = i32::from(address.family());
    let Some(family_name) = constants::family_name(family) else {
        cx.push_nil();
        return;
    };
    cx.new_table(0, 5);
    cx.push_bytes(family_name);
    cx.raw_set_field(-2, "family");
    if let Some(address) = address.as_socket() {
        cx.push_bytes(address.ip().to_string());
        cx.raw_set_field(-2, "host");
        cx.push_integer(i64::from(address.port()));
        cx.raw_set_field(-2, "port");
    } else if family == libc::AF_UNIX {
        cx.push_bytes(UNIX_HOST);
        cx.raw_set_field(-2, "host");
        let path = address.as_pathname();
        cx.push_bytes(path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default());
        cx.raw_set_field(-2, "port");
    }
}

/// Adds `type` and `protocol` to the table on top.
pub fn push_kind(cx: Context<'_>, kind: i32, protocol: i32) {
    if let Some(name) = constants::type_name(kind) {
        cx.push_bytes(name);
        cx.raw_set_field(-2, "type");
    }
    match protocol_name(protocol) {
        Some(name) => cx.push_bytes(name),
        None => cx.push_integer(i64::from(protocol)),
    }
    cx.raw_set_field(-2, "protocol");
}

fn protocol_name(protocol: i32) -> Option<&'static str> {
    match protocol {
        0 => Some("ip"),
        libc::IPPROTO_ICMP => Some("icmp"),
        libc::IPPROTO_TCP => Some("tcp"),
        libc::IPPROTO_UDP => Some("udp"),
        _ => None,
    }
}

/// The number of a protocol, from the system's database.
pub fn protocol_number(name: &str) -> Option<i32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a C string. The result is in static memory, read at once; only this thread asks.
    unsafe {
        let entry = libc::getprotobyname(name.as_ptr());
        (!entry.is_null()).then(|| (*entry).p_proto)
    }
}

/// What is looked for.
#[derive(Clone, Copy, Default)]
pub struct Hints {
    pub family: i32,
    pub kind: i32,
    pub protocol: i32,
    pub flags: i32,
}

/// One address found.
pub struct Found {
    pub address: SockAddr,
    pub kind: i32,
    pub protocol: i32,
    pub canonical_name: Option<String>,
}

/// Looks a name up; blocks. The error is the resolver's text.
pub fn lookup(host: &str, port: &str, hints: Hints) -> Result<Vec<Found>, String> {
    let name = |text: &str| CString::new(text).map_err(|_| "Name or service not known".to_owned());
    let (host, port) = (name(host)?, name(port)?);
    // SAFETY: zeros are a valid value of the structure.
    let mut wanted: libc::addrinfo = unsafe { MaybeUninit::zeroed().assume_init() };
    wanted.ai_family = hints.family;
    wanted.ai_socktype = hints.kind;
    wanted.ai_protocol = hints.protocol;
    wanted.ai_flags = hints.flags;
    let mut list = ptr::null_mut();
    // SAFETY: valid C strings, hints and a place for the result.
    let status = unsafe {
        libc::getaddrinfo(host.as_ptr(), port.as_ptr(), &raw const wanted, &raw mut list)
    };
    if status != 0 {
        // SAFETY: the text is constant.
        let text = unsafe { CStr::from_ptr(libc::gai_strerror(status)) };
        return Err(format!("getaddrinfo: {}", text.to_string_lossy()));
    }
    let mut found = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: a node of the list, whose address has the size it says.
        unsafe {
            let node = &*next;
            let ((), address) = SockAddr::try_init(|storage, size| {
                ptr::copy_nonoverlapping(
                    node.ai_addr.cast::<u8>(),
                    storage.cast::<u8>(),
                    node.ai_addrlen as usize,
                );
                *size = node.ai_addrlen;
                Ok(())
            })
            .expect("the closure does not fail");
            found.push(Found {
                address,
                kind: node.ai_socktype,
                protocol: node.ai_protocol,
                canonical_name: (!node.ai_canonname.is_null())
                    .then(|| CStr::from_ptr(node.ai_canonname).to_string_lossy().into_owned()),
            });
            next = node.ai_next;
        }
    }
    // SAFETY: the list came from getaddrinfo and is freed once.
    unsafe { libc::freeaddrinfo(list) };
    Ok(found)
}
