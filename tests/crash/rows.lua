-- rows: opens a data directory, says which rows are in it, and adds some.
--
-- arg[1] is JSON: {cfg = options of box.cfg, first, last = rows to add, snapshot = whether to make
-- one then, stay = whether to wait for the end}. Output: "row ID" for each row, "found", and "end" when all is added. Three rows are
-- added in each transaction.
local fiber = require('fiber')
local json = require('json')

local plan = json.decode(arg[1])
io.stdout:setvbuf('no')
-- A loaded machine is no reason to fail.
fiber.set_max_slice(60)
box.cfg(plan.cfg)
local space = box.schema.space.create('t', {if_not_exists = true})
space:create_index('primary', {if_not_exists = true})
space:create_index('second', {parts = {2, 'unsigned'}, if_not_exists = true})

for _, row in space:pairs() do
    assert(space.index.second:get(row[2])[1] == row[1])
    io.write('row ', tostring(row[1]), '\n')
end
assert(space.index.second:len() == space:len())
io.write('found\n')

for id = plan.first or 1, plan.last or 0, 3 do
    box.begin()
    for number = id, id + 2 do
        space:replace({number, number + 1000000, ('x'):rep(number % 50)})
    end
    box.commit()
end
if plan.snapshot then
    box.snapshot()
end
io.write('end\n')
while plan.stay do
    fiber.sleep(1)
end
os.exit(0)
