-- vinyl: the engine on disk, for any compatible executable.
--
--     lycosa benches/vinyl.lua 1000000; tarantool benches/vinyl.lua 1000000
--
-- Prints lines `NAME: NUMBER`; rates are per second. The argument says how many rows of 100 bytes
-- the space has. The memory for changes and the cache are a tenth of them each, so that nearly
-- everything is on disk.

local clock = require('clock')
local fiber = require('fiber')
local fio = require('fio')

local COUNT = tonumber(arg[1] or 1000000)
local ROW_SIZE = 100
local READS = math.min(COUNT, 200000)
local FIBERS = 16
local HOT = 10000

local MEMORY = math.max(16 * 1024 ^ 2, COUNT * ROW_SIZE / 10)

local folder = fio.tempdir()
fio.mkdir(fio.pathjoin(folder, 'vinyl'))
box.cfg({
    work_dir = folder,
    log = fio.pathjoin(folder, 'log'),
    vinyl_dir = fio.pathjoin(folder, 'vinyl'),
    vinyl_memory = MEMORY,
    vinyl_cache = MEMORY,
    vinyl_timeout = 600,
    wal_mode = 'write',
    checkpoint_interval = 0,
})
-- Rows of the cache are read without a yield, for longer than a fiber may keep tx.
if fiber.set_max_slice ~= nil then
    fiber.set_max_slice(600)
end

-- Watches how late a fiber is woken: as long tx was busy with something else.
local longest = 0
fiber.create(function()
    while true do
        local start = clock.monotonic()
        fiber.sleep(0.001)
        longest = math.max(longest, clock.monotonic() - start - 0.001)
    end
end)

local function measure(name, count, work)
    collectgarbage()
    fiber.sleep(0.01)
    longest = 0
    local start = clock.monotonic()
    work(count)
    local elapsed = clock.monotonic() - start
    print(('%s: %.0f'):format(name, count / elapsed))
    print(('longest stall of tx, %s: %.2f'):format(name, longest * 1000))
    io.stdout:flush()
end

local function in_fibers(count, work)
    local fibers = {}
    for number = 1, FIBERS do
        fibers[number] = fiber.new(work, math.floor(count / FIBERS))
        fibers[number]:set_joinable(true)
    end
    for _, worker in ipairs(fibers) do
        local ok, reason = worker:join()
        assert(ok, reason)
    end
end

-- The key with this number: a permutation of 0 to 2^40 that scatters neighbours.
local function key(number)
    local low, high = number % 2 ^ 20, math.floor(number / 2 ^ 20)
    return (low * 699051 % 2 ^ 20) * 2 ^ 20 + (high * 611953 + low) % 2 ^ 20
end

-- 40 bytes that can be packed and 40 that cannot.
local FILL = string.rep('x', 40)
local NOISE = {}
for number = 1, 1000 do
    local bytes = {}
    for position = 1, 40 do
        bytes[position] = string.char(math.random(0, 255))
    end
    NOISE[number] = table.concat(bytes)
end
local function row(number)
    return {key(number), NOISE[math.random(1000)], FILL, number}
end

local function size_of(path)
    local total = 0
    for _, name in ipairs(fio.listdir(path) or {}) do
        local child = fio.pathjoin(path, name)
        local stat = fio.lstat(child)
        if stat ~= nil then
            total = total + (stat:is_dir() and size_of(child) or stat.blocks * 512)
        end
    end
    return total
end

local function resident()
    for line in io.lines('/proc/self/status') do
        local size = line:match('^VmRSS:%s*(%d+)')
        if size then return size / 1024 end
    end
end

local space = box.schema.space.create('test', {engine = 'vinyl'})
space:create_index('pk', {parts = {{1, 'unsigned'}}})

measure('load in random order', COUNT, function(count)
    local number = 0
    in_fibers(count, function(share)
        for start = 1, share, 100 do
            box.begin()
            for _ = start, math.min(start + 99, share) do
                number = number + 1
                space:replace(row(number))
            end
            box.commit()
        end
    end)
end)
local loaded = math.floor(COUNT / FIBERS) * FIBERS
print(('resident after the load: %.0f'):format(resident()))

box.snapshot()
local settled, before = 0, -1
while settled < 10 do
    fiber.sleep(0.2)
    local size = size_of(fio.pathjoin(folder, 'vinyl'))
    settled = size == before and settled + 1 or 0
    before = size
end
print(('disk bytes of a byte of data: %.3f'):format(before / (loaded * ROW_SIZE)))

measure('get, cached', READS * 5, function(count)
    for number = 1, HOT do
        space:get(key(number))
    end
    for number = 1, count do
        space:get(key(number % HOT + 1))
    end
end)
measure('get, not cached', READS, function(count)
    in_fibers(count, function(share)
        for _ = 1, share do
            space:get(key(math.random(loaded)))
        end
    end)
end)
measure('select of 100', READS / 10, function(count)
    in_fibers(count, function(share)
        for _ = 1, share do
            space:select(key(math.random(loaded)), {iterator = 'GE', limit = 100})
        end
    end)
end)
measure('mixed, 80 get to 20 replace', READS, function(count)
    in_fibers(count, function(share)
        for _ = 1, share do
            local number = math.random(loaded)
            if math.random(5) == 1 then
                space:replace(row(number))
            else
                space:get(key(number))
            end
        end
    end)
end)
print(('resident at the end: %.0f'):format(resident()))
fio.rmtree(folder)
os.exit(0)
