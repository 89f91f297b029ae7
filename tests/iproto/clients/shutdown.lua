-- net.box of this program against a server that stops: what is under way is answered, nothing else
-- begins. The port is the argument.
local fiber = require('fiber')
local net_box = require('net.box')
local tap = require('tap')

local uri = 'alice:secret@127.0.0.1:' .. arg[1]

local test = tap.test('shutdown')
test:plan(14)

local events = {}
for _, key in ipairs({'box.id', 'box.status', 'box.election', 'box.schema', 'box.shutdown'}) do
    events[key] = net_box.connect(uri):watch_once(key)
end
test:is_deeply({type(events['box.id'].instance_uuid), events['box.id'].id}, {'cdata', 1}, 'box.id')
test:is_deeply(events['box.status'], {is_ro = false, is_ro_cfg = false, status = 'running',
    dd_version = events['box.status'].dd_version}, 'box.status')
test:is_deeply(events['box.election'],
    {term = 1, role = 'follower', leader = 0, is_ro = false}, 'box.election')
test:is(type(events['box.schema'].version), 'number', 'box.schema')
test:is(events['box.shutdown'], nil, 'box.shutdown')

-- A change of the schema is told.
local connection = net_box.connect(uri)
local versions = fiber.channel(10)
local watcher = connection:watch('box.schema', function(_, value) versions:put(value.version) end)
test:is(versions:get(), events['box.schema'].version, 'the version now')
connection:eval([[box.schema.space.create('of_shutdown')]])
test:ok(versions:get(10) > events['box.schema'].version, 'and after a change')
watcher:unregister()

connection:eval([[
    box.ctl.set_on_shutdown_timeout(60)
    box.ctl.on_shutdown(function() open('gate') end)
]])
local running, stop = fiber.channel(1), fiber.channel(1)
local active = net_box.connect(uri)
active:on_shutdown(function()
    running:put(true)
    stop:get()
end)
local late = net_box.connect(uri, {_disable_graceful_shutdown = true})
local request = connection:call('wait_for', {'gate'}, {is_async = true})
local other = late:call('sleep', {9000}, {is_async = true})
connection:ping()
active:eval([[require('fiber').new(os.exit, 0)]])
test:ok(running:get(60), 'triggers of on_shutdown run')
test:is(request:wait_result(60)[1], 'gate', 'a request under way is answered')
test:is(active:call('add', {1, 2}), 3, 'while a trigger runs, requests begin')
stop:put(true)
test:ok(connection:wait_state('error', 60), 'the client lets go')
test:is(connection.error, 'Peer closed', 'as if the server had')
local _, err = other:wait_result(60)
test:is(tostring(err), 'Peer closed', 'who does not watch the event is disconnected')
test:ok(active:wait_state('error', 60), 'all connections end')

os.exit(test:check() and 0 or 1)
