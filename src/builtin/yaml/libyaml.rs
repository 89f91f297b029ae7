//! Safe handles of libyaml's emitter and parser, as far as the module needs them.
//!
//! # Yields
//! never

use std::ffi::{CStr, CString, c_void};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;

use unsafe_libyaml::{self as yaml, yaml_emitter_t, yaml_event_t, yaml_parser_t};

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As the emitter finds right.
    Any,
    /// Without quotes where possible.
    Plain,
    /// In single quotes.
    SingleQuoted,
    /// In double quotes, with escapes.
    DoubleQuoted,
    /// As a block of lines.
    Literal,
}

/// An emitter that writes to memory. It is boxed because libyaml keeps its address.
pub struct Emitter {
    raw: Box<yaml_emitter_t>,
    /// Written through a raw pointer by `write`.
    #[expect(clippy::box_collection, reason = "libyaml keeps the address of the vector itself")]
    output: Box<Vec<u8>>,
}

/// Nothing can go on after an error of the emitter; `Emitter::problem` tells what it was.
#[derive(Debug)]
pub struct Failed;

type Emitted = Result<(), Failed>;

/// # Safety
/// `data` is the address of the emitter's output.
unsafe fn write(data: *mut c_void, buffer: *mut u8, size: u64) -> i32 {
    // SAFETY: libyaml passes back what `new` gave it, and a buffer of that size.
    unsafe {
        let output = &mut *data.cast::<Vec<u8>>();
        output.extend_from_slice(std::slice::from_raw_parts(buffer, size as usize));
    }
    1
}

impl Emitter {
    pub fn new() -> Emitter {
        let mut raw = Box::new(MaybeUninit::<yaml_emitter_t>::uninit());
        let mut output = Box::new(Vec::new());
        let data: *mut Vec<u8> = &raw mut *output;
        // SAFETY: `initialize` fills the memory; the output lives as long as the emitter and is
        // not touched while libyaml writes.
        let raw = unsafe {
            let emitter = raw.as_mut_ptr();
            assert!(yaml::yaml_emitter_initialize(emitter).ok, "it only allocates");
            yaml::yaml_emitter_set_unicode(emitter, true);
            yaml::yaml_emitter_set_indent(emitter, 2);
            // Too narrow to be taken at its word: libyaml makes it 80.
            yaml::yaml_emitter_set_width(emitter, 2);
            yaml::yaml_emitter_set_break(emitter, yaml::YAML_LN_BREAK);
            yaml::yaml_emitter_set_output(emitter, write, data.cast());
            Box::from_raw(Box::into_raw(raw).cast::<yaml_emitter_t>())
        };
        Emitter { raw, output }
    }

    /// What went wrong.
    pub fn problem(&self) -> String {
        let problem = self.raw.problem;
        if problem.is_null() {
            return "yaml: out of memory".to_owned();
        }
        // SAFETY: a constant C string of libyaml.
        unsafe { CStr::from_ptr(problem) }.to_string_lossy().into_owned()
    }

    fn emit(&mut self, initialize: impl FnOnce(*mut yaml_event_t) -> bool) -> Emitted {
        let mut event = MaybeUninit::<yaml_event_t>::uninit();
        if !initialize(event.as_mut_ptr()) {
            return Err(Failed);
        }
        // SAFETY: the event was initialized, and the emitter takes it over.
        let emitted = unsafe { yaml::yaml_emitter_emit(&raw mut *self.raw, event.as_mut_ptr()) };
        if emitted.ok { Ok(()) } else { Err(Failed) }
    }

    pub fn stream_start(&mut self) -> Emitted {
        // SAFETY: the event is written by the call.
        self.emit(|event| unsafe {
            yaml::yaml_stream_start_event_initialize(event, yaml::YAML_UTF8_ENCODING).ok
        })
    }

    /// Ends the stream; returns the text.
    pub fn finish(mut self) -> Result<Vec<u8>, (Emitter, Failed)> {
        // SAFETY: as above.
        let ended = self
            .emit(|event| unsafe { yaml::yaml_stream_end_event_initialize(event).ok })
            .and_then(|()| {
                // SAFETY: the emitter is initialized.
                let flushed = unsafe { yaml::yaml_emitter_flush(&raw mut *self.raw) };
                if flushed.ok { Ok(()) } else { Err(Failed) }
            });
        match ended {
            Ok(()) => Ok(std::mem::take(&mut *self.output)),
            Err(failed) => Err((self, failed)),
        }
    }

