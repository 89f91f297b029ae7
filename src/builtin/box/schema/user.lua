-- box.schema.user, box.schema.role: who may use the database.
--
-- A user or role may exist for several origins: '' (made by a user) and others (made by the
-- configuration); it goes when its last origin does.
local native, box, parts = ...

local check, grants, privilege = parts.check, parts.grants, parts.privilege
local call_at, refuse = check.call_at, check.refuse
local fiber = require('fiber')
local msgpack = require('msgpack')

local DEFAULT_ORIGIN = ''
local OPTIONS_FIELD, PRIV_OPTIONS_FIELD = 8, 6

local user, role = {}, {}
box.schema.user, box.schema.role = user, role

local function now()
    return math.floor(fiber.time())
end

-- An error when a password is too weak, or one of those in a list of `auth` fields.
local function check_password(password, history, level)
    call_at(level + 1, native.check_password, password)
    for _, auth in ipairs(history) do
        if native.is_password(msgpack.encode(auth), password) then
            box.error(box.error.OLD_PASSWORD, box.cfg.password_history_length, level + 1)
        end
    end
end

-- The `auth` fields of the last passwords of a user, the present one first.
local function auth_history(uid)
    local length, row = box.cfg.password_history_length or 0, box.space[box.schema.USER_ID]:get{uid}
    local history = {}
    if row == nil or length == 0 then
        return history
    end
    if type(row.auth) == 'table' and next(row.auth) ~= nil then
        history[1] = row.auth
    end
    for _, auth in ipairs(row.auth_history or {}) do
        if #history < length then
            history[#history + 1] = auth
        end
    end
    return history
end

-- Whether this is the password of a user.
function box.internal.is_password(name, password)
    local row = box.space[box.schema.USER_ID].index.name:get{name}
    return row ~= nil and native.is_password(msgpack.encode(row.auth), password)
end

local function auth_data(password)
    local method = box.cfg.auth_type or 'chap-sha1'
    return {[method] = native.prepare_auth(method, password)}
end

-- What the `auth` data of a password is.
function user.password(password)
    check.configured(2)
    return native.prepare_auth(box.cfg.auth_type or 'chap-sha1', password)
end

local function change_password(uid, password, level)
    local _user = box.space[box.schema.USER_ID]
    local history = box.session.su('admin', auth_history, uid)
    if next(history) ~= nil then
        -- Whoever may not change a password may not compare it with others either.
        call_at(level + 1, _user.update, _user, {uid}, {})
    end
    check_password(password, history, level + 1)
    call_at(level + 1, _user.update, _user, {uid},
        {{'=', 5, auth_data(password)}, {'=', 6, history}, {'=', 7, now()}})
end

-- passwd(password) changes one's own.
function user.passwd(name, password)
    check.configured(2)
    if name == nil then
        refuse('Usage: box.schema.user.passwd([user,] password)', 2)
    elseif password == nil then
        return call_at(1, box.session.su, 'admin', change_password, box.session.uid(), name, 1)
    end
    local uid = grants.user_id(name)
    if uid == nil then
        box.error(box.error.NO_SUCH_USER, name, 2)
    end
    return change_password(uid, password, 1)
end

--
-- Origins
--

-- The set of origins of a row of _user.
local function origins_of(row)
    local options = row[OPTIONS_FIELD]
    if options == nil or options.origins == nil then
        return {[DEFAULT_ORIGIN] = true}
    end
    return options.origins
end

-- The options field of a row with these origins: nothing for '' alone.
local function options_of(origins)
    local first = next(origins)
    if first == DEFAULT_ORIGIN and next(origins, first) == nil then
        return nil
    end
    return {origins = origins}
end

local function store_origins(row, origins)
    local options = options_of(origins)
    if options ~= nil or row[OPTIONS_FIELD] ~= nil then
        local _user = box.space[box.schema.USER_ID]
        _user:update(row.id, {{'=', OPTIONS_FIELD, options or box.NULL}})
    end
end

-- A user or role that exists gets another origin. False: it had that one.
local function add_origin(uid, origin)
    local row = box.space[box.schema.USER_ID]:get{uid}
    local origins = origins_of(row)
    if origins[origin] ~= nil then
        return false
    end
    origins[origin] = true
    store_origins(row, origins)
    return true
end

local EXISTS_OPTIONS = {_origin = 'string'}

-- Without an origin in the options, any will do.
local function exists(uid, options)
    if uid == nil then
        return false
    elseif options == nil or options._origin == nil then
        return true
    end
    local row = box.space[box.schema.USER_ID]:get{uid}
    return row ~= nil and origins_of(row)[options._origin] ~= nil
end

function user.exists(name, options)
    check.configured(2)
    check.options(options, EXISTS_OPTIONS, 2)
    return exists(grants.user_id(name), options)
end

function role.exists(name, options)
    check.configured(2)
    check.options(options, EXISTS_OPTIONS, 2)
    return exists(grants.role_id(name), options)
end

--
-- Making
--

local function insert(name, kind, auth, origin)
    local _user = box.space[box.schema.USER_ID]
    return _user:auto_increment{
        box.session.euid(), name, kind, check.map(auth), {}, now(), options_of({[origin] = true}),
    }
end

user.create = check.atomic(function(name, options)
    options = options or {}
    local uid = grants.user_or_role_id(name)
    check.options(options,
        {password = 'string', if_not_exists = 'boolean', _origin = 'string'}, 2)
    local origin = options._origin or DEFAULT_ORIGIN
    if uid ~= nil then
        if not add_origin(uid, origin) and not options.if_not_exists then
            box.error(box.error.USER_EXISTS, name, 2)
        end
        return
    end
    local auth = {}
    if options.password ~= nil then
        check_password(options.password, {}, 2)
        auth = auth_data(options.password)
    end
    uid = insert(name, 'user', auth, origin).id
    user.grant(uid, 'public')
    -- To change its own password and name.
    user.grant(uid, 'alter', 'user', uid)
    -- Only admin owns the universe.
    box.session.su('admin', user.grant, uid, 'session,usage', 'universe', nil,
        {if_not_exists = true})
end)

function role.create(name, options)
    check.configured(2)
    options = options or {}
    check.options(options, {if_not_exists = 'boolean', _origin = 'string'}, 2)
    local uid = grants.user_or_role_id(name)
    local origin = options._origin or DEFAULT_ORIGIN
    if uid == nil then
        call_at(2, insert, name, 'role', {}, origin)
    elseif not add_origin(uid, origin) and not options.if_not_exists then
        box.error(box.error.ROLE_EXISTS, name, 2)
    end
end

--
-- Dropping
--

-- Drops a user or role with all that it owns and was granted.
local function drop_all(row)
    local schema, uid = box.schema, row.id
    local _priv, _vpriv = box.space[schema.PRIV_ID], box.space[schema.VPRIV_ID]
    local function delete_grants(list)
        for _, grant in ipairs(list) do
            _priv:delete{grant.grantee, grant.object_type, grant.object_id}
        end
    end
    for _, owned in ipairs(box.space[schema.VSPACE_ID].index.owner:select{uid}) do
        box.space[owned.id]:drop()
    end
    for _, owned in ipairs(box.space[schema.VFUNC_ID].index.owner:select{uid}) do
        schema.func.drop(owned.id)
    end
    delete_grants(_vpriv.index.object:select{'role', uid})
    for _, owned in ipairs(box.space[schema.VSEQUENCE_ID].index.owner:select{uid}) do
        schema.sequence.drop(owned.id)
    end
    -- Whoever may drop the user need not have granted what is taken back here.
    if row.type == 'user' then
        box.session.su('admin', user.revoke, uid, 'session,usage', 'universe', nil,
            {if_exists = true})
    end
    local granted = _vpriv.index.primary:select{uid}
    box.session.su('admin', delete_grants, granted)
    box.space[schema.USER_ID]:delete{uid}
end

-- Takes back what one origin granted.
local function revoke_origin(uid, origin, level)
    for _, grant in ipairs(box.space[box.schema.VPRIV_ID].index.primary:select{uid}) do
        local options, mask = grant[PRIV_OPTIONS_FIELD], 0
        if options ~= nil and options.origins ~= nil then
            mask = options.origins[origin] or 0
        elseif origin == DEFAULT_ORIGIN then
            mask = grant.privilege
        end
        if mask ~= 0 then
            box.session.su('admin', privilege.revoke, level + 1, uid, uid, mask,
                grant.object_type, grant.object_id, {_origin = origin, if_exists = true})
        end
    end
end

-- Drops it for one origin, and altogether with the last.
local function drop(uid, options, level)
    local origin = options._origin or DEFAULT_ORIGIN
    local row = box.space[box.schema.USER_ID]:get{uid}
    local origins = origins_of(row)
    if origins[origin] == nil then
        if not options.if_exists then
            local code = row.type == 'role' and box.error.NO_SUCH_ROLE or box.error.NO_SUCH_USER
            box.error(code, row.name, level + 1)
        end
        return
    end
    origins[origin] = nil
    if next(origins) == nil then
        return drop_all(row)
    end
    revoke_origin(uid, origin, level + 1)
    store_origins(row, origins)
end

local DROP_OPTIONS = {if_exists = 'boolean', _origin = 'string'}

local function is_system(uid)
    return uid >= box.schema.SYSTEM_USER_ID_MIN and uid <= box.schema.SYSTEM_USER_ID_MAX
end

user.drop = check.atomic(function(name, options)
    options = options or {}
    check.options(options, DROP_OPTIONS, 2)
    local uid = grants.user_id(name)
    if uid == nil then
        if not options.if_exists then
            box.error(box.error.NO_SUCH_USER, name, 2)
        end
        return
    elseif is_system(uid) then
        box.error(box.error.DROP_USER, name, 'the user or the role is a system', 2)
    elseif uid == box.session.uid() or uid == box.session.euid() then
        box.error(box.error.DROP_USER, name, 'the user is active in the current session', 2)
    end
    return drop(uid, options, 1)
end)

role.drop = check.atomic(function(name, options)
    options = options or {}
    check.options(options, DROP_OPTIONS, 2)
    local uid = grants.role_id(name)
    if uid == nil then
        if not options.if_exists then
            box.error(box.error.NO_SUCH_ROLE, name, 2)
        end
        return
    elseif is_system(uid) or uid == box.schema.SUPER_ROLE_ID then
        box.error(box.error.DROP_USER, name, 'the user or the role is a system', 2)
    end
    return drop(uid, options, 1)
end)

--
-- Granting
--

local function check_user(name, level)
    check.configured(level + 1)
    local uid = grants.user_id(name)
    if uid == nil then
        box.error(box.error.NO_SUCH_USER, name, level + 1)
    end
    return uid
end

local function check_role(name, level)
    check.configured(level + 1)
    local uid = grants.role_id(name)
    if uid == nil then
        box.error(box.error.NO_SUCH_ROLE, name, level + 1)
    end
    return uid
end

function user.grant(name, ...)
    return privilege.grant(1, check_user(name, 2), name, ...)
end

function user.revoke(name, ...)
    return privilege.revoke(1, check_user(name, 2), name, ...)
end

function user.enable(name)
    return user.grant(name, 'session,usage', 'universe', nil, {if_not_exists = true})
end

function user.disable(name)
    return user.revoke(name, 'session,usage', 'universe', nil, {if_exists = true})
end

function user.info(name)
    check.configured(2)
    return privilege.info(name == nil and box.session.euid() or check_user(name, 2))
end

-- Sessions belong to users, so a role cannot open one.
local function check_role_privilege(list, level)
    local is_session
    if type(list) == 'number' then
        is_session = bit.band(list, box.priv.S + box.priv.U) ~= 0
    elseif type(list) == 'string' then
        list = list:lower()
        is_session = list:find('session', 1, true) or list:find('usage', 1, true)
    end
    if is_session then
        box.error(box.error.GRANT, 'system privilege can not be granted to role', level + 1)
    end
end

function role.grant(name, ...)
    local uid = check_role(name, 2)
    check_role_privilege((...), 2)
    return privilege.grant(1, uid, name, ...)
end

function role.revoke(name, ...)
    local uid = check_role(name, 2)
    check_role_privilege((...), 2)
    return privilege.revoke(1, uid, name, ...)
end

function role.info(name)
    return privilege.info(check_role(name, 2))
end

return user
