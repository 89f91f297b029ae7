-- http.client: requests over HTTP/1.1, with TLS, proxies, redirects and streamed bodies.
--
-- A connection is used for one request, unless the application asks to keep it alive
-- (keepalive_idle, keepalive_interval): then it waits in the client's cache for the next request
-- with the same target and options. A cached connection that proves to be gone is replaced once.
-- Failures of the network are statuses, as they are Tarantool's: 408, 444, 495, 595.

local native = ...
local clock = require('clock')
local digest = require('digest')
local fiber = require('fiber')
local fio = require('fio')
local json = require('json')
local uri = require('uri')
local content = require('internal.http_content')

local error, ipairs, pairs, pcall, setmetatable, tonumber, type = error, ipairs, pairs, pcall,
    setmetatable, tonumber, type

local FOREVER = 365 * 86400 * 100
local IO_TIMEOUT = 10
local IO_SIZE_MAX = 2147483647
local HEAD_SIZE_MAX = 1024 * 1024
local HEADER_NAME_SIZE_MAX = 32
local REDIRECT_COUNT_MAX = 30

local encoders, decoders, lower, get_icase = content.encoders, content.decoders, content.lower,
    content.get_icase
local DEFAULT_TYPE = content.DEFAULT_TYPE

local REASONS = {
    resolve = {595, "Couldn't resolve host name"},
    connect = {595, "Couldn't connect to server"},
    encoding = {595, 'Unrecognized or bad HTTP Content or Transfer-Encoding'},
    certificate = {495, 'SSL peer certificate or SSH remote key was not OK'},
    timeout = {408, 'Timeout was reached'},
    nothing = {444, 'Server returned nothing (no headers, no data)'},
}

local function refuse(message)
    box.error(box.error.ILLEGAL_PARAMS, message)
end

