-- uuid: universally unique identifiers (RFC 4122, version 4) as cdata `struct tt_uuid`.

local ffi = require('ffi')
local native = ...

local error, type = error, type

ffi.cdef([[
    struct tt_uuid {
        uint32_t time_low;
        uint16_t time_mid;
        uint16_t time_hi_and_version;
        uint8_t clock_seq_hi_and_reserved;
        uint8_t clock_seq_low;
        uint8_t node[6];
    };
]])

local uuid_type = ffi.typeof('struct tt_uuid')
local SIZE, TEXT_SIZE = 16, 36

local create = ffi.cast('void (*)(struct tt_uuid *)', native.create)
local parse = ffi.cast('bool (*)(const char *, size_t, struct tt_uuid *)', native.from_string)
local to_string = ffi.cast('void (*)(const struct tt_uuid *, char *)', native.to_string)
local compare_raw = ffi.cast('int (*)(const struct tt_uuid *, const struct tt_uuid *)',
                             native.compare)
local swap = ffi.cast('void (*)(struct tt_uuid *)', native.swap)

local text_buffer = ffi.new('char[37]')
local scratch = ffi.new(uuid_type)
local null = ffi.new(uuid_type)

local function is_uuid(value)
    return ffi.istype(uuid_type, value)
end

local function str(uuid)
    if not is_uuid(uuid) then
        error('Usage: uuid:str()', 2)
    end
    to_string(uuid, text_buffer)
    return ffi.string(text_buffer, TEXT_SIZE)
end

local function fromstr(text)
    if type(text) ~= 'string' then
        error('fromstr(str)', 2)
    end
    local uuid = uuid_type()
    if not parse(text, #text, uuid) then
        return nil
    end
    return uuid
end

local function is_network_order(order)
    if order == nil or order == 'l' or order == 'h' or order == 'host' then
        return false
    elseif order == 'b' or order == 'n' or order == 'network' then
        return true
    end
    return error('invalid byteorder, valid is l, b, h, n', 3)
end

local function bin(uuid, order)
    if not is_uuid(uuid) then
        error('Usage: uuid:bin([byteorder])', 2)
    end
    if is_network_order(order) then
        ffi.copy(scratch, uuid, SIZE)
        swap(scratch)
        uuid = scratch
    end
    return ffi.string(ffi.cast('const char *', uuid), SIZE)
end

local function frombin(bytes, order)
    if type(bytes) ~= 'string' or #bytes ~= SIZE then
        error('frombin(bin, [byteorder])', 2)
    end
    local uuid = uuid_type()
    ffi.copy(uuid, bytes, SIZE)
    if is_network_order(order) then
        swap(uuid)
    end
    return uuid
end

local function isnil(uuid)
    if not is_uuid(uuid) then
        error('Usage: uuid:isnil()', 2)
    end
    return compare_raw(uuid, null) == 0
end

local function new()
    local uuid = uuid_type()
    create(uuid)
    return uuid
end

local function cast(value, index)
    if is_uuid(value) then
        return value
    end
    local uuid = type(value) == 'string' and fromstr(value)
    if not uuid then
        error(('incorrect value to convert to uuid as %d argument'):format(index), 4)
    end
    return uuid
end

local function compare(left, right)
    return compare_raw(cast(left, 1), cast(right, 2))
end

ffi.metatype(uuid_type, {
    __tostring = str,
    __eq = function(left, right)
        if not is_uuid(left) then
            left, right = right, left
        end
        if type(right) == 'string' then
            right = fromstr(right)
        end
        return is_uuid(right) and compare_raw(left, right) == 0
    end,
    __lt = function(left, right)
        return compare(left, right) < 0
    end,
    __le = function(left, right)
        return compare(left, right) <= 0
    end,
    __index = {
        isnil = isnil,
        bin = bin,
        str = str,
    },
})

native.register(tonumber(uuid_type), frombin)

return setmetatable({
    NULL = null,
    new = new,
    fromstr = fromstr,
    frombin = frombin,
    bin = function(order)
        return bin(new(), order)
    end,
    str = function()
        return str(new())
    end,
    is_uuid = is_uuid,
}, {
    __call = new,
})
