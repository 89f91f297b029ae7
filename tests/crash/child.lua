-- child: opens a data directory, shows what is in it, and does what the files of steps say.
--
-- arg[1] is JSON: {cfg = options of box.cfg, engine = the engine of the spaces, steps = {file, ...}, snapshots = whether to make
-- snapshots all the time}. Output: "row SPACE JSON" for each row, "end", then "ack WRITER STEP
-- OUTCOME" after each step that was committed. Each file of steps has a fiber of its own.
local fiber = require('fiber')
local json = require('json')

local plan = json.decode(arg[1])
io.stdout:setvbuf('no')

local function say(...)
    io.write(table.concat({...}, ' ') .. '\n')
end

-- A loaded machine is no reason to fail.
fiber.set_max_slice(60)
box.cfg(plan.cfg)

local FORMAT = {
    {'id', 'unsigned'}, {'group', 'unsigned'}, {'code', 'unsigned'},
    {'text', 'string', is_nullable = true},
}
local spaces = {}
local is_on_disk = plan.engine == 'vinyl'
for name, kind in pairs({a = 'tree', b = is_on_disk and 'tree' or 'hash'}) do
    local space = box.schema.space.create(name,
        {format = FORMAT, engine = plan.engine, if_not_exists = true})
    space:create_index('primary', {type = kind, parts = {'id'}, if_not_exists = true})
    space:create_index('code', {type = kind, parts = {'code'}, if_not_exists = true})
    space:create_index('group', {parts = {'group'}, unique = false, if_not_exists = true})
    space:create_index('text', {parts = {{'text', exclude_null = true}}, unique = false,
        if_not_exists = true})
    spaces[name] = space
end

-- Every index has to have the rows of the primary one, in its own order.
local function check(space)
    local texts = 0
    for _, row in space:pairs() do
        texts = texts + (row.text ~= nil and 1 or 0)
    end
    local last = {}
    -- How many rows there are on disk is known when they are counted.
    local function len(of)
        return is_on_disk and of:count() or of:len()
    end
    for name, count in pairs({code = len(space), group = len(space), text = texts}) do
        local index = space.index[name]
        local seen = 0
        for _, row in index:pairs() do
            seen = seen + 1
            local known = space:get(row.id)
            if known == nil or json.encode(known) ~= json.encode(row) then
                say('bad', space.name, name, 'has', json.encode(row))
            end
            if index.type == 'TREE' and last[name] ~= nil and last[name] > row[name] then
                say('bad', space.name, name, 'is out of order at', json.encode(row))
            end
            last[name] = row[name]
        end
        if seen ~= count or len(index) ~= count then
            say('bad', space.name, name, 'has', seen, 'of', count, 'rows, len', len(index))
        end
    end
end

for _, name in ipairs({'a', 'b'}) do
    check(spaces[name])
    local rows = {}
    for _, row in spaces[name]:pairs() do
        table.insert(rows, row)
    end
    table.sort(rows, function(left, right) return left.id < right.id end)
    for _, row in ipairs(rows) do
        say('row', name, json.encode({row.id, row.group, row.code, row.text or box.NULL}))
    end
end
say('end')
if plan.steps == nil then
    os.exit(0)
end

local function execute(statement, savepoints)
    local verb = statement[1]
    if verb == 'savepoint' then
        table.insert(savepoints, box.savepoint())
    elseif verb == 'rollback_to' then
        while #savepoints > statement[2] do
            table.remove(savepoints)
        end
        box.rollback_to_savepoint(savepoints[statement[2]])
    else
        local space = spaces[statement[2]]
        space[verb](space, statement[3], statement[4])
    end
end

local function is_conflict(err)
    return type(err) == 'cdata' and err.code == box.error.TUPLE_FOUND
end

-- Writers have keys of their own, but ranges that were read may meet on disk.
local Conflict = {}

local function check_conflict(err)
    if type(err) == 'cdata' and err.code == box.error.TRANSACTION_CONFLICT then
        error(Conflict)
    end
end

local function try(step)
    local outcome, savepoints = {}, {}
    if step.transaction then
        box.begin()
    end
    for number, statement in ipairs(step.statements) do
        local ok, err = pcall(execute, statement, savepoints)
        if not ok then
            check_conflict(err)
        end
        if not ok and not is_conflict(err) then
            say('bad', tostring(err))
        end
        outcome[number] = ok and '+' or '-'
    end
    if step.transaction then
        if step.commit then
            local ok, err = pcall(box.commit)
            if not ok then
                check_conflict(err)
                error(err)
            end
        else
            box.rollback()
        end
    end
    return table.concat(outcome)
end

local function run(step)
    while true do
        local ok, outcome = pcall(try, step)
        if ok then
            return outcome
        elseif outcome ~= Conflict then
            error(outcome)
        end
        box.rollback()
    end
end

local running = #plan.steps
for writer, path in ipairs(plan.steps) do
    fiber.create(function()
        local steps = {}
        for line in io.lines(path) do
            table.insert(steps, json.decode(line))
        end
        fiber.yield()
        for number, step in ipairs(steps) do
            say('ack', writer - 1, number, run(step))
        end
        running = running - 1
    end)
end

while running > 0 do
    if plan.snapshots then
        local ok, err = pcall(box.snapshot)
        if not ok and err.code ~= box.error.CHECKPOINT_IN_PROGRESS then
            say('bad', tostring(err))
        end
    end
    fiber.sleep(0.001)
end
os.exit(0)
