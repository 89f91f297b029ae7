-- net_box_space: conn.space, the spaces and indexes of a server as its schema describes them.
--
-- A space stays the same table as long as it exists on the server. Without the schema
-- (fetch_schema = false) a space or index is whatever name or number is asked for.

local ffi = require('ffi')
local msgpack = require('msgpack')
-- Declares struct ibuf.
require('buffer')

local transports = require('internal.net_box_transport')

local ipairs, pairs, setmetatable, type = ipairs, pairs, setmetatable, type

local KIND = transports.KIND

local check = box.internal.check

local module = {}

local function nothing_or(value)
    if value ~= nil then
        return value
    end
end

local function is_empty(key)
    return key == nil or type(key) == 'table' and next(key) == nil
end

local AFTER = function(value)
    return type(value) == 'string' or type(value) == 'table' or box.tuple.is(value),
        'string, table, tuple'
end

local BUFFER = function(value)
    return ffi.istype('struct ibuf', value), 'struct ibuf'
end

-- Options of every request.
module.REQUEST_OPTIONS = {
    is_async = 'boolean',
    timeout = 'number',
    buffer = BUFFER,
    skip_header = 'boolean',
    return_raw = 'boolean',
    on_push = 'function',
    on_push_ctx = 'any',
    iterator = 'string, number',
    limit = 'number',
    offset = 'number',
    after = AFTER,
    fetch_pos = 'boolean',
}

--
-- How replies are read
--

local read = {}
module.read = read

function read.nothing() end

-- Readers of replies with one thing at most.
local of_one = setmetatable({}, {__mode = 'k'})

-- The one tuple there is, if any.
local function reader_of_tuple(format)
    local function reader(native, io)
        local tuples = native.read_tuples(io, format)
        return tuples[1]
    end
    of_one[reader] = true
    return reader
end

local function reader_of_only_tuple(format)
    local function reader(native, io)
        local tuples, count = native.read_tuples(io, format)
        if count > 1 then
            return nil, box.error.new(box.error.MORE_THAN_ONE_TUPLE)
        end
        return tuples[1]
    end
    of_one[reader] = true
    return reader
end

local function reader_of_tuples(format)
    return function(native, io)
        return (native.read_tuples(io, format))
    end
end

local function reader_with_position(format)
    return function(native, io)
        local tuples, _, position = native.read_tuples(io, format)
        return {tuples, position}
    end
end

function read.first_value(native, io)
    return (native.read_values(io))[1]
end

of_one[read.first_value] = true

-- A number, whatever else was asked for.
function read.count(native, io)
    return (native.read_values(io))[1]
end

function read.values(native, io)
    return (native.read_values(io))
end

local function raw_object(native, bytes, formats)
    local decode = formats ~= nil and function(whole, offset)
        return native.decode_with_formats(formats, whole, offset or 1)
    end or nil
    return msgpack.object_from_raw(bytes, nil, nil, decode)
end

-- A reader that returns as MessagePack what `reader` would make Lua values of.
function read.raw_of(reader)
    if reader == read.nothing or reader == read.count then
        return reader
    elseif not of_one[reader] then
        return function(native, io)
            return raw_object(native, native.read_bytes(io, true))
        end
    end
    return function(native, io)
        local bytes, formats = native.read_first_bytes(io)
        return bytes ~= nil and raw_object(native, bytes, formats) or nil
    end
end

--
-- Methods
--

local function iterator_number(iterator, key)
    if iterator == nil then
        return is_empty(key) and box.index.ALL or box.index.EQ
    elseif type(iterator) == 'number' then
        return iterator
    end
    local number = box.index[iterator:upper()]
    if type(number) ~= 'number' then
        box.error(box.error.ITERATOR_TYPE, iterator, 3)
    end
    return number
end

local function primary(space)
    local index = space.index ~= nil and space.index[0] or nil
    if index == nil then
        box.error(box.error.NO_SUCH_INDEX_ID, 0, space.name, 3)
    end
    return index
end

local OPTIONS = module.REQUEST_OPTIONS

local function format_of(space)
    return space._format_id
end

