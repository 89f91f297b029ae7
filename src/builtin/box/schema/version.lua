-- box.schema.upgrade and its kin: the version of the system spaces, `version` in _schema.
local native, box, parts = ...

local check = parts.check
local latest = native.schema_version_latest()

local function stored()
    local row = box.space._schema:get{'version'}
    if row == nil then
        return {0, 0, 0}
    end
    return {row[2], row[3], row[4] or 0}
end

local function is_less(left, right)
    for i = 1, 3 do
        if left[i] ~= right[i] then
            return left[i] < right[i]
        end
    end
    return false
end

-- Whether the data directory was written by an older version.
function box.schema.needs_upgrade()
    check.configured(2)
    return is_less(stored(), latest)
end

-- The space that came with 3.8.0.
local function create_recovery_point()
    local id = box.schema.RECOVERY_POINT_ID
    box.space._space:insert({id, box.schema.ADMIN_ID, '_recovery_point', 'memtx', 0,
        setmetatable({}, {__serialize = 'map'}), {
            {name = 'timestamp', type = 'unsigned'}, {name = 'replica_id', type = 'unsigned'},
            {name = 'lsn', type = 'unsigned'}, {name = 'opts', type = 'map'},
        }})
    box.space._index:insert({id, 0, 'primary', 'tree', {unique = true}, {
        {field = 0, type = 'unsigned'}, {field = 1, type = 'unsigned'},
        {field = 2, type = 'unsigned'},
    }})
end

-- Brings the system spaces to the version of this server. Older ones than the last but one are
-- served as they are.
function box.schema.upgrade()
    check.configured(2)
    if not box.schema.needs_upgrade() then
        return
    elseif not is_less(stored(), {3, 3, 0}) then
        box.atomic(function()
            if box.space._recovery_point == nil then
                create_recovery_point()
            end
            box.space._schema:replace({'version', unpack(latest)})
        end)
    else
        box.error(box.error.UNSUPPORTED, 'Lycosa',
            ('upgrading the schema from version %s'):format(table.concat(stored(), '.')), 2)
    end
end

-- The versions that the data could be made readable for: those whose system spaces are the same.
function box.schema.downgrade_versions()
    return {table.concat(latest, '.')}
end

local function check_version(version, level)
    check.configured(level + 1)
    if type(version) ~= 'string' or not version:match('^%d+%.%d+%.%d+$') then
        error('version must be in format X.Y.Z', level + 1)
    end
    for _, known in ipairs(box.schema.downgrade_versions()) do
        if version == known then
            return
        end
    end
    error('Downgrade is only possible to version listed in box.schema.downgrade_versions().',
        level + 1)
end

-- Nothing keeps the data from being read by the listed versions.
function box.schema.downgrade_issues(version)
    check_version(version, 2)
    return {}
end

function box.schema.downgrade(version)
    check_version(version, 2)
end

return {}
