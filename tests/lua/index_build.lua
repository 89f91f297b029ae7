-- Building indexes and checking formats of large spaces while others write to them.
local fiber = require('fiber')
local tap = require('tap')

-- Without a log no write waits, so that many come between two steps of a build.
box.cfg{wal_mode = 'none'}

local test = tap.test('index_build')
test:plan(8)

local COUNT = 30000
math.randomseed(1)

local function filled(name, kind, row)
    local space = box.schema.space.create(name)
    space:create_index('primary', {type = kind})
    box.begin()
    for id = 1, COUNT do
        space:replace(row(id))
    end
    box.commit()
    return space
end

-- Runs `run` in a fiber of its own and `meanwhile` each time it yields; returns what `run` does
-- and how often it yielded.
local function interleave(run, meanwhile)
    local worker = fiber.new(run)
    worker:set_joinable(true)
    local turns = 0
    fiber.yield()
    while worker:status() ~= 'dead' do
        meanwhile(turns)
        turns = turns + 1
        fiber.sleep(0)
    end
    local ok, result = worker:join()
    return ok, result, turns
end

-- Changes at random; half of what is written in transactions is rolled back.
local function change(space, value)
    for _ = 1, 20 do
        local id = math.random(COUNT + 2000)
        local dice = math.random(6)
        if dice == 1 then
            space:delete(id)
        elseif dice == 2 then
            space:update(id, {{'=', 2, value(id)}})
        elseif dice == 3 then
            box.begin()
            space:replace({id, value(id)})
            space:delete(math.random(COUNT))
            if math.random(2) == 1 then box.rollback() else box.commit() end
        else
            space:replace({id, value(id)})
        end
    end
end

-- Every tuple of the space is in the index, in its order, and nothing else.
local function is_whole(space, index)
    if index:len() ~= space:len() then
        return false
    end
    local last
    for _, tuple in index:pairs() do
        local here = space.index[0]:get(tuple[1])
        if here == nil or here[2] ~= tuple[2] or (last ~= nil and last > tuple[2]) then
            return false
        end
        last = index.type == 'TREE' and tuple[2] or nil
    end
    return true
end

local function fails(case, message, ok, err)
    case:is(not ok and tostring(err), message, message)
end

test:test('writes go on during a build', function(case)
    case:plan(12)
    for _, primary in ipairs({'tree', 'hash'}) do
        local serial = 0
        local function unique(id)
            serial = serial + 1
            return id * 100000 + serial
        end
        local space = filled('s', primary, function(id) return {id, unique(id)} end)
        for _, options in ipairs({{type = 'tree', unique = false}, {type = 'tree'},
                                  {type = 'hash'}}) do
            options.parts = {2, 'unsigned'}
            local ok, index, turns = interleave(function()
                return space:create_index('second', options)
            end, function() change(space, unique) end)
            case:ok(ok and turns > 10, 'others run while the index is built')
            case:ok(ok and is_whole(space, index), 'it has what the space has')
            space.index.second:drop()
        end
        space:drop()
    end
end)

test:test('duplicates', function(case)
    case:plan(4)
    local space = filled('s', 'tree', function(id) return {id, id} end)
    local function build()
        return space:create_index('second', {parts = {2, 'unsigned'}})
    end
    local ok, err = interleave(build, function(turn)
        if turn == 3 then space:replace({COUNT + 1, 5}) end
    end)
    fails(case, 'Duplicate key exists in unique index "second" in space "s" with old tuple - ' ..
        '[5, 5] and new tuple - [30001, 5]', ok, err)
    case:isnil(space.index.second, 'the index is not there')
    case:is(space:get(COUNT + 1)[2], 5, 'the write is')
    space:delete(COUNT + 1)
    ok = interleave(build, function(turn)
        if turn == 3 then
            box.begin()
            space:delete(5)
            space:replace({COUNT + 1, 5})
            box.commit()
        end
    end)
    case:ok(ok and is_whole(space, space.index.second), 'a key may move to another tuple')
    space:drop()
end)

test:test('another primary key', function(case)
    case:plan(3)
    local space = filled('s', 'tree', function(id) return {id, id, 'x'} end)
    space:create_index('third', {parts = {3, 'string'}, unique = false})
    local ok = interleave(function()
        space.index.primary:alter({parts = {2, 'unsigned'}})
    end, function(turn)
        space:delete(turn + 1)
        space:replace({COUNT - turn, COUNT + 1 + turn, 'y'})
    end)
    case:ok(ok, 'the primary index is built anew')
    local count = 0
    for _, tuple in space.index.third:pairs() do
        count = count + (space:get(tuple[2]) == nil and 0 or 1)
    end
    case:is(count, space:len(), 'the others order by it')
    case:is(space:get(COUNT + 1)[3], 'y', 'and it has what came meanwhile')
    space:drop()
end)

