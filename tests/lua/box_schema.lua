-- Definitions through box.schema: arguments, defaults, messages, and the objects that follow.
local tap = require('tap')

box.cfg{}

local test = tap.test('box_schema')
test:plan(7)

local function fails(case, message, run, ...)
    local is_done, err = pcall(run, ...)
    case:is(not is_done and tostring(err), message, message)
end

test:test('names of fields belong to the space, not to the moment a tuple was made', function(case)
    case:plan(9)
    local space = box.schema.space.create('named', {format = {{'id', 'unsigned'}, {'a', 'string'}}})
    local other = box.schema.space.create('other', {format = {{'id', 'unsigned'}, {'a', 'string'}}})
    space:create_index('primary')
    other:create_index('primary')
    local tuple = space:insert({1, 'x', 5})
    local same = other:insert({1, 'x', 5})
    case:is(tuple.a, 'x', 'a name of the first format')
    space:format({{'id', 'unsigned'}, {'b', 'string'}, {'c', 'unsigned'}})
    case:is(tuple.b, 'x', 'a tuple from before has the new names')
    case:is(space:get(1).c, 5, 'also of fields that had none')
    case:is(tuple.a, nil, 'and no more the old ones')
    case:is_deeply(tuple:tomap({names_only = true}), {id = 1, b = 'x', c = 5}, 'tomap shows them')
    case:is(tuple:update({{'=', 'c', 6}})[3], 6, 'update knows them')
    case:is(same.a, 'x', 'another space with the first format keeps its names')
    box.begin()
    space:format({{'id', 'unsigned'}, {'d', 'string'}})
    case:is(tuple.d, 'x', 'inside the transaction that renames')
    box.rollback()
    case:is(tuple.b, 'x', 'a rename that was rolled back never was')
    space:drop()
    other:drop()
end)

test:test('spaces', function(case)
    case:plan(23)
    local create = box.schema.space.create
    local space, state = create('spaces', {format = {{'id', 'unsigned'}, {name = 'name'}, 'rest'}})
    case:is(state, 'created', 'a space is created')
    case:is(space, box.space.spaces, 'it is in box.space by name')
    case:is(space, box.space[space.id], 'and by id')
    case:is(space.enabled, false, 'without an index it is not enabled')
    case:is(space.engine, 'memtx', 'the engine has a default')
    case:is_deeply(space:format(), {
        {name = 'id', type = 'unsigned'}, {name = 'name', type = 'any'},
        {name = 'rest', type = 'any'},
    }, 'the format is complete')
    case:is(select(2, create('spaces', {if_not_exists = true})), 'not created', 'if_not_exists')
    fails(case, "Space 'spaces' already exists", create, 'spaces')
    fails(case, 'name should be a string', create, 5)
    fails(case, "unexpected option 'colour'", create, 'x', {colour = 'red'})
    fails(case, "options parameter 'engine' should be of type string", create, 'x', {engine = 1})
    fails(case, "only one of 'type' or 'temporary' may be specified", create, 'x',
        {type = 'normal', temporary = true})
    fails(case, "unknown space type, must be one of: 'normal', 'data-temporary', 'temporary'.",
        create, 'x', {type = 'odd'})
    fails(case, "User 'nobody' is not found", create, 'x', {user = 'nobody'})
    fails(case, 'format[1]: name (string) is expected', create, 'x', {format = {{}}})
    fails(case, 'Use space:drop(...) instead of space.drop(...)', space.drop)

    space:rename('renamed')
    case:is(box.space.renamed, space, 'a renamed space stays the same object')
    case:isnil(box.space.spaces, 'its old name is gone')
    space:alter({name = 'altered', field_count = 3})
    case:is_deeply({space.name, space.field_count}, {'altered', 3}, 'alter changes both')
    case:is(create('kept', {temporary = true}).type, 'data-temporary', 'a temporary space')
    box.space.kept:drop()

    box.begin()
    space:drop()
    case:isnil(box.space.altered, 'a dropped space is gone')
    box.rollback()
    case:is(box.space.altered, space, 'and is back, the same, after a rollback')
    space:drop()
    fails(case, "Space 'altered' does not exist", space.drop, space)
end)

