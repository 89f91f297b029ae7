-- box.schema.index: making, altering and dropping indexes.
local _, box, parts = ...

local check, index_parts, space_sequence =
    parts.check, parts.index_parts, parts.space_sequence
local call_at = check.call_at

-- Options kept in the map of a row of _index.
local KEPT_OPTIONS = {
    unique = 'boolean',
    dimension = 'number',
    distance = 'string',
    run_count_per_level = 'number',
    run_size_ratio = 'number',
    range_size = 'number',
    page_size = 'number',
    bloom_fpr = 'number',
    func = 'number, string',
    hint = 'boolean',
    covers = 'table',
    layout = 'string',
    aggregates = 'table',
}
local ALTER_OPTIONS = check.with_defaults(KEPT_OPTIONS, {
    id = 'number',
    name = 'string',
    type = 'string',
    parts = 'table',
    sequence = 'boolean, number, string, table',
})
local CREATE_OPTIONS = check.with_defaults(ALTER_OPTIONS, {if_not_exists = 'boolean'})

-- Field, type and uniqueness of an index that does not say them, by its type.
local DEFAULTS = {
    rtree = {parts = {2, 'array'}, unique = false},
    bitset = {parts = {2, 'unsigned'}, unique = false},
    other = {parts = {1, 'unsigned'}, unique = true},
}

local VINYL_OPTIONS =
    {'page_size', 'range_size', 'run_count_per_level', 'run_size_ratio', 'bloom_fpr'}

local index = {}
box.schema.index = index

local function function_id(name, level)
    local row = box.space._func.index.name:get(name)
    if row == nil then
        box.error(box.error.NO_SUCH_FUNCTION, name, level + 1)
    end
    return row.id
end

-- What the given options leave open.
local function complete_options(options, space, format)
    options = check.with_defaults(options, {type = 'tree'})
    local defaults = DEFAULTS[options.type] or DEFAULTS.other
    if options.parts == nil then
        local field = format[defaults.parts[1]]
        if field ~= nil and field.type ~= 'any' then
            options.parts = {{defaults.parts[1], field.type}}
        end
    end
    options = check.with_defaults(options, defaults)
    if space.engine == 'vinyl' then
        for _, name in ipairs(VINYL_OPTIONS) do
            if options[name] == nil then
                options[name] = box.cfg['vinyl_' .. name]
            end
        end
    end
    return options
end

-- The next free index id of a space.
local function next_id(space_id)
    local _vindex = box.space[box.schema.VINDEX_ID]
    local last = _vindex.index[0]:select(space_id, {limit = 1, iterator = 'LE'})[1]
    return last ~= nil and last.id == space_id and last.iid + 1 or 0
end

-- Options that refer to something, as the row keeps them.
local function resolve_kept(kept, options, format, level)
    if type(options.func) == 'string' then
        kept.func = function_id(options.func, level + 1)
    end
    if options.covers ~= nil then
        kept.covers = index_parts.covers(format, options.covers, level + 1)
    end
    if options.aggregates ~= nil then
        kept.aggregates = index_parts.aggregates(format, options.aggregates, level + 1)
    end
end

local function check_hint(options, list, name, space_name, level)
    if options.hint and index_parts.is_multikey(list) then
        box.error(box.error.MODIFY_INDEX, name, space_name, "multikey index can't use hints",
            level + 1)
    end
end

local function check_function_hint(options, name, space_name, level)
    if options.hint and options.func then
        box.error(box.error.MODIFY_INDEX, name, space_name, "functional index can't use hints",
            level + 1)
    end
end

index.create = check.atomic(function(space_id, name, options)
    check.param(space_id, 'space_id', 'number', 2)
    check.param(name, 'name', 'string', 2)
    check.options(options, CREATE_OPTIONS, 2)
    local space = box.space[space_id]
    if space == nil then
        box.error(box.error.NO_SUCH_SPACE, '#' .. tostring(space_id), 2)
    end
    local format = space:format()
    options = complete_options(options, space, format)
    check_function_hint(options, name, space.name, 2)
    if box.space[box.schema.VINDEX_ID].index.name:get{space_id, name} ~= nil then
        if options.if_not_exists then
            return space.index[name], 'not created'
        end
        box.error(box.error.INDEX_EXISTS, name, 2)
    end
    local id = options.id or next_id(space_id)
    local list = index_parts.normalize(format, options.parts, 2)
    index_parts.rename_types(list)
    list = index_parts.simplify(list)
    check_hint(options, list, name, space.name, 2)
    local kept = check.map({})
    for key in pairs(KEPT_OPTIONS) do
        kept[key] = options[key]
    end
    resolve_kept(kept, options, format, 2)
    local change = space_sequence.prepare(options.sequence, {
        id = id, name = name, space_id = space_id, space_name = space.name, format = format,
        parts = list,
    }, 2)
    space_sequence.detach(change)
    box.space[box.schema.INDEX_ID]:insert{space_id, id, name, options.type, kept, list}
    space_sequence.commit(change)
    if kept.func ~= nil then
        box.space[box.schema.FUNC_INDEX_ID]:insert{space_id, id, kept.func}
    end
    return space.index[name]
end)

