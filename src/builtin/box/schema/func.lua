-- box.schema.func: stored functions, and the objects in box.func.
local native, box, parts = ...

local check, grants = parts.check, parts.grants

local CREATE_OPTIONS = {
    setuid = 'boolean',
    if_not_exists = 'boolean',
    language = 'string',
    body = 'string',
    is_deterministic = 'boolean',
    is_sandboxed = 'boolean',
    is_multikey = 'boolean',
    aggregate = 'string',
    takes_raw_args = 'boolean',
    comment = 'string',
    param_list = 'table',
    returns = 'string',
    exports = 'table',
    opts = 'table',
    trigger = 'string, table',
}

local func = {}
box.schema.func = func

--
-- Compiling
--

-- Globals of a sandboxed function.
local SANDBOX = {
    'assert', 'error', 'ipairs', 'math', 'next', 'pairs', 'pcall', 'print', 'select', 'string',
    'table', 'tonumber', 'tostring', 'type', 'unpack', 'utf8', 'xpcall',
}

-- Compiled bodies by function id.
local compiled = {}

local function sandbox()
    local globals = {}
    for _, name in ipairs(SANDBOX) do
        local value = rawget(_G, name)
        -- Copies, so that a sandboxed function cannot change what others see.
        globals[name] = type(value) == 'table' and table.copy(value) or value
    end
    return globals
end

-- The function that a body defines.
local function compile(name, body, is_sandboxed, level)
    local chunk, problem = loadstring('return ' .. body)
    local is_done, run
    if chunk ~= nil then
        if is_sandboxed then
            setfenv(chunk, sandbox())
        end
        is_done, run = pcall(chunk)
        problem = not is_done and tostring(run) or "given body doesn't define a function"
    end
    if type(run) ~= 'function' then
        box.error(box.error.LOAD_FUNCTION, name, problem, level + 1)
    end
    return run
end

--
-- Definitions
--

-- The least free id.
local function next_id(name)
    local id = native.generate_func_id()
    if id == nil then
        box.error(box.error.CREATE_FUNCTION, name, 'Max function count is reached', 3)
    end
    return id
end

local function defaults()
    local now = os.date('%Y-%m-%d %H:%M:%S')
    return {
        setuid = false,
        language = 'lua',
        body = '',
        returns = 'any',
        param_list = {},
        aggregate = 'none',
        is_deterministic = false,
        is_sandboxed = false,
        exports = {'LUA'},
        opts = {},
        comment = '',
        created = now,
        last_altered = now,
        trigger = {},
    }
end

function func.create(name, options)
    check.configured(2)
    check.options(options, CREATE_OPTIONS, 2)
    if grants.find_function(name) ~= nil then
        if options == nil or not options.if_not_exists then
            box.error(box.error.FUNCTION_EXISTS, name, 2)
        end
        return
    end
    options = check.with_defaults(options, defaults())
    if type(options.trigger) == 'string' then
        options.trigger = {options.trigger}
    end
    if options.language:upper() == 'LUA' and options.body ~= '' then
        compile(name, options.body, options.is_sandboxed, 2)
    end
    local kept = check.map(table.copy(options.opts))
    kept.is_multikey = options.is_multikey or nil
    kept.takes_raw_args = options.takes_raw_args or nil
    local _func = box.space[box.schema.FUNC_ID]
    check.call_at(2, _func.insert, _func, {
        next_id(name), box.session.euid(), name, options.setuid and 1 or 0,
        options.language:upper(), options.body, 'function', options.param_list, options.returns,
        options.aggregate, 'none', options.is_deterministic, options.is_sandboxed, true,
        options.exports, kept, options.comment, options.created, options.last_altered,
        options.trigger,
    })
end

