-- reload: loads the files of an application and replaces them while it runs.
--
-- A file takes part by returning a table, its module. It gets at other files with `use`:
--
--     local use = ...                          -- in a file that is always loaded by another
--     local keyspace = use('redis/keyspace.lua')
--
-- A module may have three functions:
--   module.start(previous)  makes it work; `previous` is the module that it replaces, nil at the
--                           first time. What must outlive a reload (a listening server, a list
--                           of connections) is taken over from there. May raise: then nothing
--                           is replaced.
--   module.configure()      applies settings that have changed: the configuration was reloaded.
--   module.stop()           ends what `start` began and nobody took over, such as fibers.
--
-- The protocol of `reload.file(path)`:
--   1. The file, and each loaded file that uses it, is loaded aside, used files first.
--   2. `start(previous)` of each new version is called, in the same order.
--   3. Only now the new versions take their places, and `stop()` of each old one is called.
-- An error in 1 or 2 stops the versions that were started, leaves the old ones in place, and is
-- logged with file and line. Functions that are running finish as the code they are.
--
-- A file that is also good as `app.file` starts with
--     local source = debug.getinfo(1, 'S').source
--     local reload = package.loaded.reload or dofile((source:match('^@(.*/)') or '') .. 'reload.lua')
--     local use = reload.beside(source)
-- and ends with `return reload.entry(M, source)`, which starts it if it is the main file.

local fio = require('fio')
local log = require('log')

local M = {}

-- Of each loaded file by its absolute path: module, users (set of paths), number (load order).
local files = {}
local number_last = 0
-- The files being loaded aside, by path, while a load or a reload runs; and the path of the file
-- whose chunk is running.
local aside
local running

local function absolute(path)
    return fio.abspath(path)
end

local load_aside

-- A function `use` for the files of a folder.
local function use_from(folder)
    return function(name)
        local path = absolute(fio.pathjoin(folder, name))
        local user = running
        local file = aside ~= nil and aside[path] or files[path]
        if file == nil then
            assert(aside ~= nil, 'use() works while a file is loaded')
            file = load_aside(path, folder)
        end
        if user ~= nil then
            file.users[user] = true
        end
        return file.module
    end
end

-- Runs the chunk of a file, without starting its module.
load_aside = function(path, folder)
    local chunk, err = loadfile(path)
    if chunk == nil then
        error(err, 0)
    end
    local old = files[path]
    number_last = number_last + 1
    local file = {
        path = path,
        folder = folder,
        users = old ~= nil and old.users or {},
        number = number_last,
    }
    local outer = running
    running = path
    local ok, module = xpcall(chunk, function(e)
        return type(e) == 'string' and debug.traceback(e, 2) or e
    end, use_from(folder))
    running = outer
    if not ok then
        error(module, 0)
    end
    file.module = type(module) == 'table' and module or {}
    aside[path] = file
    return file
end

-- The files of `aside`, used before users.
local function in_order()
    local list = {}
    for _, file in pairs(aside) do
        table.insert(list, file)
    end
    table.sort(list, function(a, b) return a.number < b.number end)
    return list
end

-- Starts all files of `aside` and puts them in their places, or stops them again and raises.
local function take_over()
    local list = in_order()
    local started = {}
    for _, file in ipairs(list) do
        local old = files[file.path]
        if file.module.start ~= nil then
            table.insert(started, file)
            local ok, err = pcall(file.module.start, old ~= nil and old.module or nil)
            if not ok then
                for i = #started, 1, -1 do
                    local module = started[i].module
                    if module.stop ~= nil then
                        pcall(module.stop, true)
                    end
                end
                error(err, 0)
            end
        end
    end
    for _, file in ipairs(list) do
        local old = files[file.path]
        files[file.path] = file
        if old ~= nil and old.module.stop ~= nil then
            local ok, err = pcall(old.module.stop)
            if not ok then
                log.error('%s: stopping the old version: %s', file.path, err)
            end
        end
    end
end

-- Runs `work` with an empty set of files to load aside.
local function with_aside(work, ...)
    assert(aside == nil, 'a reload is under way')
    aside = {}
    local ok, err = pcall(work, ...)
    aside = nil
    running = nil
    if not ok then
        error(err, 0)
    end
end

-- All loaded files that use this one, and those that use them.
local function users_of(path, found)
    if found[path] == nil and files[path] ~= nil then
        found[path] = files[path]
        for user in pairs(files[path].users) do
            users_of(user, found)
        end
    end
    return found
end

-- Reloads one file and its users. True, or nil and the error, which is logged too. A file that
-- nobody has loaded is none of ours: false.
function M.file(path)
    path = absolute(path)
    if files[path] == nil then
        return false
    end
    local ok, err = pcall(with_aside, function()
        local list = {}
        for _, file in pairs(users_of(path, {})) do
            table.insert(list, file)
        end
        table.sort(list, function(a, b) return a.number < b.number end)
        for _, file in ipairs(list) do
            if aside[file.path] == nil then
                load_aside(file.path, file.folder)
            end
        end
        take_over()
    end)
    if not ok then
        log.error('%s: not reloaded, the old version goes on: %s', path, err)
        return nil, err
    end
    log.info('%s: reloaded', path)
    return true
end

-- The path of the file that a chunk was loaded from.
local function path_of(source)
    return absolute(source:match('^@(.*)') or source)
end

-- The files that a main file has used before it was registered.
local used_by_main = {}

-- A function `use` for a file that may be the main one, whose chunk nobody loaded through us.
function M.beside(source)
    local folder = fio.dirname(path_of(source))
    local use = use_from(folder)
    return function(name)
        if aside ~= nil then
            return use(name)
        end
        local module
        with_aside(function()
            module = use(name)
            take_over()
        end)
        table.insert(used_by_main, absolute(fio.pathjoin(folder, name)))
        return module
    end
end

-- The end of a file that may be the main one: then it is registered and started here.
function M.entry(module, source)
    if aside ~= nil then
        return module
    end
    local path = path_of(source)
    local old = files[path]
    number_last = number_last + 1
    files[path] = {
        path = path, folder = fio.dirname(path), users = {}, number = number_last, module = module,
    }
    for _, used in ipairs(used_by_main) do
        files[used].users[path] = true
    end
    used_by_main = {}
    if module.start ~= nil then
        module.start(old ~= nil and old.module or nil)
    end
    if old ~= nil then
        -- The main file runs again when the configuration is reloaded.
        if old.module.stop ~= nil then
            old.module.stop()
        end
        for other, file in pairs(files) do
            if other ~= path and file.module.configure ~= nil then
                file.module.configure()
            end
        end
    end
    return module
end

-- The settings of a part of the application: `app.cfg.<name>` of the configuration.
function M.settings(name)
    local ok, config = pcall(require, 'config')
    local settings
    if ok then
        ok, settings = pcall(config.get, config, 'app.cfg.' .. name)
    end
    return ok and type(settings) == 'table' and settings or {}
end

-- The paths of all loaded files, for a watcher.
function M.list()
    local list = {}
    for path in pairs(files) do
        table.insert(list, path)
    end
    table.sort(list)
    return list
end

package.loaded.reload = M
return M
