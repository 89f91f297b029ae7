//! JSON paths: where inside a field a value is, such as `info.phones[1]` or `["key with space"]`.
//!
//! # Invariants
//! A parsed path has at least one token unless its text was empty; keys are not empty.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::item;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Token {
    /// An element of an array, counted from 0.
    Index(u32),
    /// The value of a map's string key.
    Key(Box<str>),
    /// All elements of an array (`[*]`).
    Any,
}

/// A parsed path. Paths with the same steps are the same, however they were written.
#[derive(Clone, Debug, Default)]
pub struct Path {
    tokens: Box<[Token]>,
    text: Box<str>,
}

/// A syntax error: where, counted in characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Position of the first character that cannot stand there.
    pub position: usize,
}

impl Path {
    /// Parses a path whose indexes count from `index_base` (1 in Lua, 0 in C). Never panics.
    pub fn parse(text: &[u8], index_base: u32) -> Result<Path, SyntaxError> {
        let mut lexer = Lexer::new(text, index_base);
        let mut tokens = Vec::new();
        while let Some(token) = lexer.next()? {
            tokens.push(token);
        }
        Ok(Path { tokens: tokens.into(), text: String::from_utf8_lossy(text).into() })
    }

    /// A path of these steps.
    pub fn new(tokens: Vec<Token>) -> Path {
        let text = tokens.iter().map(Token::to_string).collect();
        Path { tokens: tokens.into(), text }
    }

    /// The path as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The steps.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Whether the path leads to every element of some array.
    pub fn is_multikey(&self) -> bool {
        self.tokens.contains(&Token::Any)
    }

    /// What the path leads to inside the item at the start of `data`, and the rest behind it.
    pub fn follow<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        Path::follow_tokens(&self.tokens, data)
    }

    /// [`Path::follow`] for a part of a path.
    pub fn follow_tokens<'a>(tokens: &[Token], mut data: &'a [u8]) -> Option<&'a [u8]> {
        for token in tokens {
            data = match token {
                Token::Index(index) => element_or_value(data, *index)?,
                Token::Key(key) => value(data, key.as_bytes())?,
                Token::Any => return None,
            };
        }
        Some(data)
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Path) -> bool {
        self.tokens == other.tokens
    }
}

impl Eq for Path {}

impl Hash for Path {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tokens.hash(state);
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Path) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Path) -> Ordering {
        self.tokens.cmp(&other.tokens)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tokens.iter().try_for_each(|token| token.fmt(f))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Index(index) => write!(f, "[{}]", u64::from(*index) + 1),
            Token::Key(key) => write!(f, "[\"{key}\"]"),
            Token::Any => f.write_str("[*]"),
        }
    }
}

/// The element with this index of the array at the start of `data`, and the rest behind it.
pub fn element(data: &[u8], index: u32) -> Option<&[u8]> {
    let (count, mut at) = item::array(data)?;
    if index >= count {
        return None;
    }
    for _ in 0..index {
        at += item::size(data.get(at..)?)?;
    }
    data.get(at..)
}

/// The element with this index of an array, or the value of this number as a key of a map: a Lua
/// table with holes is a map with integer keys.
fn element_or_value(data: &[u8], index: u32) -> Option<&[u8]> {
    if item::kind(data) == item::Kind::Array {
        return element(data, index);
    }
    let (count, mut at) = item::map(data)?;
    for _ in 0..count {
        let pair = data.get(at..)?;
        at += item::size(pair)?;
        if is_index(pair, index) {
            return data.get(at..);
        }
        at += item::size(data.get(at..)?)?;
    }
    None
}

/// Whether the item at the start of `key` is the integer that stands for this index.
pub(super) fn is_index(key: &[u8], index: u32) -> bool {
    let number = i64::from(index) + 1;
    item::uint(key) == Some(number.unsigned_abs()) || item::int(key) == Some(number)
}

/// The value of this string key of the map at the start of `data`, and the rest behind it.
pub fn value<'a>(data: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let (count, mut at) = item::map(data)?;
    for _ in 0..count {
        let pair = data.get(at..)?;
        at += item::size(pair)?;
        if item::string(pair) == Some(key) {
            return data.get(at..);
        }
        at += item::size(data.get(at..)?)?;
    }
    None
}

