-- log: writes messages with a level, a module and the place they come from.
--
-- `require('log')` gives each module its own logger, named after the module; `log.cfg` sets the
-- level, levels of modules, the destination and the format.

local native = ...
local json = require('json').new()

local error, getmetatable, pcall, select, tostring, type = error, getmetatable, pcall, select,
    tostring, type
local getinfo = debug.getinfo
local format = string.format

json.cfg({
    encode_invalid_numbers = true,
    encode_load_metatables = true,
    encode_use_tostring = true,
    encode_invalid_as_nil = true,
})

local LEVELS = {
    fatal = 0,
    syserror = 1,
    error = 2,
    crit = 3,
    warn = 4,
    info = 5,
    verbose = 6,
    debug = 7,
}

-- Fields of a JSON record that a message cannot set.
local RESERVED = {'file', 'level', 'pid', 'line', 'cord_name', 'fiber_name', 'fiber_id', 'error_msg'}

local OPTION_TYPES = {
    log = 'string',
    nonblock = 'boolean',
    level = 'number, string',
    modules = 'table',
    format = 'string',
}

local DEFAULTS = {level = LEVELS.info, format = 'plain'}

-- Options of box.cfg by ours.
local BOX_OPTIONS = {
    log = 'log',
    nonblock = 'log_nonblock',
    level = 'log_level',
    modules = 'log_modules',
    format = 'log_format',
}

local cfg = table.copy(DEFAULTS)
local is_configured = false
-- Levels of modules by name, as numbers.
local module_levels = {}

local function level_number(level)
    return LEVELS[level] or level
end

-- The level of the nearest module above in the dotted name.
local function level_of(name)
    while name ~= nil do
        if module_levels[name] ~= nil then
            return module_levels[name]
        end
        name = name:match('^(.*)%.[^.]*$')
    end
    return native.get_level()
end

-- Tables among the arguments of a format are shown as JSON, unless they know better.
local function format_arguments(fmt, ...)
    local count = select('#', ...)
    local arguments = {...}
    for i = 1, count do
        local argument = arguments[i]
        if type(argument) == 'table' then
            local mt = getmetatable(argument)
            if mt == nil or mt.__tostring == nil then
                arguments[i] = json.encode(argument)
            end
        end
    end
    local ok, message = pcall(format, fmt, unpack(arguments, 1, count))
    if not ok then
        error(message, 4)
    end
    return message
end

-- A table as a whole record of the JSON format.
local function encode_record(fields)
    local record = table.copy(fields)
    local mt = getmetatable(fields)
    if mt ~= nil and type(mt.__serialize) == 'function' then
        record = mt.__serialize(fields)
        if type(record) ~= 'table' then
            record = {message = tostring(record)}
        end
    end
    for _, name in ipairs(RESERVED) do
        record[name] = nil
    end
    if next(record) == nil then
        record.message = ''
    elseif record.message == nil then
        record.message, record[1] = record[1], nil
    end
    return json.encode(setmetatable(record, json.map_mt))
end

local function say(name, level, fmt, ...)
    if level > level_of(name) then
        return
    end
    local message, is_record
    if select('#', ...) > 0 then
        message = format_arguments(fmt, ...)
    elseif type(fmt) == 'table' then
        is_record = cfg.format == 'json'
        message = is_record and encode_record(fmt) or json.encode(fmt)
    else
        message = tostring(fmt)
    end
    local frame = getinfo(3, 'Sl')
    native.write(level, name, message, frame and frame.short_src or 'eval',
                 frame and frame.currentline or 0, is_record)
end

-- Not a tail call: `say` looks for the caller three levels up.
local function sayer(name, level)
    return function(fmt, ...)
        say(name, level, fmt, ...)
    end
end

local function check_type(value, types, option)
    if value ~= nil and not types:find(type(value), 1, true) then
        local expected = types:find(',') and 'one of types ' .. types or 'of type ' .. types
        box.error(box.error.CFG, option, 'should be ' .. expected)
    end
end

