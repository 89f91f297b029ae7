-- Debian's Tarantool through its net.box: schema, data, calls, errors, pushes, rights, reconnect.
local fiber = require('fiber')
local json = require('json')
local net_box = require('net.box')

local port = arg[1]

local function same(got, expected, what)
    local shown = type(got) == 'table' and json.encode(got) or tostring(got)
    if shown ~= expected then
        error(('%s: got %s, expected %s'):format(what or '', shown, expected), 2)
    end
end

local function fails(expected, run, ...)
    local ok, err = pcall(run, ...)
    if ok or not tostring(err):find(expected, 1, true) then
        error(('expected the error %q, got %s'):format(expected, tostring(err)), 2)
    end
    return err
end

local connection = net_box.connect('127.0.0.1:' .. port)
same(connection.state, 'active')
same(connection:ping(), 'true')
local space = connection.space.test
same(space.index.text.parts[1].fieldno, '2')
same(space:insert{1, 'a'}, "[1, 'a']")
same(space:replace{2, 'b', {1, 2}}, "[2, 'b', [1, 2]]")
same(space:get(1), "[1, 'a']")
same(space:select({}, {iterator = 'GE'}), '[[1,"a"],[2,"b",[1,2]]]')
same(space:select({}, {iterator = 'GE', limit = 1, offset = 1}), '[[2,"b",[1,2]]]')
same(space.index.text:select('b'), '[[2,"b",[1,2]]]')
same(space:update(1, {{'=', 2, 'c'}}), "[1, 'c']")
space:upsert({3, 'x'}, {{'=', 2, 'y'}})
space:upsert({3, 'x'}, {{'=', 2, 'y'}})
same(space:get(3), "[3, 'y']")
same(space:delete(3), "[3, 'y']")
same(space:get(3), 'nil')
fails('Duplicate key exists in unique index "primary"', space.insert, space, {1})
fails('Tuple field 1', space.insert, space, {'x'})
same(connection:call('add', {1, 2}), '3')
same({connection:eval('return ...', {box.NULL})}, '[null]')
same({connection:eval('return 1, {a = 2}, nil')}, '[1,{"a":2},null]')
same(connection:call('object:method'), 'me')
same(connection:call('object.list.named'), 'named')
same(connection:call('object.list[1]'), 'first')
same(fails('why', connection.call, connection, 'fail', {'why'}).code, '1234')
fails("Procedure 'nothing' is not defined", connection.call, connection, 'nothing')
fails('Transaction is active at return', connection.call, connection, 'leave_open')
same(space:get(1000), 'nil')
fails("Execute access to function 'stored' is denied for user 'guest'", connection.call,
    connection, 'stored', {1})
local pushed = {}
same(connection:call('push', {3}, {on_push = function(_, value) table.insert(pushed, value) end}),
    '3')
same(pushed, '[[1],[2],[3]]')
local future = connection:call('wait_for', {'gate'}, {is_async = true})
same(connection:ping(), 'true')
same(future:is_ready(), 'false')
connection:call('open', {'gate'})
same(future:wait_result(60), '["gate"]')

-- Many fibers on one connection.
local done = fiber.channel(100)
for i = 1, 100 do
    fiber.create(function()
        space:replace{100 + i, tostring(i)}
        done:put(space:get(100 + i)[2] == tostring(i))
    end)
end
for _ = 1, 100 do
    same(done:get(60), 'true')
end
same(#space:select(100, {iterator = 'GT', limit = 1000}), '100')

local alice = net_box.connect('alice:secret@127.0.0.1:' .. port)
same({alice:call('whoami')}, '["alice","binary",' .. alice:eval('return box.session.sync()') - 1
    .. ']')
same(alice:call('stored', {4}), '8')
same(net_box.connect('alice:wrong@127.0.0.1:' .. port).error,
    'User not found or supplied credentials are invalid')
same(net_box.connect('bob:wrong@127.0.0.1:' .. port).error,
    'User not found or supplied credentials are invalid')

-- The schema is fetched again when it has changed, and the connection comes back when it is lost.
local again = net_box.connect('alice:secret@127.0.0.1:' .. port, {reconnect_after = 0.01})
again:eval('box.schema.space.create("new"):create_index("pk")')
again:ping()
again:reload_schema()
same(again.space.new:insert{5}, '[5]')
pcall(again.eval, again, [[
    require('socket').internal = nil
    for _, one in pairs({...}) do end
    local fd = box.session.fd()
    require('ffi').cdef('int shutdown(int, int);')
    require('ffi').C.shutdown(fd, 2)
]])
again:wait_connected(60)
same(again.space.new:get(5), '[5]')
print('done')
os.exit(0)
