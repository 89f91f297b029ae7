//! Arrays and maps under update.
//!
//! An array is a list of chunks: runs of untouched values, never decoded more than once on the way
//! to a field, and single values that were changed. A map is split into its pairs at once.

use super::node::Node;
use super::operation::{Argument, Operation};
use crate::base::{Result, limits};
use crate::client_error;
use crate::tuple::arena;
use crate::tuple::format::Node as FormatNode;
use crate::tuple::item;
use crate::tuple::json_path::{Token, is_index};
use crate::value::msgpack as mp;

/// An array under update.
pub(super) struct Array<'a> {
    chunks: Vec<Chunk<'a>>,
    count: u32,
}

/// A map under update.
pub(super) struct Map<'a> {
    pairs: Vec<Pair<'a>>,
}

enum Chunk<'a> {
    /// So many values, one after another; never none.
    Run(&'a [u8], u32),
    /// So many nils.
    Nils(u32),
    /// One value.
    Item(Node<'a>),
}

struct Pair<'a> {
    key: Key<'a>,
    value: Node<'a>,
}

enum Key<'a> {
    /// A key of the old map.
    Old(&'a [u8]),
    /// A key that an operation made.
    New(Box<str>),
}

impl<'a> Array<'a> {
    /// The array at the start of `data`, which may not be followed by anything.
    pub fn open(data: &'a [u8]) -> Option<Array<'a>> {
        let (count, head) = item::array(data)?;
        let mut chunks = Vec::with_capacity(4);
        if count > 0 {
            chunks.push(Chunk::Run(&data[head..], count));
        }
        Some(Array { chunks, count })
    }

    /// The element with this index, negative from the end, ready to be changed.
    pub fn child(&mut self, index: i64) -> Option<&mut Node<'a>> {
        let index = self.resolve(index, self.count)?;
        let at = self.isolate(index);
        match &mut self.chunks[at] {
            Chunk::Item(node) => Some(node),
            Chunk::Run(..) | Chunk::Nils(_) => None,
        }
    }

    /// Applies an operation whose path ends in this array, at `index`.
    pub fn apply(&mut self, operation: &Operation<'a>, index: i64, is_root: bool) -> Result<()> {
        match operation.argument {
            Argument::Set(value) if index < i64::from(self.count) => {
                let node = self.child(index).ok_or_else(|| operation.no_such_field())?;
                *node = Node::Raw(value);
                Ok(())
            }
            // Setting the field behind the last one appends.
            Argument::Set(value) | Argument::Insert(value) => {
                self.insert(operation, index, value, is_root)
            }
            Argument::Delete(count) => {
                if index >= i64::from(self.count) {
                    return Ok(());
                }
                let index =
                    self.resolve(index, self.count).ok_or_else(|| operation.no_such_field())?;
                self.delete(index, count.min(self.count - index));
                Ok(())
            }
            Argument::Arithmetic(_) | Argument::Bit(_) | Argument::Splice(_) => {
                self.child(index).ok_or_else(|| operation.no_such_field())?.compute(operation)
            }
        }
    }

    /// Appends the array as MessagePack; `format` is what is known of its elements.
    pub fn write(&self, out: &mut Vec<u8>, format: &[FormatNode]) {
        mp::write_array_len(out, self.count);
        let mut index = 0;
        for chunk in &self.chunks {
            match chunk {
                Chunk::Run(bytes, count) => {
                    out.extend_from_slice(bytes);
                    index += count;
                }
                Chunk::Nils(count) => {
                    out.resize(out.len() + *count as usize, item::NIL);
                    index += count;
                }
                Chunk::Item(node) => {
                    node.write(out, FormatNode::element(format, index));
                    index += 1;
                }
            }
        }
    }

    fn insert(
        &mut self,
        operation: &Operation<'a>,
        index: i64,
        value: &'a [u8],
        is_root: bool,
    ) -> Result<()> {
        if is_root && index > i64::from(self.count) {
            self.append_nils(index as u32 - self.count)?;
        }
        if self.count >= limits::FIELD_COUNT_MAX {
            return Err(client_error!(ER_TUPLE_FIELD_COUNT_LIMIT));
        }
        let index = self.resolve(index, self.count + 1).ok_or_else(|| operation.no_such_field())?;
        let at = self.split(index);
        self.chunks.insert(at, Chunk::Item(Node::Raw(value)));
        self.count += 1;
        Ok(())
    }

    /// Fills the gap between the last field and one that is set far behind it.
    fn append_nils(&mut self, count: u32) -> Result<()> {
        // Refused here, where it is cheap, and not after writing gigabytes of nils.
        let size_max = arena::tuple_size_max();
        if count as usize > size_max {
            return Err(client_error!(ER_MEMTX_MAX_TUPLE_SIZE, count, size_max));
        }
        self.chunks.push(Chunk::Nils(count));
        self.count += count;
        Ok(())
    }

    fn delete(&mut self, index: u32, count: u32) {
        let start = self.split(index);
        let end = self.split(index + count);
        self.chunks.drain(start..end);
        self.count -= count;
    }

    /// The index from the start, if it is below `count`.
    fn resolve(&self, index: i64, count: u32) -> Option<u32> {
        let index = if index < 0 { index + i64::from(count) } else { index };
        u32::try_from(index).ok().filter(|index| *index < count)
    }

