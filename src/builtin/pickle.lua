-- pickle: packs values into bytes by a format string, and unpacks them.
--
-- b B 1 byte; s S 2, i I 4, l L q Q 8, little endian; n 2, N 4, big endian; f d floats; a A bytes.

local ffi = require('ffi')

local error, select, tonumber, type = error, select, tonumber, type
local byte, char, reverse, sub = string.byte, string.char, string.reverse, string.sub

local SIZES = {b = 1, s = 2, n = 2, i = 4, N = 4, l = 8, q = 8, d = 8, f = 4}
local ALIASES = {B = 'b', S = 's', I = 'i', L = 'l', Q = 'q', A = 'a'}

local function unsigned(value, size)
    local text = {}
    value = ffi.cast('uint64_t', value)
    for i = 1, size do
        text[i] = char(tonumber(value % 256))
        value = value / 256
    end
    return table.concat(text)
end

local function pack_one(kind, value)
    if kind == 'a' then
        if type(value) ~= 'string' then
            error('pickle.pack: expected string', 3)
        end
        return value
    elseif kind == 'd' or kind == 'f' then
        local holder = ffi.new(kind == 'd' and 'double[1]' or 'float[1]', tonumber(value))
        return ffi.string(holder, SIZES[kind])
    end
    local number = type(value) == 'cdata' and value or tonumber(value)
    if number == nil then
        error('pickle.pack: expected number', 3)
    end
    -- A negative double converts to unsigned by way of the signed type.
    if type(number) == 'number' and number < 0 then
        number = ffi.cast('int64_t', number)
    end
    local text = unsigned(number, SIZES[kind])
    return (kind == 'n' or kind == 'N') and reverse(text) or text
end

local function pack(...)
    local format = ...
    if type(format) ~= 'string' then
        error("bad argument #1 to 'pack' (string expected, got " .. type(format) .. ')', 2)
    end
    local parts = {}
    local count = select('#', ...) - 1
    if #format > count then
        error('pickle.pack: argument count does not match the format', 2)
    elseif #format < count then
        error('pickle.pack: argument count does not match the format', 2)
    end
    for i = 1, #format do
        local kind = sub(format, i, i)
        kind = ALIASES[kind] or kind
        if kind ~= 'a' and SIZES[kind] == nil then
            error(("pickle.pack: unsupported pack format specifier '%s'"):format(kind), 2)
        end
        parts[i] = pack_one(kind, (select(i + 1, ...)))
    end
    return table.concat(parts)
end

local function unpack_integer(text)
    if #text <= 4 then
        local value = 0
        for i = #text, 1, -1 do
            value = value * 256 + byte(text, i)
        end
        return value
    end
    local holder = ffi.new('uint64_t[1]')
    ffi.copy(holder, text, #text)
    -- Small ones are plain numbers, as everywhere.
    return holder[0] < 100000000000000ULL and tonumber(holder[0]) or holder[0]
end

local function unpack_one(kind, text)
    if kind == 'd' or kind == 'f' then
        local holder = ffi.new(kind == 'd' and 'double[1]' or 'float[1]')
        ffi.copy(holder, text, #text)
        return holder[0]
    elseif kind == 'n' or kind == 'N' then
        text = reverse(text)
    end
    return unpack_integer(text)
end

local function unpack_bytes(format, text)
    local values, position = {}, 1
    for i = 1, #format do
        local kind = sub(format, i, i)
        kind = ALIASES[kind] or kind
        if kind == 'a' then
            -- The rest, whatever its length.
            values[i] = sub(text, position)
            position = #text + 1
        else
            local size = SIZES[kind]
            if size == nil then
                error(("pickle.unpack: unsupported pack format specifier '%s'"):format(kind), 2)
            elseif position + size - 1 > #text then
                error(('pickle.unpack(\'%s\'): got %d bytes (expected: %d+)'):format(kind,
                      #text - position + 1, size), 2)
            end
            values[i] = unpack_one(kind, sub(text, position, position + size - 1))
            position = position + size
        end
    end
    if position <= #text then
        error(("pickle.unpack('%s'): too many bytes: unpacked %d, total %d"):format(format,
              position - 1, #text), 2)
    end
    return unpack(values, 1, #format)
end

return {
    pack = pack,
    unpack = unpack_bytes,
}
