//! A space on disk: reading its tuples and changing them.
//!
//! A change reads only what it needs to: whether a key is taken for an insertion, the old tuple where
//! other indexes have rows of it, and what other unique indexes have under the new tuple's keys. An
//! upsert of a space with one index reads nothing: whoever comes to know the tuple applies it. All
//! that is read first; then the changes of all indexes enter the transaction at once.
//!
//! # Invariants
//! - Between the last read and the changes nothing yields, and the space is still the version that
//!   was asked; so no index misses a change.
//!
//! # Yields
//! everything here, while rows are read

use std::rc::Rc;
use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::client_error;
use crate::memtx::{IteratorType, Key};
use crate::tuple::{Format, KeyDef, Tuple, update};
use crate::vinyl::{self, Bytes, Change, Range, Reader, Upsert, key};

use super::database::Database;
use super::index::{Index, Mode, Steps};
use super::space::Space;
use super::space_definition::Engine;
use super::transaction::Transaction;
use super::vinyl::{DiskSteps, Source};

/// Upserts of a key in a transaction after which the tuple is read.
const UPSERT_COUNT_MAX: usize = 128;

impl Space {
    /// An index on disk and what reading it takes.
    fn source<'s>(&'s self, index: &'s Index) -> Result<Source<'s>> {
        let gone = || client_error!(ER_NO_SUCH_INDEX_ID, index.id(), self.name());
        let primary = self.primary().and_then(|primary| primary.vinyl());
        Ok(Source {
            index: index.vinyl().ok_or_else(gone)?,
            primary: if index.id() == 0 { None } else { primary },
            format: self.format(),
        })
    }

    pub(super) fn get_from_disk(
        &self,
        index: &Index,
        parts: &[u8],
        part_count: usize,
    ) -> Result<Option<Tuple>> {
        self.source(index)?.get(Database::current().vinyl_reader()?, parts, part_count)
    }

    pub(super) fn iterate_on_disk(
        &self,
        index: &Index,
        iterator: IteratorType,
        key: Option<Key<'_>>,
        after: Option<Key<'_>>,
        offset: u64,
    ) -> Result<Steps> {
        let reader = Database::current().vinyl_reader()?;
        let tuples = self.source(index)?.iterate(reader, iterator, key, after);
        Ok(Steps::Disk(Box::new(DiskSteps { tuples, format: self.format(), skip: offset })))
    }

    /// Whether a deletion by primary key has to know the tuple.
    pub(super) fn must_read_deleted(&self) -> bool {
        let triggers = self.triggers();
        (self.indexes().len() > 1 && !self.definition().options.defer_deletes)
            || !self.building().is_empty()
            || !triggers.before_replace.is_empty()
            || !triggers.on_replace.is_empty()
            || Database::current().schema().has_foreign_keys()
    }

    /// [`Space::change`] on disk, in a transaction.
    pub(super) fn change_on_disk(
        &self,
        transaction: &Transaction,
        old: Option<Tuple>,
        new: Option<&Tuple>,
        mode: Mode,
    ) -> Result<Option<Tuple>> {
        let (primary, vinyl) = self.writing(transaction)?;
        let reader = Reader::of(&vinyl);
        let Some(subject) = new.or(old.as_ref()) else { return Ok(None) };
        let size_max = Database::current().vinyl_tuple_size_max();
        if new.is_some_and(|new| new.bsize() > size_max) {
            return Err(client_error!(ER_VINYL_MAX_TUPLE_SIZE, subject.bsize(), size_max));
        }
        let primary_key = key::of_tuple(primary.def(), subject);
        let is_checked = Database::current().phase() == super::database::Phase::Running;
        let mut old = old;
        if let (None, Some(new)) = (&old, new) {
            let is_insertion = mode == Mode::Insert && is_checked;
            if is_insertion || self.must_read_deleted() {
                let found = reader.get(&primary, &primary_key)?;
                let found = found.map(|data| Tuple::new(self.format(), &data)).transpose()?;
                match found {
                    Some(found) if is_insertion => {
                        let index = self.find_index(0)?;
                        return Err(self.duplicate(index, &found, new.data()));
                    }
                    found => old = found,
                }
            }
        }
        if let Some(new) = new.filter(|_| is_checked) {
            for index in self.indexes().iter().skip(1) {
                self.check_unique(&reader, &primary, index, &primary_key, old.as_ref(), new)?;
            }
            for index in self.building() {
                let checked =
                    self.check_unique(&reader, &primary, &index, &primary_key, old.as_ref(), new);
                if let Err(error) = checked {
                    self.fail_alteration(error);
                }
            }
        }
        self.check_version(transaction, &vinyl)?;
        let row = new.map(|new| Bytes::from(new.data()));
        let change = row.map_or(Change::Delete, Change::Put);
        key::check_size(&primary_key)?;
        for index in self.indexes().iter().skip(1).chain(&self.building()) {
            write_secondary(&vinyl, index, &primary_key, old.as_ref(), new)?;
        }
        vinyl.write(&primary, primary_key, change);
        if self.is_observed() {
            self.tell(old.as_ref(), new);
        }
        Ok(old)
    }

    /// Deletes by primary key, of all parts, without knowing whether there is a tuple.
    pub(super) fn delete_blindly(&self, transaction: &Transaction, key: &[u8]) -> Result<()> {
        let (primary, vinyl) = self.writing(transaction)?;
        let (parts, count) = super::iterator::key_parts(key)?;
        let key = key::of_parts(primary.def(), parts, count);
        // A longer one is not there.
        if key.len() <= key::SIZE_MAX {
            vinyl.write(&primary, key, Change::Delete);
        }
        Ok(())
    }

