//! The definition of an index: a row of `_index`, checked.
//!
//! # Yields
//! never

use std::rc::Rc;

use crate::base::error::{Error, Result};
use crate::base::limits::{INDEX_COUNT_MAX, KEY_PART_COUNT_MAX};
use crate::client_error;
use crate::tuple::{FieldDef, KeyDef, Tuple};
use crate::value::mp::{Kind, Reader};
use crate::vinyl::IndexOptions;

use super::row::{Row, check_identifier, cut_name, is_name_too_long, kind_name};
use super::space_definition::{Engine, SpaceDefinition};

/// The highest number of a field that can be indexed.
const INDEXED_FIELD_MAX: u32 = i16::MAX as u32;

/// The kind of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// Ordered.
    Tree,
    /// By hash.
    Hash,
}

impl IndexKind {
    /// Its name in `_index`.
    pub fn name(self) -> &'static str {
        match self {
            IndexKind::Tree => "TREE",
            IndexKind::Hash => "HASH",
        }
    }
}

/// The definition of an index.
#[derive(Clone, Debug)]
pub struct IndexDefinition {
    /// The space.
    pub space_id: u32,
    /// Index id.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: IndexKind,
    /// Whether keys are unique.
    pub is_unique: bool,
    /// Whether the `hint` option was given, and what it says.
    pub hint: Option<bool>,
    /// The parts as the user defined them.
    pub key_def: Rc<KeyDef>,
    /// The parts that order the index: those of the primary key appended.
    pub cmp_def: Rc<KeyDef>,
    /// What an index on disk takes.
    pub vinyl: IndexOptions,
    /// The options as they stand in the row.
    pub options_data: Vec<u8>,
}

/// The name that `_index` spells the kind with, in any case.
enum ForeignKind {
    Ours(IndexKind),
    Unsupported(&'static str),
    Unknown,
}

fn kind_by_name(name: &str) -> ForeignKind {
    match name.to_ascii_uppercase().as_str() {
        "TREE" => ForeignKind::Ours(IndexKind::Tree),
        "HASH" => ForeignKind::Ours(IndexKind::Hash),
        "RTREE" => ForeignKind::Unsupported("RTREE"),
        "BITSET" => ForeignKind::Unsupported("BITSET"),
        _ => ForeignKind::Unknown,
    }
}

struct Options {
    vinyl: IndexOptions,
    is_unique: bool,
    func_id: u32,
    hint: Option<bool>,
}

impl IndexDefinition {
    /// Reads a row of `_index` for this space; `primary` is the key of its primary index.
    pub(crate) fn from_tuple(
        tuple: &Tuple,
        space: &SpaceDefinition,
        primary: Option<&KeyDef>,
    ) -> Result<IndexDefinition> {
        check_shape(tuple.data())?;
        let row = Row::new(tuple.data());
        let (space_id, id) = (row.u32(0)?, row.u32(1)?);
        let name = row.str(2)?;
        let options = Options::decode(row.map(4)?)
            .map_err(|details| client_error!(ER_WRONG_INDEX_OPTIONS, details))?;
        let refuse =
            |details: &str| client_error!(ER_MODIFY_INDEX, cut_name(name), space.name, details);
        if is_name_too_long(name) {
            return Err(refuse("index name is too long"));
        }
        check_identifier(name)?;
        let parts = row.array(5)?;
        let part_count = Reader::new(parts).read_array_len().unwrap_or(0);
        if part_count == 0 {
            return Err(refuse("part count must be positive"));
        }
        if part_count > KEY_PART_COUNT_MAX {
            return Err(refuse("too many key parts"));
        }
        let key_def = Rc::new(decode_parts(parts, &space.format.fields)?);
        let kind = match kind_by_name(row.str(3)?) {
            ForeignKind::Ours(kind) => kind,
            ForeignKind::Unsupported(_) if space.engine == Engine::Vinyl => {
                return Err(client_error!(ER_INDEX_TYPE, name, space.name));
            }
            ForeignKind::Unsupported(kind) => {
                return Err(client_error!(ER_UNSUPPORTED, "Lycosa", format!("{kind} indexes yet")));
            }
            ForeignKind::Unknown => {
                return Err(client_error!(ER_INDEX_TYPE, name, space.name));
            }
        };
        if options.func_id != 0 && space.engine == Engine::Vinyl {
            return Err(client_error!(ER_UNSUPPORTED, "Vinyl", "functional index"));
        }
        if options.func_id != 0 {
            return Err(client_error!(ER_UNSUPPORTED, "Lycosa", "functional indexes yet"));
        }
        let cmp_def = match primary {
            Some(primary) if id != 0 => {
                let mut merged = key_def.merge(primary);
                if options.is_unique {
                    merged.set_unique_part_count(key_def.part_count());
                }
                Rc::new(merged)
            }
            _ => key_def.clone(),
        };
        let definition = IndexDefinition {
            space_id,
            id,
            name: name.to_owned(),
            kind,
            is_unique: options.is_unique,
            hint: options.hint,
            key_def,
            cmp_def,
            vinyl: options.vinyl,
            options_data: row.map(4)?.to_vec(),
        };
        definition.check(space, &refuse)?;
        Ok(definition)
    }

