//! The side of tx: threads that serve sockets, and a connection of one of them.
//!
//! # Invariants
//! - A connection stays with the thread that it was given to.
//!
//! # Yields
//! `Remote::next` and `Remote::wait_ready`; the fibers that it starts

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::thread::{self, Command, Event, Exchange, Flow, Open, Queue};
use crate::base::limits::IPROTO_THREAD_COUNT_MAX;
use crate::fiber::{self, Cond, Fiber};

/// A thread, as tx speaks to it.
pub(super) struct Thread {
    exchange: Arc<Exchange>,
    /// What leaves when the fibers that are ready have run.
    commands: RefCell<Vec<Command>>,
    sender: RefCell<Option<Fiber>>,
}

impl Thread {
    /// Starts a thread; `receive` is called, on a fiber of its own, with what it tells.
    fn start(
        number: usize,
        readahead: usize,
        receive: impl Fn(Event) + 'static,
    ) -> io::Result<Rc<Thread>> {
        let exchange = Arc::new(Exchange {
            commands: Queue::new(),
            events: Queue::new(),
            readahead: AtomicUsize::new(readahead),
        });
        let own = exchange.clone();
        std::thread::Builder::new().name(format!("iproto{number}")).spawn(move || {
            if let Err(error) = thread::run(&own) {
                tracing::error!("a network thread: {error}");
            }
        })?;
        let result = Rc::new(Thread {
            exchange: exchange.clone(),
            commands: RefCell::default(),
            sender: RefCell::default(),
        });
        let sender = fiber::spawn("iproto.send", {
            let thread = result.clone();
            move || loop {
                thread.exchange.commands.put(&mut thread.commands.borrow_mut());
                fiber::suspend();
            }
        });
        sender.set_system();
        result.sender.replace(Some(sender));
        let receiver = fiber::spawn("iproto.receive", move || {
            let mut events = Vec::new();
            loop {
                fiber::wait(exchange.events.take(&mut events));
                events.drain(..).for_each(&receive);
            }
        });
        receiver.set_system();
        Ok(result)
    }

    fn send(&self, command: Command) {
        let mut commands = self.commands.borrow_mut();
        commands.push(command);
        // Behind the fibers that are ready: what they have to say leaves together.
        if commands.len() == 1
            && let Some(sender) = &*self.sender.borrow()
        {
            sender.wakeup();
        }
    }
}

/// The threads of a server; none: tx serves the sockets itself.
#[derive(Default)]
pub(super) struct Threads {
    threads: RefCell<Vec<Rc<Thread>>>,
    next: Cell<usize>,
}

impl Threads {
    /// Starts so many, unless there are some: their number does not change.
    pub fn start(
        &self,
        count: usize,
        readahead: usize,
        receive: impl Fn(Event) + Clone + 'static,
    ) -> io::Result<()> {
        if !self.threads.borrow().is_empty() {
            return Ok(());
        }
        let threads: io::Result<Vec<_>> = (1..=count.min(IPROTO_THREAD_COUNT_MAX))
            .map(|number| Thread::start(number, readahead, receive.clone()))
            .collect();
        self.threads.replace(threads?);
        Ok(())
    }

    /// Changes how much is read at once.
    pub fn set_readahead(&self, readahead: usize) {
        for thread in self.threads.borrow().iter() {
            thread.exchange.readahead.store(readahead, Ordering::Relaxed);
        }
    }

    /// The one for the next connection.
    pub fn pick(&self) -> Option<Rc<Thread>> {
        let threads = self.threads.borrow();
        let at = self.next.replace(self.next.get().wrapping_add(1));
        threads.get(at.checked_rem(threads.len())?).cloned()
    }
}

/// What came for a connection.
pub(super) enum Input {
    Packets(Vec<u8>),
    /// What is no packet; nothing comes after it.
    Broken(Vec<u8>),
}

/// The socket of a connection, at its thread.
pub(super) struct Remote {
    id: u64,
    descriptor: i32,
    thread: Rc<Thread>,
    flow: Arc<Flow>,
    inbox: RefCell<VecDeque<Input>>,
    is_ready: Cell<bool>,
    is_ended: Cell<bool>,
    /// Signalled when one of them changes.
    changed: Cond,
}

impl Remote {
    /// Gives a socket to a thread.
    pub fn open(thread: Rc<Thread>, descriptor: i32, open: Open) -> Remote {
        let (id, flow, is_plain) = (open.id, open.flow.clone(), open.tls.is_none());
        thread.send(Command::Open(Box::new(open)));
        Remote {
            id,
            descriptor,
            thread,
            flow,
            inbox: RefCell::default(),
            is_ready: Cell::new(is_plain),
            is_ended: Cell::new(false),
            changed: Cond::new(),
        }
    }

    /// The descriptor's number.
    pub fn descriptor(&self) -> i32 {
        self.descriptor
    }

    /// Notes what the thread tells. Whether less waits to be written.
    pub fn note(&self, event: Event) -> bool {
        match event {
            Event::Ready(_) => self.is_ready.set(true),
            Event::Packets(_, bytes) => self.inbox.borrow_mut().push_back(Input::Packets(bytes)),
            Event::Broken(_, bytes) => self.inbox.borrow_mut().push_back(Input::Broken(bytes)),
            Event::End(_) | Event::Failed(_) => self.is_ended.set(true),
            Event::Written(_) => return true,
        }
        self.changed.broadcast();
        false
    }

    /// Wakes whoever waits.
    pub fn wake(&self) {
        self.changed.broadcast();
    }

    /// Waits until hands are shaken; false: they never will be. Yields.
    pub fn wait_ready(&self, is_open: impl Fn() -> bool) -> bool {
        while !self.is_ready.get() && !self.is_ended.get() && is_open() {
            self.changed.wait();
        }
        self.is_ready.get()
    }

    /// Waits for what comes next; `None`: nothing will, or the connection is not open any more.
    /// Yields.
    pub fn next(&self, is_open: impl Fn() -> bool) -> Option<Input> {
        while is_open() {
            let input = self.inbox.borrow_mut().pop_front();
            if let Some(input) = input {
                if let Input::Packets(bytes) = &input
                    && self.flow.take_input(bytes.len())
                {
                    self.thread.send(Command::Resume(self.id));
                }
                return Some(input);
            }
            if self.is_ended.get() {
                break;
            }
            self.changed.wait();
        }
        None
    }

    /// Has bytes written.
    pub fn write(&self, bytes: Vec<u8>) {
        self.flow.add_output(bytes.len());
        self.thread.send(Command::Write(self.id, bytes));
    }

    /// Bytes that wait to be written.
    pub fn output(&self) -> usize {
        self.flow.output()
    }

    /// Wants to be told when fewer do.
    pub fn await_output(&self) {
        self.flow.await_output();
    }

    /// Closes it when all is written; waits for that. Yields.
    pub fn finish(&self, is_wanted: impl Fn() -> bool) {
        self.thread.send(Command::Finish(self.id));
        self.is_ended.set(false);
        while !self.is_ended.get() && is_wanted() {
            self.changed.wait();
        }
    }

    /// Closes it.
    pub fn close(&self) {
        self.thread.send(Command::Close(self.id));
    }
}
