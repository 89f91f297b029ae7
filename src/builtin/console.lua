-- console: reads statements, evaluates them, prints what they return: on the terminal, over
-- sockets (a text protocol), and for programs (`eval`).
--
-- Over a socket the client sends statements, each ended by the delimiter and a line feed, and gets
-- for each a YAML document (`---\n…\n...\n`) or Lua text ended by a semicolon.

local native = ...
local compat = require('compat')
local fiber = require('fiber')
local lua_text = require('internal.console_output')
local urilib = require('uri')
local yaml = require('yaml')

local error, getmetatable, ipairs, loadstring, pairs, pcall, select, setmetatable, tostring, type,
    unpack = error, getmetatable, ipairs, loadstring, pairs, pcall, select, setmetatable, tostring,
    type, unpack

local GREETING_SIZE = 128
local CONNECT_TIMEOUT_S = 10
local DEFAULT_SOCKET = '/tmp/tarantool-console.sock'
local CONTINUATION = '\\'
-- What our own client ends statements with: nobody types it.
local CLIENT_DELIMITER = '$EOF$'
local PUSH_TAG = '!push!'
local PUSH_PREFIX = 'tag:tarantool.io/push,2018'

local M = {}

local formatter = yaml.new()
formatter.cfg({
    encode_invalid_numbers = true,
    encode_load_metatables = true,
    encode_use_tostring = true,
    encode_invalid_as_nil = true,
})

local function pack(...)
    return {n = select('#', ...), ...}
end

-- {{{ Output

local end_marks = {yaml = '\n...\n', lua = ';'}
local default_output = {fmt = 'yaml', opts = nil}

local function current()
    return fiber.self().storage.console
end

-- The output of the console that this fiber serves.
local function output_of(state)
    return state ~= nil and state.output or default_output
end

-- Values as YAML: a list of them, where nil is null.
local function yaml_text(...)
    local count = select('#', ...)
    if count == 0 then
        return '---\n...\n'
    end
    local list = {...}
    for i = 1, count do
        if list[i] == nil then
            list[i] = box.NULL
        end
    end
    return formatter.encode(list)
end

local printers = {}

function printers.yaml(_, ok, ...)
    if ok then
        return yaml_text(...)
    end
    local err = ...
    if err == nil then
        err = box.NULL
    end
    return yaml_text({error = err})
end

function printers.lua(opts, ok, ...)
    local is_block = opts == 'block'
    if not ok then
        local err = ...
        if err == nil then
            err = box.NULL
        end
        return lua_text({error = err}, is_block) .. end_marks.lua
    end
    local texts = {}
    for i = 1, select('#', ...) do
        texts[i] = lua_text((select(i, ...)), is_block)
    end
    return table.concat(texts, ', ') .. end_marks.lua
end

local function format(state, ok, ...)
    local output = output_of(state)
    local print_values = printers[output.fmt]
    local is_printed, text = pcall(print_values, output.opts, ok, ...)
    if is_printed then
        return text
    end
    local message = ('console: exception while formatting the output: "%s"'):format(tostring(text))
    return print_values(output.opts, false, message)
end

-- A value that the program sends while a statement runs.
local function push_text(state, value)
    local output = output_of(state)
    if output.fmt == 'lua' then
        return '-- Push\n' .. lua_text(value, output.opts == 'block') .. end_marks.lua
    end
    if value == nil then
        value = box.NULL
    end
    return formatter.encode(value, {tag_handle = PUSH_TAG, tag_prefix = PUSH_PREFIX})
end

-- Understands `lua`, `lua,block`, `yaml`, `lua,local_eos=x`: the problem or nil, and the parts.
local function parse_output(value)
    if not value then
        return 'Specify output format: lua or yaml.'
    end
    local fmt, opts, local_eos
    for _, word in ipairs(value:split(',')) do
        local name, setting = word:match('^([^=]*)=(.*)$')
        if word == 'yaml' or word == 'lua' then
            fmt = word
        elseif word == 'line' or word == 'block' then
            opts = word
        elseif name == 'local_eos' then
            local_eos = setting
        else
            return ('Unknown "\\set output" option: %q'):format(name or word)
        end
    end
    if fmt == nil then
        return 'Specify output format: lua or yaml.'
    elseif (opts or local_eos) and fmt ~= 'lua' then
        return ('Invalid language %s, opts are available only in lua.'):format(fmt)
    end
    return nil, fmt, opts, local_eos
end

function M.set_default_output(value)
    if value == nil then
        error('Nil output value passed')
    end
    local problem, fmt, opts = parse_output(value)
    if problem ~= nil then
        error(problem)
    end
    default_output.fmt, default_output.opts = fmt, opts
end

function M.get_default_output(...)
    if select('#', ...) > 0 and (...) ~= nil then
        error('Arguments provided while prohibited')
    end
    return default_output
end

-- The mark that ends an output; that of Lua text may be changed.
function M.eos(mark)
    local fmt = output_of(current()).fmt
    if not mark then
        return end_marks[fmt]
    elseif fmt == 'yaml' then
        error('console.eos(): is immutable for output ' .. fmt)
    end
    end_marks[fmt] = mark
end

-- }}} Output

