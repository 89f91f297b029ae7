//! The database as a whole, without disk.

mod disk;
mod durability;
mod foreign;
mod model;

use super::testing::{create_space, database, index_row, numbers, run_in_fiber, space_row};
use super::*;
use crate::memtx::IteratorType;
use crate::tuple::Tuple;
use crate::value::mp::text;

fn select(db: &Database, space_id: u32) -> Vec<String> {
    let options = SelectOptions { iterator: IteratorType::All, ..SelectOptions::default() };
    let selection = db.select(space_id, 0, &[0x90], &options).unwrap();
    selection.tuples.iter().map(|tuple| text(tuple.data())).collect()
}

fn shown(tuple: Option<Tuple>) -> String {
    tuple.map_or_else(|| "nil".into(), |tuple| text(tuple.data()))
}

#[test]
fn bootstrap_makes_the_system_spaces() {
    run_in_fiber(|| {
        let db = database();
        assert_eq!(db.schema().spaces().len(), system_space::DEFINITIONS.len());
        for definition in system_space::DEFINITIONS {
            let space = db.space(definition.id).unwrap();
            assert_eq!(space.name(), definition.name);
            assert_eq!(space.format().fields().len(), definition.fields.len());
            assert_eq!(space.indexes().len(), definition.indexes.len(), "{}", space.name());
        }
        assert_eq!(db.len(system_space::COLLATION, 0).unwrap(), 277);
        let all = crate::memtx::IteratorType::All;
        assert_eq!(db.count(system_space::VCOLLATION, 0, &[0x90], all).unwrap(), 277);
        assert_eq!(db.schema().dd_version(), crate::base::version::SCHEMA);
        let mut name = vec![0x91];
        crate::value::mp::write_str(&mut name, b"_space");
        let row = db.get(system_space::SPACE, 2, &name).unwrap();
        assert!(shown(row).starts_with("[280, 1, \"_space\", \"memtx\""));
    });
}

#[test]
fn statements_change_all_indexes_or_none() {
    run_in_fiber(|| {
        let db = database();
        create_space(db, 512, "s");
        let second = index_row(512, 1, "second", "tree", true, &[(1, "unsigned")]);
        db.insert(system_space::INDEX, &second).unwrap();
        assert_eq!(shown(db.insert(512, &numbers(&[1, 10])).unwrap()), "[1, 10]");
        db.insert(512, &numbers(&[2, 20])).unwrap();
        let error = db.insert(512, &numbers(&[1, 30])).unwrap_err();
        assert_eq!(
            error.message(),
            "Duplicate key exists in unique index \"primary\" in space \"s\" with old tuple - \
             [1, 10] and new tuple - [1, 30]"
        );
        let error = db.replace(512, &numbers(&[1, 20])).unwrap_err();
        assert!(error.message().contains("index \"second\" in space \"s\""));
        assert_eq!(select(db, 512), ["[1, 10]", "[2, 20]"]);
        assert_eq!(shown(db.get(512, 1, &numbers(&[10])).unwrap()), "[1, 10]");
        assert_eq!(shown(db.delete(512, 1, &numbers(&[20])).unwrap()), "[2, 20]");
        assert_eq!(shown(db.delete(512, 1, &numbers(&[20])).unwrap()), "nil");
        assert_eq!(db.space(512).unwrap().bsize(), 3);
    });
}

