-- recovery: how fast a start reads its directory, for any compatible executable.
--
--     lycosa benches/recovery.lua fill snapshot|log ROWS     makes ./data
--     lycosa benches/recovery.lua load                       starts on it, prints `rows/s: NUMBER`

local clock = require('clock')
local fiber = require('fiber')
local fio = require('fio')

if fiber.set_max_slice ~= nil then
    fiber.set_max_slice(3600)
end

local action, source, count = arg[1], arg[2], tonumber(arg[3])
local folder = fio.abspath('data')
fio.mktree(folder)

local start = clock.monotonic()
box.cfg({
    work_dir = folder,
    log = fio.pathjoin(folder, 'log'),
    memtx_memory = 4 * 1024 ^ 3,
    wal_mode = 'write',
    wal_max_size = 64 * 1024 ^ 3,
    checkpoint_interval = 0,
})

if action == 'load' then
    local elapsed = clock.monotonic() - start
    print(('rows/s: %.0f'):format(box.space.rows:len() / elapsed))
    os.exit(0)
end

local space = box.schema.space.create('rows', {format = {{'id', 'unsigned'}, {'value', 'string'}}})
space:create_index('primary')
local value = string.rep('x', 32)
for first = 1, count, 1000 do
    box.begin()
    for number = first, math.min(first + 999, count) do
        space:replace({number, value})
    end
    box.commit()
end
if source == 'snapshot' then
    box.snapshot()
end
os.exit(0)
