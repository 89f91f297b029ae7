//! Lua values as data: what every format (MessagePack, JSON, YAML) shares, and MessagePack.
//!
//! [`inspect`] classifies one Lua value under a [`Config`]: it resolves `__serialize`, tells
//! arrays from maps, and knows 64-bit integers and registered C types. JSON and YAML write what it
//! finds. MessagePack, which tuples are made of, has its own faster path with the same rules:
//! [`encode`] walks a table once, writing optimistically, and only a table that turns out to be
//! neither a plain array nor a plain map is inspected in full.
//!
//! # Yields
//! only when a `__serialize` function does

mod config;
mod decode;
mod encode;
mod field;
mod hooks;
mod instance;

pub use config::{Config, OPTIONS, OptionKind};
pub use decode::{push, push_next};
pub use encode::encode;
pub use field::{Field, inspect};
pub use field::{failure, too_deep};
pub use hooks::{
    CdataCodec, codec, prepare, push_array_hint, push_binary, push_map_hint, register_binary,
    register_cdata, register_error, register_ext,
};
pub use instance::{Instance, call_config, config, key_order, msgpack_config};
