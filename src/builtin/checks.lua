-- checks: declares the types of a function's arguments: `checks('string', '?number', {a = '?table'})`.
--
-- A type is a name, alternatives `a|b`, either optional with a leading `?`; a name may be one of
-- `type()`, a `__type` of the metatable, or a function in the global table `checkers`. A table
-- instead of a name lists the options of an argument that is a table.

local ffi = require('ffi')

local getinfo, getlocal, setlocal = debug.getinfo, debug.getlocal, debug.setlocal
local getmetatable, rawget, select, type = getmetatable, rawget, select, type
local format, gmatch, sub = string.format, string.gmatch, string.sub
local error, pairs, tostring = error, pairs, tostring

local checkers = rawget(_G, 'checkers') or {}

local function is_of_kind(value, kind)
    if type(value) == kind then
        return true
    end
    local mt = getmetatable(value)
    local declared = type(mt) == 'table' and mt.__type or nil
    if declared ~= nil and (declared == kind or
                            type(declared) == 'function' and declared(value) == kind) then
        return true
    end
    local checker = checkers[kind]
    return type(checker) == 'function' and checker(value) == true
end

-- Whether the value has one of the types in a specification such as `?string|number`.
local function matches(value, specification)
    if specification == '?' then
        return true
    end
    local names = specification
    if sub(names, 1, 1) == '?' then
        if value == nil then
            return true
        end
        names = sub(names, 2)
    end
    for name in gmatch(names, '[^|]+') do
        if sub(name, 1, 1) == '?' then
            if value == nil then
                return true
            end
            name = sub(name, 2)
        end
        if is_of_kind(value, name) then
            return true
        end
    end
    return false
end

local function actual_type(value)
    local mt = type(value) == 'table' and getmetatable(value) or nil
    if type(mt) == 'table' and type(mt.__type) == 'string' then
        return mt.__type
    end
    return type(value)
end

local function key_path(parent, key)
    if type(key) == 'string' then
        return parent .. '.' .. key
    end
    return parent .. '[' .. tostring(key) .. ']'
end

-- Checks the fields of an options table; returns nil or what is wrong.
local function check_fields(path, value, fields, name)
    for key in pairs(value) do
        if fields[key] == nil then
            return format('unexpected argument %s to %s', key_path(path, key), name)
        end
    end
    for key, specification in pairs(fields) do
        local item, item_path = value[key], key_path(path, key)
        if type(specification) == 'string' then
            if not matches(item, specification) then
                return format('bad argument %s to %s (%s expected, got %s)', item_path, name,
                              specification, actual_type(item))
            end
        elseif type(specification) == 'table' then
            if item ~= nil and type(item) ~= 'table' then
                return format('bad argument %s to %s (?table expected, got %s)', item_path, name,
                              actual_type(item))
            end
            local problem = check_fields(item_path, item or {}, specification, name)
            if problem ~= nil then
                return problem
            end
        else
            error(format('checks: type %q is not supported', type(specification)), 4)
        end
    end
    return nil
end

-- checks([level,] specification...): level 1 is the function that calls it.
local function checks(...)
    local level, skipped = 1, 0
    if type((...)) == 'number' then
        level, skipped = (...), 1
    end
    level = level + 1
    local count = select('#', ...) - skipped
    local function_name = nil
    local function name_of_function()
        if function_name == nil then
            -- One deeper: this closure is a frame of its own.
            function_name = getinfo(level + 1, 'n').name or '?'
        end
        return function_name
    end
    for i = 1, count + 1 do
        local specification = select(i + skipped, ...)
        local argument, value = getlocal(level, i)
        if i > count then
            local info = getinfo(level, 'u')
            if argument ~= nil and i <= (info.nparams or 0) then
                error(format('checks: argument %q is not checked', argument), level)
            end
            break
        elseif argument == nil then
            error('checks: excess check, absent argument', level)
        elseif type(specification) == 'string' then
            if not matches(value, specification) then
                local message = format('bad argument #%d to %s (%s expected, got %s)', i,
                                       name_of_function(), specification, actual_type(value))
                error(message, level)
            end
        elseif type(specification) == 'table' then
            if value == nil then
                value = {}
                setlocal(level, i, value)
            elseif type(value) ~= 'table' then
                local message = format('bad argument #%d to %s (?table expected, got %s)', i,
                                       name_of_function(), actual_type(value))
                error(message, level)
            end
            local problem = check_fields(argument, value, specification, name_of_function())
            if problem ~= nil then
                error(problem, level)
            end
        else
            error(format('checks: type %q is not supported', type(specification)), level)
        end
    end
end

-- Types of Tarantool. Each module is looked up when a value is checked, so none is loaded for it.

local function is_cdata_of(ctype)
    return function(value)
        return type(value) == 'cdata' and ffi.istype(ctype, value)
    end
end

local is_int64_cdata, is_uint64_cdata = is_cdata_of('int64_t'), is_cdata_of('uint64_t')

function checkers.int64(value)
    if type(value) == 'number' then
        return value >= -2 ^ 63 and value < 2 ^ 63 and value % 1 == 0
    elseif is_int64_cdata(value) then
        return true
    end
    return is_uint64_cdata(value) and value < 2ULL ^ 63
end

function checkers.uint64(value)
    if type(value) == 'number' then
        return value >= 0 and value < 2 ^ 64 and value % 1 == 0
    elseif is_uint64_cdata(value) then
        return true
    end
    return is_int64_cdata(value) and value >= 0
end

function checkers.uuid(value)
    return require('uuid').is_uuid(value)
end

function checkers.uuid_str(value)
    return type(value) == 'string' and require('uuid').fromstr(value) ~= nil
end

function checkers.uuid_bin(value)
    return type(value) == 'string' and #value == 16 and require('uuid').frombin(value) ~= nil
end

function checkers.decimal(value)
    return require('decimal').is_decimal(value)
end

function checkers.datetime(value)
    return require('datetime').is_datetime(value)
end

function checkers.interval(value)
    return require('datetime').interval.is_interval(value)
end

function checkers.error(value)
    return box.error.is(value)
end

function checkers.tuple(value)
    return box.tuple.is(value)
end

_G.checkers = checkers
_G.checks = checks
_G._checks_v2_compatible = true

-- The module can be called, too. A tail call leaves no frame between checks and who calls it.
return setmetatable({
    _VERSION = '3.3.0',
    checks = checks,
}, {__call = function(_, ...) return checks(...) end})