local function check_level(level, option)
    check_type(level, OPTION_TYPES.level, option)
    if type(level) == 'string' and LEVELS[level] == nil then
        local names = {}
        for name in pairs(LEVELS) do
            names[#names + 1] = name
        end
        box.error(box.error.CFG, option, 'expected ' .. table.concat(names, ','))
    end
end

local function check_cfg(new)
    for option, types in pairs(OPTION_TYPES) do
        check_type(new[option], types, 'log_' .. option)
    end
    check_level(new.level, 'log_level')
    for name, level in pairs(new.modules or {}) do
        if type(name) ~= 'string' then
            box.error(box.error.CFG, 'module name', 'should be of type string')
        end
        check_level(level, 'log_modules.' .. name)
    end
    if new.format ~= nil and new.format ~= 'plain' and new.format ~= 'json' then
        box.error(box.error.CFG, 'log_format', 'expected \'plain\' or \'json\'')
    end
    if is_configured and cfg.log ~= new.log then
        box.error(box.error.RELOAD_CFG, 'log')
    elseif is_configured and cfg.nonblock ~= new.nonblock then
        box.error(box.error.RELOAD_CFG, 'log_nonblock')
    end
    native.check(new.log)
    local is_stream = new.log ~= nil and (new.log:find('^%s*|') or new.log:find('^%s*pipe:') or
        new.log:find('^%s*syslog:'))
    if new.nonblock and not is_stream then
        box.error(box.error.CFG, 'log_nonblock',
                  'the option is incompatible with file/stderr logger')
    end
end

-- Has box.cfg show what is in force here.
local function show_in_box()
    local update = box.internal and box.internal.update_cfg
    for ours, theirs in pairs(BOX_OPTIONS) do
        if update ~= nil then
            update(theirs, cfg[ours])
        end
    end
end

local function apply(new)
    native.configure(new.log, new.nonblock, new.format)
    native.set_level(level_number(new.level))
    module_levels = {}
    native.clear_module_levels()
    for name, level in pairs(new.modules or {}) do
        module_levels[name] = level_number(level)
        if name:find('^tarantool') or name:find('^lycosa') then
            native.set_module_level(name, level_number(level))
        end
    end
    for option in pairs(OPTION_TYPES) do
        cfg[option] = new[option]
    end
    show_in_box()
end

local log
local loggers = {}

-- Changes what is given; the rest stays as it is, or becomes the default the first time.
local function configure(_, changes)
    local new = table.copy(cfg)
    for option, value in pairs(changes or {}) do
        if OPTION_TYPES[option] == nil then
            box.error(box.error.CFG, option, 'unexpected option')
        end
        -- The empty string asks for the default, too.
        if value == nil or value == '' then
            value = DEFAULTS[option]
        end
        new[option] = value
    end
    check_cfg(new)
    apply(new)
    is_configured = true
end

local function set_level(level)
    if level == nil then
        box.error(box.error.CFG, 'level', 'should be one of types: number, string')
    end
    check_level(level, 'log_level')
    native.set_level(level_number(level))
    cfg.level = level
    show_in_box()
end

local function set_format(name)
    local new = table.copy(cfg)
    new.format = name
    check_cfg(new)
    apply(new)
end

-- The logger with this name; the same one for the same name.
local function new(name)
    if type(name) ~= 'string' then
        box.error(box.error.ILLEGAL_PARAMS, 'name should be a string')
    end
    local logger = loggers[name]
    if logger == nil then
        logger = table.copy(log)
        logger.name = name
        for _, level in ipairs({'error', 'warn', 'info', 'verbose', 'debug'}) do
            logger[level] = sayer(name, LEVELS[level])
        end
        loggers[name] = logger
    end
    return logger
end

local function from_box()
    local options = {}
    for ours, theirs in pairs(BOX_OPTIONS) do
        options[ours] = box.cfg[theirs]
    end
    options.level = options.level or DEFAULTS.level
    options.format = options.format or DEFAULTS.format
    return options
end

local has_warned = false

log = setmetatable({
    error = sayer(nil, LEVELS.error),
    warn = sayer(nil, LEVELS.warn),
    info = sayer(nil, LEVELS.info),
    verbose = sayer(nil, LEVELS.verbose),
    debug = sayer(nil, LEVELS.debug),
    new = new,
    level = set_level,
    log_format = set_format,
    rotate = native.rotate,
    pid = native.pid,
    cfg = setmetatable(cfg, {__call = configure}),
    box_api = {
        cfg = function()
            local options = from_box()
            check_cfg(options)
            apply(options)
            is_configured = true
        end,
        cfg_check = function()
            check_cfg(from_box())
        end,
        -- What is in force since log.cfg, by the names of box.cfg.
        current = function()
            local options = {}
            for ours, theirs in pairs(BOX_OPTIONS) do
                options[theirs] = is_configured and cfg[ours] or nil
            end
            return options
        end,
    },
}, {
    __serialize = function(self)
        local copy = setmetatable(table.copy(self), nil)
        copy.box_api = nil
        return copy
    end,
    __index = {
        logger_pid = function()
            if not has_warned then
                has_warned = true
                log.warn('logger_pid() is deprecated, please use pid() instead')
            end
            return native.pid()
        end,
    },
})

return log
