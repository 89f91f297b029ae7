-- box.schema.sequence: counters, and the objects in box.sequence.
local native, box, parts = ...

local check, grants = parts.check, parts.grants

local INT64_MIN, INT64_MAX = -9223372036854775807LL - 1, 9223372036854775807LL

local OPTIONS = {
    step = 'number',
    min = 'number',
    max = 'number',
    start = 'number',
    cache = 'number',
    cycle = 'boolean',
}
local CREATE_OPTIONS = check.with_defaults(OPTIONS, {if_not_exists = 'boolean'})
local ALTER_OPTIONS = check.with_defaults(OPTIONS, {name = 'string'})

local sequence = {}
box.schema.sequence = sequence

function sequence.create(name, options)
    check.configured(2)
    options = options or {}
    check.param(name, 'name', 'string', 2)
    check.options(options, CREATE_OPTIONS, 2)
    local is_ascending = options.step == nil or options.step > 0
    options = check.with_defaults(options, {
        step = 1,
        min = is_ascending and 1 or INT64_MIN,
        max = is_ascending and INT64_MAX or -1,
        start = is_ascending and (options.min or 1) or (options.max or -1),
        cache = 0,
        cycle = false,
    })
    if grants.find_sequence(name) ~= nil then
        if not options.if_not_exists then
            box.error(box.error.SEQUENCE_EXISTS, name, 2)
        end
        return box.sequence[name], 'not created'
    end
    local _sequence = box.space[box.schema.SEQUENCE_ID]
    check.call_at(2, _sequence.auto_increment, _sequence, {
        box.session.euid(), name, options.step, options.min, options.max, options.start,
        options.cache, options.cycle,
    })
    return box.sequence[name]
end

function sequence.alter(name, options)
    check.configured(2)
    check.options(options, ALTER_OPTIONS, 2)
    local row = grants.find_sequence(name)
    if row == nil then
        box.error(box.error.NO_SUCH_SEQUENCE, name, 2)
    elseif options == nil then
        return
    end
    local _sequence = box.space[box.schema.SEQUENCE_ID]
    local new = check.with_defaults(options, row:tomap({names_only = true}))
    check.call_at(2, _sequence.replace, _sequence, {
        new.id, new.owner, new.name, new.step, new.min, new.max, new.start, new.cache, new.cycle,
    })
end

sequence.drop = check.atomic(function(name, options)
    check.options(options, {if_exists = 'boolean'}, 2)
    local row = grants.find_sequence(name)
    if row == nil then
        if options == nil or not options.if_exists then
            box.error(box.error.NO_SUCH_SEQUENCE, name, 2)
        end
        return
    end
    grants.revoke_all('sequence', row.id)
    box.space[box.schema.SEQUENCE_DATA_ID]:delete{row.id}
    box.space[box.schema.SEQUENCE_ID]:delete{row.id}
end)

local methods = {}

-- Takes the next value.
function methods.next(self)
    return native.sequence_next(self.id)
end

-- The value taken last.
function methods.current(self)
    return native.sequence_current(self.id)
end

-- Makes the next value follow this one.
function methods.set(self, value)
    return native.sequence_set(self.id, value)
end

-- Starts over.
function methods.reset(self)
    return native.sequence_reset(self.id)
end

function methods.alter(self, options)
    return sequence.alter(self.id, options)
end

function methods.drop(self)
    return sequence.drop(self.id)
end

-- Makes an object of a description.
function sequence.bless(object)
    setmetatable(object, {__index = methods})
end

return sequence
