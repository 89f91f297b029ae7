-- internal.config_schema_kinds: what can be done with data that nodes of a schema describe.
--
-- Each type of node is a table of functions in `kinds`, one for each thing that can be done;
-- `is_table` says that its data is a table, which is checked before they are called. Whoever
-- walks carries a `place`: the name of the schema and the path so far, which stand before messages.
local native = ...
local json = require('json')

-- {{{ Places

local place_methods = {}
local place_mt = {__index = place_methods}

local function start(name)
    return setmetatable({name = name, path = {}}, place_mt)
end

function place_methods:prefix()
    local path = ''
    for _, step in ipairs(self.path) do
        if type(step) == 'string' then
            path = path .. (path == '' and '' or '.') .. step
        else
            path = ('%s[%s]'):format(path, step)
        end
    end
    return ('[%s] %s'):format(self.name, path == '' and '' or path .. ': ')
end

function place_methods:fail(message, ...)
    error(self:prefix() .. message:format(...), 0)
end

-- Calls a function one step further down.
function place_methods:at(step, func, ...)
    table.insert(self.path, step)
    local result = func(...)
    table.remove(self.path)
    return result
end

-- For trying what may fail.
function place_methods:copy()
    return setmetatable({name = self.name, path = table.copy(self.path)}, place_mt)
end

-- What functions of the user get.
function place_methods:node(schema, data)
    local prefix = self:prefix()
    return {
        schema = schema, path = table.copy(self.path), data = data,
        error = function(message, ...)
            error(prefix .. message:format(...), 0)
        end,
    }
end

-- }}} Places

-- {{{ Scalars

local function expect(data, wanted)
    if type(data) == wanted then
        return nil
    end
    return ('Expected "%s", got "%s"'):format(wanted, type(data))
end

-- The number that text with a unit means: nil and why not if it means none.
local function with_unit(schema, data)
    if type(data) ~= 'number' and type(data) ~= 'string' then
        local what = schema.byte_size and 'byte size' or 'duration'
        return nil, ('Expected %s as number or string with optional %s suffix, got %s'):format(what,
            what, type(data))
    end
    local parse = schema.byte_size and native.parse_byte_size or native.parse_duration
    return parse(data)
end

local function has_unit(schema)
    return schema.byte_size or schema.duration
end

local function expect_number(data, schema)
    if not has_unit(schema) then
        return expect(data, 'number')
    end
    local _, err = with_unit(schema, data)
    return err
end

local function expect_whole(data, schema)
    local err = expect_number(data, schema)
    if err ~= nil then
        return err
    end
    local number = has_unit(schema) and with_unit(schema, data) or data
    if number - math.floor(number) ~= 0 then
        return ('Expected number without a fractional part, got %s'):format(number)
    end
    return nil
end

local function plain(data, schema)
    return type(data) == 'string' and has_unit(schema) and with_unit(schema, data) or data
end

-- Of each scalar: what is wrong with data, data with its unit applied, its type in JSON Schema, and
-- whether it may be a number.
local scalars = {
    string = {wrong = function(data) return expect(data, 'string') end, json = 'string'},
    number = {wrong = expect_number, plain = plain, json = 'number', may_be_number = true},
    integer = {wrong = expect_whole, plain = plain, json = 'integer', may_be_number = true},
    boolean = {wrong = function(data) return expect(data, 'boolean') end, json = 'boolean'},
    any = {wrong = function() end, may_be_number = true},
}

local function is_scalar(schema)
    return scalars[schema.type] ~= nil
end

-- }}} Scalars

