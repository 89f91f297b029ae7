-- full: fills the disk, or has the log fail, and looks at what is left.
--
-- arg[1] is JSON: {cfg = options of box.cfg, fault = a fault to switch on, ballast = a file whose
-- removal gives space back, kill = end by kill -9}. Without either the one who started this gives space back when it
-- reads "full". Output: "kept ID" for each row that was acknowledged, then "end".
local fiber = require('fiber')
local json = require('json')

local plan = json.decode(arg[1])
io.stdout:setvbuf('no')
-- A loaded machine is no reason to fail.
fiber.set_max_slice(60)
box.cfg(plan.cfg)
local space = box.schema.space.create('t')
space:create_index('primary')
space:create_index('second', {parts = {2, 'unsigned'}})

local kept, changed = {}, 0

local function write(id)
    if id % 2 == 0 then
        space:insert({id, id + 1000000, ('x'):rep(1000)})
    else
        box.begin()
        space:insert({id, id + 1000000, ('x'):rep(1000)})
        space:update(0, {{'+', 3, 1}})
        box.commit()
        changed = changed + 1
    end
    kept[id] = true
end

local function check_error(err)
    assert(err.code == box.error.WAL_IO or err.code == box.error.CASCADE_ROLLBACK, tostring(err))
    box.rollback()
end

local function count(index)
    local number = 0
    for _ in index:pairs() do
        number = number + 1
    end
    return number
end

-- What failed has never been, what was acknowledged is there.
local function check()
    local expected = 1
    for id in pairs(kept) do
        assert(space:get(id) and space.index.second:get(id + 1000000), id)
        expected = expected + 1
    end
    assert(space:get(0)[3] == changed, 'an update that failed is seen')
    for _, index in pairs({space.index.primary, space.index.second}) do
        assert(index:len() == expected and count(index) == expected, index.name)
    end
end

space:insert({0, 1000000, 0})
write(1)
write(2)
if plan.fault then
    box.error.injection.set(plan.fault, true)
end

local failed = 0
local function fill(writer)
    for id = writer * 1000000, writer * 1000000 + 100000 do
        local ok, err = pcall(write, id)
        if not ok then
            check_error(err)
            assert(space:get(id) == nil, 'what failed is seen')
            failed = failed + 1
            return
        end
    end
end
local fibers = {}
for writer = 2, 5 do
    fibers[writer] = fiber.new(fill, writer)
    fibers[writer]:set_joinable(true)
end
for _, one in pairs(fibers) do
    assert(one:join())
end
assert(failed == 4)
check()
-- It fails again and again, and reads go on.
local ok, err = pcall(write, 3)
if not ok then
    check_error(err)
end
check()

io.write('full\n')
if plan.fault then
    box.error.injection.set(plan.fault, false)
elseif plan.ballast then
    os.remove(plan.ballast)
end
local id = 10
-- Writes under a new number each time until one is done: what failed has never been.
local function write_at_last()
    repeat
        id = id + 1
        local ok, err = pcall(write, id)
        if not ok then
            check_error(err)
            fiber.sleep(0.001)
        end
    until ok
end
-- The first may still find room that is too small for the next.
for _ = 1, 12 do
    write_at_last()
end
check()
for number in pairs(kept) do
    io.write('kept ', number, '\n')
end
io.write('end\n')
if plan.kill then
    os.execute('kill -9 ' .. require('tarantool').pid())
end
while true do
    fiber.sleep(1)
end
