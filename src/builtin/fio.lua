-- fio: files and folders, without blocking other fibers.
--
-- Functions return nil or false and an error object when the system refuses.

local ffi = require('ffi')
local native = ...

local error, ipairs, select, tonumber, tostring, type = error, ipairs, select, tonumber, tostring,
    type
local band, bor = bit.band, bit.bor
local format, gsub, match = string.format, string.gsub, string.match

ffi.cdef([[
    struct fio_handle {
        int fh;
    };
    int close(int fd);
]])

local handle_type = ffi.typeof('struct fio_handle')
local pointer_type = ffi.typeof('const char *')

local FILE_MODE = tonumber('666', 8)

local fio = {
    c = {
        flag = native.flag,
        mode = native.mode,
        seek = native.seek,
    },
}

for _, name in ipairs({'rename', 'unlink', 'truncate', 'chmod', 'mkdir', 'rmdir', 'glob', 'link',
                       'symlink', 'readlink', 'sync', 'tempdir', 'cwd', 'chdir', 'umask'}) do
    fio[name] = native[name]
end

-- Stat ------------------------------------------------------------------------------------

local S_IFMT = tonumber('170000', 8)

local function mode_is(name, bits)
    bits = tonumber(bits, 8)
    return function(stat)
        if type(stat) ~= 'table' then
            error('usage: stat:' .. name .. '()', 2)
        end
        return band(stat.mode, S_IFMT) == bits
    end
end

local stat_mt = {
    __index = {
        is_reg = mode_is('is_reg', '100000'),
        is_dir = mode_is('is_dir', '40000'),
        is_chr = mode_is('is_chr', '20000'),
        is_blk = mode_is('is_blk', '60000'),
        is_fifo = mode_is('is_fifo', '10000'),
        is_link = mode_is('is_link', '120000'),
        is_sock = mode_is('is_sock', '140000'),
    },
}

local function with_methods(stat, problem)
    if stat == nil then
        return nil, problem
    end
    return setmetatable(stat, stat_mt)
end

function fio.stat(path)
    return with_methods(native.stat(path))
end

function fio.lstat(path)
    return with_methods(native.lstat(path))
end

-- Handles ---------------------------------------------------------------------------------

local function is_pointer(value)
    return type(value) == 'cdata' and ffi.istype(pointer_type, value) or
        type(value) == 'cdata' and ffi.istype('char *', value)
end

local methods = {}

function methods.stat(self)
    return with_methods(native.fstat(self.fh))
end

