//! The native half of `popen`: child processes, their streams and their ends.
//!
//! A child is started by `posix_spawn`, which does not copy the parent's page tables. A task of
//! the run loop waits on the child's process descriptor and reaps it; until then its number
//! belongs to it, so a signal never reaches a stranger. Errors of arguments are the Lua half's.
//!
//! # Invariants
//! - A child that is not kept dies with its handle, and with the program.
//!
//! # Yields
//! `wait`, `read`, `write`

mod pipe;
mod spawn;

use std::cell::RefCell;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use self::pipe::Pipe;
pub use self::spawn::reap_strangers;
use self::spawn::{Flags, Request, Stream};
use crate::base::error::{Error, Result, Type};
use crate::fiber;
use crate::lua::{Context, Kind, Module, userdata};

/// Most bytes that one `read` returns.
const READ_SIZE: usize = 4096;

/// The names of the standard streams, by descriptor.
const STREAMS: [&str; 3] = ["stdin", "stdout", "stderr"];

/// Pushes the functions and the numbers of signals.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("set_metatable", lua_popen_set_metatable)
        .function("refuse", lua_popen_refuse)
        .function("spawn", lua_popen_spawn)
        .function("is_handle", lua_popen_is_handle)
        .function("is_closed", lua_popen_is_closed)
        .function("signal", lua_popen_signal)
        .function("wait", lua_popen_wait)
        .function("read", lua_popen_read)
        .function("write", lua_popen_write)
        .function("shutdown", lua_popen_shutdown)
        .function("close", lua_popen_close)
        .function("pid", lua_popen_pid)
        .function("status", lua_popen_status)
        .function("stream", lua_popen_stream);
    cx.new_table(0, SIGNALS.len());
    for (name, number) in SIGNALS {
        cx.push_integer(i64::from(*number));
        cx.raw_set_field(-2, name);
    }
    cx.raw_set_field(-2, "signals");
    Ok(())
}

macro_rules! signals {
    ($($name:ident)*) => {
        &[$((stringify!($name), libc::$name)),*]
    };
}

const SIGNALS: &[(&str, i32)] = signals! {
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGIOT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV
    SIGUSR2 SIGPIPE SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU
    SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPOLL SIGPWR SIGSYS
};

/// How a process ended.
#[derive(Clone, Copy)]
enum End {
    Exited(i32),
    Signaled(i32),
}

/// A child process.
struct Process {
    pid: i32,
    end: watch::Receiver<Option<End>>,
    is_group_signalled: bool,
    is_kept: bool,
    pipes: [RefCell<Option<Rc<Pipe>>>; 3],
}

/// What Lua holds; empty once it was closed.
struct Handle(RefCell<Option<Rc<Process>>>);

thread_local! {
    /// Every process whose handle lives, to be ended with the program.
    static ALL: RefCell<Vec<Weak<Process>>> = const { RefCell::new(Vec::new()) };
}

/// Kills every child that is not to be kept. Called at the end of the program.
pub fn kill_all() {
    for process in ALL.take().iter().filter_map(Weak::upgrade) {
        // The program ends whatever comes of it.
        let _ = process.abandon();
    }
}

impl Process {
    fn end(&self) -> Option<End> {
        *self.end.borrow()
    }

    /// Sends a signal, to the process or its group.
    fn signal(&self, number: i32) -> io::Result<()> {
        if self.end().is_some() {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        spawn::kill(if self.is_group_signalled { -self.pid } else { self.pid }, number)
    }

    /// What becomes of the process that nobody holds any more.
    fn abandon(&self) -> io::Result<()> {
        if self.is_kept {
            return Ok(());
        }
        match self.signal(libc::SIGKILL) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            result => result,
        }
    }

