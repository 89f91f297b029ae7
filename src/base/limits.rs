//! The bound of every queue, buffer, connection and loop, in one place. A bound that users may
//! set is named with its default; the option is named in its line.

/// Most fields of a tuple (`box.schema.FIELD_MAX`).
pub const FIELD_COUNT_MAX: u32 = i32::MAX as u32;
/// Tuples that an alteration of a space reads before it lets other fibers run.
pub const DDL_ROWS_PER_STEP: u64 = 1000;
/// Most tuples of a space that is altered without letting other fibers run.
pub const DDL_ROWS_AT_ONCE: u64 = 10_000;
/// Highest space id plus one.
pub const SPACE_ID_MAX: u32 = i32::MAX as u32;
/// Most indexes of one space.
pub const INDEX_COUNT_MAX: u32 = 128;
/// Most parts of one key.
pub const KEY_PART_COUNT_MAX: u32 = 255;
/// Longest identifier of a schema object, in bytes.
pub const NAME_SIZE_MAX: usize = 65000;
/// Most names whose failed log-ins are remembered.
pub const LOGIN_FAILURE_COUNT_MAX: usize = 10_000;
/// Most users and roles.
pub const USER_COUNT_MAX: u32 = 32;
/// Most operations of one update.
pub const UPDATE_OPERATION_COUNT_MAX: usize = 4000;
/// Deepest nesting of statements (triggers that write).
pub const SUB_STATEMENT_DEPTH_MAX: usize = 4;
/// Deepest nesting of a MessagePack, JSON or YAML value that is read.
pub const NESTING_MAX: usize = 1000;
/// Most replicas of one replica set (component count of a vclock).
pub const REPLICA_COUNT_MAX: u32 = 32;

/// Address space of a fiber's stack, in bytes; pages are used as they are touched.
pub const FIBER_STACK_SIZE: usize = 1024 * 1024;
/// Most unused fiber stacks kept for reuse.
pub const FIBER_STACK_POOL_MAX: usize = 1024;
/// Threads of the blocking pool (`fio`, `getaddrinfo`).
pub const BLOCKING_THREAD_COUNT_MAX: usize = 16;
/// Largest block of a log or snapshot file once it is unpacked, in bytes.
pub const LOG_BLOCK_SIZE_MAX: usize = 2 << 30;
/// Longest wait of `lycosa start` for an instance to answer on its console.
pub const START_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(60);
/// Longest wait of `lycosa stop` for an instance to end.
pub const STOP_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(60);
/// Bytes of log messages that wait for a destination; more are dropped.
pub const LOG_QUEUE_SIZE_MAX: usize = 8 * 1024 * 1024;
/// Longest command of a text console, in bytes.
pub const CONSOLE_COMMAND_SIZE_MAX: usize = 64 * 1024 * 1024;
/// Most statements in the history of the interactive console.
pub const CONSOLE_HISTORY_COUNT_MAX: usize = 5000;
/// Largest packet of the binary protocol, in bytes.
pub const IPROTO_PACKET_SIZE_MAX: u64 = 2 << 30;
/// Bytes of replies that wait for a client of the binary protocol before it is read no further.
pub const IPROTO_OUTPUT_SIZE_MAX: usize = 4 * 1024 * 1024;
/// Most connections of the binary protocol; more wait to be accepted.
pub const IPROTO_CONNECTION_COUNT_MAX: usize = 65_000;
/// Most keys that one connection of the binary protocol watches.
pub const IPROTO_WATCHED_KEY_COUNT_MAX: usize = 10_000;
/// Most streams of one connection of the binary protocol that are in use at a time.
pub const IPROTO_STREAM_COUNT_MAX: usize = 100_000;
/// Most fibers that wait for requests of the binary protocol.
pub const IPROTO_IDLE_FIBER_COUNT_MAX: usize = 64;
/// Longest wait for a client to agree on keys with us.
pub const TLS_HANDSHAKE_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(30);
/// Most threads that serve sockets of the binary protocol, as in Tarantool.
pub const IPROTO_THREAD_COUNT_MAX: usize = 1000;
/// Most messages of one kind that clients can cause in [`REPEATED_MESSAGE_INTERVAL`]; the rest are
/// counted.
pub const REPEATED_MESSAGE_COUNT_MAX: u64 = 10;
/// See [`REPEATED_MESSAGE_COUNT_MAX`].
pub const REPEATED_MESSAGE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);
