//! The hash against `BTreeMap`, with read views and piecewise walks in between.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;

use super::{Hash, HashView, Identity};
use crate::memtx::reclaim::Reclaimer;

/// Elements with a key of 32 bits and a value of 32 bits. `mask` cuts hashes down to make them
/// collide.
struct Pairs {
    mask: u64,
}

impl Pairs {
    fn hash_of(&self, key: u32) -> u64 {
        let mixed = (u64::from(key) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) & self.mask
    }
}

fn key_of(item: u64) -> u32 {
    (item >> 32) as u32
}

fn item(key: u32, value: u32) -> u64 {
    u64::from(key) << 32 | u64::from(value)
}

impl Identity for Pairs {
    type Item = u64;
    type Key<'k> = u32;

    fn hash(&self, item: u64) -> u64 {
        self.hash_of(key_of(item))
    }

    fn key_hash(&self, key: u32) -> u64 {
        self.hash_of(key)
    }

    fn is_equal(&self, a: u64, b: u64) -> bool {
        key_of(a) == key_of(b)
    }

    fn is_equal_to_key(&self, item: u64, key: u32) -> bool {
        key_of(item) == key
    }

    fn prefetch(_: u64) {}

    unsafe fn release(_: u64) {}
}

fn hash(mask: u64) -> Hash<Pairs> {
    Hash::new(Pairs { mask }, Rc::new(Reclaimer::new()), false)
}

fn all(hash: &Hash<Pairs>) -> Vec<u64> {
    let mut items = Vec::new();
    let mut from = Some(0);
    while let Some(start) = from {
        from = hash.collect_segment(start, &mut items);
    }
    items.sort_unstable();
    items
}

#[test]
fn grows_and_shrinks_within_bounds() {
    let mut hash = hash(u64::MAX);
    for key in 0..50_000 {
        assert_eq!(hash.replace(item(key, 1)), None);
    }
    let bytes_per_element = hash.size_bytes() as f64 / 50_000.0;
    assert!(bytes_per_element < 22.0, "{bytes_per_element}");
    for key in 0..50_000 {
        assert_eq!(hash.get(key), Some(item(key, 1)));
        assert_eq!(hash.replace(item(key, 2)), Some(item(key, 1)));
    }
    assert!(all(&hash).into_iter().eq((0..50_000).map(|key| item(key, 2))));
    for key in 0..50_000 {
        assert_eq!(hash.remove(item(key, 0)), Some(item(key, 2)));
        assert_eq!(hash.get(key), None);
    }
    assert!(hash.is_empty());
    assert!(hash.size_bytes() < 100_000, "{}", hash.size_bytes());
}

#[test]
fn churn_does_not_grow_the_table() {
    let mut hash = hash(u64::MAX);
    for key in 0..5000 {
        hash.replace(item(key, 0));
    }
    for key in 0..200_000 {
        hash.remove(item(key, 0));
        hash.replace(item(key + 5000, 0));
    }
    assert!(hash.size_bytes() < 5000 * 24, "{}", hash.size_bytes());
}

#[test]
fn colliding_hashes_are_told_apart() {
    let mut hash = hash(0xf000_0000_0000_0000);
    for key in 0..3000 {
        hash.replace(item(key, 0));
    }
    assert!((0..3000).all(|key| hash.get(key) == Some(item(key, 0))));
    assert_eq!(all(&hash).len(), 3000);
}

#[test]
fn random_reaches_every_element() {
    let mut hash = hash(u64::MAX);
    assert_eq!(hash.random(7), None);
    for key in 0..40 {
        hash.replace(item(key, 0));
    }
    let found: BTreeSet<u64> = (0..4096).filter_map(|number| hash.random(number)).collect();
    assert_eq!(found.len(), 40);
}

