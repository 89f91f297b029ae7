//! What happens to a checked tree: one source overrides another, defaults fill gaps, variables
//! get their values, sizes become numbers.
//!
//! Records and maps are merged key by key; lists and scalars are replaced as a whole. `null`
//! never overrides a value. Where the schema knows no more (`app.cfg`), the shape of the data
//! decides: two mappings with string keys are merged.
//!
//! # Yields
//! never

use super::problem::{Problem, Step, prefix};
use super::schema::{INSTANCE, Kind, Node};
use super::validate::{normalize, select};
use super::value::{Map, Value};
use super::variable;

/// `over` merged over `base`.
pub fn merge(node: &Node, base: &Value, over: &Value) -> Value {
    if over.is_null() {
        return base.clone();
    }
    if base.is_null() {
        return over.clone();
    }
    match &node.kind {
        Kind::Any => merge_free(base, over),
        Kind::Record(_) => merge_maps(base, over, |key, base, over| {
            match key.as_str().and_then(|name| node.field(name)) {
                Some(field) => merge(field, base, over),
                None => over.clone(),
            }
        }),
        Kind::Map { value, .. } => merge_maps(base, over, |_, base, over| merge(value, base, over)),
        Kind::Union(variants) => match (select(variants, base), select(variants, over)) {
            (Some(one), Some(other)) if one == other => merge(&variants[one], base, over),
            _ => over.clone(),
        },
        _ => over.clone(),
    }
}

fn merge_free(base: &Value, over: &Value) -> Value {
    let names_only = |value: &Value| {
        value.as_map().is_some_and(|map| map.iter().all(|(key, _)| key.as_str().is_some()))
    };
    match () {
        _ if over.is_null() => base.clone(),
        _ if names_only(base) && names_only(over) => {
            merge_maps(base, over, |_, base, over| merge_free(base, over))
        }
        _ => over.clone(),
    }
}

fn merge_maps(
    base: &Value,
    over: &Value,
    mut both: impl FnMut(&Value, &Value, &Value) -> Value,
) -> Value {
    let empty = Map::new();
    let base = base.as_map().unwrap_or(&empty);
    let over = over.as_map().unwrap_or(&empty);
    let mut merged: Map = base
        .iter()
        .map(|(key, value)| match over.get_key(key) {
            Some(other) => (key.clone(), both(key, value, other)),
            None => (key.clone(), value.clone()),
        })
        .collect();
    for (key, value) in over {
        if base.get_key(key).is_none() {
            merged.push(key.clone(), value.clone());
        }
    }
    Value::Map(merged)
}

/// The tree with the defaults of the schema where it has nothing.
pub fn apply_defaults(node: &Node, value: Option<&Value>) -> Option<Value> {
    let present = value.filter(|value| !value.is_null());
    let current = match (present, &node.default) {
        (Some(value), _) => Some(value.clone()),
        (None, Some(default)) if !node.enterprise => Some(default.clone()),
        (None, _) => value.cloned(),
    };
    let within = current.as_ref().filter(|value| !value.is_null());
    match &node.kind {
        Kind::Record(fields) if !node.enterprise || within.is_some() => {
            let given = within.and_then(Value::as_map);
            let mut map = Map::new();
            for (name, field) in fields {
                let field_value = given.and_then(|map| map.get(name));
                if let Some(value) = apply_defaults(field, field_value) {
                    map.push(*name, value);
                }
            }
            if map.is_empty() && given.is_none() { current } else { Some(Value::Map(map)) }
        }
        Kind::Map { value: node, .. } => within.map_or(current.clone(), |value| {
            let fill = |value: &Value| apply_defaults(node, Some(value)).unwrap_or_default();
            Some(match value {
                Value::Map(map) => {
                    Value::Map(map.iter().map(|(key, value)| (key.clone(), fill(value))).collect())
                }
                other => other.clone(),
            })
        }),
        Kind::Array(node) => within.map_or(current.clone(), |value| {
            let fill = |value: &Value| apply_defaults(node, Some(value)).unwrap_or_default();
            Some(match value {
                Value::Array(items) => Value::Array(items.iter().map(fill).collect()),
                other => other.clone(),
            })
        }),
        Kind::Union(variants) => match within.and_then(|value| select(variants, value)) {
            Some(index) => apply_defaults(&variants[index], current.as_ref()),
            None => current,
        },
        _ => current,
    }
}

/// The tree in its final form: `{{ variables }}` replaced and units turned into numbers.
pub fn finish(
    node: &Node,
    value: &Value,
    variables: &[(String, String)],
) -> Result<Value, Problem> {
    Finish { variables, path: Vec::new() }.node(Some(node), value)
}

