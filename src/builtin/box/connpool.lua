-- experimental.connpool: connections to the instances of the cluster, found by what the
-- configuration says of them and by whether they can be written to.
--
-- Each instance has at most one connection here. One that nobody has asked for in a while is
-- closed, unless connect() gave it away; one that was lost is made anew from time to time as long
-- as it is kept, so that an instance known to be unreachable need not be waited for.
local checks = require('checks')
local clock = require('clock')
local config = require('config')
local fiber = require('fiber')
local net_box = require('net.box')

local error, ipairs, math, next, pairs, pcall = error, ipairs, math, next, pairs, pcall

-- Seconds between attempts to come back to an instance that was lost.
local RECONNECT_AFTER = 3
-- Seconds that are spent on finding out the state of instances, and longest sleep meanwhile.
local POLL_TIMEOUT, POLL_STEP = 10, 0.1

-- Seconds that an unused connection is kept.
local idle_timeout = 60

-- Name to {connection, deadline, retry_at}.
local entries = {}

-- Signalled when the keeper has something to look at, and when an instance told of its state.
local keeper, keeper_wanted, state_told = nil, fiber.cond(), fiber.cond()

local function is_usable(connection, fetch_schema)
    return connection ~= nil and connection.state ~= 'error' and connection.state ~= 'closed' and
        (fetch_schema == false or connection.opts.fetch_schema ~= false)
end

--
-- Keeping connections
--

local open

-- Looks after one connection; returns when it is to be looked at again.
local function keep(name, entry, now)
    if entry.deadline <= now then
        entries[name] = nil
        entry.connection:close()
        return math.huge
    elseif entry.retry_at == nil then
        return entry.deadline
    end
    local fetch_schema = entry.connection.opts.fetch_schema
    if is_usable(entry.connection, fetch_schema) then
        entry.retry_at = nil
        return entry.deadline
    elseif entry.retry_at <= now then
        entry.retry_at = now + RECONNECT_AFTER
        open(name, entry, {fetch_schema = fetch_schema})
    end
    return math.min(entry.deadline, entry.retry_at)
end

