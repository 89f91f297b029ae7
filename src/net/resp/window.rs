//! The next few requests of a batch, found before the first of them is executed.
//!
//! Look-ups in a large space wait for memory. Knowing the keys of the requests that follow lets
//! the cache fetch what all of them need at the same time.
//!
//! # Invariants
//! - Requests stand in the order in which they came, and refer to one buffer that does not change
//!   until the window is cleared.
//!
//! # Yields
//! never

use std::ops::Range;

/// Most requests of a window: more would push each other out of the cache.
pub(super) const REQUEST_COUNT_MAX: usize = 32;
/// Most arguments of a request in a window; one with more is worth its own time.
const ARGUMENT_COUNT_MAX: usize = 16;

/// One request: its arguments, the command's name first.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    arguments: &'a [Range<usize>],
    /// What the ranges refer to.
    input: &'a [u8],
}

impl<'a> Request<'a> {
    /// A request whose arguments are these parts of `input`; at least one.
    #[inline]
    pub fn new(arguments: &'a [Range<usize>], input: &'a [u8]) -> Request<'a> {
        Request { arguments, input }
    }

    /// How many arguments there are, the command's name included; at least 1.
    #[inline]
    pub fn count(&self) -> usize {
        self.arguments.len()
    }

    /// One of them.
    #[inline]
    pub fn argument(&self, index: usize) -> &'a [u8] {
        &self.input[self.arguments[index].clone()]
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Window {
    /// Of all requests, one after the other.
    arguments: Vec<Range<usize>>,
    /// Where in `arguments` each request ends.
    ends: Vec<usize>,
}

impl Window {
    /// Forgets the requests.
    pub fn clear(&mut self) {
        self.arguments.clear();
        self.ends.clear();
    }

    /// How many requests it has.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether no other request fits.
    pub fn is_full(&self) -> bool {
        self.ends.len() == REQUEST_COUNT_MAX
    }

    /// Whether a request of so many arguments is taken at all.
    pub fn takes(count: usize) -> bool {
        count <= ARGUMENT_COUNT_MAX
    }

    /// Adds a request that begins at `offset` of the buffer.
    #[inline]
    pub fn push(&mut self, arguments: &[Range<usize>], offset: usize) {
        let shifted = arguments.iter().map(|range| range.start + offset..range.end + offset);
        self.arguments.extend(shifted);
        self.ends.push(self.arguments.len());
    }

    /// The request with that index.
    #[inline]
    pub fn request<'a>(&'a self, index: usize, input: &'a [u8]) -> Request<'a> {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Request::new(&self.arguments[start..self.ends[index]], input)
    }

    /// All of them in order.
    pub fn requests<'a>(&'a self, input: &'a [u8]) -> impl Iterator<Item = Request<'a>> {
        (0..self.len()).map(move |index| self.request(index, input))
    }
}
