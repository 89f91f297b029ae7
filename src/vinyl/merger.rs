//! The threads that merge tables.
//!
//! fjall can do that itself, on threads that also write out tables of memory. But one of them keeps
//! itself free for those by putting every merge that it gets back into their queue, over and over while
//! the others merge: half a core that nobody else has. So the strategy that fjall knows never begins
//! ([`Merging::in_fjall`]), its threads write tables of memory, and these here merge.
//!
//! # Invariants
//! - A tree is looked at after each table of memory of it that was written, and after each merge, until
//!   nothing is to be done.
//! - A failure is the store's failure, as it is for the writer.
//!
//! # Yields
//! never; other threads than tx run this

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fjall::{AbstractTree, Keyspace};

use super::error::failed;
use super::generation::Generation;
use super::store::give_way;
use super::traffic::Traffic;
use super::writer::Shared;
use crate::base::{Error, Result};
use crate::client_error;

/// How long a thread waits for a table of memory that is being written.
const WRITE_NAP: Duration = Duration::from_millis(5);

/// How far these threads give way: who waits for them waits for the quota. Not as far as they can:
/// tables would pile up unmerged, and what reads the disk would read all of them.
const NICE: i32 = 10;

/// What is to be merged, and what was.
#[derive(Default)]
pub(super) struct Merges {
    queue: Mutex<Queue>,
    woken: Condvar,
    /// Threads that are looking or merging.
    pub active: AtomicU64,
    /// What all trees have written and merged.
    traffic: Mutex<Traffic>,
}

#[derive(Default)]
struct Queue {
    trees: VecDeque<Arc<Generation>>,
    thread_count: usize,
    is_closed: bool,
}

impl Merges {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn traffic(&self) -> Traffic {
        *self.lock_traffic()
    }

    /// Starts counting over.
    pub fn reset_traffic(&self) {
        *self.lock_traffic() = Traffic::default();
    }

    /// Counts this of a tree.
    pub fn note(&self, generation: &Generation, traffic: Traffic) {
        generation.note(traffic);
        *self.lock_traffic() += traffic;
    }

    /// Counts what `merge` does to a tree.
    pub fn measure(
        &self,
        generation: &Generation,
        tree: &Keyspace,
        merge: impl FnOnce() -> fjall::Result<()>,
    ) -> fjall::Result<()> {
        *self.lock_traffic() += generation.count(tree);
        let start = Instant::now();
        merge()?;
        let merge_time = start.elapsed();
        let traffic = generation.count(tree);
        *self.lock_traffic() += traffic;
        if traffic.merge_input.rows > 0 {
            self.note(generation, Traffic { merge_count: 1, merge_time, ..Traffic::default() });
        }
        Ok(())
    }

    fn lock_traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a tree looked at, by all threads that have time: there may be work for several.
    pub fn push(&self, generation: &Arc<Generation>) {
        let mut queue = self.lock();
        let known = queue.trees.iter().filter(|known| Arc::ptr_eq(known, generation)).count();
        for _ in known..queue.thread_count {
            queue.trees.push_back(generation.clone());
        }
        self.woken.notify_all();
    }

    /// Whether something is being merged or will be.
    pub fn is_busy(&self) -> bool {
        self.active.load(Ordering::Relaxed) > 0 || !self.lock().trees.is_empty()
    }

    /// Waits for a tree; none: the store is being closed.
    fn take(&self) -> Option<Arc<Generation>> {
        let mut queue = self.lock();
        loop {
            if queue.is_closed {
                return None;
            }
            if let Some(generation) = queue.trees.pop_front() {
                self.active.fetch_add(1, Ordering::Relaxed);
                return Some(generation);
            }
            queue = self.woken.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_closed(&self) -> bool {
        self.lock().is_closed
    }
}

/// The threads; dropping this waits for what they are merging.
pub(super) struct Mergers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Mergers {
    /// Starts so many threads, which look at all trees first.
    pub fn new(shared: &Arc<Shared>, count: usize) -> Result<Mergers> {
        let mut mergers = Mergers { shared: shared.clone(), threads: Vec::new() };
        shared.merges.lock().thread_count = count;
        for _ in 0..count {
            let shared = shared.clone();
            let thread = thread::Builder::new()
                .name("vinyl.merger".to_owned())
                .spawn(move || work(&shared))
                .map_err(|error| Error::system("failed to start a thread", &error))?;
            mergers.threads.push(thread);
        }
        let generations: Vec<_> = shared.lock_generations().values().cloned().collect();
        generations.iter().for_each(|generation| shared.merges.push(generation));
        Ok(mergers)
    }
}

impl Drop for Mergers {
    fn drop(&mut self) {
        {
            let mut queue = self.shared.merges.lock();
            queue.is_closed = true;
            queue.trees.clear();
        }
        self.shared.merges.woken.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was caught and reported when it happened.
            let _ = thread.join();
        }
    }
}

fn work(shared: &Shared) {
    give_way(NICE);
    while let Some(generation) = shared.merges.take() {
        // What a damaged file does to fjall is not to stop the server.
        let result = catch_unwind(AssertUnwindSafe(|| merge(shared, &generation)));
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => shared.fail(error),
            Err(_) => {
                let message = format!("{}: a merge of tables panicked", shared.dir.display());
                shared.fail(client_error!(ER_INVALID_RUN_FILE, message));
            }
        }
        // Files are deleted with the last handle of a tree: before the thread counts as idle.
        drop(generation);
        shared.merges.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Merges tables of a tree until there is nothing to merge.
fn merge(shared: &Shared, generation: &Generation) -> Result<()> {
    let is_over = || shared.merges.is_closed() || shared.failure.get().is_some();
    while !is_over() && shared.lock_generations().contains_key(&generation.number) {
        let Some(tree) = generation.tree() else { break };
        let is_being_written = tree.tree.sealed_memtable_count() > 0;
        let is_merged =
            step(shared, generation, &tree).map_err(|error| failed(tree.path(), &error))?;
        if !is_merged {
            if !is_being_written {
                break;
            }
            drop(tree);
            thread::sleep(WRITE_NAP);
        }
    }
    Ok(())
}

/// Merges some tables if the strategy says so; whether it did.
fn step(shared: &Shared, generation: &Generation, tree: &Keyspace) -> fjall::Result<bool> {
    let before = tree.tree.current_version().id();
    shared.merges.measure(generation, tree, || {
        // What is older than the oldest snapshot needs no former versions.
        let threshold = shared.database.supervisor.snapshot_tracker.get_seqno_safe_to_gc();
        Ok(tree.tree.compact(generation.merging().strategy(), threshold)?)
    })?;
    Ok(tree.tree.current_version().id() != before)
}
