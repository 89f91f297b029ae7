//! The native half of `iconv`: the C library's converters between encodings.
//!
//! # Yields
//! never

use std::ffi::CString;
use std::io;
use std::ptr::null_mut;

use super::errno;
use crate::base::error::{Error, Result};
use crate::lua::{Context, Module, userdata};

/// A converter; between calls it is in its initial state.
struct Converter(libc::iconv_t);

impl Converter {
    fn open(to: &str, from: &str) -> io::Result<Converter> {
        let (Ok(to), Ok(from)) = (CString::new(to), CString::new(from)) else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        // SAFETY: both names end with a zero byte.
        let descriptor = unsafe { libc::iconv_open(to.as_ptr(), from.as_ptr()) };
        if descriptor.addr() == usize::MAX {
            return Err(io::Error::last_os_error());
        }
        Ok(Converter(descriptor))
    }

    fn convert(&self, data: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(data.len().max(64));
        let mut input = data.as_ptr().cast_mut().cast();
        let mut input_left = data.len();
        let mut result = Ok(());
        while input_left > 0 {
            out.reserve(input_left.max(16));
            let spare = out.spare_capacity_mut();
            let mut output = spare.as_mut_ptr().cast();
            let mut output_left = spare.len();
            let room = output_left;
            // SAFETY: the pointers stand in buffers that have as many bytes left as the counts
            // say; the C library does not write to the input.
            let status = unsafe {
                libc::iconv(self.0, &mut input, &mut input_left, &mut output, &mut output_left)
            };
            let error = io::Error::last_os_error();
            // SAFETY: that many bytes were written.
            unsafe { out.set_len(out.len() + room - output_left) };
            if status == usize::MAX && error.raw_os_error() != Some(libc::E2BIG) {
                result = Err(error);
                break;
            }
        }
        // SAFETY: null buffers bring the converter back to its initial state.
        unsafe { libc::iconv(self.0, null_mut(), null_mut(), null_mut(), null_mut()) };
        result.map(|()| out)
    }
}

impl Drop for Converter {
    fn drop(&mut self) {
        // SAFETY: open since `open`, closed once.
        unsafe { libc::iconv_close(self.0) };
    }
}

/// Pushes the functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("set_metatable", lua_iconv_set_metatable)
        .function("new", lua_iconv_new)
        .function("convert", lua_iconv_convert);
    Ok(())
}

fn lua_iconv_set_metatable(cx: Context<'_>) -> Result<usize> {
    cx.set_top(1);
    userdata::set_metatable::<Converter>(cx);
    Ok(0)
}

/// `new(to, from)`: nothing when it fails, which `errno` explains.
fn lua_iconv_new(cx: Context<'_>) -> Result<usize> {
    match Converter::open(cx.check_text(1)?, cx.check_text(2)?) {
        Ok(converter) => userdata::push(cx, converter),
        Err(error) => {
            errno::set_from(&error);
            return Ok(0);
        }
    }
    Ok(1)
}

/// `convert(converter, text)`: nothing when it fails, which `errno` explains.
fn lua_iconv_convert(cx: Context<'_>) -> Result<usize> {
    let converter = userdata::check::<Converter>(cx, 1, || {
        Error::illegal_params("Usage: iconv:convert(data: string)")
    })?;
    match converter.convert(cx.check_bytes(2)?) {
        Ok(text) => cx.push_bytes(text),
        Err(error) => {
            errno::set_from(&error);
            return Ok(0);
        }
    }
    Ok(1)
}