test:test('formats', function(case)
    case:plan(6)
    local space = filled('s', 'tree', function(id) return {id, id} end)
    local function check()
        space:format({{'id', 'unsigned'}, {'value', 'unsigned'}})
    end
    local ok, err, turns = interleave(check, function(turn)
        if turn == 2 then space:replace({1, 'text'}) end
    end)
    fails(case, "Tuple field 2 (value) type does not match one required by operation: " ..
        "expected unsigned, got string", ok, err)
    case:ok(turns >= 2, 'others run while a format is checked')
    case:is_deeply(space:format(), {}, 'the format is as it was')
    space:replace({1, 1})
    ok = interleave(check, function(turn) space:replace({COUNT + turn, turn}) end)
    case:ok(ok and space:format()[2].name == 'value', 'a format that all have is taken')
    box.schema.func.create('is_small', {
        body = 'function(value) return value < 100000 end', is_deterministic = true,
    })
    local function constrain()
        space:format({{'id', 'unsigned'}, {'value', 'unsigned', constraint = 'is_small'}})
    end
    local function write(turn, value)
        box.begin()
        for id = 1, 300 do
            space:replace({id, turn == 2 and value or id})
        end
        box.commit()
    end
    ok, err = interleave(constrain, function(turn) write(turn, 100000) end)
    fails(case, "Check constraint 'is_small' failed for field '2 (value)'", ok, err)
    write(2, 1)
    ok = interleave(constrain, function(turn) write(turn, 99999) end)
    case:ok(ok, 'and a constraint that all satisfy')
    space:drop()
end)

test:test('one alteration at a time', function(case)
    case:plan(5)
    local space = filled('s', 'tree', function(id) return {id, id} end)
    local message = "Can't modify space 's': the space is already being modified"
    local ok = interleave(function()
        return space:create_index('second', {parts = {2, 'unsigned'}})
    end, function(turn)
        if turn > 0 then return end
        fails(case, message, pcall(space.create_index, space, 'third', {parts = {2, 'unsigned'}}))
        fails(case, message, pcall(space.truncate, space))
        fails(case, message, pcall(space.drop, space))
        local other = box.schema.space.create('other')
        other:create_index('primary')
        case:is(other:len(), 0, 'other spaces can be made')
        other:drop()
    end)
    case:ok(ok and is_whole(space, space.index.second), 'the first goes on')
    space:drop()
end)

test:test('cancellation', function(case)
    case:plan(3)
    local space = filled('s', 'tree', function(id) return {id, id} end)
    local worker
    local ok, err = interleave(function()
        worker = fiber.self()
        return space:create_index('second', {parts = {2, 'unsigned'}})
    end, function() worker:cancel() end)
    fails(case, 'fiber is cancelled', ok, err)
    case:isnil(space.index.second, 'the index is not there')
    space:create_index('second', {parts = {2, 'unsigned'}})
    case:ok(is_whole(space, space.index.second), 'it can be made afterwards')
    space:drop()
end)

test:test('transactions', function(case)
    case:plan(3)
    local space = filled('s', 'tree', function(id) return {id, id} end)
    local ok = interleave(function()
        box.begin()
        space:create_index('second', {parts = {2, 'unsigned'}})
        space:replace({COUNT + 1, COUNT + 1})
        box.commit()
    end, function() end)
    case:ok(ok and is_whole(space, space.index.second), 'a build may begin one')
    box.begin()
    space:replace({COUNT + 2, COUNT + 2})
    space:create_index('third', {parts = {2, 'unsigned'}})
    box.commit()
    case:ok(is_whole(space, space.index.third), 'and be in the middle of one')
    space:before_replace(function(_, new) fiber.yield() return new end)
    fails(case, 'Transaction has been aborted by a fiber yield', pcall(space.replace, space, {1, 1}))
    space:drop()
end)

test:test('snapshots', function(case)
    case:plan(2)
    local space = filled('s', 'tree', function(id) return {id, id} end)
    local is_built = false
    local snapshot = fiber.new(function()
        box.snapshot()
        return is_built
    end)
    snapshot:set_joinable(true)
    space:create_index('second', {parts = {2, 'unsigned'}})
    is_built = true
    local ok, waited = snapshot:join()
    case:ok(ok, 'a snapshot can be asked for during a build')
    case:ok(waited, 'and waits for its end')
    space:drop()
end)

os.exit(test:check() and 0 or 1)
