//! Data directories that Tarantool has written.

use std::path::Path;

use super::super::testing::{numbers, run_in_fiber};
use super::super::*;
use super::{select, shown};
use crate::memtx::IteratorType;
use crate::value::mp::{text, write_array_len, write_nil, write_str};
use crate::value::uuid::Uuid;
use crate::wal::format::{BlockEncoder, MAGIC_END};
use crate::wal::{FileType, Meta, Reader};
use crate::xrow::iproto::{flag, kind};
use crate::xrow::{Header, Request, Row, Vclock};

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

/// A MessagePack value, written as JSON.
fn value(json: &str) -> Vec<u8> {
    crate::value::json::to_msgpack(json.as_bytes(), &crate::value::json::Options::default())
        .unwrap()
}

/// Rows of a file to be.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    lsn: i64,
}

impl Rows {
    fn add(&mut self, header: Header, body: &[u8]) {
        let header = Header { timestamp: 1.5, ..header };
        Row { header, body }.encode(0, &mut self.bytes);
    }

    /// A row of a snapshot.
    fn insert(&mut self, space_id: u32, tuple: &[u8]) {
        let request = Request { tuple: Some(tuple), ..Request::new(kind::INSERT, space_id) };
        let mut body = Vec::new();
        request.encode(&mut body);
        self.add(Header { lsn: self.lsn, ..Header::new(kind::INSERT) }, &body);
        self.lsn += 1;
    }

    /// A row of the log, a transaction of its own, with these flags.
    fn log(&mut self, request: &Request<'_>, flags: u8) {
        let mut body = Vec::new();
        request.encode(&mut body);
        self.lsn += 1;
        let header = Header { replica_id: 1, lsn: self.lsn, ..Header::new(request.kind) };
        self.add(Header { flags: flags | flag::COMMIT, tsn: self.lsn, ..header }, &body);
    }

    /// Insertions of one transaction into a space; the last row ends it if it `is_whole`.
    fn transaction(&mut self, space_id: u32, tuples: &[&str], is_whole: bool) {
        let tsn = self.lsn + 1;
        for (number, tuple) in (1..).zip(tuples) {
            let tuple = value(tuple);
            let request = Request { tuple: Some(&tuple), ..Request::new(kind::INSERT, space_id) };
            let mut body = Vec::new();
            request.encode(&mut body);
            self.lsn += 1;
            let flags = if number == tuples.len() && is_whole { flag::COMMIT } else { 0 };
            let header = Header { replica_id: 1, lsn: self.lsn, ..Header::new(kind::INSERT) };
            self.add(Header { flags, tsn, ..header }, &body);
        }
    }

    fn write(&self, path: &Path, meta: &Meta) {
        let mut file = meta.encode().into_bytes();
        BlockEncoder::new().unwrap().encode(&self.bytes, &mut file).unwrap();
        file.extend_from_slice(&MAGIC_END);
        std::fs::write(path, file).unwrap();
    }
}

/// The rows of system spaces that a directory of ours begins with.
fn system_rows(rows: &mut Rows) {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), |_| {});
    let mut reader = Reader::open(&directory.path().join("00000000000000000000.snap")).unwrap();
    while let Some(row) = reader.next_row().unwrap() {
        let (space_id, tuple) = crate::xrow::tuple_alone(row.body).unwrap();
        if space_id != system_space::SCHEMA && space_id != system_space::CLUSTER {
            rows.insert(space_id, tuple);
        }
    }
}

const INSTANCE: &str = "6b2ee7a4-4d7b-4a3a-9a8a-0c5a2b8f1a01";
const REPLICASET: &str = "1f0f2c1d-0b7c-45a6-b8f6-5a9b6a7d3c02";

