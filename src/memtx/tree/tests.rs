//! The tree against `BTreeSet`, with open walks and read views in between.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::rc::Rc;

use proptest::prelude::*;

use super::view::{Prefetch, TreeView};
use super::{Order, Tree, TreeBuild, Walk};
use crate::memtx::iterator_type::IteratorType;
use crate::memtx::reclaim::Reclaimer;

/// Elements of two parts, 32 bits each, whose hint loses the first part's last bits so that ties
/// are common.
struct Pairs {
    hint_shift: u32,
}

type Key = (u32, Option<u32>);

fn parts(item: u64) -> (u32, u32) {
    ((item >> 32) as u32, item as u32)
}

impl Prefetch for u64 {
    fn prefetch(self) {}
}

impl Order for Pairs {
    type Item = u64;
    type Key<'k> = Key;

    fn hint(&self, item: u64) -> u64 {
        u64::from(parts(item).0 >> self.hint_shift)
    }

    fn key_hint(&self, key: Key) -> u64 {
        u64::from(key.0 >> self.hint_shift)
    }

    fn compare(&self, a: u64, b: u64) -> Ordering {
        a.cmp(&b)
    }

    fn compare_key(&self, item: u64, key: Key) -> Ordering {
        let (first, second) = parts(item);
        first.cmp(&key.0).then_with(|| key.1.map_or(Ordering::Equal, |key| second.cmp(&key)))
    }

    fn prefetch(_: u64) {}

    unsafe fn release(_: u64) {}
}

fn tree(hint_shift: u32) -> Tree<Pairs> {
    Tree::new(Pairs { hint_shift }, Rc::new(Reclaimer::new()), false)
}

fn item(first: u32, second: u32) -> u64 {
    u64::from(first) << 32 | u64::from(second)
}

/// What the iterator returns, by the model.
fn expected(model: &BTreeSet<u64>, iterator: IteratorType, key: Option<Key>) -> Vec<u64> {
    let order = Pairs { hint_shift: 0 };
    let wanted = |&item: &u64| {
        let Some(key) = key else { return true };
        let side = order.compare_key(item, key);
        match iterator {
            IteratorType::Eq | IteratorType::Req => side == Ordering::Equal,
            IteratorType::Lt => side == Ordering::Less,
            IteratorType::Le => side != Ordering::Greater,
            IteratorType::Gt => side == Ordering::Greater,
            _ => side != Ordering::Less,
        }
    };
    let mut items: Vec<u64> = model.iter().copied().filter(wanted).collect();
    if iterator.is_reverse() {
        items.reverse();
    }
    items
}

const ITERATORS: [IteratorType; 7] = [
    IteratorType::Eq,
    IteratorType::Req,
    IteratorType::All,
    IteratorType::Lt,
    IteratorType::Le,
    IteratorType::Ge,
    IteratorType::Gt,
];

fn assert_same(tree: &Tree<Pairs>, model: &BTreeSet<u64>, key: Option<Key>) {
    for iterator in ITERATORS {
        let want = expected(model, iterator, key);
        assert!(tree.range(iterator, key, None, 0).eq(want.iter().copied()), "{iterator:?}");
        assert_eq!(tree.count(iterator, key), want.len() as u64, "{iterator:?} {key:?}");
        let skip = want.len() / 3;
        let rest = want[skip..].iter().copied();
        assert!(tree.range(iterator, key, None, skip as u64).eq(rest), "{iterator:?}");
        if let Some(&after) = want.get(skip) {
            let (first, second) = parts(after);
            let rest = want[skip + 1..].iter().copied();
            let after = Some((first, Some(second)));
            assert!(tree.range(iterator, key, after, 0).eq(rest), "{iterator:?}");
        }
    }
}

#[test]
fn ascending_and_descending_keys_fill_leaves() {
    for descending in [false, true] {
        let mut tree = tree(0);
        for number in 0..100_000u32 {
            let first = if descending { 100_000 - number } else { number };
            assert_eq!(tree.replace(item(first, 0)), None);
        }
        tree.check();
        let bytes_per_element = tree.size_bytes() as f64 / 100_000.0;
        assert!(bytes_per_element < 17.2, "{bytes_per_element}");
    }
}

