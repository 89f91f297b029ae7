-- key_def: comparing tuples and extracting keys without an index.
local native = ...

local error, select, type = error, select, type

local USAGE = 'Bad params, use: key_def.new({{fieldno = fieldno, type = type' ..
    '[, scale = <number>][, is_nullable = <boolean>][, exclude_null = <boolean>]' ..
    '[, sort_order = <string>][, path = <string>][, collation_id = <number>]' ..
    '[, collation = <string>]}, ...}'

local key_def = {}

function key_def.new(...)
    if select('#', ...) ~= 1 or type((...)) ~= 'table' then
        error(USAGE, 2)
    end
    return native.new((...))
end

-- Arguments of each method, as its usage shows them.
local METHODS = {
    extract_key = 'tuple',
    validate_key = 'key',
    validate_full_key = 'key',
    validate_tuple = 'tuple',
    compare = 'tuple_a, tuple_b',
    compare_with_key = 'tuple, key',
    compare_keys = 'key_a, key_b',
    merge = 'second_key_def',
    totable = '',
}

for name, arguments in pairs(METHODS) do
    local count = arguments == '' and 1 or arguments:find(',', 1, true) and 3 or 2
    local run = native[name]
    key_def[name] = function(...)
        if select('#', ...) ~= count or not native.is((...)) or
           name == 'merge' and not native.is((select(2, ...))) then
            error(('Usage: key_def:%s(%s)'):format(name, arguments), 2)
        end
        return run(...)
    end
end

function key_def.part_count(definition)
    if not native.is(definition) then
        error('Usage: key_def:part_count()', 2)
    end
    return #native.totable(definition)
end

local methods = {__serialize = key_def.totable}
for name in pairs(METHODS) do
    methods[name] = key_def[name]
end

native.set_metatable({
    __index = methods,
    __len = key_def.part_count,
    __serialize = key_def.totable,
    __tostring = function() return '<struct key_def &>' end,
})

return key_def
