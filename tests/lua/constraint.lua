-- Constraints of fields and tuples, foreign keys, and defaults that functions compute.
local tap = require('tap')

box.cfg{}

local test = tap.test('constraint')
test:plan(8)

local function fails(case, message, run, ...)
    local is_done, err = pcall(run, ...)
    case:is(not is_done and tostring(err), message, message)
end

local function make(name, body, options)
    options = options or {}
    options.body = body
    options.is_deterministic = options.is_deterministic ~= false
    box.schema.func.create(name, options)
end

make('positive', 'function(value, name) return value > 0 and name == "positive" end')
make('ordered', 'function(tuple) return tuple.low <= tuple.high end', {is_sandboxed = true})
make('broken', 'function() error("oops") end')
make('vague', 'function() return 1 end')
make('random', 'function() return true end', {is_deterministic = false})
box.schema.func.create('global')

test:test('fields', function(case)
    case:plan(9)
    local space = box.schema.space.create('s', {format = {
        {'id', 'unsigned'},
        {name = 'value', type = 'integer', is_nullable = true, constraint = 'positive'},
        {name = 'other', type = 'any', is_nullable = true, constraint = {b = 'broken'}},
        {name = 'last', type = 'any', is_nullable = true, constraint = {v = 'vague'}},
    }})
    space:create_index('pk')
    case:is_deeply(space:insert({1, 5}):totable(), {1, 5}, 'what passes is stored')
    local message = "Check constraint 'positive' failed for field '2 (value)'"
    fails(case, message, space.insert, space, {2, -5})
    fails(case, message, space.update, space, 1, {{'-', 'value', 10}})
    fails(case, message, space.upsert, space, {3, 0}, {})
    case:is(space:len(), 1, 'what fails is not')
    case:ok(pcall(space.insert, space, {4, box.NULL}), 'nil is not asked for')
    fails(case, "Check constraint 'b' failed for field '3 (other)'", space.insert, space, {5, 1, 1})
    fails(case, "Check constraint 'v' failed for field '4 (last)'", space.insert, space,
        {5, 1, box.NULL, 1})
    local _, err = pcall(space.insert, space, {2, -5})
    case:is_deeply({err.code, err.constraint, err.field_id},
        {box.error.FIELD_CONSTRAINT_FAILED, 'positive', 1}, 'the error tells which')
    space:drop()
end)

test:test('tuples', function(case)
    case:plan(6)
    local space = box.schema.space.create('s', {
        constraint = 'ordered',
        format = {{'id', 'unsigned'}, {'low', 'integer'}, {'high', 'integer'}},
    })
    space:create_index('pk')
    local id = box.func.ordered.id
    case:is_deeply(space.constraint, {ordered = id}, 'the space shows it')
    case:ok(pcall(space.replace, space, {1, 2, 3}), 'a tuple may be right')
    fails(case, "Check constraint 'ordered' failed for a tuple", space.replace, space, {1, 4, 3})
    fails(case, ("Can't drop function %d: function is referenced by constraint"):format(id),
        box.schema.func.drop, 'ordered')
    space:alter({constraint = {}})
    case:ok(pcall(space.replace, space, {1, 4, 3}), 'without it all are')
    fails(case, "Check constraint 'again' failed for a tuple", space.alter, space,
        {constraint = {again = 'ordered'}})
    space:drop()
end)

test:test('definitions', function(case)
    case:plan(4)
    local function with(constraint)
        return pcall(box.schema.space.create, 's', {
            format = {{name = 'id', type = 'unsigned', constraint = constraint}},
        })
    end
    local function refuses(message, constraint)
        local is_done, err = with(constraint)
        case:is(not is_done and tostring(err), message, message)
    end
    refuses("Failed to create constraint 'global' in space 's': " ..
        "constraint lua function 'global' must have persistent body", 'global')
    refuses("Failed to create constraint 'c' in space 's': " ..
        "constraint function 'random' must be deterministic", {c = 'random'})
    fails(case, "Failed to create constraint 'c' in space 's': " ..
        "constraint function '9999' was not found by ID", box.space._space.insert, box.space._space,
        {900, 1, 's', 'memtx', 0, {constraint = {c = 9999}}, {}})
    case:isnil(box.space.s, 'no space is left behind')
end)

