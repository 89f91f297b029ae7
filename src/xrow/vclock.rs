//! A vector clock: for each instance of a replica set the LSN of its newest change that is known.
//!
//! Component 0 counts changes of local spaces; it never leaves the instance.
//!
//! # Invariants
//! - a component that was never set is absent, which is not the same as zero in text form
//! - the signature is the sum of all components
//!
//! # Yields
//! never

use std::cmp::Ordering;
use std::fmt;

use crate::base::limits::REPLICA_COUNT_MAX;
use crate::base::{Error, Result};
use crate::value::msgpack as mp;

use super::invalid_msgpack;

const SIZE: usize = REPLICA_COUNT_MAX as usize;

/// A vector clock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Vclock {
    present: u32,
    signature: i64,
    lsn: [i64; SIZE],
}

impl Default for Vclock {
    fn default() -> Vclock {
        Vclock { present: 0, signature: 0, lsn: [0; SIZE] }
    }
}

impl Vclock {
    /// A clock of zeros.
    pub fn new() -> Vclock {
        Vclock::default()
    }

    /// The LSN of an instance, 0 where it is absent or the id is out of range.
    #[inline]
    pub fn get(&self, replica_id: u32) -> i64 {
        self.lsn.get(replica_id as usize).copied().unwrap_or(0)
    }

    /// The sum of all components: what names log files.
    #[inline]
    pub fn signature(&self) -> i64 {
        self.signature
    }

    /// How many components are present.
    pub fn count(&self) -> u32 {
        self.present.count_ones()
    }

    /// The components that are present, in order of the instance id.
    pub fn iter(&self) -> impl Iterator<Item = (u32, i64)> + '_ {
        (0..REPLICA_COUNT_MAX)
            .filter(|id| self.present & (1 << id) != 0)
            .map(|id| (id, self.lsn[id as usize]))
    }

    /// Moves an instance's LSN, usually forward.
    ///
    /// # Panics
    /// when the id is out of range: callers check untrusted ids.
    #[inline]
    pub fn set(&mut self, replica_id: u32, lsn: i64) {
        let slot = &mut self.lsn[replica_id as usize];
        self.signature = self.signature.wrapping_add(lsn.wrapping_sub(*slot));
        *slot = lsn;
        self.present |= 1 << replica_id;
    }

    /// Takes the next LSN of an instance.
    #[inline]
    pub fn advance(&mut self, replica_id: u32) -> i64 {
        let lsn = self.get(replica_id) + 1;
        self.set(replica_id, lsn);
        lsn
    }

    /// Removes an instance.
    pub fn remove(&mut self, replica_id: u32) {
        if replica_id < REPLICA_COUNT_MAX {
            self.set(replica_id, 0);
            self.present &= !(1 << replica_id);
        }
    }

    /// The clock without component 0, as other instances see it.
    #[must_use]
    pub fn without_local(mut self) -> Vclock {
        self.remove(0);
        self
    }

    /// Raises every component to at least that of `other`.
    pub fn max_assign(&mut self, other: &Vclock) {
        for (id, lsn) in other.iter() {
            if lsn > self.get(id) {
                self.set(id, lsn);
            }
        }
    }

    /// Lowers every component to at most that of `other`.
    pub fn min_assign(&mut self, other: &Vclock) {
        for id in 0..REPLICA_COUNT_MAX {
            if other.get(id) < self.get(id) {
                self.set(id, other.get(id));
            }
        }
    }

    /// Whether every change that `self` knows is known to `other`.
    pub fn is_before_or_equal(&self, other: &Vclock) -> bool {
        self.lsn.iter().zip(&other.lsn).all(|(ours, theirs)| ours <= theirs)
    }

    /// How the two stand to each other; `None` when each knows a change that the other does not.
    pub fn compare(&self, other: &Vclock) -> Option<Ordering> {
        match (self.is_before_or_equal(other), other.is_before_or_equal(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Less),
            (false, true) => Some(Ordering::Greater),
            (false, false) => None,
        }
    }

    /// [`Vclock::compare`] without the local component.
    pub fn compare_without_local(&self, other: &Vclock) -> Option<Ordering> {
        self.without_local().compare(&other.without_local())
    }

    /// Appends the clock as a MessagePack map.
    pub fn encode(&self, out: &mut Vec<u8>) {
        mp::write_map_len(out, self.count());
        for (id, lsn) in self.iter() {
            mp::write_uint(out, u64::from(id));
            mp::write_uint(out, lsn as u64);
        }
    }

    /// Appends the clock without its local component, as it goes over the wire.
    pub fn encode_without_local(&self, out: &mut Vec<u8>) {
        self.without_local().encode(out);
    }

    /// Reads a MessagePack map of untrusted origin.
    pub fn decode(reader: &mut mp::Reader<'_>) -> Result<Vclock> {
        let bad = || invalid_msgpack("vclock");
        let mut vclock = Vclock::new();
        for _ in 0..reader.read_map_len().ok_or_else(bad)? {
            let id = reader.read_uint().ok_or_else(bad)?;
            let lsn = reader.read_uint().ok_or_else(bad)?;
            let (Ok(id), Ok(lsn)) = (u32::try_from(id), i64::try_from(lsn)) else {
                return Err(bad());
            };
            if id >= REPLICA_COUNT_MAX || (lsn > 0 && lsn <= vclock.get(id)) {
                return Err(bad());
            }
            if lsn > 0 {
                vclock.set(id, lsn);
            }
        }
        Ok(vclock)
    }

    /// Reads the text form `{1: 10, 2: 5}`; the error says at which offset it is wrong.
    pub fn parse(text: &str) -> Result<Vclock> {
        let mut parser = Parser { bytes: text.as_bytes(), at: 0 };
        parser.vclock().ok_or_else(|| {
            let message = format!("invalid vclock at offset {}", parser.at + 1);
            Error::new(crate::base::error::Type::Xlog, message)
        })
    }
}

