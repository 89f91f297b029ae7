//! Users, roles and what they were granted.
//!
//! The registry mirrors `_user` and `_priv`. A user's effective access is the union of its own
//! grants and those of its roles, roles of roles included, and of what `public` has; it is
//! computed again for everybody when a grant changes, which is rare, so that a check is a look-up.
//!
//! # Yields
//! never

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crate::base::error::Result;
use crate::base::limits::USER_COUNT_MAX;
use crate::client_error;

use super::row::cut_name;

/// The user of connections that did not authenticate.
pub const GUEST: u32 = 0;
/// The user who may do everything.
pub const ADMIN: u32 = 1;
/// The role everybody has.
pub const PUBLIC: u32 = 2;
/// The role of replicas.
pub const REPLICATION: u32 = 3;
/// The role that may do everything.
pub const SUPER: u32 = 31;
/// The last id of the users made by bootstrap, `super` aside.
pub const SYSTEM_USER_ID_MAX: u32 = 31;

/// What the bits of an access mask allow.
pub mod privilege {
    /// Read data.
    pub const READ: u32 = 1;
    /// Change data.
    pub const WRITE: u32 = 2;
    /// Call a function, use a role.
    pub const EXECUTE: u32 = 4;
    /// Open a session.
    pub const SESSION: u32 = 8;
    /// Use anything at all.
    pub const USAGE: u32 = 16;
    /// Create objects.
    pub const CREATE: u32 = 32;
    /// Drop objects.
    pub const DROP: u32 = 64;
    /// Alter objects.
    pub const ALTER: u32 = 128;
    /// Grant on.
    pub const GRANT: u32 = 8192;
    /// Grant the right to grant.
    pub const METAGRANT: u32 = 16384;
    /// Everything.
    pub const ALL: u32 = u32::MAX;

    /// The name of the lowest bit, as error messages spell it.
    pub fn name(access: u32) -> &'static str {
        const NAMES: [&str; 15] = [
            "Read",
            "Write",
            "Execute",
            "Session",
            "Usage",
            "Create",
            "Drop",
            "Alter",
            "Reference",
            "Trigger",
            "Insert",
            "Update",
            "Delete",
            "Grant",
            "Metagrant",
        ];
        NAMES.get(access.trailing_zeros() as usize).copied().unwrap_or("Any")
    }
}

/// The kinds of objects that access is granted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Everything.
    Universe,
    /// A space.
    Space,
    /// A function.
    Function,
    /// A user.
    User,
    /// A role.
    Role,
    /// A sequence.
    Sequence,
    /// A collation.
    Collation,
    /// Global Lua functions called by name.
    LuaCall,
    /// Lua expressions.
    LuaEval,
    /// SQL statements.
    Sql,
}

impl ObjectKind {
    /// The word in `_priv` and in messages.
    pub fn name(self) -> &'static str {
        match self {
            ObjectKind::Universe => "universe",
            ObjectKind::Space => "space",
            ObjectKind::Function => "function",
            ObjectKind::User => "user",
            ObjectKind::Role => "role",
            ObjectKind::Sequence => "sequence",
            ObjectKind::Collation => "collation",
            ObjectKind::LuaCall => "lua_call",
            ObjectKind::LuaEval => "lua_eval",
            ObjectKind::Sql => "sql",
        }
    }

    /// The kind with this name in `_priv`.
    pub fn by_name(name: &str) -> Option<ObjectKind> {
        use ObjectKind::*;
        [Universe, Space, Function, User, Role, Sequence, Collation, LuaCall, LuaEval, Sql]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// What a grant is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// All objects of the kind.
    Entity(ObjectKind),
    /// One object by id.
    One(ObjectKind, u32),
    /// One Lua function by name.
    LuaFunction(String),
}

/// The definition of a user or a role.
#[derive(Clone, Debug)]
pub struct UserDefinition {
    /// User id.
    pub uid: u32,
    /// Who made it.
    pub owner: u32,
    /// Name.
    pub name: String,
    /// Whether it is a role.
    pub is_role: bool,
    /// The `auth` field of its row: a map of method to data.
    pub auth: Vec<u8>,
    /// When the password was changed, seconds since the epoch.
    pub last_modified: u64,
}

/// A user or a role with its grants.
pub struct User {
    /// The definition.
    pub definition: RefCell<Rc<UserDefinition>>,
    granted: RefCell<BTreeMap<Object, u32>>,
    roles: RefCell<BTreeSet<u32>>,
    effective: RefCell<HashMap<Object, u32, ahash::RandomState>>,
    universal: Cell<u32>,
}

impl User {
    fn new(definition: UserDefinition) -> User {
        User {
            definition: RefCell::new(Rc::new(definition)),
            granted: RefCell::default(),
            roles: RefCell::default(),
            effective: RefCell::default(),
            universal: Cell::new(0),
        }
    }

    /// The definition.
    pub fn definition(&self) -> Rc<UserDefinition> {
        self.definition.borrow().clone()
    }

    /// Name.
    pub fn name(&self) -> String {
        self.definition.borrow().name.clone()
    }

    /// Access to everything.
    pub fn universal_access(&self) -> u32 {
        self.universal.get()
    }

    /// Access to this object, entity and universal access aside.
    pub fn access(&self, object: &Object) -> u32 {
        self.effective.borrow().get(object).copied().unwrap_or(0)
    }
}

/// All users and roles.
#[derive(Default)]
pub struct Users {
    by_id: RefCell<BTreeMap<u32, Rc<User>>>,
    /// How often rights have changed.
    version: Cell<u64>,
}

