-- csv: parses and writes comma-separated values by RFC 4180.

local byte, find, gsub, sub = string.byte, string.find, string.gsub, string.sub
local concat = table.concat
local error, tostring, type = error, tostring, type

local CHUNK_SIZE = 4096

local function with_defaults(opts)
    opts = opts or {}
    return {
        chunk_size = opts.chunk_size or CHUNK_SIZE,
        delimiter = opts.delimiter or ',',
        quote_char = opts.quote_char or '"',
        skip_head_lines = opts.skip_head_lines or 0,
    }
end

local SPACE = byte(' ')
local LF, CR = byte('\n'), byte('\r')

-- Reads until the buffer has a byte at `position`, or the input ends.
local function fill(state)
    while not state.is_complete and state.position > #state.buffer do
        local chunk = state.source:read(state.chunk_size)
        if chunk == nil or chunk == '' then
            state.is_complete = true
        else
            state.buffer = sub(state.buffer, state.position) .. chunk
            state.position = 1
        end
    end
    return byte(state.buffer, state.position)
end

-- Text outside quotes up to the next byte that means something.
local function plain_run(state)
    local start = state.position
    local stop = find(state.buffer, state.special, start)
    state.position = stop or #state.buffer + 1
    return sub(state.buffer, start, state.position - 1)
end

-- What follows the quote that opens a quoted part; a doubled quote stands for one.
local function quoted_run(state, parts)
    while true do
        if fill(state) == nil then
            return false
        end
        local stop = find(state.buffer, state.quote_char, state.position, true)
        parts[#parts + 1] = sub(state.buffer, state.position, (stop or 0) - 1)
        if stop == nil then
            state.position = #state.buffer + 1
        else
            state.position = stop + 1
            if fill(state) ~= state.quote then
                return true
            end
            parts[#parts + 1] = state.quote_char
            state.position = state.position + 1
        end
    end
end

-- One field; returns it and the byte that ended it (nil at the end of input), and whether a part
-- of it was quoted. Blanks at its ends do not belong to it, unless they are quoted.
local function next_field(state)
    local parts, was_quoted = {}, false
    -- The last part, as long as it is not quoted.
    local tail
    while true do
        local char = fill(state)
        if char == nil or char == state.comma or char == LF or char == CR then
            if tail ~= nil then
                parts[#parts + 1] = gsub(tail, ' +$', '')
            end
            return concat(parts), char, was_quoted
        elseif char == state.quote then
            parts[#parts + 1], tail = tail, nil
            state.position = state.position + 1
            char = fill(state)
            if char == state.quote then
                -- Doubled outside of quotes it stands for one, too.
                parts[#parts + 1] = state.quote_char
                state.position = state.position + 1
            elseif char == nil or quoted_run(state, parts) then
                was_quoted = true
            else
                require('log').warn('CSV file has errors')
                return nil, nil
            end
        else
            local run = plain_run(state)
            if tail == nil and #parts == 0 and not was_quoted then
                run = gsub(run, '^ +', '')
            end
            if run ~= '' then
                tail = (tail or '') .. run
            end
        end
    end
end

local function skip_line_end(state, char)
    state.position = state.position + 1
    if char == CR and fill(state) == LF then
        state.position = state.position + 1
    end
end

local function next_line(state)
    if fill(state) == nil then
        return nil
    end
    local line = {}
    while true do
        local field, char, was_quoted = next_field(state)
        if field == nil then
            return nil
        end
        local is_empty_tail = char == nil and field == '' and not was_quoted and #line == 0
        if is_empty_tail then
            return nil
        end
        line[#line + 1] = field
        if char == nil then
            return line
        elseif char == state.comma then
            state.position = state.position + 1
        else
            skip_line_end(state, char)
            return line
        end
    end
end

local function iterate_step(state, index)
    local line
    repeat
        line = next_line(state)
        if line == nil then
            return nil
        end
        index = index + 1
    until index > 0
    return index, line
end

local function iterate(source, opts)
    if type(source) ~= 'string' and (source == nil or type(source.read) ~= 'function') then
        error('Usage: load(string or object with method read(num)returns string)', 2)
    end
    opts = with_defaults(opts)
    local escaped_comma = gsub(opts.delimiter, '%W', '%%%0')
    local escaped_quote = gsub(opts.quote_char, '%W', '%%%0')
    local state = {
        source = source,
        buffer = type(source) == 'string' and source or '',
        is_complete = type(source) == 'string',
        position = 1,
        chunk_size = opts.chunk_size,
        comma = byte(opts.delimiter),
        quote = byte(opts.quote_char),
        quote_char = opts.quote_char,
        special = '[' .. escaped_comma .. escaped_quote .. '\r\n]',
    }
    return iterate_step, state, -opts.skip_head_lines
end

local function load(source, opts)
    local lines = {}
    for index, line in iterate(source, opts) do
        lines[index] = line
    end
    return lines
end

local function escape_field(field, opts)
    local quote = opts.quote_char
    local needs_quotes = find(field, opts.delimiter, 1, true) or find(field, '[\r\n]') or
        byte(field) == SPACE or byte(field, -1) == SPACE
    if find(field, quote, 1, true) then
        field = gsub(field, gsub(quote, '%W', '%%%0'), quote .. quote)
    end
    return needs_quotes and quote .. field .. quote or field
end

-- Writes one line (an array of fields) or many; without `writable` returns the text.
local function dump(lines, opts, writable)
    if writable ~= nil and type(writable.write) ~= 'function' or type(lines) ~= 'table' then
        error('Usage: dump(table[, opts, writable])', 2)
    end
    opts = with_defaults(opts)
    if type(lines[1]) ~= 'table' then
        lines = {lines}
    end
    local output = {}
    for _, line in pairs(lines) do
        local fields = {}
        for _, field in pairs(line) do
            fields[#fields + 1] = escape_field(tostring(field), opts)
        end
        local text = concat(fields, opts.delimiter) .. '\n'
        if writable ~= nil then
            writable:write(text)
        else
            output[#output + 1] = text
        end
    end
    if writable == nil then
        return concat(output)
    end
    return nil
end

return {
    iterate = iterate,
    load = load,
    dump = dump,
}
