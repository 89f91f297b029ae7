//! The native half of `fio`: file system calls on the blocking pool.
//!
//! A call that fails returns nil (or false, where success is true) and an error object, and sets
//! `errno`.
//!
//! # Yields
//! every function that touches the file system

use std::ffi::{CString, OsStr};
use std::fs;
use std::io::{self, Error as IoError};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::errno;
use super::serializer::failure;
use crate::base::error::{Error, Result};
use crate::fiber;
use crate::lua::{Context, Kind, Module};

/// Pushes the functions and the tables of constants.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("open", lua_fio_open)
        .function("close", lua_fio_close)
        .function("read", lua_fio_read)
        .function("pread", lua_fio_pread)
        .function("write", lua_fio_write)
        .function("pwrite", lua_fio_pwrite)
        .function("lseek", lua_fio_lseek)
        .function("ftruncate", lua_fio_ftruncate)
        .function("fsync", lua_fio_fsync)
        .function("fdatasync", lua_fio_fdatasync)
        .function("fstat", lua_fio_fstat)
        .function("stat", lua_fio_stat)
        .function("lstat", lua_fio_lstat)
        .function("rename", lua_fio_rename)
        .function("unlink", lua_fio_unlink)
        .function("truncate", lua_fio_truncate)
        .function("chown", lua_fio_chown)
        .function("chmod", lua_fio_chmod)
        .function("mkdir", lua_fio_mkdir)
        .function("rmdir", lua_fio_rmdir)
        .function("listdir", lua_fio_listdir)
        .function("glob", lua_fio_glob)
        .function("link", lua_fio_link)
        .function("symlink", lua_fio_symlink)
        .function("readlink", lua_fio_readlink)
        .function("sync", lua_fio_sync)
        .function("tempdir", lua_fio_tempdir)
        .function("copyfile", lua_fio_copyfile)
        .function("utime", lua_fio_utime)
        .function("cwd", lua_fio_cwd)
        .function("chdir", lua_fio_chdir)
        .function("umask", lua_fio_umask);
    push_constants(cx, FLAGS);
    cx.raw_set_field(-2, "flag");
    push_constants(cx, MODES);
    cx.raw_set_field(-2, "mode");
    push_constants(cx, SEEKS);
    cx.raw_set_field(-2, "seek");
    Ok(())
}

macro_rules! constants {
    ($($name:ident)*) => {
        &[$((stringify!($name), libc::$name as i64)),*]
    };
}

const FLAGS: &[(&str, i64)] = constants! {
    O_APPEND O_ASYNC O_CLOEXEC O_CREAT O_DIRECT O_DIRECTORY O_EXCL O_LARGEFILE O_NOATIME O_NOCTTY
    O_NOFOLLOW O_NONBLOCK O_NDELAY O_PATH O_SYNC O_TMPFILE O_TRUNC O_RDONLY O_WRONLY O_RDWR
};

const MODES: &[(&str, i64)] = constants! {
    S_IRWXU S_IRUSR S_IWUSR S_IXUSR S_IRWXG S_IRGRP S_IWGRP S_IXGRP S_IRWXO S_IROTH S_IWOTH S_IXOTH
};

const SEEKS: &[(&str, i64)] = constants! { SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE };

fn push_constants(cx: Context<'_>, constants: &[(&str, i64)]) {
    cx.new_table(0, constants.len());
    for (name, value) in constants {
        cx.push_integer(*value);
        cx.raw_set_field(-2, name);
    }
}

fn push_failure(cx: Context<'_>, error: &IoError) -> Result<usize> {
    cx.push_error(Error::system("fio", error));
    errno::set_from(error);
    Ok(2)
}

/// `true`, or `false` and the error.
fn push_done(cx: Context<'_>, result: io::Result<()>) -> Result<usize> {
    cx.push_boolean(result.is_ok());
    match result {
        Ok(()) => Ok(1),
        Err(error) => push_failure(cx, &error),
    }
}

