//! The native half of `datetime`, called through FFI, and its two forms in MessagePack.
//!
//! The cdata `struct datetime` and `struct interval` are the Rust types of `value`, byte for byte.
//!
//! # Yields
//! never

use std::cell::RefCell;
use std::ffi::c_void;

use super::serializer::{self, CdataCodec, Config};
use crate::base::clock::{Clock, read};
use crate::base::error::{Error, Result};
use crate::lua::{Cdata, Context, CtypeId, Module, Reference};
use crate::value::calendar::{self, Date};
use crate::value::datetime::{Datetime, Parts};
use crate::value::interval::{Interval, OutOfRange, UNITS};
use crate::value::iso8601::{self, ParseError};
use crate::value::msgpack::{EXT_DATETIME, EXT_INTERVAL};
use crate::value::timezone::{self, LookupError};
use crate::value::{strftime, strptime};

/// Lua functions that make a cdata of the bytes at an address.
struct Makers {
    datetime: Reference,
    interval: Reference,
}

thread_local! {
    static MAKERS: RefCell<Option<Makers>> = const { RefCell::new(None) };
}

/// What `fields` fills in: the calendar and clock of a datetime at its offset.
#[repr(C)]
struct Fields {
    /// Days from 1970-01-01.
    day_number: i32,
    year: i32,
    month: i32,
    day: i32,
    /// From 1.
    year_day: i32,
    /// 1 is Monday.
    week_day: i32,
    hour: i32,
    minute: i32,
    second: i32,
}

/// Pushes the functions.
pub fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("register", lua_datetime_register)
        .function("zones", lua_datetime_zones)
        .function("format", lua_datetime_format)
        .function("datetime_tostring", lua_datetime_datetime_tostring)
        .function("interval_tostring", lua_datetime_interval_tostring)
        .pointer("now", now as *const c_void)
        .pointer("parse", parse as *const c_void)
        .pointer("parse_by_pattern", parse_by_pattern as *const c_void)
        .pointer("parse_date", parse_date as *const c_void)
        .pointer("parse_zone", parse_zone as *const c_void)
        .pointer("parse_offset", parse_offset as *const c_void)
        .pointer("fields", fields as *const c_void)
        .pointer("day_number", day_number as *const c_void)
        .pointer("month_days", month_days as *const c_void)
        .pointer("is_dst", is_dst as *const c_void)
        .pointer("increment", increment as *const c_void)
        .pointer("difference", difference as *const c_void)
        .pointer("interval_add", interval_add as *const c_void)
        .pointer("interval_sub", interval_sub as *const c_void)
        .number("datetime_size", size_of::<Datetime>() as f64)
        .number("interval_size", size_of::<Interval>() as f64);
    Ok(())
}

/// Has datetimes and intervals in MessagePack become cdata, loading the module when the first one
/// comes.
pub fn register_ext() {
    serializer::register_ext(EXT_DATETIME, |cx, payload| {
        let value = Datetime::unpack(payload)
            .ok_or_else(|| Error::illegal_params("a datetime is malformed"))?;
        push(cx, &value, |makers| &makers.datetime)
    });
    serializer::register_ext(EXT_INTERVAL, |cx, payload| {
        let value = Interval::unpack(payload)
            .ok_or_else(|| Error::illegal_params("an interval is malformed"))?;
        push(cx, &value, |makers| &makers.interval)
    });
}

/// Pushes a copy of the value, made by one of the makers.
fn push<T>(cx: Context<'_>, value: &T, maker: fn(&Makers) -> &Reference) -> Result<()> {
    let is_loaded = MAKERS.with_borrow(|makers| {
        if let Some(makers) = makers {
            cx.push_reference(maker(makers));
        }
        makers.is_some()
    });
    if !is_loaded {
        // Loading the module registers its makers.
        cx.get_global("require");
        cx.push_bytes("datetime");
        cx.call(1, 0)?;
        return push(cx, value, maker);
    }
    cx.push_pointer(std::ptr::from_ref(value).cast_mut().cast());
    cx.call(1, 1)
}

fn datetime_of(cdata: Cdata<'_>) -> Datetime {
    // SAFETY: asked for cdata of the registered type only.
    unsafe { cdata.read::<Datetime>() }
}

fn interval_of(cdata: Cdata<'_>) -> Interval {
    // SAFETY: as above; the Lua half makes the adjustment one of the three.
    unsafe { cdata.read::<Interval>() }
}

