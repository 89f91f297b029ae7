//! Variables: `{{ names }}` inside of options, and the `TT_*` variables of the environment.
//!
//! Every option has an environment variable: `TT_WAL_MODE` for `wal.mode`, and a
//! `TT_WAL_MODE_DEFAULT` that gives way to the file. A list is `a,b` or JSON, a mapping `a=1,b=2`
//! or JSON. The names that `box.cfg` options have (`TT_MEMTX_MEMORY`, `TT_LISTEN`) count as
//! defaults too.
//!
//! # Yields
//! never

use super::load::World;
use super::problem::Problem;
use super::schema::{self, INSTANCE, Kind, Node, Unit};
use super::unit::{parse_byte_size, parse_duration};
use super::validate::{select, validate};
use super::value::{Map, Value};

/// Which of the two sources of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `TT_X`, which overrides the file.
    Override,
    /// `TT_X_DEFAULT`, which the file overrides.
    Default,
}

impl Level {
    /// The name of the source in messages.
    pub fn source_name(self) -> &'static str {
        match self {
            Level::Override => "env",
            Level::Default => "env (default)",
        }
    }
}

/// Replaces each `{{ name }}`; an unknown name is the error.
pub fn substitute(text: &str, variables: &[(String, String)]) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = split_variable(rest) {
        result.push_str(before);
        match variables.iter().find(|(known, _)| known == name) {
            Some((_, value)) => result.push_str(value),
            None => return Err(name.to_owned()),
        }
        rest = after;
    }
    result.push_str(rest);
    Ok(result)
}

/// The text with a harmless word in the place of each `{{ name }}`.
pub fn without_variables(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, _, after)) = split_variable(rest) {
        result.push_str(before);
        result.push_str("placeholder");
        rest = after;
    }
    result.push_str(rest);
    result
}

/// What stands before the first `{{ name }}`, the name, and what comes after.
fn split_variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name.trim_matches(' '), after))
}

/// The name of an option's variable.
pub fn environment_name(path: &[&str], level: Level) -> String {
    let name = format!("TT_{}", path.join("_").to_uppercase());
    match level {
        Level::Override => name,
        Level::Default => name + "_DEFAULT",
    }
}

/// The configuration that the environment gives on one level.
pub fn from_environment(world: &dyn World, level: Level) -> Result<Value, Vec<Problem>> {
    let mut tree = Map::new();
    let mut problems = Vec::new();
    for (path, node) in schema::options() {
        if let Some(option) = box_cfg_option(&path, node).filter(|_| level == Level::Default) {
            let name = format!("TT_{}", option.to_uppercase());
            if name != environment_name(&path, Level::Override) {
                take(world, &name, &path, node, &mut tree, &mut problems);
            }
        }
        let name = environment_name(&path, level);
        take(world, &name, &path, node, &mut tree, &mut problems);
    }
    let tree = Value::Map(tree);
    if problems.is_empty() {
        problems = validate(schema::instance(), &tree, INSTANCE);
        for problem in &mut problems {
            problem.help = Some(match problem.help.take() {
                Some(help) => format!("{help}\n  set by an environment variable TT_*"),
                None => "set by an environment variable TT_*".to_owned(),
            });
        }
    }
    if problems.is_empty() { Ok(tree) } else { Err(problems) }
}

fn box_cfg_option(path: &[&str], node: &Node) -> Option<&'static str> {
    if path == ["iproto", "listen"] { Some("listen") } else { node.box_cfg }
}

/// Puts the option into the tree when its variable is set.
fn take(
    world: &dyn World,
    name: &str,
    path: &[&str],
    node: &Node,
    tree: &mut Map,
    problems: &mut Vec<Problem>,
) {
    let Some(raw) = world.variable(name).filter(|raw| !raw.is_empty()) else { return };
    let value = match name {
        "TT_LISTEN" => Ok(uri_list(&raw)),
        _ => parse(name, &raw, node),
    };
    match value {
        Ok(value) => set(tree, path, value),
        Err(message) => problems.push(Problem::new(message).help(node.description)),
    }
}

fn set(tree: &mut Map, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        return tree.insert(*first, value);
    }
    let mut inner = match tree.remove(first) {
        Some(Value::Map(map)) => map,
        _ => Map::new(),
    };
    set(&mut inner, rest, value);
    tree.insert(*first, Value::Map(inner));
}

/// The old form of `listen`, `uri,uri`, as the option has it now.
fn uri_list(raw: &str) -> Value {
    let items = raw.split(',').map(|uri| {
        let mut item = Map::new();
        let (address, parameters) = uri.split_once('?').unwrap_or((uri, ""));
        item.insert("uri", address.into());
        let mut params = Map::new();
        for (key, value) in parameters.split('&').filter_map(|pair| pair.split_once('=')) {
            params.insert(key, value.into());
        }
        if !params.is_empty() {
            item.insert("params", Value::Map(params));
        }
        Value::Map(item)
    });
    Value::Array(items.collect())
}

