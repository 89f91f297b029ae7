-- box.space, box.sequence, box.func: Lua objects that follow the schema.
--
-- An object stays the same table as long as what it stands for exists, be it altered or renamed,
-- and comes back when a drop is rolled back.
local _, box, parts = ...

local pairs, rawget, rawset, setmetatable, type = pairs, rawget, rawset, setmetatable, type

local space_methods, index_methods = parts.data.space_methods, parts.data.index_methods
space_methods.__index = space_methods
index_methods.__index = index_methods

-- Names of Tarantool's; methods added to these tables appear on every space and index.
box.schema.space_mt = space_methods
box.schema.index_mt = index_methods
box.schema.memtx_index_mt = index_methods
box.schema.vinyl_index_mt = index_methods

-- A metatable of one object. It looks into the shared one until a user adds a method to it, which
-- then belongs to this object alone.
local function object_metatable(shared)
    local mt = {
        __index = shared,
        __pairs = shared.pairs,
        __ipairs = shared.pairs,
        __len = rawget(shared, '__len'),
    }
    return setmetatable(mt, {
        __newindex = function(self, key, value)
            setmetatable(self, nil)
            self.__index = function(_, name)
                local own = rawget(self, name)
                if own ~= nil then
                    return own
                end
                return shared[name]
            end
            rawset(self, key, value)
        end,
    })
end

-- Objects that may come back, by what was dropped.
local dropped = setmetatable({}, {__mode = 'v'})

-- Puts an object in its place in a registry by id and by name; nil takes it away.
local function register(registry, id, object, name)
    local old = rawget(registry, id)
    if old ~= nil and rawget(registry, old.name) == old then
        registry[old.name] = nil
    end
    registry[id] = object
    if object ~= nil then
        object.name = name
        registry[name] = object
    end
end

-- Finds the object for an id, or makes it.
local function object_of(registry, kind, id)
    local key = kind .. id
    local object = rawget(registry, id) or dropped[key]
    dropped[key] = nil
    return object or {}
end

local function unregister(registry, kind, id)
    dropped[kind .. id] = rawget(registry, id)
    register(registry, id, nil)
end

-- Every field of a description, the missing ones taken away.
local function assign(object, fields, names)
    for _, name in pairs(names) do
        object[name] = fields[name]
    end
end

--
-- Indexes
--

local INDEX_FIELDS = {
    'id', 'name', 'type', 'unique', 'dimension', 'distance', 'hint', 'func', 'covers', 'layout',
    'aggregates', 'options', 'sequence_id', 'sequence_fieldno', 'sequence_path',
}

-- The parts of an index are a key definition too: they compare tuples and extract keys.
local PART_METHODS = {
    'extract_key', 'validate_key', 'validate_full_key', 'validate_tuple', 'compare',
    'compare_with_key', 'compare_keys', 'merge',
}
local PART_USAGES = {
    extract_key = 'tuple', validate_key = 'key', validate_full_key = 'key',
    validate_tuple = 'tuple', compare = 'tuple_a, tuple_b', compare_with_key = 'tuple, key',
    compare_keys = 'key_a, key_b', merge = 'second_index_parts',
}

-- The key definition is made on first use: few indexes need one.
local function part_metatable(list)
    local methods, definition = {}, nil
    for _, name in pairs(PART_METHODS) do
        local usage = PART_USAGES[name]
        local count = usage:find(',', 1, true) and 3 or 2
        methods[name] = function(...)
            if select('#', ...) ~= count then
                error(('Usage: index.parts:%s(%s)'):format(name, usage), 2)
            end
            local key_def = require('key_def')
            definition = definition or key_def.new(list)
            local first, second = select(2, ...)
            if name == 'merge' then
                local is_made
                is_made, first = pcall(key_def.new, first)
                if not is_made then
                    error("Can't create key_def from the second index.parts", 2)
                end
            end
            if count == 2 then
                return definition[name](definition, first)
            end
            return definition[name](definition, first, second)
        end
    end
    return {__index = methods}
end

