-- box.iproto: numbers, packets, greetings, sending, functions by name, handlers of requests.
local msgpack = require('msgpack')
local net_box = require('net.box')
local tap = require('tap')
local trigger = require('trigger')

local test = tap.test('box_iproto')
test:plan(44)

local function message(run, ...)
    local ok, err = pcall(run, ...)
    return ok and 'done' or tostring(err)
end

test:is_deeply({box.iproto.type.PING, box.iproto.key.SYNC, box.iproto.flag.WAIT_ACK,
    box.iproto.raft_key.VOTE, box.iproto.ballot_key.IS_RO, box.iproto.metadata_key.NAME},
    {64, 1, 4, 1, 4, 0}, 'numbers')
test:is_deeply({box.iproto.type.TYPE_ERROR, box.iproto.type.UNKNOWN}, {32768, -1}, 'of no request')
test:is(box.iproto.protocol_version, 10, 'protocol_version')
test:is_deeply({box.iproto.feature.insert_arrow, box.iproto.protocol_features.insert_arrow},
    {12, nil}, 'features that are known')
test:is(box.iproto.protocol_features.streams, true, 'and those that are there')

local packet = box.iproto.encode_packet({request_type = 64, sync = 7}, {[0x30] = {1}})
local header, body, position = box.iproto.decode_packet(packet .. 'rest')
test:is_deeply(header:decode(), {[0] = 64, [1] = 7}, 'a packet: header')
test:is_deeply(body:decode(), {[48] = {1}}, 'body')
test:is(position, #packet + 1, 'and end')
test:is_deeply({header.sync, header.request_type, body.data}, {7, 64, {1}}, 'fields by name')
header, body = box.iproto.decode_packet(box.iproto.encode_packet(msgpack.encode({[0] = 0})))
test:is_deeply({header:decode()[0], body}, {0, nil}, 'of bytes, without a body')
test:is_deeply({box.iproto.decode_packet(packet:sub(1, -3))}, {nil, 2}, 'a part of one')
test:like(message(box.iproto.encode_packet), 'Usage: box.iproto.encode_packet', 'usage')

local uuid = require('uuid').new()
local greeting = box.iproto.encode_greeting({version = '2.3.4', uuid = tostring(uuid), salt = 'x'})
test:is(#greeting, 128, 'a greeting')
test:is_deeply(box.iproto.decode_greeting(greeting),
    {version = '2.3.4', protocol = 'Binary', uuid = uuid, salt = 'x'}, 'is read back')
test:like(message(box.iproto.decode_greeting, 'x'), 'greeting length must equal 128', 'too short')
test:like(message(box.iproto.encode_greeting, {version = 'x'}), 'cannot parse version', 'wrong')

box.cfg{listen = '127.0.0.1:0'}
box.schema.user.grant('guest', 'execute', 'lua_eval')
box.schema.user.grant('guest', 'execute', 'lua_call')
local connection = net_box.connect(box.info.listen)

-- Functions by name.
box.iproto.export('not.a.global', function(a) return a + 1 end)
test:is(connection:call('not.a.global', {1}), 2, 'export')
test:like(message(box.iproto.export, 'not.a.global', print), 'already exists', 'once')
local _, problem = pcall(box.iproto.export, 1, print)
test:is(problem.type, 'IllegalParams', 'a name is a string')

-- Handlers.
local seen
local function answer(head, content)
    seen = {head:decode(), content:decode()}
    box.iproto.send(box.session.id(), {request_type = 0, sync = head:decode()[1]},
        {data = {'mine'}})
    return true
end
box.iproto.override(box.iproto.type.EVAL, answer)
test:is(connection:eval('return 1'), 'mine', 'a handler by number')
test:is_deeply({seen[1][0], seen[2][39]}, {8, 'return 1'}, 'gets header and body')
test:is(connection:call('not.a.global', {2}), 3, 'other requests go on')
box.iproto.override(box.iproto.type.EVAL, function() return false end)
test:is(connection:eval('return 1'), 1, 'false: the server answers')
box.iproto.override(box.iproto.type.EVAL, function() box.error({code = 9, reason = 'no'}) end)
test:is(message(connection.eval, connection, 'return 1'), 'no', 'an error is an answer')
box.iproto.override(box.iproto.type.EVAL, nil)
test:is(connection:eval('return 1'), 1, 'nil: no handler')
box.iproto.override('call', answer)
test:is(connection:call('x'), 'mine', 'a handler by name')
box.iproto.override('call', nil)
trigger.set('box.iproto.override.ping', 'mine', answer)
test:is(connection:ping(), true, 'a trigger')
test:is(seen[1][0], 64, 'is a handler, too')
trigger.del('box.iproto.override.ping', 'mine')
seen = nil
connection:ping()
test:is(seen, nil, 'until it is deleted')
box.iproto.override(box.iproto.type.EVAL, function(head)
    require('fiber').sleep(0)
    return answer(head, head)
end)
local first = connection:eval('1', {}, {is_async = true})
local second = connection:call('not.a.global', {5}, {is_async = true})
test:is_deeply({first:wait_result(60), second:wait_result(60)}, {{'mine'}, {6}}, 'may yield')
box.iproto.override(box.iproto.type.EVAL, nil)
box.iproto.override(box.iproto.type.UNKNOWN, answer)
connection._transport:inject(box.iproto.encode_packet({request_type = 777, sync = 999}, {}))
connection:ping()
test:is(seen[1][0], 777, 'unknown types')
box.iproto.override('unknown', nil)

box.iproto.override('select', function(header, body)
    if body.space_id ~= box.space._vspace.id then
        return false
    end
    box.iproto.send(box.session.id(), {request_type = 0, sync = header.sync},
        {data = box.space._vspace:select()})
    return true
end)
local other = net_box.connect(box.info.listen)
test:is(other.state, 'active', 'a reply may keep the version of the schema to itself')
other:close()
box.iproto.override('select', nil)

test:like(message(box.iproto.override), 'Usage: box.iproto.override', 'no arguments')
test:like(message(box.iproto.override, {}), 'number or string expected, got table', 'wrong type')
test:like(message(box.iproto.override, 1, 2), 'function expected, got number', 'wrong handler')
test:is(message(box.iproto.override, 'join', answer), 'done',
    'replication is not overridden, which is logged')
box.iproto.override('join', nil)
box.iproto.override('ping', function() return box.NULL end)
test:is(connection:ping(), false, 'an answer is a boolean')
box.iproto.override('ping', nil)
trigger.set('box.iproto.override.pinG', 'mine', function() return box.NULL end)
test:is(connection:ping(), true, 'a name in capitals is none')
trigger.del('box.iproto.override.pinG', 'mine')
test:is(box.iproto.encode_packet({0}), '\206\0\0\0\2\145\0', 'an array is sent as one')

-- Sending.
test:is(message(box.iproto.send, 123456, {}), 'Session 123456 does not exist', 'no such session')
test:like(message(box.iproto.send, box.session.id(), {}), "Session 'background' is not supported",
    'no session of a client')
test:like(message(box.iproto.send, 1), 'Usage: box.iproto.send', 'usage')
test:like(message(box.iproto.send, 1, 2), 'expected table or string as 2 argument', 'header')
test:like(message(box.iproto.send, 1, {}, 2), 'expected table or string as 3 argument', 'body')

os.exit(test:check() and 0 or 1)
