-- config: the configuration of the instance: asked for, applied at start and at a reload.
--
-- The native half reads the sources into one checked configuration. This half applies it: to the
-- runtime, to box.cfg, to users, to roles, and last it runs the application.
local native = ...
local fiber = require('fiber')
local fio = require('fio')
local credentials = require('internal.config_credentials')
local public = require('internal.table').public

local config = {}
local methods = {}
local mt = {__index = methods}

-- {{{ Alerts: what is wrong with the configuration in force

local alerts_methods = {}
local alerts_mt = {__index = alerts_methods}

local function log()
    return require('log')
end

local function now()
    return require('datetime').now()
end

function alerts_methods:set(alert, opts)
    local key = opts ~= nil and opts.key or nil
    if key == nil then
        key = self._next_key
        self._next_key = key + 1
    else
        local old = self._alerts[key]
        if old ~= nil and old.message == alert.message and old.type == alert.type then
            return false
        end
    end
    if alert.type == 'error' then
        log().error('%s', alert.message)
    else
        log().warn('%s', alert.message)
    end
    alert.timestamp = now()
    self._alerts[key] = alert
    return true
end

function alerts_methods:get(key)
    return self._alerts[key]
end

function alerts_methods:drop(key)
    if self._alerts[key] == nil then
        return false
    end
    self._alerts[key] = nil
    if self._on_drop ~= nil then
        self._on_drop(self, key)
    end
    return true
end

function alerts_methods:drop_if(matches)
    local keys = {}
    for key, alert in pairs(self._alerts) do
        if matches(key, alert) then
            table.insert(keys, key)
        end
    end
    for _, key in ipairs(keys) do
        self:drop(key)
    end
    return #keys > 0
end

function alerts_methods:each(callback)
    for key, alert in pairs(self._alerts) do
        callback(key, alert)
    end
end

function alerts_methods:clean()
    local had_some = next(self._alerts) ~= nil
    self._alerts = {}
    self._next_key = 1
    return had_some
end

function alerts_methods:is_empty()
    return next(self._alerts) == nil
end

-- The alerts, oldest first, without their private fields.
function alerts_methods:alerts()
    local list = {}
    for _, alert in pairs(self._alerts) do
        table.insert(list, public(alert))
    end
    table.sort(list, function(a, b) return a.timestamp < b.timestamp end)
    return list
end

function alerts_methods:status()
    local status = 'ready'
    for _, alert in pairs(self._alerts) do
        if alert.type == 'error' then
            return 'check_errors'
        end
        status = 'check_warnings'
    end
    return status
end

-- Alerts that the application sets, under a name of its own.
local space_methods = {}
local space_mt = {__index = space_methods}

local function check_space(self, name)
    if type(self) ~= 'table' or getmetatable(self) ~= space_mt then
        error(('Use alerts_namespace:%s(<...>) instead of alerts_namespace.%s(<...>)'):format(
            name, name), 0)
    end
end

local function own_alert(self, alert)
    assert(type(alert) == 'table', 'alert must be a table')
    assert(alert.type == nil or alert.type == 'warn', 'alert.type must be nil or "warn"')
    local own = public(alert)
    own.type = 'warn'
    own._namespace = self._name
    return own
end

local function own_key(self, key)
    assert(type(key) == 'string', 'alert key must be a string')
    assert(not key:find(':', 1, true), 'alert key cannot contain a colon')
    return self._name .. ':' .. key
end

function space_methods.add(self, alert)
    check_space(self, 'add')
    return self._aboard:set(own_alert(self, alert))
end

function space_methods.get(self, key)
    check_space(self, 'get')
    local alert = self._aboard:get(own_key(self, key))
    return alert ~= nil and table.copy(alert) or nil
end

function space_methods.set(self, key, alert)
    check_space(self, 'set')
    return self._aboard:set(own_alert(self, alert), {key = own_key(self, key)})
end

function space_methods.unset(self, key)
    check_space(self, 'unset')
    return self._aboard:drop(own_key(self, key))
end

function space_methods.clear(self)
    check_space(self, 'clear')
    return self._aboard:drop_if(function(_, alert) return alert._namespace == self._name end)
end

function alerts_methods:new_namespace(name)
    assert(type(name) == 'string', 'namespace name must be a string')
    assert(not name:find(':', 1, true), 'namespace name cannot contain a colon')
    return setmetatable({_aboard = self, _name = name}, space_mt)
end

-- }}} Alerts

