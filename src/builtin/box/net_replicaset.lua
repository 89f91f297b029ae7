-- internal.net.replicaset: a replica set as one thing to talk to, whose leader is found by itself.
--
-- Each instance has a connection that comes back by itself and tells, by the event box.status,
-- whether the instance can be written to. The leader is the only one that can. Calls wait for it;
-- watchers follow it from instance to instance.
local fiber = require('fiber')
local net_box = require('net.box')
local uri = require('uri')

local error, getmetatable, ipairs, next = error, getmetatable, ipairs, next
local pairs, pcall, setmetatable, type = pairs, pcall, setmetatable, type

local FOREVER = 500 * 365 * 86400

local function illegal(text)
    box.error(box.error.ILLEGAL_PARAMS, text, 3)
end

local function fail(code, replicaset_name)
    box.error({code = code, replicaset = replicaset_name}, 3)
end

-- `types`: option to its possible types, as the message names them.
local function check_map(given, types, what)
    if type(given) ~= 'table' then
        illegal(what .. ' expected to be a map')
    end
    for option, expected in pairs(types) do
        if not expected:find(type(given[option]), 1, true) then
            illegal(("option '%s' of %s is '%s' while must be '%s'"):format(
                option, what, type(given[option]), expected))
        end
    end
    for option in pairs(given) do
        if types[option] == nil then
            illegal(('unexpected option %s in %s'):format(option, what))
        end
    end
end

local methods = {}
local replicaset_mt = {__index = methods}

local function check_self(self, method)
    if type(self) ~= 'table' or getmetatable(self) ~= replicaset_mt then
        illegal(('Use replicaset:%s(...) instead of replicaset.%s(...)'):format(method, method))
    end
end

--
-- Calls
--

-- Waits until exactly one instance is known to be writable; what is left of the time.
local function wait_leader(self, timeout)
    local deadline = fiber.clock() + timeout
    while self.status_count.rw ~= 1 and timeout > 0 do
        self.wait_status_cond:wait(timeout)
        timeout = deadline - fiber.clock()
    end
    return timeout
end

local CALL_OPTIONS = {timeout = 'number or nil', is_async = 'boolean or nil'}

function methods:call_leader(func_name, args, options)
    check_self(self, 'call_leader')
    options = options or {}
    check_map(options, CALL_OPTIONS, 'call options')
    local left = wait_leader(self, options.timeout or FOREVER)
    if self.status_count.rw == 0 then
        fail(box.error.REPLICASET_NO_WRITABLE, self.replicaset_name)
    elseif self.status_count.rw > 1 then
        fail(box.error.REPLICASET_MORE_THAN_ONE_WRITABLE, self.replicaset_name)
    end
    return self.leader_instance.conn:call(func_name, args, {
        timeout = options.timeout ~= nil and left or nil, is_async = options.is_async,
    })
end

--
-- Watchers
--

local watcher_methods = {}
local watcher_mt = {__index = watcher_methods}

function watcher_methods.unregister(watcher)
    if type(watcher) ~= 'table' or getmetatable(watcher) ~= watcher_mt then
        error('Use watcher:unregister(...) instead of watcher.unregister(...)')
    end
    if watcher.handle ~= nil then
        watcher.handle:unregister()
    end
    if watcher.replicaset ~= nil then
        watcher.replicaset.leader_watchers[watcher] = nil
    end
    watcher.handle, watcher.replicaset = nil, nil
end

-- Follows the key on this instance. The function never runs twice at the same time, not even
-- when the leader has changed meanwhile.
local function bind(watcher, instance)
    watcher.handle = instance.conn:watch(watcher.key, function(key, value)
        while watcher.is_executing do
            watcher.execute_cond:wait()
        end
        if watcher.handle ~= nil then
            watcher.is_executing = true
            pcall(watcher.func, key, value, instance.instance_name)
            watcher.is_executing = false
        end
        watcher.execute_cond:signal()
    end)
end

local function unbind(watcher)
    if watcher.handle ~= nil then
        watcher.handle:unregister()
        watcher.handle = nil
    end
end

function methods:watch_leader(key, func)
    check_self(self, 'watch_leader')
    local watcher = setmetatable({
        replicaset = self, key = key, func = func, is_executing = false,
        execute_cond = fiber.cond(),
    }, watcher_mt)
    if self.leader_instance ~= nil then
        bind(watcher, self.leader_instance)
    end
    self.leader_watchers[watcher] = watcher
    return watcher
end

--
-- Instances
--

local function find_writable(self)
    for _, instance in ipairs(self.instances) do
        if instance.status == 'rw' then
            return instance
        end
    end
end

