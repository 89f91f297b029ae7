//! Reading: get, select, iterators, min, max, count, random, positions.
//!
//! # Positions
//! A position is the key of a tuple under the index's full definition, in base64 without padding;
//! what comes after it can be asked for whether that tuple still exists or not.
//!
//! # Yields
//! when tuples are read from disk

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::base::error::Result;
use crate::client_error;
use crate::memtx::{IteratorType, Key};
use crate::tuple::Tuple;
use crate::value::mp::{self, Kind, Reader};

use super::access;
use super::database::Database;
use super::index::{Index, Steps};
use super::index_definition::IndexKind;
use super::space::Space;
use super::space_definition::Engine;
use super::statistics::Operation;
use super::user::privilege;
use super::view::{self, ViewFilter};

/// Where a selection goes on.
#[derive(Clone, Copy, Debug, Default)]
pub enum After<'a> {
    /// At the beginning.
    #[default]
    Start,
    /// After this position (the base64 text).
    Position(&'a [u8]),
    /// After this tuple (a MessagePack array).
    Tuple(&'a [u8]),
}

/// What `select` takes.
#[derive(Clone, Copy, Debug)]
pub struct SelectOptions<'a> {
    /// The iterator type.
    pub iterator: IteratorType,
    /// How many tuples to skip.
    pub offset: u64,
    /// How many tuples to return at most.
    pub limit: u64,
    /// Where to go on.
    pub after: After<'a>,
    /// Whether to tell where the selection ended.
    pub fetch_position: bool,
}

impl Default for SelectOptions<'_> {
    fn default() -> Self {
        SelectOptions {
            iterator: IteratorType::Eq,
            offset: 0,
            limit: u64::from(u32::MAX),
            after: After::Start,
            fetch_position: false,
        }
    }
}

impl SelectOptions<'_> {
    /// Whether a key of so many parts leads to one tuple at most, and all there is to do is to
    /// look it up.
    fn is_point(&self, index: &Index, part_count: usize) -> bool {
        // Other unique indexes may have several tuples without a value.
        index.id() == 0
            && self.iterator == IteratorType::Eq
            && self.offset == 0
            && part_count == index.definition().key_def.part_count()
            && matches!(self.after, After::Start)
    }
}

/// What `select` returns.
pub struct Selection {
    /// The tuples.
    pub tuples: Vec<Tuple>,
    /// Where the selection ended, if asked and if there was a tuple.
    pub position: Option<Vec<u8>>,
}

/// An iterator over an index; stays right while the space changes and ends when the index goes.
pub struct Iterator {
    space_id: u32,
    index: Rc<Index>,
    schema_version: u64,
    filter: Option<ViewFilter>,
    steps: Steps,
}

/// An index whose tuples are read, its space, and for a view which of the tuples are shown.
struct Source {
    space: Rc<Space>,
    index: Rc<Index>,
    filter: Option<ViewFilter>,
}

/// The parts of a key (a MessagePack array) and their count.
#[inline]
pub(crate) fn key_parts(key: &[u8]) -> Result<(&[u8], usize)> {
    let mut reader = Reader::new(key);
    match reader.read_array_len() {
        Some(count) => Ok((reader.rest(), count as usize)),
        None => Err(client_error!(ER_TUPLE_NOT_ARRAY)),
    }
}

impl Database {
    /// The space and index with these ids for reading.
    fn open_index(&self, space_id: u32, index_id: u32) -> Result<(Rc<Space>, Rc<Index>)> {
        let space = self.schema().find(space_id)?;
        access::check_space(self, &space, privilege::READ)?;
        let index = space.find_index(index_id)?.clone();
        if let Some(transaction) = self.transaction() {
            transaction.check(self)?;
            transaction.join(self, space.definition().engine)?;
        }
        Ok((space, index))
    }

    /// What is read when this index is.
    fn source(&self, space: &Rc<Space>, index: &Rc<Index>) -> Result<Source> {
        let Some(source_id) = index.view_of() else {
            return Ok(Source { space: space.clone(), index: index.clone(), filter: None });
        };
        let filter = Some(view::filter(self, space.id()));
        let space = self.schema().find(source_id)?;
        let index = space.find_index(index.id())?.clone();
        Ok(Source { space, index, filter })
    }

    /// The tuple with this key (an array of all parts) in a unique index.
    pub fn get(&self, space_id: u32, index_id: u32, key: &[u8]) -> Result<Option<Tuple>> {
        let (space, index) = self.open_index(space_id, index_id)?;
        if !index.definition().is_unique {
            return Err(client_error!(ER_MORE_THAN_ONE_TUPLE));
        }
        self.statistics().count(Operation::Select);
        let (parts, count) = key_parts(key)?;
        index.definition().key_def.validate_exact_key(parts, count, index_id != 0)?;
        if space.definition().engine == Engine::Service {
            return self.session_setting(parts);
        }
        let Source { space, index, filter } = self.source(&space, &index)?;
        let found = space.get(&index, parts, count)?;
        Ok(found.filter(|tuple| filter.is_none_or(|filter| filter.shows(self, tuple))))
    }

