-- pwd: looks users and groups up in the system's databases.

local ffi = require('ffi')
local errno = require('errno')

local C = ffi.C

ffi.cdef([[
    struct passwd {
        char *pw_name;
        char *pw_passwd;
        int pw_uid;
        int pw_gid;
        char *pw_gecos;
        char *pw_dir;
        char *pw_shell;
    };
    struct group {
        char *gr_name;
        char *gr_passwd;
        int gr_gid;
        char **gr_mem;
    };
    int getuid(void);
    int getgid(void);
    struct passwd *getpwnam(const char *login);
    struct passwd *getpwuid(int uid);
    struct passwd *getpwent(void);
    void setpwent(void);
    void endpwent(void);
    struct group *getgrnam(const char *group);
    struct group *getgrgid(int gid);
    struct group *getgrent(void);
    void setgrent(void);
    void endgrent(void);
]])

-- A null result is an error only when errno says so: else there is no such entry. Enumeration
-- may end with ENOENT under systemd, which means the end as well.
local function check(name, entry)
    if entry == nil and errno() ~= 0 and errno() ~= errno.ENOENT then
        error(('Error while calling %s: %s: %s'):format(name, errno(), errno.strerror()), 3)
    end
    return entry
end

local function find_user(uid)
    errno(0)
    if type(uid) == 'number' then
        return check('getpw', C.getpwuid(uid))
    elseif type(uid) == 'string' then
        return check('getpw', C.getpwnam(uid))
    end
    return error("Bad type of uid (expected 'string'/'number')", 3)
end

local function find_group(gid)
    errno(0)
    if type(gid) == 'number' then
        return check('getgr', C.getgrgid(gid))
    elseif type(gid) == 'string' then
        return check('getgr', C.getgrnam(gid))
    end
    return error("Bad type of gid (expected 'string'/'number')", 3)
end

local function group_to_table(group)
    local members = {}
    while group.gr_mem[#members] ~= nil do
        members[#members + 1] = ffi.string(group.gr_mem[#members])
    end
    return {
        id = tonumber(group.gr_gid),
        name = ffi.string(group.gr_name),
        members = members,
    }
end

local function user_to_table(user)
    local result = {
        name = ffi.string(user.pw_name),
        id = tonumber(user.pw_uid),
        workdir = ffi.string(user.pw_dir),
        shell = ffi.string(user.pw_shell),
    }
    return result, tonumber(user.pw_gid)
end

local function with_group(user, gid)
    local group = find_group(gid)
    if group ~= nil then
        user.group = group_to_table(group)
    end
    return user
end

local function getgr(gid)
    local group = find_group(gid == nil and C.getgid() or gid)
    return group ~= nil and group_to_table(group) or nil
end

local function getpw(uid)
    local user = find_user(uid == nil and C.getuid() or uid)
    if user == nil then
        return nil
    end
    return with_group(user_to_table(user))
end

local function getpwall()
    local users, gids = {}, {}
    C.setpwent()
    while true do
        errno(0)
        local user = check('getpwall', C.getpwent())
        if user == nil then
            break
        end
        users[#users + 1], gids[#users + 1] = user_to_table(user)
    end
    C.endpwent()
    for i, user in ipairs(users) do
        with_group(user, gids[i])
    end
    return users
end

local function getgrall()
    local groups = {}
    C.setgrent()
    while true do
        errno(0)
        local group = check('getgrall', C.getgrent())
        if group == nil then
            break
        end
        groups[#groups + 1] = group_to_table(group)
    end
    C.endgrent()
    return groups
end

return {
    getpw = getpw,
    getgr = getgr,
    getpwall = getpwall,
    getgrall = getgrall,
}
