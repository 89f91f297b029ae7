//! Points: tuples looked up by whole keys of the primary index, many at a time.
//!
//! A client that does not wait for each reply sends such requests in a row, and executed one by one
//! each would wait for memory.
//!
//! # Yields
//! never

use std::rc::Rc;

use smallvec::SmallVec;

use crate::memtx::Key;
use crate::tuple::{KeyDef, RawTuple};
use crate::value::mp::Reader;
use crate::xrow::Request;
use crate::xrow::iproto::kind;

use super::access;
use super::database::Database;
use super::index::Index;
use super::iterator::key_parts;
use super::space_definition::Engine;
use super::statistics::Operation;

/// A primary index in memory that the running fiber may read.
pub struct Points(Rc<Index>);

impl Database {
    /// The points of a space; `None` where a selection is more than a look-up in memory, or could be
    /// refused.
    #[inline]
    pub fn points(&self, space_id: u32) -> Option<Points> {
        let space = self.schema().space(space_id)?;
        let is_plain = space.definition().engine == Engine::Memtx
            && access::may_read(self, space_id)
            && self.transaction().is_none();
        space.primary().filter(|_| is_plain).cloned().map(Points)
    }
}

impl Database {
    /// Asks the cache for what changes in spaces in memory will need.
    pub fn expect<'r>(&self, requests: impl Iterator<Item = &'r Request<'r>>) {
        let mut places: SmallVec<[(Rc<Index>, u64); 16]> = SmallVec::new();
        for request in requests {
            let Some(space) = self.schema().space(request.space_id) else { continue };
            let Some(primary) = space.primary() else { continue };
            let place = changed_key(request, &primary.definition().key_def)
                .and_then(|key| primary.memtx()?.prefetch(key));
            places.extend(place.map(|place| (primary.clone(), place)));
        }
        for (index, place) in &places {
            if let Some(store) = index.memtx() {
                store.prefetch_tuples(*place);
            }
        }
    }
}

/// The key of the tuple that a request changes, if it is one part of the request.
fn changed_key<'r>(request: &Request<'r>, key_def: &KeyDef) -> Option<&'r [u8]> {
    let (array, skipped) = match (request.kind, key_def.parts()) {
        (kind::UPDATE | kind::DELETE, [_]) if request.index_id == 0 => (request.key?, 0),
        (kind::INSERT | kind::REPLACE | kind::UPSERT, [part]) => (request.tuple?, part.field),
        _ => return None,
    };
    let mut reader = Reader::new(array);
    if reader.read_array_len()? <= skipped {
        return None;
    }
    reader.skip_many(u64::from(skipped))?;
    reader.skip()
}

impl Points {
    /// The key that an array of its parts is; `None` when it is not whole or not valid.
    #[inline]
    pub fn key<'k>(&self, array: &'k [u8]) -> Option<Key<'k>> {
        let (parts, part_count) = key_parts(array).ok()?;
        let key_def = &self.0.definition().key_def;
        let is_whole = part_count == key_def.part_count()
            && key_def.validate_exact_key(parts, part_count, false).is_ok();
        is_whole.then_some(Key { parts, part_count })
    }

    /// Looks keys up; `each` is told of their tuples in order.
    pub fn look_up(
        &self,
        database: &Database,
        keys: &[Key<'_>],
        each: impl FnMut(Option<&RawTuple>),
    ) {
        let Some(store) = self.0.memtx() else { return };
        keys.iter().for_each(|_| database.statistics().count(Operation::Select));
        store.find_together(keys, each);
    }
}
