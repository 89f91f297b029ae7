//! Keeps `box.space`, `box.sequence` and `box.func` in step with the schema.
//!
//! The database says what changed; the Lua half (`schema/object.lua`) gets a table that describes
//! the object as it is now, or nil when it is gone.
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::rc::Rc;

use super::space::database;
use super::trigger::{LuaFunction, push_tuple};
use crate::base::error::{Error, Result, Type};
use crate::builtin::serializer::{self, Config};
use crate::db::{Host, Index, IndexKind, Space, Step};
use crate::lua::{self, Context, Kind, Module};
use crate::tuple::Tuple;
use crate::tuple::key_def::Part;
use crate::value::collation;

/// The kinds of objects that Lua follows, by their place in `FOLLOWERS`.
const SPACE: usize = 0;
const SEQUENCE: usize = 1;
const FUNCTION: usize = 2;
/// Not a kind: calls the function of a constraint.
const CONSTRAINT: usize = 3;
/// Not a kind: calls the function of a field's default.
const DEFAULT: usize = 4;

thread_local! {
    /// Functions of the Lua half: `(id, description or nil)`.
    static FOLLOWERS: RefCell<[Option<Rc<LuaFunction>>; 5]> = const { RefCell::new([const { None }; 5]) };
}

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module.function("set_followers", lua_set_followers)
}

/// `set_followers(space, sequence, function, constraint, default)`: what is called when one was
/// made, altered or dropped, and what calls the functions of constraints and defaults.
fn lua_set_followers(cx: Context<'_>) -> Result<usize> {
    for (kind, index) in (1..=5).enumerate() {
        cx.check_kind(index, Kind::Function)?;
        cx.push_value(index);
        let function = Rc::new(LuaFunction::take(cx));
        FOLLOWERS.with_borrow_mut(|followers| followers[kind] = Some(function));
    }
    Ok(0)
}

/// The host of the database.
pub(super) struct LuaHost;

impl Host for LuaHost {
    fn check_constraint(
        &self,
        function_id: u32,
        tuple: &Tuple,
        field: Option<u32>,
        name: &str,
    ) -> Result<bool> {
        let Some(check) = FOLLOWERS.with_borrow(|followers| followers[CONSTRAINT].clone()) else {
            return Ok(true);
        };
        lua::enter(|cx| {
            cx.reserve(8)?;
            check.push(cx);
            cx.push_integer(i64::from(function_id));
            push_tuple(cx, Some(tuple));
            match field {
                Some(field) => cx.push_integer(i64::from(field) + 1),
                None => cx.push_nil(),
            }
            cx.push_bytes(name);
            cx.call(4, 1)?;
            Ok(cx.boolean(-1))
        })
    }

    fn compute_default(
        &self,
        function_id: u32,
        argument: Option<&[u8]>,
        source: &Tuple,
    ) -> Result<Vec<u8>> {
        let compute = FOLLOWERS.with_borrow(|followers| followers[DEFAULT].clone());
        let mut out = Vec::new();
        let Some(compute) = compute else {
            out.push(0xc0);
            return Ok(out);
        };
        lua::enter(|cx| {
            let base = cx.top();
            cx.reserve(8)?;
            compute.push(cx);
            cx.push_integer(i64::from(function_id));
            match argument {
                Some(argument) => drop(serializer::push(cx, argument, &Config::DEFAULT)?),
                None => cx.push_nil(),
            }
            push_tuple(cx, Some(source));
            cx.call(3, -1)?;
            let count = cx.top() - base;
            if count != 1 {
                let message = format!("expected 1 return value, got {count}");
                return Err(Error::new(Type::Luajit, message));
            }
            serializer::encode(cx, base + 1, &mut out, &Config::DEFAULT)
        })?;
        Ok(out)
    }

    fn space_changed(&self, space_id: u32) {
        let space = database().ok().and_then(|database| database.space(space_id));
        tell(SPACE, space_id, |cx| match &space {
            Some(space) => push_space(cx, space),
            None => cx.push_nil(),
        });
    }

    fn sequence_changed(&self, sequence_id: u32) {
        let sequence = database().ok().and_then(|database| database.sequences().get(sequence_id));
        tell(SEQUENCE, sequence_id, |cx| match &sequence {
            Some(sequence) => super::schema::push_sequence(cx, &sequence.definition()),
            None => cx.push_nil(),
        });
    }

    fn function_changed(&self, function_id: u32) {
        let function = database().ok().and_then(|database| database.functions().get(function_id));
        tell(FUNCTION, function_id, |cx| match &function {
            Some(function) => super::schema::push_function(cx, function),
            None => cx.push_nil(),
        });
    }

    fn status_changed(&self) {
        super::ctl::status_changed();
    }

    fn access_denied(&self, access: &str, object_type: &str, object_name: &str) {
        super::session::run_on_access_denied(access, object_type, object_name);
    }

    fn starting(&self, step: Step) {
        let (event, state) = match step {
            Step::SchemaInitialized => ("box.ctl.on_schema_init", None),
            Step::SnapshotRecovered => ("box.ctl.on_recovery_state", Some("snapshot_recovered")),
            Step::LogRecovered => ("box.ctl.on_recovery_state", Some("wal_recovered")),
            Step::IndexesBuilt => ("box.ctl.on_recovery_state", Some("indexes_built")),
            Step::Synchronized => ("box.ctl.on_recovery_state", Some("synced")),
        };
        let result = lua::enter(|cx| {
            cx.get_global("require");
            cx.push_bytes("trigger");
            cx.call(1, 1)?;
            cx.get_field(-1, "call");
            cx.push_bytes(event);
            state.into_iter().for_each(|state| cx.push_bytes(state));
            cx.call(1 + i32::from(state.is_some()), 0)
        });
        if let Err(error) = result {
            tracing::error!("a trigger of {event} failed: {error}");
        }
    }
}

