-- vinyl_full: fills the disk that the trees are on, looks at what is left, and starts again.
--
-- arg[1] is JSON: {cfg = options of box.cfg, ballast = a file whose removal gives space back; without it
-- only the rows are read}. Output: "kept ID" for each row that was acknowledged, then "end"; or "row ID"
-- for each row, then "found".
local fiber = require('fiber')
local json = require('json')

local plan = json.decode(arg[1])
io.stdout:setvbuf('no')
fiber.set_max_slice(60)
box.cfg(plan.cfg)

if not plan.ballast then
    local space = box.space.full
    for _, row in space:pairs() do
        print('row ' .. row[1])
    end
    -- There is room again.
    space:replace({0, 0, 'new'})
    assert(space:get(0)[3] == 'new')
    box.snapshot()
    print('found')
    os.exit(0)
end

local space = box.schema.space.create('full', {engine = 'vinyl'})
space:create_index('primary')
space:create_index('second', {parts = {2, 'unsigned'}})

-- Bytes that cannot be packed.
local noise = {}
for number = 1, 1000 do
    noise[number] = string.char(math.random(0, 255))
end
noise = table.concat(noise)

local kept, last, failure = 0, 0, nil
repeat
    local id = last + 1
    local ok, err = pcall(space.insert, space, {id, id + 1000000, noise .. id})
    if ok then
        kept, last = kept + 1, id
    else
        failure = err
    end
    if id % 1000 == 0 then
        -- Tables are written.
        pcall(box.snapshot)
    end
until failure ~= nil
assert(tostring(failure):find('No space left on device', 1, true), tostring(failure))

-- Changes are refused for the same reason, and reads go on.
local ok, err = pcall(space.replace, space, {1, 1, 'new'})
assert(not ok and tostring(err) == tostring(failure), tostring(err))
ok, err = pcall(box.snapshot)
assert(not ok and tostring(err):find('No space left on device', 1, true), tostring(err))
for id = 1, last, 100 do
    assert(space:get(id)[2] == id + 1000000, id)
    assert(space.index.second:get(id + 1000000)[1] == id, id)
end
local count = 0
for _ in space:pairs() do
    count = count + 1
end
assert(count == kept, count)
for id = 1, last do
    print('kept ' .. id)
end
os.remove(plan.ballast)
print('end')
os.execute('kill -9 ' .. require('tarantool').pid())
