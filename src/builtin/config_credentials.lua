-- internal.config_credentials: users, roles and privileges as the configuration has them.
--
-- What the configuration makes and grants has the origin 'config' in the database. So a reload,
-- also one after a restart, takes back exactly what the configuration no longer says, and leaves
-- alone what was made or granted by hand. One turn is one transaction.
--
-- A privilege on an object that does not exist yet is a warning until the object is made, or gets
-- that name; a trigger sees it. All changes are made by one fiber, with the rights of admin: one
-- that reloads may have less. On a read-only instance it waits.
--
-- Yields: `apply` and `settle`.
local fiber = require('fiber')

local ORIGIN = 'config'
-- Fields of rows of _user and _priv, by number: the format of an old schema does not name them.
local USER_AUTH, USER_OPTIONS, PRIVILEGE_OPTIONS = 5, 8, 6

-- Names of privileges by their keys in box.priv.
local PRIVILEGES = {
    R = 'read', W = 'write', X = 'execute', S = 'session', U = 'usage', C = 'create', D = 'drop',
    A = 'alter', REFERENCE = 'reference', TRIGGER = 'trigger', INSERT = 'insert',
    UPDATE = 'update', DELETE = 'delete',
}

-- Errors that say that an object does not exist yet.
local MISSING = {'NO_SUCH_SPACE', 'NO_SUCH_ROLE', 'NO_SUCH_FUNCTION', 'NO_SUCH_SEQUENCE'}

-- Views that name objects, by their types.
local VIEWS = {
    space = '_vspace', ['function'] = '_vfunc', sequence = '_vsequence', role = '_vuser',
    user = '_vuser',
}

-- Where alerts are put up, and what the configuration says.
local board, credentials
-- Set while there is something to do: 'everything' or 'privileges'.
local due
-- Whether it is being done, and waits for the database to be writable.
local is_working, is_waiting = false, false
-- The error of the last turn.
local failure
local changed = fiber.cond()
local worker
local has_triggers = false
-- The objects that the configuration names: [type][name] = true.
local named = {}

--
-- Privileges: {[type] = {[object] = {[privilege] = true}}}
--

local function add(set, object_type, object, privilege)
    local objects = set[object_type] or {}
    set[object_type] = objects
    objects[object] = objects[object] or {}
    objects[object][privilege] = true
end

local function wanted_privileges(grantee)
    local set = {}
    for _, role in ipairs(grantee.roles) do
        add(set, 'role', role, 'execute')
    end
    for _, privilege in ipairs(grantee.privileges) do
        for _, permission in ipairs(privilege.permissions) do
            add(set, privilege.type, privilege.object, permission)
        end
    end
    return set
end

local function object_name(object_type, id)
    if type(id) == 'string' or VIEWS[object_type] == nil then
        return type(id) == 'string' and id or ''
    end
    return box.space[VIEWS[object_type]]:get{id}.name
end

-- What the configuration has granted.
local function present_privileges(name)
    local set = {}
    local row = box.space._user.index.name:get{name}
    for _, grant in ipairs(row ~= nil and box.space._priv:select{row.id} or {}) do
        local options = grant[PRIVILEGE_OPTIONS]
        local mask = options ~= nil and options.origins ~= nil and options.origins[ORIGIN] or 0
        for key, privilege in pairs(PRIVILEGES) do
            if bit.band(mask, box.priv[key]) ~= 0 then
                add(set, grant.object_type, object_name(grant.object_type, grant.object_id),
                    privilege)
            end
        end
    end
    return set
end

-- Calls `visit(type, object, list)` with what is in one set and not in the other.
local function each_missing(set, other, visit)
    for object_type, objects in pairs(set) do
        for object, privileges in pairs(objects) do
            local have = (other[object_type] or {})[object] or {}
            local lacking = {}
            for privilege in pairs(privileges) do
                if not have[privilege] then
                    table.insert(lacking, privilege)
                end
            end
            if #lacking > 0 then
                table.sort(lacking)
                visit(object_type, object, table.concat(lacking, ','))
            end
        end
    end
end