impl fmt::Display for Vclock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (id, lsn)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{id}: {lsn}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Vclock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn vclock(&mut self) -> Option<Vclock> {
        let mut vclock = Vclock::new();
        self.expect(b'{')?;
        loop {
            self.blanks();
            if self.peek() == Some(b'}') {
                break;
            }
            let id = u32::try_from(self.number()?).ok().filter(|id| *id < REPLICA_COUNT_MAX)?;
            self.expect(b':')?;
            self.blanks();
            let lsn = self.number()?;
            if vclock.get(id) > 0 {
                return None;
            }
            vclock.set(id, lsn);
            self.blanks();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => break,
                _ => return None,
            }
        }
        self.expect(b'}')?;
        self.blanks();
        (self.at == self.bytes.len()).then_some(vclock)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte == b' ' || byte == b'\t') {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn number(&mut self) -> Option<i64> {
        let mut value: i64 = 0;
        let start = self.at;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            value = value.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
            self.at += 1;
        }
        (self.at > start).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vclock(components: &[(u32, i64)]) -> Vclock {
        let mut vclock = Vclock::new();
        for (id, lsn) in components {
            vclock.set(*id, *lsn);
        }
        vclock
    }

    #[test]
    fn text_form_is_read_back() {
        for text in ["{}", "{1: 10}", "{0: 2, 1: 267, 31: 9223372036854775807}", "{2: 0}"] {
            assert_eq!(Vclock::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Vclock::parse(" { 1 : 10 , 2:5 } ").unwrap(), vclock(&[(1, 10), (2, 5)]));
    }

    #[test]
    fn broken_text_is_refused_with_its_offset() {
        for text in ["", "{", "{1}", "{1:}", "{32: 1}", "{1: 1, 1: 2}", "{1: 1}x", "{1: -1}"] {
            assert!(Vclock::parse(text).is_err(), "{text}");
        }
        let error = Vclock::parse("{1: 99999999999999999999}").unwrap_err();
        assert!(error.message().starts_with("invalid vclock at offset"), "{error}");
    }

    #[test]
    fn order_is_partial() {
        let (a, b) = (vclock(&[(1, 10), (2, 5)]), vclock(&[(1, 10), (2, 6)]));
        assert_eq!(a.compare(&b), Some(Ordering::Less));
        assert_eq!(b.compare(&a), Some(Ordering::Greater));
        assert_eq!(a.compare(&vclock(&[(1, 11), (2, 4)])), None);
        assert_eq!(a.compare(&a), Some(Ordering::Equal));
        let with_local = vclock(&[(0, 7), (1, 1)]);
        assert_eq!(with_local.compare_without_local(&vclock(&[(1, 1)])), Some(Ordering::Equal));
    }

    #[test]
    fn encoded_clock_is_read_back_and_signature_follows() {
        let mut clock = vclock(&[(0, 3), (1, 10), (5, 1 << 40)]);
        let mut bytes = Vec::new();
        clock.encode(&mut bytes);
        let decoded = Vclock::decode(&mut mp::Reader::new(&bytes)).unwrap();
        assert_eq!(decoded, clock);
        assert_eq!(decoded.signature(), 13 + (1 << 40));
        clock.remove(5);
        assert_eq!(clock.signature(), 13);
        assert_eq!(clock.advance(1), 11);
        assert_eq!(clock.signature(), 14);
    }
}
