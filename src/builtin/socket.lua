-- socket: TCP, UDP and Unix sockets whose waiting leaves other fibers running.
--
-- A socket's methods return nil or false when the system refuses; `errno()` and `error()` tell why.

local ffi = require('ffi')
local buffer = require('buffer')
local errno = require('errno')
local fiber = require('fiber')
local native = ...

local error, ipairs, pairs, pcall, tonumber, tostring, type = error, ipairs, pairs, pcall,
    tonumber, tostring, type
local format, min = string.format, math.min

local TIMEOUT_INFINITY = 500 * 365 * 86400
local LIMIT_INFINITY = 2147483647
local READAHEAD = buffer.READAHEAD
local BACKLOG = 256
-- The size that recv asks for when nothing better is known.
local RECV_SIZE = 512

ffi.cdef([[
    struct gc_socket {
        int fd;
    };
    int close(int fd);
]])

-- Closes what the application forgot. A finalizer cannot yield, and nobody waits for a socket
-- that nothing refers to.
local gc_socket = ffi.metatype('struct gc_socket', {
    __gc = function(self)
        if self.fd >= 0 then
            ffi.C.close(self.fd)
        end
    end,
})

local TRANSIENT = {
    [errno.EAGAIN] = true,
    [errno.EWOULDBLOCK] = true,
    [errno.EINTR] = true,
}

local ACCEPT_FATAL = {
    [errno.EBADF] = true,
    [errno.EINVAL] = true,
    [errno.EOPNOTSUPP] = true,
    [errno.ENOTSOCK] = true,
}

local socket_mt

local function is_closed(self)
    return self._gc_socket.fd < 0
end

-- The descriptor; levels: 1 is this function, 2 the method, 3 its caller.
local function check_socket(self)
    local holder = type(self) == 'table' and self._gc_socket
    if not ffi.istype(gc_socket, holder) then
        local suffix = self ~= nil and ', called with non-socket' or ''
        error('Usage: socket:method()' .. suffix, 3)
    elseif holder.fd < 0 then
        error('attempt to use closed socket', 3)
    end
    return holder.fd
end

-- Who holds a descriptor, by its number.
local holders = setmetatable({}, {__mode = 'v'})

local function make_socket(fd, kind)
    local holder = gc_socket(fd)
    holders[fd] = holder
    return setmetatable({_gc_socket = holder, itype = kind}, socket_mt)
end

-- A descriptor that is never open.
local NO_DESCRIPTOR = 2147483647

-- Takes a descriptor from the socket that has it: somebody else closes it from now on, and its
-- number may then be that of another file.
function native.give_away(fd)
    local holder = holders[fd]
    if holder ~= nil and holder.fd == fd then
        holder.fd = NO_DESCRIPTOR
    end
    holders[fd] = nil
end

-- Remembers why a call failed, and passes its result on.
local function note(self, result, ...)
    self._errno = result == nil and errno() or nil
    return result, ...
end

local methods = {}

function methods.fd(self)
    return (check_socket(self))
end

function methods.errno(self)
    check_socket(self)
    return self._errno or 0
end

function methods.error(self)
    check_socket(self)
    return self._errno and errno.strerror(self._errno) or nil
end

function methods.close(self)
    local fd = check_socket(self)
    self._gc_socket.fd = -1
    return note(self, native.close(fd)) == true
end

-- Lets go of the descriptor without closing it.
function methods.detach(self)
    check_socket(self)
    self._errno = nil
    self._gc_socket.fd = -1
end

local address_mt = {
    __tostring = function(address)
        if address.host == nil and address.port == nil then
            return ''
        end
        return format('%s:%s', tostring(address.host or '0'), tostring(address.port or '0'))
    end,
}

local function with_text(address)
    return address and setmetatable(address, address_mt) or nil
end

function methods.name(self)
    return with_text(note(self, native.name(check_socket(self))))
end

function methods.peer(self)
    return with_text(note(self, native.peer(check_socket(self))))
end

-- Names and numbers of constants ----------------------------------------------------------

local function constant(names, key)
    return type(key) == 'number' and key or names[key]
end

