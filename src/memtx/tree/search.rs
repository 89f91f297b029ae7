//! Finding places in a tree: by element, by key (whole or partial), and by rank.

use std::cmp::Ordering;

use super::node::{Inner, NodePtr};
use super::{Order, Tree};

/// Most levels. A leaf holds at least 21 elements and an inner node at least 42 children (but for
/// the right edge), so that eight levels are beyond any memory.
pub(super) const HEIGHT_MAX: usize = 12;

/// Lines of the next node to ask the cache for: the hints of an inner node, and a leaf wholly, as
/// the place found in its hints leads to its items at once.
const LEAF_LINES: usize = 16;
const INNER_LINES: usize = 16;

/// Most keys of [`Tree::get_together`]: more would push each other out of the cache.
pub(in crate::memtx) const TOGETHER_MAX: usize = 16;

/// What is searched for.
pub(super) trait Probe<O: Order> {
    fn hint(&self) -> u64;
    /// How the element stands to the probe.
    fn compare(&self, order: &O, item: O::Item) -> Ordering;
}

/// Search for the place of an element.
pub(super) struct ItemProbe<O: Order> {
    pub(super) hint: u64,
    pub(super) item: O::Item,
}

impl<O: Order> Probe<O> for ItemProbe<O> {
    fn hint(&self) -> u64 {
        self.hint
    }

    fn compare(&self, order: &O, item: O::Item) -> Ordering {
        order.compare(item, self.item)
    }
}

/// Search for a key.
pub(super) struct KeyProbe<'k, O: Order> {
    pub(super) hint: u64,
    pub(super) key: O::Key<'k>,
}

impl<O: Order> Probe<O> for KeyProbe<'_, O> {
    fn hint(&self) -> u64 {
        self.hint
    }

    fn compare(&self, order: &O, item: O::Item) -> Ordering {
        order.compare_key(item, self.key)
    }
}

/// The side of the elements that are equal to the probe.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// Before the first equal element.
    Lower,
    /// Behind the last equal element.
    Upper,
}

/// A way down the tree: for each level, leaf first, the node and the place in it.
pub(super) struct Path<T> {
    pub(super) height: usize,
    pub(super) nodes: [Option<NodePtr<T>>; HEIGHT_MAX],
    pub(super) at: [usize; HEIGHT_MAX],
}

impl<T> Clone for Path<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Path<T> {}

impl<T: Copy> Path<T> {
    pub(super) const fn new() -> Path<T> {
        Path { height: 0, nodes: [None; HEIGHT_MAX], at: [0; HEIGHT_MAX] }
    }

    pub(super) fn node(&self, level: usize) -> NodePtr<T> {
        self.nodes[level].expect("the path was filled up to its height")
    }

    fn set(&mut self, level: usize, node: NodePtr<T>, at: usize) {
        self.nodes[level] = Some(node);
        self.at[level] = at;
    }

    /// The element at the path's place; `None` behind the end of a leaf.
    #[inline(always)]
    pub(super) fn item(&self) -> Option<T> {
        self.nodes[0]?.leaf().items().get(self.at[0]).copied()
    }

    /// Elements before the path's place.
    pub(super) fn rank(&self) -> u64 {
        let before: u64 = (1..self.height)
            .map(|level| self.node(level).inner().counts()[..self.at[level]].iter().sum::<u64>())
            .sum();
        before + self.at[0] as u64
    }

    /// Whether the path follows the right edge above its leaf.
    pub(super) fn is_last_leaf(&self) -> bool {
        (1..self.height).all(|level| self.at[level] + 1 == self.node(level).len())
    }

    /// Whether the path follows the left edge above its leaf.
    pub(super) fn is_first_leaf(&self) -> bool {
        (1..self.height).all(|level| self.at[level] == 0)
    }

    /// Go to the first place of the next leaf. Returns false, and stays, in the last one.
    pub(super) fn next_leaf(&mut self) -> bool {
        for level in 1..self.height {
            let node = self.node(level);
            if self.at[level] + 1 < node.len() {
                self.at[level] += 1;
                let mut child = node.inner().children()[self.at[level]];
                for below in (0..level).rev() {
                    self.set(below, child, 0);
                    if below != 0 {
                        child = child.inner().children()[0];
                    }
                }
                return true;
            }
        }
        false
    }

