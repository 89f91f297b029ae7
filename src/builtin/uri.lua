-- uri: parses, formats and escapes URIs by RFC 3986, with the server's short forms.
--
-- The native half parses texts; tables with parameters and lists of URIs are taken apart here.

local ffi = require('ffi')
local native = ...

local find, gmatch, gsub, sub = string.find, string.gmatch, string.gsub, string.sub
local concat = table.concat
local error, pairs, pcall, tostring, type = error, pairs, pcall, tostring, type

local UNIX_HOST = 'unix/'
local WRONG_URI = 'Incorrect URI: expected host:service or /unix.socket'

local function illegal(message)
    return box.error.new(box.error.ILLEGAL_PARAMS, message)
end

local function fail(message)
    error(illegal(message), 0)
end

ffi.cdef([[
    struct uri_place { uint32_t start, end; };
    struct uri_places {
        struct uri_place scheme, login, password, host, service, ipv4, ipv6, path, query, fragment;
        bool is_unix;
    };
]])
local parse_places = ffi.cast('bool (*)(const char *, size_t, struct uri_places *)', native.parse)
-- Scratch: nothing yields between the call that fills it and the last look.
local places = ffi.new('struct uri_places')
assert(ffi.sizeof(places) == native.places_size, 'the cdata is laid out as the Rust type')

