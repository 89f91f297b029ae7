//! Stand-ins for what Tarantool's libyaml writes in another way than ours.
//!
//! Tarantool's writes a byte that is not UTF-8 as `\xFF`, escapes every character that does not
//! print, and no other; the original refuses such bytes, escapes all characters above U+FFFF and
//! prints others. So what differs is given to the emitter as one character of private use that
//! stands in for it, and is put back in what comes out. Such characters do not print, so those of
//! the text itself are stood in for as well, and none is mistaken.
//!
//! A line may be folded somewhat later than by Tarantool's, for an escape counts as one character.
//!
//! # Yields
//! never

use std::collections::HashMap;

use crate::value::unicode;

/// The characters that stand in: the private use area of the basic plane.
const FIRST: u32 = 0xE000;
const COUNT: usize = 0x1900;

/// What stands for what in one stream.
#[derive(Default)]
pub struct StandIns {
    /// What the characters from `FIRST` on stand for.
    texts: Vec<String>,
    known: HashMap<Piece, char>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Piece {
    Byte(u8),
    Character(char),
}

impl Piece {
    /// How it is to appear in a scalar.
    fn text(self) -> String {
        match self {
            Piece::Byte(byte) => format!("\\x{byte:02X}"),
            Piece::Character(character) if unicode::is_printable(character) => character.into(),
            Piece::Character('\u{85}') => "\\N".to_owned(),
            Piece::Character(character) if character <= '\u{FFFF}' => {
                format!("\\u{:04X}", character as u32)
            }
            Piece::Character(character) => format!("\\U{:08X}", character as u32),
        }
    }
}

impl StandIns {
    /// A text for the emitter, and whether something in it is an escape, which stands only in
    /// double quotes.
    pub fn replace(&mut self, text: &[u8]) -> (String, bool) {
        let mut result = String::with_capacity(text.len());
        let mut has_escapes = false;
        for chunk in text.utf8_chunks() {
            for character in chunk.valid().chars() {
                let prints = unicode::is_printable(character);
                has_escapes |= !prints && character != '\n';
                // ASCII is treated alike by both.
                let is_alike = character.is_ascii()
                    || prints && character <= '\u{FFFF}' && !is_break(character);
                let written = if is_alike {
                    character
                } else {
                    let otherwise = match (character as u32).wrapping_sub(FIRST) {
                        index if (index as usize) < COUNT => char::REPLACEMENT_CHARACTER,
                        _ => character,
                    };
                    self.stand_in(Piece::Character(character)).unwrap_or(otherwise)
                };
                result.push(written);
            }
            for &byte in chunk.invalid() {
                has_escapes = true;
                let stand_in = self.stand_in(Piece::Byte(byte));
                result.push(stand_in.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        (result, has_escapes)
    }

    /// `None`: too many different ones in one stream.
    fn stand_in(&mut self, piece: Piece) -> Option<char> {
        if let Some(known) = self.known.get(&piece) {
            return Some(*known);
        }
        // Every byte finds a place, whatever comes before.
        const RESERVED: usize = 128;
        let is_full = match piece {
            Piece::Byte(_) => self.texts.len() >= COUNT,
            Piece::Character(_) => self.texts.len() >= COUNT - RESERVED,
        };
        if is_full {
            return None;
        }
        let stand_in = char::from_u32(FIRST + self.texts.len() as u32)?;
        self.texts.push(piece.text());
        self.known.insert(piece, stand_in);
        Some(stand_in)
    }

    /// Puts back what was stood in for.
    pub fn restore(&self, output: Vec<u8>) -> Vec<u8> {
        if self.texts.is_empty() {
            return output;
        }
        // The emitter writes UTF-8.
        let output = String::from_utf8_lossy(&output);
        let mut result = String::with_capacity(output.len());
        for character in output.chars() {
            let index = (character as u32).checked_sub(FIRST).map(|index| index as usize);
            match index.and_then(|index| self.texts.get(index)) {
                Some(text) => result.push_str(text),
                None => result.push(character),
            }
        }
        result.into_bytes()
    }
}

/// What libyaml takes for the end of a line, and Tarantool's does not.
fn is_break(character: char) -> bool {
    matches!(character, '\u{85}' | '\u{2028}' | '\u{2029}')
}
