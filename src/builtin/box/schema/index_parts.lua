-- box.schema: the parts of an index, in every way users write them.
local _, box, parts = ...

local refuse = parts.check.refuse

local index_parts = {}

local function position_of_name(format, name)
    for i, field in ipairs(format) do
        if field.name == name then
            return i
        end
    end
    return nil
end

-- Position in the format and the rest of a path. A path starts with a field: its name, a number
-- or a name in brackets.
local function split_path(format, path)
    local position = position_of_name(format, path)
    if position ~= nil then
        return position
    end
    local digits = path:match('^%[(%d+)%]')
    if digits ~= nil then
        return tonumber(digits), path:sub(#digits + 3)
    end
    local quoted = path:match('^%["([^%]]+)"%]') or path:match("^%['([^%]]+)'%]")
    position = quoted and position_of_name(format, quoted)
    if position ~= nil then
        return position, path:sub(#quoted + 5)
    end
    local word = path:match('^[^.[]+')
    position = word and position_of_name(format, word)
    if position ~= nil then
        return position, path:sub(#word + 1)
    end
    return nil
end

-- Field number from 0 and relative path of a field given by number, name or path.
function index_parts.resolve_field(format, field, what, level)
    local position, path = field, nil
    if type(field) == 'string' then
        position, path = split_path(format, field)
        if position == nil then
            refuse(("%s: field was not found by name '%s'"):format(what, field), level + 1)
        end
    end
    if position <= 0 then
        refuse(what .. ': field (number) must be one-based', level + 1)
    end
    return position - 1, path
end

-- The notation of Tarantool 1.6: number, type, number, type, …
local function split_pairs(given, level)
    local usage = 'options.parts: expected field_no (number), type (string) pairs'
    local result = {}
    if #given % 2 ~= 0 then
        refuse(usage, level + 1)
    end
    for i = 1, #given, 2 do
        if type(given[i]) ~= 'number' or type(given[i + 1]) ~= 'string' then
            refuse(usage, level + 1)
        elseif given[i] == 0 then
            refuse('invalid index parts: field_no must be one-based', level + 1)
        end
        result[#result + 1] = {field = given[i], type = given[i + 1]}
    end
    return result
end

local function collation_id(name, what, level)
    local by_name = box.space._collation.index.name
    local found = by_name:get{name}
    if found == nil and type(name) == 'string' then
        found = by_name:get{name:lower()}
    end
    if found == nil then
        refuse(("%s: collation was not found by name '%s'"):format(what, tostring(name)),
            level + 1)
    end
    return found[1]
end

-- The options of one part as given: positions become names.
local function read_part(given, what, level)
    if type(given) ~= 'table' then
        return {field = given}
    end
    local part = {}
    for key, value in pairs(given) do
        if key == 1 then
            part.field = value
        elseif key == 2 then
            part.type = value
        elseif key == 'collation' then
            part.collation = collation_id(value, what, level + 1)
        elseif key == 'exclude_null' and type(value) ~= 'boolean' then
            refuse(what .. ': type (boolean) is expected', level + 1)
        else
            part[key] = value
        end
    end
    -- A position is one too many when a name said the same.
    local extra = 3
    for _, name in ipairs({'field', 'type'}) do
        if given[name] ~= nil then
            extra = extra - 1
        end
    end
    if given[extra] ~= nil then
        part.unexpected = given[extra]
    end
    return part
end

-- What a part does not say, its field's format does.
local function inherit(part, field, what, level)
    if part.type == nil then
        part.type = field.type or 'scalar'
    elseif type(part.type) ~= 'string' then
        refuse(what .. ': type (string) is expected', level + 1)
    end
    if part.scale == nil then
        part.scale = field.scale
    end
    if part.collation == nil then
        part.collation = field.collation
    end
    if part.action == nil then
        part.action = field.action
    end
    if part.is_nullable == nil then
        part.is_nullable = field.is_nullable or part.exclude_null or nil
    elseif type(part.is_nullable) ~= 'boolean' then
        refuse(what .. ': type (boolean) is expected', level + 1)
    elseif not part.is_nullable and part.exclude_null then
        refuse(what .. ': exclude_null=true and is_nullable=false are incompatible', level + 1)
    end
end

local function normalize_part(format, given, what, level)
    local part = read_part(given, what, level + 1)
    if type(part.field) ~= 'number' and type(part.field) ~= 'string' then
        refuse(what .. ': field (name or number) is expected', level + 1)
    end
    local path
    part.field, path = index_parts.resolve_field(format, part.field, what, level + 1)
    part.path = path or part.path
    inherit(part, format[part.field + 1] or {}, what, level + 1)
    if part.unexpected ~= nil then
        refuse(('%s: unexpected option %s'):format(what, tostring(part.unexpected)), level + 1)
    end
    return part
end

-- Parts as rows keep them, with every option: {field = from 0, type = , …}.
function index_parts.normalize(format, given, level)
    if type(given) ~= 'table' then
        refuse('options.parts parameter should be a table', level + 1)
    elseif #given == 0 then
        refuse('options.parts must have at least one part', level + 1)
    end
    if type(given[1]) == 'number' and (given[2] == nil or type(given[2]) == 'string') then
        given = given[3] == nil and {given} or split_pairs(given, level + 1)
    end
    local count = 0
    for _ in pairs(given) do
        count = count + 1
    end
    local result = {}
    for i = 1, count do
        if given[i] == nil then
            refuse('options.parts: unexpected option(s)', level + 1)
        end
        result[i] = normalize_part(format, given[i], ('options.parts[%d]'):format(i), level + 1)
    end
    return result
end

-- Parts that have a field and a type only are kept as pairs, as all versions can read them.
function index_parts.simplify(list)
    local result = {}
    for i, part in ipairs(list) do
        for key in pairs(part) do
            if key ~= 'field' and key ~= 'type' then
                return list
            end
        end
        result[i] = {part.field, part.type}
    end
    return result
end

-- Whether a part indexes every item of an array: its path has `[*]`.
function index_parts.is_multikey(list)
    for _, part in ipairs(list) do
        if type(part.path) == 'string' and part.path:find('[*]', 1, true) then
            return true
        end
    end
    return false
end

-- Field number from 0 of a field given by name or number: options `covers` and `aggregates`.
local function plain_field(format, field, what, level)
    if type(field) == 'string' then
        local position = position_of_name(format, field)
        if position == nil then
            refuse(("%s: field was not found by name '%s'"):format(what, field), level + 1)
        end
        return position - 1
    elseif type(field) ~= 'number' then
        refuse(what .. ': field (name or number) is expected', level + 1)
    elseif field <= 0 then
        refuse(what .. ': field (number) must be one-based', level + 1)
    end
    return field - 1
end

-- Option `covers`: an array of fields, or of {field, option = …}.
function index_parts.covers(format, given, level)
    local result = {}
    for i, entry in ipairs(given) do
        local what = ('options.covers[%d]'):format(i)
        local kept = parts.check.map({})
        if type(entry) ~= 'table' then
            entry = {entry}
        end
        for key, value in pairs(entry) do
            if key == 1 or key == 'field' then
                kept.field = plain_field(format, value, what, level + 1)
            else
                kept[key] = value
            end
        end
        result[i] = kept
    end
    return result
end

-- Option `aggregates`: an array of tables with a `field`.
function index_parts.aggregates(format, given, level)
    local result = {}
    for i, entry in ipairs(given) do
        result[i] = table.deepcopy(entry)
        if type(entry) == 'table' and entry.field ~= nil then
            local what = ('options.aggregates[%d]'):format(i)
            result[i].field = plain_field(format, entry.field, what, level + 1)
        end
    end
    return result
end

local ALIASES = {num = 'unsigned', uint = 'unsigned', str = 'string', int = 'integer', ['*'] = 'any'}

-- Old names of types become today's.
function index_parts.rename_types(list)
    for _, part in ipairs(list) do
        local name = part.type:lower()
        part.type = ALIASES[name] or name
        if name == 'num' then
            require('log').warn("field type '%s' is deprecated since Tarantool 1.7, " ..
                "please use '%s' instead", name, part.type)
        end
    end
end

return index_parts
