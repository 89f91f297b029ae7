//! YAML to Lua.
//!
//! # Yields
//! never

use super::BINARY_AS_STRING;
use super::byte_escape;
use super::encode::{TAG_PREFIX, is_null, parse_bool, parse_double};
use super::libyaml::{Event, Parser, Problem};
use crate::base::error::{Error, Result};
use crate::builtin::serializer::{Config, failure, push_array_hint, push_binary, push_map_hint};
use crate::fiber;
use crate::lua::Context;

/// Stack that one level of nesting must find.
const STACK_RESERVE: usize = 64 * 1024;

/// Pushes the value of each document; returns how many.
pub fn push_documents(cx: Context<'_>, text: &[u8], config: &Config) -> Result<usize> {
    cx.new_table(0, 0);
    let anchors = cx.top();
    let mut loader = Loader {
        cx,
        config,
        text,
        has_byte_escapes: byte_escape::occur(text),
        parser: Parser::new(text),
        anchors,
        document_count: 0,
    };
    if loader.next()? != Event::StreamStart {
        return Err(failure("expected STREAM_START_EVENT"));
    }
    while loader.next()? != Event::StreamEnd {
        loader.document_count += 1;
        let first = loader.next()?;
        if !loader.node(first)? {
            return Err(failure("unexpected END event"));
        }
        if loader.next()? != Event::DocumentEnd {
            return Err(failure("expected DOCUMENT_END_EVENT"));
        }
        // Anchors are of one document.
        cx.new_table(0, 0);
        cx.replace(anchors);
        cx.reserve(4)?;
    }
    Ok(loader.document_count)
}

/// Pushes the handle and prefix of the first document's tag; nil when there is none; nil and a
/// problem.
pub fn push_tag(cx: Context<'_>, text: &[u8]) -> Result<usize> {
    let mut parser = Parser::new(text);
    let mut next = || parser.next().map_err(|problem| describe(&problem, 0));
    let event = next().and_then(|_| next());
    match event {
        Ok(Event::DocumentStart(tags)) if tags.len() > 1 => {
            cx.push_nil();
            cx.push_bytes("can not decode multiple tags");
            Ok(2)
        }
        Ok(Event::DocumentStart(tags)) if tags.len() == 1 => {
            cx.push_bytes(&tags[0].0);
            cx.push_bytes(&tags[0].1);
            Ok(2)
        }
        Ok(_) => {
            cx.push_nil();
            Ok(1)
        }
        Err(problem) => {
            cx.push_nil();
            cx.push_bytes(problem);
            Ok(2)
        }
    }
}

fn describe(problem: &Problem, document_count: usize) -> String {
    let mut text = format!("{} at document: {document_count}", problem.message);
    if problem.line > 0 || problem.column > 0 {
        text += &format!(", line: {}, column: {}\n", problem.line + 1, problem.column + 1);
    } else {
        text.push('\n');
    }
    if let Some((context, line, column)) = &problem.context {
        text += &format!("{context} at line: {}, column: {}\n", line + 1, column + 1);
    }
    text
}

struct Loader<'a, 'b> {
    cx: Context<'a>,
    config: &'b Config,
    text: &'b [u8],
    has_byte_escapes: bool,
    parser: Parser<'b>,
    /// Stack index of the table from anchors to values.
    anchors: i32,
    document_count: usize,
}

impl Loader<'_, '_> {
    fn next(&mut self) -> Result<Event> {
        self.parser.next().map_err(|problem| failure(describe(&problem, self.document_count)))
    }

    /// Pushes the value that starts with this event; false (and nothing pushed): it is an end.
    fn node(&mut self, event: Event) -> Result<bool> {
        match event {
            Event::Scalar { anchor, tag, mut text, is_plain, quoted } => {
                if let Some(place) = quoted
                    && self.has_byte_escapes
                    && let Some(bytes) = byte_escape::read(self.text, place, &text)
                {
                    text = bytes;
                }
                self.scalar(tag.as_deref(), &text, is_plain)?;
                self.keep(anchor);
            }
            Event::SequenceStart(anchor) => self.sequence(anchor)?,
            Event::MappingStart(anchor) => self.mapping(anchor)?,
            Event::Alias(anchor) => {
                self.cx.push_bytes(&anchor);
                self.cx.raw_get(self.anchors);
                if self.cx.is_nil(-1) {
                    let anchor = String::from_utf8_lossy(&anchor).into_owned();
                    return Err(failure(format!("invalid reference: {anchor}")));
                }
            }
            Event::DocumentEnd | Event::MappingEnd | Event::SequenceEnd => return Ok(false),
            _ => return Err(failure("invalid event")),
        }
        Ok(true)
    }

