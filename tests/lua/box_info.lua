-- box.info as a table, a function, and as serializers see it.
local json = require('json')
local tap = require('tap')

box.cfg{}

local test = tap.test('box_info')
test:plan(4)

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

os.exit(test:check() and 0 or 1)
