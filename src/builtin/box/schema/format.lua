-- box.schema: formats of spaces, with their constraints and foreign keys, as rows keep them.
--
-- Users number fields from 1 and name functions, collations and spaces; rows number fields from 0
-- and hold ids.
local _, box, parts = ...

local check = parts.check
local refuse = check.refuse

local format = {}

local function find_function(name)
    return box.space._func.index.name:get(name)
end

-- The id of the function of a constraint.
local function constraint_function(name, prefix, level)
    if type(name) ~= 'string' then
        refuse(prefix .. 'constraint function is expected to be a string, but got ' ..
            type(name), level + 1)
    end
    local found = find_function(name)
    if found == nil then
        refuse(("%sconstraint function was not found by name '%s'"):format(prefix, name),
            level + 1)
    end
    return found.id
end

-- A function's name, or a table of names and of constraint name = function name: what is kept is
-- constraint name to function id.
function format.constraint(given, prefix, level)
    if given == nil then
        return nil
    elseif type(given) == 'string' then
        return {[given] = constraint_function(given, prefix, level + 1)}
    elseif type(given) ~= 'table' then
        refuse(prefix .. 'constraint must be string or table', level + 1)
    end
    local result = {}
    for key, name in pairs(given) do
        local id = constraint_function(name, prefix, level + 1)
        if type(key) == 'number' then
            result[name] = id
        elseif type(key) == 'string' then
            result[key] = id
        else
            refuse(prefix .. 'constraint name is expected to be a string, but got ' .. type(key),
                level + 1)
        end
    end
    return result
end

local function is_field(value)
    return type(value) == 'string' or type(value) == 'number'
end

local function from_zero(field)
    return type(field) == 'number' and field - 1 or field
end

-- The `field` of a foreign key of a whole space: local field to foreign field.
local function foreign_mapping(given, prefix, level)
    local usage = prefix ..
        'foreign key: field must be a table with local field -> foreign field mapping'
    if type(given) ~= 'table' or next(given) == nil then
        refuse(usage, level + 1)
    end
    local mapping = {}
    for from, to in pairs(given) do
        if not is_field(from) then
            refuse(prefix .. 'foreign key: local field must be string or number', level + 1)
        elseif not is_field(to) then
            refuse(prefix .. 'foreign key: foreign field must be string or number', level + 1)
        end
        mapping[from_zero(from)] = from_zero(to)
    end
    return check.map(mapping)
end

-- One foreign key. `is_own`: it refers to the space that has it.
local function foreign_key_one(given, is_own, prefix, is_complex, level)
    local field = given.field
    if field == nil then
        refuse(prefix .. 'foreign key: field must be specified', level + 1)
    elseif given.space ~= nil and not is_field(given.space) then
        refuse(prefix .. 'foreign key: space must be string or number', level + 1)
    elseif is_complex then
        field = foreign_mapping(field, prefix, level + 1)
    elseif not is_field(field) then
        refuse(prefix .. 'foreign key: field must be string or number', level + 1)
    end
    local space = not is_own and box.space[given.space] or nil
    if not is_own and space == nil then
        refuse(("%sforeign key: space %s was not found"):format(prefix, tostring(given.space)),
            level + 1)
    end
    for key in pairs(given) do
        if key ~= 'space' and key ~= 'field' then
            refuse(("%sforeign key: unexpected parameter '%s'"):format(prefix, tostring(key)),
                level + 1)
        end
    end
    return {space = space and space.id, field = from_zero(field)}, space
end

-- A foreign key {space = , field = }, or a table of name = foreign key. `owner` is the space that
-- has it: {id = , name = }. `is_complex`: of the whole space, not of a field.
function format.foreign_key(given, owner, prefix, is_complex, level)
    if given == nil then
        return nil
    elseif type(given) ~= 'table' then
        refuse(prefix .. 'foreign key must be a table', level + 1)
    end
    local function is_own(one)
        return one.space == nil or one.space == owner.id or one.space == owner.name
    end
    -- `space` and `field` may also be the names of two foreign keys.
    if given.field ~= nil and (type(given.space) ~= 'table' or type(given.field) ~= 'table') then
        local key, space = foreign_key_one(given, is_own(given), prefix, is_complex, level + 1)
        return {[space and space.name or owner.name or 'unknown'] = key}
    end
    local result = {}
    for name, one in pairs(given) do
        if type(name) ~= 'string' then
            refuse(prefix .. 'foreign key name must be a string', level + 1)
        elseif type(one) ~= 'table' then
            refuse(prefix .. "foreign key definition must be a table with 'space' and 'field' " ..
                'members', level + 1)
        end
        result[name] = foreign_key_one(one, is_own(one), prefix, is_complex, level + 1)
    end
    return result
end

local function collation_id(name, prefix, level)
    local found = box.space._collation.index.name:get{name}
    if found == nil then
        refuse(("%scollation was not found by name '%s'"):format(prefix, tostring(name)),
            level + 1)
    end
    return found.id
end

local function default_function_id(name, prefix, level)
    if type(name) ~= 'string' then
        refuse(prefix .. 'field default function name is expected to be a string, but got ' ..
            type(name), level + 1)
    end
    local found = find_function(name)
    if found == nil then
        refuse(("%sfield default function was not found by name '%s'"):format(prefix, name),
            level + 1)
    end
    return found.id
end

-- How options of a field that refer to something become ids. These calls are in tail position, so
-- they take up no level.
local RESOLVERS = {
    collation = function(value, prefix, _, level)
        return collation_id(value, prefix, level)
    end,
    constraint = function(value, prefix, _, level)
        return format.constraint(value, prefix, level)
    end,
    foreign_key = function(value, prefix, owner, level)
        return format.foreign_key(value, owner, prefix, false, level)
    end,
    default_func = function(value, prefix, _, level)
        return default_function_id(value, prefix, level)
    end,
    compression = function(value)
        return type(value) == 'table' and check.map(table.copy(value)) or value
    end,
}

-- One field: a name, {name, type}, {name = , type = , …} or a mix of both.
local function normalize_field(given, prefix, owner, level)
    if type(given) ~= 'table' then
        return {name = given}
    end
    local field = {}
    for key, value in pairs(given) do
        if key == 1 and given.name == nil then
            field.name = value
        elseif key == 1 and given.type == nil or
               key == 2 and given.type == nil and given.name == nil then
            field.type = value
        elseif RESOLVERS[key] ~= nil then
            field[key] = RESOLVERS[key](value, prefix, owner, level + 1)
        else
            field[key] = value
        end
    end
    return field
end

-- The format as a row keeps it. `owner` is the space: {id = , name = }.
function format.normalize(given, owner, level)
    local result = {}
    for i, field in ipairs(given) do
        local prefix = ('format[%d]: '):format(i)
        field = normalize_field(field, prefix, owner, level + 1)
        if type(field.name) ~= 'string' then
            refuse(prefix .. 'name (string) is expected', level + 1)
        end
        if field.type == nil then
            field.type = 'any'
        elseif type(field.type) ~= 'string' then
            refuse(prefix .. 'type must be a string', level + 1)
        end
        result[i] = field
    end
    return result
end

-- The format as users see it: what space:format() returns.
function format.denormalize(stored)
    local result = setmetatable({}, {__serialize = 'seq'})
    for i, field in ipairs(stored) do
        if field.foreign_key ~= nil then
            for _, key in pairs(field.foreign_key) do
                key.field = type(key.field) == 'number' and key.field + 1 or key.field
            end
        end
        result[i] = field
    end
    return result
end

return format
