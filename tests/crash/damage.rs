//! What is damaged is found, named and, if asked for, skipped; what cannot be written never was.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::program::{End, Program, lycosa, script};
use super::random::Random;

/// Size of the header of a block in a log file: magic, size, checksums, padding.
const BLOCK_HEADER_SIZE: usize = 19;
const MAGIC: [&[u8]; 2] = [&[0xd5, 0xba, 0x0b, 0xab], &[0xd5, 0xba, 0x0b, 0xba]];

pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn copy_of(from: &Path) -> tempfile::TempDir {
    let to = folder();
    super::kill::copy(from, to.path());
    to
}

/// Adds the members of one object to another.
fn extend(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

pub fn plan(folder: &Path, options: Value, more: Value) -> String {
    let mut cfg = json!({ "work_dir": folder, "checkpoint_interval": 0 });
    extend(&mut cfg, options);
    let mut plan = json!({ "cfg": cfg });
    extend(&mut plan, more);
    plan.to_string()
}

pub fn run(name: &str, plan: String) -> Program {
    let mut command = lycosa(name);
    command.arg(plan);
    Program::start(command)
}

/// Starts on a directory; what it finds there, and the program, which then adds rows.
fn open(folder: &Path, options: Value, more: Value) -> (Vec<u64>, Program) {
    let program = run("rows.lua", plan(folder, options, more));
    let Some(lines) = program.lines_until("found") else {
        panic!("the program does not start:\n{}", program.wait().log);
    };
    (lines.iter().map(|line| id_of(line)).collect(), program)
}

/// Starts on a directory that must be refused.
fn refused(folder: &Path) -> End {
    let end = run("rows.lua", plan(folder, json!({}), json!({}))).wait();
    assert_eq!(end.status.code(), Some(1), "{}", end.log);
    end
}

/// What is in a directory.
fn content(folder: &Path) -> Vec<u64> {
    let (rows, program) = open(folder, json!({}), json!({}));
    assert!(program.wait().status.success());
    rows
}

pub fn id_of(line: &str) -> u64 {
    let id = line.split(' ').nth(1).and_then(|id| id.parse().ok());
    id.unwrap_or_else(|| panic!("not a row: {line}"))
}

/// A directory with rows 1 to `count`, as a killed process leaves it.
fn killed_with(count: u64) -> tempfile::TempDir {
    let folder = folder();
    let more = json!({ "first": 1, "last": count, "stay": true });
    let (_, program) = open(folder.path(), json!({}), more);
    assert!(program.lines_until("end").is_some());
    program.kill();
    folder
}

fn newest(folder: &Path, extension: &str) -> PathBuf {
    let files = std::fs::read_dir(folder).expect("a folder");
    let files = files.map(|entry| entry.expect("an entry").path());
    let newest = files.filter(|path| path.extension().is_some_and(|it| it == extension)).max();
    newest.expect("a file of that kind")
}

/// Where the blocks of a file begin.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let starts = |at: &usize| MAGIC.iter().any(|magic| bytes[*at..].starts_with(magic));
    (0..bytes.len()).filter(starts).collect()
}

#[test]
fn torn_tail_loses_only_what_was_not_whole() {
    let mut random = Random::new("torn tail");
    let folder = killed_with(90);
    let bytes = std::fs::read(newest(folder.path(), "xlog")).expect("a log");
    let first = blocks(&bytes)[0];
    let mut cuts: Vec<usize> =
        (0..6).map(|_| first + random.below((bytes.len() - first) as u64) as usize).collect();
    cuts.sort_unstable();
    let mut last_count = 0;
    for cut in cuts {
        let copy = copy_of(folder.path());
        std::fs::write(newest(copy.path(), "xlog"), &bytes[..cut]).expect("a cut file");
        let (rows, program) = open(copy.path(), json!({}), json!({ "first": 500, "last": 502 }));
        assert!(program.wait().status.success());
        let count = rows.len() as u64;
        assert!(count.is_multiple_of(3) && count >= last_count, "cut at {cut}: {count} rows");
        assert!(rows.iter().copied().eq(1..=count), "cut at {cut}: {rows:?}");
        let added: Vec<u64> = (1..=count).chain(500..=502).collect();
        assert_eq!(content(copy.path()), added, "cut at {cut}, then written to");
        last_count = count;
    }
}

