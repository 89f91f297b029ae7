//! Walking a space in pieces, for `SCAN`.
//!
//! # Yields
//! never

use std::ops::Range;

use crate::base::error::{Error, Result};
use crate::db::Database;
use crate::lua::Context;
use crate::value::msgpack::Reader;

/// Most keys of one piece, so that a piece does not hold others up.
const COUNT_MAX: i64 = 100_000;

/// `scan(space id, cursor, count)`: keys and the next cursor; nothing if the index is ordered.
pub(super) fn lua_resp_scan(cx: Context<'_>) -> Result<usize> {
    let id = u32::try_from(cx.check_integer(1)?).unwrap_or(u32::MAX);
    let cursor = cx.check_integer(2)?.cast_unsigned();
    let count = cx.check_integer(3)?.clamp(1, COUNT_MAX) as usize;
    let (mut bytes, mut keys) = (Vec::new(), Vec::new());
    let Some(next) = collect(id, cursor, count, &mut bytes, &mut keys)? else { return Ok(0) };
    cx.new_table(keys.len(), 0);
    for (index, key) in (1..).zip(keys) {
        cx.push_bytes(&bytes[key]);
        cx.raw_set_index(-2, index);
    }
    cx.push_number(next as f64);
    Ok(2)
}

/// Copies keys out of the index: nothing may be borrowed of it when Lua runs.
fn collect(
    id: u32,
    cursor: u64,
    count: usize,
    bytes: &mut Vec<u8>,
    keys: &mut Vec<Range<usize>>,
) -> Result<Option<u64>> {
    let space = Database::find().and_then(|db| db.space(id));
    let space = space.ok_or_else(|| Error::illegal_params("resp.scan: there is no such space"))?;
    let Some(primary) = space.primary() else { return Ok(None) };
    let Some(store) = primary.memtx() else { return Ok(None) };
    let Some((tuples, next)) = store.scan(cursor, count) else { return Ok(None) };
    for tuple in tuples {
        // SAFETY: the index keeps its tuples while it is borrowed.
        let field = unsafe { tuple.as_ref() }.field(0).unwrap_or_default();
        if let Some(key) = Reader::new(field).read_str() {
            let start = bytes.len();
            bytes.extend_from_slice(key);
            keys.push(start..bytes.len());
        }
    }
    Ok(Some(next))
}
