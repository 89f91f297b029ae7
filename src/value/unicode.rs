//! Characters of UTF-8 strings that need not be valid: what Lua's module `utf8` is made of.
//!
//! Positions are bytes from 0. A sequence that is not UTF-8 counts as one character as long as
//! its longest prefix that could begin one (the Unicode standard's maximal subpart).

use std::borrow::Cow;

use icu_casemap::CaseMapper;
use icu_locale_core::LanguageIdentifier;
use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

/// The character at `position` (`None` if it is not UTF-8) and the position after it; `None` at the
/// end.
pub fn next(text: &[u8], position: usize) -> Option<(Option<char>, usize)> {
    let rest = text.get(position..).filter(|rest| !rest.is_empty())?;
    let head = &rest[..rest.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(valid) => valid,
        Err(error) if error.valid_up_to() > 0 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(error) => return Some((None, position + error.error_len().unwrap_or(head.len()))),
    };
    let first = valid.chars().next()?;
    Some((Some(first), position + first.len_utf8()))
}

/// Why there is no length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthError {
    /// The sequence that ends before this position is not UTF-8.
    Invalid(usize),
    /// The bounds are not within the string.
    OutOfString,
}

/// Number of characters that start in `start..=end`, both from 1, or from the end if negative.
pub fn length(text: &[u8], start: i64, end: i64) -> Result<usize, LengthError> {
    let size = text.len() as i64;
    let absolute = |offset: i64| match offset {
        0.. => offset,
        _ => (size + offset + 1).max(0),
    };
    let (start, end) = (absolute(start), absolute(end));
    if start < 1 || start - 1 > size || end > size {
        return Err(LengthError::OutOfString);
    }
    let mut position = start as usize - 1;
    let mut count = 0;
    while (position as i64) < end {
        let Some((character, after)) = next(text, position) else { break };
        if character.is_none() {
            return Err(LengthError::Invalid(after));
        }
        position = after;
        count += 1;
    }
    Ok(count)
}

/// The characters `start..=end`, both from 1, or from the end if negative.
pub fn substring(text: &[u8], start: i64, end: i64) -> &[u8] {
    let mut bounds = vec![0];
    while let Some((_, after)) = next(text, bounds[bounds.len() - 1]) {
        bounds.push(after);
    }
    let count = bounds.len() as i64 - 1;
    let from = if start > 0 {
        start - 1
    } else if start < 0 {
        count + start
    } else {
        0
    };
    let to = if end >= 0 { end } else { count + end + 1 };
    let from = from.clamp(0, count);
    let to = to.clamp(from, count);
    &text[bounds[from as usize]..bounds[to as usize]]
}

/// Appends a code point in UTF-8, surrogates and codes beyond Unicode included, as Lua programs
/// may ask for them.
pub fn push_code(out: &mut Vec<u8>, code: u32) {
    let tail = |shift: u32| 0x80 | (code >> shift) as u8 & 0x3f;
    match code {
        0..=0x7f => out.push(code as u8),
        0x80..=0x7ff => out.extend([0xc0 | (code >> 6) as u8, tail(0)]),
        0x800..=0xffff => out.extend([0xe0 | (code >> 12) as u8, tail(6), tail(0)]),
        _ => out.extend([0xf0 | (code >> 18) as u8 & 0x07, tail(12), tail(6), tail(0)]),
    }
}

/// Upper case by the root locale's rules; what is not UTF-8 becomes U+FFFD.
pub fn uppercase(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    CaseMapper::new().uppercase_to_string(&text, &LanguageIdentifier::UNKNOWN).into_owned()
}

/// Lower case by the root locale's rules; what is not UTF-8 becomes U+FFFD.
pub fn lowercase(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower: Cow<'_, str> =
        CaseMapper::new().lowercase_to_string(&text, &LanguageIdentifier::UNKNOWN);
    lower.into_owned()
}

/// A property of characters that Lua asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// A letter.
    Alpha,
    /// A decimal digit.
    Digit,
    /// A lower-case letter.
    Lower,
    /// An upper-case letter.
    Upper,
}

/// Whether the code point has the property.
pub fn has(property: Property, code: u32) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get32(code);
    match property {
        Property::Alpha => GeneralCategoryGroup::Letter.contains(category),
        Property::Digit => category == GeneralCategory::DecimalNumber,
        Property::Lower => category == GeneralCategory::LowercaseLetter,
        Property::Upper => category == GeneralCategory::UppercaseLetter,
    }
}

/// Whether a character shows as itself: it is neither a control nor format character, nor
/// unassigned or of private use.
pub fn is_printable(code: char) -> bool {
    !GeneralCategoryGroup::Other.contains(CodePointMapData::<GeneralCategory>::new().get(code))
}

/// Whether `text` is one character that has the property.
pub fn text_has(property: Property, text: &[u8]) -> bool {
    match next(text, 0) {
        Some((Some(character), end)) => end == text.len() && has(property, character as u32),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_take_offsets_from_both_ends() {
        let text = "añb".as_bytes();
        assert_eq!(length(text, 1, -1), Ok(3));
        assert_eq!(length(text, 2, 3), Ok(1));
        assert_eq!(length(text, -1, -1), Ok(1));
        assert_eq!(length(text, 3, -1), Err(LengthError::Invalid(3)));
        assert_eq!(length(text, 6, -1), Err(LengthError::OutOfString));
        assert_eq!(length(b"", 1, -1), Ok(0));
        assert_eq!(length(b"", 0, -1), Err(LengthError::OutOfString));
    }

    #[test]
    fn substrings_count_characters() {
        let text = "12³4ё6".as_bytes();
        let sub = |start, end| std::str::from_utf8(substring(text, start, end)).unwrap();
        assert_eq!(sub(3, 5), "³4ё");
        assert_eq!(sub(-2, -1), "ё6");
        assert_eq!(sub(2, -2), "2³4ё");
        assert_eq!(sub(5, 2), "");
        assert_eq!(sub(0, 100), "12³4ё6");
        assert_eq!(sub(-100, 1), "1");
    }

    #[test]
    fn case_and_properties_are_unicodes() {
        assert_eq!(uppercase("straße ёж".as_bytes()), "STRASSE ЁЖ");
        assert_eq!(lowercase("ΑΣ ЁЖ".as_bytes()), "ας ёж");
        assert!(text_has(Property::Alpha, "ё".as_bytes()));
        assert!(text_has(Property::Upper, "Ё".as_bytes()));
        assert!(text_has(Property::Digit, "٣".as_bytes()));
        assert!(!text_has(Property::Lower, b"ab"));
        assert!(!text_has(Property::Alpha, &[0xff]));
        let mut out = Vec::new();
        for code in [0x24, 0xa2, 0x20ac, 0x10348] {
            push_code(&mut out, code);
        }
        assert_eq!(out, "$¢€𐍈".as_bytes());
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_walked(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut position = 0;
            while let Some((_, after)) = next(&text, position) {
                prop_assert!(after > position && after <= text.len());
                position = after;
            }
            prop_assert_eq!(position, text.len());
            let _ = substring(&text, 2, -2);
        }
    }
}
