//! The fibers that are to run, in order.
//!
//! Who was made ready runs in that order, save that a fiber whose time has come need not stand behind all
//! others: it and one of the others take turns. However many fibers are busy, a timer is late by one of
//! them and not by all; and however many timers there are, the others have every second turn.
//!
//! # Invariants
//! - Who is to run at once runs before all.
//!
//! # Yields
//! never

use std::collections::VecDeque;

use super::handle::Fiber;

#[derive(Default)]
pub(super) struct Ready {
    at_once: Vec<Fiber>,
    due: VecDeque<Fiber>,
    others: VecDeque<Fiber>,
    is_turn_of_others: bool,
}

impl Ready {
    pub fn is_empty(&self) -> bool {
        self.at_once.is_empty() && self.due.is_empty() && self.others.is_empty()
    }

    /// Behind all others.
    pub fn push(&mut self, fiber: Fiber) {
        self.others.push_back(fiber);
    }

    /// Its time has come.
    pub fn push_due(&mut self, fiber: Fiber) {
        self.due.push_back(fiber);
    }

    /// Before all others, those that were pushed so before included.
    pub fn push_at_once(&mut self, fiber: Fiber) {
        self.at_once.push(fiber);
    }

    pub fn pop(&mut self) -> Option<Fiber> {
        if let Some(fiber) = self.at_once.pop() {
            return Some(fiber);
        }
        let is_turn_of_others = self.is_turn_of_others && !self.others.is_empty();
        self.is_turn_of_others = !is_turn_of_others;
        if is_turn_of_others {
            return self.others.pop_front();
        }
        self.due.pop_front().or_else(|| self.others.pop_front())
    }

    pub fn clear(&mut self) {
        *self = Ready::default();
    }
}
