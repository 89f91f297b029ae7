-- resp: serves Redis clients with handlers written in Lua.
--
--     local server = resp.listen({host = '127.0.0.1', port = 6379})
--     server:set_handlers({commands = {PING = function(client) return resp.status('PONG') end}})
--
-- A handler gets the client and the request's arguments as strings, or lent (resp.lend); what it
-- returns is the reply: nil, booleans, numbers, strings, lists (a nil inside is `resp.null`), tables
-- with other keys as maps, and the values that the functions below make.

local native = ...
local ffi = require('ffi')

local resp = {}

-- Replies that plain values cannot express: {kind, value}. The kinds are known to resp.rs.
local Reply = {}
Reply.__index = Reply

local STATUS, ERROR, NULL_LIST, MAP, SET, PUSH, VERBATIM, NUMBER, DOUBLE, FIELD =
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10

local function reply(kind, value, format)
    return setmetatable({kind, value, format}, Reply)
end

local function check_text(text, name)
    if type(text) ~= 'string' then
        error(('resp.%s takes a string'):format(name), 3)
    end
    return text
end

-- A simple status, such as PONG.
function resp.status(text)
    return reply(STATUS, check_text(text, 'status'))
end

-- An error; its first word in capitals is the class. Return it, or raise it with error().
function resp.error(text)
    return reply(ERROR, check_text(text, 'error'))
end

-- A map from a flat list {key, value, key, value, …}, in that order.
function resp.map(list)
    if type(list) ~= 'table' or #list % 2 == 1 then
        error('resp.map takes a list of keys and values', 2)
    end
    return reply(MAP, list)
end

local function list_of(kind, name)
    return function(list)
        if type(list) ~= 'table' then
            error(('resp.%s takes a list'):format(name), 2)
        end
        return reply(kind, list)
    end
end

-- A set and an out-of-band message, from a list.
resp.set = list_of(SET, 'set')
resp.push = list_of(PUSH, 'push')

-- Text for people; the format is 'txt' or 'mkd'.
function resp.verbatim(format, text)
    if type(format) ~= 'string' or #format ~= 3 then
        error('resp.verbatim takes a format of three letters', 2)
    end
    return reply(VERBATIM, check_text(text, 'verbatim'), format)
end

-- A whole number of any length, from its digits.
function resp.bignum(digits)
    if type(digits) ~= 'string' or not digits:find('^-?%d+$') then
        error('resp.bignum takes the digits of a whole number', 2)
    end
    return reply(NUMBER, digits)
end

-- A floating point number, even if it is whole.
function resp.double(number)
    if type(number) ~= 'number' then
        error('resp.double takes a number', 2)
    end
    return reply(DOUBLE, number)
end

resp.OK = reply(STATUS, 'OK')
-- Before a tuple and the number of a field, `return resp.FIELD, tuple, 2`: the text of that field,
-- of which no Lua string is made.
resp.FIELD = reply(FIELD)
resp.null = ffi.cast('void *', 0)
-- What an aborted EXEC answers.
resp.null_array = reply(NULL_LIST)

function resp.is_error(value)
    return type(value) == 'table' and getmetatable(value) == Reply and value[1] == ERROR
end

-- The error reply for whatever was raised.
function resp.failure(err)
    if resp.is_error(err) then
        return err
    end
    return resp.error(native.error_text(err))
end

function Reply:__tostring()
    return type(self[2]) == 'string' and self[2] or 'resp reply'
end

-- Makes a plain value of cdata: a tuple is a list, everything else its text.
local function plain(value)
    local ok, list = pcall(function() return value:totable() end)
    if ok and type(list) == 'table' then
        return list
    end
    return tostring(value)
end

native.set_reply(Reply, resp.OK, resp.FIELD, plain)

-- Of handlers: the variant for lent arguments, and how many it takes.
local lending = setmetatable({}, {__mode = 'k'})
native.set_lending(lending, box.internal.lent.new)

-- Returns `handler`. Requests with exactly as many arguments as the function `variant` has parameters
-- behind the client are given to that instead, and their arguments are lent: no strings but values
-- that `space:get`, `space:peek`, `space:replace_fields`, `tostring`, `#`, `..` and `==` take, and that are
-- empty when the variant has returned. It saves the making of strings on the hottest paths.
function resp.lend(handler, variant)
    local info = type(variant) == 'function' and debug.getinfo(variant, 'u')
    if type(handler) ~= 'function' or not info or info.isvararg then
        error('resp.lend takes a handler and a function with a fixed number of parameters', 2)
    end
    local count = info.nparams - 1
    if count < 1 or count > native.lent_count_max then
        error(('resp.lend: from 1 to %d arguments can be lent'):format(native.lent_count_max), 2)
    end
    lending[handler] = {variant, count}
    return handler
end

-- A connection. The server makes one table per connection; commands may keep fields in it.
local Client = {}
Client.__index = Client

