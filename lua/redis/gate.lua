-- gate: what stands between a connection and its commands, as long as something does.
--
-- A connection without a gate costs nothing. `M.update(client)` puts one up or takes it down
-- after one of the reasons has changed:
--   client.needs_auth   only AUTH, HELLO, QUIT and RESET are let through
--   client.queue        commands are queued until EXEC (transaction.lua)
--   a pause             commands wait until CLIENT PAUSE is over

local fiber = require('fiber')
local resp = require('resp')

local use = ...
local facts = use('redis/facts.lua')
local failure = use('redis/failure.lua')
local dispatch = use('redis/dispatch.lua')

local M = {}

local QUEUED = resp.status('QUEUED')
-- These work at once inside MULTI.
local NOT_QUEUED = {
    EXEC = true, DISCARD = true, MULTI = true, WATCH = true, QUIT = true, RESET = true,
}

-- Set by the server file: the tables of commands and the connections.
M.commands = {}
M.lists = {}
M.clients = {}

local pause = {till = 0, all = false, over = fiber.cond()}

local function is_paused(name)
    if pause.till <= fiber.time() then
        return false
    end
    if pause.all then
        return name ~= 'CLIENT'
    end
    return facts.has_flag(name, 'write') or name == 'FCALL' or name == 'EXEC'
end

local function wait_for_pause(client, name)
    while is_paused(name) do
        pause.over:wait(pause.till - fiber.time())
    end
    M.update(client)
end

-- Queues a command of a transaction, or refuses it and the transaction with it.
local function queue(client, name, count, ...)
    if facts.has_flag(name, 'no_multi') then
        client.queue.failed = true
        return resp.error('ERR Command not allowed inside a transaction')
    end
    local prepare = M.prepare ~= nil and M.prepare[name]
    if prepare then
        prepare(client, ...)
    end
    table.insert(client.queue, {name, count, ...})
    return QUEUED
end

-- The reply to a request that may not go on, nil if it may. `err` is what is wrong with it.
local function refusal(client, name, err)
    if err == nil and client.needs_auth and not facts.has_flag(name, 'no_auth') then
        err = failure.no_auth
    end
    if err ~= nil and client.queue ~= nil then
        client.queue.failed = true
        if name == 'EXEC' and err ~= failure.no_auth then
            return M.abort(client, err)
        end
    end
    return err
end

local function gate(client, name, ...)
    local count = select('#', ...) + 1
    local err = dispatch.check(M.commands, name, count, ...)
    name = name:upper()
    err = refusal(client, name, err)
    if err ~= nil then
        return err
    end
    if client.queue ~= nil and not NOT_QUEUED[name] then
        return queue(client, name, count, ...)
    end
    if pause.till > 0 then
        wait_for_pause(client, name)
    end
    return M.commands[name](client, ...)
end

-- The same for a request whose arguments are a list, because a call cannot pass so many.
local function gate_list(client, name, list)
    local err = dispatch.check(M.commands, name, #list + 1, unpack(list, 1, 20))
    name = name:upper()
    local handler = M.lists[name]
    if err == nil and handler == nil then
        err = failure.too_many
    end
    err = refusal(client, name, err)
    if err ~= nil then
        return err
    end
    if client.queue ~= nil and not NOT_QUEUED[name] then
        table.insert(client.queue, {name, #list + 1, list = list})
        return QUEUED
    end
    if pause.till > 0 then
        wait_for_pause(client, name)
    end
    return handler(client, list)
end

-- Puts the gate up or takes it down, as the state of the connection demands.
function M.update(client)
    if client.needs_auth or client.queue ~= nil or pause.till > fiber.time() then
        client:set_gate(gate, gate_list)
    else
        client:set_gate(nil)
    end
end

-- Makes commands wait for so many seconds: all, or only those that write.
function M.pause(seconds, all)
    -- A longer pause is not shortened, and a stricter one not loosened, as in Redis.
    local active = pause.till > fiber.time()
    pause.till = math.max(active and pause.till or 0, fiber.time() + seconds)
    pause.all = all or (active and pause.all)
    for _, client in pairs(M.clients) do
        M.update(client)
    end
end

function M.unpause()
    pause.till = 0
    pause.over:broadcast()
end

function M.start(previous)
    if previous ~= nil then
        pause = previous.pause_state()
        M.clients = previous.clients
    end
end

function M.pause_state()
    return pause
end

return M
