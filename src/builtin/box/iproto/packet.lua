-- box.iproto: the protocol for Lua code: its numbers, packets made and taken apart, packets sent to
-- clients, functions that clients may call by a name, and handlers in the place of the server's.
local native, box = ...

local log, msgpack, trigger = require('log'), require('msgpack'), require('trigger')

local error, ipairs, pairs, select, setmetatable = error, ipairs, pairs, select, setmetatable
local next, table, tonumber, type = next, table, tonumber, type

local check = box.internal.check

local iproto = native.iproto_constants()
box.iproto = iproto

-- Features by number, and which of them this server has.
local FEATURES = {
    [0] = 'streams', 'transactions', 'error_extension', 'watchers', 'pagination',
    'space_and_index_names', 'watch_once', 'dml_tuple_extension', 'call_ret_tuple_extension',
    'call_arg_tuple_extension', 'fetch_snapshot_cursor', 'is_sync', 'insert_arrow',
}
iproto.feature, iproto.protocol_features = {}, {}
for number, name in pairs(FEATURES) do
    iproto.feature[name] = number
end
for _, number in ipairs(iproto.own_features) do
    iproto.protocol_features[FEATURES[number]] = true
end
iproto.own_features = nil
require('internal.tweaks')('box_tuple_extension', native.iproto_set_tuple_extension)

--
-- Packets
--

-- Keys of packets, by the names that fields of decoded ones have.
local names = {}
for name, number in pairs(iproto.key) do
    names[name], names[name:lower()] = number, number
end

local function object(bytes)
    return msgpack.object_from_raw(bytes, nil, names)
end

-- The MessagePack of a header or body: bytes as they are, or a table whose keys may be names. That of
-- an array is no packet that anybody understands, but who sends one means it.
local function encode_map(value)
    if type(value) == 'string' then
        return value
    elseif value[1] ~= nil and #value == table.maxn(value) then
        return msgpack.encode(value)
    end
    local map = setmetatable({}, {__serialize = 'map'})
    for key, field in pairs(value) do
        local number = type(key) == 'string' and iproto.key[key:upper()] or nil
        map[number or key] = field
    end
    return msgpack.encode(map)
end

local function is_map(value)
    return type(value) == 'string' or type(value) == 'table'
end

local function encode_packet(header, body)
    local bytes = encode_map(header) .. (body ~= nil and encode_map(body) or '')
    local size = #bytes
    return string.char(0xce, math.floor(size / 2^24) % 256, math.floor(size / 2^16) % 256,
        math.floor(size / 2^8) % 256, size % 256) .. bytes
end

function iproto.encode_packet(...)
    local header, body = ...
    local count = select('#', ...)
    if count < 1 or count > 2 then
        error('Usage: box.iproto.encode_packet(header[, body])', 2)
    elseif not is_map(header) then
        error('header must be a string or a table', 2)
    elseif count == 2 and not is_map(body) then
        error('body must be a string or a table', 2)
    end
    return encode_packet(header, body)
end

-- decode_packet(bytes[, from]): header and body as objects and where the next packet starts; or
-- nil and how many bytes are missing.
function iproto.decode_packet(...)
    local bytes, position = ...
    local count = select('#', ...)
    if count < 1 or count > 2 or type(bytes) ~= 'string'
        or count == 2 and type(position) ~= 'number' then
        error('Usage: box.iproto.decode_packet(string[, pos])', 2)
    end
    position = position or 1
    if position < 1 then
        error('position must be greater than 0', 2)
    end
    local from, to = native.iproto_find_packet(bytes, position - 1)
    if to == nil then
        return nil, from
    end
    local packet = bytes:sub(from + 1, to)
    local _, header_end = msgpack.decode(packet)
    local header = object(packet:sub(1, header_end - 1))
    if header_end > #packet then
        return header, nil, to + 1
    end
    return header, object(packet:sub(header_end)), to + 1
end

local GREETING_USAGE =
    'Usage: box.iproto.encode_greeting({version = x, uuid = x, salt = x})'

local function greeting_field(options, name, default)
    local value = options[name]
    if value == nil then
        return default
    elseif type(value) ~= 'string' then
        error(name .. ' must be a string', 3)
    end
    return value
end

function iproto.encode_greeting(...)
    local options = ...
    if select('#', ...) > 1 or options ~= nil and type(options) ~= 'table' then
        error(GREETING_USAGE, 2)
    end
    options = options or {}
    local uuid, digest = require('uuid'), require('digest')
    local version = greeting_field(options, 'version', native.version:match('^[%d.]+'))
    local id = greeting_field(options, 'uuid', uuid.str())
    local salt = greeting_field(options, 'salt', digest.urandom(32))
    if not version:match('^%d+%.%d+%.%d+') then
        error('cannot parse version string', 2)
    elseif uuid.fromstr(id) == nil then
        error('cannot parse uuid string', 2)
    elseif #salt > iproto.GREETING_SALT_LEN_MAX then
        error(('salt string length (%d) cannot be greater than %d'):format(#salt,
            iproto.GREETING_SALT_LEN_MAX), 2)
    end
    return native.iproto_encode_greeting(version:match('^%d+%.%d+%.%d+'), id,
        digest.base64_encode(salt, {nowrap = true}))
end

