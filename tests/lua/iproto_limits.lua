-- Limits of the binary protocol's server: net_msg_max, readahead; several sockets; threads.
local fiber = require('fiber')
local net_box = require('net.box')
local tap = require('tap')

local test = tap.test('iproto_limits')
test:plan(16)

local function message(run, ...)
    local ok, err = pcall(run, ...)
    return ok and 'done' or tostring(err)
end

test:like(message(box.cfg, {iproto_threads = -1}), "option 'iproto_threads'", 'too few threads')
test:like(message(box.cfg, {iproto_threads = 1001}), "option 'iproto_threads'", 'too many')

box.cfg{listen = {'127.0.0.1:0', 'unix/:./limits.sock'}, net_msg_max = 3, readahead = 128,
        iproto_threads = tonumber(os.getenv('TT_IPROTO_THREADS')) or 2}
box.schema.user.grant('guest', 'super')
test:is(#box.info.listen, 2, 'two sockets')
test:like(message(box.cfg, {iproto_threads = 5}), "Can't set option 'iproto_threads' dynamically",
    'threads come at the start')

local running, most, gate = 0, 0, fiber.cond()
-- luacheck: ignore 111
function wait_here(number)
    running = running + 1
    most = math.max(most, running)
    gate:wait()
    running = running - 1
    return number
end
function echo(...) return ... end

local connections = {}
for i, uri in ipairs(box.info.listen) do
    connections[i] = net_box.connect(uri)
    test:ok(connections[i]:ping(), 'socket ' .. i)
end

-- Not more requests are under way than there may be, and all of them end.
local futures = {}
for i = 1, 20 do
    futures[i] = connections[i % 2 + 1]:call('wait_here', {i}, {is_async = true})
end
while running < 3 do
    fiber.sleep(0.001)
end
test:is(box.stat.net().REQUESTS_IN_PROGRESS.current, 3, 'as many under way as may be')
local sum = 0
for i = 1, 20 do
    while not futures[i]:is_ready() do
        gate:broadcast()
        fiber.sleep(0.001)
    end
    sum = sum + futures[i]:result()[1]
end
test:is(sum, 210, 'all are answered')
test:is(most, 3, 'never more')

-- With a higher limit more go on, on connections that are there already.
box.cfg{net_msg_max = 10}
for i = 1, 10 do
    futures[i] = connections[i % 2 + 1]:call('wait_here', {i}, {is_async = true})
end
while running < 10 do
    fiber.sleep(0.001)
end
test:is(running, 10, 'a higher limit holds at once')
while running > 0 do
    gate:broadcast()
    fiber.sleep(0.001)
end
test:like(message(box.cfg, {net_msg_max = 1}), 'net_msg_max', 'too low a limit')

-- What is read at once says nothing about what a request may be.
local long = ('x'):rep(1000000)
for i, connection in ipairs(connections) do
    test:is(#connection:call('echo', {long}), #long, 'a long request at socket ' .. i)
end

-- Sockets come and go; connections stay.
box.cfg{listen = 'unix/:./other.sock'}
test:ok(connections[1]:ping() and connections[2]:ping(), 'connections outlive their socket')
test:ok(net_box.connect('unix/:./other.sock'):ping(), 'another socket')
box.cfg{listen = box.NULL}
test:is(net_box.connect('unix/:./other.sock').state, 'error', 'nobody listens any more')

os.exit(test:check() and 0 or 1)
