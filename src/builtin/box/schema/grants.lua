-- box.schema: look-ups in the views of users, sequences and grants.
local _, box = ...

local grants = {}

-- A row of a view by name or id, nil when there is none.
local function find(view_id, name_or_id)
    local view = box.space[view_id]
    if type(name_or_id) == 'string' then
        return view.index.name:get{name_or_id}
    elseif name_or_id ~= nil then
        return view:get{name_or_id}
    end
    return nil
end

function grants.find_user_or_role(name_or_id)
    return find(box.schema.VUSER_ID, name_or_id)
end

-- The id of a user or role.
function grants.user_or_role_id(name_or_id)
    local tuple = grants.find_user_or_role(name_or_id)
    return tuple and tuple.id
end

local function id_of_kind(name_or_id, kind)
    local tuple = grants.find_user_or_role(name_or_id)
    return tuple and tuple.type == kind and tuple.id or nil
end

function grants.user_id(name_or_id)
    return id_of_kind(name_or_id, 'user')
end

function grants.role_id(name_or_id)
    return id_of_kind(name_or_id, 'role')
end

function grants.find_function(name_or_id)
    return find(box.schema.VFUNC_ID, name_or_id)
end

function grants.find_sequence(name_or_id)
    return find(box.schema.VSEQUENCE_ID, name_or_id)
end

-- Takes back what was granted on an object, which is about to go.
function grants.revoke_all(object_type, object_id)
    local _vpriv = box.space[box.schema.VPRIV_ID]
    local _priv = box.space[box.schema.PRIV_ID]
    for _, tuple in ipairs(_vpriv.index.object:select{object_type, object_id}) do
        _priv:delete{tuple.grantee, object_type, object_id}
    end
end

return grants
