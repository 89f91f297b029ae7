//! `\xFF` in double quotes: one byte, as in Tarantool. To libyaml it is the character U+00FF.
//!
//! Scalars with such escapes are read again: each is given to libyaml as a character that occurs
//! nowhere in the scalar, which then becomes the byte.
//!
//! # Yields
//! never

use std::ops::Range;

use super::libyaml::{Event, Parser};

/// Whether an escape of a byte that is no ASCII may occur in a text.
pub fn occur(text: &[u8]) -> bool {
    memchr::memmem::find_iter(text, b"\\x").any(|at| byte_at(text, at).is_some())
}

/// The byte of the escape at a position, unless it is ASCII.
fn byte_at(text: &[u8], at: usize) -> Option<u8> {
    let digits = std::str::from_utf8(text.get(at + 2..at + 4)?).ok()?;
    u8::from_str_radix(digits, 16).ok().filter(|byte| !byte.is_ascii())
}

/// The bytes of the scalar at a place (counted in characters) of a document that libyaml read as
/// `known`; `None`: they are those.
pub fn read(document: &[u8], place: Range<usize>, known: &[u8]) -> Option<Vec<u8>> {
    let document = std::str::from_utf8(document).ok()?;
    let document = document.strip_prefix('\u{FEFF}').unwrap_or(document);
    let start = document.char_indices().nth(place.start)?.0;
    let rest = &document[start..];
    let end = rest.char_indices().nth(place.end - place.start).map_or(rest.len(), |(end, _)| end);
    let source = &rest.as_bytes()[..end];
    let known = std::str::from_utf8(known).ok()?;
    // 256 characters in a row, none of which the scalar has.
    let first = (0x1000..0x10FF)
        .map(|row: u32| row << 8)
        .find(|first| !known.chars().any(|character| character as u32 >> 8 == first >> 8))?;
    let mut marked = Vec::with_capacity(source.len() + 16);
    let mut at = 0;
    let mut has_any = false;
    while at < source.len() {
        let byte = (source[at] == b'\\').then(|| (source.get(at + 1), byte_at(source, at)));
        match byte {
            Some((Some(b'x'), Some(byte))) => {
                has_any = true;
                let stand_in = char::from_u32(first + u32::from(byte))?;
                marked.extend_from_slice(stand_in.to_string().as_bytes());
                at += 4;
            }
            Some((Some(next), _)) => {
                marked.extend_from_slice(&[b'\\', *next]);
                at += 2;
            }
            _ => {
                marked.push(source[at]);
                at += 1;
            }
        }
    }
    if !has_any {
        return None;
    }
    let mut parser = Parser::new(&marked);
    let text = loop {
        match parser.next().ok()? {
            Event::Scalar { text, .. } => break text,
            Event::StreamEnd => return None,
            _ => {}
        }
    };
    let mut bytes = Vec::with_capacity(text.len());
    for character in std::str::from_utf8(&text).ok()?.chars() {
        match (character as u32).checked_sub(first) {
            Some(byte) if byte < 256 => bytes.push(byte as u8),
            _ => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Some(bytes)
}
