//! Configuration: Tarantool 3's YAML, environment variables and defaults, made into one checked
//! set of options for one instance.
//!
//! The way of an option: [`yaml`] reads the text of a file into a [`Value`] tree; `validate`
//! checks it against the [`schema`]; `cluster` applies conditional sections, joins the scopes
//! (global, group, replica set, instance) and checks what concerns several instances;
//! [`variable`] reads `TT_*` environment variables; `merge` lets the sources override each
//! other, fills in defaults and puts values in the place of `{{ variables }}`. The result is a
//! [`Configuration`], which answers questions and never changes: a reload makes a new one and
//! [`Configuration::difference`] says what of it can be applied live.
//!
//! Priority, highest first: `TT_X`, the file, `TT_X_DEFAULT`, the default of the schema.
//!
//! # Invariants
//! - Text of any kind ends in a configuration or in [`Problems`]; nothing here panics.
//! - No I/O: files and variables come through [`World`], which the server implements.
//!
//! # Yields
//! never

mod cluster;
mod credentials;
mod difference;
mod expression;
mod instance;
mod jsonschema;
mod load;
mod merge;
mod problem;
pub mod schema;
mod topology;
mod unit;
mod validate;
mod value;
pub mod variable;
pub mod yaml;

pub use cluster::{Names, instances, tarantool_version};
pub use credentials::{Credentials, Grantee, Privilege};
pub use difference::{BoxCfgChanges, Change, Difference};
pub use expression::evaluate as evaluate_version_predicate;
pub use instance::{AdvertiseType, Configuration, UriOptions};
pub use jsonschema::{BYTES_PATTERN, SECONDS_PATTERN, jsonschema};
pub use load::{World, instance_names, load, load_cluster};
pub use problem::{Position, Problem, Problems, Step, path_text};
#[cfg(test)]
mod tests;

pub use unit::{parse_byte_size, parse_duration};
pub use value::{Map, Value, number_text};