local function run_keeper()
    while next(entries) ~= nil do
        local now, again_at = clock.monotonic(), math.huge
        local names = {}
        for name in pairs(entries) do
            names[#names + 1] = name
        end
        for _, name in ipairs(names) do
            if entries[name] ~= nil then
                again_at = math.min(again_at, keep(name, entries[name], now))
            end
        end
        if next(entries) ~= nil then
            keeper_wanted:wait(again_at ~= math.huge and again_at - now or nil)
        end
    end
    keeper = nil
end

local function wake_keeper()
    if keeper == nil then
        keeper = fiber.new(run_keeper)
        keeper:name('connpool')
    else
        keeper_wanted:signal()
    end
end

-- Begins a connection for an entry; nil and what is wrong if that is impossible.
function open(name, entry, options)
    local uri = config:instance_uri('peer', {instance = name})
    if uri == nil then
        return nil, ('No suitable URI provided for instance %q'):format(name)
    end
    local is_made, connection = pcall(net_box.connect, uri, {
        connect_timeout = options.connect_timeout,
        wait_connected = false,
        fetch_schema = options.fetch_schema,
    })
    if not is_made then
        return nil, ('Unable to connect to instance %q: %s'):format(name, connection.message)
    end
    local mode
    function connection.mode(self)
        return self.state == 'active' and mode or nil
    end
    connection:watch('box.status', function(_, status)
        mode = status.is_ro and 'ro' or 'rw'
        state_told:broadcast()
    end)
    connection:on_disconnect(function()
        if entry.connection == connection then
            entry.retry_at = clock.monotonic() + RECONNECT_AFTER
            wake_keeper()
        end
    end)
    entry.connection = connection
    return connection
end

-- The connection to an instance, made if there is none that will do.
local function acquire(name, ttl, options)
    local entry = entries[name] or {deadline = -math.huge}
    if not is_usable(entry.connection, options.fetch_schema) then
        local connection, problem = open(name, entry, options)
        if connection == nil then
            return nil, problem
        end
        entries[name] = entry
    end
    local deadline = clock.monotonic() + ttl
    if deadline > entry.deadline then
        entry.deadline = deadline
        wake_keeper()
    end
    if options.wait_connected ~= false and not entry.connection:wait_connected() then
        return nil, ('Unable to connect to instance %q: %s'):format(name, entry.connection.error)
    end
    return entry.connection
end

local function mode_of(name)
    local entry = entries[name]
    return entry ~= nil and entry.connection:mode() or nil
end

-- Finds out the state of instances: of all, or with `is_found` until that says so of one. Those
-- that were lost a short time ago are not waited for.
local function poll(names, is_found)
    local asked = {}
    for _, name in ipairs(names) do
        local entry = entries[name]
        if entry == nil then
            acquire(name, idle_timeout, {wait_connected = false})
            asked[#asked + 1] = name
        elseif is_usable(entry.connection, entry.connection.opts.fetch_schema) then
            asked[#asked + 1] = name
        end
    end
    local deadline = clock.monotonic() + POLL_TIMEOUT
    while clock.monotonic() < deadline do
        local is_waiting = false
        for _, name in ipairs(asked) do
            if is_found ~= nil and is_found(name) then
                return
            end
            local entry = entries[name]
            local state = entry ~= nil and entry.connection.state or 'closed'
            if state ~= 'error' and state ~= 'closed' and mode_of(name) == nil then
                is_waiting = true
            end
        end
        if not is_waiting then
            return
        end
        state_told:wait(POLL_STEP)
    end
end

--
-- Choosing instances
--

local function is_empty(list)
    return list == nil or next(list) == nil
end

local function has(list, value)
    for _, item in pairs(list) do
        if item == value then
            return true
        end
    end
    return false
end

local function is_among(expected, value)
    return is_empty(expected) or has(expected, value)
end

local function has_all(expected, present)
    for _, item in pairs(expected or {}) do
        if present == nil or not has(present, item) then
            return false
        end
    end
    return true
end

local function has_labels(expected, present)
    for label, value in pairs(expected or {}) do
        if present == nil or present[label] ~= value then
            return false
        end
    end
    return true
end

local function is_configured_as(names, wanted)
    local of = {instance = names.instance_name}
    return is_among(wanted.groups, names.group_name)
        and is_among(wanted.replicasets, names.replicaset_name)
        and is_among(wanted.instances, names.instance_name)
        and (is_empty(wanted.roles) or has_all(wanted.roles, config:get('roles', of)))
        and (is_empty(wanted.sharding_roles)
            or has_all(wanted.sharding_roles, config:get('sharding.roles', of)))
        and (is_empty(wanted.labels) or has_labels(wanted.labels, config:get('labels', of)))
end

local function check_sharding_roles(roles)
    for _, role in ipairs(roles or {}) do
        if role == 'rebalancer' then
            error('Filtering by the "rebalancer" role is not supported', 0)
        elseif role ~= 'storage' and role ~= 'router' then
            error(('Unknown sharding role "%s" in connpool.filter() call. Expected one of the '
                .. '"storage", "router"'):format(role), 0)
        end
    end
end

-- Names of the instances that are as wanted. `effort`: 'none' looks at what is known, 'any' asks
-- until one is found, 'all' asks all.
local function select_instances(wanted, effort)
    check_sharding_roles(wanted.sharding_roles)
    local candidates = {}
    for name, names in pairs(config:instances()) do
        if is_configured_as(names, wanted) then
            candidates[#candidates + 1] = name
        end
    end
    if wanted.skip_connection_check then
        return candidates
    end
    local function is_right(name)
        local mode = mode_of(name)
        return mode ~= nil and (wanted.mode == nil or mode == wanted.mode)
    end
    if effort == 'all' then
        poll(candidates)
    elseif effort == 'any' then
        poll(candidates, is_right)
    end
    local result = {}
    for _, name in ipairs(candidates) do
        if is_right(name) then
            result[#result + 1] = name
        end
    end
    return result
end

local WANTED = {
    groups = '?table',
    replicasets = '?table',
    instances = '?table',
    labels = '?table',
    roles = '?table',
    sharding_roles = '?table',
    mode = '?string',
}

local function with(more)
    local result = {}
    for name, kind in pairs(WANTED) do
        result[name] = kind
    end
    for name, kind in pairs(more) do
        result[name] = kind
    end
    return result
end

local FILTER_OPTIONS = with({skip_connection_check = '?boolean'})
local CALL_OPTIONS = with({
    prefer_local = '?boolean',
    -- Passed on to net.box.
    timeout = '?', buffer = '?', on_push = '?function', on_push_ctx = '?', is_async = '?boolean',
})

local connpool = {}

function connpool.filter(options)
    checks(FILTER_OPTIONS)
    options = options or {}
    if options.mode ~= nil and options.mode ~= 'ro' and options.mode ~= 'rw' then
        error(('Expected nil, "ro" or "rw", got "%s"'):format(options.mode), 0)
    elseif options.skip_connection_check and options.mode ~= nil then
        error(('Filtering by mode "%s" requires the connection check but it\'s been disabled by '
            .. 'the "skip_connection_check" option'):format(options.mode), 0)
    end
    return select_instances(options, 'all')
end

function connpool.connect(instance_name, options)
    checks('string', {
        connect_timeout = '?number', wait_connected = '?boolean', fetch_schema = '?boolean',
    })
    local connection, problem = acquire(instance_name, math.huge, options or {})
    if connection == nil then
        error(problem, 0)
    end
    return connection
end

--
-- Calling
--

-- The instances with the greatest weight, in random order, then those with less.
local function in_order(names, weight_of)
    local keys = {}
    for _, name in ipairs(names) do
        keys[name] = weight_of(name) + math.random() / 2
    end
    local result = table.copy(names)
    table.sort(result, function(a, b) return keys[a] > keys[b] end)
    return result
end

local PREFERRED = {prefer_ro = 'ro', prefer_rw = 'rw'}

local function find_connection(options)
    local preferred = PREFERRED[options.mode]
    local wanted = {mode = preferred == nil and options.mode or nil}
    for _, name in ipairs({'groups', 'replicasets', 'instances', 'labels', 'roles',
                           'sharding_roles'}) do
        wanted[name] = options[name]
    end
    local names = {}
    for _, effort in ipairs(preferred ~= nil and {'all'} or {'none', 'any', 'all'}) do
        names = select_instances(wanted, effort)
        if #names > 0 then
            break
        end
    end
    if #names == 0 then
        return nil, 'no candidates are available with these conditions'
    end
    local order = in_order(names, function(name)
        local is_local = options.prefer_local ~= false and name == box.info.name
        return (preferred ~= nil and mode_of(name) == preferred and 2 or 0) + (is_local and 1 or 0)
    end)
    for _, name in ipairs(order) do
        local entry = entries[name]
        if entry ~= nil and entry.connection:wait_connected() then
            return entry.connection
        end
    end
    return nil, 'connection to candidates failed'
end

local MODES = {ro = true, rw = true, prefer_ro = true, prefer_rw = true}

function connpool.call(func_name, args, options) -- luacheck: no unused
    checks('string', '?table', CALL_OPTIONS)
    options = options or {}
    if options.mode ~= nil and not MODES[options.mode] then
        error(('Expected nil, "ro", "rw", "prefer_ro" or "prefer_rw", got "%s"')
            :format(options.mode), 0)
    end
    local connection, problem = find_connection(options)
    if connection == nil then
        error(("Couldn't execute function %s: %s"):format(func_name, problem), 0)
    end
    return connection:call(func_name, args, {
        timeout = options.timeout,
        buffer = options.buffer,
        on_push = options.on_push,
        on_push_ctx = options.on_push_ctx,
        is_async = options.is_async,
    })
end

-- How long an unused connection is kept from its next use on.
function connpool.set_idle_timeout(timeout)
    idle_timeout = timeout
end

return connpool
