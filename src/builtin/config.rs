//! Native half of `config`: gives the configuration of the instance to Lua.
//!
//! The server installs a loader that reads the sources; this module keeps what it gave. A reload
//! first makes a candidate, so that a broken file leaves the applied configuration untouched, and
//! the Lua half takes it over when everything is applied.
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::error::{Error, Result};
use crate::config::{
    self, AdvertiseType, Configuration, Map, Names, Problems, UriOptions, Value, jsonschema,
};
use crate::lua::{self, Context, Kind, Module};

/// Reads the sources anew.
pub type Loader = Rc<dyn Fn() -> Result<Configuration, Problems>>;

#[derive(Default)]
struct State {
    loader: Option<Loader>,
    /// What `box.cfg` was called with first; options that need a restart still have these values.
    started: Option<Rc<Configuration>>,
    applied: Option<Rc<Configuration>>,
    candidate: Option<Rc<Configuration>>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Says how the configuration is read; the server does it before Lua starts.
pub fn set_loader(loader: Loader) {
    STATE.with_borrow_mut(|state| state.loader = Some(loader));
}

/// The configuration in force.
pub fn applied() -> Option<Rc<Configuration>> {
    STATE.with_borrow(|state| state.applied.clone())
}

/// Pushes the table of native functions.
pub(super) fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("load", lua_config_load)
        .function("commit", lua_config_commit)
        .function("get", lua_config_get)
        .function("get_candidate", lua_config_get_candidate)
        .function("is_given", lua_config_is_given)
        .function("names", lua_config_names)
        .function("peers", lua_config_peers)
        .function("instances", lua_config_instances)
        .function("box_cfg", lua_config_box_cfg)
        .function("credentials", lua_config_credentials)
        .function("make_folders", lua_config_make_folders)
        .function("set_lua_memory", lua_config_set_lua_memory)
        .function("instance_uri", lua_config_instance_uri)
        .function("cluster_config", lua_config_cluster_config)
        .function("masked", lua_config_masked)
        .function("jsonschema", lua_config_jsonschema)
        .function("evaluate", lua_config_evaluate);
    Ok(())
}

/// What is in force; at the first start the candidate, so that early code can ask.
fn in_force() -> Result<Rc<Configuration>> {
    STATE
        .with_borrow(|state| state.applied.clone().or_else(|| state.candidate.clone()))
        .ok_or_else(no_configuration)
}

/// What is being applied, else what is in force.
fn candidate() -> Result<Rc<Configuration>> {
    STATE
        .with_borrow(|state| state.candidate.clone().or_else(|| state.applied.clone()))
        .ok_or_else(no_configuration)
}

fn no_configuration() -> Error {
    Error::illegal_params("no instance config available yet")
}

/// Reads the sources into a candidate. Nothing on success, else the text of what is wrong.
fn lua_config_load(cx: Context<'_>) -> Result<usize> {
    let Some(loader) = STATE.with_borrow(|state| state.loader.clone()) else {
        return Err(Error::illegal_params("the instance was started without a configuration"));
    };
    match loader() {
        Ok(configuration) => {
            STATE.with_borrow_mut(|state| state.candidate = Some(Rc::new(configuration)));
            Ok(0)
        }
        Err(problems) => {
            STATE.with_borrow_mut(|state| state.candidate = None);
            cx.push_bytes(problems.to_string());
            Ok(1)
        }
    }
}

/// `commit(true)` puts the candidate into force, `commit(false)` drops it.
fn lua_config_commit(cx: Context<'_>) -> Result<usize> {
    let takes_over = cx.boolean(1);
    STATE.with_borrow_mut(|state| {
        let candidate = state.candidate.take();
        if takes_over && let Some(candidate) = candidate {
            state.started.get_or_insert_with(|| Rc::clone(&candidate));
            state.applied = Some(candidate);
        }
    });
    Ok(0)
}

/// `get(path, instance)`: the path is text with dots, a list of keys, or nil.
fn lua_config_get(cx: Context<'_>) -> Result<usize> {
    push_option(cx, &*in_force()?)
}

/// The same of what is being applied.
fn lua_config_get_candidate(cx: Context<'_>) -> Result<usize> {
    push_option(cx, &*candidate()?)
}

/// `is_given(path)`: whether the candidate configures it.
fn lua_config_is_given(cx: Context<'_>) -> Result<usize> {
    let path = cx.check_text(1)?;
    cx.push_boolean(candidate()?.is_given(path));
    Ok(1)
}

fn push_option(cx: Context<'_>, configuration: &Configuration) -> Result<usize> {
    let instance = cx.text(2);
    let found = match cx.kind(1) {
        Kind::Table => {
            let mut keys = Vec::new();
            for index in 1..=cx.raw_len(1) {
                cx.raw_get_index(1, i32::try_from(index).unwrap_or(i32::MAX));
                keys.push(cx.check_text(-1)?);
            }
            configuration.get_by_keys(&keys, instance)
        }
        Kind::Nil => configuration.get("", instance),
        _ => configuration.get(cx.check_text(1)?, instance),
    };
    match found.map_err(Error::illegal_params)? {
        Some(value) => push(cx, value)?,
        None => cx.push_nil(),
    }
    Ok(1)
}

