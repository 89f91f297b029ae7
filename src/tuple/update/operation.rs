//! One operation of an update: decoding, and the wording of what can be wrong with it.

use smallvec::SmallVec;

use super::scalar::Scalar;
use crate::base::{Error, Result, limits};
use crate::client_error;
use crate::tuple::body::Fields;
use crate::tuple::format::Format;
use crate::tuple::item::{self, Kind};
use crate::tuple::json_path::{Lexer, Token};

/// Decoded operations in order.
pub(super) type List<'a> = SmallVec<[Operation<'a>; 4]>;

/// The operations of one update.
pub(super) struct Operations<'a>(List<'a>);

/// A decoded operation.
pub(super) struct Operation<'a> {
    /// The character that names it.
    pub code: u8,
    pub argument: Argument<'a>,
    /// Number of the tuple's field from 0; negative counts from the end.
    pub field: i32,
    /// Steps inside the field, up to the first that cannot be read.
    pub path: SmallVec<[Token; 2]>,
    /// Position of what cannot be read in the path.
    pub path_error: Option<usize>,
    /// The path as the user wrote it, for messages.
    pub path_text: Option<&'a [u8]>,
}

/// What an operation does, with its operand.
pub(super) enum Argument<'a> {
    /// `=`: the new value.
    Set(&'a [u8]),
    /// `!`: the value to insert.
    Insert(&'a [u8]),
    /// `#`: how many fields to delete.
    Delete(u32),
    /// `+` and `-`: the number.
    Arithmetic(Scalar<'a>),
    /// `&`, `|` and `^`: the number.
    Bit(u64),
    /// `:`
    Splice(Splice<'a>),
}

/// Cut and paste in a string.
#[derive(Clone, Copy)]
pub(super) struct Splice<'a> {
    /// Where, from 0; negative counts from behind the last byte, which is -1.
    pub offset: i32,
    /// How many bytes to cut; negative: all but so many.
    pub cut: i32,
    pub paste: &'a [u8],
}

impl<'a> Operations<'a> {
    pub fn decode(data: &'a [u8], format: &Format, index_base: u32) -> Result<Operations<'a>> {
        let (count, head) = item::array(data).ok_or_else(malformed)?;
        if count as usize > limits::UPDATE_OPERATION_COUNT_MAX {
            return Err(Error::illegal_params("too many operations for update"));
        }
        let mut rest = &data[head..];
        let mut list = List::with_capacity(count as usize);
        for number in 1..=count {
            let size = item::size(rest).ok_or_else(malformed)?;
            let (operation, after) = rest.split_at(size);
            list.push(Operation::decode(operation, number, format, index_base)?);
            rest = after;
        }
        Ok(Operations(list))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Operation<'a>> {
        self.0.iter()
    }
}

impl<'a> Operation<'a> {
    fn decode(
        data: &'a [u8],
        number: u32,
        format: &Format,
        index_base: u32,
    ) -> Result<Operation<'a>> {
        let must_be = "update operation must be an array {op,..}";
        let (count, _) = item::array(data).ok_or_else(|| Error::illegal_params(must_be))?;
        let mut parts = Fields::new(data);
        let Some(code) = parts.next() else {
            return Err(Error::illegal_params(format!("{must_be}, got empty array")));
        };
        let code = item::string(code)
            .ok_or_else(|| Error::illegal_params("update operation name must be a string"))?;
        let expected_count = match code {
            b":" => 5,
            b"=" | b"!" | b"#" | b"+" | b"-" | b"&" | b"|" | b"^" => 3,
            code => {
                let quoted = format!("\"{}\"", String::from_utf8_lossy(code));
                return Err(client_error!(ER_UNKNOWN_UPDATE_OP, number, quoted));
            }
        };
        if count != expected_count {
            let problem =
                format!("wrong number of arguments, expected {expected_count}, got {count}");
            return Err(client_error!(ER_UNKNOWN_UPDATE_OP, number, problem));
        }
        let mut operation = Operation {
            code: code[0],
            argument: Argument::Delete(1),
            field: 0,
            path: SmallVec::new(),
            path_error: None,
            path_text: None,
        };
        operation.decode_field(parts.next().ok_or_else(malformed)?, format, index_base)?;
        operation.decode_argument(parts, index_base)?;
        Ok(operation)
    }

    /// Reads which field it is about: a number, a name or a path.
    fn decode_field(&mut self, field: &'a [u8], format: &Format, index_base: u32) -> Result<()> {
        match item::kind(field) {
            Kind::Uint | Kind::Int => {
                let number = self.read_int(field)?;
                self.field = match number.checked_sub_unsigned(index_base) {
                    _ if number < 0 => number,
                    Some(index) if index >= 0 => index,
                    _ => return Err(client_error!(ER_NO_SUCH_FIELD_NO, number)),
                };
                Ok(())
            }
            Kind::Str => self.decode_path(item::string(field).unwrap_or(&[]), format),
            _ => Err(Error::illegal_params("field id must be a number or a string")),
        }
    }

    fn decode_path(&mut self, text: &'a [u8], format: &Format) -> Result<()> {
        self.path_text = Some(text);
        let field_number = |name: &[u8]| {
            let number = std::str::from_utf8(name).ok().and_then(|name| format.field_number(name));
            number.and_then(|number| i32::try_from(number).ok())
        };
        let missing =
            || client_error!(ER_NO_SUCH_FIELD_NAME, String::from_utf8_lossy(text).into_owned());
        if let Some(number) = field_number(text) {
            self.field = number;
            return Ok(());
        }
        let mut lexer = Lexer::new(text, 1);
        let first = match lexer.next() {
            Ok(Some(first)) => first,
            Ok(None) => return Err(missing()),
            Err(error) => return Err(self.bad_path(error.position)),
        };
        self.field = match first {
            Token::Index(index) => i32::try_from(index).map_err(|_| missing())?,
            Token::Key(name) => field_number(name.as_bytes()).ok_or_else(missing)?,
            Token::Any => return Err(missing()),
        };
        loop {
            match lexer.next() {
                Ok(None) => break,
                Ok(Some(Token::Any)) => {
                    self.path_error = Some(lexer.position() - 1);
                    break;
                }
                Ok(Some(token)) => self.path.push(token),
                Err(error) => {
                    self.path_error = Some(error.position);
                    break;
                }
            }
        }
        Ok(())
    }

    fn decode_argument(&mut self, mut parts: Fields<'a>, index_base: u32) -> Result<()> {
        let first = parts.next().ok_or_else(malformed)?;
        self.argument = match self.code {
            b'=' => Argument::Set(first),
            b'!' => Argument::Insert(first),
            b'#' => match item::uint(first) {
                // A count above all tuples means all fields.
                Some(1..) => Argument::Delete(
                    item::uint(first)
                        .and_then(|count| u32::try_from(count).ok())
                        .unwrap_or(u32::MAX),
                ),
                Some(0) => return Err(self.error("cannot delete 0 fields")),
                None => return Err(self.wrong_argument("a positive integer")),
            },
            b'+' | b'-' => match Scalar::read(first) {
                Some(number) if number.is_number() => Argument::Arithmetic(number),
                _ => return Err(self.wrong_argument("a number")),
            },
            b'&' | b'|' | b'^' => match item::uint(first) {
                Some(number) => Argument::Bit(number),
                None => return Err(self.wrong_argument("a positive integer")),
            },
            _ => {
                let mut offset = self.read_int(first)?;
                if offset >= 0 {
                    offset = offset
                        .checked_sub_unsigned(index_base)
                        .filter(|offset| *offset >= 0)
                        .ok_or_else(|| self.out_of_bound())?;
                }
                let cut = self.read_int(parts.next().ok_or_else(malformed)?)?;
                let paste = parts.next().ok_or_else(malformed)?;
                let paste = item::string(paste)
                    .or_else(|| item::binary(paste))
                    .ok_or_else(|| self.wrong_argument("a string or varbinary"))?;
                Argument::Splice(Splice { offset, cut, paste })
            }
        };
        Ok(())
    }

    fn read_int(&self, data: &[u8]) -> Result<i32> {
        let unsigned = item::uint(data).map(|number| i32::try_from(number).ok());
        let number = unsigned.unwrap_or_else(|| i32::try_from(item::int(data)?).ok());
        number.ok_or_else(|| self.wrong_argument("an integer"))
    }

    /// How messages name the field.
    fn field_text(&self) -> String {
        match self.path_text {
            Some(text) => format!("'{}'", String::from_utf8_lossy(text)),
            None if self.field >= 0 => (i64::from(self.field) + 1).to_string(),
            None => self.field.to_string(),
        }
    }

    /// The operand, or the field, is not what the operation takes.
    pub fn wrong_argument(&self, expected: &str) -> Error {
        client_error!(ER_UPDATE_ARG_TYPE, char::from(self.code), self.field_text(), expected)
    }

    pub fn integer_overflow(&self) -> Error {
        client_error!(ER_UPDATE_INTEGER_OVERFLOW, char::from(self.code), self.field_text())
    }

    pub fn decimal_overflow(&self) -> Error {
        client_error!(ER_UPDATE_DECIMAL_OVERFLOW, char::from(self.code), self.field_text())
    }

    /// The splice begins outside of the string.
    pub fn out_of_bound(&self) -> Error {
        client_error!(ER_UPDATE_SPLICE, self.field_text(), "offset is out of bound")
    }

    /// The field is not there.
    pub fn no_such_field(&self) -> Error {
        if self.path_text.is_some() {
            return client_error!(ER_NO_SUCH_FIELD_NAME, self.field_text());
        }
        let number = i64::from(self.field) + i64::from(self.field >= 0);
        client_error!(ER_NO_SUCH_FIELD_NO, number)
    }

    pub fn error(&self, details: &str) -> Error {
        client_error!(ER_UPDATE_FIELD, self.field_text(), details)
    }

    pub fn bad_path(&self, position: usize) -> Error {
        self.error(&format!("invalid JSON in position {position}"))
    }
}

fn malformed() -> Error {
    client_error!(ER_INVALID_MSGPACK, "update operations")
}
