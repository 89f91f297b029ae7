-- server: the commands about the server and its databases.

local fiber = require('fiber')
local clock = require('clock')
local fio = require('fio')
local log = require('log')
local resp = require('resp')

local use = ...
local keyspace = use('redis/keyspace.lua')
local failure = use('redis/failure.lua')
local number = use('redis/number.lua')
local containers = use('redis/container.lua')
local container, misused = containers.container, containers.misused

local OK = resp.OK

local commands = {}

function commands.DBSIZE(client)
    return keyspace.databases[client.database]:len()
end

local function check_flush(option, more)
    if more ~= nil or (option ~= nil and option:upper() ~= 'SYNC'
                       and option:upper() ~= 'ASYNC') then
        error(failure.syntax)
    end
end

function commands.FLUSHDB(client, option, more)
    check_flush(option, more)
    keyspace.flush(client.database)
    return OK
end

function commands.FLUSHALL(_, option, more)
    check_flush(option, more)
    for _, database in ipairs(keyspace.used()) do
        keyspace.flush(database)
    end
    return OK
end

function commands.SWAPDB(_, first, second)
    local function check(text, message)
        local database = number.integer(text)
        if database == nil or not number.is_int32(database) then
            error(resp.error(message))
        end
    end
    check(first, 'ERR invalid first DB index')
    check(second, 'ERR invalid second DB index')
    keyspace.swap(keyspace.database_number(first), keyspace.database_number(second))
    return OK
end

function commands.TIME()
    local time = clock.realtime()
    return {('%d'):format(time), ('%d'):format(time % 1 * 1000000)}
end

local debug_help = {
    'DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
    'SLEEP <seconds>', '    Let this connection wait; others go on.',
    'HELP', '    Print this help.',
}

-- Unlike in Redis, only this connection sleeps.
function commands.DEBUG(_, sub, seconds, more)
    local upper = sub:upper()
    if upper == 'HELP' and seconds == nil then
        return debug_help
    elseif upper ~= 'SLEEP' or seconds == nil or more ~= nil then
        return misused('DEBUG', sub)
    end
    seconds = tonumber(seconds)
    if seconds == nil then
        error(failure.not_float)
    end
    fiber.sleep(math.max(seconds, 0))
    return OK
end

-- Runs box.snapshot(), and says in Redis's words if one is running.
local function snapshot()
    local ok, err = pcall(box.snapshot)
    if not ok then
        if type(err) == 'cdata' and err.code == box.error.CHECKPOINT_IN_PROGRESS then
            error(resp.error('ERR Background save already in progress'))
        end
        error(err)
    end
end

function commands.SAVE()
    snapshot()
    return OK
end

function commands.BGSAVE(_, schedule, more)
    if more ~= nil or (schedule ~= nil and schedule:upper() ~= 'SCHEDULE') then
        error(failure.syntax)
    end
    -- Not `create`, which yields: this may be a transaction.
    fiber.new(function()
        local ok, err = pcall(snapshot)
        if not ok then
            log.error('BGSAVE: %s', err)
        end
    end)
    return resp.status('Background saving started')
end

-- The newest snapshot of which the file was looked at, and when it was finished.
local saved = {signature = -1, time = 0}

-- When the newest snapshot was finished, in seconds. Looking at a file yields, so inside a
-- transaction this is what was known before.
local function last_save()
    local checkpoints = box.info.gc().checkpoints
    local newest = checkpoints[#checkpoints]
    if newest ~= nil and newest.signature ~= saved.signature and not box.is_in_txn() then
        local name = ('%020d.snap'):format(tonumber(newest.signature))
        local stat = fio.stat(fio.pathjoin(box.cfg.memtx_dir or '.', name))
        saved = {signature = newest.signature, time = stat ~= nil and math.floor(stat.mtime) or 0}
    end
    return saved.time
end

function commands.LASTSAVE()
    return last_save()
end

local SHUTDOWN_WORDS = {SAVE = true, NOSAVE = true, NOW = true, FORCE = true, ABORT = true}

-- What a SHUTDOWN waits at while its snapshot is written; nil when none does.
local shutdown

-- Writes a snapshot after the one that is being written, if there is one. False and why not, or
-- that SHUTDOWN ABORT came first.
local function save_and_wait()
    local done = fiber.channel(1)
    shutdown = done
    fiber.create(function()
        while box.info.gc().checkpoint_is_in_progress do
            fiber.sleep(0.01)
        end
        done:put({pcall(box.snapshot)}, 0)
    end)
    local result = done:get()
    if shutdown == done then
        shutdown = nil
    end
    return unpack(result)
end

-- Every change is in the log, so nothing is saved unless it is asked for. NOW is for replicas, which
-- are not waited for.
function commands.SHUTDOWN(client, ...)
    local given, count = {}, 0
    for _, word in ipairs({...}) do
        word = word:upper()
        if not SHUTDOWN_WORDS[word] then
            error(failure.syntax)
        end
        count = count + (given[word] and 0 or 1)
        given[word] = true
    end
    if (given.ABORT and count > 1) or (given.SAVE and given.NOSAVE) then
        error(failure.syntax)
    elseif given.ABORT then
        if shutdown == nil then
            return resp.error('ERR No shutdown in progress.')
        end
        shutdown:put({false, 'aborted'}, 0)
        shutdown = nil
        return OK
    end
    log.warn('SHUTDOWN of client %s, user %s', client:info().address, client.user)
    if given.SAVE then
        local ok, err = save_and_wait()
        if not ok then
            log.error('SHUTDOWN: %s', err)
            if not given.FORCE or err == 'aborted' then
                return resp.error('ERR Errors trying to SHUTDOWN. Check logs.')
            end
        end
    end
    -- Does not return; the client sees its connection end.
    os.exit(0)
end

local memory = {}

-- The bytes of the row; its place in the indexes takes about 32 more.
function memory.USAGE(client, key, option, samples, more)
    if option ~= nil then
        local count = samples ~= nil and number.integer(samples)
        if option:upper() ~= 'SAMPLES' or samples == nil or more ~= nil then
            error(failure.syntax)
        elseif count == nil then
            error(failure.not_integer)
        elseif count < 0 then
            error(failure.syntax)
        end
    end
    local row = keyspace.row(client, key)
    if row == nil then
        return nil
    end
    return row:bsize() + (row[3] ~= nil and 64 or 32)
end

function memory.HELP()
    return {
        'MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
        'USAGE <key> [SAMPLES <count>]', '    How many bytes a key and its value take.',
        'HELP', '    Print this help.',
    }
end

commands.MEMORY = container('MEMORY', memory)

-- There are no replicas of this kind, so the time is waited for, as in Redis.
function commands.WAIT(client, replicas, timeout)
    replicas, timeout = number.integer(replicas), number.integer(timeout)
    if replicas == nil then
        error(failure.not_integer)
    elseif timeout == nil then
        return resp.error('ERR timeout is not an integer or out of range')
    elseif timeout < 0 then
        return resp.error('ERR timeout is negative')
    end
    if replicas > 0 and not box.is_in_txn() then
        local finish = fiber.clock() + tonumber(timeout) / 1000
        while client:is_connected() and (timeout == 0 or fiber.clock() < finish) do
            local left = timeout == 0 and 1 or math.min(finish - fiber.clock(), 1)
            fiber.sleep(math.max(left, 0))
        end
    end
    return 0
end

return {commands = commands, last_save = last_save, start = last_save}
