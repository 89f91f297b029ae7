//! What a space demands of its tuples: field names, types, nullability, and which fields keep
//! their offset in the tuple because indexes read them.
//!
//! Formats are interned: a space that makes the same demands again gets the same one, and a format
//! made once lives as long as the process, so that a tuple's format id never dangles.
//!
//! A tuple keeps the format it was made in, but names are the space's: when a space gets other
//! names, its older tuples are to have them too. So formats of one space belong together by a
//! [`Lineage`], and all of them show the names of the one that is in force.
//!
//! # Invariants
//! - Ids are not reused; their number is bounded by [`Format::COUNT_MAX`].
//! - Format 0 is the runtime format: no demands at all.
//! - A format is changed in nothing but whose names it shows.

pub(super) mod definition;
mod node;
mod validate;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::json_path::Path;
use super::key_def::KeyDef;
use crate::base::Result;
use crate::client_error;

pub use definition::{COLLATION_NONE, FieldDef, NullableAction};
pub(super) use node::{NO_SLOT, Node};

/// What a format is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FormatDef {
    /// The named fields in order.
    pub fields: Vec<FieldDef>,
    /// The exact count of fields of every tuple; 0 for any count.
    pub field_count: u32,
}

/// What the formats of a space have in common, and of no other space as long as it lives. Numbers
/// are used again, so that making and dropping spaces in turn needs no new formats.
#[derive(Debug)]
pub struct Lineage(u32);

impl Lineage {
    /// One that nobody has. 0 stands for formats without a space.
    pub fn new() -> Lineage {
        let mut lineages = lineages().lock().unwrap_or_else(PoisonError::into_inner);
        let free = lineages.free.pop_first();
        Lineage(free.unwrap_or_else(|| {
            lineages.count += 1;
            lineages.count
        }))
    }
}

impl Default for Lineage {
    fn default() -> Lineage {
        Lineage::new()
    }
}

impl Drop for Lineage {
    fn drop(&mut self) {
        let mut lineages = lineages().lock().unwrap_or_else(PoisonError::into_inner);
        lineages.free.insert(self.0);
    }
}

#[derive(Default)]
struct Lineages {
    count: u32,
    free: BTreeSet<u32>,
}

fn lineages() -> &'static Mutex<Lineages> {
    static LINEAGES: OnceLock<Mutex<Lineages>> = OnceLock::new();
    LINEAGES.get_or_init(Mutex::default)
}

/// An interned format.
#[derive(Debug)]
pub struct Format {
    id: u16,
    content: Content,
    /// Whose names its tuples have; null: its own.
    shown: AtomicPtr<Format>,
    numbers: HashMap<Box<str>, u32, ahash::RandomState>,
    /// Per field: the nearest field at or before it that has a slot, and that slot.
    nearest: Vec<(u8, u32)>,
    slot_count: u8,
    min_field_count: u32,
    /// Whether an index reads inside some field, so that validation must look inside too.
    is_nested: bool,
    /// Count of nodes: top-level fields and what is known inside them.
    node_count: u32,
    /// Fields up to the last that has a default.
    default_field_count: u32,
}

/// What makes two formats the same.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Content {
    /// The number of the space's lineage, 0 for none.
    lineage: u32,
    /// Whether its tuples are charged to `memtx.memory`.
    is_memtx: bool,
    def: FormatDef,
    nodes: Vec<Node>,
}

impl Format {
    /// Id of the format of tuples that belong to no space.
    pub const RUNTIME_ID: u16 = 0;
    /// Most formats of a process.
    pub const COUNT_MAX: u32 = 65535;

