-- errno: the number of the last system error, its constants and texts.

local ffi = require('ffi')
local numbers = ...

ffi.cdef('char *strerror(int number);')

local function strerror(number)
    return ffi.string(ffi.C.strerror(number or ffi.errno()))
end

return setmetatable({strerror = strerror}, {
    __index = numbers,
    __newindex = function()
        error("Can't create new errno constants", 2)
    end,
    -- errno() reads, errno(number) sets and returns the number before.
    __call = function(_, number)
        if number == nil then
            return ffi.errno()
        end
        return ffi.errno(number)
    end,
})
