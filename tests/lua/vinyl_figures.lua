-- Figures of spaces on disk, and stale rows that go.
local fiber = require('fiber')
local tap = require('tap')

box.cfg{log_level = 3, vinyl_cache = 0}
local test = tap.test('vinyl_figures')
test:plan(26)

-- Deferred deletes: who passes a stale row over has it deleted.
local space = box.schema.space.create('space', {engine = 'vinyl', defer_deletes = true})
space:create_index('primary')
local value = space:create_index('value', {parts = {2, 'unsigned'}, unique = false})
for id = 1, 100 do
    space:replace({id, id})
end

-- A reader of the state before.
local proceed, rows = fiber.channel(), nil
local reader = fiber.new(function()
    box.begin()
    space:get(1)
    proceed:get()
    rows = value:select({}, {limit = 100})
    box.commit()
end)
reader:set_joinable(true)
fiber.yield()

for id = 1, 50 do
    space:replace({id, id + 1000})
end
for id = 91, 100 do
    space:delete(id)
end
-- Everything is applied, and nothing is left in the overlay.
local function settle()
    box.snapshot()
    for _ = 1, 3 do
        space:get(1)
    end
end
settle()
local function skipped()
    return value:stat().skip.rows
end
local before = skipped()
test:is(value:count(), 90, 'stale rows are not counted')
test:ok(skipped() > before, 'but passed over')
proceed:put(true)
test:ok((reader:join()), 'a read view goes on')
test:is(#rows, 100, 'and sees what they were')
test:is(rows[100][2], 100, 'all of them')
settle()
test:is(value:count(), 90, 'the others are there')
settle()
before = skipped()
test:is(value:count(), 90, 'still')
test:is(skipped(), before, 'the stale ones are gone')
space:replace({1, 7})
space:replace({1, 1001})
space:replace({1, 7})
settle()
test:is(#value:select(7), 1, 'a key that comes back stays')
test:is(#value:select(1001), 0, 'and the one between goes')
value:compact()
before = skipped()
value:count()
test:is(skipped(), before, 'so do those that a compaction meets')

-- Figures.
local stat = value:stat()
test:ok(stat.latency.p50 > 0 and stat.latency.p50 <= stat.latency.p99, 'latency of reads')
for number = 1, 2 do
    space:replace({number, 500 + number})
    space:replace({500, 500 + number})
    value:compact()
end
stat = value:stat()
test:is(value.options.run_count_per_level, 2, 'options of an index')
value:alter({run_count_per_level = 7})
test:is(space.index[value.name].options.run_count_per_level, 7, 'an altered one')
test:ok(stat.disk.compaction.count > 0, 'compactions')
test:ok(stat.disk.compaction.input.rows >= stat.disk.compaction.output.rows, 'makes no rows')
test:ok(stat.disk.dump.count > 0 and stat.disk.dump.output.bytes > 0, 'tables that were written')
local scheduler = box.stat.vinyl().scheduler
test:ok(scheduler.dump_count >= stat.disk.dump.count, 'all of an instance')
test:ok(scheduler.dump_input > 0 and scheduler.dump_output > 0, 'their bytes')
box.stat.reset()
test:is(value:stat().latency.p99, 0, 'starts over')
test:is(value:stat().disk.compaction.count, 0, 'and so do compactions')
stat = box.stat.vinyl()
test:is(stat.scheduler.dump_count, 0, 'and tables that were written')
test:ok(stat.memory.page_index > 0 and stat.memory.bloom_filter > 0, 'what stays in memory of them')
local bytes = space:bsize()
test:ok(bytes > 0 and value:bsize() > 0, 'bytes of a space and of an index')
for id = 1001, 2000 do
    space:replace({id, id, ('x'):rep(100)})
end
test:ok(space:bsize() >= bytes + 50000, 'with what is in memory')
test:ok(box.stat.vinyl().tx.statements > 0, 'statements in memory')

os.exit(test:check() and 0 or 1)
