//! Access checks: who may do what.
//!
//! # Yields
//! never

use crate::base::error::{Builder, Error, Result, Type, Value};
use crate::base::error_code::ER_ACCESS_DENIED;

use super::context;
use super::database::Database;
use super::space::Space;
use super::user::{ADMIN, Object, ObjectKind, privilege};

/// The user on whose behalf this fiber acts.
pub fn effective_user() -> u32 {
    context::current().user.get()
}

/// Acts on behalf of another user from now on; returns who it was.
pub fn set_effective_user(uid: u32) -> u32 {
    context::current().user.replace(uid)
}

/// `AccessDeniedError` in Tarantool's wording.
pub fn denied(access: &str, object_type: &str, object_name: &str, user: &str) -> Error {
    let message =
        format!("{access} access to {object_type} '{object_name}' is denied for user '{user}'");
    let text = |value: &str| Value::String(value.to_owned());
    Builder::new(Type::AccessDenied, message)
        .code(ER_ACCESS_DENIED.number)
        .fields(vec![
            ("object_type".into(), text(object_type)),
            ("object_name".into(), text(object_name)),
            ("access_type".into(), text(access)),
            ("user".into(), text(user)),
        ])
        .build()
}

/// Whether the user may do this with the space's data.
#[inline]
pub(crate) fn check_space(db: &Database, space: &Space, access: u32) -> Result<()> {
    let uid = effective_user();
    if uid == ADMIN {
        return Ok(());
    }
    check_space_slow(db, space, access, uid)
}

#[cold]
fn check_space_slow(db: &Database, space: &Space, access: u32, uid: u32) -> Result<()> {
    let user = db.users().find(uid)?;
    let universal = user.universal_access();
    let required = access | privilege::USAGE;
    let mut missing = required & !universal & !user.access(&Object::Entity(ObjectKind::Space));
    if missing & privilege::USAGE == 0 {
        if space.definition().owner == uid {
            return Ok(());
        }
        missing &= !user.access(&Object::One(ObjectKind::Space, space.id()));
    }
    if missing == 0 {
        return Ok(());
    }
    if universal & privilege::USAGE == 0 {
        return Err(denied(privilege::name(privilege::USAGE), "universe", "", &user.name()));
    }
    Err(denied(privilege::name(access), "space", space.name(), &user.name()))
}

/// Whether the user may do this to the definition of an object. `id` is `None` for one that is
/// being made.
pub(crate) fn check_ddl(
    db: &Database,
    name: &str,
    owner: u32,
    kind: ObjectKind,
    id: Option<u32>,
    access: u32,
) -> Result<()> {
    let uid = effective_user();
    if uid == ADMIN || !db.is_configured() {
        return Ok(());
    }
    let user = db.users().find(uid)?;
    let mut missing = (privilege::USAGE | access) & !user.universal_access();
    missing &= !user.access(&Object::Entity(kind));
    let is_owner = owner == uid;
    if missing == 0 || (is_owner && missing & (privilege::USAGE | privilege::CREATE) == 0) {
        return Ok(());
    }
    if missing & privilege::USAGE != 0 {
        return Err(denied(privilege::name(privilege::USAGE), "universe", "", &user.name()));
    }
    if let Some(id) = id {
        missing &= !user.access(&Object::One(kind, id));
    }
    if missing == 0 {
        return Ok(());
    }
    Err(denied(privilege::name(missing), kind.name(), name, &user.name()))
}
