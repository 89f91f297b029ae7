-- tarantool: what the running program is: version, package, build, process, uptime.

local native = ...
local ffi = require('ffi')
local loaders = require('internal.loaders')

-- Declared by Tarantool too: scripts count on it.
ffi.cdef([[
    typedef int32_t pid_t;
    pid_t getpid(void);
]])

local module = {
    version = native.version,
    package = native.package,
    build = {
        asan = false,
        compiler = native.compiler,
        flags = native.flags,
        linking = 'static',
        mod_format = 'so',
        options = native.options,
        target = native.target,
        test_build = native.is_debug,
        tzdata_version = native.tzdata_version,
    },
    uptime = native.uptime,
    pid = native.pid,
    debug = {
        -- The text of a builtin module's Lua half, by its path, such as `fun` or `builtin/fun.lua`.
        getsources = native.getsources,
    },
}

-- Loads what the environment variable TT_PRELOAD names: files *.lua and modules, by semicolons.
local function run_preload()
    local list = os.getenv('TT_PRELOAD') or ''
    for _, item in ipairs(list:split(';')) do
        if item:endswith('.lua') then
            assert(loadfile(item))(item)
        elseif item ~= '' then
            require(item)
        end
    end
end

module._internal = {
    module_name_from_filename = loaders.module_name_from_filename,
    run_preload = run_preload,
}

_G.tonumber64 = native.tonumber64
_G._TARANTOOL = native.version

-- Compiles and runs a text.
function _G.dostring(text, ...)
    local chunk, problem = loadstring(text)
    if chunk == nil then
        box.error(box.error.PROC_LUA, problem, 2)
    end
    return chunk(...)
end

return setmetatable(module, {__serialize = require('internal.table').public})
