-- vinyl_log: adds 1 to a row of a replicated and of a local space on disk, in one transaction, and ends.
--
-- arg[1] is JSON: {cfg = options of box.cfg, snapshot = make the trees durable at the end}. Output: "replicated NUMBER", "local NUMBER", "end".
local json = require('json')

local plan = json.decode(arg[1])
box.cfg(plan.cfg)
local function make(name, is_local)
    local options = {engine = 'vinyl', if_not_exists = true, is_local = is_local}
    local space = box.schema.space.create(name, options)
    space:create_index('primary', {if_not_exists = true})
    return space
end
local spaces = {make('replicated', false), make('local', true)}

box.begin()
for _, space in ipairs(spaces) do
    space:upsert({1, 1}, {{'+', 2, 1}})
end
box.commit()
for _, space in ipairs(spaces) do
    print(space.name .. ' ' .. space:get(1)[2])
end
if plan.snapshot then
    box.snapshot()
end
print('end')
os.exit(0)
