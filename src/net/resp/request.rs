//! Reads requests: RESP arrays of bulk strings, and lines of words.
//!
//! The parser is incremental: given the unread part of the input buffer it either finds a whole
//! request and says how long it is, or remembers how far it came, so that a 100 MB value which
//! arrives in 6000 pieces is not scanned 6000 times. Arguments are ranges into that buffer, not
//! copies; only the words of a quoted line are decoded into the parser's own scratch.
//!
//! Limits and texts of protocol errors are Redis's. After a protocol error the stream has no
//! known position any more, so the connection is answered with the error and closed.
//!
//! # Invariants
//! - `parse` gets the same bytes again, with more behind them, until it returns a request.
//! - Each range in `arguments` lies inside the request that was returned.
//!
//! # Yields
//! never

use std::ops::Range;

use super::window::Request;
use super::words;

/// Longest line: of an inline request, and of a count or a length.
const LINE_SIZE_MAX: usize = 64 * 1024;
/// What a client that has not authenticated may send, so that it cannot make us allocate.
const UNAUTHENTICATED_ARGUMENT_COUNT_MAX: i64 = 10;
/// See [`UNAUTHENTICATED_ARGUMENT_COUNT_MAX`].
const UNAUTHENTICATED_BULK_SIZE_MAX: i64 = 16 * 1024;

/// What one request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most arguments, the command's name included.
    pub argument_count_max: usize,
    /// Longest argument, in bytes.
    pub bulk_size_max: usize,
    /// Longest request, in bytes, framing included.
    pub request_size_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            argument_count_max: 1024 * 1024,
            bulk_size_max: 512 * 1024 * 1024,
            request_size_max: 1024 * 1024 * 1024,
        }
    }
}

/// Why the stream cannot be read any further. Displays as the text of the error reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A line without an end.
    #[error("Protocol error: too big inline request")]
    InlineTooBig,
    /// A quote that does not close, or text right behind a closing quote.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// A count without an end.
    #[error("Protocol error: too big mbulk count string")]
    CountTooBig,
    /// Not a number, or more arguments than allowed.
    #[error("Protocol error: invalid multibulk length")]
    InvalidCount,
    /// More than a client may send before it has authenticated.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedCount,
    /// A length without an end.
    #[error("Protocol error: too big bulk count string")]
    LengthTooBig,
    /// An argument must start with `$`.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0))]
    ExpectedBulk(u8),
    /// Not a number, negative, or longer than allowed.
    #[error("Protocol error: invalid bulk length")]
    InvalidLength,
    /// More than a client may send before it has authenticated.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedLength,
    /// All arguments together are longer than allowed.
    #[error("Protocol error: too big request")]
    RequestTooBig,
}

/// Where in a request the parser stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of the request was read.
    Start,
    /// In an array, this many arguments are missing; the next byte should be `$`.
    Length { missing: usize },
    /// The same, and the length of the next argument is known.
    Body { missing: usize, size: usize },
}

/// The state of reading one connection's requests.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    state: State,
    /// How much of the current request was understood.
    position: usize,
    /// How much of the current line was searched for its end.
    searched: usize,
    arguments: Vec<Range<usize>>,
    /// Decoded words of an inline request: its ranges point here instead.
    words: Vec<u8>,
    inline: bool,
    authenticated: bool,
}

impl Parser {
    /// A parser at the start of a stream.
    pub fn new(limits: Limits) -> Parser {
        Parser {
            limits,
            state: State::Start,
            position: 0,
            searched: 0,
            arguments: Vec::with_capacity(8),
            words: Vec::new(),
            inline: false,
            authenticated: true,
        }
    }

