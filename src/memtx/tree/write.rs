//! Changing a tree: insertion, deletion, keeping nodes filled, copy on write.
//!
//! A full leaf first gives elements to a neighbour that has room, and splits only when both are
//! full, which keeps leaves about four fifths full under random insertion. At the edges of the
//! tree a split moves a single element, so that ascending or descending keys fill leaves wholly.

use std::cmp::Ordering;
use std::ptr::NonNull;

use super::node::{INNER_CAPACITY, LEAF_CAPACITY, NodePtr};
use super::search::{HEIGHT_MAX, ItemProbe, Path};
use super::{Order, Tree};
use crate::memtx::reclaim::Dead;

/// Nodes with fewer entries take some from a neighbour or are merged with it.
const LEAF_MIN: usize = LEAF_CAPACITY / 3;
const INNER_MIN: usize = INNER_CAPACITY / 3;

/// Where to split a full node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Left,
    None,
    Right,
}

impl<O: Order> Tree<O> {
    /// Put the element into the tree in place of the one equal to it, if there is one, which is
    /// returned. `decide` is told of that one first and may refuse.
    pub fn insert_if<E>(
        &mut self,
        item: O::Item,
        decide: impl FnOnce(Option<O::Item>) -> Result<(), E>,
    ) -> Result<Option<O::Item>, E> {
        let probe = self.item_probe(item);
        if probe.hint > self.hint_max
            && let Some(leaf) = self.open_last_leaf()
        {
            decide(None)?;
            self.append(leaf, &probe);
            return Ok(None);
        }
        let mut path = Path::new();
        if self.locate(&probe, &mut path) {
            let old = path.item();
            decide(old)?;
            self.overwrite(&mut path, &probe);
            return Ok(old);
        }
        decide(None)?;
        self.insert_new(&mut path, &probe);
        Ok(None)
    }

    /// Put the element into the tree; returns the equal one that it displaced.
    pub fn replace(&mut self, item: O::Item) -> Option<O::Item> {
        match self.insert_if(item, |_| Ok::<(), std::convert::Infallible>(())) {
            Ok(old) => old,
            Err(never) => match never {},
        }
    }

    /// Take the element equal to this one out of the tree and return it.
    pub fn remove(&mut self, item: O::Item) -> Option<O::Item> {
        let probe = self.item_probe(item);
        let mut path = Path::new();
        if !self.locate(&probe, &mut path) {
            return None;
        }
        let removed = path.item();
        self.begin_write(&mut path);
        path.node(0).leaf_mut().remove(path.at[0]);
        self.len -= 1;
        for level in 1..path.height {
            path.node(level).inner_mut().counts_mut()[path.at[level]] -= 1;
        }
        if path.at[0] == 0 && path.node(0).len() != 0 {
            Self::renew_min(&path);
        }
        self.fill(&mut path, 0);
        removed
    }

    /// Take all elements out. An owning tree lets go of them; nodes and elements are freed by
    /// and by, see `Reclaimer::collect`.
    pub fn clear(&mut self) {
        self.version += 1;
        if let Some(root) = self.root.take() {
            self.release_subtree(root);
        }
        (self.height, self.len, self.shared_epoch, self.hint_max) = (0, 0, 0, 0);
        (self.leaf_count, self.inner_count) = (0, 0);
    }

    fn release_subtree(&self, node: NodePtr<O::Item>) {
        if node.level() != 0 {
            for &child in node.inner().children() {
                self.release_subtree(child);
            }
        }
        let object = node.into_raw();
        self.reclaimer.retire_later(match self.owns && node.level() == 0 {
            // A new leaf may hold elements that an older view reaches through an older leaf.
            true => Dead { created: 0, object, free: free_leaf_and_items::<O> },
            false => Dead { created: node.epoch(), object, free: free_node::<O::Item> },
        });
    }

    /// The last leaf, when an element can be put behind its last one without further ado. Keys that
    /// ascend are common: counters, times, and what a snapshot or a log brings in order.
    #[inline]
    fn open_last_leaf(&self) -> Option<NodePtr<O::Item>> {
        if self.shared_epoch != 0 {
            return None;
        }
        let mut node = self.root?;
        for _ in 1..self.height {
            node = *node.inner().children().last()?;
        }
        (!node.is_full()).then_some(node)
    }

    /// Put an element that is greater than all others behind the last one.
    #[inline]
    fn append(&mut self, leaf: NodePtr<O::Item>, probe: &ItemProbe<O>) {
        self.version += 1;
        self.hint_max = probe.hint;
        leaf.leaf_mut().push(probe.hint, probe.item);
        self.len += 1;
        let Some(mut node) = self.root else { return };
        for _ in 1..self.height {
            let inner = node.inner_mut();
            if let Some(count) = inner.counts_mut().last_mut() {
                *count += 1;
            }
            let Some(&last) = inner.children().last() else { return };
            node = last;
        }
    }

