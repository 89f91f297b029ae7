-- merger: one ordered sequence of tuples made of several that are ordered already.
--
-- A source hands out tuples one by one: of a buffer (MessagePack as net.box writes it there), of
-- tables, of an iterator, or of other sources merged. Chunks are asked for when the last is used
-- up, so a source may be larger than memory.
local native = ...

local ffi = require('ffi')
local fun = require('fun')

local error, getmetatable, ipairs, math = error, getmetatable, ipairs, math
local rawget, select, setmetatable, tostring, type = rawget, select, setmetatable, tostring, type

-- Declares struct ibuf.
require('buffer')

local LIMIT_MAX = 4294967295

local ibuf_type = ffi.typeof('struct ibuf')

local merger = {}

-- A source is a table with `next`, a function that returns a tuple, or nil at the end.
local source_mt

local function is_source(value)
    return type(value) == 'table' and getmetatable(value) == source_mt
end

local function new_source(next_tuple)
    return setmetatable({next = next_tuple}, source_mt)
end

local function illegal(text)
    box.error(box.error.ILLEGAL_PARAMS, text, 0)
end

local function is_ibuf(value)
    return type(value) == 'cdata' and ffi.istype(ibuf_type, value)
end

local function is_callable(value)
    if type(value) == 'function' then
        return true
    end
    local mt = type(value) ~= 'cdata' and getmetatable(value) or nil
    return type(mt) == 'table' and rawget(mt, '__call') ~= nil
end

local function as_tuple(value)
    if box.tuple.is(value) then
        return value
    elseif type(value) ~= 'table' then
        illegal('A tuple or a table expected, got ' .. type(value))
    end
    return box.tuple.new(value)
end

--
-- Sources
--

-- Results of a step of an iterator as {state, value}; nothing at the end.
local function check_step(what, ...)
    local count = select('#', ...)
    if count == 0 or (...) == nil then
        return nil
    elseif count ~= 2 then
        illegal(('Expected <state>, <%s>, got %d return values'):format(what, count))
    end
    return ...
end

-- Makes a function that steps an iterator: each call returns the next chunk, nil at the end.
local function stepper(what, gen, param, state)
    return function()
        if gen == nil then
            return nil
        end
        local chunk
        state, chunk = check_step(what, gen(param, state))
        if state == nil then
            gen = nil
            return nil
        end
        return chunk, true
    end
end

local function check_iterator(name, ...)
    local count = select('#', ...)
    if count < 1 or count > 3 or not is_callable((...)) then
        error(('Usage: merger.%s(gen, param, state)'):format(name), 0)
    end
    return ...
end

local function buffer_source(step)
    local current, bytes, offset, left = nil, nil, 0, 0
    local function fetch()
        local chunk, is_there = step()
        if not is_there then
            return false
        elseif not is_ibuf(chunk) then
            illegal('Expected <state>, <buffer>')
        end
        current, left = chunk, 0
        if chunk.wpos ~= chunk.rpos then
            bytes = ffi.string(chunk.rpos, chunk.wpos - chunk.rpos)
            local count, size = native.read_header(bytes)
            if count == nil then
                illegal('Invalid merge source ' .. tostring(chunk))
            end
            left, offset = count, size
            chunk.rpos = chunk.rpos + size
        end
        return true
    end
    return function()
        while left == 0 do
            if not fetch() then
                return nil
            end
        end
        local tuple, after = native.read_tuple(bytes, offset)
        left = left - 1
        -- What is read is gone from the buffer; what stands behind the array stays.
        current.rpos = current.rpos + (after - offset)
        offset = after
        return tuple
    end
end

local function table_source(step)
    local current, position = nil, 1
    return function()
        while current == nil or type(current[position]) == 'nil' do
            local chunk, is_there = step()
            if not is_there then
                return nil
            elseif type(chunk) ~= 'table' then
                illegal('Expected <state>, <table>')
            end
            current, position = chunk, 1
        end
        position = position + 1
        return as_tuple(current[position - 1])
    end
end

local function tuple_source(step)
    return function()
        local value, is_there = step()
        return is_there and as_tuple(value) or nil
    end
end

function merger.new_buffer_source(...)
    return new_source(buffer_source(stepper('buffer', check_iterator('new_buffer_source', ...))))
end

function merger.new_table_source(...)
    return new_source(table_source(stepper('table', check_iterator('new_table_source', ...))))
end

function merger.new_tuple_source(...)
    return new_source(tuple_source(stepper('tuple', check_iterator('new_tuple_source', ...))))
end

-- Steps over one chunk.
local function once(chunk)
    local is_left = true
    return function()
        local was_left = is_left
        is_left = false
        return was_left and chunk or nil, was_left
    end
end

function merger.new_source_frombuffer(buf)
    if not is_ibuf(buf) then
        error('Usage: merger.new_source_frombuffer(<cdata<struct ibuf>>)', 0)
    end
    return new_source(buffer_source(once(buf)))
end

function merger.new_source_fromtable(tbl)
    if type(tbl) ~= 'table' then
        error('Usage: merger.new_source_fromtable(<table>)', 0)
    end
    return new_source(table_source(once(tbl)))
