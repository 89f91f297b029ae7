//! Native half of `merger`: tuples of MessagePack, and back.
//!
//! # Yields
//! never

use super::trigger::push_tuple;
use super::tuple::LuaTuple;
use crate::base::error::{Error, Result};
use crate::lua::{Context, Module};
use crate::tuple::Tuple;
use crate::value::mp::{self, Reader};

/// Pushes the table of native functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("read_header", lua_merger_read_header)
        .function("read_tuple", lua_merger_read_tuple)
        .function("data", lua_merger_data)
        .function("is_key_def", super::key_def::lua_key_def_is);
    Ok(())
}

/// `read_header(bytes)`: the length of the array they start with, and the size of its header;
/// nothing if they do not start with one.
fn lua_merger_read_header(cx: Context<'_>) -> Result<usize> {
    let mut reader = Reader::new(cx.check_bytes(1)?);
    let Some(count) = reader.read_array_len() else { return Ok(0) };
    cx.push_integer(i64::from(count));
    cx.push_integer(reader.position() as i64);
    Ok(2)
}

/// `read_tuple(bytes, offset)`: the tuple that stands there, an array or an extension, and the
/// offset behind it.
fn lua_merger_read_tuple(cx: Context<'_>) -> Result<usize> {
    let bytes = cx.check_bytes(1)?;
    let start = usize::try_from(cx.check_integer(2)?).unwrap_or(usize::MAX);
    let rest = bytes.get(start..).unwrap_or_default();
    let size =
        mp::check(rest).map_err(|_| Error::illegal_params("Unexpected msgpack buffer end"))?;
    let mut reader = Reader::new(&rest[..size]);
    let data = match reader.ext_type() {
        None => &rest[..size],
        Some(mp::EXT_TUPLE) => {
            let mut payload =
                Reader::new(reader.read_ext().map_or(&[][..], |(_, payload)| payload));
            // The format stands beside the array, which is all there is here.
            payload.read_uint();
            payload.rest()
        }
        Some(_) => {
            let message = "Unexpected MsgPack extension type (should be MP_TUPLE)";
            return Err(Error::illegal_params(message));
        }
    };
    push_tuple(cx, Some(&Tuple::new_runtime(data)?));
    cx.push_integer((start + size) as i64);
    Ok(2)
}

/// `data(tuple)`: its MessagePack.
fn lua_merger_data(cx: Context<'_>) -> Result<usize> {
    let tuple = LuaTuple::get(cx, 1).ok_or_else(|| Error::illegal_params("a tuple is expected"))?;
    cx.push_bytes(tuple.data());
    Ok(1)
}
