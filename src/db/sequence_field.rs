//! Fields that are filled in before a tuple is stored: defaults and sequences.
//!
//! A value taken for an insertion is not logged by itself: replaying the insertion, whose row has
//! the value, moves the sequence as far. `_sequence_data` is kept up to date beside the log, so
//! that snapshots have it.
//!
//! # Yields
//! `sequence_next`, `sequence_set` and `sequence_reset` commit

use std::rc::Rc;

use crate::base::error::Result;
use crate::client_error;
use crate::tuple::{Path, Tuple};
use crate::value::mp::{Reader, write_array_len, write_int, write_uint};
use crate::xrow::Request;
use crate::xrow::iproto::kind;

use super::access::{as_admin, denied, effective_user};
use super::database::{Database, Phase};
use super::index::Mode;
use super::sequence::Sequence;
use super::space::{Space, SpaceSequence};
use super::system_space;
use super::user::{ADMIN, Object, ObjectKind, privilege};

impl Database {
    /// The next value of a sequence.
    pub fn sequence_next(&self, id: u32) -> Result<i64> {
        let sequence = self.sequences().find(id)?;
        self.check_sequence(&sequence)?;
        let value = sequence.peek_next()?;
        sequence.set_value(Some(value));
        self.write_sequence_value(id, value)?;
        Ok(value)
    }

    /// The last value of a sequence.
    pub fn sequence_current(&self, id: u32) -> Result<i64> {
        let sequence = self.sequences().find(id)?;
        self.check_sequence(&sequence)?;
        let name = sequence.definition().name.clone();
        sequence.value().ok_or_else(|| client_error!(ER_SEQUENCE_NOT_STARTED, name))
    }

    /// Sets the last value of a sequence.
    pub fn sequence_set(&self, id: u32, value: i64) -> Result<()> {
        let sequence = self.sequences().find(id)?;
        self.check_sequence(&sequence)?;
        self.write_sequence_value(id, value)
    }

    /// Whoever may write to the sequence need not have access to the space of the values.
    fn write_sequence_value(&self, id: u32, value: i64) -> Result<()> {
        as_admin(|| self.replace(system_space::SEQUENCE_DATA, &data_row(id, value))).map(drop)
    }

    /// Starts a sequence over.
    pub fn sequence_reset(&self, id: u32) -> Result<()> {
        let sequence = self.sequences().find(id)?;
        self.check_sequence(&sequence)?;
        let mut key = Vec::new();
        write_array_len(&mut key, 1);
        write_uint(&mut key, u64::from(id));
        as_admin(|| self.delete(system_space::SEQUENCE_DATA, 0, &key))?;
        sequence.set_value(None);
        Ok(())
    }

    /// Whether the user may use a sequence: to see its value takes the right to write, too.
    fn check_sequence(&self, sequence: &Sequence) -> Result<()> {
        let uid = effective_user();
        if uid == ADMIN {
            return Ok(());
        }
        let definition = sequence.definition();
        let user = self.users().find(uid)?;
        let missing = (privilege::WRITE | privilege::USAGE)
            & !user.universal_access()
            & !user.access(&Object::Entity(ObjectKind::Sequence));
        let own = user.access(&Object::One(ObjectKind::Sequence, definition.id));
        let has_usage = missing & privilege::USAGE == 0;
        if has_usage && (definition.owner == uid || missing & !own == 0) {
            return Ok(());
        }
        if user.universal_access() & privilege::USAGE == 0 {
            return Err(denied(privilege::name(privilege::USAGE), "universe", "", &user.name()));
        }
        Err(denied(privilege::name(privilege::WRITE), "sequence", &definition.name, &user.name()))
    }