    /// The same definition over another primary key.
    pub(crate) fn with_primary(&self, primary: &KeyDef) -> IndexDefinition {
        let mut merged = self.key_def.merge(primary);
        if self.is_unique {
            merged.set_unique_part_count(self.key_def.part_count());
        }
        IndexDefinition { cmp_def: Rc::new(merged), ..self.clone() }
    }

    fn check(&self, space: &SpaceDefinition, refuse: &dyn Fn(&str) -> Error) -> Result<()> {
        if self.id >= INDEX_COUNT_MAX {
            return Err(refuse("index id too big"));
        }
        if self.id == 0 && !self.is_unique {
            return Err(refuse("primary key must be unique"));
        }
        let parts = self.key_def.parts();
        for (index, part) in parts.iter().enumerate() {
            if part.field > INDEXED_FIELD_MAX {
                return Err(refuse("field no is too big"));
            }
            let same =
                |other: &&crate::tuple::Part| other.field == part.field && other.path == part.path;
            if parts[..index].iter().any(|other| same(&other)) {
                return Err(refuse("same key part is indexed twice"));
            }
        }
        if space.engine == Engine::Blackhole {
            return Err(client_error!(ER_UNSUPPORTED, "Blackhole", "indexes"));
        }
        if space.engine == Engine::Vinyl && self.kind != IndexKind::Tree {
            return Err(client_error!(ER_INDEX_TYPE, self.name, space.name));
        }
        if space.engine == Engine::Vinyl && self.hint == Some(true) {
            return Err(refuse("hint is only reasonable with memtx tree index"));
        }
        self.check_memtx(space, refuse)
    }

    fn check_memtx(&self, space: &SpaceDefinition, refuse: &dyn Fn(&str) -> Error) -> Result<()> {
        if self.key_def.is_nullable() {
            if self.id == 0 {
                return Err(client_error!(ER_NULLABLE_PRIMARY, space.name));
            }
            if self.kind != IndexKind::Tree {
                return Err(client_error!(ER_UNSUPPORTED, self.kind.name(), "nullable parts"));
            }
        }
        if self.kind == IndexKind::Hash {
            if !self.is_unique {
                return Err(refuse("HASH index must be unique"));
            }
            if self.hint == Some(true) {
                return Err(refuse("hint is only reasonable with memtx tree index"));
            }
        }
        for part in self.key_def.parts() {
            if !part.kind.is_comparable() {
                let kind = part.kind.name();
                return Err(refuse(&format!("field type '{kind}' is not supported")));
            }
        }
        Ok(())
    }