/// `register(datetime id, its maker, interval id, its maker)`: makes both types known to the
/// serializers.
fn lua_datetime_register(cx: Context<'_>) -> Result<usize> {
    let datetime = CdataCodec {
        encode: |_, _, cdata, out, _: &Config| {
            datetime_of(cdata).write(out);
            Ok(())
        },
        text: Some(|cdata| datetime_of(cdata).to_string().into_bytes()),
        is_binary: false,
    };
    let interval = CdataCodec {
        encode: |_, _, cdata, out, _: &Config| {
            interval_of(cdata).write(out);
            Ok(())
        },
        text: Some(|cdata| interval_of(cdata).to_string().into_bytes()),
        is_binary: false,
    };
    serializer::register_cdata(cx.check_integer(1)? as CtypeId, datetime);
    serializer::register_cdata(cx.check_integer(3)? as CtypeId, interval);
    cx.push_value(2);
    let datetime = cx.reference();
    cx.push_value(4);
    let interval = cx.reference();
    MAKERS.set(Some(Makers { datetime, interval }));
    Ok(0)
}

/// `zones()`: name by number and number by name.
fn lua_datetime_zones(cx: Context<'_>) -> Result<usize> {
    cx.new_table(0, 2048);
    let table = cx.top();
    for (index, name) in timezone::all() {
        cx.push_integer(index.into());
        cx.raw_set_field(table, name);
        // An alias comes after the zone that has the number.
        cx.raw_get_index(table, index.into());
        let is_alias = !cx.is_nil(-1);
        cx.pop(1);
        if !is_alias {
            cx.push_bytes(name);
            cx.raw_set_index(table, index.into());
        }
    }
    Ok(1)
}

fn cdata_argument<'a>(cx: Context<'a>) -> Result<Cdata<'a>> {
    cx.cdata(1).ok_or_else(|| cx.bad_argument(1, "cdata expected"))
}

/// `format(datetime, pattern)`. The Lua half checked the types, here and below.
fn lua_datetime_format(cx: Context<'_>) -> Result<usize> {
    let datetime = datetime_of(cdata_argument(cx)?);
    let pattern = String::from_utf8_lossy(cx.check_bytes(2)?);
    cx.push_bytes(strftime::format(&datetime, &pattern));
    Ok(1)
}

fn lua_datetime_datetime_tostring(cx: Context<'_>) -> Result<usize> {
    cx.push_bytes(datetime_of(cdata_argument(cx)?).to_string());
    Ok(1)
}

fn lua_datetime_interval_tostring(cx: Context<'_>) -> Result<usize> {
    cx.push_bytes(interval_of(cdata_argument(cx)?).to_string());
    Ok(1)
}

// Pointers below are to cdata and strings that the Lua half holds during the call.

unsafe extern "C" fn now(out: *mut Datetime) {
    let time = read(Clock::Realtime);
    let epoch = time.as_secs() as i64;
    let datetime = Datetime {
        epoch: epoch as f64,
        // Microseconds are what Tarantool's clock has.
        nanosecond: (time.subsec_micros() * 1000) as i32,
        offset: timezone::local_offset(epoch),
        zone: 0,
    };
    // SAFETY: see above.
    unsafe { out.write(datetime) };
}

const NOT_PARSED: isize = -1;
const AMBIGUOUS_ZONE: isize = -2;

fn failure(error: ParseError) -> isize {
    match error {
        ParseError::Zone(LookupError::Ambiguous) => AMBIGUOUS_ZONE,
        _ => NOT_PARSED,
    }
}

/// The size that was parsed, or one of the codes above.
unsafe extern "C" fn parse(out: *mut Datetime, data: *const u8, size: usize) -> isize {
    // SAFETY: see above.
    match iso8601::parse(unsafe { std::slice::from_raw_parts(data, size) }) {
        Ok((datetime, parsed_size)) => {
            // SAFETY: see above.
            unsafe { out.write(datetime) };
            parsed_size as isize
        }
        Err(error) => failure(error),
    }
}

/// The size that was parsed, or -1.
unsafe extern "C" fn parse_by_pattern(
    out: *mut Datetime,
    data: *const u8,
    size: usize,
    pattern: *const u8,
    pattern_size: usize,
) -> isize {
    // SAFETY: see above.
    let (text, pattern) = unsafe {
        (std::slice::from_raw_parts(data, size), std::slice::from_raw_parts(pattern, pattern_size))
    };
    match strptime::parse(text, &String::from_utf8_lossy(pattern)) {
        Some((datetime, parsed_size)) => {
            // SAFETY: see above.
            unsafe { out.write(datetime) };
            parsed_size as isize
        }
        None => NOT_PARSED,
    }
}

/// The size that was parsed, or -1.
unsafe extern "C" fn parse_date(out: *mut Datetime, data: *const u8, size: usize) -> isize {
    // SAFETY: see above.
    match iso8601::parse_date(unsafe { std::slice::from_raw_parts(data, size) }) {
        Some((day, parsed_size)) => {
            // SAFETY: see above.
            unsafe { out.write(Datetime::from_local(day, 0, 0, 0)) };
            parsed_size as isize
        }
        None => NOT_PARSED,
    }
}

