//! Splits the line of an inline request into words, by the rules of Redis's `sdssplitargs`:
//! double quotes with escapes (`\n \r \t \b \a \xHH`, any other character is itself), single
//! quotes with `\'` only, and a closing quote ends its word.
//!
//! # Yields
//! never

use std::ops::Range;

/// Appends the words' decoded bytes to `bytes` and their places to `words`. False: a quote does
/// not close, or text follows a closing quote without a space.
pub fn split(line: &[u8], bytes: &mut Vec<u8>, words: &mut Vec<Range<usize>>) -> bool {
    // Redis reads lines as C strings.
    let line = memchr::memchr(0, line).map_or(line, |end| &line[..end]);
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        // The vertical tab is a space to C, but not to Rust.
        while let Some(tail) = rest.strip_prefix(b"\x0b") {
            rest = tail.trim_ascii_start();
        }
        if rest.is_empty() {
            return true;
        }
        let start = bytes.len();
        let Some(tail) = word(rest, bytes) else { return false };
        words.push(start..bytes.len());
        rest = tail;
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Reads one word; what is left of the line.
fn word<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match *rest {
            [] => return Some(rest),
            [byte, ..] if is_space(byte) => return Some(rest),
            [quote @ (b'"' | b'\''), ref tail @ ..] => {
                let tail = if quote == b'"' { double(tail, bytes)? } else { single(tail, bytes)? };
                // Redis accepts any space here, the vertical tab included.
                let closes =
                    tail.first().is_none_or(|byte| is_space(*byte) || (11..13).contains(byte));
                return closes.then_some(tail);
            }
            [byte, ref tail @ ..] => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
}

fn single<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match *rest {
            [] => return None,
            [b'\'', ref tail @ ..] => return Some(tail),
            [b'\\', b'\'', ref tail @ ..] => {
                bytes.push(b'\'');
                rest = tail;
            }
            [byte, ref tail @ ..] => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
}

fn double<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match *rest {
            [] => return None,
            [b'"', ref tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, ref tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                bytes.push(hex(high) << 4 | hex(low));
                tail
            }
            [b'\\', escaped, ref tail @ ..] => {
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                });
                tail
            }
            [byte, ref tail @ ..] => {
                bytes.push(byte);
                tail
            }
        };
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let (mut bytes, mut words) = (Vec::new(), Vec::new());
        split(line.as_bytes(), &mut bytes, &mut words).then(|| {
            words.into_iter().map(|w| String::from_utf8_lossy(&bytes[w]).into_owned()).collect()
        })
    }

    #[test]
    fn words_are_split_as_redis_does() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("SET user1 John", Some(&["SET", "user1", "John"])),
            ("  a \t b  ", Some(&["a", "b"])),
            ("", Some(&[])),
            (r#"set k "a b\n\x41\q""#, Some(&["set", "k", "a b\nAq"])),
            (r"set k 'a \n \'b\' c'", Some(&["set", "k", r"a \n 'b' c"])),
            (r#"a"b""#, Some(&["ab"])),
            (r#""" ''"#, Some(&["", ""])),
            (r#""a"b"#, None),
            (r#""a"#, None),
            ("'a", None),
            (r#""a\"#, None),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|words| words.iter().map(ToString::to_string).collect());
            assert_eq!(words(line), expected, "{line}");
        }
    }
}
