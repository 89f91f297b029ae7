-- internal.metrics.default: what the program tells about itself, by category.
--
-- A category is a function that is called before each collection, and sets gauges and counters. The
-- names and labels are those that dashboards made for Tarantool know.

local clock = require('clock')
local fiber = require('fiber')
local log = require('log')

local pairs, type, tonumber, tostring = pairs, type, tonumber, tostring

-- Categories that describe what this program has not, or nothing in it.
local EMPTY = {
    cartridge_issues = true, cartridge_failover = true, cartridge_config = true, clock = true,
    event_loop = true,
}

local categories = {}
local registry, Gauge, Counter

local function is_configured()
    return type(box.cfg) ~= 'function'
end

local function find(class, list, name, help)
    local collector = registry:find_or_create(class, name, help, {default = true})
    list[name] = collector
    return collector
end

-- Adds a category: `update(gauge, counter)`.
local function category(name, update)
    local list = {}
    local function gauge(metric, help, value, labels)
        find(Gauge, list, 'tnt_' .. metric, help):set(value, labels or {})
    end
    local function counter(metric, help, value, labels)
        local collector = find(Counter, list, 'tnt_' .. metric, help)
        collector:reset(labels or {})
        collector:inc(value, labels or {})
    end
    -- Forgets what was said of things that are no more.
    local function forget(metric)
        local collector = list['tnt_' .. metric]
        if collector ~= nil then
            collector.observations, collector.label_pairs = {}, {}
        end
    end
    categories[name] = {update = function() update(gauge, counter, forget) end, list = list}
end

-- A category that needs the database.
local function database_category(name, update)
    category(name, function(...)
        if is_configured() then
            update(...)
        end
    end)
end

for name in pairs(EMPTY) do
    category(name, function() end)
end

database_category('info', function(gauge, _, forget)
    local info = box.info()
    gauge('info_lsn', 'Tarantool lsn', info.lsn)
    gauge('info_uptime', 'Tarantool uptime', info.uptime)
    forget('info_vclock')
    for id, lsn in pairs(info.vclock) do
        gauge('info_vclock', 'VClock', lsn, {id = id})
    end
    gauge('read_only', 'Is instance read only', info.ro and 1 or 0)
end)

database_category('replicas', function(gauge, _, forget)
    forget('replication_lsn')
    for id, lsn in pairs(box.info.vclock) do
        local replica = box.info.replication[id]
        if replica ~= nil and id ~= box.info.id then
            gauge('replication_lsn', 'lsn for instance', replica.lsn - lsn,
                {type = 'replica', id = id})
        end
    end
end)

-- What box.stat.net counts: kinds of figures with names of metrics.
local NET = {
    {'CONNECTIONS', 'connections', 'Connections total amount', 'Current connections amount'},
    {'REQUESTS', 'requests', 'Requests total amount', 'Pending requests'},
    {'REQUESTS_IN_PROGRESS', 'requests_in_progress', 'Requests in progress total amount',
        'Count of requests currently being processed in the tx thread'},
    {'REQUESTS_IN_STREAM_QUEUE', 'requests_in_stream_queue',
        'Total count of requests, which was placed in queues of streams',
        'count of requests currently waiting in queues of streams'},
}

local function net_figures(gauge, counter, prefix, figures, labels)
    for _, name in ipairs({'SENT', 'RECEIVED'}) do
        if figures[name] ~= nil then
            counter(('%s_%s_total'):format(prefix, name:lower()),
                ('Totally %s in bytes'):format(name:lower()), figures[name].total, labels)
        end
    end
    for _, kind in ipairs(NET) do
        local known = figures[kind[1]]
        if known ~= nil then
            counter(('%s_%s_total'):format(prefix, kind[2]), kind[3], known.total, labels)
            gauge(('%s_%s_current'):format(prefix, kind[2]), kind[4], known.current, labels)
        end
    end
end

database_category('network', function(gauge, counter)
    net_figures(gauge, counter, 'net', box.stat.net())
    for number, figures in pairs(box.stat.net.thread()) do
        net_figures(gauge, counter, 'net_per_thread', figures, {thread = tostring(number)})
    end
end)

database_category('operations', function(_, counter)
    for name, figures in pairs(box.stat()) do
        counter('stats_op_total', 'Total amount of operations', figures.total,
            {operation = name:lower()})
    end
end)

database_category('system', function(gauge)
    gauge('cfg_current_time', 'Tarantool cfg time', clock.time() + 0ULL)
end)

database_category('slab', function(gauge)
    for name, value in pairs(box.slab.info()) do
        local number = tonumber(value) or tonumber((tostring(value):match('^([0-9%.]+)%%?$')))
        gauge('slab_' .. name, 'Slab ' .. name .. ' info', number)
    end
end)

category('runtime', function(gauge)
    for name, value in pairs(box.runtime.info()) do
        if name ~= 'maxalloc' then
            gauge('runtime_' .. name, 'Runtime ' .. name, value)
        end
    end
end)

