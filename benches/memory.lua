-- memory: resident bytes of a row, in a fresh process of any compatible executable.
--
--     lycosa benches/memory.lua tree|hash|ttl [ROWS]
--
-- Prints `bytes: NUMBER`.

local fiber = require('fiber')
local fio = require('fio')

if fiber.set_max_slice ~= nil then
    fiber.set_max_slice(3600)
end

local kind = arg[1] or 'tree'
local count = tonumber(arg[2] or 1000000)

local folder = fio.tempdir()
box.cfg({
    work_dir = folder,
    log = fio.pathjoin(folder, 'log'),
    memtx_memory = 4 * 1024 ^ 3,
    wal_mode = 'none',
    checkpoint_interval = 0,
})

local function resident_bytes()
    for line in io.lines('/proc/self/status') do
        local kilobytes = line:match('^VmRSS:%s+(%d+)')
        if kilobytes then
            return tonumber(kilobytes) * 1024
        end
    end
end

local space, row
if kind == 'ttl' then
    space = box.schema.space.create('cache', {format = {
        {'key', 'string'}, {'value', 'string'}, {'ttl', 'unsigned', is_nullable = true},
    }})
    space:create_index('primary', {parts = {'key'}})
    space:create_index('ttl', {unique = false, parts = {{'ttl', exclude_null = true}}})
    local value = string.rep('x', 64)
    row = function(number)
        return {'key:' .. number, value, 2000000000000 + number}
    end
else
    space = box.schema.space.create('rows', {format = {{'id', 'unsigned'}, {'value', 'string'}}})
    space:create_index('primary', {type = kind, parts = {'id'}})
    local value = string.rep('x', 32)
    row = function(number)
        return {number, value}
    end
end

local function collect()
    collectgarbage()
    collectgarbage()
end

collect()
local before = resident_bytes()
for start = 1, count, 1000 do
    box.begin()
    for number = start, math.min(start + 999, count) do
        space:replace(row(number))
    end
    box.commit()
end
collect()
print(('bytes: %.1f'):format((resident_bytes() - before) / count))

fio.rmtree(folder)
os.exit(0)
