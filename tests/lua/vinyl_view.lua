-- Read views, deferred deletes, and indexes that are built while others write.
local fiber = require('fiber')
local json = require('json')
local tap = require('tap')

box.cfg{log_level = 3, vinyl_cache = 0}
local test = tap.test('vinyl_view')
test:plan(13)

local space = box.schema.space.create('view', {engine = 'vinyl'})
space:create_index('primary')
for id = 1, 1000 do
    space:replace({id, 0})
end

-- A long view shows what was, and does not keep what came in memory.
local channel, has_read = fiber.channel(), fiber.channel()
local sums = {}
local reader = fiber.new(function()
    box.begin()
    space:select({1}, {iterator = 'GE', limit = 10})
    has_read:put(true)
    for number = 1, 2 do
        channel:get()
        sums[number] = 0
        for _, row in space:pairs() do
            sums[number] = sums[number] + row[2]
        end
    end
    box.commit()
end)
reader:set_joinable(true)
has_read:get()
local function overwrite(times)
    for value = 1, times do
        box.begin()
        for id = 1, 1000 do
            space:replace({id, value})
        end
        box.commit()
    end
end
overwrite(20)
test:is(box.stat.vinyl().tx.read_views, 1, 'who read what others have written is in a read view')
channel:put(true)
overwrite(20)
repeat
    -- Each commit looks whether the store has what came before.
    space:replace({1, 1})
    fiber.sleep(0.001)
until box.stat.vinyl().tx.statements < 100
test:is(box.stat.vinyl().tx.read_views, 1, 'it is still there')
channel:put(true)
test:ok((reader:join()), 'and ends well')
test:is_deeply(sums, {0, 0}, 'having seen nothing of the changes')
test:is(box.stat.vinyl().tx.read_views, 0, 'then it is gone')

-- Deferred deletes: rows of other indexes stay behind and are passed over.
local deferred = box.schema.space.create('deferred', {engine = 'vinyl', defer_deletes = true})
deferred:create_index('primary')
local value = deferred:create_index('value', {parts = {2, 'unsigned'}})
for id = 1, 100 do
    deferred:replace({id, id})
end
for id = 1, 50 do
    deferred:replace({id, id + 1000})
end
for id = 91, 100 do
    deferred:delete(id)
end
test:is(value:count(), 90, 'stale rows are not counted')
test:is(value:get(7), nil, 'nor found')
test:is(value:get(1007)[1], 7, 'the new ones are')
test:ok(pcall(deferred.insert, deferred, {200, 7}), 'and a stale key is free')

-- Indexes are built while others write, and have what they wrote.
local built = box.schema.space.create('built', {engine = 'vinyl'})
built:create_index('primary')
box.begin()
for id = 1, 5000 do
    built:replace({id, id % 10})
end
box.commit()
local is_done, writes = false, 0
local writer = fiber.new(function()
    while not is_done do
        local id = math.random(6000)
        local ok, err = pcall(function()
            if math.random(3) == 1 then
                built:delete(id)
            else
                built:replace({id, math.random(10)})
            end
        end)
        if not ok and err.code ~= box.error.TRANSACTION_CONFLICT then
            error(err)
        end
        writes = writes + 1
    end
end)
writer:set_joinable(true)
built:create_index('value', {parts = {2, 'unsigned'}, unique = false})
is_done = true
test:ok((writer:join()), 'writers go on')
test:ok(writes > 1, 'while an index is built')
local expected, found = {}, {}
for _, row in built:pairs() do
    expected[row[1]] = json.encode(row)
end
for _, row in built.index.value:pairs() do
    found[row[1]] = json.encode(row)
end
test:is_deeply(found, expected, 'which has all rows as they are')
test:is(pcall(built.create_index, built, 'unique', {parts = {2, 'unsigned'}}), false,
    'a unique one is refused when keys meet')

os.exit(test:check() and 0 or 1)
