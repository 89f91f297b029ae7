//! Walking a tree from a key on, in either direction, and counting without walking.
//!
//! A position is a gap between two elements: a forward step returns the element right of the gap,
//! a backward step the one left of it. Positions are known by their way down, so that going to
//! the next leaf needs no links between leaves.

use std::cmp::Ordering;

use super::node::NodePtr;
use super::search::{Bound, Path};
use super::{Order, Tree};
use crate::memtx::iterator_type::IteratorType;

/// How many elements ahead a walk asks the cache for.
const PREFETCH_DISTANCE: usize = 8;

/// A position in a tree that is valid while the tree does not change.
pub struct Walk<T> {
    path: Path<T>,
    tree_id: u64,
    version: u64,
    is_reverse: bool,
}

impl<T: Copy> Walk<T> {
    /// A walk that is current in no tree.
    pub const fn nowhere() -> Walk<T> {
        Walk { path: Path::new(), tree_id: 0, version: 0, is_reverse: false }
    }

    /// Whether the tree is the same and unchanged since the walk was made.
    #[inline(always)]
    pub fn is_current<O: Order<Item = T>>(&self, tree: &Tree<O>) -> bool {
        self.version == tree.version && self.tree_id == tree.id
    }

    /// The next element and its hint. The tree must be the one of the walk, unchanged.
    #[inline(always)]
    pub fn step<O: Order<Item = T>>(&mut self, tree: &Tree<O>) -> Option<(u64, T)> {
        assert!(self.is_current(tree), "a walk ends when its tree changes");
        if self.path.height == 0 {
            return None;
        }
        if self.is_reverse { self.step_backward::<O>() } else { self.step_forward::<O>() }
    }

    #[inline(always)]
    fn step_forward<O: Order<Item = T>>(&mut self) -> Option<(u64, T)> {
        let mut leaf = self.path.node(0).leaf();
        if self.path.at[0] == leaf.items().len() {
            if !self.path.next_leaf() {
                return None;
            }
            leaf = self.path.node(0).leaf();
            self.prefetch_neighbour(1);
        }
        let at = self.path.at[0];
        if let Some(&ahead) = leaf.items().get(at + PREFETCH_DISTANCE) {
            O::prefetch(ahead);
        }
        self.path.at[0] += 1;
        Some((leaf.hints()[at], leaf.items()[at]))
    }

    #[inline(always)]
    fn step_backward<O: Order<Item = T>>(&mut self) -> Option<(u64, T)> {
        if self.path.at[0] == 0 {
            if !self.path.previous_leaf() {
                return None;
            }
            self.prefetch_neighbour(-1);
        }
        self.path.at[0] -= 1;
        let at = self.path.at[0];
        let leaf = self.path.node(0).leaf();
        if at >= PREFETCH_DISTANCE {
            O::prefetch(leaf.items()[at - PREFETCH_DISTANCE]);
        }
        Some((leaf.hints()[at], leaf.items()[at]))
    }

    fn prefetch_neighbour(&self, offset: isize) {
        if self.path.height > 1 {
            let children = self.path.node(1).inner().children();
            let at = self.path.at[1].wrapping_add_signed(offset);
            if let Some(child) = children.get(at) {
                child.prefetch_lines(NodePtr::<T>::size(0) / 64);
            }
        }
    }
}

/// The elements that an iterator of some type returns for a key.
pub struct Range<'a, 'k, O: Order> {
    tree: &'a Tree<O>,
    walk: Walk<O::Item>,
    /// Stop at the first element that differs from the key.
    equal: Option<(u64, O::Key<'k>)>,
}

impl<O: Order> Iterator for Range<'_, '_, O> {
    type Item = O::Item;

    #[inline]
    fn next(&mut self) -> Option<O::Item> {
        let (hint, item) = self.walk.step(self.tree)?;
        match self.equal {
            Some((key_hint, key)) if !self.tree.is_equal(hint, item, key_hint, key) => None,
            _ => Some(item),
        }
    }
}

impl<O: Order> Tree<O> {
    /// Whether the element with its hint is equal to the key with its hint.
    #[inline(always)]
    pub fn is_equal(&self, hint: u64, item: O::Item, key_hint: u64, key: O::Key<'_>) -> bool {
        hint == key_hint && self.order.compare_key(item, key) == Ordering::Equal
    }

    /// The elements for the iterator type and key, after skipping `offset` of them.
    pub fn range<'k>(
        &self,
        iterator: IteratorType,
        key: Option<O::Key<'k>>,
        after: Option<O::Key<'_>>,
        offset: u64,
    ) -> Range<'_, 'k, O> {
        let walk = self.walk(iterator, key, after, offset);
        let is_equality = matches!(iterator, IteratorType::Eq | IteratorType::Req);
        let equal = key.filter(|_| is_equality).map(|key| (self.order.key_hint(key), key));
        Range { tree: self, walk, equal }
    }

    /// A walk that stands before the first element for the iterator type and key, or, with
    /// `after`, behind the place of that key in the direction of the walk; then `offset` elements
    /// further. It does not know where equality ends.
    pub fn walk(
        &self,
        iterator: IteratorType,
        key: Option<O::Key<'_>>,
        after: Option<O::Key<'_>>,
        offset: u64,
    ) -> Walk<O::Item> {
        let is_reverse = iterator.is_reverse();
        let mut path = self.start(iterator, key);
        if let Some(after) = after {
            let bound = if is_reverse { Bound::Lower } else { Bound::Upper };
            let other = self.seek(&self.key_probe(after), bound);
            let is_further = other.rank() > path.rank();
            if is_further != is_reverse {
                path = other;
            }
        }
        if offset > 0 {
            let rank = path.rank();
            path = self.seek_rank(match is_reverse {
                true => rank.saturating_sub(offset),
                false => rank.saturating_add(offset),
            });
        }
        self.walk_from(path, is_reverse)
    }

    /// A walk that stands behind the place of the element, in the direction of the walk.
    pub fn walk_after(&self, item: O::Item, is_reverse: bool) -> Walk<O::Item> {
        let bound = if is_reverse { Bound::Lower } else { Bound::Upper };
        self.walk_from(self.seek(&self.item_probe(item), bound), is_reverse)
    }

    /// The number of elements for the iterator type and key.
    pub fn count(&self, iterator: IteratorType, key: Option<O::Key<'_>>) -> u64 {
        let Some(key) = key else { return self.len };
        let probe = self.key_probe(key);
        let rank = |bound| self.seek(&probe, bound).rank();
        match iterator {
            IteratorType::Eq | IteratorType::Req => rank(Bound::Upper) - rank(Bound::Lower),
            IteratorType::Lt => rank(Bound::Lower),
            IteratorType::Le => rank(Bound::Upper),
            IteratorType::Gt => self.len - rank(Bound::Upper),
            _ => self.len - rank(Bound::Lower),
        }
    }

    fn start(&self, iterator: IteratorType, key: Option<O::Key<'_>>) -> Path<O::Item> {
        let Some(key) = key else {
            return self.seek_rank(if iterator.is_reverse() { self.len } else { 0 });
        };
        let bound = match iterator {
            IteratorType::Req | IteratorType::Le | IteratorType::Gt => Bound::Upper,
            _ => Bound::Lower,
        };
        self.seek(&self.key_probe(key), bound)
    }

    fn walk_from(&self, path: Path<O::Item>, is_reverse: bool) -> Walk<O::Item> {
        if let Some(item) = path.item() {
            O::prefetch(item);
        }
        Walk { path, tree_id: self.id, version: self.version, is_reverse }
    }
}
