//! Where messages are written: standard error, a file, a process, a syslog daemon.
//!
//! # Yields
//! never

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::base::error::{Error, Result};

/// Largest write that a pipe takes as a whole once it is ready.
const PIPE_WRITE_MAX: usize = 4096;
/// Facilities of syslog in the order of their numbers; the empty ones have no name.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
/// `local7`
const FACILITY_DEFAULT: u8 = 23;
const IDENTITY_DEFAULT: &str = "tarantool";
const SYSLOG_SOCKETS: [&str; 2] = ["/dev/log", "/var/run/syslog"];

/// An open destination.
pub(super) enum Destination {
    Stderr,
    File { file: File, path: PathBuf },
    Pipe { child: Child, input: ChildStdin },
    Syslog(Syslog),
}

impl Destination {
    /// Whether a text names a destination, and its options are in order.
    pub(super) fn check(name: Option<&str>) -> Result<()> {
        let name = name.unwrap_or("").trim();
        if let Some(options) = name.strip_prefix("syslog:") {
            return Syslog::parse(options).map(|_| ());
        }
        let is_known = ["|", "file:", "pipe:"].iter().any(|prefix| name.starts_with(prefix));
        if is_known || !name.contains(':') {
            return Ok(());
        }
        Err(Error::illegal_params(
            "expecting a file name or a prefix, such as '|', 'pipe:', 'syslog:'",
        ))
    }

    /// Opens what an option `log` names: a path, `file:PATH`, `| COMMAND`, `pipe:COMMAND`,
    /// `syslog:OPTIONS`; nothing is standard error.
    pub(super) fn open(name: Option<&str>) -> Result<Destination> {
        Destination::check(name)?;
        let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else {
            return Ok(Destination::Stderr);
        };
        if let Some(command) = name.strip_prefix('|').or_else(|| name.strip_prefix("pipe:")) {
            return open_pipe(command.trim());
        }
        if let Some(options) = name.strip_prefix("syslog:") {
            return Syslog::open(options).map(Destination::Syslog);
        }
        let path = name.strip_prefix("file:").unwrap_or(name);
        let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        Ok(Destination::File { file: open_file(&path)?, path })
    }

    /// The same file opened anew; `None` where there is no file.
    pub(super) fn reopened(&self) -> Result<Option<Destination>> {
        match self {
            Destination::File { path, .. } => {
                Ok(Some(Destination::File { file: open_file(path)?, path: path.clone() }))
            }
            _ => Ok(None),
        }
    }

    /// The process at the other end, 0 where there is none.
    pub(super) fn pid(&self) -> u32 {
        match self {
            Destination::Pipe { child, .. } => child.id(),
            _ => 0,
        }
    }

    pub(super) fn is_stderr(&self) -> bool {
        matches!(self, Destination::Stderr)
    }

    /// Whether what is written stands on standard error, too: as it does in the background, where
    /// that is the log file.
    pub(super) fn reaches_stderr(&self) -> bool {
        let Destination::File { file, .. } = self else { return self.is_stderr() };
        let stderr = rustix::fs::fstat(io::stderr());
        stderr.is_ok_and(|stderr| {
            rustix::fs::fstat(file)
                .is_ok_and(|file| (file.st_dev, file.st_ino) == (stderr.st_dev, stderr.st_ino))
        })
    }

    pub(super) fn syslog(&self) -> Option<&Syslog> {
        match self {
            Destination::Syslog(syslog) => Some(syslog),
            _ => None,
        }
    }

    /// Whether so many bytes can be written without waiting for a reader.
    pub(super) fn takes(&self, size: usize) -> bool {
        match self {
            // Only the disk can make a file wait, and there is no way to ask it.
            Destination::File { .. } => true,
            Destination::Stderr => is_ready(io::stderr().as_fd(), size),
            Destination::Pipe { input, .. } => is_ready(input.as_fd(), size),
            Destination::Syslog(_) => true,
        }
    }

    /// Writes everything. What a destination refuses is lost: there is nowhere to tell it.
    pub(super) fn write(&self, text: &[u8]) {
        let _ = match self {
            Destination::Stderr => io::stderr().write_all(text),
            Destination::File { file, .. } => (&mut &*file).write_all(text),
            Destination::Pipe { input, .. } => (&mut &*input).write_all(text),
            Destination::Syslog(syslog) => syslog.send(text),
        };
    }
}

