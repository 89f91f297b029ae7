//! Starting a child with `posix_spawn`, and waiting for its end on its process descriptor.
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::{CString, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::End;
use super::pipe::Pipe;
use crate::base::error::{Error, Result};

/// Where a standard stream of the child goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Inherited,
    Null,
    Closed,
    Pipe,
}

pub(super) struct Flags {
    /// The one argument is a command of the shell.
    pub(super) shell: bool,
    /// The child leads a session and a group of its own.
    pub(super) setsid: bool,
    /// Only standard streams and `inherited` stay open.
    pub(super) close_fds: bool,
    /// Signals do what they do by default.
    pub(super) restore_signals: bool,
}

/// What is to be run.
pub(super) struct Request {
    pub(super) arguments: Vec<Vec<u8>>,
    /// `name=value`; the parent's when absent.
    pub(super) environment: Option<Vec<Vec<u8>>>,
    pub(super) streams: [Stream; 3],
    pub(super) inherited: Vec<RawFd>,
    pub(super) flags: Flags,
}

/// What has become of it.
pub(super) struct Started {
    /// The child; or why the program could not be run.
    pub(super) pid: io::Result<i32>,
    pub(super) pipes: [Option<Rc<Pipe>>; 3],
}

const SHELL: &std::ffi::CStr = c"/bin/sh";

fn check(what: &str, code: i32) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    Err(Error::system(what, &io::Error::from_raw_os_error(code)))
}

struct Actions(MaybeUninit<libc::posix_spawn_file_actions_t>);

impl Actions {
    fn new() -> Result<Actions> {
        let mut actions = Actions(MaybeUninit::uninit());
        // SAFETY: the call fills the memory.
        check("posix_spawn", unsafe {
            libc::posix_spawn_file_actions_init(actions.0.as_mut_ptr())
        })?;
        Ok(actions)
    }

    /// The descriptor becomes that one, and stays open.
    fn duplicate(&mut self, fd: RawFd, to: RawFd) -> Result<()> {
        // SAFETY: initialized by `new`.
        check("dup", unsafe { libc::posix_spawn_file_actions_adddup2(self.0.as_mut_ptr(), fd, to) })
    }

    fn close(&mut self, fd: RawFd) -> Result<()> {
        // SAFETY: as above.
        check("close", unsafe { libc::posix_spawn_file_actions_addclose(self.0.as_mut_ptr(), fd) })
    }

    fn open_null(&mut self, fd: RawFd) -> Result<()> {
        let mode = if fd == 0 { libc::O_RDONLY } else { libc::O_WRONLY };
        let path = c"/dev/null".as_ptr();
        // SAFETY: as above; the path is copied.
        check("open", unsafe {
            libc::posix_spawn_file_actions_addopen(self.0.as_mut_ptr(), fd, path, mode, 0)
        })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialized by `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr()) };
    }
}

struct Attributes(MaybeUninit<libc::posix_spawnattr_t>);

impl Attributes {
    fn new(flags: &Flags) -> Result<Attributes> {
        let mut attributes = Attributes(MaybeUninit::uninit());
        let raw = attributes.0.as_mut_ptr();
        let mut bits = 0;
        // SAFETY: the first call fills the memory, the others read and change it; the sets are
        // filled before they are read.
        unsafe {
            check("posix_spawn", libc::posix_spawnattr_init(raw))?;
            if flags.setsid {
                bits |= i32::from(libc::POSIX_SPAWN_SETSID);
            }
            if flags.restore_signals {
                let mut all = MaybeUninit::<libc::sigset_t>::uninit();
                libc::sigfillset(all.as_mut_ptr());
                check("posix_spawn", libc::posix_spawnattr_setsigdefault(raw, all.as_ptr()))?;
                let mut none = MaybeUninit::<libc::sigset_t>::uninit();
                libc::sigemptyset(none.as_mut_ptr());
                check("posix_spawn", libc::posix_spawnattr_setsigmask(raw, none.as_ptr()))?;
                bits |= libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK;
            }
            check("posix_spawn", libc::posix_spawnattr_setflags(raw, bits as i16))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialized by `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(self.0.as_mut_ptr()) };
    }
}

/// A pipe for a stream: our end and the child's, which is no standard descriptor.
fn pipe(stream: RawFd) -> io::Result<(Pipe, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
    let (ours, theirs) = if stream == 0 { (writer, reader) } else { (reader, writer) };
    set_nonblocking(ours.as_raw_fd())?;
    // SAFETY: a valid descriptor; the result is a new one.
    let theirs = unsafe {
        let high = libc::fcntl(theirs.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3);
        if high < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(high)
    };
    let ours = if stream == 0 { Pipe::writer(ours) } else { Pipe::reader(ours) };
    Ok((ours?, theirs))
}

fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: flags of a valid descriptor.
    let result = unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The open descriptors beside the standard ones that a child would inherit.
