-- command: COMMAND and its subcommands: facts.lua as clients want to see it.

local resp = require('resp')

local use = ...
local facts = use('redis/facts.lua')
local failure = use('redis/failure.lua')
local glob = use('redis/glob.lua')
local gate = use('redis/gate.lua')
local container = use('redis/container.lua').container

local commands = {}

local CATEGORY_OF_GROUP = {generic = 'keyspace', transactions = 'transaction'}

local function words(text)
    local list = {}
    for word in text:gmatch('%S+') do
        table.insert(list, word)
    end
    return list
end

local function statuses(list, prefix)
    for i, text in ipairs(list) do
        list[i] = resp.status(prefix .. text)
    end
    return resp.set(list)
end

-- The categories of access lists, which follow from flags and group.
local function categories(flags, group)
    local list = {}
    local is = {}
    for _, flag in ipairs(flags) do
        is[flag] = true
    end
    if is.write then table.insert(list, 'write') end
    if is.readonly then table.insert(list, 'read') end
    if is.admin then
        table.insert(list, 'admin')
        table.insert(list, 'dangerous')
    end
    if group ~= 'server' then
        table.insert(list, CATEGORY_OF_GROUP[group] or group)
    end
    table.insert(list, is.fast and 'fast' or 'slow')
    return list
end

local function key_specs(flags, first, last, step)
    if first == 0 then
        return {}
    end
    local access = resp.set({resp.status(flags:find('readonly', 1, true) and 'RO' or 'RW')})
    return {resp.map({
        'flags', access,
        'begin_search', resp.map({'type', 'index', 'spec', resp.map({'index', first})}),
        'find_keys', resp.map({'type', 'range', 'spec', resp.map({
            'lastkey', last < 0 and last or last - first, 'keystep', step, 'limit', 0})}),
    })}
end

local UNKNOWN = {-1, '', 0, 0, 0, 'generic', '1.0.0', 'A command of this application.'}

local function row_of(name)
    return facts.commands[name] or UNKNOWN
end

local function subcommand_infos(name)
    local list = {}
    for sub, row in pairs(facts.subcommands[name] or {}) do
        local flags = words(row[2])
        table.insert(list, {
            name:lower() .. '|' .. sub:lower(), row[1], statuses(words(row[2]), ''), 0, 0, 0,
            statuses(categories(flags, row_of(name)[6]), '@'), {}, {}, {},
        })
    end
    return list
end

local function info(name)
    local arity, flags, first, last, step, group = unpack(row_of(name))
    return {
        name:lower(), arity, statuses(words(flags), ''), first, last, step,
        statuses(categories(words(flags), group), '@'), {}, key_specs(flags, first, last, step),
        subcommand_infos(name),
    }
end

local function docs(name)
    local _, _, _, _, _, group, since, summary = unpack(row_of(name))
    local reply = {'summary', summary, 'since', since, 'group', group}
    local subs = {}
    for sub in pairs(facts.subcommands[name] or {}) do
        table.insert(subs, name:lower() .. '|' .. sub:lower())
        table.insert(subs, resp.map({'summary', summary, 'since', since, 'group', group}))
    end
    if #subs > 0 then
        table.insert(reply, 'subcommands')
        table.insert(reply, resp.map(subs))
    end
    return resp.map(reply)
end

-- HTTP's words are handlers only to shut a door.
local HIDDEN = {POST = true, ['HOST:'] = true}

local function names()
    local list = {}
    for name in pairs(gate.commands) do
        if not HIDDEN[name] then
            table.insert(list, name)
        end
    end
    table.sort(list)
    return list
end

local subcommands = {}

function subcommands.COUNT()
    return #names()
end

function subcommands.INFO(_, ...)
    local list = select('#', ...) > 0 and {...} or names()
    for i, name in ipairs(list) do
        name = name:upper()
        list[i] = gate.commands[name] ~= nil and info(name) or resp.null
    end
    return list
end

function subcommands.DOCS(_, ...)
    local reply = {}
    for _, name in ipairs(select('#', ...) > 0 and {...} or names()) do
        if gate.commands[name:upper()] ~= nil then
            table.insert(reply, name:lower())
            table.insert(reply, docs(name:upper()))
        end
    end
    return resp.map(reply)
end

local function in_category(name, category)
    local row = row_of(name)
    for _, own in ipairs(categories(words(row[2]), row[6])) do
        if own == category then
            return true
        end
    end
    return false
end

function subcommands.LIST(_, filterby, filter, value, more)
    local wanted
    if filterby == nil then
        wanted = function() return true end
    elseif filterby:upper() ~= 'FILTERBY' or value == nil or more ~= nil then
        error(failure.syntax)
    elseif filter:upper() == 'PATTERN' then
        wanted = function(name) return glob.match(value:lower(), name:lower()) end
    elseif filter:upper() == 'ACLCAT' then
        wanted = function(name) return in_category(name, value:lower()) end
    elseif filter:upper() == 'MODULE' then
        wanted = function() return false end
    else
        error(failure.syntax)
    end
    local list = {}
    for _, name in ipairs(names()) do
        if wanted(name) then
            table.insert(list, name:lower())
        end
    end
    return list
end

function subcommands.HELP()
    return {
        'COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
        '(no subcommand)', '    Facts about all commands.',
        'COUNT', '    How many commands there are.',
        'DOCS [<name> ...]', '    What commands do.',
        'INFO [<name> ...]', '    Facts about commands.',
        'LIST [FILTERBY (MODULE <name> | ACLCAT <category> | PATTERN <pattern>)]',
        '    The names of commands.',
        'HELP', '    Print this help.',
    }
end

local with_subcommand = container('COMMAND', subcommands)

function commands.COMMAND(client, ...)
    if select('#', ...) == 0 then
        return subcommands.INFO(client)
    end
    return with_subcommand(client, ...)
end

return {commands = commands}
