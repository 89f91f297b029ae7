-- compat: chooses between the old and the new behaviour of what changed between versions.

local tweaks = require('internal.tweaks')

local INFINITY_S = 100 * 365 * 86400
local DOCS = 'https://tarantool.io/compat/'

-- An action that sets one tweak to the old or the new value.
local function tweak(name, old, new)
    return function(is_new)
        if is_new then
            tweaks[name] = new
        else
            tweaks[name] = old
        end
    end
end

local function nothing()
end

-- {name, default, brief, action, run_action_now}
local DEFINITIONS = {
    {'json_escape_forward_slash', 'new', "Whether json.encode() writes '/' as '\\/'.",
     tweak('json_escape_forward_slash', true, false), true},
    {'yaml_pretty_multiline', 'new', 'Whether YAML shows every multi-line string as a block.',
     tweak('yaml_pretty_multiline', false, true), true},
    {'fiber_slice_default', 'new', 'Whether a fiber that does not yield is warned and stopped.',
     function(is_new)
         local slice = is_new and {warn = 0.5, err = 1.0} or INFINITY_S
         require('fiber').set_max_slice(slice)
     end},
    {'fiber_channel_close_mode', 'new',
     'Whether messages of a closed fiber channel can still be read.',
     tweak('fiber_channel_close_mode', 'forceful', 'graceful')},
    {'datetime_setfn_timestamp_type_check', 'old',
     'Whether datetime:set() checks the type of the timestamp.',
     tweak('datetime_setfn_timestamp_type_check', false, true)},
    {'sql_priv', 'new', "Whether running SQL needs the privilege 'execute'.",
     tweak('sql_access_check_is_enabled', false, true)},
    {'sql_seq_scan_default', 'new', 'Whether SQL refuses full scans that are not asked for.',
     tweak('sql_seq_scan_default', true, false)},
    {'box_info_cluster_meaning', 'new',
     'Whether box.info.cluster is the whole cluster instead of the replica set.',
     tweak('box_info_cluster_new_meaning', false, true)},
    {'binary_data_decoding', 'new', 'Whether binary data is decoded to varbinary objects.',
     function(is_new)
         tweaks.yaml_decode_binary_as_string = not is_new
         tweaks.msgpack_decode_binary_as_string = not is_new
     end},
    {'box_tuple_new_vararg', 'new', 'Whether box.tuple.new() takes a format as its second argument.',
     tweak('box_tuple_new_vararg', true, false)},
    {'box_cfg_replication_sync_timeout', 'new',
     'Whether box.cfg returns before the instance has caught up with its master.', nothing},
    {'box_space_execute_priv', 'new', 'Whether a privilege to execute a space is refused.',
     nothing},
    {'console_session_scope_vars', 'old',
     'Whether a console session has its own scope for variables.', nothing},
    {'box_session_push_deprecation', 'old', 'Whether box.session.push() raises an error.',
     tweak('box_session_push_is_disabled', false, true), true},
    {'c_func_iproto_multireturn', 'new',
     'Whether results of a C function come as one array over iproto.',
     tweak('c_func_iproto_multireturn', false, true), true},
    {'box_tuple_extension', 'new', 'Whether tuples travel with their format over iproto.',
     tweak('box_tuple_extension', false, true), true},
    {'box_space_max', 'new', 'Whether the largest space id is 2147483646 instead of 2147483647.',
     tweak('BOX_SPACE_MAX', 2147483647, 2147483646)},
    {'box_error_unpack_type_and_code', 'old',
     'Whether error:unpack() leaves base_type, custom_type and a zero code out.',
     tweak('box_error_unpack_type_and_code', true, false)},
    {'box_error_serialize_verbose', 'old', 'Whether an error is serialized with all its fields.',
     tweak('box_error_serialize_verbose', false, true)},
    {'box_consider_system_spaces_synchronous', 'old',
     'Whether system spaces are synchronous when the synchronous queue has an owner.',
     tweak('box_consider_system_spaces_synchronous', false, true)},
    {'wal_cleanup_delay_deprecation', 'old', "Whether the option 'wal_cleanup_delay' is refused.",
     nothing},
    {'replication_synchro_timeout', 'old',
     'Whether replication_synchro_timeout no longer rolls transactions back.',
     tweak('replication_synchro_timeout_rollback_enabled', true, false)},
    {'box_recovery_triggers_deprecation', 'old', 'Whether triggers do not run during recovery.',
     tweak('box_recovery_triggers_disabled', false, true)},
    {'skip_replication_names', 'new',
     'Whether names of instances and replica sets may be absent when replication starts.', nothing},
    {'box_backup_default_ttl', 'old', 'The time a backup is kept when none is given.',
     tweak('box_backup_default_ttl', INFINITY_S, 3600)},
}