    /// The tuples for a key prefix (an array).
    pub fn select(
        &self,
        space_id: u32,
        index_id: u32,
        key: &[u8],
        options: &SelectOptions<'_>,
    ) -> Result<Selection> {
        let (space, index) = self.open_index(space_id, index_id)?;
        self.statistics().count(Operation::Select);
        let (parts, count) = key_parts(key)?;
        validate_iteration(&space, &index, options.iterator, parts, count)?;
        let after = self.after_key(&space, &index, options, parts, count)?;
        let after = after.as_deref().map(key_parts).transpose()?;
        let after = after.and_then(|(parts, count)| Key::new(parts, count));
        if space.definition().engine == Engine::Service {
            return self.select_session_settings(parts, count, options);
        }
        let Source { space: source_space, index: source, filter } = self.source(&space, &index)?;
        let iterator = normalize(&index, options.iterator, count);
        let limit = usize::try_from(options.limit).unwrap_or(usize::MAX);
        let key = Key::new(parts, count);
        let tuples = match (source.memtx(), filter) {
            (Some(store), None) if options.is_point(&index, count) && limit > 0 => {
                store.get(Key { parts, part_count: count }).into_iter().collect()
            }
            (Some(store), None) => {
                let range = store.range(iterator, key, after, options.offset).take(limit);
                // SAFETY: the tuples are in the index, which is borrowed.
                range.map(|found| unsafe { found.to_tuple() }).collect()
            }
            (store, filter) => {
                drop(store);
                let mut steps = source_space.iterate(&source, iterator, key, after, 0)?;
                steps.expect(options.limit.saturating_add(options.offset));
                std::iter::from_fn(|| steps.next_tuple().transpose())
                    .filter(|found| match (found, filter) {
                        (Ok(tuple), Some(filter)) => filter.shows(self, tuple),
                        _ => true,
                    })
                    .skip(usize::try_from(options.offset).unwrap_or(usize::MAX))
                    .take(limit)
                    .collect::<Result<Vec<Tuple>>>()?
            }
        };
        let position = match (options.fetch_position, tuples.last()) {
            (false, _) => None,
            (true, Some(last)) => Some(pack_position(&index, last)),
            (true, None) => match options.after {
                // Nothing came: the next selection goes on from the same place.
                After::Position(position) if !position.is_empty() => Some(position.to_vec()),
                After::Tuple(_) => self.given_position(&space, &index, options, parts, count)?,
                _ => None,
            },
        };
        Ok(Selection { tuples, position })
    }

    fn given_position(
        &self,
        space: &Space,
        index: &Index,
        options: &SelectOptions<'_>,
        parts: &[u8],
        count: usize,
    ) -> Result<Option<Vec<u8>>> {
        let key = self.after_key(space, index, options, parts, count)?;
        Ok(key.map(|key| STANDARD_NO_PAD.encode(key).into_bytes()))
    }

    /// An iterator over the tuples for a key prefix (an array).
    pub fn iterate(
        &self,
        space_id: u32,
        index_id: u32,
        key: &[u8],
        options: &SelectOptions<'_>,
    ) -> Result<Iterator> {
        let (space, index) = self.open_index(space_id, index_id)?;
        self.statistics().count(Operation::Select);
        let (parts, count) = key_parts(key)?;
        validate_iteration(&space, &index, options.iterator, parts, count)?;
        let after = self.after_key(&space, &index, options, parts, count)?;
        let after = after.as_deref().map(key_parts).transpose()?;
        let after = after.and_then(|(parts, count)| Key::new(parts, count));
        let source = self.source(&space, &index)?;
        let filter = source.filter;
        let iterator = normalize(&index, options.iterator, count);
        let key = Key::new(parts, count);
        let steps = source.space.iterate(&source.index, iterator, key, after, options.offset)?;
        let schema_version = self.schema().version();
        Ok(Iterator { space_id, index, schema_version, filter, steps })
    }

    /// The first tuple equal to the key prefix.
    pub fn min(&self, space_id: u32, index_id: u32, key: &[u8]) -> Result<Option<Tuple>> {
        self.edge(space_id, index_id, key, IteratorType::Ge, "min()")
    }

    /// The last tuple equal to the key prefix.
    pub fn max(&self, space_id: u32, index_id: u32, key: &[u8]) -> Result<Option<Tuple>> {
        self.edge(space_id, index_id, key, IteratorType::Le, "max()")
    }

