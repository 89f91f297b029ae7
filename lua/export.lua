-- export: what `FCALL` may call. Everything else is out of reach, whatever its name.
--
--     export('CACHE', {Get = 'read', Set = 'write'})   -- methods of the global CACHE
--     export('hello', 'read')                          -- the global function hello
--
-- 'read' lets FCALL_RO call it too. A name is looked up among the globals when it is called, so
-- a reloaded object is found without a new export; only raw fields are looked at, so that no
-- metatable opens a way past the list.

local M = {}

-- Of each exported name: 'read' or 'write' for a function, a table of them for an object.
local exported = {}

local function check(access)
    if access ~= 'read' and access ~= 'write' then
        error("export: an access is 'read' or 'write'", 3)
    end
    return access
end

function M.export(name, access)
    if type(name) ~= 'string' then
        error('export: a name is a string', 2)
    end
    if type(access) == 'table' then
        local methods = {}
        for method, method_access in pairs(access) do
            methods[method] = check(method_access)
        end
        exported[name] = methods
    else
        exported[name] = check(access or 'write')
    end
end

-- The function behind `name` or `object:method`, its object if it is a method, and its access.
-- Nil if it is not exported or not there.
function M.find(name)
    local object_name, method_name = name:match('^([^:]+):([^:]+)$')
    if object_name == nil then
        local access = exported[name]
        local func = type(access) == 'string' and rawget(_G, name)
        if type(func) == 'function' then
            return func, nil, access
        end
        return nil
    end
    local methods = exported[object_name]
    local access = type(methods) == 'table' and methods[method_name]
    local object = access and rawget(_G, object_name)
    local func = type(object) == 'table' and rawget(object, method_name)
    if type(func) == 'function' then
        return func, object, access
    end
    return nil
end

function M.start(previous)
    if previous ~= nil then
        for name, access in pairs(previous.exported) do
            if exported[name] == nil then
                exported[name] = access
            end
        end
    end
    rawset(_G, 'export', M.export)
end

M.exported = exported
rawset(_G, 'export', M.export)
return M
