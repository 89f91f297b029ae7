//! Changes of data: insert, replace, update, upsert, delete.
//!
//! A statement is planned (which tuple goes, which comes), shown to `before_replace` triggers,
//! applied to the indexes, noted in the transaction with its log row, and then shown to the DDL
//! handler of a system space and to `on_replace` triggers. An error at any point takes back
//! everything the statement and its triggers did.
//!
//! # Yields
//! as the triggers do; an autocommitted statement waits for the log

use std::rc::Rc;

use crate::base::error::Result;
use crate::client_error;
use crate::tuple::{Tuple, update};
use crate::value::mp::text;
use crate::xrow::Request;
use crate::xrow::iproto::kind;

use super::database::Database;
use super::ddl::Ddl;
use super::index::{Index, Mode};
use super::space::Space;
use super::space_definition::Engine;
use super::statistics::Operation;
use super::transaction::{Statement, Transaction};
use super::trigger::{Decision, ReplaceEvent};
use super::user::privilege;
use super::{access, context};

/// A change that has not been made yet.
struct Change<'r> {
    /// The tuple that goes, as far as known.
    old: Option<Tuple>,
    new: Option<Tuple>,
    mode: Mode,
    /// What is logged.
    log: Request<'r>,
    /// A trigger decided otherwise than the request: the outcome is logged in its place.
    is_rewritten: bool,
}

impl Database {
    /// Inserts a tuple (a MessagePack array); a duplicate is an error. Returns what came, which a
    /// trigger may have changed or cancelled.
    pub fn insert(&self, space_id: u32, tuple: &[u8]) -> Result<Option<Tuple>> {
        let request = Request { tuple: Some(tuple), ..Request::new(kind::INSERT, space_id) };
        self.execute(&request)
    }

    /// Inserts a tuple or replaces the one with the same primary key.
    pub fn replace(&self, space_id: u32, tuple: &[u8]) -> Result<Option<Tuple>> {
        let request = Request { tuple: Some(tuple), ..Request::new(kind::REPLACE, space_id) };
        self.execute(&request)
    }

    /// [`Database::replace`] where that neither waits for the log nor runs the application's code;
    /// `None` where it would, or where it fails. Then nothing has changed.
    pub fn replace_at_once(&self, space_id: u32, tuple: &[u8]) -> Option<Tuple> {
        if !self.may_write_at_once(space_id) {
            return None;
        }
        self.replace(space_id, tuple).ok().flatten()
    }

    /// [`Database::upsert`] likewise; false where it would wait or run code, or where it fails.
    pub fn upsert_at_once(
        &self,
        space_id: u32,
        tuple: &[u8],
        operations: &[u8],
        index_base: u32,
    ) -> bool {
        self.may_write_at_once(space_id)
            && self.upsert(space_id, tuple, operations, index_base).is_ok()
    }

    /// Whether a change of the space neither waits for the log nor runs the application's code.
    fn may_write_at_once(&self, space_id: u32) -> bool {
        let context = context::current();
        let waits = !context.batch.is_open() && self.is_logging();
        if context.transaction().is_none() && (waits || !self.has_room()) {
            return false;
        }
        // A refusal runs triggers, which this must not.
        self.schema().space(space_id).is_some_and(|space| {
            access::may_write(self, space_id)
                && !space.may_run_functions()
                && space.definition().engine != Engine::Vinyl
        })
    }

    /// Deletes the tuple with this key (a MessagePack array) in a unique index; returns it.
    pub fn delete(&self, space_id: u32, index_id: u32, key: &[u8]) -> Result<Option<Tuple>> {
        let request = Request { index_id, key: Some(key), ..Request::new(kind::DELETE, space_id) };
        self.execute(&request)
    }

    /// Updates the tuple with this key in a unique index; returns the new one. `index_base` is
    /// the number that operations give the first field: 1 from Lua.
    pub fn update(
        &self,
        space_id: u32,
        index_id: u32,
        key: &[u8],
        operations: &[u8],
        index_base: u32,
    ) -> Result<Option<Tuple>> {
        let request = Request {
            index_id,
            index_base,
            key: Some(key),
            tuple: Some(operations),
            ..Request::new(kind::UPDATE, space_id)
        };
        self.execute(&request)
    }