-- The values of each parameter of a query by its name; nil when there is none.
local function query_params(query)
    local params
    local start, size = 1, #query
    while start <= size do
        local stop = find(query, '&', start, true) or size + 1
        if stop > start then
            local pair = sub(query, start, stop - 1)
            local equals = find(pair, '=', 1, true)
            local name = equals and sub(pair, 1, equals - 1) or pair
            if name ~= '' then
                params = params or {}
                local values = params[name]
                if values == nil then
                    values = {}
                    params[name] = values
                end
                if equals then
                    values[#values + 1] = sub(pair, equals + 1)
                end
            end
        end
        start = stop + 1
    end
    return params
end

local function part(text, place)
    local stop = place['end']
    if stop == 0 then
        return nil
    end
    return sub(text, place.start + 1, stop)
end

-- Parses a URI's text; returns nil when it is none.
local function parse_text(text)
    if not parse_places(text, #text, places) then
        return nil
    end
    if places.is_unix then
        local service, query = part(text, places.service), part(text, places.query)
        return {
            scheme = part(text, places.scheme),
            login = part(text, places.login),
            password = part(text, places.password),
            host = UNIX_HOST,
            service = service,
            unix = service,
            path = part(text, places.path),
            query = query,
            fragment = part(text, places.fragment),
            params = query and query_params(query),
        }
    end
    local query = part(text, places.query)
    return {
        scheme = part(text, places.scheme),
        login = part(text, places.login),
        password = part(text, places.password),
        host = part(text, places.host),
        service = part(text, places.service),
        ipv4 = part(text, places.ipv4),
        ipv6 = part(text, places.ipv6),
        path = part(text, places.path),
        query = query,
        fragment = part(text, places.fragment),
        params = query and query_params(query),
    }
end

local function parse_text_or_fail(text)
    return parse_text(tostring(text)) or fail(WRONG_URI)
end

local function is_text(value)
    return type(value) == 'string' or type(value) == 'number'
end

-- The values of a parameter as texts; nil for a table without any.
local function param_values(value)
    if is_text(value) then
        return {tostring(value)}
    elseif type(value) ~= 'table' then
        fail('Incorrect type for URI parameter value: should be string, number or table')
    end
    local values = {}
    for i = 1, #value do
        if not is_text(value[i]) then
            fail('Incorrect type for URI parameter value: should be string or number')
        end
        values[i] = tostring(value[i])
    end
    if #values == 0 and next(value) ~= nil then
        return nil
    end
    return values
end

local function merge_params(uri, params, overwrite)
    if params == nil then
        return
    elseif type(params) ~= 'table' then
        fail('Incorrect type for URI parameters: should be a table')
    end
    for name, value in pairs(params) do
        if type(name) ~= 'string' then
            fail('Incorrect type for URI parameter name: should be a string')
        end
        local values = param_values(value)
        local present = uri.params and uri.params[name]
        if values ~= nil and (overwrite or present == nil or #present == 0) then
            uri.params = uri.params or {}
            uri.params[name] = values
        end
    end
end

local function parse_table(source)
    local count = #source + (source.uri ~= nil and 1 or 0)
    if count ~= 1 then
        fail('Invalid URI table: expected {uri = string, params = table} or ' ..
             '{string, params = table}')
    elseif source.default_params ~= nil then
        fail('Default URI parameters are not allowed for single URI')
    end
    local text = source[1] or source.uri
    if not is_text(text) then
        fail('Incorrect type for URI in nested table: should be string, number')
    end
    local uri = parse_text_or_fail(text)
    local login, password = source.login, source.password
    if login ~= nil then
        if type(login) ~= 'string' then
            fail('Invalid URI table: expected type for login is string')
        elseif password ~= nil and type(password) ~= 'string' then
            fail('Invalid URI table: expected type for password is string')
        end
        uri.login, uri.password = login, password
    elseif password ~= nil then
        fail('Invalid URI table: login required if password is set')
    end
    merge_params(uri, source.params, true)
    return uri
end

local function parse_any(source)
    if is_text(source) then
        return parse_text_or_fail(source)
    elseif type(source) == 'table' then
        return parse_table(source)
    end
    return fail('Incorrect type for URI: should be string, number or table')
end

local function parse_many_table(source)
    if source.uri ~= nil or #source == 1 and type(source[1]) ~= 'table' then
        return {parse_table(source)}
    end
    local uris = {}
    for i = 1, #source do
        uris[i] = parse_any(source[i])
    end
    if #uris == 0 then
        return uris
    end
    for _, name in ipairs({'params', 'login', 'password'}) do
        if source[name] ~= nil then
            local what = name == 'params' and 'parameters are' or name .. ' is'
            fail('URI ' .. what .. ' not allowed for multiple URIs')
        end
    end
    for i = 1, #uris do
        merge_params(uris[i], source.default_params, false)
    end
    return uris
end

local function parse_many_any(source)
    if type(source) == 'table' then
        return parse_many_table(source)
    elseif not is_text(source) then
        fail('Incorrect type for URI: should be string, number or table')
    end
    local uris = {}
    if source == '' then
        return uris
    end
    for piece in gmatch(gsub(tostring(source), ', *', ',') .. ',', '([^,]*),') do
        uris[#uris + 1] = parse_text_or_fail(piece)
    end
    return uris
end

local function protected(fn, source)
    local ok, result = pcall(fn, source)
    if not ok then
        return nil, result
    end
    return result
end

local function parse(source)
    if type(source) == 'string' then
        local uri = parse_text(source)
        if uri == nil then
            return nil, illegal(WRONG_URI)
        end
        return uri
    elseif source == nil then
        error('Usage: uri.parse(string|table)', 2)
    end
    return protected(parse_any, source)
end

local function parse_many(source)
    if source == nil then
        error('Usage: uri.parse_many(string|table)', 2)
    end
    return protected(parse_many_any, source)
end

local function format_params(parts, params, write_password)
    local names = {}
    for name in pairs(params) do
        -- Paths of keys and passwords of TLS are secrets too.
        if write_password or not find(name, '^ssl_') then
            names[#names + 1] = name
        end
    end
    if next(params) == nil then
        return
    end
    table.sort(names)
    local pairs_of_names = {}
    for _, name in ipairs(names) do
        local values = params[name]
        if type(values) ~= 'table' then
            values = {values}
        end
        if #values == 0 then
            pairs_of_names[#pairs_of_names + 1] = name
        end
        for _, value in ipairs(values) do
            pairs_of_names[#pairs_of_names + 1] = name .. '=' .. tostring(value)
        end
    end
    parts[#parts + 1] = '?' .. concat(pairs_of_names, '&')
end

local function format(uri, write_password)
    local parts = {}
    if uri.scheme ~= nil then
        parts[#parts + 1] = uri.scheme .. '://'
    end
    if uri.login ~= nil then
        parts[#parts + 1] = uri.login
        if uri.password ~= nil and write_password then
            parts[#parts + 1] = ':' .. uri.password
        end
        parts[#parts + 1] = '@'
    end
    if uri.host ~= nil then
        local is_bracketed = uri.ipv6 ~= nil and uri.ipv4 == nil
        parts[#parts + 1] = is_bracketed and '[' .. uri.host .. ']' or uri.host
    end
    if uri.service ~= nil then
        parts[#parts + 1] = (uri.host ~= nil and ':' or '') .. uri.service
    end
    parts[#parts + 1] = uri.path
    if uri.params ~= nil then
        format_params(parts, uri.params, write_password)
    end
    if uri.fragment ~= nil then
        parts[#parts + 1] = '#' .. uri.fragment
    end
    return concat(parts)
end

-- Escaping --------------------------------------------------------------------------------

-- Makes the set of characters which escaping leaves alone, from the inside of a pattern class.
local function unreserved(class)
    if type(class) ~= 'string' then
        error('Usage: uri.unreserved(str)', 2)
    end
    local set = ffi.new('unsigned char[256]')
    local pattern = '^[' .. class .. ']$'
    for i = 0, 255 do
        set[i] = find(string.char(i), pattern) and 1 or 0
    end
    return set
end

local ALNUM = 'a-zA-Z0-9'
local RFC3986 = {unreserved = unreserved(ALNUM .. '%-._~'), plus = false}
local PATH = {unreserved = unreserved(ALNUM .. "%-._~!$&'()*+,;=/:@"), plus = false}
local PATH_PART = {unreserved = unreserved(ALNUM .. "%-._~!$&'()*+,;=:@"), plus = false}
local QUERY = {unreserved = unreserved(ALNUM .. "%-._~!$&'()*+,;=/?"), plus = false}
local QUERY_PART = {unreserved = unreserved(ALNUM .. "%-._~!$'()*+,;/?"), plus = false}
local FRAGMENT = {unreserved = unreserved(ALNUM .. "%-._~!$&'()*+,;=/?"), plus = false}
local FORM_URLENCODED = {unreserved = unreserved(ALNUM .. '%-._*'), plus = true}

local function check_escape_options(opts)
    if opts and type(opts) ~= 'table' then
        error('opts must be a table', 3)
    end
    local set, plus = RFC3986.unreserved, RFC3986.plus
    if opts then
        set = opts.unreserved or set
        if opts.plus ~= nil then
            plus = opts.plus
        end
    end
    if type(set) ~= 'cdata' then
        error('use uri.unreserved for building opts.unreserved', 3)
    elseif type(plus) ~= 'boolean' then
        error('opts.plus must be a boolean', 3)
    end
    return set, plus
end

local HEX = '0123456789ABCDEF'

local function escape(text, opts)
    if type(text) ~= 'string' then
        error('Usage: uri.escape(string, [opts])', 2)
    end
    local set, plus = check_escape_options(opts)
    local size = #text
    local input = ffi.cast('const uint8_t *', text)
    local output = ffi.new('uint8_t[?]', size * 3 + 1)
    local length = 0
    for i = 0, size - 1 do
        local char = input[i]
        if set[char] ~= 0 then
            output[length] = char
            length = length + 1
        elseif plus and char == 0x20 then
            output[length] = 0x2b
            length = length + 1
        else
            output[length] = 0x25
            output[length + 1] = HEX:byte(bit.rshift(char, 4) + 1)
            output[length + 2] = HEX:byte(bit.band(char, 15) + 1)
            length = length + 3
        end
    end
    return ffi.string(output, length)
end

local function unescape(text, opts)
    if type(text) ~= 'string' then
        error('Usage: uri.unescape(string, [opts])', 2)
    end
    local _, plus = check_escape_options(opts)
    if plus then
        text = gsub(text, '%+', ' ')
    end
    return (gsub(text, '%%(%x%x)', function(digits)
        return string.char(tonumber(digits, 16))
    end))
end

-- Appends `key=value` for each value, or a bare key for none.
local function encode_kv(key, values, result, opts)
    if type(values) ~= 'table' then
        values = {values}
    end
    local escaped_key = escape(tostring(key), opts)
    if next(values) == nil then
        result[#result + 1] = escaped_key
    end
    for _, value in pairs(values) do
        result[#result + 1] = escaped_key .. '=' .. escape(tostring(value), opts)
    end
end

local function params(map, opts)
    if map == nil then
        return ''
    elseif type(map) ~= 'table' then
        error('Usage: uri.params(table[, escape_opts])', 2)
    end
    local result = {}
    for key, value in pairs(map) do
        if type(key) ~= 'string' and type(key) ~= 'number' then
            error("uri.params: keys must have a type 'string' or 'number'", 2)
        end
        encode_kv(key, value, result, opts)
    end
    return concat(result, '&')
end

-- Marks several values of one query key: `{key = uri.values('a', 'b')}`.
local function values(...)
    return {...}
end

return {
    parse = parse,
    parse_many = parse_many,
    format = format,
    values = values,
    escape = escape,
    unescape = unescape,
    unreserved = unreserved,
    _internal = {
        params = params,
        encode_kv = encode_kv,
    },
    RFC3986 = RFC3986,
    PATH = PATH,
    PATH_PART = PATH_PART,
    QUERY = QUERY,
    QUERY_PART = QUERY_PART,
    FRAGMENT = FRAGMENT,
    FORM_URLENCODED = FORM_URLENCODED,
}
