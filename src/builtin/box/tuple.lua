-- box.tuple: tuples as values, and the making of them from what native calls return.
local native = ...
local ffi = require('ffi')
local fun = require('fun')

ffi.cdef([[
struct tuple {
    const uint8_t *raw;
    uint8_t copy[?];
};
struct lycosa_field {
    double number;
    uint64_t integer;
    const char *data;
    size_t size;
};
]])

local tuple_t = ffi.typeof('struct tuple')
local ffi_new, ffi_copy, ffi_gc, ffi_string = ffi.new, ffi.copy, ffi.gc, ffi.string
local istype = ffi.istype
local type, tonumber, unpack = type, tonumber, unpack

local function pointer(signature, name)
    return ffi.cast(signature, native[name])
end

local c_field = pointer('int (*)(const uint8_t *, uint32_t)', 'tuple_field')
local c_field_count = pointer('uint32_t (*)(const uint8_t *)', 'tuple_field_count')
local c_bsize = pointer('uint32_t (*)(const uint8_t *)', 'tuple_bsize')
local c_image_size = pointer('uint32_t (*)(const uint8_t *)', 'tuple_image_size')
local c_format_id = pointer('uint32_t (*)(const uint8_t *)', 'tuple_format_id')
local c_ref = pointer('void (*)(const uint8_t *)', 'tuple_ref')
local c_unref = pointer('void (*)(const uint8_t *)', 'tuple_unref')
local field = ffi.cast('struct lycosa_field *', native.field)
local result = ffi.cast('const uint8_t **', native.result)

-- Up to this size a tuple is copied into the Lua value; see tuple.rs.
local COPY_SIZE_MAX = 512

local function release(tuple)
    c_unref(tuple.raw)
end

-- The Lua value of the tuple at an address.
local function bless(raw)
    local size = c_image_size(raw)
    if size <= COPY_SIZE_MAX then
        local tuple = ffi_new(tuple_t, size)
        tuple.raw = tuple.copy
        ffi_copy(tuple.copy, raw, size)
        return tuple
    end
    local tuple = ffi_new(tuple_t, 0)
    c_ref(raw)
    tuple.raw = raw
    -- A local, not a tail call: LuaJIT does not compile the return from ffi.gc otherwise.
    local counted = ffi_gc(tuple, release)
    return counted
end

-- One value for every tuple that is only looked at, whose counting its owner sees to.
local peeked = ffi_new(tuple_t, 0)

-- The Lua value of the tuple at an address, until the next call.
local function bless_for_now(raw)
    peeked.raw = raw
    return peeked
end

-- The Lua value of what the last native call returned, nil for nothing.
local function bless_result()
    local raw = result[0]
    if raw == nil then
        return nil
    end
    local tuple = bless(raw)
    return tuple
end

local function is_tuple(value)
    return type(value) == 'cdata' and istype(tuple_t, value)
end

local function check(tuple, usage)
    if not is_tuple(tuple) then
        error('Usage: ' .. usage, 3)
    end
end

-- Field `number` from 0; what is not plain is decoded by the C function.
local decode_field = native.tuple_decode_field

local int64_t = ffi.typeof('int64_t')
local NULL = ffi.cast('void *', 0)

local function get_field(tuple, number)
    local kind = c_field(tuple.raw, number)
    if kind == 1 then
        return field.number
    elseif kind == 2 then
        return ffi_string(field.data, field.size)
    elseif kind == 0 then
        return nil
    elseif kind == 3 then
        return true
    elseif kind == 4 then
        return false
    elseif kind == 5 then
        return ffi_new(int64_t, field.integer)
    elseif kind == 6 then
        return field.integer
    elseif kind == 7 then
        return NULL
    end
    return decode_field(tuple, number)
end

--
-- Methods
--

local methods = {}

local function step(tuple, position)
    local kind_position = position or 0
    if type(kind_position) ~= 'number' then
        error("error: invalid key to 'next'", 2)
    end
    if kind_position >= c_field_count(tuple.raw) then
        if kind_position > c_field_count(tuple.raw) then
            error("error: invalid key to 'next'", 2)
        end
        return nil
    end
    return kind_position + 1, get_field(tuple, kind_position)
end

function methods.next(tuple, position)
    check(tuple, 'tuple:next(tuple[, pos])')
    position = position or 0
    if position >= c_field_count(tuple.raw) then
        return nil
    end
    return position + 1, get_field(tuple, position)
end

function methods.ipairs(tuple, position)
    check(tuple, 'tuple:pairs(tuple[, pos])')
    return fun.wrap(step, tuple, position)
end

methods.pairs = methods.ipairs

methods.totable = native.tuple_totable

function methods.unpack(tuple, from, to)
    return unpack(native.tuple_totable(tuple, from, to), 1,
        to == nil and c_field_count(tuple.raw) - (from or 1) + 1 or nil)
end

function methods.find(tuple, offset, value)
    check(tuple, 'tuple:find([offset, ]val)')
    if value == nil then
        offset, value = 0, offset
    end
    for number = offset, c_field_count(tuple.raw) - 1 do
        if get_field(tuple, number) == value then
            return number + 1
        end
    end
    return nil
end

