//! A space: its definition, format, indexes and what outlives its alteration.
//!
//! A `Space` never changes its definition: altering makes another version that shares the indexes
//! that stay the same, and puts it into the schema. So a statement that was made in the old
//! version can still be undone in it, and a rolled-back alteration is putting the old version
//! back.
//!
//! # Invariants
//! - All indexes of a version hold the same tuples, save those that an index leaves out by
//!   `exclude_null`, and secondary indexes that recovery has not built yet.
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::base::error::{Error, Result};
use crate::client_error;
use crate::memtx::{IteratorType, Key};
use crate::tuple::{Format, Lineage, RawTuple, Tuple};
use crate::value::mp::text;

use super::constraint::Constraints;
use super::ddl::DdlHandler;
use super::index::{Index, Mode, Steps};
use super::sequence::Sequence;
use super::space_definition::{Engine, SpaceDefinition};
use super::trigger::Triggers;

/// A sequence that fills a field of a space.
#[derive(Clone)]
pub struct SpaceSequence {
    /// The sequence.
    pub sequence: Rc<Sequence>,
    /// The field it fills, from 0.
    pub field: u32,
    /// Where in the field, empty for the field itself.
    pub path: String,
}

/// What all versions of a space share.
#[derive(Default)]
struct Shared {
    triggers: Triggers,
    lineage: Lineage,
    /// Bytes of the tuples' MessagePack.
    bytes: Cell<usize>,
    sequence: RefCell<Option<SpaceSequence>>,
    is_altered: Cell<bool>,
    observer: RefCell<Option<Rc<dyn Observer>>>,
    /// Whether there is an observer, kept apart because each change asks for it.
    is_observed: Cell<bool>,
    /// Indexes on disk that are being built, which changes go to as well.
    building: RefCell<Vec<Rc<Index>>>,
}

/// Hears of every change of a space's tuples, and of every change that is taken back, after it
/// was made.
pub(crate) trait Observer {
    /// `old` went and `new` came.
    fn changed(&self, old: Option<&Tuple>, new: Option<&Tuple>);

    /// A change contradicts what is being made of the space.
    fn failed(&self, error: Error);
}

/// A version of a space.
pub struct Space {
    definition: Rc<SpaceDefinition>,
    format: &'static Format,
    by_id: Vec<Option<Rc<Index>>>,
    indexes: Vec<Rc<Index>>,
    shared: Rc<Shared>,
    ddl: Option<DdlHandler>,
    constraints: Option<Constraints>,
}

impl Space {
    /// A space with these indexes, in any order; the first version of it or, given `old`, the
    /// next.
    pub(crate) fn new(
        definition: Rc<SpaceDefinition>,
        mut indexes: Vec<Rc<Index>>,
        old: Option<&Space>,
    ) -> Result<Space> {
        indexes.sort_by_key(|index| index.id());
        let keys: Vec<&crate::tuple::KeyDef> =
            indexes.iter().map(|index| &*index.definition().key_def).collect();
        let shared: Rc<Shared> = old.map_or_else(Rc::default, |old| old.shared.clone());
        let format = match definition.engine {
            Engine::Vinyl => Format::of_visitors(&shared.lineage, &definition.format, &keys)?,
            _ => Format::of_space(&shared.lineage, &definition.format, &keys)?,
        };
        let slots = indexes.last().map_or(0, |last| last.id() as usize + 1);
        let mut by_id = vec![None; slots];
        for index in &indexes {
            by_id[index.id() as usize] = Some(index.clone());
        }
        let ddl = super::ddl::handler_of(definition.id);
        let constraints = Constraints::of(&definition)?;
        Ok(Space { definition, format, by_id, indexes, shared, ddl, constraints })
    }

    /// Space id.
    #[inline]
    pub fn id(&self) -> u32 {
        self.definition.id
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// The definition.
    #[inline]
    pub fn definition(&self) -> &Rc<SpaceDefinition> {
        &self.definition
    }

    /// What it demands of tuples beyond the types of fields.
    #[inline]
    pub(crate) fn constraints(&self) -> Option<&Constraints> {
        self.constraints.as_ref()
    }

    /// Whether a change may run code of the application.
    #[inline]
    pub(crate) fn may_run_functions(&self) -> bool {
        let triggers = &self.shared.triggers;
        self.ddl.is_some()
            || self.constraints.is_some()
            || !triggers.before_replace.is_empty()
            || !triggers.on_replace.is_empty()
            // An alteration under way may add constraints.
            || self.shared.is_observed.get()
            || self.format.has_default_functions()
    }

    /// The format of new tuples.
    #[inline]
    pub fn format(&self) -> &'static Format {
        self.format
    }

