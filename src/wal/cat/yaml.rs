//! Prints a row as a YAML document the way libyaml breaks, quotes and escapes it.
//!
//! Two levels are blocks; every container below is in flow style. A flow item goes to a new line
//! when the line is longer than 80 columns already, and a quoted string breaks at single spaces.
//!
//! # Yields
//! never

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Field;
use super::text::number;
use crate::value::msgpack as mp;

const WIDTH: usize = 80;
const INDENT: usize = 2;

/// Longest key that may stand before its colon on one line.
const SIMPLE_KEY_SIZE_MAX: usize = 128;

/// A document that is being printed.
pub struct Document<'a> {
    out: &'a mut String,
    column: usize,
    /// Whether the last thing printed separates already.
    has_space: bool,
    /// Whether only indentation stands in this line.
    is_indented: bool,
    indent: usize,
}

impl<'a> Document<'a> {
    /// Starts a document.
    pub fn new(out: &'a mut String) -> Document<'a> {
        out.push_str("---\n");
        Document { out, column: 0, has_space: true, is_indented: true, indent: 0 }
    }

    /// Prints one of the two levels.
    pub fn section(&mut self, name: &str, fields: &[Field]) {
        self.out.push_str(name);
        if fields.is_empty() {
            self.out.push_str(": {}\n");
            return;
        }
        self.out.push_str(":\n");
        for field in fields {
            self.out.push_str("  ");
            self.out.push_str(&field.name);
            self.out.push(':');
            self.column = 2 + field.name.len() + 1;
            self.has_space = false;
            self.is_indented = false;
            self.indent = INDENT;
            self.value(&mut mp::Reader::new(&field.value), false);
            self.out.push('\n');
        }
        self.column = 0;
    }

    fn put(&mut self, character: char) {
        self.out.push(character);
        self.column += 1;
    }

    fn line_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    fn text(&mut self, text: &str) {
        text.chars().for_each(|character| self.put(character));
    }

    fn separate(&mut self) {
        if !self.has_space {
            self.put(' ');
        }
    }

    fn new_line(&mut self) {
        let at_indent = self.column == self.indent && self.has_space;
        if !self.is_indented
            || self.column > self.indent
            || (self.column == self.indent && !at_indent)
        {
            self.line_break();
        }
        while self.column < self.indent {
            self.put(' ');
        }
        self.has_space = true;
        self.is_indented = true;
    }

    fn open(&mut self, bracket: char) {
        self.separate();
        self.put(bracket);
        self.has_space = true;
        self.is_indented = false;
        self.indent += INDENT;
    }

    fn close(&mut self, bracket: char) {
        self.indent -= INDENT;
        self.put(bracket);
        self.has_space = false;
        self.is_indented = false;
    }

    fn next_item(&mut self, index: u32) {
        if index > 0 {
            self.put(',');
            self.has_space = false;
            self.is_indented = false;
        }
        if self.column > WIDTH {
            self.new_line();
        }
    }

    fn value(&mut self, reader: &mut mp::Reader<'_>, in_flow: bool) {
        match reader.kind() {
            Some(mp::Kind::Array) => {
                let count = reader.read_array_len().unwrap_or(0);
                self.open('[');
                for index in 0..count {
                    self.next_item(index);
                    self.value(reader, true);
                }
                self.close(']');
            }
            Some(mp::Kind::Map) => {
                let count = reader.read_map_len().unwrap_or(0);
                self.open('{');
                for index in 0..count {
                    self.next_item(index);
                    self.key_and_value(reader);
                }
                self.close('}');
            }
            Some(mp::Kind::Str | mp::Kind::Bin) => {
                self.string(reader.read_bytes().unwrap_or_default(), in_flow, false);
            }
            Some(mp::Kind::Float | mp::Kind::Double) => {
                self.plain(&number(reader.read_f64().unwrap_or(0.0)));
            }
            Some(_) => self.plain(&mp::text(reader.skip().unwrap_or_default())),
            None => {}
        }
    }

    fn key_and_value(&mut self, reader: &mut mp::Reader<'_>) {
        let is_simple = match reader.kind() {
            Some(mp::Kind::Str | mp::Kind::Bin) => {
                let text = mp::Reader::new(reader.rest()).read_bytes().unwrap_or_default();
                text.len() <= SIMPLE_KEY_SIZE_MAX && !text.contains(&b'\n')
            }
            Some(mp::Kind::Array | mp::Kind::Map) => false,
            _ => true,
        };
        if !is_simple {
            self.separate();
            self.put('?');
            self.has_space = false;
        }
        match reader.kind() {
            Some(mp::Kind::Str | mp::Kind::Bin) => {
                self.string(reader.read_bytes().unwrap_or_default(), true, is_simple);
            }
            _ => self.value(reader, true),
        }
        if !is_simple {
            if self.column > WIDTH {
                self.new_line();
            }
            self.separate();
        }
        self.put(':');
        self.has_space = false;
        self.is_indented = false;
        self.value(reader, true);
    }

    fn plain(&mut self, text: &str) {
        self.separate();
        self.text(text);
        self.has_space = false;
        self.is_indented = false;
    }

    fn string(&mut self, bytes: &[u8], in_flow: bool, is_key: bool) {
        let Ok(text) = std::str::from_utf8(bytes) else {
            self.plain(&format!("!!binary {}", STANDARD.encode(bytes)));
            return;
        };
        let form = Form::of(text);
        // Lines that a string goes on with stand deeper than the next item would.
        self.indent += INDENT;
        if !in_flow && form.is_word {
            self.plain(text);
        } else if form.needs_escapes || (is_key && text.contains('\n')) {
            self.double_quoted(text, !is_key);
        } else {
            self.single_quoted(text, !is_key);
        }
        self.indent -= INDENT;
    }

    fn single_quoted(&mut self, text: &str, may_break: bool) {
        self.separate();
        self.put('\'');
        let (mut spaces, mut breaks) = (false, false);
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            if character == ' ' {
                let fits =
                    self.column <= WIDTH || spaces || at == 0 || next.is_none_or(|c| c == ' ');
                if may_break && !fits {
                    self.new_line();
                } else {
                    self.put(' ');
                }
                spaces = true;
            } else if is_break(character) {
                if !breaks && character == '\n' {
                    self.line_break();
                }
                self.line_break();
                self.is_indented = true;
                breaks = true;
            } else {
                if breaks {
                    self.new_line();
                }
                if character == '\'' {
                    self.put('\'');
                }
                self.put(character);
                self.is_indented = false;
                (spaces, breaks) = (false, false);
            }
        }
        if breaks {
            self.new_line();
        }
        self.put('\'');
        self.has_space = false;
        self.is_indented = false;
    }