    /// Remembers the value on top under its anchor.
    fn keep(&self, anchor: Option<Vec<u8>>) {
        if let Some(anchor) = anchor {
            self.cx.push_bytes(anchor);
            self.cx.push_value(-2);
            self.cx.raw_set(self.anchors);
        }
    }

    fn check_room(&self) -> Result<()> {
        self.cx.reserve(8)?;
        if fiber::stack_remaining() < STACK_RESERVE {
            return Err(failure("stack overflow"));
        }
        Ok(())
    }

    fn sequence(&mut self, anchor: Option<Vec<u8>>) -> Result<()> {
        let cx = self.cx;
        self.check_room()?;
        cx.new_table(4, 0);
        if self.config.decode_save_metatables {
            push_array_hint(cx);
            cx.set_metatable(-2);
        }
        self.keep(anchor);
        for number in 1.. {
            let event = self.next()?;
            if !self.node(event)? {
                break;
            }
            cx.raw_set_index(-2, number);
        }
        Ok(())
    }

    fn mapping(&mut self, anchor: Option<Vec<u8>>) -> Result<()> {
        let cx = self.cx;
        self.check_room()?;
        cx.new_table(0, 4);
        if self.config.decode_save_metatables {
            push_map_hint(cx);
            cx.set_metatable(-2);
        }
        self.keep(anchor);
        loop {
            let key = self.next()?;
            if !self.node(key)? {
                return Ok(());
            }
            // Lua has no NaN keys, which would raise an error here.
            if cx.number(-1).is_some_and(f64::is_nan) {
                return Err(failure("table index is NaN"));
            }
            let value = self.next()?;
            if !self.node(value)? {
                return Err(failure("unanticipated END event"));
            }
            cx.raw_set(-3);
        }
    }

    fn scalar(&self, tag: Option<&[u8]>, text: &[u8], is_plain: bool) -> Result<()> {
        let cx = self.cx;
        match tag.and_then(|tag| tag.strip_prefix(TAG_PREFIX.as_bytes())) {
            Some(b"str") => cx.push_bytes(text),
            Some(b"int") => cx.push_int64(parse_leading_int(text)),
            Some(b"float") => self.push_double(parse_double(text).unwrap_or(0.0))?,
            Some(b"bool") => cx.push_boolean(parse_bool(text).unwrap_or(false)),
            Some(b"binary") => {
                let data = crate::builtin::digest::decode_base64(text);
                if BINARY_AS_STRING.get() {
                    cx.push_bytes(data);
                } else {
                    push_binary(cx, &data)?;
                }
            }
            _ if is_plain => return self.plain(text),
            _ => cx.push_bytes(text),
        }
        Ok(())
    }

    fn push_double(&self, value: f64) -> Result<()> {
        if !value.is_finite() && !self.config.decode_invalid_numbers {
            return Err(Error::illegal_params("number must not be NaN or Inf"));
        }
        self.cx.push_number(value);
        Ok(())
    }

    /// An unquoted text: null, a boolean, a number or a string. An empty one is a string.
    fn plain(&self, text: &[u8]) -> Result<()> {
        let cx = self.cx;
        let ascii = std::str::from_utf8(text).unwrap_or_default();
        if is_null(text) {
            cx.push_null();
        } else if let Some(value) = parse_bool(text) {
            cx.push_boolean(value);
        } else if let Ok(value) = ascii.parse::<i64>() {
            cx.push_int64(value);
        } else if let Ok(value) = ascii.parse::<u64>() {
            cx.push_uint64(value);
        } else if let Some(value) = parse_double(text) {
            self.push_double(value)?;
        } else {
            cx.push_bytes(text);
        }
        Ok(())
    }
}

/// The integer at the start of a text, or 0.
fn parse_leading_int(text: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start();
    let digits = text.char_indices().skip(1).find(|(_, char)| !char.is_ascii_digit());
    let end = digits.map_or(text.len(), |(at, _)| at);
    text[..end].parse().unwrap_or(0)
}
