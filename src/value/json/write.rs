//! Writers of JSON's scalars.

use super::NUMBER_PRECISION_MAX;
use crate::value::number::format_general;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// What follows the backslash for each byte: 0 for none, `u` for a code.
static ESCAPES: [u8; 256] = escapes();

const fn escapes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x7f] = b'u';
    table[8] = b'b';
    table[b'\t' as usize] = b't';
    table[b'\n' as usize] = b'n';
    table[12] = b'f';
    table[b'\r' as usize] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
}

/// Appends a string with its quotes. `escape_slash` is the compat option
/// `json_escape_forward_slash`. Bytes above 0x7f are kept, be they UTF-8 or not.
pub fn write_string(out: &mut Vec<u8>, text: &[u8], escape_slash: bool) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut start = 0;
    for (index, &byte) in text.iter().enumerate() {
        let escape = match ESCAPES[byte as usize] {
            0 if byte == b'/' && escape_slash => b'/',
            0 => continue,
            escape => escape,
        };
        out.extend_from_slice(&text[start..index]);
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            let digits = [b'0', b'0', HEX[byte as usize >> 4], HEX[byte as usize & 15]];
            out.extend_from_slice(&digits);
        }
        start = index + 1;
    }
    out.extend_from_slice(&text[start..]);
    out.push(b'"');
}

/// Appends a float with `precision` significant digits as C's `%g` prints it; also `inf`, `-inf`
/// and `nan`, which are not JSON. A precision of 0 or above the maximum is the maximum.
pub fn write_number(out: &mut Vec<u8>, value: f64, precision: usize) {
    let precision = match precision {
        1..=NUMBER_PRECISION_MAX => precision,
        _ => NUMBER_PRECISION_MAX,
    };
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    // The shortest text that parses back is also the rounded one when it has few digits.
    if (1e-4..1e14).contains(&value.abs()) {
        let mut buffer = ryu::Buffer::new();
        let text = buffer.format_finite(value);
        let text = text.strip_suffix(".0").unwrap_or(text);
        let plain = text.bytes().all(|byte| byte != b'e');
        if plain && text.len() <= precision && value.abs() < 10f64.powi(precision as i32) {
            return out.extend_from_slice(text.as_bytes());
        }
    }
    out.extend_from_slice(format_general(value, precision).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn string(text: &[u8], escape_slash: bool) -> String {
        let mut out = Vec::new();
        write_string(&mut out, text, escape_slash);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_escape_what_json_must() {
        assert_eq!(string("a\"\\/\n\u{1}\u{7f}é".as_bytes(), false), r#""a\"\\/\n\u0001\u007fé""#);
        assert_eq!(string(b"a/b", true), r#""a\/b""#);
    }

    proptest! {
        #[test]
        fn numbers_are_formatted_like_percent_g(value: f64, small in -1000000i32..1000000, precision in 1usize..=14) {
            for value in [value, small as f64 / 1000.0, small as f64, small as f64 * 1e7] {
                let mut out = Vec::new();
                write_number(&mut out, value, precision);
                let expected = if value.is_nan() { "nan".into() } else { format_general(value, precision) };
                prop_assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
    }
}
