-- lcs: the longest common subsequence of two strings, by the usual table of lengths of common
-- subsequences of their starts.

local resp = require('resp')
local ffi = require('ffi')

local use = ...
local keyspace = use('redis/keyspace.lua')
local failure = use('redis/failure.lua')
local integer_argument = use('redis/string.lua').integer_argument

local commands = {}

-- Largest table, in bytes.
local TABLE_SIZE_MAX = 256 * 1024 * 1024

local lengths_of = ffi.typeof('uint32_t[?]')
local bytes_of = ffi.typeof('const uint8_t *')

-- Cell i * (#b + 1) + j is the length for the first i bytes of a and the first j bytes of b.
local function lengths(a, b)
    local rows, columns = #a, #b
    local width = columns + 1
    local cells = lengths_of((rows + 1) * width)
    local x, y = ffi.cast(bytes_of, a), ffi.cast(bytes_of, b)
    for i = 1, rows do
        local row = i * width
        for j = 1, columns do
            if x[i - 1] == y[j - 1] then
                cells[row + j] = cells[row - width + j - 1] + 1
            else
                local above, left = cells[row - width + j], cells[row + j - 1]
                cells[row + j] = above > left and above or left
            end
        end
    end
    return cells, width
end

-- Walks back from the ends: calls `visit(i, j)` for each common byte, last first.
local function walk(a, b, cells, width, visit)
    local i, j = #a, #b
    while i > 0 and j > 0 do
        if a:byte(i) == b:byte(j) then
            visit(i, j)
            i, j = i - 1, j - 1
        elseif cells[(i - 1) * width + j] > cells[i * width + j - 1] then
            i = i - 1
        else
            j = j - 1
        end
    end
end

local function common_text(a, b, cells, width)
    local parts = {}
    walk(a, b, cells, width, function(i)
        table.insert(parts, a:sub(i, i))
    end)
    return table.concat(parts):reverse()
end

-- The runs of common bytes, last first: where they are in a and in b.
local function matches(a, b, cells, width, options)
    local list = {}
    local run
    local function finish()
        if run ~= nil and run.size >= options.min then
            local match = {
                {run.i - 1, run.i + run.size - 2},
                {run.j - 1, run.j + run.size - 2},
            }
            if options.with_length then
                match[3] = run.size
            end
            table.insert(list, match)
        end
    end
    walk(a, b, cells, width, function(i, j)
        if run ~= nil and run.i == i + 1 and run.j == j + 1 then
            run.i, run.j, run.size = i, j, run.size + 1
        else
            finish()
            run = {i = i, j = j, size = 1}
        end
    end)
    finish()
    return list
end

local function parse_options(...)
    local options = {min = 0}
    local arguments = {...}
    local i = 1
    while i <= #arguments do
        local name = arguments[i]:upper()
        if name == 'IDX' then
            options.index = true
        elseif name == 'LEN' then
            options.length = true
        elseif name == 'WITHMATCHLEN' then
            options.with_length = true
        elseif name == 'MINMATCHLEN' and i < #arguments then
            options.min = math.max(tonumber(integer_argument(arguments[i + 1])), 0)
            i = i + 1
        else
            error(failure.syntax)
        end
        i = i + 1
    end
    if options.index and options.length then
        error(resp.error('ERR If you want both the length and indexes, please just use IDX.'))
    end
    return options
end

local not_strings = resp.error('ERR The specified keys must contain string values')

local function text_of(client, key)
    local ok, text = pcall(keyspace.text, client, key)
    if not ok then
        error(text == failure.wrong_type and not_strings or text)
    end
    return text or ''
end

function commands.LCS(client, first, second, ...)
    local a, b = text_of(client, first), text_of(client, second)
    local options = parse_options(...)
    if (#a + 1) * (#b + 1) * 4 > TABLE_SIZE_MAX then
        error(resp.error('ERR Insufficient memory, transient memory for LCS exceeds '
                         .. 'proto-max-bulk-len'))
    end
    local cells, width = lengths(a, b)
    local length = cells[#a * width + #b]
    if options.length then
        return length
    elseif options.index then
        return resp.map({'matches', matches(a, b, cells, width, options), 'len', length})
    end
    return common_text(a, b, cells, width)
end

return {commands = commands}
