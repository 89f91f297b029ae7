//! LuaJIT's cdata seen from Rust: 64-bit integers, null pointers, structs of ours.
//!
//! LuaJIT's C API can tell that a value is cdata and give the address of its payload, no more. The
//! type id stands in the object's header, two bytes that end 4 before the payload (`GCcdata` of
//! the vendored LuaJIT: next 8, marks 1, type 1, ctypeid 2, padding 4); `prepare` asserts that
//! against the ids that Lua sees. Values are made by small Lua functions, kept in the registry,
//! that read a slot which Rust fills.
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::marker::PhantomData;

use super::context::{Context, Reference};
use crate::base::error::Result;

/// LuaJIT's number of a C type; fixed once the type is declared.
pub type CtypeId = u16;

/// The value of a Lua cdata; valid while that is on the stack.
#[derive(Clone, Copy)]
pub struct Cdata<'a> {
    payload: *const c_void,
    life: PhantomData<&'a ()>,
}

/// Ids of C types that LuaJIT declares itself (`CTID_*`), asserted by `prepare`.
mod ids {
    use super::CtypeId;
    pub const INT64: CtypeId = 11;
    pub const UINT64: CtypeId = 12;
    pub const VOID_POINTER: CtypeId = 19;
}

const MAKER: &[u8] = br#"
local ffi = require('ffi')
local slot = ffi.cast('int64_t *', (...))
local uslot = ffi.cast('uint64_t *', (...))
return function() return slot[0] end, function() return uslot[0] end,
    ffi.cast('void *', 0), tonumber(ffi.typeof('int64_t')), tonumber(ffi.typeof('uint64_t')),
    tonumber(ffi.typeof('void *'))
"#;

struct Makers {
    int64: Reference,
    uint64: Reference,
    null: Reference,
}

thread_local! {
    static SLOT: Cell<i64> = const { Cell::new(0) };
    static MAKERS: RefCell<Option<Makers>> = const { RefCell::new(None) };
}

impl<'a> Cdata<'a> {
    /// # Safety
    /// `payload` is the payload of a live cdata for the life `'a`.
    pub(super) unsafe fn new(payload: *const c_void) -> Cdata<'a> {
        Cdata { payload, life: PhantomData }
    }

    /// Its type.
    pub fn type_id(self) -> CtypeId {
        // SAFETY: the header stands right before the payload (see the file's header).
        unsafe { self.payload.byte_sub(6).cast::<u16>().read() }
    }

    /// Address of the value.
    pub fn payload(self) -> *const c_void {
        self.payload
    }

    /// The value of a type that holds a `T` at its start.
    ///
    /// # Safety
    /// The type was checked by [`Cdata::type_id`] and starts with a `T`.
    pub unsafe fn read<T: Copy>(self) -> T {
        // SAFETY: promised by the caller; payloads are aligned to 8 at least.
        unsafe { self.payload.cast::<T>().read() }
    }

    /// Whether it is a `void *` that is null, such as `box.NULL`.
    pub fn is_null(self) -> bool {
        // SAFETY: a pointer type holds a pointer.
        self.type_id() == ids::VOID_POINTER && unsafe { self.read::<*const c_void>() }.is_null()
    }

    /// An `int64_t`, or a `uint64_t` that fits.
    pub fn integer(self) -> Option<i64> {
        match self.type_id() {
            // SAFETY: the type holds 64 bits.
            ids::INT64 => Some(unsafe { self.read::<i64>() }),
            // SAFETY: as above.
            ids::UINT64 => i64::try_from(unsafe { self.read::<u64>() }).ok(),
            _ => None,
        }
    }

    /// A `uint64_t`.
    pub fn unsigned(self) -> Option<u64> {
        // SAFETY: the type holds 64 bits.
        (self.type_id() == ids::UINT64).then(|| unsafe { self.read::<u64>() })
    }
}

/// Makes the constructors and checks what this file assumes of LuaJIT.
pub(super) fn prepare(cx: Context<'_>) -> Result<()> {
    let top = cx.top();
    cx.load(MAKER, "=cdata")?;
    SLOT.with(|slot| cx.push_pointer(slot.as_ptr().cast()));
    cx.call(1, 6)?;
    for (index, id) in [(-3, ids::INT64), (-2, ids::UINT64), (-1, ids::VOID_POINTER)] {
        assert_eq!(cx.number(index), Some(f64::from(id)), "LuaJIT's own C type ids are fixed");
    }
    cx.pop(3);
    let null = cx.cdata(-1).expect("a null pointer is cdata");
    assert!(null.is_null(), "the header of cdata is where this file says");
    let null = cx.reference();
    let uint64 = cx.reference();
    let int64 = cx.reference();
    assert_eq!(cx.top(), top);
    MAKERS.set(Some(Makers { int64, uint64, null }));
    Ok(())
}

fn push(cx: Context<'_>, choose: impl FnOnce(&Makers) -> &Reference) {
    MAKERS.with_borrow(|makers| {
        cx.push_reference(choose(makers.as_ref().expect("the VM is open")));
    });
}

/// Pushes an `int64_t`.
pub(super) fn push_int64(cx: Context<'_>, value: i64) {
    push(cx, |makers| &makers.int64);
    SLOT.set(value);
    cx.call_through(0, 1);
}

/// Pushes a `uint64_t`.
pub(super) fn push_uint64(cx: Context<'_>, value: u64) {
    push(cx, |makers| &makers.uint64);
    SLOT.set(value.cast_signed());
    cx.call_through(0, 1);
}

/// Pushes `box.NULL`.
pub(super) fn push_null(cx: Context<'_>) {
    push(cx, |makers| &makers.null);
}
