//! Constraints: what a space demands of its tuples beyond the types of their fields.
//!
//! A check is a stored function that has to answer `true` for a field or a tuple. A foreign key
//! demands that some space has a tuple with the values of this one's fields, and keeps that tuple
//! from going as long as it is referred to. Both are read from the space's definition and belong
//! to a version of the space; the functions and spaces they name are looked up when they are
//! needed, because those have versions of their own.
//!
//! # Invariants
//! - Rows that recovery reads have passed the constraints when they were written: none is asked.
//!
//! # Yields
//! as the functions do, which aborts the transaction

use std::rc::Rc;

use crate::base::error::{Error, Result};
use crate::client_error;
use crate::tuple::{RawTuple, Tuple};
use crate::value::mp::Reader;

use super::database::{Database, Phase};
use super::index::Index;
use super::row::{check_identifier, is_name_too_long};
use super::space::Space;
use super::space_definition::SpaceDefinition;

/// The constraints of a version of a space.
#[derive(Debug, Default)]
pub struct Constraints {
    checks: Vec<Check>,
    foreign_keys: Vec<ForeignKey>,
}

/// A function that must answer `true`.
#[derive(Debug)]
struct Check {
    name: String,
    function_id: u32,
    /// The field it is about, from 0; `None`: the tuple.
    field: Option<u32>,
}

/// A reference to a tuple that must exist.
#[derive(Debug)]
pub(crate) struct ForeignKey {
    name: String,
    /// The field it is about, from 0; `None`: the tuple.
    field: Option<u32>,
    space_id: u32,
    /// Fields of this space and of the other.
    mapping: Vec<(FieldName, FieldName)>,
}

/// A field as a foreign key names it.
#[derive(Clone, Debug, PartialEq)]
enum FieldName {
    /// From 0.
    Number(u32),
    Name(String),
}

/// A reference to a space: who has the foreign key, and which of its keys it is.
pub(crate) type Reference = (Rc<Space>, usize);

impl Constraints {
    /// The constraints of a definition, `None` for none.
    pub fn of(definition: &SpaceDefinition) -> Result<Option<Constraints>> {
        let mut all = Constraints::default();
        for (number, field) in (0u32..).zip(&definition.format.fields) {
            let wrong = |details: String| {
                client_error!(ER_WRONG_SPACE_FORMAT, number.saturating_add(1), details)
            };
            if let Some(data) = &field.constraint {
                all.read_checks(data, Some(number)).map_err(wrong)?;
            }
            if let Some(data) = &field.foreign_key {
                all.read_foreign_keys(data, Some(number), definition.id).map_err(wrong)?;
            }
        }
        let wrong = |details: String| client_error!(ER_WRONG_SPACE_OPTIONS, details);
        if let Some(data) = &definition.options.constraint {
            all.read_checks(data, None).map_err(wrong)?;
        }
        if let Some(data) = &definition.options.foreign_key {
            all.read_foreign_keys(data, None, definition.id).map_err(wrong)?;
        }
        let is_none = all.checks.is_empty() && all.foreign_keys.is_empty();
        Ok((!is_none).then_some(all))
    }

    /// Whether tuples that satisfy `other` satisfy these as well: each of these is one of those,
    /// whatever its name.
    pub fn is_implied_by(&self, other: Option<&Constraints>) -> bool {
        let Some(other) = other else { return false };
        let is_known = |check: &Check| {
            other
                .checks
                .iter()
                .any(|known| (known.function_id, known.field) == (check.function_id, check.field))
        };
        let is_known_key = |key: &ForeignKey| {
            other.foreign_keys.iter().any(|known| {
                (known.field, known.space_id) == (key.field, key.space_id)
                    && known.mapping == key.mapping
            })
        };
        self.checks.iter().all(is_known) && self.foreign_keys.iter().all(is_known_key)
    }

    /// Whether a check calls this function.
    pub fn calls(&self, function_id: u32) -> bool {
        self.checks.iter().any(|check| check.function_id == function_id)
    }

