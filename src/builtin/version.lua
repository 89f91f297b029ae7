-- version: parses and compares versions of the form `x.y.z-typeN-commits-ghash`.

local ffi = require('ffi')

-- A cdata, because only cdata can be compared with strings by `<`.
ffi.cdef([[
    struct version {
        uint32_t major;
        uint32_t minor;
        uint32_t patch;
        uint8_t _prerelease_id;
        uint16_t _prerelease_num;
        uint32_t commit;
    };
]])

-- From the one nearest to a release to the farthest; id 0 is a release itself.
local PRERELEASES = {'rc', 'beta', 'alpha', 'entrypoint'}
local prerelease_ids = {}
for id, name in ipairs(PRERELEASES) do
    prerelease_ids[name] = id
end

local version_type = ffi.typeof('struct version')

local function illegal(message, level)
    box.error(box.error.ILLEGAL_PARAMS, message, level + 1)
end

local function check(value, name, kind, level)
    if type(value) ~= kind then
        illegal(name .. ' should be a ' .. kind, level + 1)
    end
end

local function new(major, minor, patch, prerelease, commit)
    commit = commit or 0
    check(major, 'major', 'number', 2)
    check(minor, 'minor', 'number', 2)
    check(patch, 'patch', 'number', 2)
    check(commit, 'commit', 'number', 2)
    local id, number = 0, 0
    if prerelease ~= nil then
        check(prerelease, 'prerelease', 'string', 2)
        local name, digits = prerelease:match('^(%a+)(%d*)$')
        id, number = prerelease_ids[name], tonumber(digits) or 0
        if id == nil then
            illegal(("Unknown prerelease type '%s'"):format(name or prerelease), 2)
        end
    end
    return version_type(major, minor, patch, id, number, commit)
end

-- Splits the text into the arguments of `new`; returns nil when it is no version.
local function parse(text)
    local major, minor, patch, rest = text:match('^(%d+)%.(%d+)%.(%d+)(.*)$')
    if major == nil then
        return nil
    end
    local prerelease, commit, tail
    prerelease, tail = rest:match('^%-(%a+%d*)(.*)$')
    if prerelease ~= nil and (tail == '' or tail:sub(1, 1) == '-') then
        rest = tail
    elseif prerelease ~= nil then
        return nil
    end
    commit, tail = rest:match('^%-(%d+)(.*)$')
    if commit ~= nil then
        rest = tail
    end
    -- The hash and what follows it take no part in comparisons.
    if rest ~= '' and rest:sub(1, 1) ~= '-' then
        return nil
    end
    return tonumber(major), tonumber(minor), tonumber(patch), prerelease, tonumber(commit)
end

local function fromstr(text)
    check(text, 'version_str', 'string', 2)
    local major, minor, patch, prerelease, commit = parse(text)
    if major == nil then
        illegal(("Error during parsing version string '%s'"):format(text), 2)
    end
    return new(major, minor, patch, prerelease, commit)
end

local function compare(a, b)
    if a.major ~= b.major then
        return a.major - b.major
    elseif a.minor ~= b.minor then
        return a.minor - b.minor
    elseif a.patch ~= b.patch then
        return a.patch - b.patch
    elseif a._prerelease_id ~= b._prerelease_id then
        return b._prerelease_id - a._prerelease_id
    elseif a._prerelease_num ~= b._prerelease_num then
        return a._prerelease_num - b._prerelease_num
    end
    return a.commit - b.commit
end

local function cast(value)
    if type(value) == 'cdata' then
        return ffi.istype(version_type, value) and value or nil
    elseif type(value) == 'string' then
        local ok, version = pcall(fromstr, value)
        return ok and version or nil
    end
    return nil
end

local function cast_both(a, b)
    a, b = cast(a), cast(b)
    -- Comparing with nil would come back here by way of __eq.
    if not a or not b then
        illegal('Cannot cast to version object', 3)
    end
    return a, b
end

local function prerelease_of(version)
    local name = PRERELEASES[version._prerelease_id]
    if name ~= nil and version._prerelease_num ~= 0 then
        name = name .. version._prerelease_num
    end
    return name
end

ffi.metatype(version_type, {
    __index = function(version, field)
        if field == 'prerelease' then
            return prerelease_of(version)
        end
        return nil
    end,
    __eq = function(a, b)
        a, b = cast(a), cast(b)
        return a and b and compare(a, b) == 0 or false
    end,
    __lt = function(a, b)
        return compare(cast_both(a, b)) < 0
    end,
    __le = function(a, b)
        return compare(cast_both(a, b)) <= 0
    end,
    __tostring = function(version)
        local text = ('%d.%d.%d'):format(version.major, version.minor, version.patch)
        local prerelease = prerelease_of(version)
        if prerelease ~= nil then
            text = text .. '-' .. prerelease
        end
        if version.commit ~= 0 then
            text = text .. '-' .. version.commit
        end
        return text
    end,
})

return setmetatable({
    new = new,
    fromstr = fromstr,
}, {
    __call = function(_, text)
        return fromstr(text)
    end,
})
