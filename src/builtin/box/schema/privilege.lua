-- box.schema: granting and revoking, for users and roles alike.
--
-- What one grantee may do with one object is one row of _priv. A grant has an origin ('' for what
-- users grant, another name for what the configuration does); the row holds the union, and the
-- masks of the origins when there are others than ''.
local _, box, parts = ...

local bit = require('bit')
local band, bnot, bor = bit.band, bit.bnot, bit.bor

local check, grants = parts.check, parts.grants
local call_at, refuse = check.call_at, check.refuse

local DEFAULT_ORIGIN = ''
-- Field number, not name: the format of an old schema does not name it.
local OPTIONS_FIELD = 6

local PRIVILEGES = {
    {'read', 'R', 1},
    {'write', 'W', 2},
    {'execute', 'X', 4},
    {'session', 'S', 8},
    {'usage', 'U', 16},
    {'create', 'C', 32},
    {'drop', 'D', 64},
    {'alter', 'A', 128},
    {'reference', 'REFERENCE', 256},
    {'trigger', 'TRIGGER', 512},
    {'insert', 'INSERT', 1024},
    {'update', 'UPDATE', 2048},
    {'delete', 'DELETE', 4096},
    {'grant', 'GRANT', 8192},
    {'metagrant', 'METAGRANT', 16384},
}

box.priv = {ALL = 4294967295}
local by_name = {}
for _, row in ipairs(PRIVILEGES) do
    box.priv[row[2]] = row[3]
    by_name[row[1]] = row[3]
end

local function union(...)
    local mask = 0
    for _, name in ipairs({...}) do
        mask = bor(mask, by_name[name])
    end
    return mask
end

-- What can be granted on objects of a type.
local ALLOWED = {
    universe = box.priv.ALL,
    lua_call = union('execute', 'usage'),
    lua_eval = union('execute', 'usage'),
    sql = union('execute', 'usage'),
    space = union('read', 'write', 'usage', 'create', 'drop', 'alter', 'reference', 'trigger',
        'insert', 'update', 'delete'),
    sequence = union('read', 'write', 'usage', 'create', 'alter', 'drop'),
    ['function'] = union('execute', 'usage', 'create', 'drop'),
    role = union('execute', 'usage', 'create', 'drop'),
    user = union('create', 'alter', 'drop'),
}

-- Types with one object only, whose id is 0.
local SINGLETONS = {universe = true, lua_eval = true, sql = true}

local privilege = {}

-- The mask of a list such as 'read,write'; 0 when a word is unknown.
local function parse(list)
    local mask = 0
    for word in list:lower():gmatch('%a+') do
        if by_name[word] == nil then
            return 0
        end
        mask = bor(mask, by_name[word])
    end
    return mask
end

-- The mask, checked against what the type of object allows. It is a uint64: bit operations on
-- numbers are signed, and `ALL` would be -1.
local function resolve(list, object_type, level)
    local mask = type(list) == 'string' and parse(list) or type(list) == 'number' and list or 0
    local allowed = ALLOWED[object_type]
    if allowed == nil then
        box.error(box.error.UNKNOWN_SCHEMA_OBJECT, object_type, level + 1)
    elseif mask == 0 or band(mask + 0ULL, allowed + 0ULL) ~= mask then
        box.error(box.error.UNSUPPORTED_PRIV, object_type, list, level + 1)
    end
    return mask + 0ULL
end

