-- box.check: checks of arguments that the public functions of `box` share.
--
-- `level` says whose place an error shows, as in Lua's error(): 1 is the caller of the check.

local error, ipairs, pairs, pcall = error, ipairs, pairs, pcall
local setmetatable, tostring, type = setmetatable, tostring, type
local ffi = require('ffi')

local int64, uint64 = ffi.typeof('int64_t'), ffi.typeof('uint64_t')

local check = {}

-- The type of an argument, where 64-bit integers are numbers.
local function type_of(value)
    local kind = type(value)
    if kind == 'cdata' and (ffi.istype(int64, value) or ffi.istype(uint64, value)) then
        return 'number'
    end
    return kind
end

-- Raises IllegalParams.
function check.refuse(message, level)
    box.error(box.error.ILLEGAL_PARAMS, message, (level or 1) + 1)
end

local refuse = check.refuse

-- Checks that an argument is of a type.
function check.param(value, name, kind, level)
    if type_of(value) ~= kind then
        refuse(name .. ' should be a ' .. kind, (level or 1) + 1)
    end
end

-- The problem with an option's value, or nil. `expected` is a type, a list of types separated by
-- commas, 'any', or a function that returns whether the value is right and what it should be.
local function problem_with(key, value, expected, level)
    if type(expected) == 'function' then
        local is_right, kind = expected(value, level + 1)
        return not is_right and
            ("options parameter '%s' should be of type %s"):format(key, kind) or nil
    elseif expected == 'any' then
        return nil
    end
    local kind = type_of(value)
    if not expected:find(',', 1, true) then
        return kind ~= expected and
            ("options parameter '%s' should be of type %s"):format(key, expected) or nil
    end
    for word in expected:gmatch('[^, ]+') do
        if word == kind then
            return nil
        end
    end
    return ("options parameter '%s' should be one of types: %s"):format(key, expected)
end

-- Checks a table of options, which may be nil, against a template: option to what is expected.
function check.options(options, template, level)
    level = level or 1
    if options == nil then
        return
    elseif type(options) ~= 'table' then
        refuse('options should be a table', level + 1)
    end
    for key, value in pairs(options) do
        if template[key] == nil then
            refuse(("unexpected option '%s'"):format(tostring(key)), level + 1)
        end
        local problem = problem_with(key, value, template[key], level + 1)
        if problem ~= nil then
            refuse(problem, level + 1)
        end
    end
end

-- A new table of the options over their defaults.
function check.with_defaults(options, defaults)
    local result = {}
    for _, source in ipairs({defaults, options or {}}) do
        for key, value in pairs(source) do
            result[key] = value
        end
    end
    return result
end

-- Raises unless box.cfg{} was called.
function check.configured(level)
    if type(box.cfg) == 'function' then
        box.error(box.error.UNCONFIGURED, (level or 1) + 1)
    end
end

function check.is_callable(value)
    if type(value) == 'function' then
        return true
    end
    local mt = debug.getmetatable(value)
    return type(mt) == 'table' and type(mt.__call) == 'function'
end

-- Results of a protected call, or its error in the place that `level` says.
local function unprotect(level, is_done, ...)
    if is_done then
        return ...
    end
    local err = ...
    if box.error.is(err) then
        box.error(err, level + 1)
    end
    error(tostring(err), level + 1)
end

-- Calls a function so that its errors show the place of the caller at `level`.
function check.call_at(level, run, ...)
    return unprotect(level, pcall(run, ...))
end

-- Marks a table as a map for serializers: an empty one would be an array.
function check.map(fields)
    return setmetatable(fields, {__serialize = 'map'})
end

-- space.method(...) instead of space:method(...).
function check.space(space, method, level)
    if type(space) ~= 'table' or (space.id == nil and space.name == nil) then
        refuse(('Use space:%s(...) instead of space.%s(...)'):format(method, method), level + 1)
    end
end

-- index.method(...) instead of index:method(...).
function check.index(index, method, level)
    if type(index) ~= 'table' or (index.id == nil and index.name == nil) then
        refuse(('Use index:%s(...) instead of index.%s(...)'):format(method, method), level + 1)
    end
end

-- Ends the transaction of a protected call. It is called in tail position, so level 2 is the
-- caller of the function that `atomic` made.
local function finish(is_done, ...)
    local err = ...
    if is_done then
        is_done, err = pcall(box.commit)
        if is_done then
            return ...
        end
    end
    box.rollback()
    if box.error.is(err) then
        box.error(err, 2)
    end
    error(err, 0)
end

-- Makes a function that runs in a transaction of its own, unless one is under way.
function check.atomic(run)
    return function(...)
        check.configured(2)
        if box.is_in_txn() then
            return run(...)
        end
        box.begin()
        return finish(pcall(run, ...))
    end
end

return check
