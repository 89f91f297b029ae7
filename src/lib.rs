//! Lycosa: a Lua-scriptable in-memory application server.
//!
//! Folders, lowest first; each imports only what stands below it (`tests/architecture.rs` reads
//! the table in `docs/ARCHITECTURE.md` and fails on any other import):
//! `base`; `value`, `config`, `fiber`; `tuple`, `xrow`, `lua`; `wal`, `memtx`, `vinyl`; `db`;
//! `net`; `builtin`; `server`.

pub mod base;
pub mod builtin;
pub mod config;
pub mod db;
pub mod fiber;
pub mod lua;
pub mod memtx;
pub mod net;
pub mod server;
pub mod tuple;
pub mod value;
pub mod vinyl;
pub mod wal;
pub mod xrow;
