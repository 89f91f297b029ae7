//! The system spaces: their ids, formats and indexes, as every connector, snapshot and replica
//! knows them.
//!
//! DDL is DML on these spaces (decision D8), so the tables below are the schema of the schema.
//! [`bootstrap`](super::bootstrap) turns them into rows; recovery takes whatever an older
//! data directory holds instead.
//!
//! # Yields
//! never

/// The lowest id of a system space.
pub const SYSTEM_ID_MIN: u32 = 256;
/// The highest id of a system space.
pub const SYSTEM_ID_MAX: u32 = 511;
/// The lowest id of a fully temporary space.
pub const TEMPORARY_ID_MIN: u32 = 1 << 30;

/// `_vinyl_deferred_delete`.
pub const VINYL_DEFERRED_DELETE: u32 = 257;
/// `_schema`.
pub const SCHEMA: u32 = 272;
/// `_collation`.
pub const COLLATION: u32 = 276;
/// `_vcollation`.
pub const VCOLLATION: u32 = 277;
/// `_space`.
pub const SPACE: u32 = 280;
/// `_vspace`.
pub const VSPACE: u32 = 281;
/// `_sequence`.
pub const SEQUENCE: u32 = 284;
/// `_sequence_data`.
pub const SEQUENCE_DATA: u32 = 285;
/// `_vsequence`.
pub const VSEQUENCE: u32 = 286;
/// `_index`.
pub const INDEX: u32 = 288;
/// `_vindex`.
pub const VINDEX: u32 = 289;
/// `_func`.
pub const FUNC: u32 = 296;
/// `_vfunc`.
pub const VFUNC: u32 = 297;
/// `_user`.
pub const USER: u32 = 304;
/// `_vuser`.
pub const VUSER: u32 = 305;
/// `_priv`.
pub const PRIV: u32 = 312;
/// `_vpriv`.
pub const VPRIV: u32 = 313;
/// `_cluster`.
pub const CLUSTER: u32 = 320;
/// `_trigger`.
pub const TRIGGER: u32 = 328;
/// `_truncate`.
pub const TRUNCATE: u32 = 330;
/// `_space_sequence`.
pub const SPACE_SEQUENCE: u32 = 340;
/// `_vspace_sequence`.
pub const VSPACE_SEQUENCE: u32 = 341;
/// `_fk_constraint`.
pub const FK_CONSTRAINT: u32 = 356;
/// `_ck_constraint`.
pub const CK_CONSTRAINT: u32 = 364;
/// `_func_index`.
pub const FUNC_INDEX: u32 = 372;
/// `_session_settings`.
pub const SESSION_SETTINGS: u32 = 380;
/// `_gc_consumers`.
pub const GC_CONSUMERS: u32 = 388;
/// `_recovery_point`.
pub const RECOVERY_POINT: u32 = 396;

/// Whether this is the id of a system space.
pub fn is_system(space_id: u32) -> bool {
    space_id > SYSTEM_ID_MIN && space_id < SYSTEM_ID_MAX
}

/// A field of a system space's format.
pub struct Field {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub kind: &'static str,
    /// Whether it may be nil or absent.
    pub is_nullable: bool,
}

/// An index of a system space: id, name, uniqueness and (field number, type) of its parts.
pub struct Index {
    /// Index id.
    pub id: u32,
    /// Name.
    pub name: &'static str,
    /// `tree` or `hash`.
    pub kind: &'static str,
    /// Whether keys are unique.
    pub unique: bool,
    /// Field number and type of each part.
    pub parts: &'static [(u32, &'static str)],
    /// Whether bootstrap writes a part as a map, as newer spaces have it.
    pub has_named_parts: bool,
}

/// A system space as bootstrap makes it.
pub struct Definition {
    /// Space id.
    pub id: u32,
    /// Name.
    pub name: &'static str,
    /// Engine.
    pub engine: &'static str,
    /// Exact number of fields, 0 for any.
    pub field_count: u32,
    /// Replication group: 1 for local spaces, 0 for all others.
    pub group_id: u32,
    /// Whether data is not persisted.
    pub is_temporary: bool,
    /// The format.
    pub fields: &'static [Field],
    /// The indexes.
    pub indexes: &'static [Index],
}

