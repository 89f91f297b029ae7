//! What a Rust function called from Lua sees: its arguments and a stack to push results on.
//!
//! Indexes are Lua's: 1 is the first argument, -1 the value pushed last. Methods named `raw_*`
//! ignore metatables. A method that pushes says so; whoever pushes more than about 20 values calls
//! [`Context::reserve`] first.
//!
//! # Yields
//! `call` when the called Lua code does; nothing else

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;

use mlua::ffi;

use super::{cdata, error};
use crate::base::error::{Error, Result, Type};

/// The type of a Lua value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Lua's")]
pub enum Kind {
    None,
    Nil,
    Boolean,
    LightUserdata,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
    Cdata,
}

impl Kind {
    /// The word `type()` returns.
    pub fn name(self) -> &'static str {
        match self {
            Kind::None => "no value",
            Kind::Nil => "nil",
            Kind::Boolean => "boolean",
            Kind::LightUserdata | Kind::Userdata => "userdata",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Table => "table",
            Kind::Function => "function",
            Kind::Thread => "thread",
            Kind::Cdata => "cdata",
        }
    }
}

/// A value kept alive in the registry until it is released.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference(c_int);

impl Reference {
    /// The number, for a foreign owner.
    pub fn into_raw(self) -> i32 {
        self.0
    }

    /// Takes a number back.
    pub fn from_raw(raw: i32) -> Reference {
        Reference(raw)
    }
}

/// The Lua side of one call.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub(super) state: *mut ffi::lua_State,
    life: PhantomData<&'a ()>,
}

// Every method below calls the Lua API with `self.state`, which is the running thread for as long
// as the context lives (the constructor's contract), and with the stack room that the caller has.
macro_rules! api {
    ($call:expr) => {{
        // SAFETY: the state is live and runs on this thread for the life of the context.
        unsafe { $call }
    }};
}

