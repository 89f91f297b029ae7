-- stats: counters that INFO shows and CONFIG RESETSTAT sets to zero.

local M = {hits = 0, misses = 0}

-- What the native server had counted, by name, at the last reset: others read its counters, too,
-- so they grow for ever.
local before = {}

function M.reset(counters)
    M.hits, M.misses = 0, 0
    before = counters
end

-- Counters of the native server as they would be if they had been zero at the last reset.
function M.since_reset(counters)
    local list = {}
    for name, count in pairs(counters) do
        list[name] = count - (before[name] or 0)
    end
    return list
end

return M