local HELP = [[
Tarantool compatibility module.
To get help, see the manual at https://tarantool.io/compat
Available commands:

    compat.help()                   -- show this help
    compat.<option_name>            -- show an option
    compat.<option_name> = 'old'    -- set an option to 'old', 'new' or 'default'
    compat{<option_name> = 'new'}   -- set several options
    compat.dump()                   -- a Lua command that sets the options as they are now
    compat.add_option()             -- add an option: a table with name, default, brief,
                                       obsolete and action
]]

local DUMP_USAGE = "usage: compat.dump('new'/'old'/'default'/'current'/nil)"

-- Name to {default, brief, obsolete, action, current (true is new), selected}.
local options = {}
-- Names in the order of their definition.
local order = {}

local FORMAT = {
    {'default', 'string'},
    {'brief', 'string'},
    {'obsolete', 'string/nil'},
    {'run_action_now', 'boolean/nil'},
    {'action', 'function/nil'},
}

local function verify(name, definition)
    if type(name) ~= 'string' then
        error(('Option name must be a string (%s provided)'):format(type(name)), 3)
    end
    for _, field in ipairs(FORMAT) do
        if not field[2]:find(type(definition[field[1]])) then
            error(('Invalid option table for %s, bad %s (%s is expected)'):format(name, field[1],
                                                                                 field[2]), 3)
        end
    end
    if definition.default ~= 'new' and definition.default ~= 'old' then
        error(("Invalid option table for %s, bad default ('new'/'old' is expected)"):format(name),
              3)
    elseif not definition.obsolete and definition.action == nil then
        error(('Invalid option table for %s, bad action (function is expected)'):format(name), 3)
    elseif definition.obsolete and definition.default == 'old' then
        error(('Obsolete option %s default is wrong.'):format(name), 3)
    end
end

local function set_option(name, value)
    local option = options[name]
    if option == nil then
        error(('Invalid option %s'):format(tostring(name)), 3)
    end
    local is_new
    if value == 'default' then
        is_new = option.default == 'new'
    elseif value == 'new' or value == 'old' then
        is_new = value == 'new'
    else
        error(('Invalid argument %s in option %s'):format(tostring(value), name), 3)
    end
    if option.obsolete and not is_new then
        error(('Chosen option %s is no longer available'):format(name), 3)
    end
    if is_new ~= option.current then
        option.action(is_new)
    end
    option.current, option.selected = is_new, value ~= 'default'
end

local compat = {}

function compat._options()
    return options
end

function compat.help()
    return HELP
end

