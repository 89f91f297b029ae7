//! The native half of `title`: the process's name as `ps` and `top` show it.
//!
//! # Yields
//! never

use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use crate::base::error::Result;
use crate::lua::{Context, Module};

/// Pushes `set`.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx).function("set", lua_title_set);
    Ok(())
}

/// Where titles are written.
static MEMORY: OnceLock<Option<(usize, usize)>> = OnceLock::new();

/// Gives titles the room of the environment, too: the arguments are rarely as long as a title. To be
/// called at the start of the process, while it has one thread.
pub fn reserve() {
    MEMORY.get_or_init(|| {
        let (start, end, environment_end) = argument_memory()?;
        // SAFETY: there is one thread, and nobody has asked for the environment yet.
        unsafe { move_environment(end, environment_end) };
        Some((start, end.max(environment_end)))
    });
}

/// Where the kernel reads the command line, by /proc/self/stat: the memory of the arguments the
/// program was started with, which is writable, and the end of the environment behind it. When a
/// title has overwritten the end of the arguments, the kernel reads on to the next zero byte.
fn argument_memory() -> Option<(usize, usize, usize)> {
    const ARG_START: usize = 48;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is in parentheses and may have spaces; the third follows them.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_ascii_whitespace().skip(ARG_START - 3);
    let mut next = || fields.next()?.parse::<usize>().ok();
    let (start, end) = (next()?, next()?);
    let (environment_start, environment_end) = (next()?, next()?);
    let is_behind = environment_start == end && environment_end > end;
    (start > 0 && end > start + 1).then_some((
        start,
        end,
        if is_behind { environment_end } else { end },
    ))
}

/// Copies the variables that lie in this memory to where nothing overwrites them.
///
/// # Safety
/// No other thread may look at the environment meanwhile, nor anybody hold a variable of it.
unsafe fn move_environment(start: usize, end: usize) {
    unsafe extern "C" {
        static environ: *mut *mut c_char;
    }
    // SAFETY: the C library's list of variables, which ends with a null pointer.
    unsafe {
        let mut variable = environ;
        while !variable.is_null() && !(*variable).is_null() {
            if (start..end).contains(&(*variable as usize)) {
                let copy = libc::strdup(*variable);
                assert!(!copy.is_null(), "there is memory at the start");
                *variable = copy;
            }
            variable = variable.add(1);
        }
    }
}

/// `set(text)`: shows as much of the text as there is room for.
fn lua_title_set(cx: Context<'_>) -> Result<usize> {
    let title = cx.check_bytes(1)?;
    if let Some(&Some((start, end))) = MEMORY.get() {
        let room = end - start - 1;
        let size = title.len().min(room);
        // SAFETY: the kernel's word is that this is the memory of the arguments and of the
        // environment, which was moved; the standard library reads the arguments only while it makes
        // strings of its own.
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
