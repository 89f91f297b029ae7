//! Makes a new data directory's content: the system spaces and their first rows.
//!
//! A handful of system spaces exist from the start as stubs that know only their primary key,
//! because `_space` and `_index` describe themselves. Their rows then alter them to what they
//! say, in bootstrap and in recovery alike.
//!
//! # Yields
//! never

use std::rc::Rc;

use crate::base::error::Result;
use crate::base::version;
use crate::tuple::{FieldDef, FieldType, FormatDef, KeyDef, Part};
use crate::value::collation;
use crate::value::mp::{write_array_len, write_bool, write_map_len, write_str, write_uint};
use crate::value::uuid::Uuid;
use crate::vinyl::IndexOptions;

use super::database::Database;
use super::index::Index;
use super::index_definition::{IndexDefinition, IndexKind};
use super::space::Space;
use super::space_definition::{
    Engine, GROUP_DEFAULT, GROUP_LOCAL, Persistence, SpaceDefinition, SpaceOptions,
};
use super::system_space::{self as id, Definition};
use super::user::{ADMIN, GUEST, PUBLIC, REPLICATION, SUPER, privilege};

/// Spaces that exist before there is a row about them, with the parts of their primary key.
const STUBS: [(u32, &[FieldType]); 16] = [
    (id::SCHEMA, &[FieldType::String]),
    (id::COLLATION, &[FieldType::Unsigned]),
    (id::SPACE, &[FieldType::Unsigned]),
    (id::SEQUENCE, &[FieldType::Unsigned]),
    (id::SEQUENCE_DATA, &[FieldType::Unsigned]),
    (id::INDEX, &[FieldType::Unsigned, FieldType::Unsigned]),
    (id::FUNC, &[FieldType::Unsigned]),
    (id::USER, &[FieldType::Unsigned]),
    (id::PRIV, &[FieldType::Unsigned]),
    (id::CLUSTER, &[FieldType::Unsigned]),
    (id::TRIGGER, &[FieldType::String]),
    (id::TRUNCATE, &[FieldType::Unsigned]),
    (id::SPACE_SEQUENCE, &[FieldType::Unsigned]),
    (id::FK_CONSTRAINT, &[FieldType::String, FieldType::Unsigned]),
    (id::CK_CONSTRAINT, &[FieldType::Unsigned, FieldType::String]),
    (id::FUNC_INDEX, &[FieldType::Unsigned, FieldType::Unsigned]),
];

/// The hash of the empty password, which is guest's.
const EMPTY_PASSWORD: &[u8] = b"vhvewKp0tNyweZQ+cFKAlsyphfg=";

impl Database {
    /// Puts the stubs of the system spaces into the schema.
    pub(crate) fn create_stubs(&self) -> Result<()> {
        for (space_id, kinds) in STUBS {
            self.create_stub(space_id, Engine::Memtx, kinds)?;
        }
        self.create_stub(id::VINYL_DEFERRED_DELETE, Engine::Blackhole, &[])
    }

    fn create_stub(&self, space_id: u32, engine: Engine, kinds: &[FieldType]) -> Result<()> {
        let known = id::DEFINITIONS.iter().find(|one| one.id == space_id);
        let known = known.expect("every stub is a system space");
        let definition = Rc::new(stub_definition(known, engine));
        let mut indexes = Vec::new();
        if !kinds.is_empty() {
            let parts = kinds.iter().enumerate();
            let parts = parts.map(|(field, kind)| Part::new(field as u32, *kind)).collect();
            let key_def = Rc::new(KeyDef::new(parts)?);
            let index = IndexDefinition {
                space_id,
                id: 0,
                name: "primary".to_owned(),
                kind: IndexKind::Tree,
                is_unique: true,
                hint: None,
                cmp_def: key_def.clone(),
                key_def,
                vinyl: IndexOptions::default(),
                options_data: vec![0x80],
            };
            indexes.push(Rc::new(Index::new(&definition, index)?));
        }
        let space = Rc::new(Space::new(definition, indexes, None)?);
        self.schema().replace(None, Some(&space));
        Ok(())
    }