-- The methods of the spaces of a connection. `request(self, options, kind, read, ...)` runs a
-- request of a space or index, in its stream if it belongs to one.
function module.space_metatable(request)
    local methods = {}

    function methods:insert(tuple, options)
        check.space(self, 'insert', 2)
        check.options(options, OPTIONS, 2)
        return request(self, options, KIND.INSERT, reader_of_tuple(format_of(self)),
            self._id_or_name, tuple)
    end

    function methods:replace(tuple, options)
        check.space(self, 'replace', 2)
        check.options(options, OPTIONS, 2)
        return request(self, options, KIND.REPLACE, reader_of_tuple(format_of(self)),
            self._id_or_name, tuple)
    end

    function methods:upsert(tuple, operations, options)
        check.space(self, 'upsert', 2)
        check.options(options, OPTIONS, 2)
        return nothing_or(request(self, options, KIND.UPSERT, read.nothing, self._id_or_name,
            tuple, operations))
    end

    for _, name in ipairs({'select', 'get', 'delete', 'update'}) do
        methods[name] = function(self, ...)
            check.space(self, name, 2)
            local index = primary(self)
            return index[name](index, ...)
        end
    end

    function methods:format(format)
        check.space(self, 'format', 2)
        if format ~= nil then
            box.error(box.error.UNSUPPORTED, 'net.box', 'setting space format', 2)
        end
        return self._format
    end

    return {__index = methods, __metatable = false}
end

function module.index_metatable(request, has_feature)
    local methods = {}

    local function ids(self)
        return self.space._id_or_name, self._id_or_name
    end

    function methods:select(key, options)
        check.index(self, 'select', 2)
        check.options(options, OPTIONS, 2)
        options = options or {}
        local fetch_pos = options.fetch_pos == true
        if (options.after ~= nil or fetch_pos) and not has_feature(self, 'pagination') then
            box.error(box.error.UNSUPPORTED, 'Remote server', 'pagination', 2)
        end
        local format = format_of(self.space)
        local reader = fetch_pos and reader_with_position(format) or reader_of_tuples(format)
        local space, index = ids(self)
        local result = request(self, options, KIND.SELECT, reader, space, index,
            iterator_number(options.iterator, key), options.offset or 0,
            options.limit or 4294967295, key, options.after, fetch_pos)
        local is_plain = type(result) == 'table' and not options.is_async
            and options.buffer == nil and not options.return_raw
        if fetch_pos and is_plain then
            return result[1], result[2]
        end
        return result
    end

    -- A read that returns a tuple or nothing.
    local function single(name, iterator, limit, make_reader)
        methods[name] = function(self, key, options)
            check.index(self, name, 2)
            check.options(options, OPTIONS, 2)
            if options ~= nil and options.buffer ~= nil then
                error(("index:%s() doesn't support `buffer` argument"):format(name), 2)
            end
            local space, index = ids(self)
            return nothing_or(request(self, options, KIND.SELECT,
                make_reader(format_of(self.space)), space, index, iterator, 0, limit, key))
        end
    end
    single('get', box.index.EQ, 2, reader_of_only_tuple)
    single('min', box.index.GE, 1, reader_of_tuple)
    single('max', box.index.LE, 1, reader_of_tuple)

    function methods:count(key, options)
        check.index(self, 'count', 2)
        check.options(options, OPTIONS, 2)
        if options ~= nil and options.buffer ~= nil then
            error("index:count() doesn't support `buffer` argument", 2)
        end
        local space, index = ids(self)
        local quoted = function(id) return type(id) == 'string' and ('%q'):format(id) or id end
        local name = ('box.space[%s].index[%s]:count'):format(quoted(self.space.name or space),
            quoted(self.name or index))
        local passed = options ~= nil and options.iterator ~= nil
            and {iterator = options.iterator} or box.NULL
        return request(self, options, KIND.CALL, read.count, name,
            {key == nil and {} or key, passed})
    end

    function methods:delete(key, options)
        check.index(self, 'delete', 2)
        check.options(options, OPTIONS, 2)
        local space, index = ids(self)
        return nothing_or(request(self, options, KIND.DELETE,
            reader_of_tuple(format_of(self.space)), space, index, key))
    end

    function methods:update(key, operations, options)
        check.index(self, 'update', 2)
        check.options(options, OPTIONS, 2)
        local space, index = ids(self)
        return nothing_or(request(self, options, KIND.UPDATE,
            reader_of_tuple(format_of(self.space)), space, index, key, operations))
    end

    return {__index = methods, __metatable = false}
end

--
-- The schema
--