-- {{{ Applying, one function for each part, in order

local function warn(self, message, key)
    self._aboard:set({type = 'warn', message = message}, key and {key = key})
end

local function apply_lua(self)
    if not native.set_lua_memory(native.get_candidate('lua.memory')) then
        warn(self, 'lua.apply: lua.memory will be applied after restarting the instance since ' ..
            'the new limit is too close to the currently allocated amount of memory',
            'lua_memory_limit_too_small')
    end
end

-- Options of behaviour that this server has only one of are not known to `compat`: choosing is
-- answered by an alert.
local function apply_compat(self)
    local compat = require('compat')
    for name, value in pairs(native.get_candidate('compat') or {}) do
        local is_known = pcall(function()
            compat[name] = value
        end)
        if not is_known and native.is_given('compat.' .. name) then
            warn(self, ('compat.%s: there is no choice between old and new here'):format(name),
                'compat_' .. name)
        end
    end
end

-- The process goes to its `work_dir` with the first box.cfg.
local function is_in_work_dir()
    return type(box.cfg) ~= 'function'
end

-- A path of the configuration, relative to where the process is.
local function from_here(path)
    local folder = native.get_candidate('process.work_dir')
    if is_in_work_dir() or folder == nil or path:startswith('/') then
        return path
    end
    return fio.pathjoin(folder, path)
end

-- The console listens before the database starts, so that a long recovery can be watched.
local console_server, console_path

local function apply_console()
    local wanted = native.get_candidate('console.enabled') and native.get_candidate('console.socket') or nil
    if wanted == console_path then
        return
    end
    if console_server ~= nil then
        console_server:close()
        console_server, console_path = nil, nil
    end
    if wanted ~= nil then
        local path = from_here(wanted)
        console_server = require('console').listen(
            'unix/:' .. (path:match('^%.?/') and path or './' .. path))
        console_path = wanted
    end
end

local function apply_box_cfg(self)
    local changed, later = native.box_cfg()
    for _, option in ipairs(later) do
        warn(self, ('box_cfg.apply: non-dynamic option %s will not be set until the instance ' ..
            'is restarted'):format(option))
    end
    local is_first = not is_in_work_dir()
    if changed.log_modules == nil and not is_first and box.cfg.log_modules ~= nil
            and native.get_candidate('log.modules') == nil then
        -- To box.cfg a nil is no change.
        changed.log_modules = {}
    end
    if next(changed) ~= nil or is_first then
        box.cfg(changed)
    end
    if not is_first and changed.listen == nil and box.cfg.listen ~= nil then
        -- The files that it names may have changed.
        box.internal.iproto.reload_tls(box.cfg.listen)
    end
end

local function apply_fiber()
    fiber.set_max_slice(native.get_candidate('fiber.slice'))
    if native.get_candidate('fiber.top.enabled') then
        fiber.top_enable()
    else
        fiber.top_disable()
    end
end

local function apply_credentials(self)
    local wanted = native.credentials()
    credentials.add_sharding_role(wanted, native.get_candidate('sharding.roles'))
    credentials.apply(self._aboard, wanted)
end

local function apply_roles()
    require('internal.config_roles').apply(native.get_candidate('roles') or {},
                                           native.get_candidate('roles_cfg') or {})
end

-- The application that was loaded before the database started; false when none was.
local early_application

-- Runs the application, or `early`, before the database starts, one that asks for that.
local function run_application(early)
    local metadata = require('internal.config_metadata')
    local file, module = native.get_candidate('app.file'), native.get_candidate('app.module')
    local name = file or module
    if name == nil then
        early_application = early_application or false
        return
    end
    if file ~= nil then
        file = from_here(file)
    end
    local own = file ~= nil and metadata.of_file(file) or metadata.of_module('module', module)
    metadata.check('App', name, own, native.evaluate)
    if own.early_load and early_application ~= nil and early_application ~= name
            and package.loaded[name] == nil then
        metadata.too_late('App', name)
    end
    if not early or own.early_load then
        if file ~= nil then
            assert(loadfile(file))(file)
        else
            require(module)
        end
    end
    if early_application == nil then
        early_application = own.early_load and name or false
    end
end

local function apply(self)
    apply_lua(self)
    apply_compat(self)
    native.make_folders(is_in_work_dir())
    apply_console()
    require('internal.config_roles').prepare(native.get_candidate('roles') or {}, native.evaluate)
    run_application(true)
    apply_box_cfg(self)
    apply_fiber()
    apply_credentials(self)
    apply_roles()
    -- The application asks for its settings, so they are in force from here.
    native.commit(true)
    run_application(false)
    -- It has made what privileges were waiting for.
    credentials.settle()
end

-- }}} Applying

