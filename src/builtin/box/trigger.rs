//! Lua functions as triggers of spaces, and Lua tables that follow the schema.
//!
//! # Yields
//! when a trigger does, which aborts the transaction it runs in

use std::cell::RefCell;
use std::rc::Rc;

use super::space::{database, id};
use super::tuple::{LuaTuple, set_result};
use crate::base::error::Result;
use crate::client_error;
use crate::db::{Decision, Host, ReplaceEvent, ReplaceTrigger, Space, TriggerList};
use crate::lua::{self, Context, Kind, Module, Reference};
use crate::tuple::Tuple;
use crate::value::collation;
use crate::xrow::iproto;

thread_local! {
    /// Makes a Lua tuple of the kept result.
    static BLESS: RefCell<Option<LuaFunction>> = const { RefCell::new(None) };
    static ON_SPACE_CHANGED: RefCell<Option<Rc<LuaFunction>>> = const { RefCell::new(None) };
}

/// A Lua function kept by Rust.
pub(super) struct LuaFunction(Option<Reference>);

impl LuaFunction {
    /// Takes the function on top of the stack.
    pub(super) fn take(cx: Context<'_>) -> LuaFunction {
        LuaFunction(Some(cx.reference()))
    }

    /// Pushes it.
    pub(super) fn push(&self, cx: Context<'_>) {
        match &self.0 {
            Some(reference) => cx.push_reference(reference),
            None => cx.push_nil(),
        }
    }
}

impl Drop for LuaFunction {
    fn drop(&mut self) {
        if let Some(reference) = self.0.take() {
            lua::with_main(|cx| cx.release(reference));
        }
    }
}

/// Adds the natives.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .function("set_bless", lua_set_bless)
        .function("set_on_space_changed", lua_set_on_space_changed)
        .function("space_trigger_set", lua_space_trigger_set)
        .function("space_trigger_list", lua_space_trigger_list)
}

fn lua_set_bless(cx: Context<'_>) -> Result<usize> {
    cx.set_top(1);
    BLESS.set(Some(LuaFunction::take(cx)));
    Ok(0)
}

/// Pushes a tuple as a Lua value, nil for none.
pub(super) fn push_tuple(cx: Context<'_>, tuple: Option<&Tuple>) {
    let Some(tuple) = tuple else { return cx.push_nil() };
    BLESS.with_borrow(|bless| match bless {
        Some(bless) => bless.push(cx),
        None => cx.push_nil(),
    });
    set_result(Some(tuple.clone()));
    cx.call_through(0, 1);
}

/// A Lua function as a trigger.
struct LuaTrigger(Rc<LuaFunction>);

impl ReplaceTrigger for LuaTrigger {
    fn run(&self, event: &ReplaceEvent<'_>) -> Result<Decision> {
        let function = self.0.clone();
        lua::enter(|cx| {
            let base = cx.top();
            cx.reserve(8)?;
            function.push(cx);
            push_tuple(cx, event.old);
            push_tuple(cx, event.new);
            cx.push_bytes(event.space.name());
            cx.push_bytes(iproto::kind::name(u64::from(event.kind)).unwrap_or("UNKNOWN"));
            cx.call(4, -1)?;
            if cx.top() == base {
                return Ok(Decision::Keep);
            }
            // Nothing returned keeps the change; nil cancels it.
            if cx.is_null(base + 1) {
                return Ok(Decision::Put(None));
            }
            match LuaTuple::get(cx, base + 1) {
                Some(tuple) => {
                    let tuple = Tuple::new(event.space.format(), tuple.data())?;
                    Ok(Decision::Put(Some(tuple)))
                }
                None if cx.kind(base + 1) == Kind::Table => {
                    let data = super::argument::encode_array(cx, base + 1)?;
                    Ok(Decision::Put(Some(Tuple::new(event.space.format(), &data)?)))
                }
                None => Err(client_error!(ER_BEFORE_REPLACE_RET)),
            }
        })
    }
}

fn list(space: &Space, before: bool) -> &TriggerList {
    let triggers = space.triggers();
    if before { &triggers.before_replace } else { &triggers.on_replace }
}

