//! The native half of `title`: the process's name as `ps` and `top` show it.
//!
//! # Yields
//! never

use std::ffi::CString;
use std::sync::OnceLock;

use crate::base::error::Result;
use crate::lua::{Context, Module};

/// Pushes `set`.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx).function("set", lua_title_set);
    Ok(())
}

/// Where the kernel reads the command line: the memory of the arguments the program was started
/// with, by /proc/self/stat. It is writable, and as long as the arguments were.
fn argument_memory() -> Option<(usize, usize)> {
    const ARG_START: usize = 48;
    static RANGE: OnceLock<Option<(usize, usize)>> = OnceLock::new();
    *RANGE.get_or_init(|| {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is in parentheses and may have spaces; the third follows them.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split_ascii_whitespace().skip(ARG_START - 3);
        let start: usize = fields.next()?.parse().ok()?;
        let end: usize = fields.next()?.parse().ok()?;
        (start > 0 && end > start + 1).then_some((start, end))
    })
}

/// `set(text)`: shows as much of the text as there is room for.
fn lua_title_set(cx: Context<'_>) -> Result<usize> {
    let title = cx.check_bytes(1)?;
    if let Some((start, end)) = argument_memory() {
        let room = end - start - 1;
        let size = title.len().min(room);
        // SAFETY: the kernel's word is that this is the memory of the arguments; nothing of ours
        // refers to it: the standard library reads it only while it makes strings of its own.
        unsafe {
            let memory = start as *mut u8;
            memory.copy_from_nonoverlapping(title.as_ptr(), size);
            memory.add(size).write_bytes(0, end - start - size);
        }
    }
    if let Ok(name) = CString::new(title) {
        // SAFETY: a C string, of which the kernel takes 15 bytes.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
    Ok(0)
}
