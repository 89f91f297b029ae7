-- stats: counters that INFO shows and CONFIG RESETSTAT sets to zero.

local M = {hits = 0, misses = 0}

function M.reset()
    M.hits, M.misses = 0, 0
end

return M
