//! The ordered index: a B+-tree of tuples with 64-bit hints beside them.
//!
//! A hint is an integer that orders as the key's beginning does, so that most comparisons neither
//! leave the node nor touch a tuple. The order is a parameter (`Order`); `memtx::order` binds it to
//! key definitions. Elements are handles of one word. What they point to is kept alive by the index
//! above; an owning tree only knows how to let go of all elements at once.
//!
//! Under the order all elements of a tree differ: an index that is not unique orders by the
//! parts of the primary key after its own.
//!
//! Files: `node` memory and moving; `search` ways down; `write` insertion, deletion, balance and
//! copy on write; `build` from sorted elements; `range` walking and counting; `view` read views;
//! `check` the invariants, for tests.
//!
//! # Invariants
//! - Leaves are equally deep; elements ascend strictly; each inner node knows the smallest
//!   element and the number of elements below each child.
//! - A node that a view may reach is copied before it is written (`view`).
//! - `version` changes whenever an element or a node may have moved.
//!
//! # Yields
//! Never.
//!
//! # Not here
//! Ownership of tuples, uniqueness errors, nulls: `index`. Links between leaves: copying a leaf
//! for a view would have to copy its neighbours; walking goes through the parents instead.

mod build;
#[cfg(test)]
mod check;
mod node;
mod range;
mod search;
#[cfg(test)]
mod tests;
pub mod view;
mod write;

use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering as AtomicOrdering};

pub use build::TreeBuild;
pub use range::{Range, Walk};
pub(super) use search::TOGETHER_MAX;
pub use view::TreeView;

use node::NodePtr;

use super::reclaim::Reclaimer;

/// How the elements of a tree are ordered.
///
/// `hint(a) < hint(b)` must imply that `a` is before `b`, and equal elements must have equal
/// hints; the same between elements and keys.
pub trait Order {
    /// A handle of one word.
    type Item: Copy;
    /// A key, possibly of fewer parts than the order has.
    type Key<'k>: Copy;

    /// The hint of an element.
    fn hint(&self, item: Self::Item) -> u64;
    /// The hint of a key.
    fn key_hint(&self, key: Self::Key<'_>) -> u64;
    /// How `a` stands to `b`.
    fn compare(&self, a: Self::Item, b: Self::Item) -> Ordering;
    /// How the element stands to the key; equal when the parts given are equal.
    fn compare_key(&self, item: Self::Item, key: Self::Key<'_>) -> Ordering;
    /// Ask the cache for what the handle points to.
    fn prefetch(item: Self::Item);
    /// Let go of the reference that an owning tree holds to the element.
    ///
    /// # Safety
    /// The tree held a reference, and does not use the element afterwards.
    unsafe fn release(item: Self::Item);
}

/// The tree. See the module for its shape.
pub struct Tree<O: Order> {
    order: O,
    root: Option<NodePtr<O::Item>>,
    /// Levels, leaves included; 0 when empty.
    height: usize,
    len: u64,
    /// Tells this tree from any other, so that a walk cannot continue in the wrong one.
    id: u64,
    version: u64,
    leaf_count: usize,
    inner_count: usize,
    reclaimer: Rc<Reclaimer>,
    /// Nodes of this epoch and before may be reached by a view; 0 without views.
    shared_epoch: u64,
    /// No element has a greater hint.
    hint_max: u64,
    /// Whether the tree holds a reference to each element, which `clear` lets go of.
    owns: bool,
}

impl<O: Order> Tree<O> {
    /// An empty tree. An owning one holds a reference to each element that is put into it: the
    /// caller gives it up when inserting, and has it back when the element is displaced or removed.
    pub fn new(order: O, reclaimer: Rc<Reclaimer>, owns: bool) -> Tree<O> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Tree {
            order,
            root: None,
            height: 0,
            len: 0,
            id: NEXT_ID.fetch_add(1, AtomicOrdering::Relaxed),
            version: 0,
            leaf_count: 0,
            inner_count: 0,
            reclaimer,
            shared_epoch: 0,
            hint_max: 0,
            owns,
        }
    }

    /// The order of the elements.
    pub fn order(&self) -> &O {
        &self.order
    }

    /// Change what the order refers to. The elements must be in the same order under it.
    pub fn set_order(&mut self, order: O) {
        self.order = order;
    }

    /// Elements in the tree.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the tree has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes taken by the nodes; not those that only views reach.
    pub fn size_bytes(&self) -> usize {
        self.leaf_count * NodePtr::<O::Item>::size(0)
            + self.inner_count * NodePtr::<O::Item>::size(1)
    }

    /// The element equal to the key, which must be whole.
    #[inline]
    pub fn get(&self, key: O::Key<'_>) -> Option<O::Item> {
        self.find(&self.key_probe(key))
    }

    /// The element equal to this one.
    #[inline]
    pub fn get_item(&self, item: O::Item) -> Option<O::Item> {
        self.find(&self.item_probe(item))
    }

    /// The element before which `rank` elements stand.
    pub fn at_rank(&self, rank: u64) -> Option<O::Item> {
        if rank < self.len { self.seek_rank(rank).item() } else { None }
    }

    /// An element chosen by the number, uniformly when the number is.
    pub fn random(&self, random: u64) -> Option<O::Item> {
        self.at_rank(random.checked_rem(self.len)?)
    }

    /// Elements before the given one, and whether an equal one is in the tree.
    pub fn rank_of(&self, item: O::Item) -> (u64, bool) {
        let mut path = search::Path::new();
        let found = self.locate(&self.item_probe(item), &mut path);
        (path.rank(), found)
    }
}

impl<O: Order> Drop for Tree<O> {
    fn drop(&mut self) {
        self.clear();
    }
}
