-- init: the bundled application: CACHE, SESSIONS and the Redis emulation.
--
-- Each of the three files also works alone as `app.file`. To have functions of your own beside
-- them, write a file here and `use` it below: it is reloaded with the rest when you save it.
-- How files are loaded and replaced stands at the top of reload.lua.

local source = debug.getinfo(1, 'S').source
local reload = package.loaded.reload or dofile((source:match('^@(.*/)') or '') .. 'reload.lua')
local use = reload.beside(source)

use('init-cache.lua')
use('init-sessions.lua')
use('init-redis-emu.lua')

return reload.entry({}, source)
