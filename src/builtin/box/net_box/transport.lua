-- net_box_transport: keeps a connection, and brings replies to the requests they belong to.
--
-- States: initial → auth → fetch_schema → active; a new schema leads from active to fetch_schema
-- and back. When the connection is lost: error_reconnect and all over again if that was asked for,
-- else error. close() leads to closed, the end of the server to graceful_shutdown: no request
-- begins, those under way end.
--
-- One fiber does all that. It knows its owner, the connection object, weakly: a connection that
-- nobody has is closed when it is collected.
local native = ...

local fiber = require('fiber')
local futures = require('internal.net_box_future')

local error, pairs, pcall, rawget, setmetatable = error, pairs, pcall, rawget, setmetatable

local CONNECT_TIMEOUT = 10

-- Types of packets.
local KIND = {
    OK = 0, SELECT = 1, INSERT = 2, REPLACE = 3, UPDATE = 4, DELETE = 5, AUTH = 7, EVAL = 8,
    UPSERT = 9, CALL = 10, EXECUTE = 11, PREPARE = 13, BEGIN = 14, COMMIT = 15, ROLLBACK = 16,
    PING = 64, ID = 73, WATCH = 74, UNWATCH = 75, EVENT = 76, WATCH_ONCE = 77, CHUNK = 128,
}
local ERROR = 32768

-- The protocol that this client speaks: its version and features. Without the schema, tuples bring
-- their formats along; with it, it knows them.
local PROTOCOL_VERSION = 10
local FEATURES = {0, 1, 2, 3, 4, 5, 6, 8, 9, 11}
local FEATURES_WITHOUT_SCHEMA = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11}
local CALL_ARG_TUPLE_EXTENSION = 9
local WATCHERS = 3

-- Views that make up the schema, in the order in which they are asked for.
local SCHEMA = {{'spaces', 281}, {'indexes', 289}, {'collations', 277}, {'sequences', 341}}
local ALL, NO_LIMIT = 2, 4294967295

local Transport = {}
Transport.__index = Transport

local module = {KIND = KIND, native = native}

-- Readers that are called for each push as well: those that fill buffers of users.
module.takes_pushes = setmetatable({}, {__mode = 'k'})

-- `events` are functions called with the owner: state_changed(state, err), handshake(greeting),
-- schema(version, tables), event(key, value).
function module.new(owner, address, options, events)
    return setmetatable({
        owner = setmetatable({owner}, {__mode = 'v'}),
        address = address,
        options = options,
        events = events,
        state = 'initial',
        requests = {},
        request_count = 0,
        last_sync = 0,
        features = {},
    }, Transport)
end

local function notify(self, event, ...)
    local owner = self.owner[1]
    if owner == nil then
        self.is_stopped = true
        error(native.fail('Connection closed'), 0)
    end
    return self.events[event](owner, ...)
end

local function set_state(self, state, err)
    self.state, self.last_error = state, err
    notify(self, 'state_changed', state, err)
end

local function next_sync(self)
    self.last_sync = self.last_sync + 1
    return self.last_sync
end

--
-- Requests
--

-- Nobody waits for the reply any more. The request is still under way at the server.
local function forgetter(self)
    return function(sync)
        if self.requests[sync] ~= nil then
            self.requests[sync] = false
        end
    end
end

-- Refuses to wait where only the fiber that receives replies could wake us.
function Transport:check_not_trigger(level)
    if self.fiber == fiber.self() then
        error('Synchronous requests are not allowed in net.box trigger', level)
    end
end

Transport.timed_out = native.timed_out

-- Why no request can be sent now; nil: it can.
function Transport:refusal()
    if self.io ~= nil and (self.state == 'active' or self.state == 'fetch_schema') then
        return nil
    end
    return self.last_error or native.fail(
        ('Connection is not established, state is "%s"'):format(self.state))
end

