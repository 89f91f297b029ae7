-- scan: SCAN, with Redis's guarantee: a key that is there from the start of an iteration to its
-- end is returned, whatever else changes meanwhile.
--
-- Keys are scanned in their order, so it is enough to know the last key that was returned. A
-- cursor is a number that every client can keep in a double:
--
--     first two bytes of that key * 2^37 + a serial number
--
-- The last SERIAL_COUNT cursors are remembered with their keys. A cursor that is not, because the
-- server restarted or so many others were given out, goes on at the first key that starts with
-- its two bytes: some keys may come again, which the guarantee allows, but none is lost.

local fiber = require('fiber')

local use = ...
local keyspace = use('redis/keyspace.lua')
local expiring = use('expiring.lua')
local failure = use('redis/failure.lua')
local number = use('redis/number.lua')
local glob = use('redis/glob.lua')
local resp = require('resp')

local commands = {}
local M = {commands = commands}

local SERIAL_COUNT = 65536
local SERIAL_MAX = 2 ^ 37

-- Remembered cursors by their place in a ring: {serial, space id, key}.
local ring = {}
-- Starts where no earlier run of the server was, so that its cursors are not taken for ours.
local serial = math.floor(fiber.time() * 1000) % SERIAL_MAX

local function remember(space, key)
    serial = serial % (SERIAL_MAX - 1) + 1
    ring[serial % SERIAL_COUNT] = {serial, space.id, key}
    local first, second = key:byte(1, 2)
    return ((first or 0) * 256 + (second or 0)) * SERIAL_MAX + serial
end

-- Where a cursor stands: a key, and whether the iteration goes on behind it (GT) or at it (GE).
local function recall(space, text)
    local cursor = #text <= 20 and text:find('^%d+$') and (text == '0' or text:sub(1, 1) ~= '0')
    if not cursor or (#text == 20 and text > '18446744073709551615') then
        error(resp.error('ERR invalid cursor'))
    end
    cursor = tonumber(text)
    if cursor == 0 then
        return '', 'GE'
    end
    local at = cursor % SERIAL_MAX
    local prefix = math.floor(cursor / SERIAL_MAX) % 65536
    local entry = ring[at % SERIAL_COUNT]
    if entry ~= nil and entry[1] == at and entry[2] == space.id then
        return entry[3], 'GT'
    end
    local first, second = math.floor(prefix / 256), prefix % 256
    -- A key of one byte has no second one: go on there, too.
    return second == 0 and string.char(first) or string.char(first, second), 'GE'
end

local function parse_options(...)
    local options = {count = 10}
    local arguments = {...}
    local i = 1
    while i <= #arguments do
        local name, value = arguments[i]:upper(), arguments[i + 1]
        if name == 'COUNT' and value ~= nil then
            local count = number.integer(value)
            if count == nil then
                error(failure.not_integer)
            elseif count < 1 then
                error(failure.syntax)
            end
            options.count = tonumber(count)
        elseif name == 'MATCH' and value ~= nil then
            options.pattern = value ~= '*' and value or nil
        elseif name == 'TYPE' and value ~= nil then
            options.kind = value:lower()
        elseif name == 'NOVALUES' then
            error(resp.error('ERR NOVALUES option can only be used in HSCAN'))
        else
            error(failure.syntax)
        end
        i = i + 2
    end
    return options
end

local function wanted(options, key, row)
    return (options.pattern == nil or glob.match(options.pattern, key))
        and (options.kind == nil or options.kind == (row[4] == nil and 'string' or row[4]))
end

function commands.SCAN(client, cursor, ...)
    local space = keyspace.databases[client.database]
    local from, iterator = recall(space, cursor)
    local options = parse_options(...)
    local prefix = options.pattern ~= nil and glob.prefix(options.pattern) or ''
    if from < prefix then
        from, iterator = prefix, 'GE'
    end
    local keys = {}
    local seen = 0
    local time = expiring.now()
    local last
    for _, row in space.index.primary:pairs(from, {iterator = iterator}) do
        if seen == options.count then
            return {number.integer_text(remember(space, last)), keys}
        end
        local key, ttl = row[1], row[3]
        if prefix ~= '' and key:sub(1, #prefix) ~= prefix then
            break
        end
        if (ttl == nil or ttl > time) and wanted(options, key, row) then
            keys[#keys + 1] = key
        end
        seen = seen + 1
        last = key
    end
    return {'0', keys}
end

function M.start(previous)
    if previous ~= nil then
        ring, serial = previous.state()
    end
end

function M.state()
    return ring, serial
end

return M