/// What `push` makes of the result, or nil and the error.
fn push_result<T>(cx: Context<'_>, result: io::Result<T>, push: impl FnOnce(T)) -> Result<usize> {
    match result {
        Ok(value) => {
            push(value);
            Ok(1)
        }
        Err(error) => {
            cx.push_nil();
            push_failure(cx, &error)
        }
    }
}

fn path_argument(cx: Context<'_>, index: i32, usage: &str) -> Result<PathBuf> {
    match cx.bytes(index) {
        Some(path) if !path.contains(&0) => Ok(PathBuf::from(OsStr::from_bytes(path))),
        _ => Err(failure(format!("Usage: {usage}"))),
    }
}

fn fd_argument(cx: Context<'_>) -> Result<RawFd> {
    Ok(RawFd::try_from(cx.check_integer(1)?).unwrap_or(-1))
}

fn size_argument(cx: Context<'_>, index: i32) -> Result<usize> {
    usize::try_from(cx.check_integer(index)?)
        .map_err(|_| cx.bad_argument(index, "a size must not be negative"))
}

/// The result of a system call that returns -1 on failure.
fn checked<T: Copy + PartialEq + From<i8>>(result: T) -> io::Result<T> {
    if result == T::from(-1) { Err(IoError::last_os_error()) } else { Ok(result) }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("checked by `path_argument`")
}

/// A file descriptor that belongs to a Lua handle, as a file that is not closed.
fn with_file<T>(fd: RawFd, work: impl FnOnce(&fs::File) -> io::Result<T>) -> io::Result<T> {
    use std::os::fd::FromRawFd;
    if fd < 0 {
        return Err(IoError::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the handle keeps the descriptor open; `ManuallyDrop` leaves it so.
    let file = std::mem::ManuallyDrop::new(unsafe { fs::File::from_raw_fd(fd) });
    work(&file)
}

fn lua_fio_open(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.open(path, flags, mode)")?;
    let flags = cx.check_integer(2)? as i32;
    let mode = cx.check_integer(3)? as libc::mode_t;
    let result = fiber::blocking(move || {
        let path = c_path(&path);
        // SAFETY: a valid C string.
        checked(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode) })
    });
    push_result(cx, result, |fd| cx.push_integer(i64::from(fd)))
}

fn lua_fio_close(cx: Context<'_>) -> Result<usize> {
    let fd = fd_argument(cx)?;
    // SAFETY: the descriptor belongs to the Lua handle that closes it.
    let result = fiber::blocking(move || checked(unsafe { libc::close(fd) }));
    push_done(cx, result.map(|_| ()))
}

fn lua_fio_read(cx: Context<'_>) -> Result<usize> {
    let (fd, size) = (fd_argument(cx)?, size_argument(cx, 2)?);
    let result = fiber::blocking(move || {
        with_file(fd, |mut file| {
            let mut data = vec![0; size];
            let size = io::Read::read(&mut file, &mut data)?;
            data.truncate(size);
            Ok(data)
        })
    });
    push_result(cx, result, |data| cx.push_bytes(data))
}

fn lua_fio_pread(cx: Context<'_>) -> Result<usize> {
    let (fd, size) = (fd_argument(cx)?, size_argument(cx, 2)?);
    let offset = cx.opt_integer(3, 0)?.cast_unsigned();
    let result = fiber::blocking(move || {
        with_file(fd, |file| {
            let mut data = vec![0; size];
            let size = file.read_at(&mut data, offset)?;
            data.truncate(size);
            Ok(data)
        })
    });
    push_result(cx, result, |data| cx.push_bytes(data))
}

fn lua_fio_write(cx: Context<'_>) -> Result<usize> {
    let (fd, data) = (fd_argument(cx)?, cx.check_bytes(2)?.to_vec());
    let result =
        fiber::blocking(move || with_file(fd, |mut file| io::Write::write_all(&mut file, &data)));
    push_done(cx, result)
}

