-- generic: the commands of keys of any type.

local resp = require('resp')

local use = ...
local keyspace = use('redis/keyspace.lua')
local expiring = use('expiring.lua')
local failure = use('redis/failure.lua')
local number = use('redis/number.lua')
local glob = use('redis/glob.lua')
local container = use('redis/container.lua').container
local integer_argument = use('redis/string.lua').integer_argument

local databases = keyspace.databases
local live = expiring.live
local now = expiring.now
local OK = resp.OK

local commands = {}
-- For requests with more arguments than a call can pass.
local lists = {}

local function delete_all(client, keys)
    local count = 0
    for _, key in ipairs(keys) do
        if keyspace.delete(client, key) then
            count = count + 1
        end
    end
    return count
end

function commands.DEL(client, key, ...)
    if select('#', ...) == 0 then
        return keyspace.delete(client, key) and 1 or 0
    end
    return keyspace.atomic(delete_all, client, {key, ...})
end

commands.UNLINK = commands.DEL

function lists.DEL(client, keys)
    return keyspace.atomic(delete_all, client, keys)
end

lists.UNLINK = lists.DEL

-- A key that is named twice counts twice.
function lists.EXISTS(client, keys)
    local count = 0
    for _, key in ipairs(keys) do
        if keyspace.row(client, key) ~= nil then
            count = count + 1
        end
    end
    return count
end

function commands.EXISTS(client, ...)
    return lists.EXISTS(client, {...})
end

commands.TOUCH = commands.EXISTS
lists.TOUCH = lists.EXISTS

function commands.TYPE(client, key)
    local row = keyspace.row(client, key)
    if row == nil then
        return resp.status('none')
    end
    return resp.status(row[4] == nil and 'string' or row[4])
end

