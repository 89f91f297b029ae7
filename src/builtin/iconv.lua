-- iconv: conversion of texts between encodings.

local errno = require('errno')
local native = ...

local error, type = error, type

local function convert(self, data)
    if type(data) ~= 'string' then
        error('Usage: iconv:convert(data: string)', 2)
    end
    local result = native.convert(self, data)
    if result ~= nil then
        return result
    end
    -- The words are Tarantool's, although C's words for the two are the other way around.
    local number = errno()
    if number == errno.EINVAL then
        error('Invalid multibyte sequence', 2)
    elseif number == errno.EILSEQ then
        error('Incomplete multibyte sequence', 2)
    end
    return error('Unknown conversion error: ' .. errno.strerror(number), 2)
end

native.set_metatable({
    __call = convert,
    __tostring = function(self)
        return ('iconv: %p'):format(self)
    end,
})

local function new(to, from)
    if type(to) ~= 'string' or type(from) ~= 'string' then
        error('Usage: iconv.new("CP1251", "KOI8-R")', 2)
    end
    local converter = native.new(to, from)
    if converter == nil then
        error('iconv: ' .. errno.strerror(), 2)
    end
    return converter
end

return {new = new}