fn inheritable() -> io::Result<Vec<RawFd>> {
    let mut fds = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(fd) = name.to_str().and_then(|name| name.parse::<RawFd>().ok()) else { continue };
        // SAFETY: asking for the flags of a descriptor, which may have been closed.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        if fd > 2 && flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            fds.push(fd);
        }
    }
    Ok(fds)
}

fn c_strings(texts: &[Vec<u8>]) -> Result<Vec<CString>> {
    let convert = |text: &Vec<u8>| {
        CString::new(text.as_slice())
            .map_err(|_| Error::illegal_params("popen: a zero byte in an argument"))
    };
    texts.iter().map(convert).collect()
}

fn pointers(texts: &[CString]) -> Vec<*mut c_char> {
    let texts = texts.iter().map(|text| text.as_ptr().cast_mut());
    texts.chain(std::iter::once(ptr::null_mut())).collect()
}

/// Starts the child.
pub(super) fn start(request: &Request) -> Result<Started> {
    let mut actions = Actions::new()?;
    let mut pipes = [const { None }; 3];
    // Open until the child has them.
    let mut theirs = Vec::new();
    for (fd, stream) in (0..).zip(request.streams) {
        match stream {
            Stream::Inherited => {}
            Stream::Null => actions.open_null(fd)?,
            Stream::Closed => actions.close(fd)?,
            Stream::Pipe => {
                let (ours, end) =
                    pipe(fd).map_err(|error| Error::system("Can't create pipe2", &error))?;
                actions.duplicate(end.as_raw_fd(), fd)?;
                pipes[fd as usize] = Some(Rc::new(ours));
                theirs.push(end);
            }
        }
    }
    for fd in &request.inherited {
        // To itself: it stays open.
        actions.duplicate(*fd, *fd)?;
    }
    if request.flags.close_fds {
        let fds = inheritable()
            .map_err(|error| Error::system("fdin: Can't open /proc/self/fd", &error))?;
        for fd in fds.into_iter().filter(|fd| !request.inherited.contains(fd)) {
            actions.close(fd)?;
        }
    }
    let attributes = Attributes::new(&request.flags)?;
    let mut arguments = c_strings(&request.arguments)?;
    let mut path = arguments.first().cloned().unwrap_or_default();
    if request.flags.shell {
        arguments.splice(0..0, [c"sh".to_owned(), c"-c".to_owned()]);
        path = SHELL.to_owned();
    }
    let environment = request.environment.as_deref().map(c_strings).transpose()?;
    let inherited_environment: Vec<_>;
    let environment = match &environment {
        Some(environment) => environment,
        None => {
            use std::os::unix::ffi::OsStrExt;
            inherited_environment = std::env::vars_os()
                .filter_map(|(name, value)| {
                    CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
                })
                .collect();
            &inherited_environment
        }
    };
    let (arguments, environment) = (pointers(&arguments), pointers(environment));
    let mut pid = 0;
    // SAFETY: actions and attributes are initialized; the lists end with null and their texts
    // live until the call returns.
    let code = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            path.as_ptr(),
            actions.0.as_ptr(),
            attributes.0.as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    };
    let pid = if code == 0 { Ok(pid) } else { Err(io::Error::from_raw_os_error(code)) };
    Ok(Started { pid, pipes })
}

/// Sends a signal to a process, or to a group under its negative number.
pub(super) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::kill(pid, signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

thread_local! {
    /// The children that [`watch`] waits for.
    static WATCHED: RefCell<BTreeSet<i32>> = const { RefCell::new(BTreeSet::new()) };
}

/// Reaps the children that have ended and that nobody here waits for: Lua starts them by the `fork` of
/// the C library, and takes them for running as long as their numbers are theirs.
pub fn reap_strangers() {
    // Where the kernel does not list children, they stay until the process ends.
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for task in tasks {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
        for pid in children.filter(|pid| !WATCHED.with_borrow(|watched| watched.contains(pid))) {
            reap(pid);
        }
    }
}

/// Has the end of a child be told, and the child be reaped then.
pub(super) fn watch(pid: i32, end: watch::Sender<Option<End>>) -> io::Result<()> {
    // SAFETY: no memory is involved; the result is a new descriptor.
    let fd = unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd as RawFd)
    };
    // SAFETY: the task below owns the descriptor for as long as it is registered.
    let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
    WATCHED.with_borrow_mut(|watched| watched.insert(pid));
    tokio::spawn(async move {
        loop {
            let readable = fd.readable().await;
            if let Some(found) = reap(pid) {
                WATCHED.with_borrow_mut(|watched| watched.remove(&pid));
                end.send_replace(Some(found));
                break;
            }
            match readable {
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => break,
            }
        }
    });
    Ok(())
}

/// How the child ended, if it has.
fn reap(pid: i32) -> Option<End> {
    let mut status = 0;
    // SAFETY: the call stores the status.
    let found = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
    if found == 0 {
        return None;
    }
    if found < 0 || libc::WIFEXITED(status) {
        return Some(End::Exited(libc::WEXITSTATUS(status)));
    }
    Some(End::Signaled(libc::WTERMSIG(status)))
}
