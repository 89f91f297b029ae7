//! The log: takes what `tracing` and Lua's `log` say, and writes it where the configuration wants.
//!
//! Before `log.cfg` or `box.cfg` a message is written bare to standard error, as a script expects;
//! after it in Tarantool's plain or JSON form. A message is written at once when the destination
//! takes it without waiting; else it goes to a bounded queue that a thread empties, so that a
//! stalled disk or a reader that sleeps never stops the thread that owns the data. When the queue
//! is full, messages are dropped, and how many is written as soon as there is room; `nonblock =
//! false` asks to wait for room instead.
//!
//! # Invariants
//! - Messages are written in the order in which they were said.
//! - A message is written with one call, so a file is never rotated in the middle of it.
//!
//! # Yields
//! never
//!
//! # Not here
//! Levels of Lua modules: Lua's `log` drops what is too detailed before it is formatted.

mod destination;
mod queue;
mod record;

use std::rc::Rc;
use std::time::Duration;

use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use crate::base::error::Result;
use crate::builtin::log as levels;
use destination::Destination;
use record::{Format, Record};

/// Longest wait for the queue at the end of the process.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(5);

/// The number of the level `fatal`.
const FATAL: u8 = 0;

/// Has everything that is said from now on written to standard error.
pub fn install() {
    levels::set_sink(Rc::new(Sink));
    // Only a second call finds a subscriber; there is one process, so the first one serves.
    let _ = tracing::subscriber::set_global_default(Sayer);
}

/// Says that the process cannot go on. The message is on standard error in any case.
pub fn fatal(message: &str) {
    let record = Record::new(FATAL, message.to_owned());
    queue::say(&record);
    flush();
}

/// Waits until everything said is written; not longer than [`FLUSH_WAIT_MAX`].
pub fn flush() {
    queue::flush(FLUSH_WAIT_MAX);
}

/// Opens the log file again after it was moved away.
pub fn rotate() {
    match queue::rotate() {
        Ok(false) => {}
        Ok(true) => tracing::info!("log file has been reopened"),
        Err(error) => tracing::error!("{error}"),
    }
}

/// What Lua's `log` is connected to.
struct Sink;

impl levels::Sink for Sink {
    fn configure(
        &self,
        destination: Option<&str>,
        nonblock: Option<bool>,
        format: &str,
    ) -> Result<()> {
        let format = if format == "json" { Format::Json } else { Format::Plain };
        queue::configure(destination, nonblock == Some(false), format)
    }

    fn check(&self, destination: Option<&str>) -> Result<()> {
        Destination::check(destination)
    }

    fn rotate(&self) {
        rotate();
    }

    fn pid(&self) -> u32 {
        queue::pid()
    }
}

/// Takes events; spans are not used.
struct Sayer;

impl Subscriber for Sayer {
    /// The level changes at run time, so nothing is decided for good.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && (metadata.target() == record::LUA
                || record::level_of(*metadata.level()) <= levels::level_of(metadata.target()))
    }

    fn event(&self, event: &Event<'_>) {
        queue::say(&Record::of(event));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &SpanRecord<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
