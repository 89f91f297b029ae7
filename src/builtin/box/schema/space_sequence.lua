-- box.schema: the sequence that fills a field of a space's primary key (option `sequence`).
local _, box, parts = ...

local check, grants = parts.check, parts.grants
local resolve_field = parts.index_parts.resolve_field

local space_sequence = {}

local function refuse(target, problem, level)
    box.error(box.error.MODIFY_INDEX, target.name, target.space_name, problem, level + 1)
end

-- Checks that a sequence suits the parts of an index, and completes it by the first part.
local function check_parts(sequence, list, target, level)
    local found
    if sequence.field == nil then
        found = list[1]
        sequence.field = found.field or found[1]
        sequence.path = found.path or ''
    else
        sequence.path = sequence.path or ''
        for _, part in ipairs(list) do
            if sequence.field == (part.field or part[1]) and
               sequence.path == (part.path or '') then
                found = part
                break
            end
        end
    end
    if found == nil then
        refuse(target, 'sequence field must be a part of the index', level + 1)
    end
    local kind = found.type or found[2]
    if kind ~= 'integer' and kind ~= 'unsigned' then
        refuse(target, 'sequence cannot be used with a non-integer key', level + 1)
    end
end

-- The sequence that a space has now.
local function current(space_id)
    local row = box.space[box.schema.SPACE_SEQUENCE_ID]:get(space_id)
    if row == nil then
        return nil
    end
    return {
        id = row.sequence_id,
        is_generated = row.is_generated,
        field = row.field,
        path = row.path,
    }
end

-- What the option asks for: true, false, a name, an id or {id = , field = }.
local function read_option(option)
    if type(option) == 'table' then
        return {id = option.id, field = option.field}
    elseif option == true then
        return {}
    elseif option == false then
        return nil
    end
    return {id = option}
end

-- The id of a sequence that a user made and that may be attached.
local function check_attachable(name_or_id, target, level)
    local row = grants.find_sequence(name_or_id)
    if row == nil then
        box.error(box.error.NO_SUCH_SEQUENCE, name_or_id, level + 1)
    end
    local _space_sequence = box.space[box.schema.SPACE_SEQUENCE_ID]
    local user = _space_sequence.index.sequence:select(row.id)[1]
    if user ~= nil and user.is_generated then
        box.error(box.error.ALTER_SPACE, target.space_name, 'can not attach generated sequence',
            level + 1)
    end
    return row.id
end

local function complete(new, old, target, level)
    if new.id ~= nil then
        new.id = check_attachable(new.id, target, level + 1)
    end
    if new.field ~= nil then
        new.field, new.path =
            resolve_field(target.format, new.field, 'sequence field', level + 1)
    end
    if old ~= nil then
        if new.id == nil and old.is_generated then
            new.id, new.is_generated = old.id, true
        end
        if new.field == nil then
            new.field, new.path = old.field, old.path
        end
    end
    check_parts(new, target.parts, target, level + 1)
    if new.id == nil then
        new.id = box.schema.sequence.create(target.space_name .. '_seq').id
        new.is_generated = true
    end
    new.is_generated = new.is_generated or false
end

-- Before an index is made or altered. `target` describes the index: {id = , name = , space_id = ,
-- space_name = , format = , parts = }. Returns a change for `commit`, nil for none.
function space_sequence.prepare(option, target, level)
    if target.id ~= 0 then
        if option then
            refuse(target, 'sequence cannot be used with a secondary key', level + 1)
        end
        return nil
    end
    local old = current(target.space_id)
    if option == nil then
        if old ~= nil and old.field ~= nil then
            check_parts(old, target.parts, target, level + 1)
        end
        return nil
    end
    local new = read_option(option)
    if new ~= nil then
        complete(new, old, target, level + 1)
    end
    return {space_id = target.space_id, old = old, new = new}
end

-- Before the index is altered: the sequence it had need not suit the new parts.
function space_sequence.detach(change)
    if change ~= nil and change.old ~= nil then
        box.space[box.schema.SPACE_SEQUENCE_ID]:delete(change.space_id)
    end
end

-- After the index was made or altered.
function space_sequence.commit(change)
    if change == nil then
        return
    end
    local _space_sequence = box.space[box.schema.SPACE_SEQUENCE_ID]
    local old, new = change.old, change.new
    if new ~= nil then
        _space_sequence:insert{
            change.space_id, new.id, new.is_generated, new.field, new.path or '',
        }
    end
    if old ~= nil and old.is_generated and (new == nil or new.id ~= old.id) then
        box.schema.sequence.drop(old.id)
    end
end

-- Before the primary key goes: a generated sequence goes with it.
function space_sequence.drop(space_id)
    local _space_sequence = box.space[box.schema.SPACE_SEQUENCE_ID]
    if _space_sequence:get(space_id) == nil then
        return
    end
    local row = _space_sequence:delete{space_id}
    if row.is_generated then
        box.schema.sequence.drop(row.sequence_id)
    end
end

return space_sequence