    /// Updates the tuple with the same primary key, or inserts this one if there is none.
    pub fn upsert(
        &self,
        space_id: u32,
        tuple: &[u8],
        operations: &[u8],
        index_base: u32,
    ) -> Result<()> {
        let request = Request {
            index_base,
            tuple: Some(tuple),
            ops: Some(operations),
            ..Request::new(kind::UPSERT, space_id)
        };
        self.execute(&request).map(drop)
    }

    /// Executes a request that changes data, in the fiber's transaction or one of its own.
    pub fn execute(&self, request: &Request<'_>) -> Result<Option<Tuple>> {
        let context = context::current();
        let current = context.transaction();
        let autocommit = current.is_none();
        if autocommit {
            // Before the space is looked up: this may yield, and DDL may come in between.
            self.wait_for_room();
        }
        let space = self.schema().find(request.space_id)?;
        self.check_may_write(&space)?;
        access::check_space(self, &space, privilege::WRITE)?;
        self.statistics().count(operation_of(request.kind));
        let transaction = match current {
            Some(transaction) => transaction,
            None => {
                let transaction = self.new_transaction();
                // Triggers and DDL handlers look for the transaction they run in.
                context.set_transaction(Some(transaction.clone()));
                transaction
            }
        };
        let result = self.run_statement(&transaction, &space, request);
        if autocommit {
            context.set_transaction(None);
            match &result {
                Ok(_) => self.commit_autocommitted(&context, transaction)?,
                Err(_) => self.forget_transaction(transaction),
            }
        }
        result
    }

    pub(crate) fn run_statement(
        &self,
        transaction: &Rc<Transaction>,
        space: &Rc<Space>,
        request: &Request<'_>,
    ) -> Result<Option<Tuple>> {
        transaction.check(self)?;
        let start = transaction.enter()?;
        let result = self.run_entered(transaction, space, request);
        transaction.leave();
        if result.is_err() {
            transaction.rollback_to(self, start);
        }
        // A yield in a trigger has taken back the changes already.
        result.and_then(|tuple| transaction.check(self).map(|()| tuple))
    }

    fn run_entered(
        &self,
        transaction: &Rc<Transaction>,
        space: &Rc<Space>,
        request: &Request<'_>,
    ) -> Result<Option<Tuple>> {
        match space.definition().engine {
            Engine::Memtx | Engine::Vinyl => {}
            Engine::Sysview => return Err(client_error!(ER_VIEW_IS_RO, space.name())),
            Engine::Service => return self.session_settings_write(space, request),
            Engine::Blackhole => return self.run_blackhole(transaction, space, request),
        }
        transaction.join(self, space.definition().engine)?;
        if let Some(vinyl) = transaction.vinyl() {
            vinyl.begin_write()?;
        }
        // The filled tuple must outlive the plan that refers to its bytes.
        let filled = self.fill_fields(space, request)?;
        let filled_request = match &filled {
            Some(bytes) => Request { tuple: Some(bytes), ..*request },
            None => *request,
        };
        let Some(mut change) = self.plan(space, &filled_request)? else { return Ok(None) };
        if !space.triggers().before_replace.is_empty()
            && !self.run_before_replace(space, &mut change)?
        {
            return Ok(change.old);
        }
        if let Some(new) = &change.new {
            self.check_constraints(space, new)?;
        }
        if self.schema().has_foreign_keys() {
            self.keep_referenced(space, &change)?;
        }
        // What yielded has aborted the transaction, and the space may be another now.
        transaction.check(self)?;
        self.apply(transaction, space, change)
    }

    /// Refuses a change that takes away a tuple that a foreign key refers to.
    fn keep_referenced(&self, space: &Space, change: &Change<'_>) -> Result<()> {
        let old = match (&change.old, &change.new) {
            (None, Some(new)) => space.get_same(new)?,
            (known, _) => known.clone(),
        };
        match old {
            Some(old) => self.check_references(space, &old, change.new.as_ref()),
            None => Ok(()),
        }
    }

