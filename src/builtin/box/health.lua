-- box.info.health and box.ctl.liveness_probe: checks that say whether the instance lives and is
-- ready to serve.
local _, box = ...

local fiber = require('fiber')
local check = box.internal.check

-- Name to {run}.
local probes = {}

local OPTIONS = {
    name = 'string', check = 'function', alert = 'boolean', alert_code = 'string',
}

-- Adds a check of the application: a function that does not yield and returns true, or false and
-- the reason. Returns false and the reason when the name is taken.
function box.ctl.liveness_probe(options)
    check.param(options, 'opts', 'table', 2)
    check.options(options, OPTIONS, 2)
    check.param(options.name, 'name', 'string', 2)
    check.param(options.check, 'fn', 'function', 2)
    if probes[options.name] ~= nil then
        return false, ('health check %q already exists'):format(options.name)
    end
    probes[options.name] = options.check
    return true
end

local function reason_of(run)
    local switch_count = fiber.self():csw()
    local ok, result, reason = pcall(run)
    if not ok then
        return tostring(result)
    elseif fiber.self():csw() ~= switch_count then
        return 'health check must not yield'
    elseif result == true then
        return nil
    end
    return type(reason) == 'string' and reason or 'health check must return true or false, <string>'
end

local function evaluate(checks, good, bad)
    local result, is_good = {}, true
    for name, run in pairs(checks) do
        local reason = reason_of(run)
        result[name] = {status = reason == nil and good or bad, reason = reason}
        is_good = is_good and reason == nil
    end
    return check.map(result), is_good
end

local readiness = {
    box = function()
        local status = box.info.status
        return status == 'running', status
    end,
}

function box.internal.health_info()
    local liveness_checks, is_alive = evaluate(probes, 'ok', 'failed')
    local readiness_checks, is_ready = evaluate(readiness, 'ready', 'not_ready')
    return {
        liveness = {verdict = is_alive, checks = liveness_checks},
        readiness = {status = is_ready, checks = readiness_checks},
    }
end
