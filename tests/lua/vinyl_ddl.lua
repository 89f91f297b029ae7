-- DDL on disk: inside transactions, and by many fibers at once.
local fiber = require('fiber')
local fio = require('fio')
local json = require('json')
local tap = require('tap')

box.cfg{log_level = 2, vinyl_cache = 10000}
local test = tap.test('vinyl_ddl')
test:plan(23)

-- What was not made in the end leaves no files behind.
local function tree_count()
    return #fio.listdir(fio.pathjoin(box.cfg.vinyl_dir, 'vinyl', 'keyspaces'))
end
local filled = box.schema.space.create('filled', {engine = 'vinyl'})
filled:create_index('primary')
filled:insert({1, 10})
filled:insert({2, 10})
box.snapshot()
local count = tree_count()
test:is(pcall(filled.create_index, filled, 'value', {parts = {2, 'unsigned'}}), false,
    'a unique index over equal keys is refused')
-- Its tree goes by and by.
while tree_count() ~= count do
    fiber.sleep(0.001)
end
test:ok(count > 0, 'and its files are deleted')
filled:drop()

-- In a transaction: what is empty is made and altered at once.
box.begin()
local made = box.schema.space.create('made', {engine = 'vinyl'})
made:create_index('primary')
made:create_index('value', {parts = {2, 'unsigned'}, unique = false})
test:ok(pcall(box.commit), 'a space on disk and its indexes are made in one transaction')
test:ok(pcall(box.atomic, made.insert, made, {1, 10}), 'and take rows')
test:is(made.index.value:count(10), 1, 'in each index')

box.begin()
made:truncate()
box.rollback()
test:is(made:count(), 1, 'a truncation is rolled back')
box.begin()
made:truncate()
made:format({{'id', 'unsigned'}, {'value', 'unsigned'}})
made:create_index('both', {parts = {{2, 'unsigned'}, {1, 'unsigned'}}})
test:ok(pcall(box.commit), 'what a transaction has emptied it alters')
test:is(made:count(), 0, 'and leaves empty')
made:insert({2, 20})
test:is_deeply(made.index.both:select({}, {limit = 1})[1]:totable(), {2, 20}, 'with the new index')

box.begin()
box.schema.space.create('other', {engine = 'vinyl'})
local ok, err = pcall(made.create_index, made, 'late', {parts = {2, 'unsigned'}})
test:ok(not ok, 'an index of rows is not built in the middle of a transaction')
test:is(tostring(err), 'Can not perform index build in a multi-statement transaction', 'and why')
ok, err = pcall(made.format, made, {{'id', 'unsigned'}, {'value', 'unsigned'}, {'more', 'string'}})
test:ok(not ok, 'nor are rows checked')
test:is(tostring(err), 'Can not perform space format check in a multi-statement transaction',
    'and why')
box.rollback()
test:is(box.space.other, nil, 'it is rolled back as a whole')

box.begin()
made:drop()
box.rollback()
test:is_deeply(made:get(2):totable(), {2, 20}, 'a drop is rolled back')

made:drop()

-- Many at once. Each fiber does one thing after the other, and whatever it meets is an error that says why.
local allowed = {
    [box.error.TRANSACTION_CONFLICT] = true,
    [box.error.SPACE_EXISTS] = true,
    [box.error.NO_SUCH_SPACE] = true,
    [box.error.NO_SUCH_INDEX_ID] = true,
    [box.error.NO_SUCH_INDEX_NAME] = true,
    [box.error.INDEX_EXISTS] = true,
    [box.error.TUPLE_FOUND] = true,
}
local unexpected = {}
local function try(what, ...)
    local done, problem = pcall(...)
    if done then
        return true
    end
    local text = tostring(problem)
    local code = type(problem) ~= 'string' and problem.code
    if not allowed[code] and not text:find('the space is already being modified') then
        table.insert(unexpected, what .. ': ' .. text)
    end
    return false
end
local function doze()
    if math.random(3) == 1 then
        fiber.sleep(math.random() / 1000)
    else
        fiber.yield()
    end
end

local definitions = {
    a = {parts = {{2, 'unsigned'}}, unique = false},
    b = {parts = {{3, 'string'}, {1, 'unsigned'}}},
}

