//! YAML text into [`Value`], and the place of a path in the text.
//!
//! `serde_yaml` parses but keeps no positions in the values that it gives. It does put one into
//! an error, so the position of a path is found by reading the text once more with a reader that
//! fails on purpose when it reaches the path. That happens only when there is a problem to report.
//!
//! # Invariants
//! - A key that is written twice in one mapping is an error.
//! - Nesting and aliases are bounded by the parser; hostile text ends in an error.
//!
//! # Yields
//! never

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::problem::{Position, Problem, Step};
use super::value::{Map, Value};

/// Reads one document. `file` is the name for messages.
pub fn parse(text: &str, file: &str) -> Result<Value, Problem> {
    ValueSeed.deserialize(serde_yaml::Deserializer::from_str(text)).or_else(|error| {
        if error.to_string() == "EOF while parsing a value" {
            return Ok(Value::Null);
        }
        let position = position_of_error(&error);
        let text = error.to_string();
        let reason = without_place(&text);
        let message = format!("Unable to parse config file {file:?} as YAML: {reason}");
        Err(Problem::new(message).in_file(file).at(position))
    })
}

/// Where `path` stands in `text`: a key where the path ends with one, else a list item. When the
/// path goes deeper than the text, the deepest part that exists.
pub fn locate(text: &str, path: &[Step]) -> Option<Position> {
    (1..=path.len()).rev().find_map(|depth| locate_exactly(text, &path[..depth]))
}

/// Where `path` stands in `text`, when all of it is there.
pub fn locate_exactly(text: &str, path: &[Step]) -> Option<Position> {
    let seeker = Seeker { path };
    let error = seeker.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    if !error.to_string().contains(FOUND) {
        return None;
    }
    position_of_error(&error)
}

/// The text of the error by which a seeker reports success; no key can look like it by accident.
const FOUND: &str = "\u{1}lycosa-found\u{1}";

fn position_of_error(error: &serde_yaml::Error) -> Option<Position> {
    error.location().map(|at| Position { line: at.line(), column: at.column() })
}

/// The message without the " at line 3 column 5" that the parser appends.
fn without_place(message: &str) -> &str {
    match message.rfind(" at line ") {
        Some(end) => &message[..end],
        None => message,
    }
}

#[derive(Clone, Copy)]
struct ValueSeed;

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, number, boolean, null, list or mapping")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Boolean(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Unsigned(number), Value::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Double(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(ValueSeed)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(KeySeed { seen: &map })? {
            let value = entries.next_value_seed(ValueSeed)?;
            map.push(key, value);
        }
        Ok(Value::Map(map))
    }
}

/// Reads a key and fails at its place when the mapping has it already.
struct KeySeed<'a> {
    seen: &'a Map,
}

impl KeySeed<'_> {
    fn accept<E: de::Error>(&self, key: Value) -> Result<Value, E> {
        match self.seen.get_key(&key) {
            Some(_) => Err(E::custom(format_args!("duplicate key \"{key}\""))),
            None => Ok(key),
        }
    }
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number as the key")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.accept(Value::String(text.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        self.accept(Value::Integer(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        self.accept(i64::try_from(number).map_or(Value::Unsigned(number), Value::Integer))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        self.accept(Value::Double(number))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Value, E> {
        self.accept(Value::Boolean(flag))
    }
}

/// Walks to a path and reports its place as an error.
#[derive(Clone, Copy)]
struct Seeker<'a> {
    path: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Seeker<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seeker<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.arrive()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.arrive()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.arrive()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.arrive()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.arrive()
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.arrive()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.arrive()?;
        let Some((Step::Index(wanted), rest)) = self.path.split_first() else {
            while items.next_element::<de::IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        for index in 1.. {
            let found = if index == *wanted {
                items.next_element_seed(Seeker { path: rest })?.is_some()
            } else {
                items.next_element::<de::IgnoredAny>()?.is_some()
            };
            if !found {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.arrive()?;
        let (wanted, rest) = match self.path.split_first() {
            Some((Step::Key(name), rest)) => (name.clone(), rest),
            Some((Step::Index(number), rest)) => (number.to_string(), rest),
            None => return Ok(()),
        };
        let last = rest.is_empty();
        while let Some(matches) = entries.next_key_seed(KeySeeker { wanted: &wanted, last })? {
            if matches {
                entries.next_value_seed(Seeker { path: rest })?;
            } else {
                entries.next_value::<de::IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl Seeker<'_> {
    fn arrive<E: de::Error>(self) -> Result<(), E> {
        if self.path.is_empty() { Err(E::custom(FOUND)) } else { Ok(()) }
    }
}

/// Reads a key: whether it is the wanted one; fails at its place when it ends the path.
struct KeySeeker<'a> {
    wanted: &'a str,
    last: bool,
}

impl KeySeeker<'_> {
    fn judge<E: de::Error>(&self, key: &str) -> Result<bool, E> {
        if key != self.wanted {
            return Ok(false);
        }
        if self.last { Err(E::custom(FOUND)) } else { Ok(true) }
    }
}

impl<'de> DeserializeSeed<'de> for KeySeeker<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeySeeker<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number as the key")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
        self.judge(text)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<bool, E> {
        self.judge(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<bool, E> {
        self.judge(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<bool, E> {
        self.judge(&Value::Double(number).to_string())
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<bool, E> {
        self.judge(if flag { "true" } else { "false" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Step {
        Step::Key(name.into())
    }

    #[test]
    fn empty_text_is_null_and_order_is_kept() {
        assert_eq!(parse("", "c").unwrap(), Value::Null);
        assert_eq!(parse("# nothing\n", "c").unwrap(), Value::Null);
        let value = parse("b: 1\na: [x, ~, 2.5, true]\n", "c").unwrap();
        assert_eq!(value.to_string(), r#"{"a":["x",null,2.5,true],"b":1}"#);
    }

    #[test]
    fn duplicate_key_is_reported_at_the_second_one() {
        let problem = parse("a: 1\nb: 2\na: 3\n", "c.yaml").unwrap_err();
        assert_eq!(problem.position, Some(Position { line: 3, column: 1 }));
        assert!(problem.message.contains("duplicate key \"a\""), "{}", problem.message);
    }

    #[test]
    fn syntax_error_has_its_place() {
        let problem = parse("a:\n  b: [1, 2\nc: 3\n", "c.yaml").unwrap_err();
        assert!(problem.position.is_some());
        assert!(problem.message.starts_with("Unable to parse config file \"c.yaml\" as YAML: "));
    }

    #[test]
    fn locate_finds_keys_items_and_the_deepest_part() {
        let text = "groups:\n  g:\n    listen:\n    - uri: a\n    - uri: b\n";
        let path = [key("groups"), key("g"), key("listen"), Step::Index(2), key("uri")];
        assert_eq!(locate(text, &path), Some(Position { line: 5, column: 7 }));
        let missing = [key("groups"), key("g"), key("none")];
        assert_eq!(locate(text, &missing), Some(Position { line: 2, column: 3 }));
        assert_eq!(locate(text, &[key("x")]), None);
    }

    #[test]
    fn locate_goes_through_aliases() {
        let text = "a: &x\n  bad: 1\nb: *x\n";
        let at = locate(text, &[key("b"), key("bad")]);
        assert_eq!(at, Some(Position { line: 2, column: 3 }));
    }
}
