//! The native half of `errno`: the numbers of errors on this system.
//!
//! # Yields
//! never

use crate::base::error::Result;
use crate::lua::Context;

macro_rules! numbers {
    ($($name:ident)*) => {
        &[$((stringify!($name), libc::$name)),*]
    };
}

const NUMBERS: &[(&str, i32)] = numbers! {
    E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF EBADMSG EBUSY
    ECANCELED ECHILD ECONNABORTED ECONNREFUSED ECONNRESET EDEADLK EDESTADDRREQ EDOM EDQUOT EEXIST
    EFAULT EFBIG EHOSTUNREACH EIDRM EILSEQ EINPROGRESS EINTR EINVAL EIO EISCONN EISDIR ELOOP
    EMFILE EMLINK EMSGSIZE EMULTIHOP ENAMETOOLONG ENETDOWN ENETRESET ENETUNREACH ENFILE ENOBUFS
    ENODATA ENODEV ENOENT ENOEXEC ENOLCK ENOLINK ENOMEM ENOMSG ENOPROTOOPT ENOSPC ENOSR ENOSTR
    ENOSYS ENOTCONN ENOTDIR ENOTEMPTY ENOTSOCK ENOTSUP ENOTTY ENXIO EOPNOTSUPP EOVERFLOW EPERM
    EPIPE EPROTO EPROTONOSUPPORT EPROTOTYPE ERANGE EROFS ESPIPE ESRCH ESTALE ETIME ETIMEDOUT
    ETXTBSY EWOULDBLOCK EXDEV
};

/// Pushes a table of the numbers by name.
pub fn open(cx: Context<'_>) -> Result<()> {
    cx.new_table(0, NUMBERS.len());
    for (name, number) in NUMBERS {
        cx.push_integer(i64::from(*number));
        cx.raw_set_field(-2, name);
    }
    Ok(())
}

/// Sets `errno` of the thread, which Lua code reads after a call that failed.
pub(super) fn set(number: i32) {
    // SAFETY: the address of the thread's own `errno`.
    unsafe { *libc::__errno_location() = number };
}

/// Sets `errno` to that of an I/O error.
pub(super) fn set_from(error: &std::io::Error) {
    set(error.raw_os_error().unwrap_or(libc::EIO));
}
