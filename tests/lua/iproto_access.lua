-- Who may do what over the binary protocol, and the triggers of sessions.
local net_box = require('net.box')
local tap = require('tap')

box.cfg{listen = '127.0.0.1:0'}

local test = tap.test('iproto_access')
local schema = box.schema

local function message(run, ...)
    local ok, err = pcall(run, ...)
    return ok and 'done' or tostring(err)
end

local function denied(access, kind, name)
    return ("%s access to %s '%s' is denied for user 'alice'"):format(access, kind, name)
end

schema.space.create('things', {format = {{'id', 'unsigned'}}}):create_index('pk')
schema.user.create('alice', {password = 'secret'})
-- luacheck: ignore 111
function whoami() return box.session.user(), box.session.effective_user() end
schema.func.create('stored', {body = 'function() return box.session.effective_user() end'})
schema.func.create('as_owner', {
    body = 'function() return box.session.effective_user() end', setuid = true,
})
schema.func.create('by_name')
function by_name() return 'by name' end

local uri = 'alice:secret@' .. box.info.listen
local remote = net_box.connect(uri, {fetch_schema = false})
local things = remote.space.things

-- What is done, what is granted for it, and the refusal without it.
local CASES = {
    {'select', function() things:select() end, {'read', 'space', 'things'},
        denied('Read', 'space', 'things')},
    {'select by universe', function() things:select() end, {'read', 'universe'},
        denied('Read', 'space', 'things')},
    {'get', function() things.index.pk:get(1) end, {'read', 'space'},
        denied('Read', 'space', 'things')},
    {'insert', function() things:replace{1} end, {'write', 'space', 'things'},
        denied('Write', 'space', 'things')},
    {'update', function() things.index.pk:update(1, {{'=', 1, 1}}) end,
        {'write', 'space', 'things'}, denied('Write', 'space', 'things')},
    {'upsert', function() things:upsert({1}, {}) end, {'write', 'space', 'things'},
        denied('Write', 'space', 'things')},
    {'delete', function() things.index.pk:delete(1) end, {'write', 'space', 'things'},
        denied('Write', 'space', 'things')},
    {'a system space', function() remote.space._space:select() end, {'read', 'space', '_space'},
        denied('Read', 'space', '_space')},
    {'call of a global', function() remote:call('whoami') end, {'execute', 'lua_call', 'whoami'},
        denied('Execute', 'function', 'whoami')},
    {'call of any global', function() remote:call('whoami') end, {'execute', 'lua_call'},
        denied('Execute', 'function', 'whoami')},
    {'call by universe', function() remote:call('whoami') end, {'execute', 'universe'},
        denied('Execute', 'function', 'whoami')},
    {'call of a stored function', function() remote:call('stored') end,
        {'execute', 'function', 'stored'}, denied('Execute', 'function', 'stored')},
    {'call of any stored function', function() remote:call('stored') end, {'execute', 'function'},
        denied('Execute', 'function', 'stored')},
    {'call of a function without a body', function() remote:call('by_name') end,
        {'execute', 'function', 'by_name'}, denied('Execute', 'function', 'by_name')},
    {'eval', function() remote:eval('return 1') end, {'execute', 'lua_eval'},
        denied('Execute', 'universe', '')},
    {'eval by universe', function() remote:eval('return 1') end, {'execute', 'universe'},
        denied('Execute', 'universe', '')},
}

