//! An index of a space: its definition and the engine's structure under it.
//!
//! Versions of a space share the structure; redefining an index makes another `Index` over it.
//!
//! # Invariants
//! - The structure is borrowed for one operation at a time; no callback runs inside.
//!
//! # Yields
//! `Index::new` and the steps of one that is on disk

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

use crate::base::error::{Error, Result};
use crate::memtx::{
    self, DupMode, IndexIterator, IndexOptions, IteratorType, Key, Reclaimer, Refusal,
};
use crate::tuple::{Tuple, TuplePtr};
use crate::vinyl;

use super::database::Database;
use super::index_definition::{IndexDefinition, IndexKind};
use super::space_definition::{Engine, SpaceDefinition};
use super::system_space;
use super::vinyl::DiskSteps;

pub use crate::memtx::DupMode as Mode;

/// Why an index refused a change.
pub(crate) enum ReplaceError {
    /// It has this tuple with the same key.
    Duplicate(Tuple),
    /// The primary key would change.
    PrimaryKeyChange,
    /// Memory ran out.
    Other(Error),
}

/// Why an index cannot be built.
pub(crate) enum BuildError {
    /// These two tuples have the same key.
    Duplicate(Tuple, Tuple),
    /// Memory ran out.
    Other(Error),
}

thread_local! {
    static RECLAIMER: Rc<Reclaimer> = Rc::new(Reclaimer::new());
}

/// The reclaimer that all indexes of this thread share.
pub(crate) fn reclaimer() -> Rc<Reclaimer> {
    RECLAIMER.with(Rc::clone)
}

/// Frees some of what dropped and emptied spaces have left, sooner than the fiber that does it by
/// and by: memory has run out. Whether more waits.
pub(crate) fn reclaim_some() -> bool {
    const OBJECT_COUNT: usize = 100;
    reclaimer().collect(OBJECT_COUNT)
}

/// The engine's part of an index.
#[derive(Clone)]
enum Structure {
    Memtx(Rc<RefCell<memtx::Index>>),
    Vinyl(Rc<vinyl::Index>),
}

/// An index.
pub struct Index {
    definition: Rc<IndexDefinition>,
    structure: Structure,
    /// Whether the tuples are in it: recovery fills secondary indexes at its end.
    is_built: Rc<Cell<bool>>,
    /// The space whose index of the same id this is a view of.
    view_of: Option<u32>,
}

impl Index {
    /// An empty index of the space, unless recovery finds it on disk. Never yields.
    pub(crate) fn new(space: &SpaceDefinition, definition: IndexDefinition) -> Result<Index> {
        if space.engine == Engine::Vinyl {
            let index = Database::current().make_vinyl_index(&definition)?;
            return Ok(Index {
                definition: Rc::new(definition),
                structure: Structure::Vinyl(Rc::new(index)),
                is_built: Rc::new(Cell::new(true)),
                view_of: None,
            });
        }
        let options = IndexOptions {
            key_def: definition.key_def.clone(),
            cmp_def: definition.cmp_def.clone(),
            is_primary: definition.id == 0,
        };
        let store = match definition.kind {
            IndexKind::Tree => memtx::Index::new_tree(options, reclaimer()),
            IndexKind::Hash => memtx::Index::new_hash(options, reclaimer()),
        };
        let view_of = match space.engine {
            Engine::Sysview => system_space::view_source(space.id),
            _ => None,
        };
        Ok(Index {
            definition: Rc::new(definition),
            structure: Structure::Memtx(Rc::new(RefCell::new(store))),
            is_built: Rc::new(Cell::new(true)),
            view_of,
        })
    }

    /// The same index under another definition that orders tuples alike.
    pub(crate) fn redefined(&self, definition: IndexDefinition) -> Index {
        Index {
            definition: Rc::new(definition),
            structure: self.structure.clone(),
            is_built: self.is_built.clone(),
            view_of: self.view_of,
        }
    }

    /// Index id.
    #[inline]
    pub fn id(&self) -> u32 {
        self.definition.id
    }

