-- luasocket: the interface of the LuaSocket library on our sockets, for modules written for it.

return function(sockets)
    local methods, check_socket = sockets.methods, sockets.check_socket
    local read = sockets.read
    local errno = require('errno')
    local fiber = require('fiber')

    local error, tostring, type = error, tostring, type
    local format = string.format

    local master_mt, server_mt, client_mt

    local function failed(self)
        return nil, methods.error(self)
    end

    local function timeout_of(self)
        return self.timeout or sockets.TIMEOUT_INFINITY
    end

    local shared = {}

    function shared.close(self)
        if not methods.close(self) then
            return nil, errno.strerror(self._errno)
        end
        return 1
    end

    local function describe(self, address)
        if address == nil then
            return failed(self)
        end
        return address.host, tostring(address.port), address.family:match('AF_(.*)'):lower()
    end

    function shared.getsockname(self)
        return describe(self, methods.name(self))
    end

    function shared.getpeername(self)
        return describe(self, methods.peer(self))
    end

    function shared.settimeout(self, timeout)
        check_socket(self)
        self.timeout = timeout
        return 1
    end

    function shared.setoption(self, option, value)
        local done
        if option == 'reuseaddr' then
            done = methods.setsockopt(self, 'socket', 'SO_REUSEADDR', value)
        elseif option == 'keepalive' then
            done = methods.setsockopt(self, 'socket', 'SO_KEEPALIVE', value)
        elseif option == 'linger' then
            done = methods.linger(self, type(value) == 'table' and value.on or value) ~= nil
        elseif option == 'tcp-nodelay' then
            done = methods.setsockopt(self, 'tcp', 'TCP_NODELAY', value)
        else
            error(format('Unknown socket option name: %s', tostring(option)), 2)
        end
        if not done then
            return failed(self)
        end
        return 1
    end

    local function receive_all(self, prefix)
        local parts = {prefix}
        local timeout = timeout_of(self)
        local deadline = fiber.clock() + timeout
        repeat
            local data = read(self, sockets.LIMIT_INFINITY, timeout, sockets.check_any)
            if data == nil then
                if not sockets.is_transient[self._errno] then
                    return failed(self)
                end
            elseif data == '' then
                break
            else
                parts[#parts + 1] = data
            end
        until not methods.readable(self, deadline - fiber.clock())
        if #parts == 1 then
            return nil, 'closed', prefix
        end
        return table.concat(parts)
    end

    -- receive(size), receive('*l') a line without its end, receive('*a') everything.
    local function receive(self, pattern, prefix)
        check_socket(self)
        prefix = prefix or ''
        if type(pattern) == 'number' then
            local data = read(self, pattern, timeout_of(self), sockets.check_limit)
            if data == nil then
                return failed(self)
            elseif #data < pattern then
                return nil, 'closed', prefix .. data
            end
            return prefix .. data
        elseif pattern == '*l' or pattern == nil then
            local data = read(self, sockets.LIMIT_INFINITY, timeout_of(self),
                              sockets.check_delimiter, {'\n'})
            if data == nil then
                return failed(self)
            elseif data:sub(-1) ~= '\n' then
                return nil, 'closed', prefix .. data
            end
            return prefix .. data:sub(1, -2)
        elseif pattern == '*a' then
            return receive_all(self, prefix)
        end
        return error('Usage: socket:receive(pattern, [, prefix])', 2)
    end

    local function send(self, data, i, j)
        if i ~= nil then
            data = data:sub(i, j)
        end
        local sent = methods.write(self, data, self.timeout)
        if sent == nil then
            return failed(self)
        end
        return (i or 1) + sent - 1
    end

    local function make_mt(kind, own)
        for name, method in pairs(shared) do
            own[name] = method
        end
        local function describe_socket(self)
            return format('tcp{%s}: fd=%d', kind, check_socket(self))
        end
        return {__index = own, __tostring = describe_socket, __serialize = describe_socket}
    end

    master_mt = make_mt('master', {
        bind = function(self, address, port)
            if not methods.bind(self, address, port) then
                return failed(self)
            end
            return 1
        end,
        listen = function(self, backlog)
            if not methods.listen(self, backlog) then
                return failed(self)
            end
            setmetatable(self, server_mt)
            return 1
        end,
        connect = function(self, host, port)
            check_socket(self)
            local deadline = fiber.clock() + timeout_of(self)
            local found, problem = sockets.getaddrinfo(host, port, timeout_of(self), {
                family = 'AF_INET',
                type = 'SOCK_STREAM',
            })
            if found == nil or #found == 0 then
                self._errno = errno.EINVAL
                return nil, problem or methods.error(self)
            end
            for _, address in ipairs(found) do
                local rest = deadline - fiber.clock()
                if sockets.connect(self, address.host, address.port, rest) then
                    return 1
                end
            end
            return failed(self)
        end,
        -- Some modules use these before a connection is made, which LuaSocket lets them.
        receive = receive,
        send = send,
    })

    server_mt = make_mt('server', {
        accept = function(self)
            check_socket(self)
            local deadline = fiber.clock() + timeout_of(self)
            repeat
                local client = methods.accept(self)
                if client ~= nil then
                    return setmetatable(client, client_mt)
                elseif not sockets.is_transient[self._errno] then
                    break
                end
            until not methods.readable(self, deadline - fiber.clock())
            return failed(self)
        end,
    })

    client_mt = make_mt('client', {
        receive = receive,
        send = send,
        shutdown = function(self, how)
            if not methods.shutdown(self, how) then
                return failed(self)
            end
            return 1
        end,
    })

    return {
        tcp = function()
            local socket = sockets.new('AF_INET', 'SOCK_STREAM', 'tcp')
            if socket == nil then
                return nil, errno.strerror()
            end
            return setmetatable(socket, master_mt)
        end,
        connect = function(host, port)
            if host == nil or port == nil then
                error('Usage: luasocket.connect(host, port)', 2)
            end
            local socket, problem = sockets.tcp_connect(host, port)
            if socket == nil then
                return nil, problem
            end
            return setmetatable(socket, client_mt)
        end,
        bind = function(host, port, backlog)
            if host == nil or port == nil then
                error('Usage: luasocket.bind(host, port [, backlog])', 2)
            end
            local socket, problem = sockets.listen_on(host, port, function() return backlog end)
            if socket == nil then
                return nil, problem
            end
            return setmetatable(socket, server_mt)
        end,
    }
end
