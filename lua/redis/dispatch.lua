-- dispatch: calls a command by name, with the checks that come before every command.
--
-- In the plain state of a connection the native server does this itself. While something stands
-- in the way (not authenticated, inside MULTI, CLIENT PAUSE) the connection has a gate: then the
-- server calls the gate instead, and the gate comes here.

local resp = require('resp')

local use = ...
local facts = use('redis/facts.lua')
local container = use('redis/container.lua')

local M = {}

-- Text as C prints it: up to a zero byte.
local function printed(text, size_max)
    return text:match('^%Z*'):sub(1, size_max)
end

-- What an unknown command is answered: its name and the start of its arguments.
function M.unknown(_, name, ...)
    local parts = {}
    local size = 0
    for i = 1, select('#', ...) do
        if size >= 128 then
            break
        end
        local part = "'" .. printed(select(i, ...), 128 - size) .. "' "
        size = size + #part
        parts[i] = part
    end
    local message = "ERR unknown command '%s', with args beginning with: %s"
    return resp.error(message:format(printed(name, 128), table.concat(parts)))
end

-- An error if the command cannot be called so, nil if it can. `count` includes the name.
function M.check(commands, name, count, ...)
    local upper = name:upper()
    if commands[upper] == nil then
        return M.unknown(nil, name, ...)
    end
    local arity = facts.arities[upper]
    if arity ~= nil and ((arity >= 0 and count ~= arity) or count < -arity) then
        local message = "ERR wrong number of arguments for '%s' command"
        return resp.error(message:format(upper:lower()))
    end
    return container.check(upper, count, ...)
end

return M