    /// The definition.
    #[inline]
    pub fn definition(&self) -> &Rc<IndexDefinition> {
        &self.definition
    }

    /// The space that this index of a view shows.
    #[inline]
    pub(crate) fn view_of(&self) -> Option<u32> {
        self.view_of
    }

    /// Whether both are the same structure.
    pub(crate) fn is_same(&self, other: &Index) -> bool {
        match (&self.structure, &other.structure) {
            (Structure::Memtx(own), Structure::Memtx(other)) => Rc::ptr_eq(own, other),
            (Structure::Vinyl(own), Structure::Vinyl(other)) => Rc::ptr_eq(own, other),
            _ => false,
        }
    }

    /// The structure in memory, for one operation; `None` of an index of another engine.
    #[inline]
    pub fn memtx(&self) -> Option<Ref<'_, memtx::Index>> {
        match &self.structure {
            Structure::Memtx(store) => Some(store.borrow()),
            Structure::Vinyl(_) => None,
        }
    }

    /// The structure on disk; `None` of an index of another engine.
    #[inline]
    pub(crate) fn vinyl(&self) -> Option<&Rc<vinyl::Index>> {
        match &self.structure {
            Structure::Vinyl(index) => Some(index),
            Structure::Memtx(_) => None,
        }
    }

    /// The structure in memory of an index that has one.
    #[inline]
    fn store(&self) -> &RefCell<memtx::Index> {
        match &self.structure {
            Structure::Memtx(store) => store,
            Structure::Vinyl(_) => unreachable!("only what is in memory is changed in place"),
        }
    }

    pub(crate) fn is_built(&self) -> bool {
        self.is_built.get()
    }

    pub(crate) fn set_built(&self, built: bool) {
        self.is_built.set(built);
    }

    /// Count of tuples.
    pub fn len(&self) -> u64 {
        match &self.structure {
            Structure::Memtx(store) => store.borrow().len(),
            Structure::Vinyl(index) => index.len(),
        }
    }

    /// Whether there are no tuples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes the index itself takes.
    pub fn bsize(&self) -> usize {
        match &self.structure {
            Structure::Memtx(store) => store.borrow().bsize(),
            Structure::Vinyl(index) => {
                let (page_index, filters) = index.generation().pinned_sizes();
                // Rows of the primary index are the tuples.
                let rows = if self.id() == 0 { 0 } else { index.generation().disk_size() };
                let memory = index.generation().memory_size().max(index.overlay_size().1);
                (page_index + filters + rows + memory) as usize
            }
        }
    }

    /// [`Space::get`](super::Space::get) in memory, without counting: the pointer is good until
    /// the space changes. `None` of an index of another engine.
    #[inline]
    pub fn find(&self, parts: &[u8], part_count: usize) -> Option<TuplePtr> {
        self.memtx()?.find(Key { parts, part_count })
    }

    /// Puts `new` in the place of `old`; returns the tuple that left.
    #[inline]
    pub(crate) fn replace(
        &self,
        old: Option<&Tuple>,
        new: Option<&Tuple>,
        mode: DupMode,
    ) -> Result<Option<Tuple>, ReplaceError> {
        self.store().borrow_mut().replace(old, new, mode).map_err(ReplaceError::from)
    }

    /// Takes back a change that put `inserted` in the place of `displaced`.
    pub(crate) fn restore(&self, inserted: Option<&Tuple>, displaced: Option<&Tuple>) {
        self.store().borrow_mut().restore(inserted, displaced);
    }

    /// Fills this empty index with the tuples of another.
    pub(crate) fn fill_from(&self, source: &Index) -> Result<(), BuildError> {
        let result = self.try_fill(&source.store().borrow());
        match result {
            Ok(()) => Ok(()),
            Err(Refusal::Duplicate(found)) => {
                let other = self.find_other(source, &found).unwrap_or_else(|| found.clone());
                Err(BuildError::Duplicate(found, other))
            }
            Err(Refusal::Memory(error)) => Err(BuildError::Other(error)),
            Err(Refusal::PrimaryKeyChange) => unreachable!("building replaces nothing"),
        }
    }

    fn try_fill(&self, source: &memtx::Index) -> Result<(), Refusal> {
        let mut store = self.store().borrow_mut();
        store.begin_build(usize::try_from(source.len()).unwrap_or(usize::MAX));
        for pointer in source.range(IteratorType::All, None, None, 0) {
            // SAFETY: the tuple is in the source, which is borrowed.
            let tuple = unsafe { pointer.to_tuple() };
            store.build_next(&tuple)?;
        }
        store.end_build()
    }

    /// Another tuple of the source with the same key in this index.
    fn find_other(&self, source: &Index, found: &Tuple) -> Option<Tuple> {
        let key_def = &self.definition.key_def;
        for pointer in source.store().borrow().range(IteratorType::All, None, None, 0) {
            // SAFETY: the tuple is in the source, which is borrowed.
            let tuple = unsafe { pointer.to_tuple() };
            if tuple.as_ptr() != found.as_ptr() && key_def.compare(&tuple, found).is_eq() {
                return Some(tuple);
            }
        }
        None
    }

    /// Begins to fill the empty index with tuples in any order.
    pub(crate) fn begin_build(&self) {
        self.store().borrow_mut().begin_build(0);
    }

    /// Adds a tuple to the index that is being built.
    pub(crate) fn build_next(&self, tuple: &Tuple) -> Result<(), ReplaceError> {
        self.store().borrow_mut().build_next(tuple).map_err(ReplaceError::from)
    }

    /// The index is complete.
    pub(crate) fn end_build(&self) -> Result<(), ReplaceError> {
        self.store().borrow_mut().end_build().map_err(ReplaceError::from)
    }

    /// Steps through the tuples in memory for a type and key, while the index may change.
    pub(super) fn iterate(
        &self,
        iterator: IteratorType,
        key: Option<Key<'_>>,
        after: Option<Key<'_>>,
        offset: u64,
    ) -> Steps {
        let store = match &self.structure {
            Structure::Memtx(store) => store,
            Structure::Vinyl(_) => unreachable!("a space on disk steps through it"),
        };
        let iterator = IndexIterator::new(&store.borrow(), iterator, key, after, offset);
        Steps::Memtx { store: store.clone(), iterator }
    }

    /// The tuples of this moment, for a snapshot.
    pub(crate) fn read_view(&self, token: &memtx::ViewToken) -> memtx::IndexView {
        self.store().borrow_mut().read_view(token)
    }
}

