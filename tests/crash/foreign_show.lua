-- foreign_show: prints what is in the directory arg[1], in the same words under Tarantool and us.
local json = require('json')

box.cfg({work_dir = arg[1], memtx_memory = 64 * 1024 * 1024, checkpoint_interval = 0})

local function show(value)
    if type(value) == 'table' then
        return json.encode(value)
    end
    return tostring(value) .. (type(value) == 'cdata' and ' cdata' or '')
end

local function show_rows(label, rows)
    for _, row in ipairs(rows) do
        local fields = {}
        for number = 1, #row do
            fields[number] = show(row[number])
        end
        print(label, table.concat(fields, ', '))
    end
end

local FIRST_SPACE, FIRST_USER = 512, 32
for _, definition in box.space._space:pairs() do
    if definition[1] >= FIRST_SPACE then
        local space = box.space[definition[1]]
        print('space', definition[1], definition[2], definition[3], definition[5],
            show(definition[6]))
        for _, field in ipairs(space:format()) do
            print('field', field.name, field.type, field.is_nullable == true)
        end
        for number = 0, 10 do
            local index = space.index[number]
            if index ~= nil then
                print('index', index.name, index.type, index.unique)
                for _, part in ipairs(index.parts) do
                    print('part', part.fieldno, part.type, part.path, part.is_nullable)
                end
                local rows = index:select()
                -- A hash has no order that must be the same.
                if index.type == 'HASH' then
                    table.sort(rows, function(left, right)
                        return tostring(left) < tostring(right)
                    end)
                end
                show_rows(index.name, rows)
            end
        end
    end
end
for _, user in box.space._user:pairs() do
    if user[1] >= FIRST_USER then
        print('user', show(user:totable()))
        show_rows('grant', box.space._priv.index.primary:select({user[1]}))
    end
end
for _, func in box.space._func:pairs() do
    if func[1] > 65 then
        print('function', func[3])
    end
end
print('next', box.sequence.other:next(), box.space.plain:insert({box.NULL, 'after'})[1])
os.exit(0)
