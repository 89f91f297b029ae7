-- help: short texts for the console: `help()` and `tutorial()`.

local HELP = [[
To get help, see the manual at https://tarantool.io/en/doc/ and the folder docs/.
To start a short tutorial, type 'tutorial()' here.

Available backslash commands:

  \set language <language>   -- set language (lua)
  \set output <format>       -- set output format (lua[,line|block] or yaml)
  \set delimiter <delimiter> -- set expression delimiter
  \help                      -- show this screen
  \quit                      -- quit interactive console
]]

local SCREENS = {
    [[
Tutorial -- Screen #1 -- Values
===============================

Type an expression and its values are shown:

    5.1, 'Lua', {name = 'spider', legs = 8}

For the next screen, type tutorial('next').
]],
    [[
Tutorial -- Screen #2 -- Spaces
===============================

A space holds tuples; its first index is the primary key:

    s = box.schema.space.create('spiders', {if_not_exists = true})
    s:create_index('primary', {if_not_exists = true})
    s:replace({1, 'lycosa'})
    s:get(1)
    s:select({0}, {iterator = 'GT', limit = 10})

For the next screen, type tutorial('next').
]],
    [[
Tutorial -- Screen #3 -- Fibers
===============================

Fibers take turns; each runs until it waits:

    fiber = require('fiber')
    f = fiber.new(function() fiber.sleep(1) return 'done' end)
    f:set_joinable(true)
    f:join()

That is all. The manual goes on from here.
]],
}

local USAGE = ('Usage: tutorial("start" | "next" | "prev" | 1 .. %d)'):format(#SCREENS)

local screen = 1

local help = setmetatable({HELP}, {
    __call = function(self)
        return self
    end,
})

local tutorial = setmetatable({HELP}, {
    __call = function(_, action)
        if action == 'start' then
            screen = 1
        elseif action == 'next' or action == 'more' then
            screen = screen + 1
        elseif action == 'prev' then
            screen = screen - 1
        elseif type(action) == 'number' and action % 1 == 0 then
            screen = action
        elseif action ~= nil then
            error(USAGE, 2)
        end
        screen = math.max(1, math.min(screen, #SCREENS))
        return SCREENS[screen]
    end,
})

_G.help = help
_G.tutorial = tutorial

return {
    help = help,
    tutorial = tutorial,
}
