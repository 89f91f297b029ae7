//! A bounded queue between fibers. Capacity 0 hands over directly: a writer waits for a reader.
//!
//! # Invariants
//! - Values leave in the order in which they came.
//! - While a reader waits the buffer is empty; while a writer waits it is full.
//!
//! # Yields
//! `put`, `get` when they must wait

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use super::handle::Fiber;
use super::{scheduler, timer};

/// Why a value did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelError {
    /// The channel is closed.
    Closed,
    /// The deadline passed.
    TimedOut,
    /// The fiber was cancelled.
    Cancelled,
}

/// A place where a reader waits for a value, or a writer with one.
struct Waiting<T> {
    fiber: Fiber,
    value: Cell<Option<T>>,
    done: Cell<bool>,
}

impl<T> Waiting<T> {
    fn new(value: Option<T>) -> Rc<Waiting<T>> {
        Rc::new(Waiting {
            fiber: scheduler::current(),
            value: Cell::new(value),
            done: Cell::new(false),
        })
    }

    fn finish(&self, value: Option<T>) {
        self.value.set(value);
        self.done.set(true);
        self.fiber.wakeup();
    }
}

/// A bounded queue of `T`.
pub struct Channel<T> {
    capacity: usize,
    buffer: RefCell<VecDeque<T>>,
    readers: RefCell<VecDeque<Rc<Waiting<T>>>>,
    writers: RefCell<VecDeque<Rc<Waiting<T>>>>,
    closed: Cell<bool>,
}

impl<T> Channel<T> {
    /// Room for `capacity` values that nobody has taken yet.
    pub fn new(capacity: usize) -> Channel<T> {
        Channel {
            capacity,
            buffer: RefCell::default(),
            readers: RefCell::default(),
            writers: RefCell::default(),
            closed: Cell::new(false),
        }
    }

    /// Gives a value away, waiting for room until the deadline. Yields when it must wait.
    /// On failure the value comes back.
    pub fn put(&self, value: T, deadline: Option<Instant>) -> Result<(), (ChannelError, T)> {
        if self.closed.get() {
            return Err((ChannelError::Closed, value));
        }
        if let Some(reader) = pop(&self.readers) {
            reader.finish(Some(value));
            return Ok(());
        }
        if self.buffer.borrow().len() < self.capacity {
            self.buffer.borrow_mut().push_back(value);
            return Ok(());
        }
        let waiting = Waiting::new(Some(value));
        match self.stand_in(&self.writers, &waiting, deadline) {
            Ok(()) => Ok(()),
            // Not taken: the value is still there.
            Err(error) => Err((error, waiting.value.take().expect("nobody took it"))),
        }
    }

    /// Takes a value, waiting for one until the deadline. Yields when it must wait.
    pub fn get(&self, deadline: Option<Instant>) -> Result<T, ChannelError> {
        let buffered = self.buffer.borrow_mut().pop_front();
        if let Some(value) = buffered {
            if let Some(writer) = pop(&self.writers) {
                let next = writer.value.take().expect("a waiting writer has its value");
                self.buffer.borrow_mut().push_back(next);
                writer.finish(None);
            }
            return Ok(value);
        }
        if let Some(writer) = pop(&self.writers) {
            let value = writer.value.take().expect("a waiting writer has its value");
            writer.finish(None);
            return Ok(value);
        }
        if self.closed.get() {
            return Err(ChannelError::Closed);
        }
        let waiting = Waiting::new(None);
        self.stand_in(&self.readers, &waiting, deadline)?;
        waiting.value.take().ok_or(ChannelError::Closed)
    }

    fn stand_in(
        &self,
        queue: &RefCell<VecDeque<Rc<Waiting<T>>>>,
        waiting: &Rc<Waiting<T>>,
        deadline: Option<Instant>,
    ) -> Result<(), ChannelError> {
        // Who tries again and again must let others run.
        if waiting.fiber.is_cancelled() {
            scheduler::yield_now();
        }
        queue.borrow_mut().push_back(waiting.clone());
        loop {
            let failure = if waiting.fiber.is_cancelled() {
                ChannelError::Cancelled
            } else if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                ChannelError::TimedOut
            } else {
                timer::suspend_until(deadline);
                if waiting.done.get() {
                    return Ok(());
                }
                if !self.closed.get() {
                    continue;
                }
                ChannelError::Closed
            };
            queue.borrow_mut().retain(|other| !Rc::ptr_eq(other, waiting));
            return Err(failure);
        }
    }

    /// Refuses further values; waiting readers and writers fail, buffered values can be taken.
    pub fn close(&self) {
        self.closed.set(true);
        self.wake_all();
    }

    /// Refuses further values and drops the buffered ones.
    pub fn destroy(&self) {
        self.closed.set(true);
        self.buffer.borrow_mut().clear();
        self.wake_all();
    }

    fn wake_all(&self) {
        for queue in [&self.readers, &self.writers] {
            let fibers: Vec<Fiber> =
                queue.borrow().iter().map(|waiting| waiting.fiber.clone()).collect();
            fibers.iter().for_each(Fiber::wakeup);
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Values that wait to be taken.
    pub fn count(&self) -> usize {
        self.buffer.borrow().len()
    }

    /// Room for values.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether there is no room.
    pub fn is_full(&self) -> bool {
        self.count() >= self.capacity
    }

    /// Whether a reader waits.
    pub fn has_readers(&self) -> bool {
        !self.readers.borrow().is_empty()
    }

    /// Whether a writer waits.
    pub fn has_writers(&self) -> bool {
        !self.writers.borrow().is_empty()
    }
}

fn pop<T>(queue: &RefCell<VecDeque<Rc<Waiting<T>>>>) -> Option<Rc<Waiting<T>>> {
    queue.borrow_mut().pop_front()
}
