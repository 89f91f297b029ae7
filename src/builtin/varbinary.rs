//! The native half of `varbinary`: binary data that is not a string, as MessagePack tells apart.
//!
//! # Yields
//! never

use std::cell::RefCell;

use super::serializer::{self, CdataCodec, Config};
use crate::base::error::Result;
use crate::lua::{Cdata, Context, CtypeId, Module, Reference};
use crate::value::msgpack as mp;

thread_local! {
    /// A Lua function that makes the cdata of a string.
    static MAKER: RefCell<Option<Reference>> = const { RefCell::new(None) };
}

/// Pushes `register` and the switch of the old way to decode.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("register", lua_varbinary_register)
        .function("set_as_string", lua_varbinary_set_as_string);
    Ok(())
}

/// The bytes of the cdata: a size and as many bytes after it.
fn bytes(cdata: Cdata<'_>) -> &[u8] {
    // SAFETY: registered for a type that starts with its size; the bytes follow.
    unsafe {
        let size = cdata.read::<u32>() as usize;
        std::slice::from_raw_parts(cdata.payload().byte_add(size_of::<u32>()).cast(), size)
    }
}

fn encode(_: Context<'_>, _: i32, cdata: Cdata<'_>, out: &mut Vec<u8>, _: &Config) -> Result<()> {
    mp::write_bin(out, bytes(cdata));
    Ok(())
}

fn push(cx: Context<'_>, data: &[u8]) -> Result<()> {
    MAKER.with_borrow(|maker| match maker {
        Some(maker) => cx.push_reference(maker),
        None => cx.push_nil(),
    });
    if cx.is_nil(-1) {
        cx.pop(1);
        // Loading the module registers its maker.
        cx.get_global("require");
        cx.push_bytes("varbinary");
        cx.call(1, 0)?;
        return push(cx, data);
    }
    cx.push_bytes(data);
    cx.call(1, 1)
}

/// `register(ctype id, maker)`: makes the type known to the serializers.
fn lua_varbinary_register(cx: Context<'_>) -> Result<usize> {
    let id = cx.check_integer(1)? as CtypeId;
    let text = Some((|cdata| bytes(cdata).to_vec()) as fn(Cdata<'_>) -> Vec<u8>);
    serializer::register_cdata(id, CdataCodec { encode, text, is_binary: true });
    cx.push_value(2);
    MAKER.set(Some(cx.reference()));
    Ok(0)
}

/// Has binary data in MessagePack become cdata, loading the module when the first comes.
pub fn register_binary() {
    serializer::register_binary(push);
}

/// `set_as_string(flag)`: whether binary data becomes plain strings instead.
fn lua_varbinary_set_as_string(cx: Context<'_>) -> Result<usize> {
    if cx.boolean(1) {
        serializer::register_binary(|cx, data| {
            cx.push_bytes(data);
            Ok(())
        });
    } else {
        register_binary();
    }
    Ok(0)
}