#[test]
fn flipped_byte_of_the_log_is_refused_and_force_recovery_skips_it() {
    let mut random = Random::new("flipped byte");
    let folder = killed_with(90);
    let path = newest(folder.path(), "xlog");
    let mut bytes = std::fs::read(&path).expect("a log");
    let starts = blocks(&bytes);
    // Of the thirty transactions at the end, neither the first nor the last.
    let number = starts.len() - 2 - random.below(28) as usize;
    let (start, end) = (starts[number], starts[number + 1]);
    let body = start + BLOCK_HEADER_SIZE;
    let at = body + random.below((end - body) as u64) as usize;
    bytes[at] ^= 1 << random.below(8);
    std::fs::write(&path, &bytes).expect("a written file");

    let end = refused(folder.path());
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(end.log.contains(&name), "{}", end.log);
    assert!(end.log.contains(&format!("offset {start}")), "{start}: {}", end.log);

    let lost = (30 - (starts.len() - number)) as u64 * 3 + 1;
    let (rows, program) = open(folder.path(), json!({ "force_recovery": true }), json!({}));
    let end = program.wait();
    assert!(rows.iter().copied().eq((1..lost).chain(lost + 3..=90)), "{lost}: {rows:?}");
    let skipped = format!("offset {start}");
    assert!(end.log.contains("skip") && end.log.contains(&skipped), "{skipped}: {}", end.log);
}

#[test]
fn flipped_byte_of_a_snapshot_is_refused_and_force_recovery_skips_it() {
    const COUNT: u64 = 9000;
    let mut random = Random::new("flipped byte of a snapshot");
    let folder = folder();
    let more = json!({ "last": COUNT, "snapshot": true });
    let (_, program) = open(folder.path(), json!({}), more);
    assert!(program.wait().status.success());
    let path = newest(folder.path(), "snap");
    let mut bytes = std::fs::read(&path).expect("a snapshot");
    let starts = blocks(&bytes);
    assert!(starts.len() >= 4, "{} blocks", starts.len());
    // The first has the system spaces, the last the end.
    let (start, end) = (starts[2], starts[3]);
    let body = start + BLOCK_HEADER_SIZE;
    let at = body + random.below((end - body) as u64) as usize;
    bytes[at] ^= 1 << random.below(8);
    std::fs::write(&path, &bytes).expect("a written file");

    let end = refused(folder.path());
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let place = format!("offset {start}");
    assert!(end.log.contains(&name) && end.log.contains(&place), "{place}: {}", end.log);

    let more = json!({ "first": COUNT + 1, "last": COUNT + 3 });
    let (rows, program) = open(folder.path(), json!({ "force_recovery": true }), more);
    let end = program.wait();
    assert!(end.status.success());
    let lost = COUNT as usize - rows.len();
    assert!(lost > 100 && lost < 5000, "{lost} rows are lost with one block");
    let gap = rows.windows(2).find(|pair| pair[1] - pair[0] > 1).expect("a gap");
    assert_eq!((gap[1] - gap[0] - 1) as usize, lost, "they stood together");
    let skips = end.log.lines().any(|line| line.contains("skipping") && line.contains(&place));
    assert!(skips, "{place}: {}", end.log);
    assert!(end.log.contains(&format!("{name}' are lost")), "{}", end.log);
}

#[test]
fn second_process_is_kept_out_of_the_directory() {
    let folder = killed_with(3);
    let (_, first) = open(folder.path(), json!({}), json!({ "stay": true }));
    assert!(first.lines_until("end").is_some());
    let end = refused(folder.path());
    let message = "Failed to lock WAL directory";
    assert!(end.log.contains(message), "{}", end.log);
    assert!(end.log.contains("and hot_standby mode is off"), "{}", end.log);
    first.kill();
    assert_eq!(content(folder.path()), [1, 2, 3]);
}

/// Reads the rows that were acknowledged, kills the program, and has another look for them.
fn kept_is_found(folder: &Path, program: Program) {
    let Some(lines) = program.lines_until("end") else {
        panic!("{}", program.wait().log);
    };
    program.kill();
    compare(&lines, content(folder));
}

/// The rows that were acknowledged and those that were found must be the same; row 0 is special.
pub fn compare(lines: &[String], found: impl IntoIterator<Item = u64>) {
    let kept: BTreeSet<u64> =
        lines.iter().filter(|line| line.starts_with("kept")).map(|line| id_of(line)).collect();
    assert!(kept.len() > 10);
    let found: BTreeSet<u64> = found.into_iter().filter(|id| *id > 0).collect();
    let difference: Vec<&u64> = kept.symmetric_difference(&found).collect();
    assert!(difference.is_empty(), "{difference:?}");
}

