-- net.box: a client of the binary protocol.
--
-- connect() makes a connection: a table with the state of its transport, the spaces of the server
-- and the methods below. A request waits for its reply, or returns a future with `is_async`.

local fiber = require('fiber')
local ffi = require('ffi')
local log = require('log')
local msgpack = require('msgpack')
-- Declares struct ibuf.
require('buffer')
local socket = require('socket')
local trigger_list = require('internal.trigger')
local uri = require('uri')

local futures = require('internal.net_box_future')
local spaces = require('internal.net_box_space')
local transports = require('internal.net_box_transport')

local error, ipairs, next, pairs, pcall = error, ipairs, next, pairs, pcall
local select, setmetatable, tonumber, tostring, type = select, setmetatable, tonumber, tostring, type
local unpack = unpack

local KIND, read = transports.KIND, spaces.read
local REQUEST_OPTIONS = spaces.REQUEST_OPTIONS
local check = box.internal.check

local FOREVER = 500 * 365 * 86400

local net_box = {}

local CONNECT_OPTIONS = {
    user = 'string',
    password = 'string',
    wait_connected = 'number, boolean',
    reconnect_after = 'number',
    connect_timeout = 'number',
    fetch_schema = 'boolean',
    auth_type = 'string',
    console = 'boolean',
    required_protocol_version = 'number',
    required_protocol_features = 'table',
    _disable_graceful_shutdown = 'boolean',
}

-- Features by number, as `peer_protocol_features` names them.
local FEATURES = {
    [0] = 'streams', 'transactions', 'error_extension', 'watchers', 'pagination',
    'space_and_index_names', 'watch_once', 'dml_tuple_extension', 'call_ret_tuple_extension',
    'call_arg_tuple_extension', 'fetch_snapshot_cursor', 'is_sync', 'insert_arrow',
}

local function check_self(value, method)
    if type(value) ~= 'table' then
        box.error(box.error.PROC_LUA,
            ('Use remote:%s(...) instead of remote.%s(...):'):format(method, method), 3)
    end
end

--
-- Requests
--

