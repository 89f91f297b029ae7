//! The native half of `uri`: the parser of RFC 3986, with the server's short forms.
//!
//! Besides `scheme://login:password@host:service/path?query#fragment` it takes a bare port
//! (`3301`), a Unix socket path (`/tmp/a.sock`, `./a.sock`, `unix/:/tmp/a.sock`, with an optional
//! `:/path` after it) and a URI without a scheme.
//!
//! # Yields
//! never

use std::ffi::c_void;

use crate::base::error::Result;
use crate::lua::{Context, Module};

const UNIX_HOST: &str = "unix/";
/// Hosts are shorter than this.
const HOST_SIZE_MAX: usize = 1025;
/// Services are shorter than this.
const SERVICE_SIZE_MAX: usize = 108;

/// What stands in a URI's text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Uri<'a> {
    scheme: Option<&'a str>,
    login: Option<&'a str>,
    password: Option<&'a str>,
    host: Option<&'a str>,
    service: Option<&'a str>,
    ipv4: Option<&'a str>,
    ipv6: Option<&'a str>,
    unix: Option<&'a str>,
    path: Option<&'a str>,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

/// Letters of names: the unreserved characters, the sub-delimiters and `%`.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_~.%!$&'()*+,;=".contains(&byte)
}

fn is_segment(byte: u8) -> bool {
    is_name(byte) || matches!(byte, b'@' | b':' | b'|')
}

fn is_path(text: &str) -> bool {
    text.bytes().all(|byte| is_segment(byte) || byte == b'/')
}

fn is_query(text: &str) -> bool {
    text.bytes().all(|byte| is_segment(byte) || matches!(byte, b'/' | b'?'))
}

fn is_socket_path(text: &str) -> bool {
    text.strip_prefix('.').unwrap_or(text).starts_with('/')
        && !text.contains("//")
        && text.bytes().all(|byte| is_name(byte) || matches!(byte, b'@' | b'/'))
}

/// Every percent sign must start `%%`, `%x`, `%xx` or `%uxxxx`.
fn percents_are_valid(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(b'%', rest) {
        rest = &rest[at + 1..];
        let is_wide = |rest: &[u8]| rest.iter().take(4).filter(|b| b.is_ascii_hexdigit()).count();
        match rest.first() {
            Some(b'%') => rest = &rest[1..],
            Some(b'u') if is_wide(&rest[1..]) == 4 => rest = &rest[5..],
            Some(byte) if byte.is_ascii_hexdigit() => {}
            _ => return false,
        }
    }
    true
}

fn is_ipv4(host: &str) -> bool {
    let is_number =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    host.split('.').count() == 4 && host.split('.').all(is_number)
}

fn is_ipv6(host: &str) -> bool {
    if let (Some(prefix), Some(mapped)) = (host.get(..7), host.get(7..))
        && prefix.eq_ignore_ascii_case("::ffff:")
    {
        return is_ipv4(mapped);
    }
    (1..=8).contains(&host.matches(':').count())
        && host
            .split(':')
            .all(|part| part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The run of name letters at the start, and the rest.
fn split_name(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !is_name(byte)).unwrap_or(text.len());
    text.split_at(end)
}

impl<'a> Uri<'a> {
    /// Parses a text; `None` when it is no URI.
    fn parse(text: &'a str) -> Option<Uri<'a>> {
        let mut uri = Uri::default();
        if text.is_empty() || !percents_are_valid(text) {
            return None;
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            uri.service = Some(text);
            return (text.len() < SERVICE_SIZE_MAX).then_some(uri);
        }
        let (rest, fragment) = match text.split_once('#') {
            Some((rest, fragment)) => (rest, Some(fragment)),
            None => (text, None),
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        if !fragment.is_none_or(is_query) || !query.is_none_or(is_query) {
            return None;
        }
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        };
        let authority = match rest.split_once("://") {
            Some((scheme, authority)) if is_scheme(scheme) => {
                uri.scheme = Some(scheme);
                authority
            }
            _ => rest,
        };
        uri.query = query;
        uri.fragment = fragment;
        uri.set_authority(authority)?;
        let fits = |part: Option<&str>, size_max| part.is_none_or(|part| part.len() < size_max);
        (fits(uri.host, HOST_SIZE_MAX) && fits(uri.service, SERVICE_SIZE_MAX)).then_some(uri)
    }

    fn set_authority(&mut self, mut rest: &'a str) -> Option<()> {
        let (login, tail) = split_name(rest);
        if !login.is_empty() {
            if let Some(tail) = tail.strip_prefix('@') {
                (self.login, rest) = (Some(login), tail);
            } else if let Some(tail) = tail.strip_prefix(':') {
                let (password, tail) = split_name(tail);
                if let Some(tail) = tail.strip_prefix('@') {
                    self.login = Some(login);
                    self.password = Some(password);
                    rest = tail;
                }
            }
        }
        if let Some(socket) = rest.strip_prefix("unix/:") {
            return self.set_socket(socket, true);
        }
        let is_path = rest.strip_prefix('.').unwrap_or(rest).starts_with('/');
        if is_path && (self.scheme.is_none() || rest.contains(':')) {
            // With a scheme only a marked socket is one: `file:///path` is a path.
            return self.set_socket(rest, false);
        }
        if self.login.is_some() && rest.is_empty() {
            return None;
        }
        self.set_host(rest)
    }

    /// A socket path with an optional `:/path` after it.
    fn set_socket(&mut self, text: &'a str, is_explicit: bool) -> Option<()> {
        // Strict about the socket where its end is marked.
        if let Some((socket, path)) = text.split_once(':')
            && is_socket_path(socket)
            && !socket.ends_with('/')
            && is_path(path)
            && (path.is_empty() || path.starts_with('/'))
        {
            self.set_unix(socket);
            self.path = Some(path).filter(|path| !path.is_empty());
            return Some(());
        }
        let is_valid = if is_explicit || text.starts_with('.') {
            is_socket_path(text)
        } else {
            is_path(text) && !text.starts_with("//")
        };
        is_valid.then(|| self.set_unix(text))
    }

    fn set_unix(&mut self, socket: &'a str) {
        self.host = Some(UNIX_HOST);
        self.service = Some(socket);
        self.unix = Some(socket);
    }

    /// `host`, `host:service`, each with an optional path after it.
    fn set_host(&mut self, rest: &'a str) -> Option<()> {
        let (host, tail) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, tail)) => {
                is_ipv6(host).then_some(())?;
                self.ipv6 = Some(host);
                (host, tail)
            }
            None => {
                let end = rest.find([':', '/']).unwrap_or(rest.len());
                let (host, tail) = rest.split_at(end);
                host.bytes().all(is_name).then_some(())?;
                if is_ipv4(host) {
                    self.ipv4 = Some(host);
                }
                (host, tail)
            }
        };
        if !host.is_empty() {
            self.host = Some(host);
        } else if tail.starts_with(':') {
            return None;
        }
        let mut path = tail;
        if let Some(tail) = tail.strip_prefix(':') {
            let is_number = tail.starts_with(|first: char| first.is_ascii_digit());
            let belongs = |byte: &u8| match is_number {
                true => byte.is_ascii_digit(),
                false => byte.is_ascii_alphabetic(),
            };
            let service;
            (service, path) = tail.split_at(tail.bytes().take_while(belongs).count());
            self.service = Some(service).filter(|service| !service.is_empty());
        }
        if !path.is_empty() {
            (path.starts_with('/') && is_path(path)).then_some(())?;
            self.path = Some(path);
        }
        Some(())
    }
}

