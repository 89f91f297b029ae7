//! Native half of `fiber`: fibers, conditions, channels and slices for Lua.
//!
//! A fiber is shown to Lua as a userdata that holds its id, so a handle neither keeps a dead fiber
//! nor dangles. Messages and defaults are Tarantool's.
//!
//! # Yields
//! create, yield, sleep, join, cond:wait, channel:put/get

use std::ffi::c_void;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::base::error::{Error, Result, Type};
use crate::fiber::{self, Channel, ChannelError, Cond, Fiber, Slice, Status};
use crate::lua::{self, Context, Kind, LuaFiber, Module, Reference, userdata};

/// Longest name of a fiber, in bytes (Tarantool's `FIBER_NAME_MAX` less the final zero).
const NAME_SIZE_MAX: usize = 255;

/// What Lua holds of a fiber.
struct Handle(u64);

/// A value in a channel: scalars as they are, all else in the registry.
enum Passed {
    Number(f64),
    Boolean(bool),
    Other(Reference),
}

impl Passed {
    /// The value at `index`.
    fn take(cx: Context<'_>, index: i32) -> Passed {
        match cx.kind(index) {
            Kind::Number => Passed::Number(cx.number(index).unwrap_or_default()),
            Kind::Boolean => Passed::Boolean(cx.boolean(index)),
            _ => {
                cx.push_value(index);
                Passed::Other(cx.reference())
            }
        }
    }

    fn push(self, cx: Context<'_>) {
        match self {
            Passed::Number(number) => cx.push_number(number),
            Passed::Boolean(flag) => cx.push_boolean(flag),
            Passed::Other(reference) => {
                cx.push_reference(&reference);
                cx.release(reference);
            }
        }
    }

    fn release(self, cx: Context<'_>) {
        if let Passed::Other(reference) = self {
            cx.release(reference);
        }
    }
}

type LuaChannel = Rc<Channel<Passed>>;

/// Pushes the table of native functions.
pub(super) fn open(cx: Context<'_>) -> Result<()> {
    Module::new(cx)
        .function("create", lua_fiber_create)
        .function("new", lua_fiber_new)
        .function("self", lua_fiber_self)
        .function("id", lua_fiber_id)
        .function("find", lua_fiber_find)
        .function("name", lua_fiber_name)
        .function("status", lua_fiber_status)
        .function("csw", lua_fiber_csw)
        .function("cancel", lua_fiber_cancel)
        .function("testcancel", lua_fiber_testcancel)
        .function("wakeup", lua_fiber_wakeup)
        .function("set_joinable", lua_fiber_set_joinable)
        .function("join", lua_fiber_join)
        .function("storage", lua_fiber_storage)
        .function("set_system", lua_fiber_set_system)
        .function("sleep", lua_fiber_sleep)
        .function("yield", lua_fiber_yield)
        .function("stall", lua_fiber_stall)
        .function("info", lua_fiber_info)
        .function("measure", lua_fiber_measure)
        .function("set_max_slice", lua_fiber_set_max_slice)
        .function("set_slice", lua_fiber_set_slice)
        .function("extend_slice", lua_fiber_extend_slice)
        .function("check_slice", lua_fiber_check_slice)
        .function("cond", lua_fiber_cond)
        .function("cond_wait", lua_cond_wait)
        .function("cond_signal", lua_cond_signal)
        .function("cond_broadcast", lua_cond_broadcast)
        .function("channel", lua_fiber_channel)
        .function("channel_put", lua_channel_put)
        .function("channel_get", lua_channel_get)
        .function("channel_info", lua_channel_info)
        .function("channel_close", lua_channel_close)
        .function("set_metatables", lua_fiber_set_metatables)
        .pointer("time", time as *const c_void)
        .pointer("time64", time64 as *const c_void)
        .pointer("clock", monotonic as *const c_void)
        .pointer("clock64", monotonic64 as *const c_void);
    Ok(())
}

/// `set_metatables(fiber, cond, channel)`: what the Lua half wants them to look like.
fn lua_fiber_set_metatables(cx: Context<'_>) -> Result<usize> {
    cx.set_top(3);
    userdata::set_metatable::<LuaChannel>(cx);
    userdata::set_metatable::<Rc<Cond>>(cx);
    userdata::set_metatable::<Handle>(cx);
    Ok(0)
}

fn push_handle(cx: Context<'_>, fiber: &Fiber) {
    userdata::push(cx, Handle(fiber.id()));
}

