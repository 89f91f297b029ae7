//! Access checks: who may do what.
//!
//! A check of a user who is not the administrator costs a few look-ups, so what was found to be
//! allowed is remembered for the spaces used last, until a grant or the schema changes.
//!
//! # Yields
//! never

use std::cell::Cell;

use crate::base::error::{Builder, Error, Result, Type, Value};
use crate::base::error_code::ER_ACCESS_DENIED;

use super::context;
use super::database::Database;
use super::function::FunctionDefinition;
use super::space::Space;
use super::user::{ADMIN, Object, ObjectKind, User, privilege};

/// The user on whose behalf this fiber acts.
pub fn effective_user() -> u32 {
    context::current().user.get()
}

/// Acts on behalf of another user from now on; returns who it was.
pub fn set_effective_user(uid: u32) -> u32 {
    context::current().user.replace(uid)
}

/// Does something on behalf of the administrator.
pub fn as_admin<T>(work: impl FnOnce() -> T) -> T {
    let user = set_effective_user(ADMIN);
    let result = work();
    set_effective_user(user);
    result
}

/// `AccessDeniedError` in Tarantool's wording. The host is told, whose triggers may yield.
pub fn denied(access: &str, object_type: &str, object_name: &str, user: &str) -> Error {
    if let Some(db) = Database::find() {
        db.host().access_denied(access, object_type, object_name);
    }
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

/// What was found to be allowed: who did what with which space.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Allowed {
    uid: u32,
    space_id: u32,
    access: u32,
}

/// How many answers are remembered.
const ALLOWED_COUNT: usize = 16;

struct Memory {
    /// Versions of the grants and of the schema that the answers hold for.
    versions: Cell<(u64, u64)>,
    allowed: [Cell<Option<Allowed>>; ALLOWED_COUNT],
}

thread_local! {
    static MEMORY: Memory = const {
        Memory {
            versions: Cell::new((0, 0)),
            allowed: [const { Cell::new(None) }; ALLOWED_COUNT],
        }
    };
}

/// Whether this is known to be allowed; false: it has to be checked.
#[inline]
fn is_remembered(db: &Database, question: Allowed) -> bool {
    MEMORY.with(|memory| {
        let place = (question.space_id + question.access) as usize % ALLOWED_COUNT;
        memory.versions.get() == (db.users().version(), db.schema().version())
            && memory.allowed[place].get() == Some(question)
    })
}

fn remember(db: &Database, answer: Allowed) {
    MEMORY.with(|memory| {
        let versions = (db.users().version(), db.schema().version());
        if memory.versions.replace(versions) != versions {
            memory.allowed.iter().for_each(|place| place.set(None));
        }
        let place = (answer.space_id + answer.access) as usize % ALLOWED_COUNT;
        memory.allowed[place].set(Some(answer));
    });
}

/// Whether the user is known to be allowed to read the space; false: a check has to tell. For
/// code that must not run the triggers of a refusal.
#[inline]
pub fn may_read(db: &Database, space_id: u32) -> bool {
    is_known(db, space_id, privilege::READ)
}

/// As [`may_read`], to write.
#[inline]
pub(crate) fn may_write(db: &Database, space_id: u32) -> bool {
    is_known(db, space_id, privilege::WRITE)
}

#[inline]
fn is_known(db: &Database, space_id: u32, access: u32) -> bool {
    let uid = effective_user();
    uid == ADMIN || is_remembered(db, Allowed { uid, space_id, access })
}

/// Whether the user may do this with the space's data.
#[inline]
pub fn check_space(db: &Database, space: &Space, access: u32) -> Result<()> {
    let uid = effective_user();
    if uid == ADMIN {
        return Ok(());
    }
    let question = Allowed { uid, space_id: space.id(), access };
    if is_remembered(db, question) {
        return Ok(());
    }
    check_space_slow(db, space, access, uid)?;
    remember(db, question);
    Ok(())
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

const EXECUTE: u32 = privilege::EXECUTE | privilege::USAGE;

/// Whether the user may execute a function of `_func`. One without a body is the global of that
/// name, which may have come with the program.
pub fn check_function(
    db: &Database,
    function: &FunctionDefinition,
    is_builtin: impl FnOnce() -> bool,
) -> Result<()> {
    let uid = effective_user();
    if uid == ADMIN {
        return Ok(());
    }
    let user = db.users().find(uid)?;
    let kind = ObjectKind::Function;
    let missing = EXECUTE & !user.universal_access() & !user.access(&Object::Entity(kind));
    if missing & privilege::USAGE == 0 {
        let own = user.access(&Object::One(kind, function.id));
        if function.owner == uid || missing & !own == 0 {
            return Ok(());
        }
    }
    if function.language == "LUA" && function.body.is_empty() {
        return check_lua_call(db, &function.name, is_builtin);
    }
    Err(denied(privilege::name(privilege::EXECUTE), kind.name(), &function.name, &user.name()))
}

/// Whether the user may call the global Lua function of this name. The right to call all does
/// not include those that came with the program.
pub fn check_lua_call(db: &Database, name: &str, is_builtin: impl FnOnce() -> bool) -> Result<()> {
    let uid = effective_user();
    if uid == ADMIN {
        return Ok(());
    }
    let user = db.users().find(uid)?;
    let universal = EXECUTE & !user.universal_access();
    if universal == 0 {
        return Ok(());
    }
    let missing = universal & !singleton_access(&user, ObjectKind::LuaCall);
    let own = user.access(&Object::LuaFunction(name.to_owned()));
    if (missing == 0 && !is_builtin())
        || (missing & privilege::USAGE == 0 && own & privilege::EXECUTE != 0)
    {
        return Ok(());
    }
    let kind = ObjectKind::Function;
    Err(denied(privilege::name(privilege::EXECUTE), kind.name(), name, &user.name()))
}

/// Whether the user may evaluate Lua expressions.
pub fn check_lua_eval(db: &Database) -> Result<()> {
    check_singleton(db, ObjectKind::LuaEval)
}

/// Whether the user may execute SQL statements.
pub fn check_sql(db: &Database) -> Result<()> {
    check_singleton(db, ObjectKind::Sql)
}

fn singleton_access(user: &User, kind: ObjectKind) -> u32 {
    user.access(&Object::Entity(kind)) | user.access(&Object::One(kind, 0))
}

fn check_singleton(db: &Database, kind: ObjectKind) -> Result<()> {
    let uid = effective_user();
    if uid == ADMIN {
        return Ok(());
    }
    let user = db.users().find(uid)?;
    if EXECUTE & !user.universal_access() & !singleton_access(&user, kind) == 0 {
        return Ok(());
    }
    let access = privilege::name(privilege::EXECUTE);
    // Of expressions Tarantool speaks as of the universe.
    let shown = if kind == ObjectKind::LuaEval { ObjectKind::Universe } else { kind };
    Err(denied(access, shown.name(), "", &user.name()))
}
