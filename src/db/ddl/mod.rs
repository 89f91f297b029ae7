//! DDL: what changes of system spaces do to the schema (decision D8).
//!
//! Each handler runs after the row has changed and inside its statement: it checks the change,
//! makes the schema follow, and leaves behind what is to be done when the transaction commits or
//! is rolled back. An error of a handler takes the row back too.
//!
//! # Yields
//! while a large space is altered, see `background`
//!
//! # Not here
//! Building the next version of a space: `alter`.

mod alter;
mod background;
mod cluster;
mod collation;
mod disk;
mod function;
mod index;
mod privilege;
mod schema;
mod sequence;
mod space;
mod truncate;
mod user;

pub(super) use alter::fill;

use std::rc::Rc;

use crate::base::error::Result;
use crate::tuple::Tuple;

use super::database::{Database, Phase};
use super::system_space as id;
use super::transaction::{Effect, Transaction};

/// Makes the schema follow a change of a system space.
pub(crate) type DdlHandler = fn(&Ddl<'_>) -> Result<()>;

/// The handler of a system space.
pub(crate) fn handler_of(space_id: u32) -> Option<DdlHandler> {
    Some(match space_id {
        id::SCHEMA => schema::on_replace,
        id::COLLATION => collation::on_replace,
        id::SPACE => space::on_replace,
        id::INDEX => index::on_replace,
        id::TRUNCATE => truncate::on_replace,
        id::USER => user::on_replace,
        id::PRIV => privilege::on_replace,
        id::FUNC => function::on_replace,
        id::SEQUENCE => sequence::on_replace,
        id::SEQUENCE_DATA => sequence::on_replace_data,
        id::SPACE_SEQUENCE => sequence::on_replace_space_sequence,
        id::CLUSTER => cluster::on_replace,
        id::TRIGGER | id::FK_CONSTRAINT | id::CK_CONSTRAINT | id::FUNC_INDEX => refuse_new,
        _ => return None,
    })
}

/// A change of a system space's row, as a handler sees it.
pub(crate) struct Ddl<'a> {
    pub db: &'a Database,
    pub transaction: &'a Rc<Transaction>,
    statement: usize,
    /// The row that went.
    pub old: Option<Tuple>,
    /// The row that came.
    pub new: Option<Tuple>,
}

impl<'a> Ddl<'a> {
    pub fn new(
        db: &'a Database,
        transaction: &'a Rc<Transaction>,
        statement: usize,
        old: Option<Tuple>,
        new: Option<Tuple>,
    ) -> Ddl<'a> {
        Ddl { db, transaction, statement, old, new }
    }

    /// The row that came, or else the one that went.
    pub fn any(&self) -> &Tuple {
        self.new.as_ref().or(self.old.as_ref()).expect("a change has a row on one side")
    }

    /// Does this when the transaction has committed.
    pub fn on_commit(&self, effect: impl FnOnce(&Database) + 'static) {
        let effect: Effect = Box::new(effect);
        self.transaction.with_statement(self.statement, |statement| {
            statement.effects.get_or_insert_default().on_commit.push(effect);
        });
    }

    /// Does this when the statement is taken back.
    pub fn on_rollback(&self, effect: impl FnOnce(&Database) + 'static) {
        let effect: Effect = Box::new(effect);
        self.transaction.with_statement(self.statement, |statement| {
            statement.effects.get_or_insert_default().on_rollback.push(effect);
        });
    }

    /// Keeps the row out of the log: it is about a temporary space.
    pub fn mark_temporary(&self) {
        self.transaction.with_statement(self.statement, |statement| statement.row = 0..0);
    }

    /// Keeps the row on this instance.
    pub fn mark_local(&self) {
        self.transaction.with_statement(self.statement, |statement| statement.is_local = true);
    }

    /// Whether rows come from a snapshot.
    pub fn is_loading_snapshot(&self) -> bool {
        self.db.phase() == Phase::InitialRecovery
    }

    /// Whether checks that protect the system spaces are off: bootstrap and recovery.
    pub fn is_unchecked(&self) -> bool {
        self.db.phase() != Phase::Running
    }
}

/// Features that are not built yet: old data directories may be loaded, new objects not made.
fn refuse_new(ddl: &Ddl<'_>) -> Result<()> {
    if ddl.is_unchecked() || ddl.new.is_none() {
        return Ok(());
    }
    Err(crate::client_error!(ER_UNSUPPORTED, "Lycosa", "this kind of schema object yet"))
}

/// Whether an index of a system space has a row with this number as its first part.
pub(super) fn has_rows(db: &Database, space_id: u32, index_id: u32, value: u32) -> bool {
    let mut key = Vec::with_capacity(5);
    crate::value::mp::write_uint(&mut key, u64::from(value));
    has_key(db, space_id, index_id, &key, 1)
}

/// Whether an index of a system space has a row with this key prefix.
pub(super) fn has_key(
    db: &Database,
    space_id: u32,
    index_id: u32,
    key: &[u8],
    part_count: usize,
) -> bool {
    let Some(space) = db.schema().space(space_id) else { return false };
    let Some(index) = space.index(index_id) else { return false };
    space.has(index, key, part_count).unwrap_or(false)
}

/// Whether something was granted on this object.
pub(super) fn has_grants(db: &Database, object_type: &str, object_id: u32) -> bool {
    let mut key = Vec::new();
    crate::value::mp::write_str(&mut key, object_type.as_bytes());
    crate::value::mp::write_uint(&mut key, u64::from(object_id));
    has_key(db, id::PRIV, 2, &key, 2)
}
