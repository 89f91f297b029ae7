-- shutdown: tells clients that the instance stops, runs the triggers of box.ctl.on_shutdown, each in
-- a fiber of its own (one that fails does not keep the others), and lets the requests under way end.
--
-- Clients that watch box.shutdown have what they asked for answered and close their connections
-- themselves; the others are disconnected when the triggers have ended. All of it takes as long as
-- box.ctl.set_on_shutdown_timeout says at most. The requests that are left get a little time and are
-- cancelled then, and so is every other fiber of the program (`fiber.end_clients`).
--
-- Returns what has not ended in time, or nil.
local fiber = require('fiber')
local log = require('log')
local tweaks = require('internal.tweaks')

local native = ...

-- Seconds that the requests under way get in the end.
local PATIENCE = 1
-- Seconds that what was cancelled gets to end.
local TIMEOUT = tweaks.box_shutdown_timeout or 3

local internal = type(box) == 'table' and box.internal or {}
local deadline = fiber.clock() + (internal.on_shutdown_timeout or 3)

if internal.broadcast_shutdown ~= nil then
    internal.broadcast_shutdown()
end

local running, ended = 0, fiber.cond()

local function start(name, run, ...)
    running = running + 1
    fiber.create(function(...)
        fiber.self():name(name, {truncate = true})
        local ok, err = pcall(run, ...)
        if not ok then
            log.error('on_shutdown trigger %s: %s', name, err)
        end
        running = running - 1
        ended:signal()
    end, ...)
end

if internal.iproto ~= nil then
    internal.iproto.listen(nil)
    start('session.shutdown', internal.iproto.wait_for_watchers, 'box.shutdown')
end
for name, handler in require('trigger').pairs('box.ctl.on_shutdown') do
    start(name, handler)
end
while running > 0 and fiber.clock() < deadline do
    ended:wait(deadline - fiber.clock())
end
if running > 0 then
    log.error('on_shutdown triggers failed')
    log.error('timed out')
end

local function give_up(what)
    log.error('timed out')
    return 'cannot gracefully shutdown ' .. what
end

if internal.iproto ~= nil and not internal.iproto.stop(PATIENCE, TIMEOUT) then
    return give_up('iproto requests')
end
if not native.end_clients(TIMEOUT) then
    return give_up('client fibers')
end
