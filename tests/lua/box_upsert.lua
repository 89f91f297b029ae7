-- A row is upserted alike inside a transaction, where nothing has to wait, and outside of one.

local tap = require('tap')

box.cfg({log_level = 1})

local test = tap.test('box_upsert')

local space = box.schema.space.create('upserted', {
    format = {
        {'key', 'string'},
        {'count', 'number', is_nullable = true},
        {'text', 'string', is_nullable = true},
    },
})
space:create_index('primary', {parts = {{'key'}}})

local function inside(row, operations)
    box.atomic(function() space:upsert(row, operations) end)
end

local function outside(row, operations)
    space:upsert(row, operations)
end

-- What two upserts leave behind, or the error: the first inserts, the second updates.
local function outcome(upsert, row, operations)
    space:truncate()
    local kept = {}
    for _ = 1, 2 do
        local ok, problem = pcall(upsert, row, operations)
        if not ok then
            return {error = tostring(problem)}
        end
        table.insert(kept, space:get('k'):totable())
    end
    return kept
end

local long = ('long text '):rep(100)
local cases = {
    {{'k', 1}, {{'+', 'count', 2}}, {{'k', 1}, {'k', 3}}, 'a field by name'},
    {{'k', 1}, {{'-', 2, 2}}, {{'k', 1}, {'k', -1}}, 'by number'},
    {{'k', 1.5}, {{'+', 2, 0.25}}, {{'k', 1.5}, {'k', 1.75}}, 'fractions'},
    {{'k', 1, 'a'}, {{'=', 'text', 'b'}, {'+', 'count', 1}}, {{'k', 1, 'a'}, {'k', 2, 'b'}}, 'two'},
    {{'k', 1, 'a'}, {{'=', 3, long}, {'+', 2, 1}, {'+', 2, 1}}, {{'k', 1, 'a'}, {'k', 3, long}},
        'three'},
    {{'k', 1, 'a'}, {{'=', 3, 'b'}, {'=', 3, 'c'}, {'=', 3, 'd'}, {'+', 2, 1}},
        {{'k', 1, 'a'}, {'k', 2, 'd'}}, 'four'},
    {{'k', 1}, {{'=', 'text', 'x'}}, {{'k', 1}, {'k', 1, 'x'}}, 'a field that was not there'},
    {{'k', 1, 'abc'}, {{':', 'text', 1, 1, 'x'}}, {{'k', 1, 'abc'}, {'k', 1, 'xbc'}}, 'a splice'},
    {{'k', 1}, {{'=', 'count', box.NULL}}, {{'k', 1}, {'k', nil}}, 'null'},
    {{'k', 2 ^ 53}, {{'+', 2, 1LL}}, {{'k', 2 ^ 53}, {'k', 9007199254740993LL}}, 'a large number'},
    {{'k', 1}, {}, {{'k', 1}, {'k', 1}}, 'no operation'},
}

local errors = {
    {{'k', 'x'}, {{'+', 2, 1}}, 'Tuple field 2 %(count%) type does not match'},
    {{'k', 1}, {{'x', 2, 1}}, 'Unknown UPDATE operation'},
    {{'k', 1}, {{'+', 'nothing', 1}}, "Field 'nothing' was not found in the tuple"},
    {{1}, {{'+', 2, 1}}, 'Tuple field 1 %(key%) type does not match'},
    {{'k', 1}, 'x', nil},
}

test:plan(#cases * 2 + #errors * 2 + 3)

for _, case in ipairs(cases) do
    local row, operations, expected, name = unpack(case)
    test:is_deeply(outcome(outside, row, operations), expected, name)
    test:is_deeply(outcome(inside, row, operations), expected, name .. ', in a transaction')
end

for _, case in ipairs(errors) do
    local row, operations, message = unpack(case, 1, 3)
    local inner, outer = outcome(inside, row, operations), outcome(outside, row, operations)
    test:ok(outer.error ~= nil and outer.error:find(message or '') ~= nil, message or 'no list',
        {got = outer})
    test:is(inner.error, outer.error, 'the same in a transaction')
end

space:truncate()
local seen = 0
local trigger = space:on_replace(function() seen = seen + 1 end)
inside({'k', 1}, {{'+', 2, 1}})
test:is(seen, 1, 'triggers run in a transaction')
space:on_replace(nil, trigger)

space:truncate()
for _ = 1, 10 do
    box.begin()
    for _ = 1, 1000 do
        space:upsert({'k', 1}, {{'+', 'count', 1}})
    end
    box.commit()
end
test:is(space:get('k').count, 10000, 'again and again')
test:is(box.stat().UPSERT.total >= 10000, true, 'and counted')

os.exit(test:check() and 0 or 1)