function compat.add_option(definition)
    if type(definition) ~= 'table' then
        error("usage: compat.add_option({name = '...', default = 'new'/'old', brief = '...', " ..
              'action = func, run_action_now = true/false})', 2)
    end
    local name = definition.name
    verify(name, definition)
    local option = options[name]
    if option == nil then
        option = {selected = false}
        options[name] = option
        order[#order + 1] = name
    end
    -- A definition repeated by a hot reload keeps what was chosen.
    if not option.selected then
        option.current = definition.default == 'new'
    end
    option.brief, option.default = definition.brief, definition.default
    option.obsolete, option.action = definition.obsolete, definition.action
    if not option.obsolete and definition.run_action_now then
        option.action(option.current)
    end
end

-- What `dump` prints for an option.
local function dumped_value(option, mode)
    if option.obsolete then
        local is_shown = mode == 'new' or mode == 'old' or mode == 'current' or
            mode == nil and option.selected
        return is_shown and 'new' or 'default'
    elseif mode == 'new' or mode == 'old' or mode == 'default' then
        return mode
    elseif mode == nil and not option.selected then
        return 'default'
    end
    return option.current and 'new' or 'old'
end

function compat.dump(mode)
    if mode ~= nil and mode ~= 'new' and mode ~= 'old' and mode ~= 'default' and
       mode ~= 'current' then
        error(DUMP_USAGE, 2)
    end
    local width = 0
    for _, name in ipairs(order) do
        width = math.max(width, #name)
    end
    local lines = {}
    for i, name in ipairs(order) do
        local option = options[name]
        local value = ("'%s',"):format(dumped_value(option, mode))
        if option.obsolete then
            value = ('%s -- obsolete since %s'):format(value:ljust(10), option.obsolete)
        end
        lines[i] = ('\n    %s = %s'):format(name:ljust(width), value)
    end
    if #lines == 0 then
        return "require('compat')({})"
    end
    -- The blank line at the end has YAML show the text as a block.
    return "require('compat')({" .. table.concat(lines) .. '\n})\n\n'
end

local option_methods = {}
local option_mt = {__index = option_methods}

local function effective(option)
    if option.current == 'default' then
        return option.default
    end
    return option.current
end

function option_methods.is_new(option)
    if type(option) ~= 'table' then
        error('usage: compat.<option_name>:is_new()', 2)
    end
    return effective(option) == 'new'
end

function option_methods.is_old(option)
    if type(option) ~= 'table' then
        error('usage: compat.<option_name>:is_old()', 2)
    end
    return effective(option) == 'old'
end

-- An array of {name = value}, which keeps the order, that also answers to names.
local function serialize()
    local result = {}
    local function add(wanted, text)
        for _, name in ipairs(order) do
            local option = options[name]
            if not option.obsolete and wanted(option) then
                result[#result + 1] = {[name] = text or
                    ('default (%s)'):format(option.current and 'new' or 'old')}
            end
        end
    end
    add(function(option) return option.selected and option.current end, 'new')
    add(function(option) return option.selected and not option.current end, 'old')
    add(function(option) return not option.selected end)
    return setmetatable(result, {
        __index = function(self, key)
            for i = 1, #self do
                local value = rawget(self, i)[key]
                if value ~= nil then
                    return value
                end
            end
            return nil
        end,
    })
end

for _, definition in ipairs(DEFINITIONS) do
    local name, default, brief, action, run_now = unpack(definition, 1, 5)
    compat.add_option({
        name = name,
        default = default,
        brief = ('%s\n\n%s%s\n'):format(brief, DOCS, name),
        action = action,
        run_action_now = run_now,
    })
end

return setmetatable(compat, {
    __call = function(_, values)
        if type(values) ~= 'table' then
            error("usage: compat({<option_name> = 'new'/'old'/'default'})", 2)
        end
        for name, value in pairs(values) do
            set_option(name, value)
        end
    end,
    __newindex = function(_, name, value)
        set_option(name, value)
    end,
    __index = function(_, name)
        local option = options[name]
        if option == nil then
            error(('Invalid option %s'):format(tostring(name)), 2)
        end
        local current = 'default'
        if option.selected then
            current = option.current and 'new' or 'old'
        end
        return setmetatable({
            brief = option.brief,
            default = option.default,
            obsolete = option.obsolete,
            current = current,
        }, option_mt)
    end,
    __serialize = serialize,
    __tostring = function()
        return require('yaml').encode(serialize())
    end,
    __autocomplete = function()
        local names = {}
        for name, option in pairs(options) do
            names[name] = not option.obsolete or nil
        end
        return names
    end,
})
