-- A row is replaced alike inside a transaction, where nothing has to wait, and outside of one.

local fun = require('fun')
local tap = require('tap')

box.cfg{}

local test = tap.test('box_replace')

local space = box.schema.space.create('replaced', {
    format = {
        {'key', 'string'},
        {'value', 'any', is_nullable = true},
        {'count', 'unsigned', is_nullable = true},
    },
})
space:create_index('primary', {type = 'HASH', parts = {{'key'}}})

local function inside(row)
    return box.atomic(function()
        return space:replace(row)
    end)
end

local function outside(row)
    return space:replace(row)
end

-- What a replacement returns and leaves behind, or its error.
local function outcome(replace, row)
    space:truncate()
    local result, returned = pcall(replace, row)
    if not result then
        return {error = tostring(returned)}
    end
    local kept = space:get('k')
    return {returned = returned:totable(), kept = kept and kept:totable() or box.NULL}
end

local rows = {
    {'k'},
    {'k', 'text'},
    {'k', ''},
    {'k', 'bytes\0\255'},
    {'k', ('long'):rep(1000)},
    {'k', 0},
    {'k', -1},
    {'k', 1.5},
    {'k', 2 ^ 53},
    {'k', 2 ^ 60},
    {'k', -2 ^ 60},
    {'k', 1e300},
    {'k', 1 / 0},
    {'k', true},
    {'k', box.NULL},
    {'k', nil, 3},
    {'k', 5ULL, 6LL},
    {'k', {1, 2, {three = 3}}},
    {'k', 'text', 7},
    {'k', 'text', -7},
    {'k', 'text', 0.5},
    {'k', 'text', 7, 'more'},
    {'k', 'text', 7, 'more', 'and more'},
    {'k', 'text', named = 1},
    setmetatable({'k', 'text'}, {__serialize = 'seq'}),
    setmetatable({'k', 'text'}, {__serialize = function() return {'k', 'other'} end}),
    {1},
    {},
    {named = 1},
    'k',
    1,
}

local function fields_inside(row)
    box.atomic(space.replace_fields, space, unpack(row, 1, table.maxn(row)))
    return row
end

local function fields_outside(row)
    space:replace_fields(unpack(row, 1, table.maxn(row)))
    return row
end

-- What `replace_fields` leaves behind, or its error.
local function kept(replace, row)
    local found = outcome(function(given)
        replace(given)
        return box.tuple.new({})
    end, row)
    return found.error or found.kept
end

local lists = fun.iter(rows):filter(function(row)
    return type(row) == 'table' and getmetatable(row) == nil and row.named == nil
end):totable()

test:plan(#rows + 2 * #lists + 10)

for number, row in ipairs(rows) do
    test:is_deeply(outcome(inside, row), outcome(outside, row), 'row ' .. number)
end

for number, row in ipairs(lists) do
    local expected = kept(outside, row)
    test:is_deeply(kept(fields_inside, row), expected, 'fields in a transaction ' .. number)
    test:is_deeply(kept(fields_outside, row), expected, 'fields ' .. number)
end

test:is(select('#', space:replace_fields('k', 'text')), 0, 'nothing is returned')

-- Compiled code does the same as interpreted code.
for _, value in ipairs({'text', 7, 1.5}) do
    local sum = 0
    box.begin()
    for number = 1, 300 do
        sum = sum + #space:replace({'k' .. number, value})
    end
    box.commit()
    test:is(sum, 600, 'many replacements of a ' .. tostring(value))
end

space:truncate()
space:replace({'k', 'before'})
box.begin()
space:replace({'k', 'after'})
box.rollback()
test:is(space:get('k').value, 'before', 'a replacement is rolled back')

local seen = {}
local trigger = space:on_replace(function(old, new)
    table.insert(seen, {old and old.value, new and new.value})
end)
inside({'k', 'after'})
test:is_deeply(seen, {{'before', 'after'}}, 'triggers see a replacement in a transaction')
space:on_replace(nil, trigger)

local before = space:before_replace(function(_, new)
    return new:update({{'=', 2, 'changed'}})
end)
test:is(inside({'k', 'again'}).value, 'changed', 'triggers change a replacement')
space:before_replace(nil, before)

test:is(select(2, pcall(inside, {'k', 'text', 'not a number'})).code, box.error.FIELD_TYPE,
    'a wrong type is an error in a transaction')

box.schema.func.create('is_known', {
    language = 'LUA', is_deterministic = true,
    body = [[function(value) return type(value) ~= 'string' or value ~= 'unknown' end]],
})
space:alter({format = {{'key', 'string'}, {'value', 'any', constraint = 'is_known'}}})
box.begin()
for number = 1, 300 do
    space:replace({'k' .. number, 'known'})
end
box.commit()
test:is(select(2, pcall(inside, {'k', 'unknown'})).code, box.error.FIELD_CONSTRAINT_FAILED,
    'constraints are asked in a transaction')

test:is(#box.tuple.new({[1] = 1, [20] = 2}), 20, 'a sparse tuple that stands alone has nils')

space:drop()
box.func.is_known:drop()
os.exit(test:check() and 0 or 1)
