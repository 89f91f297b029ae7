-- info: INFO, in the sections and with the names that tools read.

local fiber = require('fiber')
local resp = require('resp')

local use = ...
local keyspace = use('redis/keyspace.lua')
local stats = use('redis/stats.lua')
local config = use('redis/config.lua')
local connection = use('redis/connection.lua')
local server_commands = use('redis/server.lua')

local commands = {}
local M = {commands = commands}

-- The counters of the native server; the server file fills it in.
function M.counters()
    return {}
end

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
    return {
        {'redis_version', connection.version},
        {'redis_mode', 'standalone'},
        {'lycosa_version', box.info.version},
        {'os', jit.os},
        {'arch_bits', 64},
        {'process_id', box.info.pid},
        {'run_id', (tostring(box.info.uuid):gsub('-', '') .. ('0'):rep(40)):sub(1, 40)},
        {'tcp_port', config.settings.port},
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
    return {
        {'used_memory', math.floor(used)},
        {'used_memory_human', human(used)},
        {'used_memory_dataset', math.floor(slab.items_used)},
        {'used_memory_lua', math.floor(collectgarbage('count') * 1024)},
        {'maxmemory', math.floor(tonumber(slab.quota_size))},
        {'maxmemory_human', human(tonumber(slab.quota_size))},
        {'maxmemory_policy', 'noeviction'},
    }
end

function sections.persistence()
    return {
        {'loading', 0},
        {'rdb_bgsave_in_progress', box.info.gc().checkpoint_is_in_progress and 1 or 0},
        {'rdb_last_save_time', server_commands.last_save()},
        {'rdb_last_bgsave_status', 'ok'},
        {'aof_enabled', box.cfg.wal_mode == 'none' and 0 or 1},
        {'lsn', box.info.lsn},
    }
end

function sections.stats()
    local counters = M.counters()
    return {
        {'total_connections_received', counters.connections_received or 0},
        {'total_commands_processed', counters.commands_processed or 0},
        {'total_net_input_bytes', counters.input_bytes or 0},
        {'total_net_output_bytes', counters.output_bytes or 0},
        {'rejected_connections', counters.connections_rejected or 0},
        {'keyspace_hits', stats.hits},
        {'keyspace_misses', stats.misses},
        {'evicted_keys', 0},
    }
end

function sections.replication()
    return {{'role', 'master'}, {'connected_slaves', 0}, {'master_repl_offset', box.info.lsn}}
end

function sections.cpu()
    return {{'used_cpu_total', ('%.6f'):format(require('clock').proc())}}
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
