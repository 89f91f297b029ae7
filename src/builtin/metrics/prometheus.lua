-- metrics.plugins.prometheus: all metrics in the text format of Prometheus.

local metrics = require('metrics')

local function escape(text)
    return (text:gsub('\\', '\\\\'):gsub('\n', '\\n'):gsub('"', '\\"'))
end

local function value_text(value)
    if type(value) == 'cdata' then
        return (tostring(value):gsub('U*LL', ''))
    elseif value == math.huge then
        return '+Inf'
    elseif value == -math.huge then
        return '-Inf'
    elseif value ~= value then
        return 'Nan'
    end
    return escape(tostring(value))
end

local function labels_text(label_pairs)
    local parts = {}
    for name, value in pairs(label_pairs) do
        parts[#parts + 1] = ('%s="%s"'):format(value_text(name), value_text(value))
    end
    return #parts > 0 and '{' .. table.concat(parts, ',') .. '}' or ''
end

local function text()
    metrics.invoke_callbacks()
    local lines = {}
    for _, collector in pairs(metrics.collectors()) do
        lines[#lines + 1] = ('# HELP %s %s'):format(collector.name, collector.help)
        lines[#lines + 1] = ('# TYPE %s %s'):format(collector.name, collector.kind)
        for _, observation in ipairs(collector:collect()) do
            lines[#lines + 1] = ('%s%s %s'):format(escape(observation.metric_name),
                labels_text(observation.label_pairs), value_text(observation.value))
        end
    end
    return table.concat(lines, '\n') .. '\n'
end

return {
    -- The response of a handler of an HTTP server.
    collect_http = function()
        return {
            status = 200,
            headers = {['content-type'] = 'text/plain; charset=utf8'},
            body = text(),
        }
    end,
}
