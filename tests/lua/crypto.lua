-- Claims about crypto: digests, keyed digests and ciphers, beside values of OpenSSL.
local crypto = require('crypto')
local tap = require('tap')

local test = tap.test('crypto')
test:plan(4)

local function fails(t, message, fn, ...)
    local ok, problem = pcall(fn, ...)
    t:ok(not ok and tostring(problem):find(message, 1, true) ~= nil, message,
        {got = tostring(problem)})
end

test:test('digests', function(t)
    t:plan(9)
    t:is(crypto.digest.md4('abc'):hex(), 'a448017aaf21d8525fc10ae87aa6729d', 'md4')
    t:is(crypto.digest.md5('abc'):hex(), '900150983cd24fb0d6963f7d28e17f72', 'md5')
    t:is(crypto.digest.sha1('abc'):hex(), 'a9993e364706816aba3e25717850c26c9cd0d89d', 'sha1')
    t:is(crypto.digest.sha256('abc'):hex(),
        'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', 'sha256')
    t:is(crypto.digest.ripemd160('abc'):hex(), '8eb208f7e05d987a9b044a8e98c6b087f15a0bfc',
        'ripemd160')
    local pieces = crypto.digest.sha1.new()
    pieces:update('a')
    pieces:update('bc')
    t:is(pieces:result(), crypto.digest.sha1('abc'), 'in pieces')
    fails(t, 'Digest not initialized', pieces.update, pieces, 'd')
    pieces:init()
    pieces:update('abc')
    t:is(pieces:result(), crypto.digest.sha1('abc'), 'and again')
    fails(t, 'Digest method "x" is not supported', function() return crypto.digest.x end)
end)

test:test('keyed digests', function(t)
    t:plan(5)
    t:is(crypto.hmac.sha256_hex('key', 'The quick brown fox jumps over the lazy dog'),
        'f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8', 'sha256')
    t:is(crypto.hmac.md5('key', 'The quick brown fox jumps over the lazy dog'):hex(),
        '80070713463e7749b90c2dc24911e275', 'md5')
    local pieces = crypto.hmac.sha1.new('key')
    pieces:update('a')
    pieces:update('b')
    t:is(pieces:result(), crypto.hmac.sha1('key', 'ab'), 'in pieces')
    fails(t, 'Key should be specified for HMAC operations', crypto.hmac.sha1.new)
    fails(t, 'HMAC method "x" is not supported', function() return crypto.hmac.x end)
end)

test:test('ciphers', function(t)
    t:plan(24)
    local key, iv = '0123456789abcdef', 'fedcba9876543210'
    local plain = 'a text of more than one block'
    local known = {
        cbc = '150b16c20d1bcab65e45e4607a7fc9d2912583f018b11c8252b60ee69abee101',
        ecb = 'da68f772f8e1076d5684d82ee486a94b78548bc25c661c7753141b7d4c92157a',
        cfb = '6a6ba2148e045f66de18aeb9b8794a495de37b01cf11b6feccfa3e0e5d',
        ofb = '6a6ba2148e045f66de18aeb9b8794a4920e54e63101441c4c0f5dd0575',
    }
    for mode, expected in pairs(known) do
        local cipher = crypto.cipher.aes128[mode]
        local vector = mode == 'ecb' and '' or iv
        local encrypted = cipher.encrypt(plain, key, vector)
        t:is(encrypted:hex(), expected, mode)
        t:is(cipher.decrypt(encrypted, key, vector), plain, mode .. ' back')
        local pieces, back = cipher.encrypt.new(key, vector), cipher.decrypt.new(key, vector)
        local out = ''
        for i = 1, #plain do
            out = out .. pieces:update(plain:sub(i, i))
        end
        t:is(out .. pieces:result(), encrypted, mode .. ' in pieces')
        out = ''
        for i = 1, #encrypted do
            out = out .. back:update(encrypted:sub(i, i))
        end
        t:is(out .. back:result(), plain, mode .. ' back in pieces')
    end
    t:is(crypto.cipher.aes192.cbc.encrypt(plain, key .. '01234567', iv):hex(),
        '03837af49a1ca51ddd8ec1b48f7bdbaf273568b58e7e26d6349bde91110ded06', 'aes192')
    t:is(crypto.cipher.aes256.cbc.encrypt(plain, key .. key, iv):hex(),
        '4ea0112d13e0bbeca86dba90f7a1f5e34bda6f7f7d6c4ebf54df92a90cf35ec4', 'aes256')
    local des = crypto.cipher.des.cbc
    t:is(des.decrypt(des.encrypt(plain, '01234567', '76543210'), '01234567', '76543210'), plain,
        'des')
    t:is(crypto.cipher.none.cbc.encrypt(plain, '', ''), plain, 'none')
    for _, size in ipairs({0, 15, 16, 17}) do
        local text = ('x'):rep(size)
        t:is(crypto.cipher.aes128.cbc.decrypt(crypto.cipher.aes128.cbc.encrypt(text, key, iv), key,
            iv), text, size .. ' bytes')
    end
end)

test:test('errors', function(t)
    t:plan(7)
    local key, iv = '0123456789abcdef', 'fedcba9876543210'
    local cipher = crypto.cipher.aes128.cbc
    fails(t, 'key size expected 16, got 1', cipher.encrypt, 'x', '1', iv)
    fails(t, 'IV size expected 16, got 1', cipher.encrypt, 'x', key, '1')
    fails(t, 'OpenSSL error: ', cipher.decrypt, ('x'):rep(32), key, iv)
    fails(t, 'OpenSSL error: wrong final block length', cipher.decrypt, 'x', key, iv)
    local pieces = cipher.encrypt.new()
    fails(t, 'Cipher not initialized', pieces.update, pieces, 'x')
    fails(t, 'Cipher mode x is not supported', function() return crypto.cipher.aes128.x end)
    fails(t, 'Cipher method "x" is not supported', function() return crypto.cipher.x end)
end)

os.exit(test:check() and 0 or 1)
