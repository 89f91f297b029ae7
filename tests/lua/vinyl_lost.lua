-- A transaction on disk that the log loses leaves nothing behind, and takes along who has read it.
local fiber = require('fiber')
local tap = require('tap')

box.cfg{log_level = 1}
local test = tap.test('vinyl_lost')
test:plan(9)

local space = box.schema.space.create('lost', {engine = 'vinyl'})
space:create_index('primary')
local value = space:create_index('value', {parts = {2, 'unsigned'}, unique = false})
space:replace({1, 1})

box.error.injection.set('ERRINJ_WAL_WRITE', true)
local ok, err = pcall(space.replace, space, {1, 2})
test:is(ok, false, 'a change that the log loses')
test:is(err.code, box.error.WAL_IO, 'fails')
test:is(space:get(1)[2], 1, 'and is taken back')
-- Reads bring the row into the cache once what the store was told is applied.
repeat
    local switches = fiber.info()[fiber.id()].csw
    space:get(1)
until fiber.info()[fiber.id()].csw == switches
box.begin()
-- This may wait for the disk; what follows, up to the next `join`, does not: the row is cached.
space:replace({9, 9})
local writer = fiber.new(function()
    return (pcall(space.replace, space, {1, 3}))
end)
writer:set_joinable(true)
-- The log is not to lose it before it is read.
box.error.injection.set('ERRINJ_WAL_DELAY', true)
fiber.yield()
test:is(space:get(1)[2], 3, 'who writes sees what waits for the log')
box.error.injection.set('ERRINJ_WAL_DELAY', false)
local joined, was_written = writer:join()
test:is_deeply({joined, was_written}, {true, false}, 'which loses it')
ok, err = pcall(box.commit)
test:is(ok, false, 'so the other')
test:is(err.code, box.error.TRANSACTION_CONFLICT, 'is aborted')
box.error.injection.set('ERRINJ_WAL_WRITE', false)

test:is_deeply({space:count(), value:count(), space:get(1)[2]}, {1, 1, 1}, 'nothing was left behind')
space:replace({1, 5})
test:is(value:select({5})[1][1], 1, 'and it goes on')

os.exit(test:check() and 0 or 1)
