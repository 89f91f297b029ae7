-- container: commands with subcommands, such as CLIENT SETNAME.

local resp = require('resp')

local use = ...
local facts = use('redis/facts.lua')
local access = use('redis/access.lua')

local M = {}

local function unknown(name, sub)
    local message = "ERR unknown subcommand '%s'. Try %s HELP."
    return resp.error(message:format(sub:sub(1, 128), name))
end

-- Redis's error for a wrong number of arguments; `count` includes both names. Nil if it is right.
local function check_count(name, sub, count)
    local arity = facts.arity_of_subcommand(name, sub:upper())
    if arity ~= nil and ((arity >= 0 and count ~= arity) or count < -arity) then
        local message = "ERR wrong number of arguments for '%s|%s' command"
        return resp.error(message:format(name:lower(), sub:lower()))
    end
    return nil
end

-- The error of a request that facts.lua knows to be wrong, nil if there is none.
function M.check(name, count, sub)
    local known = facts.subcommands[name]
    if known == nil or sub == nil then
        return nil
    elseif known[sub:upper()] == nil then
        return unknown(name, sub)
    end
    return check_count(name, sub, count)
end

-- A handler that calls `subcommands.<NAME>(client, ...)`, with Redis's errors for a name that is
-- not there and for a wrong number of arguments, and an error for a user without the right.
function M.container(name, subcommands)
    local guarded = {}
    for sub, handler in pairs(subcommands) do
        guarded[sub] = access.guarded(name, handler, sub)
    end
    return function(client, sub, ...)
        local handler = guarded[sub:upper()]
        if handler == nil then
            return unknown(name, sub)
        end
        local err = check_count(name, sub, select('#', ...) + 2)
        if err ~= nil then
            return err
        end
        return handler(client, ...)
    end
end

-- What commands answer that look at their subcommands by themselves.
function M.misused(name, sub)
    local message = "ERR unknown subcommand or wrong number of arguments for '%s'. Try %s HELP."
    return resp.error(message:format(sub:sub(1, 128), name))
end

return M
