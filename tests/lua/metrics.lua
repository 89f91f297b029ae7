-- Claims about metrics: collectors, what is given out, and the program's own figures.
local json = require('json')
local metrics = require('metrics')
local prometheus = require('metrics.plugins.prometheus')
local tap = require('tap')

local test = tap.test('metrics')
test:plan(8)

local function fails(t, message, fn, ...)
    local ok, problem = pcall(fn, ...)
    t:ok(not ok and tostring(problem):find(message, 1, true) ~= nil, message,
        {got = tostring(problem)})
end

-- Values of a collector by name and labels.
local function values(collector)
    local found = {}
    for _, observation in ipairs(collector:collect()) do
        local labels = {}
        for name, value in pairs(observation.label_pairs) do
            table.insert(labels, name .. '=' .. tostring(value))
        end
        table.sort(labels)
        found[observation.metric_name .. '{' .. table.concat(labels, ',') .. '}'] =
            observation.value
    end
    return found
end

test:test('counters', function(t)
    t:plan(7)
    local counter = metrics.counter('c', 'help')
    counter:inc()
    counter:inc(2, {a = 1})
    counter:inc(3, {a = 1})
    t:is_deeply(values(counter), {['c{}'] = 1, ['c{a=1}'] = 5}, 'by labels')
    t:is(metrics.counter('c'), counter, 'one for a name')
    counter:reset({a = 1})
    t:is(values(counter)['c{a=1}'], 0, 'reset')
    counter:remove({a = 1})
    t:is_deeply(values(counter), {['c{}'] = 1}, 'remove')
    fails(t, 'Counter increment should not be negative', counter.inc, counter, -1)
    fails(t, 'Counter increment should be a number', counter.inc, counter, 'x')
    local fixed = metrics.counter('fixed', nil, nil, {'a', 'b'})
    fails(t, 'Label keys count (2) should match the number of label pairs (1)', fixed.inc, fixed, 1,
        {a = 1})
end)

test:test('gauges', function(t)
    t:plan(2)
    local gauge = metrics.gauge('g')
    gauge:set(5)
    gauge:inc(2)
    gauge:dec()
    t:is_deeply(values(gauge), {['g{}'] = 6}, 'up and down')
    fails(t, 'Collector set value should be a number', gauge.set, gauge, 'x')
end)

test:test('histograms', function(t)
    t:plan(4)
    local histogram = metrics.histogram('h', 'help', {2, 4})
    histogram:observe(1, {a = 1})
    histogram:observe(3, {a = 1})
    histogram:observe(9, {a = 1})
    t:is_deeply(values(histogram), {
        ['h_count{a=1}'] = 3, ['h_sum{a=1}'] = 13, ['h_bucket{a=1,le=2}'] = 1,
        ['h_bucket{a=1,le=4}'] = 2, ['h_bucket{a=1,le=inf}'] = 3,
    }, 'what is below each bound')
    histogram:remove({a = 1})
    t:is_deeply(values(histogram), {}, 'remove')
    t:is(histogram:observe_latency({a = 2}, function(x) return x end, 7), 7, 'how long a call takes')
    fails(t, 'Invalid value for buckets', metrics.histogram, 'bad', nil, {2, 1})
end)

test:test('summaries', function(t)
    t:plan(7)
    local summary = metrics.summary('s', 'help', {[0.5] = 0.01, [0.9] = 0.01, [0.99] = 0.001})
    for i = 1, 10000 do
        -- All numbers up to 10000, in another order.
        summary:observe(i * 7919 % 10007)
    end
    local found = values(summary)
    t:is(found['s_count{}'], 10000, 'how many')
    local function is_near(quantile, expected, tolerance)
        local value = found[('s{quantile=%s}'):format(quantile)]
        t:ok(math.abs(value - expected) <= tolerance, 'quantile ' .. quantile, {got = value})
    end
    is_near('0.5', 5000, 110)
    is_near('0.9', 9000, 110)
    is_near('0.99', 9900, 20)
    local count = 0
    for _ in pairs(summary:get_observations().samples) do
        count = count + 1
    end
    t:ok(count < 2000, 'in little memory', {got = count})
    fails(t, 'Age buckets count and max age must be present only together', metrics.summary, 'x',
        nil, nil, {max_age_time = 1})
    fails(t, 'Label "quantile" are not allowed in summary', summary.observe, summary, 1,
        {quantile = 1})
end)