/// The id in a fiber object or number at `index`.
fn fiber_id(cx: Context<'_>, index: i32) -> Option<u64> {
    if let Some(handle) = userdata::get::<Handle>(cx, index) {
        return Some(handle.0);
    }
    u64::try_from(cx.integer(index)?).ok()
}

fn dead() -> Error {
    Error::illegal_params("the fiber is dead")
}

/// The living fiber at `index`; the running one when there is no argument.
fn fiber_at(cx: Context<'_>, index: i32) -> Result<Fiber> {
    if cx.kind(index) == Kind::None {
        return Ok(fiber::current());
    }
    fiber_id(cx, index).and_then(fiber::find).ok_or_else(dead)
}

fn check_entry(cx: Context<'_>, usage: &str) -> Result<()> {
    if cx.top() >= 1 && matches!(cx.kind(1), Kind::Function | Kind::Table) {
        return Ok(());
    }
    Err(Error::illegal_params(usage))
}

fn lua_fiber_create(cx: Context<'_>) -> Result<usize> {
    check_entry(cx, "fiber.create(function, ...): bad arguments")?;
    let fiber = lua::start(cx, cx.top() - 1, "lua")?;
    push_handle(cx, &fiber);
    Ok(1)
}

fn lua_fiber_new(cx: Context<'_>) -> Result<usize> {
    check_entry(cx, "fiber.new(function, ...): bad arguments")?;
    let fiber = lua::spawn(cx, cx.top() - 1, "lua")?;
    push_handle(cx, &fiber);
    Ok(1)
}

fn lua_fiber_self(cx: Context<'_>) -> Result<usize> {
    push_handle(cx, &fiber::current());
    Ok(1)
}

fn lua_fiber_id(cx: Context<'_>) -> Result<usize> {
    let id = match cx.kind(1) {
        Kind::None => fiber::current().id(),
        _ => fiber_id(cx, 1).ok_or_else(dead)?,
    };
    cx.push_uint64(id);
    Ok(1)
}

fn lua_fiber_find(cx: Context<'_>) -> Result<usize> {
    if cx.top() != 1 {
        return Err(Error::illegal_params("Usage: fiber.find(id)"));
    }
    match u64::try_from(cx.check_integer(1)?).ok().and_then(fiber::find) {
        Some(fiber) => push_handle(cx, &fiber),
        None => cx.push_nil(),
    }
    Ok(1)
}

/// `name([fiber])`, `name([fiber, ]name[, {truncate = true}])`.
fn lua_fiber_name(cx: Context<'_>) -> Result<usize> {
    let (fiber, first) = if cx.top() > 0 && userdata::get::<Handle>(cx, 1).is_some() {
        (fiber_at(cx, 1)?, 2)
    } else {
        (fiber::current(), 1)
    };
    if cx.is_nil(first) {
        cx.push_bytes(fiber.name());
        return Ok(1);
    }
    let mut name = cx.check_bytes(first)?;
    if name.len() > NAME_SIZE_MAX {
        let truncate = cx.kind(first + 1) == Kind::Table && {
            cx.raw_get_field(first + 1, "truncate");
            cx.boolean(-1)
        };
        if !truncate {
            return Err(Error::illegal_params("Fiber name is too long"));
        }
        name = &name[..NAME_SIZE_MAX];
    }
    fiber.set_name(&String::from_utf8_lossy(name));
    Ok(0)
}

fn lua_fiber_status(cx: Context<'_>) -> Result<usize> {
    let status = match fiber_at(cx, 1) {
        Ok(fiber) => fiber.status(),
        Err(_) if fiber_id(cx, 1).is_some() => Status::Dead,
        Err(error) => return Err(error),
    };
    cx.push_bytes(status.name());
    Ok(1)
}

fn lua_fiber_csw(cx: Context<'_>) -> Result<usize> {
    cx.push_uint64(fiber_at(cx, 1)?.switch_count());
    Ok(1)
}

/// Cancelling itself fails at once, as every later wait would.
fn lua_fiber_cancel(cx: Context<'_>) -> Result<usize> {
    let target = fiber_at(cx, 1)?;
    target.cancel();
    if target.same(&fiber::current()) {
        fiber::test_cancel()?;
    }
    Ok(0)
}

fn lua_fiber_testcancel(cx: Context<'_>) -> Result<usize> {
    if cx.top() != 0 {
        return Err(Error::illegal_params("fiber.testcancel(): bad arguments"));
    }
    fiber::test_cancel()?;
    Ok(0)
}

fn lua_fiber_wakeup(cx: Context<'_>) -> Result<usize> {
    fiber_at(cx, 1)?.wakeup();
    Ok(0)
}