/// `trigger_set(space id, before, name, function or nil)`: nil takes it away.
fn lua_space_trigger_set(cx: Context<'_>) -> Result<usize> {
    let space = database()?.schema().find(id(cx, 1)?)?;
    let triggers = list(&space, cx.boolean(2));
    let name = cx.check_text(3)?;
    if cx.is_null(4) {
        cx.push_boolean(triggers.remove(name).is_some());
        return Ok(1);
    }
    cx.push_value(4);
    let function = Rc::new(LuaFunction::take(cx));
    triggers.set(name, Rc::new(LuaTrigger(function)));
    cx.push_boolean(true);
    Ok(1)
}

/// `trigger_list(space id, before)`: names in the order they run.
fn lua_space_trigger_list(cx: Context<'_>) -> Result<usize> {
    let space = database()?.schema().find(id(cx, 1)?)?;
    let triggers = list(&space, cx.boolean(2)).list();
    cx.new_table(triggers.len(), 0);
    for (number, (name, _)) in (1..).zip(&triggers) {
        cx.push_bytes(name);
        cx.raw_set_index(-2, number);
    }
    Ok(1)
}

/// Keeps the Lua side informed.
pub(super) struct LuaHost;

impl Host for LuaHost {
    fn space_changed(&self, space_id: u32) {
        let Some(function) = ON_SPACE_CHANGED.with_borrow(Clone::clone) else { return };
        lua::enter(|cx| {
            function.push(cx);
            cx.push_integer(i64::from(space_id));
            match database().ok().and_then(|database| database.space(space_id)) {
                Some(space) => push_description(cx, &space),
                None => cx.push_nil(),
            }
            if let Err(error) = cx.call(2, 0) {
                tracing::error!(space_id, "box.space is out of date: {error}");
            }
        });
    }
}

/// `set_on_space_changed(function)`: called with (id, description or nil) from now on, and now
/// for every space there is.
fn lua_set_on_space_changed(cx: Context<'_>) -> Result<usize> {
    cx.set_top(1);
    ON_SPACE_CHANGED.set(Some(Rc::new(LuaFunction::take(cx))));
    let Ok(database) = database() else { return Ok(0) };
    for space in database.schema().spaces() {
        LuaHost.space_changed(space.id());
    }
    Ok(0)
}

fn set_text(cx: Context<'_>, name: &str, value: &str) {
    cx.push_bytes(value);
    cx.raw_set_field(-2, name);
}

fn set_number(cx: Context<'_>, name: &str, value: u32) {
    cx.push_integer(i64::from(value));
    cx.raw_set_field(-2, name);
}

fn set_flag(cx: Context<'_>, name: &str, value: bool) {
    cx.push_boolean(value);
    cx.raw_set_field(-2, name);
}

/// Pushes a table that says what the space is.
fn push_description(cx: Context<'_>, space: &Space) {
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
    super::tuple::push_format(cx, space.format());
    cx.raw_set_field(-2, "format");
    if let Some(sequence) = space.sequence() {
        set_number(cx, "sequence_id", sequence.sequence.definition().id);
        set_number(cx, "sequence_fieldno", sequence.field + 1);
    }
    cx.new_table(space.indexes().len(), 0);
    for (number, index) in (1..).zip(space.indexes()) {
        push_index_description(cx, index);
        cx.raw_set_index(-2, number);
    }
    cx.raw_set_field(-2, "indexes");
}

fn push_index_description(cx: Context<'_>, index: &crate::db::Index) {
    let definition = index.definition();
    cx.new_table(0, 8);
    set_number(cx, "id", definition.id);
    set_text(cx, "name", &definition.name);
    set_text(cx, "type", definition.kind.name());
    set_flag(cx, "unique", definition.is_unique);
    set_flag(cx, "hint", definition.hint.unwrap_or(true));
    cx.new_table(definition.key_def.parts().len(), 0);
    for (number, part) in (1..).zip(definition.key_def.parts()) {
        cx.new_table(0, 8);
        set_number(cx, "fieldno", part.field + 1);
        set_text(cx, "type", part.kind.name());
        set_flag(cx, "is_nullable", part.is_nullable());
        set_flag(cx, "exclude_null", part.exclude_null);
        set_text(cx, "sort_order", part.order.name());
        if let Some(collation) = collation::definition(part.collation) {
            set_text(cx, "collation", &collation.name);
        }
        if let Some(path) = &part.path {
            set_text(cx, "path", &path.to_string());
        }
        cx.raw_set_index(-2, number);
    }
    cx.raw_set_field(-2, "parts");
}
