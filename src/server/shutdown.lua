-- shutdown: runs the triggers of box.ctl.on_shutdown; one that fails does not keep the others.
local log = require('log')

for name, handler in require('trigger').pairs('box.ctl.on_shutdown') do
    local ok, err = pcall(handler)
    if not ok then
        log.error('on_shutdown trigger %s: %s', name, err)
    end
end
