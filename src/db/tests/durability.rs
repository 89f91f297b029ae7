//! What is in the data directory afterwards: recovery, checkpoints, lost writes.

use std::path::{Path, PathBuf};

use super::super::testing::{create_space, index_row, numbers, run_in_fiber};
use super::super::*;
use super::select;
use crate::wal::hostile::{Faults, HostileDisk};

fn options(directory: &Path) -> Options {
    Options { memtx_dir: directory.to_owned(), wal_dir: directory.to_owned(), ..Options::default() }
}

/// Runs `session` on a database over the directory and closes it.
fn with_database(directory: &Path, session: impl FnOnce(&'static Database) + Send + 'static) {
    let options = options(directory);
    run_in_fiber(move || {
        let db = Database::create(options);
        db.open().unwrap();
        session(db);
        db.close();
    });
}

fn with_disk(
    directory: &Path,
    disk: HostileDisk,
    session: impl FnOnce(&'static Database) + Send + 'static,
) {
    let options = options(directory);
    run_in_fiber(move || {
        let db = Database::create(options);
        db.open_on(std::sync::Arc::new(disk)).unwrap();
        session(db);
        db.close();
    });
}

fn copy_of(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn files(directory: &Path, extension: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(extension))
        .collect();
    names.sort();
    names
}

#[test]
fn restart_finds_what_was_committed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    with_database(&path, |db| {
        create_space(db, 512, "s");
        let second = index_row(512, 1, "second", "hash", true, &[(1, "unsigned")]);
        db.insert(system_space::INDEX, &second).unwrap();
        for key in 1..=10 {
            db.insert(512, &numbers(&[key, key * 10])).unwrap();
        }
        db.delete(512, 1, &numbers(&[30])).unwrap();
        db.update(512, 1, &numbers(&[40]), &update_row(), 1).unwrap();
        db.begin(BeginOptions::default()).unwrap();
        db.insert(512, &numbers(&[11, 1])).unwrap();
        db.rollback().unwrap();
    });
    let (uuid, expected) = {
        let (sender, receiver) = std::sync::mpsc::channel();
        with_database(&path, move |db| {
            sender.send((db.instance().uuid, select(db, 512))).unwrap();
            assert_eq!(db.len(512, 1).unwrap(), 9);
            assert_eq!(db.space(512).unwrap().bsize(), 9 * 3);
            db.checkpoint().unwrap();
            db.insert(512, &numbers(&[12, 1])).unwrap();
        });
        receiver.recv().unwrap()
    };
    assert_eq!(expected.len(), 9);
    assert_eq!(expected[2], "[4, 77]");
    with_database(&path, move |db| {
        assert_eq!(db.instance().uuid, uuid);
        assert_eq!(db.instance().id, 1);
        let found = select(db, 512);
        assert_eq!(found[..9], expected[..]);
        assert_eq!(found[9], "[12, 1]");
        assert_eq!(db.checkpoints().len(), 2);
    });
}

/// `{{'=', 2, 77}}`
fn update_row() -> Vec<u8> {
    vec![0x91, 0x93, 0xa1, b'=', 2, 77]
}

#[test]
fn copy_of_a_running_directory_is_what_a_crash_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let (sender, receiver) = std::sync::mpsc::channel();
    with_database(&path.clone(), move |db| {
        create_space(db, 512, "s");
        for key in 1..=100 {
            db.replace(512, &numbers(&[key])).unwrap();
            if key == 50 {
                sender.send(copy_of(&path)).unwrap();
            }
        }
    });
    let crashed = receiver.recv().unwrap();
    with_database(crashed.path(), |db| {
        assert_eq!(select(db, 512).len(), 50);
        db.replace(512, &numbers(&[1000])).unwrap();
    });
    with_database(crashed.path(), |db| assert_eq!(select(db, 512).len(), 51));
}

#[test]
fn old_checkpoints_go_with_their_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    with_database(&path, |db| {
        create_space(db, 512, "s");
        for round in 0..5 {
            for key in 0..10 {
                db.replace(512, &numbers(&[key, round])).unwrap();
            }
            db.checkpoint().unwrap();
        }
        assert!(db.checkpoint().is_ok(), "nothing new is no error");
    });
    assert_eq!(files(&path, ".snap").len(), 2);
    assert!(files(&path, ".xlog").len() <= 3);
    with_database(&path, |db| assert_eq!(select(db, 512).len(), 10));
}

#[test]
fn writers_go_on_during_a_checkpoint_and_it_holds_its_moment() {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().to_owned();
    with_database(&path, |db| {
        create_space(db, 512, "s");
        for key in 0..2000 {
            db.replace(512, &numbers(&[key, 1])).unwrap();
        }
        let writer = crate::fiber::spawn("writer", || {
            let db = Database::current();
            for key in 0..2000 {
                db.replace(512, &numbers(&[key, 2])).unwrap();
            }
        });
        let second = crate::fiber::spawn("second", || {
            let error = Database::current().checkpoint();
            assert!(error.is_err_and(|error| error.message().contains("already in progress")));
        });
        db.checkpoint().unwrap();
        writer.join();
        second.join();
    });
    for log in files(&path, ".xlog").split_off(1) {
        std::fs::remove_file(path.join(log)).unwrap();
    }
    with_database(&path, |db| {
        let found = select(db, 512);
        assert_eq!(found.len(), 2000);
        assert!(found.iter().all(|row| row.ends_with(", 1]")), "nothing of after the moment");
    });
}

