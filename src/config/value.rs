//! The tree that a configuration is made of: what YAML, JSON and environment variables give.
//!
//! It keeps the order of keys, because a person reads it back, and it knows the names that Lua
//! has for its types, because error messages use them.
//!
//! # Yields
//! never

use std::fmt;

/// A configuration value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`: present, and means "nothing" (`box.NULL` in Lua).
    #[default]
    Null,
    /// A boolean.
    Boolean(bool),
    /// A number without a fraction.
    Integer(i64),
    /// A number without a fraction beyond the reach of `Integer`.
    Unsigned(u64),
    /// Any other number.
    Double(f64),
    /// A string.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// A mapping.
    Map(Map),
}

/// A mapping in the order in which its keys were written. Keys are strings nearly always; a free
/// form section such as `app.cfg` may have numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map(Vec<(Value, Value)>);

impl Value {
    /// The name that Lua has for the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "nil",
            Value::Boolean(_) => "boolean",
            Value::Integer(_) | Value::Unsigned(_) | Value::Double(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) | Value::Map(_) => "table",
        }
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The string, when it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, when it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Boolean(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The number, when it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Integer(number) => Some(*number as f64),
            Value::Unsigned(number) => Some(*number as f64),
            Value::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, when it is one without a fraction that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            Value::Double(number) if number.fract() == 0.0 && number.abs() < 9.2e18 => {
                Some(*number as i64)
            }
            _ => None,
        }
    }

    /// The list, when it is one.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The mapping, when it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The value under `key`, when this is a mapping that has it.
    pub fn field(&self, key: &str) -> Option<&Value> {
        self.as_map()?.get(key)
    }

    /// The value under a dotted path, `null` counting as absent.
    pub fn path(&self, path: &str) -> Option<&Value> {
        let found = path.split('.').try_fold(self, |value, key| value.field(key))?;
        (!found.is_null()).then_some(found)
    }

    /// Whether this is a list or mapping with nothing in it.
    pub fn is_empty_table(&self) -> bool {
        match self {
            Value::Array(items) => items.is_empty(),
            Value::Map(map) => map.is_empty(),
            _ => false,
        }
    }

    /// The same value for the JSON writer.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Boolean(flag) => (*flag).into(),
            Value::Integer(number) => (*number).into(),
            Value::Unsigned(number) => (*number).into(),
            Value::Double(number) => (*number).into(),
            Value::String(text) => text.as_str().into(),
            Value::Array(items) => items.iter().map(Value::to_json).collect(),
            Value::Map(map) => {
                let fields = map.iter().map(|(key, value)| (key.to_string(), value.to_json()));
                serde_json::Value::Object(fields.collect())
            }
        }
    }

    /// Reads JSON, the form that environment variables give lists and mappings in.
    pub fn from_json(text: &str) -> Result<Value, String> {
        serde_json::from_str::<serde_json::Value>(text)
            .map(Value::from)
            .map_err(|error| error.to_string())
    }
}

impl Map {
    pub(super) const EMPTY: Map = Map(Vec::new());

    /// An empty mapping.
    pub fn new() -> Map {
        Map::default()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value under a string key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(have, _)| have.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The value under any key.
    pub fn get_key(&self, key: &Value) -> Option<&Value> {
        self.0.iter().find(|(have, _)| have == key).map(|(_, value)| value)
    }

    /// Puts a value under a key, in the place of an old one or at the end.
    pub fn insert(&mut self, key: impl Into<Value>, value: Value) {
        let key = key.into();
        match self.0.iter_mut().find(|(have, _)| *have == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    /// Appends what is known to be absent.
    pub fn push(&mut self, key: impl Into<Value>, value: Value) {
        self.0.push((key.into(), value));
    }

    /// Takes a string key out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.0.iter().position(|(have, _)| have.as_str() == Some(key))?;
        Some(self.0.remove(index).1)
    }

    /// The pairs in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Value, Value)> {
        self.0.iter()
    }

    /// The pairs whose keys are strings, in order.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().filter_map(|(key, value)| Some((key.as_str()?, value)))
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a (Value, Value);
    type IntoIter = std::slice::Iter<'a, (Value, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for Map {
    type Item = (Value, Value);
    type IntoIter = std::vec::IntoIter<(Value, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(Value, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (Value, Value)>>(pairs: I) -> Map {
        Map(pairs.into_iter().collect())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Value {
        Value::Boolean(flag)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Double(number)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Value {
        Value::Map(map)
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(flag) => Value::Boolean(flag),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(signed), _) => Value::Integer(signed),
                (None, Some(unsigned)) => Value::Unsigned(unsigned),
                // A JSON number that is no integer is a double by the format's definition.
                (None, None) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Value::String(text),
            serde_json::Value::Array(items) => {
                Value::Array(items.into_iter().map(Value::from).collect())
            }
            serde_json::Value::Object(fields) => Value::Map(
                fields.into_iter().map(|(key, value)| (Value::String(key), value.into())).collect(),
            ),
        }
    }
}

/// As Lua's `tostring` shows scalars; lists and mappings as JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Boolean(flag) => write!(f, "{flag}"),
            Value::Integer(number) if number.unsigned_abs() < 100_000_000_000_000 => {
                write!(f, "{number}")
            }
            Value::Integer(_) | Value::Unsigned(_) | Value::Double(_) => {
                f.write_str(&number_text(self.as_f64().unwrap_or(f64::NAN)))
            }
            Value::String(text) => f.write_str(text),
            Value::Array(_) | Value::Map(_) => write!(f, "{}", self.to_json()),
        }
    }
}

/// A number as `%.14g` prints it, which is how Lua shows numbers.
pub fn number_text(number: f64) -> String {
    const DIGIT_COUNT: i32 = 14;
    if !number.is_finite() {
        return match (number.is_nan(), number > 0.0) {
            (true, _) => "nan".into(),
            (false, true) => "inf".into(),
            (false, false) => "-inf".into(),
        };
    }
    let scientific = format!("{number:.*e}", DIGIT_COUNT as usize - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-5..DIGIT_COUNT).contains(&exponent) {
        let fixed = format!("{number:.*}", (DIGIT_COUNT - 1 - exponent).max(0) as usize);
        return trim_fraction(&fixed).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim_fraction(mantissa), exponent.abs())
}

fn trim_fraction(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_lua_prints_them() {
        assert_eq!(number_text(5.5), "5.5");
        assert_eq!(number_text(1e18), "1e+18");
        assert_eq!(number_text(0.1), "0.1");
        assert_eq!(number_text(-3.0), "-3");
        assert_eq!(number_text(1e-7), "1e-07");
        assert_eq!(Value::Integer(268_435_456).to_string(), "268435456");
    }

    #[test]
    fn map_keeps_the_order_and_replaces_in_place() {
        let mut map = Map::new();
        map.insert("b", 1i64.into());
        map.insert("a", 2i64.into());
        map.insert("b", 3i64.into());
        let keys: Vec<_> = map.named().map(|(key, _)| key).collect();
        assert_eq!(keys, ["b", "a"]);
        assert_eq!(map.get("b"), Some(&Value::Integer(3)));
    }
}