    /// The indexes by id, the primary first.
    pub fn indexes(&self) -> &[Rc<Index>] {
        &self.indexes
    }

    /// The index with this id.
    #[inline]
    pub fn index(&self, id: u32) -> Option<&Rc<Index>> {
        self.by_id.get(id as usize)?.as_ref()
    }

    /// The index with this id, or `ER_NO_SUCH_INDEX_ID`.
    #[inline]
    pub fn find_index(&self, id: u32) -> Result<&Rc<Index>> {
        self.index(id).ok_or_else(|| client_error!(ER_NO_SUCH_INDEX_ID, id, self.name()))
    }

    /// The unique index with this id: what `update` and `delete` look keys up in.
    pub(crate) fn find_unique_index(&self, id: u32) -> Result<&Rc<Index>> {
        let index = self.find_index(id)?;
        if index.definition().is_unique {
            return Ok(index);
        }
        Err(client_error!(ER_MORE_THAN_ONE_TUPLE))
    }

    /// The index with this name.
    pub fn index_by_name(&self, name: &str) -> Option<&Rc<Index>> {
        self.indexes.iter().find(|index| index.definition().name == name)
    }

    /// The tuple with this key of all parts, which was validated, in an index. Yields when it is
    /// read from disk.
    #[inline]
    pub fn get(&self, index: &Index, parts: &[u8], part_count: usize) -> Result<Option<Tuple>> {
        match index.memtx() {
            Some(store) => Ok(store.get(Key { parts, part_count })),
            None => self.get_from_disk(index, parts, part_count),
        }
    }

    /// The tuple with the same primary key as this one. Yields as [`Space::get`].
    pub(crate) fn get_same(&self, tuple: &RawTuple) -> Result<Option<Tuple>> {
        let Some(primary) = self.primary() else { return Ok(None) };
        let key = primary.definition().key_def.extract_key(tuple);
        let (parts, count) = super::iterator::key_parts(&key)?;
        self.get(primary, parts, count)
    }

    /// Steps through the tuples of an index for a type and key, while the space may change.
    pub(crate) fn iterate(
        &self,
        index: &Index,
        iterator: IteratorType,
        key: Option<Key<'_>>,
        after: Option<Key<'_>>,
        offset: u64,
    ) -> Result<Steps> {
        match index.memtx() {
            Some(_) => Ok(index.iterate(iterator, key, after, offset)),
            None => self.iterate_on_disk(index, iterator, key, after, offset),
        }
    }

    /// Steps through all tuples, while the space may change.
    pub(crate) fn iterate_all(&self, index: &Index) -> Result<Steps> {
        self.iterate(index, IteratorType::All, None, None, 0)
    }

    /// Whether an index has tuples equal to the key prefix. Yields as [`Space::get`].
    pub(crate) fn has(&self, index: &Index, key: &[u8], part_count: usize) -> Result<bool> {
        let key = Key::new(key, part_count);
        let mut steps = self.iterate(index, IteratorType::Eq, key, None, 0)?;
        Ok(steps.next_tuple()?.is_some())
    }

    /// The primary index.
    #[inline]
    pub fn primary(&self) -> Option<&Rc<Index>> {
        self.index(0)
    }

    /// Count of tuples.
    pub fn len(&self) -> u64 {
        self.primary().map_or(0, |primary| primary.len())
    }

    /// Whether there are no tuples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all tuples (`space:bsize()`).
    pub fn bsize(&self) -> usize {
        if let Some(index) = self.primary().and_then(|primary| primary.vinyl()) {
            // What is not applied yet is in one of both.
            let memory = index.generation().memory_size().max(index.overlay_size().1);
            return (index.generation().disk_size() + memory) as usize;
        }
        self.shared.bytes.get()
    }

    pub(crate) fn set_bsize(&self, bytes: usize) {
        self.shared.bytes.set(bytes);
    }

    /// Triggers on changes of the data.
    #[inline]
    pub fn triggers(&self) -> &Triggers {
        &self.shared.triggers
    }

    /// The sequence that fills a field.
    pub fn sequence(&self) -> Option<SpaceSequence> {
        self.shared.sequence.borrow().clone()
    }

    pub(crate) fn set_sequence(&self, sequence: Option<SpaceSequence>) {
        *self.shared.sequence.borrow_mut() = sequence;
    }

    /// Notes whether an alteration is under way; returns whether one was.
    pub(crate) fn set_altered(&self, altered: bool) -> bool {
        self.shared.is_altered.replace(altered)
    }

