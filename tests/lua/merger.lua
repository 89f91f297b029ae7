-- merger: sources of buffers, tables and iterators, merged in the order of a key definition.
local buffer = require('buffer')
local fiber = require('fiber')
local key_def = require('key_def')
local merger = require('merger')
local msgpack = require('msgpack')
local net_box = require('net.box')
local tap = require('tap')

local test = tap.test('merger')
test:plan(39)

local function message(run, ...)
    local ok, err = pcall(run, ...)
    return ok and 'done' or tostring(err)
end

local function values(list)
    local result = {}
    for i, tuple in ipairs(list) do
        result[i] = tuple[1]
    end
    return result
end

local function encoded(value)
    local buf = buffer.ibuf()
    msgpack.encode(value, buf)
    return buf
end

local by_id = key_def.new({{fieldno = 1, type = 'unsigned'}})

-- Sources.
local source = merger.new_source_fromtable({{1}, box.tuple.new({2})})
test:is_deeply(values(source:select()), {1, 2}, 'of a table')
test:is_deeply(source:select(), {}, 'once')
local buf = encoded({{1}, {2}, {3}})
source = merger.new_source_frombuffer(buf)
test:is_deeply(values(source:select({limit = 2})), {1, 2}, 'of a buffer, some')
test:is(buf:size(), 2, 'what is read is gone from it')
test:is_deeply(values(source:select()), {3}, 'the rest')
test:is(buf:size(), 0, 'nothing is left')
test:is_deeply(merger.new_source_frombuffer(buffer.ibuf()):select(), {}, 'an empty buffer')
local tuple = merger.new_source_frombuffer(encoded({{1, {a = 5}, 'x'}})):select()[1]
test:is_deeply({box.tuple.is(tuple), tuple:totable()}, {true, {1, {a = 5}, 'x'}}, 'tuples')

local function chunks(list)
    return function(param, state)
        fiber.yield()
        state = (state or 0) + 1
        if param[state] ~= nil then
            return state, param[state]
        end
    end, list
