//! The numbers of the binary protocol: request types, keys of headers and bodies, flags.
//!
//! The same numbers stand in log files, on the wire and in replication, so they can never change.
//!
//! # Yields
//! never

/// The kind of MessagePack value that a key carries; other kinds make the packet invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// An unsigned integer.
    Uint,
    /// A string.
    Str,
    /// An array.
    Array,
    /// A map.
    Map,
    /// A boolean.
    Bool,
    /// A 64-bit floating point number.
    Double,
    /// Anything: the reader of the key decides.
    Any,
    /// An extension.
    Ext,
}

impl Expected {
    /// Whether a value that starts with this byte is of the kind.
    #[inline]
    pub fn accepts(self, first_byte: u8) -> bool {
        match self {
            Expected::Uint => matches!(first_byte, 0x00..=0x7f | 0xcc..=0xcf),
            Expected::Str => matches!(first_byte, 0xa0..=0xbf | 0xd9..=0xdb),
            Expected::Array => matches!(first_byte, 0x90..=0x9f | 0xdc | 0xdd),
            Expected::Map => matches!(first_byte, 0x80..=0x8f | 0xde | 0xdf),
            Expected::Bool => matches!(first_byte, 0xc2 | 0xc3),
            Expected::Double => first_byte == 0xcb,
            Expected::Any => true,
            Expected::Ext => matches!(first_byte, 0xc7..=0xc9 | 0xd4..=0xd8),
        }
    }
}

macro_rules! keys {
    ($($name:ident = $number:literal, $expected:ident;)*) => {
        $(
            #[doc = concat!("Key `IPROTO_", stringify!($name), "`.")]
            pub const $name: u8 = $number;
        )*

        /// The name of a key in upper case, `None` for a number that is not in use.
        pub fn name(key: u64) -> Option<&'static str> {
            match key {
                $($number => Some(stringify!($name)),)*
                _ => None,
            }
        }

        /// The kind of value that a key carries; unknown keys carry anything.
        #[inline]
        pub fn expected(key: u64) -> super::Expected {
            match key {
                $($number => super::Expected::$expected,)*
                _ => super::Expected::Any,
            }
        }
    };
}

/// Keys of packet headers and bodies.
pub mod key {
    keys! {
        REQUEST_TYPE = 0x00, Uint;
        SYNC = 0x01, Uint;
        REPLICA_ID = 0x02, Uint;
        LSN = 0x03, Uint;
        TIMESTAMP = 0x04, Double;
        SCHEMA_VERSION = 0x05, Uint;
        SERVER_VERSION = 0x06, Uint;
        GROUP_ID = 0x07, Uint;
        TSN = 0x08, Uint;
        FLAGS = 0x09, Uint;
        STREAM_ID = 0x0a, Uint;
        THREAD_ID = 0x0b, Uint;
        SPACE_ID = 0x10, Uint;
        INDEX_ID = 0x11, Uint;
        LIMIT = 0x12, Uint;
        OFFSET = 0x13, Uint;
        ITERATOR = 0x14, Uint;
        INDEX_BASE = 0x15, Uint;
        FETCH_POSITION = 0x1f, Bool;
        KEY = 0x20, Array;
        TUPLE = 0x21, Array;
        FUNCTION_NAME = 0x22, Str;
        USER_NAME = 0x23, Str;
        INSTANCE_UUID = 0x24, Str;
        REPLICASET_UUID = 0x25, Str;
        VCLOCK = 0x26, Map;
        EXPR = 0x27, Str;
        OPS = 0x28, Array;
        BALLOT = 0x29, Map;
        TUPLE_META = 0x2a, Map;
        OPTIONS = 0x2b, Map;
        OLD_TUPLE = 0x2c, Array;
        NEW_TUPLE = 0x2d, Array;
        AFTER_POSITION = 0x2e, Str;
        AFTER_TUPLE = 0x2f, Array;
        DATA = 0x30, Array;
        ERROR_24 = 0x31, Str;
        METADATA = 0x32, Array;
        BIND_METADATA = 0x33, Array;
        BIND_COUNT = 0x34, Uint;
        POSITION = 0x35, Str;
        ARROW = 0x36, Ext;
        BEGIN_KEY = 0x37, Array;
        END_KEY = 0x38, Array;
        SQL_TEXT = 0x40, Str;
        SQL_BIND = 0x41, Array;
        SQL_INFO = 0x42, Map;
        STMT_ID = 0x43, Uint;
        REPLICA_ANON = 0x50, Bool;
        ID_FILTER = 0x51, Array;
        ERROR = 0x52, Map;
        TERM = 0x53, Uint;
        VERSION = 0x54, Uint;
        FEATURES = 0x55, Array;
        TIMEOUT = 0x56, Double;
        EVENT_KEY = 0x57, Str;
        EVENT_DATA = 0x58, Any;
        TXN_ISOLATION = 0x59, Uint;
        VCLOCK_SYNC = 0x5a, Uint;
        AUTH_TYPE = 0x5b, Str;
        REPLICASET_NAME = 0x5c, Str;
        INSTANCE_NAME = 0x5d, Str;
        SPACE_NAME = 0x5e, Str;
        INDEX_NAME = 0x5f, Str;
        TUPLE_FORMATS = 0x60, Map;
        IS_SYNC = 0x61, Bool;
        IS_CHECKPOINT_JOIN = 0x62, Bool;
        CHECKPOINT_VCLOCK = 0x63, Map;
        CHECKPOINT_LSN = 0x64, Uint;
    }
}

