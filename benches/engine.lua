-- engine: operations per second of the Lua API in one fiber, for any compatible executable.
--
--     lycosa benches/engine.lua; tarantool benches/engine.lua
--
-- Each row is `NAME NUMBER op/s`. ROWS in the environment says how many rows the space has.

local clock = require('clock')
local fiber = require('fiber')
local fio = require('fio')

-- One fiber works for long on purpose.
if fiber.set_max_slice ~= nil then
    fiber.set_max_slice(3600)
end

local COUNT = tonumber(os.getenv('ROWS') or 500000)
local VALUE = string.rep('x', 32)

local folder = fio.tempdir()
box.cfg({
    work_dir = folder,
    log = fio.pathjoin(folder, 'log'),
    memtx_memory = 4 * 1024 ^ 3,
    wal_mode = 'none',
    checkpoint_interval = 0,
})

local function measure(name, count, work)
    collectgarbage()
    local start = clock.monotonic()
    work(count)
    local elapsed = clock.monotonic() - start
    print(('%-32s %12.0f op/s'):format(name, count / elapsed))
    io.stdout:flush()
end

-- Calls `change` for 1 to `count`, in transactions of a thousand.
local function in_transactions(count, change)
    for start = 1, count, 1000 do
        box.begin()
        for number = start, math.min(start + 999, count) do
            change(number)
        end
        box.commit()
    end
end

local tree = box.schema.space.create('tree', {format = {
    {'id', 'unsigned'}, {'name', 'string'}, {'score', 'number'},
}})
tree:create_index('id', {parts = {'id'}})

measure('replace, one by one', COUNT / 4, function(count)
    for number = 1, count do
        tree:replace({number, VALUE, number / 2})
    end
end)
measure('replace, in transactions', COUNT, function(count)
    in_transactions(count, function(number)
        tree:replace({number, VALUE, number / 2})
    end)
end)
measure('get, ascending', COUNT, function(count)
    for number = 1, count do
        tree:get(number)
    end
end)
measure('get, scattered', COUNT, function(count)
    local key = 1
    for _ = 1, count do
        key = (key * 7919 + 1) % count
        tree:get(key + 1)
    end
end)
measure('get, key in a table', COUNT, function(count)
    for number = 1, count do
        tree:get({number})
    end
end)
measure('get, a field by name', COUNT, function(count)
    local sum = 0
    for number = 1, count do
        sum = sum + tree:get(number).score
    end
    assert(sum > 0)
end)
measure('update, in transactions', COUNT / 4, function(count)
    in_transactions(count, function(number)
        tree:update(number, {{'+', 'score', 1}})
    end)
end)
measure('upsert, in transactions', COUNT / 4, function(count)
    in_transactions(count, function(number)
        tree:upsert({number, VALUE, 0}, {{'+', 'score', 1}})
    end)
end)
measure('build of a second index', COUNT, function()
    tree:create_index('score', {unique = false, parts = {'score'}})
end)
measure('replace, two indexes', COUNT / 2, function(count)
    in_transactions(count, function(number)
        tree:replace({number, VALUE, -number})
    end)
end)
measure('pairs over all', COUNT, function(count)
    local seen = 0
    for _ in tree:pairs() do
        seen = seen + 1
    end
    assert(seen == count)
end)
measure('select of 10', COUNT / 10, function(count)
    for number = 1, count do
        tree:select(number, {iterator = 'GE', limit = 10})
    end
end)
measure('count of a range', 20, function(count)
    for number = 1, count do
        tree:count(number, {iterator = 'GE'})
    end
end)
measure('delete, in transactions', COUNT, function(count)
    in_transactions(count, function(number)
        tree:delete(number)
    end)
end)

local hash = box.schema.space.create('hash', {format = {{'key', 'string'}, {'value', 'string'}}})
hash:create_index('key', {type = 'HASH', parts = {'key'}})
measure('hash replace', COUNT, function(count)
    in_transactions(count, function(number)
        hash:replace({'key:' .. number, VALUE})
    end)
end)
measure('hash get', COUNT, function(count)
    for number = 1, count do
        hash:get('key:' .. number)
    end
end)

measure('fiber start and join', COUNT / 10, function(count)
    for _ = 1, count do
        local started = fiber.new(function() end)
        started:set_joinable(true)
        started:join()
    end
end)
measure('fiber yield', COUNT, function(count)
    for _ = 1, count do
        fiber.yield()
    end
end)
measure('channel, there and back', COUNT / 4, function(count)
    local there, back = fiber.channel(1), fiber.channel(1)
    fiber.create(function()
        for _ = 1, count do
            back:put(there:get())
        end
    end)
    for number = 1, count do
        there:put(number)
        back:get()
    end
end)

local json, msgpack = require('json'), require('msgpack')
local document = {id = 7, name = 'a name', list = {1, 2, 3}, map = {a = {b = 1.5}, c = true}}
measure('json there and back', COUNT / 10, function(count)
    for _ = 1, count do
        json.decode(json.encode(document))
    end
end)
measure('msgpack there and back', COUNT / 10, function(count)
    for _ = 1, count do
        msgpack.decode(msgpack.encode(document))
    end
end)

fio.rmtree(folder)
os.exit(0)