    /// The spaces that the foreign keys refer to, in the order of the keys.
    pub fn referred_spaces(&self) -> impl Iterator<Item = u32> + '_ {
        self.foreign_keys.iter().map(|key| key.space_id)
    }

    fn read_checks(&mut self, data: &[u8], field: Option<u32>) -> Result<(), String> {
        let mut reader = Reader::new(data);
        let count = reader.read_map_len().ok_or("constraint field is expected to be a MAP")?;
        for _ in 0..count {
            let name = read_name(&mut reader, "constraint")?;
            let function_id = reader.read_uint().and_then(|id| u32::try_from(id).ok());
            let function_id =
                function_id.ok_or("constraint function ID is expected to be a number")?;
            self.checks.push(Check { name, function_id, field });
        }
        Ok(())
    }

    fn read_foreign_keys(
        &mut self,
        data: &[u8],
        field: Option<u32>,
        own_id: u32,
    ) -> Result<(), String> {
        let mut reader = Reader::new(data);
        let count = reader.read_map_len().ok_or("foreign key field is expected to be a MAP")?;
        for _ in 0..count {
            let name = read_name(&mut reader, "foreign key")?;
            let mut key = ForeignKey { name, field, space_id: own_id, mapping: Vec::new() };
            key.read(&mut reader)?;
            self.foreign_keys.push(key);
        }
        Ok(())
    }
}

fn read_name(reader: &mut Reader<'_>, what: &str) -> Result<String, String> {
    let name =
        reader.read_utf8().ok_or_else(|| format!("{what} name is expected to be a string"))?;
    if is_name_too_long(name) {
        return Err(format!("{what} name is too long"));
    }
    check_identifier(name).map_err(|_| format!("{what} name isn't a valid identifier"))?;
    Ok(name.to_owned())
}

impl ForeignKey {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), String> {
        const USAGE: &str = "foreign key definition is expected to be {[space=..,] field=..}";
        let count =
            reader.read_map_len().ok_or("foreign key definition is expected to be a map")?;
        for _ in 0..count {
            let option = reader.read_str();
            match option.ok_or("foreign key definition key is expected to be a string")? {
                b"space" => {
                    let id = reader.read_uint().and_then(|id| u32::try_from(id).ok());
                    let id = id.ok_or("foreign key: space must be a number")?;
                    if id != 0 {
                        self.space_id = id;
                    }
                }
                b"field" => self.read_mapping(reader)?,
                _ => return Err(USAGE.to_owned()),
            }
        }
        if self.mapping.is_empty() { Err(USAGE.to_owned()) } else { Ok(()) }
    }

    fn read_mapping(&mut self, reader: &mut Reader<'_>) -> Result<(), String> {
        if let Some(own) = self.field {
            self.mapping = vec![(FieldName::Number(own), read_field(reader)?)];
            return Ok(());
        }
        let count = reader.read_map_len().filter(|count| *count > 0);
        for _ in 0..count.ok_or("field mapping is expected to be a map")? {
            let own = read_field(reader)?;
            self.mapping.push((own, read_field(reader)?));
        }
        Ok(())
    }

    /// Numbers of the fields in this space; `None` when one is not there.
    fn own_fields(&self, space: &Space) -> Option<Vec<u32>> {
        self.mapping.iter().map(|(own, _)| own.number(space)).collect()
    }

    /// Numbers of the fields in the space that is referred to.
    fn foreign_fields(&self, space: &Space) -> Option<Vec<u32>> {
        self.mapping.iter().map(|(_, foreign)| foreign.number(space)).collect()
    }

    /// The error of a tuple of the space that refers to nothing.
    fn failed(&self, space: &Space, details: &str) -> Error {
        match self.field {
            Some(field) => {
                let path = path_of(space, field);
                client_error!(ER_FIELD_FOREIGN_KEY_FAILED, self.name, path, details, field)
            }
            None => client_error!(ER_COMPLEX_FOREIGN_KEY_FAILED, self.name, details),
        }
    }

    /// The error of a tuple that may not go.
    fn violated(&self, details: &str) -> Error {
        client_error!(ER_FOREIGN_KEY_INTEGRITY, self.name, details)
    }
}

fn read_field(reader: &mut Reader<'_>) -> Result<FieldName, String> {
    if let Some(name) = reader.read_utf8() {
        return Ok(FieldName::Name(name.to_owned()));
    }
    let number = reader.read_uint().and_then(|number| u32::try_from(number).ok());
    let number = number.ok_or("foreign key: field must be number or string")?;
    Ok(FieldName::Number(number))
}

