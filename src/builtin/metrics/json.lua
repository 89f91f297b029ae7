-- metrics.plugins.json: all metrics as a JSON text.

local json = require('json')
local metrics = require('metrics')

-- Numbers that JSON knows stay numbers.
local function shown(value)
    if type(value) == 'cdata' then
        return value
    end
    local number = type(value) == 'number' and value or tonumber(value)
    if number ~= nil and number > -math.huge and number < math.huge then
        return value
    end
    return tostring(value)
end

return {
    export = function()
        metrics.invoke_callbacks()
        local list = {}
        for _, collector in pairs(metrics.collectors()) do
            for _, observation in ipairs(collector:collect()) do
                local labels = {}
                for name, value in pairs(observation.label_pairs) do
                    labels[tostring(name)] = shown(value)
                end
                list[#list + 1] = {
                    metric_name = observation.metric_name, value = shown(observation.value),
                    label_pairs = labels, timestamp = observation.timestamp,
                }
            end
        end
        return json.encode(list)
    end,
}
