-- access: who may log in, from `credentials` of the configuration.
--
-- Redis's user `default` is Tarantool's `guest`: without a password set for it, connections need
-- none. `AUTH password` is for that user, `AUTH user password` for any.

local resp = require('resp')

local M = {}

local DEFAULT = 'default'

local function users()
    local ok, config = pcall(require, 'config')
    local found
    if ok then
        ok, found = pcall(config.get, config, 'credentials.users')
    end
    return ok and type(found) == 'table' and found or {}
end

local function password_of(name)
    local list = users()
    local user = list[name]
    if name == DEFAULT and user == nil then
        user = list.guest
    end
    return user, user ~= nil and user.password or nil
end

-- Whether a connection must authenticate before it may do anything.
function M.is_required()
    local _, password = password_of(DEFAULT)
    return password ~= nil and password ~= ''
end

-- Compares in the same time wherever the difference is.
local function same(a, b)
    local difference = #a == #b and 0 or 1
    for i = 1, #b do
        difference = difference + (a:byte(i) == b:byte(i) and 0 or 1)
    end
    return difference == 0
end

-- Logs the client in, or raises the reply that says why not.
function M.login(client, name, password)
    local user, expected = password_of(name)
    local known = user ~= nil or (name == DEFAULT and not M.is_required())
    local open = name == DEFAULT and not M.is_required()
    if not open and (not known or expected == nil or not same(password, expected)) then
        error(resp.error('WRONGPASS invalid username-password pair or user is disabled.'))
    end
    client.user = name
    client.needs_auth = false
end

return M
