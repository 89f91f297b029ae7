-- Claims about http.client, with a server made of sockets that says what the test wants.
local client = require('http.client')
local digest = require('digest')
local fiber = require('fiber')
local fio = require('fio')
local json = require('json')
local socket = require('socket')
local tap = require('tap')

local test = tap.test('http_client')
test:plan(12)

-- What the server does with a request, by path: returns the whole response, or a function that
-- talks to the socket itself. No response: the connection is closed.
local routes = {}
local requests = {}

local function read_request(peer)
    local head = peer:read('\r\n\r\n')
    if head == nil or head == '' then
        return nil
    end
    local method, path, version = head:match('^(%S+) (%S+) HTTP/(%S+)\r\n')
    local request = {method = method, path = path, version = version, headers = {}, body = ''}
    for name, value in head:gmatch('\r\n([^:\r\n]+)[:;] ?([^\r\n]*)') do
        request.headers[name:lower()] = value
    end
    local size = tonumber(request.headers['content-length'])
    if size ~= nil and size > 0 then
        request.body = peer:read(size)
    elseif request.headers['transfer-encoding'] == 'chunked' then
        while true do
            local part = tonumber((peer:read('\r\n'):match('%x+')), 16)
            if part > 0 then
                request.body = request.body .. peer:read(part)
            end
            peer:read('\r\n')
            if part == 0 then
                break
            end
        end
    end
    return request
end

local function serve(peer)
    while true do
        local request = read_request(peer)
        if request == nil then
            return
        end
        table.insert(requests, request)
        local route = routes[request.path:match('^[^?]*')]
        local response = type(route) == 'function' and route(request, peer) or route
        if type(response) ~= 'string' then
            return
        end
        peer:write(response)
        if request.headers.connection ~= 'Keep-Alive' then
            return
        end
    end
end

