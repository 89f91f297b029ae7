-- xlog: reads the rows of `.xlog` and `.snap` files.

local native = ...
local fun = require('fun')

local function check_path(path)
    if type(path) ~= 'string' then
        error('Usage: parser.open(log_filename)', 3)
    end
end

local function next_row(reader)
    return native.next(reader)
end

return {
    -- Iterates over LSN and row: {HEADER = …, BODY = …}. Damage is skipped.
    pairs = function(path)
        check_path(path)
        return fun.wrap(next_row, native.open(path), 0)
    end,
    -- What the head of the file says.
    meta = function(path)
        check_path(path)
        return native.meta(path)
    end,
}
