//! Claims about the store, below transactions.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::fiber;
use crate::xrow::Vclock;

fn in_fiber(main: impl FnOnce() + 'static) {
    let done = Rc::new(Cell::new(false));
    let seen = done.clone();
    fiber::run("main", move || {
        main();
        done.set(true);
        fiber::stop();
    })
    .expect("the loop starts");
    assert!(seen.get(), "the main fiber came to its end");
}

fn bytes(text: &str) -> Bytes {
    text.as_bytes().into()
}

fn put(generation: &Arc<Generation>, key: &str, row: &str) -> Write {
    Write { generation: generation.clone(), key: bytes(key), change: Change::Put(bytes(row)) }
}

fn delete(generation: &Arc<Generation>, key: &str) -> Write {
    Write { generation: generation.clone(), key: bytes(key), change: Change::Delete }
}

fn row(lsn: i64) -> Position {
    Position::Rows([(1, lsn), (0, 0)])
}

fn vclock(lsn: i64) -> Vclock {
    let mut vclock = Vclock::new();
    vclock.set(1, lsn);
    vclock
}

fn options(dir: &tempfile::TempDir) -> Options {
    Options { memory: 16 << 20, cache: 1 << 20, ..Options::new(dir.path()) }
}

fn all(store: &Store, generation: &Arc<Generation>) -> String {
    let rows = store.scan(generation, None, &Range::ALL, false, 1000).unwrap();
    let rows = rows.iter().map(|(key, row)| {
        format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(row))
    });
    rows.collect::<Vec<_>>().join(" ")
}

#[test]
fn persisted_changes_are_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        let store = Store::open(&options(&dir), true).unwrap();
        assert_eq!(store.vclock().get(1), 0);
        let index = store.create(512, 0, &IndexOptions::default()).unwrap();
        store.set_created(&index, 5);
        store.submit(row(6), vec![put(&index, "a", "1"), put(&index, "b", "2")]);
        let last = store.submit(row(7), vec![delete(&index, "a"), put(&index, "c", "3")]);
        store.wait_applied(last).unwrap();
        assert_eq!(all(&store, &index), "b=2 c=3");
        store.persist(&vclock(9)).unwrap();
        drop((store, index));

        let store = Store::open(&options(&dir), true).unwrap();
        assert_eq!(store.vclock().get(1), 9);
        assert!(store.find(512, 0, 4).is_none());
        let index = store.find(512, 0, 5).unwrap();
        assert_eq!(all(&store, &index), "b=2 c=3");
        assert_eq!(store.get(&index, None, &bytes("b")).unwrap(), Some(bytes("2")));
        assert_eq!(store.get(&index, None, &bytes("a")).unwrap(), None);
        assert_eq!(store.get_cached(&index, None, b"a"), Some(None));
    });
}

#[test]
fn tables_are_merged_as_the_index_says_also_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        let options = Options { memory: 1 << 20, ..options(&dir) };
        let merging = IndexOptions { run_count_per_level: 3, ..IndexOptions::default() };
        let write = |store: &Store, index: &Arc<Generation>, lsn: i64| {
            let rows = (0..1000).map(|key| put(index, &format!("{key:05}"), &"x".repeat(100)));
            store.submit(row(lsn), rows.collect());
            settle(store);
        };
        let mut store = Store::open(&options, true).unwrap();
        let index = store.create(512, 0, &merging).unwrap();
        store.set_created(&index, 1);
        let mut lsn = 1;
        for _ in 0..2 {
            let index = store.find(512, 0, 1).unwrap();
            index.set_options(&merging);
            while store.work().traffic.merge_count == 0 {
                lsn += 1;
                write(&store, &index, lsn);
            }
            while store.work().active > 0 || store.work().waiting_flushes > 0 {
                fiber::sleep(std::time::Duration::from_millis(1)).unwrap();
            }
            let runs = store.measure(&index).run_count;
            assert!(runs <= 4, "{runs} runs: those of the newest level, and one more");
            store.persist(&vclock(lsn)).unwrap();
            drop((store, index));
            store = Store::open(&options, true).unwrap();
        }
    });
}

