-- Bodies and headers of http.client: how values become bodies and bodies values, by their content
-- type, and how headers are checked and joined. Never yields.

local json = require('json')
local msgpack = require('msgpack')
local yaml = require('yaml')

local error, ipairs, pairs, pcall, type = error, ipairs, pairs, pcall, type

-- Of a body without a content type.
local DEFAULT_TYPE = 'application/json'

local encoders = {
    ['application/json'] = function(body) return json.encode(body) end,
    ['application/yaml'] = function(body) return yaml.encode(body) end,
    ['application/msgpack'] = function(body) return msgpack.encode(body) end,
}
local decoders = {
    ['application/json'] = function(body) return json.decode(body) end,
    ['application/yaml'] = function(body) return yaml.decode(body) end,
    ['application/msgpack'] = function(body) return (msgpack.decode(body)) end,
}

local function lower(value)
    return type(value) == 'string' and value:lower() or value
end

-- The value under a key in any case, in lower case.
local function get_icase(map, key)
    key = lower(key)
    for name, value in pairs(map) do
        if lower(name) == key then
            return lower(value)
        end
    end
    return nil
end

local function extract_mime_type(content_type)
    if content_type == nil then
        return nil
    elseif type(content_type) ~= 'string' then
        error('content type must be a string')
    end
    return content_type:split(';', 1)[1]:strip()
end

local SCALARS = {number = true, string = true, boolean = true}
-- Types of values that need an encoder.
local OBJECTS = {cdata = true, userdata = true, table = true}

local function encode_body(body, content_type, known)
    if body == nil then
        return ''
    elseif SCALARS[type(body)] then
        return tostring(body)
    elseif not OBJECTS[type(body)] then
        error(('Unsupported body type: %s'):format(type(body)))
    end
    local encode = known[lower(extract_mime_type(content_type))]
    if encode == nil then
        error(('Unable to encode body: encode function is not found (%s)'):format(content_type))
    end
    local ok, text = pcall(encode, body, content_type)
    if not ok then
        error(('Unable to encode body: %s'):format(text))
    end
    return text
end

local function decode_body(response)
    if response.body == nil then
        error('Unable to decode body: body is empty')
    end
    local content_type = get_icase(response.headers or {}, 'content-type')
    local mime_type = extract_mime_type(content_type)
    local decode = decoders[DEFAULT_TYPE]
    if mime_type ~= nil then
        decode = response._decoders[mime_type]
    end
    if decode == nil then
        error(('Unable to decode body: decode function is not found (%s)'):format(content_type))
    elseif type(decode) ~= 'function' then
        error(('Unable to decode body: decode function is not a function (%s)'):format(
            content_type))
    end
    local ok, value = pcall(decode, response.body, content_type)
    if not ok then
        error(('Unable to decode body: %s'):format(value))
    end
    return value
end

-- Headers of which the first counts; values of others are joined by commas.
local SINGLE = {}
for name in ([[age authorization content-length content-type etag expires from host
    if-modified-since if-unmodified-since last-modified location max-forwards proxy-authorization
    referer retry-after user-agent]]):gmatch('%S+') do
    SINGLE[name] = true
end

local COOKIE_OPTIONS = {}
for name in ('Expires Max-Age Domain Path Secure HttpOnly SameSite'):gmatch('%S+') do
    COOKIE_OPTIONS[name] = true
end

-- {name = {value, {option, …}}}
local function parse_cookies(texts)
    local cookies = {}
    for _, text in ipairs(type(texts) == 'table' and texts or {texts}) do
        local parts = text:split(';')
        local pair = table.remove(parts, 1):split('=')
        local name = pair[1]:strip()
        if #pair >= 2 and not name:find('[()%[%]<>@,;:\\"/?={} \t]') then
            local options = {}
            for _, part in ipairs(parts) do
                if COOKIE_OPTIONS[part:split('=')[1]:strip()] then
                    table.insert(options, part:strip())
                end
            end
            cookies[name] = {pair[2]:strip(), options}
        end
    end
    return cookies
end

local function join_headers(headers)
    for name, value in pairs(headers) do
        if type(value) == 'table' then
            headers[name] = SINGLE[name] and value[1] or table.concat(value, ',')
        end
    end
    return headers
end

local function check_headers(headers)
    if type(headers) ~= 'table' then
        error('opts.headers should be a table')
    end
    for name, value in pairs(headers) do
        if type(value) ~= 'string' then
            error('opts.headers values should be strings')
        elseif type(name) ~= 'string' then
            error('opts.headers keys should be strings')
        elseif name:find('[%c:]') or value:find('[\r\n%z]') then
            box.error(box.error.ILLEGAL_PARAMS, 'a header must not contain line ends')
        elseif lower(name) == 'content-length' and not value:strip():match('^%d+$') then
            box.error(box.error.ILLEGAL_PARAMS,
                'Content-Length header value must be a non-negative integer')
        end
    end
end

return {
    DEFAULT_TYPE = DEFAULT_TYPE,
    OBJECTS = OBJECTS,
    encoders = encoders,
    decoders = decoders,
    lower = lower,
    get_icase = get_icase,
    extract_mime_type = extract_mime_type,
    encode_body = encode_body,
    decode_body = decode_body,
    parse_cookies = parse_cookies,
    join_headers = join_headers,
    check_headers = check_headers,
}
