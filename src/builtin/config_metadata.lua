-- internal.config_metadata: what the file of an application or of a role says of itself, in a comment
-- at its head:
--
--     -- --- #tarantool.metadata.v1
--     -- fail_if: "tarantool_version < 3.8.0"
--     -- early_load: true
--     -- ...
--
-- `fail_if` is when it does not work, `early_load` has it loaded before the database starts.
local fio = require('fio')
local log = require('log')
local yaml = require('yaml')

local M = {}

-- The lines of YAML of the first comment of a Lua text.
local function yaml_of(text)
    local lines, prefix = {}, nil
    local is_first = true
    for line in (text .. '\n'):gmatch('([^\n]*)\n') do
        line = line:lstrip()
        local is_shebang = is_first and line:startswith('#!')
        is_first = false
        if prefix ~= nil then
            if not line:startswith(prefix) then
                break
            end
            table.insert(lines, line:sub(#prefix + 1))
            if line:startswith('...', #prefix + 1) then
                break
            end
        elseif line ~= '' and not is_shebang then
            if not line:startswith('--') then
                break
            end
            prefix = line:match('^(%-%-%s+)%-%-%- #tarantool%.metadata%.v%d+%s*$')
        end
    end
    return table.concat(lines, '\n')
end

local function of_file(path)
    if not path:endswith('.lua') then
        error(('Invalid file name %q'):format(path), 0)
    end
    local file, err = fio.open(path)
    if file == nil then
        error(('Unable to open %q: %s'):format(path, err), 0)
    end
    local text = file:read()
    file:close()
    local source = yaml_of(text or '')
    if source == '' then
        return {}
    end
    local ok, metadata = pcall(yaml.decode, source)
    if not ok then
        error(('Unable to decode YAML metadata in %q: %s'):format(path, metadata), 0)
    end
    return type(metadata) == 'table' and metadata or {}
end

local function of_module(name)
    if require('internal.loaders').builtin[name] ~= nil then
        return {}
    end
    local path = package.search(name)
    if path == nil then
        error(('Unable to locate package %q'):format(name), 0)
    end
    return of_file(path)
end

local function read(get, kind, name)
    local ok, metadata = pcall(get, name)
    if not ok then
        log.error('Unable to get metadata for %s %q: %s', kind, name, metadata)
        return {}
    end
    return metadata
end

function M.of_file(path)
    return read(of_file, 'file', path)
end

-- `kind` is 'module' or 'role'.
function M.of_module(kind, name)
    return read(of_module, kind, name)
end

-- Raises if it says that it does not work here. `kind` is 'App' or 'Role', `evaluate` takes an
-- expression.
function M.check(kind, name, metadata, evaluate)
    local expression = metadata.fail_if
    if expression == nil then
        return
    end
    local fails, err = evaluate(expression)
    if err ~= nil then
        error(('%s %q has invalid "fail_if" expression: %s'):format(kind, name, err), 0)
    elseif fails then
        error(('%s %q failed the "fail_if" check: %q'):format(kind, name, expression), 0)
    end
end

-- Says that it came too late to be loaded early.
function M.too_late(kind, name)
    log.error('%s %q with the "early_load" tag was added to the config, it cannot be loaded before ' ..
        'the first box.cfg call', kind, name)
end

return M
