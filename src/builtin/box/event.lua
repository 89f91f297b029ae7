-- box.internal.event: functions such as box.session.on_connect that set the triggers of an event.
--
-- on_connect(new) adds, (nil, old) removes, (new, old) replaces, (new, nil, name) and
-- {name = , func = } set by name, () lists. Without a name a trigger is named after its address.
local trigger = require('trigger')

local ipairs, type = ipairs, type

local function is_callable(value)
    if type(value) == 'function' then
        return true
    end
    local mt = debug.getmetatable(value)
    return type(mt) == 'table' and type(mt.__call) == 'function'
end

local function address(value)
    return ('%p'):format(value)
end

local function set_by_name(event, name, handler)
    if type(name) ~= 'string' then
        error('name must be a string', 3)
    elseif handler == nil then
        trigger.del(event, name)
        return
    elseif not is_callable(handler) then
        error('func must be a callable object or nil', 3)
    end
    trigger.set(event, name, handler)
    return handler
end

local function handlers_of(event)
    local result = {}
    for i, entry in ipairs(trigger.info(event)[event] or {}) do
        result[i] = entry[2]
    end
    return result
end

local function is_set(event, name)
    for _, entry in ipairs(trigger.info(event)[event] or {}) do
        if entry[1] == name then
            return true
        end
    end
    return false
end

local function is_nothing_or_callable(value)
    return value == nil or is_callable(value)
end

-- Makes the function that sets the triggers of an event.
local function accessor(event)
    return function(...)
        local new, old, name = ...
        if select('#', ...) == 1 and type(new) == 'table' and not is_callable(new) then
            return set_by_name(event, new.name, new.func)
        elseif not is_nothing_or_callable(new) or not is_nothing_or_callable(old) or
               name ~= nil and type(name) ~= 'string' then
            error('trigger reset: incorrect arguments', 2)
        elseif name ~= nil then
            return set_by_name(event, name, new)
        elseif new == nil and old == nil then
            return handlers_of(event)
        end
        if old ~= nil and not is_set(event, address(old)) then
            error('trigger reset: Trigger is not found', 2)
        elseif old ~= nil and old ~= new then
            trigger.del(event, address(old))
            if new ~= nil then
                -- The new one goes to the front even if it was there.
                trigger.del(event, address(new))
            end
        end
        if new ~= nil then
            trigger.set(event, address(new), new)
            return new
        end
    end
end

return {accessor = accessor, is_callable = is_callable}
