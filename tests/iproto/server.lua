-- The server that the tests of the binary protocol talk to: prints where it listens.
local fiber = require('fiber')

box.cfg{listen = {'127.0.0.1:0', 'unix/:' .. require('fio').cwd() .. '/s.sock'}}

local test = box.schema.space.create('test', {format = {
    {name = 'id', type = 'unsigned'}, {name = 'text', type = 'string', is_nullable = true},
    {name = 'rest', type = 'any', is_nullable = true},
}})
test:create_index('primary')
test:create_index('text', {parts = {{'text'}}, unique = false})

box.schema.user.create('alice', {password = 'secret'})
box.schema.user.grant('alice', 'super')
box.schema.user.grant('guest', 'read,write', 'space', 'test')
box.schema.user.grant('guest', 'execute', 'lua_call')
box.schema.user.grant('guest', 'execute', 'lua_eval')
box.schema.func.create('stored', {body = 'function(a) return a * 2 end'})

-- luacheck: ignore 111
function add(a, b) return a + b end
function echo(...) return ... end
function fail(message) box.error({code = 1234, reason = message or 'failed'}) end
function sleep(seconds) fiber.sleep(seconds) return 'slept' end
function push(count)
    for i = 1, count do
        box.session.push({i})
    end
    return count
end
function whoami() return box.session.user(), box.session.type(), box.session.sync() end
function leave_open() box.begin() test:replace{1000} end
function stored_error() return box.error.new({code = 7, reason = 'as a value'}) end
gates = {}
function wait_for(gate)
    gates[gate] = gates[gate] or fiber.cond()
    gates[gate]:wait()
    return gate
end
function open(gate)
    while gates[gate] == nil do
        fiber.sleep(0)
    end
    gates[gate]:broadcast()
end
object = {list = {function() return 'first' end}, name = 'me'}
function object:method() return self.name end
function object.list.named() return 'named' end

disconnected = {}
box.session.on_disconnect(function()
    disconnected[box.session.id()] = true
end)

print('listening at ' .. box.info.listen[1])
io.stdout:flush()
