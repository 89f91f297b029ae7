-- foreign_make: fills the directory arg[1], with a snapshot in the middle if arg[2] says so. Run by
-- Tarantool, and by us where the other way round is tested.
box.cfg({work_dir = arg[1], memtx_memory = 64 * 1024 * 1024, checkpoint_interval = 0,
    wal_max_size = 20000})
local decimal, uuid = require('decimal'), require('uuid')

local plain = box.schema.space.create('plain', {format = {
    {name = 'id', type = 'unsigned'},
    {name = 'name', type = 'string', collation = 'unicode_ci'},
    {name = 'amount', type = 'number', is_nullable = true},
}})
plain:create_index('primary', {sequence = true})
plain:create_index('name', {parts = {{'name', collation = 'unicode_ci'}}})
plain:create_index('amount', {parts = {{'amount', is_nullable = true}}, unique = false})
local hash = box.schema.space.create('hash', {field_count = 3})
hash:create_index('primary', {type = 'hash', parts = {1, 'string', 2, 'integer'}})
local typed = box.schema.space.create('typed', {is_local = true})
typed:create_index('primary', {parts = {1, 'scalar'}})
typed:create_index('path', {parts = {{3, 'string', path = 'a.b'}}, unique = false})
local empty = box.schema.space.create('empty')
empty:create_index('primary')
local temporary = box.schema.space.create('temporary', {temporary = true})
temporary:create_index('primary')
temporary:insert({1})
local doomed = box.schema.space.create('doomed')
doomed:create_index('primary')
doomed:insert({1})

for id = 1, 300 do
    plain:insert({box.NULL, 'Name ' .. id, id % 3 > 0 and id / 4 or box.NULL, {id}})
end
for id = -20, 20 do
    hash:insert({'k' .. id % 7, id, ('x'):rep(id * id)})
end
if arg[2] == 'snapshot' then
    box.snapshot()
end
local id = uuid.fromstr('64d22e4d-ac92-4a23-899a-e59f34af5479')
for number, value in ipairs({1, -1, 1.5, 'text', true, decimal.new('12.50'),
    18446744073709551615ULL}) do
    typed:insert({value, number, {a = {b = 'deep ' .. number % 2}}, box.NULL, {1, {2, 3}}, id})
end
for id = 1, 300, 7 do
    plain:delete(id)
    plain:update(id + 1, {{'=', 3, id}, {'!', 4, 'new'}})
    plain:upsert({1000 + id, 'upserted ' .. id}, {{'=', 3, 1}})
    plain:upsert({id + 2, 'x' .. id}, {{'=', 3, 1}})
end
box.begin()
plain:replace({5000, 'in a transaction'})
hash:delete({'k1', 1})
typed:insert({'with it', 9, {a = {b = 'c'}}})
box.commit()
box.begin()
plain:replace({5001, 'rolled back'})
box.rollback()
doomed:drop()
empty:truncate()
plain.index.amount:rename('sum')
local sequence = box.schema.sequence.create('other', {start = 10, step = -2, min = -100, max = 10})
sequence:next()
sequence:next()
box.schema.user.create('alice', {password = 'secret'})
box.schema.role.create('clerk')
box.schema.user.grant('alice', 'clerk')
box.schema.role.grant('clerk', 'read,write', 'space', 'plain')
box.schema.func.create('greet', {body = 'function(name) return name end', is_deterministic = true})
-- As a killed process leaves it.
os.execute('kill -9 ' .. require('tarantool').pid())