fn lua_fiber_set_joinable(cx: Context<'_>) -> Result<usize> {
    // fiber.set_joinable(flag) is the running fiber's.
    let (fiber, flag) = match cx.top() {
        1 => (fiber::current(), 1),
        2 => (fiber_at(cx, 1)?, 2),
        _ => return Err(Error::illegal_params("fiber.set_joinable(id, yesno): bad arguments")),
    };
    let joinable = cx.boolean(flag);
    if fiber.is_dead() && joinable {
        return Err(dead());
    }
    fiber.set_joinable(joinable);
    Ok(0)
}

/// `join(fiber[, timeout])`: true and the results, or false and what was raised.
fn lua_fiber_join(cx: Context<'_>) -> Result<usize> {
    let target = fiber_at(cx, 1)?;
    if !target.is_joinable() {
        return Err(Error::illegal_params("the fiber is not joinable"));
    }
    if target.same(&fiber::current()) {
        return Err(Error::illegal_params("cannot join itself"));
    }
    if cx.is_nil(2) {
        target.join();
    } else {
        let timeout = cx
            .number(2)
            .filter(|seconds| *seconds >= 0.0)
            .ok_or_else(|| Error::illegal_params("fiber:join(timeout): bad arguments"))?;
        if !target.join_timeout(duration(timeout)) {
            cx.push_boolean(false);
            cx.push_error(Error::new(Type::TimedOut, "timed out"));
            return Ok(2);
        }
    }
    cx.set_top(0);
    let Some(lua) = target.find_local::<LuaFiber>() else {
        // Another fiber has joined it meanwhile.
        return Err(dead());
    };
    cx.push_boolean(true);
    let pushed = match lua::take_results(cx, &target, &lua) {
        Ok(count) => count,
        Err(()) => {
            cx.push_boolean(false);
            cx.replace(1);
            1
        }
    };
    target.set_joinable(false);
    Ok(usize::try_from(pushed).unwrap_or(0) + 1)
}

/// The table for values of this fiber, made on first use.
fn lua_fiber_storage(cx: Context<'_>) -> Result<usize> {
    let lua = fiber_at(cx, 1)?.local(LuaFiber::default);
    if let Some(storage) = lua.storage.get() {
        cx.push_reference(&Reference::from_raw(storage));
        return Ok(1);
    }
    cx.new_table(0, 4);
    cx.push_value(-1);
    lua.storage.set(Some(cx.reference().into_raw()));
    Ok(1)
}

fn lua_fiber_set_system(cx: Context<'_>) -> Result<usize> {
    fiber_at(cx, 1)?.set_system();
    Ok(0)
}

/// Seconds as a duration; what is too long, infinite or not a number is "for ever" (a century).
fn duration(seconds: f64) -> Duration {
    const FOREVER_S: f64 = 3_153_600_000.0;
    if seconds <= 0.0 {
        return Duration::ZERO;
    }
    Duration::from_secs_f64(if seconds < FOREVER_S { seconds } else { FOREVER_S })
}

fn lua_fiber_sleep(cx: Context<'_>) -> Result<usize> {
    let usage = || Error::illegal_params("Usage: fiber.sleep(delay)");
    let seconds = cx.check_number(1).map_err(|_| usage())?;
    if cx.top() != 1 {
        return Err(usage());
    }
    fiber::rest(duration(seconds));
    fiber::test_cancel()?;
    Ok(0)
}

fn lua_fiber_yield(_: Context<'_>) -> Result<usize> {
    fiber::yield_now();
    fiber::test_cancel()?;
    Ok(0)
}

/// Waits to be woken.
fn lua_fiber_stall(_: Context<'_>) -> Result<usize> {
    fiber::suspend();
    Ok(0)
}

/// `info([fiber[, with backtraces]])`: id → {csw, name, fid, time, memory, backtrace} of one fiber
/// or every.
fn lua_fiber_info(cx: Context<'_>) -> Result<usize> {
    let has_backtraces = cx.boolean(2);
    let fibers = if cx.kind(1) == Kind::Userdata { vec![fiber_at(cx, 1)?] } else { fiber::all() };
    cx.new_table(0, fibers.len());
    for fiber in fibers.into_iter().filter(|fiber| !fiber.is_dead()) {
        cx.push_uint64(fiber.id());
        cx.new_table(0, 6);
        cx.push_uint64(fiber.id());
        cx.raw_set_field(-2, "fid");
        cx.push_bytes(fiber.name());
        cx.raw_set_field(-2, "name");
        cx.push_uint64(fiber.switch_count());
        cx.raw_set_field(-2, "csw");
        cx.push_number(fiber.run_time().as_secs_f64());
        cx.raw_set_field(-2, "time");
        cx.new_table(0, 2);
        cx.push_integer(crate::base::limits::FIBER_STACK_SIZE as i64);
        cx.raw_set_field(-2, "total");
        cx.push_integer(0);
        cx.raw_set_field(-2, "used");
        cx.raw_set_field(-2, "memory");
        if has_backtraces {
            push_backtrace(cx, &fiber);
            cx.raw_set_field(-2, "backtrace");
        }
        cx.raw_set(-3);
    }
    Ok(1)
}

