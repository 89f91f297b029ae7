//! The cache of spaces and the schema version.
//!
//! # Invariants
//! - What `space` returns is the newest version of that space; older versions live on in the
//!   statements and iterators that hold them.
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::base::error::Result;
use crate::client_error;

use super::constraint::Reference;
use super::space::Space;

/// Ids below this are found by index; an application's spaces begin at 512.
const DENSE_COUNT: usize = 16 * 1024;

/// The spaces.
#[derive(Default)]
pub struct Schema {
    dense: RefCell<Vec<Option<Rc<Space>>>>,
    sparse: RefCell<HashMap<u32, Rc<Space>, ahash::RandomState>>,
    ids: RefCell<HashMap<String, u32, ahash::RandomState>>,
    version: Cell<u64>,
    dd_version: Cell<[u32; 3]>,
    /// Foreign keys by the space that they refer to; `None`: to be found out.
    references: RefCell<Option<References>>,
    /// How many foreign keys there are: each deletion asks.
    foreign_key_count: Cell<usize>,
}

type References = HashMap<u32, Rc<[Reference]>, ahash::RandomState>;

impl Schema {
    /// The space with this id.
    #[inline]
    pub fn space(&self, id: u32) -> Option<Rc<Space>> {
        if (id as usize) < DENSE_COUNT {
            return self.dense.borrow().get(id as usize)?.clone();
        }
        self.sparse.borrow().get(&id).cloned()
    }

    /// The space with this id, or `ER_NO_SUCH_SPACE`.
    #[inline]
    pub fn find(&self, id: u32) -> Result<Rc<Space>> {
        self.space(id).ok_or_else(|| client_error!(ER_NO_SUCH_SPACE, id.to_string()))
    }

    /// The space with this name.
    pub fn space_by_name(&self, name: &str) -> Option<Rc<Space>> {
        let id = self.ids.borrow().get(name).copied()?;
        self.space(id)
    }

    /// All spaces by id.
    pub fn spaces(&self) -> Vec<Rc<Space>> {
        let mut spaces: Vec<Rc<Space>> = self.dense.borrow().iter().flatten().cloned().collect();
        let start = spaces.len();
        spaces.extend(self.sparse.borrow().values().cloned());
        spaces[start..].sort_by_key(|space| space.id());
        spaces
    }

    /// How often the schema has changed (`box.internal.schema_version()`).
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.get()
    }

    /// Notes that the schema has changed.
    pub(crate) fn bump_version(&self) {
        self.version.set(self.version.get() + 1);
    }

    /// The version of the data dictionary that `_schema` names.
    pub fn dd_version(&self) -> [u32; 3] {
        self.dd_version.get()
    }

    pub(crate) fn set_dd_version(&self, version: [u32; 3]) {
        self.dd_version.set(version);
    }

    /// Whether any space has a foreign key.
    #[inline]
    pub(crate) fn has_foreign_keys(&self) -> bool {
        self.foreign_key_count.get() > 0
    }

    /// The foreign keys that refer to this space.
    pub(crate) fn references_to(&self, space_id: u32) -> Rc<[Reference]> {
        if !self.has_foreign_keys() {
            return Rc::default();
        }
        let mut known = self.references.borrow_mut();
        let references = known.get_or_insert_with(|| self.collect_references());
        references.get(&space_id).cloned().unwrap_or_default()
    }

    fn collect_references(&self) -> References {
        let mut lists: HashMap<u32, Vec<Reference>> = HashMap::new();
        for space in self.spaces() {
            let Some(constraints) = space.constraints() else { continue };
            for (position, id) in constraints.referred_spaces().enumerate() {
                lists.entry(id).or_default().push((space.clone(), position));
            }
        }
        lists.into_iter().map(|(id, list)| (id, list.into())).collect()
    }

    /// Puts a space in, or another version of it, and takes `old` out.
    pub(crate) fn replace(&self, old: Option<&Rc<Space>>, new: Option<&Rc<Space>>) {
        let count = |space: Option<&Rc<Space>>| {
            let constraints = space.and_then(|space| space.constraints());
            constraints.map_or(0, |constraints| constraints.referred_spaces().count())
        };
        self.foreign_key_count.set(self.foreign_key_count.get() + count(new) - count(old));
        // What it refers to may be the last version of a space, which is dropped with it.
        drop(self.references.take());
        if let Some(old) = old {
            self.ids.borrow_mut().remove(old.name());
            self.put(old.id(), None);
        }
        if let Some(new) = new {
            // Older tuples have the names of the space as it is now.
            new.format().show_names();
            self.ids.borrow_mut().insert(new.name().to_owned(), new.id());
            self.put(new.id(), Some(new.clone()));
        }
    }

    fn put(&self, id: u32, space: Option<Rc<Space>>) {
        // What is taken out is dropped after the borrow ends: dropping a space frees its tuples.
        let _old = if (id as usize) < DENSE_COUNT {
            let mut dense = self.dense.borrow_mut();
            if dense.len() <= id as usize {
                dense.resize(id as usize + 1, None);
            }
            std::mem::replace(&mut dense[id as usize], space)
        } else {
            match space {
                Some(space) => self.sparse.borrow_mut().insert(id, space),
                None => self.sparse.borrow_mut().remove(&id),
            }
        };
    }
}
