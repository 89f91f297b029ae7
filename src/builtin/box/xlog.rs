//! The native half of `xlog`: rows of log and snapshot files as Lua values.
//!
//! # Yields
//! never; blocks on the disk, a block of rows at a time

use std::cell::RefCell;
use std::path::Path;

use super::info;
use crate::base::error::Result;
use crate::builtin::serializer::{self, Config};
use crate::lua::{Context, Module, userdata};
use crate::tuple::Tuple;
use crate::wal::{Reader, cat};
use crate::xrow::iproto::{key, kind};
use crate::xrow::{Row, Vclock};

struct OpenFile(RefCell<Reader>);

/// Pushes the functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    cx.new_table(0, 1);
    userdata::set_metatable::<OpenFile>(cx);
    Module::new(cx)
        .function("open", lua_xlog_open)
        .function("next", lua_xlog_next)
        .function("meta", lua_xlog_meta);
    Ok(())
}

fn open_file(cx: Context<'_>) -> Result<Reader> {
    Reader::open(Path::new(cx.check_text(1)?))
}

/// `open(path)`: a reader.
fn lua_xlog_open(cx: Context<'_>) -> Result<usize> {
    let mut reader = open_file(cx)?;
    // Whoever looks into a file wants what there is.
    reader.set_force_recovery(true);
    userdata::push(cx, OpenFile(RefCell::new(reader)));
    Ok(1)
}

/// `next(reader)`: LSN and row; nothing at the end.
fn lua_xlog_next(cx: Context<'_>) -> Result<usize> {
    let file = userdata::check::<OpenFile>(cx, 1, || cx.bad_argument(1, "a reader expected"))?;
    let mut reader = file.0.borrow_mut();
    match reader.next_row()? {
        None => Ok(0),
        Some(row) => {
            cx.push_uint64(row.header.lsn as u64);
            push_row(cx, &row)?;
            Ok(2)
        }
    }
}

fn push_row(cx: Context<'_>, row: &Row<'_>) -> Result<()> {
    cx.reserve(8)?;
    cx.new_table(0, 2);
    cx.new_table(0, 8);
    for field in cat::header_fields(row) {
        cx.push_bytes(field.name);
        serializer::push(cx, &field.value, &Config::DEFAULT)?;
        cx.raw_set(-3);
    }
    cx.raw_set_field(-2, "HEADER");
    if row.body.is_empty() || row.header.request_type() == Some(kind::NOP) {
        return Ok(());
    }
    cx.new_table(0, 4);
    for (number, value) in cat::body_of(row) {
        match cat::body_name(row, number) {
            Some(name) => cx.push_bytes(name),
            None => cx.push_uint64(number),
        }
        push_value(cx, number, value)?;
        cx.raw_set(-3);
    }
    cx.raw_set_field(-2, "BODY");
    Ok(())
}

/// Keys and tuples are pushed as tuples, and all else as it is.
fn push_value(cx: Context<'_>, number: u64, value: &[u8]) -> Result<()> {
    const TUPLES: [u8; 4] = [key::KEY, key::TUPLE, key::OLD_TUPLE, key::NEW_TUPLE];
    let is_array = value.first().is_some_and(|first| matches!(first, 0x90..=0x9f | 0xdc | 0xdd));
    if is_array && TUPLES.iter().any(|known| u64::from(*known) == number) {
        super::trigger::push_tuple(cx, Some(&Tuple::new_runtime(value)?));
        return Ok(());
    }
    serializer::push(cx, value, &Config::DEFAULT).map(drop)
}

/// `meta(path)`: what the head of the file says.
fn lua_xlog_meta(cx: Context<'_>) -> Result<usize> {
    let reader = open_file(cx)?;
    let meta = reader.meta();
    cx.new_table(0, 4);
    cx.push_bytes(&meta.file_type);
    cx.raw_set_field(-2, "filetype");
    cx.push_bytes(meta.instance_uuid.to_string());
    cx.raw_set_field(-2, "instance_uuid");
    for (name, vclock) in [("vclock", &meta.vclock), ("prev_vclock", &meta.previous_vclock)] {
        info::push_vclock(cx, &vclock.unwrap_or_else(Vclock::new));
        cx.raw_set_field(-2, name);
    }
    Ok(1)
}