    /// Starts a document, under a tag's handle and prefix if there are any.
    pub fn document_start(&mut self, tag: Option<(&CString, &CString)>) -> Emitted {
        let mut directives: Vec<yaml::yaml_tag_directive_t> = Vec::new();
        if let Some((handle, prefix)) = tag {
            // SAFETY: the type is two pointers, for which zeros are a value.
            let mut directive =
                unsafe { MaybeUninit::<yaml::yaml_tag_directive_t>::zeroed().assume_init() };
            directive.handle = handle.as_ptr().cast_mut().cast();
            directive.prefix = prefix.as_ptr().cast_mut().cast();
            directives.push(directive);
        }
        let range = directives.as_mut_ptr_range();
        // SAFETY: the directives are copied by the call.
        self.emit(|event| unsafe {
            yaml::yaml_document_start_event_initialize(
                event,
                ptr::null_mut(),
                range.start,
                range.end,
                false,
            )
            .ok
        })
    }

    pub fn document_end(&mut self) -> Emitted {
        // SAFETY: as above.
        self.emit(|event| unsafe { yaml::yaml_document_end_event_initialize(event, false).ok })
    }

    pub fn alias(&mut self, anchor: &str) -> Emitted {
        let anchor = c_string(anchor);
        // SAFETY: the name is copied by the call.
        self.emit(|event| unsafe {
            yaml::yaml_alias_event_initialize(event, anchor.as_ptr().cast()).ok
        })
    }

    pub fn sequence_start(&mut self, anchor: Option<&str>, is_flow: bool) -> Emitted {
        let anchor = anchor.map(c_string);
        let style =
            if is_flow { yaml::YAML_FLOW_SEQUENCE_STYLE } else { yaml::YAML_BLOCK_SEQUENCE_STYLE };
        // SAFETY: the name is copied by the call.
        self.emit(|event| unsafe {
            let anchor = anchor.as_ref().map_or(ptr::null(), |anchor| anchor.as_ptr());
            yaml::yaml_sequence_start_event_initialize(
                event,
                anchor.cast(),
                ptr::null(),
                false,
                style,
            )
            .ok
        })
    }

    pub fn sequence_end(&mut self) -> Emitted {
        // SAFETY: as above.
        self.emit(|event| unsafe { yaml::yaml_sequence_end_event_initialize(event).ok })
    }

    pub fn mapping_start(&mut self, anchor: Option<&str>, is_flow: bool) -> Emitted {
        let anchor = anchor.map(c_string);
        let style =
            if is_flow { yaml::YAML_FLOW_MAPPING_STYLE } else { yaml::YAML_BLOCK_MAPPING_STYLE };
        // SAFETY: the name is copied by the call.
        self.emit(|event| unsafe {
            let anchor = anchor.as_ref().map_or(ptr::null(), |anchor| anchor.as_ptr());
            yaml::yaml_mapping_start_event_initialize(
                event,
                anchor.cast(),
                ptr::null(),
                false,
                style,
            )
            .ok
        })
    }

    pub fn mapping_end(&mut self) -> Emitted {
        // SAFETY: as above.
        self.emit(|event| unsafe { yaml::yaml_mapping_end_event_initialize(event).ok })
    }

    /// A scalar; with a tag it is shown with it.
    pub fn scalar(&mut self, text: &[u8], tag: Option<&str>, style: Style) -> Emitted {
        let tag_name = tag.map(c_string);
        let style = match style {
            Style::Any => yaml::YAML_ANY_SCALAR_STYLE,
            Style::Plain => yaml::YAML_PLAIN_SCALAR_STYLE,
            Style::SingleQuoted => yaml::YAML_SINGLE_QUOTED_SCALAR_STYLE,
            Style::DoubleQuoted => yaml::YAML_DOUBLE_QUOTED_SCALAR_STYLE,
            Style::Literal => yaml::YAML_LITERAL_SCALAR_STYLE,
        };
        let Ok(size) = i32::try_from(text.len()) else { return Err(Failed) };
        // SAFETY: text and tag are copied by the call.
        self.emit(|event| unsafe {
            let tag_name = tag_name.as_ref().map_or(ptr::null(), |tag| tag.as_ptr());
            yaml::yaml_scalar_event_initialize(
                event,
                ptr::null(),
                tag_name.cast(),
                text.as_ptr(),
                size,
                tag.is_none(),
                tag.is_none(),
                style,
            )
            .ok
        })
    }
}

impl Drop for Emitter {
    fn drop(&mut self) {
        // SAFETY: initialized by `new`, deleted once.
        unsafe { yaml::yaml_emitter_delete(&raw mut *self.raw) }
    }
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("names of ours have no zero byte")
}

/// What the parser met.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    StreamStart,
    StreamEnd,
    /// The tag directives: handle and prefix.
    DocumentStart(Vec<(Vec<u8>, Vec<u8>)>),
    DocumentEnd,
    Alias(Vec<u8>),
    Scalar {
        anchor: Option<Vec<u8>>,
        tag: Option<Vec<u8>>,
        text: Vec<u8>,
        is_plain: bool,
        /// Where it stands in the input, in characters, if it is in double quotes.
        quoted: Option<Range<usize>>,
    },
    SequenceStart(Option<Vec<u8>>),
    SequenceEnd,
    MappingStart(Option<Vec<u8>>),
    MappingEnd,
}