const fn field(name: &'static str, kind: &'static str) -> Field {
    Field { name, kind, is_nullable: false }
}

const fn nullable(name: &'static str, kind: &'static str) -> Field {
    Field { name, kind, is_nullable: true }
}

const fn unique(id: u32, name: &'static str, parts: &'static [(u32, &'static str)]) -> Index {
    Index { id, name, kind: "tree", unique: true, parts, has_named_parts: false }
}

const fn multiple(id: u32, name: &'static str, parts: &'static [(u32, &'static str)]) -> Index {
    Index { id, name, kind: "tree", unique: false, parts, has_named_parts: false }
}

const fn memtx(
    id: u32,
    name: &'static str,
    fields: &'static [Field],
    indexes: &'static [Index],
) -> Definition {
    let engine = "memtx";
    Definition {
        id,
        name,
        engine,
        field_count: 0,
        group_id: 0,
        is_temporary: false,
        fields,
        indexes,
    }
}

const fn view(
    id: u32,
    name: &'static str,
    fields: &'static [Field],
    indexes: &'static [Index],
) -> Definition {
    let engine = "sysview";
    Definition {
        id,
        name,
        engine,
        field_count: 0,
        group_id: 0,
        is_temporary: false,
        fields,
        indexes,
    }
}

const SCHEMA_FIELDS: &[Field] = &[field("key", "string"), nullable("value", "any")];

const COLLATION_FIELDS: &[Field] = &[
    field("id", "unsigned"),
    field("name", "string"),
    field("owner", "unsigned"),
    field("type", "string"),
    field("locale", "string"),
    field("opts", "map"),
];

const SPACE_FIELDS: &[Field] = &[
    field("id", "unsigned"),
    field("owner", "unsigned"),
    field("name", "string"),
    field("engine", "string"),
    field("field_count", "unsigned"),
    field("flags", "map"),
    field("format", "array"),
];

const SEQUENCE_FIELDS: &[Field] = &[
    field("id", "unsigned"),
    field("owner", "unsigned"),
    field("name", "string"),
    field("step", "integer"),
    field("min", "integer"),
    field("max", "integer"),
    field("start", "integer"),
    field("cache", "integer"),
    field("cycle", "boolean"),
];

const INDEX_FIELDS: &[Field] = &[
    field("id", "unsigned"),
    field("iid", "unsigned"),
    field("name", "string"),
    field("type", "string"),
    field("opts", "map"),
    field("parts", "array"),
];

const FUNC_FIELDS: &[Field] = &[
    field("id", "unsigned"),
    field("owner", "unsigned"),
    field("name", "string"),
    field("setuid", "unsigned"),
    field("language", "string"),
    field("body", "string"),
    field("routine_type", "string"),
    field("param_list", "array"),
    field("returns", "string"),
    field("aggregate", "string"),
    field("sql_data_access", "string"),
    field("is_deterministic", "boolean"),
    field("is_sandboxed", "boolean"),
    field("is_null_call", "boolean"),
    field("exports", "array"),
    field("opts", "map"),
    field("comment", "string"),
    field("created", "string"),
    field("last_altered", "string"),
    field("trigger", "array"),
];

const USER_FIELDS: &[Field] = &[
    field("id", "unsigned"),
    field("owner", "unsigned"),
    field("name", "string"),
    field("type", "string"),
    field("auth", "map"),
    field("auth_history", "array"),
    field("last_modified", "unsigned"),
];

const PRIV_FIELDS: &[Field] = &[
    field("grantor", "unsigned"),
    field("grantee", "unsigned"),
    field("object_type", "string"),
    field("object_id", "scalar"),
    field("privilege", "unsigned"),
];

const SPACE_SEQUENCE_FIELDS: &[Field] = &[
    field("id", "unsigned"),
    field("sequence_id", "unsigned"),
    field("is_generated", "boolean"),
    field("field", "unsigned"),
    field("path", "string"),
];

const BY_ID: Index = unique(0, "primary", &[(0, "unsigned")]);
const BY_STRING: Index = unique(0, "primary", &[(0, "string")]);
const OBJECT_INDEXES: &[Index] =
    &[BY_ID, multiple(1, "owner", &[(1, "unsigned")]), unique(2, "name", &[(2, "string")])];
const COLLATION_INDEXES: &[Index] = &[BY_ID, unique(1, "name", &[(1, "string")])];
// Index 1 of _index was dropped long ago; the name index keeps its number.
const INDEX_INDEXES: &[Index] = &[
    unique(0, "primary", &[(0, "unsigned"), (1, "unsigned")]),
    unique(2, "name", &[(0, "unsigned"), (2, "string")]),
];
const PRIV_INDEXES: &[Index] = &[
    unique(0, "primary", &[(1, "unsigned"), (2, "string"), (3, "scalar")]),
    multiple(1, "owner", &[(0, "unsigned")]),
    multiple(2, "object", &[(2, "string"), (3, "scalar")]),
];
const SPACE_SEQUENCE_INDEXES: &[Index] = &[BY_ID, multiple(1, "sequence", &[(1, "unsigned")])];

/// All system spaces in the order of their ids.
pub const DEFINITIONS: &[Definition] = &[
    Definition {
        id: VINYL_DEFERRED_DELETE,
        name: "_vinyl_deferred_delete",
        engine: "blackhole",
        field_count: 0,
        group_id: 1,
        is_temporary: false,
        fields: &[field("space_id", "unsigned"), field("lsn", "unsigned"), field("tuple", "array")],
        indexes: &[],
    },
    memtx(SCHEMA, "_schema", SCHEMA_FIELDS, &[BY_STRING]),
    memtx(COLLATION, "_collation", COLLATION_FIELDS, COLLATION_INDEXES),
    view(VCOLLATION, "_vcollation", COLLATION_FIELDS, COLLATION_INDEXES),
    memtx(SPACE, "_space", SPACE_FIELDS, OBJECT_INDEXES),
    view(VSPACE, "_vspace", SPACE_FIELDS, OBJECT_INDEXES),
    memtx(SEQUENCE, "_sequence", SEQUENCE_FIELDS, OBJECT_INDEXES),
    memtx(
        SEQUENCE_DATA,
        "_sequence_data",
        &[field("id", "unsigned"), field("value", "integer")],
        &[Index {
            id: 0,
            name: "primary",
            kind: "hash",
            unique: true,
            parts: &[(0, "unsigned")],
            has_named_parts: false,
        }],
    ),
    view(VSEQUENCE, "_vsequence", SEQUENCE_FIELDS, OBJECT_INDEXES),
    memtx(INDEX, "_index", INDEX_FIELDS, INDEX_INDEXES),
    view(VINDEX, "_vindex", INDEX_FIELDS, INDEX_INDEXES),
    memtx(FUNC, "_func", FUNC_FIELDS, OBJECT_INDEXES),
    view(VFUNC, "_vfunc", FUNC_FIELDS, OBJECT_INDEXES),
    memtx(USER, "_user", USER_FIELDS, OBJECT_INDEXES),
    view(VUSER, "_vuser", USER_FIELDS, OBJECT_INDEXES),
    memtx(PRIV, "_priv", PRIV_FIELDS, PRIV_INDEXES),
    view(VPRIV, "_vpriv", PRIV_FIELDS, PRIV_INDEXES),
    memtx(
        CLUSTER,
        "_cluster",
        &[field("id", "unsigned"), field("uuid", "string"), nullable("name", "string")],
        &[BY_ID, unique(1, "uuid", &[(1, "string")])],
    ),
    memtx(
        TRIGGER,
        "_trigger",
        &[field("name", "string"), field("space_id", "unsigned"), field("opts", "map")],
        &[BY_STRING, multiple(1, "space_id", &[(1, "unsigned")])],
    ),
    memtx(TRUNCATE, "_truncate", &[field("id", "unsigned"), field("count", "unsigned")], &[BY_ID]),
    memtx(SPACE_SEQUENCE, "_space_sequence", SPACE_SEQUENCE_FIELDS, SPACE_SEQUENCE_INDEXES),
    view(VSPACE_SEQUENCE, "_vspace_sequence", SPACE_SEQUENCE_FIELDS, SPACE_SEQUENCE_INDEXES),
    memtx(
        FK_CONSTRAINT,
        "_fk_constraint",
        &[
            field("name", "string"),
            field("child_id", "unsigned"),
            field("parent_id", "unsigned"),
            field("is_deferred", "boolean"),
            field("match", "string"),
            field("on_delete", "string"),
            field("on_update", "string"),
            field("child_cols", "array"),
            field("parent_cols", "array"),
        ],
        &[
            unique(0, "primary", &[(0, "string"), (1, "unsigned")]),
            multiple(1, "child_id", &[(1, "unsigned")]),
        ],
    ),
    memtx(
        CK_CONSTRAINT,
        "_ck_constraint",
        &[
            field("space_id", "unsigned"),
            field("name", "string"),
            field("is_deferred", "boolean"),
            // The short type name is how every released snapshot spells it.
            field("language", "str"),
            field("code", "str"),
            field("is_enabled", "boolean"),
        ],
        &[unique(0, "primary", &[(0, "unsigned"), (1, "string")])],
    ),
    memtx(
        FUNC_INDEX,
        "_func_index",
        &[
            field("space_id", "unsigned"),
            field("index_id", "unsigned"),
            field("func_id", "unsigned"),
        ],
        &[
            unique(0, "primary", &[(0, "unsigned"), (1, "unsigned")]),
            multiple(1, "fid", &[(2, "unsigned")]),
        ],
    ),
    Definition {
        id: SESSION_SETTINGS,
        name: "_session_settings",
        engine: "service",
        field_count: 2,
        group_id: 0,
        is_temporary: true,
        fields: &[field("name", "string"), field("value", "any")],
        indexes: &[BY_STRING],
    },
    Definition {
        id: GC_CONSUMERS,
        name: "_gc_consumers",
        engine: "memtx",
        field_count: 0,
        group_id: 1,
        is_temporary: false,
        fields: &[field("uuid", "string"), field("vclock", "map"), field("opts", "map")],
        indexes: &[BY_STRING],
    },
    memtx(
        RECOVERY_POINT,
        "_recovery_point",
        &[
            field("timestamp", "unsigned"),
            field("replica_id", "unsigned"),
            field("lsn", "unsigned"),
            field("opts", "map"),
        ],
        &[Index {
            has_named_parts: true,
            ..unique(0, "primary", &[(0, "unsigned"), (1, "unsigned"), (2, "unsigned")])
        }],
    ),
];

/// The space whose rows a view shows.
pub fn view_source(view_id: u32) -> Option<u32> {
    match view_id {
        VCOLLATION => Some(COLLATION),
        VSPACE => Some(SPACE),
        VSEQUENCE => Some(SEQUENCE),
        VINDEX => Some(INDEX),
        VFUNC => Some(FUNC),
        VUSER => Some(USER),
        VPRIV => Some(PRIV),
        VSPACE_SEQUENCE => Some(SPACE_SEQUENCE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_sorted_by_id_and_views_mirror_their_sources() {
        assert!(DEFINITIONS.windows(2).all(|pair| pair[0].id < pair[1].id));
        for definition in DEFINITIONS.iter().filter(|one| one.engine == "sysview") {
            let source_id = view_source(definition.id).expect("every view has a source");
            let source = DEFINITIONS.iter().find(|one| one.id == source_id).expect("it exists");
            assert_eq!(source.fields.len(), definition.fields.len());
            assert_eq!(source.indexes.len(), definition.indexes.len());
        }
    }
}
