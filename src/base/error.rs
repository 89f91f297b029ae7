//! The error that every layer returns and that Lua and the network see: type, code, message,
//! payload, place and cause.
//!
//! An `Error` is a counted pointer: cheap to move through `Result`, to keep as the reason of a
//! failed transaction and to hand to Lua, which shows it as a `struct error` cdata. It is `Send`,
//! because the WAL and the blocking pool report failures from their threads.
//!
//! # Yields
//! never

use std::fmt;
use std::sync::{Arc, Mutex};

use super::error_code::{self, Code};

/// What most functions of the crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The class of an error, shown to Lua as `err.type` and `err.base_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Has a code of the table in `error_code`.
    Client,
    /// Access was denied: a client error with the fields object_type, object_name, access_type.
    AccessDenied,
    /// A client error of an installation's own type (`box.error.new('MyType', …)`).
    Custom,
    /// Damage in an `.xlog` or `.snap` file.
    Xlog,
    /// An operating-system call failed; `errno` is set.
    System,
    /// A system error of a socket.
    Socket,
    /// Memory or a quota ran out.
    OutOfMemory,
    /// Raised by Lua code that raised something else than an error object.
    Luajit,
    /// A caller broke the contract of a function.
    IllegalParams,
    /// A wait ran out of time.
    TimedOut,
    /// The fiber was cancelled.
    FiberIsCancelled,
    /// `fiber.join` on a fiber that is not joinable, and the like.
    FiberJoin,
    /// A channel was closed while waiting on it.
    ChannelIsClosed,
    /// The fiber ran longer than its slice.
    FiberSliceIsExceeded,
    /// A collation failed.
    Collation,
    /// An encoding conversion, TLS or HTTP failure with its own wording.
    Other(&'static str),
}

impl Type {
    /// The name that Lua and the error MessagePack extension show.
    pub fn name(self) -> &'static str {
        match self {
            Type::Client => "ClientError",
            Type::AccessDenied => "AccessDeniedError",
            Type::Custom => "CustomError",
            Type::Xlog => "XlogError",
            Type::System => "SystemError",
            Type::Socket => "SocketError",
            Type::OutOfMemory => "OutOfMemory",
            Type::Luajit => "LuajitError",
            Type::IllegalParams => "IllegalParams",
            Type::TimedOut => "TimedOut",
            Type::FiberIsCancelled => "FiberIsCancelled",
            Type::FiberJoin => "FiberJoinError",
            Type::ChannelIsClosed => "ChannelIsClosed",
            Type::FiberSliceIsExceeded => "FiberSliceIsExceeded",
            Type::Collation => "CollationError",
            Type::Other(name) => name,
        }
    }

    /// The type with this name; unknown names are `Other` and leak their (short) name once.
    pub fn by_name(name: &str) -> Type {
        const KNOWN: [Type; 15] = [
            Type::Client,
            Type::AccessDenied,
            Type::Custom,
            Type::Xlog,
            Type::System,
            Type::Socket,
            Type::OutOfMemory,
            Type::Luajit,
            Type::IllegalParams,
            Type::TimedOut,
            Type::FiberIsCancelled,
            Type::FiberJoin,
            Type::ChannelIsClosed,
            Type::FiberSliceIsExceeded,
            Type::Collation,
        ];
        KNOWN.into_iter().find(|known| known.name() == name).unwrap_or(Type::Client)
    }
}

/// A payload value. MessagePack carries tuples and other structured values.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    String(String),
    /// A signed number.
    Integer(i64),
    /// An unsigned number.
    Unsigned(u64),
    /// A floating point number.
    Double(f64),
    /// A boolean.
    Boolean(bool),
    /// Any value as MessagePack bytes.
    MessagePack(Vec<u8>),
}

/// An argument of an error message: how it prints and how it is kept as payload.
pub trait Argument {
    /// The text for the message.
    fn text(&self) -> String;
    /// The payload value.
    fn value(&self) -> Value;
}

macro_rules! argument {
    ($variant:ident, $as:ty: $($type:ty),*) => {
        $(impl Argument for $type {
            fn text(&self) -> String {
                self.to_string()
            }
            fn value(&self) -> Value {
                Value::$variant(self.clone() as $as)
            }
        })*
    };
}
argument!(Integer, i64: i8, i16, i32, i64, isize);
argument!(Unsigned, u64: u8, u16, u32, u64, usize);
argument!(Double, f64: f64);

impl Argument for char {
    fn text(&self) -> String {
        self.to_string()
    }
    fn value(&self) -> Value {
        Value::String(self.to_string())
    }
}

impl Argument for str {
    fn text(&self) -> String {
        self.to_owned()
    }
    fn value(&self) -> Value {
        Value::String(self.to_owned())
    }
}

