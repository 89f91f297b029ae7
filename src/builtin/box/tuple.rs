//! Tuples as Lua values: `struct tuple` cdata.
//!
//! # Layout
//! The cdata is `{ raw, copy[] }`. A small tuple is copied whole behind `raw`, which then points
//! into the cdata itself: such a value costs one allocation of Lua's and no finalizer, which would
//! cost more than the copy. A large tuple stays where it is: `raw` is a counted reference that the
//! finalizer gives back. Reading is the same for both.
//!
//! # Invariants
//! - Nothing in Rust keeps the address of a copy beyond the call that got it.
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::ffi::c_void;

use super::argument::{Buffer, encode_array, encode_tuple};
use super::tuple_extension;
use crate::base::error::{Error, Result, Type};
use crate::builtin::serializer::{self, CdataCodec, Config};
use crate::client_error;
use crate::lua::{Cdata, Context, CtypeId, Kind, Module};
use crate::tuple::{FieldDef, Format, FormatDef, RawTuple, Tuple, TuplePtr, update};
use crate::value::mp::{self, Reader};

thread_local! {
    static TYPE_ID: Cell<CtypeId> = const { Cell::new(0) };
    /// The result of the last native call, until the next one; Lua reads its address.
    static RESULT: RefCell<Option<Tuple>> = const { RefCell::new(None) };
    static RESULT_RAW: Cell<*const RawTuple> = const { Cell::new(std::ptr::null()) };
    static FIELD: Cell<Field> = const { Cell::new(Field::NOTHING) };
}

/// A tuple that an argument holds; valid while the argument is on the stack.
#[derive(Clone, Copy)]
pub(super) struct LuaTuple;

impl LuaTuple {
    /// The tuple at `index`, if it is one.
    pub(super) fn get<'a>(cx: Context<'a>, index: i32) -> Option<&'a RawTuple> {
        LuaTuple::read(cx.cdata(index)?)
    }

    fn read<'a>(cdata: Cdata<'a>) -> Option<&'a RawTuple> {
        if cdata.type_id() != TYPE_ID.get() {
            return None;
        }
        // SAFETY: the type was checked: it starts with the address of a tuple that the cdata keeps.
        let raw = unsafe { cdata.read::<*const RawTuple>() };
        // SAFETY: as above; `'a` is the life of the value on the stack.
        unsafe { raw.as_ref() }
    }

    fn check<'a>(cx: Context<'a>, index: i32, usage: &str) -> Result<&'a RawTuple> {
        LuaTuple::get(cx, index).ok_or_else(|| Error::new(Type::Luajit, format!("Usage: {usage}")))
    }
}

/// Hands a tuple to Lua: the caller's Lua half makes a value of it before anything else runs.
pub(super) fn set_result(tuple: Option<Tuple>) {
    RESULT_RAW.set(tuple.as_ref().map_or(std::ptr::null(), |tuple| tuple.as_ptr().as_raw()));
    let old = RESULT.replace(tuple);
    drop(old);
}

/// As [`set_result`], for FFI functions: returns the address.
pub(super) fn keep_result(tuple: Tuple) -> *const RawTuple {
    let raw = tuple.as_ptr().as_raw();
    let old = RESULT.replace(Some(tuple));
    drop(old);
    raw
}

/// A field as FFI reads it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Field {
    number: f64,
    integer: u64,
    data: *const u8,
    size: usize,
}

impl Field {
    const NOTHING: Field = Field { number: 0.0, integer: 0, data: std::ptr::null(), size: 0 };
}

/// What `tuple_field` found; the numbers are known to `tuple.lua`.
mod field_kind {
    pub const ABSENT: i32 = 0;
    pub const NUMBER: i32 = 1;
    pub const STRING: i32 = 2;
    pub const TRUE: i32 = 3;
    pub const FALSE: i32 = 4;
    pub const INT64: i32 = 5;
    pub const UINT64: i32 = 6;
    pub const NULL: i32 = 7;
    pub const OTHER: i32 = 8;
}

/// Integers below this are Lua numbers, others cdata (Tarantool's `DBL_INT_MAX`).
const NUMBER_MAX: u64 = 100_000_000_000_000;

/// Reads field `number` (from 0) into the field slot.
unsafe extern "C" fn tuple_field(raw: *const RawTuple, number: u32) -> i32 {
    // SAFETY: Lua passes the address in a tuple value that it holds.
    let tuple = unsafe { &*raw };
    let Some(data) = tuple.field(number) else { return field_kind::ABSENT };
    read_field(data)
}

