-- expiring: spaces of keys that expire, and the fiber that collects what has expired.
--
-- A row is {key, value, ttl, kind}:
--   key    string; any bytes.
--   value  any Lua value that MessagePack can hold.
--   ttl    when it expires, in milliseconds since 1970; absent: never.
--   kind   absent: `value` is the value. Otherwise the row heads a collection of that type
--          ('hash', 'list', …) whose elements live elsewhere.
-- Index `ttl` has only the rows that expire, soonest first, so collecting is a walk from its
-- start and a key without ttl costs nothing.
--
-- Whoever reads must treat a row whose time has come as absent (`live` does); the collector only
-- gives back its memory.

local clock = require('clock')
local fiber = require('fiber')
local log = require('log')

local M = {
    -- How many rows were collected.
    collected = 0,
}

-- Rows deleted in one transaction.
local BATCH_SIZE = 100
-- Longest a cycle runs before it lets others run, in seconds.
local CYCLE_TIME_MAX = 0.002
-- Shortest and longest pause between cycles, in seconds.
local PAUSE_MIN = 0.001
local PAUSE_MAX = 1

local floor = math.floor

-- Milliseconds since 1970.
local function now()
    return floor(fiber.time() * 1000)
end
M.now = now

-- The space of that name, made if it is missing: in memory, or on disk with engine 'vinyl'.
function M.space(name, engine)
    local space = box.space[name]
    -- A process that was killed may have left a space without its indexes.
    if space ~= nil and space.index[0] ~= nil and space.index.ttl ~= nil then
        return space
    end
    space = box.schema.space.create(name, {
        if_not_exists = true,
        engine = engine,
        format = {
            {name = 'key', type = 'string'},
            {name = 'value', type = 'any', is_nullable = true},
            {name = 'ttl', type = 'unsigned', is_nullable = true},
            {name = 'kind', type = 'string', is_nullable = true},
        },
    })
    -- Look-ups by key are all there is: a hash takes one step where a tree takes many.
    -- On disk there are only trees.
    local kind = space.engine == 'memtx' and 'HASH' or 'TREE'
    if space.index[0] == nil then
        space:create_index('primary', {type = kind, parts = {{field = 'key'}}})
    end
    space:create_index('ttl', {
        unique = false,
        parts = {{field = 'ttl', is_nullable = true, exclude_null = true}},
        if_not_exists = true,
    })
    return space
end

-- Whether a row's time has come.
function M.expired(row)
    local ttl = row[3]
    return ttl ~= nil and ttl <= now()
end

-- The row of that key, nil if there is none or its time has come.
function M.live(space, key)
    local row = space:get(key)
    if row == nil then
        return nil
    end
    local ttl = row[3]
    if ttl ~= nil and ttl <= now() then
        return nil
    end
    return row
end

-- A key as text: a number is taken as its decimal text. `level` is that of error().
function M.key_text(key, level)
    if type(key) == 'string' then
        return key
    elseif type(key) == 'number' or (type(key) == 'cdata' and key ~= nil) then
        return (tostring(key):gsub('U?LL$', ''))
    end
    error('a key must be a string or a number', (level or 1) + 1)
end

-- When something expires that lives for so many seconds; nil if it lives for ever.
function M.deadline(seconds)
    if seconds == nil then
        return nil
    end
    if type(seconds) ~= 'number' or seconds ~= seconds then
        error('ttl must be a number of seconds', 3)
    end
    return math.max(0, floor(fiber.time() * 1000 + seconds * 1000))
end

-- Calls a function that reads and writes the space as one step. In memory nothing comes in between
-- anyway; on disk it is a transaction, made again when it loses a conflict.
function M.atomically(space, change, ...)
    if space.engine == 'memtx' or box.is_in_txn() then
        return change(space, ...)
    end
    while true do
        local ok, result = pcall(box.atomic, change, space, ...)
        if ok then
            return result
        end
        if not box.error.is(result) or result.code ~= box.error.TRANSACTION_CONFLICT then
            error(result, 0)
        end
    end
end

-- Deletes a row, if there is one and its time has come.
local function delete_expired(space, key)
    local row = space:get(key)
    if row ~= nil and M.expired(row) then
        space:delete(key)
    end
end

local function delete_all_expired(space, keys)
    for _, key in ipairs(keys) do
        delete_expired(space, key)
    end
end

-- Deletes up to `count` expired rows in one transaction; how many it found.
local function collect_batch(space, count)
    local keys = {}
    local time = now()
    for _, row in space.index.ttl:pairs(0, {iterator = 'GE'}) do
        if row[3] > time or #keys == count then
            break
        end
        table.insert(keys, row[1])
    end
    if #keys == 0 then
        return 0
    end
    if space.engine ~= 'memtx' then
        -- Rows may have been renewed while others were read.
        M.atomically(space, delete_all_expired, keys)
        return #keys
    end
    box.begin()
    local ok, err = pcall(function()
        for _, key in ipairs(keys) do
            space:delete(key)
        end
        box.commit()
    end)
    if not ok then
        box.rollback()
        error(err, 0)
    end
    return #keys
end

-- One cycle: collects until nothing is left or its time is over. How many rows it deleted, and
-- whether something is left.
function M.collect(space, time_max)
    local finish = clock.monotonic() + (time_max or CYCLE_TIME_MAX)
    local total = 0
    repeat
        local found = collect_batch(space, BATCH_SIZE)
        total = total + found
        M.collected = M.collected + found
        if found < BATCH_SIZE then
            return total, false
        end
    until clock.monotonic() >= finish
    return total, true
end

-- How long to pause: shorter when the last cycle had to leave work behind, longer when it found
-- nothing.
local function pause_after(pause, found, more)
    if more then
        return math.max(pause / 2, PAUSE_MIN)
    end
    return found > 0 and pause or math.min(pause * 2, PAUSE_MAX)
end

function M.start(previous)
    M.collected = previous ~= nil and previous.collected or 0
end

-- Starts a fiber that collects in the space of that name; returns a function that ends it. The
-- space is looked up in each cycle, because `rename` may give its name to another.
function M.collector(name)
    local stopped = false
    local worker = fiber.new(function()
        local pause = PAUSE_MAX / 4
        while not stopped do
            local space = box.space[name]
            if space ~= nil then
                local ok, found, more = pcall(M.collect, space)
                if not ok then
                    log.error('collecting expired rows of %s: %s', name, found)
                    found, more = 0, false
                end
                pause = pause_after(pause, found, more)
            end
            fiber.sleep(pause)
        end
    end)
    worker:name('expire.' .. name, {truncate = true})
    return function()
        stopped = true
        pcall(worker.cancel, worker)
    end
end

return M
