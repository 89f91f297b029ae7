-- config: CONFIG GET, SET and RESETSTAT: Redis's names for the settings of this server.
--
-- What `config.yaml` says holds from start to start; CONFIG SET changes the running server only.

local resp = require('resp')

local use = ...
local failure = use('redis/failure.lua')
local number = use('redis/number.lua')
local glob = use('redis/glob.lua')
local keyspace = use('redis/keyspace.lua')
local stats = use('redis/stats.lua')
local expiring = use('expiring.lua')
local slowlog = use('redis/slowlog.lua')
local container = use('redis/container.lua').container

local commands = {}
local M = {commands = commands}

-- The settings of the server, by our names; the server file fills it in.
M.settings = {}
-- The host and the port at which clients are served.
function M.listening()
    return M.settings.host, M.settings.port
end
-- The counters of the native server.
function M.counters()
    return {}
end
-- Applies changed settings to the running server.
function M.apply()
end

local UNITS = {
    [''] = 1, b = 1, k = 1000, kb = 1024, m = 1000000, mb = 1048576, g = 1000000000,
    gb = 1073741824,
}

local function bytes(text)
    local digits, unit = text:lower():match('^(%d+)(%a*)$')
    local factor = UNITS[unit or '?']
    if factor == nil then
        return nil, 'argument must be a memory value'
    end
    return tonumber(digits) * factor
end

local function whole(text)
    local value = number.integer(text)
    if value == nil then
        return nil, "argument couldn't be parsed into an integer"
    end
    return tonumber(value)
end

-- A parameter that is a number: `read` makes it of text, `get` and `set` know its value.
local function numeric(read, min, max, get, set)
    return {
        get = function()
            return ('%d'):format(get())
        end,
        read = function(text)
            local value, err = read(text)
            if value == nil then
                return nil, err
            elseif value < min or value > max then
                local message = 'argument must be between %d and %s inclusive'
                return nil, message:format(min, number.integer_text(max))
            end
            return value
        end,
        set = set,
    }
end

-- A parameter over one of our settings.
local function setting(name, read, min, max)
    return numeric(read, min, max or number.INT64_MAX, function()
        return M.settings[name]
    end, function(value)
        M.settings[name] = value
        M.apply()
    end)
end

-- A parameter that tells how this server is, and cannot be changed.
local function fixed(value)
    return {get = type(value) == 'function' and value or function() return value end}
end

local parameters = {
    ['maxclients'] = setting('clients_max', whole, 1, 4294967295),
    ['timeout'] = setting('idle_timeout', whole, 0, 2147483647),
    ['proto-max-bulk-len'] = setting('bulk_size_max', bytes, 1048576),
    ['client-query-buffer-limit'] = setting('request_size_max', bytes, 1048576),
    ['slowlog-log-slower-than'] = setting('slow_threshold', whole, -1),
    ['slowlog-max-len'] = numeric(whole, 0, number.INT64_MAX, function()
        return slowlog.size_max
    end, slowlog.set_size_max),
    ['client-output-buffer-limit'] = fixed(function()
        local size = M.settings.output_size_max
        return ('normal %d 0 0 slave 0 0 0 pubsub 0 0 0'):format(size)
    end),
    ['databases'] = fixed(function() return ('%d'):format(keyspace.database_count) end),
    ['port'] = fixed(function() return ('%d'):format((select(2, M.listening()))) end),
    ['bind'] = fixed(function() return (M.listening()) end),
    ['save'] = fixed(''),
    ['appendonly'] = fixed(function() return box.cfg.wal_mode == 'none' and 'no' or 'yes' end),
    ['appendfsync'] = fixed(function() return box.cfg.wal_mode == 'fsync' and 'always' or 'no' end),
    ['maxmemory'] = fixed(function() return ('%d'):format(box.cfg.memtx_memory) end),
    ['maxmemory-policy'] = fixed('noeviction'),
    ['dir'] = fixed(function() return box.cfg.memtx_dir or '.' end),
    ['cluster-enabled'] = fixed('no'),
    ['notify-keyspace-events'] = fixed(''),
    ['tcp-keepalive'] = fixed('300'),
    ['requirepass'] = fixed(''),
}
M.parameters = parameters

local subcommands = {}

function subcommands.GET(_, ...)
    local found = {}
    for _, pattern in ipairs({...}) do
        pattern = pattern:lower()
        for name in pairs(parameters) do
            if glob.match(pattern, name) then
                found[name] = true
            end
        end
    end
    local names = {}
    for name in pairs(found) do
        table.insert(names, name)
    end
    table.sort(names)
    local reply = {}
    for _, name in ipairs(names) do
        table.insert(reply, name)
        table.insert(reply, parameters[name].get())
    end
    return resp.map(reply)
end

local function check_known(arguments)
    for i = 1, #arguments, 2 do
        if parameters[arguments[i]:lower()] == nil then
            local message = "ERR Unknown option or number of arguments for CONFIG SET - '%s'"
            error(resp.error(message:format(arguments[i])))
        end
    end
end

-- Reads names and values, and raises if one is wrong: either all parameters change or none.
local function read_values(arguments)
    local values = {}
    for i = 1, #arguments, 2 do
        local name = arguments[i]:lower()
        local parameter = parameters[name]
        local value, err = nil, nil
        if values[name] ~= nil then
            err = 'duplicate parameter'
        elseif parameter.set == nil then
            value = arguments[i + 1]
            if value ~= parameter.get() then
                err = "can't set immutable config"
            end
        else
            value, err = parameter.read(arguments[i + 1])
        end
        if err ~= nil then
            local message = "ERR CONFIG SET failed (possibly related to argument '%s') - %s"
            error(resp.error(message:format(name, err)))
        end
        values[name] = value
    end
    return values
end

function subcommands.SET(_, ...)
    local arguments = {...}
    if #arguments % 2 == 1 then
        error(failure.syntax)
    end
    check_known(arguments)
    for name, value in pairs(read_values(arguments)) do
        if parameters[name].set ~= nil then
            parameters[name].set(value)
        end
    end
    return resp.OK
end

function subcommands.RESETSTAT()
    stats.reset(M.counters())
    expiring.collected = 0
    return resp.OK
end

function subcommands.HELP()
    return {
        'CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
        'GET <pattern> ...', '    The parameters that match, and their values.',
        'SET <parameter> <value> ...', '    Change parameters of the running server.',
        'RESETSTAT', '    Set the counters of INFO to zero.',
        'HELP', '    Print this help.',
    }
end

commands.CONFIG = container('CONFIG', subcommands)

return M