-- The words of a file of /proc.
local function words_of(path)
    local file = io.open(path)
    if file == nil then
        return {}
    end
    local words = {}
    -- The second field of `stat` is a name in brackets, which may hold spaces.
    for word in file:read('*a'):gsub('%b()', '()'):gmatch('%S+') do
        words[#words + 1] = word
    end
    file:close()
    return words
end

database_category('memory', function(gauge)
    for name, bytes in pairs(box.info.memory()) do
        gauge('info_memory_' .. name, 'Memory ' .. name, bytes)
    end
    local PAGE_SIZE = 4096
    local words = words_of('/proc/self/stat')
    gauge('memory', 'Tarantool instance memory usage', (tonumber(words[24]) or 0) * PAGE_SIZE)
    gauge('memory_virt', 'Tarantool instance virtual memory usage', tonumber(words[23]) or 0)
end)

category('cpu', function(gauge)
    local TICKS_PER_SECOND = 100
    local words = words_of('/proc/self/stat')
    gauge('cpu_user_time', 'CPU user time usage', (tonumber(words[14]) or 0) / TICKS_PER_SECOND)
    gauge('cpu_system_time', 'CPU system time usage', (tonumber(words[15]) or 0) / TICKS_PER_SECOND)
end)

category('cpu_extended', function(gauge)
    local TICKS_PER_SECOND = 100
    local total, count = 0, 0
    local file = io.open('/proc/stat')
    for line in file and file:lines() or function() end do
        if line:match('^cpu%d') then
            count = count + 1
        elseif line:match('^cpu ') then
            for ticks in line:gmatch('%d+') do
                total = total + tonumber(ticks)
            end
        end
    end
    if file ~= nil then
        file:close()
    end
    gauge('cpu_number', 'The number of processors', count)
    gauge('cpu_time', 'Host CPU time', total / TICKS_PER_SECOND)
end)

database_category('spaces', function(gauge, _, forget)
    for _, name in ipairs({'space_index_bsize', 'space_len', 'space_bsize', 'space_total_bsize',
                           'vinyl_tuples'}) do
        forget(name)
    end
    for id, space in pairs(box.space) do
        local is_shown = type(id) == 'number' and id > box.schema.SYSTEM_ID_MAX
            and not space.temporary and space.index[0] ~= nil and space.name:sub(1, 1) ~= '_'
        if is_shown then
            local total = 0
            for number, index in pairs(space.index) do
                if type(number) == 'number' then
                    local bytes = index:bsize()
                    total = total + bytes
                    gauge('space_index_bsize', 'Index bsize', bytes,
                        {name = space.name, index_name = index.name})
                end
            end
            local labels = {name = space.name, engine = space.engine}
            if space.engine == 'memtx' then
                gauge('space_len', 'Space length', space:len(), labels)
                gauge('space_bsize', 'Space bsize', space:bsize(), labels)
                gauge('space_total_bsize', 'Space total bsize', space:bsize() + total, labels)
            elseif space.engine == 'vinyl' and rawget(_G, 'include_vinyl_count') then
                gauge('vinyl_tuples', 'Vinyl space tuples count', space:count(), labels)
            end
        end
    end
end)

category('fibers', function(gauge)
    local count, switches, allocated, used = 0, 0, 0, 0
    for _, info in pairs(fiber.info({backtrace = false})) do
        count = count + 1
        switches = switches + info.csw
        allocated = allocated + info.memory.total
        used = used + info.memory.used
    end
    gauge('fiber_amount', 'Amount of fibers', count)
    gauge('fiber_csw', 'Fibers csw', switches)
    gauge('fiber_memalloc', 'Fibers memalloc', allocated)
    gauge('fiber_memused', 'Fibers memused', used)
end)

-- Figures of box.stat.vinyl: section, name, metric, text, labels.
local VINYL = {
    {'disk', 'data', 'disk_data_size', 'Amount of data stored in files'},
    {'disk', 'index', 'disk_index_size', 'Amount of index stored in files'},
    {'regulator', 'dump_bandwidth', 'regulator_dump_bandwidth',
        'Estimated average rate at which dumps are done'},
    {'regulator', 'write_rate', 'regulator_write_rate',
        'Average rate at which recent writes to disk are done'},
    {'regulator', 'rate_limit', 'regulator_rate_limit', 'Write rate limit'},
    {'regulator', 'dump_watermark', 'regulator_dump_watermark', 'Point when dumping must occur'},
    {'regulator', 'blocked_writers', 'regulator_blocked_writers',
        'The number of fibers that are blocked waiting for Vinyl level0 memory quota'},
    {'tx', 'conflict', 'tx_conflict', 'Count of transaction conflicts'},
    {'tx', 'commit', 'tx_commit', 'Count of commits'},
    {'tx', 'rollback', 'tx_rollback', 'Count of rollbacks'},
    {'tx', 'read_views', 'tx_read_views', 'Count of open read views'},
    {'memory', 'tuple_cache', 'memory_tuple_cache',
        'Number of bytes that are being used for tuple'},
    {'memory', 'level0', 'memory_level0', 'Size of in-memory storage of an LSM tree'},
    {'memory', 'page_index', 'memory_page_index', 'Size of page indexes'},
    {'memory', 'bloom_filter', 'memory_bloom_filter', 'Size of bloom filter'},
    {'memory', 'tuple', 'memory_tuple', 'Total size of memory in bytes occupied by Vinyl tuples'},
    {'scheduler', 'tasks_inprogress', 'scheduler_tasks', 'Vinyl tasks count',
        {status = 'inprogress'}},
    {'scheduler', 'tasks_completed', 'scheduler_tasks', 'Vinyl tasks count',
        {status = 'completed'}},
    {'scheduler', 'tasks_failed', 'scheduler_tasks', 'Vinyl tasks count', {status = 'failed'}},
    {'scheduler', 'dump_time', 'scheduler_dump_time',
        'Total time spent by all worker threads performing dump'},
}

database_category('vinyl', function(gauge, counter)
    local stat = box.stat.vinyl()
    for _, figure in ipairs(VINYL) do
        local section, name, metric, help, labels = unpack(figure, 1, 5)
        local value = stat[section] ~= nil and stat[section][name] or nil
        if value ~= nil then
            gauge('vinyl_' .. metric, help, value, labels)
        end
    end
    if stat.scheduler ~= nil and stat.scheduler.dump_count ~= nil then
        counter('vinyl_scheduler_dump_total', 'The count of completed dumps',
            stat.scheduler.dump_count)
    end
end)

local MEMTX = {
    {'data', 'total', 'tuples_data_total', 'Total amount of memory allocated for data tuples'},
    {'data', 'read_view', 'tuples_data_read_view', 'Memory held for read views'},
    {'data', 'garbage', 'tuples_data_garbage', 'Memory that is unused and scheduled to be freed'},
    {'index', 'total', 'index_total', 'Total amount of memory allocated for indexing data'},
    {'index', 'read_view', 'index_read_view', 'Memory held for read views'},
}

database_category('memtx', function(gauge)
    local ok, stat = pcall(box.stat.memtx)
    for _, figure in ipairs(ok and MEMTX or {}) do
        local section, name, metric, help = unpack(figure)
        local value = type(stat[section]) == 'table' and stat[section][name] or nil
        if value ~= nil then
            gauge('memtx_' .. metric, help, value)
        end
    end
end)

-- LuaJIT tells no more of itself than this.
do
    local list = {}
    categories.luajit = {
        list = list,
        update = function()
            find(Gauge, list, 'lj_gc_memory', 'Memory currently allocated'):set(
                collectgarbage('count') * 1024, {})
        end,
    }
end

category('config', function(gauge)
    local info = require('config'):info()
    local alerts = {warn = 0, error = 0}
    for _, alert in pairs(info.alerts) do
        alerts[alert.type] = (alerts[alert.type] or 0) + 1
    end
    for level, count in pairs(alerts) do
        gauge('config_alerts', 'Tarantool 3 configuration alerts', count, {level = level})
    end
    for _, status in ipairs({'uninitialized', 'startup_in_progress', 'reload_in_progress',
                             'check_warnings', 'check_errors', 'ready'}) do
        gauge('config_status', 'Tarantool 3 configuration status',
            info.status == status and 1 or 0, {status = status})
    end
end)

database_category('schema', function(gauge)
    gauge('schema_needs_upgrade', 'Schema needs upgrade', box.schema.needs_upgrade() and 1 or 0)
end)

-- {{{ Switching them on and off

local function check_name(name, is_strict)
    if categories[name] ~= nil then
        return
    elseif is_strict then
        error(('Unknown metrics %q provided'):format(name))
    end
    log.warn('Unknown metrics %q provided, this will raise an error in the future', name)
end

-- Has exactly these categories be told: 'all', 'none' or a list, without those of another list.
local function enable(include, exclude, is_strict)
    include, exclude = include or 'all', exclude or {}
    local chosen = {}
    local function choose(names, value)
        for _, name in pairs(names) do
            if name == 'all' then
                for known in pairs(categories) do
                    chosen[known] = value
                end
            else
                check_name(name, is_strict)
                chosen[name] = value
            end
        end
    end
    if type(include) == 'table' then
        choose(include, true)
    elseif include == 'all' then
        choose({'all'}, true)
    elseif include ~= 'none' then
        error('Unexpected value provided: include must be "all", {...} or "none"')
    end
    choose(exclude == 'all' and {'all'} or exclude == 'none' and {} or exclude, false)
    for name, known in pairs(categories) do
        if chosen[name] then
            registry:register_callback(known.update, {default = true})
        else
            registry:unregister_callback(known.update)
            for key, collector in pairs(known.list) do
                registry:unregister(collector)
                known.list[key] = nil
            end
        end
    end
end

-- }}} Switching them on and off

return {
    -- Where the collectors are, and of which classes they are made.
    setup = function(used, classes)
        registry, Gauge, Counter = used, classes.Gauge, classes.Counter
    end,
    enable = enable,
    is_category = function(name) return categories[name] ~= nil end,
}
