-- string: the commands of string values. Each is a function of the client and its arguments,
-- all strings, that returns the reply.

local resp = require('resp')

local use = ...
local keyspace = use('redis/keyspace.lua')
local expiring = use('expiring.lua')
local failure = use('redis/failure.lua')
local number = use('redis/number.lua')
local float = use('redis/float.lua')
local stats = use('redis/stats.lua')

local databases = keyspace.databases
local row_text = keyspace.row_text
local now = expiring.now
local live = expiring.live
local OK = resp.OK
local null = resp.null

local commands = {}

-- The same commands for requests with more arguments than a call can pass: they get a list.
local lists = {}

-- The time at which a key expires that the client gave as text, in `unit` milliseconds, from now
-- or since 1970. Raises what Redis answers to times that make no sense.
local function deadline(command, text, unit, relative)
    local time = number.integer(text)
    if time == nil then
        error(failure.not_integer)
    end
    if type(time) == 'number' and time > 0 and time < 8e12 then
        return time * unit + (relative and now() or 0)
    end
    local base = relative and now() + 0LL or 0LL
    time = time + 0LL
    if time <= 0 or time > number.INT64_MAX / unit or time * unit > number.INT64_MAX - base then
        error(resp.error(("ERR invalid expire time in '%s' command"):format(command)))
    end
    return time * unit + base
end

-- Of each option that sets a time: its unit and whether it counts from now.
local TIME_OPTIONS = {
    EX = {1000, true}, PX = {1, true}, EXAT = {1000, false}, PXAT = {1, false},
}

-- Reads the options of SET and GETEX. An option that excludes another raises a syntax error, in
-- whichever order they come; the same time option may come again, the last one counts.
local function parse_options(command, allowed, ...)
    local options = {}
    local count = select('#', ...)
    local i = 1
    while i <= count do
        local name = (select(i, ...)):upper()
        if not allowed[name] then
            error(failure.syntax)
        end
        if TIME_OPTIONS[name] ~= nil then
            if i == count or options.KEEPTTL or options.PERSIST
               or (options.time ~= nil and options.time ~= name) then
                error(failure.syntax)
            end
            options.time = name
            options.time_text = select(i + 1, ...)
            i = i + 1
        elseif (name == 'NX' and options.XX) or (name == 'XX' and options.NX)
               or ((name == 'KEEPTTL' or name == 'PERSIST') and options.time ~= nil) then
            error(failure.syntax)
        else
            options[name] = true
        end
        i = i + 1
    end
    if options.time ~= nil then
        local unit = TIME_OPTIONS[options.time]
        options.ttl = deadline(command, options.time_text, unit[1], unit[2])
    end
    return options
end

-- The key may be lent.
local function get(client, key)
    local row = databases[client.database]:peek(key)
    if row ~= nil then
        local ttl = row[3]
        if ttl == nil or ttl > now() then
            stats.hits = stats.hits + 1
            if type(row[2]) == 'string' then
                return resp.FIELD, row, 2
            end
            return row_text(row)
        end
    end
    stats.misses = stats.misses + 1
    return nil
end

commands.GET = resp.lend(get, get)

local SET_OPTIONS = {
    NX = true, XX = true, GET = true, KEEPTTL = true,
    EX = true, PX = true, EXAT = true, PXAT = true,
}

local function set_with_options(client, key, value, ...)
    local options = parse_options('set', SET_OPTIONS, ...)
    local space = databases[client.database]
    local row
    if options.GET or options.NX or options.XX or options.KEEPTTL then
        row = live(space, key)
    end
    local old = options.GET and row ~= nil and row_text(row) or nil
    if (options.NX and row ~= nil) or (options.XX and row == nil) then
        return old
    end
    local ttl = options.ttl
    if options.KEEPTTL and row ~= nil then
        ttl = row[3]
    end
    keyspace.store(client, key, value, ttl)
    if options.GET then
        return old
    end
    return OK
end

-- The key and the value may be lent.
local function set(client, key, value)
    databases[client.database]:replace_fields(key, value)
    return OK
end

commands.SET = resp.lend(function(client, key, value, option, ...)
    if option == nil then
        return set(client, key, value)
    end
    return set_with_options(client, key, value, option, ...)
end, set)

function commands.SETEX(client, key, seconds, value)
    keyspace.store(client, key, value, deadline('setex', seconds, 1000, true))
    return OK
end

function commands.PSETEX(client, key, milliseconds, value)
    keyspace.store(client, key, value, deadline('psetex', milliseconds, 1, true))
    return OK
end

function commands.SETNX(client, key, value)
    if keyspace.row(client, key) ~= nil then
        return 0
    end
    keyspace.store(client, key, value)
    return 1
end

function commands.GETSET(client, key, value)
    local old = keyspace.text(client, key)
    keyspace.store(client, key, value)
    return old
end

function commands.GETDEL(client, key)
    local old = keyspace.text(client, key)
    if old ~= nil then
        keyspace.delete(client, key)
    end
    return old
end

local GETEX_OPTIONS = {PERSIST = true, EX = true, PX = true, EXAT = true, PXAT = true}

