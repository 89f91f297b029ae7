-- Upserts on disk that do not read: whoever comes to know the row applies them.
local fiber = require('fiber')
local tap = require('tap')

box.cfg{log_level = 2, vinyl_cache = 0, log = 'log.txt'}
local test = tap.test('vinyl_upsert')
test:plan(24)

local space = box.schema.space.create('space', {engine = 'vinyl'})
local primary = space:create_index('primary')

local function row(id)
    local found = space:get(id)
    return found and found:totable()
end
local function lookups()
    return primary:stat().lookup
end

space:upsert({1, 10}, {{'+', 2, 1}})
space:upsert({1, 10}, {{'+', 2, 1}})
space:replace({2, 20})
space:upsert({2, 0}, {{'+', 2, 1}})
test:is(lookups(), 0, 'an upsert reads nothing')
test:is_deeply(row(1), {1, 11}, 'the first one has inserted, the second one was applied')
test:is_deeply(row(2), {2, 21}, 'so is one over a row')
space:delete(2)
space:upsert({2, 5}, {{'+', 2, 1}})
test:is_deeply(row(2), {2, 5}, 'over a deleted row it inserts')
box.snapshot()
space:upsert({1, 0}, {{'=', 3, 'x'}})
space:upsert({3, 30}, {{'+', 2, 1}})
local rows = space:select()
test:is(#rows, 3, 'a scan finds them')
test:is_deeply(rows[1]:totable(), {1, 11, 'x'}, 'applied')
test:is_deeply(space:select({}, {iterator = 'LE', limit = 1})[1]:totable(), {3, 30}, 'backwards too')

-- Within a transaction.
box.begin()
space:upsert({1, 0}, {{'+', 2, 1}})
test:is_deeply(row(1), {1, 12, 'x'}, 'a transaction sees its own')
local savepoint = box.savepoint()
space:upsert({1, 0}, {{'+', 2, 1}})
space:upsert({4, 40}, {{'+', 2, 1}})
test:is(space:count(), 4, 'also when it counts')
box.rollback_to_savepoint(savepoint)
test:is_deeply(row(1), {1, 12, 'x'}, 'a savepoint takes back the later ones')
for _ = 1, 1000 do
    space:upsert({4, 0}, {{'+', 2, 1}})
end
box.commit()
test:is_deeply(row(4), {4, 999}, 'many of one key')
box.begin()
space:upsert({4, 0}, {{'+', 2, 1}})
box.rollback()
test:is_deeply(row(4), {4, 999}, 'one that is rolled back is not there')

-- What cannot be applied is left out, and the log tells why.
space:upsert({1, 0}, {{'+', 3, 1}})
space:upsert({1, 0}, {{'+', 1, 1}})
space:upsert({1, 0}, {{'!', 2, 'y'}, {'+', 9, 1}})
test:is_deeply(row(1), {1, 'y', 12, 'x'}, 'operations that cannot be applied are left out')
box.snapshot()
local file = io.open('log.txt')
local text = file:read('*a')
file:close()
local _, count = text:gsub('UPSERT operation failed', '')
test:is(count, 3, 'each is told of once')
test:ok(text:find("Attempt to modify a tuple field which is part of primary index 'primary'", 1, true)
    or text:find('primary', 1, true), 'and why')
local ok, err = pcall(space.upsert, space, {1, 0}, {{'?', 2, 1}})
test:is(tostring(err), 'Unknown UPDATE operation #1: "?"',
    'malformed operations are refused at once')
ok, err = pcall(space.upsert, space, {'one', 0}, {{'+', 2, 1}})
test:ok(not ok and tostring(err):find("type does not match"), 'and so is a tuple that does not fit')

-- What does not fit the format after the operations.
local formatted = box.schema.space.create('formatted', {engine = 'vinyl',
    format = {{'id', 'unsigned'}, {'name', 'string'}}})
formatted:create_index('primary')
formatted:replace({1, 'one'})
formatted:upsert({1, ''}, {{'=', 'name', 2}})
test:is_deeply(formatted:get(1):totable(), {1, 'one'}, 'a result against the format is left out')
formatted:upsert({1, ''}, {{'=', 'name', 'two'}})
formatted:format({{'id', 'unsigned'}, {'title', 'string'}})
test:is_deeply(formatted:get(1):totable(), {1, 'two'}, 'names mean what they meant')

-- Concurrent ones do not contradict each other.
local counter = box.schema.space.create('counter', {engine = 'vinyl'})
counter:create_index('primary')
local fibers = {}
for number = 1, 10 do
    fibers[number] = fiber.new(function()
        for _ = 1, 50 do
            box.begin()
            counter:upsert({1, 1}, {{'+', 2, 1}})
            fiber.yield()
            counter:upsert({2, 1}, {{'+', 2, 1}})
            box.commit()
        end
    end)
    fibers[number]:set_joinable(true)
end
local reads, last = 0, 0
local failure
while fibers[1]:status() ~= 'dead' do
    local found = counter:get(1)
    if found ~= nil then
        failure = failure or found[2] < last and 'it went back' or nil
        last, reads = found[2], reads + 1
    end
    fiber.yield()
end
for _, one in ipairs(fibers) do
    local done, problem = one:join()
    failure = failure or not done and tostring(problem) or nil
end
test:is(failure, nil, 'upserts of many transactions at once')
test:is_deeply(counter:select()[1]:totable(), {1, 500}, 'add up')
test:is(counter:get(2)[2], 500, 'for each key')
box.snapshot()
test:is(counter:get(1)[2], 500, 'also on disk')

-- With a trigger that wants the old row it is read.
local seen
space:on_replace(function(old) seen = old end)
space:upsert({2, 0}, {{'+', 2, 1}})
test:is_deeply(seen:totable(), {2, 5}, 'triggers see the old row')

os.exit(test:check() and 0 or 1)
