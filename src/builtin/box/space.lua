-- box.space.*: data operations of spaces and indexes.
local native, tuple, lent = ...
local ffi = require('ffi')
local fun = require('fun')

local bless, bless_result = tuple.bless, tuple.bless_result
local bless_for_now = tuple.bless_for_now
local is_lent, own = lent.is_lent, lent.own
local type, tonumber, next, getmetatable = type, tonumber, next, getmetatable

local get_number =
    ffi.cast('const uint8_t *(*)(uint32_t, uint32_t, double, bool)', native.get_number)
local get_string =
    ffi.cast('const uint8_t *(*)(uint32_t, uint32_t, const char *, size_t, bool)', native.get_string)
local put_string = ffi.cast('void (*)(uint32_t, const char *, size_t)', native.put_string)
local put_number = ffi.cast('void (*)(uint32_t, double)', native.put_number)
local put_operation =
    ffi.cast('void (*)(uint32_t, const char *, size_t)', native.put_operation)
local operation_string = ffi.cast('void (*)(const char *, size_t)', native.operation_string)
local operation_number = ffi.cast('void (*)(double)', native.operation_number)
local upsert_row = ffi.cast('bool (*)(uint32_t, uint32_t, uint32_t)', native.upsert_row)
local replace_row = ffi.cast('const uint8_t *(*)(uint32_t, uint32_t)', native.replace_row)
local store_row = ffi.cast('bool (*)(uint32_t, uint32_t)', native.store_row)
local iterator_next = ffi.cast('const uint8_t *(*)(void *)', native.iterator_next)
local iterator_free = ffi.cast('void (*)(void *)', native.iterator_free)
local raw_array_t = ffi.typeof('const uint8_t **')
-- Rows between two yields of space:stat().
local STAT_BATCH = 1000
-- What a fast read returns when it must be repeated the slow way; see fast.rs.
local SLOW = ffi.cast('const uint8_t *', 1)

local ITERATORS = {
    EQ = 0, REQ = 1, ALL = 2, LT = 3, LE = 4, GE = 5, GT = 6, NP = 7, PP = 8,
    BITS_ALL_SET = 7, BITS_ANY_SET = 8, BITS_ALL_NOT_SET = 9, OVERLAPS = 10, NEIGHBOR = 11,
}
-- As in box.index: NP and PP (next and previous prefix) follow the geometric ones.
local INDEX_CONSTANTS = {
    EQ = 0, REQ = 1, ALL = 2, LT = 3, LE = 4, GE = 5, GT = 6,
    BITS_ALL_SET = 7, BITS_ANY_SET = 8, BITS_ALL_NOT_SET = 9,
    OVERLAPS = 10, NEIGHBOR = 11, NP = 12, PP = 13,
    -- By what they do: from a key on, with or without what equals it.
    FORWARD_INCLUSIVE = 5, FORWARD_EXCLUSIVE = 6, REVERSE_INCLUSIVE = 4, REVERSE_EXCLUSIVE = 3,
}
-- From the constants to the numbers of native calls.
local NATIVE_ITERATORS = {
    [0] = 0, [1] = 1, [2] = 2, [3] = 3, [4] = 4, [5] = 5, [6] = 6, [12] = 7, [13] = 8,
}

local function fail(code, ...)
    box.error(code, ...)
end