/// The text of a variable as a value of the option's type.
pub fn parse(name: &str, raw: &str, node: &Node) -> Result<Value, String> {
    match &node.kind {
        Kind::String => Ok(raw.into()),
        Kind::Number | Kind::Integer => parse_number(name, raw, node),
        Kind::Boolean => match raw.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true.into()),
            "false" | "0" => Ok(false.into()),
            _ => Err(format!(
                "Unable to decode a boolean value from environment variable \"{name}\", got \
                 \"{raw}\""
            )),
        },
        Kind::Any => json(name, raw),
        Kind::Map { value, .. } => parse_map(name, raw, value),
        Kind::Array(items) => parse_array(name, raw, items),
        Kind::Union(variants) => parse_union(name, raw, variants),
        Kind::Record(_) => Err(format!(
            "Attempt to parse environment variable \"{name}\" as a record value: this is not \
             supported yet and likely caused by an internal error in the config module"
        )),
    }
}

fn json(name: &str, raw: &str) -> Result<Value, String> {
    Value::from_json(raw).map_err(|reason| {
        format!("Unable to decode JSON data in environment variable \"{name}\": {reason}")
    })
}

fn parse_number(name: &str, raw: &str, node: &Node) -> Result<Value, String> {
    let (what, parsed) = match (&node.kind, node.unit) {
        (_, Unit::Bytes) => ("an integer", parse_byte_size(&raw.into())),
        (_, Unit::Seconds) => ("a number", parse_duration(&raw.into())),
        (Kind::Integer, _) => {
            ("an integer", raw.parse::<i64>().map(Value::Integer).map_err(|_| String::new()))
        }
        _ => {
            let number = raw.parse::<i64>().map(Value::Integer);
            let number = number.or_else(|_| raw.parse::<f64>().map(Value::Double));
            ("a number", number.map_err(|_| String::new()))
        }
    };
    parsed.map_err(|reason| {
        let message = format!(
            "Unable to decode {what} value from environment variable \"{name}\", got \"{raw}\""
        );
        if reason.is_empty() { message } else { format!("{message}: {reason}") }
    })
}

/// Whether the simple `a,b` and `a=1,b=2` formats can express values of this type.
fn simple(node: &Node) -> bool {
    match &node.kind {
        Kind::Union(variants) => variants.iter().all(|variant| simple(variant)),
        Kind::Any => false,
        kind => kind.is_scalar(),
    }
}

fn parse_map(name: &str, raw: &str, value_node: &Node) -> Result<Value, String> {
    if raw.starts_with('{') {
        return json(name, raw);
    }
    let advice = if simple(value_node) {
        "Use either the simple \"foo=bar,baz=fiz\" object format or the JSON object format \
         (starts from \"{\")."
    } else {
        "Use the JSON object format (starts from \"{\")."
    };
    if raw.starts_with('[') {
        return Err(format!(
            "A JSON array is provided for environment variable \"{name}\" of type map, an object \
             is expected. {advice}"
        ));
    }
    if !simple(value_node) {
        let kind = value_node.kind.name();
        let why = match value_node.kind {
            Kind::Any => "an arbitrary type (\"any\")".to_owned(),
            _ => format!("a composite type (\"{kind}\")"),
        };
        return Err(format!(
            "Use the JSON object format for environment variable \"{name}\": the field values are \
             supposed to have {why} that is not supported by the simple \"foo=bar,baz=fiz\" \
             object format. A JSON object value starts from \"{{\"."
        ));
    }
    let wrong = |what: &str| {
        format!(
            "Unable to decode data in environment variable \"{name}\" assuming the simple \
             \"foo=bar,baz=fiz\" object format: {what} is found in a key-value pair. {advice}"
        )
    };
    let mut map = Map::new();
    for pair in raw.split(',') {
        let (key, value) = pair.split_once('=').ok_or_else(|| wrong("no \"=\""))?;
        if key.is_empty() {
            return Err(wrong("no value before \"=\""));
        }
        map.insert(key, parse(&format!("{name}.{key}"), value, value_node)?);
    }
    Ok(Value::Map(map))
}

fn parse_array(name: &str, raw: &str, items: &Node) -> Result<Value, String> {
    if raw.starts_with('[') {
        return json(name, raw);
    }
    if raw.starts_with('{') {
        let advice = if simple(items) {
            "Use either the simple \"foo,bar,baz\" array format or the JSON array format (starts \
             from \"[\")."
        } else {
            "Use the JSON array format (starts from \"[\")."
        };
        return Err(format!(
            "A JSON object is provided for environment variable \"{name}\" of type array, an \
             array is expected. {advice}"
        ));
    }
    if !simple(items) {
        let kind = items.kind.name();
        let why = match items.kind {
            Kind::Any => "an arbitrary type (\"any\")".to_owned(),
            _ => format!("a composite type (\"{kind}\")"),
        };
        return Err(format!(
            "Use the JSON array format for environment variable \"{name}\": the item values are \
             supposed to have {why} that is not supported by the simple \"foo,bar,baz\" array \
             format. A JSON array value starts from \"[\"."
        ));
    }
    raw.split(',')
        .enumerate()
        .map(|(index, item)| parse(&format!("{name}[{}]", index + 1), item, items))
        .collect::<Result<Vec<_>, _>>()
        .map(Value::Array)
}