/// An upsert that appends its operations to the row.
fn upsert(generation: &Arc<Generation>, key: &str, row: &str, suffix: &str) -> Write {
    let resolve: Resolve = Arc::new(|old, tuple, operations, _| match old {
        None => tuple.into(),
        Some(old) => [old, operations].concat().into(),
    });
    let change = Change::Upsert(Upsert::new(bytes(row), bytes(suffix), resolve));
    Write { generation: generation.clone(), key: bytes(key), change }
}

/// An index made by LSN 1.
fn index(store: &Store) -> Arc<Generation> {
    let index = store.create(512, 0, &IndexOptions::default()).unwrap();
    store.set_created(&index, 1);
    index
}

fn settle(store: &Store) {
    store.wait_applied(store.submitted()).unwrap();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(dir: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The files of tables below a directory.
fn tables(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    files(dir, &mut found);
    found.retain(|path| path.parent().is_some_and(|parent| parent.ends_with("tables")));
    found
}

#[test]
fn snapshot_keeps_seeing_what_it_saw() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        let store = Store::open(&options(&dir), true).unwrap();
        let index = index(&store);
        store.submit(row(2), vec![put(&index, "a", "1"), put(&index, "b", "1")]);
        settle(&store);
        let snapshot = store.snapshot();
        store.submit(row(3), vec![put(&index, "a", "2"), delete(&index, "b")]);
        settle(&store);
        let seen = |key: &str| store.get(&index, Some(&snapshot), &bytes(key)).unwrap();
        assert_eq!((seen("a"), seen("b")), (Some(bytes("1")), Some(bytes("1"))));
        assert_eq!(store.get(&index, None, &bytes("b")).unwrap(), None);
        let keys = [bytes("a"), bytes("x"), bytes("b")];
        assert_eq!(store.get_many(&index, None, &keys).unwrap(), [Some(bytes("2")), None, None]);
        let old = store.scan(&index, Some(&snapshot), &Range::ALL, true, 1).unwrap();
        assert_eq!(old, [(bytes("b"), bytes("1"))]);
        assert_eq!(all(&store, &index), "a=2");
    });
}

#[test]
fn upserts_are_resolved_in_order_with_what_is_before_them() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        let store = Store::open(&options(&dir), true).unwrap();
        let index = index(&store);
        store.submit(row(2), vec![put(&index, "a", "x")]);
        settle(&store);
        store
            .submit(row(3), vec![upsert(&index, "a", "new", "1"), upsert(&index, "b", "new", "1")]);
        store
            .submit(row(4), vec![upsert(&index, "a", "new", "2"), upsert(&index, "b", "new", "2")]);
        store.submit(row(5), vec![delete(&index, "b"), upsert(&index, "b", "again", "3")]);
        store
            .submit(row(6), vec![upsert(&index, "c", "new", "1"), upsert(&index, "c", "new", "2")]);
        // Those over a row that the cache has are applied at once.
        assert_eq!(store.get_cached(&index, None, b"a"), Some(Some(bytes("x12"))));
        assert_eq!(store.get_cached(&index, None, b"c"), None);
        settle(&store);
        assert_eq!(all(&store, &index), "a=x12 b=again c=new2");
    });
}

