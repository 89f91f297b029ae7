//! Indexes and iterators over real tuples.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::index::{DupMode, Index, IndexOptions, Refusal};
use super::{IndexIterator, IteratorType, Key, Reclaimer};
use crate::tuple::{FieldType, Format, FormatDef, KeyDef, Part, Tuple};

struct Fixture {
    format: &'static Format,
    reclaimer: Rc<Reclaimer>,
    pk: Rc<KeyDef>,
}

impl Fixture {
    fn new() -> Fixture {
        let pk = KeyDef::new(vec![Part::new(0, FieldType::Unsigned)]).expect("valid parts");
        let format = Format::new(&FormatDef::default(), &[&pk]).expect("valid format");
        Fixture { format, reclaimer: Rc::new(Reclaimer::new()), pk: Rc::new(pk) }
    }

    /// A tuple of two unsigned fields, the second one nil for `None`.
    fn tuple(&self, first: u64, second: Option<u64>) -> Tuple {
        let mut data = vec![0x92];
        write(&mut data, Some(first));
        write(&mut data, second);
        Tuple::new(self.format, &data).expect("a valid tuple")
    }

    fn primary(&self) -> Index {
        let (key_def, cmp_def) = (Rc::clone(&self.pk), Rc::clone(&self.pk));
        let options = IndexOptions { key_def, cmp_def, is_primary: true };
        Index::new_tree(options, Rc::clone(&self.reclaimer))
    }

    fn hash(&self) -> Index {
        let (key_def, cmp_def) = (Rc::clone(&self.pk), Rc::clone(&self.pk));
        let options = IndexOptions { key_def, cmp_def, is_primary: true };
        Index::new_hash(options, Rc::clone(&self.reclaimer))
    }

    /// An index of the second field.
    fn secondary(&self, is_unique: bool, exclude_null: bool) -> Index {
        let mut part = Part::new(1, FieldType::Unsigned);
        part.nullable_action = crate::tuple::format::NullableAction::None;
        part.exclude_null = exclude_null;
        let key_def = KeyDef::new(vec![part]).expect("valid parts");
        let mut cmp_def = key_def.merge(&self.pk);
        if is_unique {
            cmp_def.set_unique_part_count(key_def.part_count());
        }
        let (key_def, cmp_def) = (Rc::new(key_def), Rc::new(cmp_def));
        let options = IndexOptions { key_def, cmp_def, is_primary: false };
        Index::new_tree(options, Rc::clone(&self.reclaimer))
    }
}

fn write(data: &mut Vec<u8>, number: Option<u64>) {
    match number {
        None => data.push(0xc0),
        Some(number) => {
            data.push(0xcf);
            data.extend_from_slice(&number.to_be_bytes());
        }
    }
}

fn key(number: Option<u64>) -> Vec<u8> {
    let mut data = Vec::new();
    write(&mut data, number);
    data
}

fn one(parts: &[u8]) -> Key<'_> {
    Key { parts, part_count: 1 }
}

/// The first field.
fn id(tuple: &Tuple) -> u64 {
    u64::from_be_bytes(tuple.data()[2..10].try_into().expect("eight bytes"))
}

fn insert(index: &mut Index, tuple: &Tuple) {
    let done = index.replace(None, Some(tuple), DupMode::Insert);
    assert!(matches!(done, Ok(None)), "{done:?}");
}

fn ids(index: &Index, iterator: IteratorType, key: Option<Key<'_>>) -> Vec<u64> {
    let tuples = index.range(iterator, key, None, 0);
    tuples.map(|found| id(&super::index::hold(found))).collect()
}

#[test]
fn primary_index_owns_its_tuples() {
    let fixture = Fixture::new();
    for mut index in [fixture.primary(), fixture.hash()] {
        let tuple = fixture.tuple(1, None);
        insert(&mut index, &tuple);
        assert_eq!(tuple.refs(), 2);
        let other = fixture.tuple(1, Some(5));
        let displaced = index.replace(None, Some(&other), DupMode::ReplaceOrInsert);
        assert_eq!(displaced.expect("replaced").expect("displaced").as_ptr(), tuple.as_ptr());
        assert_eq!((tuple.refs(), other.refs()), (1, 2));
        drop(index);
        while fixture.reclaimer.collect(1) {}
        assert_eq!(other.refs(), 1);
    }
}

