//! The schema as JSON Schema, for editors: `config:jsonschema()`.
//!
//! # Yields
//! never

use serde_json::{Map, Value as Json, json};

use super::schema::{self, Kind, Node, Unit};
use super::value::Value;

/// What sizes with units look like.
pub const BYTES_PATTERN: &str = "^(?:\\d+(?:\\.\\d*)?|\\.\\d+)\\s*\
     (?:[Bb]|[Kk][Ii][Bb]|[Mm][Ii][Bb]|[Gg][Ii][Bb]|[Tt][Ii][Bb]|[Pp][Ii][Bb])?$";
/// What durations with units look like.
pub const SECONDS_PATTERN: &str = "^(?:\\d+(?:\\.\\d*)?|\\.\\d+)\\s*(?:ms|s|m|h|d|w|M|y)?$";

/// The JSON Schema of a configuration file.
pub fn jsonschema() -> Json {
    let mut schema = of(schema::cluster());
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    Json::Object(schema)
}

fn of(node: &Node) -> Map<String, Json> {
    let mut result = Map::new();
    let mut put = |key: &str, value: Json| {
        result.insert(key.into(), value);
    };
    match &node.kind {
        Kind::Record(fields) => {
            put("type", "object".into());
            let properties =
                fields.iter().map(|(name, field)| ((*name).to_owned(), Json::Object(of(field))));
            put("properties", Json::Object(properties.collect()));
            put("additionalProperties", false.into());
        }
        Kind::Map { value, .. } => {
            put("type", "object".into());
            put("additionalProperties", Json::Object(of(value)));
        }
        Kind::Array(items) => {
            put("type", "array".into());
            put("items", Json::Object(of(items)));
            if node.unique {
                put("uniqueItems", true.into());
            }
        }
        Kind::Union(variants) => {
            put("anyOf", variants.iter().map(|variant| Json::Object(of(variant))).collect());
        }
        Kind::Any => {}
        kind => match node.unit {
            Unit::None => put("type", kind.name().into()),
            Unit::Bytes => {
                put("type", json!([kind.name(), "string"]));
                put("pattern", BYTES_PATTERN.into());
            }
            Unit::Seconds => {
                put("type", json!([kind.name(), "string"]));
                put("pattern", SECONDS_PATTERN.into());
            }
        },
    }
    put("description", node.description.into());
    if let Some(default) = node.default.as_ref().filter(|default| !default.is_null()) {
        put("default", default.to_json());
    }
    if !node.allowed.is_empty() {
        put("enum", node.allowed.iter().map(Value::to_json).collect());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_describes_all_scopes() {
        let schema = jsonschema();
        let replicaset = &schema["properties"]["groups"]["additionalProperties"]["properties"]["replicasets"]
            ["additionalProperties"]["properties"];
        assert_eq!(replicaset["leader"]["type"], "string");
        let wal = &replicaset["instances"]["additionalProperties"]["properties"]["wal"];
        assert_eq!(wal["properties"]["mode"]["enum"], json!(["none", "write", "fsync"]));
        assert_eq!(wal["properties"]["mode"]["default"], "write");
        assert_eq!(wal["additionalProperties"], false);
    }
}
