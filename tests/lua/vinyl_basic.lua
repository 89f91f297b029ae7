-- Spaces on disk do what spaces in memory do.
local tap = require('tap')
local fiber = require('fiber')

box.cfg{log_level = 3}
local test = tap.test('vinyl_basic')
test:plan(62)

-- Tuples as tables.
local function plain(tuples)
    for number, tuple in ipairs(tuples) do
        tuples[number] = tuple:totable()
    end
    return tuples
end

local s = box.schema.space.create('s', {engine = 'vinyl'})
test:is(s.engine, 'vinyl', 'the engine of the space')
local pk = s:create_index('pk')
test:is_deeply(s:select(), {}, 'empty')
test:is_deeply(s:insert({1, 'one'}):totable(), {1, 'one'}, 'insert returns the tuple')
local ok, err = pcall(s.insert, s, {1, 'uno'})
test:is(ok, false, 'a duplicate is refused')
test:is(tostring(err), 'Duplicate key exists in unique index "pk" in space "s" with old tuple - '
    .. '[1, "one"] and new tuple - [1, "uno"]', 'in Tarantool\'s words')
test:is_deeply(s:replace({2, 'two'}):totable(), {2, 'two'}, 'replace')
test:is_deeply(s:get(1):totable(), {1, 'one'}, 'get')
test:is(s:get(3), nil, 'get nothing')
test:is(s:delete(1), nil, 'delete returns nothing')
test:is(s:get(1), nil, 'it is gone')
test:is_deeply(s:update(2, {{'=', 2, 'zwei'}}):totable(), {2, 'zwei'}, 'update')
test:is(s:update(7, {{'=', 2, 'zwei'}}), nil, 'update of nothing')
s:upsert({2, 'x'}, {{'=', 2, 'deux'}})
s:upsert({3, 'trois'}, {{'=', 2, 'x'}})
test:is_deeply(plain(s:select()), {{2, 'deux'}, {3, 'trois'}}, 'upsert')

local function keys(...)
    local found = {}
    for _, tuple in s:pairs(...) do
        table.insert(found, tuple[1])
    end
    return found
end

for i = 1, 100 do
    s:replace({i, 'v' .. i})
