//! What a transaction has read of an index: keys and ranges of keys, found or not.
//!
//! # Invariants
//! - The intervals are apart: those that meet are one.
//!
//! # Yields
//! never

use std::collections::BTreeMap;
use std::ops::Bound;

/// Half-open intervals of bytes: from a start to before an end, or without an end.
#[derive(Debug, Default)]
pub(super) struct ReadSet {
    intervals: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

/// The least bytes behind these.
fn behind(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

impl ReadSet {
    /// Adds one key.
    pub fn add_key(&mut self, key: &[u8]) {
        if !self.contains(key) {
            self.add(key.to_vec(), Some(behind(key)));
        }
    }

    /// Adds a range of keys.
    pub fn add_range(&mut self, start: Bound<&[u8]>, end: Bound<&[u8]>) {
        let start = match start {
            Bound::Unbounded => Vec::new(),
            Bound::Included(key) => key.to_vec(),
            Bound::Excluded(key) => behind(key),
        };
        let end = match end {
            Bound::Unbounded => None,
            Bound::Included(key) => Some(behind(key)),
            Bound::Excluded(key) => Some(key.to_vec()),
        };
        if end.as_ref().is_none_or(|end| start < *end) {
            self.add(start, end);
        }
    }

    fn add(&mut self, mut start: Vec<u8>, mut end: Option<Vec<u8>>) {
        // The interval before it may reach into it.
        let before = self.intervals.range::<[u8], _>((Bound::Unbounded, Bound::Included(&*start)));
        if let Some((known, known_end)) = before.last() {
            match known_end {
                None => return,
                Some(known_end) if *known_end >= start => {
                    if end.as_ref().is_some_and(|end| known_end >= end) {
                        return;
                    }
                    start.clone_from(known);
                }
                Some(_) => {}
            }
        }
        loop {
            let behind =
                self.intervals.range::<[u8], _>((Bound::Included(&*start), Bound::Unbounded));
            let Some((known, known_end)) = behind.into_iter().next() else { break };
            if end.as_ref().is_some_and(|end| known > end) {
                break;
            }
            end = match (end, known_end) {
                (Some(end), Some(known_end)) => Some(end.max(known_end.clone())),
                _ => None,
            };
            let known = known.clone();
            self.intervals.remove(&known);
        }
        self.intervals.insert(start, end);
    }

    /// Whether the key was read.
    pub fn contains(&self, key: &[u8]) -> bool {
        let before = self.intervals.range::<[u8], _>((Bound::Unbounded, Bound::Included(key)));
        before.last().is_some_and(|(_, end)| end.as_ref().is_none_or(|end| key < &**end))
    }

    /// How many intervals there are.
    pub fn len(&self) -> usize {
        self.intervals.len()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound::{Excluded, Included, Unbounded};

    use super::*;

    #[test]
    fn what_was_read_is_contained_and_nothing_else() {
        let mut read = ReadSet::default();
        read.add_key(b"b");
        read.add_range(Excluded(b"d"), Included(b"f"));
        for (key, expected) in
            [("a", false), ("b", true), ("b\0", false), ("d", false), ("e", true), ("f", true)]
        {
            assert_eq!(read.contains(key.as_bytes()), expected, "{key}");
        }
        assert!(!read.contains(b"f\0"));
        read.add_range(Included(b"c"), Excluded(b"e"));
        assert!(read.contains(b"d") && read.contains(b"c") && !read.contains(b"b1"));
        assert_eq!(read.len(), 2);
        read.add_range(Included(b"a"), Unbounded);
        assert_eq!(read.len(), 1);
        assert!(read.contains(b"z") && !read.contains(b"A"));
    }

    #[test]
    fn intervals_are_what_a_set_of_keys_is() {
        let mut seed = 1u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            let mut read = ReadSet::default();
            let mut known = [false; 50];
            for _ in 0..20 {
                let start = random(50) as u8;
                let end = start.saturating_add(random(6) as u8).min(49);
                read.add_range(Included(&[start]), Included(&[end]));
                known[usize::from(start)..=usize::from(end)].fill(true);
                for key in 0..50u8 {
                    assert_eq!(read.contains(&[key]), known[usize::from(key)]);
                }
            }
        }
    }
}
