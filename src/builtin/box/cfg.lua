-- box.cfg: the options of the instance; the first call starts the database.
local native, box = ...
local log_ok, log = pcall(require, 'log')

local MB = 1024 * 1024

-- name = {types, default, what a second call may do}:
--   'set'    the native side applies it at once
--   'iproto' it is about the server of the binary protocol
--   'security' it is about those who log in, or about what is left of them
--   'log'    the module log applies it; 'title' likewise
--   'metrics' it is handed to metrics.cfg
--   'keep'   the value is only remembered: what it controls reads box.cfg
--   nil      it takes effect at start only
-- Names, types and defaults are Tarantool's.
local OPTIONS = {
    listen = {'string, number, table', nil, 'iproto'},
    memtx_memory = {'number', 256 * MB, 'set'},
    strip_core = {'boolean', true},
    memtx_min_tuple_size = {'number', 16},
    memtx_max_tuple_size = {'number', MB, 'set'},
    slab_alloc_granularity = {'number', 8},
    slab_alloc_factor = {'number', 1.05},
    app_threads = {'number', 0},
    iproto_threads = {'number', 0},
    memtx_allocator = {'string', 'small'},
    work_dir = {'string'},
    memtx_dir = {'string', '.'},
    wal_dir = {'string', '.'},
    vinyl_dir = {'string', '.'},
    vinyl_memory = {'number', 128 * MB, 'set'},
    vinyl_cache = {'number', 128 * MB, 'set'},
    vinyl_max_tuple_size = {'number', MB, 'set'},
    vinyl_read_threads = {'number', 1},
    vinyl_write_threads = {'number', 4},
    vinyl_timeout = {'number', 60, 'set'},
    vinyl_defer_deletes = {'boolean', false, 'keep'},
    vinyl_run_count_per_level = {'number', 2},
    vinyl_run_size_ratio = {'number', 3.5},
    vinyl_range_size = {'number'},
    vinyl_page_size = {'number', 8192},
    vinyl_bloom_fpr = {'number', 0.05},
    log = {'string'},
    log_nonblock = {'boolean'},
    log_level = {'number, string', 5, 'log'},
    log_modules = {'table', nil, 'log'},
    log_format = {'string', 'plain', 'log'},
    auth_type = {'string', 'chap-sha1', 'security'},
    auth_delay = {'number', 0, 'security'},
    auth_retries = {'number', 0, 'security'},
    disable_guest = {'boolean', false, 'security'},
    secure_erasing = {'boolean', false, 'security'},
    password_lifetime_days = {'number', 0, 'security'},
    password_min_length = {'number', 0, 'security'},
    password_enforce_uppercase = {'boolean', false, 'security'},
    password_enforce_lowercase = {'boolean', false, 'security'},
    password_enforce_digits = {'boolean', false, 'security'},
    password_enforce_specialchars = {'boolean', false, 'security'},
    password_history_length = {'number', 0, 'security'},
    io_collect_interval = {'number', nil, 'keep'},
    readahead = {'number', 16320, 'iproto'},
    snap_io_rate_limit = {'number', nil, 'set'},
    too_long_threshold = {'number', 0.5, 'keep'},
    wal_mode = {'string', 'write'},
    wal_max_size = {'number', 256 * MB},
    wal_dir_rescan_delay = {'number', 2, 'keep'},
    wal_queue_max_size = {'number', 16 * MB, 'set'},
    wal_cleanup_delay = {'number', nil, 'keep'},
    force_recovery = {'boolean', false, 'keep'},
    replication = {'string, number, table', nil, 'keep'},
    instance_uuid = {'string', nil, 'same'},
    instance_name = {'string', nil, 'set'},
    replicaset_uuid = {'string', nil, 'same'},
    replicaset_name = {'string', nil, 'set'},
    cluster_name = {'string', nil, 'set'},
    custom_proc_title = {'string', nil, 'title'},
    pid_file = {'string'},
    background = {'boolean', false},
    username = {'string'},
    coredump = {'boolean', false},
    read_only = {'boolean, string', false, 'set'},
    hot_standby = {'boolean', false},
    memtx_use_mvcc_engine = {'boolean', false},
    checkpoint_interval = {'number', 3600, 'set'},
    checkpoint_wal_threshold = {'number', 1e18, 'set'},
    checkpoint_count = {'number', 2, 'set'},
    worker_pool_threads = {'number', 4, 'keep'},
    election_mode = {'string', 'off', 'keep'},
    election_timeout = {'number', 5, 'keep'},
    election_fencing_mode = {'string', 'soft', 'keep'},
    replication_timeout = {'number', 1, 'keep'},
    replication_reconnect_timeout = {'number', nil, 'keep'},
    replication_sync_lag = {'number', 10, 'keep'},
    replication_sync_timeout = {'number', 0, 'keep'},
    replication_synchro_quorum = {'string, number', 'N / 2 + 1', 'keep'},
    replication_synchro_timeout = {'number', 5, 'keep'},
    replication_synchro_queue_max_size = {'number', 16 * MB, 'keep'},
    replication_linearizable_quorum = {'string, number', 'N - Q + 1', 'keep'},
    replication_connect_timeout = {'number', 30, 'keep'},
    replication_connect_quorum = {'number', nil, 'keep'},
    replication_skip_conflict = {'boolean', false, 'keep'},
    replication_anon = {'boolean', false, 'keep'},
    replication_anon_ttl = {'number', 3600, 'keep'},
    replication_threads = {'number', 1},
    bootstrap_strategy = {'string', 'auto', 'keep'},
    bootstrap_leader = {'string, number', nil, 'keep'},
    feedback_enabled = {'boolean', nil, 'keep'},
    feedback_crashinfo = {'boolean', nil, 'keep'},
    feedback_host = {'string', nil, 'keep'},
    feedback_interval = {'number', nil, 'keep'},
    feedback_send_metrics = {'boolean', nil, 'keep'},
    feedback_metrics_collect_interval = {'number', nil, 'keep'},
    feedback_metrics_limit = {'number', nil, 'keep'},
    net_msg_max = {'number', 768, 'iproto'},
    sql_cache_size = {'number', 5 * MB, 'keep'},
    txn_timeout = {'number', 365 * 100 * 86400, 'set'},
    txn_synchro_timeout = {'number', 5, 'keep'},
    txn_isolation = {'string, number', 'best-effort', 'set'},
    memtx_sort_threads = {'number'},
    memtx_use_sort_data = {'boolean', false, 'keep'},
    metrics = {'table', {include = 'all', exclude = {}, labels = {}}, 'metrics'},
}