local function set_status(self, instance, status)
    if status == instance.status then
        return
    end
    local count = self.status_count
    count[instance.status] = count[instance.status] - 1
    count[status] = count[status] + 1
    instance.status = status
    local leader = count.rw == 1 and find_writable(self) or nil
    if leader ~= self.leader_instance then
        self.leader_instance = leader
        for watcher in pairs(self.leader_watchers) do
            unbind(watcher)
            if leader ~= nil then
                bind(watcher, leader)
            end
        end
    end
    self.wait_status_cond:broadcast()
end

function methods:close()
    check_self(self, 'close')
    for _, instance in ipairs(self.instances) do
        instance.conn:close()
    end
end

function methods:info()
    check_self(self, 'info')
    local name, count = self.replicaset_name or 'unnamed', self.status_count
    local leader = self.leader_instance
    local info = {
        replicaset = self.replicaset_name,
        leader = leader ~= nil and leader.instance_name or nil,
        instances = {},
        alerts = {},
    }
    for _, instance in ipairs(self.instances) do
        local conn = instance.conn
        info.instances[instance.instance_name] = {
            name = instance.instance_name, uri = instance.uri, status = instance.status,
            uuid = conn.peer_uuid, state = conn.state, error = conn.error,
        }
    end
    local function alert(text, ...)
        info.alerts[#info.alerts + 1] = {message = text:format(name, ...)}
    end
    if count.unknown > 0 then
        alert('replicaset %q: %d instance(s) unreachable', count.unknown)
    end
    if count.rw > 1 then
        alert('replicaset %q has more than one writable leader (%d)', count.rw)
    elseif count.rw == 0 then
        alert('replicaset %q has no writable leader')
    end
    return info
end

--
-- Connecting
--

local CONFIGURATION = {name = 'string or nil', instances = 'table',
                       reconnect_timeout = 'number or nil'}
local INSTANCE = {endpoint = 'string or table', reconnect_timeout = 'number or nil'}

local function add_instance(self, name, wanted, reconnect_timeout)
    local conn = net_box.connect(wanted.endpoint, {
        wait_connected = false,
        fetch_schema = false,
        reconnect_after = wanted.reconnect_timeout or reconnect_timeout,
    })
    local instance = {
        instance_name = name,
        conn = conn,
        -- As `info` shows it: without the password.
        uri = uri.format(uri.parse(wanted.endpoint)),
        status = 'unknown',
    }
    self.instances[#self.instances + 1] = instance
    self.status_count.unknown = self.status_count.unknown + 1
    -- The connections of a replica set that nobody has any more are closed.
    local weak = setmetatable({self = self, instance = instance}, {__mode = 'v'})
    local function tell(status)
        if weak.self ~= nil and weak.instance ~= nil then
            set_status(weak.self, weak.instance, status)
        end
    end
    conn:watch('box.status', function(_, value)
        tell(value.is_ro and 'ro' or 'rw')
    end)
    conn:on_disconnect(function()
        tell('unknown')
    end)
end

local function connect_by_configuration(wanted)
    check_map(wanted, CONFIGURATION, 'connect cfg')
    if next(wanted.instances) == nil then
        error('cfg.instances expected to be a non-empty map')
    end
    for name, instance in pairs(wanted.instances) do
        check_map(instance, INSTANCE, 'cfg.instances.' .. name)
    end
    local self = setmetatable({
        replicaset_name = wanted.name,
        instances = {},
        status_count = {rw = 0, ro = 0, unknown = 0},
        leader_instance = nil,
        leader_watchers = {},
        wait_status_cond = fiber.cond(),
    }, replicaset_mt)
    for name, instance in pairs(wanted.instances) do
        add_instance(self, name, instance, wanted.reconnect_timeout)
    end
    return self
end

local module = {}

local CONNECT_OPTIONS = {reconnect_timeout = 'number or nil', login = 'string or nil',
                         password = 'string or nil', params = 'table or nil'}

-- What connect() takes, for a replica set of the cluster.
function module.get_connect_cfg(replicaset_name, options)
    options = options or {}
    check_map(options, CONNECT_OPTIONS, 'opts')
    local config = require('config')
    local instances = {}
    for name, names in pairs(config:instances()) do
        if names.replicaset_name == replicaset_name then
            local endpoint = config:instance_uri('sharding', {
                instance = name, login = options.login, password = options.password,
                params = options.params,
            })
            instances[name] = {endpoint = endpoint}
        end
    end
    if next(instances) == nil then
        fail(box.error.REPLICASET_NOT_FOUND, replicaset_name)
    end
    return {
        name = replicaset_name, instances = instances,
        reconnect_timeout = options.reconnect_timeout,
    }
end

-- connect(configuration), connect(name[, options])
function module.connect(where, options)
    if type(where) == 'table' then
        return connect_by_configuration(where)
    elseif type(where) ~= 'string' then
        illegal('can connect by config (table) or name (string) but got ' .. type(where))
    end
    return connect_by_configuration(module.get_connect_cfg(where, options))
end

return module
