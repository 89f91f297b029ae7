-- info: INFO, in the sections and with the names that tools read.

local fiber = require('fiber')
local resp = require('resp')

local use = ...
local keyspace = use('redis/keyspace.lua')
local stats = use('redis/stats.lua')
local expiring = use('expiring.lua')
local process = use('redis/process.lua')
local config = use('redis/config.lua')
local connection = use('redis/connection.lua')
local server_commands = use('redis/server.lua')

local commands = {}
local M = {commands = commands}

local function human(bytes)
    local units = {'B', 'K', 'M', 'G', 'T'}
    local unit = 1
    while bytes >= 1024 and unit < #units do
        bytes, unit = bytes / 1024, unit + 1
    end
    return unit == 1 and ('%dB'):format(bytes) or ('%.2f%s'):format(bytes, units[unit])
end

local sections = {}

function sections.server()
    local uptime = math.floor(box.info.uptime)
    local _, port = config.listening()
    return {
        {'redis_version', connection.version},
        {'redis_mode', 'standalone'},
        {'lycosa_version', box.info.version},
        {'os', process.system()},
        {'arch_bits', 64},
        {'multiplexing_api', 'epoll'},
        {'process_id', box.info.pid},
        {'run_id', (tostring(box.info.uuid):gsub('-', '') .. ('0'):rep(40)):sub(1, 40)},
        {'tcp_port', port},
        {'server_time_usec', math.floor(fiber.time() * 1e6)},
        {'uptime_in_seconds', uptime},
        {'uptime_in_days', math.floor(uptime / 86400)},
        {'executable', arg ~= nil and arg[-1] or ''},
    }
end

function sections.clients()
    local list = connection.clients()
    local watching = 0
    for _, client in ipairs(list) do
        if client.watching ~= nil then
            watching = watching + 1
        end
    end
    return {
        {'connected_clients', #list},
        {'maxclients', config.settings.clients_max},
        {'blocked_clients', 0},
        {'watching_clients', watching},
    }
end

function sections.memory()
    local slab = box.slab.info()
    local used = slab.arena_used + collectgarbage('count') * 1024
    local resident, peak = process.memory()
    return {
        {'used_memory', math.floor(used)},
        {'used_memory_human', human(used)},
        {'used_memory_rss', resident},
        {'used_memory_rss_human', human(resident)},
        {'used_memory_peak', peak},
        {'used_memory_peak_human', human(peak)},
        {'used_memory_dataset', math.floor(slab.items_used)},
        {'used_memory_lua', math.floor(collectgarbage('count') * 1024)},
        {'maxmemory', math.floor(tonumber(slab.quota_size))},
        {'maxmemory_human', human(tonumber(slab.quota_size))},
        {'maxmemory_policy', 'noeviction'},
        {'mem_fragmentation_ratio', ('%.2f'):format(resident / used)},
    }
end

-- How many changes the newest snapshot does not have.
local function changes_since_save()
    local checkpoints = box.info.gc().checkpoints
    local newest = checkpoints[#checkpoints]
    return newest ~= nil and box.info.signature - newest.signature or box.info.signature
end

function sections.persistence()
    return {
        {'loading', 0},
        {'rdb_changes_since_last_save', changes_since_save()},
        {'rdb_bgsave_in_progress', box.info.gc().checkpoint_is_in_progress and 1 or 0},
        {'rdb_last_save_time', server_commands.last_save()},
        {'rdb_last_bgsave_status', 'ok'},
        {'aof_enabled', box.cfg.wal_mode == 'none' and 0 or 1},
        {'aof_rewrite_in_progress', 0},
        {'lsn', box.info.lsn},
    }
end

-- Growth per second of the counters, over the time since they were last asked for, at least a
-- second.
local RATE_INTERVAL = 1
local measured = {time = 0, counters = {}, rates = {}}

local function rates(counters)
    local time = fiber.clock()
    local seconds = time - measured.time
    if seconds >= RATE_INTERVAL then
        local rates = {}
        for name, count in pairs(counters) do
            rates[name] = (count - (measured.counters[name] or count)) / seconds
        end
        measured = {time = time, counters = counters, rates = rates}
    end
    return measured.rates
end

function sections.stats()
    local counters = config.counters()
    local rate = rates(counters)
    counters = stats.since_reset(counters)
    return {
        {'total_connections_received', counters.connections_received or 0},
        {'total_commands_processed', counters.commands_processed or 0},
        {'instantaneous_ops_per_sec', math.floor(rate.commands_processed or 0)},
        {'instantaneous_input_kbps', ('%.2f'):format((rate.input_bytes or 0) / 1024)},
        {'instantaneous_output_kbps', ('%.2f'):format((rate.output_bytes or 0) / 1024)},
        {'total_net_input_bytes', counters.input_bytes or 0},
        {'total_net_output_bytes', counters.output_bytes or 0},
        {'rejected_connections', counters.connections_rejected or 0},
        {'keyspace_hits', stats.hits},
        {'keyspace_misses', stats.misses},
        {'expired_keys', expiring.collected},
        {'evicted_keys', 0},
        {'pubsub_channels', 0},
        {'pubsub_patterns', 0},
    }
end

function sections.replication()
    return {{'role', 'master'}, {'connected_slaves', 0}, {'master_repl_offset', box.info.lsn}}
end

function sections.cpu()
    local user, system = process.processor_time()
    return {
        {'used_cpu_sys', ('%.6f'):format(system)},
        {'used_cpu_user', ('%.6f'):format(user)},
    }
end

function sections.cluster()
    return {{'cluster_enabled', 0}}
end

function sections.keyspace()
    local list = {}
    for _, database in ipairs(keyspace.used()) do
        local space = keyspace.databases[database]
        local keys = space:len()
        if keys > 0 then
            local expires = space.index.ttl:len()
            table.insert(list, {'db' .. database,
                                ('keys=%d,expires=%d,avg_ttl=0'):format(keys, expires)})
        end
    end
    return list
end

local ORDER = {
    'server', 'clients', 'memory', 'persistence', 'stats', 'replication', 'cpu', 'cluster',
    'keyspace',
}

local function print_section(name)
    local lines = {'# ' .. name:sub(1, 1):upper() .. name:sub(2)}
    for _, field in ipairs(sections[name]()) do
        local value = field[2]
        if type(value) == 'cdata' then
            value = tostring(value):gsub('U?LL$', '')
        elseif type(value) == 'number' then
            value = ('%d'):format(value)
        end
        table.insert(lines, field[1] .. ':' .. tostring(value))
    end
    return table.concat(lines, '\r\n') .. '\r\n'
end

function commands.INFO(_, ...)
    local wanted = {}
    local all = select('#', ...) == 0
    for _, name in ipairs({...}) do
        name = name:lower()
        all = all or name == 'default' or name == 'all' or name == 'everything'
        wanted[name] = true
    end
    local parts = {}
    for _, name in ipairs(ORDER) do
        if all or wanted[name] then
            table.insert(parts, print_section(name))
        end
    end
    return resp.verbatim('txt', table.concat(parts, '\r\n'))
end

return M
