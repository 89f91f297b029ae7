-- keyspace: the databases: which space serves which number, how keys are read and written, and
-- who watches them.
--
-- Database 0 is CACHE's space, the others are `redis_1`, `redis_2`, …, each made on first use,
-- with the rows of expiring.lua. SWAPDB renames spaces, so that a swap survives a restart. A key
-- of another type than string is a row whose `kind` names the type; whatever writes such rows
-- keeps the elements elsewhere.
--
-- WATCH costs nothing while nobody watches: a space gets an `on_replace` trigger with its first
-- watched key and loses it with the last. So it sees changes from everywhere, FCALL, the console
-- and other fibers included.

local resp = require('resp')
local fiber = require('fiber')

local use = ...
local expiring = use('expiring.lua')
local failure = use('redis/failure.lua')
local number = use('redis/number.lua')

local live = expiring.live

local M = {}

-- How many databases SELECT accepts.
M.database_count = 16
-- Longest string value.
M.value_size_max = 512 * 1024 * 1024

local collectors = {}

local function space_name(database)
    return database == 0 and 'cache' or 'redis_' .. database
end

-- The space of each database by its number, made on first use.
local databases = setmetatable({}, {
    __index = function(self, database)
        local name = space_name(database)
        -- Whoever asks first, the space is the emulation's.
        local space = box.session.su('admin', expiring.space, name)
        -- CACHE collects in its own space, if it is there.
        if collectors[name] == nil and (database ~= 0 or rawget(_G, 'CACHE') == nil) then
            collectors[name] = expiring.collector(name)
        end
        rawset(self, database, space)
        return space
    end,
})
M.databases = databases

-- The numbers of the databases that exist, in order.
function M.used()
    local list = {}
    for database = 0, M.database_count - 1 do
        if box.space[space_name(database)] ~= nil then
            table.insert(list, database)
        end
    end
    return list
end

-- Reads a database number.
function M.database_number(text)
    local database = number.integer(text)
    if database == nil then
        error(failure.not_integer)
    elseif not number.is_int32(database) then
        error(failure.int_range)
    end
    if database < 0 or database >= M.database_count then
        error(failure.db_range)
    end
    return tonumber(database)
end

-- The text of a row that must be a string.
local function row_text(row)
    local value = row[2]
    if type(value) == 'string' then
        return value
    end
    if row[4] ~= nil then
        error(failure.wrong_type)
    end
    return number.value_text(value)
end
M.row_text = row_text

-- The row of a key, nil if there is none that is alive.
function M.row(client, key)
    return live(databases[client.database], key)
end

-- The text of a key and its row; nil if it is missing. Raises if it is not a string.
function M.text(client, key)
    local row = live(databases[client.database], key)
    if row == nil then
        return nil
    end
    return row_text(row), row
end

-- Raises if a value of so many bytes is too long, before a command builds it.
function M.check_size(size)
    if size > M.value_size_max then
        error(failure.too_long)
    elseif size > box.cfg.memtx_max_tuple_size then
        error(failure.too_large)
    end
end

-- Writes a string; `ttl` is when it expires, nil for never.
function M.store(client, key, text, ttl)
    if ttl ~= nil then
        databases[client.database]:replace_fields(key, text, ttl)
    else
        databases[client.database]:replace_fields(key, text)
    end
end

-- Deletes a key. Whether it was there, and alive.
function M.delete(client, key)
    local row = databases[client.database]:delete(key)
    return row ~= nil and not expiring.expired(row)
end

-- Runs `work(...)` so that either all of its changes happen or none, in a transaction or inside
-- one.
function M.atomic(work, ...)
    if not box.is_in_txn() then
        return box.atomic(work, ...)
    end
    local savepoint = box.savepoint()
    local ok, result = pcall(work, ...)
    if not ok then
        box.rollback_to_savepoint(savepoint)
        error(result, 0)
    end
    return result
end

