//! The definition of a space: a row of `_space`, checked.
//!
//! # Yields
//! never

use crate::base::error::{Error, Result};
use crate::base::error_code::{Code, ER_ALTER_SPACE};
use crate::base::limits::SPACE_ID_MAX;
use crate::client_error;
use crate::tuple::{FieldDef, FormatDef, Tuple};
use crate::value::collation;
use crate::value::mp::{Kind, Reader};

use super::row::{Row, check_identifier, cut_name, is_name_too_long};
use super::system_space;

/// The engine of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// In memory.
    Memtx,
    /// On disk.
    Vinyl,
    /// A filtered view of a system space.
    Sysview,
    /// Takes rows for the log only.
    Blackhole,
    /// Backed by code (`_session_settings`).
    Service,
}

impl Engine {
    /// Its name in `_space`.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Memtx => "memtx",
            Engine::Vinyl => "vinyl",
            Engine::Sysview => "sysview",
            Engine::Blackhole => "blackhole",
            Engine::Service => "service",
        }
    }

    fn by_name(name: &str) -> Result<Engine> {
        match name {
            "memtx" => Ok(Engine::Memtx),
            "sysview" => Ok(Engine::Sysview),
            "blackhole" => Ok(Engine::Blackhole),
            "service" => Ok(Engine::Service),
            "vinyl" => Ok(Engine::Vinyl),
            _ => Err(client_error!(ER_NO_SUCH_ENGINE, name)),
        }
    }
}

/// What of a space survives a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Everything.
    Normal,
    /// The definition, not the data.
    DataTemporary,
    /// Nothing; nor is it replicated.
    Temporary,
}

impl Persistence {
    /// Its name, the option `type` of a space.
    pub fn name(self) -> &'static str {
        match self {
            Persistence::Normal => "normal",
            Persistence::DataTemporary => "data-temporary",
            Persistence::Temporary => "temporary",
        }
    }
}

/// The group of spaces that are replicated.
pub const GROUP_DEFAULT: u32 = 0;
/// The group of spaces that stay on their instance.
pub const GROUP_LOCAL: u32 = 1;

/// The options (`flags`) of a space.
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceOptions {
    /// Replication group.
    pub group_id: u32,
    /// What survives a restart.
    pub persistence: Persistence,
    /// Whether it is an SQL view.
    pub is_view: bool,
    /// Whether its transactions wait for a quorum.
    pub is_sync: bool,
    /// Kept for vinyl.
    pub defer_deletes: bool,
    /// The SQL text of a view.
    pub sql: Option<String>,
    /// Constraints of whole tuples as MessagePack.
    pub constraint: Option<Box<[u8]>>,
    /// Foreign keys of whole tuples as MessagePack.
    pub foreign_key: Option<Box<[u8]>>,
}

/// The definition of a space.
#[derive(Clone, Debug)]
pub struct SpaceDefinition {
    /// Space id.
    pub id: u32,
    /// Owner.
    pub owner: u32,
    /// Name.
    pub name: String,
    /// Engine.
    pub engine: Engine,
    /// Options.
    pub options: SpaceOptions,
    /// Fields and exact field count.
    pub format: FormatDef,
    /// The format as the user gave it.
    pub format_data: Vec<u8>,
}

impl SpaceDefinition {
    /// Reads a row of `_space`. Errors about the space as a whole carry `code`
    /// (`ER_CREATE_SPACE` or `ER_ALTER_SPACE`).
    pub(crate) fn from_tuple(tuple: &Tuple, code: &'static Code) -> Result<SpaceDefinition> {
        let row = Row::new(tuple.data());
        let name = row.str(2)?;
        let refuse = |details: &str| refusal(code, cut_name(name), details);
        if is_name_too_long(name) {
            return Err(refuse("space name is too long"));
        }
        check_identifier(name)?;
        let id = row.u32(0)?;
        if id > SPACE_ID_MAX {
            return Err(refuse("space id is too big"));
        }
        if id == 0 {
            return Err(refuse("space id 0 is reserved"));
        }
        let owner = row.u32(1)?;
        let field_count = row.u32(4)?;
        let engine = row.str(3)?;
        if engine.len() > 16 {
            return Err(refuse("space engine name is too long"));
        }
        check_identifier(engine)?;
        let options = row.map(5)?;
        let format_data = row.array(6)?;
        let fields = FieldDef::decode_all(format_data)?;
        if field_count != 0 && (field_count as usize) < fields.len() {
            return Err(refuse("exact_field_count must be either 0 or >= formatted field count"));
        }
        check_collations(&fields)?;
        let options = SpaceOptions::decode(options)?;
        options.check(&refuse)?;
        let engine = Engine::by_name(engine)?;
        if engine != Engine::Memtx && options.persistence == Persistence::Temporary {
            let engine = engine.name();
            return Err(client_error!(ER_UNSUPPORTED, engine, "temporary spaces"));
        }
        if engine == Engine::Vinyl && options.persistence == Persistence::DataTemporary {
            return Err(refusal(
                &ER_ALTER_SPACE,
                cut_name(name),
                "engine does not support data-temporary spaces",
            ));
        }
        Ok(SpaceDefinition {
            id,
            owner,
            name: name.to_owned(),
            engine,
            options,
            format: FormatDef { fields, field_count },
            format_data: format_data.to_vec(),
        })
    }

