-- box.ctl: waiting for states of the instance, triggers on them; box.once.
local native, box = ...

local check, event = box.internal.check, box.internal.event

-- Raises "Lycosa does not support ...".
local function unsupported(feature, level)
    box.error(box.error.UNSUPPORTED, 'Lycosa', feature, (level or 1) + 1)
end
box.internal.unsupported = unsupported

-- A function that only says so.
local function refusing(feature)
    return function()
        unsupported(feature, 2)
    end
end
box.internal.refusing = refusing

local ctl = {
    is_recovery_finished = native.ctl_is_recovery_finished,
    on_schema_init = event.accessor('box.ctl.on_schema_init'),
    on_recovery_state = event.accessor('box.ctl.on_recovery_state'),
    on_shutdown = event.accessor('box.ctl.on_shutdown'),
    on_election = refusing('elections (box.ctl.on_election)'),
    promote = refusing('synchronous replication (box.ctl.promote)'),
    demote = refusing('synchronous replication (box.ctl.demote)'),
    clear_synchro_queue = refusing('synchronous replication (box.ctl.clear_synchro_queue)'),
    iproto_lockdown = refusing('the binary protocol (box.ctl.iproto_lockdown)'),
}
box.ctl = ctl

local function check_timeout(timeout, level)
    if timeout ~= nil and type(timeout) ~= 'number' then
        error(("bad argument #1 to '?' (number expected, got %s)"):format(type(timeout)), level + 1)
    end
end

function ctl.wait_ro(timeout)
    check_timeout(timeout, 2)
    native.ctl_wait_ro(true, timeout)
end

function ctl.wait_rw(timeout)
    check_timeout(timeout, 2)
    native.ctl_wait_ro(false, timeout)
end

function ctl.set_on_shutdown_timeout(...)
    local timeout = ...
    if select('#', ...) ~= 1 then
        check.refuse('function expected one argument', 2)
    end
    check_timeout(timeout, 2)
    if timeout == nil or timeout <= 0 then
        check.refuse('on_shutdown timeout must be greater then zero', 2)
    end
    box.internal.on_shutdown_timeout = timeout
end

function ctl.make_bootstrap_leader(options)
    if options ~= nil and type(options) ~= 'table' then
        check.refuse(('box.ctl.make_bootstrap_leader() expects a table as the first argument, '
            .. 'got %s'):format(type(options)), 2)
    end
    unsupported('replication (box.ctl.make_bootstrap_leader)', 2)
end

function ctl.replica_gc(uuid)
    if type(uuid) ~= 'string' then
        error(("bad argument #1 to '?' (string expected, got %s)"):format(type(uuid)), 2)
    elseif require('uuid').fromstr(uuid) == nil then
        check.refuse('Invalid UUID: ' .. uuid, 2)
    end
    unsupported('replication (box.ctl.replica_gc)', 2)
end

-- Returns when what was committed or submitted before is in the log.
function ctl.wal_sync()
    check.configured(2)
    native.ctl_wal_sync()
end

-- Runs a function once in the life of the data, whatever restarts come.
function box.once(key, run, ...)
    if type(key) ~= 'string' or type(run) ~= 'function' then
        check.refuse('Usage: box.once(key, func, ...)', 2)
    end
    check.configured(2)
    local row = 'once' .. key
    if box.space._schema:get({row}) ~= nil then
        return
    end
    ctl.wait_rw()
    box.space._schema:put({row})
    return run(...)
end

--
-- What other parts of Tarantool offer and this program does not
--

box.execute = refusing('SQL (box.execute)')
box.prepare = refusing('SQL (box.prepare)')
box.unprepare = refusing('SQL (box.unprepare)')
box.lib = {load = refusing('functions in C (box.lib.load)')}
box.feedback = {save = refusing('feedback (box.feedback.save)')}
box.read_view = {
    open = refusing('read views (box.read_view.open)'),
    -- Those of checkpoints are not shown.
    list = function() return {} end,
}
