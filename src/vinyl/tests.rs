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
    Position::Row { replica_id: 1, lsn }
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
        let store = Store::open(&options(&dir)).unwrap();
        assert_eq!(store.vclock().get(1), 0);
        let index = store.create(512, 0, &IndexOptions::default()).unwrap();
        store.set_created(&index, 5);
        store.submit(row(6), vec![put(&index, "a", "1"), put(&index, "b", "2")]);
        let last = store.submit(row(7), vec![delete(&index, "a"), put(&index, "c", "3")]);
        store.wait_applied(last).unwrap();
        assert_eq!(all(&store, &index), "b=2 c=3");
        store.persist(&vclock(9)).unwrap();
        drop((store, index));

        let store = Store::open(&options(&dir)).unwrap();
        assert_eq!(store.vclock().get(1), 9);
        assert!(store.find(512, 0, 4).is_none());
        let index = store.find(512, 0, 5).unwrap();
        assert_eq!(all(&store, &index), "b=2 c=3");
        assert_eq!(store.get(&index, None, &bytes("b")).unwrap(), Some(bytes("2")));
        assert_eq!(store.get(&index, None, &bytes("a")).unwrap(), None);
        assert_eq!(store.get_cached(&index, None, b"a"), Some(None));
    });
}
