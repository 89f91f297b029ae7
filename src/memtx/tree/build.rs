//! Filling an empty tree at once: at recovery and when an index is created.
//!
//! Elements that come in order, as they do from a snapshot of the primary index, go straight into
//! full leaves. At the first one out of order everything is collected and sorted by hints, and only
//! runs of equal hints are compared.

use std::cmp::Ordering;

use super::node::{INNER_CAPACITY, NodePtr};
use super::{Order, Tree};

/// Collects the elements of a tree to be.
pub struct TreeBuild<O: Order> {
    /// Filled leaves, while elements come in order.
    leaves: Vec<NodePtr<O::Item>>,
    last: Option<(u64, O::Item)>,
    /// All elements, once one came out of order.
    unsorted: Vec<(u64, O::Item)>,
    is_sorted: bool,
    reserved: usize,
}

impl<O: Order> Default for TreeBuild<O> {
    fn default() -> Self {
        TreeBuild::new()
    }
}

impl<O: Order> TreeBuild<O> {
    /// A build without elements.
    pub fn new() -> TreeBuild<O> {
        let (leaves, unsorted) = (Vec::new(), Vec::new());
        TreeBuild { leaves, last: None, unsorted, is_sorted: true, reserved: 0 }
    }

    /// Expect so many elements.
    pub fn reserve(&mut self, count: usize) {
        self.reserved = count;
    }

    /// Add an element. The tree is the one that will be filled, empty still.
    #[inline]
    pub fn push(&mut self, tree: &mut Tree<O>, item: O::Item) {
        let hint = tree.order.hint(item);
        if self.is_sorted && !self.follows(tree, hint, item) {
            self.spill(tree);
        }
        if !self.is_sorted {
            self.unsorted.push((hint, item));
            return;
        }
        self.append(tree, hint, item);
        self.last = Some((hint, item));
    }

    fn follows(&self, tree: &Tree<O>, hint: u64, item: O::Item) -> bool {
        self.last.is_none_or(|(last_hint, last)| {
            last_hint < hint
                || (last_hint == hint && tree.order.compare(last, item) == Ordering::Less)
        })
    }

    fn append(&mut self, tree: &mut Tree<O>, hint: u64, item: O::Item) {
        let leaf = match self.leaves.last() {
            Some(&leaf) if !leaf.is_full() => leaf,
            _ => {
                let leaf = tree.alloc(0);
                self.leaves.push(leaf);
                leaf
            }
        };
        leaf.leaf_mut().push(hint, item);
    }

    /// Leave the leaves for the vector.
    fn spill(&mut self, tree: &mut Tree<O>) {
        self.is_sorted = false;
        self.unsorted.reserve(self.reserved.max(self.leaves.len() * 64));
        for leaf in self.leaves.drain(..) {
            let (hints, items) = (leaf.leaf().hints(), leaf.leaf().items());
            self.unsorted.extend(hints.iter().copied().zip(items.iter().copied()));
            tree.release(leaf);
        }
    }

    /// Fill the tree, which must be empty. When two elements are equal, nothing is filled and
    /// they are returned, as are all elements of an owning tree, for the caller to let go of.
    pub fn finish(mut self, tree: &mut Tree<O>) -> Result<(), BuildConflict<O::Item>> {
        assert!(tree.is_empty(), "only an empty tree is built");
        if !self.is_sorted {
            sort(&tree.order, &mut self.unsorted);
            let order = &tree.order;
            let conflict = self.unsorted.windows(2).find(|pair| {
                pair[0].0 == pair[1].0 && order.compare(pair[0].1, pair[1].1) == Ordering::Equal
            });
            if let Some(pair) = conflict {
                let (old, new) = (pair[0].1, pair[1].1);
                let items = self.unsorted.iter().map(|&(_, item)| item).collect();
                return Err(BuildConflict { old, new, items });
            }
            for (hint, item) in std::mem::take(&mut self.unsorted) {
                self.append(tree, hint, item);
            }
        }
        let last = self.leaves.last().and_then(|leaf| leaf.leaf().hints().last());
        tree.hint_max = last.copied().unwrap_or(0);
        tree.len = self.leaves.iter().map(|leaf| leaf.len() as u64).sum();
        tree.version += 1;
        let mut nodes = std::mem::take(&mut self.leaves);
        tree.height = usize::from(!nodes.is_empty());
        while nodes.len() > 1 {
            nodes = stack(tree, &nodes);
            tree.height += 1;
        }
        tree.root = nodes.pop();
        Ok(())
    }

    /// Give up: free the leaves. Returns the elements.
    pub fn abandon(mut self, tree: &mut Tree<O>) -> Vec<O::Item> {
        if self.is_sorted {
            self.spill(tree);
        }
        self.unsorted.into_iter().map(|(_, item)| item).collect()
    }
}

/// Two of the elements are equal.
#[derive(Debug)]
pub struct BuildConflict<T> {
    /// The first of them in the tree's order.
    pub old: T,
    /// The second.
    pub new: T,
    /// All elements of the build.
    pub items: Vec<T>,
}

/// Sort by hint, then put each run of equal hints in order by comparing.
fn sort<O: Order>(order: &O, entries: &mut [(u64, O::Item)]) {
    entries.sort_unstable_by_key(|&(hint, _)| hint);
    for run in entries.chunk_by_mut(|a, b| a.0 == b.0) {
        if run.len() > 1 {
            run.sort_unstable_by(|a, b| order.compare(a.1, b.1));
        }
    }
}

/// Make the level above the nodes.
fn stack<O: Order>(tree: &mut Tree<O>, nodes: &[NodePtr<O::Item>]) -> Vec<NodePtr<O::Item>> {
    let level = nodes[0].level() + 1;
    let mut parents = Vec::with_capacity(nodes.len().div_ceil(INNER_CAPACITY));
    let mut rest = nodes;
    while !rest.is_empty() {
        // The last parent must not have a single child: deletion could not balance it.
        let count = match rest.len().checked_sub(INNER_CAPACITY) {
            None | Some(0) => rest.len(),
            Some(1) => INNER_CAPACITY - 1,
            Some(_) => INNER_CAPACITY,
        };
        let parent = tree.alloc(level);
        for child in &rest[..count] {
            parent.inner_mut().insert(parent.len(), child.as_child());
        }
        parents.push(parent);
        rest = &rest[count..];
    }
    parents
}
