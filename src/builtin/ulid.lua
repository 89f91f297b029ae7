-- ulid: identifiers that sort by the time of their making: 48 bits of milliseconds, 80 random.

local ffi = require('ffi')
local clock = require('clock')
local digest = require('digest')

ffi.cdef([[
    struct tt_ulid {
        unsigned char bytes[16];
    };
    int memcmp(const void *left, const void *right, size_t size);
]])

local ulid_type = ffi.typeof('struct tt_ulid')
local SIZE, TEXT_SIZE = 16, 26

-- Crockford's base 32: no I, L, O, U.
local ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
local digits = {}
for i = 1, #ALPHABET do
    digits[ALPHABET:byte(i)] = i - 1
    digits[ALPHABET:lower():byte(i)] = i - 1
end

local function is_ulid(value)
    return type(value) == 'cdata' and ffi.istype(ulid_type, value)
end

-- The text is the 128-bit number in base 32, whose first digit has three bits only.
local function to_text(ulid)
    if not is_ulid(ulid) then
        error('Usage: ulid:str()', 2)
    end
    local chars, accumulator, bits, index = {}, 0, 2, 1
    for i = 0, SIZE - 1 do
        accumulator = accumulator * 256 + ulid.bytes[i]
        bits = bits + 8
        while bits >= 5 do
            bits = bits - 5
            local digit = math.floor(accumulator / 2 ^ bits)
            accumulator = accumulator % 2 ^ bits
            chars[index] = ALPHABET:sub(digit + 1, digit + 1)
            index = index + 1
        end
    end
    return table.concat(chars)
end

local function from_text(text)
    if #text ~= TEXT_SIZE or (digits[text:byte(1)] or 8) > 7 then
        return nil
    end
    local ulid = ffi.new(ulid_type)
    local accumulator, bits, index = 0, -2, 0
    for i = 1, TEXT_SIZE do
        local digit = digits[text:byte(i)]
        if digit == nil then
            return nil
        end
        accumulator = accumulator * 32 + digit
        bits = bits + 5
        if bits >= 8 then
            bits = bits - 8
            ulid.bytes[index] = math.floor(accumulator / 2 ^ bits)
            accumulator = accumulator % 2 ^ bits
            index = index + 1
        end
    end
    return ulid
end

local function fromstr(text)
    if type(text) ~= 'string' then
        error('fromstr(str)', 2)
    end
    return from_text(text)
end

local function bin(ulid)
    if not is_ulid(ulid) then
        error('Usage: ulid:bin()', 2)
    end
    return ffi.string(ulid, SIZE)
end

local function frombin(bytes)
    if type(bytes) ~= 'string' or #bytes ~= SIZE then
        error('frombin(bin)', 2)
    end
    local ulid = ffi.new(ulid_type)
    ffi.copy(ulid, bytes, SIZE)
    return ulid
end

local function isnil(ulid)
    if not is_ulid(ulid) then
        error('Usage: ulid:isnil()', 2)
    end
    for i = 0, SIZE - 1 do
        if ulid.bytes[i] ~= 0 then
            return false
        end
    end
    return true
end

local last_ms = -1
local last = ffi.new(ulid_type)

-- Adds one to the random part, so that identifiers of one millisecond sort by creation.
local function increment(ulid)
    for i = SIZE - 1, 6, -1 do
        if ulid.bytes[i] < 255 then
            ulid.bytes[i] = ulid.bytes[i] + 1
            return
        end
        ulid.bytes[i] = 0
    end
    error('ULID random component overflow', 3)
end

local function new()
    local now_ms = math.floor(clock.realtime() * 1000)
    if now_ms <= last_ms then
        increment(last)
    else
        last_ms = now_ms
        local rest = now_ms
        for i = 5, 0, -1 do
            last.bytes[i] = rest % 256
            rest = math.floor(rest / 256)
        end
        ffi.copy(last.bytes + 6, digest.urandom(10), 10)
    end
    return ffi.new(ulid_type, last)
end

local function compare(left, right)
    local function cast(value, index)
        local ulid = value
        if not is_ulid(value) then
            ulid = type(value) == 'string' and from_text(value) or nil
        end
        if not ulid then
            error(('incorrect value to convert to ulid as %d argument'):format(index), 4)
        end
        return ulid
    end
    left, right = cast(left, 1), cast(right, 2)
    return ffi.C.memcmp(left, right, SIZE)
end

ffi.metatype(ulid_type, {
    __tostring = to_text,
    __eq = function(left, right)
        if not is_ulid(left) then
            left, right = right, left
        end
        if type(right) == 'string' then
            right = from_text(right)
        end
        return is_ulid(right) and ffi.C.memcmp(left, right, SIZE) == 0
    end,
    __lt = function(left, right)
        return compare(left, right) < 0
    end,
    __le = function(left, right)
        return compare(left, right) <= 0
    end,
    __index = {
        isnil = isnil,
        bin = bin,
        str = to_text,
    },
})

return setmetatable({
    NULL = ffi.new(ulid_type),
    new = new,
    fromstr = fromstr,
    frombin = frombin,
    bin = function()
        return bin(new())
    end,
    str = function()
        return to_text(new())
    end,
    is_ulid = is_ulid,
}, {
    __call = new,
})
