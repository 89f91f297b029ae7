-- container: commands with subcommands, such as CLIENT SETNAME.

local resp = require('resp')

local use = ...
local facts = use('redis/facts.lua')

local M = {}

-- A handler that calls `subcommands.<NAME>(client, ...)`, with Redis's errors for a name that is
-- not there and for a wrong number of arguments.
function M.container(name, subcommands)
    local lower = name:lower()
    return function(client, sub, ...)
        local upper = sub:upper()
        local handler = subcommands[upper]
        if handler == nil then
            local message = "ERR unknown subcommand '%s'. Try %s HELP."
            return resp.error(message:format(sub:sub(1, 128), name))
        end
        local arity = facts.arity_of_subcommand(name, upper)
        local count = select('#', ...) + 2
        if arity ~= nil and ((arity >= 0 and count ~= arity) or count < -arity) then
            local message = "ERR wrong number of arguments for '%s|%s' command"
            return resp.error(message:format(lower, sub:lower()))
        end
        return handler(client, ...)
    end
end

return M