test:plan(#CASES * 3 + 24)
for _, case in ipairs(CASES) do
    local name, run, grant, refusal = unpack(case)
    test:is(message(run), refusal, name .. ': not granted')
    schema.user.grant('alice', unpack(grant))
    test:is(message(run), 'done', name .. ': granted')
    schema.user.revoke('alice', unpack(grant))
    test:is(message(run), refusal, name .. ': revoked')
end

-- What came with the program is not among the functions that all are.
schema.user.grant('alice', 'execute', 'lua_call')
schema.func.create('box.session.user', {if_not_exists = true})
test:is(message(remote.call, remote, 'box.info'), denied('Execute', 'function', 'box.info'),
    'no builtin function')
test:is(message(remote.call, remote, 'box.session.user'),
    denied('Execute', 'function', 'box.session.user'), 'nor one that is registered')
test:is(message(remote.call, remote, 'loadstring', {'x'}),
    denied('Execute', 'function', 'loadstring'), 'of any kind')
schema.user.grant('alice', 'execute', 'lua_call', 'box.info')
test:is(message(remote.call, remote, 'box.info.uptime'),
    denied('Execute', 'function', 'box.info.uptime'), 'the name counts')
test:is_deeply({remote:call('whoami')}, {'alice', 'alice'}, 'calls run as the user')
schema.user.grant('alice', 'execute', 'function', 'as_owner')
test:is(remote:call('as_owner'), 'admin', 'or as the owner of a setuid function')
test:is_deeply({remote:call('whoami')}, {'alice', 'alice'}, 'until it returns')
test:is(message(remote.execute, remote, 'SELECT 1'), denied('Execute', 'sql', ''), 'SQL')
schema.user.grant('alice', 'execute', 'sql')
test:is(message(remote.execute, remote, 'SELECT 1'), 'Lycosa does not support SQL', 'there is none')

-- The schema shows what the user may know of.
local visible = net_box.connect(uri)
test:is(visible.space.things, nil, 'a hidden space')
schema.user.grant('alice', 'read', 'space', 'things')
visible:reload_schema()
visible:close()
visible = net_box.connect(uri)
test:ok(visible.space.things ~= nil, 'a visible one')
visible:close()

-- Logging in.
local seen = {}
local function on_auth(user, is_authenticated)
    table.insert(seen, {user, is_authenticated, box.session.type()})
end
box.session.on_auth(on_auth)
test:is(net_box.connect('alice:wrong@' .. box.info.listen).error,
    'User not found or supplied credentials are invalid', 'a wrong password')
test:is(net_box.connect('nobody:wrong@' .. box.info.listen).error,
    'User not found or supplied credentials are invalid', 'is no user at all')
net_box.connect(uri):close()
test:is_deeply(seen, {{'alice', false, 'binary'}, {'nobody', false, 'binary'},
    {'alice', true, 'binary'}}, 'on_auth')
box.session.on_auth(nil, on_auth)
schema.user.disable('alice')
test:is(net_box.connect(uri).error, denied('Session', 'universe', ''), 'a disabled user')
schema.user.enable('alice')
schema.user.passwd('alice', 'other')
test:is(net_box.connect(uri).state, 'error', 'an old password')
test:is(net_box.connect('alice:other@' .. box.info.listen).state, 'active', 'a new one')

-- Sessions.
local sessions = {}
local function on_connect() table.insert(sessions, {box.session.id(), box.session.user()}) end
local function on_disconnect() table.insert(sessions, {box.session.id(), box.session.user()}) end
box.session.on_connect(on_connect)
box.session.on_disconnect(on_disconnect)
local guest = net_box.connect(box.info.listen, {user = 'alice', password = 'other'})
schema.user.grant('alice', 'execute', 'lua_eval')
local id, peer, kind, sync = guest:eval([[
    box.session.storage.x = (box.session.storage.x or 0) + 1
    return box.session.id(), box.session.peer(), box.session.type(), box.session.sync()
]])
test:is(kind, 'binary', 'session.type')
test:like(peer, '^127.0.0.1:%d+$', 'session.peer')
test:ok(sync > 0, 'session.sync')
test:is(guest:eval('return box.session.storage.x'), 1, 'session.storage lives with the session')
guest:close()
while #sessions < 2 do
    require('fiber').sleep(0)
end
test:is_deeply(sessions, {{id, 'guest'}, {id, 'alice'}}, 'on_connect and on_disconnect')
box.session.on_connect(nil, on_connect)
box.session.on_disconnect(nil, on_disconnect)
local function refuse() box.error({code = 7, reason = 'not today'}) end
box.session.on_connect(refuse)
test:is(net_box.connect(uri).state, 'error', 'on_connect may refuse')
box.session.on_connect(nil, refuse)
test:is(net_box.connect('alice:other@' .. box.info.listen).state, 'active', 'until it is gone')

os.exit(test:check() and 0 or 1)