-- What later versions will do and this one cannot: asking for it is an error, not a silence.
local UNSUPPORTED = {
    {'replication', function(value)
        return value ~= nil and not (type(value) == 'table' and next(value) == nil)
    end, 'replication'},
    {'memtx_use_mvcc_engine', function(value) return value end, 'the MVCC transaction manager'},
    {'hot_standby', function(value) return value end, 'hot standby'},
    {'replication_anon', function(value) return value end, 'anonymous replicas'},
    {'election_mode', function(value) return value ~= nil and value ~= 'off' end, 'elections'},
}

local function bad(name, problem)
    box.error(box.error.CFG, name, problem, 3)
end

local function check_type(name, value)
    local option = OPTIONS[name]
    if option == nil then
        bad(name, 'unexpected option')
    end
    local types = option[1]
    local given = type(value)
    for expected in types:gmatch('[a-z]+') do
        if given == expected then
            if given == 'number' and (value ~= value or math.abs(value) == math.huge) then
                bad(name, 'should be a finite number')
            end
            return
        end
    end
    bad(name, (types:find(',') and 'should be one of types ' or 'should be of type ') .. types)
end

local function one_of(name, value, ...)
    for _, allowed in ipairs({...}) do
        if value == allowed then
            return
        end
    end
    bad(name, ('the value must be one of the following strings: %s')
        :format("'" .. table.concat({...}, "', '") .. "'"))
end

local function positive(name, value)
    if value ~= nil and value <= 0 then
        bad(name, 'must be greater than 0')
    end
end