fn lua_fio_pwrite(cx: Context<'_>) -> Result<usize> {
    let (fd, data) = (fd_argument(cx)?, cx.check_bytes(2)?.to_vec());
    let offset = cx.opt_integer(3, 0)?.cast_unsigned();
    let result = fiber::blocking(move || with_file(fd, |file| file.write_all_at(&data, offset)));
    push_done(cx, result)
}

/// `lseek(fd, offset, whence)`: the new offset, or -1.
fn lua_fio_lseek(cx: Context<'_>) -> Result<usize> {
    let (fd, offset) = (fd_argument(cx)?, cx.check_integer(2)?);
    let whence = cx.check_integer(3)? as i32;
    let result = fiber::blocking(move || {
        // SAFETY: a call without pointers.
        checked(unsafe { libc::lseek(fd, offset, whence) })
    });
    if let Err(error) = &result {
        errno::set_from(error);
    }
    cx.push_number(result.unwrap_or(-1) as f64);
    Ok(1)
}

fn lua_fio_ftruncate(cx: Context<'_>) -> Result<usize> {
    let (fd, size) = (fd_argument(cx)?, cx.check_integer(2)?.cast_unsigned());
    let result = fiber::blocking(move || with_file(fd, |file| file.set_len(size)));
    push_done(cx, result)
}

fn lua_fio_fsync(cx: Context<'_>) -> Result<usize> {
    let fd = fd_argument(cx)?;
    let result = fiber::blocking(move || with_file(fd, fs::File::sync_all));
    push_done(cx, result)
}

fn lua_fio_fdatasync(cx: Context<'_>) -> Result<usize> {
    let fd = fd_argument(cx)?;
    let result = fiber::blocking(move || with_file(fd, fs::File::sync_data));
    push_done(cx, result)
}

fn push_stat(cx: Context<'_>, stat: &fs::Metadata) {
    let time = |seconds: i64, nanoseconds: i64| seconds as f64 + nanoseconds as f64 / 1e9;
    cx.new_table(0, 14);
    for (name, value) in [
        ("dev", stat.dev() as f64),
        ("inode", stat.ino() as f64),
        ("mode", f64::from(stat.mode())),
        ("nlink", stat.nlink() as f64),
        ("uid", f64::from(stat.uid())),
        ("gid", f64::from(stat.gid())),
        ("rdev", stat.rdev() as f64),
        ("size", stat.size() as f64),
        ("blksize", stat.blksize() as f64),
        ("blocks", stat.blocks() as f64),
        ("ctime", time(stat.ctime(), stat.ctime_nsec())),
        ("mtime", time(stat.mtime(), stat.mtime_nsec())),
        ("atime", time(stat.atime(), stat.atime_nsec())),
    ] {
        cx.push_number(value);
        cx.raw_set_field(-2, name);
    }
}

/// `fstat(fd)` and the others: the table without its methods, which the Lua half adds.
fn lua_fio_fstat(cx: Context<'_>) -> Result<usize> {
    let fd = fd_argument(cx)?;
    let result = fiber::blocking(move || with_file(fd, fs::File::metadata));
    push_result(cx, result, |stat| push_stat(cx, &stat))
}

fn lua_fio_stat(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.stat(pathname)")?;
    let result = fiber::blocking(move || fs::metadata(path));
    push_result(cx, result, |stat| push_stat(cx, &stat))
}

fn lua_fio_lstat(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.lstat(pathname)")?;
    let result = fiber::blocking(move || fs::symlink_metadata(path));
    push_result(cx, result, |stat| push_stat(cx, &stat))
}

fn lua_fio_rename(cx: Context<'_>) -> Result<usize> {
    const USAGE: &str = "fio.rename(oldpath, newpath)";
    let (from, to) = (path_argument(cx, 1, USAGE)?, path_argument(cx, 2, USAGE)?);
    push_done(cx, fiber::blocking(move || fs::rename(from, to)))
}

fn lua_fio_unlink(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.unlink(pathname)")?;
    push_done(cx, fiber::blocking(move || fs::remove_file(path)))
}