local function change_index(space)
    local name = math.random(2) == 1 and 'a' or 'b'
    local index = space.index[name]
    if index == nil then
        try('create_index', space.create_index, space, name, definitions[name])
    elseif math.random(2) == 1 then
        try('drop', index.drop, index)
    elseif name == 'a' then
        try('alter', index.alter, index, {parts = {{2, 'integer'}}})
    end
end

local function change_rows(space)
    local id = math.random(300)
    if math.random(3) == 1 then
        try('delete', space.delete, space, id)
    else
        try('replace', space.replace, space, {id, math.random(50), 'text' .. id})
    end
end

local remade = 0
local function remake(engine, number)
    local name = ('remade_%s_%d'):format(engine, number)
    local space = box.schema.space.create(name, {engine = engine})
    space:create_index('primary')
    space:create_index('a', definitions.a)
    space:insert({1, 1, 'one'})
    if math.random(2) == 1 then
        space:truncate()
    end
    space:drop()
    remade = remade + 1
end

-- What is made of an empty space is made at once: who sees the row of an index sees the index.
local function observe()
    for _, row in box.space._index:pairs({512}, {iterator = 'GE'}) do
        local space = box.space[row[1]]
        local is_empty = space == nil or space.name:find('^remade') ~= nil
        if is_empty and (space == nil or space.index[row[2]] == nil) then
            table.insert(unexpected, 'there is no index ' .. tostring(row))
        end
    end
end

-- No rows change here, and only 'b' is altered: each walk over 'a' is complete.
local function still(engine)
    local space = box.schema.space.create('still_' .. engine, {engine = engine})
    space:create_index('primary')
    space:create_index('a', definitions.a)
    box.begin()
    for id = 1, 400 do
        space:replace({id, id % 7, 'text' .. id})
    end
    box.commit()
    return space
end

for _, engine in ipairs({'vinyl', 'memtx'}) do
    local space = box.schema.space.create('altered_' .. engine, {engine = engine})
    space:create_index('primary')
    local quiet = still(engine)
    local is_done, fibers, walks = false, {}, 0
    local function run(step, ...)
        local arguments = {...}
        local one = fiber.new(function()
            while not is_done do
                step(unpack(arguments))
                doze()
            end
        end)
        one:set_joinable(true)
        table.insert(fibers, one)
    end
    for number = 1, 3 do
        run(function() try('remake', remake, engine, number) end)
        run(change_index, space)
        run(change_rows, space)
        run(change_rows, space)
    end
    run(observe)
    run(function() try('truncate', space.truncate, space) end)
    run(function()
        local index = quiet.index.b
        if index == nil then
            try('create_index', quiet.create_index, quiet, 'b', definitions.b)
        else
            try('drop', index.drop, index)
        end
    end)
    run(function()
        local seen = 0
        for _ in quiet.index.a:pairs() do
            seen = seen + 1
            if seen % 100 == 0 then
                doze()
            end
        end
        if seen ~= 400 or quiet.index.a:count() ~= 400 or #quiet.index.a:select() ~= 400 then
            table.insert(unexpected, 'a walk has seen ' .. seen)
        end
        walks = walks + 1
    end)
    -- LYCOSA_STRESS_SECONDS makes it go on for longer.
    local deadline = fiber.clock() + tonumber(os.getenv('LYCOSA_STRESS_SECONDS') or 0)
    while fiber.clock() < deadline or walks < 20 or remade < 20 do
        fiber.sleep(0.01)
    end
    is_done = true
    for _, one in ipairs(fibers) do
        local done, problem = one:join()
        if not done then
            table.insert(unexpected, tostring(problem))
        end
    end
    test:is_deeply(unexpected, {}, engine .. ': nothing fails without a reason')
    test:ok(remade >= 20 and walks >= 20, engine .. ': all take their turn')
    local expected, count = {}, 0
    for _, row in space:pairs() do
        expected[row[1]], count = json.encode(row), count + 1
    end
    local differing = {}
    for _, index in pairs(space.index) do
        local seen = 0
        for _, row in index:pairs() do
            seen = seen + (expected[row[1]] == json.encode(row) and 1 or 0)
        end
        if seen ~= count then
            table.insert(differing, index.name)
        end
    end
    test:is_deeply(differing, {}, engine .. ': the indexes agree')
    space:drop()
    quiet:drop()
    test:is(box.space['altered_' .. engine], nil, engine .. ': and go')
    remade = 0
end

os.exit(test:check() and 0 or 1)