#[test]
fn refusals_name_the_duplicate_and_change_nothing() {
    let fixture = Fixture::new();
    for mut index in [fixture.primary(), fixture.hash()] {
        let (first, second) = (fixture.tuple(1, None), fixture.tuple(2, None));
        insert(&mut index, &first);
        insert(&mut index, &second);
        let same = fixture.tuple(1, Some(9));
        match index.replace(None, Some(&same), DupMode::Insert) {
            Err(Refusal::Duplicate(duplicate)) => assert_eq!(duplicate.as_ptr(), first.as_ptr()),
            other => panic!("{other:?}"),
        }
        let moved = fixture.tuple(3, None);
        let refused = index.replace(Some(&first), Some(&moved), DupMode::Replace);
        assert!(matches!(refused, Err(Refusal::PrimaryKeyChange)));
        let onto_other = fixture.tuple(2, Some(1));
        let refused = index.replace(Some(&first), Some(&onto_other), DupMode::ReplaceOrInsert);
        assert!(matches!(&refused, Err(Refusal::Duplicate(_))));
        drop(refused);
        assert_eq!(index.len(), 2);
        assert_eq!((first.refs(), second.refs(), moved.refs(), same.refs()), (2, 2, 1, 1));
    }
}

#[test]
fn secondary_follows_changes_and_restores() {
    let fixture = Fixture::new();
    let mut index = fixture.secondary(false, false);
    let (old, new) = (fixture.tuple(1, Some(10)), fixture.tuple(1, Some(20)));
    insert(&mut index, &old);
    let displaced = index.replace(Some(&old), Some(&new), DupMode::Insert).expect("replaced");
    assert_eq!(displaced.as_ref().map(Tuple::as_ptr), Some(old.as_ptr()));
    let twenty = key(Some(20));
    assert_eq!(index.count(IteratorType::Eq, Some(one(&twenty))), 1);
    index.restore(Some(&new), displaced.as_ref());
    assert_eq!(index.count(IteratorType::Eq, Some(one(&twenty))), 0);
    assert_eq!(index.len(), 1);
    index.restore(Some(&old), None);
    assert!(index.is_empty());
}

#[test]
fn unique_nullable_index_has_many_nils_and_no_other_duplicates() {
    let fixture = Fixture::new();
    let mut index = fixture.secondary(true, false);
    let nils: Vec<Tuple> = (0..100).map(|id| fixture.tuple(id, None)).collect();
    nils.iter().for_each(|tuple| insert(&mut index, tuple));
    let five = fixture.tuple(200, Some(5));
    insert(&mut index, &five);
    let other = fixture.tuple(201, Some(5));
    let refused = index.replace(None, Some(&other), DupMode::Insert);
    assert!(matches!(refused, Err(Refusal::Duplicate(_))));
    let nil = key(None);
    let expected: Vec<u64> = (0..100).collect();
    assert_eq!(ids(&index, IteratorType::Eq, Some(one(&nil))), expected);
    assert_eq!(index.count(IteratorType::Gt, Some(one(&nil))), 1);
}

#[test]
fn excluded_nils_are_not_in_the_index() {
    let fixture = Fixture::new();
    let mut index = fixture.secondary(false, true);
    let (nil, one) = (fixture.tuple(1, None), fixture.tuple(1, Some(1)));
    insert(&mut index, &nil);
    assert!(index.is_empty());
    index.replace(Some(&nil), Some(&one), DupMode::Insert).expect("inserted");
    assert_eq!(index.len(), 1);
    index.replace(Some(&one), Some(&nil), DupMode::Insert).expect("removed");
    assert!(index.is_empty());
    let mut built = fixture.secondary(false, true);
    built.begin_build(2);
    built.build_next(&nil).expect("skipped");
    built.build_next(&one).expect("added");
    built.end_build().expect("built");
    assert_eq!(built.len(), 1);
}

#[test]
fn build_refuses_duplicates_and_gives_tuples_back() {
    let fixture = Fixture::new();
    let mut index = fixture.primary();
    let tuples = [3, 1, 2, 1].map(|id| fixture.tuple(id, None));
    index.begin_build(4);
    tuples.iter().for_each(|tuple| index.build_next(tuple).expect("added"));
    match index.end_build() {
        Err(Refusal::Duplicate(duplicate)) => assert_eq!(id(&duplicate), 1),
        other => panic!("{other:?}"),
    }
    assert!(tuples.iter().all(|tuple| tuple.refs() == 1));
    index.begin_build(3);
    tuples[..3].iter().for_each(|tuple| index.build_next(tuple).expect("added"));
    index.abort_build();
    assert!(tuples.iter().all(|tuple| tuple.refs() == 1));
    assert!(index.is_empty());
}

#[test]
fn iterator_survives_deletion_of_all_it_returns() {
    let fixture = Fixture::new();
    for (mut index, is_ordered) in [(fixture.primary(), true), (fixture.hash(), false)] {
        for number in 0..5000 {
            insert(&mut index, &fixture.tuple(number, None));
        }
        let mut iterator = IndexIterator::new(&index, IteratorType::All, None, None, 0);
        let mut seen = Vec::new();
        while let Some(tuple) = iterator.next(&index) {
            let tuple = tuple.clone();
            seen.push(id(&tuple));
            index.replace(Some(&tuple), None, DupMode::ReplaceOrInsert).expect("deleted");
        }
        assert!(index.is_empty());
        assert!(iterator.next(&index).is_none());
        if !is_ordered {
            seen.sort_unstable();
        }
        assert!(seen.into_iter().eq(0..5000));
    }
}

