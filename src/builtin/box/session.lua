-- box.session: who the fiber works for, and triggers on connections.
local native, box = ...

local check, event = box.internal.check, box.internal.event
local log, socket, tweaks = require('log'), require('socket'), require('internal.tweaks')
local trigger = require('trigger')

local error, ipairs, pairs, pcall = error, ipairs, pairs, pcall
local select, type = select, type

local session = {
    id = native.session_id,
    type = native.session_type,
    sync = native.session_sync,
    uid = native.session_uid,
    euid = native.session_euid,
    user = native.session_user,
    effective_user = native.session_effective_user,
    fd = native.session_fd,
    peer = native.session_peer,
    exists = native.session_exists,
}
box.session = session
box.internal.session = {create = native.session_create}

-- Deprecated: whoever uses it is told once, and refused if `compat` says so.
local is_deprecation_told = false

function session.push(...)
    if not is_deprecation_told then
        is_deprecation_told = true
        log.warn('box.session.push is deprecated. Consider using box.broadcast instead.')
    end
    if tweaks.box_session_push_is_disabled then
        box.error(box.error.DEPRECATED, 'box.session.push', 2)
    end
    return native.session_push(...)
end

--
-- Acting for somebody else
--

local function end_su(old, is_done, ...)
    native.session_set_effective_user(old)
    if not is_done then
        error((...), 0)
    end
    return ...
end

-- su(user) changes the session's user; su(user, function, …) calls the function for another user.
function session.su(...)
    check.configured(2)
    if select('#', ...) == 0 then
        check.refuse('session.su(): bad arguments', 2)
    end
    local name, run = ...
    local uid = native.session_find_user(name)
    if select('#', ...) == 1 then
        native.session_set_user(uid)
        return
    elseif type(run) ~= 'function' then
        error('expected function as 2 argument', 0)
    end
    local old = native.session_set_effective_user(uid)
    return end_su(old, pcall(run, select(3, ...)))
end

--
-- Triggers
--

for _, name in ipairs({'on_connect', 'on_disconnect', 'on_auth', 'on_access_denied'}) do
    session[name] = event.accessor('box.session.' .. name)
end

native.session_set_runner(function(name, ...)
    trigger.call('box.session.' .. name, ...)
end)

for _, name in ipairs({'on_connect', 'on_disconnect', 'on_auth'}) do
    box.internal.session['run_' .. name] = function(...)
        local old = native.session_set_effective_user(box.schema.ADMIN_ID)
        return end_su(old, pcall(trigger.call, 'box.session.' .. name, ...))
    end
end

--
-- Settings: rows of _session_settings
--

local function find_setting(name)
    return box.space[box.schema.SESSION_SETTINGS_ID]:get{name}
end

session.settings = setmetatable({}, {
    __index = function(_, name)
        local row = find_setting(name)
        if row == nil then
            box.error(box.error.PROC_LUA,
                ("Session setting %s doesn't exist"):format(tostring(name)), 2)
        end
        return row[2]
    end,
    __newindex = function(_, name, value)
        local row = find_setting(name)
        if row == nil then
            box.error(box.error.NO_SUCH_SESSION_SETTING, name, 2)
        elseif type(value) ~= type(row[2]) then
            box.error(box.error.SESSION_SETTING_INVALID_VALUE, name, type(row[2]), 2)
        end
        box.space[box.schema.SESSION_SETTINGS_ID]:update(name, {{'=', 2, value}})
    end,
    __serialize = function()
        local shown = {}
        for _, row in ipairs(box.space[box.schema.SESSION_SETTINGS_ID]:select()) do
            shown[row[1]] = row[2]
        end
        return shown
    end,
})

local NEW_OPTIONS = {type = 'string', fd = 'number', user = 'string', storage = 'table'}

-- Serves a connection that Lua code accepted, over its descriptor, which is the server's from now
-- on.
function session.new(options)
    options = options or {}
    check.options(options, NEW_OPTIONS, 2)
    if options.type ~= nil and options.type ~= 'binary' then
        check.refuse(("invalid session type '%s', the only supported type is 'binary'"):format(
            options.type), 2)
    end
    check.configured(2)
    local fd = options.fd
    if fd == nil then
        check.refuse("options parameter 'fd' is mandatory", 2)
    elseif fd < 0 or fd >= 2 ^ 31 or fd ~= math.floor(fd) then
        check.refuse("options parameter 'fd' must be nonnegative integer", 2)
    end
    check.call_at(2, native.iproto_adopt, fd, options.user, options.storage)
    socket.internal.give_away(fd)
end

return setmetatable(session, {
    __index = function(_, key)
        if key == 'storage' then
            return native.session_storage()
        end
        return nil
    end,
    -- Storages by the number of their session.
    aggregate_storage = setmetatable({}, {
        __index = function(_, id)
            return type(id) == 'number' and native.session_storage(id) or nil
        end,
        __pairs = function()
            local storages = {}
            for _, id in ipairs(native.session_ids()) do
                storages[id] = native.session_storage(id)
            end
            return pairs(storages)
        end,
    }),
})
