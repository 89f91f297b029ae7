-- A tuple that is only looked at is the one that `get` finds, and stays whole whatever becomes of it.

local tap = require('tap')
local ffi = require('ffi')

box.cfg{}

local test = tap.test('box_peek')
test:plan(43)

local lent = box.internal.lent

-- Text as handlers of Redis clients may get it.
local function lend(text)
    local value = lent.new()
    value.data, value.size = text, #text
    return value
end

for _, kind in ipairs({'HASH', 'TREE'}) do
    local space = box.schema.space.create('peeked')
    space:create_index('primary', {type = kind, parts = {{1, 'string'}}})
    space:create_index('number', {type = kind, parts = {{2, 'unsigned'}}})
    space:replace({'a', 1})
    space:replace({'b', 2, ('x'):rep(1000)})

    test:is(space:peek('a')[2], 1, kind .. ': by text')
    test:is(space:peek({'a'})[2], 1, kind .. ': by a table')
    test:is(space:peek(lend('a'))[2], 1, kind .. ': by lent text')
    test:is(space:get(lend('a'))[2], 1, kind .. ': get by lent text')
    test:is(space:get({lend('a')})[2], 1, kind .. ': get by a table of lent text')
    test:is(space.index.number:peek(2)[1], 'b', kind .. ': by a number')
    test:is(space:peek('c'), nil, kind .. ': nothing')
    test:is(space:peek(lend('c')), nil, kind .. ': nothing by lent text')
    test:is(space:peek('a'), space:get('a'), kind .. ': it is that tuple')
    test:is(select(2, pcall(space.peek, space, 1)).code, box.error.KEY_PART_TYPE,
        kind .. ': a key of another type is an error')
    test:is(select(2, pcall(space.peek, space, {})).code, box.error.EXACT_MATCH,
        kind .. ': and so is a part that is missing')

    local row = space:peek('b')
    space:replace({'b', 3})
    space:delete('a')
    -- What was deleted gives its memory to these.
    for number = 1, 1000 do
        space:replace({'other' .. number, number + 10, ('y'):rep(1000)})
    end
    collectgarbage()
    test:is(row[3], ('x'):rep(1000), kind .. ': it outlives its place in the space')
    test:is(space:peek('b')[2], 3, kind .. ': and the next look finds the new one')
    test:is(row[2], 3, kind .. ', which the first is, too, then')

    space:replace_fields(lend('lent key'), 5000, lend('lent value'))
    test:is_deeply(space:get('lent key'):totable(), {'lent key', 5000, 'lent value'},
        kind .. ': lent text is stored')
    box.atomic(space.replace_fields, space, lend('again'), 5001)
    test:is(space:get('again')[2], 5001, kind .. ': in a transaction')
    space:replace_fields(lend('four'), 5002, lend(''), lend('fields'))
    test:is_deeply(space:get('four'):totable(), {'four', 5002, '', 'fields'},
        kind .. ': as more fields than go the fast way')
    space:drop()
end

local on_disk = box.schema.space.create('on_disk', {engine = 'vinyl'})
on_disk:create_index('primary', {parts = {{1, 'string'}}})
on_disk:replace_fields(lend('a'), lend('value'))
test:is(on_disk:peek(lend('a'))[2], 'value', 'a tuple on disk is read')
on_disk:drop()

local text = lend('text')
test:is(tostring(text), 'text', 'lent text as a string')
test:is(#text, 4, 'its length')
test:ok(text == 'text' and 'text' == text and text == lend('text'), 'it equals its string')
test:ok(text ~= 'other' and text ~= nil and text ~= 4, 'and nothing else')
test:is('<' .. text .. '>', '<text>', 'it is joined to strings')
text.data, text.size = nil, 0
test:is(tostring(text), '', 'what was taken back is empty')
test:is(#text, 0, 'and has no length')
test:ok(ffi.istype(lent.new, text), 'but is still there')

os.exit(test:check() and 0 or 1)