    /// Whether the smaller limits for strangers apply from the next request on.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
    }

    /// Changes the limits, from the next argument on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Looks for a request at the start of `input`. `Some(size)`: it is whole, its arguments can
    /// be read, and the next one starts at `size`; a request may be empty (a blank line), which
    /// is skipped without a reply. `None`: call again when there is more.
    #[inline]
    pub fn parse(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        if self.state == State::Start {
            match input.first() {
                None => return Ok(None),
                Some(b'*') => {
                    if !self.parse_count(input)? {
                        return Ok(None);
                    }
                }
                Some(_) => return self.parse_inline(input),
            }
        }
        let whole = self.parse_arguments(input)?;
        if self.position.max(input.len()) > self.limits.request_size_max && !whole {
            return Err(ProtocolError::RequestTooBig);
        }
        Ok(whole.then(|| self.finish()))
    }

    /// How many arguments the request has, the command's name included.
    #[inline]
    pub fn count(&self) -> usize {
        self.arguments.len()
    }

    /// The argument with that index, of the request which `parse` found at the start of `input`.
    #[inline]
    pub fn argument<'a>(&'a self, input: &'a [u8], index: usize) -> &'a [u8] {
        self.request(input).argument(index)
    }

    /// The request which `parse` found at the start of `input`; it has arguments.
    #[inline]
    pub fn request<'a>(&'a self, input: &'a [u8]) -> Request<'a> {
        Request::new(&self.arguments, if self.inline { &self.words } else { input })
    }

    /// Where in the input the arguments are, unless they had to be decoded.
    #[inline]
    pub(super) fn plain_arguments(&self) -> Option<&[Range<usize>]> {
        (!self.inline).then_some(&self.arguments[..])
    }

    /// How many bytes the current request will at least have, 0 if that is not known: what to
    /// reserve before reading a large argument.
    pub fn size_expected(&self) -> usize {
        match self.state {
            State::Body { size, .. } => self.position + size + 2,
            _ => 0,
        }
    }

    /// Gives back the memory that an unusually large request took.
    pub fn shrink(&mut self) {
        if self.arguments.capacity() > 1024 {
            self.arguments = Vec::with_capacity(8);
        }
        if self.words.capacity() > LINE_SIZE_MAX {
            self.words = Vec::new();
        }
    }

    /// Ends the current request and returns its size.
    #[inline]
    fn finish(&mut self) -> usize {
        self.state = State::Start;
        self.searched = 0;
        std::mem::take(&mut self.position)
    }

    /// Reads `*count\r\n`. An empty array leaves no missing arguments.
    #[inline]
    fn parse_count(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        let Some((count, end)) = self.number(input, 1, ProtocolError::CountTooBig)? else {
            return Ok(false);
        };
        let count = count.ok_or(ProtocolError::InvalidCount)?;
        if count > self.limits.argument_count_max as i64 {
            return Err(ProtocolError::InvalidCount);
        }
        if count > UNAUTHENTICATED_ARGUMENT_COUNT_MAX && !self.authenticated {
            return Err(ProtocolError::UnauthenticatedCount);
        }
        self.inline = false;
        self.arguments.clear();
        self.position = end;
        self.state = State::Length { missing: count.max(0) as usize };
        Ok(true)
    }

    /// Reads arguments until none is missing (true) or the input ends (false).
    #[inline]
    fn parse_arguments(&mut self, input: &[u8]) -> Result<bool, ProtocolError> {
        loop {
            match self.state {
                State::Length { missing: 0 } => return Ok(true),
                State::Length { missing } => {
                    let Some(&first) = input.get(self.position) else { return Ok(false) };
                    let from = self.position + 1;
                    let too_big = ProtocolError::LengthTooBig;
                    let Some((size, end)) = self.number(input, from, too_big)? else {
                        return Ok(false);
                    };
                    if first != b'$' {
                        return Err(ProtocolError::ExpectedBulk(first));
                    }
                    let size = size.ok_or(ProtocolError::InvalidLength)?;
                    if size < 0 || size > self.limits.bulk_size_max as i64 {
                        return Err(ProtocolError::InvalidLength);
                    }
                    if size > UNAUTHENTICATED_BULK_SIZE_MAX && !self.authenticated {
                        return Err(ProtocolError::UnauthenticatedLength);
                    }
                    self.position = end;
                    self.state = State::Body { missing, size: size as usize };
                }
                State::Body { missing, size } => {
                    let end = self.position + size;
                    if end > self.limits.request_size_max {
                        return Err(ProtocolError::RequestTooBig);
                    }
                    // Like Redis, which skips the two bytes behind an argument unseen.
                    if input.len() < end + 2 {
                        return Ok(false);
                    }
                    self.arguments.push(self.position..end);
                    self.position = end + 2;
                    self.state = State::Length { missing: missing - 1 };
                }
                State::Start => unreachable!("parse_count has left the start"),
            }
        }
    }

    /// Reads a line that is a number, from `from` to its `\r\n`. The inner `None` is a line that
    /// is not a number; the other result is where the next line starts.
    #[inline]
    fn number(
        &mut self,
        input: &[u8],
        from: usize,
        too_big: ProtocolError,
    ) -> Result<Option<(Option<i64>, usize)>, ProtocolError> {
        // Nearly all counts and lengths have one to three digits: read them in one go.
        let mut value = 0;
        let mut at = from;
        while let Some(digit) = input.get(at).map(|byte| byte.wrapping_sub(b'0'))
            && digit <= 9
            && at - from < 9
        {
            value = value * 10 + i64::from(digit);
            at += 1;
        }
        let canonical = at > from && (input[from] != b'0' || at == from + 1);
        if canonical && input.get(at) == Some(&b'\r') {
            return Ok((input.len() >= at + 2).then_some((Some(value), at + 2)));
        }
        self.number_slow(input, from, too_big)
    }

    #[cold]
    fn number_slow(
        &mut self,
        input: &[u8],
        from: usize,
        too_big: ProtocolError,
    ) -> Result<Option<(Option<i64>, usize)>, ProtocolError> {
        let start = from.max(self.searched);
        let Some(end) = memchr::memchr(b'\r', input.get(start..).unwrap_or_default()) else {
            self.searched = input.len();
            let size = input.len().saturating_sub(from);
            return if size > LINE_SIZE_MAX { Err(too_big) } else { Ok(None) };
        };
        let end = start + end;
        if input.len() < end + 2 {
            return Ok(None);
        }
        self.searched = 0;
        Ok(Some((integer(&input[from..end]), end + 2)))
    }

    /// Reads a line of words.
    fn parse_inline(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = memchr::memchr(b'\n', &input[self.searched..]) else {
            self.searched = input.len();
            let too_big = input.len() > LINE_SIZE_MAX;
            return if too_big { Err(ProtocolError::InlineTooBig) } else { Ok(None) };
        };
        let end = self.searched + end;
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        self.inline = true;
        self.arguments.clear();
        self.words.clear();
        if !words::split(line, &mut self.words, &mut self.arguments) {
            return Err(ProtocolError::UnbalancedQuotes);
        }
        self.position = end + 1;
        Ok(Some(self.finish()))
    }
}

