-- internal.config_schema_variable: values of a schema's nodes from the text of environment variables.
--
-- Scalars are written as they are. Maps and arrays are JSON, or in a simple form, `foo=bar,baz=fiz` and
-- `foo,bar,baz`, when what is in them are scalars.
local json = require('json')

-- Given `with_unit(node, text)` and `variant_of(union, value, name)` of the schema: the decoder.
return function(schemas)

local decode

local function decode_json(name, text)
    local ok, value = pcall(json.decode, text)
    if not ok then
        error(('Unable to decode JSON data in environment variable "%s": %s'):format(name, value), 0)
    end
    return value
end

local function refuse(what, name, text, reason)
    local message = ('Unable to decode %s value from environment variable "%s", got "%s"'):format(
        what, name, text)
    error(reason ~= nil and message .. ': ' .. reason or message, 0)
end

local function number(what, parse, is_whole)
    return function(name, text, schema)
        local value, err
        if schema.byte_size or schema.duration then
            value, err = schemas.with_unit(schema, text)
        else
            value = parse(text)
        end
        if value ~= nil and is_whole and schema.duration and value % 1 ~= 0 then
            value, err = nil, ('Expected number without a fractional part, got %s'):format(value)
        end
        if value == nil then
            refuse(what, name, text, err)
        end
        return value
    end
end

local BOOLEANS = {['false'] = false, ['0'] = false, ['true'] = true, ['1'] = true}

local scalars = {
    string = function(_, text) return text end,
    number = number('a number', tonumber, false),
    integer = number('an integer', tonumber64, true),
    boolean = function(name, text)
        local value = BOOLEANS[text:lower()]
        if value == nil then
            refuse('a boolean', name, text)
        end
        return value
    end,
    any = decode_json,
}

-- Whether values of this node may stand in the simple form of maps and arrays.
local function is_simple(schema)
    if schema.type ~= 'union' then
        return scalars[schema.type] ~= nil and schema.type ~= 'any'
    end
    for _, variant in ipairs(schema.variants) do
        if not is_simple(variant) then
            return false
        end
    end
    return true
end

-- What maps and arrays are called, and how they are written.
local MAP = {
    type = 'map', json = 'object', article = 'an', open = '{', simple = 'foo=bar,baz=fiz',
    other = {open = '[', json = 'A JSON array'}, part = 'field values',
}
local ARRAY = {
    type = 'array', json = 'array', article = 'an', open = '[', simple = 'foo,bar,baz',
    other = {open = '{', json = 'A JSON object'}, part = 'item values',
}

local function recommend(form, has_simple)
    if has_simple then
        return ('Use either the simple "%s" %s format or the JSON %s format (starts from "%s").'):format(
            form.simple, form.json, form.json, form.open)
    end
    return ('Use the JSON %s format (starts from "%s").'):format(form.json, form.open)
end

local function use_json(form, name, part, type)
    error(('Use the JSON %s format for environment variable "%s": the %s are supposed to have %s that ' ..
        'is not supported by the simple "%s" %s format. A JSON %s value starts from "%s".'):format(
        form.json, name, part, type, form.simple, form.json, form.json, form.open), 0)
end

-- The value if it is written in JSON. Raises if it is not and has no simple form.
local function decode_form(form, name, text, below, has_simple)
    if text:startswith(form.open) then
        return decode_json(name, text)
    elseif text:startswith(form.other.open) then
        error(('%s is provided for environment variable "%s" of type %s, %s %s is expected. %s'):format(
            form.other.json, name, form.type, form.article, form.json, recommend(form, has_simple)), 0)
    end
    return nil, function()
        if below.type == 'any' then
            use_json(form, name, form.part, 'an arbitrary type ("any")')
        elseif not is_simple(below) then
            use_json(form, name, form.part, ('a composite type ("%s")'):format(below.type))
        end
    end
end

local function decode_map(name, text, schema)
    local has_simple = schema.key.type == 'string' and is_simple(schema.value)
    local value, check = decode_form(MAP, name, text, schema.value, has_simple)
    if check == nil then
        return value
    end
    if schema.key.type ~= 'string' then
        use_json(MAP, name, 'keys', ('a non-string type ("%s")'):format(schema.key.type))
    end
    check()
    local result = {}
    for _, pair in ipairs(text:split(',')) do
        local key, own = pair:match('^([^=]*)=(.*)$')
        if key == nil or key == '' then
            error(('Unable to decode data in environment variable "%s" assuming the simple "%s" object ' ..
                'format: no %s is found in a key-value pair. %s'):format(name, MAP.simple,
                key == nil and '"="' or 'value before "="', recommend(MAP, has_simple)), 0)
        end
        result[key] = decode(('%s.%s'):format(name, key), own, schema.value)
    end
    return result
end

local function decode_array(name, text, schema)
    local value, check = decode_form(ARRAY, name, text, schema.items, is_simple(schema.items))
    if check == nil then
        return value
    end
    check()
    local result = {}
    for i, item in ipairs(text:split(',')) do
        result[i] = decode(('%s[%d]'):format(name, i), item, schema.items)
    end
    return result
end

-- The first variant that the text is a value of; text as it is only if there is no other.
local function decode_union(name, text, schema)
    local as_text
    for i, variant in ipairs(schema.variants) do
        local ok, value = pcall(decode, name, text, variant)
        if ok and schemas.variant_of(schema, value, name) == i then
            if value ~= text then
                return value
            end
            as_text = value
        end
    end
    if as_text == nil then
        refuse('a union', name, text)
    end
    return as_text
end

-- The value of a variable for a node; nil when it is empty or not set.
decode = function(name, text, schema)
    if text == nil or text == '' then
        return nil
    elseif scalars[schema.type] ~= nil then
        return scalars[schema.type](name, text, schema)
    elseif schema.type == 'map' then
        return decode_map(name, text, schema)
    elseif schema.type == 'array' then
        return decode_array(name, text, schema)
    elseif schema.type == 'union' then
        return decode_union(name, text, schema)
    end
    error(('Attempt to parse environment variable "%s" as a record value: this is not supported yet ' ..
        'and likely caused by an internal error in the config module'):format(name), 0)
end

return decode

end
