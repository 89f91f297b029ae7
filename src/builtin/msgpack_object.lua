-- msgpack_object: MessagePack kept as it is, looked into on demand (`msgpack.object`).
--
-- The cdata holds where the bytes are, for the encoders, by names that no map is likely to have. The
-- string they are in, and what was decoded of it, are kept beside it for as long as it lives.

local ffi = require('ffi')

local error, select, setmetatable, type = error, select, setmetatable, type

local native = ...
-- check(bytes, offset): the size of the value at an offset (from 0), or an error.
local check = native.check

ffi.cdef([[
    struct msgpack_object {
        const char *_bytes;
        size_t _size;
    };
]])

local object_type = ffi.typeof('struct msgpack_object')

-- Object to {bytes, instance, decode, decoded, names}: names are keys of a map by what they are
-- called, decode(bytes, offset) is the instance's unless the bytes came with something of their own.
local details = setmetatable({}, {__mode = 'k'})

local function is_object(value)
    return ffi.istype(object_type, value)
end

local function check_object(value)
    if not is_object(value) then
        local name = value == nil and 'no value' or type(value)
        error(("bad argument #1 to '?' (msgpack.object expected, got %s)"):format(name), 3)
    end
    return details[value]
end

local function make(bytes, instance, decode, names)
    local object = object_type()
    object._bytes = bytes
    object._size = #bytes
    details[object] = {
        bytes = bytes, instance = instance, decode = decode or instance.decode_unchecked,
        names = names,
    }
    return object
end

-- Iterators -------------------------------------------------------------------------------

local Iterator = {}
Iterator.__index = Iterator

function Iterator.__tostring()
    return 'msgpack.iterator'
end

local function check_iterator(value)
    if getmetatable(value) ~= Iterator then
        error(("bad argument #1 to '?' (msgpack.iterator expected, got %s)"):format(type(value)),
              3)
    end
end

local function check_end(self)
    if self.position >= #self.bytes then
        error('iteration ended', 3)
    end
end

function Iterator.decode(self)
    check_iterator(self)
    check_end(self)
    local value, offset = self.detail.decode(self.bytes, self.position + 1)
    self.position = offset - 1
    return value
end

local function decode_header(self, decode)
    local start = ffi.cast('const char *', self.bytes)
    local ok, count, rest = pcall(decode, start + self.position, #self.bytes - self.position)
    if not ok then
        error('unexpected msgpack type', 3)
    end
    self.position = tonumber(rest - start)
    return count
end

function Iterator.decode_array_header(self)
    check_iterator(self)
    check_end(self)
    return (decode_header(self, self.detail.instance.decode_array_header))
end

function Iterator.decode_map_header(self)
    check_iterator(self)
    check_end(self)
    return (decode_header(self, self.detail.instance.decode_map_header))
end

function Iterator.skip(self)
    check_iterator(self)
    check_end(self)
    self.position = self.position + check(self.bytes, self.position)
end

function Iterator.take(self)
    check_iterator(self)
    check_end(self)
    local start = self.position
    self.position = start + check(self.bytes, start)
    local bytes = self.bytes:sub(start + 1, self.position)
    return make(bytes, self.detail.instance, self.detail.decode)
end

local function array_header(count)
    if count < 16 then
        return string.char(0x90 + count)
    elseif count < 65536 then
        return string.char(0xdc, bit.rshift(count, 8), bit.band(count, 255))
    end
    local bytes = {0xdd}
    for i = 3, 0, -1 do
        bytes[#bytes + 1] = bit.band(bit.rshift(count, i * 8), 255)
    end
    return string.char(unpack(bytes))
end

-- The next values as one array.
function Iterator.take_array(self, count)
    check_iterator(self)
    if type(count) ~= 'number' then
        error('Usage: iter:take_array(count)', 2)
    elseif count < 0 then
        error('count must be >= 0', 2)
    end
    local position = self.position
    for _ = 1, count do
        if position >= #self.bytes then
            error('iteration ended', 2)
        end
        position = position + check(self.bytes, position)
    end
    local items = self.bytes:sub(self.position + 1, position)
    self.position = position
    return make(array_header(count) .. items, self.detail.instance, self.detail.decode)
end

-- Objects ---------------------------------------------------------------------------------

local methods = {}

function methods.decode(object)
    local detail = check_object(object)
    return (detail.decode(detail.bytes))
end

function methods.iterator(object)
    local detail = check_object(object)
    return setmetatable({bytes = detail.bytes, position = 0, detail = detail}, Iterator)
end

-- A field of an array or map, which is decoded once.
function methods.get(object, key)
    local detail = check_object(object)
    if detail.decoded == nil then
        local decoded = detail.decode(detail.bytes)
        if type(decoded) ~= 'table' then
            error('not an array or map', 2)
        end
        detail.decoded = decoded
    end
    if detail.names ~= nil and type(key) == 'string' and detail.names[key] ~= nil then
        key = detail.names[key]
    end
    return rawget(detail.decoded, key)
end

ffi.metatype(object_type, {
    __tostring = function()
        return 'msgpack.object'
    end,
    __index = function(object, key)
        if type(key) == 'string' and methods[key] ~= nil then
            return methods[key]
        end
        return methods.get(object, key)
    end,
})

native.register(tonumber(object_type))

-- Adds the constructors to an instance of the serializer.
return function(instance)
    function instance.object(...)
        if select('#', ...) ~= 1 then
            error('msgpack.object: a Lua object expected', 2)
        end
        return make(instance.encode((...)), instance)
    end

    -- `names` is for packets of the binary protocol, whose keys are numbers, and `decode` for those
    -- that tell of formats.
    function instance.object_from_raw(data, size, names, decode)
        if type(data) == 'cdata' then
            if type(size) ~= 'number' then
                local message = "bad argument #2 to 'object_from_raw' (number expected, got %s)"
                error(message:format(type(size)), 2)
            end
            data = ffi.string(data, size)
        elseif type(data) ~= 'string' then
            error("msgpack.object_from_raw: a Lua string or 'char *' expected", 2)
        end
        if check(data, 0) ~= #data then
            box.error(box.error.INVALID_MSGPACK, 'junk after input')
        end
        return make(data, instance, decode, names)
    end

    instance.is_object = is_object
end
