-- digest: message digests, checksums, hashes, base64, key derivation and AES.

local ffi = require('ffi')
local native = ...

local type = type

local CRC_BEGIN = 4294967295
local MURMUR_SEED = 13
local PBKDF2_ITERATIONS, PBKDF2_SIZE = 100000, 128

ffi.cdef([[
    struct murmur_state {
        uint32_t hash;
        uint32_t total;
        uint8_t tail[4];
        uint32_t tail_size;
    };
]])

local crc32_calc = ffi.cast('uint32_t (*)(uint32_t, const char *, size_t)', native.crc32_update)
local guava = ffi.cast('int32_t (*)(uint64_t, int32_t)', native.guava)
local murmur_process = ffi.cast('void (*)(struct murmur_state *, const char *, size_t)',
                                native.murmur_process)
local murmur_result = ffi.cast('uint32_t (*)(const struct murmur_state *)', native.murmur_result)

local function illegal(message)
    box.error(box.error.ILLEGAL_PARAMS, message, 3)
end

-- Streaming hashes ------------------------------------------------------------------------

local murmur = {default_seed = MURMUR_SEED}

local murmur_mt = {__index = {
    update = function(self, data)
        if type(data) ~= 'string' then
            illegal('Usage: murhash:update(string)')
        end
        murmur_process(self.state, data, #data)
    end,
    result = function(self)
        return murmur_result(self.state)
    end,
    clear = function(self)
        ffi.fill(self.state, ffi.sizeof(self.state))
        self.state.hash = self.default_seed
    end,
    copy = function(self)
        local new = murmur.new({seed = self.default_seed})
        ffi.copy(new.state, self.state, ffi.sizeof(self.state))
        return new
    end,
}}

function murmur.new(opts)
    local seed = opts and opts.seed or MURMUR_SEED
    local state = ffi.new('struct murmur_state')
    state.hash = seed
    return setmetatable({default_seed = seed, state = state}, murmur_mt)
end

setmetatable(murmur, {
    __call = function(_, data)
        if type(data) ~= 'string' then
            illegal('Usage: digest.murhash(string)')
        end
        local state = ffi.new('struct murmur_state')
        state.hash = MURMUR_SEED
        murmur_process(state, data, #data)
        return murmur_result(state)
    end,
})

local crc32 = {crc_begin = CRC_BEGIN}

local crc32_mt = {__index = {
    update = function(self, data)
        if type(data) ~= 'string' then
            illegal('Usage crc32:update(string)')
        end
        self.value = crc32_calc(self.value, data, #data)
    end,
    result = function(self)
        return self.value
    end,
    clear = function(self)
        self.value = CRC_BEGIN
    end,
    copy = function(self)
        local new = crc32.new()
        new.value = self.value
        return new
    end,
}}

function crc32.new()
    return setmetatable({value = CRC_BEGIN}, crc32_mt)
end

setmetatable(crc32, {
    __call = function(_, data)
        if type(data) ~= 'string' then
            illegal('Usage digest.crc32(string)')
        end
        return crc32_calc(CRC_BEGIN, data, #data)
    end,
})

local function make_xxhash(bits)
    local function name(what)
        return ('xxh%d_%s'):format(bits, what)
    end
    local integer = ('uint%d_t'):format(bits)
    local reset = ffi.cast(('void (*)(uint64_t *, %s)'):format(integer), native[name('reset')])
    local process = ffi.cast('void (*)(uint64_t *, const char *, size_t)', native[name('update')])
    local digest = ffi.cast(integer .. ' (*)(const uint64_t *)', native[name('digest')])
    -- In words, for the alignment.
    local size = native[name('size')]
    local state_type = ffi.typeof('uint64_t[$]', math.ceil(size / 8))
    local shared = state_type()

    local xxhash = {}
    local mt = {__index = {
        update = function(self, data)
            if type(data) ~= 'string' then
                illegal(('Usage: xxhash%d:update(string)'):format(bits))
            end
            process(self.value, data, #data)
        end,
        result = function(self)
            return digest(self.value)
        end,
        clear = function(self, seed)
            reset(self.value, seed or self.default_seed)
        end,
        copy = function(self)
            local new = xxhash.new(self.default_seed)
            ffi.copy(new.value, self.value, size)
            return new
        end,
    }}

    function xxhash.new(seed)
        local self = setmetatable({value = state_type(), default_seed = seed or 0}, mt)
        self:clear()
        return self
    end

    return setmetatable(xxhash, {
        __call = function(_, data, seed)
            if type(data) ~= 'string' then
                illegal(('Usage: digest.xxhash%d(string[, unsigned number])'):format(bits))
            end
            reset(shared, seed or 0)
            process(shared, data, #data)
            return digest(shared)
        end,
    })
end

-- Everything else -------------------------------------------------------------------------

local function check_number(value, name)
    if type(value) ~= 'number' and not (type(value) == 'cdata' and tonumber64(value) ~= nil) then
        box.error(box.error.ILLEGAL_PARAMS, name .. ' should be a number', 3)
    end
end

local function pbkdf2(password, salt, iterations, size)
    if type(password) ~= 'string' or type(salt) ~= 'string' then
        illegal('Usage: digest.pbkdf2(pass, salt[,iters][,digest_len])')
    elseif iterations and type(iterations) ~= 'number' then
        illegal('iters must be a number')
    elseif size and type(size) ~= 'number' then
        illegal('digest_len must be a number')
    elseif size and size > PBKDF2_SIZE then
        illegal('too big digest size')
    end
    return native.pbkdf2(password, salt, iterations or PBKDF2_ITERATIONS, size or PBKDF2_SIZE)
end

local digest = {
    crc32 = crc32,
    murmur = murmur,
    xxhash32 = make_xxhash(32),
    xxhash64 = make_xxhash(64),
    pbkdf2 = pbkdf2,
    aes256cbc = {
        encrypt = native.aes_encrypt,
        decrypt = native.aes_decrypt,
    },
}

function digest.pbkdf2_hex(password, salt, iterations, size)
    if type(password) ~= 'string' or type(salt) ~= 'string' then
        illegal('Usage: digest.pbkdf2_hex(pass, salt)')
    end
    return pbkdf2(password, salt, iterations, size):hex()
end

function digest.crc32_update(crc, data)
    if type(data) ~= 'string' then
        illegal('Usage: digest.crc32_update(string)')
    end
    return crc32_calc(tonumber(crc), data, #data)
end

function digest.guava(state, buckets)
    check_number(state, 'state')
    check_number(buckets, 'buckets')
    return guava(state, buckets)
end

function digest.urandom(size)
    if size == nil then
        illegal('Usage: digest.urandom(len)')
    end
    return native.urandom(size)
end

function digest.base64_encode(data, options)
    if type(data) ~= 'string' or options ~= nil and type(options) ~= 'table' then
        illegal('Usage: digest.base64_encode(string[, table])')
    end
    options = options or {}
    return native.base64_encode(data, options.urlsafe, options.nopad, options.nowrap)
end

function digest.base64_decode(text)
    if type(text) ~= 'string' then
        illegal('Usage: digest.base64_decode(string)')
    end
    return native.base64_decode(text)
end

for _, name in ipairs({'md4', 'md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'}) do
    local fn = native[name]
    digest[name] = fn
    digest[name .. '_hex'] = function(data)
        if type(data) ~= 'string' then
            illegal('Usage: digest.' .. name .. '_hex(string)')
        end
        return fn(data):hex()
    end
end

return digest