test:test('what is given out', function(t)
    t:plan(8)
    metrics.clear()
    metrics.set_global_labels({alias = 'me'})
    metrics.counter('c', 'a "help"'):inc(1, {path = '/"a"\n'})
    metrics.gauge('g'):set(metrics.INF)
    local text = prometheus.collect_http().body
    t:like(text, '# HELP c a "help"\n# TYPE c counter\n', 'help and type')
    t:ok(text:find([[path="/\"a\"\n"]], 1, true) and text:find('alias="me"', 1, true), 'labels')
    t:like(text, 'g{alias="me"} %+Inf\n', 'infinity')
    local list = json.decode(require('metrics.plugins.json').export())
    t:is(#list, 2, 'JSON')
    t:is_deeply({list[1].label_pairs.alias, tonumber(list[1].timestamp) > 0}, {'me', true}, 'of each')
    local line = require('metrics.plugins.graphite').format_observation('p', {
        metric_name = 'm', label_pairs = {a = 'b c'}, value = 1ULL, timestamp = 2000000ULL,
    })
    t:is(line, 'p.m;a=b_c 1 2\n', 'Graphite')
    local called = 0
    local function callback() called = called + 1 end
    metrics.register_callback(callback)
    metrics.collect({invoke_callbacks = true})
    metrics.unregister_callback(callback)
    metrics.collect({invoke_callbacks = true})
    t:is(called, 1, 'callbacks')
    fails(t, 'bad label key (string expected, got number)', metrics.set_global_labels, {'a'})
end)

test:test('filters', function(t)
    t:plan(3)
    metrics.clear()
    local namespace = metrics.namespace('app')
    namespace:counter('a'):inc()
    namespace:counter('b'):inc()
    metrics.counter('c'):inc()
    local function names()
        local found = {}
        for _, collector in pairs(metrics.collectors()) do
            table.insert(found, collector.name)
        end
        table.sort(found)
        return found
    end
    metrics.set_filter({{selector = 'app'}}, {{selector = 'app.b'}})
    t:is_deeply(names(), {'a'}, 'by selectors')
    metrics.set_filter('all', 'none')
    t:is_deeply(names(), {'a', 'b', 'c'}, 'all')
    fails(t, "Metric selector filter string must be 'all' or 'none'", metrics.set_filter, 'some')
end)

test:test('handlers', function(t)
    t:plan(3)
    metrics.clear()
    local middleware = metrics.http_middleware
    middleware.configure_default_collector('summary')
    local handler = middleware.v1(function(request) return {status = request.wanted} end)
    local response = handler({wanted = 201, endpoint = {path = '/p', method = 'GET'}})
    t:is(response.status, 201, 'the response')
    t:is(values(middleware.get_default_collector())[
        'http_server_request_latency_count{method=GET,path=/p,status=201}'], 1, 'is counted')
    fails(t, 'Unknown collector type_name: x', middleware.build_default_collector, 'x')
end)

test:test('the program', function(t)
    t:plan(11)
    metrics.clear()
    box.cfg({log_level = 1})
    local space = box.schema.space.create('shown')
    space:create_index('primary')
    space:insert({1})
    local function find(wanted)
        for line in prometheus.collect_http().body:gmatch('[^\n]+') do
            if line:startswith(wanted) then
                return line:match(' (%S+)$')
            end
        end
    end
    t:is(find('tnt_info_lsn'), tostring(box.info.lsn), 'LSN')
    t:is(find('tnt_read_only'), '0', 'whether it can be written')
    t:is(find('tnt_space_len{'), '1', 'spaces')
    t:ok(tonumber(find('tnt_stats_op_total{operation="insert"}')) > 0, 'operations')
    t:ok(tonumber(find('tnt_memory')) > 1000000, 'memory')
    t:ok(tonumber(find('tnt_fiber_amount')) > 0, 'fibers')
    t:ok(find('tnt_slab_quota_size') and find('tnt_net_sent_total'), 'arena and network')
    space:drop()
    t:is(find('tnt_space_len{'), nil, 'what is gone is not told')
    box.cfg({metrics = {include = {'info', 'own'}, exclude = {}, labels = {alias = 'x'}}})
    t:is_deeply({find('tnt_fiber_amount'), find('tnt_info_lsn{alias="x"}') ~= nil}, {nil, true},
        'box.cfg chooses')
    t:is_deeply(metrics.cfg.include, {'info', 'own'}, 'metrics.cfg shows it')
    metrics.cfg({include = 'none'})
    t:is(find('tnt_info_lsn'), nil, 'nothing')
end)

os.exit(test:check() and 0 or 1)
