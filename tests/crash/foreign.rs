//! Data directories go from Tarantool to us, and what we write its tools read.

use std::path::Path;
use std::process::Command;

use super::kill::copy;
use super::program::{Program, lycosa, run, script};

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

fn show(mut command: Command, directory: &Path) -> Vec<String> {
    let copied = tempfile::tempdir().expect("a temporary folder");
    copy(directory, copied.path());
    command.arg(copied.path());
    run(command)
}

/// Has Tarantool fill a directory, and both of us show it.
fn is_recovered(snapshot: &str) {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let mut make = Command::new("tarantool");
    make.arg(script("foreign_make.lua")).arg(directory.path()).arg(snapshot);
    let end = Program::start(make).wait();
    assert!(end.status.code().is_none(), "not killed: {:?}\n{}", end.lines, end.log);
    let mut command = Command::new("tarantool");
    command.arg(script("foreign_show.lua"));
    let theirs = show(command, directory.path());
    let ours = show(lycosa("foreign_show.lua"), directory.path());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
    assert!(ours.len() > 900, "{} lines", ours.len());
}

#[test]
fn directory_of_tarantool_is_recovered_from_its_log() {
    if is_installed("tarantool") {
        is_recovered("log");
    }
}

#[test]
fn directory_of_tarantool_is_recovered_from_its_snapshot_and_log() {
    if is_installed("tarantool") {
        is_recovered("snapshot");
    }
}

#[test]
fn tarantoolctl_reads_what_a_killed_process_leaves() {
    if !is_installed("tarantoolctl") {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary folder");
    let mut make = lycosa("foreign_make.lua");
    make.arg(directory.path()).arg("snapshot");
    let end = Program::start(make).wait();
    assert!(end.status.code().is_none(), "not killed: {:?}\n{}", end.lines, end.log);
    let mut count = 0;
    for entry in std::fs::read_dir(directory.path()).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|kind| kind != "xlog" && kind != "snap") {
            continue;
        }
        let cat = |program: &str| {
            let mut command = Command::new(program);
            let output = command.args(["cat", "--show-system"]).arg(&path).output();
            String::from_utf8_lossy(&output.expect("an output").stdout).into_owned()
        };
        let (ours, theirs) = (cat(env!("CARGO_BIN_EXE_lycosa")), cat("tarantoolctl"));
        for (ours, theirs) in ours.split("---").zip(theirs.split("---")) {
            assert_eq!(pieces(ours), pieces(theirs), "{}", path.display());
        }
        assert_eq!(ours.matches("---").count(), theirs.matches("---").count());
        count += 1;
    }
    assert!(count > 3, "{count} files");
}

/// What a row is printed as, without the order of keys: Tarantool's follows Lua's tables.
fn pieces(row: &str) -> Vec<&str> {
    let mut pieces: Vec<&str> =
        row.split([' ', '\n', ',', '[', ']', '{', '}']).filter(|piece| !piece.is_empty()).collect();
    pieces.sort_unstable();
    pieces
}
