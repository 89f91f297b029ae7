//! Errors as Lua values: `struct error` cdata that owns a reference to the Rust error.
//!
//! Each fiber remembers the last error that was raised in it (`box.error.last()`).
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::ffi::c_void;

use super::cdata::CtypeId;
use super::context::{Context, Kind, Reference};
use super::module::Module;
use crate::base::error::{Builder, Error, Result, Type, Value};
use crate::base::error_code;
use crate::fiber;

/// The last error of a fiber.
#[derive(Default)]
struct Last(RefCell<Option<Error>>);

thread_local! {
    /// The last error of code that runs before the first fiber.
    static OUTSIDE: RefCell<Option<Error>> = const { RefCell::new(None) };
    static TYPE_ID: Cell<CtypeId> = const { Cell::new(0) };
    static MAKER: RefCell<Option<Reference>> = const { RefCell::new(None) };
    static SLOT: Cell<*const ()> = const { Cell::new(std::ptr::null()) };
}

/// The Lua half: declares the C type with its metatable and returns its maker and id.
const SOURCE: &str = include_str!("error.lua");

/// Prepares error objects. Returns nothing to Lua.
pub fn open(cx: Context<'_>) -> Result<()> {
    cx.load(SOURCE.as_bytes(), "@builtin/error.lua")?;
    SLOT.with(|slot| {
        Module::new(cx)
            .function("get", lua_error_get)
            .function("unpack", lua_error_unpack)
            .function("set_prev", lua_error_set_prev)
            .pointer("slot", slot.as_ptr().cast_const().cast())
            .pointer("unref", unref as *const c_void);
    });
    cx.call(1, 2)?;
    TYPE_ID.set(cx.number(-1).map_or(0, |id| id as CtypeId));
    cx.pop(1);
    MAKER.set(Some(cx.reference()));
    Ok(())
}

extern "C" fn unref(raw: *const ()) {
    // SAFETY: called once by the finalizer of the cdata that owns this reference.
    drop(unsafe { Error::from_raw(raw) });
}

/// Pushes an error object that owns `error`.
pub(super) fn push(cx: Context<'_>, error: Error) {
    MAKER.with_borrow(|maker| match maker {
        Some(maker) => cx.push_reference(maker),
        None => cx.push_nil(),
    });
    if cx.is_nil(-1) {
        // Before `open`: a plain message is the best there is.
        cx.pop(1);
        cx.push_bytes(error.message());
        return;
    }
    SLOT.set(error.into_raw());
    cx.call_through(0, 1);
}

/// The error raised last in this fiber.
pub fn last() -> Option<Error> {
    if !fiber::in_fiber() {
        return OUTSIDE.with_borrow(Clone::clone);
    }
    fiber::current().find_local::<Last>()?.0.borrow().clone()
}

/// Sets or clears the error raised last in this fiber.
pub fn set_last(error: Option<Error>) {
    let old = if fiber::in_fiber() {
        let fiber = fiber::current();
        if error.is_none() && fiber.find_local::<Last>().is_none() {
            return;
        }
        fiber.local(Last::default).0.replace(error)
    } else {
        OUTSIDE.replace(error)
    };
    drop(old);
}

/// Pushes what a failed call raises. Messages of the Lua library's kind stay plain strings with
/// the caller's place in front, as Lua's own functions raise them; the rest are error objects.
pub(super) fn push_raised(cx: Context<'_>, error: Error) {
    if error.kind() == Type::Luajit && error.code() == 0 && error.cause().is_none() {
        match cx.place(1) {
            Some((file, line)) if error.message().starts_with("bad argument") => {
                let file = file.rsplit('/').next().unwrap_or(&file);
                cx.push_bytes(format!("{file}:{line}: {}", error.message()));
            }
            _ => cx.push_bytes(error.message()),
        }
    } else {
        set_last(Some(error.clone()));
        push(cx, error);
    }
}

/// The error object at `index`.
pub(super) fn get(cx: Context<'_>, index: i32) -> Option<Error> {
    let cdata = cx.cdata(index)?;
    if cdata.type_id() != TYPE_ID.get() {
        return None;
    }
    // SAFETY: the type was checked; it holds a pointer from `Error::into_raw` that it owns.
    let raw = unsafe { cdata.read::<*const ()>() };
    // SAFETY: as above; the cdata keeps its own reference.
    (!raw.is_null()).then(|| unsafe { Error::from_raw_shared(raw) })
}

/// Any raised value as an error.
pub(super) fn from_value(cx: Context<'_>, index: i32) -> Error {
    if let Some(error) = get(cx, index) {
        return error;
    }
    let message = match cx.kind(index) {
        Kind::String | Kind::Number => {
            cx.bytes(index).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        }
        _ => None,
    };
    let message = message.or_else(|| cx.to_text(index).ok()).unwrap_or_else(|| "?".to_owned());
    if message == "not enough memory" {
        return Builder::new(Type::Luajit, message).code(32).build();
    }
    Builder::new(Type::Luajit, message).code(32).build()
}