test:test('foreign keys of fields', function(case)
    case:plan(14)
    local country = box.schema.space.create('country', {
        format = {{'id', 'unsigned'}, {'code', 'string'}},
    })
    country:create_index('pk')
    country:create_index('code', {parts = {'code'}})
    local city = box.schema.space.create('city', {format = {
        {'id', 'unsigned'},
        {name = 'country', type = 'string', is_nullable = true,
         foreign_key = {home = {space = 'country', field = 'code'}}},
    }})
    city:create_index('pk')
    country:insert({1, 'de'})
    country:insert({2, 'fr'})
    case:ok(pcall(city.insert, city, {1, 'de'}), 'what refers to something is stored')
    case:ok(pcall(city.insert, city, {2}), 'and what refers to nothing')
    fails(case, "Foreign key constraint 'home' failed for field '2 (country)': " ..
        "foreign tuple was not found", city.insert, city, {3, 'xx'})
    local missing = "Foreign key 'home' integrity check failed: index was not found"
    fails(case, missing, country.delete, country, 1)
    city:create_index('country', {parts = {{'country', is_nullable = true}}, unique = false})
    local message = "Foreign key 'home' integrity check failed: tuple is referenced"
    fails(case, message, country.delete, country, 1)
    fails(case, message, country.replace, country, {1, 'it'})
    fails(case, message, country.update, country, 1, {{'=', 2, 'it'}})
    case:ok(pcall(country.replace, country, {1, 'de', 'more'}), 'the rest may change')
    case:is(country:delete(2)[2], 'fr', 'what nothing refers to may go')
    local referenced = "Can't modify space 'country': space is referenced by foreign key"
    fails(case, referenced, country.truncate, country)
    fails(case, referenced, country.drop, country)
    city:truncate()
    case:ok(pcall(country.truncate, country), 'after the other a space may be emptied')
    city:drop()
    case:ok(pcall(country.drop, country), 'and dropped')
    local field = {name = 'id', type = 'unsigned', foreign_key = {f = {space = 901, field = 0}}}
    local options = setmetatable({}, {__serialize = 'map'})
    local is_done, err = pcall(box.space._space.insert, box.space._space,
        {900, 1, 's', 'memtx', 0, options, {field}})
    case:is(not is_done and tostring(err), "Failed to create foreign key 'f' in space 's': " ..
        "foreign space '901' was not found by id", 'it must refer to a space')
end)

test:test('foreign keys of tuples', function(case)
    case:plan(8)
    local parent = box.schema.space.create('parent', {
        format = {{'a', 'unsigned'}, {'b', 'string'}},
    })
    parent:create_index('pk', {parts = {'b', 'a'}})
    local child = box.schema.space.create('child', {
        format = {{'id', 'unsigned'}, {name = 'x', type = 'unsigned', is_nullable = true},
                  {name = 'y', type = 'string', is_nullable = true}},
        foreign_key = {link = {space = 'parent', field = {x = 'a', [3] = 'b'}}},
    })
    child:create_index('pk')
    child:create_index('link', {unique = false,
        parts = {{'x', is_nullable = true}, {'y', is_nullable = true}}})
    case:is_deeply(child.foreign_key, {link = {space = parent.id, field = {x = 'a', [3] = 'b'}}},
        'the space shows it')
    parent:insert({1, 'one'})
    case:ok(pcall(child.insert, child, {1, 1, 'one'}), 'both fields refer to a tuple')
    case:ok(pcall(child.insert, child, {2}), 'none does')
    fails(case, "Foreign key constraint 'link' failed: foreign tuple was not found",
        child.insert, child, {3, 1, 'two'})
    fails(case, "Foreign key constraint 'link' failed: wrong key type",
        child.insert, child, {3, 1, box.NULL})
    fails(case, "Foreign key 'link' integrity check failed: tuple is referenced",
        parent.delete, parent, {'one', 1})
    child:delete(1)
    case:ok(pcall(parent.delete, parent, {'one', 1}), 'it may go after what referred to it')
    child:drop()
    parent:drop()
    local tree = box.schema.space.create('tree', {format = {
        {'id', 'unsigned'},
        {name = 'above', type = 'unsigned', is_nullable = true, foreign_key = {field = 'id'}},
    }})
    tree:create_index('pk')
    tree:create_index('above', {unique = false, parts = {{'above', is_nullable = true}}})
    tree:insert({1})
    tree:insert({2, 1})
    fails(case, "Foreign key 'tree' integrity check failed: tuple is referenced",
        tree.delete, tree, 1)
    tree:drop()
end)

