//! The JSON parser.
//!
//! One loop and an explicit stack: the nesting is bounded by an option and not by the fiber's
//! stack. Texts of errors are Tarantool's, with the place and the surroundings of the bad token.

use smallvec::SmallVec;

use super::DEPTH_MAX;
use crate::value::msgpack;

/// Receives the values of a text in order. An error of its own ends the parse.
///
/// A container is the calls between its `begin_*` and `end_*`: each element of an array is followed
/// by `element`, each value of an object is preceded by `key` and followed by `member`.
pub trait Visitor {
    /// What a visitor fails with.
    type Error;
    /// `null`.
    fn null(&mut self) -> Result<(), Self::Error>;
    /// `true` or `false`.
    fn boolean(&mut self, value: bool) -> Result<(), Self::Error>;
    /// A whole number without point and exponent.
    fn integer(&mut self, value: i64) -> Result<(), Self::Error>;
    /// One that only an unsigned number holds.
    fn unsigned(&mut self, value: u64) -> Result<(), Self::Error>;
    /// Any other number; finite unless the text has `inf`, `nan` or a number beyond doubles.
    fn number(&mut self, value: f64) -> Result<(), Self::Error>;
    /// A string.
    fn string(&mut self, value: &[u8]) -> Result<(), Self::Error>;
    /// `[`.
    fn begin_array(&mut self) -> Result<(), Self::Error>;
    /// An element is complete; the first is 1.
    fn element(&mut self, index: u32) -> Result<(), Self::Error>;
    /// `]`, after so many elements.
    fn end_array(&mut self, count: u32) -> Result<(), Self::Error>;
    /// `{`.
    fn begin_object(&mut self) -> Result<(), Self::Error>;
    /// The key of the value that comes next.
    fn key(&mut self, key: &[u8]) -> Result<(), Self::Error>;
    /// The value of the last key is complete.
    fn member(&mut self) -> Result<(), Self::Error>;
    /// `}`, after so many pairs.
    fn end_object(&mut self, count: u32) -> Result<(), Self::Error>;
}

/// What a text may contain.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Deepest nesting (`decode_max_depth`).
    pub depth_max: usize,
    /// Whether `inf`, `-inf`, `nan` and numbers beyond doubles are accepted
    /// (`decode_invalid_numbers`).
    pub invalid_numbers: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { depth_max: DEPTH_MAX, invalid_numbers: true }
    }
}

/// Why a parse ended early.
#[derive(Debug, PartialEq)]
pub enum Failure<E> {
    /// The text is not JSON; the message says what and where.
    Syntax(String),
    /// The visitor failed.
    Visitor(E),
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Failure<E> {
        Failure::Visitor(error)
    }
}

/// Parses `text`, which is one value and whitespace. As for Lua's C strings, a zero byte ends it.
pub fn parse<V: Visitor>(
    text: &[u8],
    options: &Options,
    visitor: &mut V,
) -> Result<(), Failure<V::Error>> {
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        let message = "JSON parser does not support UTF-16 or UTF-32";
        return Err(Failure::Syntax(message.to_owned()));
    }
    let mut scanner = Scanner {
        text,
        position: 0,
        line: 1,
        line_start: 0,
        token_start: 0,
        unescaped: Vec::new(),
        invalid_numbers: options.invalid_numbers,
    };
    let mut parser = Parser { scanner: &mut scanner, visitor, depth_max: options.depth_max };
    parser.run()
}

#[derive(Clone, Copy, PartialEq)]
enum Token<'a> {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// A string without escapes.
    Plain(&'a [u8]),
    /// A string whose value is in `Scanner::unescaped`.
    Unescaped,
    Unsigned(u64),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token<'_> {
    fn name(self) -> &'static str {
        match self {
            Token::ObjectBegin => "'{'",
            Token::ObjectEnd => "'}'",
            Token::ArrayBegin => "'['",
            Token::ArrayEnd => "']'",
            Token::Plain(_) | Token::Unescaped => "string",
            Token::Unsigned(_) => "unsigned int",
            Token::Integer(_) => "int",
            Token::Number(_) => "number",
            Token::Boolean(_) => "boolean",
            Token::Null => "null",
            Token::Colon => "colon",
            Token::Comma => "comma",
            Token::End => "end",
            Token::Error(what) => what,
        }
    }
}

