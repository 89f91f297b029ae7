-- Claims about the options of a select, recorded from Tarantool 2.6.
local tap = require('tap')

box.cfg{log_level = 'warn'}

local test = tap.test('options of select')
test:plan(5)

local space = box.schema.space.create('numbers')
space:create_index('primary')
for i = 1, 5 do
    space:insert{i}
end

test:is(#space:select({}, {limit = -1}), 5, 'a limit of -1 is none')
test:is(#space:select({}, {offset = -1}), 0, 'an offset of -1 skips all')
test:is(#space:select({}, {limit = 2.7}), 2, 'fractions are cut')
test:is(#space:select({}, {limit = 1e10}), 5, 'a large limit')
test:is(#space:select({}, {offset = 3, limit = 1}), 1, 'both')

os.exit(test:check())
