-- checkpoint: writes until enough checkpoints were made and old files removed.
--
-- arg[1] is JSON: {cfg = options of box.cfg, call = whether to call box.snapshot()}. Output:
-- "kept ID" for each row, then "end".
local fiber = require('fiber')
local fio = require('fio')
local json = require('json')

local plan = json.decode(arg[1])
io.stdout:setvbuf('no')
-- A loaded machine is no reason to fail.
fiber.set_max_slice(60)
box.cfg(plan.cfg)
local space = box.schema.space.create('t')
space:create_index('primary')
space:create_index('second', {parts = {2, 'unsigned'}})

local count, stop = 0, false
local writer = fiber.new(function()
    while not stop do
        count = count + 1
        space:insert({count, count + 1000000, ('x'):rep(100)})
    end
end)
writer:set_joinable(true)

local function number(path)
    return tonumber(fio.basename(path):match('^%d+'))
end

local function files(kind)
    local found = fio.glob('*.' .. kind)
    table.sort(found)
    return found
end

local seen, made = {}, 0
while made < 6 do
    if plan.call then
        local before = count
        box.snapshot()
        -- The writer was not held up.
        assert(count > before or made == 0)
    end
    for _, path in ipairs(files('snap')) do
        if not seen[path] then
            seen[path] = true
            made = made + 1
        end
    end
    fiber.sleep(0.001)
end
stop = true
assert(writer:join())
box.cfg({checkpoint_interval = 0, checkpoint_wal_threshold = 1e18})

-- Two checkpoints stay, and the log from the older of them on.
local function is_collected()
    local snapshots, logs = files('snap'), files('xlog')
    return #snapshots == plan.cfg.checkpoint_count and #logs > 0
        and (logs[2] == nil or number(logs[2]) > number(snapshots[1]))
end
local deadline = fiber.clock() + 30
while not is_collected() do
    assert(fiber.clock() < deadline, table.concat(fio.glob('*'), ' '))
    fiber.sleep(0.001)
end
for id = 1, count do
    io.write('kept ', id, '\n')
end
io.write('end\n')
while true do
    fiber.sleep(1)
end
