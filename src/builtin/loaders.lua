-- loaders: finds modules: builtin ones, near the script, under the working folder, in .rocks.
--
-- package.loaders, in order:
-- 1. package.preload, then `override.<name>` anywhere below, then builtin modules
-- 2. <root>/?.lua          3. <root>/?.so
-- 4. .rocks/share/tarantool of the root and of each folder above it
-- 5. .rocks/lib/tarantool, likewise
-- 6. package.path          7. package.cpath          8. the C library of a module's first part
-- The root is the working folder, or what package.setsearchroot was given. 2 to 5 look near the
-- main script as well.

local ffi = require('ffi')
local native = ...

local concat, insert = table.concat, table.insert
local find, gsub, match, sub = string.find, string.gsub, string.match, string.sub
local error, ipairs, select, type = error, ipairs, select, type

local ROCKS_LUA = '.rocks/share/tarantool'
local ROCKS_LIB = '.rocks/lib/tarantool'
local SO = ffi.os == 'OSX' and 'dylib' or 'so'

local TEMPLATES = {
    lua = {'?.lua', '?/init.lua'},
    lib = {'?.' .. SO},
    rocks_lua = {ROCKS_LUA .. '/?.lua', ROCKS_LUA .. '/?/init.lua'},
    rocks_lib = {ROCKS_LIB .. '/?.' .. SO},
}

-- Builtin modules were put into package.preload while the VM was set up. They move into a table
-- of their own, so that an override can take their place.
local builtin_loaders = package.preload
package.preload = {}
-- Loaded builtin modules by name.
local builtin_modules = {}

local search_root

function package.searchroot()
    return search_root or native.cwd()
end

