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
    pub const BOOL: CtypeId = 3;
    pub const CHAR: CtypeId = 4;
    pub const INT8: CtypeId = 5;
    pub const UINT8: CtypeId = 6;
    pub const INT16: CtypeId = 7;
    pub const UINT16: CtypeId = 8;
    pub const INT32: CtypeId = 9;
    pub const UINT32: CtypeId = 10;
    pub const INT64: CtypeId = 11;
    pub const UINT64: CtypeId = 12;
    pub const FLOAT: CtypeId = 15;
    pub const DOUBLE: CtypeId = 16;
    pub const VOID_POINTER: CtypeId = 19;
}

const MAKER: &[u8] = br#"
local ffi = require('ffi')
local slot = ffi.cast('int64_t *', (...))
local uslot = ffi.cast('uint64_t *', (...))
return function() return slot[0] end, function() return uslot[0] end,
    ffi.cast('void *', 0), tonumber(ffi.typeof('bool')),
    tonumber(ffi.typeof('int8_t')), tonumber(ffi.typeof('uint8_t')),
    tonumber(ffi.typeof('int16_t')), tonumber(ffi.typeof('uint16_t')),
    tonumber(ffi.typeof('int32_t')), tonumber(ffi.typeof('uint32_t')),
    tonumber(ffi.typeof('int64_t')), tonumber(ffi.typeof('uint64_t')),
    tonumber(ffi.typeof('float')), tonumber(ffi.typeof('double')),
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

    /// Any C integer that fits.
    pub fn integer(self) -> Option<i64> {
        match self.type_id() {
            // SAFETY: the type holds 64 bits.
            ids::INT64 => Some(unsafe { self.read::<i64>() }),
            // SAFETY: as above, for each type its size.
            ids::INT32 => Some(i64::from(unsafe { self.read::<i32>() })),
            // SAFETY: as above.
            ids::UINT32 => Some(i64::from(unsafe { self.read::<u32>() })),
            // SAFETY: as above.
            ids::INT16 => Some(i64::from(unsafe { self.read::<i16>() })),
            // SAFETY: as above.
            ids::UINT16 => Some(i64::from(unsafe { self.read::<u16>() })),
            // SAFETY: as above.
            ids::INT8 | ids::CHAR => Some(i64::from(unsafe { self.read::<i8>() })),
            // SAFETY: as above.
            ids::UINT8 => Some(i64::from(unsafe { self.read::<u8>() })),
            // SAFETY: as above.
            ids::UINT64 => i64::try_from(unsafe { self.read::<u64>() }).ok(),
            _ => None,
        }
    }

    /// A `bool`.
    pub fn boolean(self) -> Option<bool> {
        // SAFETY: the type holds one byte.
        (self.type_id() == ids::BOOL).then(|| unsafe { self.read::<u8>() } != 0)
    }

    /// A `float`.
    pub fn float(self) -> Option<f32> {
        // SAFETY: the type holds 32 bits.
        (self.type_id() == ids::FLOAT).then(|| unsafe { self.read::<f32>() })
    }

    /// A `double`.
    pub fn double(self) -> Option<f64> {
        // SAFETY: the type holds 64 bits.
        (self.type_id() == ids::DOUBLE).then(|| unsafe { self.read::<f64>() })
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
    let checked: [CtypeId; 12] = [
        ids::BOOL,
        ids::INT8,
        ids::UINT8,
        ids::INT16,
        ids::UINT16,
        ids::INT32,
        ids::UINT32,
        ids::INT64,
        ids::UINT64,
        ids::FLOAT,
        ids::DOUBLE,
        ids::VOID_POINTER,
    ];
    cx.call(1, 3 + 12)?;
    for (index, id) in (-12..).zip(checked) {
        assert_eq!(cx.number(index), Some(f64::from(id)), "LuaJIT's own C type ids are fixed");
    }
    cx.pop(12);
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
