//! Update and upsert: new bytes of a tuple from its old bytes and a list of operations.
//!
//! All operations are decoded first, so that a malformed list changes nothing. Then each is
//! applied to a tree that starts as one run of untouched bytes and is opened only where an
//! operation goes: untouched fields are never decoded, and are copied once, when the result is
//! written.
//!
//! # Invariants
//! Field numbers of an operation are those after all operations before it.
//!
//! # Yields
//! never

mod container;
mod node;
mod operation;
mod scalar;
#[cfg(test)]
mod tests;

use crate::base::error::Type;
use crate::base::{Error, Result};

use super::body::{RawTuple, Tuple};
use super::format::Format;
use container::Array;
use operation::Operations;

/// The tuple's bytes after a MessagePack array of operations. `format` gives names to fields;
/// field numbers and offsets in strings count from `index_base`.
pub fn update(
    tuple: &RawTuple,
    operations: &[u8],
    format: &Format,
    index_base: u32,
) -> Result<Vec<u8>> {
    let operations = Operations::decode(operations, format, index_base)?;
    let mut root = open(tuple.data());
    for operation in operations.iter() {
        node::apply(operation, &mut root)?;
    }
    Ok(write(&root, tuple.data(), format))
}

/// Like [`update`], but an operation that cannot be applied is left out; `on_error` hears of it.
/// Malformed operations and failures of the server are errors still. `tuple` is the bytes of one.
pub fn upsert(
    tuple: &[u8],
    operations: &[u8],
    format: &Format,
    index_base: u32,
    mut on_error: impl FnMut(&Error),
) -> Result<Vec<u8>> {
    let operations = Operations::decode(operations, format, index_base)?;
    let mut root = open(tuple);
    for operation in operations.iter() {
        match node::apply(operation, &mut root) {
            Ok(()) => {}
            Err(error) if error.kind() == Type::Client => on_error(&error),
            Err(error) => return Err(error),
        }
    }
    Ok(write(&root, tuple, format))
}

/// Whether the operations are well-formed, for an upsert that inserts and applies none of them.
pub fn check(operations: &[u8], format: &Format, index_base: u32) -> Result<()> {
    Operations::decode(operations, format, index_base).map(drop)
}

fn open(tuple: &[u8]) -> Array<'_> {
    Array::open(tuple).expect("a tuple's bytes are an array")
}

fn write(root: &Array<'_>, tuple: &[u8], format: &Format) -> Vec<u8> {
    let mut out = Vec::with_capacity(tuple.len() + 32);
    root.write(&mut out, format.nodes());
    out
}

/// Fuzz target: arbitrary bytes as a tuple and as operations, split at the first byte.
pub fn fuzz(data: &[u8]) {
    let Some((&split, rest)) = data.split_first() else { return };
    let (tuple, operations) = rest.split_at(usize::from(split).min(rest.len()));
    let Ok(tuple) = Tuple::new_runtime(tuple) else { return };
    if let Ok(result) = update(&tuple, operations, Format::runtime(), 1) {
        assert!(Tuple::new_runtime(&result).is_ok(), "updates make well-formed tuples");
    }
    // Errors of single operations are expected here.
    let _ = upsert(tuple.data(), operations, Format::runtime(), 0, |_| {});
}
