-- box.stat, box.slab, box.runtime, box.malloc: counters and memory.
local native, box = ...

--
-- box.stat
--

-- Operations that do not exist here, counted where Tarantool counts them.
local ABSENT = {'DELETE_RANGE', 'INSERT_ARROW'}

local function operations()
    local result = native.stat_operations()
    for _, name in ipairs(ABSENT) do
        result[name] = {total = 0, rps = 0}
    end
    return result
end

local function index_by(read)
    return function(_, name)
        if type(name) ~= 'string' then
            error(("bad argument #1 to '?' (string expected, got %s)"):format(type(name)), 2)
        end
        return read()[name]
    end
end

local function network()
    local result, connections, streams, queued, working = native.stat_network()
    result.CONNECTIONS.current = connections
    result.STREAMS.current = streams
    result.REQUESTS_IN_STREAM_QUEUE.current = queued
    result.REQUESTS_IN_PROGRESS.current = working
    result.REQUESTS.current = working
    return result
end

-- The MVCC engine is off, so it holds nothing.
local function mvcc()
    local none = function() return {total = 0, max = 0, avg = 0} end
    local tuples = {}
    for _, status in ipairs({'used', 'read_view', 'tracking'}) do
        tuples[status] =
            {stories = {total = 0, count = 0}, retained = {total = 0, count = 0}}
    end
    return {trackers = none(), conflicts = none(), tuples = tuples}
end

local function transactions()
    local total, max, average = native.stat_transactions()
    return {
        txn = {
            statements = {total = total, max = max, avg = average},
            user = {total = 0, max = 0, avg = 0},
            system = {total = 0, max = 0, avg = 0},
        },
        mvcc = mvcc(),
    }
end

local function memtx()
    local slab = native.slab_info()
    -- What only read views keep is in the totals and not counted apart.
    return {
        data = {total = slab.items_used},
        index = {total = slab.index_used},
        tx = transactions(),
    }
end

-- Nested tables of figures whose names have dots.
local function nested(figures, root)
    for name, figure in pairs(figures) do
        local at = root
        for part in name:gmatch('([^.]+)%.') do
            at[part] = at[part] or {}
            at = at[part]
        end
        at[name:match('[^.]+$')] = figure
    end
    return root
end
box.internal.nested_figures = nested

local function vinyl()
    local tables = {tx = {}, memory = {}, disk = {}, scheduler = {}, regulator = {}, quota = {}}
    return nested(native.stat_vinyl() or {}, tables)
end

local function threads()
    return {network()}
end

box.stat = setmetatable({
    net = setmetatable({
        thread = setmetatable({}, {
            __index = function(_, number) return threads()[number] end,
            __call = threads,
            __serialize = threads,
        }),
    }, {__index = index_by(network), __call = network, __serialize = network}),
    memtx = setmetatable({tx = transactions}, {__call = memtx, __serialize = memtx}),
    vinyl = vinyl,
    sql = function()
        return {sql_search_count = 0, sql_sort_count = 0, sql_found_count = 0, sql_xfer_count = 0}
    end,
    reset = native.stat_reset,
}, {__index = index_by(operations), __call = operations, __serialize = operations})

--
-- box.slab, box.runtime, box.malloc
--

local function percent(used, size, digits)
    return ('%.' .. digits .. 'f%%'):format(size > 0 and 100 * tonumber(used) / tonumber(size) or 0)
end

box.slab = {}

-- Tuples and indexes share one quota (box.cfg.memtx_memory); there is no arena beside it, so the
-- arena is what the quota holds now.
function box.slab.info()
    local slab = native.slab_info()
    local arena_size = slab.items_size + slab.index_used
    return {
        items_size = slab.items_size,
        items_used = slab.items_used,
        items_used_ratio = percent(slab.items_used, slab.items_size, 2),
        arena_size = arena_size,
        arena_used = slab.quota_used,
        arena_used_ratio = percent(slab.quota_used, arena_size, 1),
        quota_size = slab.quota_size,
        quota_used = slab.quota_used,
        quota_used_ratio = percent(slab.quota_used, slab.quota_size, 2),
    }
end

function box.slab.stats()
    local classes = native.slab_classes()
    for _, class in ipairs(classes) do
        box.internal.check.map(class)
    end
    return classes
end

-- Tarantool verifies its allocator here in debug builds; ours checks itself when it is used.
function box.slab.check() end

box.runtime = {}

function box.runtime.info()
    local lua, limit, tuple = native.runtime_info()
    return {lua = lua, tuple = tuple, used = lua + tuple, maxalloc = limit}
end

-- The allocator does not tell what it holds; Tarantool shows zeros then.
box.malloc = {
    info = function() return {size = 0, used = 0} end,
    internal = {info = function() return {} end},
}
