-- Claims about xlog: the rows of our own log and snapshot, as Lua values.
local fio = require('fio')
local tap = require('tap')
local xlog = require('xlog')

box.cfg({log_level = 1})
local test = tap.test('xlog')
test:plan(4)

local space = box.schema.space.create('test')
space:create_index('primary')
box.snapshot()
local first_lsn = box.info.lsn + 1
space:insert({1, 'a'})
box.begin()
space:replace({2, 'b'})
space:update(2, {{'=', 2, 'c'}})
space:upsert({3, 'd'}, {{'=', 2, 'e'}})
space:delete(1)
box.commit()
box.ctl.wal_sync()

local function files(kind)
    local found = fio.glob(fio.pathjoin(box.cfg.wal_dir, '*.' .. kind))
    table.sort(found)
    return found
end

test:test('rows of a log', function(t)
    t:plan(12)
    local rows, lsns = {}, {}
    for _, path in ipairs(files('xlog')) do
        for lsn, row in xlog.pairs(path) do
            if lsn >= first_lsn then
                table.insert(rows, row)
                table.insert(lsns, lsn - first_lsn)
            end
        end
    end
    t:is_deeply(lsns, {0, 1, 2, 3, 4}, 'in the order of their LSN')
    local header = rows[1].HEADER
    t:is(header.type, 'INSERT', 'the kind')
    t:is(header.lsn, first_lsn, 'LSN')
    t:is(header.replica_id, 1, 'the instance')
    t:ok(math.abs(header.timestamp - os.time()) < 1000, 'time')
    t:ok(header.tsn == nil and header.commit == nil, 'a transaction of one row has no number')
    t:is_deeply({rows[2].HEADER.tsn, rows[5].HEADER.tsn}, {first_lsn + 1, first_lsn + 1},
        'one of several has')
    t:is_deeply({rows[4].HEADER.commit, rows[5].HEADER.commit}, {nil, true}, 'and an end')
    t:is(rows[1].BODY.space_id, space.id, 'the space')
    t:ok(box.tuple.is(rows[1].BODY.tuple) and rows[1].BODY.tuple[2] == 'a', 'a tuple is one')
    t:is_deeply({rows[3].BODY.key:totable(), rows[3].BODY.tuple:totable()},
        {{2}, {{'=', 2, 'c'}}}, 'an update')
    t:is_deeply(rows[4].BODY.operations, {{'=', 2, 'e'}}, 'an upsert')
end)

test:test('rows of a snapshot', function(t)
    t:plan(2)
    local names = {}
    for _, row in xlog.pairs(files('snap')[1]) do
        if row.BODY.space_id == box.schema.SPACE_ID then
            names[row.BODY.tuple[3]] = true
        end
    end
    t:ok(names._schema and names._space and names._recovery_point, 'system spaces')
    t:is(xlog.pairs(files('snap')[1]):filter(function(row)
        return row.BODY.space_id == box.schema.SCHEMA_ID and row.BODY.tuple[1] == 'version'
    end):length(), 1, 'it is an iterator of fun')
end)

test:test('meta', function(t)
    t:plan(4)
    local meta = xlog.meta(files('xlog')[#files('xlog')])
    t:is(meta.filetype, 'XLOG', 'the kind of file')
    t:is(meta.instance_uuid, box.info.uuid, 'who wrote it')
    t:ok(meta.vclock[1] < box.info.lsn and type(meta.prev_vclock) == 'table', 'vclocks')
    t:is(xlog.meta(files('snap')[1]).filetype, 'SNAP', 'a snapshot')
end)

test:test('errors', function(t)
    t:plan(3)
    local ok, problem = pcall(xlog.pairs)
    t:ok(not ok and tostring(problem):find('Usage: parser.open(log_filename)', 1, true), 'usage')
    ok, problem = pcall(xlog.pairs, '/nowhere.xlog')
    t:ok(not ok and problem.type == 'SystemError', 'no such file')
    t:like(problem.message, "failed to open '/nowhere.xlog' file", 'and which')
end)

os.exit(test:check() and 0 or 1)
