-- title: the process's name as `ps` shows it: `lycosa script.lua <status>: custom title`.

local native = ...

local FIELDS = {'interpretor_name', 'script_name', 'status', 'custom_title'}

local parts = {interpretor_name = 'lycosa'}

local function text()
    local title = parts.interpretor_name or ''
    if parts.script_name ~= nil then
        title = title .. ' ' .. parts.script_name
    end
    if parts.status ~= nil then
        title = title .. ' <' .. parts.status .. '>'
    end
    if parts.custom_title ~= nil then
        title = title .. ': ' .. parts.custom_title
    end
    return title
end

-- update('custom title') or update({script_name = , status = , custom_title = }).
local function update(changes)
    if type(changes) == 'string' then
        changes = {custom_title = changes}
    elseif type(changes) ~= 'table' then
        return
    end
    for _, field in ipairs(FIELDS) do
        if changes[field] ~= nil then
            parts[field] = tostring(changes[field])
        end
    end
    if not changes.__defer_update then
        native.set(text())
    end
end

local function get()
    return text(), table.copy(parts)
end

return {
    get = get,
    update = update,
}
