-- Every object type and privilege, on each way in: what one grant allows, and nothing else.
--
-- A row of OPERATIONS says which grants allow it. Each grant is given alone, and each operation is
-- tried in each way: it must pass if one of its grants is given, and be denied otherwise.
local console = require('console')
local fio = require('fio')
local net_box = require('net.box')
local resp = require('resp')
local socket = require('socket')
local tap = require('tap')

box.cfg{listen = '127.0.0.1:0'}
local schema, user, role = box.schema, box.schema.user, box.schema.role

local test = tap.test('access_table')

--
-- Objects
--

box.schema.space.create('s'):create_index('pk')
box.schema.space.create('other'):create_index('pk')
box.space.s:replace{1}
schema.sequence.create('q')
schema.func.create('f', {body = 'function() return 1 end'})
schema.func.create('fs', {body = 'function() return box.space.s:get{1} end', setuid = true})
user.create('u', {password = 'p'})
user.create('v')
role.create('r')

-- What definitions are kept in: everybody here may write it, so that a check is about the object.
for _, name in ipairs({'_space', '_index', '_func', '_sequence', '_sequence_data', '_user', '_priv',
    '_space_sequence', '_trigger', '_truncate', '_func_index', '_schema'}) do
    user.grant('u', 'read,write', 'space', name)
end

-- luacheck: ignore 111
function run(code) return assert(loadstring(code))() end
function plain() return 1 end
nothing = setmetatable({}, {__serialize = 'map'})
user.grant('u', 'execute', 'lua_call', 'run')

--
-- Ways in
--

local denials = {}

