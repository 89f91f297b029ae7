-- misc: what Tarantool's LuaJIT tells of itself. The LuaJIT of this program has neither counters nor
-- profilers of that kind, and these functions say so.

local function refusing(feature)
    return function()
        box.internal.unsupported(feature, 2)
    end
end

misc = {
    getmetrics = refusing('metrics of LuaJIT (misc.getmetrics)'),
    memprof = {
        start = refusing('the memory profiler of LuaJIT (misc.memprof.start)'),
        stop = refusing('the memory profiler of LuaJIT (misc.memprof.stop)'),
    },
    sysprof = {
        start = refusing('the platform profiler of LuaJIT (misc.sysprof.start)'),
        stop = refusing('the platform profiler of LuaJIT (misc.sysprof.stop)'),
        report = refusing('the platform profiler of LuaJIT (misc.sysprof.report)'),
    },
}

return misc