-- Combines flags; nil when one is unknown.
local function combine(names, flags)
    local result = 0
    for _, flag in pairs(type(flags) == 'table' and flags or {flags}) do
        local value = constant(names, flag)
        if value == nil then
            return nil
        end
        result = bit.bor(result, value)
    end
    return result
end

local function protocol_number(name)
    if type(name) == 'number' then
        return name
    elseif type(name) ~= 'string' then
        errno(errno.EINVAL)
        return nil
    end
    local number = native.protocols[name] or native.getprotobyname(name)
    if number == nil then
        errno(errno.EPROTOTYPE)
        return nil
    end
    native.protocols[name] = number
    return number
end

local function option_level(level)
    if type(level) == 'number' then
        return level
    elseif type(level) ~= 'string' then
        errno(errno.EINVAL)
        return nil
    elseif level == 'SOL_SOCKET' or level == 'socket' then
        return native.SOL_SOCKET
    end
    local name = level:match('IPPROTO_([A-Z]*)') or level:match('SOL_([A-Z]*)') or level
    return protocol_number(name:lower())
end

local function option_info(level, name)
    local options = native.SO_OPT[level] or {}
    local info = options[name]
    if info == nil then
        error(format('Unknown socket option name: %s', tostring(name)), 3)
    end
    return info
end

function methods.setsockopt(self, level, name, value)
    local fd = check_socket(self)
    level = option_level(level)
    if level == nil then
        self._errno = errno()
        return false
    end
    local info = option_info(level, name)
    if name == 'SO_LINGER' then
        error('Use s:linger(active[, timeout])', 2)
    elseif not info.rw then
        error(format('Socket option %s is read only', name), 2)
    elseif info.type == 0 then
        error(format('Unsupported socket option: %s', name), 2)
    end
    if type(value) == 'boolean' then
        value = value and 1 or 0
    end
    return note(self, native.setsockopt(fd, level, info.iname, value)) == true
end

function methods.getsockopt(self, level, name)
    local fd = check_socket(self)
    level = option_level(level)
    if level == nil then
        self._errno = errno()
        return false
    end
    local info = option_info(level, name)
    if name == 'SO_LINGER' then
        error('Use s:linger()', 2)
    elseif info.type == 0 then
        error(format('Unsupported socket option: %s', name), 2)
    end
    return (note(self, native.getsockopt(fd, level, info.iname, info.type == 2)))
end

function methods.linger(self, active, timeout)
    return note(self, native.linger(check_socket(self), active, timeout))
end

function methods.nonblock(self, flag)
    return (note(self, native.nonblock(check_socket(self), flag)))
end

-- Waiting ---------------------------------------------------------------------------------

local function wait(self, events, timeout)
    local fd = check_socket(self)
    self._errno = nil
    local ready = native.iowait(fd, events, timeout or TIMEOUT_INFINITY)
    if ready == 0 or ready == '' then
        self._errno = errno.ETIMEDOUT
        return 0
    end
    return ready
end

function methods.readable(self, timeout)
    return wait(self, 1, timeout) ~= 0
end

function methods.writable(self, timeout)
    return wait(self, 2, timeout) ~= 0
end

function methods.wait(self, timeout)
    return wait(self, 'RW', timeout)
end

-- System calls that do not wait -----------------------------------------------------------

function methods.sysconnect(self, host, port)
    local fd = check_socket(self)
    return note(self, native.connect(fd, tostring(host), tostring(port))) == true
end

function methods.bind(self, host, port)
    local fd = check_socket(self)
    return note(self, native.bind(fd, tostring(host), tostring(port))) == true
end

function methods.listen(self, backlog)
    return note(self, native.listen(check_socket(self), backlog or BACKLOG)) == true
end

local SHUTDOWN = {
    R = 0, READ = 0, receive = 0, [0] = 0,
    W = 1, WRITE = 1, send = 1, [1] = 1,
    RW = 2, READ_WRITE = 2, both = 2, [2] = 2,
}

function methods.shutdown(self, how)
    return note(self, native.shutdown(check_socket(self), SHUTDOWN[how] or 2)) == true
end

function methods.accept(self)
    local fd, from = note(self, native.accept(check_socket(self)))
    if fd == nil then
        return nil
    end
    return make_socket(fd, self.itype), from
end

