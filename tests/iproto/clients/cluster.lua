-- experimental.connpool and internal.net.replicaset on the instance i1 of a cluster (cluster.rs).
local config = require('config')
local connpool = require('experimental.connpool')
local fiber = require('fiber')
local net_replicaset = require('internal.net.replicaset')
local tap = require('tap')

local test = tap.test('cluster')
test:plan(44)

local function message(run, ...)
    local ok, err = pcall(run, ...)
    return ok and 'done' or tostring(err)
end

local function sorted(list)
    table.sort(list)
    return list
end

-- The others may be about to start.
for _, name in ipairs({'i1', 'i2', 'i3'}) do
    local deadline = fiber.clock() + 60
    while not pcall(connpool.connect, name) and fiber.clock() < deadline do
        fiber.sleep(0.01)
    end
end

-- connect
local connection = connpool.connect('i2')
test:is(connection.state, 'active', 'connect')
test:ok(connpool.connect('i2') == connection, 'one connection for an instance')
test:is(connection:eval('return box.info.name'), 'i2', 'to the right one')
test:like(message(connpool.connect, 'nobody'), 'Unknown instance "nobody"', 'an unknown instance')
test:like(message(connpool.connect, 'gone'), '^Unable to connect to instance "gone": ',
    'one that is not there')
test:is(connpool.connect('i1'):eval('return box.info.name'), 'i1', 'its own')

connection:eval([[
    function name() return box.info.name end
    box.cfg{read_only = true}
]])
while connection:mode() ~= 'ro' do
    fiber.sleep(0.001)
end

-- filter
local function filtered(options) return sorted(connpool.filter(options)) end
test:is_deeply(filtered(), {'i1', 'i2', 'i3'}, 'filter: those that answer')
test:is_deeply(filtered({skip_connection_check = true}), {'gone', 'i1', 'i2', 'i3'}, 'all')
test:is_deeply(filtered({mode = 'rw'}), {'i1', 'i3'}, 'writable')
test:is_deeply(filtered({mode = 'ro'}), {'i2'}, 'not writable')
test:is_deeply(filtered({groups = {'one'}}), {'i1', 'i2'}, 'of a group')
test:is_deeply(filtered({replicasets = {'r1', 'r3'}}), {'i1', 'i3'}, 'of replica sets')
test:is_deeply(filtered({instances = {'i3', 'gone'}}), {'i3'}, 'by name')
test:is_deeply(filtered({labels = {place = 'here'}}), {'i1', 'i2'}, 'with a label')
test:is_deeply(filtered({labels = {place = 'here', kind = 'old'}}), {'i2'}, 'with labels')
test:is_deeply(filtered({labels = {place = 'nowhere'}}), {}, 'with another label')
test:is_deeply(filtered({roles = {'none'}}), {}, 'with a role')
test:is_deeply(filtered({sharding_roles = {'storage'}}), {}, 'with a role of sharding')
test:is_deeply(filtered({groups = {}}), {'i1', 'i2', 'i3'}, 'an empty list is no wish')
test:is(message(connpool.filter, {mode = 'x'}), 'Expected nil, "ro" or "rw", got "x"', 'mode')
test:like(message(connpool.filter, {mode = 'ro', skip_connection_check = true}),
    'Filtering by mode "ro" requires the connection check', 'mode without a check')
test:is(message(connpool.filter, {sharding_roles = {'rebalancer'}}),
    'Filtering by the "rebalancer" role is not supported', 'rebalancer')
test:like(message(connpool.filter, {sharding_roles = {'x'}}), 'Unknown sharding role "x"', 'role')

-- call
box.schema.func.create('name', {if_not_exists = true, body = 'function() return box.info.name end'})
connpool.connect('i3'):eval('box.schema.func.create("name", '
    .. '{body = "function() return box.info.name end"})')
test:is(connpool.call('name', nil, {groups = {'one'}}), 'i1', 'call prefers its own instance')
test:is(connpool.call('name', {}, {instances = {'i3'}}), 'i3', 'by name')
test:is(connpool.call('name', {}, {mode = 'ro'}), 'i2', 'by mode')
test:is(connpool.call('name', {}, {mode = 'prefer_ro'}), 'i2', 'the mode weighs more than place')
test:is(connpool.call('name', {}, {mode = 'prefer_rw', groups = {'two'}}), 'i3', 'prefer_rw')
local seen = {}
while not (seen.i1 and seen.i3) do
    seen[connpool.call('name', {}, {mode = 'rw', prefer_local = false})] = true
end
test:ok(not seen.i2, 'any of those that will do')
test:is(connpool.call('name', {}, {instances = {'i3'}, is_async = true}):wait_result(60)[1], 'i3',
    'options of net.box')
test:is(message(connpool.call, 'name', {}, {instances = {'gone'}}), "Couldn't execute function "
    .. "name: no candidates are available with these conditions", 'nobody there')
test:is(message(connpool.call, 'name', {}, {mode = 'x'}), 'Expected nil, "ro", "rw", "prefer_ro" '
    .. 'or "prefer_rw", got "x"', 'mode of a call')

-- A replica set.
test:is(message(net_replicaset.connect, 'moon'), 'The replicaset was not found by its name', 'moon')
local _, err = pcall(net_replicaset.connect, 'moon')
test:is(err.replicaset, 'moon', 'whose name is said')
test:is(message(net_replicaset.connect, 5),
    'can connect by config (table) or name (string) but got number', 'what is no name')
local r1 = net_replicaset.connect('r1')
test:is(r1:call_leader('name', {}, {timeout = 60}), 'i1', 'call_leader')
local function endpoint(name)
    return {endpoint = config:instance_uri('peer', {instance = name})}
end
local both = net_replicaset.connect({name = 'both', instances = {
    i2 = endpoint('i2'), i3 = endpoint('i3')}, reconnect_timeout = 0.1})
test:is(both:call_leader('name', {}, {timeout = 60}), 'i3', 'the one that can be written to')
local events = fiber.channel(10)
local watcher = both:watch_leader('box.id', function(_, value, name)
    events:put({value.instance_name or 'none', name})
end)
test:is(events:get(60)[2], 'i3', 'watch_leader')

-- Leadership changes.
connpool.connect('i3'):eval('box.cfg{read_only = true}')
while both.leader_instance ~= nil do
    fiber.sleep(0.001)
end
test:is(message(both.call_leader, both, 'name', {}, {timeout = 0.01}),
    'Writable instance was not found in replicaset', 'nobody leads')
connpool.connect('i2'):eval('box.cfg{read_only = false}')
test:is(both:call_leader('name', {}, {timeout = 60}), 'i2', 'another leads')
test:is(events:get(60)[2], 'i2', 'and is watched')
connpool.connect('i3'):eval('box.cfg{read_only = false}')
while both.status_count.rw ~= 2 do
    fiber.sleep(0.001)
end
test:is(message(both.call_leader, both, 'name', {}, {timeout = 0.01}),
    'More than one writable was found in replicaset', 'two lead')
test:is_deeply(both:info().alerts[1], {message = 'replicaset "both" has more than one writable '
    .. 'leader (2)'}, 'info')
watcher:unregister()
test:is(message(both.call_leader, {}), 'Use replicaset:call_leader(...) instead of '
    .. 'replicaset.call_leader(...)', 'usage')
both:close()
r1:close()

for _, name in ipairs({'i2', 'i3'}) do
    connpool.connect(name):eval([[require('fiber').new(os.exit, 0)]])
end
print('the script is done')
os.exit(test:check() and 0 or 1)
