//! `_session_settings`: options of a session as rows.
//!
//! Settings that only SQL reads are kept so that clients may set them.
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::base::error::Result;
use crate::client_error;
use crate::memtx::IteratorType;
use crate::tuple::Tuple;
use crate::value::mp::{Kind, Reader, write_array_len, write_bool, write_str};
use crate::xrow::Request;
use crate::xrow::iproto::kind;

use super::context;
use super::database::Database;
use super::iterator::{SelectOptions, Selection, key_parts};
use super::space::Space;

/// The settings by name with their defaults.
const SETTINGS: [(&str, Default); 9] = [
    ("error_marshaling_enabled", Default::Flag(false)),
    ("sql_default_engine", Default::Text("memtx")),
    ("sql_full_column_names", Default::Flag(false)),
    ("sql_full_metadata", Default::Flag(false)),
    ("sql_parser_debug", Default::Flag(false)),
    ("sql_recursive_triggers", Default::Flag(true)),
    ("sql_reverse_unordered_selects", Default::Flag(false)),
    ("sql_select_debug", Default::Flag(false)),
    ("sql_seq_scan", Default::Flag(true)),
];

#[derive(Clone, Copy)]
enum Default {
    Flag(bool),
    Text(&'static str),
}

/// What one session has set: what differs from the defaults, as MessagePack.
#[derive(Default)]
pub struct SessionSettings(RefCell<BTreeMap<&'static str, Vec<u8>>>);

/// The settings of the session that the running fiber works for.
pub fn current() -> Rc<SessionSettings> {
    context::current().settings()
}

/// Has the running fiber work for the session with these settings.
pub fn set_current(settings: Rc<SessionSettings>) {
    context::current().set_settings(settings);
}

fn row(name: &'static str, default: Default) -> Result<Tuple> {
    let mut row = Vec::new();
    write_array_len(&mut row, 2);
    write_str(&mut row, name.as_bytes());
    let changed = current().0.borrow().get(name).cloned();
    match (changed, default) {
        (Some(value), _) => row.extend_from_slice(&value),
        (None, Default::Flag(flag)) => write_bool(&mut row, flag),
        (None, Default::Text(text)) => write_str(&mut row, text.as_bytes()),
    }
    Tuple::new_runtime(&row)
}

impl Database {
    /// The setting with this name (the key's one part).
    pub(crate) fn session_setting(&self, parts: &[u8]) -> Result<Option<Tuple>> {
        let name = Reader::new(parts).read_str().unwrap_or_default();
        let known = SETTINGS.iter().find(|(known, _)| known.as_bytes() == name);
        known.map(|(name, default)| row(name, *default)).transpose()
    }

    /// The settings for an iterator and key.
    pub(crate) fn select_session_settings(
        &self,
        parts: &[u8],
        count: usize,
        options: &SelectOptions<'_>,
    ) -> Result<Selection> {
        use IteratorType::{All, Eq, Ge, Gt, Le, Lt, Req};
        let key = Reader::new(parts).read_str().filter(|_| count > 0);
        let matches = |name: &str| match (key, options.iterator) {
            (None, _) | (_, All) => true,
            (Some(key), Eq | Req) => name.as_bytes() == key,
            (Some(key), Ge) => name.as_bytes() >= key,
            (Some(key), Gt) => name.as_bytes() > key,
            (Some(key), Le) => name.as_bytes() <= key,
            (Some(key), Lt) => name.as_bytes() < key,
            _ => false,
        };
        let mut found: Vec<(&str, Default)> =
            SETTINGS.iter().copied().filter(|(name, _)| matches(name)).collect();
        if options.iterator.is_reverse() {
            found.reverse();
        }
        let bound = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let page = found.into_iter().skip(bound(options.offset)).take(bound(options.limit));
        let tuples = page.map(|(name, default)| row(name, default)).collect::<Result<Vec<_>>>()?;
        Ok(Selection { tuples, position: None })
    }

    /// Changes a setting: only updates of the value are possible.
    pub(crate) fn session_settings_write(
        &self,
        space: &Space,
        request: &Request<'_>,
    ) -> Result<Option<Tuple>> {
        let operation = match request.kind {
            kind::UPDATE => return self.update_session_setting(request),
            kind::INSERT | kind::REPLACE => "replace()",
            kind::DELETE => "delete()",
            _ => "upsert()",
        };
        let what = format!("Session_settings space '{}'", space.name());
        Err(client_error!(ER_UNSUPPORTED, what, operation))
    }

    fn update_session_setting(&self, request: &Request<'_>) -> Result<Option<Tuple>> {
        let missing = |field: &str| client_error!(ER_MISSING_REQUEST_FIELD, field);
        let (parts, _) = key_parts(request.key.ok_or_else(|| missing("KEY"))?)?;
        let Some(old) = self.session_setting(parts)? else { return Ok(None) };
        let operations = request.tuple.ok_or_else(|| missing("TUPLE"))?;
        let base = request.index_base;
        let data = crate::tuple::update::update(&old, operations, old.format(), base)?;
        let mut reader = Reader::new(&data);
        reader.read_array_len();
        let name = reader.read_str().unwrap_or_default();
        let known = SETTINGS.iter().find(|(known, _)| known.as_bytes() == name);
        let Some((name, default)) = known else {
            return Err(client_error!(ER_CANT_UPDATE_PRIMARY_KEY, "_session_settings"));
        };
        let (expected, kind) = match default {
            Default::Flag(_) => ("boolean", Kind::Bool),
            Default::Text(_) => ("string", Kind::Str),
        };
        if reader.kind() != Some(kind) {
            return Err(client_error!(ER_SESSION_SETTING_INVALID_VALUE, *name, expected));
        }
        let value = reader.rest().to_vec();
        current().0.borrow_mut().insert(name, value);
        row(name, *default).map(Some)
    }
}
