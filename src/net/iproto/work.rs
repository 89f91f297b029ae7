//! Packets that arrived together, and the fibers that run them.
//!
//! One fiber at a time is the runner: it takes packets and executes them. Before a request that
//! may wait for long (`CALL`) it parks the replies it has; when it then switches away, the reader
//! of the connection takes them, and starts another runner for the rest. The first one comes back
//! only to write its own reply.
//!
//! # Invariants
//! - Packets are taken in order, each once.
//! - Only the runner of the last round takes packets.
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::frame::{self, Frame};
use crate::fiber::Cond;

/// What the runner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none.
    Idle,
    /// It executes, in order.
    Running,
    /// It waits inside a request: another one may go on.
    Waiting,
}

/// Sends the replies that the runner has parked when what they acknowledge is durable.
pub type Parked = Rc<dyn Fn()>;

/// Packets that arrived together.
pub struct Work {
    input: Vec<u8>,
    next: Cell<usize>,
    stage: Cell<Stage>,
    round: Cell<u64>,
    parked: RefCell<Option<Parked>>,
    /// Broadcast when the stage changes.
    pub(super) changed: Cond,
}

impl Work {
    /// Of complete packets.
    pub(super) fn new(input: Vec<u8>) -> Work {
        Work {
            input,
            next: Cell::new(0),
            stage: Cell::new(Stage::Idle),
            round: Cell::new(0),
            parked: RefCell::default(),
            changed: Cond::new(),
        }
    }

    /// Whether there are packets to take.
    pub fn has_more(&self) -> bool {
        self.next.get() < self.input.len()
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    fn set_stage(&self, stage: Stage) {
        self.stage.set(stage);
        self.changed.broadcast();
    }

    /// A new runner begins; returns the number of its round.
    pub(super) fn begin_round(&self) -> u64 {
        self.round.set(self.round.get() + 1);
        self.stage.set(Stage::Running);
        self.round.get()
    }

    /// The next packet, for the runner of this round; `None`: it has nothing more to do.
    pub fn take(&self, round: u64) -> Option<&[u8]> {
        if self.round.get() != round {
            return None;
        }
        let packet = self.upcoming().next()?;
        let end = packet.as_ptr_range().end as usize - self.input.as_ptr() as usize;
        self.next.set(end);
        Some(packet)
    }

    /// The packets behind the one taken last, which may still be taken by another runner.
    pub fn upcoming(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = self.next.get();
        std::iter::from_fn(move || {
            let packet = match frame::find(&self.input[start..]) {
                Ok(Frame::Packet(packet)) => start + packet.start..start + packet.end,
                _ => return None,
            };
            start = packet.end;
            Some(&self.input[packet])
        })
    }

    /// The runner is about to do what may take long; `parked` sends the replies before it. False:
    /// another runner has taken its place, so that nobody would call that.
    pub fn begin_wait(&self, round: u64, parked: &Parked) -> bool {
        if self.round.get() != round {
            return false;
        }
        self.parked.replace(Some(parked.clone()));
        self.set_stage(Stage::Waiting);
        true
    }

    /// The runner is done with that.
    pub fn end_wait(&self, round: u64) {
        if self.round.get() == round {
            self.parked.take();
            self.set_stage(Stage::Running);
        }
    }

    /// The runner has executed what it took.
    pub fn end_round(&self, round: u64) {
        if self.round.get() == round {
            self.set_stage(Stage::Idle);
        }
    }

    pub(super) fn take_parked(&self) -> Option<Parked> {
        if self.stage.get() == Stage::Waiting { self.parked.take() } else { None }
    }
}