/// A container that is being read, with the number of complete values in it.
enum Frame {
    Array(u32),
    Object(u32),
}

struct Parser<'p, 'a, V> {
    scanner: &'p mut Scanner<'a>,
    visitor: &'p mut V,
    depth_max: usize,
}

impl<'a, V: Visitor> Parser<'_, 'a, V> {
    fn run(&mut self) -> Result<(), Failure<V::Error>> {
        let mut frames: SmallVec<[Frame; 16]> = SmallVec::new();
        let mut token = self.scanner.next();
        loop {
            if let Some(inner) = self.value(token, &mut frames)? {
                token = inner;
                continue;
            }
            match self.value_complete(&mut frames)? {
                Some(next) => token = next,
                None => break,
            }
        }
        match self.scanner.next() {
            Token::End => Ok(()),
            token => Err(self.unexpected("the end", token)),
        }
    }

    /// Takes the value that starts with `token`. Entering a container with something inside
    /// returns the token of the first value inside.
    fn value(
        &mut self,
        token: Token<'a>,
        frames: &mut SmallVec<[Frame; 16]>,
    ) -> Result<Option<Token<'a>>, Failure<V::Error>> {
        match token {
            Token::Plain(text) => self.visitor.string(text)?,
            Token::Unescaped => self.visitor.string(&self.scanner.unescaped)?,
            Token::Unsigned(value) => self.visitor.unsigned(value)?,
            Token::Integer(value) => self.visitor.integer(value)?,
            Token::Number(value) => {
                if !self.scanner.invalid_numbers && !value.is_finite() {
                    let message = "number must not be NaN or Inf";
                    return Err(Failure::Syntax(message.to_owned()));
                }
                self.visitor.number(value)?;
            }
            Token::Boolean(value) => self.visitor.boolean(value)?,
            Token::Null => self.visitor.null()?,
            Token::ArrayBegin => {
                self.descend(frames.len())?;
                self.visitor.begin_array()?;
                match self.scanner.next() {
                    Token::ArrayEnd => self.visitor.end_array(0)?,
                    token => {
                        frames.push(Frame::Array(0));
                        return Ok(Some(token));
                    }
                }
            }
            Token::ObjectBegin => {
                self.descend(frames.len())?;
                self.visitor.begin_object()?;
                match self.scanner.next() {
                    Token::ObjectEnd => self.visitor.end_object(0)?,
                    token => {
                        frames.push(Frame::Object(0));
                        return self.key(token).map(Some);
                    }
                }
            }
            token => return Err(self.unexpected("value", token)),
        }
        Ok(None)
    }

    /// Ends containers as long as they end here; returns the token of the next value, or `None`
    /// after the outermost one.
    fn value_complete(
        &mut self,
        frames: &mut SmallVec<[Frame; 16]>,
    ) -> Result<Option<Token<'a>>, Failure<V::Error>> {
        while let Some(frame) = frames.last_mut() {
            match frame {
                Frame::Array(count) => {
                    *count += 1;
                    let count = *count;
                    self.visitor.element(count)?;
                    match self.scanner.next() {
                        Token::Comma => return Ok(Some(self.scanner.next())),
                        Token::ArrayEnd => self.visitor.end_array(count)?,
                        token => return Err(self.unexpected("comma or ']'", token)),
                    }
                }
                Frame::Object(count) => {
                    *count += 1;
                    let count = *count;
                    self.visitor.member()?;
                    match self.scanner.next() {
                        Token::Comma => {
                            let token = self.scanner.next();
                            return self.key(token).map(Some);
                        }
                        Token::ObjectEnd => self.visitor.end_object(count)?,
                        token => return Err(self.unexpected("comma or '}'", token)),
                    }
                }
            }
            frames.pop();
        }
        Ok(None)
    }

    /// Takes a key and the colon; returns the token of the value.
    fn key(&mut self, token: Token<'a>) -> Result<Token<'a>, Failure<V::Error>> {
        match token {
            Token::Plain(key) => self.visitor.key(key)?,
            Token::Unescaped => self.visitor.key(&self.scanner.unescaped)?,
            token => return Err(self.unexpected("object key string", token)),
        }
        match self.scanner.next() {
            Token::Colon => Ok(self.scanner.next()),
            token => Err(self.unexpected("colon", token)),
        }
    }

    fn descend(&self, depth: usize) -> Result<(), Failure<V::Error>> {
        if depth < self.depth_max {
            return Ok(());
        }
        let scanner = &self.scanner;
        Err(Failure::Syntax(format!(
            "Found too many nested data structures ({}) on line {} at character {} here '{}'",
            depth + 1,
            scanner.line,
            scanner.position - scanner.line_start,
            scanner.surroundings(scanner.position - 1),
        )))
    }

    fn unexpected(&self, expected: &str, found: Token<'_>) -> Failure<V::Error> {
        let scanner = &self.scanner;
        Failure::Syntax(format!(
            "Expected {expected} but found {} on line {} at character {} here '{}'",
            found.name(),
            scanner.line,
            scanner.token_start - scanner.line_start + 1,
            scanner.surroundings(scanner.token_start),
        ))
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    position: usize,
    line: usize,
    line_start: usize,
    /// Where the last token starts, or where in it the error is.
    token_start: usize,
    unescaped: Vec<u8>,
    invalid_numbers: bool,
}

impl<'a> Scanner<'a> {
    /// The byte at `position`; 0 stands for the end, as in C.
    #[inline]
    fn byte(&self, position: usize) -> u8 {
        self.text.get(position).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Token<'a> {
        let first = loop {
            let byte = self.byte(self.position);
            match byte {
                b' ' | b'\t' | b'\r' => {}
                b'\n' => {
                    self.line += 1;
                    self.line_start = self.position + 1;
                }
                _ => break byte,
            }
            self.position += 1;
        };
        self.token_start = self.position;
        let single = match first {
            0 => return Token::End,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' if self.is_number() => return self.number(),
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            _ => return self.word(),
        };
        self.position += 1;
        single
    }

    fn word(&mut self) -> Token<'a> {
        const WORDS: [(&[u8], Token<'static>); 3] = [
            (b"true", Token::Boolean(true)),
            (b"false", Token::Boolean(false)),
            (b"null", Token::Null),
        ];
        const INVALID_NUMBERS: [(&[u8], Token<'static>); 4] = [
            (b"inf", Token::Number(f64::INFINITY)),
            (b"-inf", Token::Number(f64::NEG_INFINITY)),
            (b"nan", Token::Number(f64::NAN)),
            (b"-nan", Token::Number(f64::NAN)),
        ];
        let invalid: &[_] = if self.invalid_numbers { &INVALID_NUMBERS } else { &[] };
        let rest = &self.text[self.position..];
        match WORDS.iter().chain(invalid).find(|(word, _)| rest.starts_with(word)) {
            Some((word, token)) => {
                self.position += word.len();
                *token
            }
            None => Token::Error("invalid token"),
        }
    }

    /// Whether a number may start here: no leading zeros, no hexadecimal.
    fn is_number(&self) -> bool {
        let start = self.position + (self.byte(self.position) == b'-') as usize;
        match self.byte(start) {
            b'0' => !matches!(self.byte(start + 1), b'0'..=b'9' | b'x' | b'X'),
            b'1'..=b'9' => true,
            _ => false,
        }
    }

    fn digits_end(&self, from: usize) -> usize {
        let digits = self.text[from..].iter().take_while(|byte| byte.is_ascii_digit());
        from + digits.count()
    }

    fn number(&mut self) -> Token<'a> {
        let start = self.position;
        let negative = self.byte(start) == b'-';
        let mut end = self.digits_end(start + negative as usize);
        if !matches!(self.byte(end), b'.' | b'e' | b'E') {
            self.position = end;
            return whole_number(negative, &self.text[start + negative as usize..end]);
        }
        if self.byte(end) == b'.' {
            end = self.digits_end(end + 1);
        }
        if matches!(self.byte(end), b'e' | b'E') {
            let sign = matches!(self.byte(end + 1), b'+' | b'-') as usize;
            if self.byte(end + 1 + sign).is_ascii_digit() {
                end = self.digits_end(end + 1 + sign);
            }
        }
        self.position = end;
        let text = std::str::from_utf8(&self.text[start..end]).ok();
        match text.and_then(|text| text.parse().ok()) {
            Some(value) => Token::Number(value),
            None => Token::Error("invalid number"),
        }
    }

    fn string(&mut self) -> Token<'a> {
        let start = self.position + 1;
        let special = |from: usize| {
            let found = memchr::memchr3(b'"', b'\\', 0, &self.text[from..]);
            found.map_or(self.text.len(), |offset| from + offset)
        };
        let mut end = special(start);
        if self.byte(end) == b'"' {
            self.position = end + 1;
            return Token::Plain(&self.text[start..end]);
        }
        let mut unescaped = std::mem::take(&mut self.unescaped);
        unescaped.clear();
        let mut from = start;
        let error = loop {
            unescaped.extend_from_slice(&self.text[from..end]);
            match self.byte(end) {
                b'"' => break None,
                0 => break Some("unexpected end of string"),
                _ => {}
            }
            match self.escape(end, &mut unescaped) {
                Ok(size) => from = end + size,
                Err(what) => break Some(what),
            }
            end = special(from);
        };
        self.unescaped = unescaped;
        if let Some(what) = error {
            self.position = end;
            self.token_start = end;
            return Token::Error(what);
        }
        self.position = end + 1;
        Token::Unescaped
    }

    /// Appends what the escape at `at` stands for and returns the escape's size.
    fn escape(&self, at: usize, out: &mut Vec<u8>) -> Result<usize, &'static str> {
        let byte = match self.byte(at + 1) {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => 12,
            b'r' => b'\r',
            b'u' => {
                let invalid = "invalid unicode escape code";
                let (code, size) = self.unicode_escape(at).ok_or(invalid)?;
                out.extend_from_slice(code.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(size);
            }
            _ => return Err("invalid escape code"),
        };
        out.push(byte);
        Ok(2)
    }

    /// `\uXXXX`, or two of them that are a surrogate pair.
    fn unicode_escape(&self, at: usize) -> Option<(char, usize)> {
        let unit = self.hex_4(at + 2)?;
        if !(0xd800..0xe000).contains(&unit) {
            return Some((char::from_u32(unit)?, 6));
        }
        if self.byte(at + 6) != b'\\' || self.byte(at + 7) != b'u' {
            return None;
        }
        let low = self.hex_4(at + 8)?;
        if unit >= 0xdc00 || !(0xdc00..0xe000).contains(&low) {
            return None;
        }
        let code = ((unit & 0x3ff) << 10 | (low & 0x3ff)) + 0x10000;
        Some((char::from_u32(code)?, 12))
    }

    fn hex_4(&self, at: usize) -> Option<u32> {
        self.text
            .get(at..at + 4)?
            .iter()
            .try_fold(0, |value, &byte| Some(value << 4 | char::from(byte).to_digit(16)?))
    }

    /// Up to 8 bytes of the line before `at`, an arrow, and up to 8 bytes after.
    fn surroundings(&self, at: usize) -> String {
        const BEFORE_MAX: usize = 8;
        const AFTER_MAX: usize = 8;
        let at = at.min(self.text.len());
        let before = &self.text[at.saturating_sub(BEFORE_MAX).max(self.line_start.min(at))..at];
        let after = &self.text[at..self.text.len().min(at + AFTER_MAX)];
        let after = after.split(|byte| matches!(byte, 0 | b'\n')).next().unwrap_or_default();
        format!("{} >> {}", String::from_utf8_lossy(before), String::from_utf8_lossy(after))
    }
}