local function is_missing(err)
    for _, name in ipairs(MISSING) do
        if box.error.is(err) and err.code == box.error[name] then
            return true
        end
    end
    return false
end

local CALL = 'box.schema.%s.%s(%q, %q, %q, %q)'

local function change(kind, what, name, list, object_type, object)
    local ok, err = pcall(box.schema[kind][what], name, list, object_type, object,
        {_origin = ORIGIN})
    if not ok and not is_missing(err) then
        board:set({
            type = 'error',
            message = ('credentials.apply: ' .. CALL .. ' failed: %s'):format(kind, what, name,
                list, object_type, object, err),
        })
    end
end

local function sync_privileges(kind, grantee)
    local name = grantee.name
    local wanted, present = wanted_privileges(grantee), present_privileges(name)
    local function apply(what)
        return function(object_type, object, list)
            change(kind, what, name, list, object_type, object)
        end
    end
    each_missing(wanted, present, apply('grant'))
    each_missing(present, wanted, apply('revoke'))
    each_missing(wanted, present_privileges(name), function(object_type, object, list)
        board:set({
            type = 'warn',
            _is_missing_privilege = true,
            message = (CALL .. ' has failed because either the object has not been created yet, ' ..
                'a database schema upgrade has not been performed, or the privilege write has ' ..
                'failed (separate alert reported)'):format(kind, 'grant', name, list, object_type,
                object),
        })
    end)
end

local function is_system(row)
    return row.id <= box.schema.SYSTEM_USER_ID_MAX or row.id == box.schema.SUPER_ROLE_ID
end

-- Puts privileges in order. Alerts of objects that are there by now are dropped, last: with the
-- last alert the configuration is in order.
local function sync_all_privileges()
    local old = {}
    board:each(function(key, alert)
        old[key] = alert._is_missing_privilege
    end)
    local is_named = {}
    for kind, grantees in pairs({role = credentials.roles, user = credentials.users}) do
        for _, grantee in ipairs(grantees) do
            is_named[grantee.name] = true
            sync_privileges(kind, grantee)
        end
    end
    -- The others that were named once are dropped; guest and the like are always there.
    for _, row in ipairs(box.space._user:select{}) do
        if is_system(row) and not is_named[row.name] then
            sync_privileges(row.type, {name = row.name, roles = {}, privileges = {}})
        end
    end
    board:drop_if(function(key) return old[key] end)
end

--
-- Users and roles
--

-- Drops what the configuration made and no longer names.
local function drop_absent(kind, grantees)
    local is_named, absent = {}, {}
    for _, grantee in ipairs(grantees) do
        is_named[grantee.name] = true
    end
    for _, row in ipairs(box.space._user:select{}) do
        local options = row[USER_OPTIONS]
        local is_ours = options ~= nil and options.origins ~= nil and options.origins[ORIGIN]
        if row.type == kind and is_ours and not is_named[row.name] and not is_system(row) then
            table.insert(absent, row.name)
        end
    end
    for _, name in ipairs(absent) do
        box.schema[kind].drop(name, {_origin = ORIGIN})
    end
end

local function create(kind, grantees)
    for _, grantee in ipairs(grantees) do
        if not box.schema[kind].exists(grantee.name, {_origin = ORIGIN}) then
            box.schema[kind].create(grantee.name, {_origin = ORIGIN})
        end
    end
end

local function set_password(user)
    local name, password = user.name, user.password
    if name == 'guest' then
        -- Guests of the binary protocol have none. Tarantool refuses one; here it is what Redis
        -- clients give who name no user.
        return
    end
    local auth = box.space._user.index.name:get{name}[USER_AUTH]
    if password == nil then
        if next(auth) ~= nil then
            box.space._user.index.name:update(name,
                {{'=', USER_AUTH, setmetatable({}, {__serialize = 'map'})}})
        end
    elseif auth[box.cfg.auth_type] == nil or not box.internal.is_password(name, password) then
        box.schema.user.passwd(name, password)
    end
end

local function sync_everything()
    drop_absent('role', credentials.roles)
    drop_absent('user', credentials.users)
    create('role', credentials.roles)
    create('user', credentials.users)
    for _, user in ipairs(credentials.users) do
        set_password(user)
    end
    sync_all_privileges()
