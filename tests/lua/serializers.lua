-- Claims about json, msgpack and yaml, and what they share.
local tap = require('tap')
local ffi = require('ffi')
local json = require('json')
local msgpack = require('msgpack')
local yaml = require('yaml')
local decimal = require('decimal')
local uuid = require('uuid')
local varbinary = require('varbinary')

local test = tap.test('serializers')
test:plan(10)

local function fails(t, pattern, fn, ...)
    local ok, problem = pcall(fn, ...)
    t:ok(not ok and tostring(problem):find(pattern) ~= nil, pattern, {got = tostring(problem)})
end

test:test('round trips', function(t)
    local values = {
        0, 1, -1, 127, 128, -32, -33, 65536, 2 ^ 32, 2 ^ 53, 1.5, -2.25, 1e300, true, false, '',
        'text', ('x'):rep(300), {1, 2, 3}, {a = {b = {}}}, 123456789012345LL, -5LL,
    }
    t:plan(#values * 3)
    for _, serializer in ipairs({json, msgpack, yaml}) do
        for _, value in ipairs(values) do
            local result = serializer.decode(serializer.encode(value))
            t:is_deeply(result, value, tostring(value))
        end
    end
end)

test:test('msgpack', function(t)
    t:plan(17)
    local function hex(value)
        return msgpack.encode(value):hex()
    end
    t:is(hex({1, -1, 'a', true}), '9401ffa161c3', 'small values')
    t:is(hex(1.5), 'cb3ff8000000000000', 'a double')
    t:is(hex(18446744073709551615ULL), 'cfffffffffffffffff', 'the largest integer')
    t:is(hex(ffi.new('float', 1)), 'ca3f800000', 'a float')
    t:is(hex(box.NULL), 'c0', 'null')
    t:is(hex({[1] = 1, [3] = 3}), '9301c003', 'a hole')
    t:is(hex({[100] = 1}), '816401', 'too sparse for an array')
    t:is(hex(setmetatable({}, {__serialize = 'map'})), '80', 'an empty map')
    t:is(hex(setmetatable({}, {__serialize = function() return {1} end})), '9101', '__serialize')
    t:is(hex(varbinary.new('ab')), 'c4026162', 'binary data')
    local map = {}
    for i = 1, 100 do
        map['k' .. i] = i
    end
    t:is_deeply(msgpack.decode(msgpack.encode(map)), map, 'a large map')
    t:is(getmetatable(msgpack.decode('\128')).__serialize, 'map', 'decoded maps are marked')
    t:is_deeply({msgpack.decode('\1\2', 2)}, {2, 3}, 'offsets')
    fails(t, 'offset is out of bounds', msgpack.decode, '\1', 2)
    fails(t, 'Invalid MsgPack', msgpack.decode, '\146\1')
    fails(t, 'a Lua object expected', msgpack.encode)
    t:is(tostring(msgpack.decode(msgpack.encode(decimal.new('1.50')))), '1.50', 'decimals')
end)

test:test('msgpack in memory', function(t)
    t:plan(7)
    local buf = require('buffer').ibuf()
    t:is(msgpack.encode({1, {2}}, buf), 4, 'encode tells the size')
    t:is(buf:size(), 4, 'and fills the buffer')
    local value, rest = msgpack.decode(buf.rpos, buf:size())
    t:is_deeply(value, {1, {2}}, 'decode from memory')
    t:is(rest, buf.wpos, 'decode moves on')
    local count, after = msgpack.decode_array_header(buf.rpos, buf:size())
    t:is(count, 2, 'an array header')
    t:is(after - buf.rpos, 1, 'is one byte')
    fails(t, 'unexpected msgpack type', msgpack.decode_map_header, buf.rpos, buf:size())
end)

test:test('json', function(t)
    t:plan(14)
    t:is(json.encode('\1"\\/\n\127'), [["\u0001\"\\/\n\u007f"]], 'escapes')
    t:is(json.encode({[5] = 1}), '[null,null,null,null,1]', 'a hole')
    t:is(json.encode(setmetatable({[5] = 1}, json.map_mt)), '{"5":1}', 'number keys')
    t:is(json.encode({0 / 0, 1 / 0, -1 / 0}), '[nan,inf,-inf]', 'invalid numbers')
    t:is(json.encode(1 / 3, {encode_number_precision = 3}), '0.333', 'options of one call')
    t:is(json.encode({decimal.new('1.5'), uuid.NULL}),
         '["1.5","00000000-0000-0000-0000-000000000000"]', 'texts of other types')
    t:is(json.decode([["\u20ac\ud83d\ude00"]]), '€😀', 'unicode escapes')
    t:is(json.decode('null'), nil, 'null')
    t:is(type(json.decode('9223372036854775808')), 'cdata', 'large integers')
    fails(t, [[Expected value but found '}' on line 1 at character 6 here '{"a": >> }']],
          json.decode, '{"a":}')
    fails(t, [[Expected comma or '%]' but found end on line 2 at character 1]], json.decode, '[1\n')
    fails(t, [[unexpected end of string]], json.decode, '["a')
    fails(t, 'Found too many nested data structures %(3%)', json.decode, '[[[1]]]',
          {decode_max_depth = 2})
    fails(t, 'table key must be a number or string', json.encode, {[true] = 1})
end)

test:test('yaml', function(t)
    t:plan(13)
    t:is(yaml.encode({1, {2, 3}, {a = 1}}), '---\n- 1\n- - 2\n  - 3\n- a: 1\n...\n', 'blocks')
    t:is(yaml.encode(setmetatable({1, 'a'}, {__serialize = 'seq'})), "--- [1, 'a']\n...\n",
         'one line')
    t:is(yaml.encode({}), '--- []\n...\n', 'an empty table')
    t:is(yaml.encode({'true', '~', '1', '0x10', ''}), "---\n- 'true'\n- '~'\n- '1'\n- '0x10'\n-\n...\n",
         'quoting')
    t:is(yaml.encode('a\nb'), '--- |-\n  a\n  b\n...\n', 'lines')
    local shared = {1}
    t:is(yaml.encode({shared, shared}), '---\n- &0\n  - 1\n- *0\n...\n', 'aliases')
    local decoded = yaml.decode('- &a [1]\n- *a\n')
    t:is(decoded[1], decoded[2], 'aliases decode to one table')
    t:is_deeply({yaml.decode('--- 1\n...\n--- 2\n...\n')}, {1, 2}, 'documents')
    t:is_deeply(yaml.decode('[yes, no, ~, 1e3, "1", 0x10]'), {true, false, box.NULL, 1000, '1', 16},
                'scalars')
    t:is_deeply({yaml.decode('%TAG !p! tag:x,2\n--- 1\n...\n', {tag_only = true})},
                {'!p!', 'tag:x,2'}, 'tags')
    t:is(yaml.encode(1, {tag_handle = '!p!', tag_prefix = 'tag:x'}),
         '%TAG !p! tag:x\n--- 1\n...\n', 'writing a tag')
    fails(t, 'did not find expected node content', yaml.decode, 'a: [')
    fails(t, 'invalid reference: b', yaml.decode, 'a: *b')
end)

test:test('yaml of any bytes', function(t)
    t:plan(12)
    local function is(value, text, name)
        t:is(yaml.encode(value), '--- ' .. text .. '\n...\n', name)
        t:is(yaml.decode('--- ' .. text .. '\n...\n'), value, name .. ', read')
    end
    is('\x80\x92\xe8s\x16', [["\x80\x92\xE8s\x16"]], 'bytes that are not UTF-8')
    is('\b\\\xc2\x80\x12/', [["\b\\\u0080\x12/"]], 'a control character')
    is('\xe0\x82\x85\0', [["\xE0\x82\x85\0"]], 'a sequence that is too long, and a zero')
    is('привет 🌍', 'привет 🌍', 'characters that print')
    is('\u{E000}\u{200B}\u{10FFFF}\u{2028}', '"\\uE000\\u200B\\U0010FFFF\u{2028}"',
       'characters that do not')
    is('\xff \\x80 \u{E001}', [["\xFF \\x80 \uE001"]], 'both, and what looks like an escape')
end)

test:test('encode_key_order', function(t)
    t:plan(14)
    local map = {a = 1, c = 100, b = 2}
    local nested = {a = 1, b = 2, inner = {a = 1, b = 2}}
    local function is(options, value, expected, name)
        t:is(json.encode(value, options), expected, name)
    end
    is({encode_key_order = {'a', 'b', 'c'}}, map, '{"a":1,"b":2,"c":100}', 'all keys')
    is({encode_key_order = {'c', 'b'}}, map, '{"c":100,"b":2,"a":1}', 'the others follow')
    is({encode_key_order = {'c', 'd', 'b'}}, map, '{"c":100,"b":2,"a":1}', 'an unknown key')
    is({encode_key_order = {'b', 'a', 'inner'}}, nested, '{"b":2,"a":1,"inner":{"b":2,"a":1}}',
       'maps within maps')
    is({encode_key_order = {{}, 12, 'a'}}, {['12'] = 'x', a = 1}, '{"12":"x","a":1}',
       'a number is its text')
    is({encode_key_order = {'a', 'a'}}, {a = 1}, '{"a":1}', 'a key twice')
    is({encode_key_order = {'1'}}, {1, 2}, '[1,2]', 'arrays stay')
    is({encode_key_order = {'a'}}, setmetatable({}, {__serialize = 'map'}), '{}', 'an empty map')
    local instance = json.new()
    instance.cfg({encode_key_order = {'c', 'b', 'a'}})
    t:is(instance.encode(map), '{"c":100,"b":2,"a":1}', 'an option of the instance')
    t:is(instance.encode(map, {encode_key_order = {'a', 'b'}}), '{"a":1,"b":2,"c":100}',
         'that of the call comes first')
    t:is(instance.encode(map, {}), '{"c":100,"b":2,"a":1}', 'and is of that call')
    t:is_deeply(instance.cfg.encode_key_order, {'c', 'b', 'a'}, 'it is shown')
    instance.cfg({encode_key_order = box.NULL})
    t:is(instance.encode(map), json.encode(map), 'and taken back')
    fails(t, 'table key must be a number or string', json.encode, {a = 1, [{}] = 2},
          {encode_key_order = {'a'}})
end)

test:test('limits', function(t)
    t:plan(5)
    local cyclic = {}
    cyclic[1] = cyclic
    fails(t, 'Too high nest level', msgpack.encode, cyclic)
    fails(t, 'Too high nest level', json.encode, cyclic)
    t:is(yaml.encode(cyclic), '--- &0\n- *0\n...\n', 'YAML writes cycles')
    local shallow = json.new()
    shallow.cfg({encode_max_depth = 1, encode_deep_as_nil = true})
    t:is(shallow.encode({{1}}), '[null]', 'encode_deep_as_nil')
    t:is(json.encode({{1}}), '[[1]]', 'instances have their own options')
end)

test:test('options', function(t)
    t:plan(13)
    local endless = setmetatable({}, {__serialize = function(self) return self end})
    for _, serializer in ipairs({json, msgpack, yaml}) do
        fails(t, '__serialize returns values with __serialize without end', serializer.encode,
            endless)
    end
    t:is(json.decode(json.encode(require('fiber').self())).status, 'running', 'a userdata')
    fails(t, '^Unsupported MsgPack extension type: 15$', msgpack.decode, '\xd4\x0f\x00')
    for _, serializer in ipairs({json, msgpack, yaml}) do
        local mine = serializer.new()
        fails(t, "unsupported Lua type 'function'", mine.encode, {print})
        mine.cfg({encode_invalid_as_nil = true})
        t:is_deeply(mine.decode(mine.encode({print, 1})), {box.NULL, 1}, 'encode_invalid_as_nil')
    end
    local strict = json.new()
    strict.cfg({encode_invalid_numbers = false, encode_sparse_convert = false})
    fails(t, 'number must not be NaN or Inf', strict.encode, 0 / 0)
    fails(t, 'excessively sparse array', strict.encode, {[1] = 1, [100] = 1})
end)

test:test('compat', function(t)
    t:plan(2)
    local compat = require('compat')
    compat.json_escape_forward_slash = 'old'
    t:is(json.encode('/'), [["\/"]], 'the old way')
    compat.json_escape_forward_slash = 'default'
    t:is(json.encode('/'), [["/"]], 'the new way')
end)

os.exit(test:check())