local function update_index(index, space_id, description)
    assign(index, description, INDEX_FIELDS)
    index.space_id = space_id
    index.parts = setmetatable(description.parts, part_metatable(description.parts))
    if getmetatable(index) == nil then
        setmetatable(index, object_metatable(index_methods))
    end
end

-- Index objects by id and by name.
local function update_indexes(space, descriptions)
    local indexes = space.index or {}
    local old = {}
    for key, index in pairs(indexes) do
        if type(key) == 'number' then
            old[key] = index
        end
    end
    for key in pairs(indexes) do
        indexes[key] = nil
    end
    for _, description in pairs(descriptions) do
        local index = old[description.id] or {}
        update_index(index, space.id, description)
        indexes[index.id] = index
        indexes[index.name] = index
    end
    space.index = indexes
end

--
-- Spaces
--

local SPACE_FIELDS = {
    'id', 'engine', 'field_count', 'is_local', 'temporary', 'type', 'is_sync', 'defer_deletes',
    'constraint', 'foreign_key', 'format_object',
}

local function from_one(field)
    return type(field) == 'number' and field + 1 or field
end

-- Rows number the fields of foreign keys from 0, users from 1.
local function number_fields(foreign_keys)
    for _, key in pairs(foreign_keys or {}) do
        local mapping = {}
        for own, foreign in pairs(key.field) do
            mapping[from_one(own)] = from_one(foreign)
        end
        key.field = mapping
    end
end

-- The description of a space that was made or altered; nil: it was dropped.
local function on_space_changed(id, description)
    if description == nil then
        unregister(box.space, 'space', id)
        return
    end
    box.internal.tuple.forget_field_names()
    local space = object_of(box.space, 'space', id)
    register(box.space, id, space, description.name)
    number_fields(description.foreign_key)
    assign(space, description, SPACE_FIELDS)
    space.state = {is_sync = description.is_sync}
    update_indexes(space, description.indexes)
    space.enabled = space.index[0] ~= nil
    -- Own fields, as in Tarantool: completion and pairs() show them.
    space.on_replace = space_methods.on_replace
    space.before_replace = space_methods.before_replace
    if getmetatable(space) == nil then
        setmetatable(space, object_metatable(space_methods))
    end
end

-- Sets the metatables of a space and its indexes again.
function box.schema.space.bless(space)
    setmetatable(space, object_metatable(space_methods))
    for key, index in pairs(space.index or {}) do
        if type(key) == 'number' then
            setmetatable(index, object_metatable(index_methods))
        end
    end
end

-- The console shows user spaces only.
setmetatable(box.space, {__serialize = function(spaces)
    local shown = {}
    for name, space in pairs(spaces) do
        if type(name) == 'string' and name ~= '' and name:sub(1, 1) ~= '_' then
            shown[name] = {
                engine = space.engine,
                is_local = space.is_local,
                temporary = space.temporary,
                is_sync = space.is_sync,
            }
        end
    end
    return shown
end})

--
-- Sequences and functions
--

local SEQUENCE_FIELDS = {'id', 'uid', 'step', 'min', 'max', 'start', 'cache', 'cycle'}
local FUNCTION_FIELDS = {
    'id', 'setuid', 'language', 'returns', 'aggregate', 'body', 'comment', 'exports',
    'is_deterministic', 'is_multikey', 'takes_raw_args', 'is_sandboxed',
}

-- Makes a function that keeps a registry of simple objects up to date.
local function follower(registry, kind, fields, bless)
    return function(id, description)
        if description == nil then
            unregister(registry, kind, id)
            return
        end
        local object = object_of(registry, kind, id)
        register(registry, id, object, description.name)
        assign(object, description, fields)
        bless(object)
    end
end

local on_function_changed = follower(box.func, 'function', FUNCTION_FIELDS, box.schema.func.bless)

return {
    on_space_changed = on_space_changed,
    on_sequence_changed =
        follower(box.sequence, 'sequence', SEQUENCE_FIELDS, box.schema.sequence.bless),
    check_constraint = parts.func.check_constraint,
    compute_default = parts.func.compute_default,
    on_function_changed = function(id, description)
        parts.func.forget(id)
        on_function_changed(id, description)
    end,
}