function commands.KEYS(client, pattern)
    local keys = {}
    if not glob.is_pattern(pattern) then
        keys[1] = keyspace.row(client, pattern) ~= nil and pattern or nil
        return keys
    end
    keyspace.each(databases[client.database], function(key)
        if pattern == '*' or glob.match(pattern, key) then
            keys[#keys + 1] = key
        end
    end)
    return keys
end

local EXPIRE_OPTIONS = {NX = true, XX = true, GT = true, LT = true}

local function parse_expire_options(...)
    local options = {}
    for _, name in ipairs({...}) do
        local upper = name:upper()
        if not EXPIRE_OPTIONS[upper] then
            error(resp.error('ERR Unsupported option ' .. name))
        end
        options[upper] = true
    end
    if options.NX and (options.XX or options.GT or options.LT) then
        error(resp.error('ERR NX and XX, GT or LT options at the same time are not compatible'))
    end
    if options.GT and options.LT then
        error(resp.error('ERR GT and LT options at the same time are not compatible'))
    end
    return options
end

-- When a key expires that lives `text` units from `base` on: any int64, and in the past, too.
local function expire_time(command, text, unit, base)
    local time = integer_argument(text)
    if type(time) == 'number' and time > -8e12 and time < 8e12 then
        return time * unit + base
    end
    time, base = time + 0LL, base + 0LL
    local max, min = number.INT64_MAX, number.INT64_MIN
    if (unit > 1 and (time > max / unit or time < min / unit)) or time * unit > max - base then
        error(resp.error(("ERR invalid expire time in '%s' command"):format(command)))
    end
    return time * unit + base
end

-- Whether the options allow to exchange the old time, nil for never, for the new one.
local function expire_allowed(options, old, new)
    return not (options.NX and old ~= nil)
        and not (options.XX and old == nil)
        and not (options.GT and (old == nil or new <= old))
        and not (options.LT and old ~= nil and new >= old)
end

local function expire(command, unit, relative)
    return function(client, key, time, ...)
        local options = parse_expire_options(...)
        local ttl = expire_time(command, time, unit, relative and now() or 0)
        local space = databases[client.database]
        local row = live(space, key)
        if row == nil or not expire_allowed(options, row[3], ttl) then
            return 0
        end
        if ttl <= now() then
            space:delete(key)
        else
            space:update(key, {{'=', 3, ttl}})
        end
        return 1
    end
end

commands.EXPIRE = expire('expire', 1000, true)
commands.PEXPIRE = expire('pexpire', 1, true)
commands.EXPIREAT = expire('expireat', 1000, false)
commands.PEXPIREAT = expire('pexpireat', 1, false)

local function time_left(unit, relative)
    return function(client, key)
        local row = keyspace.row(client, key)
        if row == nil then
            return -2
        end
        local ttl = row[3]
        if ttl == nil then
            return -1
        end
        if relative then
            ttl = ttl - now()
        end
        if unit == 1 then
            return ttl
        end
        return type(ttl) == 'number' and math.floor((ttl + 500) / unit) or (ttl + 500) / unit
    end
end

commands.TTL = time_left(1000, true)
commands.PTTL = time_left(1, true)
commands.EXPIRETIME = time_left(1000, false)
commands.PEXPIRETIME = time_left(1, false)

function commands.PERSIST(client, key)
    local space = databases[client.database]
    local row = live(space, key)
    if row == nil or row[3] == nil then
        return 0
    end
    space:update(key, {{'=', 3, box.NULL}})
    return 1
end

-- The same row under another key, or in another space.
local function copy_row(space, row, key)
    space:replace(row:update({{'=', 1, key}}))
end

local function rename(client, from, to, only_new)
    local space = databases[client.database]
    local row = live(space, from)
    if row == nil then
        error(failure.no_key)
    end
    if from == to then
        return false
    end
    if only_new and live(space, to) ~= nil then
        return false
    end
    keyspace.atomic(function()
        space:delete(from)
        copy_row(space, row, to)
    end)
    return true
end

function commands.RENAME(client, from, to)
    rename(client, from, to, false)
    return OK
end

function commands.RENAMENX(client, from, to)
    return rename(client, from, to, true) and 1 or 0
end

function commands.RANDOMKEY(client)
    local primary = databases[client.database].index.primary
    for _ = 1, 100 do
        local row = primary:random(math.random(0, 2147483647))
        if row == nil then
            return nil
        end
        if not expiring.expired(row) then
            return row[1]
        end
    end
    -- Nearly all have expired: look for one that has not.
    local found
    keyspace.each(databases[client.database], function(key)
        found = key
        return true
    end)
    return found
end

function commands.COPY(client, from, to, ...)
    local target, replace = client.database, false
    local arguments = {...}
    local i = 1
    while i <= #arguments do
        local name = arguments[i]:upper()
        if name == 'REPLACE' then
            replace = true
        elseif name == 'DB' and i < #arguments then
            target = keyspace.database_number(arguments[i + 1])
            i = i + 1
        else
            error(failure.syntax)
        end
        i = i + 1
    end
    if from == to and target == client.database then
        error(failure.same_object)
    end
    local row = keyspace.row(client, from)
    if row == nil or (not replace and live(databases[target], to) ~= nil) then
        return 0
    end
    copy_row(databases[target], row, to)
    return 1
end

function commands.MOVE(client, key, database)
    local target = keyspace.database_number(database)
    if target == client.database then
        error(failure.same_object)
    end
    local row = keyspace.row(client, key)
    if row == nil or live(databases[target], key) ~= nil then
        return 0
    end
    keyspace.atomic(function()
        databases[client.database]:delete(key)
        databases[target]:replace(row)
    end)
    return 1
end

local object = {}

function object.ENCODING(client, key)
    local row = keyspace.row(client, key)
    if row == nil then
        return nil
    elseif row[4] ~= nil then
        return row[4]
    end
    local text = keyspace.row_text(row)
    if number.integer(text) ~= nil then
        return 'int'
    end
    return #text <= 44 and 'embstr' or 'raw'
end

function object.REFCOUNT(client, key)
    return keyspace.row(client, key) ~= nil and 1 or nil
end

-- Reads leave no trace here, that is what makes them cheap. Any number would be a lie, and one
-- that makes tools keep or evict the wrong keys.
function object.IDLETIME(client, key)
    if keyspace.row(client, key) == nil then
        return nil
    end
    return resp.error('ERR Idle times are not tracked: reads leave no trace.')
end

function object.FREQ(client, key)
    if keyspace.row(client, key) == nil then
        return nil
    end
    return resp.error('ERR An LFU maxmemory policy is not selected, access frequency not tracked. '
                      .. 'Please note that when switching between policies at runtime '
                      .. 'LRU and LFU data will take some time to adjust.')
end

function object.HELP()
    return {
        'OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
        'ENCODING <key>', '    The encoding Redis would use for the value of a key.',
        'FREQ <key>', '    An error: access frequencies are not tracked.',
        'IDLETIME <key>', '    An error: access times are not tracked.',
        'REFCOUNT <key>', '    1 for a key that exists.',
        'HELP', '    Print this help.',
    }
end

commands.OBJECT = container('OBJECT', object)

return {commands = commands, lists = lists}
