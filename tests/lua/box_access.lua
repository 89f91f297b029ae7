-- Who may do what: each type of object and privilege, and what it is asked for.
local tap = require('tap')

box.cfg{}

local test = tap.test('box_access')

local schema, session = box.schema, box.session

local function message(run, ...)
    local ok, err = pcall(run, ...)
    return ok and 'done' or tostring(err)
end

local function denied(access, kind, name)
    return ("%s access to %s '%s' is denied for user 'alice'"):format(access, kind, name)
end

schema.space.create('things'):create_index('pk')
box.space.things:insert{1}
schema.sequence.create('numbers')
function whoami() -- luacheck: no global
    return session.effective_user()
end
schema.func.create('stored', {body = 'function() return box.session.effective_user() end'})
schema.func.create('whoami')
schema.func.create('as_owner', {
    body = 'function() return box.session.effective_user() end', setuid = true,
})
schema.func.create('spare')
schema.user.create('alice', {password = 'a'})
schema.user.create('bob')
schema.role.create('readers')

-- What alice does, and what has to be granted for it: {privilege, type, name} or a list of them.
-- Each is refused with this message before, and again after it was revoked.
local things = box.space.things
local CASES = {
    {'get', function() things:get(1) end, {'read', 'space', 'things'},
        denied('Read', 'space', 'things')},
    {'select of all spaces', function() things:select() end, {'read', 'space'},
        denied('Read', 'space', 'things')},
    {'count', function() things:count() end, {'read', 'universe'},
        denied('Read', 'space', 'things')},
    {'pairs', function() things:pairs():totable() end, {'read', 'space', 'things'},
        denied('Read', 'space', 'things')},
    {'replace', function() things:replace{1, 2} end, {'write', 'space', 'things'},
        denied('Write', 'space', 'things')},
    {'truncate', function() things:truncate() end, {'write', 'space', 'things'},
        denied('Write', 'space', 'things')},
    {'next', function() box.sequence.numbers:next() end, {'write', 'sequence', 'numbers'},
        denied('Write', 'sequence', 'numbers')},
    {'current', function() box.sequence.numbers:current() end, {'write', 'sequence', 'numbers'},
        denied('Write', 'sequence', 'numbers')},
    {'stored function', function() box.func.stored:call() end, {'execute', 'function', 'stored'},
        denied('Execute', 'function', 'stored')},
    {'all functions', function() box.func.stored:call() end, {'execute', 'function'},
        denied('Execute', 'function', 'stored')},
    {'function of a name', function() box.func.whoami:call() end, {'execute', 'lua_call', 'whoami'},
        denied('Execute', 'function', 'whoami')},
    {'create a space', function() schema.space.create('hers') end,
        {{'create', 'space'}, {'write', 'space', '_space'}, {'read', 'space', '_space'}},
        denied('Create', 'space', 'hers')},
    {'alter a space', function() things:rename('other'); things:rename('things') end,
        {{'alter', 'space', 'things'}, {'write', 'space', '_space'}},
        denied('Alter', 'space', 'other')},
    {'create a sequence', function() schema.sequence.create('hers') end,
        {{'create', 'sequence'}, {'read,write', 'space', '_sequence'}},
        denied('Create', 'sequence', 'hers')},
    {'drop a function', function() schema.func.drop('spare') end,
        {{'drop', 'function'}, {'read,write', 'space', '_func'}, {'write', 'space', '_priv'},
         {'execute', 'function', 'stored'}, {'create', 'function'}},
        denied('Drop', 'function', 'spare')},
    {'create a user', function() schema.user.create('carol') end,
        {{'create', 'user'}, {'write,read', 'space', '_user'}, {'read,write', 'space', '_priv'},
         {'grant', 'universe'}},
        denied('Create', 'user', 'carol')},
    {'create a role', function() schema.role.create('hers') end,
        {{'create', 'role'}, {'write,read', 'space', '_user'}},
        denied('Create', 'role', 'hers')},
}

local function each(list, run)
    for _, grant in ipairs(list) do
        run('alice', unpack(grant))
    end
end