end

--
-- Merging
--

-- Sources that have a tuple stand in a heap, the one whose tuple comes first on top. Equal tuples
-- come in the order of their sources.
local function merge(key_def, sources, is_reverse)
    local heap, size

    local function goes_first(a, b)
        local order = key_def:compare(a.tuple, b.tuple)
        if order == 0 then
            return a.number < b.number
        end
        return (order < 0) ~= is_reverse
    end

    local function sink(position)
        local node = heap[position]
        while position * 2 <= size do
            local child = position * 2
            if child < size and goes_first(heap[child + 1], heap[child]) then
                child = child + 1
            end
            if not goes_first(heap[child], node) then
                break
            end
            heap[position] = heap[child]
            position = child
        end
        heap[position] = node
    end

    local function begin()
        heap, size = {}, 0
        for number, source in ipairs(sources) do
            local tuple = source.next()
            if tuple ~= nil then
                size = size + 1
                heap[size] = {tuple = tuple, source = source, number = number}
            end
        end
        for position = math.floor(size / 2), 1, -1 do
            sink(position)
        end
    end

    return function()
        if heap == nil then
            begin()
        end
        if size == 0 then
            return nil
        end
        local top = heap[1]
        local result = top.tuple
        top.tuple = top.source.next()
        if top.tuple == nil then
            heap[1], heap[size] = heap[size], nil
            size = size - 1
        end
        if size > 1 then
            sink(1)
        end
        return result
    end
end

local NEW_USAGE = 'merger.new(key_def, {source, source, ...}[, {reverse = <boolean> or <nil>}])'

function merger.new(...)
    local key_def, sources, options = ...
    local count = select('#', ...)
    if count < 2 or count > 3 or not native.is_key_def(key_def) or type(sources) ~= 'table' or
       options ~= nil and type(options) ~= 'table' then
        error('Bad params, use: ' .. NEW_USAGE, 0)
    end
    local is_reverse = options ~= nil and options.reverse
    if is_reverse ~= nil and type(is_reverse) ~= 'boolean' then
        error('Bad param "reverse", use: ' .. NEW_USAGE, 0)
    end
    local own = {}
    for number = 1, #sources do
        if not is_source(sources[number]) then
            illegal(('Unknown source type at index %d'):format(number))
        end
        own[number] = sources[number]
    end
    return new_source(merge(key_def, own, is_reverse or false))
end

--
-- Methods of sources
--

local SELECT_USAGE = 'merge_source:select([{buffer = <cdata<struct ibuf>> or <nil>, '
    .. 'limit = <number> or <nil>}])'

local methods = {}

-- Appends an array of the tuples. Its length has a fixed width: it is known at the end.
local function select_into(source, buf, limit)
    local start = buf.wpos - buf.rpos
    buf:alloc(5)
    local count = 0
    while count < limit do
        local tuple = source.next()
        if tuple == nil then
            break
        end
        local bytes = native.data(tuple)
        ffi.copy(buf:alloc(#bytes), bytes, #bytes)
        count = count + 1
    end
    local header = ffi.cast('uint8_t *', buf.rpos + start)
    header[0] = 0xdd
    for byte = 1, 4 do
        header[byte] = math.floor(count / 256 ^ (4 - byte)) % 256
    end
end

function methods.select(...)
    local source, options = ...
    local count = select('#', ...)
    if count < 1 or count > 2 or not is_source(source) or
       options ~= nil and type(options) ~= 'table' then
        error('Bad params, use: ' .. SELECT_USAGE, 0)
    end
    options = options or {}
    if options.buffer ~= nil and not is_ibuf(options.buffer) then
        error('Bad param "buffer", use: ' .. SELECT_USAGE, 0)
    elseif options.limit ~= nil and type(options.limit) ~= 'number' then
        error('Bad param "limit", use: ' .. SELECT_USAGE, 0)
    end
    local limit = options.limit or LIMIT_MAX
    if options.buffer ~= nil then
        return select_into(source, options.buffer, limit)
    end
    local result = {}
    while #result < limit do
        local tuple = source.next()
        if tuple == nil then
            break
        end
        result[#result + 1] = tuple
    end
    return result
end

-- The source is the state of the iterator: whoever iterates has it.
local function step(param, source)
    if param ~= nil or not is_source(source) then
        error('Bad params, use: lbox_merge_source_gen(nil, merge_source)', 0)
    end
    local tuple = source.next()
    if tuple == nil then
        return nil, nil
    end
    return source, tuple
end

function methods.pairs(...)
    local source = ...
    if select('#', ...) ~= 1 or not is_source(source) then
        error('Usage: merge_source:ipairs()', 0)
    end
    return fun.wrap(step, nil, source)
end

methods.ipairs = methods.pairs

source_mt = {
    __index = methods,
    __pairs = methods.pairs,
    __ipairs = methods.pairs,
    __tostring = function(source) return ('cdata<struct merge_source &>: %p'):format(source) end,
    __serialize = tostring,
}

return merger