/// C's `strtoll` or `strtoull`: what does not fit becomes the limit.
fn whole_number(negative: bool, digits: &[u8]) -> Token<'static> {
    let magnitude = digits
        .iter()
        .try_fold(0u64, |value, digit| value.checked_mul(10)?.checked_add((digit - b'0') as u64));
    let magnitude = magnitude.unwrap_or(u64::MAX);
    if negative {
        return Token::Integer(0i64.checked_sub_unsigned(magnitude).unwrap_or(i64::MIN));
    }
    match i64::try_from(magnitude) {
        Ok(value) => Token::Integer(value),
        Err(_) => Token::Unsigned(magnitude),
    }
}

/// A visitor that writes MessagePack. The lengths of containers are put in when they are known.
#[derive(Default)]
pub struct MessagePack {
    out: Vec<u8>,
    /// Where the content of each open container starts.
    starts: Vec<usize>,
}

impl MessagePack {
    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn end(&mut self, write_len: fn(&mut Vec<u8>, u32), count: u32) {
        let start = self.starts.pop().expect("the parser ends what it began");
        let mut head = Vec::with_capacity(5);
        write_len(&mut head, count);
        self.out.splice(start..start, head);
    }
}

impl Visitor for MessagePack {
    type Error = std::convert::Infallible;