fn read_field(data: &[u8]) -> i32 {
    let mut field = Field::NOTHING;
    let mut reader = Reader::new(data);
    let found = match reader.kind() {
        Some(mp::Kind::Uint) => {
            field.integer = reader.read_uint().unwrap_or(0);
            if field.integer < NUMBER_MAX {
                field.number = field.integer as f64;
                field_kind::NUMBER
            } else {
                field_kind::UINT64
            }
        }
        Some(mp::Kind::Int) => {
            let integer = reader.read_int().unwrap_or(0);
            field.integer = integer.cast_unsigned();
            field.number = integer as f64;
            if integer.unsigned_abs() < NUMBER_MAX { field_kind::NUMBER } else { field_kind::INT64 }
        }
        Some(mp::Kind::Str) => {
            let bytes = reader.read_str().unwrap_or_default();
            field.data = bytes.as_ptr();
            field.size = bytes.len();
            field_kind::STRING
        }
        Some(mp::Kind::Double | mp::Kind::Float) => {
            field.number = reader.read_number_as_f64().unwrap_or(0.0);
            field_kind::NUMBER
        }
        Some(mp::Kind::Bool) => {
            if reader.read_bool() == Some(true) {
                field_kind::TRUE
            } else {
                field_kind::FALSE
            }
        }
        Some(mp::Kind::Nil) => field_kind::NULL,
        _ => {
            field.data = data.as_ptr();
            field.size = data.len();
            field_kind::OTHER
        }
    };
    FIELD.set(field);
    found
}

unsafe extern "C" fn tuple_field_count(raw: *const RawTuple) -> u32 {
    // SAFETY: as in `tuple_field`.
    unsafe { &*raw }.field_count()
}

unsafe extern "C" fn tuple_bsize(raw: *const RawTuple) -> u32 {
    // SAFETY: as in `tuple_field`.
    unsafe { &*raw }.bsize() as u32
}

unsafe extern "C" fn tuple_image_size(raw: *const RawTuple) -> u32 {
    // SAFETY: as in `tuple_field`.
    unsafe { &*raw }.image_size() as u32
}

unsafe extern "C" fn tuple_format_id(raw: *const RawTuple) -> u32 {
    // SAFETY: as in `tuple_field`.
    u32::from(unsafe { &*raw }.format_id())
}

unsafe extern "C" fn tuple_ref(raw: *const RawTuple) {
    // SAFETY: Lua passes a tuple that a native call keeps; the reference is given back by
    // `tuple_unref`.
    unsafe { std::mem::forget(TuplePtr::from_raw(raw).to_tuple()) };
}

unsafe extern "C" fn tuple_unref(raw: *const RawTuple) {
    // SAFETY: called once by the finalizer of the value that `tuple_ref` was called for.
    drop(unsafe { TuplePtr::from_raw(raw).into_tuple() });
}

