-- msgpack: encodes Lua values as MessagePack and decodes them, from strings and from buffers.

local ffi = require('ffi')
local add_objects = require('internal.msgpack_object')
local native = ...

local error, select, tonumber, type = error, select, tonumber, type

local pointer_type = ffi.typeof('const char *')

local function address_of(pointer)
    return tonumber(ffi.cast('uintptr_t', pointer))
end

local function is_pointer(value)
    return type(value) == 'cdata' and
        (ffi.istype('char *', value) or ffi.istype(pointer_type, value))
end

-- Pointers come back in the type they came in.
local function advance(pointer, size)
    return pointer + size
end

local function check_header_arguments(name, count, pointer, size)
    if count ~= 2 then
        error(('Usage: %s(ptr, size)'):format(name), 3)
    elseif not is_pointer(pointer) then
        error(("%s: 'char *' expected"):format(name), 3)
    elseif tonumber(size) == nil then
        error(("bad argument #2 to '?' (number expected, got %s)"):format(type(size)), 3)
    elseif size <= 0 then
        error(('%s: non-positive size'):format(name), 3)
    end
end

-- Reads the header of an array (fixarray, 0xdc, 0xdd) or map (fixmap, 0xde, 0xdf).
local function decode_header(name, fix, short, pointer, size)
    local bytes = ffi.cast('const uint8_t *', pointer)
    local first = bytes[0]
    local header, length
    if first >= fix and first < fix + 16 then
        header, length = 1, first - fix
    elseif first == short then
        header = 3
    elseif first == short + 1 then
        header = 5
    else
        error(('%s: unexpected msgpack type'):format(name), 3)
    end
    if size < header then
        error(('%s: unexpected end of buffer'):format(name), 3)
    end
    if length == nil then
        length = 0
        for i = 1, header - 1 do
            length = length * 256 + bytes[i]
        end
    end
    return length, advance(pointer, header)
end

local function decode_array_header(...)
    local pointer, size = ...
    check_header_arguments('msgpack.decode_array_header', select('#', ...), pointer, size)
    return decode_header('msgpack.decode_array_header', 0x90, 0xdc, pointer, size)
end

local function decode_map_header(...)
    local pointer, size = ...
    check_header_arguments('msgpack.decode_map_header', select('#', ...), pointer, size)
    return decode_header('msgpack.decode_map_header', 0x80, 0xde, pointer, size)
end

-- Extends an instance of the native half, which knows strings only, to buffers and pointers.
local function extend(instance)
    local encode, decode, decode_unchecked = instance.encode, instance.decode,
        instance.decode_unchecked
    local decode_pointer = instance.decode_pointer
    instance.decode_pointer = nil

    function instance.encode(...)
        if select('#', ...) < 2 then
            return encode(...)
        end
        local value, buf = ...
        if type(buf) ~= 'cdata' or not ffi.istype('struct ibuf', buf) then
            error("msgpack.encode: argument 2 must be of type 'struct ibuf'", 2)
        end
        local data = encode(value)
        ffi.copy(buf:alloc(#data), data, #data)
        return #data
    end

    function instance.decode(...)
        local data, size = ...
        if type(data) ~= 'cdata' then
            return decode(...)
        elseif not is_pointer(data) then
            error("msgpack.decode: a Lua string or 'char *' expected", 2)
        end
        local value, used = decode_pointer(address_of(data), size)
        return value, advance(data, used)
    end

    function instance.decode_unchecked(...)
        local data = ...
        if type(data) ~= 'cdata' then
            return decode_unchecked(...)
        elseif not is_pointer(data) then
            error("msgpack.decode: a Lua string or 'char *' expected", 2)
        end
        local address = address_of(data)
        local value, used = decode_pointer(address, native.size_of(address))
        return value, advance(data, used)
    end

    function instance.ibuf_decode(data)
        if data == nil then
            error('msgpack.ibuf_decode: rpos is null', 2)
        end
        local value, rest = instance.decode_unchecked(data)
        return rest, value
    end

    instance.decode_array_header = decode_array_header
    instance.decode_map_header = decode_map_header

    add_objects(instance)

    function instance.new()
        return extend(native.new())
    end
    return instance
end

return extend(native.main())