-- Sends a request; returns its future. `read` makes its value of the packet that answers it.
function Transport:request(kind, stream, read, ...)
    local refusal = self:refusal()
    local sync = next_sync(self)
    self.forget = self.forget or forgetter(self)
    local future = futures.new(sync, self.forget, self)
    if refusal ~= nil then
        futures.fail(future, refusal)
        return future
    end
    native.send(self.io, kind, sync, stream, ...)
    -- The connection stays as long as somebody waits for a reply.
    self.requests[sync] = {future = future, read = read, owner = self.owner[1]}
    self.request_count = self.request_count + 1
    return future
end

-- Writes bytes that are a request already, with this number.
function Transport:inject(bytes)
    if self.io == nil then
        error(native.fail('Connection is not established'), 0)
    end
    native.send_bytes(self.io, bytes)
end

local function fail_all(self, err)
    local requests = self.requests
    self.requests, self.request_count = {}, 0
    for _, request in pairs(requests) do
        if request then
            futures.fail(request.future, err)
        end
    end
end

local function as_error(err)
    return box.error.is(err) and err or native.fail(tostring(err))
end

local function first_value(_, io)
    return (native.read_values(io))[1]
end

-- Hands the packet that was received to whom it is for.
local function dispatch(self, kind, sync)
    if kind == KIND.EVENT then
        return notify(self, 'event', native.read_event(self.io))
    end
    local request = self.requests[sync]
    if request == nil then
        return
    elseif kind == KIND.CHUNK then
        if request then
            local read = module.takes_pushes[request.read] and request.read or first_value
            futures.push(request.future, (read(native, self.io)))
        end
        return
    end
    self.requests[sync] = nil
    self.request_count = self.request_count - 1
    if not request then
        return
    elseif kind >= ERROR then
        return futures.fail(request.future, native.read_error(self.io))
    end
    local is_done, value, err = pcall(request.read, native, self.io)
    if is_done and err == nil then
        futures.complete(request.future, value)
    else
        futures.fail(request.future, as_error(is_done and err or value))
    end
end

--
-- The life of a connection
--

-- Sends a request of the transport's own and waits for its reply, serving others meanwhile.
-- Returns the type and the schema version of the reply, which is the packet received last.
local function round_trip(self, kind, ...)
    local sync = next_sync(self)
    native.send(self.io, kind, sync, 0, ...)
    while true do
        local reply, number, version = native.receive(self.io)
        if number == sync and reply ~= KIND.EVENT then
            return reply, version
        end
        dispatch(self, reply, number)
    end
end

local function identify(self)
    local reply = round_trip(self, KIND.ID, PROTOCOL_VERSION,
        self.options.fetch_schema == false and FEATURES_WITHOUT_SCHEMA or FEATURES)
    if reply ~= KIND.OK then
        -- A server that is older than the request.
        return 0, {}
    end
    return native.read_id(self.io)
end

local function authenticate(self, default_method)
    local options = self.options
    if options.user == nil then
        return
    end
    set_state(self, 'auth')
    -- Guest's password is empty, and not proved.
    local password = options.password
    if password == nil and options.user ~= 'guest' then
        password = ''
    end
    local reply = round_trip(self, KIND.AUTH, options.user, password,
        options.auth_type or default_method)
    if reply ~= KIND.OK then
        error(native.read_error(self.io), 0)
    end
end

local function fetch_schema(self)
    while true do
        local tables, version = {}, nil
        local is_same = true
        for _, view in pairs(SCHEMA) do
            local reply, at = round_trip(self, KIND.SELECT, view[2], 0, ALL, 0, NO_LIMIT, {})
            if reply == KIND.OK then
                tables[view[1]] = native.read_values(self.io)
            elseif view[1] == 'spaces' or view[1] == 'indexes' then
                error(native.read_error(self.io), 0)
            end
            -- A reply need not say it.
            if at ~= 0 then
                is_same = is_same and (version == nil or version == at)
                version = at
            end
        end
        -- Of one moment, not of several.
        if is_same then
            return version or 0, tables
        end
    end
end

local function load_schema(self)
    set_state(self, 'fetch_schema')
    local version, tables = fetch_schema(self)
    self.schema_version = version
    notify(self, 'schema', version, tables)
end

