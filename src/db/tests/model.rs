//! Transactions and savepoints against a model: a map that is copied at each savepoint.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::testing::{create_space, database, index_row, numbers, run_in_fiber};
use super::super::*;
use super::select;

#[derive(Clone, Debug)]
enum Step {
    Begin,
    Commit,
    Rollback,
    Savepoint,
    RollbackTo(usize),
    Insert(u64, u64),
    Replace(u64, u64),
    Delete(u64),
    Truncate,
    Yield,
}

fn step() -> impl Strategy<Value = Step> {
    let (key, value) = (0..8u64, 0..8u64);
    prop_oneof![
        2 => Just(Step::Begin),
        1 => Just(Step::Commit),
        1 => Just(Step::Rollback),
        2 => Just(Step::Savepoint),
        2 => (0..4usize).prop_map(Step::RollbackTo),
        5 => (key.clone(), value.clone()).prop_map(|(key, value)| Step::Insert(key, value)),
        5 => (key.clone(), value).prop_map(|(key, value)| Step::Replace(key, value)),
        3 => key.prop_map(Step::Delete),
        1 => Just(Step::Truncate),
        1 => Just(Step::Yield),
    ]
}

type Content = BTreeMap<u64, u64>;

#[derive(Default)]
struct Model {
    now: Content,
    before: Option<Content>,
    savepoints: Vec<(Savepoint, Content)>,
    aborted: bool,
    truncations: u64,
}

impl Model {
    /// Whether the second index, unique on the value, admits the pair.
    fn is_free(&self, key: u64, value: u64) -> bool {
        self.now.iter().all(|(other, taken)| *other == key || *taken != value)
    }

    fn end(&mut self) {
        self.savepoints.clear();
        self.before = None;
        self.aborted = false;
    }

    fn apply(&mut self, db: &Database, step: &Step) {
        match *step {
            Step::Begin => {
                let begun = db.begin(BeginOptions::default()).is_ok();
                assert_eq!(begun, self.before.is_none());
                self.before.get_or_insert_with(|| self.now.clone());
            }
            Step::Commit => {
                assert_eq!(db.commit().is_err(), self.aborted);
                self.end();
            }
            Step::Rollback => {
                db.rollback().unwrap();
                if let Some(before) = self.before.take() {
                    self.now = before;
                }
                self.end();
            }
            Step::Savepoint => match db.savepoint() {
                Ok(savepoint) => self.savepoints.push((savepoint, self.now.clone())),
                Err(_) => assert!(self.before.is_none() || self.aborted),
            },
            Step::RollbackTo(index) => {
                let Some((savepoint, content)) = self.savepoints.get(index).cloned() else {
                    return;
                };
                let done = db.rollback_to_savepoint(savepoint).is_ok();
                assert_eq!(done, !self.aborted);
                if done {
                    self.now = content;
                    self.savepoints.truncate(index + 1);
                }
            }
            Step::Insert(key, value) => {
                let possible = !self.now.contains_key(&key) && self.is_free(key, value);
                self.write(db.insert(512, &numbers(&[key, value])).is_ok(), possible, |now| {
                    now.insert(key, value);
                });
            }
            Step::Replace(key, value) => {
                let possible = self.is_free(key, value);
                self.write(db.replace(512, &numbers(&[key, value])).is_ok(), possible, |now| {
                    now.insert(key, value);
                });
            }
            Step::Delete(key) => {
                self.write(db.delete(512, 0, &numbers(&[key])).is_ok(), true, |now| {
                    now.remove(&key);
                });
            }
            Step::Truncate => {
                self.truncations += 1;
                let row = numbers(&[512, self.truncations]);
                let done = db.replace(system_space::TRUNCATE, &row).is_ok();
                self.write(done, true, Content::clear);
            }
            Step::Yield => {
                crate::fiber::yield_now();
                // An empty transaction has nothing to hide and lives on.
                if let Some(transaction) = db.transaction()
                    && transaction.is_aborted()
                {
                    self.now = self.before.clone().expect("a transaction was begun");
                    self.aborted = true;
                }
            }
        }
    }

    fn write(&mut self, done: bool, possible: bool, change: impl FnOnce(&mut Content)) {
        assert_eq!(done, possible && !self.aborted);
        if done {
            change(&mut self.now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn database_does_what_the_model_does(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        run_in_fiber(move || {
            let db = database();
            create_space(db, 512, "s");
            let second = index_row(512, 1, "second", "tree", true, &[(1, "unsigned")]);
            db.insert(system_space::INDEX, &second).unwrap();
            let mut model = Model::default();
            for step in &steps {
                model.apply(db, step);
                let expected: Vec<String> =
                    model.now.iter().map(|(key, value)| format!("[{key}, {value}]")).collect();
                if model.aborted {
                    assert_eq!(db.space(512).unwrap().len(), expected.len() as u64);
                    continue;
                }
                assert_eq!(select(db, 512), expected, "after {step:?}");
                assert_eq!(db.len(512, 1).unwrap(), expected.len() as u64);
                let bytes = db.space(512).unwrap().bsize();
                assert_eq!(bytes, expected.len() * 3);
            }
        });
    }
}
