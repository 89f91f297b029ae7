//! The journal as the tx thread sees it: submit a transaction, go on, learn later how it ended.
//!
//! A commit submits its rows and gets a [`Ticket`] at once, with the LSNs already in the rows. The
//! ticket is a future; a connection that runs a pipeline waits for its last one only, because
//! entries end in the order in which they were submitted.
//!
//! When an entry cannot be written, it and every entry behind it are lost: those may have read
//! what it wrote. [`Completion::lost`] tells the database, which undoes them newest first; then the
//! tickets resolve with the error, the LSNs are free again and new entries are taken.
//!
//! # Invariants
//! - positions are 1, 2, 3, … in order of submission and are never reused
//! - a position is resolved once, after every smaller one; the database hears of it before any
//!   ticket does
//!
//! # Yields
//! never; awaiting a [`Ticket`] or [`Room`] through `fiber::wait` does
//!
//! # Not here
//! The thread that writes: `writer`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::base::limits::REPLICA_COUNT_MAX;
use crate::base::{Error, Result};
use crate::client_error;
use crate::xrow::iproto::{GROUP_LOCAL, flag};
use crate::xrow::{Row, Vclock};

/// Takes transactions and makes them durable, in order.
pub trait Journal {
    /// Takes a transaction. Rows of this instance (`replica_id` 0) get their id and LSN here, all
    /// get the transaction's id; `flags` ([`flag`] bits) go to the last row. Fails when an earlier
    /// entry was lost and not yet undone; then undo this transaction first, it is the newest.
    fn submit(&self, rows: &mut [Row<'_>], flags: u8) -> Result<Ticket>;

    /// What is known with everything that was submitted.
    fn vclock(&self) -> Vclock;

    /// What is known with everything that is written.
    fn written_vclock(&self) -> Vclock;

    /// Has the writer start on what was submitted. A ticket does so when it is first awaited; the
    /// owner of a commit that nobody waits for calls this when it has nothing else to do.
    fn flush(&self);

    /// Hears how entries end, before their tickets do.
    fn set_completion(&self, completion: Rc<dyn Completion>);

    /// Whether the queue has room.
    fn has_room(&self) -> bool;

    /// Ready when the queue has room (`wal_queue_max_size`). Writers wait here before they start
    /// to change data, so that a slow disk slows them down and memory stays bounded.
    fn room(&self) -> Room;

    /// Handles what the writer has done since the last call. Awaiting a ticket does so too.
    fn collect(&self);
}

/// The database's side of [`Journal`]: called on the tx thread, must not switch fibers and must
/// not submit.
pub trait Completion {
    /// All entries up to this position are written.
    fn written(&self, upto: u64);

    /// The entries `from..=upto`, the newest that there are, are lost. Called again for older
    /// ones when the reasons differ, so that undoing in the order of calls is newest first.
    fn lost(&self, from: u64, upto: u64, error: &Error);

    /// The log has grown by `checkpoint_wal_threshold` since the last checkpoint.
    fn checkpoint_wanted(&self) {}
}

/// Brings completions from the writer to [`Tickets`].
pub(super) trait Source {
    /// Resolves what has ended.
    fn collect(&self);
    /// Starts the writer when something is queued.
    fn flush(&self);
    /// Whether the queue is below its bound.
    fn has_room(&self) -> bool;
    /// Has this woken at the next news, unless someone else is. False when there is news already.
    fn listen(&self, waker: &Waker) -> bool;
}

struct Loss {
    from: u64,
    upto: u64,
    error: Error,
}

/// The state of all tickets of one journal.
#[derive(Default)]
pub(super) struct Tickets {
    submitted: Cell<u64>,
    resolved: Cell<u64>,
    losses: RefCell<Vec<Loss>>,
    /// Tickets that someone still holds: while there are any, losses are remembered.
    live: Cell<u64>,
    waiters: RefCell<VecDeque<(u64, Waker)>>,
    completion: RefCell<Option<Rc<dyn Completion>>>,
    notifying: Cell<bool>,
}

impl Tickets {
    pub fn set_completion(&self, completion: Rc<dyn Completion>) {
        *self.completion.borrow_mut() = Some(completion);
    }

    pub fn completion(&self) -> Option<Rc<dyn Completion>> {
        self.completion.borrow().clone()
    }

    pub fn submitted(&self) -> u64 {
        self.submitted.get()
    }

    pub fn resolved(&self) -> u64 {
        self.resolved.get()
    }

    /// Gives out the next position.
    pub fn next(&self) -> u64 {
        let position = self.submitted.get() + 1;
        self.submitted.set(position);
        position
    }

    /// Whether a completion handler runs, which must not be entered again.
    pub fn is_notifying(&self) -> bool {
        self.notifying.get()
    }

    /// Resolves all up to `upto` as written.
    pub fn written(&self, upto: u64) {
        if upto <= self.resolved.get() {
            return;
        }
        self.notify(|completion| completion.written(upto));
        self.resolve(upto);
    }

    /// Resolves `from..=failed_upto` as lost for `error`, and what was submitted after them as
    /// lost because of that.
    pub fn lost(&self, from: u64, failed_upto: u64, error: &Error) {
        let upto = self.submitted.get();
        let from = from.max(self.resolved.get() + 1);
        if from > upto {
            return;
        }
        let failed_upto = failed_upto.clamp(from, upto);
        let cascade = client_error!(ER_CASCADE_ROLLBACK).caused_by(error.clone());
        self.notify(|completion| {
            if failed_upto < upto {
                completion.lost(failed_upto + 1, upto, &cascade);
            }
            completion.lost(from, failed_upto, error);
        });
        {
            let mut losses = self.losses.borrow_mut();
            losses.push(Loss { from, upto: failed_upto, error: error.clone() });
            if failed_upto < upto {
                losses.push(Loss { from: failed_upto + 1, upto, error: cascade });
            }
        }
        self.resolve(upto);
    }

    fn notify(&self, call: impl FnOnce(&dyn Completion)) {
        if let Some(completion) = self.completion() {
            self.notifying.set(true);
            call(&*completion);
            self.notifying.set(false);
        }
    }

    fn resolve(&self, upto: u64) {
        self.resolved.set(upto);
        if self.live.get() == 0 {
            self.losses.borrow_mut().clear();
        }
        // Wakers are called outside the borrow: waking may poll a ticket in tests' executors.
        loop {
            let mut waiters = self.waiters.borrow_mut();
            let Some(at) = waiters.iter().position(|(position, _)| *position <= upto) else {
                break;
            };
            let waker = waiters.remove(at).map(|(_, waker)| waker);
            drop(waiters);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn outcome(&self, position: u64) -> Option<Result<()>> {
        if position > self.resolved.get() {
            return None;
        }
        let losses = self.losses.borrow();
        let loss = losses.iter().find(|loss| loss.from <= position && position <= loss.upto);
        Some(loss.map_or(Ok(()), |loss| Err(loss.error.clone())))
    }

    fn wait(&self, position: u64, waker: &Waker) {
        let mut waiters = self.waiters.borrow_mut();
        // Positions nearly ascend, so what was noted before stands near the end.
        let mut latest = waiters.iter().rev().take_while(|(other, _)| *other >= position);
        if !latest.any(|(other, known)| *other == position && known.will_wake(waker)) {
            waiters.push_back((position, waker.clone()));
        }
    }
}

/// A submitted transaction. Awaiting it tells how it ended; dropping it lets it end unheard.
#[must_use = "nothing is durable before the ticket resolves"]
pub struct Ticket {
    tickets: Rc<Tickets>,
    source: Rc<dyn Source>,
    position: u64,
}

impl Ticket {
    pub(super) fn new(tickets: Rc<Tickets>, source: Rc<dyn Source>, position: u64) -> Ticket {
        tickets.live.set(tickets.live.get() + 1);
        Ticket { tickets, source, position }
    }

    /// The entry's number among all of the journal, see [`Completion`].
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How the entry ended, `None` while that is open.
    pub fn outcome(&self) -> Option<Result<()>> {
        self.tickets.outcome(self.position)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tickets.live.set(self.tickets.live.get() - 1);
    }
}

impl Future for Ticket {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            if self.outcome().is_none() {
                self.source.collect();
            }
            if let Some(outcome) = self.outcome() {
                return Poll::Ready(outcome);
            }
            self.tickets.wait(self.position, context.waker());
            self.source.flush();
            if self.source.listen(context.waker()) {
                return Poll::Pending;
            }
        }
    }
}

/// Resolves when the queue has room.
pub struct Room {
    tickets: Rc<Tickets>,
    source: Rc<dyn Source>,
}

impl Room {
    pub(super) fn new(tickets: Rc<Tickets>, source: Rc<dyn Source>) -> Room {
        Room { tickets, source }
    }
}

impl Future for Room {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.source.has_room() {
                self.source.collect();
            }
            if self.source.has_room() {
                return Poll::Ready(());
            }
            self.tickets.wait(self.tickets.resolved() + 1, context.waker());
            self.source.flush();
            if self.source.listen(context.waker()) {
                return Poll::Pending;
            }
        }
    }
}

