-- fcall: FCALL and FCALL_RO, which call what the application has exported (export.lua).
--
--     FCALL CACHE:Set 0 '"key"' '"value"' 60
--
-- The keys after their number are for routing and are not passed. Each further argument is
-- decoded as JSON; what is not JSON passes as the string that it is.

local resp = require('resp')
local json = require('json')

local use = ...
local export = use('export.lua')
local number = use('redis/number.lua')

local commands = {}

local decoder = json.new()
decoder.cfg({
    -- Deepest nesting of an argument.
    decode_max_depth = 128,
    -- Names such as `nan` or `0x10` are not JSON.
    decode_invalid_numbers = false,
})

-- A double holds so many digits.
local DIGIT_COUNT_MAX = 17

local not_found = resp.error('ERR Function not found')
local read_only = resp.error('ERR Can not execute a script with write flag using *_ro command.')

-- Whether a number kept all that its text says. An identifier of digits, and of digits around an
-- `e`, reads as a number, but is not the same as another one that begins alike.
local function is_exact(value, text)
    local digits = text:gsub('[eE].*', ''):gsub('%D', '')
    return #digits <= DIGIT_COUNT_MAX and value - value == 0
end

local function decode(text)
    local ok, value = pcall(decoder.decode, text)
    if ok and (type(value) ~= 'number' or is_exact(value, text)) then
        return value
    end
    return text
end

local function call(name, write_allowed, key_count, ...)
    local func, object, access = export.find(name)
    if func == nil then
        return not_found
    end
    key_count = number.integer(key_count)
    local argument_count = select('#', ...)
    if key_count == nil then
        return resp.error('ERR Bad number of keys provided')
    elseif key_count > argument_count then
        return resp.error("ERR Number of keys can't be greater than number of args")
    elseif key_count < 0 then
        return resp.error("ERR Number of keys can't be negative")
    end
    if access ~= 'read' and not write_allowed then
        return read_only
    end
    local arguments = {select(tonumber(key_count) + 1, ...)}
    local count = argument_count - tonumber(key_count)
    for i = 1, count do
        arguments[i] = decode(arguments[i])
    end
    -- Called in our place, so that what blames its caller for an argument names no file of ours:
    -- the caller is the client.
    if object ~= nil then
        return func(object, unpack(arguments, 1, count))
    end
    return func(unpack(arguments, 1, count))
end

function commands.FCALL(_, name, key_count, ...)
    return call(name, true, key_count, ...)
end

function commands.FCALL_RO(_, name, key_count, ...)
    return call(name, false, key_count, ...)
end

return {commands = commands}