    /// The format of tuples with these fields that belong to no space, or to one of a test. The same
    /// content always gives the same format.
    pub fn new(def: &FormatDef, keys: &[&KeyDef]) -> Result<&'static Format> {
        Format::intern(0, def, keys, true)
    }

    /// The format of a space with these fields and keys.
    pub fn of_space(
        lineage: &Lineage,
        def: &FormatDef,
        keys: &[&KeyDef],
    ) -> Result<&'static Format> {
        Format::intern(lineage.0, def, keys, true)
    }

    /// The same for a space that is not in memory: its tuples are what requests read and write,
    /// and are not charged to `memtx.memory`.
    pub fn of_visitors(
        lineage: &Lineage,
        def: &FormatDef,
        keys: &[&KeyDef],
    ) -> Result<&'static Format> {
        Format::intern(lineage.0, def, keys, false)
    }

    fn intern(
        lineage: u32,
        def: &FormatDef,
        keys: &[&KeyDef],
        is_memtx: bool,
    ) -> Result<&'static Format> {
        let numbers = definition::field_numbers(&def.fields)?;
        let tree = node::build(def, keys)?;
        let min_field_count = min_field_count(def, keys);
        // Without names there are none to follow.
        let lineage = if def.fields.is_empty() { 0 } else { lineage };
        let content = Content { lineage, is_memtx, def: def.clone(), nodes: tree.nodes };
        let mut registry = registry().lock().unwrap_or_else(PoisonError::into_inner);
        let Registry { formats, families } = &mut *registry;
        if let Some(format) = formats.get(&content) {
            return Ok(format);
        }
        // Those of memtx count from below, the others from above.
        let visitors = Format::COUNT_MAX - LOWEST_VISITOR.load(Ordering::Relaxed);
        if formats.len() as u32 + 1 >= Format::COUNT_MAX {
            return Err(client_error!(ER_TUPLE_FORMAT_LIMIT, Format::COUNT_MAX));
        }
        let id = if is_memtx {
            formats.len() as u32 - visitors + 1
        } else {
            LOWEST_VISITOR.fetch_sub(1, Ordering::Relaxed) - 1
        };
        let has_default = |field: &FieldDef| field.default.is_some() || field.default_func != 0;
        let format: &'static Format = Box::leak(Box::new(Format {
            id: id as u16,
            shown: AtomicPtr::default(),
            nearest: nearest_slots(&content.nodes),
            is_nested: content.nodes.iter().any(|node| !node.children.is_empty()),
            content,
            numbers,
            slot_count: tree.slot_count,
            min_field_count,
            node_count: tree.node_count,
            default_field_count: def
                .fields
                .iter()
                .rposition(has_default)
                .map_or(0, |last| last as u32 + 1),
        }));
        TABLE[id as usize].store(std::ptr::from_ref(format).cast_mut(), Ordering::Release);
        formats.insert(&format.content, format);
        if lineage != 0 {
            families.entry(lineage).or_default().push(format);
        }
        Ok(format)
    }

    /// The format of tuples that belong to no space.
    #[inline]
    pub fn runtime() -> &'static Format {
        static RUNTIME: OnceLock<Format> = OnceLock::new();
        RUNTIME.get_or_init(|| Format {
            id: Format::RUNTIME_ID,
            content: Content {
                lineage: 0,
                is_memtx: false,
                def: FormatDef::default(),
                nodes: Vec::new(),
            },
            shown: AtomicPtr::default(),
            numbers: HashMap::default(),
            nearest: Vec::new(),
            slot_count: 0,
            min_field_count: 0,
            is_nested: false,
            node_count: 0,
            default_field_count: 0,
        })
    }

    /// The format with this id. Panics if no tuple can have it.
    #[inline]
    pub fn by_id(id: u16) -> &'static Format {
        let format = TABLE[usize::from(id)].load(Ordering::Acquire);
        if format.is_null() {
            assert!(id == Format::RUNTIME_ID, "format ids come from formats, which are not freed");
            return Format::runtime();
        }
        // SAFETY: only leaked formats are stored in the table.
        unsafe { &*format }
    }

    /// Whether tuples of the format with this id are charged to `memtx.memory`.
    #[inline]
    pub(super) fn is_memtx(id: u16) -> bool {
        id != Format::RUNTIME_ID && u32::from(id) < LOWEST_VISITOR.load(Ordering::Relaxed)
    }

    /// The id; the runtime format's is 0.
    #[inline]
    pub fn id(&self) -> u16 {
        self.id
    }

    /// What the format was made of.
    pub fn def(&self) -> &FormatDef {
        &self.content.def
    }

    /// The format whose names tuples of this one have: the one of their space that is in force.
    #[inline]
    pub fn shown(&self) -> &Format {
        let shown = self.shown.load(Ordering::Acquire);
        // SAFETY: only formats of the registry are stored there, and those are leaked.
        unsafe { shown.as_ref() }.unwrap_or(self)
    }

    /// Has all tuples of the space, of whatever format, have the names of this one, which is in
    /// force from now on.
    pub fn show_names(&'static self) {
        let registry = registry().lock().unwrap_or_else(PoisonError::into_inner);
        for format in registry.families.get(&self.content.lineage).into_iter().flatten() {
            format.shown.store(std::ptr::from_ref(self).cast_mut(), Ordering::Release);
        }
    }

    /// The named fields.
    pub fn fields(&self) -> &[FieldDef] {
        &self.content.def.fields
    }

    /// Number from 0 of the field with this name.
    #[inline]
    pub fn field_number(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// Name of the field with this number from 0.
    pub fn field_name(&self, number: u32) -> Option<&str> {
        self.fields().get(number as usize).map(|field| &*field.name)
    }

    /// Fewest fields a tuple may have.
    pub fn min_field_count(&self) -> u32 {
        self.min_field_count
    }

    /// What is known of each field.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.content.nodes
    }

    /// Count of offset slots of a tuple.
    #[inline]
    pub(super) fn slot_count(&self) -> u8 {
        self.slot_count
    }

    /// The last slot at or before this field, and the number of its field.
    #[inline]
    pub(super) fn nearest_slot(&self, number: u32) -> (u8, u32) {
        match self.nearest.get(number as usize).or(self.nearest.last()) {
            Some(&nearest) => nearest,
            None => (NO_SLOT, 0),
        }
    }

    /// The slot of what this path leads to in this field.
    #[inline]
    pub(super) fn slot_of_path(&self, number: u32, path: &Path) -> u8 {
        let node = self.content.nodes.get(number as usize);
        node.and_then(|node| node.find(path.tokens())).map_or(NO_SLOT, |node| node.slot)
    }

    /// Whether every tuple of `other` is valid in this format too, so that an alter from `other`
    /// to this one need not read the data.
    pub fn can_store_tuples_of(&self, other: &Format) -> bool {
        if self.content.def.field_count != other.content.def.field_count {
            return false;
        }
        node::all_can_store(&self.content.nodes, &other.content.nodes)
    }
}

