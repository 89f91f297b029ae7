-- shutdown: tells clients that the instance stops, runs the triggers of box.ctl.on_shutdown (one
-- that fails does not keep the others), and lets the requests under way end.
local log = require('log')

-- Seconds that requests under way get.
local PATIENCE = 1

local internal = type(box) == 'table' and box.internal or {}
if internal.broadcast_shutdown ~= nil then
    internal.broadcast_shutdown()
end

for name, handler in require('trigger').pairs('box.ctl.on_shutdown') do
    local ok, err = pcall(handler)
    if not ok then
        log.error('on_shutdown trigger %s: %s', name, err)
    end
end

if internal.iproto ~= nil then
    internal.iproto.stop(PATIENCE)
end