-- A reader that returns what a user asked for: bytes in a buffer, or MessagePack as it is.
local function reader_for(options, reader)
    if options.buffer ~= nil then
        local target, without_header = options.buffer, options.skip_header == true
        local function reader_to_buffer(native, io)
            local bytes = native.read_bytes(io, without_header)
            ffi.copy(target:alloc(#bytes), bytes, #bytes)
            return #bytes
        end
        transports.takes_pushes[reader_to_buffer] = true
        return reader_to_buffer
    elseif options.return_raw then
        return read.raw_of(reader)
    end
    return reader
end

local NO_OPTIONS = {}

local function check_buffer(options)
    if options.buffer ~= nil and not ffi.istype('struct ibuf', options.buffer) then
        box.error(box.error.ILLEGAL_PARAMS,
            "options parameter 'buffer' should be of type struct ibuf", 4)
    end
end

-- Runs a request; returns its value and error, or its future.
local function perform(connection, stream, options, kind, reader, ...)
    options = options or NO_OPTIONS
    check_buffer(options)
    reader = reader_for(options, reader)
    local transport = connection._transport
    if options.is_async then
        if options.on_push ~= nil or options.on_push_ctx ~= nil then
            error('To handle pushes in an async request use future:pairs()', 4)
        end
        local refusal = transport:refusal()
        if refusal ~= nil then
            return nil, refusal
        end
        return transport:request(kind, stream, reader, ...)
    end
    transport:check_not_trigger(5)
    local deadline = options.timeout ~= nil and fiber.clock() + options.timeout or nil
    local function left()
        return deadline ~= nil and math.max(0, deadline - fiber.clock()) or nil
    end
    if connection.state ~= 'active' then
        connection:wait_state('active', left())
    end
    local future = transport:request(kind, stream, reader, ...)
    local value, err = futures.wait(future, left(), options.on_push, options.on_push_ctx)
    if connection.state == 'fetch_schema' then
        -- The reply told of a new schema: what comes next should know it.
        connection:wait_state('active', left())
    end
    return value, err
end

local function request(connection, stream, options, kind, reader, ...)
    local value, err = perform(connection, stream, options, kind, reader, ...)
    if err ~= nil then
        box.error(err, 3)
    end
    return value
end

--
-- Connections
--

local methods = {}

local function shown(connection)
    return {
        fd = connection.fd,
        host = connection.host,
        port = connection.port,
        opts = next(connection.opts) ~= nil and connection.opts or nil,
        state = connection.state,
        error = connection.error,
        protocol = connection.protocol,
        schema_version = connection.schema_version,
        peer_uuid = connection.peer_uuid,
        peer_version_id = connection.peer_version_id,
        peer_protocol_version = connection.peer_protocol_version,
        peer_protocol_features = connection.peer_protocol_features,
    }
end

local connection_mt = {__index = methods, __serialize = shown, __metatable = false}

local events = {}

-- Runs triggers whose errors must not end the connection.
local function run_safely(list, connection)
    local is_done, err = pcall(list.run, list, connection)
    if not is_done then
        log.error(err)
    end
end

-- An error is reported loudly once, not at each attempt to come back.
local function report(connection, err)
    local text = ('%s:%s: %s'):format(connection.host or '', connection.port or '', err.message)
    if connection._reported ~= text then
        connection._reported = text
        log.warn(text)
    else
        log.verbose(text)
    end
end

function events.state_changed(connection, state, err)
    connection.state = state
    connection.error = err ~= nil and err.message or nil
    local was_connected = connection._is_connected
    if state == 'active' and not was_connected then
        connection._is_connected = true
        connection._reported = nil
        connection._on_connect:run(connection)
    elseif state == 'error' or state == 'error_reconnect' or state == 'closed' then
        connection._is_connected = false
        connection._is_ending = nil
        if was_connected then
            run_safely(connection._on_disconnect, connection)
        end
    end
    if state == 'error_reconnect' then
        report(connection, err)
    end
    connection._state_changed:broadcast()
end

local function version_id(text)
    local major, minor, patch = text:match('^(%d+)%.(%d+)%.(%d+)')
    if major == nil then
        return 0
    end
    return major * 65536 + minor * 256 + patch
end

local function refuse(reason)
    box.error({code = box.error.NO_CONNECTION, reason = reason})
end

function events.handshake(connection, greeting)
    connection.protocol = greeting.protocol
    connection.peer_uuid = greeting.uuid
    connection.peer_version_id = version_id(greeting.version)
    connection.peer_protocol_version = tonumber(greeting.protocol_version)
    local features = {}
    for _, name in pairs(FEATURES) do
        features[name] = false
    end
    for _, number in ipairs(greeting.features) do
        if FEATURES[tonumber(number)] ~= nil then
            features[FEATURES[tonumber(number)]] = true
        end
    end
    connection.peer_protocol_features = features
    local options = connection.opts
    local required = options.required_protocol_version
    if required ~= nil and required > connection.peer_protocol_version then
        refuse(('Protocol version (%d) < required (%d)'):format(
            connection.peer_protocol_version, required))
    end
    local missing = {}
    for _, name in ipairs(options.required_protocol_features or {}) do
        if not features[name] then
            missing[#missing + 1] = name
        end
    end
    if #missing > 0 then
        refuse('Missing required protocol features: ' .. table.concat(missing, ', '))
    end
end

function events.schema(connection, version, tables)
    connection.space =
        spaces.build(connection.space or {}, tables, connection._metatables,
            connection._native_format)
    connection.schema_version = version
    run_safely(connection._on_schema_reload, connection)
end

--
-- Watchers
--

-- Calls a watcher with the value of its key until it has seen the latest, then acknowledges it.
local function run_watcher(watcher)
    local state = watcher._state
    while watcher._state ~= nil and watcher._seen ~= state.version do
        watcher._seen = state.version
        local is_done, err = pcall(watcher._func, state.key, state.value)
        if not is_done then
            log.error(err)
        end
    end
    watcher._is_running = false
    if watcher._state ~= nil and not state.is_acknowledged then
        state.is_acknowledged = true
        watcher._connection._transport:watch(state.key)
    end
end

local function start_watcher(watcher)
    if not watcher._is_running then
        watcher._is_running = true
        fiber.new(run_watcher, watcher):name('net.box.watcher')
    end
end

function events.event(connection, key, value)
    local state = connection._watched[key]
    if state == nil then
        return
    end
    state.value, state.version, state.is_acknowledged = value, state.version + 1, false
    for watcher in pairs(state.watchers) do
        start_watcher(watcher)
    end
end

local watcher_methods = {}
local watcher_mt = {
    __index = watcher_methods,
    __tostring = function() return 'net.box.watcher' end,
    __serialize = function() return 'net.box.watcher' end,
}

function watcher_methods:unregister()
    if type(self) ~= 'table' then
        box.error(box.error.PROC_LUA,
            'Use watcher:unregister() instead of watcher.unregister()', 2)
    elseif self._state == nil then
        box.error(box.error.PROC_LUA, 'Watcher is already unregistered', 2)
    end
    local state, connection = self._state, self._connection
    self._state = nil
    state.watchers[self] = nil
    if next(state.watchers) == nil then
        connection._watched[state.key] = nil
        connection._transport:unwatch(state.key)
    end
end

function methods:watch(key, func)
    check_self(self, 'watch')
    if type(key) ~= 'string' then
        box.error(box.error.PROC_LUA, 'key must be a string', 2)
    elseif type(func) ~= 'function' then
        box.error(box.error.PROC_LUA, 'func must be a function', 2)
    end
    local state = self._watched[key]
    if state == nil then
        state = {key = key, version = 0, is_acknowledged = false, watchers = {}}
        self._watched[key] = state
        self._transport:watch(key)
    end
    local watcher = setmetatable(
        {_connection = self, _func = func, _state = state, _seen = 0}, watcher_mt)
    state.watchers[watcher] = true
    if state.version > 0 then
        start_watcher(watcher)
    end
    return watcher
end

function methods:watch_once(key, options)
    check_self(self, 'watch_once')
    if type(key) ~= 'string' then
        box.error(box.error.PROC_LUA, 'key must be a string', 2)
    end
    check.options(options, REQUEST_OPTIONS, 2)
    return request(self, nil, options, KIND.WATCH_ONCE, read.first_value, key)
end

-- The server ends: triggers may finish what they do with it first.
local function on_shutdown(connection)
    connection._is_ending = true
    run_safely(connection._on_shutdown, connection)
    -- Meanwhile the connection may have been lost, and made anew.
    if connection._is_ending then
        connection._is_ending = nil
        connection._transport:graceful_shutdown()
    end
end

--
-- Methods
--

for _, name in ipairs({'on_connect', 'on_disconnect', 'on_schema_reload', 'on_shutdown'}) do
    methods[name] = function(self, ...)
        check_self(self, name)
        return self['_' .. name](...)
    end
end

function methods:close()
    check_self(self, 'close')
    self._transport:stop()
end

function methods:is_connected()
    check_self(self, 'is_connected')
    return self.state == 'active' or self.state == 'fetch_schema'
end

-- Waits for a state, or for one of a set of states. Whether it came.
function methods:wait_state(wanted, timeout)
    check_self(self, 'wait_state')
    local deadline = fiber.clock() + (timeout or FOREVER)
    local function is_there()
        return self.state == wanted or type(wanted) == 'table' and wanted[self.state] or false
    end
    local function is_over()
        return self.state == 'closed' or self.state == 'error'
            or self.state == 'graceful_shutdown' and self.opts.reconnect_after == nil
    end
    while not is_there() and not is_over() do
        local left = deadline - fiber.clock()
        if left <= 0 then
            break
        end
        self._state_changed:wait(left)
        fiber.testcancel()
    end
    return is_there()
end

function methods:wait_connected(timeout)
    check_self(self, 'wait_connected')
    return self:wait_state('active', timeout)
end

function methods:ping(options)
    check_self(self, 'ping')
    check.options(options, REQUEST_OPTIONS, 2)
    if options ~= nil and options.is_async then
        error("conn:ping() doesn't support `is_async` argument", 2)
    end
    local _, err = perform(self._connection or self, self._stream_id, options, KIND.PING,
        read.nothing)
    return err == nil
end

function methods:reload_schema()
    check_self(self, 'reload_schema')
    self:ping()
end

local function check_arguments(arguments, method, what)
    if arguments ~= nil and type(arguments) ~= 'table' and not msgpack.is_object(arguments) then
        error(('Use remote:%s(%s, {arg1, arg2, ...}, opts) instead of remote:%s(%s, arg1, arg2, ...)')
            :format(method, what, method, what), 3)
    end
end

-- The results of a call as the results of this one, unless the caller asked for something else.
local function results(options, value)
    if options ~= nil and (options.is_async or options.buffer ~= nil or options.return_raw) then
        return value
    end
    return unpack(value)
end

function methods:call(name, arguments, options)
    check_self(self, 'call')
    check_arguments(arguments, 'call', 'func_name')
    check.options(options, REQUEST_OPTIONS, 2)
    return results(options, request(self._connection or self, self._stream_id, options, KIND.CALL,
        read.values, tostring(name), arguments or {}, self._transport:takes_tuples()))
end

function methods:eval(code, arguments, options)
    check_self(self, 'eval')
    check_arguments(arguments, 'eval', 'expression')
    check.options(options, REQUEST_OPTIONS, 2)
    return results(options, request(self._connection or self, self._stream_id, options, KIND.EVAL,
        read.values, code, arguments or {}, self._transport:takes_tuples()))
end

function methods:execute(query, parameters, sql_options, options)
    check_self(self, 'execute')
    if sql_options ~= nil then
        box.error(box.error.UNSUPPORTED, 'execute', 'options', 2)
    end
    check.options(options, REQUEST_OPTIONS, 2)
    return request(self._connection or self, self._stream_id, options, KIND.EXECUTE, read.values,
        query, parameters or {}, {})
end

function methods:prepare(query, _, sql_options, options)
    check_self(self, 'prepare')
    if type(query) ~= 'string' then
        box.error(box.error.SQL_PREPARE, 'expected string as SQL statement', 2)
    elseif sql_options ~= nil then
        box.error(box.error.UNSUPPORTED, 'prepare', 'options', 2)
    end
    check.options(options, REQUEST_OPTIONS, 2)
    return request(self._connection or self, self._stream_id, options, KIND.PREPARE, read.values,
        query, {}, {})
end

function methods:unprepare(query, parameters, sql_options, options)
    check_self(self, 'unprepare')
    if type(query) ~= 'number' then
        box.error(box.error.ILLEGAL_PARAMS, 'query id is expected to be numeric', 2)
    elseif sql_options ~= nil then
        box.error(box.error.UNSUPPORTED, 'unprepare', 'options', 2)
    end
    check.options(options, REQUEST_OPTIONS, 2)
    return request(self._connection or self, self._stream_id, options, KIND.PREPARE, read.values,
        query, parameters or {}, {})
end

--
-- Streams
--

local stream_methods = {}

local function transaction_options(given)
    if given == nil then
        return nil, nil, nil
    elseif type(given) ~= 'table' then
        error('txn_opts should be a table', 3)
    end
    local timeout, is_sync = given.timeout, given.is_sync
    if timeout ~= nil and (type(timeout) ~= 'number' or timeout <= 0) then
        error('timeout must be a number greater than 0', 3)
    elseif is_sync ~= nil and type(is_sync) ~= 'boolean' then
        error('is_sync must be a boolean', 3)
    elseif is_sync == false then
        error('is_sync can only be true', 3)
    end
    local isolation = given.txn_isolation
    if type(isolation) == 'string' then
        isolation = box.txn_isolation_level[isolation]
            or box.txn_isolation_level[isolation:upper():gsub('-', '_')]
    end
    if given.txn_isolation ~= nil and type(isolation) ~= 'number' then
        box.error(box.error.ILLEGAL_PARAMS,
            'txn_isolation must be one of box.txn_isolation_level (keys or values)', 3)
    end
    return timeout, isolation, is_sync
end

-- Only a future is worth returning.
local function run_in(stream, options, kind, ...)
    local value = request(stream._connection, stream._stream_id, options, kind, read.nothing, ...)
    if options ~= nil and options.is_async then
        return value
    end
end

function stream_methods:begin(given, options)
    check_self(self, 'begin')
    check.options(options, REQUEST_OPTIONS, 2)
    return run_in(self, options, KIND.BEGIN, transaction_options(given))
end

local function has_request_option(options)
    for name in pairs(options or NO_OPTIONS) do
        if REQUEST_OPTIONS[name] ~= nil then
            return true
        end
    end
    return false
end

-- commit(options), commit(txn_opts) and commit(txn_opts, options).
function stream_methods:commit(given, options)
    check_self(self, 'commit')
    for _, one in pairs({given or NO_OPTIONS, options or NO_OPTIONS}) do
        if type(one) ~= 'table' then
            box.error(box.error.ILLEGAL_PARAMS, 'options should be a table', 2)
        end
    end
    if has_request_option(given) then
        if options ~= nil or given.is_sync ~= nil then
            box.error(box.error.ILLEGAL_PARAMS,
                'options are either in the wrong order or mixed up', 2)
        end
        given, options = nil, given
    end
    check.options(options, REQUEST_OPTIONS, 2)
    local is_sync = given ~= nil and given.is_sync or nil
    if given ~= nil and given.is_sync == false then
        box.error(box.error.ILLEGAL_PARAMS, 'is_sync can only be true', 2)
    elseif is_sync ~= nil and type(is_sync) ~= 'boolean' then
        box.error(box.error.ILLEGAL_PARAMS, 'is_sync must be a boolean', 2)
    end
    return run_in(self, options, KIND.COMMIT, nil, nil, is_sync)
end

function stream_methods:rollback(options)
    check_self(self, 'rollback')
    check.options(options, REQUEST_OPTIONS, 2)
    return run_in(self, options, KIND.ROLLBACK)
end

function stream_methods:new_stream()
    check_self(self, 'new_stream')
    return self._connection:new_stream()
end

function methods:new_stream()
    check_self(self, 'new_stream')
    self._last_stream_id = self._last_stream_id + 1
    local connection = self
    local stream = {_connection = self, _stream_id = self._last_stream_id}
    for name, method in pairs(stream_methods) do
        stream[name] = method
    end
    stream.space = spaces.of_stream(self, stream)
    return setmetatable(stream, {__index = self, __serialize = function()
        local result = shown(connection)
        result.stream_id = stream._stream_id
        return result
    end})
end

--
-- Connecting
--

local function address_of(where, options)
    local parsed, problem = uri.parse(where)
    if parsed == nil then
        error(problem, 4)
    end
    if options.user == nil and options.password == nil then
        options.user, options.password = parsed.login, parsed.password
    end
    if options.user == nil and options.password ~= nil then
        box.error(box.error.PROC_LUA, 'net.box: user is not defined', 4)
    end
    local params = parsed.params or {}
    if options.auth_type == nil and params.auth_type ~= nil then
        options.auth_type = params.auth_type[1]
    end
    if options.auth_type ~= nil then
        check.call_at(4, transports.native.check_auth_type, options.auth_type)
    end
    local host, port = parsed.host, parsed.service
    if parsed.unix ~= nil then
        return {host = parsed.unix, params = params}, host, port
    end
    local address = parsed.ipv4 or parsed.ipv6 or host
    if address == nil or address == '' then
        address = '127.0.0.1'
    end
    return {host = address, port = tonumber(port) or 3301, params = params}, host, port
end

-- A connection that is not started yet.
local function make(options)
    local connection = {
        opts = options,
        state = 'initial',
        space = {},
        _is_connected = false,
        _state_changed = fiber.cond(),
        _watched = {},
        _last_stream_id = 0,
        _native_format = transports.native.format,
    }
    for _, name in ipairs({'on_connect', 'on_disconnect', 'on_schema_reload', 'on_shutdown'}) do
        connection['_' .. name] = trigger_list.new(name)
    end
    -- Whoever holds a space or an index holds the connection.
    local function run(object, given, kind, reader, ...)
        return request(connection, object._stream_id, given, kind, reader, ...)
    end
    local function has_feature(_, name)
        return (connection.peer_protocol_features or {})[name] == true
    end
    connection._metatables = {
        space = spaces.space_metatable(run), index = spaces.index_metatable(run, has_feature),
    }
    connection._metatables.space.__index.connection = connection
    if options.fetch_schema == false then
        connection.space = spaces.without_schema(function()
            return has_feature(nil, 'space_and_index_names')
        end, connection._metatables)
    end
    return setmetatable(connection, connection_mt)
end

local function start(address, options, host, port)
    if options.console then
        box.error(box.error.ILLEGAL_PARAMS, "Netbox text protocol support was dropped, "
            .. "please use require('console').connect() instead", 3)
    end
    local connection = make(options)
    connection.host, connection.port, connection.fd = host, port, address.fd
    local password = options.password
    options.password = nil
    local transport = transports.new(connection, address,
        setmetatable({password = password}, {__index = options}), events)
    connection._transport = transport
    -- A connection that nobody has any more is closed.
    connection._finalizer = ffi.gc(ffi.new('char[1]'), function() transport:abandon() end)
    -- Keys are watched again whenever there is a new connection.
    connection._on_connect(function()
        for key in pairs(connection._watched) do
            transport:watch(key)
        end
    end)
    if not options._disable_graceful_shutdown then
        connection:watch('box.shutdown', function(_, is_ending)
            if is_ending then
                on_shutdown(connection)
            end
        end)
    end
    transport:start()
    if options.wait_connected ~= false then
        local timeout = options.wait_connected
        connection:wait_state('active', type(timeout) == 'number' and timeout or nil)
    end
    return connection
end

-- connect(uri[, options]), connect(host, port[, options]); as a method, too.
local function read_arguments(...)
    local where, port, options = ...
    if where == net_box then
        where, port, options = select(2, ...)
    end
    if type(port) == 'table' then
        port, options = nil, port
    end
    options = table.copy(options or {})
    if port == nil and (type(where) == 'string' or type(where) == 'table') then
        return where, options
    elseif port == nil and type(where) == 'number' then
        return tostring(where), options
    elseif (where == nil or type(where) == 'string') and
           (type(port) == 'string' or type(port) == 'number') then
        return uri.format({host = where or '127.0.0.1', service = tostring(port)}), options
    end
    box.error(box.error.PROC_LUA, 'usage: connect(uri[, opts] | host, port[, opts])', 3)
end

function net_box.connect(...)
    local where, options = read_arguments(...)
    check.options(options, CONNECT_OPTIONS, 2)
    local address, host, port = address_of(where, options)
    return start(address, options, host, port)
end

net_box.new = net_box.connect

-- Over a socket that is connected already; its descriptor belongs to the connection from now on.
function net_box.from_fd(fd, options)
    check.param(fd, 'fd', 'number', 2)
    check.options(options, CONNECT_OPTIONS, 2)
    if fd < 0 or fd >= 2 ^ 31 or fd % 1 ~= 0 then
        box.error(box.error.ILLEGAL_PARAMS, 'Invalid fd: expected nonnegative integer', 2)
    end
    options = table.copy(options or {})
    -- There would be nothing to connect to.
    options.reconnect_after = nil
    socket.internal.give_away(fd)
    return start({fd = fd}, options)
end

-- net.box.timeout(seconds).connect(...): connects and waits so long at most.
function net_box.timeout(timeout, ...)
    if type(timeout) == 'table' then
        timeout = ...
    end
    if timeout == nil then
        return net_box
    end
    local function connect(...)
        local where, options = read_arguments(...)
        check.options(options, CONNECT_OPTIONS, 2)
        if options.wait_connected ~= false then
            options.wait_connected = timeout
        end
        local address, host, port = address_of(where, options)
        return start(address, options, host, port)
    end
    return setmetatable({connect = connect, new = connect}, {__index = net_box})
end

--
-- net.box.self: the same interface to this instance
--

-- What a call returns, as it would come over the network: cdata as the data it is.
local function finish(is_done, ...)
    if not is_done then
        box.rollback()
        local err = ...
        if box.error.is(err) then
            box.error(err, 3)
        end
        box.error(box.error.PROC_LUA, tostring(err), 3)
    end
    local values, count = {...}, select('#', ...)
    for i = 1, count do
        if type(values[i]) == 'cdata' then
            values[i] = msgpack.decode(msgpack.encode(values[i]))
        end
    end
    return unpack(values, 1, count)
end

local own = {
    ping = function() return true end,
    reload_schema = function() end,
    close = function() end,
    timeout = function(self) return self end,
    wait_connected = function() return true end,
    is_connected = function() return true end,
}

function own.call(self, name, arguments)
    check_self(self, 'call')
    check_arguments(arguments, 'call', 'func_name')
    name, arguments = tostring(name), arguments or {}
    if box.func[name] ~= nil then
        return finish(pcall(box.schema.func.call, name, unpack(arguments)))
    end
    local found = {pcall(box.internal.iproto.find_function, name)}
    if not found[1] then
        return finish(false, found[2])
    elseif found[3] ~= nil then
        return finish(pcall(found[2], found[3], unpack(arguments)))
    end
    return finish(pcall(found[2], unpack(arguments)))
end

function own.eval(self, code, arguments)
    check_self(self, 'eval')
    check_arguments(arguments, 'eval', 'expression')
    local chunk, problem = loadstring(code, '=eval')
    if chunk == nil then
        chunk = loadstring('return ' .. code, '=eval')
    end
    if chunk == nil then
        return finish(false, problem)
    end
    return finish(pcall(chunk, unpack(arguments or {})))
end

net_box.self = setmetatable(own, {__index = function(_, key)
    return key == 'space' and box.space or nil
end})

return net_box