/// A number as Redis's protocol writes it: no sign but `-`, no leading zeros, no spaces.
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    match digits {
        [b'0'] => return (!negative).then_some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => (),
        _ => return None,
    }
    let mut value: i64 = 0;
    for &byte in digits {
        let digit = i64::from(byte.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        // Counted downwards, because the smallest number has no positive twin.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// Entry for the fuzzer: reads `input` in pieces whose sizes its first bytes choose, and asserts
/// that the pieces do not matter.
pub fn fuzz(input: &[u8]) {
    let Some((&step, stream)) = input.split_first() else { return };
    let limits = Limits { bulk_size_max: 1 << 20, ..Limits::default() };
    let whole = read_all(stream, stream.len().max(1), limits);
    let pieces = read_all(stream, usize::from(step).max(1), limits);
    assert_eq!(whole, pieces, "the same requests, however the stream is cut");
}

type Requests = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// All requests of a stream that arrives `step` bytes at a time, and the error that ended it.
fn read_all(stream: &[u8], step: usize, limits: Limits) -> Requests {
    let mut parser = Parser::new(limits);
    let mut requests = Vec::new();
    let (mut start, mut end) = (0, 0);
    while end < stream.len() {
        end = (end + step).min(stream.len());
        loop {
            match parser.parse(&stream[start..end]) {
                Err(error) => return (requests, Some(error)),
                Ok(None) => break,
                Ok(Some(size)) => {
                    let input = &stream[start..end];
                    let arguments = (0..parser.count()).map(|i| parser.argument(input, i).into());
                    requests.push(arguments.collect());
                    start += size;
                }
            }
        }
    }
    (requests, None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redis_protocol::resp2::{decode, encode, types::OwnedFrame};

    use super::*;

    fn read(stream: &[u8]) -> Requests {
        read_all(stream, stream.len(), Limits::default())
    }

    fn request(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_pipeline_is_read_request_by_request() {
        let stream = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\nECHO \"a\\x41\"\r\n\r\n*0\r\n*-1\r\n";
        let empty: Vec<Vec<u8>> = vec![];
        let expected = vec![
            request(&["GET", "a"]),
            request(&["PING"]),
            request(&["ECHO", "aA"]),
            empty.clone(),
            empty.clone(),
            empty,
        ];
        assert_eq!(read(stream), (expected, None));
        for step in 1..stream.len() {
            assert_eq!(read_all(stream, step, Limits::default()), read(stream), "step {step}");
        }
    }

    #[test]
    fn errors_have_the_texts_of_redis() {
        let long = vec![b'x'; LINE_SIZE_MAX + 2];
        let cases: &[(&[u8], &str)] = &[
            (b"*x\r\n", "Protocol error: invalid multibulk length"),
            (b"*03\r\n", "Protocol error: invalid multibulk length"),
            (b"*2147483648\r\n", "Protocol error: invalid multibulk length"),
            (b"*1\r\n+PING\r\n", "Protocol error: expected '$', got '+'"),
            (b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
            (b"*1\r\n$abc\r\n", "Protocol error: invalid bulk length"),
            (b"*1\r\n$99999999999\r\n", "Protocol error: invalid bulk length"),
            (b"SET \"a\r\n", "Protocol error: unbalanced quotes in request"),
            (b"SET \"a\"b\r\n", "Protocol error: unbalanced quotes in request"),
            (&long, "Protocol error: too big inline request"),
        ];
        for (stream, expected) in cases {
            let error = read(stream).1.map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(*expected));
        }
    }

    #[test]
    fn a_stranger_cannot_make_us_allocate() {
        let mut parser = Parser::new(Limits::default());
        parser.set_authenticated(false);
        assert_eq!(parser.parse(b"*11\r\n"), Err(ProtocolError::UnauthenticatedCount));
        let mut parser = Parser::new(Limits::default());
        parser.set_authenticated(false);
        let error = parser.parse(b"*1\r\n$16385\r\n");
        assert_eq!(error, Err(ProtocolError::UnauthenticatedLength));
    }

    #[test]
    fn a_request_has_a_total_limit() {
        let limits = Limits { request_size_max: 64, ..Limits::default() };
        let stream = [&b"*2\r\n$40\r\n"[..], &[b'x'; 40], b"\r\n$40\r\n"].concat();
        let error = read_all(&stream, stream.len(), limits).1;
        assert_eq!(error, Some(ProtocolError::RequestTooBig));
    }

    #[test]
    fn integers_are_canonical() {
        for (text, value) in [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX)] {
            assert_eq!(integer(text.as_bytes()), Some(value));
        }
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        for text in ["", "-", "-0", "00", "01", "+1", " 1", "1 ", "9223372036854775808", "1a"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_the_crate_writes(
            commands in prop::collection::vec(
                prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), 1..5),
            step in 1usize..50,
        ) {
            let mut stream = Vec::new();
            for command in &commands {
                let words = command.iter().cloned().map(OwnedFrame::BulkString).collect();
                let mut frame = vec![0; 4096];
                let size = encode::encode(&mut frame, &OwnedFrame::Array(words), false)?;
                stream.extend_from_slice(&frame[..size]);
            }
            prop_assert_eq!(read_all(&stream, step, Limits::default()), (commands, None));
        }

        #[test]
        fn agrees_with_the_crate_on_garbage(tail in "[*$0-9\r\nA-C-]{0,24}") {
            let stream = [b"*", tail.as_bytes()].concat();
            let mut parser = Parser::new(Limits::default());
            // The crate is laxer about numbers, so only one direction holds.
            if let Ok(Some(size)) = parser.parse(&stream)
                && parser.count() > 0
                && let Ok(Some((OwnedFrame::Array(frames), length))) = decode::decode(&stream)
            {
                prop_assert_eq!(length, size);
                prop_assert_eq!(frames.len(), parser.count());
            }
        }

        #[test]
        fn pieces_do_not_matter(input in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz(&input);
            fuzz(&[&[input.first().copied().unwrap_or(3), b'*'][..], &input].concat());
        }
    }
}