    fn null(&mut self) -> Result<(), Self::Error> {
        msgpack::write_nil(&mut self.out);
        Ok(())
    }

    fn boolean(&mut self, value: bool) -> Result<(), Self::Error> {
        msgpack::write_bool(&mut self.out, value);
        Ok(())
    }

    fn integer(&mut self, value: i64) -> Result<(), Self::Error> {
        msgpack::write_int(&mut self.out, value);
        Ok(())
    }

    fn unsigned(&mut self, value: u64) -> Result<(), Self::Error> {
        msgpack::write_uint(&mut self.out, value);
        Ok(())
    }

    fn number(&mut self, value: f64) -> Result<(), Self::Error> {
        msgpack::write_f64(&mut self.out, value);
        Ok(())
    }

    fn string(&mut self, value: &[u8]) -> Result<(), Self::Error> {
        msgpack::write_str(&mut self.out, value);
        Ok(())
    }

    fn begin_array(&mut self) -> Result<(), Self::Error> {
        self.starts.push(self.out.len());
        Ok(())
    }

    fn element(&mut self, _index: u32) -> Result<(), Self::Error> {
        Ok(())
    }

    fn end_array(&mut self, count: u32) -> Result<(), Self::Error> {
        self.end(msgpack::write_array_len, count);
        Ok(())
    }