#[test]
fn cache_never_tells_an_old_row() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        // Room for a few rows.
        let store = Store::open(&Options { cache: 2 * 1500, ..options(&dir) }, true).unwrap();
        let index = index(&store);
        let mut model = std::collections::BTreeMap::new();
        let mut seed = 1u64;
        for lsn in 2..3000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (key, what) = (format!("key {}", (seed >> 33) % 30), (seed >> 40) % 8);
            match what {
                0 => {
                    model.remove(&key);
                    store.submit(row(lsn), vec![delete(&index, &key)]);
                }
                1..=3 => {
                    model.insert(key.clone(), lsn.to_string());
                    store.submit(row(lsn), vec![put(&index, &key, &lsn.to_string())]);
                }
                4 => {
                    let value = model.get(&key).map_or("+".to_owned(), |old| format!("{old}-"));
                    model.insert(key.clone(), value);
                    store.submit(row(lsn), vec![upsert(&index, &key, "+", "-")]);
                }
                5 => {
                    // Not applied yet, maybe: only the cache answers.
                    if let Some(known) = store.get_cached(&index, None, key.as_bytes()) {
                        assert_eq!(known, model.get(&key).map(|row| bytes(row)));
                    }
                    // Reads while it changes must not leave an old row in the cache.
                    store.get(&index, None, &bytes(&key)).unwrap();
                }
                _ => {
                    settle(&store);
                    let found = store.get(&index, None, &bytes(&key)).unwrap();
                    assert_eq!(found, model.get(&key).map(|row| bytes(row)), "{key}");
                }
            }
        }
        assert!(store.statistics().cache_size <= 1500);
        settle(&store);
        let expected: Vec<_> = model.iter().map(|(key, row)| format!("{key}={row}")).collect();
        assert_eq!(all(&store, &index), expected.join(" "));
    });
}

#[test]
fn torn_journal_leaves_whole_submissions() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        let image = tempfile::tempdir().unwrap();
        let store = Store::open(&options(&dir), true).unwrap();
        let index = index(&store);
        store.persist(&vclock(1)).unwrap();
        for lsn in 2..200 {
            let text = lsn.to_string();
            let key = format!("{:03}", lsn % 50);
            store.submit(row(lsn), vec![put(&index, "last", &text), put(&index, &key, &text)]);
            if lsn % 7 == 0 {
                // Batches of different sizes.
                settle(&store);
            }
        }
        store.persist(&vclock(199)).unwrap();
        drop((store, index));

        let journal = dir.path().join("0.jnl");
        // Room for more follows what is written.
        let content = std::fs::read(&journal).unwrap();
        let size = content.iter().rposition(|&byte| byte != 0).unwrap() as u64 + 1;
        let mut lsns = Vec::new();
        for part in 0..=20 {
            let target = image.path().join(part.to_string());
            copy(dir.path(), &target);
            let file = std::fs::File::options().write(true).open(target.join("0.jnl")).unwrap();
            file.set_len(size * part / 20).unwrap();
            let store = Store::open(&Options { dir: target, ..options(&dir) }, true).unwrap();
            let lsn = store.vclock().get(1);
            let Some(index) = store.find(512, 0, 1) else {
                assert_eq!(lsn, 0);
                continue;
            };
            let last = store.get(&index, None, &bytes("last")).unwrap();
            assert_eq!(last, (lsn > 1).then(|| bytes(&lsn.to_string())));
            for key in 0..50i64 {
                let newest = (2..=lsn).rev().find(|lsn| lsn % 50 == key);
                let found = store.get(&index, None, &bytes(&format!("{key:03}"))).unwrap();
                assert_eq!(found, newest.map(|lsn| bytes(&lsn.to_string())));
            }
            lsns.push(lsn);
        }
        assert!(lsns.is_sorted() && lsns.first() < lsns.last());
        assert_eq!(lsns.last(), Some(&199));
    });
}

#[test]
fn closed_store_can_be_opened_while_somebody_has_an_index() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        let store = Store::open(&options(&dir), true).unwrap();
        let index = index(&store);
        store.submit(row(2), vec![put(&index, "a", "1")]);
        store.persist(&vclock(2)).unwrap();
        drop(store);
        assert_eq!(index.row_count(), 0);
        let store = Store::open(&options(&dir), true).unwrap();
        assert_eq!(all(&store, &store.find(512, 0, 2).unwrap()), "a=1");
    });
}