    /// Sets who hears of changes.
    pub(crate) fn set_observer(&self, observer: Option<Rc<dyn Observer>>) {
        self.shared.is_observed.set(observer.is_some());
        *self.shared.observer.borrow_mut() = observer;
    }

    #[cold]
    pub(super) fn tell(&self, old: Option<&Tuple>, new: Option<&Tuple>) {
        let observer = self.shared.observer.borrow().clone();
        if let Some(observer) = observer {
            observer.changed(old, new);
        }
    }

    /// Tells who alters the space that it cannot become what it should.
    pub(super) fn fail_alteration(&self, error: Error) {
        let observer = self.shared.observer.borrow().clone();
        if let Some(observer) = observer {
            observer.failed(error);
        }
    }

    /// Whether somebody hears of changes.
    #[inline]
    pub(super) fn is_observed(&self) -> bool {
        self.shared.is_observed.get()
    }

    /// Indexes on disk that are being built.
    pub(super) fn building(&self) -> Vec<Rc<Index>> {
        self.shared.building.borrow().clone()
    }

    /// Sets which indexes on disk are being built.
    pub(super) fn set_building(&self, indexes: Vec<Rc<Index>>) {
        *self.shared.building.borrow_mut() = indexes;
    }

    /// What a change of this system space does to the schema.
    #[inline]
    pub(crate) fn ddl(&self) -> Option<DdlHandler> {
        self.ddl
    }

    /// Puts `new` in the place of `old` in every index in memory; when `old` is not known, in the place
    /// of the tuple with the same primary key, which is returned. Changes nothing on error.
    pub(crate) fn change(
        &self,
        old: Option<Tuple>,
        new: Option<&Tuple>,
        mode: Mode,
    ) -> Result<Option<Tuple>> {
        let Some(primary) = self.primary() else {
            return Err(client_error!(ER_NO_SUCH_INDEX_ID, 0u32, self.name()));
        };
        debug_assert!(primary.memtx().is_some(), "what is on disk changes in a transaction");
        let old = match primary.replace(old.as_ref(), new, mode) {
            Ok(displaced) => displaced.or(old),
            Err(error) => return Err(self.explain(primary, new, error)),
        };
        for (position, index) in self.indexes.iter().enumerate().skip(1) {
            if !index.is_built() {
                continue;
            }
            if let Err(error) = index.replace(old.as_ref(), new, Mode::Insert) {
                for done in self.indexes[..position].iter().rev() {
                    if done.is_built() {
                        done.restore(new, old.as_ref());
                    }
                }
                return Err(self.explain(index, new, error));
            }
        }
        self.account(old.as_ref(), new);
        if self.shared.is_observed.get() {
            self.tell(old.as_ref(), new);
        }
        Ok(old)
    }

    /// Puts `old` back in the place of `new`.
    pub(crate) fn undo(&self, old: Option<&Tuple>, new: Option<&Tuple>) {
        if old.is_none() && new.is_none() {
            return;
        }
        for index in self.indexes.iter().rev() {
            if index.is_built() {
                index.restore(new, old);
            }
        }
        self.account(new, old);
        if self.shared.is_observed.get() {
            self.tell(new, old);
        }
    }

    /// Notes in the size that `new` came for `old`.
    #[inline]
    pub(crate) fn account(&self, old: Option<&Tuple>, new: Option<&Tuple>) {
        let gone = old.map_or(0, |tuple| tuple.bsize());
        let come = new.map_or(0, |tuple| tuple.bsize());
        self.shared.bytes.set((self.shared.bytes.get() + come).saturating_sub(gone));
    }

    fn explain(
        &self,
        index: &Index,
        new: Option<&Tuple>,
        error: super::index::ReplaceError,
    ) -> crate::base::Error {
        use super::index::ReplaceError;
        match (error, new) {
            (ReplaceError::Duplicate(found), Some(new)) => {
                self.duplicate(index, &found, new.data())
            }
            (ReplaceError::Duplicate(found), None) => self.duplicate(index, &found, &[0x90]),
            (ReplaceError::PrimaryKeyChange, _) => {
                client_error!(ER_CANT_UPDATE_PRIMARY_KEY, self.name())
            }
            (ReplaceError::Other(error), _) => error,
        }
    }

    /// `ER_TUPLE_FOUND`: the index has a tuple with the new one's key.
    pub(crate) fn duplicate(&self, index: &Index, found: &Tuple, new: &[u8]) -> crate::base::Error {
        let name = &index.definition().name;
        let (old_text, new_text) = (text(found.data()), text(new));
        client_error!(ER_TUPLE_FOUND, name, self.name(), old_text, new_text)
    }
}