local function key_is_nil(key)
    return key == nil or (type(key) == 'table' and next(key) == nil)
        or (tuple.is_tuple(key) and #key == 0)
end

-- The native number of an iterator given by name, by number or not at all.
local function check_iterator(iterator, key)
    if iterator == nil then
        -- All tuples for no key, those equal to the key otherwise.
        return key_is_nil(key) and 2 or 0
    end
    local number
    if type(iterator) == 'number' then
        number = NATIVE_ITERATORS[iterator]
        if number == nil and INDEX_CONSTANTS.PP >= iterator and iterator >= 0 then
            fail(box.error.UNSUPPORTED_INDEX_FEATURE, '?', '?', '?', 'memtx',
                'requested iterator type')
        end
    elseif type(iterator) == 'string' then
        local upper = iterator:upper()
        if INDEX_CONSTANTS[upper] ~= nil then
            number = NATIVE_ITERATORS[INDEX_CONSTANTS[upper]] or -1
        end
    end
    if number == nil then
        fail(box.error.ITERATOR_TYPE, tostring(iterator))
    end
    return number
end

local function option_type_error(name, expected)
    fail(box.error.ILLEGAL_PARAMS,
        ("options parameter '%s' should be of type %s"):format(name, expected))
end

-- iterator, offset, limit, after, fetch position
local function select_options(opts, key)
    if opts == nil then
        return check_iterator(nil, key), 0, 4294967295, nil, false
    end
    if type(opts) ~= 'table' then
        return check_iterator(opts, key), 0, 4294967295, nil, false
    end
    local offset, limit = opts.offset, opts.limit
    if offset ~= nil and type(offset) ~= 'number' then
        option_type_error('offset', 'number')
    end
    if limit ~= nil and type(limit) ~= 'number' then
        option_type_error('limit', 'number')
    end
    if opts.fetch_pos ~= nil and type(opts.fetch_pos) ~= 'boolean' then
        option_type_error('fetch_pos', 'boolean')
    end
    local after = opts.after
    if after ~= nil and type(after) ~= 'string' and type(after) ~= 'table'
        and not tuple.is_tuple(after) then
        option_type_error('after', 'string, table, tuple')
    end
    -- In C these are unsigned, so that -1 means as many as there can be.
    return check_iterator(opts.iterator, key), (offset or 0) % 4294967296,
        (limit or 4294967295) % 4294967296, after, opts.fetch_pos
end

local function check_index(index, method)
    if type(index) ~= 'table' or index.space_id == nil then
        local text = 'Use index:%s(...) instead of index.%s(...)'
        error(text:format(method, method), 3)
    end
end

local function check_space(space, method)
    if type(space) ~= 'table' or space.id == nil then
        local text = 'Use space:%s(...) instead of space.%s(...)'
        error(text:format(method, method), 3)
    end
end

local function check_primary(space)
    local primary = space.index[0]
    if primary == nil then
        fail(box.error.NO_SUCH_INDEX_ID, 0, space.name)
    end
    return primary
end

--
-- Indexes
--

local index_methods = {}

-- The address of the tuple with a key of one part.
local function find(index, key, is_peek)
    if type(key) == 'table' and #key == 1 then
        key = key[1]
    end
    local kind = type(key)
    if kind == 'number' then
        return get_number(index.space_id, index.id, key, is_peek)
    elseif kind == 'string' then
        return get_string(index.space_id, index.id, key, #key, is_peek)
    elseif is_lent(key) then
        return get_string(index.space_id, index.id, key.data, key.size, is_peek)
    end
    return SLOW
end

-- What a fast read could not do.
local function get_slow(index, key, method)
    check_index(index, method)
    native.get(index.space_id, index.id, own(key))
    return bless_result()
end

function index_methods.get(index, key)
    local raw = find(index, key, false)
    if raw == SLOW then
        return get_slow(index, key, 'get')
    elseif raw == nil then
        return nil
    end
    local found = bless(raw)
    return found
end

-- As get, for a look at a tuple in memory: what is returned may be another tuple after the next
-- peek, of whatever fiber. Not in Tarantool: for the hottest paths, it saves the making of a value.
function index_methods.peek(index, key)
    local raw = find(index, key, true)
    if raw == SLOW then
        return get_slow(index, key, 'peek')
    elseif raw == nil then
        return nil
    end
    return bless_for_now(raw)
end

function index_methods.select(index, key, opts)
    check_index(index, 'select')
    local iterator, offset, limit, after, fetch_pos = select_options(opts, key)
    local address, count, position =
        native.select(index.space_id, index.id, iterator, key, offset, limit, after, fetch_pos)
    local raw = ffi.cast(raw_array_t, address)
    local selected = {}
    for number = 1, count do
        selected[number] = bless(raw[number - 1])
    end
    if fetch_pos then
        return selected, position
    end
    return selected
end

ffi.cdef('struct lycosa_iterator { void *raw; };')
local iterator_t = ffi.metatype('struct lycosa_iterator', {
    __gc = function(iterator)
        iterator_free(iterator.raw)
    end,
})

-- A step that reads the disk, or fails.
local function iterator_step_slow(iterator)
    native.iterator_step(iterator.raw)
    local found = bless_result()
    if found == nil then
        return nil
    end
    return iterator, found
end

local function iterator_step(_, iterator)
    local raw = iterator_next(iterator.raw)
    if raw == nil then
        return nil
    end
    if raw == SLOW then
        return iterator_step_slow(iterator)
    end
    return iterator, bless(raw)
end

function index_methods.pairs(index, key, opts)
    check_index(index, 'pairs')
    local iterator, offset, _, after = select_options(opts, key)
    local steps = iterator_t()
    steps.raw = native.iterate(index.space_id, index.id, iterator, key, after)
    for _ = 1, offset do
        if iterator_step(nil, steps) == nil then
            break
        end
    end
    return fun.wrap(iterator_step, key, steps)
end

function index_methods.insert(index, value)
    check_index(index, 'insert')
    native.insert(index.space_id, value)
    return bless_result()
end

function index_methods.update(index, key, operations)
    check_index(index, 'update')
    native.update(index.space_id, index.id, key, operations)
    return bless_result()
end

function index_methods.delete(index, key)
    check_index(index, 'delete')
    native.delete(index.space_id, index.id, key)
    return bless_result()
end

function index_methods.count(index, key, opts)
    check_index(index, 'count')
    local iterator = check_iterator(type(opts) == 'table' and opts.iterator
        or type(opts) ~= 'table' and opts or nil, key)
    return tonumber(native.count(index.space_id, index.id, iterator, key))
end

function index_methods.len(index)
    check_index(index, 'len')
    return tonumber(native.len(index.space_id, index.id))
end

function index_methods.bsize(index)
    check_index(index, 'bsize')
    return tonumber(native.bsize(index.space_id, index.id))
end

function index_methods.min(index, key)
    check_index(index, 'min')
    native.min(index.space_id, index.id, key)
    return bless_result()
end

function index_methods.max(index, key)
    check_index(index, 'max')
    native.max(index.space_id, index.id, key)
    return bless_result()
end

function index_methods.random(index, seed)
    check_index(index, 'random')
    native.random(index.space_id, index.id, seed or math.random(0, 2147483647))
    return bless_result()
end

function index_methods.tuple_pos(index, value)
    check_index(index, 'tuple_pos')
    return native.tuple_position(index.space_id, index.id, value)
end

function index_methods.offset_of(index, key, opts)
    check_index(index, 'offset_of')
    local iterator = check_iterator(type(opts) == 'table' and opts.iterator
        or type(opts) ~= 'table' and opts or nil, key)
    if iterator == ITERATORS.EQ then
        iterator = ITERATORS.GE
    elseif iterator == ITERATORS.REQ then
        iterator = ITERATORS.LE
    end
    return index_methods.len(index)
        - tonumber(native.count(index.space_id, index.id, iterator, key))
end

-- Counters of the index; memtx has none.
function index_methods.stat(index)
    check_index(index, 'stat')
    return box.internal.nested_figures(native.stat_index(index.space_id, index.id) or {}, {})
end

index_methods.info = index_methods.stat

local function as_key(key)
    if key == nil then
        return {}
    end
    return (type(key) == 'table' or tuple.is_tuple(key)) and key or {key}
end

-- Checks a range of keys in which the end is not included; an empty key is open. Returns the
-- comparer of the index's keys.
local function check_range(index, first, last, feature)
    local space = box.space[index.space_id]
    if index.type ~= 'TREE' then
        fail(box.error.UNSUPPORTED_INDEX_FEATURE, index.name, index.type, space.name, space.engine,
            feature)
    end
    native.check_key(index.space_id, index.id, first)
    native.check_key(index.space_id, index.id, last)
    local key_def = require('key_def').new(index.parts)
    if #first > 0 and #last > 0 then
        local order = key_def:compare_keys(first, last)
        if order > 0 or order == 0 and #first >= #last then
            fail(box.error.ILLEGAL_PARAMS, 'begin_key must be < end_key')
        end
    end
    return key_def
end

-- The key that this share of the range is below; nil for an empty range.
function index_methods.quantile(index, level, first, last)
    check_index(index, 'quantile')
    if level == nil then
        fail(box.error.ILLEGAL_PARAMS, 'Usage: index:quantile(level[, begin_key, end_key])')
    elseif type(level) ~= 'number' then
        fail(box.error.ILLEGAL_PARAMS, 'level must be a number')
    end
    first, last = as_key(first), as_key(last)
    local key_def = check_range(index, first, last, 'quantile()')
    if level <= 0 or level >= 1 then
        fail(box.error.ILLEGAL_PARAMS, 'level must be > 0 and < 1')
    end
    local start = #first > 0 and index_methods.offset_of(index, first) or 0
    local finish = #last > 0 and index_methods.offset_of(index, last) or index_methods.len(index)
    if finish <= start then
        return nil
    end
    local offset = start + math.floor((finish - start) * level)
    local found = index:select({}, {iterator = 'GE', offset = offset, limit = 1})[1]
    return found and key_def:extract_key(found):totable()
end

-- Deletes all tuples from one key up to another, which stays: all or none.
function index_methods.delete_range(index, first, last)
    check_index(index, 'delete_range')
    first, last = as_key(first), as_key(last)
    local space = box.space[index.space_id]
    if space.engine ~= 'memtx' then
        fail(box.error.UNSUPPORTED, space.engine, 'range delete')
    elseif index.id ~= 0 then
        fail(box.error.UNSUPPORTED, "Engine 'memtx'", 'delete_range() on secondary index')
    end
    local key_def = check_range(index, first, last, 'delete_range()')
    local function delete()
        for _, found in index:pairs(first, {iterator = 'GE'}) do
            if #last > 0 and key_def:compare_with_key(found, last) >= 0 then
                break
            end
            native.delete(index.space_id, index.id, key_def:extract_key(found))
        end
    end
    if not box.is_in_txn() then
        box.atomic(delete)
        return
    end
    local savepoint = box.savepoint()
    local ok, problem = pcall(delete)
    if not ok then
        box.rollback_to_savepoint(savepoint)
        error(problem, 0)
    end
end

-- Only disk engines compact.
function index_methods.compact(index)
    check_index(index, 'compact')
    native.index_compact(index.space_id, index.id)
end

index_methods.__len = nil

--
-- Spaces
--

local space_methods = {}

function space_methods.get(space, key)
    check_space(space, 'get')
    return check_primary(space):get(key)
end

function space_methods.peek(space, key)
    check_space(space, 'peek')
    return check_primary(space):peek(key)
end

function space_methods.select(space, key, opts)
    check_space(space, 'select')
    return check_primary(space):select(key, opts)
end

function space_methods.pairs(space, key, opts)
    check_space(space, 'pairs')
    local primary = space.index[0]
    if primary == nil then
        -- A space without indexes has no tuples.
        return fun.iter({})
    end
    return primary:pairs(key, opts)
end

function space_methods.insert(space, value)
    check_space(space, 'insert')
    native.insert(space.id, value)
    return bless_result()
end

-- Puts a field of a row for `replace_row`; false if it is not of the simple kinds.
local function put_field(index, field)
    local kind = type(field)
    if kind == 'string' then
        put_string(index, field, #field)
        return true
    elseif kind == 'number' then
        put_number(index, field)
        return true
    elseif is_lent(field) then
        put_string(index, field.data, field.size)
        return true
    end
    return false
end

-- Puts up to three simple fields; whether all are.
local function put_fields(count, first, second, third)
    return count > 0 and count <= 3 and put_field(0, first)
        and (count < 2 or put_field(1, second)) and (count < 3 or put_field(2, third))
end

-- Puts a row of up to three simple fields; how many, nil if the row is another one.
local function put_row(row)
    if type(row) ~= 'table' or getmetatable(row) ~= nil then
        return nil
    end
    local count = #row
    if next(row, count ~= 0 and count or nil) ~= nil
        or not put_fields(count, row[1], row[2], row[3]) then
        return nil
    end
    return count
end

function space_methods.replace(space, value)
    check_space(space, 'replace')
    local count = put_row(value)
    if count ~= nil then
        local raw = replace_row(space.id, count)
        if raw ~= SLOW then
            local replaced = bless(raw)
            return replaced
        end
    end
    native.replace(space.id, value)
    return bless_result()
end

space_methods.put = space_methods.replace

-- Replaces by the tuple of these fields, and returns nothing. Not in Tarantool: for the hottest
-- paths, it saves a table and a tuple that nobody looks at.
function space_methods.replace_fields(space, ...)
    check_space(space, 'replace_fields')
    local count = select('#', ...)
    if put_fields(count, ...) and store_row(space.id, count) then
        return
    end
    local row = {...}
    for number = 1, count do
        row[number] = row[number] == nil and box.NULL or own(row[number])
    end
    native.replace(space.id, row)
end

function space_methods.update(space, key, operations)
    check_space(space, 'update')
    return check_primary(space):update(key, operations)
end

-- Puts a part of an operation; false if it is not of the simple kinds.
local function put_part(part)
    local kind = type(part)
    if kind == 'string' then
        operation_string(part, #part)
        return true
    elseif kind == 'number' then
        operation_number(part)
        return true
    end
    return false
end

-- Puts an operation {name, field, value} for `upsert_row`; false if it is another one.
local function put_simple_operation(index, operation)
    if type(operation) ~= 'table' or getmetatable(operation) ~= nil or #operation ~= 3
        or next(operation, 3) ~= nil or type(operation[1]) ~= 'string' then
        return false
    end
    put_operation(index, operation[1], #operation[1])
    return put_part(operation[2]) and put_part(operation[3])
end

-- Puts up to three operations; how many, nil if they are others.
local function put_operations(operations)
    if type(operations) ~= 'table' or getmetatable(operations) ~= nil then
        return nil
    end
    local count = #operations
    if count == 0 or count > 3 or next(operations, count) ~= nil
        or not put_simple_operation(0, operations[1])
        or (count > 1 and not put_simple_operation(1, operations[2]))
        or (count > 2 and not put_simple_operation(2, operations[3])) then
        return nil
    end
    return count
end

function space_methods.upsert(space, value, operations)
    check_space(space, 'upsert')
    local count = put_row(value)
    if count ~= nil then
        local operation_count = put_operations(operations)
        if operation_count ~= nil and upsert_row(space.id, count, operation_count) then
            return
        end
    end
    native.upsert(space.id, value, operations)
end

function space_methods.delete(space, key)
    check_space(space, 'delete')
    return check_primary(space):delete(key)
end

function space_methods.count(space, key, opts)
    check_space(space, 'count')
    local primary = space.index[0]
    return primary ~= nil and primary:count(key, opts) or 0
end

function space_methods.len(space)
    check_space(space, 'len')
    local primary = space.index[0]
    return primary ~= nil and primary:len() or 0
end

function space_methods.bsize(space)
    check_space(space, 'bsize')
    return tonumber(native.bsize(space.id))
end

-- How much memory the tuples of a space in memory take, of which kind. Walks the space, and lets others
-- work meanwhile unless it is in a transaction.
function space_methods.stat(space)
    check_space(space, 'stat')
    if space.engine ~= 'memtx' then
        return {}
    end
    local function figures()
        return {data_size = 0, header_size = 0, field_map_size = 0, waste_size = 0}
    end
    -- Every tuple is in the arena, however large.
    local sums = {memtx = figures(), malloc = figures()}
    local count = 0
    for _, tuple in space:pairs() do
        local info, sum = tuple:info(), sums.memtx
        for name in pairs(sum) do
            sum[name] = sum[name] + info[name]
        end
        count = count + 1
        if count % STAT_BATCH == 0 and not box.is_in_txn() then
            require('fiber').yield()
        end
    end
    return {tuple = sums}
end

function space_methods.quantile(space, ...)
    check_space(space, 'quantile')
    return check_primary(space):quantile(...)
end

function space_methods.delete_range(space, ...)
    check_space(space, 'delete_range')
    return check_primary(space):delete_range(...)
end

-- No engine here, nor one of Tarantool's community edition, stores columns.
function space_methods.insert_arrow(space, arrow)
    check_space(space, 'insert_arrow')
    if type(arrow) ~= 'string' then
        fail(box.error.ILLEGAL_PARAMS, 'Usage: space:insert_arrow(arrow)')
    end
    fail(box.error.UNSUPPORTED, space.engine, 'arrow format')
end

function space_methods.offset_of(space, key, opts)
    check_space(space, 'offset_of')
    local primary = space.index[0]
    return primary ~= nil and primary:offset_of(key, opts) or 0
end

--
-- Triggers: Tarantool's calling convention is trigger(new, old, name): add, replace, remove or
-- list.
--

local trigger_names = setmetatable({}, {__mode = 'k'})
local trigger_functions = {}

local function trigger_accessor(before)
    return function(space, new, old, name)
        check_space(space, before and 'before_replace' or 'on_replace')
        local key = (before and 'b' or 'a') .. space.id
        local functions = trigger_functions[key]
        if functions == nil then
            functions = {}
            trigger_functions[key] = functions
        end
        if new == nil and old == nil and name == nil then
            local list = {}
            for number, known in ipairs(native.space_trigger_list(space.id, before)) do
                list[number] = functions[known]
            end
            return list
        end
        local function name_of(handler)
            local known = trigger_names[handler]
            if known == nil then
                known = tostring(handler)
                trigger_names[handler] = known
            end
            return known
        end
        if old ~= nil and name == nil then
            if type(old) ~= 'function' then
                fail(box.error.ILLEGAL_PARAMS,
                    'trigger reset: incorrect arguments (old trigger must be a function)')
            end
            local known = name_of(old)
            if functions[known] == nil then
                error('trigger reset: Trigger is not found', 2)
            end
            if new == nil then
                native.space_trigger_set(space.id, before, known, nil)
                functions[known] = nil
                return
            end
            -- In the place of the old one, under its name.
            trigger_names[new] = known
            native.space_trigger_set(space.id, before, known, new)
            functions[known] = new
            return new
        end
        if new == nil then
            native.space_trigger_set(space.id, before, name, nil)
            functions[name] = nil
            return
        end
        if type(new) ~= 'function' then
            error('trigger reset: incorrect arguments', 2)
        end
        local known = name or name_of(new)
        native.space_trigger_set(space.id, before, known, new)
        functions[known] = new
        return new
    end
end

space_methods.on_replace = trigger_accessor(false)
space_methods.before_replace = trigger_accessor(true)

-- Tarantool has two forms of these, by FFI and by Lua's stack, under names of their own.
for _, name in ipairs({'count', 'get', 'max', 'min', 'pairs', 'random', 'select'}) do
    index_methods[name .. '_ffi'] = index_methods[name]
    index_methods[name .. '_luac'] = index_methods[name]
end

return {
    index_methods = index_methods,
    space_methods = space_methods,
    constants = INDEX_CONSTANTS,
    check_index = check_index,
    check_space = check_space,
    check_primary = check_primary,
}
