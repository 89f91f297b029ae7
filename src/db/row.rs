//! Reads the fields of a system space's row with Tarantool's errors.
//!
//! # Yields
//! never

use smallvec::SmallVec;

use crate::base::error::Result;
use crate::client_error;
use crate::value::mp::{Kind, Reader};

/// The fields of a MessagePack array, found once.
pub(crate) struct Row<'a> {
    fields: SmallVec<[&'a [u8]; 8]>,
}

impl<'a> Row<'a> {
    /// Splits the array into its fields; anything but an array has none.
    pub fn new(data: &'a [u8]) -> Row<'a> {
        let mut reader = Reader::new(data);
        let count = reader.read_array_len().unwrap_or(0);
        let fields = (0..count).map_while(|_| reader.skip()).collect();
        Row { fields }
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// The field's bytes.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.fields.get(index).copied()
    }

    /// An unsigned number of 32 bits.
    pub fn u32(&self, index: usize) -> Result<u32> {
        self.u64(index).and_then(|value| {
            u32::try_from(value).map_err(|_| mismatch(index, "unsigned", Some(Kind::Uint)))
        })
    }

    /// An unsigned number.
    pub fn u64(&self, index: usize) -> Result<u64> {
        self.read(index, "unsigned", |reader| reader.read_uint())
    }

    /// A signed number.
    pub fn i64(&self, index: usize) -> Result<i64> {
        self.read(index, "integer", |reader| reader.read_int())
    }

    /// A boolean.
    pub fn bool(&self, index: usize) -> Result<bool> {
        self.read(index, "boolean", |reader| reader.read_bool())
    }

    /// A string; bytes that are not UTF-8 are an invalid identifier.
    pub fn str(&self, index: usize) -> Result<&'a str> {
        let bytes = self.read(index, "string", |reader| reader.read_str())?;
        std::str::from_utf8(bytes)
            .map_err(|_| client_error!(ER_IDENTIFIER, String::from_utf8_lossy(bytes).into_owned()))
    }

    /// A map's bytes.
    pub fn map(&self, index: usize) -> Result<&'a [u8]> {
        self.container(index, Kind::Map, "map")
    }

    /// An array's bytes.
    pub fn array(&self, index: usize) -> Result<&'a [u8]> {
        self.container(index, Kind::Array, "array")
    }

    fn container(&self, index: usize, kind: Kind, expected: &str) -> Result<&'a [u8]> {
        let field = self.get(index).ok_or_else(|| missing(index))?;
        let actual = Reader::new(field).kind();
        if actual == Some(kind) { Ok(field) } else { Err(mismatch(index, expected, actual)) }
    }

    fn read<T>(
        &self,
        index: usize,
        expected: &str,
        read: impl FnOnce(&mut Reader<'a>) -> Option<T>,
    ) -> Result<T> {
        let field = self.get(index).ok_or_else(|| missing(index))?;
        let mut reader = Reader::new(field);
        let actual = reader.kind();
        read(&mut reader).ok_or_else(|| mismatch(index, expected, actual))
    }
}

fn missing(index: usize) -> crate::base::Error {
    client_error!(ER_NO_SUCH_FIELD_NO, index + 1)
}

fn mismatch(index: usize, expected: &str, actual: Option<Kind>) -> crate::base::Error {
    let actual = actual.map_or("nothing", kind_name);
    client_error!(ER_FIELD_TYPE, (index + 1).to_string(), expected, actual)
}

/// The name messages give a MessagePack kind.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Nil => "nil",
        Kind::Uint => "unsigned",
        Kind::Int => "integer",
        Kind::Str => "string",
        Kind::Bin => "varbinary",
        Kind::Array => "array",
        Kind::Map => "map",
        Kind::Bool => "boolean",
        Kind::Float => "float",
        Kind::Double => "double",
        Kind::Ext => "extension",
    }
}

/// Checks a name of a schema object: printable UTF-8, not empty, not too long.
pub(crate) fn check_identifier(name: &str) -> Result<()> {
    // Separators of lines and paragraphs are no control characters.
    let is_bad = |code: char| code.is_control() || matches!(code, '\u{2028}' | '\u{2029}');
    let printable = !name.is_empty() && !name.chars().any(is_bad);
    if printable && name.len() <= crate::base::limits::NAME_SIZE_MAX {
        return Ok(());
    }
    Err(client_error!(ER_IDENTIFIER, name))
}

/// Whether a name is too long; such names are cut in messages by [`cut_name`].
pub(crate) fn is_name_too_long(name: &str) -> bool {
    name.len() > crate::base::limits::NAME_SIZE_MAX
}

/// The beginning of a name that is too long to be shown.
pub(crate) fn cut_name(name: &str) -> &str {
    const SHOWN_SIZE: usize = 64;
    &name[..name.floor_char_boundary(SHOWN_SIZE.min(name.len()))]
}