/// Where a part stands in the text: its first byte and the byte after its last; zeros for a part
/// that is not there (no part starts and ends at 0, other than in an empty text).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Place {
    start: u32,
    end: u32,
}

/// What `parse` fills in.
#[repr(C)]
#[derive(Default)]
struct Places {
    scheme: Place,
    login: Place,
    password: Place,
    host: Place,
    service: Place,
    ipv4: Place,
    ipv6: Place,
    path: Place,
    query: Place,
    fragment: Place,
    /// Whether host and service are those of a Unix socket.
    is_unix: bool,
}

/// Pushes the functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .pointer("parse", parse as *const c_void)
        .number("places_size", size_of::<Places>() as f64);
    Ok(())
}

/// Finds the parts of a URI; false when the text is none.
unsafe extern "C" fn parse(data: *const u8, size: usize, out: *mut Places) -> bool {
    // SAFETY: a string that the Lua half holds during the call.
    let text = unsafe { std::slice::from_raw_parts(data, size) };
    // A URI has ASCII characters only, so other bytes are an error in any encoding.
    let Some(uri) = std::str::from_utf8(text).ok().and_then(Uri::parse) else { return false };
    let place = |part: Option<&str>| match part {
        Some(part) => {
            let start = part.as_ptr().addr().wrapping_sub(data.addr());
            Place { start: start as u32, end: (start + part.len()) as u32 }
        }
        None => Place::default(),
    };
    let is_unix = uri.unix.is_some();
    let places = Places {
        scheme: place(uri.scheme),
        login: place(uri.login),
        password: place(uri.password),
        host: place(uri.host.filter(|_| !is_unix)),
        service: place(uri.service),
        ipv4: place(uri.ipv4),
        ipv6: place(uri.ipv6),
        path: place(uri.path),
        query: place(uri.query),
        fragment: place(uri.fragment),
        is_unix,
    };
    // SAFETY: cdata of this type.
    unsafe { out.write(places) };
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_found() {
        let uri = Uri::parse("http://user:pass@[::1]:3301/a/b?c=d#e").unwrap();
        let expected = Uri {
            scheme: Some("http"),
            login: Some("user"),
            password: Some("pass"),
            host: Some("::1"),
            ipv6: Some("::1"),
            service: Some("3301"),
            path: Some("/a/b"),
            query: Some("c=d"),
            fragment: Some("e"),
            ..Uri::default()
        };
        assert_eq!(uri, expected);
        assert_eq!(Uri::parse("unix/:/tmp/a.sock").unwrap().unix, Some("/tmp/a.sock"));
        for wrong in ["", ":", "user@", "a b", "%", "%zz", "[::zz]:1", "host:1x"] {
            assert_eq!(Uri::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_uri_or_none(text in "[a-z0-9:/?#@%.\\[\\]é]{0,30}") {
            let _ = Uri::parse(&text);
        }
    }
}
