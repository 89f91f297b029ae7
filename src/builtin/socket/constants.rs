//! Names of socket constants, as Lua code spells them.
//!
//! # Yields
//! never

use crate::lua::Context;

macro_rules! constants {
    ($($name:ident)*) => {
        &[$((stringify!($name), libc::$name as i32)),*]
    };
}

/// Address families; each has a `PF_` and an `AF_` name.
const FAMILIES: &[(&str, i32)] = &[
    ("UNIX", libc::AF_UNIX),
    ("LOCAL", libc::AF_LOCAL),
    ("INET", libc::AF_INET),
    ("INET6", libc::AF_INET6),
    ("IPX", libc::AF_IPX),
    ("NETLINK", libc::AF_NETLINK),
    ("X25", libc::AF_X25),
    ("AX25", libc::AF_AX25),
    ("ATMPVC", libc::AF_ATMPVC),
    ("APPLETALK", libc::AF_APPLETALK),
    ("PACKET", libc::AF_PACKET),
];

const TYPES: &[(&str, i32)] =
    constants! { SOCK_STREAM SOCK_DGRAM SOCK_SEQPACKET SOCK_RAW SOCK_RDM };

const SEND_FLAGS: &[(&str, i32)] = constants! {
    MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_EOR MSG_WAITALL MSG_FIN
    MSG_SYN MSG_CONFIRM MSG_RST MSG_ERRQUEUE MSG_NOSIGNAL MSG_MORE MSG_WAITFORONE MSG_FASTOPEN
    MSG_CMSG_CLOEXEC
};

const ADDRESS_FLAGS: &[(&str, i32)] = constants! {
    AI_PASSIVE AI_CANONNAME AI_NUMERICHOST AI_V4MAPPED AI_ALL AI_ADDRCONFIG AI_NUMERICSERV
};

const PROTOCOLS: &[(&str, i32)] =
    &[("ip", libc::IPPROTO_IP), ("tcp", libc::IPPROTO_TCP), ("udp", libc::IPPROTO_UDP)];

/// The value of an option.
#[derive(Clone, Copy)]
enum Value {
    /// An `int`.
    Number = 1,
    /// Bytes.
    Text = 2,
    /// Something with a function of its own.
    Other = 0,
}

macro_rules! options {
    ($($name:ident $value:ident $writable:literal,)*) => {
        &[$((stringify!($name), libc::$name, Value::$value, $writable)),*]
    };
}

/// Name, number, value, writable.
type SocketOption = (&'static str, i32, Value, bool);

const SOCKET_OPTIONS: &[SocketOption] = options! {
    SO_ACCEPTCONN Number false, SO_BINDTODEVICE Text true, SO_BROADCAST Number true,
    SO_DEBUG Number true, SO_DOMAIN Number false, SO_ERROR Number false,
    SO_DONTROUTE Number true, SO_KEEPALIVE Number true, SO_LINGER Other false,
    SO_MARK Number true, SO_OOBINLINE Number true, SO_PASSCRED Number true,
    SO_PEERCRED Number false, SO_PRIORITY Number true, SO_RCVBUF Number true,
    SO_RCVBUFFORCE Number true, SO_RCVLOWAT Number true, SO_SNDLOWAT Number true,
    SO_RCVTIMEO Number true, SO_SNDTIMEO Number true, SO_REUSEADDR Number true,
    SO_REUSEPORT Number true, SO_SNDBUF Number true, SO_SNDBUFFORCE Number true,
    SO_TIMESTAMP Number true, SO_PROTOCOL Number false, SO_TYPE Number false,
};

const TCP_OPTIONS: &[SocketOption] = options! {
    TCP_NODELAY Number true, TCP_MAXSEG Number true, TCP_CORK Number true,
    TCP_KEEPIDLE Number true, TCP_KEEPINTVL Number true, TCP_KEEPCNT Number true,
    TCP_SYNCNT Number true, TCP_LINGER2 Number true, TCP_DEFER_ACCEPT Number true,
    TCP_WINDOW_CLAMP Number true, TCP_INFO Other false, TCP_QUICKACK Number true,
    TCP_CONGESTION Text true, TCP_MD5SIG Number true, TCP_COOKIE_TRANSACTIONS Number true,
    TCP_THIN_LINEAR_TIMEOUTS Number true, TCP_THIN_DUPACK Number true,
    TCP_USER_TIMEOUT Number true, TCP_REPAIR Number true, TCP_REPAIR_QUEUE Number true,
    TCP_QUEUE_SEQ Number true, TCP_REPAIR_OPTIONS Number true, TCP_FASTOPEN Number true,
    TCP_TIMESTAMP Number true, TCP_NOTSENT_LOWAT Number true, TCP_CC_INFO Number true,
    TCP_SAVE_SYN Number true, TCP_SAVED_SYN Number true,
};

/// Adds the tables of constants to the table on top.
pub fn add(cx: Context<'_>) {
    cx.new_table(0, FAMILIES.len() * 2);
    for prefix in ["PF_", "AF_"] {
        for (name, number) in FAMILIES {
            cx.push_integer(i64::from(*number));
            cx.raw_set_field(-2, &format!("{prefix}{name}"));
        }
    }
    cx.raw_set_field(-2, "DOMAIN");
    for (field, constants) in [
        ("SO_TYPE", TYPES),
        ("SEND_FLAGS", SEND_FLAGS),
        ("AI_FLAGS", ADDRESS_FLAGS),
        ("protocols", PROTOCOLS),
    ] {
        cx.new_table(0, constants.len());
        for (name, number) in constants {
            cx.push_integer(i64::from(*number));
            cx.raw_set_field(-2, name);
        }
        cx.raw_set_field(-2, field);
    }
    cx.push_integer(i64::from(libc::SOL_SOCKET));
    cx.raw_set_field(-2, "SOL_SOCKET");
    cx.new_table(0, 2);
    for (level, options) in [(libc::SOL_SOCKET, SOCKET_OPTIONS), (libc::IPPROTO_TCP, TCP_OPTIONS)] {
        push_options(cx, options);
        cx.raw_set_index(-2, level);
    }
    cx.raw_set_field(-2, "SO_OPT");
}

fn push_options(cx: Context<'_>, options: &[SocketOption]) {
    cx.new_table(0, options.len());
    for (name, number, value, is_writable) in options {
        cx.new_table(0, 3);
        cx.push_integer(i64::from(*number));
        cx.raw_set_field(-2, "iname");
        cx.push_integer(*value as i64);
        cx.raw_set_field(-2, "type");
        cx.push_boolean(*is_writable);
        cx.raw_set_field(-2, "rw");
        cx.raw_set_field(-2, name);
    }
}

/// `AF_INET` and so on; `None` for a family we have no name for.
pub fn family_name(family: i32) -> Option<String> {
    let (name, _) = FAMILIES.iter().find(|(_, number)| *number == family)?;
    Some(format!("AF_{name}"))
}

/// `SOCK_STREAM` and so on.
pub fn type_name(kind: i32) -> Option<&'static str> {
    TYPES.iter().find(|(_, number)| *number == kind).map(|(name, _)| *name)
}
