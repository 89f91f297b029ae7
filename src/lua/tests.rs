//! Claims about the border: yields anywhere, errors, limits.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::base::error::{Error, Type};
use crate::client_error;
use crate::fiber;

fn lua_yield(_: Context<'_>) -> crate::base::Result<usize> {
    fiber::yield_now();
    Ok(0)
}

fn lua_fail(_: Context<'_>) -> crate::base::Result<usize> {
    Err(client_error!(ER_NO_SUCH_SPACE, "users"))
}

/// Runs a chunk in a fiber of a VM on a thread of its own; the chunk's error, if it failed.
fn run_chunk(source: &'static str) -> Option<Error> {
    run_chunk_with_limit(source, 1 << 30)
}

fn run_chunk_with_limit(source: &'static str, limit: usize) -> Option<Error> {
    let thread = std::thread::spawn(move || {
        let outcome = Rc::new(RefCell::new(None));
        let seen = outcome.clone();
        set_limit_bytes(limit);
        fiber::run("main", move || {
            open().expect("the VM opens");
            let result = enter(|cx| {
                module::push_function(cx, lua_yield);
                cx.set_global("yield");
                module::push_function(cx, lua_fail);
                cx.set_global("fail");
                cx.load(source.as_bytes(), "=test")?;
                cx.call(0, 0)
            });
            seen.replace(result.err());
            fiber::stop();
        })
        .expect("the loop runs");
        outcome.take()
    });
    thread.join().expect("no panic")
}

fn passes(source: &'static str) {
    if let Some(error) = run_chunk(source) {
        panic!("{error}");
    }
}

#[test]
fn compiled_code_loads_what_each_ffi_call_has_left() {
    passes(
        r#"
        local ffi = require('ffi')
        ffi.cdef('void *memcpy(void *, const void *, size_t)')
        local source, cell = ffi.new('double[101]'), ffi.new('double[1]')
        for i = 0, 100 do source[i] = i end
        jit.opt.start(3)
        for i = 0, 99 do
            ffi.C.memcpy(cell, source + i, 8)
            local first = cell[0]
            ffi.C.memcpy(cell, source + i + 1, 8)
            assert(first < cell[0], i)
        end
        "#,
    );
}

#[test]
fn yield_works_inside_everything_that_calls_back() {
    passes(
        r#"
        local t = {}
        for i = 1, 50 do t[i] = (i * 7919) % 101 end
        table.sort(t, function(a, b) yield() return a < b end)
        for i = 2, 50 do assert(t[i - 1] <= t[i]) end
        assert(('abc'):gsub('.', function(c) yield() return c:upper() end) == 'ABC')
        local co = coroutine.wrap(function() for i = 1, 5 do yield() coroutine.yield(i) end end)
        for i = 1, 5 do yield() assert(co() == i) end
        package.preload.m = function() yield() return {x = 1} end
        assert(require('m').x == 1)
        local ok, e = pcall(function() yield() error({code = 5}) end)
        assert(not ok and e.code == 5)
        ok, e = xpcall(function() yield() error('x', 0) end, function(e) yield() return e .. 'y' end)
        assert(e == 'xy')
        local mt = setmetatable({}, {__index = function(_, k) yield() return k end})
        local s = 0
        for i = 1, 10000 do s = s + mt[i] end
        assert(s == 50005000)
        for k in (function() yield() return nil end) do end
        "#,
    );
}

