-- index:fselect, gselect, jselect: what a select finds as a table of text.
--
-- Options stand in the last argument (`columns`, `widths`, `max_width`, `type`), and with the
-- prefix `fselect_` among the options of the select or in global variables.
local space = ...

local WIDTH_MIN, WIDTH_MAX = 5, 1000
-- Widest row unless asked otherwise.
local ROW_WIDTH = {sql = 140, markdown = 260, jira = 260}
-- What separates columns: in the line of names, in rows, in rules.
local DELIMITERS = {
    sql = {'|', '|', '+'},
    markdown = {'|', '|', '|'},
    jira = {'||', '|', '|'},
}
local TYPES = {sql = 'sql', gh = 'markdown', github = 'markdown', markdown = 'markdown',
               jira = 'jira'}

-- Takes an option from wherever it stands; of a wrong type it counts as missing.
local function take_option(name, opts, own, ...)
    local prefixed = 'fselect_' .. name
    local common
    if type(opts) == 'table' then
        common, opts[prefixed] = opts[prefixed], nil
    end
    local places = {own[prefixed], own[name], common, rawget(_G, prefixed)}
    for place = 1, 4 do
        for _, expected in ipairs({...}) do
            if type(places[place]) == expected then
                return places[place]
            end
        end
    end
    return nil
end

-- A list of names and numbers, or text with commas; nil for all columns.
local function to_columns(given)
    if given == nil then
        return nil
    end
    local columns = {}
    for _, column in ipairs(type(given) == 'string' and given:split(',') or given) do
        columns[#columns + 1] = tonumber(column) or column:strip()
    end
    return columns
end

-- A field as it is shown: JSON, unless that is no text.
local function to_cell(value)
    local text = require('json').encode(value)
    return utf8.len(text) and text or '<binary>'
end

local function to_row(tuple, columns)
    local row = {}
    if columns == nil then
        for i = 1, #tuple do
            row[i] = to_cell(tuple[i])
        end
    else
        for i, column in ipairs(columns) do
            row[i] = to_cell(tuple[column])
        end
    end
    return row
end

local function column_names(format, columns, count)
    local names = {}
    for i = 1, columns and #columns or math.max(count, #format) do
        local column = columns and columns[i] or i
        if type(column) == 'string' then
            names[i] = column
        else
            names[i] = format[column] and format[column].name or 'col' .. column
        end
    end
    return names
end

-- Widths that fit every cell, then the widest columns are cut until a row fits.
local function fit(names, rows, widths, max_width, extra)
    local total = #names + 1
    for i, name in ipairs(names) do
        local width = widths[i]
        if type(width) ~= 'number' then
            width = utf8.len(name) + extra
            for _, row in ipairs(rows) do
                width = math.max(width, row[i] and utf8.len(row[i]) or 0)
            end
        end
        widths[i] = math.min(math.max(width, WIDTH_MIN), WIDTH_MAX)
        total = total + widths[i]
    end
    while max_width > 0 and total > max_width do
        local widest = 1
        for i = 2, #names do
            widest = widths[i] >= widths[widest] and i or widest
        end
        if widths[widest] <= 1 then
            break
        end
        widths[widest] = widths[widest] - 1
        total = total - 1
    end
end

-- Exactly `width` characters: centred or cut.
local function pad(text, width)
    local missing = width - utf8.len(text)
    if missing < 0 then
        return utf8.sub(text, 1, width)
    end
    local left = math.floor(missing / 2)
    return (' '):rep(left) .. text .. (' '):rep(missing - left)
end

local function line(cells, widths, delimiter, shrink)
    local parts = {delimiter}
    for i, width in ipairs(widths) do
        parts[#parts + 1] = pad(cells[i] or '', width - shrink)
        parts[#parts + 1] = delimiter
    end
    return table.concat(parts)
end

local function formatted_select(index, key, opts, own)
    if type(opts) == 'string' and own == nil then
        opts, own = nil, {columns = opts}
    elseif type(own) == 'string' then
        own = {columns = own}
    elseif type(own) ~= 'table' then
        own = {}
    end
    opts = type(opts) == 'table' and table.copy(opts) or opts
    local kind = TYPES[take_option('type', opts, own, 'string')] or 'sql'
    local columns = to_columns(take_option('columns', opts, own, 'table', 'string'))
    local widths = table.copy(take_option('widths', opts, own, 'table') or {})
    local max_width = take_option('max_width', opts, own, 'number') or (#widths > 0 and -1 or 0)
    if max_width == 0 then
        max_width = ROW_WIDTH[kind]
    end
    local rows, count = {}, 1
    for _, tuple in index:pairs(key, opts) do
        local row = to_row(tuple, columns)
        rows[#rows + 1] = row
        count = math.max(count, #row)
    end
    local names = column_names(box.space[index.space_id]:format(), columns, count)
    local shrink = kind == 'jira' and 1 or 0
    fit(names, rows, widths, max_width, shrink)
    for i = #names + 1, #widths do
        widths[i] = nil
    end
    local of_names, of_rows, of_rules = unpack(DELIMITERS[kind])
    local dashes = {}
    for i, width in ipairs(widths) do
        dashes[i] = ('-'):rep(width)
    end
    local rule = of_rules .. table.concat(dashes, of_rules) .. of_rules
    local result = {}
    if kind == 'sql' then
        result[1] = rule
    end
    result[#result + 1] = line(names, widths, of_names, shrink)
    if kind ~= 'jira' then
        result[#result + 1] = rule
    end
    for _, row in ipairs(rows) do
        result[#result + 1] = line(row, widths, of_rows, 0)
    end
    if kind == 'sql' then
        result[#result + 1] = rule
    end
    return table.concat(result, '\n')
end

-- The select of one kind, for pasting elsewhere.
local function of_kind(kind)
    return function(index, key, opts, own)
        own = type(own) == 'string' and {columns = own} or type(own) == 'table' and own or {}
        own = table.copy(own)
        own.type = kind
        return formatted_select(index, key, opts, own)
    end
end

local selects = {
    fselect = formatted_select,
    gselect = of_kind('gh'),
    jselect = of_kind('jira'),
}

for name, select in pairs(selects) do
    space.index_methods[name] = function(index, key, opts, own)
        space.check_index(index, name)
        return select(index, key, opts, own)
    end
    space.space_methods[name] = function(object, key, opts, own)
        space.check_space(object, name)
        return select(space.check_primary(object), key, opts, own)
    end
end