-- The words of a mask, as box.schema.user.info() shows them.
local function describe(mask)
    local words = {}
    for _, row in ipairs(PRIVILEGES) do
        if band(mask + 0ULL, row[3] + 0ULL) ~= 0 then
            words[#words + 1] = row[1]
        end
    end
    return table.concat(words, ',')
end

local OBJECT_FINDERS = {
    space = function(name)
        return box.space[name], box.error.NO_SUCH_SPACE
    end,
    ['function'] = function(name)
        return grants.find_function(name), box.error.NO_SUCH_FUNCTION
    end,
    sequence = function(name)
        return grants.find_sequence(name), box.error.NO_SUCH_SEQUENCE
    end,
    role = function(name)
        local row = grants.find_user_or_role(name)
        return row ~= nil and row.type == 'role' and row or nil, box.error.NO_SUCH_ROLE
    end,
    user = function(name)
        local row = grants.find_user_or_role(name)
        return row ~= nil and row.type == 'user' and row or nil, box.error.NO_SUCH_USER
    end,
}

-- What a row of _priv calls an object: its id, '' for all objects of the type.
local function resolve_object(object_type, name, level)
    if name ~= nil and type(name) ~= 'string' and type(name) ~= 'number' then
        refuse('wrong object name type', level + 1)
    elseif SINGLETONS[object_type] then
        return 0
    elseif object_type == 'lua_call' then
        return name
    end
    local finder = OBJECT_FINDERS[object_type]
    if finder == nil then
        box.error(box.error.UNKNOWN_SCHEMA_OBJECT, object_type, level + 1)
    elseif name == '' then
        return ''
    end
    local found, code = finder(name)
    if found == nil then
        box.error(code, name, level + 1)
    end
    return found.id
end

local NAMING_VIEWS = {
    space = 'VSPACE_ID', sequence = 'VSEQUENCE_ID', ['function'] = 'VFUNC_ID', role = 'VUSER_ID',
    user = 'VUSER_ID',
}

local function object_name(object_type, id)
    if SINGLETONS[object_type] or id == '' then
        return ''
    elseif object_type == 'lua_call' then
        return id
    end
    local row = box.space[box.schema[NAMING_VIEWS[object_type]]]:get{id}
    return row ~= nil and row.name or tostring(id)
end

-- grant(user, role) is grant(user, 'execute', 'role', role); grant(user, privilege, type) is for
-- all objects of the type.
local function read_target(list, object_type, name)
    if name ~= nil then
        return list, object_type, name
    elseif object_type == nil then
        return 'execute', 'role', list
    end
    return list, object_type, ''
end

local function read_origin(options, level)
    if options._origin == nil then
        return DEFAULT_ORIGIN
    elseif type(options._origin) ~= 'string' then
        refuse("options parameter '_origin' should be of type 'string'", level + 1)
    end
    return options._origin
end

-- Origin to mask of a row of _priv, which may be nil.
function privilege.origins(row)
    local options = row ~= nil and row[OPTIONS_FIELD] or nil
    if options ~= nil and options.origins ~= nil then
        return options.origins
    end
    return {[DEFAULT_ORIGIN] = row ~= nil and row.privilege or 0}
end

-- The union of the origins, and what the row says of them.
local function join_origins(origins)
    local mask, kept = 0ULL, {}
    for origin, part in pairs(origins) do
        if part ~= 0 then
            mask = bor(mask, part + 0ULL)
            kept[origin] = part
        end
    end
    local first = next(kept)
    if first == nil or first == DEFAULT_ORIGIN and next(kept, first) == nil then
        return mask, nil
    end
    return mask, {origins = kept}
end

local function already_granted(grantee, list, object_type, name, level)
    if object_type == 'role' and name ~= '' and list == 'execute' then
        box.error(box.error.ROLE_GRANTED, grantee, name, level + 1)
    end
    local object = SINGLETONS[object_type] and object_type or
        ("%s '%s'"):format(object_type, name)
    box.error(box.error.PRIV_GRANTED, grantee, list, object, object_type, name, level + 1)
end

-- Grants to the user or role with this id and name.
function privilege.grant(level, uid, grantee, list, object_type, name, options)
    list, object_type, name = read_target(list, object_type, name)
    local mask = resolve(list, object_type, level + 1)
    local object_id = resolve_object(object_type, name, level + 1)
    options = options or {}
    local grantor = options.grantor == nil and box.session.euid() or
        grants.user_or_role_id(options.grantor)
    local origin = read_origin(options, level + 1)
    local row = box.space[box.schema.VPRIV_ID]:get{uid, object_type, object_id}
    local origins = privilege.origins(row)
    local old = (origins[origin] or 0) + 0ULL
    if band(bnot(old), mask) == 0 then
        if not options.if_not_exists then
            already_granted(grantee, list, object_type, name, level + 1)
        end
        return
    end
    origins[origin] = bor(old, mask)
    local total, kept = join_origins(origins)
    local _priv = box.space[box.schema.PRIV_ID]
    call_at(level + 1, _priv.replace, _priv,
        {grantor, uid, object_type, object_id, total, kept})
end

local function not_granted(grantee, list, object_type, name, origin, row, level)
    local mask = resolve(list, object_type, level + 1)
    local total = (row ~= nil and row.privilege or 0) + 0ULL
    local is_role = object_type == 'role' and name ~= '' and list == 'execute'
    local reason
    if is_role then
        reason = ("User '%s' does not have role '%s'"):format(grantee, name)
    else
        reason = ("User '%s' does not have %s access on %s '%s'"):format(grantee, list,
            object_type, name)
    end
    local previous
    if band(mask, total) ~= 0 then
        -- It is granted, by another origin.
        previous = origin == DEFAULT_ORIGIN and 'default' or origin
        reason = ('%s provided by %s origin'):format(reason, previous)
    end
    box.error({
        code = is_role and box.error.ROLE_NOT_GRANTED or box.error.PRIV_NOT_GRANTED,
        reason = reason,
        prev_origin = previous,
    }, level + 1)
end

-- Takes back what was granted.
function privilege.revoke(level, uid, grantee, list, object_type, name, options)
    list, object_type, name = read_target(list, object_type, name)
    local mask = resolve(list, object_type, level + 1)
    options = options or {}
    local origin = read_origin(options, level + 1)
    local object_id = resolve_object(object_type, name, level + 1)
    local row = box.space[box.schema.VPRIV_ID]:get{uid, object_type, object_id}
    local origins = privilege.origins(row)
    local old = (origins[origin] or 0) + 0ULL
    if band(old, mask) == 0 then
        if not options.if_exists then
            not_granted(grantee, list, object_type, name, origin, row, level + 1)
        end
        return
    end
    origins[origin] = band(old, bnot(mask))
    local total, kept = join_origins(origins)
    local _priv = box.space[box.schema.PRIV_ID]
    if total == 0 then
        call_at(level + 1, _priv.delete, _priv, {uid, object_type, object_id})
    else
        call_at(level + 1, _priv.replace, _priv,
            {row.grantor, uid, object_type, object_id, total, kept})
    end
end

-- Everything that was granted to a user or role: {privileges, type, name}.
function privilege.info(uid)
    local result = {}
    for i, row in ipairs(box.space[box.schema.VPRIV_ID]:select{uid}) do
        result[i] =
            {describe(row.privilege), row.object_type, object_name(row.object_type, row.object_id)}
    end
    return result
end

return privilege