#[test]
fn damaged_table_is_named_by_reads_and_other_trees_go_on() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        let store = Store::open(&options(&dir), true).unwrap();
        let index = index(&store);
        let other = store.create(513, 0, &IndexOptions::default()).unwrap();
        store.set_created(&other, 1);
        let rows = (0..2000).map(|key| put(&index, &format!("{key:05}"), &"x".repeat(100)));
        store.submit(row(2), rows.chain([put(&other, "a", "1")]).collect());
        settle(&store);
        store.compact(&index).unwrap();
        store.persist(&vclock(2)).unwrap();
        let tree = index.tree().unwrap().path().to_owned();
        drop((store, index, other));

        let damaged = tables(&tree);
        assert!(!damaged.is_empty());
        for path in &damaged {
            // In the first block of rows.
            let mut content = std::fs::read(path).unwrap();
            content[100] ^= 0x55;
            std::fs::write(path, content).unwrap();
        }
        let store = Store::open(&options(&dir), true).unwrap();
        let index = store.find(512, 0, 2).unwrap();
        let error = store.get(&index, None, &bytes("00000")).unwrap_err();
        let name = damaged[0].display().to_string();
        assert!(error.message().contains(&name), "{error:?} names {name}");
        let error = store.scan(&index, None, &Range::ALL, false, 10).unwrap_err();
        assert!(error.message().contains(&name), "{error:?} names {name}");
        assert_eq!(all(&store, &store.find(513, 0, 2).unwrap()), "a=1");
        store.check().unwrap();
    });
}

#[test]
fn failed_write_is_final_and_named_and_reads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        let store = Store::open(&options(&dir), true).unwrap();
        let index = index(&store);
        store.submit(row(2), vec![put(&index, "a", "1")]);
        settle(&store);
        std::fs::remove_dir_all(index.tree().unwrap().path().join("tables")).unwrap();
        index.tree().unwrap().rotate_memtable().unwrap();
        let mut lsn = 2;
        let error = loop {
            lsn += 1;
            store.submit(row(lsn), vec![put(&index, "b", "2")]);
            match store.wait_applied(store.submitted()) {
                Ok(()) => fiber::yield_now(),
                Err(error) => break error,
            }
        };
        assert!(error.message().contains("No such file"), "{error:?}");
        assert_eq!(
            store.wait_room(std::time::Duration::ZERO).unwrap_err().message(),
            error.message()
        );
        assert_eq!(store.persist(&vclock(lsn)).unwrap_err().message(), error.message());
        assert_eq!(all(&store, &index).split(' ').next(), Some("a=1"));
    });
}

#[test]
fn index_has_the_generation_of_its_time() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        let store = Store::open(&options(&dir), true).unwrap();
        let (old, new) = (index(&store), store.create(512, 0, &IndexOptions::default()).unwrap());
        let built = store.create(512, 1, &IndexOptions::default()).unwrap();
        store.submit(Position::None, vec![put(&built, "a", "1")]);
        store.submit(row(2), vec![put(&old, "a", "1"), put(&old, "b", "1")]);
        // Emptied.
        store.set_dropped(&old, 10);
        store.set_created(&new, 10);
        store.submit(row(11), vec![put(&new, "c", "1")]);
        store.persist(&vclock(11)).unwrap();
        drop((store, old, new, built));

        let store = Store::open(&options(&dir), true).unwrap();
        assert!(store.find(512, 1, 11).is_none(), "was not made in the end");
        assert_eq!(store.generations().len(), 2);
        assert_eq!(all(&store, &store.find(512, 0, 9).unwrap()), "a=1 b=1");
        assert_eq!(all(&store, &store.find(512, 0, 10).unwrap()), "c=1");
        let new = store.find(512, 0, 10).unwrap();
        assert!(store.create(512, 0, &IndexOptions::default()).unwrap().number() > new.number());
        store.collect_garbage(9).unwrap();
        assert!(store.find(512, 0, 9).is_some());
    });
}

