-- SESSIONS: what a service remembers about its visitors, for as long as they come back.
--
--     SESSIONS:Add('f3a9', {user = 1}, 1800)    -- half an hour
--     SESSIONS:Get('f3a9')                      -- {user = 1}, or nil
--     SESSIONS:Touch('f3a9')                    -- half an hour from now
--
-- A session keeps the ttl that it was added with, so that `Touch` and `Update` can renew it.
-- Rows are {key, value, ttl, kind, lifetime} in space `sessions`, which lives on disk (engine vinyl)
-- unless the setting `engine` says otherwise when it is made, or there is no log (`wal.mode: none`). Works alone as `app.file`, too.

local source = debug.getinfo(1, 'S').source
local reload = package.loaded.reload or dofile((source:match('^@(.*/)') or '') .. 'reload.lua')
local use = reload.beside(source)
local expiring = use('expiring.lua')
local export = use('export.lua').export

local live = expiring.live
local atomically = expiring.atomically
local deadline = expiring.deadline

local SPACE_NAME = 'sessions'
-- Where a row keeps the seconds that a session lives after it was last used.
local LIFETIME = 5

local Sessions = {}

local function check_key(key)
    key = expiring.key_text(key, 3)
    if key == '' then
        error('a session id must not be empty', 3)
    end
    return key
end

local function row_of(key, value, lifetime)
    if value == nil then
        value = box.NULL
    end
    if lifetime == nil then
        return {key, value}
    end
    return {key, value, deadline(lifetime), box.NULL, lifetime}
end

-- How long sessions live that are added without a ttl, in seconds; nil: for ever.
local function lifetime_default()
    return reload.settings('sessions').ttl
end

local function add(space, key, row)
    if live(space, key) ~= nil then
        return false
    end
    space:replace(row)
    return true
end

local function update(space, key, value, ttl)
    local row = live(space, key)
    if row == nil then
        return false
    end
    if ttl == nil then
        ttl = row[LIFETIME]
    end
    space:replace(row_of(key, value, ttl))
    return true
end

local function touch(space, key, ttl)
    local row = live(space, key)
    if row == nil then
        return false
    end
    if ttl == nil then
        ttl = row[LIFETIME]
    end
    if ttl ~= nil then
        space:replace(row_of(key, row[2], ttl))
    end
    return true
end

local function delete(space, key)
    local row = space:get(key)
    if row == nil then
        return false
    end
    space:delete(key)
    return not expiring.expired(row)
end

-- Adds a session. False if the id is in use.
function Sessions:Add(key, value, ttl)
    if ttl == nil then
        ttl = lifetime_default()
    end
    key = check_key(key)
    return atomically(box.space[SPACE_NAME], add, key, row_of(key, value, ttl))
end

-- Sets what a session holds and renews it, with a new ttl if one is given. False if it is missing.
function Sessions:Update(key, value, ttl)
    return atomically(box.space[SPACE_NAME], update, check_key(key), value, ttl)
end

-- What a session holds, nil if it is missing.
function Sessions:Get(key)
    local row = live(box.space[SPACE_NAME], check_key(key))
    if row == nil then
        return nil
    end
    return row[2]
end

-- Ends a session. False if it was missing.
function Sessions:Delete(key)
    return atomically(box.space[SPACE_NAME], delete, check_key(key))
end

-- Renews a session, with a new ttl if one is given. False if it is missing.
function Sessions:Touch(key, ttl)
    return atomically(box.space[SPACE_NAME], touch, check_key(key), ttl)
end

-- Collects expired sessions at once, for at most that many seconds. How many it found.
function Sessions:GC(seconds)
    return (expiring.collect(box.space[SPACE_NAME], seconds))
end

-- Where sessions are kept that are not kept anywhere yet. Without a log there is nothing on disk.
local function engine()
    local on_disk = box.cfg.wal_mode ~= 'none' and 'vinyl' or 'memtx'
    return reload.settings('sessions').engine or on_disk
end

-- Makes the space and starts collecting. Again: does nothing.
function Sessions:Init()
    expiring.space(SPACE_NAME, engine())
    if self.stop_collector == nil then
        self.stop_collector = expiring.collector(SPACE_NAME)
    end
    return true
end

local M = {}

function M.start()
    M.sessions = {}
    for name, method in pairs(Sessions) do
        M.sessions[name] = method
    end
    M.sessions:Init()
    export('SESSIONS', {
        Add = 'write', Update = 'write', Get = 'read', Delete = 'write', Touch = 'write',
    })
    rawset(_G, 'SESSIONS', M.sessions)
end

function M.stop()
    if M.sessions ~= nil and M.sessions.stop_collector ~= nil then
        M.sessions.stop_collector()
    end
end

return reload.entry(M, source)