end
test:is(s:count(), 100, 'count')
test:is_deeply(keys({98}, {iterator = 'GE'}), {98, 99, 100}, 'GE')
test:is_deeply(keys({98}, {iterator = 'GT'}), {99, 100}, 'GT')
test:is_deeply(keys({3}, {iterator = 'LE'}), {3, 2, 1}, 'LE')
test:is_deeply(keys({3}, {iterator = 'LT'}), {2, 1}, 'LT')
test:is_deeply(keys({3}, {iterator = 'EQ'}), {3}, 'EQ')
test:is_deeply(keys({3}, {iterator = 'REQ'}), {3}, 'REQ')
test:is(#keys(), 100, 'all')
test:is(s:select({}, {iterator = 'LE', limit = 1})[1][1], 100, 'all in reverse')
test:is_deeply(plain(s:select({10}, {iterator = 'GE', limit = 2, offset = 3})),
    {{13, 'v13'}, {14, 'v14'}}, 'limit and offset')
local page, position = s:select({}, {limit = 2, fetch_pos = true})
test:is_deeply(plain(page), {{1, 'v1'}, {2, 'v2'}}, 'a page')
test:is_deeply(plain(s:select({}, {limit = 2, after = position})),
    {{3, 'v3'}, {4, 'v4'}}, 'the next page')
test:is_deeply({pk:min()[1], pk:max()[1]}, {1, 100}, 'min and max')
ok, err = pcall(pk.random, pk, 1)
test:is(tostring(err), 'Index \'pk\' (TREE) of space \'s\' (vinyl) does not support random()', 'random')

-- Secondary indexes.
local t = box.schema.space.create('t', {engine = 'vinyl',
    format = {{'id', 'unsigned'}, {'name', 'string'}, {'age', 'unsigned', is_nullable = true}}})
t:create_index('id')
for i = 1, 20 do
    t:insert({i, 'n' .. i % 7, i % 3 ~= 0 and i or nil})
end
local by_name = t:create_index('name', {parts = {'name', 'id'}, unique = false})
local by_age = t:create_index('age', {parts = {{'age', exclude_null = true}}})
test:is(#by_name:select('n3'), 3, 'an index that was built over rows')
test:is(by_age:count(), 14, 'exclude_null')
test:is_deeply(by_age:get(5):totable(), {5, 'n5', 5}, 'get by a secondary key')
ok, err = pcall(t.insert, t, {50, 'x', 5})
test:is(ok, false, 'a duplicate in a secondary index')
test:like(tostring(err), 'Duplicate key exists in unique index "age" in space "t"', 'its words')
t:update(5, {{'=', 'age', 500}})
test:is(by_age:get(5), nil, 'the old key is gone')
test:is(by_age:get(500)[1], 5, 'the new one is there')
t:delete(5)
test:is(by_age:get(500), nil, 'deleted from all indexes')
test:is(by_age:delete(7), nil, 'delete by a secondary key')
test:is(t:get(7), nil, 'and it is gone')
t:replace({8, 'renamed', 8})
test:is(#by_name:select('n1'), 2, 'replace moves rows of secondary indexes')
test:is_deeply(plain(by_name:select('renamed')), {{8, 'renamed', 8}}, 'to their new keys')

-- Alterations.
ok, err = pcall(t.create_index, t, 'unique_name', {parts = {'name'}})
test:is(ok, false, 'an index that would have duplicates')
test:like(tostring(err), 'Duplicate key exists in unique index "unique_name"', 'is refused')
t.index.name:drop()
test:is(t.index.name, nil, 'an index is dropped')
ok, err = pcall(t.format, t, {{'id', 'unsigned'}, {'name', 'unsigned'}})
test:is(ok, false, 'a format that tuples contradict is refused')
local before = t:count()
test:ok(before > 0, 'there are tuples')
t:truncate()
test:is(t:count(), 0, 'truncate')
t:insert({1, 'a', 1})
test:is(t:count(), 1, 'and on')
t:drop()
test:is(box.space.t, nil, 'drop')

-- What it refuses.
ok, err = pcall(s.create_index, s, 'h', {type = 'hash'})
test:is(tostring(err), "Unsupported index type supplied for index 'h' in space 's'", 'no HASH')
ok, err = pcall(box.schema.space.create, 'x', {engine = 'vinyl', temporary = true})
test:is(ok, false, 'no temporary spaces')
ok, err = pcall(pk.alter, pk, {parts = {{1, 'string'}}})
test:is(ok, false, 'no new primary key over rows')

-- A transaction may yield, its changes are its own until it commits.
box.begin()
s:replace({1, 'mine'})
fiber.yield()
test:is(s:get(1)[2], 'mine', 'it sees its changes after a yield')
local seen
local other = fiber.new(function() seen = s:get(1)[2] end)
other:set_joinable(true)
other:join()
test:is(seen, 'v1', 'others do not')
box.commit()
test:is(s:get(1)[2], 'mine', 'until it commits')
box.begin()
s:replace({1, 'not mine'})
s:delete(2)
box.rollback()
test:is_deeply(plain(s:select({}, {limit = 2})), {{1, 'mine'}, {2, 'v2'}}, 'rollback')
box.begin()
s:replace({1, 'a'})
local savepoint = box.savepoint()
s:replace({1, 'b'})
s:insert({1000, 'b'})
box.rollback_to_savepoint(savepoint)
test:is_deeply({s:get(1)[2], s:get(1000)}, {'a', nil}, 'savepoints')
box.commit()

-- Conflicts.
local function in_fiber(code)
    local f = fiber.new(code)
    f:set_joinable(true)
    local joined, result = f:join()
    if not joined then
        error(result)
    end
end
box.begin()
s:get(5)
s:replace({6, 'x'})
in_fiber(function() s:replace({5, 'other'}) end)
ok, err = pcall(box.commit)
test:is(tostring(err), 'Transaction has been aborted by conflict', 'the loser of a conflict')
test:is(s:get(6)[2], 'v6', 'has changed nothing')
box.begin()
s:select({5}, {iterator = 'GE', limit = 2})
in_fiber(function() s:replace({5, 'again'}) end)
test:is(s:get(5)[2], 'other', 'a reader goes on in a read view')
in_fiber(function() s:replace({50, 'again'}) end)
test:is(s:get(50)[2], 'v50', 'of all keys')
ok, err = pcall(s.replace, s, {7, 'x'})
test:is(tostring(err), 'Transaction has been aborted by conflict', 'and cannot write any more')
box.rollback()
box.begin()
s:replace({1, 'x'})
ok, err = pcall(function() return box.space._space:get(1) end)
test:is(ok, false, 'one engine in a transaction')
test:like(tostring(err), 'MVCC is unavailable for storage engine \'memtx\'', 'in words')
box.rollback()

os.exit(test:check() and 0 or 1)
