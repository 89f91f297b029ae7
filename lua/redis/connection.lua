-- connection: the commands about the connection itself.
--
-- The first argument of every handler is the client, a table that lives as long as the
-- connection. Here it has: id, database, user, name, lib_name, lib_ver, protocol, queue (inside
-- MULTI), watching, needs_auth; and the methods of the native side (docs/REDIS.md).

local resp = require('resp')

local use = ...
local keyspace = use('redis/keyspace.lua')
local failure = use('redis/failure.lua')
local number = use('redis/number.lua')
local access = use('redis/access.lua')
local gate = use('redis/gate.lua')
local container = use('redis/container.lua').container

local OK = resp.OK
local PONG = resp.status('PONG')

local VERSION = '7.4.0'

local commands = {}
local M = {commands = commands, version = VERSION}

local function switch(text)
    local upper = text:upper()
    if upper ~= 'ON' and upper ~= 'OFF' then
        error(failure.syntax)
    end
    return upper == 'ON'
end

local function check_printable(text, what)
    if not text:find('^[!-~]*$') then
        local message = 'ERR %s cannot contain spaces, newlines or special characters.'
        error(resp.error(message:format(what)))
    end
    return text
end

-- A connection in its first state.
function M.reset(client)
    client.database = 0
    client:set_key_space(keyspace.databases[0])
    access.reset(client)
    client.name = nil
    client.protocol = 2
    client.queue = nil
    client.no_evict = nil
    client.no_touch = nil
    client.needs_auth, client.has_logged_in = access.is_required(), false
    client:set_protocol(2)
    client:set_reply('on')
    client:set_authenticated(not client.needs_auth)
    gate.update(client)
end

local function login(client, user, password)
    access.login(client, user, password)
    client:set_authenticated(true)
    gate.update(client)
end

function commands.AUTH(client, user, password, more)
    if more ~= nil then
        error(failure.syntax)
    end
    if password == nil then
        if not access.is_required() then
            return resp.error('ERR AUTH <password> called without any password configured for '
                .. 'the default user. Are you sure your configuration is correct?')
        end
        user, password = 'default', user
    end
    login(client, user, password)
    return OK
end

-- Reads the options of HELLO: the user and password, and the name.
local function hello_options(...)
    local arguments = {...}
    local user, password, name
    local i = 1
    while i <= #arguments do
        local option = arguments[i]:upper()
        if option == 'AUTH' and i + 2 <= #arguments then
            user, password = arguments[i + 1], arguments[i + 2]
            i = i + 3
        elseif option == 'SETNAME' and i < #arguments then
            name = check_printable(arguments[i + 1], 'Client names')
            i = i + 2
        else
            local message = "ERR Syntax error in HELLO option '%s'"
            error(resp.error(message:format(arguments[i])))
        end
    end
    return user, password, name
end

function commands.HELLO(client, version, ...)
    if version ~= nil then
        version = number.integer(version)
        if version == nil then
            return resp.error('ERR Protocol version is not an integer or out of range')
        elseif version ~= 2 and version ~= 3 then
            return resp.error('NOPROTO unsupported protocol version')
        end
    end
    local user, password, name = hello_options(...)
    if user ~= nil then
        login(client, user, password)
    end
    if client.needs_auth then
        return resp.error('NOAUTH HELLO must be called with the client already authenticated, '
            .. 'otherwise the HELLO <proto> AUTH <user> <pass> option can be used to '
            .. 'authenticate the client and select the RESP protocol version at the same time')
    end
    if name ~= nil then
        client.name = name ~= '' and name or nil
    end
    if version ~= nil then
        client.protocol = version
        client:set_protocol(version)
    end
    return resp.map({
        'server', 'redis', 'version', VERSION, 'proto', client.protocol, 'id', client.id,
        'mode', 'standalone', 'role', 'master', 'modules', {},
    })
end

function commands.PING(_, message, more)
    if more ~= nil then
        return resp.error("ERR wrong number of arguments for 'ping' command")
    end
    return message or PONG
end

function commands.ECHO(_, message)
    return message
end

function commands.SELECT(client, database)
    local index = keyspace.database_number(database)
    -- Makes it, if this is its first use.
    client:set_key_space(keyspace.databases[index])
    client.database = index
    return OK
end

