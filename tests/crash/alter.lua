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

-- How often each index was made, dropped or altered, and which one is at this moment.
local changes, changing = {primary = 0, a = 0, b = 0}, nil

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
        local seen, before = 0, changes[index.name]
        for _, row in index:pairs() do
            seen = seen + 1
            if found[row[1]] ~= json.encode(row) then
                bad(index.name, 'has', json.encode(row), 'and not', found[row[1]])
            end
        end
        -- A walk ends when its index goes, as in Tarantool, and the fiber that alters may be at work. What
        -- that does to other indexes does not matter.
        if seen ~= count and changes[index.name] == before and changing ~= index.name then
            bad(index.name, 'has', seen, 'of', count, 'rows')
        end
    end
    return count
end
print('found', verify())

-- Alters the space as it is found, which may be one that is being made anew. Without a primary index
-- there is nothing to alter: what came first would be the primary one.
local function alter()
    local dice, space = math.random(8), box.space.disk
    if dice >= 7 then
        box.snapshot()
    end
    if dice >= 7 or space == nil or space.index.primary == nil then
        return
    end
    local name = (dice == 4 or dice == 5) and 'b' or 'a'
    local index = space.index[name]
    changing = name
    if dice <= 2 and index == nil then
        space:create_index('a', {parts = {{2, 'unsigned'}}, unique = false})
    elseif dice == 3 and index ~= nil then
        index:drop()
    elseif dice == 4 and index == nil then
        space:create_index('b', {parts = {{3, 'string'}, {1, 'unsigned'}}})
    elseif dice == 5 and index ~= nil then
        index:drop()
    elseif dice == 6 and index ~= nil then
        index:alter({parts = {{2, 'integer'}}})
    end
end
fiber.create(function()
    while true do
        -- It may lose against the other fiber, which makes the space anew.
        pcall(alter)
        if changing ~= nil then
            changes[changing], changing = changes[changing] + 1, nil
        end
        fiber.sleep(0.002)
    end
end)

-- Repeats what loses against an alteration under way.
local function insist(what, action)
    while true do
        local ok, err = pcall(action)
        if ok then
            return
        end
        local is_locked = tostring(err):find('the space is already being modified') ~= nil
        if not is_locked and err.code ~= box.error.TRANSACTION_CONFLICT then
            bad(what, tostring(err))
        end
        fiber.sleep(0)
    end
end

-- A change of both spaces.
local function change(verb, ...)
    local arguments = {...}
    insist(verb, function() disk[verb](disk, unpack(arguments)) end)
    memory[verb](memory, ...)
end

for _ = 1, math.random(2000) do
    local dice, key = math.random(400), math.random(500)
    if dice <= 2 then
        intent:replace({1, 'all'})
        if dice == 1 then
            insist('truncate', function() disk:truncate() end)
        else
            insist('drop', function() disk:drop() end)
            disk = make('disk', 'vinyl')
        end
        memory:truncate()
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
