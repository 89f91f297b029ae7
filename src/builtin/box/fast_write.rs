//! Replacing or upserting a row of strings and numbers without a C function: called through FFI,
//! compiled into traces.
//!
//! Lua puts the fields one after the other, for an upsert the operations as well, and then asks for
//! the change, which is done only where it can neither wait nor run Lua: inside a transaction or a
//! batch, without triggers. In every other case, and when it fails, the answer is [`SLOW`] or false,
//! nothing has changed, and the caller repeats it through the C function, which waits or raises the
//! error.
//!
//! # Invariants
//! - Between the first field and the replacement nothing else runs: FFI calls do not switch.
//!
//! # Yields
//! never; neither do they raise

use std::cell::RefCell;
use std::ffi::c_void;

use super::fast::{SLOW, bytes, whole};
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
    /// The operations of an upsert so far, likewise.
    static OPERATIONS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Adds the FFI functions.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .pointer("put_string", put_string as *const c_void)
        .pointer("put_number", put_number as *const c_void)
        .pointer("replace_row", replace_row as *const c_void)
        .pointer("store_row", store_row as *const c_void)
        .pointer("put_operation", put_operation as *const c_void)
        .pointer("operation_string", operation_string as *const c_void)
        .pointer("operation_number", operation_number as *const c_void)
        .pointer("upsert_row", upsert_row as *const c_void)
}

/// Adds the element with that index to an array; index 0 begins it.
fn put(array: &mut Vec<u8>, index: u32, write: impl FnOnce(&mut Vec<u8>)) {
    if index == 0 {
        array.clear();
        array.push(SHORT_ARRAY);
    }
    if !array.is_empty() {
        write(array);
    }
}

/// Writes a number as MessagePack has it; what cannot be taken here clears the array.
fn write_number(array: &mut Vec<u8>, number: f64) {
    match whole(number) {
        Some(integer) => mp::write_int(array, integer),
        None if number.is_finite() && number.fract() != 0.0 => mp::write_f64(array, number),
        None => array.clear(),
    }
}

unsafe extern "C" fn put_string(index: u32, data: *const u8, size: usize) {
    // SAFETY: promised by the caller, see `bytes`.
    let bytes = unsafe { bytes(data, size) };
    ROW.with_borrow_mut(|row| put(row, index, |row| mp::write_str(row, bytes)));
}

extern "C" fn put_number(index: u32, number: f64) {
    ROW.with_borrow_mut(|row| put(row, index, |row| write_number(row, number)));
}

/// Begins the operation with that index, of three parts; index 0 begins the list.
unsafe extern "C" fn put_operation(index: u32, name: *const u8, size: usize) {
    // SAFETY: promised by the caller, see `bytes`.
    let name = unsafe { bytes(name, size) };
    OPERATIONS.with_borrow_mut(|operations| {
        put(operations, index, |operations| {
            operations.push(SHORT_ARRAY | 3);
            mp::write_str(operations, name);
        });
    });
}

unsafe extern "C" fn operation_string(data: *const u8, size: usize) {
    // SAFETY: as above.
    let bytes = unsafe { bytes(data, size) };
    OPERATIONS.with_borrow_mut(|operations| put(operations, 1, |it| mp::write_str(it, bytes)));
}

extern "C" fn operation_number(number: f64) {
    OPERATIONS.with_borrow_mut(|operations| put(operations, 1, |it| write_number(it, number)));
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

/// Upserts the row of so many fields with so many operations; whether that was done.
extern "C" fn upsert_row(space_id: u32, field_count: u32, operation_count: u32) -> bool {
    let Some(database) = Database::find() else { return false };
    if field_count.max(operation_count) > FIELD_COUNT_MAX || fiber::check_slice().is_err() {
        return false;
    }
    ROW.with_borrow_mut(|row| {
        OPERATIONS.with_borrow_mut(|operations| {
            let (Some(fields), Some(first)) = (row.first_mut(), operations.first_mut()) else {
                return false;
            };
            *fields = SHORT_ARRAY | field_count as u8;
            *first = SHORT_ARRAY | operation_count as u8;
            database.upsert_at_once(space_id, row, operations, 1)
        })
    })
}
