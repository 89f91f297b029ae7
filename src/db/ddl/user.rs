//! `_user`: making, altering and dropping users and roles.

use crate::base::error::Result;
use crate::client_error;
use crate::tuple::Tuple;
use crate::value::mp::{Kind, Reader};

use super::super::access;
use super::super::authentication::Kept;
use super::super::system_space as id;
use super::super::user::{GUEST, ObjectKind, SYSTEM_USER_ID_MAX, UserDefinition, privilege};
use super::{Ddl, has_rows};
use crate::db::row::{Row, check_identifier, cut_name, is_name_too_long};

pub(super) fn on_replace(ddl: &Ddl<'_>) -> Result<()> {
    let uid = Row::new(ddl.any().data()).u32(0)?;
    let users = ddl.db.users();
    match (users.get(uid), &ddl.new) {
        (None, Some(row)) => {
            ddl.db.check_writable()?;
            let definition = read(row)?;
            let kind = object_kind(&definition);
            let (name, owner) = (&definition.name, definition.owner);
            access::check_ddl(ddl.db, name, owner, kind, None, privilege::CREATE)?;
            users.replace(definition)?;
            ddl.on_rollback(move |db| drop(db.users().remove(uid)));
        }
        (Some(user), None) => {
            ddl.db.check_writable()?;
            let old = user.definition();
            let kind = object_kind(&old);
            access::check_ddl(ddl.db, &old.name, old.owner, kind, Some(uid), privilege::DROP)?;
            if uid <= SYSTEM_USER_ID_MAX {
                let details = "the user or the role is a system";
                return Err(client_error!(ER_DROP_USER, old.name, details));
            }
            if has_data(ddl, uid) {
                return Err(client_error!(ER_DROP_USER, old.name, "the user has objects"));
            }
            users.remove(uid);
            ddl.on_rollback(move |db| restore(db, (*old).clone()));
        }
        (Some(user), Some(row)) => {
            ddl.db.check_writable()?;
            let definition = read(row)?;
            let old = user.definition();
            let (kind, own) = (object_kind(&old), definition.uid);
            access::check_ddl(ddl.db, &definition.name, own, kind, Some(uid), privilege::ALTER)?;
            users.replace(definition)?;
            ddl.on_rollback(move |db| restore(db, (*old).clone()));
        }
        (None, None) => {}
    }
    Ok(())
}

fn restore(db: &super::super::database::Database, definition: UserDefinition) {
    // There was room for it before.
    if let Err(error) = db.users().replace(definition) {
        tracing::error!("cannot restore a user after rollback: {error}");
    }
}

fn object_kind(definition: &UserDefinition) -> ObjectKind {
    if definition.is_role { ObjectKind::Role } else { ObjectKind::User }
}

fn has_data(ddl: &Ddl<'_>, uid: u32) -> bool {
    const OWNED: [(u32, u32); 5] =
        [(id::SPACE, 1), (id::FUNC, 1), (id::SEQUENCE, 1), (id::PRIV, 1), (id::PRIV, 0)];
    OWNED.iter().any(|(space, index)| has_rows(ddl.db, *space, *index, uid))
}

fn read(tuple: &Tuple) -> Result<UserDefinition> {
    let row = Row::new(tuple.data());
    let name = row.str(2)?;
    let refuse = |details: &str| client_error!(ER_CREATE_USER, cut_name(name), details);
    if is_name_too_long(name) {
        return Err(refuse("user name is too long"));
    }
    let (uid, owner) = (row.u32(0)?, row.u32(1)?);
    let is_role = match row.str(3)? {
        "role" => true,
        "user" => false,
        _ => return Err(refuse("unknown user type")),
    };
    check_identifier(name)?;
    let auth = row.get(4).unwrap_or(&[0x80]);
    let reader = Reader::new(auth);
    let is_empty = matches!(reader.clone().read_map_len(), Some(0))
        || matches!(reader.clone().read_array_len(), Some(0));
    if is_role && !is_empty {
        let details = "authentication data can not be set for a role";
        return Err(client_error!(ER_CREATE_ROLE, name, details));
    }
    if !matches!(reader.kind(), Some(Kind::Map | Kind::Array | Kind::Nil)) {
        return Err(refuse(
            "invalid password format, use box.schema.user.passwd() to reset password",
        ));
    }
    if let Some(kept) = Kept::read(auth)?
        && uid == GUEST
        && !kept.is_password(b"")
    {
        return Err(client_error!(ER_GUEST_USER_PASSWORD));
    }
    let last_modified = if row.len() > 6 { row.u64(6)? } else { 0 };
    let (name, auth) = (name.to_owned(), auth.to_vec());
    Ok(UserDefinition { uid, owner, name, is_role, auth, last_modified })
}