#[test]
fn iterator_returns_updated_tuples_once() {
    let fixture = Fixture::new();
    for mut index in [fixture.primary(), fixture.hash()] {
        for number in 0..3000 {
            insert(&mut index, &fixture.tuple(number, None));
        }
        let mut iterator = IndexIterator::new(&index, IteratorType::All, None, None, 0);
        let mut seen = BTreeSet::new();
        while let Some(tuple) = iterator.next(&index) {
            let (old, number) = (tuple.clone(), id(tuple));
            assert!(seen.insert(number));
            let new = fixture.tuple(number, Some(1));
            index.replace(Some(&old), Some(&new), DupMode::Replace).expect("updated");
            let added = fixture.tuple(10_000 + number % 100, None);
            index.replace(None, Some(&added), DupMode::ReplaceOrInsert).expect("added");
        }
        assert!((0..3000).all(|number| seen.contains(&number)));
    }
}

#[test]
fn iterator_survives_clear() {
    let fixture = Fixture::new();
    for mut index in [fixture.primary(), fixture.hash()] {
        (0..100).for_each(|number| insert(&mut index, &fixture.tuple(number, None)));
        let mut iterator = IndexIterator::new(&index, IteratorType::All, None, None, 0);
        assert!(iterator.next(&index).is_some());
        index.clear();
        while fixture.reclaimer.collect(1) {}
        assert!(iterator.next(&index).is_none());
    }
}

#[test]
fn hash_goes_on_behind_a_key() {
    let fixture = Fixture::new();
    let mut index = fixture.hash();
    (0..3000).for_each(|number| insert(&mut index, &fixture.tuple(number, None)));
    let all = ids(&index, IteratorType::All, None);
    for place in [0, 1, 1499, 2998, 2999] {
        let key = key(Some(all[place]));
        assert_eq!(ids(&index, IteratorType::Gt, Some(one(&key))), all[place + 1..]);
    }
    let missing = key(Some(9999));
    assert!(ids(&index, IteratorType::Gt, Some(one(&missing))).is_empty());
    assert_eq!(ids(&index, IteratorType::Eq, Some(one(&key(Some(7))))), [7]);
    assert!(index.get(one(&missing)).is_none());
}

#[test]
fn view_keeps_displaced_tuples_and_reads_in_another_thread() {
    let fixture = Fixture::new();
    for mut index in [fixture.primary(), fixture.hash()] {
        (0..2000).for_each(|number| insert(&mut index, &fixture.tuple(number, None)));
        let mut view = index.read_view(&fixture.reclaimer.open());
        for number in 0..2000 {
            let new = fixture.tuple(number, Some(1));
            index.replace(None, Some(&new), DupMode::ReplaceOrInsert).expect("replaced");
        }
        index.clear();
        while fixture.reclaimer.collect(1) {}
        let reader = std::thread::spawn(move || {
            let mut lasts = Vec::new();
            while let Some(data) = view.next_data() {
                lasts.push(data.last().copied());
            }
            lasts
        });
        let lasts = reader.join().expect("the reader ends");
        assert_eq!(lasts, vec![Some(0xc0); 2000]);
        while fixture.reclaimer.collect(1) {}
        assert!(!fixture.reclaimer.any_open());
        assert_eq!(fixture.reclaimer.parked_count(), 0);
    }
}

#[test]
fn memory_is_charged_and_given_back() {
    use crate::tuple::arena;
    let before = arena::stat().memtx_used;
    let fixture = Fixture::new();
    for mut index in [fixture.primary(), fixture.hash()] {
        (0..2000).for_each(|number| insert(&mut index, &fixture.tuple(number, None)));
        assert!(arena::stat().memtx_used >= before + index.bsize());
        let full = arena::stat().memtx_used;
        arena::set_limit(full);
        let tuple = fixture.tuple_over_limit();
        let refused = index.replace(None, Some(&tuple), DupMode::Insert);
        assert!(matches!(refused, Err(Refusal::Memory(_))));
        arena::set_limit(arena::MEMORY_DEFAULT);
    }
    while fixture.reclaimer.collect(1) {}
    assert_eq!(arena::stat().memtx_used, before);
}

impl Fixture {
    /// A tuple that is not charged.
    fn tuple_over_limit(&self) -> Tuple {
        Tuple::new_runtime(&[0x92, 0xcd, 0x27, 0x0f, 0xc0]).expect("a valid tuple")
    }
}