fn lua_fio_truncate(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.truncate(pathname[, newlen])")?;
    let size = cx.opt_integer(2, 0)?.cast_unsigned();
    let result =
        fiber::blocking(move || fs::OpenOptions::new().write(true).open(path)?.set_len(size));
    push_done(cx, result)
}

/// `chown(path, uid, gid)`: the Lua half resolves names.
fn lua_fio_chown(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.chown(pathname, owner, group)")?;
    let (owner, group) = (cx.check_integer(2)? as u32, cx.check_integer(3)? as u32);
    let result = fiber::blocking(move || std::os::unix::fs::chown(path, Some(owner), Some(group)));
    push_done(cx, result)
}

fn lua_fio_chmod(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.chmod(pathname, mode)")?;
    let mode = cx.check_integer(2)? as u32;
    let result =
        fiber::blocking(move || fs::set_permissions(path, fs::Permissions::from_mode(mode)));
    push_done(cx, result)
}

fn lua_fio_mkdir(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.mkdir(pathname[, mode])")?;
    let mode = cx.opt_integer(2, 0o777)? as libc::mode_t;
    let result = fiber::blocking(move || {
        let path = c_path(&path);
        // SAFETY: a valid C string.
        checked(unsafe { libc::mkdir(path.as_ptr(), mode) }).map(|_| ())
    });
    push_done(cx, result)
}

fn lua_fio_rmdir(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.rmdir(pathname)")?;
    push_done(cx, fiber::blocking(move || fs::remove_dir(path)))
}

fn lua_fio_listdir(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.listdir(path)")?;
    let result = fiber::blocking(move || {
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()
    });
    push_result(cx, result, |names| {
        cx.new_table(names.len(), 0);
        for (number, name) in (1..).zip(&names) {
            cx.push_bytes(name.as_bytes());
            cx.raw_set_index(-2, number);
        }
    })
}

/// The paths that match a shell pattern, sorted.
fn glob(pattern: &Path) -> io::Result<Vec<Vec<u8>>> {
    let pattern = c_path(pattern);
    let mut found = MaybeUninit::<libc::glob_t>::zeroed();
    // SAFETY: a valid pattern, and a zeroed structure for the call to fill.
    let (status, mut found) = unsafe {
        let status = libc::glob(pattern.as_ptr(), libc::GLOB_NOESCAPE, None, found.as_mut_ptr());
        (status, found.assume_init())
    };
    let result = match status {
        0 => {
            // SAFETY: on success there are `gl_pathc` C strings.
            let paths = unsafe { std::slice::from_raw_parts(found.gl_pathv, found.gl_pathc) };
            // SAFETY: as above.
            Ok(paths.iter().map(|path| unsafe { c_bytes(*path) }).collect())
        }
        libc::GLOB_NOMATCH => Ok(Vec::new()),
        _ => Err(IoError::from_raw_os_error(libc::ENOMEM)),
    };
    // SAFETY: the structure was filled by `glob`.
    unsafe { libc::globfree(&raw mut found) };
    result
}

/// # Safety
/// `text` is a C string.
unsafe fn c_bytes(text: *const libc::c_char) -> Vec<u8> {
    // SAFETY: promised by the caller.
    unsafe { std::ffi::CStr::from_ptr(text) }.to_bytes().to_vec()
}

fn lua_fio_glob(cx: Context<'_>) -> Result<usize> {
    let pattern = path_argument(cx, 1, "fio.glob(pattern)")?;
    let result = fiber::blocking(move || glob(&pattern));
    push_result(cx, result, |paths| {
        cx.new_table(paths.len(), 0);
        for (number, path) in (1..).zip(&paths) {
            cx.push_bytes(path);
            cx.raw_set_index(-2, number);
        }
    })
}

fn lua_fio_link(cx: Context<'_>) -> Result<usize> {
    const USAGE: &str = "fio.link(target, linkpath)";
    let (target, path) = (path_argument(cx, 1, USAGE)?, path_argument(cx, 2, USAGE)?);
    push_done(cx, fiber::blocking(move || fs::hard_link(target, path)))
}