-- The part of a key, in either form that servers write.
local function part_of(given, collations)
    local part = {
        type = given.type or given[2],
        fieldno = (given.field or given[1]) + 1,
        is_nullable = given.is_nullable or false,
        exclude_null = given.exclude_null or false,
        path = given.path,
    }
    if given.collation ~= nil then
        if collations[given.collation] ~= nil then
            part.collation = collations[given.collation]
        else
            part.collation_id = given.collation
        end
    end
    return part
end

local function index_of(row, space, collations)
    local index = {
        space = space, id = row[2], name = row[3], type = row[4]:upper(), _id_or_name = row[2],
        parts = {}, unique = row[5].unique and true or false,
    }
    for i, given in ipairs(row[6]) do
        index.parts[i] = part_of(given, collations)
    end
    return index
end

-- Names of fields are all that is known of a format here: a server may have types that this
-- client does not.
local function format_id(native_format, format)
    local fields = {}
    for i, field in ipairs(format) do
        if type(field.name) ~= 'string' then
            return nil
        end
        fields[i] = {name = field.name, type = 'any', is_nullable = true}
    end
    local is_made, id = pcall(native_format, fields)
    return is_made and id or nil
end

-- Spaces by number and name, of the rows that the server gave; those that existed before are in
-- `known`.
function module.build(known, tables, metatables, native_format)
    local collations = {}
    for _, row in ipairs(tables.collations or {}) do
        collations[row[1]] = row[2]
    end
    local spaces = {}
    for _, row in ipairs(tables.spaces) do
        local space = known[row[1]] or setmetatable({}, metatables.space)
        local options = type(row[6]) == 'table' and row[6] or {}
        space.id, space.name, space._id_or_name = row[1], row[3], row[1]
        space.engine, space.field_count = row[4], row[5]
        space.temporary = options.temporary and true or false
        space.is_sync = options.is_sync and true or false
        space.enabled, space.index = true, {}
        space._format = row[7] or {}
        space._format_id = format_id(native_format, space._format)
        spaces[space.id], spaces[space.name] = space, space
    end
    for _, row in ipairs(tables.indexes) do
        local space = spaces[row[1]]
        if space ~= nil then
            local index = setmetatable(index_of(row, space, collations), metatables.index)
            space.index[index.id], space.index[index.name] = index, index
        end
    end
    for _, row in ipairs(tables.sequences or {}) do
        local index = spaces[row[1]] ~= nil and spaces[row[1]].index[0] or nil
        if index ~= nil then
            index.sequence_id = row[2]
            index.sequence_fieldno = row[4] ~= nil and row[4] + 1 or nil
            index.sequence_path = row[5] ~= nil and row[5] ~= '' and row[5] or nil
        end
    end
    return spaces
end

-- A table whose items are made of any number, or of any name if the server takes names.
local function on_demand(takes_names, make)
    return setmetatable({}, {__index = function(self, key)
        local field = type(key) == 'number' and 'id' or type(key) == 'string' and 'name' or nil
        if field == nil or field == 'name' and not takes_names() then
            return nil
        end
        local made = make(key, field)
        self[key] = made
        return made
    end})
end

-- conn.space of a connection that does not fetch the schema.
function module.without_schema(takes_names, metatables)
    return on_demand(takes_names, function(key, field)
        local space = setmetatable({[field] = key, _id_or_name = key}, metatables.space)
        space.index = on_demand(takes_names, function(index_key, index_field)
            return setmetatable(
                {[index_field] = index_key, _id_or_name = index_key, space = space},
                metatables.index)
        end)
        return space
    end)
end

--
-- Streams
--

-- The same object, in a stream.
local function in_stream(source, stream, more)
    local show = function() return source end
    local wrapped = more or {}
    wrapped._stream_id = stream._stream_id
    return setmetatable(wrapped, {__index = source, __serialize = show, __autocomplete = show})
end

-- The spaces of a connection, in a stream.
function module.of_stream(connection, stream)
    local cache, version = {}, nil
    local show = function() return connection.space end
    return setmetatable({}, {
        __index = function(_, key)
            if version ~= connection.schema_version then
                cache, version = {}, connection.schema_version
            end
            local source = connection.space[key]
            if source == nil then
                return nil
            end
            if cache[key] == nil then
                local indexes = setmetatable({}, {
                    __index = function(_, index_key)
                        local index = source.index[index_key]
                        return index ~= nil and in_stream(index, stream) or nil
                    end,
                    __serialize = function() return source.index end,
                })
                cache[key] = in_stream(source, stream, {index = indexes})
            end
            return cache[key]
        end,
        __serialize = show,
        __autocomplete = show,
    })
end


return module