    fn begin_object(&mut self) -> Result<(), Self::Error> {
        self.begin_array()
    }

    fn key(&mut self, key: &[u8]) -> Result<(), Self::Error> {
        self.string(key)
    }

    fn member(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    fn end_object(&mut self, count: u32) -> Result<(), Self::Error> {
        self.end(msgpack::write_map_len, count);
        Ok(())
    }
}

/// Parses `text` into MessagePack; the error is the message.
pub fn to_msgpack(text: &[u8], options: &Options) -> Result<Vec<u8>, String> {
    let mut visitor = MessagePack::default();
    match parse(text, options, &mut visitor) {
        Ok(()) => Ok(visitor.into_bytes()),
        Err(Failure::Syntax(message)) => Err(message),
        Err(Failure::Visitor(never)) => match never {},
    }
}

/// Fuzz target: any bytes are valid MessagePack or an error.
pub fn fuzz(data: &[u8]) {
    if let Ok(bytes) = to_msgpack(data, &Options::default()) {
        assert_eq!(msgpack::check(&bytes), Ok(bytes.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(json: &str) -> Result<String, String> {
        to_msgpack(json.as_bytes(), &Options::default()).map(|bytes| msgpack::text(&bytes))
    }

    #[test]
    fn values_come_through() {
        let json = r#" {"a": [1, -2, 1.5, 1e2, true, null], "b\u00e9\n": {}, "c": []} "#;
        let expected = r#"{"a": [1, -2, 1.5, 100, true, null], "bé\n": {}, "c": []}"#;
        assert_eq!(text(json).as_deref(), Ok(expected));
        assert_eq!(text("18446744073709551615").as_deref(), Ok("18446744073709551615"));
        assert_eq!(text("-9223372036854775808").as_deref(), Ok("-9223372036854775808"));
        assert_eq!(text("99999999999999999999").as_deref(), Ok("18446744073709551615"));
        assert_eq!(text("[inf, -inf, 1e400]").as_deref(), Ok("[inf, -inf, inf]"));
        assert_eq!(text(r#""\ud83d\ude00""#).as_deref(), Ok("\"😀\""));
    }

    #[test]
    fn errors_are_tarantools() {
        for (json, expected) in [
            (
                "{{: \"world\"}",
                "Expected object key string but found '{' on line 1 at character 2 here '{ >> {: \"worl'",
            ),
            ("[1,", "Expected value but found end on line 1 at character 4 here '[1, >> '"),
            ("", "Expected value but found end on line 1 at character 1 here ' >> '"),
            ("1 2", "Expected the end but found int on line 1 at character 3 here '1  >> 2'"),
            (
                "{\"a\"\n: x}",
                "Expected value but found invalid token on line 2 at character 3 here ':  >> x}'",
            ),
            (
                "\"abc",
                "Expected value but found unexpected end of string on line 1 at character 5 here '\"abc >> '",
            ),
            (
                "\"a\\q\"",
                "Expected value but found invalid escape code on line 1 at character 3 here '\"a >> \\q\"'",
            ),
            (
                "\"\\ud800\"",
                "Expected value but found invalid unicode escape code on line 1 at character 2 here '\" >> \\ud800\"'",
            ),
            (
                "[1 2]",
                "Expected comma or ']' but found int on line 1 at character 4 here '[1  >> 2]'",
            ),
            ("01", "Expected value but found invalid token on line 1 at character 1 here ' >> 01'"),
            ("\0\0", "JSON parser does not support UTF-16 or UTF-32"),
        ] {
            assert_eq!(text(json), Err(expected.to_owned()), "{json}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(text(&deep(128)).is_ok());
        assert_eq!(
            text(&deep(129)),
            Err("Found too many nested data structures (129) on line 1 at character 129 here \
                 '[[[[[[[[ >> []]]]]]]'"
                .to_owned())
        );
    }

    #[test]
    fn invalid_numbers_can_be_refused() {
        let strict = Options { invalid_numbers: false, ..Options::default() };
        let error = to_msgpack(b"1e999", &strict).unwrap_err();
        assert_eq!(error, "number must not be NaN or Inf");
        assert!(to_msgpack(b"nan", &strict).is_err());
    }

    proptest! {
        #[test]
        fn strings_round_trip(value in "\\PC{0,20}", slash: bool) {
            let mut json = Vec::new();
            super::super::write_string(&mut json, value.as_bytes(), slash);
            let bytes = to_msgpack(&json, &Options::default()).unwrap();
            prop_assert_eq!(msgpack::Reader::new(&bytes).read_str(), Some(value.as_bytes()));
        }

        #[test]
        fn random_text_never_panics(json in r#"[\[\]{},:"\\u0-9a-f.eE+\- \n\x00tn]{0,40}"#) {
            fuzz(json.as_bytes());
        }

        #[test]
        fn random_bytes_never_panic(json in proptest::collection::vec(any::<u8>(), 0..40)) {
            fuzz(&json);
        }
    }
}
