-- popen: runs child processes and talks to them.

local native = ...

local ipairs, pairs, select, type = ipairs, pairs, select, type
local refuse = native.refuse

local OPTS = {INHERIT = 'inherit', DEVNULL = 'devnull', CLOSE = 'close', PIPE = 'pipe'}
local STREAMS = {'stdin', 'stdout', 'stderr'}

-- Boolean options, with their defaults.
local FLAGS = {
    shell = false, setsid = false, close_fds = true, restore_signals = true, group_signal = false,
    keep_child = false,
}

local function wrong(name, parameter, expected, got)
    refuse(('%s: wrong parameter "%s": expected %s, got %s'):format(name, parameter, expected, got))
end

-- {{{ Options

local function check_stream(name, value)
    if type(value) ~= 'string' then
        wrong('popen.new', 'opts.' .. name, 'string or nil', type(value))
    end
    for _, known in pairs(OPTS) do
        if value == known then
            return value
        end
    end
    wrong('popen.new', 'opts.' .. name, 'popen.opts.<...> constant', value)
end

local function check_environment(variables)
    if type(variables) ~= 'table' then
        wrong('popen.new', 'opts.env', 'table or nil', type(variables))
    end
    local list = {}
    for name, value in pairs(variables) do
        if type(name) ~= 'string' or type(value) ~= 'string' then
            wrong('popen.new', 'opts.env', '{[<string>] = <string>, ...}',
                'a non-string key or value')
        end
        list[#list + 1] = name .. '=' .. value
    end
    return list
end

local function check_descriptors(list)
    if type(list) ~= 'table' then
        wrong('popen.new', 'opts.inherit_fds', 'table or nil', type(list))
    end
    for i, fd in ipairs(list) do
        if type(fd) ~= 'number' or fd < 0 or fd % 1 ~= 0 then
            wrong('popen.new', ('opts.inherit_fds[%d]'):format(i), 'nonnegative integer', type(fd))
        end
    end
    return list
end

local function check_arguments(argv)
    local list = {}
    for i = 1, #argv do
        if type(argv[i]) ~= 'string' then
            wrong('popen.new', ('argv[%d]'):format(i), 'string', type(argv[i]))
        end
        list[i] = argv[i]
    end
    return list
end

local function check_options(opts)
    local request = {}
    for _, name in ipairs(STREAMS) do
        request[name] = opts[name] == nil and OPTS.INHERIT or check_stream(name, opts[name])
    end
    if opts.env ~= nil then
        request.env = check_environment(opts.env)
    end
    for name, default in pairs(FLAGS) do
        local value = opts[name]
        if value == nil then
            value = default
        elseif type(value) ~= 'boolean' then
            wrong('popen.new', 'opts.' .. name, 'boolean or nil', type(value))
        end
        request[name] = value
    end
    if opts.inherit_fds ~= nil then
        request.inherit_fds = check_descriptors(opts.inherit_fds)
    end
    return request
end

-- As a shell would be given it, for people to read.
local function command_text(request)
    local words = request.shell and {'sh', '-c'} or {}
    for _, argument in ipairs(request.argv) do
        local is_quoted = argument == '' or argument:find(' ', 1, true) ~= nil
        words[#words + 1] = is_quoted and "'" .. argument .. "'" or argument
    end
    return table.concat(words, ' ')
end

-- }}} Options

-- {{{ Handles

-- What a handle was made with, by handle.
local known = setmetatable({}, {__mode = 'k'})

local methods = {}

local function check_handle(handle, usage)
    if not native.is_handle(handle) then
        refuse('Bad params, use: ph:' .. usage)
    elseif native.is_closed(handle) then
        refuse('popen: attempt to operate on a closed handle')
    end
end

local function check_timeout(opts, usage)
    local timeout = opts.timeout
    if timeout ~= nil and (type(timeout) ~= 'number' or not (timeout >= 0)) then
        refuse('Bad params, use: ph:' .. usage)
    end
    return timeout
end

-- Options of a method: a table, or nothing. Those that choose streams are booleans.
local function method_options(opts, usage)
    if opts == nil then
        return {}
    elseif type(opts) ~= 'table' then
        refuse('Bad params, use: ph:' .. usage)
    end
    for _, name in ipairs(STREAMS) do
        if opts[name] ~= nil and type(opts[name]) ~= 'boolean' then
            refuse('Bad params, use: ph:' .. usage)
        end
    end
    return opts
end

function methods.signal(handle, number)
    if type(number) ~= 'number' then
        refuse('Bad params, use: ph:signal(signo)')
    end
    check_handle(handle, 'signal(signo)')
    return native.signal(handle, number)
end

function methods.terminate(handle)
    check_handle(handle, 'terminate()')
    return native.signal(handle, native.signals.SIGTERM)
end

function methods.kill(handle)
    check_handle(handle, 'kill()')
    return native.signal(handle, native.signals.SIGKILL)
end

function methods.wait(handle, opts)
    local usage = 'wait([{timeout = <number>}])'
    check_handle(handle, usage)
    return native.wait(handle, check_timeout(method_options(opts, usage), usage))
end

function methods.read(handle, opts)
    local usage = 'read([{stdout = <boolean>, stderr = <boolean>, timeout = <number>}])'
    check_handle(handle, usage)
    opts = method_options(opts, usage)
    local timeout = check_timeout(opts, usage)
    if opts.stdout and opts.stderr then
        refuse('popen: reading from both stdout and stderr at one call is not supported')
    end
    return native.read(handle, opts.stderr == true, timeout)
end

function methods.write(handle, text, opts)
    local usage = 'write(str[, {timeout = <number>}])'
    if type(text) ~= 'string' then
        refuse('Bad params, use: ph:' .. usage)
    end
    check_handle(handle, usage)
    return native.write(handle, text, check_timeout(method_options(opts, usage), usage))
end

function methods.shutdown(handle, opts)
    local usage = 'shutdown({stdin = <boolean>, stdout = <boolean>, stderr = <boolean>})'
    check_handle(handle, usage)
    opts = method_options(opts, usage)
    return native.shutdown(handle, opts.stdin, opts.stdout, opts.stderr)
end

local function options_of(handle)
    local request, shown = known[handle], {}
    for name in pairs(FLAGS) do
        shown[name] = request[name]
    end
    for _, name in ipairs(STREAMS) do
        shown[name] = request[name]
    end
    return shown
end

local fields = {
    pid = native.pid,
    command = function(handle) return command_text(known[handle]) end,
    opts = options_of,
    status = native.status,
    stdin = function(handle) return native.stream(handle, 0) end,
    stdout = function(handle) return native.stream(handle, 1) end,
    stderr = function(handle) return native.stream(handle, 2) end,
}

function methods.info(handle)
    check_handle(handle, 'info()')
    local info = {}
    for name, read in pairs(fields) do
        info[name] = read(handle)
    end
    return info
end

function methods.close(handle)
    if not native.is_handle(handle) then
        refuse('Bad params, use: ph:close()')
    end
    return native.close(handle)
end

function methods.is_closed(handle)
    if not native.is_handle(handle) then
        refuse('Bad params, use: ph:is_closed()')
    end
    return native.is_closed(handle)
end

native.set_metatable({
    __index = function(handle, key)
        if type(key) ~= 'string' then
            refuse('Bad params, use __index(ph, <string>)')
        end
        local method = methods[key]
        if method ~= nil then
            return method
        elseif native.is_closed(handle) then
            refuse('Attempt to index a closed popen handle')
        end
        local read = fields[key]
        return read and read(handle)
    end,
    __serialize = function(handle)
        if native.is_closed(handle) then
            return '<closed popen handle>'
        end
        return methods.info(handle)
    end,
    __autocomplete = function() return methods end,
})

-- }}} Handles

local popen = {
    signal = native.signals,
    opts = OPTS,
    stream = {OPEN = 'open', CLOSED = 'closed'},
    state = {ALIVE = 'alive', EXITED = 'exited', SIGNALED = 'signaled'},
}

-- Runs a program. Without a shell its path is not searched for.
function popen.new(...)
    local argv, opts = ...
    if type(argv) ~= 'table' then
        wrong('popen.new', 'argv', 'table', select('#', ...) == 0 and 'no value' or type(argv))
    elseif type(opts) ~= 'nil' and type(opts) ~= 'table' then
        wrong('popen.new', 'opts', 'table or nil', type(opts))
    end
    local request = check_options(opts or {})
    request.argv = check_arguments(argv)
    if request.group_signal and not request.setsid then
        refuse('popen: group signal without setting sid')
    elseif #request.argv == 0 and not request.shell then
        refuse('popen: no command to run')
    end
    local handle, problem = native.spawn(request)
    if handle == nil then
        return nil, problem
    end
    known[handle] = request
    return handle
end

local MODES = {r = 'stdout', R = 'stderr', w = 'stdin'}

-- Runs a command of the shell; the mode says which of its streams are pipes.
function popen.shell(...)
    local command, mode = ...
    if type(command) ~= 'string' then
        wrong('popen.shell', 'command', 'string',
            select('#', ...) == 0 and 'no value' or type(command))
    elseif type(mode) ~= 'nil' and type(mode) ~= 'string' then
        wrong('popen.shell', 'mode', 'string or nil', type(mode))
    end
    local opts = {shell = true, setsid = true, group_signal = true}
    for letter in (mode or ''):gmatch('.') do
        local stream = MODES[letter]
        if stream == nil then
            wrong('popen.shell', 'mode', "'r', 'w', 'R' or its combination", mode)
        end
        opts[stream] = OPTS.PIPE
    end
    return popen.new({command}, opts)
end

return popen
