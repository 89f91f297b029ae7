//! Every error code a client can see, with its number, message and payload names.
//!
//! Numbers, messages and payload names are Tarantool 3's (its `errcode.h`): connectors, applications
//! and users match on them. A `%` specifier in a message stands for the next argument; the names
//! say under which key an argument is kept as payload of the error (`""`: in the message only).
//!
//! # Invariants
//! Rows are sorted by number and never reused; retired numbers stay absent.

/// A row of the table: one kind of client error.
#[derive(Debug)]
pub struct Code {
    /// Name as in `box.error`, with the prefix `ER_`.
    pub name: &'static str,
    /// Number as on the wire.
    pub number: u32,
    /// Message; each `%` specifier is replaced by the next argument.
    pub format: &'static str,
    /// Payload names of the arguments, by position.
    pub fields: &'static [&'static str],
}

macro_rules! codes {
    ($($name:ident = $number:literal, $format:literal, [$($field:literal),*];)*) => {
        $(
            #[doc = concat!("Code ", stringify!($number), ": ", $format)]
            pub static $name: Code = Code {
                name: stringify!($name),
                number: $number,
                format: $format,
                fields: &[$($field),*],
            };
        )*
        /// All codes, sorted by number.
        pub static CODES: &[&Code] = &[$(&$name),*];
    };
}

/// The row with this number, if there is one.
pub fn by_number(number: u32) -> Option<&'static Code> {
    CODES.binary_search_by_key(&number, |code| code.number).ok().map(|index| CODES[index])
}