    fn edge(
        &self,
        space_id: u32,
        index_id: u32,
        key: &[u8],
        direction: IteratorType,
        function: &str,
    ) -> Result<Option<Tuple>> {
        let (space, index) = self.open_index(space_id, index_id)?;
        if index.definition().kind != IndexKind::Tree {
            return Err(unsupported(&space, &index, function));
        }
        let (_, count) = key_parts(key)?;
        let iterator = match (count, direction) {
            (0, direction) => direction,
            (_, IteratorType::Ge) => IteratorType::Eq,
            _ => IteratorType::Req,
        };
        let options = SelectOptions { iterator, limit: 1, ..SelectOptions::default() };
        Ok(self.select(space_id, index_id, key, &options)?.tuples.pop())
    }

    /// Raises unless a key prefix may be read and is one of the index, whatever is there.
    pub fn check_key(&self, space_id: u32, index_id: u32, key: &[u8]) -> Result<()> {
        let (space, index) = self.open_index(space_id, index_id)?;
        let (parts, count) = key_parts(key)?;
        validate_iteration(&space, &index, IteratorType::Ge, parts, count)
    }

    /// How many tuples there are for a key prefix.
    pub fn count(
        &self,
        space_id: u32,
        index_id: u32,
        key: &[u8],
        iterator: IteratorType,
    ) -> Result<u64> {
        let (space, index) = self.open_index(space_id, index_id)?;
        let (parts, count) = key_parts(key)?;
        validate_iteration(&space, &index, iterator, parts, count)?;
        let Some(store) = index.memtx().filter(|_| space.definition().engine == Engine::Memtx)
        else {
            if index.vinyl().is_some() {
                let key = Key::new(parts, count);
                let iterator = normalize(&index, iterator, count);
                let mut steps = space.iterate(&index, iterator, key, None, 0)?;
                let mut total = 0;
                while steps.next_tuple()?.is_some() {
                    total += 1;
                }
                return Ok(total);
            }
            let options = SelectOptions { iterator, ..SelectOptions::default() };
            let selection = self.select(space_id, index_id, key, &options)?;
            return Ok(selection.tuples.len() as u64);
        };
        let iterator = normalize(&index, iterator, count);
        Ok(store.count(iterator, Key::new(parts, count)))
    }

    /// Count of tuples in an index.
    pub fn len(&self, space_id: u32, index_id: u32) -> Result<u64> {
        let (space, index) = self.open_index(space_id, index_id)?;
        match space.definition().engine {
            Engine::Memtx | Engine::Vinyl => Ok(index.len()),
            Engine::Sysview => Err(unsupported(&space, &index, "size()")),
            _ => self.count(space_id, index_id, &[0x90], IteratorType::All),
        }
    }

    /// A tuple chosen by the number.
    pub fn random(&self, space_id: u32, index_id: u32, seed: u64) -> Result<Option<Tuple>> {
        let (space, index) = self.open_index(space_id, index_id)?;
        match index.memtx() {
            Some(store) if space.definition().engine == Engine::Memtx => Ok(store.random(seed)),
            _ => Err(unsupported(&space, &index, "random()")),
        }
    }

    /// The position of a tuple (an array) in an index, for [`After::Position`].
    pub fn tuple_position(&self, space_id: u32, index_id: u32, tuple: &[u8]) -> Result<Vec<u8>> {
        let (_, index) = self.open_index(space_id, index_id)?;
        let key = position_key(&index, tuple)?;
        Ok(STANDARD_NO_PAD.encode(key).into_bytes())
    }

    /// The key after which the selection goes on.
    fn after_key(
        &self,
        space: &Space,
        index: &Index,
        options: &SelectOptions<'_>,
        parts: &[u8],
        count: usize,
    ) -> Result<Option<Vec<u8>>> {
        let wants_position = options.fetch_position || !matches!(options.after, After::Start);
        let is_tree = index.definition().kind == IndexKind::Tree;
        let has_positions = matches!(space.definition().engine, Engine::Memtx | Engine::Vinyl);
        if wants_position && !(is_tree && has_positions) {
            return Err(unsupported(space, index, "pagination"));
        }
        let key = match options.after {
            After::Start | After::Position([]) => return Ok(None),
            After::Position(text) => unpack_position(text)?,
            After::Tuple(tuple) => position_key(index, tuple)?,
        };
        validate_position(index, options.iterator, &key, parts, count)?;
        Ok(Some(key))
    }
}

impl Iterator {
    /// The next tuple.
    #[inline]
    pub fn next_tuple(&mut self) -> Result<Option<Tuple>> {
        let db = Database::current();
        if self.schema_version != db.schema().version() && !self.is_current(db) {
            return Ok(None);
        }
        if let Some(transaction) = db.transaction() {
            transaction.check(db)?;
        }
        loop {
            let Some(tuple) = self.steps.next_tuple()? else { return Ok(None) };
            if self.filter.is_none_or(|filter| filter.shows(db, &tuple)) {
                return Ok(Some(tuple));
            }
        }
    }

