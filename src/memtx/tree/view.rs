//! Read views: the tree as it was when the view was taken, for a snapshot or a joining replica.
//!
//! Taking a view notes the root. From then on a writer copies each node on its way that was made
//! before the view, so that the nodes which the view reaches never change; the reclaimer keeps
//! them, and the elements that leave the tree, until the view is dropped.

use super::search::Path;
use super::{Order, Tree};
use crate::memtx::reclaim::ViewToken;

/// How many elements ahead a view asks the cache for.
const PREFETCH_DISTANCE: usize = 8;

/// The elements of a tree at one moment, in order. May be sent to another thread.
pub struct TreeView<T> {
    path: Path<T>,
    len: u64,
    /// Declared last: nothing is read once it is dropped.
    _token: ViewToken,
}

// SAFETY: the nodes that a view reaches are neither written nor freed while its token lives (see
// `reclaim`), and sending the view to its thread makes their contents visible there. Elements are
// handles, which a view hands out by value.
unsafe impl<T: Send> Send for TreeView<T> {}

impl<T: Copy> TreeView<T> {
    /// Elements that the view had at first.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the view had no elements at first.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Asks the cache for what an element of a view points to.
pub trait Prefetch {
    /// A hint only.
    fn prefetch(self);
}

impl<T: Copy + Prefetch> Iterator for TreeView<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.path.nodes[0]?;
        if self.path.at[0] == self.path.node(0).len() && !self.path.next_leaf() {
            return None;
        }
        let items = self.path.node(0).leaf().items();
        let at = self.path.at[0];
        if let Some(&ahead) = items.get(at + PREFETCH_DISTANCE) {
            ahead.prefetch();
        }
        self.path.at[0] += 1;
        Some(items[at])
    }
}

impl<O: Order> Tree<O> {
    /// Take a view that the token keeps open. The token must come from the tree's reclaimer.
    pub fn read_view(&mut self, token: &ViewToken) -> TreeView<O::Item> {
        self.shared_epoch = self.reclaimer.join(token);
        TreeView { path: self.seek_rank(0), len: self.len, _token: token.clone() }
    }
}
