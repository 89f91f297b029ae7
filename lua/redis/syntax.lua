-- syntax: the arguments of a command, from a line of text to what COMMAND DOCS answers.
--
--     key value [condition: NX|XX] [GET] [EX seconds] name...
--
-- A word in capitals is a token that stands for itself, or before the argument after it; other words
-- name arguments, `<integer>` behind one is its type where the name does not tell. `|` separates
-- alternatives, `[]` encloses what may be left out, `()` what belongs together, `...` follows what
-- may be repeated. A group may begin with a name and a colon.

local resp = require('resp')

local M = {}

-- The types of arguments by their names; all others are strings.
local TYPES = {}
for type, names in pairs({
    key = 'key key1 key2 newkey destkey source destination',
    integer = 'bit client-id count cursor db decrement destination-db end increment index '
        .. 'index1 index2 maxage milliseconds numkeys numreplicas offset protover seconds start timeout',
    pattern = 'pattern',
    ['unix-time'] = 'unix-time-seconds unix-time-milliseconds',
}) do
    for name in names:gmatch('%S+') do
        TYPES[name] = type
    end
end

-- Where the keys of commands with two sources stand among their key specifications.
local SECOND_KEYS = {key2 = true, newkey = true, destination = true}

local parse_alternatives

-- What is inside brackets that close with `close`, as one argument, and the place after them.
local function parse_group(text, place, close)
    local name = text:match('^([%l%d_-]+): ', place)
    if name ~= nil then
        place = place + #name + 2
    end
    local alternatives
    alternatives, place = parse_alternatives(text, place)
    assert(text:sub(place, place) == close, text)
    local list, kind = {}, 'oneof'
    for _, sequence in ipairs(alternatives) do
        if #sequence == 1 then
            table.insert(list, sequence[1])
        elseif #alternatives == 1 then
            list, kind = sequence, 'block'
        else
            table.insert(list, {name = 'block', type = 'block', arguments = sequence})
        end
    end
    if name == nil and #list == 1 then
        return list[1], place + 1
    end
    return {name = name, type = #list == 1 and 'block' or kind, arguments = list}, place + 1
end

local function parse_word(text, place)
    local word = text:match('^[^%s%[%]()|]+', place):gsub('%.%.%.$', '')
    place = place + #word
    if word:upper() ~= word then
        local name, type = word:match('^(.*)<(.*)>$')
        name, type = name or word, type or TYPES[word] or 'string'
        local argument = {name = name, type = type, display = name}
        if type == 'key' then
            argument.key = SECOND_KEYS[word] and 1 or 0
        end
        return argument, place
    end
    local argument
    if text:find('^ %(', place) then
        argument, place = parse_group(text, place + 2, ')')
    elseif text:find('^ %l', place) then
        argument, place = parse_word(text, place + 1)
    else
        return {name = word:lower(), type = 'pure-token', token = word}, place
    end
    argument.token = word
    return argument, place
end

local function parse_sequence(text, place)
    local list = {}
    while place <= #text and not text:find('^[|%])]', place) do
        local argument
        local first = text:sub(place, place)
        if first == '[' then
            argument, place = parse_group(text, place + 1, ']')
            argument.optional = true
        elseif first == '(' then
            argument, place = parse_group(text, place + 1, ')')
        else
            argument, place = parse_word(text, place)
        end
        if text:sub(place, place + 2) == '...' then
            argument.multiple = true
            place = place + 3
        end
        table.insert(list, argument)
        place = text:match('^ *()', place)
    end
    return list, place
end

parse_alternatives = function(text, place)
    local alternatives = {}
    repeat
        local sequence
        sequence, place = parse_sequence(text, place)
        table.insert(alternatives, sequence)
        local goes_on = text:sub(place, place) == '|'
        place = goes_on and place + 1 or place
    until not goes_on
    return alternatives, place
end

local function reply(list)
    local replies = {}
    for i, argument in ipairs(list) do
        local fields = {'name', argument.name, 'type', argument.type}
        local function add(name, value)
            table.insert(fields, name)
            table.insert(fields, value)
        end
        if argument.display ~= nil then
            add('display_text', argument.display)
        end
        if argument.key ~= nil then
            add('key_spec_index', argument.key)
        end
        if argument.token ~= nil then
            add('token', argument.token)
        end
        local flags = {}
        for _, flag in ipairs({'optional', 'multiple'}) do
            if argument[flag] then
                table.insert(flags, resp.status(flag))
            end
        end
        if #flags > 0 then
            add('flags', resp.set(flags))
        end
        if argument.arguments ~= nil then
            add('arguments', reply(argument.arguments))
        end
        replies[i] = resp.map(fields)
    end
    return replies
end

-- The list that COMMAND DOCS has under `arguments`.
function M.arguments(text)
    return reply((parse_sequence(text, 1)))
end

return M