fn survives_fault(fault: &str, options: Value) {
    let folder = folder();
    let program = run("full.lua", plan(folder.path(), options, json!({ "fault": fault })));
    kept_is_found(folder.path(), program);
}

#[test]
fn failed_write_never_was_and_writes_return() {
    survives_fault("ERRINJ_WAL_WRITE", json!({}));
    survives_fault("ERRINJ_WAL_WRITE_PARTIAL", json!({}));
}

#[test]
fn failed_sync_never_was_and_writes_return() {
    survives_fault("ERRINJ_WAL_SYNC", json!({ "wal_mode": "fsync" }));
}

#[test]
fn log_file_that_cannot_be_made_fails_writes_until_it_can() {
    survives_fault("ERRINJ_WAL_ROTATE", json!({ "wal_max_size": 1000 }));
}

#[test]
fn file_at_its_size_limit_fails_writes_until_there_is_room() {
    let folder = folder();
    let mut command = Command::new("sh");
    // The signal would end the process before the write can fail.
    command.arg("-c").arg("trap '' XFSZ; ulimit -S -f 256; exec \"$@\"").arg("sh");
    command.arg(env!("CARGO_BIN_EXE_lycosa")).arg(script("full.lua"));
    command.arg(plan(folder.path(), json!({}), json!({})));
    let program = Program::start(command);
    let Some(_) = program.lines_until("full") else { panic!("{}", program.wait().log) };
    let process = rustix::process::Pid::from_raw(program.id() as i32);
    let free = rustix::process::Rlimit { current: None, maximum: None };
    rustix::process::prlimit(process, rustix::process::Resource::Fsize, free)
        .expect("a limit that was lifted");
    kept_is_found(folder.path(), program);
}

/// A shell that runs these steps, where `folder`, its first argument, is a disk of this size with a folder
/// `data`; `None` where the system does not let us have one.
pub fn on_small_disk(folder: &Path, size: &str, steps: &str) -> Option<Command> {
    let mount = format!("mount -t tmpfs -o size={size} tmpfs \"$1\" && mkdir \"$1/data\"");
    let mut probe = Command::new("unshare");
    probe.args(["-rm", "sh", "-c", &mount, "sh"]).arg(folder);
    if !probe.output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no file systems can be mounted here");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &format!("{mount} && {steps}"), "sh"]).arg(folder);
    Some(command)
}

/// A disk of one megabyte.
#[test]
fn full_disk_fails_writes_until_there_is_room() {
    let folder = folder();
    let data = folder.path().join("data");
    let ballast = folder.path().join("ballast");
    // Both programs have to see the mount: one shell starts them.
    let steps = "head -c 300000 /dev/zero > \"$1/ballast\" && { \"$2\" \"$3\" \"$4\"; \
                 exec \"$2\" \"$5\" \"$6\"; }";
    let Some(mut command) = on_small_disk(folder.path(), "1m", steps) else { return };
    command.arg(env!("CARGO_BIN_EXE_lycosa")).arg(script("full.lua"));
    command.arg(plan(&data, json!({}), json!({ "ballast": ballast, "kill": true })));
    command.arg(script("rows.lua")).arg(plan(&data, json!({}), json!({})));
    let program = Program::start(command);
    let Some(kept) = program.lines_until("end") else { panic!("{}", program.wait().log) };
    let Some(found) = program.lines_until("found") else { panic!("{}", program.wait().log) };
    compare(&kept, found.iter().map(|line| id_of(line)));
}

fn checkpoints(options: Value, call: bool) {
    let folder = folder();
    let mut all = json!({ "checkpoint_count": 2 });
    extend(&mut all, options);
    let program = run("checkpoint.lua", plan(folder.path(), all, json!({ "call": call })));
    kept_is_found(folder.path(), program);
}

#[test]
fn checkpoints_by_time_go_on_beside_writers_and_old_files_go() {
    checkpoints(json!({ "checkpoint_interval": 0.02 }), false);
}

#[test]
fn checkpoints_by_size_of_the_log_go_on_beside_writers_and_old_files_go() {
    checkpoints(json!({ "checkpoint_wal_threshold": 10000, "wal_max_size": 5000 }), false);
}

#[test]
fn checkpoints_by_call_go_on_beside_writers_and_old_files_go() {
    checkpoints(json!({}), true);
}
