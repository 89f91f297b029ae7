//! Lua functions as triggers of spaces.
//!
//! # Yields
//! when a trigger does, which aborts the transaction it runs in

use std::cell::RefCell;
use std::rc::Rc;

use super::space::{database, id};
use super::tuple::{LuaTuple, set_result};
use crate::base::error::Result;
use crate::client_error;
use crate::db::{Decision, ReplaceEvent, ReplaceTrigger, Space, TriggerList};
use crate::lua::{self, Context, Kind, Module, Reference};
use crate::tuple::Tuple;
use crate::xrow::iproto;

thread_local! {
    /// Makes a Lua tuple of the kept result.
    static BLESS: RefCell<Option<LuaFunction>> = const { RefCell::new(None) };
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
