-- console_output: values as Lua text, for `\set output lua`.
--
-- On one line, or as an indented block. What has no text in Lua is shown as a string.

local ffi = require('ffi')

local concat, format, getmetatable, insert, next, pairs, pcall, tostring, type = table.concat,
    string.format, getmetatable, table.insert, next, pairs, pcall, tostring, type

-- As deep as the YAML output goes.
local DEPTH_MAX = 128

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
    return then true until while]]):gmatch('%a+') do
    KEYWORDS[word] = true
end

local ESCAPES = {
    ['"'] = '\\"', ['\\'] = '\\\\', ['\n'] = '\\n', ['\r'] = '\\r', ['\t'] = '\\t',
    ['\a'] = '\\a', ['\b'] = '\\b', ['\f'] = '\\f', ['\v'] = '\\v',
}

local function quote(text)
    text = text:gsub('[%c"\\]', function(letter)
        return ESCAPES[letter] or format('\\x%02x', letter:byte())
    end)
    return '"' .. text .. '"'
end

local function number_text(number)
    if number ~= number then
        return 'nan'
    elseif number == math.huge then
        return 'inf'
    elseif number == -math.huge then
        return '-inf'
    elseif number % 1 == 0 and number > -1e15 and number < 1e15 then
        return format('%d', number)
    end
    return format('%.14g', number)
end

local function is_sequence(value)
    local count = 0
    for _ in pairs(value) do
        count = count + 1
    end
    return count == #value
end

-- What `__serialize` says of a value: another value, or how a table is to be shown.
local function serialized(value)
    local mt = type(value) == 'table' and getmetatable(value) or debug.getmetatable(value)
    local how = type(mt) == 'table' and rawget(mt, '__serialize') or nil
    if type(value) == 'cdata' and how == nil then
        local ok, found = pcall(function() return value.__serialize end)
        how = ok and found or nil
    end
    if type(how) == 'function' then
        return how(value), true
    end
    return value, false, how
end

local function key_text(key)
    if type(key) == 'string' and key:match('^[%a_][%w_]*$') and not KEYWORDS[key] then
        return key
    elseif type(key) == 'string' then
        return '[' .. quote(key) .. ']'
    elseif type(key) == 'number' then
        return '[' .. number_text(key) .. ']'
    elseif type(key) == 'cdata' then
        return '[' .. tostring(key):gsub('U?LL$', '') .. ']'
    end
    return '[' .. (type(key) == 'boolean' and tostring(key) or quote(tostring(key))) .. ']'
end

local value_text

local function table_text(value, how, block, depth, seen)
    if seen[value] then
        return quote('*cycle*')
    elseif depth >= DEPTH_MAX then
        return 'nil'
    end
    seen[value] = true
    local items = {}
    local is_array = how == 'seq' or how == 'sequence' or how == 'array' or
        (how == nil and is_sequence(value))
    if is_array then
        for i = 1, #value do
            items[i] = value_text(value[i], block, depth + 1, seen)
        end
    else
        for key, item in pairs(value) do
            insert(items, key_text(key) .. ' = ' .. value_text(item, block, depth + 1, seen))
        end
    end
    seen[value] = nil
    if not block then
        return '{' .. concat(items, ', ') .. '}'
    end
    local indent = ('  '):rep(depth + 1)
    local last = '\n' .. ('  '):rep(depth) .. '}'
    return '{\n' .. (next(items) and indent or '') .. concat(items, ',\n' .. indent) .. last
end

value_text = function(value, block, depth, seen)
    local kind = type(value)
    if kind == 'nil' or kind == 'boolean' then
        return tostring(value)
    elseif kind == 'number' then
        return number_text(value)
    elseif kind == 'string' then
        return quote(value)
    elseif value == nil then
        return 'box.NULL'
    elseif kind == 'cdata' then
        if ffi.istype('int64_t', value) or ffi.istype('uint64_t', value) then
            return (tostring(value):gsub('U?LL$', ''))
        elseif box.error.is(value) then
            return quote(value.message)
        end
    end
    if kind == 'table' or kind == 'cdata' or kind == 'userdata' then
        local other, is_replaced, how = serialized(value)
        if is_replaced then
            return value_text(other, block, depth, seen)
        elseif kind == 'table' then
            return table_text(value, how, block, depth, seen)
        end
    end
    return quote(tostring(value))
end

-- The text of a value; a block has each item on a line of its own.
return function(value, is_block)
    return value_text(value, is_block, 0, {})
end