#[test]
fn random_keys_keep_leaves_four_fifths_full() {
    let mut tree = tree(0);
    let mut state = 1u64;
    for _ in 0..200_000 {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tree.replace(state >> 1);
    }
    tree.check();
    let bytes_per_element = tree.size_bytes() as f64 / 200_000.0;
    assert!(bytes_per_element < 20.8, "{bytes_per_element}");
}

#[test]
fn build_is_the_same_sorted_or_not() {
    for count in [0u32, 1, 63, 64, 8001, 8002, 127 * 63 + 1, 127 * 63 + 64, 30_000] {
        for step in [1u32, 7919] {
            let mut tree = tree(4);
            let mut model = BTreeSet::new();
            let mut build = TreeBuild::new();
            for number in 0..count {
                let item = item(number.wrapping_mul(step) % 30_011, 5);
                build.push(&mut tree, item);
                model.insert(item);
            }
            assert!(build.finish(&mut tree).is_ok());
            tree.check();
            assert!(tree.range(IteratorType::All, None, None, 0).eq(model.iter().copied()));
            for &item in &model {
                assert_eq!(tree.remove(item), Some(item));
            }
            tree.check();
            assert!(tree.is_empty());
        }
    }
}

#[test]
fn build_names_equal_elements() {
    let mut tree = tree(2);
    let mut build = TreeBuild::new();
    for number in [1, 5, 9, 5, 2] {
        build.push(&mut tree, item(number, 0));
    }
    let conflict = build.finish(&mut tree).expect_err("two elements are equal");
    assert_eq!((conflict.old, conflict.new), (item(5, 0), item(5, 0)));
    assert_eq!(conflict.items.len(), 5);
    tree.check();
}

#[test]
fn refused_insertion_changes_nothing() {
    let mut tree = tree(0);
    tree.replace(item(1, 1));
    let refused = tree.insert_if(item(1, 1), Err);
    assert_eq!(refused, Err(Some(item(1, 1))));
    assert_eq!(tree.insert_if(item(2, 2), |_| Err(())), Err(()));
    assert_eq!(tree.len(), 1);
}

#[test]
fn view_is_read_in_another_thread_while_the_tree_changes() {
    let mut tree = tree(3);
    for number in 0..20_000 {
        tree.replace(item(number, 0));
    }
    let token = tree.reclaimer.open();
    let view = tree.read_view(&token);
    drop(token);
    let reader = std::thread::spawn(move || view.map(|item| parts(item).0).collect::<Vec<_>>());
    for number in 0..20_000 {
        tree.remove(item(number, 0));
        tree.replace(item(number, 1));
    }
    let seen = reader.join().expect("the reader ends");
    assert!(seen.into_iter().eq(0..20_000));
    tree.check();
    assert!(!tree.reclaimer.any_open());
    while tree.reclaimer.collect(100) {}
    assert_eq!(tree.reclaimer.parked_count(), 0);
}

