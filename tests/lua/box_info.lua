-- box.info as a table, a function, and as serializers see it.
local json = require('json')
local tap = require('tap')

box.cfg{}

local test = tap.test('box_info')
test:plan(7)

local all = box.info()
test:is_deeply({all.status, all.ro, all.version}, {box.info.status, box.info.ro, box.info.version},
    'calling it gives what its fields do')
local count = 0
for name in pairs(box.info) do
    count = count + (all[name] ~= nil and 1 or 0)
end
test:ok(count > 20, 'its fields can be walked')
local shown = json.decode(json.encode(box.info))
test:is(shown.uuid, box.info.uuid, 'it can be encoded')
test:ok(shown.health ~= nil and shown.config ~= nil, 'with all of its parts')

local space = box.schema.space.create('s')
space:create_index('pk')
for i = 1, 2500 do
    space:insert({i, ('x'):rep(10)})
end
local stat = space:stat().tuple
test:is_deeply({stat.memtx.data_size, stat.memtx.header_size, stat.malloc.data_size},
    {space:bsize(), 2500 * 8, 0}, 'space:stat() sums its tuples up')
test:is(space.index.pk:get_luac({1}), space.index.pk:get_ffi({1}), 'both forms of a method')
local ok, err = pcall(misc.sysprof.start, {})
test:ok(not ok and tostring(err):find('Lycosa does not support the platform profiler of LuaJIT'),
    'profilers that are not there say so')

os.exit(test:check() and 0 or 1)