-- {{{ Public methods

local function check_self(self, name)
    if type(self) ~= 'table' or getmetatable(self) ~= mt then
        error(('Use config:%s(<...>) instead of config.%s(<...>)'):format(name, name), 0)
    end
end

local function check_ready(self, name, what)
    if self._status == 'uninitialized' then
        error(('config:%s(): no %s config available yet'):format(name, what), 0)
    end
end

local function check_type(value, expected)
    if value ~= nil and type(value) ~= expected then
        error(('Expected %s, got %s'):format(expected, type(value)), 0)
    end
end

-- The text of an error of the native half, as Tarantool raises it.
local function call(func, ...)
    local ok, result = pcall(func, ...)
    if not ok then
        error(type(result) == 'cdata' and result.message or tostring(result), 0)
    end
    return result
end

local function broadcast(self)
    if box ~= nil and box.broadcast ~= nil then
        box.broadcast('config.info', self:info())
    end
end

local function set_status(self, status)
    self._status = status
    broadcast(self)
end

function methods.get(self, path, opts)
    check_self(self, 'get')
    check_ready(self, 'get', 'instance')
    opts = opts or {}
    check_type(opts, 'table')
    check_type(opts.instance, 'string')
    check_type(opts.env, 'boolean')
    if path ~= nil and type(path) ~= 'string' and type(path) ~= 'table' then
        error('Usage: config:get(path: nil/string/table, opts: nil/table)', 0)
    end
    if opts.instance ~= nil and opts.env == true then
        error('config:get: "instance" and "env = true" options can\'t be used together, because ' ..
            'it is unknown which TT_* environment variables were passed to another instance', 0)
    end
    local instance = opts.instance
    if opts.env == false then
        instance = instance or native.names().instance_name
    end
    -- Whoever is called while a configuration is applied sees that one.
    local get = self._status == 'reload_in_progress' and native.get_candidate or native.get
    return call(get, path, instance)
end

-- Reads the sources and applies them. True, or false and the text of what is wrong.
function methods._reload_noexc(self)
    if self._status == 'uninitialized' then
        return false, 'config:reload(): no instance config available yet'
    end
    if self._status == 'startup_in_progress' or self._status == 'reload_in_progress' then
        return false, 'config:reload(): instance configuration is already in progress'
    end
    set_status(self, 'reload_in_progress')
    self._aboard:clean()
    self._metadata = {}
    local ok, err = pcall(function()
        local wrong = native.load()
        if wrong ~= nil then
            error(wrong, 0)
        end
        apply(self)
    end)
    native.commit(false)
    if not ok then
        err = type(err) == 'cdata' and err.message or tostring(err)
        self._aboard:set({type = 'error', message = err})
    end
    set_status(self, self._aboard:status())
    if self._status ~= 'check_errors' then
        self._active_metadata = self._metadata
    end
    return ok, err
end

function methods.reload(self)
    check_self(self, 'reload')
    local ok, err = self:_reload_noexc()
    if not ok then
        error(err, 0)
    end
end

-- SIGUSR2 is for those who cannot reach a console, such as systemd.
local function reload_by_signal(self)
    local is_first = true
    box.watch('box.internal.SIGUSR2', function()
        -- A watcher is called when it is made, too.
        if is_first then
            is_first = false
            return
        end
        log().info('Configuration reloading by SIGUSR2 is started')
        local ok, err = self:_reload_noexc()
        if ok then
            log().info('Configuration reloading by SIGUSR2 is finished: status=%s', self._status)
        else
            log().warn('Configuration reloading by SIGUSR2 is failed: %s', err)
        end
    end)
end

-- Starts the instance; the server calls it once. An error ends the process.
function methods._startup(self)
    assert(self._status == 'uninitialized')
    local wrong = native.load()
    if wrong ~= nil then
        error(wrong, 0)
    end
    set_status(self, 'startup_in_progress')
    local ok, err = pcall(apply, self)
    if not ok then
        log().debug('Instance configuration at startup failure:\n%s',
            require('yaml').encode(native.masked()))
        error(err, 0)
    end
    set_status(self, self._aboard:status())
    self._active_metadata = self._metadata
    reload_by_signal(self)
end

function methods._hierarchy_info(self)
    if self._status == 'uninitialized' then
        return {}
    end
    local names = native.names()
    return {
        group = names.group_name,
        replicaset = names.replicaset_name,
        instance = names.instance_name,
    }
end

function methods.info(self, version)
    check_self(self, 'info')
    local info = {
        alerts = self._aboard:alerts(),
        status = self._status,
        hierarchy = self:_hierarchy_info(),
    }
    if version == nil or version == 'v1' then
        info.meta = self._metadata
    elseif version == 'v2' then
        info.meta = {active = self._active_metadata, last = self._metadata}
    else
        error(('config:info() expects v1, v2 or nil as an argument, got %q'):format(version), 0)
    end
    return info
end

local STATUSES = {
    uninitialized = true,
    startup_in_progress = true,
    reload_in_progress = true,
    check_errors = true,
    check_warnings = true,
    ready = true,
}

local function status_set(statuses)
    if type(statuses) == 'string' then
        statuses = {statuses}
    elseif type(statuses) ~= 'table' then
        error(('Expected string or table, got %s'):format(type(statuses)), 0)
    end
    local set = {}
    for index, status in ipairs(statuses) do
        if type(status) ~= 'string' then
            error(('Expected string, got %s at index %d'):format(type(status), index), 0)
        end
        if not STATUSES[status] then
            error(('Unknown config status %q'):format(status), 0)
        end
        set[status] = true
    end
    if next(set) == nil then
        error('Expected at least one config status', 0)
    end
    return set
end

-- Waits until the status is one of these, or the time is over; returns the status.
function methods.wait_status(self, statuses, timeout)
    check_self(self, 'wait_status')
    local wanted = status_set(statuses)
    if timeout ~= nil and type(timeout) ~= 'number' then
        error(('Expected timeout to be a non-negative number or nil, got %s'):format(
            type(timeout)), 0)
    end
    if timeout ~= nil and timeout < 0 then
        error('Expected timeout to be a non-negative number or nil, got negative number', 0)
    end
    if wanted[self._status] then
        return self._status
    end
    local cond = fiber.cond()
    local watcher = box.watch('config.info', function() cond:signal() end)
    local deadline = fiber.clock() + (timeout or math.huge)
    local ok, err = pcall(function()
        while not wanted[self._status] do
            if not cond:wait(math.max(0, deadline - fiber.clock())) then
                break
            end
        end
    end)
    watcher:unregister()
    if not ok then
        error(err, 0)
    end
    return self._status
end

-- Whether a list option of an instance has this item.
local function has_item(self, name, path, item, opts)
    check_ready(self, name, 'cluster')
    opts = opts or {}
    check_type(opts.instance, 'string')
    for _, have in ipairs(self:get(path, {instance = opts.instance}) or {}) do
        if have == item then
            return true
        end
    end
    return false
end

function methods.is_storage(self, opts)
    check_self(self, 'is_storage')
    return has_item(self, 'is_storage', 'sharding.roles', 'storage', opts)
end

function methods.is_router(self, opts)
    check_self(self, 'is_router')
    return has_item(self, 'is_router', 'sharding.roles', 'router', opts)
end

function methods.has_role(self, role, opts)
    check_self(self, 'has_role')
    if type(role) ~= 'string' then
        error(('Expected string, got %s'):format(type(role)), 0)
    end
    return has_item(self, 'has_role', 'roles', role, opts)
end

-- Whether metrics.include and metrics.exclude let a group or selector through. A selector means
-- the metrics below it, too.
function methods.is_metric_enabled(self, name)
    check_self(self, 'is_metric_enabled')
    check_ready(self, 'is_metric_enabled', 'instance')
    if type(name) ~= 'string' then
        error(('Expected string, got %s'):format(type(name)), 0)
    end
    if name == '' then
        error('Expected non-empty metric name', 0)
    end
    local function matches(rules)
        for _, rule in ipairs(rules) do
            if rule == 'all' or rule == name or name:sub(1, #rule + 1) == rule .. '.' then
                return true
            end
        end
        return false
    end
    return matches(native.get('metrics.include') or {'all'}) and
        not matches(native.get('metrics.exclude') or {})
end

-- The configuration of the cluster as its files have it: no defaults, variables not replaced.
function methods.cluster_config(self)
    check_self(self, 'cluster_config')
    check_ready(self, 'cluster_config', 'cluster')
    return native.cluster_config()
end

methods._cconfig = methods.cluster_config

function methods.instances(self)
    check_self(self, 'instances')
    check_ready(self, 'instances', 'cluster')
    return native.instances()
end

function methods.instance_uri(self, uri_type, opts)
    check_self(self, 'instance_uri')
    check_ready(self, 'instance_uri', 'cluster')
    uri_type = uri_type == nil and 'peer' or uri_type
    if uri_type ~= 'peer' and uri_type ~= 'sharding' then
        error(('Expected "peer" or "sharding", got %q'):format(uri_type), 0)
    end
    opts = opts or {}
    check_type(opts, 'table')
    check_type(opts.instance, 'string')
    check_type(opts.login, 'string')
    check_type(opts.password, 'string')
    check_type(opts.params, 'table')
    if opts.password ~= nil and opts.login == nil then
        error('Password cannot be set without setting login', 0)
    end
    return call(native.instance_uri, uri_type, opts.instance, opts.login, opts.password,
        opts.params)
end

function methods.jsonschema(self)
    check_self(self, 'jsonschema')
    return native.jsonschema()
end

function methods.new_alerts_namespace(self, name)
    check_self(self, 'new_alerts_namespace')
    return self._aboard:new_namespace(name)
end

-- }}} Public methods

-- The module is one object: there is one configuration.
mt.__serialize = public

config._metadata = {}
config._active_metadata = {}
config._status = 'uninitialized'
config._aboard = setmetatable({_alerts = {}, _next_key = 1}, alerts_mt)
-- With the last warning gone the configuration is in order again.
config._aboard._on_drop = function(aboard)
    if aboard:is_empty() and config._status == 'check_warnings' then
        config._status = 'ready'
    end
end

return setmetatable(config, mt)
