-- A server of the binary protocol over TLS, which asks clients for certificates: prints where it
-- listens.
box.cfg{listen = {uri = '127.0.0.1:0', params = {
    transport = 'ssl', ssl_cert_file = 'server.crt', ssl_key_file = 'server.old.key',
    ssl_password_file = 'passwords', ssl_ca_file = 'ca.crt',
}}}
box.schema.user.create('alice', {password = 'secret'})
box.schema.user.grant('alice', 'super')
print('listening at ' .. box.info.listen)
io.stdout:flush()
