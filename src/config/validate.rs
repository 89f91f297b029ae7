//! Checks a value against the schema and says everything that is wrong with it.
//!
//! The wording, and the order in which one place is judged (type, allowed values, uniqueness,
//! own checks of the option), are Tarantool's. Own checks of an option run only when everything
//! inside of it is right, so they may rely on the types.
//!
//! # Yields
//! never

use super::problem::{Problem, Step, prefix};
use super::schema::{Kind, Node, Scope, Unit};
use super::unit::{parse_byte_size, parse_duration};
use super::value::{Map, Value, number_text};

/// Everything that is wrong with `value`; nothing when it is right.
pub fn validate(node: &Node, value: &Value, schema_name: &str) -> Vec<Problem> {
    let mut walk = Walk { schema_name, path: Vec::new(), scope: None, problems: Vec::new() };
    walk.node(node, value);
    walk.problems
}

struct Walk<'a> {
    schema_name: &'a str,
    path: Vec<Step>,
    scope: Option<Scope>,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn problem(&mut self, message: impl AsRef<str>, help: Option<String>) {
        let message = format!("{}{}", prefix(self.schema_name, &self.path), message.as_ref());
        let mut problem = Problem::new(message);
        problem.path = self.path.clone();
        problem.help = help;
        self.problems.push(problem);
    }

    fn enter(&mut self, step: Step, judge: impl FnOnce(&mut Self)) {
        self.path.push(step);
        judge(self);
        self.path.pop();
    }

    fn node(&mut self, node: &Node, value: &Value) {
        let outer_scope = self.scope;
        self.scope = node.scope.or(outer_scope);
        let before = self.problems.len();
        match &node.kind {
            Kind::Record(_) => self.record(node, value),
            Kind::Map { .. } => self.map(node, value),
            Kind::Array(items) => self.array(items, value, node),
            Kind::Union(variants) => self.union(variants, value, node),
            _ => {
                if let Err(reason) = scalar(node, value) {
                    let kind = node.kind.name();
                    let message = format!("Unexpected data for scalar \"{kind}\": {reason}");
                    self.problem(message, describe(node));
                }
            }
        }
        if self.problems.len() == before {
            self.constraints(node, value);
        }
        self.scope = outer_scope;
    }

    /// What holds beyond the type.
    fn constraints(&mut self, node: &Node, value: &Value) {
        if !node.allowed.is_empty() && !node.allowed.iter().any(|one| same(one, value)) {
            let allowed = join(node.allowed.iter().map(Value::to_string));
            let message =
                format!("Got {value}, but only the following values are allowed: {allowed}");
            return self.problem(message, describe(node));
        }
        if node.unique
            && let Some(items) = value.as_array()
            && let Some((_, twice)) =
                items.iter().enumerate().find(|(index, item)| items[..*index].contains(item))
        {
            let message =
                format!("Values should be unique, but \"{twice}\" appears at least twice");
            return self.problem(message, None);
        }
        let canonical = normalize(node, value);
        if let Some(check) = node.check
            && let Err(reason) = check(canonical.as_ref().unwrap_or(value), self.scope)
        {
            return self.problem(reason, describe(node));
        }
        if node.enterprise {
            let message =
                "This configuration parameter is available only in Tarantool Enterprise Edition";
            self.problem(message, None);
        }
    }

    fn record(&mut self, node: &Node, value: &Value) {
        let Some(map) = self.table(node, value) else { return };
        for (key, field_value) in map {
            let known = key.as_str().and_then(|name| node.field(name));
            match known {
                Some(_) if field_value.is_null() => {}
                Some(field) => {
                    self.enter(step(key), |walk| walk.node(field, field_value));
                }
                None => {
                    let message = format!("Unexpected field \"{key}\"");
                    let help = allowed_fields(node, key);
                    self.problem(message, Some(help));
                    if let Some(problem) = self.problems.last_mut() {
                        // The message names the section, but the text has the key to look at.
                        problem.path.push(step(key));
                    }
                }
            }
        }
    }

    fn map(&mut self, node: &Node, value: &Value) {
        let Kind::Map { key_check, value: value_node } = &node.kind else { return };
        let Some(map) = self.table(node, value) else { return };
        for (key, field_value) in map {
            self.enter(step(key), |walk| {
                if key.as_str().is_none() {
                    let found = key.type_name();
                    let message = format!(
                        "Unexpected data for scalar \"string\": Expected \"string\", got \
                         \"{found}\""
                    );
                    walk.problem(message, Some(format!("write the key in quotes: '{key}'")));
                }
                if let Some(check) = key_check
                    && let Err(reason) = check(key, walk.scope)
                {
                    walk.problem(reason, None);
                }
                walk.node(value_node, field_value);
            });
        }
    }

    /// The mapping, or a problem.
    fn table<'v>(&mut self, node: &Node, value: &'v Value) -> Option<&'v Map> {
        const EMPTY: &Map = &Map::EMPTY;
        let kind = node.kind.name();
        match value {
            Value::Map(map) => Some(map),
            Value::Array(items) if items.is_empty() => Some(EMPTY),
            Value::Array(_) => {
                let json = value.to_json();
                self.problem(format!("Expected a {kind}, got an array: {json}"), describe(node));
                None
            }
            other => {
                let found = other.type_name();
                let message = format!("Unexpected data type for a {kind}: \"{found}\"");
                self.problem(message, describe(node));
                None
            }
        }
    }

    fn array(&mut self, items: &Node, value: &Value, node: &Node) {
        match value {
            Value::Array(values) => {
                for (index, item) in values.iter().enumerate() {
                    self.enter(Step::Index(index + 1), |walk| walk.node(items, item));
                }
            }
            Value::Map(map) if map.is_empty() => {}
            Value::Map(map) => {
                let key = map.iter().next().map_or(Value::Null, |(key, _)| key.clone());
                let message = format!("An array contains a non-numeric key: \"{key}\"");
                self.problem(message, Some("write a list: each item on a line with \"- \"".into()));
            }
            other => {
                let found = other.type_name();
                let message = format!("Unexpected data type for an array: \"{found}\"");
                self.problem(message, describe(node));
            }
        }
    }

    fn union(&mut self, variants: &[std::sync::Arc<Node>], value: &Value, node: &Node) {
        let selected = select(variants, value);
        let mut reasons = Vec::new();
        for (index, variant) in variants.iter().enumerate() {
            if selected.is_some_and(|only| only != index) {
                continue;
            }
            let mut path = self.path.clone();
            path.push(Step::Index(index + 1));
            let own_prefix = prefix(self.schema_name, &path);
            let mut inner = Walk {
                schema_name: self.schema_name,
                path,
                scope: self.scope,
                problems: Vec::new(),
            };
            inner.node(variant, value);
            let Some(problem) = inner.problems.into_iter().next() else { return };
            let reason = problem.message.strip_prefix(&own_prefix).unwrap_or(&problem.message);
            reasons.push(format!("variant #{}: {reason}", index + 1));
        }
        let reasons = reasons.join("; ");
        let message = match selected {
            None => format!("Data does not match any union variant ({reasons})"),
            Some(index) => {
                format!("Data does not match selected union variant #{} ({reasons})", index + 1)
            }
        };
        self.problem(message, describe(node));
    }
}

