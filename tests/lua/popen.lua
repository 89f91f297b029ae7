-- Claims about popen: children, their streams, their ends.
local ffi = require('ffi')
local errno = require('errno')
local fiber = require('fiber')
local fio = require('fio')
local popen = require('popen')
local tap = require('tap')

ffi.cdef('int kill(pid_t pid, int signo);')

local test = tap.test('popen')
test:plan(10)

-- Whether a process runs no more; nobody may have asked for its end yet.
local function is_dead(pid)
    local file = io.open(('/proc/%d/stat'):format(pid))
    local state = file and file:read('*a'):match('%) (%a)')
    if file ~= nil then
        file:close()
    end
    return state == nil or state == 'Z'
end

local function wait_dead(pid)
    for _ = 1, 1000 do
        if is_dead(pid) then
            return true
        end
        fiber.sleep(0.01)
    end
    return false
end

local function raises(t, message, fn, ...)
    local ok, problem = pcall(fn, ...)
    t:is_deeply({ok, not ok and problem.type, not ok and problem.message},
        {false, 'IllegalParams', message}, message)
end

test:test('output', function(t)
    t:plan(8)
    local ph = popen.shell('printf "1 2 3"; printf "4" >&2; exit 3', 'rR')
    t:is(type(ph.pid), 'number', 'a process has a number')
    t:is_deeply(ph:wait(), {state = 'exited', exit_code = 3}, 'and an exit code')
    t:is(ph.pid, nil, 'and no number then')
    t:is(ph:read(), '1 2 3', 'its output')
    t:is(ph:read(), '', 'the end')
    t:is(ph:read({stderr = true}), '4', 'its errors')
    t:ok(ph:close() and ph:close(), 'it can be closed twice')
    raises(t, 'popen: attempt to operate on a closed handle', ph.read, ph)
end)

test:test('input', function(t)
    t:plan(5)
    local ph = popen.new({'/bin/cat'}, {stdin = popen.opts.PIPE, stdout = popen.opts.PIPE})
    local text = ('0123456789'):rep(50000)
    local writer = fiber.new(function()
        local written = ph:write(text)
        ph:shutdown({stdin = true})
        return written
    end)
    writer:set_joinable(true)
    local parts = {}
    repeat
        local part = ph:read()
        table.insert(parts, part)
    until part == ''
    t:is(table.concat(parts) == text, true, 'all that was written comes back')
    local _, written = writer:join()
    t:is(written, true, 'and was written')
    t:is(ph.stdin, popen.stream.CLOSED, 'a closed stream')
    t:is(ph.stdout, popen.stream.OPEN, 'an open one')
    raises(t, 'popen: attempt to operate on a closed file descriptor', ph.write, ph, 'x')
    ph:close()
end)

test:test('waiting', function(t)
    t:plan(6)
    local ph = popen.shell('read line; printf "$line"', 'rw')
    local nothing, problem = ph:read({timeout = 0.01})
    t:is_deeply({nothing, problem.type, problem.message}, {nil, 'TimedOut', 'timed out'}, 'read')
    nothing, problem = ph:wait({timeout = 0.01})
    t:is_deeply({nothing, problem.type}, {nil, 'TimedOut'}, 'wait')
    t:is(ph.status.state, popen.state.ALIVE, 'it is alive')
    local reader = fiber.new(ph.read, ph)
    reader:set_joinable(true)
    fiber.yield()
    reader:cancel()
    local ok, cancelled = reader:join()
    t:ok(not ok and cancelled.type == 'FiberIsCancelled', 'a cancelled fiber')
    local waiter = fiber.new(ph.wait, ph)
    waiter:set_joinable(true)
    fiber.yield()
    ph:write('x\n')
    t:is(ph:read(), 'x', 'what was read')
    local _, status = waiter:join()
    t:is(status.exit_code, 0, 'and how it ended')
    ph:close()
end)

test:test('signals', function(t)
    t:plan(7)
    local ph = popen.shell('while true; do sleep 10; done', 'r')
    t:is(ph:terminate(), true, 'terminate')
    t:is_deeply(ph:wait(), {state = 'signaled', signo = 15, signame = 'SIGTERM'}, 'how it ended')
    local nothing, problem = ph:kill()
    t:is(nothing, nil, 'a dead one gets none')
    t:like(problem.message,
        '^Attempt to send a signal 9 to a process that does not exist anymore: ', 'and that is said')
    ph:close()
    ph = popen.shell('sleep 100 & echo $!; wait', 'r')
    local grandchild = tonumber(ph:read())
    ph:close()
    t:ok(wait_dead(grandchild), 'the group dies with the handle')
    ph = popen.new({'/bin/sleep', '100'})
    local pid = ph.pid
    ph = nil -- luacheck: no unused
    collectgarbage()
    collectgarbage()
    t:ok(wait_dead(pid), 'so does a process whose handle is lost')
    ph = popen.new({'/bin/sleep', '100'}, {keep_child = true})
    pid = ph.pid
    ph:close()
    t:is(ffi.C.kill(pid, 9), 0, 'unless it is to be kept')
end)

test:test('streams', function(t)
    t:plan(4)
    local ph = popen.shell('cat; echo $?', 'r')
    ph:close()
    ph = popen.new({'cat; exit 5'}, {shell = true, stdin = popen.opts.DEVNULL})
    t:is(ph:wait().exit_code, 5, 'an empty input')
    ph:close()
    ph = popen.new({'echo x 2>/dev/null || exit 6'}, {shell = true, stdout = popen.opts.CLOSE})
    t:is(ph:wait().exit_code, 6, 'no output')
    raises(t, 'popen: handle does not support the requested IO operation', ph.read, ph)
    raises(t, 'popen: neither stdin, stdout nor stderr is set', ph.shutdown, ph, {})
    ph:close()
end)

