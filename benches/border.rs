//! The border between Lua and Rust: what a call costs in each direction, by what it carries.
//! Each number is the time of one call, the loop around it included.
//! Run: `cargo bench --bench border`.

use std::ffi::c_void;
use std::time::{Duration, Instant};

use criterion::Criterion;
use lycosa::base::Result;
use lycosa::lua::{self, Context, Module};
use lycosa::{fiber, value};

fn lua_nothing(_: Context<'_>) -> Result<usize> {
    Ok(0)
}

fn lua_add(cx: Context<'_>) -> Result<usize> {
    let sum = cx.check_number(1)? + cx.check_number(2)?;
    cx.push_number(sum);
    Ok(1)
}

fn lua_size(cx: Context<'_>) -> Result<usize> {
    let size = cx.check_bytes(1)?.len();
    cx.push_integer(size as i64);
    Ok(1)
}

fn lua_text(cx: Context<'_>) -> Result<usize> {
    cx.push_bytes([b'x'; 32]);
    Ok(1)
}

fn lua_row(cx: Context<'_>) -> Result<usize> {
    cx.new_table(3, 0);
    for number in 1..=3 {
        cx.push_number(f64::from(number));
        cx.raw_set_index(-2, number);
    }
    Ok(1)
}

fn lua_fail(cx: Context<'_>) -> Result<usize> {
    Err(cx.bad_argument(1, "always"))
}

extern "C" fn skip(data: *const u8, size: usize) -> usize {
    // SAFETY: the script passes a string with its size.
    let data = unsafe { std::slice::from_raw_parts(data, size) };
    value::msgpack::skip(data).unwrap_or(0)
}

/// Name of a row, and the body of its loop.
const LOOPS: &[(&str, &str)] = &[
    ("call, nothing", "native.nothing()"),
    ("call, two numbers to one", "native.add(i, 1)"),
    ("call, a string of 32 bytes in", "native.size(text)"),
    ("call, a string of 32 bytes out", "native.text()"),
    ("call, a table of three out", "native.row()"),
    ("call, an error caught", "pcall(native.fail, i)"),
    ("FFI, reading 32 bytes", "sum = sum + tonumber(skip(text, #text))"),
    ("yield, two fibers", "fiber.yield()"),
];

fn native(cx: Context<'_>) {
    let skip: extern "C" fn(*const u8, usize) -> usize = skip;
    Module::new(cx)
        .function("nothing", lua_nothing)
        .function("add", lua_add)
        .function("size", lua_size)
        .function("text", lua_text)
        .function("row", lua_row)
        .function("fail", lua_fail)
        .pointer("skip", skip as *const c_void);
}

/// Pushes a function that runs the body as often as it is told.
fn push_loop(cx: Context<'_>, body: &str) -> Result<()> {
    let source = format!(
        "local native = ...\n\
         local ffi, fiber = require('ffi'), require('fiber')\n\
         local skip = ffi.cast('size_t (*)(const char *, size_t)', native.skip)\n\
         local text = '\\xd9\\x1e' .. ('x'):rep(30)\n\
         return function(count)\n\
             local sum = 0\n\
             for i = 1, count do {body} end\n\
             return sum\n\
         end"
    );
    cx.load(source.as_bytes(), "=border")?;
    native(cx);
    cx.call(1, 1)
}

/// Runs the function on top of the stack.
fn timed(cx: Context<'_>, count: u64) -> Duration {
    let start = Instant::now();
    cx.push_value(-1);
    cx.push_number(count as f64);
    cx.call(1, 0).expect("a loop that ends");
    start.elapsed()
}

fn measure(cx: Context<'_>) -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("border");
    for (name, body) in LOOPS {
        push_loop(cx, body)?;
        group.bench_function(*name, |bencher| bencher.iter_custom(|count| timed(cx, count)));
        cx.pop(1);
    }
    cx.load(b"return function(a, b) return a end", "=border")?;
    cx.call(0, 1)?;
    group.bench_function("call of Lua from Rust", |bencher| {
        bencher.iter(|| {
            cx.push_value(-1);
            cx.push_number(1.0);
            cx.push_number(2.0);
            cx.call(2, 1).expect("a call that returns");
            cx.pop(1);
        });
    });
    cx.pop(1);
    group.finish();
    Ok(())
}

fn main() {
    fiber::run("main", || {
        lua::open().expect("the machine opens");
        lua::enter(|cx| {
            lycosa::builtin::open(cx)?;
            measure(cx)
        })
        .expect("the measures run");
        fiber::stop();
    })
    .expect("the loop runs");
}