#[test]
fn view_outlives_clear_and_drop_of_its_tree() {
    let mut tree = tree(0);
    for number in 0..1000 {
        tree.replace(item(number, 0));
    }
    let reclaimer = Rc::clone(&tree.reclaimer);
    let view = tree.read_view(&reclaimer.open());
    tree.clear();
    tree.replace(item(5, 5));
    drop(tree);
    assert!(view.eq((0..1000).map(|number| item(number, 0))));
    while reclaimer.collect(10) {}
    assert_eq!(reclaimer.parked_count(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    InsertRun(u32, u32),
    Remove(usize),
    RemoveRun(usize, usize),
    OpenWalk(bool, usize),
    Walk(usize, usize),
    OpenView,
    CloseView(usize),
    Compare(Key),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = || 0..400u32;
    let element = (number(), 0..20u32).prop_map(|(first, second)| item(first, second));
    let key = (number(), proptest::option::of(0..20u32));
    let step = prop_oneof![
        12 => element.prop_map(Step::Insert),
        4 => (number(), 1..300u32).prop_map(|(at, count)| Step::InsertRun(at, count)),
        8 => any::<usize>().prop_map(Step::Remove),
        3 => (any::<usize>(), 1..300usize).prop_map(|(at, count)| Step::RemoveRun(at, count)),
        2 => (any::<bool>(), any::<usize>()).prop_map(|(back, at)| Step::OpenWalk(back, at)),
        8 => (any::<usize>(), 1..90usize).prop_map(|(at, count)| Step::Walk(at, count)),
        2 => Just(Step::OpenView),
        1 => any::<usize>().prop_map(Step::CloseView),
        2 => key.prop_map(Step::Compare),
        1 => Just(Step::Clear),
    ];
    proptest::collection::vec(step, 1..200)
}

/// A walk as a detached iterator keeps it.
struct OpenWalk {
    walk: Walk<u64>,
    last: u64,
    is_reverse: bool,
}

struct World {
    tree: Tree<Pairs>,
    model: BTreeSet<u64>,
    walks: Vec<OpenWalk>,
    views: Vec<(TreeView<u64>, Vec<u64>)>,
}

impl World {
    fn nth(&self, at: usize) -> Option<u64> {
        self.model.iter().nth(at.checked_rem(self.model.len())?).copied()
    }

    fn insert(&mut self, item: u64) {
        let had = !self.model.insert(item);
        assert_eq!(self.tree.replace(item), had.then_some(item));
    }

    fn remove(&mut self, item: u64) {
        self.model.remove(&item);
        assert_eq!(self.tree.remove(item), Some(item));
        assert_eq!(self.tree.remove(item), None);
    }

    fn walk(&mut self, at: usize, count: usize) {
        let Some(at) = at.checked_rem(self.walks.len()) else { return };
        let open = &mut self.walks[at];
        for _ in 0..count {
            if !open.walk.is_current(&self.tree) {
                open.walk = self.tree.walk_after(open.last, open.is_reverse);
            }
            let next = open.walk.step(&self.tree).map(|(_, item)| item);
            let want = match open.is_reverse {
                true => self.model.range(..open.last).next_back(),
                false => self.model.range((Excluded(open.last), Unbounded)).next(),
            };
            assert_eq!(next, want.copied());
            let Some(next) = next else { return };
            open.last = next;
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Insert(item) => self.insert(item),
            Step::InsertRun(first, count) => {
                for second in 0..count {
                    self.insert(item(first, second));
                }
            }
            Step::Remove(at) => {
                if let Some(item) = self.nth(at) {
                    self.remove(item);
                }
            }
            Step::RemoveRun(at, count) => {
                let Some(start) = self.nth(at) else { return };
                let run: Vec<u64> = self.model.range(start..).take(count).copied().collect();
                for item in run {
                    self.remove(item);
                }
            }
            Step::OpenWalk(is_reverse, at) => {
                let last = self.nth(at).unwrap_or(item(200, 10));
                let walk = self.tree.walk_after(last, is_reverse);
                self.walks.push(OpenWalk { walk, last, is_reverse });
            }
            Step::Walk(at, count) => self.walk(at, count),
            Step::OpenView => {
                let token = self.tree.reclaimer.open();
                let items = self.model.iter().copied().collect();
                self.views.push((self.tree.read_view(&token), items));
            }
            Step::CloseView(at) => {
                if let Some(at) = at.checked_rem(self.views.len()) {
                    let (view, items) = self.views.remove(at);
                    assert!(view.eq(items));
                }
            }
            Step::Compare(key) => {
                self.tree.check();
                assert_same(&self.tree, &self.model, Some(key));
                let (rank, _) = self.tree.rank_of(item(key.0, 0));
                assert_eq!(rank as usize, self.model.range(..item(key.0, 0)).count());
            }
            Step::Clear => {
                self.tree.clear();
                self.model.clear();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn tree_does_as_the_model(steps in steps(), hint_shift in 0..10u32) {
        let tree = tree(hint_shift);
        let mut world =
            World { tree, model: BTreeSet::new(), walks: Vec::new(), views: Vec::new() };
        for step in &steps {
            world.step(step);
        }
        world.tree.check();
        assert_same(&world.tree, &world.model, None);
        for (view, items) in world.views.drain(..) {
            assert!(view.eq(items));
        }
        while world.tree.reclaimer.collect(usize::MAX) {}
        assert_eq!(world.tree.reclaimer.parked_count(), 0);
    }
}