    fn close_pipes(&self) {
        for pipe in &self.pipes {
            if let Some(pipe) = pipe.take() {
                pipe.close();
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.abandon();
    }
}

fn lua_popen_set_metatable(cx: Context<'_>) -> Result<usize> {
    cx.set_top(1);
    userdata::set_metatable::<Handle>(cx);
    Ok(0)
}

/// `refuse(message)`: raises `IllegalParams`.
fn lua_popen_refuse(cx: Context<'_>) -> Result<usize> {
    Err(Error::illegal_params(cx.check_text(1)?))
}

/// The strings of the list at `index`.
fn strings(cx: Context<'_>, index: i32) -> Result<Vec<Vec<u8>>> {
    let index = cx.absolute(index);
    (1..)
        .take(cx.raw_len(index))
        .map(|number| {
            cx.raw_get_index(index, number);
            let text = cx.check_bytes(-1).map(<[u8]>::to_vec);
            cx.pop(1);
            text
        })
        .collect()
}

/// The request that a table describes.
fn request(cx: Context<'_>) -> Result<Request> {
    cx.check_kind(1, Kind::Table)?;
    cx.raw_get_field(1, "argv");
    let arguments = strings(cx, -1)?;
    cx.pop(1);
    let environment = match cx.raw_get_field(1, "env") {
        Kind::Nil => None,
        _ => Some(strings(cx, -1)?),
    };
    cx.pop(1);
    cx.raw_get_field(1, "inherit_fds");
    let inherited = (1..)
        .take(if cx.kind(-1) == Kind::Table { cx.raw_len(-1) } else { 0 })
        .map(|number| {
            cx.raw_get_index(-1, number);
            let fd = cx.check_integer(-1);
            cx.pop(1);
            fd.map(|fd| fd as i32)
        })
        .collect::<Result<Vec<_>>>()?;
    cx.pop(1);
    let streams = STREAMS.map(|name| {
        cx.raw_get_field(1, name);
        let stream = match cx.bytes(-1) {
            Some(b"pipe") => Stream::Pipe,
            Some(b"devnull") => Stream::Null,
            Some(b"close") => Stream::Closed,
            _ => Stream::Inherited,
        };
        cx.pop(1);
        stream
    });
    Ok(Request {
        arguments,
        environment,
        streams,
        inherited,
        flags: Flags {
            shell: cx.raw_boolean_field(1, "shell"),
            setsid: cx.raw_boolean_field(1, "setsid"),
            close_fds: cx.raw_boolean_field(1, "close_fds"),
            restore_signals: cx.raw_boolean_field(1, "restore_signals"),
        },
    })
}

/// `spawn(options)`: a handle; nil and an error.
fn lua_popen_spawn(cx: Context<'_>) -> Result<usize> {
    let request = request(cx)?;
    let (is_group_signalled, is_kept) =
        (cx.raw_boolean_field(1, "group_signal"), cx.raw_boolean_field(1, "keep_child"));
    let (end_sender, end) = watch::channel(None);
    let started = match spawn::start(&request) {
        Ok(started) => started,
        Err(error) => return push_failure(cx, &error),
    };
    let pid = match started.pid {
        Ok(pid) => {
            if let Err(error) = spawn::watch(pid, end_sender) {
                // Without a way to see its end it must not run.
                let _ = spawn::kill(pid, libc::SIGKILL);
                return push_failure(cx, &Error::system("pidfd_open", &error));
            }
            pid
        }
        // As a child of `fork` does whose `exec` failed.
        Err(error) => {
            end_sender.send_replace(Some(End::Exited(error.raw_os_error().unwrap_or(1))));
            -1
        }
    };
    let pipes = started.pipes.map(RefCell::new);
    let process = Rc::new(Process { pid, end, is_group_signalled, is_kept, pipes });
    ALL.with_borrow_mut(|all| {
        all.retain(|process| process.strong_count() > 0);
        all.push(Rc::downgrade(&process));
    });
    userdata::push(cx, Handle(RefCell::new(Some(process))));
    Ok(1)
}

/// Returns nil and an error; wrong arguments and cancellation are raised.
fn push_failure(cx: Context<'_>, error: &Error) -> Result<usize> {
    if matches!(error.kind(), Type::IllegalParams | Type::FiberIsCancelled) {
        return Err(error.clone());
    }
    cx.push_nil();
    cx.push_error(error.clone());
    Ok(2)
}

fn push_done(cx: Context<'_>, result: Result<()>) -> Result<usize> {
    match result {
        Ok(()) => {
            cx.push_boolean(true);
            Ok(1)
        }
        Err(error) => push_failure(cx, &error),
    }
}

fn lua_popen_is_handle(cx: Context<'_>) -> Result<usize> {
    cx.push_boolean(userdata::get::<Handle>(cx, 1).is_some());
    Ok(1)
}

fn lua_popen_is_closed(cx: Context<'_>) -> Result<usize> {
    let handle = userdata::get::<Handle>(cx, 1);
    cx.push_boolean(handle.is_none_or(|handle| handle.0.borrow().is_none()));
    Ok(1)
}

/// The process of the handle at 1.
fn process(cx: Context<'_>) -> Result<Rc<Process>> {
    let process = userdata::get::<Handle>(cx, 1).and_then(|handle| handle.0.borrow().clone());
    process.ok_or_else(|| Error::illegal_params("popen: attempt to operate on a closed handle"))
}

fn send_signal(process: &Process, number: i32) -> Result<()> {
    process.signal(number).map_err(|error| {
        if error.raw_os_error() == Some(libc::ESRCH) {
            let what = format!(
                "Attempt to send a signal {number} to a process that does not exist anymore"
            );
            return Error::system(&what, &error);
        }
        let how = if process.is_group_signalled { "killpg" } else { "kill" };
        Error::system(&format!("Unable to {how} {} signo {number}", process.pid), &error)
    })
}

/// `signal(handle, number)`
fn lua_popen_signal(cx: Context<'_>) -> Result<usize> {
    let process = process(cx)?;
    let number = cx.check_number(2)? as i32;
    push_done(cx, send_signal(&process, number))
}

/// The timeout in seconds at `index`; absent or endless: none.
fn timeout(cx: Context<'_>, index: i32) -> Result<Option<Duration>> {
    let seconds = cx.opt_number(index, f64::INFINITY)?;
    Ok(Duration::try_from_secs_f64(seconds.max(0.0)).ok())
}

/// Waits for a future at most that long. Yields.
fn wait_timeout<F: Future>(timeout: Option<Duration>, future: F) -> Result<F::Output> {
    match timeout {
        None => fiber::wait_or_cancel(future),
        Some(timeout) => fiber::wait_or_cancel(tokio::time::timeout(timeout, future))?
            .map_err(|_| Error::new(Type::TimedOut, "timed out")),
    }
}

/// `wait(handle, timeout)`: the status; nil and an error. Yields.
fn lua_popen_wait(cx: Context<'_>) -> Result<usize> {
    let timeout = timeout(cx, 2)?;
    let mut end = process(cx)?.end.clone();
    let waited = wait_timeout(timeout, async {
        let ended = end.wait_for(Option::is_some).await;
        ended.ok().and_then(|end| *end)
    });
    if process(cx).is_err() {
        let error = Error::new(Type::ChannelIsClosed, "Channel is closed");
        return push_failure(cx, &error);
    }
    match waited {
        Ok(end) => {
            push_status(cx, end);
            Ok(1)
        }
        Err(error) => push_failure(cx, &error),
    }
}

/// The pipe of a stream that something is to be done with.
fn pipe(process: &Process, number: usize) -> Result<Rc<Pipe>> {
    process.pipes[number].borrow().clone().ok_or_else(|| {
        Error::illegal_params("popen: handle does not support the requested IO operation")
    })
}

/// `read(handle, from stderr, timeout)`: what there is, empty at the end; nil and an error. Yields.
fn lua_popen_read(cx: Context<'_>) -> Result<usize> {
    let timeout = timeout(cx, 3)?;
    let pipe = pipe(&*process(cx)?, if cx.boolean(2) { 2 } else { 1 })?;
    let mut buffer = vec![0; READ_SIZE];
    match wait_timeout(timeout, pipe.read(&mut buffer)).and_then(|result| result) {
        Ok(size) => {
            cx.push_bytes(&buffer[..size]);
            Ok(1)
        }
        Err(error) => push_failure(cx, &error),
    }
}

/// `write(handle, text, timeout)`: true; nil and an error. Yields.
fn lua_popen_write(cx: Context<'_>) -> Result<usize> {
    let timeout = timeout(cx, 3)?;
    let text = cx.check_bytes(2)?;
    let pipe = pipe(&*process(cx)?, 0)?;
    let result = wait_timeout(timeout, pipe.write(text)).and_then(|result| result);
    push_done(cx, result)
}

/// `shutdown(handle, stdin, stdout, stderr)`: closes our ends of the pipes.
fn lua_popen_shutdown(cx: Context<'_>) -> Result<usize> {
    let process = process(cx)?;
    let chosen = || (0..3).filter(|number| cx.boolean(*number as i32 + 2));
    if chosen().next().is_none() {
        let message = "popen: neither stdin, stdout nor stderr is set";
        return Err(Error::illegal_params(message));
    }
    for number in chosen() {
        pipe(&process, number)?;
    }
    for number in chosen() {
        pipe(&process, number)?.close();
    }
    push_done(cx, Ok(()))
}

/// `close(handle)`: the process is killed unless it is to be kept.
fn lua_popen_close(cx: Context<'_>) -> Result<usize> {
    let process = userdata::get::<Handle>(cx, 1).and_then(|handle| handle.0.take());
    let Some(process) = process else { return push_done(cx, Ok(())) };
    let killed = process.abandon();
    process.close_pipes();
    let how = if process.is_group_signalled { "killpg" } else { "kill" };
    let what = || format!("Unable to {how} {} signo {}", process.pid, libc::SIGKILL);
    push_done(cx, killed.map_err(|error| Error::system(&what(), &error)))
}

/// `pid(handle)`: nil once the process has ended.
fn lua_popen_pid(cx: Context<'_>) -> Result<usize> {
    let process = process(cx)?;
    match process.end() {
        Some(_) => cx.push_nil(),
        None => cx.push_integer(i64::from(process.pid)),
    }
    Ok(1)
}

/// `status(handle)`
fn lua_popen_status(cx: Context<'_>) -> Result<usize> {
    let process = process(cx)?;
    push_status(cx, process.end());
    Ok(1)
}

fn push_status(cx: Context<'_>, end: Option<End>) {
    let (state, field, number) = match end {
        None => ("alive", None, 0),
        Some(End::Exited(code)) => ("exited", Some("exit_code"), code),
        Some(End::Signaled(number)) => ("signaled", Some("signo"), number),
    };
    cx.new_table(0, 3);
    cx.push_bytes(state);
    cx.raw_set_field(-2, "state");
    if let Some(field) = field {
        cx.push_integer(i64::from(number));
        cx.raw_set_field(-2, field);
    }
    if let Some(End::Signaled(number)) = end {
        // Of two names for one number Tarantool shows the later.
        let name = SIGNALS.iter().rev().find(|(_, known)| *known == number);
        cx.push_bytes(name.map_or("unknown", |(name, _)| name));
        cx.raw_set_field(-2, "signame");
    }
}

/// `stream(handle, number)`: open, closed, or nil if it is no pipe.
fn lua_popen_stream(cx: Context<'_>) -> Result<usize> {
    let process = process(cx)?;
    let number = usize::try_from(cx.check_integer(2)?).unwrap_or(0).min(2);
    match &*process.pipes[number].borrow() {
        None => cx.push_nil(),
        Some(pipe) => cx.push_bytes(if pipe.is_closed() { "closed" } else { "open" }),
    }
    Ok(1)
}
