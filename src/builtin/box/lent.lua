-- lent: bytes that somebody else owns and lends for as long as a call takes.
--
-- Handlers of `resp` that ask for it (`resp.lend`) get their arguments so: no Lua string is made of
-- what only passes on to the database. The owner takes the bytes back when the handler has returned:
-- what is kept longer is empty then, and never points to anything else.
local ffi = require('ffi')

ffi.cdef('struct lycosa_lent { const char *data; size_t size; };')

local istype, ffi_string = ffi.istype, ffi.string
local lent_t = ffi.typeof('struct lycosa_lent')

local function is_lent(value)
    return type(value) == 'cdata' and istype(lent_t, value)
end

-- The string of lent bytes; any other value is returned as it is.
local function own(value)
    if is_lent(value) then
        return ffi_string(value.data, value.size)
    end
    return value
end

ffi.metatype(lent_t, {
    __len = function(lent) return tonumber(lent.size) end,
    __tostring = own,
    __eq = function(left, right) return rawequal(own(left), own(right)) end,
    __concat = function(left, right) return own(left) .. own(right) end,
})

return {new = lent_t, is_lent = is_lent, own = own}
