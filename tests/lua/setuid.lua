-- Claims about functions with `setuid`: they run with the rights of their owner, and nothing of it
-- stays when they return, fail or yield.
local net_box = require('net.box')
local tap = require('tap')

box.cfg{listen = '127.0.0.1:0'}
local schema, session = box.schema, box.session

local test = tap.test('setuid')
test:plan(16)

schema.space.create('secret'):create_index('pk')
box.space.secret:insert{1, 'x'}
schema.user.create('alice')
schema.user.create('bob', {password = 'b'})
schema.user.grant('alice', 'read', 'space', 'secret')
schema.user.grant('alice', 'create,read,write', 'universe')
schema.user.grant('bob', 'execute', 'function')
schema.func.create('plain', {body = 'function() return box.session.effective_user() end'})
schema.user.grant('alice', 'execute', 'function', 'plain')

local FUNCTIONS = {
    own = 'return box.session.user(), box.session.effective_user(), box.space.secret:get{1}[2]',
    yielding = "require('fiber').sleep(0.001) return box.session.effective_user()",
    failing = "error('boom ' .. box.session.effective_user(), 0)",
    forking = [[
        local user
        local fiber = require('fiber').new(function() user = box.session.effective_user() end)
        fiber:set_joinable(true)
        fiber:join()
        return user]],
    nested = 'return box.func.plain:call()',
    su = "box.session.su('bob') return box.session.effective_user()",
}
session.su('alice', function()
    for name, body in pairs(FUNCTIONS) do
        schema.func.create(name, {setuid = true, body = ('function() %s end'):format(body)})
    end
end)

local remote = net_box.connect('bob:b@' .. box.info.listen)
local function call(name)
    local results = {pcall(remote.call, remote, name)}
    if not results[1] then
        return tostring(results[2])
    end
    return table.concat(results, ' ', 2)
end

for _, case in ipairs({
    {'own', 'bob alice x', 'it is the owner who runs it'},
    {'yielding', 'alice', 'also after a yield'},
    {'failing', 'boom alice', 'and when it fails'},
    {'forking', 'admin', 'fibers that it makes are admin\'s'},
    {'nested', 'alice', 'functions that it calls are run by the owner, too'},
    {'su', 'bob', 'unless it becomes somebody else'},
}) do
    local name, expected, what = unpack(case)
    test:is(call(name), expected, what)
    test:is(call('plain'), 'bob', 'then it is over')
end

test:is_deeply({session.su('bob', function() return box.func.own:call() end)},
    {'admin', 'alice', 'x'}, 'from Lua')
test:is(session.effective_user(), 'admin', 'then it is over')
schema.user.revoke('alice', 'read', 'space', 'secret')
schema.user.revoke('alice', 'create,read,write', 'universe')
test:is(call('own'), "Read access to space 'secret' is denied for user 'alice'",
    'it can do what the owner can now')
schema.user.drop('alice')
test:is(call('own'), "Execute access to function 'own' is denied for user 'bob'",
    'and goes with the owner')

os.exit(test:check() and 0 or 1)