-- Whether an attempt was denied; an error of another kind is no denial, as the check has passed.
local function note(is_done, err)
    if is_done then
        return 'allowed'
    end
    err = tostring(err)
    if err:find('is denied for user', 1, true) then
        denials[#denials + 1] = err
        return 'denied'
    end
    local has_passed = err:find('does not support SQL', 1, true) or err:find('has grants', 1, true)
    return has_passed and 'allowed' or err
end

local ways = {}

function ways.lua(code)
    return note(pcall(box.session.su, 'u', run, code))
end

local connection = net_box.connect(box.info.listen, {user = 'u', password = 'p',
    fetch_schema = false})
function ways.iproto(code)
    return note(pcall(connection.call, connection, 'run', {code}))
end

local server = resp.listen({port = 0})
server:set_handlers({commands = {
    AUTH = function(client, name, password) return client:authenticate(name, password) end,
    RUN = function(_, code) return resp.status(note(pcall(run, code))) end,
}})
local redis = socket.tcp_connect('127.0.0.1', server:port())
local function command(...)
    local parts = {('*%d\r\n'):format(select('#', ...))}
    for _, argument in ipairs({...}) do
        parts[#parts + 1] = ('$%d\r\n%s\r\n'):format(#argument, argument)
    end
    redis:write(table.concat(parts))
    return redis:read('\r\n'):match('^[+:](.*)\r\n$')
end
assert(command('AUTH', 'u', 'p') == '1')
function ways.redis(code)
    return command('RUN', code)
end

local path = 'unix/:' .. fio.cwd() .. '/console.sock'
local console_server = console.listen(path)
local terminal = console.connect and socket.tcp_connect('unix/', fio.cwd() .. '/console.sock')
terminal:read('\n')
terminal:read('\n')
local function type_line(line)
    terminal:write(line .. '\n')
    return terminal:read('...\n')
end
type_line("box.session.su('u')")
note_console = note
function ways.console(code)
    return type_line(('return note_console(pcall(run, %q))'):format(code)):match('%- (.-)\n')
end

--
-- What is tried
--

local function grants(privilege, kind, ...)
    local list = {[privilege .. ' universe'] = true, [privilege .. ' ' .. kind] = true}
    for _, object in ipairs({...}) do
        list[privilege .. ' ' .. kind .. ' ' .. object] = true
    end
    return list
end

-- {code, grants that allow it, what undoes it}
local OPERATIONS = {
    {'box.space.s:get{1}', grants('read', 'space', 's')},
    {'box.space.s:select()', grants('read', 'space', 's')},
    {'box.space.s:count()', grants('read', 'space', 's')},
    {'box.space.s:replace{1}', grants('write', 'space', 's')},
    {'box.space.s:delete{5}', grants('write', 'space', 's')},
    {'box.space.s:upsert({1}, {})', grants('write', 'space', 's')},
    {'box.func.f:call()', grants('execute', 'function', 'f')},
    {'box.func.fs:call()', grants('execute', 'function', 'fs')},
    {'box.sequence.q:next()', grants('write', 'sequence', 'q')},
    {'box.sequence.q:set(7)', grants('write', 'sequence', 'q')},
    {"box.schema.space.create('new')", grants('create', 'space'), 'box.space.new:drop()'},
    {"box.schema.func.create('new')", grants('create', 'function'), "box.schema.func.drop('new')"},
    {"box.schema.sequence.create('new')", grants('create', 'sequence'), 'box.sequence.new:drop()'},
    {"box.schema.role.create('new')", grants('create', 'role'), "box.schema.role.drop('new')"},
    {"box.space._user:insert{100, 1, 'new', 'user', nothing, {}, 0}", grants('create', 'user'),
        'box.space._user:delete{100}'},
    {"box.space._space:update(box.space.s.id, {{'=', 'name', 's'}})",
        grants('alter', 'space', 's')},
    {"box.schema.sequence.alter('q', {step = 1})", grants('alter', 'sequence', 'q')},
    {"box.space._user:update(box.space._user.index.name:get('v').id, {{'=', 'last_modified', 1}})",
        grants('alter', 'user', 'v')},
    {"box.space._space:delete{box.space.victim.id}", grants('drop', 'space', 'victim'),
        "box.schema.space.create('victim')", 'space'},
    {"box.space._func:delete{box.space._func.index.name:get('victim').id}",
        grants('drop', 'function', 'victim'), "box.schema.func.create('victim')", 'function'},
    {"box.space._sequence:delete{box.space._sequence.index.name:get('victim').id}",
        grants('drop', 'sequence', 'victim'), "box.schema.sequence.create('victim')", 'sequence'},
    {"box.space._user:delete{101}", grants('drop', 'user', 'victim'),
        "box.space._user:insert{101, 1, 'victim', 'user', nothing, {}, 0}", 'user'},
    {"box.space._user:delete{102}", grants('drop', 'role', 'rvictim'),
        "box.space._user:insert{102, 1, 'rvictim', 'role', nothing, {}, 0}", 'role'},
}
-- Objects to be dropped are there before.
for _, operation in ipairs(OPERATIONS) do
    if operation[4] ~= nil then
        run(operation[3])
    end
end

-- Requests that are no Lua code.
local REQUESTS = {
    {'CALL f', grants('execute', 'function', 'f'), function() connection:call('f') end},
    {'CALL plain', grants('execute', 'lua_call', 'plain'), function() connection:call('plain') end},
    {'EVAL', grants('execute', 'lua_eval'), function() connection:eval('return') end},
    {'EXECUTE', grants('execute', 'sql'), function() connection:execute('SELECT 1') end},
    {'SELECT', grants('read', 'space', 's'), function() connection.space.s:select() end},
    {'REPLACE', grants('write', 'space', 's'), function() connection.space.s:replace{1} end},
    {'UPDATE', grants('write', 'space', 's'), function() connection.space.s:update({1}, {}) end},
    {'UPSERT', grants('write', 'space', 's'), function() connection.space.s:upsert({1}, {}) end},
    {'DELETE', grants('write', 'space', 's'), function() connection.space.s:delete{5} end},
}

--
-- The table
--

local OBJECTS = {
    {'universe'}, {'space'}, {'space', 's'}, {'space', 'other'}, {'space', 'victim'},
    {'function'}, {'function', 'f'}, {'function', 'fs'}, {'function', 'victim'},
    {'sequence'}, {'sequence', 'q'}, {'sequence', 'victim'},
    {'user'}, {'user', 'v'}, {'user', 'victim'}, {'role'}, {'role', 'r'}, {'role', 'rvictim'},
    {'lua_call'}, {'lua_call', 'plain'}, {'lua_eval'}, {'sql'},
}
local PRIVILEGES = {'read', 'write', 'execute', 'create', 'drop', 'alter'}

-- Everything goes with what it was granted: objects that come back are granted anew.
local function undo(operation)
    if operation[3] ~= nil then
        pcall(run, operation[3])
    end
end

local tried, wrong = 0, {}
local function check(way, grant, name, allowed, got)
    tried = tried + 1
    local expected = allowed and 'allowed' or 'denied'
    if got ~= expected then
        wrong[#wrong + 1] = ('%s: %s with %s: expected %s, got %s'):format(way, name, grant,
            expected, tostring(got))
    end
end

local function try_all(grant, give)
    for _, operation in ipairs(OPERATIONS) do
        local code, allowing = operation[1], operation[2]
        for way, try in pairs(ways) do
            give()
            check(way, grant, code, allowing[grant] or false, try(code))
            undo(operation)
        end
    end
    give()
    for _, request in ipairs(REQUESTS) do
        check('request', grant, request[1], request[2][grant] or false, note(pcall(request[3])))
    end
end

try_all('nothing', function() end)
local refused = {}
for _, object in ipairs(OBJECTS) do
    for _, privilege in ipairs(PRIVILEGES) do
        local grant = privilege .. ' ' .. table.concat(object, ' ')
        local function give()
            return pcall(user.grant, 'u', privilege, object[1], object[2], {if_not_exists = true})
        end
        if give() then
            try_all(grant, give)
            pcall(user.revoke, 'u', privilege, object[1], object[2], {if_exists = true})
        else
            refused[#refused + 1] = grant
        end
    end
end
test:is(#wrong, 0, ('%d attempts'):format(tried))
for i = 1, math.min(#wrong, 40) do
    test:diag(wrong[i])
end
table.sort(refused)
test:diag('not to be granted: ' .. table.concat(refused, ', '))
test:ok(#denials > 0, 'denials say so')

--
-- Roles: what a role may, whoever has it may, until it is taken away
--

role.grant('r', 'read', 'space', 's')
role.create('outer')
role.grant('outer', 'execute', 'role', 'r')
for way, try in pairs(ways) do
    local seen = {try('box.space.s:get{1}')}
    user.grant('u', 'execute', 'role', 'outer')
    seen[2] = try('box.space.s:get{1}')
    seen[3] = try('box.space.s:replace{1}')
    role.revoke('outer', 'execute', 'role', 'r')
    seen[4] = try('box.space.s:get{1}')
    role.grant('outer', 'execute', 'role', 'r')
    user.revoke('u', 'execute', 'role', 'outer')
    seen[5] = try('box.space.s:get{1}')
    test:is_deeply(seen, {'denied', 'allowed', 'denied', 'denied', 'denied'}, 'roles: ' .. way)
end

--
-- Without the right to use anything, and to open sessions
--

user.grant('u', 'read', 'space', 's')
user.revoke('u', 'usage', 'universe')
for way, try in pairs(ways) do
    test:is(try('box.space.s:get{1}'), 'denied', 'no usage: ' .. way)
end
user.grant('u', 'usage', 'universe')
user.revoke('u', 'session', 'universe')
test:is(tostring(net_box.connect(box.info.listen, {user = 'u', password = 'p'}).error),
    "Session access to universe '' is denied for user 'u'", 'no session: iproto')
test:is(command('AUTH', 'u', 'p'), '0', 'no session: redis')
test:is(note(pcall(box.session.su, 'u')), 'denied', 'no session: su')

terminal:close()
console_server:close()
test:plan(13)
os.exit(test:check() and 0 or 1)
