-- trigger: named functions registered on named events, called newest first.
--
-- A list is copied when it changes, so a call in progress keeps walking the list it started on;
-- entries deleted meanwhile are marked and skipped.

local error, pairs, select, type = error, pairs, select, type

-- Event name to an array of {name, handler, is_deleted}.
local events = {}

-- Prefixes of event names to functions that are called when such an event has changed.
local observers = {}

local function changed(event)
    for prefix, observer in pairs(observers) do
        if event:sub(1, #prefix) == prefix then
            observer(event)
        end
    end
end

local function is_callable(value)
    if type(value) == 'function' then
        return true
    end
    local mt = debug.getmetatable(value)
    return type(mt) == 'table' and type(mt.__call) == 'function'
end

local function check_name(value, index, level)
    if type(value) == 'number' then
        return tostring(value)
    elseif type(value) ~= 'string' then
        error(("bad argument #%d to '?' (string expected, got %s)"):format(index, type(value)),
              level + 1)
    end
    return value
end

local function position_of(list, name)
    for i = 1, #list do
        if list[i].name == name then
            return i
        end
    end
    return nil
end

-- Replaces in place when the name is known, else puts the handler first.
local function set(...)
    if select('#', ...) ~= 3 then
        error('Usage: trigger.set(event, trigger, function)', 2)
    end
    local event, name, handler = ...
    event, name = check_name(event, 1, 2), check_name(name, 2, 2)
    if not is_callable(handler) then
        error(("bad argument #3 to '?' (callable expected, got %s)"):format(type(handler)), 2)
    end
    local list = events[event] or {}
    local entry = {name = name, handler = handler}
    local copy = {}
    local position = position_of(list, name)
    if position == nil then
        copy[1] = entry
    end
    for i = 1, #list do
        if i == position then
            list[i].is_deleted = true
            copy[#copy + 1] = entry
        else
            copy[#copy + 1] = list[i]
        end
    end
    events[event] = copy
    changed(event)
    return handler
end

local function del(...)
    if select('#', ...) ~= 2 then
        error('Usage: trigger.del(event, trigger)', 2)
    end
    local event, name = ...
    event, name = check_name(event, 1, 2), check_name(name, 2, 2)
    local list = events[event]
    local position = list and position_of(list, name)
    if position == nil then
        return nil
    end
    local copy = {}
    for i = 1, #list do
        if i ~= position then
            copy[#copy + 1] = list[i]
        end
    end
    list[position].is_deleted = true
    events[event] = #copy > 0 and copy or nil
    changed(event)
    return list[position].handler
end

local function call(...)
    if select('#', ...) == 0 then
        error('Usage: trigger.call(event, [args...])', 2)
    end
    local list = events[check_name((...), 1, 2)]
    if list == nil then
        return
    end
    for i = 1, #list do
        if not list[i].is_deleted then
            list[i].handler(select(2, ...))
        end
    end
end

local function info(...)
    if select('#', ...) > 1 then
        error('Usage: trigger.info([event])', 2)
    end
    local function describe(list)
        local result = {}
        for i = 1, #list do
            result[i] = {list[i].name, list[i].handler}
        end
        return result
    end
    local result = {}
    if select('#', ...) == 1 then
        local event = check_name((...), 1, 2)
        if events[event] ~= nil then
            result[event] = describe(events[event])
        end
        return result
    end
    for event, list in pairs(events) do
        result[event] = describe(list)
    end
    return result
end

local function pairs_step(cursor)
    local list = cursor.list
    repeat
        cursor.position = cursor.position + 1
        local entry = list[cursor.position]
        if entry == nil then
            return nil
        elseif not entry.is_deleted then
            return entry.name, entry.handler
        end
    until false
end

local function trigger_pairs(...)
    if select('#', ...) ~= 1 then
        error('Usage: trigger.pairs(event)', 2)
    end
    local event = check_name((...), 1, 2)
    return pairs_step, {list = events[event] or {}, position = 0}
end

return {
    set = set,
    del = del,
    call = call,
    info = info,
    pairs = trigger_pairs,
    _internal = {
        observe = function(prefix, observer) observers[prefix] = observer end,
    },
}
