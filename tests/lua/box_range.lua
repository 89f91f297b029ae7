-- Claims about ranges of an index: quantile, delete_range; and names of box that stand beside them.
local tap = require('tap')

box.cfg({log_level = 1})
local test = tap.test('box_range')
test:plan(5)

local space = box.schema.space.create('test')
local primary = space:create_index('primary', {parts = {1, 'unsigned', 2, 'string'}})
local value = space:create_index('value', {parts = {{3, 'unsigned', sort_order = 'desc'}}})
local hash = space:create_index('hash', {type = 'hash', parts = {1, 'unsigned'}})

local function fill()
    space:truncate()
    for i = 1, 100 do
        space:insert({i, 'a', 1000 - i})
    end
end

local function fails(t, message, fn, ...)
    local ok, problem = pcall(fn, ...)
    t:is(not ok and problem.message, message, message)
end

test:test('quantile', function(t)
    t:plan(14)
    t:is(space:quantile(0.5), nil, 'of nothing')
    fill()
    t:is_deeply(space:quantile(0.5), {51, 'a'}, 'the middle')
    t:is_deeply(space:quantile(0.001), {1, 'a'}, 'the start')
    t:is_deeply(space:quantile(0.999), {100, 'a'}, 'the end')
    t:is_deeply(space:quantile(0.5, 11), {56, 'a'}, 'from a key')
    t:is_deeply(space:quantile(0.5, {}, {11, 'a'}), {6, 'a'}, 'up to a key')
    t:is_deeply(space:quantile(0.5, {11}, {21}), {16, 'a'}, 'between keys')
    t:is(space:quantile(0.5, {500}), nil, 'of nothing behind the last')
    t:is_deeply(value:quantile(0.25), {974}, 'in descending order')
    fails(t, 'level must be > 0 and < 1', space.quantile, space, 1)
    fails(t, 'level must be a number', space.quantile, space, '1')
    fails(t, 'Usage: index:quantile(level[, begin_key, end_key])', space.quantile, space)
    fails(t, 'begin_key must be < end_key', space.quantile, space, 0.5, {2}, {2})
    fails(t, "Index 'hash' (HASH) of space 'test' (memtx) does not support quantile()",
          hash.quantile, hash, 0.5)
end)

test:test('delete_range', function(t)
    t:plan(11)
    fill()
    space:delete_range({11}, {21})
    t:is_deeply({space:count(), space:get({10, 'a'})[1], space:get({11, 'a'}),
        space:get({21, 'a'})[1]}, {90, 10, nil, 21}, 'the end stays')
    space:delete_range({}, {6})
    t:is(primary:min()[1], 6, 'from the start')
    space:delete_range({91}, {})
    t:is(primary:max()[1], 90, 'up to the end')
    box.begin()
    space:delete_range({}, {})
    t:is(space:count(), 0, 'all')
    box.rollback()
    t:is(space:count(), 75, 'and back')
    space:on_replace(function(old) if old[1] == 40 then error('no') end end)
    t:ok(not pcall(space.delete_range, space, {30}, {50}), 'when one cannot go')
    t:is(space:count(), 75, 'none does')
    box.begin()
    space:delete({90, 'a'})
    pcall(space.delete_range, space, {30}, {50})
    box.commit()
    t:is(space:count(), 74, 'and what the transaction did before stays done')
    fails(t, "Engine 'memtx' does not support delete_range() on secondary index",
          value.delete_range, value, {1}, {2})
    fails(t, 'begin_key must be < end_key', space.delete_range, space, {3}, {2})
    local disk = box.schema.space.create('disk', {engine = 'vinyl'})
    disk:create_index('primary')
    fails(t, 'vinyl does not support range delete', disk.delete_range, disk, {1}, {2})
end)

test:test('columns', function(t)
    t:plan(2)
    fails(t, 'Usage: space:insert_arrow(arrow)', space.insert_arrow, space)
    fails(t, 'memtx does not support arrow format', space.insert_arrow, space, 'x')
end)

test:test('iterators by what they do', function(t)
    t:plan(4)
    t:is(box.index.FORWARD_INCLUSIVE, box.index.GE, 'FORWARD_INCLUSIVE')
    t:is(box.index.FORWARD_EXCLUSIVE, box.index.GT, 'FORWARD_EXCLUSIVE')
    t:is(box.index.REVERSE_INCLUSIVE, box.index.LE, 'REVERSE_INCLUSIVE')
    t:is(box.index.REVERSE_EXCLUSIVE, box.index.LT, 'REVERSE_EXCLUSIVE')
end)

test:test('the version of the schema', function(t)
    t:plan(5)
    local function version()
        return {box.space._schema:get('version'):unpack(2)}
    end
    t:is_deeply(version(), {3, 8, 0}, 'of a new data directory')
    t:is_deeply(box.space._index:get({box.schema.RECOVERY_POINT_ID, 0})[6], {
        {field = 0, type = 'unsigned'}, {field = 1, type = 'unsigned'},
        {field = 2, type = 'unsigned'},
    }, '_recovery_point is part of it')
    box.space._schema:replace({'version', 3, 3, 0})
    t:ok(box.schema.needs_upgrade(), 'an older one can be upgraded')
    box.schema.upgrade()
    t:is_deeply(version(), {3, 8, 0}, 'it has the new version then')
    t:ok(not box.schema.needs_upgrade(), 'and needs no upgrade')
end)

os.exit(test:check() and 0 or 1)