local function absolute(path)
    if sub(path, 1, 1) ~= '/' then
        path = native.cwd() .. '/' .. path
    end
    local parts = {}
    for part in path:gmatch('[^/]+') do
        if part == '..' then
            parts[#parts] = nil
        elseif part ~= '.' then
            parts[#parts + 1] = part
        end
    end
    return '/' .. concat(parts, '/')
end

-- The paths that luarocks installs to come first, as in Tarantool. LUA_PATH and LUA_CPATH have their
-- usual meaning: `;;` in them stands for these.
local function set_paths()
    local home = os.getenv('HOME')
    local rocks = home ~= nil and {home .. '/.luarocks'} or {}
    local function paths(kind, suffixes, folders, variable)
        local list = {}
        for _, folder in ipairs({'/' .. kind .. '/lua/5.1', '/' .. kind .. '/lua'}) do
            for _, root in ipairs(rocks) do
                for _, suffix in ipairs(suffixes) do
                    insert(list, root .. folder .. suffix)
                end
            end
        end
        for _, folder in ipairs(folders) do
            for _, suffix in ipairs(suffixes) do
                insert(list, folder .. suffix)
            end
        end
        local default = concat(list, ';') .. ';'
        local value = os.getenv(variable)
        if value == nil then
            return default
        end
        default = ';' .. default .. ';'
        return (gsub(value, ';;', function() return default end))
    end
    package.path = paths('share', {'/?.lua', '/?/init.lua'}, {
        '/usr/local/share/tarantool', '/usr/share/tarantool',
        '/usr/local/share/lua/5.1', '/usr/share/lua/5.1',
    }, 'LUA_PATH')
    package.cpath = paths('lib', {'/?.' .. SO}, {
        '/usr/local/lib/tarantool', '/usr/lib/tarantool',
        '/usr/local/lib/lua/5.1', '/usr/lib/lua/5.1',
    }, 'LUA_CPATH')
end
set_paths()

-- Sets the folder modules are searched in; nil goes back to the working folder.
function package.setsearchroot(path)
    if path == nil then
        search_root = nil
    elseif type(path) ~= 'string' then
        error('Search root must be a string', 2)
    else
        search_root = absolute(path)
    end
end

local function join(folder, template)
    return folder == '/' and '/' .. template or folder .. '/' .. template
end

local function with_parents(folder)
    local folders = {folder}
    while folder ~= '/' do
        folder = match(folder, '^(.*)/[^/]*$')
        folder = folder == '' and '/' or folder
        insert(folders, folder)
    end
    return folders
end

local function paths_in(folders, templates)
    local paths = {}
    for _, folder in ipairs(folders) do
        for _, template in ipairs(templates) do
            insert(paths, join(folder, template))
        end
    end
    return concat(paths, ';')
end

local function root_paths(templates)
    return function()
        return paths_in({absolute(package.searchroot())}, templates)
    end
end

local function rocks_paths(templates)
    return function()
        return paths_in(with_parents(absolute(package.searchroot())), templates)
    end
end

local function load_lua(path)
    return loadfile(path)
end

-- `a-b.c` exports luaopen_b_c: what stands before the hyphen is a version.
local function load_lib(path, name)
    name = gsub(match(name, '%-(.*)$') or name, '%.', '_')
    return package.loadlib(path, 'luaopen_' .. name)
end

-- A searcher returns a loader and its data, or a text that says where it looked.

local function file_searcher(loader, paths)
    return function(name)
        local path, message = package.searchpath(name, paths())
        if path == nil then
            return message
        end
        return loader, path
    end
end

local function chain(searchers)
    return function(name)
        local looked = {}
        for _, searcher in ipairs(searchers) do
            local loader, data = searcher(name)
            if type(loader) == 'function' then
                return loader, data
            elseif type(loader) == 'string' then
                insert(looked, loader)
            end
        end
        return concat(looked)
    end
end

local function table_searcher(tables, label)
    return function(name)
        local loader = tables()[name]
        if loader == nil then
            return ("\n\tno field %s['%s']"):format(label, name)
        end
        return function()
            return loader
        end, ':' .. label .. ':'
    end
end

local function search_preload(name)
    return table_searcher(function() return package.preload end, 'package.preload')(name)
end

local function load_builtin(name)
    if builtin_modules[name] == nil then
        builtin_modules[name] = builtin_loaders[name](name)
    end
    return builtin_modules[name]
end

local function search_builtin(name)
    if builtin_loaders[name] == nil then
        return ("\n\tno field loaders.builtin['%s']"):format(name)
    end
    return function()
        return load_builtin
    end, ':builtin:'
end

local in_root = {
    chain({file_searcher(load_lua, root_paths(TEMPLATES.lua))}),
    chain({file_searcher(load_lib, root_paths(TEMPLATES.lib))}),
    chain({file_searcher(load_lua, rocks_paths(TEMPLATES.rocks_lua))}),
    chain({file_searcher(load_lib, rocks_paths(TEMPLATES.rocks_lib))}),
}

local kinds = {'lua', 'lib', 'rocks_lua', 'rocks_lib'}

-- Searches next to the main script too, whatever the working folder becomes.
local function near_script(index)
    local script = native.script()
    if script == nil or script == '-' then
        return nil
    end
    local folder = match(absolute(script), '^(.*)/[^/]*$')
    folder = folder == '' and '/' or folder
    local loader = index % 2 == 1 and load_lua or load_lib
    return file_searcher(loader, function()
        return paths_in({folder}, TEMPLATES[kinds[index]])
    end)
end

local searchers = {}
for i = 1, 4 do
    searchers[i + 1] = chain({in_root[i], near_script(i)})
end
searchers[6] = file_searcher(load_lua, function() return package.path end)
searchers[7] = file_searcher(load_lib, function() return package.cpath end)
searchers[8] = function(name)
    local loader, data = searchers[7](match(name, '^[^.]+') or name)
    if type(loader) ~= 'function' then
        return loader
    end
    -- The library of `a` may hold luaopen_a_b.
    return function(path)
        return load_lib(path, name)
    end, data
end

-- True or false when the application chose, else nil.
local is_override_enabled

local function override_is_on()
    if is_override_enabled ~= nil then
        return is_override_enabled
    end
    local value = (os.getenv('TT_OVERRIDE_BUILTIN') or ''):lower()
    return value ~= 'false' and value ~= '0'
end

local function search_override(name)
    if not override_is_on() then
        return nil
    end
    for i = 2, 7 do
        local loader, data = searchers[i]('override.' .. name)
        if type(loader) == 'function' then
            return loader, data
        end
    end
    return nil
end

searchers[1] = chain({search_preload, search_override, search_builtin})

-- What `require` calls: finds and loads, and tells which file a failure is in.
local function make_loader(searcher)
    return function(name)
        local loader, data = searcher(name)
        if type(loader) ~= 'function' then
            return loader
        end
        local chunk, problem = loader(data, name)
        if chunk == nil then
            local message = ("error loading module '%s' from file '%s':\n\t%s"):format(name, data,
                                                                                     problem)
            box.error(box.error.PROC_LUA, message, 3)
        end
        return chunk
    end
end

for i = 1, 8 do
    package.loaders[i] = make_loader(searchers[i])
end

-- The file of a module, in the places for libraries and files, or nil.
function package.search(name)
    if not name then
        return 'empty name of module'
    end
    for i = 2, 7 do
        local loader, file = searchers[i](name)
        if type(loader) == 'function' then
            return file
        end
    end
    return nil
end

local raw_require = require
-- Names that a module asked not to keep in package.loaded.
local no_package_loaded = {}

-- The name of the module that a function belongs to, from the path of its file.
local function module_name_from_filename(filename)
    local name = gsub(filename, 'builtin/', '')
    for prefix in (package.path .. ';' .. package.cpath):gmatch('/([^?;]+)%?') do
        local from, to = find(name, '/' .. prefix, 1, true)
        if from == 1 then
            name = sub(name, to + 1)
        end
    end
    name = gsub(gsub(name, '/init%.lua$', ''), '%.lua$', '')
    name = native.relative_to_cwd(name)
    for _, rocks in ipairs({ROCKS_LIB .. '/', ROCKS_LUA .. '/'}) do
        local from, to = find(name, rocks, 1, true)
        if from == 1 then
            name = sub(name, to + 1)
        end
    end
    return (gsub(name, '/', '.'))
end

-- require('log') gives a logger named after the module that asks. Its level counts from here;
-- wrappers around require that an application adds show up as functions named `require`.
local function requiring_module()
    local level = 3
    local info = debug.getinfo(level, 'Sn')
    while info ~= nil and info.name == 'require' do
        level = level + 1
        info = debug.getinfo(level, 'Sn')
    end
    if info ~= nil and sub(info.source, 1, 1) == '@' then
        return module_name_from_filename(sub(info.source, 2))
    end
    return 'tarantool'
end

function _G.require(name)
    if no_package_loaded[name] then
        no_package_loaded[name] = nil
        package.loaded[name] = nil
    end
    if name == 'log' then
        return (raw_require('log').new(requiring_module()))
    end
    return raw_require(name)
end

-- Loads the first of the modules that can be loaded.
local function require_first(...)
    if select('#', ...) == 0 then
        error('loaders.require_first expects at least one argument', 0)
    end
    for i = 1, select('#', ...) do
        local ok, module = pcall(require, (select(i, ...)))
        if ok then
            return module
        end
    end
    error(('neither of modules "%s" are found'):format(concat({...}, '", "')), 0)
end

return {
    ROCKS_LIB_PATH = ROCKS_LIB,
    ROCKS_LUA_PATH = ROCKS_LUA,
    builtin = builtin_modules,
    searchers = searchers,
    no_package_loaded = no_package_loaded,
    raw_require = raw_require,
    require_first = require_first,
    module_name_from_filename = module_name_from_filename,
    override_builtin_enable = function()
        is_override_enabled = true
    end,
    override_builtin_disable = function()
        is_override_enabled = false
    end,
}
