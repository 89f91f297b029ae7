-- Claims about uri, csv, argparse, checks, trigger, pickle and compat.
local tap = require('tap')
local argparse = require('internal.argparse')
local csv = require('csv')
local pickle = require('pickle')
local trigger = require('trigger')
local uri = require('uri')

local test = tap.test('text')
test:plan(8)

test:test('uri', function(t)
    t:plan(16)
    local u = uri.parse('scheme://login:password@host:service/a/b?q=1&q=&r#part')
    t:is_deeply({u.scheme, u.login, u.password, u.host, u.service, u.path, u.query, u.fragment},
                {'scheme', 'login', 'password', 'host', 'service', '/a/b', 'q=1&q=&r', 'part'},
                'every part')
    t:is_deeply(u.params, {q = {'1', ''}, r = {}}, 'parameters')
    t:is(uri.format(u), 'scheme://login@host:service/a/b?q=1&q=&r#part', 'format hides passwords')
    t:is(uri.format(u, true):match(':password@'), ':password@', 'or shows them')
    t:is(uri.parse('/tmp/a.sock').unix, '/tmp/a.sock', 'a Unix socket')
    u = uri.parse('l:p@/tmp/a.sock:/path?x=1')
    t:is_deeply({u.login, u.unix, u.path}, {'l', '/tmp/a.sock', '/path'}, 'with a path after it')
    t:is(uri.parse('127.0.0.1:80').ipv4, '127.0.0.1', 'IPv4')
    t:is(uri.format(uri.parse('[::1]:3301')), '[::1]:3301', 'IPv6')
    t:is_deeply({uri.parse(3301).service, uri.parse(3301).host}, {'3301', nil}, 'a port')
    local wrong, problem = uri.parse('://')
    t:is_deeply({wrong, tostring(problem)},
                {nil, 'Incorrect URI: expected host:service or /unix.socket'}, 'no URI')
    u = uri.parse({'h:1?a=1', params = {a = 2, b = {3, 4}}})
    t:is_deeply(u.params, {a = {'2'}, b = {'3', '4'}}, 'a table with parameters')
    t:is(#uri.parse_many('h:1, h:2'), 2, 'many')
    t:is(uri.parse_many({'h:1', 'h:2?a=1', default_params = {a = '2'}})[1].params.a[1], '2',
         'default parameters')
    t:is(uri.parse({'/tmp/a.sock', params = {q = {x = 'y'}}}).params, nil, 'no list of values')
    t:is(uri.escape('a b/ñ'), 'a%20b%2F%C3%B1', 'escape')
    t:is(uri.unescape('a+b%20%zz', {plus = true}), 'a b %zz', 'unescape')
end)

test:test('csv', function(t)
    t:plan(10)
    t:is_deeply(csv.load('kp""v,"a" "b"\n'), {{'kp"v', 'a b'}}, 'quotes inside of a field')
    t:is_deeply(csv.load('"a"" "b"'), {{'a" b'}}, 'a quote at the end of input')
    t:is_deeply(csv.load('a,b\n1,2\n'), {{'a', 'b'}, {'1', '2'}}, 'lines')
    t:is_deeply(csv.load('"a,""b""\nc",d'), {{'a,"b"\nc', 'd'}}, 'quotes')
    t:is_deeply(csv.load('a\r\nb\rc'), {{'a'}, {'b'}, {'c'}}, 'ends of lines')
    t:is_deeply(csv.load('h\n1\n', {skip_head_lines = 1}), {{'1'}}, 'a header')
    t:is_deeply(csv.load('a;b', {delimiter = ';'}), {{'a', 'b'}}, 'another delimiter')
    local text = '1,22\n"3\n3",4\n'
    local position = 0
    local slow = {read = function(_, size)
        position = position + size
        return text:sub(position - size + 1, position)
    end}
    t:is_deeply(csv.load(slow, {chunk_size = 1}), {{'1', '22'}, {'3\n3', '4'}}, 'byte by byte')
    t:is(csv.dump({{1, 'a,b'}, {'q"q', ' s'}}), '1,"a,b"\nq""q," s"\n', 'dump')
    t:is(csv.dump({1, 2}), '1,2\n', 'dump of one line')
end)

test:test('argparse', function(t)
    t:plan(6)
    t:is_deeply(argparse.parse({'-ab', '--name', 'x', 'rest'}),
                {a = true, b = true, name = 'x', 'rest'}, 'without options')
    local options = {{'count', 'number'}, {'tag', 'string+'}, {'flag', 'boolean'}}
    t:is_deeply(argparse.parse({'--count', '3', '--tag=a', '--tag', 'b', '--flag', 'x'}, options),
                {count = 3, tag = {'a', 'b'}, flag = true, 'x'}, 'with options')
    for _, case in ipairs({
        {{'--count', 'x'}, 'Bad value for parameter "count". Expected number, got "x"'},
        {{'--count'}, 'Bad value for parameter "count". Expected number, got nothing'},
        {{'--flag=1'}, 'Bad value for parameter "flag". No value expected, got "1"'},
        {{'--other'}, 'unknown options: other'},
    }) do
        local _, problem = pcall(argparse.parse, case[1], options)
        t:is(problem, case[2], case[2])
    end
end)

test:test('checks', function(t)
    t:plan(6)
    local function fn(_, _, options) -- luacheck: no unused
        checks('string', '?number|boolean', {size = '?number', deep = {x = '?string'}})
        return options
    end
    t:is_deeply(fn('a', nil, {size = 1, deep = {x = 'y'}}), {size = 1, deep = {x = 'y'}}, 'passes')
    for _, case in ipairs({
        {{1}, 'bad argument #1 to fn %(string expected, got number%)'},
        {{'a', 'b'}, 'bad argument #2 to fn %(%?number|boolean expected, got string%)'},
        {{'a', 1, {other = 1}}, 'unexpected argument options.other to fn'},
        {{'a', 1, {size = 'x'}}, 'bad argument options.size to fn'},
        {{'a', 1, {deep = {x = 1}}}, 'bad argument options.deep.x to fn'},
    }) do
        local _, problem = pcall(function() local result = fn(unpack(case[1])) return result end)
        t:like(problem, case[2], case[2])
    end
end)

test:test('trigger', function(t)
    t:plan(6)
    local calls = {}
    for _, name in ipairs({'a', 'b', 'c'}) do
        trigger.set('test.event', name, function(x) table.insert(calls, name .. x) end)
    end
    trigger.call('test.event', 1)
    t:is_deeply(calls, {'c1', 'b1', 'a1'}, 'newest first')
    trigger.set('test.event', 'c', function()
        trigger.del('test.event', 'b')
    end)
    calls = {}
    trigger.call('test.event', 2)
    t:is_deeply(calls, {'a2'}, 'one deleted meanwhile is not called')
    t:is(#trigger.info('test.event')['test.event'], 2, 'info')
    local names = {}
    for name in trigger.pairs('test.event') do
        table.insert(names, name)
    end
    t:is_deeply(names, {'c', 'a'}, 'pairs')
    t:is(trigger.del('test.event', 'none'), nil, 'deleting nothing')
    local _, problem = pcall(trigger.set, 'e', 'n', 5)
    t:like(problem, "bad argument #3 to '%?' %(callable expected, got number%)", 'no callable')
end)

test:test('pickle', function(t)
    t:plan(4)
    t:is(pickle.pack('bsil', 84, 29541, 1802444916, 2338318684567380014ULL),
         pickle.pack('b', 84) .. pickle.pack('s', 29541) ..
         pickle.pack('i', 1802444916) .. pickle.pack('l', 2338318684567380014ULL), 'one by one')
    t:is(pickle.pack('nN', 1, 2):hex(), '000100000002', 'the network order')
    t:is_deeply({pickle.unpack('sa', '\1\2rest')}, {513, 'rest'}, 'unpack')
    t:ok(not pcall(pickle.unpack, 'i', 'abc') and not pcall(pickle.unpack, 'b', 'ab'), 'sizes')
end)

test:test('compat', function(t)
    t:plan(6)
    local compat = require('compat')
    t:is(compat.yaml_pretty_multiline.current, 'default', 'default')
    compat({yaml_pretty_multiline = 'old'})
    t:is(require('yaml').encode('a\nb'), "--- 'a\n\n  b'\n...\n", 'old')
    t:like(compat.dump(), "yaml_pretty_multiline%s+= 'old'", 'dump')
    compat.yaml_pretty_multiline = 'default'
    t:ok(not pcall(function() compat.no_such_option = 'new' end), 'an unknown option')
    t:ok(not pcall(function() compat.yaml_pretty_multiline = 'newer' end), 'an unknown value')
    t:like(compat.help(), 'compat.dump', 'help')
end)

test:test('iconv', function(t)
    t:plan(5)
    local iconv = require('iconv')
    local text = ('текст'):rep(100)
    local there, back = iconv.new('UTF-16BE', 'UTF-8'), iconv.new('UTF-8', 'UTF-16BE')
    t:is(#there(text), 1000, 'two bytes a letter')
    t:is(back(there(text)), text, 'there and back')
    local _, problem = pcall(iconv.new, 'NO SUCH', 'UTF-8')
    t:like(problem, 'iconv: Invalid argument', 'an unknown encoding')
    _, problem = pcall(iconv.new('ASCII', 'UTF-8'), 'ж')
    t:like(problem, 'Incomplete multibyte sequence', 'a letter that the encoding has not')
    _, problem = pcall(there, 'a\208')
    t:like(problem, 'Invalid multibyte sequence', 'half a letter')
end)

os.exit(test:check())
