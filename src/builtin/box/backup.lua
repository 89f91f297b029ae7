-- box.snapshot and box.backup: checkpoints on demand, and files that stay while they are copied.
local native, box = ...

local fiber = require('fiber')
local check = box.internal.check

function box.snapshot()
    check.configured(2)
    native.snapshot()
    return 'ok'
end

-- The backup under way: {vclock, checkpoint, started, ttl}.
local current

-- Signature of the checkpoint that a backup needs, for box.info.gc().
function box.internal.backup_checkpoint()
    local checkpoint = current and current.checkpoint
    if checkpoint == nil then
        return nil
    end
    local signature = 0
    for _, lsn in pairs(checkpoint) do
        signature = signature + lsn
    end
    return signature
end

local function stop(backup)
    if current ~= nil and (backup == nil or current == backup) then
        current = nil
        native.backup_end()
    end
end

local function check_arguments(argument, level)
    if argument == nil then
        return 0
    elseif type(argument) == 'number' then
        if argument < 0 then
            check.refuse('invalid checkpoint index', level + 1)
        end
        return math.floor(argument)
    elseif type(argument) ~= 'table' then
        check.refuse('expected number or table as 1 argument', level + 1)
    end
    local ttl = argument.ttl
    if ttl ~= nil and (type(ttl) ~= 'number' or ttl <= 0) then
        check.refuse('invalid ttl', level + 1)
    elseif argument.from_vclock ~= nil and type(argument.from_vclock) ~= 'table' then
        check.refuse('invalid from_vclock', level + 1)
    end
    return 0, argument.from_vclock, ttl
end

-- Starts a backup of the checkpoint `argument` before the newest, or with the options from_vclock
-- (the log since an earlier backup) and ttl (ends by itself). Returns the files to copy.
local function start(argument)
    check.configured(2)
    local back, since, ttl = check_arguments(argument, 2)
    if current ~= nil then
        box.error(box.error.BACKUP_IN_PROGRESS, 2)
    end
    local backup = {ttl = ttl, started = fiber.time()}
    current = backup
    local ok, files, vclock, checkpoint = pcall(native.backup_start, back, since)
    if not ok then
        current = nil
        error(files, 0)
    end
    backup.vclock, backup.checkpoint, backup.since = vclock, checkpoint, since
    backup.files = files
    if ttl ~= nil then
        local timer = fiber.new(function()
            fiber.sleep(ttl)
            stop(backup)
        end)
        timer:name('backup_ttl')
        fiber._internal.set_system(timer)
    end
    return files
end

local function info()
    if current == nil or current.files == nil then
        return nil
    end
    return {
        type = current.checkpoint ~= nil and 'full' or 'incremental',
        files = current.files,
        vclock = check.map(current.vclock),
        prev_vclock = current.since and check.map(current.since),
        start_time = current.started,
        ttl = current.ttl,
        recovery_points = {},
    }
end

local refusing = box.internal.refusing

box.backup = {
    start = start,
    stop = function() stop() end,
    info = info,
    recovery_point = {
        create = refusing('recovery points (box.backup.recovery_point.create)'),
        manager_create = refusing('recovery points (box.backup.recovery_point.manager_create)'),
        manager_drop = refusing('recovery points (box.backup.recovery_point.manager_drop)'),
        managers = {},
    },
}
