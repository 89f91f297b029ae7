-- box.schema: definitions of spaces, indexes, sequences, functions, users and roles.
--
-- Every definition is a row of a system space, so each function here checks its arguments, makes
-- them complete and writes such rows. The parts stand in the folder `schema/`; a part is a
-- function of the native table, `box` and the parts before it.
local native, box, data = ...

local SOURCES = native.sources
local CONSTANTS = {
    VINYL_DEFERRED_DELETE_ID = 257,
    SCHEMA_ID = 272,
    COLLATION_ID = 276,
    VCOLLATION_ID = 277,
    SPACE_ID = 280,
    VSPACE_ID = 281,
    SEQUENCE_ID = 284,
    SEQUENCE_DATA_ID = 285,
    VSEQUENCE_ID = 286,
    INDEX_ID = 288,
    VINDEX_ID = 289,
    FUNC_ID = 296,
    VFUNC_ID = 297,
    USER_ID = 304,
    VUSER_ID = 305,
    PRIV_ID = 312,
    VPRIV_ID = 313,
    CLUSTER_ID = 320,
    TRIGGER_ID = 328,
    TRUNCATE_ID = 330,
    SPACE_SEQUENCE_ID = 340,
    VSPACE_SEQUENCE_ID = 341,
    FK_CONSTRAINT_ID = 356,
    CK_CONSTRAINT_ID = 364,
    FUNC_INDEX_ID = 372,
    SESSION_SETTINGS_ID = 380,
    GC_CONSUMERS_ID = 388,
    RECOVERY_POINT_ID = 396,

    SYSTEM_ID_MIN = 256,
    SYSTEM_ID_MAX = 511,
    SPACE_ID_TEMPORARY_MIN = 1073741824,
    SYSTEM_USER_ID_MIN = 0,
    SYSTEM_USER_ID_MAX = 3,
    GUEST_ID = 0,
    ADMIN_ID = 1,
    PUBLIC_ROLE_ID = 2,
    REPLICATION_ROLE_ID = 3,
    SUPER_ROLE_ID = 31,

    SPACE_MAX = 2147483647,
    INDEX_MAX = 128,
    FIELD_MAX = 2147483647,
    INDEX_FIELD_MAX = 32767,
    INDEX_PART_MAX = 255,
    NAME_MAX = 65000,
    FORMAT_ID_MAX = 65534,
    REPLICA_MAX = 32,
    SQL_BIND_PARAMETER_MAX = 65000,
}

for name, value in pairs(CONSTANTS) do
    box.schema[name] = value
end

box.sequence = {}
box.func = {}
box.internal.collation = {}

local parts = {check = box.internal.check, data = data}
local ORDER = {'format', 'index_parts', 'grants', 'sequence', 'space_sequence', 'space', 'index',
    'privilege', 'func', 'user', 'collation', 'version', 'object'}
for _, name in ipairs(ORDER) do
    local path = 'schema/' .. name
    local chunk = assert(loadstring(SOURCES[path], '@builtin/box/' .. path .. '.lua'))
    parts[name] = chunk(native, box, parts)
end

return parts.object
