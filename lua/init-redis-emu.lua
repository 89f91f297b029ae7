-- init-redis-emu: serves Redis clients. Each command is a Lua function.
--
-- The native module `resp` listens, reads requests, calls the function with the command's name,
-- and writes what it returns. This file puts the commands together; they live in redis/*.lua, by
-- subject. To add one, add a function at the place below and save the file.
--
-- Settings, in `app.cfg` of the configuration:
--     app: {cfg: {redis: {host: 127.0.0.1, port: 6379, clients_max: 10000, …}}}

local source = debug.getinfo(1, 'S').source
local reload = package.loaded.reload or dofile((source:match('^@(.*/)') or '') .. 'reload.lua')
local use = reload.beside(source)

local resp = require('resp')
local log = require('log')

local facts = use('redis/facts.lua')
local dispatch = use('redis/dispatch.lua')
local keyspace = use('redis/keyspace.lua')
local gate = use('redis/gate.lua')
local config = use('redis/config.lua')
local connection = use('redis/connection.lua')
local slowlog = use('redis/slowlog.lua')
local access = use('redis/access.lua')

-- All commands by their names in capitals. A handler gets the client and the arguments as
-- strings. What it returns is the reply: nil, booleans, numbers, strings, lists, and what the
-- functions of `resp` make.
local commands = {}

-- Requests with more arguments than a call can pass (5000) go to these, with a list.
local lists = {}

for _, file in ipairs({
    'connection', 'string', 'bit', 'lcs', 'generic', 'scan', 'transaction', 'fcall', 'server',
    'info', 'config', 'command', 'slowlog',
}) do
    local module = use('redis/' .. file .. '.lua')
    for name, handler in pairs(module.commands) do
        commands[name] = access.guarded(name, handler)
    end
    for name, handler in pairs(module.lists or {}) do
        lists[name] = handler
    end
end

-- Your own commands go here:
--
--     function commands.GREET(client, name)
--         return 'Hello, ' .. (name or client.user)
--     end

local M = {commands = commands}

local DEFAULTS = {
    host = '127.0.0.1',
    port = 6379,
    -- 'ssl' encrypts connections, with the certificate and key of these files; with an authority's
    -- file, clients have to show a certificate that it signed.
    transport = 'plain',
    ssl_cert_file = '',
    ssl_key_file = '',
    ssl_ca_file = '',
    -- 'off': they need not; 'optional': they may come without, but not with another's.
    ssl_verify_client = '',
    -- Names of cipher suites, separated by colons.
    ssl_ciphers = '',
    -- Of the key, or the file of such passwords.
    ssl_password = '',
    ssl_password_file = '',
    -- How many numbers SELECT accepts.
    databases = 16,
    -- Most connections.
    clients_max = 10000,
    -- Seconds until a silent connection is closed, 0 for never.
    idle_timeout = 0,
    -- Bytes of one argument, of one request, and of replies that a client has not taken.
    bulk_size_max = 512 * 1024 * 1024,
    request_size_max = 1024 * 1024 * 1024,
    output_size_max = 1024 * 1024 * 1024,
    argument_count_max = 1024 * 1024,
    -- Microseconds from which a command is kept in the SLOWLOG, -1 for never.
    slow_threshold = 10000,
}

local function read_settings()
    local given = reload.settings('redis')
    for name, value in pairs(given) do
        if DEFAULTS[name] == nil then
            error(('app.cfg.redis.%s is not a setting'):format(name), 0)
        elseif type(value) ~= type(DEFAULTS[name]) then
            error(('app.cfg.redis.%s must be a %s'):format(name, type(DEFAULTS[name])), 0)
        end
    end
    return setmetatable({}, {__index = function(_, name)
        local value = given[name]
        if value == nil then
            value = DEFAULTS[name]
        end
        return value
    end})
end

