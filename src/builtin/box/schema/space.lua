-- box.schema.space: making, altering and dropping spaces.
local native, box, parts = ...

local check, format, grants = parts.check, parts.format, parts.grants
local call_at, refuse = check.call_at, check.refuse

local TYPES = {'normal', 'data-temporary', 'temporary'}

local OPTIONS = {
    field_count = 'number',
    user = 'string, number',
    format = 'table',
    type = 'string',
    temporary = 'boolean',
    is_sync = 'boolean',
    defer_deletes = 'boolean',
    constraint = 'string, table',
    foreign_key = 'table',
}
local CREATE_OPTIONS = check.with_defaults(OPTIONS, {
    if_not_exists = 'boolean',
    engine = 'string',
    id = 'number',
    is_local = 'boolean',
})
local ALTER_OPTIONS = check.with_defaults(OPTIONS, {name = 'string'})

local space = {}
box.schema.space = space

local function check_type(kind, level)
    if kind == nil then
        return
    end
    for _, known in ipairs(TYPES) do
        if kind == known then
            return
        end
    end
    refuse(("unknown space type, must be one of: '%s'."):format(table.concat(TYPES, "', '")),
        level + 1)
end

-- The owner that option `user` names.
local function resolve_owner(name_or_id, level)
    local uid = grants.user_or_role_id(name_or_id)
    if uid == nil then
        box.error(box.error.NO_SUCH_USER, name_or_id, level + 1)
    end
    return uid
end

function space.create(name, options)
    check.configured(2)
    check.param(name, 'name', 'string', 2)
    check.options(options, CREATE_OPTIONS, 2)
    options = check.with_defaults(options, {engine = 'memtx', field_count = 0})
    check_type(options.type, 2)
    if options.type ~= nil and options.temporary ~= nil then
        refuse("only one of 'type' or 'temporary' may be specified", 2)
    end
    if options.engine == 'vinyl' and options.defer_deletes == nil then
        options.defer_deletes = box.cfg.vinyl_defer_deletes
    end
    if box.space[name] ~= nil then
        if options.if_not_exists then
            return box.space[name], 'not created'
        end
        box.error(box.error.SPACE_EXISTS, name, 2)
    end
    local id = options.id or native.generate_space_id(options.type == 'temporary')
    local owner = options.user and resolve_owner(options.user, 2) or box.session.euid()
    local self = {id = id, name = name}
    local fields = format.normalize(options.format or {}, self, 2)
    local flags = check.map({
        group_id = options.is_local and 1 or nil,
        temporary = options.temporary,
        type = options.type,
        is_sync = options.is_sync,
        defer_deletes = options.defer_deletes and true or nil,
        constraint = format.constraint(options.constraint, '', 2),
        foreign_key = format.foreign_key(options.foreign_key, self, '', true, 2),
    })
    local _space = box.space[box.schema.SPACE_ID]
    call_at(2, _space.insert, _space,
        {id, owner, name, options.engine, options.field_count, flags, fields})
    return box.space[id], 'created'
end

box.schema.create_space = space.create

-- The format, or sets it.
function space.format(id, new)
    check.configured(2)
    check.param(id, 'id', 'number', 2)
    local row = box.space[box.schema.VSPACE_ID]:get(id)
    if row == nil then
        box.error(box.error.NO_SUCH_SPACE, '#' .. tostring(id), 2)
    elseif new == nil then
        return format.denormalize(row.format)
    end
    check.param(new, 'format', 'table', 2)
    local fields = format.normalize(new, {id = id, name = row.name}, 2)
    local _space = box.space[box.schema.SPACE_ID]
    call_at(2, _space.update, _space, id, {{'=', 7, fields}})
end

function space.upgrade(id)
    check.param(id, 'id', 'number', 2)
    box.error(box.error.UNSUPPORTED, 'Lycosa', 'space upgrade', 2)
end

function space.rename(id, name)
    check.configured(2)
    check.param(id, 'space_id', 'number', 2)
    check.param(name, 'space_name', 'string', 2)
    local _space = box.space[box.schema.SPACE_ID]
    call_at(2, _space.update, _space, id, {{'=', 3, name}})
end

-- An empty table takes a constraint or foreign key away.
local function or_nothing(option)
    if type(option) == 'table' and next(option) == nil then
        return nil
    end
    return option
end