/// Adds the natives of tuples.
pub(super) fn add(module: Module<'_>) -> Module<'_> {
    RESULT_RAW
        .with(|result| {
            FIELD.with(|field| {
                module
                    .pointer("result", result.as_ptr().cast_const().cast())
                    .pointer("field", field.as_ptr().cast_const().cast())
            })
        })
        .pointer("tuple_field", tuple_field as *const c_void)
        .pointer("tuple_field_count", tuple_field_count as *const c_void)
        .pointer("tuple_bsize", tuple_bsize as *const c_void)
        .pointer("tuple_image_size", tuple_image_size as *const c_void)
        .pointer("tuple_format_id", tuple_format_id as *const c_void)
        .pointer("tuple_ref", tuple_ref as *const c_void)
        .pointer("tuple_unref", tuple_unref as *const c_void)
        .function("tuple_prepare", lua_tuple_prepare)
        .function("tuple_new", lua_tuple_new)
        .function("tuple_decode_field", lua_tuple_decode_field)
        .function("tuple_field_by_path", lua_tuple_field_by_path)
        .function("tuple_field_names", lua_tuple_field_names)
        .function("tuple_totable", lua_tuple_totable)
        .function("tuple_tomap", lua_tuple_tomap)
        .function("tuple_tostring", lua_tuple_tostring)
        .function("tuple_update", lua_tuple_update)
        .function("tuple_upsert", lua_tuple_upsert)
        .function("tuple_transform", lua_tuple_transform)
        .function("tuple_info", lua_tuple_info)
        .function("tuple_format", lua_tuple_format)
}

/// `prepare(ctype id)`: the id of `struct tuple`, and how serializers write one.
fn lua_tuple_prepare(cx: Context<'_>) -> Result<usize> {
    let id = cx.check_integer(1)? as CtypeId;
    TYPE_ID.set(id);
    serializer::register_cdata(
        id,
        CdataCodec {
            encode: |_, _, cdata, out, _| {
                if let Some(tuple) = LuaTuple::read(cdata) {
                    tuple_extension::write(tuple, out);
                }
                Ok(())
            },
            text: None,
            is_binary: false,
        },
    );
    serializer::register_ext(mp::EXT_TUPLE, tuple_extension::push);
    Ok(0)
}

/// `new(value[, format])`: a tuple of an array, a tuple or one value.
fn lua_tuple_new(cx: Context<'_>) -> Result<usize> {
    let data = encode_tuple(cx, 1)?;
    let format = if cx.is_null(2) { Format::runtime() } else { check_format(cx, 2)? };
    set_result(Some(Tuple::new(format, &data)?));
    Ok(0)
}

/// The format of a Lua table of field definitions.
fn check_format(cx: Context<'_>, index: i32) -> Result<&'static Format> {
    let bytes = encode_array(cx, index)?;
    let fields: Vec<FieldDef> = FieldDef::decode_all(&bytes)?;
    Format::new(&FormatDef { fields, field_count: 0 }, &[])
}

/// Pushes the value of a field that FFI found to be of another kind.
fn lua_tuple_decode_field(cx: Context<'_>) -> Result<usize> {
    let tuple = LuaTuple::check(cx, 1, "tuple[field]")?;
    let number = cx.check_integer(2)?;
    match u32::try_from(number).ok().and_then(|number| tuple.field(number)) {
        Some(data) => {
            serializer::push(cx, data, &Config::DEFAULT)?;
        }
        None => cx.push_nil(),
    }
    Ok(1)
}

fn lua_tuple_field_by_path(cx: Context<'_>) -> Result<usize> {
    let tuple = LuaTuple::check(cx, 1, "tuple['field_name']")?;
    match cx.text(2).and_then(|path| tuple.field_by_path(path)) {
        Some(data) => {
            serializer::push(cx, data, &Config::DEFAULT)?;
        }
        None => cx.push_nil(),
    }
    Ok(1)
}

/// `field_names(format id)`: name → number (from 0).
fn lua_tuple_field_names(cx: Context<'_>) -> Result<usize> {
    let id = u16::try_from(cx.check_integer(1)?).unwrap_or(0);
    let fields = Format::by_id(id).shown().fields();
    cx.new_table(0, fields.len());
    for (number, field) in fields.iter().enumerate() {
        cx.push_integer(number as i64);
        cx.raw_set_field(-2, &field.name);
    }
    Ok(1)
}

/// `totable(tuple, from, to)`: fields by number from 1, both ends included.
fn lua_tuple_totable(cx: Context<'_>) -> Result<usize> {
    let tuple = LuaTuple::check(cx, 1, "tuple:totable([from[, to]])")?;
    let from = cx.opt_integer(2, 1)?;
    let to = cx.opt_integer(3, i64::from(u32::MAX))?;
    if from < 1 {
        return Err(Error::new(Type::Luajit, "tuple.totable: invalid second argument"));
    }
    if to <= 0 {
        return Err(Error::new(Type::Luajit, "tuple.totable: invalid third argument"));
    }
    let count = (to.min(i64::from(tuple.field_count())) - from + 1).max(0);
    cx.new_table(count as usize, 0);
    let skipped = (from - 1) as usize;
    for (number, data) in (1..).zip(tuple.fields().skip(skipped).take(count as usize)) {
        serializer::push(cx, data, &Config::DEFAULT)?;
        cx.raw_set_index(-2, number);
    }
    serializer::push_array_hint(cx);
    cx.set_metatable(-2);
    Ok(1)
}

/// `tomap(tuple, names only)`: fields by name, and by number unless only names are wanted.
fn lua_tuple_tomap(cx: Context<'_>) -> Result<usize> {
    let tuple = LuaTuple::check(cx, 1, "tuple:tomap(opts)")?;
    let names_only = cx.boolean(2);
    cx.new_table(0, tuple.field_count() as usize);
    let format = tuple.format().shown();
    for (number, data) in tuple.fields().enumerate() {
        let name = format.field_name(number as u32);
        if name.is_none() && names_only {
            continue;
        }
        serializer::push(cx, data, &Config::DEFAULT)?;
        if let Some(name) = name {
            cx.push_value(-1);
            cx.raw_set_field(-3, name);
        }
        if names_only {
            cx.pop(1);
        } else {
            cx.raw_set_index(-2, number as i32 + 1);
        }
    }
    Ok(1)
}

fn lua_tuple_tostring(cx: Context<'_>) -> Result<usize> {
    let tuple = LuaTuple::check(cx, 1, "tostring(tuple)")?;
    cx.push_bytes(mp::text(tuple.data()));
    Ok(1)
}

fn lua_tuple_update(cx: Context<'_>) -> Result<usize> {
    const USAGE: &str = "tuple:update({ { op, field, arg}+ })";
    let tuple = LuaTuple::check(cx, 1, USAGE)?;
    if cx.kind(2) != Kind::Table {
        return Err(Error::new(Type::Luajit, format!("Usage: {USAGE}")));
    }
    let operations = encode_array(cx, 2)?;
    let data = update::update(tuple, &operations, tuple.format().shown(), 1)?;
    set_result(Some(Tuple::new(tuple.format(), &data)?));
    Ok(0)
}

fn lua_tuple_upsert(cx: Context<'_>) -> Result<usize> {
    const USAGE: &str = "tuple:upsert({ { op, field, arg}+ })";
    let tuple = LuaTuple::check(cx, 1, USAGE)?;
    if cx.kind(2) != Kind::Table {
        return Err(Error::new(Type::Luajit, format!("Usage: {USAGE}")));
    }
    let operations = encode_array(cx, 2)?;
    let data = update::upsert(tuple.data(), &operations, tuple.format().shown(), 1, |error| {
        tracing::error!("UPSERT operation failed: {error}");
    })?;
    set_result(Some(Tuple::new(tuple.format(), &data)?));
    Ok(0)
}

/// `transform(tuple, start, remove count, ...)`: fields replaced by others.
fn lua_tuple_transform(cx: Context<'_>) -> Result<usize> {
    let usage = "tuple:transform(start, count, ...)";
    let tuple = LuaTuple::check(cx, 1, usage)?;
    let count = i64::from(tuple.field_count());
    let mut start = cx.check_integer(2)?;
    if start == 0 || start < -count || start > count + 1 {
        return Err(client_error!(ER_NO_SUCH_FIELD_NO, start));
    }
    // From the end, or from the first field on.
    start = if start < 0 { start + count } else { start - 1 };
    let removed = cx.opt_integer(3, 0)?;
    if removed < 0 {
        return Err(Error::new(Type::Luajit, "tuple.transform(): len is negative"));
    }
    let removed = removed.min(count - start);
    let added = i64::from(cx.top() - 3).max(0);
    let mut data = Buffer::take();
    mp::write_array_len(&mut data, u32::try_from(count - removed + added).unwrap_or(0));
    for (number, field) in (0..).zip(tuple.fields()) {
        if number == start {
            append_arguments(cx, &mut data)?;
        }
        if !(start..start + removed).contains(&number) {
            data.extend_from_slice(field);
        }
    }
    if start == count {
        append_arguments(cx, &mut data)?;
    }
    set_result(Some(Tuple::new_runtime(&data)?));
    Ok(0)
}

fn append_arguments(cx: Context<'_>, data: &mut Vec<u8>) -> Result<()> {
    for index in 4..=cx.top() {
        serializer::encode(cx, index, data, &Config::DEFAULT)?;
    }
    Ok(())
}

/// `info(tuple)`: sizes of its parts.
fn lua_tuple_info(cx: Context<'_>) -> Result<usize> {
    let tuple = LuaTuple::check(cx, 1, "tuple:info()")?;
    let image = tuple.image_size();
    let map = image - 8 - tuple.bsize();
    cx.new_table(0, 5);
    for (name, size) in [
        ("data_size", tuple.bsize()),
        ("header_size", 8),
        ("field_map_size", map),
        ("waste_size", 0),
    ] {
        cx.push_integer(size as i64);
        cx.raw_set_field(-2, name);
    }
    cx.push_bytes(if tuple.format_id() == Format::RUNTIME_ID { "runtime" } else { "memtx" });
    cx.raw_set_field(-2, "arena");
    Ok(1)
}

/// `format(tuple)`: the fields of its format.
fn lua_tuple_format(cx: Context<'_>) -> Result<usize> {
    let tuple = LuaTuple::check(cx, 1, "tuple:format()")?;
    push_format(cx, tuple.format().shown());
    Ok(1)
}

/// Pushes the named fields of a format as `box.space.x:format()` shows them.
pub(super) fn push_format(cx: Context<'_>, format: &Format) {
    cx.new_table(format.fields().len(), 0);
    for (number, field) in (1..).zip(format.fields()) {
        cx.new_table(0, 4);
        cx.push_bytes(field.name.as_bytes());
        cx.raw_set_field(-2, "name");
        cx.push_bytes(field.kind.name());
        cx.raw_set_field(-2, "type");
        if field.is_nullable {
            cx.push_boolean(true);
            cx.raw_set_field(-2, "is_nullable");
        }
        cx.raw_set_index(-2, number);
    }
}
