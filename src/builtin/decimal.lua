-- decimal: exact numbers of up to 38 digits, as cdata with arithmetic.

local ffi = require('ffi')
local native = ...

local error, select, tonumber, type = error, select, tonumber, type

ffi.cdef([[
    typedef struct {
        uint32_t digits;
        int32_t exponent;
        uint8_t bits;
        uint16_t units[13];
    } decimal_t;
]])

local decimal_type = ffi.typeof('decimal_t')
local SIZE = ffi.sizeof(decimal_type)
assert(SIZE == native.size, 'the cdata is laid out as the Rust type')

local function is_decimal(value)
    return ffi.istype(decimal_type, value)
end

local from_string = ffi.cast('bool (*)(decimal_t *, const char *, size_t)', native.from_string)
local from_double = ffi.cast('bool (*)(decimal_t *, double)', native.from_double)
local from_int64 = ffi.cast('bool (*)(decimal_t *, int64_t)', native.from_int64)
local from_uint64 = ffi.cast('bool (*)(decimal_t *, uint64_t)', native.from_uint64)
local compare = ffi.cast('int (*)(const decimal_t *, const decimal_t *)', native.compare)
local precision = ffi.cast('uint32_t (*)(const decimal_t *)', native.precision)
local scale = ffi.cast('uint32_t (*)(const decimal_t *)', native.scale)

local SIGNED = {'int64_t', 'int8_t', 'int16_t', 'int32_t'}
local UNSIGNED = {'uint64_t', 'uint8_t', 'uint16_t', 'uint32_t'}

-- Converts a C number; returns nil when it is none.
local function from_cdata(result, value)
    for i = 1, 4 do
        if ffi.istype(SIGNED[i], value) then
            return from_int64(result, value)
        elseif ffi.istype(UNSIGNED[i], value) then
            return from_uint64(result, value)
        end
    end
    if ffi.istype('double', value) or ffi.istype('float', value) then
        return from_double(result, tonumber(value))
    end
    return nil
end

-- Converts an argument. Levels: 1 is this function, 2 the operation, 3 its caller.
local function cast(value, index)
    if is_decimal(value) then
        return value
    end
    local result, ok = decimal_type(), nil
    local kind = type(value)
    if kind == 'number' then
        ok = from_double(result, value)
    elseif kind == 'string' then
        ok = from_string(result, value, #value)
    elseif kind == 'cdata' then
        ok = from_cdata(result, value)
    end
    if ok then
        return result
    elseif ok == nil then
        error(('expected decimal, number or string as %d argument'):format(index), 3)
    end
    return error(('incorrect value to convert to decimal as %d argument'):format(index), 3)
end

local function binary(name)
    local operation = ffi.cast('bool (*)(decimal_t *, const decimal_t *, const decimal_t *)',
                               native[name])
    return function(left, right)
        left, right = cast(left, 1), cast(right, 2)
        local result = decimal_type()
        if not operation(result, left, right) then
            error('decimal operation failed', 2)
        end
        return result
    end
end

local function unary(name)
    local operation = ffi.cast('bool (*)(decimal_t *, const decimal_t *)', native[name])
    return function(...)
        if select('#', ...) < 1 then
            error(('usage: decimal.%s(decimal)'):format(name), 2)
        end
        local value = cast((...), 1)
        local result = decimal_type()
        if not operation(result, value) then
            error('decimal operation failed', 2)
        end
        return result
    end
end

local function check_decimal(value)
    if not is_decimal(value) then
        error('expected decimal as 1 argument', 3)
    end
    return value
end

local function scaling(name)
    local operation = ffi.cast('bool (*)(decimal_t *, const decimal_t *, int64_t)', native[name])
    return function(...)
        if select('#', ...) < 2 then
            error(('usage: decimal.%s(decimal, scale)'):format(name), 2)
        end
        local value, digits = ...
        value = check_decimal(value)
        local result = decimal_type()
        if not operation(result, value, tonumber(digits) or 0) then
            ffi.copy(result, value, SIZE)
        end
        return result
    end
end

local function compared(left, right)
    if type(left) == 'nil' or type(right) == 'nil' then
        error('attempt to compare decimal with nil', 3)
    end
    return compare(cast(left, 1), cast(right, 2))
end

local function equals(left, right)
    if type(left) == 'nil' or type(right) == 'nil' or
       ffi.istype('void *', left) or ffi.istype('void *', right) then
        return false
    end
    return compare(cast(left, 1), cast(right, 2)) == 0
end

local function to_string(value)
    return native.tostring(check_decimal(value))
end

local decimal = {
    abs = unary('abs'),
    exp = unary('exp'),
    ln = unary('ln'),
    log10 = unary('log10'),
    sqrt = unary('sqrt'),
    trim = unary('trim'),
    round = scaling('round'),
    rescale = scaling('rescale'),
}

function decimal.new(...)
    if select('#', ...) < 1 then
        error('usage: decimal.new(value)', 2)
    end
    local value = cast((...), 1)
    return ffi.new(decimal_type, value)
end

function decimal.is_decimal(...)
    if select('#', ...) < 1 then
        error('usage: decimal.is_decimal(value)', 2)
    end
    return is_decimal((...))
end

function decimal.precision(...)
    if select('#', ...) < 1 then
        error('usage: decimal.precision(decimal)', 2)
    end
    return tonumber(precision(check_decimal((...))))
end

function decimal.scale(...)
    if select('#', ...) < 1 then
        error('usage: decimal.scale(decimal)', 2)
    end
    return tonumber(scale(check_decimal((...))))
end

local minus = unary('minus')

ffi.metatype(decimal_type, {
    __unm = function(value)
        return minus(value)
    end,
    __add = binary('add'),
    __sub = binary('sub'),
    __mul = binary('mul'),
    __div = binary('div'),
    __mod = binary('mod'),
    __pow = binary('pow'),
    __eq = equals,
    __lt = function(left, right)
        return compared(left, right) < 0
    end,
    __le = function(left, right)
        return compared(left, right) <= 0
    end,
    __tostring = to_string,
    __index = decimal,
})

native.register(tonumber(decimal_type), function(address)
    local result = decimal_type()
    ffi.copy(result, address, SIZE)
    return result
end)

return decimal
