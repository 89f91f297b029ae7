-- box.begin, box.commit and the rest of transactions.
local native, box = ...

local LEVELS = {
    ['default'] = 0, ['read-committed'] = 1, ['read-confirmed'] = 2, ['best-effort'] = 3,
    ['linearizable'] = 4,
}
local LEVEL_CONSTANTS = {
    DEFAULT = 0, READ_COMMITTED = 1, READ_CONFIRMED = 2, BEST_EFFORT = 3, LINEARIZABLE = 4,
}

box.txn_isolation_level = {}
for name, number in pairs(LEVEL_CONSTANTS) do
    box.txn_isolation_level[name] = number
    box.txn_isolation_level[number] = name
end
for name, number in pairs(LEVELS) do
    box.txn_isolation_level[name] = number
end

local function isolation_number(level)
    if level == nil then
        return nil
    end
    local number = type(level) == 'number' and LEVEL_CONSTANTS[box.txn_isolation_level[level]]
        or LEVELS[level] or LEVEL_CONSTANTS[level]
    if number == nil then
        box.error(box.error.ILLEGAL_PARAMS,
            'txn_isolation must be one of box.txn_isolation_level (keys or values)', 3)
    end
    return number
end

local OPTIONS = {timeout = 'number', txn_isolation = 'string, number', is_sync = 'boolean'}

local function begin(options, level)
    if options == nil then
        return native.begin()
    end
    if type(options) ~= 'table' then
        box.error(box.error.ILLEGAL_PARAMS, 'options should be a table', level)
    end
    for key, value in pairs(options) do
        local expected = OPTIONS[key]
        if expected == nil then
            box.error(box.error.ILLEGAL_PARAMS, ("unexpected option '%s'"):format(key), level)
        end
        if not expected:find(type(value), 1, true) then
            box.error(box.error.ILLEGAL_PARAMS,
                ("options parameter '%s' should be of type %s"):format(key, expected), level)
        end
    end
    if options.timeout ~= nil and options.timeout <= 0 then
        box.error(box.error.ILLEGAL_PARAMS, 'timeout must be a number greater than 0', level)
    end
    native.begin(options.timeout, isolation_number(options.txn_isolation), options.is_sync)
end

function box.begin(options)
    begin(options, 3)
end

function box.commit(options)
    if options ~= nil and type(options) ~= 'table' then
        box.error(box.error.ILLEGAL_PARAMS, 'options should be a table', 2)
    end
    native.commit()
end

box.rollback = native.rollback
box.is_in_txn = native.is_in_txn
box.on_rollback = nil

native.set_savepoint_metatable({
    __tostring = function() return 'savepoint' end,
})

box.savepoint = native.savepoint
box.rollback_to_savepoint = native.rollback_to_savepoint

-- The handler gets an iterator over the statements: number, old, new, space id.
local function with_iterator(register, usage)
    return function(handler)
        if type(handler) ~= 'function' then
            box.error(box.error.ILLEGAL_PARAMS, usage, 2)
        end
        register(function(statements)
            handler(function()
                return function(_, number)
                    number = number + 1
                    local statement = statements[number]
                    if statement ~= nil then
                        return number, statement[2], statement[3], statement[1]
                    end
                end, nil, 0
            end)
        end)
        return handler
    end
end

box.on_commit = with_iterator(native.on_commit, 'Usage: box.on_commit(function)')
box.on_rollback = with_iterator(native.on_rollback, 'Usage: box.on_rollback(function)')

local function finish(ok, ...)
    if not ok then
        native.rollback()
        error((...), 0)
    end
    native.commit()
    return ...
end

function box.atomic(...)
    local first = ...
    if type(first) == 'function' then
        begin(nil, 3)
        return finish(pcall(...))
    end
    local options, run = ...
    if type(options) ~= 'table' or (type(run) ~= 'function' and type(run) ~= 'table') then
        box.error(box.error.ILLEGAL_PARAMS, 'Usage: box.atomic([opts, ]tx-function, ...)', 2)
    end
    begin(options, 3)
    return finish(pcall(select(2, ...)))
end

box.internal.txn_isolation = native.txn_isolation
box.txn_id = native.txn_id

return box
