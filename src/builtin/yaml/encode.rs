//! Lua to YAML.
//!
//! A table that is met twice is written once, with an anchor, and then by its alias. Objects with
//! a `__serialize` function are replaced by its result first, each once, so that results met
//! twice are aliased as well.
//!
//! # Yields
//! when a `__serialize` function does

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};

use super::libyaml::{Emitter, Failed, Style};
use super::stand_in::StandIns;
use super::{PRETTY_MULTILINE, Tag};
use crate::base::error::{Error, Result};
use crate::builtin::serializer::{self, Config, Field, failure};
use crate::fiber;
use crate::lua::{Context, Kind};
use crate::value::number;

/// The prefix of YAML's own tags.
pub const TAG_PREFIX: &str = "tag:yaml.org,2002:";

/// Stack that one level of nesting must find.
const STACK_RESERVE: usize = 64 * 1024;

/// Writes the value at `index`: the text, or the emitter's problem.
pub fn encode(
    cx: Context<'_>,
    index: i32,
    config: &Config,
    tag: Option<Tag<'_>>,
) -> Result<std::result::Result<Vec<u8>, String>> {
    cx.reserve(8)?;
    cx.new_table(0, 0);
    let mut encoder = Encoder {
        cx,
        config,
        serialized: cx.top(),
        uses: HashMap::new(),
        anchor_count: 0,
        flow_depth: 0,
        emitter: Emitter::new(),
        stand_ins: StandIns::default(),
    };
    cx.push_value(index);
    encoder.find_uses(cx.top())?;
    match encoder.document(cx.top(), tag) {
        Ok(()) => match encoder.emitter.finish() {
            Ok(text) => Ok(Ok(encoder.stand_ins.restore(text))),
            Err((emitter, Failed)) => Ok(Err(emitter.problem())),
        },
        Err(Stop::Emitter) => Ok(Err(encoder.emitter.problem())),
        Err(Stop::Lua(error)) => Err(error),
    }
}

/// Why encoding stopped.
enum Stop {
    Emitter,
    Lua(Error),
}

impl From<Failed> for Stop {
    fn from(Failed: Failed) -> Stop {
        Stop::Emitter
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Lua(error)
    }
}

/// What is known of a table.
enum Use {
    Once,
    /// Met again; not written yet.
    Shared,
    /// Written under this anchor.
    Written(String),
}

struct Encoder<'a, 'b> {
    cx: Context<'a>,
    config: &'b Config,
    /// Stack index of the table from objects to what they serialize to.
    serialized: i32,
    uses: HashMap<*const c_void, Use>,
    anchor_count: u32,
    /// How many of the open collections are on one line.
    flow_depth: u32,
    emitter: Emitter,
    /// For the characters that libyaml would write in another way.
    stand_ins: StandIns,
}

impl Encoder<'_, '_> {
    fn check_room(&self) -> Result<()> {
        self.cx.reserve(8)?;
        if fiber::stack_remaining() < STACK_RESERVE {
            return Err(failure("stack overflow"));
        }
        Ok(())
    }

    /// Replaces the object in a slot by what it serializes to.
    fn serialize(&self, slot: i32) -> Result<()> {
        let cx = self.cx;
        if !matches!(cx.kind(slot), Kind::Table | Kind::Cdata | Kind::Userdata) {
            return Ok(());
        }
        cx.push_value(slot);
        cx.raw_get(self.serialized);
        if !cx.is_nil(-1) {
            cx.replace(slot);
            return Ok(());
        }
        cx.pop(1);
        cx.push_value(slot);
        serializer::inspect(cx, slot, self.config)?;
        if cx.raw_equal(-1, slot) {
            cx.pop(1);
        } else {
            cx.push_value(slot);
            cx.raw_set(self.serialized);
        }
        Ok(())
    }

