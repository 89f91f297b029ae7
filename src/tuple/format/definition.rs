//! The definition of a field as a schema states it, and reading it from `_space` rows.

use std::collections::HashMap;

use crate::base::{Result, limits};
use crate::client_error;
use crate::tuple::body::Fields;
use crate::tuple::field_type::FieldType;
use crate::tuple::item;

/// Id that says there is no collation.
pub const COLLATION_NONE: u32 = crate::value::collation::NONE_ID;

/// What happens when a field that may not be nil is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NullableAction {
    /// Nothing: the field may be nil.
    None,
    /// SQL's ROLLBACK.
    Rollback,
    /// SQL's ABORT.
    Abort,
    /// SQL's FAIL.
    Fail,
    /// SQL's IGNORE.
    Ignore,
    /// SQL's REPLACE.
    Replace,
    /// An error.
    #[default]
    Default,
}

impl NullableAction {
    const ALL: [NullableAction; 7] = [
        NullableAction::None,
        NullableAction::Rollback,
        NullableAction::Abort,
        NullableAction::Fail,
        NullableAction::Ignore,
        NullableAction::Replace,
        NullableAction::Default,
    ];

    /// The name in schemas.
    pub const fn name(self) -> &'static str {
        match self {
            NullableAction::None => "none",
            NullableAction::Rollback => "rollback",
            NullableAction::Abort => "abort",
            NullableAction::Fail => "fail",
            NullableAction::Ignore => "ignore",
            NullableAction::Replace => "replace",
            NullableAction::Default => "default",
        }
    }

    /// The action with this name.
    pub fn by_name(name: &str) -> Option<NullableAction> {
        NullableAction::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name))
    }
}

/// A named field of a space.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldDef {
    /// The name, unique in the space.
    pub name: Box<str>,
    /// The type.
    pub kind: FieldType,
    /// Digits after the point of a fixed-point decimal type.
    pub scale: i64,
    /// Whether it may be nil or absent.
    pub is_nullable: bool,
    /// What happens if it is nil and may not be.
    pub nullable_action: NullableAction,
    /// The collation of strings, or [`COLLATION_NONE`].
    pub collation: u32,
    /// The value in place of nil, as MessagePack.
    pub default: Option<Box<[u8]>>,
    /// Id of the function that computes the default; 0 for none.
    pub default_func: u32,
    /// Constraints as MessagePack, kept for whoever executes them.
    pub constraint: Option<Box<[u8]>>,
    /// Foreign keys as MessagePack, kept for whoever executes them.
    pub foreign_key: Option<Box<[u8]>>,
    /// Compression options as MessagePack, kept.
    pub compression: Option<Box<[u8]>>,
    /// Layout of the field in engines that know several.
    pub layout: Option<Box<str>>,
}

impl FieldDef {
    /// A field of this name and type that may not be nil.
    pub fn new(name: &str, kind: FieldType) -> FieldDef {
        FieldDef {
            name: name.into(),
            kind,
            scale: 0,
            is_nullable: false,
            nullable_action: NullableAction::Default,
            collation: COLLATION_NONE,
            default: None,
            default_func: 0,
            constraint: None,
            foreign_key: None,
            compression: None,
            layout: None,
        }
    }

    /// The same field, but it may be nil.
    #[must_use]
    pub fn nullable(mut self) -> FieldDef {
        self.is_nullable = true;
        self.nullable_action = NullableAction::None;
        self
    }

    /// The fields of a space's format: a MessagePack array of maps, as in `_space`.
    pub fn decode_all(format: &[u8]) -> Result<Vec<FieldDef>> {
        if item::array(format).is_none() {
            return Err(client_error!(ER_WRONG_SPACE_FORMAT, 0u32, "expected an array"));
        }
        Fields::new(format)
            .enumerate()
            .map(|(index, field)| {
                let number = index as u32 + 1;
                decode(field)
                    .map_err(|details| client_error!(ER_WRONG_SPACE_FORMAT, number, details))
            })
            .collect()
    }
}

/// Numbers of the fields by name; a name may stand for one field only.
pub(super) fn field_numbers(
    fields: &[FieldDef],
) -> Result<HashMap<Box<str>, u32, ahash::RandomState>> {
    let mut numbers = HashMap::default();
    for (number, field) in fields.iter().enumerate() {
        if numbers.insert(field.name.clone(), number as u32).is_some() {
            return Err(client_error!(ER_SPACE_FIELD_IS_DUPLICATE, field.name.as_ref()));
        }
    }
    Ok(numbers)
}