function commands.GETEX(client, key, ...)
    -- Like Redis, which reads the options, then the key, then the time.
    local ok, options = pcall(parse_options, 'getex', GETEX_OPTIONS, ...)
    if not ok and options == failure.syntax then
        error(options)
    end
    local text, row = keyspace.text(client, key)
    if text == nil then
        return nil
    end
    if not ok then
        error(options)
    end
    if options.ttl ~= nil then
        if options.ttl <= now() then
            keyspace.delete(client, key)
        else
            keyspace.store(client, key, text, options.ttl)
        end
    elseif options.PERSIST and row[3] ~= nil then
        keyspace.store(client, key, text)
    end
    return text
end

function lists.MGET(client, values)
    local space = databases[client.database]
    for i = 1, #values do
        local row = live(space, values[i])
        if row ~= nil and row[4] == nil then
            values[i] = row_text(row)
            stats.hits = stats.hits + 1
        else
            values[i] = null
            stats.misses = stats.misses + 1
        end
    end
    return values
end

function commands.MGET(client, ...)
    return lists.MGET(client, {...})
end

local function set_pairs(space, pairs)
    for i = 1, #pairs, 2 do
        space:replace_fields(pairs[i], pairs[i + 1])
    end
end

local function check_pairs(command, pairs)
    if #pairs % 2 == 1 then
        local message = "ERR wrong number of arguments for '%s' command"
        error(resp.error(message:format(command)))
    end
end

function lists.MSET(client, pairs)
    check_pairs('mset', pairs)
    keyspace.atomic(set_pairs, databases[client.database], pairs)
    return OK
end

function commands.MSET(client, ...)
    return lists.MSET(client, {...})
end

function lists.MSETNX(client, pairs)
    check_pairs('msetnx', pairs)
    local space = databases[client.database]
    for i = 1, #pairs, 2 do
        if live(space, pairs[i]) ~= nil then
            return 0
        end
    end
    keyspace.atomic(set_pairs, space, pairs)
    return 1
end

function commands.MSETNX(client, ...)
    return lists.MSETNX(client, {...})
end

function commands.APPEND(client, key, tail)
    local text, row = keyspace.text(client, key)
    if text == nil then
        keyspace.store(client, key, tail)
        return #tail
    end
    keyspace.check_size(#text + #tail)
    if tail ~= '' then
        keyspace.store(client, key, text .. tail, row[3])
    end
    return #text + #tail
end

function commands.STRLEN(client, key)
    local text = keyspace.text(client, key)
    return text ~= nil and #text or 0
end

local function increment(client, key, by)
    local text, row = keyspace.text(client, key)
    local value = number.integer(text or '0')
    if value == nil then
        error(failure.not_integer)
    end
    local sum = number.add(value, by)
    if sum == nil then
        error(resp.error('ERR increment or decrement would overflow'))
    end
    keyspace.store(client, key, number.integer_text(sum), row ~= nil and row[3] or nil)
    return sum
end

local function integer_argument(text)
    local value = number.integer(text)
    if value == nil then
        error(failure.not_integer)
    end
    return value
end

function commands.INCR(client, key)
    return increment(client, key, 1)
end

function commands.DECR(client, key)
    return increment(client, key, -1)
end

function commands.INCRBY(client, key, by)
    return increment(client, key, integer_argument(by))
end

function commands.DECRBY(client, key, by)
    local negative = number.negate(integer_argument(by))
    if negative == nil then
        error(resp.error('ERR decrement would overflow'))
    end
    return increment(client, key, negative)
end

function commands.INCRBYFLOAT(client, key, by)
    local text, row = keyspace.text(client, key)
    local value, delta = float.parse(text or '0'), float.parse(by)
    if value == nil or delta == nil then
        error(failure.not_float)
    end
    if value == 'infinite' or delta == 'infinite' then
        error(resp.error('ERR increment would produce NaN or Infinity'))
    end
    local sum = float.text(float.add(value, delta))
    keyspace.store(client, key, sum, row ~= nil and row[3] or nil)
    return sum
end

function commands.SETRANGE(client, key, offset, patch)
    offset = integer_argument(offset)
    if offset < 0 then
        error(resp.error('ERR offset is out of range'))
    end
    local text, row = keyspace.text(client, key)
    text = text or ''
    if patch == '' then
        return #text
    end
    offset = tonumber(offset)
    keyspace.check_size(offset + #patch)
    if #text < offset then
        text = text .. ('\0'):rep(offset - #text)
    end
    text = text:sub(1, offset) .. patch .. text:sub(offset + #patch + 1)
    keyspace.store(client, key, text, row ~= nil and row[3] or nil)
    return #text
end

function commands.GETRANGE(client, key, first, last)
    first, last = integer_argument(first), integer_argument(last)
    local text = keyspace.text(client, key)
    if text == nil or (first < 0 and last < 0 and first > last) then
        return ''
    end
    local size = #text
    first = first < 0 and math.max(tonumber(first) + size, 0) or tonumber(first)
    last = last < 0 and math.max(tonumber(last) + size, 0) or tonumber(last)
    if first > last or size == 0 then
        return ''
    end
    return text:sub(first + 1, math.min(last, size - 1) + 1)
end

commands.SUBSTR = commands.GETRANGE

return {commands = commands, lists = lists, integer_argument = integer_argument}