func.drop = check.atomic(function(name, options)
    check.options(options, {if_exists = 'boolean'}, 2)
    local row = grants.find_function(name)
    if row == nil then
        if options == nil or not options.if_exists then
            box.error(box.error.NO_SUCH_FUNCTION, name, 2)
        end
        return
    end
    grants.revoke_all('function', row.id)
    box.space[box.schema.FUNC_ID]:delete{row.id}
end)

function func.exists(name_or_id)
    check.configured(2)
    local kind = type(name_or_id)
    return (kind == 'string' or kind == 'number') and grants.find_function(name_or_id) ~= nil
end

--
-- Calling
--

-- What `name` means when the function has no body: a global, `a.b.c` or `a.b:method`. Returns the
-- function and the object of the method.
local function find_global(name)
    local value, object = _G, nil
    local path, method = name:match('^(.-):([^:]+)$')
    for word in (path or name):gmatch('[^.]+') do
        if type(value) ~= 'table' and type(value) ~= 'userdata' and type(value) ~= 'cdata' then
            return nil
        end
        value = value == _G and rawget(_G, word) or value ~= _G and value[word] or nil
    end
    if method ~= nil and value ~= nil then
        object = value
        value = object[method]
    end
    return value, object
end

local function as_owner(owner, run, ...)
    local old = native.session_set_effective_user(owner)
    local function restore(is_done, ...)
        native.session_set_effective_user(old)
        if not is_done then
            error((...), 0)
        end
        return ...
    end
    return restore(pcall(run, ...))
end

-- Calls a stored function by name, as a client's call does: checking access.
function func.call(name, ...)
    check.configured(2)
    if type(name) ~= 'string' then
        check.refuse('Use func.call(name, ...)', 2)
    end
    local id, body, is_sandboxed, owner = native.func_access(name)
    local run, object
    if body ~= '' then
        run = compiled[id] or compile(name, body, is_sandboxed, 2)
        compiled[id] = run
    else
        run, object = find_global(name)
        if run == nil then
            box.error(box.error.NO_SUCH_PROC, name, 2)
        end
    end
    if owner ~= nil then
        if object ~= nil then
            return as_owner(owner, run, object, ...)
        end
        return as_owner(owner, run, ...)
    elseif object ~= nil then
        return run(object, ...)
    end
    return run(...)
end

-- A function was made, altered or dropped.
local function forget(id)
    compiled[id] = nil
end

-- C modules are loaded by Tarantool only.
function func.reload()
    check.configured(2)
    box.error(box.error.UNSUPPORTED, 'Lycosa', 'functions in C modules', 2)
end

local methods = {}

local function check_self(self, method, level)
    if type(self) ~= 'table' or self.name == nil then
        check.refuse(('Use func:%s(...) instead of func.%s(...)'):format(method, method),
            level + 1)
    end
end

function methods.drop(self, options)
    check_self(self, 'drop', 2)
    return func.drop(self.name, options)
end

-- Calls it with the arguments in a table.
function methods.call(self, arguments)
    check_self(self, 'call', 2)
    arguments = arguments or {}
    if type(arguments) ~= 'table' then
        check.refuse('Usage: func:call(table)', 2)
    end
    return func.call(self.name, unpack(arguments, 1, table.maxn(arguments)))
end

-- Makes an object of a description.
function func.bless(object)
    setmetatable(object, {__index = methods})
end

-- What a body defines, for the database itself, which checks no access.
local function function_of(id)
    local run = compiled[id]
    if run == nil then
        run = compile(native.func_body(id))
        compiled[id] = run
    end
    return run
end

-- Whether the function of a constraint takes the tuple, or the field of it with this number.
local function check_constraint(id, tuple, field, name)
    local value = tuple
    if field ~= nil then
        value = tuple[field]
    end
    return function_of(id)(value, name) == true
end

-- The value of a field that is nil in the tuple.
local function compute_default(id, argument, tuple)
    return function_of(id)(argument, tuple)
end

return {
    bless = func.bless,
    forget = forget,
    check_constraint = check_constraint,
    compute_default = compute_default,
}
