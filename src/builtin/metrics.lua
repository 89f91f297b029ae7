-- metrics: counters, gauges, histograms and summaries of the application, and figures of the
-- program. Plugins (metrics.plugins.prometheus, .json, .graphite) give them out.

local checks = require('checks')
local log = require('log')
local classes = require('internal.metrics.collector')
local default = require('internal.metrics.default')

local error, ipairs, next, pairs, setmetatable, type = error, ipairs, next, pairs, setmetatable,
    type

local registry = classes.Registry.new()
default.setup(registry, classes)

local metrics = {
    registry = registry,
    INF = math.huge,
    NAN = math.huge * 0,
    _VERSION = '1.8.1',
}

-- {{{ Collectors

function metrics.counter(name, help, metainfo, label_keys)
    checks('string', '?string', '?table', '?table')
    return registry:find_or_create(classes.Counter, name, help, metainfo, label_keys)
end

function metrics.gauge(name, help, metainfo, label_keys)
    checks('string', '?string', '?table', '?table')
    return registry:find_or_create(classes.Gauge, name, help, metainfo, label_keys)
end

function metrics.histogram(name, help, buckets, metainfo)
    checks('string', '?string', '?table', '?table')
    if buckets ~= nil and not classes.Histogram.check_buckets(buckets) then
        error('Invalid value for buckets')
    end
    return registry:find_or_create(classes.Histogram, name, help, buckets, metainfo)
end

function metrics.summary(name, help, objectives, params, metainfo)
    checks('string', '?string', '?table', {
        age_buckets_count = '?number',
        max_age_time = '?number',
    }, '?table')
    if objectives ~= nil and not classes.Summary.check_quantiles(objectives) then
        error('Invalid value for objectives')
    end
    local count, age = (params or {}).age_buckets_count, (params or {}).max_age_time
    if age and age <= 0 then
        error('Max age must be positive')
    elseif count and count < 1 then
        error('Age buckets count must be greater or equal than one')
    elseif not age ~= not count then
        error('Age buckets count and max age must be present only together')
    end
    return registry:find_or_create(classes.Summary, name, help, objectives, params, metainfo)
end

function metrics.collectors()
    return registry:filtered_collectors()
end

function metrics.register_callback(callback, metainfo)
    checks('function', '?table')
    return registry:register_callback(callback, metainfo)
end

function metrics.unregister_callback(callback)
    return registry:unregister_callback(callback)
end

function metrics.invoke_callbacks()
    return registry:invoke_callbacks()
end

function metrics.clear()
    registry:clear()
end

-- All observations, of the program's own collectors only if that is asked for.
function metrics.collect(opts)
    checks({invoke_callbacks = '?boolean', default_only = '?boolean'})
    opts = opts or {}
    if opts.invoke_callbacks then
        registry:invoke_callbacks()
    end
    local result = {}
    for _, collector in pairs(registry:filtered_collectors()) do
        if not opts.default_only or collector.metainfo.default then
            for _, observation in ipairs(collector:collect()) do
                table.insert(result, observation)
            end
        end
    end
    return result
end

-- Labels that every observation has.
function metrics.set_global_labels(label_pairs)
    checks('?table')
    for name in pairs(label_pairs or {}) do
        if type(name) ~= 'string' then
            error(('bad label key (string expected, got %s)'):format(type(name)))
        end
    end
    registry:set_labels(label_pairs or {})
end

-- Which collectors are given out, by their selectors.
function metrics.set_filter(include, exclude)
    checks('?string|table', '?string|table')
    registry:set_filter(include, exclude)
end

local namespace_methods = {}

for _, kind in ipairs({'counter', 'gauge'}) do
    namespace_methods[kind] = function(self, name, help, metainfo, label_keys)
        return metrics[kind](name, help, self:metainfo(name, metainfo), label_keys)
    end
end

function namespace_methods.histogram(self, name, help, buckets, metainfo)
    return metrics.histogram(name, help, buckets, self:metainfo(name, metainfo))
end

function namespace_methods.summary(self, name, help, objectives, params, metainfo)
    return metrics.summary(name, help, objectives, params, self:metainfo(name, metainfo))
end

function namespace_methods.register_callback(self, callback, metainfo)
    metainfo = table.copy(metainfo) or {}
    metainfo.selector = metainfo.selector or self.selector
    return metrics.register_callback(callback, metainfo)
end

function namespace_methods.unregister_callback(_, callback)
    return metrics.unregister_callback(callback)
end

function namespace_methods.metainfo(self, name, metainfo)
    metainfo = table.copy(metainfo) or {}
    metainfo.selector = metainfo.selector or self.selector .. '.' .. name
    return metainfo
end

-- Collectors that a filter can choose together.
function metrics.namespace(selector)
    checks('string')
    if selector == '' then
        error('Metric namespace selector must not be empty')
    end
    return setmetatable({selector = selector}, {__index = namespace_methods})
end

-- }}} Collectors

