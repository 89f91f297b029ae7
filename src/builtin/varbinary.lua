-- varbinary: binary data as an object of its own type, which serializers keep apart from strings.

local ffi = require('ffi')
local native = ...

ffi.cdef([[
    struct varbinary {
        uint32_t size;
        char data[?];
    };
]])

local varbinary_type = ffi.typeof('struct varbinary')

local function is(value)
    return ffi.istype(varbinary_type, value)
end

-- new(string), new(object), new(pointer, size), new().
local function new(data, size)
    if data == nil then
        size = 0
    elseif type(data) == 'string' then
        size = #data
    elseif is(data) then
        data, size = data.data, data.size
    elseif type(data) ~= 'cdata' or not pcall(ffi.cast, 'const char *', data) or
           type(size) ~= 'number' then
        error('Usage: varbinary.new(str) or varbinary.new(ptr, size)', 2)
    end
    local object = varbinary_type(size)
    object.size = size
    if size > 0 then
        ffi.copy(object.data, ffi.cast('const char *', data), size)
    end
    return object
end

local function to_string(object)
    return ffi.string(object.data, object.size)
end

ffi.metatype(varbinary_type, {
    __len = function(object)
        return object.size
    end,
    __tostring = to_string,
    __eq = function(left, right)
        if not (type(left) == 'string' or is(left)) or not (type(right) == 'string' or is(right)) then
            return false
        end
        return tostring(left) == tostring(right)
    end,
})

native.register(tonumber(varbinary_type), new)
require('internal.tweaks')('msgpack_decode_binary_as_string', native.set_as_string)

return {
    is = is,
    new = new,
}