impl From<Refusal> for ReplaceError {
    fn from(refusal: Refusal) -> ReplaceError {
        match refusal {
            Refusal::Duplicate(found) => ReplaceError::Duplicate(found),
            Refusal::PrimaryKeyChange => ReplaceError::PrimaryKeyChange,
            Refusal::Memory(error) => ReplaceError::Other(error),
        }
    }
}

/// A walk over an index.
#[expect(clippy::large_enum_variant, reason = "the walk in memory is the one to be fast")]
pub(crate) enum Steps {
    /// In memory.
    Memtx { store: Rc<RefCell<memtx::Index>>, iterator: IndexIterator },
    /// On disk.
    Disk(Box<DiskSteps>),
}

impl Steps {
    /// The next tuple. Yields when it is read from disk.
    #[inline]
    pub fn next_tuple(&mut self) -> Result<Option<Tuple>> {
        match self {
            Steps::Memtx { store, iterator } => Ok(iterator.next(&store.borrow()).cloned()),
            Steps::Disk(steps) => steps.next_tuple(),
        }
    }

    /// Says how many tuples will be asked for, most likely.
    pub fn expect(&mut self, count: u64) {
        if let Steps::Disk(steps) = self {
            steps.tuples.expect(usize::try_from(count).unwrap_or(usize::MAX));
        }
    }

    /// Whether the next step may yield.
    #[inline]
    pub fn may_yield(&self) -> bool {
        matches!(self, Steps::Disk(_))
    }
}
