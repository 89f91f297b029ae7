-- Claims about experimental.config.utils.schema: checking, reading, changing and showing settings.
local schema = require('experimental.config.utils.schema')
local tap = require('tap')

local test = tap.test('config_schema')
test:plan(6)

local settings = schema.new('shop', schema.record({
    name = schema.scalar({type = 'string', default = 'mine'}),
    size = schema.scalar({type = 'integer', byte_size = true}),
    wait = schema.scalar({type = 'number', duration = true}),
    level = schema.enum({'low', 'high'}),
    tags = schema.set({'new', 'old'}),
    prices = schema.map({
        key = schema.scalar({type = 'string'}), value = schema.scalar({type = 'number'}),
    }),
    list = schema.array({items = schema.record({id = schema.scalar({type = 'integer'})})}),
    either = schema.union({variants = {
        schema.scalar({type = 'string'}), schema.scalar({type = 'boolean'}),
    }}),
    more = schema.scalar({type = 'any'}),
    odd = schema.scalar({type = 'integer', validate = function(data, w)
        if data % 2 == 0 then
            w.error('%d is even', data)
        end
    end}),
}, {service = 'shop'}), {methods = {
    title = function(self, data) return self:get(data, 'name') end,
}})

test:test('data is checked', function(t)
    local cases = {
        {{name = 5}, 'name: Unexpected data for scalar "string": Expected "string", got "number"'},
        {{nothing = 1}, 'Unexpected field "nothing"'},
        {{size = '5 XB'}, 'size: Unexpected data for scalar "integer": Unknown byte size suffix "XB" '
            .. '(use B, KiB, MiB, GiB, TiB, PiB)'},
        {{wait = true}, 'wait: Unexpected data for scalar "number": Expected duration as number or '
            .. 'string with optional duration suffix, got boolean'},
        {{level = 'mid'}, 'level: Got mid, but only the following values are allowed: low, high'},
        {{tags = {'new', 'new'}}, 'tags: Values should be unique, but "new" appears at least twice'},
        {{prices = {1}}, 'prices: Expected a map, got an array: [1]'},
        {{list = {{id = 1}, {id = 1.5}}}, 'list[2].id: Unexpected data for scalar "integer": '
            .. 'Expected number without a fractional part, got 1.5'},
        {{list = {a = 1}}, 'list: An array contains a non-numeric key: "a"'},
        {{either = 1}, 'either: Data does not match any union variant (variant #1: Unexpected data '
            .. 'for scalar "string": Expected "string", got "number"; variant #2: Unexpected data for '
            .. 'scalar "boolean": Expected "boolean", got "number")'},
        {{odd = 2}, 'odd: 2 is even'},
        {5, 'Unexpected data type for a record: "number"'},
    }
    t:plan(#cases + 1)
    for _, case in ipairs(cases) do
        local ok, err = pcall(settings.validate, settings, case[1])
        t:is(not ok and err, '[shop] ' .. case[2], 'refused')
    end
    t:ok(pcall(settings.validate, settings, {
        name = 'x', size = '5 KiB', wait = 1, level = 'low', tags = {'old'}, prices = {a = 1},
        list = {{id = 1}}, either = false, more = {1, {2}}, odd = 1,
    }), 'taken')
end)

test:test('data is read', function(t)
    t:plan(6)
    local data = {size = '5 KiB', more = {a = {b = false}}, wait = '2m'}
    t:is(settings:get(data, 'size'), 5120, 'units are applied')
    t:is(settings:get(data, {'more', 'a', 'b'}), false, 'where nothing is known, too')
    t:is_deeply(settings:get(data), {size = 5120, more = {a = {b = false}}, wait = 120}, 'all of it')
    t:is(settings:title({name = 'x'}), 'x', 'a method of its own')
    local _, err = pcall(settings.get, settings, data, 'name.x')
    t:is(err, '[shop] name: Attempt to index a scalar value of type string by field "x"', 'a wrong path')
    _, err = pcall(settings.get, settings, data, 'nothing')
    t:is(err, '[shop] nothing: No such field in the schema', 'no such field')
end)

test:test('data is changed', function(t)
    t:plan(5)
    local data = {}
    settings:set(data, 'prices.apple', 5)
    settings:set(data, 'more.a.b', 1)
    t:is_deeply(data, {prices = {apple = 5}, more = {a = {b = 1}}}, 'set')
    t:is(select(2, pcall(settings.set, settings, data, 'level', 'mid')),
        '[shop] level: Got mid, but only the following values are allowed: low, high', 'to what is right')
    t:is_deeply(settings:apply_default({level = 'low'}), {level = 'low', name = 'mine'}, 'defaults')
    t:is_deeply(
        settings:merge({prices = {a = 1, b = 2}, tags = {'new'}, either = false},
            {prices = {b = 3}, tags = {'old'}}),
        {prices = {a = 1, b = 3}, tags = {'old'}, either = false}, 'merge')
    t:is_deeply(settings:map({name = 'x', either = 'y'}, function(value, w, suffix)
        return type(value) == 'string' and w.schema.type == 'string' and value .. suffix or value
    end, '!'), {name = 'x!', either = 'y!'}, 'map')
end)

test:test('nodes are found', function(t)
    t:plan(3)
    local found = settings:filter({name = 'x', level = 'low'}, function(w)
        return w.schema.allowed_values ~= nil
    end):totable()
    t:is_deeply({#found, found[1].path, found[1].data}, {1, {'level'}, 'low'}, 'filter')
    local count = 0
    for _, w in settings:pairs() do
        count = count + (w.schema.computed.annotations.service == 'shop' and 1 or 0)
    end
    t:is(count, 10, 'pairs, and annotations are inherited')
    local shown = settings:jsonschema()
    t:is_deeply({shown.type, shown.properties.tags.uniqueItems, shown.properties.size.type},
        {'object', true, {'integer', 'string'}}, 'JSON Schema')
end)

test:test('variables are decoded', function(t)
    local fields = settings.schema.fields
    local cases = {
        {'name', 'x', 'x'}, {'size', '1 MiB', 1048576}, {'either', 'TRUE', true}, {'either', 'x', 'x'},
        {'prices', 'a=1,b=2.5', {a = 1, b = 2.5}}, {'prices', '{"a": 1}', {a = 1}},
        {'tags', 'new,old', {'new', 'old'}}, {'list', '[{"id": 1}]', {{id = 1}}}, {'name', '', nil},
    }
    t:plan(#cases + 2)
    for _, case in ipairs(cases) do
        t:is_deeply(schema.fromenv('VAR', case[2], fields[case[1]]), case[3], case[2])
    end
    t:is(select(2, pcall(schema.fromenv, 'VAR', '5.5', fields.odd)),
        'Unable to decode an integer value from environment variable "VAR", got "5.5"', 'not whole')
    t:is(select(2, pcall(schema.fromenv, 'VAR', 'a', fields.prices)),
        'Unable to decode data in environment variable "VAR" assuming the simple "foo=bar,baz=fiz" '
        .. 'object format: no "=" is found in a key-value pair. Use either the simple '
        .. '"foo=bar,baz=fiz" object format or the JSON object format (starts from "{").', 'no pair')
end)

test:test('wrong schemas are refused', function(t)
    t:plan(2)
    local text = schema.scalar({type = 'string'})
    t:is(select(2, pcall(schema.new, 's', schema.scalar({type = 'string', byte_size = true}))),
        '[s] "byte_size" requires an integer scalar, got string', 'a unit')
    t:is(select(2, pcall(schema.new, 's', schema.union({variants = {text, text}}))),
        '[s] A union without a discriminator requires variants with distinct data types', 'a union')
end)

os.exit(test:check() and 0 or 1)
