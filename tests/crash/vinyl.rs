//! Spaces on disk: what the trees have and what the log has.

use serde_json::json;

use super::damage::{compare, folder, id_of, on_small_disk, plan, run};
use super::program::{Program, script};

/// The trees are on a disk of their own.
#[test]
fn full_disk_of_trees_refuses_changes_and_loses_none() {
    let (disk, elsewhere) = (folder(), folder());
    let steps = "head -c 8000000 /dev/zero > \"$1/ballast\" && { \"$2\" \"$3\" \"$4\"; \
                 exec \"$2\" \"$3\" \"$5\"; }";
    let Some(mut command) = on_small_disk(disk.path(), "24m", steps) else { return };
    let options = json!({
        "vinyl_dir": disk.path().join("data"),
        "vinyl_memory": 2_000_000,
        "vinyl_cache": 10_000,
    });
    let ballast = disk.path().join("ballast");
    command.arg(env!("CARGO_BIN_EXE_lycosa")).arg(script("vinyl_full.lua"));
    command.arg(plan(elsewhere.path(), options.clone(), json!({ "ballast": ballast })));
    command.arg(plan(elsewhere.path(), options, json!({})));
    let program = Program::start(command);
    let Some(kept) = program.lines_until("end") else { panic!("{}", program.wait().log) };
    let Some(found) = program.lines_until("found") else { panic!("{}", program.wait().log) };
    compare(&kept, found.iter().map(|line| id_of(line)));
}

/// Changes of local and of replicated spaces count apart in the log.
#[test]
fn transaction_with_local_rows_is_recovered_once() {
    let folder = folder();
    for round in 1..=4u64 {
        let program = run("vinyl_log.lua", plan(folder.path(), json!({}), json!({})));
        let expected = [format!("replicated {round}"), format!("local {round}")];
        assert_eq!(program.lines_until("end").expect("an end"), expected);
        assert!(program.wait().status.success());
    }
}

/// As after a power failure, when the system had written the trees and not the log.
#[test]
fn trees_ahead_of_the_log_are_named() {
    let folder = folder();
    for snapshot in [false, true] {
        let more = json!({ "snapshot": snapshot });
        let program = run("vinyl_log.lua", plan(folder.path(), json!({}), more));
        assert!(program.wait().status.success());
    }
    // What the second run has written, save the trees.
    for kind in ["xlog", "snap"] {
        let files = std::fs::read_dir(folder.path()).expect("a folder");
        let files = files.map(|entry| entry.expect("an entry").path());
        let mut files: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|it| it == kind)).collect();
        files.sort();
        for path in &files[1..] {
            std::fs::remove_file(path).expect("it is removed");
        }
    }
    let program = run("vinyl_log.lua", plan(folder.path(), json!({}), json!({})));
    let end = program.wait();
    assert!(!end.status.success());
    assert!(
        end.log.contains("the log ends at") && end.log.contains("its end is lost"),
        "{}",
        end.log
    );
    let forced = json!({ "force_recovery": true });
    let program = run("vinyl_log.lua", plan(folder.path(), forced, json!({})));
    let end = program.wait();
    assert!(end.status.success() && end.log.contains("ignored by force_recovery"), "{}", end.log);
}