/// Which variant of a union a value is of, judged by its type.
pub fn select(variants: &[std::sync::Arc<Node>], value: &Value) -> Option<usize> {
    variants.iter().position(|variant| match (&variant.kind, value) {
        (Kind::String, Value::String(_)) => {
            variant.allowed.is_empty() || variant.allowed.contains(value)
        }
        (Kind::Number | Kind::Integer, value) => value.as_f64().is_some(),
        (Kind::Boolean, Value::Boolean(_)) | (Kind::Any, _) => true,
        (Kind::Array(_), Value::Array(_)) => true,
        (Kind::Record(_) | Kind::Map { .. }, Value::Map(_)) => true,
        _ => false,
    })
}

/// The canonical form of a scalar where it differs: numbers for sizes and durations, and a
/// boolean for the words `yes` and `no`, which Tarantool's YAML reads as such.
pub fn normalize(node: &Node, value: &Value) -> Option<Value> {
    match (&node.kind, node.unit, value) {
        (_, Unit::Bytes, Value::String(_)) => parse_byte_size(value).ok(),
        (_, Unit::Seconds, Value::String(_)) => parse_duration(value).ok(),
        (Kind::Boolean, _, Value::String(word)) => match word.as_str() {
            "yes" => Some(Value::Boolean(true)),
            "no" => Some(Value::Boolean(false)),
            _ => None,
        },
        _ => None,
    }
}

