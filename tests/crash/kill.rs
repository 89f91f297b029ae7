//! `kill -9` at any moment loses nothing acknowledged and leaves nothing half done.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::model::{Model, Share, Step};
use super::program::{Program, lycosa};
use super::random::Random;

const WRITERS: u64 = 4;

/// A data directory, and what must be in it.
struct Scene {
    folder: tempfile::TempDir,
    cfg: Value,
    engine: &'static str,
    /// What each writer's share of the data is known to be.
    models: Vec<Model>,
    /// What each writer may have done since: all acknowledged, and at most one more.
    doubts: Vec<Option<Model>>,
}

impl Scene {
    fn new(cfg: Value) -> Scene {
        let count = WRITERS as usize;
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("data")).expect("a new folder");
        let engine = "memtx";
        Scene {
            folder,
            cfg,
            engine,
            models: vec![Model::default(); count],
            doubts: vec![None; count],
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self, steps: Option<&[PathBuf]>, snapshots: bool) -> Program {
        let mut cfg = self.cfg.clone();
        cfg["work_dir"] = json!(self.data());
        let engine = self.engine;
        let plan = json!({ "cfg": cfg, "engine": engine, "steps": steps, "snapshots": snapshots });
        let mut command = lycosa("child.lua");
        command.arg(plan.to_string());
        Program::start(command)
    }

    /// Compares what a new process has found with what must be there.
    fn verify(&mut self, rows: &[String]) {
        if let Some(bad) = rows.iter().find(|row| row.starts_with("bad")) {
            panic!("{bad}");
        }
        for writer in 0..WRITERS {
            let share = Share { writer, writers: WRITERS };
            let found: Vec<&String> = rows.iter().filter(|row| share.has(id_of(row))).collect();
            let index = writer as usize;
            let doubt = self.doubts[index].take();
            if let Some(later) = doubt.filter(|later| found.iter().copied().eq(&later.dump())) {
                self.models[index] = later;
            }
            let expected = self.models[index].dump();
            let extra =
                found.iter().filter(|row| !expected.contains(row)).map(|row| ("found", *row));
            let missing = expected.iter().filter(|row| !found.contains(row));
            let wrong: Vec<_> = extra.chain(missing.map(|row| ("expected", row))).collect();
            assert!(wrong.is_empty(), "writer {writer}: {wrong:#?}\nin {}", self.keep().display());
        }
    }

    /// Copies the directory to where it stays when the test has failed.
    fn keep(&self) -> PathBuf {
        let kept = tempfile::tempdir().expect("a temporary folder").keep();
        copy(&self.data(), &kept);
        kept
    }

    /// Starts, checks, and lets the writers work until `acknowledged` steps are reported.
    fn round(&mut self, random: &mut Random, acknowledged: u64, snapshots: bool) {
        let plans: Vec<Vec<Step>> = (0..WRITERS)
            .map(|writer| {
                let share = Share { writer, writers: WRITERS };
                (0..1000).map(|_| Step::random(random, share)).collect()
            })
            .collect();
        let paths: Vec<PathBuf> =
            (0..WRITERS).map(|writer| self.folder.path().join(format!("steps-{writer}"))).collect();
        for (path, plan) in paths.iter().zip(&plans) {
            let lines: Vec<String> = plan.iter().map(Step::line).collect();
            std::fs::write(path, lines.join("\n") + "\n").expect("a written file");
        }
        let program = self.start(Some(&paths), snapshots);
        let Some(rows) = program.lines_until("end") else {
            panic!("the program does not start:\n{}", program.wait().log);
        };
        self.verify(&rows);
        let mut lines = Vec::new();
        for _ in 0..acknowledged {
            let Some(line) = program.line() else { break };
            lines.push(line);
        }
        lines.extend(program.kill().lines);
        for (writer, plan) in plans.iter().enumerate() {
            let mut steps = plan.iter();
            let mut acknowledged = 0;
            for line in &lines {
                let words: Vec<&str> = line.split(' ').collect();
                assert_eq!(words[0], "ack", "{line}");
                if words[1].parse() == Ok(writer) {
                    acknowledged += 1;
                    assert_eq!(words[2].parse(), Ok(acknowledged), "{line}");
                    let step = steps.next().expect("a step for each acknowledgement");
                    assert_eq!(words[3], self.models[writer].apply(step), "{line}: {step:?}");
                }
            }
            self.doubts[writer] = steps.next().map(|step| {
                let mut later = self.models[writer].clone();
                later.apply(step);
                later
            });
        }
    }

