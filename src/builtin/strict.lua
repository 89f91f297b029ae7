-- strict: turns reading or assigning an undeclared global variable into an error.
--
-- An assignment in a main chunk (or from native code) declares a variable; inside a function
-- only declared ones may be used.

local getinfo, getmetatable, setmetatable = debug.getinfo, getmetatable, setmetatable
local error, rawget, rawset = error, rawget, rawset

local strict_mt = {__declared = {}}

-- What kind of function touches the variable: two levels above the metamethod's caller.
local function accessor_kind()
    local info = getinfo(3, 'S')
    return info and info.what or 'C'
end

function strict_mt.__newindex(env, name, value)
    if not strict_mt.__declared[name] then
        local kind = accessor_kind()
        if kind ~= 'main' and kind ~= 'C' then
            error("assign to undeclared variable '" .. tostring(name) .. "'", 2)
        end
        strict_mt.__declared[name] = true
    end
    rawset(env, name, value)
end

function strict_mt.__index(env, name)
    if not strict_mt.__declared[name] and accessor_kind() ~= 'C' then
        error("variable '" .. tostring(name) .. "' is not declared", 2)
    end
    return rawget(env, name)
end

local function on()
    local mt = getmetatable(_G)
    if mt == nil then
        setmetatable(_G, strict_mt)
    elseif mt ~= strict_mt then
        mt.__newindex, mt.__index = strict_mt.__newindex, strict_mt.__index
    end
end

local function off()
    strict_mt.__declared = {}
    local mt = getmetatable(_G)
    if mt == strict_mt then
        setmetatable(_G, nil)
    elseif mt ~= nil then
        mt.__newindex, mt.__index = nil, nil
    end
end

on()

return {
    on = on,
    off = off,
}