    fn overwrite(&mut self, path: &mut Path<O::Item>, probe: &ItemProbe<O>) {
        self.begin_write(path);
        path.node(0).leaf_mut().set(path.at[0], probe.hint, probe.item);
        if path.at[0] == 0 {
            Self::renew_min(path);
        }
    }

    fn insert_new(&mut self, path: &mut Path<O::Item>, probe: &ItemProbe<O>) {
        if self.root.is_none() {
            self.root = Some(self.alloc(0));
            self.height = 1;
            self.locate(probe, path);
        }
        self.begin_write(path);
        while path.node(0).is_full() {
            let edge = if path.at[0] == LEAF_CAPACITY && path.is_last_leaf() {
                Edge::Right
            } else if path.at[0] == 0 && path.is_first_leaf() {
                Edge::Left
            } else {
                Edge::None
            };
            self.make_room(path, 0, edge);
            self.locate(probe, path);
            self.begin_write(path);
        }
        path.node(0).leaf_mut().insert(path.at[0], probe.hint, probe.item);
        self.hint_max = self.hint_max.max(probe.hint);
        self.len += 1;
        for level in 1..path.height {
            path.node(level).inner_mut().counts_mut()[path.at[level]] += 1;
        }
        if path.at[0] == 0 {
            Self::renew_min(path);
        }
    }

    /// The first element of the path's leaf has changed: tell the nodes above.
    fn renew_min(path: &Path<O::Item>) {
        let leaf = path.node(0).leaf();
        let (hint, item) = (leaf.hints()[0], leaf.items()[0]);
        for level in 1..path.height {
            path.node(level).inner_mut().set_min(path.at[level], hint, item);
            if path.at[level] != 0 {
                break;
            }
        }
    }

    /// Before each change: walks must look again, and nodes of views must be copied.
    fn begin_write(&mut self, path: &mut Path<O::Item>) {
        self.version += 1;
        if self.shared_epoch == 0 {
            return;
        }
        if !self.reclaimer.any_open() {
            self.shared_epoch = 0;
            return;
        }
        for level in (0..path.height).rev() {
            let own = self.own(path.node(level));
            if path.nodes[level] == Some(own) {
                continue;
            }
            path.nodes[level] = Some(own);
            if level + 1 == path.height {
                self.root = Some(own);
            } else {
                path.node(level + 1).inner_mut().set_child(path.at[level + 1], own);
            }
        }
    }

    /// The node itself when no view reaches it, else a copy; the node is then left to the views.
    fn own(&mut self, node: NodePtr<O::Item>) -> NodePtr<O::Item> {
        if node.epoch() > self.shared_epoch {
            return node;
        }
        let copy = node.duplicate(self.reclaimer.epoch());
        let dead =
            Dead { created: node.epoch(), object: node.into_raw(), free: free_node::<O::Item> };
        self.reclaimer.retire(dead);
        copy
    }

    /// `own` for a child of a node that is owned already.
    fn own_child(&mut self, parent: NodePtr<O::Item>, at: usize) -> NodePtr<O::Item> {
        let child = parent.inner().children()[at];
        let own = self.own(child);
        if own != child {
            parent.inner_mut().set_child(at, own);
        }
        own
    }

    pub(super) fn alloc(&mut self, level: u32) -> NodePtr<O::Item> {
        // Each node taken gives two back, so that what was cleared is freed even if nobody asks.
        self.reclaimer.collect(2);
        match level {
            0 => self.leaf_count += 1,
            _ => self.inner_count += 1,
        }
        NodePtr::alloc(level, self.reclaimer.epoch())
    }

    /// Let go of a node that is owned and empty of use.
    pub(super) fn release(&mut self, node: NodePtr<O::Item>) {
        debug_assert!(node.epoch() > self.shared_epoch);
        match node.level() {
            0 => self.leaf_count -= 1,
            _ => self.inner_count -= 1,
        }
        // SAFETY: no view reaches a node that is owned, and the caller unlinked it.
        unsafe { node.free() }
    }

    /// Tell the parent anew what stands below its child.
    fn refresh(parent: NodePtr<O::Item>, at: usize) {
        let child = parent.inner().children()[at];
        parent.inner_mut().set(at, child.as_child());
    }

