-- env: extends the standard os library with environ and setenv.

local ffi = require('ffi')

ffi.cdef([[
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

return os
