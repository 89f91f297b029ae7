-- internal.config_roles: the roles of the instance, started, changed and stopped with it.
--
-- A role is a module with validate, apply and stop; `dependencies` names roles that are applied
-- before it, and `on_event` hears of new configurations and of changes of box.status.

local log = require('log')
local metadata = require('internal.config_metadata')

-- Roles that run by their names, in the order in which they were applied, and their settings.
local running, order, settings = {}, {}, {}
local is_watching = false

local function quoted(name)
    return ('%q'):format(name)
end

local function load_role(name)
    local role = running[name] or require(name)
    if type(role) ~= 'table' then
        error(('Unable to use module %s as a role: expected table, got %s'):format(
            name, type(role)), 0)
    end
    for _, func in ipairs({'validate', 'apply', 'stop'}) do
        if type(role[func]) ~= 'function' then
            error(('Role %s does not contain function %s'):format(name, func), 0)
        end
    end
    local dependencies = role.dependencies
    if dependencies ~= nil and type(dependencies) ~= 'table' then
        error(('Role %q has field "dependencies" of type %s, array-like table or nil expected')
            :format(name, type(dependencies)), 0)
    end
    return role
end

-- The names with every role after those it depends on; otherwise they stay in their order.
local function sorted(names, roles)
    local result, is_placed, is_open = {}, {}, {}
    local function place(name)
        if is_placed[name] then
            return
        end
        is_open[name] = true
        for _, other in ipairs(roles[name].dependencies or {}) do
            if roles[other] == nil then
                error(('Role %q requires role %q, but the latter is not in the list of roles of ' ..
                    'the instance'):format(name, other), 0)
            elseif other == name then
                error(('Circular dependency: role %q depends on itself'):format(name), 0)
            elseif is_open[other] then
                error(('Circular dependency: roles %q and %q depend on each other'):format(
                    name, other), 0)
            end
            place(other)
        end
        is_open[name], is_placed[name] = nil, true
        result[#result + 1] = name
    end
    for _, name in ipairs(names) do
        place(name)
    end
    return result
end

-- Stops the roles that are not wanted any more, the last one first. One that another needs which
-- is to stay cannot be stopped.
local function stop_others(wanted)
    local dependents = {}
    for _, name in ipairs(order) do
        for _, other in ipairs(wanted[name] and running[name].dependencies or {}) do
            dependents[other] = dependents[other] or {}
            table.insert(dependents[other], quoted(name))
        end
    end
    for _, name in ipairs(order) do
        local names = not wanted[name] and dependents[name]
        if names then
            error(('Role %q cannot be stopped because %s'):format(name, #names == 1 and
                ('role %s depends on it'):format(names[1]) or
                ('roles %s depend on it'):format(table.concat(names, ', '))), 0)
        end
    end
    for i = #order, 1, -1 do
        local name = order[i]
        if not wanted[name] then
            local ok, err = pcall(running[name].stop)
            if not ok then
                error(('Error stopping role %s: %s'):format(name, err), 0)
            end
            running[name] = nil
            table.remove(order, i)
        end
    end
end

-- Tells the roles that ask for it.
local function tell(event, value)
    for _, name in ipairs(table.copy(order)) do
        local role = running[name]
        if role ~= nil and role.on_event ~= nil then
            local ok, err = pcall(role.on_event, settings[name], event, value)
            if not ok then
                log.error('roles.on_event: callback for role "%s" failed: %s', name, err)
            end
        end
    end
end

local function stop_all()
    for i = #order, 1, -1 do
        local ok, err = pcall(running[order[i]].stop)
        if not ok then
            log.error('Error stopping role %s: %s', order[i], err)
        end
    end
end

-- Once: roles end with the instance, and hear of its status.
local function watch()
    if is_watching then
        return
    end
    is_watching = true
    box.ctl.on_shutdown(stop_all)
    local is_first = true
    box.watch('box.status', function(_, value)
        -- The status at the start comes with the configuration.
        if not is_first then
            tell('box.status', value)
        end
        is_first = false
    end)
end

-- The roles that were loaded before the database started.
local early

-- Before the database starts or is changed: asks these roles whether they work here, and at the first
-- time loads those that want to be loaded so early.
local function prepare(names, evaluate)
    local is_first = early == nil
    early = early or {}
    local asked, wanted = {}, {}
    for _, name in ipairs(names) do
        if not asked[name] then
            asked[name] = true
            local own = metadata.of_module('role', name)
            metadata.check('Role', name, own, evaluate)
            if own.early_load then
                table.insert(wanted, name)
            end
        end
    end
    for _, name in ipairs(wanted) do
        if is_first then
            load_role(name)
            early[name] = true
        elseif not early[name] then
            metadata.too_late('Role', name)
        end
    end
end

-- Makes the roles with these names run with these settings.
local function apply(names, new_settings)
    local wanted, unique = {}, {}
    for _, name in ipairs(names) do
        if not wanted[name] then
            wanted[name] = true
            unique[#unique + 1] = name
        end
    end
    stop_others(wanted)
    if #unique == 0 then
        return
    end
    local roles = {}
    for _, name in ipairs(unique) do
        roles[name] = load_role(name)
    end
    local new_order = sorted(unique, roles)
    for _, name in ipairs(new_order) do
        local ok, err = pcall(roles[name].validate, new_settings[name])
        if not ok then
            error(('Wrong config for role %s: %s'):format(name, err), 0)
        end
    end
    for _, name in ipairs(new_order) do
        local ok, err = pcall(roles[name].apply, new_settings[name])
        if not ok then
            error(('Error applying role %s: %s'):format(name, err), 0)
        end
    end
    running, order, settings = roles, new_order, new_settings
    watch()
    tell('config.apply', box.watch_once('box.status'))
end

return {apply = apply, prepare = prepare}
