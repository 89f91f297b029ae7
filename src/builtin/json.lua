-- json: encodes Lua values as JSON texts and decodes them.

local native = ...
local tweaks = require('internal.tweaks')

tweaks('json_escape_forward_slash', native.set_escape_slash)

local json = native.new()
-- The name that lua-cjson gave it.
json.null = json.NULL

return json
