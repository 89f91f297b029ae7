//! The cluster of a configuration file: conditional sections, where an instance stands, and the
//! joining of the four scopes into the options of one instance.
//!
//! # Yields
//! never

use super::expression;
use super::merge::merge;
use super::problem::{Problem, Step, prefix};
use super::schema::{self, CLUSTER, NESTED_CLUSTER};
use super::validate::validate;
use super::value::{Map, Value};
use crate::base::version;

/// Where an instance stands, and so how it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Its own name.
    pub instance: String,
    /// Its replica set.
    pub replicaset: String,
    /// Its group.
    pub group: String,
}

impl Names {
    /// The path of the instance in the cluster configuration.
    pub fn path(&self) -> [Step; 6] {
        let key = |text: &str| Step::Key(text.to_owned());
        [
            key("groups"),
            key(&self.group),
            key("replicasets"),
            key(&self.replicaset),
            key("instances"),
            key(&self.instance),
        ]
    }
}

/// The fields of a mapping under a key whose names are strings.
pub(super) fn children<'a>(
    value: &'a Value,
    key: &str,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    value.field(key).and_then(Value::as_map).into_iter().flat_map(Map::named)
}

/// All instances in the order of the file.
pub fn instances(cluster: &Value) -> Vec<Names> {
    let mut found = Vec::new();
    for (group_name, group) in children(cluster, "groups") {
        for (replicaset_name, replicaset) in children(group, "replicasets") {
            for (instance_name, _) in children(replicaset, "instances") {
                found.push(Names {
                    instance: instance_name.to_owned(),
                    replicaset: replicaset_name.to_owned(),
                    group: group_name.to_owned(),
                });
            }
        }
    }
    found
}

/// The replica set section that an instance stands in.
pub fn replicaset<'a>(cluster: &'a Value, names: &Names) -> Option<&'a Value> {
    let group = cluster.field("groups")?.field(&names.group)?;
    group.field("replicasets")?.field(&names.replicaset)
}

/// The options of an instance: those of the cluster, overridden by those of its group, its
/// replica set and its own.
pub fn instantiate(cluster: &Value, names: &Names) -> Value {
    let group = cluster.field("groups").and_then(|groups| groups.field(&names.group));
    let replicaset = replicaset(cluster, names);
    let instance = replicaset
        .and_then(|replicaset| replicaset.field("instances"))
        .and_then(|instances| instances.field(&names.instance));
    [Some(cluster), group, replicaset, instance]
        .into_iter()
        .flatten()
        .fold(Value::Map(Map::new()), |merged, scope| {
            merge(schema::instance(), &merged, &instance_options(scope))
        })
}

/// The section without what only a cluster has.
fn instance_options(scope: &Value) -> Value {
    let known =
        |key: &Value| key.as_str().is_some_and(|key| schema::instance().field(key).is_some());
    match scope {
        Value::Map(map) => Value::Map(map.iter().filter(|(key, _)| known(key)).cloned().collect()),
        _ => Value::Null,
    }
}

/// Everything that is wrong with a file as a cluster configuration.
pub fn check(cluster: &Value) -> Vec<Problem> {
    let mut problems = validate(schema::cluster(), cluster, CLUSTER);
    if !problems.is_empty() {
        return problems;
    }
    let sections = cluster.field("conditional").and_then(Value::as_array).unwrap_or(&[]);
    for (index, section) in sections.iter().enumerate() {
        let at = [Step::Key("conditional".into()), Step::Index(index + 1)];
        match applies(section) {
            Err(reason) => {
                let mut problem = Problem::new(format!("{}{reason}", prefix(CLUSTER, &at)));
                problem.path = at.to_vec();
                problems.push(problem);
            }
            Ok(false) => {}
            Ok(true) => {
                let found =
                    validate(schema::nested_cluster(), &without(section, "if"), NESTED_CLUSTER);
                problems.extend(found.into_iter().map(|mut problem| {
                    problem.path.splice(0..0, at.clone());
                    problem
                }));
            }
        }
    }
    problems
}

/// The checked cluster configuration with those conditional sections merged in that apply.
pub fn apply_conditional(cluster: &Value) -> Value {
    let sections = cluster.field("conditional").and_then(Value::as_array).unwrap_or(&[]);
    sections
        .iter()
        .filter(|section| applies(section) == Ok(true))
        .fold(without(cluster, "conditional"), |merged, section| {
            merge(schema::nested_cluster(), &merged, &without(section, "if"))
        })
}

/// Whether the `if` of a conditional section is true.
fn applies(section: &Value) -> Result<bool, String> {
    let condition = section
        .field("if")
        .filter(|condition| !condition.is_null())
        .ok_or("A conditional section should have field \"if\"")?;
    let text = condition.as_str().ok_or_else(|| {
        format!("Expected a string as an expression, got {}", condition.type_name())
    })?;
    expression::evaluate(text, &[("tarantool_version", tarantool_version())])
}

/// `3.8.0`
pub fn tarantool_version() -> &'static str {
    version::TARANTOOL.split('-').next().unwrap_or(version::TARANTOOL)
}

fn without(value: &Value, key: &str) -> Value {
    match value {
        Value::Map(map) => {
            let mut map = map.clone();
            map.remove(key);
            Value::Map(map)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse;
    use super::*;

    #[test]
    fn inner_scopes_override_outer_ones() {
        let text = "wal: {mode: none, dir: a}\ngroups: {g: {wal: {dir: b}, replicasets: {r: \
                    {snapshot: {count: 5}, instances: {i: {wal: {mode: fsync}}, j: {}}}}}}";
        let cluster = parse(text, "c").unwrap();
        let all = instances(&cluster);
        assert_eq!(all.len(), 2);
        let merged = instantiate(&cluster, &all[0]);
        assert_eq!(
            merged.to_string(),
            r#"{"snapshot":{"count":5},"wal":{"dir":"b","mode":"fsync"}}"#
        );
    }

    #[test]
    fn conditional_sections_apply_by_version() {
        let text = "conditional:\n- {if: tarantool_version < 3.0.0, nonsense: 1}\n- {if: \
                    'tarantool_version >= 3.0.0', wal: {mode: none}}\nwal: {mode: write}\n";
        let cluster = parse(text, "c").unwrap();
        assert_eq!(check(&cluster), []);
        assert_eq!(apply_conditional(&cluster).to_string(), r#"{"wal":{"mode":"none"}}"#);
        let wrong = parse("conditional: [{if: tarantool_version > 1.0.0, x: 1}]", "c").unwrap();
        assert_eq!(check(&wrong)[0].message, "[nested_cluster_config] Unexpected field \"x\"");
        let wrong = parse("conditional: [{x: 1}]", "c").unwrap();
        assert_eq!(
            check(&wrong)[0].message,
            "[cluster_config] conditional[1]: A conditional section should have field \"if\""
        );
    }
}