test:test('data that is there', function(case)
    case:plan(3)
    local space = box.schema.space.create('s')
    space:create_index('pk')
    space:insert({1, -1})
    local function format(constraint)
        space:format({{'id', 'unsigned'},
            {name = 'value', type = 'integer', constraint = constraint}})
    end
    fails(case, "Check constraint 'positive' failed for field '2 (value)'", format, 'positive')
    space:replace({1, 1})
    format('positive')
    case:is(space:format()[2].constraint.positive, box.func.positive.id, 'the format has it')
    fails(case, "Check constraint 'positive' failed for field '2 (value)'", space.replace, space,
        {1, -1})
    space:drop()
end)

test:test('triggers', function(case)
    case:plan(2)
    local space = box.schema.space.create('s', {format = {
        {'id', 'unsigned'}, {name = 'value', type = 'integer', constraint = 'positive'},
    }})
    space:create_index('pk')
    space:before_replace(function(_, new) return new:update({{'-', 2, 100}}) end)
    fails(case, "Check constraint 'positive' failed for field '2 (value)'", space.replace, space,
        {1, 1})
    case:ok(pcall(space.replace, space, {1, 101}), 'what a trigger makes is checked')
    space:drop()
end)

test:test('defaults', function(case)
    case:plan(11)
    make('count', 'function(value, tuple) return (value or 0) + #tuple end')
    make('nothing', 'function() end')
    local function create(...)
        return box.schema.space.create('s', {format = {
            {'id', 'unsigned'},
            {name = 'size', type = 'unsigned', default = 100, default_func = 'count'},
            {name = 'plain', type = 'unsigned', default = 5},
            ...,
        }})
    end
    local space = create()
    space:create_index('pk')
    case:is_deeply(space:insert({1}):totable(), {1, 101, 5}, 'of a literal and the tuple')
    case:is_deeply(space:replace({1, box.NULL, 6}):totable(), {1, 103, 6}, 'in place of nil')
    case:is_deeply(space:replace({1, 2}):totable(), {1, 2, 5}, 'not in place of a value')
    space:upsert({2}, {})
    case:is_deeply(space:get(2):totable(), {2, 101, 5}, 'an upsert has them too')
    box.begin()
    for number = 3, 300 do
        space:replace({number})
    end
    box.commit()
    case:is(space:get(300).size, 101, 'compiled code has them as well')
    local id = box.func.count.id
    fails(case, ("Can't drop function %d: function is referenced by field default value")
        :format(id), box.schema.func.drop, 'count')
    space:drop()
    case:ok(pcall(box.schema.func.drop, 'count'), 'until the space is gone')
    make('count', 'function() error("oops", 0) end')
    space = create({name = 'last', type = 'any', is_nullable = true, default_func = 'nothing'})
    space:create_index('pk')
    fails(case, "Error calling field default function 'count': oops", space.insert, space, {1})
    fails(case, "Error calling field default function 'nothing': expected 1 return value, got 0",
        space.insert, space, {1, 1})
    case:ok(pcall(space.insert, space, {1, 1, 1, 1}), 'they are called only when needed')
    space:drop()
    fails(case, "Failed to create field default function 'global': " ..
        "Lua function must have persistent body", create, {name = 'g', default_func = 'global'})
end)

os.exit(test:check() and 0 or 1)