local function check_values(cfg)
    if cfg.wal_mode ~= nil and cfg.wal_mode ~= 'none' and cfg.wal_mode ~= 'write'
        and cfg.wal_mode ~= 'fsync' then
        bad('wal_mode', cfg.wal_mode)
    end
    if cfg.memtx_allocator ~= nil then
        one_of('memtx_allocator', cfg.memtx_allocator, 'small', 'system')
    end
    for _, name in ipairs({'instance_uuid', 'replicaset_uuid'}) do
        local uuid = cfg[name] and require('uuid').fromstr(cfg[name])
        if cfg[name] ~= nil and (uuid == nil or uuid:isnil()) then
            bad(name, 'invalid UUID')
        end
    end
    if cfg.checkpoint_count ~= nil and cfg.checkpoint_count < 1 then
        bad('checkpoint_count', 'the value must not be less than one')
    end
    if cfg.checkpoint_wal_threshold ~= nil and cfg.checkpoint_wal_threshold <= 0 then
        bad('checkpoint_wal_threshold', 'the value must be greater than 0')
    end
    if cfg.memtx_memory ~= nil and cfg.memtx_memory < 0 then
        bad('memtx_memory', 'must be greater than or equal to 0')
    end
    if cfg.wal_max_size ~= nil and cfg.wal_max_size < 0 then
        bad('wal_max_size', 'must be greater than or equal to 0')
    end
    if cfg.net_msg_max ~= nil and cfg.net_msg_max < 2 then
        bad('net_msg_max', 'minimal value is 2')
    end
    if cfg.iproto_threads ~= nil and (cfg.iproto_threads < 0 or cfg.iproto_threads > 1000) then
        bad('iproto_threads', 'must be greater than or equal to 0, less than or equal to 1000')
    end
    if cfg.readahead ~= nil and (cfg.readahead < 128 or cfg.readahead > 2147483648) then
        bad('readahead', 'specified value is out of bounds')
    end
    if cfg.listen ~= nil then
        box.internal.iproto.addresses(cfg.listen)
    end
    if cfg.auth_type ~= nil and cfg.auth_type ~= 'chap-sha1' and cfg.auth_type ~= 'pap-sha256' then
        bad('auth_type', cfg.auth_type)
    end
    for _, name in ipairs({'auth_delay', 'auth_retries', 'password_lifetime_days',
                           'password_min_length', 'password_history_length'}) do
        if cfg[name] ~= nil and cfg[name] < 0 then
            bad(name, 'must be greater than or equal to 0')
        end
    end
    positive('memtx_max_tuple_size', cfg.memtx_max_tuple_size)
    positive('txn_timeout', cfg.txn_timeout)
    for _, rule in ipairs(UNSUPPORTED) do
        local name, asked, feature = rule[1], rule[2], rule[3]
        if asked(cfg[name]) then
            box.error(box.error.UNSUPPORTED, 'Lycosa ' .. box.internal.lycosa_version, feature
                .. (" (box.cfg.%s)"):format(name), 3)
        end
    end
end

local function bad_variable(variable, name, expected)
    error(('Environment variable %s has incorrect value for option "%s": should be %s'):format(
        variable, name, expected), 0)
end

