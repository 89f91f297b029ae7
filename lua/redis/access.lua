-- access: who may log in, and with whose rights commands run.
--
-- Users are those of box.schema.user, be they made by `credentials` of the configuration or in
-- Lua. Redis's user `default` is a user of that name if there is one; else it is `guest`, whose
-- password is that in `credentials`. Without a password set for it, connections need none.
--
-- A user's commands run with that user's rights. What facts.lua calls `admin` is for those who may
-- run any Lua code (`execute` on `universe`), since they may do the same by that. `guest` may use
-- all that the emulation offers, so its commands run with the rights of `admin`: what it may not do
-- is not a command.

local resp = require('resp')

local use = ...
local facts = use('redis/facts.lua')

local M = {}

local DEFAULT = 'default'
local WRONG = resp.error('WRONGPASS invalid username-password pair or user is disabled.')

-- The password of `default` in the configuration; nil or '' for none.
local function configured_password()
    local ok, config = pcall(require, 'config')
    local found
    if ok then
        ok, found = pcall(config.get, config, 'credentials.users')
    end
    if not ok or type(found) ~= 'table' then
        return nil
    end
    local user = found[DEFAULT] or found.guest
    return user ~= nil and user.password or nil
end

-- Whether `default` is a user by itself, who must know a password.
local function has_default()
    return box.space._user.index.name:get{DEFAULT} ~= nil
end

local function is_user(name)
    local user = box.space._user.index.name:get{name}
    return user ~= nil and user.type == 'user'
end

-- Whether clients may be logged in under that name.
function M.exists(name)
    return name == DEFAULT or box.session.su('admin', is_user, name)
end

-- Whether a connection must authenticate before it may do anything.
function M.is_required()
    if box.cfg.disable_guest then
        return true
    end
    local password = configured_password()
    return password ~= nil and password ~= '' or box.session.su('admin', has_default)
end

-- Compares in the same time wherever the difference is.
local function same(a, b)
    local difference = #a == #b and 0 or 1
    for i = 1, #b do
        difference = difference + (a:byte(i) == b:byte(i) and 0 or 1)
    end
    return difference == 0
end

-- The handler of a command or a subcommand, which raises for those who have no right to it.
function M.guarded(name, handler, subcommand)
    if not facts.has_flag(name, 'admin', subcommand) then
        return handler
    end
    return function(...)
        resp.check_eval()
        return handler(...)
    end
end

-- Makes the client who it is without a password.
function M.reset(client)
    client.user, client.is_guest = DEFAULT, true
    client:set_user(box.schema.GUEST_ID, box.schema.ADMIN_ID)
end

-- Logs the client in, or raises the reply that says why not.
function M.login(client, name, password)
    if name ~= DEFAULT or box.session.su('admin', has_default) then
        local is_right, reason = client:authenticate(name, password)
        if not is_right then
            error(reason ~= nil and resp.error('ERR ' .. reason) or WRONG)
        end
        client.is_guest = false
    else
        local reason = resp.check_attempt(name)
        if reason ~= nil then
            error(resp.error('ERR ' .. reason))
        end
        local expected = configured_password()
        local is_right = not box.cfg.disable_guest
            and (expected == nil or expected == '' or same(password, expected))
        resp.note_attempt(name, is_right)
        if not is_right then
            error(WRONG)
        end
        M.reset(client)
    end
    client.user = name
    client.needs_auth, client.has_logged_in = false, true
end

-- Asks a guest to log in, or does so no more, as the configuration says now.
function M.refresh(client)
    if client.is_guest then
        client.needs_auth = box.cfg.disable_guest or not client.has_logged_in and M.is_required()
        client:set_authenticated(not client.needs_auth)
    end
end

return M