/// What is wrong in a text, and where; lines and columns count from 0.
pub struct Problem {
    pub message: String,
    pub line: u64,
    pub column: u64,
    /// What was being parsed, from where.
    pub context: Option<(String, u64, u64)>,
}

/// A parser of a text.
pub struct Parser<'a> {
    raw: Box<yaml_parser_t>,
    life: std::marker::PhantomData<&'a [u8]>,
}

/// # Safety
/// `text` is null or a C string.
unsafe fn c_bytes(text: *const u8) -> Option<Vec<u8>> {
    // SAFETY: promised by the caller.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text.cast()) }.to_bytes().to_vec())
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a [u8]) -> Parser<'a> {
        let mut raw = Box::new(MaybeUninit::<yaml_parser_t>::uninit());
        // SAFETY: `initialize` fills the memory; the text outlives the parser.
        let raw = unsafe {
            let parser = raw.as_mut_ptr();
            assert!(yaml::yaml_parser_initialize(parser).ok, "it only allocates");
            yaml::yaml_parser_set_input_string(parser, text.as_ptr(), text.len() as u64);
            Box::from_raw(Box::into_raw(raw).cast::<yaml_parser_t>())
        };
        Parser { raw, life: std::marker::PhantomData }
    }

    /// The next event.
    pub fn next(&mut self) -> Result<Event, Problem> {
        let mut event = MaybeUninit::<yaml_event_t>::uninit();
        // SAFETY: the parser is initialized; on success the event is, and is deleted below.
        unsafe {
            if !yaml::yaml_parser_parse(&raw mut *self.raw, event.as_mut_ptr()).ok {
                return Err(self.problem());
            }
            let mut event = event.assume_init();
            let converted = convert(&event);
            yaml::yaml_event_delete(&raw mut event);
            Ok(converted)
        }
    }

    fn problem(&self) -> Problem {
        let text = |text: *const std::ffi::c_char| {
            // SAFETY: constant C strings of libyaml.
            unsafe { c_bytes(text.cast()) }
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let mark = self.raw.problem_mark;
        Problem {
            message: text(self.raw.problem).unwrap_or_else(|| "A problem".to_owned()),
            line: mark.line,
            column: mark.column,
            context: text(self.raw.context)
                .map(|what| (what, self.raw.context_mark.line, self.raw.context_mark.column)),
        }
    }
}

impl Drop for Parser<'_> {
    fn drop(&mut self) {
        // SAFETY: initialized by `new`, deleted once.
        unsafe { yaml::yaml_parser_delete(&raw mut *self.raw) }
    }
}

/// # Safety
/// The event is initialized.
unsafe fn convert(event: &yaml_event_t) -> Event {
    // SAFETY: the type says which member of the union is set; its strings are C strings.
    unsafe {
        match event.type_ {
            yaml::YAML_STREAM_START_EVENT => Event::StreamStart,
            yaml::YAML_DOCUMENT_START_EVENT => {
                let directives = event.data.document_start.tag_directives;
                let mut tags = Vec::new();
                let mut at = directives.start;
                while at < directives.end {
                    let name = |text| c_bytes(text).unwrap_or_default();
                    tags.push((name((*at).handle), name((*at).prefix)));
                    at = at.add(1);
                }
                Event::DocumentStart(tags)
            }
            yaml::YAML_DOCUMENT_END_EVENT => Event::DocumentEnd,
            yaml::YAML_ALIAS_EVENT => {
                Event::Alias(c_bytes(event.data.alias.anchor).unwrap_or_default())
            }
            yaml::YAML_SCALAR_EVENT => {
                let scalar = event.data.scalar;
                let text = std::slice::from_raw_parts(scalar.value, scalar.length as usize);
                Event::Scalar {
                    anchor: c_bytes(scalar.anchor),
                    tag: c_bytes(scalar.tag),
                    text: text.to_vec(),
                    is_plain: scalar.style == yaml::YAML_PLAIN_SCALAR_STYLE,
                    quoted: (scalar.style == yaml::YAML_DOUBLE_QUOTED_SCALAR_STYLE)
                        .then_some(event.start_mark.index as usize..event.end_mark.index as usize),
                }
            }
            yaml::YAML_SEQUENCE_START_EVENT => {
                Event::SequenceStart(c_bytes(event.data.sequence_start.anchor))
            }
            yaml::YAML_SEQUENCE_END_EVENT => Event::SequenceEnd,
            yaml::YAML_MAPPING_START_EVENT => {
                Event::MappingStart(c_bytes(event.data.mapping_start.anchor))
            }
            yaml::YAML_MAPPING_END_EVENT => Event::MappingEnd,
            _ => Event::StreamEnd,
        }
    }
}