local function response(body, headers, status)
    local lines = {'HTTP/1.1 ' .. (status or '200 OK'), 'Content-Length: ' .. #body}
    for _, line in ipairs(headers or {}) do
        table.insert(lines, line)
    end
    return table.concat(lines, '\r\n') .. '\r\n\r\n' .. body
end

local server = socket.tcp_server('127.0.0.1', 0, serve)
local port = server:name().port
local base = ('http://127.0.0.1:%d'):format(port)

local function last()
    return requests[#requests]
end

test:test('a request', function(t)
    t:plan(11)
    routes['/'] = response('hello', {'Content-Type: text/plain', 'X-A: 1', 'X-A: 2', 'Age: 1',
        'Age: 2', 'Set-Cookie: a=b; Path=/; Foo=1', 'Set-Cookie: c=d'})
    local r = client.get(base)
    t:is(r.status, 200, 'status')
    t:is(r.reason, 'Ok', 'reason')
    t:is_deeply(r.proto, {1, 1}, 'version')
    t:is(r.body, 'hello', 'body')
    t:is(r.url, base, 'URL')
    t:is_deeply({r.headers['x-a'], r.headers.age}, {'1,2', '1'}, 'headers that come twice')
    t:is_deeply(r.cookies, {a = {'b', {'Path=/'}}, c = {'d', {}}}, 'cookies')
    t:is_deeply({last().method, last().path, last().version}, {'GET', '/', '1.1'}, 'what is asked')
    t:is_deeply(last().headers, {
        host = '127.0.0.1:' .. port, accept = '*/*', connection = 'close',
    }, 'headers of the request')
    client.get(base .. '/', {headers = {Accept = 'text/html', ['X-B'] = 'y'}})
    t:is_deeply({last().headers.accept, last().headers['x-b']}, {'text/html', 'y'}, 'own headers')
    t:is(json.decode(json.encode(r))._decoders, nil, 'what is private is not shown')
end)

test:test('methods and bodies', function(t)
    t:plan(12)
    routes['/echo'] = function(request)
        return response(request.method == 'HEAD' and '' or request.body)
    end
    local url = base .. '/echo'
    local r = client.post(url, {a = 1})
    t:is(r.body, '{"a":1}', 'a table is JSON')
    t:is(last().headers['content-type'], 'application/json', 'and said to be')
    client.post(url, 'x')
    t:is(last().headers['content-type'], 'application/x-www-form-urlencoded', 'a text is a form')
    r = client.put(url, {1}, {headers = {['Content-Type'] = 'application/msgpack; x=1'}})
    t:is(r.body:hex(), '9101', 'MessagePack')
    t:is(client.patch(url, 5).body, '5', 'a number')
    client.post(url)
    t:is(last().headers['content-length'], '0', 'no body')
    client.get(url, {params = {a = 'b c', d = {1, 2}}})
    t:like(last().path, '^/echo%?', 'parameters of a query')
    t:is(client.post(url, nil, {params = {a = 'b c'}}).body, 'a=b+c', 'parameters of a form')
    t:is_deeply({client.head(url).body, last().method}, {nil, 'HEAD'}, 'no body for HEAD')
    client.delete(url)
    t:is(last().method, 'DELETE', 'DELETE')
    client.request('options', url)
    t:is(last().method, 'OPTIONS', 'any case')
    local ok, problem = pcall(client.post, url, 'x', {params = {a = 1}})
    t:ok(not ok and problem:find('use either body or http params'), 'a body and parameters')
end)

test:test('decode', function(t)
    t:plan(4)
    routes['/json'] = response('{"a":[1]}', {'Content-Type: application/json; charset=utf-8'})
    t:is_deeply(client.get(base .. '/json'):decode(), {a = {1}}, 'JSON')
    routes['/plain'] = response('x', {'Content-Type: text/plain'})
    local r = client.get(base .. '/plain')
    local ok, problem = pcall(r.decode, r)
    t:ok(not ok and problem:find('decode function is not found %(text/plain%)'), 'an unknown type')
    local own = client.new()
    own.decoders['text/plain'] = function(body) return body .. '!' end
    t:is(own:get(base .. '/plain'):decode(), 'x!', 'a decoder of ours')
    routes['/empty'] = response('')
    r = client.get(base .. '/empty')
    ok, problem = pcall(r.decode, r)
    t:ok(not ok and problem:find('Unable to decode body: body is empty'), 'no body')
end)

test:test('how bodies end', function(t)
    t:plan(6)
    routes['/chunked'] = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
        .. '5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX: y\r\n\r\n'
    t:is(client.get(base .. '/chunked').body, 'hello world', 'in chunks')
    routes['/close'] = function(_, peer) peer:write('HTTP/1.0 200 OK\r\n\r\nuntil the end') end
    local r = client.get(base .. '/close')
    t:is_deeply({r.body, r.proto}, {'until the end', {1, 0}}, 'with the connection')
    routes['/continue'] = 'HTTP/1.1 100 Continue\r\n\r\n' .. response('x')
    t:is(client.get(base .. '/continue').body, 'x', 'after 100')
    routes['/nocontent'] = 'HTTP/1.1 204 No Content\r\n\r\n'
    t:is_deeply({client.get(base .. '/nocontent').status}, {204}, 'without one')
    routes['/slow'] = function(_, peer)
        for letter in response(('x'):rep(100)):gmatch('.') do
            peer:write(letter)
        end
    end
    t:is(#client.get(base .. '/slow').body, 100, 'byte by byte')
    routes['/partial'] = function(_, peer)
        peer:write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx')
    end
    local ok, problem = pcall(client.get, base .. '/partial')
    t:ok(not ok and tostring(problem):find('partial'), 'too early')
end)

test:test('redirects', function(t)
    t:plan(8)
    routes['/to'] = response('', {'Location: /echo'}, '302 Found')
    local r = client.post(base .. '/to', 'x')
    t:is_deeply({r.status, last().method, last().path}, {200, 'GET', '/echo'}, 'POST becomes GET')
    routes['/keep'] = response('', {'Location: echo'}, '307 Temporary Redirect')
    r = client.post(base .. '/keep', 'x')
    t:is_deeply({r.body, last().method}, {'x', 'POST'}, 'unless it must not')
    r = client.get(base .. '/to', {follow_location = false})
    t:is_deeply({r.status, r.reason, r.headers.location}, {302, 'Ok', '/echo'}, 'not followed')
    routes['/loop'] = response('', {'Location: /loop'}, '301 Moved')
    local ok, problem = pcall(client.get, base .. '/loop')
    t:ok(not ok and tostring(problem):find('redirects'), 'without end')
    local auth = {headers = {Authorization = 'secret'}}
    client.get(base .. '/to', auth)
    t:is(last().headers.authorization, 'secret', 'the same server is trusted')
    routes['/away'] = response('', {('Location: http://localhost:%d/echo'):format(port)}, '302 x')
    client.get(base .. '/away', auth)
    t:is(last().headers.authorization, nil, 'another one is not')
    client.get(('http://user:pass@127.0.0.1:%d/to'):format(port))
    t:is(last().headers.authorization, 'Basic ' .. digest.base64_encode('user:pass'), 'log-ins')
    t:is(client.get(base .. '/nowhere').status, 444, 'no response')
end)

test:test('failures', function(t)
    t:plan(12)
    local r = client.get('http://127.0.0.1:1/')
    t:is_deeply({r.status, r.reason}, {595, "Couldn't connect to server"}, 'no server')
    r = client.get('http://no.such.host.invalid/')
    t:is_deeply({r.status, r.reason}, {595, "Couldn't resolve host name"}, 'no host')
    local blocked = fiber.cond()
    routes['/hang'] = function() blocked:wait() end
    r = client.get(base .. '/hang', {timeout = 0.01})
    t:is(r.status, 408, 'a timeout')
    t:like(r.reason, 'Timeout', 'and its reason')
    local results = fiber.channel(1)
    local waiting = fiber.create(function() results:put(client.get(base .. '/hang')) end)
    waiting:cancel()
    t:is(results:get(10).status, 408, 'a cancelled fiber')
    blocked:broadcast()
    local function fails(message, ...)
        local ok, problem = pcall(client.request, ...)
        t:ok(not ok and tostring(problem):find(message, 1, true) ~= nil, message,
            {got = tostring(problem)})
    end
    fails('request(method, url[, body, [options]])')
    fails('Unsupported protocol', 'GET', 'htp://127.0.0.1')
    fails('opts.headers should be a table', 'GET', base, nil, {headers = 'a'})
    fails('opts.headers values should be strings', 'GET', base, nil, {headers = {a = 1}})
    fails('opts.headers keys should be strings', 'GET', base, nil, {headers = {'a'}})
    fails('must be a non-negative integer', 'POST', base, nil, {headers = {['Content-Length'] = 'x'}})
    fails('Not a supported http version: 9', 'GET', base, nil, {http_version = '9'})
end)

test:test('connections kept alive', function(t)
    t:plan(7)
    local opts = {keepalive_idle = 10, keepalive_interval = 5}
    local http = client.new()
    local accepted = 0
    local own = socket.tcp_server('127.0.0.1', 0, function(peer)
        accepted = accepted + 1
        serve(peer)
    end)
    local url = ('http://127.0.0.1:%d/echo'):format(own:name().port)
    for _ = 1, 3 do
        http:get(url, opts)
    end
    t:is(accepted, 1, 'one serves several requests')
    t:is_deeply({last().headers.connection, last().headers['keep-alive']},
        {'Keep-Alive', 'timeout=10'}, 'which say so')
    http:get(url)
    t:is(accepted, 1, 'a waiting one serves all')
    t:is(http:get(url, opts).status, 200, 'one that was closed')
    t:is(accepted, 2, 'is replaced')
    local stat = http:stat()
    t:is_deeply({stat.total_requests, stat.http_200_responses, stat.active_requests}, {5, 5, 0},
        'all were counted')
    t:is(stat.sockets_added - stat.sockets_deleted, 1, 'one waits')
    own:close()
end)

test:test('clients', function(t)
    t:plan(2)
    local http = client.new({max_total_connections = 1})
    local go = fiber.cond()
    local running = 0
    local most = 0
    routes['/wait'] = function()
        running = running + 1
        most = math.max(most, running)
        go:wait(0.01)
        running = running - 1
        return response('x')
    end
    local done = fiber.channel(3)
    for _ = 1, 3 do
        fiber.create(function() done:put(http:get(base .. '/wait').status) end)
    end
    t:is_deeply({done:get(), done:get(), done:get()}, {200, 200, 200}, 'all are served')
    t:is(most, 1, 'one after the other')
end)

test:test('compression', function(t)
    t:plan(4)
    local packed = ('1f8b0800000000000003cb48cdc9c95728cf2fca49010085114a0d0b000000'):fromhex()
    routes['/gzip'] = response(packed, {'Content-Encoding: gzip'})
    t:is(client.get(base .. '/gzip').body, packed, 'is left alone')
    local r = client.get(base .. '/gzip', {accept_encoding = 'gzip'})
    t:is_deeply({r.body, last().headers['accept-encoding']}, {'hello world', 'gzip'},
        'unless it was asked for')
    routes['/deflate'] = response(('789ccb48cdc9c95728cf2fca4901001a0b045d'):fromhex(),
        {'Content-Encoding: deflate'})
    t:is(client.get(base .. '/deflate', {accept_encoding = 'deflate'}).body, 'hello world',
        'deflate')
    routes['/broken'] = response('x', {'Content-Encoding: gzip'})
    t:is(client.get(base .. '/broken', {accept_encoding = 'gzip'}).status, 595, 'what is broken')
end)

test:test('streams', function(t)
    t:plan(12)
    routes['/lines'] = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
        .. '4\r\na\nbc\r\n5\r\n\ndef\n\r\n0\r\n\r\n'
    local io = client.get(base .. '/lines', {chunked = true})
    t:is(io.headers['transfer-encoding'], 'chunked', 'headers come first')
    t:is(io.status, nil, 'the status does not')
    t:is(io:read('\n'), 'a\n', 'a line')
    t:is(io:read({delimiter = {'\n', 'x'}}), 'bc\n', 'one of two parts')
    t:is(io:read(2), 'de', 'a size')
    t:is(io:read({chunk = 100}), 'f\n', 'the rest')
    t:is(io:read(1), '', 'the end')
    io:finish()
    t:is_deeply({io.status, io.reason}, {200, 'Ok'}, 'and the status')
    io = client.post(base .. '/echo', nil, {chunked = true})
    io:write('one ')
    t:is(io:write('two'), 3, 'parts of a body')
    t:is(io:read(100), 'one two', 'arrive')
    io:finish(1)
    t:is(io.status, 200, 'and are answered')
    io = client.get(base .. '/echo', {chunked = true})
    local ok, problem = pcall(io.write, io, 'x')
    t:ok(not ok and tostring(problem):find('no body to send'), 'a GET has no body')
    io:finish()
end)

test:test('Unix sockets', function(t)
    t:plan(2)
    local path = fio.pathjoin(fio.tempdir(), 'http')
    local unix = socket.tcp_server('unix/', path, serve)
    t:is(client.get('http://localhost/echo', {unix_socket = path}).status, 200, 'a request')
    t:is(last().headers.host, 'localhost', 'names its host')
    unix:close()
end)

test:test('proxies', function(t)
    t:plan(4)
    routes['http://example.org/x'] = response('through')
    local opts = {proxy = 'http://127.0.0.1', proxy_port = port, proxy_user_pwd = 'a:b'}
    t:is(client.get('http://example.org/x?y', opts).body, 'through', 'a proxy is asked')
    t:is_deeply({last().path, last().headers.host}, {'http://example.org/x?y', 'example.org'},
        'for the whole URL')
    t:is(last().headers['proxy-authorization'], 'Basic ' .. digest.base64_encode('a:b'), 'log-in')
    opts.no_proxy = 'example.com, 127.0.0.1'
    t:is(client.get(base .. '/echo', opts).status, 200, 'not for some hosts')
end)

server:close()
os.exit(test:check() and 0 or 1)