test:test('environment and descriptors', function(t)
    t:plan(5)
    local function output(command, opts)
        opts.shell, opts.stdout = true, popen.opts.PIPE
        local ph = popen.new({command}, opts)
        local text = ph:read()
        ph:close()
        return text
    end
    t:is(output('printf "$A-$HOME"', {env = {A = 'x'}}), 'x-', 'variables')
    os.setenv('POPEN_TEST', 'y')
    t:is(output('printf "$POPEN_TEST"', {}), 'y', 'those of the parent')
    local file = fio.open('/dev/null', {'O_RDONLY'})
    -- As a library in C leaves them.
    ffi.cdef('int dup(int fd);')
    local fd = ffi.C.dup(file.fh)
    local list = 'ls /proc/self/fd | grep -x ' .. fd .. ' || printf none'
    t:is(output(list, {}), 'none', 'descriptors are closed')
    t:is(output(list, {inherit_fds = {fd}}), fd .. '\n', 'but those named')
    t:is(output(list, {close_fds = false}), fd .. '\n', 'or all')
end)

test:test('what cannot be run', function(t)
    t:plan(2)
    local ph = popen.new({'/nowhere/program'})
    t:is_deeply(ph:wait(), {state = 'exited', exit_code = errno.ENOENT}, 'ends with an error')
    t:is(ph.pid, nil, 'and was no process')
    ph:close()
end)

test:test('info', function(t)
    t:plan(4)
    local ph = popen.shell('sleep 100', 'r')
    t:is_deeply(ph:info(), {
        pid = ph.pid, command = "sh -c 'sleep 100'", status = {state = 'alive'}, stdout = 'open',
        opts = {
            stdin = 'inherit', stdout = 'pipe', stderr = 'inherit', shell = true, setsid = true,
            close_fds = true, restore_signals = true, group_signal = true, keep_child = false,
        },
    }, 'all of it')
    ph:close()
    t:is(require('json').encode(ph), '"<closed popen handle>"', 'a closed handle')
    t:ok(ph:is_closed(), 'knows it')
    raises(t, 'Attempt to index a closed popen handle', function() return ph.pid end)
end)

test:test('wrong arguments', function(t)
    local ph = popen.shell('true')
    local cases = {
        {'popen.new: wrong parameter "argv": expected table, got nil', popen.new},
        {'popen.new: wrong parameter "argv[2]": expected string, got number', popen.new, {'a', 1}},
        {'popen: no command to run', popen.new, {}},
        {'popen: group signal without setting sid', popen.new, {'a'}, {group_signal = true}},
        {'popen.new: wrong parameter "opts": expected table or nil, got number', popen.new, {}, 1},
        {'popen.new: wrong parameter "opts.stdin": expected string or nil, got number', popen.new,
            {}, {stdin = 1}},
        {'popen.new: wrong parameter "opts.stdin": expected popen.opts.<...> constant, got x',
            popen.new, {}, {stdin = 'x'}},
        {'popen.new: wrong parameter "opts.env": expected {[<string>] = <string>, ...}, '
            .. 'got a non-string key or value', popen.new, {}, {env = {1}}},
        {'popen.new: wrong parameter "opts.shell": expected boolean or nil, got number', popen.new,
            {}, {shell = 1}},
        {'popen.new: wrong parameter "opts.inherit_fds[1]": expected nonnegative integer, '
            .. 'got number', popen.new, {}, {inherit_fds = {-1}}},
        {'popen.shell: wrong parameter "command": expected string, got nil', popen.shell, nil, 'r'},
        {[[popen.shell: wrong parameter "mode": expected 'r', 'w', 'R' or its combination, got x]],
            popen.shell, 'a', 'x'},
        {'Bad params, use: ph:signal(signo)', ph.signal, ph},
        {'Bad params, use: ph:wait([{timeout = <number>}])', ph.wait, ph, {timeout = -1}},
        {'Bad params, use: ph:read([{stdout = <boolean>, stderr = <boolean>, timeout = <number>}])',
            ph.read, ph, 1},
        {'popen: reading from both stdout and stderr at one call is not supported', ph.read, ph,
            {stdout = true, stderr = true}},
        {'Bad params, use: ph:write(str[, {timeout = <number>}])', ph.write, ph},
        {'Bad params, use: ph:close()', ph.close},
        {'Bad params, use: ph:info()', ph.info, {}},
    }
    t:plan(#cases)
    for _, case in ipairs(cases) do
        raises(t, unpack(case, 1, 4))
    end
    ph:close()
end)

-- Tools that start processes by `fork` wait until their numbers are nobody's.
test:test('children that popen does not know', function(t)
    t:plan(2)
    ffi.cdef('pid_t fork(void); void _exit(int status);')
    local pipe = io.popen('exit 3')
    local pid = ffi.C.fork()
    if pid == 0 then
        ffi.C._exit(0)
    end
    local ph = popen.shell('exit 4')
    t:is(ph:wait().exit_code, 4, 'those of popen tell how they ended')
    ph:close()
    t:is(select(3, pipe:close()), 3, 'those of io.popen, too')
    -- Only now are the others looked after: any child's end is a reason.
    while ffi.C.kill(pid, 0) == 0 do
        os.execute('true')
        fiber.yield()
    end
end)

os.exit(test:check() and 0 or 1)