    /// Makes a change that has happened before, outside of a transaction: without triggers and
    /// without logging it. Returns what went and what came.
    pub(crate) fn change_directly(
        &self,
        space: &Space,
        request: &Request<'_>,
    ) -> Result<Option<(Option<Tuple>, Option<Tuple>)>> {
        self.statistics().count(operation_of(request.kind));
        let filled = self.fill_fields(space, request)?;
        let request = Request { tuple: filled.as_deref().or(request.tuple), ..*request };
        let Some(Change { old, new, mode, .. }) = self.plan(space, &request)? else {
            return Ok(None);
        };
        let old = space.change(old, new.as_ref(), mode)?;
        Ok(Some((old, new)))
    }

    /// Makes a planned change.
    fn apply(
        &self,
        transaction: &Rc<Transaction>,
        space: &Rc<Space>,
        change: Change<'_>,
    ) -> Result<Option<Tuple>> {
        let Change { old, new, mode, log, is_rewritten } = change;
        let definition = space.definition();
        let mark = transaction.vinyl().map_or(0, |vinyl| vinyl.mark());
        let old = match (definition.engine, log.key) {
            (Engine::Vinyl, None) if old.is_none() && new.is_none() => {
                let (tuple, ops) = (log.tuple.unwrap_or_default(), log.ops.unwrap_or_default());
                space.upsert_blindly(transaction, tuple, ops, log.index_base)?;
                None
            }
            (Engine::Vinyl, Some(key)) if old.is_none() && new.is_none() => {
                space.delete_blindly(transaction, key)?;
                None
            }
            (Engine::Vinyl, _) => space.change_on_disk(transaction, old, new.as_ref(), mode)?,
            _ => space.change(old, new.as_ref(), mode)?,
        };
        let statement = Statement {
            space: space.clone(),
            kind: log.kind,
            old: old.clone(),
            new: new.clone(),
            mark,
            row: 0..0,
            is_local: definition.is_local(),
            effects: None,
        };
        let index = transaction.push(statement);
        if !definition.is_data_temporary() {
            if is_rewritten {
                write_outcome(transaction, index, space, old.as_ref(), new.as_ref());
            } else {
                write_request(transaction, index, space, &log, old.as_ref());
            }
        }
        if let Some(handler) = space.ddl() {
            let ddl = Ddl::new(self, transaction, index, old.clone(), new.clone());
            handler(&ddl)?;
        }
        if !space.triggers().on_replace.is_empty() {
            let event =
                ReplaceEvent { space, old: old.as_ref(), new: new.as_ref(), kind: log.kind };
            for (_, trigger) in space.triggers().on_replace.list() {
                trigger.run(&event)?;
                transaction.check(self)?;
            }
        }
        Ok(match log.kind {
            kind::UPSERT => None,
            // It is not always known, so it never is.
            kind::DELETE if definition.engine == Engine::Vinyl => None,
            kind::DELETE => old,
            _ => new,
        })
    }

    /// Logs a row of a space that keeps nothing.
    fn run_blackhole(
        &self,
        transaction: &Transaction,
        space: &Rc<Space>,
        request: &Request<'_>,
    ) -> Result<Option<Tuple>> {
        if !matches!(request.kind, kind::INSERT | kind::REPLACE) {
            let operation = operation_of(request.kind).method();
            return Err(client_error!(ER_UNSUPPORTED, "Blackhole", operation));
        }
        let new = new_tuple(space, request)?;
        let index = transaction.push(Statement {
            space: space.clone(),
            kind: request.kind,
            old: None,
            new: None,
            mark: 0,
            row: 0..0,
            is_local: space.definition().is_local(),
            effects: None,
        });
        transaction.write_row(index, request);
        Ok(Some(new))
    }