    /// Fills the empty database with what a new data directory has, the first instance of a new
    /// replica set included.
    pub(crate) fn bootstrap_content(&self) -> Result<()> {
        self.create_stubs()?;
        self.host().starting(super::trigger::Step::SchemaInitialized);
        self.write_bootstrap_rows()?;
        let options = self.options();
        let instance = options.instance_uuid.unwrap_or_else(Uuid::random);
        let replicaset = options.replicaset_uuid.unwrap_or_else(Uuid::random);
        self.write_identity_rows(instance, replicaset)?;
        self.update_instance(|known| {
            known.id = 1;
            known.uuid = instance;
            known.name = options.instance_name.unwrap_or_default();
        });
        Ok(())
    }

    /// Writes the rows of a new data directory.
    pub(crate) fn write_bootstrap_rows(&self) -> Result<()> {
        for row in collation_rows() {
            self.replace(id::COLLATION, &row)?;
        }
        for definition in id::DEFINITIONS {
            self.replace(id::SPACE, &space_row(definition))?;
        }
        for definition in id::DEFINITIONS {
            for index in definition.indexes {
                self.replace(id::INDEX, &index_row(definition.id, index))?;
            }
        }
        for row in user_rows() {
            self.replace(id::USER, &row)?;
        }
        for row in function_rows() {
            self.replace(id::FUNC, &row)?;
        }
        for grant in GRANTS {
            self.replace(id::PRIV, &grant_row(grant))?;
        }
        let [major, minor, patch] = version::SCHEMA;
        let mut row = Vec::new();
        write_array_len(&mut row, 4);
        write_str(&mut row, b"version");
        for part in [major, minor, patch] {
            write_uint(&mut row, u64::from(part));
        }
        self.replace(id::SCHEMA, &row).map(drop)
    }

    /// Writes the rows that make this the first instance of a new replica set.
    pub(crate) fn write_identity_rows(&self, instance: Uuid, replicaset: Uuid) -> Result<()> {
        let mut row = Vec::new();
        write_array_len(&mut row, 2);
        write_str(&mut row, b"replicaset_uuid");
        write_str(&mut row, replicaset.to_string().as_bytes());
        self.replace(id::SCHEMA, &row)?;
        let options = self.options();
        for (key, name) in
            [("cluster_name", &options.cluster_name), ("replicaset_name", &options.replicaset_name)]
        {
            if let Some(name) = name {
                row.clear();
                write_array_len(&mut row, 2);
                write_str(&mut row, key.as_bytes());
                write_str(&mut row, name.as_bytes());
                self.replace(id::SCHEMA, &row)?;
            }
        }
        row.clear();
        let name = options.instance_name;
        write_array_len(&mut row, if name.is_some() { 3 } else { 2 });
        write_uint(&mut row, 1);
        write_str(&mut row, instance.to_string().as_bytes());
        if let Some(name) = name {
            write_str(&mut row, name.as_bytes());
        }
        self.replace(id::CLUSTER, &row).map(drop)
    }
}

/// A stub knows the names of its fields, so that its first rows have them, and demands nothing.
fn stub_definition(known: &Definition, engine: Engine) -> SpaceDefinition {
    let fields = known.fields.iter();
    let fields = fields.map(|field| FieldDef::new(field.name, FieldType::Any).nullable()).collect();
    let is_local = engine == Engine::Blackhole;
    SpaceDefinition {
        id: known.id,
        owner: ADMIN,
        name: known.name.to_owned(),
        engine,
        options: SpaceOptions {
            group_id: if is_local { GROUP_LOCAL } else { GROUP_DEFAULT },
            persistence: Persistence::Normal,
            is_view: false,
            is_sync: false,
            defer_deletes: false,
            sql: None,
            constraint: None,
            foreign_key: None,
        },
        format: FormatDef { fields, field_count: 0 },
        format_data: vec![0x90],
    }
}

