//! Collations by id, as schemas name them: the built-in ones and those that `db` registers when
//! `_collation` rows appear.
//!
//! A registered collation lives as long as the process: key definitions point at it.

use std::collections::HashMap;
use std::sync::{OnceLock, PoisonError, RwLock};

use crate::value::collation::Collation;

pub use super::format::COLLATION_NONE;

/// Makes a collation known under this id.
pub fn register(id: u32, collation: Collation) {
    let collation: &'static Collation = Box::leak(Box::new(collation));
    registry().write().unwrap_or_else(PoisonError::into_inner).insert(id, collation);
}

/// Forgets the collation with this id; key definitions made with it keep working.
pub fn unregister(id: u32) {
    registry().write().unwrap_or_else(PoisonError::into_inner).remove(&id);
}

/// The collation with this id.
pub fn by_id(id: u32) -> Option<&'static Collation> {
    let registered = registry().read().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
    registered.or_else(|| Collation::builtin(id))
}

fn registry() -> &'static RwLock<HashMap<u32, &'static Collation>> {
    static REGISTRY: OnceLock<RwLock<HashMap<u32, &'static Collation>>> = OnceLock::new();
    REGISTRY.get_or_init(RwLock::default)
}
