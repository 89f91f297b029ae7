-- buffer: growing byte buffers (`struct ibuf`), read at one end and written at the other.

local ffi = require('ffi')

local READAHEAD = 16320
-- A shared buffer that grew beyond this is freed instead of kept.
local KEPT_SIZE_MAX = 256 * 1024

-- The fields stand in Tarantool's order: applications read them. The memory comes from malloc.
ffi.cdef([[
    struct ibuf {
        void *slabc;
        char *buf;
        char *rpos;
        char *wpos;
        char *epos;
        size_t start_capacity;
    };
    void *realloc(void *memory, size_t size);
    void free(void *memory);
    void *memmove(void *to, const void *from, size_t size);
]])

local C = ffi.C
local ibuf_type = ffi.typeof('struct ibuf')

local function check(buf, method)
    if not ffi.istype(ibuf_type, buf) then
        error(('Attempt to call method without object, use ibuf:%s()'):format(method), 3)
    end
end

local function used(buf)
    return tonumber(buf.wpos - buf.rpos)
end

-- Moves unread bytes to the front, into larger memory when they would not fit.
local function make_room(buf, size)
    local unread, capacity = used(buf), tonumber(buf.epos - buf.buf)
    if unread + size <= capacity then
        C.memmove(buf.buf, buf.rpos, unread)
    else
        local wanted = math.max(capacity, tonumber(buf.start_capacity))
        while wanted < unread + size do
            wanted = wanted * 2
        end
        if buf.rpos ~= buf.buf and unread > 0 then
            C.memmove(buf.buf, buf.rpos, unread)
        end
        local memory = C.realloc(buf.buf, wanted)
        if memory == nil then
            error(('Failed to allocate %d bytes in ibuf'):format(size), 0)
        end
        buf.buf = ffi.cast('char *', memory)
        buf.epos = buf.buf + wanted
    end
    buf.rpos = buf.buf
    buf.wpos = buf.buf + unread
end

local methods = {}

function methods.reserve(buf, size)
    check(buf, 'reserve')
    if buf.epos - buf.wpos < size then
        make_room(buf, size)
    end
    return buf.wpos
end

function methods.alloc(buf, size)
    check(buf, 'alloc')
    if buf.epos - buf.wpos < size then
        make_room(buf, size)
    end
    local start = buf.wpos
    buf.wpos = start + size
    return start
end

local function check_readable(buf, size)
    if buf.wpos - buf.rpos < size then
        error(('Attempt to read out of range bytes: needed=%d size=%d'):format(tonumber(size),
                                                                              used(buf)), 3)
    end
end

function methods.checksize(buf, size)
    check(buf, 'checksize')
    check_readable(buf, size)
    return buf.rpos
end

function methods.read(buf, size)
    check(buf, 'read')
    check_readable(buf, size)
    local start = buf.rpos
    buf.rpos = start + size
    return start
end

function methods.consume(buf, size)
    check(buf, 'consume')
    check_readable(buf, size)
    buf.rpos = buf.rpos + size
end

-- Forgets the bytes and keeps the memory.
function methods.reset(buf)
    check(buf, 'reset')
    buf.rpos = buf.buf
    buf.wpos = buf.buf
end

-- Forgets the bytes and frees the memory.
function methods.recycle(buf)
    check(buf, 'recycle')
    C.free(buf.buf)
    buf.buf, buf.rpos, buf.wpos, buf.epos = nil, nil, nil, nil
end

function methods.size(buf)
    check(buf, 'size')
    return used(buf)
end

function methods.capacity(buf)
    check(buf, 'capacity')
    return tonumber(buf.epos - buf.buf)
end

function methods.pos(buf)
    check(buf, 'pos')
    return tonumber(buf.rpos - buf.buf)
end

function methods.unused(buf)
    check(buf, 'unused')
    return tonumber(buf.epos - buf.wpos)
end

function methods.__serialize(buf)
    return {ibuf = {rpos = buf.rpos, wpos = buf.wpos}}
end

ffi.metatype(ibuf_type, {
    __index = methods,
    __gc = methods.recycle,
    __tostring = function()
        return '<ibuf>'
    end,
})

local function ibuf(size)
    if size ~= nil and type(size) ~= 'number' then
        error('Usage: ibuf([size])', 2)
    end
    local buf = ffi.new(ibuf_type)
    buf.start_capacity = READAHEAD
    if size ~= nil then
        methods.reserve(buf, size)
    end
    return buf
end

-- Keeps one object of a C type for reuse between calls that do not yield.
local function ffi_stash_new(ctype)
    local kept = nil
    return {
        take = function()
            local object
            object, kept = kept, nil
            return object or ffi.new(ctype)
        end,
        put = function(object)
            kept = object
        end,
    }
end

local shared = nil

local function cord_ibuf_take()
    local buf
    buf, shared = shared, nil
    if buf == nil then
        return ibuf()
    end
    methods.reset(buf)
    return buf
end

local function cord_ibuf_put(buf)
    if buf.epos - buf.buf <= KEPT_SIZE_MAX then
        shared = buf
    end
end

local function cord_ibuf_drop(buf)
    methods.recycle(buf)
    shared = buf
end

return {
    READAHEAD = READAHEAD,
    ibuf = ibuf,
    ffi_stash_new = ffi_stash_new,
    internal = {
        cord_ibuf_take = cord_ibuf_take,
        cord_ibuf_put = cord_ibuf_put,
        cord_ibuf_drop = cord_ibuf_drop,
    },
}