    /// Whether the index is still what it was when the schema was at that version.
    #[cold]
    fn is_current(&mut self, db: &Database) -> bool {
        let space = db.schema().space(self.space_id);
        let index = space.as_ref().and_then(|space| space.index(self.index.id()));
        let is_current = index.is_some_and(|index| index.is_same(&self.index));
        if is_current {
            self.schema_version = db.schema().version();
        }
        is_current
    }

    /// Whether the next step may yield.
    #[inline]
    pub fn may_yield(&self) -> bool {
        self.steps.may_yield()
    }

    /// The position of a tuple that this iterator returned.
    pub fn position_of(&self, tuple: &Tuple) -> Vec<u8> {
        pack_position(&self.index, tuple)
    }
}

fn pack_position(index: &Index, tuple: &Tuple) -> Vec<u8> {
    STANDARD_NO_PAD.encode(index.definition().cmp_def.extract_key(tuple)).into_bytes()
}

fn unpack_position(text: &[u8]) -> Result<Vec<u8>> {
    let invalid = || client_error!(ER_ITERATOR_POSITION);
    let key = STANDARD_NO_PAD.decode(text).map_err(|_| invalid())?;
    let is_array = Reader::new(&key).kind() == Some(Kind::Array);
    if !is_array || mp::check_exact(&key).is_err() {
        return Err(invalid());
    }
    Ok(key)
}

/// The key that a tuple has in the index.
fn position_key(index: &Index, tuple: &[u8]) -> Result<Vec<u8>> {
    let cmp_def = &index.definition().cmp_def;
    cmp_def.validate_tuple(tuple).map_err(|_| client_error!(ER_ITERATOR_POSITION))?;
    Ok(cmp_def.extract_key_from(tuple))
}

/// A position must be one of the index and lie where the iterator passes.
fn validate_position(
    index: &Index,
    iterator: IteratorType,
    position: &[u8],
    parts: &[u8],
    count: usize,
) -> Result<()> {
    let invalid = || client_error!(ER_ITERATOR_POSITION);
    let cmp_def = &index.definition().cmp_def;
    let (position, position_count) = key_parts(position).map_err(|_| invalid())?;
    cmp_def.validate_exact_key(position, position_count, true).map_err(|_| invalid())?;
    let order = cmp_def.compare_keys(position, position_count, parts, count);
    let is_passed = match iterator {
        IteratorType::Eq | IteratorType::Req => order.is_eq(),
        reverse if reverse.is_reverse() => order.is_le(),
        _ => order.is_ge(),
    };
    if is_passed { Ok(()) } else { Err(invalid()) }
}

/// Equality with no parts is everything.
fn normalize(index: &Index, iterator: IteratorType, part_count: usize) -> IteratorType {
    match (iterator, part_count) {
        (IteratorType::Eq, 0) => IteratorType::All,
        (IteratorType::Req, 0) if index.definition().kind == IndexKind::Tree => IteratorType::Le,
        _ => iterator,
    }
}

/// Checks the key, and that the index knows the iterator type.
fn validate_iteration(
    space: &Space,
    index: &Index,
    iterator: IteratorType,
    parts: &[u8],
    count: usize,
) -> Result<()> {
    use IteratorType::{All, Eq, Ge, Gt, Le, Lt, Req};
    let definition = index.definition();
    let is_tree = definition.kind == IndexKind::Tree;
    let is_known = match definition.kind {
        IndexKind::Tree => matches!(iterator, Eq | Req | All | Lt | Le | Ge | Gt),
        IndexKind::Hash => matches!(iterator, Eq | All | Gt),
    };
    if count > 0 || (!is_tree && iterator == Eq) {
        let part_count = definition.key_def.part_count();
        if count > part_count {
            return Err(client_error!(ER_KEY_PART_COUNT, part_count, count));
        }
        if !is_tree && count < part_count {
            let kind = definition.kind.name();
            return Err(client_error!(ER_PARTIAL_KEY, kind, part_count, count));
        }
        definition.key_def.validate_key(parts, count)?;
    }
    if is_known { Ok(()) } else { Err(unsupported(space, index, "requested iterator type")) }
}

/// `ER_UNSUPPORTED_INDEX_FEATURE`
fn unsupported(space: &Space, index: &Index, feature: &str) -> crate::base::Error {
    let definition = index.definition();
    client_error!(
        ER_UNSUPPORTED_INDEX_FEATURE,
        definition.name,
        definition.kind.name(),
        space.name(),
        space.definition().engine.name(),
        feature
    )
}
