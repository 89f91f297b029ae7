//! Lua arguments of `box` calls as MessagePack.
//!
//! Buffers come from a small stack of reused ones: a trigger may call `box` while the outer call
//! still reads its own.
//!
//! # Yields
//! when a `__serialize` function does

use std::cell::RefCell;

use super::tuple::LuaTuple;
use crate::base::error::Result;
use crate::builtin::serializer::{self, Config};
use crate::client_error;
use crate::lua::{Context, Kind};
use crate::value::mp;

/// Most buffers kept, and the largest that is.
const KEPT_MAX: usize = 16;
const KEPT_SIZE_MAX: usize = 256 * 1024;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A reused buffer.
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty one.
    pub(super) fn take() -> Buffer {
        Buffer(BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0);
        if bytes.capacity() > KEPT_SIZE_MAX {
            return;
        }
        bytes.clear();
        BUFFERS.with_borrow_mut(|buffers| {
            if buffers.len() < KEPT_MAX {
                buffers.push(bytes);
            }
        });
    }
}

impl std::ops::Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

/// A tuple, key or list of operations: a table that is an array, a tuple, nothing (an empty
/// array), or one value (an array of it).
pub(super) fn encode_array(cx: Context<'_>, index: i32) -> Result<Buffer> {
    let mut out = Buffer::take();
    append_array(cx, index, &mut out, &serializer::msgpack_config())?;
    Ok(out)
}

/// As [`encode_array`], of a tuple that stands alone: a sparse one has nils.
pub(super) fn encode_tuple(cx: Context<'_>, index: i32) -> Result<Buffer> {
    let mut out = Buffer::take();
    let config = Config { encode_sparse_ratio: 0, ..serializer::msgpack_config() };
    append_array(cx, index, &mut out, &config)?;
    Ok(out)
}

fn append_array(cx: Context<'_>, index: i32, out: &mut Vec<u8>, config: &Config) -> Result<()> {
    if let Some(tuple) = LuaTuple::get(cx, index) {
        out.extend_from_slice(tuple.data());
        return Ok(());
    }
    if cx.is_null(index) {
        mp::write_array_len(out, 0);
        return Ok(());
    }
    if cx.kind(index) != Kind::Table {
        mp::write_array_len(out, 1);
        return serializer::encode(cx, index, out, config);
    }
    serializer::encode(cx, index, out, config)?;
    if is_array(out) { Ok(()) } else { Err(client_error!(ER_TUPLE_NOT_ARRAY)) }
}

/// Whether the bytes start with the header of an array.
pub(super) fn is_array(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(0x90..=0x9f | 0xdc | 0xdd))
}
