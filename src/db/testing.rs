//! What tests of this folder and of those above need: a database without a disk, in a fiber.

use std::rc::Rc;

use crate::fiber;
use crate::value::mp::{write_array_len, write_bool, write_map_len, write_str, write_uint};
use crate::wal::MemoryJournal;
use crate::xrow::Vclock;

use super::database::{Database, Phase};
use super::options::Options;
use super::system_space as id;

/// Runs `test` in a fiber of a thread of its own. A panic of the test fails the caller.
pub fn run_in_fiber(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        let failure: Rc<std::cell::Cell<Option<Box<dyn std::any::Any + Send>>>> = Rc::default();
        let slot = failure.clone();
        fiber::run("main", move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
            slot.set(result.err());
            fiber::stop();
        })
        .expect("the run loop starts");
        if let Some(panic) = failure.take() {
            std::panic::resume_unwind(panic);
        }
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A bootstrapped database whose journal is memory; entries end well when awaited.
pub fn database() -> &'static Database {
    database_with(Rc::new(MemoryJournal::auto(1, Vclock::new())))
}

/// A bootstrapped database with this journal.
pub fn database_with(journal: Rc<MemoryJournal>) -> &'static Database {
    let db = Database::create(Options::default());
    db.bootstrap_content().expect("bootstrap rows are valid");
    db.set_journal(journal);
    db.set_phase(Phase::Running);
    db.set_configured();
    db
}

/// A row of `_space` for a memtx space without format.
pub fn space_row(space_id: u32, name: &str) -> Vec<u8> {
    let mut row = Vec::new();
    write_array_len(&mut row, 7);
    write_uint(&mut row, u64::from(space_id));
    write_uint(&mut row, 1);
    write_str(&mut row, name.as_bytes());
    write_str(&mut row, b"memtx");
    write_uint(&mut row, 0);
    write_map_len(&mut row, 0);
    write_array_len(&mut row, 0);
    row
}

/// A row of `_index`; parts are (field, type).
pub fn index_row(
    space_id: u32,
    index_id: u32,
    name: &str,
    kind: &str,
    unique: bool,
    parts: &[(u32, &str)],
) -> Vec<u8> {
    let mut row = Vec::new();
    write_array_len(&mut row, 6);
    write_uint(&mut row, u64::from(space_id));
    write_uint(&mut row, u64::from(index_id));
    write_str(&mut row, name.as_bytes());
    write_str(&mut row, kind.as_bytes());
    write_map_len(&mut row, 1);
    write_str(&mut row, b"unique");
    write_bool(&mut row, unique);
    write_array_len(&mut row, parts.len() as u32);
    for (field, kind) in parts {
        write_array_len(&mut row, 2);
        write_uint(&mut row, u64::from(*field));
        write_str(&mut row, kind.as_bytes());
    }
    row
}

/// Makes a space with a primary index over its first field, an unsigned number.
pub fn create_space(db: &Database, space_id: u32, name: &str) {
    db.insert(id::SPACE, &space_row(space_id, name)).expect("the row is valid");
    let index = index_row(space_id, 0, "primary", "tree", true, &[(0, "unsigned")]);
    db.insert(id::INDEX, &index).expect("the row is valid");
}

/// A MessagePack array of unsigned numbers.
pub fn numbers(values: &[u64]) -> Vec<u8> {
    let mut array = Vec::new();
    write_array_len(&mut array, values.len() as u32);
    values.iter().for_each(|value| write_uint(&mut array, *value));
    array
}