    /// Go behind the last place of the leaf before. Returns false, and stays, in the first one.
    pub(super) fn previous_leaf(&mut self) -> bool {
        for level in 1..self.height {
            if self.at[level] > 0 {
                self.at[level] -= 1;
                let mut child = self.node(level).inner().children()[self.at[level]];
                for below in (0..level).rev() {
                    let len = child.len();
                    if below == 0 {
                        self.set(0, child, len);
                    } else {
                        self.set(below, child, len - 1);
                        child = child.inner().children()[len - 1];
                    }
                }
                return true;
            }
        }
        false
    }
}

/// The number of entries before the probe.
#[inline(always)]
fn position<O: Order, P: Probe<O>>(
    order: &O,
    hints: &[u64],
    items: &[O::Item],
    probe: &P,
    bound: Bound,
) -> usize {
    let hint = probe.hint();
    let low = hints.partition_point(|&other| other < hint);
    if hints.get(low) != Some(&hint) {
        return low;
    }
    match locate_in_tie(order, hints, items, probe, low) {
        Err(at) => at,
        Ok(at) if bound == Bound::Lower && at > low => {
            // Partial keys may have equal elements on both sides of the one found.
            low + items[low..at]
                .partition_point(|&item| probe.compare(order, item) == Ordering::Less)
        }
        Ok(at) if bound == Bound::Lower => at,
        Ok(at) => {
            let tie = hints[at..].partition_point(|&other| other == hint);
            let above = &items[at + 1..at + tie];
            at + 1 + above.partition_point(|&item| probe.compare(order, item) != Ordering::Greater)
        }
    }
}

/// Among the entries from `low` on whose hint equals the probe's, find one that is equal, or the
/// place where it would stand.
#[inline(always)]
fn locate_in_tie<O: Order, P: Probe<O>>(
    order: &O,
    hints: &[u64],
    items: &[O::Item],
    probe: &P,
    low: usize,
) -> Result<usize, usize> {
    let hint = hints[low];
    let mut low = low;
    let mut high = low + 1;
    if hints.get(high) == Some(&hint) {
        high += hints[high..].partition_point(|&other| other == hint);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match probe.compare(order, items[middle]) {
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
            Ordering::Equal => return Ok(middle),
        }
    }
    Err(low)
}

/// The child to descend to: the last one that begins before the probe, else the first.
#[inline(always)]
fn child_position<O: Order, P: Probe<O>>(
    order: &O,
    inner: &Inner<O::Item>,
    probe: &P,
    bound: Bound,
) -> usize {
    position(order, inner.hints(), inner.items(), probe, bound).saturating_sub(1)
}

#[inline(always)]
fn prefetch_node<T: Copy>(node: NodePtr<T>, level: usize) {
    node.prefetch_lines(if level == 0 { LEAF_LINES } else { INNER_LINES });
}

impl<O: Order> Tree<O> {
    pub(super) fn item_probe(&self, item: O::Item) -> ItemProbe<O> {
        ItemProbe { hint: self.order.hint(item), item }
    }