/// The first variant that reads the text as more than a string, else as a string.
fn parse_union(name: &str, raw: &str, variants: &[std::sync::Arc<Node>]) -> Result<Value, String> {
    let mut fallback = None;
    for (index, variant) in variants.iter().enumerate() {
        let Ok(value) = parse(name, raw, variant) else { continue };
        if select(variants, &value) != Some(index) || !validate(variant, &value, name).is_empty() {
            continue;
        }
        if value.as_str() != Some(raw) {
            return Ok(value);
        }
        fallback.get_or_insert(value);
    }
    fallback.ok_or_else(|| {
        format!(
            "Unable to decode a union value from environment variable \"{name}\", got \"{raw}\""
        )
    })
}

/// What `--help-env-list` prints: every variable with its type, default and availability.
pub fn environment_list() -> String {
    const COMMUNITY: &str = "Community Edition";
    const ENTERPRISE: &str = "Enterprise Edition";
    let row = |columns: [&str; 4]| columns.map(str::to_owned);
    let mut sections = vec![
        vec![row(["ENVIRONMENT VARIABLE", "TYPE", "DEFAULT", "AVAILABILITY"])],
        vec![
            row(["TT_INSTANCE_NAME", "string", "N/A", COMMUNITY]),
            row(["TT_CONFIG", "string", "nil", COMMUNITY]),
        ],
    ];
    let options = schema::options().into_iter().map(|(path, node)| {
        let default = match &node.default {
            None => "nil".to_owned(),
            Some(Value::Null) => "box.NULL".to_owned(),
            Some(value) => value.to_string(),
        };
        let edition = if schema::is_enterprise(&path) { ENTERPRISE } else { COMMUNITY };
        let name = environment_name(&path, Level::Override);
        [name, node.kind.name().to_owned(), default, edition.to_owned()]
    });
    sections.push(options.collect());
    table(&sections)
}

/// Rows in columns between bars, sections divided by a line.
fn table(sections: &[Vec<[String; 4]>]) -> String {
    let mut widths = [0; 4];
    for row in sections.iter().flatten() {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = text.len().max(*width);
        }
    }
    let mut result = String::new();
    let mut line = |columns: [String; 4]| {
        for (text, width) in columns.iter().zip(widths) {
            result.push_str(&format!("| {text:width$} "));
        }
        result.push_str("|\n");
    };
    for (index, section) in sections.iter().enumerate() {
        if index > 0 {
            line(widths.map(|width| "-".repeat(width)));
        }
        for row in section {
            line(row.clone());
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(path: &str) -> &'static Node {
        path.split('.').fold(schema::instance(), |node, name| node.field(name).unwrap())
    }

    fn read(path: &str, raw: &str) -> Result<Value, String> {
        parse("TT_X", raw, option(path))
    }

    #[test]
    fn each_type_has_its_text() {
        assert_eq!(read("wal.mode", "none"), Ok("none".into()));
        assert_eq!(read("memtx.memory", "1MiB"), Ok(Value::Integer(1 << 20)));
        assert_eq!(read("log.nonblock", "TRUE"), Ok(true.into()));
        assert_eq!(read("log.level", "7"), Ok(Value::Integer(7)));
        assert_eq!(read("log.level", "debug"), Ok("debug".into()));
        assert_eq!(read("roles", "a,b"), Ok(Value::Array(vec!["a".into(), "b".into()])));
        assert_eq!(
            read("log.modules", "a=debug,b=3").unwrap().to_string(),
            r#"{"a":"debug","b":3}"#
        );
        assert_eq!(read("app.cfg", r#"{"a": [1]}"#).unwrap().to_string(), r#"{"a":[1]}"#);
    }

    #[test]
    fn wrong_text_is_explained() {
        assert_eq!(
            read("log.nonblock", "maybe").unwrap_err(),
            "Unable to decode a boolean value from environment variable \"TT_X\", got \"maybe\""
        );
        assert!(read("iproto.listen", "3301").unwrap_err().contains("composite type (\"record\")"));
        assert!(read("app.cfg", "a=1").unwrap_err().contains("arbitrary type"));
        assert!(read("log.modules", "a").unwrap_err().contains("no \"=\" is found"));
        assert!(read("log.modules", "[]").unwrap_err().contains("an object is expected"));
        assert!(read("iproto.threads", "many").is_err());
    }

    #[test]
    fn variables_are_replaced() {
        let variables = [("a".to_owned(), "1".to_owned())];
        assert_eq!(substitute("x{{ a }}y{{a}}", &variables), Ok("x1y1".into()));
        assert_eq!(substitute("{{ b }}", &variables), Err("b".into()));
        assert_eq!(substitute("{{ open", &variables), Ok("{{ open".into()));
        assert_eq!(without_variables("{{ a }}:3301"), "placeholder:3301");
    }

    #[test]
    fn the_list_names_every_option() {
        let list = environment_list();
        assert!(list.contains("| TT_WAL_MODE "));
        assert!(list.lines().all(|line| line.len() == list.lines().next().unwrap().len()));
    }
}