fn scalar(node: &Node, value: &Value) -> Result<(), String> {
    let canonical = match node.unit {
        Unit::Bytes => Some(parse_byte_size(value)?),
        Unit::Seconds => Some(parse_duration(value)?),
        Unit::None => normalize(node, value),
    };
    let value = canonical.as_ref().unwrap_or(value);
    let expected = match node.kind {
        Kind::String => "string",
        Kind::Boolean => "boolean",
        Kind::Number | Kind::Integer => "number",
        _ => return Ok(()),
    };
    if value.type_name() != expected {
        return Err(format!("Expected \"{expected}\", got \"{}\"", value.type_name()));
    }
    match (&node.kind, value) {
        (Kind::Integer, Value::Double(number)) if number.fract() != 0.0 || number.is_infinite() => {
            let shown = number_text(*number);
            Err(format!("Expected number without a fractional part, got {shown}"))
        }
        (_, Value::Double(number)) if number.is_nan() => {
            Err("Expected \"number\", got \"nan\"".into())
        }
        _ => Ok(()),
    }
}

/// Whether two scalars are the same in Lua, where 5 and 5.0 are.
fn same(one: &Value, other: &Value) -> bool {
    one == other || one.as_f64().is_some_and(|number| other.as_f64() == Some(number))
}

fn step(key: &Value) -> Step {
    match key {
        Value::Integer(number) => Step::Index(usize::try_from(*number).unwrap_or(0)),
        other => Step::Key(other.to_string()),
    }
}

fn describe(node: &Node) -> Option<String> {
    let kind = match (&node.kind, node.unit) {
        (_, Unit::Bytes) => "a number of bytes or text such as 256MiB",
        (_, Unit::Seconds) => "a number of seconds or text such as 5m",
        (Kind::String, _) => "a string",
        (Kind::Number, _) => "a number",
        (Kind::Integer, _) => "a number without a fraction",
        (Kind::Boolean, _) => "true or false",
        (Kind::Record(_), _) => {
            let names = join(node.fields().iter().map(|(name, _)| (*name).to_owned()));
            return Some(format!("expected a mapping with some of: {names}"));
        }
        (Kind::Map { .. }, _) => "a mapping",
        (Kind::Array(_), _) => "a list",
        (Kind::Any | Kind::Union(_), _) => return Some(node.description.to_owned()),
    };
    Some(format!("expected {kind}: {}", node.description))
}

/// `did you mean "memory"? allowed here: allocator, memory`
fn allowed_fields(node: &Node, key: &Value) -> String {
    let key = key.to_string();
    let names: Vec<&str> = node.fields().iter().map(|(name, _)| *name).collect();
    let near = names
        .iter()
        .map(|name| (distance(name, &key), name))
        .filter(|(distance, name)| *distance <= name.len() / 2)
        .min();
    let guess = near.map(|(_, name)| format!("did you mean \"{name}\"? ")).unwrap_or_default();
    format!("{guess}allowed here: {}", names.join(", "))
}

