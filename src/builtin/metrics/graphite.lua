-- metrics.plugins.graphite: sends all metrics to a Graphite server over UDP, again and again.

local checks = require('checks')
local fiber = require('fiber')
local log = require('log')
local metrics = require('metrics')
local socket = require('socket')

local graphite = {}

-- By name: {fiber = , sock = }.
local workers = {}

function graphite.format_observation(prefix, observation)
    local path = observation.metric_name
    if #prefix > 0 then
        path = prefix .. '.' .. path
    end
    for name, value in pairs(observation.label_pairs) do
        path = ('%s;%s=%s'):format(path, name, value)
    end
    local seconds = tostring(observation.timestamp / 10^6):gsub('U*LL', '')
    return ('%s %s %s\n'):format(path:gsub(' ', '_'), tonumber(observation.value), seconds)
end

local function send_all(sock, opts)
    metrics.invoke_callbacks()
    for _, collector in pairs(metrics.collectors()) do
        for _, observation in ipairs(collector:collect()) do
            local text = graphite.format_observation(opts.prefix, observation)
            if sock:sendto(opts.host, opts.port, text) == nil then
                log.error('Error while sending to host %s port %s data %s', opts.host, opts.port,
                    text)
            end
        end
    end
end

local function stop(name)
    local worker = workers[name]
    workers[name] = nil
    pcall(worker.fiber.cancel, worker.fiber)
    pcall(worker.sock.close, worker.sock)
end

function graphite.init(opts)
    checks({prefix = '?string', host = '?string', port = '?number', send_interval = '?number'})
    local name = 'metrics_graphite_worker'
    local all = {prefix = 'tarantool', host = '127.0.0.1', port = 2003, send_interval = 2}
    for option, value in pairs(opts or {}) do
        all[option] = value
    end
    if opts ~= nil then
        name = ('%s_%s_%s_%s'):format(name, all.prefix, all.host, all.port)
    end
    if workers[name] ~= nil then
        stop(name)
        fiber.yield()
    end
    local sock = socket('AF_INET', 'SOCK_DGRAM', 'udp')
    assert(sock ~= nil, 'Socket creation failed')
    workers[name] = {
        sock = sock,
        fiber = fiber.new(function()
            fiber.name(name, {truncate = true})
            while true do
                send_all(sock, all)
                fiber.sleep(all.send_interval)
            end
        end),
    }
end

function graphite.stop()
    for name in pairs(workers) do
        stop(name)
    end
end

return graphite
