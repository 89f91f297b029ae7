-- Claims about the section `credentials` of the configuration: applied at the start and at a
-- reload, taken back when it no longer says so, without what was made by hand.
--
-- The file starts itself again as the application of an instance, which rewrites its configuration.
local fio = require('fio')
local popen = require('popen')
local tap = require('tap')

local config = require('config')

if config:info().status == 'uninitialized' then
    local folder = fio.tempdir()
    local path = fio.pathjoin(folder, 'config.yaml')
    local file = fio.open(path, {'O_CREAT', 'O_WRONLY'}, tonumber('644', 8))
    file:write('groups: {g: {replicasets: {r: {instances: {i: {}}}}}}\n')
    file:close()
    local command = ("cd '%s' && TT_APP_FILE='%s' exec '%s' --name i --config config.yaml"):format(
        folder, fio.abspath(arg[0]), arg[-1])
    local program = popen.new({command}, {shell = true})
    local status = program:wait()
    fio.rmtree(folder)
    os.exit(status.exit_code or 1)
end

-- Each reload runs the application again.
if rawget(_G, 'has_begun') then
    return
end
rawset(_G, 'has_begun', true)

local test = tap.test('credentials')
test:plan(8)

local PATH = fio.pathjoin(fio.cwd(), 'config.yaml')
local BASE = 'groups: {g: {replicasets: {r: {instances: {i: {}}}}}}\ncredentials:\n'

local function set(text)
    local file = fio.open(PATH, {'O_CREAT', 'O_WRONLY', 'O_TRUNC'}, tonumber('644', 8))
    file:write(BASE .. text)
    file:close()
    return pcall(config.reload, config)
end

-- What somebody may do, as sorted lines.
local function rights(kind, name)
    local lines = {}
    for _, row in ipairs(box.schema[kind].info(name)) do
        table.insert(lines, table.concat(row, ' '))
    end
    table.sort(lines)
    return table.concat(lines, '; ')
end

local OWN = 'execute role public; session,usage universe '

local function is_password(name, password)
    return box.internal.is_password(name, password)
end

local function run()
    test:test('users, roles and privileges', function(t)
        t:plan(7)
        box.schema.space.create('books')
        t:ok(set([[
  roles:
    reader:
      privileges:
      - {permissions: [read], spaces: [books]}
  users:
    alice:
      password: one
      roles: [reader]
      privileges:
      - {permissions: [read, write], sequences: [all]}
      - {permissions: [execute], lua_call: [f]}
]]), 'are applied')
        t:is(rights('role', 'reader'), 'read space books', 'a role')
        t:is(rights('user', 'alice'), 'alter user alice; execute lua_call f; execute role public; ' ..
            'execute role reader; read,write sequence ; session,usage universe ', 'a user')
        t:ok(is_password('alice', 'one'), 'and a password')
        t:ok(set('  users:\n    alice:\n      password: two\n      roles: [public]\n'), 'a reload')
        t:is(rights('user', 'alice'), 'alter user alice; ' .. OWN, 'takes rights back')
        t:ok(is_password('alice', 'two') and not box.schema.role.exists('reader'),
            'changes the password and drops the role')
    end)

    test:test('what was done by hand', function(t)
        t:plan(5)
        box.schema.user.create('bob')
        box.schema.user.grant('alice', 'read', 'space', 'books')
        box.schema.user.grant('bob', 'write', 'space', 'books')
        set('  users:\n    alice:\n      privileges:\n' ..
            '      - {permissions: [read, write], spaces: [books]}\n    bob: {}\n')
        t:is(rights('user', 'alice'), 'alter user alice; ' ..
            'execute role public; read,write space books; session,usage universe ', 'is joined')
        t:ok(not is_password('alice', 'two'), 'a password that is gone is taken away')
        t:ok(set('  users: {alice: {}}\n'), 'a reload')
        t:is(rights('user', 'alice'), 'alter user alice; ' ..
            'execute role public; read space books; session,usage universe ', 'leaves it alone')
        t:is(rights('user', 'bob'), 'alter user bob; ' ..
            'execute role public; session,usage universe ; write space books',
            'also a user who is named no more')
    end)

    test:test('a user who is named no more', function(t)
        t:plan(2)
        t:ok(set('  users: {}\n'), 'a reload')
        t:ok(not box.schema.user.exists('alice'), 'is dropped')
    end)

    test:test('an object that does not exist yet', function(t)
        t:plan(6)
        t:ok(set([[
  users:
    carol:
      roles: [late]
      privileges:
      - {permissions: [read], spaces: [early, renamed]}
]]), 'is no error')
        t:is(config:info().status, 'check_warnings', 'but a warning')
        local messages = {}
        for _, alert in ipairs(config:info().alerts) do
            table.insert(messages, alert.message)
        end
        t:like(table.concat(messages, '\n'),
            'box.schema.user.grant%("carol", "read", "space", "early"%) has failed', 'that says so')
        box.schema.space.create('early')
        t:like(rights('user', 'carol'), 'read space early', 'is granted once it is made')
        box.schema.space.create('other'):rename('renamed')
        box.schema.role.create('late')
        t:like(rights('user', 'carol'), 'execute role late; .*read space renamed', 'or renamed')
        t:is(config:info().status, 'ready', 'and the warning is gone')
    end)

    test:test('wrong privileges', function(t)
        t:plan(2)
        local ok, problem = set(
            '  users: {carol: {privileges: [{permissions: [execute], spaces: [early]}]}}\n')
        t:ok(not ok, 'are an error')
        t:is(tostring(problem), 'credentials.apply: box.schema.user.grant("carol", "execute", ' ..
            '"space", "early") failed: Unsupported space privilege \'execute\'', 'that says which')
    end)

    test:test('guest', function(t)
        t:plan(3)
        t:ok(set('  users: {guest: {roles: [super]}}\n'), 'gets a role')
        t:like(rights('user', 'guest'), 'execute role super', 'as anybody')
        set('  users: {}\n')
        t:unlike(rights('user', 'guest'), 'super', 'and loses it when it is named no more')
    end)

    test:test('whoever reloads', function(t)
        t:plan(2)
        box.schema.func.create('reload_it', {body = [[function()
            require('config'):reload()
        end]]})
        box.schema.user.grant('bob', 'execute', 'function', 'reload_it')
        set('  users: {}\n')
        local file = fio.open(PATH, {'O_WRONLY', 'O_TRUNC'})
        file:write(BASE .. '  users: {dave: {}}\n')
        file:close()
        t:ok(pcall(box.session.su, 'bob', box.func.reload_it.call, box.func.reload_it),
            'need not be admin')
        t:ok(box.schema.user.exists('dave'), 'for users to be made')
    end)

    test:test('a read-only instance', function(t)
        t:plan(3)
        box.cfg({read_only = true})
        t:ok(set('  users: {erin: {}}\ndatabase: {mode: ro}\n'), 'changes nothing')
        t:ok(not box.schema.user.exists('erin'), 'yet')
        set('  users: {erin: {}}\n')
        t:ok(box.schema.user.exists('erin'), 'until it can be written')
    end)
end

require('fiber').new(function()
    config:wait_status('ready')
    local ok, problem = pcall(run)
    if not ok then
        test:diag(tostring(problem))
    end
    os.exit(ok and test:check() and 0 or 1)
end)
