-- box.session: who a fiber works for.
local fiber = require('fiber')
local tap = require('tap')

box.cfg{}

local test = tap.test('box_session')
test:plan(50)

local session = box.session
test:is(session.type(), 'background', 'the main fiber has a background session')
test:is_deeply({session.user(), session.uid(), session.euid()}, {'admin', 1, 1}, 'of admin')
test:is_deeply({session.fd(), session.peer(), session.sync()}, {-1, nil, 0}, 'without a peer')
test:ok(session.exists() and session.exists(session.id()), 'it exists')
test:is(session.exists(1000000), false, 'another does not')

local function message(run, ...)
    return tostring((select(2, pcall(run, ...))))
end
test:is(message(session.fd, 1000000), 'session.fd(): session does not exist', 'fd of none')
test:is(message(session.exists, 1, 2), 'session.exists(sid): bad arguments', 'two arguments')

session.storage.value = 5
test:is(session.storage.value, 5, 'storage is kept')
local id = session.id()
local child = fiber.new(function()
    return session.id(), session.storage.value, session.user()
end)
child:set_joinable(true)
local _, child_id, child_value, child_user = child:join()
test:isnt(child_id, id, 'another fiber has another session')
test:isnil(child_value, 'and storage')
test:is(child_user, 'admin', 'of admin, whoever made the fiber')
child = nil
test:is(session.exists(child_id), false, 'which ends with the fiber')

test:is(session.su('guest', session.effective_user), 'guest', 'su calls for another user')
test:is(session.su('guest', session.user), 'admin', 'the user of the session stays')
test:is(session.euid(), 1, 'and it is undone')
test:is(message(session.su, 'guest', function() error('oops', 0) end), 'oops', 'after an error too')
test:is(session.euid(), 1, 'it is undone')
test:is(message(session.su, 'nobody'), "User 'nobody' is not found", 'su to nobody')
session.su('guest')
test:is_deeply({session.user(), session.effective_user()}, {'guest', 'guest'}, 'su for good')
test:is(message(function() box.space._space:delete(1) end),
    "Write access to space '_space' is denied for user 'guest'", 'access is checked')
session.su('admin')

local is_pushed, err = session.push(1)
test:is(is_pushed, nil, 'push')
test:is(tostring(err), "Session 'background' does not support push()", 'is not for everybody')
require('compat').box_session_push_deprecation = 'new'
test:is(message(session.push, 1), 'box.session.push is deprecated', 'may be refused')
require('compat').box_session_push_deprecation = 'default'

local function first() end
local function second() end
session.on_connect(first)
session.on_connect(second)
test:is_deeply(session.on_connect(), {second, first}, 'triggers run newest first')
session.on_connect(nil, first)
session.on_connect(nil, nil, 'nothing')
test:is_deeply(session.on_connect(), {second}, 'and are taken away')
test:like(message(session.on_connect, 5), 'trigger reset: incorrect arguments', 'or refused')
test:is(select('#', session.on_connect(nil, second)), 0, 'without a result')
local denied
local function on_denied() denied = {session.user(), session.effective_user()} end
session.on_access_denied(on_denied)
pcall(session.su, 'guest', function() box.space._user:delete(1) end)
test:is_deeply(denied, {'admin', 'guest'}, 'who is denied is who triggers are told of')
session.on_access_denied(nil, on_denied)
test:is(#message(session.su, ('a'):rep(1000)), 84, 'long names are cut')
test:is(box.space._space:get(box.schema.SPACE_ID).name, '_space', 'first rows have names')
test:is(message(function() box.space._vspace:len() end),
    "Index 'primary' (TREE) of space '_vspace' (sysview) does not support size()", 'views')

session.settings.sql_seq_scan = false
test:is(session.settings.sql_seq_scan, false, 'settings change')
test:is(message(function() session.settings.sql_seq_scan = 5 end),
    'Session setting sql_seq_scan expected a value of type boolean', 'within their type')

--
-- Settings belong to a session
--

local other = fiber.new(function()
    local before = session.settings.sql_seq_scan
    session.settings.sql_default_engine = 'vinyl'
    fiber.yield()
    return before, session.settings.sql_default_engine
end)
other:set_joinable(true)
local _, before, engine = other:join()
test:is_deeply({before, engine}, {true, 'vinyl'}, 'another session has its own')
test:is(session.settings.sql_default_engine, 'memtx', 'which are nobody else\'s')
box.schema.user.grant('guest', 'execute', 'universe')
box.cfg{listen = '127.0.0.1:0'}
local net_box = require('net.box')
local one, two = net_box.connect(box.info.listen), net_box.connect(box.info.listen)
one:eval('box.session.settings.error_marshaling_enabled = true')
local code = 'return box.session.settings.error_marshaling_enabled'
test:is_deeply({one:eval(code), two:eval(code)}, {true, false}, 'as those of connections')

one:eval("box.session.storage.abc = 'one'")
local storages = getmetatable(box.session).aggregate_storage
test:is(storages[one:eval('return box.session.id()')].abc, 'one', 'storages of all sessions')
test:is(storages[two:eval('return box.session.id()')], nil, 'of a session that has none')
local values = {}
for _, storage in pairs(storages) do
    table.insert(values, storage.abc)
end
test:is_deeply(values, {'one'}, 'one after the other')

test:is(message(session.su, 'super'), "User 'super' is not found", 'a role is nobody')
test:is(message(session.su, 'admin', 5), 'expected function as 2 argument', 'what su runs')

--
-- Connections that Lua has accepted
--

local function refused(options)
    return message(session.new, options)
end
test:is(refused('x'), 'options should be a table', 'options')
test:is(refused({}), "options parameter 'fd' is mandatory", 'fd')
test:is(refused({fd = 1.5}), "options parameter 'fd' must be nonnegative integer", 'a whole one')
test:is(refused({fd = 0, user = 'nobody'}), "User 'nobody' is not found", 'user')
local seen = {}
local function note()
    seen[#seen + 1] = {session.id(), session.fd(), session.peer() or 'none', session.user()}
end
session.on_connect(note)
session.on_disconnect(note)
session.new({fd = 99999, user = 'admin'})
for _ = 1, 1000 do
    if seen[2] ~= nil and not session.exists(seen[2][1]) then break end
    require('fiber').sleep(0.01)
end
session.on_connect(nil, note)
session.on_disconnect(nil, note)
test:is_deeply(seen, {seen[1], seen[1]}, 'a descriptor that is none begins a session and ends it')
test:is_deeply({seen[1][2], seen[1][3], seen[1][4]}, {99999, 'none', 'admin'}, 'of that user')
test:ok(not session.exists(seen[1][1]), 'which is no more')
test:is(refused({fd = 0, type = 'text'}),
    "invalid session type 'text', the only supported type is 'binary'", 'type')
local socket = require('socket')
local server = socket.tcp_server('127.0.0.1', 0, function(client)
    session.new({fd = client:fd(), user = 'admin', storage = {value = 7}})
    client:detach()
end)
local connection = net_box.connect('127.0.0.1', server:name().port)
test:is_deeply({connection:eval('return box.session.user(), box.session.storage.value, '
    .. 'box.session.type(), box.session.peer()')},
    {'admin', 7, 'binary', connection:eval('return box.session.peer()')}, 'a session of its own')
connection:close()
server:close()

os.exit(test:check() and 0 or 1)