/// Gives the rows of one transaction their ids and LSNs; advances `vclock`.
///
/// The transaction's id is the LSN of its first global row (of its first row, when all are local).
/// Local rows have no instance id and count in component 0. Rows from other instances keep theirs.
pub(super) fn assign(
    rows: &mut [Row<'_>],
    flags: u8,
    instance_id: u32,
    timestamp: f64,
    vclock: &mut Vclock,
) -> Result<()> {
    if rows.is_empty() {
        return Err(Error::illegal_params("a journal entry without rows"));
    }
    check_foreign(rows, vclock)?;
    let mut tsn = 0;
    for Row { header, .. } in rows.iter_mut() {
        if header.replica_id == 0 {
            if header.group_id != GROUP_LOCAL {
                header.replica_id = instance_id;
            }
            header.lsn = vclock.advance(header.replica_id);
            if header.timestamp == 0.0 {
                header.timestamp = timestamp;
            }
        } else {
            vclock.set(header.replica_id, header.lsn);
        }
        header.flags = 0;
        if tsn == 0 && header.group_id != GROUP_LOCAL {
            tsn = header.lsn;
        }
    }
    let tsn = if tsn == 0 { rows[0].header.lsn } else { tsn };
    for Row { header, .. } in rows.iter_mut() {
        header.tsn = tsn;
    }
    if let Some(last) = rows.last_mut() {
        last.header.flags = flags | flag::COMMIT;
    }
    Ok(())
}

/// Rows of other instances must be new and in order. Checked before anything is changed.
fn check_foreign(rows: &[Row<'_>], vclock: &Vclock) -> Result<()> {
    if rows.iter().all(|row| row.header.replica_id == 0) {
        return Ok(());
    }
    let mut known = *vclock;
    for Row { header, .. } in rows.iter().filter(|row| row.header.replica_id != 0) {
        let confirmed = known.get(header.replica_id);
        if header.lsn <= confirmed || header.replica_id >= REPLICA_COUNT_MAX {
            return Err(Error::illegal_params(format!(
                "Attempt to write a broken LSN to WAL: replica id: {}, confirmed lsn: \
                 {confirmed}, new lsn {}",
                header.replica_id, header.lsn
            )));
        }
        known.set(header.replica_id, header.lsn);
    }
    Ok(())
}

/// A journal without a disk: keeps the encoded entries and ends them when told to. For tests and
/// for `wal_mode = 'none'`, where [`MemoryJournal::auto`] ends each when its ticket is awaited.
pub struct MemoryJournal {
    this: Rc<Memory>,
}

struct Memory {
    tickets: Rc<Tickets>,
    instance_id: Cell<u32>,
    vclock: Cell<Vclock>,
    written: Cell<Vclock>,
    /// `None`: entries end when awaited and are not kept.
    entries: Option<RefCell<Vec<Vec<u8>>>>,
    flushed: Cell<bool>,
}

impl MemoryJournal {
    /// Keeps entries; they end by [`MemoryJournal::complete`] and [`MemoryJournal::fail`].
    pub fn keeping(instance_id: u32, vclock: Vclock) -> MemoryJournal {
        MemoryJournal::make(instance_id, vclock, Some(RefCell::default()))
    }

    /// Every entry ends well when it is awaited; nothing is kept.
    pub fn auto(instance_id: u32, vclock: Vclock) -> MemoryJournal {
        MemoryJournal::make(instance_id, vclock, None)
    }

    fn make(
        instance_id: u32,
        vclock: Vclock,
        entries: Option<RefCell<Vec<Vec<u8>>>>,
    ) -> MemoryJournal {
        let this = Memory {
            tickets: Rc::default(),
            instance_id: Cell::new(instance_id),
            vclock: Cell::new(vclock),
            written: Cell::new(vclock),
            entries,
            flushed: Cell::new(false),
        };
        MemoryJournal { this: Rc::new(this) }
    }

    /// Changes the id that rows of this instance get (it is known only after bootstrap).
    pub fn set_instance_id(&self, instance_id: u32) {
        self.this.instance_id.set(instance_id);
    }

    /// The encoded entries so far.
    pub fn entries(&self) -> Vec<Vec<u8>> {
        self.this.entries.as_ref().map(|entries| entries.borrow().clone()).unwrap_or_default()
    }

    /// Whether someone asked for the entries to be written.
    pub fn was_flushed(&self) -> bool {
        self.this.flushed.get()
    }

    /// Ends everything that was submitted well.
    pub fn complete(&self) {
        self.this.written.set(self.this.vclock.get());
        self.this.tickets.written(self.this.tickets.submitted());
    }

    /// Loses everything that has not ended.
    pub fn fail(&self, error: &Error) {
        let first = self.this.tickets.resolved() + 1;
        self.this.vclock.set(self.this.written.get());
        self.this.tickets.lost(first, first, error);
    }
}

impl Source for Memory {
    fn collect(&self) {
        if self.entries.is_none() && !self.tickets.is_notifying() {
            self.written.set(self.vclock.get());
            self.tickets.written(self.tickets.submitted());
        }
    }

    fn flush(&self) {
        self.flushed.set(true);
    }

    fn has_room(&self) -> bool {
        true
    }

    fn listen(&self, _: &Waker) -> bool {
        true
    }
}

impl Journal for MemoryJournal {
    fn submit(&self, rows: &mut [Row<'_>], flags: u8) -> Result<Ticket> {
        let mut vclock = self.this.vclock.get();
        let now = crate::base::clock::realtime_s();
        assign(rows, flags, self.this.instance_id.get(), now, &mut vclock)?;
        self.this.vclock.set(vclock);
        if let Some(entries) = &self.this.entries {
            let mut bytes = Vec::new();
            rows.iter().for_each(|row| row.encode(0, &mut bytes));
            entries.borrow_mut().push(bytes);
        }
        let position = self.this.tickets.next();
        Ok(Ticket::new(self.this.tickets.clone(), self.this.clone(), position))
    }

    fn vclock(&self) -> Vclock {
        self.this.vclock.get()
    }

    fn written_vclock(&self) -> Vclock {
        self.this.written.get()
    }

    fn flush(&self) {
        self.this.flush();
        self.this.collect();
    }

    fn set_completion(&self, completion: Rc<dyn Completion>) {
        self.this.tickets.set_completion(completion);
    }

    fn has_room(&self) -> bool {
        true
    }

    fn room(&self) -> Room {
        Room::new(self.this.tickets.clone(), self.this.clone())
    }

    fn collect(&self) {
        self.this.collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Type;
    use crate::xrow::Header;

    #[derive(Default)]
    struct Heard(RefCell<Vec<String>>);

    impl Completion for Heard {
        fn written(&self, upto: u64) {
            self.0.borrow_mut().push(format!("written {upto}"));
        }

        fn lost(&self, from: u64, upto: u64, error: &Error) {
            self.0.borrow_mut().push(format!("lost {from}..={upto}: {error}"));
        }
    }

    fn submit(journal: &MemoryJournal) -> Ticket {
        let header = Header::new(3);
        journal.submit(&mut [Row { header, body: &[0x80] }], 0).unwrap()
    }

    #[test]
    fn entries_end_in_order_and_the_database_hears_first() {
        let journal = MemoryJournal::keeping(1, Vclock::new());
        let heard = Rc::new(Heard::default());
        journal.set_completion(heard.clone());
        let (first, second) = (submit(&journal), submit(&journal));
        assert!(first.outcome().is_none());
        journal.complete();
        assert!(first.outcome().unwrap().is_ok() && second.outcome().unwrap().is_ok());
        assert_eq!(*heard.0.borrow(), ["written 2"]);
        assert_eq!(journal.written_vclock().get(1), 2);
    }

    #[test]
    fn failure_takes_later_entries_along_newest_first_and_frees_their_lsns() {
        let journal = MemoryJournal::keeping(1, Vclock::new());
        let heard = Rc::new(Heard::default());
        journal.set_completion(heard.clone());
        let kept = submit(&journal);
        journal.complete();
        let (failed, behind) = (submit(&journal), submit(&journal));
        assert_eq!(journal.vclock().get(1), 3);
        journal.fail(&Error::new(Type::System, "no space"));
        assert!(kept.outcome().unwrap().is_ok());
        assert_eq!(failed.outcome().unwrap().unwrap_err().message(), "no space");
        let cascade = behind.outcome().unwrap().unwrap_err();
        assert_eq!(cascade.message(), "WAL has a rollback in progress");
        assert_eq!(
            *heard.0.borrow(),
            ["written 1", "lost 3..=3: WAL has a rollback in progress", "lost 2..=2: no space"]
        );
        assert_eq!(journal.vclock().get(1), 1);
    }

    #[test]
    fn rows_get_lsns_as_tarantool_gives_them() {
        let mut vclock = Vclock::new();
        vclock.set(1, 266);
        vclock.set(0, 1);
        let local = Header { group_id: GROUP_LOCAL, ..Header::new(3) };
        let foreign = Header { replica_id: 2, lsn: 40, ..Header::new(3) };
        let mut rows = [local, Header::new(3), foreign].map(|header| Row { header, body: &[] });
        assign(&mut rows, flag::WAIT_ACK, 1, 9.0, &mut vclock).unwrap();
        let [local, global, foreign] = rows.map(|row| row.header);
        assert_eq!((local.replica_id, local.lsn, local.tsn), (0, 2, 267));
        assert_eq!((global.replica_id, global.lsn, global.tsn), (1, 267, 267));
        assert_eq!((foreign.lsn, foreign.tsn), (40, 267));
        assert_eq!((global.flags, foreign.flags), (0, flag::WAIT_ACK | flag::COMMIT));
        assert_eq!(vclock.to_string(), "{0: 2, 1: 267, 2: 40}");
        let mut again = [Row { header: Header { replica_id: 2, lsn: 40, ..foreign }, body: &[] }];
        assert!(assign(&mut again, 0, 1, 9.0, &mut vclock).is_err());
    }
}