fn collation_rows() -> impl Iterator<Item = Vec<u8>> {
    collation::definitions().map(|definition| {
        let mut row = Vec::new();
        write_array_len(&mut row, 6);
        write_uint(&mut row, u64::from(definition.id));
        write_str(&mut row, definition.name.as_bytes());
        write_uint(&mut row, u64::from(ADMIN));
        write_str(&mut row, definition.kind.name().as_bytes());
        write_str(&mut row, definition.locale.as_bytes());
        match definition.strength {
            Some(strength) => {
                write_map_len(&mut row, 1);
                write_str(&mut row, b"strength");
                write_str(&mut row, strength.name().as_bytes());
            }
            None => write_map_len(&mut row, 0),
        }
        row
    })
}

fn space_row(definition: &Definition) -> Vec<u8> {
    let mut row = Vec::new();
    write_array_len(&mut row, 7);
    write_uint(&mut row, u64::from(definition.id));
    write_uint(&mut row, u64::from(ADMIN));
    write_str(&mut row, definition.name.as_bytes());
    write_str(&mut row, definition.engine.as_bytes());
    write_uint(&mut row, u64::from(definition.field_count));
    match (definition.group_id, definition.is_temporary) {
        (0, false) => write_map_len(&mut row, 0),
        (group_id, false) => {
            write_map_len(&mut row, 1);
            write_str(&mut row, b"group_id");
            write_uint(&mut row, u64::from(group_id));
        }
        (_, true) => {
            write_map_len(&mut row, 1);
            write_str(&mut row, b"temporary");
            write_bool(&mut row, true);
        }
    }
    write_array_len(&mut row, definition.fields.len() as u32);
    for field in definition.fields {
        write_map_len(&mut row, if field.is_nullable { 3 } else { 2 });
        write_str(&mut row, b"name");
        write_str(&mut row, field.name.as_bytes());
        write_str(&mut row, b"type");
        write_str(&mut row, field.kind.as_bytes());
        if field.is_nullable {
            write_str(&mut row, b"is_nullable");
            write_bool(&mut row, true);
        }
    }
    row
}

fn index_row(space_id: u32, index: &id::Index) -> Vec<u8> {
    let mut row = Vec::new();
    write_array_len(&mut row, 6);
    write_uint(&mut row, u64::from(space_id));
    write_uint(&mut row, u64::from(index.id));
    write_str(&mut row, index.name.as_bytes());
    write_str(&mut row, index.kind.as_bytes());
    write_map_len(&mut row, 1);
    write_str(&mut row, b"unique");
    write_bool(&mut row, index.unique);
    write_array_len(&mut row, index.parts.len() as u32);
    for (field, kind) in index.parts {
        if index.has_named_parts {
            write_map_len(&mut row, 2);
            write_str(&mut row, b"field");
            write_uint(&mut row, u64::from(*field));
            write_str(&mut row, b"type");
            write_str(&mut row, kind.as_bytes());
        } else {
            write_array_len(&mut row, 2);
            write_uint(&mut row, u64::from(*field));
            write_str(&mut row, kind.as_bytes());
        }
    }
    row
}

fn user_rows() -> impl Iterator<Item = Vec<u8>> {
    const USERS: [(u32, &str, &str); 5] = [
        (GUEST, "guest", "user"),
        (ADMIN, "admin", "user"),
        (PUBLIC, "public", "role"),
        (REPLICATION, "replication", "role"),
        (SUPER, "super", "role"),
    ];
    USERS.iter().map(|(uid, name, kind)| {
        let mut row = Vec::new();
        write_array_len(&mut row, 7);
        write_uint(&mut row, u64::from(*uid));
        write_uint(&mut row, u64::from(ADMIN));
        write_str(&mut row, name.as_bytes());
        write_str(&mut row, kind.as_bytes());
        if *uid == GUEST {
            write_map_len(&mut row, 1);
            write_str(&mut row, b"chap-sha1");
            write_str(&mut row, EMPTY_PASSWORD);
        } else {
            write_map_len(&mut row, 0);
        }
        write_array_len(&mut row, 0);
        write_uint(&mut row, 0);
        row
    })
}

