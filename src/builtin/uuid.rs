//! The native half of `uuid`, called through FFI, and its form in MessagePack.
//!
//! The cdata `struct tt_uuid` keeps its first three fields in host order; see `value::uuid`.
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::ffi::c_void;

use super::serializer::{self, CdataCodec, Config};
use crate::base::error::{Error, Result};
use crate::lua::{Cdata, Context, CtypeId, Module, Reference};
use crate::value::msgpack::EXT_UUID;
use crate::value::uuid::{ByteOrder, Uuid};

/// The bytes of the cdata.
type Memory = [u8; 16];

thread_local! {
    /// A Lua function that makes a cdata of 16 bytes in network order.
    static MAKER: RefCell<Option<Reference>> = const { RefCell::new(None) };
}

/// Pushes the functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("register", lua_uuid_register)
        .pointer("create", create as *const c_void)
        .pointer("from_string", from_string as *const c_void)
        .pointer("to_string", to_string as *const c_void)
        .pointer("compare", compare as *const c_void)
        .pointer("swap", swap as *const c_void);
    Ok(())
}

fn host(memory: &Memory) -> Uuid {
    Uuid::from_bytes(memory, ByteOrder::Little).expect("16 bytes are a UUID")
}

/// Pushes a UUID as cdata.
pub fn push(cx: Context<'_>, uuid: Uuid) -> Result<()> {
    MAKER.with_borrow(|maker| match maker {
        Some(maker) => cx.push_reference(maker),
        None => cx.push_nil(),
    });
    if cx.is_nil(-1) {
        cx.pop(1);
        // Loading the module registers its maker.
        cx.get_global("require");
        cx.push_bytes("uuid");
        cx.call(1, 0)?;
        return push(cx, uuid);
    }
    cx.push_bytes(uuid.to_bytes(ByteOrder::Little));
    cx.call(1, 1)
}

fn encode(_: Context<'_>, _: i32, cdata: Cdata<'_>, out: &mut Vec<u8>, _: &Config) -> Result<()> {
    // SAFETY: registered for the type of 16 bytes.
    host(&unsafe { cdata.read::<Memory>() }).write(out);
    Ok(())
}

fn text(cdata: Cdata<'_>) -> Vec<u8> {
    // SAFETY: as in `encode`.
    host(&unsafe { cdata.read::<Memory>() }).to_string().into_bytes()
}

/// `register(ctype id, maker)`: makes the type known to the serializers.
fn lua_uuid_register(cx: Context<'_>) -> Result<usize> {
    let id = cx.check_integer(1)? as CtypeId;
    serializer::register_cdata(id, CdataCodec { encode, text: Some(text), is_binary: false });
    cx.push_value(2);
    MAKER.set(Some(cx.reference()));
    Ok(0)
}

/// Has UUIDs in MessagePack become cdata, loading the module when the first one comes.
pub fn register_ext() {
    serializer::register_ext(EXT_UUID, |cx, payload| {
        let uuid =
            Uuid::unpack(payload).ok_or_else(|| Error::illegal_params("a UUID has 16 bytes"))?;
        push(cx, uuid)
    });
}

// Pointers below are to cdata and strings that the Lua half holds during the call.

unsafe extern "C" fn create(out: *mut Memory) {
    // SAFETY: see above.
    unsafe { out.write(Uuid::random().to_bytes(ByteOrder::Little)) }
}

unsafe extern "C" fn from_string(data: *const u8, size: usize, out: *mut Memory) -> bool {
    // SAFETY: see above.
    let data = unsafe { std::slice::from_raw_parts(data, size) };
    match Uuid::parse(data) {
        Some(uuid) => {
            // SAFETY: see above.
            unsafe { out.write(uuid.to_bytes(ByteOrder::Little)) };
            true
        }
        None => false,
    }
}

/// Writes 36 characters.
unsafe extern "C" fn to_string(uuid: *const Memory, out: *mut u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    // SAFETY: see above.
    let bytes = host(unsafe { &*uuid }).0;
    let mut at = 0;
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            // SAFETY: the buffer has room for 36 characters.
            unsafe { out.add(at).write(b'-') };
            at += 1;
        }
        // SAFETY: as above.
        unsafe {
            out.add(at).write(HEX[usize::from(byte >> 4)]);
            out.add(at + 1).write(HEX[usize::from(byte & 15)]);
        }
        at += 2;
    }
}

unsafe extern "C" fn compare(left: *const Memory, right: *const Memory) -> i32 {
    // SAFETY: see above.
    let (left, right) = unsafe { (host(&*left), host(&*right)) };
    left.cmp(&right) as i32
}

/// Turns the first three fields around.
unsafe extern "C" fn swap(uuid: *mut Memory) {
    // SAFETY: see above.
    unsafe { uuid.write(host(&*uuid).0) }
}