/// Keys of a column's metadata in a reply to an SQL statement.
pub mod metadata_key {
    keys! {
        NAME = 0, Str;
        TYPE = 1, Str;
        COLL = 2, Str;
        IS_NULLABLE = 3, Any;
        IS_AUTOINCREMENT = 4, Any;
        SPAN = 5, Any;
    }
}

/// Keys of a ballot, the answer to `VOTE`.
pub mod ballot_key {
    keys! {
        IS_RO_CFG = 0x01, Bool;
        VCLOCK = 0x02, Map;
        GC_VCLOCK = 0x03, Map;
        IS_RO = 0x04, Bool;
        IS_ANON = 0x05, Bool;
        IS_BOOTED = 0x06, Bool;
        CAN_LEAD = 0x07, Bool;
        BOOTSTRAP_LEADER_UUID = 0x08, Str;
        REGISTERED_REPLICA_UUIDS = 0x09, Array;
        INSTANCE_NAME = 0x0a, Str;
    }
}

/// Keys of a `RAFT` row's body.
pub mod raft_key {
    keys! {
        TERM = 0, Uint;
        VOTE = 1, Uint;
        STATE = 2, Uint;
        VCLOCK = 3, Map;
        LEADER_ID = 4, Uint;
        IS_LEADER_SEEN = 5, Bool;
    }
}

macro_rules! types {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        $(
            #[doc = concat!("Request type `IPROTO_", stringify!($name), "`.")]
            pub const $name: u16 = $number;
        )*

        /// The name of a type in upper case, `None` for a number that is not in use.
        pub fn name(kind: u64) -> Option<&'static str> {
            match kind {
                $($number => Some($text),)*
                _ => None,
            }
        }
    };
}

/// Types of requests, responses and log rows.
pub mod kind {
    types! {
        OK = 0, "OK";
        SELECT = 1, "SELECT";
        INSERT = 2, "INSERT";
        REPLACE = 3, "REPLACE";
        UPDATE = 4, "UPDATE";
        DELETE = 5, "DELETE";
        CALL_16 = 6, "CALL_16";
        AUTH = 7, "AUTH";
        EVAL = 8, "EVAL";
        UPSERT = 9, "UPSERT";
        CALL = 10, "CALL";
        EXECUTE = 11, "EXECUTE";
        NOP = 12, "NOP";
        PREPARE = 13, "PREPARE";
        BEGIN = 14, "BEGIN";
        COMMIT = 15, "COMMIT";
        ROLLBACK = 16, "ROLLBACK";
        INSERT_ARROW = 17, "INSERT_ARROW";
        DELETE_RANGE = 18, "DELETE_RANGE";
        RAFT = 30, "RAFT";
        RAFT_PROMOTE = 31, "RAFT_PROMOTE";
        RAFT_DEMOTE = 32, "RAFT_DEMOTE";
        RAFT_CONFIRM = 40, "RAFT_CONFIRM";
        RAFT_ROLLBACK = 41, "RAFT_ROLLBACK";
        PING = 64, "PING";
        JOIN = 65, "JOIN";
        SUBSCRIBE = 66, "SUBSCRIBE";
        VOTE_DEPRECATED = 67, "VOTE_DEPRECATED";
        VOTE = 68, "VOTE";
        FETCH_SNAPSHOT = 69, "FETCH_SNAPSHOT";
        REGISTER = 70, "REGISTER";
        JOIN_META = 71, "JOIN_META";
        JOIN_SNAPSHOT = 72, "JOIN_SNAPSHOT";
        ID = 73, "ID";
        WATCH = 74, "WATCH";
        UNWATCH = 75, "UNWATCH";
        EVENT = 76, "EVENT";
        WATCH_ONCE = 77, "WATCH_ONCE";
        VY_RUN_INFO = 100, "RUNINFO";
        VY_PAGE_INFO = 101, "PAGEINFO";
        VY_ROW_INDEX = 102, "ROWINDEX";
        CHUNK = 128, "CHUNK";
    }

    /// Set in the type of a response that carries an error; the low bits are its code.
    pub const ERROR: u32 = 1 << 15;

    /// Whether the type changes or reads data in a space, or takes the place of such a row.
    pub fn is_dml(kind: u16) -> bool {
        matches!(kind, SELECT..=DELETE | UPSERT | NOP | INSERT_ARROW | DELETE_RANGE)
    }

    /// Whether the type drives synchronous replication.
    pub fn is_synchro(kind: u16) -> bool {
        matches!(kind, RAFT_PROMOTE | RAFT_DEMOTE | RAFT_CONFIRM | RAFT_ROLLBACK)
    }
}

/// Flags of a row, kept in its last row for a transaction.
pub mod flag {
    /// The last row of a transaction.
    pub const COMMIT: u8 = 1;
    /// The last row of a transaction that waits in the queue of synchronous transactions.
    pub const WAIT_SYNC: u8 = 2;
    /// The last row of a synchronous transaction.
    pub const WAIT_ACK: u8 = 4;
}

/// Changes replicated to the whole replica set.
pub const GROUP_DEFAULT: u32 = 0;
/// Changes of local spaces, which stay on the instance.
pub const GROUP_LOCAL: u32 = 1;

/// Largest body of a packet and of a log block.
pub const BODY_SIZE_MAX: u64 = 2_147_483_648;
