-- internal.metrics.quantile: quantiles of a stream, each within its tolerance, in little memory
-- (Cormode, Korn, Muthukrishnan, Srivastava: Effective Computation of Biased Quantiles over Data
-- Streams, 2005).
--
-- The stream is kept as samples in ascending order; each stands for `width` values, and its rank is
-- known up to `delta`. New values wait in a buffer and are merged many at a time.

local BUFFER_SIZE = 500

local M = {}

function M.new(objectives)
    local self = {objectives = objectives}
    M.reset(self)
    return self
end

function M.reset(self)
    self.samples, self.buffer, self.count = {}, {}, 0
end

-- How far apart the ranks of neighbours may be at a rank.
local function tolerance(self, rank)
    local result = math.huge
    for quantile, epsilon in pairs(self.objectives) do
        local allowed
        if quantile * self.count <= rank then
            allowed = 2 * epsilon * rank / quantile
        else
            allowed = 2 * epsilon * (self.count - rank) / (1 - quantile)
        end
        if allowed < result then
            result = allowed
        end
    end
    return result
end

local function compress(self)
    local samples, kept = self.samples, {}
    if #samples < 2 then
        return
    end
    local right = samples[#samples]
    local rank = self.count - 1 - right.width
    for i = #samples - 1, 1, -1 do
        local sample = samples[i]
        if sample.width + right.width + right.delta <= tolerance(self, rank) then
            right.width = right.width + sample.width
        else
            kept[#kept + 1] = right
            right = sample
        end
        rank = rank - sample.width
    end
    kept[#kept + 1] = right
    local count = #kept
    for i = 1, math.floor(count / 2) do
        kept[i], kept[count + 1 - i] = kept[count + 1 - i], kept[i]
    end
    self.samples = kept
end

local function flush(self)
    local buffer = self.buffer
    if #buffer == 0 then
        return
    end
    table.sort(buffer)
    local merged, at, rank = {}, 1, 0
    for _, value in ipairs(buffer) do
        local next_sample = self.samples[at]
        while next_sample ~= nil and next_sample.value <= value do
            merged[#merged + 1] = next_sample
            rank = rank + next_sample.width
            at = at + 1
            next_sample = self.samples[at]
        end
        local delta = 0
        if next_sample ~= nil then
            delta = math.max(0, math.floor(tolerance(self, rank)) - 1)
        end
        merged[#merged + 1] = {value = value, width = 1, delta = delta}
        self.count = self.count + 1
        rank = rank + 1
    end
    for i = at, #self.samples do
        merged[#merged + 1] = self.samples[i]
    end
    self.samples, self.buffer = merged, {}
    compress(self)
end

function M.insert(self, value)
    self.buffer[#self.buffer + 1] = tonumber(value)
    if #self.buffer >= BUFFER_SIZE then
        flush(self)
    end
end

-- The value below which that share of the stream is; nan of an empty one.
function M.query(self, quantile)
    flush(self)
    local samples = self.samples
    if #samples == 0 then
        return 0 / 0
    end
    local target = math.ceil(quantile * self.count)
    target = target + math.ceil(tolerance(self, target) / 2)
    local previous, rank = samples[1], 0
    for i = 2, #samples do
        local sample = samples[i]
        rank = rank + previous.width
        if rank + sample.width + sample.delta > target then
            return previous.value
        end
        previous = sample
    end
    return previous.value
end

return M
