-- http.client over TLS, to servers of OpenSSL; the certificates are here.
local client = require('http.client')
local popen = require('popen')
local tap = require('tap')

local test = tap.test('https')
test:plan(8)

local UNTRUSTED = {495, 'SSL peer certificate or SSH remote key was not OK'}

-- A server with more options: its port and its process.
local function serve(more)
    local process = popen.shell(('exec openssl s_server -accept 127.0.0.1:0 -www -cert server.crt '
        .. '-key server.key -CAfile ca.crt %s 2>&1'):format(more or ''), 'rw')
    local said = ''
    while not said:match('ACCEPT [%d.]+:(%d+)\n') do
        local part = process:read({timeout = 20})
        assert(part ~= nil and part ~= '', said)
        said = said .. part
    end
    return tonumber(said:match('ACCEPT [%d.]+:(%d+)\n')), process
end

local function get(host, port, options)
    options.timeout = 20
    local response = client.get(('https://%s:%d/'):format(host, port), options)
    return {response.status, response.reason}
end

local port, server = serve()
test:is_deeply(get('localhost', port, {ca_file = 'ca.crt'}), {200, 'Ok'}, 'a known server')
test:is_deeply(get('localhost', port, {ca_file = 'other_ca.crt'}), UNTRUSTED, 'an unknown one')
test:is_deeply(get('127.0.0.1', port, {ca_file = 'ca.crt'}), UNTRUSTED, 'one of another name')
test:is_deeply(get('127.0.0.1', port, {ca_file = 'ca.crt', verify_host = false}), {200, 'Ok'},
    'whose name does not matter')
test:is_deeply(get('localhost', port, {ca_file = 'other_ca.crt', verify_host = false}), UNTRUSTED,
    'an unknown one of any name')
test:is_deeply(get('127.0.0.1', port, {verify_peer = false}), {200, 'Ok'}, 'nothing matters')
server:close()

port, server = serve('-Verify 1 -verify_return_error')
test:is_deeply(get('localhost', port, {
    ca_file = 'ca.crt', ssl_cert = 'client.crt', ssl_key = 'client.key',
}), {200, 'Ok'}, 'who has a certificate may come in')
local ok, response = pcall(get, 'localhost', port, {ca_file = 'ca.crt'})
test:ok(not ok or response[1] ~= 200, 'who has none may not')
server:close()

os.exit(test:check() and 0 or 1)