-- {{{ Connections

-- What is wrong, as an object that travels as an error to the end of the request.
local function fail(kind, text)
    error({kind = kind, text = text}, 0)
end

local function check(result, kind, text)
    if result == nil then
        fail(kind, text)
    end
    return result
end

local function left(request)
    return request.deadline - clock.monotonic()
end

-- Where systems keep the certificates of authorities.
local AUTHORITIES = {
    '/etc/ssl/certs/ca-certificates.crt',
    '/etc/pki/tls/certs/ca-bundle.crt',
    '/etc/ssl/ca-bundle.pem',
    '/etc/pki/tls/cacert.pem',
    '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
    '/etc/ssl/cert.pem',
}

local function files_in(path)
    local files = {}
    for _, name in ipairs(fio.listdir(path) or {}) do
        table.insert(files, fio.pathjoin(path, name))
    end
    return files
end

local function authorities(opts)
    if opts.ca_file ~= nil then
        return {opts.ca_file}
    elseif opts.ca_path ~= nil then
        return files_in(opts.ca_path)
    elseif os.getenv('SSL_CERT_FILE') ~= nil then
        return {os.getenv('SSL_CERT_FILE')}
    elseif os.getenv('SSL_CERT_DIR') ~= nil then
        return files_in(os.getenv('SSL_CERT_DIR'))
    end
    for _, path in ipairs(AUTHORITIES) do
        if fio.path.exists(path) then
            return {path}
        end
    end
    return {}
end

local function tls_key(opts)
    return json.encode({
        tostring(opts.ca_file), tostring(opts.ca_path), tostring(opts.verify_peer),
        tostring(opts.verify_host), tostring(opts.ssl_key), tostring(opts.ssl_cert),
    })
end

local function tls_config(client, opts)
    local key = tls_key(opts)
    local config = client.tls_configs[key]
    if config == nil then
        config = native.tls_config({
            authorities = opts.verify_peer == false and {} or authorities(opts),
            verify_peer = opts.verify_peer ~= false,
            verify_host = opts.verify_host ~= false,
            key = opts.ssl_key, certificate = opts.ssl_cert,
        })
        client.tls_configs[key] = config
    end
    return config
end

-- Whether a host is named in no_proxy.
local function is_direct(host, list)
    for _, name in ipairs((list or ''):split(',')) do
        name = name:strip()
        if name == '*' or name ~= '' and
           (host == name or host:endswith((name:startswith('.') and '' or '.') .. name)) then
            return true
        end
    end
    return false
end

-- {host, port, authorization} of the proxy for a target, or nil.
local function proxy_of(target, opts)
    local text = opts.proxy
    if text == nil then
        text = os.getenv(target.scheme .. '_proxy') or os.getenv('all_proxy')
    end
    if text == nil or text == '' or opts.unix_socket ~= nil or
       is_direct(target.host, opts.no_proxy or os.getenv('no_proxy')) then
        return nil
    end
    if not text:find('://', 1, true) then
        text = 'http://' .. text
    end
    local parsed = uri.parse(text)
    if parsed == nil or parsed.host == nil then
        fail('resolve')
    end
    local login = opts.proxy_user_pwd
    if login == nil and parsed.login ~= nil then
        login = parsed.login .. ':' .. (parsed.password or '')
    end
    return {
        host = parsed.host,
        port = tonumber(opts.proxy_port or parsed.service or 1080),
        authorization = login and 'Basic ' .. digest.base64_encode(login, {nowrap = true}),
    }
end

local parse_response

-- Asks a proxy for a tunnel.
local function open_tunnel(request, connection, target, proxy)
    local address = ('%s:%d'):format(target.host, target.port)
    local lines = {('CONNECT %s HTTP/1.1'):format(address), 'Host: ' .. address}
    if proxy.authorization ~= nil then
        table.insert(lines, 'Proxy-Authorization: ' .. proxy.authorization)
    end
    local text = table.concat(lines, '\r\n') .. '\r\n\r\n'
    check(native.write(connection, text, left(request)))
    local response = parse_response(request, {connection = connection, input = ''})
    if response.status >= 300 then
        fail('system', ('CONNECT tunnel failed, response %d'):format(response.status))
    end
end

-- A connection ready for a request, from the cache if it may be.
local function open(request, target, may_reuse)
    local client, opts = request.client, request.opts
    local proxy = proxy_of(target, opts)
    local key = table.concat({
        target.scheme, target.host, target.port, opts.unix_socket or '',
        proxy and proxy.host .. ':' .. proxy.port or '', tls_key(opts),
    }, ' ')
    local cached = client.cache[key]
    if may_reuse and cached ~= nil and #cached > 0 then
        client.cached_count = client.cached_count - 1
        return table.remove(cached)
    end
    local connection
    if opts.unix_socket ~= nil then
        connection = check(native.connect(opts.unix_socket, nil, left(request)))
    else
        local peer = proxy or target
        connection = check(native.connect(peer.host, peer.port, left(request)))
    end
    client.stats.sockets_added = client.stats.sockets_added + 1
    local link = {connection = connection, input = '', key = key, proxy = proxy}
    request.link = link
    if target.scheme == 'https' then
        if proxy ~= nil then
            open_tunnel(request, connection, target, proxy)
            link.proxy = nil
        end
        local config = tls_config(client, opts)
        check(native.start_tls(connection, config, target.host, left(request)))
    end
    return link
end

local function close(client, link)
    if link.connection ~= nil then
        native.close(link.connection)
        link.connection = nil
        client.stats.sockets_deleted = client.stats.sockets_deleted + 1
    end
end

-- Gives a connection to the next request, or closes it.
local function release(client, link, is_reusable)
    local limit = client.max_connections
    if not is_reusable or link.connection == nil or limit >= 0 and client.cached_count >= limit then
        close(client, link)
        return
    end
    client.cache[link.key] = client.cache[link.key] or {}
    table.insert(client.cache[link.key], link)
    client.cached_count = client.cached_count + 1
end

-- }}} Connections

