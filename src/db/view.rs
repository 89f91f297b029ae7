//! The `_v*` views: the rows of system spaces that the user may know of.
//!
//! # Yields
//! never

use crate::tuple::Tuple;

use super::access::effective_user;
use super::database::Database;
use super::row::Row;
use super::system_space as id;
use super::user::{ADMIN, Object, ObjectKind, User, privilege};

/// Which rows of its source a view shows to a user.
#[derive(Clone, Copy)]
pub(crate) struct ViewFilter {
    view_id: u32,
    uid: u32,
}

/// The filter of this view for the user of this fiber.
pub(crate) fn filter(_db: &Database, view_id: u32) -> ViewFilter {
    ViewFilter { view_id, uid: effective_user() }
}

/// Rights that make an object visible.
const VISIBLE: u32 = privilege::READ
    | privilege::WRITE
    | privilege::EXECUTE
    | privilege::CREATE
    | privilege::DROP
    | privilege::ALTER
    | privilege::GRANT;

impl ViewFilter {
    /// Whether the view shows this row.
    pub fn shows(&self, db: &Database, tuple: &Tuple) -> bool {
        if self.uid == ADMIN {
            return true;
        }
        let Some(user) = db.users().get(self.uid) else { return false };
        self.shows_to(db, &user, &Row::new(tuple.data())).unwrap_or(false)
    }

    fn shows_to(&self, db: &Database, user: &User, row: &Row<'_>) -> crate::base::Result<bool> {
        let may = |kind: ObjectKind, object_id: u32| {
            let access = user.access(&Object::Entity(kind))
                | user.access(&Object::One(kind, object_id))
                | user.universal_access();
            access & VISIBLE & !privilege::EXECUTE != 0
                || (kind == ObjectKind::Function && access & privilege::EXECUTE != 0)
        };
        let shows_space = |space_id: u32| {
            let owned = db
                .schema()
                .space(space_id)
                .is_some_and(|space| space.definition().owner == self.uid || space.id() == 0);
            owned || may(ObjectKind::Space, space_id)
        };
        Ok(match self.view_id {
            id::VSPACE | id::VINDEX => shows_space(row.u32(0)?),
            id::VFUNC => row.u32(1)? == self.uid || may(ObjectKind::Function, row.u32(0)?),
            id::VSEQUENCE => row.u32(1)? == self.uid || may(ObjectKind::Sequence, row.u32(0)?),
            id::VSPACE_SEQUENCE => {
                shows_space(row.u32(0)?) && may(ObjectKind::Sequence, row.u32(1)?)
            }
            id::VUSER => {
                let uid = row.u32(0)?;
                let may_read = user.universal_access() & privilege::READ != 0;
                may_read || uid == self.uid || row.u32(1)? == self.uid || user.has_role(uid)
            }
            id::VPRIV => {
                let may_read = user.universal_access() & privilege::READ != 0;
                may_read || row.u32(0)? == self.uid || row.u32(1)? == self.uid
            }
            _ => true,
        })
    }
}
