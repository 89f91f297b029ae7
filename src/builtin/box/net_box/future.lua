-- net_box_future: a request under way, and what came of it.
--
-- The public methods are those of Tarantool's futures; `complete`, `fail` and `push` are for the
-- transport, which calls them when packets arrive.

local fiber = require('fiber')
local clock = fiber.clock

local error, setmetatable, type = error, setmetatable, type

local FOREVER = 500 * 365 * 86400

local Future = {}
local future_mt = {
    __index = Future,
    __tostring = function() return 'net.box.request' end,
    -- What users keep in it.
    __serialize = function(self)
        local fields = {}
        for name, value in pairs(self) do
            if name ~= '_state' then
                fields[name] = value
            end
        end
        return fields
    end,
}

local module = {}

-- `forget` tells the transport that nobody wants the reply.
function module.new(sync, forget, transport)
    local state = {
        sync = sync, forget = forget, transport = transport, changed = fiber.cond(), is_done = false, messages = {},
    }
    return setmetatable({_state = state}, future_mt)
end

local function finish(future, value, err)
    local state = future._state
    if not state.is_done then
        state.is_done, state.value, state.err = true, value, err
        state.changed:broadcast()
    end
end

function module.complete(future, value)
    finish(future, value, nil)
end

function module.fail(future, err)
    finish(future, nil, err)
end

function module.push(future, message)
    local state = future._state
    state.messages[#state.messages + 1] = message
    state.changed:broadcast()
end

-- Waits for the reply at most that long, calling `on_push` with the context and each message
-- meanwhile. Returns the value, or nil and the error.
function module.wait(future, timeout, on_push, context)
    local state = future._state
    local deadline = clock() + (timeout or FOREVER)
    local seen = 0
    while true do
        while on_push ~= nil and seen < #state.messages do
            seen = seen + 1
            on_push(context, state.messages[seen])
        end
        if state.is_done then
            return state.value, state.err
        end
        local left = deadline - clock()
        if left <= 0 then
            state.forget(state.sync)
            local err = state.transport.timed_out()
            finish(future, nil, err)
            return nil, err
        end
        state.changed:wait(left)
        fiber.testcancel()
    end
end

local function check(future, method)
    if type(future) ~= 'table' or future._state == nil then
        error(('Use future:%s(...) instead of future.%s(...)'):format(method, method), 3)
    end
    return future._state
end

local function check_timeout(timeout, usage)
    if timeout ~= nil and (type(timeout) ~= 'number' or timeout < 0) then
        error('Usage: ' .. usage, 3)
    end
    return timeout or FOREVER
end

function Future:is_ready()
    return check(self, 'is_ready').is_done
end

-- The result, or nil and an error: also when there is none yet.
function Future:result()
    local state = check(self, 'result')
    if not state.is_done then
        return nil, box.error.new(box.error.PROC_LUA, 'Response is not ready')
    elseif state.err ~= nil then
        return nil, state.err
    end
    return state.value
end

function Future:wait_result(timeout)
    local state = check(self, 'wait_result')
    state.transport:check_not_trigger(3)
    local deadline = clock() + check_timeout(timeout, 'future:wait_result(timeout)')
    while not state.is_done do
        local left = deadline - clock()
        if left <= 0 then
            return nil, state.transport.timed_out()
        end
        state.changed:wait(left)
        fiber.testcancel()
    end
    return self:result()
end

-- Nobody wants the reply any more.
function Future:discard()
    local state = check(self, 'discard')
    if not state.is_done then
        state.forget(state.sync)
        finish(self, nil, box.error.new(box.error.PROC_LUA, 'Response is discarded'))
    end
end

local function step(param, position)
    local future, timeout = param[1], param[2]
    local state = future._state
    state.transport:check_not_trigger(3)
    if position == nil or param.is_over then
        return nil, nil
    end
    local deadline = clock() + timeout
    while true do
        if position < #state.messages then
            return position + 1, state.messages[position + 1]
        elseif state.is_done then
            param.is_over = true
            if state.err ~= nil then
                return box.NULL, state.err
            end
            return position + 1, state.value
        end
        local left = deadline - clock()
        if left <= 0 then
            return box.NULL, state.transport.timed_out()
        end
        state.changed:wait(left)
        fiber.testcancel()
    end
end

-- Messages that the request pushes, and its result at the end; waits for each at most that long.
function Future:pairs(timeout)
    check(self, 'pairs')
    return step, {self, check_timeout(timeout, 'future:pairs(timeout)')}, 0
end

return module
