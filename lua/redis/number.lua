-- number: reads and prints numbers exactly as Redis does.

local ffi = require('ffi')

local M = {}

local find, format, byte, sub = string.find, string.format, string.byte, string.sub

local INT64_MAX = 9223372036854775807LL
local INT64_MIN = -INT64_MAX - 1LL
-- Whole numbers up to here are exact as Lua numbers.
local EXACT_MAX = 9007199254740992
M.INT64_MAX = INT64_MAX
M.INT64_MIN = INT64_MIN

local int64 = ffi.typeof('int64_t')

-- A canonical decimal of 64 bits: no plus sign, no leading zeros, no spaces. A Lua number where
-- that is exact, an int64 otherwise; nil if it is something else.
function M.integer(text)
    local size = #text
    if size < 16 then
        if find(text, '^-?[1-9]%d*$') or text == '0' then
            return tonumber(text)
        end
        return nil
    end
    if size > 20 or not find(text, '^-?[1-9]%d*$') then
        return nil
    end
    local negative = byte(text) == 45
    local digits = negative and sub(text, 2) or text
    local limit = negative and '9223372036854775808' or '9223372036854775807'
    if #digits > 19 or (#digits == 19 and digits > limit) then
        return nil
    end
    -- Counted downwards, because the smallest number has no positive twin.
    local value = 0LL
    for i = 1, #digits do
        value = value * 10 - (byte(digits, i) - 48)
    end
    value = negative and value or -value
    return M.shortest(value)
end

-- An int64 as a Lua number if that is exact.
function M.shortest(value)
    if value >= -EXACT_MAX and value <= EXACT_MAX then
        return tonumber(value)
    end
    return value
end

-- Whether a whole number fits into 32 bits.
function M.is_int32(value)
    return value >= -2147483648 and value <= 2147483647
end

-- A whole number as text.
function M.integer_text(value)
    if type(value) == 'number' then
        return format('%d', value)
    end
    return (tostring(value):gsub('U?LL$', ''))
end

-- a + b, nil if that does not fit into 64 bits.
function M.add(a, b)
    if type(a) == 'number' and type(b) == 'number' then
        local sum = a + b
        if sum >= -EXACT_MAX and sum <= EXACT_MAX then
            return sum
        end
    end
    a, b = int64(a), int64(b)
    if (b > 0 and a > INT64_MAX - b) or (b < 0 and a < INT64_MIN - b) then
        return nil
    end
    return M.shortest(a + b)
end

-- -a, nil if that does not fit.
function M.negate(a)
    if a == INT64_MIN then
        return nil
    end
    return -a
end

-- Any Lua value as the text of a Redis string. Tables are shown as JSON.
local json
function M.value_text(value)
    local kind = type(value)
    if kind == 'string' then
        return value
    elseif kind == 'number' then
        if value % 1 == 0 and value >= -EXACT_MAX and value <= EXACT_MAX then
            return format('%d', value)
        end
        return format('%.17g', value)
    elseif kind == 'table' then
        json = json or require('json')
        return json.encode(value)
    elseif value == nil then
        return ''
    end
    return (tostring(value):gsub('U?LL$', ''))
end

return M
