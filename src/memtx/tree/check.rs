//! The invariants of a tree, checked whole; for tests.

use std::cmp::Ordering;

use super::node::NodePtr;
use super::{Order, Tree};

impl<O: Order> Tree<O> {
    /// Panics when the tree breaks an invariant.
    pub(in crate::memtx) fn check(&self) {
        let mut counts = (0, 0);
        let mut last = None;
        let mut total = 0;
        if let Some(root) = self.root {
            assert_eq!(root.level() as usize + 1, self.height);
            total = self.check_node(root, &mut last, &mut counts);
        } else {
            assert_eq!(self.height, 0);
        }
        assert_eq!(total, self.len);
        assert_eq!(counts, (self.leaf_count, self.inner_count));
    }

    fn check_node(
        &self,
        node: NodePtr<O::Item>,
        last: &mut Option<O::Item>,
        counts: &mut (usize, usize),
    ) -> u64 {
        assert!(node.len() > 0 && node.len() <= node.capacity());
        if node.level() == 0 {
            counts.0 += 1;
            for (&hint, &item) in node.leaf().hints().iter().zip(node.leaf().items()) {
                assert_eq!(hint, self.order.hint(item));
                assert!(hint <= self.hint_max);
                if let Some(last) = *last {
                    assert_eq!(self.order.compare(last, item), Ordering::Less);
                }
                *last = Some(item);
            }
            return node.len() as u64;
        }
        counts.1 += 1;
        assert!(node.len() >= 2);
        let inner = node.inner();
        for (at, &child) in inner.children().iter().enumerate() {
            assert_eq!(child.level() + 1, node.level());
            let min = child.as_child();
            assert_eq!(inner.hints()[at], min.hint);
            assert_eq!(self.order.compare(inner.items()[at], min.item), Ordering::Equal);
            let count = self.check_node(child, last, counts);
            assert_eq!(inner.counts()[at], count);
        }
        inner.counts().iter().sum()
    }
}
