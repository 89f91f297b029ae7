-- table: extends the standard table library with copy, deepcopy, equals, new and clear.

local getmetatable, setmetatable, pairs, type = getmetatable, setmetatable, pairs, type

-- Loading them has the side effect that applications rely on: table.new and table.clear.
require('table.new')
require('table.clear')

local function copy_function(value)
    local mt = getmetatable(value)
    return mt, type(mt) == 'table' and mt.__copy or nil
end

-- `seen` maps each table already met to its copy, which keeps cycles and shared parts.
local function deepcopy_into(value, seen)
    if type(value) ~= 'table' then
        return value
    end
    local mt, custom = copy_function(value)
    if custom ~= nil then
        return custom(value)
    end
    local copy = seen[value]
    if copy ~= nil then
        return copy
    end
    copy = {}
    seen[value] = copy
    for key, item in pairs(value) do
        copy[deepcopy_into(key, seen)] = deepcopy_into(item, seen)
    end
    if mt ~= nil then
        setmetatable(copy, mt)
    end
    return copy
end

function table.deepcopy(value)
    return deepcopy_into(value, {})
end

function table.copy(value)
    if type(value) ~= 'table' then
        return value
    end
    local mt, custom = copy_function(value)
    if custom ~= nil then
        return custom(value)
    end
    local copy = {}
    for key, item in pairs(value) do
        copy[key] = item
    end
    if mt ~= nil then
        setmetatable(copy, mt)
    end
    return copy
end

local function has_eq(value)
    local mt = getmetatable(value)
    return type(mt) == 'table' and mt.__eq ~= nil
end

local function equals(a, b)
    if type(a) ~= 'table' or type(b) ~= 'table' then
        return type(a) == type(b) and a == b
    end
    if has_eq(a) or has_eq(b) then
        return a == b
    end
    for key, item in pairs(a) do
        if not equals(item, b[key]) then
            return false
        end
    end
    for key in pairs(b) do
        if type(a[key]) == 'nil' then
            return false
        end
    end
    return true
end

table.equals = equals

-- For modules of ours: a copy without the fields whose names begin with an underscore, which are private.
local function public(fields)
    local shown = {}
    for name, value in pairs(fields) do
        if type(name) ~= 'string' or name:sub(1, 1) ~= '_' then
            shown[name] = value
        end
    end
    return shown
end

return {public = public}