    /// What the request changes; `None` when there is nothing to change.
    fn plan<'r>(&self, space: &Space, request: &Request<'r>) -> Result<Option<Change<'r>>> {
        let log = *request;
        match request.kind {
            kind::INSERT | kind::REPLACE => {
                let new = new_tuple(space, request)?;
                let mode =
                    if request.kind == kind::INSERT { Mode::Insert } else { Mode::ReplaceOrInsert };
                Ok(Some(Change { old: None, new: Some(new), mode, log, is_rewritten: false }))
            }
            kind::DELETE => {
                let is_on_disk = space.definition().engine == Engine::Vinyl;
                if is_on_disk && request.index_id == 0 && !space.must_read_deleted() {
                    check_request_key(space, request)?;
                    let mode = Mode::Replace;
                    let change = Change { old: None, new: None, mode, log, is_rewritten: false };
                    return Ok(Some(change));
                }
                let old = find_by_request(space, request)?;
                Ok(old.map(|old| Change {
                    old: Some(old),
                    new: None,
                    mode: Mode::Replace,
                    log,
                    is_rewritten: false,
                }))
            }
            kind::UPDATE => {
                let Some(old) = find_by_request(space, request)? else { return Ok(None) };
                let new = updated(space, &old, request)?;
                Ok(Some(Change {
                    old: Some(old),
                    new: Some(new),
                    mode: Mode::Replace,
                    log,
                    is_rewritten: false,
                }))
            }
            kind::UPSERT => plan_upsert(space, request, log),
            _ => Err(client_error!(ER_UNKNOWN_REQUEST_TYPE, u32::from(request.kind))),
        }
    }

    /// Shows the change to the triggers. False: they cancelled it.
    fn run_before_replace(&self, space: &Rc<Space>, change: &mut Change<'_>) -> Result<bool> {
        let old = match (&change.old, &change.new) {
            (None, Some(new)) => space.get_same(new)?,
            (known, _) => known.clone(),
        };
        let mut new = change.new.clone();
        let mut is_changed = false;
        for (_, trigger) in space.triggers().before_replace.list() {
            let (old, new_now) = (old.as_ref(), new.as_ref());
            let event = ReplaceEvent { space, old, new: new_now, kind: change.log.kind };
            if let Decision::Put(decided) = trigger.run(&event)? {
                new = decided;
                is_changed = true;
            }
        }
        if !is_changed {
            return Ok(true);
        }
        change.old = old;
        self.adopt_decision(space, change, new)
    }

    fn adopt_decision(
        &self,
        space: &Space,
        change: &mut Change<'_>,
        new: Option<Tuple>,
    ) -> Result<bool> {
        let is_same = match (&change.old, &new) {
            (Some(old), Some(new)) => old.as_ptr() == new.as_ptr(),
            (None, None) => true,
            _ => false,
        };
        if is_same {
            return Ok(false);
        }
        let primary = space.find_index(0)?;
        // The trigger made the tuple with a format of its own.
        let new = new.map(|new| Tuple::new(space.format(), new.data())).transpose()?;
        let reference = change.old.as_ref().or(change.new.as_ref());
        if let (Some(reference), Some(new)) = (reference, &new)
            && primary.definition().key_def.compare(reference, new).is_ne()
        {
            return Err(client_error!(ER_CANT_UPDATE_PRIMARY_KEY, space.name()));
        }
        change.mode = Mode::ReplaceOrInsert;
        change.log.kind = if new.is_some() { kind::REPLACE } else { kind::DELETE };
        change.is_rewritten = true;
        change.new = new;
        Ok(true)
    }
}

/// Logs the request, with the key of the primary index if it came with another.
fn write_request(
    transaction: &Transaction,
    statement: usize,
    space: &Space,
    log: &Request<'_>,
    old: Option<&Tuple>,
) {
    let (Some(old), Some(primary), true) = (old, space.primary(), log.index_id != 0) else {
        return transaction.write_row(statement, log);
    };
    let key = primary.definition().key_def.extract_key(old);
    transaction.write_row(statement, &Request { index_id: 0, key: Some(&key), ..*log });
}

/// Logs what came of a request that a trigger changed.
fn write_outcome(
    transaction: &Transaction,
    statement: usize,
    space: &Space,
    old: Option<&Tuple>,
    new: Option<&Tuple>,
) {
    match (old, new, space.primary()) {
        (_, Some(new), _) => {
            let request = Request::new(kind::REPLACE, space.id());
            transaction.write_row(statement, &Request { tuple: Some(new.data()), ..request });
        }
        (Some(old), None, Some(primary)) => {
            let key = primary.definition().key_def.extract_key(old);
            let request = Request::new(kind::DELETE, space.id());
            transaction.write_row(statement, &Request { key: Some(&key), ..request });
        }
        _ => {}
    }
}

fn operation_of(kind: u16) -> Operation {
    match kind {
        kind::INSERT => Operation::Insert,
        kind::REPLACE => Operation::Replace,
        kind::UPDATE => Operation::Update,
        kind::UPSERT => Operation::Upsert,
        _ => Operation::Delete,
    }
}

