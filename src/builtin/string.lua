-- string: extends the standard string library with splitting, justification and hexadecimals.

local ffi = require('ffi')

local byte, find, rep, sub = string.byte, string.find, string.rep, string.sub
local error, type = error, type
local floor = math.floor

local SPACES = ' \t\n\v\f\r'
local SPLITS_MAX = 0xffffffff

local hex_digits = ffi.new('const char[17]', '0123456789abcdef')
local hex_values = ffi.new('int8_t[256]')
for i = 0, 255 do
    hex_values[i] = tonumber(string.char(i), 16) or -1
end

-- Levels: 1 is this function, 2 the checked function, 3 its caller.
local function bad_argument(index, name, expected, got)
    error(("bad argument #%d to 'string.%s' (%s expected, got %s)"):format(index, name, expected,
                                                                          got), 3)
end

local function split_by_spaces(input, splits)
    local result, count, position = {}, 0, 1
    while true do
        position = find(input, '[^ \t\n\v\f\r]', position)
        if position == nil then
            return result
        end
        count = count + 1
        local stop = splits > 0 and find(input, '[ \t\n\v\f\r]', position) or nil
        if stop == nil then
            result[count] = sub(input, position)
            return result
        end
        result[count] = sub(input, position, stop - 1)
        position, splits = stop, splits - 1
    end
end

function string.split(input, separator, splits)
    if type(input) ~= 'string' then
        bad_argument(1, 'split', 'string', type(input))
    end
    if separator ~= nil and type(separator) ~= 'string' then
        bad_argument(2, 'split', 'string', type(separator))
    end
    if splits ~= nil and (type(splits) ~= 'number' or splits < 0) then
        bad_argument(3, 'split', 'positive integer', type(splits))
    end
    splits = splits or SPLITS_MAX
    if separator == nil then
        return split_by_spaces(input, splits)
    end
    if separator == '' then
        bad_argument(2, 'split', 'non-empty string', 'empty string')
    end
    local result, count, position = {}, 0, 1
    while true do
        count = count + 1
        local start = splits > 0 and find(input, separator, position, true) or nil
        if start == nil then
            result[count] = sub(input, position)
            return result
        end
        result[count] = sub(input, position, start - 1)
        position, splits = start + #separator, splits - 1
    end
end

-- Checks the arguments of ljust, rjust and center; returns how many characters to add.
local function padding(name, input, width, char)
    if type(input) ~= 'string' then
        error(("bad argument #1 to 'string.%s' (string expected, got %s)"):format(name,
              type(input)), 3)
    end
    if type(width) ~= 'number' or width < 0 then
        error(("bad argument #2 to 'string.%s' (positive integer expected, got %s)"):format(name,
              type(width)), 3)
    end
    if char ~= nil and (type(char) ~= 'string' or #char ~= 1) then
        error(("bad argument #3 to 'string.%s' (char expected, got %s)"):format(name,
              type(char)), 3)
    end
    local missing = width - #input
    return missing > 0 and missing or 0, char or ' '
end

function string.ljust(input, width, char)
    local missing, fill = padding('ljust', input, width, char)
    return input .. rep(fill, missing)
end

function string.rjust(input, width, char)
    local missing, fill = padding('rjust', input, width, char)
    return rep(fill, missing) .. input
end

function string.center(input, width, char)
    local missing, fill = padding('center', input, width, char)
    local left = floor(missing / 2)
    return rep(fill, left) .. input .. rep(fill, missing - left)
end

-- Resolves optional, possibly negative bounds of a substring to positions in it.
local function resolve_bounds(length, first, last)
    if first == nil then
        first = 1
    elseif first < 0 then
        first = length + first + 1
        first = first < 0 and 0 or first
    end
    if last == nil or last > length then
        last = length
    elseif last < 0 then
        last = length + last + 1
        last = last < 0 and 0 or last
    end
    return first, last
end

local function check_affix(name, input, affix, first, last)
    if type(input) ~= 'string' then
        error(("bad argument #1 to 'string.%s' (string expected, got %s)"):format(name,
              type(input)), 3)
    elseif type(affix) ~= 'string' then
        error(("bad argument #2 to 'string.%s' (string expected, got %s)"):format(name,
              type(affix)), 3)
    elseif first ~= nil and type(first) ~= 'number' then
        error(("bad argument #3 to 'string.%s' (integer expected, got %s)"):format(name,
              type(first)), 3)
    elseif last ~= nil and type(last) ~= 'number' then
        error(("bad argument #4 to 'string.%s' (integer expected, got %s)"):format(name,
              type(last)), 3)
    end
end

function string.startswith(input, head, first, last)
    check_affix('startswith', input, head, first, last)
    first, last = resolve_bounds(#input, first, last)
    if head == '' then
        return true
    elseif last - first + 1 < #head or first > last then
        return false
    end
    return sub(input, first, first + #head - 1) == head
end

function string.endswith(input, tail, first, last)
    check_affix('endswith', input, tail, first, last)
    first, last = resolve_bounds(#input, first, last)
    if tail == '' then
        return true
    elseif last - first + 1 < #tail or first > last then
        return false
    end
    return sub(input, last - #tail + 1, last) == tail
end

function string.hex(input)
    if type(input) ~= 'string' then
        bad_argument(1, 'hex', 'string', type(input))
    end
    local size = #input
    local bytes = ffi.cast('const uint8_t *', input)
    local output = ffi.new('char[?]', size * 2 + 1)
    for i = 0, size - 1 do
        local value = bytes[i]
        output[i * 2] = hex_digits[bit.rshift(value, 4)]
        output[i * 2 + 1] = hex_digits[bit.band(value, 15)]
    end
    return ffi.string(output, size * 2)
end

function string.fromhex(input)
    if type(input) ~= 'string' then
        bad_argument(1, 'fromhex', 'string', type(input))
    end
    if #input % 2 ~= 0 then
        bad_argument(1, 'fromhex', 'even amount of chars', 'odd amount')
    end
    local size = #input / 2
    local digits = ffi.cast('const uint8_t *', input)
    local output = ffi.new('uint8_t[?]', size + 1)
    for i = 0, size - 1 do
        local high, low = hex_values[digits[i * 2]], hex_values[digits[i * 2 + 1]]
        if high < 0 or low < 0 then
            bad_argument(1, 'fromhex', 'hex string', 'non hex chars')
        end
        output[i] = high * 16 + low
    end
    return ffi.string(output, size)
end

-- Finds the part of `input` that is left when `chars` are stripped from the wanted sides.
local function strip(name, input, chars, left, right)
    if type(input) ~= 'string' then
        error(("bad argument #1 to 'string.%s' (string expected, got %s)"):format(name,
              type(input)), 3)
    elseif chars == nil then
        chars = SPACES
    elseif type(chars) ~= 'string' then
        error(("bad argument #2 to 'string.%s' (string expected, got %s)"):format(name,
              type(chars)), 3)
    end
    local first, last = 1, #input
    if left then
        while first <= last and find(chars, sub(input, first, first), 1, true) do
            first = first + 1
        end
    end
    if right then
        while last >= first and find(chars, sub(input, last, last), 1, true) do
            last = last - 1
        end
    end
    return sub(input, first, last)
end

function string.strip(input, chars)
    return (strip('strip', input, chars, true, true))
end

function string.lstrip(input, chars)
    return (strip('lstrip', input, chars, true, false))
end

function string.rstrip(input, chars)
    return (strip('rstrip', input, chars, false, true))
end

return string