/// The lowest id of a format whose tuples are not charged to `memtx.memory`, or what stands above
/// all ids.
static LOWEST_VISITOR: AtomicU32 = AtomicU32::new(Format::COUNT_MAX);

/// Formats by id. A plain array: a tuple's format is found with one load, on any thread.
static TABLE: [AtomicPtr<Format>; Format::COUNT_MAX as usize + 1] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; Format::COUNT_MAX as usize + 1];

#[derive(Default)]
struct Registry {
    formats: HashMap<&'static Content, &'static Format>,
    /// The formats of each lineage.
    families: HashMap<u32, Vec<&'static Format>>,
}

fn registry() -> &'static Mutex<Registry> {
    static REGISTRY: OnceLock<Mutex<Registry>> = OnceLock::new();
    REGISTRY.get_or_init(Mutex::default)
}

fn nearest_slots(nodes: &[Node]) -> Vec<(u8, u32)> {
    let mut nearest = (NO_SLOT, 0);
    let slots = nodes.iter().enumerate().map(|(number, node)| {
        if node.slot != NO_SLOT {
            nearest = (node.slot, number as u32);
        }
        nearest
    });
    slots.collect()
}

fn min_field_count(def: &FormatDef, keys: &[&KeyDef]) -> u32 {
    let named = def.fields.iter().rposition(|field| !field.is_nullable);
    let indexed = keys
        .iter()
        .flat_map(|key| key.parts())
        .filter(|part| !part.is_nullable())
        .map(|part| part.field + 1)
        .max();
    named.map_or(0, |last| last as u32 + 1).max(indexed.unwrap_or(0))
}

#[cfg(test)]
mod tests;
