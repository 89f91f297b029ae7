//! Serializer instances as Lua sees them: a table of functions bound to one [`Config`], with the
//! table `cfg` that shows the options and, called, changes them.
//!
//! The list of `encode_key_order` is no part of the [`Config`], which is copied for each call: it is
//! the environment of the userdata that holds the options.
//!
//! # Yields
//! never

use std::cell::Cell;

use crate::base::error::Result;
use crate::lua::{Context, Function, Kind, push_bound_function};

use super::hooks;
use super::{Config, OPTIONS, OptionKind};

thread_local! {
    /// The options of the instance that `require('msgpack')` is, and where they stand.
    static MSGPACK: Cell<(usize, Config)> = const { Cell::new((0, Config::DEFAULT)) };
}

/// The options of `require('msgpack')`, which requests and replies follow, too.
pub fn msgpack_config() -> Config {
    MSGPACK.get().1
}

/// An instance under construction; its table stays on the stack.
pub struct Instance<'a> {
    cx: Context<'a>,
    table: i32,
    bound: i32,
}

impl<'a> Instance<'a> {
    /// Pushes a table with `cfg`, `NULL`, `array_mt` and `map_mt`.
    pub fn new(cx: Context<'a>, config: Config) -> Instance<'a> {
        cx.new_table(0, 12);
        let table = cx.top();
        cx.new_userdata(config);
        let bound = cx.top();
        cx.new_table(0, 0);
        cx.set_environment(bound);
        push_cfg(cx, config, bound);
        cx.raw_set_field(table, "cfg");
        cx.push_null();
        cx.raw_set_field(table, "NULL");
        hooks::push_array_hint(cx);
        cx.raw_set_field(table, "array_mt");
        hooks::push_map_hint(cx);
        cx.raw_set_field(table, "map_mt");
        Instance { cx, table, bound }
    }

    /// Adds a function, which finds its options by [`config`].
    pub fn function<F: Function>(self, name: &str, function: F) -> Self {
        self.cx.push_value(self.bound);
        push_bound_function(self.cx, function);
        self.cx.raw_set_field(self.table, name);
        self
    }

    /// Has [`msgpack_config`] follow its options.
    pub fn share(self) -> Self {
        MSGPACK.set((self.cx.userdata(self.bound) as usize, config_at(self.cx, self.bound)));
        self
    }

    /// Leaves the table alone on top.
    pub fn finish(self) {
        self.cx.set_top(self.table);
    }
}

fn push_cfg(cx: Context<'_>, mut config: Config, bound: i32) {
    cx.new_table(0, OPTIONS.len());
    for (name, kind) in OPTIONS {
        match kind {
            OptionKind::Boolean(field) => cx.push_boolean(*field(&mut config)),
            OptionKind::Number(field) => cx.push_integer(i64::from(*field(&mut config))),
            OptionKind::KeyOrder => cx.push_nil(),
        }
        cx.raw_set_field(-2, name);
    }
    cx.new_table(0, 1);
    cx.push_value(bound);
    push_bound_function(cx, lua_serializer_cfg);
    cx.raw_set_field(-2, "__call");
    cx.set_metatable(-2);
}

/// The options of the running function's instance. A copy: what is encoded may call Lua code
/// that changes them.
pub fn config(cx: Context<'_>) -> Config {
    config_at(cx, cx.bound())
}

fn config_at(cx: Context<'_>, bound: i32) -> Config {
    let address = cx.userdata(bound).cast::<Config>();
    // SAFETY: every function of an instance is bound to its options, which nothing borrows.
    unsafe { address.read() }
}

/// The options for one call: those of the instance, changed by a table at `index` if there is one.
pub fn call_config(cx: Context<'_>, index: i32) -> Result<Config> {
    let mut config = config(cx);
    if cx.top() >= index {
        cx.check_kind(index, Kind::Table)?;
        read_options(cx, index, &mut config, |_| {});
    }
    Ok(config)
}

fn read_options(cx: Context<'_>, table: i32, config: &mut Config, seen: impl Fn(&'static str)) {
    for (name, kind) in OPTIONS {
        if cx.raw_get_field(table, name) != Kind::Nil {
            match kind {
                OptionKind::Boolean(field) => *field(config) = cx.boolean(-1),
                OptionKind::Number(field) => {
                    *field(config) = cx.number(-1).map_or(0, |number| number as u32);
                }
                OptionKind::KeyOrder => {}
            }
            seen(name);
        }
        cx.pop(1);
    }
}

/// Pushes what encoding needs of a list of keys: the strings among them in their order, and each
/// as a key as well. A number stands for its text.
fn push_key_order(cx: Context<'_>, list: i32) {
    let list = cx.absolute(list);
    cx.new_table(0, 0);
    if cx.kind(list) != Kind::Table {
        return;
    }
    let order = cx.top();
    let mut count = 0;
    for number in (1..).take(cx.raw_len(list)) {
        cx.raw_get_index(list, number);
        if cx.kind(-1) == Kind::Number {
            let text = cx.to_text(-1).unwrap_or_default();
            cx.push_bytes(text);
        }
        if let Some(key) = cx.bytes(-1) {
            cx.push_bytes(key);
            cx.push_value(-1);
            cx.raw_get(order);
            if cx.is_nil(-1) {
                count += 1;
                cx.push_value(-2);
                cx.raw_set_index(order, count);
                cx.push_value(-2);
                cx.push_boolean(true);
                cx.raw_set(order);
            }
        }
        cx.set_top(order);
    }
}

/// Pushes the keys that maps begin with, in this call with options at `index` or none; `None` (and
/// nothing pushed): there are none. At 1, 2 … stand the keys; and each is a key itself.
pub fn key_order(cx: Context<'_>, index: i32) -> Option<i32> {
    if cx.kind(index) == Kind::Table && cx.raw_get_field(index, "encode_key_order") != Kind::Nil {
        push_key_order(cx, -1);
        cx.remove(-2);
    } else {
        cx.set_top(cx.top().min(index));
        cx.environment(cx.bound());
    }
    if cx.raw_len(-1) == 0 {
        cx.pop(1);
        return None;
    }
    Some(cx.top())
}

/// `cfg(options)`: changes the instance's options and shows them in the table.
fn lua_serializer_cfg(cx: Context<'_>) -> Result<usize> {
    cx.check_kind(1, Kind::Table)?;
    cx.check_kind(2, Kind::Table)?;
    let mut changed = config(cx);
    read_options(cx, 2, &mut changed, |name| {
        cx.push_value(-1);
        cx.raw_set_field(1, name);
    });
    if cx.raw_get_field(2, "encode_key_order") != Kind::Nil {
        push_key_order(cx, -1);
        cx.set_environment(cx.bound());
    }
    let address = cx.userdata(cx.bound()).cast::<Config>();
    // SAFETY: as in `config`; nothing reads it meanwhile.
    unsafe { address.write(changed) };
    if MSGPACK.get().0 == address as usize {
        MSGPACK.set((address as usize, changed));
    }
    Ok(0)
}
