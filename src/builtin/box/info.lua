-- box.info: who this instance is and how it stands; box.info() is all of it at once.
local native, box = ...

local check = box.internal.check

-- A name that is not set, or an id: absence shows as null, which survives serializers.
local function or_null(value)
    if value == nil then
        return box.NULL
    end
    return value
end

local facts = {}

function facts.id()
    return or_null((native.info_instance()))
end

function facts.uuid()
    return (select(2, native.info_instance()))
end

function facts.name()
    return or_null((select(3, native.info_instance())))
end

function facts.replicaset()
    local _, _, _, uuid, name = native.info_instance()
    return {uuid = uuid, name = or_null(name)}
end

function facts.cluster()
    return {name = or_null((select(6, native.info_instance())))}
end

function facts.lsn()
    local id = native.info_instance()
    if id == nil then
        return -1
    end
    return native.info_vclock()[id] or 0
end

function facts.signature()
    return (select(2, native.info_vclock()))
end

function facts.vclock()
    return check.map((native.info_vclock()))
end

facts.status = native.info_status
facts.ro = native.info_is_ro

function facts.ro_reason()
    return native.info_is_ro() and 'config' or nil
end

function facts.pid()
    return require('tarantool').pid()
end

-- Whole seconds, the first of which has begun.
function facts.uptime()
    return math.floor(require('tarantool').uptime()) + 1
end

facts.hostname = native.info_hostname

-- Where the binary protocol listens: one text, several, or nil.
function facts.listen()
    local addresses = box.internal.iproto.listening()
    return #addresses > 1 and addresses or addresses[1]
end

function facts.schema_version()
    return native.schema_version()
end

-- Registered instances; this one follows no other.
function facts.replication()
    local result = {}
    for _, replica in ipairs(native.info_replicas()) do
        replica.name = or_null(replica.name)
        result[replica.id] = replica
    end
    return check.map(result)
end

-- A table of few fields that shows more when it is called, because that costs more.
local function callable(fields, details)
    return setmetatable(fields, {__call = details})
end

function facts.replication_anon()
    return callable({count = 0}, function() return check.map({}) end)
end

-- Elections are off and nobody votes: what Tarantool shows then.
function facts.election()
    return {state = 'follower', term = 1, vote = 0, leader = 0}
end

-- Synchronous transactions: the queue is empty because there are none.
function facts.synchro()
    return {
        quorum = 1,
        queue = {owner = 0, term = 0, len = 0, size = 0, age = 0, busy = false, confirm_lag = 0},
    }
end

function facts.sql()
    return callable({}, function() return {cache = {size = 0, stmt_count = 0}} end)
end

function facts.vinyl()
    return callable({}, box.stat.vinyl)
end

function facts.memory()
    return callable({}, function()
        local slab, lua = native.slab_info(), native.runtime_info()
        return {
            data = slab.items_used, index = slab.index_used, lua = lua,
            cache = box.stat.vinyl().memory.tuple_cache or 0,
            -- Not counted apart.
            tx = 0, net = 0,
        }
    end)
end

function facts.gc()
    return callable({}, function()
        local checkpoints, is_in_progress = native.info_checkpoints()
        local backup = box.internal.backup_checkpoint()
        for _, checkpoint in ipairs(checkpoints) do
            check.map(checkpoint.vclock)
            checkpoint.references = {}
            if checkpoint.signature == backup then
                checkpoint.references[1] = 'backup'
            end
        end
        local oldest = checkpoints[1] or {vclock = check.map({}), signature = 0}
        return {
            vclock = oldest.vclock, signature = oldest.signature, checkpoints = checkpoints,
            consumers = {}, checkpoint_is_in_progress = is_in_progress, is_paused = false,
            wal_retention_vclock = box.NULL,
        }
    end)
end

-- Monitoring must not fail because one of its parts does.
local function guarded(run)
    return function()
        local ok, result = pcall(run)
        return ok and result or {error = tostring(result)}
    end
end

facts.config = guarded(function() return require('config'):info('v2') end)
facts.health = guarded(function() return box.internal.health_info() end)

local constants = {version = native.version, package = native.package}

local function all()
    local result = {}
    -- `pairs` would ask the metatable, and so this function again.
    for name, value in next, constants do
        result[name] = value
    end
    for name, read in pairs(facts) do
        result[name] = read()
    end
    return result
end

box.info = setmetatable(constants, {
    __index = function(_, name)
        local read = facts[name]
        return read and read()
    end,
    __call = all,
    __serialize = all,
    __pairs = function() return pairs(all()) end,
    __autocomplete = all,
})
