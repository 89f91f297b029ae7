-- process: what the kernel knows of this process. Read without yielding, so that INFO may stand in a
-- transaction.

local M = {}

local function read(path)
    local file = io.open(path)
    if file == nil then
        return ''
    end
    local text = file:read('*a')
    file:close()
    return text
end

-- A field of /proc/self/status in bytes, 0 if it is not there.
local function memory(status, name)
    return (tonumber(status:match(name .. ':%s*(%d+) kB')) or 0) * 1024
end

-- Bytes in main memory, now and at most.
function M.memory()
    local status = read('/proc/self/status')
    return memory(status, 'VmRSS'), memory(status, 'VmHWM')
end

-- Seconds of processor time in the process itself and in the kernel for it.
function M.processor_time()
    local TICKS_PER_SECOND = 100
    -- The fields after the name, which is in parentheses.
    local fields = {}
    for field in (read('/proc/self/stat'):match('.*%) (.*)') or ''):gmatch('%S+') do
        table.insert(fields, tonumber(field) or 0)
    end
    return (fields[12] or 0) / TICKS_PER_SECOND, (fields[13] or 0) / TICKS_PER_SECOND
end

-- Such as `Linux 6.1.0 x86_64`.
function M.system()
    local release = read('/proc/sys/kernel/osrelease'):match('%S+') or ''
    local ARCHITECTURES = {x64 = 'x86_64', arm64 = 'aarch64'}
    return ('%s %s %s'):format(jit.os, release, ARCHITECTURES[jit.arch] or jit.arch)
end

return M
