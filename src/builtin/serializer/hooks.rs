//! Registered C types and extension types, and values kept for the serializers.
//!
//! Types live in modules that this one does not know (decimals, tuples, error objects on the
//! wire), so those register how their values are written and read when they load.
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};

use crate::base::error::{Error, Result};
use crate::lua::{Cdata, Context, CtypeId, Reference};

use super::Config;

/// How values of one C type are written.
#[derive(Clone, Copy)]
pub struct CdataCodec {
    /// Appends the value as MessagePack. The context and index are those of the value.
    pub encode: fn(Context<'_>, i32, Cdata<'_>, &mut Vec<u8>, &Config) -> Result<()>,
    /// The text that JSON and YAML show. Without one they ask the value's `__serialize`.
    pub text: Option<fn(Cdata<'_>) -> Vec<u8>>,
    /// The bytes of a binary object, which YAML marks as such.
    pub is_binary: bool,
}

type PushExt = fn(Context<'_>, &[u8]) -> Result<()>;
type EncodeError = fn(&Error, &mut Vec<u8>);

struct Kept {
    array_hint: Reference,
    map_hint: Reference,
    serialize_method: Reference,
}

thread_local! {
    static CODECS: RefCell<Vec<(CtypeId, CdataCodec)>> = const { RefCell::new(Vec::new()) };
    static EXTENSIONS: RefCell<Vec<(i8, PushExt)>> = const { RefCell::new(Vec::new()) };
    static PUSH_BINARY: Cell<Option<PushExt>> = const { Cell::new(None) };
    static ENCODE_ERROR: Cell<Option<EncodeError>> = const { Cell::new(None) };
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// Has values of a C type be written by `codec`.
pub fn register_cdata(ctype: CtypeId, codec: CdataCodec) {
    CODECS.with_borrow_mut(|codecs| {
        codecs.retain(|(known, _)| *known != ctype);
        codecs.push((ctype, codec));
    });
}

/// The codec of a C type.
pub fn codec(ctype: CtypeId) -> Option<CdataCodec> {
    CODECS.with_borrow(|codecs| {
        codecs.iter().find(|(known, _)| *known == ctype).map(|(_, codec)| *codec)
    })
}

/// Has MessagePack extensions of a type be pushed by `push`, which gets the payload.
pub fn register_ext(ext_type: i8, push: PushExt) {
    EXTENSIONS.with_borrow_mut(|extensions| {
        extensions.retain(|(known, _)| *known != ext_type);
        extensions.push((ext_type, push));
    });
}

pub(super) fn extension(ext_type: i8) -> Option<PushExt> {
    EXTENSIONS.with_borrow(|extensions| {
        extensions.iter().find(|(known, _)| *known == ext_type).map(|(_, push)| *push)
    })
}

/// Has error objects be written whole, as MessagePack extensions.
pub fn register_error(encode: EncodeError) {
    ENCODE_ERROR.set(Some(encode));
}

pub(super) fn error_encoder() -> Option<EncodeError> {
    ENCODE_ERROR.get()
}

/// Has binary data be pushed by `push`; without one it becomes a string.
pub fn register_binary(push: PushExt) {
    PUSH_BINARY.set(Some(push));
}

/// Pushes binary data.
pub fn push_binary(cx: Context<'_>, data: &[u8]) -> Result<()> {
    match PUSH_BINARY.get() {
        Some(push) => push(cx, data),
        None => {
            cx.push_bytes(data);
            Ok(())
        }
    }
}

/// Indexing a cdata that has no such field raises, hence the `pcall`.
const SOURCE: &[u8] = br#"
local pcall = pcall
local function get(object)
    return object.__serialize
end
return {__serialize = 'seq'}, {__serialize = 'map'}, function(object)
    local ok, method = pcall(get, object)
    return ok and method or nil
end
"#;

/// Makes what the serializers share: the metatables that mark decoded arrays and maps. Once per
/// VM, before any module.
pub fn prepare(cx: Context<'_>) -> Result<()> {
    cx.load(SOURCE, "=serializer")?;
    cx.call(0, 3)?;
    let serialize_method = cx.reference();
    let map_hint = cx.reference();
    let array_hint = cx.reference();
    KEPT.set(Some(Kept { array_hint, map_hint, serialize_method }));
    Ok(())
}

fn push_kept(cx: Context<'_>, choose: impl FnOnce(&Kept) -> &Reference) {
    KEPT.with_borrow(|kept| {
        cx.push_reference(choose(kept.as_ref().expect("`prepare` ran with the VM")));
    });
}

/// Pushes the metatable of decoded arrays.
pub fn push_array_hint(cx: Context<'_>) {
    push_kept(cx, |kept| &kept.array_hint);
}

/// Pushes the metatable of decoded maps.
pub fn push_map_hint(cx: Context<'_>) {
    push_kept(cx, |kept| &kept.map_hint);
}

/// Pushes `__serialize` of a cdata or userdata, or nil.
pub(super) fn push_serialize_method(cx: Context<'_>, index: i32) -> Result<()> {
    push_kept(cx, |kept| &kept.serialize_method);
    cx.push_value(index);
    cx.call(1, 1)
}
