//! The native half of `decimal`, called through FFI, and its form in MessagePack.
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::ffi::c_void;

use super::serializer::{self, CdataCodec, Config};
use crate::base::error::{Error, Result};
use crate::lua::{Cdata, Context, CtypeId, Module, Reference};
use crate::value::decimal::Decimal;
use crate::value::msgpack::EXT_DECIMAL;

thread_local! {
    /// A Lua function that makes the cdata of a string with its bytes.
    static MAKER: RefCell<Option<Reference>> = const { RefCell::new(None) };
}

/// Pushes the functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("register", lua_decimal_register)
        .function("tostring", lua_decimal_tostring)
        .pointer("from_string", from_string as *const c_void)
        .pointer("from_double", from_double as *const c_void)
        .pointer("from_int64", from_int64 as *const c_void)
        .pointer("from_uint64", from_uint64 as *const c_void)
        .pointer("add", add as *const c_void)
        .pointer("sub", sub as *const c_void)
        .pointer("mul", mul as *const c_void)
        .pointer("div", div as *const c_void)
        .pointer("mod", remainder as *const c_void)
        .pointer("pow", pow as *const c_void)
        .pointer("minus", minus as *const c_void)
        .pointer("abs", abs as *const c_void)
        .pointer("ln", ln as *const c_void)
        .pointer("log10", log10 as *const c_void)
        .pointer("exp", exp as *const c_void)
        .pointer("sqrt", sqrt as *const c_void)
        .pointer("trim", trim as *const c_void)
        .pointer("round", round as *const c_void)
        .pointer("rescale", rescale as *const c_void)
        .pointer("compare", compare as *const c_void)
        .pointer("precision", precision as *const c_void)
        .pointer("scale", scale as *const c_void)
        .number("size", size_of::<Decimal>() as f64);
    Ok(())
}

/// Pushes a decimal as cdata.
pub fn push(cx: Context<'_>, value: &Decimal) -> Result<()> {
    MAKER.with_borrow(|maker| match maker {
        Some(maker) => cx.push_reference(maker),
        None => cx.push_nil(),
    });
    if cx.is_nil(-1) {
        cx.pop(1);
        // Loading the module registers its maker.
        cx.get_global("require");
        cx.push_bytes("decimal");
        cx.call(1, 0)?;
        return push(cx, value);
    }
    cx.push_pointer(std::ptr::from_ref(value).cast_mut().cast());
    cx.call(1, 1)
}

/// The decimal of a cdata of its type.
fn get(cdata: Cdata<'_>) -> Decimal {
    // SAFETY: registered for the type that holds a decimal.
    unsafe { cdata.read::<Decimal>() }
}

fn encode(_: Context<'_>, _: i32, cdata: Cdata<'_>, out: &mut Vec<u8>, _: &Config) -> Result<()> {
    get(cdata).write(out);
    Ok(())
}

/// `register(ctype id, maker)`: makes the type known to the serializers.
fn lua_decimal_register(cx: Context<'_>) -> Result<usize> {
    let id = cx.check_integer(1)? as CtypeId;
    let text = Some((|cdata| get(cdata).to_string().into_bytes()) as fn(Cdata<'_>) -> Vec<u8>);
    serializer::register_cdata(id, CdataCodec { encode, text, is_binary: false });
    cx.push_value(2);
    MAKER.set(Some(cx.reference()));
    Ok(0)
}

/// Has decimals in MessagePack become cdata, loading the module when the first one comes.
pub fn register_ext() {
    serializer::register_ext(EXT_DECIMAL, |cx, payload| {
        let value = Decimal::unpack(payload)
            .ok_or_else(|| Error::illegal_params("a decimal is malformed"))?;
        push(cx, &value)
    });
}

/// `tostring(decimal)`. The Lua half checked the type.
fn lua_decimal_tostring(cx: Context<'_>) -> Result<usize> {
    let cdata = cx.cdata(1).ok_or_else(|| cx.bad_argument(1, "decimal expected"))?;
    cx.push_bytes(get(cdata).to_string());
    Ok(1)
}

// Pointers below are to cdata and strings that the Lua half holds during the call. Each function
// that can fail returns whether there is a result.

/// # Safety
/// `out` is writable.
unsafe fn store(out: *mut Decimal, value: Option<Decimal>) -> bool {
    match value {
        Some(value) => {
            // SAFETY: promised by the caller.
            unsafe { out.write(value) };
            true
        }
        None => false,
    }
}

unsafe extern "C" fn from_string(out: *mut Decimal, data: *const u8, size: usize) -> bool {
    // SAFETY: see above.
    unsafe { store(out, Decimal::parse(std::slice::from_raw_parts(data, size))) }
}

unsafe extern "C" fn from_double(out: *mut Decimal, value: f64) -> bool {
    // SAFETY: see above.
    unsafe { store(out, Decimal::from_f64(value)) }
}

unsafe extern "C" fn from_int64(out: *mut Decimal, value: i64) -> bool {
    // SAFETY: see above.
    unsafe { store(out, Decimal::from_i128(i128::from(value))) }
}

unsafe extern "C" fn from_uint64(out: *mut Decimal, value: u64) -> bool {
    // SAFETY: see above.
    unsafe { store(out, Decimal::from_i128(i128::from(value))) }
}

macro_rules! binary {
    ($($name:ident)*) => {
        $(unsafe extern "C" fn $name(
            out: *mut Decimal,
            left: *const Decimal,
            right: *const Decimal,
        ) -> bool {
            // SAFETY: see above.
            unsafe { store(out, (*left).$name(&*right)) }
        })*
    };
}

macro_rules! unary {
    ($($name:ident)*) => {
        $(unsafe extern "C" fn $name(out: *mut Decimal, value: *const Decimal) -> bool {
            // SAFETY: see above.
            unsafe { store(out, (*value).$name().into()) }
        })*
    };
}

binary! { add sub mul div remainder pow }
unary! { minus abs ln log10 exp sqrt trim }

unsafe extern "C" fn round(out: *mut Decimal, value: *const Decimal, scale: i64) -> bool {
    // SAFETY: see above.
    unsafe { store(out, (*value).round(scale)) }
}

unsafe extern "C" fn rescale(out: *mut Decimal, value: *const Decimal, scale: i64) -> bool {
    // SAFETY: see above.
    unsafe { store(out, (*value).rescale(scale)) }
}

unsafe extern "C" fn compare(left: *const Decimal, right: *const Decimal) -> i32 {
    // SAFETY: see above.
    unsafe { (*left).compare(&*right) as i32 }
}

unsafe extern "C" fn precision(value: *const Decimal) -> u32 {
    // SAFETY: see above.
    unsafe { (*value).precision() }
}

unsafe extern "C" fn scale(value: *const Decimal) -> u32 {
    // SAFETY: see above.
    unsafe { (*value).scale() }
}
