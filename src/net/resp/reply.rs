//! Writes replies, in RESP2 or RESP3, at the end of an output buffer.
//!
//! A [`Writer`] borrows the buffer for one reply. Types that RESP2 lacks are written as Redis
//! writes them to old clients: maps as flat arrays, sets and pushes as arrays, booleans as 0
//! and 1, doubles, big numbers and verbatim strings as bulk strings.
//!
//! # Invariants
//! - A simple status or an error never contains a line end: its bytes are replaced by spaces.
//!
//! # Yields
//! never

/// The version of the protocol that a connection negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

/// Appends one reply to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    version: Version,
}

impl<'a> Writer<'a> {
    /// A writer at the end of `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, version: Version) -> Writer<'a> {
        Writer { out, version }
    }

    /// The version that is written.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where the next reply will stand in the buffer.
    #[inline]
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// Takes back what was written behind that position.
    pub fn truncate(&mut self, position: usize) {
        self.out.truncate(position);
    }

    /// No value.
    #[inline]
    pub fn null(&mut self) {
        self.raw(if self.version == Version::Resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No array: what an aborted `EXEC` answers.
    #[inline]
    pub fn null_array(&mut self) {
        self.raw(if self.version == Version::Resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// A truth value.
    #[inline]
    pub fn boolean(&mut self, value: bool) {
        self.raw(match (self.version, value) {
            (Version::Resp3, true) => b"#t\r\n",
            (Version::Resp3, false) => b"#f\r\n",
            (Version::Resp2, true) => b":1\r\n",
            (Version::Resp2, false) => b":0\r\n",
        });
    }

    /// A whole number.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// A floating point number, in the fewest digits that read back the same.
    pub fn double(&mut self, value: f64) {
        let text = double_text(value);
        match self.version {
            Version::Resp3 => self.line(b',', text.as_bytes()),
            Version::Resp2 => self.bulk(text.as_bytes()),
        }
    }

    /// A string of any bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 26);
        self.header(b'$', bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.raw(b"\r\n");
    }

    /// A simple status such as `OK`.
    #[inline]
    pub fn status(&mut self, text: &[u8]) {
        self.line(b'+', text);
    }

    /// An error: its first word in capitals is the class that clients look at.
    #[inline]
    pub fn error(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    /// The head of an array; that many replies must follow.
    #[inline]
    pub fn array(&mut self, count: usize) {
        self.header(b'*', count as i64);
    }

    /// The head of a map; that many pairs of replies must follow.
    #[inline]
    pub fn map(&mut self, count: usize) {
        match self.version {
            Version::Resp3 => self.header(b'%', count as i64),
            Version::Resp2 => self.header(b'*', 2 * count as i64),
        }
    }

    /// The head of a set; that many replies must follow.
    #[inline]
    pub fn set(&mut self, count: usize) {
        self.header(if self.version == Version::Resp3 { b'~' } else { b'*' }, count as i64);
    }

    /// The head of a push message; that many replies must follow.
    #[inline]
    pub fn push(&mut self, count: usize) {
        self.header(if self.version == Version::Resp3 { b'>' } else { b'*' }, count as i64);
    }

    /// Text for people, with its three-letter format (`txt` or `mkd`).
    pub fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        if self.version == Version::Resp2 {
            return self.bulk(text);
        }
        self.out.reserve(text.len() + 30);
        self.header(b'=', text.len() as i64 + 4);
        self.raw(&format);
        self.raw(b":");
        self.raw(text);
        self.raw(b"\r\n");
    }

    /// A whole number of any length, as its decimal digits.
    pub fn big_number(&mut self, digits: &[u8]) {
        match self.version {
            Version::Resp3 => self.line(b'(', digits),
            Version::Resp2 => self.bulk(digits),
        }
    }

    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    #[inline]
    fn header(&mut self, kind: u8, value: i64) {
        if let digit @ 0..=9 = value {
            return self.raw(&[kind, b'0' + digit as u8, b'\r', b'\n']);
        }
        self.out.push(kind);
        self.raw(itoa::Buffer::new().format(value).as_bytes());
        self.raw(b"\r\n");
    }

    #[inline]
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        let start = self.out.len();
        self.raw(text);
        for byte in &mut self.out[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.raw(b"\r\n");
    }
}

/// A double as Redis prints it: shortest digits, an exponent only when that is shorter.
pub fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.trim_start_matches('-').replace('.', "").len() as i32;
    // The smallest power of ten that a digit stands for.
    let last = exponent - digits + 1;
    let plain_integer = last >= 0 && exponent < digits + 7;
    let plain_fraction = last < 0 && (last > -7 || exponent.abs() < 4);
    if value == 0.0 || plain_integer || plain_fraction {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redis_protocol::resp2::{decode::decode as decode2, types::OwnedFrame as Frame2};
    use redis_protocol::resp3::{decode::complete::decode as decode3, types::OwnedFrame as Frame3};

    use super::*;

    fn write(version: Version, reply: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = Vec::new();
        reply(&mut Writer::new(&mut out, version));
        String::from_utf8(out).expect("the cases are text")
    }

    #[test]
    fn each_type_in_both_versions() {
        type Case = (fn(&mut Writer<'_>), &'static str, &'static str);
        let cases: &[Case] = &[
            (|w| w.null(), "$-1\r\n", "_\r\n"),
            (|w| w.null_array(), "*-1\r\n", "_\r\n"),
            (|w| w.boolean(true), ":1\r\n", "#t\r\n"),
            (|w| w.boolean(false), ":0\r\n", "#f\r\n"),
            (|w| w.integer(-42), ":-42\r\n", ":-42\r\n"),
            (|w| w.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (|w| w.bulk(b"hey"), "$3\r\nhey\r\n", "$3\r\nhey\r\n"),
            (|w| w.bulk(&[b'x'; 12]), "$12\r\nxxxxxxxxxxxx\r\n", "$12\r\nxxxxxxxxxxxx\r\n"),
            (|w| w.status(b"OK"), "+OK\r\n", "+OK\r\n"),
            (|w| w.error(b"ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
            (|w| w.array(2), "*2\r\n", "*2\r\n"),
            (|w| w.map(2), "*4\r\n", "%2\r\n"),
            (|w| w.set(2), "*2\r\n", "~2\r\n"),
            (|w| w.push(2), "*2\r\n", ">2\r\n"),
            (|w| w.verbatim(*b"txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
            (|w| w.big_number(b"123"), "$3\r\n123\r\n", "(123\r\n"),
        ];
        for (reply, resp2, resp3) in cases {
            assert_eq!(write(Version::Resp2, reply), *resp2);
            assert_eq!(write(Version::Resp3, reply), *resp3);
        }
    }

    #[test]
    fn doubles_read_as_in_redis() {
        let cases = [
            (0.0, "0"),
            (3.0, "3"),
            (-1.25, "-1.25"),
            (1e20, "1e+20"),
            (1e6, "1000000"),
            (1.5e-9, "1.5e-9"),
            (0.001, "0.001"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in cases {
            assert_eq!(double_text(value), text);
        }
    }

    proptest! {
        #[test]
        fn the_crate_reads_what_we_write(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            number in any::<i64>(),
            double in any::<f64>().prop_filter("comparable", |d| d.is_finite()),
        ) {
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out, Version::Resp2);
            writer.array(2);
            writer.bulk(&bytes);
            writer.integer(number);
            let expected = Frame2::Array(vec![
                Frame2::BulkString(bytes.clone()),
                Frame2::Integer(number),
            ]);
            prop_assert_eq!(decode2(&out)?.map(|(frame, _)| frame), Some(expected));

            out.clear();
            Writer::new(&mut out, Version::Resp3).double(double);
            match decode3(&out)?.map(|(frame, _)| frame) {
                Some(Frame3::Double { data, .. }) => prop_assert_eq!(data, double),
                other => prop_assert!(false, "{:?}", other),
            }
            out.clear();
            Writer::new(&mut out, Version::Resp3).verbatim(*b"txt", &bytes);
            match decode3(&out)?.map(|(frame, _)| frame) {
                Some(Frame3::VerbatimString { data, .. }) => prop_assert_eq!(data, bytes),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