-- read() to the size of the file, read(size); read(buf), read(buf, size) into memory.
function methods.read(self, buf, size)
    local into = is_pointer(buf)
    if not into then
        size = buf
    end
    if size == nil then
        local stat, problem = self:stat()
        if stat == nil then
            return nil, problem
        end
        size = stat.size
    end
    local data, problem = native.read(self.fh, size)
    if data == nil then
        return nil, problem
    elseif into then
        ffi.copy(buf, data, #data)
        return #data
    end
    return data
end

-- pread(size, offset); pread(buf, size, offset) into memory.
function methods.pread(self, buf, size, offset)
    local into = is_pointer(buf)
    if not into then
        size, offset = buf, size
    end
    if type(size) ~= 'number' or offset ~= nil and type(offset) ~= 'number' then
        error('Usage: fh:pread(buf, size[, offset]) or fh:pread(size[, offset])', 2)
    end
    local data, problem = native.pread(self.fh, size, offset)
    if data == nil then
        return nil, problem
    elseif into then
        ffi.copy(buf, data, #data)
        return #data
    end
    return data
end

-- write(data) or write(buf, size).
function methods.write(self, data, size)
    data = is_pointer(data) and ffi.string(data, size) or tostring(data)
    return native.write(self.fh, data)
end

-- pwrite(data, offset) or pwrite(buf, size, offset).
function methods.pwrite(self, data, size, offset)
    if is_pointer(data) then
        return native.pwrite(self.fh, ffi.string(data, size), offset)
    end
    return native.pwrite(self.fh, tostring(data), size)
end

function methods.truncate(self, size)
    return native.ftruncate(self.fh, size or 0)
end

function methods.seek(self, offset, whence)
    whence = whence or 'SEEK_SET'
    if type(whence) == 'string' then
        local number = fio.c.seek[whence]
        if number == nil then
            error(format('fio.seek(): unknown whence: %s', whence), 2)
        end
        whence = number
    end
    return native.lseek(self.fh, tonumber(offset), tonumber(whence))
end

function methods.close(self)
    local fd = self.fh
    self.fh = -1
    return native.close(fd)
end

function methods.fsync(self)
    return native.fsync(self.fh)
end

function methods.fdatasync(self)
    return native.fdatasync(self.fh)
end

function methods.__serialize(self)
    return {fh = self.fh}
end

ffi.metatype(handle_type, {
    __index = methods,
    -- A finalizer cannot yield, so this one close is done right here.
    __gc = function(self)
        if self.fh >= 0 then
            ffi.C.close(self.fh)
        end
    end,
})

-- Combines numbers and names of constants.
local function combine(values, names, what)
    local result = 0
    for _, value in ipairs(type(values) == 'table' and values or {values}) do
        if type(value) == 'string' then
            if names[value] == nil then
                error(format('fio.open(): unknown %s: %s', what, value), 3)
            end
            value = names[value]
        end
        result = bor(result, tonumber(value))
    end
    return result
end

function fio.open(path, flags, mode)
    if type(path) ~= 'string' then
        error('Usage: fio.open(path[, flags[, mode]])', 2)
    end
    flags = combine(flags or 0, fio.c.flag, 'flag')
    mode = combine(mode or FILE_MODE, fio.c.mode, 'mode')
    local fd, problem = native.open(path, flags, mode)
    if fd == nil then
        return nil, problem
    end
    return handle_type(fd)
end

-- Paths -----------------------------------------------------------------------------------

function fio.pathjoin(...)
    local path
    for i = 1, select('#', ...) do
        local part = select(i, ...)
        if part == nil then
            error('fio.pathjoin(): undefined path part ' .. i, 0)
        end
        part = tostring(part)
        if part ~= '' then
            path = path == nil and part or path .. '/' .. part
        end
    end
    if path == nil then
        return '.'
    end
    path = gsub(path, '/+', '/')
    if path ~= '/' then
        path = gsub(path, '/$', '')
    end
    return path
end

function fio.abspath(path)
    if path == nil then
        error('Usage: fio.abspath(path)', 2)
    end
    path = tostring(path)
    if path:sub(1, 1) ~= '/' then
        path = fio.pathjoin(fio.cwd(), path)
    end
    local parts = {}
    for part in path:gmatch('[^/]+') do
        if part == '..' then
            parts[#parts] = nil
        elseif part ~= '.' then
            parts[#parts + 1] = part
        end
    end
    return '/' .. table.concat(parts, '/')
end

function fio.basename(path, suffix)
    if type(path) ~= 'string' then
        error('Usage: fio.basename(path[, suffix])', 2)
    end
    local name = match(path, '([^/]*)$')
    if suffix ~= nil and #tostring(suffix) > 0 then
        name = gsub(name, (gsub(tostring(suffix), '%W', '%%%0')), '')
    end
    return name
end

-- As dirname(3): `a/b/` is in `a`, `a` in `.`.
function fio.dirname(path)
    if type(path) ~= 'string' then
        error('Usage: fio.dirname(path)', 2)
    end
    local trimmed = gsub(path, '/+$', '')
    if trimmed == '' then
        return path == '' and '.' or '/'
    end
    local folder = match(trimmed, '^(.*)/[^/]*$')
    if folder == nil then
        return '.'
    end
    folder = gsub(folder, '/+$', '')
    return folder == '' and '/' or folder
end

fio.path = {}

function fio.path.is_file(path)
    local stat = fio.stat(path)
    return stat ~= nil and stat:is_reg()
end

function fio.path.is_dir(path)
    local stat = fio.stat(path)
    return stat ~= nil and stat:is_dir()
end

function fio.path.is_link(path)
    local stat = fio.lstat(path)
    return stat ~= nil and stat:is_link()
end

function fio.path.exists(path)
    return fio.stat(path) ~= nil
end

function fio.path.lexists(path)
    return fio.lstat(path) ~= nil
end

-- Files and trees -------------------------------------------------------------------------

function fio.chown(path, owner, group)
    if type(path) ~= 'string' or owner == nil or group == nil then
        error('Usage: fio.chown(pathname, owner, group)', 2)
    end
    local errno, pwd = require('errno'), require('pwd')
    if type(owner) == 'string' then
        local user = pwd.getpw(owner)
        owner = user and user.id
    end
    if type(group) == 'string' then
        local found = pwd.getgr(group)
        group = found and found.id
    end
    if owner == nil or group == nil then
        errno(errno.EINVAL)
        return nil
    end
    return native.chown(path, owner, group)
end

function fio.listdir(path)
    if type(path) ~= 'string' then
        error('Usage: fio.listdir(path)', 2)
    end
    local names, problem = native.listdir(path)
    if names == nil then
        return nil, format("can't listdir %s: %s", path, tostring(problem))
    end
    return names
end

function fio.mktree(path, mode)
    if type(path) ~= 'string' then
        error('Usage: fio.mktree(path[, mode])', 2)
    end
    local current = ''
    for part in fio.abspath(path):gmatch('[^/]+') do
        current = current .. '/' .. part
        local stat = fio.stat(current)
        if stat == nil then
            local done, problem = fio.mkdir(current, mode)
            -- Someone else may have made it meanwhile.
            if not done and not fio.path.is_dir(current) then
                return false, format('Error creating directory %s: %s', current, tostring(problem))
            end
        elseif not stat:is_dir() then
            local errno = require('errno')
            return false, format('Error creating directory %s: %s', current,
                                 errno.strerror(errno.EEXIST))
        end
    end
    return true
end

function fio.rmtree(path)
    if type(path) ~= 'string' then
        error('Usage: fio.rmtree(path)', 2)
    end
    path = fio.abspath(path)
    local names, problem = fio.listdir(path)
    if names == nil then
        return nil, problem
    end
    for _, name in ipairs(names) do
        local child = fio.pathjoin(path, name)
        local stat = fio.lstat(child)
        if stat ~= nil then
            local done, child_problem
            if stat:is_dir() then
                done, child_problem = fio.rmtree(child)
            else
                done, child_problem = fio.unlink(child)
            end
            if not done then
                return nil, child_problem
            end
        end
    end
    local done, rmdir_problem = fio.rmdir(path)
    if not done then
        return false, format('failed to remove %s: %s', path, tostring(rmdir_problem))
    end
    return true
end

function fio.copyfile(from, to)
    if type(from) ~= 'string' or type(to) ~= 'string' then
        error('Usage: fio.copyfile(from, to)', 2)
    end
    if fio.path.is_dir(to) then
        to = fio.pathjoin(to, fio.basename(from))
    end
    local done, problem = native.copyfile(from, to)
    if not done then
        return false, format('failed to copy %s to %s: %s', from, to, tostring(problem))
    end
    return true
end

local function copy_entry(from, to)
    local stat = fio.lstat(from)
    if stat == nil then
        return true
    elseif stat:is_dir() then
        return fio.copytree(from, to)
    elseif stat:is_reg() then
        return fio.copyfile(from, to)
    elseif stat:is_link() then
        local target, problem = fio.readlink(from)
        if target == nil then
            return false, problem
        end
        if not fio.symlink(target, to) then
            return false, "can't create symlink in place of existing file " .. to
        end
    end
    return true
end

function fio.copytree(from, to)
    if type(from) ~= 'string' or type(to) ~= 'string' then
        error('Usage: fio.copytree(from, to)', 2)
    end
    local stat = fio.stat(from)
    if stat == nil then
        return false, format('Directory %s does not exist', from)
    elseif not stat:is_dir() then
        local errno = require('errno')
        return false, errno.strerror(errno.ENOTDIR)
    end
    local names, problem = fio.listdir(from)
    if names == nil then
        return false, problem
    end
    local made, tree_problem = fio.mktree(to)
    if not made then
        return false, tree_problem
    end
    for _, name in ipairs(names) do
        local done, entry_problem = copy_entry(fio.pathjoin(from, name), fio.pathjoin(to, name))
        if not done then
            return false, entry_problem
        end
    end
    return true
end

local function check_time(time, name)
    if time ~= nil and type(time) ~= 'number' then
        error('fio.utime: ' .. name .. ' should be a number', 3)
    end
end

function fio.utime(path, atime, mtime)
    if type(path) ~= 'string' then
        error('Usage: fio.utime(filepath[, atime[, mtime]])', 2)
    end
    check_time(atime, 'atime')
    check_time(mtime, 'mtime')
    atime = atime or require('clock').realtime()
    return native.utime(path, atime, mtime or atime)
end

return fio