index.drop = check.atomic(function(space_id, id)
    check.param(space_id, 'space_id', 'number', 2)
    check.param(id, 'index_id', 'number', 2)
    if id == 0 then
        space_sequence.drop(space_id)
    end
    local _func_index = box.space[box.schema.FUNC_INDEX_ID]
    for _, row in ipairs(_func_index:select{space_id, id}) do
        _func_index:delete{row.space_id, row.index_id}
    end
    box.space[box.schema.INDEX_ID]:delete{space_id, id}
end)

function index.rename(space_id, id, name)
    check.configured(2)
    check.param(space_id, 'space_id', 'number', 2)
    check.param(id, 'index_id', 'number', 2)
    check.param(name, 'name', 'string', 2)
    local _index = box.space[box.schema.INDEX_ID]
    call_at(2, _index.update, _index, {space_id, id}, {{'=', 3, name}})
end

-- A change of the id may come with a new name or type, and nothing else.
local function change_id(space_id, id, options, level)
    local others = ''
    for key in pairs(options) do
        if key ~= 'id' and key ~= 'name' and key ~= 'type' then
            others = others .. ' ' .. key
        end
    end
    if others ~= '' then
        check.refuse("Don't know how to update both id and" .. others, level + 1)
    end
    local operations = {}
    for i, key in ipairs({'id', 'name', 'type'}) do
        if options[key] then
            operations[#operations + 1] = {'=', i + 1, options[key]}
        end
    end
    box.space[box.schema.INDEX_ID]:update({space_id, id}, operations)
end

index.alter = check.atomic(function(space_id, index_id, options)
    local space = box.space[space_id]
    if space == nil then
        box.error(box.error.NO_SUCH_SPACE, '#' .. tostring(space_id), 2)
    end
    local object = space.index[index_id]
    if object == nil then
        box.error(box.error.NO_SUCH_INDEX_ID, index_id, space.name, 2)
    elseif options == nil then
        return
    end
    check.options(options, ALTER_OPTIONS, 2)
    space_id = space.id
    local id = object.id
    if options.id ~= nil then
        return change_id(space_id, id, options, 1)
    end
    local format = space:format()
    local _index = box.space[box.schema.INDEX_ID]
    local row = _index:get{space_id, id}
    local kept, list = check.map(row.opts), row.parts
    for key in pairs(KEPT_OPTIONS) do
        if options[key] ~= nil then
            kept[key] = options[key]
        end
    end
    check_function_hint(options, object.name, space.name, 2)
    if options.parts ~= nil then
        list = index_parts.simplify(index_parts.normalize(format, options.parts, 2))
    end
    check_hint(options, list, object.name, space.name, 2)
    resolve_kept(kept, options, format, 2)
    local name = options.name or row.name
    local change = space_sequence.prepare(options.sequence, {
        id = id, name = name, space_id = space_id, space_name = space.name, format = format,
        parts = list,
    }, 2)
    space_sequence.detach(change)
    _index:replace{space_id, id, name, options.type or row.type, kept, list}
    if kept.func ~= nil then
        box.space[box.schema.FUNC_INDEX_ID]:insert{space_id, id, kept.func}
    end
    space_sequence.commit(change)
end)

--
-- Methods of indexes
--

local methods = parts.data.index_methods

function methods.drop(object)
    check.index(object, 'drop', 2)
    return index.drop(object.space_id, object.id)
end

function methods.rename(object, name)
    check.index(object, 'rename', 2)
    return index.rename(object.space_id, object.id, name)
end

function methods.alter(object, options)
    check.index(object, 'alter', 2)
    if object.id == nil or object.space_id == nil then
        check.refuse('Usage: index:alter{opts}', 2)
    end
    return index.alter(object.space_id, object.id, options)
end

return index
