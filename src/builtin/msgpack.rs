//! The native half of `msgpack`: encode, decode, headers.
//!
//! Input of `decode` is validated first; `decode_unchecked` trusts it to be whole, and malformed
//! bytes are still an error there, not undefined behaviour. Memory behind a `char *` is the
//! caller's word: the unchecked functions read it item by item.
//!
//! # Yields
//! when a `__serialize` function does

use std::cell::RefCell;

use crate::base::error::{Error, Result};
use crate::builtin::serializer::{self, CdataCodec, Config, Instance, failure};
use crate::client_error;
use crate::lua::{Cdata, Context, CtypeId, Kind, Module, push_function};
use crate::value::msgpack::{self as mp, Reader};

thread_local! {
    /// Kept between calls, so that encoding does not allocate.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that grew beyond this is freed instead of kept.
const BUFFER_KEPT_MAX: usize = 256 * 1024;

/// Pushes `new` and what the Lua half builds the module from.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("new", lua_msgpack_new)
        .function("main", lua_msgpack_main)
        .function("size_of", lua_msgpack_size_of);
    Ok(())
}

/// Pushes what `msgpack.object` builds on.
pub fn open_object(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("check", lua_msgpack_check)
        .function("register", lua_msgpack_register_object);
    Ok(())
}

fn instance(cx: Context<'_>) -> Instance<'_> {
    Instance::new(cx, Config::DEFAULT)
        .function("encode", lua_msgpack_encode)
        .function("decode", lua_msgpack_decode)
        .function("decode_unchecked", lua_msgpack_decode_unchecked)
        .function("decode_pointer", lua_msgpack_decode_pointer)
}

fn push_new(cx: Context<'_>) {
    push_function(cx, lua_msgpack_new);
    cx.raw_set_field(-2, "new");
}

fn lua_msgpack_new(cx: Context<'_>) -> Result<usize> {
    instance(cx).finish();
    push_new(cx);
    Ok(1)
}

/// The instance that the module is: requests and replies follow its options.
fn lua_msgpack_main(cx: Context<'_>) -> Result<usize> {
    instance(cx).share().finish();
    push_new(cx);
    Ok(1)
}

/// Runs `work` with an empty buffer, which nested calls (from `__serialize`) do not share.
pub(super) fn with_buffer<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut buffer = BUFFER.take();
    buffer.clear();
    let result = work(&mut buffer);
    if buffer.capacity() <= BUFFER_KEPT_MAX {
        BUFFER.set(buffer);
    }
    result
}

/// `encode(value)`: the bytes.
fn lua_msgpack_encode(cx: Context<'_>) -> Result<usize> {
    if cx.top() < 1 {
        return Err(failure("msgpack.encode: a Lua object expected"));
    }
    let config = serializer::config(cx);
    with_buffer(|buffer| {
        serializer::encode(cx, 1, buffer, &config)?;
        cx.push_bytes(&*buffer);
        Ok(1)
    })
}

fn invalid() -> Error {
    client_error!(ER_INVALID_MSGPACK, "invalid MsgPack")
}

fn decode(cx: Context<'_>, is_checked: bool) -> Result<usize> {
    let data =
        cx.bytes(1).ok_or_else(|| failure("msgpack.decode: a Lua string or 'char *' expected"))?;
    let mut offset = 0;
    if cx.top() > 1 {
        offset = usize::try_from(cx.check_integer(2)? - 1).unwrap_or(usize::MAX);
        if offset >= data.len() {
            return Err(failure("msgpack.decode: offset is out of bounds"));
        }
    }
    let rest = &data[offset..];
    if is_checked {
        mp::check(rest).map_err(|_| invalid())?;
    }
    let size = serializer::push(cx, rest, &serializer::config(cx))?;
    cx.push_integer((offset + size + 1) as i64);
    Ok(2)
}

/// `decode(string[, offset])`: the value and the offset behind it.
fn lua_msgpack_decode(cx: Context<'_>) -> Result<usize> {
    decode(cx, true)
}

/// `decode_unchecked(string[, offset])`: the same without validation.
fn lua_msgpack_decode_unchecked(cx: Context<'_>) -> Result<usize> {
    decode(cx, false)
}

/// A `char *` argument that the Lua half passed as an address.
fn pointer_argument<'a>(cx: Context<'a>, size_index: i32) -> Result<&'a [u8]> {
    cx.check_kind(1, Kind::Number)?;
    let address = cx.check_integer(1)? as usize as *const u8;
    let size = cx.check_integer(size_index)?;
    let size =
        usize::try_from(size).map_err(|_| failure("msgpack.decode: size can't be negative"))?;
    // SAFETY: the caller vouches for the memory, as with any pointer handed to FFI.
    Ok(unsafe { std::slice::from_raw_parts(address, size) })
}

/// `decode_pointer(address, size)`: the value and its size.
fn lua_msgpack_decode_pointer(cx: Context<'_>) -> Result<usize> {
    let data = pointer_argument(cx, 2)?;
    mp::check(data).map_err(|_| invalid())?;
    let size = serializer::push(cx, data, &serializer::config(cx))?;
    cx.push_integer(size as i64);
    Ok(2)
}

/// `size_of(address)`: how long the value at an address is, trusting its memory.
fn lua_msgpack_size_of(cx: Context<'_>) -> Result<usize> {
    cx.push_nil();
    cx.push_integer(i64::MAX >> 12);
    cx.replace(2);
    let data = pointer_argument(cx, 2)?;
    let mut reader = Reader::new(data);
    reader.skip().ok_or_else(invalid)?;
    cx.push_integer(reader.position() as i64);
    Ok(1)
}

/// `check(bytes, offset)`: how long the value at an offset (from 0) is.
fn lua_msgpack_check(cx: Context<'_>) -> Result<usize> {
    let data = cx.check_bytes(1)?;
    let offset = usize::try_from(cx.check_integer(2)?).unwrap_or(usize::MAX);
    let rest = data.get(offset..).unwrap_or_default();
    let size = mp::check(rest).map_err(|_| invalid())?;
    cx.push_integer(size as i64);
    Ok(1)
}

/// Where the bytes of a `struct msgpack_object` are.
#[repr(C)]
#[derive(Clone, Copy)]
struct Object {
    data: *const u8,
    size: usize,
}

/// `register(ctype id)`: has objects be written as the bytes they hold.
fn lua_msgpack_register_object(cx: Context<'_>) -> Result<usize> {
    fn encode(
        _: Context<'_>,
        _: i32,
        cdata: Cdata<'_>,
        out: &mut Vec<u8>,
        _: &Config,
    ) -> Result<()> {
        // SAFETY: registered for this type, which keeps its bytes alive.
        let bytes = unsafe {
            let object = cdata.read::<Object>();
            std::slice::from_raw_parts(object.data, object.size)
        };
        out.extend_from_slice(bytes);
        Ok(())
    }
    let id = cx.check_integer(1)? as CtypeId;
    serializer::register_cdata(id, CdataCodec { encode, text: None, is_binary: false });
    Ok(0)
}
