//! Data directories that Tarantool has written.

use std::path::Path;

use super::super::testing::{numbers, run_in_fiber};
use super::super::*;
use super::{select, shown};
use crate::memtx::IteratorType;
use crate::value::mp::{text, write_array_len, write_nil, write_str};

/// A copy of a directory in `tests/data`.
fn fixture(name: &str) -> tempfile::TempDir {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(source).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn open(directory: &Path, session: impl FnOnce(&'static Database) + Send + 'static) {
    let (memtx_dir, wal_dir) = (directory.to_owned(), directory.to_owned());
    let options = Options { memtx_dir, wal_dir, ..Options::default() };
    run_in_fiber(move || {
        let db = Database::create(options);
        db.open().unwrap();
        session(db);
        db.close();
    });
}

fn string_key(value: &str) -> Vec<u8> {
    let mut key = vec![0x91];
    write_str(&mut key, value.as_bytes());
    key
}

/// What the script that made the directory left in it.
fn check_content(db: &Database) {
    let people = db.schema().space_by_name("people").unwrap();
    let id = people.id();
    let rows = select(db, id);
    assert_eq!(rows.len(), 22);
    assert_eq!(rows[2], "[3, \"name3\", 33]");
    assert_eq!(shown(db.get(id, 0, &numbers(&[4])).unwrap()), "nil");
    assert_eq!(shown(db.get(id, 0, &numbers(&[100])).unwrap()), "[100, \"up\", 2]");
    assert_eq!(shown(db.get(id, 0, &numbers(&[201])).unwrap()), "[201, \"y\"]");
    let by_name = db.count(id, 1, &string_key("NAME7"), IteratorType::Eq).unwrap();
    assert_eq!(by_name, 1, "the collation ignores case");
    let hashed = db.schema().space_by_name("hashed").unwrap();
    assert_eq!(select(db, hashed.id()), ["[\"d\", 4]"]);
    assert!(hashed.definition().is_local());
    assert!(db.schema().space_by_name("dropped").is_none());
    assert_eq!(db.schema().space_by_name("tmp").unwrap().len(), 0);
    let alice = db.users().find_by_name("alice").unwrap();
    assert_eq!(alice.access(&Object::One(ObjectKind::Space, id)), privilege::READ);
    let sequence = db.sequences().all().into_iter().find(|one| one.definition().name == "q");
    assert_eq!(sequence.unwrap().value(), Some(15));
    assert!(db.functions().get_by_name("f").is_some());
}

#[test]
fn directory_of_tarantool_2_6_is_recovered_and_goes_on() {
    let directory = fixture("tarantool-2.6");
    open(directory.path(), |db| {
        assert_eq!(db.schema().dd_version(), [2, 3, 1]);
        check_content(db);
        let id = db.schema().space_by_name("people").unwrap().id();
        let mut row = Vec::new();
        write_array_len(&mut row, 2);
        write_nil(&mut row);
        write_str(&mut row, b"next");
        let inserted = db.insert(id, &row).unwrap().unwrap();
        assert_eq!(text(inserted.data()), "[202, \"next\"]", "the sequence goes on");
        db.delete(id, 0, &numbers(&[202])).unwrap();
        db.checkpoint().unwrap();
    });
    open(directory.path(), check_content);
}
