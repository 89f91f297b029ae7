-- env: extends the standard os library with environ and setenv, and has execute() return what it
-- does in Tarantool.

local ffi = require('ffi')

local M = {}

-- What io.popen has opened and nobody has let go of.
local pipes = setmetatable({}, {__mode = 'k'})
local popen = io.popen

local function remember(file, ...)
    if file ~= nil then
        pipes[file] = true
    end
    return file, ...
end

function io.popen(...)
    return remember(popen(...))
end

-- Whether one of them is not closed: its child is reaped by file:close.
function M.has_pipes()
    for file in pairs(pipes) do
        if io.type(file) == 'file' then
            return true
        end
    end
    return false
end

-- The first is for applications, which declare functions with it.
ffi.cdef([[
    typedef int32_t pid_t;
    extern char **environ;
    int setenv(const char *name, const char *value, int overwrite);
    int unsetenv(const char *name);
]])

function os.environ()
    local environ = ffi.C.environ
    if environ == nil then
        return nil
    end
    local result = {}
    local i = 0
    while environ[i] ~= nil do
        local name, value = ffi.string(environ[i]):match('^([^=]*)=(.*)$')
        if name ~= nil then
            result[name] = value
        end
        i = i + 1
    end
    return result
end

-- A nil value removes the variable.
function os.setenv(name, value)
    local status
    if value ~= nil then
        status = ffi.C.setenv(name, value, 1)
    else
        status = ffi.C.unsetenv(name)
    end
    if status == -1 then
        local errno = require('errno')
        error(('error %d: %s'):format(errno(), errno.strerror()), 2)
    end
end

-- The status of the command as wait() tells it, 0 for success; without a command whether there is a
-- shell.
local execute = os.execute
function os.execute(command)
    local is_done, how, number = execute(command)
    if command == nil then
        return is_done and 1 or 0
    elseif number == nil then
        return -1
    end
    return how == 'exit' and number * 256 or number
end

return M