/// Pushes a list of {L = text}: the Lua functions that a fiber is in, the innermost first.
fn push_backtrace(cx: Context<'_>, fiber: &Fiber) {
    cx.new_table(8, 0);
    for (number, frame) in (1..).zip(lua::frames(cx, fiber)) {
        cx.new_table(0, 1);
        let name = frame.name.as_deref().unwrap_or("(unnamed)");
        cx.push_bytes(format!("#{number:<2} {name} in {}:{}", frame.source, frame.line));
        cx.raw_set_field(-2, "L");
        cx.raw_set_index(-2, number);
    }
}

fn lua_fiber_measure(cx: Context<'_>) -> Result<usize> {
    fiber::measure(cx.boolean(1));
    Ok(0)
}

/// A slice given as a number (the error time) or as `{warn = …, err = …}`.
fn check_slice_argument(cx: Context<'_>, function: &str) -> Result<Slice> {
    let usage = || {
        Error::illegal_params(format!(
            "Usage: fiber.{function}(slice) or fiber.{function}({{warn = slice_warn, err = slice_err}})"
        ))
    };
    if cx.top() != 1 {
        return Err(usage());
    }
    let slice = if let Some(seconds) = cx.number(1) {
        Slice { warn_s: seconds, error_s: seconds }
    } else if cx.kind(1) == Kind::Table {
        cx.raw_get_field(1, "warn");
        let warn_s = cx.number(-1).ok_or_else(usage)?;
        cx.raw_get_field(1, "err");
        Slice { warn_s, error_s: cx.number(-1).ok_or_else(usage)? }
    } else {
        return Err(usage());
    };
    if slice.warn_s < 0.0 || slice.error_s < 0.0 {
        return Err(Error::illegal_params("slice value must be >= 0"));
    }
    Ok(slice)
}

fn lua_fiber_set_max_slice(cx: Context<'_>) -> Result<usize> {
    fiber::set_max_slice(check_slice_argument(cx, "set_max_slice")?);
    Ok(0)
}

fn lua_fiber_set_slice(cx: Context<'_>) -> Result<usize> {
    fiber::set_slice(check_slice_argument(cx, "set_slice")?);
    Ok(0)
}

fn lua_fiber_extend_slice(cx: Context<'_>) -> Result<usize> {
    fiber::extend_slice(check_slice_argument(cx, "extend_slice")?);
    Ok(0)
}

fn lua_fiber_check_slice(cx: Context<'_>) -> Result<usize> {
    if cx.top() != 0 {
        return Err(Error::illegal_params("fiber.check_slice(): bad arguments"));
    }
    fiber::check_slice_now()?;
    fiber::test_cancel()?;
    Ok(0)
}

// ---- conditions

fn lua_fiber_cond(cx: Context<'_>) -> Result<usize> {
    userdata::push(cx, Rc::new(Cond::new()));
    Ok(1)
}

fn cond(cx: Context<'_>, usage: &str) -> Result<Rc<Cond>> {
    userdata::get::<Rc<Cond>>(cx, 1).cloned().ok_or_else(|| Error::illegal_params(usage))
}

/// `wait(cond[, timeout])`: whether a signal came.
fn lua_cond_wait(cx: Context<'_>) -> Result<usize> {
    const USAGE: &str = "Usage: cond:wait([timeout])";
    let cond = cond(cx, USAGE)?;
    let deadline = if cx.is_nil(2) {
        None
    } else {
        let seconds = cx.number(2).filter(|seconds| *seconds >= 0.0);
        let seconds = seconds.ok_or_else(|| Error::illegal_params(USAGE))?;
        Instant::now().checked_add(duration(seconds))
    };
    fiber::test_cancel_first()?;
    let signalled = cond.wait_until(deadline);
    fiber::test_cancel()?;
    // Without a timeout a wake-up counts as a signal, as in Tarantool.
    cx.push_boolean(signalled || deadline.is_none_or(|deadline| Instant::now() < deadline));
    Ok(1)
}

