-- command: COMMAND and its subcommands: facts.lua as clients want to see it.

local resp = require('resp')

local use = ...
local facts = use('redis/facts.lua')
local failure = use('redis/failure.lua')
local glob = use('redis/glob.lua')
local gate = use('redis/gate.lua')
local container = use('redis/container.lua').container
local syntax = use('redis/syntax.lua')

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

local function key_spec(flags, first, kind, ...)
    local access = resp.set({resp.status(flags:find('readonly', 1, true) and 'RO' or 'RW')})
    return resp.map({
        'flags', access,
        'begin_search', resp.map({'type', 'index', 'spec', resp.map({'index', first})}),
        'find_keys', resp.map({'type', kind, 'spec', resp.map({...})}),
    })
end

local function key_specs(flags, first, last, step)
    local specs = {}
    if flags:find('movablekeys', 1, true) then
        specs[1] = key_spec(flags, 2, 'keynum', 'keynumidx', 0, 'firstkey', 1, 'keystep', 1)
    elseif last < 0 then
        specs[1] = key_spec(flags, first, 'range', 'lastkey', last, 'keystep', step, 'limit', 0)
    elseif first > 0 then
        for place = first, last, step do
            local spec = key_spec(flags, place, 'range', 'lastkey', 0, 'keystep', 1, 'limit', 0)
            table.insert(specs, spec)
        end
    end
    return specs
end

local UNKNOWN = {-1, '', 0, 0, 0, 'generic', '1.0.0', 'A command of this application.'}

local function row_of(name)
    return facts.commands[name] or UNKNOWN
end

-- Names of subcommands are written as clients do: `config|get`.
local function full_name(name, sub)
    return name:lower() .. '|' .. sub:lower()
end

local function subcommand_info(name, sub)
    local arity, flags, arguments = unpack(facts.subcommands[name][sub])
    local first, last, step = 0, 0, 0
    if arguments ~= nil and arguments:find('^key') then
        first, last, step = 2, 2, 1
    end
    return {
        full_name(name, sub), arity, statuses(words(flags), ''), first, last, step,
        statuses(categories(words(flags), row_of(name)[6]), '@'), {},
        key_specs(flags, first, last, step), {},
    }
end

local function subcommand_infos(name)
    local list = {}
    for sub in pairs(facts.subcommands[name] or {}) do
        table.insert(list, subcommand_info(name, sub))
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

local function summary_of(name, sub)
    local _, _, _, _, _, group, since, summary, arguments = unpack(row_of(name), 1, 9)
    if sub ~= nil then
        arguments = facts.subcommands[name][sub][3]
    end
    local reply = {'summary', summary, 'since', since, 'group', group}
    if arguments ~= nil then
        table.insert(reply, 'arguments')
        table.insert(reply, syntax.arguments(arguments))
    end
    return reply
end

local function docs(name)
    local reply = summary_of(name)
    local subs = {}
    for sub in pairs(facts.subcommands[name] or {}) do
        table.insert(subs, full_name(name, sub))
        table.insert(subs, resp.map(summary_of(name, sub)))
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

-- What a client calls `get` or `config|get`: the command, and the subcommand if it is one; nil if
-- there is none of that name.
local function find(text)
    local name, sub = text:upper():match('^([^|]*)|?(.*)$')
    if gate.commands[name] == nil then
        return nil
    elseif sub == '' then
        return name
    end
    local known = (facts.subcommands[name] or {})[sub]
    return known ~= nil and name or nil, sub
end

function subcommands.INFO(_, ...)
    local list = select('#', ...) > 0 and {...} or names()
    for i, text in ipairs(list) do
        local name, sub = find(text)
        if name == nil then
            list[i] = resp.null
        else
            list[i] = sub ~= nil and subcommand_info(name, sub) or info(name)
        end
    end
    return list
end

function subcommands.DOCS(_, ...)
    local reply = {}
    for _, text in ipairs(select('#', ...) > 0 and {...} or names()) do
        local name, sub = find(text)
        if name ~= nil then
            table.insert(reply, text:lower())
            table.insert(reply, sub ~= nil and resp.map(summary_of(name, sub)) or docs(name))
        end
    end
    return resp.map(reply)
end

local function in_category(name, flags, category)
    for _, own in ipairs(categories(words(flags), row_of(name)[6])) do
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
        wanted = function(name) return glob.match(value:lower(), name) end
    elseif filter:upper() == 'ACLCAT' then
        wanted = function(_, name, flags) return in_category(name, flags, value:lower()) end
    elseif filter:upper() == 'MODULE' then
        wanted = function() return false end
    else
        error(failure.syntax)
    end
    local list = {}
    for _, name in ipairs(names()) do
        if wanted(name:lower(), name, row_of(name)[2]) then
            table.insert(list, name:lower())
        end
        for sub, row in pairs(facts.subcommands[name] or {}) do
            if wanted(full_name(name, sub), name, row[2]) then
                table.insert(list, full_name(name, sub))
            end
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
