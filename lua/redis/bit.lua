-- bit: the commands that see a string as an array of bits, the first bit being the highest of
-- the first byte.

local resp = require('resp')
local ffi = require('ffi')
local bit = require('bit')

local use = ...
local keyspace = use('redis/keyspace.lua')
local failure = use('redis/failure.lua')
local number = use('redis/number.lua')
local integer_argument = use('redis/string.lua').integer_argument

local band, bor, bxor, bnot, lshift = bit.band, bit.bor, bit.bxor, bit.bnot, bit.lshift

local commands = {}

local bytes_of = ffi.typeof('const uint8_t *')
local new_bytes = ffi.typeof('uint8_t[?]')

-- How many bits are set in each byte.
local COUNT_OF = ffi.new('uint8_t[256]')
for i = 1, 255 do
    COUNT_OF[i] = i % 2 + COUNT_OF[math.floor(i / 2)]
end

local offset_error = resp.error('ERR bit offset is not an integer or out of range')
local value_error = resp.error('ERR bit is not an integer or out of range')

local function bit_offset(text)
    local offset = number.integer(text)
    if offset == nil or offset < 0 or offset >= keyspace.value_size_max * 8 then
        error(offset_error)
    end
    offset = tonumber(offset)
    return math.floor(offset / 8), 7 - offset % 8
end

local function bit_at(text, byte, place)
    return band(bit.rshift(text:byte(byte + 1) or 0, place), 1)
end

function commands.SETBIT(client, key, offset, value)
    local byte, place = bit_offset(offset)
    value = number.integer(value)
    if value ~= 0 and value ~= 1 then
        error(value_error)
    end
    local text, row = keyspace.text(client, key)
    local ttl = row ~= nil and row[3] or nil
    local size = text ~= nil and #text or 0
    local old = text ~= nil and bit_at(text, byte, place) or 0
    if old ~= value or size <= byte then
        text = text or ''
        if size <= byte then
            keyspace.check_size(byte + 1)
            text = text .. ('\0'):rep(byte + 1 - size)
        end
        local new = bor(band(text:byte(byte + 1), bnot(lshift(1, place))), lshift(value, place))
        text = text:sub(1, byte) .. string.char(new) .. text:sub(byte + 2)
        keyspace.store(client, key, text, ttl)
    end
    return old
end

function commands.GETBIT(client, key, offset)
    local byte, place = bit_offset(offset)
    local text = keyspace.text(client, key)
    return text ~= nil and bit_at(text, byte, place) or 0
end

local function count_bytes(bytes, first, last)
    local count = 0
    for i = first, last do
        count = count + COUNT_OF[bytes[i]]
    end
    return count
end

-- BYTE (false) or BIT (true).
local function is_bit_unit(unit)
    if unit == nil then
        return false
    end
    unit = unit:upper()
    if unit ~= 'BIT' and unit ~= 'BYTE' then
        error(failure.syntax)
    end
    return unit == 'BIT'
end

-- A range with negative ends counted from the end, cut to `size`.
local function cut_range(first, last, size)
    first = math.max(tonumber(first < 0 and first + size or first), 0)
    last = math.max(tonumber(last < 0 and last + size or last), 0)
    return first, math.min(last, size - 1)
end

function commands.BITCOUNT(client, key, first, last, unit, more)
    if more ~= nil or (first ~= nil and last == nil) then
        error(failure.syntax)
    end
    local by_bit = false
    if first ~= nil then
        first, last = integer_argument(first), integer_argument(last)
        by_bit = is_bit_unit(unit)
    end
    local text = keyspace.text(client, key)
    if text == nil then
        return 0
    end
    local bytes = ffi.cast(bytes_of, text)
    if first == nil then
        return count_bytes(bytes, 0, #text - 1)
    end
    if first < 0 and last < 0 and first > last then
        return 0
    end
    first, last = cut_range(first, last, by_bit and #text * 8 or #text)
    if first > last then
        return 0
    end
    if not by_bit then
        return count_bytes(bytes, first, last)
    end
    local first_byte, last_byte = math.floor(first / 8), math.floor(last / 8)
    local count = count_bytes(bytes, first_byte, last_byte)
    -- Less the bits of the outer bytes that lie outside.
    local before = band(bnot(lshift(1, 8 - first % 8) - 1), 255)
    local behind = lshift(1, 7 - last % 8) - 1
    return count - COUNT_OF[band(bytes[first_byte], before)]
                 - COUNT_OF[band(bytes[last_byte], behind)]
end

-- The first bit of that value in a range of bits, nil if there is none.
local function find_bit(bytes, value, first, last)
    local skip = value == 1 and 0 or 255
    local at = first
    while at <= last do
        local byte = bytes[math.floor(at / 8)]
        if at % 8 == 0 and byte == skip then
            at = at + 8
        elseif band(bit.rshift(byte, 7 - at % 8), 1) == value then
            return at
        else
            at = at + 1
        end
    end
    return nil
end

function commands.BITPOS(client, key, value, first, last, unit, more)
    value = integer_argument(value)
    if value ~= 0 and value ~= 1 then
        error(resp.error('ERR The bit argument must be 1 or 0.'))
    end
    local by_bit = false
    if first ~= nil then
        first = integer_argument(first)
        by_bit = is_bit_unit(unit)
        if more ~= nil then
            error(failure.syntax)
        end
    end
    local last_given = last ~= nil
    if last_given then
        last = integer_argument(last)
    end
    local text = keyspace.text(client, key)
    if text == nil then
        return value == 1 and -1 or 0
    end
    local size = #text
    local scale = by_bit and 1 or 8
    first, last = cut_range(first or 0, last or size * 8, by_bit and size * 8 or size)
    if first > last then
        return -1
    end
    local bytes = ffi.cast(bytes_of, text)
    local found = find_bit(bytes, value, first * scale, last * scale + scale - 1)
    if found ~= nil then
        return found
    end
    -- Behind the end the string is an endless array of zeros, unless an end was asked for.
    return (value == 0 and not last_given) and size * 8 or -1
end

local OPERATIONS = {AND = band, OR = bor, XOR = bxor, NOT = bnot}

local function operate(operation, texts, size)
    local result = new_bytes(size)
    ffi.copy(result, texts[1], #texts[1])
    if operation == bnot then
        for i = 0, size - 1 do
            result[i] = band(bnot(result[i]), 255)
        end
    end
    for j = 2, #texts do
        local bytes, count = ffi.cast(bytes_of, texts[j]), #texts[j]
        for i = 0, count - 1 do
            result[i] = operation(result[i], bytes[i])
        end
        for i = count, size - 1 do
            result[i] = operation(result[i], 0)
        end
    end
    return ffi.string(result, size)
end

function commands.BITOP(client, name, target, ...)
    local operation = OPERATIONS[name:upper()]
    if operation == nil then
        error(failure.syntax)
    end
    local texts = {...}
    if operation == bnot and #texts ~= 1 then
        error(resp.error('ERR BITOP NOT must be called with a single source key.'))
    end
    local size = 0
    for i, key in ipairs(texts) do
        texts[i] = keyspace.text(client, key) or ''
        size = math.max(size, #texts[i])
    end
    if size == 0 then
        keyspace.delete(client, target)
    else
        keyspace.store(client, target, operate(operation, texts, size))
    end
    return size
end

return {commands = commands}