-- syswrite(data) or syswrite(pointer, size).
function methods.syswrite(self, data, size)
    local fd = check_socket(self)
    if type(data) == 'cdata' and size ~= nil then
        data = ffi.string(data, size)
    elseif type(data) ~= 'string' then
        error('Usage: socket:syswrite(data) or socket:syswrite(const char *, size)', 2)
    end
    return (note(self, native.write(fd, data)))
end

-- sysread([size]) or sysread(pointer, size).
function methods.sysread(self, target, size)
    local fd = check_socket(self)
    local into = type(target) == 'cdata' and size ~= nil
    size = into and size or target or READAHEAD
    if size < 0 then
        error('socket:sysread(): size can not be negative', 2)
    end
    local data = note(self, native.read(fd, size))
    if into and data ~= nil then
        ffi.copy(target, data, #data)
        return #data
    end
    return data
end

function methods.send(self, data, flags)
    local fd = check_socket(self)
    return (note(self, native.send(fd, data, combine(native.SEND_FLAGS, flags) or 0)))
end

-- The flags and the size of what to receive; nil when one of them is not to be had.
local function receive_arguments(self, fd, size, flags)
    flags = combine(native.SEND_FLAGS, flags)
    if flags == nil then
        self._errno = errno.EINVAL
        return nil
    end
    if size == nil then
        if self.itype ~= native.SO_TYPE.SOCK_DGRAM then
            size = RECV_SIZE
        else
            size = note(self, native.recv_size(fd))
        end
    end
    return size, flags
end

function methods.recv(self, size, flags)
    local fd = check_socket(self)
    size, flags = receive_arguments(self, fd, size, flags)
    if size == nil then
        return nil
    end
    return (note(self, native.recv(fd, size, flags)))
end

function methods.recvfrom(self, size, flags)
    local fd = check_socket(self)
    size, flags = receive_arguments(self, fd, size, flags)
    if size == nil then
        return nil
    end
    return note(self, native.recvfrom(fd, size, flags))
end

function methods.sendto(self, host, port, data, flags)
    local fd = check_socket(self)
    flags = combine(native.SEND_FLAGS, flags)
    if flags == nil then
        self._errno = errno.EINVAL
        return nil
    elseif data == nil or data == '' then
        self._errno = nil
        return true
    end
    return (note(self, native.sendto(fd, tostring(host), tostring(port), tostring(data), flags)))
end

-- Reading and writing ---------------------------------------------------------------------

-- What is read ahead and not returned yet waits in the string `rbuf`.

local function check_limit(self, limit)
    return #self.rbuf >= limit and limit or nil
end

local function check_any(self, limit)
    return limit == 0 and 0 or #self.rbuf > 0 and #self.rbuf or nil
end

local function check_delimiter(self, limit, delimiters)
    if limit == 0 then
        return 0
    end
    local shortest
    for _, delimiter in ipairs(delimiters) do
        -- What was searched before cannot hold the start of a delimiter, except at its end.
        local from = math.max(1, (self.searched or 0) - #delimiter + 2)
        local _, last = self.rbuf:find(delimiter, from, true)
        if last ~= nil and (shortest == nil or last < shortest) then
            shortest = last
        end
    end
    self.searched = shortest == nil and #self.rbuf or nil
    if shortest ~= nil and shortest <= limit then
        return shortest
    end
    return #self.rbuf >= limit and limit or nil
end

local function take(self, size)
    self._errno, self.searched = nil, nil
    local data = self.rbuf:sub(1, size)
    self.rbuf = self.rbuf:sub(size + 1)
    return data
end

-- Reads until `check` says how much to return. The end of the stream returns what there is.
local function read(self, limit, timeout, check, delimiters)
    if limit < 0 then
        error('socket:read(): limit can not be negative', 3)
    end
    limit = min(limit, LIMIT_INFINITY)
    self.rbuf = self.rbuf or ''
    self.searched = nil
    local size = check(self, limit, delimiters)
    if size ~= nil then
        return take(self, size)
    end
    local deadline = fiber.clock() + timeout
    repeat
        local data = note(self, native.read(check_socket(self), READAHEAD))
        if data == '' then
            return take(self, #self.rbuf)
        elseif data ~= nil then
            self.rbuf = self.rbuf .. data
            size = check(self, limit, delimiters)
            if size ~= nil then
                return take(self, size)
            end
        elseif not TRANSIENT[self._errno] then
            return nil
        end
    until not methods.readable(self, deadline - fiber.clock())
    return nil
end

function methods.read(self, what, timeout)
    check_socket(self)
    timeout = timeout or TIMEOUT_INFINITY
    if type(what) == 'number' then
        return read(self, what, timeout, check_limit)
    elseif type(what) == 'string' then
        return read(self, LIMIT_INFINITY, timeout, check_delimiter, {what})
    elseif type(what) == 'table' then
        local limit = what.chunk or what.size or LIMIT_INFINITY
        local delimiter = what.delimiter or what.line
        if delimiter == nil then
            return read(self, limit, timeout, check_limit)
        elseif type(delimiter) == 'string' then
            return read(self, limit, timeout, check_delimiter, {delimiter})
        elseif type(delimiter) == 'table' then
            return read(self, limit, timeout, check_delimiter, delimiter)
        end
    end
    return error('Usage: s:read(delimiter|chunk|{delimiter = x, chunk = x}, timeout)', 2)
end

-- Writes everything; returns how much was written before an error or the timeout.
function methods.write(self, data, timeout)
    check_socket(self)
    local size = #data
    if size == 0 then
        return 0
    end
    local written = 0
    local deadline = fiber.clock() + (timeout or TIMEOUT_INFINITY)
    repeat
        local count = note(self, native.write(check_socket(self), data, written))
        if count == 0 then
            return written
        elseif count ~= nil then
            written = written + count
            if written == size then
                return written
            end
        elseif not TRANSIENT[self._errno] then
            return nil
        end
    until not methods.writable(self, deadline - fiber.clock())
    return nil
end

socket_mt = {
    __index = methods,
    __tostring = function(self)
        local saved = self._errno
        local text = format('fd %d', check_socket(self))
        local name, peer = methods.name(self), methods.peer(self)
        if name ~= nil then
            text = format('%s, aka %s:%s', text, name.host, name.port)
        end
        if peer ~= nil then
            text = format('%s, peer %s:%s', text, peer.host, peer.port)
        end
        self._errno = saved
        return text
    end,
    __serialize = function(self)
        return {fd = check_socket(self), peer = methods.peer(self), name = methods.name(self)}
    end,
}

-- Constructors ----------------------------------------------------------------------------

-- Resolves names of domain, type and protocol; nil with errno set when one is unknown.
local function check_kind(domain, kind, protocol)
    domain, kind = constant(native.DOMAIN, domain), constant(native.SO_TYPE, kind)
    if domain == nil or kind == nil then
        errno(errno.EINVAL)
        return nil
    end
    protocol = protocol_number(protocol)
    if protocol == nil then
        return nil
    end
    return domain, kind, protocol
end

local function new(domain, kind, protocol)
    domain, kind, protocol = check_kind(domain, kind, protocol)
    if domain == nil then
        return nil
    end
    local fd = native.socket(domain, kind, protocol)
    if fd == nil then
        return nil
    end
    return make_socket(fd, kind)
end

local function socketpair(domain, kind, protocol)
    domain, kind, protocol = check_kind(domain, kind, protocol)
    if domain == nil then
        return nil
    end
    local first, second = native.socketpair(domain, kind, protocol)
    if first == nil then
        return nil
    end
    return make_socket(first, kind), make_socket(second, kind)
end

local function from_fd(fd)
    if type(fd) ~= 'number' then
        error('fd must be a number', 2)
    end
    local option = native.SO_OPT[native.SOL_SOCKET].SO_TYPE.iname
    return make_socket(fd, native.getsockopt(fd, native.SOL_SOCKET, option) or 0)
end

-- getaddrinfo(host, port[, timeout[, opts]]) or getaddrinfo(host, port, opts).
local function getaddrinfo(host, port, timeout, opts)
    if type(timeout) == 'table' and opts == nil then
        timeout, opts = nil, timeout
    end
    local hints = {}
    if opts ~= nil then
        local wanted = {
            {'type', opts.type, function(value) return constant(native.SO_TYPE, value) end},
            {'family', opts.family, function(value) return constant(native.DOMAIN, value) end},
            {'protocol', opts.protocol, protocol_number},
            {'flags', opts.flags, function(value) return combine(native.AI_FLAGS, value) end},
        }
        for i = 1, 4 do
            local name, value, convert = wanted[i][1], wanted[i][2], wanted[i][3]
            if value ~= nil then
                hints[name] = convert(value)
                if hints[name] == nil then
                    if name ~= 'protocol' then
                        errno(errno.EINVAL)
                    end
                    return nil, errno.strerror()
                end
            end
        end
    end
    return native.getaddrinfo(tostring(host), tostring(port or 0), timeout or TIMEOUT_INFINITY,
                              hints)
end

-- Clients ---------------------------------------------------------------------------------

local function connect(self, host, port, timeout)
    if methods.sysconnect(self, host, port) then
        return true
    elseif self._errno ~= errno.EINPROGRESS then
        return nil
    end
    -- The socket becomes writable when the connection is there and when it has failed.
    if methods.writable(self, timeout) then
        self._errno = methods.getsockopt(self, 'SOL_SOCKET', 'SO_ERROR')
    end
    if self._errno ~= 0 then
        return nil
    end
    self._errno = nil
    return true
end

-- Closes a socket and keeps errno as the failed call left it.
local function give_up(self, number)
    methods.close(self)
    errno(number)
    return nil, errno.strerror(number)
end

local function tcp_connect(host, port, timeout)
    if host == 'unix/' then
        local client = new('AF_UNIX', 'SOCK_STREAM', 0)
        if client == nil then
            return nil, errno.strerror()
        elseif not connect(client, host, port, timeout) then
            return give_up(client, client._errno)
        end
        errno(0)
        return client
    end
    local deadline = fiber.clock() + (timeout or TIMEOUT_INFINITY)
    local found, problem = getaddrinfo(host, port, timeout, {
        protocol = 'tcp',
        type = 'SOCK_STREAM',
        flags = 'AI_ADDRCONFIG',
    })
    if found == nil then
        return nil, problem
    end
    local reason = errno.EINVAL
    for _, address in ipairs(found) do
        local rest = deadline - fiber.clock()
        if rest <= 0 then
            reason = errno.ETIMEDOUT
            break
        end
        local client = new(address.family, address.type, address.protocol)
        if client ~= nil then
            if connect(client, address.host, address.port, rest) then
                errno(0)
                return client
            end
            reason = client._errno
            methods.close(client)
        else
            reason = errno()
        end
    end
    errno(reason)
    return nil, errno.strerror(reason)
end

-- Servers ---------------------------------------------------------------------------------

local function serve_client(server, client, from)
    fiber.name(format('%s/%s:%s', server.name, from.host, from.port), {truncate = true})
    local ok, problem = pcall(server.handler, client, from)
    if not is_closed(client) then
        methods.shutdown(client)
        client:close()
    end
    if not ok then
        error(problem, 0)
    end
end

local function serve(server, listener, address)
    local log = require('log')
    address = address or methods.name(listener) or {host = '?', port = '?'}
    fiber.name(format('%s/%s:%s', server.name, address.host, address.port), {truncate = true})
    log.info('started')
    while not is_closed(listener) and methods.readable(listener) do
        if is_closed(listener) then
            break
        end
        local client, from = methods.accept(listener)
        if client ~= nil then
            fiber.create(serve_client, server, client, from)
        else
            local number = listener._errno
            if not TRANSIENT[number] then
                log.error('accept(%s) failed: %s', tostring(listener), errno.strerror(number))
            end
            if ACCEPT_FATAL[number] then
                break
            end
        end
    end
    log.info('stopped')
end

local function bind_and_own(listener, address)
    if not methods.bind(listener, address.host, address.port) then
        return false
    end
    if address.family == 'AF_UNIX' then
        -- Removing the file comes first: nobody else can have bound the path then.
        listener.close = function(self)
            require('fio').unlink(address.port)
            return methods.close(self)
        end
    end
    return true
end

-- Binds; a Unix socket's file that a dead server left behind is replaced.
local function bind_address(listener, address)
    if bind_and_own(listener, address) then
        return true
    end
    local reason = listener._errno
    if address.family ~= 'AF_UNIX' or reason ~= errno.EADDRINUSE then
        return false
    end
    local client = tcp_connect(address.host, address.port)
    if client ~= nil then
        client:close()
    elseif errno() == errno.ECONNREFUSED then
        require('log').info('tcp_server: remove dead UNIX socket: %s', address.port)
        if require('fio').unlink(address.port) then
            return bind_and_own(listener, address)
        end
    end
    listener._errno = reason
    return false
end

local function listen_on(host, port, prepare, timeout)
    local found, problem
    if host == 'unix/' then
        found = {{host = host, port = port, family = 'AF_UNIX', protocol = 0,
                  type = 'SOCK_STREAM'}}
    else
        found, problem = getaddrinfo(host, port, tonumber(timeout), {
            protocol = 'tcp',
            type = 'SOCK_STREAM',
            flags = {'AI_ADDRCONFIG', 'AI_PASSIVE'},
        })
        if found == nil then
            return nil, problem
        end
    end
    for _, address in ipairs(found) do
        local listener = new(address.family, address.type, address.protocol)
        if listener ~= nil then
            local backlog
            if prepare then
                backlog = prepare(listener)
            else
                methods.setsockopt(listener, 'SOL_SOCKET', 'SO_REUSEADDR', 1)
            end
            if not bind_address(listener, address) or not methods.listen(listener, backlog) then
                return give_up(listener, listener._errno)
            end
            return listener, address
        end
    end
    errno(errno.EAFNOSUPPORT)
    return nil, errno.strerror()
end

-- Options of a server from a handler or a table.
local function server_options(opts, usage)
    local server = {}
    if type(opts) == 'function' then
        server.handler = opts
    elseif type(opts) == 'table' then
        for key, value in pairs(opts) do
            server[key] = value
        end
    end
    if type(server.handler) ~= 'function' or
       server.prepare ~= nil and type(server.prepare) ~= 'function' then
        error(usage, 3)
    end
    server.name = server.name or 'server'
    return server
end

local function tcp_server_create(host, port, opts, timeout)
    local prepare = opts
    if type(opts) == 'table' then
        prepare = opts.prepare
    elseif type(opts) ~= 'function' then
        error('Usage: socket.tcp_server_create(host, port, prepare | opts)', 2)
    end
    if prepare ~= nil and type(prepare) ~= 'function' then
        error('Usage: socket.tcp_server_create(host, port, prepare | opts)', 2)
    end
    return listen_on(host, port, prepare, timeout)
end

local function tcp_server_loop(listener, opts)
    local server = server_options(opts, 'Usage: socket.tcp_server_loop(socket, handler | opts)')
    if type(listener) == 'number' then
        listener = from_fd(listener)
    end
    return serve(server, listener)
end

local function tcp_server(host, port, opts, timeout)
    local server = server_options(opts, 'Usage: socket.tcp_server(host, port, handler | opts)')
    local listener, address = listen_on(host, port, server.prepare, timeout)
    if listener == nil then
        return nil, address
    end
    fiber.create(serve, server, listener, address)
    return listener, address
end

-- What the emulation of LuaSocket builds on.
local emulation = require('internal.luasocket')({
    methods = methods,
    check_socket = check_socket,
    new = new,
    connect = connect,
    getaddrinfo = getaddrinfo,
    tcp_connect = tcp_connect,
    listen_on = listen_on,
    is_transient = TRANSIENT,
    check_limit = check_limit,
    check_any = check_any,
    check_delimiter = check_delimiter,
    read = read,
    TIMEOUT_INFINITY = TIMEOUT_INFINITY,
    LIMIT_INFINITY = LIMIT_INFINITY,
})

return setmetatable({
    from_fd = from_fd,
    socketpair = socketpair,
    getaddrinfo = getaddrinfo,
    tcp_connect = tcp_connect,
    tcp_server = tcp_server,
    tcp_server_create = tcp_server_create,
    tcp_server_loop = tcp_server_loop,
    iowait = native.iowait,
    internal = native,
}, {
    __call = function(_, ...)
        return new(...)
    end,
    __index = emulation,
})