impl FieldName {
    fn number(&self, space: &Space) -> Option<u32> {
        match self {
            FieldName::Number(number) => Some(*number),
            FieldName::Name(name) => space.format().field_number(name),
        }
    }
}

/// A field as messages name it.
fn path_of(space: &Space, field: u32) -> String {
    let number = field.saturating_add(1);
    match space.format().field_name(field) {
        Some(name) => format!("{number} ({name})"),
        None => number.to_string(),
    }
}

/// The index over exactly these fields, in any order.
fn index_over<'s>(space: &'s Space, fields: &[u32], unique: bool) -> Option<&'s Rc<Index>> {
    space.indexes().iter().find(|index| {
        let parts = index.definition().key_def.parts();
        let has = |field: &u32| parts.iter().any(|part| part.field == *field);
        parts.len() == fields.len()
            && (index.definition().is_unique || !unique)
            && fields.iter().all(has)
    })
}

/// The values for the parts of an index over `fields`, taken from a tuple's `sources`, one for
/// each of `fields`; `None` for what the tuple does not have.
fn key_values<'t>(
    index: &Index,
    fields: &[u32],
    tuple: &'t RawTuple,
    sources: &[u32],
) -> Vec<Option<&'t [u8]>> {
    let parts = index.definition().key_def.parts().iter();
    let value = |field: u32| {
        let place = fields.iter().position(|known| *known == field)?;
        tuple.field(sources[place])
    };
    parts.map(|part| value(part.field)).collect()
}

fn is_nil(value: &[u8]) -> bool {
    Reader::new(value).is_nil()
}

impl Database {
    /// Refuses a tuple that does not satisfy the constraints of the space.
    pub(crate) fn check_constraints(&self, space: &Space, tuple: &Tuple) -> Result<()> {
        let Some(constraints) = space.constraints() else { return Ok(()) };
        if self.phase() != Phase::Running {
            return Ok(());
        }
        for check in &constraints.checks {
            self.run_check(space, check, tuple)?;
        }
        for key in &constraints.foreign_keys {
            self.check_foreign_key(space, key, tuple)?;
        }
        Ok(())
    }

