-- experimental.config.utils.schema: describes nested data, checks it and walks over it, for roles and
-- applications with settings of their own.
--
-- A schema is a tree of nodes: tables with a `type`, what is below (`fields` of a record, `key` and
-- `value` of a map, `items` of an array, `variants` of a union) and annotations.
local fun = require('fun')
local kinds = require('internal.config_schema_kinds')

local start, is_scalar, kind_of = kinds.start, kinds.is_scalar, kinds.kind_of
local validate, transform, normalize = kinds.validate, kinds.transform, kinds.normalize

-- {{{ Schemas

local function check_definition(schema, place)
    if schema.unique_items and schema.type ~= 'array' then
        place:fail('"unique_items" requires an array of strings, got a %s', schema.type)
    elseif schema.unique_items and schema.items.type ~= 'string' then
        place:fail('"unique_items" requires an array of strings, got an array of %s items',
            schema.items.type)
    end
    if schema.type == 'union' then
        if type(schema.variants) ~= 'table' then
            place:fail('Unexpected data type for union variants: "%s"', type(schema.variants))
        elseif kinds.not_array(schema.variants) ~= nil then
            place:fail('Union variants must be an array')
        elseif next(schema.variants) == nil then
            place:fail('Union variants must not be empty')
        elseif schema.discriminator ~= nil and type(schema.discriminator) ~= 'function' then
            place:fail('Union discriminator must be a function, got "%s"', type(schema.discriminator))
        end
        local problem = schema.discriminator == nil and kinds.cannot_tell(schema)
        if problem then
            place:fail(problem)
        end
    end
    if schema.byte_size and schema.type ~= 'integer' then
        place:fail('"byte_size" requires an integer scalar, got %s', schema.type)
    elseif schema.byte_size and schema.duration then
        place:fail('"byte_size" and "duration" annotations are mutually exclusive')
    elseif schema.duration and schema.type ~= 'number' and schema.type ~= 'integer' then
        place:fail('"duration" requires a numeric scalar, got %s', schema.type)
    end
    for _, below in ipairs(kind_of(schema).below(schema)) do
        place:at(below[1], check_definition, below[3], place)
    end
end

-- What a node is made of, and what this module reads itself: not handed down.
local OWN = {
    type = true, fields = true, key = true, value = true, items = true, variants = true,
    computed = true, allowed_values = true, unique_items = true, validate = true, default = true,
    apply_default_if = true, discriminator = true,
}

-- A copy in which each node has `computed.annotations`: its own and those of the nodes above it.
local function annotate(schema, inherited)
    local annotations = table.copy(inherited)
    for name, value in pairs(schema) do
        if not OWN[name] then
            annotations[name] = value
        end
    end
    local result = table.copy(schema)
    for _, list in ipairs({'fields', 'variants'}) do
        if result[list] ~= nil then
            result[list] = table.copy(result[list])
        end
    end
    for _, below in ipairs(kind_of(schema).below(schema)) do
        local _, name, node, list = unpack(below)
        local parent = list ~= nil and result[list] or result
        parent[name] = annotate(node, annotations)
    end
    result.computed = {annotations = annotations}
    return result
end

local function path_of(path, usage)
    if type(path) == 'string' then
        return path == '' and {} or path:split('.')
    elseif type(path) == 'table' then
        return path
    end
    error(usage, 0)
end

local methods = {}

function methods:validate(data)
    validate(rawget(self, 'schema'), data, start(rawget(self, 'name')))
end

function methods:get(data, path)
    local usage = 'Usage: schema:get(data: <as defined by the schema>, path: nil/string/table)'
    local schema, place = rawget(self, 'schema'), start(rawget(self, 'name'))
    if schema.type == 'record' and type(data) ~= 'table' then
        error(usage, 0)
    end
    path = path ~= nil and path_of(path, usage) or {}
    if next(path) == nil then
        return transform(schema, data, place, normalize)
    end
    return kinds.get(schema, data, path, 1, place)
end

function methods:set(data, path, value)
    local usage = 'Usage: schema:set(data: <as defined by the schema>, path: string/table, ' ..
        'rhs: <as defined by the schema>)'
    local schema = rawget(self, 'schema')
    if schema.type == 'record' and type(data) ~= 'table' then
        error(usage, 0)
    end
    path = path ~= nil and path_of(path, usage) or {}
    if next(path) == nil then
        error('schema:set: empty path', 0)
    end
    return kinds.set(schema, data, path, 1, value, start(rawget(self, 'name')))
end

function methods:filter(data, accepts)
    local list = {}
    kinds.visit(rawget(self, 'schema'), data, start(rawget(self, 'name')), function(node)
        node.error = nil
        if accepts(node) then
            table.insert(list, node)
        end
    end)
    return fun.iter(list)
end

function methods:map(data, func, context)
    return transform(rawget(self, 'schema'), data, start(rawget(self, 'name')), func, context)
end

function methods:normalize(data)
    return self:map(data, normalize)
end

-- Puts the defaults where nothing is, unless `apply_default_if` is against it.
function methods:apply_default(data)
    return self:map(data, function(value, node)
        local schema = node.schema
        if value ~= nil or schema == nil or type(schema.default) == 'nil' then
            return value
        elseif schema.apply_default_if ~= nil and not schema.apply_default_if(value, node) then
            return value
        end
        return schema.default
    end)
end

function methods:merge(a, b)
    return kinds.merge(rawget(self, 'schema'), a, b, start(rawget(self, 'name')))
end

-- The nodes that are no records, with their paths.
function methods:pairs()
    local list = {}
    local function add(schema, path)
        if schema.type ~= 'record' then
            table.insert(list, {path = path, schema = schema})
            return
        end
        for name, field in pairs(schema.fields) do
            local own = table.copy(path)
            table.insert(own, name)
            add(field, own)
        end
    end
    add(rawget(self, 'schema'), {})
    return fun.iter(list)
end

function methods:jsonschema()
    local shown = kinds.json_of(rawget(self, 'schema'), start(rawget(self, 'name')))
    shown['$schema'] = 'https://json-schema.org/draft/2020-12/schema'
    return shown
end

local function new(name, schema, opts)
    assert(type(name) == 'string')
    assert(type(schema) == 'table')
    check_definition(schema, start(name))
    local own = opts ~= nil and opts.methods or {}
    return setmetatable({name = name, schema = annotate(schema, {}), methods = own}, {
        __index = function(_, key)
            return own[key] or methods[key]
        end,
    })
end

-- }}} Schemas

