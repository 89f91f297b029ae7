-- tap: a producer of the Test Anything Protocol, version 13, with nested subtests.

local ffi = require('ffi')

local getinfo = debug.getinfo
local format, rep, gmatch, match = string.format, string.rep, string.gmatch, string.match
local write = io.write

local INDENT = 4

-- Extra diagnostics may hold any Lua value, so this serializer never refuses one.
local encoder

local function encode(value)
    if encoder == nil then
        encoder = require('yaml').new()
        encoder.cfg({
            encode_invalid_numbers = true,
            encode_load_metatables = true,
            encode_use_tostring = true,
            encode_invalid_as_nil = true,
        })
    end
    return encoder.encode(value)
end

local function indent(test, extra)
    return rep(' ', INDENT * test.level + (extra or 0))
end

-- The call stack of a failed check, without the frames of this module.
local function traceback()
    local trace = {}
    local level = 3
    local info = getinfo(level, 'nSl')
    while info ~= nil do
        trace[#trace + 1] = {
            source = info.source,
            src = info.short_src,
            line = info.currentline or 0,
            what = info.what,
            name = info.name,
            namewhat = info.namewhat,
            filename = match(info.source, '^@(.*)$') or 'eval',
        }
        level = level + 1
        info = getinfo(level, 'nSl')
    end
    return trace
end

local methods = {}
local test_mt = {__index = methods}

function methods.diag(test, fmt, ...)
    write(indent(test), '# ', format(fmt, ...), '\n')
end

function methods.ok(test, condition, message, extra)
    test.total = test.total + 1
    if condition then
        write(indent(test), 'ok - ', tostring(message), '\n')
        return true
    end
    test.failed = test.failed + 1
    write(indent(test), 'not ok - ', tostring(message), '\n')
    extra = extra or {}
    if test.trace then
        extra.trace = traceback()
        local frame = extra.trace[#extra.trace]
        if frame ~= nil then
            extra.filename, extra.line = frame.filename, frame.line
        end
    end
    if next(extra) == nil then
        return false
    end
    for line in gmatch(encode(extra), '[^\n]+') do
        write(indent(test, 2), line, '\n')
    end
    return false
end

local ok = methods.ok

function methods.fail(test, message, extra)
    return ok(test, false, message, extra)
end

function methods.skip(test, message, extra)
    ok(test, true, message .. ' # skip', extra)
end

local function as_lua_boolean(value)
    if type(value) == 'cdata' and ffi.istype('bool', value) then
        return value == 1
    end
    return value
end

-- Compares two values recursively and leaves in `extra` where and how they differ.
local function compare(got, expected, extra)
    if type(got) == 'number' or type(expected) == 'number' then
        extra.got, extra.expected = got, expected
        local both_nan = got ~= got and expected ~= expected
        return both_nan or got == expected
    end
    got, expected = as_lua_boolean(got), as_lua_boolean(expected)
    if extra.strict and type(got) ~= type(expected) then
        extra.got, extra.expected = type(got), type(expected)
        return false
    end
    if type(got) ~= 'table' or type(expected) ~= 'table' then
        extra.got, extra.expected = got, expected
        return got == expected
    end
    local path = extra.path or '/'
    for key, value in pairs(got) do
        extra.path = path .. '/' .. tostring(key)
        if not compare(value, expected[key], extra) then
            return false
        end
    end
    for key, value in pairs(expected) do
        -- Outside strict mode a null stands for an absent key.
        if rawequal(got[key], nil) and (extra.strict or value ~= nil) then
            extra.expected = 'key ' .. tostring(key)
            extra.got = 'nil'
            return false
        end
    end
    extra.path = path
    return true
end

function methods.like(test, got, pattern, message, extra)
    extra = extra or {}
    extra.got, extra.expected = got, pattern
    return ok(test, match(tostring(got), pattern) ~= nil, message, extra)
end

function methods.unlike(test, got, pattern, message, extra)
    extra = extra or {}
    extra.got, extra.expected = got, pattern
    return ok(test, match(tostring(got), pattern) == nil, message, extra)
end

function methods.is(test, got, expected, message, extra)
    extra = extra or {}
    extra.got, extra.expected = got, expected
    local same_type = not test.strict or type(got) == type(expected)
    return ok(test, same_type and got == expected, message, extra)
end

function methods.isnt(test, got, unexpected, message, extra)
    extra = extra or {}
    extra.got, extra.unexpected = got, unexpected
    local other_type = test.strict and type(got) ~= type(unexpected)
    return ok(test, other_type or got ~= unexpected, message, extra)
end

function methods.is_deeply(test, got, expected, message, extra)
    extra = extra or {}
    extra.got, extra.expected, extra.strict = got, expected, test.strict
    return ok(test, compare(got, expected, extra), message, extra)
end

local function is_of_type(expected)
    return function(test, value, message, extra)
        return methods.is(test, type(value), expected, message, extra)
    end
end

methods.isnumber = is_of_type('number')
methods.isstring = is_of_type('string')
methods.istable = is_of_type('table')
methods.isboolean = is_of_type('boolean')
methods.isfunction = is_of_type('function')

function methods.isnil(test, value, message, extra)
    return methods.is(test, not value and 'nil' or value, 'nil', message, extra)
end

function methods.isudata(test, value, type_name, message, extra)
    extra = extra or {}
    extra.expected = 'userdata<' .. type_name .. '>'
    if type(value) ~= 'userdata' then
        extra.got = type(value)
        return ok(test, false, message, extra)
    end
    extra.got = 'userdata<' .. tostring(getmetatable(value)) .. '>'
    return ok(test, getmetatable(value) == type_name, message, extra)
end

function methods.iscdata(test, value, ctype, message, extra)
    extra = extra or {}
    extra.expected = ffi.typeof(ctype)
    if type(value) ~= 'cdata' then
        extra.got = type(value)
        return ok(test, false, message, extra)
    end
    extra.got = ffi.typeof(value)
    return ok(test, ffi.istype(ctype, value), message, extra)
end

function methods.plan(test, planned)
    test.planned = planned
    write(indent(test), format('1..%d\n', planned))
end

-- Reports the subtest to its parent; returns whether everything planned ran and passed.
function methods.check(test)
    if test.checked then
        error('check called twice', 2)
    end
    test.checked = true
    local parent = test.parent
    if test.planned ~= test.total then
        if parent ~= nil then
            ok(parent, false, 'bad plan', {planned = test.planned, run = test.total})
        else
            methods.diag(test, 'bad plan: planned %d run %d', test.planned, test.total)
        end
    elseif test.failed > 0 then
        if parent ~= nil then
            ok(parent, false, 'failed subtests', {failed = test.failed, planned = test.planned})
        else
            methods.diag(test, 'failed subtest: %d', test.failed)
        end
    elseif parent ~= nil then
        ok(parent, true, test.name)
    end
    return test.planned == test.total and test.failed == 0
end

function methods.test(parent, name, fn, ...)
    local trace, strict, level = true, false, 0
    if parent ~= nil then
        trace, strict, level = parent.trace, parent.strict, parent.level + 1
    end
    local test = setmetatable({
        parent = parent,
        name = name,
        level = level,
        total = 0,
        failed = 0,
        planned = 0,
        trace = trace,
        strict = strict,
    }, test_mt)
    if fn == nil then
        return test
    end
    test:diag('%s', test.name)
    fn(test, ...)
    test:diag('%s: end', test.name)
    return test:check()
end

local function root_test(...)
    write('TAP version 13\n')
    return methods.test(nil, ...)
end

return {
    test = root_test,
}