-- {{{ What types of nodes have in common

-- What there is of two values of which one at least is nil or null; of both, null.
local function given(a, b)
    if b ~= nil or type(a) == 'nil' then
        return b
    end
    return a
end

-- Nil, or what keeps a table from being an array, for string.format.
local function not_array(data)
    local count, min, max = 0, math.huge, -math.huge
    for key in pairs(data) do
        if type(key) ~= 'number' then
            return 'An array contains a non-numeric key: %q', key
        elseif key % 1 ~= 0 then
            return 'An array contains a non-integral numeric key: %s', key
        end
        count, min, max = count + 1, math.min(min, key), math.max(max, key)
    end
    if count > 0 and min ~= 1 then
        return 'An array must start from index 1, got min index %d', min
    elseif count > 0 and max ~= count then
        return 'An array must not have holes, got a table with %d integer fields with max index %d',
            count, max
    end
    return nil
end

local function check_table(place, schema, data)
    if type(data) ~= 'table' then
        local article = schema.type:find('^[aeiou]') and 'an' or 'a'
        place:fail('Unexpected data type for %s %s: "%s"', article, schema.type, type(data))
    end
end

-- Whether keys of this type may be numbers.
local function may_be_number(schema)
    if schema.type == 'union' then
        for _, variant in ipairs(schema.variants) do
            if may_be_number(variant) then
                return true
            end
        end
        return false
    end
    return is_scalar(schema) and scalars[schema.type].may_be_number or false
end

local function check_no_array(place, schema, data, may_have_numbers)
    if not may_have_numbers and next(data) ~= nil and not_array(data) == nil then
        local ok, text = pcall(json.encode, data)
        place:fail('Expected a %s, got an array: %s', schema.type, ok and text or tostring(data))
    end
end

local json_of
local kinds = {}

local function kind_of(schema)
    return kinds[schema.type] or kinds.scalar
end

-- Data that a node may be given must be a table where the type of the node says so.
local function check_kind(schema, data, place)
    if kind_of(schema).is_table then
        check_table(place, schema, data)
    end
end

local function validate(schema, data, place)
    check_kind(schema, data, place)
    kind_of(schema).validate(schema, data, place)
    local allowed = schema.allowed_values
    if allowed ~= nil then
        local is_allowed = false
        for _, value in ipairs(allowed) do
            is_allowed = is_allowed or value == data
        end
        if not is_allowed then
            place:fail('Got %s, but only the following values are allowed: %s', data,
                table.concat(allowed, ', '))
        end
    end
    if schema.unique_items then
        local seen = {}
        for _, item in ipairs(data) do
            if seen[item] then
                place:fail('Values should be unique, but %q appears at least twice', item)
            end
            seen[item] = true
        end
    end
    if schema.validate ~= nil then
        schema.validate(data, place:node(schema))
    end
end

-- Calls a function for this node and those below it, which data has.
local function visit(schema, data, place, func)
    func(place:node(schema, data))
    if data ~= nil then
        check_kind(schema, data, place)
        kind_of(schema).visit(schema, data, place, func)
    end
end

local transform

-- Data of which nothing is known. The same table becomes the same table.
local function transform_any(data, place, func, context, seen)
    data = func(data, place:node(), context)
    if data == nil or type(data) ~= 'table' then
        return data
    elseif seen[data] ~= nil then
        return seen[data]
    end
    local result = {}
    seen[data] = result
    for key, value in pairs(data) do
        place:at(key, function()
            local new_key = transform_any(key, place, func, context, seen)
            result[new_key] = transform_any(value, place, func, context, seen)
        end)
    end
    return result
end

transform = function(schema, data, place, func, context)
    if schema.type == 'any' then
        return transform_any(data, place, func, context, {})
    end
    data = func(data, place:node(schema), context)
    if data ~= nil then
        check_kind(schema, data, place)
    end
    return kind_of(schema).transform(schema, data, place, func, context)
end

local function normalize(data, node)
    local scalar = node.schema ~= nil and scalars[node.schema.type]
    return scalar and scalar.plain ~= nil and data ~= nil and scalar.plain(data, node.schema) or data
end

-- Merges tables of which nothing is known: those with names only are merged, others replaced.
local function merge_any(a, b)
    if a == nil or b == nil then
        return given(a, b)
    end
    for _, side in ipairs({a, b}) do
        if type(side) ~= 'table' then
            return b
        end
        for key in pairs(side) do
            if type(key) ~= 'string' then
                return b
            end
        end
    end
    local result = table.copy(a)
    for key, value in pairs(b) do
        result[key] = merge_any(a[key], value)
    end
    return result
end

local function merge(schema, a, b, place)
    if schema.type == 'any' then
        return merge_any(a, b)
    elseif a == nil or b == nil then
        return given(a, b)
    end
    check_kind(schema, a, place)
    check_kind(schema, b, place)
    return kind_of(schema).merge(schema, a, b, place)
end

-- Steps down a path in data of which nothing is known.
local function check_indexable(data, step, place)
    if data ~= nil and type(data) ~= 'table' then
        place:fail('Attempt to index a non-table value (%s) by field %q', type(data), step)
    end
end

local function get_any(data, path, depth, place)
    local step = path[depth]
    if step == nil then
        return data
    elseif data == nil then
        return nil
    end
    check_indexable(data, step, place)
    return place:at(step, get_any, data[step], path, depth + 1, place)
end

local function set_any(data, path, depth, value, place)
    local step = path[depth]
    if step == nil then
        return value
    end
    check_indexable(data, step, place)
    local below
    if data ~= nil then
        below = data[step]
    end
    local new = place:at(step, set_any, below, path, depth + 1, value, place)
    data = data == nil and {} or data
    data[step] = new
    return data
end

local function get(schema, data, path, depth, place)
    if path[depth] == nil then
        if data == nil then
            return data
        end
        return transform(schema, data, place, normalize)
    elseif schema.type == 'any' then
        return get_any(data, path, depth, place)
    end
    return kind_of(schema).get(schema, data, path, depth, place)
end

local function set(schema, data, path, depth, value, place)
    if path[depth] == nil then
        if value ~= nil then
            validate(schema, value, place)
        end
        return value
    elseif schema.type == 'any' then
        return set_any(data, path, depth, value, place)
    end
    return kind_of(schema).set(schema, data, path, depth, value, place)
end

-- }}} What types of nodes have in common

