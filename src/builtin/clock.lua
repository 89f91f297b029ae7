-- clock: reads the wall, monotonic, process and thread clocks, in seconds and in nanoseconds.

local ffi = require('ffi')
local native = ...

local function seconds(name)
    return ffi.cast('double (*)(void)', native[name])
end

local function nanoseconds(name)
    return ffi.cast('int64_t (*)(void)', native[name])
end

local proc = seconds('proc')
local realtime, realtime64 = seconds('realtime'), nanoseconds('realtime64')

-- Processor time and results of one call: {seconds, result, ...}.
local function bench(fn, ...)
    local start = proc()
    local result = {0, fn(...)}
    result[1] = proc() - start
    return result
end

return {
    time = realtime,
    time64 = realtime64,
    realtime = realtime,
    realtime64 = realtime64,
    monotonic = seconds('monotonic'),
    monotonic64 = nanoseconds('monotonic64'),
    proc = proc,
    proc64 = nanoseconds('proc64'),
    thread = seconds('thread'),
    thread64 = nanoseconds('thread64'),
    bench = bench,
}