/// Parses a zone or offset for a clock that shows `local`.
unsafe extern "C" fn parse_zone(
    offset: *mut i16,
    index: *mut i16,
    data: *const u8,
    size: usize,
    local: f64,
) -> isize {
    // SAFETY: see above.
    let text = unsafe { std::slice::from_raw_parts(data, size) };
    match iso8601::parse_zone(text, local as i64) {
        Ok((zone, parsed_size)) => {
            // SAFETY: see above.
            unsafe {
                offset.write(zone.minutes);
                index.write(zone.index);
            }
            parsed_size as isize
        }
        Err(error) => failure(error),
    }
}

/// Parses an offset of any size.
unsafe extern "C" fn parse_offset(out: *mut i32, data: *const u8, size: usize) -> isize {
    // SAFETY: see above.
    match iso8601::parse_any_offset(unsafe { std::slice::from_raw_parts(data, size) }) {
        Some((minutes, parsed_size)) => {
            // SAFETY: see above.
            unsafe { out.write(minutes as i32) };
            parsed_size as isize
        }
        None => NOT_PARSED,
    }
}

unsafe extern "C" fn fields(datetime: *const Datetime, out: *mut Fields) {
    // SAFETY: see above.
    let Parts { day_number, date, hour, minute, second } = unsafe { &*datetime }.parts();
    let fields = Fields {
        day_number: day_number as i32,
        year: date.year as i32,
        month: date.month as i32,
        day: date.day as i32,
        year_day: calendar::year_day(day_number) as i32,
        week_day: calendar::week_day(day_number) as i32,
        hour: hour as i32,
        minute: minute as i32,
        second: second as i32,
    };
    // SAFETY: see above.
    unsafe { out.write(fields) };
}

/// Day number of a date; false when there is none, or it is beyond what datetimes hold.
unsafe extern "C" fn day_number(out: *mut f64, year: i32, month: i32, day: i32) -> bool {
    let date = Date { year: year.into(), month: month.into(), day: day.into() };
    let Some(day) = calendar::checked_day_number(date) else { return false };
    let datetime = Datetime::from_local(day, 0, 0, 0);
    // SAFETY: see above.
    unsafe { out.write(day as f64) };
    datetime.is_valid()
}

extern "C" fn month_days(year: i32, month: i32) -> i32 {
    calendar::month_days(year.into(), month.into()) as i32
}

unsafe extern "C" fn is_dst(datetime: *const Datetime) -> bool {
    // SAFETY: see above.
    unsafe { &*datetime }.is_dst()
}

/// 0, or on which side of the allowed dates the result would be.
unsafe extern "C" fn increment(
    datetime: *mut Datetime,
    direction: i32,
    interval: *const Interval,
) -> i32 {
    // SAFETY: see above.
    let sum = unsafe { (*datetime).add(&*interval, direction.into()) };
    match sum {
        Ok(sum) => {
            // SAFETY: see above.
            unsafe { datetime.write(sum) };
            0
        }
        Err(unit) if unit.is_above() => 1,
        Err(_) => -1,
    }
}

/// Stores the interval and returns 0, or returns the position of the unit that left its bounds and
/// stores its value.
///
/// # Safety
/// Both pointers are writable.
unsafe fn store(out: *mut Interval, value: *mut f64, result: Result<Interval, OutOfRange>) -> i32 {
    match result {
        Ok(interval) => {
            // SAFETY: promised by the caller.
            unsafe { out.write(interval) };
            0
        }
        Err(problem) => {
            // SAFETY: promised by the caller.
            unsafe { value.write(problem.value as f64) };
            UNITS.iter().position(|unit| *unit == problem.unit).map_or(1, |index| index as i32 + 1)
        }
    }
}

unsafe extern "C" fn difference(
    out: *mut Interval,
    value: *mut f64,
    left: *const Datetime,
    right: *const Datetime,
) -> i32 {
    // SAFETY: see above.
    unsafe { store(out, value, (*left).sub(&*right)) }
}

unsafe extern "C" fn interval_add(
    out: *mut Interval,
    value: *mut f64,
    left: *const Interval,
    right: *const Interval,
) -> i32 {
    // SAFETY: see above.
    unsafe { store(out, value, (*left).add(&*right)) }
}

unsafe extern "C" fn interval_sub(
    out: *mut Interval,
    value: *mut f64,
    left: *const Interval,
    right: *const Interval,
) -> i32 {
    // SAFETY: see above.
    unsafe { store(out, value, (*left).sub(&*right)) }
}
