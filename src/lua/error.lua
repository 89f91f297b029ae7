-- error: the C type of error objects and its methods.
local ffi = require('ffi')
local native = ...

ffi.cdef('struct error { void *reference; };')

local slot = ffi.cast('void **', native.slot)
local unref = ffi.cast('void (*)(void *)', native.unref)
local get, unpack = native.get, native.unpack
local error_type = ffi.typeof('struct error')

local methods = {
    unpack = function(err)
        if not ffi.istype(error_type, err) then
            error('Usage: error:unpack()', 2)
        end
        return unpack(err)
    end,
    raise = function(err)
        if not ffi.istype(error_type, err) then
            error('Usage: error:raise()', 2)
        end
        error(err)
    end,
    match = function(err, ...)
        return get(err, 'message'):match(...)
    end,
    is = function(err, kind)
        return get(err, 'type') == kind
    end,
    set_prev = native.set_prev,
    __serialize = function(err)
        return get(err, 'message')
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
    -- Completion in the console lists these beside the methods.
    __autocomplete = function()
        return {'type', 'message', 'trace', 'prev', 'base_type', 'code', 'errno', 'match',
            'raise', 'unpack', 'set_prev'}
    end,
}

ffi.metatype(error_type, metatable)

local function make()
    local err = error_type()
    err.reference = slot[0]
    return err
end

return make, tonumber(error_type)