#[test]
fn dropped_tree_gives_disk_and_memory_back() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        let store = Store::open(&options(&dir), true).unwrap();
        let index = index(&store);
        let rows = (0..2000).map(|key| put(&index, &format!("{key:05}"), &"x".repeat(100)));
        store.submit(row(2), rows.collect());
        settle(&store);
        store.compact(&index).unwrap();
        let measure = store.measure(&index);
        assert_eq!((measure.disk_rows, measure.memory_rows), (2000, 0));
        assert!(measure.disk_size > 10_000 && measure.table_count > 0 && measure.run_count > 0);
        let rows = (0..2000).map(|key| put(&index, &format!("{key:05}"), &"x".repeat(100)));
        store.submit(row(3), rows.collect());
        settle(&store);
        assert!(store.quota().0 > 200_000);
        let path = index.tree().unwrap().path().to_owned();
        store.set_dropped(&index, 5);
        let snapshot = store.snapshot();
        store.collect_garbage(5).unwrap();
        assert!(store.find(512, 0, 4).is_none());
        // Who reads it still can.
        assert_eq!(
            store.scan(&index, Some(&snapshot), &Range::ALL, false, 5000).unwrap().len(),
            2000
        );
        drop((index, snapshot));
        while path.exists() || store.quota().0 > 100_000 {
            let _ = fiber::sleep(std::time::Duration::from_millis(1));
        }
    });
}

#[test]
fn full_quota_times_out() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        let store = Store::open(&options(&dir), true).unwrap();
        let index = index(&store);
        settle(&store);
        store.wait_room(std::time::Duration::ZERO).unwrap();
        store.set_limits(1, 0);
        store.submit(row(2), vec![put(&index, "a", "1")]);
        let error = store.wait_room(std::time::Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.message(), "Timed out waiting for Vinyl memory quota");
        store.set_limits(16 << 20, 0);
        store.wait_room(std::time::Duration::ZERO).unwrap();
    });
}

#[test]
fn long_keys_are_refused_in_writes_and_bound_reads() {
    let dir = tempfile::tempdir().unwrap();
    in_fiber(move || {
        let long = |byte: u8, size: usize| Bytes::from(vec![byte; size]);
        assert!(key::check_size(&long(5, 65_535)).is_ok());
        let error = key::check_size(&long(5, 65_536)).unwrap_err();
        assert_eq!(error.message(), "Vinyl does not support keys longer than 65535 bytes");
        let store = Store::open(&options(&dir), true).unwrap();
        let index = index(&store);
        store.submit(row(2), vec![put(&index, "a", "1"), put(&index, "c", "3")]);
        settle(&store);
        assert_eq!(store.get(&index, None, &long(b'b', 70_000)).unwrap(), None);
        let above = Range::ALL.after(long(b'b', 70_000));
        assert_eq!(store.scan(&index, None, &above, false, 9).unwrap().len(), 1);
        let below = Range::ALL.before(long(b'b', 70_000));
        assert_eq!(store.scan(&index, None, &below, true, 9).unwrap().len(), 1);
    });
}

/// A process may be killed while it makes the store, after each of these steps.
#[test]
fn a_half_made_store_is_made_anew() {
    for steps in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vinyl");
        let made: [&dyn Fn(); 4] = [
            &|| std::fs::create_dir_all(path.join("keyspaces")).unwrap(),
            &|| std::fs::write(path.join("lock"), b"").unwrap(),
            &|| std::fs::write(path.join("0.jnl"), vec![0; 1 << 20]).unwrap(),
            &|| std::fs::write(path.join("version"), b"").unwrap(),
        ];
        made[..steps].iter().for_each(|step| step());
        in_fiber(move || {
            let given = Options { memory: 16 << 20, cache: 1 << 20, ..Options::new(&path) };
            let store = Store::open(&given, true).unwrap();
            drop(store);
            assert!(Store::open(&given, true).is_ok(), "{steps}");
            drop(dir);
        });
    }
}