function methods.findall(tuple, offset, value)
    check(tuple, 'tuple:findall([offset, ]val)')
    if value == nil then
        offset, value = 0, offset
    end
    local found = {}
    for number = offset, c_field_count(tuple.raw) - 1 do
        if get_field(tuple, number) == value then
            found[#found + 1] = number + 1
        end
    end
    return found
end

function methods.slice(tuple, start, stop)
    check(tuple, 'tuple:slice(start[, end])')
    if type(start) ~= 'number' or (stop ~= nil and type(stop) ~= 'number') then
        error('Usage: tuple:slice(start[, end])', 2)
    end
    local count = c_field_count(tuple.raw)
    if start < 0 then
        start = start + count
    end
    stop = stop or count
    if stop < 0 then
        stop = stop + count
    elseif stop > count then
        stop = count
    end
    if stop <= start then
        error('tuple.slice(): start must be less than end', 2)
    end
    return unpack(native.tuple_totable(tuple, start + 1, stop), 1, stop - start)
end

function methods.update(tuple, operations)
    native.tuple_update(tuple, operations)
    return bless_result()
end

function methods.upsert(tuple, operations)
    native.tuple_upsert(tuple, operations)
    return bless_result()
end

function methods.transform(tuple, ...)
    if select('#', ...) < 1 then
        error('tuple.transform(): bad arguments', 2)
    end
    native.tuple_transform(tuple, ...)
    return bless_result()
end

function methods.tomap(tuple, opts)
    if opts ~= nil and type(opts) ~= 'table' then
        error('Usage: tuple:tomap(opts)', 2)
    end
    return native.tuple_tomap(tuple, opts ~= nil and opts.names_only)
end

function methods.bsize(tuple)
    check(tuple, 'tuple:bsize()')
    return c_bsize(tuple.raw)
end

methods.info = native.tuple_info

local tuple_module = {}
for name, method in pairs(methods) do
    tuple_module[name] = method
end

methods.format = native.tuple_format
methods.__serialize = native.tuple_totable

-- Names of fields by format, filled on first use.
local names_by_format = {}

-- A space was altered, and the names of its tuples with it.
local function forget_field_names()
    for id in pairs(names_by_format) do
        names_by_format[id] = nil
    end
end

local function field_names(format_id)
    local names = native.tuple_field_names(format_id)
    names_by_format[format_id] = names
    return names
end

local field_by_path = native.tuple_field_by_path

ffi.metatype(tuple_t, {
    __len = function(tuple)
        return c_field_count(tuple.raw)
    end,
    __tostring = native.tuple_tostring,
    -- Fields hide methods of the same name; `box.tuple.method(tuple)` reaches those.
    __index = function(tuple, key)
        if type(key) == 'number' then
            return get_field(tuple, key - 1)
        end
        if type(key) ~= 'string' then
            return nil
        end
        local format_id = c_format_id(tuple.raw)
        local names = names_by_format[format_id] or field_names(format_id)
        local number = names[key]
        if number ~= nil then
            local value = get_field(tuple, number)
            if value ~= nil then
                return value
            end
        end
        local method = methods[key]
        if method ~= nil then
            return method
        end
        return field_by_path(tuple, key)
    end,
    __eq = function(left, right)
        if not (is_tuple(left) and is_tuple(right)) then
            return false
        end
        if left.raw == right.raw then
            return true
        end
        -- Copies of one tuple are the same tuple.
        local size = c_image_size(left.raw)
        if size ~= c_image_size(right.raw) or size > COPY_SIZE_MAX then
            return false
        end
        return native.tuple_tostring(left) == native.tuple_tostring(right)
    end,
    __pairs = methods.ipairs,
    __ipairs = methods.ipairs,
})

native.tuple_prepare(tonumber(tuple_t))
native.set_bless(bless_result)

--
-- box.tuple.format
--

local format_methods = {
    pairs = function(format)
        return fun.iter(format.fields)
    end,
    totable = function(format)
        return table.deepcopy(format.fields)
    end,
}
format_methods.ipairs = format_methods.pairs
local format_metatable = {
    __index = format_methods,
    __tostring = function() return 'box.tuple.format' end,
    __len = function(format) return #format.fields end,
}
format_metatable.__serialize = format_methods.totable

local function normalize_format(fields)
    local normalized = {}
    for number, given in ipairs(fields) do
        local normal = {type = 'any'}
        if type(given) == 'string' then
            normal.name = given
        elseif type(given) == 'table' then
            for key, value in pairs(given) do
                if key == 1 then
                    normal.name = value
                elseif key == 2 then
                    normal.type = value
                else
                    normal[key] = value
                end
            end
        else
            box.error(box.error.ILLEGAL_PARAMS,
                ('format[%d]: name (string) is expected'):format(number))
        end
        normalized[number] = normal
    end
    return normalized
end

local function is_format(value)
    return type(value) == 'table' and getmetatable(value) == format_metatable
end

tuple_module.format = setmetatable({
    new = function(fields)
        if type(fields) ~= 'table' then
            box.error(box.error.ILLEGAL_PARAMS, 'format must be a table', 2)
        end
        return setmetatable({fields = normalize_format(fields)}, format_metatable)
    end,
    is = is_format,
}, {
    -- box.tuple.format(tuple) is also the method.
    __call = function(_, tuple) return native.tuple_format(tuple) end,
})

function tuple_module.new(value, options)
    if type(value) ~= 'table' and not is_tuple(value) then
        value = {value}
    end
    local format
    if options ~= nil then
        if type(options) ~= 'table' then
            box.error(box.error.ILLEGAL_PARAMS, 'options should be a table', 2)
        end
        for key in pairs(options) do
            if key ~= 'format' then
                box.error(box.error.ILLEGAL_PARAMS,
                    ("unexpected option '%s'"):format(key), 2)
            end
        end
        format = options.format
        if format ~= nil then
            format = is_format(format) and format.fields or normalize_format(format)
        end
    end
    native.tuple_new(value, format)
    return bless_result()
end

tuple_module.is = is_tuple

return {
    module = tuple_module,
    bless = bless,
    bless_for_now = bless_for_now,
    bless_result = bless_result,
    is_tuple = is_tuple,
    normalize_format = normalize_format,
    forget_field_names = forget_field_names,
}
