-- trigger_list: lists of triggers that belong to one object, such as a connection's callbacks.
--
-- A list is called to change it and is run with `:run(...)`, newest first. A trigger has a name;
-- one set without a name is named after its address.

local error, ipairs, setmetatable, type = error, ipairs, setmetatable, type
local format, insert, remove = string.format, table.insert, table.remove

local function is_callable(value)
    if type(value) == 'function' then
        return true
    end
    local mt = debug.getmetatable(value)
    return type(mt) == 'table' and type(mt.__call) == 'function'
end

local function position_of(entries, name)
    for i, entry in ipairs(entries) do
        if entry.name == name then
            return i
        end
    end
    return nil
end

-- Replaces in place when the name is known, else puts first; a nil handler removes.
local function set_by_name(list, handler, name)
    local position = position_of(list.entries, name)
    if handler == nil then
        if position ~= nil then
            remove(list.entries, position)
        end
        return nil
    end
    local entry = {name = name, handler = handler}
    if position ~= nil then
        list.entries[position] = entry
    else
        insert(list.entries, 1, entry)
    end
    return handler
end

local function set_from_table(list, options)
    if type(options.name) ~= 'string' then
        error('name must be a string', 3)
    elseif options.func ~= nil and not is_callable(options.func) then
        error('func must be a callable object or nil', 3)
    end
    return set_by_name(list, options.func, options.name)
end

local function handlers_of(list)
    local handlers = {}
    for i, entry in ipairs(list.entries) do
        handlers[i] = entry.handler
    end
    return handlers
end

local List = {}
List.__index = List

-- list() lists, list(new) adds, list(nil, old) removes, list(new, old) replaces,
-- list(new, nil, name) and list{name = , func = } set by name.
function List.__call(list, handler, old, name)
    if type(handler) == 'table' and not is_callable(handler) and old == nil and name == nil then
        return set_from_table(list, handler)
    end
    if name ~= nil and type(name) ~= 'string' or old ~= nil and not is_callable(old) or
       handler ~= nil and not is_callable(handler) then
        error('trigger reset: incorrect arguments', 2)
    elseif name ~= nil then
        return set_by_name(list, handler, name)
    elseif handler == nil and old == nil then
        return handlers_of(list)
    end
    if old ~= nil then
        local old_name = format('%p', old)
        if position_of(list.entries, old_name) == nil then
            error('trigger reset: Trigger is not found', 2)
        elseif old ~= handler then
            set_by_name(list, nil, old_name)
        end
    end
    if handler ~= nil then
        local new_name = format('%p', handler)
        if position_of(list.entries, new_name) == nil then
            set_by_name(list, handler, new_name)
        end
    end
    return handler
end

-- Runs on a copy: a trigger may change the list.
function List:run(...)
    for _, handler in ipairs(handlers_of(self)) do
        handler(...)
    end
end

return {
    new = function()
        return setmetatable({entries = {}}, List)
    end,
}
