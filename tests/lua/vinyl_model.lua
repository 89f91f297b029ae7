-- Random transactions on disk that run at the same time and yield in between: those that commit have
-- done what they would have done one after the other.
--
-- Each transaction notes what it read and wrote. Transactions that wrote are replayed on a table in the
-- order in which they committed: every read must come out the same. One that only read must have seen
-- the state between two of those commits.
local fiber = require('fiber')
local tap = require('tap')

box.cfg{log_level = 3, vinyl_cache = 0}

local SEED = tonumber(os.getenv('VINYL_MODEL_SEED')) or 1
local ROUNDS, WORKERS, KEYS = 9, 8, 12
-- From these rounds on there is only the primary index, so that upserts do not read; and a cache.
local ALONE, CACHED = 5, 8
math.randomseed(SEED)

local test = tap.test('vinyl_model')
test:plan(2 * ROUNDS + 2)

local space = box.schema.space.create('model', {engine = 'vinyl'})
space:create_index('primary')
space:create_index('value', {parts = {2, 'unsigned'}, unique = false})
space:create_index('mark', {parts = {{3, 'unsigned', is_nullable = true, exclude_null = true}}})

local history, kinds

local function maybe_yield()
    local dice = math.random(6)
    if dice == 1 then
        fiber.yield()
    elseif dice == 2 then
        fiber.sleep(0.0005)
    end
end

-- What an operation returns, as something to compare; conflicts go on as errors.
local function plain(result)
    if result == nil then
        return 'nil'
    end
    if box.tuple.is(result) then
        return table.concat({result[1], result[2], tostring(result[3])}, ',')
    end
    local parts = {}
    for _, tuple in ipairs(result) do
        table.insert(parts, plain(tuple))
    end
    return table.concat(parts, ';')
end

-- The operations, on the space and on the model, a table of rows by key.
local operations = {}

function operations.get(key)
    return plain(space:get(key))
end
function operations.scan(key, count)
    return plain(space:select(key, {iterator = 'GE', limit = count}))
end
function operations.scan_back(key, count)
    return plain(space:select(key, {iterator = 'LT', limit = count}))
end
function operations.by_value(value)
    return plain(space.index.value:select(value))
end
function operations.by_mark(mark)
    return plain(space.index.mark:get(mark))
end
function operations.replace(key, value)
    space:replace({key, value})
end
function operations.insert(key, value, mark)
    local ok, err = pcall(space.insert, space, {key, value, mark})
    if not ok and err.code ~= box.error.TUPLE_FOUND then
        error(err)
    end
    return tostring(ok)
end
function operations.update(key)
    return plain(space:update(key, {{'+', 2, 1}}))
end
function operations.upsert(key, value)
    space:upsert({key, value}, {{'+', 2, 10}})
end
function operations.delete(key)
    space:delete(key)
end

local function rows(model, from, step, count, accept)
    local found = {}
    for key = from, step > 0 and KEYS or 1, step do
        if model[key] ~= nil and #found < count and accept(model[key]) then
            local row = model[key]
            table.insert(found, table.concat({row[1], row[2], tostring(row[3])}, ','))
        end
    end
    return table.concat(found, ';')
end
local function any() return true end
local function shown(row)
    return row == nil and 'nil' or table.concat({row[1], row[2], tostring(row[3])}, ',')
end

local models = {}
function models.get(model, key)
    return shown(model[key])
end
function models.scan(model, key, count)
    return rows(model, key, 1, count, any)
end
function models.scan_back(model, key, count)
    return rows(model, key - 1, -1, count, any)
end
function models.by_value(model, value)
    return rows(model, 1, 1, KEYS, function(row) return row[2] == value end)
end
local function marked(model, mark)
    for _, row in pairs(model) do
        if row[3] == mark then
            return row
        end
    end
end
function models.by_mark(model, mark)
    return shown(marked(model, mark))
end
function models.replace(model, key, value)
    model[key] = {key, value, nil}
end
function models.insert(model, key, value, mark)
    if model[key] ~= nil or mark ~= nil and marked(model, mark) ~= nil then
        return 'false'
    end
    model[key] = {key, value, mark}
    return 'true'
end
function models.update(model, key)
    local row = model[key]
    if row ~= nil then
        model[key] = {key, row[2] + 1, row[3]}
    end
    return shown(model[key])
end
function models.upsert(model, key, value)
    local row = model[key]
    model[key] = row == nil and {key, value, nil} or {key, row[2] + 10, row[3]}
end
function models.delete(model, key)
    model[key] = nil
end

local READS = {'get', 'scan', 'scan_back', 'by_value', 'by_mark'}
local WRITES = {'replace', 'insert', 'update', 'upsert', 'delete'}

local WRITERS = {}
for _, name in ipairs(WRITES) do
    WRITERS[name] = true
