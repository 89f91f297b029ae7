-- The binary protocol over TLS, between this instance and itself; the certificates are here.
local fio = require('fio')
local net_box = require('net.box')
local tap = require('tap')

local test = tap.test('tls')
test:plan(58)

local function message(run, ...)
    local ok, err = pcall(run, ...)
    return ok and 'done' or tostring(err)
end

local function params(extra)
    local result = {transport = 'ssl', ssl_cert_file = 'server.crt', ssl_key_file = 'server.key'}
    for name, value in pairs(extra or {}) do
        result[name] = value
    end
    return result
end

local function listen(extra)
    box.cfg{listen = {uri = '127.0.0.1:0', params = params(extra)}}
    return box.info.listen
end

local function connect(uri, extra, options)
    local given = {transport = 'ssl'}
    for name, value in pairs(extra or {}) do
        given[name] = value
    end
    return net_box.connect({uri = uri, params = given}, options)
end

-- Without a database yet: what cannot work is refused.
local place = {uri = '127.0.0.1:0', params = {transport = 'ssl'}}
test:is(message(box.cfg, {listen = place}),
    'ssl_key_file and ssl_cert_file parameters are mandatory for a server', 'no key')
box.cfg{}
box.schema.user.create('alice', {password = 'secret'})
box.schema.user.grant('alice', 'super')

--
-- Servers
--

local function refused(extra)
    return message(box.cfg, {listen = {uri = '127.0.0.1:0', params = params(extra)}})
end
place.params = {transport = 'tls'}
test:is(message(box.cfg, {listen = place}), 'Invalid transport: tls', 'an unknown transport')
test:is(refused({ssl_key_file = 'none'}),
    'Unable to set private key file: none: open: No such file or directory', 'no key file')
test:is(refused({ssl_cert_file = 'none'}),
    'Unable to set certificate file: none: open: No such file or directory', 'no certificate file')
test:is(refused({ssl_cert_file = 'server.key'}),
    'Unable to set certificate file: server.key: no certificate in it', 'a key as certificate')
test:is(refused({ssl_key_file = 'server.crt'}),
    'Unable to set private key file: server.crt: no private key in it', 'a certificate as key')
test:is(refused({ssl_key_file = 'client.key'}),
    'Unable to set private key file: client.key: key values mismatch', "another's key")
test:is(refused({ssl_ca_file = 'none'}),
    'Unable to set CA file: none: open: No such file or directory', 'no CA file')
test:is(refused({ssl_ciphers = 'NONE:NULL'}), 'Unable to set cipher list: NONE:NULL', 'ciphers')
for _, key in ipairs({'server.enc.key', 'server.old.key'}) do
    local bad = ('Unable to set private key file: %s: bad decrypt'):format(key)
    test:is(refused({ssl_key_file = key}), bad, key .. ' without a password')
    test:is(refused({ssl_key_file = key, ssl_password = '1'}), bad, key .. ': wrong password')
    test:is(refused({ssl_key_file = key, ssl_password_file = 'wrong_passwords'}), bad,
        key .. ': wrong passwords')
    for _, extra in ipairs({
        {ssl_password = '1qaz'}, {ssl_password_file = 'passwords'},
        {ssl_password = '1', ssl_password_file = 'passwords'},
    }) do
        extra.ssl_key_file = key
        test:ok(connect(listen(extra)):ping(), key .. ' with a password')
    end
end

--
-- Clients
--

local uri = listen()
local connection = connect(uri, nil, {user = 'alice', password = 'secret'})
test:is(connection.state, 'active', 'a client that trusts everybody')
test:is(connection:eval('return box.session.user()'), 'alice', 'who authenticates')
test:is(connection:eval('return box.session.peer()') ~= nil, true, 'and has a peer')
local large = ('x'):rep(5e6)
test:ok(connection:eval('return ...', {large}) == large, 'large packets in both directions')
local futures = {}
for i = 1, 200 do
    futures[i] = connection:eval('return ...', {('y'):rep(10000)}, {is_async = true})