/// Id, name, body, parameter types and exports of a function.
type Function = (u32, &'static str, &'static str, &'static [&'static str], &'static [&'static str]);

/// The functions that bootstrap makes.
const FUNCTIONS: [Function; 2] = [
    (1, "box.schema.user.info", "", &[], &["LUA"]),
    (
        65,
        "LUA",
        "function(code) return assert(loadstring(code))() end",
        &["string"],
        &["LUA", "SQL"],
    ),
];

fn function_rows() -> impl Iterator<Item = Vec<u8>> {
    let now = timestamp();
    FUNCTIONS.iter().map(move |(function_id, name, body, parameters, exports)| {
        let mut row = Vec::new();
        let strings = |row: &mut Vec<u8>, values: &[&str]| {
            write_array_len(row, values.len() as u32);
            values.iter().for_each(|value| write_str(row, value.as_bytes()));
        };
        write_array_len(&mut row, 20);
        write_uint(&mut row, u64::from(*function_id));
        write_uint(&mut row, u64::from(ADMIN));
        write_str(&mut row, name.as_bytes());
        write_uint(&mut row, 0);
        for text in ["LUA", body, "function"] {
            write_str(&mut row, text.as_bytes());
        }
        strings(&mut row, parameters);
        for text in ["any", "none", "none"] {
            write_str(&mut row, text.as_bytes());
        }
        for flag in [false, false, true] {
            write_bool(&mut row, flag);
        }
        strings(&mut row, exports);
        write_map_len(&mut row, 0);
        for text in ["", &now, &now] {
            write_str(&mut row, text.as_bytes());
        }
        write_array_len(&mut row, 0);
        row
    })
}

/// The local time as `_func` shows when a function was made.
fn timestamp() -> String {
    jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Grantee, object type, object id and access of the grants that bootstrap makes.
const GRANTS: [(u32, &str, u32, u32); 19] = [
    (GUEST, "role", PUBLIC, privilege::EXECUTE),
    (GUEST, "universe", 0, privilege::USAGE | privilege::SESSION),
    (ADMIN, "universe", 0, privilege::ALL),
    (PUBLIC, "function", 1, privilege::EXECUTE),
    (PUBLIC, "function", 65, privilege::READ),
    (PUBLIC, "space", id::VCOLLATION, privilege::READ),
    (PUBLIC, "space", id::VSPACE, privilege::READ),
    (PUBLIC, "space", id::VSEQUENCE, privilege::READ),
    (PUBLIC, "space", id::VINDEX, privilege::READ),
    (PUBLIC, "space", id::VFUNC, privilege::READ),
    (PUBLIC, "space", id::VUSER, privilege::READ),
    (PUBLIC, "space", id::VPRIV, privilege::READ),
    (PUBLIC, "space", id::TRUNCATE, privilege::WRITE),
    (PUBLIC, "space", id::VSPACE_SEQUENCE, privilege::READ),
    (PUBLIC, "space", id::SESSION_SETTINGS, privilege::READ | privilege::WRITE),
    (REPLICATION, "space", id::CLUSTER, privilege::WRITE),
    (REPLICATION, "space", id::GC_CONSUMERS, privilege::WRITE),
    (REPLICATION, "universe", 0, privilege::READ),
    (SUPER, "universe", 0, privilege::ALL),
];

fn grant_row(grant: (u32, &str, u32, u32)) -> Vec<u8> {
    let (grantee, object_type, object_id, access) = grant;
    let mut row = Vec::new();
    write_array_len(&mut row, 5);
    write_uint(&mut row, u64::from(ADMIN));
    write_uint(&mut row, u64::from(grantee));
    write_str(&mut row, object_type.as_bytes());
    write_uint(&mut row, u64::from(object_id));
    write_uint(&mut row, u64::from(access));
    row
}