function iproto.decode_greeting(...)
    local bytes = ...
    if select('#', ...) ~= 1 or type(bytes) ~= 'string' then
        error('Usage: box.iproto.decode_greeting(string)', 2)
    elseif #bytes ~= iproto.GREETING_SIZE then
        error(('greeting length must equal %d'):format(iproto.GREETING_SIZE), 2)
    end
    local version, protocol, uuid, salt = native.iproto_decode_greeting(bytes)
    if version == nil then
        error('cannot parse greeting string', 2)
    end
    return {
        version = version, protocol = protocol, uuid = require('uuid').fromstr(uuid),
        salt = require('digest').base64_decode(salt),
    }
end

-- Sends a packet to the client of a session.
function iproto.send(...)
    local session, header, body = ...
    local count = select('#', ...)
    if count < 2 or count > 3 then
        error('Usage: box.iproto.send(sid, header[, body])', 2)
    elseif type(session) ~= 'cdata' and (type(session) ~= 'number' or session < 0) then
        error('expected uint64_t as 1 argument', 2)
    elseif not is_map(header) then
        error('expected table or string as 2 argument', 2)
    elseif count == 3 and not is_map(body) then
        error('expected table or string as 3 argument', 2)
    end
    check.call_at(2, native.iproto_send, session, encode_packet(header, body))
end

--
-- Functions by name
--

-- What clients call by a name that need not be that of a global.
local exported = {}
box.internal.func_registry = exported
native.iproto_set_exported(exported)

function iproto.export(name, func)
    check.call_at(2, native.iproto_check_export, name, func)
    if exported[name] ~= nil then
        box.error(box.error.FUNCTION_EXISTS, name, 2)
    end
    exported[name] = func
end

--
-- Handlers in the place of the server's
--

local PREFIX = 'box.iproto.override'

-- Types that take a connection over.
local NOT_OVERRIDABLE = {}
for _, name in ipairs({'JOIN', 'SUBSCRIBE', 'FETCH_SNAPSHOT', 'REGISTER'}) do
    NOT_OVERRIDABLE[iproto.type[name]] = name
end

-- The type that an event of the prefix is about, nil for none that may be overridden.
local function type_of(event)
    local rest = event:sub(#PREFIX + 1)
    local number = tonumber(rest:match('^%[(-?%d+)%]$'))
    -- Names of types are written in small letters here.
    if number == nil and rest:sub(1, 1) == '.' and rest == rest:lower() then
        number = iproto.type[rest:sub(2):upper()]
    end
    return number
end

-- Events whose handlers never run: who sets one is told once.
local told = {}

local function tell(event, ...)
    if not told[event] then
        told[event] = true
        log.error(...)
    end
end

-- Types to the events that hold handlers for them: by number, and by name.
local function events_of(number)
    local events = {('%s[%d]'):format(PREFIX, number)}
    for name, known in pairs(iproto.type) do
        if known == number then
            events[2] = PREFIX .. '.' .. name:lower()
        end
    end
    return events
end

local function update()
    local types = {}
    for event in pairs(trigger.info()) do
        local rest = event:sub(1, #PREFIX) == PREFIX and event:sub(#PREFIX + 1) or ''
        if rest:find('^[.%[]') then
            local number = type_of(event)
            local name = NOT_OVERRIDABLE[number]
            if name ~= nil then
                tell(event, "IPROTO request handler overriding does not support `%s' request type",
                    name)
            elseif number ~= nil then
                types[#types + 1] = number
            else
                tell(event, "The event `%s' is in IPROTO override namespace, but `%s' is not a "
                    .. 'valid request type', event, (rest:gsub('^%.', '')))
            end
        end
    end
    native.iproto_set_overridden(types)
end

trigger._internal.observe(PREFIX, update)
update()

-- Whether a handler has answered a request of a type.
local function handle(number, header, body)
    for _, event in ipairs(events_of(number)) do
        for _, handler in trigger.pairs(event) do
            local is_answered = handler(object(header), object(body))
            if type(is_answered) ~= 'boolean' then
                box.error(box.error.PROC_LUA,
                    'Invalid Lua IPROTO handler return type: expected boolean')
            elseif is_answered then
                return true
            end
        end
    end
    return false
end

native.iproto_set_override_handler(function(number, header, body)
    local is_known = #(trigger.info(events_of(number)[1])) > 0
    for _, event in ipairs(events_of(number)) do
        is_known = is_known or next(trigger.info(event)) ~= nil
    end
    return handle(is_known and number or iproto.type.UNKNOWN, header, body)
end)

function iproto.override(request_type, callback)
    if request_type == nil then
        box.error(box.error.PROC_LUA, 'Usage: box.iproto.override(request_type, callback)', 2)
    elseif type(request_type) ~= 'number' and type(request_type) ~= 'string' then
        box.error(box.error.PROC_LUA, ("bad argument #1 to 'override' (number or string expected, "
            .. 'got %s)'):format(type(request_type)), 2)
    elseif callback ~= nil and type(callback) ~= 'function' then
        box.error(box.error.PROC_LUA, ("bad argument #2 to 'override' (function expected, got %s)")
            :format(type(callback)), 2)
    end
    local event
    if type(request_type) == 'number' then
        event = ('%s[%d]'):format(PREFIX, request_type)
    else
        event = PREFIX .. '.' .. request_type:lower()
    end
    local name = PREFIX .. '.lua.user_handler'
    trigger.del(event, name)
    if callback ~= nil then
        trigger.set(event, name, callback)
    end
end

return iproto
