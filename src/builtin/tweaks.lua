-- tweaks: switches of behaviour that `compat` sets and the modules concerned read.
--
-- A module that keeps its switch in native code registers a setter; the others read the table.

local values, setters = {}, {}

return setmetatable({}, {
    __index = values,
    __newindex = function(_, name, value)
        values[name] = value
        if setters[name] ~= nil then
            setters[name](value)
        end
    end,
    -- tweaks(name, setter): has the setter called now, if there is a value, and on each change.
    __call = function(_, name, setter)
        setters[name] = setter
        if values[name] ~= nil then
            setter(values[name])
        end
    end,
})