fn lua_config_names(cx: Context<'_>) -> Result<usize> {
    let configuration = in_force()?;
    push_names(cx, configuration.names());
    let uuids = [
        ("instance_uuid", configuration.instance_uuid()),
        ("replicaset_uuid", configuration.replicaset_uuid()),
    ];
    for (field, uuid) in uuids {
        if let Some(uuid) = uuid {
            cx.push_bytes(uuid);
            cx.raw_set_field(-2, field);
        }
    }
    Ok(1)
}

fn push_names(cx: Context<'_>, names: &Names) {
    cx.new_table(0, 5);
    let fields = [
        ("instance_name", &names.instance),
        ("replicaset_name", &names.replicaset),
        ("group_name", &names.group),
    ];
    for (field, name) in fields {
        cx.push_bytes(name);
        cx.raw_set_field(-2, field);
    }
}

fn lua_config_peers(cx: Context<'_>) -> Result<usize> {
    let configuration = in_force()?;
    push(
        cx,
        &Value::Array(configuration.peers().iter().map(|name| name.as_str().into()).collect()),
    )?;
    Ok(1)
}

/// A table of names by the name of the instance.
fn lua_config_instances(cx: Context<'_>) -> Result<usize> {
    let instances = in_force()?.instances();
    cx.new_table(0, instances.len());
    for names in &instances {
        push_names(cx, names);
        cx.raw_set_field(-2, &names.instance);
    }
    Ok(1)
}

/// The options for `box.cfg` that differ from those in force (all at the first start, where null
/// ones are left out), and a list of the options that need a restart.
fn lua_config_box_cfg(cx: Context<'_>) -> Result<usize> {
    let configuration = candidate()?;
    let (started, applied) =
        STATE.with_borrow(|state| (state.started.clone(), state.applied.clone()));
    let (Some(started), Some(applied)) = (started, applied) else {
        let options = configuration.box_cfg().into_iter().filter(|(_, value)| !value.is_null());
        push(cx, &Value::Map(options.map(|(option, value)| (option.into(), value)).collect()))?;
        push(cx, &Value::Array(Vec::new()))?;
        return Ok(2);
    };
    let changes = configuration.box_cfg_changes(&started, &applied);
    push(
        cx,
        &Value::Map(changes.live.into_iter().map(|(name, value)| (name.into(), value)).collect()),
    )?;
    push(cx, &Value::Array(changes.restart.into_iter().map(Value::from).collect()))?;
    Ok(2)
}

/// `{users = {{name, password, roles, privileges = {{permissions, type, object}, …}}, …}, roles}`
fn lua_config_credentials(cx: Context<'_>) -> Result<usize> {
    let credentials = candidate()?.credentials();
    let words = |words: &[String]| {
        Value::Array(words.iter().map(|word| Value::from(word.as_str())).collect())
    };
    let list = |grantees: &[crate::config::Grantee]| {
        let one = |grantee: &crate::config::Grantee| {
            let privileges = grantee.privileges.iter().map(|privilege| {
                let mut map = Map::new();
                map.push("permissions", words(&privilege.permissions));
                map.push("type", privilege.object_type.into());
                map.push("object", privilege.object_name.as_str().into());
                Value::Map(map)
            });
            let mut map = Map::new();
            map.push("name", grantee.name.as_str().into());
            if let Some(password) = &grantee.password {
                map.push("password", password.as_str().into());
            }
            map.push("roles", words(&grantee.roles));
            map.push("privileges", Value::Array(privileges.collect()));
            Value::Map(map)
        };
        Value::Array(grantees.iter().map(one).collect())
    };
    let mut result = Map::new();
    result.push("roles", list(&credentials.roles));
    result.push("users", list(&credentials.users));
    push(cx, &Value::Map(result))?;
    Ok(1)
}

/// `make_folders(is there)`: makes the folders that the options name; whether the process has gone to
/// its `work_dir`.
fn lua_config_make_folders(cx: Context<'_>) -> Result<usize> {
    for (option, folder) in candidate()?.folders(cx.boolean(1)) {
        std::fs::create_dir_all(&folder).map_err(|error| {
            let what = format!("mkdir.apply[{option}]: failed to create directory {folder}");
            Error::system(&what, &error)
        })?;
    }
    Ok(0)
}

/// Sets the limit of Lua memory. False when it would be too close to what is in use.
fn lua_config_set_lua_memory(cx: Context<'_>) -> Result<usize> {
    /// What must be free under the new limit.
    const UNUSED_MIN: usize = 16 * 1024 * 1024;
    let limit = usize::try_from(cx.check_integer(1)?)
        .map_err(|_| cx.bad_argument(1, "number of bytes expected"))?;
    let fits = limit == lua::limit_bytes() || limit >= lua::used_bytes() + UNUSED_MIN;
    if fits {
        lua::set_limit_bytes(limit);
    }
    cx.push_boolean(fits);
    Ok(1)
}

