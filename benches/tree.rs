//! Indexes over a million tuples: insertion, look-up, scan, count, build, and the same under a
//! read view. Each number is the time of one row. Run: `cargo bench --bench tree`.

use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use lycosa::memtx::{DupMode, Index, IndexIterator, IndexOptions, IteratorType, Key, Reclaimer};
use lycosa::tuple::{FieldType, Format, FormatDef, KeyDef, Part, Tuple, arena};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: u64 = 1_000_000;

struct Fixture {
    format: &'static Format,
    reclaimer: Rc<Reclaimer>,
    primary: Rc<KeyDef>,
    score: Rc<KeyDef>,
}

impl Fixture {
    fn new() -> Fixture {
        arena::set_limit(4 << 30);
        let part = |field, kind| vec![Part::new(field, kind)];
        let primary = KeyDef::new(part(0, FieldType::Unsigned)).expect("valid parts");
        let score = KeyDef::new(part(2, FieldType::Double)).expect("valid parts");
        let score = score.merge(&primary);
        let format = Format::new(&FormatDef::default(), &[&primary, &score]).expect("a format");
        let reclaimer = Rc::new(Reclaimer::new());
        Fixture { format, reclaimer, primary: Rc::new(primary), score: Rc::new(score) }
    }

    fn index(&self, def: &Rc<KeyDef>, is_primary: bool) -> Index {
        let (key_def, cmp_def) = (Rc::clone(def), Rc::clone(def));
        let options = IndexOptions { key_def, cmp_def, is_primary };
        Index::new_tree(options, Rc::clone(&self.reclaimer))
    }

    fn hash(&self) -> Index {
        let (key_def, cmp_def) = (Rc::clone(&self.primary), Rc::clone(&self.primary));
        let options = IndexOptions { key_def, cmp_def, is_primary: true };
        Index::new_hash(options, Rc::clone(&self.reclaimer))
    }

    fn tuples(&self, order: &[u64]) -> Vec<Tuple> {
        order.iter().map(|&number| self.tuple(number)).collect()
    }

    /// `{number, 32 bytes, a double at random}`
    fn tuple(&self, number: u64) -> Tuple {
        let mut data = vec![0x93];
        data.extend_from_slice(key(number).as_slice());
        data.extend_from_slice(&[0xd9, 32]);
        data.extend_from_slice(&[b'v'; 32]);
        data.push(0xcb);
        let score = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / 1e9;
        data.extend_from_slice(&score.to_be_bytes());
        Tuple::new(self.format, &data).expect("a valid tuple")
    }
}

fn key(number: u64) -> Vec<u8> {
    let mut parts = vec![0xce];
    parts.extend_from_slice(&(number as u32).to_be_bytes());
    parts
}

fn shuffled() -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..ROWS).collect();
    let mut state = 1u64;
    for last in (1..numbers.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        numbers.swap(last, (state >> 33) as usize % (last + 1));
    }
    numbers
}

/// Insert them all. A statement has just made its tuple, so tuples come from the cache here too.
fn fill(index: &mut Index, tuples: &[Tuple]) {
    for (place, tuple) in tuples.iter().enumerate() {
        if let Some(ahead) = tuples.get(place + 8) {
            ahead.as_ptr().prefetch();
        }
        index.replace(None, Some(tuple), DupMode::ReplaceOrInsert).expect("room");
    }
}

/// Time `rows` of work, repeated; criterion divides by the rows it asked for.
fn per_row(asked: u64, mut work: impl FnMut() -> Duration) -> Duration {
    let rounds = asked.div_ceil(ROWS).max(1);
    let total: Duration = (0..rounds).map(|_| work()).sum();
    total.mul_f64(asked as f64 / (rounds * ROWS) as f64)
}

/// The CPU time of this thread, so that neighbours on the machine count less.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local that lives through the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = cpu_time();
    work();
    cpu_time() - start
}

fn insert(criterion: &mut Criterion) {
    let fixture = Fixture::new();
    let sequential = fixture.tuples(&(0..ROWS).collect::<Vec<_>>());
    let random = fixture.tuples(&shuffled());
    for (name, tuples) in [("insert/sequential", &sequential), ("insert/random", &random)] {
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|asked| {
                per_row(asked, || {
                    let mut index = fixture.index(&fixture.primary, true);
                    let time = timed(|| fill(&mut index, tuples));
                    drop(index);
                    while fixture.reclaimer.collect(usize::MAX) {}
                    time
                })
            });
        });
    }
    criterion.bench_function("insert/hash", |bencher| {
        bencher.iter_custom(|asked| {
            per_row(asked, || {
                let mut index = fixture.hash();
                let time = timed(|| fill(&mut index, &random));
                drop(index);
                while fixture.reclaimer.collect(usize::MAX) {}
                time
            })
        });
    });
    for (name, def) in [("build/sorted", &fixture.primary), ("build/doubles", &fixture.score)] {
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|asked| {
                per_row(asked, || {
                    let mut index = fixture.index(def, false);
                    timed(|| {
                        index.begin_build(sequential.len());
                        for tuple in &sequential {
                            index.build_next(tuple).expect("room");
                        }
                        index.end_build().expect("no duplicates");
                    })
                })
            });
        });
    }
}

fn read(criterion: &mut Criterion) {
    let fixture = Fixture::new();
    let sequential: Vec<u64> = (0..ROWS).collect();
    let random = shuffled();
    let mut index = fixture.index(&fixture.primary, true);
    fill(&mut index, &fixture.tuples(&sequential));
    let mut hash = fixture.hash();
    fill(&mut hash, &fixture.tuples(&sequential));
    println!(
        "bytes per row: tree {}, hash {}",
        index.bsize() as u64 / ROWS,
        hash.bsize() as u64 / ROWS
    );
    for (name, index, order) in [
        ("get/sequential", &index, &sequential),
        ("get/random", &index, &random),
        ("get/hash sequential", &hash, &sequential),
        ("get/hash random", &hash, &random),
    ] {
        let keys: Vec<Vec<u8>> = order.iter().map(|&number| key(number)).collect();
        let parts: Vec<u8> = keys.concat();
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|asked| {
                per_row(asked, || {
                    timed(|| {
                        for parts in parts.chunks_exact(5) {
                            let found = index.get_ref(Key { parts, part_count: 1 });
                            assert!(black_box(found.map(|tuple| tuple.bsize())).is_some());
                        }
                    })
                })
            });
        });
    }
    criterion.bench_function("scan/range", |bencher| {
        bencher.iter_custom(|asked| {
            per_row(asked, || {
                timed(|| {
                    let count = index.range(IteratorType::All, None, None, 0).count();
                    assert_eq!(black_box(count) as u64, ROWS);
                })
            })
        });
    });
    criterion.bench_function("scan/iterator", |bencher| {
        bencher.iter_custom(|asked| {
            per_row(asked, || {
                timed(|| {
                    let mut iterator = IndexIterator::new(&index, IteratorType::All, None, None, 0);
                    while let Some(tuple) = iterator.next(&index) {
                        black_box(tuple);
                    }
                })
            })
        });
    });
    criterion.bench_function("count", |bencher| {
        let parts = key((ROWS / 8) as u32 as u64);
        let key = Some(Key { parts: &parts, part_count: 1 });
        bencher.iter(|| black_box(index.count(IteratorType::Ge, key)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = insert, read
}
criterion_main!(benches);