end

--
-- The fiber that does it
--

local function remember_named()
    named = {space = {}, ['function'] = {}, sequence = {}, role = {}}
    for _, grantees in pairs(credentials) do
        for _, grantee in ipairs(grantees) do
            for object_type, objects in pairs(wanted_privileges(grantee)) do
                for object in pairs(named[object_type] ~= nil and objects or {}) do
                    named[object_type][object] = true
                end
            end
        end
    end
end

local function take_turn(what)
    if box.info.ro then
        -- Another instance may make the same changes meanwhile; they arrive here then.
        is_waiting = true
        changed:broadcast()
        local ok, err = pcall(box.ctl.wait_rw)
        is_waiting = false
        if not ok then
            error(err, 0)
        end
    end
    remember_named()
    box.atomic(what == 'everything' and sync_everything or sync_all_privileges)
end

local function work()
    fiber.name('sync_credentials', {truncate = true})
    while true do
        while due == nil do
            changed:wait()
        end
        local what = due
        due, is_working = nil, true
        local ok, err = pcall(take_turn, what)
        is_working = false
        fiber.testcancel()
        failure = not ok and err or nil
        if not ok and what ~= 'everything' then
            require('log').error(err)
        end
        changed:broadcast()
    end
end

local function make_due(what)
    due = due == 'everything' and due or what
    changed:broadcast()
end

local TYPES_BY_SPACE = {
    _space = 'space', _func = 'function', _sequence = 'sequence', _user = 'role',
}

-- Objects that are made or renamed may be what a privilege waits for.
local function on_replace(old, new, space)
    local objects = named[TYPES_BY_SPACE[space]]
    if new ~= nil and objects ~= nil and objects[new.name]
        and (old == nil or old.name ~= new.name) and box.session.type() ~= 'applier' then
        box.on_commit(function()
            make_due('privileges')
            -- Who made it sees the privileges at once.
            if fiber.self() ~= worker then
                fiber.yield()
            end
        end)
    end
end

--
-- Public functions
--

local module = {}

-- Waits until nothing is left to be done, unless the database cannot be written.
function module.settle()
    while (due ~= nil or is_working) and not (is_waiting and box.info.ro) do
        changed:wait()
    end
end

-- Puts the database in order with `wanted`, {users, roles}: at once, or as soon as it can be
-- written. Alerts go to `alerts`; the first error is raised.
function module.apply(alerts, wanted)
    board, credentials = alerts, wanted
    if not has_triggers then
        has_triggers = true
        for name in pairs(TYPES_BY_SPACE) do
            box.space[name]:on_replace(on_replace)
        end
    end
    if worker == nil or worker:status() == 'dead' then
        is_working, is_waiting = false, false
        worker = fiber.new(work)
    end
    failure = nil
    make_due('everything')
    module.settle()
    if failure ~= nil then
        error(failure, 0)
    end
    for _, alert in ipairs(board:alerts()) do
        if alert.type == 'error' then
            error(alert.message, 0)
        end
    end
end

-- The role `sharding`, which need not be defined to be given: it may call the functions of a
-- storage of vshard, where there is one.
function module.add_sharding_role(wanted, sharding_roles)
    local is_given, is_storage = false, false
    for _, grantees in pairs(wanted) do
        for _, grantee in ipairs(grantees) do
            for _, role in ipairs(grantee.roles) do
                is_given = is_given or role == 'sharding'
            end
        end
    end
    for _, role in ipairs(wanted.roles) do
        is_given = is_given and role.name ~= 'sharding'
    end
    if not is_given then
        return
    end
    for _, role in ipairs(sharding_roles or {}) do
        is_storage = is_storage or role == 'storage'
    end
    local role = {name = 'sharding', roles = {}, privileges = {}}
    if is_storage then
        local exports = require('vshard.storage.exports')
        role.roles = {'replication'}
        for name in pairs(exports.compile(exports.log[#exports.log]).funcs) do
            table.insert(role.privileges,
                {type = 'function', object = name, permissions = {'execute'}})
        end
    end
    table.insert(wanted.roles, role)
end

return module