/// `instance_uri(type, instance, login, password, params)`
fn lua_config_instance_uri(cx: Context<'_>) -> Result<usize> {
    let kind = match cx.check_text(1)? {
        "sharding" => AdvertiseType::Sharding,
        _ => AdvertiseType::Peer,
    };
    let params = match cx.kind(5) {
        Kind::Table => Some(text_map(cx, 5)?),
        _ => None,
    };
    let options = UriOptions {
        instance: cx.text(2),
        login: cx.text(3),
        password: cx.text(4),
        params: params.as_ref(),
    };
    match in_force()?.instance_uri(kind, &options).map_err(Error::illegal_params)? {
        Some(uri) => push(cx, &uri)?,
        None => cx.push_nil(),
    }
    Ok(1)
}

/// A table of strings.
fn text_map(cx: Context<'_>, table: i32) -> Result<Map> {
    let mut map = Map::new();
    cx.push_nil();
    while cx.next(table) {
        if let (Some(key), Some(value)) = (cx.text(-2), cx.text(-1)) {
            map.insert(key, value.into());
        }
        cx.pop(1);
    }
    Ok(map)
}

fn lua_config_cluster_config(cx: Context<'_>) -> Result<usize> {
    push(cx, in_force()?.cluster_config())?;
    Ok(1)
}

/// All options with secrets hidden.
fn lua_config_masked(cx: Context<'_>) -> Result<usize> {
    push(cx, &in_force()?.masked_options())?;
    Ok(1)
}

fn lua_config_jsonschema(cx: Context<'_>) -> Result<usize> {
    push(cx, &Value::from(jsonschema()))?;
    Ok(1)
}

/// What the schemas of applications need of ours: units, and how they are shown in JSON Schema.
pub(super) fn open_schema(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("parse_byte_size", lua_config_parse_byte_size)
        .function("parse_duration", lua_config_parse_duration);
    for (name, pattern) in [
        ("byte_size_pattern", config::BYTES_PATTERN),
        ("duration_pattern", config::SECONDS_PATTERN),
    ] {
        cx.push_bytes(pattern);
        cx.raw_set_field(-2, name);
    }
    Ok(())
}

fn lua_config_parse_byte_size(cx: Context<'_>) -> Result<usize> {
    unit(cx, config::parse_byte_size)
}

fn lua_config_parse_duration(cx: Context<'_>) -> Result<usize> {
    unit(cx, config::parse_duration)
}

/// The number that a number or a text with a unit means, or nil and what is wrong with it.
fn unit(cx: Context<'_>, parse: fn(&Value) -> Result<Value, String>) -> Result<usize> {
    let value = match cx.kind(1) {
        Kind::Number => Value::from(cx.check_number(1)?),
        _ => Value::from(cx.check_text(1)?),
    };
    match parse(&value) {
        Ok(number) => {
            push(cx, &number)?;
            Ok(1)
        }
        Err(message) => {
            cx.push_nil();
            cx.push_bytes(message);
            Ok(2)
        }
    }
}

/// `evaluate(version predicate)`: whether it is true, or nil and what is wrong with it.
fn lua_config_evaluate(cx: Context<'_>) -> Result<usize> {
    let predicate = match cx.kind(1) {
        Kind::String => {
            let version = ("tarantool_version", config::tarantool_version());
            config::evaluate_version_predicate(cx.check_text(1)?, &[version])
        }
        _ => Err("Expected a string as an expression".to_owned()),
    };
    match predicate {
        Ok(is_true) => {
            cx.push_boolean(is_true);
            Ok(1)
        }
        Err(message) => {
            cx.push_nil();
            cx.push_bytes(message);
            Ok(2)
        }
    }
}

/// Pushes a value as Lua has it: null is `box.NULL`.
fn push(cx: Context<'_>, value: &Value) -> Result<()> {
    // A table, its key and its value.
    cx.reserve(4)?;
    match value {
        Value::Null => cx.push_null(),
        Value::Boolean(flag) => cx.push_boolean(*flag),
        Value::Integer(number) => cx.push_int64(*number),
        Value::Unsigned(number) => cx.push_uint64(*number),
        Value::Double(number) => cx.push_number(*number),
        Value::String(text) => cx.push_bytes(text),
        Value::Array(items) => {
            cx.new_table(items.len(), 0);
            for (number, item) in (1..).zip(items) {
                push(cx, item)?;
                cx.raw_set_index(-2, number);
            }
        }
        Value::Map(map) => {
            cx.new_table(0, map.len());
            for (key, item) in map {
                push(cx, key)?;
                push(cx, item)?;
                cx.raw_set(-3);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