/// Reads a path step by step, for who must act on the first steps before an error in later ones.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Characters read; error positions count in them.
    symbols: usize,
    index_base: u32,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning of a path.
    pub(super) fn new(text: &'a [u8], index_base: u32) -> Lexer<'a> {
        Lexer { text, at: 0, symbols: 0, index_base }
    }

    /// Characters read so far.
    pub(super) fn position(&self) -> usize {
        self.symbols
    }

    /// The next step, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, SyntaxError> {
        if self.at == self.text.len() {
            return Ok(None);
        }
        let (start, first) = (self.at, self.symbol()?);
        match first {
            '[' => self.bracket().map(Some),
            '.' if self.at == self.text.len() => Err(self.error_after()),
            '.' => self.identifier().map(Some),
            _ if start != 0 => Err(self.error_here()),
            _ => {
                self.at = start;
                self.symbols -= 1;
                self.identifier().map(Some)
            }
        }
    }

    /// What follows a `[`.
    fn bracket(&mut self) -> Result<Token, SyntaxError> {
        let token = match self.text.get(self.at) {
            None => return Err(self.error_here()),
            Some(&quote @ (b'"' | b'\'')) => self.quoted(quote)?,
            Some(b'*') => {
                self.advance(1);
                Token::Any
            }
            Some(_) => self.integer()?,
        };
        if self.text.get(self.at) != Some(&b']') {
            return Err(self.error_after());
        }
        self.advance(1);
        Ok(token)
    }

    fn quoted(&mut self, quote: u8) -> Result<Token, SyntaxError> {
        self.advance(1);
        let start = self.at;
        loop {
            if self.symbol()? == char::from(quote) {
                let key = &self.text[start..self.at - 1];
                return if key.is_empty() { Err(self.error_here()) } else { Ok(self.key(key)) };
            }
        }
    }

    fn integer(&mut self) -> Result<Token, SyntaxError> {
        let rest = &self.text[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&rest[..digits]).ok().and_then(|text| text.parse().ok());
        match number.and_then(|number: u32| number.checked_sub(self.index_base)) {
            Some(index) => {
                self.advance(digits);
                Ok(Token::Index(index))
            }
            None => Err(self.error_after()),
        }
    }

    fn identifier(&mut self) -> Result<Token, SyntaxError> {
        let start = self.at;
        let first = self.symbol()?;
        if !first.is_alphabetic() && first != '_' {
            return Err(self.error_here());
        }
        while self.at < self.text.len() {
            let (at, symbols) = (self.at, self.symbols);
            let symbol = self.symbol()?;
            if !symbol.is_alphabetic() && symbol != '_' && !symbol.is_numeric() {
                (self.at, self.symbols) = (at, symbols);
                break;
            }
        }
        Ok(self.key(&self.text[start..self.at]))
    }

    fn key(&self, bytes: &[u8]) -> Token {
        // `symbol` has decoded every character of it.
        Token::Key(String::from_utf8_lossy(bytes).into())
    }

    /// Reads one character of UTF-8.
    fn symbol(&mut self) -> Result<char, SyntaxError> {
        let rest = &self.text[self.at..];
        let window = &rest[..rest.len().min(4)];
        let valid = match std::str::from_utf8(window) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&window[..error.valid_up_to()]).unwrap_or(""),
        };
        let symbol = valid.chars().next().ok_or(self.error_after())?;
        self.at += symbol.len_utf8();
        self.symbols += 1;
        Ok(symbol)
    }

    /// Steps over this many ASCII characters.
    fn advance(&mut self, count: usize) {
        self.at += count;
        self.symbols += count;
    }

    /// The character just read is wrong.
    fn error_here(&self) -> SyntaxError {
        SyntaxError { position: self.symbols }
    }

    /// The character after the one just read is wrong or missing.
    fn error_after(&self) -> SyntaxError {
        SyntaxError { position: self.symbols + 1 }
    }
}

/// Fuzz target: arbitrary bytes as a path, followed in arbitrary bytes.
pub fn fuzz(data: &[u8]) {
    let Some((&split, rest)) = data.split_first() else { return };
    let (text, value) = rest.split_at(usize::from(split).min(rest.len()));
    if let Ok(path) = Path::parse(text, 1) {
        path.follow(value);
        let again = Path::parse(path.to_string().as_bytes(), 1);
        let has_quote = path.tokens().iter().any(|token| match token {
            Token::Key(key) => key.contains('"'),
            Token::Index(_) | Token::Any => false,
        });
        assert!(has_quote || again == Ok(path), "a path's text is the path");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_paths_never_panic(data in proptest::collection::vec(any::<u8>(), 0..40)) {
            fuzz(&data);
        }

        #[test]
        fn likely_paths_never_panic(text in "[\\[\\]a-b0-2.\"'*é]{0,12}") {
            let mut data = vec![text.len() as u8];
            data.extend_from_slice(text.as_bytes());
            fuzz(&data);
        }
    }

    fn tokens(text: &str) -> Vec<Token> {
        Path::parse(text.as_bytes(), 1).expect(text).tokens().to_vec()
    }

    fn key(name: &str) -> Token {
        Token::Key(name.into())
    }

    #[test]
    fn paths_parse_to_their_steps() {
        assert_eq!(tokens(""), []);
        assert_eq!(tokens("a.b[1]"), [key("a"), key("b"), Token::Index(0)]);
        assert_eq!(
            tokens("[\"a b\"]['c\"d'][*].имя"),
            [key("a b"), key("c\"d"), Token::Any, key("имя"),]
        );
        assert_eq!(tokens("[5].x"), [Token::Index(4), key("x")]);
        assert_eq!(tokens(".x"), [key("x")]);
    }

    #[test]
    fn errors_name_the_position() {
        let position = |text: &[u8]| Path::parse(text, 1).expect_err("wrong path").position;
        assert_eq!(position(b"["), 1);
        assert_eq!(position(b"[]"), 2);
        assert_eq!(position(b"[0]"), 2);
        assert_eq!(position(b"[1"), 3);
        assert_eq!(position(b"['a"), 4);
        assert_eq!(position(b"['']"), 3);
        assert_eq!(position(b"a."), 3);
        assert_eq!(position(b"a..b"), 3);
        assert_eq!(position(b"1a"), 1);
        assert_eq!(position(b"a[99999999999]"), 3);
        assert_eq!(position(b"a\xff"), 2);
    }

    #[test]
    fn paths_lead_through_maps_and_arrays() {
        // {"a": [1, {"b": 7}], 5: 6}
        let data = b"\x82\xa1a\x92\x01\x81\xa1b\x07\x05\x06";
        let follow = |text: &str| {
            Path::parse(text.as_bytes(), 1).expect(text).follow(data).map(|found| found[0])
        };
        assert_eq!(follow("a[2].b"), Some(7));
        assert_eq!(follow("a[1]"), Some(1));
        assert_eq!(follow("a[3]"), None);
        assert_eq!(follow("c"), None);
        assert_eq!(follow("a.b"), None);
    }
}