#[test]
fn failed_writes_are_taken_back_and_failed_snapshots_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let disk = HostileDisk::default();
    let full = Faults { space: Some(0), ..Faults::default() };
    let session = disk.clone();
    with_disk(directory.path(), disk.clone(), move |db| {
        create_space(db, 512, "s");
        db.replace(512, &numbers(&[1, 1])).unwrap();
        session.set_faults(full);
        let error = db.replace(512, &numbers(&[1, 2])).unwrap_err();
        assert_eq!(error.message(), "Failed to write to disk");
        assert_eq!(select(db, 512), ["[1, 1]"]);
        let batch = batch::open();
        let mut marks = vec![batch.mark()];
        for key in 2..5 {
            db.replace(512, &numbers(&[key, 1])).unwrap();
            marks.push(batch.mark());
        }
        assert_eq!(select(db, 512).len(), 4, "a batch sees its own changes");
        let outcome = batch.wait_durable();
        drop(batch);
        assert!(!outcome.is_durable());
        for pair in marks.windows(2) {
            assert!(outcome.error(pair[0]..pair[1]).is_some());
        }
        assert!(outcome.error(marks[3]..marks[3]).is_none(), "a read lost nothing");
        assert_eq!(select(db, 512), ["[1, 1]"]);
        assert!(db.checkpoint().is_err());
        session.set_faults(Faults::default());
        let batch = batch::open();
        let start = batch.mark();
        db.replace(512, &numbers(&[2, 1])).unwrap();
        let outcome = batch.wait_durable();
        assert!(outcome.error(start..batch.mark()).is_none());
        drop(batch);
        db.checkpoint().unwrap();
    });
    with_disk(directory.path(), disk, |db| assert_eq!(select(db, 512), ["[1, 1]", "[2, 1]"]));
}

#[test]
fn first_write_of_a_batch_is_not_lost_with_what_another_fiber_wrote_before() {
    let directory = tempfile::tempdir().unwrap();
    let disk = HostileDisk::default();
    let session = disk.clone();
    with_disk(directory.path(), disk, move |db| {
        create_space(db, 512, "s");
        let batch = batch::open();
        session.set_faults(Faults { space: Some(0), ..Faults::default() });
        let other = crate::fiber::spawn("other", || {
            Database::current().replace(512, &numbers(&[1, 1])).unwrap_err();
        });
        other.join();
        session.set_faults(Faults::default());
        let mut marks = vec![batch.mark()];
        for key in 2..4 {
            db.replace(512, &numbers(&[key, 1])).unwrap();
            marks.push(batch.mark());
        }
        let outcome = batch.wait_durable();
        for pair in marks.windows(2) {
            assert!(outcome.error(pair[0]..pair[1]).is_none());
        }
        drop(batch);
        assert_eq!(select(db, 512), ["[2, 1]", "[3, 1]"]);
    });
}

#[test]
fn index_that_is_being_built_follows_writes_that_are_lost() {
    const COUNT: u64 = 100_000;
    let directory = tempfile::tempdir().unwrap();
    let disk = HostileDisk::default();
    let session = disk.clone();
    with_disk(directory.path(), disk, move |db| {
        create_space(db, 512, "s");
        db.begin(BeginOptions::default()).unwrap();
        for key in 1..=COUNT {
            db.replace(512, &numbers(&[key, key])).unwrap();
        }
        db.commit().unwrap();
        let build = crate::fiber::spawn("build", || {
            let second = index_row(512, 1, "second", "tree", true, &[(1, "unsigned")]);
            let result = Database::current().insert(system_space::INDEX, &second);
            if let Err(error) = result {
                // Its row was lost like the others.
                let lost = ["WAL has a rollback in progress", "Failed to write to disk"];
                assert!(lost.contains(&error.message()), "{error}");
            }
        });
        crate::fiber::yield_now();
        session.set_faults(Faults { space: Some(0), ..Faults::default() });
        for key in [1, COUNT / 2, COUNT] {
            db.replace(512, &numbers(&[key, key + COUNT])).unwrap_err();
            db.delete(512, 0, &numbers(&[key])).unwrap_err();
        }
        db.insert(512, &numbers(&[COUNT + 1, COUNT + 1])).unwrap_err();
        session.set_faults(Faults::default());
        build.join();
        if db.space(512).unwrap().index(1).is_some() {
            assert_eq!(db.len(512, 1).unwrap(), COUNT);
            for key in [1, COUNT / 2, COUNT] {
                let found = db.get(512, 1, &numbers(&[key])).unwrap();
                assert_eq!(super::shown(found), format!("[{key}, {key}]"));
            }
        }
    });
}

#[test]
fn second_process_and_missing_snapshot_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let inner = path.clone();
    with_database(&path, move |db| {
        create_space(db, 512, "s");
        let options = options(&inner);
        run_in_fiber(move || {
            let error = Database::create(options).open().unwrap_err();
            assert!(error.message().starts_with("Failed to lock WAL directory"));
        });
    });
    for snapshot in files(&path, ".snap") {
        std::fs::remove_file(path.join(snapshot)).unwrap();
    }
    let options = options(&path);
    run_in_fiber(move || {
        let error = Database::create(options).open().unwrap_err();
        assert_eq!(error.message(), "Can't find snapshot");
    });
}