    /// Counts the uses of the value in a slot and all below it.
    fn find_uses(&mut self, slot: i32) -> Result<()> {
        let cx = self.cx;
        self.check_room()?;
        self.serialize(slot)?;
        if cx.kind(slot) != Kind::Table {
            return Ok(());
        }
        if let Some(known) = self.uses.get_mut(&cx.pointer(slot)) {
            *known = Use::Shared;
            return Ok(());
        }
        self.uses.insert(cx.pointer(slot), Use::Once);
        cx.push_nil();
        while cx.next(slot) {
            let top = cx.top();
            self.find_uses(top)?;
            cx.set_top(top - 1);
            // A copy: `next` needs the key itself.
            cx.push_value(-1);
            self.find_uses(top)?;
            cx.set_top(top - 1);
        }
        Ok(())
    }

    fn document(&mut self, slot: i32, tag: Option<Tag<'_>>) -> std::result::Result<(), Stop> {
        self.emitter.stream_start()?;
        let tag = match tag {
            Some(tag) => {
                let name = |bytes: &[u8]| {
                    CString::new(bytes).map_err(|_| failure("a tag must not contain a zero byte"))
                };
                Some((name(tag.handle)?, name(tag.prefix)?))
            }
            None => None,
        };
        self.emitter.document_start(tag.as_ref().map(|(handle, prefix)| (handle, prefix)))?;
        self.node(slot)?;
        self.emitter.document_end()?;
        Ok(())
    }

    fn node(&mut self, slot: i32) -> std::result::Result<(), Stop> {
        let cx = self.cx;
        self.check_room()?;
        self.serialize(slot)?;
        let anchor = match self.uses.get_mut(&cx.pointer(slot)) {
            Some(known) if cx.kind(slot) == Kind::Table => match known {
                Use::Once => None,
                Use::Written(anchor) => return Ok(self.emitter.alias(anchor)?),
                Use::Shared => {
                    let anchor = self.anchor_count.to_string();
                    self.anchor_count += 1;
                    *known = Use::Written(anchor.clone());
                    Some(anchor)
                }
            },
            _ => None,
        };
        match serializer::inspect(cx, slot, self.config)? {
            Field::Array { size, is_compact } => {
                self.sequence(slot, size, is_compact, anchor.as_deref())
            }
            Field::Map { is_compact, .. } => self.mapping(slot, is_compact, anchor.as_deref()),
            field => self.scalar(slot, field),
        }
    }

    fn sequence(
        &mut self,
        slot: i32,
        size: u32,
        is_flow: bool,
        anchor: Option<&str>,
    ) -> std::result::Result<(), Stop> {
        let cx = self.cx;
        self.emitter.sequence_start(anchor, is_flow)?;
        self.flow_depth += u32::from(is_flow);
        for number in 1..=size {
            cx.raw_get_index(slot, i32::try_from(number).unwrap_or(i32::MAX));
            let top = cx.top();
            self.node(top)?;
            cx.set_top(top - 1);
        }
        self.flow_depth -= u32::from(is_flow);
        Ok(self.emitter.sequence_end()?)
    }

    fn mapping(
        &mut self,
        slot: i32,
        is_flow: bool,
        anchor: Option<&str>,
    ) -> std::result::Result<(), Stop> {
        let cx = self.cx;
        self.emitter.mapping_start(anchor, is_flow)?;
        self.flow_depth += u32::from(is_flow);
        cx.push_nil();
        while cx.next(slot) {
            let top = cx.top();
            cx.push_value(top - 1);
            self.node(top + 1)?;
            cx.set_top(top);
            self.node(top)?;
            cx.set_top(top - 1);
        }
        self.flow_depth -= u32::from(is_flow);
        Ok(self.emitter.mapping_end()?)
    }