fn tell(kind: usize, id: u32, push: impl FnOnce(Context<'_>)) {
    let Some(follower) = FOLLOWERS.with_borrow(|followers| followers[kind].clone()) else { return };
    lua::enter(|cx| {
        follower.push(cx);
        cx.push_integer(i64::from(id));
        push(cx);
        if let Err(error) = cx.call(2, 0) {
            tracing::error!(id, "the Lua side of the schema is out of date: {error}");
        }
    });
}

pub(super) fn set_text(cx: Context<'_>, name: &str, value: &str) {
    cx.push_bytes(value);
    cx.raw_set_field(-2, name);
}

pub(super) fn set_number(cx: Context<'_>, name: &str, value: u32) {
    cx.push_integer(i64::from(value));
    cx.raw_set_field(-2, name);
}

pub(super) fn set_flag(cx: Context<'_>, name: &str, value: bool) {
    cx.push_boolean(value);
    cx.raw_set_field(-2, name);
}

/// Pushes a table that says what the space is.
fn push_space(cx: Context<'_>, space: &Space) {
    let definition = space.definition();
    cx.new_table(0, 16);
    set_number(cx, "id", space.id());
    set_text(cx, "name", space.name());
    set_text(cx, "engine", definition.engine.name());
    set_number(cx, "field_count", definition.format.field_count);
    set_flag(cx, "temporary", definition.is_temporary() || definition.is_data_temporary());
    set_text(cx, "type", definition.options.persistence.name());
    set_flag(cx, "is_local", definition.is_local());
    set_flag(cx, "is_sync", definition.options.is_sync);
    set_number(cx, "uid", definition.owner);
    push_option(cx, "constraint", definition.options.constraint.as_deref());
    push_option(cx, "foreign_key", definition.options.foreign_key.as_deref());
    super::tuple::push_format(cx, space.format());
    cx.raw_set_field(-2, "format_object");
    cx.new_table(space.indexes().len(), 0);
    for (number, index) in (1..).zip(space.indexes()) {
        push_index(cx, index, space);
        cx.raw_set_index(-2, number);
    }
    cx.raw_set_field(-2, "indexes");
}

/// Sets a field to what the MessagePack says, unless that is an empty map.
fn push_option(cx: Context<'_>, name: &str, data: Option<&[u8]>) {
    let Some(data) = data.filter(|data| data.len() > 1) else { return };
    if serializer::push(cx, data, &Config::DEFAULT).is_ok() {
        cx.raw_set_field(-2, name);
    }
}

fn push_index(cx: Context<'_>, index: &Index, space: &Space) {
    let definition = index.definition();
    cx.new_table(0, 8);
    set_number(cx, "id", definition.id);
    set_text(cx, "name", &definition.name);
    set_text(cx, "type", definition.kind.name());
    set_flag(cx, "unique", definition.is_unique);
    if definition.kind == IndexKind::Tree {
        set_flag(cx, "hint", definition.hint.unwrap_or(true));
    }
    if let Some(sequence) = space.sequence().filter(|_| definition.id == 0) {
        set_number(cx, "sequence_id", sequence.sequence.definition().id);
        set_number(cx, "sequence_fieldno", sequence.field + 1);
        set_text(cx, "sequence_path", &sequence.path);
    }
    cx.new_table(definition.key_def.parts().len(), 0);
    for (number, part) in (1..).zip(definition.key_def.parts()) {
        push_part(cx, part);
        cx.raw_set_index(-2, number);
    }
    cx.raw_set_field(-2, "parts");
    if index.vinyl().is_some() {
        let options = &definition.vinyl;
        let figures = [
            ("page_size", options.page_size as f64),
            ("range_size", options.range_size as f64),
            ("run_count_per_level", f64::from(options.run_count_per_level)),
            ("run_size_ratio", options.run_size_ratio),
            ("bloom_fpr", options.bloom_fpr),
        ];
        cx.new_table(0, 5);
        for (name, figure) in figures.into_iter().filter(|(_, figure)| *figure > 0.0) {
            cx.push_number(figure);
            cx.raw_set_field(-2, name);
        }
        cx.raw_set_field(-2, "options");
    }
}

/// Pushes a table that says what the part of a key is.
pub(super) fn push_part(cx: Context<'_>, part: &Part) {
    cx.new_table(0, 8);
    set_number(cx, "fieldno", part.field + 1);
    set_text(cx, "type", part.kind.name());
    set_flag(cx, "is_nullable", part.is_nullable());
    set_flag(cx, "exclude_null", part.exclude_null);
    set_text(cx, "sort_order", part.order.name());
    // Id 0 is the collation that does nothing, as good as none.
    if let Some(collation) = collation::definition(part.collation).filter(|it| it.id != 0) {
        set_text(cx, "collation", &collation.name);
    }
    if let Some(path) = &part.path {
        set_text(cx, "path", path.text());
    }
}
