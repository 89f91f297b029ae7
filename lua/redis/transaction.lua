-- transaction: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
--
-- Between MULTI and EXEC the gate queues commands. EXEC runs them in one transaction of the
-- engine without yielding: all of their changes are written to the log together, or none. As in
-- Redis, a command that fails does not undo the others.

local resp = require('resp')

local use = ...
local keyspace = use('redis/keyspace.lua')
local gate = use('redis/gate.lua')

local OK = resp.OK

local commands = {}
-- For requests with more arguments than a call can pass.
local lists = {}

function commands.MULTI(client)
    if client.queue ~= nil then
        return resp.error('ERR MULTI calls can not be nested')
    end
    client.queue = {}
    gate.update(client)
    return OK
end

-- Ends the transaction's queueing, and returns what was queued.
local function take_queue(client)
    local queue = client.queue
    client.queue = nil
    gate.update(client)
    return queue
end

function commands.DISCARD(client)
    if client.queue == nil then
        return resp.error('ERR DISCARD without MULTI')
    end
    take_queue(client)
    keyspace.unwatch(client)
    return OK
end

-- Runs one queued command; an error is its reply.
local function run(client, command)
    local name = command[1]
    local ok, reply, row, field
    if command.list ~= nil then
        ok, reply = pcall(gate.lists[name], client, command.list)
    else
        ok, reply, row, field =
            pcall(gate.commands[name], client, unpack(command, 3, command[2] + 1))
    end
    if not ok then
        return resp.failure(reply)
    end
    if reply == resp.FIELD then
        return row[field]
    end
    if reply == nil then
        return resp.null
    end
    return reply
end

local function run_all(client, queue)
    local replies = {}
    for i, command in ipairs(queue) do
        local savepoint = box.savepoint()
        replies[i] = run(client, command)
        if resp.is_error(replies[i]) then
            box.rollback_to_savepoint(savepoint)
        end
    end
    return replies
end

function commands.EXEC(client)
    if client.queue == nil then
        return resp.error('ERR EXEC without MULTI')
    end
    local broken = keyspace.watch_broken(client)
    local queue = take_queue(client)
    keyspace.unwatch(client)
    if queue.failed then
        return resp.error('EXECABORT Transaction discarded because of previous errors.')
    end
    if broken then
        return resp.null_array
    end
    if #queue == 0 then
        return {}
    end
    box.begin()
    local ok, replies = pcall(run_all, client, queue)
    if ok then
        local err
        ok, err = pcall(box.commit)
        if ok then
            return replies
        end
        replies = err
    end
    box.rollback()
    return resp.error('EXECABORT Transaction discarded because of: ' .. tostring(replies))
end

-- Gives up a transaction whose EXEC was wrong.
gate.abort = function(client, err)
    commands.DISCARD(client)
    local text = tostring(err):gsub('^ERR ', '')
    return resp.error('EXECABORT Transaction discarded because of: ' .. text)
end

function lists.WATCH(client, keys)
    if client.queue ~= nil then
        return resp.error('ERR WATCH inside MULTI is not allowed')
    end
    if not client.watch_broken then
        for _, key in ipairs(keys) do
            keyspace.watch(client, key)
        end
    end
    return OK
end

function commands.WATCH(client, ...)
    return lists.WATCH(client, {...})
end

function commands.UNWATCH(client)
    keyspace.unwatch(client)
    return OK
end

-- A database is a space, and one cannot be made inside a transaction: so the commands that may
-- need a new one have it made when they are queued.
gate.prepare = {
    SELECT = function(_, database)
        local ok, index = pcall(keyspace.database_number, database)
        if ok then
            local _ = keyspace.databases[index]
        end
    end,
    MOVE = function(_, _, database)
        gate.prepare.SELECT(nil, database)
    end,
    COPY = function(_, _, _, ...)
        for i, name in ipairs({...}) do
            if name:upper() == 'DB' then
                gate.prepare.SELECT(nil, (select(i + 1, ...)) or '')
            end
        end
    end,
    SWAPDB = function(_, first, second)
        gate.prepare.SELECT(nil, first)
        gate.prepare.SELECT(nil, second)
    end,
}

return {commands = commands, lists = lists}