/// Whether the descriptor takes a write of that size now. A pipe that is ready has room for
/// `PIPE_BUF` bytes at least.
fn is_ready(descriptor: BorrowedFd<'_>, size: usize) -> bool {
    use std::os::fd::AsRawFd;
    let mut wanted = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one valid pollfd, of an open descriptor.
    let count = unsafe { libc::poll(&raw mut wanted, 1, 0) };
    count == 1 && size <= PIPE_WRITE_MAX
}

fn open_file(path: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| Error::system(&format!("can't open log file: {}", path.display()), &error))
}

/// Starts the command in a session of its own, so that a signal to our group does not end it
/// before it has read our last words.
fn open_pipe(command: &str) -> Result<Destination> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).stdin(Stdio::piped());
    // SAFETY: setsid is safe between fork and exec.
    unsafe {
        shell.pre_exec(|| {
            libc::setsid();
            Ok(())
        });
    }
    let failed =
        |error: &io::Error| Error::system(&format!("can't start logger: {command}"), error);
    let mut child = shell.spawn().map_err(|error| failed(&error))?;
    match child.stdin.take() {
        Some(input) => Ok(Destination::Pipe { child, input }),
        None => Err(failed(&io::Error::from(io::ErrorKind::BrokenPipe))),
    }
}

/// A syslog daemon. Messages are datagrams, sent without waiting.
pub(super) struct Syslog {
    server: Server,
    pub(super) identity: String,
    pub(super) facility: u8,
    socket: std::cell::RefCell<Option<Socket>>,
}

enum Server {
    Unix(Vec<PathBuf>),
    Remote(String),
}

enum Socket {
    Unix(UnixDatagram),
    Remote(UdpSocket),
}

impl Syslog {
    fn open(options: &str) -> Result<Syslog> {
        let syslog = Syslog::parse(options)?;
        let socket = syslog.connect().map_err(|error| Error::system("syslog logger", &error))?;
        syslog.socket.replace(Some(socket));
        Ok(syslog)
    }

    /// `server=unix:PATH` or `server=HOST[:PORT]`, `identity=NAME`, `facility=NAME`.
    fn parse(options: &str) -> Result<Syslog> {
        let mut seen = Vec::new();
        let mut syslog = Syslog {
            server: Server::Unix(SYSLOG_SOCKETS.iter().map(PathBuf::from).collect()),
            identity: IDENTITY_DEFAULT.to_owned(),
            facility: FACILITY_DEFAULT,
            socket: std::cell::RefCell::new(None),
        };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let bad = || Error::illegal_params(format!("bad option '{option}'"));
            let (name, value) = option.split_once('=').ok_or_else(bad)?;
            if seen.contains(&name) {
                return Err(Error::illegal_params(format!("duplicate option '{name}'")));
            }
            seen.push(name);
            match name {
                "server" => {
                    syslog.server = match value.strip_prefix("unix:") {
                        Some(path) => Server::Unix(vec![path.into()]),
                        None => Server::Remote(value.to_owned()),
                    };
                }
                "identity" => value.clone_into(&mut syslog.identity),
                "facility" => {
                    let number = FACILITIES.iter().position(|name| *name == value);
                    syslog.facility = number
                        .filter(|_| !value.is_empty())
                        .map(|number| number as u8)
                        .ok_or_else(|| {
                            Error::illegal_params(format!("bad syslog facility option '{value}'"))
                        })?;
                }
                _ => return Err(bad()),
            }
        }
        Ok(syslog)
    }

    fn connect(&self) -> io::Result<Socket> {
        match &self.server {
            Server::Unix(paths) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                let mut result = Err(io::Error::from(io::ErrorKind::NotFound));
                for path in paths {
                    result = socket.connect(path);
                    if result.is_ok() {
                        break;
                    }
                }
                result.map(|()| Socket::Unix(socket))
            }
            Server::Remote(address) => {
                let socket = UdpSocket::bind(("0.0.0.0", 0))?;
                socket.set_nonblocking(true)?;
                match address.contains(':') {
                    true => socket.connect(address)?,
                    false => socket.connect((address.as_str(), 514))?,
                }
                Ok(Socket::Remote(socket))
            }
        }
    }

    /// Sends one message; a daemon that was restarted is connected to again.
    fn send(&self, message: &[u8]) -> io::Result<()> {
        let mut socket = self.socket.borrow_mut();
        let send = |socket: &Socket| match socket {
            Socket::Unix(socket) => socket.send(message),
            Socket::Remote(socket) => socket.send(message),
        };
        if let Some(open) = &*socket
            && send(open).is_ok()
        {
            return Ok(());
        }
        *socket = self.connect().ok();
        match &*socket {
            Some(open) => send(open).map(|_| ()),
            None => Ok(()),
        }
    }
}