function commands.QUIT(client)
    client:close()
    return OK
end

function commands.RESET(client)
    keyspace.unwatch(client)
    M.reset(client)
    return resp.status('RESET')
end

-- A browser that was tricked into talking to us sends these: nothing it says may be a command.
commands.POST = function(client)
    client:close()
    return resp.error('ERR Possible SECURITY ATTACK: HTTP is not spoken here')
end
commands['HOST:'] = commands.POST

local subcommands = {}

local function flags_of(client)
    local flags = (client.queue ~= nil and 'x' or '') .. (client.no_evict and 'e' or '')
        .. (client.no_touch and 'T' or '') .. (client.watch_broken and 'd' or '')
    return flags == '' and 'N' or flags
end

local function description(client)
    local info = client:info()
    local fields = {
        {'id', client.id}, {'addr', info.address}, {'laddr', info.local_address},
        {'fd', info.fd}, {'name', client.name or ''}, {'age', info.age}, {'idle', info.idle},
        {'flags', flags_of(client)}, {'db', client.database}, {'sub', 0}, {'psub', 0},
        {'ssub', 0}, {'multi', client.queue ~= nil and #client.queue or -1},
        {'watch', #(client.watching or {})}, {'qbuf', info.input_size},
        {'qbuf-free', info.input_free}, {'argv-mem', 0}, {'multi-mem', 0}, {'rbs', 0},
        {'rbp', 0}, {'obl', info.output_size}, {'oll', 0}, {'omem', 0},
        {'tot-mem', info.memory}, {'events', 'r'}, {'cmd', info.command:lower()},
        {'user', client.user}, {'redir', -1}, {'resp', client.protocol},
        {'lib-name', client.lib_name or ''}, {'lib-ver', client.lib_ver or ''},
    }
    for i, field in ipairs(fields) do
        fields[i] = field[1] .. '=' .. tostring(field[2])
    end
    return table.concat(fields, ' ') .. '\n'
end

-- All connected clients, oldest first.
local function clients()
    local list = {}
    for _, client in pairs(gate.clients) do
        table.insert(list, client)
    end
    table.sort(list, function(a, b) return a.id < b.id end)
    return list
end
M.clients = clients

local CLIENT_TYPES = {NORMAL = true, MASTER = false, REPLICA = false, SLAVE = false,
                      PUBSUB = false}

local function is_type(text)
    local wanted = CLIENT_TYPES[text:upper()]
    if wanted == nil then
        error(resp.error(("ERR Unknown client type '%s'"):format(text)))
    end
    return wanted
end

function subcommands.ID(client)
    return client.id
end

function subcommands.INFO(client)
    return resp.verbatim('txt', description(client))
end

function subcommands.LIST(_, filter, ...)
    local wanted = function() return true end
    if filter ~= nil then
        filter = filter:upper()
        if filter == 'TYPE' and select('#', ...) == 1 then
            local normal = is_type((...))
            wanted = function() return normal end
        elseif filter == 'ID' and select('#', ...) > 0 then
            local ids = {}
            for _, text in ipairs({...}) do
                local id = number.integer(text)
                if id == nil then
                    error(resp.error('ERR Invalid client ID'))
                end
                ids[tonumber(id)] = true
            end
            wanted = function(client) return ids[client.id] end
        else
            error(failure.syntax)
        end
    end
    local lines = {}
    for _, client in ipairs(clients()) do
        if wanted(client) then
            table.insert(lines, description(client))
        end
    end
    return resp.verbatim('txt', table.concat(lines))
end

function subcommands.GETNAME(client)
    return client.name
end

function subcommands.SETNAME(client, name)
    check_printable(name, 'Client names')
    client.name = name ~= '' and name or nil
    return OK
end

function subcommands.SETINFO(client, option, value)
    local upper = option:upper()
    if upper == 'LIB-NAME' then
        client.lib_name = check_printable(value, 'lib-name')
    elseif upper == 'LIB-VER' then
        client.lib_ver = check_printable(value, 'lib-ver')
    else
        return resp.error(("ERR Unrecognized option '%s'"):format(option))
    end
    return OK
end

-- What each filter of CLIENT KILL accepts: a test of the client, made of the filter's value.
local kill_filters = {
    ID = function(text)
        local id = number.integer(text)
        if id == nil or id < 1 then
            error(resp.error('ERR client-id should be greater than 0'))
        end
        return function(client) return client.id == id end
    end,
    ADDR = function(text)
        return function(client) return client:info().address == text end
    end,
    LADDR = function(text)
        return function(client) return client:info().local_address == text end
    end,
    TYPE = function(text)
        local normal = is_type(text)
        return function() return normal end
    end,
    USER = function(text)
        if not access.exists(text) then
            error(resp.error(("ERR No such user '%s'"):format(text)))
        end
        return function(client) return client.user == text end
    end,
    MAXAGE = function(text)
        local age = number.integer(text)
        if age == nil then
            error(failure.not_integer)
        elseif age < 1 then
            error(failure.syntax)
        end
        return function(client) return client:info().age >= age end
    end,
}

local function kill_where(own, tests, skip_own)
    local count = 0
    for _, client in ipairs(clients()) do
        local chosen = not (skip_own and client == own)
        for _, test in ipairs(tests) do
            chosen = chosen and test(client)
        end
        if chosen then
            client:close()
            count = count + 1
        end
    end
    return count
end

function subcommands.KILL(client, ...)
    local arguments = {...}
    if #arguments == 1 then
        local count = kill_where(client, {kill_filters.ADDR(arguments[1])}, false)
        return count > 0 and OK or resp.error('ERR No such client')
    end
    local tests, skip_own = {}, true
    for i = 1, #arguments, 2 do
        local name, value = arguments[i]:upper(), arguments[i + 1]
        if value == nil then
            error(failure.syntax)
        elseif name == 'SKIPME' then
            value = value:upper()
            if value ~= 'YES' and value ~= 'NO' then
                error(failure.syntax)
            end
            skip_own = value == 'YES'
        elseif kill_filters[name] ~= nil then
            table.insert(tests, kill_filters[name](value))
        else
            error(failure.syntax)
        end
    end
    return kill_where(client, tests, skip_own)
end

subcommands['NO-EVICT'] = function(client, state)
    client.no_evict = switch(state)
    return OK
end

subcommands['NO-TOUCH'] = function(client, state)
    client.no_touch = switch(state)
    return OK
end

function subcommands.REPLY(client, state)
    local lower = state:lower()
    if lower ~= 'on' and lower ~= 'off' and lower ~= 'skip' then
        error(failure.syntax)
    end
    client:set_reply(lower)
    return OK
end

function subcommands.PAUSE(_, timeout, mode)
    mode = mode ~= nil and mode:upper() or 'ALL'
    if mode ~= 'ALL' and mode ~= 'WRITE' then
        return resp.error('ERR CLIENT PAUSE mode must be WRITE or ALL')
    end
    timeout = number.integer(timeout)
    if timeout == nil then
        return resp.error('ERR timeout is not an integer or out of range')
    elseif timeout < 0 then
        return resp.error('ERR timeout is negative')
    end
    gate.pause(tonumber(timeout) / 1000, mode == 'ALL')
    return OK
end

function subcommands.UNPAUSE()
    gate.unpause()
    return OK
end

function subcommands.HELP()
    return {
        'CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
        'GETNAME', '    The name of this connection.',
        'ID', '    The id of this connection.',
        'INFO', '    What is known about this connection.',
        'KILL <addr> | <filter> <value> ...', '    Close connections. Filters: ID, ADDR, LADDR, '
            .. 'TYPE, USER, MAXAGE, SKIPME.',
        'LIST [TYPE normal|master|replica|pubsub] [ID <id> ...]', '    All connections.',
        'NO-EVICT (ON|OFF)', '    Kept for clients; connections are not evicted.',
        'NO-TOUCH (ON|OFF)', '    Kept for clients; reads leave no trace anyway.',
        'PAUSE <timeout> [WRITE|ALL]', '    Let commands wait for so many milliseconds.',
        'REPLY (ON|OFF|SKIP)', '    Whether this connection gets replies.',
        'SETINFO (LIB-NAME|LIB-VER) <value>', '    Tell which library this is.',
        'SETNAME <name>', '    Name this connection.',
        'UNPAUSE', '    End a pause.',
        'HELP', '    Print this help.',
    }
end

commands.CLIENT = container('CLIENT', subcommands)

return M
