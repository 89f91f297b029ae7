-- box.watch, box.watch_once, box.broadcast: values by key, and functions that follow them.
--
-- A watcher is called with the current value first and after each change, in a fiber of its own,
-- never twice at the same time: changes that come meanwhile collapse into the latest.
local native, box = ...

local fiber = require('fiber')

-- Key to {version, data, watchers, listeners}: data is MessagePack (everybody gets a value of their
-- own) or nil, watchers is a set, and so is listeners, functions that get the MessagePack itself.
local nodes = {}

local function msgpack()
    return require('msgpack')
end

local function node_of(key)
    local node = nodes[key]
    if node == nil then
        node = {version = 0, watchers = {}, listeners = {}}
        nodes[key] = node
    end
    return node
end

local function call(watcher)
    local data = watcher.node.data
    if data == nil then
        return watcher.callback(watcher.key)
    end
    return watcher.callback(watcher.key, (msgpack().decode(data)))
end

local function run(watcher)
    while not watcher.is_unregistered and watcher.seen ~= watcher.node.version do
        watcher.seen = watcher.node.version
        local ok, err = pcall(call, watcher)
        if not ok then
            require('log').error(err)
        end
    end
    watcher.fiber = nil
end

local function wake(watcher)
    if watcher.fiber == nil or watcher.fiber:status() == 'dead' then
        watcher.fiber = fiber.new(run, watcher)
        watcher.fiber:name('box.watcher')
    end
end

local function publish(key, data)
    local node = node_of(key)
    node.version = node.version + 1
    node.data = data
    for watcher in pairs(node.watchers) do
        wake(watcher)
    end
    for listener in pairs(node.listeners) do
        listener(data)
    end
end

--
-- Values that the instance publishes itself
--

local function or_null(value)
    if value == nil then
        return box.NULL
    end
    return value
end

local function uuid_of(text)
    return require('uuid').fromstr(text)
end

local builtin = {
    ['box.id'] = function()
        local id, uuid, name, replicaset_uuid, replicaset_name, cluster_name =
            native.info_instance()
        return {
            id = id or 0, instance_uuid = uuid_of(uuid), instance_name = or_null(name),
            replicaset_uuid = uuid_of(replicaset_uuid), replicaset_name = or_null(replicaset_name),
            cluster_name = or_null(cluster_name),
        }
    end,
    ['box.status'] = function()
        return {
            is_ro = native.info_is_ro(), is_ro_cfg = box.cfg.read_only == true,
            status = native.info_status(), dd_version = native.info_dd_version(),
        }
    end,
    ['box.schema'] = function()
        return {version = native.schema_version()}
    end,
    ['box.election'] = function()
        local election = box.info.election
        return {
            term = election.term, role = election.state, leader = election.leader,
            is_ro = native.info_is_ro(),
        }
    end,
}

local NOTHING = setmetatable({}, {__serialize = 'map'})

local function refresh(key)
    local is_started = type(box.cfg) == 'table'
    local data = msgpack().encode(is_started and builtin[key]() or NOTHING)
    if node_of(key).data ~= data then
        publish(key, data)
    end
end

local observer

local function observe()
    local version
    while true do
        version = native.ctl_wait_status(version)
        for key in pairs(builtin) do
            if nodes[key] ~= nil then
                refresh(key)
            end
        end
    end
end

-- Makes sure that the value is right, now and from now on.
local function prepare(key)
    if builtin[key] == nil then
        return
    end
    refresh(key)
    if observer == nil then
        observer = fiber.new(observe)
        observer:name('box.events')
        fiber._internal.set_system(observer)
    end
end

--
-- The interface
--

-- Handles of watchers to what they stand for. Dropping a handle does not end the watcher.
local watchers = setmetatable({}, {__mode = 'k'})

local handle_metatable = {
    __index = {
        unregister = function(handle)
            local watcher = watchers[handle]
            if watcher == nil then
                error('Use watcher:unregister()', 2)
            elseif watcher.is_unregistered then
                error('Watcher is already unregistered', 2)
            end
            watcher.is_unregistered = true
            -- Whoever keeps the handle does not keep the function.
            watcher.callback = nil
            watcher.node.watchers[watcher] = nil
        end,
    },
    __tostring = function() return 'box.watcher' end,
    __serialize = function() return 'box.watcher' end,
}

function box.watch(...)
    local key, callback = ...
    if select('#', ...) ~= 2 then
        error('Usage: box.watch(key, function)', 2)
    elseif type(key) ~= 'string' then
        error(("bad argument #1 to '?' (string expected, got %s)"):format(type(key)), 2)
    elseif type(callback) ~= 'function' then
        error(("bad argument #2 to '?' (function expected, got %s)"):format(type(callback)), 2)
    end
    prepare(key)
    local watcher = {key = key, callback = callback, node = node_of(key)}
    watcher.node.watchers[watcher] = true
    wake(watcher)
    local handle = setmetatable({}, handle_metatable)
    watchers[handle] = watcher
    return handle
end

function box.watch_once(...)
    local key = ...
    if select('#', ...) ~= 1 then
        error('Usage: box.watch_once(key)', 2)
    elseif type(key) ~= 'string' then
        error(("bad argument #1 to '?' (string expected, got %s)"):format(type(key)), 2)
    end
    prepare(key)
    local node = nodes[key]
    if node == nil or node.data == nil then
        return
    end
    return (msgpack().decode(node.data))
end

function box.broadcast(...)
    local key, value = ...
    local count = select('#', ...)
    if count ~= 1 and count ~= 2 then
        error('Usage: box.broadcast(key[, value])', 2)
    elseif type(key) ~= 'string' then
        error(("bad argument #1 to '?' (string expected, got %s)"):format(type(key)), 2)
    elseif key:sub(1, 4) == 'box.' then
        error("System event can't be override", 2)
    end
    -- nil takes the value away; box.NULL is a value.
    publish(key, type(value) ~= 'nil' and msgpack().encode(value) or nil)
end

--
-- For other ways to watch
--

-- For what the system itself says, such as that a signal came.
box.internal.watch = {publish = publish}

-- Calls a function that does not yield with the MessagePack of the value, nil for none: now, and
-- after each change until the returned function is called.
function box.internal.watch.listen(key, listener)
    prepare(key)
    local node = node_of(key)
    -- A function of its own: the same one may listen twice.
    local function own(data) listener(data) end
    node.listeners[own] = true
    own(node.data)
    return function()
        node.listeners[own] = nil
    end
end

-- The MessagePack of a value, nil for none.
function box.internal.watched_value(key)
    prepare(key)
    local node = nodes[key]
    return node ~= nil and node.data or nil
end

-- Called when the instance begins to stop.
function box.internal.broadcast_shutdown()
    publish('box.shutdown', msgpack().encode(true))
end
