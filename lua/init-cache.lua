-- CACHE: values of any type by key, each with a time to live.
--
--     CACHE:Set('user:1', {name = 'John'}, 60)     -- for a minute; without the number, for ever
--     CACHE:Get('user:1')                          -- {name = 'John'}, or nil
--
-- Keys are strings; a number is taken as its decimal text. A ttl is in seconds, fractions count,
-- nil means no expiry. Expired values are never returned. The rows are those of database 0 of the
-- Redis emulation: what one sets, the other gets. Works alone as `app.file`, too.

local source = debug.getinfo(1, 'S').source
local reload = package.loaded.reload or dofile((source:match('^@(.*/)') or '') .. 'reload.lua')
local use = reload.beside(source)
local expiring = use('expiring.lua')
local export = use('export.lua').export

local live = expiring.live
local deadline = expiring.deadline

local Cache = {}

local function key_text(key)
    return expiring.key_text(key, 3)
end

-- An absent ttl is absent in the row: one field less to store.
local function row_of(key, value, ttl)
    if value == nil then
        value = box.NULL
    end
    if ttl == nil then
        return {key, value}
    end
    return {key, value, ttl}
end

-- Runs `work` in a transaction of its own, or in the caller's.
local function atomic(work, ...)
    if box.is_in_txn() then
        return work(...)
    end
    return box.atomic(work, ...)
end

local function set_if(self, wanted, key, value, ttl)
    local space = box.space[self.space_name]
    if (live(space, key) ~= nil) ~= wanted then
        return false
    end
    space:replace(row_of(key, value, ttl))
    return true
end

-- Sets a new key. False if the key exists.
function Cache:Add(key, value, ttl)
    return set_if(self, false, key_text(key), value, deadline(ttl))
end

-- Sets an existing key, and its ttl anew. False if the key is missing.
function Cache:Update(key, value, ttl)
    return set_if(self, true, key_text(key), value, deadline(ttl))
end

-- Sets a key, whether it exists or not.
function Cache:Set(key, value, ttl)
    box.space[self.space_name]:replace(row_of(key_text(key), value, deadline(ttl)))
    return true
end

-- Sets all keys of a table {key = value, …}, or of a list {{key, value, ttl}, …}, in one
-- transaction; `ttl` is for those without their own. How many it set.
function Cache:SetList(list, ttl)
    if type(list) ~= 'table' then
        error('SetList takes a table', 2)
    end
    local rows = {}
    if list[1] ~= nil then
        for _, item in ipairs(list) do
            local item_ttl = item[3]
            if item_ttl == nil then
                item_ttl = ttl
            end
            table.insert(rows, row_of(key_text(item[1]), item[2], deadline(item_ttl)))
        end
    else
        for key, value in pairs(list) do
            table.insert(rows, row_of(key_text(key), value, deadline(ttl)))
        end
    end
    local space = box.space[self.space_name]
    return atomic(function()
        for _, row in ipairs(rows) do
            space:replace(row)
        end
        return #rows
    end)
end

-- Gives a key a new ttl, or none. False if the key is missing.
function Cache:SetTtl(key, ttl)
    key = key_text(key)
    local space = box.space[self.space_name]
    if live(space, key) == nil then
        return false
    end
    local time = deadline(ttl)
    space:update(key, {{'=', 3, time == nil and box.NULL or time}})
    return true
end

-- The value of a key, nil if it is missing.
function Cache:Get(key)
    local row = live(box.space[self.space_name], key_text(key))
    if row == nil then
        return nil
    end
    return row[2]
end

-- The values of a list of keys, in its order, box.NULL for what is missing.
function Cache:GetList(keys)
    if type(keys) ~= 'table' then
        error('GetList takes a list of keys', 2)
    end
    local space = box.space[self.space_name]
    local values = {}
    for i, key in ipairs(keys) do
        local row = live(space, key_text(key))
        values[i] = row ~= nil and row[2] or box.NULL
        if row ~= nil and row[2] == false then
            values[i] = false
        end
    end
    return values
end

-- Deletes a key. False if it was missing.
function Cache:Delete(key)
    local row = box.space[self.space_name]:delete(key_text(key))
    return row ~= nil and not expiring.expired(row)
end

-- Collects expired rows at once, for at most that many seconds. How many it found.
function Cache:GC(seconds)
    return (expiring.collect(box.space[self.space_name], seconds))
end

-- Makes the space and starts collecting. Again: does nothing.
function Cache:Init()
    expiring.space(self.space_name)
    if self.stop_collector == nil then
        self.stop_collector = expiring.collector(self.space_name)
    end
    return true
end

-- Another cache with the same methods over a space of its own.
function Cache:ForkForTableSpace(space_name)
    if type(space_name) ~= 'string' then
        error('ForkForTableSpace takes the name of a space', 2)
    end
    local forks = self.forks
    if forks[space_name] == nil then
        local fork = {space_name = space_name, forks = forks}
        for name, method in pairs(Cache) do
            fork[name] = method
        end
        forks[space_name] = fork
        fork:Init()
    end
    return forks[space_name]
end

local M = {}

function M.start(previous)
    local cache = {space_name = 'cache', forks = {}}
    for name, method in pairs(Cache) do
        cache[name] = method
    end
    cache.forks.cache = cache
    M.cache = cache
    cache:Init()
    -- Forks that callers hold stay the same tables: only their methods are new.
    for space_name, fork in pairs(previous ~= nil and previous.cache.forks or {}) do
        if space_name ~= 'cache' then
            for name, method in pairs(Cache) do
                fork[name] = method
            end
            fork.forks = cache.forks
            cache.forks[space_name] = fork
            fork.stop_collector()
            fork.stop_collector = nil
            fork:Init()
        end
    end
    export('CACHE', {
        Add = 'write', Update = 'write', Set = 'write', SetList = 'write', SetTtl = 'write',
        Get = 'read', GetList = 'read', Delete = 'write',
    })
    rawset(_G, 'CACHE', cache)
end

function M.stop()
    if M.cache ~= nil and M.cache.stop_collector ~= nil then
        M.cache.stop_collector()
    end
end

return reload.entry(M, source)
