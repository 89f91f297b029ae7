//! Read views and what must outlive them.
//!
//! Opening a view costs one small allocation: indexes hand their roots over and from then on copy
//! a node before they first write to it. What leaves an index while views are open, nodes and
//! tuples alike, is parked here and let go when the last view that could reach it has closed.
//!
//! # Invariants
//! - An object that a view can reach is neither freed nor written until the view closes. Tuples
//!   are immutable but for their reference count, and only the tx thread touches that: a view
//!   never counts, the parked reference keeps the tuple.
//! - An object made after the last view was opened is reached by no view, and freed at once.
//! - A view may be used and closed in any thread. Everything else here belongs to the tx thread
//!   (the type is not `Send`).
//!
//! # How
//! A counter, the epoch, advances with each index that joins a view, and each node carries the
//! epoch it was made in: a node whose epoch is not above that of a view may be reached by it.
//! A parked object waits in the list of the youngest open view; when that closes, the object
//! moves to the next older view that may reach it, or is freed. That is spread over later calls of
//! `collect`, and lists are chains of chunks that pass from hand to hand whole, so that neither a
//! long list that grows nor the closing of a view of a large space stops the tx thread.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Something that waits for views to close: what it is, and how to let it go.
pub struct Dead {
    /// The epoch it was made in; 0 when any open view may reach it.
    pub created: u64,
    /// The object.
    pub object: NonNull<u8>,
    /// Frees the object. Called once, in the tx thread, when nothing can reach the object.
    pub free: unsafe fn(NonNull<u8>),
}

/// Holding this keeps a view open; the view closes when the last clone is dropped.
#[derive(Clone)]
pub struct ViewToken(Arc<TokenState>);

struct TokenState {
    id: u64,
    closed: Arc<AtomicBool>,
}

impl Drop for TokenState {
    fn drop(&mut self) {
        // Pairs with the load in `reap`: all reads through the view happen before the freeing.
        self.closed.store(true, Ordering::Release);
    }
}

struct OpenView {
    id: u64,
    /// Nodes of later epochs are not reached by this view.
    epoch: u64,
    closed: Arc<AtomicBool>,
    dead: Parked,
}

/// Objects of a chunk.
const CHUNK_LEN: usize = 1024;

/// A list of objects that grows without being copied. No chunk is empty.
#[derive(Default)]
struct Parked(Vec<Vec<Dead>>);

impl Parked {
    fn push(&mut self, dead: Dead) {
        match self.0.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_LEN => chunk.push(dead),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK_LEN);
                chunk.push(dead);
                self.0.push(chunk);
            }
        }
    }

    /// An object; chunks that are empty go.
    fn pop(&mut self) -> Option<Dead> {
        let chunk = self.0.last_mut()?;
        let dead = chunk.pop();
        if chunk.is_empty() {
            self.0.pop();
        }
        dead
    }

    fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

/// What views held that have closed, or `collect` was left.
struct Garbage {
    /// Only views older than this one may still reach the objects.
    view_id: u64,
    dead: Parked,
}

/// The views that are open and the objects parked for them.
pub struct Reclaimer {
    epoch: Cell<u64>,
    next_id: Cell<u64>,
    /// In the order of opening.
    views: RefCell<Vec<OpenView>>,
    /// The length of `views`, kept apart because each write asks for it.
    view_count: Cell<usize>,
    garbage: RefCell<VecDeque<Garbage>>,
}

impl Default for Reclaimer {
    fn default() -> Reclaimer {
        Reclaimer::new()
    }
}

impl Reclaimer {
    /// A reclaimer without views.
    pub fn new() -> Reclaimer {
        Reclaimer {
            epoch: Cell::new(1),
            next_id: Cell::new(1),
            views: RefCell::default(),
            view_count: Cell::new(0),
            garbage: RefCell::default(),
        }
    }

    /// Open a view. It shows nothing until indexes join it.
    pub fn open(&self) -> ViewToken {
        self.reap();
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let closed = Arc::new(AtomicBool::new(false));
        let view = OpenView { id, epoch: 0, closed: Arc::clone(&closed), dead: Parked::default() };
        self.views.borrow_mut().push(view);
        self.view_count.set(self.view_count.get() + 1);
        ViewToken(Arc::new(TokenState { id, closed }))
    }

    /// An index joins the view: returns the epoch up to which its nodes belong to the view.
    pub(in crate::memtx) fn join(&self, token: &ViewToken) -> u64 {
        let epoch = self.epoch.get();
        let mut views = self.views.borrow_mut();
        let view = views.iter_mut().find(|view| view.id == token.0.id);
        view.expect("a token keeps its view open, in the reclaimer that made it").epoch = epoch;
        self.epoch.set(epoch + 1);
        epoch
    }

    /// The epoch to stamp new nodes with.
    pub fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// Whether any view is open.
    pub fn any_open(&self) -> bool {
        self.view_count.get() != 0 && {
            self.reap();
            self.view_count.get() != 0
        }
    }

    /// Let the object go as soon as no open view can reach it.
    pub fn retire(&self, dead: Dead) {
        let mut views = self.views.borrow_mut();
        match views.last_mut() {
            Some(view) => view.dead.push(dead),
            None => {
                drop(views);
                // SAFETY: no view is open, and the owner gave the object up.
                unsafe { (dead.free)(dead.object) }
            }
        }
    }

