//! Sequences: named counters with a step, bounds and cycling.
//!
//! The current value lives here and is logged through `_sequence_data`, whose rows set it again
//! at recovery.
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::base::error::Result;
use crate::client_error;

/// The definition of a sequence: a row of `_sequence`.
#[derive(Clone, Debug, PartialEq)]
pub struct SequenceDefinition {
    /// Sequence id.
    pub id: u32,
    /// Owner.
    pub owner: u32,
    /// Name.
    pub name: String,
    /// What each call adds.
    pub step: i64,
    /// The least value.
    pub min: i64,
    /// The greatest value.
    pub max: i64,
    /// The first value.
    pub start: i64,
    /// Kept for compatibility, has no effect.
    pub cache: i64,
    /// Whether it starts over after the last value.
    pub cycle: bool,
}

/// A sequence.
pub struct Sequence {
    definition: RefCell<Rc<SequenceDefinition>>,
    value: Cell<Option<i64>>,
    /// Whether it was made along with a space (`sequence = true`).
    is_generated: Cell<bool>,
}

impl Sequence {
    pub(crate) fn new(definition: SequenceDefinition) -> Sequence {
        Sequence {
            definition: RefCell::new(Rc::new(definition)),
            value: Cell::new(None),
            is_generated: Cell::new(false),
        }
    }

    /// The definition.
    pub fn definition(&self) -> Rc<SequenceDefinition> {
        self.definition.borrow().clone()
    }

    pub(crate) fn set_definition(
        &self,
        definition: Rc<SequenceDefinition>,
    ) -> Rc<SequenceDefinition> {
        self.definition.replace(definition)
    }

    /// Whether it was made along with a space.
    pub fn is_generated(&self) -> bool {
        self.is_generated.get()
    }

    pub(crate) fn set_generated(&self, generated: bool) {
        self.is_generated.set(generated);
    }

    /// The last value, `None` before the first.
    pub fn value(&self) -> Option<i64> {
        self.value.get()
    }

    pub(crate) fn set_value(&self, value: Option<i64>) {
        self.value.set(value);
    }

    /// The value a next call gives, without taking it.
    pub(crate) fn peek_next(&self) -> Result<i64> {
        let definition = self.definition();
        let Some(value) = self.value.get() else { return Ok(definition.start) };
        if definition.step > 0 {
            if value < definition.min {
                return Ok(definition.min);
            }
            match value.checked_add(definition.step).filter(|next| *next <= definition.max) {
                Some(next) => return Ok(next),
                None if definition.cycle => return Ok(definition.min),
                None => {}
            }
        } else {
            if value > definition.max {
                return Ok(definition.max);
            }
            match value.checked_add(definition.step).filter(|next| *next >= definition.min) {
                Some(next) => return Ok(next),
                None if definition.cycle => return Ok(definition.max),
                None => {}
            }
        }
        Err(client_error!(ER_SEQUENCE_OVERFLOW, definition.name))
    }

    /// Takes note of a value that a user put into an auto-increment field: the sequence never
    /// gives it again. Returns whether the value moved.
    pub(crate) fn update(&self, value: i64) -> bool {
        let step = self.definition.borrow().step;
        let ahead = match self.value.get() {
            None => true,
            Some(current) if step > 0 => value > current,
            Some(current) => value < current,
        };
        if ahead {
            self.value.set(Some(value));
        }
        ahead
    }
}

/// All sequences.
#[derive(Default)]
pub struct Sequences {
    by_id: RefCell<BTreeMap<u32, Rc<Sequence>>>,
}

impl Sequences {
    /// The sequence with this id.
    pub fn get(&self, id: u32) -> Option<Rc<Sequence>> {
        self.by_id.borrow().get(&id).cloned()
    }

    /// The sequence with this id, or `ER_NO_SUCH_SEQUENCE`.
    pub fn find(&self, id: u32) -> Result<Rc<Sequence>> {
        self.get(id).ok_or_else(|| client_error!(ER_NO_SUCH_SEQUENCE, id.to_string()))
    }

    /// All of them by id.
    pub fn all(&self) -> Vec<Rc<Sequence>> {
        self.by_id.borrow().values().cloned().collect()
    }

    pub(crate) fn insert(&self, sequence: Rc<Sequence>) {
        let id = sequence.definition.borrow().id;
        self.by_id.borrow_mut().insert(id, sequence);
    }

    pub(crate) fn remove(&self, id: u32) {
        self.by_id.borrow_mut().remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(step: i64, min: i64, max: i64, cycle: bool) -> Sequence {
        let start = if step > 0 { min } else { max };
        let name = "s".to_owned();
        let (id, owner, cache) = (1, 1, 0);
        Sequence::new(SequenceDefinition { id, owner, name, step, min, max, start, cache, cycle })
    }

    fn take(sequence: &Sequence) -> Result<i64> {
        let next = sequence.peek_next()?;
        sequence.set_value(Some(next));
        Ok(next)
    }

    #[test]
    fn values_go_up_to_the_bound_and_then_overflow_or_start_over() {
        let bounded = sequence(2, 1, 4, false);
        assert_eq!((take(&bounded).unwrap(), take(&bounded).unwrap()), (1, 3));
        assert_eq!(take(&bounded).unwrap_err().message(), "Sequence 's' has overflowed");
        let cycling = sequence(-3, -5, 0, true);
        let taken: Vec<i64> = (0..4).map(|_| take(&cycling).unwrap()).collect();
        assert_eq!(taken, [0, -3, 0, -3]);
        let extreme = sequence(i64::MAX, i64::MAX - 1, i64::MAX, false);
        assert_eq!(take(&extreme).unwrap(), i64::MAX - 1);
        assert!(take(&extreme).is_err());
    }

    #[test]
    fn an_inserted_value_ahead_moves_the_sequence() {
        let counting = sequence(1, 1, 100, false);
        assert!(counting.update(10));
        assert!(!counting.update(5));
        assert_eq!(counting.peek_next().unwrap(), 11);
    }
}
