-- Claims about formatted selects.
local tap = require('tap')

box.cfg{log_level = 'warn'}

local test = tap.test('formatted selects')
test:plan(9)

local space = box.schema.space.create('people', {format = {{'id', 'unsigned'}, {'name', 'string'}}})
space:create_index('primary')
space:insert{1, 'Ян', {x = 1}}
space:insert{2, '\xff'}

test:is(space:fselect(), [[
+-----+--------+-------+
| id  |  name  | col3  |
+-----+--------+-------+
|  1  |  "Ян"  |{"x":1}|
|  2  |<binary>|       |
+-----+--------+-------+]], 'as SQL clients show it')
test:is(space:gselect(1), [[
| id  |name | col3  |
|-----|-----|-------|
|  1  |"Ян" |{"x":1}|]], 'as Markdown')
test:is(space:jselect({2}, nil, 'id,name'), [[
|| id || name  ||
|  2  |<binary>|]], 'as JIRA')
test:is(space.index.primary:fselect(2, {iterator = 'LT', fselect_columns = {'name'}}), [[
+-----+
|name |
+-----+
|"Ян" |
+-----+]], 'options among those of the select')
test:is(space:fselect(1, {}, {columns = {1, 3}, widths = {8, 5}}), [[
+--------+-----+
|   id   |col3 |
+--------+-----+
|   1    |{"x":|
+--------+-----+]], 'widths')
test:is(#space:fselect(1, 'name'):split('\n')[1], 7, 'a text instead of options names columns')
test:is(#space:fselect(1, {}, {max_width = 20}):split('\n')[1], 20, 'a narrow screen')
fselect_type = 'jira'
test:like(space:fselect(1), '^||', 'a global option')
local ok, problem = pcall(space.fselect)
test:like(tostring(problem), 'Use space:fselect', 'without a space')

os.exit(test:check())