struct Finish<'a> {
    variables: &'a [(String, String)],
    path: Vec<Step>,
}

impl Finish<'_> {
    /// No node stands for data that the schema says nothing of.
    fn node(&mut self, node: Option<&Node>, value: &Value) -> Result<Value, Problem> {
        let chosen = node.map(|node| match &node.kind {
            Kind::Union(variants) => select(variants, value).map_or(node, |index| &variants[index]),
            _ => node,
        });
        match value {
            Value::String(text) => {
                let text = Value::String(self.text(text)?);
                Ok(chosen.and_then(|node| normalize(node, &text)).unwrap_or(text))
            }
            Value::Array(items) => {
                let item_node = match chosen.map(|node| &node.kind) {
                    Some(Kind::Array(items)) => Some(&**items),
                    _ => None,
                };
                let mut array = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    self.path.push(Step::Index(index + 1));
                    array.push(self.node(item_node, item)?);
                    self.path.pop();
                }
                Ok(Value::Array(array))
            }
            Value::Map(map) => {
                let mut finished = Map::new();
                for (key, field_value) in map {
                    self.path.push(Step::Key(key.to_string()));
                    let field = key.as_str().and_then(|name| chosen?.field(name));
                    let key = match key {
                        Value::String(text) => Value::String(self.text(text)?),
                        other => other.clone(),
                    };
                    let field_value = self.node(field, field_value)?;
                    finished.insert(key, field_value);
                    self.path.pop();
                }
                Ok(Value::Map(finished))
            }
            other => Ok(other.clone()),
        }
    }

    fn text(&self, text: &str) -> Result<String, Problem> {
        variable::substitute(text, self.variables).map_err(|name| {
            let message = format!("{}Unknown variable \"{name}\"", prefix(INSTANCE, &self.path));
            let known = self.variables.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
            let mut problem = Problem::new(message).help(format!("known: {}", known.join(", ")));
            problem.path = self.path.clone();
            problem
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::instance;
    use super::super::yaml::parse;
    use super::*;

    fn merged(base: &str, over: &str) -> String {
        merge(instance(), &parse(base, "a").unwrap(), &parse(over, "b").unwrap()).to_string()
    }

    #[test]
    fn mappings_merge_and_lists_are_replaced() {
        assert_eq!(
            merged("wal: {mode: none, dir: a}", "wal: {dir: b}\nroles: [x]"),
            r#"{"roles":["x"],"wal":{"dir":"b","mode":"none"}}"#
        );
        assert_eq!(merged("roles: [a, b]", "roles: [c]"), r#"{"roles":["c"]}"#);
        assert_eq!(
            merged("app: {cfg: {x: {a: 1, b: [1]}}}", "app: {cfg: {x: {b: [2], c: 3}}}"),
            r#"{"app":{"cfg":{"x":{"a":1,"b":[2],"c":3}}}}"#
        );
    }

    #[test]
    fn null_overrides_nothing() {
        assert_eq!(merged("wal: {mode: none}", "wal: {mode: null}"), r#"{"wal":{"mode":"none"}}"#);
        assert_eq!(merged("wal: {mode: none}", "wal: null"), r#"{"wal":{"mode":"none"}}"#);
    }

    #[test]
    fn defaults_fill_gaps_and_units_become_numbers() {
        let value = parse("memtx: {memory: 1GiB}", "a").unwrap();
        let value = apply_defaults(instance(), Some(&value)).unwrap();
        let variables = [("instance_name".to_string(), "i1".to_string())];
        let value = finish(instance(), &value, &variables).unwrap();
        assert_eq!(value.path("memtx.memory"), Some(&Value::Integer(1 << 30)));
        assert_eq!(value.path("wal.dir"), Some(&"var/lib/i1".into()));
        assert_eq!(value.path("wal.max_size"), Some(&Value::Integer(268_435_456)));
        assert_eq!(value.field("iproto").unwrap().field("listen"), Some(&Value::Null));
        assert_eq!(value.path("audit_log"), None);
        assert_eq!(value.path("config.storage"), None);
    }

    #[test]
    fn unknown_variable_is_a_problem_with_its_path() {
        let value = parse("wal: {dir: '{{ nobody }}'}", "a").unwrap();
        let problem = finish(instance(), &value, &[]).unwrap_err();
        assert_eq!(problem.message, "[instance_config] wal.dir: Unknown variable \"nobody\"");
    }
}