-- 2 or 3: the version in which replies are written.
function Client:set_protocol(version)
    native.set_protocol(self.connection, version)
end

-- 'on', 'off' or 'skip'.
function Client:set_reply(mode)
    native.set_reply_mode(self.connection, mode)
end

-- Whether the larger limits apply to what it sends.
function Client:set_authenticated(authenticated)
    native.set_authenticated(self.connection, authenticated)
end

-- A function that is called with (client, name, …) instead of the handlers, and one that is called
-- with (client, name, list) for requests of more arguments than a call can pass; nil for none.
function Client:set_gate(gate, gate_list)
    self.gate, self.gate_list = gate, gate_list
    native.set_gated(self.connection, gate ~= nil)
end

-- The space whose primary key the first argument of commands is. Requests that have arrived ask
-- the processor for their rows while those before them run; nothing else depends on it.
function Client:set_key_space(space)
    native.set_key_space(self.connection, space.id)
end

-- From inside a command of this client: makes it a user of box.schema.user by password. Whether
-- the password was right and the user may open sessions; if it was not looked at, why, too.
function Client:authenticate(user, password) -- luacheck: no self
    return native.authenticate(user, password)
end

-- For passwords that are not users': counts attempts by a name as those of users are counted. The
-- first returns why there may be none now, or nil; the second is told how one ended.
resp.check_attempt = native.check_attempt
resp.note_attempt = native.note_attempt

-- From inside a command: raises unless its user may run any Lua code (`execute` on `universe`).
resp.check_eval = native.check_eval

-- From inside a command of this client: makes it a user without asking for a password. Commands
-- run with the rights of `effective`, the same user when that is nil.
function Client:set_user(user, effective) -- luacheck: no self
    native.set_user(user, effective or user)
end

-- Closes it: itself after the reply, another one at once.
function Client:close()
    native.close(self.connection)
end

function Client:is_connected()
    return native.is_connected(self.connection)
end

-- address, local_address, fd, age, idle, input_size, input_free, output_size, memory, command.
function Client:info()
    return native.info(self.connection)
end

native.set_client_metatable(Client)

local Server = {}
Server.__index = Server

-- A table of:
--   commands       handlers by name in capitals, looked up at each call
--   lists          handlers (client, list) for requests that are too long to be passed as
--                  arguments, by name in capitals
--   arities        numbers of arguments, the name counted; negative: at least
--   unknown        called with (client, name, …) for other names
--   connected      called with the client before its first request
--   disconnected   called with the client after its last
--   slow           called with (client, microseconds, name, …) after a slow request
function Server:set_handlers(handlers)
    if type(handlers) ~= 'table' or type(handlers.commands) ~= 'table' then
        error('server:set_handlers takes a table with `commands`', 2)
    end
    native.set_handlers(self.server, handlers)
end

-- A table of clients_max, idle_timeout (seconds, 0: none), bulk_size_max, request_size_max,
-- argument_count_max, output_size_max (bytes of one batch's replies), slow_threshold
-- (microseconds, -1: none).
function Server:set_limits(limits)
    if type(limits) ~= 'table' then
        error('server:set_limits takes a table', 2)
    end
    native.set_limits(self.server, limits)
end

function Server:port()
    return native.port(self.server)
end

function Server:connection_count()
    return native.connection_count(self.server)
end

function Server:counters()
    return native.counters(self.server)
end

-- Listens at another address instead; connections stay. Raises, and goes on where it is, if nobody
-- can listen there.
function Server:move_to(host, port)
    native.move_to(self.server, host, port)
end

-- Reads the files of TLS parameters anew, for connections from now on.
function Server:set_tls(params)
    native.set_tls(self.server, params)
end

-- Stops listening, and closes the connections when their running requests are answered.
function Server:stop()
    native.stop(self.server)
end

-- A table of host, port, and what says how connections are encrypted, as in a URI of
-- box.cfg.listen: transport ('plain' or 'ssl'), ssl_key_file, ssl_cert_file, ssl_ca_file,
-- ssl_ciphers, ssl_password, ssl_password_file, ssl_verify_client.
function resp.listen(options)
    if type(options) ~= 'table' or type(options.port) ~= 'number' then
        error('resp.listen takes a table with `host` and `port`', 2)
    end
    local server = native.listen(options.host or '127.0.0.1', options.port, options)
    return setmetatable({server = server}, Server)
end

-- Has a function called when box.cfg may have changed what is asked of those who log in. There is one,
-- the last one given.
function resp.on_security(func)
    box.internal.on_security.resp = func
end

-- Walks a space with a HASH primary index in pieces: about `count` keys from a cursor on and the
-- next cursor, 0 at the end. A key that is there from the first piece to the last is met once. Nil
-- if the index is ordered.
function resp.scan(space, cursor, count)
    return native.scan(space.id, cursor, count)
end

return resp