impl Argument for String {
    fn text(&self) -> String {
        self.clone()
    }
    fn value(&self) -> Value {
        Value::String(self.clone())
    }
}

impl<T: Argument + ?Sized> Argument for &T {
    fn text(&self) -> String {
        (**self).text()
    }
    fn value(&self) -> Value {
        (**self).value()
    }
}

/// An error with everything that is known of it.
#[derive(Clone)]
pub struct Error(Arc<Body>);

struct Body {
    kind: Type,
    /// The name of a `Custom` error's type.
    custom_type: Option<String>,
    code: u32,
    message: String,
    place: Mutex<(String, u32)>,
    errno: i32,
    fields: Vec<(String, Value)>,
    cause: Mutex<Option<Error>>,
}

/// Makes a client error: `client_error!(ER_NO_SUCH_SPACE, name)`.
#[macro_export]
macro_rules! client_error {
    ($code:ident $(, $argument:expr)* $(,)?) => {
        $crate::base::error::Error::client(
            &$crate::base::error_code::$code,
            &[$(&$argument as &dyn $crate::base::error::Argument),*],
            file!(),
            line!(),
        )
    };
}

impl Error {
    /// A client error with this code; the arguments fill the code's message in order, and those
    /// past the message's specifiers are payload only. Use the macro [`client_error!`].
    pub fn client(
        code: &'static Code,
        arguments: &[&dyn Argument],
        file: &str,
        line: u32,
    ) -> Error {
        let message = format_message(code.format, arguments);
        let fields = code
            .fields
            .iter()
            .zip(arguments)
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, argument)| ((*name).to_owned(), argument.value()))
            .collect();
        Builder::new(Type::Client, message)
            .code(code.number)
            .fields(fields)
            .place(file, line)
            .build()
    }

    /// An error of this type with this message and no code.
    #[track_caller]
    pub fn new(kind: Type, message: impl Into<String>) -> Error {
        let place = std::panic::Location::caller();
        Builder::new(kind, message.into()).place(place.file(), place.line()).build()
    }

    /// `IllegalParams` with this message.
    #[track_caller]
    pub fn illegal_params(message: impl Into<String>) -> Error {
        let place = std::panic::Location::caller();
        Builder::new(Type::IllegalParams, message.into()).place(place.file(), place.line()).build()
    }

    /// `OutOfMemory` in Tarantool's wording.
    #[track_caller]
    pub fn out_of_memory(bytes: usize, allocator: &str, object: &str) -> Error {
        let message = format!("Failed to allocate {bytes} bytes in {allocator} for {object}");
        let place = std::panic::Location::caller();
        Builder::new(Type::OutOfMemory, message)
            .code(error_code::ER_MEMORY_ISSUE.number)
            .place(place.file(), place.line())
            .build()
    }

    /// `SystemError` from a failed operating-system call: "what: strerror".
    #[track_caller]
    pub fn system(what: &str, error: &std::io::Error) -> Error {
        let place = std::panic::Location::caller();
        Builder::new(Type::System, format!("{what}: {}", strerror(error)))
            .code(error_code::ER_SYSTEM.number)
            .errno(error.raw_os_error().unwrap_or(0))
            .place(place.file(), place.line())
            .build()
    }

    /// The class.
    pub fn kind(&self) -> Type {
        self.0.kind
    }

    /// The name of the class, the installation's own for custom errors.
    pub fn type_name(&self) -> &str {
        self.0.custom_type.as_deref().unwrap_or_else(|| self.0.kind.name())
    }

    /// The code, 0 where there is none.
    pub fn code(&self) -> u32 {
        self.0.code
    }

    /// Whether this is a client error with that code.
    pub fn is(&self, code: &Code) -> bool {
        self.0.code == code.number
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Source file where the error was made, empty when it is not known.
    pub fn file(&self) -> String {
        lock(&self.0.place).0.clone()
    }

    /// Line in [`Error::file`].
    pub fn line(&self) -> u32 {
        lock(&self.0.place).1
    }

    /// Says anew where the error was made: `box.error(error, level)` raises one from elsewhere.
    pub fn set_place(&self, file: &str, line: u32) {
        *lock(&self.0.place) = (file.to_owned(), line);
    }

    /// `errno` of the failed call, 0 where there is none.
    pub fn errno(&self) -> i32 {
        self.0.errno
    }

    /// The payload in order.
    pub fn fields(&self) -> &[(String, Value)] {
        &self.0.fields
    }

    /// The error that caused this one.
    pub fn cause(&self) -> Option<Error> {
        lock(&self.0.cause).clone()
    }

    /// Sets or clears the cause. Refuses a chain that would contain this error twice.
    pub fn set_cause(&self, cause: Option<Error>) -> Result<()> {
        let mut next = cause.clone();
        while let Some(error) = next {
            if Arc::ptr_eq(&error.0, &self.0) {
                return Err(Error::illegal_params("Cycles are not allowed"));
            }
            next = error.cause();
        }
        *lock(&self.0.cause) = cause;
        Ok(())
    }

    /// This error with `cause` as its cause.
    #[must_use]
    pub fn caused_by(self, cause: Error) -> Error {
        // A cycle is impossible: nobody else holds a fresh error; for a shared one it is kept as is.
        let _ = self.set_cause(Some(cause));
        self
    }

    /// Whether both are the same error object.
    pub fn same(&self, other: &Error) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Gives the reference away as a raw pointer, for a foreign owner such as a Lua cdata.
    pub fn into_raw(self) -> *const () {
        Arc::into_raw(self.0).cast()
    }

    /// Takes back what [`Error::into_raw`] gave away.
    ///
    /// # Safety
    /// `raw` comes from `into_raw` and is taken back once.
    pub unsafe fn from_raw(raw: *const ()) -> Error {
        // SAFETY: promised by the caller.
        Error(unsafe { Arc::from_raw(raw.cast()) })
    }

    /// Another reference to what `raw` points at, leaving that one in place.
    ///
    /// # Safety
    /// `raw` comes from `into_raw` and was not taken back yet.
    pub unsafe fn from_raw_shared(raw: *const ()) -> Error {
        // SAFETY: promised by the caller; the count covers the second owner.
        unsafe {
            Arc::increment_strong_count(raw.cast::<Body>());
            Error::from_raw(raw)
        }
    }
}