local function limits()
    local settings = config.settings
    keyspace.value_size_max = settings.bulk_size_max
    keyspace.database_count = settings.databases
    return {
        clients_max = settings.clients_max,
        idle_timeout = settings.idle_timeout,
        bulk_size_max = settings.bulk_size_max,
        request_size_max = settings.request_size_max,
        output_size_max = settings.output_size_max,
        argument_count_max = settings.argument_count_max,
        slow_threshold = settings.slow_threshold,
    }
end

-- How connections are encrypted.
local function tls()
    local settings, params = config.settings, {}
    for name in pairs(DEFAULTS) do
        if name == 'transport' or name:startswith('ssl_') then
            params[name] = settings[name]
        end
    end
    return params
end

local handlers = {
    commands = commands,
    lists = lists,
    arities = facts.arities,
    unknown = dispatch.unknown,
    slow = slowlog.add,
    connected = function(client)
        gate.clients[client.id] = client
        connection.reset(client)
    end,
    disconnected = function(client)
        gate.clients[client.id] = nil
        keyspace.unwatch(client)
    end,
}

-- The server outlives this version of the file: `shared` goes from each to the next.
local shared

-- The host and the port at which clients are served.
local function listening()
    return shared.listening.host, shared.server:port()
end

local function say_where()
    log.info('Redis protocol on %s:%d', listening())
end

-- Listens where the settings say. The server stays where it is when it cannot listen there, and
-- config:info() shows an alert.
local function move()
    local host, port = config.settings.host, config.settings.port
    local alerts = require('config'):new_alerts_namespace('redis')
    alerts:unset('listen')
    if host == shared.listening.host and port == shared.listening.port then
        return
    end
    local ok, err = pcall(shared.server.move_to, shared.server, host, port)
    if ok then
        shared.listening = {host = host, port = port}
        say_where()
    else
        local message = 'app.cfg.redis: cannot listen on %s:%d, still on %s:%d: %s'
        local old_host, old_port = listening()
        alerts:set('listen', {message = message:format(host, port, old_host, old_port, err)})
    end
end

function M.start(previous)
    local settings = read_settings()
    if previous ~= nil then
        -- What CONFIG SET has changed stays.
        for name, value in next, previous.settings() do
            settings[name] = value
        end
    end
    config.settings = settings
    gate.commands, gate.lists = commands, lists
    -- Database 0 is there from the start.
    local _ = keyspace.databases[0]
    if previous ~= nil then
        shared = previous.take_over(M)
        shared.server:set_tls(tls())
        move()
    else
        local options = tls()
        options.host, options.port = config.settings.host, config.settings.port
        shared = {owner = M, listening = {host = options.host, port = options.port}}
        shared.server = resp.listen(options)
        say_where()
    end
    config.listening = listening
    shared.server:set_handlers(handlers)
    shared.server:set_limits(limits())
    resp.on_security(function()
        for _, client in pairs(gate.clients) do
            access.refresh(client)
            gate.update(client)
        end
    end)
    config.apply = function()
        shared.server:set_limits(limits())
    end
    config.counters = function()
        return shared.server:counters()
    end
    M.server = shared.server
end

-- Applies settings that have changed.
function M.configure()
    config.settings = read_settings()
    shared.server:set_limits(limits())
    shared.server:set_tls(tls())
    move()
end

-- The settings in force: its own fields are what CONFIG SET has changed.
function M.settings()
    return config.settings
end

-- Gives the server to the next version.
function M.take_over(owner)
    shared.previous = {owner = M, handlers = handlers}
    shared.owner = owner
    return shared
end

-- Ends the server, unless another version has it. `aborted`: the reload failed, so it goes back
-- to the version before.
function M.stop(aborted)
    if shared == nil or shared.owner ~= M then
        return
    end
    if aborted and shared.previous ~= nil then
        shared.owner = shared.previous.owner
        shared.server:set_handlers(shared.previous.handlers)
    else
        shared.server:stop()
    end
end

return reload.entry(M, source)
