-- fiber: cooperative threads, conditions and channels.
local native = ...
local ffi = require('ffi')

local fiber = {
    create = native.create,
    new = native.new,
    self = native.self,
    id = native.id,
    find = native.find,
    name = native.name,
    status = native.status,
    cancel = native.cancel,
    kill = native.cancel,
    testcancel = native.testcancel,
    wakeup = native.wakeup,
    set_joinable = native.set_joinable,
    join = native.join,
    sleep = native.sleep,
    yield = native.yield,
    set_max_slice = native.set_max_slice,
    set_slice = native.set_slice,
    extend_slice = native.extend_slice,
    check_slice = native.check_slice,
    cond = native.cond,
    channel = native.channel,
    time = ffi.cast('double (*)(void)', native.time),
    time64 = ffi.cast('int64_t (*)(void)', native.time64),
    clock = ffi.cast('double (*)(void)', native.clock),
    clock64 = ffi.cast('int64_t (*)(void)', native.clock64),
}

-- C functions behind Lua ones: `type(fiber.time)` must be a function.
for _, name in ipairs({'time', 'time64', 'clock', 'clock64'}) do
    local read = fiber[name]
    fiber[name] = function() return read() end
end

--
-- Fibers as objects
--

local function wants_backtraces(opts)
    local wanted
    if type(opts) == 'table' then
        wanted = opts.backtrace
        if wanted == nil then
            wanted = opts.bt
        end
    end
    return wanted == nil or not not wanted
end

local fiber_methods = {
    id = native.id,
    name = native.name,
    status = native.status,
    csw = native.csw,
    cancel = native.cancel,
    kill = native.cancel,
    wakeup = native.wakeup,
    set_joinable = native.set_joinable,
    join = native.join,
    info = function(self, opts)
        return (select(2, next(native.info(self, wants_backtraces(opts)))))
    end,
    testcancel = function(self)
        if self ~= native.self() then
            return
        end
        return native.testcancel()
    end,
    set_max_slice = function(_, slice) return native.set_slice(slice) end,
    extend_slice = function(_, slice) return native.extend_slice(slice) end,
    check_slice = function() return native.check_slice() end,
}

local fiber_metatable = {
    __index = function(self, key)
        if key == 'storage' then
            return native.storage(self)
        end
        return fiber_methods[key]
    end,
    __newindex = function()
        error('fiber object is read-only', 2)
    end,
    __eq = function(left, right)
        return native.id(left) == native.id(right)
    end,
    __tostring = function(self)
        return 'fiber: ' .. tostring(native.id(self))
    end,
    __serialize = function(self)
        local id = native.id(self)
        local status = native.status(self)
        if status == 'dead' then
            return {id = id, status = status}
        end
        return {id = id, name = native.name(self), status = status}
    end,
    __autocomplete = function() return fiber_methods end,
}

--
-- Conditions
--

local cond_metatable = {
    __index = {
        wait = native.cond_wait,
        signal = native.cond_signal,
        broadcast = native.cond_broadcast,
    },
    __tostring = function() return 'cond' end,
}

--
-- Channels
--

local function channel_info(self)
    local capacity, count, closed, has_readers, has_writers = native.channel_info(self)
    return {
        capacity = capacity, count = count, closed = closed,
        has_readers = has_readers, has_writers = has_writers,
    }
end

local channel_metatable = {
    __index = {
        put = native.channel_put,
        get = native.channel_get,
        close = function(self) native.channel_close(self, false) end,
        shutdown = function(self) native.channel_close(self, true) end,
        count = function(self) return channel_info(self).count end,
        size = function(self) return channel_info(self).capacity end,
        is_full = function(self)
            local info = channel_info(self)
            return info.count >= info.capacity
        end,
        is_empty = function(self) return channel_info(self).count == 0 end,
        is_closed = function(self) return channel_info(self).closed end,
        has_readers = function(self) return channel_info(self).has_readers end,
        has_writers = function(self) return channel_info(self).has_writers end,
    },
    __tostring = function(self)
        return channel_info(self).closed and 'channel: closed' or 'channel'
    end,
}
channel_metatable.__serialize = channel_metatable.__tostring

native.set_metatables(fiber_metatable, cond_metatable, channel_metatable)

--
-- What runs, and how long
--

function fiber.info(opts)
    if opts ~= nil and type(opts) ~= 'table' then
        error('Usage: fiber.info({backtrace = false})', 2)
    end
    return setmetatable(native.info(nil, wants_backtraces(opts)), {__serialize = 'mapping'})
end

local top_enabled = false
local top_since

function fiber.top_enable()
    top_enabled = true
    top_since = native.info()
    native.measure(true)
end

function fiber.top_disable()
    top_enabled = false
    native.measure(false)
end

-- Shares of the processor time that fibers used since `top_enable`, in percent.
function fiber.top()
    if not top_enabled then
        error('fiber.top() is disabled. Enable it with fiber.top_enable() first', 2)
    end
    local now, total, spent = native.info(), 0, {}
    for id, info in pairs(now) do
        local before = top_since[id]
        spent[id] = info.time - (before and before.time or 0)
        total = total + spent[id]
    end
    local cpu = {}
    for id, info in pairs(now) do
        local share = total > 0 and spent[id] / total * 100 or 0
        cpu[('%d/%s'):format(tonumber(id), info.name)] =
            {instant = share, average = share, time = info.time}
    end
    return {cpu = cpu, cpu_misses = 0}
end

-- Backtraces show Lua frames only, and always; these switches of Tarantool's have nothing to do.
function fiber.parent_backtrace_enable() end
function fiber.parent_backtrace_disable() end
function fiber.leak_backtrace_enable() end
function fiber.leak_backtrace_disable() end

--
-- Tasks for contexts that must not yield, such as finalizers: one fiber runs them in order.
--

local tasks_first, tasks_last, worker

local function work()
    while true do
        local task = tasks_first
        if task == nil then
            native.stall()
        else
            tasks_first = task.next
            if tasks_first == nil then
                tasks_last = nil
            end
            pcall(task.run, task.argument)
        end
    end
end

local function schedule_task(run, argument)
    local task = {run = run, argument = argument}
    if tasks_last ~= nil then
        tasks_last.next = task
    else
        tasks_first = task
    end
    tasks_last = task
    if worker == nil then
        worker = native.new(work)
        native.name(worker, 'tasks_worker_fiber')
        native.set_system(worker)
    end
    native.wakeup(worker)
end

fiber._internal = {
    cord_is_main = true,
    schedule_task = schedule_task,
    set_system = native.set_system,
    set_managed_shutdown = native.set_system,
}

-- How many fibers of the network layer may run user requests at once: no limit of its own.
function fiber.tx_user_pool_size()
    return nil
end

return setmetatable(fiber, {__serialize = function(self)
    local shown = {}
    for key, value in pairs(self) do
        if key ~= '_internal' then
            shown[key] = value
        end
    end
    return shown
end})