-- A list or map of a variable: JSON, `key=value,...` or `value,...`; nil for a single value.
local function list_of_variable(variable, name, text)
    if text:find('^[{%[]') then
        return require('json').decode(text)
    end
    local list, map, is_uri = {}, {}, false
    for _, item in ipairs(text:split(',')) do
        list[#list + 1] = tonumber(item) or item
        local key, value = item:match('^([^=]*)=(.*)$')
        if key == '' then
            bad_variable(variable, name, 'in `key=value` or `value` format, `key` must not be empty')
        elseif key ~= nil then
            map[key] = tonumber(value) or value
            -- The parameter of a URI.
            is_uri = is_uri or key:find('?', 1, true) ~= nil
        end
    end
    if next(map) ~= nil and not is_uri then
        return map
    end
    return #list > 1 and list or nil
end

-- The value that an environment variable gives an option (TT_WAL_MODE for wal_mode); nil for none.
local function from_environment(name)
    local variable = 'TT_' .. name:upper()
    local text = os.getenv(variable)
    if text == nil or text == '' then
        return nil
    end
    local types = OPTIONS[name][1]
    local list = types:find('table') and list_of_variable(variable, name, text)
    if list then
        return list
    elseif types:find('boolean') then
        local word = text:lower()
        if word == 'true' or word == 'false' then
            return word == 'true'
        elseif not types:find('string') then
            bad_variable(variable, name, '"true" or "false"')
        end
    elseif types == 'number' and tonumber(text) == nil then
        bad_variable(variable, name, 'convertible to a number')
    elseif types:find('number') then
        return tonumber(text) or text
    end
    return text
end

-- Options that were given as '10MB' and the like are numbers by now.
local function prepare(given)
    if type(given) ~= 'table' then
        error('Error: cfg should be a table', 3)
    end
    local cfg = {}
    for name, value in pairs(given) do
        if value ~= nil and value ~= '' then
            check_type(name, value)
            cfg[name] = value
        end
    end
    check_values(cfg)
    return cfg
end

local function set_log(cfg)
    if not log_ok or log.cfg == nil then
        return
    end
    local options = {
        log = cfg.log, level = cfg.log_level, format = cfg.log_format, modules = cfg.log_modules,
        nonblock = cfg.log_nonblock,
    }
    if next(options) ~= nil then
        log.cfg(options)
    end
end

local function set_title(cfg)
    if cfg.custom_proc_title ~= nil then
        require('title').update({custom_title = cfg.custom_proc_title})
    end
end

local function apply(name, value)
    local how = OPTIONS[name][3]
    if how == 'set' then
        native.configure_set(name, value)
    elseif how == 'log' then
        set_log({[name] = value})
    elseif how == 'title' then
        set_title({[name] = value})
    elseif how == 'metrics' then
        require('metrics').cfg(value)
    elseif name == 'listen' then
        box.internal.iproto.listen(value)
    end
end

local current

-- Passwords stay out of the log.
local HAVE_URIS = {listen = true, replication = true, bootstrap_leader = true}

local function shown(name, value)
    if not HAVE_URIS[name] or value == nil then
        return value
    end
    local uri = require('uri')
    local parsed = uri.parse_many(type(value) == 'number' and tostring(value) or value)
    if parsed == nil then
        return '?'
    end
    local texts = {}
    for i, one in ipairs(parsed) do
        texts[i] = uri.format(one)
    end
    return type(value) == 'table' and texts or table.concat(texts, ',')
end

local function say(name, value)
    if log_ok then
        local ok, text = pcall(require('json').encode, shown(name, value))
        log.info("set '%s' configuration option to %s", name, ok and text or '?')
    end
end

local function set_iproto_limits()
    box.internal.iproto.configure(current.readahead, current.net_msg_max,
        current.iproto_threads)
end
local on_start = {}

-- Calls `run` when the database is up; at once when it is.
function box.internal.on_configured(run)
    if current ~= nil then
        run()
    else
        on_start[#on_start + 1] = run
    end
end

local function metatable()
    return {
        __newindex = function()
            error('Attempt to modify a read-only table', 2)
        end,
        __call = function(_, ...) return box.internal.cfg_call(...) end,
        __serialize = function() return current end,
        __index = current,
        __pairs = function() return pairs(current) end,
        __autocomplete = function() return current end,
    }
end

local function show()
    box.cfg = setmetatable({}, metatable())
end

local function same(left, right)
    if type(left) == 'table' and type(right) == 'table' then
        return table.equals and table.equals(left, right) or left == right
    end
    return left == right
end

local function start(cfg)
    local full = {}
    for name, option in pairs(OPTIONS) do
        full[name] = option[2]
    end
    -- What log.cfg was called with before is a default here.
    for name, value in pairs(log_ok and log.box_api.current() or {}) do
        full[name] = value
    end
    for name, value in pairs(cfg) do
        full[name] = value
    end
    if full.work_dir ~= nil then
        native.change_directory(full.work_dir)
    end
    native.configure_process(full)
    set_log(full)
    set_title(full)
    native.configure_security(full)
    if not native.configure(full) then
        os.exit(1)
    end
    current = full
    show()
    set_iproto_limits()
    apply('metrics', full.metrics)
    if full.listen ~= nil then
        box.internal.iproto.listen(full.listen)
    end
    for name, value in pairs(cfg) do
        if not same(value, OPTIONS[name][2]) then
            say(name, value)
        end
    end
    for _, run in ipairs(on_start) do
        run()
    end
end

-- Functions to call, by name, when what is asked of those who log in may have changed.
box.internal.on_security = {}

local function reload(cfg)
    for name, value in pairs(cfg) do
        local how = OPTIONS[name][3]
        if not same(current[name], value) and (how == nil or how == 'same') then
            box.error(box.error.RELOAD_CFG, name, 3)
        end
    end
    for name, value in pairs(cfg) do
        if not same(current[name], value) then
            apply(name, value)
            current[name] = value
            say(name, value)
        elseif name == 'listen' then
            -- Its certificates may be new ones.
            box.internal.iproto.reload_tls(value)
        end
    end
    native.configure_security(current)
    for _, run in pairs(box.internal.on_security) do
        run()
    end
    set_iproto_limits()
end

-- Shows an option that another module has changed.
function box.internal.update_cfg(name, value)
    if current ~= nil then
        current[name] = value
    end
end

local starting = false

function box.internal.cfg_call(given)
    local cfg = prepare(given or {})
    if current ~= nil then
        if type(given) == 'table' and type(given.listen) == 'cdata' and current.listen ~= nil then
            -- box.NULL: listen no more.
            box.internal.iproto.listen(nil)
            current.listen = nil
        end
        return reload(cfg)
    end
    if starting then
        box.error(box.error.LOADING)
    end
    if cfg.force_recovery == nil and box.internal.force_recovery then
        cfg.force_recovery = true
    end
    for name in pairs(OPTIONS) do
        if cfg[name] == nil then
            cfg[name] = from_environment(name)
        end
    end
    check_values(cfg)
    starting = true
    local ok, err = pcall(start, cfg)
    starting = false
    if not ok then
        error(err, 0)
    end
end

box.cfg = function(given)
    return box.internal.cfg_call(given)
end

return box