#[test]
fn errors_are_tarantools() {
    run_in_fiber(|| {
        let db = database();
        create_space(db, 512, "s");
        let message = |result: crate::base::Result<Option<Tuple>>| {
            result.map(shown).map_err(|error| error.message().to_owned()).unwrap_err()
        };
        assert_eq!(message(db.insert(999, &numbers(&[1]))), "Space '999' does not exist");
        assert_eq!(message(db.get(512, 5, &numbers(&[1]))), "No index #5 is defined in space 's'");
        assert_eq!(
            message(db.get(512, 0, &numbers(&[1, 2]))),
            "Invalid key part count in an exact match (expected 1, got 2)"
        );
        assert_eq!(
            message(db.get(512, 0, &[0x91, 0xa1, b'x'])),
            "Supplied key type of part 0 does not match index part type: expected unsigned"
        );
        assert_eq!(
            message(db.insert(512, &[0x91, 0xa1, b'x'])),
            "Tuple field 1 type does not match one required by operation: expected unsigned, \
             got string"
        );
        assert_eq!(
            message(db.insert(system_space::SPACE, &space_row(513, "s"))),
            "Duplicate key exists in unique index \"name\" in space \"_space\" with old tuple - \
             [512, 1, \"s\", \"memtx\", 0, {}, []] and new tuple - [513, 1, \"s\", \"memtx\", 0, \
             {}, []]"
        );
        assert_eq!(
            message(db.delete(system_space::SPACE, 0, &numbers(&[512]))),
            "Can't drop space 's': the space has indexes"
        );
        assert_eq!(
            message(db.insert(system_space::VSPACE, &space_row(514, "t"))),
            "View '_vspace' is read-only"
        );
        let unknown = {
            let mut row = space_row(515, "v");
            let at = row.windows(5).position(|part| part == b"memtx").unwrap();
            row[at..at + 5].copy_from_slice(b"xinyl");
            row
        };
        assert_eq!(
            message(db.insert(system_space::SPACE, &unknown)),
            "Space engine 'xinyl' does not exist"
        );
    });
}

#[test]
fn failed_statement_of_a_transaction_leaves_the_others() {
    run_in_fiber(|| {
        let db = database();
        create_space(db, 512, "s");
        db.begin(BeginOptions::default()).unwrap();
        db.insert(512, &numbers(&[1])).unwrap();
        let savepoint = db.savepoint().unwrap();
        db.insert(512, &numbers(&[2])).unwrap();
        assert!(db.insert(512, &numbers(&[1])).is_err());
        db.rollback_to_savepoint(savepoint).unwrap();
        db.insert(512, &numbers(&[3])).unwrap();
        db.commit().unwrap();
        assert_eq!(select(db, 512), ["[1]", "[3]"]);
        assert!(!db.is_in_transaction());
    });
}

#[test]
fn savepoints_of_a_rolled_back_transaction_do_not_stand_for_later_ones() {
    run_in_fiber(|| {
        let db = database();
        create_space(db, 512, "s");
        db.begin(BeginOptions::default()).unwrap();
        db.savepoint().unwrap();
        db.insert(512, &numbers(&[1])).unwrap();
        db.rollback().unwrap();
        db.begin(BeginOptions::default()).unwrap();
        db.insert(512, &numbers(&[2])).unwrap();
        let savepoint = db.savepoint().unwrap();
        db.insert(512, &numbers(&[3])).unwrap();
        db.rollback_to_savepoint(savepoint).unwrap();
        db.commit().unwrap();
        assert_eq!(select(db, 512), ["[2]"]);
    });
}

#[test]
fn ddl_is_taken_back_with_its_transaction() {
    run_in_fiber(|| {
        let db = database();
        db.begin(BeginOptions::default()).unwrap();
        create_space(db, 512, "s");
        db.insert(512, &numbers(&[1, 2])).unwrap();
        let second = index_row(512, 1, "second", "hash", true, &[(1, "unsigned")]);
        db.insert(system_space::INDEX, &second).unwrap();
        assert_eq!(shown(db.get(512, 1, &numbers(&[2])).unwrap()), "[1, 2]");
        db.replace(system_space::TRUNCATE, &numbers(&[512, 1])).unwrap();
        assert_eq!(db.len(512, 0).unwrap(), 0);
        db.rollback().unwrap();
        assert!(db.space(512).is_none());
        create_space(db, 512, "s");
        assert!(select(db, 512).is_empty());
    });
}

#[test]
fn yield_aborts_a_transaction_at_once() {
    run_in_fiber(|| {
        let db = database();
        create_space(db, 512, "s");
        db.begin(BeginOptions::default()).unwrap();
        db.insert(512, &numbers(&[1])).unwrap();
        crate::fiber::yield_now();
        assert_eq!(db.space(512).unwrap().len(), 0);
        let error = db.insert(512, &numbers(&[2])).unwrap_err();
        assert_eq!(error.message(), "Transaction has been aborted by a fiber yield");
        assert!(db.commit().is_err());
        assert!(!db.is_in_transaction());
        db.insert(512, &numbers(&[2])).unwrap();
        assert_eq!(select(db, 512), ["[2]"]);
    });
}
