//! Reading and writing the parts of a key as `_index` rows have them.

use super::{KeyDef, Part, SortOrder};
use crate::base::Result;
use crate::client_error;
use crate::tuple::body::Fields;
use crate::tuple::field_type::FieldType;
use crate::tuple::format::definition::{boolean, integer, option_name, take, text, unsigned};
use crate::tuple::format::{COLLATION_NONE, FieldDef, NullableAction};
use crate::tuple::item;
use crate::tuple::json_path::Path;
use crate::value::msgpack as mp;

impl KeyDef {
    /// The key definition of an index's parts: a MessagePack array of maps, or of arrays as
    /// Tarantool 1.6 wrote them. `fields` are those of the space.
    pub fn decode(parts: &[u8], fields: &[FieldDef]) -> Result<KeyDef> {
        KeyDef::new(Part::decode_all(parts, fields)?)
    }
}

impl Part {
    /// The parts of [`KeyDef::decode`].
    pub fn decode_all(parts: &[u8], fields: &[FieldDef]) -> Result<Vec<Part>> {
        let decoded: Result<Vec<Part>> = Fields::new(parts)
            .enumerate()
            .map(|(index, part)| {
                let decoded = match item::kind(part) {
                    mp::Kind::Array => decode_old(part, fields),
                    _ => decode(part),
                };
                decoded.map_err(|problem| client_error!(ER_WRONG_INDEX_PARTS, index + 1, problem))
            })
            .collect();
        let decoded = decoded?;
        if decoded.is_empty() {
            return Err(client_error!(ER_WRONG_INDEX_PARTS, 1u32, "expected a non-empty array"));
        }
        Ok(decoded)
    }

    /// Appends the part as a map.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let is_sized = self.kind.precision().is_some();
        let optional = [
            is_sized,
            self.collation != COLLATION_NONE,
            self.is_nullable(),
            self.exclude_null,
            self.path.is_some(),
        ];
        let count = 3 + optional.into_iter().filter(|present| *present).count();
        mp::write_map_len(out, count as u32);
        mp::write_str(out, b"field");
        mp::write_uint(out, u64::from(self.field));
        mp::write_str(out, b"type");
        mp::write_str(out, self.kind.name().as_bytes());
        if is_sized {
            mp::write_str(out, b"scale");
            mp::write_int(out, self.scale);
        }
        mp::write_str(out, b"sort_order");
        mp::write_str(out, self.order.name().as_bytes());
        if self.collation != COLLATION_NONE {
            mp::write_str(out, b"collation");
            mp::write_uint(out, u64::from(self.collation));
        }
        if self.is_nullable() {
            mp::write_str(out, b"is_nullable");
            mp::write_bool(out, true);
        }
        if self.exclude_null {
            mp::write_str(out, b"exclude_null");
            mp::write_bool(out, true);
        }
        if let Some(path) = &self.path {
            mp::write_str(out, b"path");
            mp::write_str(out, path.text().as_bytes());
        }
    }
}

impl SortOrder {
    /// The name in `_index`.
    pub const fn name(self) -> &'static str {
        match self {
            SortOrder::Ascending => "asc",
            SortOrder::Descending => "desc",
        }
    }

    /// The order with this name; `undef` is what unordered indexes write.
    pub fn by_name(name: &str) -> Option<SortOrder> {
        match name.to_ascii_lowercase().as_str() {
            "asc" | "undef" => Some(SortOrder::Ascending),
            "desc" => Some(SortOrder::Descending),
            _ => None,
        }
    }
}

/// Reads a part's map; the error is the detail of the message.
fn decode(data: &[u8]) -> Result<Part, String> {
    let (count, head) = item::map(data).ok_or("expected a map")?;
    let mut part = Part::new(0, FieldType::Any);
    let (mut kind, mut scale, mut action, mut is_nullable) = (None, None, None, false);
    let mut rest = &data[head..];
    for _ in 0..count {
        let key = take(&mut rest)?;
        let key = item::string(key).ok_or("expected a map with string keys")?;
        let value = take(&mut rest)?;
        match key {
            b"type" => kind = FieldType::by_name(&option_name(value, "type")?),
            b"scale" => scale = Some(integer(value, "scale")?),
            b"field" => part.field = unsigned(value, "field")?,
            b"collation" => part.collation = unsigned(value, "collation")?,
            b"is_nullable" => is_nullable = boolean(value, "is_nullable")?,
            b"nullable_action" => {
                let name = option_name(value, "nullable_action")?;
                action = Some(NullableAction::by_name(&name).ok_or("unknown nullable action")?);
            }
            b"sort_order" => {
                let name = option_name(value, "sort_order")?;
                part.order = SortOrder::by_name(&name).ok_or("unknown sort order")?;
            }
            b"path" => {
                let text = text(value, "path")?;
                let path = Path::parse(text.as_bytes(), 1).map_err(|_| "invalid path")?;
                part.path = (!path.tokens().is_empty()).then_some(path);
            }
            b"exclude_null" => part.exclude_null = boolean(value, "exclude_null")?,
            key => return Err(format!("unexpected option '{}'", String::from_utf8_lossy(key))),
        }
    }
    part.kind = kind.ok_or("unknown field type")?;
    part.nullable_action = action.unwrap_or(match is_nullable {
        true => NullableAction::None,
        false => NullableAction::Default,
    });
    if part.collation != COLLATION_NONE
        && !matches!(part.kind, FieldType::String | FieldType::Scalar)
    {
        return Err("collation is only reasonable for 'string' and 'scalar' parts".into());
    }
    if is_nullable != (part.nullable_action == NullableAction::None) {
        return Err("conflicting nullability and nullable action properties".into());
    }
    match (part.kind.precision(), scale) {
        (Some(_), None) => return Err("scale is not specified".into()),
        (None, Some(_)) => return Err("scale makes sense only for fixed-point decimals".into()),
        (_, scale) => part.scale = scale.unwrap_or(0),
    }
    Ok(part)
}

/// Reads a part's array: field number, type, and what is ignored.
fn decode_old(data: &[u8], fields: &[FieldDef]) -> Result<Part, String> {
    let mut elements = Fields::new(data);
    let number = elements.next().ok_or("expected a non-empty array")?;
    let kind = elements.next().ok_or("field type is missing")?;
    let number = item::uint(number).ok_or("field id must be an integer")?;
    let kind = item::string(kind).ok_or("field type must be a string")?;
    let kind = std::str::from_utf8(kind).ok().and_then(FieldType::by_name);
    let number = u32::try_from(number).map_err(|_| "field id must be an integer")?;
    let part = Part::new(number, kind.ok_or("unknown field type")?);
    if part.kind.precision().is_some() {
        return Err("scale is not specified".into());
    }
    match fields.get(number as usize) {
        Some(field) if field.is_nullable => Ok(part.nullable()),
        _ => Ok(part),
    }
}
