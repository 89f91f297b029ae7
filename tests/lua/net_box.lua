-- net.box: a connection of this instance to itself.
local buffer = require('buffer')
local fiber = require('fiber')
local msgpack = require('msgpack')
local net_box = require('net.box')
local tap = require('tap')

box.cfg{listen = '127.0.0.1:0'}

local test = tap.test('net_box')
test:plan(150)

local function message(run, ...)
    local ok, err = pcall(run, ...)
    return ok and 'done' or tostring(err)
end

local space = box.schema.space.create('test', {format = {
    {name = 'id', type = 'unsigned'}, {name = 'text', type = 'string', is_nullable = true},
}})
space:create_index('pk')
space:create_index('text', {parts = {{'text', is_nullable = true}}, unique = false})
box.schema.user.create('alice', {password = 'secret'})
box.schema.user.grant('alice', 'super')
box.schema.func.create('stored', {body = 'function(a) return a, box.session.user() end'})

-- luacheck: ignore 111 113
function add(a, b) return a + b end
function push(count)
    for i = 1, count do box.session.push(i) end
    return 'end'
end
local gate = fiber.cond()
function wait_here() gate:wait() return 'woken' end
function tuples() return space:get(1), space:select() end
holder = {value = 5}
function holder:get() return self.value end

local uri = 'alice:secret@' .. box.info.listen

--
-- Connecting
--

local connection = net_box.connect(uri)
test:is(connection.state, 'active', 'connect waits for the connection')
test:is(connection.error, nil, 'without an error')
test:ok(connection:is_connected() and connection:wait_connected(), 'it is connected')
test:ok(connection:ping(), 'ping')
test:is(connection.protocol, 'Binary', 'protocol')
test:is(connection.peer_uuid, box.info.uuid, 'peer_uuid')
test:is(connection.peer_version_id, 3 * 65536 + 8 * 256, 'peer_version_id')
test:is(connection.peer_protocol_version, 10, 'peer_protocol_version')
test:is(connection.peer_protocol_features.streams, true, 'peer_protocol_features')
test:is(connection.peer_protocol_features.insert_arrow, false, 'what it has not')
test:is(connection.opts.password, nil, 'the password is not shown')
test:ok(connection.schema_version == box.info.schema_version, 'schema_version')

test:is(message(net_box.connect, uri, {auth_type = 'chap-sha128'}),
    "Unknown authentication method 'chap-sha128'", 'an unknown method')
test:is(message(net_box.connect, uri .. '?auth_type=chap-sha128'),
    "Unknown authentication method 'chap-sha128'", 'in a URI, too')

local guest = net_box.connect(box.info.listen)
test:is(message(guest.call, guest, 'add', {1, 2}),
    "Execute access to function 'add' is denied for user 'guest'", 'guest may not')
guest:close()
test:is(guest.state, 'closed', 'close')
test:is(message(guest.call, guest, 'add'), 'Connection closed', 'after close')
test:is(guest:ping(), false, 'ping after close')

local wrong = net_box.connect('alice:wrong@' .. box.info.listen)
test:is(wrong.state, 'error', 'a wrong password')
test:is(wrong.error, 'User not found or supplied credentials are invalid', 'is told')
-- Bound, so that nobody else gets the port, and not listening.
local mute = require('socket')('AF_INET', 'SOCK_STREAM', 'tcp')
mute:bind('127.0.0.1', 0)
local nobody = net_box.connect('127.0.0.1:' .. mute:name().port)
test:is(nobody.state, 'error', 'nobody listens')
test:like(nobody.error, 'Connection refused', 'is told')
test:is(nobody:wait_connected(1), false, 'wait_connected says so')
local ok, err = pcall(nobody.call, nobody, 'add')
test:is_deeply({ok, err.code}, {false, box.error.NO_CONNECTION}, 'the code of the error')
local later = net_box.connect(uri, {wait_connected = false})
test:is(later.state, 'initial', 'wait_connected = false')
test:is(later:call('add', {1, 2}), 3, 'a request waits for the connection')
later:close()
local old = net_box.connect(uri, {required_protocol_version = 100})
test:is(old.error, 'Protocol version (10) < required (100)', 'required_protocol_version')
local poor = net_box.connect(uri, {required_protocol_features = {'streams', 'insert_arrow'}})
test:is(poor.error, 'Missing required protocol features: insert_arrow',
    'required_protocol_features')