-- {{{ Figures of the program

function metrics.enable_default_metrics(include, exclude)
    if type(include) == 'table' and next(include) == nil then
        log.warn('Providing {} in enable_default_metrics include is treated as a default value '
            .. 'now (i.e. include all), but it will change in the future. Use "all" instead')
        include = 'all'
    end
    return default.enable(include, exclude, false)
end

-- Parts a side of the configuration into categories of the program and selectors of others.
local function split(values, nothing, no_selectors)
    if type(values) == 'string' then
        return values, values
    end
    local names, selectors = {}, {}
    for _, value in ipairs(values) do
        if value == 'all' then
            table.insert(names, value)
            return names, 'all'
        elseif default.is_category(value) then
            table.insert(names, value)
        else
            table.insert(selectors, {selector = value})
        end
    end
    return next(names) ~= nil and names or nothing,
        next(selectors) ~= nil and selectors or no_selectors
end

local current = {include = 'all', exclude = {}, labels = {}}
local is_configured = false

local function configure(self, opts)
    checks('table', {include = '?string|table', exclude = '?table', labels = '?table'})
    opts = table.deepcopy(opts) or {}
    local new = {}
    for name, value in pairs(current) do
        new[name] = opts[name] == nil and value or opts[name]
    end
    local include, included = split(new.include, 'none', 'all')
    local exclude, excluded = split(new.exclude, {}, {})
    default.enable(include, exclude, true)
    metrics.set_filter(included, excluded)
    metrics.set_global_labels(new.labels)
    current, is_configured = new, true
    return self
end

metrics.cfg = setmetatable({}, {
    __call = configure,
    __index = function(_, key)
        if not is_configured then
            error('Call metrics.cfg{} first')
        end
        return current[key]
    end,
    __newindex = function()
        error('Use metrics.cfg{} instead')
    end,
    __serialize = function() return current end,
})

-- }}} Figures of the program

-- {{{ Handlers of HTTP servers

local middleware = {
    DEFAULT_HISTOGRAM_BUCKETS = {
        0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5,
        5.0, 7.5, 10.0,
    },
    DEFAULT_QUANTILES = {[0.5] = 0.01, [0.9] = 0.01, [0.99] = 0.01},
    DEFAULT_SUMMARY_PARAMS = {max_age_time = 60, age_buckets_count = 5},
}
metrics.http_middleware = middleware

function middleware.build_default_collector(kind, name, help)
    kind = kind or 'histogram'
    name = name or 'http_server_request_latency'
    help = help or 'HTTP Server Request Latency'
    local collector
    if kind == 'histogram' then
        local buckets = table.copy(middleware.DEFAULT_HISTOGRAM_BUCKETS)
        collector = classes.Histogram:new(name, help, buckets)
    elseif kind == 'summary' then
        collector = classes.Summary:new(name, help, middleware.DEFAULT_QUANTILES,
            middleware.DEFAULT_SUMMARY_PARAMS)
    else
        error('Unknown collector type_name: ' .. tostring(kind))
    end
    return registry:register(collector)
end

local default_collector

function middleware.get_default_collector()
    default_collector = default_collector or middleware.build_default_collector()
    return default_collector
end

function middleware.set_default_collector(collector)
    default_collector = collector
end

function middleware.configure_default_collector(...)
    middleware.set_default_collector(middleware.build_default_collector(...))
end

-- Calls a handler and observes how long it took, by path, method and status.
function middleware.observe(collector, route, handler, ...)
    return collector:observe_latency(function(ok, result)
        if not ok then
            log.error('http handler returned %q', result)
        elseif type(result) ~= 'table' then
            error(('incorrect http handler for %s %s: expecting return response object'):format(
                route.method, route.path), 0)
        end
        return {
            path = route.path, method = route.method,
            status = not ok and 500 or result.status or 200,
        }
    end, handler, ...)
end

-- A handler of the module `http` that is observed.
function middleware.v1(handler, collector)
    collector = collector or middleware.get_default_collector()
    return function(request)
        return middleware.observe(collector, request.endpoint, handler, request)
    end
end

-- }}} Handlers of HTTP servers

return metrics