-- {{{ Requests and responses on a connection

-- Adds what has come; false at the end.
local function fill(request, link)
    local data = check(native.read(link.connection, left(request)))
    link.input = link.input .. data
    return data ~= ''
end

function parse_response(request, link)
    while true do
        local size, status, major, minor, reason, headers =
            native.parse_head(link.input, request.header_name_size_max)
        if size == false then
            fail('system', 'Weird server reply')
        elseif size ~= nil then
            link.input = link.input:sub(size + 1)
            -- 1xx say that the real one follows.
            if status >= 200 or status == 101 then
                return {
                    status = status, proto = {major, minor}, reason = reason, headers = headers,
                }
            end
        elseif #link.input > HEAD_SIZE_MAX then
            fail('system', 'Too large response headers')
        elseif not fill(request, link) then
            fail(link.input == '' and 'nothing' or 'system', 'Weird server reply')
        end
    end
end

local function last_of(value)
    return type(value) == 'table' and value[#value] or value
end

-- A reader of the body: next_part() returns a string, or nil at the end. `link.is_reusable` is set
-- when the connection is at the start of the next response then.
local function body_reader(request, link, method, response)
    local headers = response.headers
    local said = lower(last_of(headers.connection) or '')
    local keeps = request.keeps and not said:find('close', 1, true)
        and (response.proto[2] >= 1 or said:find('keep-alive', 1, true) ~= nil)
    local function done()
        link.is_reusable = keeps
    end
    local function take(size)
        local part = link.input:sub(1, size)
        link.input = link.input:sub(size + 1)
        return part
    end
    -- What has come of the `rest` bytes that are still to come, at least one.
    local function part_of(rest)
        if link.input == '' and not fill(request, link) then
            fail('system', 'Transferred a partial file')
        end
        return take(rest)
    end
    local status = response.status
    if method == 'HEAD' or status == 204 or status == 304 or
       method == 'CONNECT' and status < 300 then
        done()
        return function() return nil end
    end
    if lower(last_of(headers['transfer-encoding']) or ''):find('chunked', 1, true) then
        local rest, is_over, is_first = 0, false, true
        local function line()
            while true do
                local from, to = link.input:find('\r?\n')
                if from ~= nil then
                    return take(to):sub(1, from - 1)
                elseif #link.input > HEAD_SIZE_MAX or not fill(request, link) then
                    fail('encoding')
                end
            end
        end
        return function()
            if is_over then
                return nil
            end
            if rest == 0 then
                if not is_first then
                    line()
                end
                is_first = false
                rest = tonumber(line():match('^%s*(%x+)') or fail('encoding'), 16)
                if rest == 0 then
                    -- Headers may follow, which nobody asks for.
                    repeat until line() == ''
                    is_over = true
                    done()
                    return nil
                end
            end
            local part = part_of(rest)
            rest = rest - #part
            return part
        end
    end
    local size = headers['content-length']
    if size ~= nil then
        local rest = tonumber(type(size) == 'table' and size[1] or size)
        if rest == nil or rest < 0 then
            fail('system', 'Weird server reply')
        end
        return function()
            if rest == 0 then
                done()
                return nil
            end
            local part = part_of(rest)
            rest = rest - #part
            if rest == 0 then
                done()
            end
            return part
        end
    end
    return function()
        if link.input == '' and not fill(request, link) then
            return nil
        end
        return take(#link.input)
    end
end

local BODY_METHODS = {POST = true, PUT = true, PATCH = true}

-- The first lines of a request.
local function head_text(request, target, link)
    local opts, headers = request.opts, request.headers
    local is_keeping = (opts.keepalive_idle or 0) > 0 and (opts.keepalive_interval or 0) > 0
    local path = target.path
    if link.proxy ~= nil then
        path = ('%s://%s%s'):format(target.scheme, target.authority, path)
    elseif request.method == 'CONNECT' then
        path = ('%s:%d'):format(target.host, target.port)
    end
    local lines = {('%s %s HTTP/%s'):format(request.method, path, request.version)}
    local known = {}
    for name in pairs(headers) do
        known[lower(name)] = true
    end
    local function default(name, value)
        if value ~= nil and not known[lower(name)] then
            table.insert(lines, name .. ': ' .. value)
        end
    end
    default('Host', target.authority)
    default('Accept', '*/*')
    default('Connection', is_keeping and 'Keep-Alive' or 'close')
    request.keeps = (get_icase(headers, 'connection') or is_keeping and '' or 'close') ~= 'close'
    if is_keeping then
        default('Keep-Alive', 'timeout=' .. opts.keepalive_idle)
    end
    default('Authorization', target.authorization)
    default('Proxy-Authorization', link.proxy and link.proxy.authorization)
    default('Accept-Encoding', opts.accept_encoding)
    for name, value in pairs(headers) do
        local is_dropped = request.is_elsewhere and lower(name) == 'authorization'
        if not is_dropped then
            table.insert(lines, value == '' and name .. ';' or name .. ': ' .. value)
        end
    end
    if request.is_streamed then
        request.is_sized = known['content-length']
        if not request.is_sized then
            default('Transfer-Encoding', 'chunked')
        end
    elseif request.body ~= nil and (request.body ~= '' or BODY_METHODS[request.method]) then
        default('Content-Length', tostring(#request.body))
        if request.body ~= '' and BODY_METHODS[request.method] then
            default('Content-Type', 'application/x-www-form-urlencoded')
        end
    end
    return table.concat(lines, '\r\n') .. '\r\n\r\n'
end

local PORTS = {http = 80, https = 443}

local function parse_target(url)
    local parsed = uri.parse(url)
    if parsed ~= nil and parsed.scheme == nil then
        parsed = uri.parse('http://' .. url)
    end
    if parsed == nil or parsed.host == nil then
        fail('system', 'URL using bad/illegal format or missing URL')
    end
    local scheme = lower(parsed.scheme)
    if PORTS[scheme] == nil then
        fail('system', 'Unsupported protocol')
    end
    local host = parsed.ipv6 or parsed.host
    local shown = parsed.ipv6 ~= nil and '[' .. host .. ']' or host
    local path = parsed.path ~= nil and parsed.path ~= '' and parsed.path or '/'
    if parsed.query ~= nil then
        path = path .. '?' .. parsed.query
    end
    return {
        scheme = scheme, host = host, port = tonumber(parsed.service) or PORTS[scheme],
        authority = parsed.service and shown .. ':' .. parsed.service or shown,
        path = path:gsub('[%c ]', function(letter) return ('%%%02X'):format(letter:byte()) end),
        authorization = parsed.login and 'Basic ' .. digest.base64_encode(
            parsed.login .. ':' .. (parsed.password or ''), {nowrap = true}),
    }
end

-- Where a redirect leads.
local function follow(target, location)
    if location:match('^%a[%w+.-]*:') then
        return parse_target(location)
    elseif location:startswith('//') then
        return parse_target(target.scheme .. ':' .. location)
    end
    local base = target.scheme .. '://' .. target.authority
    if location:startswith('/') then
        return parse_target(base .. location)
    end
    local folder = target.path:match('^[^?]*'):match('^(.*/)') or '/'
    if location:startswith('?') then
        folder = target.path:match('^[^?]*')
    end
    return parse_target(base .. folder .. location)
end

-- Sends a request, reads the head of the response.
local function exchange(request, target)
    for attempt = 1, 2 do
        local link = open(request, target, attempt == 1)
        local is_cached = link.is_reusable ~= nil
        link.is_reusable = false
        request.link = link
        local ok, response = pcall(function()
            local text = head_text(request, target, link)
            if not request.is_streamed and request.body ~= nil then
                text = text .. request.body
            end
            check(native.write(link.connection, text, left(request)))
            if request.is_streamed then
                return nil
            end
            return parse_response(request, link)
        end)
        if ok then
            return link, response
        end
        close(request.client, link)
        -- A connection that waited may have been closed by the other side.
        local may_repeat = is_cached and attempt == 1 and type(response) == 'table' and
            (response.kind == 'nothing' or response.kind == 'io')
        if not may_repeat then
            error(response, 0)
        end
    end
end

local REDIRECTS = {[301] = true, [302] = true, [303] = true, [307] = true, [308] = true}

-- Changes the request to what a redirect wants; the new target, or nil if it is none.
local function redirected(request, target, response)
    local location = last_of(response.headers.location)
    if request.opts.follow_location == false or not REDIRECTS[response.status] or
       location == nil then
        return nil
    end
    local status, method = response.status, request.method
    if status == 303 and method ~= 'HEAD' or status <= 302 and method == 'POST' then
        request.method, request.body = 'GET', nil
    end
    local new = follow(target, location)
    if new.host ~= target.host or new.port ~= target.port or new.scheme ~= target.scheme then
        request.is_elsewhere = true
    elseif new.authorization == nil then
        new.authorization = target.authorization
    end
    return new
end

local function unpack_body(body, headers)
    local encoding = lower(last_of(headers['content-encoding']) or 'identity'):strip()
    if encoding == 'gzip' or encoding == 'x-gzip' or encoding == 'deflate' then
        return native.inflate(body, encoding == 'deflate' and 'deflate' or 'gzip') or
            fail('encoding')
    end
    return body
end

-- A whole request, redirects included: the response.
local function perform(request, url)
    local client = request.client
    local target = parse_target(url)
    for _ = 1, REDIRECT_COUNT_MAX + 1 do
        local link, response = exchange(request, target)
        local next_part = body_reader(request, link, request.method, response)
        local parts = {}
        for part in next_part do
            table.insert(parts, part)
        end
        release(client, link, link.is_reusable)
        request.link = nil
        local new = redirected(request, target, response)
        if new == nil then
            local body = table.concat(parts)
            if request.opts.accept_encoding ~= nil and body ~= '' then
                body = unpack_body(body, response.headers)
            end
            response.body = body ~= '' and body or nil
            return response
        end
        target = new
    end
    fail('system', 'Number of redirects hit maximum amount')
end

-- }}} Requests and responses on a connection

-- {{{ Streamed requests

local function reason_of(status)
    return status >= 100 and status < 400 and 'Ok' or 'Unknown'
end

local function count(client, status)
    local name = status == 200 and 'http_200_responses' or 'http_other_responses'
    client.stats[name] = client.stats[name] + 1
end

-- What a failure is for the caller: a status, or an error.
local function settle(client, problem)
    client.stats.failed_requests = client.stats.failed_requests + 1
    if type(problem) ~= 'table' or problem.kind == nil then
        error(problem, 0)
    end
    local known = REASONS[problem.kind]
    if known == nil then
        local texts = {tls = 'SSL connect error', io = 'Failure when receiving data from the peer'}
        box.error({
            type = 'SystemError', reason = 'curl: ' .. (texts[problem.kind] or problem.text),
        })
    end
    return {status = known[1], reason = known[2]}
end

local function finish_request(request)
    if not request.is_finished then
        request.is_finished = true
        local client = request.client
        client.stats.active_requests = client.stats.active_requests - 1
        client.changed:signal()
        if request.link ~= nil then
            close(client, request.link)
            request.link = nil
        end
    end
end

local io_methods = {}

-- Runs a step of a streamed request with a time of its own.
local function io_step(self, timeout, step)
    local request = self._internal.request
    request.deadline = clock.monotonic() + (timeout or IO_TIMEOUT)
    local ok, result = pcall(step, request)
    if ok then
        return result
    end
    finish_request(request)
    return settle(request.client, result)
end

-- What a step returns: its result, or `failed` if that is a problem, which is then the request's.
local function step_result(self, result, failed)
    if type(result) ~= 'table' then
        return result
    end
    if result.status == 408 then
        box.error({type = 'TimedOut', reason = 'timed out'})
    end
    self.status, self.reason = result.status, result.reason
    return failed
end

-- Ends the body that is sent, and reads the head of the response.
local function start_response(self, request)
    if self._internal.next_part ~= nil then
        return
    end
    if request.is_streamed then
        if not request.is_sized then
            check(native.write(request.link.connection, '0\r\n\r\n', left(request)))
        end
        self._internal.response = parse_response(request, request.link)
    end
    local response = self._internal.response
    self._internal.next_part = body_reader(request, request.link, request.method, response)
    self.headers = content.join_headers(response.headers)
end

local function matches(buffer, limit, delimiters)
    local shortest
    for _, delimiter in ipairs(delimiters or {}) do
        local _, to = buffer:find(delimiter, 1, true)
        if to ~= nil and (shortest == nil or to < shortest) then
            shortest = to
        end
    end
    if shortest ~= nil and shortest <= limit then
        return shortest
    end
    return #buffer >= limit and limit or nil
end

-- Reads a size, up to a delimiter, or {chunk = , delimiter = }. An empty string is the end.
function io_methods.read(self, opts, timeout)
    local limit, delimiters = IO_SIZE_MAX, nil
    if type(opts) == 'number' then
        limit = opts
    elseif type(opts) == 'string' then
        delimiters = {opts}
    elseif type(opts) == 'table' then
        limit, delimiters = opts.chunk or IO_SIZE_MAX, opts.delimiter
        if type(delimiters) == 'string' then
            delimiters = {delimiters}
        end
    else
        error('Usage: io:read(delimiter|chunk|{delimiter = x, chunk = x}, timeout)')
    end
    if limit < 0 then
        error('io:read(): chunk size can not be negative')
    end
    local state = self._internal
    local result = io_step(self, timeout, function(request)
        if request.is_finished and state.buffer == '' then
            return ''
        end
        if not request.is_finished then
            start_response(self, request)
        end
        while true do
            local size = matches(state.buffer, limit, delimiters)
            local part = not size and not state.is_over and state.next_part() or nil
            if part == nil then
                state.is_over = state.is_over or not size
                size = size or #state.buffer
                local data = state.buffer:sub(1, size)
                state.buffer = state.buffer:sub(size + 1)
                return data
            end
            state.buffer = state.buffer .. part
        end
    end)
    return step_result(self, result, '')
end

-- Sends a part of the body; how many bytes.
function io_methods.write(self, data, timeout)
    if not self._internal.request.is_streamed then
        refuse('io: HTTP request method with no body to send')
    end
    local result = io_step(self, timeout, function(request)
        if data == '' then
            return 0
        end
        local text = request.is_sized and data or ('%x\r\n%s\r\n'):format(#data, data)
        check(native.write(request.link.connection, text, left(request)))
        return #data
    end)
    return step_result(self, result, -1)
end

-- Reads what is left and ends the request; then it has a status.
function io_methods.finish(self, timeout)
    local request = self._internal.request
    if request.is_finished then
        return
    end
    local result = io_step(self, timeout, function()
        start_response(self, request)
        while not self._internal.is_over and self._internal.next_part() ~= nil do end
        local link = request.link
        request.link = nil
        release(request.client, link, link.is_reusable)
        finish_request(request)
        local status = self._internal.response.status
        count(request.client, status)
        return {status = status, reason = reason_of(status)}
    end)
    self.status, self.reason = result.status, result.reason
end

local io_mt = {__index = io_methods}

-- }}} Streamed requests

-- {{{ Clients

local VERSIONS = {
    ['1.1'] = '1.1', ['1.0'] = '1.0',
    -- Where the server cannot do better, and this client cannot, it is 1.1.
    ['2'] = '1.1', ['2-tls'] = '1.1',
}

local QUERY_METHODS = {GET = true, HEAD = true, DELETE = true}

-- The URL and the body with the parameters in the one or the other.
local function add_params(method, url, body, params)
    local is_query = QUERY_METHODS[method]
    local escape = is_query and uri.QUERY_PART or uri.FORM_URLENCODED
    local text = uri._internal.params(params, escape)
    if is_query then
        return ('%s?%s'):format(url, text), body
    elseif body then
        error('use either body or http params')
    end
    return url, text
end

local function make_request(client, method, body, opts)
    local version = VERSIONS[opts.http_version or '1.1']
    if version == nil then
        refuse('Not a supported http version: ' .. tostring(opts.http_version))
    elseif opts.chunked == true and opts.accept_encoding ~= nil then
        refuse('accept_encoding cannot be used with chunked')
    end
    local timeout = opts.timeout or FOREVER
    return {
        client = client, method = method, body = body, opts = opts, headers = opts.headers,
        version = version, deadline = clock.monotonic() + timeout,
        is_streamed = opts.chunked == true and BODY_METHODS[method] or false,
        header_name_size_max = opts.max_header_name_length or HEADER_NAME_SIZE_MAX,
    }
end

-- Waits until the client may have another active request.
local function wait_turn(client, request)
    while client.max_total > 0 and client.stats.active_requests >= client.max_total do
        local ok, signalled = pcall(client.changed.wait, client.changed, math.max(0, left(request)))
        if not ok or not signalled and left(request) <= 0 then
            fail('timeout')
        end
    end
    client.stats.active_requests = client.stats.active_requests + 1
    client.stats.total_requests = client.stats.total_requests + 1
end

local function start_stream(client, request, url)
    local io = setmetatable({_internal = {request = request, buffer = ''}}, io_mt)
    local ok, problem = pcall(function()
        wait_turn(client, request)
        local link, response = exchange(request, parse_target(url))
        request.link = link
        io._internal.response = response
        if response ~= nil then
            start_response(io, request)
        elseif request.body ~= nil and request.body ~= '' then
            io:write(request.body, left(request))
        end
    end)
    if not ok then
        finish_request(request)
        local result = settle(client, problem)
        io.status, io.reason = result.status, result.reason
        io._internal.is_over = true
    end
    return io
end

local methods = {}

local response_mt = {
    __index = {decode = content.decode_body},
    __serialize = require('internal.table').public,
}

function methods.request(self, method, url, body, opts)
    if not method or not url then
        error('request(method, url[, body, [options]])')
    end
    method = method:upper()
    opts = opts or {}
    opts.headers = type(opts.headers) == 'nil' and {} or opts.headers
    content.check_headers(opts.headers)
    if opts.params then
        url, body = add_params(method, url, body, opts.params)
    end
    if BODY_METHODS[method] then
        local content_type = get_icase(opts.headers, 'content-type')
        if content_type == nil then
            content_type = DEFAULT_TYPE
            if content.OBJECTS[type(body)] and body ~= nil then
                opts.headers['content-type'] = DEFAULT_TYPE
            end
        end
        body = content.encode_body(body, content_type, self.encoders)
    elseif body ~= nil and type(body) ~= 'string' and type(body) ~= 'number' then
        error('fourth argument must be a string')
    end
    local client = self.curl
    local request = make_request(client, method, body and tostring(body), opts)
    if opts.chunked == true then
        return start_stream(client, request, url)
    end
    local ok, response = pcall(function()
        wait_turn(client, request)
        return perform(request, url)
    end)
    finish_request(request)
    if ok then
        response.reason = reason_of(response.status)
        count(client, response.status)
        if response.headers['set-cookie'] ~= nil then
            response.cookies = content.parse_cookies(response.headers['set-cookie'])
        end
        response.headers = content.join_headers(response.headers)
    else
        response = settle(client, response)
    end
    response.url = url
    response._decoders = self.decoders
    return setmetatable(response, response_mt)
end

for _, name in ipairs({'get', 'options', 'head', 'delete', 'trace', 'connect'}) do
    methods[name] = function(self, url, options)
        if type(self) ~= 'table' then
            error(('Use client:%s(...) instead of client.%s(...):'):format(name, name), 2)
        end
        return self:request(name, url, nil, options)
    end
end

for _, name in ipairs({'post', 'put', 'patch'}) do
    methods[name] = function(self, url, body, options)
        if type(self) ~= 'table' then
            error(('Use client:%s(...) instead of client.%s(...):'):format(name, name), 2)
        end
        return self:request(name, url, body, options)
    end
end

function methods.stat(self)
    return table.copy(self.curl.stats)
end

local client_mt = {__index = methods}

local function new(opts)
    opts = type(opts) == 'table' and opts or {}
    return setmetatable({
        curl = {
            max_connections = opts.max_connections or -1,
            max_total = opts.max_total_connections or 0,
            cache = {}, cached_count = 0, tls_configs = {}, changed = fiber.cond(),
            stats = {
                active_requests = 0, sockets_added = 0, sockets_deleted = 0, total_requests = 0,
                http_200_responses = 0, http_other_responses = 0, failed_requests = 0,
            },
        },
        encoders = table.copy(encoders),
        decoders = table.copy(decoders),
    }, client_mt)
end

-- }}} Clients

local default = new()

local module = {
    new = function(opts) return new(opts) end,
    encoders = table.copy(encoders),
    decoders = table.copy(decoders),
    curl = default.curl,
    _internal = {
        default_content_type = DEFAULT_TYPE,
        encode_body = content.encode_body,
        decode_body = content.decode_body,
        extract_mime_type = content.extract_mime_type,
        get_icase = get_icase,
    },
}

for _, name in ipairs({'get', 'delete', 'trace', 'options', 'head', 'connect', 'post', 'put',
                       'patch', 'request'}) do
    module[name] = function(...) return default[name](default, ...) end
end

return module