end
source = merger.new_table_source(chunks({{{1}}, {}, {{2}, {3}}}))
test:is_deeply(values(source:select()), {1, 2, 3}, 'chunks of tables, which are waited for')
source = merger.new_buffer_source(chunks({encoded({}), encoded({{1}}), encoded({{2}})}))
test:is_deeply(values(source:select()), {1, 2}, 'chunks of buffers')
source = merger.new_tuple_source(ipairs({{4}, box.tuple.new({5})}))
test:is_deeply(values(source:select()), {4, 5}, 'an iterator')
local seen = {}
for _, one in merger.new_source_fromtable({{7}, {8}}):pairs() do
    seen[#seen + 1] = one[1]
end
test:is_deeply(seen, {7, 8}, 'pairs')
test:is_deeply(merger.new_source_fromtable({{7}, {8}}):pairs():map(
    function(one) return one[1] * 2 end):totable(), {14, 16}, 'pairs of fun')

-- Wrong ones.
test:is(message(merger.new_buffer_source, 1),
    'Usage: merger.new_buffer_source(gen, param, state)', 'no iterator')
test:is(message(merger.new_source_fromtable, 1), 'Usage: merger.new_source_fromtable(<table>)',
    'no table')
test:is(message(merger.new_source_frombuffer, 'x'),
    'Usage: merger.new_source_frombuffer(<cdata<struct ibuf>>)', 'no buffer')
local function selected(made) return message(made.select, made) end
test:is(selected(merger.new_source_fromtable({1})), 'A tuple or a table expected, got number',
    'what is no tuple')
test:is(selected(merger.new_table_source(chunks({1}))), 'Expected <state>, <table>',
    'a chunk that is no table')
test:is(selected(merger.new_buffer_source(chunks({1}))), 'Expected <state>, <buffer>',
    'a chunk that is no buffer')
test:is(selected(merger.new_tuple_source(function() return 1 end)),
    'Expected <state>, <tuple>, got 1 return values', 'a step without a value')
test:is(selected(merger.new_source_frombuffer(encoded({1}))),
    'Tuple/Key must be MsgPack array', 'a buffer of numbers')
test:like(selected(merger.new_source_frombuffer(encoded(1))), '^Invalid merge source',
    'a buffer that is no array')
local short = encoded({{'a'}, {'b'}})
short.wpos = short.wpos - 1
test:is(selected(merger.new_source_frombuffer(short)), 'Unexpected msgpack buffer end',
    'a buffer that is cut short')
test:is(selected(merger.new_tuple_source(function() error('from within', 0) end)), 'from within',
    'an error of the iterator')

-- Merging.
local function three()
    return {
        merger.new_source_fromtable({{1, 'a'}, {4, 'a'}, {7, 'a'}}),
        merger.new_source_frombuffer(encoded({{2, 'b'}, {4, 'b'}})),
        merger.new_tuple_source(ipairs({{0, 'c'}, {4, 'c'}, {9, 'c'}})),
        merger.new_source_fromtable({}),
    }
end
local merged = merger.new(by_id, three())
local result = merged:select()
test:is_deeply(values(result), {0, 1, 2, 4, 4, 4, 7, 9}, 'in order')
test:is_deeply({result[4][2], result[5][2], result[6][2]}, {'a', 'b', 'c'}, 'equal: by source')
test:is_deeply(merger.new(by_id, {}):select(), {}, 'of nothing')
local function down(...)
    return merger.new_source_fromtable({...})
end
merged = merger.new(by_id, {down({5}, {3}), down({4}, {1})}, {reverse = true})
test:is_deeply(values(merged:select()), {5, 4, 3, 1}, 'reverse')
merged = merger.new(by_id, {merger.new(by_id, three()), down({3})})
test:is_deeply(values(merged:select({limit = 4})), {0, 1, 2, 3}, 'of merged ones, with a limit')
local out = buffer.ibuf()
merger.new(by_id, three()):select({buffer = out, limit = 3})
test:is_deeply(msgpack.decode(out.rpos, out:size()), {{0, 'c'}, {1, 'a'}, {2, 'b'}},
    'into a buffer')
test:like(message(merger.new, 1, {}), '^Bad params, use: merger.new%(key_def', 'no definition')
test:like(message(merger.new, by_id, {}, 1), '^Bad params, use: merger.new', 'no options')
test:like(message(merger.new, by_id, {}, {reverse = 1}), '^Bad param "reverse", use', 'reverse')
test:is(message(merger.new, by_id, {1}), 'Unknown source type at index 1', 'no source')
test:like(message(merged.select, merged, {limit = 'x'}), '^Bad param "limit", use: merge_source',
    'limit')
test:like(message(merged.select, merged, {buffer = 1}), '^Bad param "buffer", use', 'buffer')
test:like(selected(merger.new(key_def.new({{fieldno = 1, type = 'string'}}), {down({1}), down({2})})),
    'expected string', 'tuples that do not fit the definition')

-- With net.box.
box.cfg{listen = '127.0.0.1:0'}
box.schema.user.grant('guest', 'super')
local space = box.schema.space.create('test')
space:create_index('pk')
for i = 1, 10 do
    space:insert({i})
end
local connection = net_box.connect(box.info.listen)
local first, second = buffer.ibuf(), buffer.ibuf()
connection.space.test:select({3}, {iterator = 'LE', limit = 3, buffer = first, skip_header = true})
connection.space.test:select({9}, {iterator = 'LE', limit = 3, buffer = second, skip_header = true})
merged = merger.new(key_def.new(connection.space.test.index.pk.parts),
    {merger.new_source_frombuffer(first), merger.new_source_frombuffer(second)}, {reverse = true})
test:is_deeply(values(merged:select()), {9, 8, 7, 3, 2, 1}, 'answers of net.box')
local raw = buffer.ibuf()
connection:eval('return {{1}, {2}}', nil, {buffer = raw, skip_header = true})
test:is(msgpack.decode_array_header(raw.rpos, raw:size()), 1, 'an array of results')
connection:close()

os.exit(test:check() and 0 or 1)