fn lua_fio_symlink(cx: Context<'_>) -> Result<usize> {
    const USAGE: &str = "fio.symlink(target, linkpath)";
    let (target, path) = (path_argument(cx, 1, USAGE)?, path_argument(cx, 2, USAGE)?);
    push_done(cx, fiber::blocking(move || std::os::unix::fs::symlink(target, path)))
}

fn lua_fio_readlink(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.readlink(pathname)")?;
    let result = fiber::blocking(move || fs::read_link(path));
    push_result(cx, result, |target| cx.push_bytes(target.as_os_str().as_bytes()))
}

fn lua_fio_sync(cx: Context<'_>) -> Result<usize> {
    // SAFETY: a call without arguments.
    fiber::blocking(|| unsafe { libc::sync() });
    cx.push_boolean(true);
    Ok(1)
}

fn lua_fio_tempdir(cx: Context<'_>) -> Result<usize> {
    let folder = cx
        .opt_bytes(1)?
        .map_or_else(std::env::temp_dir, |path| PathBuf::from(OsStr::from_bytes(path)));
    let result = fiber::blocking(move || {
        let template = folder.join("XXXXXX").into_os_string();
        let mut template = [template.as_bytes(), b"\0"].concat();
        // SAFETY: a writable C string that ends in six X.
        let path = unsafe { libc::mkdtemp(template.as_mut_ptr().cast()) };
        if path.is_null() {
            return Err(IoError::last_os_error());
        }
        template.pop();
        Ok(template)
    });
    push_result(cx, result, |path| cx.push_bytes(path))
}

fn lua_fio_copyfile(cx: Context<'_>) -> Result<usize> {
    const USAGE: &str = "fio.copyfile(from, to)";
    let (from, to) = (path_argument(cx, 1, USAGE)?, path_argument(cx, 2, USAGE)?);
    let result = fiber::blocking(move || {
        if fs::metadata(&from)?.file_type().is_fifo() {
            return Err(IoError::from_raw_os_error(libc::EINVAL));
        }
        fs::copy(from, to).map(|_| ())
    });
    push_done(cx, result)
}

fn lua_fio_utime(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.utime(filepath[, atime[, mtime]])")?;
    let timespec = |time: f64| libc::timespec {
        tv_sec: time.floor() as libc::time_t,
        tv_nsec: ((time - time.floor()) * 1e9) as libc::c_long,
    };
    let times = [timespec(cx.check_number(2)?), timespec(cx.check_number(3)?)];
    let result = fiber::blocking(move || {
        let path = c_path(&path);
        // SAFETY: a valid C string and two times.
        let status = unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0) };
        checked(status).map(|_| ())
    });
    push_done(cx, result)
}

fn lua_fio_cwd(cx: Context<'_>) -> Result<usize> {
    push_result(cx, std::env::current_dir(), |path| cx.push_bytes(path.as_os_str().as_bytes()))
}

fn lua_fio_chdir(cx: Context<'_>) -> Result<usize> {
    let path = path_argument(cx, 1, "fio.chdir(path)")?;
    let result = std::env::set_current_dir(path);
    if let Err(error) = &result {
        errno::set_from(error);
    }
    cx.push_boolean(result.is_ok());
    Ok(1)
}

/// `umask([mask])`: the mask before; without an argument it stays.
fn lua_fio_umask(cx: Context<'_>) -> Result<usize> {
    let is_query = cx.kind(1) == Kind::None || cx.is_null(1);
    let mask = if is_query { 0 } else { cx.check_integer(1)? as libc::mode_t };
    // SAFETY: calls without pointers.
    let before = unsafe { libc::umask(mask) };
    if is_query {
        // SAFETY: as above.
        unsafe { libc::umask(before) };
    }
    cx.push_integer(i64::from(before));
    Ok(1)
}