#[test]
fn view_is_read_in_another_thread_while_the_hash_changes() {
    let mut hash = hash(u64::MAX);
    for key in 0..10_000 {
        hash.replace(item(key, 0));
    }
    let view = hash.read_view(&hash.reclaimer.open());
    let reader = std::thread::spawn(move || view.collect::<BTreeSet<u64>>());
    for key in 0..10_000 {
        hash.remove(item(key, 0));
        hash.replace(item(key + 7, 1));
    }
    let seen = reader.join().expect("the reader ends");
    assert!(seen.into_iter().eq((0..10_000).map(|key| item(key, 0))));
    while hash.reclaimer.collect(usize::MAX) {}
    assert_eq!(hash.reclaimer.parked_count(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Replace(u32, u32),
    ReplaceRun(u32, u32),
    Remove(u32),
    RemoveRun(u32, u32),
    OpenView,
    CloseView(usize),
    OpenWalk,
    Walk(usize),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..6000u32;
    let step = prop_oneof![
        6 => (key(), any::<u32>()).prop_map(|(key, value)| Step::Replace(key, value)),
        6 => (key(), 1..2000u32).prop_map(|(key, count)| Step::ReplaceRun(key, count)),
        6 => key().prop_map(Step::Remove),
        4 => (key(), 1..2500u32).prop_map(|(key, count)| Step::RemoveRun(key, count)),
        2 => Just(Step::OpenView),
        1 => any::<usize>().prop_map(Step::CloseView),
        2 => Just(Step::OpenWalk),
        6 => any::<usize>().prop_map(Step::Walk),
        1 => Just(Step::Clear),
    ];
    proptest::collection::vec(step, 1..80)
}

/// A piecewise walk: what it must return in any case, what it returned, where it goes on.
struct OpenWalk {
    wanted: BTreeSet<u32>,
    seen: Vec<u32>,
    next: Option<u64>,
}

struct World {
    hash: Hash<Pairs>,
    model: BTreeMap<u32, u64>,
    views: Vec<(HashView<u64>, BTreeSet<u64>)>,
    walks: Vec<OpenWalk>,
}

impl World {
    fn replace(&mut self, key: u32, value: u32) {
        let item = item(key, value);
        assert_eq!(self.hash.replace(item), self.model.insert(key, item));
    }

    fn remove(&mut self, key: u32) {
        assert_eq!(self.hash.remove(item(key, 0)), self.model.remove(&key));
        self.walks.iter_mut().for_each(|walk| {
            walk.wanted.remove(&key);
        });
    }

    fn walk(&mut self, at: usize) {
        let Some(at) = at.checked_rem(self.walks.len()) else { return };
        let walk = &mut self.walks[at];
        let Some(from) = walk.next else { return };
        let mut items = Vec::new();
        walk.next = self.hash.collect_segment(from, &mut items);
        walk.seen.extend(items.into_iter().map(key_of));
        if walk.next.is_none() {
            let walk = self.walks.remove(at);
            let seen: BTreeSet<u32> = walk.seen.iter().copied().collect();
            assert!(seen.is_superset(&walk.wanted));
            let twice = walk.seen.len() - seen.len();
            assert!(twice == 0, "{twice} elements were returned twice");
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Replace(key, value) => self.replace(key, value),
            Step::ReplaceRun(key, count) => {
                (key..key + count).for_each(|key| self.replace(key, count));
            }
            Step::Remove(key) => self.remove(key),
            Step::RemoveRun(key, count) => (key..key + count).for_each(|key| self.remove(key)),
            Step::OpenView => {
                let view = self.hash.read_view(&self.hash.reclaimer.open());
                self.views.push((view, self.model.values().copied().collect()));
            }
            Step::CloseView(at) => {
                if let Some(at) = at.checked_rem(self.views.len()) {
                    let (view, items) = self.views.remove(at);
                    assert_eq!(view.collect::<BTreeSet<u64>>(), items);
                }
            }
            Step::OpenWalk => {
                let wanted = self.model.keys().copied().collect();
                self.walks.push(OpenWalk { wanted, seen: Vec::new(), next: Some(0) });
            }
            Step::Walk(at) => self.walk(at),
            Step::Clear => {
                self.hash.clear();
                self.model.clear();
                self.walks.clear();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn hash_does_as_the_model(steps in steps(), shift in 0..20u32) {
        let mut world = World {
            hash: hash(u64::MAX << shift),
            model: BTreeMap::new(),
            views: Vec::new(),
            walks: Vec::new(),
        };
        for step in &steps {
            world.step(step);
            prop_assert_eq!(world.hash.len(), world.model.len() as u64);
        }
        prop_assert!(all(&world.hash).into_iter().eq(world.model.values().copied()));
        for (view, items) in world.views.drain(..) {
            prop_assert_eq!(view.collect::<BTreeSet<u64>>(), items);
        }
        while world.hash.reclaimer.collect(usize::MAX) {}
        prop_assert_eq!(world.hash.reclaimer.parked_count(), 0);
    }
}
