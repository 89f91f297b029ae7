//! Reads by key without a C function: called through FFI, compiled into traces.
//!
//! Each returns the address of a tuple, null when there is none, or [`SLOW`] whenever anything is
//! out of the ordinary (no such index, another key type, no access, a slice used up): the caller
//! then repeats the call through the C function, which raises the proper error. A returned tuple
//! lives until the next change of its space; the Lua half copies or counts it at once.
//!
//! # Yields
//! never, and neither do they raise; `lua_iterator_step` is no FFI function and does both

use std::cell::RefCell;
use std::ffi::c_void;

use super::tuple::{keep_result, set_result};
use crate::base::error::{Error, Result};
use crate::db::{Database, Engine, Index, Operation, Phase, access};
use crate::fiber;
use crate::lua::{Context, Module};
use crate::tuple::{RawTuple, Tuple, TuplePtr};
use crate::value::mp;

/// Not an address: do it the slow way.
pub(super) const SLOW: *const RawTuple = std::ptr::without_provenance(1);

thread_local! {
    /// What was peeked at last.
    static PEEKED: RefCell<Option<Tuple>> = const { RefCell::new(None) };
}

/// Adds the FFI functions.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    module
        .pointer("get_number", get_number as *const c_void)
        .pointer("get_string", get_string as *const c_void)
        .function("iterator_step", lua_iterator_step)
        .pointer("iterator_next", iterator_next as *const c_void)
        .pointer("iterator_free", iterator_free as *const c_void)
}

/// Looks up a key of one part in a unique index, if nothing stands against doing it fast. What a
/// caller only peeks at is held for it; others copy or count it at once.
fn get(
    space_id: u32,
    index_id: u32,
    is_peek: bool,
    encode: impl FnOnce(&mut Vec<u8>),
) -> *const RawTuple {
    thread_local!(static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    let Some(database) = Database::find() else { return SLOW };
    if database.phase() != Phase::Running || fiber::check_slice().is_err() {
        return SLOW;
    }
    let Some(space) = database.space(space_id) else { return SLOW };
    let Some(index) = space.index(index_id) else { return SLOW };
    if space.definition().engine != Engine::Memtx
        || !is_simple(index)
        || !access::may_read(database, space_id)
    {
        return SLOW;
    }
    if database.transaction().is_some_and(|transaction| !transaction.may_use_memtx(database)) {
        return SLOW;
    }
    KEY.with_borrow_mut(|key| {
        key.clear();
        encode(key);
        if !index.definition().key_def.parts()[0].kind.admits(key, false) {
            return SLOW;
        }
        database.statistics().count(Operation::Select);
        match index.find(key, 1) {
            Some(tuple) => {
                if is_peek {
                    hold(tuple);
                }
                tuple.as_raw()
            }
            None => std::ptr::null(),
        }
    })
}

/// A unique index of one part that holds tuples itself.
fn is_simple(index: &Index) -> bool {
    let definition = index.definition();
    definition.is_unique && definition.key_def.parts().len() == 1 && index.view_of().is_none()
}

/// The integer that a Lua number is, if it is one that a double tells from its neighbours.
pub(super) fn whole(number: f64) -> Option<i64> {
    const TWO_53: f64 = 9_007_199_254_740_992.0;
    (number.trunc() == number && number.abs() <= TWO_53).then_some(number as i64)
}

/// Counts a tuple for the caller that has one value for all tuples it looks at.
fn hold(tuple: TuplePtr) {
    // SAFETY: it was just found in an index, which holds it.
    let old = PEEKED.replace(Some(unsafe { tuple.to_tuple() }));
    drop(old);
}

extern "C" fn get_number(
    space_id: u32,
    index_id: u32,
    number: f64,
    is_peek: bool,
) -> *const RawTuple {
    let Some(integer) = whole(number) else { return SLOW };
    get(space_id, index_id, is_peek, |key| mp::write_int(key, integer))
}

unsafe extern "C" fn get_string(
    space_id: u32,
    index_id: u32,
    data: *const u8,
    size: usize,
    is_peek: bool,
) -> *const RawTuple {
    // SAFETY: promised by the caller, see `bytes`.
    let bytes = unsafe { bytes(data, size) };
    get(space_id, index_id, is_peek, |key| mp::write_str(key, bytes))
}

/// The bytes that Lua passes.
///
/// # Safety
/// They are those of a string that Lua holds during the call, or lent ones (`lent.lua`), of which
/// none are left when the address is null.
pub(super) unsafe fn bytes<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if data.is_null() {
        return &[];
    }
    // SAFETY: promised by the caller.
    unsafe { std::slice::from_raw_parts(data, size) }
}

/// Steps an iterator. The tuple is kept for the caller until the next native call.
unsafe extern "C" fn iterator_next(iterator: *mut crate::db::Iterator) -> *const RawTuple {
    if fiber::check_slice().is_err() {
        return SLOW;
    }
    // SAFETY: the Lua half owns the iterator and passes it while it lives.
    if unsafe { &*iterator }.may_yield() {
        return SLOW;
    }
    // SAFETY: as above; a step that does not yield is over before another begins.
    match unsafe { &mut *iterator }.next_tuple() {
        Ok(Some(tuple)) => keep_result(tuple),
        Ok(None) => std::ptr::null(),
        Err(_) => SLOW,
    }
}

thread_local! {
    /// Iterators in the middle of a step that reads the disk.
    static STEPPING: RefCell<Vec<*mut crate::db::Iterator>> = const { RefCell::new(Vec::new()) };
}

/// `iterator_step(iterator)`: a step that may yield, or the reason why [`iterator_next`] gave up.
/// The tuple is the result of the call.
fn lua_iterator_step(cx: Context<'_>) -> Result<usize> {
    fiber::check_slice_now()?;
    let invalid = || Error::illegal_params("the iterator is not valid");
    let address = cx.cdata(1).ok_or_else(invalid)?;
    // SAFETY: the Lua half passes the pointer that it got from `iterate`.
    let iterator = unsafe { address.read::<*mut crate::db::Iterator>() };
    let is_stepping = STEPPING.with_borrow(|stepping| stepping.contains(&iterator));
    if iterator.is_null() || is_stepping {
        // Another fiber waits for its step.
        return Err(invalid());
    }
    STEPPING.with_borrow_mut(|stepping| stepping.push(iterator));
    // SAFETY: the caller's stack keeps the owner alive, and nobody else takes a step meanwhile.
    let found = unsafe { &mut *iterator }.next_tuple();
    STEPPING.with_borrow_mut(|stepping| stepping.retain(|known| *known != iterator));
    set_result(found?);
    Ok(0)
}

unsafe extern "C" fn iterator_free(iterator: *mut crate::db::Iterator) {
    // An owner whose iteration could not begin has none.
    if !iterator.is_null() {
        // SAFETY: called once by the finalizer of the owner.
        drop(unsafe { Box::from_raw(iterator) });
    }
}