/// Builds an error whose parts are known separately (a decoded one, or `box.error.new{}`).
pub struct Builder(Body);

impl Builder {
    /// Starts with the class and the message.
    pub fn new(kind: Type, message: String) -> Builder {
        Builder(Body {
            kind,
            custom_type: None,
            code: 0,
            message,
            place: Mutex::default(),
            errno: 0,
            fields: Vec::new(),
            cause: Mutex::new(None),
        })
    }

    /// Sets the code.
    pub fn code(mut self, code: u32) -> Builder {
        self.0.code = code;
        self
    }

    /// Names the type of a custom error.
    pub fn custom_type(mut self, name: String) -> Builder {
        self.0.custom_type = Some(name);
        self
    }

    /// Sets where the error was made.
    pub fn place(mut self, file: &str, line: u32) -> Builder {
        self.0.place = Mutex::new((file.to_owned(), line));
        self
    }

    /// Sets the `errno`.
    pub fn errno(mut self, errno: i32) -> Builder {
        self.0.errno = errno;
        self
    }

    /// Sets the payload.
    pub fn fields(mut self, fields: Vec<(String, Value)>) -> Builder {
        self.0.fields = fields;
        self
    }

    /// The finished error.
    pub fn build(self) -> Error {
        Error(Arc::new(self.0))
    }
}

/// The text of an operating-system error without the "(os error N)" that `std` appends.
pub fn strerror(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Replaces each `%` specifier (`%s`, `%u`, `%llu`, `%c`, …) by the next argument; `%%` is `%`.
fn format_message(format: &str, arguments: &[&dyn Argument]) -> String {
    let mut message = String::with_capacity(format.len() + 32);
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        message.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            message.push('%');
            rest = after;
            continue;
        }
        rest = rest.trim_start_matches(['l', 'h', 'z']);
        rest = rest.get(1..).unwrap_or("");
        if let Some(argument) = arguments.next() {
            message.push_str(&argument.text());
        }
    }
    message.push_str(rest);
    message
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.type_name(), self.0.code, self.0.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_takes_arguments_in_order_and_keeps_named_ones_as_payload() {
        let error = client_error!(ER_CREATE_SPACE, "users", "no room");
        assert_eq!(error.message(), "Failed to create space 'users': no room");
        assert_eq!(error.code(), 9);
        assert_eq!(error.type_name(), "ClientError");
        assert_eq!(error.fields()[0], ("space".into(), Value::String("users".into())));
    }

    #[test]
    fn cause_chain_refuses_cycles() {
        let first = Error::illegal_params("a");
        let second = Error::illegal_params("b").caused_by(first.clone());
        assert!(first.set_cause(Some(second.clone())).is_err());
        assert!(second.cause().is_some_and(|cause| cause.same(&first)));
    }

    #[test]
    fn codes_are_sorted_by_number() {
        assert!(error_code::CODES.windows(2).all(|pair| pair[0].number < pair[1].number));
    }
}