    /// Make room in the full node of the level. The elements stay the same; the path does not
    /// hold any more.
    fn make_room(&mut self, path: &mut Path<O::Item>, level: usize, edge: Edge) {
        let node = path.node(level);
        if level + 1 == path.height {
            self.grow_root(path);
        }
        let parent = path.node(level + 1);
        let at = path.at[level + 1];
        if edge == Edge::None && self.shift_to_neighbour(parent, at) {
            return;
        }
        if parent.is_full() {
            let above = &path.at[level + 1];
            let edge = match edge {
                Edge::Right if above + 1 == INNER_CAPACITY => Edge::Right,
                Edge::Left if *above == 0 => Edge::Left,
                _ => Edge::None,
            };
            // The caller looks for its place again, and comes back here if the node is full still.
            return self.make_room(path, level + 1, edge);
        }
        let right = self.alloc(level as u32);
        // An inner node needs two children, or it could not balance them.
        let few = if level == 0 { 1 } else { 2 };
        let count = match edge {
            Edge::Left => node.len() - few,
            Edge::None => node.len() / 2,
            Edge::Right => few,
        };
        node.move_tail(right, count);
        parent.inner_mut().insert(at + 1, right.as_child());
        Self::refresh(parent, at);
    }

    /// Put a new root with one child above the root.
    fn grow_root(&mut self, path: &mut Path<O::Item>) {
        assert!(path.height < HEIGHT_MAX, "a tree of twelve levels exceeds any memory");
        let child = path.node(path.height - 1);
        let root = self.alloc(path.height as u32);
        root.inner_mut().insert(0, child.as_child());
        path.nodes[path.height] = Some(root);
        path.at[path.height] = 0;
        path.height += 1;
        self.height = path.height;
        self.root = Some(root);
    }

    /// Move entries of a full child to a neighbour with room. Returns false when there is none.
    fn shift_to_neighbour(&mut self, parent: NodePtr<O::Item>, at: usize) -> bool {
        let node = parent.inner().children()[at];
        // Shifting one or two entries would soon have to be done again.
        let has_room = |neighbour: NodePtr<O::Item>| neighbour.len() + 2 < neighbour.capacity();
        if at > 0 && has_room(parent.inner().children()[at - 1]) {
            let left = self.own_child(parent, at - 1);
            node.move_head(left, (left.capacity() - left.len()).div_ceil(2));
            Self::refresh(parent, at - 1);
            Self::refresh(parent, at);
            return true;
        }
        if at + 1 < parent.len() && has_room(parent.inner().children()[at + 1]) {
            let right = self.own_child(parent, at + 1);
            node.move_tail(right, (right.capacity() - right.len()).div_ceil(2));
            Self::refresh(parent, at);
            Self::refresh(parent, at + 1);
            return true;
        }
        false
    }

    /// After a removal: merge or balance the node of the level when it has become too empty.
    fn fill(&mut self, path: &mut Path<O::Item>, level: usize) {
        let node = path.node(level);
        if level + 1 == path.height {
            return self.shrink_root(node);
        }
        if node.len() >= if level == 0 { LEAF_MIN } else { INNER_MIN } {
            return;
        }
        let parent = path.node(level + 1);
        let left_at = path.at[level + 1].saturating_sub(1);
        assert!(parent.len() >= 2, "only a root has a single child, and it is removed then");
        let left = self.own_child(parent, left_at);
        let right = self.own_child(parent, left_at + 1);
        let total = left.len() + right.len();
        if total <= left.capacity() {
            right.move_head(left, right.len());
            parent.inner_mut().remove(left_at + 1);
            self.release(right);
            Self::refresh(parent, left_at);
            self.fill(path, level + 1);
            return;
        }
        match left.len().cmp(&(total / 2)) {
            Ordering::Less => right.move_head(left, total / 2 - left.len()),
            Ordering::Equal => {}
            Ordering::Greater => left.move_tail(right, left.len() - total / 2),
        }
        Self::refresh(parent, left_at);
        Self::refresh(parent, left_at + 1);
    }

    fn shrink_root(&mut self, root: NodePtr<O::Item>) {
        if root.len() == 0 {
            self.release(root);
            self.root = None;
            self.height = 0;
        } else if root.level() != 0 && root.len() == 1 {
            self.root = Some(root.inner().children()[0]);
            self.height -= 1;
            self.release(root);
        }
    }
}

/// `NodePtr::free` for the reclaimer.
///
/// # Safety
/// The object is a node that came from `NodePtr::into_raw`, and nothing uses it any more.
pub(super) unsafe fn free_node<T: Copy>(object: NonNull<u8>) {
    // SAFETY: passed on from the caller.
    unsafe { NodePtr::<T>::from_raw(object).free() }
}

/// Free a leaf and let go of the elements in it.
///
/// # Safety
/// The object is a leaf of an owning tree that came from `NodePtr::into_raw`; nothing uses it or
/// reaches its elements through the tree any more.
unsafe fn free_leaf_and_items<O: Order>(object: NonNull<u8>) {
    let node = NodePtr::<O::Item>::from_raw(object);
    let items = node.leaf().items();
    for &item in items {
        O::prefetch(item);
    }
    for &item in items {
        // SAFETY: an owning tree holds a reference to each of its elements; these were in the
        // tree when it was cleared, so that each is let go of once.
        unsafe { O::release(item) }
    }
    // SAFETY: passed on from the caller.
    unsafe { node.free() }
}