-- Calls `visit(key, row)` for the rows that are alive, until it returns true. Outside a
-- transaction others may run in between.
function M.each(space, visit)
    local time = expiring.now()
    local in_transaction = box.is_in_txn()
    local count = 0
    for _, row in space:pairs() do
        local ttl = row[3]
        if (ttl == nil or ttl > time) and visit(row[1], row) then
            return
        end
        count = count + 1
        if count % 1000 == 0 and not in_transaction then
            fiber.yield()
        end
    end
end

-- Watched keys: by space id, by key, the clients, each with whether the key had expired already.
local watched = {}
local triggers = {}

local function touch(space_id, key, new, old)
    local clients = watched[space_id] ~= nil and watched[space_id][key]
    if not clients then
        return
    end
    for client, was_expired in pairs(clients) do
        -- Collecting a row that was expired when it was watched changes nothing.
        if not (was_expired and new == nil and old ~= nil and expiring.expired(old)) then
            client.watch_broken = true
        end
    end
end

-- Makes EXEC of this client fail if the key changes until then.
function M.watch(client, key)
    local space = databases[client.database]
    local id = space.id
    if watched[id] == nil then
        watched[id] = {}
        triggers[id] = function(old, new)
            touch(id, (new or old)[1], new, old)
        end
        space:on_replace(triggers[id])
    end
    local clients = watched[id][key]
    if clients == nil then
        clients = {}
        watched[id][key] = clients
    end
    local row = space:get(key)
    clients[client] = row ~= nil and expiring.expired(row)
    client.watching = client.watching or {}
    table.insert(client.watching, {space = space, key = key})
end

-- Whether a key that the client watches has changed, or expired meanwhile.
function M.watch_broken(client)
    if client.watch_broken then
        return true
    end
    for _, watch in ipairs(client.watching or {}) do
        local was_expired = watched[watch.space.id][watch.key][client]
        local row = watch.space:get(watch.key)
        if not was_expired and row ~= nil and expiring.expired(row) then
            return true
        end
    end
    return false
end

function M.unwatch(client)
    for _, watch in ipairs(client.watching or {}) do
        local id = watch.space.id
        local keys = watched[id]
        local clients = keys ~= nil and keys[watch.key]
        if clients then
            clients[client] = nil
            if next(clients) == nil then
                keys[watch.key] = nil
            end
            if next(keys) == nil then
                watched[id] = nil
                watch.space:on_replace(nil, triggers[id])
                triggers[id] = nil
            end
        end
    end
    client.watching = nil
    client.watch_broken = nil
end

-- Tells who watches keys of a space that its contents are exchanged for those of `other`, or for
-- nothing.
local function touch_all(space, other)
    for key in pairs(watched[space.id] or {}) do
        if space:get(key) ~= nil or (other ~= nil and other:get(key) ~= nil) then
            touch(space.id, key)
        end
    end
end

-- Deletes all keys of a database.
function M.flush(database)
    local space = box.space[space_name(database)]
    if space == nil then
        return
    end
    if box.is_in_txn() then
        for _, row in ipairs(space:select()) do
            space:delete(row[1])
        end
    else
        touch_all(space)
        space:truncate()
    end
end

-- Exchanges the contents of two databases.
function M.swap(first, second)
    if first == second then
        return
    end
    local a, b = databases[first], databases[second]
    touch_all(a, b)
    touch_all(b, a)
    M.atomic(function()
        a:rename('redis_swap')
        b:rename(space_name(first))
        a:rename(space_name(second))
    end)
    databases[first], databases[second] = box.space[space_name(first)], box.space[space_name(second)]
end

function M.start(previous)
    if previous ~= nil then
        -- Clients hold watches of the old version: they go on, and are seen here.
        watched, triggers = previous.watches()
    end
    for _, database in ipairs(M.used()) do
        local _ = databases[database]
    end
end

function M.watches()
    return watched, triggers
end

function M.stop()
    for _, stop in pairs(collectors) do
        stop()
    end
    collectors = {}
end

return M
