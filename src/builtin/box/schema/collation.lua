-- box.internal.collation: user-defined orders of strings.
local _, box, parts = ...

local check = parts.check

local collation = box.internal.collation

local function check_text(value, what)
    if type(value) ~= 'string' then
        check.refuse(what .. ' must be a string', 3)
    end
end

function collation.create(name, kind, locale, options)
    check_text(name, 'name (first arg)')
    check_text(kind, 'type (second arg)')
    check_text(locale, 'locale (third arg)')
    options = options or {}
    if type(options) ~= 'table' then
        check.refuse('options (fourth arg) must be a table or nil', 2)
    end
    check.options({if_not_exists = options.if_not_exists}, {if_not_exists = 'boolean'}, 2)
    if options.if_not_exists and collation.exists(name) then
        return
    end
    options = check.with_defaults(options, {strength = 'tertiary'})
    options.if_not_exists = nil
    local _collation = box.space[box.schema.COLLATION_ID]
    check.call_at(2, _collation.auto_increment, _collation,
        {name, box.session.euid(), kind, locale, check.map(options)})
end

function collation.drop(name, options)
    check.options(options, {if_exists = 'boolean'}, 2)
    if options ~= nil and options.if_exists and not collation.exists(name) then
        return
    end
    local by_name = box.space[box.schema.COLLATION_ID].index.name
    check.call_at(2, by_name.delete, by_name, {name})
end

function collation.exists(name)
    return box.space[box.schema.COLLATION_ID].index.name:get{name} ~= nil
end

function collation.id_by_name(name)
    return box.space[box.schema.COLLATION_ID].index.name:get{name}.id
end

return collation