    pub(super) fn key_probe<'k>(&self, key: O::Key<'k>) -> KeyProbe<'k, O> {
        KeyProbe { hint: self.order.key_hint(key), key }
    }

    /// Ask the cache for the leaf that a look-up of the key will search.
    pub fn prefetch(&self, key: O::Key<'_>) {
        let Some(mut node) = self.root else { return };
        let probe = self.key_probe(key);
        for level in (1..self.height).rev() {
            let inner = node.inner();
            node = inner.children()[child_position(&self.order, inner, &probe, Bound::Upper)];
            prefetch_node(node, level - 1);
        }
    }

    /// Find the elements with these keys, at most [`TOGETHER_MAX`]: level by level, so that the
    /// cache fetches what all of them need at the same time.
    pub fn get_together(&self, keys: &[O::Key<'_>], mut found: impl FnMut(Option<O::Item>)) {
        let Some(root) = self.root else { return keys.iter().for_each(|_| found(None)) };
        let mut nodes = [root; TOGETHER_MAX];
        let nodes = &mut nodes[..keys.len()];
        for level in (1..self.height).rev() {
            for (node, key) in nodes.iter_mut().zip(keys) {
                let (inner, probe) = (node.inner(), self.key_probe(*key));
                *node = inner.children()[child_position(&self.order, inner, &probe, Bound::Upper)];
                prefetch_node(*node, level - 1);
            }
        }
        for (node, key) in nodes.iter().zip(keys) {
            found(self.find_in_leaf(*node, &self.key_probe(*key)));
        }
    }

    #[inline(always)]
    fn find_in_leaf<P: Probe<O>>(&self, node: NodePtr<O::Item>, probe: &P) -> Option<O::Item> {
        let leaf = node.leaf();
        let (hints, items) = (leaf.hints(), leaf.items());
        let hint = probe.hint();
        let low = hints.partition_point(|&other| other < hint);
        if hints.get(low) != Some(&hint) {
            return None;
        }
        locate_in_tie(&self.order, hints, items, probe, low).ok().map(|at| items[at])
    }

    /// Find the element equal to the probe without noting the way.
    #[inline(always)]
    pub(super) fn find<P: Probe<O>>(&self, probe: &P) -> Option<O::Item> {
        let mut node = self.root?;
        for level in (1..self.height).rev() {
            let inner = node.inner();
            node = inner.children()[child_position(&self.order, inner, probe, Bound::Upper)];
            prefetch_node(node, level - 1);
        }
        self.find_in_leaf(node, probe)
    }

    /// The way to the place of an element: `Ok` when an equal one stands there.
    pub(super) fn locate(&self, probe: &ItemProbe<O>, path: &mut Path<O::Item>) -> bool {
        let Some(mut node) = self.root else {
            path.height = 0;
            return false;
        };
        path.height = self.height;
        for level in (1..self.height).rev() {
            let inner = node.inner();
            let at = child_position(&self.order, inner, probe, Bound::Upper);
            path.set(level, node, at);
            node = inner.children()[at];
            prefetch_node(node, level - 1);
        }
        let leaf = node.leaf();
        let (hints, items) = (leaf.hints(), leaf.items());
        let hint = probe.hint;
        let low = hints.partition_point(|&other| other < hint);
        let (at, found) = match hints.get(low) == Some(&hint) {
            false => (low, false),
            true => match locate_in_tie(&self.order, hints, items, probe, low) {
                Ok(at) => (at, true),
                Err(at) => (at, false),
            },
        };
        path.set(0, node, at);
        found
    }

    /// The way to the bound of the probe, possibly behind the end of a leaf. The tree must not be
    /// empty.
    pub(super) fn seek<P: Probe<O>>(&self, probe: &P, bound: Bound) -> Path<O::Item> {
        let mut path = Path::new();
        let Some(mut node) = self.root else { return path };
        path.height = self.height;
        for level in (1..self.height).rev() {
            let inner = node.inner();
            let at = child_position(&self.order, inner, probe, bound);
            path.set(level, node, at);
            node = inner.children()[at];
            prefetch_node(node, level - 1);
        }
        let leaf = node.leaf();
        let at = position(&self.order, leaf.hints(), leaf.items(), probe, bound);
        path.set(0, node, at);
        path
    }

    /// The way to the place before which `rank` elements stand.
    pub(super) fn seek_rank(&self, rank: u64) -> Path<O::Item> {
        let mut path = Path::new();
        let Some(mut node) = self.root else { return path };
        path.height = self.height;
        let mut rest = rank.min(self.len);
        for level in (1..self.height).rev() {
            let inner = node.inner();
            let mut at = 0;
            while at + 1 < inner.counts().len() && rest >= inner.counts()[at] {
                rest -= inner.counts()[at];
                at += 1;
            }
            path.set(level, node, at);
            node = inner.children()[at];
        }
        path.set(0, node, rest as usize);
        path
    }
}