-- {{{ Scalars and arrays

local function cannot_index(schema, _, path, depth, place)
    place:fail('Attempt to index a scalar value of type %s by field %q', schema.type, path[depth])
end

kinds.scalar = {
    validate = function(schema, data, place)
        local err = scalars[schema.type].wrong(data, schema)
        if err ~= nil then
            place:fail('Unexpected data for scalar "%s": %s', schema.type, err)
        end
    end,
    visit = function() end,
    transform = function(_, data) return data end,
    merge = function(_, _, b) return b end,
    get = cannot_index,
    set = function(schema, data, path, depth, _, place)
        cannot_index(schema, data, path, depth, place)
    end,
    below = function() return {} end,
    json = function(schema)
        local shown = {type = scalars[schema.type].json}
        if has_unit(schema) then
            shown.type = {schema.byte_size and 'integer' or schema.type, 'string'}
            shown.pattern = schema.byte_size and native.byte_size_pattern or native.duration_pattern
        end
        return shown
    end,
}

local function cannot_index_array(...)
    select(-1, ...):fail('Indexing an array is not supported yet')
end

kinds.array = {
    is_table = true,
    validate = function(schema, data, place)
        local wrong, first, second = not_array(data)
        if wrong ~= nil then
            place:fail(wrong, first, second)
        end
        for i, item in ipairs(data) do
            place:at(i, validate, schema.items, item, place)
        end
    end,
    visit = function(schema, data, place, func)
        for i, item in ipairs(data) do
            place:at(i, visit, schema.items, item, place, func)
        end
    end,
    transform = function(schema, data, place, func, context)
        if data == nil then
            return data
        end
        local result = {}
        for i, item in ipairs(data) do
            result[i] = place:at(i, transform, schema.items, item, place, func, context)
        end
        return result
    end,
    merge = function(_, _, b) return b end,
    get = cannot_index_array,
    set = cannot_index_array,
    below = function(schema) return {{'*', 'items', schema.items}} end,
    json = function(schema, place)
        return {
            type = 'array', items = place:at('*', json_of, schema.items, place),
            uniqueItems = schema.unique_items and true or nil,
        }
    end,
}

-- }}} Scalars and arrays

