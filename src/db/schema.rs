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
}

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

    /// Puts a space in, or another version of it, and takes `old` out.
    pub(crate) fn replace(&self, old: Option<&Rc<Space>>, new: Option<&Rc<Space>>) {
        if let Some(old) = old {
            self.ids.borrow_mut().remove(old.name());
            self.put(old.id(), None);
        }
        if let Some(new) = new {
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
