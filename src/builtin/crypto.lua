-- crypto: digests, keyed digests and ciphers, whole or piece by piece.

local native = ...

local error, pairs, setmetatable, type = error, pairs, setmetatable, type

local DIGESTS = {'md4', 'md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'ripemd160'}
local ALGORITHMS = {none = 0, aes128 = 1, aes192 = 2, aes256 = 3, des = 4}
local MODES = {ecb = 0, cbc = 1, cfb = 2, ofb = 3}
local DIRECTIONS = {'encrypt', 'decrypt'}

-- {{{ Digests

-- What digests and keyed digests have in common. `start` begins anew.
local function running(what, start)
    local methods = {}

    function methods.init(self, ...)
        if self.ctx == nil then
            error(what .. " context isn't usable")
        end
        self.ctx = start(self, ...)
        self.initialized = true
    end

    function methods.update(self, input)
        if not self.initialized then
            error(what .. ' not initialized')
        end
        native.update(self.ctx, input)
    end

    function methods.result(self)
        if not self.initialized then
            error(what .. ' not initialized')
        end
        self.initialized = false
        return native.result(self.ctx)
    end

    function methods.free(self)
        self.ctx = nil
        self.initialized = false
    end

    return {__index = methods}
end

local digest_mt = running('Digest', function(self) return native.digest(self.class) end)
local hmac_mt = running('HMAC', function(self, key) return native.hmac(self.class, key) end)

local function new_digest(class)
    return setmetatable({class = class, ctx = native.digest(class), initialized = true}, digest_mt)
end

local function new_hmac(class, key)
    if key == nil then
        error('Key should be specified for HMAC operations')
    end
    return setmetatable({class = class, ctx = native.hmac(class, key), initialized = true}, hmac_mt)
end

local digest, hmac = {}, {}
for _, class in pairs(DIGESTS) do
    digest[class] = setmetatable({new = function() return new_digest(class) end}, {
        __call = function(_, text)
            if type(text) ~= 'string' then
                error('Usage: digest.' .. class .. '(string)')
            end
            local ctx = new_digest(class)
            ctx:update(text)
            return ctx:result()
        end,
    })
    hmac[class] = setmetatable({new = function(key) return new_hmac(class, key) end}, {
        __call = function(_, key, text)
            if type(text) ~= 'string' then
                error('Usage: hmac.' .. class .. '(key, string)')
            end
            local ctx = new_hmac(class, key)
            ctx:update(text)
            return ctx:result()
        end,
    })
    hmac[class .. '_hex'] = function(key, text)
        if type(text) ~= 'string' then
            error('Usage: hmac.' .. class .. '_hex(key, string)')
        end
        return hmac[class](key, text):hex()
    end
end
setmetatable(digest, {__index = function(_, name)
    error('Digest method "' .. name .. '" is not supported')
end})
setmetatable(hmac, {__index = function(_, name)
    error('HMAC method "' .. name .. '" is not supported')
end})

-- }}} Digests

-- {{{ Ciphers

local cipher_methods = {}
local cipher_mt = {__index = cipher_methods}

-- Begins anew, with what is given of key and initial vector; it can when it knows both.
function cipher_methods.init(self, key, iv)
    if self.parameters == nil then
        error("Cipher context isn't usable")
    end
    self.key, self.iv = key or self.key, iv or self.iv
    if self.key ~= nil and self.iv ~= nil then
        local algorithm, mode, direction = unpack(self.parameters)
        self.ctx = native.cipher(algorithm, mode, direction, self.key, self.iv)
        self.is_initialized = true
    end
end

function cipher_methods.update(self, input)
    if not self.is_initialized then
        error('Cipher not initialized')
    elseif type(input) ~= 'string' then
        error('Usage: cipher:update(string)')
    end
    return native.cipher_update(self.ctx, input)
end

function cipher_methods.result(self)
    if not self.is_initialized then
        error('Cipher not initialized')
    end
    self.is_initialized = false
    return native.cipher_result(self.ctx)
end

function cipher_methods.free(self)
    self.parameters, self.ctx, self.key, self.iv = nil, nil, nil, nil
    self.is_initialized = false
end

local function new_cipher(algorithm, mode, direction, key, iv)
    local self = {parameters = {algorithm, mode, direction}, is_initialized = false}
    setmetatable(self, cipher_mt):init(key, iv)
    return self
end

local cipher = setmetatable({}, {__index = function(_, name)
    error('Cipher method "' .. name .. '" is not supported')
end})
for algorithm in pairs(ALGORITHMS) do
    cipher[algorithm] = setmetatable({}, {__index = function(_, name)
        error('Cipher mode ' .. name .. ' is not supported')
    end})
    for mode in pairs(MODES) do
        local directions = {}
        for _, direction in pairs(DIRECTIONS) do
            directions[direction] = setmetatable({
                new = function(key, iv) return new_cipher(algorithm, mode, direction, key, iv) end,
            }, {
                __call = function(_, text, key, iv)
                    local ctx = new_cipher(algorithm, mode, direction, key, iv)
                    return ctx:update(text) .. ctx:result()
                end,
            })
        end
        cipher[algorithm][mode] = directions
    end
end

-- }}} Ciphers

local methods = {cipher = cipher, digest = digest, hmac = hmac}

return setmetatable({cipher_algo = ALGORITHMS, cipher_mode = MODES}, {
    __index = methods,
    __serialize = function() return methods end,
})