-- {{{ Records and maps

-- The node of a field.
local function field_of(schema, step)
    return schema.type == 'map' and schema.value or schema.fields[step]
end

local function check_field(schema, step, place)
    local field = field_of(schema, step)
    if field == nil then
        place:fail('No such field in the schema')
    end
    return field
end

local function get_field(schema, data, path, depth, place)
    return place:at(path[depth], function(step)
        local field = check_field(schema, step, place)
        local below
        if data ~= nil then
            below = data[step]
        end
        return get(field, below, path, depth + 1, place)
    end, path[depth])
end

local function set_field(schema, data, path, depth, value, place)
    local step = path[depth]
    local new = place:at(step, function()
        local field = check_field(schema, step, place)
        local below
        if data ~= nil then
            check_table(place, schema, data)
            below = data[step]
        end
        return set(field, below, path, depth + 1, value, place)
    end)
    if type(new) == 'nil' then
        if data ~= nil then
            data[step] = nil
        end
        return data
    end
    data = data == nil and {} or data
    data[step] = new
    return data
end

kinds.record = {
    is_table = true,
    validate = function(schema, data, place)
        check_no_array(place, schema, data, schema.fields[1] ~= nil)
        for name, field in pairs(schema.fields) do
            if data[name] ~= nil then
                place:at(name, validate, field, data[name], place)
            end
        end
        for name in pairs(data) do
            if schema.fields[name] == nil then
                place:fail('Unexpected field %q', name)
            end
        end
    end,
    visit = function(schema, data, place, func)
        for name, field in pairs(schema.fields) do
            if type(data[name]) ~= 'nil' then
                place:at(name, visit, field, data[name], place, func)
            end
        end
    end,
    -- The fields of a missing record are there to be given defaults.
    transform = function(schema, data, place, func, context)
        local result = {}
        for name, field in pairs(schema.fields) do
            local value
            if data ~= nil then
                value = data[name]
            end
            result[name] = place:at(name, transform, field, value, place, func, context)
        end
        if next(result) == nil and data == nil then
            return data
        end
        return result
    end,
    merge = function(schema, a, b, place)
        local result = {}
        for name, field in pairs(schema.fields) do
            result[name] = place:at(name, merge, field, a[name], b[name], place)
        end
        return result
    end,
    get = get_field,
    set = set_field,
    below = function(schema)
        local list = {}
        for name, field in pairs(schema.fields) do
            table.insert(list, {name, name, field, 'fields'})
        end
        return list
    end,
    json = function(schema, place)
        local properties = {}
        for name, field in pairs(schema.fields) do
            properties[name] = place:at(name, function()
                if type(name) ~= 'string' then
                    place:fail('JSON does not support non-string keys')
                end
                return json_of(field, place)
            end)
        end
        return {type = 'object', properties = properties, additionalProperties = false}
    end,
}

kinds.map = {
    is_table = true,
    validate = function(schema, data, place)
        check_no_array(place, schema, data, may_be_number(schema.key))
        for key, value in pairs(data) do
            place:at(key, function()
                validate(schema.key, key, place)
                validate(schema.value, value, place)
            end)
        end
    end,
    visit = function(schema, data, place, func)
        for key, value in pairs(data) do
            place:at(key, function()
                visit(schema.key, key, place, func)
                visit(schema.value, value, place, func)
            end)
        end
    end,
    transform = function(schema, data, place, func, context)
        if data == nil then
            return data
        end
        local result = {}
        for key, value in pairs(data) do
            place:at(key, function()
                local new_key = transform(schema.key, key, place, func, context)
                result[new_key] = transform(schema.value, value, place, func, context)
            end)
        end
        return result
    end,
    merge = function(schema, a, b, place)
        local result = table.copy(b)
        for key, value in pairs(a) do
            result[key] = place:at(key, merge, schema.value, value, b[key], place)
        end
        return result
    end,
    get = get_field,
    set = set_field,
    below = function(schema) return {{'*', 'key', schema.key}, {'*', 'value', schema.value}} end,
    json = function(schema, place)
        return place:at('*', function()
            if schema.key.type ~= 'string' then
                place:fail('JSON does not support non-string keys')
            end
            return {type = 'object', additionalProperties = json_of(schema.value, place)}
        end)
    end,
}

-- }}} Records and maps

