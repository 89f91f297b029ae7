-- box.iproto: the server of the binary protocol: where it listens, and events of watched keys.
local native, box = ...

local fiber = require('fiber')

local watch = box.internal.watch

local internal = {}
box.internal.iproto = internal

--
-- Listening
--

local function bad(problem)
    box.error(box.error.CFG, 'listen', problem, 4)
end

-- One parsed URI as the native side takes it.
local function address_of(parsed)
    if parsed.unix ~= nil then
        return {path = parsed.unix, params = parsed.params}
    end
    local port = tonumber(parsed.service)
    if port == nil then
        bad('expected host:service or /unix.socket')
    end
    local host = parsed.ipv4 or parsed.ipv6 or parsed.host
    if host == nil or host == '' or host == '*' then
        host = '0.0.0.0'
    end
    return {host = host, port = port, params = parsed.params}
end

-- The addresses of a value of box.cfg.listen.
function internal.addresses(value)
    if value == nil or value == '' then
        return {}
    elseif type(value) == 'number' then
        value = tostring(value)
    end
    local parsed, problem = require('uri').parse_many(value)
    if parsed == nil then
        bad(problem or 'expected host:service or /unix.socket')
    end
    local result = {}
    for i, one in ipairs(parsed) do
        result[i] = address_of(one)
    end
    return result
end

function internal.listen(value)
    native.iproto_listen(internal.addresses(value))
end

-- Reads certificates and keys anew; those who are connected stay as they are.
function internal.reload_tls(value)
    native.iproto_reload_tls(internal.addresses(value))
end

internal.listening = native.iproto_addresses
internal.configure = native.iproto_configure
internal.stop = native.iproto_stop
internal.find_function = native.iproto_find_function

--
-- Watched keys
--

-- Session id to key to {sync, is_sent, is_changed, data, unregister}. A client is told the value
-- when it begins to watch; from then on it is told of a change when it has acknowledged the last.
local watched = {}

local function send(session, key, state)
    state.is_changed, state.is_sent = false, true
    native.iproto_send_event(session, state.sync, key, state.data)
end

local function begin_watch(session, key, sync)
    local keys = watched[session]
    if keys == nil then
        keys = {}
        watched[session] = keys
    end
    local state = keys[key]
    if state ~= nil then
        state.sync, state.is_sent = sync, false
        if state.is_changed then
            send(session, key, state)
        end
        return false
    end
    state = {sync = sync, is_changed = true}
    keys[key] = state
    state.unregister = watch.listen(key, function(data)
        state.data, state.is_changed = data, true
        if not state.is_sent then
            send(session, key, state)
        end
    end)
    return true
end

local function end_watch(session, key)
    local state = watched[session] ~= nil and watched[session][key] or nil
    if state == nil then
        return false
    end
    state.unregister()
    watched[session][key] = nil
    return true
end

-- Signalled when a client that watched something has gone.
local forgotten = fiber.cond()

local function forget(session)
    for _, state in pairs(watched[session] or {}) do
        state.unregister()
    end
    watched[session] = nil
    forgotten:broadcast()
end

-- Waits until those who watch a key now have gone.
function internal.wait_for_watchers(key)
    local sessions = {}
    for session, keys in pairs(watched) do
        if keys[key] ~= nil then
            sessions[session] = true
        end
    end
    while next(sessions) ~= nil do
        forgotten:wait()
        for session in pairs(sessions) do
            sessions[session] = watched[session] ~= nil and true or nil
        end
    end
end

native.iproto_set_watchers(begin_watch, end_watch, forget)

--
-- Rights
--

-- The right to call every global function does not include those that come with the program.
local builtins = {box = true}
for name in pairs(_G) do
    builtins[name] = true
end
native.iproto_set_builtins(builtins)

return internal