test:like(message(net_box.connect, uri, {unknown = 1}), "unexpected option 'unknown'",
    'an unknown option')
local host, port = box.info.listen:match('(.*):(.*)')
local apart = net_box.connect(host, tonumber(port), {user = 'alice', password = 'secret'})
test:is(apart:call('add', {1, 2}), 3, 'host and port apart')
apart:close()

--
-- Data
--

local remote = connection.space.test
test:is(remote.id, space.id, 'the space is known')
test:is(connection.space[space.id], remote, 'by number too')
test:is(remote.index.text.parts[1].fieldno, 2, 'and its indexes')
test:is(remote:format()[2].name, 'text', 'and its format')
local tuple = remote:insert{1, 'a'}
test:ok(box.tuple.is(tuple), 'insert returns a tuple')
test:is(tuple.text, 'a', 'with named fields')
remote:replace{2, 'b'}
test:is(tostring(remote:get(1)), '[1, "a"]', 'get')
test:is(remote:get(100), nil, 'get nothing')
test:is(#remote:select(), 2, 'select all')
test:is_deeply(remote:select(2)[1]:totable(), {2, 'b'}, 'select by key')
test:is(remote:select({}, {limit = 1, offset = 1})[1].id, 2, 'limit and offset')
test:is(remote:select(1, {iterator = 'GT'})[1].id, 2, 'iterator')
test:is(remote.index.text:select('b')[1].id, 2, 'another index')
test:is(remote:update(1, {{'=', 2, 'c'}}).text, 'c', 'update')
test:is(remote:upsert({3, 'x'}, {{'=', 2, 'y'}}), nil, 'upsert inserts')
remote:upsert({3, 'x'}, {{'=', 2, 'y'}})
test:is(remote:get(3).text, 'y', 'upsert updates')
test:is(remote:delete(3).id, 3, 'delete')
test:is(remote.index.pk:min().id, 1, 'min')
test:is(remote.index.pk:max().id, 2, 'max')
test:is(remote.index.pk:count(), 2, 'count')
test:is(remote.index.pk:count(1, {iterator = 'GT'}), 1, 'count with an iterator')
test:is(remote.index.text:get('c').id, 1, 'get of one in a secondary index')
remote:replace{4, 'c'}
test:is(message(remote.index.text.get, remote.index.text, 'c'),
    'Get() doesn\'t support partial keys and non-unique indexes', 'get of more than one')
remote:delete(4)
local page, position = remote:select({}, {limit = 1, fetch_pos = true})
test:is(page[1].id, 1, 'the first page')
test:is(remote:select({}, {limit = 1, after = position})[1].id, 2, 'the next page')
test:is(message(remote.insert, remote, {1}),
    'Duplicate key exists in unique index "pk" in space "test" with old tuple - [1, "c"] and '
    .. 'new tuple - [1]', 'an error of the server')
test:is(message(remote.insert, remote, {5}, {timeout = 'x'}),
    "options parameter 'timeout' should be of type number", 'a wrong option')

-- Without the schema, by name and number.
local bare = net_box.connect(uri, {fetch_schema = false})
test:is(bare.schema_version, nil, 'the schema is not fetched')
test:is_deeply(bare.space.test:get(1):totable(), {1, 'c'}, 'a space by name')
test:is(bare.space.test:get(1).text, 'c', 'its tuples have names')
test:is_deeply(bare.space[space.id].index.text:select('b')[1]:totable(), {2, 'b'}, 'an index')
test:is(message(bare.space.none.get, bare.space.none, 1), "Space 'none' does not exist", 'none')
bare:close()

-- A new schema is fetched.
local reloads = 0
connection:on_schema_reload(function() reloads = reloads + 1 end)
box.schema.space.create('more'):create_index('pk')
connection:reload_schema()
test:ok(connection.space.more ~= nil, 'a new space is seen')
test:is(connection.space.test, remote, 'an old one is the same object')
test:ok(reloads > 0, 'on_schema_reload')

--
-- Calls
--

test:is(connection:call('add', {1, 2}), 3, 'call')
test:is_deeply({connection:call('stored', {7})}, {7, 'alice'}, 'a stored function')
test:is(connection:call('holder:get'), 5, 'a method')
test:is_deeply({connection:eval('return ...', {1, {a = 2}, 'x'})}, {1, {a = 2}, 'x'}, 'eval')
local one, several = connection:call('tuples')
test:ok(box.tuple.is(one) and box.tuple.is(several[2]), 'tuples are tuples')
test:is_deeply({one.text, several[2].text}, {'c', 'b'}, 'with the names of their fields')
test:is(connection:eval('local t = ... return box.tuple.is(t) and t.text', {one}), 'c',
    'as arguments, too')
test:is(message(connection.call, connection, 'none'), "Procedure 'none' is not defined", 'none')
ok, err = pcall(connection.eval, connection,
    'box.error(box.error.new({code = 5, reason = "why", type = "Mine"}))')
test:is_deeply({ok, err.type, err.code, err.message}, {false, 'Mine', 5, 'why'}, 'error objects')
test:like(message(connection.call, connection, 'add', 1),
    'Use remote:call%(func_name, {arg1, arg2, ...}, opts%)', 'arguments must be a table')
test:is(connection:call('add', msgpack.object({3, 4})), 7, 'a MessagePack object of arguments')

-- Timeouts, futures.
test:is(message(connection.call, connection, 'wait_here', {}, {timeout = 0.01}),
    'timed out', 'timeout')
local future = connection:call('wait_here', {}, {is_async = true})
test:is(future:is_ready(), false, 'a future is not ready')
test:is(tostring(select(2, future:result())), 'Response is not ready', 'it has no result')
test:is(tostring(select(2, future:wait_result(0.01))), 'timed out', 'even after a while')
test:ok(connection:ping(), 'others are served meanwhile')
gate:broadcast()
test:is_deeply(future:wait_result(60), {'woken'}, 'but at the end')
test:is_deeply(future:result(), {'woken'}, 'and again')
future.mine = 5
test:is(msgpack.decode(msgpack.encode(future)).mine, 5, 'a future shows what users keep in it')
future = connection:call('none', {}, {is_async = true})
test:is(tostring(select(2, future:wait_result(60))), "Procedure 'none' is not defined",
    'a future of an error')
future = connection:call('wait_here', {}, {is_async = true})
future:discard()
test:is(tostring(select(2, future:result())), 'Response is discarded', 'discard')
gate:broadcast()
test:is(remote:get(1, {is_async = true}):wait_result(60).id, 1, 'a future of a tuple')
local all = {}
for i = 1, 50 do
    all[i] = connection:call('add', {i, i}, {is_async = true})
end
local sum = 0
for i = 1, 50 do
    sum = sum + all[i]:wait_result(60)[1]
end
test:is(sum, 2550, 'many futures')

-- Pushes.
local pushed = {}
test:is(connection:call('push', {3}, {
    on_push = function(context, value) table.insert(context, value) end, on_push_ctx = pushed,
}), 'end', 'a call that pushes')
test:is_deeply(pushed, {1, 2, 3}, 'on_push')
pushed = {}
for i, value in connection:call('push', {2}, {is_async = true}):pairs() do
    pushed[i] = value
end
test:is_deeply(pushed, {1, 2, {'end'}}, 'future:pairs')
local in_buffer, sizes = buffer.ibuf(), {}
local last = connection:call('push', {2}, {
    buffer = in_buffer, on_push = table.insert, on_push_ctx = sizes,
})
local packets = {}
for i = 1, 3 do
    packets[i], in_buffer.rpos = msgpack.decode_unchecked(in_buffer.rpos)
end
test:is_deeply({#sizes, packets[1][48], packets[2][48], packets[3][48], last > 0},
    {2, {1}, {2}, {'end'}, true}, 'pushes go to the buffer, too')

-- Bytes as they come.
local ibuf = buffer.ibuf()
test:is(remote:select(1, {buffer = ibuf}), ibuf:size(), 'into a buffer')
test:is_deeply(msgpack.decode(ibuf.rpos, ibuf:size()), {[48] = {{1, 'c'}}}, 'the whole body')
ibuf:reset()
connection:call('add', {1, 2}, {buffer = ibuf, skip_header = true})
test:is_deeply(msgpack.decode(ibuf.rpos, ibuf:size()), {3}, 'or without the header')
local raw = connection:call('add', {1, 2}, {return_raw = true})
test:ok(msgpack.is_object(raw), 'as an object')
test:is_deeply(raw:decode(), {3}, 'of the results')

--
-- Streams
--

local stream = connection:new_stream()
stream:begin()
test:is(stream.space.test:get(1).id, 1, 'a stream reads')
stream:commit()
local begun = stream:begin({timeout = 10}, {is_async = true})
stream.space.test:insert({10}, {is_async = true})
local committed = stream:commit({is_async = true})
test:ok(begun:wait_result(60) == nil and committed:wait_result(60) == nil, 'all at once')
test:is(space:get(10).id, 10, 'a transaction of a stream')
stream:begin()
stream.space.test:insert{11}
test:is(message(stream.commit, stream), 'Transaction has been aborted by a fiber yield',
    'a stream yields between requests')
test:is(space:get(11), nil, 'and so nothing is done')
test:is(message(stream.commit, stream, {is_sync = false}),
    'is_sync can only be true', 'wrong options')

--
-- Watchers
--

local seen = fiber.channel(10)
local watcher = connection:watch('key', function(key, value) seen:put({key, value}) end)
test:is_deeply(seen:get(60), {'key'}, 'a watcher is called at once')
box.broadcast('key', {1})
test:is_deeply(seen:get(60), {'key', {1}}, 'and on a change')
test:is_deeply(connection:watch_once('key'), {1}, 'watch_once')
watcher:unregister()
test:is(message(watcher.unregister, watcher), 'Watcher is already unregistered', 'unregister')

--
-- Losing the connection
--

local again = net_box.connect(uri, {reconnect_after = 0.01})
local told = {}
again:on_disconnect(function() table.insert(told, 'disconnected') end)
again:on_connect(function() table.insert(told, 'connected') end)
again:watch('key', function(_, value) seen:put(value) end)
test:is_deeply(seen:get(60), {1}, 'a watcher of a connection that will break')
local waiting = again:call('wait_here', {}, {is_async = true})
box.cfg{listen = box.NULL}
box.cfg{listen = host .. ':' .. port}
require('ffi').cdef('int shutdown(int fd, int how);')
again:eval('require("ffi").C.shutdown(box.session.fd(), 2)', {}, {is_async = true})
test:is(tostring(select(2, waiting:wait_result(60))), 'Peer closed', 'what was under way fails')
test:ok(again:wait_connected(60), 'the connection comes back')
test:is(again:call('add', {1, 2}), 3, 'and works')
test:is_deeply(told, {'disconnected', 'connected'}, 'triggers')
test:is_deeply(seen:get(60), {1}, 'keys are watched again')
again:close()
gate:broadcast()

--
-- Corner cases
--

again = net_box.connect(uri)
local raw = {return_raw = true}
test:is_deeply(again.space.test:replace({50, 'raw'}, raw):decode(), {50, 'raw'}, 'a raw tuple')
test:is_deeply(again.space.test:select({50}, raw):decode(), {{50, 'raw'}}, 'raw tuples')
test:is_deeply(again.space.test.index.pk:get({50}, raw):decode(), {50, 'raw'}, 'get')
local ignorant = net_box.connect(uri, {fetch_schema = false})
local got = ignorant.space.test:select({50}, raw)
ignorant:close()
test:is(got:decode()[1].text, 'raw', 'raw tuples know their fields')
test:is(got:iterator():take_array(1):decode()[1][1].text, 'raw', 'and so do parts of them')
test:is(again:call('tuples', {}, raw):iterator():take():decode()[1].id, 1, 'results of calls, too')
require('compat').box_tuple_extension = 'old'
local plain = net_box.connect(uri)
test:is(plain.peer_protocol_features.call_ret_tuple_extension, false, 'calls without formats')
test:is(box.tuple.is(plain:call('tuples')), false, 'return arrays')
plain:close()
require('compat').box_tuple_extension = 'default'
test:is(again.space.test:delete({51}, raw), nil, 'nothing is nil')
test:is(again.space.test.index.pk:count({50}, raw), 1, 'a number is a number')
test:is(message(again.call, again, 'add', msgpack.object(5)), 'Tuple/Key must be MsgPack array',
    'arguments are an array')
test:like(message(again.call, again, 'add', {}, {buffer = true}),
    'should be of type struct ibuf', 'what a buffer is')
for _, fd in ipairs({-1, 1.5, 2 ^ 31}) do
    test:is(message(net_box.from_fd, fd), 'Invalid fd: expected nonnegative integer', 'fd ' .. fd)
end
test:like(net_box.from_fd(9000).error, 'Bad file descriptor', 'a descriptor that is none')
local fio, socket = require('fio'), require('socket')
local given = socket.tcp_connect(box.info.listen:match('^(.*):(%d+)$'))
local fd = given:fd()
local over = net_box.from_fd(fd, {reconnect_after = 0.001})
test:ok(over:ping(), 'a descriptor of a socket')
test:like(net_box.from_fd(fd).error, 'File exists', 'is not given away twice')
test:ok(over:ping(), 'which leaves the first connection alone')
over:close()
-- The next file with that number is another one.
local files = {}
repeat
    fiber.sleep(0)
    files[#files + 1] = fio.open(arg[0], {'O_RDONLY'})
until files[#files].fh == fd or #files == 1000
test:is(files[#files].fh, fd, 'closing the connection closes it')
test:ok(not given:close() and files[#files]:read(2) == '--', 'and the socket closes no other')
test:is(over.state, 'closed', 'nothing connects again')
for _, file in ipairs(files) do
    file:close()
end
local in_trigger = fiber.channel(1)
local triggered = net_box.connect(uri, {wait_connected = false})
triggered:on_connect(function(self)
    local future = self:call('add', {1, 2}, {is_async = true})
    in_trigger:put(message(future.wait_result, future, 1))
end)
test:like(in_trigger:get(60), 'Synchronous requests are not allowed in net.box trigger',
    'no waiting in a trigger')
triggered:close()
again:close()

--
-- Requests that arrive together
--

local hashed = box.schema.space.create('hashed')
hashed:create_index('pk', {type = 'hash'})
local two = box.schema.space.create('two')
two:create_index('pk', {parts = {{1, 'unsigned'}, {2, 'string'}}})
for i = 1000, 1099 do
    space:replace({i, 'x' .. i})
    hashed:replace({i, i})
    two:replace({i, 'x' .. i})
end
local many = net_box.connect(uri)
local sent, expected = {}, {}
local function send(name, method, arguments, result)
    local own = many.space[name]
    sent[#sent + 1] = own[method](own, unpack(arguments))
    expected[#expected + 1] = result
end
local async = {is_async = true}
for i = 1000, 1099 do
    send('test', 'select', {{i}, async}, {{i, 'x' .. i}})
    send('test', 'select', {{i}, {is_async = true, limit = 0}}, {})
    if i % 3 == 0 then
        send('hashed', 'select', {{i}, async}, {{i, i}})
        send('hashed', 'select', {{i + 5000}, async}, {})
        send('test', 'select', {{'wrong'}, async},
            'Supplied key type of part 0 does not match index part type: expected unsigned')
    elseif i % 3 == 1 then
        send('two', 'select', {{i, 'x' .. i}, async}, {{i, 'x' .. i}})
        send('two', 'select', {{i}, async}, {{i, 'x' .. i}})
        send('test', 'replace', {{i, 'new'}, async}, {i, 'new'})
        send('test', 'get', {{i}, async}, {i, 'new'})
        send('test', 'delete', {{i}, async}, {i, 'new'})
        send('test', 'select', {{i}, async}, {})
    end
    send('test', 'select', {{i + 7000}, async}, {})
end
local got_all = {}
for i, future in ipairs(sent) do
    local value, problem = future:wait_result(60)
    got_all[i] = problem ~= nil and tostring(problem) or value
    if type(expected[i]) == 'table' and type(expected[i][1]) == 'table' then
        for j, tuple in ipairs(value) do
            got_all[i][j] = tuple:totable()
        end
    elseif box.tuple.is(value) then
        got_all[i] = value:totable()
    end
end
test:is_deeply(got_all, expected, 'each gets its own reply')
many:close()

--
-- As Tarantool has it
--

local plain = net_box.connect(uri)
test:is(plain.space.test.connection, plain, 'a space knows its connection')
test:is_deeply({select('#', plain.space.test:upsert({2000, 'y'}, {})),
    select('#', plain.space.test:get(3000)), select('#', plain.space.test:delete(3000))},
    {0, 0, 0}, 'no result is no value')
test:is(getmetatable(plain:call('add', {1, 2}, {is_async = true}):wait_result(60)).__serialize,
    'seq', 'results are a list')
test:is(select(2, pcall(plain.call, plain, 'wait_here', {}, {timeout = 0.01})).type, 'TimedOut',
    'the type of a timeout')
test:is(message(net_box.connect, box.info.listen, {password = 'x'}),
    'net.box: user is not defined', 'a password needs a user')

function echo(...) return ... end
msgpack.cfg({encode_invalid_as_nil = true, decode_invalid_numbers = false})
test:is(plain:call('echo', {print}), nil, 'arguments follow msgpack.cfg')
test:like(message(plain.eval, plain, 'return 0/0'), 'number must not be NaN or Inf', 'replies, too')
msgpack.cfg({encode_invalid_as_nil = false, decode_invalid_numbers = true})
plain:close()
test:is(message(plain.call, plain, 'add', {}, {is_async = true}), 'Connection closed',
    'a closed connection has no futures')

--
-- Handlers of transactions
--

function handled()
    local seen
    box.begin()
    box.space.test:replace({1000, 'x'})
    box.on_commit(function() seen = {box.session.id(), box.session.effective_user()} end)
    box.commit()
    return seen ~= nil and seen[1] == box.session.id() and seen[2]
end
test:is(net_box.connect(uri):call('handled'), 'alice',
    'run before commit returns, for the session of the transaction')

--
-- net.box.self
--

local own = net_box.self
test:is(own:call('add', {1, 2}), 3, 'self: call')
test:is_deeply({own:eval('return 1, ...', {2})}, {1, 2}, 'self: eval')
test:is(own.space.test, space, 'self: space')
test:is_deeply((own:call('tuples')), {1, 'c'}, 'self: a tuple')

os.exit(test:check() and 0 or 1)
