//! The store of vinyl below transactions: rows per second in, microseconds of a read out.
//!
//! ```text
//! cargo bench --bench vinyl                 two million rows of 100 bytes, about a minute
//! cargo bench --bench vinyl -- 200000       so many
//! ```
//!
//! The memory for changes and the cache are small beside the data, as the table of resident memory
//! shows. What tx itself does for a submission, and its longest stall, are measured apart: only that
//! stops other fibers. Beside Tarantool it is `cargo bench --bench side_by_side -- vinyl`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lycosa::fiber;
use lycosa::vinyl::{
    Bytes, Change, Generation, IndexOptions, Options, Position, Range, Store, Write,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROW_SIZE: usize = 100;
const ROWS_PER_SUBMISSION: u64 = 100;
const READER_COUNT: u64 = 16;
const MIB: u64 = 1024 * 1024;

/// The key with this number; neighbours are far from each other.
fn key(number: u64) -> Bytes {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
    let mut key = [0x86; 7];
    key[1..].copy_from_slice(&mixed.to_be_bytes()[2..]);
    key.into()
}

/// A small generator; the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Half of it is noise, so that it can be packed to half.
fn row(random: &mut Random) -> Bytes {
    let mut row = [0; ROW_SIZE];
    for eight in row[..ROW_SIZE / 2].chunks_exact_mut(8) {
        eight.copy_from_slice(&random.next(u64::MAX).to_le_bytes());
    }
    row.into()
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) / 1024
}

fn report(name: &str, count: u64, elapsed: Duration, stall: Duration) {
    let seconds = elapsed.as_secs_f64();
    println!(
        "{name:<32} {:>10.0} /s {:>8.2} us  longest stall of tx {:>6.2} ms  resident {} MiB",
        count as f64 / seconds,
        seconds * 1e6 / count as f64,
        stall.as_secs_f64() * 1e3,
        resident_mib(),
    );
}

/// Runs work in fibers, and one fiber beside them that finds out how late it is woken.
fn measure(name: &str, count: u64, fiber_count: u64, work: impl Fn(u64, u64) + 'static) {
    let work = Rc::new(work);
    let (stall, is_done) = (Rc::new(Cell::new(Duration::ZERO)), Rc::new(Cell::new(false)));
    let (longest, ended) = (stall.clone(), is_done.clone());
    let watch = fiber::spawn("watch", move || {
        const PAUSE: Duration = Duration::from_millis(1);
        while !ended.get() {
            let start = Instant::now();
            let _ = fiber::sleep(PAUSE);
            longest.set(longest.get().max(start.elapsed().saturating_sub(2 * PAUSE)));
        }
    });
    let start = Instant::now();
    let share = count / fiber_count;
    let fibers: Vec<_> = (0..fiber_count)
        .map(|number| {
            let work = work.clone();
            fiber::spawn("work", move || work(number, share))
        })
        .collect();
    fibers.iter().for_each(fiber::Fiber::join);
    let elapsed = start.elapsed();
    is_done.set(true);
    watch.join();
    report(name, share * fiber_count, elapsed, stall.get());
}

fn load(store: &Store, index: &Arc<Generation>, count: u64) -> Duration {
    let (mut random, mut lsn, mut busy) = (Random(88), 0, Duration::ZERO);
    for first in (0..count).step_by(ROWS_PER_SUBMISSION as usize) {
        let numbers = first..count.min(first + ROWS_PER_SUBMISSION);
        let writes = numbers.map(|number| Write {
            generation: index.clone(),
            key: key(number),
            change: Change::Put(row(&mut random)),
        });
        let writes: Vec<_> = writes.collect();
        lsn += 1;
        let start = Instant::now();
        store.submit(Position::Rows([(1, lsn), (0, 0)]), writes);
        busy += start.elapsed();
        store.wait_room(Duration::from_secs(60)).expect("room");
        fiber::yield_now();
    }
    store.wait_applied(store.submitted()).expect("applied");
    busy
}

fn run(count: u64) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = Options {
        memory: 64 * MIB,
        cache: count * ROW_SIZE as u64 / 10,
        ..Options::new(dir.path())
    };
    let store = Rc::new(Store::open(&options, true).expect("a store"));
    let index = store.create(512, 0, &IndexOptions::default()).expect("an index");
    store.set_created(&index, 1);

    let busy = Rc::new(Cell::new(Duration::ZERO));
    let (given, tree, spent) = (store.clone(), index.clone(), busy.clone());
    measure("load in random order", count, 1, move |_, count| {
        spent.set(load(&given, &tree, count));
    });
    println!("of which tx submits: {:.3} us a row", busy.get().as_secs_f64() * 1e6 / count as f64);
    let start = Instant::now();
    store.persist(store.vclock()).expect("a durable store");
    println!("persist: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);

    let (given, tree) = (store.clone(), index.clone());
    measure("get, cached", 2_000_000, 1, move |_, reads| {
        for number in 0..reads {
            let found = given.get(&tree, None, &key(number % 1000));
            assert!(found.expect("a read").is_some());
        }
    });
    for fiber_count in [1, READER_COUNT] {
        let (given, tree) = (store.clone(), index.clone());
        let name = format!("get, any key, {fiber_count} fibers");
        measure(&name, 100_000, fiber_count, move |number, reads| {
            let mut random = Random(number + 7);
            for _ in 0..reads {
                let found = given.get(&tree, None, &key(random.next(count)));
                assert!(found.expect("a read").is_some());
            }
        });
    }
    for fiber_count in [1, READER_COUNT] {
        let (given, tree) = (store.clone(), index.clone());
        let name = format!("scan of 100, {fiber_count} fibers");
        measure(&name, 20_000, fiber_count, move |number, reads| {
            let mut random = Random(number + 9);
            for _ in 0..reads {
                let range = Range::ALL.after(key(random.next(count)));
                given.scan(&tree, None, &range, false, 100).expect("a read");
            }
        });
    }
    let size = store.measure(&index);
    let data = count * (ROW_SIZE as u64 + 7);
    println!("disk: {:.2} bytes a byte of data", size.disk_size as f64 / data as f64);
    println!("{size:?}");
}

fn main() {
    let count = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(2_000_000);
    fiber::run("main", move || {
        run(count);
        fiber::stop();
    })
    .expect("the loop starts");
}
