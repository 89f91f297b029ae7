-- box.error: making and raising errors, the last error of the fiber, the table of codes.
--
-- `level` everywhere says whose place the error shows, as in Lua's error(): 1 (the default) is the
-- caller of the function called here, 0 is nobody.
local native, box = ...

local error, ipairs, pairs, select, setmetatable = error, ipairs, pairs, select, setmetatable
local require, tostring, type = require, tostring, type
local getinfo, string_format = debug.getinfo, string.format

local create, is_error, get_last, set_last, set_place =
    native.error_create, native.error_is, native.error_last, native.error_set_last,
    native.error_set_place
local codes = native.error_code_table()

-- Fields of every error, which a payload cannot replace.
local BUILTIN_FIELDS = {
    type = true, message = true, trace = true, prev = true, base_type = true, code = true,
    reason = true, errno = true, custom_type = true,
}

-- Lua's format has no length modifiers and no unsigned.
for _, code in pairs(codes) do
    code.lua_format = code.format:gsub('%%[lhz]*([dus])', function(letter)
        return letter == 's' and '%s' or '%d'
    end)
end

-- File and line of the function `level` calls up from the one that called this.
local function place_of(level)
    if level <= 0 then
        return '', 0
    end
    local info = getinfo(level + 2, 'Sl')
    if info == nil then
        return '', 0
    end
    return info.short_src, info.currentline > 0 and info.currentline or 0
end

-- Adds a payload field; values that are not scalars are kept as MessagePack.
local function add_field(payload, name, value)
    local kind = type(value)
    if kind == 'nil' then
        return
    end
    local is_scalar = kind == 'string' or kind == 'number' or kind == 'boolean'
    if not is_scalar then
        value = require('msgpack').encode(value)
    end
    payload[#payload + 1] = {name, value, not is_scalar}
end

-- What box.error() and box.error.new() make of their arguments: the parts of an error, or nil when
-- the arguments are wrong.

local function parts_from_code(...)
    local number, count = (...), select('#', ...)
    local code = codes[number]
    local fields, message = {}, 'Unknown error'
    if code ~= nil then
        fields, message = code.fields, code.lua_format
    end
    local level = select(2 + #fields, ...)
    if level ~= nil and type(level) ~= 'number' then
        return nil
    elseif count > 1 then
        message = string_format(message, select(2, ...))
    elseif message:find('%%') then
        return nil
    end
    local payload = {}
    for i, name in ipairs(fields) do
        if name ~= '' and i < count then
            add_field(payload, name, (select(i + 1, ...)))
        end
    end
    return {code = number, message = message, payload = payload, level = level or 1}
end

local function parts_from_type(...)
    local custom_type, message = ...
    if type(message) ~= 'string' then
        return nil
    end
    message = string_format(select(2, ...))
    return {code = 0, custom_type = custom_type, message = message, payload = {}, level = 1}
end

local function parts_from_table(...)
    local given, level = ...
    if select('#', ...) > 2 or level ~= nil and type(level) ~= 'number' then
        return nil
    end
    local number = tonumber(given.code) or 0
    local message = given[1] or given.message or given.reason
    if message == nil and given.type == nil then
        message = codes[number] ~= nil and codes[number].format or 'Unknown error'
    end
    if given.prev ~= nil and not is_error(given.prev) then
        return nil, ("Invalid argument 'prev' (error expected, got %s)"):format(type(given.prev))
    end
    local payload = {}
    for key, value in pairs(given) do
        if type(key) == 'string' and not BUILTIN_FIELDS[key] then
            add_field(payload, key, value)
        end
    end
    return {
        code = number,
        custom_type = given.type ~= nil and tostring(given.type) or nil,
        message = message ~= nil and tostring(message) or '',
        payload = payload,
        prev = given.prev,
        level = level or 1,
    }
end

local READERS = {number = parts_from_code, string = parts_from_type, table = parts_from_table}

local function read(...)
    local reader = READERS[type((...))]
    if reader == nil then
        return nil
    end
    return reader(...)
end

local function build(parts, file, line)
    return create(parts.code, parts.custom_type, parts.message, file, line, parts.prev,
        parts.payload)
end

local function raise(err)
    set_last(err)
    error(err)
end

-- Raises IllegalParams of the caller's caller.
local function refuse(message)
    local file, line = place_of(2)
    raise(create(1, nil, message, file, line, nil, {}))
end

local methods = {}

-- Makes an error without raising it.
function methods.new(...)
    local parts, problem = read(...)
    if parts == nil then
        refuse(problem or 'box.error.new(): bad arguments')
    end
    local err = build(parts, place_of(parts.level))
    return err
end

-- The error raised last in this fiber.
function methods.last(...)
    if select('#', ...) > 0 then
        refuse('box.error.last(): bad arguments')
    end
    return get_last()
end

function methods.clear(...)
    if select('#', ...) > 0 then
        refuse('box.error.clear(): bad arguments')
    end
    set_last(nil)
end

function methods.set(...)
    if select('#', ...) == 0 then
        refuse('Usage: box.error.set(error)')
    elseif not is_error((...)) then
        refuse(('Invalid argument #1 (error expected, got %s)'):format(type((...))))
    end
    set_last((...))
end

methods.is = is_error

-- box.error(...): raises the error it is given or makes; without arguments, the last one again.
local function call(_, ...)
    if select('#', ...) == 0 then
        local err = get_last()
        if err ~= nil then
            error(err)
        end
        return
    end
    local err, level = ...
    if is_error(err) then
        if select('#', ...) > 2 or level ~= nil and type(level) ~= 'number' then
            refuse('box.error(): bad arguments')
        elseif level ~= nil then
            set_place(err, place_of(level))
        end
        raise(err)
    end
    local parts, problem = read(...)
    if parts == nil then
        refuse(problem or 'box.error(): bad arguments')
    end
    err = build(parts, place_of(parts.level))
    raise(err)
end

--
-- Faults for tests
--

local injection = {}

function injection.set(name, value)
    if native.error_injection_set(name, value) then
        return 'ok'
    end
    return ("error: can't find error injection '%s'"):format(name)
end

function injection.get(name)
    local value = native.error_injection_get(name)
    if value == nil then
        return ("error: can't find error injection '%s'"):format(name)
    end
    return value
end

function injection.info()
    local info = {}
    for _, name in ipairs(native.error_injection_names()) do
        info[name] = {state = native.error_injection_get(name)}
    end
    return info
end

local box_error = {injection = injection}
for number, code in pairs(codes) do
    box_error[code.name] = number
end

box.error = setmetatable(box_error, {__call = call, __index = methods})
