//! `_priv`: granting and revoking.

use crate::base::error::Result;
use crate::client_error;
use crate::tuple::Tuple;
use crate::value::mp::{Kind, Reader};

use super::super::access::{self, effective_user};
use super::super::user::{ADMIN, Object, ObjectKind, PUBLIC, privilege};
use super::Ddl;
use crate::db::row::Row;

/// A row of `_priv`.
struct Grant {
    grantor: u32,
    grantee: u32,
    kind: ObjectKind,
    object: Object,
    access: u32,
}

pub(super) fn on_replace(ddl: &Ddl<'_>) -> Result<()> {
    ddl.db.check_writable()?;
    let is_revoke = ddl.new.is_none();
    let grant = read(ddl.any())?;
    check(ddl, &grant, is_revoke)?;
    let access = if is_revoke { 0 } else { grant.access };
    let before = match &ddl.old {
        Some(old) => read(old)?.access,
        None => 0,
    };
    let (grantee, object) = (grant.grantee, grant.object);
    ddl.db.users().grant(grantee, object.clone(), access);
    ddl.on_rollback(move |db| {
        db.users().grant(grantee, object, before);
    });
    Ok(())
}

fn read(tuple: &Tuple) -> Result<Grant> {
    let row = Row::new(tuple.data());
    let (grantor, grantee) = (row.u32(0)?, row.u32(1)?);
    let type_name = row.str(2)?;
    let kind = ObjectKind::by_name(type_name)
        .ok_or_else(|| client_error!(ER_UNKNOWN_SCHEMA_OBJECT, type_name))?;
    let id = row.get(3).ok_or_else(|| client_error!(ER_NO_SUCH_FIELD_NO, 4))?;
    let object = match Reader::new(id).kind() {
        Some(Kind::Str) => match row.str(3)? {
            "" => Object::Entity(kind),
            name if kind == ObjectKind::LuaCall => Object::LuaFunction(name.to_owned()),
            _ => Object::One(kind, row.u32(3)?),
        },
        _ => Object::One(kind, row.u32(3)?),
    };
    Ok(Grant { grantor, grantee, kind, object, access: row.u32(4)? })
}

/// Name and owner of the object, which must exist.
fn describe(ddl: &Ddl<'_>, grant: &Grant) -> Result<(String, Option<u32>)> {
    let Object::One(kind, id) = grant.object else { return Ok((String::new(), None)) };
    let users = ddl.db.users();
    match kind {
        ObjectKind::Space => {
            let space = ddl.db.schema().find(id)?;
            if space.definition().is_temporary() {
                return Err(client_error!(ER_UNSUPPORTED, "temporary space", "privileges"));
            }
            Ok((space.name().to_owned(), Some(space.definition().owner)))
        }
        ObjectKind::Function => {
            let function = ddl.db.functions().find(id)?;
            Ok((function.name.clone(), Some(function.owner)))
        }
        ObjectKind::Sequence => {
            let definition = ddl.db.sequences().find(id)?.definition();
            Ok((definition.name.clone(), Some(definition.owner)))
        }
        ObjectKind::Role => {
            let role = users.get(id);
            let name = role.as_ref().map_or_else(|| id.to_string(), |role| role.name());
            let role = role
                .filter(|role| role.definition().is_role)
                .ok_or_else(|| client_error!(ER_NO_SUCH_ROLE, name))?;
            let definition = role.definition();
            let grantee = users.find(grant.grantee)?;
            users.check_role_loop(&grantee, &role)?;
            let everybody = id == PUBLIC && grant.access == privilege::EXECUTE;
            let owner = if everybody { grant.grantor } else { definition.owner };
            Ok((definition.name.clone(), Some(owner)))
        }
        ObjectKind::User => {
            let user = users.get(id);
            let name = user.as_ref().map_or_else(|| id.to_string(), |user| user.name());
            let user = user
                .filter(|user| !user.definition().is_role)
                .ok_or_else(|| client_error!(ER_NO_SUCH_USER, name))?;
            let definition = user.definition();
            Ok((definition.name.clone(), Some(definition.owner)))
        }
        _ => Ok((String::new(), None)),
    }
}

fn check(ddl: &Ddl<'_>, grant: &Grant, is_revoke: bool) -> Result<()> {
    let users = ddl.db.users();
    users.find(grant.grantor)?;
    users.find(grant.grantee)?;
    let (name, owner) = describe(ddl, grant)?;
    let meta = privilege::GRANT | privilege::METAGRANT;
    let mut required = 0;
    if grant.access & !meta != 0 {
        required |= privilege::GRANT;
    }
    if grant.access & meta != 0 {
        required |= privilege::METAGRANT;
    }
    let id = match grant.object {
        Object::One(_, id) => Some(id),
        _ => None,
    };
    let owner_id = owner.unwrap_or(u32::MAX);
    access::check_ddl(ddl.db, &name, owner_id, grant.kind, id, required)?;
    let uid = effective_user();
    if !ddl.is_unchecked() && uid == grant.grantee && uid != ADMIN && Some(uid) != owner {
        return Err(client_error!(ER_GRANT, "only object owner or admin can grant oneself"));
    }
    if grant.access == 0 {
        return Err(client_error!(ER_GRANT, "the grant tuple has no privileges"));
    }
    let is_admin_universe = grant.grantee == ADMIN && grant.kind == ObjectKind::Universe;
    if is_admin_universe && (grant.access != privilege::ALL || is_revoke) {
        return Err(client_error!(ER_GRANT, "can't revoke universe from the admin user"));
    }
    Ok(())
}