    /// Makes the element with this index a chunk of its own; returns the chunk's position.
    fn isolate(&mut self, index: u32) -> usize {
        let at = self.split(index);
        let (single, rest) = match self.chunks[at] {
            Chunk::Item(_) => return at,
            Chunk::Nils(count) => (&[item::NIL][..], (count > 1).then_some(Chunk::Nils(count - 1))),
            Chunk::Run(bytes, count) => {
                let (first, rest) = bytes.split_at(size_of_first(bytes));
                (first, (count > 1).then_some(Chunk::Run(rest, count - 1)))
            }
        };
        self.chunks[at] = Chunk::Item(Node::Raw(single));
        if let Some(rest) = rest {
            self.chunks.insert(at + 1, rest);
        }
        at
    }

    /// Makes a chunk begin at the element with this index; returns the chunk's position.
    fn split(&mut self, index: u32) -> usize {
        let mut left = index;
        for at in 0..self.chunks.len() {
            if left == 0 {
                return at;
            }
            let (first, second) = match self.chunks[at] {
                Chunk::Item(_) => {
                    left -= 1;
                    continue;
                }
                Chunk::Run(_, count) | Chunk::Nils(count) if count <= left => {
                    left -= count;
                    continue;
                }
                Chunk::Nils(count) => (Chunk::Nils(left), Chunk::Nils(count - left)),
                Chunk::Run(bytes, count) => {
                    let mut size = 0;
                    for _ in 0..left {
                        size += size_of_first(&bytes[size..]);
                    }
                    let (before, after) = bytes.split_at(size);
                    (Chunk::Run(before, left), Chunk::Run(after, count - left))
                }
            };
            self.chunks[at] = first;
            self.chunks.insert(at + 1, second);
            return at + 1;
        }
        self.chunks.len()
    }
}

impl<'a> Map<'a> {
    /// The map at the start of `data`.
    pub fn open(data: &'a [u8]) -> Option<Map<'a>> {
        let (count, head) = item::map(data)?;
        let mut rest = &data[head..];
        let mut take = || {
            let (first, after) = rest.split_at_checked(item::size(rest)?)?;
            rest = after;
            Some(first)
        };
        let mut pairs = Vec::new();
        for _ in 0..count {
            pairs.push(Pair { key: Key::Old(take()?), value: Node::Raw(take()?) });
        }
        Some(Map { pairs })
    }

    /// The value of this key, ready to be changed.
    pub fn child(&mut self, token: &Token) -> Option<&mut Node<'a>> {
        self.pairs.iter_mut().find(|pair| pair.key.is(token)).map(|pair| &mut pair.value)
    }

    /// Applies an operation whose path ends in this map, at this key.
    pub fn apply(&mut self, operation: &Operation<'a>, token: &Token) -> Result<()> {
        let found = self.pairs.iter().position(|pair| pair.key.is(token));
        match (&operation.argument, found) {
            (Argument::Set(value), Some(at)) => {
                self.pairs[at].value = Node::Raw(value);
                Ok(())
            }
            (Argument::Insert(_), Some(_)) => Err(operation.error("the key exists already")),
            (Argument::Set(value) | Argument::Insert(value), None) => {
                let Token::Key(key) = token else {
                    return Err(operation.error("can not update map by non-string key"));
                };
                let pair = Pair { key: Key::New(key.clone()), value: Node::Raw(value) };
                self.pairs.insert(0, pair);
                Ok(())
            }
            (Argument::Delete(count), _) if *count != 1 => {
                Err(operation.error("can delete only 1 field from a map in a row"))
            }
            (Argument::Delete(_), Some(at)) => {
                self.pairs.remove(at);
                Ok(())
            }
            // A key that an earlier operation has deleted, or a neighbour of changed ones.
            (Argument::Delete(_), None) => Ok(()),
            (_, Some(at)) => self.pairs[at].value.compute(operation),
            (_, None) => Err(operation.no_such_field()),
        }
    }

    /// Appends the map as MessagePack; `format` is what is known of its values.
    pub fn write(&self, out: &mut Vec<u8>, format: &[FormatNode]) {
        mp::write_map_len(out, self.pairs.len() as u32);
        for pair in &self.pairs {
            let name = match &pair.key {
                Key::Old(bytes) => {
                    out.extend_from_slice(bytes);
                    item::string(bytes)
                }
                Key::New(key) => {
                    mp::write_str(out, key.as_bytes());
                    Some(key.as_bytes())
                }
            };
            let known = name.and_then(|name| FormatNode::value(format, name));
            pair.value.write(out, known);
        }
    }
}

impl Key<'_> {
    fn is(&self, token: &Token) -> bool {
        match (self, token) {
            (Key::Old(bytes), Token::Key(key)) => item::string(bytes) == Some(key.as_bytes()),
            (Key::Old(bytes), Token::Index(index)) => is_index(bytes, *index),
            (Key::New(mine), Token::Key(key)) => mine == key,
            (_, _) => false,
        }
    }
}

/// Size of the first value of a run.
fn size_of_first(bytes: &[u8]) -> usize {
    item::size(bytes).expect("a tuple's bytes are well-formed, and so are decoded operands")
}