-- {{{ Backslash commands

function M.delimiter(delimiter)
    local state = current()
    if state == nil then
        error('console.delimiter(): need existing console')
    elseif delimiter == nil then
        return state.delimiter
    elseif type(delimiter) ~= 'string' then
        error('invalid delimiter')
    end
    state.delimiter = delimiter
end

local settings = {}

function settings.delimiter(_, value)
    local state = current()
    if state ~= nil and state.delimiter == CLIENT_DELIMITER then
        return error('Can not install delimiter for net box sessions')
    end
    return M.delimiter(value or '')
end

function settings.language(state, value)
    if value == nil then
        return {language = state.language or 'lua'}
    elseif value ~= 'lua' and value ~= 'sql' then
        return error(('Invalid language "%s", supported languages: lua and sql.'):format(value))
    elseif value == 'sql' and rawget(box, 'execute') == nil then
        return error("Unable to set language to 'sql' with unconfigured box")
    end
    state.language = value
    return true
end

function settings.output(state, value)
    local problem, fmt, opts, local_eos = parse_output(value)
    if problem ~= nil then
        return error(problem)
    end
    if local_eos ~= nil then
        state.local_eos = local_eos
    end
    state.output = {fmt = fmt, opts = fmt == 'lua' and (opts or 'line') or nil}
    return true
end

function settings.continuation(state, value)
    if value ~= 'on' and value ~= 'off' then
        return error('usage: \\set continuation on|off')
    end
    state.continuation_on = value == 'on'
    return true
end

settings.delim, settings.d = settings.delimiter, settings.delimiter
settings.lang, settings.l = settings.language, settings.language
settings.o = settings.output

local commands = {}

function commands.help(state)
    return format(state, true, require('help').help())
end

function commands.set(state, name, value)
    if name == nil then
        return format(state, false, 'Invalid set syntax, type \\help for help')
    elseif settings[name] == nil then
        return format(state, false, 'Unknown parameter: ' .. tostring(name))
    end
    -- The output may change on the way: it is the new one that shows the result.
    local result = pack(pcall(settings[name], state, value))
    return format(state, unpack(result, 1, result.n))
end

function commands.quit()
    local state = current()
    if state ~= nil then
        state.running = false
    end
end

commands.h, commands.s, commands.q = commands.help, commands.set, commands.quit

local function words_of(line)
    local words = {}
    for word in line:gmatch('%S+') do
        words[#words + 1] = word
    end
    return words
end

local function run_command(state, line)
    local words = words_of(line)
    if #words == 0 then
        return commands.help(state)
    elseif commands[words[1]] == nil then
        local message = 'Invalid command \\%s. Type \\help for help.'
        return format(state, false, message:format(line))
    end
    return commands[words[1]](state, unpack(words, 2))
end

-- }}} Backslash commands

-- {{{ Evaluation

local MODULES_OF_SCOPE = {
    'clock', 'compat', 'config', 'datetime', 'decimal', 'ffi', 'fiber', 'fio', 'fun', 'json', 'log',
    'msgpack', 'popen', 'uuid', 'varbinary', 'yaml',
}

local initial_env

-- The variables that each session with a scope of its own starts with.
function M.initial_env()
    if initial_env == nil then
        initial_env = {}
        for _, name in ipairs(MODULES_OF_SCOPE) do
            local ok, module = pcall(require, name)
            if ok then
                initial_env[name] = module
            end
        end
    end
    return initial_env
end

function M.set_initial_env(env)
    if type(env) ~= 'table' and type(env) ~= 'nil' then
        error(('console.set_initial_env: expected table or nil, got %s'):format(type(env)), 2)
    end
    initial_env = env
end

local function scope_of(state)
    if compat.console_session_scope_vars:is_old() then
        return nil
    end
    if state.env == nil then
        state.env = setmetatable(table.copy(M.initial_env()), {__index = _G})
    end
    return state.env
end

local function is_in_txn()
    local ok, is_in = pcall(function() return box.is_in_txn() end)
    return ok and is_in
end

local function evaluate(state, line)
    if not line then
        return nil
    elseif line:sub(1, 1) == '\\' then
        return run_command(state, line:sub(2))
    elseif state.language == 'sql' then
        return format(state, pcall(box.execute, line))
    end
    -- An expression returns its values; what does not compile as one is a statement.
    local scope = scope_of(state)
    local chunk, problem = loadstring('return ' .. line, nil, nil, scope)
    if chunk == nil then
        chunk, problem = loadstring(line, nil, nil, scope)
    end
    if chunk == nil then
        return format(state, false, problem)
    end
    local was_in_txn = is_in_txn()
    local results = pack(pcall(chunk))
    -- A transaction that a failed statement began is nobody's.
    if not results[1] and not was_in_txn and is_in_txn() then
        box.rollback()
    end
    return format(state, unpack(results, 1, results.n))
end

-- Evaluates for a program: the same texts as over a socket.
function M.eval(line)
    local session = box.session
    local storage = session ~= nil and session.storage or fiber.self().storage
    return evaluate(storage, line)
end

-- }}} Evaluation

-- {{{ Completion

local KEYWORDS = {
    'and', 'break', 'do', 'else', 'elseif', 'end', 'false', 'for', 'function', 'if', 'in', 'local',
    'nil', 'not', 'or', 'repeat', 'return', 'then', 'true', 'until', 'while',
}
-- Bounds of a search: metatables can be endless, tables huge.
local METATABLE_DEPTH_MAX = 20
local ITEM_COUNT_MAX = 500

-- The table in which to look on for names of an object: what its metatable says.
local function names_behind(object)
    local mt = debug.getmetatable(object)
    if type(mt) ~= 'table' then
        return nil
    end
    local autocomplete = rawget(mt, '__autocomplete')
    if autocomplete == nil and type(object) == 'cdata' then
        local ok, found = pcall(function() return object.__autocomplete end)
        autocomplete = ok and found or nil
    end
    if type(autocomplete) == 'function' then
        local ok, names = pcall(autocomplete, object)
        return ok and names or nil
    end
    local index = rawget(mt, '__index')
    return index ~= object and index or nil
end

local function field_of(object, name)
    for _ = 1, METATABLE_DEPTH_MAX do
        if object == nil then
            return nil
        end
        local value = type(object) == 'table' and rawget(object, name) or nil
        if value ~= nil then
            return value
        end
        object = names_behind(object)
    end
end

-- All texts that `text` may become. Functions are shown with a parenthesis.
local function completions(text)
    local path, separator, start = text:match('^(.-)([.:]?)([%w_]*)$')
    if path ~= '' and separator == '' then
        return {}
    end
    local object = _G
    for name in path:gmatch('[^.:]+') do
        object = field_of(object, name)
        if object == nil then
            return {}
        end
    end
    local found, seen = {}, {}
    if separator == '' and start ~= '' then
        for _, word in ipairs(KEYWORDS) do
            if word:startswith(start) then
                found[#found + 1] = word .. ' '
            end
        end
    end
    local count = 0
    for _ = 1, METATABLE_DEPTH_MAX do
        -- A metatable may make pairs() go through something else, as that of spaces does.
        for name, value in next, type(object) == 'table' and object or {} do
            count = count + 1
            if count > ITEM_COUNT_MAX then
                break
            end
            local is_name = type(name) == 'string' and name:match('^[%a_][%w_]*$') ~= nil
            local is_hidden = is_name and name:sub(1, 1) == '_' and start:sub(1, 1) ~= '_'
            local is_callable = type(value) == 'function'
            if is_name and not is_hidden and not seen[name] and name:startswith(start) and
               (separator ~= ':' or is_callable) then
                seen[name] = true
                found[#found + 1] = path .. separator .. name .. (is_callable and '(' or '')
            end
        end
        object = names_behind(object)
        if object == nil or object == _G then
            break
        end
    end
    table.sort(found)
    return found
end

local function common_prefix(texts)
    local prefix = texts[1]
    for _, text in ipairs(texts) do
        while not text:startswith(prefix) do
            prefix = prefix:sub(1, -2)
        end
    end
    return prefix
end

-- As readline wants it: what all have in common, then each; nothing when there is none.
function M.completion_handler(text, from, to)
    if from ~= nil and to ~= nil then
        text = text:sub(1, to - from)
    end
    local found = completions(text)
    if #found == 0 then
        return nil
    end
    table.insert(found, 1, common_prefix(found))
    return found
end

-- }}} Completion

-- {{{ Reading from the terminal and from clients

-- Whether the text is a whole statement, or wrong in another way than being cut off.
local function is_complete(text)
    local chunk, problem = loadstring(text)
    if chunk ~= nil or not problem:find(" near '<eof>'$") then
        return true
    end
    return loadstring('return ' .. text) ~= nil
end

local function read_terminal(state)
    local text = ''
    local prompt = state.prompt
    while true do
        local function complete(word)
            local found = state.ac and state.completion(word, 0, #word) or {}
            return {unpack(found, 2)}
        end
        local line, is_given_up = native.read_line(prompt .. '> ', complete)
        if line == nil then
            return nil
        elseif is_given_up then
            return ''
        end
        text = text .. line
        local delimiter = state.delimiter
        local settings_of = state.remote or state
        if text:sub(1, 1) == '\\' then
            break
        elseif delimiter ~= '' then
            if text:endswith(delimiter) then
                text = text:sub(1, -#delimiter - 1)
                break
            end
        elseif (state.language or 'lua') ~= 'lua' or is_complete(text) then
            if not (settings_of.continuation_on and line:endswith(CONTINUATION)) then
                break
            end
            text = text:sub(1, -1 - #CONTINUATION)
        end
        text = text .. '\n'
        prompt = (' '):rep(#state.prompt)
    end
    native.add_history(text)
    return text
end

-- The end of Lua text is for programs; on the terminal it is left out.
local function print_terminal(state, text)
    if text:endswith(end_marks.lua) then
        text = text:sub(1, -#end_marks.lua - 1) .. (state.remote or state).local_eos
    end
    print(text)
end

local function read_client(state)
    local text = ''
    while true do
        local delimiter = state.delimiter
        local line = native.read_until(state.client, delimiter .. '\n', delimiter .. '\r')
        if line == nil or line == '~.\n' then
            return nil
        end
        text = text .. line:sub(1, -#delimiter - 2)
        if not (state.continuation_on and text:endswith(CONTINUATION)) then
            return text
        end
        text = text:sub(1, -1 - #CONTINUATION)
    end
end

local function print_client(state, text)
    if not native.write(state.client, text) then
        state.running = false
    end
end

local defaults = {
    running = false,
    delimiter = '',
    prompt = 'tarantool',
    read = read_terminal,
    eval = evaluate,
    print = print_terminal,
    completion = M.completion_handler,
    ac = true,
    local_eos = '',
    continuation_on = false,
}
local state_mt = {__index = defaults}

local function run(state)
    fiber.self().storage.console = state
    if type(state.on_start) == 'function' then
        state:on_start()
    end
    while state.running do
        local text = state:eval(state:read())
        if text == nil then
            break
        end
        state:print(text)
    end
    state.running = false
    fiber.self().storage.console = nil
end

local function set_hook(name)
    return function(hook)
        if hook ~= nil and type(hook) ~= 'function' then
            error(('Wrong type of %s hook: %s'):format(name, type(hook)))
        end
        defaults[name] = hook
    end
end

M.on_start = set_hook('on_start')
M.on_client_disconnect = set_hook('on_client_disconnect')

-- Switches the completion of names on or off.
function M.ac(is_on)
    local state = current()
    if state == nil then
        error('console.ac(): need existing console')
    end
    state.ac = not not is_on
end

-- Tells box who the fiber works for, where box knows sessions.
local function session(name, ...)
    local sessions = type(box) == 'table' and box.internal.session or nil
    if sessions ~= nil and sessions[name] ~= nil then
        return sessions[name](...)
    end
end

-- }}} Reading from the terminal and from clients

-- {{{ Connecting to another console

local remote_methods = {}

-- `\set` commands change how replies end, so they are understood on the way.
function remote_methods:notice(text)
    if text:sub(1, 1) ~= '\\' then
        return text
    end
    local words = words_of(text:sub(2))
    if commands[words[1]] ~= commands.set then
        return text
    elseif settings[words[2]] == settings.output then
        local problem, fmt, opts, local_eos = parse_output(words[3])
        if problem == nil then
            self.fmt, self.eos = fmt, end_marks[fmt]
            self.local_eos = local_eos or self.local_eos
            return '\\set output ' .. fmt .. (opts and ',' .. opts or '')
        end
    elseif settings[words[2]] == settings.continuation then
        self.continuation_on = words[3] == 'on'
    end
    return text
end

function remote_methods:read()
    return native.read_until(self.stream, self.eos)
end

function remote_methods:fail()
    self.is_active = false
    native.close(self.stream)
    error('Peer closed', 0)
end

-- The reply to a statement. What the other side pushes on the way is printed.
function remote_methods:eval(text)
    local is_sent = native.write(self.stream, self:notice(text) .. CLIENT_DELIMITER .. '\n')
    while is_sent do
        local reply = self:read()
        if reply == nil then
            break
        end
        local is_push = self.fmt == 'yaml' and reply:startswith('%TAG ' .. PUSH_TAG) or
            self.fmt == 'lua' and reply:startswith('-- Push')
        if not is_push then
            return reply
        end
        self.print(reply)
    end
    self:fail()
end

function remote_methods:close()
    self.is_active = false
    native.close(self.stream)
end

local remote_mt = {__index = remote_methods}

-- A server of the binary protocol evaluates statements as well, for users who may.
local binary_methods = {notice = remote_methods.notice}

function binary_methods:eval(text)
    local ok, reply = pcall(self.connection.eval, self.connection,
        'return require("console").eval(...)', {self:notice(text)}, {on_push = self.print})
    self.is_active = self.connection:is_connected()
    if not ok then
        error(reply, 0)
    end
    return reply
end

function binary_methods:close()
    self.is_active = false
    self.connection:close()
end

local binary_mt = {__index = binary_methods}

local function connect_binary(text, uri, timeout, print_push)
    local connection = require('net.box').connect(text, {connect_timeout = timeout})
    if not connection:is_connected() then
        error(connection.error, 0)
    end
    local allowed, problem = pcall(connection.eval, connection, 'return true')
    if not allowed then
        connection:close()
        return nil, problem
    end
    return setmetatable({
        connection = connection, is_active = true, host = uri.host or 'localhost',
        port = uri.service, print = print_push, continuation_on = false, local_eos = '',
    }, binary_mt)
end

-- The remote console; nil and an error that its user is to see.
local function connect(text, uri, timeout, print_push)
    local stream = native.connect(uri.host or 'localhost', uri.service, timeout)
    local greeting = native.read_exact(stream, GREETING_SIZE)
    if greeting ~= nil and greeting:match('^Tarantool %d+%.%d+%.%d+ %(Binary%)') then
        native.close(stream)
        return connect_binary(text, uri, timeout, print_push)
    end
    if greeting == nil or greeting:sub(64, 64) ~= '\n' or greeting:sub(128, 128) ~= '\n' or
       not greeting:match('Tarantool%s+%d+%.%d+%.%d+%s+%(Lua console%)') then
        native.close(stream)
        error('Invalid greeting', 0)
    end
    local output = output_of(current())
    local remote = setmetatable({
        stream = stream, is_active = true, host = uri.host or 'localhost', port = uri.service,
        print = print_push, fmt = output.fmt, eos = end_marks[output.fmt], local_eos = '',
        continuation_on = false,
    }, remote_mt)
    local command = '\\set output ' .. output.fmt .. (output.opts and ',' .. output.opts or '')
    for _, text in ipairs({command, ('require("console").delimiter(%q)'):format(CLIENT_DELIMITER)}) do
        if not native.write(stream, text .. '\n') or remote:read() == nil then
            remote:fail()
        end
    end
    return remote
end

local function is_quit(line)
    return line:sub(1, 1) == '\\' and commands[words_of(line:sub(2))[1]] == commands.quit
end

-- The name of the instance behind a console, for the prompt; nil if it has none yet.
local function instance_name(remote)
    local question = 'return type(box.cfg) == "table" and box.info.name or nil'
    local ok, reply = pcall(remote.eval, remote, question)
    ok, reply = pcall(yaml.decode, ok and reply or '')
    return ok and type(reply) == 'table' and type(reply[1]) == 'string' and reply[1] or nil
end

-- Sends statements of a console to another one from now on.
local function evaluate_remote(state, line)
    local err
    if line and state.remote.is_active then
        local ok, reply = pcall(state.remote.eval, state.remote, line)
        if state.remote.is_active then
            return ok and reply or format(state, false, reply)
        end
        err = reply
    end
    state.remote:close()
    state.remote, state.eval, state.prompt, state.completion = nil, nil, nil, nil
    if state.on_client_disconnect ~= nil then
        pcall(state.on_client_disconnect, state)
    end
    if state.ends_with_remote then
        state.running = false
        if line ~= nil and is_quit(line) then
            return ''
        end
    end
    return err and format(state, false, err) or ''
end

-- Connects the console of this fiber to another one.
function M.connect(uri, options)
    local state = current()
    if state == nil then
        error('console.connect() need existing console')
    end
    local parsed = uri and urilib.parse(tostring(uri)) or nil
    if parsed == nil or parsed.service == nil then
        error('Usage: console.connect("[login:password@][host:]port")')
    end
    local timeout = options ~= nil and options.timeout or CONNECT_TIMEOUT_S
    local ok, remote, problem =
        pcall(connect, tostring(uri), parsed, timeout, function(text) state:print(text) end)
    if not ok then
        require('log').error('cannot connect to %s: %s', uri, remote)
        box.error(box.error.NO_CONNECTION)
    elseif remote == nil then
        error(problem, 0)
    end
    state.remote = remote
    state.eval = evaluate_remote
    state.prompt = state.ends_with_remote and instance_name(remote) or
        ('%s:%s'):format(remote.host, remote.port)
    state.completion = function(text, from, to)
        local question = ('return require("console").completion_handler(%q, %d, %d)'):format(
            text, from, to)
        local ok, reply = pcall(remote.eval, remote, question)
        ok, reply = pcall(yaml.decode, ok and reply or '')
        return ok and type(reply) == 'table' and type(reply[1]) == 'table' and reply[1] or {}
    end
    require('log').info('connected to %s:%s', remote.host, remote.port)
    return true
end

-- }}} Connecting to another console

-- {{{ Starting

-- Where statements are kept: the file that is there already, else in the folder for states.
local function history_file()
    local fio = require('fio')
    local NAME = '.tarantool_history'
    local home, states = os.getenv('HOME'), os.getenv('XDG_STATE_HOME')
    if home ~= nil and fio.path.exists(fio.pathjoin(home, NAME)) then
        return fio.pathjoin(home, NAME)
    end
    local folders = {}
    if states ~= nil and states ~= '' then
        folders[#folders + 1] = fio.pathjoin(states, 'tarantool')
    end
    if home ~= nil then
        folders[#folders + 1] = fio.pathjoin(home, '.local', 'state', 'tarantool')
    end
    for _, folder in ipairs(folders) do
        if fio.path.is_dir(folder) then
            return fio.pathjoin(folder, NAME)
        end
    end
    for _, folder in ipairs(folders) do
        if fio.mktree(folder) then
            return fio.pathjoin(folder, NAME)
        end
    end
    return nil
end

local is_started = false

local function start(uri)
    if is_started then
        error('console is already started')
    end
    is_started = true
    local state = setmetatable({running = true}, state_mt)
    local file = history_file()
    if file ~= nil then
        native.load_history(file)
    end
    session('create', 1, 'repl', function(value) state:print(push_text(state, value)) end)
    local ok, err = pcall(function()
        if uri ~= nil then
            fiber.self().storage.console = state
            state.ends_with_remote = true
            M.connect(uri)
        end
        run(state)
    end)
    is_started = false
    if not ok then
        error(err, 0)
    end
end

-- The console on the terminal. Returns when it is left.
function M.start()
    start()
end

-- The same, connected to another console, and left when that ends the connection. False when
-- there is no connection, which has been said.
function M._start_connected(uri)
    local ok, err = pcall(start, uri)
    if not ok and not (box.error.is(err) and err.code == box.error.NO_CONNECTION) then
        error(err, 0)
    end
    return ok
end

local function serve(client)
    local state = setmetatable({
        running = true, read = read_client, print = print_client, client = client,
        fiber = fiber.self(),
    }, state_mt)
    session('create', native.fd(client), 'console', function(value)
        state:print(push_text(state, value))
    end, native.peer(client))
    local ok, err = pcall(function()
        session('run_on_connect')
        session('run_on_auth', 'admin', true)
        local version = _TARANTOOL:match('^([^-]+)')
        state:print(('%-63s\n%-63s\n'):format('Tarantool ' .. version .. ' (Lua console)',
            "type 'help' for interactive help"))
        run(state)
    end)
    native.close(client)
    session('run_on_disconnect')
    if not ok then
        error(err, 0)
    end
end

local server_methods = {}
local server_mt = {__index = server_methods}

function server_methods:close()
    if self.is_closed then
        return false
    end
    self.is_closed = true
    native.close_listener(self.listener)
    return true
end

-- As a socket tells it.
function server_methods:name()
    local host, port, is_ipv6 = native.listener_address(self.listener)
    if host == nil then
        return {host = self.host, port = self.port, family = 'AF_UNIX', type = 'SOCK_STREAM'}
    end
    return {
        host = host, port = port, family = is_ipv6 and 'AF_INET6' or 'AF_INET', type = 'SOCK_STREAM',
        protocol = 'tcp',
    }
end

-- Accepts nobody any more.
function server_methods:shutdown()
    return self:close()
end

-- Serves consoles on a URI: `unix/:PATH`, `PORT`, `HOST:PORT`. Whoever connects is administrator.
function M.listen(uri)
    local host, service = 'unix/', DEFAULT_SOCKET
    if uri ~= nil then
        local parsed = urilib.parse(tostring(uri))
        if parsed == nil or parsed.service == nil then
            error('Usage: console.listen("[host:]port")')
        end
        host, service = parsed.host or '127.0.0.1', parsed.service
    end
    local ok, listener = pcall(native.listen, host, service)
    if not ok then
        error(tostring(listener), 0)
    end
    fiber.create(function()
        fiber.name('console/' .. service, {truncate = true})
        while true do
            local client = native.accept(listener)
            if client == nil then
                break
            end
            fiber.new(serve, client):name('console', {truncate = true})
        end
    end)
    return setmetatable({listener = listener, host = host, port = service}, server_mt)
end

-- }}} Starting

return M