impl Users {
    /// Grows whenever somebody's rights may have changed.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.get()
    }

    /// The user or role with this id.
    pub fn get(&self, uid: u32) -> Option<Rc<User>> {
        self.by_id.borrow().get(&uid).cloned()
    }

    /// The user or role with this id, or `ER_NO_SUCH_USER`.
    pub fn find(&self, uid: u32) -> Result<Rc<User>> {
        self.get(uid).ok_or_else(|| client_error!(ER_NO_SUCH_USER, uid.to_string()))
    }

    /// The user or role with this name.
    pub fn find_by_name(&self, name: &str) -> Result<Rc<User>> {
        let by_id = self.by_id.borrow();
        by_id
            .values()
            .find(|user| user.definition.borrow().name == name)
            .cloned()
            .ok_or_else(|| client_error!(ER_NO_SUCH_USER, cut_name(name)))
    }

    /// Adds a user or changes its definition.
    pub(crate) fn replace(&self, definition: UserDefinition) -> Result<()> {
        let uid = definition.uid;
        if let Some(user) = self.get(uid) {
            *user.definition.borrow_mut() = Rc::new(definition);
            return Ok(());
        }
        if self.by_id.borrow().len() >= USER_COUNT_MAX as usize {
            return Err(client_error!(ER_USER_MAX, USER_COUNT_MAX));
        }
        self.by_id.borrow_mut().insert(uid, Rc::new(User::new(definition)));
        self.recompute();
        Ok(())
    }

    /// Takes a user away.
    pub(crate) fn remove(&self, uid: u32) -> Option<Rc<User>> {
        let removed = self.by_id.borrow_mut().remove(&uid);
        self.recompute();
        removed
    }

    /// Sets what a user may do with an object; 0 takes it back. Returns what it was.
    pub(crate) fn grant(&self, grantee: u32, object: Object, access: u32) -> u32 {
        let Some(user) = self.get(grantee) else { return 0 };
        if let Object::One(ObjectKind::Role, role) = object {
            if access & privilege::EXECUTE != 0 {
                user.roles.borrow_mut().insert(role);
            } else {
                user.roles.borrow_mut().remove(&role);
            }
        }
        let old = if access == 0 {
            user.granted.borrow_mut().remove(&object)
        } else {
            user.granted.borrow_mut().insert(object, access)
        };
        self.recompute();
        old.unwrap_or(0)
    }

    /// Refuses a role grant that would make a role contain itself.
    pub(crate) fn check_role_loop(&self, grantee: &User, role: &User) -> Result<()> {
        let (grantee, role) = (grantee.definition(), role.definition());
        if self.closure(role.uid).contains(&grantee.uid) {
            return Err(client_error!(ER_ROLE_LOOP, role.name, grantee.name));
        }
        Ok(())
    }

    /// Whether a user was granted this role, directly or through another role.
    pub fn has_role(&self, user: &User, role: u32) -> bool {
        self.closure(user.definition().uid).contains(&role)
    }

    /// The user and every role it has, directly or through another role.
    fn closure(&self, uid: u32) -> BTreeSet<u32> {
        let by_id = self.by_id.borrow();
        let mut seen = BTreeSet::new();
        let mut pending = vec![uid];
        while let Some(next) = pending.pop() {
            if !seen.insert(next) {
                continue;
            }
            if let Some(user) = by_id.get(&next) {
                pending.extend(user.roles.borrow().iter());
            }
        }
        seen
    }

    fn recompute(&self) {
        self.version.set(self.version.get() + 1);
        let users: Vec<(u32, Rc<User>)> =
            self.by_id.borrow().iter().map(|(uid, user)| (*uid, user.clone())).collect();
        for (uid, user) in &users {
            let mut effective = HashMap::with_hasher(ahash::RandomState::default());
            let mut universal = 0;
            for member in self.closure(*uid) {
                let Some(member) = self.get(member) else { continue };
                for (object, access) in member.granted.borrow().iter() {
                    if matches!(
                        object,
                        Object::Entity(ObjectKind::Universe) | Object::One(ObjectKind::Universe, _)
                    ) {
                        universal |= access;
                    }
                    *effective.entry(object.clone()).or_insert(0) |= access;
                }
            }
            *user.effective.borrow_mut() = effective;
            user.universal.set(universal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u32, name: &str, is_role: bool) -> UserDefinition {
        let name = name.to_owned();
        UserDefinition { uid, owner: ADMIN, name, is_role, auth: Vec::new(), last_modified: 0 }
    }

    #[test]
    fn access_comes_through_roles_of_roles_and_goes_with_them() {
        let users = Users::default();
        users.replace(user(40, "alice", false)).unwrap();
        users.replace(user(41, "reader", true)).unwrap();
        users.replace(user(42, "staff", true)).unwrap();
        let space = Object::One(ObjectKind::Space, 512);
        users.grant(41, space.clone(), privilege::READ);
        users.grant(42, Object::One(ObjectKind::Role, 41), privilege::EXECUTE);
        users.grant(40, Object::One(ObjectKind::Role, 42), privilege::EXECUTE);
        let alice = users.get(40).unwrap();
        assert_eq!(alice.access(&space), privilege::READ);
        let loop_error = users.check_role_loop(&users.get(41).unwrap(), &users.get(42).unwrap());
        assert_eq!(
            loop_error.unwrap_err().message(),
            "Granting role 'staff' to role 'reader' would create a loop"
        );
        users.grant(42, Object::One(ObjectKind::Role, 41), 0);
        assert_eq!(alice.access(&space), 0);
    }
}