-- {{{ Making nodes

-- A node of that type with these parts and annotations, which may not be parts.
local function node(type, parts, annotations)
    local result = table.copy(parts)
    result.type = type
    for name, value in pairs(annotations or {}) do
        assert(name ~= 'type' and parts[name] == nil)
        result[name] = value
    end
    return result
end

local function scalar(definition)
    assert(is_scalar(definition))
    return definition
end

local function enum(values, annotations)
    return node('string', {allowed_values = values}, annotations)
end

-- Takes its parts and its annotations together.
local function composite(type, ...)
    local parts = {...}
    return function(definition)
        for _, part in ipairs(parts) do
            assert(definition[part] ~= nil)
        end
        assert(definition.type == nil)
        return node(type, definition)
    end
end

local array = composite('array', 'items')
local make_union = composite('union', 'variants')

-- Marks what is refused, as it is for Tarantool's Enterprise Edition only.
local function enterprise_edition(schema)
    local check = schema.validate
    schema.enterprise_edition = true
    schema.validate = function(data, place)
        if check ~= nil then
            check(data, place)
        end
        if data ~= nil then
            place.error('This configuration parameter is available only in Tarantool Enterprise Edition')
        end
    end
    schema.apply_default_if = function() return false end
    return schema
end

-- }}} Making nodes

return {
    scalar = scalar,
    enum = enum,
    record = function(fields, annotations)
        return node('record', {fields = fields or {}}, annotations)
    end,
    map = composite('map', 'key', 'value'),
    array = array,
    set = function(values, annotations)
        return node('array', {items = enum(values), unique_items = true}, annotations)
    end,
    union = function(definition)
        assert(type(definition.variants) == 'table' and next(definition.variants) ~= nil)
        assert(definition.discriminator == nil or type(definition.discriminator) == 'function')
        return make_union(definition)
    end,
    new = new,
    fromenv = require('internal.config_schema_variable')({
        with_unit = kinds.with_unit,
        -- The number of the variant of a union that a value is of and is right for; nil: there is none.
        variant_of = function(schema, value, name)
            local place = start(name)
            local number = kinds.variant_of(schema, value, place)
            return number ~= nil and pcall(validate, schema.variants[number], value, place) and number
                or nil
        end,
    }),
    _enterprise_edition = enterprise_edition,
}
