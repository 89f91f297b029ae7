-- box: the database as Lua sees it. Puts the pieces together; see the files beside this one.
local native = ...
local ffi = require('ffi')

local sources = native.sources
local function load_part(name, ...)
    if not sources[name] then return end
    local chunk = assert(loadstring(sources[name], '@builtin/box/' .. name .. '.lua'))
    return chunk(...)
end

local box = {
    NULL = ffi.cast('void *', 0),
    internal = {lycosa_version = native.lycosa_version},
    index = {},
    space = {},
    schema = {},
}
rawset(_G, 'box', box)
package.loaded.box = box

load_part('error', native, box)
box.internal.check = load_part('check')
box.internal.event = load_part('event')
local tuple = load_part('tuple', native)
box.tuple = tuple.module
box.internal.tuple = tuple
box.internal.lent = load_part('lent')
local space = load_part('space', native, tuple, box.internal.lent)
for name, number in pairs(space.constants) do
    box.index[name] = number
end
load_part('formatted_select', space)
load_part('transaction', native, box)
load_part('session', native, box)
local objects = load_part('schema', native, box, space)
native.set_followers(objects.on_space_changed, objects.on_sequence_changed,
    objects.on_function_changed, objects.check_constraint, objects.compute_default)
load_part('stat', native, box)
load_part('info', native, box)
load_part('ctl', native, box)
load_part('watch', native, box)
load_part('iproto', native, box)
load_part('iproto/packet', native, box)
load_part('backup', native, box)
load_part('health', native, box)
load_part('cfg', native, box)

return box