/// Reads one field's map; the error is the detail of the message.
fn decode(data: &[u8]) -> Result<FieldDef, String> {
    let (count, head) = item::map(data).ok_or("expected a map")?;
    let mut field = FieldDef::new("", FieldType::Any);
    let (mut name, mut scale, mut action) = (None, None, None);
    let mut rest = &data[head..];
    for _ in 0..count {
        let key = take(&mut rest)?;
        let key = item::string(key).ok_or("expected a map with string keys")?;
        let value = take(&mut rest)?;
        match key {
            b"name" => name = Some(text(value, "name")?),
            b"type" => {
                let kind = option_name(value, "type")?;
                field.kind = FieldType::by_name(&kind).ok_or("unknown field type")?;
            }
            b"scale" => scale = Some(integer(value, "scale")?),
            b"is_nullable" => field.is_nullable = boolean(value, "is_nullable")?,
            b"nullable_action" => {
                let name = option_name(value, "nullable_action")?;
                action = Some(NullableAction::by_name(&name).ok_or("unknown nullable action")?);
            }
            b"collation" => field.collation = unsigned(value, "collation")?,
            b"default" => field.default = Some(value.into()),
            b"default_func" => field.default_func = unsigned(value, "default_func")?,
            b"constraint" => field.constraint = Some(value.into()),
            b"foreign_key" => field.foreign_key = Some(value.into()),
            b"compression" => field.compression = Some(value.into()),
            b"layout" => field.layout = Some(text(value, "layout")?.into()),
            // Unknown keys are what applications note about their fields.
            _ => {}
        }
    }
    field.name = name.ok_or("field name is missing")?.into();
    finish(field, scale, action)
}

/// Checks what the keys of a field's map say together.
fn finish(
    mut field: FieldDef,
    scale: Option<i64>,
    action: Option<NullableAction>,
) -> Result<FieldDef, String> {
    if field.name.len() > limits::NAME_SIZE_MAX {
        return Err("field name is too long".into());
    }
    field.nullable_action = action.unwrap_or(match field.is_nullable {
        true => NullableAction::None,
        false => NullableAction::Default,
    });
    if field.is_nullable != (field.nullable_action == NullableAction::None) {
        return Err("conflicting nullability and nullable action properties".into());
    }
    let may_collate = matches!(field.kind, FieldType::String | FieldType::Scalar | FieldType::Any);
    if field.collation != COLLATION_NONE && !may_collate {
        return Err("collation is reasonable only for 'string', 'scalar', and 'any' fields".into());
    }
    match (field.kind.precision(), scale) {
        (Some(_), None) => return Err("scale is not specified".into()),
        (None, Some(_)) => return Err("scale makes sense only for fixed-point decimals".into()),
        (_, scale) => field.scale = scale.unwrap_or(0),
    }
    Ok(field)
}

/// Takes one whole item off the front.
pub(in crate::tuple) fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let size = item::size(rest).ok_or("invalid MsgPack")?;
    let (value, after) = rest.split_at(size);
    *rest = after;
    Ok(value)
}

/// An option that is a string.
pub(in crate::tuple) fn text(value: &[u8], option: &str) -> Result<String, String> {
    let bytes = item::string(value).ok_or_else(|| wrong_type(option, "string"))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| wrong_type(option, "string"))
}

/// An option that is one of some names.
pub(in crate::tuple) fn option_name(value: &[u8], option: &str) -> Result<String, String> {
    text(value, option).map_err(|_| wrong_type(option, "enum"))
}

/// An option that is a boolean.
pub(in crate::tuple) fn boolean(value: &[u8], option: &str) -> Result<bool, String> {
    item::boolean(value).ok_or_else(|| wrong_type(option, "boolean"))
}

/// An option that is an unsigned number of 32 bits.
pub(in crate::tuple) fn unsigned(value: &[u8], option: &str) -> Result<u32, String> {
    let number = item::uint(value).and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| wrong_type(option, "unsigned"))
}

/// An option that is an integer.
pub(in crate::tuple) fn integer(value: &[u8], option: &str) -> Result<i64, String> {
    let unsigned = item::uint(value).and_then(|number| i64::try_from(number).ok());
    unsigned.or_else(|| item::int(value)).ok_or_else(|| wrong_type(option, "integer"))
}

fn wrong_type(option: &str, expected: &str) -> String {
    format!("'{option}' must be {expected}")
}