/// How many letters must change, come or go to make one word the other.
fn distance(one: &str, other: &str) -> usize {
    if other.len() > 2 * one.len() + 4 {
        return usize::MAX;
    }
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for column in 0..other.len() {
            let changed = diagonal + usize::from(letter != other[column]);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::schema::{CLUSTER, INSTANCE, cluster, instance};
    use super::super::yaml::parse;
    use super::*;

    fn messages(node: &Node, name: &str, text: &str) -> Vec<String> {
        let problems = validate(node, &parse(text, "c").unwrap(), name);
        problems.into_iter().map(|problem| problem.message).collect()
    }

    fn of_cluster(text: &str) -> Vec<String> {
        messages(cluster(), CLUSTER, text)
    }

    fn of_instance(text: &str) -> Vec<String> {
        messages(instance(), INSTANCE, text)
    }

    #[test]
    fn types_are_judged_in_tarantools_words() {
        assert_eq!(
            of_instance("memtx: {memory: []}\nlog: {to: 1}\nwal: 5\niproto: {listen: x}\n"),
            [
                "[instance_config] memtx.memory: Unexpected data for scalar \"integer\": Expected \
                 byte size as number or string with optional byte size suffix, got table",
                "[instance_config] log.to: Unexpected data for scalar \"string\": Expected \
                 \"string\", got \"number\"",
                "[instance_config] wal: Unexpected data type for a record: \"number\"",
                "[instance_config] iproto.listen: Unexpected data type for an array: \"string\"",
            ]
        );
    }

    #[test]
    fn unknown_field_names_the_section_and_what_is_allowed() {
        let text = "groups: {g: {replicasets: {r: {instances: {i: {wal: {moed: none}}}}}}}";
        let value = parse(text, "c").unwrap();
        let problems = validate(cluster(), &value, CLUSTER);
        assert_eq!(
            problems[0].message,
            "[cluster_config] groups.g.replicasets.r.instances.i.wal: Unexpected field \"moed\""
        );
        let help = problems[0].help.as_deref().unwrap();
        assert!(help.starts_with("did you mean \"mode\"? allowed here: dir, mode, "), "{help}");
    }

    #[test]
    fn values_are_limited() {
        assert_eq!(
            of_instance("wal: {mode: sometimes}\nlog: {level: loud}"),
            [
                "[instance_config] wal.mode: Got sometimes, but only the following values are \
                 allowed: none, write, fsync",
                "[instance_config] log.level: Got loud, but only the following values are \
                 allowed: 0, fatal, 1, syserror, 2, error, 3, crit, 4, warn, 5, info, 6, verbose, \
                 7, debug",
            ]
        );
        assert!(of_instance("lua: {memory: 100MiB}")[0].ends_with("should be >= 256MB"));
        assert!(of_instance("audit_log: {to: file}")[0].ends_with("Enterprise Edition"));
    }

    #[test]
    fn scopes_restrict_options() {
        let text = "groups: {g: {replicasets: {r: {instances: {i: {replication: {failover: \
                    manual}}}}}}}";
        assert_eq!(
            of_cluster(text),
            ["[cluster_config] groups.g.replicasets.r.instances.i.replication.failover: The \
              option must not be present in the instance scope"]
        );
        assert_eq!(of_cluster("isolated: true").len(), 1);
        assert!(of_instance("isolated: true").is_empty());
    }

    #[test]
    fn unions_and_names_are_judged() {
        assert_eq!(
            of_instance("log: {level: true}"),
            ["[instance_config] log.level: Data does not match any union variant (variant #1: \
              Unexpected data for scalar \"number\": Expected \"number\", got \"boolean\"; \
              variant #2: Unexpected data for scalar \"string\": Expected \"string\", got \
              \"boolean\")"]
        );
        assert_eq!(
            of_cluster("groups: {Group: {}}"),
            ["[cluster_config] groups.Group: A name must contain only lowercase letters, digits, \
              dash and underscore, got \"Group\""]
        );
    }
}
