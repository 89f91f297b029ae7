-- key_def: comparing tuples and extracting keys without an index.
local key_def = require('key_def')
local tap = require('tap')

local test = tap.test('key_def')
test:plan(20)

local function message(run, ...)
    return tostring((select(2, pcall(run, ...))))
end

local by_two = key_def.new({{fieldno = 2, type = 'string'}, {field = 1, type = 'unsigned'}})
test:is_deeply(by_two:extract_key({7, 'x', 3}):totable(), {'x', 7}, 'extract_key')
test:is(by_two:compare({1, 'a'}, {1, 'b'}), -1, 'compare by the first part')
test:is(by_two:compare({2, 'a'}, {1, 'a'}), 1, 'then by the second')
test:is(by_two:compare({1, 'a', 5}, {1, 'a', 6}), 0, 'and by nothing else')
test:is(by_two:compare_with_key({1, 'a'}, {'a'}), 0, 'compare with a prefix of a key')
test:is(by_two:compare_with_key({1, 'a'}, {'a', 2}), -1, 'compare with a key')
test:is(by_two:compare_keys({'b'}, {'a', 2}), 1, 'compare keys')
test:is(#by_two, 2, 'count of parts')
test:is_deeply(by_two:totable(), {
    {fieldno = 2, type = 'string', is_nullable = false, exclude_null = false, sort_order = 'asc'},
    {fieldno = 1, type = 'unsigned', is_nullable = false, exclude_null = false, sort_order = 'asc'},
}, 'totable')

local merged = by_two:merge(key_def.new({{fieldno = 1, type = 'unsigned'}, {fieldno = 3, type = 'any'}}))
test:is(#merged, 3, 'merge adds parts at other places')
local folded = key_def.new({{fieldno = 1, type = 'string', collation = 'unicode_ci'}})
test:is(folded:compare({'A'}, {'a'}), 0, 'a collation')
local down = key_def.new({{fieldno = 1, type = 'unsigned', sort_order = 'desc'}})
test:is(down:compare({1}, {2}), 1, 'a descending part')
local nullable = key_def.new({{fieldno = 1, type = 'unsigned', is_nullable = true}})
test:is(nullable:compare({box.NULL}, {0}), -1, 'nil is the least')
local deep = key_def.new({{fieldno = 1, type = 'string', path = 'a.b'}})
test:is_deeply(deep:extract_key({{a = {b = 'x'}}}):totable(), {'x'}, 'a path')

test:is(message(by_two.extract_key, by_two, {1}),
    'Tuple field 2 required by space format is missing', 'a missing field')
test:like(message(by_two.validate_key, by_two, {'a', 1, 2}), 'Invalid key part count', 'a long key')
test:is(message(key_def.new, {{type = 'string'}}), 'fieldno or field must not be nil', 'no field')
test:is(message(key_def.new, {{fieldno = 1, type = 'odd'}}), 'Unknown field type: odd', 'odd type')
test:like(message(by_two.compare, by_two), 'Usage: key_def:compare', 'usage')

box.cfg{}
local space = box.schema.space.create('parts')
local index = space:create_index('primary', {parts = {{2, 'string'}}})
test:is_deeply(index.parts:extract_key({1, 'x'}):totable(), {'x'}, 'parts of an index')

os.exit(test:check() and 0 or 1)
