//! PEM, the text form of keys and certificates.
//!
//! # Layout
//! `-----BEGIN LABEL-----`, lines `Name: value` and an empty line if the content is encrypted in
//! the old way, base64, `-----END LABEL-----`. Anything else around it is a comment.
//!
//! # Yields
//! never

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What stands between two marks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// What it is: `CERTIFICATE`, `RSA PRIVATE KEY`, …
    pub label: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// DER.
    pub content: Vec<u8>,
}

/// All blocks of a text; those that are not whole or not base64 are left out.
pub(super) fn blocks(text: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().map(str::trim);
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(label) = mark(line, "BEGIN") {
            found.extend(block(label, &mut lines));
        }
    }
    found
}

fn mark<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let inner = line.strip_prefix("-----")?.strip_suffix("-----")?;
    inner.strip_prefix(word)?.strip_prefix(' ')
}

fn block<'a>(label: &str, lines: &mut impl Iterator<Item = &'a str>) -> Option<Block> {
    let (mut headers, mut content) = (Vec::new(), String::new());
    for line in lines {
        if mark(line, "END").is_some() {
            let content = STANDARD.decode(content).ok()?;
            return Some(Block { label: label.to_owned(), headers, content });
        }
        match line.split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => content.push_str(line),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_among_other_text() {
        let text = b"Bag Attributes\n-----BEGIN A-----\nAQI=\n-----END A-----\nx\n\
            -----BEGIN B C-----\r\nDEK-Info: AES-128-CBC,00\r\n\r\nAw==\r\n-----END B C-----\n\
            -----BEGIN D-----\n?\n-----END D-----\n-----BEGIN E-----\nAw==\n";
        let found = blocks(text);
        let of = |label: &str, headers: Vec<(String, String)>, content: &[u8]| Block {
            label: label.to_owned(),
            headers,
            content: content.to_vec(),
        };
        let headers = vec![("DEK-Info".to_owned(), "AES-128-CBC,00".to_owned())];
        assert_eq!(found, [of("A", vec![], &[1, 2]), of("B C", headers, &[3])]);
    }
}