fn check(cx: Context<'_>, index: i32) -> Result<Error> {
    get(cx, index).ok_or_else(|| Error::illegal_params("Usage: error:method()"))
}

/// Pushes a payload value; true: it is MessagePack, which the Lua half decodes.
fn push_value(cx: Context<'_>, value: &Value) -> bool {
    match value {
        Value::String(text) => cx.push_bytes(text),
        Value::Integer(number) => cx.push_int64(*number),
        Value::Unsigned(number) => cx.push_uint64(*number),
        Value::Double(number) => cx.push_number(*number),
        Value::Boolean(flag) => cx.push_boolean(*flag),
        Value::MessagePack(bytes) => cx.push_bytes(bytes),
    }
    matches!(value, Value::MessagePack(_))
}

/// `get(error, name)`: a builtin field or payload field, else nil; and whether the value is
/// MessagePack. A payload field that the error does not have is taken from its causes.
fn lua_error_get(cx: Context<'_>) -> Result<usize> {
    let error = check(cx, 1)?;
    let Some(name) = cx.text(2) else {
        cx.push_nil();
        return Ok(1);
    };
    if push_field(cx, &error, name) {
        return Ok(1);
    }
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some((_, value)) = error.fields().iter().find(|(field, _)| field == name) {
            let is_encoded = push_value(cx, value);
            cx.push_boolean(is_encoded);
            return Ok(2);
        }
        if let Some(name) = code_name(&error).filter(|_| name == "name") {
            cx.push_bytes(name);
            return Ok(1);
        }
        next = error.cause();
    }
    cx.push_nil();
    Ok(1)
}

/// The payload field `name` of client errors: `NO_SUCH_SPACE` and the like.
fn code_name(error: &Error) -> Option<&'static str> {
    let is_client = matches!(error.kind(), Type::Client | Type::AccessDenied);
    let code = is_client.then(|| error_code::by_number(error.code()))??;
    code.name.strip_prefix("ER_")
}

/// Pushes a builtin field; false (and nothing pushed): it is none.
fn push_field(cx: Context<'_>, error: &Error, name: &str) -> bool {
    match name {
        "type" => cx.push_bytes(error.type_name()),
        "base_type" => cx.push_bytes(error.kind().name()),
        "message" => cx.push_bytes(error.message()),
        "code" => cx.push_integer(i64::from(error.code())),
        "errno" if error.errno() != 0 => cx.push_integer(i64::from(error.errno())),
        "errno" => cx.push_nil(),
        "prev" => match error.cause() {
            Some(cause) => push(cx, cause),
            None => cx.push_nil(),
        },
        "trace" => {
            cx.new_table(1, 0);
            let file = error.file();
            if !file.is_empty() {
                cx.new_table(0, 2);
                cx.push_bytes(file);
                cx.raw_set_field(-2, "file");
                cx.push_integer(i64::from(error.line()));
                cx.raw_set_field(-2, "line");
                cx.raw_set_index(-2, 1);
            }
        }
        _ => return false,
    }
    true
}

/// `unpack(error)`: everything as a table, and the names of the fields that are MessagePack.
fn lua_error_unpack(cx: Context<'_>) -> Result<usize> {
    let error = check(cx, 1)?;
    cx.new_table(0, 8);
    cx.new_table(0, 0);
    cx.insert(-2);
    let mut encoded_count = 0;
    for (name, value) in error.fields() {
        let is_encoded = push_value(cx, value);
        cx.raw_set_field(-2, name);
        if is_encoded {
            encoded_count += 1;
            cx.push_bytes(name);
            cx.raw_set_index(-3, encoded_count);
        }
    }
    if let Some(name) = code_name(&error) {
        cx.push_bytes(name);
        cx.raw_set_field(-2, "name");
    }
    for name in ["type", "base_type", "message", "code", "errno", "prev", "trace"] {
        push_field(cx, &error, name);
        cx.raw_set_field(-2, name);
    }
    if error.type_name() != error.kind().name() {
        cx.push_bytes(error.type_name());
        cx.raw_set_field(-2, "custom_type");
    }
    cx.insert(-2);
    Ok(2)
}

/// `set_prev(error, cause)`: false when the chain would contain an error twice.
fn lua_error_set_prev(cx: Context<'_>) -> Result<usize> {
    let error = check(cx, 1)?;
    let is_set = error.set_cause(get(cx, 2)).is_ok();
    cx.push_boolean(is_set);
    Ok(1)
}