/// What the instances of 3.x leave: names, synchronous spaces, elections, consumers of the log,
/// definitions with constraints, and rows with the tuples before and after a change.
fn directory_of_3() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut rows = Rows::default();
    for row in [
        r#"["cluster_name", "c"]"#,
        &format!(r#"["replicaset_uuid", "{REPLICASET}"]"#),
        r#"["replicaset_name", "r"]"#,
        r#"["bootstrap_leader_uuid", "6b2ee7a4-4d7b-4a3a-9a8a-0c5a2b8f1a01"]"#,
        r#"["version", 3, 8, 0]"#,
    ] {
        rows.insert(system_space::SCHEMA, &value(row));
    }
    system_rows(&mut rows);
    for (space_id, row) in [
        (
            system_space::SPACE,
            r#"[512, 1, "s", "memtx", 0, {"is_sync": true, "constraint": {"c": 66}},
                [{"name": "id", "type": "unsigned"},
                {"name": "value", "type": "int32", "default": 7, "is_nullable": true}]]"#,
        ),
        (
            system_space::SPACE,
            r#"[513, 1, "child", "memtx", 0, {"foreign_key": {"k": {"space": 512,
                "field": {"parent": "id"}}}}, [{"name": "parent", "type": "unsigned",
                "constraint": {"c": 66}}]]"#,
        ),
        (
            system_space::INDEX,
            r#"[513, 0, "primary", "tree", {"unique": true}, [{"field": 0, "type": "unsigned"}]]"#,
        ),
        (
            system_space::INDEX,
            r#"[512, 0, "primary", "tree", {"unique": true, "hint": true},
                [{"field": 0, "type": "unsigned"}]]"#,
        ),
        (
            system_space::INDEX,
            r#"[512, 1, "value", "tree", {"unique": false},
                [{"field": 1, "type": "int32", "exclude_null": true, "is_nullable": true}]]"#,
        ),
        (
            system_space::FUNC,
            r#"[66, 1, "f", 0, "LUA", "function(t) return true end", "function", [], "any", "none",
                "none", true, true, true, ["LUA"], {}, "", "2024-01-01 00:00:00",
                "2024-01-01 00:00:00", ["event"]]"#,
        ),
        (
            system_space::USER,
            r#"[32, 1, "alice", "user", {"pap-sha256": ["AAECAwQFBgcICQoLDA0ODxAREhM=",
                "rRojUrbFFflVNenNsgz3mWp6/tFU8pqIBj3qTWu3XBY="]}, [], 1700000000]"#,
        ),
        (system_space::CLUSTER, &format!(r#"[1, "{INSTANCE}", "i"]"#)),
        (
            system_space::GC_CONSUMERS,
            r#"["6b2ee7a4-4d7b-4a3a-9a8a-0c5a2b8f1a03", {}, {"type": "replica"}]"#,
        ),
        (system_space::RECOVERY_POINT, r#"[1700000000, 1, 3, {}]"#),
        (513, "[1]"),
        (512, "[1, 10]"),
        (512, "[2, null]"),
    ] {
        rows.insert(space_id, &value(row));
    }
    let (local, lsn) = (crate::xrow::iproto::GROUP_LOCAL, rows.lsn);
    rows.add(Header { lsn, group_id: local, ..Header::new(kind::RAFT) }, &[0x82, 0, 5, 1, 1]);
    let promote = &[0x83, 0x02, 1, 0x03, 0, 0x53, 5];
    rows.add(Header { lsn: lsn + 1, ..Header::new(kind::RAFT_PROMOTE) }, promote);
    let instance_uuid = Uuid::parse(INSTANCE.as_bytes()).unwrap();
    let vclock = Vclock::parse("{0: 4, 1: 6}").unwrap();
    let meta = Meta::new(FileType::Snap, instance_uuid, vclock, None);
    rows.write(&directory.path().join("00000000000000000010.snap"), &meta);

    let mut rows = Rows { bytes: Vec::new(), lsn: 6 };
    let synchronous = flag::WAIT_SYNC | flag::WAIT_ACK;
    let (old, new) = (value("[1, 10]"), value("[1, 11]"));
    let replace = Request { tuple: Some(&new), ..Request::new(kind::REPLACE, 512) };
    let with_both = Request { old_tuple: Some(&old), new_tuple: Some(&new), ..replace };
    rows.log(&with_both, synchronous);
    rows.lsn += 1;
    let confirm = Header { replica_id: 1, lsn: rows.lsn, ..Header::new(kind::RAFT_CONFIRM) };
    rows.add(confirm, &[0x82, 0x02, 1, 0x03, 7]);
    rows.add(Header { lsn: 5, group_id: local, ..Header::new(kind::RAFT) }, &[0x81, 0, 6]);
    rows.log(&Request::new(kind::NOP, 0), 0);
    let key = value("[2]");
    rows.log(&Request { key: Some(&key), ..Request::new(kind::DELETE, 512) }, synchronous);
    let three = value("[3, 30]");
    rows.log(&Request { tuple: Some(&three), ..Request::new(kind::INSERT, 512) }, synchronous);
    let meta = Meta::new(FileType::Xlog, instance_uuid, vclock, None);
    rows.write(&directory.path().join("00000000000000000010.xlog"), &meta);
    directory
}

#[test]
fn directory_of_tarantool_3_is_recovered_and_goes_on() {
    fn check(db: &Database) {
        assert_eq!(db.schema().dd_version(), [3, 8, 0]);
        let instance = db.instance();
        assert_eq!((instance.id, &*instance.name), (1, "i"));
        assert_eq!(instance.uuid.to_string(), INSTANCE);
        assert_eq!(instance.replicaset_uuid.to_string(), REPLICASET);
        assert_eq!((&*instance.replicaset_name, &*instance.cluster_name), ("r", "c"));
        let space = db.schema().space_by_name("s").unwrap();
        assert!(space.definition().options.is_sync);
        assert_eq!(select(db, 512)[..2], ["[1, 11]", "[3, 30]"]);
        assert_eq!(select(db, system_space::RECOVERY_POINT), ["[1700000000, 1, 3, {}]"]);
        assert_eq!(select(db, system_space::GC_CONSUMERS).len(), 1);
        assert!(db.functions().get_by_name("f").is_some());
        assert!(db.users().find_by_name("alice").is_ok());
        let error = db.delete(512, 0, &numbers(&[1])).unwrap_err();
        assert_eq!(error.message(), "Foreign key 'k' integrity check failed: tuple is referenced");
    }
    let directory = directory_of_3();
    open(directory.path(), |db| {
        check(db);
        assert_eq!(db.journal().vclock().to_string(), "{0: 5, 1: 11}");
        assert_eq!(db.len(512, 1).unwrap(), 2);
        db.insert(512, &value("[4, null]")).unwrap();
        assert_eq!(select(db, 512)[2], "[4, 7]", "the default applies");
        db.checkpoint().unwrap();
    });
    open(directory.path(), check);
}

/// The directory of 3.x with one more log file, read without and with `force_recovery`.
fn check_damaged_log(fill: impl Fn(&mut Rows), message: &str, expected: &'static [&str]) {
    let directory = directory_of_3();
    let vclock = Vclock::parse("{0: 5, 1: 11}").unwrap();
    let previous = Vclock::parse("{0: 4, 1: 6}").unwrap();
    let instance_uuid = Uuid::parse(INSTANCE.as_bytes()).unwrap();
    let meta = Meta::new(FileType::Xlog, instance_uuid, vclock, Some(previous));
    let mut rows = Rows { bytes: Vec::new(), lsn: 11 };
    fill(&mut rows);
    rows.write(&directory.path().join("00000000000000000016.xlog"), &meta);
    for force_recovery in [false, true] {
        let (memtx_dir, wal_dir) = (directory.path().to_owned(), directory.path().to_owned());
        let options = Options { memtx_dir, wal_dir, force_recovery, ..Options::default() };
        let message = message.to_owned();
        run_in_fiber(move || {
            let db = Database::create(options);
            if !force_recovery {
                assert_eq!(db.open().unwrap_err().message(), message);
            } else {
                db.open().unwrap();
                assert_eq!(select(db, 512), expected);
            }
            db.close();
        });
    }
}

#[test]
fn transaction_of_the_log_that_cannot_be_applied_is_left_out_whole() {
    let fill = |rows: &mut Rows| {
        rows.transaction(512, &["[4, 40]", "[3, 31]", "[5, 50]"], true);
        rows.transaction(512, &["[6, 60]", "[7, 70]"], true);
    };
    let message = "Duplicate key exists in unique index \"primary\" in space \"s\" with old \
                   tuple - [3, 30] and new tuple - [3, 31]";
    check_damaged_log(fill, message, &["[1, 11]", "[3, 30]", "[6, 60]", "[7, 70]"]);
}

#[test]
fn transaction_of_the_log_without_its_end_is_left_out() {
    let fill = |rows: &mut Rows| rows.transaction(512, &["[4, 40]", "[5, 50]"], false);
    let message = "found a not finished transaction in the log";
    check_damaged_log(fill, message, &["[1, 11]", "[3, 30]"]);
}
