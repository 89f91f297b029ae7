//! Replacing a row of strings and whole numbers without a C function: called through FFI, compiled
//! into traces.
//!
//! Lua puts the fields one after the other and then asks for the replacement, which is done only
//! where it can neither wait nor run Lua: inside a transaction or a batch, without triggers. In
//! every other case, and when it fails, the answer is [`SLOW`], nothing has changed, and the caller
//! repeats it through the C function, which waits or raises the error.
//!
//! # Invariants
//! - Between the first field and the replacement nothing else runs: FFI calls do not switch.
//!
//! # Yields
//! never; neither do they raise

use std::cell::RefCell;
use std::ffi::c_void;

use super::fast::{SLOW, whole};
use super::tuple::keep_result;
use crate::db::Database;
use crate::fiber;
use crate::lua::Module;
use crate::tuple::{RawTuple, Tuple};
use crate::value::mp;

/// Most fields, so that the count is one byte of MessagePack.
const FIELD_COUNT_MAX: u32 = 15;
/// First byte of an array of up to 15 elements.
const SHORT_ARRAY: u8 = 0x90;

thread_local! {
    /// The array so far; its first byte is written last. Empty: a field could not be taken.
    static ROW: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Adds the FFI functions.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .pointer("put_string", put_string as *const c_void)
        .pointer("put_number", put_number as *const c_void)
        .pointer("replace_row", replace_row as *const c_void)
        .pointer("store_row", store_row as *const c_void)
}

/// Adds the field with that index; index 0 begins a row.
fn put(index: u32, write: impl FnOnce(&mut Vec<u8>)) {
    ROW.with_borrow_mut(|row| {
        if index == 0 {
            row.clear();
            row.push(SHORT_ARRAY);
        }
        if !row.is_empty() {
            write(row);
        }
    });
}

unsafe extern "C" fn put_string(index: u32, data: *const u8, size: usize) {
    // SAFETY: Lua passes a string that it holds during the call.
    let bytes = unsafe { std::slice::from_raw_parts(data, size) };
    put(index, |row| mp::write_str(row, bytes));
}

extern "C" fn put_number(index: u32, number: f64) {
    put(index, |row| match whole(number) {
        Some(integer) => mp::write_int(row, integer),
        None => row.clear(),
    });
}

/// Replaces by the row of so many fields.
fn replace(space_id: u32, field_count: u32) -> Option<Tuple> {
    let database = Database::find()?;
    if field_count > FIELD_COUNT_MAX || fiber::check_slice().is_err() {
        return None;
    }
    ROW.with_borrow_mut(|row| {
        *row.first_mut()? = SHORT_ARRAY | field_count as u8;
        database.replace_at_once(space_id, row)
    })
}

/// Replaces by the row of so many fields. The result is kept for the caller until the next native
/// call.
extern "C" fn replace_row(space_id: u32, field_count: u32) -> *const RawTuple {
    replace(space_id, field_count).map_or(SLOW, keep_result)
}

/// Replaces by the row of so many fields; whether that was done.
extern "C" fn store_row(space_id: u32, field_count: u32) -> bool {
    replace(space_id, field_count).is_some()
}