    /// Whether an index of this definition holds the same elements in the same order as one of
    /// the other, so that altering to it needs no rebuild.
    pub(crate) fn is_same_order(&self, other: &IndexDefinition) -> bool {
        self.kind == other.kind
            && self.is_unique == other.is_unique
            && has_same_parts(&self.key_def, &other.key_def)
            && has_same_parts(&self.cmp_def, &other.cmp_def)
    }
}

/// Whether two keys are the same in every respect.
pub(crate) fn has_same_parts(left: &KeyDef, right: &KeyDef) -> bool {
    let encode = |key: &KeyDef| {
        let mut bytes = Vec::new();
        key.parts().iter().for_each(|part| part.encode(&mut bytes));
        bytes
    };
    encode(left) == encode(right)
}

fn decode_parts(parts: &[u8], fields: &[FieldDef]) -> Result<KeyDef> {
    KeyDef::decode(parts, fields)
}

/// Checks that the row is [unsigned, unsigned, string, string, map, array].
fn check_shape(data: &[u8]) -> Result<()> {
    const EXPECTED: [Kind; 6] =
        [Kind::Uint, Kind::Uint, Kind::Str, Kind::Str, Kind::Map, Kind::Array];
    let mut reader = Reader::new(data);
    let count = reader.read_array_len().unwrap_or(0);
    let mut kinds = Vec::new();
    for _ in 0..count {
        kinds.extend(reader.kind());
        reader.skip();
    }
    if kinds == EXPECTED {
        return Ok(());
    }
    let actual: Vec<&str> = kinds.into_iter().map(kind_name).collect();
    Err(client_error!(
        ER_WRONG_INDEX_RECORD,
        actual.join(", "),
        "space id (unsigned), index id (unsigned), name (string), type (string), \
         options (map), parts (array)"
    ))
}

impl Options {
    fn decode(data: &[u8]) -> Result<Options, String> {
        let vinyl = IndexOptions::default();
        let mut options = Options { vinyl, is_unique: true, func_id: 0, hint: None };
        let (mut page_size, mut range_size, mut bloom_fpr) = (8192, 0, 0.05);
        let (mut run_count, mut run_ratio) = (2, 3.5);
        let mut reader = Reader::new(data);
        for _ in 0..reader.read_map_len().unwrap_or(0) {
            let key = reader.read_utf8().ok_or("expected a map with string keys")?;
            match key {
                "unique" => options.is_unique = boolean(&mut reader, key)?,
                "hint" => options.hint = Some(boolean(&mut reader, key)?),
                "func" => {
                    let id = reader.read_uint().and_then(|id| u32::try_from(id).ok());
                    options.func_id = id.ok_or("'func' must be unsigned")?;
                }
                "page_size" => page_size = integer(&mut reader, key)?,
                "range_size" => range_size = integer(&mut reader, key)?,
                "run_count_per_level" => run_count = integer(&mut reader, key)?,
                "run_size_ratio" => run_ratio = number(&mut reader, key)?,
                "bloom_fpr" => bloom_fpr = number(&mut reader, key)?,
                "dimension" | "lsn" => drop(integer(&mut reader, key)?),
                "distance" => {
                    let name = reader.read_utf8().ok_or("'distance' must be string")?;
                    let known = ["euclid", "manhattan"];
                    if !known.iter().any(|one| name.eq_ignore_ascii_case(one)) {
                        return Err("distance must be either 'euclid' or 'manhattan'".into());
                    }
                }
                "sql" => drop(reader.skip()),
                "layout" => drop(reader.read_str().ok_or("'layout' must be string")?),
                "covers" | "aggregates" => {
                    let count = reader.read_array_len();
                    let count = count.ok_or_else(|| format!("'{key}' must be array"))?;
                    if count > 0 {
                        return Err(format!("'{key}' is not supported"));
                    }
                }
                _ => return Err(format!("unexpected option '{key}'")),
            }
        }
        if page_size <= 0 || (range_size > 0 && page_size > range_size) {
            return Err("page_size must be greater than 0 and \
                        less than or equal to range_size"
                .into());
        }
        if run_count <= 0 {
            return Err("run_count_per_level must be greater than 0".into());
        }
        if run_ratio <= 1.0 {
            return Err("run_size_ratio must be greater than 1".into());
        }
        if bloom_fpr <= 0.0 || bloom_fpr > 1.0 {
            return Err("bloom_fpr must be greater than 0 and less than or equal to 1".into());
        }
        options.vinyl = IndexOptions {
            page_size: page_size.cast_unsigned(),
            range_size: u64::try_from(range_size).unwrap_or(0),
            run_count_per_level: u32::try_from(run_count).unwrap_or(u32::MAX),
            run_size_ratio: run_ratio,
            bloom_fpr,
        };
        Ok(options)
    }
}

fn boolean(reader: &mut Reader<'_>, key: &str) -> Result<bool, String> {
    reader.read_bool().ok_or_else(|| format!("'{key}' must be boolean"))
}

fn integer(reader: &mut Reader<'_>, key: &str) -> Result<i64, String> {
    reader.read_int().ok_or_else(|| format!("'{key}' must be integer"))
}

fn number(reader: &mut Reader<'_>, key: &str) -> Result<f64, String> {
    reader.read_number_as_f64().ok_or_else(|| format!("'{key}' must be number"))
}
