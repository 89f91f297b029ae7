//! What becomes of spaces on disk when their files are not what the log says, and their limits.

use std::path::Path;

use super::super::testing::{index_row, numbers, run_in_fiber, space_row};
use super::super::*;
use crate::value::mp::{write_array_len, write_str};

fn options(directory: &Path) -> Options {
    Options {
        memtx_dir: directory.to_owned(),
        wal_dir: directory.to_owned(),
        vinyl_dir: directory.to_owned(),
        ..Options::default()
    }
}

fn create_space(db: &Database, kind: &str) {
    let mut row = space_row(512, "s");
    let engine = row.windows(5).position(|name| name == b"memtx").unwrap();
    row[engine..engine + 5].copy_from_slice(b"vinyl");
    db.insert(system_space::SPACE, &row).unwrap();
    let index = index_row(512, 0, "primary", "tree", true, &[(0, kind)]);
    db.insert(system_space::INDEX, &index).unwrap();
}

/// Copies a directory, but for the bytes of fjall's journals.
fn copy_without_journal(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, path) = entry.map(|entry| (entry.file_name(), entry.path())).unwrap();
        let target = to.join(entry);
        if path.is_dir() {
            copy_without_journal(&path, &target);
        } else if path.extension().is_some_and(|extension| extension == "jnl") {
            std::fs::write(target, []).unwrap();
        } else {
            std::fs::copy(&path, target).unwrap();
        }
    }
}

#[test]
fn store_that_lost_what_a_checkpoint_has_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let given = options(directory.path());
    run_in_fiber(move || {
        let db = Database::create(given);
        db.open().unwrap();
        create_space(db, "unsigned");
        db.replace(512, &numbers(&[1])).unwrap();
        db.checkpoint().unwrap();
        db.close();
    });
    // Elsewhere: as long as the process lives, the closed database has its indexes, and they the lock.
    let image = tempfile::tempdir().unwrap();
    copy_without_journal(directory.path(), image.path());
    let folder = image.path().join("vinyl");
    let given = options(image.path());
    run_in_fiber(move || {
        let error = Database::create(given).open().unwrap_err();
        let message = error.message();
        assert!(message.starts_with("Invalid VYLOG file: "), "{message}");
        assert!(message.contains("is complete up to 0 only"), "{message}");
        assert!(message.contains(&folder.display().to_string()), "{message}");
    });
}

#[test]
fn keys_that_trees_do_not_take_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    run_in_fiber(move || {
        let db = Database::create(options(directory.path()));
        db.open().unwrap();
        create_space(db, "string");
        let tuple = |size: usize| {
            let mut row = Vec::new();
            write_array_len(&mut row, 1);
            write_str(&mut row, &vec![b'x'; size]);
            row
        };
        db.insert(512, &tuple(60_000)).unwrap();
        let error = db.insert(512, &tuple(70_000)).unwrap_err();
        assert_eq!(error.message(), "Vinyl does not support keys longer than 65535 bytes");
        assert!(db.delete(512, 0, &tuple(70_000)).unwrap().is_none());
        assert!(db.get(512, 0, &tuple(70_000)).unwrap().is_none());
        assert!(db.get(512, 0, &tuple(60_000)).unwrap().is_some());
        db.insert(512, &tuple(1)).unwrap();
        db.close();
    });
}
