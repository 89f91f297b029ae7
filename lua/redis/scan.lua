-- scan: SCAN, with Redis's guarantee: a key that is there from the start of an iteration to its
-- end is returned, whatever else changes meanwhile.
--
-- Keys are walked in the order of their hashes, and a cursor is a place in that order: nothing is
-- remembered for it, and it is good after a restart, too (`resp.scan`).

local resp = require('resp')

local use = ...
local keyspace = use('redis/keyspace.lua')
local expiring = use('expiring.lua')
local failure = use('redis/failure.lua')
local number = use('redis/number.lua')
local glob = use('redis/glob.lua')

local live = expiring.live

local commands = {}

-- Reads a cursor: any number of 64 bits, as in Redis; those that we did not give out end the scan
-- or go on somewhere.
local function cursor_of(text)
    local canonical = text == '0' or text:find('^[1-9]%d*$')
    if not canonical or #text > 20 or (#text == 20 and text > '18446744073709551615') then
        error(resp.error('ERR invalid cursor'))
    end
    return tonumber(text) % 2 ^ 53
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
            options.count = math.min(tonumber(count), 2 ^ 31)
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

local function wanted(options, space, key)
    if options.pattern ~= nil and not glob.match(options.pattern, key) then
        return false
    end
    local row = live(space, key)
    if row == nil then
        return false
    end
    return options.kind == nil or options.kind == (row[4] == nil and 'string' or row[4])
end

-- A space that someone made with an ordered index is returned at once: also a correct scan.
local function all_keys(space)
    local keys = {}
    keyspace.each(space, function(key)
        keys[#keys + 1] = key
    end)
    return keys, 0
end

function commands.SCAN(client, cursor, ...)
    local place = cursor_of(cursor)
    local options = parse_options(...)
    local space = keyspace.databases[client.database]
    local keys, next_place = resp.scan(space, place, options.count)
    if keys == nil then
        keys, next_place = all_keys(space)
    end
    local found = {}
    for _, key in ipairs(keys) do
        if wanted(options, space, key) then
            found[#found + 1] = key
        end
    end
    return {number.integer_text(next_place), found}
end

return {commands = commands}
