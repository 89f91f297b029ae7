-- alter: changes a space on disk, its indexes and its content at random, and then kills itself.
--
-- arg[1] is a seed. Before that it compares what is there with a space in memory, which had the same
-- changes, one behind the other; what was being done when the process before it died is known from a
-- third space, and may have been done or not. Output: "found COUNT" or "bad ...".
local ffi = require('ffi')
local fiber = require('fiber')
local json = require('json')

math.randomseed(tonumber(arg[1]))
io.stdout:setvbuf('no')
fiber.set_max_slice(60)
box.cfg{log_level = 3, wal_max_size = 20000, checkpoint_count = 1 + math.random(2), vinyl_cache = 10000}

local function make(name, engine)
    local space = box.schema.space.create(name, {engine = engine, if_not_exists = true})
    space:create_index('primary', {if_not_exists = true})
    return space
end
local disk, memory, intent = make('disk', 'vinyl'), make('memory'), make('intent')

local function bad(...)
    print('bad', ...)
    os.exit(1)
end

local function rows_of(space)
    local rows, count = {}, 0
    for _, row in space:pairs() do
        rows[row[1]], count = json.encode(row), count + 1
    end
    return rows, count
end

local function verify()
    local found, count = rows_of(disk)
    local expected = rows_of(memory)
    local differing = {}
    for key, row in pairs(found) do
        if expected[key] ~= row then
            table.insert(differing, key)
        end
    end
    for key in pairs(expected) do
        if found[key] == nil then
            table.insert(differing, key)
        end
    end
    local last = intent:get(1)
    if #differing > 0 and last ~= nil and last[2] == 'all' and count == 0 then
        memory:truncate()
    elseif #differing == 1 and last ~= nil and last[2] == 'key' and differing[1] == last[3] then
        local row = disk:get(last[3])
        if row ~= nil then
            memory:replace(row)
        else
            memory:delete(last[3])
        end
    elseif #differing > 0 then
        bad(#differing, 'rows differ after', json.encode(last), differing[1],
            found[differing[1]], expected[differing[1]])
    end
    for _, index in pairs(disk.index) do
        local seen, version = 0, box.info.schema_version
        for _, row in index:pairs() do
            seen = seen + 1
            if found[row[1]] ~= json.encode(row) then
                bad(index.name, 'has', json.encode(row), 'and not', found[row[1]])
            end
        end
        -- A walk ends when its index goes, and the fiber that alters may be at work.
        if seen ~= count and box.info.schema_version == version then
            bad(index.name, 'has', seen, 'of', count, 'rows')
        end
    end
    return count
end
print('found', verify())

-- Making the space anew and altering it exclude each other.
local is_altering, is_remaking = false, false
local function alter()
    local dice, index = math.random(8), disk.index
    if dice <= 2 and index.a == nil then
        disk:create_index('a', {parts = {{2, 'unsigned'}}, unique = false})
    elseif dice == 3 and index.a ~= nil then
        index.a:drop()
    elseif dice == 4 and index.b == nil then
        disk:create_index('b', {parts = {{3, 'string'}, {1, 'unsigned'}}})
    elseif dice == 5 and index.b ~= nil then
        index.b:drop()
    elseif dice == 6 and index.a ~= nil then
        index.a:alter({parts = {{2, 'integer'}}})
    elseif dice >= 7 then
        box.snapshot()
    end
end
fiber.create(function()
    while true do
        if not is_remaking then
            is_altering = true
            pcall(alter)
            is_altering = false
        end
        fiber.sleep(0.002)
    end
end)

-- A change of both spaces, made again when it loses a conflict with an alteration.
local function change(verb, ...)
    local ok, err
    repeat
        ok, err = pcall(disk[verb], disk, ...)
    until ok or err.code ~= box.error.TRANSACTION_CONFLICT
    if not ok then
        bad(verb, tostring(err))
    end
    memory[verb](memory, ...)
end

for _ = 1, math.random(2000) do
    local dice, key = math.random(400), math.random(500)
    if dice <= 2 and not is_altering then
        is_remaking = true
        intent:replace({1, 'all'})
        if dice == 1 then
            disk:truncate()
        else
            disk:drop()
            disk = make('disk', 'vinyl')
        end
        memory:truncate()
        is_remaking = false
    else
        intent:replace({1, 'key', key})
        local row = {key, dice, 'text' .. dice}
        if dice % 4 == 0 then
            change('delete', key)
        elseif dice % 4 == 1 then
            change('upsert', row, {{'+', 2, 1}})
        else
            change('replace', row)
        end
    end
end
verify()
ffi.cdef('int kill(int, int)')
ffi.C.kill(box.info.pid, 9)
