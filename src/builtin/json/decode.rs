//! JSON to Lua.
//!
//! Errors name what was expected, what was found, where, and show the text around it.
//!
//! # Yields
//! never

use crate::base::error::{Error, Result};
use crate::builtin::serializer::{Config, failure, push_array_hint, push_map_hint};
use crate::lua::Context;

/// Characters of text shown before and after the place of an error.
const CONTEXT_SIZE: usize = 8;

/// Pushes the value of a JSON text.
pub fn push(cx: Context<'_>, text: &[u8], config: &Config) -> Result<()> {
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(failure("JSON parser does not support UTF-16 or UTF-32"));
    }
    let mut parser =
        Parser { cx, text, at: 0, depth: 0, line: 1, line_start: 0, token_at: 0, config };
    let token = parser.next();
    parser.value(token)?;
    match parser.next() {
        Token::End => Ok(()),
        found => Err(parser.unexpected("the end", found)),
    }
}

/// One token; texts of strings are pushed by whoever wants them.
#[derive(Clone, Copy)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Colon,
    Comma,
    End,
    Null,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Number(f64),
    /// A string without escapes: the range of its bytes.
    Plain(usize, usize),
    /// A string with escapes: the range of its raw bytes.
    Escaped(usize, usize),
    /// No token: what is wrong.
    Wrong(&'static str),
}

impl Token {
    fn name(self) -> &'static str {
        match self {
            Token::ObjectBegin => "'{'",
            Token::ObjectEnd => "'}'",
            Token::ArrayBegin => "'['",
            Token::ArrayEnd => "']'",
            Token::Colon => "colon",
            Token::Comma => "comma",
            Token::End => "end",
            Token::Null => "null",
            Token::Boolean(_) => "boolean",
            Token::Integer(_) => "int",
            Token::Unsigned(_) => "unsigned int",
            Token::Number(_) => "number",
            Token::Plain(..) | Token::Escaped(..) => "string",
            Token::Wrong(problem) => problem,
        }
    }
}

struct Parser<'a, 'b> {
    cx: Context<'a>,
    text: &'b [u8],
    at: usize,
    depth: u32,
    line: u32,
    line_start: usize,
    token_at: usize,
    config: &'b Config,
}