-- {{{ Unions

-- Why a union cannot tell by the type of data which variant it is; nil if it can.
local function cannot_tell(schema)
    local seen = {}
    for _, variant in ipairs(schema.variants) do
        if not is_scalar(variant) then
            return 'A union without a discriminator requires scalar variants'
        end
        local type = variant.type == 'integer' and 'number' or variant.type
        if type == 'any' and #schema.variants > 1 then
            return 'A union without a discriminator cannot combine the "any" scalar with other variants'
        elseif seen[type] then
            return 'A union without a discriminator requires variants with distinct data types'
        end
        seen[type] = true
    end
    return nil
end

-- The number of the variant that data is of; nil if it is of none.
local function variant_of(schema, data, place)
    if schema.discriminator == nil then
        for i, variant in ipairs(schema.variants) do
            if scalars[variant.type].wrong(data, variant) == nil then
                return i
            end
        end
        return nil
    end
    local chosen = schema.discriminator(data, place:node(schema, data))
    if chosen == nil then
        return nil
    end
    for i, variant in ipairs(schema.variants) do
        if variant == chosen then
            return i
        end
    end
    place:fail('Union discriminator returned a schema node that is not present in union variants')
end

-- The variant of data that is in order; raises what is wrong with it.
local function right_variant(schema, data, place)
    local number = variant_of(schema, data, place)
    local variant = schema.variants[number]
    validate(variant or schema, data, place:copy())
    return variant
end

kinds.union = {
    validate = function(schema, data, place)
        local number = variant_of(schema, data, place)
        local errors = {}
        for i, variant in ipairs(schema.variants) do
            if number == nil or number == i then
                local own = place:copy()
                table.insert(own.path, i)
                local prefix = own:prefix()
                local ok, err = pcall(validate, variant, data, own)
                if ok then
                    return
                end
                if type(err) == 'string' and err:startswith(prefix) then
                    err = err:sub(#prefix + 1)
                end
                table.insert(errors, ('variant #%d: %s'):format(i, err))
            end
        end
        errors = table.concat(errors, '; ')
        if number == nil then
            place:fail('Data does not match any union variant (%s)', errors)
        end
        place:fail('Data does not match selected union variant #%d (%s)', number, errors)
    end,
    visit = function(schema, data, place, func)
        visit(right_variant(schema, data, place), data, place, func)
    end,
    transform = function(schema, data, place, func, context)
        if data == nil then
            return data
        end
        return transform(right_variant(schema, data, place), data, place, func, context)
    end,
    merge = function(schema, a, b, place)
        local variant = right_variant(schema, a, place)
        if right_variant(schema, b, place) ~= variant then
            return b
        end
        return merge(variant, a, b, place)
    end,
    get = function(schema, data, path, depth, place)
        local number = variant_of(schema, data, place)
        local problem
        for _, variant in ipairs(number ~= nil and {schema.variants[number]} or schema.variants) do
            local ok, result = pcall(get, variant, data, path, depth, place:copy())
            if ok then
                return result
            end
            problem = result
        end
        error(problem, 0)
    end,
    -- The first variant that takes the value; data of another one is replaced, in its table.
    set = function(schema, data, path, depth, value, place)
        local problem
        for _, variant in ipairs(schema.variants) do
            local ok, result = pcall(set, variant, nil, path, depth, value, place:copy())
            if ok then
                if data ~= nil and pcall(validate, variant, data, place:copy()) then
                    return set(variant, data, path, depth, value, place)
                elseif type(data) ~= 'table' or type(result) ~= 'table' then
                    return result
                end
                for key in pairs(data) do
                    data[key] = nil
                end
                for key, new in pairs(result) do
                    data[key] = new
                end
                return data
            end
            problem = result
        end
        error(problem, 0)
    end,
    below = function(schema)
        local list = {}
        for i, variant in ipairs(schema.variants) do
            list[i] = {i, i, variant, 'variants'}
        end
        return list
    end,
    json = function(schema, place)
        local list = {}
        for i, variant in ipairs(schema.variants) do
            list[i] = place:at(i, json_of, variant, place)
        end
        return {anyOf = list}
    end,
}

-- }}} Unions

json_of = function(schema, place)
    local shown = kind_of(schema).json(schema, place)
    shown.description, shown.default = schema.description, schema.default
    shown.enum = schema.allowed_values
    return setmetatable(shown, {__serialize = 'map'})
end

return {
    start = start, is_scalar = is_scalar, with_unit = with_unit, kind_of = kind_of,
    not_array = not_array, cannot_tell = cannot_tell, variant_of = variant_of,
    validate = validate, visit = visit, transform = transform, normalize = normalize, merge = merge,
    get = get, set = set, json_of = json_of,
}
