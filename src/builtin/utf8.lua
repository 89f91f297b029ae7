-- utf8: makes the functions of UTF-8 strings a global, as the standard libraries are.

local utf8 = ...

_G.utf8 = utf8
package.loaded.utf8 = utf8

return utf8