    fn scalar(&mut self, slot: i32, field: Field<'_>) -> std::result::Result<(), Stop> {
        let digits = self.config.encode_number_precision as usize;
        let mut integer = itoa::Buffer::new();
        match field {
            Field::String(text) => {
                let style = self.string_style(slot, text);
                self.string(text, style)
            }
            Field::Cdata(cdata) => {
                let codec = serializer::codec(cdata.type_id()).filter(|codec| codec.text.is_some());
                let Some(codec) = codec else { return self.plain(b"null") };
                let text = codec.text.map(|text| text(cdata)).unwrap_or_default();
                if codec.is_binary { self.binary(&text) } else { self.plain(&text) }
            }
            Field::Error => {
                let message = self.cx.error(slot).map(|error| error.message().to_owned());
                self.plain(message.unwrap_or_default().as_bytes())
            }
            Field::Boolean(true) => self.plain(b"true"),
            Field::Boolean(false) => self.plain(b"false"),
            Field::Unsigned(value) => self.plain(integer.format(value).as_bytes()),
            Field::Integer(value) => self.plain(integer.format(value).as_bytes()),
            Field::Float(value) => {
                self.plain(number::format_general(f64::from(value), digits).as_bytes())
            }
            Field::Double(value) => self.plain(number::format_general(value, digits).as_bytes()),
            _ => self.plain(b"null"),
        }
    }

    fn plain(&mut self, text: &[u8]) -> std::result::Result<(), Stop> {
        self.string(text, Style::Plain)
    }

    /// A text, which may be any bytes.
    fn string(&mut self, text: &[u8], style: Style) -> std::result::Result<(), Stop> {
        if text.is_ascii() {
            return Ok(self.emitter.scalar(text, None, style)?);
        }
        let (text, has_escapes) = self.stand_ins.replace(text);
        let style = if has_escapes { Style::DoubleQuoted } else { style };
        Ok(self.emitter.scalar(text.as_bytes(), None, style)?)
    }

    fn binary(&mut self, data: &[u8]) -> std::result::Result<(), Stop> {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(data);
        let tag = format!("{TAG_PREFIX}binary");
        Ok(self.emitter.scalar(text.as_bytes(), Some(&tag), Style::Plain)?)
    }

    /// What would be read back as another type is quoted, and so are all strings on one line.
    fn string_style(&self, slot: i32, text: &[u8]) -> Style {
        let is_other_type = is_null(text) || parse_bool(text).is_some();
        if is_other_type || self.is_number(slot, text) || self.flow_depth > 0 {
            return Style::SingleQuoted;
        }
        let needle: &[u8] = if PRETTY_MULTILINE.get() { b"\n" } else { b"\n\n" };
        if memchr::memmem::find(text, needle).is_some() {
            return Style::Literal;
        }
        Style::Any
    }

    fn is_number(&self, slot: i32, text: &[u8]) -> bool {
        !text.is_empty() && (self.cx.check_number(slot).is_ok() || parse_double(text).is_some())
    }
}

/// Whether an unquoted text is null.
pub fn is_null(text: &[u8]) -> bool {
    matches!(text, b"~" | b"null")
}

/// The boolean of an unquoted text.
pub fn parse_bool(text: &[u8]) -> Option<bool> {
    match text {
        b"true" | b"yes" => Some(true),
        b"false" | b"no" => Some(false),
        _ => None,
    }
}

/// The number of a text, by C's rules: hexadecimal, `inf` and `nan` are numbers too.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    // Most texts cannot be numbers; do not copy those.
    let first = *text.first()?;
    if !(first.is_ascii_digit() || b"+-.iInN \t\n\x0b\x0c\r".contains(&first)) {
        return None;
    }
    let text = CString::new(text).ok()?;
    let (value, rest) = c_double(&text);
    (rest == 0).then_some(value)
}

/// The number at the start of a text, and how many bytes are left.
fn c_double(text: &CStr) -> (f64, usize) {
    let mut end = std::ptr::null_mut();
    // SAFETY: a C string, whose end the call stores.
    let (value, used) = unsafe {
        let value = libc::strtod(text.as_ptr(), &raw mut end);
        (value, end.cast_const().offset_from(text.as_ptr()))
    };
    (value, text.count_bytes() - used.unsigned_abs())
}