    fn double_quoted(&mut self, text: &str, may_break: bool) {
        self.separate();
        self.put('"');
        let mut spaces = false;
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            if character == ' ' {
                let fits = self.column <= WIDTH || spaces || at == 0 || next.is_none();
                if may_break && !fits {
                    self.new_line();
                    if next == Some(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(' ');
                }
                spaces = true;
                continue;
            }
            spaces = false;
            if is_printable(character) && !is_break(character) && !matches!(character, '"' | '\\') {
                self.put(character);
            } else {
                self.escape(character);
            }
        }
        self.put('"');
        self.has_space = false;
        self.is_indented = false;
    }

    fn escape(&mut self, character: char) {
        let short = match character {
            '\0' => Some('0'),
            '\u{7}' => Some('a'),
            '\u{8}' => Some('b'),
            '\t' => Some('t'),
            '\n' => Some('n'),
            '\u{b}' => Some('v'),
            '\u{c}' => Some('f'),
            '\r' => Some('r'),
            '\u{1b}' => Some('e'),
            '"' => Some('"'),
            '\\' => Some('\\'),
            '\u{85}' => Some('N'),
            '\u{a0}' => Some('_'),
            '\u{2028}' => Some('L'),
            '\u{2029}' => Some('P'),
            _ => None,
        };
        self.put('\\');
        let code = character as u32;
        match short {
            Some(short) => self.put(short),
            None if code <= 0xff => self.text(&format!("x{code:02X}")),
            None if code <= 0xffff => self.text(&format!("u{code:04X}")),
            None => self.text(&format!("U{code:08X}")),
        }
    }
}

/// What the content of a string allows.
struct Form {
    /// Only a double-quoted string can show it.
    needs_escapes: bool,
    /// Needs no quotes outside flow containers.
    is_word: bool,
}

impl Form {
    fn of(text: &str) -> Form {
        let mut needs_escapes = false;
        let mut previous = None;
        for character in text.chars() {
            needs_escapes |= !is_printable(character);
            // Folding would lose a space beside a line break.
            needs_escapes |= match previous {
                Some(' ') => is_break(character),
                Some(previous) => is_break(previous) && character == ' ',
                None => false,
            };
            previous = Some(character);
        }
        let is_name = |c: char| c.is_ascii_alphabetic() || c == '_';
        let is_word = text.starts_with(is_name)
            && text.chars().all(|c| is_name(c) || c.is_ascii_digit() || matches!(c, '-' | '.'))
            && !matches!(text, "null" | "true" | "false" | "nan" | "inf");
        Form { needs_escapes, is_word }
    }
}

fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// libyaml prints nothing beyond the basic plane as it is.
fn is_printable(character: char) -> bool {
    matches!(character, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && character != '\u{feff}'
}