-- Connects and serves until the connection is lost, which is an error.
local function serve(self)
    local options, address = self.options, self.address
    local timeout = options.connect_timeout or CONNECT_TIMEOUT
    local greeting, io = {}, nil
    if address.fd ~= nil then
        io, greeting.protocol, greeting.uuid, greeting.version =
            native.adopt(address.fd, timeout)
    else
        io, greeting.protocol, greeting.uuid, greeting.version =
            native.connect(address.host, address.port, timeout, address.params)
    end
    self.io = io
    if greeting.protocol ~= 'Binary' then
        error(native.fail('Unsupported protocol: ' .. greeting.protocol), 0)
    end
    greeting.protocol_version, greeting.features, greeting.auth_type = identify(self)
    self.features = {}
    for _, feature in pairs(greeting.features) do
        self.features[tonumber(feature)] = true
    end
    notify(self, 'handshake', greeting)
    authenticate(self, greeting.auth_type)
    if options.fetch_schema ~= false then
        load_schema(self)
    end
    set_state(self, 'active')
    while true do
        if self.state == 'graceful_shutdown' and self.request_count == 0 then
            error(native.fail('Peer closed'), 0)
        end
        local kind, sync, version = native.receive(io)
        dispatch(self, kind, sync)
        if options.fetch_schema ~= false and self.state == 'active' and version ~= 0
            and version ~= self.schema_version then
            load_schema(self)
            set_state(self, 'active')
        end
    end
end

local function run(self)
    while true do
        local _, err = pcall(serve, self)
        err = as_error(err)
        if self.is_drained then
            -- Closed for the server, which is about to.
            self.is_drained, err = nil, native.fail('Peer closed')
        end
        if self.io ~= nil then
            native.close(self.io)
            self.io = nil
        end
        if self.is_stopped then
            -- Whoever stopped it has told everybody, unless there is nobody to tell.
            fail_all(self, native.fail('Connection closed'))
            break
        end
        local reconnect_after = self.options.reconnect_after
        local state = reconnect_after ~= nil and 'error_reconnect' or 'error'
        self.state, self.last_error = state, err
        fail_all(self, err)
        local is_told = pcall(notify, self, 'state_changed', state, err)
        if reconnect_after == nil or not is_told or not pcall(fiber.sleep, reconnect_after) then
            break
        end
        if self.is_stopped then
            break
        end
    end
    self.fiber = nil
end

function Transport:start()
    self.fiber = fiber.new(run, self)
    self.fiber:name('net.box')
end

-- Closes the connection for good.
function Transport:stop()
    if self.is_stopped then
        return
    end
    self.is_stopped = true
    if self.io ~= nil then
        native.close(self.io)
    end
    local err = native.fail('Connection closed')
    self.state, self.last_error = 'closed', err
    fail_all(self, err)
    pcall(notify, self, 'state_changed', 'closed', err)
    if self.fiber ~= nil and self.fiber ~= fiber.self() and self.fiber:status() ~= 'dead' then
        self.fiber:cancel()
    end
end

-- As `stop`, for a finalizer, which must not switch fibers.
function Transport:abandon()
    self.is_stopped = true
    if self.io ~= nil then
        native.close(self.io)
    end
end

-- The server is about to end: begins nothing more, and lets go when all is answered.
function Transport:graceful_shutdown()
    if self.state ~= 'active' and self.state ~= 'fetch_schema' then
        return
    end
    set_state(self, 'graceful_shutdown')
    if self.request_count == 0 and self.io ~= nil then
        self.is_drained = true
        native.close(self.io)
    end
end

--
-- Watched keys
--

-- Asks for events of a key, or acknowledges the last. Nothing happens while there is no
-- connection: whoever watches asks again when there is one.
function Transport:watch(key)
    if self.io ~= nil and self.features[WATCHERS] and rawget(self, 'state') ~= 'initial' then
        native.send(self.io, KIND.WATCH, next_sync(self), 0, key)
    end
end

function Transport:unwatch(key)
    if self.io ~= nil and self.features[WATCHERS] then
        native.send(self.io, KIND.UNWATCH, next_sync(self), 0, key)
    end
end

-- Whether the server takes tuples among the arguments of calls as such.
function Transport:takes_tuples()
    return self.features[CALL_ARG_TUPLE_EXTENSION] == true
end

return module
