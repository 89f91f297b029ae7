//! The versions this program gives of itself.
//!
//! Modules of the ecosystem parse `_TARANTOOL` and `box.info.version` to choose code paths, so
//! these name the Tarantool whose behaviour is offered, with our own version as the suffix.

/// Our own version.
pub const LYCOSA: &str = env!("CARGO_PKG_VERSION");

/// What `_TARANTOOL` and `box.info.version` say.
pub const TARANTOOL: &str = concat!("3.8.0-0-lycosa-", env!("CARGO_PKG_VERSION"));

/// What `box.info.package` says.
pub const PACKAGE: &str = "Lycosa";

/// Version of the schema in system spaces (`_schema` row "version").
pub const SCHEMA: [u32; 3] = [3, 8, 0];