    fn check(&mut self) {
        let program = self.start(None, false);
        let Some(rows) = program.lines_until("end") else {
            panic!("the program does not start:\n{}", program.wait().log);
        };
        self.verify(&rows);
        program.wait();
    }
}

/// The id in `row SPACE [id,...]`.
fn id_of(row: &str) -> u64 {
    let id = row.split(['[', ',']).nth(1).and_then(|id| id.parse().ok());
    id.unwrap_or_else(|| panic!("not a row: {row}"))
}

pub fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copied file");
    }
}

fn rounds() -> u64 {
    let given = std::env::var("LYCOSA_CRASH_ROUNDS").ok().and_then(|count| count.parse().ok());
    given.unwrap_or(12)
}

#[test]
fn killed_writers_lose_nothing_acknowledged_and_leave_nothing_half_done() {
    let mut random = Random::new("killed writers");
    let mut scene = Scene::new(json!({ "checkpoint_interval": 0 }));
    for _ in 0..rounds() {
        let acknowledged = random.below(800);
        scene.round(&mut random, acknowledged, false);
    }
    scene.check();
}

#[test]
fn kill_during_snapshots_and_rotation_of_the_log_loses_nothing() {
    let mut random = Random::new("snapshots and rotation");
    let cfg = json!({
        "checkpoint_interval": 0, "checkpoint_count": 2, "wal_max_size": 8192,
        "wal_dir_rescan_delay": 1,
    });
    let mut scene = Scene::new(cfg);
    for round in 0..rounds() {
        let acknowledged = random.below(800);
        scene.round(&mut random, acknowledged, round % 4 != 3);
    }
    scene.check();
}

#[test]
fn killed_writers_lose_nothing_on_disk() {
    let mut random = Random::new("on disk");
    let cfg = json!({
        "checkpoint_interval": 0, "checkpoint_count": 2, "wal_max_size": 8192,
        "vinyl_cache": 65536,
    });
    let mut scene = Scene::new(cfg);
    scene.engine = "vinyl";
    for round in 0..rounds() {
        let acknowledged = random.below(800);
        scene.round(&mut random, acknowledged, round % 2 == 0);
    }
    scene.check();
}

#[test]
fn killed_alterations_on_disk_are_whole_or_not_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for seed in 0..2 * rounds() {
        let mut command = lycosa("alter.lua");
        command.arg(seed.to_string()).current_dir(folder.path());
        let output = command.output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stdout);
        let is_killed = output.status.code().is_none();
        assert!(
            is_killed && said.starts_with("found") && !said.contains("bad"),
            "{seed}: {output:?}"
        );
    }
}

#[test]
fn kill_during_bootstrap_and_recovery_changes_nothing() {
    let mut random = Random::new("bootstrap and recovery");
    let mut scene = Scene::new(json!({ "checkpoint_interval": 0, "wal_max_size": 65536 }));
    for round in 0..rounds() {
        for _ in 0..3 {
            let program = scene.start(None, false);
            // Not to wait for anything: any moment is right.
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
            program.kill();
        }
        if round % 3 == 0 {
            scene.round(&mut random, 300, round % 2 == 0);
        }
    }
    scene.check();
}

#[test]
fn restarts_find_what_the_model_says() {
    let mut random = Random::new("model");
    let mut scene = Scene::new(json!({ "checkpoint_interval": 0, "wal_mode": "fsync" }));
    for _ in 0..3 {
        // All steps are done, and the program ends by itself.
        scene.round(&mut random, u64::MAX, false);
    }
    scene.check();
}