    /// As `retire` for an object of which it is known that only views up to an epoch reach it: a
    /// newer one goes at once.
    pub(in crate::memtx) fn retire_unless_newer(&self, dead: Dead, shared_epoch: u64) {
        if dead.created <= shared_epoch {
            return self.retire(dead);
        }
        // SAFETY: the object was made after the last view was taken, and the owner gave it up.
        unsafe { (dead.free)(dead.object) }
    }

    /// As `retire`, but leave the freeing to `collect`, for callers with much to let go.
    pub fn retire_later(&self, dead: Dead) {
        if let Some(view) = self.views.borrow_mut().last_mut() {
            return view.dead.push(dead);
        }
        let mut garbage = self.garbage.borrow_mut();
        match garbage.back_mut() {
            Some(last) if last.view_id == 0 => last.dead.push(dead),
            _ => {
                let mut list = Parked::default();
                list.push(dead);
                garbage.push_back(Garbage { view_id: 0, dead: list });
            }
        }
    }

    /// Free at most `limit` objects that nothing can reach. Returns whether more are waiting.
    pub fn collect(&self, limit: usize) -> bool {
        self.reap();
        for _ in 0..limit {
            let Some((view_id, dead)) = self.next_garbage() else { return false };
            let mut views = self.views.borrow_mut();
            let mut older = views.iter_mut().rev();
            match older.find(|view| view.id < view_id && view.epoch >= dead.created) {
                Some(view) => view.dead.push(dead),
                None => {
                    drop(views);
                    // SAFETY: the last view that could reach the object has closed, and it leaves
                    // its list here.
                    unsafe { (dead.free)(dead.object) }
                }
            }
        }
        !self.garbage.borrow().is_empty()
    }

    fn next_garbage(&self) -> Option<(u64, Dead)> {
        let mut garbage = self.garbage.borrow_mut();
        let Garbage { view_id, dead } = garbage.front_mut()?;
        let next = dead.pop().map(|dead| (*view_id, dead));
        if dead.0.is_empty() {
            garbage.pop_front();
        }
        next
    }

    /// Objects that wait for a view to close or for `collect`.
    pub fn parked_count(&self) -> usize {
        let parked: usize = self.views.borrow().iter().map(|view| view.dead.len()).sum();
        parked + self.garbage.borrow().iter().map(|garbage| garbage.dead.len()).sum::<usize>()
    }

    /// Hand on what the closed views held.
    fn reap(&self) {
        let mut views = self.views.borrow_mut();
        let mut index = 0;
        while index < views.len() {
            if !views[index].closed.load(Ordering::Acquire) {
                index += 1;
                continue;
            }
            let OpenView { id: view_id, dead, .. } = views.remove(index);
            if !dead.0.is_empty() {
                self.garbage.borrow_mut().push_back(Garbage { view_id, dead });
            }
        }
        self.view_count.set(views.len());
    }
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        // What a view in another thread can still reach is leaked: the process is ending.
        while self.collect(usize::MAX) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static FREED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }

    unsafe fn record(object: NonNull<u8>) {
        FREED.with_borrow_mut(|freed| freed.push(object.addr().get()));
    }

    fn dead(created: u64, name: usize) -> Dead {
        let address = std::num::NonZero::new(name).expect("names are not zero");
        Dead { created, object: NonNull::without_provenance(address), free: record }
    }

    fn freed() -> Vec<usize> {
        FREED.take()
    }

    #[test]
    fn without_views_objects_go_at_once() {
        let reclaimer = Reclaimer::new();
        reclaimer.retire(dead(1, 7));
        assert_eq!(freed(), [7]);
    }

    #[test]
    fn object_waits_for_each_view_that_reaches_it() {
        let reclaimer = Reclaimer::new();
        let first = reclaimer.open();
        let epoch = reclaimer.join(&first);
        let second = reclaimer.open();
        reclaimer.join(&second);
        reclaimer.retire(dead(epoch, 1));
        reclaimer.retire(dead(epoch + 1, 2));
        drop(second);
        reclaimer.collect(usize::MAX);
        assert_eq!(freed(), [2]);
        drop(first);
        reclaimer.collect(usize::MAX);
        assert_eq!(freed(), [1]);
    }

    #[test]
    fn younger_view_does_not_hold_what_was_retired_before_it() {
        let reclaimer = Reclaimer::new();
        let first = reclaimer.open();
        let epoch = reclaimer.join(&first);
        reclaimer.retire(dead(epoch, 1));
        let second = reclaimer.open();
        reclaimer.join(&second);
        drop(first);
        reclaimer.collect(usize::MAX);
        assert_eq!(freed(), [1]);
        drop(second);
    }

    #[test]
    fn view_closes_in_another_thread() {
        let reclaimer = Reclaimer::new();
        let token = reclaimer.open();
        let epoch = reclaimer.join(&token);
        reclaimer.retire(dead(epoch, 3));
        std::thread::spawn(move || drop(token)).join().expect("the thread ends");
        assert!(!reclaimer.any_open());
        assert!(!reclaimer.collect(1));
        assert_eq!(freed(), [3]);
    }
}