impl Parser<'_, '_> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Token {
        loop {
            match self.peek() {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    self.line_start = self.at;
                }
                _ => break,
            }
        }
        self.token_at = self.at;
        let single = match self.peek() {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            // A zero byte ends the text as well.
            0 => return Token::End,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' if self.is_number() => return self.number(),
            _ => return self.word(),
        };
        self.at += 1;
        single
    }

    fn word(&mut self) -> Token {
        let rest = &self.text[self.at..];
        let words: [(&[u8], Token, bool); 7] = [
            (b"true", Token::Boolean(true), true),
            (b"false", Token::Boolean(false), true),
            (b"null", Token::Null, true),
            (b"inf", Token::Number(f64::INFINITY), false),
            (b"-inf", Token::Number(f64::NEG_INFINITY), false),
            (b"nan", Token::Number(f64::NAN), false),
            (b"-nan", Token::Number(f64::NAN), false),
        ];
        for (word, token, is_standard) in words {
            if rest.starts_with(word) && (is_standard || self.config.decode_invalid_numbers) {
                self.at += word.len();
                return token;
            }
        }
        Token::Wrong("invalid token")
    }

    /// Whether a number starts here: digits, but neither hexadecimal nor a leading zero.
    fn is_number(&self) -> bool {
        let digits = self.text[self.at..].strip_prefix(b"-").unwrap_or(&self.text[self.at..]);
        match digits {
            [b'0', second, ..] => !second.is_ascii_digit() && *second | 0x20 != b'x',
            [first, ..] => first.is_ascii_digit(),
            [] => false,
        }
    }

    fn number(&mut self) -> Token {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        self.skip_digits();
        let mut is_whole = true;
        if self.peek() == b'.' {
            is_whole = false;
            self.at += 1;
            self.skip_digits();
        }
        if self.peek() | 0x20 == b'e' {
            let mark = self.at;
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            if self.peek().is_ascii_digit() {
                is_whole = false;
                self.skip_digits();
            } else {
                self.at = mark;
            }
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        if is_whole {
            if let Ok(value) = text.parse::<i64>() {
                return Token::Integer(value);
            }
            if let Ok(value) = text.parse::<u64>() {
                return Token::Unsigned(value);
            }
        }
        text.parse::<f64>().map_or(Token::Wrong("invalid number"), Token::Number)
    }

    fn skip_digits(&mut self) {
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }

    /// Finds the end of a string. Bytes are checked when it is pushed, except for the quote.
    fn string(&mut self) -> Token {
        self.at += 1;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            let rest = &self.text[self.at..];
            match memchr::memchr3(b'"', b'\\', 0, rest) {
                Some(offset) if rest[offset] == b'"' => {
                    let end = self.at + offset;
                    self.at = end + 1;
                    return if has_escapes {
                        Token::Escaped(start, end)
                    } else {
                        Token::Plain(start, end)
                    };
                }
                Some(offset) if rest[offset] == b'\\' => {
                    has_escapes = true;
                    self.at += offset;
                    match escape(&self.text[self.at + 1..]) {
                        Ok((size, _)) => self.at += 1 + size,
                        Err(problem) => return self.wrong_here(problem),
                    }
                }
                offset => {
                    self.at += offset.unwrap_or(rest.len());
                    return self.wrong_here("unexpected end of string");
                }
            }
        }
    }

    fn wrong_here(&mut self, problem: &'static str) -> Token {
        self.token_at = self.at;
        Token::Wrong(problem)
    }

    fn push_escaped(&self, start: usize, end: usize) {
        let mut text = Vec::with_capacity(end - start);
        let mut at = start;
        while at < end {
            let rest = &self.text[at..end];
            let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            text.extend_from_slice(&rest[..plain]);
            at += plain;
            if at < end {
                let (size, char) = escape(&self.text[at + 1..]).expect("checked by `string`");
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                at += 1 + size;
            }
        }
        self.cx.push_bytes(text);
    }

    fn value(&mut self, token: Token) -> Result<()> {
        let cx = self.cx;
        match token {
            Token::Plain(start, end) => cx.push_bytes(&self.text[start..end]),
            Token::Escaped(start, end) => self.push_escaped(start, end),
            Token::Integer(value) => cx.push_int64(value),
            Token::Unsigned(value) => cx.push_uint64(value),
            Token::Number(value) => {
                if !value.is_finite() && !self.config.decode_invalid_numbers {
                    return Err(failure("number must not be NaN or Inf"));
                }
                cx.push_number(value);
            }
            Token::Boolean(value) => cx.push_boolean(value),
            Token::Null => cx.push_null(),
            Token::ObjectBegin => return self.object(),
            Token::ArrayBegin => return self.array(),
            _ => return Err(self.unexpected("value", token)),
        }
        Ok(())
    }

    fn object(&mut self) -> Result<()> {
        let cx = self.cx;
        self.descend()?;
        cx.new_table(0, 4);
        if self.config.decode_save_metatables {
            push_map_hint(cx);
            cx.set_metatable(-2);
        }
        let mut token = self.next();
        if !matches!(token, Token::ObjectEnd) {
            loop {
                match token {
                    Token::Plain(start, end) => cx.push_bytes(&self.text[start..end]),
                    Token::Escaped(start, end) => self.push_escaped(start, end),
                    _ => return Err(self.unexpected("object key string", token)),
                }
                token = self.next();
                if !matches!(token, Token::Colon) {
                    return Err(self.unexpected("colon", token));
                }
                token = self.next();
                self.value(token)?;
                cx.raw_set(-3);
                match self.next() {
                    Token::ObjectEnd => break,
                    Token::Comma => token = self.next(),
                    found => return Err(self.unexpected("comma or '}'", found)),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self) -> Result<()> {
        let cx = self.cx;
        self.descend()?;
        cx.new_table(4, 0);
        if self.config.decode_save_metatables {
            push_array_hint(cx);
            cx.set_metatable(-2);
        }
        let mut token = self.next();
        if !matches!(token, Token::ArrayEnd) {
            for number in 1.. {
                self.value(token)?;
                cx.raw_set_index(-2, number);
                match self.next() {
                    Token::ArrayEnd => break,
                    Token::Comma => token = self.next(),
                    found => return Err(self.unexpected("comma or ']'", found)),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn descend(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth <= self.config.decode_max_depth && self.cx.reserve(4).is_ok() {
            return Ok(());
        }
        Err(failure(format!(
            "Found too many nested data structures ({}) on line {} at character {} here '{}'",
            self.depth,
            self.line,
            self.at - self.line_start,
            self.context(self.at - 1)
        )))
    }

    fn unexpected(&self, expected: &str, found: Token) -> Error {
        failure(format!(
            "Expected {expected} but found {} on line {} at character {} here '{}'",
            found.name(),
            self.line,
            self.token_at - self.line_start + 1,
            self.context(self.token_at)
        ))
    }

    /// The text around a place of the current line, with an arrow before it.
    fn context(&self, at: usize) -> String {
        let start = self.line_start.max(at.saturating_sub(CONTEXT_SIZE));
        let after = &self.text[at..(at + CONTEXT_SIZE).min(self.text.len())];
        let size = after.iter().position(|byte| matches!(byte, 0 | b'\n')).unwrap_or(after.len());
        format!(
            "{} >> {}",
            String::from_utf8_lossy(&self.text[start..at]),
            String::from_utf8_lossy(&after[..size])
        )
    }
}

/// The character that an escape stands for and the escape's size behind the backslash.
fn escape(rest: &[u8]) -> std::result::Result<(usize, char), &'static str> {
    const WRONG_CODE: &str = "invalid unicode escape code";
    let char = match rest.first() {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b't') => '\t',
        Some(b'n') => '\n',
        Some(b'f') => '\u{c}',
        Some(b'r') => '\r',
        Some(b'u') => {
            let high = hex4(&rest[1..]).ok_or(WRONG_CODE)?;
            if !(0xd800..0xe000).contains(&high) {
                return Ok((5, char::from_u32(high).ok_or(WRONG_CODE)?));
            }
            // A character beyond the basic plane comes as two codes.
            let low = rest.get(5..7).filter(|next| *next == b"\\u").and_then(|_| hex4(&rest[7..]));
            let low = low.filter(|low| (0xdc00..0xe000).contains(low)).ok_or(WRONG_CODE)?;
            if high >= 0xdc00 {
                return Err(WRONG_CODE);
            }
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            return Ok((11, char::from_u32(code).ok_or(WRONG_CODE)?));
        }
        _ => return Err("invalid escape code"),
    };
    Ok((1, char))
}

fn hex4(digits: &[u8]) -> Option<u32> {
    let digits = digits.get(..4)?;
    digits.iter().try_fold(0, |code, &digit| Some(code * 16 + char::from(digit).to_digit(16)?))
}