    /// The request's tuple with its defaults and its sequence field filled in; `None` when it
    /// stays as it is.
    pub(crate) fn fill_fields(
        &self,
        space: &Space,
        request: &Request<'_>,
    ) -> Result<Option<Vec<u8>>> {
        let is_upsert = request.kind == kind::UPSERT;
        if !is_upsert && !matches!(request.kind, kind::INSERT | kind::REPLACE) {
            return Ok(None);
        }
        let Some(data) = request.tuple else { return Ok(None) };
        let numbered = match space.sequence() {
            Some(link) if !is_upsert => self.fill_sequence(&link, data)?,
            _ => None,
        };
        // Rows that recovery reads had their defaults when they were written.
        if !space.format().has_defaults() || self.phase() != Phase::Running {
            return Ok(numbered);
        }
        let filled = self.fill_defaults(space, numbered.as_deref().unwrap_or(data))?;
        Ok(filled.or(numbered))
    }

    fn fill_defaults(&self, space: &Space, data: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut source = None;
        space.format().apply_defaults(data, &mut |function_id, argument| {
            let source = match &mut source {
                Some(source) => source,
                none => none.insert(Tuple::new_runtime(data)?),
            };
            self.host().compute_default(function_id, argument, source).map_err(|error| {
                let function = self.functions().get(function_id);
                let name = function.map_or_else(String::new, |function| function.name.clone());
                client_error!(ER_DEFAULT_FUNC_FAILED, name, error.message())
            })
        })
    }

    /// Refuses defaults that name functions that cannot compute them.
    pub(crate) fn verify_defaults(&self, space: &Space) -> Result<()> {
        if self.phase() != Phase::Running {
            // The functions may be read later.
            return Ok(());
        }
        for field in space.format().fields().iter().filter(|field| field.default_func != 0) {
            let function = self.functions().find(field.default_func)?;
            super::access::check_function(self, &function, || false)?;
            if function.body.is_empty() {
                let details = "Lua function must have persistent body";
                return Err(client_error!(ER_CREATE_DEFAULT_FUNC, function.name, details));
            }
        }
        Ok(())
    }

    fn fill_sequence(&self, link: &SpaceSequence, data: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(field) = find_field(data, link) else { return Ok(None) };
        // Also a value that is given moves the sequence.
        if !link.sequence.is_generated() {
            self.check_sequence(&link.sequence)?;
        }
        let mut reader = Reader::new(field);
        if !reader.is_nil() {
            if let Some(value) = reader.read_int()
                && link.sequence.update(value)
            {
                self.note_sequence_value(&link.sequence)?;
            }
            return Ok(None);
        }
        let value = link.sequence.peek_next()?;
        link.sequence.set_value(Some(value));
        self.note_sequence_value(&link.sequence)?;
        let at = field.as_ptr().addr() - data.as_ptr().addr();
        let mut filled = Vec::with_capacity(data.len() + 8);
        filled.extend_from_slice(&data[..at]);
        write_int(&mut filled, value);
        filled.extend_from_slice(&data[at + 1..]);
        Ok(Some(filled))
    }

    /// Puts the value into `_sequence_data`, past the log.
    fn note_sequence_value(&self, sequence: &Rc<Sequence>) -> Result<()> {
        let Some(space) = self.schema().space(system_space::SEQUENCE_DATA) else { return Ok(()) };
        let Some(value) = sequence.value() else { return Ok(()) };
        let row = data_row(sequence.definition().id, value);
        let tuple = Tuple::new(space.format(), &row)?;
        space.change(None, Some(&tuple), Mode::ReplaceOrInsert).map(drop)
    }
}

fn data_row(id: u32, value: i64) -> Vec<u8> {
    let mut row = Vec::with_capacity(16);
    write_array_len(&mut row, 2);
    write_uint(&mut row, u64::from(id));
    write_int(&mut row, value);
    row
}

/// The field that the sequence fills and what is behind it, inside `data`.
fn find_field<'a>(data: &'a [u8], link: &SpaceSequence) -> Option<&'a [u8]> {
    let mut reader = Reader::new(data);
    let count = reader.read_array_len()?;
    if link.field >= count {
        return None;
    }
    reader.skip_many(u64::from(link.field))?;
    let field = reader.rest();
    if link.path.is_empty() {
        return Some(field);
    }
    Path::parse(link.path.as_bytes(), 1).ok()?.follow(field)
}
