-- slowlog: the commands that took long, newest first.

local fiber = require('fiber')
local resp = require('resp')

local use = ...
local number = use('redis/number.lua')
local container = use('redis/container.lua')

local commands = {}
local M = {commands = commands, size_max = 128}

local ARGUMENT_COUNT_MAX = 32
local ARGUMENT_SIZE_MAX = 128

local entries = {}
local id_next = 0

local function cut(list)
    while #list > M.size_max do
        table.remove(list)
    end
end

-- Keeps a command that took so many microseconds.
function M.add(client, microseconds, ...)
    local arguments = {...}
    local count = #arguments
    for i = 1, math.min(count, ARGUMENT_COUNT_MAX) do
        local text = arguments[i]
        if #text > ARGUMENT_SIZE_MAX then
            local more = '... (%d more bytes)'
            arguments[i] = text:sub(1, ARGUMENT_SIZE_MAX)
                .. more:format(#text - ARGUMENT_SIZE_MAX)
        end
    end
    if count > ARGUMENT_COUNT_MAX then
        local more = '... (%d more arguments)'
        arguments[ARGUMENT_COUNT_MAX] = more:format(count - ARGUMENT_COUNT_MAX + 1)
        for i = ARGUMENT_COUNT_MAX + 1, count do
            arguments[i] = nil
        end
    end
    local time = math.floor(fiber.time())
    local address = client:info().address
    table.insert(entries, 1, {id_next, time, microseconds, arguments, address, client.name or ''})
    id_next = id_next + 1
    cut(entries)
end

function M.set_size_max(size)
    M.size_max = size
    cut(entries)
end

local subcommands = {}

function subcommands.GET(_, count, more)
    if more ~= nil then
        return container.misused('SLOWLOG', 'GET')
    end
    count = count == nil and 10 or number.integer(count)
    if count == nil or count < -1 then
        return resp.error('ERR count should be greater than or equal to -1')
    end
    local list = {}
    for i = 1, count == -1 and #entries or math.min(tonumber(count), #entries) do
        list[i] = entries[i]
    end
    return list
end

function subcommands.LEN()
    return #entries
end

function subcommands.RESET()
    entries = {}
    return resp.OK
end

function subcommands.HELP()
    return {
        'SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
        'GET [<count>]', '    The newest entries, 10 unless told, -1 for all: id, time, '
            .. 'microseconds, arguments, address and name of the client.',
        'LEN', '    How many entries there are.',
        'RESET', '    Forget them.',
        'HELP', '    Print this help.',
    }
end

commands.SLOWLOG = container.container('SLOWLOG', subcommands)

function M.start(previous)
    if previous ~= nil then
        entries, id_next, M.size_max = previous.state()
    end
end

function M.state()
    return entries, id_next, M.size_max
end

return M
