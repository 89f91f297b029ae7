-- debug: extends the standard debug library with the running source file and its folder.

local getinfo = debug.getinfo

local function sourcefile(level)
    local info = getinfo(level or 2, 'S')
    return info and info.source:match('^@(.*)$')
end

local function sourcedir(level)
    local source = sourcefile(level and level + 1 or 3)
    return source and source:match('(.*)/') or '.'
end

debug.sourcefile = sourcefile
debug.sourcedir = sourcedir

-- debug.__file__ and debug.__dir__ ask about the function that reads them. The tail calls
-- drop this metamethod's own frame from the levels.
setmetatable(debug, {
    __index = function(_, name)
        if name == '__file__' then
            return sourcefile()
        elseif name == '__dir__' then
            return sourcedir()
        end
        return nil
    end,
})

return debug
