-- yaml: encodes Lua values as YAML documents and decodes them.

local native = ...
local tweaks = require('internal.tweaks')

tweaks('yaml_pretty_multiline', native.set_pretty_multiline)
tweaks('yaml_decode_binary_as_string', native.set_binary_as_string)

return native.new()