function space.alter(id, options)
    check.configured(2)
    local object = box.space[id]
    if object == nil then
        box.error(box.error.NO_SUCH_SPACE, '#' .. tostring(id), 2)
    end
    check.options(options, ALTER_OPTIONS, 2)
    options = options or {}
    local _space = box.space[box.schema.SPACE_ID]
    local row = _space:get(object.id):totable()
    local flags = check.map(row[6])
    check_type(options.type, 2)
    for _, flag in ipairs({'type', 'temporary', 'is_sync', 'defer_deletes'}) do
        if options[flag] ~= nil then
            flags[flag] = options[flag]
        end
    end
    local self = {id = object.id, name = options.name or row[3]}
    if options.constraint ~= nil then
        flags.constraint = format.constraint(or_nothing(options.constraint), '', 2)
    end
    if options.foreign_key ~= nil then
        flags.foreign_key =
            format.foreign_key(or_nothing(options.foreign_key), self, '', true, 2)
    end
    row[2] = options.user and resolve_owner(options.user, 2) or row[2]
    row[3] = self.name
    row[5] = options.field_count or row[5]
    row[6] = flags
    if options.format ~= nil then
        row[7] = format.normalize(options.format, self, 2)
    end
    call_at(2, _space.replace, _space, row)
end

space.drop = check.atomic(function(id, name, options)
    check.param(id, 'space_id', 'number', 2)
    check.options(options, {if_exists = 'boolean'}, 2)
    local schema = box.schema
    parts.space_sequence.drop(id)
    local _trigger = box.space[schema.TRIGGER_ID]
    for _, row in ipairs(_trigger.index.space_id:select{id}) do
        _trigger:delete{row.name}
    end
    local _func_index = box.space[schema.FUNC_INDEX_ID]
    for _, row in ipairs(_func_index.index.primary:select{id}) do
        _func_index:delete{id, row.index_id}
    end
    -- The primary key goes last.
    local indexes = box.space[schema.VINDEX_ID]:select(id)
    for i = #indexes, 1, -1 do
        box.space[schema.INDEX_ID]:delete{indexes[i].id, indexes[i].iid}
    end
    grants.revoke_all('space', id)
    -- A deletion of nothing would be logged, and a temporary space must leave no trace.
    local _truncate = box.space[schema.TRUNCATE_ID]
    if _truncate:get{id} ~= nil then
        _truncate:delete{id}
    end
    if box.space[schema.SPACE_ID]:delete{id} == nil and
       (options == nil or not options.if_exists) then
        box.error(box.error.NO_SUCH_SPACE, name or '#' .. tostring(id), 2)
    end
end)

--
-- Methods of spaces
--

local methods = parts.data.space_methods

local function check_exists(object, level)
    if box.space[object.id] == nil then
        box.error(box.error.NO_SUCH_SPACE, object.name, level + 1)
    end
end

-- Adds a method: `run` gets the space and the arguments, and is called in tail position, so that
-- for its errors level 2 is the caller of the method.
local function add_method(name, run)
    methods[name] = function(object, ...)
        check.space(object, name, 2)
        check_exists(object, 2)
        return run(object, ...)
    end
end

add_method('format', function(object, new)
    return space.format(object.id, new)
end)

add_method('upgrade', function(object, ...)
    return space.upgrade(object.id, ...)
end)

add_method('drop', function(object)
    return space.drop(object.id, object.name)
end)

add_method('rename', function(object, name)
    return space.rename(object.id, name)
end)

add_method('alter', function(object, options)
    return space.alter(object.id, options)
end)

add_method('create_index', function(object, name, options)
    return box.schema.index.create(object.id, name, options)
end)

add_method('truncate', function(object)
    return native.truncate(object.id)
end)

add_method('run_triggers', function(object, is_on)
    native.run_triggers(object.id, is_on)
end)

-- Inserts a tuple behind the next value of the unsigned primary key.
add_method('auto_increment', function(object, tuple)
    if object.index[0] == nil then
        box.error(box.error.NO_SUCH_INDEX_ID, 0, object.name, 2)
    end
    local last = object.index[0]:max()
    table.insert(tuple, 1, (last == nil and 0 or last[1]) + 1)
    return object:insert(tuple)
end)

-- The tuple with these named fields; with {table = true}, the table it would be made of. Problems
-- are returned as nil and a message.
function methods.frommap(object, map, options)
    local is_table = options
    if type(options) == 'table' then
        is_table = options.table
    end
    if type(object) ~= 'table' or type(map) ~= 'table' or
       options ~= nil and type(options) ~= 'table' or
       is_table ~= nil and type(is_table) ~= 'boolean' then
        error('Usage: space:frommap(map, opts)', 2)
    end
    local known = box.space[object.id]
    if known == nil then
        return nil, ("Space with id '%s' doesn't exist"):format(tostring(object.id))
    end
    local positions, count = {}, 0
    for i, field in ipairs(known:format()) do
        positions[field.name] = i
    end
    local row = {}
    for name, value in pairs(map) do
        local position = positions[name]
        if position == nil then
            return nil, ("Unknown field '%s'"):format(tostring(name))
        end
        row[position] = value
        count = math.max(count, position)
    end
    for i = 1, count do
        if row[i] == nil then
            row[i] = box.NULL
        end
    end
    local is_valid, tuple = pcall(native.space_tuple, object.id, row)
    if not is_valid then
        return nil, tostring(tuple)
    end
    return is_table and row or tuple
end

return space