test:test('indexes', function(case)
    case:plan(28)
    local space = box.schema.space.create('indexes', {
        format = {{'id', 'unsigned'}, {'name', 'string', is_nullable = true}, {'map', 'map'}},
    })
    local primary = space:create_index('primary')
    case:is(space.enabled, true, 'a primary key enables the space')
    case:is(primary.parts[1].type, 'unsigned', 'the default part is field 1')
    fails(case, 'Supplied key type of part 0 does not match index part type: expected unsigned',
        primary.pairs, primary, {'x'})
    -- What could not begin has nothing to free.
    collectgarbage()
    local function parts_of(parts)
        local index = space:create_index('probe', {parts = parts, unique = false})
        local part = index.parts[#index.parts]
        index:drop()
        return {part.fieldno, part.type, part.is_nullable, part.collation, part.path}
    end
    local by_name = {2, 'string', true}
    case:is_deeply(parts_of({2, 'string'}), {2, 'string', true}, 'number and type')
    case:is_deeply(parts_of({1, 'unsigned', 2, 'string'}), by_name, 'numbers and types')
    case:is_deeply(parts_of({'name'}), by_name, 'name')
    case:is_deeply(parts_of({{'name'}}), by_name, 'name in a table')
    case:is_deeply(parts_of({{field = 2}}), by_name, 'field')
    case:is_deeply(parts_of({{2, 'string', is_nullable = false}}), {2, 'string', false},
        'is_nullable')
    case:is_deeply(parts_of({{2, collation = 'unicode_ci'}}), {2, 'string', true, 'unicode_ci'},
        'collation')
    case:is_deeply(parts_of({{'map.a.b', 'string'}}), {3, 'string', false, nil, '.a.b'}, 'path')
    case:is_deeply(parts_of({{'[3].a', 'string'}}), {3, 'string', false, nil, '.a'},
        'path by number')
    case:is_deeply(parts_of({{1, 'UINT'}}), {1, 'unsigned', false}, 'an old name of a type')

    local function refused(message, options)
        fails(case, message, space.create_index, space, 'refused', options)
    end
    refused('options.parts must have at least one part', {parts = {}})
    refused("options.parts[1]: field was not found by name 'nothing'", {parts = {'nothing'}})
    refused("options.parts[1]: collation was not found by name 'nothing'",
        {parts = {{'name', collation = 'nothing'}}})
    refused('options.parts[1]: type (string) is expected', {parts = {{1, 5}}})
    refused('options.parts[1]: exclude_null=true and is_nullable=false are incompatible',
        {parts = {{2, is_nullable = false, exclude_null = true}}})
    refused('options.parts: expected field_no (number), type (string) pairs',
        {parts = {1, 'unsigned', 2}})
    refused("unexpected option 'colour'", {colour = 'red'})
    fails(case, "Index 'primary' already exists", space.create_index, space, 'primary')
    fails(case, "Use index:alter(...) instead of index.alter(...)", primary.alter)

    local secondary = space:create_index('secondary', {parts = {'name'}, unique = false})
    case:is(secondary.id, 1, 'ids go up')
    secondary:rename('other')
    case:is(space.index.other, secondary, 'a renamed index stays the same object')
    case:isnil(space.index.secondary, 'its old name is gone')
    secondary:alter({parts = {{'name', collation = 'unicode'}}})
    case:is(secondary.parts[1].collation, 'unicode', 'alter changes parts')
    secondary:drop()
    case:isnil(space.index[1], 'a dropped index is gone')
    fails(case, "Can't drop primary key in space 'indexes' while secondary keys exist", function()
        space:create_index('again', {parts = {'name'}, unique = false})
        primary:drop()
    end)
    space:drop()
end)

test:test('sequences', function(case)
    case:plan(18)
    local sequence = box.schema.sequence.create('counter', {start = 10, step = 2})
    case:is_deeply({sequence:next(), sequence:next()}, {10, 12}, 'next')
    case:is(sequence:current(), 12, 'current')
    sequence:set(100)
    case:is(sequence:next(), 102, 'set')
    sequence:reset()
    case:is(sequence:next(), 10, 'reset')
    sequence:alter({step = 5, name = 'renamed'})
    case:is(box.sequence.renamed, sequence, 'an altered sequence stays the same object')
    case:is(sequence:next(), 15, 'with its value')
    local down = box.schema.sequence.create('down', {step = -1})
    case:is_deeply({down.start, down.max}, {-1, -1}, 'defaults of a descending one')
    fails(case, "Sequence 'down' already exists", box.schema.sequence.create, 'down')
    fails(case, "Sequence 'nothing' does not exist", box.schema.sequence.drop, 'nothing')

    local space = box.schema.space.create('numbered')
    local primary = space:create_index('primary', {sequence = true})
    case:is(primary.sequence_id, box.sequence.numbered_seq.id, 'a generated sequence')
    case:is(space:insert({box.NULL, 'a'})[1], 1, 'fills the key')
    fails(case, "Can't modify space 'numbered': can not attach generated sequence",
        primary.alter, primary, {sequence = 'numbered_seq'})
    primary:alter({sequence = 'renamed'})
    case:isnil(box.sequence.numbered_seq, 'and is dropped for another')
    case:is(space:insert({box.NULL, 'a'})[1], 20, 'which goes on')
    fails(case, "Can't create or modify index 'second' in space 'numbered': sequence cannot be " ..
        'used with a secondary key', space.create_index, space, 'second', {sequence = true})
    space:drop()
    space = box.schema.space.create('altered')
    primary = space:create_index('primary', {sequence = true})
    primary:alter({parts = {{1, 'string'}}, sequence = false})
    case:is(space:insert({'x'})[1], 'x', 'it leaves a key that gets another type')
    space:truncate()
    primary:alter({parts = {{2, 'unsigned'}, {1, 'string'}}, sequence = {field = 2}})
    case:is(space:insert({'y', box.NULL})[2], 1, 'and comes with one')
    space:drop()
    case:isnt(box.sequence.renamed, nil, 'a sequence of a user outlives the space')
    sequence:drop()
    down:drop()
end)

test:test('users and roles', function(case)
    case:plan(22)
    local user, role = box.schema.user, box.schema.role
    user.create('bob', {password = 'secret'})
    case:is(user.exists('bob'), true, 'a user is created')
    case:is(user.password('x'), 'tpAn1E9uXtwH8a6tFHeWexbygic=', 'chap-sha1 of a password')
    fails(case, "User 'bob' already exists", user.create, 'bob')
    case:is_deeply(user.info('bob'), {
        {'execute', 'role', 'public'}, {'session,usage', 'universe', ''}, {'alter', 'user', 'bob'},
    }, 'what a new user may do')
    user.grant('bob', 'read,write', 'universe')
    fails(case, "User 'bob' already has read,write access on universe", user.grant, 'bob',
        'read,write', 'universe')
    user.grant('bob', 'read', 'universe', nil, {if_not_exists = true})
    fails(case, "Unsupported universe privilege 'fly'", user.grant, 'bob', 'fly', 'universe')
    fails(case, "Unsupported space privilege 'execute'", user.grant, 'bob', 'execute', 'space')
    fails(case, "Unknown object type 'moon'", user.grant, 'bob', 'read', 'moon', 'x')
    fails(case, "Space 'nothing' does not exist", user.grant, 'bob', 'read', 'space', 'nothing')
    fails(case, "User 'nobody' is not found", user.grant, 'nobody', 'read', 'universe')
    user.revoke('bob', 'write', 'universe')
    fails(case, "User 'bob' does not have write access on universe ''", user.revoke, 'bob',
        'write', 'universe')
    role.create('reader')
    case:is(role.exists('reader'), true, 'a role is created')
    fails(case, "Role 'reader' already exists", role.create, 'reader')
    fails(case, 'Incorrect grant arguments: system privilege can not be granted to role',
        role.grant, 'reader', 'session', 'universe')
    user.grant('bob', 'reader')
    fails(case, "User 'bob' already has role 'reader'", user.grant, 'bob', 'reader')
    role.drop('reader')
    case:is(role.exists('reader'), false, 'a role that was granted is dropped')

    -- The configuration and a user may both have made it.
    user.create('bob', {_origin = 'config'})
    user.grant('bob', 'create', 'universe', nil, {_origin = 'config'})
    user.drop('bob')
    case:is(user.exists('bob', {_origin = 'config'}), true, 'it stays for its other origin')
    case:is(user.exists('bob', {_origin = ''}), false, 'and is gone for this one')
    user.drop('bob', {_origin = 'config'})
    case:is(user.exists('bob'), false, 'and goes with the last')
    user.drop('bob', {if_exists = true})
    fails(case, "User 'bob' is not found", user.drop, 'bob')
    fails(case, "Failed to drop user or role 'admin': the user or the role is a system",
        user.drop, 'admin')
    fails(case, "Failed to drop user or role 'super': the user or the role is a system",
        role.drop, 'super')
end)

test:test('functions', function(case)
    case:plan(14)
    local func = box.schema.func
    func.create('add', {body = 'function(a, b) return a + b end', is_deterministic = true})
    case:is(box.func.add.language, 'LUA', 'a function is in box.func')
    case:is(box.func.add:call({1, 2}), 3, 'it is called as a method')
    case:is(func.call('add', 2, 3), 5, 'and by name')
    case:is(func.exists('add'), true, 'exists')
    fails(case, "Function 'add' already exists", func.create, 'add')
    fails(case, 'Usage: func:call(table)', box.func.add.call, box.func.add, 5)
    fails(case, "Failed to dynamically load function 'bad': given body doesn't define a function",
        func.create, 'bad', {body = '5'})
    func.create('closed', {body = 'function() return box end', is_sandboxed = true})
    case:isnil(func.call('closed'), 'a sandboxed function sees no database')
    rawset(_G, 'globals', {twice = function(x) return x * 2 end})
    func.create('globals.twice')
    case:is(func.call('globals.twice', 4), 8, 'a function without a body is a global one')
    func.create('globals.nothing')
    fails(case, "Procedure 'globals.nothing' is not defined", func.call, 'globals.nothing')
    fails(case, "Function 'nothing' does not exist", func.call, 'nothing')
    for _, name in ipairs({'add', 'closed', 'globals.twice', 'globals.nothing'}) do
        func.drop(name)
    end
    case:isnil(box.func.add, 'a dropped function is gone')
    fails(case, "Function 'add' does not exist", func.drop, 'add')
    func.create('whoami', {body = 'function() return box.session.effective_user() end',
        setuid = true})
    box.schema.user.grant('guest', 'execute', 'function', 'whoami')
    case:is(box.session.su('guest', func.call, 'whoami'), 'admin', 'setuid runs as the owner')
    func.drop('whoami')
end)

test:test('rows by name', function(case)
    case:plan(6)
    local space = box.schema.space.create('named', {format = {{'id', 'unsigned'}, {'name', 'string'}}})
    space:create_index('primary')
    case:is_deeply(space:frommap({name = 'x', id = 1}):totable(), {1, 'x'}, 'a tuple')
    case:is_deeply(space:frommap({name = 'x', id = 1}, {table = true}), {1, 'x'}, 'a table')
    case:is(select(2, space:frommap({id = 1, other = 2})), "Unknown field 'other'",
        'an unknown field')
    case:is((space:frommap({id = 'x', name = 'x'})), nil, 'a field of a wrong type')
    case:is(space:auto_increment({'a'})[1], 1, 'auto_increment starts at 1')
    space:truncate()
    case:is(space:len(), 0, 'truncate')
    space:drop()
end)

os.exit(test:check() and 0 or 1)