end
local complete = 0
for _, future in ipairs(futures) do
    complete = complete + (#future:wait_result(60)[1] == 10000 and 1 or 0)
end
test:is(complete, 200, 'many requests at once')
connection:close()

test:ok(connect(uri, {ssl_ca_file = 'ca.crt'}):ping(), 'a client that knows the authority')
connection = connect(uri, {ssl_ca_file = 'other_ca.crt'})
test:like(connection.error, 'Init session error: .*UnknownIssuer', 'one that knows another')
connection = connect(uri .. '?transport=ssl&ssl_ca_file=ca.crt')
test:ok(net_box.connect(uri .. '?transport=ssl&ssl_ca_file=ca.crt'):ping(), 'parameters in a URI')
connection = net_box.connect({uri = uri}, {connect_timeout = 0.3})
test:is(connection.state, 'error', 'a plain client of a TLS server')
connection = connect(uri, {ssl_ciphers = 'ECDHE-RSA-AES256-GCM-SHA384'})
test:like(connection.error, 'Init session error', 'no cipher in common')
test:ok(connect(uri, {ssl_ciphers = 'ECDHE-ECDSA-AES256-GCM-SHA384'}):ping(), 'one in common')
connection = connect(uri, {ssl_key_file = 'client.key', ssl_cert_file = 'none'})
test:like(connection.error, 'Unable to set certificate file: none', 'a client without its file')

uri = listen({ssl_ca_file = 'ca.crt'})
connection = connect(uri, {ssl_key_file = 'client.key', ssl_cert_file = 'client.crt'})
test:ok(connection:ping(), 'a client with a certificate')
test:like(connect(uri).error, 'Init session error', 'a client without one')
connection = connect(uri, {ssl_key_file = 'other.key', ssl_cert_file = 'other.crt'})
test:like(connection.error, 'Init session error', "a client with another authority's")

listen({ssl_ca_file = 'ca.crt', ssl_verify_client = 'off'})
test:ok(connect(box.info.listen):ping(), 'a server that asks for no certificate')
connection = connect(box.info.listen, {ssl_key_file = 'other.key', ssl_cert_file = 'other.crt'})
test:ok(connection:ping(), 'and looks at none')
listen({ssl_ca_file = 'ca.crt', ssl_verify_client = 'optional'})
test:ok(connect(box.info.listen):ping(), 'one to which clients may come without')
connection = connect(box.info.listen, {ssl_key_file = 'client.key', ssl_cert_file = 'client.crt'})
test:ok(connection:ping(), 'and with a certificate')
connection = connect(box.info.listen, {ssl_key_file = 'other.key', ssl_cert_file = 'other.crt'})
test:like(connection.error, 'Init session error', "but not with another authority's")
test:is(refused({ssl_verify_client = 'on'}),
    'ssl_ca_file parameter is mandatory to verify clients', 'verification without an authority')
test:is(refused({ssl_ca_file = 'ca.crt', ssl_verify_client = 'maybe'}),
    'Invalid ssl_verify_client: maybe', 'an unknown way to verify')

--
-- New certificates
--

local function copy(from, to)
    fio.copyfile(from .. '.crt', to .. '.crt')
    fio.copyfile(from .. '.key', to .. '.key')
end
copy('server', 'current')
local current = {ssl_cert_file = 'current.crt', ssl_key_file = 'current.key'}
uri = listen(current)
local old = connect(uri, {ssl_ca_file = 'ca.crt'})
copy('other', 'current')
test:ok(connect(uri, {ssl_ca_file = 'ca.crt'}):ping(), 'the old certificate serves')
box.cfg{listen = box.cfg.listen}
test:is(box.info.listen, uri, 'the same socket')
test:ok(connect(uri, {ssl_ca_file = 'other_ca.crt'}):ping(), 'with a new certificate')
test:is(connect(uri, {ssl_ca_file = 'ca.crt'}).state, 'error', 'instead of the old one')
test:ok(old:ping(), 'who was connected stays so')
fio.unlink('current.key')
test:like(message(box.cfg, {listen = box.cfg.listen}), 'Unable to set private key file',
    'a certificate that is gone')
test:ok(connect(uri, {ssl_ca_file = 'other_ca.crt'}):ping(), 'leaves the last one')

box.cfg{listen = '127.0.0.1:0'}
connection = connect(box.info.listen, nil, {connect_timeout = 0.3})
test:is(connection.state, 'error', 'a TLS client of a plain server')

local path = 'unix/:' .. fio.cwd() .. '/tls.sock'
box.cfg{listen = {uri = path, params = params()}}
test:ok(connect(path):ping(), 'over a Unix socket')
box.cfg{listen = {
    {uri = '127.0.0.1:0', params = params()}, {uri = '127.0.0.1:0', params = {transport = 'plain'}},
}}
test:ok(connect(box.info.listen[1]):ping() and net_box.connect(box.info.listen[2]):ping(),
    'a plain and a TLS port')

--
-- The password itself as proof
--

box.cfg{listen = {uri = '127.0.0.1:0', params = params()}, auth_type = 'pap-sha256'}
uri = box.info.listen
box.schema.user.create('bob', {password = 'secret'})
box.schema.user.grant('bob', 'super')
connection = connect(uri, nil, {user = 'bob', password = 'secret'})
test:is(connection:eval('return box.session.user()'), 'bob', 'by the method that the server names')
connection = connect(uri, nil, {user = 'bob', password = 'secret', auth_type = 'pap-sha256'})
test:is(connection.state, 'active', 'by the method that the client names')
connection = connect(uri, {auth_type = 'pap-sha256'}, {user = 'bob', password = 'Secret'})
test:is(connection.error, 'User not found or supplied credentials are invalid', 'a wrong password')
connection = connect(uri, nil, {user = 'alice', password = 'secret'})
test:is(connection.error, 'User not found or supplied credentials are invalid',
    'a password that is kept in the other way')
connection = connect(uri, {auth_type = 'chap-sha1'}, {user = 'alice', password = 'secret'})
test:is(connection.state, 'active', 'is proved in that way')

os.exit(test:check() and 0 or 1)
