-- internal.metrics.collector: counters, gauges, histograms and summaries, and the registry of them.
--
-- A collector keeps a number for each set of labels. Histograms and summaries are made of counters:
-- how many, the sum, and how many below each bound; summaries estimate quantiles besides.

local clock = require('clock')
local fiber = require('fiber')
local log = require('log')
local stream = require('internal.metrics.quantile')

local error, ipairs, next, pairs, setmetatable, tonumber, type = error, ipairs, next, pairs,
    setmetatable, tonumber, type

local DEFAULT_BUCKETS = {.005, .01, .025, .05, .075, .1, .25, .5, .75, 1.0, 2.5, 5.0, 7.5, 10.0,
                         math.huge}

-- {{{ What all have in common

-- A text that stands for a set of labels.
local function make_key(label_pairs, label_keys)
    local parts = {}
    if label_keys == nil then
        if type(label_pairs) ~= 'table' then
            return ''
        end
        for name, value in pairs(label_pairs) do
            parts[#parts + 1] = name .. '\t' .. tostring(value)
        end
        table.sort(parts)
        return table.concat(parts, '\t')
    elseif type(label_pairs) ~= 'table' then
        error('Invalid label_pairs: expected a table when label_keys is provided')
    end
    local count = 0
    for _ in pairs(label_pairs) do
        count = count + 1
    end
    if #label_keys ~= count then
        error(('Label keys count (%d) should match the number of label pairs (%d)'):format(
            #label_keys, count))
    end
    for i, name in ipairs(label_keys) do
        if label_pairs[name] == nil then
            error(("Label key '%s' is missing"):format(name))
        end
        parts[i] = tostring(label_pairs[name])
    end
    return table.concat(parts, '\t')
end

local common = {make_key = make_key}

local function init(class, name, help, metainfo, label_keys)
    if not name then
        error('Name should be set for %s')
    end
    return setmetatable({
        name = name, help = help or '', observations = {}, label_pairs = {},
        label_keys = label_keys, metainfo = table.copy(metainfo) or {},
    }, class)
end

function common.set_registry(self, registry)
    self.registry = registry
end

function common.append_global_labels(self, label_pairs)
    local global = self.registry and self.registry.label_pairs
    if global == nil or next(global) == nil then
        return label_pairs or {}
    end
    local all = table.copy(global)
    for name, value in pairs(label_pairs or {}) do
        all[name] = value
    end
    return all
end

function common.remove(self, label_pairs)
    assert(label_pairs, 'label pairs is a required parameter')
    local key = make_key(label_pairs, self.label_keys)
    self.observations[key], self.label_pairs[key] = nil, nil
end

function common.collect(self)
    local result = {}
    for key, value in pairs(self.observations) do
        result[#result + 1] = {
            metric_name = self.name, value = value, timestamp = fiber.time64(),
            label_pairs = self:append_global_labels(self.label_pairs[key]),
        }
    end
    return result
end

local function check_number(number, what)
    if number ~= nil and type(tonumber(number)) ~= 'number' then
        error(what .. ' should be a number')
    end
end

local function store(self, label_pairs, change)
    local key = make_key(label_pairs, self.label_keys)
    self.observations[key] = change(self.observations[key] or 0)
    self.label_pairs[key] = label_pairs or {}
end

local function log_problem(problem)
    log.error(debug.traceback('Saving metrics failed: ' .. tostring(problem)))
end

local function end_latency(self, labels, started, ok, result, ...)
    local latency = clock.monotonic() - started
    if type(labels) == 'function' then
        labels = labels(ok, result, ...)
    end
    xpcall(self.observe, log_problem, self, latency, labels)
    if not ok then
        error(result)
    end
    return result, ...
end

-- Calls a function and observes how long it took. The labels may be a function of its results.
local function observe_latency(self, labels, fn, ...)
    return end_latency(self, labels, clock.monotonic(), pcall(fn, ...))
end

local function new_class(kind, methods)
    local class = {kind = kind}
    for name, method in pairs(common) do
        class[name] = method
    end
    for name, method in pairs(methods) do
        class[name] = method
    end
    class.__index = class
    return class
end

-- }}} What all have in common

-- {{{ Counters and gauges

local Gauge = new_class('gauge', {
    set = function(self, number, label_pairs)
        check_number(number, 'Collector set value')
        store(self, label_pairs, function() return number or 0 end)
    end,
    inc = function(self, number, label_pairs)
        check_number(number, 'Collector increment')
        store(self, label_pairs, function(old) return old + (number or 1) end)
    end,
    dec = function(self, number, label_pairs)
        check_number(number, 'Collector decrement')
        store(self, label_pairs, function(old) return old - (number or 1) end)
    end,
})
Gauge.new = init

local Counter = new_class('counter', {
    inc = function(self, number, label_pairs)
        if number ~= nil and type(tonumber(number)) ~= 'number' then
            error('Counter increment should be a number')
        elseif number ~= nil and number < 0 then
            error('Counter increment should not be negative')
        end
        store(self, label_pairs, function(old) return old + (number or 1) end)
    end,
    reset = function(self, label_pairs)
        store(self, label_pairs, function() return 0 end)
    end,
})
Counter.new = init

-- }}} Counters and gauges

-- {{{ Histograms

local function append(result, observations)
    for _, observation in ipairs(observations) do
        result[#result + 1] = observation
    end
end

local Histogram = new_class('histogram', {observe_latency = observe_latency})

function Histogram.check_buckets(buckets)
    local previous = 0
    for i, bound in ipairs(buckets) do
        if type(bound) ~= 'number' or bound <= 0 or i > 1 and bound < previous then
            return false
        end
        previous = bound
    end
    return true
end

function Histogram.new(class, name, help, buckets, metainfo)
    local self = init(class, name, help, metainfo)
    self.buckets = buckets or table.copy(DEFAULT_BUCKETS)
    table.sort(self.buckets)
    if self.buckets[#self.buckets] ~= math.huge then
        table.insert(self.buckets, math.huge)
    end
    self.count_collector = Counter:new(name .. '_count', help, metainfo)
    self.sum_collector = Counter:new(name .. '_sum', help, metainfo)
    self.bucket_collector = Counter:new(name .. '_bucket', help, metainfo)
    return self
end

function Histogram.set_registry(self, registry)
    for _, collector in ipairs({self, self.count_collector, self.sum_collector,
                                self.bucket_collector}) do
        common.set_registry(collector, registry)
    end
end

local function with_label(label_pairs, name, value)
    local all = table.copy(label_pairs)
    all[name] = value
    return all
end

function Histogram.observe(self, number, label_pairs)
    label_pairs = label_pairs or {}
    check_number(number, 'Histogram observation')
    self.count_collector:inc(1, label_pairs)
    self.sum_collector:inc(number, label_pairs)
    for _, bound in ipairs(self.buckets) do
        -- Those that it is not below are there all the same.
        self.bucket_collector:inc(number <= bound and 1 or 0, with_label(label_pairs, 'le', bound))
    end
end

function Histogram.remove(self, label_pairs)
    assert(label_pairs, 'label pairs is a required parameter')
    self.count_collector:remove(label_pairs)
    self.sum_collector:remove(label_pairs)
    for _, bound in ipairs(self.buckets) do
        self.bucket_collector:remove(with_label(label_pairs, 'le', bound))
    end
end

function Histogram.collect(self)
    local result = {}
    append(result, self.count_collector:collect())
    append(result, self.sum_collector:collect())
    append(result, self.bucket_collector:collect())
    return result
end

-- }}} Histograms

-- {{{ Summaries

local Summary = new_class('summary', {observe_latency = observe_latency})

function Summary.check_quantiles(objectives)
    for quantile, tolerance in pairs(objectives) do
        if type(quantile) ~= 'number' or quantile > 1 or quantile < 0 or
           type(tolerance) ~= 'number' then
            return false
        end
    end
    return true
end

function Summary.new(class, name, help, objectives, params, metainfo)
    params = params or {}
    local self = init(class, name, help, metainfo)
    self.count_collector = Counter:new(name .. '_count', help, metainfo)
    self.sum_collector = Counter:new(name .. '_sum', help, metainfo)
    self.objectives = objectives
    self.max_age_time = params.max_age_time
    self.age_buckets_count = params.age_buckets_count or 1
    if objectives ~= nil then
        self.quantiles = {}
        for quantile in pairs(objectives) do
            table.insert(self.quantiles, quantile)
        end
        table.sort(self.quantiles)
    end
    return self
end

function Summary.set_registry(self, registry)
    common.set_registry(self, registry)
    self.count_collector:set_registry(registry)
    self.sum_collector:set_registry(registry)
end

-- Forgets the oldest of several overlapping windows when it is time.
local function rotate(self, known)
    local now = os.time()
    if self.age_buckets_count > 1 and now - known.last_rotate >= self.max_age_time then
        stream.reset(known.buckets[known.head_bucket_index])
        known.head_bucket_index = known.head_bucket_index % self.age_buckets_count + 1
        known.last_rotate = now
    end
end

function Summary.observe(self, number, label_pairs)
    label_pairs = label_pairs or {}
    if label_pairs.quantile then
        error('Label "quantile" are not allowed in summary')
    end
    check_number(number, 'Summary observation')
    self.count_collector:inc(1, label_pairs)
    self.sum_collector:inc(number, label_pairs)
    if self.objectives == nil then
        return
    end
    local key = make_key(label_pairs)
    local known = self.observations[key]
    if known == nil then
        known = {
            buckets = {}, head_bucket_index = 1, last_rotate = os.time(), label_pairs = label_pairs,
        }
        for i = 1, self.age_buckets_count do
            known.buckets[i] = stream.new(self.objectives)
        end
        self.observations[key], self.label_pairs[key] = known, label_pairs
    else
        rotate(self, known)
    end
    for _, bucket in ipairs(known.buckets) do
        stream.insert(bucket, number)
    end
end

function Summary.remove(self, label_pairs)
    assert(label_pairs, 'label pairs is a required parameter')
    self.count_collector:remove(label_pairs)
    self.sum_collector:remove(label_pairs)
    local key = make_key(label_pairs)
    self.observations[key], self.label_pairs[key] = nil, nil
end

function Summary.collect_quantiles(self)
    local result = {}
    for _, known in pairs(self.observations) do
        rotate(self, known)
        local bucket = known.buckets[known.head_bucket_index]
        for _, quantile in ipairs(self.quantiles or {}) do
            local labels = self:append_global_labels(known.label_pairs)
            result[#result + 1] = {
                metric_name = self.name, value = stream.query(bucket, quantile),
                label_pairs = with_label(labels, 'quantile', quantile),
                timestamp = fiber.time64(),
            }
        end
    end
    return result
end

function Summary.collect(self)
    local result = {}
    append(result, self.count_collector:collect())
    append(result, self.sum_collector:collect())
    append(result, self:collect_quantiles())
    return result
end

function Summary.get_observations(self, label_pairs)
    local known = self.observations[make_key(label_pairs or {})]
    return self.age_buckets_count > 1 and known or known.buckets[1]
end

-- }}} Summaries

-- {{{ The registry

local Registry = {}
Registry.__index = Registry

function Registry.new()
    local self = setmetatable({}, Registry)
    self:clear()
    return self
end

function Registry.clear(self)
    self.collectors, self.callbacks, self.label_pairs = {}, {}, {}
    self:reset_filter()
end

function Registry.reset_filter(self)
    self.filter = {include_all = true, include = {}, exclude_all = false, exclude = {}}
end

function Registry.find(self, kind, name)
    return self.collectors[name .. kind]
end

function Registry.find_or_create(self, class, name, ...)
    return self:find(class.kind, name) or self:register(class:new(name, ...))
end

function Registry.register(self, collector)
    assert(collector ~= nil, 'Collector is empty')
    assert((collector.name or '') ~= '', "Collector's name is empty")
    assert((collector.kind or '') ~= '', "Collector's kind is empty")
    if self:find(collector.kind, collector.name) then
        error('Already registered')
    end
    collector:set_registry(self)
    self.collectors[collector.name .. collector.kind] = collector
    return collector
end

function Registry.unregister(self, collector)
    self.collectors[collector.name .. collector.kind] = nil
end

-- A rule is a selector, or what one begins with up to a dot.
local function is_matched(selector, rules)
    for _, rule in ipairs(rules) do
        if selector == rule or selector ~= nil and selector:startswith(rule .. '.') then
            return true
        end
    end
    return false
end

function Registry.is_enabled(self, item)
    local filter, metainfo = self.filter, item and (item.metainfo or item)
    if metainfo ~= nil and metainfo.default then
        return not filter.exclude_all
    end
    local selector = metainfo and (metainfo.selector or item.name)
    if not filter.include_all and not is_matched(selector, filter.include) then
        return false
    end
    return not filter.exclude_all and not is_matched(selector, filter.exclude)
end

function Registry.filtered_collectors(self)
    local found = {}
    for key, collector in pairs(self.collectors) do
        if self:is_enabled(collector) then
            found[key] = collector
        end
    end
    return found
end

function Registry.invoke_callbacks(self)
    for callback, metainfo in pairs(self.callbacks) do
        if self:is_enabled(metainfo) then
            callback()
        end
    end
end

function Registry.collect(self)
    local result = {}
    for _, collector in pairs(self:filtered_collectors()) do
        append(result, collector:collect())
    end
    return result
end

function Registry.register_callback(self, callback, metainfo)
    self.callbacks[callback] = table.copy(metainfo) or {}
end

function Registry.unregister_callback(self, callback)
    self.callbacks[callback] = nil
end

function Registry.set_labels(self, label_pairs)
    self.label_pairs = table.copy(label_pairs)
end

local function filter_side(value, all)
    if value == nil then
        return all, {}
    elseif type(value) == 'string' then
        if value ~= 'all' and value ~= 'none' then
            error("Metric selector filter string must be 'all' or 'none'")
        end
        return value == 'all', {}
    elseif type(value) ~= 'table' then
        error("Metric selector filter must be 'all', 'none', or an array of selector objects")
    end
    local selectors = {}
    for _, item in ipairs(value) do
        if type(item) ~= 'table' or type(item.selector) ~= 'string' or item.selector == '' then
            error('Metric selector filter item must be a table with a non-empty selector field')
        end
        table.insert(selectors, item.selector)
    end
    return false, selectors
end

function Registry.set_filter(self, include, exclude)
    local include_all, included = filter_side(include, true)
    local exclude_all, excluded = filter_side(exclude, false)
    self.filter = {
        include_all = include_all, include = included,
        exclude_all = exclude_all, exclude = excluded,
    }
end

-- }}} The registry

return {
    Counter = Counter, Gauge = Gauge, Histogram = Histogram, Summary = Summary,
    Registry = Registry,
}