#[rustfmt::skip]
codes! {
    ER_UNKNOWN = 0, "Unknown error", [];
    ER_ILLEGAL_PARAMS = 1, "%s", [""];
    ER_MEMORY_ISSUE = 2, "Failed to allocate %u bytes in %s for %s", [];
    ER_TUPLE_FOUND = 3, "Duplicate key exists in unique index \"%s\" in space \"%s\" with old tuple - %s and new tuple - %s", ["index", "space", "", "", "old_tuple", "new_tuple"];
    ER_UNSUPPORTED = 5, "%s does not support %s", ["", ""];
    ER_READONLY = 7, "Can't modify data on a read-only instance", [];
    ER_INJECTION = 8, "Error injection '%s'", ["details"];
    ER_CREATE_SPACE = 9, "Failed to create space '%s': %s", ["space", "details"];
    ER_SPACE_EXISTS = 10, "Space '%s' already exists", ["space"];
    ER_DROP_SPACE = 11, "Can't drop space '%s': %s", ["space", "details"];
    ER_ALTER_SPACE = 12, "Can't modify space '%s': %s", ["space", "details"];
    ER_INDEX_TYPE = 13, "Unsupported index type supplied for index '%s' in space '%s'", ["index", "space"];
    ER_MODIFY_INDEX = 14, "Can't create or modify index '%s' in space '%s': %s", ["index", "space", "details"];
    ER_LAST_DROP = 15, "Can't drop the primary key in a system space, space '%s'", ["space"];
    ER_TUPLE_FORMAT_LIMIT = 16, "Tuple format limit reached: %u", ["max"];
    ER_DROP_PRIMARY_KEY = 17, "Can't drop primary key in space '%s' while secondary keys exist", ["space"];
    ER_KEY_PART_TYPE = 18, "Supplied key type of part %u does not match index part type: expected %s", ["partno", "expected"];
    ER_EXACT_MATCH = 19, "Invalid key part count in an exact match (expected %u, got %u)", ["expected", "actual"];
    ER_INVALID_MSGPACK = 20, "Invalid MsgPack - %s", ["details"];
    ER_TUPLE_NOT_ARRAY = 22, "Tuple/Key must be MsgPack array", [];
    ER_FIELD_TYPE = 23, "Tuple field %s type does not match one required by operation: expected %s, got %s", ["field", "expected", "actual"];
    ER_INDEX_PART_TYPE_MISMATCH = 24, "Field %s has type '%s' in one index, but type '%s' in another", ["field", "actual", "expected"];
    ER_UPDATE_SPLICE = 25, "SPLICE error on field %s: %s", ["field", "details"];
    ER_UPDATE_ARG_TYPE = 26, "Argument type in operation '%c' on field %s does not match field type: expected %s", ["operation", "field", "expected"];
    ER_FORMAT_MISMATCH_INDEX_PART = 27, "Field %s has type '%s' in space format, but type '%s' in index definition", ["field", "actual", "expected"];
    ER_UNKNOWN_UPDATE_OP = 28, "Unknown UPDATE operation #%d: %s", ["argno", "operation"];
    ER_UPDATE_FIELD = 29, "Field %s UPDATE error: %s", ["field", "details"];
    ER_FUNCTION_TX_ACTIVE = 30, "Transaction is active at return from function", [];
    ER_KEY_PART_COUNT = 31, "Invalid key part count (expected [0..%u], got %u)", ["max", "value"];
    ER_PROC_LUA = 32, "%s", ["details"];
    ER_NO_SUCH_PROC = 33, "Procedure '%s' is not defined", ["func"];
    ER_NO_SUCH_TRIGGER = 34, "Trigger '%s' doesn't exist", ["trigger"];
    ER_NO_SUCH_INDEX_ID = 35, "No index #%u is defined in space '%s'", ["index_id", "space"];
    ER_NO_SUCH_SPACE = 36, "Space '%s' does not exist", ["space"];
    ER_NO_SUCH_FIELD_NO = 37, "Field %d was not found in the tuple", ["fieldno"];
    ER_EXACT_FIELD_COUNT = 38, "Tuple field count %u does not match space field count %u", ["actual", "expected"];
    ER_FIELD_MISSING = 39, "Tuple field %s required by space format is missing", ["field"];
    ER_WAL_IO = 40, "Failed to write to disk", [];
    ER_MORE_THAN_ONE_TUPLE = 41, "Get() doesn't support partial keys and non-unique indexes", [];
    ER_ACCESS_DENIED = 42, "%s access to %s '%s' is denied for user '%s'", [];
    ER_CREATE_USER = 43, "Failed to create user '%s': %s", ["user", "details"];
    ER_DROP_USER = 44, "Failed to drop user or role '%s': %s", ["user", "details"];
    ER_NO_SUCH_USER = 45, "User '%s' is not found", ["user"];
    ER_USER_EXISTS = 46, "User '%s' already exists", ["user"];
    ER_CREDS_MISMATCH = 47, "User not found or supplied credentials are invalid", [];
    ER_UNKNOWN_REQUEST_TYPE = 48, "Unknown request type %u", ["value"];
    ER_UNKNOWN_SCHEMA_OBJECT = 49, "Unknown object type '%s'", ["value"];
    ER_CREATE_FUNCTION = 50, "Failed to create function '%s': %s", ["func", "details"];
    ER_NO_SUCH_FUNCTION = 51, "Function '%s' does not exist", ["func"];
    ER_FUNCTION_EXISTS = 52, "Function '%s' already exists", ["func"];
    ER_BEFORE_REPLACE_RET = 53, "Invalid return value of space:before_replace trigger: expected tuple or nil", [];
    ER_MULTISTATEMENT_TRANSACTION = 54, "Can not perform %s in a multi-statement transaction", ["operation"];
    ER_TRIGGER_EXISTS = 55, "Trigger '%s' already exists", ["trigger"];
    ER_USER_MAX = 56, "A limit on the total number of users has been reached: %u", ["max"];
    ER_NO_SUCH_ENGINE = 57, "Space engine '%s' does not exist", ["engine"];
    ER_RELOAD_CFG = 58, "Can't set option '%s' dynamically", ["option"];
    ER_CFG = 59, "Incorrect value for option '%s': %s", ["option", "details"];
    ER_SAVEPOINT_EMPTY_TX = 60, "Can not set a savepoint in an empty transaction", [];
    ER_NO_SUCH_SAVEPOINT = 61, "Can not rollback to savepoint: the savepoint does not exist", [];
    ER_UNKNOWN_REPLICA = 62, "Replica %s is not registered with replica set %s", ["replica", "replicaset"];
    ER_REPLICASET_UUID_MISMATCH = 63, "Replica set UUID mismatch: expected %s, got %s", ["expected", "actual"];
    ER_INVALID_UUID = 64, "Invalid UUID: %s", ["value"];
    ER_REPLICASET_UUID_IS_RO = 65, "Can't reset replica set UUID: it is already assigned", [];
    ER_INSTANCE_UUID_MISMATCH = 66, "Instance UUID mismatch: expected %s, got %s", ["expected", "actual"];
    ER_REPLICA_ID_IS_RESERVED = 67, "Can't initialize replica id with a reserved value %u", ["value"];
    ER_MISSING_REQUEST_FIELD = 69, "Missing mandatory field '%s' in request", ["value"];
    ER_IDENTIFIER = 70, "Invalid identifier '%s' (expected printable symbols only or it is too long)", ["value"];
    ER_DROP_FUNCTION = 71, "Can't drop function %u: %s", ["func_id", "details"];
    ER_ITERATOR_TYPE = 72, "Unknown iterator type '%s'", ["value"];
    ER_REPLICA_MAX = 73, "Replica count limit reached: %u", ["max"];
    ER_NO_CONNECTION = 77, "Connection is not established", [];
    ER_TIMEOUT = 78, "Timeout exceeded", [];
    ER_ACTIVE_TRANSACTION = 79, "Operation is not permitted when there is an active transaction ", [];
    ER_CURSOR_NO_TRANSACTION = 80, "The transaction the cursor belongs to has ended", [];
    ER_NO_SUCH_ROLE = 82, "Role '%s' is not found", ["role"];
    ER_ROLE_EXISTS = 83, "Role '%s' already exists", ["role"];
    ER_CREATE_ROLE = 84, "Failed to create role '%s': %s", ["role", "details"];
    ER_INDEX_EXISTS = 85, "Index '%s' already exists", ["index"];
    ER_SESSION_CLOSED = 86, "Session is closed", [];
    ER_ROLE_LOOP = 87, "Granting role '%s' to role '%s' would create a loop", ["role", "grantee"];
    ER_GRANT = 88, "Incorrect grant arguments: %s", ["details"];
    ER_PRIV_GRANTED = 89, "User '%s' already has %s access on %s", ["user", "privilege", "", "object_type", "object"];
    ER_ROLE_GRANTED = 90, "User '%s' already has role '%s'", ["user", "role"];
    ER_PRIV_NOT_GRANTED = 91, "User '%s' does not have %s access on %s '%s'", ["user", "privilege", "object_type", "object"];
    ER_ROLE_NOT_GRANTED = 92, "User '%s' does not have role '%s'", ["user", "role"];
    ER_MISSING_SNAPSHOT = 93, "Can't find snapshot", [];
    ER_CANT_UPDATE_PRIMARY_KEY = 94, "Attempt to modify a tuple field which is part of primary index in space '%s'", ["space", "space_id", "old_tuple", "new_tuple", "ops"];
    ER_UPDATE_INTEGER_OVERFLOW = 95, "Integer overflow when performing '%c' operation on field %s", ["operation", "field"];
    ER_GUEST_USER_PASSWORD = 96, "Setting password for guest user has no effect", [];
    ER_TRANSACTION_CONFLICT = 97, "Transaction has been aborted by conflict", [];
    ER_UNSUPPORTED_PRIV = 98, "Unsupported %s privilege '%s'", ["object_type", "privilege"];
    ER_LOAD_FUNCTION = 99, "Failed to dynamically load function '%s': %s", ["func", "details"];
    ER_FUNCTION_LANGUAGE = 100, "Unsupported language '%s' specified for function '%s'", ["value", "func"];
    ER_RTREE_RECT = 101, "RTree: %s must be an array with %u (point) or %u (rectangle/box) numeric coordinates", ["", "", ""];
    ER_PROC_C = 102, "%s", [];
    ER_PROTOCOL = 104, "%s", ["details"];
    ER_WRONG_INDEX_RECORD = 106, "Wrong record in _index space: got {%s}, expected {%s}", ["actual", "expected"];
    ER_WRONG_INDEX_PARTS = 107, "Wrong index part %u: %s", ["partno", "details"];
    ER_WRONG_INDEX_OPTIONS = 108, "Wrong index options: %s", ["details"];
    ER_WRONG_SCHEMA_VERSION = 109, "Wrong schema version, current: %d, in request: %llu", ["actual", "expected"];
    ER_MEMTX_MAX_TUPLE_SIZE = 110, "Failed to allocate %u bytes for tuple: tuple is too large. Check 'memtx_max_tuple_size' configuration option.", ["value", "max"];
    ER_WRONG_SPACE_OPTIONS = 111, "Wrong space options: %s", ["details"];
    ER_UNSUPPORTED_INDEX_FEATURE = 112, "Index '%s' (%s) of space '%s' (%s) does not support %s", ["index", "index_type", "space", "engine", "feature"];
    ER_VIEW_IS_RO = 113, "View '%s' is read-only", ["space"];
    ER_NO_TRANSACTION = 114, "No active transaction", [];
    ER_SYSTEM = 115, "%s", [];
    ER_LOADING = 116, "Instance bootstrap hasn't finished yet", [];
    ER_CONNECTION_TO_SELF = 117, "Connection to self", [];
    ER_COMPRESSION = 119, "Compression error: %s", ["details"];
    ER_CHECKPOINT_IN_PROGRESS = 120, "Snapshot is already in progress", [];
    ER_SUB_STMT_MAX = 121, "Can not execute a nested statement: nesting limit reached", [];
    ER_COMMIT_IN_SUB_STMT = 122, "Can not commit transaction in a nested statement", [];
    ER_ROLLBACK_IN_SUB_STMT = 123, "Rollback called in a nested statement", [];
    ER_DECOMPRESSION = 124, "Decompression error: %s", ["details"];
    ER_INVALID_XLOG_TYPE = 125, "Invalid xlog type: expected %s, got %s", ["expected", "actual"];
    ER_ALREADY_RUNNING = 126, "Failed to lock WAL directory %s and hot_standby mode is off", ["path"];
    ER_INDEX_FIELD_COUNT_LIMIT = 127, "Indexed field count limit reached: %d indexed fields", ["max"];
    ER_LOCAL_INSTANCE_ID_IS_READ_ONLY = 128, "The local instance id %u is read-only", ["instance_id"];
    ER_BACKUP_IN_PROGRESS = 129, "Backup is already in progress", [];
    ER_READ_VIEW_ABORTED = 130, "The read view is aborted", [];
    ER_INVALID_INDEX_FILE = 131, "Invalid INDEX file %s: %s", ["path", "details"];
    ER_INVALID_RUN_FILE = 132, "Invalid RUN file: %s", ["details"];
    ER_INVALID_VYLOG_FILE = 133, "Invalid VYLOG file: %s", ["details"];
    ER_CASCADE_ROLLBACK = 134, "WAL has a rollback in progress", [];
    ER_VY_QUOTA_TIMEOUT = 135, "Timed out waiting for Vinyl memory quota", [];
    ER_PARTIAL_KEY = 136, "%s index  does not support selects via a partial key (expected %u parts, got %u). Please Consider changing index type to TREE.", ["index_type", "expected", "actual"];
    ER_TRUNCATE_SYSTEM_SPACE = 137, "Can't truncate a system space, space '%s'", ["space"];
    ER_LOAD_MODULE = 138, "Failed to dynamically load module '%s': %s", ["module", "details"];
    ER_VINYL_MAX_TUPLE_SIZE = 139, "Failed to allocate %u bytes for tuple: tuple is too large. Check 'vinyl_max_tuple_size' configuration option.", ["value", "max"];
    ER_WRONG_DD_VERSION = 140, "Wrong _schema version: expected 'major.minor[.patch]'", [];
    ER_WRONG_SPACE_FORMAT = 141, "Wrong space format field %u: %s", ["fieldno", "details"];
    ER_CREATE_SEQUENCE = 142, "Failed to create sequence '%s': %s", ["sequence", "details"];
    ER_ALTER_SEQUENCE = 143, "Can't modify sequence '%s': %s", ["sequence", "details"];
    ER_DROP_SEQUENCE = 144, "Can't drop sequence '%s': %s", ["sequence", "details"];
    ER_NO_SUCH_SEQUENCE = 145, "Sequence '%s' does not exist", ["sequence"];
    ER_SEQUENCE_EXISTS = 146, "Sequence '%s' already exists", ["sequence"];
    ER_SEQUENCE_OVERFLOW = 147, "Sequence '%s' has overflowed", ["sequence"];
    ER_NO_SUCH_INDEX_NAME = 148, "No index '%s' is defined in space '%s'", ["index", "space"];
    ER_SPACE_FIELD_IS_DUPLICATE = 149, "Space field '%s' is duplicate", ["field"];
    ER_CANT_CREATE_COLLATION = 150, "Failed to initialize collation: %s.", ["details"];
    ER_WRONG_COLLATION_OPTIONS = 151, "Wrong collation options: %s", ["details"];
    ER_NULLABLE_PRIMARY = 152, "Primary index of space '%s' can not contain nullable parts", ["space"];
    ER_NO_SUCH_FIELD_NAME_IN_SPACE = 153, "Field '%s' was not found in space '%s' format", ["field", "space"];
    ER_TRANSACTION_YIELD = 154, "Transaction has been aborted by a fiber yield", [];
    ER_NO_SUCH_GROUP = 155, "Replication group '%s' does not exist", ["replication_group"];
    ER_SQL_BIND_TYPE = 157, "Bind value type %s for parameter %s is not supported", ["value_type", "parameter"];
    ER_SQL_BIND_PARAMETER_MAX = 158, "SQL bind parameter limit reached: %d", ["max"];
    ER_SQL_EXECUTE = 159, "Failed to execute SQL statement: %s", ["details"];
    ER_UPDATE_DECIMAL_OVERFLOW = 160, "Decimal overflow when performing operation '%c' on field %s", ["operation", "field"];
    ER_SQL_BIND_NOT_FOUND = 161, "Parameter %s was not found in the statement", ["parameter"];
    ER_ACTION_MISMATCH = 162, "Field %s contains %s on conflict action, but %s in index parts", ["field", "expected", "actual"];
    ER_VIEW_MISSING_SQL = 163, "Space declared as a view must have SQL statement", [];
    ER_FOREIGN_KEY_CONSTRAINT = 164, "Can not commit transaction: deferred foreign keys violations are not resolved", [];
    ER_NO_SUCH_MODULE = 165, "Module '%s' does not exist", ["module"];
    ER_NO_SUCH_COLLATION = 166, "Collation '%s' does not exist", ["collation"];
    ER_CREATE_FK_CONSTRAINT = 167, "Failed to create foreign key constraint '%s': %s", ["constraint", "details"];
    ER_NO_SUCH_CONSTRAINT = 169, "Constraint '%s' does not exist in space '%s'", ["constraint", "space"];
    ER_CONSTRAINT_EXISTS = 170, "%s constraint '%s' already exists in space '%s'", ["constraint_type", "constraint", "space"];
    ER_SQL_TYPE_MISMATCH = 171, "Type mismatch: can not convert %s to %s", ["actual", "expected"];
    ER_ROWID_OVERFLOW = 172, "Rowid is overflowed: too many entries in ephemeral space", [];
    ER_DROP_COLLATION = 173, "Can't drop collation '%s': %s", ["collation", "details"];
    ER_ILLEGAL_COLLATION_MIX = 174, "Illegal mix of collations", [];
    ER_SQL_NO_SUCH_PRAGMA = 175, "Pragma '%s' does not exist", ["pragma"];
    ER_SQL_CANT_RESOLVE_FIELD = 176, "Can't resolve field '%s'", ["field"];
    ER_INDEX_EXISTS_IN_SPACE = 177, "Index '%s' already exists in space '%s'", ["index", "space"];
    ER_INCONSISTENT_TYPES = 178, "Inconsistent types: expected %s got %s", ["expected", "actual"];
    ER_SQL_SYNTAX_WITH_POS = 179, "Syntax error at line %d at or near position %d: %s", ["line", "position", "details"];
    ER_SQL_STACK_OVERFLOW = 180, "Failed to parse SQL statement: parser stack limit reached", [];
    ER_SQL_SELECT_WILDCARD = 181, "Failed to expand '*' in SELECT statement without FROM clause", [];
    ER_SQL_STATEMENT_EMPTY = 182, "Failed to execute an empty SQL statement", [];
    ER_SQL_KEYWORD_IS_RESERVED = 183, "At line %d at or near position %d: keyword '%s' is reserved. Please use double quotes if '%s' is an identifier.", ["line", "position", "keyword", ""];
    ER_SQL_SYNTAX_NEAR_TOKEN = 184, "Syntax error at line %d near '%s'", ["line", "token"];
    ER_SQL_UNKNOWN_TOKEN = 185, "At line %d at or near position %d: unrecognized token '%s'", ["line", "position", "value"];
    ER_SQL_PARSER_GENERIC = 186, "%s", ["details"];
    ER_SQL_COLUMN_COUNT_MAX = 188, "Failed to create space '%s': space column count %d exceeds the limit (%d)", ["space", "value", "max"];
    ER_HEX_LITERAL_MAX = 189, "Hex literal %s length %d exceeds the supported limit (%d)", ["value"];
    ER_INT_LITERAL_MAX = 190, "Integer literal %s exceeds the supported range [-9223372036854775808, 18446744073709551615]", ["literal"];
    ER_SQL_PARSER_LIMIT = 191, "%s %d exceeds the limit (%d)", ["parameter", "value", "max"];
    ER_INDEX_DEF_UNSUPPORTED = 192, "%s are prohibited in an index definition", ["feature"];
    ER_MULTIKEY_INDEX_MISMATCH = 194, "Field %s is used as multikey in one index and as single key in another", ["field"];
    ER_CREATE_CK_CONSTRAINT = 195, "Failed to create check constraint '%s': %s", ["constraint", "details"];
    ER_SQL_COLUMN_COUNT = 197, "Unequal number of entries in row expression: left side has %u, but right side - %u", ["actual", "expected"];
    ER_FUNC_INDEX_FUNC = 198, "Failed to build a key for functional index '%s' of space '%s': %s", ["index", "space", "details"];
    ER_FUNC_INDEX_FORMAT = 199, "Key format doesn't match one defined in functional index '%s' of space '%s': %s", ["index", "space", "details"];
    ER_FUNC_INDEX_PARTS = 200, "Wrong functional index definition: %s", ["details"];
    ER_NO_SUCH_FIELD_NAME = 201, "Field '%s' was not found in the tuple", ["field"];
    ER_FUNC_WRONG_ARG_COUNT = 202, "Wrong number of arguments is passed to %s(): expected %s, got %d", ["func", "", "value", "min", "max"];
    ER_BOOTSTRAP_READONLY = 203, "Trying to bootstrap a local read-only instance as master", [];
    ER_SQL_FUNC_WRONG_RET_COUNT = 204, "SQL expects exactly one argument returned from %s, got %d", ["func", "actual"];
    ER_FUNC_INVALID_RETURN_TYPE = 205, "Function '%s' returned value of invalid type: expected %s got %s", ["func", "expected", "actual"];
    ER_SQL_PARSER_GENERIC_WITH_POS = 206, "At line %d at or near position %d: %s", ["line", "position", "details"];
    ER_REPLICA_NOT_ANON = 207, "Replica '%s' is not anonymous and cannot register.", ["replica"];
    ER_CANNOT_REGISTER = 208, "Couldn't find an instance to register this replica on.", [];
    ER_SESSION_SETTING_INVALID_VALUE = 209, "Session setting %s expected a value of type %s", ["setting", "expected"];
    ER_SQL_PREPARE = 210, "Failed to prepare SQL statement: %s", ["details"];
    ER_WRONG_QUERY_ID = 211, "Prepared statement with id %u does not exist", ["value"];
    ER_SEQUENCE_NOT_STARTED = 212, "Sequence '%s' is not started", ["sequence"];
    ER_NO_SUCH_SESSION_SETTING = 213, "Session setting %s doesn't exist", ["setting"];
    ER_UNCOMMITTED_FOREIGN_SYNC_TXNS = 214, "Found uncommitted sync transactions from other instance with id %u", ["instance_id"];
    ER_SYNC_QUORUM_TIMEOUT = 216, "Quorum collection for a synchronous transaction is timed out", [];
    ER_SYNC_ROLLBACK = 217, "A rollback for a synchronous transaction is received", [];
    ER_TUPLE_METADATA_IS_TOO_BIG = 218, "Can't create tuple: metadata size %u is too big", ["value"];
    ER_XLOG_GAP = 219, "%s", [];
    ER_TOO_EARLY_SUBSCRIBE = 220, "Can't subscribe non-anonymous replica %s until join is done", ["replica"];
    ER_SQL_CANT_ADD_AUTOINC = 221, "Can't add AUTOINCREMENT: space %s can't feature more than one AUTOINCREMENT field", ["space"];
    ER_QUORUM_WAIT = 222, "Couldn't wait for quorum %d: %s", ["value", "details"];
    ER_INTERFERING_PROMOTE = 223, "Instance with replica id %u was promoted first", ["replica_id"];
    ER_ELECTION_DISABLED = 224, "Elections were turned off", [];
    ER_TXN_ROLLBACK = 225, "Transaction was rolled back", [];
    ER_NOT_LEADER = 226, "The instance is not a leader. New leader is %u", ["leader_id"];
    ER_SYNC_QUEUE_UNCLAIMED = 227, "The synchronous transaction queue doesn't belong to any instance", [];
    ER_SYNC_QUEUE_FOREIGN = 228, "The synchronous transaction queue belongs to other instance with id %u", ["instance_id"];
    ER_UNABLE_TO_PROCESS_IN_STREAM = 229, "Unable to process %s request in stream", ["request"];
    ER_UNABLE_TO_PROCESS_OUT_OF_STREAM = 230, "Unable to process %s request out of stream", ["request"];
    ER_TRANSACTION_TIMEOUT = 231, "Transaction has been aborted by timeout", [];
    ER_ACTIVE_TIMER = 232, "Operation is not permitted if timer is already running", [];
    ER_TUPLE_FIELD_COUNT_LIMIT = 233, "Tuple field count limit reached: see box.schema.FIELD_MAX", [];
    ER_CREATE_CONSTRAINT = 234, "Failed to create constraint '%s' in space '%s': %s", ["constraint", "space", "details"];
    ER_FIELD_CONSTRAINT_FAILED = 235, "Check constraint '%s' failed for field '%s'", ["constraint", "field", "field_id"];
    ER_TUPLE_CONSTRAINT_FAILED = 236, "Check constraint '%s' failed for a tuple", ["constraint"];
    ER_CREATE_FOREIGN_KEY = 237, "Failed to create foreign key '%s' in space '%s': %s", ["constraint", "space", "details"];
    ER_FOREIGN_KEY_INTEGRITY = 238, "Foreign key '%s' integrity check failed: %s", ["constraint", "details"];
    ER_FIELD_FOREIGN_KEY_FAILED = 239, "Foreign key constraint '%s' failed for field '%s': %s", ["constraint", "field", "details", "field_id"];
    ER_COMPLEX_FOREIGN_KEY_FAILED = 240, "Foreign key constraint '%s' failed: %s", ["constraint", "details"];
    ER_WRONG_SPACE_UPGRADE_OPTIONS = 241, "Wrong space upgrade options: %s", ["details"];
    ER_NO_ELECTION_QUORUM = 242, "Not enough peers connected to start elections: %d out of minimal required %d", ["actual", "value"];
    ER_SSL = 243, "%s", [];
    ER_SPLIT_BRAIN = 244, "Split-Brain discovered: %s", ["details"];
    ER_OLD_TERM = 245, "The term is outdated: old - %llu, new - %llu", ["old_term", "new_term"];
    ER_INTERFERING_ELECTIONS = 246, "Interfering elections started", [];
    ER_ITERATOR_POSITION = 247, "Iterator position is invalid", [];
    ER_DEFAULT_VALUE_TYPE = 248, "Type of the default value does not match tuple field %s type: expected %s, got %s", ["field", "expected", "actual"];
    ER_UNKNOWN_AUTH_METHOD = 249, "Unknown authentication method '%s'", ["value"];
    ER_INVALID_AUTH_DATA = 250, "Invalid '%s' data: %s", ["auth_method", "details"];
    ER_INVALID_AUTH_REQUEST = 251, "Invalid '%s' request: %s", ["auth_method", "details"];
    ER_WEAK_PASSWORD = 252, "Password doesn't meet security requirements: %s", ["details"];
    ER_OLD_PASSWORD = 253, "Password must differ from last %d passwords", ["history_length"];
    ER_NO_SUCH_SESSION = 254, "Session %llu does not exist", ["session_id"];
    ER_WRONG_SESSION_TYPE = 255, "Session '%s' is not supported", ["session_type"];
    ER_PASSWORD_EXPIRED = 256, "Password expired", [];
    ER_AUTH_DELAY = 257, "Too many authentication attempts", [];
    ER_AUTH_REQUIRED = 258, "Authentication required", [];
    ER_SQL_SEQ_SCAN = 259, "Scanning is not allowed for %s", ["space"];
    ER_NO_SUCH_EVENT = 260, "Unknown event %s", ["value"];
    ER_BOOTSTRAP_NOT_UNANIMOUS = 261, "Replica %s chose a different bootstrap leader %s", ["replica", "leader"];
    ER_CANT_CHECK_BOOTSTRAP_LEADER = 262, "Can't check who replica %s chose its bootstrap leader", ["replica"];
    ER_BOOTSTRAP_CONNECTION_NOT_TO_ALL = 263, "Some replica set members were not specified in box.cfg.replication", [];
    ER_NIL_UUID = 264, "Nil UUID is reserved and can't be used in replication", [];
    ER_WRONG_FUNCTION_OPTIONS = 265, "Wrong function options: %s", [];
    ER_MISSING_SYSTEM_SPACES = 266, "Snapshot has no system spaces", [];
    ER_CLUSTER_NAME_MISMATCH = 267, "Cluster name mismatch: name '%s' provided in config confilcts with the instance one '%s'", ["actual", "expected"];
    ER_REPLICASET_NAME_MISMATCH = 268, "Replicaset name mismatch: name '%s' provided in config confilcts with the instance one '%s'", ["actual", "expected"];
    ER_INSTANCE_NAME_DUPLICATE = 269, "Duplicate replica name %s, already occupied by %s", ["value", "replica"];
    ER_INSTANCE_NAME_MISMATCH = 270, "Instance name mismatch: name '%s' provided in config confilcts with the instance one '%s'", ["actual", "expected"];
    ER_SCHEMA_NEEDS_UPGRADE = 271, "Your schema version is %s while Tarantool feature %s requires schema version %s or higher. Please, consider using box.schema.upgrade().", ["schema_version", "feature_name", "tarantool_version"];
    ER_SCHEMA_UPGRADE_IN_PROGRESS = 272, "Schema upgrade is already in progress", [];
    ER_DEPRECATED = 273, "%s is deprecated", ["feature"];
    ER_UNCONFIGURED = 274, "Please call box.cfg{} first", [];
    ER_CREATE_DEFAULT_FUNC = 275, "Failed to create field default function '%s': %s", ["func", "details"];
    ER_DEFAULT_FUNC_FAILED = 276, "Error calling field default function '%s': %s", ["func", "details"];
    ER_INVALID_DEC = 277, "Invalid decimal: '%s'", ["value"];
    ER_IN_ANOTHER_PROMOTE = 278, "box.ctl.promote() is already running", [];
    ER_SHUTDOWN = 279, "Server is shutting down", [];
    ER_FIELD_VALUE_OUT_OF_RANGE = 280, "The value of field %s exceeds the supported range for type '%s': %s", ["field", "field_type", "", "value", "min", "max"];
    ER_REPLICASET_NOT_FOUND = 281, "The replicaset was not found by its name", [];
    ER_REPLICASET_NO_WRITABLE = 282, "Writable instance was not found in replicaset", [];
    ER_REPLICASET_MORE_THAN_ONE_WRITABLE = 283, "More than one writable was found in replicaset", [];
    ER_TXN_COMMIT = 284, "Transaction was committed", [];
    ER_READ_VIEW_BUSY = 285, "The read view is busy", [];
    ER_READ_VIEW_CLOSED = 286, "The read view is closed", [];
    ER_WAL_QUEUE_FULL = 287, "The WAL queue is full", [];
    ER_INVALID_VCLOCK = 288, "Invalid vclock", ["value"];
    ER_SYNC_QUEUE_FULL = 289, "The synchronous transaction queue is full", [];
    ER_KEY_PART_VALUE_OUT_OF_RANGE = 290, "The value of key part exceeds the supported range for type", ["partno", "field_type", "value", "min", "max"];
    ER_REPLICA_GC = 291, "Cannot clean up replica's resources", ["uuid", "details"];
    ER_ALIEN_ENGINE = 292, "Snapshot contains alien space engine row", ["engine"];
    ER_MVCC_UNAVAILABLE = 293, "MVCC is unavailable for storage engine '%s' so it cannot be used in the same transaction with '%s', which supports MVCC", ["engine_without_mvcc", "engine_with_mvcc"];
    ER_CANT_UPGRADE_INDEXED_FIELD = 294, "Space upgrade doesn't support changing indexed fields", ["space", "space_id", "index", "old_tuple", "new_tuple"];
    ER_SYNC_TIMEOUT = 295, "Quorum collection for a synchronous transaction is timed out. The transaction is detached from this fiber and continues waiting for quorum", [];
    ER_FIELD_IRREPRESENTABLE_VALUE = 296, "The value does not fit in field type", ["field", "value"];
    ER_KEY_PART_IRREPRESENTABLE_VALUE = 297, "The value of key part does not fit in type", ["partno", "value"];
    ER_INVALID_SORTDATA_FILE = 298, "Invalid MemTX sort data file", ["path", "details"];
    ER_NO_SUCH_THREAD = 299, "Thread does not exist", ["thread_id"];
    ER_UNABLE_TO_PROCESS_IN_THREAD = 300, "Unable to process request in thread", ["request", "thread_id"];
    ER_DICT_OVERFLOW = 301, "Dictionary has no space - too many unique values are used", ["max_size"];
    ER_NO_SUCH_THREAD_GROUP = 302, "Thread group does not exist", ["thread_group"];
    ER_XLOG_NOT_FOUND = 303, "xlog file not found", ["vclock"];
    ER_RECOVERY_POINT_TXN_LAST_ROW = 304, "Last row of recovery point transaction should not be local", [];
    ER_NO_SUCH_READ_VIEW = 305, "Read view was not found by id", [];
}