    /// Whether the data does not survive a restart.
    pub fn is_data_temporary(&self) -> bool {
        self.options.persistence != Persistence::Normal
    }

    /// Whether not even the definition survives a restart.
    pub fn is_temporary(&self) -> bool {
        self.options.persistence == Persistence::Temporary
    }

    /// Whether changes stay on this instance.
    pub fn is_local(&self) -> bool {
        self.options.group_id == GROUP_LOCAL
    }

    /// Whether it is a system space.
    pub fn is_system(&self) -> bool {
        system_space::is_system(self.id)
    }
}

fn refusal(code: &'static Code, name: &str, details: &str) -> Error {
    Error::client(code, &[&name, &details], file!(), line!())
}

fn check_collations(fields: &[FieldDef]) -> Result<()> {
    let known =
        |id: u32| id == crate::tuple::format::COLLATION_NONE || collation::definition(id).is_some();
    if fields.iter().all(|field| known(field.collation)) {
        return Ok(());
    }
    Err(client_error!(ER_WRONG_COLLATION_OPTIONS, "collation was not found by ID"))
}

impl SpaceOptions {
    fn decode(data: &[u8]) -> Result<SpaceOptions> {
        Self::decode_map(data).map_err(|details| client_error!(ER_WRONG_SPACE_OPTIONS, details))
    }

    fn decode_map(data: &[u8]) -> Result<SpaceOptions, String> {
        let mut options = SpaceOptions {
            group_id: GROUP_DEFAULT,
            persistence: Persistence::Normal,
            is_view: false,
            is_sync: false,
            defer_deletes: false,
            sql: None,
            constraint: None,
            foreign_key: None,
        };
        let mut persistence = None;
        let mut reader = Reader::new(data);
        for _ in 0..reader.read_map_len().unwrap_or(0) {
            let key = reader.read_utf8().ok_or("expected a map with string keys")?;
            match key {
                "group_id" => {
                    let id = reader.read_uint().and_then(|id| u32::try_from(id).ok());
                    options.group_id = id.ok_or("'group_id' must be unsigned")?;
                }
                "temporary" => {
                    let is = reader.read_bool().ok_or("'temporary' must be boolean")?;
                    let kind = if is { Persistence::DataTemporary } else { Persistence::Normal };
                    set_once(&mut persistence, kind)?;
                }
                "type" => set_once(&mut persistence, read_type(&mut reader)?)?,
                "view" => options.is_view = reader.read_bool().ok_or("'view' must be boolean")?,
                "is_sync" => {
                    options.is_sync = reader.read_bool().ok_or("'is_sync' must be boolean")?;
                }
                "defer_deletes" => {
                    let value = reader.read_bool().ok_or("'defer_deletes' must be boolean")?;
                    options.defer_deletes = value;
                }
                "sql" => {
                    let text = reader.read_utf8().ok_or("'sql' must be string")?;
                    options.sql = Some(text.to_owned());
                }
                "checks" => skip(&mut reader)?,
                "constraint" => options.constraint = Some(take(&mut reader)?.into()),
                "foreign_key" => options.foreign_key = Some(take(&mut reader)?.into()),
                "upgrade" => {
                    let is_empty = reader.clone().read_map_len() == Some(0);
                    if !is_empty {
                        return Err(format!("'{key}' is not supported yet"));
                    }
                    skip(&mut reader)?;
                }
                _ => return Err(format!("unexpected option '{key}'")),
            }
        }
        options.persistence = persistence.unwrap_or(Persistence::Normal);
        Ok(options)
    }

    fn check(&self, refuse: &dyn Fn(&str) -> Error) -> Result<()> {
        if self.group_id != GROUP_DEFAULT && self.group_id != GROUP_LOCAL {
            return Err(client_error!(ER_NO_SUCH_GROUP, self.group_id.to_string()));
        }
        if self.is_view && self.sql.is_none() {
            return Err(client_error!(ER_VIEW_MISSING_SQL));
        }
        if self.is_sync && self.group_id == GROUP_LOCAL {
            return Err(refuse("local space can't be synchronous"));
        }
        Ok(())
    }
}

fn take<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], String> {
    reader.skip().ok_or_else(|| "invalid MsgPack".to_owned())
}

fn skip(reader: &mut Reader<'_>) -> Result<(), String> {
    take(reader).map(drop)
}

fn set_once(slot: &mut Option<Persistence>, value: Persistence) -> Result<(), String> {
    if slot.replace(value).is_some() {
        return Err("only one of 'type' or 'temporary' may be specified".into());
    }
    Ok(())
}

fn read_type(reader: &mut Reader<'_>) -> Result<Persistence, String> {
    if reader.kind() != Some(Kind::Str) {
        return Err("'type' must be a string".into());
    }
    match reader.read_str() {
        Some(b"normal") => Ok(Persistence::Normal),
        Some(b"data-temporary") => Ok(Persistence::DataTemporary),
        Some(b"temporary") => Ok(Persistence::Temporary),
        _ => Err("unknown space type".into()),
    }
}
