//! From a message to its destination: at once, or by way of the queue and its thread.
//!
//! # Invariants
//! - A message is written at once only when the queue is empty and its thread is idle, so order
//!   is kept.
//!
//! # Yields
//! never

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::destination::Destination;
use super::record::{Format, Record};
use crate::base::error::Result;
use crate::base::limits::LOG_QUEUE_SIZE_MAX;

static STATE: Mutex<State> = Mutex::new(State {
    destination: None,
    name: None,
    format: Format::Bare,
    waits: false,
    queue: VecDeque::new(),
    queued_size: 0,
    is_writing: false,
    has_thread: false,
    lost: 0,
});
/// The state changed in a way that someone waits for.
static CHANGED: Condvar = Condvar::new();

struct State {
    /// `None` is standard error.
    destination: Option<Arc<Shared>>,
    /// What `destination` was opened by.
    name: Option<String>,
    format: Format,
    /// Whoever speaks waits for room in a full queue.
    waits: bool,
    queue: VecDeque<(Arc<Shared>, String)>,
    queued_size: usize,
    /// The thread writes a message that it has taken off the queue.
    is_writing: bool,
    has_thread: bool,
    /// Messages dropped since the queue was last empty.
    lost: u64,
}

/// A destination that the thread and the state share.
struct Shared(Mutex<Destination>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Destination> {
        // A panic while writing leaves nothing half-done that matters here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stderr() -> Arc<Shared> {
    Arc::new(Shared(Mutex::new(Destination::Stderr)))
}

/// Writes a message or queues it.
pub(super) fn say(record: &Record) {
    let mut state = lock();
    while state.waits && state.queued_size >= LOG_QUEUE_SIZE_MAX {
        state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    let shared = state.destination.get_or_insert_with(stderr).clone();
    let format = state.format;
    if !state.queue.is_empty() || state.is_writing {
        state.push(shared, record, format);
        return;
    }
    let destination = shared.lock();
    let text = text_for(&destination, record, format);
    if record.is_fatal() && !destination.reaches_stderr() {
        Destination::Stderr.write(text.as_bytes());
    }
    if destination.takes(text.len()) {
        destination.write(text.as_bytes());
    } else {
        drop(destination);
        state.push_text(shared, text);
    }
}

fn text_for(destination: &Destination, record: &Record, format: Format) -> String {
    match destination.syslog() {
        Some(syslog) => record.syslog(syslog.facility, &syslog.identity, format),
        None => record.text(format),
    }
}

impl State {
    fn push(&mut self, shared: Arc<Shared>, record: &Record, format: Format) {
        // The thread may hold the destination for long; what it is does not change.
        let text = match shared.0.try_lock() {
            Ok(destination) => text_for(&destination, record, format),
            Err(_) => record.text(format),
        };
        self.push_text(shared, text);
    }

    fn push_text(&mut self, shared: Arc<Shared>, text: String) {
        if !self.waits && self.queued_size + text.len() > LOG_QUEUE_SIZE_MAX {
            self.lost += 1;
            return;
        }
        if !self.has_thread {
            let spawned = std::thread::Builder::new().name("log".to_owned()).spawn(write_queued);
            if spawned.is_err() {
                self.lost += 1;
                return;
            }
            self.has_thread = true;
        }
        self.queued_size += text.len();
        self.queue.push_back((shared, text));
        CHANGED.notify_all();
    }
}

/// The thread: writes what is queued, waiting for the reader as long as it takes.
fn write_queued() {
    let mut state = lock();
    loop {
        let Some((shared, text)) = state.queue.pop_front() else {
            CHANGED.notify_all();
            state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        state.queued_size -= text.len();
        if state.waits {
            CHANGED.notify_all();
        }
        state.is_writing = true;
        drop(state);
        shared.lock().write(text.as_bytes());
        state = lock();
        state.is_writing = false;
        if state.queue.is_empty() && state.lost > 0 {
            let lost = std::mem::take(&mut state.lost);
            let record = Record::new(4, format!("{lost} log messages were lost"));
            let format = state.format;
            state.push(shared, &record, format);
        }
    }
}

/// Opens another destination and sets the form, and whether a full queue is waited for. Nothing
/// changes when that fails.
pub(super) fn configure(name: Option<&str>, waits: bool, format: Format) -> Result<()> {
    let mut state = lock();
    if state.name.as_deref() != name {
        let destination = Destination::open(name)?;
        state.destination = Some(Arc::new(Shared(Mutex::new(destination))));
        state.name = name.map(str::to_owned);
    }
    state.format = format;
    state.waits = waits;
    Ok(())
}

/// Opens the file anew. False: messages do not go to a file.
pub(super) fn rotate() -> Result<bool> {
    let mut state = lock();
    let Some(shared) = state.destination.clone() else { return Ok(false) };
    let reopened = match shared.0.try_lock() {
        Ok(destination) => destination.reopened()?,
        // The thread writes to a slow file; by name it can be opened all the same.
        Err(_) => Some(Destination::open(state.name.as_deref())?).filter(|new| !new.is_stderr()),
    };
    let Some(reopened) = reopened else { return Ok(false) };
    state.destination = Some(Arc::new(Shared(Mutex::new(reopened))));
    Ok(true)
}

/// The process that messages go to, or 0.
pub(super) fn pid() -> u32 {
    lock()
        .destination
        .as_ref()
        .and_then(|shared| Some(shared.0.try_lock().ok()?.pid()))
        .unwrap_or(0)
}

/// Waits until the queue is empty, at most so long.
pub(super) fn flush(wait_max: Duration) {
    let deadline = Instant::now() + wait_max;
    let mut state = lock();
    while !state.queue.is_empty() || state.is_writing {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        state = CHANGED.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}
