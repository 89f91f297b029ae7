-- argparse: turns a script's arguments into a table of named and positional ones.
--
-- `--name value`, `--name=value`, `--flag`, `-xyz` (three flags) and positional arguments. With a
-- list of options `{'name', {'count', 'number'}, {'tags', 'string+'}}` unknown names are errors
-- and values are converted; `+` collects repeated values into an array.

local find, match, sub = string.find, string.match, string.sub
local concat, insert = table.concat, table.insert

local function classify(argument)
    if argument == nil then
        return nil
    elseif sub(argument, 1, 2) == '--' then
        return 'long'
    elseif argument == '-' then
        return 'dash'
    elseif sub(argument, 1, 1) == '-' then
        return 'short'
    end
    return 'plain'
end

local function takes_value(kind)
    return kind ~= 'boolean' and kind ~= 'boolean+'
end

local function bad_value(name, got, expected)
    local reason
    if type(got) == 'boolean' then
        reason = ('Expected %s, got nothing'):format(expected)
    elseif not takes_value(expected) then
        reason = ('No value expected, got "%s"'):format(got)
    else
        reason = ('Expected %s, got "%s"'):format(expected, got)
    end
    error(('Bad value for parameter "%s". %s'):format(name, reason), 0)
end

local function bad_id(index)
    error(('bad argument #%d: ID not valid'):format(index), 0)
end

-- A name met again collects its values in an array.
local function add(result, name, value)
    local present = result[name]
    if present == nil then
        result[name] = value
    elseif type(present) == 'table' then
        insert(present, value)
    else
        result[name] = {present, value}
    end
end

local function convert_one(name, value, kind)
    if kind == 'number' then
        return tonumber(type(value) == 'string' and value or nil) or bad_value(name, value, kind)
    elseif kind ~= 'boolean' and kind ~= 'string' then
        error(('Bad conversion format "%s" provided for %s'):format(kind, name), 0)
    elseif type(value) ~= kind then
        bad_value(name, value, kind)
    end
    return value
end

local function convert(name, value, kind)
    if not find(kind, '+', 1, true) then
        -- Of repeated values the last one wins.
        if type(value) == 'table' then
            value = value[#value]
        end
        return convert_one(name, value, kind)
    end
    kind = sub(kind, 1, -2)
    local values = {}
    for i, item in ipairs(type(value) == 'table' and value or {value}) do
        values[i] = convert_one(name, item, kind)
    end
    return values
end

-- Name to kind, or to true when the value stays as it is.
local function index_options(options)
    local kinds = {}
    for _, option in ipairs(options or {}) do
        if type(option) == 'table' then
            kinds[option[1]] = option[2] or true
        else
            kinds[option] = true
        end
    end
    return kinds
end

-- Takes `--name`, `--name=value` or `--name value`; returns whether the next one was taken too.
local function take_long(result, kinds, arguments, index)
    local body = sub(arguments[index], 3)
    if find(body, '=', 1, true) then
        local name, value = match(body, '^([%a_][%w_-]+)=(.*)$')
        if name == nil then
            bad_id(index)
        elseif not takes_value(kinds[name]) then
            bad_value(name, value, kinds[name])
        end
        add(result, name, value)
        return false
    end
    if not match(body, '^[%a_][%w_-]+$') then
        bad_id(index)
    end
    if takes_value(kinds[body]) then
        local follower = classify(arguments[index + 1])
        if follower == 'plain' then
            add(result, body, arguments[index + 1])
            return true
        elseif follower == 'dash' then
            add(result, body, true)
            return true
        end
    end
    add(result, body, true)
    return false
end

local function parse(arguments, options)
    arguments = arguments or {}
    local result, kinds = {}, index_options(options)
    local index = 1
    while arguments[index] ~= nil do
        local argument = arguments[index]
        local class = classify(argument)
        if class == 'short' then
            local flags = sub(argument, 2)
            if not match(flags, '^%a+$') then
                bad_id(index)
            end
            for flag in flags:gmatch('%a') do
                add(result, flag, true)
            end
        elseif class == 'long' then
            if take_long(result, kinds, arguments, index) then
                index = index + 1
            end
        else
            insert(result, argument)
        end
        index = index + 1
    end
    if options ~= nil then
        local unknown = {}
        for name, value in pairs(result) do
            if type(name) == 'string' and kinds[name] == nil then
                insert(unknown, name)
            elseif type(kinds[name]) == 'string' then
                result[name] = convert(name, value, kinds[name])
            end
        end
        if #unknown > 0 then
            error(('unknown options: %s'):format(concat(unknown, ', ')), 0)
        end
    end
    return result
end

return {
    parse = parse,
}