impl<'a> Context<'a> {
    /// The context of a running thread.
    ///
    /// # Safety
    /// `state` stays valid and is used only on this OS thread for the life `'a`.
    pub(crate) unsafe fn new(state: *mut ffi::lua_State) -> Context<'a> {
        Context { state, life: PhantomData }
    }

    /// The raw thread, for the hot paths that this layer does not cover.
    pub(crate) fn state(self) -> *mut ffi::lua_State {
        self.state
    }

    // ---- looking at values

    /// Index of the last value: the number of arguments when nothing was pushed yet.
    pub fn top(self) -> i32 {
        api!(ffi::lua_gettop(self.state))
    }

    /// Cuts or fills (with nil) the stack to this many values.
    pub fn set_top(self, top: i32) {
        api!(ffi::lua_settop(self.state, top));
    }

    /// Drops the last values.
    pub fn pop(self, count: i32) {
        self.set_top(-count - 1);
    }

    /// Makes room for that many more values, or fails with "stack overflow".
    pub fn reserve(self, count: i32) -> Result<()> {
        if api!(ffi::lua_checkstack(self.state, count)) == 0 {
            return Err(Error::new(Type::Luajit, "stack overflow"));
        }
        Ok(())
    }

    /// The index counted from the bottom, which stays right when values are pushed.
    pub fn absolute(self, index: i32) -> i32 {
        if index < 0 && index > ffi::LUA_REGISTRYINDEX { self.top() + index + 1 } else { index }
    }

    /// The type of a value.
    pub fn kind(self, index: i32) -> Kind {
        match api!(ffi::lua_type(self.state, index)) {
            ffi::LUA_TNIL => Kind::Nil,
            ffi::LUA_TBOOLEAN => Kind::Boolean,
            ffi::LUA_TLIGHTUSERDATA => Kind::LightUserdata,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::String,
            ffi::LUA_TTABLE => Kind::Table,
            ffi::LUA_TFUNCTION => Kind::Function,
            ffi::LUA_TUSERDATA => Kind::Userdata,
            ffi::LUA_TTHREAD => Kind::Thread,
            ffi::LUA_TCDATA => Kind::Cdata,
            _ => Kind::None,
        }
    }

    /// Whether it is nil or not there. `box.NULL` is not nil here; see [`Context::is_null`].
    pub fn is_nil(self, index: i32) -> bool {
        matches!(self.kind(index), Kind::Nil | Kind::None)
    }

    /// Whether it is nil, not there, or a null pointer such as `box.NULL`.
    pub fn is_null(self, index: i32) -> bool {
        match self.kind(index) {
            Kind::Nil | Kind::None => true,
            Kind::Cdata => self.cdata(index).is_some_and(|cdata| cdata.is_null()),
            _ => false,
        }
    }

    /// Its truth by Lua's rule.
    pub fn boolean(self, index: i32) -> bool {
        api!(ffi::lua_toboolean(self.state, index)) != 0
    }

    /// A number, of a number only (strings are not converted).
    pub fn number(self, index: i32) -> Option<f64> {
        (self.kind(index) == Kind::Number).then(|| api!(ffi::lua_tonumber(self.state, index)))
    }

    /// An integer of a number without a fraction, or of an int64/uint64 cdata that fits.
    pub fn integer(self, index: i32) -> Option<i64> {
        match self.kind(index) {
            Kind::Number => {
                let number = api!(ffi::lua_tonumber(self.state, index));
                let integer = number as i64;
                (integer as f64 == number && number < 9_223_372_036_854_775_808.0)
                    .then_some(integer)
            }
            Kind::Cdata => self.cdata(index)?.integer(),
            _ => None,
        }
    }

    /// The bytes of a string, of a string only. They stay valid as long as the value is on the
    /// stack, which arguments are for the whole call.
    pub fn bytes(self, index: i32) -> Option<&'a [u8]> {
        (self.kind(index) == Kind::String).then(|| self.string_bytes(index))
    }

    /// The bytes of a value that is known to be a string.
    fn string_bytes(self, index: i32) -> &'a [u8] {
        let mut size = 0;
        let start = api!(ffi::lua_tolstring(self.state, index, &raw mut size));
        // SAFETY: Lua strings do not move, and the value is on the stack (contract above).
        unsafe { std::slice::from_raw_parts(start.cast(), size) }
    }

    /// The text of a string that is valid UTF-8.
    pub fn text(self, index: i32) -> Option<&'a str> {
        std::str::from_utf8(self.bytes(index)?).ok()
    }

    /// A cdata value.
    pub fn cdata(self, index: i32) -> Option<cdata::Cdata<'a>> {
        (self.kind(index) == Kind::Cdata).then(|| {
            let payload = api!(ffi::lua_topointer(self.state, index));
            // SAFETY: LuaJIT returns the payload of a cdata, and the value is on the stack.
            unsafe { cdata::Cdata::new(payload) }
        })
    }

    /// The address of a userdata or light userdata.
    pub fn userdata(self, index: i32) -> *mut c_void {
        api!(ffi::lua_touserdata(self.state, index))
    }

    /// The index of the value that the running function is bound to.
    pub fn bound(self) -> i32 {
        ffi::lua_upvalueindex(1)
    }

    /// Pushes a userdata that holds a value, which is never dropped; returns its address.
    pub fn new_userdata<T: Copy>(self, value: T) -> *mut T {
        const { assert!(align_of::<T>() <= 8, "LuaJIT aligns userdata to 8 bytes") };
        let address = api!(ffi::lua_newuserdata(self.state, size_of::<T>())).cast::<T>();
        // SAFETY: fresh memory of that size and alignment.
        unsafe { address.write(value) };
        address
    }

    /// Pushes the environment of a function or userdata.
    pub fn environment(self, index: i32) {
        api!(ffi::lua_getfenv(self.state, index));
    }

    /// Makes the table on top, which it pops, the environment of a function or userdata.
    pub fn set_environment(self, index: i32) {
        api!(ffi::lua_setfenv(self.state, index));
    }

    /// An address that identifies a table, function, thread or userdata.
    pub fn pointer(self, index: i32) -> *const c_void {
        api!(ffi::lua_topointer(self.state, index))
    }

    /// Length of a string or array, ignoring metatables.
    pub fn raw_len(self, index: i32) -> usize {
        api!(ffi::lua_objlen(self.state, index))
    }

    /// Whether two values are the same, ignoring metatables.
    pub fn raw_equal(self, first: i32, second: i32) -> bool {
        api!(ffi::lua_rawequal(self.state, first, second)) != 0
    }

    // ---- arguments

    /// An argument that must be a number (or a string that looks like one, by Lua's rule).
    pub fn check_number(self, index: i32) -> Result<f64> {
        match self.kind(index) {
            Kind::Number => Ok(api!(ffi::lua_tonumber(self.state, index))),
            Kind::String if api!(ffi::lua_isnumber(self.state, index)) != 0 => {
                Ok(api!(ffi::lua_tonumber(self.state, index)))
            }
            Kind::Cdata if self.integer(index).is_some() => {
                Ok(self.integer(index).unwrap_or(0) as f64)
            }
            _ => Err(self.bad_argument_type(index, "number")),
        }
    }

    /// An argument that must be an integer number.
    pub fn check_integer(self, index: i32) -> Result<i64> {
        match self.integer(index) {
            Some(integer) => Ok(integer),
            None => Ok(self.check_number(index)? as i64),
        }
    }

    /// An argument that must be a string (numbers are not converted).
    pub fn check_bytes(self, index: i32) -> Result<&'a [u8]> {
        self.bytes(index).ok_or_else(|| self.bad_argument_type(index, "string"))
    }

    /// An argument that must be a string of valid UTF-8.
    pub fn check_text(self, index: i32) -> Result<&'a str> {
        let bytes = self.check_bytes(index)?;
        std::str::from_utf8(bytes)
            .map_err(|_| self.bad_argument(index, "a string of valid UTF-8 expected"))
    }

    /// An argument that must be of this type.
    pub fn check_kind(self, index: i32, kind: Kind) -> Result<()> {
        if self.kind(index) == kind {
            Ok(())
        } else {
            Err(self.bad_argument_type(index, kind.name()))
        }
    }

    /// A number, or the default when the argument is absent or null.
    pub fn opt_number(self, index: i32, default: f64) -> Result<f64> {
        if self.is_null(index) { Ok(default) } else { self.check_number(index) }
    }

    /// An integer, or the default when the argument is absent or null.
    pub fn opt_integer(self, index: i32, default: i64) -> Result<i64> {
        if self.is_null(index) { Ok(default) } else { self.check_integer(index) }
    }

    /// A string, or `None` when the argument is absent or null.
    pub fn opt_bytes(self, index: i32) -> Result<Option<&'a [u8]>> {
        if self.is_null(index) { Ok(None) } else { self.check_bytes(index).map(Some) }
    }

    /// "bad argument #i to 'function' (…)", as Lua's own library words it.
    pub fn bad_argument(self, index: i32, problem: &str) -> Error {
        let name = self.function_name();
        Error::new(Type::Luajit, format!("bad argument #{index} to '{name}' ({problem})"))
    }

    fn bad_argument_type(self, index: i32, expected: &str) -> Error {
        let got = self.kind(index).name();
        self.bad_argument(index, &format!("{expected} expected, got {got}"))
    }

    /// The name by which Lua called the running function.
    fn function_name(self) -> String {
        // SAFETY: a zeroed lua_Debug is a valid output buffer; level 0 is the running function.
        unsafe {
            let mut info: ffi::lua_Debug = std::mem::zeroed();
            if ffi::lua_getstack(self.state, 0, &raw mut info) != 0
                && ffi::lua_getinfo(self.state, c"n".as_ptr(), &raw mut info) != 0
                && !info.name.is_null()
            {
                return std::ffi::CStr::from_ptr(info.name).to_string_lossy().into_owned();
            }
        }
        "?".to_owned()
    }

    // ---- pushing

    /// Pushes nil.
    pub fn push_nil(self) {
        api!(ffi::lua_pushnil(self.state));
    }

    /// Pushes a boolean.
    pub fn push_boolean(self, value: bool) {
        api!(ffi::lua_pushboolean(self.state, c_int::from(value)));
    }

    /// Pushes a number.
    pub fn push_number(self, value: f64) {
        api!(ffi::lua_pushnumber(self.state, value));
    }

    /// Pushes an integer as a number, which must be exact (below 2^53).
    pub fn push_integer(self, value: i64) {
        api!(ffi::lua_pushnumber(self.state, value as f64));
    }

    /// Pushes a string.
    pub fn push_bytes(self, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        api!(ffi::lua_pushlstring_(self.state, value.as_ptr().cast(), value.len()));
    }

    /// Pushes an integer: a number when it is exact (below 10^14, Tarantool's bound), else cdata.
    pub fn push_int64(self, value: i64) {
        if value.unsigned_abs() < 100_000_000_000_000 {
            self.push_integer(value);
        } else {
            cdata::push_int64(self, value);
        }
    }

    /// As [`Context::push_int64`] for unsigned ones.
    pub fn push_uint64(self, value: u64) {
        if value < 100_000_000_000_000 {
            self.push_number(value as f64);
        } else {
            cdata::push_uint64(self, value);
        }
    }

    /// Pushes an `int64_t` cdata whatever its size.
    pub fn push_int64_cdata(self, value: i64) {
        cdata::push_int64(self, value);
    }

    /// Pushes a `uint64_t` cdata whatever its size.
    pub fn push_uint64_cdata(self, value: u64) {
        cdata::push_uint64(self, value);
    }

    /// Pushes `box.NULL`.
    pub fn push_null(self) {
        cdata::push_null(self);
    }

    /// Pushes an error object.
    pub fn push_error(self, value: Error) {
        error::push(self, value);
    }

    /// Pushes a light userdata: an address.
    #[expect(clippy::not_unsafe_ptr_arg_deref, reason = "the address is only stored")]
    pub fn push_pointer(self, value: *mut c_void) {
        api!(ffi::lua_pushlightuserdata(self.state, value));
    }

    /// Pushes a copy of a value.
    pub fn push_value(self, index: i32) {
        api!(ffi::lua_pushvalue(self.state, index));
    }

    /// Moves the last value below the ones from `index` on.
    pub fn insert(self, index: i32) {
        api!(ffi::lua_insert(self.state, index));
    }

    /// Takes the last value and puts it in the place of another.
    pub fn replace(self, index: i32) {
        api!(ffi::lua_replace(self.state, index));
    }

    /// Takes a value out.
    pub fn remove(self, index: i32) {
        api!(ffi::lua_remove(self.state, index));
    }

    /// The error object at `index`, if it is one.
    pub fn error(self, index: i32) -> Option<Error> {
        error::get(self, index)
    }

    /// Converts any raised value to an error, as Tarantool does: not an error object → LuajitError.
    pub fn to_error(self, index: i32) -> Error {
        error::from_value(self, index)
    }

    // ---- tables

    /// Pushes a new table with room for that many items and fields.
    pub fn new_table(self, array_count: usize, record_count: usize) {
        let bound = |count: usize| c_int::try_from(count).unwrap_or(c_int::MAX).min(1 << 20);
        api!(ffi::lua_createtable(self.state, bound(array_count), bound(record_count)));
    }

    /// Pushes `table[number]`.
    pub fn raw_get_index(self, table: i32, number: i32) {
        api!(ffi::lua_rawgeti_(self.state, table, number));
    }

    /// `table[number] = last value`, which it pops.
    pub fn raw_set_index(self, table: i32, number: i32) {
        api!(ffi::lua_rawseti_(self.state, table, number));
    }

    /// Pushes `table[name]` and returns its type.
    pub fn raw_get_field(self, table: i32, name: &str) -> Kind {
        let table = self.absolute(table);
        self.push_bytes(name);
        api!(ffi::lua_rawget_(self.state, table));
        self.kind(-1)
    }

    /// Whether `table[name]` is true, as Lua takes it.
    pub fn raw_boolean_field(self, table: i32, name: &str) -> bool {
        self.raw_get_field(table, name);
        let is_true = self.boolean(-1);
        self.pop(1);
        is_true
    }

    /// `table[name] = last value`, which it pops.
    pub fn raw_set_field(self, table: i32, name: &str) {
        let table = self.absolute(table);
        self.push_bytes(name);
        self.insert(-2);
        api!(ffi::lua_rawset(self.state, table));
    }

    /// Replaces the key on top by `table[key]`.
    pub fn raw_get(self, table: i32) {
        api!(ffi::lua_rawget_(self.state, table));
    }

    /// `table[key] = value`, the last two, which it pops.
    pub fn raw_set(self, table: i32) {
        api!(ffi::lua_rawset(self.state, table));
    }

    /// Replaces the key on top by the next key and value; false (and nothing pushed): the end.
    /// Start with nil as the key.
    pub fn next(self, table: i32) -> bool {
        api!(ffi::lua_next(self.state, table)) != 0
    }

    /// Pushes the metatable; false (and nothing pushed): there is none.
    pub fn metatable(self, index: i32) -> bool {
        api!(ffi::lua_getmetatable(self.state, index)) != 0
    }

    /// Whether there is a metatable.
    pub fn has_metatable(self, index: i32) -> bool {
        let has = self.metatable(index);
        if has {
            self.pop(1);
        }
        has
    }

    /// Pushes `value[name]`, metamethods included: it may raise and call Lua.
    pub fn get_field(self, index: i32, name: &str) {
        let index = self.absolute(index);
        self.push_bytes(name);
        api!(ffi::lua_gettable_(self.state, index));
    }

    /// Replaces the key on top by `value[key]`, metamethods included: it may raise and call Lua.
    pub fn get_value(self, index: i32) {
        let index = self.absolute(index);
        api!(ffi::lua_gettable_(self.state, index));
    }

    /// Replaces the name on top by the global variable, metamethods included.
    pub fn get_global_value(self) {
        api!(ffi::lua_gettable_(self.state, ffi::LUA_GLOBALSINDEX));
    }

    /// Sets the metatable of a value to the last value, which it pops.
    pub fn set_metatable(self, index: i32) {
        api!(ffi::lua_setmetatable(self.state, index));
    }

    /// Pushes the field of the metatable; false (and nothing pushed): there is none.
    pub fn meta_field(self, index: i32, name: &str) -> bool {
        if !self.metatable(index) {
            return false;
        }
        if self.raw_get_field(-1, name) == Kind::Nil {
            self.pop(2);
            return false;
        }
        self.remove(-2);
        true
    }

    /// Pushes a global variable.
    pub fn get_global(self, name: &str) -> Kind {
        self.push_bytes(name);
        api!(ffi::lua_rawget_(self.state, ffi::LUA_GLOBALSINDEX));
        self.kind(-1)
    }

    /// Sets a global variable to the last value, which it pops.
    pub fn set_global(self, name: &str) {
        self.raw_set_field(ffi::LUA_GLOBALSINDEX, name);
    }

    // ---- references

    /// Takes the last value off the stack and keeps it.
    pub fn reference(self) -> Reference {
        Reference(api!(ffi::luaL_ref(self.state, ffi::LUA_REGISTRYINDEX)))
    }

    /// Pushes a kept value.
    pub fn push_reference(self, reference: &Reference) {
        api!(ffi::lua_rawgeti_(self.state, ffi::LUA_REGISTRYINDEX, reference.0));
    }

    /// Lets go of a kept value.
    pub fn release(self, reference: Reference) {
        api!(ffi::luaL_unref(self.state, ffi::LUA_REGISTRYINDEX, reference.0));
    }

    // ---- calling

    /// Calls the function below its `argument_count` arguments and replaces them by
    /// `result_count` results (-1: all). Errors come back, with the stack as before the function
    /// was pushed. Yields when the function does.
    pub fn call(self, argument_count: i32, result_count: i32) -> Result<()> {
        let base = self.top() - argument_count - 1;
        let status = api!(ffi::lua_pcall(self.state, argument_count, result_count, 0));
        if status == ffi::LUA_OK {
            return Ok(());
        }
        let error = self.to_error(-1);
        self.set_top(base);
        Err(error)
    }

    /// As [`Context::call`], for functions that must not be caught: an error goes up through the
    /// caller. Only for a Rust function that holds nothing.
    pub fn call_through(self, argument_count: i32, result_count: i32) {
        api!(ffi::lua_call(self.state, argument_count, result_count));
    }

    /// Compiles a chunk and pushes it as a function.
    pub fn load(self, source: &[u8], chunk_name: &str) -> Result<()> {
        let name = std::ffi::CString::new(chunk_name)
            .map_err(|_| Error::illegal_params("a chunk name must not contain a zero byte"))?;
        let status = api!(ffi::luaL_loadbuffer(
            self.state,
            source.as_ptr().cast(),
            source.len(),
            name.as_ptr()
        ));
        if status == ffi::LUA_OK {
            return Ok(());
        }
        let error = self.to_error(-1);
        self.pop(1);
        Err(error)
    }

    /// The text `tostring(value)` gives.
    pub fn to_text(self, index: i32) -> Result<String> {
        let index = self.absolute(index);
        self.get_global("tostring");
        self.push_value(index);
        self.call(1, 1)?;
        let text = self.bytes(-1).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        self.pop(1);
        text.ok_or_else(|| Error::new(Type::Luajit, "'tostring' must return a string"))
    }

    /// The traceback of the running thread, below `message`.
    pub fn traceback(self, message: &str, level: i32) -> String {
        let message = std::ffi::CString::new(message.replace('\0', "?")).unwrap_or_default();
        api!(ffi::luaL_traceback(self.state, self.state, message.as_ptr(), level));
        let text = String::from_utf8_lossy(self.string_bytes(-1)).into_owned();
        self.pop(1);
        text
    }

    /// Source file and line of the Lua function at `level` (1: the caller of this Rust function).
    pub fn place(self, level: i32) -> Option<(String, u32)> {
        // SAFETY: a zeroed lua_Debug is a valid output buffer.
        unsafe {
            let mut info: ffi::lua_Debug = std::mem::zeroed();
            if ffi::lua_getstack(self.state, level, &raw mut info) == 0
                || ffi::lua_getinfo(self.state, c"Sl".as_ptr(), &raw mut info) == 0
                || info.currentline < 0
            {
                return None;
            }
            let source = std::ffi::CStr::from_ptr(info.source).to_string_lossy();
            let source = source.strip_prefix(['@', '=']).unwrap_or("eval").to_owned();
            Some((source, u32::try_from(info.currentline).unwrap_or(0)))
        }
    }
}
