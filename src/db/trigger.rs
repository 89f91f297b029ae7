//! Triggers on changes of a space's data, and what the database tells its host.
//!
//! The lists are owned here and outlive alteration of the space; what a trigger does is the
//! host's business (a Lua function). Lists are copied before they run, so a trigger may set and
//! remove triggers, its own included.
//!
//! # Yields
//! whatever the triggers do; a yield aborts the transaction they run in

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::base::error::Result;
use crate::tuple::Tuple;

use super::space::Space;

/// A change of a space's data that is about to happen or has happened.
pub struct ReplaceEvent<'a> {
    /// The space.
    pub space: &'a Space,
    /// The tuple that goes.
    pub old: Option<&'a Tuple>,
    /// The tuple that comes.
    pub new: Option<&'a Tuple>,
    /// The request type, one of `xrow::iproto::kind`.
    pub kind: u16,
}

/// What a `before_replace` trigger wants.
pub enum Decision {
    /// The change goes on as it is.
    Keep,
    /// This tuple comes instead; `None` turns the change into a deletion.
    Put(Option<Tuple>),
}

/// A trigger on a space. An error ends the statement.
pub trait ReplaceTrigger {
    /// Runs the trigger; the decision counts for `before_replace` only.
    fn run(&self, event: &ReplaceEvent<'_>) -> Result<Decision>;
}

/// Named triggers, the newest first.
#[derive(Default)]
pub struct TriggerList {
    triggers: RefCell<Vec<(String, Rc<dyn ReplaceTrigger>)>>,
    count: Cell<usize>,
    is_off: Cell<bool>,
}

impl TriggerList {
    /// Whether there is none to run.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count.get() == 0 || self.is_off.get()
    }

    /// Adds a trigger in front, or puts it in the place of the one with the same name. Returns
    /// the one that was there.
    pub fn set(
        &self,
        name: &str,
        trigger: Rc<dyn ReplaceTrigger>,
    ) -> Option<Rc<dyn ReplaceTrigger>> {
        let mut triggers = self.triggers.borrow_mut();
        if let Some((_, known)) = triggers.iter_mut().find(|(other, _)| other == name) {
            return Some(std::mem::replace(known, trigger));
        }
        triggers.insert(0, (name.to_owned(), trigger));
        self.count.set(triggers.len());
        None
    }

    /// Takes the trigger with this name away.
    pub fn remove(&self, name: &str) -> Option<Rc<dyn ReplaceTrigger>> {
        let mut triggers = self.triggers.borrow_mut();
        let index = triggers.iter().position(|(other, _)| other == name)?;
        let (_, removed) = triggers.remove(index);
        self.count.set(triggers.len());
        Some(removed)
    }

    /// All of them in the order they run.
    pub fn list(&self) -> Vec<(String, Rc<dyn ReplaceTrigger>)> {
        self.triggers.borrow().clone()
    }
}

/// The triggers of one space.
#[derive(Default)]
pub struct Triggers {
    /// Run before the change; may change or cancel it.
    pub before_replace: TriggerList,
    /// Run after the change, inside the statement.
    pub on_replace: TriggerList,
}

impl Triggers {
    /// Switches all of them off and on again.
    pub fn set_running(&self, is_running: bool) {
        self.before_replace.is_off.set(!is_running);
        self.on_replace.is_off.set(!is_running);
    }
}

/// A step of starting the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The system spaces are there, and nothing in them yet.
    SchemaInitialized,
    /// The content of the snapshot, or of a new data directory, is there.
    SnapshotRecovered,
    /// The content of the log is there, too.
    LogRecovered,
    /// Secondary indexes are there.
    IndexesBuilt,
    /// The instance serves.
    Synchronized,
}

/// What the database tells the layer above. All methods do nothing unless overridden. They run in
/// the middle of statements and of rollbacks, so they must neither yield nor change data.
pub trait Host {
    /// What a stored function says of a tuple, or of the field with this number from 0. The name
    /// is that of the constraint.
    fn check_constraint(
        &self,
        _function_id: u32,
        _tuple: &Tuple,
        _field: Option<u32>,
        _name: &str,
    ) -> Result<bool> {
        Ok(true)
    }
    /// The value, in MessagePack, that a stored function gives a field that is nil or absent in
    /// the tuple. The argument is the field's literal default.
    fn compute_default(
        &self,
        _function_id: u32,
        _argument: Option<&[u8]>,
        _source: &Tuple,
    ) -> Result<Vec<u8>> {
        Ok(vec![0xc0])
    }
    /// A space was made, altered or dropped (or the making or dropping was rolled back).
    fn space_changed(&self, _space_id: u32) {}
    /// A sequence was made, altered or dropped.
    fn sequence_changed(&self, _sequence_id: u32) {}
    /// A function was made or dropped.
    fn function_changed(&self, _function_id: u32) {}
    /// Starting has come this far.
    fn starting(&self, _step: Step) {}
    /// Something that `box.watch('box.status')` and the like show has changed.
    fn status_changed(&self) {}
    /// The effective user was denied this access to an object of this type and name. Its triggers
    /// may yield.
    fn access_denied(&self, _access: &str, _object_type: &str, _object_name: &str) {}
}