end

local function random_operation(only_reads)
    local names = (only_reads or math.random(2) == 1) and READS or WRITES
    local name = names[math.random(#names)]
    local key, value = math.random(KEYS), math.random(8)
    if name == 'scan' or name == 'scan_back' then
        return name, {key, math.random(4)}
    elseif name == 'by_value' or name == 'by_mark' then
        return name, {value}
    elseif name == 'insert' then
        local is_marked = space.index.mark ~= nil and math.random(2) == 1
        return name, {key, value, is_marked and math.random(8) or nil}
    end
    return name, {key, value}
end

-- One transaction: its operations and their results, or nil when it lost a conflict.
local function run_transaction(only_reads)
    local record = {operations = {}, first = #history}
    local savepoint, kept
    box.begin()
    local ok, err = pcall(function()
        for _ = 1, math.random(5) do
            local name, arguments = random_operation(only_reads)
            record.has_written = record.has_written or WRITERS[name]
            local result = operations[name](unpack(arguments, 1, 3))
            table.insert(record.operations, {name, arguments, result})
            maybe_yield()
            if not only_reads and savepoint == nil and math.random(8) == 1 then
                savepoint, kept = box.savepoint(), #record.operations
            elseif savepoint ~= nil and math.random(3) == 1 then
                box.rollback_to_savepoint(savepoint)
                for number = #record.operations, kept + 1, -1 do
                    record.operations[number] = nil
                end
                savepoint = nil
            end
        end
        if math.random(10) == 1 then
            box.rollback()
            return
        end
        if record.has_written then
            -- It is decided before anything yields.
            table.insert(history, record)
            record.is_last = true
        end
        box.commit()
        if not record.has_written then
            record.last = #history
            table.insert(kinds.readers, record)
        end
    end)
    if ok then
        return true
    end
    if record.is_last then
        assert(table.remove(history) == record, 'a conflict is known at once')
    end
    box.rollback()
    -- Of an aborted transaction no savepoint is left.
    if err.code ~= box.error.TRANSACTION_CONFLICT and err.code ~= box.error.NO_SUCH_SAVEPOINT then
        error(err)
    end
    assert(record.has_written, 'a transaction that only reads lost a conflict')
    kinds.conflicts = kinds.conflicts + 1
end

local function copy(model)
    local other = {}
    for key, row in pairs(model) do
        other[key] = {row[1], row[2], row[3]}
    end
    return other
end

-- Whether the record's operations come out the same on the model, which they change.
local function agrees(record, model)
    for number, operation in ipairs(record.operations) do
        local name, arguments, result = unpack(operation, 1, 3)
        local expected = models[name](model, unpack(arguments, 1, 3))
        if expected ~= result then
            return false, ('%d: %s(%s): %s, expected %s'):format(number, name,
                table.concat(arguments, ','), tostring(result), tostring(expected))
        end
    end
    return true
end

local state = {}
local total_conflicts, total_commits = 0, 0
for round = 1, ROUNDS do
    history, kinds = {}, {readers = {}, conflicts = 0}
    if round == ALONE then
        space.index.value:drop()
        space.index.mark:drop()
        READS = {'get', 'scan', 'scan_back'}
    elseif round == CACHED then
        box.cfg{vinyl_cache = 1000000}
    end
    local failure
    local workers = {}
    for number = 1, WORKERS do
        workers[number] = fiber.new(function()
            for _ = 1, 60 do
                local ok, err = pcall(run_transaction, number <= 2)
                failure = failure or not ok and tostring(err) or nil
            end
        end)
        workers[number]:set_joinable(true)
    end
    for _, worker in ipairs(workers) do
        worker:join()
    end
    local states = {[0] = copy(state)}
    for number, record in ipairs(history) do
        local ok, problem = agrees(record, state)
        failure = failure or not ok and ('writer %d: %s'):format(number, problem) or nil
        states[number] = copy(state)
    end
    for number, record in ipairs(kinds.readers) do
        local ok, problem = false, nil
        -- What waited for the log when it began it need not have seen.
        for at = math.max(record.first - WORKERS, 0), record.last do
            if not ok then
                ok, problem = agrees(record, copy(states[at]))
            end
        end
        failure = failure or not ok and ('reader %d: %s'):format(number, problem) or nil
    end
    test:is(failure, nil, 'round ' .. round .. ' is serializable')
    test:is(operations.scan(0, KEYS), rows(state, 1, 1, KEYS, any), 'and its outcome the model\'s')
    total_conflicts = total_conflicts + kinds.conflicts
    total_commits = total_commits + #history
    if round % 3 == 0 then
        box.snapshot()
    end
end
test:ok(total_conflicts > 0, 'there were conflicts')
test:ok(total_commits > 100, 'and commits')

os.exit(test:check() and 0 or 1)