#[test]
fn interleaved_fibers_with_compiled_loops_keep_their_state() {
    let failure = Rc::new(RefCell::new(None));
    let seen = failure.clone();
    fiber::run("main", move || {
        open().expect("the VM opens");
        let fibers: Vec<_> = (0..8)
            .map(|_| {
                enter(|cx| {
                    module::push_function(cx, lua_yield);
                    cx.set_global("yield");
                    cx.load(
                        b"local s = 0 for i = 1, 3000 do
                            for j = 1, 40 do s = s + j % 7 end
                            local ok = pcall(error, 'x') assert(not ok)
                            yield()
                          end return s",
                        "=loop",
                    )
                    .expect("compiles");
                    let fiber = spawn(cx, 0, "worker").expect("starts");
                    fiber.set_joinable(true);
                    fiber
                })
            })
            .collect();
        for fiber in fibers {
            let lua = fiber.find_local::<LuaFiber>().expect("a Lua fiber");
            fiber.join();
            enter(|cx| {
                let count = take_results(cx, &fiber, &lua);
                if count != Ok(1) || cx.number(-1) != Some(360_000.0) {
                    seen.replace(Some(format!("{count:?} {:?}", cx.to_text(-1))));
                }
            });
        }
        fiber::stop();
    })
    .expect("the loop runs");
    assert_eq!(failure.take(), None);
}

#[test]
fn errors_are_objects_in_lua_and_come_back_whole() {
    passes(
        r#"
        local ok, e = pcall(fail)
        assert(not ok and type(e) == 'cdata')
        assert(e.type == 'ClientError' and e.code == 36)
        assert(e.message == "Space 'users' does not exist" and tostring(e) == e.message)
        assert(e.space == 'users' and e:unpack().space == 'users')
        assert(e.prev == nil and e ~= nil and e == e)
        assert(require('ffi').istype('struct error', e))
        local ok, again = pcall(error, e)
        assert(again == e)
        "#,
    );
    let error = run_chunk("fail()").expect("it fails");
    assert!(error.is(&crate::base::error_code::ER_NO_SUCH_SPACE));
    let error = run_chunk("error('plain', 0)").expect("it fails");
    assert_eq!((error.kind(), error.message()), (Type::Luajit, "plain"));
}

#[test]
fn reaching_the_memory_limit_is_an_error_and_not_the_end() {
    let error = run_chunk_with_limit(
        r#"
        local ok, e = pcall(function()
            local t = {}
            while true do t[#t + 1] = string.rep('x', 1e6) .. #t end
        end)
        assert(not ok and tostring(e):match('not enough memory'), e)
        yield()
        local s = string.rep('y', 1e6)
        assert(#s == 1e6)
        "#,
        32 * 1024 * 1024,
    );
    assert!(error.is_none(), "{error:?}");
}

#[test]
fn lua_recursion_without_end_is_an_error() {
    passes(
        r#"
        local function deep() return 1 + deep() end
        local ok, e = pcall(deep)
        assert(not ok and tostring(e):match('stack overflow'))
        "#,
    );
}

#[test]
fn native_recursion_without_end_ends_its_fiber_only() {
    fiber::run("main", || {
        open().expect("the VM opens");
        let deep = enter(|cx| {
            cx.load(b"local function f(s) return (s:gsub('.', f)) end return f('x')", "=deep")
                .expect("compiles");
            spawn(cx, 0, "deep").expect("starts")
        });
        deep.join();
        let after = enter(|cx| {
            cx.load(
                b"local t = {} for i = 1, 1e5 do t[i] = {i} end collectgarbage() return #t",
                "=x",
            )
            .expect("compiles");
            cx.call(0, 1).expect("the VM still works");
            cx.number(-1)
        });
        assert_eq!(after, Some(1e5));
        fiber::stop();
    })
    .expect("the loop runs");
}

#[test]
fn integers_beyond_doubles_are_cdata() {
    passes("assert(tostring(2^53) == '9.007199254741e+15')");
    fiber::run("main", || {
        open().expect("the VM opens");
        enter(|cx| {
            cx.push_int64(i64::MIN);
            cx.push_uint64(u64::MAX);
            cx.push_int64(7);
            assert_eq!(cx.kind(1), Kind::Cdata);
            assert_eq!(cx.integer(1), Some(i64::MIN));
            assert_eq!(cx.cdata(2).and_then(Cdata::unsigned), Some(u64::MAX));
            assert_eq!(cx.number(3), Some(7.0));
            cx.push_null();
            assert!(cx.is_null(4) && !cx.is_nil(4));
        });
        fiber::stop();
    })
    .expect("the loop runs");
}
