-- error: the C type of error objects and its methods.
local native = ...
local ffi = require('ffi')

local error, ipairs, pairs, require, tostring = error, ipairs, pairs, require, tostring

ffi.cdef('struct error { void *reference; };')

local slot = ffi.cast('void **', native.slot)
local unref = ffi.cast('void (*)(void *)', native.unref)
local native_get, native_unpack, native_set_prev = native.get, native.unpack, native.set_prev
local error_type = ffi.typeof('struct error')

-- Raises a client error at the caller of the function that called this.
local function misuse(message)
    box.error(box.error.ILLEGAL_PARAMS, message, 3)
end

local function check(err, usage)
    if not ffi.istype(error_type, err) then
        -- `box` may not be there yet.
        if box ~= nil then
            box.error(box.error.ILLEGAL_PARAMS, usage, 3)
        end
        error(usage, 3)
    end
end

local function get(err, key)
    local value, is_encoded = native_get(err, key)
    if is_encoded then
        return (require('msgpack').decode(value))
    end
    return value
end

local function unpack(err)
    check(err, 'Usage: error:unpack()')
    local fields, encoded = native_unpack(err)
    for _, name in ipairs(encoded) do
        fields[name] = require('msgpack').decode(fields[name])
    end
    return fields
end

local methods

methods = {
    unpack = unpack,
    raise = function(err)
        check(err, 'Usage: error:raise()')
        error(err)
    end,
    match = function(err, ...)
        check(err, 'Usage: error:match()')
        return get(err, 'message'):match(...)
    end,
    set_prev = function(err, prev)
        check(err, 'Usage: error1:set_prev(error2)')
        if prev ~= nil then
            check(prev, 'Usage: error1:set_prev(error2)')
        end
        if not native_set_prev(err, prev) then
            misuse('Cycles are not allowed')
        end
    end,
    __serialize = function(err)
        return get(err, 'message')
    end,
    -- Completion in the console lists the fields of the error and its causes beside the methods.
    __autocomplete = function(err)
        local shown = {}
        while err ~= nil do
            for key, value in pairs(unpack(err)) do
                if shown[key] == nil then
                    shown[key] = value
                end
            end
            err = get(err, 'prev')
        end
        for name, method in pairs(methods) do
            if name:sub(1, 2) ~= '__' then
                shown[name] = method
            end
        end
        return shown
    end,
}

local metatable = {
    __index = function(err, key)
        local method = methods[key]
        if method ~= nil then
            return method
        end
        return get(err, key)
    end,
    __tostring = function(err)
        return get(err, 'message')
    end,
    __concat = function(left, right)
        return tostring(left) .. tostring(right)
    end,
    __eq = function(left, right)
        return ffi.istype(error_type, left) and ffi.istype(error_type, right)
            and left.reference == right.reference
    end,
    __gc = function(err)
        unref(err.reference)
    end,
}

ffi.metatype(error_type, metatable)

local function make()
    local err = error_type()
    err.reference = slot[0]
    return err
end

return make, tonumber(error_type)