/// The request's tuple, valid in the space.
fn new_tuple(space: &Space, request: &Request<'_>) -> Result<Tuple> {
    Tuple::new(space.format(), tuple_of(request)?)
}

fn tuple_of<'r>(request: &Request<'r>) -> Result<&'r [u8]> {
    request.tuple.ok_or_else(|| client_error!(ER_MISSING_REQUEST_FIELD, "TUPLE"))
}

/// Refuses a request whose key is not one of the primary index, of all parts.
fn check_request_key(space: &Space, request: &Request<'_>) -> Result<()> {
    let index = space.find_unique_index(0)?;
    let key = request.key.ok_or_else(|| client_error!(ER_MISSING_REQUEST_FIELD, "KEY"))?;
    let (parts, count) = super::iterator::key_parts(key)?;
    index.definition().key_def.validate_exact_key(parts, count, false).map(drop)
}

/// The tuple with the request's key.
fn find_by_request(space: &Space, request: &Request<'_>) -> Result<Option<Tuple>> {
    let index = space.find_unique_index(request.index_id)?;
    let key = request.key.ok_or_else(|| client_error!(ER_MISSING_REQUEST_FIELD, "KEY"))?;
    find_exact(space, index, key)
}

/// The tuple with this key, an array, in a unique index.
pub(crate) fn find_exact(space: &Space, index: &Index, key: &[u8]) -> Result<Option<Tuple>> {
    let (parts, count) = super::iterator::key_parts(key)?;
    index.definition().key_def.validate_exact_key(parts, count, index.id() != 0)?;
    space.get(index, parts, count)
}

/// The tuple that the request's operations make of the old one.
fn updated(space: &Space, old: &Tuple, request: &Request<'_>) -> Result<Tuple> {
    let operations = tuple_of(request)?;
    let data = update::update(old, operations, space.format(), request.index_base)?;
    let new = Tuple::new(space.format(), &data)?;
    let key_def = &space.find_index(0)?.definition().key_def;
    if key_def.compare(old, &new).is_ne() {
        return Err(client_error!(
            ER_CANT_UPDATE_PRIMARY_KEY,
            space.name(),
            space.id(),
            text(old.data()),
            text(new.data()),
            text(operations)
        ));
    }
    Ok(new)
}

fn plan_upsert<'r>(
    space: &Space,
    request: &Request<'r>,
    log: Request<'r>,
) -> Result<Option<Change<'r>>> {
    let data = tuple_of(request)?;
    let operations = request.ops.ok_or_else(|| client_error!(ER_MISSING_REQUEST_FIELD, "OPS"))?;
    space.format().validate(data)?;
    if space.may_upsert_blindly() {
        update::check(operations, space.format(), request.index_base)?;
        let (old, new, mode, is_rewritten) = (None, None, Mode::ReplaceOrInsert, false);
        return Ok(Some(Change { old, new, mode, log, is_rewritten }));
    }
    let primary = space.find_index(0)?;
    let key_def = &primary.definition().key_def;
    let key = key_def.extract_key_from(data);
    let (parts, count) = super::iterator::key_parts(&key)?;
    let is_rewritten = false;
    let Some(old) = space.get(primary, parts, count)? else {
        update::check(operations, space.format(), request.index_base)?;
        let new = Tuple::new(space.format(), data)?;
        return Ok(Some(Change {
            old: None,
            new: Some(new),
            mode: Mode::Insert,
            log,
            is_rewritten,
        }));
    };
    let data =
        update::upsert(old.data(), operations, space.format(), request.index_base, |error| {
            tracing::error!("UPSERT operation failed: {error}");
        })?;
    let new = Tuple::new(space.format(), &data)?;
    if key_def.compare(&old, &new).is_ne() {
        // An upsert that would move the tuple is ignored, and the log tells why.
        let error = client_error!(ER_CANT_UPDATE_PRIMARY_KEY, space.name());
        tracing::error!("UPSERT operation failed: {error}");
        return Ok(None);
    }
    Ok(Some(Change { old: Some(old), new: Some(new), mode: Mode::Replace, log, is_rewritten }))
}