    fn run_check(&self, space: &Space, check: &Check, tuple: &Tuple) -> Result<()> {
        if let Some(field) = check.field {
            let Some(value) = tuple.field(field) else { return Ok(()) };
            let named = space.format().fields().get(field as usize);
            if is_nil(value) && named.is_some_and(|named| named.is_nullable) {
                return Ok(());
            }
        }
        match self.host().check_constraint(check.function_id, tuple, check.field, &check.name) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => tracing::error!("{error}"),
        }
        Err(match check.field {
            Some(field) => {
                let path = path_of(space, field);
                client_error!(ER_FIELD_CONSTRAINT_FAILED, check.name, path, field)
            }
            None => client_error!(ER_TUPLE_CONSTRAINT_FAILED, check.name),
        })
    }

    fn check_foreign_key(&self, space: &Space, key: &ForeignKey, tuple: &Tuple) -> Result<()> {
        let failed = |details: &str| Err(key.failed(space, details));
        let other = match key.space_id == space.id() {
            true => None,
            false => match self.schema().space(key.space_id) {
                Some(other) => Some(other),
                None => return failed("foreign index was not found"),
            },
        };
        let foreign = other.as_deref().unwrap_or(space);
        let fields = key.foreign_fields(foreign);
        let found = fields.and_then(|fields| Some((index_over(foreign, &fields, true)?, fields)));
        let Some((index, fields)) = found else { return failed("foreign index was not found") };
        let Some(sources) = key.own_fields(space) else { return failed("wrong local field name") };
        let values = key_values(index, &fields, tuple, &sources);
        if values.iter().flatten().all(|value| is_nil(value)) {
            return Ok(());
        }
        let Some(values) = values.into_iter().collect::<Option<Vec<_>>>() else {
            return failed("extract key failed");
        };
        let parts = values.concat();
        let key_def = &index.definition().key_def;
        if key_def.validate_exact_key(&parts, values.len(), false).is_err() {
            return failed("wrong key type");
        }
        match foreign.get(index, &parts, values.len())? {
            Some(_) => Ok(()),
            None => failed("foreign tuple was not found"),
        }
    }

    /// Refuses to let a tuple go, or be replaced by another, that a foreign key refers to.
    pub(crate) fn check_references(
        &self,
        space: &Space,
        old: &Tuple,
        new: Option<&Tuple>,
    ) -> Result<()> {
        if self.phase() != Phase::Running {
            return Ok(());
        }
        for (owner, position) in self.schema().references_to(space.id()).iter() {
            let key = owner.constraints().and_then(|all| all.foreign_keys.get(*position));
            if let Some(key) = key {
                check_reference(space, owner, key, old, new)?;
            }
        }
        Ok(())
    }

    /// Refuses constraints that name functions or spaces that cannot serve.
    pub(crate) fn verify_constraints(&self, space: &Space) -> Result<()> {
        let Some(constraints) = space.constraints() else { return Ok(()) };
        if self.phase() != Phase::Running {
            // What they name may be read later.
            return Ok(());
        }
        for check in &constraints.checks {
            let refuse = |details: String| {
                Err(client_error!(ER_CREATE_CONSTRAINT, check.name, space.name(), details))
            };
            let id = check.function_id;
            let Some(function) = self.functions().get(id) else {
                return refuse(format!("constraint function '{id}' was not found by ID"));
            };
            super::access::check_function(self, &function, || false)?;
            let name = &function.name;
            if function.body.is_empty() {
                let what = "must have persistent body";
                return refuse(format!("constraint lua function '{name}' {what}"));
            }
            if !function.is_deterministic {
                return refuse(format!("constraint function '{name}' must be deterministic"));
            }
        }
        constraints.foreign_keys.iter().try_for_each(|key| self.verify_foreign_key(space, key))
    }

    fn verify_foreign_key(&self, space: &Space, key: &ForeignKey) -> Result<()> {
        if key.space_id == space.id() {
            return Ok(());
        }
        let refuse = |details: &str| {
            Err(client_error!(ER_CREATE_FOREIGN_KEY, key.name, space.name(), details))
        };
        let Some(foreign) = self.schema().space(key.space_id) else {
            return refuse(&format!("foreign space '{}' was not found by id", key.space_id));
        };
        let (own, foreign) = (space.definition(), foreign.definition());
        if foreign.is_temporary() {
            return refuse("foreign space can't be temporary");
        }
        if foreign.is_data_temporary() && !own.is_data_temporary() {
            return refuse(
                "foreign key from non-data-temporary space can't refer to data-temporary space",
            );
        }
        if foreign.is_local() && !own.is_local() {
            return refuse("foreign key from non-local space can't refer to local space");
        }
        Ok(())
    }

    /// Refuses to empty a space that others, not empty themselves, refer to; with `drops`, even
    /// if they are.
    pub(crate) fn check_not_referenced(&self, space: &Space, drops: bool) -> Result<()> {
        let references = self.schema().references_to(space.id());
        let counts = |owner: &Space| owner.id() != space.id() && (drops || !owner.is_empty());
        if self.phase() == Phase::Running && references.iter().any(|(owner, _)| counts(owner)) {
            let details = "space is referenced by foreign key";
            return Err(client_error!(ER_ALTER_SPACE, space.name(), details));
        }
        Ok(())
    }
}

fn check_reference(
    space: &Space,
    owner: &Space,
    key: &ForeignKey,
    old: &Tuple,
    new: Option<&Tuple>,
) -> Result<()> {
    let violated = |details: &str| Err(key.violated(details));
    let Some(sources) = key.foreign_fields(space) else {
        return violated("wrong foreign field name");
    };
    if let (Some(new), Some(index)) = (new, index_over(space, &sources, true))
        && index.definition().key_def.compare(old, new).is_eq()
    {
        return Ok(());
    }
    let fields = key.own_fields(owner);
    let found = fields.and_then(|fields| Some((index_over(owner, &fields, false)?, fields)));
    let Some((index, fields)) = found else { return violated("index was not found") };
    let values = key_values(index, &fields, old, &sources);
    let Some(values) = values.into_iter().collect::<Option<Vec<_>>>() else { return Ok(()) };
    if values.iter().any(|value| is_nil(value)) {
        // Nobody can be bound to it.
        return Ok(());
    }
    let parts = values.concat();
    if index.definition().key_def.validate_exact_key(&parts, values.len(), false).is_err() {
        return violated("wrong key type");
    }
    match owner.has(index, &parts, values.len())? {
        false => Ok(()),
        true => violated("tuple is referenced"),
    }
}