-- The last grant that makes the difference is the one on the object itself.
test:plan(#CASES * 3 + 30)
for _, case in ipairs(CASES) do
    local name, run, grants, refusal = unpack(case)
    grants = type(grants[1]) == 'table' and grants or {grants}
    local own, others = {grants[1]}, {unpack(grants, 2)}
    each(others, schema.user.grant)
    test:is(message(session.su, 'alice', run), refusal, name .. ': not granted')
    each(own, schema.user.grant)
    test:is(message(session.su, 'alice', run), 'done', name .. ': granted')
    if box.space.hers ~= nil then
        box.space.hers:drop()
    end
    schema.func.create('spare', {if_not_exists = true})
    schema.sequence.drop('hers', {if_exists = true})
    schema.role.drop('hers', {if_exists = true})
    schema.user.drop('carol', {if_exists = true})
    each(own, schema.user.revoke)
    test:is(message(session.su, 'alice', run), refusal, name .. ': revoked')
    each(others, schema.user.revoke)
end

-- Roles, and what comes with being the owner.
schema.role.grant('readers', 'read', 'space', 'things')
schema.user.grant('alice', 'readers')
test:is(message(session.su, 'alice', things.get, things, 1), 'done', 'a role gives its rights')
test:is(message(schema.user.grant, 'alice', 'readers'),
    "User 'alice' already has role 'readers'", 'once')
schema.user.revoke('alice', 'readers')
test:is(message(session.su, 'alice', things.get, things, 1), denied('Read', 'space', 'things'),
    'and takes them along')
test:is(message(schema.role.grant, 'readers', 'session', 'universe'),
    "Incorrect grant arguments: system privilege can not be granted to role", 'but no session')
test:is(message(schema.user.grant, 'alice', 'execute', 'space', 'things'),
    "Unsupported space privilege 'execute'", 'what makes no sense')
test:is(message(schema.user.grant, 'alice', 'read', 'planet', 'mars'),
    "Unknown object type 'planet'", 'on what there is not')
test:is(message(schema.user.grant, 'alice', 'read', 'space', 'mars'),
    "Space 'mars' does not exist", 'or not yet')

-- Functions that run as their owner.
schema.user.grant('alice', 'execute', 'function', 'as_owner')
test:is(session.su('alice', function() return box.func.as_owner:call() end), 'admin', 'setuid')
test:is(session.su('alice', function() box.func.as_owner:call() return session.effective_user() end),
    'alice', 'until it returns')

-- Usage and session.
schema.user.grant('alice', 'read', 'space', 'things')
schema.user.revoke('alice', 'usage', 'universe')
test:is(message(function()
    box.session.su('alice', function() things:get(1) end)
end), denied('Usage', 'universe', ''), 'nothing without usage')
schema.user.grant('alice', 'usage', 'universe')
schema.user.revoke('alice', 'session', 'universe')
test:is(message(session.su, 'alice', whoami), denied('Session', 'universe', ''),
    'no session without session')
schema.user.enable('alice')
test:is(message(session.su, 'alice', whoami), 'done', 'enable')
schema.user.disable('alice')
test:is(message(session.su, 'alice', whoami), denied('Session', 'universe', ''), 'disable')
schema.user.enable('alice')

-- Passwords.
test:is(box.space._user.index.name:get('alice').auth['chap-sha1'], schema.user.password('a'),
    'the password of creation')
schema.user.passwd('alice', 'b')
test:is(box.space._user.index.name:get('alice').auth['chap-sha1'], schema.user.password('b'),
    'a new one')
test:is(message(schema.user.passwd, 'guest', 'b'),
    'Setting password for guest user has no effect', 'none for guest')
test:is(message(schema.user.passwd, 'nobody', 'b'), "User 'nobody' is not found", 'or nobody')
test:is(message(session.su, 'bob', schema.user.passwd, 'alice', 'x'),
    "User 'alice' is not found", 'nor by whom she is hidden from')

-- What the owner may.
schema.user.grant('bob', 'create,read,write', 'space')
session.su('bob', function() schema.space.create('his'):create_index('pk') end)
schema.user.revoke('bob', 'create,read,write', 'space')
test:is(message(session.su, 'bob', function() box.space.his:insert{1} end), 'done',
    'the owner writes')
test:is(message(schema.user.drop, 'nobody'), "User 'nobody' is not found", 'drop nobody')
test:is(message(schema.user.drop, 'admin'),
    "Failed to drop user or role 'admin': the user or the role is a system", 'drop admin')

-- The trigger is told what was denied, as whom.
local seen
local function on_denied(...) seen = {...} end
session.on_access_denied(on_denied)
schema.user.revoke('alice', 'read', 'space', 'things')
message(session.su, 'alice', things.get, things, 1)
test:is_deeply(seen, {'Read', 'space', 'things'}, 'on_access_denied')
session.on_access_denied(nil, on_denied)

-- In loops that are compiled, too, and once for each refusal.
local refusals, written = 0, 0
local function count_refusal() refusals = refusals + 1 end
session.on_access_denied(count_refusal)
session.su('alice', function()
    box.begin()
    for i = 1, 300 do
        if pcall(things.replace, things, {i, i}) then
            written = written + 1
        end
        pcall(things.get, things, i)
    end
    box.rollback()
end)
session.on_access_denied(nil, count_refusal)
test:is_deeply({refusals, written}, {600, 0}, 'on_access_denied in a compiled loop')

schema.user.drop('bob')
test:is(box.space.his, nil, 'what a user has goes with it')
local shown = {}
for _, row in ipairs(schema.user.info('alice')) do
    shown[#shown + 1] = table.concat(row, ' ')
end
table.sort(shown)
test:is(table.concat(shown, '; '), 'alter user alice; execute function as_owner; '
    .. 'execute role public; session,usage universe ', 'info')
local ok, err = pcall(session.su, 'alice', things.get, things, 1)
test:is_deeply({ok, err.type, err.object_type, err.object_name, err.access_type, err.user},
    {false, 'AccessDeniedError', 'space', 'things', 'Read', 'alice'}, 'fields of the error')

box.schema.sequence.create('drawn')
box.schema.space.create('filled'):create_index('pk', {sequence = 'drawn'})
schema.user.grant('alice', 'write', 'space', 'filled')
for _, id in ipairs({box.NULL, 5}) do
    test:is(message(session.su, 'alice', box.space.filled.insert, box.space.filled, {id}),
        denied('Write', 'sequence', 'drawn'), 'whoever inserts draws from the sequence')
end
test:is(message(schema.user.create, '\u{2028}'), "Invalid identifier '\u{2028}' (expected printable "
    .. 'symbols only or it is too long)', 'separators are not printable')

box.schema.role.create('outer')
box.schema.role.create('inner')
box.schema.role.create('strange')
box.schema.role.grant('outer', 'inner')
box.schema.user.grant('alice', 'outer')
test:is_deeply(session.su('alice', function()
    local seen = {}
    for _, name in ipairs({'outer', 'inner', 'strange'}) do
        seen[name] = #box.space._vuser.index.name:select(name)
    end
    return seen
end), {outer = 1, inner = 1, strange = 0}, 'roles of roles are seen')

os.exit(test:check() and 0 or 1)