    /// Whether an upsert may go without knowing the tuple.
    pub(super) fn may_upsert_blindly(&self) -> bool {
        self.definition().engine == Engine::Vinyl
            && self.indexes().len() == 1
            && self.constraints().is_none()
            && !self.is_observed()
            && !self.must_read_deleted()
    }

    /// Upserts, without knowing whether there is a tuple.
    pub(super) fn upsert_blindly(
        &self,
        transaction: &Transaction,
        data: &[u8],
        operations: &[u8],
        index_base: u32,
    ) -> Result<()> {
        let (primary, vinyl) = self.writing(transaction)?;
        let size_max = Database::current().vinyl_tuple_size_max();
        if data.len() > size_max {
            return Err(client_error!(ER_VINYL_MAX_TUPLE_SIZE, data.len(), size_max));
        }
        let key = key::of_data(primary.def(), data);
        key::check_size(&key)?;
        if let Some(Change::Upsert(before)) = vinyl.written(&primary, &key)
            && before.count() >= UPSERT_COUNT_MAX
        {
            let row = Reader::of(&vinyl).get(&primary, &key)?;
            self.check_version(transaction, &vinyl)?;
            vinyl.write(&primary, key.clone(), row.map_or(Change::Delete, Change::Put));
        }
        let format = self.format();
        let by = (format.id(), index_base);
        let resolve =
            primary.resolve(by, || resolve(self.name(), primary.def(), format, index_base));
        let upsert = Upsert::new(Bytes::from(data), Bytes::from(operations), resolve);
        vinyl.write(&primary, key, Change::Upsert(upsert));
        Ok(())
    }

    /// The primary index, and the transaction that writes.
    fn writing(
        &self,
        transaction: &Transaction,
    ) -> Result<(Rc<vinyl::Index>, Rc<vinyl::Transaction>)> {
        let primary = self.find_index(0)?;
        let vinyl = transaction.vinyl().ok_or_else(super::database::loading_error)?;
        vinyl.begin_write()?;
        let index = primary.vinyl().cloned().ok_or_else(super::database::loading_error)?;
        Ok((index, vinyl))
    }

    /// Refuses when the space was altered while it was read: other indexes would want the change.
    fn check_version(&self, transaction: &Transaction, vinyl: &vinyl::Transaction) -> Result<()> {
        let db = Database::current();
        let is_current =
            db.schema().space(self.id()).is_some_and(|current| std::ptr::eq(&*current, self));
        if !is_current {
            vinyl.abort();
        }
        // What was read meanwhile may have sent it to a read view.
        vinyl.begin_write()?;
        transaction.check(db)
    }

    /// Refuses a tuple whose key another one has in a unique index.
    fn check_unique(
        &self,
        reader: &Reader,
        primary: &Rc<vinyl::Index>,
        index: &Index,
        primary_key: &Bytes,
        old: Option<&Tuple>,
        new: &Tuple,
    ) -> Result<()> {
        let definition = index.definition();
        let key_def = &definition.key_def;
        let is_same = old.is_some_and(|old| key_def.compare(old, new).is_eq());
        if !definition.is_unique || is_same || key_def.has_nil(new) || key_def.is_excluded(new) {
            return Ok(());
        }
        let Some(structure) = index.vinyl() else { return Ok(()) };
        let key = key_def.extract_key(new);
        let (parts, count) = super::iterator::key_parts(&key)?;
        let range = Range::equal(structure.def(), parts, count);
        let mut found = vinyl::Tuples::new(reader.clone(), structure, Some(primary), range, false);
        while let Some(data) = found.next_tuple()? {
            if key::of_data(primary.def(), &data) != *primary_key {
                let found = Tuple::new(self.format(), &data)?;
                return Err(self.duplicate(index, &found, new.data()));
            }
        }
        Ok(())
    }
}

/// How upserts of a space become rows.
fn resolve(name: &str, def: &KeyDef, format: &'static Format, index_base: u32) -> vinyl::Resolve {
    let (name, def) = (name.to_owned(), def.clone());
    Arc::new(move |old, tuple, operations, is_logged| {
        let Some(old) = old else { return Bytes::from(tuple) };
        let fail = |error: &Error| {
            if is_logged {
                tracing::error!("UPSERT operation failed: {error}");
            }
        };
        let made = update::upsert(old, operations, format, index_base, fail).and_then(|made| {
            format.validate(&made)?;
            if key::of_data(&def, &made) != key::of_data(&def, old) {
                return Err(client_error!(ER_CANT_UPDATE_PRIMARY_KEY, name));
            }
            Ok(made)
        });
        // As in Tarantool the log tells why it is left out.
        made.map_or_else(
            |error| {
                fail(&error);
                Bytes::from(old)
            },
            Bytes::from,
        )
    })
}

/// Takes the row of the old tuple out of an index and puts that of the new one in.
fn write_secondary(
    transaction: &vinyl::Transaction,
    index: &Index,
    primary_key: &Bytes,
    old: Option<&Tuple>,
    new: Option<&Tuple>,
) -> Result<()> {
    let Some(structure) = index.vinyl() else { return Ok(()) };
    let key_def = &index.definition().key_def;
    let key_of = |tuple: Option<&Tuple>| {
        let kept = tuple.filter(|tuple| !key_def.is_excluded(tuple));
        kept.map(|tuple| key::of_tuple(structure.def(), tuple))
    };
    let (old, new) = (key_of(old), key_of(new));
    new.as_deref().map_or(Ok(()), key::check_size)?;
    if let Some(old) = old.filter(|old| Some(old) != new.as_ref()) {
        transaction.write(structure, old, Change::Delete);
    }
    if let Some(new) = new {
        transaction.write(structure, new, Change::Put(primary_key.clone()));
    }
    Ok(())
}
