//! The `_v*` views: the rows of system spaces that the user may know of.
//!
//! # Yields
//! never

use crate::tuple::Tuple;

use super::access::effective_user;
use super::database::Database;
use super::row::Row;
use super::system_space as id;
use super::user::{ADMIN, Object, ObjectKind, PUBLIC, User, privilege};

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
const VISIBLE: u32 = privilege::READ | privilege::WRITE | privilege::DROP | privilege::ALTER;

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
        // Who may read the source of a view sees all of it.
        let reads =
            |source| user.access(&Object::One(ObjectKind::Space, source)) & privilege::READ != 0;
        let universal = user.universal_access();
        let may = |kind: ObjectKind, object_id: u32, visible: u32| {
            let own =
                user.access(&Object::Entity(kind)) | user.access(&Object::One(kind, object_id));
            universal & (visible | privilege::GRANT) | (own & visible) != 0
        };
        let shows_space = |space_id: u32| {
            let space = db.schema().space(space_id);
            space.is_some_and(|space| space.definition().owner == self.uid)
                || may(ObjectKind::Space, space_id, VISIBLE)
        };
        // What can be executed is visible to those who may.
        let shows_object = |kind, owner: u32, object_id| {
            owner == self.uid || may(kind, object_id, VISIBLE | privilege::EXECUTE)
        };
        Ok(match self.view_id {
            id::VSPACE => reads(id::SPACE) || shows_space(row.u32(0)?),
            id::VINDEX => reads(id::INDEX) || shows_space(row.u32(0)?),
            id::VSPACE_SEQUENCE => reads(id::SPACE_SEQUENCE) || shows_space(row.u32(0)?),
            id::VFUNC => {
                reads(id::FUNC) || shows_object(ObjectKind::Function, row.u32(1)?, row.u32(0)?)
            }
            id::VSEQUENCE => {
                reads(id::SEQUENCE) || shows_object(ObjectKind::Sequence, row.u32(1)?, row.u32(0)?)
            }
            id::VUSER => {
                let uid = row.u32(0)?;
                let (own, is_role) = (row.u32(1)? == self.uid, row.str(3)? == "role");
                let kind = if is_role { ObjectKind::Role } else { ObjectKind::User };
                reads(id::USER)
                    || own
                    || uid == self.uid
                    || uid == PUBLIC
                    || universal & (VISIBLE | privilege::GRANT) != 0
                    || user.access(&Object::Entity(kind)) & VISIBLE != 0
                    || (is_role && db.users().has_role(user, uid))
            }
            id::VPRIV => {
                reads(id::PRIV)
                    || universal & VISIBLE != 0
                    || row.u32(0)? == self.uid
                    || row.u32(1)? == self.uid
            }
            _ => true,
        })
    }
}