fn lua_cond_signal(cx: Context<'_>) -> Result<usize> {
    cond(cx, "Usage: cond:signal()")?.signal();
    Ok(0)
}

fn lua_cond_broadcast(cx: Context<'_>) -> Result<usize> {
    cond(cx, "Usage: cond:broadcast()")?.broadcast();
    Ok(0)
}

// ---- channels

fn lua_fiber_channel(cx: Context<'_>) -> Result<usize> {
    let bad = || Error::new(Type::Luajit, "fiber.channel(size): bad arguments");
    let capacity = if cx.top() == 0 { 0.0 } else { cx.number(1).ok_or_else(bad)? };
    if cx.top() > 1 {
        return Err(bad());
    }
    if capacity < 0.0 {
        return Err(Error::new(Type::Luajit, "fiber.channel(size): negative size"));
    }
    let channel: LuaChannel = Rc::new(Channel::new(capacity as usize));
    userdata::push(cx, channel);
    Ok(1)
}

fn channel(cx: Context<'_>, usage: &str) -> Result<LuaChannel> {
    let channel = userdata::get::<LuaChannel>(cx, 1).cloned();
    channel.ok_or_else(|| Error::new(Type::Luajit, format!("usage: {usage}")))
}

fn deadline(cx: Context<'_>, index: i32, usage: &str) -> Result<Option<Instant>> {
    if cx.is_nil(index) {
        return Ok(None);
    }
    let seconds = cx.number(index).filter(|seconds| *seconds >= 0.0);
    let seconds = seconds.ok_or_else(|| Error::new(Type::Luajit, format!("usage: {usage}")))?;
    Ok(Instant::now().checked_add(duration(seconds)))
}

/// `put(channel, value[, timeout])`: whether it was put.
fn lua_channel_put(cx: Context<'_>) -> Result<usize> {
    const USAGE: &str = "channel:put(var [, timeout])";
    let channel = channel(cx, USAGE)?;
    if cx.top() < 2 {
        return Err(Error::new(Type::Luajit, format!("usage: {USAGE}")));
    }
    let deadline = deadline(cx, 3, USAGE)?;
    let result = channel.put(Passed::take(cx, 2), deadline);
    let put = match result {
        Ok(()) => true,
        Err((error, value)) => {
            value.release(cx);
            if error == ChannelError::Cancelled {
                return Err(fiber::cancelled_error());
            }
            false
        }
    };
    cx.push_boolean(put);
    Ok(1)
}

/// `get(channel[, timeout])`: the value, or nil.
fn lua_channel_get(cx: Context<'_>) -> Result<usize> {
    const USAGE: &str = "channel:get([timeout])";
    let channel = channel(cx, USAGE)?;
    let deadline = deadline(cx, 2, USAGE)?;
    match channel.get(deadline) {
        Ok(value) => value.push(cx),
        Err(ChannelError::Cancelled) => return Err(fiber::cancelled_error()),
        Err(_) => cx.push_nil(),
    }
    Ok(1)
}

/// `info(channel)`: capacity, count, closed, readers wait, writers wait.
fn lua_channel_info(cx: Context<'_>) -> Result<usize> {
    let channel = channel(cx, "channel:method()")?;
    cx.push_integer(channel.capacity() as i64);
    cx.push_integer(channel.count() as i64);
    cx.push_boolean(channel.is_closed());
    cx.push_boolean(channel.has_readers());
    cx.push_boolean(channel.has_writers());
    Ok(5)
}

/// `close(channel, graceful)`: buffered values stay to be taken, or are dropped.
fn lua_channel_close(cx: Context<'_>) -> Result<usize> {
    let channel = channel(cx, "channel:close()")?;
    if cx.boolean(2) {
        channel.close();
        return Ok(0);
    }
    channel.close();
    while channel.count() > 0 {
        match channel.get(None) {
            Ok(value) => value.release(cx),
            Err(_) => break,
        }
    }
    Ok(0)
}

/// Seconds on the loop's wall clock.
extern "C" fn time() -> f64 {
    fiber::now::realtime().as_secs_f64()
}

/// Seconds on the loop's monotonic clock.
extern "C" fn monotonic() -> f64 {
    fiber::now::monotonic().as_secs_f64()
}

/// Microseconds on the loop's wall clock.
extern "C" fn time64() -> i64 {
    i64::try_from(fiber::now::realtime().as_micros()).unwrap_or(i64::MAX)
}

/// Microseconds on the loop's monotonic clock.
extern "C" fn monotonic64() -> i64 {
    i64::try_from(fiber::now::monotonic().as_micros()).unwrap_or(i64::MAX)
}
